"""A check on the user's machine that the compiled kernels compute what their formulas say."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore.kernels import embedding, forward, layers, losses, optimizers, training_step
from mlcore.kernels.finite_differences import central_differences, one_sided_differences
from mlcore.kernels.reference import FORMULAS, count_words
from mlcore.kernels.simd import LANES
from mlcore.results import Result

SIZES = 1, 20
TOLERANCES = {"float32": 2e-5, "float64": 1e-12, "differences": 1e-6, "one thread": 0.0}
LOSSES = {"logistic": losses.LOGISTIC, "softmax": losses.SOFTMAX, "half_squared": losses.SQUARED}
RATE, DROPOUT, KEY = 0.5, 0.2, 12345
Compared = Iterator[tuple[str, np.ndarray, np.ndarray]]  # name of the kernel, found, expected


class Documents(NamedTuple):
    """Texts in CSR form, as the kernels take them."""

    ids: np.ndarray
    counts: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True)
class Check(Result):
    """A kernel compared with something independent; the error is relative to the size of the values."""

    kernel: str
    against: str  # "twin", "differences" or "one thread"
    dtype: str
    largest_error: float
    tolerance: float
    ok: bool  # NaN is not


@dataclass(frozen=True)
class Verification(Result):
    """All checks."""

    ok: bool
    results: list[Check]


def verify(started: Callable[[str], None] = lambda kernel: None) -> Verification:
    """Compare each kernel with its naive twin in float32 and float64, and each backward with numerical derivatives.

    ``started`` is called with the name of each kernel. The first run compiles.
    """
    worst: dict[tuple[str, str, str], float] = {}
    for against, dtype, table in (
        ("twin", "float32", with_twins),
        ("twin", "float64", with_twins),
        ("differences", "float64", with_differences),
        ("one thread", "float32", with_one_thread),
    ):
        for size in SIZES:
            for kernel, found, expected in table(np.random.default_rng(size), np.dtype(dtype).type, size):
                started(kernel)
                errors = worst.get((kernel, against, dtype), 0.0), largest_error(found, expected)
                worst[kernel, against, dtype] = float(np.max(errors))
    checks = []
    for (kernel, against, dtype), error in worst.items():
        tolerance = TOLERANCES[dtype if against == "twin" else against]
        checks.append(Check(kernel, against, dtype, error, tolerance, error <= tolerance))
    return Verification(all(check.ok for check in checks), checks)


def largest_error(found: np.ndarray, expected: np.ndarray) -> float:
    """``max |found - expected| / max(1, max |expected|)``; infinite for another shape, NaN where a value is NaN."""
    if found.shape != expected.shape:
        return np.inf
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, and counts as an error
        error = np.abs(found.astype(np.float64) - expected).max(initial=0.0)
        return float(error / np.abs(expected).max(initial=1.0))


def written(kernel: Callable[..., object], like: np.ndarray, *inputs: object) -> np.ndarray:
    """What a kernel writes into an array like this one, which holds NaN before."""
    output = np.full_like(like, np.nan)
    kernel(*inputs, output)
    return output


def with_twins(random: np.random.Generator, dtype: type, n: int) -> Compared:
    """Each kernel on random inputs of a size, beside its naive twin."""
    X, W, b, dY, Z = _layer(random, dtype, n, 2 * n + 1)
    kinks, H, probabilities = Z * random.integers(0, 2, Z.shape).astype(dtype), np.tanh(Z), np.exp(-np.abs(Z))
    for kernel, like, *inputs in (
        (layers.affine, Z, X, W, b),
        (layers.affine, Z, X, W, None),
        (layers.affine_backward_input, X, dY, W),
        (layers.relu, Z, kinks),
        (layers.relu_backward, Z, dY, kinks, 0.0),
        (layers.relu_backward, Z, dY, kinks, 0.5),
        (layers.sigmoid, Z, 5 * Z),
        (layers.sigmoid_backward, Z, dY, probabilities),
        (layers.tanh, Z, Z),
        (layers.tanh_backward, Z, dY, H),
    ):
        yield kernel.__name__, written(kernel, like, *inputs), FORMULAS[kernel.__name__](*inputs)
    dW, db = W.copy(), b.copy()
    for first, last, bias in ((0, n, db), (n, 2 * n + 1, None)):
        layers.affine_backward_weights(dY, X, first, last, dW, bias)
    yield "affine_backward_weights", dW, W + FORMULAS["affine_backward_weights"](dY, X)
    yield "affine_backward_weights", db, b + dY.sum(axis=0)
    for name, number in LOSSES.items():
        Y: np.ndarray = random.integers(0, 2, (n, 1) if name == "softmax" else Z.shape).astype(dtype)
        yield name, written(losses.loss_of, Z[:, 0], number, 5 * Z, Y), FORMULAS[name](5 * Z, Y)
        found = written(losses.loss_of_backward, Z, number, 5 * Z, Y, 0.25)
        yield f"{name}_backward", found, FORMULAS[f"{name}_backward"](5 * Z, Y, 0.25)
    documents, parameters = random_network(random, dtype, n)
    C = count_words(documents, n + 4)
    E = FORMULAS["gather_mean"](parameters.table, C)
    Z = FORMULAS["affine"](E, parameters.W1, parameters.b1)
    H = np.maximum(Z, 0)
    expected = E, Z, H, FORMULAS["affine"](H, parameters.W2, parameters.b2)
    outputs = [np.full(array.shape, np.nan, dtype) for array in expected]
    forward.forward_texts(*entries_of(documents), parameters, *outputs)
    names = "gather_mean", "forward_means", "forward_means", "forward_texts"
    yield from zip(names, outputs, expected, strict=True)
    yield "gather_mean_backward", table_gradient(outputs[0], documents), FORMULAS["gather_mean_backward"](E, C)


def with_differences(random: np.random.Generator, dtype: type, n: int) -> Compared:
    """The gradient that each backward kernel finds, beside numerical derivatives."""
    X, W, b, dY, Z = _layer(random, dtype, n, 3)

    def slopes(array: np.ndarray, weights: np.ndarray, kernel: Callable[..., object], *inputs: object) -> np.ndarray:
        return central_differences(lambda: float((weights * written(kernel, weights, *inputs)).sum()), array)

    dW, db = np.zeros_like(W), np.zeros_like(b)
    layers.affine_backward_weights(dY, X, 0, 3, dW, db)
    for array, found in ((W, dW), (b, db), (X, written(layers.affine_backward_input, X, dY, W))):
        name = "affine_backward_input" if array is X else "affine_backward_weights"
        yield name, found, slopes(array, dY, layers.affine, X, W, b)
    for name in ("sigmoid", "tanh"):
        H = written(getattr(layers, name), Z, Z)
        found = written(getattr(layers, f"{name}_backward"), Z, dY, H)
        yield f"{name}_backward", found, slopes(Z, dY, getattr(layers, name), Z)
    kinks = Z * random.integers(0, 2, Z.shape)
    for at_zero, side in ((0.0, -1), (0.5, 0), (1.0, 1)):

        def loss() -> float:
            return float((dY * written(layers.relu, Z, kinks)).sum())

        expected = one_sided_differences(loss, kinks, side) if side else central_differences(loss, kinks)
        yield "relu_backward", written(layers.relu_backward, Z, dY, kinks, at_zero), expected
    for name, number in LOSSES.items():
        Y: np.ndarray = random.integers(0, 2, (n, 1) if name == "softmax" else Z.shape).astype(dtype)
        found = written(losses.loss_of_backward, Z, number, Z, Y, 0.25)
        yield f"{name}_backward", found, slopes(Z, np.full(n, 0.25), losses.loss_of, number, Z, Y)
    documents, parameters = random_network(random, dtype, n)
    table, dE = parameters.table, random.normal(size=(n, parameters.table.shape[1]))
    expected = slopes(table, dE, embedding.gather_mean, table, *entries_of(documents), 0, table.shape[1])
    yield "gather_mean_backward", table_gradient(dE, documents), expected


def with_one_thread(random: np.random.Generator, dtype: type, n: int) -> Compared:
    """Parameters after three steps by two threads, beside those by one."""
    documents, parameters = random_network(random, dtype, n)
    Y: np.ndarray = random.integers(0, 2, (n, 1)).astype(dtype)
    weights: np.ndarray = random.uniform(0.5, 2, n).astype(dtype)
    one, two = (train(documents, parameters, Y, weights, "adagrad", threads) for threads in (1, 2))
    yield from (("train_batches", *pair) for pair in zip(two, one, strict=True))


def train(
    documents: Documents, start: forward.Parameters, Y: np.ndarray, weights: np.ndarray, optimizer: str, threads: int
) -> list[np.ndarray]:
    """Losses, parameters, M and S after three steps with word dropout and weight decay, from moments of 1."""
    _, parameters, M, S = optimizers.with_moments(start, optimizer)
    kept = [array for array in (*M, *S) if array is not None]
    for array in kept:
        array[:] = 1
    size = max(1, -(-len(Y) // 3))
    found, rates = np.zeros(len(Y), Y.dtype), RATE / np.arange(1, 1 - (-len(Y) // size))
    work = training_step.Workspace.allocate(parameters, size, len(documents.ids), threads)
    recipe = training_step.Recipe(size, losses.SOFTMAX, word_dropout=DROPOUT, weight_decay=0.1, trainable=True)
    with ThreadPoolExecutor(threads) as pool:
        training_step.run_together(
            pool, work.arrived, training_step.train_batches, np.arange(len(Y)), 2, KEY, documents, Y, weights, recipe,
            rates, parameters, M, S, work, found,
        )  # fmt: skip
    return [found, *parameters, *kept]


def _layer(random: np.random.Generator, dtype: type, n: int, inputs: int) -> list[np.ndarray]:
    """X, W, b, dY and Z of a layer."""
    shapes = (n, inputs), (n + 2, inputs), (n + 2,), (n, n + 2), (n, n + 2)
    return [random.normal(size=shape).astype(dtype) for shape in shapes]


def random_network(random: np.random.Generator, dtype: type, n: int) -> tuple[Documents, forward.Parameters]:
    """Texts of 0, 1, 2, ... distinct words out of n + 4, most of them repeated, and a network for them."""
    lengths, width = [min(text % 7, n + 4) for text in range(n)], LANES * (1 + n % 4)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.concatenate([np.zeros(0), *(random.permutation(n + 4)[:length] for length in lengths)])
    counts = random.integers(1, 5, len(ids))
    shapes = (n + 4, width), (n + 2, width), (n + 2,), (2, n + 2), (2,)
    parameters = forward.Parameters(*(random.normal(size=shape).astype(dtype) for shape in shapes))
    return Documents(ids.astype(np.int32), counts.astype(np.int32), offsets), parameters


def entries_of(documents: Documents) -> tuple[np.ndarray, ...]:
    """ids, counts, starts and ends of all texts."""
    return documents.ids, documents.counts, documents.offsets[:-1], documents.offsets[1:]


def table_gradient(dE: np.ndarray, documents: Documents) -> np.ndarray:
    """Gradient of ``gather_mean`` for the whole table, in two parts."""
    table = np.zeros((len(dE) + 4, dE.shape[1]), dE.dtype)
    index = embedding.RowList.allocate(len(table), len(documents.ids), dE.dtype.type)
    used = embedding.list_rows(*entries_of(documents), index)
    rows = np.full((used, dE.shape[1]), np.nan, dE.dtype)
    for first, last in ((0, LANES), (LANES, dE.shape[1])):
        embedding.gather_mean_backward(dE, index, used, first, last, rows)
    table[index.rows[:used]] = rows
    return table
