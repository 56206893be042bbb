"""Index of a reference: what each of its tensors is, and the letters of its shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidistil.arrays import AnyArray
from minidistil.batch import Batch
from minidistil.model.model import Model
from minidistil.model.taps import GRADIENT
from minidistil.verify.operations import inputs_of, meaning, tap_of, written_taps

FORMAT, VERSION = "minidistil-reference", 1
INDEX = "index.json"
MODEL, INPUTS, VALUES, GRADIENTS = (
    f"{name}.safetensors" for name in ("model", "inputs", "values", "gradients")
)
PACKED = "packed."

LETTERS = {
    "vocab_size": "V", "max_position_embeddings": "P", "type_vocab_size": "S", "hidden_size": "H",
    "num_attention_heads": "A", "intermediate_size": "I", "embedding_size": "E", "num_labels": "C",
}  # fmt: skip
ROLES = {
    ("weight", "weight"): "matrix of a linear layer, [outputs, inputs]",
    ("bias", "bias"): "bias of a linear layer",
    ("norm", "weight"): "gain of a layer normalisation",
    ("norm", "bias"): "bias of a layer normalisation",
    ("embedding", "weight"): "table, a row for each id",
}


def sizes_of(model: Model, batch: Batch) -> dict[str, int]:
    """Sizes by the letters of shapes."""
    config = model.config
    sizes = {letter: getattr(config, key) for key, letter in LETTERS.items() if hasattr(config, key)}
    sizes |= {"B": batch.num_sequences, "T": batch.num_tokens, "L": batch.width}
    if batch.cu_choices is not None:
        sizes |= {"G": batch.num_examples, "C": int(batch.num_choices.max())}
    if sizes.get("E") == sizes["H"]:
        del sizes["E"]
    return {letter: size for letter, size in sorted(sizes.items()) if size}


def described(
    model: Model,
    batch: Batch,
    files: Mapping[str, Mapping[str, AnyArray]],
    limits: Mapping[str, Mapping[str, float]],
) -> list[dict[str, Any]]:
    """An entry of the index for each tensor, in the order of computation."""
    sizes, taps = sizes_of(model, batch), model.taps()
    specs, modules = {spec.name: spec for spec in model.params.specs}, written_taps(taps)
    present = {name for tensors in files.values() for name in tensors}
    entries: list[dict[str, Any]] = []

    def entry(name: str, array: AnyArray, file: str, letters: str, **more: Any) -> None:
        shape = [_letter(size, sizes, letters) for size in array.shape]
        if name in specs and specs[name].key in LETTERS:
            shape[0] = LETTERS[str(specs[name].key)]
        what = (
            meaning(name)
            if file != MODEL
            else ROLES.get((specs[name].role, name.rpartition(".")[2]), specs[name].role)
        )
        about = {"name": name, "file": file, "step": len(entries), "what": what}
        entries.append(
            {**about, "letters": shape, "shape": [*array.shape], "dtype": array.dtype.name, **more}
        )

    for name, value in model.params.items():
        entry(name, value, MODEL, "VPSHIEAC")
    for name, value in files[INPUTS].items():
        entry(name, value, INPUTS, "T" if name.startswith(PACKED) else "BLGHC")
    for file in (VALUES, GRADIENTS):
        for name, value in files[file].items():
            parameter = name.removeprefix(GRADIENT) in specs
            tap = tap_of(name)
            more: dict[str, Any] = {}
            if tap is not None and not tap.gradient:
                more = {"module": taps[name] or None, "parameters": _parameters(model, name)}
            module = name.removeprefix(GRADIENT).rpartition(".")[0]
            shared = [GRADIENT + tap for tap, writer in taps.items() if parameter and writer == module]
            more["from"] = [other for other in shared or inputs_of(name, modules) if other in present]
            more["tolerance"] = limits[name]
            entry(name, value, file, "VPSHIEAC" if parameter else "BLTAHIVCEG", **more)
    return entries


def _letter(size: int, sizes: Mapping[str, int], letters: str) -> str | int:
    """The letter of a size; the size itself where none has it, or several."""
    found = [letter for letter in letters if sizes.get(letter) == size]
    return found[0] if len(found) == 1 else size


def _parameters(model: Model, tap: str) -> list[str]:
    """Parameters that a tap is computed with."""
    if tap == "embeddings.sum":
        return [table.name for table in model.encoder.embeddings.tables]
    module, copies = model.taps()[tap], model.copies(model.config)
    names = [f"{module}.{part}" for part in ("weight", "bias")] if module else []
    names = [copies.get(name, name) for name in names]
    return [name for name in names if name in model.params]
