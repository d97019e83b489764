"""Tables of separated values: which character separates them, how quotes are used, and the rows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice
from typing import Any

from mlcore.errors import counted
from mlcore.text.table import SAMPLE, Row, Source, Table, has_columns

SEPARATORS = "\t|;,"  # that are recognised by width, rare ones first; with names of columns around it, any sign is one
NOT_SEPARATORS = re.compile(r"[\w \"'.<>{}\[\]-]")
SIGN = r"""[^\w\s.,;:!?'"()/-]"""
SIGNS = re.compile(  # between words, not as in "by @me"; a single one needs blanks, unless it is rare or marks a label
    rf"""[\w.,;:!?'"()/-](?:( ?)(_[^\w\s]_|:{{2,3}}(?!:)|[~^¦]|@(?=\w+$)|{SIGN}{{2,}}+)\1|( {SIGN} ))(?=\w)"""
)
MAX_FIELD = 50_000_000  # characters
SNIFFED = 100  # lines from which the separator is recognised
TITLES = 10  # lines among which the header is looked for
# What Orange has in the second and third row: "string" or the values of a column, and its role
TYPE_IN_ORANGE = re.compile(r"[cdst]|continuous|discrete|string|time|\S+(?: \S+)+")
ROLE_IN_ORANGE = re.compile(r"(?:class|meta|ignore|weight|[cmiw])?(?: ?\w+=\S*)*")
CSV_ERRORS = {  # how Python's messages begin, and what they mean
    "unexpected end of data": "a quote is opened in this row and never closed.",
    "new-line character": "a carriage return is in a field without quotes; give all lines the same ends.",
    "field larger": "has a field of more than {limit:,} characters; perhaps a quote is never closed.",
    "": "not CSV by RFC 4180 ({error}).",
}

Dialect = dict[str, Any] | None  # parameters of csv.reader; None: quotes are characters as all others


def separator_by_header(head: Sequence[str], source: Source) -> str | None:
    """The separator that ``sep=`` declares, or with which the first line names the columns that are needed; or None."""
    if declared := _declared(head[0]):
        return declared
    others = NOT_SEPARATORS.sub("", head[0]) + " " * ('" "' in head[0]) if source.labelled else ""
    for separator in dict.fromkeys(SEPARATORS + others) if not source.layout.no_header else "":
        rows, _ = _parsed(head, separator, _dialect(head, separator))
        # a line of text may begin with "Text,"
        if (begin := _header_row(rows, source)) is not None and (
            source.labelled or 10 * _uneven(rows[begin:]) <= len(rows)
        ):
            return separator
    return None


def _header_row(rows: Sequence[Sequence[str]], source: Source) -> int | None:
    """Which row names the columns that are needed: the first, or one below titles, which fill fewer cells, and #."""
    filled = [sum(map(bool, map(str.strip, row))) for row in rows[:TITLES]]
    filled = [0 if row[:1] and row[0].startswith("#") else n for n, row in zip(filled, rows, strict=False)]
    for i, n in enumerate(filled):
        below = n > max([1, *filled[:i]]) and (source.labelled or (len(rows) > i + 1 and not _uneven(rows[i:])))
        if (i == 0 or below) and has_columns(rows[i], source):
            return i
    return None


def separator_by_width(head: Sequence[str]) -> str | None:
    """The separator that gives all these lines equally many fields, and the most; or None."""
    found = [(_parsed(head, separator, _dialect(head, separator)), separator) for separator in SEPARATORS]
    even = [(rows, errors, separator) for (rows, errors), separator in found if len(rows[0]) > 1 and not _uneven(rows)]
    return max(even, key=lambda one: (-one[1], len(one[0][0])))[2] if even else None


def separator_of_signs(head: Sequence[str]) -> str | None:
    """Signs as _!_ or => that are equally often in all these lines, with a column of values that recur; or None."""
    lines = [*filter(None, head)]
    for signs in dict.fromkeys(signs or single for _, signs, single in SIGNS.findall(lines[0])) if lines else ():
        rows = [line.split(signs) for line in lines]
        if not _uneven(rows) and any(1 < len({*column}) <= len(rows) / 2 for column in zip(*rows, strict=True)):
            return str(signs)
    return None


def _declared(line: str) -> str | None:
    """The separator that Excel's first line ``sep=;`` declares."""
    line = line.strip('"')
    return line[4] if line[:4].lower() == "sep=" and len(line) == 5 else None


def _uneven(rows: Sequence[Sequence[str]]) -> int:
    """Number of rows that have not the most usual number of fields."""
    widths = Counter(len(row) for row in rows if row)
    return widths.total() - max(widths.values(), default=0)


# How quotes are used --------------------------------------------------------------------------------------


def _parsed(lines: Sequence[str], separator: str, dialect: Dialect) -> tuple[list[list[str]], int]:
    """The rows of these lines, of which the last may be cut off, and the number of errors."""
    if dialect is None:
        return [line.split(separator) for line in lines], 0
    rows, errors = list[list[str]](), 0
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator, strict=True, **dialect)
    while True:
        try:
            rows += reader
            return rows or [[]], errors
        except csv.Error:  # it goes on in the next line
            errors += 1


