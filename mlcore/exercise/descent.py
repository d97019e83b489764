"""Steps of gradient descent on a small network, in float64, with the reason where nothing moves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlcore.errors import DivergedError, InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.functions import Number, choose
from mlcore.exercise.network import Gradients, Network, Trace
from mlcore.exercise.problem import Problem
from mlcore.results import Result

MAX_STEPS = 1_000_000
MOMENTUM = 0.9
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # of Adam


OPTIMIZERS = {"sgd": "gradient descent", "momentum": "gradient descent with momentum", "adam": "Adam"}  # in titles


def stepper(optimizer: str) -> Callable[[np.ndarray, Any], np.ndarray]:
    """What an optimizer subtracts from one array, from gradient to gradient, as a function of (gradient, rate).

    Exact in fractions but for Adam, which takes a root.
    Source: torch.optim.SGD with its momentum, v = 0.9 v + g; Kingma and Ba 2015, algorithm 1.
    """
    number: int = 0
    m: Any = 0
    s: Any = 0

    def step(g: np.ndarray, rate: Any) -> np.ndarray:
        nonlocal number, m, s
        number += 1
        if optimizer != "adam":
            m = g if optimizer == "sgd" or number == 1 else MOMENTUM * m + g
            return np.asarray(rate * m)
        g = g.astype(np.float64)
        m, s = BETA1 * m + (1 - BETA1) * g, BETA2 * s + (1 - BETA2) * g * g
        m_hat, s_hat = m / (1 - BETA1**number), s / (1 - BETA2**number)
        return np.asarray(float(rate) * m_hat / (np.sqrt(s_hat) + EPSILON))

    return step


@dataclass(frozen=True)
class Descended(Result):
    """The loss J before each step and after the last, weights and biases at the end, and why nothing moves."""

    relu_at_zero: float
    learning_rate: float
    optimizer: str
    losses: list[float]
    arrays: dict[str, np.ndarray]
    standstill: str | None


def first_step(
    network: Network, gradients: Mapping[str, np.ndarray], learning_rate: Number, optimizer: str = "sgd"
) -> dict[str, np.ndarray]:
    """The arrays that are not frozen after one step with these gradients; in fractions if the gradients are."""
    given, found = network.given, {}
    for name, gradient in gradients.items():
        is_exact = gradient.dtype == object and optimizer != "adam"
        step = stepper(optimizer)(gradient, learning_rate if is_exact else float(learning_rate))
        found[name] = np.array(given[name], object if is_exact else np.float64) - step
    return found


@np.errstate(over="ignore", invalid="ignore")
def descend(
    problem: Problem, steps: int, learning_rate: float, relu_at_zero: float | None = None, optimizer: str = "sgd"
) -> Descended:
    """Take so many steps in all weights and biases that are not frozen; the network given is not changed.

    The first step starts from the exact pre-activations where the network is rational, so that it sees the kinks that
    exact gradients see. After it, numbers are rounded in every step.

    Raises: InputError for an unknown optimizer, and for steps or a rate out of range; DivergedError if the values
        leave the range of float64.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise InputError(f"expected a whole number from 1 to {MAX_STEPS:,}", parameter="steps", value=steps)
    optimizer, at_zero = check_step(optimizer, learning_rate), float(problem.at_zero(relu_at_zero))
    network, x, y = problem.network.replaced(), problem.x, problem.y
    z = Pass(network, x, y).trace.z if network.rational else None
    steppers = {name: stepper(optimizer) for name in network.trained}
    losses: list[float] = []
    for step in range(steps + 1):
        try:
            trace = network.forward(x, z)
            losses.append(network.objective(trace, y))
            gradients = network.backward(trace, y, at_zero)
        except InputError as error:
            if step == 0:
                raise
            raise DivergedError(
                f"The descent diverged in step {step}: with a learning rate of {learning_rate:g} the values exceed "
                "the range of float64",
                suggestion={"learning_rate": min(0.1, learning_rate / 10)},
            ) from error
        if step == 0 and not any(gradient.any() for gradient in gradients.arrays.values()):
            losses *= steps + 1  # stuck: rounded pre-activations could only hide that
            break
        if step < steps:
            for name, gradient in gradients.arrays.items():
                network.arrays[name] -= steppers[name](gradient, learning_rate)
        z = None
    standstill = _standstill(network, trace, gradients, at_zero)
    return Descended(at_zero, learning_rate, optimizer, losses, network.arrays, standstill)


def step_of(learning_rate: Number | None, optimizer: str) -> tuple[Number, str] | None:
    """The learning rate and the optimizer of a step, if there is to be one.

    Raises: InputError if there is no such optimizer, or if it has no learning rate or one that is not above 0.
    """
    if learning_rate is not None:
        return learning_rate, check_step(optimizer, learning_rate)
    if optimizer != "sgd":
        raise InputError("it also needs a learning rate", parameter="optimizer", value=optimizer)
    return None


def check_step(optimizer: str, learning_rate: Number) -> str:
    """The optimizer by the name that it is listed under.

    Raises: InputError if there is none, or if the learning rate is not above 0.
    """
    if not 0 < learning_rate < np.inf:
        raise InputError("expected a number above 0", parameter="learning_rate", value=float(learning_rate))
    return choose("optimizer", optimizer, OPTIMIZERS)


def _standstill(network: Network, trace: Trace, gradients: Gradients, relu_at_zero: float) -> str | None:
    """Why all gradients are 0 at the end although ŷ is not y, or None."""
    if any(gradient.any() for gradient in gradients.arrays.values()) or not gradients.y_hat.any():
        return None
    why = "No unit that is on passes a gradient from the loss to a weight"
    for layer, z in reversed(list(zip(network.layers, trace.z, strict=True))):
        if layer.activation == "relu" and (z < 0).all():
            why = f"All units of layer {layer.name} are off (z < 0), where φ'(z) = 0"
        elif layer.activation == "relu" and (z <= 0).all() and relu_at_zero == 0:
            why = f"Layer {layer.name} is exactly on its kink, where φ'(0) = 0 lets no gradient pass"
    return f"{why}: all gradients are 0, nothing moves."
