"""What held-out texts say of probabilities: the temperature with which they mean what they say, and thresholds."""

import math
from bisect import bisect_left

import numpy as np

from mlcore.sentiment.evaluation import RatingEvaluation, evaluate
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import judged
from mlcore.text.dataset import Split

DOUBLINGS = 3  # of the temperature that are looked at, up and down
MAX_OUTPUTS = 1 << 22  # that are looked at; where texts and labels are very many, some of the texts are taken, evenly
LEAST = 1e-6  # that is a larger calibration error on every processor
STEPS = 64  # in a doubling: apart enough for every processor to choose the same one


def calibrate(model: Model, dev: Split, threads: int = 1) -> dict[str, float]:
    """Divide a model's logits by the ``best_temperature`` for the held-out texts, or by 1 if that has the smaller
    calibration error; what it is, and this error before and after.

    Where texts may have several labels, each label of each text counts as a decision between two. W2 and b2 are
    divided, so that decisions stay as they are and whatever reads the model has the probabilities.

    Source: Guo et al. 2017.
    """
    dev = dev._replace(rows=dev.rows[:: 1 + len(dev.rows) * len(model.parameters.b2) // MAX_OUTPUTS])
    before = evaluate(model, dev, threads)
    rows = dev.rows[np.isfinite(dev.targets[dev.rows, 0])]  # texts whose label the model has
    logits, targets = model.logits(dev.documents, rows, threads), dev.targets[rows]
    if model.settings.multi_label:
        logits = logits.reshape(-1, 1)
    temperature = best_temperature(logits, targets.ravel().astype(np.int64))
    layer = model.parameters.W2.copy(), model.parameters.b2.copy()
    cool(model, temperature)
    after = evaluate(model, dev, threads)
    assert not isinstance(before, RatingEvaluation) and not isinstance(after, RatingEvaluation)  # noqa: PT018
    if after.calibration_error > before.calibration_error + LEAST:
        model.parameters.W2[:], model.parameters.b2[:] = layer
        temperature, after = 1.0, before
    errors = {"error_before": before.calibration_error, "error_after": after.calibration_error}
    return {"temperature": temperature, **errors}


def cool(model: Model, temperature: float) -> None:
    """Divide the logits of a model."""
    for array in (model.parameters.W2, model.parameters.b2):
        array /= np.float32(temperature)


def best_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature T with which the mean probability of the predicted labels is the share of them that are right.

    Over all texts, the probabilities may sum to 2 log T more, which keeps T near 1 where texts are few, or all right.

    Shapes: logits (n, k), with k = 1 for two labels; targets (n,) numbers of the labels.
    """
    logits = logits.astype(np.float64)
    logits = np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits
    right = int(np.count_nonzero(logits.argmax(axis=1) == targets))
    margins = logits - logits.max(axis=1, keepdims=True)

    def too_certain(step: int) -> bool:
        scale = step / STEPS
        return float((1 / np.exp(margins * 2.0**scale).sum(axis=1)).sum()) > right - 2 * math.log(2) * scale

    most = DOUBLINGS * STEPS
    step = bisect_left(range(-most, most), True, key=too_certain) - most
    return float(2.0 ** (-step / STEPS))


def tune_thresholds(model: Model, split: Split, threads: int = 1) -> None:
    """Give a model for several labels the threshold of each that has the best F1 on a split, if better than 0.5's."""
    probabilities = judged(model, model.logits(split.documents, split.rows, threads))[1]
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
