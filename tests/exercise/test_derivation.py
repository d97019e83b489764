"""The derivation ends in the gradients, and every format of it says the same; what notebooks show."""

import random
import re
from dataclasses import replace
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
from test_exact import matrix
from test_network_page import has_gradients, random_problem

from mlcore.exercise.answers import parse_answer
from mlcore.exercise.derivation import derive
from mlcore.exercise.drawing.graph import build
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import to_latex, to_markdown
from mlcore.exercise.marking import Marker
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, change, default_problem


@pytest.mark.parametrize("convention", [Fraction(0), Fraction(1, 2), Fraction(1)])
def test_last_lines_are_the_gradients(convention):
    """Of networks of all kinds, for each array by its symbol."""
    for problem in filter(has_gradients, map(random_problem, range(100))):
        lines = [line for section in derive(replace(problem, relu_at_zero=convention)) for line in section.lines]
        shown = {line.parts[0]: line.parts[-1] for line in lines if not isinstance(line.parts[-1], str)}
        for name, expected in Pass(problem.network, problem.x, problem.y).backward(convention).arrays.items():
            found = shown[rf"\frac{{\partial J}}{{\partial {name[0]}_{{{name[1:]}}}}}"]
            assert found.shape == expected.shape or expected.ndim == 1
            np.testing.assert_array_equal(found.ravel(), expected.ravel())


def test_formats_hold_the_same_formulas():
    derivation = derive(change(default_problem(), x="1,2,1;1/2,0,1", y="1;-2"))
    latex, markdown = to_latex(derivation), to_markdown(derivation)
    formulas = re.findall(r"^  [^&].*?(?= \\\\$|$)", latex, re.MULTILINE)
    assert formulas == re.findall(r"^  [^&].*?(?= \\\\$|$)", markdown, re.MULTILINE)
    assert len(formulas) == sum(len(section.lines) for section in derivation)
    assert latex.count(r"\begin") == latex.count(r"\end")
    assert latex.count("{") == latex.count("}")


def test_what_is_too_wide_is_shown_by_its_shape():
    generator = random.Random(1)
    network = Network([Layer("a", "A", matrix(generator, 3, 40, 9))])
    latex = to_latex(derive(Problem(network, matrix(generator, 1, 40), [[1, 2, 3]])))
    assert r"[3 \times 40]" in latex
    assert r"[40 \times 1]" in latex


def shown(html):
    """All text of a fragment of HTML, which has to be well-formed, and its elements."""
    root = ElementTree.fromstring(f"<div>{html}</div>")
    return "".join(root.itertext()), {element.tag for element in root.iter()}


def test_values_are_shown_as_formulas():
    problem = default_problem()
    network = Network(problem.network.layers)
    trace = network.forward([[1, 2, 1], [0, 1, 1]])
    for one, formula in (
        (network, r"h &= \varphi(W x)"),
        (trace, r"z_{1} &= \begin{pmatrix} 2 & 1 \\ -1 & -1 \end{pmatrix}"),
        (network.backward(trace, [[1], [2]], 1), r"\partial V} &= \begin{pmatrix} -2 & 0 \end{pmatrix}"),
        (derive(problem), r"\delta_{2} &= ( 0 - 1 ) \odot 0 = 0"),
    ):
        text, tags = shown(one._repr_html_())
        assert formula in text
        assert formula in one._repr_latex_()
        assert tags == {"div", "h4", "p"}
    assert build(problem)._repr_svg_().startswith("<svg")


def test_names_are_escaped():
    hostile = r"<script>\input{a}</script>$&"
    network = Network([Layer(hostile, hostile, [[1, 2]], bias="b<i>", b=[1])])
    problem = Problem(network, [[Fraction(1), Fraction(2)]], [[Fraction(1)]])
    trace = problem.network.forward(problem.x)
    marking = Marker(problem).mark([parse_answer(f"d{hostile}", "1,2"), parse_answer(f"z:{hostile}", "1")])
    for one in (problem.network, trace, problem.network.backward(trace, problem.y), derive(problem), marking):
        assert shown(one._repr_html_())[1] <= {"div", "h4", "p", "table", "tr", "td", "th", "pre"}
    latex = to_latex(derive(problem))
    assert (r"\input" in latex, r"\mathrm{scriptinputascript}" in latex) == (False, True)
    assert Network([Layer("a", "h", [[1]]), Layer("b", "V", [[1]])])._repr_html_() is None  # h is the hidden layer
