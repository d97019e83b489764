"""Every kernel against its naive twin, and every backward against numerical derivatives."""

import ast
from pathlib import Path

import numpy as np
import pytest

import mlcore.kernels
from mlcore.kernels import embedding, layers, losses, verification
from mlcore.kernels.finite_differences import central_differences
from mlcore.kernels.verification import largest_error, verify, with_differences, with_twins

TOLERANCES = {np.float32: 2e-5, np.float64: 1e-12}
SIZES = (0, 1, 3, 50)
# Kernels that others are reached through, and those that test_training_step.py tests
COMPOSED = {"loss_of", "loss_of_backward"}
IN_TRAINING = {
    "barrier", "backpropagate", "list_rows", "random_bits", "take_words", "train_batches", "update_layer", "update_rows",
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_kernels_equal_their_twins(dtype, size):
    for name, found, expected in with_twins(np.random.default_rng(size), dtype, size):
        assert found.dtype == dtype, name
        assert largest_error(found, expected) <= TOLERANCES[dtype], name


@pytest.mark.parametrize("size", [0, 1, 7])
def test_backwards_equal_differences(size):
    for name, found, expected in with_differences(np.random.default_rng(size), np.float64, size):
        assert largest_error(found, expected) <= 1e-6, name


def kernels_in(source):
    """Names of the functions that are compiled as kernels."""
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    return {function.name for function in functions if "kernel" in map(ast.unparse, function.decorator_list)}


def test_every_kernel_is_in_the_table():
    found = set().union(*(kernels_in(path.read_text()) for path in Path(mlcore.kernels.__file__).parent.glob("*.py")))
    random = np.random.default_rng(1)
    twins, differences = (
        {name for name, *_ in table(random, np.float64, 1)} for table in (with_twins, with_differences)
    )
    assert found == twins | COMPOSED | IN_TRAINING
    assert differences == {name for name in found if "_backward" in name} - COMPOSED
    assert kernels_in("@kernel\ndef f(): ...\n@inline_kernel\ndef g(): ...\ndef h(): ...") == {"f"}


@pytest.mark.parametrize(
    ("module", "name", "table", "failing"),
    [
        (layers, "relu", with_twins, "relu"),
        (layers, "relu", with_differences, "relu_backward"),
        (layers, "relu_backward", with_differences, "relu_backward"),
        (losses, "loss_of", with_twins, "logistic"),
        (losses, "loss_of_backward", with_differences, "half_squared_backward"),
        (embedding, "list_rows", with_twins, "gather_mean_backward"),
        (embedding, "list_rows", with_differences, "gather_mean_backward"),
    ],
)
def test_the_tables_find_wrong_kernels(module, name, table, failing, monkeypatch):
    """A leaky ReLU, a fixed convention, scaled losses, and the classic: repeated words that count once."""
    right = getattr(module, name)
    wrong = {
        "relu": lambda Z, H: np.copyto(H, np.where(Z > 0, Z, 0.01 * Z)),
        "relu_backward": lambda dH, Z, at_zero, dZ: right(dH, Z, 0.0, dZ),
        "list_rows": lambda ids, counts, *rest: right(ids, np.ones_like(counts), *rest),
    }.get(name, lambda number, Z, *rest: right(number, 2 * Z, *rest))
    wrong.__name__ = name
    monkeypatch.setattr(module, name, wrong)
    errors = {}
    for kernel, found, expected in table(np.random.default_rng(7), np.float64, 7):
        errors[kernel] = max(errors.get(kernel, 0), np.abs(found - expected).max())
    assert errors[failing] > 1e-3
    assert errors["affine_backward_input"] < 1e-8


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_losses_at_huge_logits(dtype):
    Z, Y = np.array([[1000, -1000, 1000, -1000, 0]], dtype).T, np.array([[1, 0, 0, 1, 1]], dtype).T
    found, dZ = np.empty(5, dtype), np.empty_like(Z)
    losses.logistic(Z, Y, found)
    losses.logistic_backward(Z, Y, 1.0, dZ)
    np.testing.assert_allclose(found, [0, 0, 1000, 1000, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(dZ[:, 0], [0, 0, 1, -1, -0.5])
    Z, Y = np.array([[1000, 0, -1000], [1000, 0, -1000]], dtype), np.array([[0], [2]], dtype)
    found, dZ = np.empty(2, dtype), np.empty_like(Z)
    losses.softmax(Z, Y, found)
    losses.softmax_backward(Z, Y, 1.0, dZ)
    np.testing.assert_allclose(found, [0, 2000])
    np.testing.assert_allclose(dZ, [[0, 0, 0], [1, 0, -1]])


def test_logistic_loss_keeps_the_digits_of_confident_logits():
    found = np.empty(1)
    losses.logistic(np.array([[40.0]]), np.array([[1.0]]), found)
    np.testing.assert_allclose(found, np.exp(-40.0), rtol=1e-12)  # log(1 + exp(-40)) computed naively is 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_relu_lets_a_diverged_value_through(value):
    Z, H, dZ = np.array([[value]]), np.zeros((1, 1)), np.zeros((1, 1))
    layers.relu(Z, H)
    layers.relu_backward(np.ones((1, 1)), Z, 0.0, dZ)
    np.testing.assert_equal(H, Z)
    assert dZ == 1


def test_word_dropout_leaves_out_the_share_that_it_should():
    bits = embedding.random_bits
    kept = np.mean([bits(bits(j) ^ 7) >= int(0.3 * 2**32) for j in range(100_000)])
    assert abs(kept - 0.7) < 0.005  # more than three standard deviations


def test_central_differences_restore_the_array():
    array = np.random.default_rng(7).normal(size=(2, 3))
    before = array.copy()
    central_differences(lambda: float((array**2).sum()), array)
    np.testing.assert_array_equal(array, before)


def test_verify(monkeypatch):
    started = []
    found = verify(started.append)
    assert found.ok
    assert {check.kernel for check in found.results} == set(started)
    for wrong in (lambda H: H * np.nan, lambda H: H + 1e-4):
        monkeypatch.setattr(layers, "tanh", wrapped(layers.tanh, wrong))
        monkeypatch.setattr(verification, "SIZES", (3,))
        found = verify()
        assert not found.ok
        assert {check.kernel for check in found.results if not check.ok} == {"tanh", "tanh_backward"}
        monkeypatch.undo()


def wrapped(kernel, change):
    def tanh(Z, H):
        kernel(Z, H)
        H[:] = change(H)

    return tanh


def test_training_by_two_threads_is_verified(monkeypatch):
    def wrong(documents, parameters, Y, weights, optimizer, threads):
        return [parameters.b1 + threads]

    monkeypatch.setattr(verification, "train", wrong)
    assert [check.kernel for check in verify().results if not check.ok] == ["train_batches"]


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [([4.0], [5.0], 0.2), ([0.1], [0.0], 0.1), ([], [], 0), ([1.0], [1.0, 1.0], np.inf), ([np.inf], [np.inf], np.nan)],
)
def test_largest_error(found, expected, error):
    np.testing.assert_equal(largest_error(np.array(found), np.array(expected)), error)
