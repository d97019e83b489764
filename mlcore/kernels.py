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

from mlcore.atomics import load_acquire, store_release, yield_core
from mlcore.compiling import kernel, part_of_kernels
from mlcore.lanes import LANES, load_lanes, prefetch_line, store_lanes, sum_lanes, zero_line, zero_pair

LOGISTIC, SOFTMAX, SQUARED = 0, 1, 2
ROWS_AHEAD = 4  # of the table that are asked for before they are updated
ADAGRAD_EPS = 1e-10
ADAM_BETA1, ADAM_BETA2, ADAM_EPS = 0.9, 0.999, 1e-8


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
        """Memory for the rows of ``entries`` entries, of a table of ``features`` rows; for threads see ``rows_of``."""
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


# Optimisers: each formula is written once, for a number of a dense layer as for lanes of the table ---------------


class Step(NamedTuple):
    """One update of all parameters: what the optimisers have to know of it. See ``step_of``."""

    rate: float
    keep: float
    eps_rows: float
    eps_layers: float


@part_of_kernels
def step_of(M, learning_rate, weight_decay, number):
    """Step with this number, 1, 2, ..., of SGD without moments, of Adagrad with S, or of Adam with M and S.

    Weight decay is decoupled from the gradient: parameters are multiplied by ``1 - learning_rate weight_decay`` before.
    Adam's bias corrections are folded into its rate, ``learning_rate sqrt(1 - beta2^number) / (1 - beta1^number)``.
    For the rows of the table that is torch.optim.SparseAdam; torch.optim.Adam, for the layers, adds its epsilon after
    the correction, which comes to ``eps sqrt(1 - beta2^number)``.

    Source: Loshchilov and Hutter 2019, algorithm 2, in the form of torch.optim.AdamW; Kingma and Ba 2015, algorithm 1
    and the remark below it.
    """
    keep = 1 - learning_rate * weight_decay
    if M is None:
        return Step(learning_rate, keep, ADAGRAD_EPS, ADAGRAD_EPS)
    root = np.sqrt(1 - ADAM_BETA2**number)
    return Step(learning_rate * root / (1 - ADAM_BETA1**number), keep, ADAM_EPS, ADAM_EPS * root)


@part_of_kernels
def sgd(p, g, rate):
    """Gradient descent, ``p - rate g``."""
    return p - rate * g


@part_of_kernels
def adagrad(p, g, s, rate, eps):
    """Adagrad, ``s + g^2`` and ``p - rate g / (sqrt(s) + eps)`` with the new s: the new p and s.

    Source: Duchi, Hazan, Singer 2011, with the epsilon of torch.optim.Adagrad.
    """
    s = s + g * g
    return p - rate * g / (np.sqrt(s) + eps), s


@part_of_kernels
def adam(p, g, m, s, add_m, add_s, rate, eps):
    """Adam, ``m + add_m (g - m)``, ``s + add_s (g^2 - s)`` and ``p - rate m / (sqrt(s) + eps)``: the new p, m and s.

    m and s are the moving averages of g and g^2, to which ``1 - beta`` of the new value is added.

    Source: Kingma and Ba 2015, algorithm 1.
    """
    m = m + add_m * (g - m)
    s = s + add_s * (g * g - s)
    return p - rate * m / (np.sqrt(s) + eps), m, s


@kernel
def update_rows(dE, index, used, P, M, S, first, last, step):
    """Update columns ``first`` to ``last`` of the ``used`` rows of a list by the gradients of ``gather_mean_backward``.

    The gradient of a row goes from registers to the optimiser, and is never stored. Other rows keep their moments
    untouched. Rows are asked for before their turn, since they lie anywhere in the table.

    Shapes: dE (b, d), d a multiple of LANES, as first and last are; index as list_rows writes it; P (v, d), and so M
    and S, of which M or both may be None; see step_of.
    """
    for k in range(np.uint64(used)):
        ahead = index.rows[min(k + np.uint64(ROWS_AHEAD), np.uint64(used - 1))]
        for column in range(first, last, LANES):
            prefetch_line(P, ahead, column)
            if M is not None:
                prefetch_line(M, ahead, column)
            if S is not None:
                prefetch_line(S, ahead, column)
        for column in range(first, last - LANES, 2 * LANES):
            update_lanes(P, M, S, index.rows[k], column, row_gradient(dE, index, k, column, zero_pair(dE)), step)
        if (last - first) % (2 * LANES) > 0:
            column = last - LANES
            update_lanes(P, M, S, index.rows[k], column, row_gradient(dE, index, k, column, zero_line(dE)), step)


