"""New exercises like exercise 1: small integers, results worth computing, and kinks only where they are asked for."""

import random
from fractions import Fraction

from mlcore.errors import InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem

MAX_UNITS, MAX_TRIES = 8, 10_000
MAX_WEIGHT, MAX_INPUT, MAX_VALUE = 3, 3, 9
# The layers of the units on their kink, and what the first hidden units are before they are shuffled; the others are
# on or off by chance. An output on its kink takes two units that are on and cancel, or the gradient of W vanishes.
KINKS: dict[str, tuple[list[int], list[str]]] = {
    "none": ([], ["on", "off"]),
    "hidden": ([0], ["kink", "on", "off"]),
    "output": ([1], ["on", "on", "off"]),
    "both": ([0, 1], ["kink", "on", "on", "off"]),
}


def make_problem(seed: int, features: int = 3, hidden: int = 2, kink: str = "none") -> Problem:
    """A network with weights W and V and ReLU on both layers, one sample and one output; the same for the same seed.

    At least one hidden unit is on, and one is off where the sizes leave room for it. ``kink`` says which units have
    z = 0: none, one hidden unit, the output, or both; no others have. The gradients of W and V are not zero, under
    the convention phi'(0) = 1 where the output is on its kink.

    Raises: InputError if the sizes are not 1 to 8, the seed is negative, or if there is no such exercise.
    """
    for name, size in (("features", features), ("hidden", hidden)):
        if not 1 <= size <= MAX_UNITS:
            raise InputError(f"expected a whole number from 1 to {MAX_UNITS}", parameter=name, value=size)
    if seed < 0:
        raise InputError("expected a whole number of at least 0", parameter="seed", value=seed)
    if kink not in KINKS:
        raise InputError(f"expected one of {', '.join(KINKS)}", parameter="kink", value=kink)
    if hidden == 1 and kink != "none":
        message = "a single hidden unit would have no gradient; use at least 2"
        raise InputError(message, parameter="kink", value=kink, suggestion={"hidden": 2})
    generator = random.Random(seed)
    for _ in range(MAX_TRIES):
        if problem := _propose(generator, features, hidden, kink):
            exact = Pass(problem.network, problem.x, problem.y)
            kinked = [unit.layer for unit in exact.trace.kinks]
            if kinked == KINKS[kink][0] and all(a.any() for a in exact.backward(int(1 in kinked)).arrays.values()):
                return problem
    raise InputError(
        f"No exercise with {features} features and {hidden} hidden units was found for seed {seed}",
        suggestion={"seed": seed + 1},
    )


def _propose(generator: random.Random, features: int, hidden: int, kink: str) -> Problem | None:
    """A problem whose hidden units are as wanted; its output need not be."""
    states = KINKS[kink][1][:hidden]
    states += [generator.choice(("on", "off")) for _ in range(hidden - len(states))]
    generator.shuffle(states)
    x = [generator.randint(1, MAX_INPUT) for _ in range(features)]
    W = [_row(generator, x, state) for state in states]
    if not all(W):
        return None
    V = [generator.choice((-1, 1)) * generator.randint(1, MAX_WEIGHT) for _ in range(hidden)]
    if kink == "both" and hidden == 2:
        V[states.index("on")] = 0  # alone, it has nothing to cancel with
    z = sum(v * max(sum(w * a for w, a in zip(row, x, strict=True)), 0) for v, row in zip(V, W, strict=True))
    error = generator.choice((-1, 1)) * generator.randint(1, 3)
    y = abs(error) if z == 0 else z + error
    if not 0 <= z <= MAX_VALUE or not 0 <= y <= MAX_VALUE:
        return None
    rows = [[[Fraction(value) for value in row] for row in matrix] for matrix in (W, [V], [x], [[y]])]
    return Problem(Network([Layer("hidden", "W", rows[0]), Layer("output", "V", rows[1])]), rows[2], rows[3])


def _row(generator: random.Random, x: list[int], state: str) -> list[int]:
    """Weights that make a hidden unit on, off or kinked; all of them 0 only where one input leaves no other kink."""
    for _ in range(100):
        row = [generator.randint(-MAX_WEIGHT, MAX_WEIGHT) for _ in x]
        z = sum(w * a for w, a in zip(row, x, strict=True))
        trivial = not any(row) and len(x) > 1
        if not trivial and abs(z) <= MAX_VALUE and state == ("on" if z > 0 else "off" if z < 0 else "kink"):
            return row
    return []
