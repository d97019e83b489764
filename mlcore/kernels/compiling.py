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
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any

from mlcore.errors import InputError
from mlcore.files import write_beside

try:
    import numba
except ValueError as error:
    threads = os.environ.get("NUMBA_NUM_THREADS")
    raise InputError(f"NUMBA_NUM_THREADS is {threads}; expected a whole number from 1 on") from error
from numba import njit
from numba.core import event

config: Any = numba.config
# No "fastmath": it lets LLVM reorder and fuse operations, which it does differently where a kernel is compiled alone
# and where it is inlined. The bits of a result would depend on which of them a process compiles first.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True}
# Without entries for Python and C, a function takes less time to compile
INLINE: Any = OPTIONS | {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
PATIENCE = 600  # seconds for another process to compile
UNCACHED = (
    "Compiled kernels cannot be kept, since no folder for them can be written to: every run compiles them again, which "
    "takes up to a minute. Set the environment variable NUMBA_CACHE_DIR to a folder that can be written to."
)
UNTRUSTED = (
    "{} is not used for compiled kernels, since it belongs to another user, or others can write to it, and what lies "
    "there is executed. Delete it, or set NUMBA_CACHE_DIR to a folder of your own."
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
    """A cache of compiled kernels; everything that mlcore takes from Numba's private parts is in this function.

    - Kernels are loaded without the compiler. Numba prepares everything that could be compiled, up to SciPy, before it
      looks into its cache: 0.2 s of every short command. Of the functions in a kernel, Numba's own among them, it loads
      the modules, for their globals; compiled code reads of them only the constants, which most have none of.
    - A kernel is compiled again when code or constants that it uses have changed, not only its own file.
    - A kernel is loaded only if nothing of it has changed since it was written: a damaged one would do anything. A
      cache that is damaged, or cannot be written, costs time and stops nothing.
    """
    from numba.core.caching import NullCache
    from numba.core.compiler import CompileResult
    from numba.core.runtime.nrt import rtsys
    from numba.core.serialize import dumps, loads

    rebuild, reduce = CompileResult._rebuild, CompileResult._reduce

    def describe(kind: Any) -> str:
        """A type with all that is in it; named tuples of two modules may have the same names and fields."""
        module = getattr(getattr(kind, "instance_class", None), "__module__", "")
        return f"{module} {kind} ({' '.join(map(describe, getattr(kind, 'types', ())))})"

    class KernelCache(NullCache):
        def __init__(self, function: Any) -> None:
            source = Path(function.__code__.co_filename)
            self.name, self.stamp = f"{source.stem}.{function.__name__}", source_stamp(source)
            self.ready, self.written = cache_folders(source.parent)

        def find(self, signature: Any, codegen: Any) -> tuple[str, Any]:
            """Name of the file for arguments of these types, and a hash to which its content is added."""
            python = sys.implementation.cache_tag, getattr(sys, "abiflags", "")
            key = [*map(describe, signature)], codegen.magic_tuple(), numba.__version__, python
            found = hashlib.sha256(repr(key).encode())
            name = f"{self.name}.{found.hexdigest()[:16]}.nbc"
            found.update(self.stamp.encode())
            return name, found

        def load_overload(self, signature: Any, context: Any) -> Any:
            with suppress(Exception):  # whatever comes of another Numba's private parts
                rtsys.initialize(context)  # counts the references to arrays: all that a compiled kernel needs
                for folder in self.ready:
                    name, found = self.find(signature, context.codegen())
                    with suppress(OSError):
                        content = (folder / name).read_bytes()
                        found.update(content[found.digest_size :])
                        if content.startswith(found.digest()):
                            return rebuild(context, *loads(content[found.digest_size :]))
            return None

        def save_overload(self, signature: Any, result: Any) -> None:
            try:
                name, found = self.find(signature, result.codegen)
                *parts, environments = reduce(result)
                content = dumps((*parts, [one for one in environments if one.consts]))
                found.update(content)
                write_beside(self.written / name, lambda file: file.write(found.digest() + content))
            except Exception:
                warnings.warn(UNCACHED, RuntimeWarning, stacklevel=1)

    return KernelCache


@functools.cache
def source_stamp(path: Path) -> str:
    """Hash of all files whose code or constants can be in a kernel of this file: those of its package, and these."""
    files = {*Path(__file__).parent.glob("*.py"), *path.parent.glob("*.py")}
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in sorted(files))).hexdigest()


