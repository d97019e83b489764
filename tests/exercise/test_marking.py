"""Marking: no right answer is rejected, and mistakes that are planted are named."""

import random
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from mlcore.errors import DataError, InputError
from mlcore.exercise.answers import parse_answer, read_answers
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import ACTIVATIONS, LOSSES, REDUCTIONS, Loss
from mlcore.exercise.generator import KINKS, make_problem
from mlcore.exercise.kinks import Surroundings, zero_combination
from mlcore.exercise.marking import CONVENTIONS, RIGHT, Marker
from mlcore.exercise.mistakes import Work, catalogue
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, default_problem

COUNTS = pytest.mark.parametrize("count", [12, pytest.param(300, marks=pytest.mark.full)])


def answer(name, rows, written=str):
    """An answer as a student types it."""
    return parse_answer(name, ";".join(",".join(map(written, row)) for row in rows))


def decimals(count):
    return lambda value: f"{float(value):.{count}f}"


def digits(count):
    return lambda value: f"{float(value):.{count - 1}e}"


def marked(problem, *answers):
    return Marker(problem).mark([parse_answer(*typed) for typed in answers])


def exercises(count):
    """Random exercises of many sizes and kinks: every third with biases, every third with several samples."""
    for seed in range(count):
        generator = random.Random(seed)
        hidden = generator.randint(1, 4)
        kink = generator.choice(list(KINKS)) if hidden > 1 else "none"
        problem = make_problem(seed, generator.randint(1, 4), hidden, kink)
        if seed % 3 == 1:
            first, last = problem.network.layers
            b = [Fraction(generator.randint(-2, 2)) for _ in range(hidden)]
            layers = [first._replace(bias="b", b=b), last._replace(bias="c", b=[Fraction(generator.randint(0, 1))])]
            problem = replace(problem, network=Network(layers))
        if seed % 3 == 2:
            more = [[Fraction(generator.randint(0, 3)) for _ in problem.x[0]] for _ in range(generator.randint(1, 2))]
            y = [[Fraction(generator.randint(0, 4))] for _ in more]
            problem = replace(problem, x=problem.x + more, y=problem.y + y)
        yield generator, problem


def by_convention(problem, c):
    return Work(Pass(problem.network, problem.x, problem.y), c).values()


def pieces(problem):
    around = Surroundings(Pass(problem.network, problem.x, problem.y))
    return [Work(around.exact, 0).answers(around.gradients(pattern)) for pattern, _ in around.patterns()]


@COUNTS
def test_no_right_answer_is_rejected(count):
    kinked = 0
    for generator, problem in exercises(count):
        marker = Marker(problem)
        for c, written in product(CONVENTIONS, (str, decimals(2))):
            truth = by_convention(problem, c)
            marking = marker.mark([answer(name, rows, written) for name, rows in truth.items()])
            assert {verdict.status for verdict in marking.verdicts} <= {"right", "right-by-convention"}
            if written is str:
                same = by_convention(problem, marking.convention)
                assert all(np.array_equal(same[name], rows) for name, rows in truth.items())
            name = generator.choice(list(truth))
            assert marker.mark([answer(name, truth[name])]).all_right
        if marker.work.trace.kinks:
            kinked += 1
            points = pieces(problem)
            weights = [Fraction(generator.randint(1, 5)) for _ in points]
            member = {
                name: sum(w * point[name] for w, point in zip(weights, points, strict=True)) / sum(weights)
                for name in points[0]
            }
            for written in (str, decimals(2)):
                assert marker.mark([answer(name, rows, written) for name, rows in member.items()]).all_right
    assert kinked > count / 3


def statuses(marking):
    return [verdict.status for verdict in marking.verdicts]


