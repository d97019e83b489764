"""The derivation of all gradients as a good student writes it: symbols, shapes, numbers.

A derivation is data: sections of lines, and lines of parts. A part is a matrix of numbers, or a formula written in
the LaTeX subset that ``to_unicode`` knows. ``mlcore.exercise.formats`` makes text, LaTeX or Markdown of it.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from mlcore.exercise.exact import ExactNetwork
from mlcore.exercise.formulas import Value, plain_number, to_unicode
from mlcore.exercise.network import Network
from mlcore.exercise.problem import Problem, default_problem, to_toml

ACTIVATION = {"relu": r"\varphi", "sigmoid": r"\sigma", "tanh": r"\tanh", "identity": ""}
SLIPS = (
    r"The printed solution has $\varphi(W x)$ in $\partial J/\partial W$ where $\varphi'(W x)$ is meant.",
    r"It substitutes $\varphi'(0) = 0$ and then writes $[-2, 0]$ for $\partial J/\partial V$, which is the value of "
    r"$\varphi'(0) = 1$; the product as written is $[0, 0]$.",
    r"It writes the scalar $V h = 0$ as the vector $[0, 0]$.",
)

Rows = list[list[Value]]


class Array(NamedTuple):
    """A matrix of numbers in a formula; one row and one column is a plain number."""

    rows: Rows


Part = str | Array


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
    """All sections, footnotes in LaTeX subset between dollar signs, and the gradients that the last lines show."""

    sections: list[Section]
    footnotes: list[str]
    gradients: dict[str, Rows]


class Symbols:
    """What the quantities of a network are called in formulas, in LaTeX."""

    def __init__(self, network: Network) -> None:
        self.depth = depth = len(network.layers)
        self.weights = [_name(layer.weights) for layer in network.layers]
        self.biases = [_name(layer.bias) if layer.bias else None for layer in network.layers]
        self.phi = [ACTIVATION[layer.activation] for layer in network.layers]
        hidden = ["h"] if depth == 2 else [f"h_{{{number}}}" for number in range(1, depth)]
        self.inputs = ["x", *hidden]  # of each layer
        self.outputs = [*hidden, r"\hat{y}"]
        self.z = [f"z_{{{number}}}" for number in range(1, depth + 1)]
        self.delta = [rf"\delta_{{{number}}}" for number in range(1, depth + 1)]

    def affine(self, layer: int, inputs: str) -> str:
        """W x + b with the names of a layer."""
        product = f"{self.weights[layer]} {inputs}"
        return f"{product} + {self.biases[layer]}" if self.biases[layer] else product

    def activated(self, layer: int, z: str) -> str:
        """phi(z), or z where the activation is the identity."""
        return f"{self.phi[layer]}({z})" if self.phi[layer] else z

    def slope(self, layer: int, z: str) -> str:
        """phi'(z), empty where the activation is the identity."""
        return f"{self.phi[layer]}'({z})" if self.phi[layer] else ""

    def function(self) -> str:
        """The function from x to y_hat as nested symbols."""
        text = "x"
        for layer in range(self.depth):
            inner = f"({text})" if "+" in text and not self.phi[layer - 1] and layer else text
            text = self.activated(layer, self.affine(layer, inner))
        return text


def derive(sheet: Problem, relu_at_zero: Fraction = Fraction(0)) -> Derivation:
    """The whole derivation with the numbers of the sheet, and with ``relu_at_zero`` for relu'(0)."""
    network, symbols = sheet.network, Symbols(sheet.network)
    worked = _Worked(sheet, relu_at_zero)
    sections = [_function(network, symbols, sheet), *_forward(network, symbols, worked, sheet)]
    sections += [_chain_rule(network, symbols), *_numbers(network, symbols, worked, sheet, relu_at_zero)]
    is_exercise = to_toml(sheet) == to_toml(default_problem())
    return Derivation(sections, list(SLIPS) if is_exercise else [], worked.gradients)


