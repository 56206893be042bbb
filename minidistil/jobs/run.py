"""Directory of a job: one training or several, resumable, and the report on them.

    recipe.toml, run.json     settings, resolved; versions, machine and hashes of the inputs
    work/                     checkpoints, and outputs kept of a teacher, as long as it trains
    metrics.jsonl             log of the training
    model/                    the result, in the Hugging Face layout (of a fine-tuning: the directory itself)
    report.json               sizes and metrics
    evaluation.json           details of the evaluation: examples with the highest loss, calibration, ...

Stopped anywhere and started again with the same arguments, a job goes on, and ends with the same bits.
"""

from __future__ import annotations

import json
import logging
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minidistil.errors import ConfigError, StorageError, UsageError
from minidistil.files import atomic_write, only_writer, read_json, read_small, write_json
from minidistil.jobs.provenance import provenance
from minidistil.jobs.sources import Origin
from minidistil.model.model import Model
from minidistil.settings import changes, dump, flat, literal, to_dict
from minidistil.streams import WarnOnce
from minidistil.tasks.details import Details
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.log import iter_records, parse_records
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard

log = logging.getLogger("minidistil")

Evaluation = Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Job:
    """One job in its directory: claim it, train, save the model, finish with the report.

    Parameters
    ----------
    recipe : dataclass
    out : Path
    arguments : sequence of str
        Its command line, without settings and `--out`.
    model : str
        Directory of the model inside `out`; "" is `out` itself.
    stage : str, optional
        Name of one training of several, see `of_stage`.
    details : dict of str to Details
        Details of the evaluation of each model, which `details_of` opens and `finish` writes.
    """

    recipe: Any
    out: Path
    arguments: Sequence[str] = ()
    model: str = "model"
    stage: str | None = None
    details: dict[str, Details] = field(default_factory=dict)

    @property
    def result(self) -> Path:
        """Directory of the trained model."""
        return self.out / self.model

    @property
    def work(self) -> Path:
        """Directory of checkpoints; removed when the model is saved."""
        return self.out / "work" / (self.stage or "")

    def of_stage(self, name: str) -> Job:
        """One training of several: a model and checkpoints of its own, records of its own in the log."""
        return Job(self.recipe, self.out, self.arguments, model=name, stage=name)

    # Identity

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out of the directory, and log each warning once.

        Raises
        ------
        StorageError
            Another process is writing there.
        """
        once = WarnOnce()
        log.addFilter(once)
        try:
            with only_writer(self.out):
                yield
        finally:
            log.removeFilter(once)

    def is_claimed(self, identity: Mapping[str, Any]) -> bool:
        """True if the directory is that of this very run.

        Raises
        ------
        ConfigError
            It holds another run, which has learnt.
        """
        path, now = self.out / "run.json", {"recipe": self._plain_recipe(), **identity}
        if not path.exists():
            return False
        before = read_json(path)
        differing = "; ".join(_differences({key: before.get(key) for key in now}, now))
        if differing and self.has_learnt():
            raise ConfigError(
                f"{self.out} holds another run ({differing}): choose another --out, or remove it"
            )
        return not differing

    def claim(self, identity: Mapping[str, Any], about: Callable[[], Mapping[str, Any]] = dict) -> None:
        """Record the identity of the run, or check that it is the recorded one.

        Parameters
        ----------
        identity : mapping
            Inputs besides the recipe, as JSON: hashes of models and data.
        about : callable
            Gives further facts for run.json. Called before anything is written, and not for a run that is
            resumed: inputs that cannot work are refused here.

        Raises
        ------
        ConfigError
            `out` holds another run, or a model or a report of none.
        """
        if self.is_claimed(identity):
            return
        if (self.out / "run.json").exists():  # measured before anything was learnt, with other settings
            shutil.rmtree(self.out / "work", ignore_errors=True)
            (self.out / "teacher.json").unlink(missing_ok=True)
        for file in (self.result / "config.json", self.out / "report.json"):
            if file.exists():
                raise ConfigError(f"{file} is there already, and not of this run: choose another --out")
        facts = {"recipe": self._plain_recipe(), **identity, "made_with": provenance(), **about()}
        with atomic_write(self.out / "recipe.toml") as temporary:
            temporary.write_text(dump(self.recipe), encoding="utf-8")
        write_json(self.out / "run.json", facts)

    def fact(self, name: str, find: Callable[[], Any]) -> Any:
        """A fact of run.json; if it is not there, it is found and added."""
        facts = read_json(self.out / "run.json")
        if name not in facts:
            facts[name] = find()
            write_json(self.out / "run.json", facts)
        return facts[name]

    def _plain_recipe(self) -> dict[str, Any]:
        """The recipe as it is read from JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(to_dict(self.recipe)))
        return plain

    def finished(self, identity: Callable[[], Mapping[str, Any]]) -> dict[str, Any] | None:
        """The report, if this very run has ended before; errors as of `is_claimed`."""
        report = self.out / "report.json"
        if not (self.is_trained() and report.exists() and self.is_claimed(identity())):
            return None
        try:
            facts: dict[str, Any] = read_json(report)
        except ConfigError:
            return None  # damaged: it is measured again
        return facts if isinstance(facts.get("models"), dict) else None

    # Training

    def is_trained(self) -> bool:
        """True if the model is saved."""
        return (self.result / "config.json").exists()

    def has_learnt(self) -> bool:
        """True if there is a checkpoint, or the model."""
        return self.is_trained() or any((self.out / "work").glob("**/checkpoint-*"))

    def checked(self, evaluate: Evaluation | None) -> Evaluation | None:
        """The evaluation, if it measures `train.keep_best`. It is tried once, before anything is learnt.

        Raises
        ------
        ConfigError
            It does not.
        """
        best = self.recipe.train.keep_best
        if best is not None and evaluate is not None and not self.has_learnt():
            metrics = evaluate()
            if best not in metrics:
                raise ConfigError(
                    f"train.keep_best is {best!r}, but what is measured is {', '.join(metrics)}"
                )
        return evaluate

    def train(self, trainer: Trainer) -> None:
        """Train to the end, and keep the log.

        Raises
        ------
        StorageError
            The directory was removed under way.
        """
        trainer.train()
        logged, target = finished_log(self.work), self.out / "metrics.jsonl"
        if self.stage is not None:
            old = parse_records(read_small(target, StorageError)) if target.exists() else []
            records = [record for record in old if record.get("stage") != self.stage]
            records += [{"stage": self.stage, **record} for record in parse_records(logged)]
            logged = "".join(json.dumps(record) + "\n" for record in records).encode()
        with atomic_write(target) as temporary:
            temporary.write_bytes(logged)

    def save(self, model: Model, tokenizer: Tokenizer, card: ModelCard) -> None:
        """Write the model; its config.json, the last file, says that it is there."""
        model.save_pretrained(self.result, tokenizer=tokenizer, card=card.render())

    def details_of(self, name: str) -> Details:
        """Details of a model that `finish` writes; for its evaluation to fill in."""
        self.details[name] = Details()
        return self.details[name]

    def finish(self, report: dict[str, Any]) -> dict[str, Any]:
        """Remove the checkpoints, write the report and the details, and return the report."""
        shutil.rmtree(self.out / "work", ignore_errors=True)
        path = self.out / "evaluation.json"
        found = {name: details.found for name, details in self.details.items() if details.found}
        if found:
            write_json(path, {"models": found})
        else:
            path.unlink(missing_ok=True)
        write_json(self.out / "report.json", report)
        return report

    # Facts for the card and the report

    @property
    def command(self) -> str:
        """The command line that makes it, an option a line."""
        options = [("--set", change) for change in changes(self.recipe)] + [("--out", str(self.out))]
        lines = [shlex.join(["minidistil", *self.arguments]), *map(shlex.join, options)]
        return " \\\n    ".join(lines)

    def card(self, source: Origin | None, settings: Any = None, **about: Any) -> ModelCard:
        """A card with all settings, and with the name and licence of the source if others can have it."""
        settings = self.recipe if settings is None else settings
        return ModelCard(
            base_model=None if source is None else source.base_model,
            license=None if source is None else source.license,
            details={key: text for key, value in flat(settings).items() if (text := _shown(value))},
            command=self.command,
            **about,
        )

    def examples_seen(self, count: int) -> int:
        """Examples of `count` that were learnt from: fewer if it ended within the first epoch."""
        seen = 0
        for record in iter_records(self.out / "metrics.jsonl"):
            logged = record.get("examples")
            seen += logged if isinstance(logged, int) else 0
            if seen >= count:
                break
        return min(seen, count) or count

    def steps_of_stages(self) -> dict[str, int]:
        """Steps of each training of several, by its name."""
        steps: dict[str, int] = {}
        for record in iter_records(self.out / "metrics.jsonl"):
            steps[record["stage"]] = record["step"]
        return steps


def finished_log(work: Path) -> bytes:
    """The metrics.jsonl of a training that has ended.

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
    """Layers, parameters and bytes of a model, for a report."""
    return {
        "layers": model.config.depth,
        "parameters": model.params.num_parameters,
        "bytes": model.params.nbytes,
    }


def freeze(model: Model, patterns: Sequence[str]) -> None:
    """Keep some parameters as they are: "positions", or what `Model.freeze` takes.

    Raises
    ------
    ConfigError
        A pattern that no name matches.
    """
    for pattern in patterns:
        name = model.encoder.embeddings.position.name if pattern == "positions" else pattern
        try:
            model.freeze(name)
        except UsageError as error:
            raise ConfigError(f"nothing to freeze: {error}") from error


def _shown(value: Any) -> str:
    """A setting for people to read; empty if it is left out."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return "" if value is None else value if isinstance(value, str) else literal(value)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """Differences between two trees, as text."""
    differing = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            differing += _differences(old, new, f"{path}{key}.")
        elif old != new and (isinstance(new, Mapping) or _is_hash(old) or _is_hash(new)):
            differing.append(f"{path}{key} is not the same")
        elif old != new:
            differing.append(f"{path}{key} is {old!r} there, {new!r} here")
    return differing


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
