"""Replaced-token detection (Clark et al. 2020, arXiv:2003.10555): generator and discriminator in one step.

The generator, a small masked LM, guesses masked words. In each masked place stands then a word drawn from its
guess, and the discriminator tells for every token if it is still the text's own. With the masked tokens M and
all tokens T of a window, generator G and discriminator D,

    loss = 1/|M| sum over M of -log G(word) + 50/|T| sum over T of -log D(replaced, or not)

A drawn word that happens to be the text's own counts as not replaced. Drawing has no gradient, so the second
sum has none by the generator, but for what both models share: the tables of words, positions and types, whose
gradients add.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_type
from minidistil.arrays import Array, Int64
from minidistil.batch import Batch
from minidistil.errors import ConfigError, InputError
from minidistil.losses import IGNORE_INDEX, cross_entropy
from minidistil.model.model import Model
from minidistil.model.token_heads import MaskedLMHead, ReplacedTokenHead
from minidistil.ops.dropout import Dropout
from minidistil.ops.philox import derive_key, philox
from minidistil.parameters import Parameters, ParameterSpec
from minidistil.progress import Progress
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.text.masking import EPOCHS, FIXED, MaskedDataset

WEIGHT = 50.0  # of the discriminator's loss; the generator's is 1 (section 3.2 of the paper)
GENERATOR = "generator."  # what the names of its parameters begin with, beside the discriminator's
NOISE = "noise"  # target of a batch: the random number of each token, by which its replacement is drawn
BLOCK = 256  # words
CHUNK = 256  # tokens whose scores of words exist at a time
DRAWING, DROPPING = 0xE1EC, 0x6E37  # sets these random numbers apart from others under the same seed


class NoisyDataset(MaskedDataset):
    """Masked sequences whose batches also have `noise`, float64 [T] in [0, 1), for the draw of replacements.

    It is a function of seed, epoch, example and place, as the masks are: a batch draws the same replacements
    whatever else is in it.
    """

    def batch(self, indices: npt.ArrayLike) -> Batch:
        batch = super().batch(indices)
        purpose = (FIXED,) if self.epoch is None else (EPOCHS, self.epoch)
        key, who = derive_key(self.seed, DRAWING, *purpose), batch.example_ids[batch.sequence_ids]
        high, low, _, _ = philox(batch.token_index, who, who >> 32, 0, key)
        noise = ((high >> 5) * 2.0**26 + (low >> 6)) * 2.0**-53
        return replace(batch, targets={**batch.targets, NOISE: noise})


class ReplacedTokens:
    """The objective of both models; the trainer trains the discriminator, and the generator with it.

    The generator's parameters move beside the discriminator's (`Model.extend`), so that one optimiser, one
    gradient norm and one checkpoint hold both; its tables become the discriminator's.

    Parameters
    ----------
    discriminator, generator : Model
        An `ElectraForPreTraining` and an `ElectraForMaskedLM`.
    weight : float
        Of the discriminator's loss.

    Raises
    ------
    ConfigError
        Models that cannot share their tables.
    """

    def __init__(self, discriminator: Model, generator: Model, weight: float = WEIGHT) -> None:
        check_type("the discriminator", discriminator, Model)
        check_type("the generator", generator, Model)
        check_pair(discriminator, generator)
        self.weights = {"masked_lm": 1.0, "replaced_tokens": weight}
        self.generator = generator
        self._shared = {table.name for table in generator.encoder.embeddings.tables}
        before = generator.params
        discriminator.train()
        if not any(name.startswith(GENERATOR) for name in discriminator.params):
            discriminator.extend([self._beside(s) for s in before.specs if s.name not in self._shared])
        for name in before.keys() - self._shared:
            discriminator.params[GENERATOR + name][...] = before[name]
        generator.params = self._generators(discriminator.params)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(masked_lm 1, replaced_tokens {self.weights['replaced_tokens']:g})"

    def _beside(self, spec: ParameterSpec) -> ParameterSpec:
        fused = None if spec.fused is None else GENERATOR + spec.fused
        return replace(spec, name=GENERATOR + spec.name, fused=fused)

    def _generators(self, params: Parameters) -> Parameters:
        """The generator's part of parameters or gradients."""
        specs = self.generator.params.specs
        return params.part(specs, lambda name: name if name in self._shared else GENERATOR + name)

    def counts(self, batch: Batch) -> dict[str, float]:
        """Masked tokens, and all tokens."""
        return {**self.generator.loss_counts(batch), "replaced_tokens": batch.num_tokens}

    def __call__(
        self,
        model: Model,
        batch: Batch,
        totals: Mapping[str, float],
        dropout: Dropout | None,
        grads: Parameters,
    ) -> dict[str, float]:
        scales = {term: weight / totals[term] for term, weight in self.weights.items()}
        generator, own = self.generator, self._generators(grads)
        other = None if dropout is None else Dropout(dropout.seed + DROPPING, dropout.step)
        outputs, cache = generator.forward(batch, dropout=other, logits=False)
        guess = generator.losses(outputs, batch, {"masked_lm": scales["masked_lm"]}, own)
        found = replaced(batch, draw_words(generator, outputs["features"], batch))
        generator.backward(guess.douts, cache, own)
        del outputs, cache
        outputs, cache = model.forward(found, dropout=dropout)
        told = model.losses(outputs, found, {"replaced_tokens": scales["replaced_tokens"]})
        model.backward(told.douts, cache, grads)  # last: it clears the gradients of what is frozen, of both
        return guess.sums | told.sums


