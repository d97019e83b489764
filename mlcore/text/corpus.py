"""Readers of labelled texts: each yields ``Example``s from one format, and names file and line of what is wrong.

Formats: the aclImdb layout (a folder, or the .tar.gz straight away), CSV (RFC 4180), TSV (no quoting), JSON Lines,
and fastText's ``__label__x text``.
"""

import codecs
import csv
import gzip
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mlcore.errors import DataError
from mlcore.installed import installed

SPLITS = ("train", "dev", "test")
FORMATS = "an aclImdb folder or .tar.gz, .csv, .tsv, .jsonl, or fastText text"
LONGEST_TEXT = 50_000_000  # bytes of one file in an archive
IMDB_TEXT = re.compile(r"(?:^|/)(train|test)/(pos|neg)/[^/]+\.txt$")


class Example(NamedTuple):
    """One labelled text; split is "" where the data does not say, and place is a line or a file."""

    text: str
    label: str
    split: str
    place: str


@dataclass
class Corpus:
    """Labelled texts in parallel lists; places, where the data comes from files, are lines or files."""

    source: str
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def part(self, *splits: str) -> list[int]:
        """Numbers of the texts whose split is one of these."""
        return [i for i, split in enumerate(self.splits) if split in splits]

    def select(self, rows: Iterable[int]) -> "Corpus":
        """New corpus of these rows."""
        rows = list(rows)
        return Corpus(self.source, *([column[i] for i in rows] for column in self._columns))

    @property
    def _columns(self) -> tuple[list[str], ...]:
        return self.texts, self.labels, self.splits, self.places


def built_in_corpus() -> Path:
    """Path of the corpus that is installed with mlcore."""
    return installed("reviews.tsv")


def read_corpus(path: Path, progress: Callable[[int], None] = lambda texts: None) -> Corpus:
    """Read all labelled texts of a file or folder; ``progress`` is called with the number of texts so far.

    Raises: DataError if the content is not what the format promises or has no text; OSError if it cannot be read.
    """
    corpus = Corpus(str(path))
    for example in _examples(path):
        for column, value in zip(corpus._columns, example, strict=True):
            column.append(value)
        if len(corpus.texts) % 500 == 0:
            progress(len(corpus.texts))
    if not corpus.texts:
        raise DataError(f"{path} holds no labelled text; expected some.")
    return corpus


def _examples(path: Path) -> Iterator[Example]:
    name = path.name.lower()
    if path.is_dir():
        return read_imdb_folder(path)
    if name.endswith((".tar.gz", ".tgz")):
        return read_imdb_archive(path)
    content = path.read_bytes()  # once: it may be a pipe
    if not content:
        raise DataError(f"{path} is empty; expected {FORMATS}.")
    if name.endswith(".csv"):
        return read_csv(path, content)
    if name.endswith(".tsv"):
        return read_tsv(path, content)
    if name.endswith((".jsonl", ".ndjson")):
        return read_json_lines(path, content)
    if content[:4096].removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"__label__"):
        return read_fasttext(path, content)
    raise DataError(f"{path} has no format that mlcore knows by its name or its first bytes; expected {FORMATS}.")


def read_imdb_folder(path: Path) -> Iterator[Example]:
    """Texts of ``train`` and ``test`` with their ``pos`` and ``neg`` folders, here or in ``aclImdb/``, by name."""
    root = path / "aclImdb" if (path / "aclImdb").is_dir() else path
    found = sorted(file for split in ("train", "test") for file in (root / split).glob("*/*.txt"))
    examples = [(file, match) for file in found if (match := IMDB_TEXT.search(file.as_posix()))]
    if not examples:
        raise DataError(
            f"{path} has no train/pos/*.txt and train/neg/*.txt; expected the layout of the aclImdb data set."
        )
    for file, match in examples:
        yield Example(_decode(file.read_bytes(), str(file)), match[2], match[1], str(file))


def read_imdb_archive(path: Path) -> Iterator[Example]:
    """The same from the archive, in the same order, without unpacking it to disk."""
    examples = []
    try:
        # gzip checks its sum over all bytes, which tarfile alone would not; hence the reading on to the end
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                match = IMDB_TEXT.search(member.name)
                if match and member.isfile():
                    if member.issparse() or member.size > LONGEST_TEXT:
                        raise DataError(f"{path}, {member.name}: has {member.size:,} bytes; expected a review.")
                    text = _decode(archive.extractfile(member).read(), f"{path}, {member.name}")
                    examples.append((member.name, Example(text, match[2], match[1], member.name)))
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged, or not a complete .tar.gz ({error}); fetch it again.") from error
    if not examples:
        raise DataError(
            f"{path} has no train/pos/*.txt and train/neg/*.txt; expected the layout of the aclImdb data set."
        )
    yield from (example for _, example in sorted(examples))