def test_two_units_with_one_convention_each():
    """Two copies of the exercise side by side: (c, c') = (1, 0) is a vertex, but of no one convention."""
    layers = [Layer("hidden", "W", [[2]]), Layer("output", "V", [[0], [0]])]
    problem = Problem(Network(layers), [[Fraction(1)]], [[Fraction(1), Fraction(1)]])
    expected = {"-2;0": "in-subdifferential", "-1.33;-0.5": "in-subdifferential", "-2;-2": "right-by-convention"}
    for text, status in (expected | {"-2.1;0.0": "wrong"}).items():
        assert statuses(marked(problem, ("dV", text))) == [status]
    assert "not the value of φ'(0) = 0, 1/2 or 1 for all" in marked(problem, ("dV", "-2;0")).verdicts[0].remark
    together = marked(problem, ("dV", "-2;0"), ("delta:output", "-1,0"))
    assert statuses(together) == ["in-subdifferential"] * 2
    apart = marked(problem, ("dV", "-2;0"), ("delta:output", "0,-1"))
    assert sorted(statuses(apart)) == ["in-subdifferential", "wrong"]
    assert any("does not fit together with" in verdict.remark for verdict in apart.verdicts)


@pytest.mark.parametrize(
    ("dV", "convention"),
    [("-2,0", 1), ("-1,0", Fraction(1, 2)), ("0,0", 0), ("-2/3,0", None), ("-0.67,0.0", None), ("-0.98,0", None)],
)
def test_exercise_1_by_convention(dV, convention):
    marking = marked(default_problem(), ("y_hat", "0"), ("dV", dV), ("dW", "0,0,0;0,0,0"))
    assert marking.all_right
    verdict = marking.verdicts[1]
    if convention is None:
        assert statuses(marking) == ["right", "in-subdifferential", "right"]
    else:
        assert statuses(marking) == ["right", "right-by-convention", "right"]
        assert verdict.remark == f"the value of the convention φ'(0) = {convention}"
        assert verdict.truth.tolist() == [[-2 * convention, 0]]


@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        ("dV", "-3,0", "arithmetic slip in entry (1, 1)"),
        ("dV", "-2;0", "transposed (x δᵀ instead of δ xᵀ)"),
        ("dV", "-2/7;0", "transposed (rows and columns exchanged)"),
        ("dV", "-2,0,0", "the shape is 1 x 3; expected 1 x 2"),
        ("dV", "2,0", "wrong sign (y − ŷ instead of ŷ − y)"),
        ("dV", "-2,1", "z instead of h in the gradient of the weights (the activation left out)"),
        ("y_hat", "-1", "ReLU left out in the forward pass in all layers"),
        ("z:hidden", "2,1", "wrong sign in entry (1, 2)"),
        ("J", "1", "½ in J left out (twice as large)"),
        ("loss", "0,5", "two numbers, but loss is one; for a decimal point write a dot, as in 0.5"),
    ],
)
def test_exercise_1_mistakes(name, text, mistake):
    (verdict,) = marked(default_problem(), (name, text)).verdicts
    assert verdict.status == "wrong"
    assert mistake in verdict.mistakes


def test_a_wrong_answer_makes_no_other_wrong():
    marking = marked(default_problem(), ("dV", "-3,0"), ("delta:output", "-1"), ("dW", "0,0,0;0,0,0"))
    assert statuses(marking) == ["wrong", "right-by-convention", "right"]
    marking = marked(default_problem(), ("dV", "-1,0"), ("delta:output", "-1"), ("loss", "0.5"))
    assert statuses(marking).count("wrong") == 1
    assert "does not fit together with" in "".join(verdict.remark for verdict in marking.verdicts)


def test_vectors_may_be_columns():
    answers = ("z:hidden", "2;-1"), ("a:hidden", "2;0"), ("dx", "0;0;0")
    assert statuses(marked(default_problem(), *answers)) == ["right"] * 3


