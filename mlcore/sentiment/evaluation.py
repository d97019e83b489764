"""How good a model is on labelled texts, where it is wrong, and which words move it most."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlcore.kernels.losses import loss_of
from mlcore.results import Result
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import score
from mlcore.text.dataset import Dataset, Documents, Split, encode_split
from mlcore.text.labels import unknown_labels

Z95 = 1.959963984540054  # a normal variable lies within +- Z95 standard deviations with probability 0.95
BINS = 10  # of the calibration


class LabelFigures(NamedTuple):
    """Figures of one label, or averages over labels; None where they are not defined."""

    precision: float | None  # right / predicted as this label
    recall: float | None  # right / truly of this label
    f1: float | None  # 2 right / (predicted as this label + truly of it)
    support: int  # texts that are truly of this label


class CalibrationBin(NamedTuple):
    """The texts whose predicted label has a probability in [low, high), or [low, high] in the last bin."""

    low: float
    high: float
    n: int
    probability: float | None  # mean of them; None without texts
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation(Result):
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

    def to_dict(self) -> dict[str, Any]:
        """The fields, with each label beside its figures."""
        rows = zip(self.labels, self.per_label, strict=True)
        return {**super().to_dict(), "per_label": [{"label": label, **figures._asdict()} for label, figures in rows]}

    def confusions(self) -> list[tuple[str, str, int]]:
        """True label, predicted label and number of texts, the most frequent confusion first."""
        rows = zip(self.labels, self.confusion.tolist(), strict=True)
        cells = [(truth, label, n) for truth, row in rows for label, n in zip(self.labels, row, strict=True)]
        return sorted((cell for cell in cells if cell[2] and cell[0] != cell[1]), key=lambda cell: -cell[2])


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
    evaluation: Evaluation | RatingEvaluation
    mistakes: list[Mistake]
    unknown_labels: dict[str, int]  # labels that the model does not have, with the numbers of their texts

    @property
    def title(self) -> str:
        """Names the texts."""
        return self.data if self.part == "all" else f"{self.data}, {self.part} split"

    def to_dict(self) -> dict[str, Any]:
        """All figures on one level."""
        mistakes = [mistake._asdict() for mistake in self.mistakes]
        extra = {"mistakes": mistakes, "unknown_labels": self.unknown_labels}
        return {"part": self.part, **self.evaluation.to_dict(), **extra}


def quick_figures(model: Model, split: Split, threads: int = 1) -> tuple[float, float | None]:
    """Mean loss and accuracy (None for ratings) on a split: the figures that training needs after each epoch."""
    logits, targets = model.logits(split.documents, split.rows, threads), split.targets[split.rows]
    accuracy = float(np.mean(model.decide(logits) == targets[:, 0])) if model.labels else None
    return _mean_loss(model, logits, targets), accuracy


def evaluate(model: Model, split: Split, threads: int = 1) -> Evaluation | RatingEvaluation:
    """All figures of the predictions for the texts of a split.

    Raises: ModelFileError if the outputs are not finite.
    """
    logits, probabilities, predicted = score(model, split.documents, split.rows, threads)
    targets = split.targets[split.rows]
    if not model.labels:
        return _evaluate_ratings(targets[:, 0].astype(np.float64), logits[:, 0].astype(np.float64))
    labels, n, known = len(model.labels), len(targets), np.isfinite(targets[:, 0])
    truths, right = targets[known, 0].astype(np.int64), predicted == targets[:, 0]
    confusion = np.bincount(truths * labels + predicted[known], minlength=labels**2).reshape(labels, labels)
    hits, predictions, supports = confusion.diagonal(), np.bincount(predicted, minlength=labels), confusion.sum(axis=1)
    # masked where the denominator is 0; averages leave masked values out, and tolist() makes them None
    figures = np.ma.divide([hits, hits, 2 * hits], [predictions, supports, predictions + supports])
    averages = [np.ma.average(figures, axis=1, weights=weights) for weights in (np.ones(labels), supports)]
    macro, weighted = (LabelFigures._make([*average.tolist(), n]) for average in averages)

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
        per_label=list(map(LabelFigures, *figures.tolist(), supports.tolist())),
        macro=macro,
        weighted=weighted,
        confusion=confusion,
        unknown=n - len(truths),
        calibration=[CalibrationBin(i / BINS, (i + 1) / BINS, *row) for i, row in enumerate(bins)],
    )


def _mean_loss(model: Model, logits: np.ndarray, targets: np.ndarray) -> float:
    if not (known := np.isfinite(targets[:, 0])).all():  # a label that the model does not have has no logit
        logits, targets = logits[known], targets[known]
    losses = np.empty(len(logits), np.float32)
    loss_of(model.loss, logits, targets, losses)
    return float(np.mean(losses, dtype=np.float64))


def wilson(right: int, n: int) -> tuple[float, float]:
    """95 % confidence interval for a probability of which ``right`` of ``n`` trials succeeded: Wilson's."""
    share, square = right / n, Z95**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    radius = Z95 / (1 + square / n) * np.sqrt(share * (1 - share) / n + square / (4 * n**2))
    # 0 and 1 belong to it exactly where all trials ended alike; rounding must not say otherwise
    return 0.0 if right == 0 else float(middle - radius), 1.0 if right == n else float(middle + radius)


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Share of the pairs of a positive and another text in which the positive one has the higher score.

    A tie counts half, as equal scores share the mean of their ranks; without such pairs it is None.

    Shapes: scores (n,), positive (n,) bool.
    Source: Mann and Whitney 1947.
    """
    positives, others = int(positive.sum()), int((~positive).sum())
    if not positives * others:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # from 1 up
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * others))


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
    split = encode_split(dataset, rows, model.features, model.labels, threads)
    worst = mistakes(model, split, dataset, n_mistakes, threads) if n_mistakes else []
    unknown = unknown_labels(dataset, rows, model.labels) if model.labels else {}
    return Assessment(dataset.source, part, split, evaluate(model, split, threads), worst, unknown)


def mistakes(model: Model, split: Split, dataset: Dataset, number: int, threads: int = 1) -> list[Mistake]:
    """The worst mistakes on a split of a dataset that has kept its texts.

    Those are the wrong labels, the most probable ones first, or the ratings with the largest errors. On ties the
    earlier text comes first.

    Raises: ModelFileError if the outputs are not finite.
    """
    outputs, probabilities, predicted = score(model, split.documents, split.rows, threads)
    truths, found = split.targets[split.rows, 0], []
    errors = np.abs(outputs[:, 0].astype(np.float64) - truths)
    sizes, wrong = errors, np.flatnonzero(errors)
    if model.labels:
        sizes, wrong = probabilities.max(axis=1, initial=0), np.flatnonzero(predicted != truths)
    for i in wrong[np.argsort(-sizes[wrong], kind="stable")[:number]].tolist():
        row = int(split.rows[i])
        answers: tuple[Any, ...] = float(truths[i]), float(outputs[i, 0]), None
        if model.labels:
            answers = dataset.label_names[dataset.labels[row]], model.labels[predicted[i]], float(sizes[i])
        found.append(Mistake(i, dataset.place(row), (dataset.texts or [])[row], *answers))
    return found


def strongest_words(
    model: Model, feature_counts: np.ndarray, number: int, min_count: int
) -> dict[str, list[WordScore]]:
    """The features that speak most for each label among those that occur ``min_count`` times, strongest first.

    With two labels, the positive one first, its logit tells; with more, how far a label's logit is above that of the
    best other label, so that no word of another label is listed. Without labels: the features with the highest and
    with the lowest rating, as "highest" and "lowest".
    """
    candidates = np.flatnonzero(feature_counts[: model.features.first_piece] >= min_count).astype(np.int32)
    logits = model.logits(Documents(candidates, np.ones_like(candidates), np.arange(len(candidates) + 1)))
    if many := len(model.labels) > 2:
        columns = zip(model.labels, margins(logits).T, strict=True)
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
