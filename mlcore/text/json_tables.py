"""JSON Lines, and JSON documents: arrays of objects or of arrays, and the other layouts that pandas writes."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from typing import Any

from mlcore.errors import DataError
from mlcore.text.table import MAX_COLUMNS, SPLIT_OF, Notes, Row, Source, Table, find_columns

MAX_VALUE = 50_000_000  # characters of one element of an array
MAX_DOCUMENT = 500_000_000  # characters of a document that has to be in memory as a whole
SAMPLE = 500  # rows from which it is told whether there is a header
DECODER = json.JSONDecoder(parse_constant=lambda constant: None)  # NaN, which JSON does not have, is a missing value
FIRST_VALUE = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*(.)', re.DOTALL)
SPACE = re.compile(r"[\s,]*")

Record = tuple[int | str, Mapping[str, Any]]  # the number of its line or row, and its values


def is_json_lines(head: str) -> bool:
    """Whether text that begins with a brace has an object in each line, rather than being one object."""
    line, ended, rest = head.lstrip().partition("\n")
    try:
        values = DECODER.decode(line).values()
    except (ValueError, RecursionError):  # cut off, or spread over several lines
        first = FIRST_VALUE.match(head)
        return (not ended or rest.lstrip().startswith("{")) and (first is None or first[1] not in "[{")
    return rest.lstrip().startswith("{") or not all(isinstance(value, dict | list) for value in values)


def read_json_lines(lines: Iterator[str], source: Source) -> Table:
    """One object in each line."""
    return _table(_objects(lines, source), source, "line ")


def _objects(lines: Iterator[str], source: Source) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record, end = DECODER.raw_decode(line) if line[0] == "{" else (None, 0)
            if end < len(line):  # white space around it, or not an object; slower
                record = DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            problem = f"not a JSON object ({_problem(error)})."
            source.skip(f"line {number}", problem, str(getattr(error, "colno", "")))
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            source.skip(f"line {number}", f"not a JSON object, but a {type(record).__name__}.")


def _problem(error: Exception) -> str:
    """What Python says about JSON, which has no message of its own for deep nesting and numbers of 4,300 digits."""
    return getattr(error, "msg", None) or "it is nested too deeply, or a number is too long"


def read_json(texts: Iterator[str], source: Source) -> Table:
    """An array, which may be larger than memory, or an object in one of the layouts that pandas writes.

    These are ``records``, ``columns``, ``split``, ``index``, ``table`` and ``values``; or the object has an array, or
    such an object, for each split.
    """
    head = ""
    while not head and (more := next(texts, None)) is not None:
        head = more.lstrip()
    texts = chain([head], texts)
    if head.startswith("["):
        elements: Iterable[Any] = _elements(texts, source)
    else:
        try:
            elements = _elements_of(DECODER.decode(_joined(texts, source)), source)
        except (ValueError, RecursionError) as error:
            where = f"line {getattr(error, 'lineno', 1)}"
            raise source.error(where, f"not JSON ({_problem(error)}).", str(getattr(error, "colno", ""))) from error
    elements = iter(elements)
    first = [*islice(elements, 1)]
    records = _records(chain(first, elements), source)
    return _table(records, source, "row ", "column" if first and isinstance(first[0], list | tuple) else "key")


def _joined(texts: Iterable[str], source: Source) -> str:
    parts, size = list[str](), 0
    for text in texts:
        parts.append(text)
        size += len(text)
        if size > MAX_DOCUMENT:
            problem = f"{source.name} is one JSON object of more than {MAX_DOCUMENT:,} characters"
            raise DataError(f"{problem}; write an array of objects, or JSON Lines.")
    return "".join(parts)


def _elements(texts: Iterator[str], source: Source) -> Iterator[Any]:
    """The elements of an array that comes in pieces, one after the other."""
    text, at, number = next(texts), 1, 0
    while True:
        start = at
        at = SPACE.match(text, at).end()  # type: ignore[union-attr]
        end, problem, value = len(text), "the array is not closed", None
        if at < end and text[at] == "]":
            if text[at + 1 :].strip() or any(more.strip() for more in texts):
                raise source.error(f"row {number}", "something follows the array.")
            return
        if at < end:
            if text.count(",", start, at) != (number > 0):
                raise source.error(f"row {number + 1}", "expected one comma between two elements.")
            try:
                value, end = DECODER.raw_decode(text, at)
            except (ValueError, RecursionError) as error:  # perhaps it is cut off
                problem = f"not JSON ({_problem(error)})"
        if end < len(text):
            number, at = number + 1, end
            yield value
            continue
        more = next(texts, None)  # of a number, too, more may follow
        if more is None or len(text) - at > MAX_VALUE:
            raise source.error(f"row {number + 1}", f"{problem}.")
        text, at = text[start:] + more, 0


def _elements_of(document: Any, source: Source) -> Iterable[Any]:
    """The rows of a document, as objects, or as arrays of which the first is the header."""
    if isinstance(document, list):
        return document
    if isinstance(document, dict) and document:
        columns, rows, values = document.get("columns"), document.get("data"), [*document.values()]
        if isinstance(rows, list) and isinstance(columns, list):
            return chain([columns], rows)
        if isinstance(rows, list) and isinstance(document.get("schema"), dict):
            return rows
        splits = [SPLIT_OF.get(name.strip().lower()) for name in document]
        if all(splits):
            return chain.from_iterable(_of_split(name, part, source) for name, part in document.items())
        if any(splits):
            others = ", ".join(name for name, split in zip(document, splits, strict=True) if not split)
            raise DataError(f"{source.name} has splits, and the keys {others}; leave them out.")
        if all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
            return chain([[*document]], zip(*values, strict=True))
        if all(isinstance(value, dict) for value in values):
            if _are_columns([*document], source):
                return ({name: column.get(row) for name, column in document.items()} for row in values[0])
            return values
    raise DataError(f"{source.name} is JSON, but not a table; write an array of objects, or JSON Lines.")


def _are_columns(names: list[str], source: Source) -> bool:
    with suppress(DataError):
        quiet = Source(source.name, source.layout, Notes(), labelled=source.labelled)
        return bool(find_columns(Table(quiet, names, lambda needed: iter(()))))
    return False


def _of_split(split: str, part: Any, source: Source) -> Iterator[dict[str, Any]]:
    return ({**record, "split": split} for _, record in _records(_elements_of(part, source), source, f" of {split}"))


def _records(elements: Iterable[Any], source: Source, behind: str = "") -> Iterator[Record]:
    """Objects, also from arrays, the first of which has the names of the columns if they have names."""
    names: list[str] | None = None
    for number, element in enumerate(elements, 1):
        place = f"{number}{behind}" if behind else number
        if isinstance(element, list | tuple) and names is None:
            names = list(map(str, range(1, len(element) + 1) if source.layout.no_header else element))
            if not source.layout.no_header:
                continue
        if isinstance(element, dict):
            yield place, element
        elif isinstance(element, list | tuple) and names is not None and len(element) == len(names):
            yield place, dict(zip(names, element, strict=True))
        else:
            expected = f"an array of {len(names)} values" if names else "an object"
            source.skip(f"row {place}", f"expected {expected}.")


def _table(records: Iterator[Record], source: Source, unit: str, kind: str = "key") -> Table:
    """The table of these records; the first one decides which keys are text and label, all others may add keys."""
    first = next(records, None)
    header = [*first[1]] if first else []
    records = chain([first] if first else [], records)

    def rows() -> Iterator[Row]:
        known = set(header)
        for number, record in records:
            if not known.issuperset(record):
                header.extend(key for key in record if key not in known)
                known.update(record)
                if len(header) > MAX_COLUMNS:
                    raise table.error(number, f"has the {MAX_COLUMNS:,}th key; is it a table?")
            yield number, [record.get(key) for key in header]

    def sample() -> list[list[Any]]:
        return [list(record.values()) for _, record in islice(records, SAMPLE)]

    table = Table(source, header, lambda needed: rows(), unit, kind, sample)
    return table