def read_csv(path: Path, content: bytes) -> Iterator[Example]:
    """Rows of a CSV file by RFC 4180 with a header: fields may be quoted, and quoted fields hold any character."""
    csv.field_size_limit(2**31 - 1)
    lines = iter(f"{line}\n" for line in _lines(path, content))
    reader = csv.reader(lines, strict=True)
    line = 1  # where the row that is read begins
    try:
        header = next(reader, [])
        columns = _Columns(path, header)
        line = reader.line_num + 1
        for row in reader:
            if row:
                yield columns.example(row, line)
            line = reader.line_num + 1
    except csv.Error as error:
        unclosed = str(error) == "unexpected end of data"
        cause = "a quote is opened in this row and never closed" if unclosed else f"not CSV by RFC 4180 ({error})"
        raise DataError(f"{path}, line {line}: {cause}.") from error


def read_tsv(path: Path, content: bytes) -> Iterator[Example]:
    """Rows of a TSV file with a header: a tab ends a field, a line end ends a row, a quote is a character."""
    lines = _lines(path, content)
    columns = _Columns(path, next(lines, "").split("\t"))
    for number, line in enumerate(lines, start=2):
        if line:
            yield columns.example(line.split("\t"), number)


def read_json_lines(path: Path, content: bytes) -> Iterator[Example]:
    """One JSON object per line with the keys text and label, and perhaps split."""
    for number, line in enumerate(_lines(path, content), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            record = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not a JSON object ({error}).") from error
        if not isinstance(record, dict) or not {"text", "label"} <= record.keys():
            raise DataError(f'{where}: expected an object with the keys "text" and "label".')
        text, label = record["text"], record["label"]
        if not isinstance(text, str) or isinstance(label, (dict, list, type(None))):
            raise DataError(f"{where}: text must be a string, and label a string or a number.")
        yield Example(text, _label(str(label), where), _split(record.get("split", ""), where), f"line {number}")


def read_fasttext(path: Path, content: bytes) -> Iterator[Example]:
    """One text per line after its label, ``__label__x text``."""
    for number, line in enumerate(_lines(path, content), start=1):
        if not line.strip():
            continue
        label, text = (*line.split(maxsplit=1), "")[:2]
        if not label.startswith("__label__") or label == "__label__":
            raise DataError(f"{path}, line {number}: expected __label__NAME and a space before the text.")
        if text.startswith("__label__"):
            raise DataError(f"{path}, line {number}: has two labels; expected one for each text.")
        where = f"{path}, line {number}"
        yield Example(text, _label(label.removeprefix("__label__"), where), "", f"line {number}")


class _Columns:
    """Where text, label and split are in the rows of a table."""

    def __init__(self, path: Path, header: list[str]) -> None:
        self.path, self.width = path, len(header)
        names = [name.strip().lower() for name in header]
        for name in ("text", "label", "split"):
            if names.count(name) != 1 and (name != "split" or "split" in names):
                found = ", ".join(header) if any(names) else "nothing"
                raise DataError(f"{path}, line 1: expected a header with one column named {name}; found {found[:200]}.")
        self.text, self.label = names.index("text"), names.index("label")
        self.split = names.index("split") if "split" in names else None

    def example(self, row: list[str], line: int) -> Example:
        where = f"{self.path}, line {line}"
        if len(row) != self.width:
            raise DataError(f"{where}: has {len(row)} fields; expected {self.width} as in the header.")
        split = "" if self.split is None else _split(row[self.split], where)
        return Example(row[self.text], _label(row[self.label], where), split, f"line {line}")


def _label(value: str, where: str) -> str:
    label = value.strip()
    if not label or not label.isprintable():
        raise DataError(
            f"{where}: the label is {'empty' if not label else repr(label)}; expected a printable word or more."
        )
    return label


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _split(value: object, where: str) -> str:
    if value not in ("", *SPLITS):
        raise DataError(f"{where}: the split is {value!r}; expected train, dev or test.")
    return str(value)


def _lines(path: Path, content: bytes) -> Iterator[str]:
    """Lines of a UTF-8 file without their ends; only the line feed ends a line, and a carriage return before it."""
    lines = _decode(content, str(path)).split("\n")
    if lines[-1] == "":
        lines.pop()
    return (line.removesuffix("\r") for line in lines)


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{where}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8."
        ) from error
