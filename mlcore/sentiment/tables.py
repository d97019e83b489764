"""Predictions for the rows of a table, written as a table with all of its columns and the predictions beside them."""

import codecs
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mlcore.errors import DataError, InputError
from mlcore.results import Result
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.prediction import MAX_PROBABILITIES, Predictions, answer_columns
from mlcore.text.labels import DECIMAL_COMMA
from mlcore.text.pool import in_order
from mlcore.text.streams import SUFFIXES, optional
from mlcore.text.table import Row, Table

AT_ONCE = 1 << 12  # rows
DIGITS = 6  # of probabilities and shares
FORMULA = frozenset("=+-@\t\r")  # how cells begin that spreadsheets would run
DECIMAL_POINT = re.compile(r"\s*(?![+-]?[1-9]\d{0,2}\.\d{3}\s*$)[+-]?\d*\.\d+\s*")  # 1.234 may be a thousand
NUMBER = re.compile(r"[+-][\d.,\s]+(e[+-]?\d+)?%?", re.IGNORECASE)


@dataclass
class PredictedTable(Result):
    """What was written."""

    output: str
    columns: list[str]  # that were added
    rows: int = 0
    without_text: int = 0  # rows; their predictions are empty
    doubtful: int = 0  # rows below the threshold
    made_safe: int = 0  # cells that a spreadsheet would take for formulas
    notes: list[str] = field(default_factory=list)  # what was guessed and skipped in reading


def check_suffix(path: Path) -> None:
    """Raises: InputError if the name does not tell in which format to write."""
    if path.suffix.lower() not in WRITERS:
        expected = "expected a name that ends with .csv, .tsv, .jsonl or .parquet"
        raise InputError(expected, parameter="output", value=str(path))


def table_name(name: str) -> str:
    """A name for the predictions of a file: its own without that of a compression, or that of a table of JSON Lines."""
    name = name.removesuffix(next((suffix for suffix in SUFFIXES if name.endswith(suffix)), ""))
    return name if Path(name).suffix in WRITERS else f"{name}.jsonl"


