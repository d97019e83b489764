"""Dense layers and activations, every forward with its backward directly below it."""

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.simd import LANES, horizontal_sum, load_vector, store_vector, zero_vector

BROAD = 4 * LANES  # as many sums as there are registers for
TILE = 64  # rows of a matrix that all rows of the other meet while they are in the cache


@kernel
def affine(X, W, b, Y):
    """Matrix product and optional bias, ``Y = X @ W.T + b``: overwrite Y. ``b`` may be None.

    Shapes: X (n, i), W (o, i), b (o,) -> Y (n, o).
    """
    for first in range(0, W.shape[0], TILE):
        for n in range(X.shape[0]):
            for o in range(first, min(first + TILE, W.shape[0])):
                Y[n, o] = dot(X, n, W, o) if b is None else dot(X, n, W, o) + b[o]


@inline_kernel
def dot(X, n, W, o):
    """Product of row n of X and row o of W: whole vectors as far as they go, then number by number."""
    whole = X.shape[1] - X.shape[1] % LANES
    vector = zero_vector(X.dtype, LANES)
    for i in range(0, whole, LANES):
        vector = vector + load_vector(X, n, i, vector) * load_vector(W, o, i, vector)
    total = horizontal_sum(vector)
    for i in range(whole, X.shape[1]):
        total += X[n, i] * W[o, i]
    return total


@kernel
def affine_backward_input(dY, W, dX):
    """Input gradient of ``affine``, ``dX = dY @ W``: overwrite dX.

    Shapes: dY (n, o), W (o, i) -> dX (n, i).
    Source: exercise 1, V^T delta2; Goodfellow, Bengio, Courville 2016, algorithm 6.4.
    """
    dX[:] = 0
    add_product(dY, W, np.int64(0), dX.shape[1], dX)


@kernel
def affine_backward_weights(dY, X, first, last, dW, db):
    """Weight gradients of ``affine``: add columns ``first`` to ``last`` of ``dY.T @ X`` to dW.

    The column sums of dY are added to db, unless db is None.

    Shapes: dY (n, o), X (n, i) -> dW (o, i), db (o,).
    Source: exercise 1, delta2 h^T and delta1 x^T; Goodfellow, Bengio, Courville 2016, algorithm 6.4.
    """
    add_product(dY.T, X, np.int64(first), np.int64(last), dW)
    if db is not None:
        for n in range(dY.shape[0]):
            for o in range(dY.shape[1]):
                db[o] += dY[n, o]


@inline_kernel
def add_product(A, B, first, last, C):
    """Add columns ``first`` to ``last`` of ``A @ B`` to C, all sums in the order of B's rows: in registers, whole
    vectors as far as they go, then number by number.
    """
    for begin in range(0, B.shape[0], TILE):
        end = min(begin + TILE, B.shape[0])
        for n in range(C.shape[0]):
            column = first
            while last - column >= BROAD:
                add_columns(A, B, begin, end, n, column, load_vector(C, n, column, zero_vector(C.dtype, BROAD)), C)
                column += BROAD
            while last - column >= LANES:
                add_columns(A, B, begin, end, n, column, load_vector(C, n, column, zero_vector(C.dtype, LANES)), C)
                column += LANES
            for i in range(column, last):
                for k in range(begin, end):
                    C[n, i] += A[n, k] * B[k, i]


@inline_kernel
def add_columns(A, B, begin, end, n, column, total, C):
    """Add what rows ``begin`` to ``end`` of B give to row n of ``A @ B``, from ``column`` on, to ``total``, for C."""
    for k in range(begin, end):
        total = total + A[n, k] * load_vector(B, k, column, total)
    store_vector(C, n, column, total)


@kernel
def relu(Z, H):
    """Rectifier, ``H = max(0, Z)``, of Z (n, o): overwrite H."""
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            # "not Z > 0" would be shorter, and would turn NaN into 0
            H[n, o] = Z.dtype.type(0) if Z[n, o] <= 0 else Z[n, o]


