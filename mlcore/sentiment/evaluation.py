"""How good a model is on labelled texts, where it is wrong, and which words move it most."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlcore.kernels.losses import loss_of
from mlcore.results import Result
from mlcore.sentiment.figures import LabelFigures, area_under_curve, figures_of_labels, wilson
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import score
from mlcore.text.dataset import Dataset, Documents, Split, encode_split
from mlcore.text.labels import labels_in, shown, unknown_labels
from mlcore.text.overlap import fingerprints, share_known

BINS = 10  # of the calibration
LITTLE = 0.001  # of the texts may have the fingerprint of a training text by chance


class CalibrationBin(NamedTuple):
    """The texts whose predicted label has a probability in [low, high), or [low, high] in the last bin."""

    low: float
    high: float
    n: int
    probability: float | None  # mean of them; None without texts
    accuracy: float | None


class _OfLabels(Result):
    labels: tuple[str, ...]
    per_label: list[LabelFigures]

    def to_dict(self) -> dict[str, Any]:
        """The fields, with each label beside its figures."""
        rows = zip(self.labels, self.per_label, strict=True)
        return {**super().to_dict(), "per_label": [{"label": label, **row._asdict()} for label, row in rows]}


@dataclass(frozen=True)
class Evaluation(_OfLabels):
    """Figures of a model with labels over n texts.

    ``loss`` is the mean log loss, -log of the probability of the true label. ``brier`` is for two labels the mean of
    (probability of the positive label - truth)^2, truth being 1 or 0, and for more the mean of the sum of this over
    all labels. ``calibration_error`` is the mean over the texts of |accuracy - mean probability| of their bin.
    Averages leave out the labels for which a figure is not defined. Texts with a label that the model does not have
    count as wrong; loss, Brier score and AUC, which are not defined for them, and the confusions leave them out.

    Source: Wilson 1927 (interval); Brier 1950; Naeini et al. 2015 (calibration); Hanley and McNeil 1982 (AUC).
    """

    n: int
    labels: tuple[str, ...]
    accuracy: float
    accuracy_interval: tuple[float, float]  # of 95 %
    most_frequent: str  # the most frequent label
    baseline: float  # its share: the accuracy to beat
    loss: float
    brier: float
    calibration_error: float
    auc: float | None  # with two labels that both occur: probability that a positive text has the higher logit
    per_label: list[LabelFigures]  # in the labels' order
    macro: LabelFigures  # mean over the labels
    weighted: LabelFigures  # mean over the labels, weighted by their supports
    confusion: np.ndarray  # (labels, labels) int64, [truth, predicted]
    unknown: int  # texts with a label that the model does not have
    calibration: list[CalibrationBin]

    def confusions(self) -> list[tuple[str, str, int]]:
        """True label, predicted label and number of texts, the most frequent confusion first."""
        rows = zip(self.labels, self.confusion.tolist(), strict=True)
        cells = [(truth, label, n) for truth, row in rows for label, n in zip(self.labels, row, strict=True)]
        return sorted((cell for cell in cells if cell[2] and cell[0] != cell[1]), key=lambda cell: -cell[2])


@dataclass(frozen=True)
class MultiLabelEvaluation(_OfLabels):
    """Figures of a model that decides on each label by itself, over n texts.

    ``accuracy`` is the share of the texts whose labels are all right and complete, ``hamming_loss`` the share of wrong
    decisions among all n x labels, and ``loss`` the mean over the texts of the sum of their labels' logistic losses.
    ``micro`` counts the decisions on all labels together, ``macro`` is the mean over the labels that have the figure.

    Source: Tsoumakas and Katakis 2007.
    """

    n: int
    labels: tuple[str, ...]
    thresholds: list[float]  # a label is predicted where its probability is above its threshold
    accuracy: float
    accuracy_interval: tuple[float, float]  # of 95 %
    hamming_loss: float
    loss: float
    micro: LabelFigures
    macro: LabelFigures
    per_label: list[LabelFigures]  # in the labels' order


@dataclass(frozen=True)
class RatingEvaluation(Result):
    """Figures of a model that predicts ratings over n texts; what is not defined is None."""

    n: int
    loss: float  # mean of 1/2 (y - y_hat)^2
    rmse: float  # square root of the mean of (y - y_hat)^2
    baseline: float  # the rmse of predicting the mean of the truths for all texts: the error to beat
    mae: float  # mean of |y - y_hat|
    r2: float | None  # 1 - (rmse / baseline)^2; None if all truths are equal
    pearson: float | None  # correlation of truths and predictions; None if either are all equal


AnyEvaluation = Evaluation | MultiLabelEvaluation | RatingEvaluation


class Mistake(NamedTuple):
    """A text with a wrong prediction: labels with the probability of the predicted one, or ratings with None."""

    row: int  # among the evaluated texts
    place: str
    text: str
    truth: str | float
    predicted: str | float
    probability: float | None


class WordScore(NamedTuple):
    """A feature, and the score of a text with only this word: a logit, or a rating."""

    word: str
    score: float


@dataclass(frozen=True)
class Assessment(Result):
    """An evaluation on those texts of a dataset that are not trained on, and the worst mistakes among them."""

    data: str
    part: str  # "test", "dev" or "all"
    split: Split
    evaluation: AnyEvaluation
    mistakes: list[Mistake]
    unknown_labels: dict[str, int]  # labels that the model does not have, with the numbers of their texts
    trained_on: float | None  # the share of the texts that the model was trained on; None if it does not know
    notes: list[str]  # what was guessed and skipped in reading

    @property
    def title(self) -> str:
        """Names the texts."""
        return self.data if self.part == "all" else f"{self.data}, {self.part} split"

    @property
    def warning(self) -> str:
        """What to say first about texts that the model was trained on; empty if there are none."""
        share = self.trained_on or 0
        if share < LITTLE:
            return ""
        return f"The model was trained on {share:.1%} of these texts: it does better on them than on new ones."

    def to_dict(self) -> dict[str, Any]:
        """All figures on one level."""
        mistakes = [mistake._asdict() for mistake in self.mistakes]
        extra = {"mistakes": mistakes, "unknown_labels": self.unknown_labels, "trained_on": self.trained_on}
        return {"part": self.part, **self.evaluation.to_dict(), **extra, "notes": self.notes}


def quick_figures(model: Model, split: Split, threads: int = 1) -> tuple[float, float | None]:
    """Mean loss and accuracy (None for ratings), weighted, on a split: what training needs after each epoch."""
    logits, targets = model.logits(split.documents, split.rows, threads), split.targets[split.rows]
    weights = None if split.weights is None else split.weights[split.rows]
    accuracy = float(np.average(_right(model.decide(logits), targets), weights=weights)) if model.labels else None
    return _mean_loss(model, logits, targets, weights), accuracy


def _right(decided: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the label of each text, or all its labels, are right: (n,) bool."""
    return np.asarray(decided == targets[:, 0] if decided.ndim == 1 else (decided == targets).all(axis=1))


