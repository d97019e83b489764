"""Numerical kernels: every forward with its backward directly below it.

Conventions: inputs first, outputs last; ``dA`` is dloss/dA and has A's shape; the docstring says which
outputs are overwritten and which are added to. Kernels neither allocate nor validate: the caller owns all
memory and has checked shapes and id ranges. Each is generic in dtype (float32 trains, float64 proves the
gradients) and has a naive twin in ``mlcore.reference``.

Documents are in CSR form with repeats counted: text ``t`` holds the distinct ids ``ids[offsets[t]:offsets[t + 1]]``,
each ``counts[...]`` times. A mean needs no more than that, and about half of the words of a review are repeats.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numba import config, njit, types
from numba.core import event
from numba.extending import intrinsic, overload

from mlcore.kernelcache import KernelCache

# Reassociation lets LLVM vectorise sums. "nnan" and "ninf" are left out on purpose: they would allow it to delete the
# checks that find a diverged training. So are "arcp" and "afn": they would allow estimates of quotients and roots,
# which it has for whole vectors only, so that a number's bits would depend on how many stand beside it. They are no
# faster here, where memory sets the pace. "contract" fuses a product and a sum into one rounding; where two products
# are added, the compiler may choose which, and chooses otherwise from time to time: no kernel adds two products.
FASTMATH = {"nsz", "contract", "reassoc"}

SGD, ADAGRAD, ADAM = 0, 1, 2
LOGISTIC, SOFTMAX, SQUARED = 0, 1, 2
LANES = 16  # float32 in a cache line, and in the widest vectors
ROWS_AT_A_TIME = 32  # whose gradients stay in the first-level cache until the table is updated
ADAGRAD_EPS = 1e-10
ADAM_BETA1, ADAM_BETA2, ADAM_EPS = 0.9, 0.999, 1e-8


class Words(NamedTuple):
    """Entries of the texts of a batch that word dropout has left; see ``take_words``."""

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
    def allocate(cls, features: int, entries: int, dtype: type, *threads: int) -> "RowList":
        """Memory for the rows of up to ``entries`` entries, of a table of ``features`` rows; for each thread, if any."""
        rows = min(features, entries)
        slots, texts = (np.zeros((*threads, entries), np.int32) for _ in range(2))
        of_rows, nexts = (np.zeros((*threads, rows), np.int32) for _ in range(2))
        firsts = np.zeros((*threads, rows + 1), np.int32)
        slot_of, shares = np.full((*threads, features), -1, np.int32), np.zeros((*threads, entries), dtype)
        return cls(slot_of, slots, of_rows, firsts, nexts, texts, shares)


def kernel(function):
    """Compile ``function`` with Numba as mlcore does everywhere: cached, IEEE division, without the GIL."""
    compiled = njit(error_model="numpy", fastmath=FASTMATH, nogil=True)(function)
    if not config.DISABLE_JIT:
        compiled._cache = KernelCache(function)
    return compiled


@contextmanager
def watch_compilation(started: Callable[[str], None]) -> Iterator[None]:
    """Call ``started`` with the name of each kernel that has to be compiled, because no cache holds it yet."""

    class Listener(event.Listener):
        def on_start(self, happening: event.Event) -> None:
            function = happening.data["dispatcher"].py_func
            if function.__module__.startswith("mlcore") and function.__name__.isidentifier():
                started(function.__name__)

        def on_end(self, happening: event.Event) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield


# Dense layers ---------------------------------------------------------------------------------------------


@kernel
def affine(X, W, b, Y):
    """Matrix product and optional bias, ``Y = X @ W.T + b``: overwrite Y. ``b`` may be None.

    Shapes: X (n, i), W (o, i), b (o,) -> Y (n, o).
    """
    for n in range(X.shape[0]):
        x = X[n]
        for o in range(W.shape[0]):
            w = W[o]
            total = X.dtype.type(0)
            for i in range(x.shape[0]):
                total += x[i] * w[i]
            if b is not None:
                total += b[o]
            Y[n, o] = total


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
                for i in range(np.uint64(first), np.uint64(last)):
                    dw[i] += dy * x[i]
                if db is not None:
                    db[o] += dy


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
    """Copy the entries of texts into ``words``, without those that word dropout leaves out this time.

    An entry, a distinct word of a text, is left out with probability ``dropout``. Whether it is depends on ``key``
    and on its place in the documents only, so that any thread finds the same.

    Overwrites words.starts and words.ends for the texts, and words.ids and words.counts between them.

    Shapes: texts (n,); words.starts and words.ends (n,) or more, words.ids and words.counts with room for all entries.
    Source: Iyyer et al. 2015, section 4.1 (there for each occurrence).
    """
    threshold = int(dropout * 0x100000000)
    kept = 0
    for t in range(texts.shape[0]):
        words.starts[t] = kept
        for j in range(documents.offsets[texts[t]], documents.offsets[texts[t] + 1]):
            if threshold == 0 or mix_bits(mix_bits(j) ^ key) >= threshold:
                words.ids[kept] = documents.ids[j]
                words.counts[kept] = documents.counts[j]
                kept += 1
        words.ends[t] = kept


@kernel
def gather_mean(table, ids, counts, starts, ends, first, last, E):
    """Columns ``first`` to ``last`` of the mean embedding of each text's words, repeats included: overwrite them in E.

    A text without words gets 0.

    Shapes: table (v, d); ids, counts (m,); starts, ends (b,) of each text's entries -> E (b, d).
    """
    for b in range(starts.shape[0]):
        e = E[b]
        e[first:last] = 0
        words = table.dtype.type(0)
        for j in range(starts[b], ends[b]):
            count, row = table.dtype.type(counts[j]), table[ids[j]]
            words += count
            for d in range(np.uint64(first), np.uint64(last)):
                e[d] += count * row[d]
        if words > 0:
            share = table.dtype.type(1) / words
            for d in range(np.uint64(first), np.uint64(last)):
                e[d] *= share


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
    used, entries = 0, 0
    for b in range(starts.shape[0]):
        for j in range(starts[b], ends[b]):
            slot = index.slot_of[ids[j]]
            if slot < 0:
                slot = used
                used += 1
                index.slot_of[ids[j]] = slot
                index.rows[slot] = ids[j]
                index.nexts[slot] = 0
            index.nexts[slot] += 1
            index.slots[entries] = slot
            entries += 1
    place = 0
    for slot in range(used):
        index.slot_of[index.rows[slot]] = -1
        index.firsts[slot] = place
        place += index.nexts[slot]
        index.nexts[slot] = index.firsts[slot]
    index.firsts[used] = place
    entry = 0
    for b in range(starts.shape[0]):
        words = index.shares.dtype.type(0)
        for j in range(starts[b], ends[b]):
            words += index.shares.dtype.type(counts[j])
        for j in range(starts[b], ends[b]):
            place = index.nexts[index.slots[entry]]
            index.nexts[index.slots[entry]] = place + 1
            index.texts[place] = b
            index.shares[place] = index.shares.dtype.type(counts[j]) / words
            entry += 1
    return used


@kernel
def gather_mean_backward(dE, index, begin, end, first, last, dRows):
    """Columns ``first`` to ``last`` of the gradient of ``gather_mean`` for rows begin..end-1 of a list.

    A word that occurs k times counts k times: dE_w = sum over texts of (count of w / words of the text) dE[text].
    Each row is summed in one go, which is why the texts are listed by row. Overwrites dRows[:end - begin].

    Shapes: dE (b, d), index as list_rows writes it -> dRows (end - begin or more, d).
    Source: exercise 5, dJ/dE_w.
    """
    for slot in range(begin, end):
        drow = dRows[slot - begin]
        place = index.firsts[slot]
        share, de = index.shares[place], dE[index.texts[place]]
        for d in range(np.uint64(first), np.uint64(last)):
            drow[d] = share * de[d]
        for place in range(index.firsts[slot] + 1, index.firsts[slot + 1]):
            share, de = index.shares[place], dE[index.texts[place]]
            for d in range(np.uint64(first), np.uint64(last)):
                drow[d] += share * de[d]


# Optimisers: each updates columns ``first`` to ``last`` of the listed rows of P, so that one kernel serves the table
# and the dense layers, and threads can share the columns. (Unsigned indices spare the test for negative ones.)


@kernel
def sgd(P, rows, dRows, first, last, learning_rate):
    """Gradient descent, ``p -= learning_rate g``: update columns of the listed rows of P.

    Shapes: P (v, d), rows (r,) distinct, dRows (r, d).
    """
    rate = P.dtype.type(learning_rate)
    for r in range(rows.shape[0]):
        p, g = P[rows[r]], dRows[r]
        for d in range(np.uint64(first), np.uint64(last)):
            p[d] -= rate * g[d]


@kernel
def adagrad(P, rows, dRows, S, first, last, learning_rate):
    """Adagrad, ``s += g^2; p -= learning_rate g / (sqrt(s) + eps)``: update columns of the listed rows of P and S.

    Shapes: P and S (v, d), rows (r,) distinct, dRows (r, d).
    Source: Duchi, Hazan, Singer 2011, with the epsilon of torch.optim.Adagrad.
    """
    rate, eps = P.dtype.type(learning_rate), P.dtype.type(ADAGRAD_EPS)
    for r in range(rows.shape[0]):
        p, g, s = P[rows[r]], dRows[r], S[rows[r]]
        for d in range(np.uint64(first), np.uint64(last)):
            s[d] += g[d] * g[d]
            p[d] -= rate * g[d] / (np.sqrt(s[d]) + eps)


@kernel
def adam(P, rows, dRows, M, S, first, last, learning_rate, step, eps):
    """Adam at step 1, 2, ...: update columns of the listed rows of P, M and S; other rows keep their moments untouched.

    m and s are the moving averages of g and g^2, ``m += (1 - beta1) (g - m)``; the bias corrections of both are folded into the rate:
    ``p -= learning_rate sqrt(1 - beta2^step) / (1 - beta1^step) * m / (sqrt(s) + eps)``.
    That is torch.optim.SparseAdam. For torch.optim.Adam, which adds its epsilon after the correction, pass
    ``eps * sqrt(1 - beta2^step)``.

    Shapes: P, M and S (v, d), rows (r,) distinct, dRows (r, d).
    Source: Kingma and Ba 2015, algorithm 1 and the remark below it.
    """
    correction = np.sqrt(1 - ADAM_BETA2**step) / (1 - ADAM_BETA1**step)
    rate, epsilon = P.dtype.type(learning_rate * correction), P.dtype.type(eps)
    add_m, add_s = P.dtype.type(1 - ADAM_BETA1), P.dtype.type(1 - ADAM_BETA2)
    for r in range(rows.shape[0]):
        p, g, m, s = P[rows[r]], dRows[r], M[rows[r]], S[rows[r]]
        for d in range(np.uint64(first), np.uint64(last)):
            m[d] += add_m * (g[d] - m[d])
            s[d] += add_s * (g[d] * g[d] - s[d])
            p[d] -= rate * m[d] / (np.sqrt(s[d]) + epsilon)


@kernel
def shrink(P, rows, first, last, factor):
    """Weight decay, ``p *= factor``: update columns of the listed rows of P."""
    keep = P.dtype.type(factor)
    for r in range(rows.shape[0]):
        p = P[rows[r]]
        for d in range(np.uint64(first), np.uint64(last)):
            p[d] *= keep


@kernel
def update(optimizer, P, rows, dRows, M, S, first, last, learning_rate, weight_decay, step, eps):
    """Apply the optimiser (SGD, ADAGRAD or ADAM) to columns of the listed rows, after their weight decay.

    The decay is decoupled from the gradient: ``p *= 1 - learning_rate weight_decay``. M and S may be empty where
    the optimiser has none.

    Source: Loshchilov and Hutter 2019, algorithm 2, in the form of torch.optim.AdamW.
    """
    if weight_decay > 0:
        shrink(P, rows, first, last, 1 - learning_rate * weight_decay)
    if optimizer == SGD:
        sgd(P, rows, dRows, first, last, learning_rate)
    elif optimizer == ADAGRAD:
        adagrad(P, rows, dRows, S, first, last, learning_rate)
    else:
        adam(P, rows, dRows, M, S, first, last, learning_rate, step, eps)


@kernel
def update_layer(
    optimizer, dY, X, W, b, M_W, M_b, S_W, S_b, dW, db, units, first, last, learning_rate, weight_decay, step
):  # fmt: skip
    """Sum the gradient of a dense layer over the batch into dW and db, then update W and b.

    Of W, only columns ``first`` to ``last``; the bias goes with the first column.

    Shapes: dY (n, o), X (n, i), W and dW (o, i), b and db (o,); M and S as W and b, or empty; units holds 0, 1, ...,
    at least o of them.
    """
    with_bias = first == 0 and last > 0
    dW[:, first:last] = 0
    if with_bias:
        db[:] = 0
        affine_backward_weights(dY, X, first, last, dW, db)
    else:
        affine_backward_weights(dY, X, first, last, dW, None)
    eps = ADAM_EPS * np.sqrt(1 - ADAM_BETA2**step)  # torch.optim.Adam's; see adam
    update(optimizer, W, units[: W.shape[0]], dW, M_W, S_W, first, last, learning_rate, weight_decay, step, eps)
    if with_bias:
        update(
            optimizer, as_row(b), units[:1], as_row(db), as_row(M_b), as_row(S_b), 0, b.shape[0],
            learning_rate, weight_decay, step, eps,
        )  # fmt: skip


@kernel
def as_row(a):
    """View a vector as a matrix of one row."""
    return a.reshape(1, a.shape[0])


# Threads: Python starts one call per thread; the calls keep in step by a barrier ----------------------------

CACHE_LINE = 8  # int64 per cache line: each thread counts in a line of its own
RELEASED = 2**62
SPINS = 1000  # looks before a waiting thread gives its core away; about a microsecond


def load_acquire(array, index):
    """Read an element that another thread writes, and see all that it wrote before."""
    return array[index]


def store_release(array, index, value):
    """Write an element for the other threads, after all that this thread wrote before."""
    array[index] = value


def yield_core():
    """Let another thread run on this core."""
    time.sleep(0)


@intrinsic
def _atomic_load(typing_context, array, index):
    def build(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "acquire", 8)

    return types.int64(array, types.intp), build


@intrinsic
def _atomic_store(typing_context, array, index, value):
    def build(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.store_atomic(arguments[2], builder.gep(data, [arguments[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), build


# Compiled code takes these; the plain functions above are what they mean, and what runs with NUMBA_DISABLE_JIT.
overload(load_acquire)(lambda array, index: lambda array, index: _atomic_load(array, index))
overload(store_release)(lambda array, index, value: lambda array, index, value: _atomic_store(array, index, value))
_system_yield = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())
overload(yield_core)(lambda: lambda: _system_yield())


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

    Shapes: ids, counts (m,); starts, ends (b,) of each text's entries; table (v, d); the rest as in forward_means.
    """
    gather_mean(parameters.table, ids, counts, starts, ends, 0, E.shape[1], E)
    forward_means(parameters, E, Z, H, logits)


