"""minidistil explain"""

from __future__ import annotations

import argparse

HELP = "show, for a text, each term of a distillation: formula, value, gradient at each layer"
EXAMPLES = """\
  minidistil explain runs/demo/teacher runs/demo/student --text "a warm, funny, engaging film"
  minidistil explain teacher/ student/ --text "a b c" --term soft=5 --term relations=1 --temperature 4
  minidistil explain teacher/ student/ --text "a b c" --label 1 --term hard=1 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("teacher", help="directory, name (minilm) or hub id of a model")
    parser.add_argument("student", help="likewise")
    parser.add_argument("--text", nargs="+", required=True, metavar="TEXT")
    parser.add_argument(
        "--label", nargs="+", type=int, metavar="N", help="class of each text, for the term hard"
    )
    parser.add_argument(
        "--term",
        action="append",
        default=[],
        metavar="NAME=WEIGHT",
        help="may be repeated (default: soft and cosine; of a masked LM 5 soft, 2 hard, 1 cosine)",
    )
    parser.add_argument("--temperature", type=float, default=2.0, metavar="T", help="of the soft labels (2)")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    import numpy as np

    from minidistil.batch import Batch
    from minidistil.cli.common import weight_of_term
    from minidistil.distill.explain import explain, mask_some, table
    from minidistil.distill.terms import TERMS
    from minidistil.distill.vocabulary import check_same_ids, saved_tokenizer
    from minidistil.errors import UsageError
    from minidistil.model import load_model, load_to_answer
    from minidistil.text.lengths import sequence_length
    from minidistil.text.tokenizer import Tokenizer
    from minidistil.weights.hub import resolve

    teacher = load_to_answer(args.teacher, mapped=True)
    student = load_model(args.student, quiet=True)
    tokenizer = Tokenizer.from_pretrained(resolve(args.teacher))
    own = saved_tokenizer(resolve(args.student)) or tokenizer
    check_same_ids(own, tokenizer, args.text, names=(args.student, args.teacher))
    limit = min(sequence_length(tokenizer, model.config) for model in (teacher, student))
    encodings = tokenizer.iter_encode(args.text, max_length=limit)
    batch = Batch.from_sequences([encoding.ids for encoding in encodings])
    words = any(head.over_vocabulary for head in student.heads)
    if words:
        batch = mask_some(batch, tokenizer.mask_token_id, list(tokenizer.special_ids))
    elif args.label is not None:
        if len(args.label) != len(args.text):
            raise UsageError(f"{len(args.label)} labels for {len(args.text)} texts")
        batch = batch.with_targets(labels=np.array(args.label))
    weights = {"soft": 5.0, "hard": 2.0, "cosine": 1.0} if words else {"soft": 1.0, "cosine": 1.0}
    if args.term:
        weights = dict(map(weight_of_term, args.term))
    if any(name in TERMS and TERMS[name].of_scores for name in weights):  # the objective asks the teacher
        student.check_trained()
    terms = explain(student, teacher, batch, weights, temperature=args.temperature)
    print(json.dumps([asdict(term) for term in terms]) if args.json else table(terms))
    return 0
