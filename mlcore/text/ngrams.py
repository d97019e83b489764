"""Features of a text: its known words and n-grams of words, numbered exactly, without hashing two into one.

An n-gram is kept as a pair: the number of the n-gram without its last word, and that word; as one number, its key, it
is ``feature << 32 | word``. An n-gram cannot occur more often than that shorter one, so that counting and pruning go
level by level: what is pruned at one level need not be counted at the next.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.simd import mix_bits
from mlcore.text.pool import in_order
from mlcore.text.tokenizer import Scratch
from mlcore.text.vocabulary import (
    TOKENS,
    UNKNOWN,
    Tokens,
    WordTable,
    chunks_of,
    find_slot,
    first_slot,
    free_slots,
    join_texts,
    slots_of,
)  # fmt: skip

LARGEST_NGRAM = 3
ENTRIES = 1 << 14  # sorted at a time
DIGIT = 11  # bits of the numbers by which they are sorted at a time
KEYS_AT_A_TIME = 1 << 24  # counted in one turn; they take twelve bytes each
KEYS_IN_BUCKET = 1 << 15  # so that a bucket is counted in the second-level cache


class Documents(NamedTuple):
    """Texts as distinct feature ids with their counts (CSR): text i has the entries offsets[i]..offsets[i + 1]."""

    ids: np.ndarray  # (m,) int32, ascending within a text
    counts: np.ndarray  # (m,) int32, at least 1; or (1,) of a 1 that stands for all, which takes no memory
    offsets: np.ndarray  # (n + 1,) int64

    @classmethod
    def joined(cls, parts: Iterable["Documents"]) -> "Documents":
        """The texts of one part after another."""
        return cls(*join_texts(parts, np.int32, np.int32))

    @property
    def n_texts(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> np.ndarray:
        """Number of known features of each text, repeats included: (n,) int64."""
        lengths = np.empty(self.n_texts, np.int64)
        sum_counts(self.counts, self.offsets, lengths)
        return lengths


class PairTable:
    """Distinct pairs in the order of their numbers, which begin at ``first``; ``keys``: (m,) int64."""

    def __init__(self, first: int, keys: np.ndarray) -> None:
        self.first, self.keys = first, keys

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def slots(self) -> np.ndarray:
        """Hash table of the keys, made when it is first needed; two threads may both make it, which does no harm."""
        return slots_of(self.keys)

    def look_up(self, keys: np.ndarray) -> np.ndarray:
        """Number the pairs; those not in the table are UNKNOWN: (t,) int64 -> (t,) int32."""
        ids = np.empty(len(keys), np.int32)
        find_pairs(keys, self.first, self.keys, self.slots, ids)
        return ids


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

    def locate(self, words: Tokens) -> np.ndarray:
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

    def documents_of(self, tokens: Tokens, table: WordTable, threads: int = 1) -> Documents:
        """Known features of texts that are words of a table."""
        numbers = self.words.numbers_of(table)

        def count(part: tuple[int, Tokens]) -> Documents:
            _, (ids, offsets) = part
            return self.count(Tokens(numbers[ids], offsets))

        parts = in_order(count, tokens.parts(TOKENS), threads)
        if self.binary:
            ones = chain([np.ones(1, np.int32)], repeat(np.ones(0, np.int32)))
            parts = (part._replace(counts=one) for part, one in zip(parts, ones))  # noqa: B905
        return Documents.joined(parts)

    def count(self, words: Tokens) -> Documents:
        """Known features of texts of known words, at once."""
        return count_features(self.locate(words), words.offsets, len(self), self.binary)


def choose_features(
    table: WordTable,
    tokens: Tokens,
    rows: np.ndarray,
    largest: int,
    min_count: int,
    max_features: int | None,
    binary: bool,
    threads: int = 1,
) -> Features:
    """Features of up to ``largest`` words that occur at least ``min_count`` times in the given rows of texts, and of
    these the ``max_features`` most frequent (on ties, the shorter and earlier ones), whatever the number of threads.
    """
    chosen = np.zeros(tokens.n_texts, bool)
    chosen[rows] = True

    def count_words(part: tuple[int, Tokens]) -> np.ndarray:
        first, (ids, offsets) = part
        counted = np.repeat(chosen[first : first + len(offsets) - 1], np.diff(offsets))
        return np.bincount(ids[counted], minlength=len(table))

    parts = tokens.parts(max(TOKENS, len(table)))
    counts = sum(in_order(count_words, parts, threads), np.zeros(len(table), np.int64))
    numbers = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts >= min_count)][:max_features]
    all_counts, levels, first = [counts[numbers]], list[PairTable](), len(numbers)
    places = np.full(len(table), UNKNOWN, np.int32)
    places[numbers] = np.arange(first)

    def keys_of(part: tuple[int, Tokens]) -> np.ndarray:
        first_text, (ids, offsets) = part
        words = Tokens(places[ids], offsets)
        before = words.ids
        for level in levels:
            before = level.look_up(pair_up(before, words))
        return pair_up(before, words, chosen[first_text : first_text + words.n_texts])

    for _ in range(1, largest):
        keys, counts = frequent_pairs(tokens, keys_of, min_count, threads)
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
    words = known.words.select(np.arange(len(known.words)))
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
    sort_and_count(ids, offsets, digits, binary, entries, others, np.empty(1 << DIGIT, np.int64), *documents)
    np.cumsum(documents.offsets, out=documents.offsets)
    end = documents.offsets[-1]
    return Documents(documents.ids[:end], documents.counts[:end], documents.offsets)


def pair_up(ids: np.ndarray, words: Tokens, chosen: np.ndarray | None = None) -> np.ndarray:
    """Key of each token's pair: what ends at the token before, and the token's word; UNKNOWN where either is.

    Shapes: ids (t,) of features that end at each token, chosen (n,) bool, the texts that have pairs, by default all
    -> (t,) int64.
    """
    keys = np.empty(len(ids), np.int64)
    pair_keys(ids, words.ids, words.offsets, np.ones(words.n_texts, bool) if chosen is None else chosen, keys)
    return keys


_Dealt = tuple[np.ndarray, np.ndarray, np.ndarray, int]  # keys, places and bounds of ``deal_keys``, first token


def frequent_pairs(
    tokens: Tokens, keys_of: Callable[[tuple[int, Tokens]], np.ndarray], min_count: int, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the pairs that occur at least ``min_count`` times, the most frequent first (on ties, the earlier one),
    and their counts: (m,) and (m,) int64.

    The keys are dealt out to buckets by their hash, and each bucket is counted on its own, in a table that fits into
    the cache. Where there are very many tokens, each turn takes a share of the buckets only, so that memory is needed
    for these and for the pairs that are kept.

    ``keys_of``: the keys of a part of the tokens, UNKNOWN where a token has no pair: (t,) int64.
    """
    turns = 1 << max(0, (len(tokens.ids) - 1) // KEYS_AT_A_TIME).bit_length()
    buckets = 1 << (len(tokens.ids) // turns // KEYS_IN_BUCKET).bit_length()
    kept: list[tuple[np.ndarray, ...]] = [(np.zeros(0, np.int64),) * 3]

    def deal(turn: int, part: tuple[int, Tokens]) -> _Dealt:
        return *deal_keys(keys_of(part), turn, turns, buckets), int(tokens.offsets[part[0]])

    def count(dealt: list[_Dealt], bucket: int) -> tuple[np.ndarray, ...]:
        slices = [slice(bounds[bucket], bounds[bucket + 1]) for _, _, bounds, _ in dealt]
        keys = np.concatenate([keys[at] for (keys, _, _, _), at in zip(dealt, slices, strict=True)])
        places = np.concatenate([first + places[at] for (_, places, _, first), at in zip(dealt, slices, strict=True)])
        found = count_pairs(keys, places, free_slots(len(keys)))
        return tuple(array[found[1] >= min_count] for array in found)

    for turn in range(turns):
        dealt = list(in_order(partial(deal, turn), tokens.parts(TOKENS), threads))
        kept.extend(in_order(partial(count, dealt), range(buckets if dealt else 0), threads))
    keys, counts, firsts = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
    order = np.lexsort((firsts, -counts))
    return keys[order], counts[order]


@kernel
def pair_keys(ids, words, offsets, chosen, keys):
    """Keys of the tokens' pairs, as ``pair_up`` says: overwrite keys.

    Shapes: ids and words (t,), offsets (n + 1,), chosen (n,) bool -> keys (t,).
    """
    for text in range(offsets.shape[0] - 1):
        before = UNKNOWN
        for t in range(offsets[text], offsets[text + 1]):
            keys[t] = UNKNOWN
            if before != UNKNOWN and words[t] != UNKNOWN and chosen[text]:
                keys[t] = np.int64(before) << 32 | np.int64(words[t])
            before = ids[t]


@kernel
def find_pairs(keys, first, known, slots, ids):
    """Number each pair, from ``first`` on, UNKNOWN where it is not known: overwrite ids.

    Shapes: keys (t,), known (pairs,) the keys in the table, slots a power of two -> ids (t,).
    """
    for t in range(keys.shape[0]):
        ids[t] = UNKNOWN
        if keys[t] != UNKNOWN:
            pair = slots[find_slot(keys[t], known, slots, first_slot(keys[t], slots))]
            if pair != UNKNOWN:
                ids[t] = first + pair


@inline_kernel
def bucket_of(key, turn, turns, buckets):
    """Bucket of a key in this turn, or UNKNOWN; mix_bits once more, so that keys of a bucket have different slots.

    The product stays below 2 ** 63.
    """
    bucket = ((mix_bits(key) & 0xFFFFFFFF) * 0x1E3779B1 >> 24 & (turns * buckets - 1)) - turn * buckets
    return bucket if key != UNKNOWN and 0 <= bucket < buckets else UNKNOWN


@kernel
def deal_keys(keys, turn, turns, buckets):
    """Deal out the keys (t,) of a turn: those of bucket b are dealt[bounds[b]:bounds[b + 1]], with their places.

    Returns dealt (m,) int64, places (m,) int32 and bounds (buckets + 1,) int64.
    """
    bounds = np.zeros(buckets + 2, np.int64)
    for t in range(keys.shape[0]):
        bucket = bucket_of(keys[t], turn, turns, buckets)
        if bucket != UNKNOWN:
            bounds[bucket + 2] += 1
    for b in range(buckets):
        bounds[b + 2] += bounds[b + 1]
    dealt, places = np.empty(bounds[-1], np.int64), np.empty(bounds[-1], np.int32)
    for t in range(keys.shape[0]):
        bucket = bucket_of(keys[t], turn, turns, buckets)
        if bucket != UNKNOWN:  # bounds[bucket + 1] is where it begins, and at last where it ends
            dealt[bounds[bucket + 1]], places[bounds[bucket + 1]] = keys[t], t
            bounds[bucket + 1] += 1
    return dealt, places, bounds[:-1]


@kernel
def count_pairs(keys, places, slots):
    """Distinct keys of keys (t,) in the order of their first occurrence, their counts, and the places of the firsts.

    ``slots`` are empty, and more than t.
    """
    distinct, counts, firsts = np.empty_like(keys), np.empty_like(keys), np.empty_like(keys)
    found = 0
    for t in range(keys.shape[0]):
        slot = find_slot(keys[t], distinct, slots, first_slot(keys[t], slots))
        if slots[slot] == UNKNOWN:
            slots[slot], distinct[found], firsts[found], counts[found] = found, keys[t], places[t], 0
            found += 1
        counts[slots[slot]] += 1
    return distinct[:found], counts[:found], firsts[:found]


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


@kernel
def sum_counts(counts, offsets, lengths):
    """Sum of the counts of each text: overwrite lengths.

    Shapes: counts (m,) or (1,), offsets (n + 1,) -> lengths (n,).
    """
    for text in range(lengths.shape[0]):
        lengths[text] = 0
        for entry in range(offsets[text], offsets[text + 1]):
            lengths[text] += counts[entry if counts.shape[0] > 1 else 0]
