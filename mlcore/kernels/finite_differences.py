"""Numerical derivatives of scalar functions of arrays: an independent check of every gradient.

Steps are relative to the size of the entry. With float64 and a function of size 1, the errors are about 1e-10.
"""

from collections.abc import Callable

import numpy as np

STEP = 1e-5  # near the cube root of the float64 epsilon, where truncation and rounding errors are about equal
Function = Callable[[], float]


def steps_for(array: np.ndarray) -> np.ndarray:
    """The usual step for every entry."""
    return np.asarray(STEP * np.maximum(1.0, np.abs(array)))


def central_differences(function: Function, array: np.ndarray, steps: np.ndarray | None = None) -> np.ndarray:
    """``(f(a + h) - f(a - h)) / 2h`` for every entry a of ``array``, which ``function`` reads; h is its step.

    At a kink this is the mean of the two one-sided derivatives.

    Example:
        >>> a = np.array([1.0, -2.0])
        >>> central_differences(lambda: float(a @ a), a).round(6).tolist()
        [2.0, -4.0]
        >>> a.tolist()
        [1.0, -2.0]
    """
    return _per_entry(function, array, steps_for(array) if steps is None else steps, (1, -1), lambda f, g: f - g)


def one_sided_differences(function: Function, array: np.ndarray, side: int, steps: np.ndarray) -> np.ndarray:
    """Derivative from the right (side 1) or from the left (side -1) for every entry of ``array``.

    Second order: ``(4 f(a + h) - 3 f(a) - f(a + 2h)) / 2h`` with h of the sign of ``side``, which is exact for
    a function that is piecewise quadratic on either side of a kink, as the loss of exercise 1 is in each entry.
    """
    return _per_entry(function, array, side * steps, (1, 0, 2), lambda f1, f0, f2: 4 * f1 - 3 * f0 - f2)


def rounding_error(value: float, steps: np.ndarray) -> np.ndarray:
    """How far the differences of a function of about this value may be off by rounding, with these steps."""
    return 32 * np.finfo(np.float64).eps * abs(value) / steps


def _per_entry(
    function: Function, array: np.ndarray, steps: np.ndarray, places: tuple[int, ...], difference: Callable[..., float]
) -> np.ndarray:
    result = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        original, h, values = float(array[index]), float(steps[index]), []
        for place in places:
            array[index] = original + place * h
            values.append(function())
        result[index], array[index] = difference(*values) / (2 * h), original
    return result
