"""A check on the user's machine that the compiled kernels compute what their formulas say."""

from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mlcore.kernels import embedding, layers, losses
from mlcore.kernels.finite_differences import central_differences
from mlcore.kernels.forward import Parameters
from mlcore.kernels.optimizers import Step, update_rows
from mlcore.kernels.reference import FORMULAS, count_matrix
from mlcore.kernels.simd import LANES
from mlcore.results import Result

SIZE = 20
TOLERANCES = {"float32": 2e-5, "float64": 1e-12, "differences": 1e-6}
Documents = namedtuple("Documents", "ids counts offsets")  # texts in CSR form
Compared = Iterator[tuple[str, str, np.ndarray, np.ndarray]]  # kernel, against what, found, expected


@dataclass(frozen=True)
class Check(Result):
    """A kernel compared with something independent; the error is relative to the size of the values."""

    kernel: str
    against: str  # "twin" or "differences"
    dtype: str
    largest_error: float
    tolerance: float
    ok: bool  # NaN is not


@dataclass(frozen=True)
class Verification(Result):
    """All checks."""

    ok: bool
    results: list[Check]


def verify() -> Verification:
    """Compare each kernel with its naive twin in float32 and float64, and each backward with numerical derivatives."""
    checks = {}
    for dtype in ("float32", "float64"):
        for kernel, against, found, expected in with_twins(np.random.default_rng(1), np.dtype(dtype).type, SIZE):
            error, tolerance = largest_error(found, expected), TOLERANCES[dtype if against == "twin" else against]
            checks[kernel, against, dtype] = Check(kernel, against, dtype, error, tolerance, error <= tolerance)
    return Verification(all(check.ok for check in checks.values()), [*checks.values()])


def largest_error(found: np.ndarray, expected: np.ndarray) -> float:
    """``max |found - expected| / max(1, max |expected|)``; NaN where a value is NaN."""
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, and counts as an error
        error = np.abs(found.astype(np.float64) - expected).max(initial=0.0)
        return float(error / np.abs(expected).max(initial=1.0))


def with_twins(random: np.random.Generator, dtype: Any, n: int) -> Compared:
    """Each kernel on random inputs beside its naive twin; in float64 each backward beside differences of the twin."""
    shapes = (n, 2 * n + 1), (n + 2, 2 * n + 1), (n + 2,), (n, n + 2), (n, n + 2)
    X, W, b, dY, Z = (random.normal(size=shape).astype(dtype) for shape in shapes)
    kinks, Y = (Z * random.integers(0, 2, Z.shape).astype(dtype) for _ in range(2))
    labels, classes = (Y > 0).astype(dtype), random.integers(0, n + 2, (n, 1)).astype(dtype)
    shares = FORMULAS["softmax"](Y)
    documents, parameters = random_network(random, dtype, n)
    table, C, quarter = parameters.table, count_matrix(documents, n + 4), np.full(n, 0.25)
    dE = random.normal(size=(n, table.shape[1])).astype(dtype)
    kernels: dict[str, Any] = {
        "affine_backward_weights": partial(_add_weights, b),
        "gather_mean": lambda table, C, E: embedding.gather_mean(table, *entries_of(documents), 0, E.shape[1], E),
        "gather_mean_backward": partial(_scatter, documents),
    }
    for forward, inputs, weights, position, backward, backward_inputs in (
        ("affine", (X, W, b), dY, 0, "affine_backward_input", (dY, W)),
        ("affine", (X, W, b), dY, 1, "affine_backward_weights", (dY, X)),
        ("relu", (kinks,), dY, 0, "relu_backward", (dY, kinks, 0.5)),
        ("sigmoid", (Z,), dY, 0, "sigmoid_backward", (dY, FORMULAS["sigmoid"](Z))),
        ("tanh", (Z,), dY, 0, "tanh_backward", (dY, FORMULAS["tanh"](Z))),
        ("leaky_relu", (kinks, 0.25), dY, 0, "leaky_relu_backward", (dY, kinks, 0.25, 0.625)),
        ("softplus", (Z,), dY, 0, "softplus_backward", (dY, Z)),
        ("softmax", (Z,), dY, 0, "softmax_backward", (dY, FORMULAS["softmax"](Z))),
        ("half_squared", (Z, Y), quarter, 0, "half_squared_backward", (Z, Y, 0.25)),
        ("logistic", (Z, labels), quarter, 0, "logistic_backward", (Z, labels, 0.25)),
        ("softmax_loss", (Z, classes), quarter, 0, "softmax_loss_backward", (Z, classes, 0.25)),
        ("cross_entropy", (Z, shares), quarter, 0, "cross_entropy_backward", (Z, shares, 0.25)),
        ("gather_mean", (table, C), dE, 0, "gather_mean_backward", (dE, C)),
    ):
        for name, given in ((forward, inputs), (backward, backward_inputs)):
            expected = FORMULAS[name](*given)
            found = np.full(expected.shape, np.nan, dtype)
            (kernels.get(name) or getattr(layers, name, None) or getattr(losses, name))(*given, found)
            yield name, "twin", found, expected
        if dtype is np.float64:
            value = partial(_weighted_sum, forward, inputs, weights)
            yield backward, "differences", found, central_differences(value, np.asarray(inputs[position]))


def _weighted_sum(name: str, inputs: tuple[Any, ...], weights: np.ndarray) -> float:
    return float((weights * FORMULAS[name](*inputs)).sum())


def _add_weights(b: np.ndarray, dY: np.ndarray, X: np.ndarray, dW: np.ndarray) -> None:
    dW[:] = 0
    for first, last, db in ((0, len(X), b), (len(X), X.shape[1], None)):
        layers.affine_backward_weights(dY, X, first, last, dW, db)


def _scatter(documents: Any, dE: np.ndarray, C: np.ndarray, dtable: np.ndarray) -> None:
    dtable[:] = 0
    index = embedding.RowList.allocate(len(dtable), len(documents.ids), dE.dtype.type)
    rows, step = embedding.list_rows(*entries_of(documents), index), Step(-1.0, 0.0, 0.0)  # SGD, which adds gradients
    for first, last in ((0, LANES), (LANES, dE.shape[1])):
        update_rows(dE, index, 0, rows, first, last, step, 0, (1.0, 1.0), dtable, None, None)


def random_network(random: np.random.Generator, dtype: Any, n: int) -> tuple[Any, Parameters]:
    """Texts of 0, 1, 2, ... distinct words out of n + 4, most of them repeated, and a network for them."""
    lengths, width = [min(text % 7, n + 4) for text in range(n)], LANES * (1 + n % 4)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.concatenate([np.zeros(0), *(random.permutation(n + 4)[:length] for length in lengths)])
    counts = random.integers(1, 5, len(ids))
    shapes = (n + 4, width), (n + 2, width), (n + 2,), (2, n + 2), (2,)
    parameters = Parameters(*(random.normal(size=shape).astype(dtype) for shape in shapes))
    return Documents(ids.astype(np.int32), counts.astype(np.int32), offsets), parameters


def entries_of(documents: Any) -> tuple[np.ndarray, ...]:
    """ids, counts, starts and ends of all texts."""
    return documents.ids, documents.counts, documents.offsets[:-1], documents.offsets[1:]
