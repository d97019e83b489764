"""The network of exercise 5 with its settings: what is trained, saved and asked for predictions."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore import kernels
from mlcore.sentiment.settings import Settings
from mlcore.text.vocabulary import Documents, WordTable, count_words

SIMD_FLOATS = 16  # rows are padded to whole cache lines, which are also the widest vectors
MOST_THREADS = 64  # at work at a time, whatever number is asked for
BLOCK = 512  # texts scored at a time by a thread


class Parameters(NamedTuple):
    """Parameters of the network, or arrays of the same shapes. Table and W1 are padded with columns of zeros."""

    table: np.ndarray  # (v, padded d)
    W1: np.ndarray  # (h, padded d)
    b1: np.ndarray  # (h,)
    W2: np.ndarray  # (k, h)
    b2: np.ndarray  # (k,)

    @classmethod
    def zeros(cls, words: int, dim: int, hidden: int, dtype: type = np.float32) -> "Parameters":
        """Parameters that are all 0, each array on a cache line of its own."""
        padded = -(-dim // SIMD_FLOATS) * SIMD_FLOATS
        shapes = (words, padded), (hidden, padded), (hidden,), (1, hidden), (1,)
        return cls(*(aligned_zeros(shape, dtype) for shape in shapes))

    @classmethod
    def initial(cls, words: int, settings: Settings) -> "Parameters":
        """Start of a training: small uniform embeddings, He-uniform W1 and W2, biases 0."""
        random = np.random.default_rng([settings.seed, 0])
        parameters = cls.zeros(words, settings.dim, settings.hidden)
        for array, limit in (
            (parameters.table[:, : settings.dim], 0.1 / np.sqrt(settings.dim)),
            (parameters.W1[:, : settings.dim], np.sqrt(6 / settings.dim)),
            (parameters.W2, np.sqrt(6 / settings.hidden)),
        ):
            array[:] = random.uniform(-limit, limit, array.shape)
        return parameters

    def copy(self) -> "Parameters":
        """Deep copy."""
        copied = Parameters(*(aligned_zeros(array.shape, array.dtype) for array in self))
        for array, values in zip(copied, self, strict=True):
            array[:] = values
        return copied


class Part(NamedTuple):
    """Some texts with their targets: the rows that are trained on, held out, or tested."""

    documents: Documents
    targets: np.ndarray  # (n, 1) float32, 1 for the positive label
    rows: np.ndarray  # numbers of the texts that belong to this part


@dataclass
class Classifier:
    """A network with the words it knows and the two labels it tells apart, the positive one last."""

    settings: Settings
    labels: tuple[str, str]
    vocabulary: WordTable
    parameters: Parameters

    @property
    def n_parameters(self) -> int:
        """Number of trained numbers (the padding is none)."""
        dim, hidden = self.settings.dim, self.settings.hidden
        return len(self.vocabulary) * dim + hidden * dim + hidden + hidden + 1

    def documents(self, texts: Iterable[str]) -> Documents:
        """Known words of the texts with their counts."""
        return count_words(self.vocabulary.look_up(texts), len(self.vocabulary))

    def logits(self, documents: Documents, rows: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """Logit of the positive label for the given rows of documents (default: all): (n,) float32."""
        rows = np.arange(documents.n_texts) if rows is None else rows
        logits = np.empty((len(rows), 1), np.float32)

        def score(start: int) -> None:
            texts = rows[start : start + BLOCK]
            E = aligned_zeros((len(texts), self.parameters.table.shape[1]), np.float32)
            Z, H = (np.empty((len(texts), self.settings.hidden), np.float32) for _ in range(2))
            kernels.forward_texts(documents, texts, self.parameters, E, Z, H, logits[start : start + BLOCK])

        with ThreadPoolExecutor(min(threads, MOST_THREADS)) as pool:
            list(pool.map(score, range(0, len(rows), BLOCK)))
        return logits[:, 0]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probability of the positive label, ``1 / (1 + exp(-z))``, in float64 and without overflow."""
    logits = logits.astype(np.float64)
    decay = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, decay) / (1 + decay)


def aligned_zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Array of zeros that starts on a cache line, so that padded rows touch as few lines as possible."""
    line = 64
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + line, np.uint8)
    start = -memory.ctypes.data % line
    return memory[start : start + size].view(dtype).reshape(shape)
