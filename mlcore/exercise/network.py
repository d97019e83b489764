"""Small networks of any depth, worked by the kernels in float64: forward values, loss, gradients, differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError, ShapeError
from mlcore.kernels import layers
from mlcore.kernels.finite_differences import central_differences, one_sided_differences, rounding_error, steps_for
from mlcore.kernels.losses import half_squared, half_squared_backward, logistic, logistic_backward

ACTIVATIONS = ("relu", "identity", "sigmoid", "tanh")
LOSSES = ("half-squared", "logistic")
MOST_HALVINGS, SIDE = 14, 2.0**-20  # of a numerical step; which side of a kink the point is on is seen this near
FLOAT_TOLERANCE = 1e-12  # |z| below which a unit of a network without exact values counts as on its kink

Number = int | float | Fraction
Matrix = Sequence[Sequence[Number]]


class Layer(NamedTuple):
    """One dense layer, ``a = activation(W x + b)``; ``weights`` and ``bias`` are what its arrays are called."""

    name: str
    weights: str
    W: Matrix  # (o, i)
    activation: str = "relu"
    bias: str | None = None
    b: Sequence[Number] | None = None  # (o,)


class Kink(NamedTuple):
    """A ReLU unit whose pre-activation is 0, where ReLU has no derivative. All count from 0."""

    sample: int
    layer: int
    unit: int


@dataclass
class Trace:
    """Values of one forward pass of n samples: per layer the pre-activations z and the activations a, each (n, o)."""

    x: np.ndarray  # (n, i)
    z: list[np.ndarray]
    a: list[np.ndarray]
    kinks: list[Kink]

    @property
    def y_hat(self) -> np.ndarray:
        """Output of the network: (n, k)."""
        return self.a[-1]


@dataclass
class Gradients:
    """Derivatives of the mean loss J over n samples: in every named array, in the z of every layer, in y_hat and x."""

    arrays: dict[str, np.ndarray]  # (o, i) for weights, (o,) for biases
    deltas: list[np.ndarray]  # (n, o) each
    y_hat: np.ndarray  # (n, k)
    x: np.ndarray  # (n, i)


class Differences(NamedTuple):
    """Numerical derivatives in the entries of one array: central, from the left and from the right."""

    central: np.ndarray
    left: np.ndarray
    right: np.ndarray
    error: np.ndarray  # of rounding, at most

    @property
    def one_sided_differ(self) -> np.ndarray:
        """Entries in which J has no derivative, because its one-sided derivatives differ."""
        return ~self._close(self.left, self.right)

    def contradict(self, gradient: np.ndarray) -> np.ndarray:
        """Entries in which J has a derivative, and it is not the one given."""
        return ~self._close(self.central, gradient) & ~self.one_sided_differ

    def _close(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.abs(a - b) <= 1e-6 * np.maximum(1, np.maximum(np.abs(a), np.abs(b))) + self.error


class Network:
    """Layers that fit together, and a loss: half the squared error, or the logistic loss of an identity output.

    Inputs and targets are lists of samples; a flat list of numbers is one sample.

    Example:
        >>> network = Network([Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]]), Layer("output", "V", [[0, 1]])])
        >>> trace = network.forward([1, 2, 1])
        >>> trace.z
        [array([[ 2., -1.]]), array([[0.]])]
        >>> network.backward(trace, [1], relu_at_zero=1).arrays["V"].tolist()
        [[-2.0, 0.0]]
    """

    def __init__(self, layers: Sequence[Layer], loss: str = "half-squared") -> None:
        if not layers:
            raise ShapeError("The network has no layers; expected at least one.")
        if loss not in LOSSES:
            raise InputError(f"loss is {loss!r}; expected one of {', '.join(LOSSES)}.")
        self.loss_name = loss
        self.layers = [_checked(layer) for layer in layers]
        self.W = [_finite(layer.weights, layer.W, 2) for layer in self.layers]
        self.b = [None if layer.b is None else _finite(layer.bias, layer.b, 1) for layer in self.layers]
        for number in range(1, len(self.W)):
            shape, units = self.W[number].shape, len(self.W[number - 1])
            if shape[1] != units:
                raise ShapeError(
                    f"{self.layers[number].weights} has shape {shape}; expected {units} columns, "
                    f"one for each row of {self.layers[number - 1].weights}."
                )
        for W, b, layer in zip(self.W, self.b, self.layers, strict=True):
            if b is not None and len(b) != W.shape[0]:
                raise ShapeError(
                    f"{layer.bias} has {len(b)} values; expected {W.shape[0]}, one for each row of {layer.weights}."
                )
        if not all(self.arrays):
            raise InputError("An array has an empty name; expected a name for each.")
        if len(set(self.arrays)) != len(self.W) + sum(b is not None for b in self.b) or "x" in self.arrays:
            raise InputError("Two arrays have the same name, or one is called x; expected a name of its own for each.")
        if loss == "logistic" and self.layers[-1].activation != "identity":
            raise InputError(
                f"The logistic loss takes logits, but the output is {self.layers[-1].activation}; expected identity."
            )

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All weights and biases by name, layer by layer; changing their entries changes the network."""
        named = {}
        for layer, W, b in zip(self.layers, self.W, self.b, strict=True):
            named[layer.weights] = W
            if b is not None:
                named[layer.bias] = b
        return named

    @property
    def rational(self) -> bool:
        """Whether all values are rational functions of the numbers, so that exact arithmetic can follow them."""
        return self.loss_name == "half-squared" and all(
            layer.activation in ("relu", "identity") for layer in self.layers
        )

    def forward(self, x: Matrix, z: Sequence[Matrix] | None = None) -> Trace:
        """Values of all units.

        ``z`` are the exact pre-activations of every layer, where they are known: rounded, they take the place of the
        computed ones, so that no rounding hides a kink or makes one. Without them, |z| <= FLOAT_TOLERANCE is a kink
        where the network is not rational, and z = 0 where it is.

        Shapes: x (n, i) or (i,).
        Raises: ShapeError if x does not fit; InputError if the values exceed the range of float64.
        """
        X = _samples("x", x)
        if X.shape[1] != self.W[0].shape[1]:
            raise ShapeError(
                f"x has {X.shape[1]} value{'s' * (X.shape[1] != 1)}; expected {self.W[0].shape[1]} to match "
                f"{self.layers[0].weights} of shape {self.W[0].shape}."
            )
        tolerance = 0.0 if self.rational else FLOAT_TOLERANCE
        trace = Trace(X, [], [], [])
        for number, (layer, W, b) in enumerate(zip(self.layers, self.W, self.b, strict=True)):
            inputs = trace.a[-1] if trace.a else X
            Z, A = np.empty((2, len(X), len(W)))
            layers.affine(inputs, W, b, Z)
            if z is not None:
                Z[:] = _finite(f"z of layer {layer.name}", z[number], 2)
            if layer.activation == "relu":
                Z[np.abs(Z) <= tolerance] = 0
                trace.kinks += [Kink(int(s), number, int(u)) for s, u in np.argwhere(Z == 0)]
            _activate(layer.activation, Z, A)
            trace.z.append(Z)
            trace.a.append(A)
        _within_range(*trace.z)
        trace.kinks.sort()
        return trace

    def losses(self, trace: Trace, y: Matrix) -> np.ndarray:
        """Loss of each sample: (n,). J is their mean.

        Shapes: y (n, k) or (k,).
        Raises: ShapeError if y does not fit; InputError if a loss exceeds the range of float64.
        """
        Y, losses = self._targets(trace, y), np.empty(len(trace.x))
        kernel = half_squared if self.loss_name == "half-squared" else logistic
        kernel(trace.y_hat, Y, losses)
        _within_range(losses)
        return losses

    def backward(self, trace: Trace, y: Matrix, relu_at_zero: float = 0.0) -> Gradients:
        """Gradients of the mean loss at a forward pass, with ``relu_at_zero`` as the convention for relu'(0).

        Raises: ShapeError if y does not fit; InputError if a value exceeds the range of float64, or if
            relu_at_zero is not in [0, 1].
        """
        if not 0 <= relu_at_zero <= 1:
            raise InputError(f"relu_at_zero is {relu_at_zero:g}; expected a number from 0 to 1.")
        Y = self._targets(trace, y)
        dA = np.empty_like(Y)
        kernel = half_squared_backward if self.loss_name == "half-squared" else logistic_backward
        kernel(trace.y_hat, Y, 1 / len(Y), dA)
        d_y_hat, named, deltas = dA.copy(), {}, []
        for number in reversed(range(len(self.layers))):
            layer, W, b = self.layers[number], self.W[number], self.b[number]
            inputs = trace.a[number - 1] if number else trace.x
            dZ, dW, dX = np.empty_like(dA), np.zeros_like(W), np.empty_like(inputs)
            db = None if b is None else np.zeros_like(b)
            _activate_backward(layer.activation, dA, trace.z[number], trace.a[number], relu_at_zero, dZ)
            layers.affine_backward_weights(dZ, inputs, 0, inputs.shape[1], dW, db)
            layers.affine_backward_input(dZ, W, dX)
            named = {layer.weights: dW} | ({} if db is None else {layer.bias: db}) | named
            deltas.insert(0, dZ)
            dA = dX
        _within_range(*named.values(), *deltas, dA)
        return Gradients(named, deltas, d_y_hat, dA)

    def differences(self, x: Matrix, y: Matrix) -> dict[str, Differences]:
        """Numerical derivatives of J in every entry of every named array, and of x.

        The steps are small enough to cross no kink but one that the point itself is on.
        """
        X = _samples("x", x).copy()

        def mean_loss() -> float:
            return float(self.losses(self.forward(X), y).mean())

        found = {}
        for name, array in (self.arrays | {"x": X}).items():
            steps = self._steps(X, array)
            found[name] = Differences(
                central_differences(mean_loss, array, steps),
                one_sided_differences(mean_loss, array, -1, steps),
                one_sided_differences(mean_loss, array, 1, steps),
                rounding_error(mean_loss(), steps),
            )
        return found

    def _steps(self, X: np.ndarray, array: np.ndarray) -> np.ndarray:
        """Step for every entry within which no unit that is off its kink comes to it."""
        steps = steps_for(array)

        def signs(index: tuple, value: float) -> list[np.ndarray]:
            array[index] = value
            return [np.sign(z) for z in self.forward(X).z]

        for index in np.ndindex(array.shape):
            original = array[index]
            for _ in range(MOST_HALVINGS):
                h = steps[index]
                sides = ((2 * h, h * SIDE), (-2 * h, -h * SIDE))
                if all(
                    all(map(np.array_equal, signs(index, original + far), signs(index, original + near)))
                    for far, near in sides
                ):
                    break
                steps[index] = h / 2
            array[index] = original
        return steps

    def _targets(self, trace: Trace, y: Matrix) -> np.ndarray:
        Y = _samples("y", y)
        if Y.shape != trace.y_hat.shape:
            samples, outputs = trace.y_hat.shape
            if len(Y) != samples:
                raise ShapeError(f"y has {len(Y)} samples; expected {samples}, as x has.")
            raise ShapeError(
                f"y has {Y.shape[1]} value{'s' * (Y.shape[1] != 1)}; expected {outputs}, one for each row of "
                f"{self.layers[-1].weights}."
            )
        if self.loss_name == "logistic" and not np.isin(Y, (0, 1)).all():
            raise InputError("y holds another number than 0 and 1; expected one of these for the logistic loss.")
        return Y


