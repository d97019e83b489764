"""The file of a classifier: one uncompressed ``.npz`` of plain arrays, without pickle, read with suspicion."""

import errno
import io
import json
import os
import re
import stat
import struct
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mlcore.errors import ModelFileError
from mlcore.sentiment.classifier import Classifier, Parameters
from mlcore.sentiment.settings import Settings
from mlcore.text.vocabulary import WordTable

FORMAT, VERSION = "mlcore-sentiment", 1
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# An array in version 1.0 of the npy format, as NumPy writes it: stricter than NumPy reads it
NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<type>[<|][uf][14])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>\d{1,12}(?:, \d{1,12})?,?)\), \} *\n(?P<values>.*)",
    re.DOTALL,
)
MEMBERS = {"header": np.uint8, "vocabulary": np.uint8} | dict.fromkeys(Parameters._fields, np.float32)


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


def save(classifier: Classifier, path: Path) -> None:
    """Write the model beside ``path`` and rename it, so that a model already there is replaced by a complete one.

    Equal classifiers give equal bytes.
    """
    header = {
        "format": FORMAT,
        "version": VERSION,
        "labels": list(classifier.labels),
        "settings": asdict(classifier.settings),
    }
    dim = classifier.settings.dim
    parameters = classifier.parameters
    arrays = parameters._replace(table=parameters.table[:, :dim], W1=parameters.W1[:, :dim])._asdict()
    path = _final(path)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".mlcore-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                header=np.frombuffer(json.dumps(header).encode(), np.uint8),
                vocabulary=classifier.vocabulary.to_lines(),
                **{name: np.ascontiguousarray(array) for name, array in arrays.items()},
            )
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


def load(path: Path) -> Classifier:
    """Read a model file.

    Raises: ModelFileError if it is not one, or not a whole one; OSError if it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(4)
        if content != b"PK\x03\x04":
            raise ModelFileError(f"{path} is not a model file of mlcore; expected one that train-sentiment wrote.")
        content += file.read()
    try:
        return _parse(content)
    except _DAMAGE as error:
        raise ModelFileError(f"{path} is damaged, or no model file of mlcore ({error}); train it again.") from error


# What the readers of zip, npy and JSON raise for bytes that somebody changed. (ModelFileError is ours, below.)
_DAMAGE = (
    ModelFileError, zipfile.BadZipFile, ValueError, KeyError, TypeError, IndexError, EOFError, OverflowError,
    RuntimeError, struct.error,
)  # fmt: skip


def _parse(content: bytes) -> Classifier:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in MEMBERS):
            raise ModelFileError("its parts have other names")
        arrays = {name: _array(archive, name, dtype, len(content)) for name, dtype in MEMBERS.items()}
    header = json.loads(arrays["header"].tobytes())
    if header["format"] != FORMAT or header["version"] != VERSION:
        raise ModelFileError(f"its format is {header['format']!r} {header['version']!r}, expected {FORMAT!r} {VERSION}")
    settings = Settings(**header["settings"])
    labels = header["labels"]
    if not (isinstance(labels, list) and len(set(labels)) == 2 and all(map(_is_label, labels))):
        raise ModelFileError("its labels are not two printable strings")
    lines = arrays["vocabulary"]
    if CONTROL.search(lines.tobytes().decode()):
        raise ModelFileError("its vocabulary has control characters")
    vocabulary = WordTable.from_lines(lines)
    if len(vocabulary) != np.count_nonzero(lines == ord("\n")):
        raise ModelFileError("its vocabulary has a word twice")
    dim, hidden = settings.dim, settings.hidden
    shapes = ((len(vocabulary), dim), (hidden, dim), (hidden,), (1, hidden), (1,))
    for name, shape in zip(Parameters._fields, shapes, strict=True):
        if arrays[name].shape != shape:
            raise ModelFileError(f"{name} has shape {arrays[name].shape}; expected {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ModelFileError(f"{name} holds NaN or infinity")
    parameters = Parameters.zeros(len(vocabulary), dim, hidden)
    for name, padded in parameters._asdict().items():
        padded[..., : arrays[name].shape[-1]] = arrays[name]
    return Classifier(settings, (labels[0], labels[1]), vocabulary, parameters)


def _array(archive: zipfile.ZipFile, name: str, dtype: type, size: int) -> np.ndarray:
    """One member, without trusting the sizes that its headers claim."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
        raise ModelFileError(f"{name} claims an impossible size")
    found = NPY.match(archive.read(info))
    if found is None:
        raise ModelFileError(f"{name} is no array as mlcore writes them")
    if found["type"].decode() != np.dtype(dtype).str:
        raise ModelFileError(f"{name} has values of type {found['type'].decode()}, expected {np.dtype(dtype).str}")
    return np.frombuffer(found["values"], dtype).reshape(
        [int(size) for size in found["shape"].split(b",") if size.strip()]
    )


def _is_label(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
