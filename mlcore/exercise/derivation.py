"""The derivation of all gradients as a good student writes it: symbols, shapes, numbers.

A formula is a list of symbols and signs, and the numbers follow from it by putting numbers in the place of symbols. A
derivation is data, sections of formulas; ``mlcore.exercise.formats`` makes text, LaTeX or Markdown of it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from mlcore.errors import InputError, counted
from mlcore.exercise.descent import OPTIMIZERS, Update
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import Formulas, Part, Section, to_unicode
from mlcore.exercise.functions import ACTIVATIONS, NORMALIZES
from mlcore.exercise.network import Gradients, check_range
from mlcore.exercise.problem import Problem, default_problem, to_toml

SLIPS = [
    r"1. It has $\varphi(W x)$ in $\partial J/\partial W$ where $\varphi'(W x)$ is meant.",
    r"2. It substitutes $\varphi'(0) = 0$ and then writes $[-2, 0]$ for $\partial J/\partial V$, which is the value of "
    r"$\varphi'(0) = 1$; the product as written is $[0, 0]$.",
    r"3. It writes the scalar $V h = 0$ as the vector $[0, 0]$.",
]

Formula = list[str]
Numbers = Mapping[str, np.ndarray]  # matrices by the symbols that stand for them


def joined(formula: Formula) -> str:
    """The formula in LaTeX."""
    return " ".join(formula).replace("( ", "(").replace(" )", ")")


def added(terms: Iterable[Sequence[Any]]) -> list[Any]:
    """The sum of these terms."""
    return [part for term in terms for part in ("+", *term)][1:]


class Symbols:
    """What the quantities of a problem are called in formulas, and how they depend on each other.

    Of several samples, what belongs to each of them is of its own loss, J_s.

    Raises: InputError if the name of an array would be taken for another one, or for something of the formulas.
    """

    def __init__(self, problem: Problem) -> None:
        network = problem.network
        self.network, self.layers, self.depth = network, network.layers, (depth := len(network.layers))
        self.style, self.n, self.k = problem.style, len(problem.x), len(network.W[-1])
        self.names = {name: latex_name(name) for name in network.arrays}
        self.phi = [activation.symbol for activation in network.activations]
        hidden = ["h"] if depth == 2 else [f"h_{{{number}}}" for number in range(1, depth)]
        takers = network.takers()
        numbers = [layer + 1 for layer, _, _ in takers]
        numbers[0] -= network.layers[0].own is not None  # what the first step starts from
        self.x = ["x"] if len(takers) == 1 else [f"x_{{{number}}}" for number in numbers]
        self.own = {layer: symbol for symbol, (layer, name, _) in zip(self.x[1:], takers[1:], strict=True)}
        self.inputs = [self.x[0], *hidden]  # of each layer
        self.outputs = [*hidden, r"\hat{y}"]
        self.z = [f"z_{{{number}}}" for number in range(1, depth + 1)]
        self.delta = [rf"\delta_{{{number}}}" for number in range(1, depth + 1)]
        self.slopes = [f"{phi}'({z})" for phi, z in zip(self.phi, self.z, strict=True)]
        self.of_sample = "J_s" if self.n > 1 else "J"
        self.mean = [rf"\frac{{1}}{{{self.n}}}"] if self.n > 1 and network.loss.reduction == "mean" else []
        self.upstream_is_one = self.k == 1 and all(row == [1] for row in problem.y)
        self.target = "u" if network.loss.name == "none" else "y"
        self.predicted = r"\hat{y}"  # what y is compared with
        if network.is_logit:
            self.predicted = rf"{ACTIVATIONS[network.function.outputs[1]].symbol}(\hat{{y}})"
        self.complete: list[list[str]] = []  # the arrays that no layer below has: their gradients end at this one
        for layer in network.layers:
            below = {name for names in self.complete for name in names}
            self.complete.append([name for name in layer.arrays if name in network.trained and name not in below])
        self.arrays = [name for names in reversed(self.complete) for name in names]
        own = [*self.x, *self.inputs, *self.z, *self.delta, *filter(None, self.phi), *"Jyz", self.target]
        own += ["s"] * (self.n > 1) + [r"\lambda"] * bool(self.network.penalized) + ["g"] * self.network.has_jacobian
        taken = {to_unicode(symbol): f"{to_unicode(symbol)} of the derivation" for symbol in own}
        for name, latex in self.names.items():
            shown = to_unicode(latex)
            if shown in taken:
                message = f"The array {name!r} cannot be told from {taken[shown]} in formulas"
                raise InputError(f"{message}; give it another name, such as A.")
            taken[shown] = name

    @property
    def loss(self) -> str:
        y, y_hat, total = "y", r"\hat{y}", ""
        if self.k > 1:
            y, y_hat, total = "y_k", r"\hat{y}_k", r"\sum_k "
        name, is_logit = self.network.loss.name, self.network.is_logit
        if name == "none":
            return y_hat if self.upstream_is_one else rf"{total}{y.replace('y', 'u')} {y_hat}"
        if name == "cross-entropy":
            return rf"\log \sum_k e^{{{y_hat}}} - {total}{y} {y_hat}" if is_logit else rf"-{total}{y} \log {y_hat}"
        if name == "binary-cross-entropy":
            of_logit = rf"\log(1 + e^{{{y_hat}}}) - {y} {y_hat}"
            of_probability = rf"-{total}[{y} \log {y_hat} + (1 - {y}) \log(1 - {y_hat})]"
            return of_probability if not is_logit else f"{total}({of_logit})" if total else of_logit
        mean = rf"\frac{{1}}{{{self.k}}} " if name == "mean-squared" and self.k > 1 else ""
        return (r"\frac{1}{2} " if name == "half-squared" else mean) + rf"{total}({y} - {y_hat})^2"

    @property
    def objective(self) -> str:
        """J: of one sample its loss, of several their mean or sum; and the L2 penalty."""
        squares = " + ".join(rf"\lVert {self.names[name]} \rVert^2" for name in self.network.penalized)
        squares = f"({squares})" if "+" in squares else squares
        penalty = rf" + \frac{{\lambda}}{{2}} {squares}" if squares else ""
        return (joined([*self.mean, r"\sum_s J_s"]) if self.n > 1 else self.loss) + penalty

    @property
    def of_output(self) -> Formula:
        """Derivative of the loss in y_hat."""
        if self.network.function.outputs and not self.network.is_logit:
            is_binary = self.network.loss.name == "binary-cross-entropy"
            return [r"(\hat{y} - y) / (\hat{y} (1 - \hat{y}))" if is_binary else r"-y / \hat{y}"]
        if self.target == "u":
            return ["1" if self.upstream_is_one else "u"]
        factor, error = self.network.factor, [self.predicted, "-", "y"]
        shown = str(factor) if factor.denominator == 1 else rf"\frac{{2}}{{{self.k}}}"
        return error if factor == 1 else [shown, "(", *error, ")"]

    def affine(self, layer: int, inputs: str = "") -> Formula:
        """W x + b, or x W + b, with the names of a layer."""
        bias = self.layers[layer].bias
        terms = [self.product(self.names[name], x) for name, x, _ in self.operands(layer, inputs)]
        return added([*terms, *([[self.names[bias]]] if bias else [])])

    def operands(self, layer: int, inputs: str = "") -> list[tuple[str, str, slice]]:
        """The matrices of a layer, what each is multiplied with, and which of the layer's inputs that is."""
        symbols = [inputs or self.inputs[layer], self.own.get(layer, "")]
        return [(name, x, columns) for (name, columns), x in zip(self.network.parts(layer), symbols, strict=False)]

    def product(self, left: str, right: str) -> Formula:
        """Two factors of the layout with columns, in the order of the network's layout."""
        return [right, left] if self.network.in_rows else [left, right]

    def matrix(self, values: Any) -> np.ndarray:
        """A matrix as it is, and a vector as a column, or as a row in that layout."""
        array = np.array(values, dtype=object)
        return array if array.ndim == 2 else array.reshape((1, -1) if self.network.in_rows else (-1, 1))

    def activated(self, layer: int, z: str) -> str:
        """phi(z), or z where the activation is the identity."""
        return f"{self.phi[layer]}({z})" if self.phi[layer] else z

    def layer(self, layer: int, inputs: str = "") -> str:
        """The output of a layer as a function of its input."""
        return self.activated(layer, joined(self.affine(layer, inputs)))

    def function(self) -> str:
        """The function from x to y_hat as nested symbols."""
        text = self.inputs[0]
        for layer in range(self.depth):
            text = self.layer(layer, f"({text})" if "+" in text and not self.phi[layer - 1] and layer else text)
        return text

    def definitions(self) -> list[tuple[str, str]]:
        """What the activations and their derivatives are as functions of z, without the identity."""
        found: dict[str, str] = {}
        for activation, leak in zip(self.network.activations, self.network.leaks, strict=True):
            values = {"leak": self.style.ascii(leak)}
            if activation.symbol:
                of_z = "(z)_k" if activation is ACTIVATIONS[NORMALIZES] else "(z)"
                found[f"{activation.symbol}{of_z}"] = activation.definition % values
                found[f"{activation.symbol}'(z)"] = activation.derivative % values
        return [(symbol, formula) for symbol, formula in found.items() if formula]

    def delta_of(self, layer: int) -> Formula:
        """delta of a layer by the chain rule; g is the derivative in the output of a softmax."""
        is_last = layer == self.depth - 1
        if is_last and self.network.function.outputs:
            return [self.predicted, "-", "y"]
        if is_last and self.network.has_jacobian:
            return [r"\hat{y}", r"\odot", "(", "g", "-", *self.product(r"g^\top", r"\hat{y}"), ")"]
        pulled = self.of_output if is_last else self.pulled(layer + 1)
        if not self.phi[layer]:
            return pulled
        pulled = pulled if len(pulled) == 1 or "(" in pulled else ["(", *pulled, ")"]
        return [*pulled, r"\odot", self.slopes[layer]]

    def terms(self, name: str) -> list[Formula]:
        """The derivative of a sample's loss in an array: a term for each layer that has it."""
        terms: list[Formula] = []
        for layer in reversed(range(self.depth)):
            delta = self.delta[layer]
            terms += [self.product(delta, rf"{x}^\top") for own, x, _ in self.operands(layer) if own == name]
            terms += [[delta]] * (name == self.layers[layer].bias)
        return terms

    def evaluated(self, name: str, numbers: Numbers) -> np.ndarray:
        """The sum of these terms."""
        return np.asarray(sum(reduce(np.matmul, [numbers[part] for part in term]) for term in self.terms(name)))

    def decay(self, name: str) -> Formula:
        """What the penalty adds to the derivative in an array."""
        return ["+", r"\lambda", self.names[name]] if name in self.network.penalized else []

    def gradient(self, name: str) -> Formula:
        """dJ in an array: its terms, over several samples their mean or sum, and that of the penalty."""
        total = added(terms := self.terms(name))
        if self.n > 1:
            total = [*self.mean, r"\sum_s", *(["(", *total, ")"] if len(terms) > 1 else total)]
        return total + self.decay(name)

    def pulled(self, layer: int, name: str | None = None) -> Formula:
        """The derivative in what a matrix of a layer, its first, is multiplied with."""
        weights = self.names[name or self.layers[layer].weights]
        return self.product(rf"{weights}^\top", self.delta[layer])

    def partial(self, name: str, of: str = "J") -> str:
        """The derivative in an array of this name, or in a symbol."""
        return rf"\frac{{\partial {of}}}{{\partial {self.names.get(name, name)}}}"

    def numbers(self, work: Pass, found: Gradients, sample: int) -> Numbers:
        """What the symbols stand for in one sample."""
        trace, rows = work.trace, {self.target: work.y, self.predicted: work.predicted()}
        for layer in range(self.depth):
            rows |= {self.z[layer]: trace.z[layer], self.outputs[layer]: trace.a[layer]}
            rows |= {x: work.inputs(layer)[:, columns] for _, x, columns in self.operands(layer)}
            rows |= {self.delta[layer]: found.deltas[layer], self.slopes[layer]: found.slopes[layer]}
            rows[self.partial(self.outputs[layer], self.of_sample)] = found.pulled[layer]
        rows |= {"g": found.pulled[-1]} if self.network.has_jacobian else {}
        numbers = {symbol: self.matrix(values[sample]) for symbol, values in rows.items()}
        numbers |= {self.names[name]: self.matrix(values) for name, values in work.arrays.items()}
        numbers[r"\lambda"] = self.matrix([self.network.loss.l2])
        return numbers | {rf"{symbol}^\top": matrix.T for symbol, matrix in numbers.items()}


