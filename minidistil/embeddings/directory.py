"""The directory layout of sentence-transformers: an encoder, and how its tokens become one vector.

    modules.json                        the steps: the encoder, pooling, and what follows, each in a folder
    1_Pooling/config.json               how tokens are pooled, in the form of either time
    2_Dense/, 3_LayerNorm/, ...         see `minidistil.embeddings.dense_files`
    sentence_bert_config.json           where texts are cut, and whether they are lowered first; it lies with
                                        the encoder, and old versions named it after the kind of encoder
    config_sentence_transformers.json   prompts, and how vectors are compared

What they say is what sentence-transformers 6.2 makes of them, which reads the files of all versions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from minidistil.arguments import check_integer, check_type
from minidistil.embeddings.dense import Layer, Normalize
from minidistil.embeddings.dense_files import CONFIG, read_config, read_layer, setting, write_layer
from minidistil.errors import ConfigError, UsageError
from minidistil.files import read_json, write_json
from minidistil.modules_json import ABOUT, ENCODER, MODULES, encoder_directory, read_modules
from minidistil.ops.pooling import KINDS, pooling_kinds

Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]

LENGTHS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
WITH_WEIGHTS = ("Dense", "LayerNorm")
AFTER_POOLING = (*WITH_WEIGHTS, "Normalize", "Dropout")

# The old form of a pooling's config; several vectors stand side by side in this order.
OLD_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
EMPTY = ("query", "document")  # prompts that every encoder has, empty where nothing is said
ARGUMENTS = ("trust_remote_code", "use_fast")  # of a tokenizer, without a meaning here


class Embedding(NamedTuple):
    """Settings by which a sentence encoder makes its vector.

    Attributes
    ----------
    pooling : str
        See `minidistil.ops.pooling.pool_forward`.
    normalize : bool
        Whether vectors have length 1 in the end.
    max_length : int or None
        Most tokens of a text, if the directory says so.
    layers : tuple of Layer
        Between pooling and that.
    truncate_dim : int or None
        How many numbers of a vector are kept, the first, at the very end.
    lower_case : bool
        Whether a text is lowered before the tokenizer sees it.
    include_prompt : bool
        Whether the tokens of a prompt are pooled.
    prompts : mapping of str to str
        Texts to put before a text, by name.
    default_prompt_name : str or None
        The prompt that comes before every text, if nothing else is said.
    similarity : {"cosine", "dot", "euclidean", "manhattan"}
        How vectors are compared.
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
        """Raises UsageError for a value that none of its fields may have."""
        pooling_kinds(self.pooling)
        for name in ("normalize", "lower_case", "include_prompt"):
            check_type(name, getattr(self, name), bool)
        for name in ("max_length", "truncate_dim"):
            if (value := getattr(self, name)) is not None:
                check_integer(name, value, 1)
        check_type("prompts", self.prompts, Mapping)
        for name, text in self.prompts.items():
            check_type(f"prompt {name!r}", text, str)
        if self.similarity not in get_args(Similarity):
            known = ", ".join(get_args(Similarity))
            raise UsageError(f"similarity is {self.similarity!r}: expected one of {known}")
        self.prompt()

    def width(self, hidden_size: int) -> int:
        """Numbers of a vector."""
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
        """The text of the prompt that is called so; else what is given, which then is the text.

        Raises
        ------
        UsageError
            Neither: a single word, which no prompt is called.
        """
        if prompt in self.prompts or re.fullmatch(r"[\w-]+", prompt):
            return self.prompt(name=prompt)
        return prompt

    def with_prompt(self, text: str | None = None, name: str | None = None) -> Embedding:
        """The same with another prompt before every text; arguments and errors as of `prompt`."""
        if text is None and name is None:
            return self
        prompt = self.prompt(text, name)
        if not prompt:
            return self._replace(default_prompt_name=None)
        if name is None:
            name = next((key for key, value in self.prompts.items() if value == prompt), "default")
        return self._replace(prompts={**self.prompts, name: prompt}, default_prompt_name=name)


