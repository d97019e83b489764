"""A sheet as a program of its own in NumPy, PyTorch or JAX, to read and to run without mlcore.

A program prints ``y_hat``, ``J`` and one line ``dJ/d<name>`` for each array, in float64. Nothing of a sheet reaches
the code but numbers and names that have been made identifiers; as they were typed, names stand only in comments, by
``repr``.
"""

import builtins
import keyword
import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction

from mlcore.errors import InputError
from mlcore.exercise.exact import ExactNetwork
from mlcore.exercise.network import FLOAT_TOLERANCE, Kink, Number
from mlcore.exercise.problem import Problem

LANGUAGES = {"numpy": "NumPy", "pytorch": "PyTorch", "jax": "JAX"}
IMPORTS = {
    "numpy": "import numpy as np\n",
    "pytorch": "import torch\n",
    "jax": 'import jax\nimport jax.numpy as jnp\nimport numpy as np\n\njax.config.update("jax_enable_x64", True)\n',
}
MODULE = {"numpy": "np", "pytorch": "torch", "jax": "jnp"}
ACTIVATIONS = {
    "numpy": {"relu": "relu", "sigmoid": "sigmoid", "tanh": "np.tanh"},
    "pytorch": {"relu": "torch.relu", "sigmoid": "torch.sigmoid", "tanh": "torch.tanh"},
    "jax": {"relu": "jax.nn.relu", "sigmoid": "jax.nn.sigmoid", "tanh": "jnp.tanh"},
}
LOGISTIC = {  # log(1 + exp(y_hat)) - y y_hat
    "numpy": "np.sum(np.logaddexp(0, y_hat) - y * y_hat) / n",
    "pytorch": 'torch.nn.functional.binary_cross_entropy_with_logits(y_hat, y, reduction="sum") / n',
    "jax": "jnp.sum(jax.nn.softplus(y_hat) - y * y_hat) / n",
}
RELU = """
def relu(z):
    return np.maximum(z, 0)


def relu_slope(z):
    return np.where(z > 0, 1, np.where(z < 0, 0, relu_at_zero))
"""
SIGMOID = """
def sigmoid(z):
    return (1 + np.tanh(z / 2)) / 2  # 1 / (1 + exp(-z)), without overflow
"""
SHOW = """
def show(name, value):
    print(name, "=", ({value} + 0.0).tolist())  # + 0.0 makes -0.0 a plain 0.0
"""
OWN_NAMES = set("np torch jax jnp x y n J y_hat relu relu_slope relu_at_zero sigmoid show loss network".split())
LONGEST_LINE, LONGEST_NUMBER, LONGEST_NAME = 100, 30, 40


def program(sheet: Problem, language: str, relu_at_zero: Fraction = Fraction(0)) -> str:
    """A program in the language ``numpy``, ``pytorch`` or ``jax`` that works the sheet, gradients included.

    NumPy's has the backward pass written out, with ``relu_at_zero`` as relu'(0). The others differentiate
    automatically and take relu'(0) = 0, whatever is asked for; a comment says so where that changes the numbers.

    Raises: InputError if the language is another one, or relu_at_zero is not in [0, 1].
    """
    if language not in LANGUAGES:
        raise InputError(f"The language is {language!r}; expected one of {', '.join(LANGUAGES)}.")
    if not 0 <= relu_at_zero <= 1:
        raise InputError(f"relu_at_zero is {relu_at_zero}; expected a number from 0 to 1.")
    return "\n".join(_Writer(sheet, language, relu_at_zero).lines()) + "\n"


