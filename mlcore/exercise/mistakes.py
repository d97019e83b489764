"""The mistakes that students make: each is a step of the pass that is done in another way, and has a name."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mlcore.exercise.exact import ExactGradients, Pass
from mlcore.exercise.network import Network, Number

Step = Callable[["Work", int, Any], Any]  # what the student does in a layer, given what is right
Steps = Mapping[str, Step]
Values = dict[str, np.ndarray]  # matrices by the names of answers


def _as(number: float | str) -> Step:
    """Another number in place of every right one."""
    return lambda work, layer, right: np.full(right.shape, work.number(Fraction(number)))


def _slope_below_zero(number: str) -> dict[str, Step]:
    """Another slope than 0 where z < 0, forward and backward."""
    slope = Fraction(number)
    return {
        "a": lambda work, layer, a: a + work.number(slope) * (work.trace.z[layer] - a),
        "slopes": lambda work, layer, right: np.where(work.trace.z[layer] < 0, work.number(slope), right),
    }


def _other_layer(work: "Work", layer: int, right: np.ndarray) -> np.ndarray:
    other = work.slopes(layer + 1 if layer < work.depth - 1 else layer - 1, work.convention)
    return np.broadcast_to(other, right.shape) if other.shape[1] in (1, right.shape[1]) else right


# The steps of a mistake, most likely first. Those with {where} can be made in one layer or in several.
MISTAKES: list[tuple[str, Steps]] = [
    ("wrong sign (y − ŷ instead of ŷ − y)", {"error": lambda work, layer, e: -e}),
    ("outer product reversed (x δᵀ instead of δ xᵀ)", {"dW": lambda work, layer, dW: dW.T}),
    ("factor ŷ − y left out", {"error": _as(1)}),
    ("1/2 in J left out (twice as large)", dict.fromkeys(("losses", "error"), lambda work, layer, right: right * 2)),
    ("1/2 of J kept (half as large)", dict.fromkeys(("losses", "error"), lambda work, layer, right: right / 2)),
    ("J instead of ŷ − y (squared error, not its derivative)", {"error": lambda work, layer, e: work.loss_terms()}),
    ("(y − ŷ)² instead of ŷ − y", {"error": lambda work, layer, e: e * e}),
    ("square left out in the loss", {"losses": lambda work, layer, loss: (work.y - work.trace.a[-1]) / 2}),
    ("square left out in the loss", {"losses": lambda work, layer, loss: (work.trace.a[-1] - work.y) / 2}),
    ("z instead of h in the gradient of the weights (the activation left out)",
     {"inputs": lambda work, layer, right: work.trace.z[layer - 1] if layer else right}),
    ("h instead of x in the gradient of the weights (the layer's output, not its input)",
     {"inputs": lambda work, layer, right: work.trace.a[layer]}),
    ("x instead of h in the gradient of the weights", {"inputs": lambda work, layer, right: work.x}),
    ("weights left out in the δ of the layer below (Vᵀ)",
     {"pulled": lambda work, layer, right: 0 * right + work.deltas[layer].sum(1, keepdims=True)}),
    ("weights not transposed in the δ of the layer below (V instead of Vᵀ)",
     {"pulled": lambda work, layer, right: work.through(layer, work.W[layer].T, right)}),
    ("weights of the wrong layer in the δ of the layer below (W instead of V)",
     {"pulled": lambda work, layer, right: work.through(layer, work.W[max(layer - 1, 0)], right)}),
    ("summed over the units instead of multiplied unit by unit",
     {"delta": lambda work, layer, d: 0 * d + d.sum(1, keepdims=True) if layer < work.depth - 1 else d}),
    ("weights transposed in the forward pass",
     {"z": lambda work, layer, z: z + work.inputs(layer) @ (work.W[layer] - work.W[layer].T)
      if work.W[layer].shape == work.W[layer].T.shape else z}),
    ("bias left out in the forward pass",
     {"z": lambda work, layer, z: z if work.b[layer] is None else work.inputs(layer) @ work.W[layer].T}),
    ("bias gradient left out (0)", {"db": _as(0)}),
    ("bias gradient multiplied by the input", {"db": lambda work, layer, right: work.outer(layer)}),
    ("bias gradient multiplied by the input", {"db": lambda work, layer, right: work.outer(layer).diagonal()}),
    ("bias gradient multiplied by the input", {"db": lambda work, layer, right: work.outer(layer).sum(1)}),
    ("summed over the samples instead of averaged", {"share": lambda work, layer, share: share * 0 + 1}),
    ("averaged twice over the samples", {"share": lambda work, layer, share: share * share}),
    ("only the first sample used", {"samples": lambda work, layer, right: right[:1]}),
    ("wrong sign", {"negated": lambda work, layer, right: -right}),
    ("φ'(z) left out (or 1 for z < 0) in {where}", {"slopes": _as(1)}),
    ("φ(z) instead of φ'(z) in {where}", {"slopes": lambda work, layer, s: work.activate(layer, work.trace.z[layer])}),
    ("ReLU left out, forward and backward, in {where}",
     {"a": lambda work, layer, a: work.trace.z[layer], "slopes": _as(1)}),
    ("ReLU left out in the forward pass in {where}", {"a": lambda work, layer, a: work.trace.z[layer]}),
    ("φ'(z) of the wrong layer in {where}", {"slopes": _other_layer}),
    ("φ'(z) of the wrong unit (the next one) in {where}", {"slopes": lambda work, layer, s: np.roll(s, -1, 1)}),
    ("φ'(z) of the wrong unit (the order reversed) in {where}", {"slopes": lambda work, layer, s: s[:, ::-1]}),
    ("φ'(z) = −1 for z < 0 in {where}", {"slopes": _slope_below_zero("-1")["slopes"]}),
    ("|z| instead of ReLU in {where}", _slope_below_zero("-1")),
    ("min(0, z) instead of max(0, z) in {where}",
     {"a": lambda work, layer, a: work.trace.z[layer] - a,
      "slopes": lambda work, layer, s: np.where(work.trace.z[layer] == 0, s, work.number(1) - s)}),
    ("leaky ReLU (slope 1/100) instead of ReLU in {where}", _slope_below_zero("1/100")),
    ("leaky ReLU (slope 1/10) instead of ReLU in {where}", _slope_below_zero("1/10")),
]  # fmt: skip


class Mistake(NamedTuple):
    """A mistake and the layers that it is made in; None is all."""

    name: str
    steps: Steps
    layers: frozenset[int] | None = None

    def values(self, right: Pass, convention: Number = 0) -> Values:
        """All answers of a student who makes this mistake and no other."""
        return Work(right, convention, self).values()


RIGHT = Mistake("", {})


def catalogue(network: Network) -> list[Mistake]:
    """All mistakes that are looked for, most likely first."""
    every = range(len(network.layers))
    scopes = [(f"layer {name}", frozenset([number])) for number, name in enumerate(layer_names(network))]
    if len(every) > 2:
        scopes.append(("all hidden layers", frozenset(every[:-1])))
    if len(every) > 1:
        scopes.append(("all layers", frozenset(every)))
    return [
        Mistake(name.format(where=where), steps, layers)
        for name, steps in MISTAKES
        for where, layers in (scopes if "{where}" in name else [("", None)])
    ]


class Work(Pass):
    """What a student does: the pass with a mistake, or from values of the student's own, by the names of answers."""

    def __init__(self, right: Pass, convention: Number, mistake: Mistake = RIGHT, given: Values | None = None) -> None:
        vars(self).update(vars(right))
        self.mistake, self.given, self.convention = mistake, given or {}, convention
        self.names = layer_names(right.network)
        self.deltas: dict[int, np.ndarray] = {}
        if "samples" in mistake.steps:
            self.x, self.y = (mistake.steps["samples"](self, 0, rows) for rows in (right.x, right.y))
        self.forward()

    def step(self, name: str, layer: int, right: Any) -> Any:
        _, steps, layers = self.mistake
        activation = self.layers[layer].activation
        has_slope = activation == "relu" or activation != "identity" and "a" not in steps
        if name in steps and (layers is None or layer in layers and has_slope):
            right = steps[name](self, layer, right)
        answer = f"{name}:{self.names[layer]}"
        if name == "a" and layer == self.depth - 1 and "y_hat" in self.given:
            answer = "y_hat"
        if answer in self.given:
            right = self.array(self.given[answer])
        if name == "delta":
            self.deltas[layer] = right
        return right

    def outer(self, layer: int) -> np.ndarray:
        return np.asarray(self.deltas[layer].T @ self.inputs(layer))

    def through(self, layer: int, W: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.asarray(self.deltas[layer] @ W) if W.shape == self.W[layer].shape else right

    def values(self) -> Values:
        """All answers."""
        values = answers_of(self, self.backward(self.convention))
        if "negated" in self.mistake.steps:
            return {name: np.negative(rows) for name, rows in values.items() if not name.startswith("d")}
        return values


def layer_names(network: Network) -> list[str]:
    """Names of the layers, with a number where two have the same."""
    names = [layer.name for layer in network.layers]
    return [name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names, start=1)]


def answers_of(work: Pass, gradients: ExactGradients) -> Values:
    """All answers by name."""
    trace = work.trace
    values = {"y_hat": trace.y_hat, "loss": np.array([[trace.loss]])}
    for letter, rows in (("z", trace.z), ("a", trace.a), ("delta", gradients.deltas)):
        values |= zip((f"{letter}:{name}" for name in layer_names(work.network)), rows, strict=True)
    return values | {f"d{name}": np.atleast_2d(array) for name, array in gradients.arrays.items()} | {"dx": gradients.x}
