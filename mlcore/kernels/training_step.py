"""A training step by several threads at once: what they share, the barrier that keeps them in step, and a batch."""

from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.embedding import RowList, Words, gather_mean, list_rows, take_words
from mlcore.kernels.forward import Parameters, forward_means
from mlcore.kernels.layers import TILE, affine_backward_input, relu_backward
from mlcore.kernels.losses import loss_of, loss_of_backward
from mlcore.kernels.optimizers import step_of, update_layer, update_rows
from mlcore.kernels.simd import LANES, aligned_zeros, load_acquire, rest, store_release, yield_core

MAX_THREADS = 16  # with more, each would have too little to do between two barriers
CACHE_LINE = 8  # int64 in a cache line: each thread counts in a line of its own
# A thread that waits looks whether the others have come SPINS times in a row, which takes a microsecond, then YIELDS
# times while other threads may have its core, which takes less than a millisecond where none want it, and then sleeps
# between two looks: another thread has lost its core, and may get this one.
SPINS, YIELDS = 1000, 1000

# The settings that a step depends on; "trainable" says whether the table is, the last two are those of update_rows
Recipe = namedtuple("Recipe", "batch_size loss word_dropout trainable first_piece scales")


class Workspace(
    namedtuple("Workspace", "arrived used words row_list E Z H logits Y losses dlogits dH dZ dE dW1 db1 dW2 db2")
):
    """Memory of ``train_batches`` that the threads share, with room for the lists of two batches of each."""

    @classmethod
    def allocate(cls, parameters: Parameters, batch: int, entries: int, threads: int, targets: int = 1) -> "Workspace":
        """Memory for batches of at most ``batch`` texts, with at most ``entries`` distinct words in all of them.

        ``targets``: how many each text has, the labels that it may have, or 1.
        """
        (features, dim), (outputs, hidden) = parameters.table.shape, parameters.W2.shape
        dtype, lists = parameters.table.dtype.type, 2 * threads
        ids, counts = (np.zeros((lists, entries), np.int32) for _ in range(2))
        starts, ends = (np.zeros((lists, batch), np.int64) for _ in range(2))
        outs, hiddens, dims = (batch, outputs), (batch, hidden), (batch, dim)
        shapes = dims, hiddens, hiddens, outs, (batch, targets), (batch,), outs, hiddens, hiddens, dims
        weights = (TILE, dim), (threads, hidden), (TILE, hidden), (threads, outputs)
        arrived, used = np.zeros((threads + 1) * CACHE_LINE, np.int64), np.zeros(lists, np.int64)
        row_list = RowList.allocate(features, entries, dtype, threads)
        arrays = (aligned_zeros(shape, dtype) for shape in shapes + weights)
        return cls._make([arrived, used, Words(ids, counts, starts, ends), row_list, *arrays])


