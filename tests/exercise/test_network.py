"""Networks: names as people write them, messages that say what would fit, kinks that rounding hides."""

import numpy as np
import pytest

from mlcore import Layer, Network
from mlcore.errors import InputError, ShapeError
from mlcore.exercise import derivation, exact, network

W = [[1, 0, 1], [1, -1, 0]]


@pytest.mark.parametrize(
    ("activation", "loss", "expected"),
    [
        ("ReLU", "half_squared", ("relu", "half-squared")),
        ("linear", "Half-Squared", ("identity", "half-squared")),
        ("Sigmoid", "BCE", ("identity", "logistic")),  # the sigmoid is part of the loss
        ("identity", "binary_cross_entropy", ("identity", "logistic")),
    ],
)
def test_usual_names_are_understood(activation, loss, expected):
    network = Network([Layer("output", "W", W, activation)], loss)
    assert (network.layers[0].activation, network.loss_name) == expected


@pytest.mark.parametrize(
    ("layers", "loss", "message"),
    [
        ([], "half-squared", "no layers"),
        ([Layer("one", "W", W, "swish")], "half-squared", "'swish'; expected one of relu, identity, sigmoid, tanh"),
        ([Layer("one", "W", W)], "huber", "The loss is 'huber'; expected one of half-squared, logistic"),
        ([Layer("one", "W", W)], "logistic", "needs a sigmoid or identity output, but it is relu"),
        ([Layer("one", "W", W), Layer("two", "V", [[1]])], "half-squared", "V has 1 column; expected 2, one for each"),
        ([Layer("one", "W", W, "relu", "b", [1])], "half-squared", "b has 1 value; expected 2, one for each row of W"),
        ([Layer("one", "W", W, "relu", "b")], "half-squared", "a bias without a name or a name without a bias"),
        ([Layer("one", "x", W)], "half-squared", "a name of its own, other than x"),
        ([Layer("one", "W", [[1], [1, 2]])], "half-squared", "W must be rows of numbers, all of one length"),
        ([Layer("one", "W", [[float("nan")]])], "half-squared", "W has NaN or infinity in it"),
        ([Layer("one", "W", [[10**400]])], "half-squared", "beyond the range of float64"),
    ],
)
def test_networks_that_do_not_fit_together(layers, loss, message):
    with pytest.raises(InputError, match=message):
        Network(layers, loss)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[1], [2], [1]], [1, 1], "x has 3 samples of 1 value; .* For one sample of 3 values, write them in one row"),
        ([1, 2], [1, 1], "x has 1 sample of 2 values; expected 3 in each, since W is 2 x 3"),
        ([1, 2, 1], [1], "y has 1 value; expected 2, one for each row of W"),
        ([[1, 2, 1]] * 2, [1, 1], "y has 1 sample; expected 2, as many as x"),
    ],
)
def test_samples_that_do_not_fit(x, y, message):
    network = Network([Layer("one", "W", W)])
    with pytest.raises(ShapeError, match=message):
        network.losses(network.forward(x), y)


def test_values_out_of_range():
    network = Network([Layer("one", "W", [[1e300]]), Layer("two", "V", [[1e300]])])
    with pytest.raises(InputError, match="exceed the range of float64"):
        network.forward([1])
    with pytest.raises(InputError, match="relu_at_zero is 2; expected a number from 0 to 1"):
        network.backward(network.forward([0]), [1], relu_at_zero=2)


def test_differences_see_the_kink_and_stay_off_others():
    """The output is on its kink; the second hidden unit is 1e-6 from its own, nearer than the usual step."""
    kinked = Network([Layer("hidden", "W", [[1], [1e-6]]), Layer("output", "V", [[0, 0]])])
    assert kinked.differences([1], [1])["V"].one_sided_differ.tolist() == [[True, False]]
    network = Network([Layer("hidden", "W", [[1], [1e-6]]), Layer("output", "V", [[0, 1]])])
    gradient = network.backward(network.forward([1]), [1]).arrays["W"]
    found = network.differences([1], [1])["W"]
    assert not found.contradict(gradient).any()
    assert found.contradict(gradient + 1).all()


def test_every_activation_is_known_everywhere():
    smooth = [name for name in network.ACTIVATIONS if name != "identity"]
    assert network.ACTIVATIONS.keys() == exact.ACTIVATIONS.keys() == derivation.PHI.keys()
    assert list(derivation.DEFINITIONS) == smooth
    assert len(set(derivation.PHI.values())) == len(derivation.PHI)


@pytest.mark.parametrize("activation", network.ACTIVATIONS)
def test_every_activation_by_kernels_differences_and_hand(activation):
    hidden = Layer("hidden", "A", [[0.5, -1], [0.25, 0.75]], activation, "a", [0.1, -0.2])
    both = Network([hidden, Layer("output", "B", [[0.5, 2]], activation, "b", [-1.5])])
    x, y = [[1, 2], [-0.5, 3]], [[1], [-1]]
    trace = both.forward(x)
    gradients, by_hand = both.backward(trace, y), exact.Pass(both, x, y)
    differences, steps = both.differences(x, y), by_hand.backward(0)
    np.testing.assert_allclose(trace.y_hat, by_hand.trace.y_hat.astype(float), rtol=1e-14)
    for name, gradient in gradients.arrays.items():
        np.testing.assert_allclose(gradient, steps.arrays[name].astype(float), rtol=1e-12, atol=1e-15)
        assert not differences[name].contradict(gradient).any()
        assert gradient.any()
