"""Pre-training of an ELECTRA from text: `model/` is the discriminator, `generator/` its generator."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minidistil.errors import ConfigError
from minidistil.jobs import masked_text
from minidistil.jobs.pretrain import Pretraining, PretrainingRecipe
from minidistil.jobs.results import format_table
from minidistil.jobs.run import Evaluation, sizes
from minidistil.jobs.sources import content, origin
from minidistil.model import load_model
from minidistil.model.families import class_with, load_config
from minidistil.model.model import Model
from minidistil.text.masking import MaskedDataset
from minidistil.train.replaced_tokens import (
    NoisyDataset,
    ReplacedTokens,
    check_pair,
    evaluate_replaced_tokens,
)
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve

log = logging.getLogger("minidistil")

FAMILY, GENERATOR = "electra", "generator"
OF_GENERATOR = {
    "masked_lm": "masked_lm",
    "generator_accuracy": "accuracy",
}  # metrics: their names in the report


def pretraining(
    source: str | None,
    texts: Sequence[str | Path],
    recipe: PretrainingRecipe,
    out: str | Path,
    *,
    quiet: bool = False,
) -> Pretraining:
    """The pre-training that the family has: of an ELECTRA replaced-token detection, of others a masked LM."""
    family = recipe.model.family if source is None else load_config(resolve(source)).model_type
    kind = ReplacedTokenPretraining if family == FAMILY else Pretraining
    return kind(source, texts, recipe, out, quiet=quiet)


class ReplacedTokenPretraining(Pretraining):
    """Training an ELECTRA on text; takes what `Pretraining` takes.

    `source` is a discriminator, or another model of the family whose layers it begins with. A generator is
    looked for in `generator/` inside of it or beside it, and begins from nothing where there is none.

    Raises
    ------
    ConfigError
        The source is a generator; `train.keep_best`.
    """

    head: ClassVar[str] = "ForPreTraining"
    data: ClassVar[type[MaskedDataset]] = NoisyDataset

    def __init__(
        self,
        source: str | None,
        texts: Sequence[str | Path],
        recipe: PretrainingRecipe,
        out: str | Path,
        *,
        quiet: bool = False,
    ) -> None:
        if recipe.train.keep_best is not None:
            raise ConfigError(
                "train.keep_best is not for replaced-token detection: as the generator gets better the "
                "discriminator's task gets harder, so the numbers of two steps do not say which is better"
            )
        super().__init__(source, texts, recipe, out, quiet=quiet)
        if source is not None and load_config(resolve(source)).is_generator:
            raise ConfigError(
                f"{source} is a generator: pre-training goes on from the discriminator, and takes a "
                "generator from the folder generator/ beside it"
            )

    @property
    def generator(self) -> Path:
        """Directory of the trained generator."""
        return self.out / GENERATOR

    @cached_property
    def _source_generator(self) -> Path | None:
        """Directory of a generator that the source comes with."""
        if self.source is None:
            return None
        path = resolve(self.source)
        places = (path / GENERATOR, path.resolve().parent / GENERATOR)
        return next((place for place in places if (place / "config.json").exists()), None)

    def identity(self) -> dict[str, Any]:
        found, place = super().identity(), self._source_generator
        return found if place is None else {**found, GENERATOR: content(str(place))}

    def first_generator(self, discriminator: Model) -> Model:
        """The generator as training begins."""
        seed = self.recipe.train.seed + 1  # not the discriminator's numbers
        kind, place = class_with("ForMaskedLM", FAMILY), self._source_generator
        if place is not None:
            generator = kind.from_pretrained(place, seed=seed).train()
            check_pair(discriminator, generator)
            for table in generator.encoder.embeddings.tables:
                if not np.array_equal(generator.params[table.name], discriminator.params[table.name]):
                    log.warning("%s: %s is not the discriminator's, which is taken", place, table.name)
            return generator
        c, share = discriminator.config, self.recipe.generator.width
        heads = max(1, int(c.num_attention_heads * share))
        width = heads * max(1, round(c.hidden_size * share / heads))
        config = c.replace(hidden_size=width, num_attention_heads=heads, intermediate_size=4 * width)
        return kind(config, seed=seed)

    def train(self) -> None:
        discriminator = self.first_model()
        generator = self.first_generator(discriminator)
        weight = self.recipe.generator.discriminator_weight
        objective = ReplacedTokens(discriminator, generator, weight)
        self.learn(discriminator, objective, self.evaluation(discriminator, generator))
        generator.mark_trained()
        generator.save_pretrained(
            self.generator, tokenizer=self.text.tokenizer, card=self._card("generator", "fill-mask").render()
        )
        self.job.save(discriminator, self.text.tokenizer, self.card())

    def evaluation(self, discriminator: Model, generator: Model) -> Evaluation | None:
        """Metrics of both models as they learn, by the names that training logs the losses by."""
        if (held_out := self.text.held_out) is None:
            return None
        weight = self.recipe.generator.discriminator_weight
        return lambda: evaluate_replaced_tokens(discriminator, generator, held_out, weight=weight)

    def measured(self) -> dict[str, dict[str, Any]]:
        discriminator, generator = load_model(self.job.result), load_model(self.generator)
        facts = {"model": sizes(discriminator), GENERATOR: sizes(generator)}
        if (held_out := self.text.held_out) is None:
            return facts
        began, weight = time.perf_counter(), self.recipe.generator.discriminator_weight
        found = evaluate_replaced_tokens(
            discriminator, generator, held_out, weight=weight, label="measuring", quiet=self.quiet
        )
        spent = time.perf_counter() - began
        facts[GENERATOR] |= {name: found[key] for key, name in OF_GENERATOR.items()}
        facts[GENERATOR]["perplexity"] = math.exp(min(found["masked_lm"], 700.0))
        others = {name: value for name, value in found.items() if name not in (*OF_GENERATOR, "loss")}
        facts["model"] |= {**others, "sequences_per_second": len(held_out) / spent}
        return facts

    def card(self) -> ModelCard:
        return self._card("discriminator", None)

    def _card(self, which: str, tag: str | None) -> ModelCard:
        return self.job.card(
            None if self.source is None else origin(self.source),
            title=f"An ELECTRA {which}",
            summary="Pre-trained by minidistil on text, by the detection of replaced tokens.",
            pipeline_tag=tag,
            limitations="It knows what was in the text it was trained on, with its errors and prejudices.",
        )


def table(report: Mapping[str, Any]) -> str:
    """The report of a pre-training as a table of at most 80 columns."""
    models = report["models"]
    if GENERATOR not in models:
        return masked_text.table(report)
    rows = [["", "layers", "parameters", "loss", "accuracy", "precision", "recall"]]
    for name, row in models.items():
        rows.append([name, str(row["layers"]), f"{row['parameters'] / 1e6:.1f} M"])
        loss = row.get("replaced_tokens", row.get("masked_lm"))
        if loss is not None:
            rows[-1].append(f"{loss:.3f}")
            rows[-1] += [f"{row[key]:.1%}" for key in ("accuracy", "precision", "recall") if key in row]
    share = models["model"].get("replaced")
    said = [masked_text.learnt(report)]
    if share is not None:
        said += [
            f"Measured on {report['held_out_sequences']:,} held-out sequences: the generator on masked "
            "words, the model on all",
            f"tokens, {share:.1%} of which are replaced (precision and recall are of these); loss in nats.",
        ]
    return "\n".join([format_table(rows, [10, *[11] * 6]), "", *said])