def test_answers_that_follow_from_a_wrong_one():
    layers = [Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]]), Layer("output", "V", [[2, 1]])]
    problem = replace(default_problem(), network=Network(layers))  # y_hat = 4
    marking = marked(problem, ("y_hat", "7"), ("delta:output", "6"), ("dV", "12,0"), ("loss", "18"))
    for verdict in marking.verdicts[1:]:
        assert (verdict.status, verdict.mistakes) == ("carried-forward", ("follows from your ŷ",))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([], "There are no answers"),
        ([("dU", "1")], "Unknown answer 'dU'; use y_hat, loss, z:hidden, z:output, "),
        (
            [("new V", "1,2")],
            "Unknown answer 'new V'; use y_hat, loss, z:hidden, z:output, a:hidden, a:output, "
            "delta:hidden, delta:output, dW, dV, dx; for new weights give a learning rate.",
        ),
        ([("loss", "1"), ("J", "1")], "loss is answered twice"),
        ([("dV[1,2]", "1"), ("dV", "1,_"), ("dV", "?,1")], "dV is answered twice"),
        ([("dV[2,1]", "1")], "There is no dV[2,1]: dV has the shape 1 x 2."),
        ([("dV[1,1]", "1,2")], "dV[1, 1] is one entry; give one number (for a decimal point write a dot"),
        ([("dV[1,1]", "1,2,3")], "dV[1, 1] is one entry; give one number."),
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
        ("0.0822", 0.082167041, "right"),
        ("0.0821", 0.082167041, "near"),
        ("0.0820", 0.082167041, ""),
        ("0.1", 0.082167041, "right"),
        ("0.2", 0.15, "right"),
        ("0.2", 0.1499, ""),
        ("0.082167", 0.082167041, "right"),
        ("0.08216704428", 0.082167041, "right"),
        ("0.082168", 0.082167041, "near"),
        ("-0.1311", -0.131169, "near"),
        ("0.0", 0.000438, "short"),
        ("0.00", Fraction(0), "right"),
        ("0", 0.000438, "short"),
        ("1", Fraction(1, 2), "short"),
        ("-.67", Fraction(-2, 3), "right"),
        ("-2/3", Fraction(-2, 3), "right"),
        ("-2/3", Fraction(-200001, 300000), ""),
        ("12", Fraction(247, 20), "right"),
        ("12", Fraction(12), "right"),
        ("13", Fraction(12), ""),
        ("120", 123.45, "right"),
        ("1.2e+02", Fraction(123), "right"),
        ("100", Fraction(98), "right"),
        ("10", Fraction(12), ""),
        ("2e3", 2345.6, "right"),
    ],
)
def test_digits_say_how_exactly_a_number_is_meant(text, truth, verdict):
    entry = parse_answer("loss", text).entries.item()
    near, right = entry.is_near(truth, truth), entry.is_rounded(truth)
    assert (near, right, not near and entry.is_short(truth)) == (
        verdict in ("near", "right"), verdict == "right", verdict == "short")  # fmt: skip


def test_a_zero_with_decimals_for_a_small_number_has_too_few_digits():
    """Even where it follows from values that are rounded on the way."""
    layers = [Layer("output", "W", [[Fraction(1, 10)]], "sigmoid")]
    problem = Problem(Network(layers), [[Fraction(1, 20)]], [[Fraction(51, 100)]])  # dJ/dW = -0.000109
    for text, status in (("0.0", "too-few-digits"), ("0.000", "too-few-digits"), ("-0.00011", "right")):
        assert statuses(marked(problem, ("dW", text))) == [status]


def test_deltas_are_in_one_scale_that_the_sheet_has():
    """Halves of two samples' deltas belong to a mean J, not to a sum, nor beside deltas of each sample's J."""
    layers = [Layer("hidden", "W", [[2]], "identity"), Layer("output", "V", [[3]], "identity")]
    for reduction, status in (("mean", "right"), ("sum", "wrong")):
        x = [[Fraction(1)], [Fraction(2)]]
        problem = Problem(Network(layers, Loss(reduction=reduction)), x, [[Fraction(2)], [Fraction(6)]])
        assert statuses(marked(problem, ("delta:output", "2;3"))) == [status]  # 4 and 6 of each sample
    mixed = marked(replace(problem, network=Network(layers)), ("delta:output", "4;6"), ("delta:hidden", "6;9"))
    assert statuses(mixed) == ["right", "wrong"]
    assert "in another scale" in mixed.verdicts[1].remark


def test_a_layer_that_is_called_layer_is_not_called_so_twice():
    layers = [Layer("layer 1", "W", [[1, 2]], "sigmoid")]
    assert not any("layer layer" in mistake.name for mistake in catalogue(Network(layers)))


