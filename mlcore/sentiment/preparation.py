"""From a corpus to arrays: which texts are trained on and held out, and what their labels and features are."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlcore.errors import DataError, InputError
from mlcore.kernels.compiling import kernel
from mlcore.sentiment.model import Model, Split
from mlcore.sentiment.settings import Settings
from mlcore.text.corpus import Corpus
from mlcore.text.features import Features, choose_features, extend
from mlcore.text.growing import Growing
from mlcore.text.numbered import NumberedCorpus, number_corpus
from mlcore.text.vocabulary import Documents

MOST_LABELS = 1_000
LARGEST_RATING = 1e18  # whose square is far from overflow in float32


@dataclass
class TrainingData:
    """All that a training needs, as arrays."""

    features: Features
    feature_counts: np.ndarray  # (v,) int64 occurrences in the texts that are trained on; texts, if features are binary
    labels: tuple[str, ...]  # none for ratings
    train: Split
    dev: Split | None
    test: Split | None

    @property
    def sizes(self) -> dict[str, int]:
        """Number of texts in each part."""
        parts = {"train": self.train, "dev": self.dev, "test": self.test}
        return {name: len(part.rows) if part else 0 for name, part in parts.items()}


def prepare(
    corpus: NumberedCorpus | Corpus,
    dev: Corpus | float | None,
    settings: Settings,
    known: Features | None = None,
    threads: int = 1,
    folder: Path | None = None,
) -> TrainingData:
    """Split a corpus and turn it into arrays, which are the same for any number of threads.

    ``dev``: what is held out. None takes the corpus's own dev part, or 0.1 of its texts where it has none; a
    corpus or a fraction of the texts is used instead of the corpus's own dev part, which is then trained on;
    0 holds nothing out. Texts of the test part are never trained on.
    ``known``: features to keep besides those of the texts.
    ``folder``: where the texts' features are written, and mapped from; without it they are in memory.

    Raises: DataError if the texts cannot be trained on; InputError if dev is not in [0, 1).
    """
    if isinstance(corpus, Corpus):
        corpus = number_corpus(corpus, threads)
    train, dev_rows, test_rows, labels, targets = _split(corpus, dev, settings)
    features = choose_features(
        corpus.table, corpus.tokens, train, settings.ngrams, settings.min_count, settings.max_features,
        settings.binary, threads,
    )  # fmt: skip
    if not len(features):
        often = f" that occurs {settings.min_count} times (see --min-count)" if settings.min_count > 1 else ""
        raise DataError(f"{corpus.source} has no word{often} in the texts to train on; expected some.")
    if known:
        features = extend(known, features)
    storage = [
        Growing(dtype, folder and folder / name)
        for name, dtype in zip(Documents._fields, (np.int32, np.int32, np.int64), strict=True)
    ]
    documents = features.documents_of(corpus.tokens, corpus.table, threads, storage)

    def part(rows: np.ndarray) -> Split | None:
        return Split(documents, targets, rows) if len(rows) else None

    dev_part = part_of(dev, features, labels, threads) if isinstance(dev, Corpus) else part(dev_rows)
    counts = occurrences(documents, train, len(features))
    return TrainingData(features, counts, labels, part(train), dev_part, part(test_rows))


def _split(
    corpus: NumberedCorpus, dev: Corpus | float | None, settings: Settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    """Rows that are trained on, held out and tested, the labels, and the targets of all texts."""
    own_dev = corpus.part("dev")
    train = corpus.part("", "train", *(["dev"] if dev is not None else []))
    if not len(train):
        raise DataError(f"{corpus.source} has no text in its train part; expected some.")
    names = (corpus.label_names[number] for number in np.unique(corpus.labels[train]))
    labels = () if settings.loss == "squared" else choose_labels(corpus.source, names)
    of_names = targets_of(corpus.source, corpus.label_names, corpus.label_places, labels)
    targets = of_names[corpus.labels]
    dev_rows = own_dev if dev is None else np.zeros(0, np.int64)
    fraction = 0.1 if dev is None and not len(own_dev) else dev
    if isinstance(fraction, int | float):
        if not 0 <= fraction < 1:
            raise InputError(f"dev is {fraction}; expected a fraction from 0 to less than 1, or a path.")
        if fraction > 0:
            strata = targets[train, 0] if labels else np.zeros(len(train))
            held_out = hold_out(strata, fraction, settings.seed)
            train, dev_rows = train[~held_out], train[held_out]
            if not len(train) or len(np.unique(targets[train])) < len(labels):
                raise DataError(f"{corpus.source} has too few texts to hold some out; try --dev 0 to train on all.")
    return train, dev_rows, corpus.part("test"), labels, targets


def choose_labels(source: str, names: Iterable[str]) -> tuple[str, ...]:
    """These labels, in numerical order if all are whole numbers, else in alphabetical order.

    Of two labels the positive one is last: ``pos``, or else the last in this order.

    Raises: DataError unless there are at least two, and not absurdly many.
    """
    labels = sorted(set(names))
    if not 2 <= len(labels) <= MOST_LABELS:
        shown = ", ".join(repr(label) for label in labels[:10])
        raise DataError(
            f"{source} has {len(labels):,} label{'s' * (len(labels) != 1)} to train on "
            f"({shown}{', ...' * (len(labels) > 10)}); expected from 2 to {MOST_LABELS:,}."
        )
    if all(label.isdecimal() for label in labels):
        labels.sort(key=lambda label: (int(label), label))
    if len(labels) == 2 and labels[0] == "pos":
        labels.reverse()
    return tuple(labels)


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Mask of a random part of the texts, of the given fraction of each label, at least one text each.

    Shapes: labels (n,) -> (n,) bool.
    """
    random = np.random.default_rng([seed, 1])
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        held_out[rows[: max(1, round(fraction * len(rows)))]] = True
    return held_out


