"""Settings of a sentence encoder: from the vectors of tokens to the vector of a text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from minidistil.arguments import check_choice, check_integer, check_type
from minidistil.embeddings.layers import Layer
from minidistil.embeddings.similarity import RANGES, Similarity
from minidistil.errors import UsageError
from minidistil.ops.pooling import pooling_kinds


class EmbeddingSettings(NamedTuple):
    """Settings of a sentence encoder. By default the mean of the tokens' vectors, scaled to length 1.

    Attributes
    ----------
    pooling : str
        See `minidistil.ops.pooling.pool_forward`.
    normalize : bool
        Scale vectors to length 1 after all layers.
    max_length : int or None
        Most tokens of a text; the rest is cut.
    layers : tuple of Layer
        Layers after pooling.
    truncate_dim : int or None
        Numbers of a vector that are kept, the first ones, as the last step.
    lower_case : bool
        Lower a text before the tokenizer reads it.
    include_prompt : bool
        Pool the tokens of a prompt too.
    prompts : mapping of str to str
        Texts to put before a text, by name.
    default_prompt_name : str or None
        Prompt of every text, unless a call names another.
    similarity : {"cosine", "dot", "euclidean", "manhattan"}
        Similarity that the vectors are trained for.
    """

    pooling: str = "mean"
    normalize: bool = True
    max_length: int | None = None
    layers: tuple[Layer, ...] = ()
    truncate_dim: int | None = None
    lower_case: bool = False
    include_prompt: bool = True
    prompts: Mapping[str, str] = {}
    default_prompt_name: str | None = None
    similarity: Similarity = "cosine"

    def check(self) -> None:
        """Raise a UsageError for a value that its field cannot have."""
        pooling_kinds(self.pooling)
        for name in ("normalize", "lower_case", "include_prompt"):
            check_type(name, getattr(self, name), bool)
        for name in ("max_length", "truncate_dim"):
            if (value := getattr(self, name)) is not None:
                check_integer(name, value, 1)
        check_type("prompts", self.prompts, Mapping)
        for name, text in self.prompts.items():
            check_type(f"prompt {name!r}", text, str)
        check_choice("similarity", self.similarity, RANGES)
        self.prompt()

    def width(self, hidden_size: int) -> int:
        """Width of a vector."""
        width = len(pooling_kinds(self.pooling)) * hidden_size
        for layer in self.layers:
            width = layer.width(width)
        return width if self.truncate_dim is None else min(width, self.truncate_dim)

    def prompt(self, text: str | None = None, name: str | None = None) -> str:
        """Prompt before a text: `text` itself, the prompt called `name`, or the default one.

        Raises
        ------
        UsageError
            An unknown name, or both.
        """
        if text is not None:
            if name is not None:
                raise UsageError("a prompt is given by its text or by its name, not by both")
            check_type("a prompt", text, str)
            return text
        name = self.default_prompt_name if name is None else name
        if name is None:
            return ""
        if name not in self.prompts:
            known = ", ".join(map(repr, self.prompts)) or "none"
            raise UsageError(f"there is no prompt {name!r}; this encoder's prompts: {known}")
        return self.prompts[name]

    def named_or_text(self, prompt: str) -> str:
        """Text of the prompt of this name, or the text itself if no prompt has this name.

        Raises
        ------
        UsageError
            A single word that is no prompt's name: probably misspelt.
        """
        if prompt in self.prompts or re.fullmatch(r"[\w-]+", prompt):
            return self.prompt(name=prompt)
        return prompt

    def with_prompt(self, text: str | None = None, name: str | None = None) -> EmbeddingSettings:
        """Copy with another default prompt; arguments and errors as of `prompt`."""
        if text is None and name is None:
            return self
        prompt = self.prompt(text, name)
        if not prompt:
            return self._replace(default_prompt_name=None)
        if name is None:
            name = next((key for key, value in self.prompts.items() if value == prompt), "default")
        return self._replace(prompts={**self.prompts, name: prompt}, default_prompt_name=name)
