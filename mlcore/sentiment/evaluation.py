"""How good a model is on labelled texts, and where it is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlcore.kernels.losses import loss_of
from mlcore.results import Result
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import judged
from mlcore.templates import fill
from mlcore.text.dataset import Dataset, Split
from mlcore.text.documents import Documents
from mlcore.text.labels import labels_in, shown, targets_of, unknown_labels, unknown_note
from mlcore.text.overlap import fingerprints, share_known

BINS = 10  # of the calibration
Z95 = 1.959963984540054  # a normal variable lies within +- Z95 standard deviations with probability 0.95
MAX_MATRIX = 1_000  # labels of a confusion matrix
LITTLE = 0.001  # of the texts may have the fingerprint of a training text by chance


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


class Figures(Result):
    """Base of all evaluations."""

    def _repr_html_(self) -> str:
        """The figures as tables, for notebooks."""
        return fill("notebook.html", figures=self, note="")


@dataclass(frozen=True)
class Evaluation(Figures):
    """Figures of a model with labels over n texts.

    ``loss`` is the mean log loss, -log of the probability of the true label. ``brier`` is for two labels the mean of
    (probability of the positive label - truth)^2, truth being 1 or 0, and for more the mean of the sum of this over
    all labels. ``calibration_error`` is the largest difference, over all thresholds, between how many of the predicted
    labels with a lower probability are right and how many should be, as a share of all texts. It has no bins, whose
    mean differences are far from 0 with few texts even where every probability is right.
    Averages leave out the labels for which a figure is not defined. Texts with a label that the model does not have
    count as wrong; loss, Brier score and AUC, which are not defined for them, and the confusions leave them out.

    Source: Wilson 1927 (interval); Brier 1950; Gupta et al. 2021 (calibration error); Hanley and McNeil 1982 (AUC).
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
    per_label: dict[str, LabelFigures]
    macro: LabelFigures  # mean over the labels
    cells: np.ndarray  # (m, 3) int64 of the confusion matrix that are not 0: truth, predicted, number of texts
    unknown: int  # texts with a label that the model does not have
    calibration: list[CalibrationBin]

    @property
    def right(self) -> int:
        """Number of texts with the right label."""
        return int(self.cells[self.cells[:, 0] == self.cells[:, 1], 2].sum())

    @property
    def confusion(self) -> np.ndarray | None:
        """(labels, labels) int64, [truth, predicted]; None if there are more than MAX_MATRIX labels."""
        if len(self.labels) > MAX_MATRIX:
            return None
        matrix = np.zeros((len(self.labels), len(self.labels)), np.int64)
        matrix[self.cells[:, 0], self.cells[:, 1]] = self.cells[:, 2]
        return matrix

    def confusions(self) -> list[tuple[str, str, int]]:
        """True label, predicted label and number of texts of each confusion, the most frequent one first."""
        wrong = self.cells[self.cells[:, 0] != self.cells[:, 1]]
        wrong = wrong[np.argsort(-wrong[:, 2], kind="stable")]
        return [(self.labels[truth], self.labels[predicted], n) for truth, predicted, n in wrong.tolist()]

    def to_dict(self) -> dict[str, Any]:
        """With the matrix, or with more than MAX_MATRIX labels the confusions instead, in place of the cells."""
        found = {name: value for name, value in super().to_dict().items() if name != "cells"}
        if (matrix := self.confusion) is not None:
            return found | {"confusion": matrix.tolist()}
        cells = [dict(zip(("truth", "predicted", "texts"), cell, strict=True)) for cell in self.confusions()]
        return found | {"confusion": None, "confusions": cells}


@dataclass(frozen=True)
class MultiLabelEvaluation(Figures):
    """Figures of a model that decides on each label by itself, over n texts.

    ``accuracy`` is the share of the texts whose labels are all right and complete, ``hamming_loss`` the share of wrong
    decisions among all n x labels, and ``loss`` the mean over the texts of the sum of their labels' logistic losses.
    ``micro`` counts the decisions on all labels together, ``macro`` is the mean over the labels that have the figure.
    ``calibration_error`` is that of ``Evaluation`` over all decisions, each at a probability of 0.5.

    Source: Tsoumakas and Katakis 2007.
    """

    n: int
    labels: tuple[str, ...]
    thresholds: list[float]  # a label is predicted where its probability is above its threshold
    accuracy: float
    accuracy_interval: tuple[float, float]  # of 95 %
    hamming_loss: float
    loss: float
    calibration_error: float
    micro: LabelFigures
    macro: LabelFigures
    per_label: dict[str, LabelFigures]


