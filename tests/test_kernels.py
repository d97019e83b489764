"""Every kernel against its naive twin, in float32 and float64, at sizes from none to many."""

import inspect
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlcore import kernels, reference

TOLERANCE = {np.float32: dict(rtol=2e-5, atol=2e-5), np.float64: dict(rtol=1e-12, atol=1e-12)}
SIZES = (0, 1, 3, 50)
# Kernels that are tested as a whole elsewhere: the step in test_training.py and test_parity.py, the barrier below.
COMPOSED = {"forward_texts", "train_batches", "update", "update_dense", "as_row", "barrier"}


def documents(random, texts, words):
    """Texts of 0, 1, 2, ... distinct words, most of them repeated."""
    lengths = np.array([min(t % 7, words) for t in range(texts)])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.concatenate([np.zeros(0, int), *(random.permutation(words)[:n] for n in lengths)]).astype(np.int32)
    return ids, random.integers(1, 5, len(ids)).astype(np.int32), offsets


def check_affine(random, dtype, n):
    for bias in (None, random.normal(size=n + 2).astype(dtype)):
        X, W = random.normal(size=(n, 2 * n + 1)).astype(dtype), random.normal(size=(n + 2, 2 * n + 1)).astype(dtype)
        Y = np.full((n, n + 2), np.nan, dtype)
        kernels.affine(X, W, bias, Y)
        yield Y, reference.affine(X, W, bias)


def check_affine_backward_input(random, dtype, n):
    dY, W = random.normal(size=(n, n + 2)).astype(dtype), random.normal(size=(n + 2, 2 * n + 1)).astype(dtype)
    dX = np.full((n, 2 * n + 1), np.nan, dtype)
    kernels.affine_backward_input(dY, W, dX)
    yield dX, reference.affine_backward_input(dY, W)


def check_affine_backward_weights(random, dtype, n):
    dY, X = random.normal(size=(n, n + 2)).astype(dtype), random.normal(size=(n, 2 * n + 1)).astype(dtype)
    before_W, before_b = random.normal(size=(n + 2, 2 * n + 1)).astype(dtype), random.normal(size=n + 2).astype(dtype)
    dW, db = before_W.copy(), before_b.copy()
    kernels.affine_backward_weights(dY, X, dW, db)
    expected_W, expected_b = reference.affine_backward_weights(dY, X)
    yield dW, before_W + expected_W  # added to, as the docstring says
    yield db, before_b + expected_b
    dW[:] = 0
    kernels.affine_backward_weights(dY, X, dW, None)
    yield dW, expected_W


def with_zeros(random, dtype, shape):
    return (random.normal(size=shape) * random.integers(0, 2, shape)).astype(dtype)


def check_relu(random, dtype, n):
    Z, H = with_zeros(random, dtype, (n, n + 2)), np.full((n, n + 2), np.nan, dtype)
    kernels.relu(Z, H)
    yield H, reference.relu(Z)


def check_relu_backward(random, dtype, n):
    dH, Z = random.normal(size=(n, n + 2)).astype(dtype), with_zeros(random, dtype, (n, n + 2))
    for at_zero in (0.0, 0.5, 1.0):
        dZ = np.full_like(Z, np.nan)
        kernels.relu_backward(dH, Z, at_zero, dZ)
        yield dZ, reference.relu_backward(dH, Z, at_zero)


def check_half_squared(random, dtype, n):
    Y_hat, Y = random.normal(size=(2, n, 3)).astype(dtype)
    losses = np.full(n, np.nan, dtype)
    kernels.half_squared(Y_hat, Y, losses)
    yield losses, reference.half_squared(Y_hat, Y)


def check_half_squared_backward(random, dtype, n):
    Y_hat, Y = random.normal(size=(2, n, 3)).astype(dtype)
    dY_hat = np.full_like(Y, np.nan)
    kernels.half_squared_backward(Y_hat, Y, 0.25, dY_hat)
    yield dY_hat, reference.half_squared_backward(Y_hat, Y, 0.25)


def check_logistic(random, dtype, n):
    Z, Y = (10 * random.normal(size=(n, 3))).astype(dtype), random.integers(0, 2, (n, 3)).astype(dtype)
    losses = np.full(n, np.nan, dtype)
    kernels.logistic(Z, Y, losses)
    yield losses, reference.logistic(Z, Y)


def check_logistic_backward(random, dtype, n):
    Z, Y = (10 * random.normal(size=(n, 3))).astype(dtype), random.integers(0, 2, (n, 3)).astype(dtype)
    dZ = np.full_like(Z, np.nan)
    kernels.logistic_backward(Z, Y, 0.25, dZ)
    yield dZ, reference.logistic_backward(Z, Y, 0.25)


def check_gather_mean(random, dtype, n):
    ids, counts, offsets = documents(random, n, n + 4)
    table, texts = random.normal(size=(n + 4, n + 1)).astype(dtype), random.permutation(n)
    E = np.full((n, n + 1), np.nan, dtype)
    kernels.gather_mean(table, ids, counts, offsets, texts, E)
    yield E, reference.gather_mean(table, ids, counts, offsets, texts)


def check_gather_mean_backward(random, dtype, n):
    words = n + 4
    ids, counts, offsets = documents(random, n, words)
    dE, texts = random.normal(size=(n, n + 1)).astype(dtype), random.permutation(n)
    expected = reference.gather_mean_backward(dE, ids, counts, offsets, texts, words)
    for owners in (1, 3):
        slot_of = np.full((owners, -(-words // owners)), -1, np.int32)
        dtable, seen = np.zeros((words, n + 1), dtype), []
        for owner in range(owners):
            rows, dRows = np.empty(words, np.int32), np.full((words, n + 1), np.nan, dtype)
            used = kernels.gather_mean_backward(
                dE, ids, counts, offsets, texts, owner, owners, slot_of[owner], rows, dRows
            )
            assert (rows[:used] % owners == owner).all()
            dtable[rows[:used]] = dRows[:used]
            seen.extend(rows[:used])
        assert sorted(seen) == sorted(set(ids)), "exactly the rows that occur, each once"
        assert (slot_of == -1).all(), "the scratch memory is as it was"
        yield dtable, expected


def optimiser_case(random, dtype, n):
    """Parameters of 2n rows, of which n distinct ones in any order have gradients."""
    P, M, S = random.normal(size=(3, 2 * n, n + 1)).astype(dtype)
    rows = random.permutation(2 * n)[:n]
    dRows = random.normal(size=(n, n + 1)).astype(dtype)
    return P, M, np.abs(S), rows, dRows


def check_sgd(random, dtype, n):
    P, _, _, rows, dRows = optimiser_case(random, dtype, n)
    expected = P.copy()
    expected[rows] = reference.sgd(P[rows], dRows, 0.1)
    kernels.sgd(P, rows, dRows, 0.1)
    yield P, expected


def check_adagrad(random, dtype, n):
    P, _, S, rows, dRows = optimiser_case(random, dtype, n)
    expected_P, expected_S = P.copy(), S.copy()
    expected_P[rows], expected_S[rows] = reference.adagrad(P[rows], dRows, S[rows], 0.1)
    kernels.adagrad(P, rows, dRows, S, 0.1)
    yield P, expected_P
    yield S, expected_S


def check_adam(random, dtype, n):
    P, M, S, rows, dRows = optimiser_case(random, dtype, n)
    expected_P, expected_M, expected_S = P.copy(), M.copy(), S.copy()
    expected_P[rows], expected_M[rows], expected_S[rows] = reference.adam(P[rows], dRows, M[rows], S[rows], 0.1, 3, 1e-8)
    kernels.adam(P, rows, dRows, M, S, 0.1, 3, 1e-8)
    yield P, expected_P
    yield M, expected_M
    yield S, expected_S


CHECKS = {name.removeprefix("check_"): function for name, function in globals().items() if name.startswith("check_")}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CHECKS)
def test_kernel_equals_its_twin(name, dtype, size):
    for found, expected in CHECKS[name](np.random.default_rng(size), dtype, size):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, **TOLERANCE[dtype])


def test_every_kernel_has_a_twin_and_a_check():
    source = inspect.getsource(kernels)
    found = {line.split("(")[0].removeprefix("def ") for line in source.split("@kernel\n")[1:]}
    assert found == set(CHECKS) | COMPOSED
    assert set(CHECKS) <= set(dir(reference))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_logistic_loss_at_huge_logits(dtype):
    Z, Y = np.array([[1000, -1000, 1000, -1000, 0]], dtype).T, np.array([[1, 0, 0, 1, 1]], dtype).T
    losses, dZ = np.empty(5, dtype), np.empty_like(Z)
    kernels.logistic(Z, Y, losses)
    kernels.logistic_backward(Z, Y, 1.0, dZ)
    np.testing.assert_allclose(losses, [0, 0, 1000, 1000, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(dZ[:, 0], [0, 0, 1, -1, -0.5])


def test_logistic_loss_keeps_the_digits_of_confident_logits():
    losses = np.empty(1)
    kernels.logistic(np.array([[40.0]]), np.array([[1.0]]), losses)
    np.testing.assert_allclose(losses, np.exp(-40.0), rtol=1e-12)  # log(1 + exp(-40)) computed naively is 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_relu_lets_a_diverged_value_through(value):
    Z, H, dZ = np.array([[value]]), np.zeros((1, 1)), np.zeros((1, 1))
    kernels.relu(Z, H)
    kernels.relu_backward(np.ones((1, 1)), Z, 0.0, dZ)
    np.testing.assert_equal(H, Z)
    assert dZ == 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_barrier_lets_nobody_pass_before_all_have_come(threads):
    arrived = np.zeros(threads * kernels.CACHE_LINE, np.int64)
    steps = np.zeros(threads, np.int64)

    def work(thread):
        for step in range(1, 20):
            steps[thread] = step
            kernels.barrier(thread, arrived)
            if not (steps == step).all():
                return f"thread {thread} saw {steps} in step {step}"
            kernels.barrier(thread, arrived)
        return "in step"

    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(work, range(threads))) == ["in step"] * threads