def check_pair(discriminator: Model, generator: Model) -> None:
    """Refuse two models that are no discriminator and generator, or whose tables differ in shape."""
    for model, head, what in (
        (discriminator, ReplacedTokenHead, "discriminator, such as ElectraForPreTraining"),
        (generator, MaskedLMHead, "generator, such as ElectraForMaskedLM"),
    ):
        if [type(found) for found in model.heads] != [head]:
            raise ConfigError(f"{type(model).__name__} is no {what}")
    ours, theirs = (
        {table.name: [table.rows, table.width] for table in model.encoder.embeddings.tables}
        for model in (discriminator, generator)
    )
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            raise ConfigError(
                f"discriminator and generator share their tables, but {name} is "
                f"{ours.get(name, 'not there')} in the one and {theirs.get(name, 'not there')} in the other: "
                "take a generator of the same vocabulary, positions, token types and embedding_size"
            )


def masked_scores(generator: Model, features: Array, batch: Batch) -> Iterator[tuple[Int64, Array]]:
    """Masked tokens of a batch, some at a time, with the generator's scores: (int64 [M], [M, V]).

    `features` are those of `forward(batch, logits=False)`, [T, E].
    """
    (head,) = generator.heads
    assert isinstance(head, MaskedLMHead)
    rows = np.flatnonzero(batch.targets["labels"] != IGNORE_INDEX)
    last = generator.params.linear(*head.decoder_names)
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        yield some, generator.backend.linear_forward(features[some], *last)[0]


def draw_words(generator: Model, features: Array, batch: Batch) -> Int64:
    """Draw a word for each masked token from the generator's distribution, int64 [M].

    The word is the first whose cumulated probability exceeds the token's random number, the target `noise`.
    This draws from the same distribution as the largest of logits + Gumbel noise, with one random number a
    token and not one a word.
    """
    if NOISE not in batch.targets:
        raise InputError(f"the batch has no target {NOISE!r}, by which words are drawn: take a NoisyDataset")
    noise, words = batch.targets[NOISE], [np.zeros(0, np.int64)]
    words += [first_beyond(z, noise[some]) for some, z in masked_scores(generator, features, batch)]
    return np.concatenate(words)


