"""Proof that the compiled kernels compute what their formulas say, on the machine they run on.

Every kernel is compared with its naive twin of ``mlcore.kernels.reference`` in float32 and float64, at sizes from none to
many, and every backward with numerical derivatives in float64: repeated words and both sides of the kink included.
"""

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from mlcore.kernels import embedding as _e
from mlcore.kernels import forward as _f
from mlcore.kernels import layers as _l
from mlcore.kernels import losses as _o
from mlcore.kernels.simd import LANES

kernels = SimpleNamespace(**{k: v for m in (_l, _o, _e, _f) for k, v in vars(m).items()})
from mlcore.kernels.finite_differences import central_differences, one_sided_differences
from mlcore.sentiment.twins import (
    CASES,
    DOCUMENTS,
    LOSSES,
    TEXTS,
    Pairs,
    Random,
    entries_of,
    table_gradient,
    training_step,
)

SIZES = (0, 1, 3, 50)
TWIN_TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
DIFFERENCES_TOLERANCE = 1e-6


class Verification(NamedTuple):
    """A kernel compared with its twin or with differences; the error is relative to the size of the values."""

    kernel: str
    against: str  # "twin", "differences" or "one thread"
    dtype: str
    largest_error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.largest_error <= self.tolerance


def verify() -> Iterator[Verification]:
    """Check every kernel, one result at a time; the first run compiles."""
    for name, case in CASES.items():
        for dtype in (np.float32, np.float64):
            errors = [largest_error(*pair) for size in SIZES for pair in case(np.random.default_rng(size), dtype, size)]
            kind = dtype.__name__
            yield Verification(name, "twin", kind, float(np.max(errors)), TWIN_TOLERANCE[kind])
        if name in SLOPES:
            errors = [largest_error(*pair) for pair in SLOPES[name](np.random.default_rng(7))]
            yield Verification(name, "differences", "float64", float(np.max(errors)), DIFFERENCES_TOLERANCE)
    # the step in the types that it trains in, so that training and verifying share what is compiled
    one, two = (list(training_step(np.random.default_rng(7), threads)) for threads in (1, 2))
    error = float(np.max([largest_error(*pair) for pair in one]))
    yield Verification("train_batches", "twin", "float32", error, TWIN_TOLERANCE["float32"])
    error = float(np.max([largest_error(found, alone) for (found, _), (alone, _) in zip(two, one, strict=True)]))
    yield Verification("barrier", "one thread", "float32", error, 0.0)


def largest_error(found: np.ndarray, expected: np.ndarray) -> float:
    """``max |found - expected| / max(1, max |expected|)``; infinite for another shape, NaN where a value is NaN."""
    if found.shape != expected.shape:
        return np.inf
    if not found.size:
        return 0.0
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, and counts as an error
        return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


# Differences: each case yields the gradient that a backward finds and the numerical one -----------------------


def weighted(forward: Callable[[np.ndarray], None], weights: np.ndarray) -> Callable[[], float]:
    """The scalar sum(weights * output), whose gradient in the output is ``weights``."""

    def loss() -> float:
        output = np.full_like(weights, np.nan)
        forward(output)
        return float((weights * output).sum())

    return loss


def slopes_affine_backward_input(random: Random) -> Pairs:
    X, W, b, dY = (random.normal(size=shape) for shape in ((4, 3), (5, 3), (5,), (4, 5)))
    dX = np.full_like(X, np.nan)
    kernels.affine_backward_input(dY, W, dX)
    yield dX, central_differences(weighted(lambda Y: kernels.affine(X, W, b, Y), dY), X)


def slopes_affine_backward_weights(random: Random) -> Pairs:
    X, W, b, dY = (random.normal(size=shape) for shape in ((4, 3), (5, 3), (5,), (4, 5)))
    dW, db = np.zeros_like(W), np.zeros_like(b)
    kernels.affine_backward_weights(dY, X, 0, 3, dW, db)
    loss = weighted(lambda Y: kernels.affine(X, W, b, Y), dY)
    yield dW, central_differences(loss, W)
    yield db, central_differences(loss, b)


