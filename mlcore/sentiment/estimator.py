"""The classifier for Python programs: follows scikit-learn's estimator API without needing scikit-learn."""

import copy
import dataclasses
import warnings
from collections.abc import Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache, partial, partialmethod
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.errors import DataError, InputError, ModelFileError, NotFittedError, ShapeError, written
from mlcore.kernels.compiling import watch_compilation
from mlcore.sentiment import arguments
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.arguments import Classes, Indicators, described, plain
from mlcore.sentiment.evaluation import Assessment, assess
from mlcore.sentiment.explanation import Explanation, explain
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import load_model, save_model
from mlcore.sentiment.prediction import predict
from mlcore.sentiment.settings import FIELDS, Settings, given_settings
from mlcore.sentiment.training import EpochReport, State, Training, heading, row
from mlcore.templates import fill
from mlcore.text.dataset import dataset_of
from mlcore.text.labels import listed
from mlcore.text.pool import available_cores

OWN_DEFAULTS = {"dev": 0.1, "warm_start": False, "threads": None, "verbose": 0}
DEFAULTS = {name: field.default for name, field in FIELDS.items()} | OWN_DEFAULTS
FIELDS_OF_INIT = [(name, Any, default) for name, default in DEFAULTS.items()]
_Parameters = dataclasses.make_dataclass("SentimentClassifier", FIELDS_OF_INIT, kw_only=True, repr=False, eq=False)


