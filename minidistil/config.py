"""What a model is: frozen dataclasses, read from and written to Hugging Face's config.json.

Two families, two vocabularies for the same things: BERT says `hidden_size`, DistilBERT says `dim`.
Each dataclass keeps its family's own keys, so a config reads and writes unchanged, and offers
BERT's names as properties, which is what the rest of the project uses.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from minidistil.errors import ConfigError
from minidistil.weights.modules import encoder_directory

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What every family has. Use `BertConfig` or `DistilBertConfig`.

    Attributes
    ----------
    vocab_size, max_position_embeddings : int
        Rows of the word and of the position table.
    pad_token_id : int or None
        Only recorded: packed batches hold no padding.
    initializer_range : float
        Standard deviation of freshly initialised matrices.
    id2label : dict of int to str
        Names of the classes; its length is the number of outputs of a classifier.
    problem_type : str or None
        "single_label_classification", "multi_label_classification" or "regression"; None lets
        the label's dtype and `num_labels` decide, as in transformers.
    architectures : tuple of str
        Class names the checkpoint was saved from.
    extra : dict
        Keys of config.json that we do not interpret, kept for writing back.
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
    # Keys whose other values would change the arithmetic: {key: the only value we implement}.
    required: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "max_position_embeddings",
            "hidden_size",
            "num_attention_heads",
            "intermediate_size",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{self.key(name)} must be a positive integer, not {value!r}")
        if not isinstance(self.num_hidden_layers, int) or self.num_hidden_layers < 0:
            raise ConfigError(
                f"{self.key('num_hidden_layers')} must be an integer >= 0, not {self.num_hidden_layers!r}"
            )
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"{self.key('hidden_size')} {self.hidden_size} is not a multiple of "
                f"{self.key('num_attention_heads')} {self.num_attention_heads}"
            )
        if self.hidden_act not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ConfigError(
                f"{self.key('hidden_act')} {self.hidden_act!r} is not supported; supported: {known}"
            )
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise ConfigError(f"problem_type {self.problem_type!r} is none of {', '.join(PROBLEM_TYPES)}")
        if sorted(self.id2label) != list(range(len(self.id2label))) or not self.id2label:
            raise ConfigError(
                f"id2label must number the labels from 0 without gaps, got {sorted(self.id2label)}"
            )
        for site in ("hidden", "attention_probs", "classifier", "qa"):
            name = f"{site}_dropout_prob"
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{self.key(name)} must lie in [0, 1), not {getattr(self, name)!r}")

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

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
    def token_dropout_prob(self) -> float:
        """Dropout before a token classifier."""
        return self.hidden_dropout_prob

    @property
    def qa_dropout_prob(self) -> float:
        """Dropout before the question-answering outputs."""
        return 0.0

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def key(cls, name: str) -> str:
        """The family's config.json key for one of our field names."""
        return next((key for key, ours in cls.aliases.items() if ours == name), name)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the content of a config.json. Keys we do not interpret go to `extra`."""
        names = {f.name for f in dataclasses.fields(cls)} - {
            "extra",
            "id2label",
            "architectures",
            *cls.constants,
        }
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in values.items():
            name = cls.aliases.get(key, key)
            if key in cls.required and value != cls.required[key]:
                raise ConfigError(f"{key} {value!r} is not supported, only {cls.required[key]!r}")
            if name in names and (key in cls.aliases or name not in cls.aliases.values()):
                known[name] = value
            elif key not in ("model_type", "id2label", "label2id", "num_labels", "architectures"):
                extra[key] = value
        labels = values.get("id2label")
        if labels is None:
            number = values.get("num_labels", 2)
            if not isinstance(number, int):
                raise ConfigError(f"num_labels must be a number, not {number!r}")
            labels = {i: f"LABEL_{i}" for i in range(number)}
        try:
            id2label = {int(i): str(name) for i, name in labels.items()}
        except (AttributeError, ValueError) as error:
            raise ConfigError(f"id2label must map numbers to names, got {labels!r}") from error
        architectures = values.get("architectures") or ()
        if not isinstance(architectures, (list, tuple)):
            raise ConfigError(f"architectures must be a list of names, not {architectures!r}")
        try:
            return cls(
                **known,
                id2label=dict(sorted(id2label.items())),
                architectures=tuple(architectures),
                extra=extra,
            )
        except TypeError as error:
            raise ConfigError(str(error)) from error

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


@dataclass(frozen=True, kw_only=True)
class BertConfig(ModelConfig):
    """A BERT (Devlin et al. 2018): token types, a pooler, LayerNorm after each residual."""

    model_type: ClassVar[str] = "bert"
    required: ClassVar[Mapping[str, Any]] = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }

    classifier_dropout: float | None = None

    @property
    def classifier_dropout_prob(self) -> float:
        return self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout

    @property
    def token_dropout_prob(self) -> float:
        return self.classifier_dropout_prob


@dataclass(frozen=True, kw_only=True)
class DistilBertConfig(ModelConfig):
    """A DistilBERT (Sanh et al. 2019): BERT without token types and pooler.

    `sinusoidal_pos_embds` only says how positions were first filled; the tensor in the file is
    what counts, and is always loaded.
    """

    model_type: ClassVar[str] = "distilbert"
    aliases: ClassVar[Mapping[str, str]] = {
        "dim": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "hidden_dim": "intermediate_size",
        "activation": "hidden_act",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
    }
    constants: ClassVar[Mapping[str, Any]] = {"type_vocab_size": 0, "layer_norm_eps": 1e-12}

    num_hidden_layers: int = 6
    type_vocab_size: int = 0
    sinusoidal_pos_embds: bool = False
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2

    @property
    def classifier_dropout_prob(self) -> float:
        return self.seq_classif_dropout

    @property
    def attention_output_dropout_prob(self) -> float:
        return 0.0  # DistilBERT drops nothing here, unlike BERT

    @property
    def qa_dropout_prob(self) -> float:
        return self.qa_dropout


FAMILIES: dict[str, type[ModelConfig]] = {c.model_type: c for c in (BertConfig, DistilBertConfig)}


def config_from_dict(values: Mapping[str, Any], source: object = "config.json") -> ModelConfig:
    """The config of whichever family `values["model_type"]` names.

    Raises
    ------
    ConfigError
        Unknown family (the supported ones are named), or a value that makes no sense.
    """
    family = values.get("model_type")
    if family not in FAMILIES:
        close = difflib.get_close_matches(str(family), FAMILIES, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        supported = ", ".join(sorted(FAMILIES))
        raise ConfigError(f"{source}: model_type {family!r} is not supported{hint}; supported: {supported}")
    try:
        return FAMILIES[family].from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def load_config(path: Path) -> ModelConfig:
    """Read config.json. `path` is the file, or a directory of which `encoder_directory` says where it is."""
    if path.is_dir():
        path = encoder_directory(path) / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        seed = path.parent / "seed-0"
        hint = f": it has a model for each seed, such as {seed}" if seed.is_dir() else ""
        raise ConfigError(
            f"{path} does not exist, so {path.parent} is not a model directory{hint}"
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a JSON object")
    return config_from_dict(values, path)
