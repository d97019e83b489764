"""Networks: every loss with every activation against PyTorch, differences and the pass by hand; and the edges."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mlcore import Layer, Network
from mlcore.errors import InputError
from mlcore.exercise import functions
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import Loss
from mlcore.exercise.kinks import subdifferential
from mlcore.exercise.numerical import numerical_derivatives
from mlcore.exercise.problem import Problem
from mlcore.exercise.work import work

GOLDEN = np.load(Path(__file__).parent / "parity" / "golden.npz")  # made by make_golden.py beside it
CASES = sorted(key.removesuffix(" J") for key in GOLDEN if key.endswith(" J"))


def test_every_loss_and_activation_has_a_case():
    cases = [case.split() for case in CASES]
    needed = {*product(functions.LOSSES, functions.ACTIVATIONS.keys() - {"step"})}
    assert needed - {("binary-cross-entropy", "softmax")} <= {(loss, name) for loss, *names in cases for name in names}
    settings = {*product(functions.LOSSES, functions.REDUCTIONS, ("0.0", "0.25"))}
    assert {(case[0], *case[3:]) for case in cases} == settings


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_pytorch_and_by_hand(case):
    loss, hidden, output, reduction, l2 = case.split()

    def layer(name, weights, bias, activation):
        slope = 0.1 if activation == "leaky-relu" else None
        return Layer(name, weights, GOLDEN[weights], activation, bias, GOLDEN[bias], slope)

    layers = [layer("hidden", "W", "b", hidden), layer("output", "V", "c", output)]
    network, x, y = Network(layers, Loss(loss, reduction, float(l2))), GOLDEN["x"], GOLDEN[f"y {loss}"]
    trace = network.forward(x)
    by_kernels, by_hand = network.backward(trace, y), Pass(network, x, y)
    steps, differences = by_hand.backward(), numerical_derivatives(network, x, y)
    np.testing.assert_allclose(trace.y_hat, GOLDEN[f"{case} y_hat"], rtol=1e-12)
    for found in (network.objective(trace, y), float(by_hand.loss)):
        assert found == pytest.approx(float(GOLDEN[f"{case} J"]), rel=1e-12)
    for name, gradient in by_kernels.arrays.items():
        np.testing.assert_allclose(gradient, GOLDEN[f"{case} d{name}"], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(steps.arrays[name].astype(float), gradient, rtol=1e-12, atol=1e-14)
        assert not differences[name].contradict(gradient).any()
    np.testing.assert_allclose(by_kernels.y_hat, steps.y_hat.astype(float), rtol=1e-10)
    np.testing.assert_allclose(by_kernels.deltas[0], steps.deltas[0].astype(float), rtol=1e-12, atol=1e-14)
    assert not differences["x"].contradict(by_kernels.x).any()


@pytest.mark.parametrize(
    ("loss", "activation", "y"),
    [("binary-cross-entropy", "sigmoid", [[1], [0]]), ("cross-entropy", "softmax", [[1, 0], [0, 1]])],
)
def test_a_saturated_probability_keeps_its_loss_and_delta(loss, activation, y):
    network = Network([Layer("output", "W", [[1000]] * len(y[0]), activation)], loss)
    trace = network.forward([[-1], [1]])
    J, gradients = network.objective(trace, y), network.backward(trace, y)
    assert np.isfinite(gradients.deltas[0]).all()
    assert float(Pass(network, [[-1], [1]], y).loss) == pytest.approx(J, abs=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("layout", ["columns", "rows"])
def test_steps_with_inputs_of_their_own(activation, layout):
    """h_t = phi(W h_{t-1} + U x_t + b) with shared W, U and b, from a given h_0."""
    W, U, V, b, x = [[1, -2], [2, 1]], [[1, 0, 2], [-1, 1, 1]], [[1, 3]], [1, -1], [[1, 2, -1, 0, 2, 1, 1, -2], [1] * 8]
    turned = np.transpose if layout == "rows" else np.array
    steps = [Layer(f"step {t}", "W", turned(W), activation, "b", b, own="U", U=turned(U)) for t in (1, 2)]
    network = Network([*steps, Layer("out", "V", turned(V), "identity")], Loss(l2=Fraction(1, 2)), layout)
    h, phi = np.array(x)[:, :2], {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}[activation]
    for t in (0, 1):
        h = phi(h @ np.transpose(W) + np.array(x)[:, 2 + 3 * t : 5 + 3 * t] @ np.transpose(U) + b)
    trace, y = network.forward(x), [[3], [1]]
    np.testing.assert_allclose(trace.y_hat, h @ np.transpose(V), rtol=1e-12)
    by_kernels, exact = network.backward(trace, y), Pass(network, x, y)
    found, differences = exact.backward(), numerical_derivatives(network, x, y)
    assert float(exact.loss) == pytest.approx(network.objective(trace, y), rel=1e-12)
    for name, gradient in (by_kernels.arrays | {"x": by_kernels.x}).items():
        by_hand = (found.arrays | {"x": found.x})[name].astype(float)
        np.testing.assert_allclose(by_hand, gradient, rtol=1e-12, atol=1e-14)
        assert not differences[name].contradict(gradient).any()


@pytest.mark.parametrize(("slope", "gradients"), [("1/2", [1, 2]), ("1/4", [Fraction(1, 2), 2])])
def test_a_leaky_kink_has_the_pieces_of_both_slopes(slope, gradients):
    network = Network([Layer("output", "W", [[1]], "leaky-relu", slope=Fraction(slope))])
    exact = Pass(network, [[0]], [[-2]])
    assert [exact.backward(c).deltas[0].item() for c in (0, 1)] == gradients
    biased = Network([Layer("output", "W", [[1]], "leaky-relu", "b", [0], Fraction(slope))])
    found = subdifferential(Pass(biased, [[0]], [[-2]]))
    assert sorted(piece.gradients.arrays["b"].item() for piece in found.pieces) == gradients
    assert (found.complete, found.stationary) == (True, False)
    assert biased.forward([0]).kinks == [(0, 0, 0)]
    shown = work(Problem(network, [[0]], [[-2]])).to_dict()
    assert shown["relu_at_zero"] == Fraction(slope)
    assert [*shown["by_convention"]] == list(dict.fromkeys([slope, "1/2", "1"]))
    assert biased.backward(biased.forward([0]), [-2], relu_at_zero=0.0).arrays["b"].item() == gradients[0]


def test_pieces_beyond_a_leaky_unit_are_decided():
    """Below a leaky unit that is on its kink nothing is 0, so that the unit above it may be on or off."""
    layers = [Layer("one", "W", [[0]], "leaky-relu", slope=Fraction(1, 2)), Layer("two", "V", [[1]])]
    found = subdifferential(Pass(Network(layers), [[1]], [[1]]))
    assert sorted(piece.gradients.arrays["W"].item() for piece in found.pieces) == [-1, 0]
    assert found.descent is not None


REFUSED = {
    "a bias without a name or a name without a bias": ([[1]], "relu", "b"),
    "W has NaN or infinity in it": ([[np.nan]],),
    "beyond the range of float64": ([[10**400]],),
    "W must be rows of numbers, all of one length": ("W",),
}


@pytest.mark.parametrize("message", REFUSED)
def test_networks_that_are_refused(message):
    with pytest.raises(InputError, match=message):
        Network([Layer("one", "W", *REFUSED[message])])


def test_differences_see_the_kink_and_stay_off_others():
    """The output is on its kink; the second hidden unit is 1e-6 from its own, nearer than the usual step."""
    kinked = Network([Layer("hidden", "W", [[1], [1e-6]]), Layer("output", "V", [[0, 0]])])
    assert numerical_derivatives(kinked, [1], [1])["V"].one_sided_differ.tolist() == [[True, False]]
    network = Network([Layer("hidden", "W", [[1], [1e-6]]), Layer("output", "V", [[0, 1]])])
    gradient = network.backward(network.forward([1]), [1]).arrays["W"]
    found = numerical_derivatives(network, [1], [1])["W"]
    assert not found.contradict(gradient).any()
    assert found.contradict(gradient + 1).all()
