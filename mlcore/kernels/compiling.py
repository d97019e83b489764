"""How kernels are compiled, and where the compiled code is kept for the next run."""

import functools
import hashlib
import os
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core import event

config: Any = numba.config
# No "fastmath": it lets LLVM reorder and fuse operations, which it does differently where a kernel is compiled alone
# and where it is inlined. The bits of a result would depend on which of them a process compiles first.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
# Without entries for Python and C, a function takes less time to compile
INLINE: Any = OPTIONS | {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
UNCACHED = (
    "Compiled kernels cannot be kept, since no folder for them can be written to: every run compiles them again, which "
    "takes up to a minute. Set the environment variable NUMBA_CACHE_DIR to a folder that can be written to."
)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call, with IEEE arithmetic and without the GIL, and cache the result."""
    compiled = njit(**OPTIONS)(function)
    if not config.DISABLE_JIT:
        try:
            compiled._cache = _cache_class()(function)
        except (ImportError, AttributeError, TypeError):  # a Numba with other private parts caches in its own way
            with suppress(RuntimeError):
                compiled.enable_caching()
    return compiled


def inline_kernel(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it: a call would cost more than the body."""
    return njit(**INLINE)(function)


@functools.cache
def _cache_class() -> Any:
    """A cache in the files of Numba's; everything that mlcore takes from Numba's private parts is in this function.

    - Kernels are loaded without the compiler. Numba prepares everything that could be compiled, up to SciPy, before it
      looks into its cache: 0.2 s of every short command.
    - A kernel is compiled again when code or constants that it uses have changed, not only its own file.
    - A cache that is damaged, or cannot be written, costs time and stops nothing.
    """
    from numba.core.caching import IndexDataCacheFile, NullCache
    from numba.core.compiler import CompileResult
    from numba.core.runtime.nrt import rtsys

    rebuild, reduce = CompileResult._rebuild, CompileResult._reduce

    class KernelCache(NullCache):
        def __init__(self, function: Any) -> None:
            source, line = Path(function.__code__.co_filename), function.__code__.co_firstlineno
            python = f"{sys.implementation.cache_tag}{getattr(sys, 'abiflags', '')}"
            name = f"{source.stem}.{function.__name__}-{line}.{python}"
            folders = dict.fromkeys(map(str, cache_folders(source.parent)))
            self.files = [IndexDataCacheFile(folder, name, source_stamp(source)) for folder in folders]

        def load_overload(self, signature: Any, context: Any) -> Any:
            try:
                rtsys.initialize(context)  # counts the references to arrays: all that a compiled kernel needs
                for file in self.files:
                    if (data := file.load((signature, context.codegen().magic_tuple()))) is not None:
                        return rebuild(context, *data)
            except Exception:  # whatever pickle raises for a damaged file
                with suppress(OSError):
                    self.files[0].flush()
            return None

        def save_overload(self, signature: Any, result: Any) -> None:
            try:
                self.files[0].save((signature, result.codegen.magic_tuple()), reduce(result))
            except Exception:
                warnings.warn(UNCACHED, RuntimeWarning, stacklevel=1)

    return KernelCache


@functools.cache
def source_stamp(path: Path) -> str:
    """Hash of all files whose code or constants can be in a kernel of this file: those of its package, and these."""
    files = {*Path(__file__).parent.glob("*.py"), *path.parent.glob("*.py")}
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in sorted(files))).hexdigest()


@functools.cache
def cache_folders(source: Path) -> tuple[Path, Path]:
    """Where kernels of this folder are written, the first folder where that works, and where they may lie ready.

    That is NUMBA_CACHE_DIR if it is given. Otherwise kernels lie ready beside their source, and are written there, or
    for the user, or in a temporary folder.
    """
    name = f"{source.name}-{hashlib.sha256(bytes(source)).hexdigest()[:16]}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    usual = [source / "__pycache__", Path(home, "mlcore", "kernels", name)]
    usual = [Path(config.CACHE_DIR, name)] if config.CACHE_DIR else usual
    user = os.getuid() if hasattr(os, "getuid") else None
    temporary = Path(tempfile.gettempdir(), f"mlcore-{user}-{name}")
    for folder in (*usual, temporary):
        with suppress(OSError):
            folder.mkdir(mode=0o700 if folder == temporary else 0o777, parents=True, exist_ok=True)
            found = folder.lstat()
            private = stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077
            if folder == temporary and user is not None and not private:
                continue  # what lies there is executed, and others could write it
            with tempfile.TemporaryFile(dir=folder):
                return folder, usual[0]
    return usual[0], usual[0]


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
