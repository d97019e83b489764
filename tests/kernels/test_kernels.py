"""Every kernel against its naive twin, and every backward against numerical derivatives."""

import ast
from pathlib import Path

import numpy as np
import pytest

import mlcore.kernels
from mlcore.exercise.functions import ACTIVATIONS
from mlcore.kernels import embedding, forward, layers, losses
from mlcore.kernels.reference import FORMULAS, count_matrix
from mlcore.kernels.verification import TOLERANCES, entries_of, largest_error, random_network, verify, with_twins

SIZES = (0, 1, 3, 70)  # with more rows than a tile has
# Kernels that others are reached through, those that are tested below, and those that test_training_step.py tests
COMPOSED = {"loss_of", "loss_of_backward"}
NETWORK = {"forward_means", "forward_texts"}
IN_TRAINING = {
    "barrier", "backpropagate", "list_rows", "random_bits", "take_words", "train_batches", "update_layer",
    "update_rows",
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_equal_their_twins_and_backwards_differences(dtype, size):
    size = min(size, 20) if dtype is np.float64 else size
    for name, against, found, expected in with_twins(np.random.default_rng(size), dtype, size):
        assert found.dtype == dtype, name
        error = largest_error(found, expected)
        assert error <= TOLERANCES[np.dtype(dtype).name if against == "twin" else against], (name, against)


@pytest.mark.parametrize("size", SIZES)
def test_the_network(size):
    documents, parameters = random_network(np.random.default_rng(size), np.float64, size)
    E = FORMULAS["gather_mean"](parameters.table, count_matrix(documents, size + 4))
    Z = FORMULAS["affine"](E, parameters.W1, parameters.b1)
    H = np.maximum(Z, 0)
    expected = E, Z, H, FORMULAS["affine"](H, parameters.W2, parameters.b2)
    outputs = [np.full_like(array, np.nan) for array in expected]
    forward.forward_texts(*entries_of(documents), parameters, *outputs)
    assert all(largest_error(*pair) <= 1e-12 for pair in zip(outputs, expected, strict=True))


def test_an_affine_layer_without_bias_and_the_gradient_of_a_bias_which_is_added():
    X, W, dY = np.random.default_rng(1).normal(size=(3, 4, 4))
    Y, dW, db = np.empty((4, 4)), np.zeros((4, 4)), np.ones(4)
    layers.affine(X, W, None, Y)
    layers.affine_backward_weights(dY, X, 0, 4, dW, db)
    np.testing.assert_allclose(Y, X @ W.T)
    np.testing.assert_allclose(db, 1 + dY.sum(axis=0))


def kernels_in(source):
    """Names of the functions that are compiled as kernels."""
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    return {function.name for function in functions if "kernel" in map(ast.unparse, function.decorator_list)}


def test_every_kernel_is_in_the_table():
    found = set().union(*(kernels_in(path.read_text()) for path in Path(mlcore.kernels.__file__).parent.glob("*.py")))
    compared = [(name, against) for name, against, *_ in with_twins(np.random.default_rng(1), np.float64, 1)]
    twins, differences = ({name for name, other in compared if other == against} for against in ("twin", "differences"))
    found.add("gather_mean_backward")  # a part of ``update_rows``, by which it is tried
    assert found == twins | COMPOSED | NETWORK | IN_TRAINING
    assert differences == {name for name in found if "_backward" in name} - COMPOSED
    assert kernels_in("@kernel\ndef f(): ...\n@inline_kernel\ndef g(): ...\ndef h(): ...") == {"f"}


@pytest.mark.parametrize(
    ("module", "name", "failing"),
    [
        (layers, "relu", {("relu", "twin")}),
        (layers, "relu_backward", {("relu_backward", "twin"), ("relu_backward", "differences")}),
        (embedding, "list_rows", {("gather_mean_backward", "twin"), ("gather_mean_backward", "differences")}),
    ],
)
def test_wrong_kernels_are_found(module, name, failing, monkeypatch):
    """A leaky ReLU, a fixed convention, and the classic: repeated words that count once."""
    right = getattr(module, name)
    wrong = {
        "relu": lambda Z, H: np.copyto(H, np.where(Z > 0, Z, 0.01 * Z)),
        "relu_backward": lambda dH, Z, at_zero, dZ: right(dH, Z, 0.0, dZ),
        "list_rows": lambda ids, counts, *rest: right(ids, np.ones_like(counts), *rest),
    }
    monkeypatch.setattr(module, name, wrong[name])
    compared = with_twins(np.random.default_rng(7), np.float64, 7)
    assert {(name, against) for name, against, *arrays in compared if largest_error(*arrays) > 1e-6} == failing


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "Z", "Y", "expected", "gradient"),
    [
        ("logistic", [[1000, -1000]], [[1, 0]], 0, [[0, 0]]),
        ("logistic", [[1000, -1000]], [[0, 1]], 2000, [[1, -1]]),
        ("logistic", [[0]], [[1]], np.log(2), [[-0.5]]),
        ("logistic", [[40]], [[1]], np.exp(-40), [[-np.exp(-40)]]),  # log(1 + exp(-40)) computed naively is 0
        ("softmax_loss", [[1000, 0, -1000]], [[0]], 0, [[0, 0, 0]]),
        ("softmax_loss", [[1000, 0, -1000]], [[2]], 2000, [[1, 0, -1]]),
    ],
)
def test_losses_at_huge_logits(dtype, name, Z, Y, expected, gradient):
    Z, Y, found = np.array(Z, dtype), np.array(Y, dtype), np.empty(1, dtype)
    dZ = np.empty_like(Z)
    getattr(losses, name)(Z, Y, found)
    getattr(losses, f"{name}_backward")(Z, Y, 1.0, dZ)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(dZ, gradient, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name, function in ACTIVATIONS.items() if function.backward])
def test_activations_are_right_at_large_inputs_and_let_a_diverged_value_through(name, dtype):
    function, leak = ACTIVATIONS[name], 0.01 * (name == "leaky-relu")
    Z = np.array([[1e30, -1e30], [100, -100]], dtype)
    A, dZ = np.full_like(Z, np.nan), np.full_like(Z, np.nan)
    function.forward(Z, leak, A)
    function.backward(np.ones_like(Z), Z, A, leak, 0.0, dZ)
    np.testing.assert_allclose(A, function.phi(Z.astype(np.float64), 1.0, leak), rtol=1e-6, atol=1e-30)
    assert (abs(dZ) <= 1).all()
    function.forward(np.full_like(Z, np.nan), leak, A)
    assert np.isnan(A).all()


def test_verify(monkeypatch):
    assert verify().ok
    monkeypatch.setattr(layers, "tanh", lambda Z, H: np.copyto(H, np.nan))
    found = verify()
    assert not found.ok
    assert {check.kernel for check in found.results if not check.ok} == {"tanh"}
