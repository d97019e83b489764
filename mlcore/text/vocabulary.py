"""Words and their numbers: a hash table over bytes that kernels fill and read, and texts as word numbers."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.simd import load_eight_bytes, mix_bits
from mlcore.text.growing import GrowingArray
from mlcore.text.pool import in_order
from mlcore.text.tokenizer import HASHED, LINE_FEED, Scratch, TokenSpans, tokenise

CHARACTERS = 1_000_000  # tokenised at a time by a thread
TOKENS = 1_000_000  # looked at at a time by a thread
UNKNOWN = -1
OPENED, CLOSED = b"<>"  # around a word; no token has them
CONTINUATION = 0xC0  # mask of the bits of a byte that are 10 where a character goes on


class Tokens(NamedTuple):
    """Texts as word numbers, UNKNOWN where a word is not known: text i has ids[offsets[i]:offsets[i + 1]]."""

    ids: np.ndarray  # (t,) int32
    offsets: np.ndarray  # (n + 1,) int64

    @classmethod
    def joined(cls, parts: Iterable["Tokens"]) -> "Tokens":
        return cls(*join_texts(parts, np.int32))

    @property
    def n_texts(self) -> int:
        return len(self.offsets) - 1

    def select(self, rows: np.ndarray) -> "Tokens":
        """The texts with these numbers, which ascend."""
        lengths = np.diff(self.offsets)
        chosen = np.zeros(self.n_texts, bool)
        chosen[rows] = True
        return Tokens(self.ids[np.repeat(chosen, lengths)], np.append(0, np.cumsum(lengths[rows])))

    def heads(self, size: int) -> "Tokens":
        """The first ``size`` tokens of each text."""
        offsets = np.append(0, np.cumsum(np.minimum(np.diff(self.offsets), size)))
        moved = np.repeat(self.offsets[:-1] - offsets[:-1], np.diff(offsets))
        return Tokens(self.ids[np.arange(offsets[-1]) + moved], offsets)

    def counts(self, chosen: np.ndarray, words: int) -> np.ndarray:
        """How often each word occurs in the chosen texts: chosen (n,) bool -> (words,) int64."""
        return np.bincount(self.ids[np.repeat(chosen, np.diff(self.offsets))], minlength=words)

    def parts(self, size: int) -> Iterator[tuple[int, "Tokens"]]:
        """The texts in parts of up to ``size`` tokens, or of one text, each with the number of its first text."""
        first = 0
        while first < self.n_texts:
            last = max(first + 1, int(np.searchsorted(self.offsets, self.offsets[first] + size, side="right")) - 1)
            offsets = self.offsets[first : last + 1]
            yield first, Tokens(self.ids[offsets[0] : offsets[-1]], offsets - offsets[0])
            first = last


class Table(NamedTuple):
    """Words in one buffer, and a hash table over it, as kernels read and fill it."""

    size: np.ndarray  # (1,) int64, number of words
    bounds: np.ndarray  # (capacity + 1,) int64: word w is bytes[bounds[w]:bounds[w + 1]]
    bytes: np.ndarray  # (bytes,) uint8
    keys: np.ndarray  # (capacity,) int64, see ``find_keys``
    slots: np.ndarray  # (slots,) int32, a power of two of them: word numbers for linear probing, at most half full


class WordTable:
    """Distinct words, numbered in the order of their first occurrence.

    Example:
        >>> table = WordTable()
        >>> table.add(["Good film, good cast."]).ids.tolist()
        [0, 1, 2, 0, 3, 4]
        >>> table.look_up(["good plot"]).ids.tolist()
        [0, -1]
    """

    def __init__(self) -> None:
        self._table = Table(
            np.zeros(1, np.int64), np.zeros(8_193, np.int64), np.zeros(65_536, np.uint8), np.zeros(8_192, np.int64),
            free_slots(8_192),
        )  # fmt: skip

    @classmethod
    def from_lines(cls, lines: np.ndarray) -> "WordTable":
        """Table of the words in a buffer, (bytes,) uint8, each word followed by a line feed."""
        table = cls()
        table.add_spans(TokenSpans.of_lines(lines))
        return table

    def __len__(self) -> int:
        return int(self._table.size[0])

    @property
    def words(self) -> list[str]:
        return self.to_lines().tobytes().decode().split("\n")[:-1]  # splitlines would know more line ends

    def word(self, number: int) -> str:
        bounds = self._table.bounds
        return self._table.bytes[bounds[number] : bounds[number + 1]].tobytes().decode()

    def to_lines(self) -> np.ndarray:
        """All words, each followed by a line feed: (bytes,) uint8."""
        ends = self._table.bounds[: len(self) + 1]
        return np.insert(self._table.bytes[: ends[-1]], ends[1:], LINE_FEED)

    def select(self, numbers: np.ndarray) -> "WordTable":
        """New table of the words with these distinct numbers, in this order."""
        starts, lengths = self._table.bounds[:-1][numbers], np.diff(self._table.bounds)[numbers]
        bounds, keys = np.append(0, np.cumsum(lengths)), self._table.keys[numbers]
        copied = self._table.bytes[np.repeat(starts - bounds[:-1], lengths) + np.arange(bounds[-1])]
        table = WordTable()
        table._table = Table(np.array([len(numbers)]), bounds, copied, keys, slots_of(keys))
        return table

    def add(self, texts: Iterable[str], threads: int = 1) -> Tokens:
        """Number the words of the texts, giving new words the next numbers, whatever the number of threads."""
        scratch = Scratch()

        def number(chunk: Any) -> tuple[WordTable, Tokens]:
            local, spans = WordTable(), tokenise(chunk, scratch)
            return local, Tokens(local.add_spans(spans), spans.offsets)

        # words of the first chunk come first, whichever thread was faster
        numbered = in_order(number, chunks_of(texts), threads)
        return Tokens.joined(Tokens(self.add_spans(local.spans())[part.ids], part.offsets) for local, part in numbered)

    def look_up(self, texts: list[str]) -> Tokens:
        """Number the words of the texts; those not in the table are UNKNOWN."""
        spans = tokenise(texts)
        return Tokens(self.look_up_spans(spans), spans.offsets)

    def look_up_spans(self, spans: TokenSpans) -> np.ndarray:
        """Number the tokens, as they are written; those not in the table are UNKNOWN: (t,) int32."""
        ids = np.empty(len(spans.starts), np.int32)
        find_tokens(spans, self._table, ids)
        return ids

    def numbers_of(self, other: "WordTable") -> np.ndarray:
        """Number of each word of another table, and UNKNOWN once more at the end, for UNKNOWN: (len(other) + 1,)."""
        return np.append(self.look_up_spans(other.spans()), np.int32(UNKNOWN))

    def cut(self, first: int, last: int, sizes: range) -> TokenSpans:
        """N-grams of so many characters of the words from ``first`` to ``last`` - 1, each word between < and >.

        Not those that are a whole word. What is cut from word w has offsets[w - first]..offsets[w - first + 1].
        """
        _, bounds, word_bytes, _, _ = self._table
        size = int(bounds[last] - bounds[first]) + 2 * (last - first)
        data = np.empty(size + 8, np.uint8)  # keys are read eight bytes at a time
        starts, ends, keys = (np.empty(size * len(sizes), np.int64) for _ in range(3))
        offsets = np.zeros(last - first + 1, np.int64)
        cut_words(bounds[first : last + 1], word_bytes, sizes.start, sizes.stop - 1, data, starts, ends, offsets)
        return TokenSpans.with_keys(data, starts, ends, keys, offsets)

    def shortened(self) -> TokenSpans:
        """Each word as a text of several tokens: itself, and what is left of it without each of its characters."""
        _, bounds, word_bytes, _, _ = self._table
        bounds, offsets = bounds[: len(self) + 1], np.zeros(len(self) + 1, np.int64)
        lines = np.empty(int(((np.diff(bounds) + 1) ** 2).sum()), np.uint8)
        end = shorten_words(bounds, word_bytes, lines, offsets)
        return TokenSpans.of_lines(lines[:end])._replace(offsets=offsets)

    def lengths(self) -> np.ndarray:
        """Number of characters of each word: (len(self),) int64."""
        bounds = self._table.bounds[: len(self) + 1]
        begun = np.append(0, np.cumsum(self._table.bytes[: bounds[-1]] & CONTINUATION != 0x80))
        return np.diff(begun[bounds])

    def spans(self, numbers: np.ndarray | None = None) -> TokenSpans:
        """The words with these numbers, or all, as tokens of one text."""
        _, bounds, data, keys, _ = self._table
        chosen = slice(len(self)) if numbers is None else numbers
        starts, ends, keys = bounds[:-1][chosen], bounds[1:][chosen], keys[chosen]
        return TokenSpans(data, starts, ends, keys, np.array([0, len(keys)]))

    def add_spans(self, spans: TokenSpans) -> np.ndarray:
        """Number the tokens, giving new ones the next numbers: (t,) int32."""
        ids, done = np.empty(len(spans.starts), np.int32), 0
        while (done := add_tokens(spans, done, self._table, ids)) < len(ids):
            self._grow(int(spans.ends[done] - spans.starts[done]))
        return ids

    def _grow(self, next_word: int) -> None:
        """Double whatever is full; ``next_word`` is the number of bytes that must fit."""
        words, (size, bounds, data, keys, slots) = len(self), self._table
        if bounds[words] + next_word > len(data):
            data = np.concatenate([data, np.zeros(len(data) + next_word, np.uint8)])
        if words == len(keys):
            keys, bounds = (np.concatenate([array, np.zeros(words + 1, np.int64)]) for array in (keys, bounds))
        if 2 * words >= len(slots):
            slots = slots_of(keys[:words])
        self._table = Table(size, bounds, data, keys, slots)


def chunks_of(texts: Iterable[str] | bytes) -> Iterator[list[str] | bytes]:
    """The texts in lists of about CHARACTERS, however many threads there are; whole lines as they are."""
    if isinstance(texts, bytes):
        yield texts
        return
    chunk, size = list[str](), 0
    for text in texts:
        chunk.append(text)
        size += len(text) + 1
        if size >= CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def join_texts(parts: Iterable[tuple[np.ndarray, ...]], *dtypes: type) -> list[np.ndarray]:
    """Join parts of texts in CSR form: arrays of these types, and the offsets of the texts in them."""
    *arrays, offsets = [GrowingArray(dtype) for dtype in (*dtypes, np.int64)]
    end = np.int64(0)
    offsets.append(np.zeros(1))
    for *values, part_offsets in parts:
        for array, value in zip(arrays, values, strict=True):
            array.append(value)
        offsets.append(end + part_offsets[1:])
        end += part_offsets[-1]
    return [array.finish() for array in (*arrays, offsets)]


@kernel
def free_slots(entries):
    """Slots of an empty hash table, a power of two, that will be at most half full: (slots,) int32."""
    size = 4
    while size <= 2 * entries:
        size *= 2
    return np.full(size, UNKNOWN, np.int32)


@kernel
def slots_of(keys):
    """Hash table of distinct entries with these keys, (m,) int64, which may be equal: (slots,) int32."""
    slots = free_slots(keys.shape[0])
    for entry in range(keys.shape[0]):
        slot = first_slot(keys[entry], slots)
        while slots[slot] != UNKNOWN:
            slot = (slot + 1) & (slots.shape[0] - 1)
        slots[slot] = entry
    return slots


@inline_kernel
def same_bytes(data, start, end, others, first, last):
    """Whether ``data[start:end]``, of at least eight bytes, and ``others[first:last]`` are the same."""
    if end - start != last - first or load_eight_bytes(data, end - 8) != load_eight_bytes(others, last - 8):
        return False
    place = start
    while place < end - 8:
        if load_eight_bytes(data, place) != load_eight_bytes(others, first + place - start):
            return False
        place += 8
    return True


@inline_kernel
def first_slot(key, slots):
    """Slot at which the search for a key begins."""
    return mix_bits(key) & (slots.shape[0] - 1)


@inline_kernel
def next_slot(key, keys, slots, slot):
    """First slot from ``slot`` on that is free or has this key: linear probing."""
    while slots[slot] != UNKNOWN and keys[slots[slot]] != key:
        slot = (slot + 1) & (slots.shape[0] - 1)
    return slot


@inline_kernel
def find_slot(key, keys, slots):
    """Slot that has this key, or the free one where it belongs."""
    return next_slot(key, keys, slots, first_slot(key, slots))


@inline_kernel
def find_word(data, start, end, key, bounds, word_bytes, word_keys, slots):
    """Slot of the word ``data[start:end]`` with this key: its own, or the free one where it belongs."""
    slot = first_slot(key, slots)
    while True:
        slot = next_slot(key, word_keys, slots, slot)
        word = slots[slot]
        # shorter words are their own keys
        if word == UNKNOWN or key < HASHED or same_bytes(data, start, end, word_bytes, bounds[word], bounds[word + 1]):
            return slot
        slot = (slot + 1) & (slots.shape[0] - 1)


# The arrays are taken out of the tuples first: where a loop does it, Numba counts references in every turn


@kernel
def find_tokens(spans, table, ids):
    """Number of each token's word, UNKNOWN for words not in the table: overwrite ids (t,)."""
    data, starts, ends, keys, _ = spans
    _, bounds, word_bytes, word_keys, slots = table
    for t in range(ids.shape[0]):
        ids[t] = slots[find_word(data, starts[t], ends[t], keys[t], bounds, word_bytes, word_keys, slots)]


