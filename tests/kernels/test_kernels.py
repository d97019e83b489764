"""Every kernel against its naive twin, in float32 and float64, at sizes from none to many."""

import inspect
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from mlcore.kernels import embedding as _e
from mlcore.kernels import forward as _f
from mlcore.kernels import layers as _l
from mlcore.kernels import losses as _o
from mlcore.kernels import training_step as steps

kernels = SimpleNamespace(**{k: v for m in (_l, _o, _e, _f) for k, v in vars(m).items()})
from mlcore.kernels import reference
from mlcore.sentiment.twins import CASES, kept_moments, step_for

TOLERANCE = {np.float32: dict(rtol=2e-5, atol=2e-5), np.float64: dict(rtol=1e-12, atol=1e-12)}
SIZES = (0, 1, 3, 50)
# Kernels whose twins are put together from those of others, by the case itself.
COMPOSED = {
    "forward_texts", "forward_means", "backpropagate", "update_rows", "update_layer", "loss_of", "loss_of_backward",
}  # fmt: skip
# Kernels that verify() checks as a whole, in the types of a training.
ELSEWHERE = {"train_batches", "barrier"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_its_twin(name, dtype, size):
    for found, expected in CASES[name](np.random.default_rng(size), dtype, size):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, **TOLERANCE[dtype])


def test_every_kernel_has_a_twin_and_a_check():
    source = inspect.getsource(kernels) + inspect.getsource(steps)
    found = {line.split("(")[0].removeprefix("def ") for line in source.split("@kernel\n")[1:]}
    assert found == set(CASES) | ELSEWHERE
    assert set(CASES) - COMPOSED <= set(dir(reference))


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


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_softmax_at_huge_logits(dtype):
    Z, Y = np.array([[1000, 0, -1000], [1000, 0, -1000]], dtype), np.array([[0], [2]], dtype)
    losses, dZ = np.empty(2, dtype), np.empty_like(Z)
    kernels.softmax(Z, Y, losses)
    kernels.softmax_backward(Z, Y, 1.0, dZ)
    np.testing.assert_allclose(losses, [0, 2000])
    np.testing.assert_allclose(dZ, [[0, 0, 0], [1, 0, -1]])


def test_word_dropout_leaves_out_the_share_that_it_should():
    kept = np.mean([kernels.mix_bits(kernels.mix_bits(j) ^ 7) >= int(0.3 * 2**32) for j in range(100_000)])
    assert abs(kept - 0.7) < 0.005  # more than three standard deviations


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_relu_lets_a_diverged_value_through(value):
    Z, H, dZ = np.array([[value]]), np.zeros((1, 1)), np.zeros((1, 1))
    kernels.relu(Z, H)
    kernels.relu_backward(np.ones((1, 1)), Z, 0.0, dZ)
    np.testing.assert_equal(H, Z)
    assert dZ == 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_barrier_lets_nobody_pass_before_all_have_come(threads):
    arrived = np.zeros(threads * steps.CACHE_LINE, np.int64)
    turns = np.zeros(threads, np.int64)

    def work(thread):
        for step in range(1, 20):
            turns[thread] = step
            steps.barrier(thread, arrived)
            if not (turns == step).all():
                return f"thread {thread} saw {turns} in step {step}"
            steps.barrier(thread, arrived)
        return "in step"

    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(work, range(threads))) == ["in step"] * threads


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_a_number_has_the_same_bits_however_many_columns_stand_beside_it(optimizer):
    random = np.random.default_rng(1)
    P, M, S, dE = random.uniform(0.1, 1, size=(4, 64, 64)).astype(np.float32)
    step = step_for(optimizer, 0.01)
    index, ones = kernels.RowList.allocate(64, 64, np.float32), np.ones(64, np.int32)
    used = kernels.list_rows(random.permutation(64).astype(np.int32), ones, np.arange(64), np.arange(1, 65), index)
    of_rows, of_layers = [], []
    for cuts in ([0, 64], [0, 16, 64], [0, 48, 64], [0, 32, 64], [0, 1, 6, 13, 64]):
        table, layer, bias = ([array.copy() for array in (P, M, S)] for _ in range(3))
        dW, db = np.empty_like(P), np.empty_like(P)[0]
        for first, last in zip(cuts[:-1], cuts[1:], strict=True):
            M_W, S_W = kept_moments(optimizer, *layer[1:])
            M_b, S_b = kept_moments(optimizer, bias[1][0], bias[2][0])
            steps.update_layer(dE, dE, layer[0], bias[0][0], M_W, M_b, S_W, S_b, dW, db, first, last, step)
            if 1 not in cuts:
                steps.update_rows(dE, index, used, table[0], *kept_moments(optimizer, *table[1:]), first, last, step)
        of_layers.append(b"".join(array.tobytes() for array in layer))
        of_rows.append(b"".join(array.tobytes() for array in table))
    assert len(set(of_layers)) == 1
    assert len(set(of_rows[:-1])) == 1


def test_nobody_waits_at_a_barrier_that_is_released():
    """One thread never comes; the others wait, are set free, and pass every later barrier."""
    arrived = np.zeros(3 * steps.CACHE_LINE, np.int64)

    def work(thread):
        for _ in range(5):
            steps.barrier(thread, arrived)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, thread) for thread in range(2)]
        arrived[:] = steps.RELEASED
        for future in futures:
            future.result(timeout=60)
