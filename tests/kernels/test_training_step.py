"""The training step: against a naive one, PyTorch's trajectories, and itself with other threads."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer, main_thread

import numpy as np
import pytest

from mlcore.kernels import losses, optimizers
from mlcore.kernels import training_step as steps
from mlcore.kernels.forward import Parameters
from mlcore.kernels.reference import FORMULAS, count_matrix
from mlcore.kernels.verification import Documents, largest_error, random_network

BATCH = 6
RATE, DROPOUT, KEY = 0.5, 0.2, 12345
FIRST_PIECE, SCALES = 3, (1.5, 0.25)
RATES = {"sgd": 0.5, "adagrad": 0.1, "adam": 0.02}  # of golden.npz, which parity/make_golden.py writes


def train(documents, start, Y, weights, optimizer, threads):
    """Losses, parameters, M and S after three steps with word dropout, from moments of 1."""
    _, parameters, M, S = optimizers.with_moments(start, optimizer)
    kept = [array for array in (*M, *S) if array is not None]
    for array in kept:
        array[:] = 1
    size = max(1, -(-len(Y) // 3))
    found, rates = np.zeros(len(Y), Y.dtype), RATE / np.arange(1, 1 - (-len(Y) // size))
    work = steps.Workspace.allocate(parameters, size, len(documents.ids), threads)
    recipe = steps.Recipe(size, losses.SOFTMAX, DROPOUT, trainable=True, first_piece=FIRST_PIECE, scales=SCALES)
    with ThreadPoolExecutor(threads) as pool:
        steps.run_together(
            pool, work.arrived, steps.train_batches, np.arange(len(Y)), 2, KEY, documents, Y, weights, recipe,
            rates, parameters, M, S, work, found,
        )  # fmt: skip
    return [found, *parameters, *kept]


def naive_bits(x):
    """Two rounds of xorshift and multiplication in 32 bits, and a last xorshift."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x45D9F3B)):
        x = (x ^ (x >> shift)) * factor % 2**32
    return x ^ (x >> 16)


def is_kept(entry):
    return naive_bits(naive_bits(entry) ^ KEY) / 2**32 >= DROPOUT


def naive_update(optimizer, P, dP, M, S, rate, number, sparse):
    """New P, M and S after a step of torch.optim's SGD, Adagrad, Adam or SparseAdam."""
    if optimizer == "sgd":
        return P - rate * dP, M, S
    if optimizer == "adagrad":
        S = S + dP**2
        return P - rate * dP / (np.sqrt(S) + 1e-10), M, S
    M, S = 0.9 * M + 0.1 * dP, 0.999 * S + 0.001 * dP**2
    root = np.sqrt(1 - 0.999**number)
    return P - rate * root / (1 - 0.9**number) * M / (np.sqrt(S) + 1e-8 * (1 if sparse else root)), M, S


def naive_step(parameters, M, S, C, Y, weights, optimizer, rate, number):
    """Losses, and new parameters, M and S, after a step on the texts with these counts of words."""
    table, W1, b1, W2, b2 = parameters
    E = FORMULAS["gather_mean"](table, C)
    Z = E @ W1.T + b1
    H = FORMULAS["relu"](Z)
    logits = H @ W2.T + b2
    dlogits = weights[:, np.newaxis] * FORMULAS["softmax_loss_backward"](logits, Y, 1 / len(C))
    dZ = FORMULAS["relu_backward"](dlogits @ W2, Z, 0.0)
    dtable = FORMULAS["gather_mean_backward"](dZ @ W1, C)
    gradients = dtable, dZ.T @ E, dZ.sum(axis=0), dlogits.T @ H, dlogits.sum(axis=0)
    scales = np.where(np.arange(len(table)) < FIRST_PIECE, *SCALES)[:, np.newaxis]
    updated = [
        naive_update(optimizer, *arrays, rate * (scales if arrays[0] is table else 1), number, arrays[0] is table)
        for arrays in zip(parameters, gradients, M, S, strict=True)
    ]
    occurs = C.any(axis=0)[:, np.newaxis]  # the other rows, and their moments, stay as they are
    updated[0] = [np.where(occurs, new, old[0]) for new, old in zip(updated[0], (parameters, M, S), strict=True)]
    return weights * FORMULAS["softmax_loss"](logits, Y), *zip(*updated, strict=True)


