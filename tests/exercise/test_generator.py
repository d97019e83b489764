"""New exercises: never trivial, and with the kinks that were asked for."""

from itertools import product

import numpy as np
import pytest

from mlcore.exercise.exact import Pass
from mlcore.exercise.generator import make_problem
from mlcore.exercise.problem import to_toml
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS, KINKS

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
