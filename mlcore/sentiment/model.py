"""The network of exercise 5 with its settings: what is trained, saved and asked for predictions."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mlcore.kernels import forward, losses
from mlcore.kernels.forward import Parameters
from mlcore.kernels.simd import aligned_zeros
from mlcore.sentiment.settings import Settings
from mlcore.text.features import Features
from mlcore.text.pool import MOST_THREADS
from mlcore.text.vocabulary import Documents

LARGEST_PARAMETER = 1e9  # with as many as there may be, all outputs are finite in float32
ROWS = 1 << 10  # of a table that are computed at a time, in the second-level cache
BLOCK = 512  # texts scored at a time by a thread


def initial_parameters(features: int, outputs: int, settings: Settings) -> Parameters:
    """Start of a training: small uniform embeddings, He-uniform W1 and W2, biases 0."""
    random = np.random.default_rng([settings.seed, 0])
    parameters = Parameters.zeros(features, settings.dim, settings.hidden, outputs)
    for array, limit in (
        (parameters.table[:, : settings.dim], 0.1 / np.sqrt(settings.dim)),
        (parameters.W1[:, : settings.dim], np.sqrt(6 / settings.dim)),
        (parameters.W2, np.sqrt(6 / settings.hidden)),
    ):
        for block in blocks_of_rows(len(array)):
            array[block] = random.uniform(-limit, limit, array[block].shape)
    return parameters


class Split(NamedTuple):
    """Some texts with their targets: the rows that are trained on, held out, or tested."""

    documents: Documents
    targets: np.ndarray  # (n, 1) float32: with two labels 1 for the positive one, with more their numbers; or a rating
    rows: np.ndarray  # numbers of the texts that belong to this part


@dataclass
class Provenance:
    """Where a model comes from, as far as equal trainings have it in common: no dates, timings or output paths."""

    inputs: dict[str, str | list[str]] = field(default_factory=dict)  # options besides the settings, as given
    fingerprint: str = ""  # SHA-256 of all that was read
    texts: dict[str, int] = field(default_factory=dict)  # number of texts in train, dev and test
    history: list[dict] = field(default_factory=list)  # of each epoch the figures of HISTORY


HISTORY = ("epoch", "train_loss", "dev_loss", "dev_accuracy", "learning_rate", "restarts", "best")


@dataclass
class Model:
    """A network with the features it knows and the labels it tells apart; of two, the positive one is last.

    Without labels it predicts a number, such as a rating.
    """

    settings: Settings
    labels: tuple[str, ...]
    features: Features
    parameters: Parameters
    provenance: Provenance = field(default_factory=Provenance)

    def __setstate__(self, state: dict) -> None:
        """Take the parts of a pickle. What joblib has mapped for reading only is copied: to Numba it is of another
        type, for which every kernel would be compiled once more.
        """
        self.__dict__.update(state)
        arrays = (array if array.flags.writeable else np.array(array) for array in self.parameters)
        self.parameters = Parameters(*arrays)

    @property
    def loss(self) -> int:
        """Number of the loss that it is trained with: losses.SQUARED, LOGISTIC or SOFTMAX."""
        if not self.labels:
            return losses.SQUARED
        return losses.LOGISTIC if len(self.labels) == 2 else losses.SOFTMAX

    @property
    def n_parameters(self) -> int:
        """Number of numbers in the table and the layers (the padding is none)."""
        dim, hidden, outputs = self.settings.dim, self.settings.hidden, len(self.parameters.b2)
        return len(self.features) * dim + hidden * dim + hidden + outputs * hidden + outputs

    def logits(self, documents: Documents, rows: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """Outputs of the network for the given rows of documents (default: all): (n, k) float32.

        k is 1 with two labels (the logit of the positive one) and without labels (the predicted number).
        """
        rows = np.arange(documents.n_texts) if rows is None else rows
        logits = np.empty((len(rows), len(self.parameters.b2)), np.float32)

        def score(start: int) -> None:
            texts = rows[start : start + BLOCK]
            E = aligned_zeros((len(texts), self.parameters.W1.shape[1]), np.float32)
            Z, H = (np.empty((len(texts), self.settings.hidden), np.float32) for _ in range(2))
            starts, ends = documents.offsets[texts], documents.offsets[texts + 1]
            forward.forward_texts(
                documents.ids, documents.counts, starts, ends, self.parameters, E, Z, H, logits[start : start + BLOCK]
            )

        blocks = range(0, len(rows), BLOCK)
        if threads == 1 or len(blocks) == 1:
            for start in blocks:
                score(start)
        else:
            with ThreadPoolExecutor(min(threads, MOST_THREADS)) as pool:
                list(pool.map(score, blocks))
        return logits

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probability of each label, in the labels' order, summing to 1: (n, k) float32 -> (n, labels) float64."""
        if self.loss == losses.LOGISTIC:
            positive = sigmoid(logits[:, :1])
            return np.hstack([1 - positive, positive])
        powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def decide(self, logits: np.ndarray) -> np.ndarray:
        """Number of the most probable label of each text: (n, k) -> (n,) int64."""
        return (logits[:, 0] > 0).astype(np.int64) if self.loss == losses.LOGISTIC else logits.argmax(axis=1)


def blocks_of_rows(rows: int) -> Iterator[slice]:
    """All rows of a table, some at a time: what is computed in float64 should not take twice its memory."""
    return (slice(start, start + ROWS) for start in range(0, rows, ROWS))


def in_range(array: np.ndarray) -> bool:
    """Whether all numbers of a parameter are finite and small enough for finite outputs."""
    # NaN is neither the largest nor in range; the absolute values would be another array of this size
    return not array.size or -LARGEST_PARAMETER <= float(array.min()) <= float(array.max()) <= LARGEST_PARAMETER


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probability of the positive label, ``1 / (1 + exp(-z))``, in float64 and without overflow."""
    logits = logits.astype(np.float64)
    decay = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, decay) / (1 + decay)
