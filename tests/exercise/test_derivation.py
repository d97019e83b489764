"""The derivation ends in the gradients, and every format of it says the same."""

import random
import re
from fractions import Fraction

import numpy as np
import pytest
from test_exact import matrix, random_network

from mlcore.errors import InputError
from mlcore.exercise.derivation import derive
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import to_latex, to_markdown, to_text, to_unicode
from mlcore.exercise.functions import LOSSES, Loss
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, change, default_problem, parse_rows


def shown_gradients(problem, relu_at_zero=Fraction(0)):
    """The last part of the last line for each array, by its symbol."""
    lines = [line for section in derive(problem, relu_at_zero) for line in section.lines]
    return {line.parts[0]: line.parts[-1] for line in lines if not isinstance(line.parts[-1], str)}


def symbol(name):
    return rf"\frac{{\partial J}}{{\partial {name[0]}_{{{name[1:]}}}}}"


@pytest.mark.parametrize("convention", [Fraction(0), Fraction(1, 2), Fraction(1)])
def test_last_lines_are_the_exact_gradients(convention):
    generator = random.Random(8)
    for _ in range(50):
        network, x, y = random_network(generator)
        shown = shown_gradients(Problem(network, x, y), convention)
        for name, expected in Pass(network, x, y).backward(convention).arrays.items():
            found = shown[symbol(name)]
            np.testing.assert_array_equal(found if np.ndim(expected) == 2 else found[:, 0], expected)


def test_slips_are_those_of_the_printed_sheet():
    assert derive(default_problem())[-1].title == "Slips of the printed solution"
    assert derive(change(default_problem(), y="2"))[-1].title.startswith("The numbers")
    assert "∂J/∂V = −1 [2  0] = [−2  0]" in to_text(derive(default_problem(), Fraction(1)))


def test_formats_hold_the_same_formulas():
    derivation = derive(change(default_problem(), x="1,2,1;1/2,0,1", y="1;-2"), Fraction(1, 2))
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


def test_primes_and_indices_of_names_are_shown():
    names = {"W'": "W'", "W*": "W*", "W_1": "W₁", "W_{2}": "W₂", "W_xh": "W_xh", "Theta": "Theta"}
    text = to_text(derive(Problem(Network([Layer(name, name, [[1]]) for name in names]), [[1]], [[2]])))
    assert all(f"∂J/∂{shown} = " in text for shown in names.values())


@pytest.mark.parametrize(
    ("name", "other"), [("z1", "z₁"), ("h", "h"), ("J", "J"), ("y", "y"), ("V_1", "V1"), ("h_1", "h₁"), ("φ", "φ")]
)
def test_names_that_would_be_taken_for_another_are_refused(name, other):
    layers = [Layer("a", name, [[1]]), Layer("b", "V1", [[1]]), Layer("c", "A", [[1]])]
    if name == "h":
        layers = layers[:2]
    with pytest.raises(
        InputError, match=f"The array '{name}' cannot be told from {other}|'V1' cannot be told from V_1"
    ):
        derive(Problem(Network(layers), [[1]], [[2]]))


def test_decimals_stay_decimals_and_have_the_digits_asked_for():
    layers = [Layer("a", "W", parse_rows("0.15 1", "W"), "identity")]
    problem = Problem(Network(layers), parse_rows("1/3 2", "x"), [[1]], digits=3)
    text = to_text(derive(problem, learning_rate=Fraction(1, 2), optimizer="SGD"), problem.style)
    assert "z₁ = W x = [0.15  1] [0.333] = 2.05" in text
    assert "new W = W − η ∂J/∂W = [0.15  1] − 1/2 [0.35  2.1] = [−0.025  −0.05]" in text
    assert "3/20" not in text


def test_what_belongs_to_samples_is_of_their_own_losses():
    """The mean is taken once: in the gradients of the arrays."""
    layers = [Layer("hidden", "W", [[1, 0], [1, -1]]), Layer("output", "V", [[2, 1]], "identity")]
    problem = Problem(Network(layers), [[1, 2], [2, 1]], [[1], [2]])
    text = to_text(derive(problem))
    assert "δ₂ = ∂Jₛ/∂z₂ = ŷ − y" in text
    assert "∂J/∂V = ½ Σₛ δ₂ hᵀ" in text
    assert "δ₂ = ( 2 − 1 ) = 1" in text
    assert "δ₂ = ( 5 − 2 ) = 3" in text


@pytest.mark.parametrize("loss", LOSSES)
def test_last_lines_are_the_gradients_of_every_loss(loss):
    output = (LOSSES[loss].outputs or ("", "softmax"))[1]
    hidden = Layer("a", "A", [[1, 2], [3, -1]], "leaky-relu", "b", [1, 0])
    layers = [hidden, Layer("b", "B", [[1, -1], [2, 1]], output)]
    problem = Problem(Network(layers, Loss(loss, l2=2)), [[Fraction(1, 2), 1]], [[1, 0]])
    expected = problem.network.backward(problem.network.forward(problem.x), problem.y).arrays
    shown = shown_gradients(problem)
    for name in ("A", "B", "b"):
        found = shown[rf"\frac{{\partial J}}{{\partial {name}}}"].astype(float)
        np.testing.assert_allclose(found if name != "b" else found[:, 0], expected[name], rtol=1e-12)


def test_what_is_too_wide_is_broken_or_shown_by_its_shape():
    generator = random.Random(1)
    network = Network([Layer("a", "A", matrix(generator, 3, 40, 9))])
    latex = to_latex(derive(Problem(network, matrix(generator, 1, 40), [[1, 2, 3]])))
    assert r"[3 \times 40]" in latex
    assert r"[40 \times 1]" in latex
    network = Network([Layer("a", "A", matrix(generator, 6, 8, 9)), Layer("b", "B", matrix(generator, 1, 6, 9))])
    text = to_text(derive(Problem(network, matrix(generator, 1, 8), [[1]])))
    assert max(map(len, text.splitlines())) <= 80