def run_together(
    pool: ThreadPoolExecutor, arrived: np.ndarray, function: Callable[..., object], *arguments: object
) -> None:
    """Call ``function(thread, *arguments)`` once for each thread that ``arrived`` is for, all at the same time."""

    def run(thread: int) -> None:
        try:
            function(thread, *arguments)
        except BaseException:
            arrived[0] = 1  # nobody waits for a thread that failed
            raise

    arrived[:] = 0
    futures: list[Future[None]] = []
    try:
        futures.extend(pool.submit(run, thread) for thread in range(len(arrived) // CACHE_LINE - 1))
        for future in futures:
            future.result()
    except BaseException:  # such as Ctrl-C: what has started ends at its next barrier
        arrived[0] = 1
        wait(futures)
        raise


@kernel
def barrier(thread, arrived):
    """Wait until every thread has come to its barrier as often as this one; False if all are to stop instead.

    arrived ((threads + 1) * CACHE_LINE,) int64, 0 at first, counts the arrivals of thread t at
    ``arrived[(t + 1) * CACHE_LINE]``. All stop when ``arrived[0]`` is set.
    """
    turn = arrived[(thread + 1) * CACHE_LINE] + 1
    store_release(arrived, (thread + 1) * CACHE_LINE, turn)
    for other in range(CACHE_LINE, arrived.shape[0], CACHE_LINE):
        looks = 0
        while load_acquire(arrived, other) < turn and load_acquire(arrived, 0) == 0:
            looks += 1
            if looks > SPINS + YIELDS:
                rest()
            elif looks > SPINS:
                yield_core()
    return load_acquire(arrived, 0) == 0


@kernel
def train_batches(
    thread, order, first_step, key, documents, targets, weights, recipe, rates, parameters, M, S, work, losses
):
    """Train on the texts of ``order``, batch by batch, as one of several threads that make this call together.

    A step has PyTorch's meaning: the gradient of the mean loss of the batch, with relu'(0) = 0, then one update.
    Threads share the columns of the table, a cache line or more each, so that none reads a row that another has just
    written, which would cost more than all the arithmetic. Where there are more threads than cache lines in a row,
    several have the same columns, and share the texts and the rows. Before every ``threads`` steps, each thread lists
    the words and the rows of one of these batches for all. A step has three parts, with a barrier after each of the
    first two, and after the third if threads have the same columns:

    1. each thread takes the mean of its columns over the words of every text of the batch;
    2. each thread takes its share of the texts forward and back, to the gradient of their means;
    3. each thread updates its columns of the table, W1 and W2; that of the first ones also the biases.

    The next lists go where the last but one have been, which nobody reads any more. All sums run in the same order for
    any number of threads. Ends early when all are to stop; see barrier. Updates parameters, and the moments M and S,
    shaped like parameters, or each None (see step_of); overwrites the losses of the texts of ``order``.

    Shapes: order (t,) distinct texts, targets (n, 1), or (n, k) where texts may have several labels, weights (n,) of
    the texts in the loss, losses (n,), rates (batches,) the learning rate of each; the rest as in forward_texts.
    Units: first_step is the number of updates made before this call; ``key``, below 2^32, decides on word dropout.
    """
    threads, lines = work.arrived.shape[0] // CACHE_LINE - 1, parameters.table.shape[1] // LANES
    ranges = min(threads, lines)
    while threads % ranges > 0:
        ranges -= 1
    first, last = share(thread % ranges, ranges, lines)
    first, last, part, parts = first * LANES, last * LANES, thread // ranges, threads // ranges
    for batch in range(rates.shape[0]):
        if batch % threads == 0:
            if batch + thread < rates.shape[0]:
                list_batch(thread, batch + thread, order, key, documents, recipe, work)
            if not barrier(thread, work.arrived):
                return
        place = batch % work.used.shape[0]
        step = step_of(M.table, rates[batch], first_step + batch + 1)
        texts = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
        n = texts.shape[0]
        E, H, dlogits, dZ, dE = work.E[:n], work.H[:n], work.dlogits[:n], work.dZ[:n], work.dE[:n]

        words = words_of(documents, work.words, place, recipe.word_dropout)
        a, b = share(part, parts, n)
        gather_mean(parameters.table, words.ids, words.counts, words.starts[a:b], words.ends[a:b], first, last, E[a:b])
        if not barrier(thread, work.arrived):
            return

        a, b = share(thread, threads, n)
        backpropagate(texts, a, b, targets, weights, recipe.loss, parameters[1:], work, losses)
        if not barrier(thread, work.arrived):
            return

        if part == 0:
            update_layer(
                dZ, E, first, last, step,
                parameters.W1, parameters.b1, M.W1, M.b1, S.W1, S.b1, work.dW1, work.db1[thread],
            )  # fmt: skip
        a, b = share(thread, threads, -(-H.shape[1] // LANES))
        if a < b:
            update_layer(
                dlogits, H, a * LANES, min(b * LANES, H.shape[1]), step,
                parameters.W2, parameters.b2, M.W2, M.b2, S.W2, S.b2, work.dW2, work.db2[thread],
            )  # fmt: skip
        if recipe.trainable:
            index, (a, b) = rows_of(work.row_list, thread, place), share(part, parts, work.used[place])
            update_rows(
                dE, index, a, b, first, last, step, recipe.first_piece, recipe.scales,
                parameters.table, M.table, S.table,
            )  # fmt: skip
        if parts > 1 and not barrier(thread, work.arrived):
            return


@inline_kernel
def share(part, parts, size):
    """Ends of one of so many about equal parts of the numbers below ``size``."""
    return size * part // parts, size * (part + 1) // parts


@inline_kernel
def list_batch(thread, batch, order, key, documents, recipe, work):
    """Take the words of a batch and list their rows, where ``train_batches`` looks for them."""
    texts = order[batch * recipe.batch_size : (batch + 1) * recipe.batch_size]
    place = batch % work.used.shape[0]
    words = words_of(documents, work.words, place, recipe.word_dropout)
    take_words(documents, texts, recipe.word_dropout, key, words)
    if recipe.trainable:
        starts, ends = words.starts[: texts.shape[0]], words.ends[: texts.shape[0]]
        work.used[place] = list_rows(words.ids, words.counts, starts, ends, rows_of(work.row_list, thread, place))


@inline_kernel
def words_of(documents, words, place, dropout):
    """Words of one batch, of arrays with a row for each batch that is listed; without dropout, of the documents."""
    if dropout > 0:
        return Words(words.ids[place], words.counts[place], words.starts[place], words.ends[place])
    return Words(documents.ids, documents.counts, words.starts[place], words.ends[place])


@inline_kernel
def rows_of(index, thread, place):
    """Row list of one batch, of arrays with a row for each batch that is listed; slot_of, scratch, is the thread's."""
    return RowList(
        index.slot_of[thread], index.slots[place], index.rows[place], index.firsts[place], index.nexts[place],
        index.texts[place], index.shares[place],
    )  # fmt: skip


@kernel
def backpropagate(texts, a, b, targets, weights, loss, layers, work, losses):
    """Take texts[a:b] of a batch from their means forward to the loss, and back to the gradient of their means.

    The loss is the mean over the whole batch, each text with its weight. Overwrites rows a to b of work.Z, H,
    logits, Y, dlogits, dH, dZ and dE, and the losses of these texts.

    Shapes: texts (n,); layers as in forward_means; work.E (n, d) the means, and the others as in forward_texts.
    """
    W1, _, W2, _ = layers
    E, Z, H, logits, Y = work.E[a:b], work.Z[a:b], work.H[a:b], work.logits[a:b], work.Y[a:b]
    dlogits, dH, dZ = work.dlogits[a:b], work.dH[a:b], work.dZ[a:b]
    forward_means(layers, E, Z, H, logits)
    for i in range(a, b):  # number by number: assigning rows would compile much that is never used
        for k in range(work.Y.shape[1]):
            work.Y[i, k] = targets[texts[i], k]
    loss_of(loss, logits, Y, work.losses[a:b])
    loss_of_backward(loss, logits, Y, 1 / max(texts.shape[0], 1), dlogits)
    for i in range(a, b):
        losses[texts[i]] = work.losses[i] * weights[texts[i]]
        for k in range(work.dlogits.shape[1]):
            work.dlogits[i, k] *= weights[texts[i]]
    affine_backward_input(dlogits, W2, dH)
    relu_backward(dH, Z, 0.0, dZ)
    affine_backward_input(dZ, W1, work.dE[a:b])