class _Writer:
    """What all parts of one program share."""

    def __init__(self, sheet: Problem, language: str, relu_at_zero: Number) -> None:
        self.sheet, self.network, self.layers = sheet, sheet.network, sheet.network.layers
        self.language, self.np, self.relu_at_zero = language, MODULE[language], relu_at_zero
        self.identifiers = _identifiers(list(sheet.network.arrays), len(self.layers))
        self.activations = {layer.activation for layer in self.layers}
        self.kinks, self.hidden_by_rounding = _kinks(sheet)
        self.values = ["x", *(f"a{number}" for number in range(1, len(self.layers))), "y_hat"]
        squares = f"{self.np}.sum((y_hat - y) ** 2) / 2 / n"
        self.loss = squares if self.network.loss_name == "half-squared" else LOGISTIC[language]

    def lines(self) -> Iterator[str]:
        """The whole program."""
        # PEP 263 reads an encoding from comments in the first two lines: no name may stand there.
        yield f"# A network with its loss J and the gradients of J, worked by {LANGUAGES[self.language]} in float64."
        yield "# Rows of x and y are samples, and J is the mean over them; each row of a weight matrix is a unit."
        yield from ("", IMPORTS[self.language])
        yield from self.convention()
        if self.language == "numpy" and "relu" in self.activations:
            yield RELU
        if self.language == "numpy" and ("sigmoid" in self.activations or self.network.loss_name == "logistic"):
            yield SIGMOID
        plain = {"numpy": "value", "pytorch": "value.detach()", "jax": "np.asarray(value)"}
        yield SHOW.format(value=plain[self.language])
        yield from ("", *self.array("x", self.sheet.x), *self.array("y", self.sheet.y), "n = len(x)")
        for layer in self.layers:
            yield from self.array(self.identifiers[layer.weights], layer.W, layer.weights)
            if layer.bias is not None:
                yield from self.array(self.identifiers[layer.bias], layer.b, layer.bias)
        yield ""
        yield from self.by_jax() if self.language == "jax" else self.forward()
        if self.language != "jax":
            yield f"J = {self.loss}"
        if self.language == "pytorch":
            yield "J.backward()"
        elif self.language == "numpy":
            yield from self.backward()
        yield from ("", 'show("y_hat", y_hat)', 'show("J", J)')
        for name in self.identifiers.values():
            yield f'show("dJ/d{name}", {name}.grad)' if self.language == "pytorch" else f'show("dJ/d{name}", d{name})'

    def convention(self) -> Iterator[str]:
        """relu'(0): a constant, or a comment where the library takes another number at the kinks of this sheet."""
        if "relu" not in self.activations:
            return
        if self.language == "numpy":
            at_kink = ", and this network has units there" if self.kinks else ""
            yield f"# relu has no derivative at 0{at_kink}: the number is a convention."
            yield from (f"relu_at_zero = {_number(self.relu_at_zero)}", "")
        elif self.kinks:
            relu = ACTIVATIONS[self.language]["relu"]
            yield "# relu has no derivative at 0, and these units are there (all counted from 1):"
            for sample, layer, unit in self.kinks:
                yield f"#   sample {sample + 1}, layer {layer + 1} {_quoted(self.layers[layer].name)}, unit {unit + 1}"
            if self.relu_at_zero:
                yield f"# {relu} takes 0 as the derivative there, where mlcore was asked for {_number(self.relu_at_zero)}:"
                yield "# gradients that pass through these units differ from mlcore's, and exactly those."
            else:
                yield f"# {relu} takes 0 as the derivative there, as mlcore does by default."
            yield ""

    def array(self, identifier: str, rows: Sequence, name: str | None = None) -> Iterator[str]:
        """Assignment of an array, with the name of the sheet beside it where it had to be changed."""
        nested = isinstance(rows[0], Sequence) or getattr(rows, "ndim", 1) == 2
        written = [f"[{', '.join(map(_number, row))}]" for row in rows] if nested else list(map(_number, rows))
        create, options = f"{self.np}.array", f"dtype={self.np}.float64"
        if self.language == "pytorch":
            create, options = "torch.tensor", options + ", requires_grad=True" * (name is not None)
        if name is not None and name != identifier:
            yield f"# {identifier} is called {_quoted(name)} on the sheet."
        line = f"{identifier} = {create}([{', '.join(written)}], {options})"
        if len(line) <= LONGEST_LINE or not nested:
            yield line
        else:
            yield from (f"{identifier} = {create}([", *(f"    {row}," for row in written), f"], {options})")

    def forward(self) -> Iterator[str]:
        """z and a of each layer; the last a is y_hat."""
        for number, layer in enumerate(self.layers, start=1):
            z, W, bias = f"z{number}", self.identifiers[layer.weights], self.identifiers.get(layer.bias)
            bias = "" if bias is None else f" + {bias}"
            yield f"{z} = {self.values[number - 1]} @ {W}.T{bias}  # layer {_quoted(layer.name)}"
            if number - 1 in self.hidden_by_rounding:
                np = self.np
                yield f"{z} = {np}.where({np}.abs({z}) <= {FLOAT_TOLERANCE}, 0.0, {z})  # rounding must not hide a kink"
            activation = ACTIVATIONS[self.language].get(layer.activation)
            yield f"{self.values[number]} = " + (f"{activation}({z})" if activation else z)

    def backward(self) -> Iterator[str]:
        """The backward pass, written out."""
        yield from ("", "# Backward: delta is dJ/dz of a layer, for each sample.")
        y_hat = "sigmoid(y_hat)" if self.network.loss_name == "logistic" else "y_hat"
        upstream = f"({y_hat} - y) / n"
        for number in range(len(self.layers), 0, -1):
            layer, a = self.layers[number - 1], self.values[number]
            slopes = {"relu": f" * relu_slope(z{number})", "sigmoid": f" * {a} * (1 - {a})", "tanh": f" * (1 - {a}**2)"}
            yield f"delta{number} = {upstream}{slopes.get(layer.activation, '')}"
            yield f"d{self.identifiers[layer.weights]} = delta{number}.T @ {self.values[number - 1]}"
            if layer.bias is not None:
                yield f"d{self.identifiers[layer.bias]} = delta{number}.sum(axis=0)"
            upstream = f"delta{number} @ {self.identifiers[layer.weights]}"

    def by_jax(self) -> Iterator[str]:
        """Forward pass as a function, and automatic differentiation, in JAX."""
        names = list(self.identifiers.values())
        arguments, gradients = ", ".join(names), ", ".join(f"d{name}" for name in names)
        yield from ("", f"def network({arguments}):", *(f"    {line}" for line in self.forward()), "    return y_hat")
        yield from ("", "", f"def loss({arguments}):", f"    y_hat = network({arguments})")
        yield from (f"    return {self.loss}", "", "")
        yield from (f"y_hat = network({arguments})", f"J = loss({arguments})")
        which = f", argnums={tuple(range(len(names)))}" if len(names) > 1 else ""
        yield f"{gradients} = jax.grad(loss{which})({arguments})"


