"""SIMD: compiled code does what the Python functions say, to the last bit."""

import numpy as np
import pytest
from numba import config, njit
from numba.core.errors import TypingError

from mlcore.kernels import simd
from mlcore.kernels.simd import BLOCK, LANES, WIDE, horizontal_sum, load_vector, store_vector, zero_vector

DATA = np.random.default_rng(1).integers(0, 256, 2 * BLOCK).astype(np.uint8)

sum_of_vector = njit(lambda a, row, column: horizontal_sum(load_vector(a, row, column, zero_vector(a.dtype, LANES))))
sum_of_wide = njit(lambda a, row, column: horizontal_sum(load_vector(a, row, column, zero_vector(a.dtype, WIDE))))


def plain(function):
    """The Python function that an intrinsic stands for."""
    return getattr(function, "__wrapped__", function)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_horizontal_sum(dtype):
    """Also where a row is a part of a longer one, as beside its moments."""
    whole = np.random.default_rng(1).normal(size=(50, 6 * LANES)).astype(dtype)
    for array in (whole, whole[:, LANES : 5 * LANES]):
        for row in range(len(array)):
            for found, width in ((sum_of_vector, LANES), (sum_of_wide, WIDE)):
                assert found(array, row, 3) == plain(horizontal_sum)(array[row, 3 : 3 + width])


@njit
def compute(array, output, factor):
    a = load_vector(array, 0, 0, zero_vector(array.dtype, LANES))
    b = load_vector(array, 1, 0, a)
    store_vector(output, 0, 0, factor * a + b / factor - np.sqrt(b) * a)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic(dtype):
    array = np.random.default_rng(1).uniform(size=(2, LANES)).astype(dtype)
    (a, b), factor, output = array, dtype(0.3), np.zeros_like(array)
    compute(array, output, factor)
    np.testing.assert_array_equal(output[0], factor * a + b / factor - np.sqrt(b) * a)
    assert not output[1].any()


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")
def test_vectors_of_another_type_and_arrays_without_rows_are_refused():
    """They would be read and written beyond the end of the row, or from elsewhere, or rounded."""
    short, long = np.zeros((2, LANES), np.float32), np.zeros((2, LANES))
    for wrong in (
        lambda a, b: horizontal_sum(load_vector(a, 0, 0, zero_vector(b.dtype, LANES))),
        lambda a, b: store_vector(a, 0, 0, zero_vector(b.dtype, LANES)),
        lambda a, b: store_vector(a, 0, 0, zero_vector(a.dtype, LANES) + b[0, 0]),
    ):
        with pytest.raises(TypingError):
            njit(wrong)(short, long)
    with pytest.raises(TypingError):
        sum_of_vector(np.zeros((LANES, LANES), order="F"), 0, 0)


CASES = {
    "in_range_mask": [
        ((DATA, place, low, high), sum(1 << i for i in range(BLOCK) if low <= DATA[place + i] <= high))
        for place in (0, 1, 7, BLOCK)
        for low, high in ((0, 255), (97, 122), (39, 39), (128, 255), (0, 0))
    ],
    "load_eight_bytes": [
        ((DATA, place), int.from_bytes(bytes(DATA[place : place + 8]), "little", signed=True))
        for place in (0, 1, 7, 2 * BLOCK - 8)
    ],
    "count_trailing_zeros": [((np.uint64((1 << place) | (1 << 63)),), place) for place in range(BLOCK)],
    "load_acquire": [((np.arange(9), 5), 5)],
    "store_release": [((np.arange(9), 5, 7), None)],
    "prefetch": [((np.zeros((2, LANES)), 1, 0), None)],
    "yield_core": [((), None)],
    "rest": [((), None)],
}


@pytest.mark.parametrize("name", CASES)
def test_instruction(name):
    function = getattr(simd, name)
    compiled = njit(lambda *arguments: function(*arguments))
    for arguments, expected in CASES[name]:
        for call in (compiled, plain(function)):
            found = call(*arguments)
            assert (found if found is None else int(found)) == expected
    if name == "store_release":
        assert CASES[name][0][0][0].tolist() == [0, 1, 2, 3, 4, 7, 6, 7, 8]


def test_aligned_zeros_start_on_a_cache_line():
    for size in range(1, 20):
        array = simd.aligned_zeros((size, 3), np.float32)
        assert array.ctypes.data % BLOCK == 0
        assert array.shape == (size, 3)
        assert not array.any()
