"""Arms of the grid: how a model of a setting is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from minidistil.train.settings import TrainSettings

HALF = "model.layers=alternate"


@dataclass(frozen=True)
class Arm:
    """A way to make a model.

    Attributes
    ----------
    title : str
        For tables.
    begins : {"encoder", "teacher"}
        Model that it begins from: the pretrained encoder, or the teacher of the same setting and seed.
    changes : tuple of str
        Changes of the setting's recipe, as `--set` takes them.
    taught : bool
        Whether it learns from the teacher, too.
    equal : {"steps", "cost"}, optional
        To the student taught by default: as many steps, or as many as cost the same. By default the number
        of steps is the recipe's.
    teachers : int >= 1
        Teachers that it learns the mean of: its own and those of the following seeds.
    texts : bool
        Whether it learns the teacher's answers to the setting's texts without labels, too.
    """

    title: str
    begins: Literal["encoder", "teacher"]
    changes: tuple[str, ...] = ()
    taught: bool = False
    equal: Literal["steps", "cost"] | None = None
    teachers: int = 1
    texts: bool = False


TEACHER, TAUGHT, BEST = "teacher", "taught", "best"
ALONE = {
    "encoder-steps": Arm("alone, encoder's layers, equal steps", "encoder", (HALF,), equal="steps"),
    "encoder-cost": Arm("alone, encoder's layers, equal cost", "encoder", (HALF,), equal="cost"),
    "teacher-steps": Arm("alone, teacher's layers, equal steps", "teacher", (HALF,), equal="steps"),
    "teacher-recipe": Arm("alone, teacher's layers, the recipe's epochs", "teacher", (HALF,)),
    "teacher-cost": Arm("alone, teacher's layers, equal cost", "teacher", (HALF,), equal="cost"),
}
ARMS = {
    TEACHER: Arm("teacher", "encoder"),
    **ALONE,
    TAUGHT: Arm("taught by default", "teacher", (HALF,), taught=True),
    BEST: Arm("taught, best found", "teacher", (HALF,), taught=True, texts=True),
}


@dataclass(frozen=True)
class Budget:
    """Steps and tokens of a taught student, from which those of equal steps and of equal cost follow.

    A cost is counted in tokens x layers: a forward pass costs 1 for each token and layer, a backward pass 2.
    So S steps of a student with L layers, which read t tokens each, cost

        3 S t L

    and a teacher of M layers adds M for each token that it reads: every token of the examples once, if its
    outputs are kept, otherwise all S t. Embeddings, heads and the loss are not counted, nor are evaluations.

    Attributes
    ----------
    steps : int
    layers, teacher_layers : int
    read : float
        Tokens that the teacher reads.
    alone_tokens : float
        Mean tokens of a step of the student alone, which may have fewer examples.
    """

    steps: int
    layers: int
    teacher_layers: int
    read: float
    alone_tokens: float

    @property
    def teacher_cost(self) -> float:
        """Cost of the teacher's forward passes."""
        return self.read * self.teacher_layers

    def equal(self, by: Literal["steps", "cost"]) -> int:
        """Steps of a student alone: as many, or as many more as the teacher's passes cost, rounded up."""
        if by == "steps":
            return self.steps
        return self.steps + math.ceil(self.teacher_cost / training_cost(self.alone_tokens, self.layers))


def training_cost(tokens: float, layers: int) -> float:
    """Cost of steps that read so many tokens, see `Budget`."""
    return 3 * tokens * layers


def steps_of(train: TrainSettings, examples: int) -> int:
    """Steps of a run."""
    return train.max_steps or train.epochs * _steps_of_epoch(train, examples)


def _steps_of_epoch(train: TrainSettings, examples: int) -> int:
    batches = math.ceil(examples / train.batch_size)
    return math.ceil(batches / train.accumulation)


def tokens_of_step(lengths: Any, train: TrainSettings) -> float:
    """Mean number of tokens of a step."""
    return float(lengths.sum()) / _steps_of_epoch(train, len(lengths))
