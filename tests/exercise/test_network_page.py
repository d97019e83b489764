"""``mlcore page`` of a network: JavaScript that works it as Python does, in fractions or floats, and a page for it."""

import json
import random
from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np
import pytest
from conftest import axe_findings

from mlcore import Layer, Network
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import ACTIVATIONS, LOSSES, REDUCTIONS, Loss
from mlcore.exercise.kinks import Surroundings
from mlcore.exercise.page import Steps, network_page
from mlcore.exercise.problem import Problem, parse_number

WORK = """(problems) => JSON.stringify(JSON.parse(problems).map(({ steps, given, isRational, conventions }) => {
  const exact = Object.fromEntries(Object.entries(given).map(([key, typed]) => [key, parseNumber(typed)]));
  const { values, links } = forward(steps, exact, isRational);
  const entries = steps.flatMap(({ key }, place) => (key.startsWith("w") ? [place] : []));
  const text = (value) => (isRational ? written(value) : toFloat(value));
  const byKey = (found) => Object.fromEntries(steps.map(({ key }, place) => [key, text(found[place] ?? ZERO)]));
  return {
    values: byKey(values),
    kinks: links.flatMap(({ isKink, place }) => (isKink ? [steps[place].key] : [])),
    gradients: conventions.map((atZero) => byKey(backward(withConvention(links, parseNumber(atZero))))),
    sides: entries.map((place) => [-1, 1].map((side) => text(oneSided(links, place, side)))),
  };
}))"""
CONVENTIONS = ("0", "1/3", "1")
INNER = [name for name in ACTIVATIONS if name != "softmax"]


def random_problem(seed, top=2, units=(1, 1, 2)):
    """A network of any kind; with numbers as small as these, kinks are common."""
    choose, loss = random.Random(seed), [*LOSSES][seed % len(LOSSES)]

    def rows(count, width):
        return [[Fraction(choose.randint(-top, top), choose.choice(units)) for _ in range(width)] for _ in range(count)]

    depth, in_rows, is_shared, has_own = choose.randint(1, 3), *(choose.random() < 0.2 for _ in range(3))
    sizes = [choose.randint(1, 3)] * (depth + 1) if is_shared else [choose.randint(1, 3) for _ in range(depth + 1)]
    names = choose.choices(choose.choice((INNER, ["relu", "leaky-relu", "identity", "relu"])), k=depth)
    names[-1] = choose.choice(LOSSES[loss].outputs or [names[-1], names[-1], "softmax"])
    layers, turned = [], (lambda W: list(zip(*W, strict=True))) if in_rows else list
    for number, activation in enumerate(names):
        i, o = sizes[number : number + 2]
        if number == 0 or not is_shared:
            W, b, U = rows(o, i), rows(1, o)[0], rows(o, 2)
        name = 0 if is_shared else number
        bias = {"bias": f"b{name}", "b": b} if is_shared or choose.random() < 0.4 else {}
        own = {"own": f"U{name}", "U": turned(U)} if has_own and number else {}
        slope = Fraction(1, choose.choice((2, 10))) if activation == "leaky-relu" else None
        layers.append(Layer(f"layer {number}", f"A{name}", turned(W), activation, slope=slope, **bias, **own))
    frozen = ("A0",) if choose.random() < 0.2 and depth > 1 and not is_shared else ()
    settings = Loss(loss, choose.choice(REDUCTIONS), choose.choice((0, 0, Fraction(1, 4))), frozen)
    network, n = Network(layers, settings, "rows" if in_rows else "columns"), choose.choice((1, 1, 1, 3))
    ones = [choose.randrange(sizes[-1]) for _ in range(n)]
    y = [[Fraction(unit == one) for unit in range(sizes[-1])] for one in ones]
    return Problem(network, rows(n, network.features), y if LOSSES[loss].outputs else rows(n, sizes[-1]))


def has_gradients(problem):
    return all(ACTIVATIONS[layer.activation].backward for layer in problem.network.layers)


def data_of(problem, steps):
    """What the scripts of a page work with, and the numbers of the problem by the keys of its steps."""
    rows = {"x": problem.x, "y": problem.y}
    given = {f"{kind}.{s}.{i}": str(rows[kind][s][i]) for kind in rows for s, i in np.ndindex(np.shape(rows[kind]))}
    for name, places in steps.places.items():
        entries = np.array(problem.network.given[name], object)
        given |= {f"w.{place}": str(entries[index]) for index, place in np.ndenumerate(places)}
    return steps.to_data() | {"given": given, "conventions": CONVENTIONS}