def test_a_zero_stands_for_what_a_difference_leaves():
    """Adam's first step is the learning rate, but for 1e-8 in a denominator."""
    layers = [Layer("output", "W", [[Fraction(1, 10), Fraction(1, 2)]], "identity")]
    marker = Marker(Problem(Network(layers), [[Fraction(1), Fraction(1)]], [[Fraction(0)]]), Fraction(1, 10), "adam")
    for text, status in (("0 0.4", "right"), ("0.0 0.4", "right"), ("0 0.3", "wrong"), ("0.1 0.4", "wrong")):
        assert statuses(marker.mark([parse_answer("new W", text)])) == [status]


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
    answers, notes = read_answers(tmp_path / file)
    assert [answer.name for answer in answers] == ["y_hat", "loss", "dV"]
    assert [answer.entries[0, 0].unit for answer in answers] == [1, Fraction(1, 100), 1]
    assert "Anna" in notes.values()
    assert Marker(default_problem()).mark(answers).all_right


@pytest.mark.parametrize(
    ("text", "message"),
    [("y_hat = [", "is not TOML"), ('dV = "Anna"', "Anna"), ("y_hat = [[1, 2], [3]]", "row")],
)
def test_files_that_are_not_answers(tmp_path, text, message):
    (tmp_path / "answers.toml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_answers(tmp_path / "answers.toml")


def truly_right(problem, marking, answers):
    """Whether answers that were marked right are right: by a convention or as a member, in one scale."""
    truth, samples = by_convention(problem, marking.convention), len(problem.x)

    def is_right(scale):
        members = []
        for a, verdict in zip(answers, marking.verdicts, strict=True):
            rows = a.filled(a.entries) * (scale if a.name.startswith("delta") or a.name == "dx" else 1)
            forms = [rows] if a.name in ("dW", "dV") else [rows, rows.T]
            if verdict.status == "in-subdifferential":
                members.append((a.name, rows))
            elif verdict.status in RIGHT and not any(np.array_equal(truth[a.name], form) for form in forms):
                return False
        points = [
            np.concatenate([(p[name] - rows).ravel() for name, rows in members]) for p in pieces(problem) if members
        ]
        return not members or zero_combination(list(map(list, points))) is not None

    return any(is_right(Fraction(scale)) for scale in {1, samples})


def hand(problem, c, mask=(None, None), e=None, hidden=None, inputs=None, h=None, V=None):
    """The two layers in NumPy's matrix products, with parts replaced: shares no code with the catalogue."""
    number = lambda rows: np.array(rows, object)  # noqa: E731
    (first, last), X, Y = problem.network.layers, number(problem.x), number(problem.y)
    b, d = (number(layer.b if layer.b is not None else [Fraction(0)] * len(layer.W)) for layer in (first, last))
    Z1 = X @ number(first.W).T + b
    H = np.maximum(Z1, 0) if hidden is None else hidden(Z1)
    Z2 = H @ number(last.W).T + d
    P = np.maximum(Z2, 0)
    slope = lambda Z: np.where(Z > 0, Fraction(1), np.where(Z == 0, c, Fraction(0)))  # noqa: E731
    parts = {"X": X, "Y": Y, "Z1": Z1, "H": H, "Z2": Z2, "P": P, "M1": slope(Z1), "M2": slope(Z2)}
    M1, M2 = (slope(Z) if m is None else m(parts) for m, Z in zip(mask, (Z1, Z2), strict=True))
    D2 = (P - Y if e is None else e(parts)) * M2
    D1, n = D2 @ (number(last.W) if V is None else V(parts)) * M1, Fraction(len(X))
    dV, dW = D2.T @ (H if h is None else h(parts)) / n, D1.T @ (X if inputs is None else inputs(parts)) / n
    db = {f"d{layer.bias}": D.sum(0, keepdims=True) / n for layer, D in ((first, D1), (last, D2)) if layer.bias}
    loss = ((P - Y) ** 2).sum(keepdims=True) / (2 * n)
    return {"dV": dV, "dW": dW, "delta:output": D2, "delta:hidden": D1, "y_hat": P, "loss": loss} | db


def scaled(factor):
    return lambda problem, c: {k: v * factor for k, v in hand(problem, c).items() if k[0] == "d"}


def of_arrays(factor):
    return lambda problem, c: {k: v for k, v in scaled(factor(len(problem.x)))(problem, c).items() if ":" not in k}


def only(name, change):
    return lambda problem, c: {k: change(v, problem) for k, v in hand(problem, c).items() if k == name}


PLANTED = {
    "wrong sign": scaled(-1),
    "½ in J left out": scaled(2),
    "½ of J kept": scaled(Fraction(1, 2)),
    "transposed (x": only("dW", lambda dW, p: dW.T if dW.shape[0] != dW.shape[1] else dW),
    "transposed (x δᵀ": only("dV", lambda dV, p: dV.T),
    "factor ŷ − y left out": lambda p, c: hand(p, c, e=lambda q: q["Y"] * 0 + 1),
    "J instead of ŷ − y": lambda p, c: hand(p, c, e=lambda q: (q["P"] - q["Y"]) ** 2 / Fraction(2)),
    "φ'(z) left out (or 1 for z < 0) in layer output": lambda p, c: hand(p, c, (None, lambda q: 1)),
    "φ'(z) left out (or 1 for z < 0) in layer hidden": lambda p, c: hand(p, c, (lambda q: 1, None)),
    "φ(z) instead of φ'(z) in layer hidden": lambda p, c: hand(p, c, (lambda q: q["H"], None)),
    "φ(z) instead of φ'(z) in all": lambda p, c: hand(p, c, (lambda q: q["H"], lambda q: q["P"])),
    "φ'(z) of the wrong layer in layer hidden": lambda p, c: hand(p, c, (lambda q: q["M2"] + 0 * q["M1"], None)),
    "φ'(z) of the wrong unit (the order": lambda p, c: hand(p, c, (lambda q: q["M1"][:, ::-1], None)),
    "z instead of h": lambda p, c: hand(p, c, h=lambda q: q["Z1"]),
    "x instead of h": lambda p, c: hand(p, c, h=lambda q: q["X"]),
    "h instead of x": lambda p, c: {"dW": hand(p, c, inputs=lambda q: q["H"])["dW"]},
    "weights left out in the δ": lambda p, c: hand(p, c, V=lambda q: q["M1"][:1] * 0 + 1),
    "ReLU left out in the forward pass in layer hidden": lambda p, c: hand(p, c, hidden=lambda Z: Z),
    "|z| instead of ReLU in layer hidden": only("y_hat", lambda y, p: hand(p, 0, hidden=abs)["y_hat"]),
    "min(0, z)": only("y_hat", lambda y, p: hand(p, 0, hidden=lambda Z: np.minimum(Z, 0))["y_hat"]),
    "summed over the samples": of_arrays(Fraction),
    "averaged twice": of_arrays(lambda n: Fraction(1, n)),
    "only the first sample": only("dW", lambda dW, p: hand(replace(p, x=p.x[:1], y=p.y[:1]), 0)["dW"]),
    "bias gradient left out": only("db", lambda db, p: db * 0),
    "bias gradient multiplied by": lambda p, c: {"db": hand(p, c)["dW"]} if p.network.layers[0].bias else {},
    "square left out": only("loss", lambda J, p: 0 * J + (np.array(p.y) - hand(p, 0)["y_hat"]).sum() / len(p.x) / 2),
}


@COUNTS
def test_mistakes_made_by_hand_are_named(count):
    """The same proof without the catalogue's own arithmetic, in one answer at a time without any other."""
    found = dict.fromkeys(PLANTED, 0)
    wrong = dict.fromkeys(PLANTED, 0)
    for generator, problem in exercises(count):
        marker, c = Marker(problem), generator.choice(CONVENTIONS)
        for mistake, plant in PLANTED.items():
            for name, rows in plant(problem, c).items():
                answers = [answer(name, rows)]
                marking = marker.mark(answers)
                if marking.all_right:
                    assert truly_right(problem, marking, answers)
                    continue
                if marking.verdicts[0].status != "wrong":
                    continue
                wrong[mistake] += 1
                found[mistake] += any(m.startswith(mistake) for m in marking.verdicts[0].mistakes)
    assert {m: (found[m], n) for m, n in wrong.items() if not n or found[m] / n < 0.95} == {}


def smooth(loss, last):
    layers = [
        Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]], "sigmoid", "b", [0, 1]),
        Layer("output", "V", [[1, -2]], last, "c", [0]),
    ]
    x = [[Fraction(value) for value in row] for row in ((1, 2, 1), (0, 1, 3))]
    return Problem(Network(layers, loss), x, [[Fraction(1)], [Fraction(0)]])


