"""Curves of a training: points that average equal numbers of steps, axes, and what is said of them."""

from pathlib import Path

import pytest

from minidistil.report.curves import equal_means, metric_plots, seed_plots, training_plots
from minidistil.report.run import Curve, RunRecord, Stage


def curve(points):
    made = Curve()
    for step, value in points:
        made.add(step, value)
    return made


def stage(*records):
    made = Stage()
    for record in records:
        made.add(record)
    return made


def record(stages, report=None, **more):
    return RunRecord(Path("run"), report or {}, {}, {}, stages, more.pop("teacher", {}), **more)


def test_an_evaluation_in_between_splits_no_point():
    """Logged each 10 steps, measured after 13 and 26: records of 10, 3, 7, 6, 4, and at the end 2 steps."""
    means = equal_means(curve([(10, 1.0), (13, 2.0), (20, 3.0), (26, 4.0), (30, 5.0), (32, 6.0)]))
    assert means.points == [
        (10, 1.0), (20, pytest.approx(0.3 * 2 + 0.7 * 3)), (30, pytest.approx(0.6 * 4 + 0.4 * 5)), (32, 6.0),
    ]  # fmt: skip
    assert (means.size, means.last) == (10, 2)
    assert means.said == "Each point is the mean over 10 steps; the last one, hollow, over 2 steps."


def test_ten_steps_are_ten_points():
    means = equal_means(curve([(i, float(i)) for i in range(1, 11)]))
    assert len(means.points) == 10
    assert means.said == "A point for each step."
    assert equal_means(curve([(5, 1.0), (10, 1.0), (11, 3.0)])).said.endswith("over 1 step.")
    assert equal_means(curve([(5, 1.0), (10, 1.0)])).said == "Each point is the mean over 5 steps."


@pytest.mark.parametrize(
    "points", [[], [(2, 1.0), (1, 2.0)], [(1.5, 1.0), (2, 1.0)], [(10, 1.0), (20, 1.0), (27, 1.0), (33, 1.0)]]
)
def test_a_log_that_does_not_show_it_is_drawn_as_it_is(points):
    means = equal_means(curve(points))
    assert (means.points, means.size, means.said) == (points, None, "")


def test_the_loss_of_held_out_examples_is_beside_that_of_training():
    made = stage(
        {"kind": "train", "step": 1, "loss": 0.7, "lr": 1e-4},
        {"kind": "train", "step": 2, "loss": 0.5, "lr": 5e-5},
        {"kind": "eval", "step": 2, "loss": 0.6, "accuracy": 0.8},
    )
    loss, accuracy, rate = training_plots(record({"": made}), made)
    assert {name: list(points) for name, points in loss.series.items()} == {
        "training": [(1, 0.7), (2, 0.5)],
        "held out": [(2, 0.6)],
    }
    assert (loss.y, loss.scale["zero"]) == ("loss (nats)", True)
    assert "learn by heart" in loss.note
    assert list(accuracy.series["accuracy"]) == [(2, 0.8)]
    assert accuracy.title == "Accuracy during training"
    assert accuracy.scale["percent"]
    assert accuracy.scale["least"] == 0.1
    assert list(rate.series["learning rate"]) == [(1, 1e-4), (2, 5e-5)]
    only = stage({"kind": "train", "step": 1, "loss": 0.7})
    (loss,) = training_plots(record({"": only}), only)
    assert (list(loss.series), loss.title) == (["training"], "Training loss")


def test_terms_have_units_and_formulas():
    made = stage({"kind": "train", "step": 1, "loss": 3.0, "soft": 1.0, "cosine": 2.0})
    loss, cosine, soft = training_plots(record({"": made}), made)
    assert loss.y == "loss (sum of its terms, weighted)"
    assert cosine.y == "cosine (1 − cosine)"
    assert soft.y == "soft (nats, times T²)"
    assert "T^2 KL" in soft.note


