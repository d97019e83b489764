"""Marking: no right answer is rejected, and mistakes that are planted are named."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from mlcore.errors import InputError
from mlcore.exercise.exact import ExactNetwork
from mlcore.exercise.generator import KINKS, make_problem
from mlcore.exercise.marking import Answer, Marker, mark
from mlcore.exercise.mistakes import catalogue
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, default_problem
from mlcore.exercise.rational import contains_zero

CONVENTIONS = [Fraction(0), Fraction(1, 2), Fraction(1), Fraction(1, 3)]
counts = pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.full)])


def answer(name, rows, decimals=None):
    """An answer with exact values, or with values rounded to some decimals."""
    exact = [[Fraction(value) for value in row] for row in rows]
    if decimals is not None:
        exact = [[Fraction(round(value * 10**decimals), 10**decimals) for value in row] for row in exact]
    return Answer(name, exact, [[decimals for _ in row] for row in exact])


def typed(name, text):
    """An answer as it is typed, such as ``-0.67,0``."""
    rows = [row.split(",") for row in text.split(";")]
    places = [[len(entry.partition(".")[2]) if "." in entry else None for entry in row] for row in rows]
    return Answer(name, [[Fraction(entry) for entry in row] for row in rows], places)


def exercises(count):
    """Random exercises of many sizes and kinks: every third with biases, every third with several samples."""
    for seed in range(count):
        generator = random.Random(seed)
        hidden = generator.randint(1, 4)
        sheet = make_problem(seed, generator.randint(1, 4), hidden, generator.choice(KINKS) if hidden > 1 else "none")
        if seed % 3 == 1:
            first, last = sheet.network.layers
            b = [Fraction(generator.randint(-2, 2)) for _ in range(hidden)]
            layers = [first._replace(bias="b", b=b), last._replace(bias="c", b=[Fraction(generator.randint(0, 1))])]
            sheet = replace(sheet, network=Network(layers))
        if seed % 3 == 2:
            more = [[Fraction(generator.randint(0, 3)) for _ in sheet.x[0]] for _ in range(generator.randint(1, 2))]
            sheet = replace(sheet, x=sheet.x + more, y=sheet.y + [[Fraction(generator.randint(0, 4))] for _ in more])
        yield generator, sheet


# No right answer is rejected -----------------------------------------------------------------------------------


def by_convention(sheet, c):
    """All right answers, from ExactNetwork alone."""
    exact = ExactNetwork(sheet.network, sheet.x, sheet.y)
    trace = exact.trace
    values = {"y_hat": trace.a[-1], "loss": [[trace.loss]]}
    for layer, z, a in zip(sheet.network.layers, trace.z, trace.a, strict=True):
        values |= {f"z:{layer.name}": z, f"a:{layer.name}": a}
    return values | gradients_of(sheet, exact.backward(c))


def gradients_of(sheet, gradients):
    values = {f"delta:{layer.name}": d for layer, d in zip(sheet.network.layers, gradients.deltas, strict=True)}
    values |= {f"d{name}": rows if isinstance(rows[0], list) else [rows] for name, rows in gradients.arrays.items()}
    return values | {"dx": gradients.x}


def mixed(points, weights):
    """Convex combination of gradients."""
    return {
        name: [
            [sum(w * point[name][i][j] for w, point in zip(weights, points, strict=True)) for j in range(len(row))]
            for i, row in enumerate(rows)
        ]
        for name, rows in points[0].items()
    }


@counts
def test_no_right_answer_is_rejected(count):
    kinked = 0
    for generator, sheet in exercises(count):
        marker = Marker(sheet)
        for c in CONVENTIONS:
            truth = by_convention(sheet, c)
            for decimals in (None, 2):
                marking = marker.mark([answer(name, rows, decimals) for name, rows in truth.items()])
                assert [v for v in marking.verdicts if v.status in ("wrong", "in-subdifferential")] == []
                assert decimals is not None or by_convention(sheet, marking.convention) == truth
            name = generator.choice(list(truth))
            assert marker.mark([answer(name, truth[name])]).all_right
        exact = ExactNetwork(sheet.network, sheet.x, sheet.y)
        if exact.trace.kinks:
            kinked += 1
            points = [gradients_of(sheet, piece.gradients) for piece in exact.subdifferential().pieces]
            weights = [Fraction(generator.randint(0, 5)) for _ in points]
            weights = [w / sum(weights) if any(weights) else Fraction(1, len(points)) for w in weights]
            for decimals in (None, 2):
                member = [answer(name, rows, decimals) for name, rows in mixed(points, weights).items()]
                assert marker.mark(member).all_right
    assert kinked > count / 3


def test_two_units_with_one_convention_each():
    """Two copies of the exercise side by side: (c, c') = (1, 0) is a vertex, but of no one convention."""
    layers = [Layer("hidden", "W", [[2]]), Layer("output", "V", [[0], [0]])]
    sheet = Problem(Network(layers), [[Fraction(1)]], [[Fraction(1), Fraction(1)]])
    (verdict,) = mark(sheet, [typed("dV", "-2;0")]).verdicts
    assert verdict.status == "in-subdifferential" and "no one convention" in verdict.remark
    assert mark(sheet, [typed("dV", "-1.33;-0.5")]).verdicts[0].status == "in-subdifferential"
    assert mark(sheet, [typed("dV", "-2;-2")]).verdicts[0].status == "right-by-convention"
    assert mark(sheet, [typed("dV", "-2.1;0.0")]).verdicts[0].status == "wrong"
    together = mark(sheet, [typed("dV", "-2;0"), typed("delta:output", "-1,0")])
    assert [v.status for v in together.verdicts] == ["in-subdifferential"] * 2
    apart = mark(sheet, [typed("dV", "-2;0"), typed("delta:output", "0,-1")])
    assert sorted(v.status for v in apart.verdicts) == ["in-subdifferential", "wrong"]
    assert any("does not fit together with" in v.remark for v in apart.verdicts)


def test_convention_of_several_layers():
    """The gradient is quadratic in c where kinked units feed each other, so that c may be irrational."""
    layers = [Layer("hidden", "W", [[0]]), Layer("output", "V", [[1]])]
    sheet = Problem(Network(layers), [[Fraction(1)]], [[Fraction(1)]])
    assert mark(sheet, [typed("dW", "-1/9")]).convention == Fraction(1, 3)
    assert mark(sheet, [typed("dW", "-1/9"), typed("delta:output", "-1/3")]).all_right
    assert mark(sheet, [typed("dW", "-1/9"), typed("delta:output", "-0.3")]).all_right
    (verdict,) = mark(sheet, [typed("dW", "-1/2")]).verdicts
    assert verdict.remark == "the value of the convention relu'(0) = 0.707107" and verdict.truth == [[Fraction(-1, 2)]]
    marking = mark(sheet, [typed("dW", "-1/9"), typed("delta:output", "-1/4"), typed("delta:hidden", "-1/9")])
    assert [v.status for v in marking.verdicts] == ["right-by-convention", "wrong", "right-by-convention"]
    assert "by itself right with relu'(0) = 1/4, but it does not fit together with dW" in marking.verdicts[1].remark


# Exercise 1 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dV", "convention"),
    [("-2,0", 1), ("-1,0", Fraction(1, 2)), ("0,0", 0), ("-2/3,0", Fraction(1, 3)), ("-0.67,0.0", Fraction(1, 3)),
     ("-0.98,0", None)],
)  # fmt: skip
def test_exercise_1_by_convention(dV, convention):
    marking = mark(default_problem(), [typed("y_hat", "0"), typed("dV", dV), typed("dW", "0,0,0;0,0,0")])
    assert marking.all_right
    assert [v.status for v in marking.verdicts] == ["right", "right-by-convention", "right"]
    if convention is not None:
        assert marking.verdicts[1].remark == f"the value of the convention relu'(0) = {convention}"
        assert marking.verdicts[1].truth == [[-2 * convention, 0]]


