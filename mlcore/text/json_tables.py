"""JSON Lines, and JSON documents: arrays of objects or of arrays, and the other layouts that pandas writes."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from mlcore.errors import DataError, counted
from mlcore.text.table import SPLIT_OF, Row, Source, Table, has_columns

MAX_DOCUMENT = 500_000_000  # bytes: it has to be in memory as a whole
MAX_REPEATED = 100  # values beside the columns of an object, which are values of all rows
MAX_DEPTH = 500  # of objects in one another whose values become columns
DECODER = json.JSONDecoder(parse_constant=lambda constant: None)  # NaN, which JSON does not have, is a missing value
TOO_DEEP = "it is nested too deeply, or a number is too long"  # of which Python says nothing about JSON
WHITE_SPACE = re.compile(r"\s*")
CONVERSATIONS = ("role", "content"), ("from", "value")  # the keys of who says what
FIRST_VALUE = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*(.)', re.DOTALL)

Record = tuple[int | str, Mapping[str, Any]]  # the number of its line or row, and its values


def is_json_lines(head: str) -> bool:
    """Whether text that begins with a brace has an object in each line, rather than being one object."""
    line, ended, rest = head.lstrip().partition("\n")
    rest = rest.lstrip("\ufeff\x1e \t\r\n")
    try:
        DECODER.decode(line)
    except (ValueError, RecursionError):  # cut off, or spread over several lines
        first = FIRST_VALUE.match(head)
        return (not ended or rest.startswith("{")) and (first is None or first[1] not in "[{")
    return bool(rest)


def read_json_lines(lines: Iterator[str], source: Source) -> Table:
    """One object in each line, or such as have the rows in them."""
    records = _objects(lines, source)
    first = [*islice(records, 1)]
    records = chain(first, records)
    if not first or has_columns(first[0][1], source) or not any(_lists_in(first[0][1], source)):
        return _table(records, source)
    source.unit = "row "
    elements = chain.from_iterable(_elements_of(record, source) for _, record in records)
    return _table(_records(elements, source), source)


def _objects(lines: Iterator[str], source: Source) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record, end = DECODER.raw_decode(line) if line[0] == "{" else (None, 0)
            if end < len(line):  # white space around it, a comma behind it, or not an object; slower
                record = DECODER.decode(line.strip("\ufeff\x1e \t\r").removesuffix(","))
        except (ValueError, RecursionError) as error:
            problem = f"not a JSON object ({getattr(error, 'msg', TOO_DEEP)})."
            source.skip(number, problem, str(getattr(error, "colno", "")))
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            source.skip(number, f"not a JSON object, but a {type(record).__name__}.")


def read_json(pieces: Iterable[bytes], source: Source) -> Table:
    """An array of objects or of arrays, or an object in one of the layouts that pandas writes, as a whole.

    These are ``records``, ``columns``, ``split``, ``index``, ``table`` and ``values``; or the object has an array, or
    such an object, for each split.
    """
    content, size, source.unit = list[bytes](), 0, "row "
    for piece in pieces:
        content.append(piece)
        size += len(piece)
        if size > MAX_DOCUMENT:
            problem = f"{source.name} is one JSON document of more than {MAX_DOCUMENT:,} bytes"
            raise DataError(f"{problem}; write JSON Lines, with an object in each line.")
    try:
        document = _document(source.decoded(b"".join(content)))
        elements = iter(_elements_of(document, source))
    except MemoryError as error:
        problem = f"{source.name} is one JSON document of {size:,} bytes, too large for the memory of this machine"
        raise DataError(f"{problem}; write JSON Lines, with an object in each line.") from error
    except (ValueError, RecursionError) as error:
        where, problem = f"line {getattr(error, 'lineno', 1)}", f"not JSON ({getattr(error, 'msg', TOO_DEEP)})."
        raise source.error(where, problem, str(getattr(error, "colno", ""))) from error
    first = [*islice(elements, 1)]
    parts = [first, *document.values()] if isinstance(document, dict) else [first]  # where there are splits, of each
    arrays = any(isinstance(part, list) and part and isinstance(part[0], list | tuple) for part in parts)
    return _table(_records(chain(first, elements), source), source, "column" if arrays else "key")


def _document(text: str) -> Any:
    """The value in a text, or an array of the objects, or of the rows, that are one behind the other in it."""
    values, start = list[Any](), WHITE_SPACE.match(text).end()  # type: ignore[union-attr]
    while start < len(text) or not values:
        value, end = DECODER.raw_decode(text, start)
        if values and not (isinstance(value, dict | list) and isinstance(values[0], type(value))):
            raise json.JSONDecodeError("Extra data", text, start)
        values.append(value)
        start = WHITE_SPACE.match(text, end).end()  # type: ignore[union-attr]
    if len(values) == 1:
        return values[0]
    tables = all(isinstance(value, list) and value and isinstance(value[0], dict | list) for value in values)
    return [*chain.from_iterable(values)] if tables else values


def _elements_of(document: Any, source: Source) -> Iterable[Any]:
    """The rows of a document, as objects, or as arrays of which the first is the header."""
    if isinstance(document, list):
        return document
    if isinstance(document, dict) and document:
        columns, rows = document.get("columns"), document.get("data", document.get("rows"))
        values = [*document.values()]
        if isinstance(rows, list) and isinstance(columns, list):
            return chain([columns], rows)
        if isinstance(rows, list) and "schema" in document:
            return rows
        ends = {name: _split_of(re.split("[-_. ]", name.strip())[-1]) for name in document}
        splits = {name: end for name, end in ends.items() if end and isinstance(document[name], list | dict)}
        others = [name for name in document if name not in splits]
        has_texts = any(isinstance(value, list) and value and isinstance(value[0], str) for value in values)
        if any(map(_split_of, document)) or (not others and len({*splits.values()}) > 1 and not has_texts):
            if others:
                raise DataError(f"{source.name} has splits, and the keys {', '.join(others)}; leave them out.")
            if more := [name for name in splits if not _split_of(name)]:
                source.note_guess(f"the keys {', '.join(more)} are read as parts of the splits that they end with.")
            return (
                {**record, "split": splits[name]}
                for name, part in document.items()
                for _, record in _records(_elements_of(part, source), source, f" of {name}")
            )
        parts = [key for key, part in document.items() if isinstance(part, dict) and part and all(map(_split_of, part))]
        if len(parts) == 1:
            source.note_guess(f"the splits are those of the key {parts[0]!r}.")
            return _elements_of(document[parts[0]], source)
        if len(inner := [*_lists_in(document, source)]) == 1:
            source.note_guess(f"the rows are those of the key {inner[0][0]!r}.")
            return inner[0][1]
        is_named = has_columns(document, source)
        if not is_named and (rows := _by_label(document, source)):
            return rows
        lists = {key: value for key, value in document.items() if isinstance(value, list)}
        lengths = {*map(len, lists.values())}
        n_repeated, is_spoken = len(values) - len(lists), any(map(_by_speaker, values))
        is_table = len(lengths) == 1 and (not n_repeated or has_columns(lists, source)) and not is_spoken
        if is_table and n_repeated <= MAX_REPEATED:
            n = lengths.pop()  # as in pandas, what is not a list is the value of all rows
            whole = [value if isinstance(value, list) else [value] * n for value in values]
            return chain([[*document]], zip(*whole, strict=True))
        inner = [*_lists_in(document)]  # whose keys the message will name
        if not all(isinstance(value, list | dict) for value in values) or is_spoken:
            is_row = is_named or has_columns(_flat(document), source)
            return [document] if is_row or len(inner) != 1 else inner[0][1]
        if all(isinstance(value, dict) for value in values):
            if is_named:
                return ({name: column.get(row) for name, column in document.items()} for row in values[0])
            return values
        if len(inner) == 1:
            return inner[0][1]
    raise DataError(f"{source.name} is JSON, but not a table; write an array of objects, or JSON Lines.")


def _split_of(name: str) -> str:
    """The split that a key names, or nothing."""
    return SPLIT_OF.get(name.strip().lower(), "")


def _by_label(document: Mapping[str, Any], source: Source) -> list[dict[str, Any]]:
    """The rows of an object that has the label of each text, or lists of the texts of each label; else nothing."""
    values, rows, said = [*document.values()], list[dict[str, Any]](), ""
    if all(isinstance(value, list) and all(isinstance(text, str) for text in value) for value in values):
        repeats = any(5 * len({*value}) <= 4 * len(value) for value in values)  # as in a column of labels
        if len({*map(len, values)}) > 1 or not repeats:
            rows = [{"text": text, "label": label} for label, texts in document.items() for text in texts]
            said = "the keys are the labels of the texts in their lists"
    elif not any(isinstance(value, list | dict) for value in values) and 2 * len({*map(str, values)}) <= len(values):
        rows = [{"text": text, "label": label} for text, label in document.items()]
        said = "the keys are the texts, and the values their labels"
    if rows:
        source.note_guess(f"{said}.")
    return rows


def _lists_in(
    document: Mapping[str, Any], source: Source | None = None, depth: int = 2
) -> Iterator[tuple[str, list[Any]]]:
    """Keys and lists of objects, with the columns that a source needs, in the document or in objects in it."""
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and not _by_speaker(value):
            if not source or has_columns(value[0], source) or has_columns(_flat(value[0]), source):
                yield key, value
        elif isinstance(value, dict) and depth > 1:
            yield from _lists_in(value, source, depth - 1)


def _records(elements: Iterable[Any], source: Source, behind: str = "") -> Iterator[Record]:
    """Objects, also from texts with an object, or from arrays, of which the first has the names if there are some."""
    names: list[str] | None = None
    for number, element in enumerate(elements, 1):
        place = f"{number}{behind}" if behind else number
        if isinstance(element, list) and [*map(type, element)] == [str, dict]:  # as spaCy has them
            element = {"text": element[0]} | element[1]
        if isinstance(element, list | tuple) and names is None:
            names = list(map(str, range(1, len(element) + 1) if source.layout.no_header else element))
            if not source.layout.no_header:
                continue
        if isinstance(element, dict):
            yield place, element
        elif isinstance(element, str) and not source.labelled:
            yield place, {"text": element}
        elif isinstance(element, list | tuple) and names is not None and len(element) == len(names):
            yield place, dict(zip(names, element, strict=True))
        else:
            expected = f"an array of {counted(len(names), 'value')}" if names else "an object with a text and its label"
            source.skip(place, f"expected {expected}.")


def _flat(record: Mapping[str, Any], depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The record with the values of objects in it, also those alone in a list, as its own; their keys are paths.

    Objects that are more than ``depth`` levels deep stay values.
    """
    found = dict[str, Any]()
    for key, value in record.items():
        inner = _by_speaker(value) or (value[0] if isinstance(value, list) and len(value) == 1 else value)
        if inner and isinstance(inner, dict) and depth:
            found |= {f"{key}.{path}": one for path, one in _flat(inner, depth - 1).items()}
        else:
            found[key] = value
    return found


