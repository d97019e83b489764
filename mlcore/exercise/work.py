"""A problem worked forward and backward: every value in float64 and, where the network is rational, as a fraction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import ExactNetwork
from mlcore.exercise.kinks import Subdifferential, subdifferential
from mlcore.exercise.network import FLOAT_TOLERANCE, Differences, Gradients, Kink, Number, Trace
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
        value = _with_integers(float(relu_at_zero))
        raise InputError("expected a number from 0 to 1", parameter="relu_at_zero", value=value)


@dataclass(frozen=True)
class Values:
    """The numbers in one arithmetic; the gradients for CHOSEN and CONVENTIONS, if they are asked for."""

    trace: Trace
    y: np.ndarray  # (n, k)
    loss: Number
    gradients: Mapping[str, Gradients]

    def gradient(self, name: str, convention: str = CHOSEN) -> np.ndarray:
        """The gradient in an array, or in x."""
        gradients = self.gradients[convention]
        return gradients.x if name == "x" else gradients.arrays[name]


@dataclass(frozen=True)
class Worked(Result):
    """Values of every unit and the loss, in float64 and exactly; for several samples, also a result for each.

    With gradients, also what is behind a kink, and the numerical derivatives in every array if asked for.
    """

    problem: Problem
    values: Values
    exact: Values | None
    samples: Sequence["Worked"]
    relu_at_zero: Number | None = None  # without gradients
    subdifferential: Subdifferential | None = None
    differences: Mapping[str, Differences] = field(default_factory=dict)

    @property
    def best(self) -> Values:
        """The exact values, or those in float64 where there are none."""
        return self.exact or self.values

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
        units = map(self._unit, kinks)
        sample = "sample {sample} " if self.samples else ""
        return ", ".join(f"{sample}{{layer}} unit {{unit}}".format(**unit) for unit in units)

    def to_dict(self) -> dict[str, Any]:
        """The values in float64, and the same as fractions under "exact"; integers where numbers are integers."""
        document: dict[str, Any] = {"samples": self.samples} if self.samples else {}
        document |= self._numbers(self.values)
        if self.exact:
            document["exact"] = self._numbers(self.exact)
        elif not self.samples:
            document["kink_tolerance"] = FLOAT_TOLERANCE
        if self.relu_at_zero is not None:
            kinks = list(map(self._unit, self.values.trace.kinks))
            document |= {"relu_at_zero": float(self.relu_at_zero), "used_by": USED_BY, "kinks": kinks}
        if found := self.subdifferential:
            vertices = [
                {
                    "on": [self._unit(kink) for kink in sorted(pattern) if pattern[kink]],
                    "off": [self._unit(kink) for kink in sorted(pattern) if not pattern[kink]],
                    "gradients": gradients.arrays,
                }
                for pattern, gradients in found.pieces
            ]
            undecided = {"complete": found.complete, "undecided_patterns": len(found.undecided)}
            document["exact"]["subdifferential"] = undecided | {"vertices": vertices}
            verdict = {"stationary": found.stationary, "stuck": self.stuck, "descent": found.descent}
            document["exact"]["verdict"] = verdict
        if self.differences:
            derivatives = {name: self._derivatives(name, found) for name, found in self.differences.items()}
            document["check"] = derivatives | {"agrees": self.agrees}
        return dict(_with_integers(to_json(document)))

    def _numbers(self, values: Values) -> dict[str, Any]:
        """The numbers in one arithmetic; of several samples only what belongs to all of them."""
        trace, gradients = values.trace, values.gradients
        document: dict[str, Any] = {"loss": values.loss}
        if not self.samples:
            columns = {"z": trace.z, "a": trace.a} | ({"delta": gradients[CHOSEN].deltas} if gradients else {})
            layers = []
            for number, layer in enumerate(self.problem.network.layers):
                names = {"name": layer.name, "weights": layer.weights} | ({"bias": layer.bias} if layer.bias else {})
                names |= {"activation": layer.activation} if layer.activation != "relu" else {}
                layers.append(names | {key: column[number][0] for key, column in columns.items()})
            document = {"x": trace.x[0], "y": values.y[0], "layers": layers, "y_hat": trace.y_hat[0]} | document
        if gradients:
            arrays = [*self.problem.network.arrays, "x"]
            by_name = {
                convention: {name: self._by_sample(name, values.gradient(name, convention)) for name in arrays}
                for convention in gradients
            }
            document["d_y_hat"] = self._by_sample("x", gradients[CHOSEN].y_hat)
            document |= {"gradients": by_name.pop(CHOSEN), "by_convention": by_name}
        return document

    def _by_sample(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Rows of samples, as x has them, or the only row; arrays as they are."""
        return np.asarray(rows[0]) if name == "x" and not self.samples else rows

    def _unit(self, kink: Kink) -> dict[str, Any]:
        sample: dict[str, Any] = {"sample": kink.sample + 1} if self.samples else {}
        return sample | {"layer": self.problem.network.layers[kink.layer].name, "unit": kink.unit + 1, "z": 0}

    def _derivatives(self, name: str, found: Differences) -> dict[str, Any]:
        columns = {side: getattr(found, side) for side in ("central", "left", "right", "one_sided_differ")}
        columns["contradicts"] = found.contradict(self.values.gradient(name))
        return {side: self._by_sample(name, rows) for side, rows in columns.items()}


def forward(problem: Problem) -> Worked:
    """Values of every unit, and the loss.

    Raises: ShapeError if x or y does not fit the network; InputError if a value exceeds the range of float64.
    """
    return _work(problem, None, False)


def gradients(problem: Problem, relu_at_zero: Number = 0, check: bool = False) -> Worked:
    """Values and gradients, with ``relu_at_zero`` for relu'(0); with ``check`` also the numerical derivatives.

    Raises: as ``forward``, and InputError if relu_at_zero is not in [0, 1].
    """
    check_convention(relu_at_zero)
    return _work(problem, relu_at_zero, check)


def _work(problem: Problem, relu_at_zero: Number | None, check: bool) -> Worked:
    """The numbers in float64 and, where there are any, in fractions, with the same units on their kink."""
    samples = [_work(sample, relu_at_zero, False) for sample in problem.samples] if problem.several else []
    network, x, y = problem.network, problem.x, problem.y
    conventions: dict[str, Number] = {} if relu_at_zero is None else {CHOSEN: relu_at_zero} | CONVENTIONS
    exact = ExactNetwork(network, x, y) if network.rational else None
    trace = network.forward(x, exact.trace.z if exact else None)
    loss = float(network.losses(trace, y).mean())
    found = {name: network.backward(trace, y, float(value)) for name, value in conventions.items()}
    values, fractions = Values(trace, network.check(x, y)[1], loss, found), None
    if exact:
        found = {name: exact.backward(value) for name, value in conventions.items()}
        fractions = Values(exact.trace, exact.y, exact.trace.loss, found)
    behind = subdifferential(exact) if exact and exact.trace.kinks and conventions else None
    differences = network.differences(x, y) if check else {}
    return Worked(problem, values, fractions, samples, relu_at_zero, behind, differences)


def _with_integers(values: Any) -> Any:
    """JSON with integers in place of float64 numbers that are integers."""
    if isinstance(values, dict):
        return {name: _with_integers(value) for name, value in values.items()}
    if isinstance(values, list):
        return list(map(_with_integers, values))
    return int(values) if isinstance(values, float) and values.is_integer() and abs(values) < 2**53 else values
