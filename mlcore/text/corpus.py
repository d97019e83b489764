"""Labelled texts in memory, and the way there: which format each path has, and one corpus of all of them."""

import codecs
import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice
from pathlib import Path

from mlcore.errors import DataError, InputError
from mlcore.files import installed
from mlcore.text.readers import READERS, ColumnNames, Columns, Example, Source, read_archive, read_folder
from mlcore.text.unpacking import STANDARD_INPUT, SUFFIXES, read_pieces, unpack_pieces

FORMATS = ("folder", "csv", "tsv", "jsonl", "fasttext")
EXPECTED = "a folder for each label (or a tar archive of it), CSV, TSV, JSON Lines or fastText text"
FORMAT_OF_SUFFIX = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"} | dict.fromkeys(
    (".tar", ".tgz", ".tbz", ".tbz2", ".txz"), "folder"
)
OTHER_ARCHIVES = {b"PK\3\4": "a zip archive", b"\x28\xb5\x2f\xfd": "compressed by zstd", b"7z\xbc\xaf": "a 7z archive"}
HEAD = 1 << 16  # bytes that the format is recognised from
BATCH = 500  # examples that are counted, or kept, at a time


@dataclass
class Corpus:
    """Labelled texts in parallel lists; places, where the data comes from files, are lines or files.

    ``undecodable``: the places that held bytes which are not UTF-8, if such were let through.
    """

    source: str
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    undecodable: list[str] = field(default_factory=list)

    def part(self, *splits: str) -> list[int]:
        """Numbers of the texts whose split is one of these."""
        return [i for i, split in enumerate(self.splits) if split in splits]

    def held_out(self) -> list[int]:
        """Numbers of the texts to measure on: of the test part, or else the dev part, or else of all."""
        return self.part("test") or self.part("dev") or list(range(len(self.texts)))

    def select(self, rows: Iterable[int]) -> "Corpus":
        """New corpus of these rows; what was undecodable in the source stays noted."""
        rows = list(rows)
        columns = ([column[i] for i in rows] if column else [] for column in self._columns)
        return Corpus(self.source, *columns, undecodable=list(self.undecodable))

    @property
    def _columns(self) -> tuple[list[str], ...]:
        return self.texts, self.labels, self.splits, self.places


def built_in_corpus() -> Path:
    """Path of the corpus that is installed with mlcore."""
    return installed("reviews.tsv")


def read_corpus(
    paths: Sequence[Path] | Path,
    format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    progress: Callable[[int], None] = lambda texts: None,
    lenient: bool = False,
) -> Corpus:
    """Keep all labelled texts that ``read_examples`` finds, with the same arguments and errors.

    ``lenient``: bytes that are not UTF-8 are replaced and their places noted, not refused.
    """
    paths = _checked_paths(paths)
    corpus = Corpus(", ".join(map(name_of, paths)))
    undecodable = corpus.undecodable if lenient else None
    examples = read_examples(paths, format, text_column, label_column, progress, undecodable)
    while batch := list(islice(examples, BATCH)):
        for column, values in zip(corpus._columns, zip(*batch, strict=True), strict=True):
            column.extend(values)
    return corpus


