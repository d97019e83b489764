"""Steps of gradient descent: exact at first, and those of PyTorch."""

from fractions import Fraction

import numpy as np
import pytest

from mlcore import Layer, Network
from mlcore.exercise.descent import Update, descend
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import Loss
from mlcore.exercise.problem import Problem


def test_a_unit_just_off_its_kink_is_off_it():
    """The first step is exact: z = 1e-20 is no kink, though the terms of its sum are 0.1."""
    tiny = Fraction(1, 10**20)
    network = Network([Layer("output", "W", [[Fraction(1, 10), tiny - Fraction(1, 10)]])])
    assert descend(Problem(network, [[1, 1]], [[1]]), 1, Update(0.1)).losses[-1] < 0.5


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
        found = descend(problem, steps, Update(rate, optimizer)).arrays
        np.testing.assert_allclose(found["W"], [expected], rtol=1e-12)
        assert found["b"] == [1]
    gradients = Pass(network, problem.x, problem.y).backward().arrays
    first = Update(Fraction(1, 20), optimizer).first_step(network, gradients)
    np.testing.assert_allclose(first["W"].astype(float), [TORCH[optimizer][0]], rtol=1e-12)
    assert list(first) == ["W"]
