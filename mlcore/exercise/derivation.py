"""The derivation of all gradients as a good student writes it: symbols, shapes, numbers.

A derivation is data, sections of formulas; ``mlcore.exercise.formats`` makes text, LaTeX or Markdown of it.
"""

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.descent import OPTIMIZERS, first_step, step_of
from mlcore.exercise.exact import ExactGradients, Pass
from mlcore.exercise.formats import Formulas, Part, Section, Shown, Style, to_unicode
from mlcore.exercise.functions import ACTIVATIONS, NORMALIZES, Number
from mlcore.exercise.network import arrays_of, check_range
from mlcore.exercise.problem import Problem, default_problem, to_toml

SLIPS = [
    r"1. It has $\varphi(W x)$ in $\partial J/\partial W$ where $\varphi'(W x)$ is meant.",
    r"2. It substitutes $\varphi'(0) = 0$ and then writes $[-2, 0]$ for $\partial J/\partial V$, which is the value of "
    r"$\varphi'(0) = 1$; the product as written is $[0, 0]$.",
    r"3. It writes the scalar $V h = 0$ as the vector $[0, 0]$.",
]
FACTORS = {"squared": "2 ", "mean-squared": r"\frac{2}{%d} "}  # of the error; 1 for other losses


class Symbols:
    """What the quantities of a problem are called in formulas, and how they depend on each other, in LaTeX.

    Of several samples, what belongs to each of them is of its own loss, J_s.

    Raises: InputError if the name of an array would be taken for another one, or for something of the formulas.
    """

    def __init__(self, problem: Problem) -> None:
        network = problem.network
        self.network, self.layers, self.depth = network, network.layers, (depth := len(network.layers))
        self.style, self.n, self.k = problem.style, len(problem.x), len(network.W[-1])
        self.names = {name: latex_name(name) for name in network.arrays}
        self.weights = [self.names[layer.weights] for layer in network.layers]
        self.phi = [ACTIVATIONS[layer.activation].symbol for layer in network.layers]
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
        self.of_sample = "J_s" if self.n > 1 else "J"
        self.upstream_is_one = self.k == 1 and all(row == [1] for row in problem.y)
        self.target = "u" if network.loss.name == "none" else "y"
        self.complete: list[list[str]] = []  # the arrays that no layer below has: their gradients end at this one
        for layer in network.layers:
            below = {name for names in self.complete for name in names}
            self.complete.append([name for name in layer.arrays if name in network.trained and name not in below])
        self.arrays = [name for names in reversed(self.complete) for name in names]
        self._check_names()

    def _check_names(self) -> None:
        own = [*self.x, *self.inputs, *self.z, *self.delta, *filter(None, self.phi), *"Jyz", self.target]
        own += ["s"] * (self.n > 1) + [r"\lambda"] * bool(self.network.penalized)
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
        name, is_logit = self.network.loss.name, self.layers[-1].activation == "identity"
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
        return (rf"{self.mean}\sum_s J_s" if self.n > 1 else self.loss) + self.penalty

    @property
    def mean(self) -> str:
        """The factor 1/n, if J is a mean."""
        return rf"\frac{{1}}{{{self.n}}} " if self.n > 1 and self.network.loss.reduction == "mean" else ""

    @property
    def penalty(self) -> str:
        squares = " + ".join(rf"\lVert {self.names[name]} \rVert^2" for name in self.network.penalized)
        squares = f"({squares})" if "+" in squares else squares
        return rf" + \frac{{\lambda}}{{2}} {squares}" if squares else ""

    @property
    def error(self) -> str:
        """Derivative of the loss in y_hat, or in the z of the output where it is a probability."""
        name, predicted = self.network.loss.name, r"\hat{y}"
        if name == "none":
            return "1" if self.upstream_is_one else self.target
        if self.network.function.outputs and self.layers[-1].activation == "identity":
            predicted = rf"{ACTIVATIONS[self.network.function.outputs[1]].symbol}(\hat{{y}})"
        return f"{predicted} - {self.target}"

    @property
    def factor(self) -> str:
        name = "squared" if self.k == 1 and self.network.loss.name == "mean-squared" else self.network.loss.name
        return FACTORS.get(name, "").replace("%d", str(self.k))

    @property
    def of_output(self) -> str:
        if self.network.function.outputs and self.phi[-1]:
            is_binary = self.network.loss.name == "binary-cross-entropy"
            return r"(\hat{y} - y) / (\hat{y} (1 - \hat{y}))" if is_binary else r"-y / \hat{y}"
        return f"{self.factor}({self.error})" if self.factor else self.error

    def affine(self, layer: int, inputs: str) -> str:
        """W x + b, or x W + b, with the names of a layer."""
        terms = [" ".join(self.product(self.names[name], x)) for name, x, _ in self.operands(layer, inputs)]
        return " + ".join([*terms, *(self.names[bias] for bias in [self.layers[layer].bias] if bias)])

    def operands(self, layer: int, inputs: str = "") -> list[tuple[str, str, slice]]:
        """The matrices of a layer, what each is multiplied with, and which of the layer's inputs that is."""
        symbols = [inputs or self.inputs[layer], self.own.get(layer, "")]
        return [(name, x, columns) for (name, columns), x in zip(self.network.parts(layer), symbols, strict=False)]

    def product(self, left: Any, right: Any) -> list[Any]:
        """Two factors of the layout with columns, in the order of the network's layout."""
        return [right, left] if self.network.in_rows else [left, right]

    def matrix(self, values: Any) -> np.ndarray:
        """A matrix as it is, and a vector as a column, or as a row in that layout."""
        array = np.array(values, dtype=object)
        if array.ndim == 2:
            return array
        return array.reshape(1, -1) if self.network.in_rows else array.reshape(-1, 1)

    def activated(self, layer: int, z: str) -> str:
        """phi(z), or z where the activation is the identity."""
        return f"{self.phi[layer]}({z})" if self.phi[layer] else z

    def layer(self, layer: int) -> str:
        """The output of a layer as a function of its input."""
        return self.activated(layer, self.affine(layer, self.inputs[layer]))

    def function(self) -> str:
        """The function from x to y_hat as nested symbols."""
        text = self.inputs[0]
        for layer in range(self.depth):
            inner = f"({text})" if "+" in text and not self.phi[layer - 1] and layer else text
            text = self.activated(layer, self.affine(layer, inner))
        return text

    def definitions(self) -> list[tuple[str, str]]:
        """What the activations and their derivatives are as functions of z, without the identity."""
        found: dict[str, str] = {}
        for layer, leak in zip(self.layers, self.network.leaks, strict=True):
            activation, values = ACTIVATIONS[layer.activation], {"leak": self.style.ascii(leak)}
            if activation.symbol:
                of_z = "(z)_k" if layer.activation == NORMALIZES else "(z)"
                found[f"{activation.symbol}{of_z}"] = activation.definition % values
                found[f"{activation.symbol}'(z)"] = activation.derivative % values
        return [(symbol, formula) for symbol, formula in found.items() if formula]

    def delta_of(self, layer: int) -> str:
        """delta of a layer by the chain rule."""
        above, phi = layer + 1, self.phi[layer]
        if above < self.depth:
            pulled = self.pulled(above)
        elif self.network.function.outputs:
            return self.error
        elif self.layers[layer].activation == NORMALIZES:
            inner = " ".join(self.product(r"g^\top", r"\hat{y}"))
            return rf"\hat{{y}} \odot (g - {inner}), \; g = {self.of_output}"
        else:
            pulled = self.of_output
            if not phi:
                return pulled
            pulled = f"({pulled})" if " - " in pulled and not self.factor else pulled
            return rf"{pulled} \odot {phi}'({self.z[layer]})"
        return rf"({pulled}) \odot {phi}'({self.z[layer]})" if phi else pulled

    def gradient(self, name: str) -> str:
        """dJ in an array: a term for each layer that it is in, the mean over the samples, and that of the penalty."""
        terms = []
        for layer in reversed(range(self.depth)):
            delta = self.delta[layer]
            used = [x for own, x, _ in self.operands(layer) if own == name]
            terms += [" ".join(self.product(delta, rf"{x}^\top")) for x in used]
            terms += [delta] * (name == self.layers[layer].bias)
        total = " + ".join(terms)
        if self.n > 1:
            total = rf"{self.mean}\sum_s " + (f"({total})" if len(terms) > 1 else total)
        return total + (rf" + \lambda {self.names[name]}" if name in self.network.penalized else "")

    def pulled(self, layer: int, name: str | None = None) -> str:
        """The derivative in what a matrix of a layer, its first, is multiplied with."""
        weights = self.names[name or self.layers[layer].weights]
        return " ".join(self.product(rf"{weights}^\top", self.delta[layer]))

    @property
    def of_x(self) -> str:
        """The derivative in all values of x."""
        return ", ".join(self.pulled(layer, name) for layer, name, _ in self.network.takers())

    def partial(self, name: str, of: str = "J") -> str:
        """The derivative in an array of this name, or in a symbol."""
        return rf"\frac{{\partial {of}}}{{\partial {self.names.get(name, name)}}}"


