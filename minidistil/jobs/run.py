"""A run made from a recipe, in a directory of its own:

    recipe.toml, run.json     what was asked for, resolved; what it was made with, and of which data
    work/                     checkpoints, and what is kept of a teacher, as long as it trains
    metrics.jsonl             what happened
    model/                    the result, in the Hugging Face layout (of a fine-tuning: the directory itself)
    report.json               how good it is

Stopped anywhere and started again with the same arguments, it goes on, and ends with the same bits.
"""

from __future__ import annotations

import json
import logging
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from minidistil.errors import ConfigError, StorageError, UsageError
from minidistil.files import atomic_write, only_writer, read_json, write_json
from minidistil.jobs.provenance import provenance
from minidistil.model.model import Model
from minidistil.settings import changes, dump, flat, literal, to_dict
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.log import iter_records
from minidistil.train.objective import TrainingData
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard, Origin

log = logging.getLogger("minidistil")

Evaluation = Callable[[], Mapping[str, float]]


class RecipeRun:
    """One training, resumable, and the report on it. What it is about is said by subclasses.

    Parameters
    ----------
    recipe : dataclass
        With a table `train`.
    out : path
    quiet : bool
        Show no progress.
    """

    def __init__(self, recipe: Any, out: str | Path, *, quiet: bool = False) -> None:
        self.recipe, self.out, self.quiet = recipe, Path(out), quiet

    # What a kind of run says

    def identity(self) -> dict[str, Any]:
        """What else, besides recipe and data, makes this run this one."""
        return {}

    def about(self) -> dict[str, Any]:
        """What else is written down about it. Reads its input: what cannot work fails here."""
        return {}

    @cached_property
    def tokenizer(self) -> Tokenizer:
        raise NotImplementedError

    @property
    def result(self) -> Path:
        """Where the model goes."""
        return self.out / "model"

    @property
    def result_tokenizer(self) -> Tokenizer:
        """The tokenizer that goes with it."""
        return self.tokenizer

    def before_training(self) -> None:
        """What is to be known before the first step."""

    def first_model(self) -> Model:
        """The model as it begins."""
        raise NotImplementedError

    def data(self) -> TrainingData:
        """What it learns from."""
        raise NotImplementedError

    def evaluation(self, model: Model) -> Evaluation | None:
        """What is measured as it learns."""
        return None

    def trainer(self, model: Model, data: Any, **options: Any) -> Trainer:
        raise NotImplementedError

    def card(self) -> ModelCard:
        raise NotImplementedError

    def settings(self) -> Any:
        """The settings that had a part in it, in tables."""
        return self.recipe

    def arguments(self) -> list[str]:
        """The command line that makes it, but for settings and `--out`."""
        raise NotImplementedError

    @property
    def command(self) -> str:
        """The command line that makes it, an option a line."""
        options = [("--set", change) for change in changes(self.recipe)] + [("--out", str(self.out))]
        lines = [shlex.join(["minidistil", *self.arguments()])]
        lines += [shlex.join(option) for option in options]
        return " \\\n    ".join(lines)

    def made_card(self, source: Origin | None, **about: Any) -> ModelCard:
        """A card with all settings; of what it was made from it has what others can have, and the licence."""
        return ModelCard(
            base_model=None if source is None else source.base_model,
            license=None if source is None else source.license,
            details={key: said for key, value in flat(self.settings()).items() if (said := _shown(value))},
            command=self.command,
            **about,
        )

    def save(self, model: Model) -> None:
        """Write the result."""
        model.save_pretrained(self.result, tokenizer=self.result_tokenizer, card=self.card().render())

    def report(self) -> dict[str, Any]:
        """Sizes, and how good it is."""
        raise NotImplementedError

    def forget(self) -> None:
        """Remove what was measured before anything was learnt, with other settings."""
        shutil.rmtree(self.out / "work", ignore_errors=True)

    # The run

    def run(self) -> dict[str, Any]:
        """Do what is left to do; returns the report.

        Raises
        ------
        ConfigError
            `out` holds another run.
        StorageError
            Another process is writing there, or `out` was removed under way.
        """
        with only_writer(self.out), warnings_once():
            return self._run()

    def _run(self) -> dict[str, Any]:
        self._claim()
        self.before_training()
        if not (self.result / "config.json").exists():
            model, work = self.first_model(), self.out / "work"
            evaluate = self.evaluation(model)
            self._check_best(evaluate)
            self.trainer(model, self.data(), out=work, evaluate=evaluate, quiet=self.quiet).train()
            logged = finished_log(work)
            with atomic_write(self.out / "metrics.jsonl") as temporary:
                temporary.write_bytes(logged)
            self.save(model)
        shutil.rmtree(self.out / "work", ignore_errors=True)
        report = self.report()
        write_json(self.out / "report.json", report)
        return report

    def finished(self) -> dict[str, Any] | None:
        """The report, if this very run came to its end before; errors as of `run`."""
        report = self.out / "report.json"
        if not ((self.result / "config.json").exists() and report.exists()):
            return None
        self._claim()
        try:
            found: dict[str, Any] = read_json(report)
        except ConfigError:
            return None  # damaged: it is measured again
        return found if isinstance(found.get("models"), dict) else None

    def examples_seen(self, there: int) -> int:
        """Number of examples it has learnt from: not all, if it ended within the first epoch."""
        seen = 0
        for record in iter_records(self.out / "metrics.jsonl"):
            count = record.get("examples")
            seen += count if isinstance(count, int) else 0
            if seen >= there:
                break
        return min(seen, there) or there

    def has_learnt(self) -> bool:
        """Whether there is a checkpoint, or the model."""
        there = (self.result / "config.json").exists()
        return there or any((self.out / "work").glob("checkpoint-*"))

    def _check_best(self, evaluate: Evaluation | None) -> None:
        """What is best must be among what is measured. Measured once, so that nothing is learnt in vain."""
        best = self.recipe.train.keep_best
        if best is None or evaluate is None or self.has_learnt():
            return
        metrics = evaluate()
        if best not in metrics:
            raise ConfigError(f"train.keep_best is {best!r}, but what is measured is {', '.join(metrics)}")

    def _claim(self) -> None:
        """Write down whose directory this is, or check that it is ours."""
        path, identity = self.out / "run.json", self.identity()
        recipe = json.loads(json.dumps(to_dict(self.recipe)))
        if path.exists():
            before, ours = read_json(path), {"recipe": recipe, **identity}
            differing = "; ".join(_differences({key: before.get(key) for key in ours}, ours))
            if not differing:
                return
            if self.has_learnt():
                raise ConfigError(
                    f"{self.out} holds another run ({differing}): choose another --out, or remove it"
                )
            self.forget()  # of what was asked before, perhaps by mistake, nothing is lost
        for file in (self.result / "config.json", self.out / "report.json"):
            if file.exists():
                raise ConfigError(f"{file} is there already, and not of this run: choose another --out")
        about = {"recipe": recipe, **identity, "made_with": provenance(), **self.about()}
        with atomic_write(self.out / "recipe.toml") as temporary:
            temporary.write_text(dump(self.recipe), encoding="utf-8")
        write_json(path, about)


