"""Costs are those of the weight matrices, counted by hand and against a model's own parameters."""

import dataclasses

import pytest

from benchmarks.costs import Costs, encoder, masked_lm
from minidistil import BertConfig
from minidistil.model import BertForMaskedLM

SMALL = BertConfig(
    vocab_size=50, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20
)
LARGE = SMALL.replace(num_hidden_layers=5)
COSTS = Costs(SMALL, LARGE, LARGE, text_tokens=10.0, task_tokens=4.0, read=7)


def test_by_hand():
    assert encoder(SMALL) == 2 * (4 * 64 + 2 * 8 * 20) == 1152
    assert masked_lm(SMALL) == 1152 + 64 + 400
    assert COSTS.text_step == 10 * (3 * 1616 + (5 * 576 + 464))
    assert COSTS.task_step == 4 * 3 * 1152
    assert COSTS.kept_outputs == 7 * 5 * 576
    assert COSTS.total(2, 3) == 2 * COSTS.text_step + 3 * COSTS.task_step + COSTS.kept_outputs
    assert COSTS.total(2, 0) == 2 * COSTS.text_step


def test_a_teacher_that_runs_in_every_step():
    live = dataclasses.replace(COSTS, kept=False)
    assert live.kept_outputs == 0
    assert live.task_step == COSTS.task_step + 4 * 5 * 576
    assert live.total(0, 3) == 3 * live.task_step
    assert live.task_steps(live.total(0, 3), 0) == 3


def test_the_matrices_are_those_of_the_model():
    model = BertForMaskedLM(SMALL)
    matrices = {n: p.size for n, p in model.params.items() if p.ndim == 2 and n.endswith("weight")}
    layers = {n: size for n, size in matrices.items() if ".layer." in n}
    head = {n: size for n, size in matrices.items() if n.startswith("cls.") or "word_embeddings" in n}
    assert encoder(SMALL) == sum(layers.values())
    assert masked_lm(SMALL) - encoder(SMALL) == sum(head.values())  # the decoder is the word table


@pytest.mark.parametrize("text_steps", [0, 25, 50, 75])
def test_the_same_total_cost(text_steps):
    total = 100 * COSTS.text_step
    steps = COSTS.task_steps(total, text_steps)
    assert COSTS.total(text_steps, steps) <= total < COSTS.total(text_steps, steps + 1)


def test_a_total_that_does_not_pay_what_is_kept():
    dear = dataclasses.replace(COSTS, read=10**6)
    assert dear.task_steps(COSTS.text_step, 0) == 0