class SentimentClassifier(_Parameters):  # type: ignore[misc, valid-type]
    """Exercise 5's network for labelled texts: embedding, mean, dense ReLU layer, dense layer.

    Its parameters are the settings of ``mlcore train-sentiment`` (see ``mlcore.sentiment.settings.Settings``) and four
    more. ``dev``: the fraction of the texts to hold out, for choosing the best epoch and stopping early; 0 for none.
    ``warm_start``: fit continues from the fitted model, keeps its labels and words, and adds the new words.
    ``class_weight`` may also be None, or a dict of labels. ``threads``: by default as many as there are cores; joblib
    (``n_jobs``) gives each of its processes a share. ``verbose``: print a line after each epoch, and one before kernels
    are compiled, which takes some seconds once on a machine.
    Equal texts, labels and parameters give the same model, byte for byte, with any number of threads.

    With ``loss="squared"`` it is a regressor: the labels are numbers, predict gives numbers, and score is R^2. With a
    matrix of 0 and 1 as ``sklearn.preprocessing.MultiLabelBinarizer`` makes it, a row for each text and a column for
    each label, a text may have several labels or none: predict gives such a matrix.

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

        ``y``: (n,); where a text may have several labels (n, labels) of 0 and 1, also sparse, or as a data frame whose
        columns name the labels.
        ``sample_weight``: (n,) weights of the texts in the loss, of which only the ratios matter.

        An epoch that diverges is repeated with half the learning rate, and a warning. After Ctrl-C or a DivergedError
        the estimator has the best complete epoch, or, if there was none, what it had before.

        Raises: InputError if a parameter, a text or a label is wrong; ShapeError if texts and labels differ in number.
        """
        with self._watched():
            return self._train(X, y, None, sample_weight, self.warm_start, plain(self.dev), {})

    def partial_fit(
        self, X: Iterable[str], y: Any, classes: Any = None, sample_weight: Iterable[float] | None = None
    ) -> "SentimentClassifier":
        """Train the fitted model, or a new one, for one epoch on texts with their labels, and hold none out.

        The model keeps its labels and words, and gets the new words. ``classes``: (labels,), all that there will be;
        for the first call, unless its texts have them all.

        Raises: as fit.
        """
        with self._watched():
            return self._train(X, y, classes, sample_weight, True, 0, {"epochs": 1})

    def _watched(self) -> AbstractContextManager[None]:
        """With ``verbose``, say before the first kernel is compiled that this takes a while."""
        say_once = cache(partial(_say, "Compiling kernels, once: later runs load them from the cache."))
        return watch_compilation(lambda kernel: say_once()) if self.verbose else nullcontext()

    def _train(
        self, X: Iterable[str], y: Any, classes: Any, sample_weight: Iterable[float] | None,
        continues: Any, dev: Any, changes: dict[str, Any],
    ) -> "SentimentClassifier":  # fmt: skip
        """Fit with these changes of the settings; if it ``continues``, from the fitted model, if there is one."""
        threads, earlier = self._checked_threads(), self._fitted[0] if continues and hasattr(self, "_fitted") else None
        if not isinstance(dev, int | float) or isinstance(dev, bool) or not 0 <= dev < 1:
            raise InputError("expected a fraction from 0 to less than 1", parameter="dev", value=dev)
        settings, texts = self.settings(**changes), arguments.texts_of(X)
        known = arguments.all_labels(classes, earlier.labels if earlier else None)
        names: Sequence[str | tuple[str, ...]]
        if matrix := Indicators.read(y, len(texts)):
            settings = dataclasses.replace(settings, multi_label=True)
            names, kind, known = matrix.names(), matrix.kind, matrix.labels
        else:
            names, kind = arguments.written_labels(y, settings.loss == "squared", len(texts))
        weights = arguments.weights_of(sample_weight, len(texts))
        dataset = dataclasses.replace(dataset_of(texts, names, threads), weights=weights)
        try:
            training = Training(dataset, settings, dev, threads, labels=known, earlier=earlier)
        except DataError as error:  # the texts and labels are arguments here
            raise InputError(error.message, suggestion=error.suggestion) from None
        for warning in training.data.warnings:
            warnings.warn(warning, stacklevel=3)
        # The type of the labels is kept for load; that it is there says that the model was trained from Python
        fitted_classes = Classes.read(training.begin({"dev": repr(dev), "labels": kind}), kind)

        def on_epoch(report: EpochReport, state: State) -> None:
            if report.warning:
                warnings.warn(report.warning, stacklevel=5)
            if self.verbose:
                _say(row(training.model, report))

        def on_model(model: Model) -> None:
            self._fitted = model, fitted_classes  # at once, so that another thread sees either none of it or all

        if self.verbose:
            _say(heading(training.model))
        training.run(on_epoch=on_epoch, on_model=on_model)
        return self

    def settings(self, **changes: Any) -> Settings:
        """The parameters that are settings, with these changes.

        Raises: InputError if one is wrong.
        """
        given = {name: arguments.setting_of(getattr(self, name)) for name in FIELDS} | changes
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
        return np.asarray(model.probabilities(logits)[:, classes.numbers])

    def decision_function(self, X: Iterable[str]) -> np.ndarray:
        """Logits in the order of ``classes_``, (n, labels) float64; with two labels that of the second, (n,)."""
        _, classes, found = self._logits(X, "decision_function")
        logits = found.astype(np.float64)
        return logits[:, classes.numbers] if logits.shape[1] > 1 else logits[:, 0] * (1 if classes.numbers[1] else -1)

    def score(self, X: Iterable[str], y: Any, sample_weight: Iterable[float] | None = None) -> float:
        """Accuracy, or with loss="squared" R^2 of the numbers; of several labels of a text all must be right."""
        model, classes, logits = self._logits(X, least=1)
        predicted, weights = _decisions(model, classes, logits), arguments.weights_of(sample_weight, len(logits))
        if classes is None:
            truth = arguments.numbers_of(y, "y", len(logits))
            weights = np.ones(len(truth)) if weights is None else weights
            unexplained = np.sum(weights * (truth - predicted) ** 2)
            total = np.sum(weights * (truth - np.average(truth, weights=weights)) ** 2)
            return float(1 - unexplained / total) if total else float(unexplained == 0)
        if predicted.ndim > 1:
            right = (predicted == _matrix(model, y, len(logits)).values).all(axis=1)
        else:
            truth, kind = arguments.labels_of(y, len(logits))
            if (kind == "str") != (classes.kind == "str"):
                raise InputError(f"y has labels of type {kind}; the model was fitted with {classes.kind}.")
            right = predicted == truth
        return float(np.average(right, weights=weights))

    def explain(self, text: str, output: Any = None) -> Explanation:
        """What each word contributes to the prediction for a text, or to the ``output`` of another label.

        See ``mlcore.sentiment.explanation.explain``.
        """
        if not isinstance(text, str):
            raise InputError(f"text is {described(text)}; expected one text, a str.")
        if not isinstance(output, Hashable):
            raise InputError(f"output is {described(output)}; expected one of the model's labels.")
        return explain(self._model()[0], text, None if output is None else self._written([output])[0])

    def answer(
        self, X: Iterable[str], top: int | None = None, threshold: float | None = None, otherwise: str = ""
    ) -> list[dict[str, Any]]:
        """What ``mlcore predict`` says of each text as JSON, also how much of it is known: rows of a data frame.

        See ``mlcore.sentiment.answers.Answers`` for the options.

        Example:
            >>> model = SentimentClassifier(dim=8, dev=0).fit(["good film", "bad film"] * 9, ["pos", "neg"] * 9)
            >>> found = model.answer(["good plot", "x"], threshold=0.6, otherwise="?")
            >>> [(one["label"], one["known"]) for one in found]
            [('pos', 0.5), ('?', 0.0)]
        """
        found = predict(self._model()[0], arguments.texts_of(X), self._checked_threads())
        return found.to_dicts(Answers(top=plain(top), threshold=plain(threshold), otherwise=otherwise))

    def evaluate(self, X: Iterable[str], y: Any, errors: int = 0) -> Assessment:
        """All figures of ``mlcore evaluate`` on texts with their labels, as for fit, and so many of the worst mistakes.

        Raises: InputError if a text or a label is wrong, or there is none; ShapeError if texts and labels differ in
            number.
        """
        (model, classes), texts, threads = self._model(), arguments.texts_of(X, least=1), self._checked_threads()
        if not isinstance(errors, Integral) or errors < 0:
            raise InputError("expected a whole number from 0 up", parameter="errors", value=errors)
        names: Sequence[str | tuple[str, ...]]
        if model.settings.multi_label:
            names = _matrix(model, y, len(texts)).names()
        elif classes:
            names = self._written(arguments.labels_of(y, len(texts))[0].tolist())
        else:
            names, _ = arguments.written_labels(y, True, len(texts))
        return assess(model, dataset_of(texts, names, threads), errors, threads)

    def _written(self, values: Iterable[Any]) -> list[str]:
        """How labels are written in the model; those that it does not have as they are."""
        model, classes = self._model()
        pairs = zip(classes.values.tolist(), classes.numbers.tolist(), strict=True) if classes else ()
        known = {value: model.labels[number] for value, number in pairs}
        return [known.get(value, written(value, str)) for value in values]

    def _repr_html_(self) -> str:
        """The parameters, and after fit the epochs and what the model is, for notebooks."""
        from mlcore.sentiment.report import describe, training_charts

        description = describe(self._fitted[0]) if hasattr(self, "_fitted") else None
        charts = training_charts(description) if description else []
        return fill("notebook.html", estimator=repr(self), description=description, charts=charts)

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
            kind = inputs.get("labels", arguments.kind_of(model.labels))
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

    def _request(self, method: str, *, sample_weight: bool | str | None) -> "SentimentClassifier":
        """Let scikit-learn's meta-estimators pass sample weights to a method, or not."""
        self._metadata_request = self.get_metadata_routing()
        getattr(self._metadata_request, method).add_request(param="sample_weight", alias=sample_weight)
        return self

    set_fit_request = partialmethod(_request, "fit")
    set_partial_fit_request = partialmethod(_request, "partial_fit")
    set_score_request = partialmethod(_request, "score")

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

    def _logits(self, X: Iterable[str], method: str = "", least: int = 0) -> tuple[Model, Any, np.ndarray]:
        """The model, its classes, which ``method`` needs, and its outputs; a fit meanwhile does not mix two models."""
        model, classes = self._model()
        if method and classes is None:
            raise InputError(f"{method} needs labels; a model for numbers (loss='squared') has predict.")
        threads, texts = self._checked_threads(), arguments.texts_of(X, least)
        return model, classes, model.logits(model.features.documents(texts, threads), threads=threads)

    def _checked_threads(self) -> int:
        threads = plain(self.threads)
        if threads is not None and (type(threads) is not int or threads < 1):
            expected = "expected a whole number from 1 up, or None for all cores"
            raise InputError(expected, parameter="threads", value=threads)
        return threads or available_cores()


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201, verbose asks for it