@dataclass(frozen=True)
class RatingEvaluation(Figures):
    """Figures of a model that predicts ratings over n texts; what is not defined is None."""

    n: int
    loss: float  # mean of 1/2 (y - y_hat)^2
    rmse: float  # square root of the mean of (y - y_hat)^2
    baseline: float  # the rmse of predicting the mean of the truths for all texts: the error to beat
    mae: float  # mean of |y - y_hat|
    r2: float | None  # 1 - (rmse / baseline)^2; None if all truths are equal
    pearson: float | None  # correlation of truths and predictions; None if either are all equal


AnyEvaluation = Evaluation | MultiLabelEvaluation | RatingEvaluation


class Decisions(NamedTuple):
    """What is predicted for the texts of a split, and whether it is wrong, and how much."""

    predicted: np.ndarray  # (n,) numbers of labels or ratings, or (n, labels) bool
    wrong: np.ndarray  # (n,) bool
    sizes: np.ndarray  # (n,): the larger, the worse a mistake


class Mistake(NamedTuple):
    """A text with a wrong prediction: labels with the probability of the predicted one, or ratings with None."""

    row: int  # among the evaluated texts
    place: str
    text: str
    truth: str | float
    predicted: str | float
    probability: float | None


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

    @property
    def note(self) -> str:
        """What to say about labels that the model does not have; empty if there are none."""
        return unknown_note(self.unknown_labels) if self.unknown_labels else ""

    def _repr_html_(self) -> str:
        """The figures and the worst mistakes, for notebooks."""
        return fill("notebook.html", figures=self.evaluation, assessment=self, note=self.note)

    def to_dict(self) -> dict[str, Any]:
        """All figures on one level."""
        mistakes = [mistake._asdict() for mistake in self.mistakes]
        extra = {"mistakes": mistakes, "unknown_labels": self.unknown_labels, "trained_on": self.trained_on}
        return {"part": self.part, **self.evaluation.to_dict(), **extra, "notes": self.notes}


def quick_figures(
    model: Model, split: Split, threads: int = 1, progress: Callable[[], None] = lambda: None
) -> tuple[float, float | None]:
    """Mean loss and quality, weighted, on a split: what training needs after each epoch.

    The quality is the accuracy, or micro F1 where texts may have several labels, or None for ratings.
    """
    targets, weights = split.targets[split.rows], None if split.weights is None else split.weights[split.rows]

    def figures(block: slice) -> tuple[np.ndarray, ...]:
        # of ratings as they come: within their range, epochs that are all below it would seem equally good
        logits = model.logits(split.documents, split.rows[block])
        losses, decided = _losses(model, logits, targets[block]), model.decide(logits)
        if not model.settings.multi_label:
            return losses, _right(decided, targets[block]), np.ones(len(losses))
        truths = targets[block] > 0
        return losses, 2 * (decided & truths).sum(axis=1), decided.sum(axis=1) + truths.sum(axis=1)

    parts = list[tuple[np.ndarray, ...]]()
    for part in model.in_blocks(figures, len(targets), threads):
        parts.append(part)
        progress()
    losses, right, possible = map(np.concatenate, zip(*parts, strict=True))
    best = np.average(possible, weights=weights)
    quality = float(np.average(right, weights=weights) / best) if best else 0.0
    return _mean_loss(losses, targets, weights), quality if model.labels else None


