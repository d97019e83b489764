"""The derivation of all gradients as a good student writes it: symbols, shapes, numbers.

A derivation is data: sections of lines, and lines of parts. A part is a formula in the LaTeX subset that
``mlcore.exercise.formats`` knows, or a matrix of numbers. That module makes text, LaTeX or Markdown of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.exercise.exact import ExactGradients, Pass
from mlcore.exercise.formulas import plain_number
from mlcore.exercise.network import Network
from mlcore.exercise.problem import Problem, default_problem, to_toml
from mlcore.exercise.work import check_convention

PHI = {"relu": r"\varphi", "sigmoid": r"\sigma", "tanh": r"\tanh", "identity": ""}
DEFINITIONS = {  # an activation as a function of z, and its derivative
    "relu": (r"\max(0, z)", r"1 \text{ for } z > 0, \; 0 \text{ for } z < 0, \; \text{undefined at } 0"),
    "sigmoid": (r"1/(1 + e^{-z})", r"\sigma(z) (1 - \sigma(z))"),
    "tanh": (None, r"1 - \tanh^2 z"),
}
SLIPS = (
    r"The printed solution has $\varphi(W x)$ in $\partial J/\partial W$ where $\varphi'(W x)$ is meant.",
    r"It substitutes $\varphi'(0) = 0$ and then writes $[-2, 0]$ for $\partial J/\partial V$, which is the value of "
    r"$\varphi'(0) = 1$; the product as written is $[0, 0]$.",
    r"It writes the scalar $V h = 0$ as the vector $[0, 0]$.",
)

Part = str | np.ndarray  # a formula, or numbers of shape (rows, columns)


@dataclass
class Line:
    """One formula, from left to right, and a remark on it, such as the shape of the result."""

    parts: list[Part]
    remark: str = ""


@dataclass
class Section:
    """A step of the derivation with its title."""

    title: str
    lines: list[Line] = field(default_factory=list)
    text: list[str] = field(default_factory=list)  # paragraphs below the lines, with formulas between dollar signs

    def add(self, *parts: Part, remark: str = "") -> None:
        """Append a line."""
        self.lines.append(Line(list(parts), remark))


@dataclass
class Derivation:
    """All sections, and footnotes with formulas between dollar signs."""

    sections: list[Section]
    footnotes: list[str] = field(default_factory=list)


class Symbols:
    """What the quantities of a network are called in formulas, and how they depend on each other, in LaTeX."""

    def __init__(self, network: Network) -> None:
        self.layers, self.depth = network.layers, (depth := len(network.layers))
        self.weights = [_name(layer.weights) for layer in network.layers]
        self.biases = [_name(layer.bias) if layer.bias else None for layer in network.layers]
        self.phi = [PHI[layer.activation] for layer in network.layers]
        hidden = ["h"] if depth == 2 else [f"h_{{{number}}}" for number in range(1, depth)]
        self.inputs = ["x", *hidden]  # of each layer
        self.outputs = [*hidden, r"\hat{y}"]
        self.z = [f"z_{{{number}}}" for number in range(1, depth + 1)]
        self.delta = [rf"\delta_{{{number}}}" for number in range(1, depth + 1)]
        self.error = (r"\sigma(\hat{y})" if network.loss_name == "logistic" else r"\hat{y}") + " - y"
        several = len(network.W[-1]) > 1
        y, y_hat = ("y_k", r"\hat{y}_k") if several else ("y", r"\hat{y}")
        losses = {"half-squared": f"({y} - {y_hat})^2", "logistic": rf"\log(1 + e^{{{y_hat}}}) - {y} {y_hat}"}
        half = r"\frac{1}{2} " if network.loss_name == "half-squared" else ""
        self.loss = half + (r"\sum_k " if several else "") + losses[network.loss_name]

    def affine(self, layer: int, inputs: str) -> str:
        """W x + b with the names of a layer."""
        product = f"{self.weights[layer]} {inputs}"
        return f"{product} + {self.biases[layer]}" if self.biases[layer] else product

    def activated(self, layer: int, z: str) -> str:
        """phi(z), or z where the activation is the identity."""
        return f"{self.phi[layer]}({z})" if self.phi[layer] else z

    def layer(self, layer: int) -> str:
        """The output of a layer as a function of its input: an equation."""
        return f"{self.outputs[layer]} = {self.activated(layer, self.affine(layer, self.inputs[layer]))}"

    def delta_of(self, layer: int) -> str:
        """delta of a layer by the chain rule."""
        above = layer + 1
        pulled = self.error if above == self.depth else rf"{self.weights[above]}^\top {self.delta[above]}"
        return rf"({pulled}) \odot {self.phi[layer]}'({self.z[layer]})" if self.phi[layer] else pulled

    def gradients(self) -> dict[str, str]:
        """The gradients in all arrays by name, from the last layer back to the first, and in x."""
        found = {}
        for number, layer in reversed(list(enumerate(self.layers))):
            found[layer.weights] = rf"{self.delta[number]} {self.inputs[number]}^\top"
            if layer.bias:
                found[layer.bias] = self.delta[number]
        return found | {"x": rf"{self.weights[0]}^\top {self.delta[0]}"}

    def function(self) -> str:
        """The function from x to y_hat as nested symbols."""
        text = "x"
        for layer in range(self.depth):
            inner = f"({text})" if "+" in text and not self.phi[layer - 1] and layer else text
            text = self.activated(layer, self.affine(layer, inner))
        return text


def derive(problem: Problem, relu_at_zero: Fraction = Fraction(0)) -> Derivation:
    """The whole derivation with the numbers of the problem, and with ``relu_at_zero`` for relu'(0).

    Raises: InputError if relu_at_zero is not in [0, 1].
    """
    check_convention(relu_at_zero)
    network, symbols = problem.network, Symbols(problem.network)
    works = [Pass(network, sample.x, sample.y) for sample in problem.samples]
    found = [work.backward(relu_at_zero) for work in works]
    on_kink = any(work.trace.kinks for work in works)
    convention = f", with φ'(0) = {relu_at_zero} by convention" if on_kink else ""
    sections = [_function(symbols, problem)]
    for number, work in enumerate(works, start=1):
        title, loss = (f"Forward, sample {number}", f"J_{{{number}}}") if problem.several else ("Forward", "J")
        sections.append(_forward(symbols, work, title, loss))
    sections.append(_chain_rule(symbols, network))
    for number, (work, gradients) in enumerate(zip(works, found, strict=True), start=1):
        title = f"The numbers{f' of sample {number}' if problem.several else ''}{convention}"
        sections.append(_backward(symbols, work, gradients, title, with_gradients=not problem.several))
    if problem.several:
        sections.append(_mean(symbols, network, found))
    is_exercise = to_toml(problem) == to_toml(default_problem())
    return Derivation(sections, list(SLIPS) if is_exercise else [])


def pose(problem: Problem) -> Derivation:
    """The problem as an exercise: what is given, and what is asked for."""
    symbols, given = Symbols(problem.network), Section("Given")
    for number in range(symbols.depth):
        output, _, function = symbols.layer(number).partition(" = ")
        given.add(output, "=", function)
    given.lines += _function(symbols, problem).lines[1:]
    for layer, W, bias in zip(problem.network.layers, symbols.weights, symbols.biases, strict=True):
        given.add(W, "=", np.array(layer.W, dtype=object))
        if bias:
            given.add(bias, "=", _column(layer.b))
    for number, (x, y) in enumerate(zip(problem.x, problem.y, strict=True), start=1):
        of = f"^{{({number})}}" if problem.several else ""
        given.add(f"x{of}", "=", _column(x))
        given.add(f"y{of}", "=", _column(y))
    arrays = [name for pair in zip(symbols.weights, symbols.biases, strict=True) for name in reversed(pair) if name]
    gradients = " and ".join(rf"$\partial J / \partial {name}$" for name in reversed(arrays))
    questions = [
        r"(a) Write the function $x \mapsto \hat{y}$ in symbols.",
        r"(b) Compute $\hat{y}$ and $J$.",
        f"(c) Derive {gradients} in symbols.",
        "(d) Compute them with the numbers. Where a unit is exactly on the kink of its ReLU, say which value of "
        r"$\varphi'(0)$ you take.",
    ]
    return Derivation([given, Section("Questions", text=questions)])


def _function(symbols: Symbols, problem: Problem) -> Section:
    features, outputs, n = len(problem.x[0]), len(problem.y[0]), len(problem.x)
    section = Section("The function and the loss")
    size = f"{features} features, {outputs} output{'s' * (outputs > 1)}"
    section.add(r"\hat{y}", "=", symbols.function(), remark=size)
    for name in sorted({layer.activation for layer in problem.network.layers} - {"identity"}):
        function, derivative = DEFINITIONS[name]
        if function:
            section.add(f"{PHI[name]}(z)", "=", function)
        section.add(f"{PHI[name]}'(z)", "=", derivative)
    section.add("J_s" if problem.several else "J", "=", symbols.loss)
    if problem.several:
        section.add("J", "=", rf"\frac{{1}}{{{n}}} \sum_s J_s", remark=f"the mean over {n} samples")
    return section


def _forward(symbols: Symbols, work: Pass, title: str, loss: str) -> Section:
    section, trace = Section(title), work.trace
    for layer, z in enumerate(symbols.z):
        b = work.b[layer]
        product: list[Part] = [work.W[layer], work.inputs(layer).T]
        product += [] if b is None else ["+", _column(b)]
        section.add(z, "=", symbols.affine(layer, symbols.inputs[layer]), "=", *product, "=", trace.z[layer].T)
        on_kink = ", ".join(str(kink.unit + 1) for kink in trace.kinks if kink.layer == layer)
        remark = f"unit {on_kink} is on the kink" if on_kink else ""
        section.add(symbols.outputs[layer], "=", symbols.activated(layer, z), "=", trace.a[layer].T, remark=remark)
    y = ", ".join(map(plain_number, work.y[0]))
    section.add(loss, "=", _column([trace.loss]), remark=f"y = ({y})" if "," in y else f"y = {y}")
    return section


def _chain_rule(symbols: Symbols, network: Network) -> Section:
    section, formulas = Section("The chain rule, from the loss back to the input"), symbols.gradients()
    section.add(_partial(r"\hat{y}"), "=", symbols.error, remark=_shape(len(network.W[-1]), 1))
    for number, layer in reversed(list(enumerate(network.layers))):
        rows, columns = network.W[number].shape
        delta = f"{symbols.delta[number]} = {_partial(symbols.z[number])}"
        section.add(delta, "=", symbols.delta_of(number), remark=_shape(rows, 1))
        section.add(_partial(symbols.weights[number]), "=", formulas[layer.weights], remark=_shape(rows, columns))
        if bias := symbols.biases[number]:
            section.add(_partial(bias), "=", symbols.delta[number], remark=_shape(rows, 1))
    return section


def _backward(symbols: Symbols, work: Pass, found: ExactGradients, title: str, with_gradients: bool) -> Section:
    section = Section(title)
    for layer in reversed(range(symbols.depth)):
        delta = found.deltas[layer].T
        slopes: list[Part] = [r"\odot", found.slopes[layer].T] if symbols.phi[layer] else []
        error: list[Part] = ["(", work.predicted().T, "-", work.y.T, ")"]
        if layer < symbols.depth - 1:
            error = [work.W[layer + 1].T, found.deltas[layer + 1].T]
            if slopes:
                error = ["(", *error, ")", *slopes, "=", found.pulled[layer].T]
        section.add(symbols.delta[layer], "=", *error, *slopes, "=", delta)
        if with_gradients:
            dW = found.arrays[work.layers[layer].weights]
            section.add(_partial(symbols.weights[layer]), "=", delta, work.inputs(layer), "=", dW)
            if bias := symbols.biases[layer]:
                section.add(_partial(bias), "=", symbols.delta[layer], "=", delta)
    return section


def _mean(symbols: Symbols, network: Network, found: Sequence[ExactGradients]) -> Section:
    section, n = Section("The mean over the samples"), len(found)
    for number, layer in reversed(list(enumerate(network.layers))):
        terms = [gradients.arrays[layer.weights] for gradients in found]
        total = [part for term in terms for part in ("+", term)][1:]
        mean = np.sum(terms, axis=0) / n
        section.add(_partial(symbols.weights[number]), "=", rf"\frac{{1}}{{{n}}} (", *total, ")", "=", mean)
        if bias := symbols.biases[number]:
            delta = np.sum([gradients.deltas[number] for gradients in found], axis=0)
            section.add(_partial(bias), "=", delta.T / n)
    return section


def _partial(name: str) -> str:
    return rf"\frac{{\partial J}}{{\partial {name}}}"


def _shape(rows: int, columns: int) -> str:
    return f"{rows} \N{MULTIPLICATION SIGN} {columns}"


def _column(values: Any) -> np.ndarray:
    return np.array(values, dtype=object).reshape(-1, 1)


def _name(name: str) -> str:
    """A user's name in LaTeX: W1 has a subscript, longer names are upright, and nothing in it is a command."""
    if match := re.fullmatch(r"([A-Za-z])_?(\d+)", name):
        return f"{match[1]}_{{{match[2]}}}"
    if len(name) == 1 and name.isalpha():
        return name
    return r"\mathrm{" + re.sub(r"[^\w.,:-]", "", name).replace("_", r"\_") + "}"