def derive(
    problem: Problem,
    relu_at_zero: Fraction | None = None,
    learning_rate: Number | None = None,
    optimizer: str = "sgd",
) -> "Derivation":
    """The whole derivation with the numbers of the problem, and with ``relu_at_zero`` for relu'(0) if it is given.

    With a learning rate, also the arrays after one step.

    Raises: InputError if relu_at_zero is not in [0, 1], if there is no such step, if the names of the problem do not
        allow it, or if a value exceeds the range of float64.
    """
    at_zero, step = problem.at_zero(relu_at_zero), step_of(learning_rate, optimizer)
    symbols = Symbols(problem)
    works = [Pass(sample.network, sample.x, sample.y) for sample in problem.samples]
    found = [work.checked_backward(at_zero) for work in works]
    total = Pass(problem.network, problem.x, problem.y)
    gradients = total.checked_backward(at_zero).arrays
    of_sample = [f" {number}" for number in range(1, len(works) + 1)] if problem.several else [""]
    on_kink = any(work.trace.kinks for work in works)
    by_convention = rf", with $\varphi'(0) = {at_zero}$ by convention" if on_kink else ""
    sections = [_function(symbols, problem)]
    for number, work in zip(of_sample, works, strict=True):
        sections.append(_forward(symbols, work, number))
    if problem.several:
        sections.append(Section("The loss"))
    if problem.several or problem.network.penalized:
        sections[-1].add("J", "=", symbols.objective, "=", symbols.matrix([total.trace.loss]))
    sections.append(_chain_rule(symbols))
    for number, work, steps in zip(of_sample, works, found, strict=True):
        title = f"The numbers{f' of sample{number}' if number else ''}{by_convention}"
        sections.append(_backward(symbols, work, steps, title, {} if problem.several else gradients))
    if problem.several:
        section = Section(f"The {problem.network.loss.reduction} over the samples")
        for name in symbols.arrays:
            terms: list[Part] = [part for one in found for part in ("+", symbols.matrix(one.arrays[name]))][1:]
            inner: list[Part] = [symbols.mean.strip(), "(", *terms, ")"] if symbols.mean else terms
            _add_gradient(section, symbols, total, name, inner, gradients)
        sections.append(section)
    if step:
        sections.append(_step(symbols, total, gradients, *step))
    if to_toml(problem) == to_toml(default_problem()):
        sections.append(Section("Slips of the printed solution", text=SLIPS))
    return Derivation(sections, problem.style)


