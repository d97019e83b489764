"""Readers of texts in files: the format of each is recognised by its content, and its rows are a ``Table``.

``read_tables`` keeps all columns; ``read_examples`` makes labelled texts of them. Errors name the file, the line and
the column.
"""

import codecs
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from mlcore.errors import DataError, InputError
from mlcore.files import check_once, name_of
from mlcore.text import streams
from mlcore.text.columnar import MAGIC, read_columnar
from mlcore.text.delimited import SNIFFED, read_delimited, separator_by_header, separator_by_width, separator_of_signs
from mlcore.text.folders import read_archive, read_folder
from mlcore.text.json_tables import is_json_lines, read_json, read_json_lines
from mlcore.text.labels import LARGEST_RATING, clean_label, rating_of, ways_to_write
from mlcore.text.layout import Layout
from mlcore.text.table import SPLIT_OF, Notes, Row, Source, Table, as_text, find_columns, has_columns

SUPPORTED = "CSV, TSV, JSON, JSON Lines, Parquet, Arrow, fastText, and a folder for each label (or an archive of it)"
TABLE_SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
TAR_SUFFIXES = (".tar", ".tgz", ".tbz", ".tbz2", ".txz")
CONTROL = bytes({*range(32)} - {*b"\t\n\v\f\r\x1b"})  # characters that texts hardly have
HEAD = 1 << 16  # bytes from which the format is recognised
MARK = "__label__"
HOW_TO_LABEL = (
    f"write a table with the columns text and label, or lines of {MARK}NAME TEXT (if lines begin with labels: "
    f"sed 's/^/{MARK}/' FILE > new.txt; if all have one label: sed 's/^/{MARK}NAME /' FILE > new.txt; if they are in "
    "another file: paste LABELS FILE > new.tsv)"
)
FIRST_LABEL = re.compile(r"\s*([\w:.+-]+) +((?!\d+:|\|)\S.*)")  # and the text behind it
PLAIN_LABEL = re.compile(r"-?\d\d?|[A-Z]+:\w+")  # what hardly a text begins with
JSON_ARRAY = re.compile(r"\s*\[[\s\[]*(?:[\"{\]]|-?(?:0|[1-9]\d*)(?:\.\d+)?\s*[,\]]|null|true|false|NaN|\Z)")
BETWEEN_LABELS = re.compile(rf"({MARK}[^\s,;|]+)[,;|]+(?={MARK})")
EMPTY_LINES = re.compile(r"\A(?:[ \t\r]*\n)+")


class Example(NamedTuple):
    """One labelled text.

    A text with several labels has a tuple of them. split is "" where the data does not name one; place is a line or a
    file.
    """

    text: str
    label: str | Sequence[str]
    split: str
    place: str
    weight: float = 1.0


_example = partial(tuple.__new__, Example)  # takes half the time of calling Example


def read_examples(
    paths: Sequence[Path] | Path, layout: Layout | None = None, notes: Notes | None = None
) -> Iterator[Example]:
    """Read the labelled texts of files and folders one by one, in order; ``-`` is standard input.

    A file of lines, a folder or an archive may be larger than memory; a JSON document is in memory as a whole.
    ``layout`` is the same for all paths. ``notes`` collects what was guessed, skipped and replaced.

    Raises: InputError, at once, if an argument is wrong; while reading, DataError if the content does not follow the
    format or has no texts; OSError if it cannot be read.
    """
    return chain.from_iterable(map(_examples, read_tables(paths, layout, notes)))


def read_tables(
    paths: Sequence[Path] | Path, layout: Layout | None = None, notes: Notes | None = None, labelled: bool = True
) -> Iterator[Table]:
    """The table in each of these files, folders and archives, in order; it has to be read before the next one.

    ``labelled``: a file without labels is refused. Else a file of any other format has a text in each line.

    Raises: as ``read_examples``.
    """
    paths = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    layout, notes = layout or Layout(), notes or Notes()
    check_once(paths)
    if layout.format not in (None, "folder") and (folder := next(filter(Path.is_dir, paths), None)):
        raise InputError(f"{folder} is a folder; leave the format out", parameter="format", value=layout.format)
    names, several = map(name_of, paths), len(paths) > 1
    sources = (Source(name, layout, notes, f"{name}, " * several, labelled=labelled) for name in names)
    return map(_open, paths, sources)


