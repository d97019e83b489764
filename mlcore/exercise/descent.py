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


@dataclass(frozen=True)
class Update:
    """How arrays are updated.

    Raises: InputError if there is no such optimizer, or if the learning rate is not above 0.
    """

    learning_rate: Number
    optimizer: str = "sgd"

    def __post_init__(self) -> None:
        if not (0 < self.learning_rate < np.inf and float(self.learning_rate)):
            value = float(self.learning_rate)
            raise InputError("expected a number above 0", parameter="learning_rate", value=value)
        object.__setattr__(self, "optimizer", choose("optimizer", self.optimizer, OPTIMIZERS))

    def stepper(self) -> Callable[[np.ndarray], np.ndarray]:
        """What is subtracted from one array, as a function of its gradients, one after the other.

        Exact in fractions but for Adam, which takes a root.
        Source: torch.optim.SGD with its momentum, v = 0.9 v + g; Kingma and Ba 2015, algorithm 1.
        """
        number: int = 0
        m: Any = 0
        s: Any = 0

        def step(g: np.ndarray) -> np.ndarray:
            nonlocal number, m, s
            number += 1
            is_exact = g.dtype == object and self.optimizer != "adam"
            g, rate = (g, self.learning_rate) if is_exact else (g.astype(np.float64), float(self.learning_rate))
            if self.optimizer != "adam":
                m = g if self.optimizer == "sgd" or number == 1 else MOMENTUM * m + g
                return np.asarray(rate * m)
            m, s = BETA1 * m + (1 - BETA1) * g, BETA2 * s + (1 - BETA2) * g * g
            m_hat, s_hat = m / (1 - BETA1**number), s / (1 - BETA2**number)
            return np.asarray(rate * m_hat / (np.sqrt(s_hat) + EPSILON))

        return step

    def first_step(self, network: Network, gradients: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The arrays with these gradients after one step; in fractions if the gradients are, and if it can be."""
        steps = {name: self.stepper()(gradient) for name, gradient in gradients.items()}
        return {name: np.array(network.given[name], step.dtype) - step for name, step in steps.items()}


@dataclass(frozen=True)
class Descended(Result):
    """The loss J before each step and after the last, weights and biases at the end, and why nothing moves."""

    relu_at_zero: float
    learning_rate: float
    optimizer: str
    losses: list[float]
    arrays: dict[str, np.ndarray]
    standstill: str | None


@np.errstate(over="ignore", invalid="ignore")
def descend(problem: Problem, steps: int, update: Update) -> Descended:
    """Take so many steps in all weights and biases that are not frozen; the network given is not changed.

    The first step starts from the exact pre-activations where the network is rational, so that it sees the kinks that
    exact gradients see. After it, numbers are rounded in every step.

    Raises: InputError for a number of steps out of range; DivergedError if the values leave the range of float64.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise InputError(f"expected a whole number from 1 to {MAX_STEPS:,}", parameter="steps", value=steps)
    given, x, y, at_zero = problem.network, problem.x, problem.y, float(problem.at_zero)
    network, rate = Network(given.layers, given.loss, given.layout), float(update.learning_rate)
    z = Pass(network, x, y).trace.z if network.rational else None
    steppers = {name: update.stepper() for name in network.trained}
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
                f"The descent diverged in step {step}: with a learning rate of {rate:g} the values exceed "
                "the range of float64",
                suggestion={"learning_rate": min(0.1, rate / 10)},
            ) from error
        if step == 0 and not gradients.flat.any():
            losses *= steps + 1  # stuck: rounded pre-activations could only hide that
            break
        if step < steps:
            for name, gradient in gradients.arrays.items():
                network.arrays[name] -= steppers[name](gradient)
        z = None
    standstill = _standstill(network, trace, gradients, at_zero)
    return Descended(at_zero, rate, update.optimizer, losses, network.arrays, standstill)


def _standstill(network: Network, trace: Trace, gradients: Gradients, relu_at_zero: float) -> str | None:
    """Why all gradients are 0 at the end although ŷ is not y, or None."""
    if gradients.flat.any() or not gradients.y_hat.any():
        return None
    why = "No unit that is on passes a gradient from the loss to a weight"
    for layer, z in reversed(list(zip(network.layers, trace.z, strict=True))):
        if layer.activation == "relu" and (z < 0).all():
            why = f"All units of layer {layer.name!r} are off (z < 0), where φ'(z) = 0"
        elif layer.activation == "relu" and (z <= 0).all() and relu_at_zero == 0:
            why = f"No unit of layer {layer.name!r} is on, and φ'(0) = 0 lets no gradient pass on the kink"
    return f"{why}: all gradients are 0, nothing moves."
