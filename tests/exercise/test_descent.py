"""Gradient descent from the exercise's start, and why it stands still."""

import numpy as np
import pytest

from mlcore import Layer, Network
from mlcore.errors import DivergedError, InputError
from mlcore.exercise.descent import descend


def exercise():
    return Network([Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]]), Layer("output", "V", [[0, 1]])])


def test_stuck_at_the_kink_with_convention_0():
    found = descend(exercise(), [1, 2, 1], [1], 20, 0.1)
    assert found.losses == [0.5] * 21
    assert "exactly on its kink" in found.standstill


def test_falls_with_convention_1():
    network = exercise()
    found = descend(network, [1, 2, 1], [1], 20, 0.1, relu_at_zero=1.0)
    assert found.losses[-1] < 1e-12 and len(found.losses) == 21
    assert found.standstill is None
    np.testing.assert_array_equal(network.arrays["V"], [[0, 1]])  # the network given is not changed


def test_a_quarter_gets_there_in_one_step():
    assert descend(exercise(), [1, 2, 1], [1], 1, 0.25, relu_at_zero=1.0).losses == [0.5, 0.0]


def test_a_half_kills_the_unit():
    found = descend(exercise(), [1, 2, 1], [1], 20, 0.5, relu_at_zero=1.0)
    assert found.losses[-1] == 0.5
    assert "Every unit of layer hidden is off (z < 0)" in found.standstill


def test_steps_are_those_of_the_gradient():
    network = Network([Layer("output", "W", [[2.0]], "identity", "b", [1.0])])
    found = descend(network, [[1.0], [2.0]], [[0.0], [0.0]], 1, 0.1)
    # y_hat = 3, 5: dJ/dW = (3 * 1 + 5 * 2) / 2, dJ/db = (3 + 5) / 2
    np.testing.assert_allclose(found.network.arrays["W"], [[2 - 0.1 * 6.5]])
    np.testing.assert_allclose(found.network.arrays["b"], [1 - 0.1 * 4])


def test_divergence():
    network = Network([Layer("output", "W", [[2.0]], "identity")])
    with pytest.raises(DivergedError, match="diverged in step .* try --learning-rate 0.1"):
        descend(network, [1e6], [0], 100, 1e8)


@pytest.mark.parametrize(("steps", "rate"), [(0, 0.1), (10, 0.0), (10, float("nan")), (10, -1.0)])
def test_wrong_settings(steps, rate):
    with pytest.raises(InputError):
        descend(exercise(), [1, 2, 1], [1], steps, rate)
