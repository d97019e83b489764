"""The classifier for Python programs: follows scikit-learn's estimator API without needing scikit-learn."""

import copy
import dataclasses
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import DataError, InputError, ModelFileError, NotFittedError, ShapeError
from mlcore.sentiment.explanation import Explanation, explain
from mlcore.sentiment.initialization import continued, facts_of, new_model
from mlcore.sentiment.model import Model, Provenance
from mlcore.sentiment.model_file import load_model, save_model
from mlcore.sentiment.settings import FIELDS, Settings, given_settings
from mlcore.sentiment.training import EpochReport, State, train
from mlcore.text.dataset import dataset_of, encode
from mlcore.text.labels import LARGEST_RATING, is_label, listed, ordered
from mlcore.text.pool import available_cores

DEFAULTS = {name: field.default for name, field in FIELDS.items()} | {"dev": 0.1, "warm_start": False, "threads": None}
FIELDS_OF_INIT = [(name, Any, default) for name, default in DEFAULTS.items()]
_Parameters = dataclasses.make_dataclass("SentimentClassifier", FIELDS_OF_INIT, kw_only=True, repr=False, eq=False)


class SentimentClassifier(_Parameters):  # type: ignore[misc, valid-type]
    """Exercise 5's network for labelled texts: embedding, mean, dense ReLU layer, dense layer.

    Its parameters are the settings of ``mlcore train-sentiment`` (see ``mlcore.sentiment.settings.Settings``) and three
    more. ``dev``: the fraction of the texts to hold out, for choosing the best epoch and stopping early; 0 for none.
    ``warm_start``: fit continues from the fitted model, keeps its labels and words, and adds the new words.
    ``class_weight`` may also be None, or a dict of labels. ``threads``: by default as many as there are cores; joblib
    (``n_jobs``) gives each of its processes a share.
    Equal texts, labels and parameters give the same model, byte for byte, with any number of threads.

    With ``loss="squared"`` it is a regressor: the labels are numbers, predict gives numbers, and score is R^2. With a
    list of labels for each text, or a matrix of 0 and 1 as ``sklearn.preprocessing.MultiLabelBinarizer`` makes it, a
    row for each text and a column for each label, a text may have several labels or none: predict gives such a matrix.

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

    def fit(self, X: Iterable[str], y: Any, sample_weight: Iterable[float] | None = None) -> "SentimentClassifier":
        """Train a new model on texts with their labels, all str, int or bool, or on numbers to predict.

        ``y``: (n,); where a text may have several labels, a list of them for each text, or (n, labels) of 0 and 1, also
        sparse, or as a data frame whose columns name the labels.
        ``sample_weight``: (n,) weights of the texts in the loss, of which only the ratios matter.

        An epoch that diverges is repeated with half the learning rate, and a warning. After Ctrl-C or a DivergedError
        the estimator has the best complete epoch, or, if there was none, what it had before.

        Raises: InputError if a parameter, a text or a label is wrong; ShapeError if texts and labels differ in number.
        """
        earlier = self._fitted if self.warm_start and hasattr(self, "_fitted") else None
        return self._train(X, y, None, sample_weight, earlier, _plain(self.dev), {})

    def partial_fit(
        self, X: Iterable[str], y: Any, classes: Any = None, sample_weight: Iterable[float] | None = None
    ) -> "SentimentClassifier":
        """Train the fitted model, or a new one, for one epoch on texts with their labels, and hold none out.

        The model keeps its labels and words, and gets the new words. ``classes``: (labels,), all that there will be;
        for the first call, unless its texts have them all.

        Raises: as fit.
        """
        earlier = getattr(self, "_fitted", None)
        return self._train(X, y, classes, sample_weight, earlier, 0, {"epochs": 1})

    def _train(
        self, X: Iterable[str], y: Any, all_labels: Any, sample_weight: Iterable[float] | None,
        fitted: "tuple[Model, Classes | None] | None", dev: Any, changes: dict[str, Any],
    ) -> "SentimentClassifier":  # fmt: skip
        """Fit with these changes of the settings, perhaps from a fitted model."""
        threads, earlier = self._checked_threads(), fitted[0] if fitted else None
        if not isinstance(dev, int | float) or isinstance(dev, bool) or not 0 <= dev < 1:
            raise InputError("expected a fraction from 0 to less than 1", parameter="dev", value=dev)
        settings = self.settings(**changes)
        settings = continued(settings, earlier.settings) if earlier else settings
        texts = texts_of(X)
        weights = _weights_of(sample_weight, len(texts))
        known = earlier.labels if earlier else None
        if all_labels is not None:
            found, kind = _labels_of(all_labels, False, None)
            named = ordered({KINDS[kind][1](label) for label in found.tolist()})
            if len(named) < 2 or (known or named) != named:
                expected = f"the labels of the model, {listed(known)}" if known else "two or more labels"
                raise InputError(f"classes are {listed(named)}; expected {expected}.")
            known = named
        names: Sequence[str | tuple[str, ...]]
        if matrix := Indicators.read(y, len(texts), known):
            settings = dataclasses.replace(settings, multi_label=True)
            names, kind, known = matrix.names(), matrix.kind, matrix.labels
        else:
            names, kind = written_labels(y, settings.loss == "squared", len(texts))
        dataset = dataset_of(texts, names, threads)
        facts = facts_of(dataset, dev)
        facts = facts._replace(labels=len(known)) if known else facts
        chosen, settings = settings.automatic(), settings.resolved(facts)
        try:
            features = earlier.features if earlier else None
            data = encode(dataset, dev, **settings.encoding(), labels=known, known=features, threads=threads)
        except DataError as error:  # the texts and labels are arguments here
            raise InputError(error.message, suggestion=error.suggestion) from None
        data = data if weights is None else data.weighted(weights)
        for warning in data.warnings:
            warnings.warn(warning, stacklevel=3)
        # The type of the labels is kept for load; that it is there says that the model was trained from Python
        inputs: dict[str, str | list[str]] = {"dev": repr(dev), "labels": kind}
        begin = partial(new_model, threads=threads, earlier=earlier)
        model = begin(data, settings)
        classes = Classes.read(model, kind)
        model.provenance = Provenance(inputs, dataset.fingerprint, data.sizes, chosen=chosen)

        def on_epoch(report: EpochReport, state: State) -> None:
            if report.warning:
                warnings.warn(report.warning, stacklevel=5)

        def on_model(model: Model, reports: list[EpochReport]) -> None:
            self._fitted = model, classes  # at once, so that another thread sees either none of it or all

        train(model, data, begin, threads, on_epoch=on_epoch, on_model=on_model)
        return self

    def settings(self, **changes: Any) -> Settings:
        """The parameters that are settings, with these changes.

        Raises: InputError if one is wrong.
        """
        given = {name: _setting(getattr(self, name)) for name in FIELDS} | changes
        return Settings(**given | {"class_weight": given["class_weight"] or "none"})

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """Most probable label of each text, of the type that fit was given, or its number (float64): (n,).

        Where texts may have several labels: 1 for each that is predicted, else 0, (n, labels) int64.
        """
        return _decisions(*self._logits(X))

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """Probabilities of the labels in the order of ``classes_``: (n, labels) float64.

        They sum to 1, unless texts may have several labels.
        """
        model, classes, logits = self._logits(X, "predict_proba")
        return model.probabilities(logits)[:, classes.numbers] if classes else logits

    def decision_function(self, X: Iterable[str]) -> np.ndarray:
        """Logits in the order of ``classes_``, (n, labels) float64; with two labels that of the second, (n,)."""
        _, classes, found = self._logits(X, "decision_function")
        logits, numbers = found.astype(np.float64), classes.numbers if classes else np.zeros(0, np.int64)
        return logits[:, numbers] if logits.shape[1] > 1 else logits[:, 0] * (1 if numbers[1] == 1 else -1)

    def score(self, X: Iterable[str], y: Any, sample_weight: Iterable[float] | None = None) -> float:
        """Accuracy, or with loss="squared" R^2 of the numbers; of several labels of a text all must be right."""
        model, classes, logits = self._logits(X)
        predicted, weights = _decisions(model, classes, logits), _weights_of(sample_weight, len(logits))
        if predicted.ndim > 1:
            matrix = Indicators.read(y, len(logits), model.labels)
            if matrix is None or matrix.values.shape != predicted.shape:
                expected = f"lists of labels, or a matrix of 0 and 1 of shape {predicted.shape}, as for fit"
                raise ShapeError(f"y is {_described(y)}; expected {expected}.")
            return float(np.average((predicted == matrix.values).all(axis=1), weights=weights))
        truth, kind = _labels_of(y, classes is None, len(logits))
        if classes:
            if (kind == "str") != (classes.kind == "str"):
                raise InputError(f"y has labels of type {kind}; the model was fitted with {classes.kind}.")
            return float(np.average(predicted == truth, weights=weights))
        weights = np.ones(len(truth)) if weights is None else weights
        unexplained = np.sum(weights * (truth - predicted) ** 2)
        total = np.sum(weights * (truth - np.average(truth, weights=weights)) ** 2)
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
        return cls.of_model(load_model(Path(path)), str(path))

    @classmethod
    def of_model(cls, model: Model, name: str = "The model") -> "SentimentClassifier":
        """A fitted estimator with this model, which messages name so.

        Raises: ModelFileError if its labels are not what it says of them.
        """
        inputs, loaded = model.provenance.inputs, cls(**given_settings(model))
        with suppress(TypeError, ValueError):  # the command line may have been given a file of texts to hold out
            loaded.dev = float(inputs.get("dev", loaded.dev))  # type: ignore[arg-type]
        try:
            kind = inputs.get("labels", kind_of(model.labels))
            classes = Classes.read(model, kind)
        except (KeyError, TypeError, ValueError):
            raise ModelFileError(f"{name} has labels that are not of the type that it names; train it again.") from None
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

    # scikit-learn's metadata routing, as its BaseEstimator does it

    def set_fit_request(self, *, sample_weight: bool | str | None) -> "SentimentClassifier":
        """Let scikit-learn's meta-estimators pass sample weights to fit, or not."""
        return self._request("fit", sample_weight)

    def set_partial_fit_request(self, *, sample_weight: bool | str | None) -> "SentimentClassifier":
        """Let scikit-learn's meta-estimators pass sample weights to partial_fit, or not."""
        return self._request("partial_fit", sample_weight)

    def set_score_request(self, *, sample_weight: bool | str | None) -> "SentimentClassifier":
        """Let scikit-learn's meta-estimators pass sample weights to score, or not."""
        return self._request("score", sample_weight)

    def _request(self, method: str, alias: bool | str | None) -> "SentimentClassifier":
        routing = self.get_metadata_routing()
        getattr(routing, method).add_request(param="sample_weight", alias=alias)
        self._metadata_request = routing
        return self

    def get_metadata_routing(self) -> Any:
        """What this estimator wants to be given, as a scikit-learn MetadataRequest."""
        from sklearn.utils.metadata_routing import MetadataRequest

        if hasattr(self, "_metadata_request"):
            return copy.deepcopy(self._metadata_request)
        routing = MetadataRequest(owner=type(self).__name__)
        for method in ("fit", "partial_fit", "score"):
            getattr(routing, method).add_request(param="sample_weight", alias=None)
        return routing

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
        return model, classes, model.logits(model.features.documents(texts_of(X), threads), threads=threads)

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
    """The labels in scikit-learn's order, which is ascending, or that of a matrix's columns; and their numbers."""

    values: np.ndarray  # (labels,)
    kind: str  # of KINDS
    numbers: np.ndarray  # (labels,) of the model's labels

    @classmethod
    def read(cls, model: Model, kind: Any) -> "Classes | None":
        """The labels of a model, read as values of this kind; None if it has none.

        Raises: KeyError, TypeError or ValueError if they are not.
        """
        if not model.labels:
            return None
        given = np.array([KINDS[kind][2](label) for label in model.labels])
        values, numbers = np.unique(given, return_index=True)
        if len(values) < len(given):
            raise ValueError("two labels have the same value")
        return cls(given, kind, np.arange(len(given))) if model.settings.multi_label else cls(values, kind, numbers)


