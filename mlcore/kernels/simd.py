"""SIMD for kernels: vector registers, bit masks, prefetching and acquire/release atomics, as intrinsics of Numba.

Each function says in Python what its instruction does, and runs as written with NUMBA_DISABLE_JIT. Compiled code gets
the instruction, by ``compiles_to``. Nothing checks that a place is in its array, or that a row is contiguous, but that
arrays in Fortran's order, whose rows are not, are refused.
"""

import functools
import inspect
import operator
import sys
import time

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from mlcore.kernels.compiling import INLINE, config, inline_kernel

BLOCK = 64  # bytes in a cache line, and in the widest registers
LANES = 16  # float32 in as many bytes
WIDE = 2 * LANES  # two vectors side by side keep more registers busy
REST = 50  # microseconds

BYTE, INT32, INT64 = map(ir.IntType, (8, 32, 64))
PLACE = types.intp, types.intp  # row and column


class VectorType(types.Type):
    """Numba's type of ``width`` numbers in SIMD registers."""

    def __init__(self, dtype, width):
        self.dtype, self.width = dtype, width
        super().__init__(f"vector({dtype}, {width})")


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), vector.width))


def compiles_to(sign, write):
    """Decorator of a Python function: in its place, compiled code gets the LLVM code that ``write`` writes.

    ``sign`` gives the signature for the types of the arguments, or None if they do not fit. ``write`` gets the builder,
    the LLVM type of the result, and the arguments, where an array and a place in it, which come first, are one pointer.
    """

    def replace(function):
        def define(typing, *kinds):
            def generate(context, builder, signature, arguments):
                if isinstance(kinds[0] if kinds else None, types.Array):
                    end = 1 + kinds[0].ndim
                    pointer = _pointer(context, builder, kinds[0], arguments[0], arguments[1:end])
                    arguments = [pointer, *arguments[end:]]
                written = write(builder, context.get_value_type(signature.return_type), *arguments)
                return context.get_dummy_value() if signature.return_type == types.void else written

            signature = sign(*kinds)
            return signature and (signature, generate)

        # Numba takes the arguments from this signature
        typing, parameters = inspect.Parameter("typing", inspect.Parameter.POSITIONAL_ONLY), inspect.signature(function)
        define.__signature__ = inspect.Signature([typing, *parameters.parameters.values()])  # type: ignore[attr-defined]
        return functools.update_wrapper(intrinsic(prefer_literal=True)(define), function)

    return (lambda function: function) if config.DISABLE_JIT else replace


def _pointer(context, builder, kind, array, places):
    """Pointer to the bytes of ``array[place]`` or ``array[row, column]``."""
    array = context.make_array(kind)(context, builder, array)
    offset = builder.mul(places[-1], context.get_constant(types.intp, kind.dtype.bitwidth // 8))
    if kind.ndim == 2:
        offset = builder.add(offset, builder.mul(places[0], builder.extract_value(array.strides, 0)))
    return builder.gep(builder.bitcast(array.data, BYTE.as_pointer()), [offset])


def _to(builder, pointer, kind):
    return builder.bitcast(pointer, kind.as_pointer())


def _splat(builder, number, vector):
    """Vector with the same number in all lanes."""
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), number, INT32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(INT32, vector.count), None))


@compiles_to(
    lambda dtype, width: VectorType(dtype.dtype, width.literal_value)(dtype, width),
    lambda builder, result, *_: ir.Constant(result, None),
)
def zero_vector(dtype, width):
    """Vector of zeros; ``width`` is LANES or WIDE."""
    return np.zeros(width, dtype)


def _has_rows_for(array, vector):
    return array.dtype == vector.dtype and array.layout != "F"


@compiles_to(
    lambda array, row, column, like: like(array, *PLACE, like) if _has_rows_for(array, like) else None,
    lambda builder, result, pointer, like: builder.load(_to(builder, pointer, result), align=4),
)
def load_vector(array, row, column, like):
    """Numbers of a row from ``column`` on, as many as the vector ``like`` has."""
    return array[row, column : column + len(like)].copy()


@compiles_to(
    lambda array, row, column, vector: types.void(array, *PLACE, vector) if _has_rows_for(array, vector) else None,
    lambda builder, _, pointer, vector: builder.store(vector, _to(builder, pointer, vector.type), align=4),
)
def store_vector(array, row, column, vector):
    """Overwrite as many numbers of a row as the vector has."""
    array[row, column : column + len(vector)] = vector


def _write_horizontal_sum(builder, result, vector):
    width = vector.type.count
    while width > 1:
        width //= 2
        lanes = (ir.Constant(ir.VectorType(INT32, width), [*range(i, i + width)]) for i in (0, width))
        vector = builder.fadd(*(builder.shuffle_vector(vector, vector, half) for half in lanes))
    return builder.extract_element(vector, INT32(0))


