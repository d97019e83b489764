"""Write golden.npz: a network with every loss and activation in PyTorch, for test_network.py.

Run with PyTorch installed (2.13.0 was used): python tests/exercise/parity/make_golden.py
"""

from itertools import cycle, product
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

LEAK = 0.1
ACTIVATIONS = {
    "relu": torch.relu,
    "leaky-relu": lambda z: functional.leaky_relu(z, LEAK),
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),
    "softmax": lambda z: torch.softmax(z, 1),
}
LOSSES = {  # from the output and its z
    "half-squared": lambda a, z, y: ((y - a) ** 2).sum() / 2,
    "squared": lambda a, z, y: functional.mse_loss(a, y, reduction="sum"),
    "mean-squared": lambda a, z, y: functional.mse_loss(a, y) * len(y),
    "cross-entropy": lambda a, z, y: functional.cross_entropy(z, y, reduction="sum"),
    "binary-cross-entropy": lambda a, z, y: functional.binary_cross_entropy_with_logits(z, y, reduction="sum"),
    "none": lambda a, z, y: (a * y).sum(),
}
OUTPUTS = {"cross-entropy": ("identity", "softmax"), "binary-cross-entropy": ("identity", "sigmoid")}
L2 = 0.25


def main() -> None:
    random = np.random.default_rng(12)
    shapes = {"x": (4, 2), "W": (3, 2), "b": (3,), "V": (3, 3), "c": (3,)}
    golden = {name: random.normal(size=shape) for name, shape in shapes.items()}
    targets = dict.fromkeys(LOSSES, random.normal(size=(4, 3)))
    targets["cross-entropy"] = np.eye(3)[[0, 2, 1, 2]]
    targets["binary-cross-entropy"] = (random.normal(size=(4, 3)) > 0).astype(float)
    for loss, y in targets.items():
        golden[f"y {loss}"], settings = y, cycle(product(("mean", "sum"), (0.0, L2)))
        for hidden in ACTIVATIONS:
            for output in OUTPUTS.get(loss, (hidden,)):
                if hidden == "softmax" and loss in OUTPUTS:
                    continue  # only outputs are normalized
                first = "tanh" if hidden == "softmax" else hidden
                reduction, l2 = next(settings)
                tensors = {name: torch.tensor(golden[name], requires_grad=True) for name in shapes}
                h = ACTIVATIONS[first](tensors["x"] @ tensors["W"].T + tensors["b"])
                z = h @ tensors["V"].T + tensors["c"]
                a = ACTIVATIONS[output](z)
                losses = LOSSES[loss](a, z, torch.tensor(y)) / (len(y) if reduction == "mean" and loss != "none" else 1)
                J = losses + l2 / 2 * ((tensors["W"] ** 2).sum() + (tensors["V"] ** 2).sum())
                J.backward()
                key = f"{loss} {first} {output} {reduction} {l2}"
                golden |= {f"{key} y_hat": a.detach().numpy(), f"{key} J": J.detach().numpy()}
                golden |= {f"{key} d{name}": tensor.grad.numpy() for name, tensor in tensors.items() if name != "x"}
    np.savez_compressed(Path(__file__).with_name("golden.npz"), **golden)


if __name__ == "__main__":
    main()
