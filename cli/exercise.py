"""``mlcore forward`` and ``mlcore grad``: exercise 1, with its own numbers or the user's."""

import json
import math
import re
from fractions import Fraction
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from mlcore.network import Gradients, Network, Trace

NUMBER = re.compile(r"[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)", re.ASCII | re.IGNORECASE)
CONVENTIONS = {"0": 0.0, "1/2": 0.5, "1": 1.0}

X = Annotated[str | None, typer.Option("--x", metavar="NUMBERS", help="Input.", show_default="1,2,1")]
Y = Annotated[str | None, typer.Option("--y", metavar="NUMBERS", help="Target.", show_default="1")]
W = Annotated[
    str | None,
    typer.Option("--w", metavar="ROWS", help="Weights of the hidden layer.", show_default="1,0,1;1,-1,0"),
]
V = Annotated[
    str | None, typer.Option("--v", metavar="ROWS", help="Weights of the output layer.", show_default="0,1")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def forward(x: X = None, y: Y = None, w: W = None, v: V = None, as_json: Json = False) -> None:
    """Example: mlcore forward --x 1,2,1

    Forward values and loss of the network x -> phi(W x) -> phi(V h), with
    phi = ReLU and J = 1/2 (y - y_hat)^2. Numbers are integers, decimals or
    fractions such as -1/2; rows of a matrix are separated by semicolons.
    """
    from . import render

    with render.compilation():
        network, x_values, y_values = _network(x, y, w, v)
        trace = network.forward(x_values)
        document = _forward_document(network, trace, y_values)
    if as_json:
        _print_json(document)
    else:
        render.forward(document)


def grad(
    x: X = None,
    y: Y = None,
    w: W = None,
    v: V = None,
    relu_at_zero: Annotated[
        str, typer.Option(metavar="NUMBER", help="Convention for phi'(0): 0, 1/2, 1 or any number between.")
    ] = "0",
    check: Annotated[bool, typer.Option("--check", help="Add the numerical derivative of every entry.")] = False,
    as_json: Json = False,
) -> None:
    """Example: mlcore grad --relu-at-zero 1 --check

    Gradients of the loss by backpropagation. Where a pre-activation is
    exactly 0, phi has no derivative: the numbers rest on a convention, and
    the output shows what the usual ones give. Exit code 1 if --check finds
    an entry whose derivative exists and differs from the gradient.
    """
    from . import render

    convention = _number(relu_at_zero, "--relu-at-zero")
    with render.compilation():
        network, x_values, y_values = _network(x, y, w, v)
        trace = network.forward(x_values)
        document = _forward_document(network, trace, y_values)
        gradients = network.backward(trace, y_values, convention)
        document |= _gradient_document(network, trace, gradients, convention)
        document["by_convention"] = {
            name: _named(network, network.backward(trace, y_values, value)) for name, value in CONVENTIONS.items()
        }
        for layer, delta in zip(document["layers"], gradients.deltas, strict=True):
            layer["delta"] = _plain(delta)
        if check:
            document["check"] = _check(network, x_values, y_values, gradients)
    if as_json:
        _print_json(document)
    else:
        render.gradients(document)
    if check and not document["check"]["agrees"]:
        raise typer.Exit(1)


def _network(x: str | None, y: str | None, w: str | None, v: str | None) -> "tuple[Network, list, list]":
    from mlcore.network import Layer, Network

    exercise = json.loads((files("mlcore.data") / "exercise.json").read_text())
    rows_w = exercise["W"] if w is None else _matrix(w, "--w")
    rows_v = exercise["V"] if v is None else _matrix(v, "--v")
    network = Network([Layer("hidden", "W", rows_w), Layer("output", "V", rows_v)])
    return (
        network,
        exercise["x"] if x is None else _vector(x, "--x"),
        exercise["y"] if y is None else _vector(y, "--y"),
    )


def _matrix(text: str, option: str) -> list[list[float]]:
    rows = [_vector(row, option) for row in text.split(";")]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise InputError(f"{option}: row {number} has {len(row)} numbers; expected {len(rows[0])}, as in row 1.")
    return rows


def _vector(text: str, option: str) -> list[float]:
    return [_number(entry, option) for entry in text.split(",")]


def _number(text: str, option: str) -> float:
    text = text.strip().replace("\u2212", "-")  # the minus sign of typeset sheets
    wanted = "expected numbers such as 2, -0.5, 1e-3 or -1/2, separated by commas"
    if not text:
        raise InputError(f"{option}: a number is missing; {wanted}.")
    if not NUMBER.fullmatch(text):
        raise InputError(f"{option}: {text!r} is not a finite number; {wanted}.")
    try:
        value = float(Fraction(text)) if "/" in text else float(text)
    except ZeroDivisionError:
        raise InputError(f"{option}: {text!r} divides by zero; {wanted}.") from None
    except (OverflowError, ValueError):  # ValueError: Python refuses integers of more than 4,300 digits
        value = math.inf
    if math.isinf(value):
        raise InputError(f"{option}: {text[:40]!r} exceeds the range of float64 (1.8e308); use smaller numbers.")
    return value


def _forward_document(network: "Network", trace: "Trace", y: list[float]) -> dict:
    return {
        "schema": "mlcore.forward/1",
        "x": _plain(trace.x),
        "y": _plain(y),
        "layers": [
            {"name": layer.name, "weights": layer.weights, "z": _plain(z), "a": _plain(a)}
            for layer, z, a in zip(network.layers, trace.z, trace.a, strict=True)
        ],
        "y_hat": _plain(trace.y_hat),
        "loss": _plain(network.loss(trace, y)),
    }


def _gradient_document(network: "Network", trace: "Trace", gradients: "Gradients", convention: float) -> dict:
    return {
        "schema": "mlcore.grad/1",
        "relu_at_zero": _plain(convention),
        "d_y_hat": _plain(gradients.y_hat),
        "gradients": _named(network, gradients),
        "kinks": [{"layer": network.layers[kink.layer].name, "unit": kink.unit, "z": 0} for kink in trace.kinks],
    }


def _named(network: "Network", gradients: "Gradients") -> dict:
    names = (layer.weights for layer in network.layers)
    return {name: _plain(dW) for name, dW in zip(names, gradients.weights, strict=True)} | {"x": _plain(gradients.x)}


def _check(network: "Network", x: list[float], y: list[float], gradients: "Gradients") -> dict:
    differences = network.differences(x, y)
    arrays = dict(zip(differences, [*gradients.weights, gradients.x], strict=True))
    return {
        "agrees": not any(differences[name].contradict(array).any() for name, array in arrays.items()),
        **{
            name: {
                "central": _plain(found.central),
                "left": _plain(found.left),
                "right": _plain(found.right),
                "one_sided_differ": found.one_sided_differ.tolist(),
                "contradicts": found.contradict(arrays[name]).tolist(),
            }
            for name, found in differences.items()
        },
    }


def _plain(values: "np.ndarray | list | float") -> "list | int | float":
    """Numbers as JSON writes them best: integers where they are integers, and no -0."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return int(values) if abs(values) < 2**53 and values == int(values) else values


def _print_json(document: dict) -> None:
    print(json.dumps(document, allow_nan=False))
