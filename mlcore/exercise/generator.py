"""New exercises: small numbers, results worth computing, and kinks only where they are asked for."""

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import ACTIVATIONS, Loss
from mlcore.exercise.network import Layer, Network, Number
from mlcore.exercise.problem import DecimalNumber, Problem

MAX_UNITS, MAX_TRIES, MAX_DRAWS = 8, 10_000, 100
MAX_INPUT, MAX_ERROR = 3, 3
MAX_VALUE, MAX_SMOOTH = 9, 2  # of a z; sigmoid and the like are flat beyond 2
MIN_GRADIENT = 0.01  # of the largest entry of each gradient, or rounding would leave nothing to mark
AT_ZERO = Fraction(1)  # the convention that exercises ask for: with relu'(0) = 0, zeros everywhere could be right
# The layers of the units on their kink, and what the first hidden units are before they are shuffled; the others are
# on or off by chance. An output on its kink takes two units that are on and cancel, or the gradient of W vanishes.
KINKS: dict[str, tuple[list[str], list[str]]] = {
    "none": ([], ["on", "off"]),
    "hidden": (["hidden"], ["kink", "on", "off"]),
    "output": (["output"], ["on", "on", "off"]),
    "both": (["hidden", "output"], ["kink", "on", "on", "off"]),
}


class Kind(NamedTuple):
    """What an exercise practises: its activations, its loss, and how it is built."""

    hidden: str = "relu"
    output: str = "identity"
    loss: str = "half-squared"
    depth: int = 2
    outputs: int = 1
    has_biases: bool = False
    has_samples: bool = False  # several
    is_shared: bool = False  # one matrix in all hidden layers
    l2: Number = 0


KINDS = {
    "relu": Kind(output="relu"),
    "leaky-relu": Kind("leaky-relu"),
    "sigmoid": Kind("sigmoid", "sigmoid"),
    "tanh": Kind("tanh"),
    "softplus": Kind("softplus"),
    "softmax": Kind(output="softmax", loss="cross-entropy", outputs=3),
    "binary": Kind(output="sigmoid", loss="binary-cross-entropy"),
    "outputs": Kind(loss="mean-squared", outputs=2),
    "biases": Kind(has_biases=True),
    "batches": Kind(has_samples=True),
    "depth": Kind(depth=3),
    "shared": Kind(depth=3, is_shared=True),
    "l2": Kind(l2=DecimalNumber("0.1")),
}
MIXED = "mixed"


class Difficulty(NamedTuple):
    """Sizes, and the largest weight."""

    features: int
    hidden: int
    samples: int
    weight: int