@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        ("dV", "-3,0", "arithmetic slip in entry (1, 1)"),
        ("dV", "-2;0", "transposed"),
        ("dV", "-2/7;0", "transposed"),
        ("dV", "-2,0,0", "the shape is 1 x 3; expected 1 x 2"),
        ("dV", "2,0", "sign flipped (y - y_hat for y_hat - y)"),
        ("dV", "2,0", "forgot the factor y_hat - y"),
        ("dV", "-4,0", "forgot the 1/2 in J (twice as large)"),
        ("dV", "-2,1", "z for h in the gradient of the weights (pre-activation in place of activation)"),
        ("dV", "-1,-2,-1", "x for h in the gradient of the weights"),
        ("dW", "0,0,0;-1,-2,-1", "mask missing (phi' left out, or 1 for z < 0) in layer hidden"),
        ("y_hat", "-1", "ReLU forgotten in the forward pass in all layers"),
        ("z:hidden", "2,1", "sign of entry (1, 2)"),
        ("loss", "1", "forgot the 1/2 in J (twice as large)"),
        ("loss", "-1/2", "sign flipped"),
    ],
)
def test_exercise_1_mistakes(name, text, mistake):
    marking = mark(default_problem(), [typed(name, text)])
    assert not marking.all_right
    assert mistake in marking.verdicts[0].mistakes


