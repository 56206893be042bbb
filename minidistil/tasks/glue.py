"""GLUE as a whole: its folders, a score for each task, and the files that its server takes.

GLUE (Wang et al. 2018, arXiv:1804.07461) is nine tasks and a diagnostic set, AX, which a model of MNLI
answers. Two ways of counting are in use, and both are given here.

One number a task: the metric that the task is judged by (see `minidistil.tasks.registry`; of MNLI the matched
half), and the mean over tasks.

The leaderboard: of a task with several metrics first their mean (Wang et al.), that is of MRPC and QQP of F1
and accuracy, of STS-B of Pearson's and Spearman's correlation, of MNLI of its two halves; then the mean over
tasks. AX is shown beside it.

DistilBERT's table (Sanh et al. 2019, arXiv:1910.01108, table 1) is nearly of the second kind: medians of 5
runs for each of the nine tasks, WNLI among them. docs/tasks/glue.md says what is known of its metrics.

A correlation that is not defined, because a model gives one answer to everything, counts as 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import ConfigError, DataError
from minidistil.files import atomic_write
from minidistil.metrics import retained
from minidistil.model import load_to_answer
from minidistil.tasks.classification.scores import label_names
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.data import DataSettings
from minidistil.tasks.registry import named_task
from minidistil.text.labels import LabelMap
from minidistil.text.readers import Examples, read_examples
from minidistil.text.sources import lines_of
from minidistil.text.tables import Column
from minidistil.text.tokenizer import Tokenizer

MISMATCHED, DIAGNOSTIC = "mismatched", "ax"


@dataclass(frozen=True)
class GlueTask:
    """One of GLUE's nine tasks.

    Attributes
    ----------
    name : str
        As `--task` takes it.
    title : str
        GLUE's own; also the name of its folder and of what is handed in.
    metrics : dict of str to str
        What is shown, by what it is called in an evaluation: the metric that it is judged by, then what else
        the leaderboard averages.
    text, pair : str
        Columns of its test file.
    train, dev, test : tuple of str
        Names of its files; the first that is there is taken.
    index : str
        The column of a test file that numbers its rows.
    """

    name: str
    title: str
    metrics: Mapping[str, str]
    text: Column = "sentence1"
    pair: Column | None = "sentence2"
    train: tuple[str, ...] = ("train.tsv",)
    dev: tuple[str, ...] = ("dev.tsv",)
    test: tuple[str, ...] = ("test.tsv",)
    index: str = "index"

    @property
    def main_metric(self) -> str:
        return next(iter(self.metrics))


ACCURACY = {"accuracy": "accuracy"}
F1 = {"f1": "F1", "accuracy": "accuracy"}
GLUE: dict[str, GlueTask] = {
    task.name: task
    for task in (
        GlueTask("cola", "CoLA", {"matthews": "Matthews"}, "sentence", None),
        GlueTask("sst2", "SST-2", ACCURACY, "sentence", None),
        GlueTask(
            "mrpc", "MRPC", F1, "#1 String", "#2 String",
            # As Microsoft hands it out; its test file has labels.
            train=("train.tsv", "msr_paraphrase_train.txt"),
            dev=("dev.tsv", "msr_paraphrase_test.txt"),
            test=("test.tsv", "msr_paraphrase_test.txt"),
        ),
        GlueTask("stsb", "STS-B", {"pearson": "Pearson", "spearman": "Spearman"}),
        GlueTask("qqp", "QQP", F1, "question1", "question2", index="id"),
        GlueTask(
            "mnli", "MNLI", {"accuracy": "m", f"accuracy_{MISMATCHED}": "mm accuracy"},
            dev=("dev_matched.tsv",), test=("test_matched.tsv",),
        ),
        GlueTask("qnli", "QNLI", ACCURACY, "question", "sentence"),
        GlueTask("rte", "RTE", ACCURACY),
        GlueTask("wnli", "WNLI", ACCURACY),
    )
}  # fmt: skip
AX = GlueTask("ax", "AX", {"matthews": "Matthews"})
DIAGNOSTICS = ("AX.tsv", "diagnostic.tsv", "diagnostic-full.tsv")


@dataclass(frozen=True)
class GlueFiles:
    """Files of a task.

    Attributes
    ----------
    train, dev : Path or None
    also : dict of str to Path
        Of MNLI what else is measured: "mismatched", and "ax" if its file has labels.
    tests : dict of str to Path
        Test files, by the title of the file to hand in.
    """

    train: Path | None
    dev: Path | None
    also: Mapping[str, Path]
    tests: Mapping[str, Path]


def glue_files(folder: str | Path) -> tuple[dict[str, GlueFiles], dict[str, str]]:
    """Look for GLUE's files, as its authors hand them out.

    Parameters
    ----------
    folder : path
        With a folder for each task, in upper or lower case, with its hyphen or without.

    Returns
    -------
    found : dict of str to GlueFiles
        Tasks of which there is something, in GLUE's order.
    missing : dict of str to str
        The others, and why.

    Raises
    ------
    DataError
        No such folder, or nothing of GLUE in it.
    """
    folder = Path(folder)
    try:
        places = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=folder) from error
    folders = {_plain(place.name): place for place in reversed(places) if place.is_dir()}
    found, missing = {}, {}
    for task in GLUE.values():
        place = folders.get(task.name)
        files = None if place is None else _files_of(task, place)
        if files is not None and (files.train or files.dev or files.tests):
            found[task.name] = files
        else:
            missing[task.name] = f"no folder {task.title}" if place is None else f"nothing of it in {place}"
    if not found:
        titles = ", ".join(task.title for task in GLUE.values())
        raise DataError(f"no folder of GLUE's in it; expected some of {titles}", path=folder)
    if "mnli" in found:
        found["mnli"] = _with_diagnostic(found["mnli"], folder, folders)
    return found, missing


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _files_of(task: GlueTask, place: Path) -> GlueFiles:
    inside = {path.name.lower(): path for path in place.iterdir() if path.is_file()}

    def first(names: tuple[str, ...]) -> Path | None:
        return next((inside[name.lower()] for name in names if name.lower() in inside), None)

    test = first(task.test)
    if task.name != "mnli":
        return GlueFiles(first(task.train), first(task.dev), {}, {task.title: test} if test else {})
    mismatched, other = first((f"dev_{MISMATCHED}.tsv",)), first((f"test_{MISMATCHED}.tsv",))
    tests = {"MNLI-m": test, "MNLI-mm": other}
    return GlueFiles(
        first(task.train),
        first(task.dev),
        {MISMATCHED: mismatched} if mismatched else {},
        {title: path for title, path in tests.items() if path},
    )


def _with_diagnostic(files: GlueFiles, folder: Path, folders: Mapping[str, Path]) -> GlueFiles:
    """Add AX, in a folder of its own or beside the tasks; it can be evaluated if it has labels."""
    own = [folders[name] for name in ("ax", "diagnostic") if name in folders]
    paths = [place / "test.tsv" for place in own]
    paths += [place / name for place in (*own, folders["mnli"], folder) for name in DIAGNOSTICS]
    also, tests = dict(files.also), dict(files.tests)
    for path in paths:
        columns = _columns(path) if path.is_file() else []
        if "label" in columns or "Label" in columns:
            also.setdefault(DIAGNOSTIC, path)
        if "sentence1" in columns:
            tests.setdefault(AX.title, path)
    return replace(files, also=also, tests=tests)


def _columns(path: Path) -> list[str]:
    return next((line.rstrip("\r\n").split("\t") for _, line in lines_of(path, str(path))), [])


def diagnostic_task(path: Path, data: DataSettings) -> ClassificationTask:
    """AX as GLUE's own files have it; the one with categories calls its columns otherwise."""
    if "Premise" in _columns(path):
        data = replace(data, text="Premise", pair="Hypothesis", label="Label")
    return sequence_task(AX.name, data)


