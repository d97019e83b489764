"""Parquet and Arrow files (Feather 2 is one), by pyarrow: read by batches, and only the columns that are needed."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from typing import IO, Any

from mlcore.text.streams import damage, optional
from mlcore.text.table import Row, Source, Table

BATCH = 1 << 12  # rows
MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow"}  # the last one is an Arrow stream


def read_columnar(file: IO[bytes], format: str, source: Source) -> Table:
    """The table in a Parquet or Arrow file.

    Raises: DataError if pyarrow is not installed, or the file is damaged.
    """
    arrow = optional("pyarrow", "parquet", f"{source.name} is a {format.title()} file; reading it")
    reading = partial(damage, source.name, "cannot be read by pyarrow", "fetch it again, or save it as CSV")
    with reading():
        schema, batches = _open(arrow, file, format)
        header = [str(name) for name in schema.names]  # which a damaged file may not have in UTF-8
    source.unit = "row "

    def rows() -> Iterator[Row]:
        chosen = range(len(header)) if table.needed is None else sorted(table.needed)
        before = 0
        with file, reading():
            for batch in batches([header[i] for i in chosen]):
                batch.validate(full=True)  # pyarrow itself would read beyond the end of a damaged one
                found = {i: batch.column(header[i]).to_pylist() for i in chosen}
                columns: list[Any] = [found.get(i, repeat(None)) for i in range(len(header))]
                yield from enumerate(zip(*columns, strict=False), before + 1)
                before += batch.num_rows

    table = Table(source, header, rows(), schema=schema)
    return table


def _open(arrow: Any, file: IO[bytes], format: str) -> tuple[Any, Callable[[list[str]], Iterable[Any]]]:
    """The schema, and a function that gives batches with the columns of these names, or with all."""
    if format == "parquet":
        table = optional("pyarrow.parquet", "parquet", "Reading Parquet").ParquetFile(file)
        return table.schema_arrow, lambda names: table.iter_batches(BATCH, columns=names)
    start = file.read(6)
    file.seek(0)
    if start != b"ARROW1":
        stream = arrow.ipc.open_stream(file)
        return stream.schema, lambda names: stream
    reader = arrow.ipc.open_file(file)
    return reader.schema, lambda names: map(reader.get_batch, range(reader.num_record_batches))