def predict_table(
    predict: Callable[[list[str]], Predictions],
    table: Table,
    path: Path,
    file: BinaryIO,
    answers: Answers,
    threads: int = 1,
    progress: Callable[[int], None] = lambda rows: None,
) -> PredictedTable:
    """Write the rows of a table, in order, with predictions, in the format that the suffix of ``path`` names.

    Few rows are in memory at a time. A column of predictions whose name is taken, by one of the table or by another of
    them, gets ``mlcore_`` before it. ``predict`` is called for batches of texts, with one thread in their order.

    Raises: DataError if the table cannot be read or written; InputError; ModelFileError if outputs are not finite.
    """
    names, rows = dict[str, str](), table.texts()
    nothing = predict([])
    size = max(1, min(AT_ONCE, MAX_PROBABILITIES // max(len(nothing.labels), 1)))
    first = list(islice(rows, AT_ONCE))  # JSON may have more keys in them than in the first row
    for name in answer_columns(answers, nothing)[0]:
        kind = "string" if nothing.labels and name.startswith("predicted") else "float64"
        while name in table.header or name in names:
            name = f"mlcore_{name}"
        names[name] = kind
    found = PredictedTable(str(path), [*names])
    writer = WRITERS[path.suffix.lower()](file, table, names)
    writer.decimal_commas = _has_decimal_commas([row for row, _ in first])

    def work(batch: list[tuple[Row, str | None]]) -> tuple[int, int, int, Any]:
        texts = [text for _, text in batch]
        answered = predict([text or "" for text in texts])
        _, new = answer_columns(answers, answered, DIGITS, writer.lists)
        missing = [i for i, text in enumerate(texts) if text is None]
        for column in new:
            for i in missing:
                column[i] = None
        doubts = int((np.delete(answered.confidence, missing) < answers.threshold).sum()) if answers.threshold else 0
        return len(batch), len(missing), doubts, writer.format([row for row, _ in batch], new)

    rows = chain(first, rows)
    batches = iter(lambda: list(islice(rows, size)), [])
    for n, missing, doubtful, written in in_order(work, batches, threads):
        writer.write(written)
        found.rows += n
        found.without_text += missing
        found.doubtful += doubtful
        progress(found.rows)
    writer.close()
    found.made_safe, found.notes = writer.made_safe, table.source.notes.sentences()
    return found


def _has_decimal_commas(rows: Sequence[Row]) -> bool:
    """Whether more cells are numbers with a decimal comma than with a point."""
    cells = [cell for _, row in rows for cell in row if isinstance(cell, str)]
    return sum(map(bool, map(DECIMAL_COMMA.match, cells))) > sum(map(bool, map(DECIMAL_POINT.fullmatch, cells)))


class _Writer:
    """Writes batches of rows with predictions, whose columns have these names and types; several threads ``format``."""

    made_safe = 0  # cells
    grows = False  # whether there may be more columns than at the beginning
    lists = False  # whether a value may be a list
    decimal_commas = False  # whether numbers in text are written with them, as those of the table are

    def __init__(self, file: BinaryIO, table: Table, names: dict[str, str]) -> None:
        self.file, self.table, self.names, self.width = file, table, names, len(table.header)

    def format(self, rows: Sequence[Row], new: list[list[Any]]) -> Any:
        """What ``write`` takes: the content, and how many cells were made safe."""
        raise NotImplementedError

    def write(self, formatted: tuple[bytes, int]) -> None:
        self.file.write(formatted[0])
        self.made_safe += formatted[1]

    def close(self) -> None:
        """Write what comes last."""

    def columns(self, rows: Sequence[Row]) -> list[Sequence[Any]]:
        """The values of all columns of the table; a short row lacks the last ones."""
        widest = max(len(row) for _, row in rows)
        for i, name in enumerate(self.table.header[self.width : widest], self.width):
            if not self.grows or name in self.names:
                place = next(place for place, row in rows if len(row) > i)
                problem = f"the {self.table.kind} {name!r} is not in the first {AT_ONCE:,} rows"
                remedy = "a prediction has this name: rename it" if self.grows else "write JSON Lines (.jsonl) instead"
                raise self.table.source.error(f"{self.table.source.unit}{place}", f"{problem}; {remedy}.")
        columns: list[Sequence[Any]] = [*zip_longest(*(row for _, row in rows))]
        return columns + [[None] * len(rows)] * (self.width - widest)


class _Delimited(_Writer):
    """CSV or TSV, with quotes where they are needed. What spreadsheets would run gets an apostrophe before it.

    Where the table was such a file, the new one has its separator, if that is usual, and a byte order mark as Excel
    expects it, if that had one or was not in UTF-8. Numbers have decimal commas if most in the table do.
    """

    def __init__(self, file: BinaryIO, table: Table, names: dict[str, str], separators: str = ",;|") -> None:
        super().__init__(file, table, names)
        own = table.source.separator
        self.separator = own if own and own in separators else separators[0]
        if own and table.source.marked:
            file.write(codecs.BOM_UTF8)
        self.write(self._lines([[name] for name in (*table.header, *names)]))

    def format(self, rows: Sequence[Row], new: list[list[Any]]) -> tuple[bytes, int]:
        if self.decimal_commas and self.separator != ",":
            new = [[str(v).replace(".", ",") if isinstance(v, float) else v for v in column] for column in new]
        return self._lines([*self.columns(rows), *new])

    def _lines(self, columns: list[Sequence[Any]]) -> tuple[bytes, int]:
        made_safe = 0
        for i, column in enumerate(columns):
            if {*map(type, column)} & {list, dict, tuple}:
                column = [json.dumps(v, default=str) if isinstance(v, list | dict | tuple) else v for v in column]
            formulas = [j for j, v in enumerate(column) if type(v) is str and v[:1] in FORMULA]
            formulas = [j for j in formulas if not NUMBER.fullmatch(column[j])]
            if formulas:
                column, made_safe = list(column), made_safe + len(formulas)
                for j in formulas:
                    column[j] = f"'{column[j]}"
            columns[i] = _cells(column, self.separator)
        lines = map(self.separator.join, zip(*columns, strict=True))
        return b"\n".join([*(line.encode(errors="replace") for line in lines), b""]), made_safe


def _cells(column: Sequence[Any], separator: str) -> list[str]:
    """The values as ``csv.writer`` writes them, which takes ten times as long for long texts."""
    cells = ["" if value is None else str(value) for value in column]
    doubled = [cell.replace('"', '""') for cell in cells]
    return [
        f'"{new}"' if new != cell or separator in cell or "\n" in cell or "\r" in cell else cell
        for new, cell in zip(doubled, cells, strict=True)
    ]


class _JsonLines(_Writer):
    grows = lists = True

    def format(self, rows: Sequence[Row], new: list[list[Any]]) -> tuple[bytes, int]:
        columns = self.columns(rows)
        named = dict(zip((*self.table.header[: len(columns)], *self.names), (*columns, *new), strict=True))
        keys = [f"{_json(name)}: " for name in named]
        cells = [[key + _json(value) for value in column] for key, column in zip(keys, named.values(), strict=True)]
        lines = [f"{{{', '.join(row)}}}" for row in zip(*cells, strict=True)]
        return "\n".join([*lines, ""]).encode(errors="replace"), 0


_encode = json.JSONEncoder(default=str, ensure_ascii=False).encode


def _json(value: Any) -> str:
    """A value as JSON, which has no NaN; the usual ones without the encoder, which takes several times as long."""
    kind = type(value)
    if kind is str and value.isprintable():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if kind is int or kind is float and math.isfinite(value):
        return repr(value)
    return "null" if kind is float and value != value else _encode(value)


class _Parquet(_Writer):
    """Parquet with the types of the table, or else those of its first rows."""

    def __init__(self, file: BinaryIO, table: Table, names: dict[str, str]) -> None:
        super().__init__(file, table, names)
        self.arrow = optional("pyarrow", "parquet", "Writing Parquet")
        self.parquet = optional("pyarrow.parquet", "parquet", "Writing Parquet")
        self.writer: Any = None

    def format(self, rows: Sequence[Row], new: list[list[Any]]) -> list[Sequence[Any]]:
        return [*self.columns(rows), *new]

    def write(self, formatted: Any) -> None:
        if self.writer is None:
            schema = self.table.schema or self.arrow.schema(list(map(self._field, self.table.header, formatted)))
            for name, kind in self.names.items():
                schema = schema.append(self.arrow.field(name, kind))
            self.writer = self.parquet.ParquetWriter(self.file, schema)
        try:
            pairs = zip(formatted, self.writer.schema, strict=True)
            arrays = [self.arrow.array(values, field.type) for values, field in pairs]
        except (self.arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            problem = f"its values have several types ({error}); write JSON Lines (.jsonl) instead"
            raise DataError(f"{self.table.source.name}: {problem}.") from error
        self.writer.write_table(self.arrow.Table.from_arrays(arrays, schema=self.writer.schema))

    def _field(self, name: str, values: Sequence[Any]) -> Any:
        kind = self.arrow.infer_type(values)
        return self.arrow.field(name, self.arrow.string() if kind == self.arrow.null() else kind)

    def close(self) -> None:
        if self.writer is None:
            self.write([[] for _ in (*self.table.header, *self.names)])
        self.writer.close()


WRITERS: dict[str, Callable[[BinaryIO, Table, dict[str, str]], _Writer]] = {
    ".csv": _Delimited, ".tsv": partial(_Delimited, separators="\t"), ".jsonl": _JsonLines, ".ndjson": _JsonLines,
    ".parquet": _Parquet,
}  # fmt: skip
