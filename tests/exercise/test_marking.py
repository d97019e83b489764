"""Marking: no right answer is rejected, and mistakes that are planted are named."""

import random
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from mlcore.errors import DataError, InputError
from mlcore.exercise.answers import Entry, parse_answer, read_answers
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import ACTIVATIONS, LOSSES, REDUCTIONS, Loss
from mlcore.exercise.generator import make_problem
from mlcore.exercise.marking import CONVENTIONS, RIGHT, Marker
from mlcore.exercise.mistakes import Work
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, default_problem
from mlcore.exercise.syllabus import KINKS


def answer(name, rows, written=str):
    """An answer as a student types it."""
    return parse_answer(name, ";".join(",".join(map(written, row)) for row in rows))


def decimals(count):
    return lambda value: f"{float(value):.{count}f}"


def digits(count):
    return lambda value: f"{float(value):.{count - 1}e}"


def marked(problem, *answers):
    return Marker(problem).mark([parse_answer(*typed) for typed in answers])


def by_convention(problem, c):
    return Work(Pass(problem.network, problem.x, problem.y), c).values()


@pytest.mark.parametrize("kink", KINKS)
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(100), marks=pytest.mark.full)], ids=len)
def test_no_right_answer_is_rejected_at_a_kink(kink, seeds):
    for seed in seeds:
        problem = replace(make_problem(seed, 1 + seed % 4, 2 + seed % 3, kink), relu_at_zero=None)
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


def one_layer(W, x, y, activation="identity", loss="half-squared"):
    return Problem(Network([Layer("output", "W", W, activation)], loss), x, y)


