"""Steps of equal cost, of numbers worked by hand."""

import pytest

from benchmarks.retention.arms import Budget, training_cost


def test_a_teacher_that_reads_once():
    # 100 steps of 10 tokens and 3 layers cost 9,000; 6 layers that read 500 tokens 3,000: a third more.
    budget = Budget(steps=100, layers=3, teacher_layers=6, read=500, alone_tokens=10)
    assert training_cost(1000, 3) == 9000
    assert budget.teacher_cost == 3000
    assert budget.equal("steps") == 100
    assert budget.equal("cost") == 134


def test_a_teacher_that_reads_every_time_with_a_student_of_shorter_texts():
    budget = Budget(steps=100, layers=3, teacher_layers=6, read=1000, alone_tokens=5)
    assert budget.equal("cost") == pytest.approx(100 + 6000 / (3 * 5 * 3), abs=1)