def deep():
    layers = [
        Layer("dense", "A", [[1, -1], [2, 1]]),
        Layer("dense", "B", [[1, 2], [-1, 1]]),
        Layer("three", "C", [[1, 3], [2, -1]], "identity"),
    ]
    return Problem(Network(layers), [[Fraction(2), Fraction(1)]], [[Fraction(1), Fraction(2)]])


SMOOTH = [smooth("half-squared", "tanh"), smooth("logistic", "identity")]


@pytest.mark.parametrize("problem", [deep(), *SMOOTH], ids=["deep", "tanh", "logistic"])
def test_mistakes_in_other_networks_are_named(problem):
    marker, seen = Marker(problem), set()
    for mistake in catalogue(problem.network):
        for name, rows in mistake.values(marker.work).items():
            (verdict,) = marker.mark([answer(name, rows)]).verdicts
            if verdict.status == "wrong":
                assert mistake.name in verdict.mistakes
                seen.add(mistake.name)
    assert len(seen) > 18


def test_mistakes_among_other_answers_are_named():
    """All answers that a mistake changes, among right ones."""
    planted = named = 0
    for generator, problem in exercises(3):
        marker, c = Marker(problem), generator.choice(CONVENTIONS)
        truth = by_convention(problem, c)
        for mistake in catalogue(problem.network):
            values = mistake.values(marker.work, c)
            answers = [answer(name, values.get(name, rows)) for name, rows in truth.items()]
            marking = marker.mark(answers)
            assert truly_right(problem, marking, answers)
            wrong = [verdict for verdict in marking.verdicts if verdict.status == "wrong"]
            planted += len(wrong)
            named += sum(mistake.name in verdict.mistakes for verdict in wrong)
    assert named / planted > 0.95


