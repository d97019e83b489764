"""Small networks of any depth, worked by the kernels in float64: forward values, loss, gradients, differences."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError, ShapeError
from mlcore.kernels import layers
from mlcore.kernels.finite_differences import central_differences, one_sided_differences, rounding_error, steps_for
from mlcore.kernels.losses import half_squared, half_squared_backward, logistic, logistic_backward

Kernel = Callable[..., None]
ACTIVATIONS: dict[str, tuple[Kernel, Kernel]] = {  # phi(Z, A), and its backward pass (dA, Z, A, at_zero, dZ)
    "relu": (layers.relu, lambda dA, Z, A, at_zero, dZ: layers.relu_backward(dA, Z, at_zero, dZ)),
    "identity": (lambda Z, A: np.copyto(A, Z), lambda dA, Z, A, at_zero, dZ: np.copyto(dZ, dA)),
    "sigmoid": (layers.sigmoid, lambda dA, Z, A, at_zero, dZ: layers.sigmoid_backward(dA, A, dZ)),
    "tanh": (layers.tanh, lambda dA, Z, A, at_zero, dZ: layers.tanh_backward(dA, A, dZ)),
}
LOSSES = {"half-squared": (half_squared, half_squared_backward), "logistic": (logistic, logistic_backward)}
ALIASES = {"linear": "identity", "none": "identity", "bce": "logistic", "binary-cross-entropy": "logistic"}
MAX_HALVINGS, SIDE = 14, 2.0**-20  # of a numerical step; which side of a kink the point is on is seen this near
FLOAT_TOLERANCE = 1e-12  # |z| below which a unit of a network without exact values counts as on its kink

Number = int | float | Fraction
Matrix = Sequence[Sequence[Number]] | Sequence[Number] | np.ndarray


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
        return np.asarray(~self._close(self.left, self.right))

    def contradict(self, gradient: np.ndarray) -> np.ndarray:
        """Entries in which J has a derivative, and it is not the one given."""
        return np.asarray(~self._close(self.central, gradient) & ~self.one_sided_differ)

    def _close(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        largest = np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
        return np.asarray(np.abs(a - b) <= 1e-6 * largest + self.error)


class Network:
    """Layers that fit together, and a loss: half the squared error, or the logistic loss of an identity output.

    Inputs and targets are lists of samples; a flat list of numbers is one sample. Activations and losses may be
    written as in ``ReLU``, ``linear`` or ``half_squared``. The logistic loss has the sigmoid in it: y_hat is the
    logit, also where the output is said to be a sigmoid. ``arrays`` are the weights and biases by name, and changing
    their entries changes the network. ``rational``: whether exact arithmetic can follow all values.

    Raises: ShapeError if the layers do not fit together; InputError if a name or a number is wrong.

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
            raise ShapeError("The network has no layers; give it at least one.")
        self.loss_name = _choice("loss", loss, LOSSES)
        chosen = [_choice(f"activation of layer {layer.name!r}", layer.activation, ACTIVATIONS) for layer in layers]
        if self.loss_name == "logistic":
            if chosen[-1] not in ("identity", "sigmoid"):
                raise InputError(f"The logistic loss needs a sigmoid or identity output, but it is {chosen[-1]}.")
            chosen[-1] = "identity"
        self.layers = [layer._replace(activation=name) for layer, name in zip(layers, chosen, strict=True)]
        self.rational = self.loss_name == "half-squared" and {*chosen} <= {"relu", "identity"}
        self.arrays: dict[str, np.ndarray] = {}
        self.W: list[np.ndarray] = []
        self.b: list[np.ndarray | None] = []
        for layer in self.layers:
            if (layer.bias is None) != (layer.b is None):
                raise InputError(f"Layer {layer.name!r} has a bias without a name or a name without a bias.")
            W = _finite(layer.weights, layer.W, 2)
            b = None if layer.b is None else _finite(str(layer.bias), layer.b, 1)
            if self.W:
                _check_length(layer.weights, W.shape[1], "column", len(self.W[-1]), self.layers[len(self.W) - 1])
            if b is not None:
                _check_length(str(layer.bias), len(b), "value", len(W), layer)
            self.W.append(W)
            self.b.append(b)
            self.arrays |= {layer.weights: W} if b is None else {layer.weights: W, str(layer.bias): b}
        if len(self.arrays) < sum(1 if b is None else 2 for b in self.b) or {"", "x"} & {*self.arrays}:
            raise InputError("Every array needs a name of its own, other than x.")

    def check(self, x: Matrix, y: Matrix) -> tuple[np.ndarray, np.ndarray]:
        """The samples as arrays: x (n, i) and y (n, k).

        Raises: ShapeError if they do not fit the network; InputError if a number is not finite, or y is not 0 or 1
            for the logistic loss.
        """
        X, Y = self._inputs(x), _samples("y", y)
        if len(Y) != len(X):
            raise ShapeError(f"y has {_count(len(Y), 'sample')}; expected {len(X)}, as many as x.")
        _check_length("y", Y.shape[1], "value", len(self.W[-1]), self.layers[-1])
        if self.loss_name == "logistic" and not np.isin(Y, (0, 1)).all():
            raise InputError("y has values other than 0 and 1; the logistic loss needs these.")
        return X, Y

    def forward(self, x: Matrix, z: Sequence[Matrix] | None = None, *, snap: bool = False) -> Trace:
        """Values of all units.

        ``z`` are the exact pre-activations of every layer, where they are known: rounded, they take the place of the
        computed ones, so that no rounding hides a kink or makes one. Without them, |z| <= FLOAT_TOLERANCE is a kink
        where the network is not rational; where it is, z = 0 or, with ``snap``, a z that may be 0 but for rounding.

        Raises: ShapeError if x does not fit; InputError if the values exceed the range of float64.
        """
        X = self._inputs(x)
        trace, error = Trace(X, [], [], []), np.zeros_like(X)  # error: of rounding, at most
        for number, (layer, W, b) in enumerate(zip(self.layers, self.W, self.b, strict=True)):
            inputs = trace.a[-1] if trace.a else X
            if snap:
                terms = np.abs(inputs) @ np.abs(W).T + (0 if b is None else np.abs(b))
                error = error @ np.abs(W).T + (W.shape[1] + 3) * np.finfo(np.float64).eps * terms
            Z, A = np.empty((2, len(X), len(W)))
            layers.affine(inputs, W, b, Z)
            if z is not None:
                Z[:] = _finite(f"z of layer {layer.name}", z[number], 2)
            if layer.activation == "relu":
                tolerance = FLOAT_TOLERANCE if not self.rational else error if snap else 0
                Z[np.abs(Z) <= tolerance] = 0
                trace.kinks += [Kink(int(s), number, int(u)) for s, u in np.argwhere(Z == 0)]
            ACTIVATIONS[layer.activation][0](Z, A)
            trace.z.append(Z)
            trace.a.append(A)
        _check_range(*trace.z)
        trace.kinks.sort()
        return trace

    def losses(self, trace: Trace, y: Matrix) -> np.ndarray:
        """Loss of each sample: (n,). J is their mean.

        Raises: ShapeError if y does not fit; InputError if a loss exceeds the range of float64.
        """
        Y, losses = self.check(trace.x, y)[1], np.empty(len(trace.x))
        LOSSES[self.loss_name][0](trace.y_hat, Y, losses)
        _check_range(losses)
        return losses

    def backward(self, trace: Trace, y: Matrix, relu_at_zero: float = 0.0) -> Gradients:
        """Gradients of the mean loss at a forward pass, with ``relu_at_zero`` for phi'(0).

        Raises: ShapeError if y does not fit; InputError if a value exceeds the range of float64, or if
            relu_at_zero is not in [0, 1].
        """
        if not 0 <= relu_at_zero <= 1:
            raise InputError("expected a number from 0 to 1", parameter="relu_at_zero", value=relu_at_zero)
        Y = self.check(trace.x, y)[1]
        dA = d_y_hat = np.empty_like(Y)
        LOSSES[self.loss_name][1](trace.y_hat, Y, 1 / len(Y), d_y_hat)
        deltas: list[np.ndarray] = []
        arrays = {name: np.zeros_like(array) for name, array in self.arrays.items()}
        for number, layer in reversed(list(enumerate(self.layers))):
            inputs = trace.a[number - 1] if number else trace.x
            dZ, dX = np.empty_like(dA), np.empty_like(inputs)
            ACTIVATIONS[layer.activation][1](dA, trace.z[number], trace.a[number], relu_at_zero, dZ)
            dW, db = arrays[layer.weights], arrays.get(layer.bias or "")
            layers.affine_backward_weights(dZ, inputs, 0, inputs.shape[1], dW, db)
            layers.affine_backward_input(dZ, self.W[number], dX)
            deltas.insert(0, dZ)
            dA = dX
        _check_range(*arrays.values(), *deltas, dA)
        return Gradients(arrays, deltas, d_y_hat, dA)

    def differences(self, x: Matrix, y: Matrix) -> dict[str, Differences]:
        """Numerical derivatives of J in every entry of every named array, and of x.

        The steps are small enough to cross no kink but one that the point itself is on.
        """
        X, found = _samples("x", x), {}

        def mean_loss() -> float:
            return float(self.losses(self.forward(X), y).mean())

        def signs(array: np.ndarray, index: tuple[int, ...], offset: Any) -> Any:
            original, array[index] = array[index], array[index] + offset
            z = self.forward(X).z
            array[index] = original
            return np.sign(np.hstack(z)).tolist()

        for name, array in (self.arrays | {"x": X}).items():
            steps = steps_for(array)
            for index in np.ndindex(array.shape):
                for _ in range(MAX_HALVINGS):
                    h = steps[index]
                    if all(signs(array, index, 2 * side) == signs(array, index, SIDE * side) for side in (h, -h)):
                        break
                    steps[index] /= 2
            found[name] = Differences(
                central_differences(mean_loss, array, steps),
                one_sided_differences(mean_loss, array, -1, steps),
                one_sided_differences(mean_loss, array, 1, steps),
                rounding_error(mean_loss(), steps),
            )
        return found

    def _inputs(self, x: Matrix) -> np.ndarray:
        X, (rows, columns) = _samples("x", x), self.W[0].shape
        if X.shape[1] != columns:
            hint = f" For one sample of {columns} values, write them in one row." if X.shape == (columns, 1) else ""
            raise ShapeError(
                f"x has {_count(len(X), 'sample')} of {_count(X.shape[1], 'value')}; expected {columns} in each, since "
                f"{self.layers[0].weights} is {rows} x {columns}.{hint}"
            )
        return X


