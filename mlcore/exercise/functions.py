"""Activations and losses, each in one place: as kernels, as formulas in any numbers, and as people write it.

The kernels work in float64. The formulas work in fractions or floats and share no code with the kernels; ``one`` is 1
in their numbers.
"""

import re
import tomllib
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.files import installed
from mlcore.kernels import layers, losses

Kernel = Callable[..., None]
Number = int | float | Fraction
NORMALIZES = "softmax"  # the activation whose outputs depend on each other


class Activation(NamedTuple):
    """phi(z) of a layer, with phi'(z), the value of which at a kink is a convention. ``leak`` is phi'(z) for z < 0."""

    forward: Kernel  # (Z, leak, A)
    backward: Kernel | None  # (dA, Z, A, leak, at_zero, dZ); None: there is no useful derivative
    phi: Callable[..., np.ndarray]  # (z, one, leak)
    slope: Callable[..., np.ndarray]  # (z, a, one, leak, at_zero)
    symbol: str  # in LaTeX; none for the identity
    definition: str  # phi(z)
    derivative: str  # phi'(z)
    is_piecewise_linear: bool = False  # networks of such activations are worked in fractions, also on pages
    has_kink: bool = False
    leak: Fraction | None = None  # where a layer gives none; None: layers have no slope to give

    def state(self, z: Any) -> str:
        """Whether a unit with this z is on, off or on the kink (kink), if the activation has one."""
        return "" if not self.has_kink else "on" if z > 0 else "off" if z < 0 else "kink"


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), without overflow."""
    decay = np.exp(-abs(z))
    return np.asarray(np.where(z >= 0, 1, decay) / (1 + decay))


def softplus(z: np.ndarray) -> np.ndarray:
    """log(1 + exp(z)), without overflow."""
    return np.asarray(np.maximum(z, 0) + np.log1p(np.exp(-abs(z))))


def log_softmax(z: np.ndarray) -> np.ndarray:
    """log of exp(z_k) / sum_j exp(z_j) of each row, without overflow."""
    below = z - z.max(-1, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(-1, keepdims=True)))


def rectify(z: np.ndarray, one: Any, leak: Any) -> np.ndarray:
    """max(0, z), or with a leak the larger of z and leak z."""
    return np.asarray(np.where(z > 0, z, leak * z))


def rectified_slope(z: np.ndarray, a: np.ndarray, one: Any, leak: Any, at_zero: Any) -> np.ndarray:
    """1 or leak; at 0 the number nearest to ``at_zero`` that is between them."""
    return np.asarray(np.where(z > 0, one, np.where(z < 0, leak, np.maximum(at_zero, leak))))


def ones(z: np.ndarray, a: np.ndarray, one: Any, leak: Any, at_zero: Any) -> np.ndarray:
    """The slope of the identity."""
    return np.full(z.shape, one)


# Of each: the kernels; the formulas; the symbol and the definitions; what it is like
ACTIVATIONS = {
    "relu": Activation(
        lambda Z, leak, A: layers.relu(Z, A),
        lambda dA, Z, A, leak, at_zero, dZ: layers.relu_backward(dA, Z, at_zero, dZ),
        rectify, rectified_slope,
        r"\varphi", r"\max(0, z)", r"1 \text{ for } z > 0, \; 0 \text{ for } z < 0, \; \text{undefined at } 0",
        is_piecewise_linear=True, has_kink=True,
    ),
    "leaky-relu": Activation(
        layers.leaky_relu,
        lambda dA, Z, A, leak, at_zero, dZ: layers.leaky_relu_backward(dA, Z, leak, max(at_zero, leak), dZ),
        rectify, rectified_slope,
        r"\mathrm{lrelu}", r"\max(%(leak)s z, z)",
        r"1 \text{ for } z > 0, \; %(leak)s \text{ for } z < 0, \; \text{undefined at } 0",
        is_piecewise_linear=True, has_kink=True, leak=Fraction(1, 100),  # as in PyTorch
    ),
    "identity": Activation(
        lambda Z, leak, A: np.copyto(A, Z), lambda dA, Z, A, leak, at_zero, dZ: np.copyto(dZ, dA),
        lambda z, one, leak: z, ones,
        "", "z", "1", is_piecewise_linear=True,
    ),
    "sigmoid": Activation(
        lambda Z, leak, A: layers.sigmoid(Z, A),
        lambda dA, Z, A, leak, at_zero, dZ: layers.sigmoid_backward(dA, A, dZ),
        lambda z, one, leak: sigmoid(z), lambda z, a, one, leak, at_zero: a * (one - a),
        r"\sigma", r"1/(1 + e^{-z})", r"\sigma(z) (1 - \sigma(z))",
    ),
    "tanh": Activation(
        lambda Z, leak, A: layers.tanh(Z, A),
        lambda dA, Z, A, leak, at_zero, dZ: layers.tanh_backward(dA, A, dZ),
        lambda z, one, leak: np.tanh(z), lambda z, a, one, leak, at_zero: one - a * a,
        r"\tanh", "", r"1 - \tanh^2 z",
    ),
    "softplus": Activation(
        lambda Z, leak, A: layers.softplus(Z, A),
        lambda dA, Z, A, leak, at_zero, dZ: layers.softplus_backward(dA, Z, dZ),
        lambda z, one, leak: softplus(z), lambda z, a, one, leak, at_zero: sigmoid(z),
        r"\zeta", r"\log(1 + e^{z})", r"1/(1 + e^{-z})",
    ),
    "softmax": Activation(
        lambda Z, leak, A: layers.softmax(Z, A),
        lambda dA, Z, A, leak, at_zero, dZ: layers.softmax_backward(dA, A, dZ),
        lambda z, one, leak: np.exp(log_softmax(z)), ones,  # see through_softmax
        r"\mathrm{softmax}", r"e^{z_k} / \sum_j e^{z_j}", "",
    ),
    "step": Activation(
        lambda Z, leak, A: np.copyto(A, Z >= 0), None,
        lambda z, one, leak: np.where(z >= 0, one, 0 * one), ones,  # which nothing asks for
        r"\mathrm{step}", r"1 \text{ for } z \ge 0, \; 0 \text{ for } z < 0", "", is_piecewise_linear=True,
    ),
}  # fmt: skip


def through_softmax(pulled: np.ndarray, a: np.ndarray) -> np.ndarray:
    """dJ/dz of a softmax from dJ/da, in which every a of a row depends on every z of it."""
    return np.asarray(a * (pulled - (pulled * a).sum(-1, keepdims=True)))


class LossFunction(NamedTuple):
    """Loss J_s of a sample, with its derivative.

    Some are functions of y_hat; the others, which have outputs, are functions of the z of an output that is one of
    these: of the identity, where y_hat = z is the logit, or of the activation that makes y_hat a probability.
    """

    forward: Kernel  # (y_hat or z, y, losses)
    backward: Kernel  # (y_hat or z, y, scale, gradient)
    terms: Callable[..., np.ndarray]  # (y_hat or z, y): of each output
    error: Callable[..., np.ndarray]  # (y_hat, or the probability, and y): the derivative
    outputs: tuple[str, ...] = ()
    factor: Callable[[int], Fraction] = lambda k: Fraction(1)  # of all these, for k outputs
    of_probability: Any = None  # (y_hat, y): the derivative in a probability, of those that have outputs


HALF_SQUARED = LossFunction(
    losses.half_squared, losses.half_squared_backward, lambda y_hat, y: (y - y_hat) ** 2 / 2, lambda y_hat, y: y_hat - y
)
LOSSES = {
    "half-squared": HALF_SQUARED,
    "squared": HALF_SQUARED._replace(factor=lambda k: Fraction(2)),
    "mean-squared": HALF_SQUARED._replace(factor=lambda k: Fraction(2, k)),
    "cross-entropy": LossFunction(
        losses.cross_entropy, losses.cross_entropy_backward,
        lambda z, y: -y * log_softmax(z), lambda p, y: p - y,
        ("identity", "softmax"), of_probability=lambda p, y: -y / p,
    ),
    "binary-cross-entropy": LossFunction(
        losses.logistic, losses.logistic_backward,
        lambda z, y: np.maximum(z, 0) - y * z + softplus(-abs(z)), lambda p, y: p - y,
        ("identity", "sigmoid"), of_probability=lambda p, y: (p - y) / (p * (1 - p)),
    ),
    "none": LossFunction(
        lambda y_hat, u, losses: np.copyto(losses, (y_hat * u).sum(1)),
        lambda y_hat, u, scale, gradient: np.copyto(gradient, scale * u),
        lambda y_hat, u: u * y_hat, lambda y_hat, u: u,
    ),
}  # fmt: skip
REDUCTIONS = ("mean", "sum")


class Loss(NamedTuple):
    """What is minimised: J, the mean or the sum of a loss over the samples, plus ``l2 / 2`` times the squared weights.

    The loss ``none`` is for networks without one: J is the output, times the upstream gradient that stands for y.
    Arrays that are ``frozen`` are constants: they have no gradient and no step changes them.
    """

    name: str = "half-squared"
    reduction: str = "mean"
    l2: Any = 0
    frozen: tuple[str, ...] = ()


ALIASES = tomllib.loads(installed("aliases.toml").read_text("utf-8"))


def as_fraction(value: Number) -> Fraction:
    """The number as it is written: a float stands for its shortest decimal."""
    return Fraction(value if isinstance(value, int | Fraction) else repr(float(value)))


def convention(value: Number) -> Fraction:
    """A value for relu'(0); a float stands for its shortest decimal, and a fraction for itself as it was typed.

    Raises: InputError if it is not in [0, 1].
    """
    if not 0 <= value <= 1:
        raise InputError("expected a number from 0 to 1", parameter="relu_at_zero", value=float(value))
    return value if isinstance(value, Fraction) else Fraction(str(value))


def choose(what: str, name: str, choices: Iterable[str], where: str = "") -> str:
    """The name of one of the choices, as people write it: ``ReLU``, ``half_squared``, ``linear``, ``nn.Sigmoid()``.

    Raises: InputError if it is none of them.
    """
    written = re.sub(r"^.*\.|[\s_-]|function$|\((?:[xz]|dim=-?1)?\)$", "", str(name).lower())
    for choice in choices:
        names = (choice.replace("-", ""), *ALIASES.get(what, {}).get(choice, "").split())
        if written in names or written.removesuffix(what) in names:  # CrossEntropyLoss
            return choice
    raise InputError(f"expected one of {', '.join(choices)}", parameter=f"{what}{where}", value=name)
