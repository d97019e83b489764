"""What a model predicts for texts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlcore.errors import InputError, ModelFileError
from mlcore.sentiment.model import Model
from mlcore.text.dataset import Documents


@dataclass(frozen=True)
class Predictions:
    """The outputs of the network for n texts, what they mean, and how much of each text the model knows."""

    labels: tuple[str, ...]
    outputs: np.ndarray  # (n, k) float32 logits; without labels, k is 1 and the output is the predicted rating
    probabilities: np.ndarray  # (n, labels) float64 in the labels' order, each row summing to 1; without labels (n, 0)
    chosen: np.ndarray  # (n,) int64 number of the most probable label
    known: np.ndarray  # (n,) int64 number of known words, repeats included

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the chosen label: (n,) float64."""
        return np.take_along_axis(self.probabilities, self.chosen[:, np.newaxis], axis=1)[:, 0]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The answer for each text in types that JSON has."""
        known, labels = self.known.tolist(), self.labels
        if not labels:
            ratings = zip(self.outputs[:, 0].tolist(), known, strict=True)
            return [{"rating": rating, "known_words": n} for rating, n in ratings]
        all_probabilities = (dict(zip(labels, row, strict=True)) for row in self.probabilities.tolist())
        answers = zip((labels[i] for i in self.chosen), self.confidence.tolist(), all_probabilities, known, strict=True)
        return [dict(zip(("label", "probability", "probabilities", "known_words"), a, strict=True)) for a in answers]


def predict(model: Model, texts: list[str], threads: int = 1) -> Predictions:
    """Predict all texts at once; a text without known words gets the network's output for E = 0.

    Raises: ModelFileError if the outputs are not finite.
    """
    parts = list(model.features.read(texts, threads))
    documents = Documents.joined(documents for documents, _ in parts)
    known = np.concatenate([np.zeros(0, np.int64), *(known for _, known in parts)])
    return Predictions(model.labels, *score(model, documents, None, threads), known)


def score(
    model: Model, documents: Documents, rows: np.ndarray | None = None, threads: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs, probabilities and chosen labels for the given rows of documents (default: all), as in Predictions.

    Raises: ModelFileError if the outputs are not finite.
    """
    outputs = model.logits(documents, rows, threads)
    if not np.isfinite(outputs).all():
        raise ModelFileError(
            "The model's output for a text is not finite: its parameters are too large; train it again"
        )
    if not model.labels:
        return outputs, np.empty((len(outputs), 0)), np.zeros(len(outputs), np.int64)
    return outputs, model.probabilities(outputs), model.decide(outputs)


def label_number(model: Model, label: str, parameter: str) -> int:
    """Number of a label, which the caller was given as this parameter.

    Raises: InputError if the model has no such label.
    """
    if not model.labels:
        raise InputError("the model predicts ratings and has no labels", parameter=parameter, value=label)
    if label not in model.labels:
        shown = ", ".join(model.labels[:20]) + (", ..." if len(model.labels) > 20 else "")
        raise InputError(f"expected one of the model's labels: {shown}", parameter=parameter, value=label)
    return model.labels.index(label)
