"""SIMD vectors, bit masks, prefetching and atomics for kernels: the instructions that Numba lacks.

The plain functions say what is meant, and run with NUMBA_DISABLE_JIT. Kernels get in their place what follows below.
"""

import operator
import sys
import time

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from mlcore.kernels.compiling import in_kernels, part_of_kernels, pointer_to_element

LANES = 16  # float32 in a cache line, and in the widest vectors


class LanesType(types.Type):
    """Numba's type of ``width`` numbers in registers."""

    def __init__(self, dtype, width):
        self.dtype, self.width = dtype, width
        super().__init__(f"lanes({dtype}, {width})")


@register_model(LanesType)
class LanesModel(models.PrimitiveModel):
    """Lanes as LLVM's vectors."""

    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.dtype).get_value_type(), lanes.width))


def zero_line(array):
    """LANES zeros of an array's type."""
    return np.zeros(LANES, array.dtype)


def zero_pair(array):
    """Twice LANES zeros of an array's type."""
    return np.zeros(2 * LANES, array.dtype)


def load_lanes(array, row, column, like):
    """Numbers of a row from ``column`` on, as many as ``like`` has; nothing checks that they are there.

    The rows of the array are contiguous, and lie at equal distances, here and below.
    """
    return array[row, column : column + len(like)].copy()


def store_lanes(array, row, column, lanes):
    """Overwrite as many numbers of a row as there are lanes; nothing checks that they are there."""
    array[row, column : column + len(lanes)] = lanes


def sum_lanes(lanes):
    """Sum of the lanes: one half is added to the other, until one number is left."""
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return lanes[0]


def prefetch_line(array, row, column):
    """Ask for a cache line that will be written soon."""


@in_kernels(zero_line, lambda array: LanesType(array.dtype, LANES)(array), (types.Array,))
@in_kernels(zero_pair, lambda array: LanesType(array.dtype, 2 * LANES)(array), (types.Array,))
def _zeros(context, builder, signature, arguments):
    return ir.Constant(context.get_value_type(signature.return_type), None)


def _address(context, builder, signature, arguments, pointee):
    """Pointer to an element of an array, of the arguments (array, row, column, ...), whose rows are contiguous."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    size = context.get_constant(types.intp, signature.args[0].dtype.bitwidth // 8)
    row = builder.mul(arguments[1], builder.extract_value(array.strides, 0))
    place = builder.add(row, builder.mul(arguments[2], size))
    start = builder.bitcast(array.data, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(start, [place]), pointee.as_pointer())


PLACE = types.Array, types.Integer, types.Integer


def _fitting(array, lanes):
    """Whether these can be lanes of such an array."""
    return isinstance(array, types.Array) and isinstance(lanes, LanesType) and array.dtype == lanes.dtype


@in_kernels(
    load_lanes,
    lambda array, row, column, like: like(array, types.intp, types.intp, like) if _fitting(array, like) else None,
    (*PLACE, LanesType),
)
def _load_lanes(context, builder, signature, arguments):
    lanes = signature.return_type
    address = _address(context, builder, signature, arguments, context.get_value_type(lanes))
    return builder.load(address, align=lanes.dtype.bitwidth // 8)


@in_kernels(
    store_lanes,
    lambda array, row, column, lanes: (
        types.void(array, types.intp, types.intp, lanes) if _fitting(array, lanes) else None
    ),
    (*PLACE, LanesType),
)
def _store_lanes(context, builder, signature, arguments):
    address = _address(context, builder, signature, arguments, context.get_value_type(signature.args[3]))
    builder.store(arguments[3], address, align=signature.args[3].dtype.bitwidth // 8)
    return context.get_dummy_value()


@in_kernels(prefetch_line, lambda array, row, column: types.void(array, types.intp, types.intp), PLACE)
def _prefetch_line(context, builder, signature, arguments):
    address = _address(context, builder, signature, arguments, ir.IntType(8))
    number = ir.IntType(32)
    function_type = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [address.type], function_type)
    builder.call(prefetch, [address, number(1), number(3), number(1)])  # to write, into all caches, data
    return context.get_dummy_value()


@in_kernels(sum_lanes, lambda lanes: lanes.dtype(lanes), (LanesType,))
def _sum_lanes(context, builder, signature, arguments):
    place = ir.IntType(32)
    (left,), width = arguments, signature.args[0].width
    while width > 1:
        width //= 2
        halves = []
        for first in (0, width):
            chosen = ir.Constant(ir.VectorType(place, width), [place(first + i) for i in range(width)])
            halves.append(builder.shuffle_vector(left, left, chosen))
        left = builder.fadd(*halves)
    return builder.extract_element(left, place(0))


@in_kernels(np.sqrt, lambda lanes: lanes(lanes) if isinstance(lanes, LanesType) else None, (LanesType,))
def _sqrt(context, builder, signature, arguments):
    lanes, vector = signature.return_type, context.get_value_type(signature.return_type)
    name = f"llvm.sqrt.v{lanes.width}f{lanes.dtype.bitwidth}"
    sqrt = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
    return builder.call(sqrt, arguments)


def repeated(builder, number, vector):
    """Vector of the same number in all places."""
    place = ir.IntType(32)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, place(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(place, vector.count), None))


def _arithmetic(operation, instruction):
    """Let compiled code apply an operation of Python to lanes, or to a number and lanes."""

    def typer(a, b):
        lanes = next((kind for kind in (a, b) if isinstance(kind, LanesType)), None)
        return lanes and lanes(*(kind if kind == lanes else lanes.dtype for kind in (a, b)))

    def build(context, builder, signature, arguments):
        vector = context.get_value_type(signature.return_type)
        a, b = (
            value if isinstance(kind, LanesType) else repeated(builder, value, vector)
            for value, kind in zip(arguments, signature.args, strict=True)
        )
        return getattr(builder, instruction)(a, b)

    in_kernels(operation, typer, (LanesType, LanesType), (types.Float, LanesType), (LanesType, types.Float))(build)


for _operation, _instruction in (
    (operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv"),
):  # fmt: skip
    _arithmetic(_operation, _instruction)


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


def load_acquire(array, index):
    """Read an element that another thread writes, and see all that it wrote before."""
    return array[index]


def store_release(array, index, value):
    """Write an element for the other threads, after all that this thread wrote before."""
    array[index] = value


def yield_core():
    """Let another thread run on this core."""
    time.sleep(0)


@in_kernels(
    load_acquire,
    lambda array, index: types.int64(array, types.intp) if array.dtype == types.int64 else None,
    (types.Array, types.Integer),
)
def _load_acquire(context, builder, signature, arguments):
    return builder.load_atomic(pointer_to_element(context, builder, signature, arguments), "acquire", 8)


@in_kernels(
    store_release,
    lambda array, index, value: types.void(array, types.intp, types.int64) if array.dtype == types.int64 else None,
    (types.Array, types.Integer, types.Integer),
)
def _store_release(context, builder, signature, arguments):
    builder.store_atomic(arguments[2], pointer_to_element(context, builder, signature, arguments), "release", 8)
    return context.get_dummy_value()


@in_kernels(yield_core, lambda: types.void(), ())
def _yield_core(context, builder, signature, arguments):
    name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), name)
    builder.call(function, [])
    return context.get_dummy_value()


def aligned_zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Array of zeros that starts on a cache line, so that padded rows touch as few lines as possible."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + BLOCK, np.uint8)
    start = -memory.ctypes.data % BLOCK
    return memory[start : start + size].view(dtype).reshape(shape)
