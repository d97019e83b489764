"""Optimisers: each formula is written once, for numbers of a dense layer and for vectors of the table.

Sources: Duchi, Hazan, Singer 2011, with the epsilon of torch.optim.Adagrad; Kingma and Ba 2015, algorithm 1.
"""

from collections import namedtuple

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.embedding import gather_mean_backward
from mlcore.kernels.forward import Parameters
from mlcore.kernels.layers import TILE, affine_backward_weights
from mlcore.kernels.simd import LANES, WIDE, aligned_zeros, load_vector, prefetch, store_vector, zero_vector

ROWS_AHEAD = 4  # rows of the table that are prefetched before their update
ADAGRAD_EPS = 1e-10
ADAM_BETA1, ADAM_BETA2, ADAM_EPS = 0.9, 0.999, 1e-8
MOMENTS = {"sgd": "", "adagrad": "S", "adam": "MS"}  # what each optimiser keeps: means of gradients, sums of squares
Step = namedtuple("Step", "rate eps_rows eps_layers")  # one update of all parameters; see step_of


def with_moments(
    parameters: Parameters, optimizer: str, threads: int = 1
) -> tuple[np.ndarray, Parameters, Parameters, Parameters]:
    """Copy of the parameters, and M and S of the same shapes, all 0, or None for what the optimiser does not keep.

    The first array returned, (v, d), (v, 2 d) or (v, 3 d), has each row of the table next to its moments: one cache
    miss instead of three.
    """
    kept, (table, *layers) = "P" + MOMENTS[optimizer], parameters
    width = table.shape[1]
    rows = aligned_zeros((len(table), len(kept) * width), table.dtype)
    made = dict.fromkeys("PMS", Parameters(*[None] * len(parameters)))  # type: ignore[arg-type]
    for number, name in enumerate(kept):
        columns = rows[:, number * width : (number + 1) * width]
        made[name] = Parameters(columns, *(aligned_zeros(layer.shape, layer.dtype) for layer in layers))
    made["P"].take(parameters, threads)
    return rows, made["P"], made["M"], made["S"]


@inline_kernel
def step_of(M, learning_rate, number):
    """Step with this number, 1, 2, ..., of SGD without moments, of Adagrad with S, or of Adam with M and S.

    Adam's bias corrections are folded into its rate, as torch.optim.SparseAdam does for the rows of the table.
    torch.optim.Adam, for the layers, adds epsilon after the correction, which comes to ``eps sqrt(1 - beta2^number)``.
    """
    if M is None:
        return Step(learning_rate, ADAGRAD_EPS, ADAGRAD_EPS)
    root = np.sqrt(1 - ADAM_BETA2**number)
    return Step(learning_rate * root / (1 - ADAM_BETA1**number), ADAM_EPS, ADAM_EPS * root)


@inline_kernel
def adagrad(p, g, s, rate, eps):
    """Adagrad, ``s + g^2`` and ``p - rate g / (sqrt(s) + eps)`` with the new s: the new p and s."""
    s = s + g * g
    return p - rate * g / (np.sqrt(s) + eps), s


@inline_kernel
def adam(p, g, m, s, add_m, add_s, rate, eps):
    """Adam: the new p, m and s, the moving averages of g and g^2, to which ``1 - beta`` of the new value is added."""
    m = m + add_m * (g - m)
    s = s + add_s * (g * g - s)
    return p - rate * m / (np.sqrt(s) + eps), m, s


@kernel
def update_rows(dE, index, begin, end, first, last, step, first_piece, scales, P, M, S):
    """Update columns ``first`` to ``last`` of rows begin to end - 1 of a list by their ``gather_mean_backward``.

    The gradient of a row goes from registers to the optimiser and is never stored. Other rows keep their moments.
    Rows are prefetched, since they lie anywhere in the table. The rate of those before ``first_piece`` is multiplied by
    the first of the two scales, that of the others by the second.

    Shapes: dE (b, d), with d, first and last multiples of LANES; index as list_rows writes it; P (v, d), and so M and
    S, of which M or both may be None; see step_of.
    """
    for k in range(np.uint64(begin), np.uint64(end)):
        rate = step.rate * (scales[0] if index.rows[k] < first_piece else scales[1])
        ahead = index.rows[min(k + np.uint64(ROWS_AHEAD), np.uint64(end - 1))]
        for column in range(first, last, LANES):
            prefetch(P, ahead, column)
            if M is not None:
                prefetch(M, ahead, column)
            if S is not None:
                prefetch(S, ahead, column)
        for column in range(first, last - LANES, WIDE):
            g = gather_mean_backward(dE, index, k, column, zero_vector(dE.dtype, WIDE))
            update_vector(g, index.rows[k], column, rate, step.eps_rows, P, M, S)
        if (last - first) % WIDE > 0:
            rest = gather_mean_backward(dE, index, k, last - LANES, zero_vector(dE.dtype, LANES))
            update_vector(rest, index.rows[k], last - LANES, rate, step.eps_rows, P, M, S)


@inline_kernel
def update_vector(g, row, column, rate, eps, P, M, S):
    """Update a part of a row by its gradient, a vector."""
    number = P.dtype.type
    p, rate, eps = load_vector(P, row, column, g), number(rate), number(eps)
    if S is None:
        p = p - rate * g
    elif M is None:
        p, s = adagrad(p, g, load_vector(S, row, column, g), rate, eps)
        store_vector(S, row, column, s)
    else:
        m, s = load_vector(M, row, column, g), load_vector(S, row, column, g)
        p, m, s = adam(p, g, m, s, number(1 - ADAM_BETA1), number(1 - ADAM_BETA2), rate, eps)
        store_vector(M, row, column, m)
        store_vector(S, row, column, s)
    store_vector(P, row, column, p)


@kernel
def update_layer(dY, X, first, last, step, W, b, M_W, M_b, S_W, S_b, dW, db):
    """Sum the gradient of a dense layer over the batch, for TILE outputs at a time into dW, and update W and b.

    Of W, only columns ``first`` to ``last``; the bias is updated with the first column. db is the thread's own.

    Shapes: dY (n, o), X (n, i), W (o, i), dW (TILE, i), b and db (o,); M and S as W and b, or None; see step_of.
    """
    db[:] = 0
    for begin in range(0, W.shape[0], TILE):
        end = min(begin + TILE, W.shape[0])
        dW[: end - begin, first:last] = 0
        affine_backward_weights(dY[:, begin:end], X, first, last, dW[: end - begin], db[begin:end])
        for r in range(begin, end):
            M, S = None if M_W is None else M_W[r], None if S_W is None else S_W[r]
            update_numbers(dW[r - begin], first, last, step, W[r], M, S)
    if first == 0 and last > 0:
        update_numbers(db, np.int64(0), b.shape[0], step, b, M_b, S_b)


@inline_kernel
def update_numbers(g, first, last, step, p, m, s):
    """Update elements ``first`` to ``last`` of a vector p by their gradients g; m and s may be None."""
    number = p.dtype.type
    rate, eps = number(step.rate), number(step.eps_layers)
    add_m, add_s = number(1 - ADAM_BETA1), number(1 - ADAM_BETA2)
    for d in range(np.uint64(first), np.uint64(last)):
        if s is None:
            p[d] -= rate * g[d]
        elif m is None:
            p[d], s[d] = adagrad(p[d], g[d], s[d], rate, eps)
        else:
            p[d], m[d], s[d] = adam(p[d], g[d], m[d], s[d], add_m, add_s, rate, eps)
