"""The embedding: means of the rows that occur in texts, and the way back.

Documents are in CSR form with repeats counted: text ``t`` holds the distinct ids ``ids[offsets[t]:offsets[t + 1]]``,
each ``counts[...]`` times; a single count stands for all. About half of the words of a review are repeats.
"""

from collections import namedtuple

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.simd import LANES, WIDE, load_vector, store_vector, zero_vector

Words = namedtuple("Words", "ids counts starts ends")  # entries of the texts of a batch; see take_words


class RowList(namedtuple("RowList", "slot_of slots rows firsts nexts texts shares")):
    """Rows of the table that occur in a batch, each with its texts; see ``list_rows``."""

    @classmethod
    def allocate(cls, features: int, entries: int, dtype: type, threads: int | None = None) -> "RowList":
        """Memory for the rows of ``entries`` entries, of a table of ``features`` rows.

        With ``threads``: a slot_of for each, and lists for two batches of each; see ``training_step``.
        """
        thread, lists = ((threads,), (2 * threads,)) if threads else ((), ())
        rows = min(features, entries)
        numbers = (np.zeros((*lists, size), np.int32) for size in (entries, rows, rows + 1, rows, entries))
        slot_of, shares = np.full((*thread, features), -1, np.int32), np.zeros((*lists, entries), dtype)
        return cls._make([slot_of, *numbers, shares])


@kernel
def random_bits(x):
    """Counter-based random number: x, from 0 to 2^32 - 1, scattered over these as by the finaliser of MurmurHash3."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x45D9F3B) & 0xFFFFFFFF
    return x ^ (x >> 16)


@kernel
def take_words(documents, texts, dropout, key, words):
    """Find the entries of texts, without those that word dropout leaves out this time.

    An entry, a distinct word of a text, is left out with probability ``dropout``, depending only on ``key`` and its
    place in the documents. Overwrites words.starts and words.ends. With dropout they are places in words.ids and
    words.counts, which the entries are copied to; without it, places in the documents.

    Shapes: texts (n,); words.starts and words.ends (n,) or more, words.ids and words.counts with room for all entries.
    Source: Iyyer et al. 2015, section 4.1 (there for each occurrence).
    """
    threshold = int(dropout * 0x100000000)
    kept = 0
    for t in range(texts.shape[0]):
        start, end = documents.offsets[texts[t]], documents.offsets[texts[t] + 1]
        words.starts[t], words.ends[t] = start, end
        if threshold > 0:
            words.starts[t] = kept
            for j in range(start, end):
                if random_bits(random_bits(j) ^ key) >= threshold:
                    words.ids[kept] = documents.ids[j]
                    words.counts[kept] = documents.counts[place_of(documents.counts, j)]
                    kept += 1
            words.ends[t] = kept


@inline_kernel
def place_of(counts, j):
    """Place of the count of entry j: a single count stands for all."""
    return np.uint64(j if counts.shape[0] > 1 else 0)


@inline_kernel
def add_rows(A, rows, weights, begin, end, column, total):
    """Add ``weights[j] A[rows[j]]`` for j from begin to end - 1, from ``column`` on, to the vector ``total``."""
    for j in range(np.uint64(begin), np.uint64(end)):
        total = total + A.dtype.type(weights[place_of(weights, j)]) * load_vector(A, rows[j], column, total)
    return total


@kernel
def gather_mean(table, ids, counts, starts, ends, first, last, E):
    """Columns ``first`` to ``last`` of the mean embedding of each text's words, repeats included: overwrite them in E.

    A text without words gets 0.

    Shapes: table (v, d), with d, first and last multiples of LANES; ids, counts (m,); starts, ends (b,) of each
    text's entries -> E (b, d).
    """
    one = table.dtype.type(1)
    for b in range(starts.shape[0]):
        start, end = starts[b], ends[b]
        share = one / table.dtype.type(max(count_words(counts, start, end), 1))
        for column in range(first, last - LANES, WIDE):
            total = add_rows(table, ids, counts, start, end, column, zero_vector(table.dtype, WIDE))
            store_vector(E, b, column, share * total)
        if (last - first) % WIDE > 0:
            rest = add_rows(table, ids, counts, start, end, last - LANES, zero_vector(table.dtype, LANES))
            store_vector(E, b, last - LANES, share * rest)


@inline_kernel
def count_words(counts, start, end):
    """Sum of ``counts[start:end]``."""
    words = 0
    for j in range(np.uint64(start), np.uint64(end)):
        words += counts[place_of(counts, j)]
    return words


@kernel
def list_rows(ids, counts, starts, ends, index):
    """List the rows of the table that occur in some texts, each with these texts and its shares of their means.

    Row k of the list is row ``index.rows[k]`` of the table, in order of first occurrence. It occurs in the texts
    ``index.texts[index.firsts[k]:index.firsts[k + 1]]``, in order, with ``index.shares`` in the same places.
    Returns the number of rows; ``index.slot_of`` holds -1 everywhere before and after.

    Shapes: ids, counts (m,); starts, ends (b,); index as RowList.allocate makes it.
    """
    used, entry = np.uint32(0), np.uint32(0)  # places are unsigned, which spares the test for negative ones
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
    first, entry = np.int32(0), np.uint32(0)
    for slot in range(used):
        index.slot_of[np.uint32(index.rows[slot])] = -1
        index.firsts[slot] = first
        first += index.nexts[slot]
        index.nexts[slot] = index.firsts[slot]
    index.firsts[used] = first
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


@inline_kernel
def gather_mean_backward(dE, index, k, column, zeros):
    """Gradient of ``gather_mean`` for row k of a list, from ``column`` on: a vector like ``zeros``.

    A word counts as often as it occurs: dE_w = sum over texts of (count of w / words of the text) dE[text].

    Shapes: dE (b, d), with d and column multiples of LANES; index as list_rows writes it.
    Source: exercise 5, dJ/dE_w.
    """
    begin, end = index.firsts[k], index.firsts[k + np.uint64(1)]
    return add_rows(dE, index.texts, index.shares, begin, end, column, zeros)