class Indicators(NamedTuple):
    """Which labels each text has."""

    values: np.ndarray  # (n, labels) of 0 and 1
    labels: tuple[str, ...]  # of the columns
    kind: str  # of KINDS

    @classmethod
    def read(cls, y: Any, texts: int, known: tuple[str, ...] | None = None) -> "Indicators | None":
        """Labels that are given as a matrix, also a sparse one or a data frame, or as a list for each text.

        None if y has another shape. ``known``: all labels that there are; of lists, None takes those that occur.

        Raises: InputError if a matrix has other values than 0 and 1, or a list something that is not a label;
        ShapeError if the number of rows is wrong.
        """
        if not isinstance(y, str | bytes | Mapping | Set | Iterator) and _dimensions(y) == 1:
            rows = _listed(y, "y", "labels, such as ['pos', 'neg']")
            if not rows or not all(isinstance(row, list | tuple | Set | np.ndarray) for row in rows):
                return None
            if any(isinstance(label, str) for row in rows for label in row) or len({*map(len, rows)}) > 1:
                return cls.of_lists(rows, texts, known)
            y = np.array(list(map(list, rows)))
        if _dimensions(y) != 2:
            return None
        columns = getattr(y, "columns", range(y.shape[1]))
        names, kind = _labels_of(columns, False, y.shape[1])
        values = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
        if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            raise InputError(f"y is {_described(y)}; expected only 0 and 1 in a matrix of labels.")
        if values.shape[1] < 2:
            raise ShapeError(
                "y is a matrix of one column; expected a column for each of two or more labels, or a list."
            )
        if len(values) != texts:
            raise ShapeError(f"X has {texts:,} texts, but y has {len(values):,} rows; give each text one row.")
        return cls(values.astype(np.int64), tuple(KINDS[kind][1](name) for name in names.tolist()), kind)

    @classmethod
    def of_lists(cls, rows: list[Any], texts: int, known: tuple[str, ...] | None) -> "Indicators":
        """Labels that are given as a list for each text."""
        if len(rows) != texts:
            raise ShapeError(f"X has {texts:,} texts, but y has {len(rows):,} lists of labels; give each text one.")
        owners = np.repeat(np.arange(len(rows)), list(map(len, rows)))
        found, kind = _labels_of([label for row in rows for label in row], False, None, owners)
        names = [KINDS[kind][1](label) for label in found.tolist()]
        labels = known or ordered(set(names))
        numbers = {label: number for number, label in enumerate(labels)}
        for owner, name in zip(owners.tolist(), names, strict=True):
            if name not in numbers:
                raise InputError(f"y[{owner}] has the label {name!r}; expected {listed(labels)}.")
        if len(labels) < 2:
            raise InputError(f"y has the labels {listed(labels) or 'of no text'}; expected two or more.")
        values = np.zeros((texts, len(labels)), np.int64)
        values[owners, [numbers[name] for name in names]] = 1
        return cls(values, labels, kind)

    def names(self) -> list[tuple[str, ...]]:
        """The labels of each text."""
        return [tuple(self.labels[column] for column in np.flatnonzero(row)) for row in self.values]


def _decisions(model: Model, classes: Classes | None, logits: np.ndarray) -> np.ndarray:
    if classes is None:
        return model.within_range(logits)[:, 0].astype(np.float64)
    if model.settings.multi_label:
        return model.decide(logits)[:, classes.numbers].astype(np.int64)
    return np.asarray(classes.values[np.argsort(classes.numbers)[model.decide(logits)]])


def texts_of(X: Iterable[str]) -> list[str]:
    """A list of texts.

    Raises: InputError if something in it is not a text.
    """
    texts = _listed(X, "X", "texts, such as ['A good film.']")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"X[{i}] is {_described(text)}; expected a text, a str.")
    return texts


def written_labels(y: Iterable[Any], ratings: bool, texts: int) -> tuple[list[str], str]:
    """Labels, or ratings, of so many texts as strings, and their kind.

    Raises: InputError if they are wrong; ShapeError if their number is.
    """
    values, kind = _labels_of(y, ratings, texts)
    written = {value: repr(value) if ratings else KINDS[kind][1](value) for value in set(values.tolist())}
    return [written[value] for value in values.tolist()], kind


def _labels_of(
    y: Iterable[Any], ratings: bool, texts: int | None, rows: Sequence[int] | np.ndarray | None = None
) -> tuple[np.ndarray, str]:
    """All labels of one type, or ratings as float64, as many as there are texts, and their kind; ``rows`` of y."""
    such_as = "numbers, such as [4, 2.5]" if ratings else "labels, such as ['pos', 'neg']"
    labels = _listed(y, "y", such_as) if rows is None else list(y)
    kinds = [next((kind for kind, (types, *_) in KINDS.items() if isinstance(label, types)), "") for label in labels]
    expected = "labels of one type: text without control characters, int or bool (numbers take loss='squared')"
    expected = f"a number up to {LARGEST_RATING:g}" if ratings else expected
    for i, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        valid = kind == "int" if ratings else bool(kind) and kind == kinds[0]
        if valid and kind == "int":
            valid = abs(label) <= LARGEST_RATING if ratings else label % 1 == 0
        if not valid or (kind == "str" and not is_label(label)):
            raise InputError(f"y[{i if rows is None else rows[i]}] is {_described(label)}; expected {expected}.")
    if texts not in (None, len(labels)):
        raise ShapeError(f"X has {texts:,} texts, but y has {len(labels):,} labels; give each text one label.")
    return np.array(labels, np.float64 if ratings else None), kinds[0] if kinds else "str"