def sequence_task(name: str, data: DataSettings | None = None) -> ClassificationTask:
    """A task of GLUE by its name."""
    task = named_task(name, data)
    assert isinstance(task, ClassificationTask)
    return task


def macro(scores: Sequence[float]) -> float:
    """The mean of a number for each task; one that is not defined counts as 0."""
    return fmean(0.0 if math.isnan(score) else score for score in scores)


def summary(found: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Scores of several tasks, and their means.

    Parameters
    ----------
    found : dict of str to dict
        For each task what its evaluation found, shares from 0 to 1; of MNLI also "accuracy_mismatched" and
        "matthews_ax", if they were measured.

    Returns
    -------
    dict
        "tasks": for each its metrics, with "primary" and "score", the one number of either way of counting;
        "macro" and "glue_score", the means over tasks of those; "measured", how many tasks that is; "ax", its
        Matthews correlation, if there is one.
    """
    tasks = {}
    for name, metrics in found.items():
        task = GLUE[name]
        own = {metric: macro([metrics[metric]]) for metric in task.metrics if metric in metrics}
        tasks[name] = {**own, "primary": own[task.main_metric], "score": macro(list(own.values()))}
    summed: dict[str, Any] = {
        "tasks": tasks,
        "macro": macro([facts["primary"] for facts in tasks.values()]),
        "glue_score": macro([facts["score"] for facts in tasks.values()]),
        "measured": len(tasks),
    }
    diagnostic = found.get("mnli", {}).get(f"matthews_{DIAGNOSTIC}")
    return summed if diagnostic is None else {**summed, DIAGNOSTIC: diagnostic}


def retention(summed: Mapping[str, Any], against: Mapping[str, Any]) -> dict[str, Any]:
    """Shares of another model's numbers, over the tasks that both were evaluated on.

    Returns
    -------
    dict
        "tasks": for each the share of "primary", or None where the other has nothing; "macro" and
        "glue_score": share of those means, over the common tasks; if one of the two has medians over seeds,
        "median_macro" and "median_glue_score", the same of these; "measured": how many tasks are common.
    """
    ours, theirs = summed["tasks"], against["tasks"]
    common = [name for name in ours if name in theirs]
    shares: dict[str, tuple[str, ...]] = {"macro": ("primary",), "glue_score": ("score",)}
    if any("median" in facts[name] for facts in (ours, theirs) for name in common):
        # Of a single run the median is the number itself.
        shares |= {"median_macro": ("median", "primary"), "median_glue_score": ("median_score", "score")}
    means = {
        mean: [
            macro([next(facts[name][key] for key in keys if key in facts[name]) for name in common])
            for facts in (ours, theirs)
        ]
        for mean, keys in shares.items()
        if common
    }
    return {
        "tasks": {name: retained(ours[name]["primary"], theirs[name]["primary"]) for name in common},
        **{mean: retained(*pair) for mean, pair in means.items()},
        "measured": len(common),
    }


def write_submission(
    model_path: str | Path, title: str, test: str | Path, out: str | Path, data: DataSettings | None = None
) -> None:
    """Predict a test file, and write what GLUE's server takes.

    A table with tabs, "index" and "prediction": words for MNLI, AX, QNLI and RTE, 0 or 1 for the others; of
    STS-B numbers from 0 to 5 with three decimals.

    Parameters
    ----------
    model_path : path or id
        A model fine-tuned for the task.
    title : str
        "CoLA", "SST-2", "MNLI-mm", "AX", ...: whose file.
    test : path
    out : path
        The file to write.
    data : DataSettings, optional
        Of which `max_length` counts.

    Raises
    ------
    DataError
        The file is not this task's test file.
    ConfigError
        A model with other labels than the task's.
    """
    task, (numbers, examples) = _task_of(title), test_examples(title, test)
    kind = sequence_task(task.name, data)
    model, tokenizer = load_to_answer(model_path, kind.head), Tokenizer.from_pretrained(model_path)
    kind.check_model(model, model_path)
    scores = np.concatenate(list(kind.answers(model, tokenizer, examples.texts, examples.pairs)))
    said = predictions(kind, scores, label_names(model.config))
    rows = [f"{number}\t{what}\n" for number, what in zip(numbers, said, strict=True)]
    with atomic_write(out) as temporary:
        temporary.write_text("".join(["index\tprediction\n", *rows]), encoding="utf-8")


def test_examples(title: str, path: str | Path) -> tuple[list[str], Examples]:
    """The numbers of a test file's rows, and its texts without labels.

    Raises
    ------
    DataError
        The file is not this task's test file.
    """
    task, labelled = _task_of(title), Path(path).name.startswith("msr_")  # Microsoft numbers no rows
    examples = read_examples(
        path, text=task.text, pair=task.pair, label=None if labelled else task.index, format="tsv"
    )
    numbers = range(len(examples)) if labelled else examples.labels or ()
    return [str(number) for number in numbers], replace(examples, labels=None)


def _task_of(title: str) -> GlueTask:
    return AX if title == AX.title else next(t for t in GLUE.values() if title.split("-m")[0] == t.title)


def predictions(task: ClassificationTask, scores: npt.NDArray[Any], names: Sequence[str]) -> list[str]:
    """Answers of a model, [N, C], in the words of the task's own files; `names` are its labels."""
    if task.problem == "regression":
        return [f"{value:.3f}" for value in np.clip(scores.reshape(-1), 0, 5)]
    ours = LabelMap(tuple(names))
    words = {task.names.number(name, ours): word for word, name in task.names.names.items()}
    if words.keys() != set(range(len(ours.names))):
        raise ConfigError(
            f"the model's labels are {', '.join(ours.names)}; the task's are {', '.join(task.names.all)}"
        )
    return [words[i] for i in scores.argmax(1).tolist()]
