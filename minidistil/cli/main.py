"""The `minidistil` command: finds the verb, runs it, and turns every mistake into one clear line.

A verb is a module of this package with `HELP`, `EXAMPLES`, `add_arguments(parser)` and `run(args) -> int`.
Verbs import what they need inside `run`, so that `--help` is instant.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from minidistil import __version__
from minidistil.cli import (
    align_words,
    cluster,
    compare,
    demo,
    distill,
    embed,
    evaluate,
    explain,
    explore,
    fetch,
    finetune,
    gradcheck,
    inspect,
    mine_bitext,
    plan,
    predict,
    pretrain,
    report,
    search,
    warmup,
)
from minidistil.cli.streams import abandon, as_utf_8, complain, prepare
from minidistil.errors import MemoryLimitError, MinidistilError, StorageError, UsageError
from minidistil.files import FULL
from minidistil.memory import keep_freed_memory
from minidistil.streams import WarnOnce

VERBS: dict[str, ModuleType] = {  # in the order of the help
    module.__name__.rpartition(".")[2].replace("_", "-"): module
    for module in (
        demo, distill, finetune, evaluate, pretrain, explain, explore, report, predict, embed, search,
        cluster, mine_bitext, align_words, inspect, plan, compare, gradcheck, fetch, warmup,
    )
}  # fmt: skip
RENAMED = {"group": "cluster", "mine": "mine-bitext", "align": "align-words"}  # verbs of before

EPILOG = """\
exit codes: 0 done, 1 a check failed, 2 usage, 3 bad input or configuration,
            4 an asset is missing and cannot be fetched, 130 interrupted after saving

environment: MINIDISTIL_THREADS, MINIDISTIL_CACHE (where fetched files are kept),
             HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN (for hub ids)
"""

INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def _print_message(self, message: str, file: Any = None) -> None:
        """Print as argparse does; standard output may be full."""
        if file is sys.stdout:
            file.write(message)
        else:
            complain(message.rstrip("\n"))


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="minidistil",
        description="Load, distil, fine-tune and verify BERT-family models on a CPU.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minidistil {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, module in VERBS.items():
        verb = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog="examples:\n" + module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.add_argument(
            "--threads", type=int, metavar="N", help="threads to use (default: the cores available)"
        )
        verb.add_argument("-q", "--quiet", action="store_true", help="no progress, no log but warnings")
        verb.set_defaults(run=module.run)
    return parser


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments; texts may stand before options, behind them and between.

    argparse itself takes those that follow an option for unknown arguments if there were none before it.
    """
    parser = build_parser()
    args, rest = parser.parse_known_args(predict.spelt_out(argv) if argv[:1] == ["predict"] else argv)
    if not hasattr(args, "texts"):
        unknown = rest
    else:
        end = rest.index("--") if "--" in rest else len(rest)  # behind it everything is a text
        unknown = [text for text in rest[:end] if text.startswith("-") and text != "-"]
        args.texts = [*args.texts, *rest[:end], *rest[end + 1 :]]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    for name in ("texts", "text", "pair", "question", "choices", "targets"):
        given = getattr(args, name, None)
        if given:
            setattr(args, name, as_utf_8(given) if isinstance(given, str) else [as_utf_8(t) for t in given])
    return args


def _spelling(args: argparse.Namespace) -> Callable[[str, str], str]:
    """Spelling of a parameter of reading data as an option of the verb."""
    if hasattr(args, "set"):
        return "--set data.{}={}".format
    if not hasattr(args, "format"):
        return "{}={}".format
    options = {"text": "--text-column", "pair": "--pair-column", "header": "--no-header"}

    def spell(name: str, value: str) -> str:
        option = options.get(name, f"--{name}")
        return f"{option} {value}" if name != "header" else option if value == "false" else f"no {option}"

    return spell


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    prepare()
    try:
        try:
            return _main(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has gone
        abandon(sys.stdout)
        return 0
    except OSError as error:
        abandon(sys.stdout)
        complain(f"minidistil: standard output cannot be written: {error.strerror or error}")
        return StorageError.exit_code


def _main(argv: Sequence[str] | None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in RENAMED:
        complain(f"minidistil: {argv[0]!r} is now called {RENAMED[argv[0]]!r}")
        return UsageError.exit_code
    args = _parse(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(WarnOnce())
    level = logging.WARNING if args.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])
    for noisy in ("numba", "httpx", "httpcore", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        if args.threads is not None:
            from minidistil.threads import set_num_threads

            set_num_threads(args.threads)
        keep_freed_memory()
        code: int = args.run(args)
        return code
    except MinidistilError as error:
        complain(f"minidistil {args.verb}: {error.told(_spelling(args))}")
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        complain(f"minidistil {args.verb}: {str(interrupt) or 'interrupted'}")
        return INTERRUPTED
    except MemoryError as error:
        complain(f"minidistil {args.verb}: there is not enough memory. {error}".rstrip())
        return MemoryLimitError.exit_code
    except OSError as error:
        sys.stdout.flush()  # raises again if it is standard output that takes nothing
        if isinstance(error, BrokenPipeError):
            raise
        full = error.errno in FULL and error.filename is None
        what = "standard output, or a temporary file, cannot be written: " if full else ""
        complain(f"minidistil {args.verb}: {what}{error.strerror if full else error}")
        return StorageError.exit_code
