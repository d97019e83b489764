"""Files of named arrays with a header: uncompressed ``.npz`` without pickle, with a checksum, read with suspicion."""

import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlcore.errors import InputError, ModelFileError
from mlcore.files import write_beside

# An array in version 1.0 of the npy format, as NumPy writes it: stricter than NumPy reads it
NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<type>[<|][uif][124])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>\d{1,12}(?:, \d{1,12})?,?)\), \} *\n(?P<values>.*)",
    re.DOTALL,
)
NEWEST = 1_000_000  # a greater version is no version
LONGEST_MESSAGE = 200
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
    members = {name: npy(array) for name, array in arrays.items()}

    def write(file: BinaryIO) -> None:
        # the sum is taken while the file is written
        with ThreadPoolExecutor(1) as pool, zipfile.ZipFile(file, "w") as archive:
            digest = pool.submit(checksum, kind, members)
            for name, member in members.items():
                _add_member(archive, name, member)
            _add_member(archive, CHECKSUM, npy(np.frombuffer(digest.result(), np.uint8)))

    write_beside(path, write)


def _add_member(archive: zipfile.ZipFile, name: str, member: memoryview) -> None:
    """Do it as NumPy does, without the time of day."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        file.write(member)


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
        raise ModelFileError(f"{path} is damaged ({_brief(error)}); copy it again, or {kind.remedy}.") from error


# What the readers of zip, npy and JSON raise for bytes that somebody changed.
DAMAGE = (
    ModelFileError, InputError, zipfile.BadZipFile, ValueError, KeyError, TypeError, IndexError, AttributeError,
    EOFError, OverflowError, RuntimeError, NotImplementedError, RecursionError, struct.error,
)  # fmt: skip


def _brief(error: Exception) -> str:
    """The message of an error, which may repeat what a file says: no more than a line of it, without controls."""
    return "".join(character if character.isprintable() else "?" for character in str(error)[:LONGEST_MESSAGE])


class _Verdict(Exception):
    """An error whose message is complete: the file is not damaged, but of another kind."""

    def __init__(self, error: ModelFileError) -> None:
        self.error = error


def _foreign(path: Path, kind: Format) -> ModelFileError:
    return ModelFileError(f"{path} is not {kind.what}; expected one that {kind.writer} wrote.")


def _of_another_version(path: Path, kind: Format, version: int) -> ModelFileError:
    if type(version) is not int or not 0 < version <= NEWEST:
        raise ModelFileError("its version is no number from 1 up")
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


def npy(array: np.ndarray) -> memoryview:
    """The array in the npy format, row by row, whatever its strides."""
    start = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(start, described)
    member = np.empty(start.tell() + array.nbytes, np.uint8)  # a bytearray would be filled with zeros first
    member[: start.tell()] = start.getbuffer()
    member[start.tell() :].view(array.dtype).reshape(array.shape)[...] = array
    return member.data


def checksum(kind: Format, members: dict[str, bytes | memoryview]) -> bytes:
    """SHA-256 over the members with their names and lengths, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name in kind.members:
        digest.update(f"{name} {len(members[name])}\n".encode())
        digest.update(members[name])
    return digest.hexdigest().encode()
