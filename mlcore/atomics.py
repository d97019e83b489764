"""Numbers by which the threads of a kernel tell each other how far they are.

The plain functions say what is meant, and run with NUMBA_DISABLE_JIT. Kernels get the code of the intrinsics in their
place.
"""

import sys
import time

from numba import types
from numba.extending import intrinsic, overload


def load_acquire(array, index):
    """Read an element that another thread writes, and see all that it wrote before."""
    return array[index]


def store_release(array, index, value):
    """Write an element for the other threads, after all that this thread wrote before."""
    array[index] = value


def yield_core():
    """Let another thread run on this core."""
    time.sleep(0)


@intrinsic
def _atomic_load(typing_context, array, index):
    def build(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(builder.gep(data, [arguments[1]]), "acquire", 8)

    return types.int64(array, types.intp), build


@intrinsic
def _atomic_store(typing_context, array, index, value):
    def build(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        builder.store_atomic(arguments[2], builder.gep(data, [arguments[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), build


overload(load_acquire)(lambda array, index: lambda array, index: _atomic_load(array, index))
overload(store_release)(lambda array, index, value: lambda array, index, value: _atomic_store(array, index, value))
_system_yield = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())
overload(yield_core)(lambda: lambda: _system_yield())
