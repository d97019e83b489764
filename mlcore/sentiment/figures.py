"""Figures that evaluations share."""

from typing import NamedTuple

import numpy as np

Z95 = 1.959963984540054  # a normal variable lies within +- Z95 standard deviations with probability 0.95


class LabelFigures(NamedTuple):
    """Figures of one label, or averages over labels; None where they are not defined."""

    precision: float | None  # right / predicted as this label
    recall: float | None  # right / truly of this label
    f1: float | None  # 2 right / (predicted as this label + truly of it)
    support: int  # texts that are truly of this label


def figures_of_labels(
    hits: np.ndarray, predictions: np.ndarray, supports: np.ndarray, n: int
) -> tuple[list[LabelFigures], LabelFigures, LabelFigures]:
    """Figures of each label, their mean, and their mean weighted by supports; averages leave out undefined ones.

    Shapes: hits, predictions and supports (labels,): numbers of texts for which the label is both, predicted, true.
    """
    # masked where the denominator is 0; averages leave masked values out, and tolist() makes them None
    figures = np.ma.divide([hits, hits, 2 * hits], [predictions, supports, predictions + supports])
    averages = [np.ma.average(figures, axis=1, weights=weights) for weights in (np.ones(len(hits)), supports)]
    macro, weighted = (LabelFigures._make([*average.tolist(), n]) for average in averages)
    return list(map(LabelFigures, *figures.tolist(), supports.tolist())), macro, weighted


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