def _open(path: Path, source: Source) -> Table:
    if path.is_dir():
        return read_folder(path, source)
    head, pieces = streams.peek(streams.read_pieces(path, source.notes.guesses.append), HEAD)
    if not head:
        raise DataError(f"{source.name} is empty; give a file with texts.")
    format = source.layout.format
    columnar = format or next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")
    if columnar in MAGIC.values():
        return read_columnar(streams.spooled(pieces), columnar, source)
    archived = head.startswith(streams.ZIP) or head[257:262] == b"ustar" or _suffix(path) in TAR_SUFFIXES
    if format == "folder" or (format is None and archived):
        return read_archive(pieces, source)
    if format is None and (kind := streams.foreign_kind(head)):
        raise DataError(f"{source.name} is {kind}.")
    source.encoding = source.layout.encoding or streams.marked_encoding(head)
    is_utf8 = not source.encoding or codecs.lookup(source.encoding).name == "utf-8"
    source.marked = not is_utf8 or head.startswith(codecs.BOM_UTF8)
    if not source.encoding:
        _check_utf8(head, source.name)
    head, pieces = streams.peek(streams.as_utf8(pieces, source.encoding, source.name), HEAD)
    if b"\r" in head and b"\n" not in head:  # line ends of the old Macintosh, which Excel still writes
        head, pieces = head.replace(b"\r", b"\n"), (piece.replace(b"\r", b"\n") for piece in pieces)
    text = EMPTY_LINES.sub("", head.decode(errors="replace"), count=1)
    format, separator = _recognise(_suffix(path), text, source)
    if format == "json":
        return read_json(pieces, source)
    lines = chain.from_iterable(_blocks_of_lines(pieces, source))
    if format == "jsonl":
        return read_json_lines(lines, source)
    if format in ("fasttext", "label first"):
        read_rows = _fasttext_rows if format == "fasttext" else _label_first_rows
        return Table(source, ["label", "text"], read_rows(lines, source))
    if separator:
        source.separator = separator
        return read_delimited(lines, separator, source)
    if not source.labelled:
        return Table(source, ["text"], ((number, [line]) for number, line in enumerate(lines, 1)))
    looks = f"; it looks like {kind}" if (kind := streams.foreign_kind(text.encode(), "likely")) else ""
    raise DataError(f"Cannot tell the format of {source.name}{looks}; supported are {SUPPORTED}; {HOW_TO_LABEL}.")


def _check_utf8(head: bytes, name: str) -> None:
    """Raises: DataError if a file that begins so is in another encoding, or is not text."""
    for likely in ("utf-16-le", "utf-16-be") if b"\0" in head else ():
        line, end, rest = head.decode(likely, errors="replace").partition("\n")
        if end and "\0" not in rest and line.rstrip("\r").replace("\t", "").isprintable():
            raise DataError(f"{name} looks like UTF-16 without a mark", suggestion={"encoding": likely})
    if re.search(rb"\x1b\$[@B]", head):
        raise DataError(f"{name} looks like ISO-2022-JP", suggestion={"encoding": "iso2022_jp"})
    if len(head.translate(None, CONTROL)) < 0.95 * len(head):
        raise DataError(f"{name} is not a text file, nor one of another kind that can be read: {SUPPORTED}.")


def _suffix(path: Path) -> str:
    """The suffix of a name, before that of a compression."""
    path = Path(path.name.lower())
    return Path(path.stem).suffix if path.suffix in streams.SUFFIXES else path.suffix


