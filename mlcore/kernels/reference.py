"""Naive twins of the kernels in NumPy, written from the formulas and sharing no code with them.

``FORMULAS`` has, for each kernel that writes one array, what it writes. ``C`` (b, v) says how often each word occurs in
each text.
"""

from collections.abc import Callable

import numpy as np


def softmax(Z):
    """Probabilities of the classes of each row."""
    P = np.exp(Z - Z.max(axis=1, keepdims=True, initial=-np.inf))
    return P / P.sum(axis=1, keepdims=True)


def shares(C):
    """Share of each word in each text; a text without words has none."""
    return C / np.maximum(C.sum(axis=1, keepdims=True), 1)


FORMULAS: dict[str, Callable[..., np.ndarray]] = {
    "affine": lambda X, W, b: X @ W.T + (0 if b is None else b),
    "affine_backward_input": lambda dY, W: dY @ W,
    "affine_backward_weights": lambda dY, X: dY.T @ X,
    "relu": lambda Z: np.maximum(Z, 0),
    "relu_backward": lambda dH, Z, at_zero: dH * np.select([Z > 0, Z < 0], [1.0, 0.0], at_zero),
    "sigmoid": lambda Z: (1 + np.tanh(Z / 2)) / 2,
    "sigmoid_backward": lambda dH, H: dH * (H - H**2),
    "tanh": lambda Z: 1 - 2 / (np.exp(2 * Z) + 1),
    "tanh_backward": lambda dH, H: dH * (1 - H**2),
    "leaky_relu": lambda Z, slope: np.where(Z > 0, Z, slope * Z),
    "leaky_relu_backward": lambda dH, Z, slope, at_zero: dH * np.select([Z > 0, Z < 0], [1.0, slope], at_zero),
    "softplus": lambda Z: np.logaddexp(0, Z),
    "softplus_backward": lambda dH, Z: dH * (1 + np.tanh(Z / 2)) / 2,
    "softmax": softmax,
    "softmax_backward": lambda dP, P: P * dP - P * (P * dP).sum(axis=1, keepdims=True),
    "half_squared": lambda Y_hat, Y: ((Y - Y_hat) ** 2).sum(axis=1) / 2,
    "half_squared_backward": lambda Y_hat, Y, scale: scale * (Y_hat - Y),
    "logistic": lambda Z, Y: (np.logaddexp(0, Z) - Y * Z).sum(axis=1),
    "logistic_backward": lambda Z, Y, scale: scale * ((1 + np.tanh(Z / 2)) / 2 - Y),
    "softmax_loss": lambda Z, Y: -np.log(softmax(Z)[np.arange(len(Z)), Y[:, 0].astype(int)]),
    "softmax_loss_backward": lambda Z, Y, scale: scale * (softmax(Z) - (np.arange(Z.shape[1]) == Y)),
    "cross_entropy": lambda Z, Y: -(Y * np.log(softmax(Z))).sum(axis=1),
    "cross_entropy_backward": lambda Z, Y, scale: scale * (softmax(Z) - Y),
    "gather_mean": lambda table, C: shares(C) @ table,
    "gather_mean_backward": lambda dE, C: shares(C).T @ dE,
}


def count_matrix(documents, features, kept=lambda entry: True):
    """C of all documents, with the entries that are kept."""
    C = np.zeros((len(documents.offsets) - 1, features))
    for text in range(len(C)):
        for j in filter(kept, range(documents.offsets[text], documents.offsets[text + 1])):
            C[text, documents.ids[j]] += documents.counts[j]
    return C
