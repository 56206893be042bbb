"""Every verb knows a task by every one of its names."""

import pytest
from tiny import make_classifier

from minidistil import pipeline
from minidistil.cli.main import main
from minidistil.errors import UsageError
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.registry import (
    ALIASES,
    PREDICTED,
    TASKS,
    named_task,
    predicting_task,
    task_name,
)
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