def evaluate(model: Model, split: Split, threads: int = 1) -> AnyEvaluation:
    """All figures of the predictions for the texts of a split.

    Raises: ModelFileError if the outputs are not finite.
    """
    logits, probabilities, predicted = score(model, split.documents, split.rows, threads)
    targets = split.targets[split.rows]
    if not model.labels:
        return _evaluate_ratings(targets[:, 0].astype(np.float64), logits[:, 0].astype(np.float64))
    if model.settings.multi_label:
        return _evaluate_several(model, logits, targets, predicted)
    labels, n, known = len(model.labels), len(targets), np.isfinite(targets[:, 0])
    truths, right = targets[known, 0].astype(np.int64), _right(predicted, targets)
    confusion = np.bincount(truths * labels + predicted[known], minlength=labels**2).reshape(labels, labels)
    hits, predictions, supports = confusion.diagonal(), np.bincount(predicted, minlength=labels), confusion.sum(axis=1)
    per_label, macro, weighted = figures_of_labels(hits, predictions, supports, n)

    confidence = probabilities.max(axis=1)
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    sizes, expected, rights = (np.bincount(place, weights, BINS) for weights in (None, confidence, right))
    bins = zip(sizes.tolist(), *np.ma.divide([expected, rights], sizes).tolist(), strict=True)

    deviations = probabilities[known]
    deviations[np.arange(len(truths)), truths] -= 1
    squares = deviations[:, 1] ** 2 if labels == 2 else (deviations**2).sum(axis=1)
    return Evaluation(
        n=n,
        labels=model.labels,
        accuracy=float(right.mean()),
        accuracy_interval=wilson(int(right.sum()), n),
        most_frequent=model.labels[supports.argmax()],
        baseline=float(supports.max() / n),
        loss=_mean_loss(model, logits, targets),
        brier=float(squares.mean()),
        calibration_error=float(np.abs(rights - expected).sum() / n),
        auc=area_under_curve(logits[known, 0], truths == 1) if labels == 2 else None,
        per_label=per_label,
        macro=macro,
        weighted=weighted,
        confusion=confusion,
        unknown=n - len(truths),
        calibration=[CalibrationBin(i / BINS, (i + 1) / BINS, *row) for i, row in enumerate(bins)],
    )


