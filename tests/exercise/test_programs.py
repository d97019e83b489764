"""Generated programs: run as they are, they print mlcore's own numbers, whatever the names on the problem are."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from mlcore import Layer, Network
from mlcore.exercise.functions import ACTIVATIONS, Loss
from mlcore.exercise.problem import Problem, default_problem
from mlcore.exercise.programs import LANGUAGES, OWN_NAMES, program
from mlcore.exercise.work import CHOSEN, work

MODULES = {"numpy": "numpy", "pytorch": "torch", "jax": "jax"}
THIRD = Fraction(1, 3)


def interpreter(language):
    """This Python if it has the library, or the one that e.g. PYTHON_WITH_JAX names."""
    other = os.environ.get(f"PYTHON_WITH_{language.upper()}")
    if other is None and importlib.util.find_spec(MODULES[language]) is None:
        pytest.skip(f"{MODULES[language]} is not installed")
    return other or sys.executable


def output(source, language, folder):
    """What the program prints, as (name, value) in order."""
    path = folder / "program.py"
    path.write_text(source, encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "JAX_PLATFORMS": "cpu"}
    options = {"encoding": "utf-8", "cwd": folder, "env": environment, "timeout": 300}
    done = subprocess.run([interpreter(language), path], capture_output=True, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return [(name, json.loads(value)) for name, value in (line.split(" = ") for line in done.stdout.splitlines())]


def expected(problem, relu_at_zero):
    """mlcore's y_hat, J and gradients, in the order in which programs print them."""
    found = work(problem, relu_at_zero).values
    return [found.trace.y_hat, found.loss, *(found.gradients[CHOSEN][name] for name in problem.network.trained)]


def assert_same(printed, values):
    assert len(printed) == len(values)
    for (name, found), value in zip(printed, values, strict=True):
        assert np.shape(found) == np.shape(value), name
        np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-14, err_msg=name)


def deep():
    """Layers with and without biases, two outputs, three samples."""
    layers = [
        Layer("first", "W1", [[1, -THIRD], [Fraction(1, 2), 2], [-1, Fraction(1, 10)]], "tanh", "b1", [1, 0, -THIRD]),
        Layer("second", "W2", [[1, 2, -1], [-2, 1, 1]], "sigmoid", "b2", [Fraction(1, 7), -1]),
        Layer("third", "W3", [[3, -1], [1, 1], [-1, -2]], "relu"),
        Layer("last", "W4", [[1, -1, 2], [2, THIRD, 1]], "identity", "b4", [0, 1]),
    ]
    return Problem(Network(layers), [[1, 2], [-1, Fraction(3, 4)], [0, -2]], [[1, 0], [2, -1], [0, THIRD]])


def rounded_kink():
    """z = 0.1 + 0.2 - 0.3 is 0, but not in float64."""
    layers = [Layer("hidden", "W", [[1, 1, -1], [1, 1, 1]]), Layer("output", "V", [[2, 1]], "identity")]
    return Problem(Network(layers), [[Fraction(1, 10), Fraction(2, 10), Fraction(3, 10)]], [[0]])


def of_loss(loss, output, y, **settings):
    """A network with that loss, a leaky unit on its kink, and softplus before the output."""
    layers = [
        Layer("leaky", "A", [[1, -2], [THIRD, 1]], "leaky-relu", slope=Fraction(1, 4)),
        Layer("soft", "B", [[1, -1], [2, 1]], "softplus", "b", [0, -1]),
        Layer("output", "C", [[1, -3], [2, 1], [0, 1]], output, "c", [-1, 0, THIRD]),
    ]
    return Problem(Network(layers, Loss(loss, **settings)), [[2, 1], [3, -1]], y)


def alone(activation):
    """Nothing but this activation, so that whatever helps it is there for its own sake."""
    hidden = "identity" if activation == "softmax" else activation
    layers = [Layer("a", "W", [[1, -1], [2, 1]], hidden), Layer("b", "V", [[1, 2], [-1, 1]], activation)]
    return Problem(Network(layers), [[1, THIRD]], [[0, 1]])


def recurrent(activation, steps):
    """The first steps of a recurrent network with 2 units and 2 values of x for each step but the last, which has 1."""
    U, W, b = [[1, THIRD], [-1, 1]], [[1, 2], [-1, Fraction(1, 2)]], [0, 1]
    first = Layer("step 1", "U", U, activation, "b", b)
    more = [first._replace(name=f"step {n}", weights="W", W=W, own="U", U=U) for n in range(2, steps + 1)]
    return [first, *more, Layer("last", "W", W, activation, own="u", U=[[2], [1]])]


