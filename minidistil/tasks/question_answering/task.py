"""Extractive question answering: spans of a context, or no answer."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minidistil import metrics
from minidistil.arrays import Array
from minidistil.config import ModelConfig
from minidistil.errors import DataError, InputError
from minidistil.model.model import Model
from minidistil.tasks.base import Predictor, TrainableTask
from minidistil.tasks.details import Details
from minidistil.tasks.inference import read_windows
from minidistil.tasks.inputs import Input, Shown, read_table, with_origins
from minidistil.tasks.question_answering.details import question_details
from minidistil.tasks.question_answering.spans import Answers, answer_positions, decode_answers
from minidistil.tasks.question_answering.squad import Questions, is_squad, read_squad
from minidistil.text.dataset import Dataset
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.windows import Windows, cut_windows

LONGEST_ANSWER, CANDIDATES = 30, 20  # tokens, and answers that are looked at, as in BERT's run_squad.py


class QuestionAnsweringTask(TrainableTask):
    """Extractive question answering: the span of a context that answers a question.

    Contexts longer than `max_length` allows are cut into windows that overlap. BERT's recipe for SQuAD has
    384 and 256 (run_squad.py's `doc_stride` of 128 is the step, not the overlap); here 384 overlap by 128.

    Parameters
    ----------
    data : DataSettings
        Of which `format` and `max_length` count.
    """

    kind = "question-answering"
    data_settings = ("format", "max_length")
    head = "ForQuestionAnswering"
    pipeline_tag = "question-answering"
    inputs = ("question", "context")
    least_inputs = 2
    ranks = True
    does = "answer questions"
    options = ("question", "n_best", "null_threshold")
    required = ("question",)
    template = "question-answering"
    default_training_length = 384
    default_length = 384
    main_metric = "f1"

    def read(self, path: str | Path) -> Questions:
        return read_squad(path, labelled=self.labelled, format=self.data.format, empty=self.empty)

    def shared_texts(self, examples: Questions) -> Sequence[str]:
        return examples.contexts

    def config_overrides(self, examples: Questions) -> dict[str, Any]:
        if not any(examples.answers):
            raise DataError("no question has an answer: there is nothing to learn", path=examples.path)
        return {}

    def dataset(
        self, tokenizer: Tokenizer, examples: Questions, config: ModelConfig, *, labelled: bool = True
    ) -> Dataset:
        windows = self.windows(tokenizer, examples.questions, examples.contexts, config)
        if not labelled:
            return windows.dataset()
        # One of several right answers is learnt, the first; [CLS] where a window does not hold it.
        wanted = [answers[0] if answers else None for answers in examples.answers]
        try:
            start, end = answer_positions(windows, examples.contexts, wanted, names=examples.ids)
        except InputError as error:
            raise DataError(str(error), path=examples.path) from error
        return windows.dataset(start_positions=start, end_positions=end)

    def windows(
        self, tokenizer: Tokenizer, questions: Sequence[str], contexts: Sequence[str], config: ModelConfig
    ) -> Windows:
        """Questions with their contexts, cut for a model. A question may take a third of a window.

        Windows overlap by a third, short ones by up to a half: no answer of 30 tokens is cut by all of them
        where they have 128 tokens or more.
        """
        length = self.max_length(tokenizer, config)
        stride = max(length // 3, min(2 * (LONGEST_ANSWER - 1), length // 2))
        return cut_windows(
            tokenizer, contexts, questions, max_length=length, stride=stride,
            max_query_length=min(64, length // 3),
        )  # fmt: skip

    def predict(
        self,
        model: Model,
        tokenizer: Tokenizer,
        questions: str | Sequence[str],
        contexts: str | Sequence[str],
        *,
        n_best: int = 5,
        max_answer_length: int = LONGEST_ANSWER,
        null_threshold: float | None = None,
        quiet: bool = True,
    ) -> list[Answers]:
        """The best answers to each question from its context, with their characters in it.

        See `spans.decode_answers` for the options. Contexts may be of any length; without
        `null_threshold` there always is an answer.
        """
        questions = as_texts("questions", questions, one=True)
        contexts = as_texts("contexts", contexts, one=True)
        if len(questions) != len(contexts):
            raise InputError(f"{len(contexts)} texts but {len(questions)} questions")
        found: list[Answers] = []
        for part, windows, (start, end) in self.span_logits(
            model, tokenizer, questions, contexts, quiet=quiet
        ):
            for i, context in enumerate(contexts[part]):
                tokens = windows.tokens_of(i)
                found.append(
                    decode_answers(
                        context, windows.of(i), start[tokens], end[tokens],
                        n_best=n_best, max_answer_length=max_answer_length, null_threshold=null_threshold,
                    )
                )  # fmt: skip
        return found

    def span_logits(
        self,
        model: Model,
        tokenizer: Tokenizer,
        questions: Sequence[str],
        contexts: Sequence[str],
        *,
        quiet: bool = True,
    ) -> Iterator[tuple[slice, Windows, list[Array]]]:
        """Scores of starts and of ends, [T] each, with the windows whose tokens they are, some questions at a
        time."""

        def cut(part: slice) -> Windows:
            return self.windows(tokenizer, questions[part], contexts[part], model.config)

        return read_windows(
            model, cut, len(contexts), "start_logits", "end_logits", label="reading", quiet=quiet
        )

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Questions, *, quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Exact match and F1 as SQuAD's scripts count them, in percent.

        If some questions have no answer, those of SQuAD 2.0: "no answer" is given where it scores above the
        best answer; also what the best threshold on the difference would give, and that threshold.
        """
        impossible = not all(examples.answers)
        found = self.predict(
            model, tokenizer, examples.questions, examples.contexts,
            n_best=CANDIDATES, null_threshold=0.0 if impossible else None, quiet=quiet,
        )  # fmt: skip
        if details is not None:
            question_details(details, examples, found)
        gold = {
            key: [text for _, text in answers]
            for key, answers in zip(examples.ids, examples.answers, strict=True)
        }
        said = dict(zip(examples.ids, found, strict=True))
        if not impossible:
            return metrics.squad_v1(gold, {key: answers.best.text for key, answers in said.items()})
        scores = metrics.squad_v2(gold, {key: answers.best.text for key, answers in said.items()})
        answered = {key: a.candidates[0].text if a.candidates else "" for key, a in said.items()}
        odds = {key: float(np.clip(a.null_odds, -1e9, 1e9)) for key, a in said.items()}
        by_threshold = metrics.squad_v2(gold, answered, odds, threshold=0.0)
        return scores | {key: value for key, value in by_threshold.items() if key.startswith("best_")}

    # On the command line

    def read_inputs(self, args: argparse.Namespace) -> list[Input]:
        """Contexts of a table or of SQuAD's file, with a question each unless --question says one for all."""
        if args.format is None and is_squad(args.data):
            squad = read_squad(args.data, labelled=False, empty=True)
            if args.question is not None:
                return [Input(context) for context in dict.fromkeys(squad.contexts)]
            return [
                Input(context, question, {"id": key})
                for context, question, key in zip(squad.contexts, squad.questions, squad.ids, strict=True)
            ]
        found = read_table(
            args,
            pair="question" if args.question is None else None,
            usual_texts=("context", "text", "document"),
            usual_pairs=(),
        )
        return with_origins(found, found.texts, found.pairs)

    def show(
        self,
        predictor: Predictor,
        texts: Sequence[str],
        *,
        pairs: Sequence[str] | None = None,
        question: str = "",
        n_best: int = 1,
        **options: Any,
    ) -> Iterator[Shown]:
        """Answers to one question for all texts, or `pairs`, one for each."""
        questions = [question] * len(texts) if pairs is None else pairs
        model, tokenizer = predictor.model, predictor.tokenizer
        found = self.predict(model, tokenizer, questions, texts, n_best=n_best, **options)
        for question, text, answer in zip(questions, texts, found, strict=True):
            best = answer.candidates if n_best > 1 and answer.best.text else [answer.best]
            yield Shown(
                [[a.score, a.start, a.end, a.text] for a in best],
                {
                    "question": question,
                    "context": text,
                    **answer.best._asdict(),
                    "candidates": [a._asdict() for a in answer.candidates],
                    "null_odds": answer.null_odds if math.isfinite(answer.null_odds) else None,
                },
                [{"answer": a.text, "score": a.score, "start": a.start, "end": a.end} for a in best],
            )
