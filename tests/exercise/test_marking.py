"""Marking: no right answer is rejected, and mistakes that are planted are named."""

import random
import re
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import compare_with_golden
from test_network_page import has_gradients, random_problem

from mlcore.errors import InputError
from mlcore.exercise.answers import Entry, parse_answer
from mlcore.exercise.descent import Update
from mlcore.exercise.exact import Pass
from mlcore.exercise.generator import make_problem
from mlcore.exercise.marking import CONVENTIONS, RIGHT, Marker
from mlcore.exercise.mistakes import Work
from mlcore.exercise.problem import default_problem, read_problem
from mlcore.exercise.syllabus import DIFFICULTIES, KINKS

NAMES = Path(__file__).with_name("names.txt")  # networks, and what is meant by names of answers to them


def answer(name, rows, written=str):
    """An answer as a student types it."""
    return parse_answer(name, ";".join(",".join(map(written, row)) for row in rows))


def digits(count):
    return lambda value: f"{float(value):.{count - 1}e}"


@pytest.mark.parametrize("kink", KINKS)
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(100), marks=pytest.mark.full)], ids=len)
def test_no_right_answer_is_rejected_at_a_kink(kink, seeds):
    for seed in seeds:
        problem = replace(make_problem(seed, difficulty=[*DIFFICULTIES][seed % 3], kink=kink), relu_at_zero=None)
        marker = Marker(problem)
        assert bool(marker.work.trace.kinks) == (kink != "none")
        for c, written in product(CONVENTIONS, (str, lambda value: f"{float(value):.2f}")):
            truth = Work(marker.work, c).values()
            marking = marker.mark([answer(name, rows, written) for name, rows in truth.items()])
            assert {verdict.status for verdict in marking.verdicts} <= {"right", "right-by-convention"}
            if written is str:
                same = Work(marker.work, marking.convention).values()
                assert all(np.array_equal(same[name], rows) for name, rows in truth.items())
            assert all(marker.mark([answer(name, rows)]).all_right for name, rows in truth.items())


DIGITS = {  # what is typed for which truth: a fraction, or a float
    "right": "8.22e-2=0.082167041 0.1=0.082167041 0.2=0.15 0.08216704428=0.082167041 0.00=0/1 -.67=-2/3 12=12/1 "
    "120=123.45 1.2e+02=123/1",
    "near": "0.0821=0.082167041 -0.1311=-0.131169",
    "short": "0.0=0.000438 0=0.000438 1=1/2",
    "wrong": "0.0820=0.082167041 -2/3=-200001/300000 13=12/1 10=12/1",
}


@pytest.mark.parametrize("verdict", DIGITS)
def test_digits_say_how_exactly_a_number_is_meant(verdict):
    for text, truth in (pair.split("=") for pair in DIGITS[verdict].split()):
        entry, value = parse_answer("loss", text).entries.item(), Fraction(truth) if "/" in truth else float(truth)
        near, right = entry.is_near(value, value), entry.is_rounded(value)
        found = "right" if near and right else "near" if near else "short" if entry.is_short(value) else "wrong"
        assert (found, right) == (verdict, verdict == "right"), text


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


def meant(naming, name):
    try:
        answer, place = naming.find(name)
    except InputError as error:
        return str(error)
    return f"{answer}, {naming.symbols[answer]}" + f" {place}" * (place is not None)


def test_names_of_answers(tmp_path):
    """In any case unless two differ only in it, as sheets and programs write them, and those of single entries."""
    found = []
    for block in NAMES.read_text("utf-8").split("\n\n"):
        net, names = re.fullmatch(r"((?:  .*\n)+)([\s\S]*)", block).groups()
        (tmp_path / "net.toml").write_text(net)
        naming = Marker(read_problem(tmp_path / "net.toml"), Update(1)).naming
        lines = (f"{name} => {meant(naming, name)}\n" for name in re.findall("^(.*) =>", names, re.MULTILINE))
        found.append(net + "".join(lines))
    compare_with_golden(NAMES, "\n".join(found))


def test_an_entry_with_a_number_that_python_does_not_read():
    with pytest.raises(InputError, match="Unknown answer 'dV"):
        Marker(default_problem()).naming.find(f"dV[{'1' * 5000}, 1]")


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


