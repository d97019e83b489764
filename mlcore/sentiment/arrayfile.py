"""Files of named arrays with a header: uncompressed ``.npz`` without pickle, with a checksum, read with suspicion."""

import errno
import hashlib
import io
import json
import os
import re
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlcore.errors import InputError, ModelFileError

# An array in version 1.0 of the npy format, as NumPy writes it: stricter than NumPy reads it
NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<type>[<|][uif][124])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>\d{1,12}(?:, \d{1,12})?,?)\), \} *\n(?P<values>.*)",
    re.DOTALL,
)
HEADER, CHECKSUM = "header", "sha256"
END_OF_ZIP = b"PK\x05\x06"  # begins the last 22 bytes of a zip file without a comment


@dataclass(frozen=True)
class Format:
    """A kind of file: its name and version in the header, its arrays with their possible types, and its words."""

    name: str
    version: int
    arrays: dict[str, tuple[str, ...]]
    what: str  # for messages, such as "a model file of mlcore"
    writer: str  # the command that writes it
    remedy: str  # what to do when there is no other copy

    @property
    def members(self) -> tuple[str, ...]:
        """What the checksum is over, in this order."""
        return (HEADER, *self.arrays)


def save_arrays(path: Path, kind: Format, header: dict, arrays: dict[str, np.ndarray]) -> None:
    """Write a file beside ``path`` and rename it, so that a file already there is replaced by a complete one.

    Equal content gives equal bytes.
    """
    header = {"format": kind.name, "version": kind.version} | header
    arrays = {HEADER: np.frombuffer(json.dumps(header, allow_nan=False).encode(), np.uint8)} | arrays
    digest = checksum(kind, {name: npy(array) for name, array in arrays.items()})
    write_beside(path, lambda file: np.savez(file, **arrays, **{CHECKSUM: np.frombuffer(digest, np.uint8)}))


@contextmanager
def load_arrays(path: Path, kind: Format) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
    """Header and arrays of a file; what the body of the ``with`` finds wrong in them counts as damage.

    Raises: ModelFileError if the file is foreign, truncated, of another version or damaged; OSError if it cannot be
    read.
    """
    with open(path, "rb") as file:
        content = file.read(4)
        if content != b"PK\x03\x04":
            raise _foreign(path, kind)
        content += file.read()
    if content[-22:-18] != END_OF_ZIP:
        raise ModelFileError(f"{path} is truncated: its end is missing; copy it again, or {kind.remedy}.")
    try:
        yield _parse(path, kind, content)
    except _Verdict as verdict:
        raise verdict.error from None
    except DAMAGE as error:
        raise ModelFileError(f"{path} is damaged ({error}); copy it again, or {kind.remedy}.") from error


# What the readers of zip, npy and JSON raise for bytes that somebody changed.
DAMAGE = (
    ModelFileError, InputError, zipfile.BadZipFile, ValueError, KeyError, TypeError, IndexError, AttributeError,
    EOFError, OverflowError, RuntimeError, NotImplementedError, RecursionError, struct.error,
)  # fmt: skip


class _Verdict(Exception):
    """An error whose message is complete: the file is not damaged, but of another kind."""

    def __init__(self, error: ModelFileError) -> None:
        self.error = error


def _foreign(path: Path, kind: Format) -> ModelFileError:
    return ModelFileError(f"{path} is not {kind.what}; expected one that {kind.writer} wrote.")


def _of_another_version(path: Path, kind: Format, version: int) -> ModelFileError:
    if type(version) is not int:
        raise ModelFileError("its version is no number")
    age, advice = ("a newer", "update mlcore") if version > kind.version else ("an older", kind.remedy)
    return ModelFileError(
        f"{path} was written by {age} mlcore (format {version}; this one reads {kind.version}); {advice}."
    )


def _parse(path: Path, kind: Format, content: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if f"{HEADER}.npy" not in names:
            raise _Verdict(_foreign(path, kind))
        header = json.loads(_array(HEADER, ("|u1",), _member(archive, HEADER, len(content))).tobytes())
        if header["format"] != kind.name:
            raise _Verdict(_foreign(path, kind))
        if header["version"] != kind.version:
            raise _Verdict(_of_another_version(path, kind, header["version"]))
        if sorted(names) != sorted(f"{name}.npy" for name in (*kind.members, CHECKSUM)):
            raise ModelFileError("its parts have other names")
        members = {name: _member(archive, name, len(content)) for name in (*kind.members, CHECKSUM)}
    if checksum(kind, members) != _array(CHECKSUM, ("|u1",), members[CHECKSUM]).tobytes():
        raise ModelFileError("its checksum is not that of its content")
    return header, {name: _array(name, types, members[name]) for name, types in kind.arrays.items()}


def _member(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """Bytes of one member, without trusting the sizes that the directory claims."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
        raise ModelFileError(f"{name} claims an impossible size")
    return archive.read(info)


def _array(name: str, types: tuple[str, ...], member: bytes) -> np.ndarray:
    found = NPY.match(member)
    if found is None:
        raise ModelFileError(f"{name} is no array as mlcore writes them")
    type_ = found["type"].decode()
    if type_ not in types:
        raise ModelFileError(f"{name} has values of type {type_}, expected {' or '.join(types)}")
    shape = [int(size) for size in found["shape"].split(b",") if size.strip()]
    return np.frombuffer(found["values"], type_).reshape(shape)


def npy(array: np.ndarray) -> bytes:
    """The array in the npy format."""
    memory = io.BytesIO()
    np.lib.format.write_array(memory, array, version=(1, 0), allow_pickle=False)
    return memory.getvalue()


def checksum(kind: Format, members: dict[str, bytes]) -> bytes:
    """SHA-256 over the members with their names and lengths, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name in kind.members:
        digest.update(f"{name} {len(members[name])}\n".encode())
        digest.update(members[name])
    return digest.hexdigest().encode()


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
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".mlcore-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _final(path: Path) -> Path:
    """The file that a symbolic link leads to, so that the link stays one."""
    return path.resolve() if path.is_symlink() else path


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
