"""Steps of a sentence encoder after pooling, in folders such as `2_Dense`: config.json, model.safetensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.embeddings.dense import ACTIVATIONS, Dense, Layer, LayerNorm, Normalize
from minidistil.errors import ConfigError, WeightsError
from minidistil.files import read_json, write_json
from minidistil.weights.checkpoint import SINGLE
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

CONFIG = "config.json"
VECTOR = "sentence_embedding"  # what sentence-transformers calls the pooled vector among a step's inputs
USUAL_ACTIVATION = "torch.nn.modules.activation.Tanh"

PICKLED = """\
{folder} holds no {single}, only pytorch_model.bin. Loading a pickle can run any code its maker put in it, \
so minidistil never does. To convert a model you trust, in an environment with sentence-transformers:
    from sentence_transformers import SentenceTransformer
    SentenceTransformer({root!r}).save({root!r})
or get a revision of the model that holds {single}."""


def setting(values: dict[str, Any], key: str, kind: type, usual: Any, path: Path) -> Any:
    """A value of a JSON object; `usual` where it is missing or null.

    Raises
    ------
    ConfigError
        It is of another kind; file and key are named.
    """
    value = values.get(key)
    if value is None:
        return usual
    if type(value) is not kind:  # type() and not isinstance(): true would pass for 1
        raise ConfigError(f"{path}: {key} is {value!r:.80}: {NAMES[kind]} is expected")
    return value


NAMES = {bool: "true or false", int: "a whole number", str: "text", dict: "an object", list: "a list"}


def read_config(folder: Path) -> dict[str, Any]:
    """Settings of a step; none where it has no config.json."""
    path = folder / CONFIG
    values: dict[str, Any] = read_json(path) if path.exists() else {}
    for key in ("module_input_name", "module_output_name"):
        if setting(values, key, str, VECTOR, path) != VECTOR:
            raise ConfigError(f"{path}: {key} is {values[key]!r}: only {VECTOR!r} is supported")
    return values


def read_layer(kind: str, folder: Path, width: int) -> Layer | None:
    """A step of the kind Dense, LayerNorm, Normalize or Dropout, which does nothing when it predicts.

    Parameters
    ----------
    kind : str
    folder : Path
    width : int
        Numbers of the vector that comes in.

    Raises
    ------
    ConfigError, WeightsError
        Settings or weights that are missing, unknown, or of another width; file and key are named.
    """
    values = read_config(folder)
    if kind == "Dense":
        return _read_dense(folder, values, width)
    if kind == "LayerNorm":
        weights = _Weights(folder)
        return LayerNorm(weights.get("norm.weight", width), weights.get("norm.bias", width))
    return Normalize() if kind == "Normalize" else None


def _read_dense(folder: Path, values: dict[str, Any], width: int) -> Dense:
    path = folder / CONFIG
    given = setting(values, "in_features", int, width, path)
    if given != width:
        raise ConfigError(f"{path}: in_features is {given}: the vectors that come in have {width} numbers")
    out = setting(values, "out_features", int, None, path)
    if out is None or out < 1:
        raise ConfigError(f"{path}: out_features is {out}: a number of at least 1 is expected")
    residual = setting(values, "use_residual", bool, False, path)
    weights = _Weights(folder)
    return Dense(
        weight=weights.get("linear.weight", out, width),
        bias=weights.get("linear.bias", out) if setting(values, "bias", bool, True, path) else None,
        activation=activation_name(setting(values, "activation_function", str, USUAL_ACTIVATION, path), path),
        residual=residual,
        shortcut=weights.get("residual.weight", out, width) if residual and out != width else None,
    )


def activation_name(dotted: str, path: Path) -> str:
    """The key in `ACTIVATIONS` of a class of PyTorch; the name is compared, nothing is imported.

    Raises
    ------
    ConfigError
        There is no such activation here.
    """
    name = dotted.rpartition(".")[2]
    if not dotted.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise ConfigError(
            f"{path}: the activation {dotted!r:.80} is not supported; of torch.nn there are: "
            f"{', '.join(ACTIVATIONS)}"
        )
    return name


class _Weights:
    """Tensors of a step."""

    def __init__(self, folder: Path) -> None:
        path = folder / SINGLE
        if not path.exists() and (folder / "pytorch_model.bin").exists():
            raise WeightsError(PICKLED.format(folder=folder, single=SINGLE, root=str(folder.parent)))
        self.path, self.file = path, SafetensorsFile(path)

    def get(self, name: str, *shape: int) -> npt.NDArray[np.float32]:
        if name not in self.file:
            raise WeightsError(f"{self.path} lacks the tensor {name!r}; it holds: {', '.join(self.file)}")
        if self.file.shape_of(name) != shape:
            found = list(self.file.shape_of(name))
            raise WeightsError(f"{self.path}: the tensor {name!r} is {found}: {list(shape)} is expected")
        out = np.empty(shape, np.float32)
        self.file.read_into(name, out)
        return out


def write_layer(layer: Layer, folder: Path) -> None:
    """Write what `read_layer` reads."""
    if isinstance(layer, Dense):
        values: dict[str, Any] = {
            "in_features": layer.weight.shape[1],
            "out_features": len(layer.weight),
            "bias": layer.bias is not None,
            "activation_function": _dotted(layer.activation),
        }
        if layer.residual:  # unknown to versions of sentence-transformers before 5.7
            values["use_residual"] = True
        named = {"linear.weight": layer.weight, "linear.bias": layer.bias, "residual.weight": layer.shortcut}
    elif isinstance(layer, LayerNorm):
        values = {"dimension": len(layer.weight)}
        named = {"norm.weight": layer.weight, "norm.bias": layer.bias}
    else:
        return
    write_json(folder / CONFIG, values)
    write_safetensors(folder / SINGLE, {name: part for name, part in named.items() if part is not None})


def _dotted(activation: str) -> str:
    module = "linear" if activation == "Identity" else "activation"
    return f"torch.nn.modules.{module}.{activation}"
