"""The mistakes that students make: each is a step of the pass that is done in another way, and has a name."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from mlcore.exercise.answers import Rounding
from mlcore.exercise.descent import Update
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import to_unicode
from mlcore.exercise.functions import ACTIVATIONS, NORMALIZES, Number, through_softmax
from mlcore.exercise.network import Gradients, Network

Step = Callable[["Work", Any], Any]  # what the student does, given what is right
Steps = Mapping[str, Step]
Matrices = dict[str, np.ndarray]  # matrices by the names of answers
WRITTEN = ("z", "a", "error", "slopes", "pulled", "delta")  # steps whose values students write down
SUMMED = ("losses", "dW", "db")  # and those whose values they add up
ROUNDED = WRITTEN + SUMMED
RATES = (Fraction(1), Fraction(1, 2), Fraction(1, 10), Fraction(1, 100))  # learning rates to look for


class Mistake(NamedTuple):
    """A mistake, the activations and losses that it is about, and the layers that it is made in; none means all."""

    name: str
    steps: Steps
    activations: Collection[str] = ()
    layers: Collection[int] = ()
    losses: Collection[str] = ()
    is_step: bool = False  # of gradient descent, where a gradient is asked for
    rate: Number = 0  # of learning

    def values(self, right: Pass, convention: Number = 0, rounding: Rounding | None = None) -> Matrices:
        """All answers of a student who makes this mistake and no other."""
        try:
            return Work(right, convention, self, rounding=rounding).values()
        except ValueError:  # a gradient of another shape, where it is added to another, or has the inputs of two
            return Work(right, convention, rounding=rounding).values()


def _as(number: int) -> Step:
    """Another number in place of every right one."""
    return lambda w, right: np.full(right.shape, w.number(number))


def _other_convention(other: Number, right: Number) -> Mistake:
    """A value for phi'(0) that is not the one that is asked for."""
    return Mistake(f"φ'(0) = {other} instead of {right}", {"slopes": lambda w, right: w.slopes(w.layer, other)})


def _slope_of_a(formula: Callable[[np.ndarray, Any], np.ndarray]) -> dict[str, Step]:
    """Another formula for the slope, given a and 1."""
    return {"slopes": lambda w, right: formula(w.a, w.number(1))}


def _through_one_output(unit: int) -> Step:
    def pulled(w: "Work", right: np.ndarray) -> np.ndarray:
        one = slice(unit, unit + 1)
        return w.delta[:, one] @ w.W[w.layer][one] if w.layer == w.depth - 1 else right

    return pulled


def _instead(prefix: str, change: Callable[[np.ndarray, np.ndarray, Any], np.ndarray]) -> dict[str, Step]:
    """Something else in place of the gradients (d) or the new arrays: of an array, its gradient and the rate."""

    def answers(w: "Work", right: Matrices) -> Matrices:
        rate, names = w.number(w.mistake.rate), [name for name in w.network.trained if f"{prefix}{name}" in right]
        return {f"{prefix}{name}": change(np.atleast_2d(w.arrays[name]), right[f"d{name}"], rate) for name in names}

    return {"answers": answers}


def _of_one_use(names: Collection[str]) -> Step:
    """The arrays of a layer whose gradients are left when other layers give none; that one is 0 tells nothing."""

    def answers(w: "Work", left: Matrices) -> Matrices:
        told = {f"{of}{name}" for name in names for of in ("d", "new ") if left.get(f"d{name}", np.zeros(1)).any()}
        return {name: rows for name, rows in Work(w, w.convention).values().items() if name not in told}

    return answers


def _from_updated_weights(w: "Work", right: np.ndarray) -> np.ndarray:
    return np.asarray(w.delta @ (w.W[w.layer] - w.number(w.mistake.rate) * w.share * w.outer))


def _logit_for_probability(w: "Work", right: Matrices) -> Matrices:
    is_probability = w.layers[-1].activation in PROBABILITIES
    return dict.fromkeys(("y_hat", f"a:{w.names[-1]}"), w.trace.z[-1]) if is_probability else {}


def _probability_for_logit(w: "Work", right: Matrices) -> Matrices:
    last = w.names[-1]
    if w.layers[-1].activation in PROBABILITIES:
        return {f"z:{last}": w.predicted()}
    is_logit = w.network.loss.name in LOGARITHMIC
    return dict.fromkeys((f"z:{last}", f"a:{last}", "y_hat"), w.predicted()) if is_logit else {}


