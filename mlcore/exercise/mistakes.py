"""What a student's mistakes give: switches of one forward and one backward pass, and their names."""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mlcore.exercise.exact import ExactGradients, as_fraction
from mlcore.exercise.network import FLOAT_TOLERANCE, Gradients, Kink, Network, Number
from mlcore.exercise.problem import Problem

# Mistakes by what Work calls them, most likely first. Those in LAYERED can be made in one layer or in several.
LAYERED = {
    "no mask": "mask missing (phi' left out, or 1 for z < 0) in {where}",
    "phi": "phi(z) in place of phi'(z) in {where}",
    "linear": "ReLU forgotten, forward and backward, in {where}",
    "linear forward": "ReLU forgotten in the forward pass in {where}",
    "other layer": "mask of the wrong layer in {where}",
    "next unit": "mask of the wrong unit (the next one) in {where}",
    "last unit first": "mask of the wrong unit (the order reversed) in {where}",
    "negative mask": "phi'(z) = -1 for z < 0 in {where}",
    "absolute": "|z| in place of ReLU in {where}",
    "minimum": "min(0, z) in place of max(0, z) in {where}",
    "leaky 1/100": "leaky ReLU (slope 1/100) in place of ReLU in {where}",
    "leaky 1/10": "leaky ReLU (slope 1/10) in place of ReLU in {where}",
}
GENERAL = {
    "sign": "sign flipped (y - y_hat for y_hat - y)",
    "transposed": "transposed",
    "outer reversed": "outer product reversed (x delta^T for delta x^T)",
    "no factor": "forgot the factor y_hat - y",
    "no half": "forgot the 1/2 in J (twice as large)",
    "extra half": "kept an extra 1/2 (half as large)",
    "loss for factor": "J in place of y_hat - y (squared error without its derivative)",
    "square for factor": "(y - y_hat)^2 in place of y_hat - y",
    "no square": "forgot the square in the loss",
    "no square, sign": "forgot the square in the loss",
    "z for a": "z for h in the gradient of the weights (pre-activation in place of activation)",
    "output for input": "h for x in the gradient of the weights (the layer's output in place of its input)",
    "x for h": "x for h in the gradient of the weights",
    "no weights": "delta of the layer below without the weights (V left out)",
    "not transposed": "weights not transposed in the delta of the layer below (V for V^T)",
    "other weights": "weights of the wrong layer in the delta of the layer below (W for V)",
    "summed units": "elementwise product missing (summed over the units)",
    "forward transposed": "weights transposed in the forward pass",
    "no bias": "bias ignored in the forward pass",
    "zero bias": "bias gradient forgotten (0)",
    "bias times input": "bias gradient multiplied by the input",
    "bias times input, elementwise": "bias gradient multiplied by the input",
    "bias times input, summed": "bias gradient multiplied by the input",
    "samples summed": "summed instead of averaged over the samples",
    "averaged twice": "averaged twice over the samples",
    "first sample": "only the first sample used",
    "negated": "sign flipped",
}

Rows = list[list[Number]]
Values = dict[str, Rows]


class Mistake(NamedTuple):
    """A mistake and the layers it is made in."""

    name: str
    kind: str
    layers: frozenset[int] = frozenset()

    def values(self, sheet: Problem, relu_at_zero: Number = 0) -> Values:
        """All answers of a student who makes this mistake and no other."""
        return Work(sheet, lambda kink: relu_at_zero, self).values


def catalogue(network: Network) -> list[Mistake]:
    """All mistakes that are looked for, most likely first."""
    every = range(len(network.layers))
    scopes = [(f"layer {name}", frozenset([n])) for n, name in enumerate(layer_names(network))]
    if len(every) > 2:
        scopes.append(("all hidden layers", frozenset(every[:-1])))
    if len(every) > 1:
        scopes.append(("all layers", frozenset(every)))
    layered = [Mistake(text.format(where=where), kind, at) for kind, text in LAYERED.items() for where, at in scopes]
    return [*(Mistake(text, kind) for kind, text in GENERAL.items()), *layered]


