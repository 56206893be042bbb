"""Every verb knows a task by every one of its names."""

import importlib
import subprocess
import sys

import pytest
from tiny import CONFIG, make_classifier, predictor_of

from minidistil import pipeline
from minidistil.cli.main import main
from minidistil.errors import ConfigError, UsageError
from minidistil.model import BertForTokenClassification, model_classes
from minidistil.tasks.base import Task
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.registry import (
    ALIASES,
    PREDICTED,
    TASKS,
    named_task,
    predicting_task,
    task_name,
    task_of,
)
from minidistil.tasks.summarization.task import SummarizationTask
from minidistil.tasks.token_classification.task import TokenClassificationTask


@pytest.mark.parametrize("name", sorted({*TASKS, *ALIASES} - {"glue"}))
def test_each_name_makes_a_task(name):
    assert type(named_task(name)) is type(named_task(task_name(name)))


@pytest.mark.parametrize("name", sorted({*PREDICTED} - {"intents"}))
def test_names_of_predictors_are_names_of_tasks_to_learn(name):
    """All but intents, which an encoder answers from examples and a classifier from what it learnt."""
    assert getattr(named_task(name), "pipeline_tag", name) == predicting_task(name).template == name


def test_the_hubs_and_the_files_names_lead_to_one_predictor():
    for name in ("text-classification", "classification", "sentiment-analysis", "sentiment", "sst2", "stsb"):
        assert issubclass(predicting_task(name), ClassificationTask)
    for name in ("token-classification", "ner", "conll2003"):
        assert predicting_task(name) is TokenClassificationTask


@pytest.mark.parametrize("entry", {entry.path: entry for entry in TASKS.values()}.values())
def test_each_class_is_where_the_table_says(entry):
    kind = entry.load()
    assert issubclass(kind, Task)
    assert entry.path == f"{kind.__module__.removeprefix('minidistil.tasks.')}.{kind.__name__}"


def test_the_metric_that_a_task_is_judged_by():
    metrics = {name: named_task(name).main_metric for name in TASKS}
    others = {"cola": "matthews", "ax": "matthews", "mrpc": "f1", "qqp": "f1", "sms": "f1"}
    others |= dict.fromkeys(("regression", "stsb"), "pearson")
    others |= {"multi-label": "f1_micro", "moderation": "auroc_macro", "masked-lm": "perplexity"}
    others |= dict.fromkeys(("token-classification", "conll2003", "question-answering", "squad"), "f1")
    others |= dict.fromkeys(("similarity", "stsb-similarity"), "spearman")
    others |= {"summarization": "rouge1", "translations": "to_translation", "retrieval": "ndcg_at_10"}
    assert {name: metric for name, metric in metrics.items() if metric != "accuracy"} == others


def test_a_class_is_imported_when_it_is_asked_for():
    """The table itself imports no model and no task."""
    script = (
        "import sys; from minidistil import pipeline; from minidistil.tasks.registry import TASKS\n"
        "print(*(name for name in sys.modules if name.startswith(('minidistil.model', 'minidistil.tasks.'))))"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert sorted(run.stdout.split()) == ["minidistil.tasks.data", "minidistil.tasks.registry"]


def test_the_head_of_a_model_leads_to_its_task(tmp_path):
    assert predictor_of(make_classifier(tmp_path)).task.kind == "classification"
    size = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
    for kind in model_classes().values():
        model = kind(kind.config_class(vocab_size=20, max_position_embeddings=8, **size), backend="numpy")
        if model.pipeline_tag == "feature-extraction":
            with pytest.raises(ConfigError, match="has no head to predict with"):
                task_of(model)
        else:
            assert task_of(model).pipeline_tag == model.pipeline_tag
    labels = {0: "rest", 1: "summary"}
    summariser = BertForTokenClassification(CONFIG.replace(id2label=labels), backend="numpy")
    assert task_of(summariser) is SummarizationTask


def test_the_old_name_of_the_module_stays():
    assert importlib.import_module("minidistil.pipelines").pipeline is pipeline


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("clasification", "did you mean classification"),
        ("text-clasification", "did you mean text-classification"),
        ("nerr", "did you mean ner"),
        ("sst3", "did you mean sst2"),
        ("fillmask", "did you mean fill-mask"),
        ("zebra", "there are: classification, "),
    ],
)
def test_a_misspelt_name_gets_the_nearest_in_every_verb(name, hint):
    for ask in (task_name, named_task, predicting_task):
        with pytest.raises(UsageError, match=hint):
            ask(name)


def test_a_task_that_answers_no_text_says_so():
    with pytest.raises(UsageError, match="none that answers a text"):
        predicting_task("retrieval")
    with pytest.raises(UsageError, match="minidistil embed"):
        predicting_task("embeddings")


def test_a_classifier_is_asked_and_measured_under_the_hubs_name(tmp_path, capsys):
    model = str(make_classifier(tmp_path))
    assert pipeline("sentiment-analysis", model)("a warm film")[0].label in ("negative", "positive")
    data = tmp_path / "dev.csv"
    data.write_text("text,label\na warm film,positive\na dull film,negative\n")
    assert main(["evaluate", model, "--task", "text-classification", "--data", str(data), "--json"]) == 0
    assert '"task": "classification"' in capsys.readouterr().out
