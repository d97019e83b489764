"""Marking: no right answer is rejected, and mistakes that are planted are named."""

import random
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from test_network_page import has_gradients, random_problem

from mlcore.errors import InputError
from mlcore.exercise.answers import Entry, parse_answer
from mlcore.exercise.descent import Update
from mlcore.exercise.exact import Pass
from mlcore.exercise.generator import make_problem
from mlcore.exercise.marking import CONVENTIONS, RIGHT, Marker
from mlcore.exercise.mistakes import Work
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, default_problem, read_problem
from mlcore.exercise.syllabus import DIFFICULTIES, KINKS


def answer(name, rows, written=str):
    """An answer as a student types it."""
    return parse_answer(name, ";".join(",".join(map(written, row)) for row in rows))


def decimals(count):
    return lambda value: f"{float(value):.{count}f}"


def digits(count):
    return lambda value: f"{float(value):.{count - 1}e}"


def by_convention(problem, c):
    return Work(Pass(problem.network, problem.x, problem.y), c).values()


@pytest.mark.parametrize("kink", KINKS)
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(100), marks=pytest.mark.full)], ids=len)
def test_no_right_answer_is_rejected_at_a_kink(kink, seeds):
    for seed in seeds:
        problem = replace(make_problem(seed, difficulty=[*DIFFICULTIES][seed % 3], kink=kink), relu_at_zero=None)
        marker = Marker(problem)
        assert bool(marker.work.trace.kinks) == (kink != "none")
        for c, written in product(CONVENTIONS, (str, decimals(2))):
            truth = by_convention(problem, c)
            marking = marker.mark([answer(name, rows, written) for name, rows in truth.items()])
            assert {verdict.status for verdict in marking.verdicts} <= {"right", "right-by-convention"}
            if written is str:
                same = by_convention(problem, marking.convention)
                assert all(np.array_equal(same[name], rows) for name, rows in truth.items())
            assert all(marker.mark([answer(name, rows)]).all_right for name, rows in truth.items())


@pytest.mark.parametrize(
    ("text", "truth", "verdict"),
    [
        ("8.22e-2", 0.082167041, "right"),
        ("0.0821", 0.082167041, "near"),
        ("0.0820", 0.082167041, ""),
        ("0.1", 0.082167041, "right"),
        ("0.2", 0.15, "right"),
        ("0.08216704428", 0.082167041, "right"),
        ("-0.1311", -0.131169, "near"),
        ("0.0", 0.000438, "short"),
        ("0.00", Fraction(0), "right"),
        ("0", 0.000438, "short"),
        ("1", Fraction(1, 2), "short"),
        ("-.67", Fraction(-2, 3), "right"),
        ("-2/3", Fraction(-200001, 300000), ""),
        ("12", Fraction(12), "right"),
        ("13", Fraction(12), ""),
        ("120", 123.45, "right"),
        ("1.2e+02", Fraction(123), "right"),
        ("10", Fraction(12), ""),
    ],
)
def test_digits_say_how_exactly_a_number_is_meant(text, truth, verdict):
    entry = parse_answer("loss", text).entries.item()
    near, right = entry.is_near(truth, truth), entry.is_rounded(truth)
    assert (near, right, not near and entry.is_short(truth)) == (
        verdict in ("near", "right"), verdict == "right", verdict == "short")  # fmt: skip


def any_exercise(seed):
    """A random exercise of any kind with two decimals, which rounding changes."""
    problems = (random_problem(number, 150, (100,)) for number in range(seed, 10**9, 10_000))
    return random.Random(seed), next(filter(has_gradients, problems))


class RoundingStudent(Pass):
    """Somebody who rounds half up to significant digits after some of the steps: shares no code with the marking."""

    def __init__(self, problem, steps, count):
        self.steps, self.written = steps, lambda value: significant(value, count)
        super().__init__(problem.network, problem.x, problem.y)

    def step(self, name, layer, value):
        if name not in self.steps:
            return value
        return self.array(np.frompyfunc(lambda number: self.number(self.written(number)), 1, 1)(value))

    def answers(self):
        found, trace = self.backward(0), self.trace
        values = {"y_hat": trace.y_hat, "loss": [[self.loss]], "dx": found.x}
        values |= {f"d{name}": np.atleast_2d(array) for name, array in found.arrays.items()}
        for number, layer in enumerate(self.layers):
            values |= {f"{letter}:{layer.name}": rows[number] for letter, rows in (("z", trace.z), ("a", trace.a))}
            values[f"delta:{layer.name}"] = found.deltas[number]
        return values


def significant(value, count):
    """The number rounded half up to so many significant digits, without a power of ten."""
    exact = Decimal(repr(float(value)))
    unit = Decimal(1).scaleb(exact.adjusted() - count + 1)
    return f"{exact.quantize(unit, ROUND_HALF_UP):f}" if exact else "0"