OFF_KINK = Problem(
    Network([Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]]), Layer("output", "V", [[2, 1]])]),
    [[Fraction(1), Fraction(2), Fraction(1)]],
    [[Fraction(1)]],
)
SMALL = one_layer([[Fraction(1, 10)]], [[Fraction(1, 20)]], [[Fraction(51, 100)]], "sigmoid")  # dJ/dW = -0.000109
TWO_SAMPLES, SUM = (  # deltas are 4 and 6 of each sample's J
    Problem(
        Network(
            [Layer("layer", "W", [[2]], "identity"), Layer("layer", "V", [[3]], "identity")], Loss(reduction=reduction)
        ),
        [[Fraction(1)], [Fraction(2)]],
        [[Fraction(2)], [Fraction(6)]],
    )
    for reduction in ("mean", "sum")
)
SOFTMAX = one_layer(  # z = 1, 1.5, 1
    [[1, 0], [0.5, 0.5], [-1, 1]], [[Fraction(1), Fraction(2)]], [[0, 1, 0]], "softmax", "cross-entropy"
)
ROWS = Problem(
    Network([Layer("hidden", "W", [[1, 1], [0, -1], [1, 0]]), Layer("output", "V", [[1], [1]])], layout="rows"),
    *(OFF_KINK.x, [[Fraction(-2)]]),
)  # z = 2, -1 and 2
BIASED = Problem(Network([Layer("output", "W", [[2]], "identity", "b", [1])]), [[Fraction(3)]], [[Fraction(1)]])
RIGHT_1 = "right-by-convention"
SAID = {  # what is answered, the statuses, and what is said
    "one convention": ("y_hat=0 dV=-2,0 dW=0,0,0;0,0,0", f"right {RIGHT_1} right", "convention φ'(0) = 1"),
    "one half": ("dV=-1,0 y_hat=0", f"{RIGHT_1} right", "convention φ'(0) = 1/2"),
    "zero": ("dV=0,0", RIGHT_1, "convention φ'(0) = 0"),
    "a member": ("dV=-0.67,0 delta:output=-0.33", "in-subdifferential " * 2, "a member of the Clarke subdifferential"),
    "two members": ("dV=-2/3,0 delta:output=-1/4", "in-subdifferential wrong", "by itself in the subdifferential"),
    "no member": ("dV=-0.67,0.1", "wrong", ""),
    "two conventions": ("dV=-1,0 delta:output=-1 loss=0.5", f"wrong {RIGHT_1} right", "does not fit the other answers"),
    "slip": ("dV=-3,0 delta:output=-1 dW=0,0,0;0,0,0", f"wrong {RIGHT_1} right", "arithmetic slip in entry (1, 1)"),
    "transposed": ("dV=-2;0", "wrong", "transposed (x δᵀ instead of δ xᵀ)"),
    "shape": ("dV=-2,0,0", "wrong", "the shape is 1 x 3; expected 1 x 2"),
    "sign": ("dV=2,0", "wrong", "wrong sign (y − ŷ instead of ŷ − y)"),
    "one sign": ("z:hidden=2,1", "wrong", "wrong sign in entry (1, 2)"),
    "z for h": ("dV=-2,1", "wrong", "z instead of h in the gradient of the weights"),
    "no ReLU": ("y_hat=-1", "wrong", "ReLU left out in the forward pass in all layers"),
    "no half": ("J=1", "wrong", "½ in J left out (twice as large)"),
    "decimal comma": (
        "loss=0,5",
        "wrong",
        "twice as many numbers as loss has; for a decimal point write a dot, as in 0.5",
    ),
    "columns": ("z_1=2;-1 h=2;0 dJ/dx=0;0;0", "right right right", ""),
    "spelled": (r"z^[1]=2,-1 a^{(2)}=0 dL_dy_hat=-1 \hat{y}=0 ∂E/∂h=0,-1", "right " * 4 + RIGHT_1, ""),
    "wrong dŷ": (OFF_KINK, "dJ/dŷ=-6 δ_2=-6", "wrong carried-forward", "follows from your ∂J/∂ŷ"),
    "wrong dh": (OFF_KINK, "dh=4,2 δ_1=4,0", "wrong carried-forward", "follows from your ∂J/∂h"),
    "cut off": (SMALL, "dW=-0.0001093", "right", "truncated, or off by one in the last digit"),
    "carried": (OFF_KINK, "y_hat=7 delta:output=6 dV=12,0", "wrong" + " carried-forward" * 2, "follows from your ŷ"),
    "0.0": (SMALL, "dW=0.0", "too-few-digits", "give at least two digits"),
    "0.000": (SMALL, "dW=0.000", "too-few-digits", ""),
    "enough digits": (SMALL, "dW=-0.00011", "right", ""),
    "mean J": (TWO_SAMPLES, "delta:layer_2=2;3", "right", "taken as the derivative of the mean J"),
    "each J": (TWO_SAMPLES, "delta:layer_2=4;6 delta:layer_1=6;9", "right wrong", "derivative of each sample's J"),
    "new weights": ("dW=1,0,1;1,-1,0 dV=1,1", "wrong wrong", "the new weights instead of the gradient (η = 1)"),
    "not normalized": (SOFTMAX, "y_hat=2.7183,4.4817,2.7183", "wrong", "softmax without its denominator"),
    "delta of y_hat": (SOFTMAX, "delta_1=0,-2.213,0", "wrong", "∂J/∂ŷ instead of δ"),
    "binary sum": (SOFTMAX, "loss=1.435", "wrong", "(1 − y) log(1 − ŷ) added, which is for sigmoid outputs"),
    "squared": (SOFTMAX, "loss=0.4507", "wrong", "the squared error instead of the cross-entropy"),
    "rows": (ROWS, "dW=4,0;8,0;4,0 dV=8;0", "right right", ""),
    "not in rows": (ROWS, "dW=4,8,4;0,0,0", "wrong", "transposed (δᵀ x instead of xᵀ δ)"),
    "sum": (SUM, "delta:layer_2=2;3", "wrong", ""),
    "no error": (OFF_KINK, "dW=2,4,2;0,0,0", "wrong", "factor ŷ − y left out"),
    "half": (OFF_KINK, "dW=3,6,3;0,0,0", "wrong", "½ of J kept in the gradient"),
    "no weights": (OFF_KINK, "dW=3,6,3;0,0,0", "wrong", "weights left out in the δ of the layer below"),
    "no slope": (OFF_KINK, "dW=6,12,6;3,6,3", "wrong", "φ'(z) left out (or 1 for z < 0) in layer hidden"),
    "φ for φ'": (OFF_KINK, "dW=12,24,12;0,0,0", "wrong", "φ(z) instead of φ'(z) in layer hidden"),
    "x for h": (OFF_KINK, "dV=3,6,3", "wrong", "x instead of h in the gradient of the weights"),
    "h for x": (OFF_KINK, "dW=12,0;0,0", "wrong", "h instead of x in the gradient of the weights"),
    "linear": (OFF_KINK, "dV=4,-2", "wrong", "ReLU left out in the forward pass in layer hidden"),
    "no square": (OFF_KINK, "loss=1.5", "wrong", "square left out in the loss"),
    "summed": (TWO_SAMPLES, "dW=48", "wrong", "summed over the samples instead of averaged"),
    "twice": (TWO_SAMPLES, "dW=12", "wrong", "averaged twice over the samples"),
    "first": (TWO_SAMPLES, "dW=12", "wrong", "only the first sample used"),
    "no bias": (BIASED, "y_hat=6", "wrong", "bias left out in the forward pass"),
    "bias times x": (BIASED, "db=18", "wrong", "bias gradient multiplied by the input"),
    "zero bias": (BIASED, "db=0.0", "wrong", "bias gradient left out (0)"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_of_answers(case):
    *problem, typed, expected, said = SAID[case]
    answers = [answer.replace("r_", "r ").split("=") for answer in typed.split()]
    marking = marked(*(problem or [default_problem()]), *answers)
    assert [verdict.status for verdict in marking.verdicts] == expected.split()
    texts = [text for verdict in marking.verdicts for text in (verdict.remark, *verdict.mistakes)]
    assert any(said in text for text in texts)
    assert "η" in said or not any("η" in text for text in texts)  # a rate is guessed where nothing else fits


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([], "There are no answers"),
        ([("delta:hiden", "1")], "Unknown answer 'delta:hiden'; did you mean delta:hidden? Or use z:hidden, a:hidden,"),
        ([("dU", "1")], "Unknown answer 'dU'; use z:hidden, a:hidden, z:output, a:output, y_hat, "),
        (
            [("new V", "1,2")],
            "Unknown answer 'new V'; use z:hidden, a:hidden, z:output, a:output, y_hat, loss, "
            "da:output, delta:output, da:hidden, delta:hidden, dW, dV, dx; for new weights give a learning rate.",
        ),
        ([("loss", "1"), ("J", "1")], "loss is answered twice"),
        ([("dV[1,2]", "1"), ("dV", "1,_"), ("dV", "?,1")], "dV is answered twice"),
        ([("dV[2,1]", "1")], "There is no dV[2,1]: dV has the shape 1 x 2."),
        ([("dV[1,1]", "1,2")], "dV[1,1] is one entry; give one number (for a decimal point write a dot"),
        ([("dV[1,1]", "1,2,3")], "dV[1,1] is one entry; give one number."),
    ],
)
def test_what_cannot_be_marked(answers, message):
    with pytest.raises(InputError) as raised:
        marked(default_problem(), *answers)
    assert str(raised.value).startswith(message)


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


