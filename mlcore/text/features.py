"""Features of a text: its known words and n-grams of words, numbered exactly, without hashing two into one.

An n-gram is kept as a pair: the number of the n-gram without its last word, and that word. An n-gram cannot occur
more often than that shorter one, so that counting and pruning go level by level: what is pruned at one level need
not be counted at the next.
"""

from collections.abc import Iterable

import numpy as np

from mlcore.kernels import kernel
from mlcore.text.vocabulary import UNKNOWN, Documents, TokenIds, WordTable, choose_words, places_of

LARGEST_NGRAM = 3


class PairTable:
    """Distinct pairs (feature, word) in the order of their numbers, which begin at ``first``, with a hash table."""

    def __init__(self, first: int) -> None:
        self.first = first
        self._size = np.zeros(1, np.int64)  # an array because kernels write it
        self._keys = np.zeros(1_024, np.int64)  # feature << 32 | word
        self._slots = np.full(4_096, UNKNOWN, np.int32)  # hash table with linear probing, at most half full

    @classmethod
    def from_keys(cls, first: int, keys: np.ndarray) -> "PairTable":
        """Table of distinct keys, ``feature << 32 | word``: (m,) int64."""
        table = cls(first)
        table._size[0] = len(keys)
        table._keys = keys
        table._slots = np.full(max(4, 1 << (2 * len(keys)).bit_length()), UNKNOWN, np.int32)
        fill_pairs(keys, table._slots)
        return table

    def __len__(self) -> int:
        return int(self._size[0])

    @property
    def keys(self) -> np.ndarray:
        """``feature << 32 | word`` of every pair: (m,) int64."""
        return self._keys[: len(self)]

    def add(self, keys: np.ndarray) -> np.ndarray:
        """Number the pairs, giving new ones the next numbers; UNKNOWN stays UNKNOWN: (t,) int64 -> (t,) int32."""
        ids = np.empty(len(keys), np.int32)
        done = 0
        while True:
            done = add_pairs(keys, done, self.first, self._size, self._keys, self._slots, ids)
            if done == len(ids):
                return ids
            self._keys = np.concatenate([self._keys, np.zeros_like(self._keys)])
            self._slots = np.full(4 * len(self._keys), UNKNOWN, np.int32)
            fill_pairs(self.keys, self._slots)

    def look_up(self, keys: np.ndarray) -> np.ndarray:
        """Number the pairs; those not in the table are UNKNOWN: (t,) int64 -> (t,) int32."""
        ids = np.empty(len(keys), np.int32)
        find_pairs(keys, self.first, self._keys, self._slots, ids)
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

    def locate(self, words: TokenIds) -> np.ndarray:
        """Number of the feature of g = 1, 2, ... words that ends at each token, or UNKNOWN: (largest, t) int32."""
        ids = np.empty((self.largest, len(words.ids)), np.int32)
        ids[0] = words.ids
        for level in range(1, self.largest):
            ids[level] = self.ngrams.look_up(pair_up(ids[level - 1], words))
        return ids

    def documents(self, texts: Iterable[str]) -> Documents:
        """Known features of the texts with their counts."""
        words = self.words.look_up(texts)
        return count_features(self.locate(words), words.offsets, len(self), self.binary)


def choose_features(
    table: WordTable,
    tokens: TokenIds,
    rows: np.ndarray,
    largest: int,
    min_count: int,
    max_features: int | None,
    binary: bool,
) -> Features:
    """Features of up to ``largest`` words that occur at least ``min_count`` times in the given rows of texts, and of
    these the ``max_features`` most frequent (on ties, the shorter and earlier ones).
    """
    chosen = np.zeros(tokens.n_texts, bool)
    chosen[rows] = True
    numbers, counts = choose_words(table, tokens, chosen, min_count)
    words = TokenIds(places_of(numbers, len(table))[tokens.ids], tokens.offsets)
    in_rows = chosen[tokens.text_of_token()]
    all_counts, all_keys = [counts], [np.zeros(0, np.int64)]
    first, previous = len(numbers), words.ids
    for _ in range(1, largest):
        keys = pair_up(previous, words)
        found = PairTable(0)
        pairs = found.add(np.where(in_rows, keys, UNKNOWN))
        counts = np.bincount(pairs[pairs != UNKNOWN], minlength=len(found))
        order = np.argsort(-counts, kind="stable")
        order = order[counts[order] >= min_count]
        kept = PairTable.from_keys(first, found.keys[order])
        all_counts.append(counts[order])
        all_keys.append(kept.keys)
        previous = kept.look_up(keys)
        first += len(kept)
    counts, keys = np.concatenate(all_counts), np.concatenate(all_keys)
    if max_features is not None and max_features < len(counts):
        keep = np.zeros(len(counts), bool)
        keep[np.argsort(-counts, kind="stable")[:max_features]] = True
        renumbered = np.cumsum(keep) - 1
        keys = keys[keep[len(numbers) :]]
        keys = renumbered[keys >> 32] << 32 | renumbered[keys & 0xFFFFFFFF]
        numbers = numbers[keep[: len(numbers)]]
    return Features(table.select(numbers), PairTable.from_keys(len(numbers), keys), largest, binary)