def filled(formula: Formula, numbers: Numbers) -> list[Part]:
    """The formula with numbers in the place of symbols."""
    return [numbers.get(part, part) for part in formula]


def derive(problem: Problem, update: Update | None = None) -> Formulas:
    """The whole derivation with the numbers of the problem, and the arrays after an update if there is one.

    Raises: InputError if the names of the problem do not allow it, or if a value exceeds the range of float64.
    """
    symbols, work = Symbols(problem), Pass(problem.network, problem.x, problem.y)
    found = work.checked_backward(problem.at_zero)
    samples = [symbols.numbers(work, found, sample) for sample in range(symbols.n)]
    sections = [_function(symbols, problem)]
    sections += [_forward(symbols, work, numbers, sample) for sample, numbers in enumerate(samples)]
    if problem.several:
        sections.append(Section("The loss"))
    if problem.several or problem.network.penalized:
        sections[-1].add("J", "=", symbols.objective, "=", symbols.matrix([work.loss]))
    sections.append(_chain_rule(symbols))
    kinks = work.trace.kinks
    at_zero = problem.network.at_kinks(kinks, problem.at_zero)
    by_convention = rf", with $\varphi'(0) = {at_zero}$ by convention" * bool(kinks)
    for sample, numbers in enumerate(samples, start=1):
        of = f" of sample {sample}" if problem.several else ""
        sections.append(_backward(f"The numbers{of}{by_convention}", symbols, numbers, found.arrays))
    if problem.several:
        section = Section(f"The {problem.network.loss.reduction} over the samples")
        for name in symbols.arrays:
            terms: list[Part] = added([symbols.evaluated(name, numbers)] for numbers in samples)
            terms = [*symbols.mean, "(", *terms, ")"] if symbols.mean else terms
            terms += filled(symbols.decay(name), samples[0])
            section.add(symbols.partial(name), "=", *terms, "=", symbols.matrix(found.arrays[name]))
        sections.append(section)
    if update:
        sections.append(_step(symbols, work, found.arrays, update))
    if to_toml(replace(problem, relu_at_zero=None)) == to_toml(default_problem()):
        sections.append(Section("Slips of the printed solution", text=SLIPS))
    return Formulas(sections, problem.style)


