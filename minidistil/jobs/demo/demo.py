"""The main job on real weights and real text: a sentiment teacher, and a student half as deep.

Few labels, much text: fine-tune the pretrained MiniLM encoder on some labelled movie-review sentences,
start a student from every other layer, and train it on the teacher's soft labels of many more sentences
alone. For comparison, the same student learns from the labels without a teacher.

Each of the three trainings has a directory for its model in that of the job (`minidistil.jobs.run`); stopped
anywhere and started again, the job goes on.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minidistil.distill.student import init_student
from minidistil.distill.trainer import DistillationTrainer
from minidistil.errors import ConfigError
from minidistil.jobs.demo.corpora import Split, movie_split, other_texts
from minidistil.jobs.results import format_table
from minidistil.jobs.run import Job, sizes
from minidistil.metrics import retained
from minidistil.model.families import load_config
from minidistil.model.families.bert import BertForSequenceClassification
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.settings import check_setting
from minidistil.tasks.classification.details import class_details
from minidistil.tasks.classification.scores import accuracy, answer_scores, class_scores
from minidistil.tasks.inference import predict_logits
from minidistil.text.dataset import Dataset
from minidistil.text.lengths import sequence_length
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.objective import ModelLoss
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.train.validation import mean_loss
from minidistil.weights.assets import fetch_minilm
from minidistil.weights.card import ModelCard

LABELS = {0: "negative", 1: "positive"}
STAGES = ("teacher", "alone", "student")
LABELLED = "fine-tuned on labels"
WATCHED = 500  # held-out sentences that the curves are drawn from; the report uses all of them
TIMED, ROUNDS = 256, 3  # sentences and rounds of the speed measurement


@dataclass(frozen=True)
class ReviewSettings:
    """Settings of the job; the defaults are those where distillation gains most.

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
    alone_from : {"pretrained", "teacher"}
        Source of the layers of the student without a teacher: the encoder that the teacher was fine-tuned
        from, or the teacher (whose layers already know the task).
    teacher_epochs, alone_epochs, student_epochs : int >= 1
        Passes over the sentences of this training.
    soft : float
        Weight of the teacher's soft labels in the student's loss.
    hard : float
        Weight of the labels in the student's loss. It needs `texts` to be labelled.
    temperature : float > 0
        Of the soft labels.
    batch_size : int >= 1
        Sentences of a step.
    lr : float >= 0
        Highest learning rate.
    max_length : int >= 3
        Most tokens of a sentence; longer ones are cut.
    seed : int >= 0
        Of data order, dropout and new weights.
    """

    labels: int | None = 1000
    texts: int | None = None
    other_texts: bool = False
    layers: tuple[int, ...] = (0, 2, 4)
    alone_from: Literal["pretrained", "teacher"] = "pretrained"
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

    def __post_init__(self) -> None:
        for name in ("teacher_epochs", "alone_epochs", "student_epochs", "batch_size"):
            value = getattr(self, name)
            check_setting(value >= 1, name, value, "an integer >= 1")
        for name in ("lr", "seed"):
            value = getattr(self, name)
            check_setting(value >= 0, name, value, "a number >= 0")
        check_setting(self.temperature > 0, "temperature", self.temperature, "a number > 0")
        check_setting(self.max_length >= 3, "max_length", self.max_length, "an integer >= 3")


class ReviewDistillation:
    """The job, training by training, in one directory. `run()` does what is missing.

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
        self.job = Job(settings, out, ["demo"], model=STAGES[0])
        if (out / "settings.json").exists():
            raise ConfigError(
                f"{out} holds a demo of an earlier version (settings.json): choose another --out, or remove "
                "it"
            )
        self.job.is_claimed({})  # another run is refused before anything is fetched

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and return the report; errors as of the steps of `Job`."""
        with self.job.alone():
            self.job.claim({})
            self._train("teacher", self.teacher, "Teacher: sentiment of movie-review sentences", LABELLED)
            self._train("alone", self.alone, "Student without a teacher", f"{LABELLED}, for comparison")
            self._train("student", self.student, "Student: sentiment of movie-review sentences", "distilled")
            return self.job.finish(self.report())

    def finished(self) -> dict[str, Any] | None:
        """The report, if this very run has ended before; errors as of `run`."""
        return self.job.finished(dict)

    def _train(self, name: str, trainer: Callable[..., Trainer], title: str, how: str) -> None:
        """Train and save one of the models, unless it is there."""
        job = self.job.of_stage(name)
        if not job.is_trained():
            made = trainer(out=job.work, quiet=self.quiet)
            job.train(made)
            assert isinstance(made.model, Model)
            job.save(made.model, self.tokenizer, self.card(title, how))

    # Inputs

    @cached_property
    def encoder(self) -> Path:
        """The pretrained encoder's directory."""
        return fetch_minilm()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.from_pretrained(self.encoder)

    @cached_property
    def split(self) -> Split:
        return movie_split()

    @cached_property
    def data(self) -> tuple[Dataset, Dataset, Dataset]:
        """Labelled sentences, sentences for the student, held-out sentences."""
        s, split = self.settings, self.split
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

    # The three trainings; options as of `Trainer`

    def teacher(self, **options: Any) -> Trainer:
        """The pretrained encoder under a new classifier, on labels."""
        return self._fine_tuning(self._classifier(), self.settings.teacher_epochs, label="teacher", **options)

    def alone(self, **options: Any) -> Trainer:
        """Some layers of the encoder, or of the teacher, on the same labels."""
        s = self.settings
        source = self._classifier() if s.alone_from == "pretrained" else self._load("teacher")
        student = init_student(source, s.layers, seed=s.seed)
        return self._fine_tuning(student, s.alone_epochs, label="student alone", **options)

    def student(self, **options: Any) -> Trainer:
        """Some layers of the teacher, on the teacher's soft labels."""
        s = self.settings
        teacher = self._load("teacher")
        student = init_student(teacher, s.layers, seed=s.seed)
        return DistillationTrainer(
            student,
            teacher,
            self.data[1],
            weights={"soft": s.soft, "hard": s.hard},
            temperature=s.temperature,
            label="student",
            **self._learning(student, s.student_epochs, loss="hard"),
            **options,
        )

    def _fine_tuning(self, model: Model, epochs: int, **options: Any) -> Trainer:
        learning = self._learning(model, epochs)
        return Trainer(model, ModelLoss(model), self.data[0], **learning, **options)

    def _classifier(self) -> Model:
        """The pretrained encoder under a new classifier."""
        return BertForSequenceClassification.from_pretrained(
            self.encoder,
            id2label=LABELS,
            problem_type="single_label_classification",
            seed=self.settings.seed,
        )

    def _learning(self, model: Model, epochs: int, loss: str = "loss") -> dict[str, Any]:
        """Options of a trainer; what is measured after every epoch chooses nothing.

        `loss` is the name of the loss against the labels, which a student does not learn from.
        """
        s, sample, labels = self.settings, self._held_out(WATCHED), ModelLoss(model)
        settings = TrainSettings(
            epochs=epochs, batch_size=s.batch_size, lr=s.lr, seed=s.seed, save_every=50, log_every=5
        )

        def evaluate() -> dict[str, float]:
            return {loss: mean_loss(labels, sample), "accuracy": accuracy(model, sample)}

        return {"settings": settings, "evaluate": evaluate}

    def _held_out(self, most: int) -> Dataset:
        """The first held-out sentences."""
        return self.data[2].subset(np.arange(min(most, len(self.data[2]))))

    def _load(self, name: str) -> Model:
        return BertForSequenceClassification.from_pretrained(self.out / name)

    def card(self, title: str, how: str) -> ModelCard:
        """README.md of one of the models."""
        return ModelCard(
            title=title,
            summary=f"A BERT classifier of English movie-review sentences, {how} by minidistil.",
            license="apache-2.0",
            base_model="sentence-transformers/all-MiniLM-L6-v2",
            pipeline_tag="text-classification",
            details={k: str(v) for k, v in dataclasses.asdict(self.settings).items()},
            command="minidistil demo",
            limitations="Trained on single sentences of English film reviews. How good it is on other texts "
            "was not measured.",
        )

    def report(self) -> dict[str, Any]:
        """Sizes, speed and accuracy of the three models; accuracy also as a share of the teacher's."""
        models = {name: self._load(name) for name in STAGES}
        held_out = self.data[2]
        rows: dict[str, dict[str, Any]] = {}
        for name, model in models.items():
            size = (self.out / name / "model.safetensors").stat().st_size
            rows[name] = {**sizes(model), "bytes": size, "accuracy": self._measured(name, model)}
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
            "watched": min(WATCHED, len(held_out)),
            "models": rows,
        }

    def _measured(self, name: str, model: Model) -> float:
        """Accuracy on the held-out sentences; the details go to the job."""
        held_out, details, names = self.data[2], self.job.details_of(name), list(LABELS.values())
        labels, logits = held_out.targets["labels"], predict_logits(model, held_out)
        texts = self.split.test_texts
        class_details(
            details,
            labels,
            answer_scores(logits, model.config),
            names,
            lambda i: {"texts": {"text": texts[i]}},
        )
        chosen = logits.argmax(1)
        found = class_scores(labels, chosen, names)
        details.found |= {key: found[key] for key in ("confusion", "classes")}
        return float((chosen == labels).mean())

    def _speeds(self, models: dict[str, Model]) -> dict[str, float]:
        """Held-out sentences a second, forward passes alone: median over rounds, models in turn."""
        sample = self._held_out(TIMED)
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
    columns = ["layers", "parameters", "on disk", "sentences/s", "accuracy", "retained"]
    rows = [["", *columns]]
    for name, row in report["models"].items():
        size = [str(row["layers"]), f"{row['parameters'] / 1e6:.1f} M", f"{row['bytes'] / 1e6:.1f} MB"]
        kept = "" if row["retained"] is None else f"{row['retained']:.1%}"
        rows.append(
            [NAMES[name], *size, f"{row['sentences_per_second']:.0f}", f"{row['accuracy']:.1%}", kept]
        )
    return format_table(rows, [15, *(len(column) + 2 for column in columns)]) + (
        f"\n\nTeacher and student alone learnt from {report['labelled_sentences']:,} labelled sentences, the"
        f"\ntaught student from the teacher's soft labels of {report['student_sentences']:,}. Accuracy on"
        f"\n{report['held_out_sentences']:,} held-out sentences; retained: share of the teacher's accuracy."
    )