def _kinks(sheet: Problem) -> tuple[list[Kink], set[int]]:
    """Units on their kink, and the layers of those that float64 may miss, because numbers are rounded there."""
    trace = sheet.network.forward(sheet.x)
    sheet.network.losses(trace, sheet.y)  # complains if y does not fit
    kinks, rounded = trace.kinks, True
    if sheet.network.rational:
        exact = ExactNetwork(sheet.network, sheet.x, sheet.y)
        kinks = exact.trace.kinks
        tables = [exact.x, *exact.W, *exact.trace.z, [b for b in exact.b if b is not None]]
        inexact = any(Fraction(float(value)) != value for table in tables for row in table for value in row)
        rounded = inexact or trace.kinks != kinks
    return kinks, {kink.layer for kink in kinks} if rounded else set()


def _number(value: Number) -> str:
    """Python source of the number: exact where that is short, and the same float64 in any case."""
    exact = Fraction(value) if isinstance(value, int | Fraction) else Fraction(repr(float(value)))
    if exact.denominator == 1 and abs(exact) < 2**53:
        return str(exact.numerator)
    rounded, fraction = repr(float(exact)), str(exact)
    # no large integers: PyTorch and JAX take none beyond 64 bits
    return fraction if Fraction(rounded) != exact and "/" in fraction and len(fraction) <= LONGEST_NUMBER else rounded


def _quoted(name: str) -> str:
    """The name for a comment: on one line, whatever it holds."""
    return repr(name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "...")


def _identifiers(names: list[str], depth: int) -> dict[str, str]:
    """An identifier for each name, such that neither it nor its gradient's, ``d...``, has another meaning."""
    taken = OWN_NAMES | set(dir(builtins)) | set(keyword.kwlist)
    taken |= {f"{letter}{number}" for letter in ("z", "a", "delta") for number in range(1, depth + 1)}
    found: dict[str, str] = {}
    for name in names:
        letters = unicodedata.normalize("NFKC", name)[:LONGEST_NAME]  # as Python reads identifiers
        base = "".join(letter if f"_{letter}".isidentifier() else "_" for letter in letters)
        if not base or base[0] == "_" or not base.isidentifier() or base != unicodedata.normalize("NFKC", base):
            base = "array" + "".join(letter for letter in base if letter.isascii())
        while base in taken or f"d{base}" in taken:
            base += "_"
        taken |= {base, f"d{base}"}
        found[name] = base
    return found
