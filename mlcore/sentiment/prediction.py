"""What a classifier says of texts."""

from typing import NamedTuple

import numpy as np

from mlcore.errors import ModelFileError
from mlcore.sentiment.model import Model
from mlcore.text.dataset import Documents


class Predictions(NamedTuple):
    """Of each text the outputs of the network, what they mean, and how much of the text it knows."""

    outputs: np.ndarray  # (n, k) float32 logits; without labels, k is 1 and the output is the predicted number
    probabilities: np.ndarray  # (n, labels) float64 in the labels' order, of sum 1; without labels (n, 0)
    chosen: np.ndarray  # (n,) int64 number of the most probable label
    known: np.ndarray  # (n,) int64 number of known words, repeats included

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the chosen label: (n,) float64."""
        return self.probabilities[np.arange(len(self.chosen)), self.chosen]


def predict(classifier: Model, texts: list[str], threads: int = 1) -> Predictions:
    """Predict all texts at once; one without known words gets the network's value at E = 0.

    Raises: ModelFileError if the outputs are not finite.
    """
    parts = list(classifier.features.read(texts, threads))
    documents = Documents.joined(documents for documents, _ in parts)
    known = np.concatenate([np.zeros(0, np.int64), *(known for _, known in parts)])
    return Predictions(*score(classifier, documents, None, threads), known)


def score(
    classifier: Model, documents: Documents, rows: np.ndarray | None = None, threads: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs, probabilities and chosen labels of the given rows of documents (default: all), as in Predictions.

    Raises: ModelFileError if the outputs are not finite.
    """
    outputs = classifier.logits(documents, rows, threads)
    if not np.isfinite(outputs).all():
        raise ModelFileError("The model's output for a text is not finite: its numbers are too large; train it again.")
    if not classifier.labels:
        return outputs, np.empty((len(outputs), 0)), np.zeros(len(outputs), np.int64)
    return outputs, classifier.probabilities(outputs), classifier.decide(outputs)
