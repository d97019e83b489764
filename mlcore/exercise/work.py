"""A problem worked forward and backward: every value in float64 and, where the network is rational, as a fraction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import Descent, ExactGradients, ExactNetwork, ExactTrace
from mlcore.exercise.network import FLOAT_TOLERANCE, Gradients, Kink, Number, Trace
from mlcore.exercise.problem import Problem
from mlcore.results import Result, to_json

CONVENTIONS = {"0": Fraction(0), "1/2": Fraction(1, 2), "1": Fraction(1)}
USED_BY = {
    "0": "torch.relu, TensorFlow, jax.nn.relu, micrograd",
    "1/2": "torch.maximum, jax.numpy.maximum, SymPy's Max",
    "1": "torch.clamp(min=0), NumPy code such as grad[h < 0] = 0",
}

Arrays = dict[str, list[Any]]


class Pass(NamedTuple):
    """A forward pass in one arithmetic with the mean loss, and the backward pass for each convention for relu'(0)."""

    W: list[Any]  # of each layer
    b: list[Any]
    trace: Trace | ExactTrace
    y: list[Any]  # (n, k)
    loss: Number
    backward: Callable[[Number], Gradients | ExactGradients]
    exact: ExactNetwork | None = None


def passes(problem: Problem) -> list[Pass]:
    """The pass in float64 and, where the network is rational, the one in fractions, with the same units on the kink.

    Raises: ShapeError if x or y does not fit the network; InputError if a value exceeds the range of float64.
    """
    network, x, y, exact = problem.network, problem.x, problem.y, None
    if network.rational:
        network.losses(network.forward(x), y)  # raises with names if something does not fit
        exact = ExactNetwork(network, x, y)
    trace = network.forward(x, exact.trace.z if exact else None)
    targets, loss = [[float(value) for value in row] for row in y], float(network.losses(trace, y).mean())
    found = [Pass(network.W, network.b, trace, targets, loss, lambda c: network.backward(trace, y, float(c)))]
    if exact:
        found.append(Pass(exact.W, exact.b, exact.trace, exact.y, exact.trace.loss, exact.backward, exact))
    return found


def check_convention(relu_at_zero: Number) -> None:
    """Raises: InputError if the number is not in [0, 1]."""
    if not 0 <= relu_at_zero <= 1:
        raise InputError("expected a number from 0 to 1", parameter="relu_at_zero", value=plain(float(relu_at_zero)))


