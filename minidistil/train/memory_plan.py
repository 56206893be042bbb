"""Peak memory of training and prediction, computed before they begin.

Everything large is known beforehand: parameters, gradients, two moments of AdamW, the activations that each
layer keeps for the backward pass, and the largest set of buffers that is alive beside them. Attention keeps
no [L, L] matrix and losses over the vocabulary no [T, V] one, so all is linear in the number of tokens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from minidistil.config import ModelConfig
from minidistil.errors import MemoryLimitError
from minidistil.memory import available_memory
from minidistil.model.model import Model
from minidistil.parameters import Parameters

CHUNK = 256  # tokens whose logits exist at a time, `minidistil.kernels.linear_cross_entropy.CHUNK`
RUNTIME = 200_000_000  # bytes: Python, NumPy, Numba with LLVM, and the compiled kernels


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes at the peak, by purpose.

    Attributes
    ----------
    parameters : int
    gradients : int
        Like the parameters.
    moments : int
        AdamW's two.
    teacher : int
        A teacher's parameters that are in memory at a time.
    kept : int
        Activations that the layers keep for the backward pass.
    buffers : int
        The largest set of arrays that exist for a moment only.
    runtime : int
        Python, libraries and compiled code.
    """

    parameters: int
    gradients: int = 0
    moments: int = 0
    teacher: int = 0
    kept: int = 0
    buffers: int = 0
    runtime: int = RUNTIME

    @property
    def total(self) -> int:
        return sum(asdict(self).values())

    def check(self, available: int | None = None) -> None:
        """Refuse what cannot fit.

        Parameters
        ----------
        available : int, optional
            Bytes; by default what this process may still take, and has.

        Raises
        ------
        MemoryLimitError
        """
        available = available_memory() if available is None else available
        if available is None or self.total <= available:
            return
        batch = self.kept + self.buffers
        fits_without = self.total - batch < available
        advice = "take smaller batches, with more accumulation" if fits_without else "take a smaller model"
        raise MemoryLimitError(
            f"this needs about {self.total / 1e6:,.0f} MB of memory, {batch / 1e6:,.0f} of them for a batch, "
            f"and {available / 1e6:,.0f} MB are available: {advice}"
        )


def plan_prediction(model: type[Model], config: ModelConfig, tokens: int) -> MemoryPlan:
    """Peak of a forward pass in float32.

    Parameters
    ----------
    model : class
        Such as `BertForSequenceClassification`.
    config : ModelConfig
    tokens : int
        Tokens of a batch, all sequences together.
    """
    words = _over_words(model, config)
    logits = tokens * config.vocab_size if words else 0
    # Parameters as they are loaded, and matrices again, packed for the kernels: the word table if it scores.
    packed = sum(spec.size for spec in model.specs(config) if spec.role == "weight")
    packed += config.vocab_size * config.embedding_size if words else 0
    parameters = _bytes(model, config) + 4 * packed
    return MemoryPlan(parameters, buffers=4 * (tokens * _width(config) + logits))


def plan_training(
    model: type[Model],
    config: ModelConfig,
    tokens: int,
    *,
    teacher: tuple[type[Model], ModelConfig] | None = None,
    mapped: bool = False,
    itemsize: int = 4,
) -> MemoryPlan:
    """Peak of a training step with AdamW.

    Parameters
    ----------
    model : class
        Such as `BertForSequenceClassification`.
    config : ModelConfig
    tokens : int
        Tokens of a micro-batch, all sequences together.
    teacher : class and config, optional
        A model that runs beside it.
    mapped : bool
        Leave the teacher's parameters in their file (`from_pretrained(mapped=True)`).
    itemsize : int
        Bytes of a number.
    """
    parameters, words = _bytes(model, config) * itemsize // 4, _over_words(model, config)
    H, wide, layers = config.hidden_size, config.intermediate_size, config.depth
    # Of a layer qkv [3H], attention's output [H], row maxima and sums [heads each], the feed-forward block
    # before its activation [I], and both layernorms: result and normalised input [H each], 1 / deviation [1].
    # Of the embeddings one more layernorm, at the width of the tables.
    kept = tokens * (layers * (8 * H + wide + 2 * config.num_attention_heads + 2))
    kept += tokens * (2 * config.embedding_size + 1)
    # At the topmost layer, with nothing given back yet: five gradients [H], and the feed-forward block's
    # activations, their gradient and their packed copy [I each].
    backward = tokens * (5 * H + 3 * wide)
    buffers = backward
    if words:
        # The head's own caches and gradient [6H at most]; a chunk of logits, and of the teacher's.
        logits = min(tokens, CHUNK) * config.vocab_size * (1 if teacher is None else 2)
        buffers = max(backward, tokens * 6 * H + logits)
    if teacher is not None:  # its hidden states, and what the cosine of both takes
        buffers += tokens * 12 * H
    teaching = 0
    if teacher is not None:
        teaching = _bytes(*teacher)
        if mapped:  # a layer at a time, then the word table
            table = teacher[1].vocab_size * teacher[1].embedding_size
            teaching = min(teaching, 4 * (table if words else 12 * teacher[1].hidden_size ** 2))
        buffers = max(
            buffers, tokens * _width(teacher[1]) - kept
        )  # it runs before the student keeps anything
    return MemoryPlan(parameters, parameters, 2 * parameters, teaching, itemsize * kept, itemsize * buffers)


def plan_run(model: Model, teacher: Model | None, tokens: int) -> MemoryPlan:
    """`plan_training` of a model, and a teacher, that are loaded already."""
    return plan_training(
        type(model),
        model.config,
        tokens,
        teacher=None if teacher is None else (type(teacher), teacher.config),
        mapped=teacher is not None and teacher.params.mapped,
        itemsize=model.params.dtype.itemsize,
    )


def _bytes(model: type[Model], config: ModelConfig) -> int:
    return Parameters(model.specs(config), allocate=False).nbytes


def _over_words(model: type[Model], config: ModelConfig) -> bool:
    return any(head.over_vocabulary for head in model.heads_of(config))


def _width(config: ModelConfig) -> int:
    """Numbers a token at the peak of a layer of which nothing is kept.

    In attention its input, query, key and value, context and output [6H]; in the feed-forward block the
    layer's input and its own, the activations and its output [3H + I]. The workspace has one more [H] ready.
    """
    H = config.hidden_size
    return H + max(6 * H, 3 * H + config.intermediate_size)
