"""How kernels are compiled, and where they wait for the next run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llvmlite.ir import IRBuilder, Value
from numba import config, njit
from numba.core import event
from numba.core.base import BaseContext
from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.core.typing.templates import Signature
from numba.extending import lower_builtin, type_callable


class KernelCache(FunctionCache):
    """Numba's cache without the compiler: what it needs is not loaded before it is.

    Numba's own prepares everything that could be compiled, up to SciPy where that is installed, before it looks for
    a kernel that has been compiled; that is most of the time of a short command. If there is none, the compiler
    prepares the same for itself. A kernel from the cache needs the runtime that counts references to its arrays.

    Numba compiles a kernel again when its own file has changed, and here also when one has that gives it code or
    constants.
    """

    GIVE_CODE = ("kernels/*.py", "text/tokenizer.py", "text/vocabulary.py")

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        package = Path(__file__).parent.parent
        files = [path.stat() for name in self.GIVE_CODE for path in sorted(package.glob(name))]
        self._cache_file._source_stamp = (
            self._impl.locator.get_source_stamp(), *((file.st_mtime_ns, file.st_size) for file in files)
        )  # fmt: skip

    def load_overload(self, signature: Signature, target_context: BaseContext) -> CompileResult | None:
        """The compiled kernel for these types of arguments, if the cache holds it."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, target_context)


# No "fastmath": with leave to reorder or fuse operations, LLVM does so differently in a kernel that is compiled alone
# and in one that is compiled into another, and the bits depend on which of them a process has loaded first. Where a sum
# must be fast, its lanes say in which order it is taken.
COMPILED = dict(error_model="numpy", nogil=True)


def kernel(function):
    """Compile ``function`` with Numba as mlcore does everywhere: cached, IEEE arithmetic, without the GIL."""
    compiled = njit(**COMPILED)(function)
    if not config.DISABLE_JIT:
        compiled._cache = KernelCache(function)
    return compiled


def part_of_kernels(function):
    """The same for what kernels call for each row or number: it becomes part of them, and Python cannot call it.

    To be called costs more than such a function does; and without an entry of its own it takes less time to compile.
    """
    return njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **COMPILED)(function)


def in_kernels(function: Callable, typer: Callable[..., Signature | None], *kinds: tuple[type, ...]) -> Callable:
    """Decorator of the code that kernels get in place of calls of ``function``, as Numba's ``lower_builtin`` takes it.

    ``typer`` has the function's parameters, and gives the signature for their types, or None if they are not for it;
    ``kinds`` are the classes that these types can have. An overload would be one more function to compile.
    """

    def register(build: Callable) -> Callable:
        for of_arguments in kinds:
            lower_builtin(function, *of_arguments)(build)
        return build

    type_callable(function)(lambda context: typer)
    return register


def pointer_to_element(context: BaseContext, builder: IRBuilder, signature: Signature, arguments: list) -> Value:
    """For such code: where an element of an array is, of the arguments (array, place, ...)."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@contextmanager
def watch_compilation(started: Callable[[str], None]) -> Iterator[None]:
    """Call ``started`` with the name of each kernel that has to be compiled, because no cache holds it yet."""

    class Listener(event.Listener):
        def on_start(self, happening: event.Event) -> None:
            function = happening.data["dispatcher"].py_func
            if function.__module__.startswith("mlcore") and function.__name__.isidentifier():
                started(function.__name__)

        def on_end(self, happening: event.Event) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield
