"""Corpora as trainings want them, kept from one training to the next in files that are mapped into memory.

An entry is a folder named after all that decides what is in it. It may be deleted at any time.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlcore import __version__
from mlcore.installed import sources
from mlcore.memory import blocks
from mlcore.sentiment.classifier import Part
from mlcore.sentiment.preparation import TrainingData
from mlcore.sentiment.settings import Settings
from mlcore.text.features import Features
from mlcore.text.pairs import PairTable
from mlcore.text.vocabulary import Documents, WordTable

LARGEST = 20 * 2**30  # bytes of all entries; those that have not been used for the longest time go first
SAMPLES, SAMPLE = 16, 1 << 16  # blocks of a file that its key depends on, and their bytes
ABANDONED = 24 * 3600  # seconds after which an entry that was never finished is removed
HEADER = "entry.json"
PART = ".part-"  # what the names of unfinished entries begin with
DECIDING = ("ngrams", "min_count", "max_features", "binary", "loss")  # settings that decide what is in an entry
DOCUMENTS = {"ids": np.int32, "counts": np.int32, "offsets": np.int64}
ARRAYS = DOCUMENTS | {
    "targets": np.float32, "train": np.int64, "dev": np.int64, "test": np.int64, "words": np.uint8, "keys": np.int64,
    "feature_counts": np.int64,
} | {f"dev_{name}": dtype for name, dtype in (DOCUMENTS | {"targets": np.float32}).items()}  # fmt: skip


class Prepared(NamedTuple):
    """A corpus that is ready to be trained on, and the fingerprints of what was read."""

    data: TrainingData
    fingerprints: list[str]


def cache_folder() -> Path:
    """The user's own folder for caches.

    Raises: OSError if there is none.
    """
    named = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None)
    if named:
        return Path(named) / "mlcore"
    try:
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "mlcore"
    except RuntimeError as error:
        raise OSError("the home folder cannot be found") from error


def key_of(paths: list[Path], dev: Path | float | None, columns: list[str | None], settings: Settings) -> str | None:
    """Name of the entry for these inputs; None if one of them is neither a file nor a folder, and cannot be told again.

    It depends on each file's path, size, time of modification and a sample of its content, and on all else that
    decides what is prepared: format and columns, settings, and mlcore and Python themselves.

    Raises: OSError if an input cannot be read.
    """
    read = [*paths, dev] if isinstance(dev, Path) else paths
    if not all(path.is_file() or path.is_dir() for path in read):
        return None
    parts = [len(paths), "file" if isinstance(dev, Path) else dev, *columns]
    parts += [getattr(settings, name) for name in DECIDING]
    if dev != 0 and not isinstance(dev, Path):
        parts.append(settings.seed)  # which texts a fraction holds out depends on it
    digest = hashlib.sha256(json.dumps([__version__, sys.version, parts]).encode())
    for source in sources("text", "sentiment/preparation.py"):
        digest.update(source)
    for path in read:
        for piece in _stamp(path.resolve()):
            digest.update(piece)
    return digest.hexdigest()


def _stamp(path: Path) -> Iterator[bytes]:
    """What tells a file, or the files of a folder, from others and from what they were before."""
    files = [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
    sampled = set(files[:: max(1, len(files) // SAMPLES)])
    for file in files:
        status = file.stat()
        yield f"{file}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape")
        if file in sampled:
            with open(file, "rb") as content:
                for block in range(SAMPLES if len(files) == 1 else 1):
                    content.seek(block * max(0, status.st_size - SAMPLE) // max(1, SAMPLES - 1))
                    yield content.read(SAMPLE)


@contextmanager
def room() -> Iterator[Path]:
    """A folder for an entry under construction, which is gone at the end unless ``keep`` has been called.

    Raises: OSError if it cannot be made.
    """
    cache = cache_folder()
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    for abandoned in cache.glob(f"{PART}*"):
        if time.time() - abandoned.stat().st_mtime > ABANDONED:
            shutil.rmtree(abandoned, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=PART, dir=cache))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep(folder: Path, key: str, prepared: Prepared) -> None:
    """Finish an entry whose documents have been written to a ``room``, and make room by removing old entries.

    Raises: OSError if it cannot be written.
    """
    data = prepared.data
    arrays = _arrays(data)
    for name, array in arrays.items():
        if name not in DOCUMENTS:
            array.tofile(folder / name)
    header = {
        "labels": list(data.labels),
        "largest": data.features.largest,
        "binary": data.features.binary,
        "fingerprints": prepared.fingerprints,
        "arrays": {name: [len(array), checksum(array)] for name, array in arrays.items()},
    }
    for file in folder.iterdir():
        if file.name not in arrays:
            file.unlink()  # what was needed on the way
    (folder / HEADER).write_text(json.dumps(header))
    entry = cache_folder() / key
    if not entry.exists():  # another process may have been faster
        folder.rename(entry)
    _make_room(entry)


def checksum(array: np.ndarray) -> int:
    """CRC-32 of an array, which is not in memory as a whole if it is mapped."""
    found = 0
    for block in blocks(array):
        found = zlib.crc32(block, found)
    return found


def _arrays(data: TrainingData) -> dict[str, np.ndarray]:
    train, dev, test = data.train, data.dev, data.test
    found = {
        **train.documents._asdict(), "targets": train.targets.ravel(), "train": train.rows,
        "test": test.rows if test else np.zeros(0, np.int64), "words": data.features.words.to_lines(),
        "keys": data.features.ngrams.keys, "feature_counts": data.feature_counts,
    }  # fmt: skip
    if dev and dev.documents is not train.documents:
        of_dev = dev.documents._asdict() | {"targets": dev.targets.ravel()}
        return found | {"dev": dev.rows} | {f"dev_{name}": array for name, array in of_dev.items()}
    return found | {"dev": dev.rows if dev else np.zeros(0, np.int64)}


def _make_room(newest: Path) -> None:
    entries = [
        entry for entry in newest.parent.iterdir()
        if entry != newest and not entry.name.startswith(PART) and (entry / HEADER).is_file()
    ]  # fmt: skip
    entries.sort(key=lambda entry: (entry / HEADER).stat().st_mtime)
    sizes = {entry: sum(file.stat().st_size for file in entry.iterdir()) for entry in [*entries, newest]}
    while entries and sum(sizes.values()) > LARGEST:
        del sizes[entries[0]]
        shutil.rmtree(entries.pop(0), ignore_errors=True)


def find(key: str) -> Prepared | None:
    """The entry of this name, if there is a whole one; a damaged one is removed."""
    try:
        entry = cache_folder() / key
        header = json.loads((entry / HEADER).read_text())
    except (OSError, ValueError):
        return None
    try:
        prepared = _load(entry, header)
        os.utime(entry / HEADER)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        shutil.rmtree(entry, ignore_errors=True)
        return None
    return prepared


def _load(entry: Path, header: dict) -> Prepared:
    """What an entry holds, if its sums are right and nothing in it points beyond what is there."""
    found = {}
    for name, (length, expected) in header["arrays"].items():
        found[name] = _mapped(entry / name, ARRAYS[name], length)
        _check(checksum(found[name]) == expected)
    words, keys = WordTable.from_lines(found["words"]), found["keys"]
    numbers = len(words) + np.arange(len(keys))
    _check((keys >= 0).all() and (keys >> 32 < numbers).all() and (keys & 0xFFFFFFFF < len(words)).all())
    features = Features(words, PairTable(len(words), keys), header["largest"], header["binary"])

    def documents(prefix: str) -> Documents:
        documents = Documents(*(found[prefix + name] for name in DOCUMENTS))
        ids, counts, offsets = documents
        _check(len(counts) in (1, len(ids)) and offsets[0] == 0 and offsets[-1] == len(ids))
        _check((np.diff(offsets) >= 0).all())
        _check(all(block.min() >= 0 and block.max() < len(features) for block in blocks(ids)))
        return documents

    def part(texts: Documents, targets: np.ndarray, rows: np.ndarray) -> Part | None:
        _check(len(targets) == texts.n_texts and rows.min(initial=0) >= 0)
        _check(rows.max(initial=0) < max(texts.n_texts, 1))
        return Part(texts, targets.reshape(-1, 1), rows) if len(rows) else None

    texts, targets = documents(""), found["targets"]
    train, test = part(texts, targets, found["train"]), part(texts, targets, found["test"])
    if "dev_ids" in found:
        dev = part(documents("dev_"), found["dev_targets"], found["dev"])
    else:
        dev = part(texts, targets, found["dev"])
    data = TrainingData(features, found["feature_counts"], tuple(header["labels"]), train, dev, test)
    return Prepared(data, list(header["fingerprints"]))


def _mapped(path: Path, dtype: type, length: int) -> np.ndarray:
    """An array of a file; what is written to it does not reach the file."""
    size = path.stat().st_size
    _check(size == length * np.dtype(dtype).itemsize)
    return np.asarray(np.memmap(path, dtype, "c")) if size else np.zeros(0, dtype)


def _check(right: bool) -> None:
    if not right:
        raise ValueError("damaged, or numbers that do not fit together")
