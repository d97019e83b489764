"""Predictions for the rows of a table, written as a table with all of its columns and the predictions beside them."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from mlcore.errors import DataError, InputError
from mlcore.results import Result
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import answer_columns, predict
from mlcore.text.pool import in_order
from mlcore.text.streams import optional
from mlcore.text.table import Row, Table

AT_ONCE = 1 << 12  # rows
DIGITS = 6  # of probabilities and shares
SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
FORMULA = frozenset("=+-@\t\r")  # how cells begin that spreadsheets would run
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


def check_suffix(path: Path) -> None:
    """Raises: InputError if the name does not tell in which format to write."""
    if path.suffix.lower() not in (*SEPARATORS, *JSON_LINES, PARQUET):
        expected = "expected a name that ends with .csv, .tsv, .jsonl or .parquet"
        raise InputError(expected, parameter="output", value=str(path))


def predict_table(
    model: Model,
    table: Table,
    path: Path,
    file: BinaryIO,
    answers: Answers,
    threads: int = 1,
    progress: Callable[[int], None] = lambda rows: None,
) -> PredictedTable:
    """Write the rows of a table, in order, with predictions, in the format that the suffix of ``path`` names.

    Few rows are in memory at a time. A column that is called as one of the predictions' keeps its name, and theirs
    begins with ``mlcore_``.

    Raises: DataError if the table cannot be read or written; InputError; ModelFileError if outputs are not finite.
    """
    new_names, rows = answers.columns(model.labels), table.texts(table.columns())
    first = list(islice(rows, AT_ONCE))  # JSON may have more keys in them than in the first row
    names = [f"mlcore_{name}" if name in table.header else name for name in new_names]
    found = PredictedTable(str(path), names)
    writer = _writer(path.suffix.lower(), file, table, names, not model.labels)

    def work(batch: list[tuple[Row, str | None]]) -> tuple[list[tuple[Row, str | None]], list[list[Any]], Any]:
        texts = [text for _, text in batch]
        new = answer_columns(answers, predict(model, [text or "" for text in texts]))
        if None in texts:
            new = [[value if text is not None else None for value, text in zip(c, texts, strict=True)] for c in new]
        rounded = [[round(v, DIGITS) if isinstance(v, float) else v for v in column] for column in new]
        return batch, new, writer.format([row for row, _ in batch], rounded)

    batches = chain([first] if first else [], iter(lambda: list(islice(rows, AT_ONCE)), []))
    for batch, new, written in in_order(work, batches, threads):
        writer.write(written)
        found.rows += len(batch)
        found.without_text += sum(text is None for _, text in batch)
        if answers.threshold is not None:
            found.doubtful += sum(p is not None and p < answers.threshold for p in new[1])
        progress(found.rows)
    writer.close()
    found.made_safe = writer.made_safe
    return found


class _Writer:
    """Writes batches of rows with predictions; ``format`` is called by several threads."""

    made_safe = 0

    def __init__(self, file: BinaryIO, table: Table, names: list[str]) -> None:
        self.file, self.table, self.names, self.width = file, table, names, len(table.header)

    def format(self, rows: Sequence[Row], new: list[list[Any]]) -> Any:
        raise NotImplementedError

    def write(self, formatted: Any) -> None:
        self.file.write(formatted)

    def close(self) -> None:
        """Write what comes last."""

    def complete(self, rows: Sequence[Row]) -> Iterator[list[Any]]:
        """The values of all columns of the header that has been written."""
        for place, row in rows:
            if len(row) > self.width:
                problem = (
                    f"the {self.table.kind} {self.table.header[self.width]!r} is not in the first {AT_ONCE:,} rows"
                )
                raise self.table.error(place, f"{problem}; write JSON Lines (.jsonl) instead.")
            yield [*row, *[None] * (self.width - len(row))]


class _Delimited(_Writer):
    """CSV or TSV, with quotes where they are needed. What spreadsheets would run gets an apostrophe before it."""

    def __init__(self, file: BinaryIO, table: Table, names: list[str], separator: str) -> None:
        super().__init__(file, table, names)
        self.separator = separator
        self.write(self._lines([[*table.header, *names]]))

    def format(self, rows: Sequence[Row], new: list[list[Any]]) -> tuple[bytes, int]:
        return self._lines([*row, *values] for row, *values in zip(self.complete(rows), *new, strict=True))

    def write(self, formatted: tuple[bytes, int]) -> None:
        self.file.write(formatted[0])
        self.made_safe += formatted[1]

    def _lines(self, rows: Iterable[Sequence[Any]]) -> tuple[bytes, int]:
        """The rows, and how many cells were made safe."""
        text, made_safe = io.StringIO(), 0
        writer = csv.writer(text, delimiter=self.separator, lineterminator="\n")
        for row in rows:
            cells = [json.dumps(cell, default=str) if isinstance(cell, list | dict | tuple) else cell for cell in row]
            for i, cell in enumerate(cells):
                if type(cell) is str and cell[:1] in FORMULA and not NUMBER.fullmatch(cell):
                    cells[i] = f"'{cell}"
                    made_safe += 1
            writer.writerow(cells)
        return text.getvalue().encode(errors="replace"), made_safe


class _JsonLines(_Writer):
    def format(self, rows: Sequence[Row], new: list[list[Any]]) -> bytes:
        header, lines = self.table.header, []
        for (_, row), *values in zip(rows, *new, strict=True):
            entry = dict(zip(header, row, strict=False)) | dict(zip(self.names, values, strict=True))
            plain = {name: None if value != value else value for name, value in entry.items()}  # JSON has no NaN
            lines.append(json.dumps(plain, default=str, ensure_ascii=False) + "\n")
        return "".join(lines).encode(errors="replace")


class _Parquet(_Writer):
    """Parquet with the types of the table, or else those of its first rows."""

    def __init__(self, file: BinaryIO, table: Table, names: list[str], ratings: bool) -> None:
        super().__init__(file, table, names)
        self.arrow = optional("pyarrow", "parquet", "Writing Parquet")
        self.parquet = optional("pyarrow.parquet", "parquet", "Writing Parquet")
        kinds = dict.fromkeys(names, "float64") | {name: "string" for name in names if "predicted" in name}
        added = [(name, "float64" if ratings else kind) for name, kind in kinds.items()]
        self.added = [self.arrow.field(name, getattr(self.arrow, kind)()) for name, kind in added]
        self.schema, self.writer = table.schema, cast(Any, None)

    def format(self, rows: Sequence[Row], new: list[list[Any]]) -> tuple[list[Any], list[list[Any]]]:
        return [*self.complete(rows)], new

    def write(self, formatted: tuple[list[Any], list[list[Any]]]) -> None:
        rows, new = formatted
        columns = [list(column) for column in zip(*rows, strict=True)]
        if self.writer is None:
            schema = self.schema or self.arrow.schema(list(map(self._field, self.table.header, columns)))
            for field in self.added:
                schema = schema.append(field)
            self.writer = self.parquet.ParquetWriter(self.file, schema)
        try:
            pairs = zip([*columns, *new], self.writer.schema, strict=True)
            arrays = [self.arrow.array(values, field.type) for values, field in pairs]
        except (self.arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            problem = f"its values have several types ({error}); write JSON Lines (.jsonl) instead"
            raise DataError(f"{self.table.source.name}: {problem}.") from error
        self.writer.write_table(self.arrow.Table.from_arrays(arrays, schema=self.writer.schema))

    def _field(self, name: str, values: list[Any]) -> Any:
        kind = self.arrow.infer_type(values)
        return self.arrow.field(name, self.arrow.string() if kind == self.arrow.null() else kind)

    def close(self) -> None:
        if self.writer is None:
            self.write(([], [[] for _ in self.added]))
        self.writer.close()


def _writer(suffix: str, file: BinaryIO, table: Table, names: list[str], ratings: bool) -> _Writer:
    if suffix in JSON_LINES:
        return _JsonLines(file, table, names)
    if suffix == PARQUET:
        return _Parquet(file, table, names, ratings)
    return _Delimited(file, table, names, SEPARATORS[suffix])