def test_a_zero_stands_for_what_a_difference_leaves():
    """Adam's first step is the learning rate, but for 1e-8 in a denominator."""
    problem = one_layer([[Fraction(1, 10), Fraction(1, 2)]], [[Fraction(1), Fraction(1)]], [[Fraction(0)]])
    marker = Marker(problem, Fraction(1, 10), "adam")
    for text, right in (("0 0.4", True), ("0.0 0.4", True), ("0 0.3", False), ("0.1 0.4", False)):
        assert marker.mark([parse_answer("new W", text)]).all_right is right


def test_a_tolerance_takes_the_place_of_the_last_digit():
    for tolerance, is_near in ((None, True), (Fraction(1, 1000), False), (Fraction(1, 50), True)):
        assert parse_answer("loss", "0.32", tolerance).entries.item().is_near(0.313, 0.313) == is_near


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("answers.toml", 'student = "Anna"\ny_hat = 0\nloss = 0.50\ndV = [[-2, "?"]]\n'),
        ("answers.json", '{"Name": "Anna", "y_hat": 0, "loss": 0.50, "dV": [["-2", null]], "note": "done by hand"}'),
    ],
)
def test_answers_in_a_file(tmp_path, file, text):
    (tmp_path / file).write_text(text)
    answers, notes, problems = read_answers(tmp_path / file)
    assert problems == []
    assert [answer.name for answer in answers] == ["y_hat", "loss", "dV"]
    assert [answer.entries[0, 0].unit for answer in answers] == [1, Fraction(1, 100), 1]
    assert "Anna" in notes.values()
    assert Marker(default_problem()).mark(answers).all_right


