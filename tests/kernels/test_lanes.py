"""Lanes: compiled code adds in the order that the plain functions show, to the last bit."""

import numpy as np
import pytest
from numba import config, njit
from numba.core.errors import TypingError

from mlcore.kernels.simd import LANES, load_lanes, store_lanes, sum_lanes, zero_line, zero_pair

sum_of_line = njit(lambda array, row, column: sum_lanes(load_lanes(array, row, column, zero_line(array))))
sum_of_pair = njit(lambda array, row, column: sum_lanes(load_lanes(array, row, column, zero_pair(array))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sum_of_lanes(dtype):
    """Also where a row is a part of a longer one, as beside its moments."""
    whole = np.random.default_rng(1).normal(size=(50, 6 * LANES)).astype(dtype)
    for array in (whole, whole[:, LANES : 5 * LANES]):
        for row in range(len(array)):
            for found, width in ((sum_of_line(array, row, 3), LANES), (sum_of_pair(array, row, 3), 2 * LANES)):
                assert found == sum_lanes(array[row, 3 : 3 + width])


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")
def test_lanes_of_another_type_are_refused():
    """They would be read and written beyond the end of the row."""
    short, long = np.zeros((1, LANES), np.float32), np.zeros((1, LANES))
    with pytest.raises(TypingError):
        njit(lambda array, other: sum_lanes(load_lanes(array, 0, 0, zero_line(other))))(short, long)
    with pytest.raises(TypingError):
        njit(lambda array, other: store_lanes(array, 0, 0, zero_line(other)))(short, long)
