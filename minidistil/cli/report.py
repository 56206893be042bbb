"""minidistil report"""

from __future__ import annotations

import argparse

HELP = "write a run as one HTML page: curves, teacher against student, settings"
EXAMPLES = """\
  minidistil report runs/demo
  minidistil report runs/student --out page.html --teacher runs/teacher/model
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="RUN", help="directory of a run")
    parser.add_argument("--out", metavar="FILE", help="default: report.html in the run's directory")
    parser.add_argument(
        "--teacher", metavar="MODEL", help="compare the student with it layer by layer (default: RUN/teacher)"
    )
    parser.add_argument(
        "--text", nargs="+", metavar="TEXT", help="what to compare layers on (default: some plain sentences)"
    )


def run(args: argparse.Namespace) -> int:
    from pathlib import Path

    from minidistil.errors import UsageError
    from minidistil.files import atomic_write
    from minidistil.report.page import page
    from minidistil.report.run import read_run

    record = read_run(args.directory)
    places = [record.path / "student", record.path / "model", record.path]  # a fine-tuning is its model
    student = next((place for place in places if (place / "config.json").exists()), None)
    teacher = args.teacher or (str(record.path / "teacher") if (record.path / "teacher").is_dir() else None)
    if args.teacher and student is None:
        raise UsageError(f"{record.path} has no model yet to compare with {args.teacher}")
    if args.text and teacher is None:
        raise UsageError("--text goes with a teacher to compare with: say which one with --teacher")
    similarity = _similarity(str(student), teacher, args.text) if student and teacher else None
    out = Path(args.out or record.path / "report.html")
    with atomic_write(out) as temporary:
        temporary.write_text(page(record, similarity), encoding="utf-8")
    print(out)
    return 0


SENTENCES = [
    "The film is a warm and funny portrait of a family that never quite grows up.",
    "Two trains left the station at noon, and only one of them arrived.",
    "She opened the window, looked at the grey sea, and said nothing.",
    "Prices rose by four percent last year, more than anyone had expected.",
    "It is a long, dull, clumsy story with an ending that comes too late.",
    "The committee will meet again on Thursday to decide about the bridge.",
]


def _similarity(student: str, teacher: str, texts: list[str] | None) -> dict[str, list[list[float]] | None]:
    from minidistil.batch import Batch
    from minidistil.distill.vocabulary import check_same_ids
    from minidistil.model import load_to_answer
    from minidistil.report.similarity import layer_similarity
    from minidistil.text.lengths import sequence_length
    from minidistil.text.tokenizer import Tokenizer
    from minidistil.weights.hub import resolve

    ours, theirs = load_to_answer(student, "Model"), load_to_answer(teacher, "Model")
    tokenizer, texts = Tokenizer.from_pretrained(resolve(teacher)), texts or SENTENCES
    own = Tokenizer.from_pretrained(resolve(student))
    check_same_ids(own, tokenizer, texts, names=(student, teacher))
    limit = min(sequence_length(tokenizer, model.config) for model in (ours, theirs))
    batch = Batch.from_sequences([e.ids for e in tokenizer.iter_encode(texts, max_length=limit)])
    return layer_similarity(ours, theirs, [batch])
