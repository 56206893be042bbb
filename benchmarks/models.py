"""Models and texts of the benchmark, made once below runs/bench: python -m benchmarks.models

    python -m benchmarks.models --sentences dev.tsv --questions squad.json     other texts to predict from

BERT-base and DistilBERT have random weights (a fixed seed) in the published sizes: speed does not depend on
the values. MiniLM-L6 is the real one, its classifier random. All are saved as Hugging Face directories,
which every engine loads.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable

import numpy as np

from benchmarks.workloads import MODELS, SENTENCES, SHAPES, TEXTS, WINDOW, Texts
from minidistil import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    DistilBertForMaskedLM,
    Tokenizer,
)
from minidistil.distill.student import init_student
from minidistil.errors import MinidistilError
from minidistil.files import atomic_write, write_json
from minidistil.jobs.demo.corpora import movie_split
from minidistil.model.model import Model
from minidistil.tasks.data import DataSettings
from minidistil.tasks.question_answering.task import QuestionAnsweringTask
from minidistil.tasks.registry import named_task
from minidistil.text.dataset import Dataset
from minidistil.weights.assets import fetch_minilm

COUNT = 512
LABELLED = 872  # sentences in SST-2's dev set
ASKED = 1000  # windows


def bert_config() -> BertConfig:
    shape = SHAPES["bert-base"]
    return BertConfig(
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
    )


def minilm() -> Model:
    return BertForSequenceClassification.from_pretrained(fetch_minilm(), seed=0)


def minilm_answers() -> Model:
    return BertForQuestionAnswering.from_pretrained(fetch_minilm(), seed=0)


def bert() -> Model:
    return BertForSequenceClassification(bert_config(), seed=0)


def teacher() -> Model:
    return BertForMaskedLM(bert_config(), seed=0)


def student() -> Model:
    made = BertForMaskedLM.from_pretrained(MODELS / "bert-base-mlm")
    return init_student(made, student_class=DistilBertForMaskedLM)


MAKERS: dict[str, Callable[[], Model]] = {
    "minilm": minilm,
    "minilm-answers": minilm_answers,
    "bert-base": bert,
    "bert-base-mlm": teacher,
    "distilbert-mlm": student,
}


def save_models(tokenizer: Tokenizer) -> None:
    """Save models that are not there yet; a random head counts as trained, or it would be left out."""
    for saved, make in MAKERS.items():
        if not (MODELS / saved).exists():
            print(f"making {MODELS / saved}", file=sys.stderr, flush=True)
            model = make()
            model.mark_trained()
            model.save_pretrained(MODELS / saved, tokenizer=tokenizer)


def save_sentences(tokenizer: Tokenizer) -> None:
    """The first 512 film-review sentences of the fixed sample, as tokens, with their labels."""
    split = movie_split()
    data = Dataset.from_texts(tokenizer, split.train_texts[:COUNT])
    with atomic_write(SENTENCES) as temporary:
        labels = np.array(split.train_labels[:COUNT])
        np.savez(temporary, input_ids=data.input_ids, offsets=data.offsets, labels=labels)


def save_texts(tokenizer: Tokenizer, sentences: str | None, questions: str | None) -> None:
    """Save as many sentences as SST-2's dev set has, and questions that make 1,000 windows.

    Without files, film reviews: what is asked is a sentence, its context 3 to 12 others.
    """
    texts = movie_split().train_texts
    labelled = texts[:LABELLED] if sentences is None else named_task("sst2").read(sentences).texts
    rng = np.random.default_rng(0)
    asked, contexts = texts[:ASKED], []
    for size in rng.integers(3, 13, ASKED):
        contexts.append(" ".join(texts[i] for i in rng.integers(0, len(texts), size)))
    if questions is not None:
        examples = named_task("squad").read(questions)
        asked, contexts = examples.questions[:ASKED], examples.contexts[:ASKED]
    windows = QuestionAnsweringTask(DataSettings(max_length=WINDOW)).windows(
        tokenizer, asked, contexts, bert_config()
    )
    kept = int(windows.examples[ASKED - 1]) + 1  # of the last one, all windows
    lengths = np.diff(windows.offsets)[windows.examples < kept].tolist()
    made = {
        "label": Texts(labelled, None, Dataset.from_texts(tokenizer, labelled).lengths.tolist()),
        "answer": Texts(asked[:kept], contexts[:kept], lengths),
    }
    write_json(TEXTS, {task: dataclasses.asdict(data) for task, data in made.items()})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sentences", metavar="FILE", help="like SST-2's dev.tsv")
    parser.add_argument("--questions", metavar="FILE", help="like SQuAD's")
    args = parser.parse_args()
    tokenizer = Tokenizer.from_pretrained(fetch_minilm())
    save_models(tokenizer)
    if not SENTENCES.exists():
        save_sentences(tokenizer)
    if args.sentences or args.questions or not TEXTS.exists():
        save_texts(tokenizer, args.sentences, args.questions)


if __name__ == "__main__":
    try:
        main()
    except MinidistilError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
