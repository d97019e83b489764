"""Words and their numbers: a hash table over bytes that kernels fill and read, and texts as ids with counts."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from mlcore.kernels.compiling import kernel, inline_kernel
from mlcore.kernels.simd import load_eight_bytes, mix_bits
from mlcore.text.growing import Growing
from mlcore.text.memory import release
from mlcore.text.pool import in_order
from mlcore.text.tokenizer import HASHED, Scratch, TokenSpans, tokenise

CHARACTERS = 1_000_000  # tokenised at a time by a thread
TOKENS = 1_000_000  # looked at at a time by a thread
TEXTS = 1 << 17  # gone through together
MAPPED = 1 << 28  # bytes of a file that may stay in memory
UNKNOWN = -1


class Documents(NamedTuple):
    """Texts as distinct word ids with their counts (CSR): text i has the entries offsets[i]..offsets[i + 1]."""

    ids: np.ndarray  # (m,) int32, ascending within a text
    counts: np.ndarray  # (m,) int32, at least 1; or (1,) of a 1 that stands for all, which takes no memory
    offsets: np.ndarray  # (n + 1,) int64

    @classmethod
    def joined(cls, parts: Iterable["Documents"], storage: Sequence[Growing] | None = None) -> "Documents":
        """The texts of one part after another, in memory or in a storage for each of the three arrays."""
        return join_texts(cls, parts, storage or (Growing(np.int32), Growing(np.int32), Growing(np.int64)))

    @property
    def n_texts(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> np.ndarray:
        """Number of known words of each text, repeats included: (n,) int64."""
        lengths = np.empty(self.n_texts, np.int64)
        sum_counts(self.counts, self.offsets, lengths)
        return lengths

    def in_blocks(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Some texts after others, and their place among all of ``rows``; those before do not stay in memory."""
        for start in range(0, len(rows), TEXTS):
            block = slice(start, start + TEXTS)
            yield block, rows[block]
            self.release()

    def release(self) -> None:
        """Let go of what is mapped from large files, and is read again when it is needed: it need not fill memory."""
        if self.ids.nbytes > MAPPED:
            release(self.ids)
            release(self.counts)


class TokenIds(NamedTuple):
    """Texts as word numbers, UNKNOWN where a word is not known: text i has ids[offsets[i]:offsets[i + 1]]."""

    ids: np.ndarray  # (t,) int32
    offsets: np.ndarray  # (n + 1,) int64

    @classmethod
    def joined(cls, parts: Iterable["TokenIds"], storage: Sequence[Growing] | None = None) -> "TokenIds":
        """The texts of one part after another, in memory or in a storage for each of the two arrays."""
        return join_texts(cls, parts, storage or (Growing(np.int32), Growing(np.int64)))

    @property
    def n_texts(self) -> int:
        return len(self.offsets) - 1

    def parts(self, size: int) -> Iterator[tuple[int, "TokenIds"]]:
        """The texts in parts of up to ``size`` tokens, or of one text, each with the number of its first text."""
        first = 0
        while first < self.n_texts:
            fitting = np.searchsorted(self.offsets, self.offsets[first] + size, side="right") - 1
            last = max(first + 1, int(fitting))
            offsets = self.offsets[first : last + 1]
            yield first, TokenIds(self.ids[offsets[0] : offsets[-1]], offsets - offsets[0])
            if self.ids.nbytes > MAPPED:
                release(self.ids)
            first = last

    def text_of_token(self) -> np.ndarray:
        """Number of the text that each token belongs to: (t,) int64."""
        return np.repeat(np.arange(self.n_texts), np.diff(self.offsets))