class Work:
    """One forward and one backward pass, with a mistake, or from a student's own values; in fractions or floats."""

    def __init__(
        self,
        sheet: Problem,
        at_kink: Callable[[Kink], Number],
        mistake: Mistake | None = None,
        given: Mapping[str, Rows] | None = None,
    ) -> None:
        number = as_fraction if sheet.network.rational else float
        self.network, self.at_kink, self.given = sheet.network, at_kink, dict(given or {})
        self.kind, self.at = (mistake.kind, mistake.layers) if mistake else ("", frozenset())
        self.names, self.last = layer_names(self.network), len(self.network.layers) - 1
        if "y_hat" in self.given:
            self.given.setdefault(f"a:{self.names[-1]}", self.given["y_hat"])
        samples = slice(1) if self.kind == "first sample" else slice(None)
        self.x, self.y = ([list(map(number, row)) for row in rows[samples]] for rows in (sheet.x, sheet.y))
        self.W = [[list(map(number, row)) for row in layer.W] for layer in self.network.layers]
        self.b = [None if layer.b is None else list(map(number, layer.b)) for layer in self.network.layers]
        n = len(self.x)
        self.share = Fraction(1, {"samples summed": 1, "averaged twice": n * n}.get(self.kind, n))
        self.values = self._forward() | self._backward()
        if self.kind == "negated":
            forward = {name: rows for name, rows in self.values.items() if not name.startswith("d")}
            self.values = {name: [[-v for v in row] for row in rows] for name, rows in forward.items()}

    def _in(self, kind: str, layer: int) -> bool:
        return self.kind == kind and layer in self.at

    def _forward(self) -> Values:
        self.z, self.a, inputs = [], [], self.x
        for layer, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            if self.kind == "forward transposed" and len(W) == len(W[0]):
                W = transposed(W)
            bias = [0] * len(W) if b is None or self.kind == "no bias" else b
            z = [[_dot(w, row) + constant for w, constant in zip(W, bias, strict=True)] for row in inputs]
            self.z.append(self.given.get(f"z:{self.names[layer]}", z))
            a = [[self._phi(layer, value) for value in row] for row in self.z[-1]]
            inputs = self.given.get(f"a:{self.names[layer]}", a)
            self.a.append(inputs)
        pairs = [list(zip(row, target, strict=True)) for row, target in zip(self.a[-1], self.y, strict=True)]
        loss = sum(self._loss(p, t) for row in pairs for p, t in row) * self.share
        return forward_values(self.network, self.z, self.a, loss)

    def _phi(self, layer: int, z: Number) -> Number:
        name = self.network.layers[layer].activation
        if name == "sigmoid":
            return _sigmoid(z)
        if name == "tanh":
            return math.tanh(z)
        if name == "identity" or self._in("linear", layer) or self._in("linear forward", layer):
            return z
        if z > 0 and not self._in("minimum", layer):
            return z
        return self._below_zero(layer) * z if z < 0 else 0 * z

    def _below_zero(self, layer: int) -> Fraction | int:
        """Slope of what a student takes for ReLU where z < 0."""
        slopes = {"absolute": -1, "minimum": 1, "leaky 1/100": Fraction(1, 100), "leaky 1/10": Fraction(1, 10)}
        return slopes.get(self.kind, 0) if layer in self.at else 0

    def _loss(self, p: Number, t: Number) -> Number:
        if self.network.loss_name == "logistic":
            margin = p if t else -p
            return max(-margin, 0) + math.log1p(math.exp(-abs(margin)))
        scale = {"no half": 2, "extra half": Fraction(1, 2)}.get(self.kind, 1) * Fraction(1, 2)
        return scale * {"no square": t - p, "no square, sign": p - t}.get(self.kind, (t - p) * (t - p))

    def _error(self, p: Number, t: Number) -> Number:
        """Derivative of the loss of a sample in y_hat."""
        factor = (_sigmoid(p) if self.network.loss_name == "logistic" else p) - t
        scale = {"sign": -1, "no half": 2, "extra half": Fraction(1, 2)}.get(self.kind, 1)
        wrong = {"no factor": 1, "square for factor": factor * factor, "loss for factor": self._loss(p, t)}
        return scale * wrong.get(self.kind, factor)

    def _backward(self) -> Values:
        pairs = zip(self.a[-1], self.y, strict=True)
        d = [[self._error(p, t) * self.share for p, t in zip(*rows, strict=True)] for rows in pairs]
        deltas, arrays = [], {}
        for layer in reversed(range(self.last + 1)):
            delta = [[v * m for v, m in zip(row, self._mask(s, layer), strict=True)] for s, row in enumerate(d)]
            if self.kind == "summed units" and layer < self.last:
                delta = [[sum(row)] * len(row) for row in delta]
            delta = self.given.get(f"delta:{self.names[layer]}", delta)
            deltas.insert(0, delta)
            arrays = self._array_gradients(layer, delta) | arrays
            d = [self._pull_back(layer, row) for row in delta]
        return gradient_values(self.network, ExactGradients(arrays, deltas, [], d))

    def _mask(self, sample: int, layer: int) -> list[Number]:
        """What a student takes for phi'(z) in a layer."""
        z = self.z[layer][sample]
        own = [self._slope(Kink(sample, layer, unit), value) for unit, value in enumerate(z)]
        if layer not in self.at or self.network.layers[layer].activation == "identity":
            return own
        if self.kind == "other layer":
            other = layer + 1 if layer < self.last else layer - 1
            mask = [self._slope(Kink(sample, other, unit), v) for unit, v in enumerate(self.z[other][sample])]
            return mask if len(mask) == len(own) else mask * len(own) if len(mask) == 1 else own
        wrong = {
            "no mask": [1] * len(own),
            "phi": [self._phi(layer, value) for value in z],
            "next unit": own[1:] + own[:1],
            "last unit first": own[::-1],
            "negative mask": [-1 if value < 0 else slope for value, slope in zip(z, own, strict=True)],
        }
        return wrong.get(self.kind, own)

    def _slope(self, unit: Kink, z: Number) -> Number:
        name = self.network.layers[unit.layer].activation
        if name == "sigmoid":
            return _sigmoid(z) * (1 - _sigmoid(z))
        if name == "tanh":
            return 1 - math.tanh(z) ** 2
        if name == "identity" or self._in("linear", unit.layer):
            return 1
        if abs(z) <= (0 if self.network.rational else FLOAT_TOLERANCE):
            return self.at_kink(unit)
        return int(not self._in("minimum", unit.layer)) if z > 0 else self._below_zero(unit.layer)

    def _array_gradients(self, layer: int, delta: Rows) -> dict[str, list]:
        """Gradients of weights and bias: of shape (o, i) and (o,), or whatever shape the mistake gives them."""
        inputs = self.a[layer - 1] if layer else self.x
        z = self.z[layer - 1] if layer else self.x
        wrong = {"output for input": self.a[layer], "z for a": z, "x for h": self.x}
        dW, db = _outer(delta, wrong.get(self.kind, inputs)), [sum(column) for column in zip(*delta, strict=True)]
        if self.kind in ("transposed", "outer reversed"):
            dW = transposed(dW)
        named = {self.network.layers[layer].weights: dW}
        if self.b[layer] is None:
            return named
        if self.kind == "zero bias":
            db = [0] * len(db)
        elif self.kind == "bias times input":
            db = _outer(delta, inputs)
        elif self.kind == "bias times input, summed":
            db = [sum(row) for row in _outer(delta, inputs)]
        elif self.kind == "bias times input, elementwise" and len(db) == len(inputs[0]):
            db = [row[unit] for unit, row in enumerate(_outer(delta, inputs))]
        return named | {self.network.layers[layer].bias: db}

    def _pull_back(self, layer: int, delta: list[Number]) -> list[Number]:
        """Derivatives in the inputs of a layer."""
        W = self.W[layer]
        if self.kind == "no weights":
            return [sum(delta)] * len(W[0])
        if self.kind == "other weights" and layer and shape(self.W[layer - 1]) == shape(W):
            W = self.W[layer - 1]
        if self.kind == "not transposed" and len(W) == len(W[0]):
            W = transposed(W)
        return [_dot(delta, column) for column in zip(*W, strict=True)]


