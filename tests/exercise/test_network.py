"""Networks: names as people write them, messages that say what would fit, kinks that rounding hides."""

import pytest

from mlcore import Layer, Network
from mlcore.errors import InputError, ShapeError
from mlcore.exercise.functions import Loss
from mlcore.exercise.numerical import numerical_derivatives

W = [[1, 0, 1], [1, -1, 0]]


@pytest.mark.parametrize(
    ("activation", "loss", "expected"),
    [
        ("ReLU", "half_squared", ("relu", "half-squared")),
        ("linear", "Half-Squared", ("identity", "half-squared")),
        ("Leaky ReLU", "MSE", ("leaky-relu", "mean-squared")),
        ("Sigmoid", "BCE", ("sigmoid", "binary-cross-entropy")),
        ("identity", "binary_cross_entropy", ("identity", "binary-cross-entropy")),
        ("SoftMax", "Categorical cross-entropy", ("softmax", "cross-entropy")),
    ],
)
def test_usual_names_are_understood(activation, loss, expected):
    network = Network([Layer("output", "W", W, activation)], loss)
    assert (network.layers[0].activation, network.loss.name) == expected


@pytest.mark.parametrize(
    ("layers", "loss", "message"),
    [
        ([], "half-squared", "no layers"),
        ([Layer("one", "W", W, "swish")], "half-squared", "'swish'; expected one of relu, leaky-relu, identity, "),
        ([Layer("one", "W", W)], "huber", "The loss is 'huber'; expected one of half-squared, squared"),
        ([Layer("one", "W", W)], "logistic", "needs a sigmoid output .* but it is relu"),
        ([Layer("one", "W", W, "sigmoid")], "ce", "needs a softmax output .* but it is sigmoid"),
        ([Layer("one", "W", W, "softmax"), Layer("two", "V", [[1, 1]])], "mse", "softmax is for the output layer"),
        ([Layer("one", "W", W, slope=0.1)], "mse", "has a slope, but is relu"),
        ([Layer("one", "W", W, "leaky-relu", slope=2)], "mse", "slope is 2.0; expected a number from 0 to below 1"),
        ([Layer("one", "W", W)], Loss(reduction="max"), "The reduction is 'max'; expected mean or sum"),
        ([Layer("one", "W", W)], Loss(l2=-1), "l2 is -1.0; expected a number of at least 0"),
        ([Layer("one", "W", W)], Loss(frozen=("b",)), "frozen has 'b'; expected names of W"),
        ([Layer("one", "W", W)], Loss(frozen=("W",)), "All arrays are frozen"),
        ([Layer("one", "W", W), Layer("two", "V", [[1]])], "half-squared", "V has 1 column; expected 2, one for each"),
        ([Layer("one", "W", W, "relu", "b", [1])], "half-squared", "b has 1 value; expected 2, one for each row of W"),
        ([Layer("one", "W", W, "relu", "b")], "half-squared", "a bias without a name or a name without a bias"),
        ([Layer("one", "W", W), Layer("two", "W", [[1, 1]])], "half-squared", "The name 'W' stands for two arrays"),
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
        ([[1], [2], [1]], [1, 1], "x has 3 samples of 1 value each; .* for one sample of 3 values write 1,2,1"),
        ([1, 2], [1, 1], "x has 1 sample of 2 values; expected 3 in each, since W is 2 x 3"),
        ([1, 2, 1], [1], "y has 1 value; expected 2, one for each row of W"),
        ([[1, 2, 1]] * 2, [1, 1], "y has 1 sample; expected 2, as many as x; for 2 samples write 1;1"),
    ],
)
def test_samples_that_do_not_fit(x, y, message):
    network = Network([Layer("one", "W", W)])
    with pytest.raises(ShapeError, match=message):
        network.objective(network.forward(x), y)


def test_values_out_of_range():
    network = Network([Layer("one", "W", [[1e300]]), Layer("two", "V", [[1e300]])])
    with pytest.raises(InputError, match="exceed the range of float64"):
        network.forward([1])


def test_differences_see_the_kink_and_stay_off_others():
    """The output is on its kink; the second hidden unit is 1e-6 from its own, nearer than the usual step."""
    kinked = Network([Layer("hidden", "W", [[1], [1e-6]]), Layer("output", "V", [[0, 0]])])
    assert numerical_derivatives(kinked, [1], [1])["V"].one_sided_differ.tolist() == [[True, False]]
    network = Network([Layer("hidden", "W", [[1], [1e-6]]), Layer("output", "V", [[0, 1]])])
    gradient = network.backward(network.forward([1]), [1]).arrays["W"]
    found = numerical_derivatives(network, [1], [1])["W"]
    assert not found.contradict(gradient).any()
    assert found.contradict(gradient + 1).all()
