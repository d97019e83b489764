"""The file of a model, in safetensors: what is checked before any of it is used.

Parameters are tensors; everything else is JSON under one key of the metadata, with a SHA-256 over JSON and tensors.
Checkpoints use the same container.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from mlcore.errors import InputError, ModelFileError, counted
from mlcore.files import beside
from mlcore.kernels.forward import Parameters
from mlcore.sentiment.model import HISTORY, MAX_PARAMETER, Compressed, Model, Provenance, in_range
from mlcore.sentiment.settings import FIELDS, Settings
from mlcore.text.labels import MAX_LABELS, MAX_SEVERAL, is_label
from mlcore.text.ngrams import BEGIN, Features, Pieces
from mlcore.text.vocabulary import WordTable

KEY = "mlcore"  # of the metadata; a single one, because safetensors does not promise an order
MAX_HEADER = 100_000_000  # bytes, as safetensors itself allows
MAX_MESSAGE = 200
MAX_FIGURE = 1e40  # of an epoch
MIN_STEP = 1e-30  # whose multiples are exact in float32
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# What the readers of safetensors and JSON, and the code that uses their values, raise for bytes that somebody changed
DAMAGE = (
    ModelFileError, InputError, SafetensorError, ValueError, KeyError, TypeError, IndexError, AttributeError,
    OverflowError, RecursionError,
)  # fmt: skip


class _Rejected(Exception):
    """What a file is instead of damaged."""


class Format(NamedTuple):
    """A kind of file."""

    name: str
    versions: tuple[int, ...]  # that can be read; the last one is written
    description: str
    remedy: str  # what to do when there is no other copy


# Version 6 may have no features of how texts begin, but else is the same
MODEL = Format("mlcore-sentiment", (6, 7), "a model file of mlcore", "train it again")


def save_tensors(path: Path, kind: Format, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Write a file beside ``path`` and rename it; equal content gives equal bytes.

    Raises: OSError if it cannot be written.
    """
    tensors, metadata = _with_metadata(kind, header, tensors)
    with beside(path) as new:
        mode = new.stat().st_mode
        try:
            safetensors.numpy.save_file(tensors, new, metadata)  # puts a file in its place that only its owner may read
        except SafetensorError as error:  # it names the system's error only in its text
            found = re.search(r"\(os error (\d+)\)", str(error))
            number = int(found[1]) if found else errno.EIO
            raise OSError(number, os.strerror(number), str(path)) from error
        new.chmod(mode)


