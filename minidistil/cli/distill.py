"""minidistil distill"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from minidistil.cli.common import (
    CORPUS,
    LENGTH,
    TRAINING,
    add_run_arguments,
    add_short_options,
    carry_out,
    print_recipe,
)

HELP = "distil over text without labels: a masked LM, as DistilBERT was, or a sentence encoder"
EXAMPLES = """\
  minidistil distill --teacher bert-base-uncased --corpus text/ --recipe distilbert --out runs/distilbert
  minidistil distill --teacher runs/teacher/model --corpus a.txt b.jsonl.gz --recipe small --out runs/small
  minidistil distill --teacher runs/teacher/model --corpus text/ --recipe small --out runs/narrow \\
      --set student.width=192 --set objective.terms.cosine=0 --set objective.terms.relations=1
  minidistil distill --teacher minilm --pairs train.en train.de --eval-pairs val.en val.de \\
      --recipe multilingual --out runs/en-de
  minidistil distill --teacher minilm --texts questions.txt texts.jsonl.gz --recipe sentences --out runs/fast
  minidistil distill --teacher minilm --texts texts.txt --eval sts.tsv --task stsb-similarity --out runs/sts
  minidistil distill --recipe distilbert --print-recipe > my.toml    # every setting, explained
"""

# Recipes that come with the package for pairs and for texts; the others are for a corpus.
FOR_PAIRS, FOR_TEXTS = ("multilingual",), ("sentences",)
# Short options whose settings have other names here: of a corpus, of pairs and of texts.
COLUMNS_OF_CORPUS = {"--text": "data.text_key"}
COLUMNS_OF_PAIRS = {"--text": "data.source", "--pair": "data.translation"}
COLUMNS_OF_TEXTS = {"--text": "data.text"}
DATA = ("corpus", "pairs", "plain_texts")
ALONE = {  # options that only one kind of data has
    "eval_pairs": ("pairs", "--eval-pairs goes with --pairs; elsewhere a share is held out (data.held_out)"),
    "pair": ("pairs", "--pair is the column of the translation in --pairs: elsewhere there is none"),
    "student": ("plain_texts", "--student goes with --texts; elsewhere the student starts from its teacher"),
    "eval": ("plain_texts", "--eval goes with --texts; pairs have --eval-pairs, a corpus keeps a share"),
    "task": ("plain_texts", "--task is that of --eval, which goes with --texts"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--teacher",
        required=True,
        metavar="MODEL",
        help="directory, name or hub id of a masked LM; for texts and pairs, of a sentence encoder",
    )
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--corpus", **CORPUS)
    data.add_argument(
        "--pairs",
        nargs="+",
        metavar="FILE",
        help="translations: two files of text, line by line, or one csv, tsv or jsonl with both",
    )
    data.add_argument(
        "--texts",
        dest="plain_texts",  # `texts` are those of a command line
        nargs="+",
        metavar="FILE",
        help="texts whose vectors a smaller encoder learns: a text a line, or csv, tsv, jsonl, .gz too",
    )
    parser.add_argument("--eval-pairs", nargs="+", metavar="FILE", help="of --pairs: others, to measure by")
    parser.add_argument(
        "--eval",
        metavar="FILE",
        help="of --texts: examples of --task to measure by (default: some of the texts; none: nothing)",
    )
    parser.add_argument(
        "--task",
        metavar="NAME",
        help="of --eval: similarity (the default; pairs with scores), stsb-similarity or retrieval",
    )
    parser.add_argument(
        "--student",
        metavar="MODEL",
        help="of --texts: an encoder to start from, with a tokenizer of its own (default: teacher's layers)",
    )
    add_short_options(parser, {"text": "--text", "pair": "--pair", **LENGTH, **TRAINING})
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from minidistil.errors import UsageError
    from minidistil.settings import load_recipe

    given = any(getattr(args, kind) is not None for kind in DATA)  # or a recipe is printed
    for name, (kind, message) in ALONE.items():
        if given and getattr(args, name) is not None and getattr(args, kind) is None:
            raise UsageError(message)
    if args.task is not None and args.eval is None and args.plain_texts is not None:
        raise UsageError("--task is that of --eval FILE, which is missing")
    settings: dict[str, Any] = {"file": args.config}
    if args.plain_texts or (args.corpus is None and args.recipe in FOR_TEXTS):
        return _over_texts(args, settings)
    if args.pairs or (args.corpus is None and args.recipe in FOR_PAIRS):
        from minidistil.jobs.multilingual import PairsDistillation, PairsRecipe, pairs_table

        settings["changes"] = _named_here(args.set, COLUMNS_OF_PAIRS)
        for_pairs = load_recipe(PairsRecipe, args.recipe, **settings)
        if args.print_recipe:
            return print_recipe(for_pairs)
        over_pairs = PairsDistillation(
            args.teacher, args.pairs, for_pairs, args.out, held_out=args.eval_pairs, quiet=args.quiet
        )
        return carry_out(args, over_pairs, pairs_table)
    from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
    from minidistil.jobs.masked_text import table

    settings["changes"] = _named_here(args.set, COLUMNS_OF_CORPUS)
    recipe = load_recipe(DistillationRecipe, args.recipe, **settings)
    if args.print_recipe:
        return print_recipe(recipe)
    over_text = GeneralDistillation(args.teacher, args.corpus, recipe, args.out, quiet=args.quiet)
    return carry_out(args, over_text, table)


def _over_texts(args: argparse.Namespace, settings: dict[str, Any]) -> int:
    from minidistil.jobs.results import table
    from minidistil.jobs.sentences import SentencesRecipe, TextsDistillation
    from minidistil.settings import load_recipe

    nothing = ["data.held_out=0.0"] if args.eval == "none" else []
    settings["changes"] = [*_named_here(args.set, COLUMNS_OF_TEXTS), *nothing]
    recipe = load_recipe(SentencesRecipe, args.recipe, **settings)
    if args.print_recipe:
        return print_recipe(recipe)
    job = TextsDistillation(
        args.teacher, args.plain_texts, recipe, args.out,
        student=args.student, evaluate=None if nothing else args.eval, task=args.task or "similarity",
        quiet=args.quiet,
    )  # fmt: skip
    return carry_out(args, job, table)


def _named_here(changes: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Changes KEY=VALUE with the names that settings have in this job."""
    split = (change.partition("=") for change in changes)
    return ["".join([names.get(key, key), equals, value]) for key, equals, value in split]