DIFFICULTIES = {"easy": Difficulty(2, 2, 2, 2), "medium": Difficulty(3, 2, 2, 3), "hard": Difficulty(4, 3, 3, 3)}


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
    problem then asks for relu'(0) = 1, with which no gradient is 0 everywhere.

    Raises: InputError if the sizes are not 1 to 8, the seed is negative, or if there is no such exercise.
    """
    chosen = KINDS[kind_of(kind, seed)]
    for name, value, choices in (("difficulty", difficulty, DIFFICULTIES), ("kink", kink, KINKS)):
        if value not in choices:
            raise InputError(f"expected one of {', '.join(choices)}", parameter=name, value=value)
    size = DIFFICULTIES[difficulty]
    size = size._replace(hidden=size.hidden if hidden is None else hidden)
    own = size.hidden if chosen.is_shared else size.features
    size = size._replace(features=own if features is None else features)
    _check(seed, size, kink, kind_of(kind, seed))
    generator, plan = random.Random(seed), _Plan(chosen, size, kink)
    for _ in range(MAX_TRIES):
        if (problem := _propose(generator, plan)) and _is_worthwhile(problem, plan):
            return problem
    raise InputError(
        f"No exercise with {size.features} features and {size.hidden} hidden units was found for seed {seed}",
        suggestion={"seed": seed + 1},
    )


def kind_of(kind: str, seed: int) -> str:
    """The kind of one exercise: of mixed ones, seeds take all in turn.

    Raises: InputError if there is none of this name.
    """
    if kind not in (*KINDS, MIXED):
        raise InputError(f"expected one of {', '.join((*KINDS, MIXED))}", parameter="kind", value=kind)
    return list(KINDS)[(seed - 1) % len(KINDS)] if kind == MIXED else kind


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
    kind, size, kink = plan
    n = size.samples if kind.has_samples else 1
    x = [[Fraction(generator.randint(1, MAX_INPUT)) for _ in range(size.features)] for _ in range(n)]
    layers: list[Layer] = []
    rows: list[list[Fraction]] = []
    values: list[list[Any]] = list(x)  # what the next layer gets
    for number in range(kind.depth):
        is_last = number == kind.depth - 1
        if kind.is_shared and layers and not is_last:
            layer = layers[0]._replace(name=f"hidden {number + 1}")
            z = [[_product(row, sample) for row in rows] for sample in values]
            if max(abs(value) for sample in z for value in sample) > MAX_VALUE:
                return None
        else:
            states = _states(generator, plan, number)
            units = [_unit(generator, plan, values, state, is_last) for state in states]
            if not all(units):
                return None
            rows = [unit[0] for unit in units if unit]
            layer = _layer(kind, number, rows, [unit[1] for unit in units if unit])
            z = [list(sample) for sample in zip(*(unit[2] for unit in units if unit), strict=True)]
        layers.append(layer)
        values = _activated(layer.activation, z)
    y = [_target(generator, kind, y_hat) for y_hat in values]
    if not all(abs(value) <= MAX_VALUE and (value >= 0 or kind.output != "relu") for row in y for value in row):
        return None
    network = Network(layers, Loss(kind.loss, l2=kind.l2))
    has_kinks = any(ACTIVATIONS[layer.activation].has_kink for layer in layers)
    return Problem(network, x, y, relu_at_zero=AT_ZERO if has_kinks else None)


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
    generator: random.Random, plan: _Plan, values: Sequence[Sequence[Any]], state: str, is_output: bool
) -> tuple[list[Fraction], Fraction, list[Any]] | None:
    """Weights and bias of a unit, and its z of each sample; the first one makes it on, off or kinked.

    Weights are all 0 only where one input leaves no other kink.
    """
    kind, size, kink = plan
    smooth = not ACTIVATIONS[kind.output if is_output else kind.hidden].is_rational
    step, largest = (Fraction(1, 2), MAX_SMOOTH) if smooth else (Fraction(1), MAX_VALUE)
    steps = [n for n in range(-size.weight, size.weight + 1) if n or not is_output or kink == "both"]
    for _ in range(MAX_DRAWS):
        row = [_number(step * generator.choice(steps)) for _ in values[0]]
        bias = _number(step * generator.randint(-size.weight, size.weight)) if kind.has_biases else Fraction(0)
        z = [_product(row, sample) + bias for sample in values]
        signs = ["on" if value > 0 else "off" if value < 0 else "kink" for value in z]
        is_wanted = signs[0] == state or state == "any" and signs[0] != "kink"
        is_used = is_output or len(signs) == 1 or "on" in signs  # by a sample, if there are several
        is_wanted = is_wanted and is_used and "kink" not in signs[1:]
        if is_wanted and (any(row) or len(row) == 1) and max(map(abs, z)) <= largest:
            return row, bias, z
    return None


def _layer(kind: Kind, number: int, rows: list[list[Fraction]], biases: list[Fraction]) -> Layer:
    is_last, deep = number == kind.depth - 1, kind.depth > 2
    name = "output" if is_last else f"hidden {number + 1}" if deep else "hidden"
    weights = f"W{number + 1}" if deep and not kind.is_shared else "V" if is_last else "W"
    activation = kind.output if is_last else kind.hidden
    slope = DecimalNumber("0.1") if activation == "leaky-relu" else None
    layer = Layer(name, weights, rows, activation, slope=slope)
    return layer._replace(bias="c" if is_last else "b", b=biases) if kind.has_biases else layer


def _activated(activation: str, z: list[list[Any]]) -> list[list[Any]]:
    is_exact = ACTIVATIONS[activation].is_rational
    leak = Fraction(activation == "leaky-relu", 10)
    found = ACTIVATIONS[activation].phi(np.array(z, object if is_exact else float), Fraction(1), leak)
    return list(found.tolist())


def _target(generator: random.Random, kind: Kind, y_hat: Sequence[Any]) -> list[Fraction]:
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


def _product(row: Sequence[Any], sample: Sequence[Any]) -> Any:
    return sum((weight * value for weight, value in zip(row, sample, strict=True)), Fraction(0))


def _number(value: Fraction) -> Fraction:
    """A whole number, or one that is shown as a decimal."""
    return value if value.denominator == 1 else DecimalNumber(value)