def pose(sheet: Problem) -> Derivation:
    """The sheet as an exercise: what is given, and what is asked for."""
    network, symbols = sheet.network, Symbols(sheet.network)
    given = Section("Given")
    for layer in range(symbols.depth):
        given.add(symbols.outputs[layer], "=", symbols.activated(layer, symbols.affine(layer, symbols.inputs[layer])))
    given.lines += _function(network, symbols, sheet).lines[1:]
    for layer, W, b in zip(network.layers, symbols.weights, symbols.biases, strict=True):
        given.add(W, "=", Array([list(row) for row in layer.W]))
        if b:
            given.add(b, "=", Array(_column(layer.b)))
    for sample, (x, y) in enumerate(zip(sheet.x, sheet.y, strict=True), start=1):
        of = f"^{{({sample})}}" if sheet.several else ""
        given.add(f"x{of}", "=", Array(_column(x)))
        given.add(f"y{of}", "=", Array(_column(y)))
    gradients = " and ".join(rf"$\partial J / \partial {name}$" for name in _all_names(symbols))
    asked = Section("Asked for")
    asked.text = [
        r"(a) Write the function $x \mapsto \hat{y}$ in symbols.",
        r"(b) Compute $\hat{y}$ and $J$.",
        f"(c) Derive {gradients} in symbols.",
        "(d) Compute them with the numbers. Where a unit is exactly on the kink of its ReLU, say which value of "
        r"$\varphi'(0)$ you take.",
    ]
    return Derivation([given, asked], [], {})


def _all_names(symbols: Symbols) -> list[str]:
    pairs = zip(symbols.weights, symbols.biases, strict=True)
    return [name for pair in reversed(list(pairs)) for name in pair if name]


class _Worked:
    """All numbers of the derivation, each computed from the ones that are shown before it."""

    def __init__(self, sheet: Problem, relu_at_zero: Fraction) -> None:
        network = sheet.network
        if network.rational:
            exact = ExactNetwork(network, sheet.x, sheet.y).trace
            self.z, self.a, self.losses = exact.z, exact.a, exact.losses
            number: Callable = Fraction
        else:
            trace = network.forward(sheet.x)
            self.z, self.a = ([array.tolist() for array in arrays] for arrays in (trace.z, trace.a))
            self.losses, number = network.losses(trace, sheet.y).tolist(), float
        self.x, self.y = ([[number(value) for value in row] for row in rows] for rows in (sheet.x, sheet.y))
        self.W = [[[number(value) for value in row] for row in layer.W] for layer in network.layers]
        self.b = [layer.b and [number(value) for value in layer.b] for layer in network.layers]
        self.at_zero = number(relu_at_zero)
        self.slopes = [
            [
                [self._slope(layer.activation, z, a) for z, a in zip(*rows, strict=True)]
                for rows in zip(zs, activations, strict=True)
            ]
            for layer, zs, activations in zip(network.layers, self.z, self.a, strict=True)
        ]
        self.output = [[self._predicted(network, value) for value in row] for row in self.a[-1]]
        self.deltas: list[list[list[Value]]] = [[] for _ in network.layers]
        self.pulled: list[list[list[Value]]] = [[] for _ in network.layers]
        for s in range(len(self.x)):
            pulled = [p - t for p, t in zip(self.output[s], self.y[s], strict=True)]
            for layer in reversed(range(len(network.layers))):
                self.pulled[layer].append(pulled)
                delta = [p * slope for p, slope in zip(pulled, self.slopes[layer][s], strict=True)]
                self.deltas[layer].append(delta)
                pulled = [
                    sum(d * row[i] for d, row in zip(delta, self.W[layer], strict=True))
                    for i in range(len(self.W[layer][0]))
                ]
        self.gradients = self._gradients(network)

    def inputs(self, layer: int, sample: int) -> list[Value]:
        """What a layer gets."""
        return self.a[layer - 1][sample] if layer else self.x[sample]

    def outer(self, layer: int, sample: int) -> Rows:
        """delta times the transposed input, of one sample."""
        return [[d * a for a in self.inputs(layer, sample)] for d in self.deltas[layer][sample]]

    def _slope(self, activation: str, z: Value, a: Value) -> Value:
        if activation == "relu":
            return self.at_zero if z == 0 else type(z)(z > 0)
        return {"identity": type(z)(1), "sigmoid": a * (1 - a), "tanh": 1 - a * a}[activation]

    def _predicted(self, network: Network, value: Value) -> Value:
        """What y is compared with: y_hat, or the probability sigma(y_hat) for the logistic loss."""
        return value if network.loss_name == "half-squared" else 1 / (1 + math.exp(-value)) if value > -700 else 0.0

    def _gradients(self, network: Network) -> dict[str, Rows]:
        n, named = len(self.x), {}
        for number, layer in enumerate(network.layers):
            products = [self.outer(number, sample) for sample in range(n)]
            named[layer.weights] = [
                [sum(cells) / n for cells in zip(*rows, strict=True)] for rows in zip(*products, strict=True)
            ]
            if layer.bias:
                named[layer.bias] = [[sum(column) / n] for column in zip(*self.deltas[number], strict=True)]
        return named