PROBLEMS = {
    **{name: partial(alone, name) for name, function in ACTIVATIONS.items() if function.backward},
    "exercise": default_problem,
    "deep": deep,
    "rounded kink": rounded_kink,
    "cross-entropy": lambda: of_loss("cross-entropy", "softmax", [[0, 1, 0], [THIRD, THIRD, THIRD]], l2=THIRD),
    "cross-entropy of logits": lambda: of_loss("cross-entropy", "identity", [[0, 1, 0], [1, 0, 0]], frozen=("b", "A")),
    "binary cross-entropy": lambda: of_loss("bce", "sigmoid", [[0, 1, 1], [1, 0, 0]], reduction="sum"),
    "squared softmax": lambda: of_loss("squared", "softmax", [[0, 1, 2], [1, 0, 0]], frozen=("B", "b", "C", "c")),
    "mean-squared": lambda: of_loss("mean-squared", "tanh", [[0, 1, 2], [1, 0, 0]], l2=2, reduction="sum"),
    "upstream": lambda: of_loss("none", "sigmoid", [[1, THIRD, -2], [1, 0, 0]]),
    "recurrent": lambda: Problem(
        Network([*recurrent("tanh", 2), Layer("out", "V", [[1, -1]], "sigmoid")]),
        [[1, 2, THIRD, -1, 1], [0, 1, 1, 1, 2]],
        [[1], [0]],
    ),
    "rows": lambda: Problem(
        Network(
            [Layer("a", "W", [[1, 2, 1], [-1, 1, 0]], "tanh", "b", [0, 1, 1]), Layer("c", "V", [[1], [2], [THIRD]])],
            Loss(l2=THIRD),
            "rows",
        ),
        [[1, 2], [0, 1]],
        [[3], [1]],
    ),
    "shared": lambda: Problem(
        Network([Layer(name, "W", [[1, 2], [-1, 1]], "tanh", "b", [0, 1]) for name in "abc"], Loss(l2=THIRD)),
        [[1, 2]],
        [[0, 1]],
    ),
    "large and small": lambda: Problem(
        Network([Layer("only", "W", [[2**80, Fraction(1, 10**40)]])]), [[Fraction(1, 2**79), 0]], [[1]]
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_programs_print_the_numbers_of_mlcore(language, name, tmp_path):
    problem = PROBLEMS[name]()
    source = program(problem, language)
    printed = output(source, language, tmp_path)
    assert {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)} <= OWN_NAMES
    assert [key for key, _ in printed] == ["y_hat", "J", *(f"dJ/d{array}" for array in problem.network.trained)]
    assert_same(printed, expected(problem, 0))


@pytest.mark.parametrize("name", ["exercise", "rounded kink"])
def test_numpy_takes_any_convention(name, tmp_path):
    problem = PROBLEMS[name]()
    assert_same(output(program(problem, "numpy", THIRD), "numpy", tmp_path), expected(problem, THIRD))


@pytest.mark.parametrize("language", ["pytorch", "jax"])
def test_others_take_0_at_the_kink_and_say_so(language, tmp_path):
    problem = default_problem()
    source = program(problem, language, Fraction(1))
    assert "takes 0 as the derivative there, where mlcore was asked for 1:" in source
    assert "#   sample 1, layer 2 'output', unit 1" in source
    assert_same(output(source, language, tmp_path), expected(problem, 0))
    assert "derivative" not in program(deep(), language, Fraction(1))
    assert "asked for" not in program(problem, language)


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
        for code in (tree, ast.parse(program(deep(), language)))
    )
    assert imports == usual
    assert not any(isinstance(node, ast.Raise) for node in ast.walk(tree))
    assert all(line.isprintable() for line in source.split("\n"))
    assert len(source.splitlines()) == source.count("\n")
    assert all("coding" not in line for line in source.splitlines()[:2]), "where Python looks for an encoding"
    printed = output(source, language, tmp_path)
    names = [name for name, _ in printed]
    assert len(set(names)) == len(names)
    assert all(name.removeprefix("dJ/d").isidentifier() for name in names)
    assert_same(printed, expected(problem, 0))


def test_numbers_are_exact_where_that_is_short():
    long = Fraction(10**40 + 1, 3**70)
    values = [THIRD, Fraction(-1, 2), 7, Fraction(1, 10), 2**60, long, 10**300, 0.25]
    problem = Problem(Network([Layer("only", "W", [values], "identity")]), [[1] + [0] * 7], [[1]])
    assert f"[1/3, -0.5, 7, 0.1, {2.0**60!r}, {float(long)!r}, 1e+300, 0.25]" in program(problem, "numpy")