def _evaluate_several(
    model: Model, logits: np.ndarray, targets: np.ndarray, predicted: np.ndarray
) -> MultiLabelEvaluation:
    right, n = _right(predicted, targets), len(targets)
    hits, predictions, supports = ((values > 0).sum(axis=0) for values in (predicted * targets, predicted, targets))
    per_label, macro, _ = figures_of_labels(hits, predictions, supports, n)
    _, micro, _ = figures_of_labels(
        hits.sum(keepdims=True), predictions.sum(keepdims=True), supports.sum(keepdims=True), n
    )
    thresholds = np.full(len(model.labels), 0.5) if model.thresholds is None else model.thresholds
    return MultiLabelEvaluation(
        n=n,
        labels=model.labels,
        thresholds=thresholds.tolist(),
        accuracy=float(right.mean()),
        accuracy_interval=wilson(int(right.sum()), n),
        hamming_loss=float(np.mean(predicted != targets)),
        loss=_mean_loss(model, logits, targets),
        micro=micro,
        macro=macro,
        per_label=per_label,
    )


def tune_thresholds(model: Model, split: Split, threads: int = 1) -> None:
    """Give a model for several labels the threshold of each that has the best F1 on a split, if better than 0.5's."""
    probabilities = score(model, split.documents, split.rows, threads)[1]
    columns = zip(probabilities.T, split.targets[split.rows].T, strict=True)
    model.thresholds = np.array([best_threshold(*column) for column in columns])


def best_threshold(probabilities: np.ndarray, truths: np.ndarray) -> float:
    """The threshold above which predicting has the best F1: of equally good ones the nearest to 0.5.

    Shapes: probabilities (n,), truths (n,) of 0 and 1.
    """
    values = np.unique(probabilities)  # ascending
    candidates = np.array([0.5, *(values[1:] + values[:-1]) / 2, values[0] / 2])
    order = np.argsort(probabilities)
    above = len(order) - np.searchsorted(probabilities[order], candidates, side="right")
    hits = np.concatenate([[0], np.cumsum(truths[order][::-1])])[above]
    f1 = 2 * hits / np.maximum(above + truths.sum(), 1)
    best = candidates[f1 == f1.max()]
    return float(best[np.abs(best - 0.5).argmin()])