def _recognise(suffix: str, head: str, source: Source) -> tuple[str | None, str | None]:
    """Format of a file of text, and what separates the columns of a table, by the first characters and its suffix."""
    layout = source.layout
    if layout.format not in (None, "csv", "tsv"):
        return layout.format, None
    lines = [line.removesuffix("\r") for line in head.split("\n")]
    lines = (lines[:-1] or lines)[:SNIFFED]  # the last one may be cut off
    if layout.format is None and not layout.separator:
        first = head.lstrip().partition("\n")[0].rstrip()
        marked = f"\n{MARK}" in f"\n{head}" or re.search(rf"\s{MARK}\S*$", first)
        if marked and (first.startswith(MARK) or not separator_by_header(lines, source)):
            if "," in (label := first.partition(" ")[0].removeprefix(MARK)) and MARK not in label:
                source.note_guess(f"labels end at a space; the first one is {label!r}.")
            return "fasttext", None
        if first.startswith("{"):
            return ("jsonl" if is_json_lines(head) else "json"), None
        if JSON_ARRAY.match(head) and (suffix not in TABLE_SUFFIXES or re.match(r"\s*\[\s*[\[{]", head)):
            return "json", None
    usual = TABLE_SUFFIXES.get(suffix, "," if layout.format else None) if layout.format != "tsv" else "\t"
    separator = layout.separator or separator_by_header(lines, source)
    if separator is None and (usual or source.labelled or layout.no_header or layout.text_column):
        separator = separator_by_width(lines)
        if separator is None and (separator := separator_of_signs(lines)):
            source.note_guess(f"{separator!r} separates the columns.")
        separator = separator or usual
    if layout.format is None and separator is None and (begun := _first_label(lines, source)):
        advice = "" if source.labelled else "; if whole lines are texts, give them as lines"
        source.note_guess(f"the first word of each line is its label, as {begun!r}{advice}.")
        return "label first", None
    return layout.format, separator


def _blocks_of_lines(pieces: Iterator[bytes], source: Source) -> Iterator[list[str]]:
    """Lines without their ends; only a line feed ends a line, with or without a carriage return before it."""
    before = 0
    for content in streams.whole_lines(pieces, source.name):
        texts, wrong = streams.decode_lines(content)
        if wrong:
            source.undecodable(content, lines_before=before)
        yield texts
        before += len(texts)


def _first_label(lines: Sequence[str], source: Source) -> str | None:
    """The label of the first line if each begins with one: a number as 4, a name as NUM:dist, or one of few words.

    Texts that need no labels may begin with few words too; and lines of LIBSVM and Vowpal Wabbit have no texts.
    """
    words = [FIRST_LABEL.match(line) for line in lines if line.strip()]
    rows = [word.groups() for word in words if word]
    if not rows or len(rows) < len(words):
        return None
    labels = [label for label, _ in rows[has_columns(rows[0], source) :]]
    plain = all(map(PLAIN_LABEL.fullmatch, labels))
    alike = len({label[-1] == ":" for label in labels}) == 1
    repeated = 2 <= len({*labels}) <= len(labels) / (2 if plain else 10)
    return labels[0] if repeated and (plain or (source.labelled and alike)) else None


def _label_first_rows(lines: Iterator[str], source: Source) -> Iterator[Row]:
    """One text per line, with its label before it."""
    for number, line in enumerate(lines, 1):
        label, _, text = line.lstrip().partition(" ")
        if number == 1 and has_columns([label, text], source):
            source.note_skipped("headers")
        elif label:
            yield number, (label.removesuffix(":"), text)


def _fasttext_rows(lines: Iterator[str], source: Source) -> Iterator[Row]:
    """One text per line with its labels before or behind it: ``__label__x __label__y text``."""
    for number, line in enumerate(lines, 1):
        first, *rest = line.split(None, 1) or ("",)
        if not first:
            continue
        if first.startswith(MARK) and line.count(MARK) == 1:  # the usual case
            yield number, (first[len(MARK) :], rest[0] if rest else "")
            continue
        labels, behind, text = list[str](), list[str](), BETWEEN_LABELS.sub(r"\1 ", line.lstrip("\ufeff \t"))
        while text.startswith(MARK):
            mark, *rest = text.split(None, 1)
            labels.append(mark[len(MARK) :])
            text = rest[0] if rest else ""
        while MARK in text and (words := text.rsplit(None, 1))[-1].startswith(MARK):
            behind.append(words[-1].rstrip()[len(MARK) :])
            text = words[0] if len(words) > 1 else ""
        labels += behind[::-1]
        if labels or not source.labelled:
            yield number, (labels if len(labels) != 1 else labels[0], text)
        else:
            source.skip(number, "expected a label, written as __label__NAME, and a space before the text.")


# Examples -------------------------------------------------------------------------------------------------


