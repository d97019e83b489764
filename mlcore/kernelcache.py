"""Where compiled kernels wait for the next run."""

from numba.core.base import BaseContext
from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.typing.templates import Signature


class KernelCache(FunctionCache):
    """Numba's cache without the compiler: what it needs is not loaded before it is.

    Numba's own prepares everything that could be compiled, up to SciPy where that is installed, before it looks for
    a kernel that has been compiled; that is most of the time of a short command. If there is none, the compiler
    prepares the same for itself. A kernel from the cache needs the runtime that counts references to its arrays.
    """

    def load_overload(self, signature: Signature, target_context: BaseContext) -> CompileResult | None:
        """The compiled kernel for these types of arguments, if the cache holds it."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, target_context)
