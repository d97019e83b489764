"""The network of exercise 5 with its settings: what is trained, saved and asked for predictions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from mlcore.kernels import forward, losses
from mlcore.kernels.forward import Parameters
from mlcore.kernels.simd import aligned_zeros
from mlcore.sentiment.settings import Settings
from mlcore.text.documents import Documents
from mlcore.text.ngrams import Features
from mlcore.text.pool import Result, in_order

MAX_PARAMETER = 1e9  # with as many parameters as there may be, all outputs are finite in float32
BLOCK, MAX_OUTPUTS = 512, 1 << 20  # texts that a thread scores at a time, and outputs, which are more with many labels
HISTORY: dict[str, tuple[type, ...]] = {  # what a model records of each epoch: nothing that varies between equal runs
    "epoch": (int,), "train_loss": (int, float), "dev_loss": (int, float, NoneType),
    "dev_accuracy": (int, float, NoneType), "dev_micro_f1": (int, float, NoneType), "learning_rate": (int, float),
    "restarts": (int,), "best": (bool,),
}  # fmt: skip


@dataclass
class Provenance:
    """Where a model comes from: what equal trainings have in common, without dates, timings or output paths."""

    inputs: dict[str, str | list[str]] = field(default_factory=dict)  # options besides the settings, as given
    fingerprint: str = ""  # SHA-256 of all that was read
    texts: dict[str, int] = field(default_factory=dict)  # number of texts in train, dev and test
    history: list[dict[str, Any]] = field(default_factory=list)  # for each epoch the figures of HISTORY
    chosen: list[str] = field(default_factory=list)  # settings that were automatic
    calibration: dict[str, float] = field(default_factory=dict)  # of ``calibrate``


class Compressed(NamedTuple):
    """What ``compression.compress`` has done: the embedding consists of multiples of a step, from -127 to 127."""

    step: float  # a float32
    features: int  # of the original
    dim: int


@dataclass
class Model:
    """Network, features and labels. Of two labels the positive one is last; without any it predicts numbers."""

    settings: Settings  # resolved
    labels: tuple[str, ...]
    features: Features
    parameters: Parameters
    provenance: Provenance = field(default_factory=Provenance)
    thresholds: np.ndarray | None = None  # (labels,) float64, where texts may have several; None: 0.5 for all
    seen: tuple[float, float] | None = None  # the lowest and the highest rating of the training texts
    trained_on: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))  # fingerprints of texts, ascending
    compressed: Compressed | None = None
    first_squares: np.ndarray | None = None  # (v,) float32: what Adagrad's sums of squares begin with in each row

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickle. Numba would compile all kernels again for arrays that joblib has mapped read-only."""
        self.__dict__.update(state)
        self.parameters = Parameters(*(np.require(np.asarray(array), requirements="W") for array in self.parameters))

    @property
    def loss(self) -> int:
        """Number of the loss that it is trained with: losses.SQUARED, LOGISTIC or SOFTMAX."""
        if not self.labels:
            return losses.SQUARED
        return losses.LOGISTIC if len(self.labels) == 2 or self.settings.multi_label else losses.SOFTMAX

    @property
    def n_parameters(self) -> int:
        """Number of parameters in the table and the layers, not counting the padding."""
        dim, hidden, outputs = self.settings.dim, self.settings.hidden, len(self.parameters.b2)
        return len(self.features) * dim + hidden * dim + hidden + outputs * hidden + outputs

    def logits(self, documents: Documents, rows: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """Outputs of the network for the given rows of documents (default: all): (n, k) float32.

        k is the number of labels; 1 with two, of which one is right (the logit of the positive one), and without labels
        (the predicted number).
        """
        rows = np.arange(documents.n_texts) if rows is None else rows
        logits = np.empty((len(rows), len(self.parameters.b2)), np.float32)

        def score(block: slice) -> None:
            texts = rows[block]
            E = aligned_zeros((len(texts), self.parameters.W1.shape[1]), np.float32)
            Z, H = (np.empty((len(texts), self.settings.hidden), np.float32) for _ in range(2))
            (ids, counts, offsets), Y = documents, logits[block]
            forward.forward_texts(ids, counts, offsets[texts], offsets[texts + 1], self.parameters, E, Z, H, Y)

        for _ in self.in_blocks(score, len(rows), threads):
            pass
        return logits

    def within_range(self, outputs: np.ndarray) -> np.ndarray:
        """The outputs of the network; ratings become the nearest ones between those that training has seen."""
        if self.seen is None:
            return outputs
        low, high = self.seen
        return np.asarray(np.clip(outputs, np.float32(low), np.float32(high)))

    def in_blocks(self, function: Callable[[slice], Result], n: int, threads: int = 1) -> Iterator[Result]:
        """What the function gives for some of n texts after the other, as many as are scored at a time."""
        size = max(1, min(BLOCK, MAX_OUTPUTS // len(self.parameters.b2)))
        blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]
        return in_order(function, blocks, min(threads, len(blocks)) or 1)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probability of each label, in the labels' order: (n, k) float32 -> (n, labels) float64.

        They sum to 1, unless texts may have several labels.
        """
        if self.loss == losses.LOGISTIC:
            decay = np.exp(-np.abs(logits.astype(np.float64)))  # never overflows
            positive = np.where(logits >= 0, 1, decay) / (1 + decay)
            return positive if self.settings.multi_label else np.hstack([1 - positive, positive])
        powers: np.ndarray = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        powers /= powers.sum(axis=1, keepdims=True)
        return powers

    def decide(self, logits: np.ndarray) -> np.ndarray:
        """Number of the most probable label of each text: (n, k) -> (n,) int64.

        Where texts may have several labels: whether each is predicted, (n, k) bool.
        """
        if self.settings.multi_label:
            thresholds = 0.5 if self.thresholds is None else self.thresholds
            return np.asarray(self.probabilities(logits) > thresholds)
        return (logits[:, 0] > 0).astype(np.int64) if self.loss == losses.LOGISTIC else logits.argmax(axis=1)

    def names_of(self, decided: np.ndarray) -> list[str]:
        """The predicted labels of a text, from what ``decide`` says of it: one, or where it may have several, those."""
        return [self.labels[number] for number in (np.flatnonzero(decided) if decided.ndim else [int(decided)])]


def in_range(array: np.ndarray, limit: float = MAX_PARAMETER) -> bool:
    """Whether no number is NaN or beyond the limit."""
    # min and max are NaN if a number is; the absolute values would be another array of this size
    return not array.size or -limit <= float(array.min()) <= float(array.max()) <= limit