def test_a_wrong_answer_makes_no_other_wrong():
    marking = mark(default_problem(), [typed("dV", "-3,0"), typed("delta:output", "-1"), typed("dW", "0,0,0;0,0,0")])
    assert [v.status for v in marking.verdicts] == ["wrong", "right-by-convention", "right"]
    marking = mark(default_problem(), [typed("dV", "-1,0"), typed("delta:output", "-1"), typed("loss", "0.5")])
    assert [v.status for v in marking.verdicts].count("wrong") == 1
    assert "does not fit together with" in "".join(v.remark for v in marking.verdicts)


def test_vectors_may_be_columns():
    marking = mark(default_problem(), [typed("z:hidden", "2;-1"), typed("a:hidden", "2;0"), typed("dx", "0;0;0")])
    assert [v.status for v in marking.verdicts] == ["right"] * 3


def test_answers_that_follow_from_a_wrong_one():
    layers = [Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]]), Layer("output", "V", [[2, 1]])]
    sheet = replace(default_problem(), network=Network(layers))  # y_hat = 4
    marking = mark(sheet, [typed("y_hat", "7"), typed("delta:output", "6"), typed("dV", "12,0"), typed("loss", "18")])
    for verdict in marking.verdicts[1:]:
        assert verdict.status == "wrong" and any(m.startswith("follows from your y_hat") for m in verdict.mistakes)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([], "There are no answers"),
        ([("dU", "1")], "'dU' is no quantity of this network; expected one of y_hat, loss, z:hidden, z:output, "),
        ([("loss", "1"), ("loss", "1")], "loss is answered twice"),
    ],
)
def test_what_cannot_be_marked(answers, message):
    with pytest.raises(InputError) as raised:
        mark(default_problem(), [typed(*a) for a in answers])
    assert str(raised.value).startswith(message)


# Mistakes are named --------------------------------------------------------------------------------------------


def close(a, b):
    a, b = np.array(a, float), np.array(b, float)
    return a.shape == b.shape and np.abs(a - b).max() < 1e-9


