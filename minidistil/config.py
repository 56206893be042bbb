"""Configuration of a model: what every family has, read from and written to Hugging Face's config.json.

Families have several words for the same things: BERT says `hidden_size`, DistilBERT says `dim`. The fields
have BERT's names, which is what the rest of the project uses; `aliases` says which keys a family's
config.json has in their place, so that it reads and writes unchanged.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from minidistil.arguments import with_article
from minidistil.config_fields import (
    CHECKS,
    LABELS,
    SAME_ACTIVATION,
    checked_labels,
    did_you_mean,
    named_labels,
    names,
    numbered_labels,
    short,
)
from minidistil.errors import ConfigError

# Keys of config.json that are no field, or a field in another form.
_NAMES = ("model_type", "id2label", "label2id", "num_labels", "architectures")

Config = TypeVar("Config", bound="ModelConfig")


class FrozenConfigError(ConfigError, dataclasses.FrozenInstanceError):
    """An attempt to change a config in place; an `AttributeError` too, as of any frozen dataclass."""


class _Fields(type):
    """Metaclass of configs: labels by number or by name, and an error that names an unknown field."""

    def __call__(cls, *args: Any, **values: Any) -> Any:
        known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
        if given := {name: v for name in LABELS if (v := values.pop(name, None)) is not None}:
            values["id2label"] = named_labels(given)
        for name in values:
            if name not in known:
                raise ConfigError(f"{cls.__name__} has no field {name!r}{did_you_mean(name, known)}")
        return super().__call__(*args, **values)


def frozen_config(cls: type[Config]) -> type[Config]:
    """Let a config, a frozen dataclass, say how to make another when somebody sets a field of it."""

    def refuse(self: Config, name: str, value: object) -> None:
        raise FrozenConfigError(
            f"a config does not change: make another by config.replace({name}={short(value)}); a model "
            f"takes it by model.config = ..., or as it is loaded: from_pretrained(..., {name}={short(value)})"
        )

    cls.__setattr__ = refuse  # type: ignore[assignment,method-assign]
    return cls


@frozen_config
@dataclass(frozen=True, kw_only=True)
class ModelConfig(metaclass=_Fields):
    """Config of a model: the fields of every family, of which each has a class, such as `BertConfig`.

    Attributes
    ----------
    vocab_size, max_position_embeddings : int
        Rows of the word and of the position table.
    pad_token_id : int or None
        Only recorded: packed batches hold no padding.
    initializer_range : float
        Standard deviation of freshly initialised matrices.
    id2label : dict of int to str
        Names of the classes; its length is the number of outputs of a classifier. `label2id` may be given in
        its place or beside it, and `num_labels=3` for names as in transformers.
    tie_word_embeddings : bool
        The decoder of a masked LM is the word table. Loading decides by the tensors: a model whose file has a
        decoder of its own is not tied, whatever config.json says.
    problem_type : str or None
        "single_label_classification", "multi_label_classification" or "regression"; None lets
        the label's dtype and `num_labels` decide, as in transformers.
    architectures : tuple of str
        Class names the checkpoint was saved from.
    extra : dict
        Keys of config.json that we do not interpret, kept for writing back.

    Raises
    ------
    ConfigError
        An unknown field, or a value of another type or beyond its range, see `minidistil.config_fields`.
    """

    model_type: ClassVar[str] = ""

    vocab_size: int = 30522
    max_position_embeddings: int = 512
    pad_token_id: int | None = 0
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    id2label: Mapping[int, str] = field(default_factory=lambda: {0: "LABEL_0", 1: "LABEL_1"})
    problem_type: str | None = None
    architectures: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    # BERT's names, which the encoder uses for every family.
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12

    # Where a family's config.json says another word: {its key: our field}.
    aliases: ClassVar[Mapping[str, str]] = {}
    # Fields that are constants of the family and so not in its config.json.
    constants: ClassVar[Mapping[str, Any]] = {}
    # Checks of fields that this family alone has, see `minidistil.config_fields`.
    checks: ClassVar[Mapping[str, Callable[[Any], str]]] = {}
    # Fields that are sizes of matrices.
    widths: ClassVar[tuple[str, ...]] = ("hidden_size", "intermediate_size")
    # Keys whose other values would change the arithmetic: {key: the only value we implement}.
    required: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        for name, check in {**CHECKS, **self.checks}.items():
            if hasattr(self, name) and (wanted := check(getattr(self, name))):
                raise ConfigError(f"{self.key(name)} must be {wanted}, not {short(getattr(self, name))}")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"{self.key('hidden_size')} {self.hidden_size} is not a multiple of "
                f"{self.key('num_attention_heads')} {self.num_attention_heads}"
            )
        object.__setattr__(self, "id2label", checked_labels(self.id2label))
        names(self.architectures, "architectures")

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

    @property
    def depth(self) -> int:
        """Layers that a token passes through; some may be the same."""
        return self.num_hidden_layers

    @property
    def layers_stored(self) -> tuple[str, int]:
        """Numbers of layers in the names of parameters: the field that says how many, and its value."""
        return "num_hidden_layers", self.num_hidden_layers

    @property
    def embedding_size(self) -> int:
        """Width of the tables."""
        return self.hidden_size

    @property
    def is_generator(self) -> bool:
        """True if the model was trained to put words in another's input, and is no good start for a task."""
        return False

    @property
    def position_padding(self) -> int | None:
        """Id of padding after which the rows of the position table begin; None: they begin with row 0."""
        return None

    @property
    def first_position(self) -> int:
        """Row of the position table of a sequence's first token."""
        return 0 if self.position_padding is None else self.position_padding + 1

    @property
    def max_sequence_length(self) -> int:
        """Most tokens of a sequence: rows of the position table from the first that is used."""
        return self.max_position_embeddings - self.first_position

    @property
    def label_names(self) -> list[str]:
        """Names of the labels, in order."""
        return [self.id2label[i] for i in range(self.num_labels)]

    @property
    def label2id(self) -> dict[str, int]:
        return {name: i for i, name in self.id2label.items()}

    @property
    def classifier_dropout_prob(self) -> float:
        """Dropout before a sequence classifier's last layer."""
        raise NotImplementedError

    @property
    def attention_output_dropout_prob(self) -> float:
        """Dropout between attention's output projection and the residual sum."""
        return self.hidden_dropout_prob

    @property
    def feed_forward_dropout_prob(self) -> float:
        """Dropout between the feed-forward block and the residual sum."""
        return self.hidden_dropout_prob

    @property
    def token_dropout_prob(self) -> float:
        """Dropout before a token classifier."""
        return self.hidden_dropout_prob

    @property
    def qa_dropout_prob(self) -> float:
        """Dropout before the question-answering outputs."""
        return 0.0

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; `num_labels` alone keeps the names of as many labels."""
        given = {name: v for name in LABELS if (v := changes.pop(name, None)) is not None}
        if given == {"num_labels": self.num_labels}:
            given = {}
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if given:
            del fields["id2label"]
        return type(self)(**{**fields, **given, **changes})

    def with_layers(self, layers: Sequence[int]) -> Self:
        """The config of a model with some of these layers, by their numbers; one may come twice.

        Raises
        ------
        ConfigError
            The family has no model with these layers.
        """
        return self.replace(num_hidden_layers=len(layers))

    @classmethod
    def of(cls, other: ModelConfig) -> Self:
        """The config of a model of this family that begins with the layers of another one's.

        It has the other's sizes, rates and labels, as far as both families have them, and takes as many
        tokens.

        Raises
        ------
        ConfigError
            The family computes something else than the other model.
        """
        if type(other) is cls:
            return other
        if not other.type_vocab_size and "type_vocab_size" not in cls.constants:
            ours = with_article(cls.model_type)
            raise ConfigError(f"{ours} has token types, of which the {other.model_type} has none")
        fields, given = ({f.name for f in dataclasses.fields(c)} for c in (cls, other))
        shared = (fields & given) - {"extra", "architectures", *cls.constants}
        config = cls(**{name: getattr(other, name) for name in shared})
        return config.replace(max_position_embeddings=other.max_sequence_length + config.first_position)

    @classmethod
    def key(cls, name: str) -> str:
        """The family's config.json key for one of our field names."""
        return next((key for key, ours in cls.aliases.items() if ours == name), name)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the content of a config.json. Keys we do not interpret go to `extra`."""
        ours = {f.name for f in dataclasses.fields(cls)} - {"extra", *_NAMES, *cls.constants}
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in values.items():
            name = cls.aliases.get(key, key)
            default = value is None and isinstance(cls.required.get(key), str)  # for transformers too
            if key in cls.required and value != cls.required[key] and not default:
                raise ConfigError(f"{key} {short(value)} is not supported, only {cls.required[key]!r}")
            if name in ours and (key in cls.aliases or name not in cls.aliases.values()):
                known[name] = value
            elif key not in _NAMES:
                extra[key] = value
        if isinstance(known.get("hidden_act"), str):
            known["hidden_act"] = SAME_ACTIVATION.get(known["hidden_act"], known["hidden_act"])
        labels = values.get("id2label")
        if labels is None:
            labels = numbered_labels(values.get("num_labels", 2))
        architectures = names(values.get("architectures"), "architectures")
        return cls(**known, id2label=labels, architectures=architectures, extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """The content of a config.json that transformers reads."""
        out: dict[str, Any] = {"architectures": list(self.architectures), "model_type": self.model_type}
        for f in dataclasses.fields(self):
            if f.name in ("extra", "architectures", "id2label", *self.constants):
                continue
            out[self.key(f.name)] = getattr(self, f.name)
        if self.problem_type is None:
            del out["problem_type"]
        out["id2label"] = {str(i): name for i, name in self.id2label.items()}
        out["label2id"] = self.label2id
        return {**self.extra, **out}

    def save(self, path: Path) -> None:
        """Write config.json at `path`."""
        path.write_text(json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
