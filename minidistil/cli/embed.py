"""minidistil embed"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from minidistil.cli import common

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

HELP = "turn texts into vectors"
EXAMPLES = """\
  minidistil embed minilm sentences.txt --out vectors.npy
  minidistil embed minilm reviews.csv --text review --out vectors.safetensors
  echo "a warm, funny film" | minidistil embed minilm - --json
  minidistil embed minilm sentences.txt --out - | my_program    # a .npy, on standard output
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_encoder_arguments(parser)
    parser.add_argument("file", metavar="FILE", help="texts: txt, csv, tsv, jsonl, parquet; '-' is stdin")
    common.add_text_arguments(parser)
    out = parser.add_mutually_exclusive_group()
    out.add_argument(
        "--out",
        metavar="FILE",
        help=".npy or .safetensors: a row for each text, in order; '-' writes a .npy to standard output",
    )
    out.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument(
        "--pooling",
        type=_pooling,
        metavar="KIND",
        help="mean, cls, max, mean_sqrt_len_tokens, weightedmean, lasttoken, or several such as cls+mean "
        "(default: what the model says)",
    )
    parser.add_argument(
        "--no-normalize",
        dest="normalize",
        action="store_const",
        const=False,
        help="leave vectors as long as they are (default: what the model says)",
    )


def _pooling(value: str) -> str:
    """Check a pooling, for argparse."""
    from minidistil.errors import UsageError
    from minidistil.ops.pooling import pooling_kinds

    try:
        return "+".join(pooling_kinds(value))
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    from minidistil.embeddings.vector_files import check_format, write_vectors
    from minidistil.text.sources import STDIN

    if args.out is None and not args.json:
        args.parser.error("say where the vectors go: --out FILE, --out - for a pipe, or --json")
    if args.out not in (None, STDIN):
        check_format(args.out)  # before the work
    examples = common.read_texts(args, args.file)
    chosen = {"pooling": args.pooling, "normalize": args.normalize}
    encoder = common.open_encoder(
        args, **{name: value for name, value in chosen.items() if value is not None}
    )
    vectors = encoder.encode(examples.texts, quiet=args.quiet)
    if args.out == STDIN:
        _pipe(vectors)
    elif args.out is not None:
        write_vectors(args.out, vectors, examples.texts)
    else:
        for line, ids, text, vector in zip(
            examples.lines, examples.ids, examples.texts, vectors, strict=True
        ):
            common.print_json(line=line, **ids, text=text, vector=common.shortest_decimals(vector))
    return 0


def _pipe(vectors: npt.NDArray[np.float32]) -> None:
    """Write vectors as a .npy to standard output, which has no position that NumPy could ask for."""
    import io
    import sys

    import numpy as np

    content = io.BytesIO()
    np.save(content, vectors, allow_pickle=False)
    sys.stdout.buffer.write(content.getbuffer())
