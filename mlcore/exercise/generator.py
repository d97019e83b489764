"""New exercises: small numbers, results worth computing, and kinks only where they are asked for."""

import random
from fractions import Fraction

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import ACTIVATIONS, Loss, choose
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import DecimalNumber, Problem
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS, KINKS, Difficulty, Kind

MAX_TRIES = 100_000
MAX_INPUT, MAX_ERROR = 3, 3
MAX_VALUE, MAX_SMOOTH = 9, 2  # of a z; sigmoid and the like are flat beyond 2
MIN_GRADIENT = 0.01  # of the largest entry of each gradient, or rounding would leave nothing to mark
AT_ZERO = Fraction(1)  # the convention that exercises ask for: with relu'(0) = 0, zeros everywhere could be right
TENTH = DecimalNumber("0.1")  # the slope of leaky-relu, and lambda of the L2 penalty


def make_problem(seed: int, kind: str = "relu", difficulty: str = "medium", kink: str = "none") -> Problem:
    """An exercise of a kind, the same for the same seed.

    Where there are ReLUs, at least one hidden unit is on, and one is off where the sizes leave room for it. ``kink``
    says which units have z = 0 in the first sample: none, one hidden unit, the output, or both; no others have. The
    problem then asks for relu'(0) = 1, with which no gradient is 0 everywhere.

    Raises: InputError if the seed is negative, or if there is no such exercise.
    """
    where, size = KINKS[choose("kink", kink, KINKS)], DIFFICULTIES[choose("difficulty", difficulty, DIFFICULTIES)]
    plan = KINDS[choose("kind", kind, KINDS)]
    if seed < 0:
        raise InputError("expected a whole number of at least 0", parameter="seed", value=seed)
    for layer in where:
        activation = getattr(plan, layer)
        if not ACTIVATIONS[activation].has_kink:
            message = f"but {kind} exercises have {activation} in the {layer} layer, which has no kink"
            raise InputError(message, parameter="kink", value=kink)
    generator = random.Random(seed)
    for _ in range(MAX_TRIES):
        if (problem := _propose(generator, plan, size, where)) and _is_worthwhile(problem, len(where)):
            return problem
    raise InputError(f"No such exercise was found for seed {seed}", suggestion={"seed": seed + 1})


def _propose(generator: random.Random, kind: Kind, size: Difficulty, where: tuple[str, ...]) -> Problem | None:
    """A problem at random, if its units are on, off or on their kink as wanted."""

    def draw(rows: int, columns: int, smallest: int, largest: int) -> np.ndarray:
        return np.array([[generator.randint(smallest, largest) for _ in range(columns)] for _ in range(rows)], float)

    x = values = draw(size.samples if kind.has_samples else 1, size.features, 1, MAX_INPUT)
    layers = list[Layer]()
    for number in range(kind.depth):
        is_output = number == kind.depth - 1
        activation, units = (kind.output, kind.outputs) if is_output else (kind.hidden, size.hidden)
        step = 1 if ACTIVATIONS[activation].is_piecewise_linear else 0.5
        W = step * draw(units, values.shape[1], -size.weight, size.weight)
        b = step * draw(1, units, -size.weight, size.weight)[0] * kind.has_biases
        z = values @ W.T + b
        is_usable = W.all() if is_output and len(where) < 2 else W.any(1).all()
        n_kinks = int(("output" if is_output else "hidden") in where and number in (0, kind.depth - 1))
        has_off = units > 1 + len(where)
        if not is_usable or not _is_wanted(z, activation, is_output, n_kinks, has_off):
            return None
        layers.append(_layer(kind, number, activation, W, b))
        values = ACTIVATIONS[activation].phi(z, 1.0, float(TENTH) if activation == "leaky-relu" else 0.0)
    y = [_target(generator, kind, y_hat) for y_hat in values]
    if not all(abs(value) <= MAX_VALUE and (value >= 0 or kind.output != "relu") for row in y for value in row):
        return None
    network = Network(layers, Loss(kind.loss, l2=TENTH if kind.has_penalty else 0), kind.layout)
    has_kinks = any(ACTIVATIONS[layer.activation].has_kink for layer in layers)
    return Problem(network, _numbers(x), y, relu_at_zero=AT_ZERO if has_kinks else None)


def _is_wanted(z: np.ndarray, activation: str, is_output: bool, n_kinks: int, has_off: bool) -> bool:
    """Whether so many units are on their kink, in the first sample, and others are on, and off, as they should be."""
    phi, first = ACTIVATIONS[activation], z[0]
    if not (z == 0).sum() == (first == 0).sum() == n_kinks:
        return False
    if abs(z).max() > (MAX_VALUE if phi.is_piecewise_linear else MAX_SMOOTH):
        return False
    if is_output:
        return not phi.has_kink or bool(n_kinks) or first.min() > 0
    is_used = len(z) == 1 or (z > 0).any(0).all()  # by a sample, if there are several
    return bool(is_used) and (not phi.has_kink or first.max() > 0 and (first.min() < 0 or not has_off))


def _layer(kind: Kind, number: int, activation: str, W: np.ndarray, b: np.ndarray) -> Layer:
    """The layer, with its arrays under their usual names."""
    is_last, deep = number == kind.depth - 1, kind.depth > 2
    name = "output" if is_last else f"hidden {number + 1}" if deep else "hidden"
    weights = f"W{number + 1}" if deep else "V" if is_last else "W"
    slope = TENTH if activation == "leaky-relu" else None
    layer = Layer(name, weights, _numbers(W.T if kind.layout == "rows" else W), activation, slope=slope)
    return layer._replace(bias="c" if is_last else "b", b=_numbers([b])[0]) if kind.has_biases else layer


def _target(generator: random.Random, kind: Kind, y_hat: np.ndarray) -> list[Fraction]:
    if kind.output == "softmax":
        right = generator.randrange(kind.outputs)
        return [Fraction(number == right) for number in range(kind.outputs)]
    if kind.output == "sigmoid":
        return [Fraction(generator.randrange(2)) for _ in y_hat]
    errors = [generator.choice((-1, 1)) * generator.randint(1, MAX_ERROR) for _ in y_hat]
    return [Fraction(round(value) + error) for value, error in zip(y_hat, errors, strict=True)]


def _is_worthwhile(problem: Problem, n_kinks: int) -> bool:
    """Whether the kinks are those that were asked for and matter, and no gradient is next to nothing."""
    work = Pass(problem.network, problem.x, problem.y)
    gradients, others = work.backward(AT_ZERO), work.backward(0)
    matters = len(work.trace.kinks) == n_kinks and (not n_kinks or (gradients.flat != others.flat).any())
    return bool(matters) and all(abs(array).max() >= MIN_GRADIENT for array in gradients.arrays.values())


def _numbers(rows: np.ndarray | list[np.ndarray]) -> list[list[Fraction]]:
    """Whole numbers, and others that are shown as decimals."""
    return [[(DecimalNumber if value % 1 else Fraction)(value) for value in row.tolist()] for row in rows]
