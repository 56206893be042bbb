"""minidistil compare: where do two models, backends, dtypes or implementations diverge?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from minidistil.errors import UsageError
from minidistil.precision import PRECISIONS

if TYPE_CHECKING:
    import numpy.typing as npt

    from minidistil.model.model import Model
    from minidistil.verify.conformance import Reference
    from minidistil.verify.saved import Saved

HELP = "compare two models, backends, dtypes, saved activations or a reference, tensor by tensor"

EXAMPLES = """\
  minidistil compare teacher/ student/ --text "a warm, funny film"
  minidistil compare teacher/ --backend-b numpy --dtype-b float64 --text "so bad" "so good"
  minidistil compare teacher/ --save reference.safetensors --text "a warm, funny film"
  minidistil compare teacher/ reference.safetensors --tolerance 1e-4 --json
  minidistil compare teacher/ layer.0.attention.q=q.npy layer.0.attention.k=k.npy --text "so bad"
  minidistil compare reference/ yours.safetensors
  minidistil compare reference/ --backend-b numpy --dtype-b float64

A reference is a directory that `minidistil reference` has written, with inputs of its own, and with a
tolerance for each tensor in float64 and in float32. Tensors beside it may be padded, [B, L, ...], or not,
[T, ...], and may be few. Without B the model in the reference is run.

Another implementation's numbers are a .safetensors or .npz file, a folder of .npy files that are called as
their tensors, or NAME=FILE.npy, one after the other. Any of these tensors, in any floating-point type:
  input_ids, attention_mask, token_type_ids    [B, L]; without them, --text makes them
  hidden_states.0 (the embeddings), hidden_states.1, ... last_hidden_state [B, L, H]
  layer.0.attention.q, ... layer.0.feed_forward.norm, pooler.output: numbers inside, see docs/taps.md
  pooler_output [B, H], logits, start_logits, end_logits, ... as transformers names them
  loss, grad.<parameter>, grad.<number inside> of the loss with these targets:
  labels, start_positions, ...                 or, for models without a loss, of
  cotangent.<output>                           sum(output * cotangent)
