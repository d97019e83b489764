"""Worked exercises that others have published, typed as their authors mean them: every printed digit is right."""

from decimal import Decimal
from fractions import Fraction

import pytest

from mlcore.exercise.descent import descend
from mlcore.exercise.functions import Loss
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, parse_rows
from mlcore.exercise.work import CHOSEN, work


def sheet(x, y, *layers, loss="half-squared", frozen=()):
    """A problem of layers such as ("relu", "W=1 0; 0 1", "b=0 0")."""
    made = []
    for number, (activation, *arrays) in enumerate(layers, start=1):
        (weights, W), (bias, b) = (array.split("=") for array in (*arrays, "=0")[:2])
        made.append(Layer(f"layer {number}", weights, parse_rows(W, "W"), activation, bias or None))
        made[-1] = made[-1]._replace(b=parse_rows(b, "b")[0] if bias else None)
    return Problem(Network(made, Loss(loss, frozen=frozen)), parse_rows(x, "x"), parse_rows(y, "y"))


MAZUR = sheet(
    "0.05 0.10", "0.01 0.99", ("sigmoid", "W=0.15 0.20; 0.25 0.30", "b=0.35 0.35"),
    ("sigmoid", "V=0.40 0.45; 0.50 0.55", "c=0.60 0.60"), frozen=("b", "c"),
)  # fmt: skip
HAN = sheet(
    "1 0 1", "1", ("sigmoid", "W=0.2 0.4 -0.5; -0.3 0.1 0.2", "b=-0.4 0.2"), ("sigmoid", "V=-0.3 -0.2", "c=0.1")
)
# A net, its learning rate, and what is published about it; digits that are truncated instead of rounded end in t.
PUBLISHED = {
    "two inputs, two hidden units, two outputs": (MAZUR, 0.5, {
        "a 1": "0.593269992 0.596884378", "y_hat": "0.75136507 0.772928465", "J": "0.298371109",
        "delta 2": "0.138498562 ?", "dV": "0.082167041 ? ? ?", "dW": "0.000438568 ? ? ?",
        "new W": "0.149780716 0.19956143 0.24975114 0.29950229",
        "new V": "0.35891648 0.408666186 0.511301270 0.561370121", "new J": "0.291027774",
    }),
    "three inputs, two hidden units, one output": (HAN, 0.9, {
        "z 1": "-0.7 0.1", "z 2": "-0.105", "a 1": "0.332 0.525", "y_hat": "0.474", "delta 2": "-0.1311t",
        "delta 1": "0.0087 0.0065", "new W": "0.192 0.4 -0.508 -0.306 0.1 0.194", "new V": "-0.261 -0.138",
        "new b": "-0.408 0.194", "new c": "0.218",
    }),
    "one sigmoid neuron": (sheet("1 2", "1", ("Sigmoid", "w=0.5 -0.4", "b=0.1")), 0.1, {
        "z 1": "-0.2", "y_hat": "0.4502", "J": "0.1511t", "delta 1": "-0.1360t",
        "dw": "-0.1360t ?",  # -0.2720 is twice the truncated one
        "new w": "0.5136 -0.3728", "new b": "0.1136",
    }),
    "ReLU and two weights": (
        sheet("1 2", "1", ("relu", "W1=0.3 -0.1; 0.2 0.4", "b1=0 0"), ("linear", "W2=0.5 -0.3", "b2=0")), 1, {
        "z 1": "0.1 1.0", "y_hat": "-0.25", "J": "0.78125", "dW2": "-0.125 -1.25", "db2": "-1.25",
    }),
    "ReLU of one input": (
        sheet("2", "3", ("relu", "W1=1; -1", "b1=0.5 -0.5"), ("linear", "W2=2 -1", "b2=0.1")), 1, {
        "y_hat": "5.1", "delta 2": "2.1", "dW2": "5.25 0", "db2": "2.1",
    }),
    "squared error without the half": (
        sheet("1 0.5", "1", ("sigmoid", "w=0.4 0.6"), ("identity", "v=0.8"), loss="squared"), 1, {
        "dv": "-0.6220t", "dw": "-0.1651 -0.0825t"}),
    "gradient of a sigmoid neuron": (sheet("-1 -2", "1", ("sigmoid", "w=2 -3", "b=-3"), loss="none"), 1, {
        "dw": "-0.19661193324148185 -0.3932238664829637", "db": "0.19661193324148185",
        "dx": "0.3932238664829637 -0.5898357997244456",
    }),
    "gradient of a tanh neuron": (
        sheet("2 0", "1", ("tanh", "w=-3 1", "b=6.8813735870195432"), loss="none"), 1, {
        "y_hat": "0.7071", "dw": "1.0 0.0", "dx": "-1.5 0.5",
    }),
    "one sigmoid neuron, three decimals": (
        sheet("0.1 0.3", "0.03", ("sigmoid", "w=0.5 0.2", "b=1.83")), 0.01, {
        "z 1": "1.94", "y_hat": "0.874352143", "J": "0.356465271", "dw": "0.009276093 0.027828278",
        "new w": "0.499907239 0.199721717",
    }),
}  # fmt: skip


def agrees(value, printed):
    """Whether a printed number is the value rounded, or truncated if it ends in t, to the digits it has."""
    if printed == "?":
        return True
    exact, digits = Fraction(value), Decimal(printed.rstrip("t"))
    unit = Fraction(10) ** int(digits.as_tuple().exponent)
    apart = abs(exact) - abs(Fraction(digits))
    return 0 <= apart < unit if printed.endswith("t") else abs(exact - Fraction(digits)) <= unit * Fraction("0.5001")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name):
    problem, rate, published = PUBLISHED[name]
    found, after = work(problem, 0), descend(problem, 1, rate)
    trace, gradients = found.best.trace, found.best.gradients[CHOSEN]
    values = {"J": [found.best.loss], "new J": after.losses[1:], "y_hat": trace.y_hat[0]}
    for number, (z, a, delta) in enumerate(zip(trace.z, trace.a, found.best.chosen.deltas, strict=True), start=1):
        values |= {f"z {number}": z[0], f"a {number}": a[0], f"delta {number}": delta[0]}
    values |= {f"d{key}": gradient.ravel() for key, gradient in gradients.items()}
    values |= {f"new {key}": array.ravel() for key, array in after.arrays.items()}
    for key, printed in published.items():
        assert all(agrees(*pair) for pair in zip(values[key], printed.split(), strict=True)), (key, values[key])


def test_a_wrong_digit_is_seen():
    assert agrees(0.13116, "0.1311t")
    assert not agrees(0.13116, "0.1311")
    assert not agrees(0.13116, "0.1313t")
