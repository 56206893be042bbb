"""The weights in a model directory: one safetensors file, or shards with an index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from minidistil.errors import WeightsError
from minidistil.files import read_json
from minidistil.modules_json import encoder_directory
from minidistil.weights.names import wrapper_prefix
from minidistil.weights.safetensors_file import SafetensorsFile, Tensor, TensorMap

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

HOW_TO_CONVERT = """\
Loading a pickle can run any code its maker put in it, so minidistil never does. To convert a model \
you trust, in an environment with transformers and torch:
    from transformers import AutoModel
    AutoModel.from_pretrained({where!r}).save_pretrained({where!r}, safe_serialization=True)
(take AutoModelForMaskedLM, AutoModelForSequenceClassification, ... to keep its head), \
or get a revision of the model that holds model.safetensors."""


class Checkpoint(TensorMap):
    """Tensors by the names they are stored under, wherever they lie.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    path : Path
        Name for messages.
    prefix : str
        Beginning of every stored name, left away here; see `without_wrapper`.

    Attributes
    ----------
    tensors, path, prefix
        As above.
    """

    def __init__(self, tensors: Mapping[str, Tensor], path: Path, prefix: str = "") -> None:
        self.tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        self.path, self.prefix = path, prefix

    def without_wrapper(self, base_prefix: str) -> Checkpoint:
        """The same tensors without what a wrapper put before every name, such as "module."."""
        prefix = wrapper_prefix(self, base_prefix)
        return Checkpoint(self.tensors, self.path, prefix) if prefix else self


def open_checkpoint(directory: str | Path) -> Checkpoint:
    """Open the weights of a model directory.

    Parameters
    ----------
    directory : str or Path
        Holds model.safetensors, or model.safetensors.index.json and the shards it names.

    Raises
    ------
    WeightsError
        No such directory; no weights in it; only pickles or another framework's weights; or damaged
        files, shards missing, an index that contradicts its shards.
    """
    directory = Path(directory)
    if not os.path.exists(directory):  # unlike Path.exists(), never raises
        raise WeightsError(f"{directory} does not exist; a directory holding {SINGLE} was expected")
    if not directory.is_dir():
        raise WeightsError(f"{directory} is a file; give the directory that holds config.json and {SINGLE}")
    directory = encoder_directory(directory)
    single = directory / SINGLE
    if single.exists():
        return Checkpoint(SafetensorsFile(single).tensors, single)
    if (directory / INDEX).exists():
        return _open_shards(directory)
    raise _no_weights(directory)


def _open_shards(directory: Path) -> Checkpoint:
    index = directory / INDEX
    weight_map = read_json(index, WeightsError).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise WeightsError(f'{index} has no "weight_map" of tensor names to file names')
    shards: dict[str, SafetensorsFile] = {}
    for name in sorted(set(weight_map.values())):
        # A plain name only: an index from elsewhere must not make us read "../" or "/etc".
        if Path(name).name != name or "\\" in name or "\0" in name or not name.endswith(".safetensors"):
            raise WeightsError(
                f"{index} names the shard {name!r:.99}; a .safetensors file beside it was expected"
            )
        if not os.path.exists(directory / name):  # unlike Path.exists(), never raises
            raise WeightsError(
                f"{index} names the shard {name!r:.99}, which is missing: fetch the model again"
            )
        shards[name] = SafetensorsFile(directory / name)
    for tensor, name in weight_map.items():
        if tensor not in shards[name]:
            raise WeightsError(f"{index} says {name!r} holds tensor {tensor!r}, but it does not")
    for name, shard in shards.items():
        for tensor in shard:
            if weight_map.get(tensor) != name:
                raise WeightsError(
                    f"{directory / name} holds tensor {tensor!r}, which {INDEX} does not place there"
                )
    return Checkpoint({tensor: shards[name].tensors[tensor] for tensor, name in weight_map.items()}, index)


def _no_weights(directory: Path) -> WeightsError:
    pickles = [
        p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt") for p in directory.glob(pattern)
    ]
    others = [p.name for pattern in ("*.h5", "*.msgpack", "*.ckpt.*") for p in directory.glob(pattern)]
    if pickles:
        convert = HOW_TO_CONVERT.format(where=str(directory))
        return WeightsError(f"{directory} holds no {SINGLE}, only {', '.join(sorted(pickles))}. {convert}")
    if others:
        return WeightsError(
            f"{directory} holds no {SINGLE}, only another framework's {', '.join(sorted(others))}; "
            f"load it there and save it as safetensors"
        )
    return WeightsError(f"{directory} holds no weights; {SINGLE} or {INDEX} was expected")