def labelled_part(classifier: Model, corpus: Corpus, threads: int = 1) -> Split:
    """All texts of a corpus as a trained classifier sees them."""
    return part_of(corpus, classifier.features, classifier.labels, threads)


def part_of(corpus: Corpus, features: Features, labels: tuple[str, ...], threads: int = 1) -> Split:
    """All texts of a corpus with these features and labels."""
    targets = targets_of(corpus.source, corpus.labels, corpus.places, labels)
    documents = features.documents(corpus.texts, threads)
    return Split(documents, targets, np.arange(documents.n_texts))


def occurrences(documents: Documents, rows: np.ndarray, features: int) -> np.ndarray:
    """How often each feature occurs in these rows of documents: (v,) int64."""
    totals = np.zeros(features, np.int64)
    for _, block in documents.in_blocks(rows):
        add_occurrences(*documents, block, totals)
    return totals


@kernel
def add_occurrences(ids, counts, offsets, rows, totals):
    """Count the features of some texts, repeats included: add to totals.

    Shapes: ids (m,), counts (m,) or (1,), offsets (n + 1,), rows (r,) -> totals (v,).
    """
    for r in range(rows.shape[0]):
        for j in range(offsets[rows[r]], offsets[rows[r] + 1]):
            totals[ids[j]] += counts[j if counts.shape[0] > 1 else 0]


def targets_of(source: str, names: list[str], places: list[str], labels: tuple[str, ...]) -> np.ndarray:
    """Number of each name among the labels, or without labels the number that the name is: (n, 1) float32.

    ``places``: where the names are, for messages; if there are none, the names are those of text 1, 2, ...

    Raises: DataError if a name is no label, or no finite number.
    """
    numbers = {label: float(number) for number, label in enumerate(labels)}
    targets = np.empty((len(names), 1), np.float32)
    for i, name in enumerate(names):
        target = numbers.get(name) if labels else rating_of(name)
        if target is None:
            place = places[i] if places else f"text {i + 1}"
            expected = (
                f"{_alternatives(labels)}, as in the training data" if labels else f"a number up to {LARGEST_RATING:g}"
            )
            raise DataError(f"{source}, {place}: the label is {name!r}; expected {expected}.")
        targets[i] = target
    return targets


def _alternatives(labels: tuple[str, ...]) -> str:
    shown = [repr(label) for label in labels[:12]] + ["..."] * (len(labels) > 12)
    return " or ".join([", ".join(shown[:-1]), shown[-1]])


def rating_of(label: str) -> float | None:
    """The number that a label is, or None if it is no finite one up to LARGEST_RATING."""
    try:
        value = float(label)
    except ValueError:
        return None
    return value if abs(value) <= LARGEST_RATING else None
