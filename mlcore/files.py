"""Files: those that are installed with mlcore, inputs by name, and outputs, which are written beside and renamed."""

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

from mlcore.errors import InputError

if sys.platform != "win32":
    import fcntl

URLS: dict[str, str] = {}  # of files that have been fetched, by the paths of the copies
STANDARD_STREAM = Path("-")
EDGE = 1 << 16  # bytes at either end of a file in which its mark is looked for
PART = ".mlcore-*.part"  # names of folders of files that are being written
unfinished: set[Path] = set()  # such folders of this process


def installed(name: str) -> Path:
    """Path of a file of ``data/``."""
    return Path(str(files("mlcore.data") / name))


def name_of(path: Path | str) -> str:
    """The path of an input as messages name it, or the URL of which it is a copy."""
    return "standard input" if path == STANDARD_STREAM else URLS.get(str(path), str(path))


def check_once(paths: Iterable[Path | str]) -> None:
    """Raises: InputError if an input is given twice."""
    for path, times in Counter(paths).items():
        if times > 1:
            raise InputError(f"{name_of(path)} is given twice; it can be read once.")


def check_files(inputs: Iterable[Path | None], **outputs: tuple[Path | None, bytes]) -> None:
    """Find out before any work whether inputs exist, and outputs would overwrite neither them, each other, nor others.

    ``outputs``: by the parameters that give them a path, ``-`` for standard output, and a regular expression that such
    a file has near its start or its end; an existing file without it is not replaced.

    Raises: InputError if standard input is given twice, or an output would overwrite something else; OSError if an
    input does not exist, or an output cannot be written.
    """
    given = [path for path in inputs if path]
    check_once(path for path in given if path == STANDARD_STREAM)
    taken = {path: "an input" for path in given if path != STANDARD_STREAM}
    for file in taken:
        file.stat()
    for name, (path, mark) in outputs.items():
        if path is None or path == STANDARD_STREAM:
            continue
        for other, use in taken.items():
            if _same(path, other):
                problem = f"it would overwrite {use}"
            elif other.is_dir() and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(other)):
                problem = f"it would lie in the folder {other}, which is {use}"
            else:
                continue
            raise InputError(f"{problem}; choose another file", parameter=name, value=str(path))
        taken[path] = f"the {name}"
        check_writable(path)
        if path.exists() and not _has_mark(path, mark):
            problem = "it exists with other content; choose another file"
            raise InputError(problem, parameter=name, value=str(path))


def _same(path: Path, other: Path) -> bool:
    """Whether both lead to one file, also by links."""
    return os.path.realpath(path) == os.path.realpath(other) or (
        path.exists() and other.exists() and path.samefile(other)
    )


def _has_mark(path: Path, mark: bytes) -> bool:
    """Whether a file is empty, or has the mark near its start or its end."""
    with open(path, "rb") as file:
        start = file.read(EDGE)
        file.seek(max(file.seek(0, os.SEEK_END) - EDGE, 0))
        return not start or any(re.search(mark, edge) for edge in (start, file.read()))


def check_writable(path: Path) -> None:
    """Find out before any work whether a file can be written to this path.

    Raises: OSError if not.
    """
    path = _final(path)
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, "is a folder or device, not a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"the folder {path.parent} does not exist", str(path))
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(error.errno, "the folder cannot be written to", str(path.parent.resolve())) from error


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A new file beside the path, which takes its place when the body of the ``with`` has written it completely.

    It is in a folder of its own, where whatever writes it may put files too, which is locked meanwhile. Those that
    killed processes have left behind are not, and are removed.
    """
    path = _final(path)
    with _part(path) as new:
        open(new, "xb").close()  # readable for whom the umask says; tempfile's are not
        yield new
        with open(new, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(new, path)


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """A path of the same name in a new locked folder beside, which is removed at the end."""
    with naming(path):
        _remove_leftovers(path.parent)
        folder, lock = _new_folder(path.parent)
        unfinished.add(folder)
        try:
            yield folder / path.name
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.remove(folder)
            os.close(lock)


def check_new_folder(parameter: str, path: Path) -> None:
    """Find out before any work whether a folder can be written here: there is none yet, or an empty one.

    Raises: InputError if there is something else; OSError if it cannot be written.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        problem = "it exists, and is not an empty folder; choose another folder"
        raise InputError(problem, parameter=parameter, value=str(path))
    check_writable(path / "file" if path.is_dir() else path)


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write files by name into a new folder, which appears when all of them are complete."""
    path = _final(path)
    with _part(path) as new:
        new.mkdir()
        for name, content in contents.items():
            (new / name).write_bytes(content)
        if path.is_dir():
            path.rmdir()  # only an empty one
        os.replace(new, path)


def write_beside(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file completely before it takes the place of one that may be there."""
    with beside(path) as new, open(new, "r+b") as file:
        write(file)


def remove_unfinished() -> None:
    """Remove what is being written, before the process ends at once."""
    for folder in [*unfinished]:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let the system's errors about a file that is already open (a full disk) name it too."""
    try:
        yield
    except OSError as error:
        if error.errno:
            error.filename = error.filename or str(path)
        raise


def _new_folder(parent: Path) -> tuple[Path, int]:
    """A new folder, and the open descriptor that keeps it locked."""
    prefix, suffix = PART.split("*")
    while True:
        folder = Path(tempfile.mkdtemp(suffix, prefix, parent))
        if sys.platform == "win32":  # no locks, and nothing is removed
            return folder, os.open(os.devnull, os.O_RDONLY)
        lock = os.open(folder, os.O_RDONLY)
        with suppress(OSError):  # where there are no locks, nothing is removed either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # else another process found it before it was locked
            return folder, lock
        os.close(lock)


def _remove_leftovers(parent: Path) -> None:
    """Remove what killed processes were writing; what living ones write is locked."""
    if sys.platform == "win32":
        return
    for path in parent.glob(PART):
        with suppress(OSError):  # it may be gone, locked, or somebody else's
            lock = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(lock)


def _final(path: Path) -> Path:
    """The file that a symbolic link leads to, so that the link stays one."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path
