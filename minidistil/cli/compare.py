"""minidistil compare: where do two models, backends, dtypes or implementations diverge?"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from minidistil.errors import UsageError
from minidistil.precision import PRECISIONS

if TYPE_CHECKING:
    import numpy.typing as npt

    from minidistil.model.model import Model
    from minidistil.verify.compare import Comparison, TensorComparison

HELP = "compare two models, backends, dtypes or saved activations, tensor by tensor"

EXAMPLES = """\
  minidistil compare teacher/ student/ --text "a warm, funny film"
  minidistil compare teacher/ --backend-b numpy --dtype-b float64 --text "so bad" "so good"
  minidistil compare teacher/ --save reference.safetensors --text "a warm, funny film"
  minidistil compare teacher/ reference.safetensors --tolerance 1e-4 --json

A file of another implementation's activations is a safetensors file with any of these tensors:
  input_ids, attention_mask, token_type_ids    [B, L]; without them, --text makes them
  hidden_states.0 (the embeddings), hidden_states.1, ... last_hidden_state [B, L, H]
  pooler_output [B, H], logits, start_logits, end_logits, ... as transformers names them
  loss, grad.<parameter>                       of the loss with these targets:
  labels, start_positions, ...                 or, for models without a loss, of
  cotangent.<output>                           sum(output * cotangent)
Padding is left out. Gradients need targets or cotangents in the file: --save shows one that has all."""


@dataclass(frozen=True)
class Side:
    """A or B: a model to run, or saved tensors."""

    title: str
    dtype: str
    source: str
    model: Model | None
    saved: Mapping[str, npt.NDArray[Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a model directory, a hub id, or saved activations")
    parser.add_argument("b", metavar="B", nargs="?", help="likewise (default: A, to compare its backends)")
    parser.add_argument("--text", nargs="+", metavar="TEXT", help="what to run; A's tokenizer reads it")
    parser.add_argument(
        "--label", nargs="+", type=int, metavar="N", help="class of each text (default: A's prediction)"
    )
    for option, choices, default in (
        ("backend", ("numba", "numpy"), "numba"),
        ("dtype", tuple(PRECISIONS), "float32"),
    ):
        parser.add_argument(
            f"--{option}", choices=choices, default=default, help=f"of both sides (default: {default})"
        )
        for side in "ab":
            parser.add_argument(f"--{option}-{side}", choices=choices, help=f"of {side.upper()} only")
    single, exact = PRECISIONS["float32"].tolerance, PRECISIONS["float64"].tolerance
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="X",
        help=f"largest relative error that passes (default: {single:.0e}; {exact:.0e} if both are float64)",
    )
    parser.add_argument("--save", metavar="FILE", help="write A's activations to a .safetensors file")
    parser.add_argument("--json", action="store_true", help="print every tensor as JSON")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if all tensors agree within the tolerance, 1 if one does not."""
    from minidistil.verify.compare import compare, questions
    from minidistil.weights.safetensors_file import write_safetensors

    if args.tolerance is not None and not args.tolerance >= 0:
        raise UsageError(f"--tolerance must be a number >= 0, not {args.tolerance}")
    sides = [open_side(args.a, args.backend_a or args.backend, args.dtype_a or args.dtype)]
    given = dict(questions(sides[0].saved))
    if args.b is not None or args.backend_b or args.dtype_b:
        path = args.a if args.b is None else args.b
        sides.append(open_side(path, args.backend_b or args.backend, args.dtype_b or args.dtype))
        given |= questions(sides[1].saved)
    elif args.save is None:
        raise UsageError("nothing to compare with: give B, or --backend-b or --dtype-b, or --save FILE")
    if args.label is not None and all(side.model is None for side in sides):
        raise UsageError("--label is for models, and these are saved activations")

    given = with_texts(given, args.text, sides)
    activations = [activate(sides[0], given, args.label)]
    if args.save is not None:
        write_safetensors(args.save, activations[0])
    if len(sides) == 1:
        return 0
    # B answers the questions that A was asked: the same labels, the same cotangents.
    given |= questions(activations[0])
    activations.append(activate(sides[1], given, None if sides[0].model else args.label))
    tolerance = args.tolerance
    if tolerance is None:
        tolerance = max(PRECISIONS.get(side.dtype, PRECISIONS["float32"]).tolerance for side in sides)
    result = compare(*activations, tolerance=tolerance)
    print(as_json(result, sides) if args.json else as_table(result, sides, activations[0]))
    return 0 if result.passed else 1


def open_side(source: str, backend: str, dtype: str) -> Side:
    if source.endswith(".safetensors"):
        from minidistil.weights.safetensors_file import BFLOAT16, FLOATING, STORED, SafetensorsFile

        file = SafetensorsFile(source)
        stored = {tensor.dtype for tensor in file.tensors.values()} & FLOATING
        floats = {"float32" if dtype == BFLOAT16 else STORED[dtype].name for dtype in stored}
        return Side("saved activations", ", ".join(sorted(floats)), source, None, file)
    from minidistil.model import load_model

    model = load_model(source, backend=backend, dtype=dtype, quiet=True)
    title = f"{type(model).__name__}, {model.config.num_hidden_layers} layers, {backend}, {dtype}"
    if untrained := model.untrained():
        title += f", without {', '.join(untrained)}, which nobody has trained"
    return Side(title, dtype, source, model, {})


