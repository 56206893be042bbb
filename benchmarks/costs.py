"""Cost of training a student, counted in multiplications and not by the clock.

A token costs as many multiplications as there are numbers in the weight matrices that it goes through: in
each layer 4 H^2 for queries, keys, values and their output, and 2 H I for the feed-forward block; in the head
of a masked LM H^2 for the transform and V H for the decoder, since soft labels are of every token. A backward
pass costs twice its forward pass, once for the gradient of the inputs and once for that of the weights. Not
counted is what is small: attention's own products, 2 L H a token (at 64 tokens 3 % of a layer of MiniLM),
pooler and classifier, embeddings, norms, the optimiser, and measuring. Measured, half of MiniLM needed 24 to
26 ms of processor time for 10^9 multiplications, over text and in three tasks alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from minidistil.config import ModelConfig

TRAINED = 3  # forward 1, backward 2


def encoder(config: ModelConfig) -> int:
    """Multiplications of a token in a forward pass through all layers."""
    h, i = config.hidden_size, config.intermediate_size
    return config.depth * (4 * h * h + 2 * h * i)


def masked_lm(config: ModelConfig) -> int:
    """The same with the head of a masked LM."""
    return encoder(config) + config.embedding_size * (config.hidden_size + config.vocab_size)


@dataclass(frozen=True)
class Costs:
    """Costs of the two steps of a student: over text, and on a task.

    Attributes
    ----------
    student, text_teacher, task_teacher : ModelConfig
    text_tokens, task_tokens : float
        Mean number of tokens of a training step.
    read : int
        Tokens of all examples of the task. Its teacher reads them once, if its outputs are kept.
    kept : bool
        Whether they are. If not, it runs in every step.
    """

    student: ModelConfig
    text_teacher: ModelConfig
    task_teacher: ModelConfig
    text_tokens: float
    task_tokens: float
    read: int
    kept: bool = True

    @property
    def text_step(self) -> float:
        """Cost of a step over text, in which the teacher runs, too."""
        return self.text_tokens * (TRAINED * masked_lm(self.student) + masked_lm(self.text_teacher))

    @property
    def task_step(self) -> float:
        """Cost of a step on the task."""
        live = 0 if self.kept else encoder(self.task_teacher)
        return self.task_tokens * (TRAINED * encoder(self.student) + live)

    @property
    def kept_outputs(self) -> float:
        """Cost of the outputs of the task's teacher that are kept."""
        return float(self.read * encoder(self.task_teacher)) if self.kept else 0.0

    def total(self, text_steps: int, task_steps: int) -> float:
        """Cost of steps over text, and then on the task; one that is empty costs nothing."""
        on_task = task_steps * self.task_step + self.kept_outputs if task_steps else 0.0
        return text_steps * self.text_step + on_task

    def task_steps(self, total: float, text_steps: int) -> int:
        """Most steps on the task that a total cost leaves; 0 if it does not pay what is kept."""
        left = total - text_steps * self.text_step - self.kept_outputs
        return max(0, int(left // self.task_step))