def plain(values: Any) -> Any:
    """Numbers and nested lists of them as JSON writes them best: integers where they are integers, and no -0."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(values, list):
        return [plain(value) for value in values]
    return int(values) if isinstance(values, float) and abs(values) < 2**53 and values == int(values) else values


class _Sparse(Result):
    """Result whose JSON leaves out what it does not have."""

    def to_dict(self) -> dict[str, Any]:
        """The fields that are not None."""
        return {name: value for name, value in super().to_dict().items() if value is not None}


@dataclass(frozen=True)
class LayerValues(_Sparse):
    """A layer with its values of one sample; ``activation`` is None for relu."""

    name: str
    weights: str
    bias: str | None
    activation: str | None
    z: list[Number]
    a: list[Number]
    delta: list[Number] | None


@dataclass(frozen=True)
class Unit(_Sparse):
    """A unit on its kink, counted from 1; with its sample where there are several."""

    sample: int | None
    layer: str
    unit: int
    z: int = 0


@dataclass(frozen=True)
class Vertex(Result):
    """Gradients on one smooth piece of J near the point, and the units on their kink that are on and off there."""

    on: list[Unit]
    off: list[Unit]
    gradients: Arrays


@dataclass(frozen=True)
class Vertices(Result):
    """The gradients whose convex hull is the Clarke subdifferential; all of them if ``complete``."""

    complete: bool
    undecided_patterns: int
    vertices: list[Vertex]


@dataclass(frozen=True)
class Verdict(Result):
    """Whether 0 is in the subdifferential (None: unknown), whether all gradients are 0, and where J falls."""

    stationary: bool | None
    stuck: bool
    descent: Descent | None


@dataclass(frozen=True)
class Values(_Sparse):
    """The numbers in one arithmetic: of one sample or, of several, what belongs to all of them together."""

    x: list[Number] | None
    y: list[Number] | None
    layers: list[LayerValues] | None
    y_hat: list[Number] | None
    loss: Number
    d_y_hat: list[Any] | None = None
    gradients: Arrays | None = None
    by_convention: dict[str, Arrays] | None = None
    subdifferential: Vertices | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Derivatives(Result):
    """Numerical derivatives of J in the entries of one array, and where the gradient contradicts them."""

    central: list[Any]
    left: list[Any]
    right: list[Any]
    one_sided_differ: list[Any]
    contradicts: list[Any]


@dataclass(frozen=True)
class Forward(Result):
    """Values of every unit and the loss; for several samples a result for each, and the mean loss."""

    problem: Problem
    values: Values
    exact: Values | None
    samples: list["Forward"]

    @property
    def best(self) -> Values:
        """The exact values, or those in float64 where there are none."""
        return self.exact or self.values

    def to_dict(self) -> dict[str, Any]:
        """The values in float64, and under "exact" the same as fractions."""
        document = {"samples": [sample.to_dict() for sample in self.samples]} if self.samples else {}
        document |= self.values.to_dict()
        if self.exact:
            return document | {"exact": self.exact.to_dict()}
        return document if self.samples else document | {"kink_tolerance": FLOAT_TOLERANCE}


@dataclass(frozen=True)
class GradientReport(Forward):
    """Values and gradients, the units on their kink and, if asked for, the numerical derivatives of every array."""

    relu_at_zero: Number
    kinks: list[Unit]
    derivatives: dict[str, Derivatives] | None

    @property
    def agrees(self) -> bool:
        """Whether no numerical derivative contradicts a gradient."""
        return not any(np.any(found.contradicts) for found in (self.derivatives or {}).values())

    def to_dict(self) -> dict[str, Any]:
        """As ``Forward``, with what the gradients add."""
        document = super().to_dict() | {"relu_at_zero": self.relu_at_zero, "kinks": to_json(self.kinks)}
        check = {"check": to_json(self.derivatives) | {"agrees": self.agrees}} if self.derivatives else {}
        return document | {"used_by": USED_BY} | check


def forward(problem: Problem) -> Forward:
    """Values of every unit, and the loss.

    Raises: ShapeError if x or y does not fit the network; InputError if a value exceeds the range of float64.
    """
    values = [_values(problem, found) for found in passes(problem)]
    samples = [forward(sample) for sample in problem.samples] if problem.several else []
    return Forward(problem, values[0], values[1] if len(values) > 1 else None, samples)


def gradients(problem: Problem, relu_at_zero: Number = 0, check: bool = False) -> GradientReport:
    """Values and gradients, with ``relu_at_zero`` for relu'(0); with ``check`` the numerical derivatives as well.

    Raises: as ``forward``, and InputError if relu_at_zero is not in [0, 1].
    """
    check_convention(relu_at_zero)
    found = passes(problem)
    values = [_values(problem, one, relu_at_zero) for one in found]
    return GradientReport(
        problem=problem,
        values=values[0],
        exact=values[1] if len(values) > 1 else None,
        samples=[gradients(sample, relu_at_zero) for sample in problem.samples] if problem.several else [],
        relu_at_zero=plain(float(relu_at_zero)),
        kinks=_units(problem, found[0].trace.kinks),
        derivatives=_derivatives(problem, found[0].backward(relu_at_zero)) if check else None,
    )


def _values(problem: Problem, found: Pass, relu_at_zero: Number | None = None) -> Values:
    """The numbers of a pass; with gradients if there is a convention."""
    trace, several = found.trace, problem.several

    def by_sample(rows: Any) -> list[Any]:
        return plain(rows) if several else plain(rows)[0]

    def named(gradients: Gradients | ExactGradients) -> Arrays:
        return {name: plain(array) for name, array in gradients.arrays.items()} | {"x": by_sample(gradients.x)}

    gradients = None if relu_at_zero is None else found.backward(relu_at_zero)
    layers = [
        LayerValues(
            layer.name,
            layer.weights,
            layer.bias,
            None if layer.activation == "relu" else layer.activation,
            plain(trace.z[number])[0],
            plain(trace.a[number])[0],
            plain(gradients.deltas[number])[0] if gradients else None,
        )
        for number, layer in enumerate(problem.network.layers)
    ]
    own = (None,) * 4 if several else (plain(trace.x)[0], plain(found.y)[0], layers, layers[-1].a)
    values = Values(*own, plain(found.loss))
    if gradients is None:
        return values
    values = replace(
        values,
        d_y_hat=by_sample(gradients.y_hat),
        gradients=named(gradients),
        by_convention={name: named(found.backward(value)) for name, value in CONVENTIONS.items()},
    )
    return _behind_the_kink(problem, found.exact, values) if found.exact and trace.kinks else values


def _behind_the_kink(problem: Problem, exact: ExactNetwork, values: Values) -> Values:
    """The values with the subdifferential and the verdict."""
    found = exact.subdifferential()
    vertices = [
        Vertex(
            _units(problem, [kink for kink in sorted(pattern) if pattern[kink]]),
            _units(problem, [kink for kink in sorted(pattern) if not pattern[kink]]),
            {name: plain(array) for name, array in gradients.arrays.items()},
        )
        for pattern, gradients in found.pieces
    ]
    arrays = [values.gradients[name] for name in problem.network.arrays]
    stuck = not any(np.any(array) for array in arrays)
    return replace(
        values,
        subdifferential=Vertices(found.complete, len(found.doubtful), vertices),
        verdict=Verdict(found.stationary, stuck, found.descent),
    )


def _units(problem: Problem, kinks: Sequence[Kink]) -> list[Unit]:
    layers = problem.network.layers
    return [Unit(s + 1 if problem.several else None, layers[layer].name, unit + 1) for s, layer, unit in kinks]


def _derivatives(problem: Problem, gradients: Gradients | ExactGradients) -> dict[str, Derivatives]:
    arrays = gradients.arrays | {"x": gradients.x}
    named = {}
    for name, found in problem.network.differences(problem.x, problem.y).items():
        columns = (found.central, found.left, found.right, found.one_sided_differ, found.contradict(arrays[name]))
        rows = (column[0] if name == "x" and not problem.several else column for column in columns)
        named[name] = Derivatives(*map(plain, rows))
    return named
