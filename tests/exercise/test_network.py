"""Networks in Python: what only there can be wrong, and numerical derivatives at kinks that rounding hides."""

import numpy as np
import pytest

from mlcore import Layer, Network
from mlcore.errors import InputError
from mlcore.exercise.numerical import numerical_derivatives


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([[1]], "relu", "b"), "a bias without a name or a name without a bias"),
        (([[np.nan]],), "W has NaN or infinity in it"),
        (([[10**400]],), "beyond the range of float64"),
        (("W",), "W must be rows of numbers, all of one length"),
    ],
)
def test_networks_that_are_refused(arrays, message):
    with pytest.raises(InputError, match=message):
        Network([Layer("one", "W", *arrays)])


def test_differences_see_the_kink_and_stay_off_others():
    """The output is on its kink; the second hidden unit is 1e-6 from its own, nearer than the usual step."""
    kinked = Network([Layer("hidden", "W", [[1], [1e-6]]), Layer("output", "V", [[0, 0]])])
    assert numerical_derivatives(kinked, [1], [1])["V"].one_sided_differ.tolist() == [[True, False]]
    network = Network([Layer("hidden", "W", [[1], [1e-6]]), Layer("output", "V", [[0, 1]])])
    gradient = network.backward(network.forward([1]), [1]).arrays["W"]
    found = numerical_derivatives(network, [1], [1])["W"]
    assert not found.contradict(gradient).any()
    assert found.contradict(gradient + 1).all()
