"""How kernels are compiled, and where the compiled code is kept for the next run."""

import functools
import hashlib
import os
import stat
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
INLINE = OPTIONS | {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
LAYERS = "kernels", "text", "sentiment"  # packages with kernels; each may use code and constants of those before it


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call, with IEEE arithmetic and without the GIL, and cache the result."""
    compiled = njit(**OPTIONS)(function)
    if not config.DISABLE_JIT:
        enable_cache(compiled)
    return compiled


def inline_kernel(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it: a call would cost more than the body."""
    return njit(**INLINE)(function)


def enable_cache(compiled: Any) -> None:
    """Cache a kernel in Numba's way, or better where Numba has the private parts that this takes."""
    try:
        compiled._cache = _cache_class()(compiled.py_func)
    except (ImportError, AttributeError, TypeError):
        try:
            compiled.enable_caching()
        except RuntimeError:
            _warn_uncached()


@functools.cache
def _cache_class() -> Any:
    """Numba's cache with three changes; everything that mlcore takes from Numba's private parts is in this function.

    - Kernels are loaded without the compiler. Numba prepares everything that could be compiled, up to SciPy, before it
      looks into its cache: 0.2 s of every short command.
    - A kernel is compiled again when code or constants that it uses have changed, not only its own file.
    - A cache that is damaged, or cannot be written, costs time and stops nothing.
    """
    from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
    from numba.core.runtime.nrt import rtsys

    class Locator:
        def __init__(self, function: Callable[..., Any]) -> None:
            self._py_file, self._line = function.__code__.co_filename, function.__code__.co_firstlineno
            self.ready, self.folder = cache_folders(Path(self._py_file).parent)

        @classmethod
        def from_function(cls, function: Callable[..., Any], path: str) -> "Locator":
            return cls(function)

        def get_cache_path(self) -> str:
            return str(self.folder)

        def ensure_cache_path(self) -> None:
            self.folder.mkdir(parents=True, exist_ok=True)

        def get_source_stamp(self) -> str:
            return source_stamp(Path(self._py_file))

        def get_disambiguator(self) -> str:
            return str(self._line)

    class Implementation(CompileResultCacheImpl):
        _locator_classes: list[Any] = [Locator]

    class KernelCache(FunctionCache):
        _impl_class = Implementation

        def load_overload(self, signature: Any, context: Any) -> Any:
            locator = self._impl.locator
            try:
                rtsys.initialize(context)  # counts the references to arrays: all that a compiled kernel needs
                key = self._index_key(signature, context.codegen())
                for folder in dict.fromkeys((locator.folder, locator.ready)):
                    file = IndexDataCacheFile(str(folder), self._impl.filename_base, locator.get_source_stamp())
                    if (data := file.load(key)) is not None:
                        return self._impl.rebuild(context, data)
            except Exception:  # whatever pickle raises for a damaged file
                with suppress(OSError):
                    self.flush()
            return None

        def save_overload(self, signature: Any, result: Any) -> None:
            try:
                super().save_overload(signature, result)
            except OSError:
                _warn_uncached()

    return KernelCache


@functools.cache
def _warn_uncached() -> None:
    warnings.warn(
        "Compiled kernels cannot be kept, since no folder for them can be written to: every run compiles them again, "
        "which takes up to a minute. Set the environment variable NUMBA_CACHE_DIR to a folder that can be written to.",
        RuntimeWarning,
        stacklevel=2,
    )


@functools.cache
def source_stamp(path: Path) -> str:
    """Hash of all files whose code or constants can be in a kernel of this file."""
    package, layer = Path(__file__).parent.parent, path.parent.name
    layers = LAYERS[: LAYERS.index(layer) + 1] if path.parent == package / layer and layer in LAYERS else LAYERS[:1]
    files = [file for name in layers for file in sorted((package / name).glob("*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in [*files, path])).hexdigest()


@functools.cache
def cache_folders(source: Path) -> tuple[Path, Path]:
    """Where kernels of this folder may lie ready, and where they are written: the first folder where that works.

    That is NUMBA_CACHE_DIR alone if it is given. Otherwise kernels lie ready beside their source, and are written
    there, or for the user, or in a temporary folder.
    """
    name = f"{source.name}-{hashlib.sha256(bytes(source)).hexdigest()[:16]}"
    beside = source / "__pycache__"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folders = [Path(config.CACHE_DIR, name)] if config.CACHE_DIR else [beside, Path(home, "mlcore", "kernels", name)]
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folders[0], folder
    with suppress(OSError):
        return folders[0], _private_folder() / name
    return folders[0], folders[0]


def _private_folder() -> Path:
    """A temporary folder that stays, and that only this user can write to, because what lies in it is executed.

    Raises: OSError if there is none, or it is somebody else's.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"mlcore-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o077):
        raise PermissionError(f"{folder} can be written to by others")
    return folder


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
