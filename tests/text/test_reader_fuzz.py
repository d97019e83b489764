"""Mutated tables, JSON files, archives and binary tables: a named error or a reading, never anything else."""

import bz2
import gzip
import io
import json
import random
import tarfile
import zipfile
from importlib import import_module

import pytest
from test_readers import zipped

from mlcore.errors import DataError
from mlcore.text.layout import Layout
from mlcore.text.readers import read_examples, read_tables
from mlcore.text.table import Notes

RECORDS = [{"text": f'good "film" {i}, é', "label": "pos" if i % 2 else "neg", "split": "train"} for i in range(12)]
COLUMNS = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
PIECES = [
    *(bytes([sign]) for sign in b'"\n\t,;[]{}\0\xff\r'), b"\xff\xfe", b"\xef\xbb\xbf", b"1" * 5_000, b"[" * 1_000,
    b"null", b"NaN", b"__label__", b"sep=;\n", b"test", b"PK\3\4", b"\\ud800", b'{"a":',
]  # fmt: skip


def tar(name, **options):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for i, record in enumerate(RECORDS):
            member = tarfile.TarInfo(f"{name}/{record['label']}/{i}.txt")
            member.size = len(record["text"].encode())
            archive.addfile(member, io.BytesIO(record["text"].encode()))
    return buffer.getvalue()


def seeds():
    """A valid file of each kind."""
    rows = [[*RECORDS[0]], *([*record.values()] for record in RECORDS)]
    quoted = [['"' + value.replace('"', '""') + '"' for value in row] for row in rows]
    table = "\n".join(",".join(row) for row in quoted).encode()
    folder = {f"{record['label']}/{i}": record["text"] for i, record in enumerate(RECORDS)}
    contents = {
        "table.csv": table, "a.tsv": "\n".join("\t".join(row) for row in rows).encode(),
        "quoted.tsv": "\n".join("\t".join(row) for row in quoted).encode(),
        "utf16.csv": "\n".join(";".join(row) for row in quoted).encode("utf-16"),
        "records.json": json.dumps(RECORDS).encode(), "columns.json": json.dumps(COLUMNS).encode(),
        "split.json": json.dumps({"columns": rows[0], "data": rows[1:]}).encode(),
        "values.json": json.dumps(rows).encode(), "splits.json": json.dumps({"train": RECORDS, "test": rows}).encode(),
        "index.json": json.dumps(dict(enumerate(RECORDS))).encode(),
        "titles.csv": b"Survey;;\n" + table.replace(b",", b"; ").replace(b'""', b'\\"'),
        "nested.json": json.dumps({"made": {"rows": RECORDS}, "by": "x"}).encode(),
        "a.jsonl": "\n".join(map(json.dumps, RECORDS)).encode(),
        "fast.txt": "\n".join(f"__label__{record['label']} {record['text']}" for record in RECORDS).encode(),
        "a.tar": tar("x"), "pax.tar": tar("é" * 60, format=tarfile.PAX_FORMAT), "gnu.tar": tar("x" * 200),
        "a.csv.gz": gzip.compress(table), "a.csv.bz2": bz2.compress(table),
        "one.zip": zipped({"a.csv": table}),
        "stored.zip": zipped(folder, zipfile.ZIP_STORED), "lzma.zip": zipped(folder, zipfile.ZIP_LZMA),
    }  # fmt: skip
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        return contents
    found, buffers = arrow.table(COLUMNS), [io.BytesIO() for _ in range(3)]
    parquet.write_table(found, buffers[0])
    for buffer, new in zip(buffers[1:], (arrow.ipc.new_file, arrow.ipc.new_stream), strict=True):
        with new(buffer, found.schema) as writer:
            writer.write_table(found)
    names = "a.parquet", "a.arrow", "a.arrows"
    return contents | dict(zip(names, (buffer.getvalue() for buffer in buffers), strict=True))


def mutated(content, chance):
    """One to three places cut, overwritten, or with something put between; sometimes all from there on is gone."""
    for _ in range(chance.randrange(1, 4)):
        at, length = chance.randrange(len(content) + 1), chance.choice((1, 2, 8, 100))
        flipped = bytes(byte ^ 1 << chance.randrange(8) for byte in content[at : at + 1])
        new = chance.choice([b"", flipped, chance.choice(PIECES), content[at : at + length], chance.randbytes(length)])
        content = content[:at] + new + content[at + chance.choice((0, len(new), length, len(content))) :]
    return content


def run(path, chance):
    """Read it in one of the ways that there are."""
    notes, layout = Notes(), Layout(
        lenient=chance.random() < 0.3, skip_bad_rows=chance.random() < 0.3, no_header=chance.random() < 0.1,
        encoding=chance.choice([None] * 8 + ["cp1252", "utf-16"]),
        format=chance.choice([None] * 8 + ["csv", "tsv", "json", "jsonl", "fasttext"]),
    )  # fmt: skip
    if chance.random() < 0.7:
        return [example.text for example in read_examples(path, layout, notes=notes)]
    return [row for table in read_tables(path, layout, notes, labelled=False) for row in table.texts()]


def campaign(folder, number, seed):
    kinds = seeds()
    for name, content in kinds.items():
        path = folder / name
        path.write_bytes(content)
        assert len(list(read_examples(path))) == len(RECORDS) * (2 if name == "splits.json" else 1), name
    for i in range(number):
        chance = random.Random(f"{seed} {i}")
        name = chance.choice([*kinds])
        path = folder / name
        path.write_bytes(mutated(kinds[name], chance))
        error = None
        try:
            run(path, chance)
        except Exception as caught:
            error = caught
        assert error is None or (isinstance(error, DataError) and str(path) in str(error)), (i, name, error)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("number", "seed"), [(800, "short"), pytest.param(200_000, "long", marks=pytest.mark.full)])
def test_mutated_files(tmp_path, number, seed):
    campaign(tmp_path, number, seed)