def pose(problem: Problem, in_symbols: bool = True) -> Formulas:
    """The problem as an exercise: what is given, and what is asked for, also in symbols or only as decimals."""
    symbols, given = Symbols(problem), Section("Given")
    for number, output in enumerate(symbols.outputs):
        given.add(output, "=", symbols.layer(number))
    given.lines += _function(symbols, problem).lines[1:]
    for name, values in problem.network.given.items():
        given.add(symbols.names[name], "=", symbols.matrix(values))
    for number, (x, y) in enumerate(zip(problem.x, problem.y, strict=True), start=1):
        of = f"^{{({number})}}" if problem.several else ""
        for symbol, (_, _, columns) in zip(symbols.x, problem.network.takers(), strict=True):
            given.add(f"{symbol}{of}", "=", symbols.matrix(x[columns]))
        given.add(f"{symbols.target}{of}", "=", symbols.matrix(y))
    *others, last = (rf"$\partial J / \partial {symbols.names[name]}$" for name in symbols.arrays)
    gradients = f"{', '.join(others)} and {last}" if others else last
    y_hat = rf"$\hat{{y}}${' of each sample' * problem.several}"
    how = ""
    if problem.relu_at_zero is not None:
        kinks = Pass(problem.network, problem.x, problem.y).trace.kinks
        value = problem.network.at_kinks(kinks, problem.at_zero)
        how += rf" Take $\varphi'(0) = {value}$ where a unit is exactly on the kink of its ReLU."
    if not problem.network.rational:
        how += " Give at least three significant digits."
    questions = [
        r"(a) Write the function $x \mapsto \hat{y}$ in symbols.",
        f"(b) Compute {y_hat} and $J$.",
        f"(c) Derive {gradients} in symbols.",
        f"(d) Compute them with the numbers.{how}",
    ]
    if not in_symbols:
        questions = [f"Compute {y_hat}, $J$, {gradients}.{how} Write decimals such as 0.5, not fractions."]
    return Formulas([given, Section("Questions", text=questions)], problem.style)


