"""The forward and the backward pass by hand, one step after the other, in fractions or in float64.

Everything that shows, proves or marks the steps takes them from here; only the kernels have a pass of their own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlcore.exercise.functions import ACTIVATIONS, Number, as_fraction, through_softmax
from mlcore.exercise.network import FLOAT_TOLERANCE, Gradients, Matrix, Network, Trace, check_range

AtZero = Number | Sequence[np.ndarray]  # phi'(0): one number for all units, or (n, o) numbers for every layer


fractions = np.vectorize(as_fraction, otypes=[object])


class Pass:
    """A network with its samples, worked forward and backward: in fractions if it is rational, or else in float64.

    ``trace``: the values of all units; ``losses``: the loss J_s of each sample (n,); ``loss``: J.

    Every value goes through ``step`` once, so that a subclass can put another in its place; its arrays may have other
    axes in front, for many passes at once.

    Raises: ShapeError if x or y does not fit the network.
    """

    def __init__(self, network: Network, x: Matrix, y: Matrix, is_exact: bool = True) -> None:
        network.check(x, y)
        self.network, self.layers, self.depth = network, network.layers, len(network.layers)
        self.is_exact = network.rational and is_exact
        self.number: Any = as_fraction if self.is_exact else float
        self.x, self.y = np.atleast_2d(self.array(x)), np.atleast_2d(self.array(y))
        self.arrays = {name: self.array(values) for name, values in network.given.items()}
        self.W = network.joined(self.arrays)
        self.b = [self.arrays.get(layer.bias or "") for layer in self.layers]
        self.leaks = list(map(self.number, network.leaks))
        self.factor, self.l2 = self.number(network.factor), self.number(network.loss.l2)
        with np.errstate(over="ignore", invalid="ignore"):  # see checked_backward
            self.forward()

    def array(self, values: Any) -> np.ndarray:
        """The values in the numbers of this pass."""
        return fractions(np.array(values, object)) if self.is_exact else np.array(values, np.float64)

    def step(self, name: str, layer: int, value: Any) -> Any:
        """A value on the way: share, z, a, losses, error, da, slopes, delta, inputs, dW, db, penalty or pulled."""
        return value

    def inputs(self, layer: int) -> np.ndarray:
        """What a layer gets: (n, i)."""
        return self.network.inputs(layer, self.x, self.trace.a)

    def activate(self, layer: int, z: np.ndarray) -> np.ndarray:
        """phi(z) with the activation of a layer."""
        return np.asarray(self.network.activations[layer].phi(z, self.number(1), self.leaks[layer]))

    def slopes(self, layer: int, at_zero: AtZero = 0) -> np.ndarray:
        """phi'(z) of a layer, or 1 where the loss works from its z: (n, o)."""
        kinked = at_zero[layer] if isinstance(at_zero, Sequence) else self.number(at_zero)
        numbers = self.trace.z[layer], self.trace.a[layer], self.number(1), self.leaks[layer], kinked
        return np.asarray(self.network.through[layer].slope(*numbers))

    def predicted(self) -> np.ndarray:
        """What y is compared with: y_hat, or the probability where it is a logit."""
        if self.network.is_logit:
            probability = ACTIVATIONS[self.network.function.outputs[1]]
            return probability.phi(self.trace.y_hat, self.number(1), self.number(0))
        return self.trace.y_hat

    def forward(self) -> None:
        self.share = self.step("share", 0, self.number(self.network.share(self.x.shape[-2])))
        self.trace = trace = Trace(self.x, [], [], [])
        for layer, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            z = self.step("z", layer, self.inputs(layer) @ W.T + (0 if b is None else b))
            if self.network.activations[layer].has_kink and not self.is_exact:
                z[abs(z) <= FLOAT_TOLERANCE] = 0
            trace.z.append(z)
            trace.a.append(self.step("a", layer, self.activate(layer, z)))
        trace.kinks = self.network.kinks(trace.z)
        function = self.network.function
        terms = self.factor * function.terms(trace.z[-1] if function.outputs else trace.y_hat, self.y)
        self.losses = self.step("losses", self.depth - 1, terms).sum(-1)
        self.loss = self.losses.sum(-1) * self.share + self.penalty()

    def penalty(self) -> Number:
        total: Number = self.l2 / 2 * sum((self.arrays[name] ** 2).sum() for name in self.network.penalized)
        return total

    def backward(self, at_zero: AtZero = 0) -> Gradients:
        """Gradients with ``at_zero`` for phi'(0).

        Raises: InputError if an activation has no derivative to use.
        """
        self.network.check_derivatives()
        last, function = self.depth - 1, self.network.function
        error = self.step("error", last, self.factor * function.error(self.predicted(), self.y))
        slopes = self.step("slopes", last, self.slopes(last, at_zero))
        delta = through_softmax(error, self.trace.y_hat) if self.network.has_jacobian else error * slopes
        found = self.pull_back(last, self.step("delta", last, delta), at_zero)
        found.y_hat = self.network.gradient_of_output(self.trace.y_hat, self.y, error)
        found.slopes, found.pulled = [*found.slopes, slopes], [*found.pulled, error]
        for name in self.network.penalized:
            found.arrays[name] = found.arrays[name] + self.step("penalty", 0, self.l2 * self.arrays[name])
        return found

    def checked_backward(self, at_zero: AtZero = 0) -> Gradients:
        """``backward``, to be shown.

        Raises: as it does, and InputError if a value exceeds the range of float64.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.backward(at_zero)
        check_range(*self.trace.z, np.array([self.loss]), *found.deltas, *found.arrays.values(), found.x)
        return found

    def pull_back(self, layer: int, delta: np.ndarray, at_zero: AtZero = 0, samples: slice = slice(None)) -> Gradients:
        """Gradients of the mean, or the sum, of ``delta * z`` of a layer over these samples, in everything below it.

        Shapes: delta (n, o).
        """
        x = np.full((*delta.shape[:-1], self.x.shape[-1]), self.number(0))  # 0 for what the layers above take
        found = Gradients({}, [delta], delta, x)
        arrays: dict[str, np.ndarray] = {}
        for number in reversed(range(layer + 1)):
            delta, bias = found.deltas[0], self.layers[number].bias
            inputs = self.step("inputs", number, self.inputs(number)[samples])
            dW = self.step("dW", number, delta.swapaxes(-1, -2) @ inputs)
            for name, columns in self.network.parts(number):
                arrays[name] = self.network.turned(dW[..., columns]) * self.share + arrays.get(name, 0)
            if bias is not None:
                arrays[bias] = self.step("db", number, delta.sum(-2)) * self.share + arrays.get(bias, 0)
            pulled = self.step("pulled", number, delta @ self.W[number])
            pulled, found.x[..., self.network.spans[number]] = self.network.divided(number, pulled)
            if number:
                pulled = self.step("da", number - 1, pulled)
                slopes = self.step("slopes", number - 1, self.slopes(number - 1, at_zero)[samples])
                found.slopes.insert(0, slopes)
                found.pulled.insert(0, pulled)
                found.deltas.insert(0, self.step("delta", number - 1, pulled * slopes))
        found.arrays = {name: arrays[name] for name in self.network.trained if name in arrays}
        return found