def read_embedding(directory: Path, hidden_size: int | None = None) -> Embedding:
    """What a directory says of its vectors; without `modules.json` the usual: mean, length 1.

    Parameters
    ----------
    directory : Path
    hidden_size : int, optional
        The encoder's; by default what its config.json says, if it is needed.

    Raises
    ------
    ConfigError, WeightsError
        Files that are not what they should be, or say what is not supported here; file and key are named.
    """
    modules, about = read_modules(directory), directory / ABOUT
    values: dict[str, Any] = read_json(about) if about.exists() else {}
    kind = setting(values, "model_type", str, "SentenceTransformer", about)
    if kind == "CrossEncoder":  # has no vectors; its encoder has
        return Embedding()
    if kind != "SentenceTransformer":
        raise ConfigError(f"{about}: model_type is {kind!r}: only 'SentenceTransformer' has vectors of texts")
    found = Embedding(**_read_length(encoder_directory(directory)), **_read_about(values, about))
    if not modules:
        return found
    kinds = [module.kind for module in modules]
    unknown = [kind for kind in kinds[2:] if kind not in AFTER_POOLING]
    if kinds[:2] != [ENCODER, "Pooling"] or unknown:
        raise ConfigError(
            f"{directory / MODULES}: steps {', '.join(kinds)} are not supported; expected are {ENCODER}, "
            f"Pooling, and any of {', '.join(AFTER_POOLING)}"
        )
    found = found._replace(**_read_pooling(modules[1].folder))
    layers: list[Layer] = []
    for module in modules[2:]:
        if hidden_size is None and module.kind in WITH_WEIGHTS:
            from minidistil.config import load_config

            hidden_size = load_config(encoder_directory(directory)).hidden_size
        so_far = found._replace(layers=tuple(layers), truncate_dim=None)
        layer = read_layer(module.kind, module.folder, so_far.width(hidden_size or 0))
        layers += [] if layer is None else [layer]
    normalize = bool(layers) and isinstance(layers[-1], Normalize)
    return found._replace(layers=tuple(layers[:-1] if normalize else layers), normalize=normalize)


def _read_pooling(folder: Path) -> dict[str, Any]:
    path, values = folder / CONFIG, read_config(folder)
    modes = values.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in OLD_MODES.items() if setting(values, key, bool, False, path)]
        modes = modes or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or any(mode not in KINDS for mode in modes):
        raise ConfigError(
            f"{path}: pooling_mode is {modes!r:.80}: one of {', '.join(KINDS)} is expected, or a list of them"
        )
    unknown = [key for key, value in values.items() if _is_mode(key) and value]
    if unknown:
        raise ConfigError(f"{path}: {unknown[0]} is not supported")
    return {
        "pooling": "+".join(modes),
        "include_prompt": setting(values, "include_prompt", bool, True, path),
    }


def _is_mode(key: str) -> bool:
    return key.startswith("pooling_mode_") and key not in OLD_MODES


def _read_length(directory: Path) -> dict[str, Any]:
    """Of the first length file that says something: where texts are cut, and whether they are lowered."""
    for name in LENGTHS:
        path = directory / name
        values: dict[str, Any] = read_json(path) if path.exists() else {}
        if not values:
            continue
        arguments: dict[str, Any] = {}
        for key in ("tokenizer_args", "processor_kwargs"):
            arguments |= setting(values, key, dict, {}, path)
        length = setting(values, "max_seq_length", int, None, path)
        length = setting(arguments, "model_max_length", int, length, path)
        if length is not None and length < 3:
            raise ConfigError(f"{path}: max_seq_length is {length}: at least 3 is expected")
        for key, usual in (
            ("transformer_task", "feature-extraction"),
            ("module_output_name", "token_embeddings"),
            ("query_expansion", None),
            ("processing_kwargs", {}),
        ):
            if values.get(key) not in (usual, None):
                raise ConfigError(f"{path}: {key} is {values[key]!r:.80}, which is not supported")
        text = setting(values, "modality_config", dict, {}, path).get("text")
        if text is not None and text != {"method": "forward", "method_output_name": "last_hidden_state"}:
            raise ConfigError(f"{path}: modality_config of text is {text!r:.80}, which is not supported")
        unknown = [key for key in arguments if key not in ("model_max_length", *ARGUMENTS)]
        if unknown:
            raise ConfigError(f"{path}: {unknown[0]} for the tokenizer is not supported")
        return {
            "max_length": length,
            "lower_case": setting(values, "do_lower_case", bool, False, path),
        }
    return {}


