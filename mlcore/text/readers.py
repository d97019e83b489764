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
from mlcore.text.labels import clean_label
from mlcore.text.streams import STANDARD_INPUT, SUFFIXES, PieceReader, decode_lines, read_pieces, whole_lines
from mlcore.text.streams import name_of as name_of

SPLITS = {"train": "training", "dev": "held out", "test": "test"}  # and how they are shown
FORMATS = ("folder", "csv", "tsv", "jsonl", "fasttext")
SUPPORTED = "a folder for each label (or a tar archive of it), CSV, TSV, JSON Lines and fastText"
FORMAT_OF_SUFFIX = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"} | dict.fromkeys(
    (".tar", ".tgz", ".tbz", ".tbz2", ".txz"), "folder"
)
UNSUPPORTED = {
    b"PK\3\4": "a zip archive, or an Excel workbook; unpack it, or save the sheet as CSV",
    b"[": "a JSON list; write one object on each line instead (JSON Lines)",
}
USUAL_NAMES = {  # of columns, in lower case
    "text": ("text", "sentence", "review", "content"),
    "label": ("label", "sentiment", "class", "target", "category", "stars", "rating"),
}
CSV_ERRORS = {  # how Python's messages begin, and what they mean
    "unexpected end of data": "a quote is opened in this row and never closed.",
    "field larger": "has a field of more than {limit:,} characters; perhaps a quote is never closed.",
    "new-line character": "has a carriage return outside of quotes; convert the line ends to line feeds.",
    "": "not CSV by RFC 4180 ({error}).",
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

    A file of lines may be larger than memory; the texts of an archive are all in memory.
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
    if len(paths) > len({*paths}):
        raise InputError(f"{name_of(max(paths, key=paths.count))} is given twice; it can be read once.")
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
    while len(head) < HEAD and (piece := next(pieces, b"")):
        head += piece
    if not head:
        raise DataError(f"{source.name} is empty; supported are {SUPPORTED}.")
    format = format or _recognise(path.name, head, source)
    if format is None:
        if kind := next((kind for magic, kind in UNSUPPORTED.items() if head.startswith(magic)), None):
            raise DataError(f"{source.name} is {kind}.")
        problem = f"Cannot tell the format of {source.name}; supported are {SUPPORTED}"
        raise DataError(problem, suggestion={"format": "csv"})
    pieces = chain([head], pieces)
    if format == "folder":
        return _read_archive(pieces, source)
    return READERS[format](chain.from_iterable(source.blocks_of_lines(pieces)), source)


def _recognise(name: str, head: bytes, source: "_Source") -> str | None:
    """Format of a file by its name, or else by its first bytes; None if neither tells."""
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
    separator = _separator(text.partition(b"\n")[0].decode(errors="replace").removesuffix("\r"), source, "\t,;")
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

    def blocks_of_lines(self, pieces: Iterator[bytes]) -> Iterator[list[str]]:
        """Lines without their ends; only a line feed ends a line, with or without a carriage return before it."""
        before, mark = 0, codecs.BOM_UTF8
        for content in whole_lines(pieces, self.name):
            texts, wrong = decode_lines(content.removeprefix(mark))
            for i in sorted(wrong):
                self.note_undecodable(texts[i], self.name, f"{self.prefix}line {before + i + 1}", before + i)
            yield texts
            before, mark = before + len(texts), b""

    def note_undecodable(self, text: str, where: str, place: str, lines_before: int = 0) -> None:
        """Note the place of bytes that are not UTF-8, each of which is U+FFFD now, or refuse them."""
        if self.undecodable is None:
            before, _, _ = text.partition("\ufffd")
            line, column = lines_before + before.count("\n") + 1, len(before) - before.rfind("\n")
            raise DataError(f"{where}, line {line}, column {column}: a byte is not UTF-8; save the file as UTF-8.")
        self.undecodable.append(place)

    def example(self, text: str, label: str, split: str, line: int, names: Sequence[str] = ("", "", "")) -> Example:
        """The text of a line; ``names`` of the columns are for messages."""
        try:
            label = _checked(label)
        except ValueError as error:
            raise self.error(line, str(error), names[1]) from error
        if split and split not in SPLITS:
            raise self.error(line, f"the split is {split!r}; expected train, dev or test.", names[2])
        return _example((text, label, split, f"{self.prefix}line {line}"))


_checked = lru_cache(1 << 12)(clean_label)  # labels repeat; equal ones become one object


def _read_folder(folder: Path, source: _Source) -> Iterator[Example]:
    """Texts of a folder for each label, sorted by their paths."""
    paths: list[PurePosixPath] = []

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        here = PurePosixPath(Path(place).relative_to(folder).as_posix())
        if len(here.parts) == MAX_DEPTH - 1:
            folders.clear()
        folders[:] = [name for name in folders if name != UNLABELLED and not name.startswith(".")]
        paths += (here / name for name in names)
    return _labelled(paths, lambda path: (folder / path).read_bytes(), f"{folder.as_posix().rstrip('/')}/", source)


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
    paths = sorted(path for path in paths if len(path.parts) > 1 and _is_text(path))
    if not paths:
        raise DataError(f"{source.name} has no texts in folders named after their labels; expected {LAYOUT}.")
    with_split = [path for path in paths if len(path.parts) > 2 and path.parts[-3] in SPLITS]
    depth = 3 if with_split else 2
    above = next(iter(with_split), max(paths, key=lambda path: len(path.parts))).parts[:-depth]
    found = [path for path in with_split or paths if path.parts[:-depth] == above]
    for path in sorted({*paths}.difference(found)):
        folder = path.parts[:-1]
        # a README may lie on the way to the labels' folders, or beside them; a folder "valid" must not be left out
        if folder != above[: len(folder)] and not (folder[:-1] == above and folder[-1] in SPLITS):
            raise DataError(f"{source.name} has {path}, whose label cannot be told; expected {LAYOUT}.")
    for path in found:
        place = f"{root}{path}"
        where = place if source.prefix or root else f"{source.name}, {place}"
        try:
            label = _checked(path.parts[-2])
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
        content = load(path).removeprefix(codecs.BOM_UTF8)
        text = content.decode(errors="replace")
        if "\ufffd" in text and text.encode() != content:
            source.note_undecodable(text, where, place)
        yield Example(text, label, path.parts[-3] if with_split else "", place)


def _find_columns(
    header: Sequence[str], source: _Source, line: int, kind: str = "column"
) -> tuple[int, int, int | None]:
    """Indices of the columns of text, label and split, by their given or usual names; None without a split."""
    exact = [name.strip() for name in header]
    plain = [name.lower() for name in exact]
    wanted: dict[str, str | None] = source.columns | {"split": None}
    found: dict[str, int] = {}
    for role in sorted(wanted, key=lambda role: wanted[role] is None):  # a column that is named has no other role
        name = (wanted[role] or role).strip()
        usual = () if wanted[role] else USUAL_NAMES.get(role, ())
        matches: list[int] = []
        for names, accepted in ((exact, (name,)), (plain, (name.lower(),)), (plain, usual)):
            matches = matches or [i for i, n in enumerate(names) if n in accepted and i not in found.values()]
        if len(matches) > 1 or (not matches and role != "split"):
            given = {other.strip().lower() for key, other in wanted.items() if other and key != role}
            taken = {"split", *USUAL_NAMES["label" if role == "text" else "text"], *given}
            free = [name for name in exact if name and exact.count(name) == 1 and name.lower() not in taken]
            listed = textwrap.shorten(", ".join(exact), 200, placeholder=" ...")
            other = f"a {kind} other than {name} for the {role}s"
            expected = other if name.lower() in given else f"one {kind} named '{name}'"
            problem = f"found {f'the {kind}s {listed}' if any(exact) else f'no {kind}s'}; expected {expected}"
            suggestion = {f"{role}_column": free[0]} if free and role != "split" else None
            raise source.error(line, problem, suggestion=suggestion)
        if matches:
            found[role] = matches[0]
    return found["text"], found["label"], found.get("split")


def _separator(header: str, source: _Source, separators: str) -> str | None:
    """What separates the names of the columns, if anything does."""
    for separator in separators:
        with suppress(DataError, csv.Error, StopIteration):
            quoted = csv.reader([header], delimiter=separator, strict=True)
            _find_columns(header.split(separator) if separator == "\t" else next(quoted), source, 1)
            return separator
    return None


def _read_table(
    read_rows: Callable[..., Iterator[tuple[int, list[str]]]], lines: Iterator[str], source: _Source
) -> Iterator[Example]:
    """Examples of the rows of a table, the first of which is its header."""
    rows = read_rows(lines, source)
    line, header = next(rows, (1, []))
    text, label, split = _find_columns(header, source, line)
    names = [header[i].strip() for i in (text, label, split or 0)]
    for line, row in rows:
        if len(row) != len(header):
            raise source.error(line, f"has {len(row)} fields; expected {len(header)} as in the header.")
        yield source.example(row[text], row[label], row[split] if split is not None else "", line, names)


def _csv_rows(lines: Iterator[str], source: _Source) -> Iterator[tuple[int, list[str]]]:
    """Rows by RFC 4180, each with the line where it begins: quoted fields hold any character."""
    csv.field_size_limit(MAX_TEXT)
    first = next(lines, "")
    separator = _separator(first, source, ",;") or ","  # Excel writes semicolons in many countries
    rows = csv.reader((line + "\n" for line in chain([first], lines)), strict=True, delimiter=separator)
    begin = 1  # line of the row that is being read
    try:
        for row in rows:
            if row or begin == 1:
                yield begin, row
            begin = rows.line_num + 1
    except csv.Error as error:
        problem = next(problem for start, problem in CSV_ERRORS.items() if str(error).startswith(start))
        raise source.error(begin, problem.format(limit=MAX_TEXT, error=error)) from error


def _tsv_rows(lines: Iterator[str], source: _Source) -> Iterator[tuple[int, list[str]]]:
    """The same where a tab ends a field, a line end ends a row, and a quote is a character."""
    return ((number, line.split("\t")) for number, line in enumerate(lines, 1) if line or number == 1)


def _read_json_lines(lines: Iterator[str], source: _Source) -> Iterator[Example]:
    """One JSON object per line; the first one decides which keys are text, label and split."""
    keys: list[str] = []  # of text, label and split
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record, end = DECODER.raw_decode(line) if line[0] == "{" else (None, 0)
            if end < len(line):  # white space around it, or not an object; slower
                record = DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            problem, column = getattr(error, "msg", error), str(getattr(error, "colno", ""))
            raise source.error(number, f"not a JSON object ({problem}).", column) from error
        if not isinstance(record, dict):
            raise source.error(number, f"not a JSON object, but a {type(record).__name__}.")
        if not keys:
            names = list(record)
            *columns, split_column = _find_columns(names, source, number, "key")
            keys = [names[i] for i in columns]
            # later objects may have a split
            keys.append(names[split_column] if split_column is not None else "split" if "split" not in keys else "")
        text, label = record.get(keys[0]), record.get(keys[1])
        if not isinstance(text, str) or isinstance(label, dict | list | None):
            expected = f'expected the key "{keys[0]}" with a string, and "{keys[1]}" with a string or a number'
            raise source.error(number, f"{expected}; the keys are: {', '.join(record)}.")
        yield source.example(text, str(label), str(record.get(keys[2], "")), number, keys)


def _read_fasttext(lines: Iterator[str], source: _Source) -> Iterator[Example]:
    """One text per line after its label, ``__label__x text``."""
    for number, line in enumerate(lines, 1):
        if not (words := line.split(None, 1)):
            continue
        mark, text = words if len(words) == 2 else (words[0], "")
        if not mark.startswith("__label__") or mark == "__label__" or text.startswith("__label__"):
            raise source.error(number, "expected one label, written as __label__NAME, and a space before the text.")
        yield source.example(text, mark[9:], "", number)


DECODER = json.JSONDecoder(parse_constant=lambda constant: None)  # NaN, which JSON does not have, is a missing value
READERS: dict[str, Callable[[Iterator[str], _Source], Iterator[Example]]] = {
    "csv": partial(_read_table, _csv_rows),
    "tsv": partial(_read_table, _tsv_rows),
    "jsonl": _read_json_lines,
    "fasttext": _read_fasttext,
}
