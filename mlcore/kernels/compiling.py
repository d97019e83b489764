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

from numba import config, njit
from numba.core import event

# No "fastmath": it lets LLVM reorder and fuse operations, which it does differently where a kernel is compiled alone
# and where it is inlined. The bits of a result would depend on which of them a process compiles first.
OPTIONS = dict(error_model="numpy", nogil=True)
# Without entries for Python and C, a function takes less time to compile
INLINE = OPTIONS | dict(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
LAYERS = "kernels", "text", "sentiment"  # packages with kernels; each may use code and constants of those before it
UNCACHED = (
    "Compiled kernels cannot be kept ({}), so that every run has to compile them again, which takes up to a minute. "
    "Set the environment variable NUMBA_CACHE_DIR to a folder that can be written to."
)


def kernel(function: Callable) -> Any:
    """Compile a function on its first call, with IEEE arithmetic and without the GIL, and cache the result."""
    compiled = njit(**OPTIONS)(function)
    if not config.DISABLE_JIT:
        enable_cache(compiled)
    return compiled


def inline_kernel(function: Callable) -> Any:
    """Compile a function into the kernels that call it: a call would cost more than the body."""
    return njit(**INLINE)(function)


def enable_cache(compiled: Any) -> None:
    """Cache a kernel as ``cache=True`` does, or if Numba has the parts that it takes, faster and in more places."""
    try:
        compiled._cache = _cache_class()(compiled.py_func)
    except (ImportError, AttributeError, TypeError):  # a Numba whose private parts have changed
        try:
            compiled.enable_caching()
        except RuntimeError as error:
            warnings.warn(UNCACHED.format(error), RuntimeWarning, stacklevel=2)


@functools.cache
def _cache_class() -> Any:
    """Numba's cache with three changes; all that mlcore takes from Numba's private parts is in this function.

    - Kernels are loaded without the compiler. Numba prepares everything that could be compiled, up to SciPy, before it
      looks into its cache: 0.2 s of every short command.
    - A kernel is compiled again when code or constants that it uses have changed, not only its own file.
    - A cache that cannot be read or written, or is damaged, costs time and stops nothing.
    """
    from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
    from numba.core.runtime import rtsys

    class Locator:
        def __init__(self, function: Callable) -> None:
            self._py_file, self._line = function.__code__.co_filename, function.__code__.co_firstlineno
            self.source = Path(self._py_file).parent

        @classmethod
        def from_function(cls, function: Callable, path: str) -> "Locator":
            return cls(function)

        def get_cache_path(self) -> str:
            return str(cache_folder(self.source))

        def ensure_cache_path(self) -> None:
            Path(self.get_cache_path()).mkdir(parents=True, exist_ok=True)

        def get_source_stamp(self) -> str:
            return source_stamp(Path(self._py_file))

        def get_disambiguator(self) -> str:
            return str(self._line)

    class Implementation(CompileResultCacheImpl):
        _locator_classes = [Locator]

    class KernelCache(FunctionCache):
        _impl_class = Implementation

        def load_overload(self, signature: Any, context: Any) -> Any:
            try:
                rtsys.initialize(context)  # counts the references to arrays: all that a compiled kernel needs
                key = self._index_key(signature, context.codegen())
                for folder in {self._cache_path, str(ready_folder(self._impl.locator.source))}:
                    file = IndexDataCacheFile(folder, self._impl.filename_base, self._cache_file._source_stamp)
                    if (data := file.load(key)) is not None:
                        return self._impl.rebuild(context, data)
            except Exception:  # whatever a damaged file makes pickle raise
                with suppress(OSError):
                    self.flush()
            return None

        def save_overload(self, signature: Any, result: Any) -> None:
            try:
                super().save_overload(signature, result)
            except OSError as error:
                _warn_once(UNCACHED.format(error))

    return KernelCache


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


@functools.cache
def source_stamp(path: Path) -> str:
    """Hash of all files whose code or constants can be in a kernel of this file."""
    package = Path(__file__).parent.parent
    layer = LAYERS.index(path.parent.name) if path.parent.parent == package and path.parent.name in LAYERS else 0
    files = [file for name in LAYERS[: layer + 1] for file in sorted((package / name).glob("*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in [*files, path])).hexdigest()


def ready_folder(source: Path) -> Path:
    """Where kernels may lie ready, though perhaps nothing can be written: beside their source, unless told otherwise."""
    return cache_folder(source) if config.CACHE_DIR else source / "__pycache__"


@functools.cache
def cache_folder(source: Path) -> Path:
    """The first folder that can be written to: NUMBA_CACHE_DIR, beside the source, for the user, or temporary.

    If none can be, the one beside the source.
    """
    name = f"{source.name}-{hashlib.sha256(bytes(source)).hexdigest()[:16]}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folders = [source / "__pycache__", Path(home, "mlcore", "kernels", name)]
    if config.CACHE_DIR:
        folders.insert(0, Path(config.CACHE_DIR, name))
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
    with suppress(OSError):
        return _private_folder() / name
    return folders[0]


def _private_folder() -> Path:
    """A temporary folder that lasts, and that only this user can write to: what lies in it is run.

    Raises: OSError if there is none, or it belongs to somebody else.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"mlcore-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o077):
        raise PermissionError(f"{folder} belongs to somebody else")
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