def test_chromium_works_networks_of_all_kinds_as_python_does(run, visit, tmp_path):
    run("page", "-o", "sheet.html")
    problems, seen, page = [random_problem(seed) for seed in range(500)], set(), visit(tmp_path / "sheet.html")
    with pytest.raises(Exception, match="undefined"):  # and not the numbers of another activation
        page.evaluate("work({ kind: 'new', terms: [[0, null, '']] }, [1])")
    all_steps = list(map(Steps, problems))
    worked = json.loads(page.evaluate(WORK, json.dumps(list(map(data_of, problems, all_steps)))))
    for problem, steps, found in zip(problems, all_steps, worked, strict=True):
        network, exact = problem.network, Pass(problem.network, problem.x, problem.y)
        number, same = float, partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)
        if network.rational:
            number, same = Fraction, np.testing.assert_array_equal
        trace = exact.trace if network.rational else network.forward(problem.x)

        def of_units(kind, values, trace=trace, number=number):
            return [
                np.reshape([number(values[f"{kind}.{s}.{layer}.{u}"]) for s, u in np.ndindex(z.shape)], z.shape)
                for layer, z in enumerate(trace.z)
            ]

        values, J = found["values"], exact.loss if network.rational else network.objective(trace, problem.y)
        computed = [*of_units("z", values), *of_units("a", values), number(values["J"])]
        for one, other in zip(computed, [*trace.z, *trace.a, J], strict=True):
            same(one, other)
        assert sorted(found["kinks"]) == sorted(f"a.{s}.{layer}.{u}" for s, layer, u in trace.kinks)
        seen |= {(network.loss.name, layer.activation) for layer in network.layers}
        seen |= {(network.rational, "kink")} if trace.kinks else set()
        logs = [tuple(step.terms) for step in steps.steps if step.kind == "log-sum-exp"]
        assert len(logs) == len(set(logs)), "a softmax shares it with its loss"
        if not has_gradients(problem):
            continue
        for convention, gradients in zip(CONVENTIONS, found["gradients"], strict=True):
            at_zero = Fraction(convention)
            expected = exact.backward(at_zero) if network.rational else network.backward(trace, problem.y, at_zero)
            for name, array in expected.arrays.items():
                same([number(gradients[f"w.{place}"]) for place in steps.places[name].flat], array.ravel())
            n = network.share(len(problem.x)).denominator
            for rows, deltas in zip(of_units("z", gradients), expected.deltas, strict=True):
                same(n * rows, deltas)
        if network.rational:
            around = Surroundings(exact)
            places = [place for name in around.arrays for place in steps.places[name].flat]
            for place, row in zip(places, np.eye(around.width, dtype=int), strict=True):
                assert list(map(Fraction, found["sides"][place])) == [
                    side * around.slope(side * row * Fraction(1)) for side in (-1, 1)
                ]
    assert {*product(LOSSES, INNER), *product(LOSSES.keys() - {"binary-cross-entropy"}, ["softmax"])} <= seen
    assert {(True, "kink"), (False, "kink")} <= seen


HOSTILE = """
loss = "cross-entropy"
x = [["0.5", 2], [1, "-1.5"], [0, 1]]
y = [[1, 0], [0, 1], [1, 0]]
l2 = "0.1"
frozen = ["b"]
[[layers]]
name = "</script><script>alert(1)</script>\\u202e"
"</script><b>'" = [["0.5", -1], [1, 2], ["-0.3", "0.7"]]
b = ["0.1", "0.2", "0.3"]
[[layers]]
name = "<img src=x onerror=alert(2)>"
activation = "softmax"
V = [[1, 2, 0], [0, 1, -1]]
c = [0, "0.5"]
"""


def shown(page, key):
    return page.locator(f"span[data-key='{key}'], td[data-key='{key}'], b[data-key='{key}']").inner_text()


def answer(page, key, typed):
    """What an answer is told."""
    field = page.locator(f"[data-answer='{key}']")
    field.fill(typed)
    return field.evaluate("(field) => field.nextElementSibling.textContent")


