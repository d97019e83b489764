"""The derivation ends in the gradients, and every format of it says the same."""

import random
import re
import shutil
import subprocess
from fractions import Fraction

import pytest
from test_exact import matrix, random_network

from mlcore.exercise.derivation import derive
from mlcore.exercise.exact import ExactNetwork
from mlcore.exercise.formats import to_latex, to_markdown, to_text
from mlcore.exercise.formulas import to_unicode
from mlcore.exercise.network import Layer, Network
from mlcore.exercise.problem import Problem, change, default_problem


@pytest.mark.parametrize("convention", [Fraction(0), Fraction(1, 2), Fraction(1)])
def test_last_lines_are_the_exact_gradients(convention):
    generator = random.Random(8)
    for _ in range(200):
        network, x, y = random_network(generator)
        found = derive(Problem(network, x, y), convention)
        expected = ExactNetwork(network, x, y).backward(convention).arrays
        for layer in network.layers:
            assert found.gradients[layer.weights] == expected[layer.weights]
            if layer.bias:
                assert found.gradients[layer.bias] == [[value] for value in expected[layer.bias]]
        shown = [
            line.parts[-1].rows
            for section in found.sections
            for line in section.lines
            if not isinstance(line.parts[-1], str)
        ]
        assert all(gradient in shown for gradient in found.gradients.values())


def test_smooth_network_agrees_with_the_kernels():
    layers = [Layer("a", "A", [[1, 2], [3, -1]], "tanh", "c", [1, 0]), Layer("b", "B", [[1, -1]], "identity")]
    sheet = Problem(Network(layers, "logistic"), [[Fraction(1, 2), 1]], [[1]])
    trace = sheet.network.forward(sheet.x)
    expected = sheet.network.backward(trace, sheet.y).arrays
    found = derive(sheet).gradients
    for name in ("A", "B"):
        assert found[name] == [pytest.approx(row, rel=1e-9) for row in expected[name].tolist()]


def test_text_of_the_exercise():
    text = to_text(derive(default_problem()))
    for line in (
        "  ŷ = φ(V φ(W x))   3 features, 1 output",
        "  δ₂ = ∂J/∂z₂ = (ŷ − y) ⊙ φ'(z₂)   1 × 1",
        "  ∂J/∂V = δ₂ hᵀ   1 × 2",
        "  δ₁ = ∂J/∂z₁ = (Vᵀ δ₂) ⊙ φ'(z₁)   2 × 1",
        "  ∂J/∂W = δ₁ xᵀ   2 × 3",
        "  ∂J/∂V = 0 [2  0] = [0  0]",
        "The numbers, with φ'(0) = 0 by convention",
        "1. The printed solution has φ(W x) in ∂J/∂W where φ'(W x) is meant.",
    ):
        assert line in text.splitlines(), line
    assert max(map(len, text.splitlines())) <= 80
    assert "∂J/∂V = −1 [2  0] = [−2  0]" in to_text(derive(default_problem(), Fraction(1)))


def test_footnotes_are_for_the_printed_sheet_only():
    assert len(derive(default_problem()).footnotes) == 3
    assert derive(change(default_problem(), y="2")).footnotes == []


def test_formats_hold_the_same_formulas():
    derivation = derive(change(default_problem(), x="1,2,1;1/2,0,1", y="1;-2"), Fraction(1, 2))
    latex, markdown = to_latex(derivation), to_markdown(derivation)
    formulas = re.findall(r"^  .*?(?= \\\\$|$)", latex, re.MULTILINE)
    assert formulas == re.findall(r"^  .*?(?= \\\\$|$)", markdown, re.MULTILINE)
    assert len(formulas) == sum(len(section.lines) for section in derivation.sections)
    assert latex.count(r"\begin") == latex.count(r"\end")
    assert latex.count("{") == latex.count("}")


def test_hostile_names_are_no_latex_commands():
    layers = [Layer("a", r"W\input{/etc/passwd}", [[1]]), Layer("b", "long name_1", [[1]])]
    latex = to_latex(derive(Problem(Network(layers), [[1]], [[2]])))
    assert r"\input" not in latex
    assert r"\mathrm{Winputetcpasswd}" in latex


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no LaTeX engine is installed")
@pytest.mark.parametrize("convention", [Fraction(0), Fraction(1)])
def test_latex_compiles(tmp_path, convention):
    generator = random.Random(4)
    network, x, y = random_network(generator)
    sheets = [default_problem(), change(default_problem(), x="1,2,1;1/2,0,1", y="1;-2"), Problem(network, x, y)]
    body = "\n".join(to_latex(derive(sheet, convention)) for sheet in sheets)
    (tmp_path / "d.tex").write_text(
        "\\documentclass{article}\\usepackage{amsmath}\\begin{document}\n" + body + "\\end{document}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"\frac{\partial J}{\partial W_{1}}", "∂J/∂W₁"),
        (r"\delta_{12} h_{3}^\top", "δ₁₂ h₃ᵀ"),
        (r"\frac{1}{2} (y - \hat{y})^2", "½ (y − ŷ)²"),
        (r"\frac{1}{3} \sum_s J_s", "1/3 Σₛ Jₛ"),
        (r"\mathrm{long\_name} x", "long_name x"),
    ],
)
def test_unicode(formula, expected):
    assert to_unicode(formula) == expected


def test_wide_formulas_are_broken():
    generator = random.Random(1)
    network = Network([Layer("a", "A", matrix(generator, 6, 8, 9)), Layer("b", "B", matrix(generator, 1, 6, 9))])
    text = to_text(derive(Problem(network, matrix(generator, 1, 8), [[1]])))
    assert max(map(len, text.splitlines())) <= 80