@functools.cache
def cache_folders(source: Path) -> tuple[list[Path], Any]:
    """Folders in which kernels of this folder may lie ready, and the one to which they are written, if there is one.

    That is NUMBA_CACHE_DIR if it is given. Otherwise kernels lie ready beside their source, and are written there, or
    for the user, or in a temporary folder.
    """
    name = f"{source.name}-{hashlib.sha256(bytes(source)).hexdigest()[:16]}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    usual = [source / "__pycache__", Path(home, "mlcore", "kernels", name)]
    usual = [Path(config.CACHE_DIR, name)] if config.CACHE_DIR else usual
    user = os.getuid() if hasattr(os, "getuid") else None
    ready = []
    for folder in (*usual, Path(tempfile.gettempdir(), f"mlcore-{user}-{name}")):
        with suppress(OSError):
            folder.mkdir(mode=0o777 if folder.parent == source else 0o700, parents=True, exist_ok=True)
            if not _is_trusted(folder, source):
                warnings.warn(UNTRUSTED.format(folder), RuntimeWarning, stacklevel=1)
                continue
            ready.append(folder)
            with tempfile.TemporaryFile(dir=folder):
                return ready, folder
    return ready, None


def _is_trusted(folder: Path, source: Path) -> bool:
    """Whether only the user and root can write to a folder; beside the source, also who can change the source."""
    if not hasattr(os, "getuid"):
        return True
    found, beside, others = folder.lstat(), source.stat(), stat.S_IWGRP | stat.S_IWOTH
    if folder.parent == source and found.st_uid == beside.st_uid:
        others &= ~beside.st_mode
    elif found.st_uid not in (os.getuid(), 0):
        return False
    return stat.S_ISDIR(found.st_mode) and not found.st_mode & others


@contextmanager
def watch_compilation(started: Callable[[str], object], ended: Callable[[str], object] = len) -> Iterator[None]:
    """Call ``started`` and ``ended`` with the name of each kernel that is compiled, because no cache holds it yet.

    A kernel may begin, and end, while one that calls it is being compiled.
    """

    def tell(happening: event.Event, told: Callable[[str], object]) -> None:
        function = happening.data["dispatcher"].py_func
        if function.__module__.startswith("mlcore") and function.__name__.isidentifier():
            told(function.__name__)

    class Listener(event.Listener):
        def on_start(self, happening: event.Event) -> None:
            tell(happening, started)

        def on_end(self, happening: event.Event) -> None:
            tell(happening, ended)

    with event.install_listener("numba:compile", Listener()):
        yield


_others: list[Popen[bytes]] = []  # processes that compile


@contextmanager
def compiling_ahead(
    function: Callable[[str], object], argument: str, waiting: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Let another process call a function, which compiles kernels, as soon as this process has to compile any.

    In one process, Numba compiles one kernel after the other. At the end the other process is waited for, and
    ``waiting`` called before that; then its kernels are in the cache. What it could not do, this process will do.
    """
    code = f"from {function.__module__} import {function.__name__} as work; work({argument!r})"
    # Python's own handler of Ctrl-C raises an error, which callbacks of the compiler drop
    code = f"import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); {code}"

    def start(name: str) -> None:
        if not _others and cache_folders(Path(__file__).parent)[1]:
            with suppress(OSError):  # -P: no module is taken from the current folder
                command = [sys.executable, "-P", "-c", code]
                _others.append(Popen(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL))

    try:
        with watch_compilation(start):
            yield
        for other in _others:
            waiting()
            with suppress(TimeoutExpired):
                other.wait(PATIENCE)
    finally:
        end_others()
        while _others:
            _others.pop().wait()


def end_others() -> None:
    """End the processes that compile."""
    for other in _others:
        other.kill()
