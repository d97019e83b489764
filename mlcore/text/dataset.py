"""The dataset: labelled texts as numbers, from the files to the arrays that are trained on and measured on."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, repeat
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlcore.errors import DataError, DataWarning, InputError
from mlcore.files import installed, name_of
from mlcore.kernels.compiling import kernel
from mlcore.text.documents import Documents
from mlcore.text.growing import GrowingArray, release_free_memory
from mlcore.text.labels import (
    choose_labels,
    hold_out,
    hold_out_several,
    joined,
    label_warnings,
    labels_in,
    listed,
    single_warnings,
    targets_of,
    unknown_labels,
    unknown_note,
)
from mlcore.text.layout import Layout
from mlcore.text.ngrams import Features, choose_features, extend
from mlcore.text.overlap import coverage_notes, fingerprints, kept, shared_notes
from mlcore.text.readers import Example, read_examples
from mlcore.text.table import SPLITS, Notes
from mlcore.text.vocabulary import Tokens, WordTable

HELD_OUT = 0.1  # of the texts, where they have no dev split
BATCH = 500  # examples that are looked at together
SPLIT_NUMBERS = {name: number for number, name in enumerate(("", *SPLITS))}


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

    def weighted(self, weights: np.ndarray) -> "EncodedDataset":
        """The same with these weights of the texts, (n,), for training and held-out texts of one dataset."""
        values = weights.astype(np.float32)
        train, dev, whole = (split and split._replace(weights=values) for split in (self.train, self.dev, self.whole))
        assert train
        return replace(self, train=train, dev=dev, whole=whole)


# From texts to numbers ------------------------------------------------------------------------------------


def built_in_dataset() -> Path:
    """Path of the dataset that is installed with mlcore."""
    return installed("reviews.tsv")


def read_dataset(
    paths: Sequence[Path] | Path,
    layout: Layout | None = None,
    threads: int = 1,
    progress: Callable[[int], None] = lambda texts: None,
    keep_texts: bool = False,
    lenient: bool = False,
) -> Dataset:
    """Number the labelled texts that ``read_examples`` finds, and raises as it does; few are in memory at a time.

    ``keep_texts`` keeps the texts and their places; ``lenient`` skips bad rows, and replaces bytes that are not UTF-8.
    """
    paths = [Path(paths)] if isinstance(paths, str | PathLike) else list(paths)
    notes, layout = Notes(lenient), layout or Layout()
    layout = replace(layout, skip_bad_rows=lenient or layout.skip_bad_rows)
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
    return replace(_number(examples, source, threads, False, Notes()), texts=list(texts))


def _number(
    examples: Iterator[Example],
    source: str,
    threads: int,
    keep_texts: bool,
    notes: Notes,
    progress: Callable[[int], None] = lambda texts: None,
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
    added = replace(
        other,
        tokens=other.tokens.select(rows),
        labels=other.labels[rows],
        splits=np.full(len(rows), dev, np.int8),
        weights=None if other.weights is None else other.weights[rows],
    )

    def named(part: Dataset, place: str) -> str:  # so that a line is not taken for one of the dataset
        return place if part is own or place.startswith(part.source) else f"{part.source}, {place}"

    places = [*map(dataset.place, range(dataset.n_texts)), *(named(other, other.place(row)) for row in rows)]
    both = joined_datasets([own, added], dataset.source, named)
    both.notes.columns = dataset.notes.columns
    return replace(both, texts=dataset.texts, places=places)


def joined_datasets(parts: Sequence[Dataset], source: str, named: Callable[[Dataset, str], str]) -> Dataset:
    """The texts of several datasets, one behind the other; this function names the places of each."""
    words, label_places, labels, notes = WordTable(), dict[str, str](), list[np.ndarray](), Notes()
    for part in parts:
        for label, place in zip(part.label_names, part.label_places, strict=True):
            label_places.setdefault(label, named(part, place))
        numbers = {label: number for number, label in enumerate(label_places)}
        labels.append(np.array([numbers[label] for label in part.label_names], np.int32)[part.labels])
        notes = notes.with_those_of(part.notes, partial(named, part))
    weights = None
    if any(part.weights is not None for part in parts):
        every = [np.ones(part.n_texts) if part.weights is None else part.weights for part in parts]
        weights = np.concatenate(every).astype(np.float32)
    tokens = (part.tokens._replace(ids=words.add_words(part.words)[part.tokens.ids]) for part in parts)
    return Dataset(
        source, words, Tokens.joined(tokens), list(label_places), list(label_places.values()), np.concatenate(labels),
        np.concatenate([part.splits for part in parts]),
        hashlib.sha256("".join(part.fingerprint for part in parts).encode()).hexdigest(), weights=weights, notes=notes,
    )  # fmt: skip


# From numbers to splits with features and targets ---------------------------------------------------------


def encode(
    dataset: Dataset,
    dev: float | None,
    *,
    ngrams: int,
    min_count: int,
    max_features: int | None,
    binary: bool,
    ratings: bool,
    multi_label: bool = False,
    seed: int,
    refit: bool = False,
    characters: range = range(0),
    labels: tuple[str, ...] | None = None,
    known: Features | None = None,
    threads: int = 1,
) -> EncodedDataset:
    """Split a dataset and turn it into the arrays of a training, the same for any number of threads.

    ``dev``: what is held out. None takes the dev split, or a tenth of the texts where there is none; a fraction of
    the texts replaces the dev split, which is then trained on; 0 holds nothing out. The test split is never trained on.
    ``ratings``: the labels are numbers to be predicted. ``multi_label``: a text may have several labels, or none.
    ``refit``: where held-out texts are drawn, and no features are known, number the features of these texts too, and
    give all texts as ``whole``; those to train on and to hold out keep only the features of the former.
    ``labels``: all that there are, in their order; None: those of the texts.
    ``known``: features to keep besides those of the texts.

    Raises: DataError if the texts cannot be trained on; InputError if dev is not in [0, 1).
    """
    parts = partition(dataset, dev, ratings, multi_label, seed, labels)
    both = np.sort(np.concatenate([parts.train, parts.dev])) if refit and parts.drawn and not known else parts.train
    features = choose_features(
        dataset.words, dataset.tokens, both, ngrams, min_count, max_features, binary, threads, characters
    )
    features = checked(features, dataset.source, min_count, known)
    documents = every = features.documents_of(dataset.tokens, dataset.words, threads)
    targets, whole = parts.targets, None
    if len(both) > len(parts.train):
        whole = Split(every, targets, both)
        documents = every.only(occurrences(every, parts.train, len(features)) >= min_count)
    counts = occurrences(documents, parts.train, len(features))
    notes = coverage_notes(dataset, parts.dev, features, "held-out texts", counts)
    notes += shared_notes(dataset, parts.train, {"held-out": parts.dev, "test": parts.test})
    dev_split = Split(documents, targets, parts.dev) if len(parts.dev) else None
    test_split = Split(every, targets, parts.test) if len(parts.test) else None  # for the last model
    found = EncodedDataset(
        features, counts, parts.labels, Split(documents, targets, parts.train), dev_split, test_split, whole,
        parts.warnings, notes, kept(fingerprints(dataset, both)),
    )  # fmt: skip
    return found if dataset.weights is None else found.weighted(dataset.weights)


class Parts(NamedTuple):
    """What a dataset's labels say of a training: targets as in ``Split``, and the texts of each part."""

    labels: tuple[str, ...]
    targets: np.ndarray
    train: np.ndarray  # (m,) int64 numbers of texts, as the next ones
    dev: np.ndarray
    test: np.ndarray
    drawn: bool  # whether the held-out texts were drawn at random
    warnings: list[DataWarning]