def _with_metadata(
    kind: Format, header: dict[str, Any], tensors: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    header = {"format": kind.name, "version": kind.versions[-1], **header}
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    return tensors, {KEY: json.dumps({"sha256": _digest(header, tensors), **header}, allow_nan=False)}


@contextmanager
def load_tensors(path: Path, kind: Format) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Header and tensors of a file; what the body of the ``with`` finds wrong in them counts as damage.

    Raises: ModelFileError if the file is foreign, truncated, of another version or damaged; OSError.
    """
    with open(path, "rb") as file:
        start = file.peek(9)
        known = start[8:9] == b"{" and 0 < int.from_bytes(start[:8], "little") <= MAX_HEADER
        content = file.read() if known else b""
    try:
        parts = _parse(content, kind)
        del content  # as large as the tensors
        yield parts
    except _Rejected as error:
        raise ModelFileError(f"{path} {error}") from None
    except DAMAGE as error:
        # the message may repeat what the file says: no more than a line of it, without control characters
        brief = "".join(letter if letter.isprintable() else "?" for letter in str(error)[:MAX_MESSAGE]).rstrip(".")
        raise ModelFileError(f"{path} is damaged ({brief}); copy it again, or {kind.remedy}.") from error


def _parse(content: bytes, kind: Format) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    foreign = _Rejected(f"is not {kind.description}; expected a file that train-sentiment wrote.")
    if not content:
        raise foreign
    start = 8 + int.from_bytes(content[:8], "little")
    outer = json.loads(content[8:start]) if start <= len(content) else {}
    ends = [entry["data_offsets"][1] for name, entry in outer.items() if name != "__metadata__"]
    if start + max(ends, default=0) > len(content):
        raise _Rejected(f"is truncated: its end is missing; copy it again, or {kind.remedy}.")
    metadata = outer.get("__metadata__", {})
    header = json.loads(metadata[KEY]) if KEY in metadata else {"format": None}
    if header["format"] != kind.name:
        raise foreign
    if (version := header["version"]) not in kind.versions:
        old = version in range(kind.versions[-1])
        age, advice = ("an older", kind.remedy) if old else ("a newer", "update mlcore")
        numbers = f"format {version!r:.9}; this one reads {' and '.join(map(str, kind.versions))}"
        raise _Rejected(f"was written by {age} mlcore ({numbers}); {advice}.")
    tensors = safetensors.numpy.load(content)
    require(header.pop("sha256") == _digest(header, tensors), "its checksum does not match its content")
    return header, tensors


def require(condition: object, problem: str) -> None:
    """Raises: ModelFileError if the condition does not hold."""
    if not condition:
        raise ModelFileError(problem)


def check_tensors(
    tensors: dict[str, np.ndarray], expected: dict[str, tuple[str, tuple[int, ...]]], limit: float = MAX_PARAMETER
) -> None:
    """Compare tensors with the types and shapes that they should have.

    Raises: ModelFileError if one is missing, superfluous or different, or has NaN or numbers beyond the limit.
    """
    require(tensors.keys() == expected.keys(), "its tensors have other names")
    for name, (dtype, shape) in expected.items():
        array = tensors[name]
        found, right = f"{array.dtype} of shape {array.shape}", f"{dtype} of shape {shape}"
        require(found == right, f"{name} is {found}; expected {right}")
        fits = array.dtype.kind != "f" or in_range(array, limit)
        require(fits, f"{name} has NaN, infinity, or a number beyond {limit:g}")


def _digest(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over the header as JSON and the tensors with their names, types and shapes, as hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(header, allow_nan=False).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def save_model(model: Model, path: Path) -> None:
    """Write the model beside ``path`` and rename it; equal models give equal bytes.

    Raises: InputError if the table has numbers too large for float16; OSError if the file cannot be written.
    """
    save_tensors(path, MODEL, *_parts_of(model))


def content_of(model: Model) -> bytes:
    """What ``save_model`` writes."""
    return safetensors.numpy.save(*_with_metadata(MODEL, *_parts_of(model)))


def _parts_of(model: Model) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    settings = model.settings
    if settings.float16 and np.abs(model.parameters.table).max(initial=0) > np.finfo(np.float16).max:
        raise InputError("the embedding has numbers too large for float16", suggestion={"float16": False})
    header = {
        "labels": model.labels, "settings": asdict(settings), "provenance": asdict(model.provenance),
        "thresholds": None if model.thresholds is None else model.thresholds.tolist(), "seen": model.seen,
        "compressed": model.compressed and model.compressed._asdict(),
    }  # fmt: skip
    header = {name: value for name, value in header.items() if value is not None}
    keys = model.features.ngrams
    ngrams = np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1).astype(np.int32)
    features = {"vocabulary": model.features.words, "pieces": model.features.pieces.table}
    lines = {name: words.to_lines() for name, words in features.items()}
    return header, lines | {"ngrams": ngrams, "trained_on": model.trained_on} | stored_parameters(model)


def stored_parameters(model: Model) -> dict[str, np.ndarray]:
    """The parameters as they are stored, without padding.

    The table (v, dim) is float32 or float16, or int8 if it is compressed: multiples of its step.
    """
    dim, parameters = model.settings.dim, model.parameters._asdict()
    table = parameters["table"][:, :dim]
    if model.compressed:
        table = np.rint(table / np.float32(model.compressed.step))
    table = table.astype(_table_type(model.settings, model.compressed), copy=False)
    return parameters | {"table": table, "W1": parameters["W1"][:, :dim]}


def load_model(path: Path) -> Model:
    """Read a model file.

    Raises: ModelFileError if it is not one, truncated, damaged, or of another version; OSError if it cannot be read.
    """
    try:
        with load_tensors(path, MODEL) as (header, tensors):
            return _build(header, tensors)
    except MemoryError as error:
        raise ModelFileError(f"{path} is too large for the memory of this machine") from error


def model_of(content: bytes) -> Model:
    """The model in the content of a file that ``load_model`` has read before."""
    return _build(*_parse(content, MODEL))


def _build(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> Model:
    """Model from the parts of a file, each checked: whoever can write a file can write a checksum."""
    settings, labels = Settings(**header["settings"]), header["labels"]
    require(not settings.automatic(), "its settings are not all known")
    most = MAX_SEVERAL if settings.multi_label else MAX_LABELS
    sizes = (0,) if settings.loss == "squared" else range(2, most + 1)
    texts = all(type(label) is str and is_label(label) for label in labels)
    fits = type(labels) is list and len(labels) in sizes and texts and len(set(labels)) == len(labels)
    require(fits, "its labels are not different strings, as many as its loss needs")
    trained_on = tensors["trained_on"]
    vocabulary, pieces, ngrams = tensors["vocabulary"], tensors["pieces"], tensors["ngrams"]
    dim, hidden, outputs = settings.dim, settings.hidden, settings.outputs(len(labels))
    compressed = _compressed(header.get("compressed"))
    n_features = sum(int(np.count_nonzero(lines == ord("\n"))) for lines in (vocabulary, pieces)) + len(ngrams)
    check_tensors(tensors, {
        "vocabulary": ("uint8", (vocabulary.size,)), "pieces": ("uint8", (pieces.size,)),
        "ngrams": ("int32", (len(ngrams), 2)), "trained_on": ("uint32", (trained_on.size,)),
        "table": (_table_type(settings, compressed), (n_features, dim)),
        "W1": ("float32", (hidden, dim)), "b1": ("float32", (hidden,)),
        "W2": ("float32", (outputs, hidden)), "b2": ("float32", (outputs,)),
    })  # fmt: skip
    features = _features(vocabulary, ngrams, pieces, settings)
    parameters = Parameters.zeros(n_features, dim, hidden, outputs)
    for name, padded in parameters._asdict().items():
        padded[..., : tensors[name].shape[-1]] = tensors[name]
    if compressed:
        parameters.table[:] *= np.float32(compressed.step)
    require((trained_on[1:] > trained_on[:-1]).all(), "its fingerprints of texts are not in order")
    provenance, thresholds = _provenance(header["provenance"]), _thresholds(header.get("thresholds"), settings, labels)
    if (seen := header.get("seen")) is not None:
        low, high = seen
        valid = type(low) is type(high) is float and -MAX_FIGURE <= low <= high <= MAX_FIGURE
        require(valid and not labels, "its range of ratings is not two numbers")
    return Model(
        settings, tuple(labels), features, parameters, provenance, thresholds, seen and (low, high), trained_on,
        compressed,
    )  # fmt: skip


def _table_type(settings: Settings, compressed: Compressed | None) -> str:
    return "int8" if compressed else "float16" if settings.float16 else "float32"


def _compressed(header: Any) -> Compressed | None:
    if header is None:
        return None
    compressed = Compressed(**header)
    step, *counts = compressed
    valid = type(step) is float and MIN_STEP <= step <= MAX_PARAMETER / 128 and float(np.float32(step)) == step
    require(valid, "the step of its embedding is not a float32 above 0")
    require(all(type(one) is int and 0 < one < 2**31 for one in counts), "its original had no such size")
    return compressed


def _thresholds(values: Any, settings: Settings, labels: list[str]) -> np.ndarray | None:
    if values is None:
        return None
    valid = [type(value) is float and 0 <= value <= 1 for value in values]
    fits = settings.multi_label and len(valid) == len(labels) and all(valid)
    require(fits, "its thresholds are not one per label")
    return np.array(values)


def _words(lines: np.ndarray) -> WordTable:
    require(not CONTROL.search(lines.tobytes().decode()), "its vocabulary has control characters")
    words = WordTable.from_lines(lines)
    require(len(words) == np.count_nonzero(lines == ord("\n")), "its vocabulary has a word twice")
    return words


def _features(lines: np.ndarray, ngrams: np.ndarray, pieces: np.ndarray, settings: Settings) -> Features:
    words = _words(lines)
    require(settings.characters or not pieces.size, "it has n-grams of characters, and its settings have none")
    before, last = ngrams.astype(np.int64).T
    known = (before >= BEGIN) & (before < len(words) + np.arange(len(ngrams))) & (last >= 0) & (last < len(words))
    require(known.all(), "its n-grams are not made of its words")
    keys = before << 32 | last
    require(len(np.unique(keys)) == len(keys), "it has an n-gram twice")
    # counts one word more than there may be, and so finds n-grams that are too long
    longer = Features(words, keys, settings.ngrams + 1, settings.binary)
    most = settings.ngrams + (longer.begins() & (settings.ngrams > 1))
    require((longer.words_in() <= most).all(), f"it has an n-gram of more than {counted(settings.ngrams, 'word')}")
    return Features(words, keys, settings.ngrams, settings.binary, Pieces(_words(pieces), settings.characters))


def _provenance(header: dict[str, Any]) -> Provenance:
    provenance = Provenance(**header)
    inputs = [value if isinstance(value, list) else [value] for value in provenance.inputs.values()]
    strings = [provenance.fingerprint, *provenance.inputs, *provenance.texts, *(one for some in inputs for one in some)]
    figures = [type(number) is float and abs(number) <= MAX_FIGURE for number in provenance.calibration.values()]
    require(all(figures) and len(figures) in (0, 3), "its calibration does not consist of three numbers")
    require(set(provenance.chosen) <= FIELDS.keys(), "it names settings that there are not")
    counts = [type(number) is int and number >= 0 for number in provenance.texts.values()]
    valid = all(counts) and all(isinstance(value, str) for value in strings)
    require(valid, "its provenance has values of other types")
    for epoch in provenance.history:
        typed = [type(epoch[name]) in types and abs(epoch[name] or 0) <= MAX_FIGURE for name, types in HISTORY.items()]
        require(all(typed) and len(epoch) == len(HISTORY), "its history does not consist of epochs")
    return provenance