def _choice(what: str, name: str, choices: Collection[str]) -> str:
    plain = str(name).lower().replace("_", "-")
    if ALIASES.get(plain, plain) not in choices:
        raise InputError(f"The {what} is {name!r}; expected one of {', '.join(choices)}.")
    return ALIASES.get(plain, plain)


def _check_length(name: str, length: int, noun: str, rows: int, layer: Layer) -> None:
    if length != rows:
        raise ShapeError(f"{name} has {_count(length, noun)}; expected {rows}, one for each row of {layer.weights}.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _samples(name: str, values: Matrix) -> np.ndarray:
    flat = len(values) and not isinstance(values[0], Sequence | np.ndarray)
    return _finite(name, [values] if flat else values, 2)


def _finite(name: str, values: Any, dimensions: int) -> np.ndarray:
    expected = "a list of numbers" if dimensions == 1 else "rows of numbers, all of one length"
    try:
        array = np.array(values, np.float64)
    except OverflowError as error:
        raise InputError(f"{name} has a number beyond the range of float64 (1.8e308); use smaller numbers.") from error
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name} must be {expected}.") from error
    if array.ndim != dimensions or not array.size:
        raise ShapeError(f"{name} has the shape {array.shape}; it must be {expected}.")
    if not np.isfinite(array).all():
        raise InputError(f"{name} has NaN or infinity in it; expected finite numbers.")
    return array


def _check_range(*arrays: np.ndarray) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError("The values exceed the range of float64 (1.8e308); use smaller numbers.")
