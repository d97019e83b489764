"""The derivation of all gradients as a good student writes it: symbols, shapes, numbers.

A derivation is data, sections of formulas; ``mlcore.exercise.formats`` makes text, LaTeX or Markdown of it.
"""

import re
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.exercise.exact import ExactGradients, Pass
from mlcore.exercise.formats import Part, Section, plain_number
from mlcore.exercise.network import Network
from mlcore.exercise.problem import Problem, default_problem, to_toml
from mlcore.exercise.work import convention

PHI = {"relu": r"\varphi", "sigmoid": r"\sigma", "tanh": r"\tanh", "identity": ""}
DEFINITIONS = {  # an activation as a function of z, and its derivative
    "relu": (r"\max(0, z)", r"1 \text{ for } z > 0, \; 0 \text{ for } z < 0, \; \text{undefined at } 0"),
    "sigmoid": (r"1/(1 + e^{-z})", r"\sigma(z) (1 - \sigma(z))"),
    "tanh": (None, r"1 - \tanh^2 z"),
}
SLIPS = [
    r"1. It has $\varphi(W x)$ in $\partial J/\partial W$ where $\varphi'(W x)$ is meant.",
    r"2. It substitutes $\varphi'(0) = 0$ and then writes $[-2, 0]$ for $\partial J/\partial V$, which is the value of "
    r"$\varphi'(0) = 1$; the product as written is $[0, 0]$.",
    r"3. It writes the scalar $V h = 0$ as the vector $[0, 0]$.",
]


class Symbols:
    """What the quantities of a network are called in formulas, and how they depend on each other, in LaTeX."""

    def __init__(self, network: Network) -> None:
        self.layers, self.depth = network.layers, (depth := len(network.layers))
        self.names = {name: _name(name) for name in network.arrays}
        self.weights = [self.names[layer.weights] for layer in network.layers]
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
        bias = self.layers[layer].bias
        return f"{self.weights[layer]} {inputs}" + (f" + {self.names[bias]}" if bias else "")

    def activated(self, layer: int, z: str) -> str:
        """phi(z), or z where the activation is the identity."""
        return f"{self.phi[layer]}({z})" if self.phi[layer] else z

    def layer(self, layer: int) -> str:
        """The output of a layer as a function of its input."""
        return self.activated(layer, self.affine(layer, self.inputs[layer]))

    def function(self) -> str:
        """The function from x to y_hat as nested symbols."""
        text = "x"
        for layer in range(self.depth):
            inner = f"({text})" if "+" in text and not self.phi[layer - 1] and layer else text
            text = self.activated(layer, self.affine(layer, inner))
        return text

    def delta_of(self, layer: int) -> str:
        """delta of a layer by the chain rule."""
        above = layer + 1
        pulled = self.error if above == self.depth else rf"{self.weights[above]}^\top {self.delta[above]}"
        return rf"({pulled}) \odot {self.phi[layer]}'({self.z[layer]})" if self.phi[layer] else pulled

    def gradients(self, layer: int) -> dict[str, str]:
        """The gradients in the arrays of a layer, by name."""
        weights, bias = self.layers[layer].weights, self.layers[layer].bias
        found = {weights: rf"{self.delta[layer]} {self.inputs[layer]}^\top"}
        return found | ({bias: self.delta[layer]} if bias else {})


def derive(problem: Problem, relu_at_zero: Fraction = Fraction(0)) -> list[Section]:
    """The whole derivation with the numbers of the problem, and with ``relu_at_zero`` for relu'(0).

    Raises: InputError if relu_at_zero is not in [0, 1].
    """
    relu_at_zero = convention(relu_at_zero)
    symbols = Symbols(problem.network)
    works = [Pass(problem.network, sample.x, sample.y) for sample in problem.samples]
    found = [work.backward(relu_at_zero) for work in works]
    of_sample = [f" {number}" for number in range(1, len(works) + 1)] if problem.several else [""]
    on_kink = any(work.trace.kinks for work in works)
    by_convention = f", with φ'(0) = {relu_at_zero} by convention" if on_kink else ""
    sections = [_function(symbols, problem)]
    for number, work in zip(of_sample, works, strict=True):
        sections.append(_forward(symbols, work, number))
    sections.append(_chain_rule(symbols, problem.network))
    for number, work, gradients in zip(of_sample, works, found, strict=True):
        title = f"The numbers{f' of sample{number}' if number else ''}{by_convention}"
        sections.append(_backward(symbols, work, gradients, title, with_gradients=not problem.several))
    if problem.several:
        mean = Section("The mean over the samples")
        for layer in reversed(range(symbols.depth)):
            for name in symbols.gradients(layer):
                terms = [_columns(gradients.arrays[name]) for gradients in found]
                total: list[Part] = [part for term in terms for part in ("+", term)][1:]
                result = np.sum(terms, axis=0) / len(terms)
                mean.add(_partial(symbols.names[name]), "=", rf"\frac{{1}}{{{len(terms)}}} (", *total, ")", "=", result)
        sections.append(mean)
    if to_toml(problem) == to_toml(default_problem()):
        sections.append(Section("Slips of the printed solution", text=SLIPS))
    return sections


