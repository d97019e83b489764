"""Small networks of any depth, worked by the kernels in float64: forward values, loss, gradients."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError, ShapeError, counted
from mlcore.exercise.formats import Formulas, Section, Shown, of_values
from mlcore.exercise.functions import ACTIVATIONS, LOSSES, NORMALIZES, REDUCTIONS, Loss, Number, choose, convention
from mlcore.kernels import layers

LAYOUTS = {"columns": ("row", "column"), "rows": ("column", "row")}  # in weights: a unit, and an input
ROWS_HINT = '; if vectors are rows, x W, the file needs layout = "rows"'
FLOAT_TOLERANCE = 1e-12  # |z| below which a unit counts as on its kink where its exact value is not known

Matrix = Sequence[Sequence[Number]] | Sequence[Number] | np.ndarray


class Layer(NamedTuple):
    """One dense layer, ``a = activation(W x + b)``; ``weights`` and ``bias`` are what its arrays are called.

    In the layout "rows" it is ``activation(x W + b)``, with the shape (i, o) for W. A step of a recurrent network has
    another matrix, ``U`` under the name ``own``, for inputs of its own: ``activation(W h + U x_t + b)``. These are the
    next values of each sample, after those that the layers below take.

    Layers whose arrays have the same name and the same numbers share them: their gradients add.
    """

    name: str
    weights: str
    W: Matrix  # (o, i)
    activation: str = "relu"
    bias: str | None = None
    b: Sequence[Number] | None = None  # (o,)
    slope: Number | None = None  # of leaky-relu below 0
    own: str | None = None
    U: Matrix | None = None  # (o, k)

    @property
    def arrays(self) -> dict[str, Any]:
        """The numbers of its arrays by name: W, U and b, as far as it has them."""
        named = ((self.weights, self.W), (self.own, self.U), (self.bias, self.b))
        return {name: values for name, values in named if name is not None}


class Kink(NamedTuple):
    """A ReLU or leaky ReLU unit whose pre-activation is 0, where it has no derivative. All count from 0."""

    sample: int
    layer: int
    unit: int


@dataclass
class Trace(Shown):
    """Values of one forward pass of n samples: per layer the pre-activations z and the activations a, each (n, o)."""

    x: np.ndarray  # (n, i)
    z: list[np.ndarray]
    a: list[np.ndarray]
    kinks: list[Kink]

    @property
    def y_hat(self) -> np.ndarray:
        """Output of the network: (n, k)."""
        return self.a[-1]

    def formulas(self) -> Formulas:
        """z and a of each layer, a column for each sample."""
        values: dict[str, np.ndarray] = {}
        for number, (z, a) in enumerate(zip(self.z, self.a, strict=True), start=1):
            values |= {f"z_{{{number}}}": z.T, f"a_{{{number}}}": a.T}
        return of_values("Values", {"x": self.x.T} | values)


@dataclass
class Gradients(Shown):
    """Derivatives of J in every array that is not frozen; those of each sample's J_s in every z, in y_hat and in x."""

    arrays: dict[str, np.ndarray]  # in the shapes that the network has
    deltas: list[np.ndarray]  # in z: (n, o) each
    y_hat: np.ndarray  # (n, k)
    x: np.ndarray  # (n, i)
    # Of a pass by hand also the steps, ``deltas = pulled * slopes`` with dJ_s/da in pulled: (n, o) each. The last
    # slopes are 1 where the loss works from z, and for softmax, where through_softmax takes their place.
    slopes: list[np.ndarray] = field(default_factory=list)
    pulled: list[np.ndarray] = field(default_factory=list)

    @property
    def flat(self) -> np.ndarray:
        """All derivatives in weights and biases in one row."""
        return np.concatenate([array.ravel() for array in self.arrays.values()])

    @property
    def named(self) -> dict[str, np.ndarray]:
        """Those by array and in x, which is one row for each sample, or of one sample the row itself."""
        return self.arrays | {"x": self.x if len(self.x) > 1 else self.x[0]}

    def formulas(self) -> Formulas:
        """The derivatives in the arrays, and in each z a column for each sample."""
        from mlcore.exercise.derivation import latex_name

        deltas = {rf"\delta_{{{number}}}": delta.T for number, delta in enumerate(self.deltas, start=1)}
        arrays = {rf"\frac{{\partial J}}{{\partial {latex_name(name)}}}": rows for name, rows in self.arrays.items()}
        return of_values("Gradients", dict(reversed((deltas | arrays).items())))