def truly_right(sheet, marking, answers):
    """Whether answers that were marked right are right, by a convention or as a member, from ExactNetwork alone."""
    good = [a for a, v in zip(answers, marking.verdicts, strict=True) if v.status != "wrong"]
    truth = by_convention(sheet, marking.convention)
    if all(v.status != "in-subdifferential" for v in marking.verdicts):
        weights = [f"d{layer.weights}" for layer in sheet.network.layers]
        turned = lambda a: a.values if a.name in weights else a.transposed().values  # noqa: E731
        if marking.convention.denominator > 10**12:  # an irrational number, rounded
            return all(any(close(truth[a.name], rows) for rows in (a.values, turned(a))) for a in good)
        return all(truth[a.name] in (a.values, turned(a)) for a in good)
    members = [a for a, v in zip(answers, marking.verdicts, strict=True) if v.status == "in-subdifferential"]
    subdifferential = ExactNetwork(sheet.network, sheet.x, sheet.y).subdifferential()
    if subdifferential.doubtful:  # the student has the benefit of the doubt
        return all("this was not decided" in v.remark for v in marking.verdicts if v.status == "in-subdifferential")
    points = [gradients_of(sheet, piece.gradients) for piece in subdifferential.pieces]
    flat = lambda values: [v for a in members for row in values[a.name] for v in row]  # noqa: E731
    wanted = flat({a.name: a.values for a in members})
    return contains_zero([[p - w for p, w in zip(flat(point), wanted, strict=True)] for point in points])


@counts
def test_planted_mistakes_are_named(count):
    """Each mistake of the catalogue, in one answer among right ones or in all that it changes."""
    planted = named = 0
    seen = set()
    for generator, sheet in exercises(count):
        marker, c = Marker(sheet), generator.choice(CONVENTIONS[:3])
        truth = by_convention(sheet, c)
        for mistake in catalogue(sheet.network):
            values = mistake.values(sheet, c)
            changed = [name for name in values if values[name] != truth[name]]
            if not changed:
                continue
            names = generator.choice([[generator.choice(changed)], changed])
            answers = [answer(name, values[name] if name in names else rows) for name, rows in truth.items()]
            marking = marker.mark(answers)
            assert truly_right(sheet, marking, answers)
            wrong = [v for v in marking.verdicts if v.name in names and v.status == "wrong"]
            planted += len(wrong)
            named += sum(mistake.name in v.mistakes for v in wrong)
            seen |= {mistake.name for v in wrong}
    assert len(seen) >= 35
    assert named / planted >= 0.95, (named, planted)


def hand(sheet, c, mask=(None, None), e=None, hidden=None, inputs=None, h=None, V=None):
    """The two layers in NumPy's matrix products, with parts replaced: shares no code with the catalogue."""
    number = lambda rows: np.array(rows, object)  # noqa: E731
    (first, last), X, Y = sheet.network.layers, number(sheet.x), number(sheet.y)
    b, d = (number(layer.b if layer.b is not None else [Fraction(0)] * len(layer.W)) for layer in (first, last))
    Z1 = X @ number(first.W).T + b
    H = np.maximum(Z1, 0) if hidden is None else hidden(Z1)
    Z2 = H @ number(last.W).T + d
    P = np.maximum(Z2, 0)
    slope = lambda Z: np.where(Z > 0, Fraction(1), np.where(Z == 0, c, Fraction(0)))  # noqa: E731
    parts = {"X": X, "Y": Y, "Z1": Z1, "H": H, "Z2": Z2, "P": P, "M1": slope(Z1), "M2": slope(Z2)}
    M1, M2 = (slope(Z) if m is None else m(parts) for m, Z in zip(mask, (Z1, Z2), strict=True))
    D2 = (P - Y if e is None else e(parts)) / Fraction(len(X)) * M2
    D1 = D2 @ (number(last.W) if V is None else V(parts)) * M1
    dV, dW = D2.T @ (H if h is None else h(parts)), D1.T @ (X if inputs is None else inputs(parts))
    return {"dV": dV, "dW": dW, "delta:output": D2, "delta:hidden": D1, "y_hat": P} | {
        "loss": ((P - Y) ** 2).sum(keepdims=True) / Fraction(2 * len(X))
    } | {f"d{layer.bias}": D.sum(0, keepdims=True) for layer, D in ((first, D1), (last, D2)) if layer.bias}  # fmt: skip


def scaled(factor):
    return lambda sheet, c: {k: v * factor for k, v in hand(sheet, c).items() if k[0] == "d"}


def only(name, change):
    return lambda sheet, c: {k: change(v, sheet) for k, v in hand(sheet, c).items() if k == name}