@kernel
def relu_backward(dH, Z, at_zero, dZ):
    """Backward pass of ``relu``, ``dZ = dH * relu'(Z)``, all (n, o): overwrite dZ.

    ``at_zero`` is the value taken for relu'(0), which does not exist: a convention in [0, 1].
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
def leaky_relu(Z, slope, H):
    """Rectifier with another slope below 0, ``H = Z`` or ``slope Z``, of Z (n, o): overwrite H."""
    below = Z.dtype.type(slope)
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            H[n, o] = below * Z[n, o] if Z[n, o] <= 0 else Z[n, o]


@kernel
def leaky_relu_backward(dH, Z, slope, at_zero, dZ):
    """Backward pass of ``leaky_relu``, all (n, o): overwrite dZ. ``at_zero`` is the value taken for its slope at 0."""
    below, at_kink = Z.dtype.type(slope), Z.dtype.type(at_zero)
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            if Z[n, o] < 0:
                dZ[n, o] = dH[n, o] * below
            elif Z[n, o] == 0:
                dZ[n, o] = dH[n, o] * at_kink
            else:
                dZ[n, o] = dH[n, o]


@inline_kernel
def sigmoid_of(z, one):
    """Logistic function of a number, ``1 / (1 + exp(-z))``, without overflow; ``one`` is 1 in its type."""
    decay = np.exp(-abs(z))
    return (one if z >= 0 else decay) / (one + decay)


@kernel
def sigmoid(Z, H):
    """Logistic function of Z (n, o): overwrite H."""
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            H[n, o] = sigmoid_of(Z[n, o], Z.dtype.type(1))


@kernel
def sigmoid_backward(dH, H, dZ):
    """Backward pass of ``sigmoid``, ``dZ = dH h (1 - h)`` from the forward values H (n, o): overwrite dZ."""
    one = H.dtype.type(1)
    for n in range(H.shape[0]):
        for o in range(H.shape[1]):
            dZ[n, o] = dH[n, o] * H[n, o] * (one - H[n, o])


@kernel
def tanh(Z, H):
    """Hyperbolic tangent of Z (n, o): overwrite H."""
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            H[n, o] = np.tanh(Z[n, o])


@kernel
def tanh_backward(dH, H, dZ):
    """Backward pass of ``tanh``, ``dZ = dH (1 - h^2)`` from the forward values H (n, o): overwrite dZ."""
    one = H.dtype.type(1)
    for n in range(H.shape[0]):
        for o in range(H.shape[1]):
            dZ[n, o] = dH[n, o] * (one - H[n, o]) * (one + H[n, o])


@kernel
def softplus(Z, H):
    """Smooth rectifier, ``log(1 + exp(z))``, of Z (n, o), without overflow: overwrite H."""
    zero = Z.dtype.type(0)
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            H[n, o] = max(Z[n, o], zero) + np.log1p(np.exp(-abs(Z[n, o])))


@kernel
def softplus_backward(dH, Z, dZ):
    """Backward pass of ``softplus``, ``dZ = dH sigmoid(z)``, all (n, o): overwrite dZ."""
    one = Z.dtype.type(1)
    for n in range(Z.shape[0]):
        for o in range(Z.shape[1]):
            dZ[n, o] = dH[n, o] * sigmoid_of(Z[n, o], one)


@inline_kernel
def largest(Z, n):
    """Largest number of row n."""
    top = Z[n, 0]
    for k in range(1, Z.shape[1]):
        top = max(top, Z[n, k])
    return top


@kernel
def softmax(Z, P):
    """Softmax of each row of Z (n, k), ``p_k = exp(z_k) / sum_j exp(z_j)``, without overflow: overwrite P."""
    for n in range(Z.shape[0]):
        top, total = largest(Z, n), Z.dtype.type(0)
        for k in range(Z.shape[1]):
            P[n, k] = np.exp(Z[n, k] - top)
            total += P[n, k]
        for k in range(Z.shape[1]):
            P[n, k] /= total


@kernel
def softmax_backward(dP, P, dZ):
    """Backward pass of ``softmax``, ``dz_k = p_k (dp_k - sum_j dp_j p_j)``, all (n, k): overwrite dZ."""
    for n in range(P.shape[0]):
        mean = P.dtype.type(0)
        for k in range(P.shape[1]):
            mean += dP[n, k] * P[n, k]
        for k in range(P.shape[1]):
            dZ[n, k] = P[n, k] * (dP[n, k] - mean)