@kernel
def add_tokens(spans, done, table, ids):
    """Number the tokens from ``done`` on, adding new words to the table, until one finds it full.

    Returns the number of that token, for the caller to make room and call again, or t at the end.
    Updates the table and overwrites ids[done:returned] of ids (t,).
    """
    data, starts, ends, keys, _ = spans
    size, bounds, word_bytes, word_keys, slots = table
    for t in range(done, ids.shape[0]):
        start, end = starts[t], ends[t]
        slot = find_word(data, start, end, keys[t], bounds, word_bytes, word_keys, slots)
        if slots[slot] == UNKNOWN:
            word = size[0]
            place = bounds[word]
            if word == word_keys.shape[0] or 2 * word >= slots.shape[0] or place + end - start > word_bytes.shape[0]:
                return t
            for i in range(end - start):
                word_bytes[place + i] = data[start + i]
            bounds[word + 1] = place + end - start
            word_keys[word] = keys[t]
            slots[slot] = word
            size[0] = word + 1
        ids[t] = slots[slot]
    return ids.shape[0]


@kernel
def cut_words(bounds, word_bytes, smallest, largest, data, starts, ends, offsets):
    """Write words between < and >, and find n-grams of ``smallest`` to ``largest`` characters: overwrite the others.

    Shapes: bounds (w + 1,) of the words in word_bytes -> data (bytes,) with room for two more for each word, starts and
    ends (t,) with room for all sizes at each of its bytes, offsets (w + 1,) with offsets[0] = 0.
    """
    place, found = 0, 0
    for w in range(offsets.shape[0] - 1):
        begin = place
        data[place] = OPENED
        for i in range(bounds[w], bounds[w + 1]):
            place += 1
            data[place] = word_bytes[i]
        data[place + 1] = CLOSED
        place += 2
        for start in range(begin, place):
            end, size = start, 0
            while end < place and size < largest and data[start] & CONTINUATION != 0x80:
                end, size = end + 1, size + 1
                while end < place and data[end] & CONTINUATION == 0x80:
                    end += 1
                if size >= smallest and end - start < place - begin:
                    starts[found], ends[found] = start, end
                    found += 1
        offsets[w + 1] = found


@kernel
def shorten_words(bounds, word_bytes, lines, offsets):
    """Write each word without each of its characters, and itself, as lines: overwrite lines and offsets.

    Shapes: bounds (w + 1,) of the words in word_bytes -> lines (bytes,) with room for the square of the bytes of each
    word and its line feed, offsets (w + 1,) in lines, with offsets[0] = 0. Returns the end of all lines.
    """
    place, found = 0, 0
    for w in range(offsets.shape[0] - 1):
        left_out = bounds[w]
        while left_out <= bounds[w + 1]:  # at last what is left out is nothing
            after = left_out + 1
            while after < bounds[w + 1] and word_bytes[after] & CONTINUATION == 0x80:
                after += 1
            for i in range(bounds[w], bounds[w + 1]):
                if i < left_out or i >= after:
                    lines[place] = word_bytes[i]
                    place += 1
            lines[place] = LINE_FEED
            place, found, left_out = place + 1, found + 1, after
        offsets[w + 1] = found
    return place
