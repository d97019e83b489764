"""Features of a text: its known words and n-grams of words, numbered exactly, without hashing two into one.

An n-gram is kept as a pair: the number of the n-gram without its last word, and that word. An n-gram cannot occur
more often than that shorter one, so that counting and pruning go level by level: what is pruned at one level need
not be counted at the next.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat

import numpy as np

from mlcore.kernels.compiling import kernel
from mlcore.text.growing import Growing
from mlcore.text.pairs import PairTable, frequent_pairs, pair_up
from mlcore.text.pool import in_order
from mlcore.text.tokenizer import Scratch
from mlcore.text.vocabulary import (
    TOKENS,
    UNKNOWN,
    Documents,
    TokenIds,
    WordTable,
    choose_words,
    chunks_of,
    places_of,
)

LARGEST_NGRAM = 3
ENTRIES = 1 << 14  # sorted at a time
DIGIT = 11  # bits of the numbers by which they are sorted at a time


class Features:
    """Known words and n-grams with their numbers: first the words, then the pairs, then the triples of words.

    ``binary``: each feature counts once in a text, however often it occurs.
    """

    def __init__(self, words: WordTable, ngrams: PairTable, largest: int, binary: bool) -> None:
        self.words, self.ngrams, self.largest, self.binary = words, ngrams, largest, binary

    def __len__(self) -> int:
        return len(self.words) + len(self.ngrams)

    @property
    def names(self) -> list[str]:
        """All features in the order of their numbers; the words of an n-gram are separated by spaces."""
        names = self.words.words
        for key in self.ngrams.keys.tolist():
            names.append(f"{names[key >> 32]} {names[key & 0xFFFFFFFF]}")
        return names

    def names_of(self, numbers: Iterable[int]) -> list[str]:
        """Names of some features, without the time and memory that those of all would take."""
        names, keys = [], self.ngrams.keys
        for number in numbers:
            words: list[str] = []
            while number >= len(self.words):
                key = int(keys[number - len(self.words)])
                words.append(self.words.word(key & 0xFFFFFFFF))
                number = key >> 32
            names.append(" ".join([self.words.word(number), *reversed(words)]))
        return names

    def words_in(self) -> np.ndarray:
        """Number of words that each feature consists of: (v,) int8."""
        sizes = np.ones(len(self), np.int8)
        prefixes = self.ngrams.keys >> 32
        for _ in range(1, self.largest):
            sizes[len(self.words) :] = sizes[prefixes] + 1
        return sizes

    def locate(self, words: TokenIds) -> np.ndarray:
        """Number of the feature of g = 1, 2, ... words that ends at each token, or UNKNOWN: (largest, t) int32."""
        ids = np.empty((self.largest, len(words.ids)), np.int32)
        ids[0] = words.ids
        for level in range(1, self.largest):
            ids[level] = self.ngrams.look_up(pair_up(ids[level - 1], words))
        return ids

    def documents(self, texts: Iterable[str], threads: int = 1) -> Documents:
        """Known features of the texts with their counts."""
        return Documents.joined(documents for documents, _ in self.read(texts, threads))

    def read(self, texts: Iterable[str], threads: int = 1) -> Iterator[tuple[Documents, np.ndarray]]:
        """Known features of the texts, and of each text the number of known words, repeats included, part by part."""
        scratch = Scratch()

        def read(chunk: list[str]) -> tuple[Documents, np.ndarray]:
            words = self.words.look_up_chunk(scratch, chunk)
            known = np.concatenate([[0], np.cumsum(words.ids != UNKNOWN)])[words.offsets]
            return self.count(words), np.diff(known)

        return in_order(read, chunks_of(texts), threads)

    def documents_of(
        self, tokens: TokenIds, table: WordTable, threads: int = 1, storage: Sequence[Growing] | None = None
    ) -> Documents:
        """Known features of texts that are words of a table, in memory or in a storage; the tokens may be in files."""
        numbers = self.words.numbers_of(table)

        def count(part: tuple[int, TokenIds]) -> Documents:
            _, (ids, offsets) = part
            return self.count(TokenIds(numbers[ids], offsets))

        parts = in_order(count, tokens.parts(TOKENS), threads)
        if self.binary:
            ones = chain([np.ones(1, np.int32)], repeat(np.ones(0, np.int32)))
            parts = (part._replace(counts=one) for part, one in zip(parts, ones))  # noqa: B905
        return Documents.joined(parts, storage)

    def count(self, words: TokenIds) -> Documents:
        """Known features of texts of known words, at once."""
        return count_features(self.locate(words), words.offsets, len(self), self.binary)


def choose_features(
    table: WordTable,
    tokens: TokenIds,
    rows: np.ndarray,
    largest: int,
    min_count: int,
    max_features: int | None,
    binary: bool,
    threads: int = 1,
) -> Features:
    """Features of up to ``largest`` words that occur at least ``min_count`` times in the given rows of texts, and of
    these the ``max_features`` most frequent (on ties, the shorter and earlier ones).

    ``tokens`` may be mapped from files: they are gone through part by part. The features and their order are the same
    for any number of threads.
    """
    chosen = np.zeros(tokens.n_texts, bool)
    chosen[rows] = True
    numbers, counts = choose_words(table, tokens, chosen, min_count, threads)
    numbers, all_counts = numbers[:max_features], [counts[:max_features]]
    places, levels, first = places_of(numbers, len(table)), [], len(numbers)

    def keys_of(part: tuple[int, TokenIds]) -> np.ndarray:
        first_text, (ids, offsets) = part
        words = TokenIds(places[ids], offsets)
        before = words.ids
        for level in levels:
            before = level.look_up(pair_up(before, words))
        return pair_up(before, words, chosen[first_text : first_text + words.n_texts])

    for _ in range(1, largest):
        keys, counts = frequent_pairs(lambda: tokens.parts(TOKENS), keys_of, len(tokens.ids), min_count, threads)
        # what is beyond the most frequent of one level cannot be among those of all, nor can what begins with it
        levels.append(PairTable(first, keys[:max_features]))
        all_counts.append(counts[:max_features])
        first += len(levels[-1])
    counts = np.concatenate(all_counts)
    keys = np.concatenate([np.zeros(0, np.int64), *(level.keys for level in levels)])
    if max_features is not None and max_features < len(counts):
        keep = np.zeros(len(counts), bool)
        keep[np.argsort(-counts, kind="stable")[:max_features]] = True
        renumbered = np.cumsum(keep) - 1
        keys = keys[keep[len(numbers) :]]
        keys = renumbered[keys >> 32] << 32 | renumbered[keys & 0xFFFFFFFF]
        numbers = numbers[keep[: len(numbers)]]
    return Features(table.select(numbers), PairTable(len(numbers), keys), largest, binary)


def extend(known: Features, new: Features) -> Features:
    """Features of both, those of ``known`` first among the words and first among the n-grams, in their order."""
    words = WordTable.from_lines(known.words.to_lines())
    of_new = words.add_words(new.words)
    moved = np.concatenate([np.arange(len(known.words)), len(words) + np.arange(len(known.ngrams))])
    table = PairTable(len(words), moved[known.ngrams.keys >> 32] << 32 | moved[known.ngrams.keys & 0xFFFFFFFF])
    translation = np.concatenate([of_new, np.zeros(len(new.ngrams), np.int64)])
    level = new.words_in()[len(new.words) :]
    for size in range(2, new.largest + 1):  # level by level: the number of an n-gram needs that of its beginning
        at = np.flatnonzero(level == size)
        keys = new.ngrams.keys[at]
        keys = translation[keys >> 32] << 32 | translation[keys & 0xFFFFFFFF]
        table = PairTable(len(words), np.concatenate([table.keys, keys[table.look_up(keys) == UNKNOWN]]))
        translation[len(new.words) + at] = table.look_up(keys)
    return Features(words, table, max(known.largest, new.largest), new.binary)


def count_features(ids: np.ndarray, offsets: np.ndarray, size: int, binary: bool) -> Documents:
    """Distinct known features with their counts, per text.

    Shapes: ids (g, t) of features below ``size`` that end at each token, offsets (n + 1,) of the texts' tokens.
    """
    longest = ids.shape[0] * int(np.diff(offsets).max(initial=0))
    entries, others = (np.empty(max(longest, min(ids.size, ENTRIES)), np.int64) for _ in range(2))
    documents = Documents(np.empty(ids.size, np.int32), np.empty(ids.size, np.int32), np.zeros_like(offsets))
    digits = -(-max(size - 1, 0).bit_length() // DIGIT)
    heads = np.empty(1 << DIGIT, np.int64)
    sort_and_count(ids, offsets, digits, binary, entries, others, heads, *documents)
    np.cumsum(documents.offsets, out=documents.offsets)
    end = documents.offsets[-1]
    return Documents(documents.ids[:end], documents.counts[:end], documents.offsets)


@kernel
def deal_by_digit(entries, end, shift, heads, dealt):
    """Sort the first ``end`` entries by a digit of theirs, equal ones in their order: overwrite dealt and heads.

    Shapes: entries (m,), heads (digits,), a power of two -> dealt (m,).
    """
    mask = heads.shape[0] - 1
    heads[:] = 0
    for entry in range(end):
        heads[entries[entry] >> shift & mask] += 1
    place = 0
    for digit in range(heads.shape[0]):
        place += heads[digit]
        heads[digit] = place - heads[digit]
    for entry in range(end):
        digit = entries[entry] >> shift & mask
        dealt[heads[digit]] = entries[entry]
        heads[digit] += 1


@kernel
def sort_and_count(ids, token_offsets, digits, binary, entries, others, heads, out_ids, out_counts, out_sizes):
    """Sort the features of every text by number and count them, in linear time: overwrite out_ids and out_counts, add
    the number of entries of each text to out_sizes[1:].

    So many texts are sorted together, digit by digit, that they just stay in the cache. With ``binary`` features all
    counts are 1.

    Shapes: ids (g, t), token_offsets (n + 1,), entries and others with room for the longest text, g times, heads
    (values of a digit,) -> out_ids and out_counts (m,), at most g * t, out_sizes (n + 1,).
    """
    place, first, texts = 0, 0, token_offsets.shape[0] - 1
    while first < texts:
        last = first + 1
        while (
            last < texts
            and last - first < heads.shape[0]
            and ids.shape[0] * (token_offsets[last + 1] - token_offsets[first]) <= entries.shape[0]
        ):
            last += 1
        end = np.int64(0)  # a plain 0 would be a type of its own, and deal_by_digit compiled once more for that
        for text in range(first, last):
            for level in range(ids.shape[0]):
                for t in range(token_offsets[text], token_offsets[text + 1]):
                    if ids[level, t] != UNKNOWN:
                        entries[end] = np.int64(text - first) << 32 | np.int64(ids[level, t])
                        end += 1
        for digit in range(digits + 1):
            deal_by_digit(entries, end, digit * DIGIT if digit < digits else 32, heads, others)
            entries, others = others, entries
        before = np.int64(-1)
        for entry in range(end):
            fresh = entries[entry] != before
            before = entries[entry]
            place += fresh
            out_ids[place - 1] = before & 0xFFFFFFFF
            out_counts[place - 1] = 1 if fresh or binary else out_counts[place - 1] + 1
            out_sizes[first + (before >> 32) + 1] += fresh
        first = last
