"""Structure of a model: the encoder and the heads that a family's class composes from a config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from minidistil.config import ModelConfig
from minidistil.errors import ConfigError
from minidistil.model.encoder import Encoder
from minidistil.model.heads import Head
from minidistil.model.modules import unique
from minidistil.parameters import ParameterSpec


class Structure:
    """Modules of a model, made again whenever its config is replaced. They hold no arrays."""

    # Of a family: its config, its prefix of names, what papers call it, what stands before a layer's number.
    config_class: ClassVar[type[ModelConfig]]
    base: ClassVar[str]
    title: ClassVar[str]
    layer_prefix: ClassVar[str]
    build_encoder: Callable[[Any, str], Encoder]
    build_heads: ClassVar[tuple[Callable[[Any, str], Head], ...]]
    at: ClassVar[str | None] = None  # what the names of the encoder begin with, `base` and a dot by default

    encoder: Encoder
    heads: tuple[Head, ...]

    @property
    def config(self) -> ModelConfig:
        """Sizes, rates and names of labels. Another may be set, such as one with other names."""
        return self._config

    @config.setter
    def config(self, config: ModelConfig) -> None:
        if not self.is_of(config):
            raise ConfigError(
                f"{type(self).__name__} needs a {self.config_class.__name__}, not a {type(config).__name__}"
            )
        self._config, self.encoder, self.heads = config, self.encoder_of(config), self.heads_of(config)

    @classmethod
    def is_of(cls, config: object) -> bool:
        """True for a config of this family. A RoBERTa's has the fields of a BERT's, and is none."""
        return isinstance(config, cls.config_class) and config.model_type == cls.config_class.model_type

    @classmethod
    def specs(cls, config: ModelConfig) -> list[ParameterSpec]:
        """Name, shape and role of every parameter, in order."""
        heads = [spec for head in cls.heads_of(config) for spec in head.specs()]
        return unique(cls.encoder_of(config).specs() + heads)

    @classmethod
    def encoder_of(cls, config: ModelConfig) -> Encoder:
        """The modules below the heads."""
        return cls.build_encoder(config, cls.base + "." if cls.at is None else cls.at)

    @classmethod
    def heads_of(cls, config: ModelConfig) -> tuple[Head, ...]:
        """The modules on top of the encoder."""
        at = cls.base + "." if cls.at is None else cls.at
        return tuple(build(config, at) for build in cls.build_heads)

    @classmethod
    def copies(cls, config: ModelConfig) -> dict[str, str]:
        """Tensors of a file that are no parameters: {name: the parameter that it equals}."""
        return {alias: name for head in cls.heads_of(config) for alias, name in head.copies().items()}

    def taps(self) -> dict[str, str]:
        """Names of the numbers inside that `forward(taps=)` gives, in order of computation.

        Returns
        -------
        dict of str to str
            {name: the `Linear` or `Norm` that it is the output of}, such as {"layer.0.attention.q":
            "bert.encoder.layer.0.attention.self.query"}; "" for what no parameters make.
        """
        heads = {name: module for head in self.heads for name, module in head.taps().items()}
        return {**self.encoder.taps(), **heads}

    def sequence_taps(self) -> set[str]:
        """Names of the taps with a row for each sequence, [B, ...]; all others have one for each token."""
        return {name for head in self.heads if not head.by_token for name in head.taps()}