def read_examples(
    paths: Sequence[Path] | Path,
    format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    progress: Callable[[int], None] = lambda texts: None,
    undecodable: list[str] | None = None,
) -> Iterator[Example]:
    """Read the labelled texts of files and folders one by one, in this order; ``-`` is standard input.

    Of a file of lines, which may be larger than the memory, a piece is held at a time; an archive is held as a whole.

    ``format``: one of FORMATS for all paths, instead of what the name or the content of each says.
    ``text_column`` and ``label_column``: names of columns or JSON keys; formats without such have no use for them.
    ``progress`` is called with the number of texts so far.
    ``undecodable``: a list for the places of bytes that are not UTF-8, which are replaced; without it they are refused.

    Raises: InputError, at once, if an argument is wrong; while reading, DataError if the content is not what the format
    promises or has no text; OSError if it cannot be read.
    """
    paths = _checked_paths(paths)
    names = _checked_names(text_column, label_column)
    if format not in (None, *FORMATS):
        raise InputError(f"format is {format!r}; expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    for path in paths:
        if _is_folder(path) and format not in (None, "folder"):
            raise InputError(f"format is {format!r}, but {path} is a folder; leave the format out.")
    sources = [Source(name_of(path), f"{name_of(path)}, " if len(paths) > 1 else "", undecodable) for path in paths]
    found = (_some(path, format, source, names) for path, source in zip(paths, sources, strict=True))
    return _counted(chain.from_iterable(found), progress)


def _counted(examples: Iterator[Example], progress: Callable[[int], None]) -> Iterator[Example]:
    for done, example in zip(count(0, BATCH), examples):
        if done:
            progress(done)
        yield example
        yield from islice(examples, BATCH - 1)


def _some(path: Path, format: str | None, source: Source, names: ColumnNames) -> Iterator[Example]:
    """The texts of a path, of which there must be one."""
    examples = _examples(path, format, source, names)
    first = next(examples, None)
    if first is None:
        raise DataError(f"{source.name} holds no labelled text; expected some.")
    return chain([first], examples)


def _is_folder(path: Path) -> bool:
    return path != STANDARD_INPUT and path.is_dir()


def name_of(path: Path) -> str:
    """The path as messages name it."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def _checked_paths(paths: Sequence[Path] | Path) -> list[Path]:
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not paths:
        raise InputError("No data is given; expected a path or more.")
    if "" in paths:
        raise InputError("A path to data is empty; expected a file or a folder, or - for standard input.")
    paths = [Path(path) for path in paths]
    if paths.count(STANDARD_INPUT) > 1:
        raise InputError("Standard input, -, is given twice; it can be read once.")
    repeated = {path for path in paths if paths.count(path) > 1}
    if repeated:
        raise InputError(f"{min(repeated)} is given twice; expected each path once.")
    return paths


def _checked_names(text: str | None, label: str | None) -> ColumnNames:
    for role, name in (("text", text), ("label", label)):
        if name is not None and not name.strip():
            raise InputError(f"{role}_column is {name!r}; expected the name of a column.")
    if text is not None and text == label:
        raise InputError(f"label_column is {label!r}, as is the column of the text; expected another one.")
    return ColumnNames(text, label)


def _examples(path: Path, format: str | None, source: Source, names: ColumnNames) -> Iterator[Example]:
    if _is_folder(path):
        return read_folder(path, source)
    pieces = unpack_pieces(source.name, read_pieces(path))
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= HEAD:
            break
    if not head:
        raise DataError(f"{source.name} is empty; expected {EXPECTED}.")
    format = format or recognise(path.name, head, names)
    if format is None:
        kind = next((kind for magic, kind in OTHER_ARCHIVES.items() if head.startswith(magic)), None)
        if kind:
            raise DataError(f"{source.name} is {kind}, which mlcore does not read; unpack it first.")
        raise DataError(
            f"{source.name} has no format that mlcore knows by its name or its first bytes; expected {EXPECTED}; "
            "name the format with --format."
        )
    pieces = chain([head], pieces)
    return read_archive(pieces, source) if format == "folder" else READERS[format](pieces, source, names)


def recognise(name: str, head: bytes, names: ColumnNames) -> str | None:
    """Format of a file by its name, or else by its first bytes; None if neither tells.

    Example:
        >>> [recognise(name, b"label\\ttext\\n", ColumnNames()) for name in ("reviews.csv.gz", "-")]
        ['csv', 'tsv']
    """
    path = Path(name.lower())
    suffix = Path(path.stem).suffix if path.suffix in SUFFIXES else path.suffix
    return FORMAT_OF_SUFFIX.get(suffix) or _format_of_content(head, names)


def _format_of_content(head: bytes, names: ColumnNames) -> str | None:
    if head[257:262] == b"ustar":
        return "folder"
    text = head.removeprefix(codecs.BOM_UTF8)
    if text.lstrip().startswith(b"__label__"):
        return "fasttext"
    if text.lstrip().startswith(b"{"):
        return "jsonl"
    header = text.partition(b"\n")[0].decode(errors="replace").removesuffix("\r")
    for format, columns in (("tsv", header.split("\t")), ("csv", _csv_fields(header))):
        try:
            Columns.find(columns, names)
        except LookupError:
            continue
        return format
    return None


def _csv_fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return []
