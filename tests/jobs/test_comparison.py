"""Comparison of student, teacher and baseline: numbers by hand, and the sentences."""

import math

import pytest

from minidistil.jobs.comparison import compared
from minidistil.jobs.results import over_seeds, table


def report(student, teacher=0.9, baseline=None, metric="accuracy", better="higher", evaluated=900):
    models = {
        "teacher": {metric: teacher, "parameters": 200},
        "student": {metric: student, "parameters": 150},
    }
    if baseline is not None:
        models["baseline"] = {metric: baseline, "parameters": 150}
    about = {"task": "t", "examples": 10, "evaluated": evaluated, "primary": metric, "better": better}
    return {**about, "models": models}


def summary(tmp_path, reports):
    return over_seeds(lambda seed, out: compared(reports[seed]), len(reports), tmp_path)


def test_retained():
    found = compared(report(0.81))
    assert found["models"]["student"]["retained"] == pytest.approx(0.9)
    assert found["comparison"]["difference"] == pytest.approx(-0.09)
    assert found["comparison"]["parameters"] == 0.75
    (sentence,) = found["comparison"]["sentences"]
    assert sentence == "The student keeps 90.0 % of its teacher's accuracy with 75 % of its parameters."
    assert table(found).splitlines()[-1] == sentence
    assert "90.0%" in table(found)
    assert compared(found) == found


def test_a_share_that_would_say_nothing_is_a_difference():
    """A metric of which less is better, and a teacher near 0, whose share is noise."""
    less = compared(report(6.0, 5.0, metric="perplexity", better="lower"))
    assert less["comparison"]["retained"] is None
    assert "retained" not in less["models"]["student"]
    (sentence,) = less["comparison"]["sentences"]
    assert sentence == (
        "The student's perplexity is 1 above its teacher's 5; less is better. It has 75 % of its parameters."
    )
    for student, teacher in ((0.04, 0.05), (-0.1, 0.5)):
        found = compared(report(student, teacher, metric="matthews"))
        assert found["comparison"]["retained"] is None
    assert (
        "below its teacher's 50.0; a share of so little says nothing" in found["comparison"]["sentences"][0]
    )


def test_without_a_teacher_or_a_measurement_there_is_nothing_to_compare():
    alone = report(0.8)
    del alone["models"]["teacher"]
    unmeasured = report(0.8)
    for facts in unmeasured["models"].values():
        del facts["accuracy"]
    for given in (alone, unmeasured):
        assert compared(given) == given


def test_one_seed_cannot_tell():
    """The error of an accuracy of 90 % on 900 examples is one point."""
    found = compared(report(0.9, baseline=0.88))
    facts = found["comparison"]["baseline"]
    assert facts["differences"] == [pytest.approx(0.02)]
    assert math.isnan(facts["standard_error"])
    assert facts["standard_error_of_examples"] == pytest.approx(0.01)
    assert found["comparison"]["sentences"][1] == (
        "The teacher is worth +2.0 points of accuracy. One seed cannot tell that from noise; --seeds 5 can. "
        "An accuracy of 90.0 % on 900 examples has a standard error of 1.0 points by itself."
    )
    other = compared(report(0.9, baseline=0.88, metric="f1"))["comparison"]
    assert "standard_error_of_examples" not in other["baseline"]
    assert other["sentences"][1].endswith("--seeds 5 can.")


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((1.0, 2.0, 3.0), "worth +2.0 points of accuracy, standard error 0.6 over 3 seeds; better in 3 of "
         "them. That is a gain of more than its standard error."),
        ((-1.0, -2.0, -3.0), "worth -2.0 points of accuracy, standard error 0.6 over 3 seeds; better in 0 of "
         "them. That is a loss of more than its standard error."),
        ((1.0, -1.0, 0.3), "better in 2 of them. That is not more than its standard error: it may be noise."),
    ],
)  # fmt: skip
def test_paired_seeds(tmp_path, gains, said):
    """Seeds that differ much, but alike for both: the differences count."""
    levels = (0.5, 0.6, 0.7)
    reports = [report(x + gain / 100, baseline=x) for x, gain in zip(levels, gains, strict=True)]
    found = summary(tmp_path, reports)
    facts = found["comparison"]["baseline"]
    assert facts["differences"] == pytest.approx([gain / 100 for gain in gains])
    assert facts["mean"] == pytest.approx(sum(gains) / 300)
    assert said in found["comparison"]["sentences"][1]
    assert found["models"]["student"]["retained"].keys() == {"mean", "lowest", "highest"}
    assert all(len(line) <= 80 for line in table(found).splitlines())


def test_what_is_better_for_being_less(tmp_path):
    found = summary(
        tmp_path, [report(x, 4.0, x + 0.5, metric="perplexity", better="lower") for x in (5.0, 6.0)]
    )
    assert found["comparison"]["baseline"]["better"] == 2
    assert found["comparison"]["sentences"][1] == (
        "The teacher changes the student's perplexity by -0.5 (less is better), standard error 0 over 2 "
        "seeds; better in 2 of them. That is a gain of more than its standard error."
    )


def test_scores_in_points_stay_points():
    """SQuAD's F1 is of a hundred."""
    found = compared(report(80.0, 85.0, 78.0, metric="f1"))
    assert "+2.0 points of f1" in found["comparison"]["sentences"][1]


def test_what_is_not_defined_is_said(tmp_path):
    found = compared(report(0.5, 0.6, math.nan, metric="pearson"))
    assert found["comparison"]["sentences"][-1] == "The pearson of the baseline is not defined."
    assert found["comparison"]["baseline"]["differences"] == []
    runs = [report(0.5, 0.6, metric="pearson"), report(None, 0.6, metric="pearson")]
    assert summary(tmp_path, runs)["comparison"]["sentences"] == [
        "The pearson of the student is not defined."
    ]


def test_three_models_fit_into_the_table(tmp_path):
    found = summary(tmp_path, [report(0.8123 + i / 100, baseline=0.75 - i / 50) for i in range(2)])
    lines = table(found).splitlines()
    assert lines[0].split() == ["teacher", "student", "baseline"]
    assert lines[1].split() == ["accuracy", "0.9000", "0.8173", "0.7400"]
    assert " ".join(lines[2].split()) == "lowest to highest 0.8123 to 0.8223 0.7300 to 0.7500"
    assert all(len(line) <= 80 for line in lines)
