"""The network of exercise 5, embedding, mean, dense ReLU layer and dense layer: its parameters and its forward pass."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from mlcore.kernels.compiling import kernel
from mlcore.kernels.embedding import gather_mean
from mlcore.kernels.layers import affine, relu
from mlcore.kernels.simd import LANES, aligned_zeros


class Parameters(NamedTuple):
    """Parameters of the network, or arrays of the same shapes. Table and W1 are padded with columns of zeros."""

    table: np.ndarray  # (v, padded d)
    W1: np.ndarray  # (h, padded d)
    b1: np.ndarray  # (h,)
    W2: np.ndarray  # (k, h)
    b2: np.ndarray  # (k,)

    @classmethod
    def zeros(cls, features: int, dim: int, hidden: int, outputs: int) -> "Parameters":
        """Parameters that are all 0, each array on a cache line of its own."""
        padded = -(-dim // LANES) * LANES
        shapes = (features, padded), (hidden, padded), (hidden,), (outputs, hidden), (outputs,)
        return cls(*(aligned_zeros(shape, np.float32) for shape in shapes))

    def take(self, others: "Parameters", threads: int) -> None:
        """Overwrite all with others of the same shapes."""
        fill_rows(self.table, others.table, threads)
        for array, values in zip(self[1:], others[1:], strict=True):
            array[:] = values


def fill_rows(table: np.ndarray, values: np.ndarray, threads: int) -> None:
    """Overwrite a table with values of as many rows; its first touch takes longer than all else that uses it once."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(np.copyto, *(np.array_split(rows, threads) for rows in (table, values))))


@kernel
def forward_means(layers, E, Z, H, logits):
    """Logits of texts from their mean embeddings, ``W2 relu(W1 E + b1) + b2``: overwrite Z, H and logits.

    Shapes: layers: W1 (h, d), b1 (h,), W2 (k, h), b2 (k,); E (b, d) -> Z and H (b, h), logits (b, k).
    Source: exercise 5.
    """
    W1, b1, W2, b2 = layers
    affine(E, W1, b1, Z)
    relu(Z, H)
    affine(H, W2, b2, logits)


@kernel
def forward_texts(ids, counts, starts, ends, parameters, E, Z, H, logits):
    """Logits of texts: overwrite E, Z, H and logits.

    Shapes: ids, counts (m,); starts, ends (b,) of each text's entries; the rest as in forward_means.
    """
    gather_mean(parameters.table, ids, counts, starts, ends, np.int64(0), E.shape[1], E)
    forward_means(parameters[1:], E, Z, H, logits)
