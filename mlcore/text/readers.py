"""Readers of labelled texts: they yield ``Example``s, and their errors name the file, the line and the column.

Formats: a folder for each label (also as a tar archive), CSV (RFC 4180, also with semicolons), TSV (without quoting),
JSON Lines, and fastText's ``__label__x text``.
"""

import codecs
import csv
import json
import os
import tarfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, count, islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, Self, cast

from mlcore.errors import DataError, InputError
from mlcore.text.lines import decode_lines, whole_lines
from mlcore.text.unpacking import STANDARD_INPUT as STANDARD_INPUT
from mlcore.text.unpacking import SUFFIXES, PieceReader, read_pieces
from mlcore.text.unpacking import name_of as name_of

SPLITS = {"train": "training", "dev": "held out", "test": "test"}  # and how they are shown
FORMATS = ("folder", "csv", "tsv", "jsonl", "fasttext")
SUPPORTED = "a folder for each label (or a tar archive of it), CSV, TSV, JSON Lines and fastText"
FORMAT_OF_SUFFIX = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"} | dict.fromkeys(
    (".tar", ".tgz", ".tbz", ".tbz2", ".txz"), "folder"
)
UNSUPPORTED = {
    b"PK\3\4": "a zip archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; decompress it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"[": "a JSON list; write one object on each line instead (JSON Lines)",
}
USUAL_NAMES = {  # of columns, in lower case
    "text": ("text", "sentence", "review", "content"),
    "label": ("label", "sentiment", "class", "target", "category", "stars", "rating"),
}
UNLABELLED = "unsup"  # the folder of aclImdb that holds texts without labels
LAYOUT = "LABEL/*.txt, or train, dev and test with LABEL/*.txt in each (as in aclImdb)"
MAX_DEPTH = 4  # of names in the path of a text below the folder: aclImdb/train/pos/0_9.txt
MAX_TEXT = 50_000_000  # bytes of a file in an archive, or characters of a CSV field
HEAD = 1 << 16  # bytes from which the format is recognised
BATCH = 500  # examples between two reports of progress


class Example(NamedTuple):
    """One labelled text; split is "" where the data does not name one, and place is a line or a file."""

    text: str
    label: str
    split: str
    place: str


_example = partial(tuple.__new__, Example)  # takes half the time of calling Example


def read_examples(
    paths: Sequence[Path] | Path,
    format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    progress: Callable[[int], None] = lambda texts: None,
    undecodable: list[str] | None = None,
) -> Iterator[Example]:
    """Read the labelled texts of files and folders one by one, in order; ``-`` is standard input.

    A file of lines may be larger than memory; an archive is held in memory as a whole.

    ``format``: one of FORMATS for all paths, instead of what the name or the content of each says.
    ``text_column`` and ``label_column``: names of columns or JSON keys; other formats ignore them.
    ``progress`` is called with the number of texts so far.
    ``undecodable``: a list for the places of bytes that are not UTF-8, which are replaced; without it they are refused.

    Raises: InputError, at once, if an argument is wrong; while reading, DataError if the content does not follow the
    format or has no texts; OSError if it cannot be read.
    """
    paths = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    if not paths:
        raise InputError("No data is given; give at least one path.")
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise InputError(f"{name_of(twice)} is given twice; it can be read once.")
    if format not in (None, *FORMATS):
        raise InputError(f"expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}", parameter="format", value=format)
    if format not in (None, "folder") and (folder := next(filter(_is_folder, paths), None)):
        raise InputError(f"{folder} is a folder; leave the format out", parameter="format", value=format)
    columns = {"text": text_column, "label": label_column}
    for role, name in columns.items():
        if name is not None and not name.strip():
            raise InputError("expected the name of a column", parameter=f"{role}_column", value=name)
    if text_column is not None and text_column == label_column:
        raise InputError("this is the column of the texts", parameter="label_column", value=label_column)

    def examples_of(path: Path) -> Iterator[Example]:
        source = _Source(name_of(path), f"{name_of(path)}, " if len(paths) > 1 else "", columns, undecodable)
        found = _read_folder(path, source) if _is_folder(path) else _read_file(path, format, source)
        first = next(found, None)
        if first is None:
            raise DataError(f"{source.name} contains no labelled texts.")
        return chain([first], found)

    return _counted(chain.from_iterable(map(examples_of, paths)), progress)


def _counted(examples: Iterator[Example], progress: Callable[[int], None]) -> Iterator[Example]:
    for done, example in zip(count(0, BATCH), examples):
        if done:
            progress(done)
        yield example
        yield from islice(examples, BATCH - 1)


def _is_folder(path: Path) -> bool:
    return path != STANDARD_INPUT and path.is_dir()


def _read_file(path: Path, format: str | None, source: "_Source") -> Iterator[Example]:
    pieces, head = read_pieces(path), b""
    for piece in pieces:
        head += piece
        if len(head) >= HEAD:
            break
    if not head:
        raise DataError(f"{source.name} is empty; supported are {SUPPORTED}.")
    format = format or recognise(path.name, head, source.columns)
    if format is None:
        kind = next((kind for magic, kind in UNSUPPORTED.items() if head.startswith(magic)), None)
        if kind and b"xl/" in head:
            kind = "an Excel workbook; save the sheet as CSV"
        if kind:
            raise DataError(f"{source.name} is {kind}.")
        raise DataError(
            f"Cannot tell the format of {source.name}; supported are {SUPPORTED}", suggestion={"format": "csv"}
        )
    return READERS[format](chain([head], pieces), source)


def recognise(name: str, head: bytes, columns: dict[str, str | None]) -> str | None:
    """Format of a file by its name, or else by its first bytes; None if neither tells.

    Example:
        >>> columns = {"text": None, "label": None}
        >>> [recognise(name, b"label\\ttext\\n", columns) for name in ("reviews.csv.gz", "-")]
        ['csv', 'tsv']
    """
    path = Path(name.lower())
    suffix = Path(path.stem).suffix if path.suffix in SUFFIXES else path.suffix
    if suffix in FORMAT_OF_SUFFIX:
        return FORMAT_OF_SUFFIX[suffix]
    if head[257:262] == b"ustar":
        return "folder"
    text = head.removeprefix(codecs.BOM_UTF8)
    for start, format in ((b"__label__", "fasttext"), (b"{", "jsonl")):
        if text.lstrip().startswith(start):
            return format
    header = text.partition(b"\n")[0].decode(errors="replace").removesuffix("\r")
    separator = _separator(header, columns, "\t,;")
    return separator and ("tsv" if separator == "\t" else "csv")


@dataclass(frozen=True)
class _Source:
    """What texts are read from: its name in messages, what begins its places, and what the caller asked for."""

    name: str
    prefix: str
    columns: dict[str, str | None]  # names of the columns of "text" and "label", None for the usual ones
    undecodable: list[str] | None

    def error(self, line: int, problem: str, column: str = "", **more: Any) -> DataError:
        """Error about a line, and perhaps about a column of it."""
        return DataError(f"{self.name}, line {line}{column and f', column {column}'}: {problem}", **more)

    def lines(self, pieces: Iterator[bytes]) -> Iterator[str]:
        """Lines without their ends; only a line feed ends a line, with or without a carriage return before it."""
        return chain.from_iterable(self._blocks(pieces))

    def _blocks(self, pieces: Iterator[bytes]) -> Iterator[list[str]]:
        before, mark = 0, codecs.BOM_UTF8
        for content in whole_lines(pieces, self.name):
            texts, wrong = decode_lines(content.removeprefix(mark))
            if wrong:
                places = [f"{self.prefix}line {before + number + 1}" for number in sorted(wrong)]
                self.note_undecodable(content, self.name, places, before)
            yield texts
            before, mark = before + len(texts), b""

    def note_undecodable(self, content: bytes, where: str, places: list[str], lines_before: int = 0) -> None:
        """Note the places of bytes that are not UTF-8, or refuse them, naming the first."""
        if self.undecodable is not None:
            self.undecodable.extend(places)
            return
        try:
            content.decode()
        except UnicodeDecodeError as error:
            line = lines_before + content.count(b"\n", 0, error.start) + 1
            byte = f"byte 0x{content[error.start]:02x}"
            raise DataError(f"{where}, line {line}: {byte} is not UTF-8; save the file as UTF-8.") from error

    def example(self, text: str, label: str, split: str, line: int, names: Sequence[str] = ("", "", "")) -> Example:
        """The text of a line; ``names`` of the columns are for messages."""
        known = _clean(label)
        if not known:
            raise self.error(line, _bad_label(label), names[1])
        if split and split not in SPLITS:
            raise self.error(line, f"the split is {split!r}; expected train, dev or test.", names[2])
        return _example((text, known, split, f"{self.prefix}line {line}"))


@lru_cache(1 << 12)  # labels repeat; equal ones become one object
def _clean(label: str) -> str:
    """The label without the white space around it, or "" if it cannot be printed."""
    label = label.strip()
    return label if label.isprintable() else ""


def _bad_label(label: str) -> str:
    return f"the label is {repr(label.strip()) if label.strip() else 'empty'}; expected printable characters."


# A folder for each label ----------------------------------------------------------------------------------


def _read_folder(folder: Path, source: _Source) -> Iterator[Example]:
    """Texts of a folder for each label, sorted by their paths."""
    paths: list[PurePosixPath] = []
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        here = PurePosixPath(Path(place).relative_to(folder).as_posix())
        if len(here.parts) == MAX_DEPTH - 1:
            folders.clear()
        folders[:] = [name for name in folders if name != UNLABELLED and not name.startswith(".")]
        paths += (path for name in names if _is_text(path := here / name))
    return _labelled(paths, lambda path: (folder / path).read_bytes(), f"{folder.as_posix().rstrip('/')}/", source)


def _raise(error: OSError) -> None:
    raise error


def _read_archive(pieces: Iterator[bytes], source: _Source) -> Iterator[Example]:
    """The same from a tar archive, in the same order, without unpacking it to disk."""
    contents: dict[PurePosixPath, bytes] = {}
    stream = PieceReader(pieces)
    try:
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|", tarinfo=_CheckedHeader) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if member.isfile() and _is_text(path):
                    if member.issparse() or member.size > MAX_TEXT:
                        raise DataError(f"{source.name}, {path} has {member.size:,} bytes; is it a text?")
                    contents[path] = cast(IO[bytes], archive.extractfile(member)).read()
        while stream.read(1 << 20):  # the checksum of compressed data is at its end
            pass
    except tarfile.TarError as error:
        raise DataError(f"{source.name} is not a complete tar archive ({error}); fetch it again.") from error
    return _labelled(contents, contents.pop, source.prefix, source)


class _CheckedHeader(tarfile.TarInfo):
    """Header of a member: tarfile takes a damaged one, if it is not the first, for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: Any) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.count(0) == tarfile.BLOCKSIZE:  # this is how an archive ends
                raise
            raise tarfile.ReadError(str(error)) from error


def _is_text(path: PurePosixPath) -> bool:
    """Whether this may be a labelled text: neither a hidden file, nor one of aclImdb's without labels."""
    name = f"/{path}"
    return name.lower().endswith(".txt") and "/." not in name and f"/{UNLABELLED}/" not in name


def _labelled(
    paths: Iterable[PurePosixPath], load: Callable[[PurePosixPath], bytes], root: str, source: _Source
) -> Iterator[Example]:
    """The texts with the labels, and the splits if there are any, that their folders are named after."""
    paths = sorted(path for path in paths if len(path.parts) > 1)
    if not paths:
        raise DataError(f"{source.name} has no texts in folders named after their labels; expected {LAYOUT}.")
    splits = {path: path.parts[-3] for path in paths if len(path.parts) > 2 and path.parts[-3] in SPLITS}
    depth = 3 if splits else 2
    above = next(iter(splits), max(paths, key=lambda path: len(path.parts))).parts[:-depth]
    found = [path for path in paths if path.parts[:-depth] == above and (path in splits or not splits)]
    for path in sorted({*paths}.difference(found)):
        folder = path.parts[:-1]
        # a README may lie on the way to the labels' folders, or beside them; a folder "valid" must not be left out
        if folder != above[: len(folder)] and not (folder[:-1] == above and folder[-1] in SPLITS):
            raise DataError(f"{source.name} has {path}, whose label cannot be told; expected {LAYOUT}.")
    for path in found:
        place, label = f"{root}{path}", _clean(path.parts[-2])
        where = place if source.prefix or root else f"{source.name}, {place}"
        if not label:
            raise DataError(f"{where}: {_bad_label(path.parts[-2])}")
        content = load(path)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            source.note_undecodable(content, where, [place])
            text = content.decode("utf-8-sig", errors="replace")
        yield Example(text, label, splits.get(path, ""), place)


# Tables ---------------------------------------------------------------------------------------------------


def _find_columns(header: Sequence[str], wanted: dict[str, str | None]) -> tuple[int, int, int | None]:
    """Indices of the columns of text, label and split, by their given or usual names; None without a split.

    Raises: LookupError with the role that no column has, or several have.
    """
    exact = [name.strip() for name in header]
    plain = [name.lower() for name in exact]
    found: dict[str, int] = {}
    for role in sorted(USUAL_NAMES, key=lambda role: wanted[role] is None):  # a column that is named has no other role
        name = (wanted[role] or role).strip()
        usual = () if wanted[role] else USUAL_NAMES[role]
        matches: list[int] = []
        for names, accepted in ((exact, (name,)), (plain, (name.lower(),)), (plain, usual)):
            matches = matches or [i for i, n in enumerate(names) if n in accepted and i not in found.values()]
        if len(matches) != 1:
            raise LookupError(role)
        found[role] = matches[0]
    splits = [i for i, name in enumerate(plain) if name == "split" and i not in found.values()]
    if len(splits) > 1:
        raise LookupError("split")
    return found["text"], found["label"], splits[0] if splits else None


def _columns(header: Sequence[str], source: _Source, line: int, kind: str = "column") -> tuple[int, int, int | None]:
    """The same, or an error that suggests a column."""
    try:
        return _find_columns(header, source.columns)
    except LookupError as error:
        role = error.args[0]
        names = [name.strip() for name in header]
        given = (name.lower() for name in source.columns.values() if name)
        taken = {"split", *USUAL_NAMES["label" if role == "text" else "text"], *given}
        free = [name for name in names if name and names.count(name) == 1 and name.lower() not in taken]
        listed = textwrap.shorten(", ".join(names), 200, placeholder=" ...")
        found = f"the {kind}s {listed}" if any(names) else f"no {kind}s"
        raise source.error(
            line,
            f"found {found}; expected one named {source.columns.get(role) or role}",
            suggestion={f"{role}_column": free[0]} if free and role != "split" else None,
        ) from error


def _separator(header: str, wanted: dict[str, str | None], separators: str) -> str | None:
    """What separates the names of these columns, if anything does."""
    for separator in separators:
        with suppress(LookupError, csv.Error, StopIteration):
            quoted = csv.reader([header], delimiter=separator, strict=True)
            _find_columns(header.split(separator) if separator == "\t" else next(quoted), wanted)
            return separator
    return None


def _row_reader(header: list[str], source: _Source) -> Callable[[list[str], int], Example]:
    """Function that makes an example of a row and its line."""
    text, label, split = _columns(header, source, 1)
    names = [header[i].strip() for i in (text, label, split or 0)]

    def read(row: list[str], line: int) -> Example:
        if len(row) != len(header):
            raise source.error(line, f"has {len(row)} fields; expected {len(header)} as in the header.")
        return source.example(row[text], row[label], row[split] if split is not None else "", line, names)

    return read


def _read_csv(pieces: Iterator[bytes], source: _Source) -> Iterator[Example]:
    """Rows of a CSV file by RFC 4180 with a header: fields may be quoted, and quoted fields hold any character."""
    csv.field_size_limit(MAX_TEXT)
    lines = source.lines(pieces)
    first = next(lines, "")
    separator = _separator(first, source.columns, ",;") or ","  # Excel writes semicolons in many countries
    rows = csv.reader((line + "\n" for line in chain([first], lines)), strict=True, delimiter=separator)
    line = 1  # where the row begins that is being read
    try:
        read = _row_reader(next(rows, []), source)
        line = rows.line_num + 1
        for row in rows:
            if row:
                yield read(row, line)
            line = rows.line_num + 1
    except csv.Error as error:
        causes = {
            "unexpected end of data": "a quote is opened in this row and never closed",
            "field larger": f"has a field of more than {MAX_TEXT:,} characters; perhaps a quote is never closed",
            "new-line character": "has a carriage return outside of quotes; convert the line ends to line feeds",
        }
        cause = next((cause for start, cause in causes.items() if str(error).startswith(start)), None)
        raise source.error(line, f"{cause or f'not CSV by RFC 4180 ({error})'}.") from error


def _read_tsv(pieces: Iterator[bytes], source: _Source) -> Iterator[Example]:
    """Rows of a TSV file with a header: a tab ends a field, a line end ends a row, a quote is a character."""
    lines = source.lines(pieces)
    read = _row_reader(next(lines, "").split("\t"), source)
    for number, line in enumerate(lines, start=2):
        if line:
            yield read(line.split("\t"), number)


# Lines ----------------------------------------------------------------------------------------------------


def _read_json_lines(pieces: Iterator[bytes], source: _Source) -> Iterator[Example]:
    """One JSON object per line; the first one decides which keys are text, label and split."""
    keys: tuple[str, str, str] | None = None
    for number, line in enumerate(source.lines(pieces), start=1):
        if not line.strip():
            continue
        record = _record(line, number, source)
        if keys is None:
            names = list(record)
            text, label, split = _columns(names, source, number, "key")
            split_key = "split" if "split" not in (names[text], names[label]) else ""  # later objects may have one
            keys = names[text], names[label], split_key if split is None else names[split]
        try:
            text, label = record[keys[0]], record[keys[1]]
        except KeyError:
            expected = f'expected the keys "{keys[0]}" and "{keys[1]}"'
            raise source.error(number, f"{expected}, found {', '.join(record) or 'nothing'}.") from None
        if not isinstance(text, str) or isinstance(label, dict | list | None):
            raise source.error(number, f"{keys[0]} must be a string, and {keys[1]} a string or a number.")
        yield source.example(text, str(label), str(record.get(keys[2], "")), number, keys)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _record(line: str, number: int, source: _Source) -> dict[str, Any]:
    try:
        record, end = DECODER.raw_decode(line) if line[0] == "{" else (None, 0)
        if end < len(line):  # white space around it, or not an object; slower
            record = DECODER.decode(line)
    except json.JSONDecodeError as error:
        raise source.error(number, f"not a JSON object ({error.msg}).", str(error.colno)) from error
    except (ValueError, RecursionError) as error:
        raise source.error(number, f"not a JSON object ({error}).") from error
    if not isinstance(record, dict):
        raise source.error(number, f"not a JSON object, but a {type(record).__name__}.")
    return record


def _read_fasttext(pieces: Iterator[bytes], source: _Source) -> Iterator[Example]:
    """One text per line after its label, ``__label__x text``."""
    for number, line in enumerate(source.lines(pieces), start=1):
        words = line.split(None, 1)
        if not words:
            continue
        mark, text = words if len(words) == 2 else (words[0], "")
        if not mark.startswith("__label__") or mark == "__label__":
            raise source.error(number, "expected __label__NAME and a space before the text.")
        if text.startswith("__label__"):
            raise source.error(number, "has two labels; expected one for each text.")
        yield source.example(text, mark[9:], "", number)


READERS: dict[str, Callable[[Iterator[bytes], _Source], Iterator[Example]]] = {
    "folder": _read_archive,
    "csv": _read_csv,
    "tsv": _read_tsv,
    "jsonl": _read_json_lines,
    "fasttext": _read_fasttext,
}