def test_names_in_any_case_unless_two_differ_only_in_it():
    layers = [Layer("one", "v", [[1, 2]]), Layer("two", "V", [[3], [4]]), Layer("three", "W", [[1, 1]])]
    naming = Marker(Problem(Network(layers), [[1, 1]], [[1]])).naming
    names = ("dV[2,1]", "dv[1,2]", "dw[1,2]", "∇V[2,1]", "∇_W [1,1]", "V.grad[2,1]", "∇ v", "DW")
    assert [naming.find(name) for name in names] == [
        ("dV", (1, 0)), ("dv", (0, 1)), ("dW", (0, 1)), ("dV", (1, 0)), ("dW", (0, 0)), ("dV", (1, 0)), ("dv", None),
        ("dW", None),
    ]  # fmt: skip
    with pytest.raises(InputError, match="Unknown answer 'DV'"):
        naming.find("DV")


def test_names_as_sheets_and_programs_write_them():
    layers = [Layer("one", "W^{(1)}", [[1, 2], [3, 4]], bias="b^[1]", b=[1, 2]), Layer("two", r"W'", [[1, 1]])]
    naming = Marker(Problem(Network(layers), [[1, 1]], [[1]]), Update(1)).naming
    names = {
        "dW^{(1)}": (r"\frac{\partial L}{\partial \mathbf{W}^{(1)}}", r"\nabla_{W^{(1)}} J", "∂C/∂W⁽¹⁾", "grads['W1']"),
        "new W^{(1)}": ("W_1^{new}", "W^{(1)}_{new}", "W₁(new)", "W_{new}^{(1)}", "Wnew1", "updatedW1", "W1_updated"),
        "dW'": ("∇W'", r"\nabla_{W'}", r"\dfrac{\partial E}{\partial W'}"),
        "db^[1]": ("db1", "net.b1.grad", "b1_gradient", r"\partial L/\partial \boldsymbol{b}^{[1]}"),
        "z:one": (r"\mathbf{z}^{(1)}", r"\vec z^{[1]}", "z⁽¹⁾"),
        "z:two": ("logits", "scores"),
        "delta:two": ("dscores", "δ⁽²⁾"),
        "y_hat": (r"\hat y", r"\hat{\mathbf{y}}", "output"),
        "da:two": (r"\frac{\partial L}{\partial \hat y}", "dL_dy_pred", "∂E/∂out", "grad_output"),
        "loss": (r"\mathcal{L}",),
    }  # fmt: skip
    assert {known: {naming.find(name) for name in given} for known, given in names.items()} == {
        known: {(known, None)} for known in names
    }
    units = ("z_2^{(1)}", "a^{(1)}_2", r"\frac{\partial L}{\partial b_2^{[1]}}", r"\delta_{2}^{(1)}")
    assert [naming.find(name) for name in units] == [
        (name, (0, 1)) for name in ("z:one", "a:one", "db^[1]", "delta:one")
    ]
    for name in ("∂L/∂w_{12}^{(1)}", "renew1", "W1grad"):  # w_12 is from 1 to 2, or the other way round
        with pytest.raises(InputError, match="Unknown answer"):
            naming.find(name)
    assert [naming.symbols[name] for name in ("dW^{(1)}", "db^[1]")] == ["∂J/∂W₁", "∂J/∂b₁"]


MAZUR = """
x = [0.05, 0.10]
y = [0.01, 0.99]
[[layers]]
activation = "sigmoid"
W = "w_1 = 0.15, w_2 = 0.20; w_3 = 0.25, w_4 = 0.30"
b = [0.35, 0.35]
[[layers]]
activation = "sigmoid"
V = "w_5 = 0.40, w_6 = 0.45; w_7 = 0.50, w_8 = 0.55"
c = "c1 = 0.60, c2 = 0.60"
"""


