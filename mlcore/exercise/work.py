"""A problem worked forward and backward: every value in float64 and, where the network is rational, as a fraction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import ExactNetwork
from mlcore.exercise.kinks import Subdifferential, subdifferential
from mlcore.exercise.network import FLOAT_TOLERANCE, Differences, Gradients, Kink, Layer, Number, Trace
from mlcore.exercise.problem import Problem
from mlcore.results import Result, to_json

CHOSEN = "chosen"
CONVENTIONS = {"0": Fraction(0), "1/2": Fraction(1, 2), "1": Fraction(1)}
USED_BY = {
    "0": "torch.relu, TensorFlow, jax.nn.relu, micrograd",
    "1/2": "torch.maximum, jax.numpy.maximum, SymPy's Max",
    "1": "torch.clamp(min=0), NumPy code such as grad[h < 0] = 0",
}


def check_convention(relu_at_zero: Number) -> None:
    """Raises: InputError if the value for relu'(0) is not in [0, 1]."""
    if not 0 <= relu_at_zero <= 1:
        raise InputError("expected a number from 0 to 1", parameter="relu_at_zero", value=_json(float(relu_at_zero)))


@dataclass(frozen=True)
class Values:
    """The numbers in one arithmetic; the gradients by convention for relu'(0), if they are asked for."""

    trace: Trace
    y: np.ndarray  # (n, k)
    loss: Number
    gradients: Mapping[str, Gradients] = field(default_factory=dict)  # for CHOSEN and CONVENTIONS

    def gradient(self, name: str, convention: str = CHOSEN) -> np.ndarray:
        """The gradient in an array, or in x."""
        gradients = self.gradients[convention]
        return gradients.x if name == "x" else gradients.arrays[name]


@dataclass(frozen=True)
class Forward(Result):
    """Values of every unit and the loss, in float64 and exactly; for several samples, also a result for each."""

    problem: Problem
    values: Values
    exact: Values | None
    samples: Sequence["Forward"]

    @property
    def best(self) -> Values:
        """The exact values, or those in float64 where there are none."""
        return self.exact or self.values

    def to_dict(self) -> dict[str, Any]:
        """The values in float64, and the same as fractions under "exact"."""
        document: dict[str, Any] = {"samples": [sample.to_dict() for sample in self.samples]} if self.samples else {}
        document |= self._numbers(self.values)
        if self.exact:
            document["exact"] = self._numbers(self.exact)
        elif not self.samples:
            document["kink_tolerance"] = FLOAT_TOLERANCE
        return document

    def _numbers(self, values: Values) -> dict[str, Any]:
        """The numbers in one arithmetic; of several samples only what belongs to all of them."""
        trace, gradients = values.trace, values.gradients
        document: dict[str, Any] = {"loss": _json(values.loss)}
        if not self.samples:
            layers = [_layer(layer) for layer in self.problem.network.layers]
            columns = {"z": trace.z, "a": trace.a} | ({"delta": gradients[CHOSEN].deltas} if gradients else {})
            for number, layer in enumerate(layers):
                layer |= {name: _json(column[number][0]) for name, column in columns.items()}
            x, y, y_hat = (_json(rows[0]) for rows in (trace.x, values.y, trace.y_hat))
            document = {"x": x, "y": y, "layers": layers, "y_hat": y_hat} | document
        if gradients:
            document["d_y_hat"] = self._by_sample(gradients[CHOSEN].y_hat)
            document["gradients"] = self._arrays(values, CHOSEN)
            document["by_convention"] = {name: self._arrays(values, name) for name in CONVENTIONS}
        return document

    def _arrays(self, values: Values, convention: str) -> dict[str, Any]:
        x = {"x": self._by_sample(values.gradient("x", convention))}
        return {name: _json(values.gradient(name, convention)) for name in self.problem.network.arrays} | x

    def _by_sample(self, rows: np.ndarray) -> Any:
        """Rows of samples, or the only row."""
        return _json(rows if self.samples else rows[0])