def _function(network: Network, symbols: Symbols, sheet: Problem) -> Section:
    section = Section("The function and the loss")
    section.add(
        r"\hat{y}",
        "=",
        symbols.function(),
        remark=f"{len(sheet.x[0])} features, {len(sheet.y[0])} output{'s' * (len(sheet.y[0]) > 1)}",
    )
    for name in sorted({layer.activation for layer in network.layers} - {"identity"}):
        definition = {
            "relu": (r"\max(0, z)", r"1 \text{ for } z > 0, \; 0 \text{ for } z < 0, \; \text{undefined at } 0"),
            "sigmoid": (r"1/(1 + e^{-z})", r"\sigma(z) (1 - \sigma(z))"),
            "tanh": (r"\tanh z", r"1 - \tanh^2 z"),
        }[name]
        if name != "tanh":
            section.add(f"{ACTIVATION[name]}(z)", "=", definition[0])
        section.add(f"{ACTIVATION[name]}'(z)", "=", definition[1])
    section.add("J" if not sheet.several else "J_s", "=", _loss_formula(network, len(sheet.y[0])))
    if sheet.several:
        section.add(
            "J", "=", rf"\frac{{1}}{{{len(sheet.x)}}} \sum_s J_s", remark=f"the mean over {len(sheet.x)} samples"
        )
    return section


def _loss_formula(network: Network, outputs: int) -> str:
    if network.loss_name == "half-squared":
        return r"\frac{1}{2} (y - \hat{y})^2" if outputs == 1 else r"\frac{1}{2} \sum_k (y_k - \hat{y}_k)^2"
    return r"\log(1 + e^{\hat{y}}) - y \hat{y}" if outputs == 1 else r"\sum_k \log(1 + e^{\hat{y}_k}) - y_k \hat{y}_k"


def _forward(network: Network, symbols: Symbols, worked: _Worked, sheet: Problem) -> list[Section]:
    sections = []
    for s in range(len(sheet.x)):
        section = Section("Forward" + (f", sample {s + 1}" if sheet.several else ""))
        for layer in range(symbols.depth):
            given, z, a = worked.inputs(layer, s), worked.z[layer][s], worked.a[layer][s]
            numbers = [Array(worked.W[layer]), Array(_column(given))]
            if worked.b[layer]:
                numbers += ["+", Array(_column(worked.b[layer]))]
            section.add(
                symbols.z[layer],
                "=",
                symbols.affine(layer, symbols.inputs[layer]),
                "=",
                *numbers,
                "=",
                Array(_column(z)),
            )
            activated = [symbols.activated(layer, symbols.z[layer]), "="]
            section.add(
                symbols.outputs[layer], "=", *activated, Array(_column(a)), remark=_kink_remark(network, layer, z)
            )
        section.add(
            "J" if not sheet.several else f"J_{{{s + 1}}}",
            "=",
            Array([[worked.losses[s]]]),
            remark=f"y = {_inline(worked.y[s])}",
        )
        sections.append(section)
    return sections


def _kink_remark(network: Network, layer: int, z: Sequence[Value]) -> str:
    at = [str(unit) for unit, value in enumerate(z, start=1) if value == 0]
    if network.layers[layer].activation != "relu" or not at:
        return ""
    return f"unit {', '.join(at)} is on the kink"


def _chain_rule(network: Network, symbols: Symbols) -> Section:
    section = Section("The chain rule, from the loss back to the input")
    last = symbols.depth - 1
    rows = [W.shape[0] for W in network.W]
    columns = [W.shape[1] for W in network.W]
    outputs = rows[last]
    predicted = r"\hat{y}" if network.loss_name == "half-squared" else r"\sigma(\hat{y})"
    section.add(r"\frac{\partial J}{\partial \hat{y}}", "=", f"{predicted} - y", remark=_shape(outputs, 1))
    for layer in reversed(range(symbols.depth)):
        if layer == last:
            pulled = f"{predicted} - y"
        else:
            pulled = rf"{symbols.weights[layer + 1]}^\top {symbols.delta[layer + 1]}"
        slope = symbols.slope(layer, symbols.z[layer])
        delta = rf"({pulled}) \odot {slope}" if slope else pulled
        section.add(
            rf"{symbols.delta[layer]} = \frac{{\partial J}}{{\partial {symbols.z[layer]}}}",
            "=",
            delta,
            remark=_shape(rows[layer], 1),
        )
        section.add(
            _partial(symbols.weights[layer]),
            "=",
            rf"{symbols.delta[layer]} {symbols.inputs[layer]}^\top",
            remark=_shape(rows[layer], columns[layer]),
        )
        if symbols.biases[layer]:
            section.add(_partial(symbols.biases[layer]), "=", symbols.delta[layer], remark=_shape(rows[layer], 1))
    return section


