"""The embedding: means of the rows that occur in texts, and the way back.

Documents are in CSR form with repeats counted: text ``t`` holds the distinct ids ``ids[offsets[t]:offsets[t + 1]]``,
each ``counts[...]`` times; counts of one element stand for all. A mean needs no more than that, and about half of the
words of a review are repeats.
"""

from typing import NamedTuple

import numpy as np

from mlcore.kernels.compiling import kernel, part_of_kernels
from mlcore.kernels.simd import LANES, load_lanes, store_lanes, zero_line, zero_pair


class Words(NamedTuple):
    """Entries of the texts of a batch; see ``take_words``."""

    ids: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class RowList(NamedTuple):
    """Rows of the table that occur in a batch, each with its texts; see ``list_rows``."""

    slot_of: np.ndarray
    slots: np.ndarray
    rows: np.ndarray
    firsts: np.ndarray
    nexts: np.ndarray
    texts: np.ndarray
    shares: np.ndarray

    @classmethod
    def allocate(cls, features: int, entries: int, dtype: type, threads: int | None = None) -> "RowList":
        """Memory for the rows of ``entries`` entries, of a table of ``features`` rows.

        With ``threads``: for the lists of two batches of each, and slot_of for each; ``mlcore.kernels.training_step`` says why.
        """
        rows, of_threads, of_lists = min(features, entries), (), ()
        if threads:
            of_threads, of_lists = (threads,), (2 * threads,)
        slots, texts = (np.zeros((*of_lists, entries), np.int32) for _ in range(2))
        of_rows, nexts = (np.zeros((*of_lists, rows), np.int32) for _ in range(2))
        firsts = np.zeros((*of_lists, rows + 1), np.int32)
        slot_of, shares = np.full((*of_threads, features), -1, np.int32), np.zeros((*of_lists, entries), dtype)
        return cls(slot_of, slots, of_rows, firsts, nexts, texts, shares)


@kernel
def mix_bits(x):
    """Scatter the low 32 bits of a number over all 32: a hash for counter-based random numbers.

    Source: xorshift-multiply rounds, as in the finaliser of MurmurHash3.
    """
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x45D9F3B) & 0xFFFFFFFF
    return x ^ (x >> 16)


@kernel
def take_words(documents, texts, dropout, key, words):
    """Find the entries of texts, without those that word dropout leaves out this time.

    An entry, a distinct word of a text, is left out with probability ``dropout``. Whether it is depends on ``key``
    and on its place in the documents only, so that any thread finds the same.

    Overwrites words.starts and words.ends for the texts. With dropout they are places in words.ids and words.counts,
    where the entries are copied to, and without it places in the documents themselves.

    Shapes: texts (n,); words.starts and words.ends (n,) or more, words.ids and words.counts with room for all entries.
    Source: Iyyer et al. 2015, section 4.1 (there for each occurrence).
    """
    threshold = int(dropout * 0x100000000)
    kept = 0
    for t in range(texts.shape[0]):
        start, end = documents.offsets[texts[t]], documents.offsets[texts[t] + 1]
        if threshold > 0:
            words.starts[t] = kept
            for j in range(start, end):
                if mix_bits(mix_bits(j) ^ key) >= threshold:
                    words.ids[kept] = documents.ids[j]
                    words.counts[kept] = documents.counts[place_of(documents.counts, j)]
                    kept += 1
            words.ends[t] = kept
        else:
            words.starts[t] = start
            words.ends[t] = end


@part_of_kernels
def add_rows(A, rows, weights, begin, end, column, total):
    """Add ``weights[j] A[rows[j]]`` for j from begin to end - 1 to lanes that begin at ``column``; return the sum.

    One weight stands for all.
    """
    for j in range(np.uint64(begin), np.uint64(end)):
        total = total + A.dtype.type(weights[place_of(weights, j)]) * load_lanes(A, rows[j], column, total)
    return total


@kernel
def gather_mean(table, ids, counts, starts, ends, first, last, E):
    """Columns ``first`` to ``last`` of the mean embedding of each text's words, repeats included: overwrite them in E.

    A text without words gets 0.

    Shapes: table (v, d), d a multiple of LANES, as first and last are; ids, counts (m,); starts, ends (b,) of each
    text's entries -> E (b, d).
    """
    one = table.dtype.type(1)
    for b in range(starts.shape[0]):
        start, end = starts[b], ends[b]
        share = one / table.dtype.type(max(count_words(counts, start, end), 1))
        for column in range(first, last - LANES, 2 * LANES):
            store_lanes(E, b, column, share * add_rows(table, ids, counts, start, end, column, zero_pair(table)))
        if (last - first) % (2 * LANES) > 0:
            column = last - LANES
            store_lanes(E, b, column, share * add_rows(table, ids, counts, start, end, column, zero_line(table)))