def extend(known: Features, new: Features) -> Features:
    """Features of both, those of ``known`` first among the words and first among the n-grams, in their order."""
    words = WordTable.from_lines(known.words.to_lines())
    of_new = words.add_words(new.words)
    moved = np.concatenate([np.arange(len(known.words)), len(words) + np.arange(len(known.ngrams))])
    table = PairTable(len(words))
    table.add(moved[known.ngrams.keys >> 32] << 32 | moved[known.ngrams.keys & 0xFFFFFFFF])
    translation = np.concatenate([of_new, np.zeros(len(new.ngrams), np.int64)])
    level = new.words_in()[len(new.words) :]
    for size in range(2, new.largest + 1):  # level by level: the number of an n-gram needs that of its beginning
        at = np.flatnonzero(level == size)
        keys = new.ngrams.keys[at]
        translation[len(new.words) + at] = table.add(translation[keys >> 32] << 32 | translation[keys & 0xFFFFFFFF])
    return Features(words, table, max(known.largest, new.largest), new.binary)


def pair_up(ids: np.ndarray, words: TokenIds) -> np.ndarray:
    """Key of each token's pair: what ends at the token before, and the token's word; UNKNOWN where either is.

    Shapes: ids (t,) of features that end at each token -> (t,) int64.
    """
    keys = np.empty(len(ids), np.int64)
    pair_keys(ids, words.ids, words.offsets, keys)
    return keys


def count_features(ids: np.ndarray, offsets: np.ndarray, size: int, binary: bool) -> Documents:
    """Distinct known features with their counts, per text.

    Shapes: ids (g, t) of features that end at each token, offsets (n + 1,) of the texts' tokens.
    """
    starts = np.zeros(len(offsets), np.int64)
    firsts = np.zeros(size + 1, np.int64)
    last_text = np.full(size, UNKNOWN, np.int64)
    count_entries(ids, offsets, last_text, starts, firsts)
    np.cumsum(starts, out=starts)
    np.cumsum(firsts, out=firsts)
    entries = starts[-1]
    documents = Documents(np.empty(entries, np.int32), np.empty(entries, np.int32), starts)
    entry_texts, entry_counts = np.empty(entries, np.int32), np.empty(entries, np.int32)
    last_text[:] = UNKNOWN
    fill_documents(
        ids, offsets, last_text, firsts, firsts[:-1].copy(), entry_texts, entry_counts,
        starts[:-1].copy(), documents.ids, documents.counts,
    )  # fmt: skip
    if binary:
        documents.counts[:] = 1
    return documents


@kernel
def hash_pair(key):
    """Hash of a key, ``feature << 32 | word``, of 31 bits or more."""
    value = ((key & 0xFFFFFFFF) * 0x45D9F3B ^ (key >> 32) * 0x7FEB352D) & 0x7FFFFFFFFFFFFFFF
    return value ^ (value >> 29)