PLANTED = {
    "sign flipped": scaled(-1),
    "forgot the 1/2 in J": scaled(2),
    "kept an extra 1/2": scaled(Fraction(1, 2)),
    "transposed": only("dW", lambda dW, sheet: dW.T),
    "outer product reversed": only("dV", lambda dV, sheet: dV.T),
    "forgot the factor": lambda s, c: hand(s, c, e=lambda p: p["Y"] * 0 + 1),
    "J in place of y_hat - y": lambda s, c: hand(s, c, e=lambda p: (p["P"] - p["Y"]) ** 2 / Fraction(2)),
    "mask missing (phi' left out, or 1 for z < 0) in layer output": lambda s, c: hand(s, c, (None, lambda p: 1)),
    "mask missing (phi' left out, or 1 for z < 0) in layer hidden": lambda s, c: hand(s, c, (lambda p: 1, None)),
    "phi(z) in place of phi'(z) in layer hidden": lambda s, c: hand(s, c, (lambda p: p["H"], None)),
    "phi(z) in place of phi'(z) in all": lambda s, c: hand(s, c, (lambda p: p["H"], lambda p: p["P"])),
    "mask of the wrong layer in layer hidden": lambda s, c: hand(s, c, (lambda p: p["M2"] + 0 * p["M1"], None)),
    "mask of the wrong unit (the order": lambda s, c: hand(s, c, (lambda p: p["M1"][:, ::-1], None)),
    "z for h": lambda s, c: hand(s, c, h=lambda p: p["Z1"]),
    "x for h": lambda s, c: hand(s, c, h=lambda p: p["X"]),
    "h for x": lambda s, c: {"dW": hand(s, c, inputs=lambda p: p["H"])["dW"]},
    "delta of the layer below without the weights": lambda s, c: hand(s, c, V=lambda p: p["M1"][:1] * 0 + 1),
    "ReLU forgotten in the forward pass in layer hidden": lambda s, c: hand(s, c, hidden=lambda Z: Z),
    "|z| in place of ReLU in layer hidden": only("y_hat", lambda y, s: hand(s, 0, hidden=abs)["y_hat"]),
    "min(0, z)": only("y_hat", lambda y, s: hand(s, 0, hidden=lambda Z: np.minimum(Z, 0))["y_hat"]),
    "summed instead of averaged": lambda s, c: scaled(len(s.x))(s, c),
    "averaged twice": lambda s, c: scaled(Fraction(1, len(s.x)))(s, c),
    "only the first sample": only("dW", lambda dW, s: hand(replace(s, x=s.x[:1], y=s.y[:1]), 0)["dW"]),
    "bias gradient forgotten": only("db", lambda db, s: db * 0),
    "bias gradient multiplied by the input": lambda s, c: {"db": hand(s, c)["dW"]} if s.network.layers[0].bias else {},
    "forgot the square": only("loss", lambda J, s: 0 * J + (np.array(s.y) - hand(s, 0)["y_hat"]).sum() / len(s.x) / 2),
}


@counts
def test_mistakes_made_by_hand_are_named(count):
    """The same proof without the catalogue's own arithmetic, in one answer at a time without any other."""
    found = dict.fromkeys(PLANTED, 0)
    wrong = dict.fromkeys(PLANTED, 0)
    for generator, sheet in exercises(count):
        marker, c = Marker(sheet), generator.choice(CONVENTIONS[:3])
        for mistake, plant in PLANTED.items():
            for name, rows in plant(sheet, Fraction(0) if mistake.startswith("only") else c).items():
                answers = [answer(name, rows.tolist())]
                marking = marker.mark(answers)
                if marking.all_right:
                    assert truly_right(sheet, marking, answers)
                    continue
                wrong[mistake] += 1
                found[mistake] += any(m.startswith(mistake) for m in marking.verdicts[0].mistakes)
    assert {m: (found[m], n) for m, n in wrong.items() if not n or found[m] / n < 0.95} == {}


