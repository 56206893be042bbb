"""Models and sentences of the benchmark, made once below runs/bench: python -m benchmarks.models

BERT-base and DistilBERT have random weights (a fixed seed) in the published sizes: speed does not depend on
the values. MiniLM-L6 is the real one, its classifier random. All are saved as Hugging Face directories,
which every engine loads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from benchmarks.works import MODELS, SENTENCES, SHAPES
from minidistil import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertForMaskedLM,
    Tokenizer,
)
from minidistil.assets import fetch_minilm
from minidistil.corpora import movie_split
from minidistil.distill.student import init_student
from minidistil.errors import MinidistilError
from minidistil.files import atomic_write
from minidistil.model.base import Model
from minidistil.text.dataset import Dataset

COUNT = 512


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


def bert() -> Model:
    return BertForSequenceClassification(bert_config(), seed=0)


def teacher() -> Model:
    return BertForMaskedLM(bert_config(), seed=0)


def student() -> Model:
    made = BertForMaskedLM.from_pretrained(MODELS / "bert-base-mlm")
    return init_student(made, student_class=DistilBertForMaskedLM)


MAKERS: dict[str, Callable[[], Model]] = {
    "minilm": minilm,
    "bert-base": bert,
    "bert-base-mlm": teacher,
    "distilbert-mlm": student,
}


def save_sentences(tokenizer: Tokenizer) -> None:
    """The first 512 film-review sentences of the fixed sample, as tokens, with their labels."""
    split = movie_split()
    data = Dataset.from_texts(tokenizer, split.train_texts[:COUNT])
    with atomic_write(SENTENCES) as temporary:
        labels = np.array(split.train_labels[:COUNT])
        np.savez(temporary, input_ids=data.input_ids, offsets=data.offsets, labels=labels)


def main() -> None:
    tokenizer = Tokenizer.from_pretrained(fetch_minilm())
    for saved, make in MAKERS.items():
        if not (MODELS / saved).exists():
            print(f"making {MODELS / saved}", file=sys.stderr, flush=True)
            make().save_pretrained(MODELS / saved, tokenizer=tokenizer)
    if not SENTENCES.exists():
        save_sentences(tokenizer)


if __name__ == "__main__":
    try:
        main()
    except MinidistilError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
