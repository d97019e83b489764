"""A problem worked forward and backward: every value in float64 and, where the network is rational, as a fraction."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import Number
from mlcore.exercise.kinks import Subdifferential, subdifferential
from mlcore.exercise.network import FLOAT_TOLERANCE, Gradients, Kink, Trace
from mlcore.exercise.numerical import Differences, numerical_derivatives
from mlcore.exercise.problem import Problem
from mlcore.results import Result, to_json

USED_BY = {
    "0": "torch.relu, TensorFlow, jax.nn.relu, micrograd",
    "1/2": "torch.maximum, jax.numpy.maximum, SymPy's Max",
    "1": "torch.clamp(min=0), NumPy code such as grad[h < 0] = 0",
}


@dataclass(frozen=True)
class Values:
    """All numbers in one arithmetic: of every unit, the losses of the samples, J, and its gradients."""

    trace: Trace
    y: np.ndarray  # (n, k)
    losses: np.ndarray  # (n,)
    loss: Number
    gradients: Mapping[Fraction, Gradients]  # by what is taken for phi'(0)


@dataclass(frozen=True)
class Worked(Result):
    """Values of every unit and the loss, in float64 and exactly.

    With gradients, also what is behind a kink, and the numerical derivatives in every array if asked for.
    ``at_zero``: what is taken for phi'(0) in the units on their kink; ``usual``: what they take by the usual
    conventions.
    """

    problem: Problem
    at_zero: Fraction
    usual: list[Fraction]
    values: Values
    exact: Values | None
    subdifferential: Subdifferential | None
    differences: Mapping[str, Differences]

    @property
    def best(self) -> Values:
        """The exact values, or those in float64 where there are none."""
        return self.exact or self.values

    @property
    def stuck(self) -> bool:
        """Whether all gradients in weights and biases are 0."""
        return not self.best.gradients[self.at_zero].flat.any()

    @property
    def agrees(self) -> bool:
        """Whether no numerical derivative contradicts a gradient."""
        return not any(self.contradictions(name).any() for name in self.differences)

    def contradictions(self, name: str) -> np.ndarray:
        """Entries of an array in which J has a derivative, and it is not the gradient."""
        return self.differences[name].contradict(self.values.gradients[self.at_zero].named[name])

    def unit_names(self, kinks: Iterable[Kink]) -> str:
        """The units as people name them, counted from 1."""
        name = "sample {sample} {layer} unit {unit}" if self.problem.several else "{layer} unit {unit}"
        return ", ".join(name.format(**self._unit(kink)) for kink in kinks)

    def _unit(self, kink: Kink) -> dict[str, Any]:
        sample: dict[str, Any] = {"sample": kink.sample + 1} if self.problem.several else {}
        return sample | {"layer": self.problem.network.layers[kink.layer].name, "unit": kink.unit + 1, "z": 0}

    def to_dict(self) -> dict[str, Any]:
        """The values in float64, and the same as fractions under "exact"."""
        document = self._numbers(self.values)
        document |= {"exact": self._numbers(self.exact)} if self.exact else {"kink_tolerance": FLOAT_TOLERANCE}
        kinks = self.values.trace.kinks
        if self.values.gradients:
            shown = list(map(self._unit, kinks))
            document |= {"relu_at_zero": float(self.at_zero), "used_by": USED_BY, "kinks": shown}
        if found := self.subdifferential:
            vertices = []
            for piece in found.pieces:
                on, off = (list(map(self._unit, sorted(units))) for units in (piece.on, {*kinks} - piece.on))
                vertices.append({"on": on, "off": off, "gradients": piece.gradients.arrays})
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
        samples = [self._sample(values, number) for number in range(len(values.y))]
        document = ({"samples": samples} if self.problem.several else samples[0]) | {"loss": values.loss}
        if found := values.gradients:
            conventions = {value: found[value].named for value in self.usual}
            document |= {"gradients": found[self.at_zero].named, "by_convention": conventions}
        return document

    def _sample(self, values: Values, number: int) -> dict[str, Any]:
        trace, chosen = values.trace, values.gradients.get(self.at_zero)
        columns = {"z": trace.z, "a": trace.a} | ({"delta": chosen.deltas} if chosen else {})
        layers = []
        for place, layer in enumerate(self.problem.network.layers):
            names = {"name": layer.name, "weights": layer.weights} | ({"bias": layer.bias} if layer.bias else {})
            names |= {"activation": layer.activation} if layer.activation != "relu" else {}
            layers.append(names | {key: column[place][number] for key, column in columns.items()})
        document = {"x": trace.x[number], "y": values.y[number], "layers": layers, "y_hat": trace.y_hat[number]}
        document |= {"loss": values.losses[number]}
        return document | ({"d_y_hat": chosen.y_hat[number]} if chosen else {})


def work(problem: Problem, backward: bool = True, check: bool = False) -> Worked:
    """Values of every unit and the loss, and all gradients; with ``check`` also the numerical derivatives.

    Raises: ShapeError if x or y does not fit the network; InputError if a value exceeds the range of float64.
    """
    network, x, y = problem.network, problem.x, problem.y
    by_hand = Pass(network, x, y) if network.rational else None
    trace = network.forward(x, by_hand.trace.z if by_hand else None)
    conventions = [problem.at_zero, *map(Fraction, USED_BY)]
    at_zero, *usual = (network.at_kinks(trace.kinks, value) for value in conventions)

    def gradients(work_backward: Callable[[Fraction], Gradients]) -> dict[Fraction, Gradients]:
        return {value: work_backward(value) for value in {at_zero, *usual}} if backward else {}

    exact, behind = None, None
    if by_hand:
        exact = Values(by_hand.trace, by_hand.y, by_hand.losses, by_hand.loss, gradients(by_hand.backward))
        behind = subdifferential(by_hand) if trace.kinks and backward else None
    losses, loss, Y = network.losses(trace, y), network.objective(trace, y), network.check(x, y)[1]
    values = Values(trace, Y, losses, loss, gradients(lambda value: network.backward(trace, y, float(value))))
    differences = numerical_derivatives(network, x, y) if check else {}
    return Worked(problem, at_zero, list(dict.fromkeys(usual)), values, exact, behind, differences)
