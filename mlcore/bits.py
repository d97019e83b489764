"""Eight and 64 bytes at once, as compiled code takes them: a text is gone through in a fraction of its bytes' steps.

The plain functions say what is meant, and run with NUMBA_DISABLE_JIT. Kernels get in their place what follows below.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from mlcore.compiling import in_kernels, part_of_kernels, pointer_to_element
from mlcore.lanes import repeated

BLOCK = 64  # bytes that are compared at once


def bits_between(data, place, low, high):
    """Bit i of the result: whether ``low <= data[place + i] <= high``, for i below BLOCK; nothing checks that they
    are there.
    """
    block = data[place : place + BLOCK]
    return np.packbits((low <= block) & (block <= high), bitorder="little").view(np.uint64)[0]


def eight_bytes(data, place):
    """Eight bytes as a number, the first one lowest; nothing checks that they are there."""
    return np.int64(int.from_bytes(data[place : place + 8].tobytes(), "little", signed=True))


def lowest_bit(bits):
    """Place of the lowest bit that is set; there must be one."""
    return (int(bits) & -int(bits)).bit_length() - 1


@part_of_kernels
def mixed(number):
    """Scatter the bits of a number over the lower ones: a hash. The products stay below 2 ** 63."""
    value = (number & 0xFFFFFFFF) * 0x45D9F3B ^ (number >> 32) * 0x7FEB352D
    return value ^ value >> 29


def _load(context, builder, signature, arguments, kind):
    pointer = pointer_to_element(context, builder, signature, arguments)
    return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=1)


@in_kernels(
    bits_between,
    lambda data, place, low, high: (
        types.uint64(data, types.intp, types.intp, types.intp) if data.dtype == types.uint8 else None
    ),
    (types.Array, types.Integer, types.Integer, types.Integer),
)
def _bits_between(context, builder, signature, arguments):
    byte = ir.IntType(8)
    block = ir.VectorType(byte, BLOCK)
    low, high = (builder.trunc(value, byte) for value in arguments[2:])
    # in one comparison: what is below "low" is beyond all others without a sign
    loaded = _load(context, builder, signature, arguments, block)
    distances = builder.sub(loaded, repeated(builder, low, block))
    most = repeated(builder, builder.sub(high, low), block)
    return builder.bitcast(builder.icmp_unsigned("<=", distances, most), ir.IntType(BLOCK))


@in_kernels(
    eight_bytes,
    lambda data, place: types.int64(data, types.intp) if data.dtype == types.uint8 else None,
    (types.Array, types.Integer),
)
def _eight_bytes(context, builder, signature, arguments):
    return _load(context, builder, signature, arguments, ir.IntType(64))


@in_kernels(lowest_bit, lambda bits: types.int64(types.uint64), (types.Integer,))
def _lowest_bit(context, builder, signature, arguments):
    return builder.cttz(arguments[0], cgutils.true_bit)