@counts
def test_slips_in_one_entry_are_named(count):
    for generator, sheet in exercises(count):
        marker = Marker(sheet)
        truth = by_convention(sheet, 0)
        for name in ("dW", "dV", "z:hidden"):
            rows = [list(row) for row in truth[name]]
            i, j = generator.randrange(len(rows)), generator.randrange(len(rows[0]))
            if len(rows) * len(rows[0]) == 1:
                continue
            flip = generator.random() < 0.5 and rows[i][j] != 0
            rows[i][j] = -rows[i][j] if flip else rows[i][j] + Fraction(1, 97)
            answers = [answer(key, rows if key == name else value) for key, value in truth.items()]
            marking = marker.mark(answers)
            verdict = next(v for v in marking.verdicts if v.name == name)
            if verdict.status == "wrong":
                assert f"{'sign of' if flip else 'arithmetic slip in'} entry ({i + 1}, {j + 1})" in verdict.mistakes
            else:
                assert truly_right(sheet, marking, answers)


# Other networks ------------------------------------------------------------------------------------------------


def smooth(loss="half-squared", last="tanh"):
    layers = [
        Layer("hidden", "W", [[1, 0, 1], [1, -1, 0]], "sigmoid", "b", [0, 1]),
        Layer("output", "V", [[1, -2]], last, "c", [0]),
    ]
    x = [[Fraction(value) for value in row] for row in ((1, 2, 1), (0, 1, 3))]
    return Problem(Network(layers, loss), x, [[Fraction(1)], [Fraction(0)]])


@pytest.mark.parametrize("sheet", [smooth(), smooth("logistic", "identity")], ids=["tanh", "logistic"])
def test_networks_without_exact_values(sheet):
    marker = Marker(sheet)
    truth = marker.truth(Fraction(0))
    for decimals in (None, 2, 4):
        assert marker.mark([answer(name, rows, decimals) for name, rows in truth.items()]).all_right
    total = wrong = 0
    for mistake in catalogue(sheet.network):
        for name, rows in mistake.values(sheet).items():
            marking = marker.mark([answer(name, rows)])
            if not marking.all_right:
                total, wrong = total + 1, wrong + (mistake.name not in marking.verdicts[0].mistakes)
    assert total > 100 and not wrong


def test_catalogue_without_a_mistake_is_the_truth():
    """The catalogue's own pass agrees with the compiled kernels and with ExactNetwork."""
    nothing = catalogue(smooth().network)[0]._replace(kind="")
    for sheet in (smooth(), smooth("logistic", "identity")):
        truth, own = Marker(sheet).truth(Fraction(0)), nothing.values(sheet)
        assert truth.keys() == own.keys()
        for name, rows in own.items():
            np.testing.assert_allclose(rows, truth[name], rtol=1e-12, atol=1e-15)
    for _, sheet in exercises(60):
        for c in CONVENTIONS:
            assert nothing.values(sheet, c) == by_convention(sheet, c)


def test_deep_networks():
    layers = [
        Layer("one", "A", [[1, -1], [2, 1]]),
        Layer("two", "B", [[1, 2], [-1, 1]]),
        Layer("three", "C", [[1, 3], [2, -1]], "identity"),
    ]
    sheet = Problem(Network(layers), [[Fraction(2), Fraction(1)]], [[Fraction(1), Fraction(2)]])
    marker, truth = Marker(sheet), by_convention(sheet, 0)
    names = set()
    for mistake in catalogue(sheet.network):
        for name, rows in mistake.values(sheet).items():
            if rows != truth[name]:
                (verdict,) = marker.mark([answer(name, rows)]).verdicts
                assert verdict.status == "wrong" and mistake.name in verdict.mistakes
                names.add(mistake.kind)
    assert {"not transposed", "other weights", "forward transposed"} <= names


def test_layers_of_the_same_name_are_told_apart():
    layers = [Layer("dense", "W", [[1]]), Layer("dense", "V", [[2]])]
    sheet = Problem(Network(layers), [[Fraction(1)]], [[Fraction(1)]])
    assert mark(sheet, [typed("z:dense 1", "1"), typed("z:dense 2", "2")]).all_right