def test_files_that_are_not_answers(tmp_path):
    path = tmp_path / "answers.toml"
    path.write_text("y_hat = [")
    with pytest.raises(DataError, match="is not TOML"):
        read_answers(path)
    path.write_text('dV = "Anna"\nloss = 1\ny_hat = [[1, 2], [3]]')
    answers, _, problems = read_answers(path)
    assert [answer.name for answer in answers] == ["loss"]
    assert "Anna" in problems[0]
    assert "rows of one length" in problems[1]


KINDS = {"binary-cross-entropy": "sigmoid", "cross-entropy": "softmax"}


def any_exercise(seed):
    """A random exercise of any kind: loss, activations, depth, sizes, biases, samples, L2 and layout."""
    generator = random.Random(seed)

    def rows(count, width, places=2):
        return [[Fraction(generator.randint(-150, 150), 10**places) for _ in range(width)] for _ in range(count)]

    loss = generator.choice(list(LOSSES))
    inner = [name for name in ACTIVATIONS if name not in ("step", "softmax")]
    sizes = [generator.randint(1, 3) for _ in range(generator.randint(2, 4))]
    sizes[-1] += loss == "cross-entropy"
    activations = [generator.choice(inner) for _ in sizes[1:]]
    if loss in KINDS:
        activations[-1] = generator.choice((KINDS[loss], "identity"))
    layers = []
    for number, activation in enumerate(activations):
        W = rows(sizes[number + 1], sizes[number])
        bias = {"bias": f"b{number}", "b": rows(1, len(W))[0]} if generator.random() < 0.5 else {}
        layers.append(Layer(f"layer {number}", f"A{number}", W, activation, **bias))
    samples = generator.choice((1, 1, 2))
    x, y = rows(samples, sizes[0], 1), rows(samples, sizes[-1], 1)
    if loss in KINDS:
        ones = [generator.randrange(sizes[-1]) for _ in range(samples)]
        y = [[Fraction(unit == one) for unit in range(sizes[-1])] for one in ones]
    l2 = generator.choice((0, 0, Fraction(1, 10)))
    layout = "rows" if seed % 4 == 3 else "columns"
    if layout == "rows":
        layers = [layer._replace(W=list(zip(*layer.W, strict=True))) for layer in layers]
    return generator, Problem(Network(layers, Loss(loss, generator.choice(REDUCTIONS), l2), layout), x, y)


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
        values = {"y_hat": trace.y_hat, "loss": [[trace.loss]], "dx": found.x}
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


STEPS = ("z", "a", "losses", "error", "slopes", "delta", "pulled", "dW", "db")


@pytest.mark.parametrize("seeds", [(*range(10), 169, 868), pytest.param(range(2000), marks=pytest.mark.full)], ids=len)
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