class Derivation(list[Section], Shown):
    """The sections of a derivation, which notebooks show."""

    def __init__(self, sections: Iterable[Section], style: Style) -> None:
        super().__init__(sections)
        self.style = style

    def formulas(self) -> Formulas:
        """All sections."""
        return self, self.style


def pose(problem: Problem, in_symbols: bool = True) -> list[Section]:
    """The problem as an exercise: what is given, and what is asked for, also in symbols or only as decimals."""
    symbols, given = Symbols(problem), Section("Given")
    for number, output in enumerate(symbols.outputs):
        given.add(output, "=", symbols.layer(number))
    given.lines += _function(symbols, problem).lines[1:]
    for name, values in arrays_of(problem.network).items():
        given.add(symbols.names[name], "=", symbols.matrix(values))
    for number, (x, y) in enumerate(zip(problem.x, problem.y, strict=True), start=1):
        of = f"^{{({number})}}" if problem.several else ""
        for symbol, (_, _, columns) in zip(symbols.x, problem.network.takers(), strict=True):
            given.add(f"{symbol}{of}", "=", symbols.matrix(x[columns]))
        given.add(f"{symbols.target}{of}", "=", symbols.matrix(y))
    *others, last = (rf"$\partial J / \partial {symbols.names[name]}$" for name in symbols.arrays)
    gradients = " and ".join([*filter(None, [", ".join(others)]), last])
    y_hat = rf"$\hat{{y}}${' of each sample' * problem.several}"
    how = ""
    if problem.relu_at_zero is not None:
        how += rf" Take $\varphi'(0) = {problem.relu_at_zero}$ where a unit is exactly on the kink of its ReLU."
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
    return [given, Section("Questions", text=questions)]


