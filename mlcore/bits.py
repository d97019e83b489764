"""Eight and 64 bytes at once, as compiled code takes them: a text is gone through in a fraction of its bytes' steps.

The plain functions say what is meant, and run with NUMBA_DISABLE_JIT. Kernels get the code of the intrinsics in their
place.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from mlcore.compiling import part_of_kernels
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
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), kind.as_pointer()), align=1)


@intrinsic
def _bits_between(typing_context, data, place, low, high):
    def build(context, builder, signature, arguments):
        byte = ir.IntType(8)
        block = ir.VectorType(byte, BLOCK)
        low, high = (builder.trunc(value, byte) for value in arguments[2:])
        # in one comparison: what is below "low" is beyond all others without a sign
        loaded = _load(context, builder, signature, arguments, block)
        distances = builder.sub(loaded, repeated(builder, low, block))
        most = repeated(builder, builder.sub(high, low), block)
        return builder.bitcast(builder.icmp_unsigned("<=", distances, most), ir.IntType(BLOCK))

    return types.uint64(data, types.intp, types.intp, types.intp), build


@intrinsic
def _eight_bytes(typing_context, data, place):
    def build(context, builder, signature, arguments):
        return _load(context, builder, signature, arguments, ir.IntType(64))

    return types.int64(data, types.intp), build


@intrinsic
def _lowest_bit(typing_context, bits):
    def build(context, builder, signature, arguments):
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.uint64), build


overload(bits_between)(
    lambda data, place, low, high: lambda data, place, low, high: _bits_between(data, place, low, high)
)
overload(eight_bytes)(lambda data, place: lambda data, place: _eight_bytes(data, place))
overload(lowest_bit)(lambda bits: lambda bits: _lowest_bit(bits))
