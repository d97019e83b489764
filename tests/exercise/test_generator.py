"""New exercises: the same for the same seed, never trivial, and with the kinks that were asked for."""

import pytest

from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import ACTIVATIONS
from mlcore.exercise.generator import make_problem
from mlcore.exercise.problem import to_toml
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS, KINKS


def numbers(problem):
    arrays = [problem.x, *(layer.W for layer in problem.network.layers)]
    arrays += [[layer.b] for layer in problem.network.layers if layer.b]
    return [value for rows in arrays for row in rows for value in row]


@pytest.mark.parametrize("kink", KINKS)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_kinks_are_as_asked_and_results_are_not_trivial(difficulty, kink):
    size = DIFFICULTIES[difficulty]
    for seed in range(10):
        problem = make_problem(seed, difficulty=difficulty, kink=kink)
        exact = Pass(problem.network, problem.x, problem.y)
        on_kink = [unit.layer for unit in exact.trace.kinks]
        assert on_kink == {"none": [], "hidden": [0], "output": [1], "both": [0, 1]}[kink]
        assert problem.relu_at_zero == 1
        assert all(rows.any() for rows in exact.backward(1).arrays.values())
        assert (exact.backward(1).flat != exact.backward(0).flat).any() == bool(on_kink)
        z = exact.trace.z[0][0]
        assert (len(z), len(problem.x[0])) == (size.hidden, size.features)
        assert max(z) > 0
        assert min(z) < 0 or size.hidden < {"none": 2, "hidden": 3, "output": 3, "both": 4}[kink]
        assert all(abs(value) <= 3 and value.denominator == 1 for value in numbers(problem))
        assert all(value >= 1 for value in problem.x[0])
        assert 0 <= problem.y[0][0] <= 9


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_friendly_numbers_and_gradients(kind, difficulty):
    problems = [make_problem(seed, kind=kind, difficulty=difficulty) for seed in range(10)]
    assert len(set(map(to_toml, problems))) == 10
    for problem in problems:
        network, exact = problem.network, Pass(problem.network, problem.x, problem.y)
        activations = {KINDS[kind].hidden, KINDS[kind].output}
        assert {layer.activation for layer in network.layers} == activations
        assert all(abs(value) <= 3 and value.denominator <= 2 for value in numbers(problem))
        assert exact.trace.kinks == []
        assert all(abs(array).max() >= 0.01 for array in exact.backward().arrays.values())
        for layer, z in zip(network.layers, exact.trace.z, strict=True):
            assert abs(z).max() <= (9 if ACTIVATIONS[layer.activation].is_rational else 2)


def test_a_seed_gives_one_problem_and_other_seeds_give_others():
    problems = [to_toml(make_problem(seed, kink="output")) for seed in range(20)]
    assert problems == [to_toml(make_problem(seed, kink="output")) for seed in range(20)]
    assert len(set(problems)) > 15