class Network(Shown):
    """Layers that fit together, and a loss: the name of one, or all that a ``Loss`` can say.

    Inputs and targets are lists of samples; a flat list of numbers is one sample. Activations and losses may be
    written as in ``ReLU``, ``linear`` or ``half_squared``. Both cross-entropies work from the z of the output: y_hat is
    the probability of a sigmoid or softmax output, and the logit of an identity output. ``arrays`` are the weights
    and biases by name, and changing their entries changes the network. In the layout "columns", vectors are columns,
    ``W x``, and weights (o, i); in "rows", they are rows, ``x W``, and weights (i, o). ``rational``: whether exact
    arithmetic can follow all values.

    Raises: ShapeError if the layers do not fit together; InputError if a name or a number is wrong.

    Example:
        >>> network = Network([Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]]), Layer("output", "V", [[0, 1]])])
        >>> trace = network.forward([1, 2, 1])
        >>> trace.z
        [array([[ 2., -1.]]), array([[0.]])]
        >>> network.backward(trace, [1], relu_at_zero=1).arrays["V"].tolist()
        [[-2.0, 0.0]]
    """

    def __init__(self, layers: Sequence[Layer], loss: str | Loss = "half-squared", layout: str = "columns") -> None:
        self.layout = choose("layout", layout, LAYOUTS)
        self.in_rows = self.layout == "rows"
        if not layers:
            raise ShapeError("The network has no layers; give it at least one.")
        names = [choose("activation", one.activation, ACTIVATIONS, f" of layer {one.name!r}") for one in layers]
        self.layers = [layer._replace(activation=name) for layer, name in zip(layers, names, strict=True)]
        self.leaks = [_leak(layer) for layer in self.layers]
        self.arrays: dict[str, np.ndarray] = {}
        self.given: dict[str, Any] = {}  # the same numbers as they were typed
        self.spans: list[slice] = []  # what each layer takes of x: the first all of its inputs, and others their own
        for number, layer in enumerate(self.layers):
            if (layer.bias is None) != (layer.b is None):
                raise InputError(f"Layer {layer.name!r} has a bias without a name or a name without a bias.")
            W = self.turned(self._add(layer.weights, layer.W, 2))
            start, width = (self.spans[-1].stop, 0) if number else (0, W.shape[1])
            if layer.own is not None:
                U = self.turned(self._add(layer.own, layer.U, 2))
                self._check_length(layer.own, len(U), LAYOUTS[self.layout][0], number)
                width += U.shape[1]
            self.spans.append(slice(start, start + width))
            if number:
                self._check_length(layer.weights, W.shape[1], LAYOUTS[self.layout][1], number - 1)
            if layer.bias is not None:
                self._check_length(layer.bias, len(self._add(layer.bias, layer.b, 1)), "value", number)
        self.b = [self.arrays.get(layer.bias or "") for layer in self.layers]
        self.loss = self._checked(Loss(loss) if isinstance(loss, str) else loss)
        self.function = LOSSES[self.loss.name]
        self.factor = self.function.factor(len(self.W[-1]))
        self.trained = [name for name in self.arrays if name not in self.loss.frozen]
        self.activations = [ACTIVATIONS[name] for name in names]
        self.through = list(self.activations)  # what gradients pass: at the output none where the loss works from z
        if self.function.outputs:
            self.through[-1] = ACTIVATIONS["identity"]
        self.is_logit = bool(self.function.outputs) and names[-1] == "identity"  # y_hat, of a probability
        self.has_jacobian = self.through[-1] is ACTIVATIONS[NORMALIZES]
        self.rational = not self.function.outputs and all(one.is_piecewise_linear for one in self.activations)

    @property
    def W(self) -> list[np.ndarray]:
        """The weights of every layer: (o, i) in any layout, those of its own inputs included."""
        return self.joined(self.arrays)

    @property
    def layer_names(self) -> list[str]:
        """Names of the layers, with a number where two have the same."""
        names = [layer.name for layer in self.layers]
        return [name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names, start=1)]

    @property
    def places(self) -> dict[str, np.ndarray]:
        """The entries of all arrays, counted in their order."""
        return shaped(np.arange(sum(array.size for array in self.arrays.values())), self.arrays)

    @property
    def features(self) -> int:
        """Values of a sample."""
        return int(self.spans[-1].stop)

    def parts(self, layer: int) -> list[tuple[str, slice]]:
        """The matrices of a layer by name, with the inputs of the layer that each is for."""
        weights, own = self.layers[layer].weights, self.layers[layer].own
        width = self.turned(self.arrays[weights]).shape[1]
        return [(weights, slice(width)), (own, slice(width, None))] if own else [(weights, slice(None))]

    def takers(self) -> list[tuple[int, str, slice]]:
        """The matrices that take values of x: the layer of each, its name, and which values."""
        first = [(0, name, slice(*columns.indices(self.spans[0].stop))) for name, columns in self.parts(0)]
        return first + [(n, layer.own, self.spans[n]) for n, layer in enumerate(self.layers) if n and layer.own]

    def joined(self, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The matrices of each layer side by side: (o, i)."""
        found = [[self.turned(arrays[name]) for name, _ in self.parts(n)] for n in range(len(self.layers))]
        return [np.hstack(matrices) if len(matrices) > 1 else matrices[0] for matrices in found]

    def inputs(self, layer: int, x: np.ndarray, a: Sequence[np.ndarray]) -> np.ndarray:
        """What a layer gets: the outputs of the layer below, and its own values of x."""
        return np.concatenate([a[layer - 1] if layer else x[..., :0], x[..., self.spans[layer]]], -1)

    def turned(self, array: np.ndarray) -> np.ndarray:
        """Weights (o, i) in the layout of the network, or weights in that as (o, i); vectors as they are."""
        return np.ascontiguousarray(array.swapaxes(-1, -2)) if self.in_rows and array.ndim > 1 else array

    def _check_length(self, name: str, length: int, noun: str, layer: int) -> None:
        weights = self.layers[layer].weights
        units = len(self.turned(self.arrays[weights]))
        if length != units:
            each = f"one for each {LAYOUTS[self.layout][0]} of {weights}"
            array = self.arrays.get(name, np.empty(0))  # none for y
            hint = f"; transpose {name}" * (units in array.shape)
            hint += ROWS_HINT * (len(array) == self.arrays[weights].shape[-1] and not self.in_rows)
            is_biased = not hint and array.ndim > 1 and length == units + 1
            hint += f"; a {noun} of biases is a list of its own, such as b = [1]" * is_biased
            hint += "; for a decimal point write a dot" * (name == "y" and length == 2 * units)
            raise ShapeError(f"{name} has {counted(length, noun)}; expected {units}, {each}{hint}.")

    def _add(self, name: str, values: Any, dimensions: int) -> np.ndarray:
        """The array of this name, which several layers may share."""
        array = _finite(name, values, dimensions)
        self.given.setdefault(name, values)
        if name in ("", "x"):
            raise InputError("Every array needs a name of its own, other than x.")
        if not np.array_equal(self.arrays.setdefault(name, array), array):
            hint = "give each a name of its own, or the same numbers if the layers share it"
            raise InputError(f"The name {name!r} stands for two arrays; {hint}.")
        return self.arrays[name]

    def _checked(self, loss: Loss) -> Loss:
        """The loss with its name as it is listed."""
        name, reduction = choose("loss", loss.name, LOSSES), choose("reduction", loss.reduction, REDUCTIONS)
        function, output = LOSSES[name], self.layers[-1].activation
        if function.outputs and output not in function.outputs:
            needed = f"a {function.outputs[1]} output (y_hat is a probability), or an identity output (a logit)"
            hint = "".join(f"; a loss for it is {other}" for other in LOSSES if output in LOSSES[other].outputs)
            raise InputError(f"The loss {name} needs {needed}; but it is {output}{hint}.")
        if NORMALIZES in [layer.activation for layer in self.layers[:-1]]:
            raise InputError(f"{NORMALIZES} is for the output layer; use another activation in hidden layers.")
        if not 0 <= loss.l2 < np.inf:
            raise InputError("expected a number of at least 0", parameter="l2", value=float(loss.l2))
        if unknown := [array for array in loss.frozen if array not in self.arrays]:
            raise InputError(f"frozen has {unknown[0]!r}; expected names of {', '.join(self.arrays)}.")
        if {*self.arrays} <= {*loss.frozen}:
            raise InputError("All arrays are frozen; leave at least one that has a gradient.")
        return loss._replace(name=name, reduction="sum" if name == "none" else reduction)

    @property
    def penalized(self) -> list[str]:
        """Names of the arrays in the L2 penalty: the weights, not the biases, that are not frozen."""
        return [name for name in self.trained if self.loss.l2 and self.arrays[name].ndim == 2]

    def formulas(self) -> Formulas | None:
        """What it computes, and its arrays; None where their names cannot be told apart in formulas."""
        from mlcore.exercise.derivation import pose
        from mlcore.exercise.problem import Problem

        zeros = [[Fraction(0)] * width for width in (self.features, len(self.W[-1]))]
        try:
            problem = Problem(self, zeros[:1], zeros[1:])
            lines = pose(problem)[0].lines[: -1 - len(self.takers())]  # without x and y
        except InputError:
            return None
        return Formulas([Section("Network", lines)], problem.style)

    def share(self, n: int) -> Fraction:
        """Share of each of n samples in J."""
        return Fraction(1, n if self.loss.reduction == "mean" else 1)

    def check(self, x: Matrix, y: Matrix) -> tuple[np.ndarray, np.ndarray]:
        """The samples as arrays: x (n, i) and y (n, k).

        Raises: ShapeError if they do not fit the network; InputError if a number is not finite, or if y is no
            probability where the loss needs one.
        """
        X, Y = self._inputs(x), samples("y", y)
        if self.loss.name == "cross-entropy" and Y.size == len(X) and len(self.W[-1]) > 1:
            raise ShapeError("y has one value for each sample; write 1 for the class and 0 for others, as in 0,1,0.")
        if len(Y) != len(X):
            raise ShapeError(f"y has {counted(len(Y), 'sample')}; expected {len(X)}, as many as x.")
        self._check_length("y", Y.shape[1], "value", len(self.layers) - 1)
        if self.function.outputs and not ((Y >= 0) & (Y <= 1)).all():
            raise InputError(f"y has values other than 0 and 1; the loss {self.loss.name} needs these.")
        if self.loss.name == "cross-entropy" and not np.allclose(Y.sum(1), 1):
            raise InputError("y has a row that does not sum to 1; write 1 for the class and 0 for the others.")
        return X, Y

    def forward(self, x: Matrix, z: Sequence[Matrix] | None = None) -> Trace:
        """Values of all units.

        ``z`` are the exact pre-activations of every layer, where they are known: rounded, they take the place of the
        computed ones, so that no rounding hides a kink or makes one. Without them, |z| <= FLOAT_TOLERANCE is a kink.

        Raises: ShapeError if x does not fit; InputError if the values exceed the range of float64.
        """
        X = self._inputs(x)
        trace = Trace(X, [], [], [])
        for number, (activation, W, b) in enumerate(zip(self.activations, self.W, self.b, strict=True)):
            Z, A = np.empty((2, len(X), len(W)))
            layers.affine(self.inputs(number, X, trace.a), W, b, Z)
            if z is not None:
                Z[:] = _finite(f"z of layer {self.layers[number].name!r}", z[number], 2)
            if activation.has_kink:
                Z[np.abs(Z) <= (FLOAT_TOLERANCE if z is None else 0)] = 0
            activation.forward(Z, float(self.leaks[number]), A)
            trace.z.append(Z)
            trace.a.append(A)
        check_range(*trace.z)
        trace.kinks = self.kinks(trace.z)
        return trace

    def kinks(self, z: Sequence[np.ndarray]) -> list[Kink]:
        """The units on their kink, by sample and layer; z of each layer is (n, o), perhaps with axes in front."""
        kinked = [layer for layer, activation in enumerate(self.activations) if activation.has_kink]
        return sorted(Kink(int(s), layer, int(u)) for layer in kinked for *_, s, u in np.argwhere(z[layer] == 0))

    def at_kinks(self, kinks: Sequence[Kink], at_zero: Fraction) -> Fraction:
        """What ``at_zero`` for phi'(0) means in these units: in leaky ReLU no less than its slope.

        Where the units differ, the least.
        """
        return max(at_zero, min((convention(self.leaks[kink.layer]) for kink in kinks), default=at_zero))

    @np.errstate(over="ignore")
    def losses(self, trace: Trace, y: Matrix) -> np.ndarray:
        """The loss J_s of each sample: (n,).

        Raises: ShapeError if y does not fit.
        """
        Y, losses = self.check(trace.x, y)[1], np.empty(len(trace.x))
        self.function.forward(trace.z[-1] if self.function.outputs else trace.y_hat, Y, losses)
        return losses * float(self.factor)

    @np.errstate(over="ignore")
    def objective(self, trace: Trace, y: Matrix) -> float:
        """J: the mean or the sum of the losses of the samples, and the L2 penalty.

        Raises: ShapeError if y does not fit; InputError if it exceeds the range of float64.
        """
        losses = self.losses(trace, y)
        penalty = sum(float((self.arrays[name] ** 2).sum()) for name in self.penalized)
        total = float(losses.sum() if self.loss.reduction == "sum" else losses.mean())
        total += float(self.loss.l2) / 2 * penalty
        check_range(np.array(total))
        return total

    @np.errstate(over="ignore")
    def backward(self, trace: Trace, y: Matrix, relu_at_zero: float = 0.0) -> Gradients:
        """Gradients at a forward pass, with ``relu_at_zero`` for phi'(0).

        Raises: ShapeError if y does not fit; InputError if a value exceeds the range of float64, or if
            relu_at_zero is not in [0, 1] or an activation has no derivative to use.
        """
        at_zero, Y = float(convention(relu_at_zero)), self.check(trace.x, y)[1]
        self.check_derivatives()
        dA = np.empty_like(Y)
        self.function.backward(trace.z[-1] if self.function.outputs else trace.y_hat, Y, float(self.factor), dA)
        d_y_hat = self.gradient_of_output(trace.y_hat, Y, dA)
        deltas, dx = list[np.ndarray](), np.empty_like(trace.x)
        arrays = {name: np.zeros_like(self.turned(array)) for name, array in self.arrays.items()}
        for number, (layer, W) in reversed(list(enumerate(zip(self.layers, self.W, strict=True)))):
            inputs = self.inputs(number, trace.x, trace.a)
            dZ, dX, dW = np.empty_like(dA), np.empty_like(inputs), np.zeros_like(W)
            backward = self.through[number].backward
            assert backward is not None  # as checked
            backward(dA, trace.z[number], trace.a[number], float(self.leaks[number]), at_zero, dZ)
            layers.affine_backward_weights(dZ, inputs, 0, inputs.shape[1], dW, arrays.get(layer.bias or ""))
            for name, columns in self.parts(number):
                arrays[name] += dW[:, columns]
            layers.affine_backward_input(dZ, W, dX)
            deltas.insert(0, dZ)
            dA, dx[:, self.spans[number]] = self.divided(number, dX)
        share = float(self.share(len(Y)))
        for name, array in arrays.items():
            array *= share
            if name in self.penalized:
                array += float(self.loss.l2) * self.turned(self.arrays[name])
        check_range(*arrays.values(), *deltas, dx)
        return Gradients({name: self.turned(arrays[name]) for name in self.trained}, deltas, d_y_hat, dx)

    def divided(self, layer: int, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of what belongs to the inputs of a layer: what belongs to the layer below, and to x."""
        below = inputs.shape[-1] - (self.spans[layer].stop - self.spans[layer].start)
        return np.ascontiguousarray(inputs[..., :below]), inputs[..., below:]

    def check_derivatives(self) -> None:
        """Raises: InputError if an activation has no derivative to use."""
        if flat := [layer.name for layer in self.layers if ACTIVATIONS[layer.activation].backward is None]:
            message = f"Layer {flat[0]!r} has no useful derivative: only forward values can be computed; for gradients"
            raise InputError(f"{message} choose another activation, such as sigmoid.")

    def gradient_of_output(self, y_hat: np.ndarray, y: np.ndarray, error: np.ndarray) -> np.ndarray:
        """dJ_s/dy_hat: ``error``, the derivative of the loss, unless that is the one in the z of a probability."""
        if not self.function.outputs or self.is_logit:
            return error.copy()
        with np.errstate(divide="ignore", invalid="ignore"):  # a probability that is 0 or 1 by rounding
            return np.asarray(self.function.of_probability(y_hat, y))

    def _inputs(self, x: Matrix) -> np.ndarray:
        X, columns = samples("x", x), self.features
        if X.shape[1] != columns:
            first = self.layers[0].weights
            shape = " x ".join(map(str, self.arrays[first].shape))
            own = next((layer.own for layer in self.layers if layer.own), "")
            shape += f" and {own} is for inputs of its own" * bool(own)
            each = " each" if len(X) > 1 else ""
            row = ",".join(f"{value:.6g}" for value in X.flat)
            hint = f"; for one sample of {columns} values write {row}" if X.size == columns else ""
            hint = hint or "; each row is a sample: transpose x" * (len(X) == columns)
            hint = hint or f"; if {own} are biases, write a list such as {own} = [1]" * bool(own)
            hint = hint or ROWS_HINT * (X.shape[1] == len(self.arrays[first]) and not self.in_rows)
            lacks_one = len(X) == 1 and X.shape[1] == columns - 1 and not self.layers[0].bias
            hint = hint or f"; if {first} has biases, x has a 1 for them" * lacks_one
            found = f"{counted(len(X), 'sample')} of {counted(X.shape[1], 'value')}{each}"
            raise ShapeError(f"x has {found}; expected {columns} in each, since {first} is {shape}{hint}.")
        return X


def _leak(layer: Layer) -> Number:
    """Slope of the layer's activation below 0."""
    usual = ACTIVATIONS[layer.activation].leak
    if usual is None and layer.slope is not None:
        raise InputError(f"Layer {layer.name!r} has a slope, but is {layer.activation}; slope is for leaky-relu.")
    slope = layer.slope if layer.slope is not None else usual or 0
    if not 0 <= slope < 1:
        raise InputError("expected a number from 0 to below 1", parameter="slope", value=float(slope))
    return slope


def shaped(flat: np.ndarray, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Numbers for all entries of these arrays, in a row, as arrays of the same names and shapes."""
    parts = np.split(flat, np.cumsum([array.size for array in arrays.values()])[:-1])
    return {name: part.reshape(array.shape) for (name, array), part in zip(arrays.items(), parts, strict=True)}


def samples(name: str, values: Matrix) -> np.ndarray:
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


def check_range(*arrays: np.ndarray) -> None:
    """Raises: InputError if there is a number beyond the range of float64."""
    with suppress(OverflowError):  # of fractions
        if all(np.isfinite(array.astype(np.float64)).all() for array in arrays):
            return
    raise InputError("The values exceed the range of float64 (1.8e308); use smaller numbers.")
