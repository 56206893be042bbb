"""minidistil align-words"""

from __future__ import annotations

import argparse

from minidistil.cli import common

HELP = "align the words of a sentence with those of its translation"
EXAMPLES = """\
  minidistil align-words runs/en-de/model "a warm film" "ein warmer Film"
  minidistil align-words runs/en-de/model --pairs train.en train.de --json
  minidistil align-words runs/en-de/model --pairs train.tsv --columns english german --method argmax

Words are the tokenizer's: a punctuation mark is a word. A line has two words and their similarity, and an
empty line ends each pair. --json has all words as [begin, end] in the original texts, and links as
[source word, target word, similarity]."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="directory or hub id of an encoder that knows both languages")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a sentence and its translation")
    parser.add_argument(
        "--pairs",
        nargs="+",
        metavar="FILE",
        help="translations: two files of text, line by line, or one csv, tsv or jsonl with both",
    )
    parser.add_argument("--columns", nargs=2, metavar="NAME", help="of one file: source, translation")
    parser.add_argument(
        "--method",
        choices=("argmax", "itermax", "match"),
        default="itermax",
        help="argmax: sure links only; itermax: more of them; match: one to one, as many as can be (itermax)",
    )
    parser.add_argument(
        "--layer", type=int, metavar="N", help="whose vectors; 0 is the embeddings (default: two thirds up)"
    )
    parser.add_argument("--backend", choices=("numba", "numpy"), default="numba")
    parser.add_argument("--json", action="store_true", help="one JSON object a pair")


def run(args: argparse.Namespace) -> int:
    from minidistil.embeddings.word_alignment import align_words
    from minidistil.errors import UsageError
    from minidistil.model import load_to_answer
    from minidistil.progress import Progress
    from minidistil.text.readers import read_translations
    from minidistil.text.tokenizer import Tokenizer
    from minidistil.weights.hub import resolve

    if bool(args.texts) == bool(args.pairs) or len(args.texts) not in (0, 2):
        raise UsageError("give a sentence and its translation, or --pairs FILE [FILE]")
    if args.columns and (args.pairs is None or len(args.pairs) > 1):
        raise UsageError("--columns are those of one file: --pairs FILE")
    if args.pairs:
        source, translation = args.columns or (None, None)
        sources, targets = read_translations(args.pairs, source=source, translation=translation)
    else:
        sources, targets = args.texts[:1], args.texts[1:]
    path = resolve(args.model)
    model = load_to_answer(path, "Model", backend=args.backend, mapped=True)
    tokenizer = Tokenizer.from_pretrained(path)
    with Progress(len(sources), "aligning", "pair", quiet=args.quiet or not args.pairs) as progress:
        alignments = align_words(
            model, tokenizer, sources, targets, method=args.method, layer=args.layer, progress=progress
        )
    for source, target, (source_words, target_words, links) in zip(sources, targets, alignments, strict=True):
        if args.json:
            common.print_json(
                source=source,
                target=target,
                source_words=source_words,
                target_words=target_words,
                links=links,
            )
            continue
        for i, j, similarity in links:
            common.print_row(source[slice(*source_words[i])], target[slice(*target_words[j])], similarity)
        print()
    return 0
