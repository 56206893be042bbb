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
from typing import Any, NoReturn

from minidistil import __version__
from minidistil.cli import (
    align_words,
    cluster,
    compare,
    course,
    demo,
    distill,
    embed,
    evaluate,
    explain,
    explore,
    fetch,
    find_lr,
    finetune,
    gradcheck,
    inspect,
    mine_bitext,
    plan,
    predict,
    pretrain,
    reference,
    report,
    search,
    tokenize,
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
        demo, distill, finetune, find_lr, evaluate, pretrain, explain, explore, report, predict, embed,
        search, cluster, mine_bitext, align_words, tokenize, inspect, plan, compare, reference, gradcheck,
        course, fetch, warmup,
    )
}  # fmt: skip
RENAMED = {"group": "cluster", "mine": "mine-bitext", "align": "align-words"}  # verbs of before

EPILOG = """\
`minidistil help VERB` explains a verb, with examples. A model is a directory, a hub id, or minilm, the small
encoder of `minidistil fetch`.

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

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = list(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """As argparse; of a missing argument, with the option before it that may have taken it."""
        behind = {action.metavar or action.dest for action in self._actions if not action.option_strings}
        missing = set(message.rpartition("arguments are required: ")[2].split(", ")) & behind
        several = [
            name
            for action in self._actions
            for name in action.option_strings
            if action.nargs == "+" and name in self._given
        ]
        if missing and several:
            message += f"; before {several[0]}, which takes every value that follows it"
        super().error(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is none of an action's choices, with the nearest of them."""
        if action.choices is None or value in action.choices:
            return
        from minidistil.arguments import did_you_mean

        hint = did_you_mean(value, map(str, action.choices))
        if isinstance(action, argparse._SubParsersAction):
            raise argparse.ArgumentError(None, f"there is no verb {value!r}{hint}")
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}{hint}")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="minidistil",
        description="Load, distil, fine-tune and verify BERT-family models on a CPU.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"minidistil {__version__}")
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
        verb.set_defaults(run=module.run, parser=verb)
    return parser


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments; texts may stand before options, behind them and between.

    argparse itself takes those that follow an option for unknown arguments if there were none before it.
    """
    parser = build_parser()
    if not argv:  # help, as of git and cargo; and an error, so that a script that lost its verb stops
        parser.print_help()
        raise SystemExit(UsageError.exit_code)
    argv = _verb_first(argv)
    args, rest = parser.parse_known_args(predict.spelt_out(argv) if argv[:1] == ["predict"] else argv)
    if not hasattr(args, "texts"):
        unknown = rest
    else:
        end = rest.index("--") if "--" in rest else len(rest)  # behind it everything is a text
        unknown = [text for text in rest[:end] if text.startswith("-") and text != "-"]
        args.texts = [*args.texts, *rest[:end], *rest[end + 1 :]]
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}{_nearest(unknown, args.parser)}")
    for name in ("texts", "text", "pair", "question", "choices", "targets"):
        given = getattr(args, name, None)
        if given:
            setattr(args, name, as_utf_8(given) if isinstance(given, str) else [as_utf_8(t) for t in given])
    return args


def _verb_first(argv: Sequence[str]) -> list[str]:
    """Arguments with the options that every verb has behind the verb, if they stand before it."""
    first = 0
    while first < len(argv) and argv[first] in ("-q", "--quiet", "--threads"):
        first += 2 if argv[first] == "--threads" else 1
    return [*argv[first : first + 1], *argv[:first], *argv[first + 1 :]]


def _nearest(unknown: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """A line with the options of a verb that are most like unknown ones, or are so called elsewhere."""
    from difflib import get_close_matches

    from minidistil.train.settings import ELSEWHERE

    known = [option for action in parser._actions for option in action.option_strings]
    meant = {_option(theirs): [_option(ours)] for theirs, ours in ELSEWHERE.items() if _option(ours) in known}
    words = [word.partition("=")[0] for word in unknown if word.startswith("-")]
    near = [match for word in words for match in meant.get(word) or get_close_matches(word, known, 1, 0.6)]
    return f"\ndid you mean {', '.join(dict.fromkeys(near))}?" if near else ""


def _option(name: str) -> str:
    """The option for a name in Python."""
    return f"--{name.replace('_', '-')}"


def _spelling(args: argparse.Namespace) -> Callable[[str, str], str]:
    """Spelling of a parameter of reading data as an option of the verb."""
    options: dict[str, str] = {}
    if hasattr(args, "set"):
        options = {name: f"--{name}" for name in ("text", "pair", "label") if hasattr(args, name)}
        other = "--set data.{}={}"
    elif hasattr(args, "format"):
        options, other = {"text": "--text", "pair": "--pair-column"}, "--{} {}"
    else:
        other = "{}={}"

    def spell(name: str, value: str) -> str:
        if name == "header" and hasattr(args, "no_header"):
            return "--no-header" if value == "false" else "no --no-header"
        return f"{options[name]} {value}" if name in options else other.format(name, value)

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
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    elif argv == ["version"]:
        argv = ["--version"]
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
        where = error.filename
        if error.errno in FULL and where is None:
            where = "standard output, or a temporary file, cannot be written"
        complain(f"minidistil {args.verb}: {error if where is None else f'{where}: {error.strerror}'}")
        return StorageError.exit_code