def test_a_kink_is_explained_and_left_by_keyboard(run, visit, tmp_path):
    assert run("page", "-o", "sheet.html") == (0, "", "Wrote sheet.html.\n")
    page = visit(tmp_path / "sheet.html", 390)
    by_convention = json.loads(run("grad", "--json").out)["exact"]["by_convention"]
    for convention, gradients in by_convention.items():
        assert shown(page, f"at.{convention}") == gradients["V"][0][0].replace("-", "\u2212")
    assert (shown(page, "kinks"), shown(page, "left"), shown(page, "right")) == ("ŷ", "0", "\u22122")
    assert page.inner_text("[data-key=stuck]").endswith("although J falls where V[1,1] grows.")
    page.focus("[name=at_zero]")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#chain").splitlines() == [
        "∂J/∂V[1,1] = ∂J/∂z(ŷ) · h1 = \u22121 · 2 = \u22122",
        "∂J/∂z(ŷ) = ∂J/∂ŷ · φ′(0) = \u22121 · 1 = \u22121",
        "∂J/∂ŷ = ∂J/∂(ŷ \u2212 y) · 1 = \u22121 · 1 = \u22121",
        "∂J/∂(ŷ \u2212 y) = (ŷ \u2212 y) = \u22121",
    ]
    page.focus("[data-steps='1']")
    page.keyboard.press("Enter")
    assert (page.input_value("[name='w.6']"), shown(page, "J")) == ("1/5", "9/50")
    page.focus("[name='w.6']")
    page.keyboard.press("ArrowUp")
    found = page.input_value("[name='w.6']"), shown(page, "d.w.6"), shown(page, "kinks")
    assert found == ("3/10", "\u22124/5", "none")
    page.keyboard.type("0/")
    assert page.inner_text("#problem") == "V[1,1] is not a number: write 2, -0.5 or 1/3."
    for typed, problem in (
        ("1e200", "The values exceed the range of float64 (1.8e308); use smaller numbers."),
        ("9" * 310, "V[1,1] exceeds the range of float64 (1.8e308)."),
        ("9" * 500, "V[1,1] exceeds the range of float64 (1.8e308)."),
        ("1/0", "V[1,1] is not a number: write 2, -0.5 or 1/3."),
    ):
        page.fill("[name='w.6']", typed)
        assert page.inner_text("#problem") == problem
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_numbers_are_dragged_stepped_and_kept_in_a_link(run, visit, tmp_path):
    run("page", "-o", "sheet.html")
    page = visit(tmp_path / "sheet.html", 1400)
    box = page.locator("g.label[data-drag='w.6']").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 29, box["y"] + 5)
    page.evaluate("document.dispatchEvent(new PointerEvent('pointercancel', { bubbles: true }))")  # as when scrolling
    page.mouse.move(box["x"] + 99, box["y"] + 5)
    page.mouse.up()
    assert (page.input_value("[name='w.6']"), page.inner_text("[data-key='z.0.1.0'] >> nth=1")) == ("3/10", "3/5")
    page.click("[data-steps='10']")
    steps = json.loads(run("descend", "--v", "3/10,1", "--steps", 10, "--learning-rate", 0.1, "--json").out)
    for place, value in enumerate(np.ravel(steps["arrays"]["W"]).tolist() + np.ravel(steps["arrays"]["V"]).tolist()):
        assert float(Fraction(page.input_value(f"[name='w.{place}']"))) == pytest.approx(value, abs=1e-12)
    link, J = page.evaluate("document.getElementById('link').hash"), shown(page, "J")
    page.click("[type=reset]")
    page.wait_for_function("document.querySelector('[name=\"w.6\"]').value === '0'")
    page.evaluate("(link) => { location.hash = link }", link)
    page.wait_for_function("document.querySelector('[name=\"w.6\"]').value !== '0'")
    assert shown(page, "J") == J


def test_answers_are_marked_with_hints_and_without_the_truth(run, visit, tmp_path):
    (tmp_path / "net.toml").write_text(run("net", "--v", "1,1").out)
    run("page", "--net", "net.toml", "-o", "sheet.html")
    page = visit(tmp_path / "sheet.html")
    page.check("[value=asked]")
    hidden = page.locator("[data-key^=z], [data-key^=d], .state, #chain, #along").all()
    assert not any(one.is_visible() for one in hidden)
    assert [answer(page, "z.0.0.1", typed) for typed in ("-1", "\u22121,0", "1", "-2/", "-7")] == [
        "✓ right", "✓ right", "✗ check the sign", "✗ is not a number: write 2, -0.5 or 1/3", "✗ not yet",
    ]  # fmt: skip
    assert answer(page, "d.w.0", "2") == "✗ check the factors 2 and ½"
    assert answer(page, "d.w.7", "2") == "✗ that is ∂J/∂W[1,2]"
    page.fill("[name='w.6']", "0")
    assert answer(page, "d.w.6", "-2") == "✓ right with φ′(0) = 1"
    page.fill("[name='w.6']", "0.333")
    told = [answer(page, "J", typed) for typed in ("0.06", "0.1", "0.07")]
    assert told == ["✓ right", "✗ give at least two decimals", "✗ not yet"]


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (820, "dark"), (1400, "light")])
def test_hostile_names_are_text_and_pages_have_no_serious_findings(run, visit, tmp_path, width, scheme):
    (tmp_path / "net.toml").write_text(HOSTILE)
    assert run("page", "--net", "net.toml", "-o", "sheet.html").code == 0
    page = visit(tmp_path / "sheet.html", width, scheme)
    found = page.inner_text("main")
    hostile = "</script><script>alert(1)</script>\ufffd", "<img src=x onerror=alert(2)>", "</script><b>'"
    assert all(text in found for text in hostile)
    assert page.locator("script").count() == 2
    assert page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'stopped')") == "stopped"
    for mode in ("shown", "asked"):
        page.check(f"[value={mode}]")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert axe_findings(page) == []


def test_a_convention_is_offered_once():
    problem = Problem(Network([Layer("one", "W", [[1]])]), [[0]], [[1]], relu_at_zero=parse_number("0.5", "x"))
    assert network_page(problem, "page").count('name="at_zero"') == 3