def _function(symbols: Symbols, problem: Problem) -> Section:
    section, (features, outputs) = Section("The function and the loss"), (len(problem.x[0]), symbols.k)
    size = f"{features} feature{'s' * (features > 1)}, {outputs} output{'s' * (outputs > 1)}"
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


def _forward(symbols: Symbols, work: Pass, number: str) -> Section:
    section, trace = Section(f"Forward, sample{number}" if number else "Forward"), work.trace
    for layer, (z, b) in enumerate(zip(symbols.z, work.b, strict=True)):
        bias: list[Part] = [] if b is None else ["+", symbols.matrix(b)]
        of_z, a = (symbols.matrix(rows[0]) for rows in (trace.z[layer], trace.a[layer]))
        product: list[Part] = []
        for name, _, columns in symbols.operands(layer):
            product += ["+", *symbols.product(work.arrays[name], symbols.matrix(work.inputs(layer)[0][columns]))]
        product = [*product[1:], *bias]
        section.add(z, "=", symbols.affine(layer, symbols.inputs[layer]), "=", *product, "=", of_z)
        on_kink = ", ".join(str(kink.unit + 1) for kink in trace.kinks if kink.layer == layer)
        remark = f"unit {on_kink} is on the kink" if on_kink else ""
        section.add(symbols.outputs[layer], "=", symbols.activated(layer, z), "=", a, remark=remark)
    y = ", ".join(map(symbols.style.text, work.y[0]))
    loss = f"J_{{{number.strip()}}}" if number else "J"
    if number or not symbols.penalty:
        remark = f"{symbols.target} = ({y})" if "," in y else f"{symbols.target} = {y}"
        section.add(loss, "=", symbols.matrix([trace.loss]), remark=remark)
    return section


def _chain_rule(symbols: Symbols) -> Section:
    section, network = Section("The chain rule, from the loss back to the input"), symbols.network
    of = symbols.of_sample

    def shape(array: Any) -> str:
        return " \N{MULTIPLICATION SIGN} ".join(map(str, symbols.matrix(array).shape))

    section.add(symbols.partial(r"\hat{y}", of), "=", symbols.of_output, remark=shape(network.W[-1][:, 0]))
    for layer in reversed(range(symbols.depth)):
        delta = f"{symbols.delta[layer]} = {symbols.partial(symbols.z[layer], of)}"
        section.add(delta, "=", symbols.delta_of(layer), remark=shape(network.W[layer][:, 0]))
        for name in symbols.complete[layer]:
            section.add(symbols.partial(name), "=", symbols.gradient(name), remark=shape(network.arrays[name]))
    return section


