"""Gradient descent on a small network, in float64, with a word on why it stands still when it does."""

from dataclasses import dataclass

import numpy as np

from mlcore.errors import DivergedError, InputError
from mlcore.exercise.network import Gradients, Matrix, Network, Trace


@dataclass
class Descent:
    """What a descent did: the loss before each step and after the last, the network then, and why it stands still."""

    losses: list[float]
    network: Network
    standstill: str | None


def descend(
    network: Network, x: Matrix, y: Matrix, steps: int, learning_rate: float, relu_at_zero: float = 0.0
) -> Descent:
    """Take ``steps`` steps ``a -= learning_rate dJ/da`` in all weights and biases; the network given is not changed.

    Raises: InputError for steps or a rate out of range; DivergedError if the values leave the range of float64.
    """
    if steps < 1 or steps > 1_000_000:
        raise InputError(f"steps is {steps}; expected a whole number from 1 to 1,000,000.")
    if not 0 < learning_rate < np.inf:
        raise InputError(f"learning_rate is {learning_rate:g}; expected a number above 0.")
    network = Network(network.layers, network.loss_name)
    losses: list[float] = []
    for step in range(steps + 1):
        try:
            trace = network.forward(x)
            losses.append(float(network.losses(trace, y).mean()))
            gradients = network.backward(trace, y, relu_at_zero)
        except InputError as error:
            if step == 0:
                raise
            raise DivergedError(
                f"The descent diverged in step {step}: with a learning rate of {learning_rate:g} the values exceed "
                f"the range of float64; try --learning-rate {min(0.1, learning_rate / 10):g}."
            ) from error
        if step < steps:
            for array, gradient in zip(network.arrays.values(), gradients.arrays.values(), strict=True):
                array -= learning_rate * gradient
    return Descent(losses, network, _standstill(network, trace, gradients, relu_at_zero))


def _standstill(network: Network, trace: Trace, gradients: Gradients, relu_at_zero: float) -> str | None:
    """Why all gradients are 0 at the end although y_hat is not y, or None."""
    if any(gradient.any() for gradient in gradients.arrays.values()) or not gradients.y_hat.any():
        return None
    for layer, z in zip(network.layers, trace.z, strict=True):
        if layer.activation == "relu" and (z < 0).all():
            return (
                f"Every unit of layer {layer.name} is off (z < 0), where relu' = 0: the units are dead, and nothing "
                "moves."
            )
    wanted = np.argwhere(gradients.y_hat)
    at_kink = sorted({str(unit + 1) for sample, unit in wanted if trace.z[-1][sample, unit] == 0})
    if network.layers[-1].activation == "relu" and at_kink and relu_at_zero == 0:
        return (
            f"Output unit {', '.join(at_kink)} is exactly on its kink, and with relu'(0) = 0 no gradient passes it: "
            "every gradient is 0, and nothing moves."
        )
    return "No unit that is on passes a gradient from the loss to a weight: every gradient is 0, and nothing moves."