@pytest.mark.parametrize("problem", SMOOTH, ids=["tanh", "logistic"])
def test_networks_without_exact_values(problem):
    marker = Marker(problem)
    truth = marker.truths[0]
    for written in (str, digits(2), digits(4)):
        assert marker.mark([answer(name, rows, written) for name, rows in truth.items()]).all_right
    hidden = answer("z:hidden", truth["z:hidden"] + 1)
    follows = Work(marker.work, 0, given={"z:hidden": hidden.filled(hidden.entries)}).values()["y_hat"]
    verdict = marker.mark([hidden, answer("y_hat", follows)]).verdicts[1]
    assert verdict.mistakes == ("follows from your z₁",)


def test_layers_of_the_same_name_are_numbered():
    assert marked(deep(), ("z:dense 1", "1,5"), ("z:dense 2", "11,4")).all_right


def test_a_student_without_a_mistake_does_what_is_right():
    for problem in (*SMOOTH, *(problem for _, problem in exercises(6))):
        marker = Marker(problem)
        for c, truth in marker.truths.items():
            by_hand = hand(problem, c) if problem.network.rational else {}
            for name, rows in [*Work(marker.work, c).values().items(), *by_hand.items()]:
                np.testing.assert_array_equal(rows, truth[name])


KINDS = {"binary-cross-entropy": "sigmoid", "cross-entropy": "softmax"}


def any_exercise(seed):
    """A random exercise of any kind: loss, activations, depth, sizes, biases, samples and L2."""
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
    return generator, Problem(Network(layers, Loss(loss, generator.choice(REDUCTIONS), l2)), x, y)


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


@pytest.mark.parametrize("seeds", [(*range(25), 169), pytest.param(range(2000), marks=pytest.mark.full)], ids=len)
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


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(2000), marks=pytest.mark.full)], ids=len)
def test_planted_mistakes_are_named_first(seeds):
    """In one answer alone, where the mistake changes it by more than two units of its last digit."""
    planted = named = 0
    for seed in seeds:
        generator, problem = any_exercise(seed)
        marker, count = Marker(problem), generator.randint(2, 6)
        values = {mistake.name: mistake.values(marker.floats) for mistake in marker.catalogue}
        for mistake in generator.sample(list(values), 20):
            changed = [name for name, rows in marker.names.items() if not np.array_equal(values[mistake][name], rows)]
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
                np.array_equal(values[first][name], values[mistake][name])
                for first in verdict.mistakes[:1]
                if first in values
            )
    assert named >= 0.95 * planted > 0
