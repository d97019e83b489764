"""Gradient descent from the exercise's start, and why it stands still."""

from fractions import Fraction

import numpy as np
import pytest

from mlcore import Layer, Network
from mlcore.errors import DivergedError
from mlcore.exercise.descent import descend, first_step
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import Loss
from mlcore.exercise.problem import Problem


def exercise():
    return Network([Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]]), Layer("output", "V", [[0, 1]])])


ROUNDED = Network([Layer("hidden", "W", [[0.1, 0.2, -0.3]]), Layer("output", "V", [[1]])])  # z is 5.6e-17, not 0


@pytest.mark.parametrize(
    ("network", "x", "convention", "rate", "last", "standstill"),
    [
        (exercise(), [1, 2, 1], 0.0, 0.1, 0.5, "exactly on its kink"),
        (ROUNDED, [1, 1, 1], 0.0, 0.1, 0.5, "exactly on its kink"),
        (ROUNDED, [100001, 100001, 100001], 0.0, 0.1, 0.5, "exactly on its kink"),
        (exercise(), [1, 2, 1], 1.0, 0.25, 0.0, None),
        (exercise(), [1, 2, 1], 1.0, 0.1, 0.0, None),
        (exercise(), [1, 2, 1], 1.0, 0.5, 0.5, "All units of layer hidden are off (z < 0)"),
    ],
)
def test_losses_and_why_nothing_moves(network, x, convention, rate, last, standstill):
    found = descend(Problem(network, [x], [[1]]), 20, rate, relu_at_zero=convention)
    assert len(found.losses) == 21
    assert found.losses[0] == 0.5
    assert found.losses[-1] == pytest.approx(last, abs=1e-12)
    assert found.standstill is None if standstill is None else standstill in found.standstill
    np.testing.assert_array_equal(network.arrays["V"], network.layers[1].W)  # the network given is not changed


def test_a_kink_met_on_the_way_is_seen_through_rounding():
    """The second sample moves the bias of the output; the first one's unit stays on its kink."""
    layers = [Layer("hidden", "W", [[0.1, 0.2, -0.3]]), Layer("output", "V", [[1]], "identity", "c", [0.5])]
    found = descend(Problem(Network(layers), [[1, 1, 1], [-1, -1, -1]], [[0], [0]]), 30, 0.5)
    np.testing.assert_array_equal(found.arrays["W"], [[0.1, 0.2, -0.3]])
    assert found.losses[-1] < 1e-8


def test_a_unit_just_off_its_kink_is_off_it():
    """The first step is exact: z = 1e-20 is no kink, though the terms of its sum are 0.1."""
    tiny = Fraction(1, 10**20)
    network = Network([Layer("output", "W", [[Fraction(1, 10), tiny - Fraction(1, 10)]])])
    assert descend(Problem(network, [[1, 1]], [[1]]), 1, 0.1).losses[-1] < 0.5


def test_divergence():
    network = Network([Layer("output", "W", [[2.0]], "identity")])
    with pytest.raises(DivergedError, match="diverged in step .* try learning_rate=0.1"):
        descend(Problem(network, [[1e6]], [[0]]), 100, 1e8)


TORCH = {  # W after each of three steps by torch.optim 2.13
    "sgd": [[1.225, -1.325], [1.3375000000000001, -0.9875], [1.39375, -0.81875]],
    "momentum": [[1.225, -1.325], [1.54, -0.37999999999999995], [1.7785, 0.3355]],
    "adam": [
        [1.049999999888889, -1.950000000037037],
        [1.0999278657369111, -1.9000721341133853],
        [1.1497306366100042, -1.8502693631631335],
    ],
}


@pytest.mark.parametrize("optimizer", TORCH)
def test_optimizers_take_the_steps_of_torch(optimizer):
    network = Network([Layer("output", "W", [[1.0, -2.0]], "identity", "b", [1.0])], Loss(frozen=("b",)))
    problem, rate = Problem(network, [[1, 3]], [[0.5]]), 0.05
    for steps, expected in enumerate(TORCH[optimizer], start=1):
        found = descend(problem, steps, rate, optimizer=optimizer).arrays
        np.testing.assert_allclose(found["W"], [expected], rtol=1e-12)
        assert found["b"] == [1]
    gradients = Pass(network, problem.x, problem.y).backward().arrays
    first = first_step(network, gradients, Fraction(1, 20), optimizer)
    np.testing.assert_allclose(first["W"].astype(float), [TORCH[optimizer][0]], rtol=1e-12)
    assert list(first) == ["W"]
