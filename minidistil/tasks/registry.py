"""Tasks by the names that the field knows them by: their files' columns, labels and metrics.

The files are those that the tasks' authors hand out. GLUE (Wang et al. 2018, arXiv:1804.07461): tables with
tabs, in which quotes are ordinary characters; CoLA's has no first line of names. SNLI (Bowman et al. 2015,
arXiv:1508.05326) has MNLI's columns. AG News (Zhang et al. 2015,
arXiv:1509.01626): csv without names, classes 1 to 4, title, text. SMS spam (Almeida et al. 2011): label, tab,
text. Toxic comments (Jigsaw, on Kaggle, 2018): csv with a column of 0 and 1 for each label.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from minidistil.errors import ConfigError, UsageError
from minidistil.settings import build
from minidistil.tasks.base import Measurable
from minidistil.tasks.classification.task import Problem, SequenceSettings, SequenceTask
from minidistil.tasks.classification.trec import TrecTask
from minidistil.tasks.data import DataSettings, NamedData
from minidistil.tasks.intents.faq import FaqSettings, FaqTask
from minidistil.tasks.intents.out_of_scope import ScopeSettings
from minidistil.tasks.intents.task import IntentTask
from minidistil.tasks.masked_lm.task import MaskedLMSettings, MaskedLMTask
from minidistil.tasks.multiple_choice.task import ChoiceTask
from minidistil.tasks.question_answering.task import QuestionTask
from minidistil.tasks.similarity.retrieval import RetrievalSettings, RetrievalTask
from minidistil.tasks.similarity.settings import EncoderSettings
from minidistil.tasks.similarity.task import SimilarityTask, TranslationTask
from minidistil.tasks.summarization.task import SummarySettings, SummaryTask
from minidistil.tasks.token_classification.task import TokenTask

ENTAILMENT = {"entailment": "entailment", "not_entailment": "not_entailment"}


@dataclass(frozen=True)
class Named:
    """A task by name.

    Attributes
    ----------
    make : callable
        Gives the task from its settings.
    data : dict
        Settings of its files, see `DataSettings`.
    settings : type, optional
        A dataclass of settings that only this task has; `make` then takes one after the data's.
    """

    make: Callable[..., Measurable]
    data: Mapping[str, Any] = field(default_factory=dict)
    settings: type[Any] | None = None


def sequence(
    problem: Problem = "single",
    *,
    data: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
    primary: str | None = None,
) -> Named:
    """A task of one answer for each text, or pair; the arguments are those of `SequenceTask`."""
    settings = SequenceSettings if problem == "single" else None
    return Named(partial(SequenceTask, problem, names=names, primary=primary), data or {}, settings)


TSV = {"format": "tsv"}
PLAIN = {"format": "tsv", "header": False}
SENTENCES = {**TSV, "text": "sentence1", "pair": "sentence2"}
INFERENCE = sequence(  # "-" where those who were asked did not agree
    data={**SENTENCES, "label": "gold_label", "skip_label": "-"},
    names={name: name for name in ("entailment", "neutral", "contradiction")},
)
TASKS: dict[str, Named] = {
    "classification": sequence(),
    "multi-label": sequence("multi"),
    "regression": sequence("regression"),
    "cola": sequence(
        data={**PLAIN, "text": 3, "label": 1},
        names={"0": "unacceptable", "1": "acceptable"},
        primary="matthews",
    ),
    "sst2": sequence(
        data={**TSV, "text": "sentence", "label": "label"}, names={"0": "negative", "1": "positive"}
    ),
    "mrpc": sequence(
        data={**TSV, "text": "#1 String", "pair": "#2 String", "label": "Quality"},
        names={"0": "not_equivalent", "1": "equivalent"},
        primary="f1",
    ),
    "qqp": sequence(
        # A few lines of its files have cells missing.
        data={**TSV, "text": "question1", "pair": "question2", "label": "is_duplicate", "skip_broken": True},
        names={"0": "not_duplicate", "1": "duplicate"},
        primary="f1",
    ),
    "mnli": INFERENCE,
    "snli": INFERENCE,
    "ax": sequence(
        data={**SENTENCES, "label": "label"},
        names={name: name for name in ("entailment", "neutral", "contradiction")},
        primary="matthews",
    ),
    "qnli": sequence(
        data={**TSV, "text": "question", "pair": "sentence", "label": "label"}, names=ENTAILMENT
    ),
    "rte": sequence(data={**SENTENCES, "label": "label"}, names=ENTAILMENT),
    "wnli": sequence(data={**SENTENCES, "label": "label"}, names={"0": "not_entailment", "1": "entailment"}),
    "stsb": sequence("regression", data={**SENTENCES, "label": "score"}, primary="pearson"),
    "agnews": sequence(
        data={"format": "csv", "header": False, "text": 1, "pair": 2, "label": 0},
        names={"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"},
    ),
    "token-classification": Named(TokenTask),
    "masked-lm": Named(MaskedLMTask, settings=MaskedLMSettings),
    "multiple-choice": Named(ChoiceTask),
    "swag": Named(ChoiceTask),
    "question-answering": Named(QuestionTask),
    "squad": Named(QuestionTask),
    "conll2003": Named(TokenTask, data={"format": "columns"}),
    "summarization": Named(SummaryTask, settings=SummarySettings),
    "sms": sequence(
        data={**PLAIN, "text": 1, "label": 0}, names={"ham": "ham", "spam": "spam"}, primary="f1"
    ),
    "trec": Named(TrecTask),
    "trec-fine": Named(partial(TrecTask, fine=True)),
    "moderation": sequence(
        "multi",
        data={
            "format": "csv",
            "text": "comment_text",
            "label_columns": ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"),
        },
        primary="auroc_macro",
    ),
    "intents": Named(IntentTask, settings=ScopeSettings),
    "faq": Named(FaqTask, data={"text": "question", "label": "answer"}, settings=FaqSettings),
    "similarity": Named(SimilarityTask, settings=EncoderSettings),
    "stsb-similarity": Named(SimilarityTask, data={**SENTENCES, "label": "score"}, settings=EncoderSettings),
    "translations": Named(TranslationTask, settings=EncoderSettings),
    "retrieval": Named(RetrievalTask, settings=RetrievalSettings),
}

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
) -> Measurable:
    """A task by its name, or a kind of task.

    Parameters
    ----------
    name : str
        Of a task, such as "sst2", or of a kind of task, such as "classification" or "ner"; see `task_name`.
    data : DataSettings, optional
        What it says goes before what the name says.
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
    found, own = NamedData(**{**values, **known}, known=tuple(known)), TASKS[name].settings
    if own is None and settings:
        raise ConfigError(f"there is no setting task.{next(iter(settings))}: {name} has none of its own")
    task = TASKS[name].make(found, *([] if own is None else [build(own, settings or {}, "", "task")]))
    for key in said:
        if key not in task.reads:
            counts = ", ".join(f"data.{key}" for key in task.reads) or "none"
            raise ConfigError(f"data.{key} is no setting of {name}; those that count for it: {counts}")
    return task
