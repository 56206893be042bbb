"""The weights in a model directory: one safetensors file, or shards with an index."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.errors import WeightsError
from minidistil.weights.modules import encoder_directory
from minidistil.weights.safetensors_file import SafetensorsFile

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

HOW_TO_CONVERT = """\
Loading a pickle can run any code its maker put in it, so minidistil never does. To convert a model \
you trust, in an environment with transformers and torch:
    from transformers import AutoModel
    AutoModel.from_pretrained({where!r}).save_pretrained({where!r}, safe_serialization=True)
(take AutoModelForMaskedLM, AutoModelForSequenceClassification, ... to keep its head), \
or get a revision of the model that holds model.safetensors."""


class Checkpoint(Mapping[str, npt.NDArray[Any]]):
    """Tensors by the names they are stored under, wherever they lie. See `SafetensorsFile`.

    Parameters
    ----------
    homes : mapping of str to SafetensorsFile
        Which file holds each tensor.
    path : Path
        What messages call this checkpoint.
    """

    def __init__(self, homes: Mapping[str, SafetensorsFile], path: Path) -> None:
        self._homes = dict(homes)
        self._files = {file.path: file for file in self._homes.values()}
        self.path = path

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._homes[name][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)

    def dtype_of(self, name: str) -> str:
        """The dtype a tensor is stored in, in the format's words: "F32", "BF16"."""
        return self._homes[name].dtype_of(name)

    def shape_of(self, name: str) -> tuple[int, ...]:
        return self._homes[name].shape_of(name)

    def read_into(self, name: str, out: npt.NDArray[Any]) -> None:
        """Copy a tensor into `out`, converting as it goes."""
        self._homes[name].read_into(name, out)

    def mapped(self, name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any] | None:
        """The tensor where it lies in its file, if it can be used there; see `SafetensorsFile.mapped`."""
        return self._homes[name].mapped(name, dtype)

    def release(self) -> None:
        """Give up the memory that the files take, until a tensor is used the next time."""
        for file in self._files.values():
            file.release()


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
        file = SafetensorsFile(single)
        return Checkpoint(dict.fromkeys(file, file), single)
    if (directory / INDEX).exists():
        return _open_shards(directory)
    raise _no_weights(directory)


def _open_shards(directory: Path) -> Checkpoint:
    index = directory / INDEX
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{index} is not JSON: {error}") from error
    except OSError as error:
        raise WeightsError(f"cannot read {index}: {error.strerror}") from error
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise WeightsError(f'{index} has no "weight_map" of tensor names to file names')
    shards: dict[str, SafetensorsFile] = {}
    for name in sorted(set(weight_map.values())):
        # A plain name only: an index from elsewhere must not make us read "../" or "/etc".
        if Path(name).name != name or "\\" in name or "\0" in name or not name.endswith(".safetensors"):
            raise WeightsError(
                f"{index} names the shard {name!r}; a .safetensors file beside it was expected"
            )
        if not (directory / name).exists():
            raise WeightsError(f"{index} names the shard {name!r}, which is missing: fetch the model again")
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
    return Checkpoint({tensor: shards[name] for tensor, name in weight_map.items()}, index)


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