@dataclass(frozen=True)
class GradientReport(Forward):
    """The same with gradients, what is behind a kink, and the numerical derivatives in every array if asked for."""

    relu_at_zero: Number
    subdifferential: Subdifferential | None
    differences: dict[str, Differences]

    @property
    def stuck(self) -> bool:
        """Whether all gradients in weights and biases are 0."""
        return not any(self.best.gradient(name).any() for name in self.problem.network.arrays)

    @property
    def agrees(self) -> bool:
        """Whether no numerical derivative contradicts a gradient."""
        found = self.differences.items()
        return not any(differences.contradict(self.values.gradient(name)).any() for name, differences in found)

    def unit_names(self, kinks: Iterable[Kink]) -> str:
        """The units as people name them, counted from 1."""
        layers, sample = self.problem.network.layers, "sample {} " if self.samples else ""
        names = (f"{sample.format(s + 1)}{layers[layer].name} unit {unit + 1}" for s, layer, unit in kinks)
        return ", ".join(names)

    def to_dict(self) -> dict[str, Any]:
        """As ``Forward``, and what the gradients add to it."""
        document = super().to_dict()
        document |= {"relu_at_zero": _json(float(self.relu_at_zero)), "used_by": USED_BY}
        document["kinks"] = [self._unit(kink) for kink in self.values.trace.kinks]
        if found := self.subdifferential:
            vertices = [
                {
                    "on": [self._unit(kink) for kink in sorted(pattern) if pattern[kink]],
                    "off": [self._unit(kink) for kink in sorted(pattern) if not pattern[kink]],
                    "gradients": _json(gradients.arrays),
                }
                for pattern, gradients in found.pieces
            ]
            document["exact"]["subdifferential"] = {
                "complete": found.complete,
                "undecided_patterns": len(found.undecided),
                "vertices": vertices,
            }
            verdict = {"stationary": found.stationary, "stuck": self.stuck, "descent": to_json(found.descent)}
            document["exact"]["verdict"] = verdict
        if self.differences:
            derivatives = {name: self._derivatives(name, found) for name, found in self.differences.items()}
            document["check"] = derivatives | {"agrees": self.agrees}
        return document

    def _unit(self, kink: Kink) -> dict[str, Any]:
        sample: dict[str, Any] = {"sample": kink.sample + 1} if self.samples else {}
        return sample | {"layer": self.problem.network.layers[kink.layer].name, "unit": kink.unit + 1, "z": 0}

    def _derivatives(self, name: str, found: Differences) -> dict[str, Any]:
        columns = {side: getattr(found, side) for side in ("central", "left", "right", "one_sided_differ")}
        columns["contradicts"] = found.contradict(self.values.gradient(name))
        return {side: self._by_sample(rows) if name == "x" else _json(rows) for side, rows in columns.items()}


def forward(problem: Problem) -> Forward:
    """Values of every unit, and the loss.

    Raises: ShapeError if x or y does not fit the network; InputError if a value exceeds the range of float64.
    """
    samples = [forward(sample) for sample in problem.samples] if problem.several else []
    return Forward(problem, *_values(problem, {}), samples)


def gradients(problem: Problem, relu_at_zero: Number = 0, check: bool = False) -> GradientReport:
    """Values and gradients, with ``relu_at_zero`` for relu'(0); with ``check`` also the numerical derivatives.

    Raises: as ``forward``, and InputError if relu_at_zero is not in [0, 1].
    """
    check_convention(relu_at_zero)
    samples = [gradients(sample, relu_at_zero) for sample in problem.samples] if problem.several else []
    rounded, exact = _values(problem, {CHOSEN: relu_at_zero} | CONVENTIONS)
    behind = (
        subdifferential(ExactNetwork(problem.network, problem.x, problem.y)) if exact and exact.trace.kinks else None
    )
    differences = problem.network.differences(problem.x, problem.y) if check else {}
    return GradientReport(problem, rounded, exact, samples, relu_at_zero, behind, differences)


def _values(problem: Problem, conventions: Mapping[str, Number]) -> tuple[Values, Values | None]:
    """The numbers in float64 and, where there are any, in fractions, with the same units on their kink."""
    network, x, y = problem.network, problem.x, problem.y
    exact = ExactNetwork(network, x, y) if network.rational else None
    trace = network.forward(x, exact.trace.z if exact else None)
    loss = float(network.losses(trace, y).mean())
    rounded = {name: network.backward(trace, y, float(value)) for name, value in conventions.items()}
    values = Values(trace, network.check(x, y)[1], loss, rounded)
    if not exact:
        return values, None
    fractions = {name: exact.backward(value) for name, value in conventions.items()}
    return values, Values(exact.trace, exact.y, exact.trace.loss, fractions)


def _layer(layer: Layer) -> dict[str, Any]:
    """What a layer is called; only what differs from a ReLU layer without bias is mentioned."""
    bias = {"bias": layer.bias} if layer.bias else {}
    activation = {"activation": layer.activation} if layer.activation != "relu" else {}
    return {"name": layer.name, "weights": layer.weights} | bias | activation


def _json(values: Any) -> Any:
    """As ``to_json``, with integers where float64 numbers are integers."""
    values = to_json(values)
    if isinstance(values, dict):
        return {name: _json(value) for name, value in values.items()}
    if isinstance(values, list):
        return [_json(value) for value in values]
    return int(values) if isinstance(values, float) and values.is_integer() and abs(values) < 2**53 else values
