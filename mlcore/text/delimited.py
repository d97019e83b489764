"""Tables of separated values: which character separates them, whether quotes do, and the rows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, count, islice
from typing import Any

from mlcore.errors import DataError
from mlcore.text.table import Row, Source, Table, has_columns

SEPARATORS = "\t,;|"  # that are recognised by width; with names of columns before and behind it, any sign is one
NOT_SEPARATORS = re.compile(r"[\w\s\"'.{}\[\]-]")
MAX_FIELD = 50_000_000  # characters
SAMPLE = 500  # lines from which it is told how quotes are used, or whether there is a header
SNIFFED = 100  # lines from which the separator is recognised
TITLES = 10  # lines among which the header is looked for
CSV_ERRORS = {  # how Python's messages begin, and what they mean
    "unexpected end of data": "a quote is opened in this row and never closed.",
    "new-line character": "a carriage return is in a field without quotes; give all lines the same ends.",
    "field larger": "has a field of more than {limit:,} characters; perhaps a quote is never closed.",
    "": "not CSV by RFC 4180 ({error}).",
}
QUOTED_FIELD = re.compile(r'(?:^|\t)"')


def separator_by_header(head: Sequence[str], source: Source) -> str | None:
    """The separator that ``sep=`` declares, or with which the first line names the columns that are needed; or None."""
    if declared := _declared(head[0]):
        return declared
    others = NOT_SEPARATORS.sub("", head[0]) if source.labelled else ""
    for separator in dict.fromkeys(SEPARATORS + others) if not source.layout.no_header else "":
        rows, _ = _rows_of(head, separator)
        # a line of text may begin with "Text,"
        if (begin := _header_row(rows, source)) is not None and (
            source.labelled or 10 * _uneven(rows[begin:]) <= len(rows)
        ):
            return separator
    return None


def _header_row(rows: Sequence[Sequence[str]], source: Source) -> int | None:
    """Which row names the columns that are needed: the first, or one below titles, which fill fewer cells."""
    filled = [sum(map(bool, map(str.strip, row))) for row in rows[:TITLES]]
    for i, n in enumerate(filled):
        below = n > max([1, *filled[:i]]) and (source.labelled or (len(rows) > i + 1 and not _uneven(rows[i:])))
        if (i == 0 or below) and has_columns([*rows[i]], source):
            return i
    return None


def separator_by_width(head: Sequence[str]) -> str | None:
    """The separator that gives all these lines equally many fields, and the most; or None."""
    found = [(_rows_of(head, separator), separator) for separator in SEPARATORS]
    even = [(-errors, len(rows[0]), separator) for (rows, errors), separator in found if not _uneven(rows)]
    even = [one for one in even if one[1] > 1]
    return max(even, key=lambda one: one[:2])[2] if even else None


def _declared(line: str) -> str | None:
    """The separator that Excel's first line ``sep=;`` declares."""
    line = line.strip('"')
    return line[4] if line[:4].lower() == "sep=" and len(line) == 5 else None


def _quoted(lines: Sequence[str], separator: str, **dialect: Any) -> tuple[list[list[str]], int]:
    """The rows of these lines where quotes are quoting, and the number of errors; the last row may be cut off."""
    rows, errors = list[list[str]](), 0
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator, strict=True, **dialect)
    while True:
        try:
            rows += reader
            return rows, errors
        except csv.Error:  # it goes on in the next line
            errors += 1


def _dialect(lines: Sequence[str], separator: str, source: Source) -> dict[str, Any]:
    """How else than by RFC 4180 quotes are used, if that fits: single ones, behind a space, or behind a backslash."""
    dialects = list[dict[str, Any]]([{}])
    if any(f'{separator} "' in line for line in lines):
        dialects.insert(0, {"skipinitialspace": True})
    single = re.compile(rf"(?:^|{re.escape(separator)}) *'")
    if len(lines) > 1 and all(map(single.search, islice(lines, 1, None))):
        dialects.insert(0, {"quotechar": "'", "skipinitialspace": True})
    if any('\\"' in line for line in lines):
        dialects.append({"escapechar": "\\"})

    def wrong(dialect: dict[str, Any]) -> int:
        rows, errors = _quoted(lines, separator, **dialect)
        return errors + _uneven(rows)

    best = min(dialects, key=wrong) if len(dialects) > 1 else {}
    if "escapechar" in best:
        source.notes.guesses.append(f'{source.name}: \\" within quotes is read as a quote.')
    if "quotechar" in best:
        source.notes.guesses.append(f"{source.name}: the quotes around fields are single ones, ', and left out.")
    return best


def _is_quoting(lines: Sequence[str], source: Source | None = None) -> bool:
    """Whether not more rows are wrong if the quotes in these lines with tabs are read as quoting.

    If both are possible, the source gets a note.
    """
    rows, errors = _quoted(lines, "\t")
    wrong, otherwise = errors + _uneven(rows), _uneven([line.split("\t") for line in lines])
    if source and wrong == otherwise:
        note = f"{source.name}: quotes around fields are left out; with format tsv they are kept."
        source.notes.guesses.append(note)
    return wrong <= otherwise


def _rows_of(lines: Sequence[str], separator: str) -> tuple[list[list[str]], int]:
    """The rows of these lines, of which the last may be cut off, and the number of errors."""
    if separator == "\t" and not _is_quoting(lines):
        return [line.split(separator) for line in lines], 0
    rows, errors = _quoted(lines, separator)
    return rows or [[]], errors


def _uneven(rows: Sequence[Sequence[str]]) -> int:
    """Number of rows that have not the most usual number of fields."""
    widths = Counter(len(row) for row in rows if row)
    return widths.total() - max(widths.values(), default=0)


