"""Losses of the n samples of a batch, every forward with its backward directly below it.

``scale`` is 1/n for the gradient of the mean loss.
"""

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.layers import largest, sigmoid_of, softmax

LOGISTIC, SOFTMAX, SQUARED = 0, 1, 2


@kernel
def half_squared(Y_hat, Y, losses):
    """Half the squared error of each sample, ``1/2 sum_k (y_k - y_hat_k)^2``: overwrite losses.

    Shapes: Y_hat and Y (n, k) -> losses (n,).
    """
    half = Y_hat.dtype.type(0.5)
    for n in range(Y_hat.shape[0]):
        losses[n] = 0
        for k in range(Y_hat.shape[1]):
            losses[n] += half * (Y_hat[n, k] - Y[n, k]) ** 2


@kernel
def half_squared_backward(Y_hat, Y, scale, dY_hat):
    """Gradient of ``scale`` times the half squared error, ``scale (y_hat - y)``: overwrite dY_hat."""
    factor = Y_hat.dtype.type(scale)
    for n in range(Y_hat.shape[0]):
        for k in range(Y_hat.shape[1]):
            dY_hat[n, k] = factor * (Y_hat[n, k] - Y[n, k])


@kernel
def logistic(Z, Y, losses):
    """Logistic loss of each sample from logits, ``sum_k log(1 + exp(z_k)) - y_k z_k``: overwrite losses.

    Written so that it neither overflows nor loses digits at any logit: each term is ``log1p(exp(-|z|))``, and |z| times
    the distance of y from the label that z's sign predicts.

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
    """Gradient of ``scale`` times the logistic loss, ``scale (sigmoid(z) - y)``: overwrite dZ."""
    one, factor = Z.dtype.type(1), Z.dtype.type(scale)
    for n in range(Z.shape[0]):
        for k in range(Z.shape[1]):
            dZ[n, k] = factor * (sigmoid_of(Z[n, k], one) - Y[n, k])


@inline_kernel
def log_sum_exp(Z, n):
    """``log(sum_k exp(z_k))`` of row n, as the largest logit and the logarithm of the sum without it.

    The sum of ``exp(z_k - largest)`` neither overflows nor is 0.
    """
    top, total = largest(Z, n), Z.dtype.type(0)
    for k in range(Z.shape[1]):
        total += np.exp(Z[n, k] - top)
    return top, np.log(total)


@kernel
def softmax_loss(Z, Y, losses):
    """Cross-entropy of the softmax of each sample's logits, ``log(sum_k exp(z_k)) - z_y``: overwrite losses.

    Shapes: Z (n, k), Y (n, 1) class numbers in 0..k-1 -> losses (n,).
    """
    for n in range(Z.shape[0]):
        top, rest = log_sum_exp(Z, n)
        losses[n] = rest + (top - Z[n, int(Y[n, 0])])


@kernel
def softmax_loss_backward(Z, Y, scale, dZ):
    """Gradient of ``scale`` times that cross-entropy, ``scale (softmax(z)_k - [k = y])``: overwrite dZ."""
    factor = Z.dtype.type(scale)
    for n in range(Z.shape[0]):
        top, total = largest(Z, n), Z.dtype.type(0)
        for k in range(Z.shape[1]):
            dZ[n, k] = np.exp(Z[n, k] - top)
            total += dZ[n, k]
        for k in range(Z.shape[1]):
            dZ[n, k] *= factor / total
        dZ[n, int(Y[n, 0])] -= factor


@kernel
def cross_entropy(Z, Y, losses):
    """Cross-entropy of the softmax of each sample's logits, ``sum_k y_k (log sum_j exp(z_j) - z_k)``: overwrite losses.

    Shapes: Z (n, k), Y (n, k) probabilities that sum to 1 -> losses (n,).
    """
    for n in range(Z.shape[0]):
        top, rest = log_sum_exp(Z, n)
        losses[n] = 0
        for k in range(Z.shape[1]):
            losses[n] += Y[n, k] * (rest + (top - Z[n, k]))


@kernel
def cross_entropy_backward(Z, Y, scale, dZ):
    """Gradient of ``scale`` times that cross-entropy, ``scale (softmax(z) - y)``: overwrite dZ."""
    factor = Z.dtype.type(scale)
    softmax(Z, dZ)
    for n in range(Z.shape[0]):
        for k in range(Z.shape[1]):
            dZ[n, k] = factor * (dZ[n, k] - Y[n, k])


@kernel
def loss_of(loss, Y_hat, Y, losses):
    """Loss of each sample by its number (LOGISTIC, SOFTMAX or SQUARED): overwrite losses."""
    if loss == LOGISTIC:
        logistic(Y_hat, Y, losses)
    elif loss == SOFTMAX:
        softmax_loss(Y_hat, Y, losses)
    else:
        half_squared(Y_hat, Y, losses)


@kernel
def loss_of_backward(loss, Y_hat, Y, scale, dY_hat):
    """Gradient of ``scale`` times the loss with this number: overwrite dY_hat."""
    if loss == LOGISTIC:
        logistic_backward(Y_hat, Y, scale, dY_hat)
    elif loss == SOFTMAX:
        softmax_loss_backward(Y_hat, Y, scale, dY_hat)
    else:
        half_squared_backward(Y_hat, Y, scale, dY_hat)