def layer_names(network: Network) -> list[str]:
    """Names of the layers, with a number where two have the same."""
    names = [layer.name for layer in network.layers]
    return [name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names, start=1)]


def forward_values(network: Network, z: list[Rows], a: list[Rows], loss: Number) -> Values:
    names = layer_names(network)
    values = {"y_hat": a[-1], "loss": [[loss]]}
    for letter, layers in (("z", z), ("a", a)):
        values |= {f"{letter}:{name}": rows for name, rows in zip(names, layers, strict=True)}
    return values


def gradient_values(network: Network, gradients: ExactGradients | Gradients) -> Values:
    named = {f"delta:{name}": delta for name, delta in zip(layer_names(network), gradients.deltas, strict=True)}
    named |= {f"d{name}": array for name, array in gradients.arrays.items()} | {"dx": gradients.x}
    named = {name: rows.tolist() if isinstance(rows, np.ndarray) else rows for name, rows in named.items()}
    return {name: rows if isinstance(rows[0], list) else [rows] for name, rows in named.items()}


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _outer(delta: Rows, inputs: Rows) -> Rows:
    """Sum of the outer products over the samples."""
    return [[_dot(ds, vs) for vs in zip(*inputs, strict=True)] for ds in zip(*delta, strict=True)]


def _dot(a: Sequence[Number], b: Sequence[Number]) -> Number:
    return sum(x * y for x, y in zip(a, b, strict=True))


def transposed(rows: Rows) -> Rows:
    return [list(column) for column in zip(*rows, strict=True)]


def shape(rows: Sequence[Sequence]) -> tuple[int, int]:
    return len(rows), len(rows[0])
