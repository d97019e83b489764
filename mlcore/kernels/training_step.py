"""Kernels of a step of training: the optimisers, what keeps threads in step, and a batch, which composes them.

The conventions are those of ``mlcore.kernels``.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np

from mlcore.kernels.compiling import kernel, part_of_kernels
from mlcore.kernels.embedding import RowList, Words, gather_mean, list_rows, row_gradient, take_words
from mlcore.kernels.forward import Parameters, forward_means
from mlcore.kernels.layers import affine_backward_input, affine_backward_weights, relu_backward
from mlcore.kernels.losses import loss_of, loss_of_backward
from mlcore.kernels.simd import (
    LANES,
    aligned_zeros,
    load_acquire,
    load_lanes,
    prefetch_line,
    store_lanes,
    store_release,
    yield_core,
    zero_line,
    zero_pair,
)

ROWS_AHEAD = 4  # of the table that are asked for before they are updated
ADAGRAD_EPS = 1e-10
ADAM_BETA1, ADAM_BETA2, ADAM_EPS = 0.9, 0.999, 1e-8
CACHE_LINE = 8  # int64 per cache line: each thread counts in a line of its own
RELEASED = 2**62
SPINS = 1000  # looks before a waiting thread gives its core away; about a microsecond


# Optimisers: each formula is written once, for a number of a dense layer as for lanes of the table ----------------


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


# A batch ---------------------------------------------------------------------------------------------------


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


class Recipe(NamedTuple):
    """What ``train_batches`` has to know of the settings."""

    batch_size: int
    loss: int
    word_dropout: float
    weight_decay: float
    trainable: bool


class Workspace(NamedTuple):
    """Memory of ``train_batches``: what the threads share, with places for the lists of two batches of each."""

    arrived: np.ndarray
    used: np.ndarray
    words: Words
    index: RowList
    E: np.ndarray
    Z: np.ndarray
    H: np.ndarray
    logits: np.ndarray
    Y: np.ndarray
    losses: np.ndarray
    dlogits: np.ndarray
    dH: np.ndarray
    dZ: np.ndarray
    dE: np.ndarray
    dW1: np.ndarray
    db1: np.ndarray
    dW2: np.ndarray
    db2: np.ndarray

    @classmethod
    def allocate(cls, parameters: Parameters, batch: int, entries: int, threads: int) -> "Workspace":
        """Memory for batches of at most ``batch`` texts, with at most ``entries`` distinct words in all of them."""
        (features, dim), (outputs, hidden) = parameters.table.shape, parameters.W2.shape

        def zeros(*shape: int) -> np.ndarray:
            return aligned_zeros(shape, parameters.table.dtype)

        def numbers(size: int, dtype: type = np.int32) -> np.ndarray:
            return np.zeros((2 * threads, size), dtype)

        return cls(
            arrived=np.zeros(threads * CACHE_LINE, np.int64),
            used=np.zeros(2 * threads, np.int64),
            words=Words(
                ids=numbers(entries), counts=numbers(entries),
                starts=numbers(batch, np.int64), ends=numbers(batch, np.int64),
            ),
            index=RowList.allocate(features, entries, parameters.table.dtype, threads),
            E=zeros(batch, dim), Z=zeros(batch, hidden), H=zeros(batch, hidden), logits=zeros(batch, outputs),
            Y=zeros(batch, 1), losses=zeros(batch), dlogits=zeros(batch, outputs),
            dH=zeros(batch, hidden), dZ=zeros(batch, hidden), dE=zeros(batch, dim),
            dW1=zeros(hidden, dim), db1=zeros(threads, hidden), dW2=zeros(outputs, hidden), db2=zeros(outputs),
        )  # fmt: skip


def run_together(pool: ThreadPoolExecutor, arrived: np.ndarray, function: Callable, *arguments: object) -> None:
    """Call ``function(thread, *arguments)`` once per thread of the pool, all at the same time."""

    def run(thread: int) -> None:
        try:
            function(thread, *arguments)
        except BaseException:
            arrived[:] = RELEASED  # nobody waits for a thread that failed
            raise

    threads = len(arrived) // CACHE_LINE
    futures: list[Future] = []
    try:
        for thread in range(threads):
            futures.append(pool.submit(run, thread))
        for future in futures:
            future.result()
    except BaseException:  # such as Ctrl-C: what has started comes to its end
        if len(futures) < threads:
            arrived[:] = RELEASED  # nobody waits for a thread that never started
        wait(futures)
        raise