def _dialect(lines: Sequence[str], separator: str, source: Source | None = None) -> Dialect:
    """How quotes are used, so that the fewest rows are wrong; the source gets a note if this was a guess.

    By RFC 4180; or with spaces before them, as single ones, or behind a backslash; or, between tabs, not at all. Where
    some fields have single ones, none may have double ones, and none is between tabs: there, they are apostrophes.
    Between several signs never, as csv reads no such tables.
    """
    if len(separator) > 1:
        return None
    opened = [line for line in lines[1:] if any(f"{separator}{mark}" in f"{separator}{line}" for mark in ("'", " '"))]
    closed = bool(opened) and all(f"'{separator}" in f"{line}{separator}" for line in opened)
    closed &= separator != "\t" and not any(f'{separator}"' in f"{separator}{line}" for line in lines)
    said = "the quotes around fields are single ones, ', and left out."
    single_quoted: tuple[Dialect, str] = {"quotechar": "'", "skipinitialspace": True}, said
    ways: tuple[tuple[bool, Dialect, str], ...] = (  # when each is possible, and what is said of it
        (len(opened) == len(lines) - 1 > 0, *single_quoted),
        (any(f'{separator} "' in line for line in lines), {"skipinitialspace": True}, ""),
        (True, {}, ""),
        (any('\\"' in line for line in lines), {"escapechar": "\\"}, '\\" within quotes is read as a quote.'),
        (closed, *single_quoted),
        (separator == "\t" and not (source and source.layout.format == "csv"), None, ""),
    )  # fmt: skip
    possible = [(dialect, note) for may_be, dialect, note in ways if may_be]
    parsed = [_parsed(lines, separator, dialect) for dialect, _ in possible if len(possible) > 1]
    wrong = [errors + _uneven(rows) for rows, errors in parsed] or [0]
    best, note = possible[wrong.index(min(wrong))]
    if not note and best is not None and possible[-1][0] is None and wrong[-1] == min(wrong):
        note = "quotes around fields are left out; with format tsv they are kept."
    if source and note:
        source.note_guess(note)
    return best


# Rows -----------------------------------------------------------------------------------------------------


def read_delimited(lines: Iterator[str], separator: str, source: Source) -> Table:
    """The table in these lines.

    Fields may be quoted as in RFC 4180, except that tabs decide by content whether quotes are quoting: as format tsv
    they are not, as format csv they are.
    """
    csv.field_size_limit(MAX_FIELD)
    start, first = 0, ""
    while (start == 0 or not first.strip() or _declared(first)) and (following := next(lines, None)) is not None:
        start, first = start + 1, following  # empty lines may come before the header
    head = [first, *islice(lines, SNIFFED - 1)]
    dialect = _dialect(head, separator)
    sniffed, _ = _parsed(head, separator, dialect)
    if not source.layout.no_header and (titles := _header_row(sniffed, source)):
        head, sniffed, start = head[titles:], sniffed[titles:], start + titles
        source.header = start
        source.note_guess(f"the header is in line {start}; what is above it is left out.")
    single = dialect is not None and "quotechar" in dialect
    plain = source.layout.format == "tsv" or (separator == "\t" and not source.layout.format and not single)
    rows = _rows(chain(head, lines), separator, start, source, plain)
    begin, header = next(rows, (start, []))
    if source.layout.no_header:
        names = [str(number) for number in range(1, len(header) + 1)]
        return Table(source, names, _of_width(chain([(begin, header)], rows), names, source))
    names = [str(name).lstrip("\ufeff") for name in header]
    if _has_row_numbers(sniffed, len(names)):
        names = ["", *names]
        source.note_guess("the first column, which the header lacks, numbers the rows.")
    rows = _without_types(_of_width(rows, names, source), source)
    return Table(source, names, _without_headers(rows, names, source))