@kernel
def train_batches(
    thread, order, first_step, key, documents, targets, weights, recipe, rates, parameters, M, S, work, losses
):
    """Train on the texts of ``order``, batch by batch, as one of several threads that make this call together.

    A step has PyTorch's meaning: the gradient of the mean loss of the batch, then one update. Threads share the
    columns of the table, a cache line or more each, so that none reads a row that another has just written, which
    would cost more than all the arithmetic. A step has three parts, with a barrier after the first and the second:

    1. each thread takes the mean of its columns over the words of every text of the batch;
    2. each thread takes its share of the texts forward and back, to the gradient of their means;
    3. each thread updates its columns of the table and of W1; the first one also all the rest.

    The next step's first part needs the columns of its own thread only, and its second part waits for all. All sums
    run in the same order for any number of threads, so that the result has the same bits. relu'(0) is 0.

    Updates parameters, and the moments M and S (shaped like parameters, empty where the optimiser has none);
    overwrites the losses of the texts of ``order``; ``work`` is scratch memory (mlcore.sentiment.training).
    ``recipe`` has batch_size, optimizer, loss, word_dropout, weight_decay and trainable (whether the table is).

    Shapes: order (t,) distinct texts, targets (n, 1), weights (n,) of the texts in the loss, losses (n,), rates
    (batches,) the learning rate of each; the rest as in forward_texts.
    Units: first_step is the number of updates made before this call; ``key``, below 2^32, decides on word dropout.
    """
    threads = work.arrived.shape[0] // CACHE_LINE
    lines = parameters.table.shape[1] // LANES
    first, last = lines * thread // threads * LANES, lines * (thread + 1) // threads * LANES
    optimizer, decay = recipe.optimizer, recipe.weight_decay
    words, index = words_of(work.words, thread), rows_of(work.index, thread)
    for batch in range(rates.shape[0]):
        step, rate = first_step + batch + 1, rates[batch]
        texts = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        n = texts.shape[0]
        E, H, dlogits, dZ, dE = work.E[:n], work.H[:n], work.dlogits[:n], work.dZ[:n], work.dE[:n]
        starts, ends = words.starts[:n], words.ends[:n]

        take_words(documents, texts, recipe.word_dropout, key, words)
        gather_mean(parameters.table, words.ids, words.counts, starts, ends, first, last, E)
        barrier(thread, work.arrived)

        a, b = n * thread // threads, n * (thread + 1) // threads
        backpropagate(texts, a, b, targets, weights, recipe.loss, parameters, work, losses)
        barrier(thread, work.arrived)

        update_layer(
            optimizer, dZ, E, parameters.W1, parameters.b1, M.W1, M.b1, S.W1, S.b1, work.dW1, work.db1, work.units,
            first, last, rate, decay, step,
        )  # fmt: skip
        if thread == 0:
            update_layer(
                optimizer, dlogits, H, parameters.W2, parameters.b2, M.W2, M.b2, S.W2, S.b2, work.dW2, work.db2,
                work.units, 0, H.shape[1], rate, decay, step,
            )  # fmt: skip
        if recipe.trainable:
            used = list_rows(words.ids, words.counts, starts, ends, index)
            dRows = work.dRows[thread]
            for begin in range(0, used, ROWS_AT_A_TIME):
                end = min(begin + ROWS_AT_A_TIME, used)
                gather_mean_backward(dE, index, begin, end, first, last, dRows)
                update(
                    optimizer, parameters.table, index.rows[begin:end], dRows, M.table, S.table, first, last,
                    rate, decay, step, ADAM_EPS,
                )  # fmt: skip


@kernel
def words_of(words, thread):
    """Words that are a thread's own, of arrays with a row for each thread."""
    return Words(words.ids[thread], words.counts[thread], words.starts[thread], words.ends[thread])


@kernel
def rows_of(index, thread):
    """Row list that is a thread's own, of arrays with a row for each thread."""
    return RowList(
        index.slot_of[thread], index.slots[thread], index.rows[thread], index.firsts[thread], index.nexts[thread],
        index.texts[thread], index.shares[thread],
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
    for i in range(a, b):
        work.Y[i] = targets[texts[i]]
    loss_of(loss, logits, Y, work.losses[a:b])
    loss_of_backward(loss, logits, Y, 1 / texts.shape[0], dlogits)
    for i in range(a, b):
        losses[texts[i]] = work.losses[i] * weights[texts[i]]
        work.dlogits[i] *= weights[texts[i]]
    affine_backward_input(dlogits, parameters.W2, dH)
    relu_backward(dH, Z, 0.0, dZ)
    affine_backward_input(dZ, parameters.W1, work.dE[a:b])
