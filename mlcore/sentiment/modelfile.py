"""The file of a classifier: one uncompressed ``.npz`` of plain arrays, without pickle, read with suspicion."""

import errno
import hashlib
import io
import json
import math
import os
import re
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlcore.errors import InputError, ModelFileError
from mlcore.sentiment.classifier import HISTORY, Classifier, Parameters, Provenance
from mlcore.sentiment.preparation import MOST_LABELS
from mlcore.sentiment.settings import Settings
from mlcore.text.features import Features, PairTable
from mlcore.text.vocabulary import WordTable

FORMAT, VERSION = "mlcore-sentiment", 2
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# An array in version 1.0 of the npy format, as NumPy writes it: stricter than NumPy reads it
NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<type>[<|][uif][124])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>\d{1,12}(?:, \d{1,12})?,?)\), \} *\n(?P<values>.*)",
    re.DOTALL,
)
MEMBERS = {"header": ("|u1",), "vocabulary": ("|u1",), "ngrams": ("<i4",), "table": ("<f4", "<f2")}
MEMBERS |= dict.fromkeys(Parameters._fields[1:], ("<f4",))
END_OF_ZIP = b"PK\x05\x06"  # begins the last 22 bytes of a zip file without a comment


def check_writable(path: Path) -> None:
    """Find out before any work whether a model can be written to this path.

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


def save(classifier: Classifier, path: Path, half: bool = False) -> None:
    """Write the model beside ``path`` and rename it, so that a model already there is replaced by a complete one.

    ``half`` stores the table in float16. Equal classifiers give equal bytes.

    Raises: InputError if a number of the table is too large for float16; OSError if the file cannot be written.
    """
    arrays = _arrays(classifier, half)
    digest = _digest({name: _npy(array) for name, array in arrays.items()})
    write_beside(path, lambda file: np.savez(file, **arrays, sha256=np.frombuffer(digest, np.uint8)))


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


def _arrays(classifier: Classifier, half: bool) -> dict[str, np.ndarray]:
    """Members of the file, without padding."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "labels": list(classifier.labels),
        "settings": asdict(classifier.settings),
        "provenance": asdict(classifier.provenance),
    }
    keys, dim = classifier.features.ngrams.keys, classifier.settings.dim
    table, W1, b1, W2, b2 = classifier.parameters
    if half and np.abs(table).max(initial=0) > np.finfo(np.float16).max:
        raise InputError("The table has numbers that are too large for float16; save it without --half.")
    return {
        "header": np.frombuffer(json.dumps(header, allow_nan=False).encode(), np.uint8),
        "vocabulary": classifier.features.words.to_lines(),
        "ngrams": np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1).astype("<i4"),
        "table": np.ascontiguousarray(table[:, :dim], "<f2" if half else "<f4"),
        "W1": np.ascontiguousarray(W1[:, :dim], "<f4"),
        "b1": b1.astype("<f4"),
        "W2": W2.astype("<f4"),
        "b2": b2.astype("<f4"),
    }


def _npy(array: np.ndarray) -> bytes:
    memory = io.BytesIO()
    np.lib.format.write_array(memory, array, version=(1, 0), allow_pickle=False)
    return memory.getvalue()


