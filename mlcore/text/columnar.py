"""Parquet and Arrow files (Feather 2 is one), by pyarrow: read by batches, and only the columns that are needed."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import IO, Any

from mlcore.errors import DataError
from mlcore.text.streams import optional
from mlcore.text.table import Row, Source, Table

BATCH = 1 << 12  # rows
MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}  # the last one is an Arrow stream


def read_columnar(file: IO[bytes], format: str, source: Source) -> Table:
    """The table in a Parquet or Arrow file.

    Raises: DataError if pyarrow is not installed, or the file is damaged.
    """
    arrow = optional("pyarrow", "parquet", f"{source.name} is a {format.title()} file; reading it")
    with _errors(source, arrow):
        if format == "parquet":
            parquet = optional("pyarrow.parquet", "parquet", "Reading Parquet")
            schema = parquet.ParquetFile(file).schema_arrow
        else:
            schema = _open_arrow(arrow, file).schema
    header = [str(name) for name in schema.names]

    def rows(needed: Collection[int] | None) -> Iterator[Row]:
        chosen = range(len(header)) if needed is None else sorted(needed)
        names, before = [header[i] for i in chosen], 0
        with file, _errors(source, arrow):
            file.seek(0)
            for batch in (
                parquet.ParquetFile(file).iter_batches(BATCH, columns=names)
                if format == "parquet"
                else _arrow_batches(arrow, file)
            ):
                batch.validate(full=True)  # pyarrow itself would read beyond the end of a damaged one
                found = {i: batch.column(header[i]).to_pylist() for i in chosen}
                columns: list[Any] = [found.get(i, repeat(None)) for i in range(len(header))]
                yield from enumerate(zip(*columns, strict=False), before + 1)
                before += batch.num_rows

    return Table(source, header, rows, "row ", schema=schema)


def _open_arrow(arrow: Any, file: IO[bytes]) -> Any:
    start = file.read(6)
    file.seek(0)
    return arrow.ipc.open_file(file) if start == b"ARROW1" else arrow.ipc.open_stream(file)


def _arrow_batches(arrow: Any, file: IO[bytes]) -> Iterator[Any]:
    reader = _open_arrow(arrow, file)
    if hasattr(reader, "num_record_batches"):
        return map(reader.get_batch, range(reader.num_record_batches))
    return iter(reader)


@contextmanager
def _errors(source: Source, arrow: Any) -> Iterator[None]:
    """Turn what pyarrow raises for a bad file into DataError."""
    try:
        yield
    except (arrow.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        message = str(error).partition("\n")[0]
        raise DataError(f"{source.name} cannot be read by pyarrow ({message}).") from error
