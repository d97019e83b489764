"""Drawings of a network: the numbers of the exercise in each format, hostile names, sizes, and rooms for labels."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from xml.etree import ElementTree

import pytest

from mlcore.errors import InputError
from mlcore.exercise.drawing.graph import build
from mlcore.exercise.drawing.markup import to_dot, to_mermaid, to_svg, to_tikz
from mlcore.exercise.drawing.text import to_text
from mlcore.exercise.formats import STYLE
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, default_problem

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE_NAME = '"<b>&\\|]`;#\x1b[2J\u202e\ud800\n'
FORMATS = [to_text, to_mermaid, to_dot, to_svg, to_tikz]


def problem_of(sizes, activations=None, bias=False, samples=1, loss="half-squared", names="W"):
    """A network with small whole weights, and inputs 1, 2, 3 ..."""
    layers = []
    for number, (i, o) in enumerate(zip(sizes, sizes[1:], strict=False), start=1):
        W = [[Fraction((u + 2 * k + number) % 5 - 2) for k in range(i)] for u in range(o)]
        b = [Fraction(u + 1, 2) for u in range(o)] if bias else None
        activation = activations[number - 1] if activations else "relu"
        layers.append(Layer(f"layer {number}", f"{names}{number}", W, activation, f"b{number}" if bias else None, b))
    x = [[Fraction(s + k + 1) for k in range(sizes[0])] for s in range(samples)]
    return Problem(Network(layers, loss), x, [[Fraction(1)] * sizes[-1]] * samples)


EXERCISE, DEEP_PROBLEM = build(default_problem()), problem_of([2, 3, 2, 2], ["tanh", "relu", "identity"], True, 3)
DEEP = build(DEEP_PROBLEM)
MANY = build(problem_of([30, 3, 1]))
WIDE = build(replace(problem_of([2, 2], ["tanh"], names="my weights "), digits=17))


def svg_of(graph):
    return ElementTree.fromstring(to_svg(graph))


def of_class(root, name):
    return [element for element in root.iter() if name in element.get("class", "").split()]


def test_width_of_the_text():
    for graph in (EXERCISE, DEEP, MANY, build(problem_of([2] + [3] * 12)), WIDE):
        text = to_text(graph)
        assert max(map(len, text.splitlines())) <= 80
        assert all(line == line.rstrip() for line in text.splitlines())
        assert all(node.label in text for node in graph.nodes)


def test_wide_letters_keep_the_columns():
    layers = [Layer("隠れ層", "重", [[1, 2]]), Layer("out", "V", [[1]])]
    problem = Problem(Network(layers), [[Fraction(1), Fraction(2)]], [[Fraction(1)]])
    lines = to_text(build(problem)).splitlines()
    arrows = next(line for line in lines if "─ 重 ─►" in line)
    above = next(line for line in lines if "┌─ h1" in line)
    assert arrows.index("►") + 1 + 2 == above.index("┌─ h1")  # the name takes one cell more than it has letters


@pytest.mark.parametrize("graph", [EXERCISE, DEEP, MANY], ids=["exercise", "deep", "many inputs"])
def test_svg_has_an_element_for_each_node_and_edge_and_needs_nothing_else(graph):
    root = svg_of(graph)
    assert not re.search(r"https?:|href|<script|@import|url\(", to_svg(graph).replace(SVG[1:-1], ""))
    assert len(of_class(root, "node")) == len(graph.nodes)
    assert len(of_class(root, "edge")) == len(graph.edges)
    assert len(of_class(root, "ring")) == sum(node.state == "kink" for node in graph.nodes)
    faint = [edge for edge in of_class(root, "edge") if "zero" in edge.get("class").split()]
    assert len(faint) == sum(edge.is_zero for edge in graph.edges)
    titles = [element.find(f"{SVG}title").text for element in of_class(root, "edge")]
    assert titles == [", ".join(edge.lines) for edge in graph.edges]


def rectangles(root, kind):
    for element in of_class(root, kind):
        x, y, width, height = (float(element.get(key)) for key in ("x", "y", "width", "height"))
        yield x, y, x + width, y + height


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


SIZES = [(3, 2, 1), (1, 1), (2, 3, 2, 2), (1, 8, 1), (4, 4, 4), (7, 3, 8, 1), (30, 3, 1), (5, 5, 5)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_svg_labels_have_room(sizes, bias):
    root = svg_of(build(problem_of(sizes, bias=bias)))
    labels = [(left - 4, top - 4, right + 4, bottom + 4) for left, top, right, bottom in rectangles(root, "back")]
    assert not [pair for pair in combinations(labels, 2) if overlap(*pair)], "labels do not touch"
    taken = [*rectangles(root, "back"), *rectangles(root, "card")]
    assert not [pair for pair in combinations(taken, 2) if overlap(*pair)]
    *_, width, height = map(float, root.get("viewBox").split())
    assert all(left >= 0 and top >= 0 and right <= width and bottom <= height for left, top, right, bottom in taken)
    all_labelled = len(of_class(root, "label")) == len(of_class(root, "edge"))
    assert all_labelled != ("Point at an edge" in "".join(root.itertext()))


LAYERS = [
    Layer(HOSTILE_NAME, HOSTILE_NAME, [[1, 2]], "relu", f"b{HOSTILE_NAME}", [1]),
    Layer("%%{init}%%", "end", [[1]]),
]
HOSTILE = build(Problem(Network(LAYERS), [[Fraction(1), Fraction(2)]], [[Fraction(1)]]))


def test_hostile_names_are_printable_everywhere():
    for draw in FORMATS:
        text = draw(HOSTILE)
        text.encode()  # no lone surrogate
        assert all(line.isprintable() for line in text.split("\n")), draw.__name__
    root = svg_of(HOSTILE)
    assert not list(root.iter(f"{SVG}b"))
    assert '"<b>&\\|]`;#�[2J���' in [text.text for text in root.iter(f"{SVG}text")]


def test_hostile_names_in_mermaid():
    for line in to_mermaid(HOSTILE).splitlines()[4:]:
        quoted = line.split('"')
        assert len(quoted) in (1, 3), "one string in a line, and nothing ends it"
        inside = quoted[1].replace("<br/>", "") if len(quoted) == 3 else ""
        assert not re.search(r"[<>`|{}%\\&]|#(?!\d+;)", inside)


def test_hostile_names_in_dot():
    for line in to_dot(HOSTILE).splitlines():
        for string in re.findall(r'"((?:[^"\\]|\\.)*)"', line):
            assert set(re.findall(r"\\(.)", string)) <= {"n", '"', "\\"}
            assert not re.search("&(?!amp;)", string)
        assert '"' not in re.sub(r'"((?:[^"\\]|\\.)*)"', "", line)
    assert '\\"<b>&amp;\\\\|]`;#' in to_dot(HOSTILE)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("graph", [EXERCISE, DEEP, HOSTILE], ids=["exercise", "deep", "hostile"])
def test_graphviz_reads_it(graph):
    done = subprocess.run(["dot", "-Tjson"], input=to_dot(graph), capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0
    assert done.stderr == ""
    drawn = json.loads(done.stdout)
    assert sum(edge.get("style") != "invis" for edge in drawn["edges"]) == len(graph.edges)
    assert sum(node["name"].startswith("n") for node in drawn["objects"]) == len(graph.nodes)


def test_deeper_networks_have_the_networks_numbers():
    labels = "x1 x2 bias a1.1 a1.2 a1.3 bias a2.1 a2.2 bias ŷ1 ŷ2 J"
    assert [node.label for node in DEEP.nodes] == labels.split()
    assert [node.column for node in DEEP.nodes] == sorted(node.column for node in DEEP.nodes)
    assert {node.state for node in DEEP.nodes if node.label.startswith("a1")} == {""}  # smooth
    assert [(edge.name, edge.symbol) for edge in DEEP.edges[-2:]] == [("y1", "dJ/dŷ"), ("y2", "dJ/dŷ")]
    network, x, y = DEEP_PROBLEM.network, DEEP_PROBLEM.x[:1], DEEP_PROBLEM.y[:1]
    expected = network.backward(network.forward(x), y)
    for edge in DEEP.edges[:-2]:
        name, place = edge.name[:-1].split("[")
        index = tuple(int(number) - 1 for number in place.split(","))
        values = network.arrays[name], expected.arrays[name]
        assert edge.texts == tuple(STYLE.text(array[index]) for array in values)
    deltas = [dict(node.rows)["δ"] for node in DEEP.nodes if node.kind == "unit"]
    assert deltas == [STYLE.text(value) for layer in expected.deltas for value in layer[0]]


@pytest.mark.parametrize("said", ["60-2-1 has 64 nodes and 123 edges", "20-20-1 has 42 nodes and 421 edges"])
def test_too_big(said):
    assert all(draw(build(problem_of([56, 2, 1]))) for draw in FORMATS), "the largest is drawn"
    with pytest.raises(InputError, match=f"The network {said} and is too big to draw; at most 60 nodes and 400 edges"):
        build(problem_of([int(size) for size in said.split()[0].split("-")]))


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX engine is installed")
@pytest.mark.parametrize("graph", [EXERCISE, DEEP, MANY, HOSTILE], ids=["exercise", "deep", "many", "hostile"])
def test_tikz_compiles(graph, tmp_path):
    head = "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\\usepackage{amssymb}\\usepackage{tikz}\n"
    (tmp_path / "g.tex").write_text(f"{head}\\begin{{document}}\n{to_tikz(graph)}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "g.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert (done.returncode, "Overfull \\hbox" in done.stdout) == (0, False), done.stdout[-2000:]
