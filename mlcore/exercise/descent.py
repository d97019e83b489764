"""Gradient descent on a small network, in float64, with the reason where nothing moves."""

from dataclasses import dataclass

import numpy as np

from mlcore.errors import DivergedError, InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.network import Gradients, Matrix, Network, Trace
from mlcore.results import Result

MAX_STEPS = 1_000_000


@dataclass(frozen=True)
class Descended(Result):
    """The loss J before each step and after the last, weights and biases at the end, and why nothing moves."""

    relu_at_zero: float
    learning_rate: float
    losses: list[float]
    arrays: dict[str, np.ndarray]
    standstill: str | None


def descend(
    network: Network, x: Matrix, y: Matrix, steps: int, learning_rate: float, relu_at_zero: float = 0.0
) -> Descended:
    """Take ``steps`` steps ``a -= learning_rate dJ/da`` in all weights and biases; the network given is not changed.

    The first step starts from the exact pre-activations where the network is rational, so that it sees the kinks that
    exact gradients see. After it, numbers are rounded in every step: a unit counts as on its kink if its z is 0 but
    for rounding.

    Raises: InputError for steps or a rate out of range; DivergedError if the values leave the range of float64.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise InputError(f"expected a whole number from 1 to {MAX_STEPS:,}", parameter="steps", value=steps)
    if not 0 < learning_rate < np.inf:
        raise InputError("expected a number above 0", parameter="learning_rate", value=learning_rate)
    z = Pass(network, x, y).trace.z if network.rational else None
    network = Network(network.layers, network.loss_name)
    losses: list[float] = []
    for step in range(steps + 1):
        try:
            trace = network.forward(x, z, snap=step > 0)
            losses.append(float(network.losses(trace, y).mean()))
            gradients = network.backward(trace, y, relu_at_zero)
        except InputError as error:
            if step == 0:
                raise
            raise DivergedError(
                f"The descent diverged in step {step}: with a learning rate of {learning_rate:g} the values exceed "
                "the range of float64",
                suggestion={"learning_rate": min(0.1, learning_rate / 10)},
            ) from error
        if not any(gradient.any() for gradient in gradients.arrays.values()):
            losses += losses[-1:] * (steps - step)
            break
        if step < steps:
            for array, gradient in zip(network.arrays.values(), gradients.arrays.values(), strict=True):
                array -= learning_rate * gradient
        z = None
    return Descended(
        relu_at_zero, learning_rate, losses, network.arrays, _standstill(network, trace, gradients, relu_at_zero)
    )


def _standstill(network: Network, trace: Trace, gradients: Gradients, relu_at_zero: float) -> str | None:
    """Why all gradients are 0 at the end although ŷ is not y, or None."""
    if any(gradient.any() for gradient in gradients.arrays.values()) or not gradients.y_hat.any():
        return None
    for layer, z in zip(network.layers, trace.z, strict=True):
        if layer.activation == "relu" and (z < 0).all():
            return f"All units of layer {layer.name} are off (z < 0), where φ'(z) = 0: they are dead, nothing moves."
    at_kink = sorted({str(unit + 1) for _, unit in np.argwhere((gradients.y_hat != 0) & (trace.z[-1] == 0))})
    if network.layers[-1].activation == "relu" and at_kink and relu_at_zero == 0:
        return (
            f"Output unit {', '.join(at_kink)} is exactly on its kink. With φ'(0) = 0 no gradient passes it: all "
            "gradients are 0, nothing moves."
        )
    return "No unit that is on passes a gradient from the loss to a weight: all gradients are 0, nothing moves."