def read_delimited(lines: Iterator[str], separator: str, source: Source) -> Table:
    """The table in these lines.

    Fields may be quoted as in RFC 4180, except that tabs decide by content whether quotes are quoting: as format tsv
    they are not, as format csv they are.
    """
    start, first = 0, ""
    while (start == 0 or not first.strip() or _declared(first)) and (following := next(lines, None)) is not None:
        start, first = start + 1, following  # empty lines may come before the header
    head = [first, *islice(lines, SNIFFED - 1)]
    if not source.layout.no_header and (titles := _header_row(_rows_of(head, separator)[0], source)):
        head, start = head[titles:], start + titles
        source.notes.guesses.append(f"{source.name}: the header is in line {start}; what is above it is left out.")
    lines = chain(head, lines)
    if source.layout.format == "tsv":
        rows = _plain_rows(lines, separator, start)
    elif separator != "\t" or source.layout.format == "csv":
        rows = _quoted_rows(lines, separator, start, source)
    else:
        rows = _tab_rows(lines, start, source)
    begin, header = next(rows, (start, []))
    repeated = None if source.layout.no_header else header
    if source.layout.no_header:
        rows = chain([(begin, header)], rows)
        header = [str(number) for number in range(1, len(header) + 1)]

    def sample() -> list[Sequence[Any]]:
        with suppress(DataError):
            return [values for _, values in islice(rows, SAMPLE)]
        return []

    names = [str(name).lstrip("\ufeff") for name in header]
    return Table(source, names, lambda needed: _checked(rows, len(names), repeated, source), sample=sample)


def _checked(rows: Iterator[Row], width: int, header: Sequence[str] | None, source: Source) -> Iterator[Row]:
    """The rows of this width, without empty ones and repeated headers, which may name the columns in another order."""
    skipped, order = source.notes.skipped, list[int]()
    names, longest = [_folded(name) for name in header or ()], max(map(len, header or ()), default=0) + 1
    named, ragged = max((i for i, name in enumerate(names, 1) if name), default=width), False
    for line, row in rows:
        if (
            len(row) != width
            and len(row) >= named
            and any(map(str.strip, row))
            and not any(map(str.strip, row[width:]))
        ):
            row = [*row, *[""] * (width - len(row))][:width]
            if not ragged:
                said = f"from line {line} on, rows end with more or fewer empty fields than the header"
                source.notes.guesses.append(f"{source.name}: {said}.")
            ragged = True
        # most rows are told by their first field
        again = 0 < len(row) == width and len(row[0]) <= longest and _folded(row[0]) in names
        found = [*map(_folded, row)] if again else []
        if found and sorted(found) == sorted(names):
            order = [found.index(name) for name in names] if found != names else []
            if order:
                source.notes.guesses.append(f"{source.name}: from line {line} on, the columns are in another order.")
            skipped[f"{source.name}: repeated headers"] += 1
        elif found and "---" in (cells := "".join(found)) and not cells.strip("-: "):
            skipped[f"{source.name}: rules below the header"] += 1
        elif len(row) == width and any(map(str.strip, row)):
            yield line, [row[i] for i in order] if order else row
        elif not any(map(str.strip, row)):
            skipped[f"{source.name}: rows without any value"] += 1
        else:
            fields = f"{len(row):,} field{'s' * (len(row) != 1)}"
            source.skip(line, f"has {fields}; expected {width} as in the header.")


def _folded(name: str) -> str:
    """The name of a column in any case; a file that was appended may begin with a mark."""
    return name.strip("\ufeff ").lower()


def _plain_rows(lines: Iterator[str], separator: str, start: int) -> Iterator[Row]:
    """Rows where a line end ends a row, and a quote is a character; each with the number of its line."""
    return ((number, line.split(separator)) for number, line in enumerate(lines, start) if line or number == start)


def _quoted_rows(lines: Iterator[str], separator: str, start: int, source: Source) -> Iterator[Row]:
    """Rows by RFC 4180, each with the line where it begins: quoted fields hold any character."""
    csv.field_size_limit(MAX_FIELD)
    sample = [*islice(lines, SAMPLE)]
    dialect, lines = _dialect(sample, separator, source), chain(sample, lines)
    del sample  # of long lines it is large
    rows = csv.reader((line + "\n" for line in lines), strict=True, delimiter=separator, **dialect)
    line = start  # of the row that is being read
    while True:
        try:
            for row in rows:
                if row or line == start:
                    yield line, row
                line = start + rows.line_num
            return
        except csv.Error as error:
            begun = next(begun for begun in CSV_ERRORS if str(error).startswith(begun))
            problem = CSV_ERRORS[begun].format(limit=MAX_FIELD, error=error)
            if begun in ("unexpected end of data", "field larger"):  # what was swallowed is not one bad row
                raise source.error(f"line {line}", problem) from error
            source.skip(line, problem)
            line = start + rows.line_num


def _tab_rows(lines: Iterator[str], start: int, source: Source) -> Iterator[Row]:
    """Rows of a table with tabs; the lines from the first quoted field on tell whether fields are quoted at all."""
    number = start
    for number, line in zip(count(start), lines):
        if '"' in line and QUOTED_FIELD.search(line):
            break
        if line or number == start:
            yield number, line.split("\t")
    else:
        return
    sample = [line, *islice(lines, SAMPLE)]
    lines = chain(sample, lines)
    quoting = _is_quoting(sample, source)
    yield from _quoted_rows(lines, "\t", number, source) if quoting else _plain_rows(lines, "\t", number)
