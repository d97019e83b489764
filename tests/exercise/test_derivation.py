"""The derivation ends in the gradients, and every format of it says the same."""

import random
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from test_exact import matrix
from test_network_page import has_gradients, random_problem

from mlcore.exercise.derivation import derive
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import to_latex, to_markdown, to_text, to_unicode
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


def test_hostile_names_are_no_latex_commands():
    layers = [Layer("a", r"W\input{/etc/passwd}", [[1]]), Layer("b", "long name_1", [[1]])]
    latex = to_latex(derive(Problem(Network(layers), [[1]], [[2]])))
    assert r"\input" not in latex
    assert r"\mathrm{Winputetcpasswd}" in latex


def test_unicode():
    assert to_unicode(r"\frac{1}{2} (y - \hat{y})^2 + \frac{1}{3} \sum_s J_s") == "½ (y − ŷ)² + 1/3 Σₛ Jₛ"


def test_what_is_too_wide_is_broken_or_shown_by_its_shape():
    generator = random.Random(1)
    network = Network([Layer("a", "A", matrix(generator, 3, 40, 9))])
    latex = to_latex(derive(Problem(network, matrix(generator, 1, 40), [[1, 2, 3]])))
    assert r"[3 \times 40]" in latex
    assert r"[40 \times 1]" in latex
    network = Network([Layer("a", "A", matrix(generator, 6, 8, 9)), Layer("b", "B", matrix(generator, 1, 6, 9))])
    text = to_text(derive(Problem(network, matrix(generator, 1, 8), [[1]])))
    assert max(map(len, text.splitlines())) <= 80