@kernel
def pair_slot(key, keys, slots):
    """Slot of a pair: its own, or the free one where it belongs."""
    mask = slots.shape[0] - 1
    slot = hash_pair(key) & mask
    while slots[slot] != UNKNOWN and keys[slots[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def find_pairs(keys, first, known, slots, ids):
    """Number each pair, from ``first`` on, UNKNOWN where it is not known: overwrite ids.

    Shapes: keys (t,), known (pairs,) the keys in the table, slots a power of two -> ids (t,).
    """
    for t in range(keys.shape[0]):
        ids[t] = UNKNOWN
        if keys[t] != UNKNOWN:
            pair = slots[pair_slot(keys[t], known, slots)]
            if pair != UNKNOWN:
                ids[t] = first + pair


@kernel
def add_pairs(keys, start, first, size, known, slots, ids):
    """Number the pairs from ``start`` on, adding new ones to the table, until one finds it full.

    Returns the number of that token, for the caller to make room and call again, or t at the end.
    Updates size, known and slots; overwrites ids[start:returned].

    Shapes: keys (t,) -> ids (t,); the table as in find_pairs, with size (1,).
    """
    for t in range(start, keys.shape[0]):
        ids[t] = UNKNOWN
        if keys[t] == UNKNOWN:
            continue
        slot = pair_slot(keys[t], known, slots)
        if slots[slot] == UNKNOWN:
            if size[0] == known.shape[0]:
                return t
            known[size[0]] = keys[t]
            slots[slot] = size[0]
            size[0] += 1
        ids[t] = first + slots[slot]
    return keys.shape[0]


@kernel
def fill_pairs(keys, slots):
    """Enter distinct pairs into empty slots."""
    for pair in range(keys.shape[0]):
        slots[pair_slot(keys[pair], keys, slots)] = pair


@kernel
def pair_keys(ids, words, offsets, keys):
    """Key of each token's pair, ``ids of the token before << 32 | word``: overwrite keys.

    UNKNOWN where either is unknown, and at the first token of a text.

    Shapes: ids and words (t,), offsets (n + 1,) -> keys (t,).
    """
    for text in range(offsets.shape[0] - 1):
        before = UNKNOWN
        for t in range(offsets[text], offsets[text + 1]):
            keys[t] = UNKNOWN
            if before != UNKNOWN and words[t] != UNKNOWN:
                keys[t] = np.int64(before) << 32 | np.int64(words[t])
            before = ids[t]


@kernel
def count_entries(ids, token_offsets, last_text, texts, features):
    """Count the distinct features of each text and the texts of each feature: add to texts[1:] and features[1:].

    Shapes: ids (g, t), token_offsets (n + 1,), last_text (v,) holding UNKNOWN -> texts (n + 1,), features (v + 1,).
    """
    for text in range(token_offsets.shape[0] - 1):
        for level in range(ids.shape[0]):
            for t in range(token_offsets[text], token_offsets[text + 1]):
                feature = ids[level, t]
                if feature != UNKNOWN and last_text[feature] != text:
                    last_text[feature] = text
                    texts[text + 1] += 1
                    features[feature + 1] += 1


@kernel
def fill_documents(
    ids, token_offsets, last_text, firsts, next_entry, entry_texts, entry_counts, next_of_text, out_ids, out_counts
):
    """Sort the features of every text by number and count them, in linear time: overwrite out_ids and out_counts.

    First the texts are listed for each feature, in order; going through that list feature by feature and handing
    each back to its texts leaves every text with its features in order.

    Shapes: ids (g, t), token_offsets (n + 1,), last_text (v,) holding UNKNOWN, firsts (v + 1,) the places of each
    feature's entries, next_entry (v,) a copy of firsts[:-1], next_of_text (n,) the first place of each text's
    entries, entry_texts and entry_counts (m,) scratch -> out_ids and out_counts (m,).
    """
    for text in range(token_offsets.shape[0] - 1):
        for level in range(ids.shape[0]):
            for t in range(token_offsets[text], token_offsets[text + 1]):
                feature = ids[level, t]
                if feature == UNKNOWN:
                    continue
                if last_text[feature] != text:
                    last_text[feature] = text
                    entry_texts[next_entry[feature]] = text
                    entry_counts[next_entry[feature]] = 0
                    next_entry[feature] += 1
                entry_counts[next_entry[feature] - 1] += 1
    for feature in range(next_entry.shape[0]):
        for entry in range(firsts[feature], firsts[feature + 1]):
            text = entry_texts[entry]
            out_ids[next_of_text[text]] = feature
            out_counts[next_of_text[text]] = entry_counts[entry]
            next_of_text[text] += 1