def _numbers(
    network: Network, symbols: Symbols, worked: _Worked, sheet: Problem, relu_at_zero: Fraction
) -> list[Section]:
    sections, last = [], symbols.depth - 1
    kinked = any(
        layer.activation == "relu" and any(value == 0 for row in z for value in row)
        for layer, z in zip(network.layers, worked.z, strict=True)
    )
    convention = f", with {to_unicode(ACTIVATION['relu'])}'(0) = {relu_at_zero} by convention" if kinked else ""
    for s in range(len(sheet.x)):
        of = f" of sample {s + 1}" if sheet.several else ""
        section = Section(f"The numbers{of}{convention}")
        for layer in reversed(range(symbols.depth)):
            delta = Array(_column(worked.deltas[layer][s]))
            slope = [r"\odot", Array(_column(worked.slopes[layer][s]))] if symbols.phi[layer] else []
            if layer == last:
                difference = ["(", Array(_column(worked.output[s])), "-", Array(_column(worked.y[s])), ")"]
            else:
                transposed = [list(row) for row in zip(*worked.W[layer + 1], strict=True)]
                difference = [Array(transposed), Array(_column(worked.deltas[layer + 1][s]))]
                if slope:
                    difference = ["(", *difference, ")", *slope, "=", Array(_column(worked.pulled[layer][s]))]
            section.add(symbols.delta[layer], "=", *difference, *slope, "=", delta)
            if not sheet.several:
                _result(section, symbols, worked, network, layer, s)
        sections.append(section)
    if sheet.several:
        section = Section("The mean over the samples")
        for layer in reversed(range(symbols.depth)):
            terms: list[Part] = []
            for s in range(len(sheet.x)):
                terms += ["+"] * bool(s) + [Array(worked.outer(layer, s))]
            name = network.layers[layer].weights
            section.add(
                _partial(symbols.weights[layer]),
                "=",
                rf"\frac{{1}}{{{len(sheet.x)}}} (",
                *terms,
                ")",
                "=",
                Array(worked.gradients[name]),
            )
            if symbols.biases[layer]:
                section.add(_partial(symbols.biases[layer]), "=", Array(worked.gradients[network.layers[layer].bias]))
        sections.append(section)
    return sections


def _result(section: Section, symbols: Symbols, worked: _Worked, network: Network, layer: int, sample: int) -> None:
    gradient = Array(worked.gradients[network.layers[layer].weights])
    delta, given = Array(_column(worked.deltas[layer][sample])), Array([list(worked.inputs(layer, sample))])
    section.add(_partial(symbols.weights[layer]), "=", delta, given, "=", gradient)
    if symbols.biases[layer]:
        section.add(
            _partial(symbols.biases[layer]),
            "=",
            symbols.delta[layer],
            "=",
            Array(worked.gradients[network.layers[layer].bias]),
        )


def _partial(name: str) -> str:
    return rf"\frac{{\partial J}}{{\partial {name}}}"


def _shape(rows: int, columns: int) -> str:
    return f"{rows} \N{MULTIPLICATION SIGN} {columns}"


def _column(values: Sequence[Value]) -> Rows:
    return [[value] for value in values]


def _inline(values: Sequence[Value]) -> str:
    return plain_number(values[0]) if len(values) == 1 else f"({', '.join(map(plain_number, values))})"


def _name(name: str) -> str:
    """A user's name in LaTeX: W1 has a subscript, longer names are upright, and nothing in it is a command."""
    if match := re.fullmatch(r"([A-Za-z])_?(\d+)", name):
        return f"{match[1]}_{{{match[2]}}}"
    if len(name) == 1 and name.isalpha():
        return name
    return r"\mathrm{" + re.sub(r"[^\w.,:-]", "", name).replace("_", r"\_") + "}"
