"""Fingerprints of texts, by which a model recognises those that it was trained on."""

import zlib
from typing import TYPE_CHECKING

import numpy as np

from mlcore.kernels.compiling import kernel

if TYPE_CHECKING:
    from mlcore.text.dataset import Dataset

MAX_FINGERPRINTS = 1 << 20  # that are kept, 4 MB: of more texts those with the smallest ones, which are a random sample


def fingerprints(dataset: "Dataset", rows: np.ndarray) -> np.ndarray:
    """A hash of the words of each of these texts, in their order, whatever else is in the dataset: (m,) uint32."""
    words = dataset.words.to_lines().tobytes().split(b"\n")[:-1]
    hashes = np.fromiter(map(zlib.crc32, words), np.uint32, len(words))
    return np.asarray(hash_texts(dataset.tokens.ids, dataset.tokens.offsets, rows, hashes))


def kept(hashes: np.ndarray) -> np.ndarray:
    """The fingerprints that a model keeps of these: different ones, ascending, and the smallest of very many."""
    return np.unique(hashes)[:MAX_FINGERPRINTS]


def share_known(hashes: np.ndarray, known: np.ndarray) -> float | None:
    """The share of these texts that are among those whose fingerprints were ``kept``; None if it cannot be told."""
    if len(known) == MAX_FINGERPRINTS:  # only of those with small ones is it known
        hashes = hashes[hashes <= known[-1]]
    return float(np.isin(hashes, known).mean()) if len(hashes) and len(known) else None


@kernel
def hash_texts(ids, offsets, rows, hashes):
    """FNV-1a over the hashes of the words of each text: ids (t,), offsets (n + 1,), rows (m,) -> (m,) uint32.

    Source: Fowler, Noll and Vo; here with 64 bits, of which the upper 32 are taken.
    """
    found = np.empty(rows.shape[0], np.uint32)
    for r in range(rows.shape[0]):
        value = np.uint64(14695981039346656037)
        for j in range(offsets[rows[r]], offsets[rows[r] + 1]):
            value = (value ^ np.uint64(hashes[ids[j]])) * np.uint64(1099511628211)
        found[r] = np.uint32(value >> np.uint64(32))
    return found
