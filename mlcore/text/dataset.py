"""The dataset: labelled texts as numbers, from the files to the arrays that are trained on and measured on."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, repeat
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlcore.errors import DataError, DataWarning, InputError
from mlcore.files import installed, name_of
from mlcore.kernels.compiling import kernel
from mlcore.kernels.embedding import place_of
from mlcore.text.documents import Documents
from mlcore.text.growing import GrowingArray, release_free_memory
from mlcore.text.labels import SPLIT_NUMBERS, hold_out, joined, labels_in, partition
from mlcore.text.layout import Layout
from mlcore.text.ngrams import Choice, Features, choose_features, extend
from mlcore.text.overlap import coverage_notes, fingerprints, kept, shared_notes
from mlcore.text.readers import Example, read_examples
from mlcore.text.table import Notes
from mlcore.text.vocabulary import Tokens, WordTable

BATCH = 500  # examples that are looked at together
Progress = Callable[[int], None]  # called with the number of texts so far


@dataclass(eq=False)
class Dataset:
    """Labelled texts as word numbers, each with the numbers of its label and of its split ("" where it has none)."""

    source: str
    words: WordTable
    tokens: Tokens
    label_names: list[str]  # in the order of their first occurrence
    label_places: list[str]  # where each label occurs first
    labels: np.ndarray  # (n,) int32 indices of label_names
    splits: np.ndarray  # (n,) int8 values of SPLIT_NUMBERS
    fingerprint: str  # SHA-256 of the texts with their labels and splits
    texts: list[str] | None = None  # only where they are asked for
    places: list[str] | None = None  # line or file of each text, only where asked for
    weights: np.ndarray | None = None  # (n,) float32 in the loss; None: all the same
    notes: Notes = field(default_factory=Notes)  # what was guessed, skipped and replaced in reading

    @property
    def n_texts(self) -> int:
        return len(self.labels)

    @property
    def several_labels(self) -> bool:
        """Whether some text has more labels than one, or none."""
        return any(len(labels_in(name)) != 1 for name in self.label_names)

    def place(self, row: int) -> str:
        """Where a text comes from, as messages name it."""
        return self.places[row] if self.places else f"text {row + 1}"

    def named(self, place: str) -> str:
        """A place with the source, unless it names a file itself."""
        return f"{self.source}, {place}" if re.fullmatch(r"\w+ \d+", place) else place

    def rows(self, *splits: str) -> np.ndarray:
        """Numbers of the texts of these splits, ascending: (m,) int64."""
        return np.flatnonzero(np.isin(self.splits, [SPLIT_NUMBERS[name] for name in splits]))

    def held_out(self) -> tuple[np.ndarray, str]:
        """Texts to measure on, and which they are: the test split, or else the dev split, or else "all"."""
        for name in ("test", "dev"):
            rows = self.rows(name)
            if 0 < len(rows) < self.n_texts:
                return rows, name
        return np.arange(self.n_texts), "all"


class Split(NamedTuple):
    """Some texts with their targets: those that are trained on, held out, or tested."""

    documents: Documents
    # (n, 1) float32: with two labels 1 for the positive one, with more their numbers, NaN for others; or a rating.
    # Where texts have several labels: (n, labels) of 0 and 1
    targets: np.ndarray
    rows: np.ndarray  # (m,) int64 numbers of the texts that belong to the split
    weights: np.ndarray | None = None  # (n,) float32 of the texts in the loss; None: all the same


@dataclass(frozen=True, eq=False)
class EncodedDataset:
    """All that a training needs, as arrays."""

    features: Features
    feature_counts: np.ndarray  # (v,) int64 occurrences in the texts that are trained on; texts, if features are binary
    labels: tuple[str, ...]  # of two, the positive one is last; none for ratings
    train: Split
    dev: Split | None
    test: Split | None
    whole: Split | None = None  # training and held-out texts with all of the features, to train on at last
    warnings: list[DataWarning] = field(default_factory=list)
    notes: list[DataWarning] = field(default_factory=list)  # less urgent ones, for after the training
    # of the texts that are trained on at last
    fingerprints: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint32))

    @property
    def sizes(self) -> dict[str, int]:
        """Number of texts in each split."""
        splits = {"train": self.train, "dev": self.dev, "test": self.test}
        return {name: len(split.rows) if split else 0 for name, split in splits.items()}


# From texts to numbers ------------------------------------------------------------------------------------


def built_in_dataset() -> Path:
    """Path of the dataset that is installed with mlcore."""
    return installed("reviews.tsv")


def read_dataset(
    paths: Sequence[Path] | Path,
    layout: Layout | None = None,
    threads: int = 1,
    progress: Progress = lambda texts: None,
    keep_texts: bool = False,
) -> Dataset:
    """Number the labelled texts that ``read_examples`` finds, and raises as it does; few are in memory at a time.

    ``keep_texts`` keeps the texts and their places.
    """
    paths, notes = [Path(paths)] if isinstance(paths, str | PathLike) else list(paths), Notes()
    examples = read_examples(paths, layout, notes)
    return _number(examples, ", ".join(map(name_of, paths)), threads, keep_texts, notes, progress)


def dataset_of(
    texts: Sequence[str],
    labels: Sequence[str | Sequence[str]],
    threads: int = 1,
    source: str = "X",
    splits: Iterable[str] = repeat(""),
) -> Dataset:
    """Dataset of texts in memory, which it keeps, with a label each, or several.

    Example:
        >>> data = dataset_of(["Good film!", "Bad film."], ["pos", "neg"])
        >>> data.tokens.ids.tolist(), data.labels.tolist(), data.label_names
        ([0, 1, 2, 3, 1, 4], [0, 1], ['pos', 'neg'])
    """
    places = (f"text {number}" for number in range(1, len(texts) + 1))
    examples = (Example(*columns) for columns in zip(texts, labels, splits, places, strict=False))
    return replace(_number(examples, source, threads, False, Notes(), lambda texts: None), texts=list(texts))


def _number(
    examples: Iterator[Example], source: str, threads: int, keep_texts: bool, notes: Notes, progress: Progress
) -> Dataset:
    words, digest, kept_texts, places_of = WordTable(), hashlib.sha256(), list[str](), list[str]()
    numbers, label_places = dict[str, int](), list[str]()  # of each label, and where it occurs first
    labels, splits, weights = GrowingArray(np.int32), GrowingArray(np.int8), GrowingArray(np.float32)

    def take_texts() -> Iterator[str]:
        """The texts, while all else of the examples is noted."""
        done = 0
        while batch := list(islice(examples, BATCH)):
            texts, labels_of, split_names, places, weights_of = zip(*batch, strict=True)
            names = tuple(map(joined, labels_of))
            for values in (texts, names, split_names):
                encoded = [value.encode("utf-8", "surrogatepass") for value in values]
                digest.update(np.array([len(batch), *map(len, encoded)], "<i8").tobytes())
                digest.update(b"".join(encoded))
            for name, place in zip(names, places, strict=True):
                if numbers.setdefault(name, len(numbers)) == len(label_places):
                    label_places.append(place)
            labels.append(np.array([numbers[name] for name in names]))
            splits.append(np.array([SPLIT_NUMBERS[name] for name in split_names]))
            weights.append(np.array(weights_of))
            if keep_texts:
                kept_texts.extend(texts)
                places_of.extend(places)
            yield from texts
            done += len(texts)
            progress(done)

    tokens = words.add(take_texts(), threads)
    release_free_memory()  # of texts on their way; what comes next needs it
    own_weights = weights.finish()
    weighted = bool((own_weights != 1).any())
    digest.update(own_weights.tobytes() * weighted)
    return Dataset(
        source, words, tokens, list(numbers), label_places, labels.finish(), splits.finish(), digest.hexdigest(),
        kept_texts if keep_texts else None, places_of if keep_texts else None, own_weights if weighted else None, notes,
    )  # fmt: skip


def with_test_split(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """The dataset with a random share of its training texts, of each label, as its test split.

    Raises: InputError if the fraction is not between 0 and 1, or there is a test split already.
    """
    if not 0 < fraction < 1:
        raise InputError("expected a fraction above 0 and less than 1", parameter="test", value=fraction)
    if len(dataset.rows("test")):
        raise InputError(f"{dataset.source} has a test split; leave this out", parameter="test", value=fraction)
    train, splits = dataset.rows("", "train"), dataset.splits.copy()
    splits[train[hold_out(dataset.labels[train], fraction, seed)]] = SPLIT_NUMBERS["test"]
    fingerprint = hashlib.sha256(dataset.fingerprint.encode() + splits.tobytes()).hexdigest()
    return replace(dataset, splits=splits, fingerprint=fingerprint)


def with_held_out(dataset: Dataset, other: Dataset) -> Dataset:
    """The dataset with the held-out texts of another behind it, as its only dev split; its own is trained on."""
    rows, _ = other.held_out()
    train, dev = SPLIT_NUMBERS["train"], SPLIT_NUMBERS["dev"]
    own = replace(dataset, splits=np.where(dataset.splits == dev, train, dataset.splits))
    splits, weights = np.full(len(rows), dev, np.int8), None if other.weights is None else other.weights[rows]
    added = replace(other, tokens=other.tokens.select(rows), labels=other.labels[rows], splits=splits, weights=weights)
    both = joined_datasets([own, added], dataset.source)
    places = [*map(dataset.place, range(dataset.n_texts)), *(other.named(other.place(row)) for row in rows)]
    both.notes.columns = dataset.notes.columns
    return replace(both, texts=dataset.texts, places=places)


def joined_datasets(parts: Sequence[Dataset], source: str) -> Dataset:
    """The texts of several datasets, one behind the other; places are named with their own source."""
    words, label_places, labels, notes = WordTable(), dict[str, str](), list[np.ndarray](), Notes()
    for part in parts:
        for label, place in zip(part.label_names, part.label_places, strict=True):
            label_places.setdefault(label, part.named(place))
        numbers = {label: number for number, label in enumerate(label_places)}
        labels.append(np.array([numbers[label] for label in part.label_names], np.int32)[part.labels])
        notes.add(part.notes)
    weights = None
    if any(part.weights is not None for part in parts):
        every = [np.ones(part.n_texts) if part.weights is None else part.weights for part in parts]
        weights = np.concatenate(every).astype(np.float32)
    tokens = (part.tokens._replace(ids=words.add_spans(part.words.spans())[part.tokens.ids]) for part in parts)
    return Dataset(
        source, words, Tokens.joined(tokens), list(label_places), list(label_places.values()), np.concatenate(labels),
        np.concatenate([part.splits for part in parts]),
        hashlib.sha256("".join(part.fingerprint for part in parts).encode()).hexdigest(), weights=weights, notes=notes,
    )  # fmt: skip


# From numbers to splits with features and targets ---------------------------------------------------------


def encode(
    dataset: Dataset, dev: float | None, *, choice: Choice, ratings: bool, multi_label: bool = False, seed: int,
    refit: bool = False, labels: tuple[str, ...] | None = None, known: Features | None = None,
    keep: np.ndarray | None = None, threads: int = 1,
) -> EncodedDataset:  # fmt: skip
    """Split a dataset and turn it into the arrays of a training, the same for any number of threads.

    ``dev``: what is held out. None takes the dev split, or a tenth of the texts where there is none; a fraction of
    the texts replaces the dev split, which is then trained on; 0 holds nothing out. The test split is never trained on.
    ``ratings``: the labels are numbers to be predicted. ``multi_label``: a text may have several labels, or none.
    ``refit``: where held-out texts are drawn, and no features are known, number the features of these texts too, and
    give all texts as ``whole``; those to train on and to hold out keep only the features of the former.
    ``labels``: all that there are, in their order; None: those of the texts.
    ``known``: features to keep besides those of the texts.
    ``keep``: words of the dataset that are features however rarely they occur, (w,) bool.

    Raises: DataError if the texts cannot be trained on; InputError if dev is not in [0, 1).
    """
    parts = partition(dataset, dev, ratings, multi_label, seed, labels, refit and not known)
    least = np.full(len(dataset.words), choice.min_count)
    if keep is not None:
        least[keep] = 1
    features = extend(known, choose_features(dataset.words, dataset.tokens, parts.whole, choice, threads, least))
    documents = every = features.documents_of(dataset.tokens, dataset.words, threads)
    weights = None if dataset.weights is None else dataset.weights.astype(np.float32)
    whole = None
    if len(parts.whole) > len(parts.train):
        whole = Split(every, parts.targets, parts.whole, weights)
        enough = np.full(len(features), choice.min_count)
        enough[: len(features.words)] = least[dataset.words.numbers_of(features.words)[:-1]]
        documents = every.only(occurrences(every, parts.train, len(features)) >= enough)
    counts = occurrences(documents, parts.train, len(features))
    check_occurrences(counts, dataset.source, choice.min_count)
    notes = coverage_notes(dataset, parts.dev, features, "held-out texts", counts)
    notes += shared_notes(dataset, parts.train, {"held-out": parts.dev, "test": parts.test})
    return EncodedDataset(
        features, counts, parts.labels, Split(documents, parts.targets, parts.train, weights),
        Split(documents, parts.targets, parts.dev, weights) if len(parts.dev) else None,
        Split(every, parts.targets, parts.test) if len(parts.test) else None,  # for the last model
        whole, parts.warnings, notes, kept(fingerprints(dataset, parts.whole)),
    )  # fmt: skip


def check_occurrences(counts: np.ndarray, source: str, min_count: int) -> None:
    """Raises: DataError if no feature occurs in the texts to train on."""
    if not counts.any():
        times, remedy = (f"{min_count} times ", {"min_count": 1}) if min_count > 1 else ("", {})
        raise DataError(f"{source}: no word occurs {times}in the texts to train on", suggestion=remedy)


@kernel
def occurrences(documents, rows, features):
    """How often each feature occurs in these rows of documents: (v,) int64."""
    ids, counts, offsets = documents
    totals = np.zeros(features, np.int64)
    for row in rows:
        for j in range(offsets[row], offsets[row + 1]):
            totals[ids[j]] += counts[place_of(counts, j)]
    return totals