def _function(symbols: Symbols, problem: Problem) -> Section:
    section, (features, outputs) = Section("The function and the loss"), (len(problem.x[0]), symbols.k)
    size = f"{counted(features, 'feature')}, {counted(outputs, 'output')}"
    section.add(r"\hat{y}", "=", symbols.function(), remark=size)
    for symbol, formula in symbols.definitions():
        section.add(symbol, "=", formula)
    if problem.several:
        section.add("J_s", "=", symbols.loss)
    remark = f"the {problem.network.loss.reduction} over {symbols.n} samples" if problem.several else ""
    section.add("J", "=", symbols.objective, remark=remark)
    if problem.network.penalized:
        section.add(r"\lambda", "=", symbols.matrix([problem.network.loss.l2]))
    return section


def _forward(symbols: Symbols, work: Pass, numbers: Numbers, sample: int) -> Section:
    several, kinks = symbols.n > 1, work.trace.kinks
    section = Section(f"Forward, sample {sample + 1}" if several else "Forward")
    for layer, (z, output) in enumerate(zip(symbols.z, symbols.outputs, strict=True)):
        affine = symbols.affine(layer)
        section.add(z, "=", joined(affine), "=", *filled(affine, numbers), "=", numbers[z])
        on_kink = ", ".join(str(unit + 1) for s, number, unit in kinks if (s, number) == (sample, layer))
        remark = f"unit {on_kink} is on the kink" if on_kink else ""
        section.add(output, "=", symbols.activated(layer, z), "=", numbers[output], remark=remark)
    if several or not symbols.network.penalized:
        y = ", ".join(map(symbols.style.ascii, work.y[sample]))
        loss, value = f"J_{{{sample + 1}}}" if several else "J", symbols.matrix([work.losses[sample]])
        section.add(loss, "=", value, remark=f"${symbols.target} = {f'({y})' if ',' in y else y}$")
    return section