def _has_row_numbers(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether each row below the header has one field more, its number, as R writes them; the last may be cut off."""
    below = [row for row in rows[1:] if row]
    numbered = all(len(row) == width + 1 and row[0].isdecimal() for row in below[:-1] or below)
    return numbered and any(row[-1].strip() for row in below)  # else they end with a separator


def _rows(lines: Iterator[str], separator: str, start: int, source: Source, plain: bool) -> Iterator[Row]:
    """Rows, each with the number of the line where it begins.

    ``plain``: a line is a row, in format tsv everywhere, else up to the first quoted field.
    """
    number, undecided = start, source.layout.format is None
    for number, line in zip(count(start), lines) if plain else ():
        if '"' in line and undecided and (line[0] == '"' or '\t"' in line):
            lines = chain([line], lines)
            break
        if line or number == start:
            yield number, line.split(separator)
    sample = [*islice(lines, SAMPLE)]
    dialect, lines = _dialect(sample, separator, source) if sample else {}, chain(sample, lines)
    del sample  # of long lines it is large
    if dialect is None:
        yield from ((number, line.split(separator)) for number, line in enumerate(lines, number) if line)
    else:
        yield from _quoted_rows(lines, separator, number, source, dialect)


def _quoted_rows(
    lines: Iterator[str], separator: str, start: int, source: Source, dialect: dict[str, Any]
) -> Iterator[Row]:
    """Rows by RFC 4180, or in another dialect of it: quoted fields hold any character."""
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


def _of_width(rows: Iterator[Row], names: Sequence[str], source: Source) -> Iterator[Row]:
    """The rows as wide as the header, without rows of nothing and lines of dashes.

    Where a row ends with more or fewer empty fields, it is made so wide.
    """
    width, ragged = len(names), False
    named = max((i for i, name in enumerate(names, 1) if name.strip()), default=width)
    for line, row in rows:
        if row and len(row) == width and row[0][:1].isalnum():  # the usual case
            yield line, row
        elif not any(map(str.strip, row)) and (width > 1 or not row):  # the one value of a row may be empty
            source.note_skipped("rows without any value")
        elif "---" in (cells := "".join(row)) and not cells.strip("-+=: "):  # below a header, or around a table
            source.note_skipped("lines of dashes")
        elif len(row) == width:
            yield line, row
        elif len(row) >= named and not any(map(str.strip, row[width:])):
            if not ragged:
                source.note_guess(f"from line {line} on, rows end with more or fewer empty fields than the header.")
            ragged = True
            yield line, [*row, *[""] * (width - len(row))][:width]
        else:
            source.skip(line, f"has {counted(len(row), 'field')}; expected {width} as in the header.")


def _without_types(rows: Iterator[Row], source: Source) -> Iterator[Row]:
    """The rows without those two below the header in which Orange has the types and the roles of the columns."""
    first = [*islice(rows, 2)]
    types, roles = (row for _, row in first) if len(first) == 2 else ([], [])
    are_types = len(types) > 1 and {"s", "string"} & {*types} and all(map(TYPE_IN_ORANGE.fullmatch, types))
    if are_types and {"c", "class", "m", "meta"} & {*roles} and all(map(ROLE_IN_ORANGE.fullmatch, roles)):
        source.note_skipped("rows of Orange's types and roles of columns", len(first))
        first.clear()
    yield from chain(first, rows)


def _without_headers(rows: Iterator[Row], header: Sequence[str], source: Source) -> Iterator[Row]:
    """The rows without repeated headers, which may name the columns in another order from there on."""
    names, longest, order = [*map(_folded, header)], max(map(len, header), default=0) + 1, list[int]()
    for line, row in rows:
        # most rows are told by their first field
        found = [*map(_folded, row)] if len(row[0]) <= longest and _folded(row[0]) in names else []
        if not found or sorted(found) != sorted(names):
            yield line, [row[i] for i in order] if order else row
            continue
        order = [found.index(name) for name in names] if found != names else []
        if order:
            source.note_guess(f"from line {line} on, the columns are in another order.")
        source.note_skipped("repeated headers")


def _folded(name: str) -> str:
    """The name of a column in any case; a file that was appended may begin with a mark."""
    return name.strip("\ufeff ").lower()
