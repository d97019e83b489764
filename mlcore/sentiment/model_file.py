"""The file of a classifier: what is checked before a model is believed."""

import re
from dataclasses import asdict
from pathlib import Path
from types import NoneType

import numpy as np

from mlcore.errors import InputError, ModelFileError
from mlcore.sentiment.arrayfile import Format, load_arrays, save_arrays
from mlcore.sentiment.model import HISTORY, LARGEST_PARAMETER, Model, Parameters, Provenance, in_range
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import MAX_LABELS
from mlcore.text.ngrams import Features, PairTable
from mlcore.text.vocabulary import WordTable

MODEL = Format(
    "mlcore-sentiment",
    2,
    {"vocabulary": ("|u1",), "ngrams": ("<i4",), "table": ("<f4", "<f2")}
    | dict.fromkeys(Parameters._fields[1:], ("<f4",)),
    what="a model file of mlcore",
    writer="train-sentiment",
    remedy="train it again",
)
FIGURES = {  # of an epoch, with their types
    "epoch": (int,), "train_loss": (int, float), "dev_loss": (int, float, NoneType),
    "dev_accuracy": (int, float, NoneType), "learning_rate": (int, float), "restarts": (int,), "best": (bool,),
}  # fmt: skip
LARGEST_FIGURE = 1e40
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def save(classifier: Model, path: Path) -> None:
    """Write the model beside ``path`` and rename it; equal classifiers give equal bytes.

    Raises: InputError if a number of the table is too large for float16; OSError if the file cannot be written.
    """
    settings = classifier.settings
    header = {
        "labels": list(classifier.labels),
        "settings": asdict(settings),
        "provenance": asdict(classifier.provenance),
    }
    table, W1, b1, W2, b2 = classifier.parameters
    if settings.half and np.abs(table).max(initial=0) > np.finfo(np.float16).max:
        raise InputError("The table has numbers that are too large for float16; save it without --half.")
    keys = classifier.features.ngrams.keys
    arrays = {
        "vocabulary": classifier.features.words.to_lines(),
        "ngrams": np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1).astype("<i4"),
        "table": table[:, : settings.dim].astype("<f2" if settings.half else "<f4", copy=False),
        "W1": W1[:, : settings.dim].astype("<f4", copy=False),
        "b1": b1.astype("<f4"),
        "W2": W2.astype("<f4"),
        "b2": b2.astype("<f4"),
    }
    save_arrays(path, MODEL, header, arrays)


def load(path: Path) -> Model:
    """Read a model file.

    Raises: ModelFileError if it is not one, not a whole one, damaged, or of another version; OSError if it cannot be
    read.
    """
    with load_arrays(path, MODEL) as (header, arrays):
        return _build(header, arrays)


def _build(header: dict, arrays: dict[str, np.ndarray]) -> Model:
    """Model from the parts of a file, each checked: whoever can write a file can write a checksum."""
    settings = Settings(**header["settings"])
    labels = header["labels"]
    enough = (0,) if settings.loss == "squared" else range(2, MAX_LABELS + 1)
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
        if not in_range(arrays[name]):
            raise ModelFileError(f"{name} holds NaN, infinity, or a number beyond {LARGEST_PARAMETER:g}")
    if (arrays["table"].dtype == np.float16) != settings.half:
        raise ModelFileError(f"table has values of type {arrays['table'].dtype}, but half is {settings.half}")
    parameters = Parameters.zeros(len(features), dim, hidden, outputs)
    for name, padded in parameters._asdict().items():
        padded[..., : arrays[name].shape[-1]] = arrays[name]
    return Model(settings, tuple(labels), features, parameters, _provenance(header["provenance"]))


def _features(lines: np.ndarray, ngrams: np.ndarray, settings: Settings) -> Features:
    if lines.ndim != 1:
        raise ModelFileError(f"vocabulary has shape {lines.shape}; expected one dimension")
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
    return Features(words, PairTable(len(words), keys), settings.ngrams, settings.binary)


def _provenance(found: dict) -> Provenance:
    provenance = Provenance(**found)
    strings = [provenance.fingerprint, *provenance.inputs, *provenance.texts]
    for value in provenance.inputs.values():
        strings += value if isinstance(value, list) else [value]
    if not all(isinstance(value, str) for value in strings):
        raise ModelFileError("its provenance has something else where there should be strings")
    if not all(type(number) is int and number >= 0 for number in provenance.texts.values()):
        raise ModelFileError("its provenance has something else where there should be numbers of texts")
    if not isinstance(provenance.history, list) or not all(map(_is_epoch, provenance.history)):
        raise ModelFileError("its history is not one of epochs")
    return provenance


def _is_epoch(figures: object) -> bool:
    return (
        isinstance(figures, dict)
        and tuple(figures) == HISTORY
        and all(type(figures[name]) in types for name, types in FIGURES.items())
        and all(abs(value) < LARGEST_FIGURE for value in figures.values() if value is not None)
    )


def _is_label(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()
