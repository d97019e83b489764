"""Readers of labelled texts, one for each format: they yield ``Example``s, and name file, line and column of what
is wrong.

Formats: a folder for each label (also as a tar archive), CSV (RFC 4180), TSV (no quoting), JSON Lines, and
fastText's ``__label__x text``.
"""

import codecs
import csv
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, count, islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn

from mlcore.errors import DataError, InputError
from mlcore.text.lines import decode_lines, whole_lines
from mlcore.text.unpacking import STANDARD_INPUT, SUFFIXES, PieceReader, read_pieces, unpack_pieces

SPLITS = {"train": "training", "dev": "held out", "test": "test"}  # and how they are shown
FORMATS = ("folder", "csv", "tsv", "jsonl", "fasttext")
EXPECTED = "a folder for each label (or a tar archive of it), CSV, TSV, JSON Lines or fastText text"
FORMAT_OF_SUFFIX = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"} | dict.fromkeys(
    (".tar", ".tgz", ".tbz", ".tbz2", ".txz"), "folder"
)
OTHER_ARCHIVES = {b"PK\3\4": "a zip archive", b"\x28\xb5\x2f\xfd": "compressed by zstd", b"7z\xbc\xaf": "a 7z archive"}
HEAD = 1 << 16  # bytes that the format is recognised from
BATCH = 500  # examples that are counted, or kept, at a time
UNLABELLED = "unsup"  # the folder of aclImdb that holds texts without a label
LAYOUT = "LABEL/*.txt, or train, dev and test with LABEL/*.txt in each (as in aclImdb)"
LONGEST_TEXT = 50_000_000  # bytes of one file in an archive, or characters of a field of CSV
SYNONYMS = {
    "text": ("sentence", "review", "content"),
    "label": ("sentiment", "class", "target", "category", "stars", "rating"),
    "split": (),
}
DEEPEST = 4  # names in the path of a text, seen from the folder that is read: aclImdb/train/pos/0_9.txt


class Example(NamedTuple):
    """One labelled text; split is "" where the data does not say, and place is a line or a file."""

    text: str
    label: str
    split: str
    place: str


_example = partial(tuple.__new__, Example)  # of a tuple; in half the time of a call of Example


class ColumnNames(NamedTuple):
    """Names of the columns, or keys, of text and label; None for the usual ones."""

    text: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Source:
    """What texts are read from: its name in messages, what its places begin with, and a list for the places of bytes
    that are not UTF-8, which are replaced; without the list they are refused.
    """

    name: str
    prefix: str = ""
    undecodable: list[str] | None = None

    def where(self, line: int, column: str = "") -> str:
        """A line, and perhaps a column of it, as messages name it."""
        return f"{self.name}, line {line}{column and f', column {column}'}"

    @property
    def line(self) -> str:
        """What ``Corpus.places`` has before the number of a line."""
        return f"{self.prefix}line "

    def lines(self, pieces: Iterator[bytes]) -> Iterator[str]:
        """Lines without their ends; only the line feed ends a line, and a carriage return before it."""
        return chain.from_iterable(self._portions(pieces))

    def _portions(self, pieces: Iterator[bytes]) -> Iterator[list[str]]:
        before, mark = 0, codecs.BOM_UTF8
        for content in whole_lines(pieces, self.name):
            texts, undecodable = decode_lines(content.removeprefix(mark))
            if undecodable:
                self._refuse(content, self.name, before)
                self.undecodable.extend(f"{self.line}{before + number + 1}" for number in sorted(undecodable))
            yield texts
            before, mark = before + len(texts), b""

    def text(self, content: bytes, where: str, place: str) -> str:
        """A file that is one text."""
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            self._refuse(content, where)
            self.undecodable.append(place)
            return content.decode("utf-8-sig", errors="replace")

    def _refuse(self, content: bytes, where: str, lines_before: int = 0) -> None:
        """Name the first byte that is not UTF-8, unless such are let through."""
        if self.undecodable is not None:
            return
        try:
            content.decode()
        except UnicodeDecodeError as error:
            line = lines_before + content.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{where}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8."
            ) from error


# A folder for each label ----------------------------------------------------------------------------------


class _File(NamedTuple):
    path: PurePosixPath  # within the folder or archive
    split: str
    label: str