def _backward(
    symbols: Symbols, work: Pass, found: ExactGradients, title: str, gradients: Mapping[str, np.ndarray]
) -> Section:
    section, last = Section(title), symbols.depth - 1
    deltas, all_slopes, pulled = (
        [symbols.matrix(rows[0]) for rows in steps] for steps in (found.deltas, found.slopes, found.pulled)
    )
    predicted, y, y_hat = (symbols.matrix(rows[0]) for rows in (work.predicted(), work.y, work.trace.y_hat))
    for layer in reversed(range(symbols.depth)):
        slopes: list[Part] = [r"\odot", all_slopes[layer]] if symbols.phi[layer] else []
        if layer < last:
            error: list[Part] = symbols.product(work.arrays[symbols.layers[layer + 1].weights].T, deltas[layer + 1])
            if slopes:
                error = ["(", *error, ")", *slopes, "=", pulled[layer]]
        elif work.network.loss.name == "none":
            error = [y]
        else:
            factor: list[Part] = [symbols.factor.strip()] if symbols.factor else []
            error = [*factor, "(", predicted, "-", y, ")"]
        if layer == last and work.network.function.outputs:
            slopes = []
        elif layer == last and symbols.layers[last].activation == NORMALIZES:
            g = pulled[last]
            section.add("g", "=", *error, "=", g)
            error, slopes = [y_hat, r"\odot", "(", g, "-", symbols.matrix([(g * y_hat).sum()]), ")"], []
        section.add(symbols.delta[layer], "=", *error, *slopes, "=", deltas[layer])
        for name in symbols.complete[layer] if gradients else ():
            terms: list[Part] = []
            for used in reversed(range(symbols.depth)):
                for own, _, columns in symbols.operands(used):
                    x = symbols.matrix(work.inputs(used)[0][columns])
                    terms += ["+", *symbols.product(deltas[used], x.T)] if own == name else []
                terms += ["+", deltas[used]] if name == symbols.layers[used].bias else []
            terms = [symbols.gradient(name)] if len(terms) == 2 else terms[1:]  # a bias is its delta
            _add_gradient(section, symbols, work, name, terms, gradients)
    return section


def _add_gradient(
    section: Section, symbols: Symbols, work: Pass, name: str, terms: list[Part], gradients: Mapping[str, np.ndarray]
) -> None:
    """The gradient in an array from its terms and that of the penalty, with numbers."""
    if name in symbols.network.penalized:
        terms = [*terms, "+", symbols.matrix([symbols.network.loss.l2]), work.arrays[name]]
    section.add(symbols.partial(name), "=", *terms, "=", symbols.matrix(gradients[name]))


def _step(
    symbols: Symbols, work: Pass, gradients: Mapping[str, np.ndarray], learning_rate: Number, optimizer: str
) -> Section:
    """The arrays after one step, each from its gradient."""
    updated, rate = first_step(symbols.network, gradients, learning_rate, optimizer), str(learning_rate)
    check_range(*updated.values())
    section = Section(rf"One step of {OPTIMIZERS[optimizer].title} with $\eta = {rate}$")
    given = {name: work.array(values) for name, values in arrays_of(symbols.network).items()}
    for name in symbols.arrays:
        formula = OPTIMIZERS[optimizer].formula % {"W": symbols.names[name], "g": symbols.partial(name)}
        times = rf"{rate} \cdot" if gradients[name].size == 1 else rate
        numbers: list[Part] = [symbols.matrix(given[name]), "-", times, symbols.matrix(gradients[name]), "="]
        numbers *= optimizer != "adam"
        section.add(rf"\text{{new }} {symbols.names[name]}", "=", formula, "=", *numbers, symbols.matrix(updated[name]))
    return section


def latex_name(name: str) -> str:
    """A user's name in LaTeX, in which nothing is a command: indices and primes are shown, as in W', W1 and W_xh.

    Other names of several letters are upright.
    """
    if match := re.fullmatch(r"([A-Za-z])(?:_?\{?(\d+)\}?|_\{?([A-Za-z0-9]+)\}?)?('*)(\*?)", name):
        letter, number, index, primes, star = match.groups(default="")
        index = rf"_{{\mathrm{{{index}}}}}" if index else f"_{{{number}}}" if number else ""
        return f"{{{letter}{index}{primes}^{{*}}}}" if star else f"{letter}{index}{primes}"
    return (r"\mathrm{" if name.isascii() else r"\text{") + re.sub(r"[^\w.,:-]", "", name).replace("_", r"\_") + "}"
