"""The network of exercise 1: dense layers without bias, each with a ReLU, and half the squared error."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore import kernels
from mlcore.errors import InputError, ShapeError
from mlcore.gradcheck import central_differences, one_sided_differences


class Layer(NamedTuple):
    """One layer, ``a = relu(W x)``; ``weights`` is what the matrix is called in formulas."""

    name: str
    weights: str
    W: np.ndarray  # (o, i)


class Kink(NamedTuple):
    """A unit whose pre-activation is exactly 0, where ReLU has no derivative. Layers count from 0, units from 1."""

    layer: int
    unit: int


@dataclass
class Trace:
    """Values of one forward pass: per layer the pre-activations z and the activations a, each (o,)."""

    x: np.ndarray
    z: list[np.ndarray]
    a: list[np.ndarray]

    @property
    def y_hat(self) -> np.ndarray:
        """Output of the network: (k,)."""
        return self.a[-1]

    @property
    def kinks(self) -> list[Kink]:
        """Units on the kink of their ReLU."""
        return [Kink(layer, int(unit) + 1) for layer, z in enumerate(self.z) for unit in np.flatnonzero(z == 0)]


@dataclass
class Gradients:
    """Derivatives of the loss J: in the weights and deltas (dJ/dz) of every layer, in y_hat, and in x."""

    weights: list[np.ndarray]
    deltas: list[np.ndarray]
    y_hat: np.ndarray
    x: np.ndarray


class Differences(NamedTuple):
    """Numerical derivatives in the entries of one array: central, from the left and from the right."""

    central: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @property
    def one_sided_differ(self) -> np.ndarray:
        """Entries in which J has no derivative, because its one-sided derivatives differ."""
        return ~_close(self.left, self.right)

    def contradict(self, gradient: np.ndarray) -> np.ndarray:
        """Entries in which J has a derivative, and it is not the one given."""
        return ~_close(self.central, gradient) & ~self.one_sided_differ


class Network:
    """Layers that fit together.

    Example:
        >>> network = Network([Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]]), Layer("output", "V", [[0, 1]])])
        >>> network.forward([1, 2, 1]).z
        [array([ 2., -1.]), array([0.])]
    """

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = [layer._replace(W=_finite(layer.weights, layer.W, 2).copy()) for layer in layers]
        for before, layer in zip(self.layers, self.layers[1:], strict=False):
            if layer.W.shape[1] != before.W.shape[0]:
                raise ShapeError(
                    f"{layer.weights} has shape {layer.W.shape}; expected {before.W.shape[0]} columns, "
                    f"one for each row of {before.weights}."
                )

    def forward(self, x: np.ndarray) -> Trace:
        """Values of all units for one input.

        Shapes: x (i,).
        Raises: ShapeError if x does not fit; InputError if the values exceed the range of float64.
        """
        x = _finite("x", x, 1)
        first = self.layers[0]
        if len(x) != first.W.shape[1]:
            raise ShapeError(
                f"x has {len(x)} values; expected {first.W.shape[1]} to match {first.weights} of shape {first.W.shape}."
            )
        trace = Trace(x, [], [])
        for layer in self.layers:
            inputs = (trace.a[-1] if trace.a else x).reshape(1, -1)
            Z, A = np.empty((2, 1, layer.W.shape[0]))
            kernels.affine(inputs, layer.W, None, Z)
            kernels.relu(Z, A)
            trace.z.append(Z[0])
            trace.a.append(A[0])
        _within_range(*trace.z)
        return trace

    def loss(self, trace: Trace, y: np.ndarray) -> float:
        """``J = 1/2 sum_k (y_k - y_hat_k)^2``.

        Shapes: y (k,).
        Raises: ShapeError if y does not fit; InputError if J exceeds the range of float64.
        """
        y = self._targets(y)
        losses = np.empty(1)
        kernels.half_squared(trace.y_hat.reshape(1, -1), y.reshape(1, -1), losses)
        _within_range(losses)
        return float(losses[0])

    def backward(self, trace: Trace, y: np.ndarray, relu_at_zero: float = 0.0) -> Gradients:
        """Gradients of the loss at a forward pass, with ``relu_at_zero`` as the convention for relu'(0).

        Raises: ShapeError if y does not fit; InputError if a value exceeds the range of float64, or if
            relu_at_zero is not in [0, 1].
        """
        if not 0 <= relu_at_zero <= 1:
            raise InputError(f"relu_at_zero is {relu_at_zero:g}; expected a number from 0 to 1.")
        y = self._targets(y)
        dA = np.empty((1, len(y)))
        kernels.half_squared_backward(trace.y_hat.reshape(1, -1), y.reshape(1, -1), 1.0, dA)
        d_y_hat, weights, deltas = dA[0].copy(), [], []
        for number, layer in reversed(list(enumerate(self.layers))):
            inputs = (trace.a[number - 1] if number else trace.x).reshape(1, -1)
            dZ, dW, dX = np.empty_like(dA), np.zeros_like(layer.W), np.empty_like(inputs)
            kernels.relu_backward(dA, trace.z[number].reshape(1, -1), relu_at_zero, dZ)
            kernels.affine_backward_weights(dZ, inputs, dW, None)
            kernels.affine_backward_input(dZ, layer.W, dX)
            weights.insert(0, dW)
            deltas.insert(0, dZ[0])
            dA = dX
        _within_range(*weights, *deltas, dA)
        return Gradients(weights, deltas, d_y_hat, dA[0])

    def differences(self, x: np.ndarray, y: np.ndarray) -> dict[str, Differences]:
        """Numerical derivatives of J in every entry of every matrix, and of x, under the names of the matrices."""
        x = _finite("x", x, 1).copy()
        arrays = {layer.weights: layer.W for layer in self.layers} | {"x": x}

        def loss() -> float:
            return self.loss(self.forward(x), y)

        return {
            name: Differences(
                central_differences(loss, array),
                one_sided_differences(loss, array, side=-1),
                one_sided_differences(loss, array, side=1),
            )
            for name, array in arrays.items()
        }

    def _targets(self, y: np.ndarray) -> np.ndarray:
        y = _finite("y", y, 1)
        last = self.layers[-1]
        if len(y) != last.W.shape[0]:
            raise ShapeError(f"y has {len(y)} values; expected {last.W.shape[0]}, one for each row of {last.weights}.")
        return y


def _finite(name: str, values: np.ndarray, dimensions: int) -> np.ndarray:
    array = np.ascontiguousarray(values, np.float64)
    if array.ndim != dimensions or not array.size:
        expected = "a list of numbers" if dimensions == 1 else "rows of numbers, all of one length"
        raise ShapeError(f"{name} has shape {array.shape}; expected {expected}.")
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity; expected finite numbers.")
    return array


def _within_range(*arrays: np.ndarray) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError("The values exceed the range of float64 (1.8e308); use smaller numbers.")


def _close(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a - b) <= 1e-6 * np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
