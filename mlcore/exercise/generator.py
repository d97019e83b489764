"""New exercises: small numbers, results worth computing, and kinks only where they are asked for."""

import random
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import ACTIVATIONS, Loss
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import DecimalNumber, Problem
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS, KINKS, Difficulty, Kind, kind_of

MAX_UNITS, MAX_TRIES, MAX_DRAWS = 8, 10_000, 100
MAX_INPUT, MAX_ERROR = 3, 3
MAX_VALUE, MAX_SMOOTH = 9, 2  # of a z; sigmoid and the like are flat beyond 2
MIN_GRADIENT = 0.01  # of the largest entry of each gradient, or rounding would leave nothing to mark
AT_ZERO = Fraction(1)  # the convention that exercises ask for: with relu'(0) = 0, zeros everywhere could be right
TENTH = DecimalNumber("0.1")  # the slope of leaky-relu, and lambda of the L2 penalty


class _Plan(NamedTuple):
    """All that is decided before numbers are drawn."""

    kind: Kind
    size: Difficulty
    kink: str


def make_problem(
    seed: int,
    features: int | None = None,
    hidden: int | None = None,
    kink: str = "none",
    kind: str = "relu",
    difficulty: str = "medium",
) -> Problem:
    """An exercise of a kind, the same for the same seed; ``features`` and ``hidden`` override the difficulty.

    Where there are ReLUs, at least one hidden unit is on, and one is off where the sizes leave room for it. ``kink``
    says which units have z = 0 in the first sample: none, one hidden unit, the output, or both; no others have. The
    problem then asks for relu'(0) = 1, with which no gradient is 0 everywhere. Each step of a recurrent network has
    so many features.

    Raises: InputError if the sizes are not 1 to 8, the seed is negative, or if there is no such exercise.
    """
    name = kind_of(kind, seed)
    chosen = KINDS[name]
    for parameter, value, choices in (("difficulty", difficulty, DIFFICULTIES), ("kink", kink, KINKS)):
        if value not in choices:
            raise InputError(f"expected one of {', '.join(choices)}", parameter=parameter, value=value)
    size = DIFFICULTIES[difficulty]
    size = size._replace(hidden=size.hidden if hidden is None else hidden)
    usual = size.hidden if chosen.is_shared else size.features - chosen.is_recurrent
    size = size._replace(features=usual if features is None else features)
    _check(seed, size, kink, name)
    generator, plan = random.Random(seed), _Plan(chosen, size, kink)
    for _ in range(MAX_TRIES):
        if (problem := _propose(generator, plan)) and _is_worthwhile(problem, plan):
            return problem
    raise InputError(
        f"No exercise with {size.features} features and {size.hidden} hidden units was found for seed {seed}",
        suggestion={"seed": seed + 1},
    )


def _check(seed: int, size: Difficulty, kink: str, kind: str) -> None:
    for name, value in (("features", size.features), ("hidden", size.hidden)):
        if not 1 <= value <= MAX_UNITS:
            raise InputError(f"expected a whole number from 1 to {MAX_UNITS}", parameter=name, value=value)
    if seed < 0:
        raise InputError("expected a whole number of at least 0", parameter="seed", value=seed)
    if size.hidden == 1 and kink != "none":
        message = "a single hidden unit would have no gradient; use at least 2"
        raise InputError(message, parameter="kink", value=kink, suggestion={"hidden": 2})
    for where in KINKS[kink][0]:
        activation = getattr(KINDS[kind], where)
        if not ACTIVATIONS[activation].has_kink:
            message = f"but {kind} exercises have {activation} in the {where} layer, which has no kink"
            raise InputError(message, parameter="kink", value=kink)
    if KINDS[kind].is_shared and size.features != size.hidden:
        message = f"{kind} exercises have as many features as hidden units, {size.hidden}"
        raise InputError(message, parameter="features", value=size.features)


def _propose(generator: random.Random, plan: _Plan) -> Problem | None:
    """A problem whose units are on, off or on their kink as wanted."""
    kind, size, _ = plan
    last, n = kind.depth - 1, size.samples if kind.has_samples else 1
    first_again = 2 if kind.is_recurrent else 1 if kind.is_shared else last  # the first layer with arrays of another
    width = size.features * (last if kind.is_recurrent else 1)
    x = np.array([[Fraction(generator.randint(1, MAX_INPUT)) for _ in range(width)] for _ in range(n)], object)
    layers: list[Layer] = []
    values = x[:, : size.features]  # what the next layer gets
    for number in range(kind.depth):
        known = np.zeros((n, 1), object)  # the part of z that comes from inputs of the layer's own
        if kind.is_recurrent and 0 < number < last:
            known = x[:, size.features * number :][:, : size.features] @ np.array(layers[0].W, object).T
        if not first_again <= number < last:
            states = _states(generator, plan, number)
            known = np.broadcast_to(known, (n, len(states)))
            units = [
                _unit(generator, plan, values, *unit, number == last) for unit in zip(known.T, states, strict=True)
            ]
            if not all(units):
                return None
            rows, biases = (np.array(part, object) for part in zip(*filter(None, units), strict=True))
        z = values @ rows.T + known + biases
        layers.append(_layer(kind, number, rows, biases, layers))
        if abs(z).max() > _range(kind, number == last)[1]:
            return None
        values = _activated(layers[-1].activation, z)
    y = [_target(generator, kind, y_hat) for y_hat in values]
    if not all(abs(value) <= MAX_VALUE and (value >= 0 or kind.output != "relu") for row in y for value in row):
        return None
    network = Network(layers, Loss(kind.loss, l2=TENTH if kind.has_penalty else 0), kind.layout)
    has_kinks = any(ACTIVATIONS[layer.activation].has_kink for layer in layers)
    return Problem(network, x.tolist(), y, relu_at_zero=AT_ZERO if has_kinks else None)