def read_folder(folder: Path, source: Source) -> Iterator[Example]:
    """Texts of a folder for each label, sorted by their paths."""
    for file in _arranged(_texts_below(folder), source.name):
        place = str(folder / file.path)
        text = source.text((folder / file.path).read_bytes(), place, place)
        yield Example(text, _label(file.label) or _refuse_label(file.label, place), file.split, place)


def read_archive(pieces: Iterator[bytes], source: Source) -> Iterator[Example]:
    """The same from the pieces of a tar archive, in the same order, without unpacking it to disk."""
    contents: dict[PurePosixPath, bytes] = {}
    stream = io.BufferedReader(PieceReader(pieces))
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_CheckedHeader) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if member.isfile() and _is_text(path):
                    if member.issparse() or member.size > LONGEST_TEXT:
                        raise DataError(f"{source.name}, {path}: has {member.size:,} bytes; expected a text.")
                    contents[path] = archive.extractfile(member).read()
        while stream.read(1 << 20):  # the sum of compressed data is at its end
            pass
    except tarfile.TarError as error:
        raise DataError(f"{source.name} is not a complete tar archive ({error}); fetch it again.") from error
    for file in _arranged(contents, source.name):
        where = f"{source.name}, {file.path}"
        place = f"{source.prefix}{file.path}"
        text = source.text(contents.pop(file.path), where, place)
        yield Example(text, _label(file.label) or _refuse_label(file.label, where), file.split, place)


