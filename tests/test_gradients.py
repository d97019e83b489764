"""Every backward kernel against central differences in float64: relative error at most 1e-6."""

import numpy as np
import pytest

from mlcore import kernels
from mlcore.gradcheck import central_differences, one_sided_differences

# One word, no word, repeats, and two texts that share words.
IDS = np.array([2, 0, 1, 3, 1, 2, 4], np.int32)
COUNTS = np.array([1, 3, 1, 2, 1, 5, 1], np.int32)
OFFSETS = np.array([0, 1, 1, 4, 7])
TEXTS = np.array([3, 0, 1, 2])


@pytest.fixture
def random():
    return np.random.default_rng(7)


def assert_gradient(found, loss, array):
    expected = central_differences(loss, array)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= 1e-6, f"relative error {error:.1e}"


def weighted(forward, weights, shape):
    """The scalar sum(weights * output), whose gradient in the output is ``weights``."""

    def loss():
        output = np.empty(shape)
        forward(output)
        return float((weights * output).sum())

    return loss


def test_affine(random):
    X, W, b, dY = (random.normal(size=shape) for shape in ((4, 3), (5, 3), (5,), (4, 5)))
    dX, dW, db = np.empty_like(X), np.zeros_like(W), np.zeros_like(b)
    kernels.affine_backward_input(dY, W, dX)
    kernels.affine_backward_weights(dY, X, dW, db)
    loss = weighted(lambda Y: kernels.affine(X, W, b, Y), dY, (4, 5))
    for gradient, array in ((dX, X), (dW, W), (db, b)):
        assert_gradient(gradient, loss, array)


def test_relu_off_the_kink(random):
    Z, dH = random.normal(size=(4, 5)), random.normal(size=(4, 5))
    dZ = np.empty_like(Z)
    kernels.relu_backward(dH, Z, 0.5, dZ)
    assert_gradient(dZ, weighted(lambda H: kernels.relu(Z, H), dH, Z.shape), Z)


def test_relu_on_the_kink_has_two_slopes_and_the_convention_lies_between():
    Z, dH = np.zeros((1, 1)), np.ones((1, 1))
    loss = weighted(lambda H: kernels.relu(Z, H), dH, (1, 1))
    assert one_sided_differences(loss, Z, side=-1) == 0
    np.testing.assert_allclose(one_sided_differences(loss, Z, side=1), 1, rtol=1e-9)
    for convention in (0.0, 0.5, 1.0):
        dZ = np.empty_like(Z)
        kernels.relu_backward(dH, Z, convention, dZ)
        assert dZ == convention


@pytest.mark.parametrize("name", ["half_squared", "logistic"])
def test_losses(name, random):
    predicted, Y = 3 * random.normal(size=(4, 2)), random.integers(0, 2, (4, 2)).astype(float)
    gradient = np.empty_like(predicted)
    getattr(kernels, f"{name}_backward")(predicted, Y, 1 / 4, gradient)
    loss = weighted(lambda losses: getattr(kernels, name)(predicted, Y, losses), np.full(4, 1 / 4), 4)
    assert_gradient(gradient, loss, predicted)


def table_gradient(dE, words):
    rows, dRows = np.empty(words, np.int32), np.empty((words, dE.shape[1]))
    slot_of = np.full(words, -1, np.int32)
    used = kernels.gather_mean_backward(dE, IDS, COUNTS, OFFSETS, TEXTS, 0, 1, slot_of, rows, dRows)
    dtable = np.zeros((words, dE.shape[1]))
    dtable[rows[:used]] = dRows[:used]
    return dtable


def test_gather_mean_with_repeats_one_word_and_no_word(random):
    table, dE = random.normal(size=(6, 3)), random.normal(size=(4, 3))
    loss = weighted(lambda E: kernels.gather_mean(table, IDS, COUNTS, OFFSETS, TEXTS, E), dE, (4, 3))
    assert_gradient(table_gradient(dE, 6), loss, table)


def test_the_check_finds_a_gradient_that_counts_repeats_once(random, monkeypatch):
    """The classic bug must not pass: a check counts only once it has been seen to fail."""
    table, dE = random.normal(size=(6, 3)), random.normal(size=(4, 3))
    loss = weighted(lambda E: kernels.gather_mean(table, IDS, COUNTS, OFFSETS, TEXTS, E), dE, (4, 3))
    monkeypatch.setitem(globals(), "COUNTS", np.ones_like(COUNTS))
    wrong = table_gradient(dE, 6)
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="relative error"):
        assert_gradient(wrong, loss, table)


def test_central_differences_restore_the_array(random):
    array = random.normal(size=(2, 3))
    before = array.copy()
    central_differences(lambda: float((array**2).sum()), array)
    np.testing.assert_array_equal(array, before)
