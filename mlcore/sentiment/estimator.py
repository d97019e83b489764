"""The classifier for Python programs: follows scikit-learn's estimator API without needing scikit-learn."""

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import suppress
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import DataError, InputError, ModelFileError, NotFittedError, ShapeError
from mlcore.sentiment import training
from mlcore.sentiment.explanation import Explanation, explain
from mlcore.sentiment.initialization import facts_of, new_model
from mlcore.sentiment.model import Model, Provenance
from mlcore.sentiment.model_file import load_model, save_model
from mlcore.sentiment.settings import FIELDS, Settings, given_settings
from mlcore.text.dataset import dataset_of, encode
from mlcore.text.labels import LARGEST_RATING, is_label
from mlcore.text.pool import available_cores

DEFAULTS = {name: field.default for name, field in FIELDS.items()} | {"dev": 0.1, "threads": None}
FIELDS_OF_INIT = [(name, Any, default) for name, default in DEFAULTS.items()]
_Parameters = dataclasses.make_dataclass("SentimentClassifier", FIELDS_OF_INIT, kw_only=True, repr=False, eq=False)


class SentimentClassifier(_Parameters):  # type: ignore[misc, valid-type]
    """Exercise 5's network for labelled texts: embedding, mean, dense ReLU layer, dense layer.

    Its parameters are the settings of ``mlcore train-sentiment`` (see ``mlcore.sentiment.settings.Settings``) and two
    more. ``dev``: the fraction of the texts to hold out, for choosing the best epoch and stopping early; 0 for none.
    ``threads``: by default as many as there are cores; joblib (``n_jobs``) gives each of its processes a share.
    Equal texts, labels and parameters give the same model, byte for byte, with any number of threads.

    With ``loss="squared"`` it is a regressor: the labels are numbers, predict gives numbers, and score is R^2.

    Works in Pipeline, cross_val_score and GridSearchCV; fit checks the parameters. Several threads may use one
    estimator at the same time. To exchange models, use ``save`` and ``load``: unlike a pickle, that file runs no code.

    Example:
        >>> texts = ["A good, warm film.", "A bad, dull film.", "Good fun!", "Bad plot."] * 5
        >>> SentimentClassifier(dim=8, dev=0).fit(texts, [1, 0, 1, 0] * 5).predict(["good plot, good fun", "dull"])
        array([1, 0])
    """

    _fitted: "tuple[Model, Classes | None]"

    def __repr__(self) -> str:
        shown = {name: repr(value) for name, value in self.get_params().items() if repr(value) != repr(DEFAULTS[name])}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters as they were given; ``deep`` makes no difference, because none is an estimator."""
        return {name: getattr(self, name) for name in DEFAULTS}

    def set_params(self, **parameters: Any) -> "SentimentClassifier":
        """Change parameters, which the next fit checks and uses."""
        for name in parameters.keys() - DEFAULTS.keys():
            raise InputError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(DEFAULTS)}.")
        self.__dict__.update(parameters)
        return self

    def fit(self, X: Iterable[str], y: Iterable[Any]) -> "SentimentClassifier":
        """Train a new model on texts with their labels, all str, int or bool, or on numbers to predict.

        An epoch that diverges is repeated with half the learning rate, and a warning. After Ctrl-C or a DivergedError
        the estimator has the best complete epoch, or, if there was none, what it had before.

        Raises: InputError if a parameter, a text or a label is wrong; ShapeError if texts and labels differ in number.
        """
        dev, threads = _plain(self.dev), self._checked_threads()
        if not isinstance(dev, int | float) or isinstance(dev, bool) or not 0 <= dev < 1:
            raise InputError("expected a fraction from 0 to less than 1", parameter="dev", value=dev)
        settings = Settings(**{name: _plain(getattr(self, name)) for name in FIELDS})
        texts = _texts_of(X)
        labels, kind = _labels_of(y, settings.loss == "squared", len(texts))
        write: Callable[[Any], str] = repr if settings.loss == "squared" else KINDS[kind][1]  # ratings are float64
        names = {value: write(value) for value in set(labels.tolist())}
        dataset = dataset_of(texts, [names[value] for value in labels.tolist()], threads)
        chosen, settings = settings.automatic(), settings.resolved(facts_of(dataset, dev))
        try:
            data = encode(dataset, dev, **settings.encoding(), threads=threads)
        except DataError as error:  # the texts and labels are arguments here
            raise InputError(error.message, suggestion=error.suggestion) from None
        for warning in data.warnings:
            warnings.warn(warning, stacklevel=2)
        # The type of the labels is kept for load; that it is there says that the model was trained from Python
        inputs: dict[str, str | list[str]] = {"dev": repr(dev), "labels": kind}
        classes = Classes.read(data.labels, kind) if data.labels else None
        model, reports = new_model(data, settings, threads=threads), []
        model.provenance = Provenance(inputs, dataset.fingerprint, data.sizes, chosen=chosen)
        try:
            for report in training.fit(model, data.train, data.dev, threads):
                reports.append(report)
                if report.warning:
                    warnings.warn(report.warning, stacklevel=2)
        finally:
            if reports:
                training.conclude(model, data, reports, threads)
                self._fitted = model, classes  # at once, so that another thread sees either none of it or all
        if data.whole:
            model = training.refit(model, data, reports, partial(new_model, threads=threads), threads)
            self._fitted = model, classes
        return self

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """Most probable label of each text, of the type that fit was given, or its number (float64): (n,)."""
        return _decisions(*self._logits(X))

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """Probabilities of the labels in the order of ``classes_``, which sum to 1: (n, labels) float64."""
        model, classes, logits = self._logits(X, "predict_proba")
        return model.probabilities(logits)[:, classes.numbers] if classes else logits

    def decision_function(self, X: Iterable[str]) -> np.ndarray:
        """Logits in the order of ``classes_``, (n, labels) float64; with two labels that of the second, (n,)."""
        _, classes, found = self._logits(X, "decision_function")
        logits, numbers = found.astype(np.float64), classes.numbers if classes else np.zeros(0, np.int64)
        return logits[:, numbers] if len(numbers) > 2 else logits[:, 0] * (1 if numbers[1] == 1 else -1)

    def score(self, X: Iterable[str], y: Iterable[Any]) -> float:
        """Accuracy, or with loss="squared" R^2 of the numbers, as in sklearn.metrics.r2_score."""
        model, classes, logits = self._logits(X)
        predicted, (truth, kind) = _decisions(model, classes, logits), _labels_of(y, classes is None, len(logits))
        if classes:
            if (kind == "str") != (classes.kind == "str"):
                raise InputError(f"y has labels of type {kind}; the model was fitted with {classes.kind}.")
            return float(np.mean(predicted == truth))
        unexplained, total = np.sum((truth - predicted) ** 2), np.sum((truth - truth.mean()) ** 2)
        return float(1 - unexplained / total) if total else float(unexplained == 0)

    def explain(self, text: str) -> Explanation:
        """What each word contributes to the prediction for a text: see ``mlcore.sentiment.explanation.explain``."""
        if not isinstance(text, str):
            raise InputError(f"text is {_described(text)}; expected one text, a str.")
        return explain(self._model()[0], text)

    def save(self, path: str | Path) -> None:
        """Write the model to a file for ``load`` and for the commands of mlcore."""
        save_model(self._model()[0], Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "SentimentClassifier":
        """Read a fitted estimator from a file that ``save`` or ``mlcore train-sentiment`` wrote.

        Raises: ModelFileError if it is not a model file, damaged, or of a newer format.
        """
        model = load_model(Path(path))
        inputs, loaded = model.provenance.inputs, cls(**given_settings(model))
        with suppress(TypeError, ValueError):  # the command line may have been given a file of texts to hold out
            loaded.dev = float(inputs.get("dev", loaded.dev))  # type: ignore[arg-type]
        try:
            kind = inputs.get("labels", kind_of(model.labels))
            classes = Classes.read(model.labels, kind) if model.labels else None
        except (KeyError, TypeError, ValueError):
            raise ModelFileError(f"{path} has labels that are not of the type that it names; train it again.") from None
        loaded._fitted = model, classes
        return loaded

    @property
    def classes_(self) -> np.ndarray:
        """The labels in ascending order: (labels,)."""
        _, classes = self._model()
        if classes is None:
            raise AttributeError("A model for numbers (loss='squared') has no classes_.")
        return classes.values

    @property
    def history_(self) -> list[dict[str, Any]]:
        """For each epoch a dict with its number, losses, accuracy, learning rate and whether it was the best so far."""
        return self._model()[0].provenance.history

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        tags = Tags("classifier", TargetTags(required=True), classifier_tags=ClassifierTags())
        if self.loss == "squared":
            tags = Tags("regressor", TargetTags(required=True), regressor_tags=RegressorTags())
        tags.input_tags = InputTags(one_d_array=True, two_d_array=False, string=True)
        return tags

    def _model(self) -> "tuple[Model, Classes | None]":
        if not hasattr(self, "_fitted"):
            raise NotFittedError(f"This {type(self).__name__} has not been fitted; call fit or load first.")
        return self._fitted

    def _logits(self, X: Iterable[str], method: str = "") -> "tuple[Model, Classes | None, np.ndarray]":
        """The model, its classes, which ``method`` needs, and its outputs; a fit meanwhile does not mix two models."""
        model, classes = self._model()
        if method and classes is None:
            raise InputError(f"{method} needs labels; a model for numbers (loss='squared') has predict.")
        threads = self._checked_threads()
        return model, classes, model.logits(model.features.documents(_texts_of(X), threads), threads=threads)

    def _checked_threads(self) -> int:
        threads = _plain(self.threads)
        if threads is not None and (type(threads) is not int or threads < 1):
            expected = "expected a whole number from 1 up, or None for all cores"
            raise InputError(expected, parameter="threads", value=threads)
        return threads or available_cores()


# Texts and labels -------------------------------------------------------------------------------------------

# Types of labels, and how to write them as the strings of a model file and read them back; in this order, because a
# bool is also a number. Whole floats, which pandas makes of integers beside a missing value, are the integers they mean
KINDS: dict[str, tuple[tuple[type, ...], Callable[[Any], str], Callable[[str], Any]]] = {
    "str": ((str,), str, str),
    "bool": ((bool, np.bool_), str, {"False": False, "True": True}.__getitem__),
    "int": ((Real,), lambda label: str(int(label)), lambda label: int(label.removesuffix(".0"))),
}


def kind_of(labels: tuple[str, ...]) -> str:
    """Kind of the labels of a model from the command line: integers if all are written so, as 1 or 1.0."""
    plain = {label.removesuffix(".0") for label in labels}
    whole = all(digits.removeprefix("-").isdecimal() and str(int(digits)) == digits for digits in plain)
    return "int" if whole and len(plain) == len(labels) else "str"


class Classes(NamedTuple):
    """The labels in scikit-learn's order, which is ascending, and the model's numbers of them."""

    values: np.ndarray  # (labels,)
    kind: str  # of KINDS
    numbers: np.ndarray  # (labels,)

    @classmethod
    def read(cls, labels: tuple[str, ...], kind: Any) -> "Classes":
        """The labels of a model, read as values of this kind.

        Raises: KeyError, TypeError or ValueError if they are not.
        """
        values, numbers = np.unique([KINDS[kind][2](label) for label in labels], return_index=True)
        if len(values) < len(labels):
            raise ValueError("two labels have the same value")
        return cls(values, kind, numbers)


def _decisions(model: Model, classes: Classes | None, logits: np.ndarray) -> np.ndarray:
    if classes is None:
        return logits[:, 0].astype(np.float64)
    return np.asarray(classes.values[np.argsort(classes.numbers)[model.decide(logits)]])


def _texts_of(X: Iterable[str]) -> list[str]:
    texts = _listed(X, "X", "texts, such as ['A good film.']")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"X[{i}] is {_described(text)}; expected a text, a str.")
    return texts


def _labels_of(y: Iterable[Any], ratings: bool, texts: int) -> tuple[np.ndarray, str]:
    """All labels of one type, or ratings as float64, and their kind."""
    labels = _listed(y, "y", "numbers, such as [4, 2.5]" if ratings else "labels, such as ['pos', 'neg']")
    kinds: list[str | None] = []
    for i, label in enumerate(labels):
        kind, problem = next((kind for kind, (types, *_) in KINDS.items() if isinstance(label, types)), None), ""
        kinds.append(kind)
        if ratings:
            if kind != "int" or not abs(label) <= LARGEST_RATING:
                problem = f"{_described(label)}; expected a number up to {LARGEST_RATING:g}"
        elif kind is None:
            problem = f"{_described(label)}; expected a label: a str, an int or a bool"
        elif kind == "int" and label % 1 != 0:  # or NaN
            problem = f"{label}; expected a label; to predict numbers, use loss='squared'"
        elif kind == "str" and not is_label(label):
            problem = f"{str(label)!r}; expected a label, some text without control characters"
        elif kind != kinds[0]:
            problem = f"of type {kind}, but y[0] of type {kinds[0]}; expected labels of one type"
        if problem:
            raise InputError(f"y[{i}] is {problem}.")
    if len(labels) != texts:
        raise ShapeError(f"X has {texts:,} texts, but y has {len(labels):,} labels; give each text one label.")
    return np.array(labels, np.float64 if ratings else None), (kinds or ["str"])[0] or ""


def _listed(values: Iterable[Any], name: str, expected: str) -> list[Any]:
    """A list of the values, which must be one-dimensional and have an order; none may be missing."""
    if not isinstance(values, str | bytes | Mapping | Set) and getattr(values, "ndim", 1) == 1:
        to_list = next((getattr(values, way) for way in ("to_pylist", "to_list") if hasattr(values, way)), None)
        with suppress(TypeError):
            listed = to_list() if to_list else list(values)  # of pyarrow; of pandas and Polars; or of any other
            for i, value in enumerate(listed):
                if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
                    raise InputError(f"{name}[{i}] is missing ({value!r}); leave the row out, or fill it in.")
            return listed
    raise InputError(f"{name} is {_described(values)}; expected a list of {expected}.")


def _described(value: object) -> str:
    """A wrong value for a message, short whatever it is."""
    if isinstance(value, str | bytes | int | float | type(None)) and len(repr(value)) <= 40:
        return repr(value)
    shape = getattr(value, "shape", None)
    return f"of type {type(value).__name__}{f' and shape {shape}' if shape else ''}"


def _plain(value: Any) -> Any:
    """NumPy's numbers and strings, as a grid of parameters has them, as Python's."""
    return value.item() if isinstance(value, np.generic) else value