def _examples(table: Table) -> Iterator[Example]:
    """The labelled texts of a table, of which there must be one."""
    source, columns = table.source, find_columns(table)
    (text_at, *others), label_at, split_at, weight_at = columns
    assert label_at is not None
    split_of, place, empty, weight = _splits_of(table, split_at), source.prefix + source.unit, True, 1.0
    separator = source.layout.label_separator
    read_label = _label if separator is None else lambda text: _one_or_several(filter(str.strip, text.split(separator)))
    remedy = "skip_bad_rows" if source.layout.split_column else "no_split"
    table.needed = {i for i in (*columns.text, label_at, split_at, weight_at) if i is not None}
    for number, row in table.rows:
        try:
            at = text_at
            text = columns.text_of(row) if others or type(row[at]) is not str else row[at]
            if text is None:
                several = isinstance(row[at], list | dict)
                raise ValueError("expected one text, found several values." if several else "the text is missing.")
            at = label_at
            label = read_label(row[at]) if type(row[at]) is str else _labels(row[at])
            split = ""
            if split_at is not None:
                at = split_at
                split = split_of(row[at] if type(row[at]) is str else str(row[at]))
            if weight_at is not None:
                at = weight_at
                weight = weight_of(row[at])
        except ValueError as error:
            problem, value = str(error), row[at]
            if isinstance(value, dict) and value:
                problem = f"this is an object; name one of its keys, such as '{table.header[at]}.{next(iter(value))}'."
            source.skip(number, problem, table.header[at], remedy if at == split_at else "skip_bad_rows")
            continue
        empty = False
        yield _example((text, label, split, f"{place}{number}", weight))
    if empty:
        why = f" ({source.notes.bad_rows[0]})" if source.notes.bad_rows else ""
        raise DataError(f"{source.name} contains no labelled texts{why}.")


_label = lru_cache(1 << 12)(clean_label)  # labels repeat; equal ones become one object


def _labels(value: Any) -> str | tuple[str, ...]:
    """The label that is not a string: a number, or several labels.

    Raises: ValueError if there is none, or it has another type.
    """
    if value is None or value != value:
        raise ValueError("the label is missing.")
    if isinstance(value, dict) and all(isinstance(score, int | float) for score in value.values()):
        value = [label for label, score in value.items() if score > 0.5]  # as spaCy has them
    if isinstance(value, list | tuple):
        if other := next((one for one in value if isinstance(one, list | tuple | dict)), None):
            raise ValueError(f"expected a label, or a list of labels, in which {other!r:.40} is none.")
        return _one_or_several(as_text(one) or "" for one in value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as pandas writes them where some are missing
    return _label(as_text(value) or "")


def weight_of(value: Any) -> float:
    """The weight of a text in the loss.

    Raises: ValueError if it is not a finite number from 0 up.
    """
    number: Any = rating_of(value) if isinstance(value, str) else value
    with suppress(TypeError, ValueError):
        if 0 <= (weight := float(number)) <= LARGEST_RATING:
            return weight
    ways = ways_to_write(value) if isinstance(value, str) else ""
    raise ValueError(f"the weight is {value!r:.40}; expected a number from 0 up{ways}.")


def _one_or_several(values: Iterable[str]) -> str | tuple[str, ...]:
    labels = dict.fromkeys(map(_label, values))
    return tuple(labels) if len(labels) != 1 else next(iter(labels))


def _splits_of(table: Table, column: int | None) -> Callable[[str], str]:
    """What each value of a column of splits means: nothing, if the first one is not the name of a split.

    The function raises ValueError if some values are names of splits and others are not, or if the user named the
    column.
    """
    source = table.source
    names_splits: bool | None = source.layout.split_column is not None or None

    @lru_cache
    def split_of(value: str) -> str:
        nonlocal names_splits
        split = SPLIT_OF.get(value.strip().lower())
        if names_splits is None and split != "":
            names_splits = split is not None
            if not names_splits:
                named = f"{table.kind} {table.header[column or 0].strip()}"
                said = f"the {named} has values such as {value!r}, which are not splits"
                source.note_guess(f"{said}: all texts are trained on.")
        if names_splits and split is None:
            raise ValueError(f"the split is {value!r}; expected train, dev or test.")
        if split and not names_splits:
            raise ValueError(f"the split is {value!r}, but others are not train, dev or test.")
        return split or ""

    return split_of