def with_texts(given: dict[str, Any], texts: list[str] | None, sides: list[Side]) -> dict[str, Any]:
    """Inputs stored in a file, else made from texts."""
    if "input_ids" in given or all(side.model is None for side in sides):
        if texts is not None:
            raise UsageError("the saved activations have inputs of their own; leave --text away")
        return given
    if texts is None:
        raise UsageError("what shall the model run? Give --text TEXT ...")
    import numpy as np

    from minidistil.batch import Batch
    from minidistil.text.lengths import sequence_length
    from minidistil.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_pretrained(next(side.source for side in sides if side.model is not None))
    limit = min(sequence_length(tokenizer, side.model.config) for side in sides if side.model is not None)
    encoded = tokenizer.encode(texts, max_length=limit)
    batch = Batch.from_sequences(encoded.input_ids)
    types = np.concatenate(encoded.token_type_ids)
    return given | {
        "input_ids": batch.unpack(batch.input_ids),
        "attention_mask": batch.unpack(np.ones_like(batch.input_ids)),
        "token_type_ids": batch.unpack(types),
    }


def activate(
    side: Side, given: Mapping[str, npt.NDArray[Any]], label: list[int] | None
) -> Mapping[str, npt.NDArray[Any]]:
    """Outputs of a side, computed or saved."""
    from minidistil.verify.compare import capture

    return side.saved if side.model is None else capture(side.model, given, label=label)


def as_json(result: Comparison, sides: list[Side]) -> str:
    """The result as one object; null for NaN and infinity, which JSON does not have."""

    def plain(value: Any) -> Any:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(
        {
            "a": {"source": sides[0].source, "what": sides[0].title},
            "b": {"source": sides[1].source, "what": sides[1].title},
            "tolerance": result.tolerance,
            "passed": result.passed,
            "first_divergence": result.first_divergence,
            "tensors": [{k: plain(v) for k, v in asdict(t).items()} for t in result.tensors],
            "only_in_a": result.only_in_a,
            "only_in_b": result.only_in_b,
            "other_loss": result.other_loss,
        },
        indent=1,
        allow_nan=False,
    )


def as_table(result: Comparison, sides: list[Side], a: Mapping[str, npt.NDArray[Any]]) -> str:
    """A line for each tensor; gradients by part of the model, and one by one at the first divergence."""
    from minidistil.verify.compare import GRADIENT, part_of, with_nearest

    lines = [f"{name}  {side.source}: {side.title}" for name, side in zip("AB", sides, strict=True)]
    if "attention_mask" in a:
        mask = a["attention_mask"] != 0
        lines.append(f"sequences: {len(mask)}, tokens: {int(mask.sum())}")
    rows = []
    for part, group in groupby(result.tensors, key=lambda t: part_of(t.name)):
        tensors = list(group)
        worst = max(tensors, key=badness)
        if len(tensors) > 1:
            bad = [t for t in tensors if not t.passed]
            count = f"{len(bad)} of {len(tensors)}, worst" if bad else f"worst of {len(tensors)}:"
            rows.append((f"gradients, {part}", worst, f"  {count} {worst.name.removeprefix(GRADIENT)}"))
            tensors = bad if result.first_divergence in [t.name for t in bad] else []
        rows += [(t.name + " (embeddings)" * (t.name == "hidden_states.0"), t, "") for t in tensors]
    width = max(len(name) for name, *_ in rows)
    lines += ["", f"{'tensor':{width}}   max abs  relative      cosine"]
    for name, t, note in rows:
        verdict = "" if t.passed else "  FAILED"
        if t.shapes:
            verdict += f": shape {list(t.shapes[0])} in A, {list(t.shapes[1])} in B"
        lines.append(f"{name:{width}}  {t.max_abs:8.1e}  {t.relative:8.1e}  {t.cosine:10.7f}{verdict}{note}")
    lines.append("")
    for name, only, others in (
        ("A", result.only_in_a, result.only_in_b),
        ("B", result.only_in_b, result.only_in_a),
    ):
        if only:
            lines.append(f"only in {name}, {len(only)}: {with_nearest(only, others)}")
    if result.other_loss:
        lines.append("loss and gradients are left out: the two sides had different targets")
    failed = sum(not t.passed for t in result.tensors)
    if result.passed:
        lines.append(f"all {len(result.tensors)} tensors agree within {result.tolerance:.0e}")
    else:
        lines.append(
            f"{failed} of {len(result.tensors)} tensors differ by more than {result.tolerance:.0e}; "
            f"the first divergence is {result.first_divergence}"
        )
    return "\n".join(lines)


def badness(t: TensorComparison) -> float:
    """Sort key of the worst tensor: NaN is worse than any number."""
    return math.inf if math.isnan(t.relative) else t.relative
