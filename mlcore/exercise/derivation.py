"""The derivation of all gradients as a good student writes it: symbols, shapes, numbers.

A derivation is data: sections of lines, and lines of parts. A part is a formula in the LaTeX subset that
``mlcore.exercise.formats`` knows, or a matrix of numbers. That module makes text, LaTeX or Markdown of it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.exercise.formulas import plain_number
from mlcore.exercise.network import Network
from mlcore.exercise.problem import Problem, default_problem, to_toml
from mlcore.exercise.work import check_convention, passes

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
        self.depth = depth = len(network.layers)
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

    def layer(self, layer: int) -> list[Part]:
        """The output of a layer as a function of its input: an equation."""
        return [self.outputs[layer], "=", self.activated(layer, self.affine(layer, self.inputs[layer]))]

    def pulled_back(self, layer: int) -> str:
        """The derivative of J in the output of a layer."""
        above = layer + 1
        return self.error if above == self.depth else rf"{self.weights[above]}^\top {self.delta[above]}"

    def delta_of(self, layer: int) -> str:
        """delta of a layer by the chain rule."""
        pulled = self.pulled_back(layer)
        return rf"({pulled}) \odot {self.phi[layer]}'({self.z[layer]})" if self.phi[layer] else pulled

    def gradient_of(self, layer: int) -> str:
        """The gradient in the weights of a layer."""
        return rf"{self.delta[layer]} {self.inputs[layer]}^\top"

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
    symbols = Symbols(problem.network)
    samples = [_Sample(sample, relu_at_zero) for sample in problem.samples]
    on_kink = any(sample.kinks(layer) for sample in samples for layer in range(symbols.depth))
    convention = f", with φ'(0) = {relu_at_zero} by convention" if on_kink else ""
    sections = [_function(symbols, problem)]
    for number, sample in enumerate(samples, start=1):
        title, loss = ("Forward", "J") if not problem.several else (f"Forward, sample {number}", f"J_{{{number}}}")
        sections.append(_forward(symbols, sample, title, loss))
    sections.append(_chain_rule(symbols, problem.network))
    for number, sample in enumerate(samples, start=1):
        of = f" of sample {number}" if problem.several else ""
        sections.append(_backward(symbols, sample, f"The numbers{of}{convention}", not problem.several))
    if problem.several:
        sections.append(_mean(symbols, samples))
    is_exercise = to_toml(problem) == to_toml(default_problem())
    return Derivation(sections, list(SLIPS) if is_exercise else [])


def pose(problem: Problem) -> Derivation:
    """The problem as an exercise: what is given, and what is asked for."""
    symbols, given = Symbols(problem.network), Section("Given")
    for layer in range(symbols.depth):
        given.add(*symbols.layer(layer))
    given.lines += _function(symbols, problem).lines[1:]
    for layer, W, b in zip(problem.network.layers, symbols.weights, symbols.biases, strict=True):
        given.add(W, "=", _matrix(layer.W))
        if b:
            given.add(b, "=", _matrix(layer.b))
    for number, (x, y) in enumerate(zip(problem.x, problem.y, strict=True), start=1):
        of = f"^{{({number})}}" if problem.several else ""
        given.add(f"x{of}", "=", _matrix(x))
        given.add(f"y{of}", "=", _matrix(y))
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


class _Sample:
    """All numbers of one sample, as matrices; vectors are columns. Lists are indexed by layer."""

    def __init__(self, problem: Problem, relu_at_zero: Fraction) -> None:
        found = passes(problem)[-1]
        trace, gradients = found.trace, found.backward(relu_at_zero)
        self.network, number = problem.network, Fraction if found.exact else float
        self.W = [_matrix(W) for W in found.W]
        self.b = [None if b is None else _matrix(b) for b in found.b]
        self.z, self.a, self.delta = ([_matrix(rows[0]) for rows in of] for of in (trace.z, trace.a, gradients.deltas))
        self.inputs = [_matrix(trace.x[0]), *self.a[:-1]]
        self.y, self.loss = _matrix(found.y[0]), _matrix([found.loss])
        self.predicted = self.a[-1]  # what y is compared with
        if self.network.loss_name == "logistic":
            self.predicted = np.frompyfunc(lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0, 1, 1)(self.a[-1])
        self.slopes = [
            {
                "relu": np.where(z == 0, number(relu_at_zero), (z > 0) * number(1)),
                "sigmoid": a * (1 - a),
                "tanh": 1 - a * a,
            }.get(layer.activation)
            for layer, z, a in zip(self.network.layers, self.z, self.a, strict=True)
        ]

    def outer(self, layer: int) -> np.ndarray:
        """The gradient in the weights of a layer."""
        return self.delta[layer] @ self.inputs[layer].T

    def kinks(self, layer: int) -> str:
        """A remark on the units of a layer that are on their kink."""
        at = [str(unit) for unit, z in enumerate(self.z[layer].flat, start=1) if z == 0]
        is_relu = self.network.layers[layer].activation == "relu"
        return f"unit {', '.join(at)} is on the kink" if is_relu and at else ""


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


def _forward(symbols: Symbols, sample: _Sample, title: str, loss: str) -> Section:
    section = Section(title)
    for layer, z in enumerate(symbols.z):
        bias = ["+", sample.b[layer]] if symbols.biases[layer] else []
        product = [sample.W[layer], sample.inputs[layer], *bias]
        section.add(z, "=", symbols.affine(layer, symbols.inputs[layer]), "=", *product, "=", sample.z[layer])
        activated = [symbols.outputs[layer], "=", symbols.activated(layer, z), "=", sample.a[layer]]
        section.add(*activated, remark=sample.kinks(layer))
    y = ", ".join(plain_number(value) for value in sample.y.flat)
    section.add(loss, "=", sample.loss, remark=f"y = ({y})" if len(sample.y) > 1 else f"y = {y}")
    return section


def _chain_rule(symbols: Symbols, network: Network) -> Section:
    section = Section("The chain rule, from the loss back to the input")
    section.add(_partial(r"\hat{y}"), "=", symbols.error, remark=_shape(len(network.W[-1]), 1))
    for layer in reversed(range(symbols.depth)):
        rows, columns = network.W[layer].shape
        delta = f"{symbols.delta[layer]} = {_partial(symbols.z[layer])}"
        section.add(delta, "=", symbols.delta_of(layer), remark=_shape(rows, 1))
        section.add(_partial(symbols.weights[layer]), "=", symbols.gradient_of(layer), remark=_shape(rows, columns))
        if bias := symbols.biases[layer]:
            section.add(_partial(bias), "=", symbols.delta[layer], remark=_shape(rows, 1))
    return section


def _backward(symbols: Symbols, sample: _Sample, title: str, with_gradients: bool) -> Section:
    section = Section(title)
    for layer in reversed(range(symbols.depth)):
        slope = [] if sample.slopes[layer] is None else [r"\odot", sample.slopes[layer]]
        error: list[Part] = ["(", sample.predicted, "-", sample.y, ")"]
        if layer < symbols.depth - 1:
            error = [sample.W[layer + 1].T, sample.delta[layer + 1]]
            if slope:
                error = ["(", *error, ")", *slope, "=", sample.W[layer + 1].T @ sample.delta[layer + 1]]
        section.add(symbols.delta[layer], "=", *error, *slope, "=", sample.delta[layer])
        if with_gradients:
            factors = sample.delta[layer], sample.inputs[layer].T
            section.add(_partial(symbols.weights[layer]), "=", *factors, "=", sample.outer(layer))
            if bias := symbols.biases[layer]:
                section.add(_partial(bias), "=", symbols.delta[layer], "=", sample.delta[layer])
    return section


def _mean(symbols: Symbols, samples: Sequence[_Sample]) -> Section:
    section, n = Section("The mean over the samples"), len(samples)
    for layer in reversed(range(symbols.depth)):
        terms: list[Part] = []
        for sample in samples:
            terms += ["+", sample.outer(layer)]
        mean = sum(sample.outer(layer) for sample in samples) / n
        section.add(_partial(symbols.weights[layer]), "=", rf"\frac{{1}}{{{n}}} (", *terms[1:], ")", "=", mean)
        if bias := symbols.biases[layer]:
            section.add(_partial(bias), "=", sum(sample.delta[layer] for sample in samples) / n)
    return section


def _partial(name: str) -> str:
    return rf"\frac{{\partial J}}{{\partial {name}}}"


def _shape(rows: int, columns: int) -> str:
    return f"{rows} \N{MULTIPLICATION SIGN} {columns}"


def _matrix(values: Any) -> np.ndarray:
    """The values as a matrix of Python objects; a vector is a column."""
    array = np.array(values, dtype=object)
    return array.reshape(-1, 1) if array.ndim == 1 else array


def _name(name: str) -> str:
    """A user's name in LaTeX: W1 has a subscript, longer names are upright, and nothing in it is a command."""
    if match := re.fullmatch(r"([A-Za-z])_?(\d+)", name):
        return f"{match[1]}_{{{match[2]}}}"
    if len(name) == 1 and name.isalpha():
        return name
    return r"\mathrm{" + re.sub(r"[^\w.,:-]", "", name).replace("_", r"\_") + "}"
