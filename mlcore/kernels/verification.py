"""A check on the user's machine that the compiled kernels compute what their formulas say."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore.kernels import embedding, forward, layers, losses, optimizers, reference, training_step
from mlcore.kernels.finite_differences import central_differences, one_sided_differences
from mlcore.kernels.simd import LANES
from mlcore.results import Result

SIZES = (1, 20)
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
DIFFERENCES_TOLERANCE = 1e-6
LOSSES = {"logistic": losses.LOGISTIC, "softmax": losses.SOFTMAX, "half_squared": losses.SQUARED}
# Kernels that are checked by a training that is made of them
IN_TRAINING = {
    "take_words",
    "random_bits",
    "list_rows",
    "backpropagate",
    "update_rows",
    "update_layer",
    "forward_means",
}
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

    def compare(against: str, dtype: type, compared: Compared) -> None:
        for kernel, found, expected in compared:
            started(kernel)
            key = kernel, against, np.dtype(dtype).name
            worst[key] = float(np.max([worst.get(key, 0.0), largest_error(found, expected)]))

    for size in SIZES:
        for dtype in (np.float32, np.float64):
            compare("twin", dtype, with_twins(np.random.default_rng(size), dtype, size))
            for optimizer in optimizers.MOMENTS:
                trained, expected = (train(np.random.default_rng(size), dtype, size, optimizer, n) for n in (1, 0))
                compare("twin", dtype, (("train_batches", *pair) for pair in zip(trained, expected, strict=True)))
        compare("differences", np.float64, with_differences(np.random.default_rng(size), size))
    one, two = (train(np.random.default_rng(1), np.float32, 20, "adagrad", threads) for threads in (1, 2))
    compare("one thread", np.float32, (("barrier", *pair) for pair in zip(two, one, strict=True)))
    tolerances = {"differences": DIFFERENCES_TOLERANCE, "one thread": 0.0}
    results = []
    for (kernel, against, kind), error in worst.items():
        tolerance = tolerances.get(against, TOLERANCE[kind])
        results.append(Check(kernel, against, kind, error, tolerance, error <= tolerance))
    return Verification(all(check.ok for check in results), results)


def largest_error(found: np.ndarray, expected: np.ndarray) -> float:
    """``max |found - expected| / max(1, max |expected|)``; infinite for another shape, NaN where a value is NaN."""
    if found.shape != expected.shape:
        return np.inf
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, and counts as an error
        error = np.abs(found.astype(np.float64) - expected).max(initial=0.0)
        return float(error / np.abs(expected).max(initial=1.0))


def written(kernel: Callable, shape: tuple[int, ...], *inputs: object, dtype: type = np.float64) -> np.ndarray:
    """What a kernel writes into an array of this shape, which holds NaN before."""
    output = np.full(shape, np.nan, dtype)
    kernel(*inputs, output)
    return output


def with_twins(random: np.random.Generator, dtype: type, n: int) -> Compared:
    """Each kernel on random inputs of a size, beside its naive twin."""

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(dtype)

    X, W, b, dY, Z = normal(n, 2 * n + 1), normal(n + 2, 2 * n + 1), normal(n + 2), normal(n, n + 2), normal(n, n + 2)
    kinks, H = Z * random.integers(0, 2, Z.shape).astype(dtype), np.tanh(Z)
    Y, classes = random.integers(0, 2, Z.shape).astype(dtype), random.integers(0, n + 2, (n, 1)).astype(dtype)
    for kernel, shape, *inputs in (
        (layers.affine, Z.shape, X, W, b),
        (layers.affine, Z.shape, X, W, None),
        (layers.affine_backward_input, X.shape, dY, W),
        (layers.relu, Z.shape, kinks),
        *((layers.relu_backward, Z.shape, dY, kinks, at_zero) for at_zero in (0.0, 0.5, 1.0)),
        (layers.sigmoid, Z.shape, 5 * Z),
        (layers.sigmoid_backward, Z.shape, dY, H),
        (layers.tanh, Z.shape, Z),
        (layers.tanh_backward, Z.shape, dY, H),
    ):
        yield (
            kernel.__name__,
            written(kernel, shape, *inputs, dtype=dtype),
            reference.FORMULAS[kernel.__name__](*inputs),
        )
    dW, db = W.copy(), b.copy()
    for first, last, bias in ((0, n, db), (n, 2 * n + 1, None)):
        layers.affine_backward_weights(dY, X, first, last, dW, bias)
    yield "affine_backward_weights", dW, W + reference.FORMULAS["affine_backward_weights"](dY, X)
    yield "affine_backward_weights", db, b + dY.sum(axis=0)
    for name, number in LOSSES.items():
        for kernel, shape, *inputs in (
            (name, (n,), 5 * Z, classes if name == "softmax" else Y),
            (f"{name}_backward", Z.shape, 5 * Z, classes if name == "softmax" else Y, 0.25),
        ):
            expected = reference.FORMULAS[kernel](*inputs)
            yield kernel, written(getattr(losses, kernel), shape, *inputs, dtype=dtype), expected
            chosen = kernel.replace(name, "loss_of")
            yield chosen, written(getattr(losses, chosen), shape, number, *inputs, dtype=dtype), expected
    documents, parameters = random_documents(random, n), random_parameters(random, dtype, n)
    C, entries = reference.count_words(documents, n + 4), entries_of(documents)
    expected = reference.forward(parameters, C)
    found = [np.full(array.shape, np.nan, dtype) for array in expected]
    forward.forward_texts(*entries, parameters, *found)
    yield from (("forward_texts", *pair) for pair in zip(found, expected, strict=True))
    yield "gather_mean", found[0], expected[0]
    yield (
        "gather_mean_backward",
        table_gradient(found[0], documents),
        reference.FORMULAS["gather_mean_backward"](expected[0], C),
    )


def with_differences(random: np.random.Generator, n: int) -> Compared:
    """The gradient that each backward kernel finds, beside numerical derivatives."""
    X, W, b, dY, Z = (random.normal(size=shape) for shape in ((n, 3), (5, 3), (5,), (n, 5), (n, 5)))

    def slopes(array: np.ndarray, weights: np.ndarray, kernel: Callable, *inputs: object) -> np.ndarray:
        return central_differences(lambda: float((weights * written(kernel, weights.shape, *inputs)).sum()), array)

    yield (
        "affine_backward_input",
        written(layers.affine_backward_input, X.shape, dY, W),
        slopes(X, dY, layers.affine, X, W, b),
    )
    dW, db = np.zeros_like(W), np.zeros_like(b)
    layers.affine_backward_weights(dY, X, 0, 3, dW, db)
    yield "affine_backward_weights", dW, slopes(W, dY, layers.affine, X, W, b)
    yield "affine_backward_weights", db, slopes(b, dY, layers.affine, X, W, b)
    for activation in ("sigmoid", "tanh"):
        kernel, backward = getattr(layers, activation), getattr(layers, f"{activation}_backward")
        H = written(kernel, Z.shape, Z)
        yield f"{activation}_backward", written(backward, Z.shape, dY, H), slopes(Z, dY, kernel, Z)
    kinks = Z * random.integers(0, 2, Z.shape)
    loss = lambda: float((dY * written(layers.relu, Z.shape, kinks)).sum())  # noqa: E731
    for at_zero, expected in (
        (0.0, one_sided_differences(loss, kinks, -1)),
        (0.5, central_differences(loss, kinks)),
        (1.0, one_sided_differences(loss, kinks, 1)),
    ):
        yield "relu_backward", written(layers.relu_backward, Z.shape, dY, kinks, at_zero), expected
    for name, number in LOSSES.items():
        Y = random.integers(0, 2, (n, 1) if name == "softmax" else Z.shape).astype(float)
        expected = slopes(Z, np.full(n, 0.25), losses.loss_of, number, Z, Y)
        yield "loss_of_backward", written(losses.loss_of_backward, Z.shape, number, Z, Y, 0.25), expected
        yield f"{name}_backward", written(getattr(losses, f"{name}_backward"), Z.shape, Z, Y, 0.25), expected
    documents, dE = random_documents(random, n), random.normal(size=(n, LANES))
    table = random.normal(size=(n + 4, LANES))
    expected = slopes(table, dE, embedding.gather_mean, table, *entries_of(documents), 0, LANES)
    yield "gather_mean_backward", table_gradient(dE, documents), expected


def random_documents(random: np.random.Generator, n: int) -> Documents:
    """Texts of 0, 1, 2, ... distinct words, out of n + 4, most of them repeated."""
    lengths = [min(text % 7, n + 4) for text in range(n)]
    ids = [random.permutation(n + 4)[:length] for length in lengths]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Documents(
        np.concatenate([[], *ids]).astype(np.int32), random.integers(1, 5, offsets[-1]).astype(np.int32), offsets
    )


def random_parameters(random: np.random.Generator, dtype: type, n: int) -> forward.Parameters:
    """A network for these documents, whose rows are one to four vectors wide."""
    width = LANES * (1 + n % 4)
    shapes = (n + 4, width), (n + 2, width), (n + 2,), (2, n + 2), (2,)
    return forward.Parameters(*(random.normal(size=shape).astype(dtype) for shape in shapes))


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


def train(random: np.random.Generator, dtype: type, n: int, optimizer: str, threads: int) -> list[np.ndarray]:
    """Parameters, moments and losses after three steps with weights, weight decay and word dropout.

    By so many threads, or if there are none by the naive twin.
    """
    documents, key = random_documents(random, n), 12345
    rows, parameters, M, S = optimizers.with_moments(random_parameters(random, dtype, n), optimizer)
    for array in filter(lambda array: array is not None, (*M, *S)):
        array[:] = random.uniform(0.1, 1, array.shape)
    order, weights = random.permutation(n), random.uniform(0.5, 2, n).astype(dtype)
    Y, found = random.integers(0, 2, (n, 1)).astype(dtype), np.zeros(n, dtype)
    size = max(1, -(-n // 3))
    rates = np.array([0.1, 0.05, 0.02])[: -(-n // size)]
    if threads:
        work = training_step.Workspace.allocate(parameters, size, len(documents.ids), threads)
        recipe = training_step.Recipe(size, losses.SOFTMAX, word_dropout=0.2, weight_decay=0.5, trainable=True)
        with ThreadPoolExecutor(threads) as pool:
            training_step.run_together(
                pool, work.arrived, training_step.train_batches, order, 2, key, documents, Y, weights, recipe, rates,
                parameters, M, S, work, found,
            )  # fmt: skip
    else:
        C = reference.count_words(documents, n + 4, 0.2, key)
        kept = [moments if moments.table is not None else parameters.zeros_like() for moments in (M, S)]
        for batch, rate in enumerate(rates):
            texts = order[batch * size : (batch + 1) * size]
            parameters, *kept, found[texts] = reference.train(
                parameters, *kept, C[texts], Y[texts], weights[texts], "softmax", optimizer, rate, 0.5, 3 + batch
            )
        M, S = (moments if had.table is not None else had for moments, had in zip(kept, (M, S), strict=True))
    return [found, *(array.copy() for arrays in (parameters, M, S) for array in arrays if array is not None)]
