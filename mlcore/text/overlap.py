"""What texts share with those that a model is trained on: their words, and themselves, which fingerprints tell."""

import zlib
from typing import TYPE_CHECKING

import numpy as np

from mlcore.errors import DataWarning
from mlcore.kernels.compiling import kernel

if TYPE_CHECKING:
    from mlcore.text.dataset import Dataset
    from mlcore.text.ngrams import Features

FEW_KNOWN = 0.2  # of the words
MANY_SHARED = 0.01  # of the texts of a split
MAX_FINGERPRINTS = 1 << 20  # that are kept, 4 MB: of more texts those with the smallest ones, which are a random sample
FEW_FINGERPRINTS = 1 << 10  # that a compressed model keeps


def coverage_notes(
    dataset: "Dataset", rows: np.ndarray, features: "Features", texts: str, counts: np.ndarray | None = None
) -> list[DataWarning]:
    """A note if almost no word of these rows is among the features; ``texts`` says which they are.

    ``counts``: how often each feature occurs in the training texts, where there are some that do not.
    """
    ids = dataset.tokens.select(rows).ids
    known = np.zeros(len(dataset.words) + 1, bool)  # the last one is for words that the dataset lacks
    numbers = dataset.words.numbers_of(features.words)[:-1]
    known[numbers if counts is None else numbers[counts[: len(numbers)] > 0]] = True
    known[-1] = False
    if not len(ids) or (share := float(known[ids].mean())) >= FEW_KNOWN:
        return []
    return [DataWarning(f"only {share:.1%} of the words of the {texts} are known")]


def shared_notes(dataset: "Dataset", train: np.ndarray, held_out: dict[str, np.ndarray]) -> list[DataWarning]:
    """A note for each of these splits, given by its name and rows, of which texts are among the training rows too."""
    firsts, found = first_alike(dataset), []
    for name, rows in held_out.items():
        texts = firsts[rows]
        n = np.count_nonzero(np.isin(texts[texts >= 0], firsts[train]))
        if n > MANY_SHARED * np.count_nonzero(texts >= 0):
            found.append(DataWarning(f"{n:,} of the {len(rows):,} {name} texts are in the training texts too"))
    return found


def first_alike(dataset: "Dataset") -> np.ndarray:
    """The first text with the same words in the same order as each text, and -1 for those without words: (n,)."""
    ids, offsets = dataset.tokens
    hashes = hash_texts(ids, offsets, np.arange(dataset.n_texts), np.arange(len(dataset.words), dtype=np.uint32))
    _, firsts, numbers = np.unique(hashes, return_index=True, return_inverse=True)
    return np.where(np.diff(offsets) > 0, firsts[numbers], -1)


def fingerprints(dataset: "Dataset", rows: np.ndarray) -> np.ndarray:
    """A hash of the words of each of these texts, in their order, whatever else is in the dataset: (m,) uint32."""
    words = dataset.words.to_lines().tobytes().split(b"\n")[:-1]
    hashes = np.fromiter(map(zlib.crc32, words), np.uint32, len(words))
    return np.asarray(hash_texts(*dataset.tokens, rows, hashes) >> np.uint64(32)).astype(np.uint32)


def kept(hashes: np.ndarray) -> np.ndarray:
    """The fingerprints that a model keeps of these: different ones, ascending, and the smallest of very many."""
    return np.unique(hashes)[:MAX_FINGERPRINTS]


def share_known(hashes: np.ndarray, known: np.ndarray) -> float | None:
    """The share of these texts that are among those whose fingerprints were ``kept``; None if it cannot be told."""
    if len(known) in (FEW_FINGERPRINTS, MAX_FINGERPRINTS):  # only of those with small ones is it known
        hashes = hashes[hashes <= known[-1]]
    return float(np.isin(hashes, known).mean()) if len(hashes) and len(known) else None


@kernel
def hash_texts(ids, offsets, rows, hashes):
    """FNV-1a over the hashes of the words of each text: ids (t,), offsets (n + 1,), rows (m,) -> (m,) uint64.

    Source: Fowler, Noll and Vo; here a step for each word instead of each byte.
    """
    found = np.empty(rows.shape[0], np.uint64)
    for r in range(rows.shape[0]):
        value = np.uint64(14695981039346656037)
        for j in range(offsets[rows[r]], offsets[rows[r] + 1]):
            value = (value ^ np.uint64(hashes[ids[j]])) * np.uint64(1099511628211)
        found[r] = value
    return found
