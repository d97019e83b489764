"""Files: those that are installed with mlcore, and outputs, which are written beside and renamed."""

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO

from mlcore.errors import InputError

START = 64  # bytes in which the mark of a file is looked for


def installed(name: str) -> Path:
    """Path of a file of ``data/``."""
    return Path(str(files("mlcore.data") / name))


def check_outputs(
    outputs: Mapping[str, Path | None], inputs: Iterable[Path], marks: Mapping[str, bytes] | None = None
) -> None:
    """Find out before any work whether outputs can be written without overwriting inputs, each other, or other files.

    ``outputs``: paths by the parameters that give them. ``marks``: bytes near the start of such an output; an existing
    file without them is not replaced.

    Raises: InputError if an output would overwrite something else; OSError if it cannot be written.
    """
    taken = dict.fromkeys(inputs, "an input")
    for name, path in outputs.items():
        if path is None:
            continue
        for other, use in taken.items():
            if path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other)):
                raise InputError(f"it would overwrite {use}; choose another file", parameter=name, value=str(path))
        taken[path] = f"the {name}"
        check_writable(path)
        if marks and name in marks and path.exists():
            with open(path, "rb") as file:
                start = file.read(START)
            if start and marks[name] not in start:
                problem = f"it exists, and is not a {name} file of mlcore; choose another file"
                raise InputError(problem, parameter=name, value=str(path))


def check_writable(path: Path) -> None:
    """Find out before any work whether a file can be written to this path.

    Raises: OSError if not.
    """
    path = _final(path)
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OSError(errno.EINVAL, "is a folder or device, not a file", str(path))
    except FileNotFoundError:
        pass
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"the folder {path.parent} does not exist", str(path))
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OSError(error.errno, f"the folder {path.parent} cannot be written to", str(path)) from error


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A new file beside the path, which takes its place when the body of the ``with`` has written it completely."""
    path = _final(path)
    new = path.parent / f".mlcore-{secrets.token_hex(8)}.part"
    open(new, "xb").close()  # readable for whom the umask says; tempfile's are not
    try:
        yield new
        with open(new, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_beside(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file completely before it takes the place of one that may be there."""
    with beside(path) as new, open(new, "r+b") as file:
        write(file)


def _final(path: Path) -> Path:
    """The file that a symbolic link leads to, so that the link stays one."""
    return path.resolve() if path.is_symlink() else path
