"""The optimizers' moments."""

import numpy as np

from mlcore.kernels.forward import Parameters
from mlcore.kernels.simd import aligned_zeros


def with_moments(
    parameters: Parameters, optimizer: str, threads: int = 1
) -> tuple[np.ndarray, Parameters, Parameters, Parameters]:
    """Copy of the parameters, and M and S of the same shapes, all 0, or None for what the optimiser does not keep.

    Each row of the table lies beside its moments in one array, the first that is returned, (v, d), (v, 2 d) or
    (v, 3 d): they are used together, and to find a place in a large table takes longer than to read it.
    """
    kept = {"sgd": "P", "adagrad": "PS", "adam": "PMS"}[optimizer]
    table, *layers = parameters
    width = table.shape[1]
    rows = aligned_zeros((len(table), len(kept) * width), table.dtype)
    found = dict.fromkeys("PMS", Parameters(*[None] * len(parameters)))
    for number, name in enumerate(kept):
        columns = slice(number * width, (number + 1) * width)
        found[name] = Parameters(rows[:, columns], *(aligned_zeros(layer.shape, layer.dtype) for layer in layers))
    found["P"].take(parameters, threads)  # the first touch of the memory takes longer than all else
    return rows, found["P"], found["M"], found["S"]