def _chain_rule(symbols: Symbols) -> Section:
    section, network = Section("The chain rule, from the loss back to the input"), symbols.network
    of = symbols.of_sample

    def shape(array: Any) -> str:
        return " \N{MULTIPLICATION SIGN} ".join(map(str, symbols.matrix(array).shape))

    of_output = "g = " * symbols.network.has_jacobian + symbols.partial(r"\hat{y}", of)
    section.add(of_output, "=", joined(symbols.of_output), remark=shape(network.W[-1][:, 0]))
    for layer in reversed(range(symbols.depth)):
        delta = f"{symbols.delta[layer]} = {symbols.partial(symbols.z[layer], of)}"
        section.add(delta, "=", joined(symbols.delta_of(layer)), remark=shape(network.W[layer][:, 0]))
        for name in symbols.complete[layer]:
            section.add(symbols.partial(name), "=", joined(symbols.gradient(name)), remark=shape(network.arrays[name]))
    return section


def _backward(title: str, symbols: Symbols, numbers: Numbers, arrays: Numbers) -> Section:
    """The numbers of the chain rule for one sample, and if it is the only one, the gradients in the arrays."""
    section = Section(title)
    if symbols.network.has_jacobian:
        section.add("g", "=", *filled(symbols.of_output, numbers), "=", numbers["g"])
    for layer in reversed(range(symbols.depth)):
        delta = numbers[symbols.delta[layer]]
        steps = filled(symbols.delta_of(layer), numbers)
        if layer < symbols.depth - 1 and symbols.phi[layer]:
            pulled = numbers[symbols.partial(symbols.outputs[layer], symbols.of_sample)]
            steps += ["=", pulled, r"\odot", numbers[symbols.slopes[layer]]]
        section.add(symbols.delta[layer], "=", *steps, "=", delta)
        for name in symbols.complete[layer] if symbols.n == 1 else ():
            gradient = symbols.gradient(name)
            steps = filled(gradient, numbers if len(gradient) > 1 else {})  # a bias is its delta
            section.add(symbols.partial(name), "=", *steps, "=", symbols.matrix(arrays[name]))
    return section


def _step(symbols: Symbols, work: Pass, gradients: Mapping[str, np.ndarray], update: Update) -> Section:
    updated = update.first_step(symbols.network, gradients)
    check_range(*updated.values())
    rate = symbols.style.ascii(update.learning_rate)
    section = Section(rf"One step of {OPTIMIZERS[update.optimizer]} with $\eta = {rate}$")
    for name in symbols.arrays:
        W, gradient = symbols.names[name], symbols.partial(name)
        numbers = {W: work.arrays[name], gradient: gradients[name], r"\eta": [update.learning_rate]}
        formula = [W, "-", r"\eta", gradient]
        steps = [joined(formula), "=", *filled(formula, {key: symbols.matrix(numbers[key]) for key in numbers})]
        if update.optimizer == "adam":
            steps = [rf"{W} - \eta g / (|g| + \varepsilon), \; g = {gradient}"]
        section.add(rf"\text{{new }} {W}", "=", *steps, "=", symbols.matrix(updated[name]))
    return section


def latex_name(name: str) -> str:
    """A user's name in LaTeX, in which nothing is a command: indices and primes are shown, as in W', W^(1) and W_xh.

    Other names of several letters are upright.
    """
    if match := re.fullmatch(r"([A-Za-z])(?:[_^]?[{(\[]*(\d+)[])}]*|_\{?([A-Za-z0-9]+)\}?)?('*)(\*?)", name):
        letter, number, index, primes, star = match.groups(default="")
        index = rf"_{{\mathrm{{{index}}}}}" if index else f"_{{{number}}}" if number else ""
        return f"{{{letter}{index}{primes}^{{*}}}}" if star else f"{letter}{index}{primes}"
    return (r"\mathrm{" if name.isascii() else r"\text{") + re.sub(r"[^\w.,:-]", "", name).replace("_", r"\_") + "}"