def _states(generator: random.Random, plan: _Plan, number: int) -> list[str]:
    """What the units of a layer are to be."""
    kind, size, kink = plan
    if number == kind.depth - 1:
        first = "kink" if "output" in KINKS[kink][0] else "on" if kind.output == "relu" else "any"
        return [first] * kind.outputs
    if not ACTIVATIONS[kind.hidden].has_kink:
        return ["any"] * size.hidden
    states = KINKS[kink if number == 0 else "none"][1][: size.hidden]
    states += [generator.choice(("on", "off")) for _ in range(size.hidden - len(states))]
    generator.shuffle(states)
    return states


def _range(kind: Kind, is_output: bool) -> tuple[Fraction, int]:
    """The step between weights of a layer, and the largest z."""
    is_rational = ACTIVATIONS[kind.output if is_output else kind.hidden].is_rational
    return (Fraction(1), MAX_VALUE) if is_rational else (Fraction(1, 2), MAX_SMOOTH)


def _unit(
    generator: random.Random, plan: _Plan, values: np.ndarray, known: np.ndarray, state: str, is_output: bool
) -> tuple[list[Fraction], Fraction] | None:
    """Weights and bias of a unit; z, of which a part is known, of the first sample makes it on, off or kinked.

    Weights are all 0 only where one input leaves no other kink.
    """
    kind, size, kink = plan
    step, largest = _range(kind, is_output)
    steps = [n for n in range(-size.weight, size.weight + 1) if n or not is_output or kink == "both"]
    for _ in range(MAX_DRAWS):
        row = [_number(step * generator.choice(steps)) for _ in values[0]]
        bias = _number(step * generator.randint(-size.weight, size.weight)) if kind.has_biases else Fraction(0)
        z = values @ np.array(row, object) + known + bias
        signs = ["on" if value > 0 else "off" if value < 0 else "kink" for value in z]
        is_wanted = signs[0] == state or state == "any" and signs[0] != "kink"
        is_used = is_output or len(signs) == 1 or "on" in signs  # by a sample, if there are several
        is_wanted = is_wanted and is_used and "kink" not in signs[1:]
        if is_wanted and (any(row) or len(row) == 1) and max(map(abs, z)) <= largest:
            return row, bias
    return None


def _layer(kind: Kind, number: int, rows: np.ndarray, biases: np.ndarray, below: list[Layer]) -> Layer:
    """The layer, with its arrays under their usual names."""
    is_last, deep = number == kind.depth - 1, kind.depth > 2
    own = below[0] if kind.is_recurrent and below and not is_last else None
    name = "output" if is_last else f"{'step' if kind.is_recurrent else 'hidden'} {number + 1}" if deep else "hidden"
    weights = "V" if is_last else "U" if kind.is_recurrent and not below else "W"
    if deep and not (kind.is_shared or kind.is_recurrent):
        weights = f"W{number + 1}"
    activation = kind.output if is_last else kind.hidden
    slope = TENTH if activation == "leaky-relu" else None
    W = (rows.T if kind.layout == "rows" else rows).tolist()
    layer = Layer(name, weights, W, activation, slope=slope, own=own and own.weights, U=own and own.W)
    return layer._replace(bias="c" if is_last else "b", b=biases.tolist()) if kind.has_biases else layer


def _activated(activation: str, z: np.ndarray) -> np.ndarray:
    is_exact = ACTIVATIONS[activation].is_rational
    leak = Fraction(activation == "leaky-relu", 10)
    return ACTIVATIONS[activation].phi(z if is_exact else z.astype(float), Fraction(1), leak)


def _target(generator: random.Random, kind: Kind, y_hat: np.ndarray) -> list[Fraction]:
    if kind.output == "softmax":
        right = generator.randrange(kind.outputs)
        return [Fraction(number == right) for number in range(kind.outputs)]
    if kind.output == "sigmoid":
        return [Fraction(generator.randrange(2)) for _ in y_hat]
    errors = [generator.choice((-1, 1)) * generator.randint(1, MAX_ERROR) for _ in y_hat]
    return [Fraction(round(value) + error) for value, error in zip(y_hat, errors, strict=True)]


def _is_worthwhile(problem: Problem, plan: _Plan) -> bool:
    """Whether the kinks are those that were asked for and matter, and no gradient is next to nothing."""
    work, last = Pass(problem.network, problem.x, problem.y), plan.kind.depth - 1
    wanted = [{"hidden": 0, "output": last}[where] for where in KINKS[plan.kink][0]]
    if [(kink.sample, kink.layer) for kink in work.trace.kinks] != [(0, layer) for layer in wanted]:
        return False
    gradients, others = work.backward(AT_ZERO), work.backward(0)
    matters = not wanted or (gradients.flat != others.flat).any()
    return bool(matters) and all(abs(array).max() >= MIN_GRADIENT for array in gradients.arrays.values())


def _number(value: Fraction) -> Fraction:
    """A whole number, or one that is shown as a decimal."""
    return value if value.denominator == 1 else DecimalNumber(value)
