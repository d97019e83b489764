"""Eight and 64 bytes at once: the same from compiled code as from the plain functions and from arithmetic."""

import numpy as np
from numba import njit

from mlcore.kernels.simd import BLOCK, bits_between, eight_bytes, lowest_bit

DATA = np.random.default_rng(1).integers(0, 256, 2 * BLOCK).astype(np.uint8)

between = njit(lambda data, place, low, high: bits_between(data, place, low, high))
eight = njit(lambda data, place: eight_bytes(data, place))
lowest = njit(lambda bits: lowest_bit(bits))


def test_bits_between():
    for place in (0, 1, 7, BLOCK):
        for low, high in ((0, 255), (97, 122), (39, 39), (128, 255), (0, 0)):
            expected = sum(1 << i for i in range(BLOCK) if low <= DATA[place + i] <= high)
            assert int(between(DATA, place, low, high)) == int(bits_between(DATA, place, low, high)) == expected


def test_eight_bytes():
    for place in (0, 1, 7, 2 * BLOCK - 8):
        expected = int.from_bytes(bytes(DATA[place : place + 8]), "little", signed=True)
        assert int(eight(DATA, place)) == int(eight_bytes(DATA, place)) == expected


def test_lowest_bit():
    for place in range(BLOCK):
        bits = np.uint64((1 << place) | (1 << 63))
        assert lowest(bits) == lowest_bit(bits) == place
