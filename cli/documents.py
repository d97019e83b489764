"""The JSON documents of the exercise's commands; the tables render the same documents."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcore.exercise.exact import ExactGradients, ExactNetwork
    from mlcore.exercise.kinks import Subdifferential
    from mlcore.exercise.network import Gradients, Kink, Network, Trace
    from mlcore.exercise.problem import Problem

CONVENTIONS = {"0": Fraction(0), "1/2": Fraction(1, 2), "1": Fraction(1)}
USED_BY = {
    "0": "torch.relu, TensorFlow, jax.nn.relu, micrograd",
    "1/2": "torch.maximum, jax.numpy.maximum, SymPy's Max",
    "1": "torch.clamp(min=0), NumPy code of the kind grad[h < 0] = 0",
}


def forward_document(sheet: "Problem") -> dict:
    """Values of every unit and the loss; for several samples a document for each, and the mean loss."""
    if sheet.several:
        losses = sheet.network.losses(_trace(sheet)[0], sheet.y)
        document = {"samples": [forward_document(sample) for sample in _samples(sheet)], "loss": plain(losses.mean())}
        if sheet.network.rational:
            document["exact"] = {"loss": exact(_exact(sheet).trace.loss)}
        return {"schema": "mlcore.forward/1"} | document
    network, (trace, known) = sheet.network, _trace(sheet)
    document = {
        "schema": "mlcore.forward/1",
        "x": plain(trace.x[0]),
        "y": plain([float(value) for value in sheet.y[0]]),
        "layers": [
            _layer(network, number) | {"z": plain(trace.z[number][0]), "a": plain(trace.a[number][0])}
            for number in range(len(network.layers))
        ],
        "y_hat": plain(trace.y_hat[0]),
        "loss": plain(network.losses(trace, sheet.y)[0]),
    }
    if not network.rational:
        return document | {"kink_tolerance": _tolerance()}
    return document | {
        "exact": {
            "x": exact(sheet.x[0]),
            "y": exact(sheet.y[0]),
            "layers": [
                _layer(network, number) | {"z": exact(known.trace.z[number][0]), "a": exact(known.trace.a[number][0])}
                for number in range(len(network.layers))
            ],
            "y_hat": exact(known.trace.a[-1][0]),
            "loss": exact(known.trace.loss),
        }
    }


def gradient_document(sheet: "Problem", convention: Fraction, check: bool) -> dict:
    """The forward document with gradients, the kinks, what the conventions give, and the subdifferential."""
    network, (trace, known) = sheet.network, _trace(sheet)
    document = forward_document(sheet) | {"schema": "mlcore.grad/1"}
    if sheet.several:
        document["samples"] = [gradient_document(sample, convention, check=False) for sample in _samples(sheet)]
    gradients = network.backward(trace, sheet.y, float(convention))
    document |= {
        "relu_at_zero": plain(float(convention)),
        "d_y_hat": _one(plain(gradients.y_hat), sheet),
        "gradients": _gradients(gradients, sheet),
        "kinks": [_kink(network, kink, sheet) for kink in trace.kinks],
        "by_convention": {
            name: _gradients(network.backward(trace, sheet.y, float(value)), sheet)
            for name, value in CONVENTIONS.items()
        },
        "used_by": USED_BY,
    }
    if known:
        document["exact"] |= _exact_gradients(sheet, known, convention)
    if not sheet.several:
        for layer, deltas in zip(document["layers"], gradients.deltas, strict=True):
            layer["delta"] = plain(deltas[0])
    if known and not sheet.several:
        for layer, deltas in zip(document["exact"]["layers"], known.backward(convention).deltas, strict=True):
            layer["delta"] = exact(deltas[0])
    if check:
        document["check"] = _check(sheet, gradients)
    return document


def plain(values: object) -> list | int | float:
    """Numbers as JSON writes them best: integers where they are integers, and no -0."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, list):
        return [plain(value) for value in values]
    return int(values) if abs(values) < 2**53 and values == int(values) else values