def test_the_held_out_loss_of_a_student_is_beside_the_term_of_its_name():
    made = stage(
        {"kind": "train", "step": 1, "loss": 3.0, "soft": 1.0, "hard": 2.0},
        {"kind": "eval", "step": 1, "hard": 2.5, "masked_lm": 2.5, "perplexity": 12.0},
    )
    loss, hard, soft, perplexity = training_plots(record({"": made}), made)
    assert [list(plot.series) for plot in (loss, hard, soft)] == [
        ["training"],
        ["training", "held out"],
        ["training"],
    ]
    assert list(hard.series["held out"]) == [(1, 2.5)]
    assert perplexity.y == "perplexity", "the same loss under another name is drawn once"
    alone = stage(
        {"kind": "train", "step": 1, "loss": 3.0, "soft": 3.0}, {"kind": "eval", "step": 1, "hard": 2.5}
    )
    loss, hard = training_plots(record({"": alone}), alone)
    assert (list(loss.series), hard.y) == (["training"], "loss (nats)")


def test_numbers_of_a_regression():
    made = stage(
        {"kind": "train", "step": 1, "loss": 3.0}, {"kind": "eval", "step": 1, "pearson": -0.5, "mse": 2.0}
    )
    loss, mse, pearson = training_plots(record({"": made}), made)
    assert loss.y == "loss (squared error)"
    assert pearson.y == "pearson (-1 to 1)"
    assert mse.scale["least"] == pytest.approx(0.2)


SAVED = "The table has the model as it was saved"


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({}, "Measured on held-out examples while the model learnt."),
        (
            {"evaluated": 40},
            "Measured on the 40 held-out examples while the model learnt. The table has the same",
        ),
        (
            {"held_out_sentences": 1500, "watched": 500},
            "Measured on the first 500 of the 1,500 held-out sentences while the model learnt, to save time. "
            + SAVED,
        ),
        ({"held_out_sentences": 1500}, "Measured on a part of the 1,500 held-out sentences"),
        ({"held_out_pairs": 9, "watched": 9}, "Measured on the 9 held-out pairs of sentences while"),
        ({"evaluated": "x"}, "Measured on held-out examples while the model learnt."),
    ],
)
def test_both_accuracies_are_explained(report, said):
    made = stage({"kind": "eval", "step": 2, "accuracy": 0.8})
    (plot,) = metric_plots(record({"": made}, report))
    assert plot.note.startswith(said)


def test_it_is_said_once_and_the_main_metric_comes_first():
    made = stage({"kind": "eval", "step": 2, "accuracy": 0.8, "f1": 0.7, "matthews": 0.6})
    plots = metric_plots(record({"": made}, {"primary": "f1", "evaluated": 40}))
    assert [plot.y for plot in plots] == ["f1 (0 to 1)", "accuracy (% of all)", "matthews (0 to 1)"]
    assert [bool(plot.note) for plot in plots] == [True, False, False]


def test_a_teacher_is_drawn_where_it_is_measured_on_the_same():
    made, models = stage({"kind": "eval", "step": 2, "accuracy": 0.8}), {"teacher": {"accuracy": 0.9}}

    def levels(report, **more):
        return metric_plots(record({"": made}, {"models": models, **report}, **more))[0].levels

    assert levels({"evaluated": 40}) == {"teacher": 0.9}
    assert levels({"held_out_pairs": 40, "watched": 10}) == {}
    assert levels({"held_out_sequences": 40}, teacher={"accuracy": 0.7}) == {"teacher": 0.7}


def test_stages_share_a_chart_of_what_was_measured():
    stages = {
        name: stage({"kind": "train", "step": 1, "loss": 1.0}, {"kind": "eval", "step": 2, "accuracy": value})
        for name, value in (("teacher", 0.9), ("alone", 0.7), ("student", 0.8))
    }
    run = record(stages)
    (plot,) = metric_plots(run)
    assert {name: list(points) for name, points in plot.series.items()} == {
        "teacher": [(2, 0.9)], "student without a teacher": [(2, 0.7)], "student, taught": [(2, 0.8)],
    }  # fmt: skip
    assert [p.title for p in training_plots(run, stages["alone"])] == ["Training loss"]


def test_a_line_for_each_seed():
    parts = {
        f"seed-{i}": record(
            {
                "": stage(
                    {"kind": "train", "step": 1, "loss": i}, {"kind": "eval", "step": 1, "accuracy": 0.5}
                )
            },
            {"evaluated": 7},
        )
        for i in range(3)
    }
    loss, accuracy = seed_plots(record({}, parts=parts))
    assert {name: list(points) for name, points in loss.series.items()} == {
        f"seed-{i}": [(1, i)] for i in range(3)
    }
    assert list(accuracy.series) == list(parts)
    assert "7 held-out examples" in accuracy.note
