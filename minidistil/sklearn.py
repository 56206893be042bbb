"""A classifier of texts with the interface of scikit-learn's estimators.

>>> from minidistil.sklearn import TextClassifier
>>> classifier = TextClassifier("encoder/", epochs=3)

It needs scikit-learn: `pip install 'minidistil[sklearn]'`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.errors import InputError, UsageError
from minidistil.jobs.first_model import first_model
from minidistil.model.families import load_config
from minidistil.tasks.classification.scores import TYPES
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.data import DataSettings
from minidistil.text.dataset import Dataset
from minidistil.text.model_fit import fit_tokenizer
from minidistil.text.readers import Examples
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.class_weights import class_weights
from minidistil.train.objective import ModelLoss
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.train.validation import mean_loss
from minidistil.weights.hub import resolve

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.linear_model import LogisticRegression
    from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError("minidistil.sklearn needs scikit-learn: pip install 'minidistil[sklearn]'") from error

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


class FitError(UsageError, ValueError):
    """Texts or labels that cannot be learnt from; a ValueError too, as scikit-learn's are."""


class TextClassifier(ClassifierMixin, BaseEstimator):
    """Classify texts: fine-tune an encoder, or learn a logistic regression on its sentence vectors.

    It works in pipelines, in cross-validation and in a search for parameters, and it pickles. Nothing is
    printed. With the same texts, labels and `random_state` it is the same, bit for bit.

    Parameters
    ----------
    encoder : directory or hub id
        Any encoder. The model that is fine-tuned begins from it.
    frozen : bool
        Leave the encoder as it is, and learn the logistic regression alone: seconds in place of minutes, and
        the better choice for few examples.
    max_length : int, optional
        Most tokens of a text; by default those of `minidistil finetune`, or frozen, the encoder's own.
    epochs, batch_size, lr
        Of the fine-tuning, see `TrainSettings`.
    settings : mapping, optional
        Further fields of `TrainSettings`, such as {"warmup": 0.0}.
    C : float
        Inverse strength of the regularization of the logistic regression.
    class_weight : "balanced", mapping of class to float, or None
    random_state : int, RandomState or None
        Of the new head, the order of examples, and dropout. None: another one in each fit.
    verbose : bool
        Show the progress of a fine-tuning.
    backend : "numba" or "numpy"

    Attributes
    ----------
    classes_ : array [C]
        The labels, sorted.
    model_, tokenizer_ : Model and Tokenizer
        Those that answer: fine-tuned, or with `frozen` the encoder's.
    head_ : LogisticRegression
        With `frozen`.
    history_ : list of dict
        Log of a fine-tuning: losses, and with `X_val` losses and accuracies on it.
    validation_score_ : float
        Accuracy on `X_val`, if it was given.
    """

    def __init__(
        self,
        encoder: str | Path = ENCODER,
        *,
        frozen: bool = False,
        max_length: int | None = None,
        epochs: int = 3,
        batch_size: int = 32,
        lr: float = 5e-5,
        settings: Mapping[str, Any] | None = None,
        C: float = 1.0,
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        random_state: Any = 0,
        verbose: bool = False,
        backend: str = "numba",
    ) -> None:
        self.encoder = encoder
        self.frozen = frozen
        self.max_length = max_length
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.settings = settings
        self.C = C
        self.class_weight = class_weight
        self.random_state = random_state
        self.verbose = verbose
        self.backend = backend

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.string = True, True
        tags.input_tags.two_d_array = False
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None) -> Self:
        """Learn texts and their labels.

        Parameters
        ----------
        X : list, array or column of str, [N]
        y : array [N]
            Labels: names or numbers, two classes at least.
        sample_weight : float [N], optional
            With `frozen` alone; a fine-tuning takes `class_weight`.
        X_val, y_val : optional
            Examples that are not learnt, to measure loss and accuracy after each epoch.

        Raises
        ------
        FitError
            Texts or labels that cannot be learnt.
        ConfigError
            A setting that cannot be.
        """
        texts, labels = self._examples(X, y)
        held_out = None if X_val is None else self._examples(X_val, y_val, "X_val", "y_val")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise FitError(f"y has one class, {self.classes_.tolist()[0]!r}: there is nothing to tell apart")
        codes = codes.astype(np.int64)
        if held_out is not None:
            self._codes(held_out[1])  # refuses others
        if self.frozen:
            self._fit_head(texts, codes, sample_weight)
        elif sample_weight is not None:
            raise FitError("sample_weight is for frozen=True: fine-tuning takes class_weight alone")
        else:
            self._fine_tune(texts, codes, held_out)
        if held_out is not None:
            self.validation_score_ = float(self.score(*held_out))
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable label of each text, [N]."""
        check_is_fitted(self, "model_")
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities of the classes, in the order of `classes_`, [N, C]."""
        check_is_fitted(self, "model_")
        texts = texts_of(X)
        if not texts:
            return np.zeros((0, len(self.classes_)))
        if self.frozen:
            return np.asarray(self.head_.predict_proba(self.vectors_.encode(texts).astype(np.float64)))
        return self._probabilities(texts)

    def save_pretrained(self, path: str | Path) -> None:
        """Write the fine-tuned model, for `minidistil predict`, `pipeline` and transformers."""
        check_is_fitted(self, "model_")
        if self.frozen:
            raise UsageError(
                "with frozen=True there is no fine-tuned model: pickle or joblib keeps both parts"
            )
        self.model_.save_pretrained(path, tokenizer=self.tokenizer_)

    # Fine-tuning

    def _fine_tune(
        self, texts: list[str], codes: npt.NDArray[np.int64], held_out: tuple[list[str], Any] | None
    ) -> None:
        path, seed = resolve(self.encoder), self._seed()
        base, task = load_config(path), ClassificationTask(DataSettings(max_length=self.max_length))
        tokenizer = fit_tokenizer(Tokenizer.from_pretrained(path), base, path, training=True)
        examples, names = _examples_of(texts), [str(name) for name in self.classes_.tolist()]
        config = base.replace(problem_type=TYPES["single"], id2label=dict(enumerate(names)))
        record = task.training_record(examples, config, tokenizer)
        config = config.replace(extra=record.merged_into(config.extra))
        model = first_model(
            task.model_class(config), path, config, seed=seed, quiet=True, backend=self.backend
        )
        self.model_, self.tokenizer_ = model, task.tokenizer_to_save(tokenizer, config)
        weights = None
        if self.class_weight is not None:
            weights = class_weights(self._named_weights(), codes, names)
        objective = ModelLoss(model, class_weights=weights)

        def data(texts: list[str], codes: npt.NDArray[np.int64]) -> Dataset:
            found = task.dataset(tokenizer, _examples_of(texts), config, labelled=False)
            assert isinstance(found, Dataset)
            return found.with_targets(labels=codes)

        evaluate = None
        if held_out is not None:
            unseen, right = held_out[0], self._codes(held_out[1])
            measured = data(unseen, right)

            def evaluate() -> dict[str, float]:
                chosen = self._probabilities(unseen).argmax(1)
                return {"loss": mean_loss(objective, measured), "accuracy": float((chosen == right).mean())}

        chosen = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr, "seed": seed}
        settings = TrainSettings(**{**chosen, **(self.settings or {})})
        trainer = Trainer(
            model, objective, data(texts, codes), settings=settings, evaluate=evaluate, quiet=not self.verbose
        )
        self.history_ = trainer.train().history
        model.eval()

    def _probabilities(self, texts: list[str]) -> npt.NDArray[np.float64]:
        """Probabilities of a fine-tuned model, [N, C]."""
        parts = ClassificationTask().answers(self.model_, self.tokenizer_, texts)
        return np.concatenate(list(parts))

    def _named_weights(self) -> Any:
        """Class weights by the names of classes."""
        given = self.class_weight
        return {str(name): w for name, w in given.items()} if isinstance(given, Mapping) else given

    # Frozen

    def _fit_head(self, texts: list[str], codes: npt.NDArray[np.int64], sample_weight: Any) -> None:
        changes: dict[str, Any] = {} if self.max_length is None else {"max_length": self.max_length}
        self.vectors_ = SentenceEncoder.from_pretrained(
            self.encoder, backend=self.backend, quiet=True, **changes
        )
        weights = self.class_weight
        if isinstance(weights, Mapping):
            number = {name: code for code, name in enumerate(self.classes_.tolist())}
            if unknown := [name for name in weights if name not in number]:
                raise FitError(f"class_weight names {unknown[0]!r}, which is no class of y")
            weights = {number[name]: weight for name, weight in weights.items()}
        head = LogisticRegression(C=self.C, max_iter=1000, class_weight=weights, random_state=self._seed())
        self.head_ = head.fit(self.vectors_.encode(texts).astype(np.float64), codes, sample_weight)
        self.model_, self.tokenizer_ = self.vectors_.model, self.vectors_.tokenizer

    # What is given

    def _examples(
        self, X: Any, y: Any, name: str = "X", target: str = "y"
    ) -> tuple[list[str], npt.NDArray[Any]]:
        """Texts and labels, checked."""
        if y is None:
            raise FitError(f"{type(self).__name__} requires {target} to be passed, but the target y is None")
        texts = texts_of(X, name)
        labels = column_or_1d(y, warn=True)
        labels = check_array(labels, ensure_2d=False, dtype=None, input_name="y", ensure_min_samples=0)
        check_classification_targets(labels)
        check_consistent_length(texts, labels)
        if not texts:
            raise FitError(f"{name} has no text: at least one sample is needed")
        return texts, labels

    def _codes(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Numbers of the classes of labels."""
        unknown = sorted(set(labels.tolist()) - set(self.classes_.tolist()), key=str)
        if unknown:
            raise FitError(f"y_val has the label {unknown[0]!r}, which is none of y")
        return np.searchsorted(self.classes_, labels).astype(np.int64)

    def _seed(self) -> int:
        state = self.random_state
        if isinstance(state, (int, np.integer)):
            return int(state)
        return int(check_random_state(state).randint(np.iinfo(np.int32).max))


def texts_of(X: Any, name: str = "X") -> list[str]:
    """Texts of a list, an array or a column; a table of one column is one.

    Raises
    ------
    FitError
        Something else, or an item that is no text.
    """
    if getattr(X, "ndim", 1) == 2 and X.shape[1] == 1:
        X = np.asarray(X)[:, 0]
    try:
        return as_texts(name, X)
    except InputError as error:
        raise FitError(str(error)) from None


def _examples_of(texts: list[str]) -> Examples:
    """Texts as a file of them is read."""
    return Examples(texts, None, None, list(range(1, len(texts) + 1)), "X")