TWO_LAYERS = """
x = [1, 2]
y = [3]
layers = [{name = "hidden", activation = "identity", W = [[1, 1], [1, -1]]}, {activation = "identity", V = [[1, 2]]}]
"""
LINEAR = '{activation = "identity", %s = [[1]]}'
THREE_LAYERS = f"x = [1]\ny = [0]\nlayers = [{', '.join(LINEAR % name for name in ('W1', 'W2', 'W3'))}]"
SIGNS = [  # answers that are right, or called δ but −∂J/∂z; those marked right
    (TWO_LAYERS, "δ2=2 δ1=2,4 dV=-6,2", "−δ₂ −δ₁ ∂J/∂V"),
    (TWO_LAYERS, "δ2=2 δ1=2,4 dW=-2,-4;-4,-8 loss=7 h=?,?", "−δ₂ −δ₁ ∂J/∂W"),
    (TWO_LAYERS, "δ2=2 δ1=2,-4 dV=-6,2", "−δ₂ ∂J/∂V"),
    (TWO_LAYERS, "δ2=2 newV=4,1", "−δ₂ new V"),
    (TWO_LAYERS, "DELTA2=2 newV=4.0,1.0", "−δ₂ new V"),
    (TWO_LAYERS, "δ2=2 newV=1,2", ""),
    (TWO_LAYERS, "δ2=2 δ1=2,4 dV=-6,2 dW=2,4;4,8", "∂J/∂V"),
    (TWO_LAYERS, "δ2=2 δ1=2,4 dV=-6,2 newW=0,-1;-1,-5", "∂J/∂V"),
    (TWO_LAYERS, "δ2=0 δ1=2,4 dV=-6,2", "∂J/∂V"),
    (TWO_LAYERS, "δ2=-5 δ1=2,4 dW=-2,-4;-4,-8", "∂J/∂W"),
    (TWO_LAYERS, "δ2=2 δ1=?,? dV=-6,2", "−δ₂ ∂J/∂V"),
    (TWO_LAYERS, "δ2=2 delta.V=-6,2", "−δ₂ ∂J/∂V"),
    (TWO_LAYERS, "∂J/∂z1[1]=2 δ1[2]=4 dW=-2,-4;-4,-8", "∂J/∂W"),
    (TWO_LAYERS, "δ2=2", ""),
    (TWO_LAYERS, "δ2=2 dW=-2,-4;-4,-8", "∂J/∂W"),
    (TWO_LAYERS, "δ2=2 dV=6,-2", ""),
    (TWO_LAYERS, "δ2=2 dV=-6,?", "−δ₂ ∂J/∂V"),
    (TWO_LAYERS, "δ2=-2 δ1=2,4 dW=-2,-4;-4,-8", "δ₂ ∂J/∂W"),
    (TWO_LAYERS, "δ2=2 ∂J/∂z1=2,4 dV=-6,2", "−δ₂ ∂J/∂V"),
    (TWO_LAYERS, "∂J/∂z2=2 dV=-6,2", "∂J/∂V"),
    (TWO_LAYERS, "δ2=-5 δ1=2,4 dV=-6,2", "∂J/∂V"),
    (TWO_LAYERS.replace("x = [1, 2]", "x = [0, 0]"), "δ2=3 dV=0,0", "∂J/∂V"),
    (THREE_LAYERS, "δ3=-1 dW3=1", "−δ₃ ∂J/∂W₃"),
    (THREE_LAYERS, "δ3=1 δ2=-1 δ1=-1 dW1=1", "δ₃ ∂J/∂W₁"),
    (THREE_LAYERS.replace("W3", "W2"), "δ3=-1 dW2=2", "∂J/∂W₂"),
    (TWO_LAYERS.replace("y = [3]", "y = [3]\nl2 = 1"), "δ2=2 dV=-5,4", "∂J/∂V"),
    (TWO_LAYERS.replace("[1, 2]\n", "[[1, 2], [1, 2]]\n").replace("[3]", "[[3], [3]]"), "δ2=1;1 dV=-6,2", "−δ₂ ∂J/∂V"),
]


@pytest.mark.parametrize(("net", "answers", "right"), SIGNS)
def test_delta_has_the_other_sign_where_the_sheet_shows_it(tmp_path, net, answers, right):
    (tmp_path / "net.toml").write_text(net)
    given = [parse_answer(*text.split("=")) for text in answers.split()]
    marking = Marker(read_problem(tmp_path / "net.toml"), Update(Fraction(1, 2))).mark(given)
    verdicts = [one for one in marking.verdicts if one.status in RIGHT]
    assert " ".join("−" * ("taken as −∂J/∂z" in one.remark) + one.symbol for one in verdicts) == right, marking
