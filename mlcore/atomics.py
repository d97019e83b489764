"""Numbers by which the threads of a kernel tell each other how far they are.

The plain functions say what is meant, and run with NUMBA_DISABLE_JIT. Kernels get in their place what follows below.
"""

import sys
import time

from llvmlite import ir
from numba import types
from numba.core import cgutils

from mlcore.compiling import in_kernels, pointer_to_element


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