@part_of_kernels
def update_lanes(P, M, S, row, column, g, step):
    """Update lanes of a row by their gradient."""
    number = P.dtype.type
    p = number(step.keep) * load_lanes(P, row, column, g)
    rate, eps = number(step.rate), number(step.eps_rows)
    if S is None:
        p = sgd(p, g, rate)
    elif M is None:
        p, s = adagrad(p, g, load_lanes(S, row, column, g), rate, eps)
        store_lanes(S, row, column, s)
    else:
        m, s = load_lanes(M, row, column, g), load_lanes(S, row, column, g)
        p, m, s = adam(p, g, m, s, number(1 - ADAM_BETA1), number(1 - ADAM_BETA2), rate, eps)
        store_lanes(M, row, column, m)
        store_lanes(S, row, column, s)
    store_lanes(P, row, column, p)


@kernel
def update_layer(dY, X, W, b, M_W, M_b, S_W, S_b, dW, db, first, last, step):
    """Sum the gradient of a dense layer over the batch into dW and db, then update W and b.

    Of W, only columns ``first`` to ``last``; the bias is updated with the first column. db is the caller's own.

    Shapes: dY (n, o), X (n, i), W and dW (o, i), b and db (o,); M and S as W and b, or None; see step_of.
    """
    dW[:, first:last] = 0
    db[:] = 0
    affine_backward_weights(dY, X, first, last, dW, db)
    for r in range(W.shape[0]):
        update_numbers(W[r], dW[r], None if M_W is None else M_W[r], None if S_W is None else S_W[r], first, last, step)
    if first == 0 and last > 0:
        update_numbers(b, db, M_b, S_b, np.int64(0), b.shape[0], step)


@part_of_kernels
def update_numbers(p, g, m, s, first, last, step):
    """Update elements ``first`` to ``last`` of a vector by their gradients.

    Shapes: p and g (d,); m and s as p, or None.
    """
    number = p.dtype.type
    keep, rate, eps = number(step.keep), number(step.rate), number(step.eps_layers)
    add_m, add_s = number(1 - ADAM_BETA1), number(1 - ADAM_BETA2)
    for d in range(np.uint64(first), np.uint64(last)):
        if s is None:
            p[d] = sgd(keep * p[d], g[d], rate)
        elif m is None:
            p[d], s[d] = adagrad(keep * p[d], g[d], s[d], rate, eps)
        else:
            p[d], m[d], s[d] = adam(keep * p[d], g[d], m[d], s[d], add_m, add_s, rate, eps)


# Threads: Python starts one call per thread; the calls keep in step by a barrier ----------------------------

CACHE_LINE = 8  # int64 per cache line: each thread counts in a line of its own
RELEASED = 2**62
SPINS = 1000  # looks before a waiting thread gives its core away; about a microsecond


@kernel
def barrier(thread, arrived):
    """Wait until every thread has come to its barrier as often as this one.

    arrived counts the arrivals, thread t's at ``arrived[t * CACHE_LINE]``; it starts at 0. When a thread fails, all
    counts are set to RELEASED: from then on nobody waits.

    Shapes: arrived (threads * CACHE_LINE,) int64.
    """
    turn = arrived[thread * CACHE_LINE] + 1
    if turn > RELEASED:
        return
    store_release(arrived, thread * CACHE_LINE, turn)
    for other in range(0, arrived.shape[0], CACHE_LINE):
        spins = 0
        while load_acquire(arrived, other) < turn:
            spins += 1
            if spins > SPINS:
                yield_core()


# The network of exercise 5 ----------------------------------------------------------------------------------


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