def test_names_of_entries(tmp_path):
    """Those of units, and of single weights as the file has them, unless it has them twice."""

    def found(names, net):
        (tmp_path / "net.toml").write_text(net)
        naming = Marker(read_problem(tmp_path / "net.toml"), Update(1)).naming
        return [naming.find(name) for name in names]

    names = (
        "out_{h1}",
        "net_o2",
        r"\delta_{o1}",
        r"\frac{\partial E}{\partial out_{h2}}",
        "h2",
        r"\hat{y}_2",
        "z_hidden",
    )
    assert found(names, MAZUR) == [
        ("a:layer 1", (0, 0)), ("z:layer 2", (0, 1)), ("delta:layer 2", (0, 0)), ("da:layer 1", (0, 1)),
        ("a:layer 1", (0, 1)), ("y_hat", (0, 1)), ("z:layer 1", None),
    ]  # fmt: skip
    names = ("∂E/∂w6", r"$\frac{\partial E_{total}}{\partial w_3}$", "w_5^+", "w₅(new)", "w8.grad", "dc2")
    assert found(names, MAZUR) == [
        ("dV", (0, 1)), ("dW", (1, 0)), ("new V", (0, 0)), ("new V", (0, 0)), ("dV", (1, 1)), ("dc", (0, 1))
    ]  # fmt: skip
    neuron = "x = [1, 2]\ny = [1]\n[[layers]]\nactivation = 'Rectified linear'\nw = [[0.5, -0.4]]"
    assert found(("∂L/∂w2", "new w1", "dx2"), neuron) == [("dw", (0, 1)), ("new w", (0, 0)), ("dx", (0, 1))]
    torch = MAZUR.replace("\nV =", '\n"fc2.weight" =')
    assert found(("fc2.weight.grad", "model.fc2.weight.grad", "layer.W.grad"), torch) == [
        ("dfc2.weight", None), ("dfc2.weight", None), ("dW", None)
    ]  # fmt: skip
    turned = MAZUR.replace('"w_1', '"$[w_1').replace('0.30"', '0.30]^T$"')
    for name, net in (
        ("db2", MAZUR),
        ("J1", MAZUR),
        ("h3", MAZUR),
        ("dw1", MAZUR.replace("w_5", "w1")),
        ("dw2", turned),
    ):
        with pytest.raises(InputError, match="There is no h3" if name == "h3" else r"as in dW\[1,1\]"):
            found([name], net)


def test_an_entry_with_a_number_that_python_does_not_read():
    with pytest.raises(InputError, match="Unknown answer 'dV"):
        Marker(default_problem()).naming.find(f"dV[{'1' * 5000}, 1]")


def test_networks_without_gradients_are_marked():
    """Nothing but forward values; mistakes in gradients are not looked for."""
    layers = [Layer("hidden", "W", [[1, 1], [1, -1]], "step"), Layer("output", "V", [[1, 2]], "identity")]
    marker = Marker(Problem(Network(layers), [[Fraction(1), Fraction(2)]], [[Fraction(1)]]))
    verdicts = marker.mark([parse_answer("z:hidden", "3,-1"), parse_answer("y_hat", "2")]).verdicts
    assert [(verdict.status, verdict.mistakes) for verdict in verdicts] == [("right", ()), ("wrong", ())]


STEPS = ("z", "a", "losses", "error", "slopes", "delta", "pulled", "dW", "db")


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(2000), marks=pytest.mark.full)], ids=len)
def test_no_rounding_is_rejected(seeds):
    """Right answers to 2 to 6 significant digits, rounded step by step or at the end."""
    rejected = []
    for seed in seeds:
        generator, problem = any_exercise(seed)
        count, steps = generator.randint(2, 6), generator.choice(((), STEPS, generator.sample(STEPS, 4)))
        student = RoundingStudent(problem, steps, count)
        written = generator.choice((student.written, digits(count)))
        answers = [answer(name, rows, written) for name, rows in student.answers().items()]
        if generator.random() < 0.5:
            answers = generator.sample(answers, min(3, len(answers)))
        marking = Marker(problem).mark(answers)
        rejected += [(seed, count, steps, verdict) for verdict in marking.verdicts if verdict.status not in RIGHT]
    assert rejected == []


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(2000), marks=pytest.mark.full)], ids=len)
@np.errstate(all="ignore")  # log(1 - y_hat) of a y_hat that is 1
def test_planted_mistakes_are_named_first(seeds):
    """In one answer alone, where the mistake changes it by more than two units of its last digit.

    Another mistake may be named that gives the same digits.
    """
    planted = named = 0
    for seed in seeds:
        generator, problem = any_exercise(seed)
        marker, count = Marker(problem), generator.randint(2, 6)
        values = {mistake.name: mistake.values(marker.floats) for mistake in marker.catalogue}
        for mistake in generator.sample(list(values), 20):
            made = {name: rows for name, rows in values[mistake].items() if np.isfinite(rows.astype(float)).all()}
            truths = marker.names.items()
            changed = [name for name, rows in truths if name in made and not np.array_equal(made[name], rows)]
            if not changed:
                continue
            name = generator.choice(changed)
            given, truth = answer(name, values[mistake][name], digits(count)), marker.names[name]
            if given.entries.shape == truth.shape and given.all_entries(
                lambda e, t: abs(e.value - t) <= 2 * e.unit, truth
            ):
                continue
            (verdict,) = marker.mark([given]).verdicts
            planted += 1
            named += any(
                first in values and given.all_entries(Entry.is_rounded, values[first][name])
                for first in verdict.mistakes[:1]
            )
    assert named >= 0.95 * planted > 0
