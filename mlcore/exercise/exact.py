"""The forward and the backward pass by hand, one step after the other, in fractions or in float64.

Everything that shows, proves or marks the steps takes them from here; only the kernels have a pass of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.exercise.network import FLOAT_TOLERANCE, Gradients, Kink, Matrix, Network, Number, Trace

AtZero = Number | Sequence[np.ndarray]  # phi'(0): one number for all units, or (n, o) numbers for every layer


@dataclass
class ExactTrace(Trace):
    """Values of one forward pass: those of ``Trace``, the loss of each sample (n,) and their mean J."""

    losses: np.ndarray
    loss: Number


@dataclass
class ExactGradients(Gradients):
    """Derivatives of J, and the steps to them: ``deltas = pulled * slopes``, where pulled is dJ/da; (n, o) each."""

    slopes: list[np.ndarray]
    pulled: list[np.ndarray]

    @property
    def flat(self) -> np.ndarray:
        """All derivatives in weights and biases in one row."""
        return np.concatenate([array.ravel() for array in self.arrays.values()])


def as_fraction(value: Number) -> Fraction:
    """The number as it is written: a float stands for its shortest decimal."""
    return Fraction(repr(float(value))) if isinstance(value, float) else Fraction(value)


fractions = np.vectorize(as_fraction, otypes=[object])


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), without overflow."""
    decay = np.exp(-abs(z))
    return np.asarray(np.where(z >= 0, 1, decay) / (1 + decay))


ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {  # phi and phi', in the numbers of one
    "relu": (
        lambda z, one: np.maximum(z, 0 * one),
        lambda z, a, one, at_zero: np.where(z > 0, one, np.where(z < 0, 0 * one, at_zero)),
    ),
    "identity": (lambda z, one: z, lambda z, a, one, at_zero: np.full(z.shape, one)),
    "sigmoid": (lambda z, one: sigmoid(z), lambda z, a, one, at_zero: a * (one - a)),
    "tanh": (lambda z, one: np.tanh(z), lambda z, a, one, at_zero: one - a * a),
}


class Pass:
    """A network with its samples, worked forward and backward: in fractions if it is rational, in float64 if not.

    Every value goes through ``step`` once, so that a subclass can put another in its place.

    Raises: ShapeError if x or y does not fit the network.
    """

    def __init__(self, network: Network, x: Matrix, y: Matrix) -> None:
        network.check(x, y)
        self.network, self.layers, self.depth = network, network.layers, len(network.layers)
        self.number: Any = as_fraction if network.rational else float
        self.x, self.y = np.atleast_2d(self.array(x)), np.atleast_2d(self.array(y))
        self.W = [self.array(layer.W) for layer in self.layers]
        self.b = [None if layer.b is None else self.array(layer.b) for layer in self.layers]
        self.forward()

    def array(self, values: Any) -> np.ndarray:
        """The values in the numbers of this pass."""
        return fractions(np.array(values, object)) if self.network.rational else np.array(values, np.float64)

    def step(self, name: str, layer: int, value: Any) -> Any:
        """A value on the way: share, z, a, losses, error, slopes, delta, inputs, dW, db or pulled."""
        return value

    def inputs(self, layer: int) -> np.ndarray:
        """What a layer gets: (n, i)."""
        return self.trace.a[layer - 1] if layer else self.x

    def activate(self, layer: int, z: np.ndarray) -> np.ndarray:
        """phi(z) with the activation of a layer."""
        return np.asarray(ACTIVATIONS[self.layers[layer].activation][0](z, self.number(1)))

    def slopes(self, layer: int, at_zero: AtZero = 0) -> np.ndarray:
        """phi'(z) of a layer: (n, o)."""
        kinked = at_zero[layer] if isinstance(at_zero, Sequence) else self.number(at_zero)
        slope = ACTIVATIONS[self.layers[layer].activation][1]
        return np.asarray(slope(self.trace.z[layer], self.trace.a[layer], self.number(1), kinked))

    def predicted(self) -> np.ndarray:
        """What y is compared with: y_hat, or the probability sigma(y_hat) for the logistic loss."""
        return sigmoid(self.trace.y_hat) if self.network.loss_name == "logistic" else self.trace.y_hat

    def loss_terms(self) -> np.ndarray:
        """Loss of each output of each sample: (n, k)."""
        y_hat, y = self.trace.y_hat, self.y
        if self.network.loss_name == "logistic":
            return np.asarray(np.maximum(y_hat, 0) - y * y_hat + np.log1p(np.exp(-abs(y_hat))))
        return np.asarray((y - y_hat) ** 2 / 2)

    def forward(self) -> None:
        """Compute ``trace``."""
        self.share = self.step("share", 0, self.number(Fraction(1, len(self.x))))
        self.trace = trace = ExactTrace(self.x, [], [], [], np.empty(0), 0)
        for layer, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            z = self.step("z", layer, self.inputs(layer) @ W.T + (0 if b is None else b))
            if self.layers[layer].activation == "relu":
                if not self.network.rational:
                    z[abs(z) <= FLOAT_TOLERANCE] = 0
                trace.kinks += [Kink(int(s), layer, int(u)) for s, u in np.argwhere(z == 0)]
            trace.z.append(z)
            trace.a.append(self.step("a", layer, self.activate(layer, z)))
        trace.kinks.sort()
        trace.losses = self.step("losses", self.depth - 1, self.loss_terms()).sum(1)
        trace.loss = trace.losses.sum() * self.share

    def backward(self, at_zero: AtZero = 0) -> ExactGradients:
        """Gradients of J with ``at_zero`` for phi'(0)."""
        last = self.depth - 1
        y_hat = self.step("error", last, self.predicted() - self.y) * self.share
        slopes = self.step("slopes", last, self.slopes(last, at_zero))
        found = self.pull_back(last, self.step("delta", last, y_hat * slopes), at_zero)
        found.y_hat, found.slopes, found.pulled = y_hat, [*found.slopes, slopes], [*found.pulled, y_hat]
        return found

    def pull_back(
        self, layer: int, delta: np.ndarray, at_zero: AtZero = 0, samples: slice = slice(None)
    ) -> ExactGradients:
        """Gradients of the sum of ``delta * z`` of a layer over these samples, in everything below it.

        Shapes: delta (n, o).
        """
        found = ExactGradients({}, [delta], delta, delta, [], [])
        for number in reversed(range(layer + 1)):
            delta, (_, weights, _, _, bias, _) = found.deltas[0], self.layers[number]
            inputs = self.step("inputs", number, self.inputs(number)[samples])
            arrays = {weights: self.step("dW", number, delta.T @ inputs)}
            if bias is not None:
                arrays[bias] = self.step("db", number, delta.sum(0))
            found.arrays = arrays | found.arrays
            found.x = self.step("pulled", number, delta @ self.W[number])
            if number:
                slopes = self.step("slopes", number - 1, self.slopes(number - 1, at_zero)[samples])
                found.slopes.insert(0, slopes)
                found.pulled.insert(0, found.x)
                found.deltas.insert(0, self.step("delta", number - 1, found.x * slopes))
        return found
