"""Where compiled kernels wait for the next run."""

from collections.abc import Callable
from pathlib import Path

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

    Numba compiles a kernel again when its own file has changed, and here also when one has that gives it code.
    """

    GIVE_CODE = ("lanes.py", "atomics.py")

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        files = [(Path(__file__).parent / name).stat() for name in self.GIVE_CODE]
        self._cache_file._source_stamp = (
            self._impl.locator.get_source_stamp(), *((file.st_mtime_ns, file.st_size) for file in files)
        )  # fmt: skip

    def load_overload(self, signature: Signature, target_context: BaseContext) -> CompileResult | None:
        """The compiled kernel for these types of arguments, if the cache holds it."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, target_context)