def _decisions(model: Model, classes: Classes | None, logits: np.ndarray) -> np.ndarray:
    if classes is None:
        return model.within_range(logits)[:, 0].astype(np.float64)
    if model.settings.multi_label:
        return model.decide(logits)[:, classes.numbers].astype(np.int64)
    return np.asarray(classes.values[np.argsort(classes.numbers)[model.decide(logits)]])


def _matrix(model: Model, y: Any, texts: int) -> Indicators:
    """Which of the model's labels each text has."""
    matrix = Indicators.read(y, texts)
    if matrix is None or len(matrix.labels) != len(model.labels):
        expected = f"a matrix of 0 and 1 of shape {(texts, len(model.labels))}, as for fit"
        raise ShapeError(f"y is {described(y)}; expected {expected}.")
    numbered = tuple(map(str, range(len(model.labels))))  # as the columns of an array are
    if hasattr(y, "columns") and {*matrix.labels} == {*model.labels}:
        matrix = matrix._replace(values=matrix.values[:, [matrix.labels.index(label) for label in model.labels]])
    elif hasattr(y, "columns") and model.labels != numbered:
        found, expected = listed(matrix.labels), listed(model.labels)
        raise InputError(f"y has the columns {found}; expected those of fit, {expected}, in any order.")
    return matrix._replace(labels=model.labels)