def _listed(values: Iterable[Any], name: str, expected: str) -> list[Any]:
    """A list of the values, which must be one-dimensional and have an order; none may be missing."""
    if not isinstance(values, str | bytes | Mapping | Set) and _dimensions(values) == 1:
        to_list = next((getattr(values, way) for way in ("to_pylist", "to_list") if hasattr(values, way)), None)
        with suppress(TypeError):
            listed = to_list() if to_list else list(values)  # of pyarrow; of pandas and Polars; or of any other
            for i, value in enumerate(listed):
                if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
                    raise InputError(f"{name}[{i}] is missing ({value!r}); leave the row out, or fill it in.")
            return listed
    raise InputError(f"{name} is {_described(values)}; expected a list of {expected}.")


def _dimensions(values: Any) -> int:
    """How many dimensions an array, a column or a data frame has; 1 for anything else."""
    return len(getattr(values, "shape", (0,)))


def _described(value: object) -> str:
    """A wrong value for a message, short whatever it is."""
    if isinstance(value, str | bytes | int | float | type(None)) and len(repr(value)) <= 40:
        return repr(value)
    shape = getattr(value, "shape", None)
    return f"of type {type(value).__name__}{f' and shape {shape}' if shape else ''}"


def _weights_of(weights: Iterable[float] | None, texts: int) -> np.ndarray | None:
    if weights is None:
        return None
    values = np.array(_listed(weights, "sample_weight", "numbers, such as [1, 0.5]"))
    if values.shape != (texts,):
        raise ShapeError(f"X has {texts:,} texts, but sample_weight has {len(values):,} numbers; give each text one.")
    if values.dtype.kind not in "biuf" or not (np.isfinite(values) & (values >= 0)).all():
        raise InputError("sample_weight has values that are no weights; expected finite numbers from 0 up.")
    if not values.any():
        raise InputError("sample_weight is 0 for all texts; expected a number above 0 for some.")
    return values.astype(np.float64)


def _setting(value: Any) -> Any:
    """A parameter as a setting has it: weights of labels are a JSON object."""
    if not isinstance(value, Mapping):
        return _plain(value)
    writers = {kind: write for kinds, write, _ in KINDS.values() for kind in kinds}
    names = {label: next((w for kind, w in writers.items() if isinstance(label, kind)), str)(label) for label in value}
    return json.dumps({names[label]: _plain(weight) for label, weight in value.items()})


def _plain(value: Any) -> Any:
    """NumPy's numbers and strings, as a grid of parameters has them, as Python's."""
    return value.item() if isinstance(value, np.generic) else value