def _through_probability(w: "Work", error: np.ndarray) -> np.ndarray:
    """The derivative in z of what has this one in the probability."""
    p = w.predicted()
    return through_softmax(error, p) if NORMALIZES in w.network.function.outputs else error * p * (1 - p)


PROBABILITIES = ("sigmoid", "softmax")
LOGARITHMIC = ("cross-entropy", "binary-cross-entropy")
HALF, SQUARED = ("half-squared",), ("squared", "mean-squared")
RELU, LEAKY, SIGMOID, TANH = ("relu",), ("leaky-relu",), ("sigmoid",), ("tanh",)
SMOOTH = [name for name, phi in ACTIVATIONS.items() if phi.derivative not in ("", "1") and not phi.has_kink]
# Most likely first. Those with {where} can be made in one layer or in several; {phi} is the activation there.
MISTAKES = [
    Mistake("wrong sign (y − ŷ instead of ŷ − y)", {"error": lambda w, right: -right}),
    Mistake("transposed ({turned} instead of {outer})", {"answers": lambda w, right: {
        f"d{name}": right[f"d{name}"].T for name, array in w.network.arrays.items()
        if f"d{name}" in right and array.ndim > 1}}),
    Mistake("bias gradient left out (0)", {"db": _as(0)}),
    Mistake("factor ŷ − y left out", {"error": _as(1)}),
    Mistake("½ in J left out (twice as large)",
            dict.fromkeys(("losses", "error"), lambda w, right: right * 2), losses=HALF),
    Mistake("½ of J kept in the gradient (half as large)", {"error": lambda w, right: right / 2}, losses=HALF),
    Mistake("factor 2 of the derivative left out", {"error": lambda w, right: right / 2}, losses=SQUARED),
    Mistake("half as large as J", {"losses": lambda w, right: right / 2}),
    Mistake("averaged over the outputs", dict.fromkeys(
        ("losses", "error"), lambda w, right: right * w.number(Fraction(1, w.y.shape[1])))),
    Mistake("(y − ŷ)² instead of ŷ − y", {"error": lambda w, right: right * right}),
    Mistake("square left out in the loss",
            {"losses": lambda w, right: w.factor * (w.y - w.trace.a[-1]) / 2}, losses=HALF + SQUARED),
    Mistake("square left out in the loss",
            {"losses": lambda w, right: w.factor * (w.trace.a[-1] - w.y) / 2}, losses=HALF + SQUARED),
    Mistake("log10 instead of ln in the loss", {"losses": lambda w, right: right / math.log(10)}, losses=LOGARITHMIC),
    Mistake("log2 instead of ln in the loss", {"losses": lambda w, right: right / math.log(2)}, losses=LOGARITHMIC),
    Mistake("an extra σ'(z) in δ (it cancels in the cross-entropy)",
            {"error": lambda w, right: right * w.predicted() * (1 - w.predicted())}, losses=LOGARITHMIC),
    Mistake("∂J/∂ŷ instead of δ (the derivative of softmax or σ left out)",
            {"error": lambda w, right: w.network.function.of_probability(w.predicted(), w.y)}, losses=LOGARITHMIC),
    Mistake("half the squared error instead of the cross-entropy",
            {"losses": lambda w, right: (w.predicted() - w.y) ** 2 / 2,
             "error": _through_probability}, losses=LOGARITHMIC),
    Mistake("the squared error instead of the cross-entropy",
            {"losses": lambda w, right: (w.predicted() - w.y) ** 2,
             "error": lambda w, right: 2 * _through_probability(w, right)}, losses=LOGARITHMIC),
    Mistake("(1 − y) log(1 − ŷ) added, which is for sigmoid outputs",
            {"losses": lambda w, right: right - (1 - w.y) * np.log1p(-w.predicted())}, losses=["cross-entropy"]),
    Mistake("(1 − y) log(1 − ŷ) left out",
            {"losses": lambda w, right: -w.y * np.log(w.predicted())}, losses=["binary-cross-entropy"]),
    Mistake("softmax without its denominator",
            {"a": lambda w, right: np.exp(w.z), "losses": lambda w, right: right
             if w.network.loss.name not in LOGARITHMIC else -w.y * w.trace.z[-1]}, ("softmax",)),
    Mistake("the logit z instead of the probability", {"answers": _logit_for_probability}),
    Mistake("the probability instead of the logit z", {"answers": _probability_for_logit}),
    Mistake("z instead of h in the gradient of the weights (the activation left out)",
            {"inputs": lambda w, right: w.network.inputs(w.layer, w.x, w.trace.z)}),
    Mistake("h instead of x in the gradient of the weights (the layer's output, not its input)",
            {"inputs": lambda w, right: w.a}),
    Mistake("x instead of h in the gradient of the weights", {"inputs": lambda w, right: w.x}),
    Mistake("weights left out in the δ of the layer below (Vᵀ)",
            {"pulled": lambda w, right: 0 * right + w.delta.sum(1, keepdims=True)}),
    Mistake("weights not transposed in the δ of the layer below (V instead of Vᵀ)",
            {"pulled": lambda w, right: w.delta @ w.W[w.layer].T if len(set(w.W[w.layer].shape)) == 1 else right}),
    Mistake("bias left out in the forward pass",
            {"z": lambda w, right: right if w.b[w.layer] is None else w.inputs(w.layer) @ w.W[w.layer].T}),
    Mistake("bias gradient multiplied by the input", {"db": lambda w, right: w.network.turned(w.outer)}),
    Mistake("summed over the samples instead of averaged", {"share": lambda w, right: right * 0 + 1}),
    Mistake("averaged over the samples instead of summed",
            {"share": lambda w, right: right * 0 + w.number(Fraction(1, len(w.x)))}),
    Mistake("averaged twice over the samples", {"share": lambda w, right: right * right}),
    Mistake("L2 penalty left out in the gradient", {"penalty": _as(0)}),
    Mistake("L2 penalty left out in J", {"answers": lambda w, right: {"loss": right["loss"] - w.penalty()}}),
    Mistake("twice the L2 penalty in the gradient", {"penalty": lambda w, right: 2 * right}),
    Mistake("only the first sample used", {"samples": lambda w, right: right[:1]}),
    Mistake("wrong sign", {"answers": lambda w, right: {
        name: -rows for name, rows in right.items() if not name.startswith("d")}}),
    Mistake("{phi}'(z) left out (or 1 for z < 0) in {where}", {"slopes": _as(1)}, RELU),
    Mistake("0 for {phi}'(0) in {where}, less than the slope of leaky ReLU",
            {"slopes": lambda w, right: np.where(w.z == 0, 0 * right, right)}, LEAKY),
    Mistake("{phi}'(z) left out in {where}", {"slopes": _as(1)}, SMOOTH),
    Mistake("{phi}'(a) instead of {phi}'(z) (the formula for the derivative applied to the activation) in {where}",
            {"slopes": lambda w, right: w.slopes_at(w.a)}, SMOOTH),
    Mistake("{phi}(z) instead of {phi}'(z) in {where}", {"slopes": lambda w, right: w.activate(w.layer, w.z)}),
    Mistake("a (1 + a) instead of a (1 − a) for σ' in {where}", _slope_of_a(lambda a, one: a * (one + a)), SIGMOID),
    Mistake("1 − a instead of a (1 − a) for σ' in {where}", _slope_of_a(lambda a, one: one - a), SIGMOID),
    Mistake("1 − z² instead of 1 − tanh² z for tanh' in {where}", {"slopes": lambda w, right: 1 - w.z**2}, TANH),
    Mistake("1 + tanh² z instead of 1 − tanh² z for tanh' in {where}", _slope_of_a(lambda a, one: one + a * a), TANH),
    Mistake("1 − tanh z instead of 1 − tanh² z for tanh' in {where}", _slope_of_a(lambda a, one: one - a), TANH),
    Mistake("ReLU left out, forward and backward, in {where}", {"a": lambda w, right: w.z, "slopes": _as(1)}, RELU),
    Mistake("ReLU left out in the forward pass in {where}", {"a": lambda w, right: w.z}, RELU),
    Mistake("ReLU instead of leaky ReLU in {where}",
            {"a": lambda w, a: np.maximum(a, 0), "slopes": lambda w, s: np.where(w.z < 0, 0, s)}, LEAKY),
    Mistake("the step, η times the gradient, instead of the gradient (η = {rate})",
            _instead("d", lambda a, da, rate: rate * da), is_step=True),
    Mistake("the change, −η times the gradient, instead of the gradient (η = {rate})",
            _instead("d", lambda a, da, rate: -rate * da), is_step=True),
    Mistake("the new weights instead of the gradient (η = {rate})",
            _instead("d", lambda a, da, rate: a - rate * da), is_step=True),
    Mistake("the updated weights used in the δ of the layer below (η = {rate})",
            {"pulled": _from_updated_weights}, is_step=True),
    Mistake("the gradient added instead of subtracted", _instead("new ", lambda a, da, rate: a + rate * da)),
    Mistake("the learning rate left out", _instead("new ", lambda a, da, rate: a - da)),
    Mistake("the step instead of the new weights", _instead("new ", lambda a, da, rate: rate * da)),
    Mistake("the gradient instead of the new weights", _instead("new ", lambda a, da, rate: da)),
]  # fmt: skip


