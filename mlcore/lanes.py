"""Lanes: one or two cache lines of a row, held in registers by compiled code.

A sum of many rows in a plain loop over columns is stored and loaded again for every row, since the compiler cannot know
that the arrays do not overlap; that takes several times as long as the memory needs. Lanes are added, multiplied and so
on one by one, with a rounding each, so that their bits do not depend on the processor.

The plain functions say what is meant, and run with NUMBA_DISABLE_JIT, where lanes are NumPy's arrays. Kernels get the
code of the intrinsics in their place.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

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


def _zeros(width):
    @intrinsic
    def zeros(typing_context, array):
        def build(context, builder, signature, arguments):
            return ir.Constant(context.get_value_type(signature.return_type), None)

        return LanesType(array.dtype, width)(array), build

    return zeros


_zero_line, _zero_pair = _zeros(LANES), _zeros(2 * LANES)


def _address(context, builder, signature, arguments, pointee):
    """Pointer to an element of an array, of the arguments (array, row, column, ...), whose rows are contiguous."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    size = context.get_constant(types.intp, signature.args[0].dtype.bitwidth // 8)
    row = builder.mul(arguments[1], builder.extract_value(array.strides, 0))
    place = builder.add(row, builder.mul(arguments[2], size))
    start = builder.bitcast(array.data, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(start, [place]), pointee.as_pointer())


@intrinsic
def _load_lanes(typing_context, array, row, column, like):
    def build(context, builder, signature, arguments):
        lanes = signature.return_type
        address = _address(context, builder, signature, arguments, context.get_value_type(lanes))
        return builder.load(address, align=lanes.dtype.bitwidth // 8)

    return like(array, types.intp, types.intp, like), build


@intrinsic
def _store_lanes(typing_context, array, row, column, lanes):
    def build(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments, context.get_value_type(signature.args[3]))
        builder.store(arguments[3], address, align=signature.args[3].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), build


def _arithmetic(operation, instruction):
    """Let compiled code apply an operation of Python to lanes, or to a number and lanes."""

    @intrinsic
    def apply(typing_context, a, b):
        lanes = a if isinstance(a, LanesType) else b

        def build(context, builder, signature, arguments):
            vector = context.get_value_type(lanes)
            a, b = (
                value if isinstance(kind, LanesType) else repeated(builder, value, vector)
                for value, kind in zip(arguments, signature.args, strict=True)
            )
            return getattr(builder, instruction)(a, b)

        return lanes(*(kind if kind == lanes else lanes.dtype for kind in (a, b))), build

    @overload(operation)
    def of_lanes(a, b):
        if isinstance(a, LanesType) or isinstance(b, LanesType):
            return lambda a, b: apply(a, b)
        return None


def repeated(builder, number, vector):
    """Vector of the same number in all places."""
    place = ir.IntType(32)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, place(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(place, vector.count), None))


@intrinsic
def _sqrt(typing_context, lanes):
    def build(context, builder, signature, arguments):
        vector = context.get_value_type(lanes)
        name = f"llvm.sqrt.v{lanes.width}f{lanes.dtype.bitwidth}"
        sqrt = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name)
        return builder.call(sqrt, arguments)

    return lanes(lanes), build


@intrinsic
def _sum_lanes(typing_context, lanes):
    def build(context, builder, signature, arguments):
        place = ir.IntType(32)
        (left,), width = arguments, lanes.width
        while width > 1:
            width //= 2
            halves = []
            for first in (0, width):
                chosen = ir.Constant(ir.VectorType(place, width), [place(first + i) for i in range(width)])
                halves.append(builder.shuffle_vector(left, left, chosen))
            left = builder.fadd(*halves)
        return builder.extract_element(left, place(0))

    return lanes.dtype(lanes), build


@intrinsic
def _prefetch_line(typing_context, array, row, column):
    def build(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments, ir.IntType(8))
        number = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [address.type], function_type)
        builder.call(prefetch, [address, number(1), number(3), number(1)])  # to write, into all caches, data
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), build


overload(zero_line)(lambda array: lambda array: _zero_line(array))
overload(zero_pair)(lambda array: lambda array: _zero_pair(array))
overload(load_lanes)(
    lambda array, row, column, like: lambda array, row, column, like: _load_lanes(array, row, column, like)
)
overload(store_lanes)(
    lambda array, row, column, lanes: lambda array, row, column, lanes: _store_lanes(array, row, column, lanes)
)
overload(sum_lanes)(lambda lanes: lambda lanes: _sum_lanes(lanes))
overload(prefetch_line)(lambda array, row, column: lambda array, row, column: _prefetch_line(array, row, column))
overload(np.sqrt)(lambda a: (lambda a: _sqrt(a)) if isinstance(a, LanesType) else None)
for _operation, _instruction in (
    (operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv"),
):  # fmt: skip
    _arithmetic(_operation, _instruction)