@kernel
def train_batches(
    thread, order, first_step, key, documents, targets, weights, recipe, rates, parameters, M, S, work, losses
):
    """Train on the texts of ``order``, batch by batch, as one of several threads that make this call together.

    A step has PyTorch's meaning: the gradient of the mean loss of the batch, then one update. Threads share the
    columns of the table, a cache line or more each, so that none reads a row that another has just written, which
    would cost more than all the arithmetic. Before every ``threads`` steps, each thread lists the words and the rows of
    one of these batches for all; then there is a barrier. A step has three parts, with a barrier after the first and
    the second:

    1. each thread takes the mean of its columns over the words of every text of the batch;
    2. each thread takes its share of the texts forward and back, to the gradient of their means;
    3. each thread updates its columns of the table and of W1; the first one also all the rest.

    The next step's first part needs the columns of its own thread only, and its second part waits for all; the next
    lists go where the last but one have been, which nobody reads any more. All sums run in the same order for any
    number of threads, so that the result has the same bits. relu'(0) is 0.

    Updates parameters, and the moments M and S, shaped like parameters, or each None (see step_of);
    overwrites the losses of the texts of ``order``; ``work`` is scratch memory (mlcore.sentiment.training).
    ``recipe`` has batch_size, loss, word_dropout, weight_decay and trainable (whether the table is).

    Shapes: order (t,) distinct texts, targets (n, 1), weights (n,) of the texts in the loss, losses (n,), rates
    (batches,) the learning rate of each; the rest as in forward_texts.
    Units: first_step is the number of updates made before this call; ``key``, below 2^32, decides on word dropout.
    """
    zero = np.int64(0)  # a plain 0 would be a type of its own, and what is called compiled once more for that
    threads = work.arrived.shape[0] // CACHE_LINE
    lines = parameters.table.shape[1] // LANES
    first, last = lines * thread // threads * LANES, lines * (thread + 1) // threads * LANES
    for batch in range(rates.shape[0]):
        if batch % threads == 0:
            if batch + thread < rates.shape[0]:
                list_batch(thread, batch + thread, order, key, documents, recipe, work)
            barrier(thread, work.arrived)
        place = batch % (2 * threads)
        step = step_of(M.table, rates[batch], recipe.weight_decay, first_step + batch + 1)
        texts = texts_of(order, batch, recipe.batch_size)
        n = texts.shape[0]
        E, H, dlogits, dZ, dE = work.E[:n], work.H[:n], work.dlogits[:n], work.dZ[:n], work.dE[:n]

        words = words_of(documents, work.words, place, recipe.word_dropout)
        gather_mean(parameters.table, words.ids, words.counts, words.starts[:n], words.ends[:n], first, last, E)
        barrier(thread, work.arrived)

        a, b = n * thread // threads, n * (thread + 1) // threads
        backpropagate(texts, a, b, targets, weights, recipe.loss, parameters, work, losses)
        barrier(thread, work.arrived)

        update_layer(
            dZ, E, parameters.W1, parameters.b1, M.W1, M.b1, S.W1, S.b1, work.dW1, work.db1[thread],
            first, last, step,
        )  # fmt: skip
        if thread == 0:
            update_layer(
                dlogits, H, parameters.W2, parameters.b2, M.W2, M.b2, S.W2, S.b2,
                work.dW2, work.db2, zero, H.shape[1], step,
            )  # fmt: skip
        if recipe.trainable:
            index = rows_of(work.index, thread, place)
            update_rows(dE, index, work.used[place], parameters.table, M.table, S.table, first, last, step)


@part_of_kernels
def texts_of(order, batch, size):
    """Texts of the batch with this number."""
    return order[batch * size : (batch + 1) * size]


@part_of_kernels
def list_batch(thread, batch, order, key, documents, recipe, work):
    """Take the words of a batch and list their rows, where ``train_batches`` looks for them."""
    texts = texts_of(order, batch, recipe.batch_size)
    place = batch % work.used.shape[0]
    words = words_of(documents, work.words, place, recipe.word_dropout)
    take_words(documents, texts, recipe.word_dropout, key, words)
    if recipe.trainable:
        starts, ends = words.starts[: texts.shape[0]], words.ends[: texts.shape[0]]
        work.used[place] = list_rows(words.ids, words.counts, starts, ends, rows_of(work.index, thread, place))


@part_of_kernels
def words_of(documents, words, place, dropout):
    """Words of one batch, of arrays with a row for each batch that is listed; without dropout, of the documents."""
    if dropout > 0:
        return Words(words.ids[place], words.counts[place], words.starts[place], words.ends[place])
    return Words(documents.ids, documents.counts, words.starts[place], words.ends[place])


@part_of_kernels
def rows_of(index, thread, place):
    """Row list of one batch, of arrays with a row for each batch that is listed; slot_of, scratch, is the thread's."""
    return RowList(
        index.slot_of[thread], index.slots[place], index.rows[place], index.firsts[place], index.nexts[place],
        index.texts[place], index.shares[place],
    )  # fmt: skip


@kernel
def backpropagate(texts, a, b, targets, weights, loss, parameters, work, losses):
    """Take texts[a:b] of a batch from their means forward to the loss, and back to the gradient of their means.

    The loss is the mean over the whole batch, each text with its weight. Overwrites rows a to b of work.Z, H,
    logits, Y, dlogits, dH, dZ and dE, and the losses of these texts.

    Shapes: texts (n,); work.E (n, d) the means, and the others as in forward_texts.
    """
    E, Z, H, logits, Y = work.E[a:b], work.Z[a:b], work.H[a:b], work.logits[a:b], work.Y[a:b]
    dlogits, dH, dZ = work.dlogits[a:b], work.dH[a:b], work.dZ[a:b]
    forward_means(parameters, E, Z, H, logits)
    for i in range(a, b):  # number by number: assigning rows would compile much that is never used
        work.Y[i, 0] = targets[texts[i], 0]
    loss_of(loss, logits, Y, work.losses[a:b])
    loss_of_backward(loss, logits, Y, 1 / max(texts.shape[0], 1), dlogits)
    for i in range(a, b):
        losses[texts[i]] = work.losses[i] * weights[texts[i]]
        for k in range(work.dlogits.shape[1]):
            work.dlogits[i, k] *= weights[texts[i]]
    affine_backward_input(dlogits, parameters.W2, dH)
    relu_backward(dH, Z, 0.0, dZ)
    affine_backward_input(dZ, parameters.W1, work.dE[a:b])
