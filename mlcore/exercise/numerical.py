"""Numerical derivatives of a small network, from both sides, to check its gradients by."""

from typing import Any, NamedTuple

import numpy as np

from mlcore.exercise.network import Matrix, Network, samples
from mlcore.kernels.finite_differences import central_differences, one_sided_differences, rounding_error, steps_for

MAX_HALVINGS, SIDE = 14, 2.0**-10  # of a numerical step; which side of a kink the point is on is seen this near


class Differences(NamedTuple):
    """Numerical derivatives in the entries of one array: central, from the left and from the right."""

    central: np.ndarray
    left: np.ndarray
    right: np.ndarray
    error: np.ndarray  # of rounding and of the step, about

    @property
    def one_sided_differ(self) -> np.ndarray:
        """Entries in which J has no derivative, because its one-sided derivatives differ."""
        return np.asarray(~self._close(self.left, self.right))

    def contradict(self, gradient: np.ndarray) -> np.ndarray:
        """Entries in which J has a derivative, and it is not the one given."""
        return np.asarray(~self._close(self.central, gradient) & ~self.one_sided_differ)

    def _close(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        largest = np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
        return np.asarray(np.abs(a - b) <= 1e-6 * largest + self.error)


def numerical_derivatives(network: Network, x: Matrix, y: Matrix) -> dict[str, Differences]:
    """Numerical derivatives of J in every entry of every array that is not frozen, and of each J_s in its x.

    Shapes: as in ``Gradients.named``, that of x (n, i), or of one sample (i,).

    The steps are small enough to cross no kink but one that the point itself is on.
    """
    X, found = samples("x", x), {}

    def objective() -> float:
        return network.objective(network.forward(X), y)

    def signs(array: np.ndarray, index: tuple[int, ...], offset: Any) -> Any:
        original, array[index] = array[index], array[index] + offset
        z = network.forward(X).z
        array[index] = original
        return np.sign(np.hstack(z)).tolist()

    arrays = {name: network.arrays[name] for name in network.trained} | {"x": X if len(X) > 1 else X[0]}
    for name, array in arrays.items():
        n = 1 / float(network.share(len(X))) if name == "x" else 1.0  # J has only a share of each J_s
        steps = steps_for(array)
        for index in np.ndindex(array.shape):
            for _ in range(MAX_HALVINGS):
                h = steps[index]
                if all(signs(array, index, 2 * side) == signs(array, index, SIDE * side) for side in (h, -h)):
                    break
                steps[index] /= 2
        central, nearer = (central_differences(objective, array, scale * steps) for scale in (1.0, 0.5))
        found[name] = Differences(
            n * central,
            n * one_sided_differences(objective, array, -1, steps),
            n * one_sided_differences(objective, array, 1, steps),
            n * (rounding_error(objective(), 0.5 * steps) + 2 * np.abs(central - nearer)),
        )
    return found
