"""Exercises: those in ``published.toml``, and steps of PyTorch, to every digit; new ones, which are never trivial."""

import tomllib
from decimal import Decimal
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mlcore import Layer, Network
from mlcore.exercise.descent import Update, descend
from mlcore.exercise.exact import Pass
from mlcore.exercise.generator import make_problem
from mlcore.exercise.problem import Problem, read_problem, to_toml
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS, KINKS
from mlcore.exercise.work import work

SHEETS = tomllib.loads(Path(__file__).with_name("published.toml").read_text())["sheets"]


def agrees(value, printed):
    """Whether a printed number is the value rounded, or truncated if it ends in t, to the digits it has."""
    if printed == "?":
        return True
    exact, digits = Fraction(value), Decimal(printed.rstrip("t"))
    unit = Fraction(10) ** int(digits.as_tuple().exponent)
    apart = abs(exact) - abs(Fraction(digits))
    return 0 <= apart < unit if printed.endswith("t") else abs(exact - Fraction(digits)) <= unit * Fraction("0.5001")


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet["name"])
def test_published_numbers(sheet, tmp_path):
    (tmp_path / "net.toml").write_text(sheet["net"])
    problem = read_problem(tmp_path / "net.toml")
    update = Update(Fraction(str(sheet["rate"])), sheet.get("optimizer", "sgd"))
    found, after = work(problem), descend(problem, sheet.get("steps", 1), update)
    trace, gradients = found.best.trace, found.best.gradients[0]
    values = {"J": [found.best.loss], "new J": after.losses[1:], "y_hat": trace.y_hat[0]}
    for number, (z, a, delta) in enumerate(zip(trace.z, trace.a, gradients.deltas, strict=True), start=1):
        values |= {f"z {number}": z[0], f"a {number}": a[0], f"delta {number}": delta[0]}
    values |= {f"d{key}": gradient.ravel() for key, gradient in gradients.named.items()}
    values |= {f"new {key}": array.ravel() for key, array in after.arrays.items()}
    for key, printed in sheet["published"].items():
        assert all(agrees(*pair) for pair in zip(values[key], printed.split(), strict=True)), (key, values[key])
    once, first = descend(problem, 1, update).arrays, update.first_step(problem.network, gradients.arrays)
    assert list(first) == problem.network.trained
    for name, array in first.items():
        np.testing.assert_allclose(array.astype(float), once[name], rtol=1e-12)


def test_a_unit_just_off_its_kink_is_off_it():
    """The first step of a descent is exact: z = 1e-20 is no kink, though the terms of its sum are 0.1."""
    tiny = Fraction(1, 10**20)
    network = Network([Layer("output", "W", [[Fraction(1, 10), tiny - Fraction(1, 10)]])])
    assert descend(Problem(network, [[1, 1]], [[1]]), 1, Update(0.1)).losses[-1] < 0.5


CASES = [*product(KINDS, DIFFICULTIES, ["none"]), *product(["relu"], DIFFICULTIES, [*KINKS][1:])]


@pytest.mark.parametrize(("kind", "difficulty", "kink"), CASES)
def test_numbers_are_friendly_and_kinks_as_asked(kind, difficulty, kink):
    hidden = DIFFICULTIES[difficulty].hidden
    problems = [make_problem(seed, kind, difficulty, kink) for seed in range(10)]
    assert len(set(map(to_toml, problems))) == 10
    for problem in problems:
        network, exact = problem.network, Pass(problem.network, problem.x, problem.y)
        assert {layer.activation for layer in network.layers} == {KINDS[kind].hidden, KINDS[kind].output}
        numbers = np.concatenate([np.ravel(array) for array in (problem.x, *network.given.values())])
        assert all(abs(value) <= 3 and value.denominator <= 2 for value in numbers)
        assert min(np.ravel(problem.x)) >= 1
        assert [unit[:2] for unit in exact.trace.kinks] == [(0, ["hidden", "output"].index(at)) for at in KINKS[kink]]
        gradients = exact.backward(problem.at_zero)
        assert all(abs(array).max() >= 0.01 for array in gradients.arrays.values())
        assert (gradients.flat != exact.backward(0).flat).any() == (kink != "none")
        for activation, z in zip(network.activations, exact.trace.z, strict=True):
            assert abs(z).max() <= (9 if activation.is_piecewise_linear else 2)
        if kind == "relu":
            (z,) = exact.trace.z[0]
            assert len(z) == hidden
            assert max(z) > 0
            assert min(z) < 0 or hidden < 2 + len(KINKS[kink])
            assert 0 <= problem.y[0][0] <= 9