attentions.0 of transformers and the names of modules are known too: bert.encoder.layer.0.attention.self.query
is the output of that product. Queries, keys, values and context are [B, L, H], [B, A, L, D] or [B, L, A, D].
Padding is left out. Gradients need targets or cotangents in the file: --save shows one that has all."""

MOST = 2**30  # bytes of numbers inside that are taken without being asked for


@dataclass(frozen=True)
class Side:
    """A or B: a model to run, or saved tensors, which may be those of a reference."""

    title: str
    dtype: str
    source: str
    model: Model | None
    saved: Saved | None
    reference: Reference | None = None

    def named(self, modules: Mapping[str, str], base: str) -> Side:
        """The same with saved tensors under our names."""
        return self if self.saved is None else replace(self, saved=self.saved.named(modules, base))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "a", metavar="A", help="a model directory, a hub id, saved activations or a reference"
    )
    parser.add_argument(
        "b",
        metavar="B",
        nargs="*",
        help="likewise, or several files of tensors (default: A, to compare its backends; of a reference "
        "the model in it)",
    )
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
        help=f"largest relative error that passes (default: {single:.0e}; {exact:.0e} if both are float64; "
        "2e-03 and 8e-03 for tensors stored in float16 and bfloat16)",
    )
    parser.add_argument(
        "--taps",
        nargs="+",
        metavar="PATTERN",
        help="numbers inside the layers, and their gradients, whose names match, such as 'layer.0.*' "
        "(default: those that a saved side has; of models all but the scores of words, unless they take more "
        "than 1 GB: a BERT-base has 1.5 MB for each token)",
    )
    parser.add_argument("--no-taps", action="store_true", help="no numbers inside the layers")
    parser.add_argument(
        "--save", metavar="FILE", help="write A's numbers to a .safetensors file, those inside among them"
    )
    parser.add_argument("--json", action="store_true", help="print every tensor as JSON")


def run(args: argparse.Namespace) -> int:
    """Exit code 0 if all tensors agree within the tolerance, 1 if one does not."""
    from minidistil.cli.compare_output import as_json, as_table
    from minidistil.verify.compare import compare, questions
    from minidistil.weights.safetensors_file import write_safetensors

    check_arguments(args)
    sides = [open_side([args.a], args.backend_a or args.backend, args.dtype_a or args.dtype)]
    if args.b or args.backend_b or args.dtype_b or (sides[0].reference and args.save is None):
        sides.append(
            open_side(
                args.b or [args.a], args.backend_b or args.backend, args.dtype_b or args.dtype,
                as_model=not args.b,
            )
        )  # fmt: skip
    elif args.save is None:
        raise UsageError("nothing to compare with: give B, or --backend-b or --dtype-b, or --save FILE")
    if args.label is not None and all(side.model is None for side in sides):
        raise UsageError("--label is for models, and these are saved activations")

    modules, base = modules_of(sides)
    sides = [side.named(modules, base) for side in sides]
    given: dict[str, Any] = {}
    for side in sides:
        given |= questions(side.saved or {})
    given = with_texts(given, args.text, sides)
    taps = [taps_of(side, sides, given, args) for side in sides]
    keep = None if args.taps is not None else saved_names(sides)
    activations = [activate(sides[0], given, args.label, taps[0], keep)]
    if args.save is not None:
        write_safetensors(args.save, activations[0])
    if len(sides) == 1:
        return 0
    # B answers the questions that A was asked: the same labels, the same cotangents.
    given |= questions(activations[0])
    activations.append(activate(sides[1], given, None if sides[0].model else args.label, taps[1], keep))
    activations = beside_reference(sides, activations)
    tolerance = args.tolerance
    tolerances: dict[str, float] = {}
    if tolerance is None:
        tolerance, tolerances = default_tolerances(sides)
    result = compare(*activations, tolerance=tolerance, tolerances=tolerances, modules=modules)
    form = as_json if args.json else as_table
    print(form(result, sides, activations[0] if "input_ids" in activations[0] else given))
    return 0 if result.passed else 1


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse options that make no sense, before anything is read."""
    if args.tolerance is not None and not args.tolerance >= 0:
        raise UsageError(f"--tolerance must be a number >= 0, not {args.tolerance}")
    if args.taps is not None and args.no_taps:
        raise UsageError("--taps and --no-taps exclude each other")


def open_side(sources: list[str], backend: str, dtype: str, *, as_model: bool = False) -> Side:
    """Side of some sources; `as_model`: of a reference, the model in it."""
    from minidistil.verify.conformance import is_reference, open_reference
    from minidistil.verify.saved import is_saved, read_saved

    if len(sources) == 1 and not as_model and is_reference(sources[0]):
        reference = open_reference(sources[0])
        return Side(reference.title, "float64", sources[0], None, reference.saved, reference)
    if len(sources) > 1 or is_saved(sources[0]):
        saved = read_saved(sources)
        floats = ", ".join(sorted(set(saved.stored.values())))
        return Side("saved activations", floats, ", ".join(sources), None, saved)
    from minidistil.model import load_model

    model = load_model(sources[0], backend=backend, dtype=dtype, quiet=True)
    title = f"{type(model).__name__}, {model.config.depth} layers, {backend}, {dtype}"
    if untrained := model.untrained():
        title += f", without {', '.join(untrained)}, which nobody has trained"
    return Side(title, dtype, sources[0], model, None)


def modules_of(sides: list[Side]) -> tuple[dict[str, str], str]:
    """{module: the tap that it writes} of models and references, and what their modules' names begin with."""
    from minidistil.verify.operations import written_taps

    modules: dict[str, str] = {}
    bases = []
    for side in sides:
        if side.model is not None:
            modules |= written_taps(side.model.taps())
            bases.append(side.model.base)
        elif side.reference is not None:
            modules |= side.reference.modules
            bases.append(side.reference.base)
    return modules, bases[0] if bases else ""