def _right(decided: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the label of each text, or all its labels, are right: (n,) bool."""
    return np.asarray(decided == targets[:, 0] if decided.ndim == 1 else (decided == targets).all(axis=1))


def evaluate(model: Model, split: Split, threads: int = 1) -> AnyEvaluation:
    """All figures of the predictions for the texts of a split.

    Raises: ModelFileError if the outputs are not finite.
    """
    return _evaluate(model, split, None, threads)[0]


def _evaluate(model: Model, split: Split, outputs: np.ndarray | None, threads: int) -> tuple[AnyEvaluation, Decisions]:
    """``outputs``: the logits of the texts of the split, (n, k), if they are known."""
    targets = split.targets[split.rows]

    def logits(block: slice) -> np.ndarray:
        return model.logits(split.documents, split.rows[block]) if outputs is None else outputs[block]

    if model.labels and not model.settings.multi_label:
        return _evaluate_labels(model, targets, logits, threads)
    judgements = judged(model, np.concatenate(list(model.in_blocks(logits, len(targets), threads))))
    if model.labels:
        return _evaluate_several(model, targets, *judgements)
    return _evaluate_ratings(targets[:, 0].astype(np.float64), judgements[0][:, 0].astype(np.float64))


def _evaluate_labels(
    model: Model, targets: np.ndarray, logits: Callable[[slice], np.ndarray], threads: int
) -> tuple[Evaluation, Decisions]:
    labels, n, known = len(model.labels), len(targets), np.isfinite(targets[:, 0])

    def figures(block: slice) -> tuple[np.ndarray, ...]:
        outputs, probabilities, predicted = judged(model, logits(block))
        losses, confidence = _losses(model, outputs, targets[block]), probabilities.max(axis=1)
        with_label = np.flatnonzero(known[block])
        probabilities[with_label, targets[block][with_label, 0].astype(np.int64)] -= 1
        squares = probabilities[:, 1] ** 2 if labels == 2 else (probabilities**2).sum(axis=1)
        return losses, confidence, squares, outputs[:, 0].copy(), predicted

    parts = model.in_blocks(figures, n, threads)
    losses, confidence, squares, positive, predicted = map(np.concatenate, zip(*parts, strict=True))
    truths, right = targets[known, 0].astype(np.int64), _right(predicted, targets)
    cells, counts = np.unique(truths * labels + predicted[known], return_counts=True)
    hits, predictions, supports = (
        np.bincount(some, minlength=labels) for some in (truths[right[known]], predicted, truths)
    )
    of_labels, macro = figures_of_labels(hits, predictions, supports, n)
    found = Evaluation(
        n=n,
        labels=model.labels,
        accuracy=float(right.mean()),
        accuracy_interval=wilson(int(right.sum()), n),
        most_frequent=model.labels[supports.argmax()],
        baseline=float(supports.max() / n),
        loss=_mean_loss(losses, targets),
        brier=float(squares[known].mean()),
        calibration_error=calibration_error(confidence, right),
        auc=area_under_curve(positive[known], truths == 1) if labels == 2 else None,
        per_label=dict(zip(model.labels, of_labels, strict=True)),
        macro=macro,
        cells=np.stack([cells // labels, cells % labels, counts], axis=1),
        unknown=n - len(truths),
        calibration=_bins(confidence, right),
    )
    return found, Decisions(predicted, ~right, confidence)


def _bins(confidence: np.ndarray, right: np.ndarray) -> list[CalibrationBin]:
    """The bins of decisions by their probabilities, and whether they are right."""
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    sizes, expected, rights = (np.bincount(place, weights, BINS) for weights in (None, confidence, right))
    rows = zip(sizes.tolist(), *np.ma.divide([expected, rights], sizes).tolist(), strict=True)
    return [CalibrationBin(i / BINS, (i + 1) / BINS, *row) for i, row in enumerate(rows)]


def _evaluate_several(
    model: Model, targets: np.ndarray, logits: np.ndarray, probabilities: np.ndarray, predicted: np.ndarray
) -> tuple[MultiLabelEvaluation, Decisions]:
    right, n = _right(predicted, targets), len(targets)
    hits, predictions, supports = ((values > 0).sum(axis=0) for values in (predicted * targets, predicted, targets))
    of_labels, macro = figures_of_labels(hits, predictions, supports, n)
    hit, predictions_made, support = (counts.sum(keepdims=True) for counts in (hits, predictions, supports))
    micro = figures_of_labels(hit, predictions_made, support, n)[1]
    certainty = 0.5 + np.abs(probabilities - 0.5)
    thresholds = np.full(len(model.labels), 0.5) if model.thresholds is None else model.thresholds
    found = MultiLabelEvaluation(
        n=n,
        labels=model.labels,
        thresholds=thresholds.tolist(),
        accuracy=float(right.mean()),
        accuracy_interval=wilson(int(right.sum()), n),
        hamming_loss=float(np.mean(predicted != targets)),
        loss=_mean_loss(_losses(model, logits, targets), targets),
        calibration_error=calibration_error(certainty.ravel(), ((probabilities > 0.5) == targets).ravel()),
        micro=micro,
        macro=macro,
        per_label=dict(zip(model.labels, of_labels, strict=True)),
    )
    return found, Decisions(predicted, ~right, np.abs(probabilities - targets).max(axis=1))


def _losses(model: Model, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    known = np.isfinite(targets[:, 0])  # a label that the model does not have has no logit
    found, losses = np.empty(int(known.sum()), np.float32), np.zeros(len(known), np.float32)
    loss_of(model.loss, logits[known], targets[known], found)
    losses[known] = found
    return losses


def _mean_loss(losses: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> float:
    known = np.isfinite(targets[:, 0])
    if weights is not None:
        return float(np.average(losses[known].astype(np.float64), weights=weights[known]))
    return float(np.mean(losses[known], dtype=np.float64))


def _evaluate_ratings(truths: np.ndarray, predicted: np.ndarray) -> tuple[RatingEvaluation, Decisions]:
    errors = predicted - truths
    # Equal values have deviations of exactly 0: they come from float32, so that their sum is exact
    deviations, spread = truths - truths.mean(), predicted - predicted.mean()
    square, variance, spread_variance = (float(np.mean(values**2)) for values in (errors, deviations, spread))
    scale = (variance * spread_variance) ** 0.5
    found = RatingEvaluation(
        n=len(truths),
        loss=square / 2,
        rmse=square**0.5,
        baseline=variance**0.5,
        mae=float(np.mean(np.abs(errors))),
        r2=1 - square / variance if variance else None,
        pearson=float(np.clip(np.mean(deviations * spread) / scale, -1, 1)) if scale else None,
    )
    return found, Decisions(predicted, errors != 0, np.abs(errors))


def assess(
    model: Model,
    dataset: Dataset,
    n_mistakes: int = 0,
    threads: int = 1,
    known: tuple[np.ndarray, np.ndarray] | None = None,
) -> Assessment:
    """Evaluate a model on a dataset's test split, or else on its dev split, or else on all of its texts.

    ``n_mistakes``: so many of the wrong labels, the most probable ones first (of texts with several labels, those with
    the most certain wrong decision), or of the ratings, those with the largest errors; on ties the earlier text comes
    first. The dataset has kept its texts for them.
    ``known``: logits (n, k) and fingerprints (n,) of those texts in the order of their rows, if they are elsewhere.

    Raises: DataError if no label suits the model, or one is no rating; ModelFileError if the outputs are not finite.
    """
    rows, part = dataset.held_out()
    targets = targets_of(dataset, model.labels, rows, model.settings.multi_label)
    documents = Documents.joined([]) if known else model.features.documents_of(dataset.tokens, dataset.words, threads)
    outputs, hashes = known or (None, fingerprints(dataset, rows))
    split, notes = Split(documents, targets, rows), dataset.notes.sentences()
    unknown = unknown_labels(dataset, rows, model.labels) if model.labels else {}
    figures, decisions = _evaluate(model, split, outputs, threads)
    worst = _worst(model, split, dataset, decisions, n_mistakes) if n_mistakes else []
    trained_on = share_known(hashes, model.trained_on)
    return Assessment(dataset.source, part, split, figures, worst, unknown, trained_on, notes)


def _worst(model: Model, split: Split, dataset: Dataset, decisions: Decisions, number: int) -> list[Mistake]:
    targets, found, several = split.targets[split.rows], [], model.settings.multi_label
    predicted, is_wrong, sizes = decisions
    wrong = np.flatnonzero(is_wrong)
    for i in wrong[np.argsort(-sizes[wrong], kind="stable")[:number]].tolist():
        row = int(split.rows[i])
        answers: tuple[Any, ...]
        if model.labels:
            truth = shown(labels_in(dataset.label_names[dataset.labels[row]]))
            answers = truth, shown(model.names_of(predicted[i])), None if several else float(sizes[i])
        else:
            answers = float(targets[i, 0]), float(predicted[i]), None
        found.append(Mistake(i, dataset.place(row), (dataset.texts or [])[row], *answers))
    return found


# Formulas ----------------------------------------------------------------------------------------------------


def figures_of_labels(
    hits: np.ndarray, predictions: np.ndarray, supports: np.ndarray, n: int
) -> tuple[list[LabelFigures], LabelFigures]:
    """Figures of each label, and their mean over n texts, which leaves out undefined ones.

    Shapes: hits, predictions and supports (labels,): numbers of texts for which the label is both, predicted, true.
    """
    # masked where the denominator is 0; the mean leaves masked values out, and tolist() makes them None
    figures = np.ma.divide([hits, hits, 2 * hits], [predictions, supports, predictions + supports])
    rows = zip(*figures.tolist(), supports.tolist(), strict=True)
    return list(map(LabelFigures._make, rows)), LabelFigures._make([*figures.mean(axis=1).tolist(), n])


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


def calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """The largest |right - expected| among the texts below a threshold, over all thresholds, as a share of all texts.

    Shapes: probabilities of the predicted labels (n,), right (n,) bool.
    Source: Gupta et al. 2021, the Kolmogorov-Smirnov calibration error.

    Example:
        >>> calibration_error(np.array([0.5, 0.5, 0.75, 0.75]), np.array([True, False, True, True]))
        0.125
    """
    _, place = np.unique(probabilities, return_inverse=True)  # equal ones are not told apart
    return float(np.abs(np.cumsum(np.bincount(place, right - probabilities))).max(initial=0.0) / len(right))