def _activate(name: str, Z: np.ndarray, A: np.ndarray) -> None:
    if name == "identity":
        A[:] = Z
    else:
        {"relu": layers.relu, "sigmoid": layers.sigmoid, "tanh": layers.tanh}[name](Z, A)


def _activate_backward(
    name: str, dA: np.ndarray, Z: np.ndarray, A: np.ndarray, relu_at_zero: float, dZ: np.ndarray
) -> None:
    if name == "identity":
        dZ[:] = dA
    elif name == "relu":
        layers.relu_backward(dA, Z, relu_at_zero, dZ)
    else:
        {"sigmoid": layers.sigmoid_backward, "tanh": layers.tanh_backward}[name](dA, A, dZ)


def _checked(layer: Layer) -> Layer:
    if layer.activation not in ACTIVATIONS:
        raise InputError(
            f"The activation of layer {layer.name!r} is {layer.activation!r}; expected one of {', '.join(ACTIVATIONS)}."
        )
    if (layer.bias is None) != (layer.b is None):
        raise InputError(
            f"Layer {layer.name!r} has a bias without name or a name without bias; expected both or neither."
        )
    return layer


def _samples(name: str, values: Matrix) -> np.ndarray:
    flat = len(values) and not isinstance(values[0], Sequence | np.ndarray)
    return _finite(name, [values] if flat else values, 2)


def _finite(name: str, values: Matrix | Sequence[Number], dimensions: int) -> np.ndarray:
    expected = "a list of numbers" if dimensions == 1 else "rows of numbers, all of one length"
    try:
        array = np.array(values, np.float64)
    except OverflowError as error:
        raise InputError(f"{name} holds a number that exceeds the range of float64 (1.8e308).") from error
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name} is not {expected}.") from error
    if array.ndim != dimensions or not array.size:
        raise ShapeError(f"{name} has shape {array.shape}; expected {expected}.")
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinity; expected finite numbers.")
    return array


def _within_range(*arrays: np.ndarray) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError("The values exceed the range of float64 (1.8e308); use smaller numbers.")
