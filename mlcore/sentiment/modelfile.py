"""The file of a classifier: one uncompressed ``.npz`` of plain arrays, without pickle, read with suspicion."""

import io
import json
import os
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
MEMBERS = {"header": np.uint8, "vocabulary": np.uint8} | dict.fromkeys(Parameters._fields, np.float32)


def check_writable(path: Path) -> None:
    """Find out before any work whether a model can be written to this path.

    Raises: OSError if not.
    """
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder, not a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(2, f"the folder {path.parent} does not exist", str(path))
    with tempfile.TemporaryFile(dir=path.parent):
        pass


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
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
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


def load(path: Path) -> Classifier:
    """Read a model file.

    Raises: ModelFileError if it is not one, or not a whole one; OSError if it cannot be read.
    """
    content = path.read_bytes()
    if not content.startswith(b"PK\x03\x04"):
        raise ModelFileError(f"{path} is not a model file of mlcore; expected one that train-sentiment wrote.")
    try:
        return _parse(content)
    except _DAMAGE as error:
        raise ModelFileError(f"{path} is damaged, or no model file of mlcore ({error}); train it again.") from error


# What the readers of zip, npy and JSON raise for bytes that somebody changed. (ModelFileError is ours, below.)
_DAMAGE = (
    ModelFileError, zipfile.BadZipFile, ValueError, KeyError, TypeError, IndexError, EOFError, OverflowError,
    NotImplementedError, RuntimeError, MemoryError, struct.error,
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
    if not (isinstance(labels, list) and len(set(labels)) == 2 and all(isinstance(label, str) for label in labels)):
        raise ModelFileError("its labels are not two strings")
    lines = arrays["vocabulary"]
    if not lines.tobytes().decode().replace("\n", "").isprintable():
        raise ModelFileError("its vocabulary has control characters")
    vocabulary = WordTable.from_lines(lines)
    if len(vocabulary) != np.count_nonzero(lines == ord("\n")):
        raise ModelFileError("its vocabulary has a word twice")
    parameters = Parameters.zeros(len(vocabulary), settings.dim, settings.hidden)
    for name, padded in parameters._asdict().items():
        expected = padded[:, : settings.dim] if name in ("table", "W1") else padded
        if arrays[name].shape != expected.shape or not np.isfinite(arrays[name]).all():
            raise ModelFileError(f"{name} has shape {arrays[name].shape} or NaN in it; expected {expected.shape}")
        expected[:] = arrays[name]
    return Classifier(settings, (labels[0], labels[1]), vocabulary, parameters)


def _array(archive: zipfile.ZipFile, name: str, dtype: type, size: int) -> np.ndarray:
    """One member, without trusting the sizes that its headers claim."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
        raise ModelFileError(f"{name} claims an impossible size")
    stream = io.BytesIO(archive.read(info))
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ModelFileError(f"{name} has another version of the npy format")
    shape, fortran_order, found = np.lib.format.read_array_header_1_0(stream)
    values = np.frombuffer(stream.read(), dtype)
    if found != np.dtype(dtype) or fortran_order:
        raise ModelFileError(f"{name} has values of type {found}, expected {np.dtype(dtype)}")
    return values.reshape(shape)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
