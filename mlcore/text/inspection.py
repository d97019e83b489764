"""Labelled texts looked at before a training: how many, how long, and what would mislead it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mlcore.errors import DataError
from mlcore.text.corpus import Corpus
from mlcore.text.vocabulary import TokenIds, WordTable

MIN_COUNTS = (1, 2, 5)
FEW = 5  # places shown of each finding
SEED = 0  # of the random tenth
TRAIN, DEV, TEST = 0, 1, 2
PARTS = ("train", "dev", "test")


@dataclass
class Bin:
    """Number of texts that have from ``first`` to ``last`` tokens."""

    first: int
    last: int
    texts: int


@dataclass
class Lengths:
    """Tokens of a text: the least, the quartiles (each the length of some text), the most, the mean, and how many
    texts lie in each doubling of the length.
    """

    minimum: int
    lower_quartile: int
    median: int
    upper_quartile: int
    maximum: int
    mean: float
    histogram: list[Bin]


@dataclass
class Found:
    """Number of texts, or lines, of which something is true, and the places of the first few."""

    count: int
    places: list[str]


@dataclass
class Repeat:
    """A text at ``place`` with the same tokens as an earlier one."""

    place: str
    earlier: str


@dataclass
class Repeats:
    """Number of texts that have the same tokens as an earlier one, and the first few."""

    count: int
    examples: list[Repeat]


@dataclass
class Conflicts:
    """Number of texts that have the same tokens as one with another label, the number of different texts among
    these, and of the first few the first place of each label.
    """

    count: int
    different: int
    examples: list[dict[str, str]]


@dataclass
class Known:
    """The vocabulary of the words that occur ``min_count`` times or more, and the share of tokens it knows."""

    min_count: int
    words: int
    share: float | None  # None where there is no token


@dataclass
class Coverage:
    """Tokens of a part that the vocabulary of the training part knows; the part "tenth" is a random tenth of that
    part, which then counts as held out.
    """

    part: str
    tokens: int
    known: list[Known]


@dataclass
class Inspection:
    """What ``inspect`` finds; the parts are those of a training, in which a text without a split is trained on."""

    source: str
    dev_source: str | None
    texts: int
    labels: dict[str, int]
    parts: dict[str, dict[str, int]]
    tokens: int
    vocabulary: int
    lengths: Lengths
    empty: Found
    duplicates: Repeats
    conflicts: Conflicts
    shared: dict[str, Repeats]
    undecodable: Found
    coverage: list[Coverage]


@dataclass
class _Texts:
    """All texts in parallel arrays: part and label by number, and the first text with the same tokens, -1 if none."""

    parts: np.ndarray  # (n,) int64
    labels: np.ndarray  # (n,) int64
    label_names: list[str]
    places: list[str]
    tokens: TokenIds
    firsts: np.ndarray  # (n,) int64


def inspect(corpus: Corpus, dev: Corpus | None = None) -> Inspection:
    """Look at a corpus as a training would see it; ``dev`` is held out (its test part, or else its dev part, or else
    all of it) in place of the corpus's own dev part, which is then trained on.

    Repeats are texts of one part whose tokens are the same in the same order; a text without a token counts as
    empty only. Conflicts are looked for in all parts, and shared texts in the parts that are not trained on.

    Raises: DataError if there is no text.

    Example:
        >>> found = inspect(Corpus("c", ["Good film!", "good film !", "Bad."], ["pos", "neg", "neg"], ["", "", ""]))
        >>> found.tokens, found.duplicates.count, found.conflicts.examples
        (8, 1, [{'neg': 'text 2', 'pos': 'text 1'}])
    """
    if not corpus.texts:
        raise DataError(f"{corpus.source} has no text to look at; expected some.")
    held_out = dev and dev.select(dev.held_out())
    table = WordTable()
    texts = _collect(corpus, held_out, table)
    lengths = np.diff(texts.tokens.offsets)
    empty = np.flatnonzero(lengths == 0)
    undecodable = corpus.undecodable + _named(dev, dev.undecodable) if dev else corpus.undecodable
    return Inspection(
        source=corpus.source,
        dev_source=dev.source if dev else None,
        texts=len(texts.places),
        labels=_counts(texts, np.arange(len(texts.places))),
        parts={name: _counts(texts, np.flatnonzero(texts.parts == part)) for part, name in _present(texts)},
        tokens=len(texts.tokens.ids),
        vocabulary=len(table),
        lengths=_lengths(lengths),
        empty=Found(len(empty), [texts.places[i] for i in empty[:FEW]]),
        duplicates=_duplicates(texts),
        conflicts=_conflicts(texts),
        shared={name: _shared(texts, part) for part, name in _present(texts) if part != TRAIN},
        undecodable=Found(len(undecodable), undecodable),
        coverage=list(_coverage(texts, len(table))),
    )


def _collect(corpus: Corpus, held_out: Corpus | None, table: WordTable) -> _Texts:
    part_of_split = {"": TRAIN, "train": TRAIN, "dev": TRAIN if held_out else DEV, "test": TEST}
    parts = [part_of_split[split] for split in corpus.splits]
    labels, texts, places = corpus.labels, corpus.texts, corpus.places or _numbered(corpus)
    if held_out:
        parts = parts + [DEV] * len(held_out.texts)
        labels, texts = labels + held_out.labels, texts + held_out.texts
        places = places + _named(held_out, held_out.places or _numbered(held_out))
    label_names = sorted(set(labels))
    number_of = {label: number for number, label in enumerate(label_names)}
    tokens = table.add(texts)
    return _Texts(
        np.array(parts), np.array([number_of[label] for label in labels]), label_names, places, tokens, _firsts(tokens)
    )


def _numbered(corpus: Corpus) -> list[str]:
    return [f"text {number}" for number in range(1, len(corpus.texts) + 1)]


def _named(corpus: Corpus, places: list[str]) -> list[str]:
    """The places with the source where a place is but a line: so that it is not taken for one of the main corpus."""
    return [f"{corpus.source}, {place}" if place.startswith(("line ", "text ")) else place for place in places]


def _firsts(tokens: TokenIds) -> np.ndarray:
    """Number of the first text that has the same tokens as each text, -1 for texts without a token: (n,) int64."""
    first_with: dict[bytes, int] = {b"": -1}
    bounds = tokens.offsets.tolist()
    return np.array(
        [first_with.setdefault(tokens.ids[bounds[i] : bounds[i + 1]].tobytes(), i) for i in range(tokens.n_texts)],
        np.int64,
    )


def _present(texts: _Texts) -> list[tuple[int, str]]:
    return [(part, name) for part, name in enumerate(PARTS) if np.any(texts.parts == part)]


def _counts(texts: _Texts, rows: np.ndarray) -> dict[str, int]:
    counts = Counter(texts.labels[rows].tolist())
    return {name: counts[number] for number, name in enumerate(texts.label_names) if counts[number]}


def _lengths(lengths: np.ndarray) -> Lengths:
    quartiles = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf").tolist()
    counts = np.bincount(np.frexp(lengths)[1])  # the number of bits: 0 for 0, 1 for 1, 2 for 2 and 3, ...
    histogram = [
        Bin((1 << bits) >> 1, (1 << bits) - 1, int(counts[bits]))
        for bits in range(int(np.flatnonzero(counts)[0]), len(counts))
    ]
    return Lengths(*map(int, quartiles), mean=float(lengths.mean()), histogram=histogram)


def _duplicates(texts: _Texts) -> Repeats:
    rows = np.flatnonzero(texts.firsts >= 0)
    n = len(texts.firsts)
    _, earliest, group = np.unique(
        texts.parts[rows] * n + texts.firsts[rows], return_index=True, return_inverse=True
    )  # both numbers count from the start of rows, and earliest is the lowest one of its group
    repeated = np.flatnonzero(earliest[group] != np.arange(len(rows)))
    examples = [Repeat(texts.places[rows[i]], texts.places[rows[earliest[group[i]]]]) for i in repeated[:FEW]]
    return Repeats(len(repeated), examples)


def _conflicts(texts: _Texts) -> Conflicts:
    rows = np.flatnonzero(texts.firsts >= 0)
    first, labels = texts.firsts[rows], texts.labels[rows]
    lowest, highest = np.full(len(texts.firsts), len(texts.label_names)), np.full(len(texts.firsts), -1)
    np.minimum.at(lowest, first, labels)
    np.maximum.at(highest, first, labels)
    in_conflict = lowest < highest
    different = np.flatnonzero(in_conflict)
    examples = []
    for group in different[:FEW]:
        members = rows[first == group][::-1]  # backwards, so that the first place of a label is the one that stays
        place_of = {texts.label_names[texts.labels[i]]: texts.places[i] for i in members}
        examples.append(dict(sorted(place_of.items())))
    return Conflicts(int(in_conflict[first].sum()), len(different), examples)


def _shared(texts: _Texts, part: int) -> Repeats:
    """Texts of a part that is not trained on which also are in the one that is."""
    n = len(texts.firsts)
    in_training = np.full(n + 1, -1)  # the first text of the training part with these tokens; the last entry is for -1
    trained = np.flatnonzero((texts.parts == TRAIN) & (texts.firsts >= 0))[::-1]
    in_training[texts.firsts[trained]] = trained
    rows = np.flatnonzero(texts.parts == part)
    rows = rows[in_training[texts.firsts[rows]] >= 0]
    examples = [Repeat(texts.places[i], texts.places[in_training[texts.firsts[i]]]) for i in rows[:FEW]]
    return Repeats(len(rows), examples)


def _coverage(texts: _Texts, words: int) -> Iterator[Coverage]:
    """For each part that is not trained on, or else for a random tenth of the one that is."""
    trained = np.flatnonzero(texts.parts == TRAIN)
    held_out = {name: np.flatnonzero(texts.parts == part) for part, name in _present(texts) if part != TRAIN}
    if not held_out and len(trained) > 1:
        trained = np.random.default_rng(SEED).permutation(trained)
        tenth = max(1, round(len(trained) / 10))
        held_out, trained = {"tenth": trained[:tenth]}, trained[tenth:]
    counts = np.bincount(_ids(texts.tokens, trained), minlength=words)
    for name, rows in held_out.items() if len(trained) else ():
        seen = counts[_ids(texts.tokens, rows)]
        known = [
            Known(least, int((counts >= least).sum()), float((seen >= least).mean()) if len(seen) else None)
            for least in MIN_COUNTS
        ]
        yield Coverage(name, len(seen), known)


def _ids(tokens: TokenIds, rows: np.ndarray) -> np.ndarray:
    """Words of these texts: (t,) int32."""
    chosen = np.zeros(tokens.n_texts, bool)
    chosen[rows] = True
    return tokens.ids[chosen[tokens.text_of_token()]]