def catalogue(network: Network, update: Update | None = None, conventions: Collection[Number] = ()) -> list[Mistake]:
    """All mistakes that are looked for, most likely first: if there is an update, those with a step.

    ``conventions``: the one for phi'(0) that is asked for; then others, which are mistakes.
    """
    every = range(len(network.layers))
    names = [name if name.startswith("layer ") else f"layer {name}" for name in network.layer_names]
    scopes = [(name, [number]) for number, name in enumerate(names)]
    if len(every) > 2:
        scopes.append(("all hidden layers", [*every[:-1]]))
    if len(every) > 1:
        scopes.append(("all layers", [*every]))
    outer, turned = ("xᵀ δ", "δᵀ x") if network.in_rows else ("δ xᵀ", "x δᵀ")
    rates = [update.learning_rate] if update else RATES
    found = list[Mistake]()
    for mistake in MISTAKES:
        if mistake.losses and network.loss.name not in mistake.losses:
            continue
        places = scopes if "{where}" in mistake.name else [("", ())]
        for (where, layers), rate in product(places, rates if mistake.is_step else rates[:1]):
            used = {network.layers[layer].activation for layer in layers or every}
            if mistake.activations and used.isdisjoint(mistake.activations):
                continue
            phis = {to_unicode(network.activations[layer].symbol) for layer in layers} - {""}
            phi = phis.pop() if len(phis) == 1 else "φ"
            name = mistake.name.format(where=where, phi=phi, outer=outer, turned=turned, rate=rate)
            found.append(mistake._replace(name=name, layers=layers, rate=rate))
    outputs = range(len(network.W[-1]) if len(network.W[-1]) > 1 else 0)
    found += [Mistake(f"only the path through output {unit + 1} in the δ of the layer below",
                      {"pulled": _through_one_output(unit)}) for unit in outputs]  # fmt: skip
    for layer in every:
        uses = ({n for n in every if name in network.layers[n].arrays} for name in network.layers[layer].arrays)
        if shared := set[int]().union(*uses) - {layer}:
            name = f"only its use in {names[layer]} counted (the gradients of layers that share an array add)"
            steps = dict.fromkeys(("dW", "db"), _as(0)) | {"answers": _of_one_use(network.layers[layer].arrays)}
            found.append(Mistake(name, steps, layers=shared))
    asked, *others = conventions or [0]
    found = [_other_convention(other, asked) for other in others] + found
    return sorted(found, key=lambda mistake: update is not None and not mistake.is_step)


