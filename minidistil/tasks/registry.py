"""Table of tasks by name, with the columns, labels and metrics of their files.

The files are those that the tasks' authors hand out. GLUE (Wang et al. 2018, arXiv:1804.07461): tables with
tabs, in which quotes are ordinary characters; CoLA's has no first line of names. SNLI (Bowman et al. 2015,
arXiv:1508.05326) has MNLI's columns. AG News (Zhang et al. 2015,
arXiv:1509.01626): csv without names, classes 1 to 4, title, text. SMS spam (Almeida et al. 2011): label, tab,
text. Toxic comments (Jigsaw, on Kaggle, 2018): csv with a column of 0 and 1 for each label.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidistil.arguments import check_type
from minidistil.errors import ConfigError, UsageError
from minidistil.settings import build
from minidistil.tasks.data import DataSettings, NamedData

if TYPE_CHECKING:
    from minidistil.model.model import Model
    from minidistil.tasks.base import PredictingTask, Task, TrainableTask
    from minidistil.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Entry:
    """A task by name.

    Attributes
    ----------
    path : str
        Its class, below `minidistil.tasks`: imported when it is asked for.
    data : mapping
        Settings of its files, see `DataSettings`.
    options : mapping
        Further arguments of the class.
    """

    path: str
    data: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> type[Task]:
        """The class."""
        module, _, name = self.path.rpartition(".")
        found: type[Task] = getattr(importlib.import_module(f"minidistil.tasks.{module}"), name)
        return found


CLASSES = "classification.task.ClassificationTask"
CHOICE = "multiple_choice.task.MultipleChoiceTask"
ANSWER = "question_answering.task.QuestionAnsweringTask"
TAGS = "token_classification.task.TokenClassificationTask"


def classes(names: Sequence[str] | Mapping[str, str], metric: str | None = None, **data: Any) -> Entry:
    """A task of one label for a text, or pair.

    Parameters
    ----------
    names : sequence of str, or mapping of str to str
        The labels, in the order of a model's outputs; by how they stand in the files, if those write others.
    metric : str, optional
        The main one, if not accuracy.
    **data
        Settings of its files, see `DataSettings`.
    """
    labels = names if isinstance(names, Mapping) else {name: name for name in names}
    return Entry(CLASSES, data, {"names": labels, "main_metric": metric})


TSV = {"format": "tsv"}
PLAIN = {"format": "tsv", "header": False}
SENTENCES = {**TSV, "text": "sentence1", "pair": "sentence2"}
TWO_WAYS, THREE_WAYS = ("entailment", "not_entailment"), ("entailment", "neutral", "contradiction")
# "-" where those who were asked did not agree
INFERENCE = classes(THREE_WAYS, **SENTENCES, label="gold_label", skip_label="-")
TASKS: dict[str, Entry] = {
    "classification": Entry(CLASSES),
    "multi-label": Entry("classification.task.MultiLabelTask"),
    "regression": Entry("classification.task.RegressionTask"),
    "cola": classes({"0": "unacceptable", "1": "acceptable"}, "matthews", **PLAIN, text=3, label=1),
    "sst2": classes({"0": "negative", "1": "positive"}, **TSV, text="sentence", label="label"),
    "mrpc": classes(
        {"0": "not_equivalent", "1": "equivalent"},
        "f1", **TSV, text="#1 String", pair="#2 String", label="Quality",
    ),
    "qqp": classes(  # a few lines of its files have cells missing
        {"0": "not_duplicate", "1": "duplicate"},
        "f1", **TSV, text="question1", pair="question2", label="is_duplicate", skip_broken=True,
    ),
    "mnli": INFERENCE,
    "snli": INFERENCE,
    "ax": classes(THREE_WAYS, "matthews", **SENTENCES, label="label"),
    "qnli": classes(TWO_WAYS, **TSV, text="question", pair="sentence", label="label"),
    "rte": classes(TWO_WAYS, **SENTENCES, label="label"),
    "wnli": classes({"0": "not_entailment", "1": "entailment"}, **SENTENCES, label="label"),
    "stsb": Entry("classification.task.RegressionTask", {**SENTENCES, "label": "score"}),
    "agnews": classes(
        {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"},
        format="csv", header=False, text=1, pair=2, label=0,
    ),
    "token-classification": Entry(TAGS),
    "masked-lm": Entry("masked_lm.task.MaskedLMTask"),
    "multiple-choice": Entry(CHOICE),
    "swag": Entry(CHOICE),
    "question-answering": Entry(ANSWER),
    "squad": Entry(ANSWER),
    "conll2003": Entry(TAGS, {"format": "columns"}),
    "summarization": Entry("summarization.task.SummarizationTask"),
    "sms": classes(("ham", "spam"), "f1", **PLAIN, text=1, label=0),
    "trec": Entry("classification.trec.TrecTask"),
    "trec-fine": Entry("classification.trec.TrecTask", options={"fine": True}),
    "moderation": Entry(
        "classification.task.MultiLabelTask",
        {
            "format": "csv",
            "text": "comment_text",
            "label_columns": ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"),
        },
        {"main_metric": "auroc_macro"},
    ),
    "intents": Entry("intents.task.IntentTask"),
    "faq": Entry("intents.faq.FaqTask", {"text": "question", "label": "answer"}),
    "similarity": Entry("similarity.task.SimilarityTask"),
    "stsb-similarity": Entry("similarity.task.SimilarityTask", {**SENTENCES, "label": "score"}),
    "translations": Entry("similarity.task.TranslationTask"),
    "retrieval": Entry("similarity.retrieval.RetrievalTask"),
}  # fmt: skip

# Other names of kinds: those of the hub, of transformers' pipelines, and those that people use.
ALIASES = {
    "text-classification": "classification",
    "sentiment-analysis": "classification",
    "sentiment": "classification",
    "fill-mask": "masked-lm",
    "mlm": "masked-lm",
    "ner": "token-classification",
    "qa": "question-answering",
    "sentence-similarity": "similarity",
}


def task_name(name: str, *, more: Sequence[str] = ()) -> str:
    """Key of `TASKS` for a task by any of its names.

    Parameters
    ----------
    name : str
    more : sequence of str
        Further names that the caller takes, for the suggestion.

    Raises
    ------
    UsageError
        There is no such task; the message has the nearest name, or all.
    """
    known = ALIASES.get(name, name)
    if known not in TASKS:
        names = list(dict.fromkeys((*TASKS, "glue", *ALIASES, *more)))
        near = difflib.get_close_matches(name, names, 1, 0.6)
        hint = f" (did you mean {near[0]}?)" if near else f"; there are: {', '.join(names)}"
        raise UsageError(f"there is no task {name!r}{hint}")
    return known


def named_task(
    name: str, data: DataSettings | None = None, settings: Mapping[str, Any] | None = None
) -> Task:
    """A task by its name, or a kind of task.

    Parameters
    ----------
    name : str
        Of a task, such as "sst2", or of a kind of task, such as "classification" or "ner"; see `task_name`.
    data : DataSettings, optional
        Overrides the task's defaults.
    settings : mapping, optional
        Of this task alone.

    Raises
    ------
    UsageError
        There is no such task.
    ConfigError
        A setting that the task does not have, or of another kind, or of the data that does not count for it.
    """
    name = task_name(name)
    given, usual = data or DataSettings(), DataSettings()
    said = [field.name for field in fields(usual) if getattr(given, field.name) != getattr(usual, field.name)]
    known = {
        key: value for key, value in TASKS[name].data.items() if getattr(given, key) == getattr(usual, key)
    }
    values = {field.name: getattr(given, field.name) for field in fields(usual)}
    entry = TASKS[name]
    kind = entry.load()
    if kind.settings_type is None and settings:
        raise ConfigError(f"there is no setting task.{next(iter(settings))}: {name} has none of its own")
    own = {}
    if kind.settings_type is not None:
        own["settings"] = build(kind.settings_type, settings or {}, "", "task")
    task = kind(NamedData(**{**values, **known}, known=tuple(known)), **own, **entry.options)
    for key in said:
        if key not in task.data_settings:
            counts = ", ".join(f"data.{key}" for key in task.data_settings) or "none"
            raise ConfigError(f"data.{key} is no setting of {name}; those that count for it: {counts}")
    return task


# Tasks that answer texts. The first six are also the hub's names of what a model's head is for.
PREDICTED = (
    *("text-classification", "token-classification", "question-answering", "fill-mask", "multiple-choice"),
    *("summarization", "intents", "faq"),
)
EMBEDDINGS = ("embeddings", "feature-extraction", "sentence-similarity")  # ours, and the hub's names


def predicting_task(name: str) -> type[PredictingTask]:
    """Class of a task that answers texts, by any of its names.

    Raises
    ------
    UsageError
        There is no such task, or none that answers texts.
    """
    from minidistil.tasks.base import PredictingTask

    if name not in EMBEDDINGS:
        kind = TASKS[task_name(name, more=(*PREDICTED, *EMBEDDINGS))].load()
        if issubclass(kind, PredictingTask):
            return kind
    verbs = " (`minidistil embed` gives vectors)" if name in EMBEDDINGS else ""
    raise UsageError(
        f"task {name!r} is none that answers a text{verbs}; those that do: {', '.join(PREDICTED)}, and "
        f"the tasks that finetune learns"
    )


def task_of(model: Model) -> type[TrainableTask]:
    """Class of the task that a model is made for, by its head.

    Raises
    ------
    ConfigError
        There is none.
    """
    from minidistil.tasks.base import TrainableTask

    tag = model.pipeline_tag
    # A summariser is a token classifier too.
    names = ("summarization", tag) if tag == "token-classification" else (tag,)
    for name in names if tag in PREDICTED else ():
        kind = predicting_task(name)
        if issubclass(kind, TrainableTask) and kind.fits(model):
            return kind
    raise ConfigError(
        f"{type(model).__name__} has no head to predict with: fine-tune it for a task first. Any encoder "
        "can embed, search and cluster, and predict with --task faq, intents or summarization"
    )


def pipeline(
    task: str | None = None,
    model: Model | str | Path | None = None,
    tokenizer: Tokenizer | str | Path | None = None,
    **options: Any,
) -> Any:
    """A ready predictor: `pipeline("text-classification", "runs/demo/student")`.

    Parameters
    ----------
    task : str, optional
        A name that `finetune` and `evaluate` take, such as "sst2" or "ner", or "embeddings". By default the
        task of the model's head; of an encoder without one, "embeddings".
    model : directory, hub id or Model
    tokenizer : Tokenizer, directory or hub id, optional
        By default that of the model's directory. A model in memory needs it.
    **options
        Of loading, as for `Model.from_pretrained`; of the task, such as `max_length`, and `entries` of
        "intents" and "faq"; options of every call, such as `top_k`, see `Predictor`. `batch_size` changes no
        result, and `device` may only be the CPU.

    Returns
    -------
    Predictor
        Called with texts. For "embeddings" a `SentenceEncoder`.

    Raises
    ------
    UsageError
        There is no such task or option.
    ConfigError
        The model is not for it.
    """
    from minidistil.tasks.making import make

    if task is not None:
        check_type("the task", task, str)
    return make(task, model, tokenizer, **options)