def _read_about(values: dict[str, Any], path: Path) -> dict[str, Any]:
    prompts = setting(values, "prompts", dict, {}, path)
    prompts = {name: setting(prompts, name, str, "", path) for name in prompts}
    default = setting(values, "default_prompt_name", str, None, path)
    if default in EMPTY and default not in prompts:
        default = None
    if default is not None and default not in prompts:
        raise ConfigError(
            f"{path}: default_prompt_name is {default!r}, which is none of its prompts: "
            f"{', '.join(map(repr, prompts)) or 'it has none'}"
        )
    similarity = setting(values, "similarity_fn_name", str, "cosine", path)
    if similarity not in get_args(Similarity):
        known = ", ".join(get_args(Similarity))
        raise ConfigError(f"{path}: similarity_fn_name is {similarity!r}: one of {known} is expected")
    truncate = setting(values, "truncate_dim", int, None, path)
    if truncate is not None and truncate < 1:
        raise ConfigError(f"{path}: truncate_dim is {truncate}: at least 1 is expected")
    return {
        "prompts": prompts,
        "default_prompt_name": default,
        "similarity": similarity,
        "truncate_dim": truncate,
    }


def write_embedding(directory: Path, embedding: Embedding, hidden_size: int) -> None:
    """Write what `read_embedding` reads, beside an encoder of this width."""
    steps: list[tuple[str, str]] = [("", ENCODER), ("1_Pooling", "Pooling")]
    write_json(directory / "1_Pooling" / CONFIG, _pooling_config(embedding, hidden_size))
    for layer in [*embedding.layers, *([Normalize()] if embedding.normalize else [])]:
        kind = type(layer).__name__
        steps.append((f"{len(steps)}_{kind}", kind))
        write_layer(layer, directory / steps[-1][0])
    write_json(
        directory / LENGTHS[0],
        {"max_seq_length": embedding.max_length, "do_lower_case": embedding.lower_case},
    )
    about: dict[str, Any] = {
        "prompts": dict(embedding.prompts),
        "default_prompt_name": embedding.default_prompt_name,
        "similarity_fn_name": embedding.similarity,
    }
    if embedding.truncate_dim is not None:
        about["truncate_dim"] = embedding.truncate_dim
    write_json(directory / ABOUT, about)
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(steps)
    ]
    write_json(directory / MODULES, modules)  # last: with it, the rest is there


def _pooling_config(embedding: Embedding, hidden_size: int) -> dict[str, Any]:
    """In the old form, which every version reads, unless vectors stand in another order than it can say."""
    kinds = pooling_kinds(embedding.pooling)
    prompt = {} if embedding.include_prompt else {"include_prompt": False}
    if list(kinds) != [mode for mode in OLD_MODES.values() if mode in kinds]:
        return {"embedding_dimension": hidden_size, "pooling_mode": list(kinds), **prompt}
    first = list(OLD_MODES.values())[:4]  # an early version knows no more keys
    modes = {key: mode in kinds for key, mode in OLD_MODES.items() if mode in (*first, *kinds)}
    return {"word_embedding_dimension": hidden_size, **modes, **prompt}