def first_beyond(logits: Array, noise: npt.NDArray[np.float64]) -> Int64:
    """The first word of each row [V] whose cumulated probability exceeds a number in [0, 1), int64 [M].

    The block of words is found first, by the blocks' sums, and then the word in it: one pass over all words.
    """
    M, V = logits.shape
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    starts = np.arange(0, V, BLOCK)
    blocks = np.cumsum(np.add.reduceat(p, starts, axis=1), axis=1, dtype=np.float64)
    wanted = noise * blocks[:, -1]
    block = (blocks > wanted[:, None]).argmax(axis=1)
    before = np.where(block > 0, blocks[np.arange(M), block - 1], 0.0)
    ids = starts[block][:, None] + np.arange(BLOCK)  # [M, BLOCK]
    inside = np.where(ids < V, p[np.arange(M)[:, None], np.minimum(ids, V - 1)], 0)
    cumulated = np.cumsum(inside, axis=1, dtype=np.float64)
    # A block's sum is rounded otherwise than the sum over its words: the last words of all end with it.
    within = np.minimum(wanted - before, np.nextafter(cumulated[:, -1], 0))
    return np.asarray(ids[np.arange(M), (cumulated > within[:, None]).argmax(axis=1)], np.int64)


def replaced(batch: Batch, words: Int64) -> Batch:
    """The batch as the discriminator reads it: `words` in the masked places, label 1 where one is another.

    Parameters
    ----------
    batch : Batch
        Masked, with the text's own words as `labels`.
    words : int [M]
    """
    own, ids = batch.targets["labels"], batch.input_ids.copy()
    rows = np.flatnonzero(own != IGNORE_INDEX)
    ids[rows] = words
    labels = np.zeros(batch.num_tokens, np.int64)
    labels[rows] = words != own[rows]
    return replace(batch, input_ids=ids, targets={"labels": labels})


def evaluate_replaced_tokens(
    discriminator: Model,
    generator: Model,
    dataset: MaskedDataset,
    *,
    weight: float = WEIGHT,
    label: str = "evaluating",
    quiet: bool = True,
) -> dict[str, float]:
    """Losses and shares of both models, in evaluation mode, over a `NoisyDataset` with `fixed` masks.

    Returns
    -------
    dict
        "masked_lm", "replaced_tokens" and "loss": nats a masked token, nats a token, and the weighted sum.
        "generator_accuracy": share of masked words guessed right. "replaced": share of tokens that are.
        "accuracy": share of tokens told right; "precision", "recall" of the replaced ones.
    """
    sums: dict[str, float] = dict.fromkeys(("masked_lm", "replaced_tokens", "guessed", "masked", "tokens"), 0)
    table = np.zeros((2, 2))  # [replaced, said to be]
    with Progress(len(dataset), label, "sequence", quiet=quiet) as progress:
        for indices in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
            batch = dataset.batch(indices)
            outputs, _ = generator.forward(batch, logits=False, keep_cache=False)
            loss, right = 0.0, 0
            for rows, logits in masked_scores(generator, outputs["features"], batch):
                own = batch.targets["labels"][rows]
                loss += cross_entropy(logits, own).sum
                right += int((logits.argmax(1) == own).sum())
            words = draw_words(generator, outputs["features"], batch)
            found = replaced(batch, words)
            outputs, _ = discriminator.forward(found, keep_cache=False)
            told = discriminator.losses(outputs, found).sums["replaced_tokens"]
            parts = (loss, told, right, len(words), batch.num_tokens)
            sums = {name: value + part for (name, value), part in zip(sums.items(), parts, strict=True)}
            np.add.at(table, (found.targets["labels"], (outputs["logits"] > 0).astype(int)), 1)
            progress.update(len(indices))
    masked, tokens = max(sums["masked"], 1), max(sums["tokens"], 1)
    masked_lm, replaced_loss = sums["masked_lm"] / masked, sums["replaced_tokens"] / tokens
    return {
        "loss": masked_lm + weight * replaced_loss,
        "masked_lm": masked_lm,
        "generator_accuracy": sums["guessed"] / masked,
        "replaced_tokens": replaced_loss,
        "replaced": float(table[1].sum() / tokens),
        "accuracy": float(table.trace() / tokens),
        "precision": float(table[1, 1] / max(table[:, 1].sum(), 1)),
        "recall": float(table[1, 1] / max(table[1].sum(), 1)),
    }