def reference_among(sides: list[Side]) -> tuple[Reference, int] | None:
    """The reference, and the number of the side that is compared with it."""
    return next(((side.reference, 1 - i) for i, side in enumerate(sides) if side.reference is not None), None)


def beside_reference(
    sides: list[Side], activations: list[Mapping[str, npt.NDArray[Any]]]
) -> list[Mapping[str, npt.NDArray[Any]]]:
    """Activations of both sides; those that another implementation saved, in the form of the reference."""
    if (found := reference_among(sides)) is None:
        return activations
    reference, other = found
    activations = list(activations)
    activations[other] = reference.beside(activations[other])
    return activations


def default_tolerances(sides: list[Side]) -> tuple[float, dict[str, float]]:
    """Tolerance of all tensors, and of single ones: those of half precision, all of a reference."""
    tolerance = max(PRECISIONS.get(side.dtype, PRECISIONS["float32"]).tolerance for side in sides)
    if (found := reference_among(sides)) is not None:
        reference, other = found
        saved = sides[other].saved
        return tolerance, reference.tolerances({} if saved is None else saved.stored, sides[other].dtype)
    tolerances: dict[str, float] = {}
    for side in sides:
        for name, limit in side.saved.tolerances().items() if side.saved else ():
            tolerances[name] = max(limit, tolerances.get(name, tolerance))
    return tolerance, tolerances


def taps_of(
    side: Side, sides: list[Side], given: Mapping[str, npt.NDArray[Any]], args: argparse.Namespace
) -> list[str] | None:
    """Taps that a model is asked for."""
    if side.model is None or args.no_taps:
        return None
    if args.taps is not None:
        return list(args.taps)
    from minidistil.model.taps import GRADIENT
    from minidistil.verify.capture import taps_size, usual_taps

    if (saved := saved_names(sides)) is not None:
        return [name for name in side.model.taps() if name in saved or GRADIENT + name in saved]
    rows, columns = given["input_ids"].shape
    size = max(taps_size(other.model, rows, columns) for other in sides if other.model is not None)
    if size <= MOST:
        return usual_taps(side.model)
    if side is sides[0]:
        import logging

        logging.getLogger("minidistil").warning(
            "the numbers inside the layers would take %.1f GB and are left out; --taps 'layer.0.*' takes "
            "some, --taps '*' all",
            size / 1e9,
        )
    return None


def saved_names(sides: list[Side]) -> set[str] | None:
    """Names of all saved tensors; None where both sides are models."""
    saved = [side.saved for side in sides if side.saved is not None]
    return {name for names in saved for name in names} if saved else None


def with_texts(given: dict[str, Any], texts: list[str] | None, sides: list[Side]) -> dict[str, Any]:
    """Inputs stored in a file, else made from texts."""
    if "input_ids" in given or all(side.model is None for side in sides):
        if texts is not None:
            raise UsageError("the saved activations have inputs of their own; leave --text away")
        return given
    if texts is None:
        message = "what shall the model run? Give --text TEXT ..."
        if any(side.saved is not None for side in sides):
            source = next(side.source for side in sides if side.model is not None)
            message += (
                f", or input_ids in the saved activations: {source} is a model, and no reference with inputs "
                "of its own (minidistil reference writes one)"
            )
        raise UsageError(message)
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
    side: Side,
    given: Mapping[str, npt.NDArray[Any]],
    label: list[int] | None,
    taps: list[str] | None,
    keep: set[str] | None,
) -> Mapping[str, npt.NDArray[Any]]:
    """Outputs of a side, computed or saved; of taps and gradients there those to `keep`, if that is given."""
    from minidistil.verify.capture import capture
    from minidistil.verify.operations import tap_of

    if side.model is None:
        assert side.saved is not None
        return side.saved
    found = capture(side.model, given, label=label, taps=taps)
    return found if keep is None else {k: v for k, v in found.items() if k in keep or tap_of(k) is None}