def _mean_loss(model: Model, logits: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> float:
    if not (known := np.isfinite(targets[:, 0])).all():  # a label that the model does not have has no logit
        logits, targets, weights = logits[known], targets[known], None if weights is None else weights[known]
    losses = np.empty(len(logits), np.float32)
    loss_of(model.loss, logits, targets, losses)
    if weights is not None:
        return float(np.average(losses.astype(np.float64), weights=weights))
    return float(np.mean(losses, dtype=np.float64))


def _evaluate_ratings(truths: np.ndarray, predicted: np.ndarray) -> RatingEvaluation:
    errors = predicted - truths
    # Equal values have deviations of exactly 0: they come from float32, so that their sum is exact
    deviations, spread = truths - truths.mean(), predicted - predicted.mean()
    square, variance, spread_variance = (float(np.mean(values**2)) for values in (errors, deviations, spread))
    scale = (variance * spread_variance) ** 0.5
    return RatingEvaluation(
        n=len(truths),
        loss=square / 2,
        rmse=square**0.5,
        baseline=variance**0.5,
        mae=float(np.mean(np.abs(errors))),
        r2=1 - square / variance if variance else None,
        pearson=float(np.clip(np.mean(deviations * spread) / scale, -1, 1)) if scale else None,
    )


def assess(model: Model, dataset: Dataset, n_mistakes: int = 0, threads: int = 1) -> Assessment:
    """Evaluate a model on a dataset's test split, or else on its dev split, or else on all of its texts.

    Raises: DataError if no label suits the model, or one is no rating; ModelFileError if the outputs are not finite.
    """
    rows, part = dataset.held_out()
    split = encode_split(dataset, rows, model.features, model.labels, threads, model.settings.multi_label)
    worst = mistakes(model, split, dataset, n_mistakes, threads) if n_mistakes else []
    unknown = unknown_labels(dataset, rows, model.labels) if model.labels else {}
    share = share_known(fingerprints(dataset, rows), model.trained_on)
    figures, notes = evaluate(model, split, threads), dataset.notes.sentences()
    return Assessment(dataset.source, part, split, figures, worst, unknown, share, notes)


def mistakes(model: Model, split: Split, dataset: Dataset, number: int, threads: int = 1) -> list[Mistake]:
    """The worst mistakes on a split of a dataset that has kept its texts.

    Those are the wrong labels, the most probable ones first (of texts with several labels, those with the most certain
    wrong decision), or the ratings with the largest errors. On ties the earlier text comes first.

    Raises: ModelFileError if the outputs are not finite.
    """
    outputs, probabilities, predicted = score(model, split.documents, split.rows, threads)
    targets, found, several = split.targets[split.rows], [], model.settings.multi_label
    if model.labels:
        wrong = np.flatnonzero(~_right(predicted, targets))
        # of several labels: how far the probability of the worst decision is from the truth
        sizes = np.abs(probabilities - targets).max(axis=1) if several else probabilities.max(axis=1)
    else:
        sizes = np.abs(outputs[:, 0].astype(np.float64) - targets[:, 0])
        wrong = np.flatnonzero(sizes)
    for i in wrong[np.argsort(-sizes[wrong], kind="stable")[:number]].tolist():
        row = int(split.rows[i])
        answers: tuple[Any, ...] = float(targets[i, 0]), float(outputs[i, 0]), None
        if model.labels:
            truth = shown(labels_in(dataset.label_names[dataset.labels[row]]))
            answers = truth, shown(model.names_of(predicted[i])), None if several else float(sizes[i])
        found.append(Mistake(i, dataset.place(row), (dataset.texts or [])[row], *answers))
    return found


def strongest_words(
    model: Model, feature_counts: np.ndarray, number: int, min_count: int
) -> dict[str, list[WordScore]]:
    """The features that speak most for each label among those that occur ``min_count`` times, strongest first.

    With two labels, the positive one first, its logit tells; with more, how far a label's logit is above that of the
    best other label, so that no word of another label is listed. Where texts may have several labels: how far the
    logit is above the mean of all these features. Without labels: the features with the highest and with the
    lowest rating, as "highest" and "lowest".
    """
    candidates = np.flatnonzero(feature_counts[: model.features.first_piece] >= min_count).astype(np.int32)
    logits = model.logits(Documents(candidates, np.ones_like(candidates), np.arange(len(candidates) + 1)))
    if many := logits.shape[1] > 1:
        above = logits - logits.mean(axis=0) if model.settings.multi_label else margins(logits)
        columns = zip(model.labels, above.T, strict=True)
    else:
        columns = zip(model.labels[::-1] or ("highest", "lowest"), (logits[:, 0], -logits[:, 0]), strict=True)
    found = {}
    for name, strengths in columns:
        order = np.argsort(-strengths, kind="stable")[:number]
        order = order[strengths[order] > 0] if model.labels else order
        scores = (strengths if many else logits[:, 0])[order].tolist()
        found[name] = list(map(WordScore, model.features.names_of(candidates[order].tolist()), scores))
    return found


def margins(logits: np.ndarray) -> np.ndarray:
    """How far each logit is above the best other one of its row: (n, k), k of 2 or more."""
    second, first = np.partition(logits, -2, axis=1)[:, -2:].T[..., np.newaxis]
    return np.asarray(logits - np.where(logits == first, second, first))