def _by_speaker(messages: Any) -> dict[str, Any]:
    """The last message of each speaker in a conversation, as chat models are tuned with; else nothing."""
    for speaker, message in CONVERSATIONS if isinstance(messages, list) else ():
        if all(isinstance(turn, dict) and {speaker, message} <= turn.keys() for turn in messages):
            return {str(turn[speaker]): turn[message] for turn in messages}
    return {}


def _table(records: Iterator[Record], source: Source, kind: str = "key") -> Table:
    """The table of these records; the first one decides which keys are text and label, all others may add keys."""
    first = [*islice(records, 1)]
    values, scores = first[0][1] if first else {}, {int, float, bool}  # of labels, which one column may have
    whole = [key for key, value in values.items() if type(value) is not dict or {*map(type, value.values())} <= scores]
    if first and not has_columns(whole, source) and (paths := {*_flat(values)} - {*values}):
        source.note_guess(f"nested keys are columns, such as {min(paths)!r}.")
        records = ((place, _flat(record)) for place, record in chain(first, records))
        first = [*islice(records, 1)]
    header = [*first[0][1]] if first else []

    def rows() -> Iterator[Row]:
        known, kept = set(header), " (kept with the label column 'answer')"
        left_out = ("ignore",) if source.layout.label_column == "answer" else ("ignore", "reject")
        for number, record in chain(first, records):
            if source.labelled and "_input_hash" in record and (answer := record.get("answer")) in left_out:
                source.note_skipped(f"rows answered with {answer} in Prodigy{kept * (answer == 'reject')}")
                continue
            if not known.issuperset(record):
                header.extend(key for key in record if key not in known)
                known.update(record)
                table.check_width()
            yield number, [record.get(key) for key in header]

    table = Table(source, header, rows(), kind)
    return table
