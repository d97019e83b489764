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


def packed(compression, **contents):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def seeds():
    """A valid file of each kind."""
    rows = [[*RECORDS[0]], *([*record.values()] for record in RECORDS)]
    quoted = [['"' + value.replace('"', '""') + '"' for value in row] for row in rows]
    table = "\n".join(",".join(row) for row in quoted).encode()
    contents = {
        "table.csv": table, "a.tsv": "\n".join("\t".join(row) for row in rows).encode(),
        "quoted.tsv": "\n".join("\t".join(row) for row in quoted).encode(),
        "utf16.csv": "\n".join(";".join(row) for row in quoted).encode("utf-16"),
        "records.json": json.dumps(RECORDS).encode(), "columns.json": json.dumps(COLUMNS).encode(),
        "split.json": json.dumps({"columns": rows[0], "data": rows[1:]}).encode(),
        "values.json": json.dumps(rows).encode(), "splits.json": json.dumps({"train": RECORDS, "test": rows}).encode(),
        "index.json": json.dumps(dict(enumerate(RECORDS))).encode(),
        "a.jsonl": "\n".join(map(json.dumps, RECORDS)).encode(),
        "fast.txt": "\n".join(f"__label__{record['label']} {record['text']}" for record in RECORDS).encode(),
        "a.tar": tar("x"), "pax.tar": tar("é" * 60, format=tarfile.PAX_FORMAT), "gnu.tar": tar("x" * 200),
        "a.csv.gz": gzip.compress(table), "a.csv.bz2": bz2.compress(table),
        "one.zip": packed(zipfile.ZIP_DEFLATED, **{"a.csv": table}),
        "folder.zip": packed(zipfile.ZIP_STORED, **{f"{r['label']}/{i}": r["text"] for i, r in enumerate(RECORDS)}),
        "lzma.zip": packed(zipfile.ZIP_LZMA, **{f"{r['label']}/{i}": r["text"] for i, r in enumerate(RECORDS)}),
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
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, kind = chance.randrange(len(content) + 1), chance.randrange(6)
        length = chance.choice((1, 2, 8, 100))
        if kind == 0 and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[at : at + length] = b""
        elif kind == 2:
            content[at:at] = chance.choice(PIECES)
        elif kind == 3:
            content[at:at] = content[at : at + length]
        elif kind == 4:
            content[at : at + length] = bytes(chance.randrange(256) for _ in range(length))
        else:
            del content[at if chance.randrange(4) == 0 else len(content) :]
    return bytes(content)


def run(path, chance):
    """Read it in one of the ways that there are."""
    notes = Notes(lenient=chance.random() < 0.3)
    layout = Layout(
        skip_bad_rows=chance.random() < 0.3,
        no_header=chance.random() < 0.1,
        encoding=chance.choice([None] * 8 + ["cp1252", "utf-16"]),
        text_column=["text"] if chance.random() < 0.2 else None,
        format=chance.choice([None] * 8 + ["csv", "tsv", "json", "jsonl", "fasttext"]),
    )
    if chance.random() < 0.7:
        return [example.text for example in read_examples(path, layout, notes=notes)]
    return [row for table in read_tables(path, layout, notes, labelled=False) for row in table.texts(table.columns())]


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
def test_mutated_files(tmp_path):
    campaign(tmp_path, 800, "short")


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_many_mutated_files(tmp_path):
    campaign(tmp_path, 200_000, "long")
