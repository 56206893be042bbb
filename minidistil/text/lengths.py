"""Longest sequence: as asked for, as the tokenizer says, as the model takes."""

from __future__ import annotations

from minidistil.config import ModelConfig
from minidistil.errors import ConfigError
from minidistil.text.tokenizer import Tokenizer


def sequence_length(
    tokenizer: Tokenizer,
    config: ModelConfig,
    wanted: int | None = None,
    *,
    usual: int | None = None,
    name: str = "max_length",
) -> int:
    """Most tokens of a sequence, special tokens included.

    In the order of transformers: what is asked for; else what the tokenizer's files say (`model_max_length`);
    else as many as the model has positions.

    Parameters
    ----------
    tokenizer : Tokenizer
    config : ModelConfig
        Of the model that the sequences are for.
    wanted : int, optional
        Length that is asked for.
    usual : int, optional
        Enough where nobody asks for more.
    name : str
        Name of `wanted` for messages.

    Raises
    ------
    ConfigError
        More is asked for than the model has positions.
    """
    positions = config.max_sequence_length
    if wanted is not None:
        if wanted > positions:
            raise ConfigError(
                f"{name} is {wanted}, but the model has {positions} positions: ask for {positions} at most"
            )
        return wanted
    return min(limit for limit in (usual, tokenizer.model_max_length, positions) if limit is not None)