def partition(
    dataset: Dataset, dev: float | None, ratings: bool, multi_label: bool, seed: int, labels: tuple[str, ...] | None
) -> Parts:
    """Split a dataset; see ``encode``, for which this is all that needs no words."""
    train = dataset.rows("", "train", *(["dev"] if dev is not None else []))
    if not len(train):
        raise DataError(f"{dataset.source} contains no texts to train on.")
    given = labels is not None
    if labels is None:
        labels = () if ratings else choose_labels(dataset, train, multi_label)
    targets = targets_of(dataset, labels, multi_label=multi_label)
    if given and len(unknown := train[np.isnan(targets[train, 0])]):
        name = dataset.label_names[dataset.labels[unknown[0]]]
        raise DataError(
            f"{dataset.source}, {dataset.place(int(unknown[0]))}: the label is {name!r}; expected {listed(labels)}."
        )
    warnings = [*map(DataWarning, dataset.notes.sentences()), *label_warnings(labels)]
    dev_rows = dataset.rows("dev") if dev is None else np.zeros(0, np.int64)
    fraction = dev if dev is not None else 0 if len(dev_rows) else HELD_OUT
    if not 0 <= fraction < 1:
        raise InputError("expected a fraction from 0 to less than 1, or other texts", parameter="dev", value=dev)
    if fraction > 0:
        candidates = targets[train] if multi_label else targets[train, 0] if labels else np.zeros(len(train))
        counts = candidates.sum(axis=0) if multi_label else np.bincount(candidates.astype(np.int64))
        warnings += single_warnings(labels, counts) if labels else []
        chosen = (hold_out_several if multi_label else hold_out)(candidates, fraction, seed)
        train, dev_rows = train[~chosen], train[chosen]
        if not len(dev_rows):
            problem = " has too few texts to hold some out"
            if len(labels) == len(train):
                problem = ": each label has a single text, so that none can be held out (is it the right column?)"
            raise DataError(f"{dataset.source}{problem}", suggestion={"dev": 0})
    test = dataset.rows("test")
    for rows in (dev_rows, test) if labels else ():
        targets_of(dataset, labels, rows, multi_label)  # refuses texts of which none has a known label
        if lacking := unknown_labels(dataset, rows, labels):
            warnings.append(DataWarning(f"{dataset.source}: {unknown_note(lacking)}"))
    for part, rows in (("training", train), ("held-out", dev_rows)):
        if dataset.weights is not None and len(rows) and not dataset.weights[rows].any():
            raise DataError(f"{dataset.source}: all {part} texts have the weight 0")
    return Parts(labels, targets, train, dev_rows, test, fraction > 0, warnings)


