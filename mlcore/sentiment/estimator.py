"""The sentiment classifier for Python programs, by the protocol of scikit-learn's estimators, without needing it."""

import re
import warnings
from collections.abc import Iterable, Sized
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import config

from mlcore.errors import DataError, DivergedError, InputError, ModelFileError, NotFittedError, ShapeError
from mlcore.sentiment import model_file
from mlcore.sentiment.arguments import Classes, described, labels_of, ratings_of, texts_of
from mlcore.sentiment.initialization import new_classifier
from mlcore.sentiment.model import Model, Provenance
from mlcore.sentiment.settings import Settings, encoding
from mlcore.sentiment.training import available_cores, history
from mlcore.sentiment.training import fit as train
from mlcore.text.dataset import dataset_of, encode

if TYPE_CHECKING:
    from sklearn.utils import Tags

SETTINGS = tuple(field.name for field in fields(Settings))
PARAMETERS = (*SETTINGS, "dev", "threads")


class Fitted(NamedTuple):
    """All that fit learns, in one place, so that another thread sees either none of it or all."""

    classifier: Model
    classes: Classes | None  # None for ratings

    @property
    def kind(self) -> str | None:
        """Kind of the labels, None for ratings."""
        return self.classes and self.classes.kind


class SentimentClassifier:
    """Exercise 5's network for labelled texts: embedding, mean, dense ReLU layer, dense layer.

    The parameters are those of ``mlcore train-sentiment`` (see ``mlcore.sentiment.settings.Settings``), and so is the
    model: equal texts, labels and parameters give the same bytes, whatever the number of threads. Besides them:

    ``dev``: the fraction of the texts that is held out to choose the best epoch and to stop early; 0 for none.
    ``threads``: by default the cores, or NUMBA_NUM_THREADS, by which joblib (``n_jobs``) gives each process its share.

    With ``loss="squared"`` it is a regressor: the labels are numbers, predict gives numbers, and score is R^2.

    Follows scikit-learn's protocol, so that it can be used in Pipeline, cross_val_score or GridSearchCV; parameters
    are checked by fit. Several threads may use it, or one object of it, at the same time. A model that comes from
    somebody else should come by ``save`` and ``load``: unlike a pickle, that file cannot run code.

    Example:
        >>> texts = ["A good, warm film.", "A bad, dull film.", "Good fun!", "Bad plot."] * 5
        >>> model = SentimentClassifier(dim=8, dev=0).fit(texts, [1, 0, 1, 0] * 5)
        >>> model
        SentimentClassifier(dim=8, dev=0)
        >>> model.predict(["good plot, good fun", "dull"])
        array([1, 0])
        >>> model.predict_proba(["good plot, good fun"]).shape
        (1, 2)
        >>> model.score(texts, [1, 0, 1, 0] * 5)
        1.0
    """

    def __init__(
        self,
        *,
        dim: int = Settings.dim,
        hidden: int = Settings.hidden,
        ngrams: int = Settings.ngrams,
        min_count: int | None = Settings.min_count,
        max_features: int | None = Settings.max_features,
        binary: bool = Settings.binary,
        loss: str = Settings.loss,
        embedding: str = Settings.embedding,
        start: str = Settings.start,
        epochs: int = Settings.epochs,
        patience: int = Settings.patience,
        batch_size: int = Settings.batch_size,
        optimizer: str = Settings.optimizer,
        learning_rate: float | None = Settings.learning_rate,
        schedule: str = Settings.schedule,
        word_dropout: float = Settings.word_dropout,
        weight_decay: float = Settings.weight_decay,
        class_weight: str = Settings.class_weight,
        seed: int = Settings.seed,
        half: bool = Settings.half,
        dev: float = 0.1,
        threads: int | None = None,
    ) -> None:
        given = locals()
        for name in PARAMETERS:
            setattr(self, name, given[name])

    def __repr__(self) -> str:
        defaults = SentimentClassifier.__init__.__kwdefaults__
        shown = [
            f"{name}={value!r}" for name, value in self.get_params().items() if repr(value) != repr(defaults[name])
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters as they were given; ``deep`` makes no difference, because none is an estimator."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def set_params(self, **parameters: Any) -> "SentimentClassifier":
        """Change parameters, which the next fit checks and uses.

        Raises: InputError if there is none of such a name.
        """
        for name in parameters:
            if name not in PARAMETERS:
                raise InputError(f"{name} is no parameter of {type(self).__name__}; expected {', '.join(PARAMETERS)}.")
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def fit(self, X: Iterable[str], y: Iterable[Any]) -> "SentimentClassifier":
        """Train a new model on texts with their labels: of one type, str, int or bool, or numbers to be predicted.

        An epoch that diverges is taken back, with half the learning rate and a warning.
        Ctrl-C raises KeyboardInterrupt as ever, and a training that cannot be finished DivergedError; the estimator
        then has the best complete epoch, or, if there was none, what it had before.

        Raises: InputError if a parameter, a text or a label is wrong; ShapeError if texts and labels are not as many.
        """
        settings, dev, threads = self._checked_parameters()
        texts = texts_of(X)
        labels = ratings_of(y) if settings.loss == "squared" else labels_of(y)
        _check_lengths(texts, labels.of_texts)
        try:
            numbered = dataset_of(texts, labels.names(), threads)
            data = encode(numbered, dev, **encoding(settings), threads=threads)
        except DataError as error:
            raise InputError(_as_in_python(error)) from None
        # The kind of labels is kept for load; its being there says that the model was trained from Python
        inputs = {"dev": repr(dev), "labels": labels.kind}
        classifier, reports = new_classifier(data, settings, threads=threads), []
        try:
            for report in train(classifier, data.train, data.dev, threads):
                reports.append(report)
                if report.restarts:
                    warnings.warn(
                        f"Epoch {report.epoch} diverged and was taken back; the learning rate is now "
                        f"{report.learning_rate:g}.",
                        stacklevel=2,
                    )
        except DivergedError as error:
            raise DivergedError(_as_in_python(error)) from None
        finally:
            if reports:
                classifier.provenance = Provenance(inputs, numbered.fingerprint, data.sizes, history(reports))
                classes = Classes.of(np.unique(labels.of_texts), labels.kind, data.labels) if data.labels else None
                self._fitted = Fitted(classifier, classes)
        return self

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """Most probable label of each text, of the type that fit was given, or its number (float64): (n,)."""
        return self._predict(self._model(), X)

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """Probabilities of the labels in the order of ``classes_``, which sum to 1: (n, labels) float64.

        Raises: InputError with loss="squared".
        """
        classifier, classes = self._labelled_model("predict_proba")
        return classifier.probabilities(self._logits(classifier, X))[:, classes.numbers]

    def decision_function(self, X: Iterable[str]) -> np.ndarray:
        """Logits in the order of ``classes_``, (n, labels) float64; with two labels that of the second, (n,).

        Raises: InputError with loss="squared".
        """
        classifier, classes = self._labelled_model("decision_function")
        logits = self._logits(classifier, X).astype(np.float64)
        if len(classes.values) == 2:
            return logits[:, 0] if classes.numbers[1] == 1 else -logits[:, 0]
        return logits[:, classes.numbers]

    def score(self, X: Iterable[str], y: Iterable[Any]) -> float:
        """Share of the texts that have the predicted label, or with loss="squared" R^2 of the numbers.

        R^2 is 1 - sum (y - prediction)^2 / sum (y - mean y)^2, as in sklearn.metrics.r2_score; where all y are equal,
        it is 1 for a perfect prediction, else 0.
        """
        fitted = self._model()
        kind = fitted.kind
        truth, predicted = labels_of(y) if kind else ratings_of(y), self._predict(fitted, X)
        _check_lengths(predicted, truth.of_texts)
        if kind:
            if (truth.kind == "str") != (kind == "str"):
                raise InputError(f"y has labels of type {truth.kind}; the model was fitted with {kind}.")
            return float(np.mean(predicted == truth.of_texts))
        unexplained = np.sum((truth.of_texts - predicted) ** 2)
        total = np.sum((truth.of_texts - truth.of_texts.mean()) ** 2)
        return float(1 - unexplained / total) if total else float(unexplained == 0)

    def explain(self, text: str) -> Any:
        """What each word contributes to the prediction for a text: see ``mlcore.sentiment.explanation.explain``."""
        classifier, _ = self._model()
        if not isinstance(text, str):
            raise InputError(f"text is {described(text)}; expected one text, a str.")
        from mlcore.sentiment.explanation import explain

        return explain(classifier, text)

    def save(self, path: str | Path) -> None:
        """Write the model to a file for ``load`` and for the commands of mlcore.

        Raises: OSError if the file cannot be written.
        """
        model_file.save(self._model().classifier, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "SentimentClassifier":
        """Read a fitted estimator from a file, whoever wrote it: ``save`` or ``mlcore train-sentiment``.

        Raises: ModelFileError if it is not a model file, damaged, or of a newer format; OSError if it cannot be read.
        """
        classifier = model_file.load(Path(path))
        inputs = classifier.provenance.inputs
        loaded = cls(**{name: getattr(classifier.settings, name) for name in SETTINGS})
        with suppress(TypeError, ValueError):  # the command line may have been given a file of texts to hold out
            loaded.dev = float(inputs.get("dev", loaded.dev))
        try:
            classes = Classes.read(classifier.labels, inputs.get("labels", "str")) if classifier.labels else None
        except (KeyError, TypeError, ValueError):
            raise ModelFileError(f"{path} has labels that are not of the type that it names; train it again.") from None
        loaded._fitted = Fitted(classifier, classes)
        return loaded

    @property
    def classes_(self) -> np.ndarray:
        """The labels in ascending order: (labels,)."""
        _, classes = self._model()
        if classes is None:
            raise AttributeError("A model for numbers (loss='squared') has no classes_.")
        return classes.values

    @property
    def history_(self) -> list[dict]:
        """For each epoch a dict with its number, losses, accuracy, learning rate and whether it was the best so far."""
        return self._model().classifier.provenance.history

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self) -> "Tags":
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        rates = self.loss == "squared"
        return Tags(
            estimator_type="regressor" if rates else "classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=None if rates else ClassifierTags(),
            regressor_tags=RegressorTags() if rates else None,
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )

    def _model(self) -> Fitted:
        if not hasattr(self, "_fitted"):
            raise NotFittedError(f"This {type(self).__name__} has not been fitted; call fit or load first.")
        return self._fitted

    def _labelled_model(self, method: str) -> Fitted:
        fitted = self._model()
        if fitted.classes is None:
            raise InputError(f"{method} needs labels; a model for numbers (loss='squared') has predict.")
        return fitted

    def _predict(self, fitted: Fitted, X: Iterable[str]) -> np.ndarray:
        classifier, classes = fitted
        logits = self._logits(classifier, X)
        if classes is None:
            return logits[:, 0].astype(np.float64)
        place = np.argsort(classes.numbers)  # among the sorted labels, of each of the classifier's
        return classes.values[place[classifier.decide(logits)]]

    def _logits(self, classifier: Model, X: Iterable[str]) -> np.ndarray:
        threads = self._checked_threads()
        return classifier.logits(classifier.features.documents(texts_of(X), threads), threads=threads)

    def _checked_parameters(self) -> tuple[Settings, float, int]:
        """Settings, held-out fraction and number of threads."""
        dev = _plain(self.dev)
        if not isinstance(dev, int | float) or isinstance(dev, bool) or not 0 <= dev < 1:
            raise InputError(f"dev is {dev!r}; expected a fraction from 0 to less than 1.")
        return Settings(**{name: _plain(getattr(self, name)) for name in SETTINGS}), dev, self._checked_threads()

    def _checked_threads(self) -> int:
        threads = _plain(self.threads)
        if threads is not None and (type(threads) is not int or threads < 1):
            raise InputError(f"threads is {threads!r}; expected a whole number from 1 up, or None for all cores.")
        return threads or min(available_cores(), config.NUMBA_NUM_THREADS)


def _plain(value: Any) -> Any:
    """NumPy's numbers and strings, as a grid of parameters has them, as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _check_lengths(texts: Sized, labels: Sized) -> None:
    if len(texts) != len(labels):
        raise ShapeError(f"X has {len(texts):,} texts, but y has {len(labels):,} labels; expected as many.")


def _as_in_python(error: Exception) -> str:
    """The message with options of the command line as parameters.

    Example:
        >>> _as_in_python(DataError("X is short; try --dev 0 (see --min-count)."))
        'X is short; try dev=0 (see min_count).'
    """

    def parameter(option: re.Match) -> str:
        return option["name"].replace("-", "_") + (f"={option['value']}" if option["value"] else "")

    return re.sub(r"--(?P<name>[a-z-]+)(?: (?P<value>\d+(?:\.\d+)?(?:e-?\d+)?))?", parameter, str(error))
