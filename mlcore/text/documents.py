"""Texts as the features in them: distinct ids with their counts, in compressed sparse rows (CSR)."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mlcore.kernels.compiling import kernel
from mlcore.text.vocabulary import UNKNOWN, Tokens, join_texts

ENTRIES = 1 << 14  # sorted at a time
DIGIT = 12  # bits by which they are sorted at a time

# Places feature * k + column, (m,) int64, ascending, and their sums, (m,) float64
Totals = tuple[np.ndarray, np.ndarray]


class Documents(NamedTuple):
    """Texts as distinct feature ids with their counts (CSR): text i has the entries offsets[i]..offsets[i + 1]."""

    ids: np.ndarray  # (m,) int32, ascending within a text
    counts: np.ndarray  # (m,) int32, at least 1; or (1,) of a 1 that stands for all, which takes no memory
    offsets: np.ndarray  # (n + 1,) int64

    @classmethod
    def joined(cls, parts: Iterable["Documents"], binary: bool = False) -> "Documents":
        """The texts of all parts; with ``binary`` features, one count stands for all."""
        if binary:
            parts = (part._replace(counts=np.ones(int(i == 0), np.int32)) for i, part in enumerate(parts))
        return cls(*join_texts(parts, np.int32, np.int32))

    @property
    def n_texts(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> np.ndarray:
        """Number of known features of each text, repeats included: (n,) int64."""
        entries = np.diff(self.offsets)
        if len(self.counts) == 1:
            return np.asarray(entries * self.counts[0])
        sums = np.add.reduceat(np.append(self.counts, np.int32(0)), self.offsets[:-1], dtype=np.int64)
        return np.where(entries > 0, sums, 0)

    def only(self, kept: np.ndarray) -> "Documents":
        """The same texts with these features only: kept (v,) bool."""
        at = np.flatnonzero(kept[self.ids])
        counts = self.counts[at] if len(self.counts) > 1 else self.counts
        return Documents(self.ids[at], counts, np.searchsorted(at, self.offsets))

    def select(self, rows: np.ndarray) -> "Documents":
        """The texts with these numbers, which ascend."""
        ids, offsets = Tokens(self.ids, self.offsets).select(rows)
        counts = Tokens(self.counts, self.offsets).select(rows).ids if len(self.counts) > 1 else self.counts
        return Documents(ids, counts, offsets)

    def totals(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Totals:
        """Sums of the values of the texts that have a feature, each text in its column, of v features and k columns.

        Shapes: rows, columns and values (r,) of the texts; shape is (v, k).
        """
        order, lengths = np.argsort(columns, kind="stable"), np.diff(self.offsets)
        room = min(int(lengths[rows].sum()), shape[0] * shape[1])
        texts = rows[order], columns[order], values[order]
        keys, sums = add_values(self.ids, self.offsets, *texts, shape, room)
        order = np.argsort(keys)
        return keys[order], sums[order]


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
def sort_and_count(ids, token_offsets, tokens, spelled, bits, binary, room):
    """Sort the features of every text by number, of so many bits, and count them: arrays as in ``Documents``.

    With ``binary`` features all counts are 1. So many texts are sorted together, digit by digit, that their entries fit
    into the ``room``, unless one has more, and with it into the cache.

    Shapes: ids (g, t) of the features that end at each token, token_offsets (n + 1,) of the texts' tokens, which are
    words, (t,), that have the features ``spelled`` too.
    """
    spelled_ids, spelled_offsets = spelled
    ends, texts = np.zeros_like(token_offsets), token_offsets.shape[0] - 1  # of the texts' entries
    for text in range(texts):
        ends[text + 1] = ends[text] + ids.shape[0] * (token_offsets[text + 1] - token_offsets[text])
        if spelled_ids.shape[0] > 0:
            for t in range(token_offsets[text], token_offsets[text + 1]):
                ends[text + 1] += spelled_offsets[tokens[t] + 1] - spelled_offsets[tokens[t]]
        room = max(room, ends[text + 1] - ends[text])
    room = min(room, ends[texts])
    entries, others, heads = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(1 << DIGIT, np.int32)
    out_ids, out_counts = np.empty(ends[texts], np.int32), np.empty(ends[texts], np.int32)
    offsets = np.zeros_like(token_offsets)
    place, first = 0, 0
    while first < texts:
        last = first + 1
        while last < texts and last - first < heads.shape[0] and ends[last + 1] - ends[first] <= room:
            last += 1
        end = np.int64(0)  # a plain 0 would be a type of its own, and deal_by_digit compiled once more for that
        for text in range(first, last):
            above = np.int64(text - first) << bits
            for t in range(token_offsets[text], token_offsets[text + 1]):
                for level in range(ids.shape[0]):
                    if ids[level, t] != UNKNOWN:
                        entries[end] = above | np.int64(ids[level, t])
                        end += 1
                if spelled_ids.shape[0] > 0:
                    for i in range(spelled_offsets[tokens[t]], spelled_offsets[tokens[t] + 1]):
                        entries[end] = above | np.int64(spelled_ids[i])
                        end += 1
        shift = np.int64(0)
        while last - 1 - first << bits >> shift > 0 or shift < bits:
            deal_by_digit(entries, end, shift, heads, others)
            entries, others = others, entries
            shift += DIGIT
        before = np.int64(-1)
        for entry in range(end):
            fresh = entries[entry] != before
            before = entries[entry]
            place += fresh
            out_ids[place - 1] = before & (np.int64(1) << bits) - 1
            out_counts[place - 1] = 1 if fresh or binary else out_counts[place - 1] + 1
            offsets[first + (before >> bits) + 1] += fresh
        first = last
    return out_ids[:place], out_counts[:place], np.cumsum(offsets)


@kernel
def add_values(ids, offsets, rows, columns, values, shape, room):
    """Sums of the values of the texts that have a feature, as ``Totals``, but in the order in which they occur.

    Shapes: ids (m,), offsets (n + 1,); rows, columns and values (r,) of the texts, by column; at most ``room`` sums.
    """
    keys, sums, places = np.empty(room, np.int64), np.empty(room), np.full(shape[0], -1, np.int64)
    begun = end = 0  # the places of the sums of a column
    for r in range(rows.shape[0]):
        if r > 0 and columns[r] != columns[r - 1]:
            begun = end
        for j in range(offsets[rows[r]], offsets[rows[r] + 1]):
            feature = ids[j]
            if places[feature] < begun:
                places[feature], keys[end], sums[end] = end, feature * shape[1] + columns[r], 0
                end += 1
            sums[places[feature]] += values[r]
    return keys[:end], sums[:end]
