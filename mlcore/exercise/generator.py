"""New exercises: small numbers, results worth computing, and kinks only where they are asked for."""

import random
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import ACTIVATIONS, Loss, choose
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import DecimalNumber, Problem
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS, KINKS, Difficulty, Kind

MAX_TRIES, MAX_DRAWS = 10_000, 100
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


def make_problem(seed: int, kind: str = "relu", difficulty: str = "medium", kink: str = "none") -> Problem:
    """An exercise of a kind, the same for the same seed.

    Where there are ReLUs, at least one hidden unit is on, and one is off where the sizes leave room for it. ``kink``
    says which units have z = 0 in the first sample: none, one hidden unit, the output, or both; no others have. The
    problem then asks for relu'(0) = 1, with which no gradient is 0 everywhere.

    Raises: InputError if the seed is negative, or if there is no such exercise.
    """
    kink, size = choose("kink", kink, KINKS), DIFFICULTIES[choose("difficulty", difficulty, DIFFICULTIES)]
    plan = _Plan(KINDS[choose("kind", kind, KINDS)], size, kink)
    if seed < 0:
        raise InputError("expected a whole number of at least 0", parameter="seed", value=seed)
    for where in KINKS[kink][0]:
        activation = getattr(plan.kind, where)
        if not ACTIVATIONS[activation].has_kink:
            message = f"but {kind} exercises have {activation} in the {where} layer, which has no kink"
            raise InputError(message, parameter="kink", value=kink)
    generator = random.Random(seed)
    for _ in range(MAX_TRIES):
        if (problem := _propose(generator, plan)) and _is_worthwhile(problem, plan):
            return problem
    raise InputError(f"No such exercise was found for seed {seed}", suggestion={"seed": seed + 1})


def _propose(generator: random.Random, plan: _Plan) -> Problem | None:
    """A problem whose units are on, off or on their kink as wanted."""
    kind, size, _ = plan
    n = size.samples if kind.has_samples else 1
    x = np.array([[Fraction(generator.randint(1, MAX_INPUT)) for _ in range(size.features)] for _ in range(n)], object)
    layers, values = list[Layer](), x  # values: what the next layer gets
    for number in range(kind.depth):
        is_output = number == kind.depth - 1
        states = _states(generator, plan, number)
        units = [_unit(generator, plan, values, state, is_output) for state in states]
        if not all(units):
            return None
        rows, biases = (np.array(part, object) for part in zip(*filter(None, units), strict=True))
        layers.append(_layer(kind, number, rows, biases))
        values = _activated(layers[-1].activation, values @ rows.T + biases)
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


def _unit(
    generator: random.Random, plan: _Plan, values: np.ndarray, state: str, is_output: bool
) -> tuple[list[Fraction], Fraction] | None:
    """Weights, which are not all 0, and bias of a unit; z of the first sample makes it on, off or kinked."""
    kind, size, kink = plan
    is_rational = ACTIVATIONS[kind.output if is_output else kind.hidden].is_rational
    step, largest = (Fraction(1), MAX_VALUE) if is_rational else (Fraction(1, 2), MAX_SMOOTH)
    steps = [n for n in range(-size.weight, size.weight + 1) if n or not is_output or kink == "both"]
    for _ in range(MAX_DRAWS):
        row = [_number(step * generator.choice(steps)) for _ in values[0]]
        bias = _number(step * generator.randint(-size.weight, size.weight)) if kind.has_biases else Fraction(0)
        z = values @ np.array(row, object) + bias
        signs = ["on" if value > 0 else "off" if value < 0 else "kink" for value in z]
        is_wanted = signs[0] == state or state == "any" and signs[0] != "kink"
        is_used = is_output or len(signs) == 1 or "on" in signs  # by a sample, if there are several
        if is_wanted and is_used and "kink" not in signs[1:] and any(row) and max(map(abs, z)) <= largest:
            return row, bias
    return None


def _layer(kind: Kind, number: int, rows: np.ndarray, biases: np.ndarray) -> Layer:
    """The layer, with its arrays under their usual names."""
    is_last, deep = number == kind.depth - 1, kind.depth > 2
    name = "output" if is_last else f"hidden {number + 1}" if deep else "hidden"
    weights = f"W{number + 1}" if deep else "V" if is_last else "W"
    activation = kind.output if is_last else kind.hidden
    slope = TENTH if activation == "leaky-relu" else None
    layer = Layer(name, weights, (rows.T if kind.layout == "rows" else rows).tolist(), activation, slope=slope)
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