def slopes_relu_backward(random: Random) -> Pairs:
    """Off the kink the derivative; on the kink those from the left and the right, and their mean, as conventions."""
    Z, dH, dZ = random.normal(size=(4, 5)), random.normal(size=(4, 5)), np.full((4, 5), np.nan)
    loss = weighted(lambda H: kernels.relu(Z, H), dH)
    kernels.relu_backward(dH, Z, 0.5, dZ)
    yield dZ, central_differences(loss, Z)
    Z[:] = 0
    left, right = one_sided_differences(loss, Z, -1), one_sided_differences(loss, Z, 1)
    for convention, expected in ((0.0, left), (0.5, central_differences(loss, Z)), (1.0, right)):
        dZ = np.full_like(Z, np.nan)
        kernels.relu_backward(dH, Z, convention, dZ)
        yield dZ, expected


def _slopes_activation(name: str, random: Random) -> Pairs:
    forward, backward = getattr(kernels, name), getattr(kernels, f"{name}_backward")
    Z, dH = random.normal(size=(2, 4, 5))
    H, dZ = np.full_like(Z, np.nan), np.full_like(Z, np.nan)
    forward(Z, H)
    backward(dH, H, dZ)
    yield dZ, central_differences(weighted(lambda output: forward(Z, output), dH), Z)


def _slopes_loss(name: str, random: Random) -> Pairs:
    forward, backward = getattr(kernels, name), getattr(kernels, f"{name}_backward")
    predicted, Y = 3 * random.normal(size=(4, 2)), random.integers(0, 2, (4, 2)).astype(float)
    gradient = np.full_like(predicted, np.nan)
    backward(predicted, Y, 1 / 4, gradient)
    loss = weighted(lambda losses: forward(predicted, Y, losses), np.full(4, 1 / 4))
    yield gradient, central_differences(loss, predicted)


def slopes_softmax_backward(random: Random) -> Pairs:
    Z, Y = 3 * random.normal(size=(4, 5)), random.integers(0, 5, (4, 1)).astype(float)
    dZ = np.full_like(Z, np.nan)
    kernels.softmax_backward(Z, Y, 1 / 4, dZ)
    yield dZ, central_differences(weighted(lambda losses: kernels.softmax(Z, Y, losses), np.full(4, 1 / 4)), Z)


def slopes_loss_of_backward(random: Random) -> Pairs:
    for loss in LOSSES:
        Z, Y = 3 * random.normal(size=(4, 2)), random.integers(0, 2, (4, 2)).astype(float)
        dZ = np.full_like(Z, np.nan)
        kernels.loss_of_backward(loss, Z, Y, 1 / 4, dZ)
        mean = weighted(lambda losses, loss=loss, Z=Z, Y=Y: kernels.loss_of(loss, Z, Y, losses), np.full(4, 1 / 4))
        yield dZ, central_differences(mean, Z)


def slopes_gather_mean_backward(random: Random) -> Pairs:
    width = LANES
    table, dE, entries = random.normal(size=(6, width)), random.normal(size=(4, width)), entries_of(DOCUMENTS, TEXTS)
    loss = weighted(lambda E: kernels.gather_mean(table, *entries, 0, width, E), dE)
    yield table_gradient(dE, entries, 6, [(0, width)]), central_differences(loss, table)


SLOPES: dict[str, Callable[[Random], Pairs]] = {
    name.removeprefix("slopes_"): case for name, case in globals().items() if name.startswith("slopes_")
} | {
    "sigmoid_backward": partial(_slopes_activation, "sigmoid"),
    "tanh_backward": partial(_slopes_activation, "tanh"),
    "half_squared_backward": partial(_slopes_loss, "half_squared"),
    "logistic_backward": partial(_slopes_loss, "logistic"),
}