class _CheckedHeader(tarfile.TarInfo):
    """Header of a member; tarfile takes a cut or damaged one, behind the first, for the end of the archive."""

    @classmethod
    def frombuf(cls, buffer: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        try:
            return super().frombuf(buffer, encoding, errors)
        except tarfile.HeaderError as error:
            if buffer.count(0) == tarfile.BLOCKSIZE:  # this is how an archive ends
                raise
            raise tarfile.ReadError(str(error)) from error


def _texts_below(folder: Path) -> Iterator[PurePosixPath]:
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        here = PurePosixPath(Path(place).relative_to(folder).as_posix())
        if len(here.parts) == DEEPEST - 1:
            folders.clear()
        folders[:] = [name for name in folders if name != UNLABELLED and not name.startswith(".")]
        yield from (path for name in names if _is_text(path := here / name))


def _raise(error: OSError) -> None:
    raise error


def _is_text(path: PurePosixPath) -> bool:
    """Whether this is a text that may have a label: neither a hidden file, nor one of aclImdb's without a label."""
    name = f"/{path}"
    return name.lower().endswith(".txt") and "/." not in name and f"/{UNLABELLED}/" not in name


def _arranged(paths: Iterable[PurePosixPath], name: str) -> list[_File]:
    """The texts with the labels, and the splits if there are any, that their folders are named after."""
    paths = sorted(path for path in paths if len(path.parts) > 1)
    if not paths:
        raise DataError(f"{name} has no text in a folder named after its label; expected {LAYOUT}.")
    first = next((path for path in paths if _has_split(path)), None)
    depth = 3 if first else 2
    root = (first or max(paths, key=lambda path: len(path.parts))).parts[:-depth]
    found: list[_File] = []
    for path in paths:
        if path.parts[:-depth] == root and (not first or _has_split(path)):
            found.append(_File(path, path.parts[-3] if first else "", path.parts[-2]))
        elif not _is_beside_labels(path, root):  # a folder "valid", say, must not be left out in silence
            raise DataError(f"{name} has {path} where it cannot be told what is a label; expected {LAYOUT}.")
    return found


def _has_split(path: PurePosixPath) -> bool:
    return len(path.parts) > 2 and path.parts[-3] in SPLITS


def _is_beside_labels(path: PurePosixPath, root: tuple[str, ...]) -> bool:
    """Whether a text without a label lies where a README may: on the way to the labels' folders, or beside them."""
    folder = path.parts[:-1]
    return folder == root[: len(folder)] or (folder[:-1] == root and folder[-1] in SPLITS)


# Tables ---------------------------------------------------------------------------------------------------


def read_csv(pieces: Iterator[bytes], source: Source, names: ColumnNames) -> Iterator[Example]:
    """Rows of a CSV file by RFC 4180 with a header: fields may be quoted, and quoted fields hold any character."""
    csv.field_size_limit(LONGEST_TEXT)
    reader = csv.reader((line + "\n" for line in source.lines(pieces)), strict=True)
    line = 1  # where the row that is read begins
    try:
        columns = _Table(source, next(reader, []), names)
        line = reader.line_num + 1
        for row in reader:
            if row:
                yield columns.example(row, line)
            line = reader.line_num + 1
    except csv.Error as error:
        if str(error) == "unexpected end of data":
            cause = "a quote is opened in this row and never closed"
        elif str(error).startswith("field larger"):
            cause = f"has a field of more than {LONGEST_TEXT:,} characters; perhaps a quote is never closed"
        elif str(error).startswith("new-line character"):
            cause = "has a carriage return outside of quotes; expected lines that end with a line feed; convert the line ends"
        else:
            cause = f"not CSV by RFC 4180 ({error})"
        raise DataError(f"{source.where(line)}: {cause}.") from error


def read_tsv(pieces: Iterator[bytes], source: Source, names: ColumnNames) -> Iterator[Example]:
    """Rows of a TSV file with a header: a tab ends a field, a line end ends a row, a quote is a character."""
    lines = source.lines(pieces)
    columns = _Table(source, next(lines, "").split("\t"), names)
    for number, line in enumerate(lines, start=2):
        if line:
            yield columns.example(line.split("\t"), number)


class Columns(NamedTuple):
    """Numbers of the columns of text, label and split."""

    text: int
    label: int
    split: int | None

    @classmethod
    def find(cls, header: Sequence[str], names: ColumnNames) -> "Columns":
        """Columns of these names, or of the usual ones.

        Raises: LookupError with the name that is missing, or that several columns have.
        """
        text, label = (
            _find(header, wanted or role, () if wanted else SYNONYMS[role])
            for role, wanted in (("text", names.text), ("label", names.label))
        )
        splits = [i for i, name in enumerate(header) if _plain(name) == "split" and i not in (text, label)]
        if len(splits) > 1:
            raise LookupError("split")
        return cls(text, label, splits[0] if splits else None)


def _find(header: Sequence[str], wanted: str, synonyms: tuple[str, ...]) -> int:
    exact = [i for i, name in enumerate(header) if name.strip() == wanted.strip()]
    found = exact or [i for i, name in enumerate(header) if _plain(name) == _plain(wanted)]
    found = found or [i for i, name in enumerate(header) if _plain(name) in synonyms]
    if len(found) != 1:
        raise LookupError(wanted)
    return found[0]


def _plain(name: str) -> str:
    return name.strip().lower()


class _Table:
    """Examples in the rows of a table."""

    def __init__(self, source: Source, header: list[str], names: ColumnNames) -> None:
        self.source, self.line = source, source.line
        self.header, self.width = [name.strip() for name in header], len(header)
        try:
            self.text, self.label, self.split = Columns.find(header, names)
        except LookupError as missing:
            raise DataError(
                f"{source.where(1)}: expected a header with one column named {missing.args[0]}; "
                f"found {_listed(self.header) if any(self.header) else 'nothing'}{_advice(missing.args[0], names)}."
            ) from missing

    def example(self, row: list[str], line: int) -> Example:
        if len(row) != self.width:
            raise DataError(
                f"{self.source.where(line)}: has {len(row)} fields; expected {self.width} as in the header."
            )
        label = _label(row[self.label]) or _refuse_label(row[self.label], self._where(line, self.label))
        split = "" if self.split is None else row[self.split]
        if split and split not in SPLITS:
            _refuse_split(split, self._where(line, self.split))
        return _example((row[self.text], label, split, f"{self.line}{line}"))

    def _where(self, line: int, column: int) -> str:
        return self.source.where(line, self.header[column])


def _advice(missing: str, names: ColumnNames) -> str:
    """What to do about a column that is missing or not the only one of its name."""
    if missing == "split":
        return ""
    if missing in names:
        return f"; correct --{'text' if missing == names.text else 'label'}-column"
    return f"; name the column with --{missing}-column"


def _listed(names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return listed if len(listed) <= 200 else f"{listed[:200]} ..."


# Lines ----------------------------------------------------------------------------------------------------


def read_json_lines(pieces: Iterator[bytes], source: Source, names: ColumnNames) -> Iterator[Example]:
    """One JSON object per line; the first one decides which keys are text, label and split."""
    keys: tuple[str, str, str | None] | None = None
    place = source.line
    for number, line in enumerate(source.lines(pieces), start=1):
        if not line.strip():
            continue
        record = _record(line, number, source)
        keys = keys or _keys(record, names, source.where(number))
        text_key, label_key, split_key = keys
        try:
            text, value = record[text_key], record[label_key]
        except KeyError:
            raise DataError(f"{source.where(number)}: {_expected_keys(text_key, label_key, record)}.") from None
        if not isinstance(text, str) or isinstance(value, (dict, list, type(None))):
            raise DataError(
                f"{source.where(number)}: {text_key} must be a string, and {label_key} a string or a number."
            )
        label = _label(str(value)) or _refuse_label(str(value), source.where(number, label_key))
        split = record.get(split_key, "")
        if split != "" and split not in SPLITS:
            _refuse_split(split, source.where(number, split_key))
        yield _example((text, label, split, f"{place}{number}"))


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _record(line: str, number: int, source: Source) -> dict:
    try:
        record, end = DECODER.raw_decode(line) if line[0] == "{" else (None, 0)
        if end < len(line):  # white space around it, or what is no object; slower
            record = DECODER.decode(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{source.where(number, str(error.colno))}: not a JSON object ({error.msg}).") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source.where(number)}: not a JSON object ({error}).") from error
    if not isinstance(record, dict):
        raise DataError(f"{source.where(number)}: not a JSON object, but a {type(record).__name__}.")
    return record


def _keys(record: dict, names: ColumnNames, where: str) -> tuple[str, str, str | None]:
    found = list(record)
    try:
        columns = Columns.find(found, names)
    except LookupError as missing:
        expected = _expected_keys(names.text or "text", names.label or "label", record)
        raise DataError(f"{where}: {expected}{_advice(missing.args[0], names)}.") from missing
    text, label = found[columns.text], found[columns.label]
    if columns.split is not None:
        return text, label, found[columns.split]
    return text, label, None if "split" in (text, label) else "split"  # later objects may have one


def _expected_keys(text: str, label: str, record: dict) -> str:
    return f'expected an object with the keys "{text}" and "{label}"; found {_listed(record) or "nothing"}'


def read_fasttext(pieces: Iterator[bytes], source: Source, names: ColumnNames) -> Iterator[Example]:
    """One text per line after its label, ``__label__x text``; there are no columns to name."""
    place = source.line
    for number, line in enumerate(source.lines(pieces), start=1):
        words = line.split(None, 1)
        if len(words) == 2:
            mark, text = words
        elif words:
            mark, text = words[0], ""
        else:
            continue
        label = _label_in(mark)
        if not label or text.startswith("__label__"):
            _refuse_mark(mark, source.where(number))
        yield _example((text, label, "", f"{place}{number}"))


@lru_cache(1 << 12)
def _label_in(mark: str) -> str:
    """The label of ``__label__x``, or nothing if there is none."""
    return _label(mark.removeprefix("__label__")) if mark.startswith("__label__") else ""


def _refuse_mark(mark: str, where: str) -> NoReturn:
    name = mark.removeprefix("__label__")
    if not name or name == mark:
        raise DataError(f"{where}: expected __label__NAME and a space before the text.")
    if not _label(name):
        _refuse_label(name, where)
    raise DataError(f"{where}: has two labels; expected one for each text.")


@lru_cache(1 << 12)  # labels repeat; equal ones are one object
def _label(value: str) -> str:
    """The label without the white space around it, or nothing if it is none."""
    label = value.strip()
    return label if label.isprintable() else ""


def _refuse_label(value: str, where: str) -> NoReturn:
    label = value.strip()
    raise DataError(f"{where}: the label is {repr(label) if label else 'empty'}; expected a printable word or more.")


def _refuse_split(value: object, where: str) -> NoReturn:
    raise DataError(f"{where}: the split is {value!r}; expected train, dev or test.")


READERS = {"csv": read_csv, "tsv": read_tsv, "jsonl": read_json_lines, "fasttext": read_fasttext}


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
