"""The classifier of texts as an estimator: scikit-learn's own checks, and what they cannot check of texts."""

import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_array
from sklearn.utils.estimator_checks import check_estimator
from tiny import BAD, GOOD, make_encoder, make_split

from minidistil import SentenceEncoder, pipeline
from minidistil.errors import ConfigError, UsageError
from minidistil.sklearn import FitError, TextClassifier
from minidistil.train.settings import TrainSettings

LEARNING = {"epochs": 15, "batch_size": 8, "lr": 3e-3}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(make_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def split():
    return make_split(train=48, test=16)


@pytest.fixture(scope="module")
def tuned(encoder, split):
    return TextClassifier(encoder, **LEARNING).fit(split.train_texts, named(split.train_labels))


def named(labels):
    return np.array(["bad", "good"])[labels]


# scikit-learn's own checks


class OfNumbers(TextClassifier):
    """A classifier of texts whose words stand for numbers: the checks make numbers alone."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array, tags.input_tags.string = True, False, False
        return tags

    def fit(self, X, y, sample_weight=None):
        return super().fit(written(X), y, sample_weight)

    def predict_proba(self, X):
        return super().predict_proba(written(X, fitted=self))


def written(X, fitted=None):
    """Each row as words: the more of `GOOD` the larger the number in the first column."""
    if fitted is not None and not hasattr(fitted, "model_"):
        return ["film"]  # the estimator itself refuses
    X = check_array(X, dtype=np.float64, ensure_min_samples=0)
    words = [*BAD, "a", "the", *GOOD]
    places = np.clip(np.floor(4 + 2 * X), 0, len(words) - 1).astype(int)
    return [" ".join(words[i] for i in row) for row in places]


NO_NUMBERS = "texts have no features to count"
FAILS = {
    "check_n_features_in_after_fitting": NO_NUMBERS,
    "check_n_features_in": NO_NUMBERS,
    "check_classifiers_train": "the words of the adapter are too coarse for an accuracy of 83 %",
}


def test_scikit_learns_checks_on_texts(encoder):
    """Checks that need no input; scikit-learn says itself that it makes none of strings."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        results = check_estimator(TextClassifier(encoder), on_fail=None)
    assert {result["status"] for result in results} <= {"passed"}
    assert any("Can't test estimator TextClassifier which requires input" in str(w.message) for w in said)


def test_scikit_learns_checks_on_words_for_numbers(encoder):
    """All of them, of the frozen classifier: what cannot hold for texts is listed, with the reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            OfNumbers(encoder, frozen=True, backend="numpy"),
            expected_failed_checks=FAILS,
            on_skip=None,
            on_fail=None,
        )
    failed = {r["check_name"]: repr(r["exception"]) for r in results if r["status"] == "failed"}
    assert not failed
    assert sum(r["status"] == "passed" for r in results) > 30
    assert {r["check_name"] for r in results if r["status"] == "xfail"} == set(FAILS), (
        "the list is not too long"
    )


# What it does


def test_it_learns(encoder, split, tuned):
    assert tuned.classes_.tolist() == ["bad", "good"]
    assert tuned.score(split.test_texts, named(split.test_labels)) > 0.9
    probabilities = tuned.predict_proba(split.test_texts)
    assert (probabilities.shape, probabilities.dtype) == ((16, 2), np.float64)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert tuned.predict(split.test_texts).tolist() == tuned.classes_[probabilities.argmax(1)].tolist()
    frozen = TextClassifier(encoder, frozen=True, C=100).fit(split.train_texts, split.train_labels)
    assert frozen.classes_.tolist() == [0, 1]
    assert frozen.score(split.test_texts, split.test_labels) > 0.7
    vectors = SentenceEncoder.from_pretrained(encoder).encode(split.test_texts)
    np.testing.assert_array_equal(
        frozen.head_.predict_proba(vectors.astype(float)), frozen.predict_proba(split.test_texts)
    )
    assert tuned.predict_proba([]).shape == (0, 2)


def test_it_is_the_model_that_a_pipeline_asks(split, tuned, tmp_path):
    tuned.save_pretrained(tmp_path)
    found = pipeline("text-classification", tmp_path)(split.test_texts)
    assert [answer["label"] for answer in found] == tuned.predict(split.test_texts).tolist()
    for row, answer in zip(tuned.predict_proba(split.test_texts), found, strict=True):
        assert list(answer.scores.values()) == row.tolist()


def test_the_same_seed_gives_the_same_bits(encoder, split, tuned):
    texts, labels = split.train_texts, named(split.train_labels)
    again = clone(tuned).fit(texts, labels)
    np.testing.assert_array_equal(again.predict_proba(texts), tuned.predict_proba(texts))
    other = clone(tuned).set_params(random_state=1).fit(texts, labels)
    assert not np.array_equal(other.predict_proba(texts), tuned.predict_proba(texts))
    state = clone(tuned).set_params(random_state=np.random.RandomState(5), epochs=1)
    first, second = (state.fit(texts, labels).predict_proba(texts) for _ in range(2))
    assert not np.array_equal(first, second), "a RandomState goes on"


def test_it_copies_by_joblib(split, tuned, encoder, tmp_path):
    frozen = TextClassifier(encoder, frozen=True).fit(split.train_texts, split.train_labels)
    for one in (tuned, frozen):
        joblib.dump(one, tmp_path / "c.joblib")
        again = joblib.load(tmp_path / "c.joblib")
        np.testing.assert_array_equal(
            again.predict_proba(split.test_texts), one.predict_proba(split.test_texts)
        )


def test_pipelines_and_searches(encoder, split):
    texts, labels = np.array(split.train_texts), split.train_labels
    frozen = TextClassifier(encoder, frozen=True)
    assert cross_val_score(frozen, texts, labels, cv=3).mean() > 0.7
    search = GridSearchCV(frozen, {"C": [1e-4, 100.0]}, cv=2).fit(texts, labels)
    assert search.best_params_ == {"C": 100.0}
    chain = make_pipeline(
        FunctionTransformer(lambda column: [text.lower() for text in column]), search.best_estimator_
    )
    assert chain.fit([text.upper() for text in texts], labels).score(texts, labels) > 0.85
    with_labels = clone(TextClassifier(encoder, **{**LEARNING, "epochs": 1}))
    assert cross_val_score(with_labels, texts, labels, cv=2).shape == (2,)


def test_forms_of_texts(split, tuned):
    expected = tuned.predict(split.test_texts).tolist()
    for texts in (
        tuple(split.test_texts),
        np.array(split.test_texts),
        pandas.Series(split.test_texts),
        pandas.DataFrame({"text": split.test_texts}),
        np.array(split.test_texts)[:, None],
    ):
        assert tuned.predict(texts).tolist() == expected
    for texts in ("one", [None], [1.5], np.zeros((2, 2)), pandas.DataFrame({"a": ["b"], "c": ["d"]})):
        with pytest.raises(FitError):
            tuned.predict(texts)


def test_validation(encoder, split):
    held_out = {"X_val": split.test_texts, "y_val": named(split.test_labels)}
    one = TextClassifier(encoder, **LEARNING).fit(split.train_texts, named(split.train_labels), **held_out)
    records = [record for record in one.history_ if "accuracy" in record]
    measured = [record["accuracy"] for record in records]
    assert all(record["loss"] > 0 for record in records)
    assert records[-1]["loss"] < records[0]["loss"]
    assert len(measured) == LEARNING["epochs"]
    assert measured[-1] == one.validation_score_ == one.score(split.test_texts, named(split.test_labels))
    frozen = TextClassifier(encoder, frozen=True).fit(
        split.train_texts, named(split.train_labels), **held_out
    )
    assert 0 <= frozen.validation_score_ <= 1
    held_out["y_val"] = np.array(["other", *held_out["y_val"][1:]])
    with pytest.raises(FitError, match="y_val has the label 'other', which is none of y"):
        TextClassifier(encoder, **LEARNING).fit(split.train_texts, named(split.train_labels), **held_out)


def test_weights(encoder):
    texts = ["the warm film"] * 6 + ["the dull plot"] * 6
    labels = ["b", "a", "a", "a", "a", "a"] * 2
    for frozen in (True, False):
        rare = {}
        for weights in (None, {"b": 50.0}, "balanced"):
            one = TextClassifier(encoder, frozen=frozen, class_weight=weights, **{**LEARNING, "epochs": 12})
            rare[str(weights)] = one.fit(texts, labels).predict_proba(texts)[:, 1].mean()
        assert rare["None"] < rare["balanced"] < rare["{'b': 50.0}"]
    weighted = TextClassifier(encoder, frozen=True).fit(
        texts, labels, sample_weight=[50.0, 1, 1, 1, 1, 1] * 2
    )
    assert weighted.predict_proba(texts)[:, 1].mean() > 0.7
    with pytest.raises(
        FitError, match="sample_weight is for frozen=True: fine-tuning takes class_weight alone"
    ):
        TextClassifier(encoder).fit(texts, labels, sample_weight=np.ones(12))
    with pytest.raises(FitError, match="class_weight names 'c', which is no class of y"):
        TextClassifier(encoder, frozen=True, class_weight={"c": 2}).fit(texts, labels)
    with pytest.raises(ConfigError, match="there is no class 'c'"):
        TextClassifier(encoder, class_weight={"c": 2}, **LEARNING).fit(texts, labels)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (["a", "b"], ["x", "x"], "y has one class, 'x': there is nothing to tell apart"),
        ([], [], "X has no text"),
        ("one", ["x"], "X must be a list"),
        (["a", 3], ["x", "y"], r"X\[1\] is not a string but int: 3"),
        (["a", "b"], None, "requires y to be passed, but the target y is None"),
        (["a", "b"], ["x"], "inconsistent numbers of samples"),
        (["a", "b"], [0.5, 0.7], "continuous"),
        (["a", "b"], [0.0, np.nan], "NaN"),
    ],
)
def test_what_cannot_be_learnt(encoder, X, y, message):
    for frozen in (True, False):
        with pytest.raises(ValueError, match=message):
            TextClassifier(encoder, frozen=frozen).fit(X, y)


def test_before_it_is_fitted(encoder, split, tmp_path):
    one = TextClassifier(encoder)
    for call in (one.predict, one.predict_proba, one.save_pretrained):
        with pytest.raises(NotFittedError):
            call(split.test_texts)
    frozen = TextClassifier(encoder, frozen=True).fit(split.train_texts, split.train_labels)
    with pytest.raises(UsageError, match="pickle or joblib keeps both parts"):
        frozen.save_pretrained(tmp_path)


def test_settings(encoder, split, capsys):
    texts, labels = split.train_texts, split.train_labels
    short = TextClassifier(encoder, max_length=4, settings={"max_steps": 2, "log_every": 1}, **LEARNING)
    short.fit(texts, labels)
    assert [record["step"] for record in short.history_] == [1, 2]
    assert short.tokenizer_.model_max_length == 4
    np.testing.assert_array_equal(short.predict_proba(["a film is warm"]), short.predict_proba(["a film"]))
    assert capsys.readouterr().err == "", "nothing is printed"
    with pytest.raises(ConfigError, match=r"TrainSettings has no setting 'warmups' \(did you mean warmup"):
        TextClassifier(encoder, settings={"warmups": 1}).fit(texts, labels)
    params = TextClassifier().get_params()
    usual = TrainSettings()
    assert {name: params[name] for name in ("epochs", "batch_size", "lr")} == {
        "epochs": usual.epochs, "batch_size": usual.batch_size, "lr": usual.lr,
    }  # fmt: skip


def test_where_scikit_learn_is_missing():
    script = "import sys; sys.modules['sklearn'] = None\nimport minidistil.sklearn"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "minidistil.sklearn needs scikit-learn: pip install 'minidistil[sklearn]'" in done.stderr