class Work(Pass):
    """What a student does: the pass with a mistake, rounded on the way, or from values of the student's own."""

    update: Update | None = None  # after which new weights are asked; a Work that is made from another has the same
    layer: int  # of the step

    def __init__(
        self,
        right: Pass,
        convention: Number,
        mistake: Mistake | None = None,
        given: Matrices | None = None,
        rounding: Rounding | None = None,
        update: Update | None = None,
    ) -> None:
        vars(self).update(vars(right))
        self.update = update or self.update
        self.mistake, self.given, self.rounding = mistake or Mistake("", {}), given or {}, rounding
        self.convention, self.names = convention, right.network.layer_names
        self.deltas: dict[int, np.ndarray] = {}
        if "samples" in self.mistake.steps:
            self.x, self.y = (self.mistake.steps["samples"](self, rows) for rows in (right.x, right.y))
        self.forward()

    def step(self, name: str, layer: int, right: Any) -> Any:
        self.layer = layer
        _, steps, activations, layers, *_ = self.mistake
        activation = self.layers[layer].activation
        is_meant = activation in activations if activations else not layers or activation != "identity"
        if name in steps and is_meant and (not layers or layer in layers):
            shape, right = np.shape(right), steps[name](self, right)
            if name == "inputs" and self.layers[layer].own and right.shape != shape:
                raise ValueError("no such mistake: the inputs are those of two matrices")
        answer = f"{name}:{self.names[layer]}"
        if name == "a" and layer == self.depth - 1 and "y_hat" in self.given:
            answer = "y_hat"
        if name == "error" and not self.network.function.outputs:
            answer = f"da:{self.names[layer]}"
        if answer in self.given:
            right = self.array(self.given[answer])
        elif self.rounding and name in ROUNDED:
            right = self.array(self.rounding(np.asarray(right)))
        if name == "delta":
            self.deltas[layer] = right
        return right

    @property
    def z(self) -> np.ndarray:
        """Of that layer, as are a and what follows."""
        return self.trace.z[self.layer]

    @property
    def a(self) -> np.ndarray:
        return self.trace.a[self.layer]

    @property
    def delta(self) -> np.ndarray:
        return self.deltas[self.layer]

    @property
    def outer(self) -> np.ndarray:
        """The gradient of the weights, with what the student has done so far."""
        return np.asarray(self.delta.T @ self.inputs(self.layer))

    def slopes_at(self, z: np.ndarray) -> np.ndarray:
        """phi' of a smooth activation, which has no leak and no kink, at another z."""
        slope = self.network.activations[self.layer].slope
        return np.asarray(slope(z, self.activate(self.layer, z), self.number(1), 0, 0))

    def values(self) -> Matrices:
        has_slopes = all(activation.backward for activation in self.network.activations)
        values = self.answers(self.backward(self.convention) if has_slopes else None)
        changed = self.mistake.steps.get("answers")
        return values | changed(self, values) if changed else values

    def answers(self, gradients: Gradients | None) -> Matrices:
        """All answers by name; delta, da and dx are derivatives of each sample's own loss, the others of J.

        Without gradients, which a step function does not have, only the forward values.
        """
        trace, values, others = self.trace, Matrices(), self.x.shape[:-2]

        def rows(array: np.ndarray) -> np.ndarray:
            return array if array.ndim == len(others) + 2 else array[..., None, :]

        for name, z, a in zip(self.names, trace.z, trace.a, strict=True):
            values |= {f"z:{name}": z, f"a:{name}": a}
        values |= {"y_hat": trace.y_hat, "loss": np.expand_dims(np.asarray(self.loss), (-2, -1))}
        if not gradients:
            return values
        pulled = [*gradients.pulled[:-1], gradients.y_hat]
        for name, da, delta in reversed(list(zip(self.names, pulled, gradients.deltas, strict=True))):
            values |= {f"da:{name}": da, f"delta:{name}": delta}
        arrays = gradients.arrays
        values |= {f"d{name}": rows(array) for name, array in arrays.items()} | {"dx": gradients.x}
        if self.update:
            used = {name: self.array(self.given.get(f"d{name}", array)) for name, array in arrays.items()}
            shapes = {name: (*others, *array.shape) for name, array in self.network.arrays.items()}
            fitting = {
                name: array.reshape(shapes[name]) for name, array in used.items() if array.size == np.prod(shapes[name])
            }
            new = self.update.first_step(self.network, fitting)
            values |= {f"new {name}": rows(array) for name, array in new.items()}
        return values


class Students(Work):
    """Many students at once, who round after the steps of their habits: all arrays have an axis for them in front.

    ``habits``: the steps, and which halves are rounded up: 0 all of them; 1 or 2 every other.
    """

    def __init__(
        self, right: Pass, convention: Number, habits: Sequence[tuple[Collection[str], int]], rounding: Rounding
    ) -> None:
        self.rounds = {name: np.array([name in steps for steps, _ in habits]) for name in ROUNDED}
        self.halves = np.array([halves for _, halves in habits])
        many = copy(right)
        many.x, many.y = (np.broadcast_to(rows, (len(habits), *rows.shape)) for rows in (right.x, right.y))
        super().__init__(many, convention, rounding=rounding)

    def step(self, name: str, layer: int, right: Any) -> Any:
        if name not in ROUNDED or not self.rounding:
            return right
        students = (-1, *[1] * (right.ndim - 1))
        halves, place = self.halves.reshape(students), np.arange(right[0].size).reshape(right.shape[1:])
        rounded = self.rounding(right, (halves == 0) | ((place + halves) % 2 == 0))
        return np.where(self.rounds[name].reshape(students), rounded, right)