@contextmanager
def warnings_once() -> Iterator[None]:
    """Let each warning be said once, such as of texts that are cut in every evaluation."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = record.levelno < logging.WARNING or message not in said
        said.add(message)
        return new

    log.addFilter(is_new)
    try:
        yield
    finally:
        log.removeFilter(is_new)


def finished_log(work: Path) -> bytes:
    """The metrics.jsonl of a training that has come to its end.

    Raises
    ------
    StorageError
        It is gone, with the directory that it was in.
    """
    try:
        return (work / "metrics.jsonl").read_bytes()
    except OSError as error:
        raise StorageError(
            f"{work / 'metrics.jsonl'} is gone ({error.strerror}): the directory was removed, renamed or "
            "replaced while the run went on; put it back, and start again to go on from its last checkpoint"
        ) from error


def sizes(model: Model) -> dict[str, Any]:
    """What a report says of a model before it is measured."""
    return {
        "layers": model.config.num_hidden_layers,
        "parameters": model.params.num_parameters,
        "bytes": model.params.nbytes,
    }


def _shown(value: Any) -> str:
    """A setting for people to read; nothing of one that is left out."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return "" if value is None else value if isinstance(value, str) else literal(value)


def freeze(model: Model, what: Sequence[str]) -> None:
    """Keep some parameters as they are: "positions", or shell patterns of names.

    Raises
    ------
    ConfigError
        A pattern that no name matches.
    """
    for pattern in what:
        name = model.naming.prefix + model.naming.position if pattern == "positions" else pattern
        try:
            model.freeze(name)
        except UsageError as error:
            raise ConfigError(f"nothing to freeze: {error}") from error


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """What differs between two trees, as text."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += _differences(old, new, f"{path}{key}.")
        elif old != new and (isinstance(new, Mapping) or _is_hash(old) or _is_hash(new)):
            found.append(f"{path}{key} is not the same")
        elif old != new:
            found.append(f"{path}{key} is {old!r} there, {new!r} here")
    return found


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
