"""A dataset in parts: what is counted in each of them by itself gives, merged, what one dataset of all texts has."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlcore.text.dataset import Dataset, joined_datasets, read_dataset
from mlcore.text.documents import Documents
from mlcore.text.layout import Layout
from mlcore.text.ngrams import Features, count_pairs, deal_keys
from mlcore.text.overlap import fingerprints
from mlcore.text.remote import local_copy
from mlcore.text.vocabulary import WordTable

Ngrams = tuple[np.ndarray, np.ndarray, np.ndarray]  # keys, counts, and the token at which each occurs first


def read_part(location: str, layout: Layout) -> Dataset:
    """The labelled texts of a file, by its path or URL."""
    return read_dataset(local_copy(location), layout)


def outline(data: Dataset, head: int) -> tuple[Dataset, np.ndarray]:
    """A part with only so many of its tokens, the first ones, and the fingerprints of all its texts."""
    ids = data.tokens.ids[:head]
    words = data.words.select(np.arange(ids.max(initial=-1) + 1))  # they are numbered as they occur
    few = replace(data, words=words, tokens=data.tokens._replace(ids=ids))
    return few, fingerprints(data, np.arange(data.n_texts))


def joined(parts: Sequence[Dataset], source: str) -> Dataset:
    """The dataset of all texts from the outlines of its parts: with the offsets of all tokens and the first of them."""
    whole = joined_datasets(parts, source)
    whole.notes.guesses[:] = [guess.replace(part.source, source) for part in parts for guess in part.notes.guesses]
    return whole


def count_words(data: Dataset, chosen: np.ndarray) -> tuple[WordTable, np.ndarray]:
    """All words of a part, and how often each occurs in the chosen texts: (n,) bool."""
    return data.words, data.tokens.counts(chosen, len(data.words))


def merge_words(parts: Sequence[tuple[WordTable, np.ndarray]]) -> tuple[WordTable, np.ndarray]:
    """Words with their counts, in the order of their first occurrence in the parts."""
    table, totals = WordTable(), np.zeros(0, np.int64)
    for words, counts in parts:
        numbers = table.add_spans(words.spans())
        totals = np.concatenate([totals, np.zeros(len(table) - len(totals), np.int64)])
        totals[numbers] += counts
    return table, totals


def count_ngrams(
    data: Dataset, shorter: Features, level: tuple[int, bool], chosen: np.ndarray, before: int, turn: int, turns: int
) -> Ngrams:
    """N-grams in the chosen texts of a part, of the level that ``Features.keys`` takes: those whose turn it is.

    ``before``: the number of tokens in the parts before.
    """
    size, begins = level
    tokens = data.tokens.heads(size) if begins else data.tokens
    words = tokens._replace(ids=shorter.words.numbers_of(data.words)[tokens.ids])
    keys, places, _ = deal_keys(shorter.keys(words, chosen, *level), turn, turns, 1)
    keys, counts, firsts = count_pairs(keys, places)
    return keys, counts, firsts + before


def merge_ngrams(parts: Sequence[Ngrams]) -> Ngrams:
    """The n-grams of several parts, which are in order, by their keys."""
    merged = parts[0]
    for part in parts[1:]:  # one after the other, which takes less memory
        keys, counts, firsts = map(np.concatenate, zip(merged, part, strict=True))
        keys, at, numbers = np.unique(keys, return_index=True, return_inverse=True)
        counts = np.bincount(numbers, counts, len(keys)).astype(np.int64)  # float64 is exact for these
        merged = keys, counts, firsts[at]
    return merged


def encode_some(features: Features, part: Dataset, rows: np.ndarray) -> Documents:
    """These texts of a part."""
    return features.documents_of(part.tokens.select(rows), part.words)


def encode_parts(features: Features, parts: Sequence[Dataset]) -> Documents:
    """The texts of some parts, one after the other."""
    return Documents.joined((features.documents_of(part.tokens, part.words) for part in parts), features.binary)


def deal(sizes: np.ndarray, hands: int) -> list[list[int]]:
    """Deal parts of these sizes: in their order, each goes to the hand with the least so far."""
    totals, dealt = np.zeros(hands), [list[int]() for _ in range(hands)]
    for part, size in enumerate(sizes):
        dealt[hand := int(totals.argmin())].append(part)
        totals[hand] += size
    return dealt