def pose(problem: Problem) -> list[Section]:
    """The problem as an exercise: what is given, and what is asked for."""
    symbols, given = Symbols(problem.network), Section("Given")
    for number, output in enumerate(symbols.outputs):
        given.add(output, "=", symbols.layer(number))
    given.lines += _function(symbols, problem).lines[1:]
    for layer in problem.network.layers:
        for name, values in ((layer.weights, layer.W), (layer.bias, layer.b)):
            if name:
                given.add(symbols.names[name], "=", _columns(values))
    for number, (x, y) in enumerate(zip(problem.x, problem.y, strict=True), start=1):
        of = f"^{{({number})}}" if problem.several else ""
        given.add(f"x{of}", "=", _columns(x))
        given.add(f"y{of}", "=", _columns(y))
    arrays = [name for layer in reversed(range(symbols.depth)) for name in symbols.gradients(layer)]
    gradients = " and ".join(rf"$\partial J / \partial {symbols.names[name]}$" for name in arrays)
    questions = [
        r"(a) Write the function $x \mapsto \hat{y}$ in symbols.",
        r"(b) Compute $\hat{y}$ and $J$.",
        f"(c) Derive {gradients} in symbols.",
        "(d) Compute them with the numbers. Where a unit is exactly on the kink of its ReLU, say which value of "
        r"$\varphi'(0)$ you take.",
    ]
    return [given, Section("Questions", text=questions)]


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


def _forward(symbols: Symbols, work: Pass, number: str) -> Section:
    section, trace = Section(f"Forward, sample{number}" if number else "Forward"), work.trace
    for layer, (z, b) in enumerate(zip(symbols.z, work.b, strict=True)):
        bias: list[Part] = [] if b is None else ["+", _columns(b)]
        product: list[Part] = [work.W[layer], work.inputs(layer).T, *bias]
        section.add(z, "=", symbols.affine(layer, symbols.inputs[layer]), "=", *product, "=", trace.z[layer].T)
        on_kink = ", ".join(str(kink.unit + 1) for kink in trace.kinks if kink.layer == layer)
        remark = f"unit {on_kink} is on the kink" if on_kink else ""
        section.add(symbols.outputs[layer], "=", symbols.activated(layer, z), "=", trace.a[layer].T, remark=remark)
    y = ", ".join(map(plain_number, work.y[0]))
    loss = f"J_{{{number.strip()}}}" if number else "J"
    section.add(loss, "=", _columns([trace.loss]), remark=f"y = ({y})" if "," in y else f"y = {y}")
    return section


def _chain_rule(symbols: Symbols, network: Network) -> Section:
    section, arrays = Section("The chain rule, from the loss back to the input"), network.arrays

    def shape(rows: int, columns: int = 1) -> str:
        return f"{rows} \N{MULTIPLICATION SIGN} {columns}"

    section.add(_partial(r"\hat{y}"), "=", symbols.error, remark=shape(len(network.W[-1])))
    for layer in reversed(range(symbols.depth)):
        delta = f"{symbols.delta[layer]} = {_partial(symbols.z[layer])}"
        section.add(delta, "=", symbols.delta_of(layer), remark=shape(len(network.W[layer])))
        for name, formula in symbols.gradients(layer).items():
            section.add(_partial(symbols.names[name]), "=", formula, remark=shape(*arrays[name].shape))
    return section


def _backward(symbols: Symbols, work: Pass, found: ExactGradients, title: str, with_gradients: bool) -> Section:
    section = Section(title)
    for layer in reversed(range(symbols.depth)):
        delta, weights, bias = found.deltas[layer].T, work.layers[layer].weights, work.layers[layer].bias
        slopes: list[Part] = [r"\odot", found.slopes[layer].T] if symbols.phi[layer] else []
        error: list[Part] = ["(", work.predicted().T, "-", work.y.T, ")"]
        if layer < symbols.depth - 1:
            error = [work.W[layer + 1].T, found.deltas[layer + 1].T]
            if slopes:
                error = ["(", *error, ")", *slopes, "=", found.pulled[layer].T]
        section.add(symbols.delta[layer], "=", *error, *slopes, "=", delta)
        if with_gradients:
            section.add(_partial(symbols.names[weights]), "=", delta, work.inputs(layer), "=", found.arrays[weights])
            if bias:
                section.add(_partial(symbols.names[bias]), "=", symbols.delta[layer], "=", delta)
    return section


def _partial(name: str) -> str:
    return rf"\frac{{\partial J}}{{\partial {name}}}"


def _columns(values: Any) -> np.ndarray:
    """A matrix as it is, a vector as a column."""
    array = np.array(values, dtype=object)
    return array if array.ndim == 2 else array.reshape(-1, 1)


def _name(name: str) -> str:
    """A user's name in LaTeX: W1 has a subscript, longer names are upright, and nothing in it is a command."""
    if match := re.fullmatch(r"([A-Za-z])_?(\d+)", name):
        return f"{match[1]}_{{{match[2]}}}"
    if len(name) == 1 and name.isalpha():
        return name
    return r"\mathrm{" + re.sub(r"[^\w.,:-]", "", name).replace("_", r"\_") + "}"
