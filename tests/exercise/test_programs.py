"""Generated programs: run as they are, they print mlcore's own numbers, whatever the names on the problem are."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from test_network_page import has_gradients, random_problem

from mlcore import Layer, Network
from mlcore.exercise.exact import Pass
from mlcore.exercise.problem import Problem, default_problem
from mlcore.exercise.programs import LANGUAGES, OWN_NAMES, program

MODULES = {"numpy": "numpy", "pytorch": "torch", "jax": "jax"}
THIRD = Fraction(1, 3)


def interpreter(language):
    """This Python if it has the library, or the one that e.g. PYTHON_WITH_JAX names."""
    other = os.environ.get(f"PYTHON_WITH_{language.upper()}")
    if other is None and importlib.util.find_spec(MODULES[language]) is None:
        pytest.skip(f"{MODULES[language]} is not installed")
    return other or sys.executable


def outputs(sources, language, folder):
    """What each of the programs prints, as (name, value) in order; all are run as they are, by one process."""
    paths = [folder / f"program{number}.py" for number in range(len(sources))]
    for path, source in zip(paths, sources, strict=True):
        path.write_text(source, encoding="utf-8")
    run_all = "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path); print('end')"
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "JAX_PLATFORMS": "cpu"}
    options = {"encoding": "utf-8", "cwd": folder, "env": environment, "timeout": 600}
    done = subprocess.run([interpreter(language), "-c", run_all, *paths], capture_output=True, **options)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [[line.split(" = ") for line in printed.splitlines()] for printed in done.stdout.split("end\n")[:-1]]
    return [[(name, json.loads(value)) for name, value in pairs] for pairs in lines]


def assert_same(printed, problem, relu_at_zero=0):
    """mlcore's y_hat, J and gradients are what the program prints, in this order."""
    found = Pass(problem.network, problem.x, problem.y)
    values = [found.trace.y_hat, found.loss, *found.backward(relu_at_zero).arrays.values()]
    assert len(printed) == len(values)
    for (name, given), value in zip(printed, values, strict=True):
        assert np.shape(given) == np.shape(value), name
        np.testing.assert_allclose(given, np.array(value, float), rtol=1e-12, atol=1e-14, err_msg=name)


# z = 0.1 + 0.2 - 0.3 is 0, but not in float64
LAYERS = [Layer("hidden", "W", [[1, 1, -1], [1, 1, 1]]), Layer("output", "V", [[2, 1]], "identity")]
ROUNDED_KINK = Problem(Network(LAYERS), [[Fraction(1, 10), Fraction(2, 10), Fraction(3, 10)]], [[0]])
LARGE_AND_SMALL = Problem(
    Network([Layer("only", "W", [[2**80, Fraction(1, 10**40)]])]), [[Fraction(1, 2**79), 0]], [[1]]
)
ANY = [*filter(has_gradients, map(random_problem, range(40)))]


@pytest.mark.parametrize("language", LANGUAGES)
def test_programs_print_the_numbers_of_mlcore(language, tmp_path):
    interpreter(language)  # or else skip it at once
    problems = [default_problem(), ROUNDED_KINK, LARGE_AND_SMALL, *ANY]
    if language == "numpy":  # which takes any convention
        problems += [replace(problem, relu_at_zero=THIRD) for problem in problems[:12]]
    sources = [program(problem, language) for problem in problems]
    for problem, source, printed in zip(problems, sources, outputs(sources, language, tmp_path), strict=True):
        functions = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        assert {*functions} <= OWN_NAMES
        assert all(len(re.findall(rf"\b{name}\(", source)) > 1 for name in functions), "each is called"
        assert [key for key, _ in printed] == ["y_hat", "J", *(f"dJ/d{array}" for array in problem.network.trained)]
        assert_same(printed, problem, problem.at_zero)


def test_identifiers_are_like_the_names():
    source = program(Problem(Network([Layer("one", "W^{(1)}", [[1]], bias="b'", b=[1])]), [[1]], [[1]]), "numpy")
    assert re.findall(r"^(\w+) = np.array", source, re.MULTILINE) == ["x", "y", "W_1", "b"]


@pytest.mark.parametrize("language", ["pytorch", "jax"])
def test_others_take_0_at_the_kink_and_say_so(language, tmp_path):
    problem = default_problem()
    source = program(replace(problem, relu_at_zero=1), language)
    assert "takes 0 as the derivative there, where mlcore was asked for 1:" in source
    assert "#   sample 1, layer 2 'output', unit 1" in source
    assert "derivative" not in program(replace(hostile(), relu_at_zero=1), language)
    assert "asked for" not in program(problem, language)
    assert_same(*outputs([source], language, tmp_path), problem)


HOSTILE = [
    "W\nimport os; os.abort()", '"""', "'); raise SystemExit(3)  # ", "__builtins__", "print", "np", "W\u2028raise",
    "class", "coding: utf-7", "z1", "dW", "W", "J", "W 1", "array1", "W\u2081", " ", "\u202eW", "__debug__", "1",
    "\u03b8" * 99, "\ud800",
]  # fmt: skip


def hostile():
    """Each name once: as the name of an array, and of the layer."""
    pairs = enumerate(zip(HOSTILE[::2], HOSTILE[1::2], strict=True))
    layers = [Layer(b, a, [[2]], "tanh", b, [Fraction(k, 9)]) for k, (a, b) in pairs]
    return Problem(Network(layers), [[1]], [[1]])


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_name_becomes_code(language, tmp_path):
    problem = hostile()
    source = program(problem, language)
    tree = ast.parse(source)
    imports, usual = (
        [ast.unparse(node) for node in ast.walk(code) if isinstance(node, ast.Import | ast.ImportFrom)]
        for code in (tree, ast.parse(program(default_problem(), language)))
    )
    assert imports == usual
    assert not any(isinstance(node, ast.Raise) for node in ast.walk(tree))
    assert all(line.isprintable() for line in source.split("\n"))
    assert len(source.splitlines()) == source.count("\n")
    assert all("coding" not in line for line in source.splitlines()[:2]), "where Python looks for an encoding"
    (printed,) = outputs([source], language, tmp_path)
    names = [name for name, _ in printed]
    assert len(set(names)) == len(names)
    assert all(name.removeprefix("dJ/d").isidentifier() for name in names)
    assert_same(printed, problem)


def test_numbers_are_exact_where_that_is_short():
    long = Fraction(10**40 + 1, 3**70)
    values = [THIRD, Fraction(-1, 2), 7, Fraction(1, 10), 2**60, long, 10**300, 0.25]
    problem = Problem(Network([Layer("only", "W", [values], "identity")]), [[1] + [0] * 7], [[1]])
    assert f"[1/3, -0.5, 7, 0.1, {2.0**60!r}, {float(long)!r}, 1e+300, 0.25]" in program(problem, "numpy")
