"""How good a classifier is on labelled texts, where it is wrong, and which words move it most."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore.errors import DataError
from mlcore.kernels.losses import loss_of
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import score
from mlcore.text.dataset import Dataset, Documents, Split

Z95 = 1.959963984540054  # a normal variable lies within +- Z95 standard deviations with probability 0.95
BINS = 10  # of the calibration


@dataclass
class Evaluation:
    """Figures over n texts: accuracy in [0, 1] (for ratings None), mean loss, confusion[truth, predicted]."""

    n: int
    accuracy: float | None
    loss: float
    labels: tuple[str, ...]
    confusion: np.ndarray


class LabelFigures(NamedTuple):
    """Figures of one label, or averages over labels; None where they are not defined."""

    precision: float | None  # right / predicted as such; None if never predicted
    recall: float | None  # right / truly such; None if there are none
    f1: float | None  # 2 right / (predicted as such + truly such); None if neither occurs
    support: int  # texts that are truly such


class CalibrationBin(NamedTuple):
    """The texts whose predicted label has a probability in [low, high), or [low, high] in the last bin."""

    low: float
    high: float
    n: int
    probability: float | None  # mean of them; None without texts
    accuracy: float | None


@dataclass
class Assessment:
    """Figures over n texts of a classifier with labels.

    ``loss`` is the mean log loss, -log of the probability of the true label. ``brier`` is for two labels the mean of
    (probability of the positive label - truth)^2, truth being 1 or 0, and for more the mean of the sum of this over
    all labels. ``calibration_error`` is the mean over the texts of |accuracy - mean probability| of their bin.
    Averages leave out the labels for which a figure is not defined.

    Source: Wilson 1927 (interval); Brier 1950; Naeini et al. 2015 (calibration); Hanley and McNeil 1982 (AUC).
    """

    n: int
    labels: tuple[str, ...]
    accuracy: float
    accuracy_interval: tuple[float, float]  # of 95 %
    most_frequent: str  # the label to name if one has to be named for all texts
    baseline: float  # its share: the accuracy to beat
    loss: float
    brier: float
    calibration_error: float
    auc: float | None  # with two labels that both occur: probability that a positive text has the higher logit
    per_label: list[LabelFigures]  # in the labels' order
    macro: LabelFigures  # mean over the labels
    weighted: LabelFigures  # mean over the labels, weighted with their supports
    confusion: np.ndarray  # (labels, labels) int64, [truth, predicted]
    calibration: list[CalibrationBin]


@dataclass
class RatingAssessment:
    """Figures over n texts of a classifier that predicts ratings; what is not defined is None."""

    n: int
    loss: float  # mean of 1/2 (y - y_hat)^2
    rmse: float  # square root of the mean of (y - y_hat)^2
    baseline: float  # that of predicting the mean of the truths for all texts: the error to beat
    mae: float  # mean of |y - y_hat|
    r2: float | None  # 1 - (rmse / baseline)^2; None if all truths are equal
    pearson: float | None  # correlation of truths and predictions; None if either are all equal
    truths: np.ndarray  # (n,) float64
    predicted: np.ndarray  # (n,) float64


class Mistake(NamedTuple):
    """A text with a wrong prediction: labels with the probability of the predicted one, or ratings with None."""

    row: int
    place: str
    text: str
    truth: str | float
    predicted: str | float
    probability: float | None


class WordLogit(NamedTuple):
    """A feature, and how strongly the text that consists of it alone speaks for a label (or which rating it gets)."""

    word: str
    logit: float


def evaluate(classifier: Model, part: Split, threads: int = 1) -> Evaluation:
    """Accuracy and loss of the predictions for the texts of a part: what a training wants to know of every epoch.

    Raises: DataError if the part has no texts.
    """
    _refuse_nothing(part)
    logits = classifier.logits(part.documents, part.rows, threads)
    targets = part.targets[part.rows]
    predicted, truths = classifier.decide(logits), targets[:, 0].astype(np.int64)
    return Evaluation(
        n=len(logits),
        accuracy=float(np.mean(predicted == truths)) if classifier.labels else None,
        loss=_mean_loss(classifier, logits, targets),
        labels=classifier.labels,
        confusion=_confusion(truths, predicted, len(classifier.labels)),
    )


def assess(classifier: Model, part: Split, threads: int = 1) -> Assessment | RatingAssessment:
    """All figures that the predictions for the texts of a part give.

    Raises: DataError if the part has no texts; ModelFileError if the outputs are not finite.
    """
    _refuse_nothing(part)
    logits, probabilities, predicted = score(classifier, part.documents, part.rows, threads)
    targets = part.targets[part.rows]
    if not classifier.labels:
        return _assess_ratings(targets[:, 0].astype(np.float64), logits[:, 0].astype(np.float64))
    truths = targets[:, 0].astype(np.int64)
    confusion = _confusion(truths, predicted, len(classifier.labels))
    supports = confusion.sum(axis=1)
    right = predicted == truths
    bins = _calibration(probabilities.max(axis=1), right)
    n, per_label = len(right), _per_label(confusion)
    return Assessment(
        n=n,
        labels=classifier.labels,
        accuracy=float(right.mean()),
        accuracy_interval=wilson(int(right.sum()), n),
        most_frequent=classifier.labels[supports.argmax()],
        baseline=float(supports.max() / n),
        loss=_mean_loss(classifier, logits, targets),
        brier=_brier(probabilities, truths),
        calibration_error=sum(bin.n * abs(bin.accuracy - bin.probability) for bin in bins if bin.n) / n,
        auc=area_under_curve(logits[:, 0], truths == 1) if len(classifier.labels) == 2 else None,
        per_label=per_label,
        macro=_averages(per_label, np.ones(len(supports)), n),
        weighted=_averages(per_label, supports, n),
        confusion=confusion,
        calibration=bins,
    )


def _refuse_nothing(part: Split) -> None:
    if not len(part.rows):
        raise DataError("There is no text to measure the model on; expected one or more.")


def _mean_loss(classifier: Model, logits: np.ndarray, targets: np.ndarray) -> float:
    losses = np.empty(len(logits), np.float32)
    loss_of(classifier.loss, logits, targets, losses)
    return float(np.mean(losses, dtype=np.float64))


def _confusion(truths: np.ndarray, predicted: np.ndarray, labels: int) -> np.ndarray:
    if not labels:
        return np.zeros((0, 0), np.int64)
    return np.bincount(truths * labels + predicted, minlength=labels**2).reshape(labels, labels)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Interval of 95 % for a probability, of which ``right`` of ``n`` trials came out.

    Source: Wilson 1927, the score interval.
    """
    share, square = right / n, Z95**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    radius = Z95 / (1 + square / n) * np.sqrt(share * (1 - share) / n + square / (4 * n**2))
    # 0 and 1 belong to it exactly where all came out alike; rounding must not say otherwise
    return 0.0 if right == 0 else float(middle - radius), 1.0 if right == n else float(middle + radius)


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Share of the pairs of a positive and another text in which the positive one has the higher score, a tie
    counting half; None where there are no such pairs. By the ranks of the positive ones, equal scores sharing the
    mean of their ranks.

    Shapes: scores (n,), positive (n,) bool.
    Source: Mann and Whitney 1947; Hanley and McNeil 1982.
    """
    positives, others = int(positive.sum()), int((~positive).sum())
    if not positives or not others:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # from 1 up
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * others))


def _per_label(confusion: np.ndarray) -> list[LabelFigures]:
    right, supports, predicted = confusion.diagonal().tolist(), confusion.sum(axis=1).tolist(), confusion.sum(axis=0)
    return [
        LabelFigures(_ratio(r, p), _ratio(r, s), _ratio(2 * r, p + s), s)
        for r, s, p in zip(right, supports, predicted.tolist(), strict=True)
    ]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _averages(figures: list[LabelFigures], weights: np.ndarray, n: int) -> LabelFigures:
    def average(values: tuple[float | None, ...]) -> float | None:
        defined = [(value, weight) for value, weight in zip(values, weights.tolist(), strict=True) if value is not None]
        return _ratio(sum(value * weight for value, weight in defined), sum(weight for _, weight in defined))

    precisions, recalls, f1s, _ = zip(*figures, strict=True)
    return LabelFigures(average(precisions), average(recalls), average(f1s), n)


def _brier(probabilities: np.ndarray, truths: np.ndarray) -> float:
    wrong = probabilities.copy()
    wrong[np.arange(len(truths)), truths] -= 1
    return float(np.mean(wrong[:, 1] ** 2 if wrong.shape[1] == 2 else (wrong**2).sum(axis=1)))


def _calibration(probabilities: np.ndarray, right: np.ndarray) -> list[CalibrationBin]:
    place = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(place, minlength=BINS).tolist()
    sums, rights = (np.bincount(place, values, BINS).tolist() for values in (probabilities, right))
    return [
        CalibrationBin(i / BINS, (i + 1) / BINS, counts[i], _ratio(sums[i], counts[i]), _ratio(rights[i], counts[i]))
        for i in range(BINS)
    ]


def _assess_ratings(truths: np.ndarray, predicted: np.ndarray) -> RatingAssessment:
    errors = predicted - truths
    # Equal values have deviations of exactly 0: they come from float32, so that their sum is exact
    deviations, spread = truths - truths.mean(), predicted - predicted.mean()
    square, variance, spread_variance = (float(np.mean(values**2)) for values in (errors, deviations, spread))
    scale = (variance * spread_variance) ** 0.5
    return RatingAssessment(
        n=len(truths),
        loss=square / 2,
        rmse=square**0.5,
        baseline=variance**0.5,
        mae=float(np.mean(np.abs(errors))),
        r2=1 - square / variance if variance else None,
        pearson=float(np.clip(np.mean(deviations * spread) / scale, -1, 1)) if scale else None,
        truths=truths,
        predicted=predicted,
    )


def mistakes(classifier: Model, part: Split, dataset: Dataset, number: int, threads: int = 1) -> list[Mistake]:
    """The worst mistakes among the texts of a part of this corpus: wrong labels, the most probable ones first; of
    ratings the largest errors. On ties the earlier text comes first.

    Raises: ModelFileError if the outputs are not finite.
    """
    outputs, probabilities, predicted = score(classifier, part.documents, part.rows, threads)
    truths = part.targets[part.rows, 0]
    if classifier.labels:
        largest = probabilities.max(axis=1) if len(probabilities) else np.empty(0)
        wrong = np.flatnonzero(predicted != truths)
        worst = wrong[np.argsort(-largest[wrong], kind="stable")][:number]
    else:
        errors = np.abs(outputs[:, 0].astype(np.float64) - truths)
        worst = np.argsort(-errors, kind="stable")
        worst = worst[errors[worst] > 0][:number]

    def mistake(i: int) -> Mistake:
        row = int(part.rows[i])
        place = dataset.place(row)
        if not classifier.labels:
            return Mistake(row, place, dataset.texts[row], float(truths[i]), float(outputs[i, 0]), None)
        labels = dataset.label_names[dataset.labels[row]], classifier.labels[predicted[i]]
        return Mistake(row, place, dataset.texts[row], *labels, float(largest[i]))

    return [mistake(i) for i in worst]


def strongest_words(
    classifier: Model, feature_counts: np.ndarray, number: int, min_count: int
) -> dict[str, list[WordLogit]]:
    """The features that speak most for each label among those that occur ``min_count`` times, strongest first.

    With two labels, the positive one first, its logit tells; with more, the logit less the mean over all labels
    (adding a constant to all logits changes no probability). Without labels: the features with the highest and with
    the lowest rating, as "highest" and "lowest".
    """
    chosen = np.flatnonzero(feature_counts >= min_count).astype(np.int32)
    alone = Documents(chosen, np.ones_like(chosen), np.arange(len(chosen) + 1))
    logits = classifier.logits(alone)
    names = classifier.features.names

    def entries(strengths: np.ndarray, sign: int, least: float) -> list[WordLogit]:
        order = np.argsort(-sign * strengths, kind="stable")[:number]
        return [WordLogit(names[chosen[i]], float(strengths[i])) for i in order if sign * strengths[i] > least]

    if not classifier.labels:
        return {name: entries(logits[:, 0], sign, -np.inf) for name, sign in (("highest", 1), ("lowest", -1))}
    if len(classifier.labels) == 2:
        negative, positive = classifier.labels
        return {positive: entries(logits[:, 0], 1, 0), negative: entries(logits[:, 0], -1, 0)}
    centred = logits - logits.mean(axis=1, keepdims=True)
    return {label: entries(centred[:, i], 1, 0) for i, label in enumerate(classifier.labels)}


RatingEvaluation = RatingAssessment


def quick_figures(model: Model, split: Split, threads: int = 1) -> tuple[float, float | None]:
    """Mean loss and accuracy (None for ratings) on a split: the figures that training needs after each epoch."""
    found = evaluate(model, split, threads)
    return found.loss, found.accuracy