class WordTable:
    """Distinct words, numbered in the order of their first occurrence, in one buffer with a hash table over it.

    Example:
        >>> table = WordTable()
        >>> table.add(["Good film, good cast."]).ids.tolist()
        [0, 1, 2, 0, 3, 4]
        >>> table.look_up(["good plot"]).ids.tolist()
        [0, -1]
    """

    def __init__(self) -> None:
        self._size = np.zeros(1, np.int64)  # number of words; an array because kernels write it
        self._bounds = np.zeros(8_193, np.int64)  # word w is _bytes[_bounds[w]:_bounds[w + 1]]
        self._bytes = np.zeros(65_536, np.uint8)
        self._keys = np.zeros(8_192, np.int64)
        self._slots = np.full(32_768, UNKNOWN, np.int32)  # hash table with linear probing, at most half full

    @classmethod
    def from_lines(cls, lines: np.ndarray) -> "WordTable":
        """Table of the words in a buffer, (bytes,) uint8, each word followed by a line feed."""
        table = cls()
        table._add(_spans_of_lines(lines))
        return table

    def __len__(self) -> int:
        return int(self._size[0])

    @property
    def words(self) -> list[str]:
        """All words in the order of their numbers."""
        joined, bounds = self._bytes.tobytes(), self._bounds.tolist()
        return [joined[bounds[w] : bounds[w + 1]].decode() for w in range(len(self))]

    def word(self, number: int) -> str:
        """The word with this number."""
        return self._bytes[self._bounds[number] : self._bounds[number + 1]].tobytes().decode()

    def to_lines(self) -> np.ndarray:
        """All words in the order of their numbers, each followed by a line feed: (bytes,) uint8."""
        numbers = np.arange(len(self))
        lines = np.full(self._bounds[len(self)] + len(self), ord("\n"), np.uint8)
        copy_words(self._bytes, self._bounds, numbers, self._bounds[:-1][numbers] + numbers, lines)
        return lines

    def select(self, numbers: np.ndarray) -> "WordTable":
        """New table of the words with these distinct numbers, in this order."""
        table = WordTable()
        lengths = np.diff(self._bounds)[numbers]
        table._size[0] = len(numbers)
        table._bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        table._bytes = np.empty(table._bounds[-1], np.uint8)
        copy_words(self._bytes, self._bounds, numbers, table._bounds[:-1], table._bytes)
        table._keys = self._keys[numbers]
        table._slots = np.full(max(4, 1 << (2 * len(numbers)).bit_length()), UNKNOWN, np.int32)
        fill_slots(table._keys, table._slots)
        return table

    def add(self, texts: Iterable[str], threads: int = 1) -> TokenIds:
        """Number the words of the texts, giving new words the next numbers."""
        return TokenIds.joined(self.add_parts(texts, threads))

    def add_parts(self, texts: Iterable[str], threads: int = 1) -> Iterator[TokenIds]:
        """Do what ``add`` does, part by part, so that neither the texts nor their tokens need be in memory."""

        scratch = Scratch()

        def number(chunk: list[str]) -> tuple[WordTable, TokenIds]:
            local, spans = WordTable(), tokenise(chunk, scratch)
            return local, TokenIds(local._add(spans), spans.offsets)

        for local, part in in_order(number, chunks_of(texts), threads):
            # words of the first chunk come first, whichever thread was faster
            yield TokenIds(self.add_words(local)[part.ids], part.offsets)

    def look_up(self, texts: Iterable[str], threads: int = 1) -> TokenIds:
        """Number the words of the texts; those not in the table are UNKNOWN."""
        return TokenIds.joined(in_order(partial(self.look_up_chunk, Scratch()), chunks_of(texts), threads))

    def look_up_chunk(self, scratch: Scratch, texts: list[str]) -> TokenIds:
        """Do what ``look_up`` does at once: for texts that ``chunks_of`` gives."""
        spans = tokenise(texts, scratch)
        return TokenIds(self.look_up_spans(spans), spans.offsets)

    def add_words(self, other: "WordTable") -> np.ndarray:
        """Number the words of another table, giving new ones the next numbers: (len(other),) int32."""
        return self._add(other._spans())

    def numbers_of(self, other: "WordTable") -> np.ndarray:
        """Number of each word of another table, and UNKNOWN once more at the end, for UNKNOWN: (len(other) + 1,)."""
        return np.append(self.look_up_spans(other._spans()), np.int32(UNKNOWN))

    def _spans(self) -> TokenSpans:
        size = len(self)
        return TokenSpans(
            self._bytes, self._bounds[:size], self._bounds[1 : size + 1], self._keys[:size], np.array([0, size])
        )

    def _add(self, spans: TokenSpans) -> np.ndarray:
        ids = np.empty(len(spans.starts), np.int32)
        done = 0
        while True:
            done = add_tokens(
                spans.data, spans.starts, spans.ends, spans.keys, done,
                self._size, self._bounds, self._bytes, self._keys, self._slots, ids,
            )  # fmt: skip
            if done == len(ids):
                return ids
            self._grow(int(spans.ends[done] - spans.starts[done]))

    def look_up_spans(self, spans: TokenSpans) -> np.ndarray:
        """Number the tokens, as they are written; those not in the table are UNKNOWN: (t,) int32."""
        ids = np.empty(len(spans.starts), np.int32)
        find_tokens(
            spans.data, spans.starts, spans.ends, spans.keys,
            self._bounds, self._bytes, self._keys, self._slots, ids,
        )  # fmt: skip
        return ids

    def _grow(self, next_word: int) -> None:
        """Double whatever is full; ``next_word`` is the number of bytes that must fit."""
        words = len(self)
        if self._bounds[words] + next_word > len(self._bytes):
            self._bytes = np.concatenate([self._bytes, np.zeros(len(self._bytes) + next_word, np.uint8)])
        if words == len(self._keys):
            self._keys = np.concatenate([self._keys, np.zeros(words + 1, np.int64)])
            self._bounds = np.concatenate([self._bounds, np.zeros(words + 1, np.int64)])
        if 2 * words >= len(self._slots):
            self._slots = np.full(2 * len(self._slots), UNKNOWN, np.int32)
            fill_slots(self._keys[:words], self._slots)


