"""A corpus as numbers: its words, labels and parts, without the texts, which may be more than memory holds."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlcore.text.corpus import Corpus
from mlcore.text.growing import Growing
from mlcore.text.readers import SPLITS, Example
from mlcore.text.vocabulary import TokenIds, WordTable

BATCH = 500  # examples that are looked at together
PARTS = ("", *SPLITS)


class NumberedCorpus(NamedTuple):
    """Texts as word numbers, each with the number of its label and of its part."""

    source: str
    table: WordTable
    tokens: TokenIds
    label_names: list[str]  # in the order of their first occurrence
    label_places: list[str]  # where each label occurs first
    labels: np.ndarray  # (n,) int32 places in label_names
    parts: np.ndarray  # (n,) int8 places in PARTS
    fingerprint: str

    def part(self, *names: str) -> np.ndarray:
        """Numbers of the texts of these parts, ascending: (m,) int64."""
        return np.flatnonzero(np.isin(self.parts, [PARTS.index(name) for name in names]))


class Fingerprint:
    """SHA-256 of texts with their labels and splits, in order, however many are added at a time."""

    def __init__(self) -> None:
        self._columns = [(hashlib.sha256(), hashlib.sha256()) for _ in range(3)]

    def add(self, *columns: Sequence[str]) -> None:
        """Go on with the texts, the labels and the splits of some examples."""
        for (content, lengths), values in zip(self._columns, columns, strict=True):
            encoded = [value.encode("utf-8", "surrogatepass") for value in values]
            content.update(b"".join(encoded))
            lengths.update(np.fromiter(map(len, encoded), "<i8", len(encoded)))

    def hexdigest(self) -> str:
        """Hexadecimal digits of all so far."""
        return hashlib.sha256(b"".join(part.digest() for column in self._columns for part in column)).hexdigest()


def fingerprint(corpus: Corpus) -> str:
    """SHA-256 of the texts with their labels and splits, in order, as hexadecimal digits."""
    found = Fingerprint()
    found.add(corpus.texts, corpus.labels, corpus.splits)
    return found.hexdigest()


def number_examples(
    examples: Iterable[Example], source: str, threads: int = 1, folder: Path | None = None
) -> NumberedCorpus:
    """Number words, labels and parts of examples as they come; a few thousand of them are in memory at a time.

    ``folder``: where the arrays are written, and mapped from; without it they are in memory. The result is the same,
    and is the same for any number of threads.
    """
    return _Numbering(source, folder).run(iter(examples), threads)


def number_corpus(corpus: Corpus, threads: int = 1) -> NumberedCorpus:
    """The same of a corpus in memory."""
    places = corpus.places or (f"text {number}" for number in range(1, len(corpus.texts) + 1))
    columns = corpus.texts, corpus.labels, corpus.splits, places
    return number_examples(map(Example, *columns), corpus.source, threads)


class _Numbering:
    """What a corpus becomes, while it is read."""

    def __init__(self, source: str, folder: Path | None) -> None:
        self.source, self.table, self.fingerprint = source, WordTable(), Fingerprint()
        self.numbers: dict[str, int] = {}  # of the labels
        self.places: list[str] = []
        files = {name: folder and folder / name for name in ("tokens", "token_offsets", "labels", "parts")}
        self.tokens = Growing(np.int32, files["tokens"]), Growing(np.int64, files["token_offsets"])
        self.labels, self.parts = Growing(np.int32, files["labels"]), Growing(np.int8, files["parts"])

    def run(self, examples: Iterator[Example], threads: int) -> NumberedCorpus:
        tokens = TokenIds.joined(self.table.add_parts(self._texts(examples), threads), self.tokens)
        return NumberedCorpus(
            self.source, self.table, tokens, list(self.numbers), self.places, self.labels.finish(),
            self.parts.finish(), self.fingerprint.hexdigest(),
        )  # fmt: skip

    def _texts(self, examples: Iterator[Example]) -> Iterator[str]:
        """The texts, while all else of the examples is kept."""
        while batch := list(islice(examples, BATCH)):
            texts, labels, splits, places = zip(*batch, strict=True)
            self.fingerprint.add(texts, labels, splits)
            for label, place in zip(labels, places, strict=True):
                if label not in self.numbers:
                    self.numbers[label] = len(self.numbers)
                    self.places.append(place)
            self.labels.append(np.array([self.numbers[label] for label in labels], np.int32))
            self.parts.append(np.array([PARTS.index(split) for split in splits], np.int8))
            yield from texts
