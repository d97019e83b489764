"""Files: those that are installed with mlcore, and outputs, which are written beside and renamed."""

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO


def installed(name: str) -> Path:
    """Path of a file of ``data/``."""
    return Path(str(files("mlcore.data") / name))


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


def write_beside(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file completely before it takes the place of one that may be there."""
    path = _final(path)
    beside = path.parent / f".mlcore-{secrets.token_hex(8)}.part"
    file = open(beside, "xb")  # noqa: SIM115, a new file, readable for whom the umask says (tempfile's are not)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _final(path: Path) -> Path:
    """The file that a symbolic link leads to, so that the link stays one."""
    return path.resolve() if path.is_symlink() else path