@part_of_kernels
def count_words(counts, start, end):
    """Sum of ``counts[start:end]``."""
    words = 0
    for j in range(np.uint64(start), np.uint64(end)):
        words += counts[place_of(counts, j)]
    return words


@part_of_kernels
def place_of(counts, j):
    """Where the count of entry j is: one count stands for all."""
    return np.uint64(j if counts.shape[0] > 1 else 0)


@kernel
def list_rows(ids, counts, starts, ends, index):
    """List for each row of the table that occurs in some texts these texts, and its shares of their means.

    Row k of the list is row ``index.rows[k]`` of the table, in order of first occurrence; it occurs in the texts
    ``index.texts[index.firsts[k]:index.firsts[k + 1]]``, in order, with ``index.shares`` in the same places: of a
    text of N words, k of which are this one, k / N. Returns the number of rows r, and overwrites the first r entries
    of index.rows, r + 1 of index.firsts, and all that these point to. ``index.slot_of`` holds -1 everywhere before
    and after.

    Shapes: ids, counts (m,); starts, ends (b,); index.slot_of (v,); index.slots, index.texts, index.shares and
    index.rows with room for all entries, index.firsts for one more, index.nexts as index.rows.
    """
    used, entry = np.uint32(0), np.uint32(0)  # unsigned, as all places here: that spares the test for negative ones
    for b in range(starts.shape[0]):
        for j in range(np.uint64(starts[b]), np.uint64(ends[b])):
            row = np.uint32(ids[j])
            slot = index.slot_of[row]
            if slot < 0:
                slot = np.int32(used)
                index.slot_of[row] = slot
                index.rows[used] = ids[j]
                index.nexts[used] = 0
                used += np.uint32(1)
            index.nexts[np.uint32(slot)] += np.int32(1)
            index.slots[entry] = slot
            entry += np.uint32(1)
    place = np.int32(0)
    for slot in range(used):
        index.slot_of[np.uint32(index.rows[slot])] = -1
        index.firsts[slot] = place
        place += index.nexts[slot]
        index.nexts[slot] = index.firsts[slot]
    index.firsts[used] = place
    entry = np.uint32(0)
    one = index.shares.dtype.type(1)
    for b in range(starts.shape[0]):
        share = one / index.shares.dtype.type(max(count_words(counts, starts[b], ends[b]), 1))
        for j in range(np.uint64(starts[b]), np.uint64(ends[b])):
            slot = np.uint32(index.slots[entry])
            place = np.uint32(index.nexts[slot])
            index.nexts[slot] += np.int32(1)
            index.texts[place] = b
            index.shares[place] = index.shares.dtype.type(counts[place_of(counts, j)]) * share
            entry += np.uint32(1)
    return used


@kernel
def gather_mean_backward(dE, index, used, first, last, dRows):
    """Columns ``first`` to ``last`` of the gradient of ``gather_mean`` for the ``used`` rows of a list: write dRows.

    A word that occurs k times counts k times: dE_w = sum over texts of (count of w / words of the text) dE[text].
    Each row is summed in one go, which is why the texts are listed by row.

    Shapes: dE (b, d), d a multiple of LANES, as first and last are; index as list_rows writes it -> dRows (used, d).
    Source: exercise 5, dJ/dE_w.
    """
    for k in range(np.uint64(used)):
        for column in range(first, last - LANES, 2 * LANES):
            store_lanes(dRows, k, column, row_gradient(dE, index, k, column, zero_pair(dE)))
        if (last - first) % (2 * LANES) > 0:
            store_lanes(dRows, k, last - LANES, row_gradient(dE, index, k, last - LANES, zero_line(dE)))


@part_of_kernels
def row_gradient(dE, index, k, column, zeros):
    """Lanes of the gradient of row k of a list."""
    begin, end = index.firsts[k], index.firsts[k + np.uint64(1)]
    return add_rows(dE, index.texts, index.shares, begin, end, column, zeros)
