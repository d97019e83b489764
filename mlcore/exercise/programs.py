"""A problem as a program in NumPy, PyTorch or JAX, to read and to run without mlcore.

A program prints ``y_hat``, ``J`` and one line ``dJ/d<name>`` for each array, in float64. Nothing of a problem reaches
the code but numbers and names that have been made identifiers; as they were typed, names are only in comments, as
``repr`` writes them.
"""

import builtins
import keyword
import re
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import Number, as_fraction, choose
from mlcore.exercise.network import FLOAT_TOLERANCE
from mlcore.exercise.problem import Problem
from mlcore.templates import fill

LANGUAGES = ("numpy", "pytorch", "jax")
OWN_NAMES = {
    "np", "torch", "jax", "jnp", "x", "y", "n", "J", "y_hat", "relu", "relu_slope", "relu_at_zero", "sigmoid", "show",
    "loss", "network", "log_softmax", "g",
}  # fmt: skip
MAX_LINE, MAX_NUMBER, MAX_NAME = 80, 30, 40  # characters


def program(problem: Problem, language: str) -> str:
    """A program in the language ``numpy``, ``pytorch`` or ``jax`` that works the problem, gradients included.

    NumPy's has the backward pass written out. The others differentiate automatically and take relu'(0) = 0, whatever
    is asked for; a comment says so where that changes the numbers.

    Raises: InputError if the language is unknown.
    """
    language, network = choose("code", language, LANGUAGES), problem.network
    network.check_derivatives()
    names = _identifiers(list(network.arrays), len(network.layers))
    work = Pass(network, problem.x, problem.y)
    kinks, takers, depth = work.trace.kinks, network.takers(), len(network.layers)
    x, *others = [f"x[:, {taken.start}:{taken.stop}]" for _, _, taken in takers] if len(takers) > 1 else ["x"]
    own = {layer: taken for (layer, _, _), taken in zip(takers[1:], others, strict=True)}
    outputs = [x, *(f"a{number}" for number in range(1, depth)), "y_hat"]
    arrays = [work.x, *work.W, *work.trace.z, *(b for b in work.b if b is not None)]
    exact = network.rational and all(Fraction(float(value)) == value for array in arrays for value in array.flat)
    return fill(
        "program.py.j2",
        str,
        language=language,
        problem=problem,
        names=names,
        shown=[names[name] for name in network.trained],
        argnums=[number for number, name in enumerate(names) if name in network.trained],
        outputs=outputs[1:],
        operands=[
            [(name, used) for (name, _), used in zip(network.parts(n), (outputs[n], own.get(n)), strict=False)]
            for n in range(depth)
        ],
        kinks=kinks,
        rounded=set() if exact else {kink.layer for kink in kinks},  # layers where float64 may miss a kink
        tolerance=FLOAT_TOLERANCE,
        literal=_literal,
        quoted=lambda name: repr(name if len(name) <= MAX_NAME else name[:MAX_NAME] + "..."),
    )


def _literal(values: Any) -> str:
    """Python source of a number, a list of them, or rows; each row on its own line where it gets too long."""
    if not np.ndim(values):
        return _number(values)
    written = list(map(_literal, values))
    line = f"[{', '.join(written)}]"
    return line if np.ndim(values) == 1 or len(line) <= MAX_LINE else "[\n    " + ",\n    ".join(written) + ",\n]"


def _number(value: Number) -> str:
    """Python source of the number: exact where that is short, and the same float64 in any case."""
    exact = as_fraction(value)
    if exact.denominator == 1 and abs(exact) < 2**53:
        return str(exact.numerator)
    rounded, fraction = repr(float(exact)), str(exact)
    # no large integers: PyTorch and JAX refuse those beyond 64 bits
    return fraction if Fraction(rounded) != exact and "/" in fraction and len(fraction) <= MAX_NUMBER else rounded


def _identifiers(names: list[str], depth: int) -> dict[str, str]:
    """An identifier for each name: a similar one, unless it or its gradient's, ``d...``, has another meaning."""
    taken = OWN_NAMES | set(dir(builtins)) | set(keyword.kwlist)
    taken |= {f"{letter}{number}" for letter in ("z", "a", "delta") for number in range(1, depth + 1)}
    found = {}
    for number, name in enumerate(names, start=1):
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
        is_free = re.fullmatch(r"(?!d?array)[A-Za-z]\w{,39}", plain) and taken.isdisjoint((plain, f"d{plain}"))
        found[name] = plain if is_free else f"array{number}"
        taken |= {found[name], f"d{found[name]}"}
    return found
