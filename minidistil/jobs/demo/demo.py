"""The main job on real weights and real text: a sentiment teacher, and a student half as deep.

Few labels, much text: fine-tune the pretrained MiniLM encoder on some labelled movie-review sentences,
start a student from every other layer, let the teacher label many more sentences softly, and train the
student on those alone. For comparison, the same student learns from the labels without a teacher.

Each stage ends with a directory that appears whole or not at all, and trains with checkpoints, so the
job can be stopped anywhere and started again.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minidistil.config import load_config
from minidistil.distill.student import init_student
from minidistil.distill.trainer import DistillationTrainer
from minidistil.errors import ConfigError, StorageError
from minidistil.files import atomic_write, only_writer, read_json, read_small, write_json
from minidistil.jobs.demo.assets import fetch_minilm
from minidistil.jobs.demo.corpora import movie_split, other_texts
from minidistil.jobs.run import finished_log
from minidistil.metrics import retained
from minidistil.model.families.bert import BertForSequenceClassification
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.tasks.classification.predict import accuracy, predict_logits
from minidistil.text.dataset import Dataset
from minidistil.text.lengths import sequence_length
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.log import parse_records
from minidistil.train.objective import ModelLoss
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard

LABELS = {0: "negative", 1: "positive"}
STAGES = ("teacher", "alone", "student")
WATCHED = 500  # held-out sentences that the curves are drawn from; the report uses all of them
TIMED, ROUNDS = 256, 3  # sentences and rounds of the speed measurement


@dataclass(frozen=True)
class ReviewSettings:
    """What the job does; the defaults are the setting in which distillation earns its keep.

    Attributes
    ----------
    labels : int or None
        Labelled sentences for the teacher and for the student alone; None for all.
    texts : int or None
        Movie-review sentences the teacher labels for the student; None for all of the training split.
    other_texts : bool
        Also the sentences of other kinds: product reviews, editorials, tweets.
    layers : tuple of int
        Teacher layers the student starts from.
    alone_from : "pretrained" or "teacher"
        Where the student without a teacher takes its layers: from the encoder that the teacher was
        fine-tuned from, or from the teacher (whose layers already know the task).
    teacher_epochs, alone_epochs, student_epochs : int
    soft, hard : float
        Weights of soft and hard labels in the student's loss. Hard labels need `texts` to be labelled.
    temperature : float
    batch_size, lr, max_length : int, float, int
    seed : int
    """

    labels: int | None = 1000
    texts: int | None = None
    other_texts: bool = False
    layers: tuple[int, ...] = (0, 2, 4)
    alone_from: str = "pretrained"
    teacher_epochs: int = 5
    alone_epochs: int = 5
    student_epochs: int = 2
    soft: float = 1.0
    hard: float = 0.0
    temperature: float = 2.0
    batch_size: int = 32
    lr: float = 5e-5
    max_length: int = 64
    seed: int = 0


class ReviewDistillation:
    """The job, stage by stage, in one directory. `run()` does all that is not yet done.

    Parameters
    ----------
    out : Path
    settings : ReviewSettings
    quiet : bool
        Show no progress.

    Raises
    ------
    ConfigError
        `out` holds a run with other settings.
    """

    def __init__(self, out: Path, settings: ReviewSettings, *, quiet: bool = False) -> None:
        self.out, self.settings, self.quiet = out, settings, quiet
        self._check_place()

    def _check_place(self) -> None:
        """A ConfigError if the directory is that of another run."""
        path, ours = self.out / "settings.json", self._plain_settings()
        if path.exists():
            theirs = read_json(path)
            differing = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
            if differing:
                changes = ", ".join(f"{k} {theirs.get(k)!r} there, {ours.get(k)!r} here" for k in differing)
                raise ConfigError(
                    f"{self.out} holds another run ({changes}): choose another --out, or remove it"
                )

    def _plain_settings(self) -> dict[str, Any]:
        """As JSON gives them back."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self.settings)))
        return plain

    # Inputs

    @cached_property
    def encoder(self) -> Path:
        """The pretrained encoder's directory."""
        return fetch_minilm()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_pretrained(self.encoder)

    @cached_property
    def data(self) -> tuple[Dataset, Dataset, Dataset]:
        """Labelled sentences, sentences for the student, held-out sentences."""
        s, split = self.settings, movie_split()
        texts, labels = split.train_texts, split.train_labels
        for name, wanted in (("labels", s.labels), ("texts", s.texts)):
            if wanted is not None and not 1 <= wanted <= len(texts):
                raise ConfigError(f"{name} must be between 1 and {len(texts)}, not {wanted}")
        unlabelled = texts[: s.texts] + (other_texts() if s.other_texts else [])
        if s.hard and (s.other_texts or (s.labels or len(texts)) < len(unlabelled)):
            raise ConfigError("hard labels for the student need every one of its sentences to be labelled")
        for_student = self._tokenise(unlabelled)
        if s.hard:
            for_student = for_student.with_targets(labels=np.array(labels[: s.texts]))
        return (
            self._tokenise(texts[: s.labels], labels[: s.labels]),
            for_student,
            self._tokenise(split.test_texts, split.test_labels),
        )

    def _tokenise(self, texts: list[str], labels: list[int] | None = None) -> Dataset:
        length = sequence_length(self.tokenizer, load_config(self.encoder), self.settings.max_length)
        data = Dataset.from_texts(self.tokenizer, texts, max_length=length)
        return data if labels is None else data.with_targets(labels=np.array(labels))

    # Stages

    def run(self) -> dict[str, Any]:
        """Do what is left to do; returns the report, which is also in `report.json`.

        Raises
        ------
        ConfigError
            `out` holds a run with other settings.
        StorageError
            Another process is writing there.
        """
        with only_writer(self.out):
            self._check_place()
            write_json(self.out / "settings.json", self._plain_settings())
            return self._run()

    def _run(self) -> dict[str, Any]:
        self._stage("teacher", self._train_teacher)
        self._stage("alone", self._train_alone)
        self._stage("student", self._train_student)
        report = self._report()
        write_json(self.out / "report.json", report)
        return report

    def _stage(self, name: str, train: Callable[[Path], tuple[Model, ModelCard]]) -> None:
        """Train and save one model, unless it is there; then its checkpoints can go."""
        work = self.out / "work" / name
        if not (self.out / name / "config.json").exists():
            model, card = train(work)
            self._gather_metrics(name, work)
            model.save_pretrained(self.out / name, tokenizer=self.tokenizer, card=card.render())
        shutil.rmtree(work, ignore_errors=True)

    def _gather_metrics(self, stage: str, work: Path) -> None:
        """Put a stage's records into the job's `metrics.jsonl`, in place of any it had there."""
        target = self.out / "metrics.jsonl"
        old = read_small(target, StorageError) if target.exists() else b""
        records = [r for r in parse_records(old) if r.get("stage") != stage]
        records += [{"stage": stage, **r} for r in parse_records(finished_log(work))]
        with atomic_write(target) as temporary:
            temporary.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")

    def _classifier(self) -> Model:
        """The pretrained encoder under a new classifier."""
        return BertForSequenceClassification.from_pretrained(
            self.encoder,
            id2label=LABELS,
            problem_type="single_label_classification",
            seed=self.settings.seed,
        )

    def _train_settings(self, epochs: int) -> TrainSettings:
        s = self.settings
        return TrainSettings(
            epochs=epochs, batch_size=s.batch_size, lr=s.lr, seed=s.seed, save_every=50, log_every=5
        )

    def _watch(self, model: Model) -> Callable[[], dict[str, float]]:
        """What is evaluated after every epoch. Nothing is chosen by it."""
        sample = self.data[2].subset(np.arange(min(WATCHED, len(self.data[2]))))
        return lambda: {"accuracy": accuracy(model, sample)}

    def _fine_tune(self, model: Model, work: Path, epochs: int, label: str) -> Model:
        Trainer(
            model,
            ModelLoss(model),
            self.data[0],
            settings=self._train_settings(epochs),
            out=work,
            evaluate=self._watch(model),
            label=label,
            quiet=self.quiet,
        ).train()
        return model

    def _train_teacher(self, work: Path) -> tuple[Model, ModelCard]:
        model = self._fine_tune(self._classifier(), work, self.settings.teacher_epochs, "teacher")
        return model, self._card("Teacher: sentiment of movie-review sentences", "fine-tuned on labels")

    def _train_alone(self, work: Path) -> tuple[Model, ModelCard]:
        s = self.settings
        source = self._classifier() if s.alone_from == "pretrained" else self._load("teacher")
        model = init_student(source, s.layers, seed=s.seed)
        model = self._fine_tune(model, work, s.alone_epochs, "student alone")
        return model, self._card("Student without a teacher", "fine-tuned on labels, for comparison")

    def _train_student(self, work: Path) -> tuple[Model, ModelCard]:
        s = self.settings
        teacher = self._load("teacher")
        student = init_student(teacher, s.layers, seed=s.seed)
        DistillationTrainer(
            student,
            teacher,
            self.data[1],
            settings=self._train_settings(s.student_epochs),
            weights={"soft": s.soft, "hard": s.hard},
            temperature=s.temperature,
            out=work,
            evaluate=self._watch(student),
            label="student",
            quiet=self.quiet,
        ).train()
        return student, self._card("Student: sentiment of movie-review sentences", "distilled")

    def _load(self, name: str) -> Model:
        return BertForSequenceClassification.from_pretrained(self.out / name)

    def _card(self, title: str, how: str) -> ModelCard:
        return ModelCard(
            title=title,
            summary=f"A BERT classifier of English movie-review sentences, {how} by minidistil.",
            license="apache-2.0",
            base_model="sentence-transformers/all-MiniLM-L6-v2",
            pipeline_tag="text-classification",
            details={k: str(v) for k, v in dataclasses.asdict(self.settings).items()},
            command="minidistil demo",
            limitations="Trained on single sentences of English film reviews; of no use elsewhere untested.",
        )

    # What came of it

    def _report(self) -> dict[str, Any]:
        """Sizes, speed and accuracy of the three models, and what the student keeps of its teacher."""
        models = {name: self._load(name) for name in STAGES}
        held_out = self.data[2]
        rows: dict[str, dict[str, Any]] = {}
        for name, model in models.items():
            rows[name] = {
                "layers": model.config.num_hidden_layers,
                "parameters": model.params.num_parameters,
                "bytes": (self.out / name / "model.safetensors").stat().st_size,
                "accuracy": accuracy(model, held_out),
            }
        for name, rate in self._speeds(models).items():
            rows[name]["sentences_per_second"] = rate
        for row in rows.values():
            row["retained"] = retained(row["accuracy"], rows["teacher"]["accuracy"])
        return {
            "settings": dataclasses.asdict(self.settings),
            "encoder": load_config(self.encoder).to_dict(),
            "labelled_sentences": len(self.data[0]),
            "student_sentences": len(self.data[1]),
            "held_out_sentences": len(held_out),
            "models": rows,
        }

    def _speeds(self, models: dict[str, Model]) -> dict[str, float]:
        """Held-out sentences a second, forward passes alone: median over rounds, models in turn."""
        sample = self.data[2].subset(np.arange(min(TIMED, len(self.data[2]))))
        seconds: dict[str, list[float]] = {name: [] for name in models}
        with Progress(ROUNDS, "timing", "round", quiet=self.quiet) as progress:
            for _ in range(ROUNDS):
                for name, model in models.items():
                    began = time.perf_counter()
                    predict_logits(model, sample)
                    seconds[name].append(time.perf_counter() - began)
                progress.update()
        return {name: len(sample) / statistics.median(times) for name, times in seconds.items()}


NAMES = {"teacher": "teacher", "alone": "student alone", "student": "student, taught"}


def table(report: dict[str, Any]) -> str:
    """The report as a table of at most 80 columns."""
    columns = ("layers", "parameters", "on disk", "sentences/s", "accuracy", "retained")
    rows = [("", *columns)]
    for name, row in report["models"].items():
        rows.append(
            (
                NAMES[name],
                str(row["layers"]),
                f"{row['parameters'] / 1e6:.1f} M",
                f"{row['bytes'] / 1e6:.1f} MB",
                f"{row['sentences_per_second']:.0f}",
                f"{row['accuracy']:.1%}",
                "" if row["retained"] is None else f"{row['retained']:.1%}",
            )
        )
    lines = [
        f"{row[0]:15}" + "".join(f"{cell:>{len(c) + 2}}" for c, cell in zip(columns, row[1:], strict=True))
        for row in rows
    ]
    return "\n".join(lines) + (
        f"\n\nTeacher and student alone learnt from {report['labelled_sentences']:,} labelled sentences, the"
        f"\ntaught student from the teacher's soft labels of {report['student_sentences']:,}. Accuracy on"
        f"\n{report['held_out_sentences']:,} held-out sentences; retained: share of the teacher's accuracy."
    )
