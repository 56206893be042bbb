"""Directory layout of sentence-transformers.

    modules.json                        the encoder, pooling and further layers, each in a folder
    1_Pooling/config.json               pooling, in the old form or the new one
    2_Dense/, 3_LayerNorm/, ...         see `minidistil.embeddings.layers`
    sentence_bert_config.json           most tokens of a text, lower case; it lies with the encoder, and old
                                        versions named it after the kind of encoder
    config_sentence_transformers.json   prompts and the similarity

They are read as sentence-transformers 6.2 reads them, which knows the files of all earlier versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidistil.embeddings.layers import CONFIG, Layer, Normalize, read_config, read_layer, write_layer
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.embeddings.similarity import RANGES
from minidistil.errors import ConfigError
from minidistil.files import read_json, write_json
from minidistil.model.families import load_config
from minidistil.modules_json import ABOUT, ENCODER, MODULES, encoder_directory, json_field, read_modules
from minidistil.ops.pooling import KINDS, pooling_kinds

LENGTHS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
WITH_WEIGHTS = ("Dense", "LayerNorm")
AFTER_POOLING = (*WITH_WEIGHTS, "Normalize", "Dropout")

# Keys of the old form of a pooling's config; several vectors stand side by side in this order.
OLD_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
EMPTY = ("query", "document")  # prompts that every encoder has, empty unless the file has them
IGNORED = ("trust_remote_code", "use_fast")  # arguments of a tokenizer without a meaning here


def read_settings(directory: Path, hidden_size: int | None = None) -> EmbeddingSettings:
    """Read the settings of a directory; without modules.json pooling and layers have defaults.

    Parameters
    ----------
    directory : Path
    hidden_size : int, optional
        Of the encoder. By default its config.json is read, if it is needed.

    Raises
    ------
    ConfigError, WeightsError
        Damaged files, or values that are not supported; file and key are named.
    """
    modules, about = read_modules(directory), directory / ABOUT
    values: dict[str, Any] = read_json(about) if about.exists() else {}
    kind = json_field(values, "model_type", str, "SentenceTransformer", about)
    if kind == "CrossEncoder":  # has no vectors; its encoder has
        return EmbeddingSettings()
    if kind != "SentenceTransformer":
        raise ConfigError(f"{about}: model_type is {kind!r}: only 'SentenceTransformer' has vectors of texts")
    settings = EmbeddingSettings(**_read_length(encoder_directory(directory)), **_read_about(values, about))
    if not modules:
        return settings
    kinds = [module.kind for module in modules]
    unknown = [kind for kind in kinds[2:] if kind not in AFTER_POOLING]
    if kinds[:2] != [ENCODER, "Pooling"] or unknown:
        raise ConfigError(
            f"{directory / MODULES}: steps {', '.join(kinds)} are not supported; expected are {ENCODER}, "
            f"Pooling, and any of {', '.join(AFTER_POOLING)}"
        )
    settings = settings._replace(**_read_pooling(modules[1].folder))
    layers: list[Layer] = []
    for module in modules[2:]:
        if hidden_size is None and module.kind in WITH_WEIGHTS:
            hidden_size = load_config(encoder_directory(directory)).hidden_size
        so_far = settings._replace(layers=tuple(layers), truncate_dim=None)
        layer = read_layer(module.kind, module.folder, so_far.width(hidden_size or 0))
        layers += [] if layer is None else [layer]
    normalize = bool(layers) and isinstance(layers[-1], Normalize)
    return settings._replace(layers=tuple(layers[:-1] if normalize else layers), normalize=normalize)


def _read_pooling(folder: Path) -> dict[str, Any]:
    path, values = folder / CONFIG, read_config(folder)
    modes = values.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in OLD_MODES.items() if json_field(values, key, bool, False, path)]
        modes = modes or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes or any(mode not in KINDS for mode in modes):
        raise ConfigError(
            f"{path}: pooling_mode is {modes!r:.80}: one of {', '.join(KINDS)} is expected, or a list of them"
        )
    modes_of_file = [key for key in values if key.startswith("pooling_mode_") and values[key]]
    unknown = [key for key in modes_of_file if key not in OLD_MODES]
    if unknown:
        raise ConfigError(f"{path}: {unknown[0]} is not supported")
    return {
        "pooling": "+".join(modes),
        "include_prompt": json_field(values, "include_prompt", bool, True, path),
    }


def _read_length(directory: Path) -> dict[str, Any]:
    """Read the most tokens of a text and the lower case from the first of `LENGTHS` that has values."""
    for name in LENGTHS:
        path = directory / name
        values: dict[str, Any] = read_json(path) if path.exists() else {}
        if not values:
            continue
        arguments: dict[str, Any] = {}
        for key in ("tokenizer_args", "processor_kwargs"):
            arguments |= json_field(values, key, dict, {}, path)
        length = json_field(values, "max_seq_length", int, None, path)
        length = json_field(arguments, "model_max_length", int, length, path)
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
        text = json_field(values, "modality_config", dict, {}, path).get("text")
        if text is not None and text != {"method": "forward", "method_output_name": "last_hidden_state"}:
            raise ConfigError(f"{path}: modality_config of text is {text!r:.80}, which is not supported")
        unknown = [key for key in arguments if key not in ("model_max_length", *IGNORED)]
        if unknown:
            raise ConfigError(f"{path}: {unknown[0]} for the tokenizer is not supported")
        return {
            "max_length": length,
            "lower_case": json_field(values, "do_lower_case", bool, False, path),
        }
    return {}


def _read_about(values: dict[str, Any], path: Path) -> dict[str, Any]:
    prompts = json_field(values, "prompts", dict, {}, path)
    prompts = {name: json_field(prompts, name, str, "", path) for name in prompts}
    default = json_field(values, "default_prompt_name", str, None, path)
    if default in EMPTY and default not in prompts:
        default = None
    if default is not None and default not in prompts:
        raise ConfigError(
            f"{path}: default_prompt_name is {default!r}, which is none of its prompts: "
            f"{', '.join(map(repr, prompts)) or 'it has none'}"
        )
    similarity = json_field(values, "similarity_fn_name", str, "cosine", path)
    if similarity not in RANGES:
        known = ", ".join(RANGES)
        raise ConfigError(f"{path}: similarity_fn_name is {similarity!r}: one of {known} is expected")
    truncate = json_field(values, "truncate_dim", int, None, path)
    if truncate is not None and truncate < 1:
        raise ConfigError(f"{path}: truncate_dim is {truncate}: at least 1 is expected")
    return {
        "prompts": prompts,
        "default_prompt_name": default,
        "similarity": similarity,
        "truncate_dim": truncate,
    }


def write_settings(directory: Path, settings: EmbeddingSettings, hidden_size: int) -> None:
    """Write settings beside an encoder of this width, for `read_settings`."""
    steps: list[tuple[str, str]] = [("", ENCODER), ("1_Pooling", "Pooling")]
    write_json(directory / "1_Pooling" / CONFIG, _pooling_config(settings, hidden_size))
    for layer in [*settings.layers, *([Normalize()] if settings.normalize else [])]:
        kind = type(layer).__name__
        steps.append((f"{len(steps)}_{kind}", kind))
        write_layer(layer, directory / steps[-1][0])
    write_json(
        directory / LENGTHS[0],
        {"max_seq_length": settings.max_length, "do_lower_case": settings.lower_case},
    )
    about: dict[str, Any] = {
        "prompts": dict(settings.prompts),
        "default_prompt_name": settings.default_prompt_name,
        "similarity_fn_name": settings.similarity,
    }
    if settings.truncate_dim is not None:
        about["truncate_dim"] = settings.truncate_dim
    write_json(directory / ABOUT, about)
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(steps)
    ]
    write_json(directory / MODULES, modules)  # last: with it, the rest is there


def _pooling_config(settings: EmbeddingSettings, hidden_size: int) -> dict[str, Any]:
    """Config of a pooling, in the old form if it can say it: every version reads that."""
    kinds = pooling_kinds(settings.pooling)
    prompt = {} if settings.include_prompt else {"include_prompt": False}
    if list(kinds) != [mode for mode in OLD_MODES.values() if mode in kinds]:
        return {"embedding_dimension": hidden_size, "pooling_mode": list(kinds), **prompt}
    first = list(OLD_MODES.values())[:4]  # an early version knows no more keys
    modes = {key: mode in kinds for key, mode in OLD_MODES.items() if mode in (*first, *kinds)}
    return {"word_embedding_dimension": hidden_size, **modes, **prompt}
