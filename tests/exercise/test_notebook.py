"""What notebooks show: formulas that are escaped, and pictures; README's example runs as a doctest."""

from fractions import Fraction
from xml.etree import ElementTree

from mlcore import Layer, Network
from mlcore.exercise.answers import parse_answer
from mlcore.exercise.derivation import derive
from mlcore.exercise.drawing.graph import build
from mlcore.exercise.marking import Marker
from mlcore.exercise.problem import Problem, default_problem


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
    hostile = "<script>alert(1)</script>$&"
    network = Network([Layer(hostile, hostile, [[1, 2]], bias="b<i>", b=[1])])
    problem = Problem(network, [[Fraction(1), Fraction(2)]], [[Fraction(1)]])
    trace = problem.network.forward(problem.x)
    marking = Marker(problem).mark([parse_answer(f"d{hostile}", "1,2"), parse_answer(f"z:{hostile}", "1")])
    for one in (problem.network, trace, problem.network.backward(trace, problem.y), derive(problem), marking):
        assert shown(one._repr_html_())[1] <= {"div", "h4", "p", "table", "tr", "td", "th", "pre"}
    assert Network([Layer("a", "h", [[1]]), Layer("b", "V", [[1]])])._repr_html_() is None  # h is the hidden layer
