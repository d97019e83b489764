"""A problem worked forward and backward: every value in float64 and, where the network is rational, as a fraction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import Number, convention
from mlcore.exercise.kinks import Subdifferential, subdifferential
from mlcore.exercise.network import FLOAT_TOLERANCE, Gradients, Kink, Trace
from mlcore.exercise.numerical import Differences, numerical_derivatives
from mlcore.exercise.problem import Problem
from mlcore.results import Result, to_json

CHOSEN = "chosen"
USED_BY = {
    "0": "torch.relu, TensorFlow, jax.nn.relu, micrograd",
    "1/2": "torch.maximum, jax.numpy.maximum, SymPy's Max",
    "1": "torch.clamp(min=0), NumPy code such as grad[h < 0] = 0",
}
CONVENTIONS = {name: Fraction(name) for name in USED_BY}


@dataclass(frozen=True)
class Values:
    trace: Trace
    y: np.ndarray  # (n, k)
    loss: Number
    chosen: Gradients | None  # those for the value of relu'(0) that was asked for
    gradients: dict[str, dict[str, np.ndarray]]  # for CHOSEN and CONVENTIONS, by array and in x


@dataclass(frozen=True)
class Worked(Result):
    """Values of every unit and the loss, in float64 and exactly; for several samples, also a result for each.

    With gradients, also what is behind a kink, and the numerical derivatives in every array if asked for. What
    belongs to samples, such as the gradient in x, is one row for each, or of one sample the row itself.
    """

    problem: Problem
    values: Values
    exact: Values | None
    samples: Sequence["Worked"]
    relu_at_zero: Fraction | None  # None: without gradients
    subdifferential: Subdifferential | None
    differences: Mapping[str, Differences]

    @property
    def best(self) -> Values:
        """The exact values, or those in float64 where there are none."""
        return self.exact or self.values

    @property
    def stuck(self) -> bool:
        """Whether all gradients in weights and biases are 0."""
        return not any(array.any() for name, array in self.best.gradients[CHOSEN].items() if name != "x")

    @property
    def agrees(self) -> bool:
        """Whether no numerical derivative contradicts a gradient."""
        return not any(self.contradictions(name).any() for name in self.differences)

    def contradictions(self, name: str) -> np.ndarray:
        """Entries of an array in which J has a derivative, and it is not the gradient."""
        return self.differences[name].contradict(self.values.gradients[CHOSEN][name])

    def unit_names(self, kinks: Iterable[Kink]) -> str:
        """The units as people name them, counted from 1."""
        name = "sample {sample} {layer} unit {unit}" if self.samples else "{layer} unit {unit}"
        return ", ".join(name.format(**self._unit(kink)) for kink in kinks)

    def _unit(self, kink: Kink) -> dict[str, Any]:
        sample: dict[str, Any] = {"sample": kink.sample + 1} if self.samples else {}
        return sample | {"layer": self.problem.network.layers[kink.layer].name, "unit": kink.unit + 1, "z": 0}

    def to_dict(self) -> dict[str, Any]:
        """The values in float64, and the same as fractions under "exact"."""
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
            vertices = []
            for pattern, gradients in found.pieces:
                on, off = ([self._unit(kink) for kink in sorted(pattern) if pattern[kink] == is_on] for is_on in (1, 0))
                vertices.append({"on": on, "off": off, "gradients": gradients.arrays})
            undecided = {"complete": found.complete, "undecided_patterns": len(found.undecided)}
            verdict = {"stationary": found.stationary, "stuck": self.stuck, "descent": found.descent}
            document["exact"] |= {"subdifferential": undecided | {"vertices": vertices}, "verdict": verdict}
        if self.differences:
            document["check"] = {
                name: {side: getattr(found, side) for side in ("central", "left", "right", "one_sided_differ")}
                | {"contradicts": self.contradictions(name)}
                for name, found in self.differences.items()
            } | {"agrees": self.agrees}
        return dict(to_json(document))

    def _numbers(self, values: Values) -> dict[str, Any]:
        """The numbers in one arithmetic; of several samples only what belongs to all of them."""
        trace, chosen = values.trace, values.chosen
        document: dict[str, Any] = {"loss": values.loss}
        if not self.samples:
            columns = {"z": trace.z, "a": trace.a} | ({"delta": chosen.deltas} if chosen else {})
            layers = []
            for number, layer in enumerate(self.problem.network.layers):
                names = {"name": layer.name, "weights": layer.weights} | ({"bias": layer.bias} if layer.bias else {})
                names |= {"activation": layer.activation} if layer.activation != "relu" else {}
                layers.append(names | {key: column[number][0] for key, column in columns.items()})
            document = {"x": trace.x[0], "y": values.y[0], "layers": layers, "y_hat": trace.y_hat[0]} | document
        if chosen:
            conventions = {name: values.gradients[name] for name in CONVENTIONS}
            document["d_y_hat"] = chosen.y_hat if self.samples else chosen.y_hat[0]
            document |= {"gradients": values.gradients[CHOSEN], "by_convention": conventions}
        return document


def work(problem: Problem, relu_at_zero: Number | None = None, check: bool = False) -> Worked:
    """Values of every unit and the loss; with ``relu_at_zero`` for relu'(0) also all gradients.

    With ``check`` also the numerical derivatives.

    Raises: ShapeError if x or y does not fit the network; InputError if a value exceeds the range of float64, or if
        relu_at_zero is not in [0, 1].
    """
    network, x, y = problem.network, problem.x, problem.y
    chosen = None if relu_at_zero is None else convention(relu_at_zero)
    conventions = {} if chosen is None else {CHOSEN: chosen} | CONVENTIONS
    samples = [work(sample, chosen) for sample in problem.samples] if problem.several else []

    def values(trace: Trace, y: np.ndarray, loss: Number, backward: Callable[[Fraction], Gradients]) -> Values:
        found = {name: backward(value) for name, value in conventions.items()}
        arrays = {name: one.arrays | {"x": one.x if samples else one.x[0]} for name, one in found.items()}
        return Values(trace, y, loss, found.get(CHOSEN), arrays)

    exact = Pass(network, x, y) if network.rational else None
    trace = network.forward(x, exact.trace.z if exact else None)
    loss, Y = network.objective(trace, y), network.check(x, y)[1]
    rounded = values(trace, Y, loss, lambda value: network.backward(trace, y, float(value)))
    fractions = values(exact.trace, exact.y, exact.trace.loss, exact.backward) if exact else None
    behind = subdifferential(exact) if exact and exact.trace.kinks and conventions else None
    differences = numerical_derivatives(network, x, y) if check else {}
    if differences and not samples:
        differences["x"] = Differences(*(rows[0] for rows in differences["x"]))
    return Worked(problem, rounded, fractions, samples, chosen, behind, differences)
