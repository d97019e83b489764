"""The file of a model, in safetensors: what is checked before any of it is used.

Parameters are tensors; everything else is JSON under one key of the metadata, with a SHA-256 over JSON and tensors.
Checkpoints use the same container.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from mlcore.errors import InputError, ModelFileError
from mlcore.files import write_beside
from mlcore.kernels.forward import Parameters
from mlcore.sentiment.model import HISTORY, MAX_PARAMETER, Model, Provenance, in_range
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import MAX_LABELS
from mlcore.text.ngrams import Features, PairTable
from mlcore.text.vocabulary import WordTable

KEY = "mlcore"  # of the metadata; a single one, because safetensors does not promise an order
MAX_HEADER = 100_000_000  # bytes, as safetensors itself allows
MAX_VERSION = 1_000_000
MAX_MESSAGE = 200
MAX_FIGURE = 1e40  # of an epoch
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# What the readers of safetensors and JSON, and the code that uses their values, raise for bytes that somebody changed
DAMAGE = (
    ModelFileError, InputError, SafetensorError, ValueError, KeyError, TypeError, IndexError, AttributeError,
    OverflowError, RecursionError,
)  # fmt: skip


class _Rejected(ModelFileError):
    """The message is complete: the file is not damaged, but of another kind."""


@dataclass(frozen=True)
class Format:
    """A kind of file: its name and version, its tensors with their possible dtypes, and words for messages."""

    name: str
    version: int
    tensors: dict[str, tuple[str, ...]]
    description: str
    remedy: str  # what to do when there is no other copy


MODEL = Format(
    "mlcore-sentiment",
    3,
    {"vocabulary": ("uint8",), "ngrams": ("int32",), "table": ("float32", "float16")}
    | dict.fromkeys(Parameters._fields[1:], ("float32",)),
    description="a model file of mlcore",
    remedy="train it again",
)


def save_tensors(path: Path, kind: Format, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Write a file beside ``path`` and rename it, so that only a complete file replaces one that is already there.

    Equal content gives equal bytes.
    """
    header = {"format": kind.name, "version": kind.version, **header}
    tensors = {name: np.ascontiguousarray(tensors[name]) for name in kind.tensors}
    metadata = {KEY: json.dumps({"sha256": _digest(header, tensors), **header}, allow_nan=False)}
    content = safetensors.numpy.save(tensors, metadata)  # save_file would write a file that only its owner may read
    write_beside(path, lambda file: file.write(content))