def choose_words(
    table: WordTable, tokens: TokenIds, chosen: np.ndarray, min_count: int, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the words that occur at least ``min_count`` times in the chosen texts, the most frequent first (on
    ties, the lower number), and their counts: chosen (n,) bool -> (v,) and (v,) int64.
    """

    def count(part: tuple[int, TokenIds]) -> np.ndarray:
        first, (ids, offsets) = part
        counts = np.zeros(len(table), np.int64)
        count_words(ids, offsets, chosen[first : first + len(offsets) - 1], counts)
        return counts

    counts = np.zeros(len(table), np.int64)
    for part_counts in in_order(count, tokens.parts(max(TOKENS, len(table))), threads):
        counts += part_counts
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= min_count]
    return order, counts[order]


def places_of(numbers: np.ndarray, size: int) -> np.ndarray:
    """Place of each number below ``size`` among these, or UNKNOWN, also for UNKNOWN itself, at the end: (size + 1,)."""
    places = np.full(size + 1, UNKNOWN, np.int32)
    places[numbers] = np.arange(len(numbers))
    return places


def chunks_of(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in lists of about CHARACTERS, however many threads there are."""
    chunk, size = [], 0
    for text in texts:
        chunk.append(text)
        size += len(text) + 1
        if size >= CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def join_texts(kind: type, parts: Iterable[tuple[np.ndarray, ...]], storage: Sequence[Growing]) -> tuple:
    """Join parts of texts in CSR form, whose last array are the offsets, in a storage for each array."""
    *growing, offsets = storage
    end = np.int64(0)
    offsets.append(np.zeros(1))
    for *arrays, part_offsets in parts:
        for stored, array in zip(growing, arrays, strict=True):
            stored.append(array)
        offsets.append(end + part_offsets[1:])
        end += part_offsets[-1]
    return kind(*(stored.finish() for stored in storage))


def _spans_of_lines(lines: np.ndarray) -> TokenSpans:
    ends = np.flatnonzero(lines == ord("\n"))
    starts = np.concatenate([np.zeros(min(len(ends), 1), np.int64), ends[:-1] + 1])
    return TokenSpans.of_one_text(lines, starts, ends)


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


@kernel
def find_slot(data, start, end, key, bounds, word_bytes, word_keys, slots):
    """Slot of the word ``data[start:end]`` with this key: its own, or the free one where it belongs."""
    slot = mix_bits(key) & (slots.shape[0] - 1)
    while slots[slot] != UNKNOWN:
        word = slots[slot]
        if word_keys[word] == key:
            if key < HASHED or same_bytes(data, start, end, word_bytes, bounds[word], bounds[word + 1]):
                return slot
        slot = (slot + 1) & (slots.shape[0] - 1)
    return slot


@kernel
def find_tokens(data, starts, ends, keys, bounds, word_bytes, word_keys, slots, ids):
    """Number of each token's word, UNKNOWN for words not in the table: overwrite ids.

    Shapes: data (bytes,), starts, ends and keys (t,), bounds (words + 1,), word_keys (words,), slots a power of two
    -> ids (t,).
    """
    for t in range(starts.shape[0]):
        ids[t] = slots[find_slot(data, starts[t], ends[t], keys[t], bounds, word_bytes, word_keys, slots)]


@kernel
def add_tokens(data, starts, ends, keys, done, size, bounds, word_bytes, word_keys, slots, ids):
    """Number the tokens from ``done`` on, adding new words to the table, until one finds it full.

    Returns the number of that token, for the caller to make room and call again, or t at the end.
    Updates size, bounds, word_bytes, word_keys and slots; overwrites ids[done:returned].

    Shapes: data (bytes,), starts, ends and keys (t,) -> ids (t,); the table as in find_tokens.
    """
    for t in range(done, starts.shape[0]):
        start, end = starts[t], ends[t]
        slot = find_slot(data, start, end, keys[t], bounds, word_bytes, word_keys, slots)
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
    return starts.shape[0]


@kernel
def fill_slots(keys, slots):
    """Enter the words with these keys, all distinct, into empty slots."""
    for word in range(keys.shape[0]):
        slot = mix_bits(keys[word]) & (slots.shape[0] - 1)
        while slots[slot] != UNKNOWN:
            slot = (slot + 1) & (slots.shape[0] - 1)
        slots[slot] = word


@kernel
def copy_words(word_bytes, bounds, numbers, starts, copied):
    """Copy the words with these numbers, the first to starts[0]: overwrite as much of copied as they take.

    Shapes: bounds (words + 1,), numbers and starts (v,) -> copied (bytes,).
    """
    for w in range(numbers.shape[0]):
        first = bounds[numbers[w]]
        for i in range(bounds[numbers[w] + 1] - first):
            copied[starts[w] + i] = word_bytes[first + i]


@kernel
def count_words(ids, offsets, chosen, counts):
    """Count the words of the chosen texts: add to counts.

    Shapes: ids (t,), offsets (n + 1,), chosen (n,) bool -> counts (words,).
    """
    for text in range(chosen.shape[0]):
        if chosen[text]:
            for t in range(offsets[text], offsets[text + 1]):
                if ids[t] != UNKNOWN:
                    counts[ids[t]] += 1


@kernel
def sum_counts(counts, offsets, lengths):
    """Sum of the counts of each text: overwrite lengths.

    Shapes: counts (m,) or (1,), offsets (n + 1,) -> lengths (n,).
    """
    for text in range(lengths.shape[0]):
        lengths[text] = 0
        for entry in range(offsets[text], offsets[text + 1]):
            lengths[text] += counts[entry if counts.shape[0] > 1 else 0]