def _digest(members: dict[str, bytes]) -> bytes:
    """SHA-256 over the members with their names and lengths, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name in MEMBERS:
        digest.update(f"{name} {len(members[name])}\n".encode())
        digest.update(members[name])
    return digest.hexdigest().encode()


def _final(path: Path) -> Path:
    """The file that a symbolic link leads to, so that the link stays one."""
    return path.resolve() if path.is_symlink() else path


def load(path: Path) -> Classifier:
    """Read a model file.

    Raises: ModelFileError if it is not one, not a whole one, damaged, or of a newer format; OSError if it cannot be
    read.
    """
    with open(path, "rb") as file:
        content = file.read(4)
        if content != b"PK\x03\x04":
            raise _foreign(path)
        content += file.read()
    if content[-22:-18] != END_OF_ZIP:
        raise ModelFileError(f"{path} is truncated: its end is missing; copy it again, or train it again.")
    try:
        return _parse(path, content)
    except _Verdict as verdict:
        raise verdict.error from None
    except _DAMAGE as error:
        raise ModelFileError(f"{path} is damaged ({error}); copy it again, or train it again.") from error


# What the readers of zip, npy and JSON raise for bytes that somebody changed.
_DAMAGE = (
    ModelFileError, InputError, zipfile.BadZipFile, ValueError, KeyError, TypeError, IndexError, AttributeError,
    EOFError, OverflowError, RuntimeError, NotImplementedError, RecursionError, struct.error,
)  # fmt: skip


class _Verdict(Exception):
    """An error whose message is complete: the file is not damaged, but of another kind."""

    def __init__(self, error: ModelFileError) -> None:
        self.error = error


def _foreign(path: Path) -> ModelFileError:
    return ModelFileError(f"{path} is not a model file of mlcore; expected one that train-sentiment wrote.")


def _of_another_version(path: Path, version: int) -> ModelFileError:
    if type(version) is not int:
        raise ModelFileError("its version is no number")
    age, advice = ("a newer", "update mlcore") if version > VERSION else ("an older", "train it again")
    return ModelFileError(f"{path} was written by {age} mlcore (format {version}; this one reads {VERSION}); {advice}.")


def _parse(path: Path, content: bytes) -> Classifier:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if "header.npy" not in names:
            raise _Verdict(_foreign(path))
        header = json.loads(_array(_member(archive, "header", len(content)), "header").tobytes())
        if header["format"] != FORMAT:
            raise _Verdict(_foreign(path))
        if header["version"] != VERSION:
            raise _Verdict(_of_another_version(path, header["version"]))
        if sorted(names) != sorted(f"{name}.npy" for name in (*MEMBERS, "sha256")):
            raise ModelFileError("its parts have other names")
        members = {name: _member(archive, name, len(content)) for name in (*MEMBERS, "sha256")}
    if _digest(members) != NPY.match(members["sha256"])["values"]:
        raise ModelFileError("its checksum is not that of its content")
    return _build(header, {name: _array(members[name], name) for name in MEMBERS})


def _build(header: dict, arrays: dict[str, np.ndarray]) -> Classifier:
    """Classifier from the parts of a file, each checked: whoever can write a file can write a checksum."""
    settings = Settings(**header["settings"])
    labels = header["labels"]
    enough = (0,) if settings.loss == "squared" else range(2, MOST_LABELS + 1)
    if not (isinstance(labels, list) and len(labels) in enough and all(map(_is_label, labels))):
        raise ModelFileError("its labels are not printable strings, as many as its loss has")
    if len(set(labels)) != len(labels):
        raise ModelFileError("it has a label twice")
    features = _features(arrays["vocabulary"], arrays["ngrams"], settings)
    dim, hidden, outputs = settings.dim, settings.hidden, len(labels) if len(labels) > 2 else 1
    shapes = ((len(features), dim), (hidden, dim), (hidden,), (outputs, hidden), (outputs,))
    for name, shape in zip(Parameters._fields, shapes, strict=True):
        if arrays[name].shape != shape:
            raise ModelFileError(f"{name} has shape {arrays[name].shape}; expected {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ModelFileError(f"{name} holds NaN or infinity")
    parameters = Parameters.zeros(len(features), dim, hidden, outputs)
    for name, padded in parameters._asdict().items():
        padded[..., : arrays[name].shape[-1]] = arrays[name]
    return Classifier(settings, tuple(labels), features, parameters, _provenance(header["provenance"]))


def _features(lines: np.ndarray, ngrams: np.ndarray, settings: Settings) -> Features:
    if CONTROL.search(lines.tobytes().decode()):
        raise ModelFileError("its vocabulary has control characters")
    words = WordTable.from_lines(lines)
    if len(words) != np.count_nonzero(lines == ord("\n")):
        raise ModelFileError("its vocabulary has a word twice")
    if ngrams.ndim != 2 or ngrams.shape[1] != 2:
        raise ModelFileError(f"ngrams has shape {ngrams.shape}; expected two columns")
    before, last = ngrams.astype(np.int64).T
    numbers = len(words) + np.arange(len(ngrams))
    if (before < 0).any() or (before >= numbers).any() or (last < 0).any() or (last >= len(words)).any():
        raise ModelFileError("its n-grams are not made of its words")
    keys = before << 32 | last
    if len(np.unique(keys)) != len(keys):
        raise ModelFileError("it has an n-gram twice")
    sizes = np.ones(len(words) + len(keys), np.int8)
    for _ in range(settings.ngrams):  # once more than can be, so that what is too long is found
        sizes[len(words) :] = sizes[before] + 1
    if sizes.max(initial=1) > settings.ngrams:
        raise ModelFileError(f"it has an n-gram of more than {settings.ngrams} words")
    return Features(words, PairTable.from_keys(len(words), keys), settings.ngrams, settings.binary)


def _provenance(found: dict) -> Provenance:
    provenance = Provenance(**found)
    strings = [provenance.fingerprint, *provenance.inputs]
    for value in provenance.inputs.values():
        strings += value if isinstance(value, list) else [value]
    numbers = list(provenance.texts.values())
    for epoch in provenance.history:
        if tuple(epoch) != HISTORY:
            raise ModelFileError("its history has other figures")
        numbers += [value for value in epoch.values() if value is not None]
    if not all(isinstance(value, str) for value in (*strings, *provenance.texts)):
        raise ModelFileError("its provenance has something else where there should be strings")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in numbers):
        raise ModelFileError("its provenance has something else where there should be numbers")
    return provenance


def _member(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """Bytes of one member, without trusting the sizes that the directory claims."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
        raise ModelFileError(f"{name} claims an impossible size")
    return archive.read(info)


def _array(member: bytes, name: str) -> np.ndarray:
    found = NPY.match(member)
    if found is None:
        raise ModelFileError(f"{name} is no array as mlcore writes them")
    kind = found["type"].decode()
    if kind not in MEMBERS[name]:
        raise ModelFileError(f"{name} has values of type {kind}, expected {' or '.join(MEMBERS[name])}")
    return np.frombuffer(found["values"], kind).reshape(
        [int(size) for size in found["shape"].split(b",") if size.strip()]
    )


def _is_label(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