@pytest.mark.parametrize("size", [0, 1, 3, 70])
@pytest.mark.parametrize(
    ("optimizer", "dtype", "tolerance"),
    [
        *((optimizer, np.float32, 2e-5) for optimizer in RATES),
        pytest.param("adam", np.float64, 1e-12, marks=pytest.mark.full),  # compiles for nothing else
    ],
)
def test_three_steps_equal_naive_ones(optimizer, dtype, tolerance, size):
    random = np.random.default_rng(size)
    documents, parameters = random_network(random, dtype, size)
    Y, weights = random.integers(0, 2, (size, 1)).astype(dtype), random.uniform(0.5, 2, size).astype(dtype)
    of_texts, *found = train(documents, parameters, Y, weights, optimizer, threads=1)
    C, expected = count_matrix(documents, size + 4, is_kept), np.zeros(size)
    M, S = ([np.ones_like(array) for array in parameters] for _ in range(2))
    batch = max(1, -(-size // 3))
    for number, start in enumerate(range(0, size, batch)):
        texts = slice(start, start + batch)
        expected[texts], parameters, M, S = naive_step(
            parameters, M, S, C[texts], Y[texts], weights[texts], optimizer, RATE / (number + 1), 3 + number
        )
    kept = [*parameters, *(M if optimizer == "adam" else ()), *(S if optimizer != "sgd" else ())]
    assert size < 70 or C.sum() < documents.counts.sum(), "words are left out"
    for array, twin in zip([of_texts, *found], [expected, *kept], strict=True):
        assert array.dtype == dtype
        assert largest_error(array, twin) <= tolerance


@pytest.mark.parametrize("name", RATES)
def test_trajectory_of_pytorch(name):
    with np.load(Path(__file__).parent / "parity" / "golden.npz") as file:
        golden = dict(file)
    start = {key: golden[f"{name}.start.{key}"] for key in Parameters._fields}
    (words, dim), hidden = start["table"].shape, len(start["b1"])
    parameters = Parameters.zeros(words, dim, hidden, 1)
    for array, values in zip(parameters, start.values(), strict=True):
        array[..., : values.shape[-1]] = values
    bounds, texts = golden["offsets"], len(golden["targets"])
    counted = [np.unique(golden["tokens"][bounds[t] : bounds[t + 1]], return_counts=True) for t in range(texts)]
    ids, counts = (np.concatenate(arrays).astype(np.int32) for arrays in zip(*counted, strict=True))
    documents = Documents(ids, counts, np.concatenate([[0], np.cumsum([len(ids) for ids, _ in counted])]))
    work = steps.Workspace.allocate(parameters, BATCH, words * BATCH, threads=1)
    _, parameters, M, S = optimizers.with_moments(parameters, name)
    recipe = steps.Recipe(
        BATCH, losses.LOGISTIC, word_dropout=0.0, trainable=True, first_piece=words, scales=(1.0, 9.0)
    )
    weights, found = np.ones(texts, np.float32), np.zeros(texts, np.float32)
    assert texts >= 20 * BATCH
    for step in range(texts // BATCH):
        order = np.arange(step * BATCH, (step + 1) * BATCH)
        steps.train_batches(
            0, order, step, 0, documents, golden["targets"], weights, recipe, np.array([RATES[name]]),
            parameters, M, S, work, found,
        )  # fmt: skip
        for key, array in parameters._asdict().items():
            expected = golden[f"{name}.steps.{key}"][step]
            width = expected.shape[-1]
            message = f"{key} after step {step + 1}"
            np.testing.assert_allclose(array[..., :width], expected, rtol=1e-5, atol=1e-5, err_msg=message)
            assert not array[..., width:].any(), "the padding stays 0"
    np.testing.assert_allclose(found, golden[f"{name}.losses"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [71, 72])  # with four vectors in a row, and with one
@pytest.mark.parametrize("optimizer", RATES)
def test_the_bytes_are_the_same_for_any_number_of_threads(optimizer, size):
    random = np.random.default_rng(3)
    documents, parameters = random_network(random, np.float32, size)
    Y, weights = random.integers(0, 2, (size, 1)).astype(np.float32), random.uniform(0.5, 2, size).astype(np.float32)
    arguments = documents, parameters, Y, weights, optimizer
    one = [array.tobytes() for array in train(*arguments, threads=1)]
    for threads in (2, 3, 4, 6, 16):
        assert [array.tobytes() for array in train(*arguments, threads)] == one


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_barrier_lets_nobody_pass_before_all_have_come(threads):
    arrived, turns = np.zeros((threads + 1) * steps.CACHE_LINE, np.int64), np.zeros(threads, np.int64)

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


def test_all_end_at_their_next_barrier_when_one_fails_or_the_caller_is_interrupted():
    arrived = np.zeros(4 * steps.CACHE_LINE, np.int64)

    def work(thread, failing):
        if thread == failing:
            raise RuntimeError("failed")
        while steps.barrier(thread, arrived):
            pass

    with ThreadPoolExecutor(3) as pool:
        for failing in (0, 2):
            with pytest.raises(RuntimeError, match="failed"):
                steps.run_together(pool, arrived, work, failing)
        timer = Timer(0.2, signal.pthread_kill, [main_thread().ident, signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            steps.run_together(pool, arrived, work, None)