@compiles_to(lambda vector: vector.dtype(vector), _write_horizontal_sum)
def horizontal_sum(vector):
    """Sum of the lanes, in this order: one half is added to the other, until one number is left."""
    while len(vector) > 1:
        vector = vector[: len(vector) // 2] + vector[len(vector) // 2 :]
    return vector[0]


def _sign_elementwise(*kinds):
    """Signature for vectors, and for numbers of their type beside them."""
    vector = next((kind for kind in kinds if isinstance(kind, VectorType)), None)
    return vector(*kinds) if vector and {*kinds} <= {vector, vector.dtype} else None


def _overload_operator(function, write):
    """Let compiled code apply an operator of Python to vectors, and to a number and a vector."""

    def write_vectors(builder, result, *values):
        return write(builder, *(value if value.type == result else _splat(builder, value, result) for value in values))

    apply = compiles_to(_sign_elementwise, write_vectors)(lambda a, b: function(a, b))
    overload(function, jit_options=INLINE)(lambda a, b: (lambda a, b: apply(a, b)) if _sign_elementwise(a, b) else None)


for _name, _write in ("add", "fadd"), ("sub", "fsub"), ("mul", "fmul"), ("truediv", "fdiv"):
    _overload_operator(getattr(operator, _name), getattr(ir.IRBuilder, _write))


def _write_sqrt(builder, result, vector):
    kind, name = ir.FunctionType(result, [result]), f"llvm.sqrt.v{result.count}{result.element.intrinsic_name}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])


_sqrt = compiles_to(_sign_elementwise, _write_sqrt)(lambda a: np.sqrt(a))
overload(np.sqrt, jit_options=INLINE)(lambda a: (lambda a: _sqrt(a)) if _sign_elementwise(a) else None)


def _write_in_range_mask(builder, result, pointer, low, high):
    block = ir.VectorType(BYTE, BLOCK)
    low, high = builder.trunc(low, BYTE), builder.trunc(high, BYTE)
    loaded, largest = builder.load(_to(builder, pointer, block), align=1), builder.sub(high, low)
    # one comparison for both ends: unsigned, what is below "low" is beyond all others
    distances = builder.sub(loaded, _splat(builder, low, block))
    return builder.bitcast(builder.icmp_unsigned("<=", distances, _splat(builder, largest, block)), result)


@compiles_to(
    lambda data, place, low, high: types.uint64(data, *PLACE, types.intp) if data.dtype == types.uint8 else None,
    _write_in_range_mask,
)
def in_range_mask(data, place, low, high):
    """Bit mask of BLOCK bytes: whether ``low <= data[place + i] <= high`` is bit i."""
    block = data[place : place + BLOCK]
    return np.packbits((low <= block) & (block <= high), bitorder="little").view(np.uint64)[0]


@compiles_to(
    lambda data, place: types.int64(data, types.intp) if data.dtype == types.uint8 else None,
    lambda builder, result, pointer: builder.load(_to(builder, pointer, result), align=1),
)
def load_eight_bytes(data, place):
    """Eight bytes as one number, the first byte lowest."""
    return np.int64(int.from_bytes(data[place : place + 8].tobytes(), "little", signed=True))


@compiles_to(lambda bits: types.int64(types.uint64), lambda builder, result, bits: builder.cttz(bits, cgutils.true_bit))
def count_trailing_zeros(bits):
    """Place of the lowest bit that is set; there must be one."""
    return (int(bits) & -int(bits)).bit_length() - 1


@inline_kernel
def mix_bits(number):
    """Scatter the bits of a number over the lower ones: a hash for tables. The products stay below 2 ** 63."""
    value = (number & 0xFFFFFFFF) * 0x45D9F3B ^ (number >> 32) * 0x7FEB352D
    return value ^ value >> 29


def _write_prefetch(builder, result, pointer):
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, INT32, INT32, INT32])
    function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
    builder.call(function, [pointer, INT32(1), INT32(3), INT32(1)])  # to write, into all caches, data


@compiles_to(lambda array, row, column: types.void(array, *PLACE), _write_prefetch)
def prefetch(array, row, column):
    """Ask for a cache line that will be written soon."""


@compiles_to(
    lambda array, place: types.int64(array, types.intp) if array.dtype == types.int64 else None,
    lambda builder, result, pointer: builder.load_atomic(_to(builder, pointer, INT64), "acquire", 8),
)
def load_acquire(array, place):
    """Read an element that another thread writes, and see everything that it wrote before."""
    return array[place]


@compiles_to(
    lambda array, place, value: types.void(array, types.intp, types.int64) if array.dtype == types.int64 else None,
    lambda builder, _, pointer, value: builder.store_atomic(value, _to(builder, pointer, INT64), "release", 8),
)
def store_release(array, place, value):
    """Write an element for the other threads, after everything that this thread wrote before."""
    array[place] = value


def _call(builder, function, *numbers):
    """Call a function of the C library that takes 32-bit numbers."""
    kind = ir.FunctionType(INT32, [INT32] * len(numbers))
    builder.call(cgutils.get_or_insert_function(builder.module, kind, function), [*map(INT32, numbers)])


@compiles_to(
    lambda: types.void(),
    lambda builder, _: _call(builder, "SwitchToThread" if sys.platform == "win32" else "sched_yield"),
)
def yield_core():
    """Let another thread run on this core."""
    time.sleep(0)


@compiles_to(
    lambda: types.void(),
    lambda builder, _: _call(builder, *(("Sleep", 1) if sys.platform == "win32" else ("usleep", REST))),
)
def rest():
    """Sleep for about REST microseconds (on Windows, which cannot, a thousand)."""
    time.sleep(REST / 1e6)


def aligned_zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
    """Array of zeros that starts on a cache line, so that padded rows touch as few of them as possible."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + BLOCK, np.uint8)
    start = -memory.ctypes.data % BLOCK
    return memory[start : start + size].view(dtype).reshape(shape)
