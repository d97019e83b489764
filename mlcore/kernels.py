"""Numerical kernels: every forward with its backward directly below it.

Conventions: inputs first, outputs last; ``dA`` is dloss/dA and has A's shape; the docstring says which
outputs are overwritten and which are added to. Kernels neither allocate nor validate: the caller owns all
memory and has checked shapes and id ranges. Each is generic in dtype (float32 trains, float64 proves the
gradients) and has a naive twin in ``mlcore.reference``.

Documents are in CSR form with repeats counted: text ``t`` holds the distinct ids ``ids[offsets[t]:offsets[t + 1]]``,
each ``counts[...]`` times; counts of one element stand for all. A mean needs no more than that, and about half of the
words of a review are repeats.
"""

from typing import NamedTuple

import numpy as np

from mlcore.compiling import kernel, part_of_kernels
from mlcore.lanes import LANES, load_lanes, store_lanes, sum_lanes, zero_line, zero_pair

LOGISTIC, SOFTMAX, SQUARED = 0, 1, 2


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

        With ``threads``: for the lists of two batches of each, and slot_of for each; ``mlcore.steps`` says why.
        """
        rows, of_threads, of_lists = min(features, entries), (), ()
        if threads:
            of_threads, of_lists = (threads,), (2 * threads,)
        slots, texts = (np.zeros((*of_lists, entries), np.int32) for _ in range(2))
        of_rows, nexts = (np.zeros((*of_lists, rows), np.int32) for _ in range(2))
        firsts = np.zeros((*of_lists, rows + 1), np.int32)
        slot_of, shares = np.full((*of_threads, features), -1, np.int32), np.zeros((*of_lists, entries), dtype)
        return cls(slot_of, slots, of_rows, firsts, nexts, texts, shares)


# Dense layers ---------------------------------------------------------------------------------------------


@kernel
def affine(X, W, b, Y):
    """Matrix product and optional bias, ``Y = X @ W.T + b``: overwrite Y. ``b`` may be None.

    Shapes: X (n, i), W (o, i), b (o,) -> Y (n, o).
    """
    for n in range(X.shape[0]):
        for o in range(W.shape[0]):
            Y[n, o] = dot(X, n, W, o) if b is None else dot(X, n, W, o) + b[o]


@part_of_kernels
def dot(X, n, W, o):
    """Product of row n of X and row o of W: of as many whole lanes as there are, and then of number by number."""
    whole = X.shape[1] - X.shape[1] % LANES
    lanes = zero_line(X)
    for i in range(0, whole, LANES):
        lanes = lanes + load_lanes(X, n, i, lanes) * load_lanes(W, o, i, lanes)
    total = sum_lanes(lanes)
    for i in range(whole, X.shape[1]):
        total += X[n, i] * W[o, i]
    return total


@kernel
def affine_backward_input(dY, W, dX):
    """Input gradient of ``affine``, ``dX = dY @ W``: overwrite dX.

    Shapes: dY (n, o), W (o, i) -> dX (n, i).
    Source: exercise 1, V^T delta2; Goodfellow, Bengio, Courville 2016, algorithm 6.4.
    """
    for n in range(dY.shape[0]):
        dx = dX[n]
        dx[:] = 0
        for o in range(W.shape[0]):
            dy, w = dY[n, o], W[o]
            if dy != 0:
                for i in range(dx.shape[0]):
                    dx[i] += dy * w[i]


@kernel
def affine_backward_weights(dY, X, first, last, dW, db):
    """Weight gradients of ``affine``: add columns ``first`` to ``last`` of ``dY.T @ X`` to dW.

    And the column sums of dY to db, unless db is None.

    Shapes: dY (n, o), X (n, i) -> dW (o, i), db (o,).
    Source: exercise 1, delta2 h^T and delta1 x^T; Goodfellow, Bengio, Courville 2016, algorithm 6.4.
    """
    for o in range(dW.shape[0]):
        dw = dW[o]
        for n in range(dY.shape[0]):
            dy, x = dY[n, o], X[n]
            if dy != 0:
                add_product(dy, x, first, last, dw)
                if db is not None:
                    db[o] += dy


@part_of_kernels
def add_product(factor, x, first, last, y):
    """Add elements ``first`` to ``last`` of ``factor * x`` to y: with the same bits, wherever they begin and end.

    Shapes: x (i,) -> y (i,).
    """
    for i in range(np.uint64(first), np.uint64(last)):
        y[i] += factor * x[i]


@kernel
def relu(Z, H):
    """Rectifier, ``H = max(0, Z)``: overwrite H.

    Shapes: Z (n, o) -> H (n, o).
    """
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            # "not Z > 0" would be shorter, and would turn NaN into 0
            H[n, o] = Z.dtype.type(0) if Z[n, o] <= 0 else Z[n, o]


@kernel
def relu_backward(dH, Z, at_zero, dZ):
    """Backward pass of ``relu``, ``dZ = dH * relu'(Z)``: overwrite dZ.

    ``at_zero`` is the value taken for relu'(0), which does not exist: a convention in [0, 1].

    Shapes: dH (n, o), Z (n, o) -> dZ (n, o).
    """
    at_kink = Z.dtype.type(at_zero)
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            if Z[n, o] < 0:
                dZ[n, o] = 0
            elif Z[n, o] == 0:
                dZ[n, o] = dH[n, o] * at_kink
            else:
                dZ[n, o] = dH[n, o]


@kernel
def sigmoid(Z, H):
    """Logistic function, ``1 / (1 + exp(-z))``, without overflow: overwrite H.

    Shapes: Z (n, o) -> H (n, o).
    """
    one = Z.dtype.type(1)
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            decay = np.exp(-abs(Z[n, o]))
            H[n, o] = (one if Z[n, o] >= 0 else decay) / (one + decay)


@kernel
def sigmoid_backward(dH, H, dZ):
    """Backward pass of ``sigmoid``, ``dZ = dH h (1 - h)``: overwrite dZ.

    Shapes: dH (n, o), H (n, o) the forward values -> dZ (n, o).
    """
    one = H.dtype.type(1)
    for n in range(H.shape[0]):
        for o in range(H.shape[1]):
            dZ[n, o] = dH[n, o] * H[n, o] * (one - H[n, o])


@kernel
def tanh(Z, H):
    """Hyperbolic tangent: overwrite H.

    Shapes: Z (n, o) -> H (n, o).
    """
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            H[n, o] = np.tanh(Z[n, o])


@kernel
def tanh_backward(dH, H, dZ):
    """Backward pass of ``tanh``, ``dZ = dH (1 - h^2)``: overwrite dZ.

    Shapes: dH (n, o), H (n, o) the forward values -> dZ (n, o).
    """
    one = H.dtype.type(1)
    for n in range(H.shape[0]):
        for o in range(H.shape[1]):
            dZ[n, o] = dH[n, o] * (one - H[n, o]) * (one + H[n, o])


# Losses ---------------------------------------------------------------------------------------------------


@kernel
def half_squared(Y_hat, Y, losses):
    """Half the squared error of each sample, ``1/2 sum_k (y_k - y_hat_k)^2``: overwrite losses.

    Shapes: Y_hat (n, k), Y (n, k) -> losses (n,).
    """
    half = Y_hat.dtype.type(0.5)
    for n in range(Y_hat.shape[0]):
        losses[n] = 0
        for k in range(Y_hat.shape[1]):
            error = Y_hat[n, k] - Y[n, k]
            losses[n] += error * error
        losses[n] *= half


@kernel
def half_squared_backward(Y_hat, Y, scale, dY_hat):
    """Gradient of ``scale`` times the half squared error, ``scale (y_hat - y)``: overwrite dY_hat.

    Shapes: Y_hat (n, k), Y (n, k) -> dY_hat (n, k). ``scale`` is 1/n for the mean over n samples.
    """
    factor = Y_hat.dtype.type(scale)
    for n in range(Y_hat.shape[0]):
        for k in range(Y_hat.shape[1]):
            dY_hat[n, k] = factor * (Y_hat[n, k] - Y[n, k])


@kernel
def logistic(Z, Y, losses):
    """Logistic loss of each sample from logits, ``sum_k log(1 + exp(z_k)) - y_k z_k``: overwrite losses.

    Written as ``|z| (distance of y from the label that z's sign predicts) + log1p(exp(-|z|))``, which neither
    overflows nor loses digits at any logit, in whatever order the compiler adds.

    Shapes: Z (n, k), Y (n, k) in [0, 1] -> losses (n,).
    """
    one = Z.dtype.type(1)
    for n in range(Z.shape[0]):
        losses[n] = 0
        for k in range(Z.shape[1]):
            z, y = Z[n, k], Y[n, k]
            losses[n] += abs(z) * (one - y if z >= 0 else y) + np.log1p(np.exp(-abs(z)))


@kernel
def logistic_backward(Z, Y, scale, dZ):
    """Gradient of ``scale`` times the logistic loss, ``scale (sigmoid(z) - y)``: overwrite dZ.

    Shapes: Z (n, k), Y (n, k) in [0, 1] -> dZ (n, k). ``scale`` is 1/n for the mean over n samples.
    """
    one = Z.dtype.type(1)
    factor = Z.dtype.type(scale)
    for n in range(Z.shape[0]):
        for k in range(Z.shape[1]):
            decay = np.exp(-abs(Z[n, k]))
            sigmoid = (one if Z[n, k] >= 0 else decay) / (one + decay)
            dZ[n, k] = factor * (sigmoid - Y[n, k])


@kernel
def softmax(Z, Y, losses):
    """Cross-entropy of the softmax of each sample's logits, ``log(sum_k exp(z_k)) - z_y``: overwrite losses.

    Written with the largest logit taken out of the sum, which neither overflows nor takes the logarithm of 0.

    Shapes: Z (n, k), Y (n, 1) class numbers in 0..k-1 -> losses (n,).
    """
    for n in range(Z.shape[0]):
        top = Z[n, 0]
        for k in range(Z.shape[1]):
            top = max(top, Z[n, k])
        total = Z.dtype.type(0)
        for k in range(Z.shape[1]):
            total += np.exp(Z[n, k] - top)
        losses[n] = np.log(total) + (top - Z[n, int(Y[n, 0])])


@kernel
def softmax_backward(Z, Y, scale, dZ):
    """Gradient of ``scale`` times the cross-entropy of the softmax, ``scale (softmax(z)_k - [k = y])``: overwrite dZ.

    Shapes: Z (n, k), Y (n, 1) class numbers in 0..k-1 -> dZ (n, k). ``scale`` is 1/n for the mean over n samples.
    """
    factor = Z.dtype.type(scale)
    for n in range(Z.shape[0]):
        top = Z[n, 0]
        for k in range(Z.shape[1]):
            top = max(top, Z[n, k])
        total = Z.dtype.type(0)
        for k in range(Z.shape[1]):
            dZ[n, k] = np.exp(Z[n, k] - top)
            total += dZ[n, k]
        for k in range(Z.shape[1]):
            dZ[n, k] *= factor / total
        dZ[n, int(Y[n, 0])] -= factor


@kernel
def loss_of(loss, Y_hat, Y, losses):
    """Loss of each sample by its number (LOGISTIC, SOFTMAX or SQUARED): overwrite losses."""
    if loss == LOGISTIC:
        logistic(Y_hat, Y, losses)
    elif loss == SOFTMAX:
        softmax(Y_hat, Y, losses)
    else:
        half_squared(Y_hat, Y, losses)


@kernel
def loss_of_backward(loss, Y_hat, Y, scale, dY_hat):
    """Gradient of ``scale`` times the loss with this number: overwrite dY_hat."""
    if loss == LOGISTIC:
        logistic_backward(Y_hat, Y, scale, dY_hat)
    elif loss == SOFTMAX:
        softmax_backward(Y_hat, Y, scale, dY_hat)
    else:
        half_squared_backward(Y_hat, Y, scale, dY_hat)


# Embedding ------------------------------------------------------------------------------------------------


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


# The network of exercise 5 ---------------------------------------------------------------------------------------


@kernel
def forward_means(parameters, E, Z, H, logits):
    """Logits of texts from their mean embeddings, ``W2 relu(W1 E + b1) + b2``: overwrite Z, H and logits.

    ``parameters`` has W1, b1, W2 and b2.

    Shapes: E (b, d), W1 (h, d), b1 (h,), W2 (k, h), b2 (k,) -> Z and H (b, h), logits (b, k).
    Source: exercise 5.
    """
    affine(E, parameters.W1, parameters.b1, Z)
    relu(Z, H)
    affine(H, parameters.W2, parameters.b2, logits)


@kernel
def forward_texts(ids, counts, starts, ends, parameters, E, Z, H, logits):
    """Logits of texts: overwrite E, Z, H and logits. ``parameters`` has the table, and the layers of forward_means.

    Shapes: ids, counts (m,); starts, ends (b,) of each text's entries; table (v, d), or wider; the rest as in
    forward_means.
    """
    gather_mean(parameters.table, ids, counts, starts, ends, np.int64(0), E.shape[1], E)
    forward_means(parameters, E, Z, H, logits)