@contextmanager
def load_tensors(path: Path, kind: Format) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Header and tensors of a file; what the body of the ``with`` finds wrong in them counts as damage.

    Raises: ModelFileError if the file is foreign, truncated, of another version or damaged; OSError if it cannot be
    read.
    """
    with open(path, "rb") as file:
        start = file.peek(9)
        if start[8:9] != b"{" or not 0 < int.from_bytes(start[:8], "little") <= MAX_HEADER:
            raise _foreign(path, kind)
        content = file.read()
    try:
        yield _parse(path, kind, content)
    except _Rejected:
        raise
    except DAMAGE as error:
        # the message may repeat what the file says: no more than a line of it, without control characters
        brief = "".join(letter if letter.isprintable() else "?" for letter in str(error)[:MAX_MESSAGE]).rstrip(".")
        raise ModelFileError(f"{path} is damaged ({brief}); copy it again, or {kind.remedy}.") from error


def _parse(path: Path, kind: Format, content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    start = 8 + int.from_bytes(content[:8], "little")
    outer = json.loads(content[8:start]) if start <= len(content) else {}
    ends = [entry["data_offsets"][1] for name, entry in outer.items() if name != "__metadata__"]
    if start + max(ends, default=0) > len(content):
        raise _Rejected(f"{path} is truncated: its end is missing; copy it again, or {kind.remedy}.")
    metadata = outer.get("__metadata__", {})
    header = json.loads(metadata[KEY]) if KEY in metadata else {"format": None}
    if header["format"] != kind.name:
        raise _foreign(path, kind)
    if header["version"] != kind.version:
        raise _of_another_version(path, kind, header["version"])
    tensors = safetensors.numpy.load(content)
    if tensors.keys() != kind.tensors.keys():
        raise ModelFileError("its tensors have other names")
    for name, dtypes in kind.tensors.items():
        if tensors[name].dtype.name not in dtypes:
            raise ModelFileError(f"{name} has the type {tensors[name].dtype}; expected {' or '.join(dtypes)}")
    if header.pop("sha256") != _digest(header, tensors):
        raise ModelFileError("its checksum does not match its content")
    return header, tensors


def _foreign(path: Path, kind: Format) -> _Rejected:
    return _Rejected(f"{path} is not {kind.description}; expected a file that train-sentiment wrote.")


def _of_another_version(path: Path, kind: Format, version: Any) -> ModelFileError:
    if type(version) is not int or not 0 < version <= MAX_VERSION:
        return ModelFileError("its version is not a positive number")
    age, advice = ("a newer", "update mlcore") if version > kind.version else ("an older", kind.remedy)
    return _Rejected(f"{path} was written by {age} mlcore (format {version}; this one reads {kind.version}); {advice}.")


def _digest(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over the header as JSON and the tensors with their names, types and shapes, as hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(header, allow_nan=False).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


# Models -----------------------------------------------------------------------------------------------------


def save_model(model: Model, path: Path) -> None:
    """Write the model beside ``path`` and rename it; equal models give equal bytes.

    Raises: InputError if the table has numbers too large for float16; OSError if the file cannot be written.
    """
    settings, parameters = model.settings, model.parameters._asdict()
    if settings.float16 and np.abs(parameters["table"]).max(initial=0) > np.finfo(np.float16).max:
        raise InputError("the embedding has numbers too large for float16", suggestion={"float16": False})
    for name in ("table", "W1"):
        parameters[name] = parameters[name][:, : settings.dim]
    parameters["table"] = parameters["table"].astype(np.float16 if settings.float16 else np.float32, copy=False)
    header = {"labels": model.labels, "settings": asdict(settings), "provenance": asdict(model.provenance)}
    keys = model.features.ngrams.keys
    ngrams = np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1).astype(np.int32)
    save_tensors(path, MODEL, header, {"vocabulary": model.features.words.to_lines(), "ngrams": ngrams} | parameters)


def load_model(path: Path) -> Model:
    """Read a model file.

    Raises: ModelFileError if it is not one, truncated, damaged, or of another version; OSError if it cannot be read.
    """
    with load_tensors(path, MODEL) as (header, tensors):
        return _build(header, tensors)


def _build(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> Model:
    """Model from the parts of a file, each checked: whoever can write a file can write a checksum."""
    settings, labels = Settings(**header["settings"]), list(header["labels"])
    sizes = (0,) if settings.loss == "squared" else range(2, MAX_LABELS + 1)
    printable = all(type(label) is str and label and label.isprintable() for label in labels)
    if len(labels) not in sizes or labels != header["labels"] or not printable:
        raise ModelFileError("its labels are not printable strings, as many as its loss needs")
    if len(set(labels)) != len(labels):
        raise ModelFileError("it has a label twice")
    features = _features(tensors["vocabulary"], tensors["ngrams"], settings)
    dim, hidden, outputs = settings.dim, settings.hidden, len(labels) if len(labels) > 2 else 1
    shapes = ((len(features), dim), (hidden, dim), (hidden,), (outputs, hidden), (outputs,))
    for name, shape in zip(Parameters._fields, shapes, strict=True):
        if tensors[name].shape != shape:
            raise ModelFileError(f"{name} has shape {tensors[name].shape}; expected {shape}")
        if not in_range(tensors[name]):
            raise ModelFileError(f"{name} has NaN, infinity, or a number beyond {MAX_PARAMETER:g}")
    if (tensors["table"].dtype == np.float16) != settings.float16:
        raise ModelFileError(f"table has the type {tensors['table'].dtype}, but float16 is {settings.float16}")
    parameters = Parameters.zeros(len(features), dim, hidden, outputs)
    for name, padded in parameters._asdict().items():
        padded[..., : tensors[name].shape[-1]] = tensors[name]
    return Model(settings, tuple(labels), features, parameters, _provenance(header["provenance"]))


def _features(lines: np.ndarray, ngrams: np.ndarray, settings: Settings) -> Features:
    if lines.ndim != 1 or ngrams.ndim != 2 or ngrams.shape[1] != 2:
        raise ModelFileError(
            f"vocabulary has shape {lines.shape} and ngrams {ngrams.shape}; expected (bytes,) and (n, 2)"
        )
    if CONTROL.search(lines.tobytes().decode()):
        raise ModelFileError("its vocabulary has control characters")
    words = WordTable.from_lines(lines)
    if len(words) != np.count_nonzero(lines == ord("\n")):
        raise ModelFileError("its vocabulary has a word twice")
    before, last = ngrams.astype(np.int64).T
    numbers = len(words) + np.arange(len(ngrams))
    if (before < 0).any() or (before >= numbers).any() or (last < 0).any() or (last >= len(words)).any():
        raise ModelFileError("its n-grams are not made of its words")
    keys = before << 32 | last
    if len(np.unique(keys)) != len(keys):
        raise ModelFileError("it has an n-gram twice")
    sizes = np.ones(len(words) + len(keys), np.int8)
    for _ in range(settings.ngrams):  # one pass more than needed finds n-grams that are too long
        sizes[len(words) :] = sizes[before] + 1
    if sizes.max(initial=1) > settings.ngrams:
        raise ModelFileError(f"it has an n-gram of more than {settings.ngrams} words")
    return Features(words, PairTable(len(words), keys), settings.ngrams, settings.binary)


def _provenance(header: dict[str, Any]) -> Provenance:
    provenance = Provenance(**header)
    strings = [provenance.fingerprint, *provenance.inputs, *provenance.texts]
    for value in provenance.inputs.values():
        strings += value if isinstance(value, list) else [value]
    if not all(isinstance(value, str) for value in strings):
        raise ModelFileError("its provenance has other values than strings")
    if not all(type(number) is int and number >= 0 for number in provenance.texts.values()):
        raise ModelFileError("its provenance has numbers of texts that are not numbers")
    for epoch in provenance.history:
        values = [epoch[name] for name in HISTORY]
        typed = all(type(value) in types for value, types in zip(values, HISTORY.values(), strict=True))
        if not typed or len(epoch) > len(HISTORY) or any(abs(value or 0) > MAX_FIGURE for value in values):
            raise ModelFileError("its history does not consist of epochs")
    return provenance