def checked(features: Features, source: str, min_count: int, known: Features | None) -> Features:
    """Features of texts to train on, behind those that are ``known``; raises DataError if there are none."""
    if not len(features):
        times, remedy = (f"{min_count} times ", {"min_count": 1}) if min_count > 1 else ("", {})
        raise DataError(f"{source}: no word occurs {times}in the texts to train on", suggestion=remedy)
    return extend(known, features) if known else features


def encode_split(
    dataset: Dataset,
    rows: np.ndarray,
    features: Features,
    labels: tuple[str, ...],
    threads: int = 1,
    multi_label: bool = False,
) -> Split:
    """These rows of a dataset as a model with these features and labels sees them.

    Raises: DataError if none of the rows has one of the labels, or one is no rating where there are no labels.
    """
    documents = features.documents_of(dataset.tokens, dataset.words, threads)
    return Split(documents, targets_of(dataset, labels, rows, multi_label), rows)


def occurrences(documents: Documents, rows: np.ndarray, features: int) -> np.ndarray:
    """How often each feature occurs in these rows of documents: (v,) int64."""
    return np.asarray(add_occurrences(*documents, rows, features))


@kernel
def add_occurrences(ids, counts, offsets, rows, features):
    """The same for ids (m,), counts (m,) or (1,), and offsets (n + 1,) of documents."""
    totals = np.zeros(features, np.int64)
    for row in rows:
        for j in range(offsets[row], offsets[row + 1]):
            totals[ids[j]] += counts[j if counts.shape[0] > 1 else 0]
    return totals
