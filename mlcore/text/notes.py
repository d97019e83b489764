"""Whether held-out texts tell how good a model is: whether it knows their words, and was not trained on them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mlcore.errors import DataWarning

if TYPE_CHECKING:
    from mlcore.text.dataset import Dataset
    from mlcore.text.ngrams import Features

FEW_KNOWN = 0.2  # of the words
MANY_SHARED = 0.01  # of the texts of a split


def coverage_notes(
    dataset: "Dataset", rows: np.ndarray, features: "Features", texts: str, counts: np.ndarray | None = None
) -> list[DataWarning]:
    """A note if almost no word of these rows is among the features; ``texts`` says which they are.

    ``counts``: how often each feature occurs in the training texts, where there are some that do not.
    """
    ids = dataset.tokens.select(rows).ids
    known = np.zeros(len(dataset.words) + 1, bool)  # the last one is for words that the dataset lacks
    numbers = dataset.words.numbers_of(features.words)
    known[numbers[:-1] if counts is None else numbers[:-1][counts[: len(features.words)] > 0]] = True
    known[-1] = False
    if not len(ids) or (share := float(known[ids].mean())) >= FEW_KNOWN:
        return []
    return [DataWarning(f"only {share:.1%} of the words of the {texts} are known")]


def shared_notes(
    dataset: "Dataset", train: np.ndarray, held_out: "dict[str, tuple[Dataset, np.ndarray]]"
) -> list[DataWarning]:
    """Notes if texts of the splits of these names, with the same words, are among the training rows."""
    found = []
    hashes = {name: [text for text in _hashes(dataset, *split) if text] for name, split in held_out.items()}
    wanted = {text for texts in hashes.values() for text in texts}
    shared = {text for text in _hashes(dataset, dataset, train) if text in wanted}
    for name, texts in hashes.items():
        if (n := sum(text in shared for text in texts)) > MANY_SHARED * len(texts):
            all_texts = len(held_out[name][1])
            found.append(DataWarning(f"{n:,} of the {all_texts:,} {name} texts are in the training texts too"))
    return found


def _hashes(dataset: "Dataset", other: "Dataset", rows: np.ndarray) -> Iterator[int]:
    """A hash of the words of each of these rows of another dataset, by their numbers in this one; 0 without words."""
    numbers = None if other is dataset else dataset.words.numbers_of(other.words)
    bounds = other.tokens.offsets.tolist()
    for row in rows.tolist():
        ids = np.asarray(other.tokens.ids[bounds[row] : bounds[row + 1]])
        ids = ids if numbers is None else numbers[ids].astype(ids.dtype)
        yield hash(ids.tobytes()) if len(ids) else 0