def finite(document: object) -> object:
    """The document with null for NaN and infinity, which JSON does not have."""
    if isinstance(document, dict):
        return {key: finite(value) for key, value in document.items()}
    if isinstance(document, list):
        return [finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def exact(values: object) -> list | str:
    """Fractions as strings, such as "-1/2"."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    return [exact(value) for value in values] if isinstance(values, Sequence) else str(values)


def _trace(sheet: "Problem") -> "tuple[Trace, ExactNetwork | None]":
    """Forward values by the kernels, on the exact z where there is one, and the exact network."""
    if not sheet.network.rational:
        return sheet.network.forward(sheet.x), None
    known = _exact(sheet)
    return sheet.network.forward(sheet.x, known.trace.z), known


def _exact(sheet: "Problem") -> "ExactNetwork":
    from mlcore.exercise.exact import ExactNetwork

    sheet.network.losses(sheet.network.forward(sheet.x), sheet.y)  # complains about shapes with names and numbers
    return ExactNetwork(sheet.network, sheet.x, sheet.y)


def _tolerance() -> float:
    from mlcore.exercise.network import FLOAT_TOLERANCE

    return FLOAT_TOLERANCE


def _samples(sheet: "Problem") -> "list[Problem]":
    from mlcore.exercise.problem import Problem

    return [Problem(sheet.network, [x], [y]) for x, y in zip(sheet.x, sheet.y, strict=True)]


def _one(rows: list, sheet: "Problem") -> list:
    """Rows of samples, or the only row."""
    return rows if sheet.several else rows[0]


def _layer(network: "Network", number: int) -> dict:
    """What a layer is called; only what differs from a ReLU layer without bias is mentioned."""
    layer = network.layers[number]
    bias = {"bias": layer.bias} if layer.bias else {}
    activation = {"activation": layer.activation} if layer.activation != "relu" else {}
    return {"name": layer.name, "weights": layer.weights} | bias | activation


def _gradients(gradients: "Gradients", sheet: "Problem") -> dict:
    return {name: plain(array) for name, array in gradients.arrays.items()} | {"x": _one(plain(gradients.x), sheet)}


def _kink(network: "Network", kink: "Kink", sheet: "Problem") -> dict:
    sample = {"sample": kink.sample + 1} if sheet.several else {}
    return sample | {"layer": network.layers[kink.layer].name, "unit": kink.unit + 1, "z": 0}


def _exact_gradients(sheet: "Problem", known: "ExactNetwork", convention: Fraction) -> dict:
    def named(gradients: "ExactGradients") -> dict:
        return {name: exact(array) for name, array in gradients.arrays.items()} | {"x": _one(exact(gradients.x), sheet)}

    gradients = known.backward(convention)
    found = {
        "d_y_hat": _one(exact(gradients.y_hat), sheet),
        "gradients": named(gradients),
        "by_convention": {name: named(known.backward(value)) for name, value in CONVENTIONS.items()},
    }
    if known.trace.kinks:
        from mlcore.exercise.kinks import subdifferential

        found |= _subdifferential(sheet, subdifferential(known), not any(gradients.flat))
    return found


def _subdifferential(sheet: "Problem", found: "Subdifferential", stuck: bool) -> dict:
    def units(pattern: dict, on: bool) -> list[dict]:
        return [_kink(sheet.network, kink, sheet) for kink, is_on in sorted(pattern.items()) if is_on is on]

    return {
        "subdifferential": {
            "complete": found.complete,
            "undecided_patterns": len(found.undecided),
            "vertices": [
                {
                    "on": units(pattern, True),
                    "off": units(pattern, False),
                    "gradients": {name: exact(array) for name, array in gradients.arrays.items()},
                }
                for pattern, gradients in found.pieces
            ],
        },
        "verdict": {
            "stationary": found.stationary,
            "stuck": stuck,
            "descent": found.descent
            and {
                "direction": {name: exact(array) for name, array in found.descent.direction.items()},
                "slope": exact(found.descent.slope),
            },
        },
    }


def _check(sheet: "Problem", gradients: "Gradients") -> dict:
    differences = sheet.network.differences(sheet.x, sheet.y)
    arrays = gradients.arrays | {"x": gradients.x}
    document: dict = {"agrees": not any(found.contradict(arrays[name]).any() for name, found in differences.items())}
    for name, found in differences.items():
        columns = {
            "central": plain(found.central),
            "left": plain(found.left),
            "right": plain(found.right),
            "one_sided_differ": found.one_sided_differ.tolist(),
            "contradicts": found.contradict(arrays[name]).tolist(),
        }
        document[name] = {key: _one(rows, sheet) if name == "x" else rows for key, rows in columns.items()}
    return document
