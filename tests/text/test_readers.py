"""Every format gives the same texts; what is wrong is named with its file and line."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import sys
import tarfile
import tracemalloc
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from mlcore.errors import DataError
from mlcore.text import delimited, folders, json_tables, readers, streams
from mlcore.text.layout import Layout
from mlcore.text.readers import read_examples
from mlcore.text.table import Notes

CONTENTS = {
    "csv": 'text,label\r\n"Good, ""very"" good",pos\r\nBad or worse,neg\r\n',
    "jsonl": '{"label": "pos", "text": "Good, \\"very\\" good"}\n{"label": "neg", "text": "Bad or worse"}\n',
    "fasttext": '__label__pos Good, "very" good\n__label__neg Bad or worse\n',
    "tsv": 'text\tlabel\nGood, "very" good\tpos\nBad or worse\tneg\n',
}
EXPECTED = [("pos", 'Good, "very" good'), ("neg", "Bad or worse")]
COMPRESSORS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
IMDB = ["train/pos/1_9.txt", "train/neg/2_1.txt", "test/neg/0_2.txt", "train/unsup/0_0.txt", "train/pos/notes.md"]
IMDB_ROWS = [
    ("neg", "test/neg/0_2.txt", "test"),
    ("neg", "train/neg/2_1.txt", "train"),
    ("pos", "train/pos/1_9.txt", "train"),
]


def write(path, content):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path, **layout):
    return [(label, text, split) for text, label, split, *_ in read_examples(path, Layout(**layout))]


def texts_at(folder, *names):
    """Folder with a text at each path, which consists of that path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def tar(folder):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, ".")
    return buffer.getvalue()


def zipped(contents, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def give_standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("suffix", COMPRESSORS)
@pytest.mark.parametrize("format", CONTENTS)
def test_every_format_with_every_compression(tmp_path, monkeypatch, format, suffix):
    """By its name, by its content alone whatever the name says, when told, and from standard input."""
    packed, read_pieces = COMPRESSORS[suffix](CONTENTS[format].encode()), streams.read_pieces
    plain_name = "a.txt" if format == "fasttext" else f"a.{format}"
    give_standard_input(monkeypatch, packed)
    for path, told in (
        (write(tmp_path / (plain_name + suffix), packed), None),
        (write(tmp_path / plain_name, packed), None),
        (write(tmp_path / "anything", COMPRESSORS[suffix](b"\xef\xbb\xbf" + CONTENTS[format].encode())), None),
        (write(tmp_path / "misleading.tgz", packed), format),
        (Path("-"), None),
    ):
        assert [(label, text) for label, text, _ in rows(path, format=told)] == EXPECTED
    for size in (1, 3, 50):
        monkeypatch.setattr(streams, "read_pieces", lambda *given, size=size: read_pieces(*given, size))
        monkeypatch.setattr(readers, "HEAD", max(size, 20))
        examples = list(read_examples(tmp_path / "anything", Layout(format=format)))
        assert [(example.label, example.text) for example in examples] == EXPECTED


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.tar.bz2", "a", "-"])
@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_archives_with_every_compression(tmp_path, monkeypatch, name, suffix):
    folder = texts_at(tmp_path / "aclImdb", *IMDB)
    packed = COMPRESSORS[suffix](tar(folder))
    give_standard_input(monkeypatch, packed)
    assert rows(Path("-") if name == "-" else write(tmp_path / name, packed)) == rows(folder) == IMDB_ROWS


def test_several_paths_are_read_in_order_and_places_name_the_file(tmp_path, monkeypatch):
    folder = texts_at(tmp_path / "folder", "x/1.txt")
    archive = write(tmp_path / "a.tar", tar(folder))
    table = write(tmp_path / "a.csv", 'text,label\n"a\nb",pos\nc,pos\n')
    give_standard_input(monkeypatch, b"__label__neg b\n")
    places = [example.place for example in read_examples([table, Path("-"), folder, archive])]
    assert places == [f"{table}, line 2", f"{table}, line 4", "standard input, line 1", str(folder / "x/1.txt"),
                      f"{archive}, x/1.txt"]  # fmt: skip
    assert [example.place for example in read_examples(table)] == ["line 2", "line 4"]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_compressed_texts_are_never_read_in_part(tmp_path, suffix):
    """Two streams, one behind the other, as parallel compressors write them, cut and changed everywhere."""
    first, second = "text,label\na,pos\n", "b,neg\n"
    whole = b"".join(COMPRESSORS[suffix](part.encode()) for part in (first, second))
    path, expected = write(tmp_path / f"a.csv{suffix}", whole + bytes(1000)), [("pos", "a", ""), ("neg", "b", "")]
    assert rows(path) == expected, "padding is no damage"
    start_of_second = len(COMPRESSORS[suffix](first.encode()))
    for end in set(range(8, len(whole))) - {start_of_second}:
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"a\.csv\.\w+ is damaged or incomplete \(.+\); fetch it again"):
            rows(path)
    for place in range(start_of_second, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with suppress(DataError):
            assert rows(path) == expected  # a bit that does not matter, such as the time
    path.write_bytes(whole + b"more")
    with pytest.raises(DataError, match="is damaged"):
        rows(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_archives_are_never_read_in_part(tmp_path, suffix):
    """A plain archive has no checksum over its content, but its headers have, and it ends with zeros."""
    whole = COMPRESSORS[suffix](tar(texts_at(tmp_path / "aclImdb", *IMDB)))
    path = tmp_path / f"a.tar{suffix}"
    for end in range(0 if suffix else 512, len(whole.rstrip(b"\0")), 7 if suffix else 512):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"a\.tar"):
            rows(path)
    header = len(whole) // 2 if suffix else whole.index(b"train/neg")
    path.write_bytes(whole[:header] + b"\0" + whole[header + 1 :])
    with pytest.raises(DataError, match=r"a\.tar"):
        rows(path)


def test_what_would_take_all_memory_is_refused_or_comes_in_small_pieces(tmp_path, monkeypatch):
    for compress in (bz2.compress, gzip.compress, lzma.compress):
        size = 3 * streams.BLOCK
        pieces = list(streams.unpack_pieces("x", iter([compress(bytes(size)) + compress(b"end")])))
        assert b"".join(pieces) == bytes(size) + b"end"
        assert max(map(len, pieces)) <= streams.BLOCK
    monkeypatch.setattr(delimited, "MAX_FIELD", 1000)
    path = write(tmp_path / "a.csv", 'text,label\na,b\n"' + "c\n" * 1000)
    with pytest.raises(DataError, match="line 3: has a field of more than 1,000 characters; perhaps a quote is never"):
        rows(path)
    monkeypatch.setattr(json_tables, "MAX_DOCUMENT", 1000)
    with pytest.raises(DataError, match="JSON document of more than 1,000 bytes; write JSON Lines"):
        rows(write(tmp_path / "a.json", "[" + " " * 1000 + "]"))
    monkeypatch.setattr(json_tables.DECODER, "scan_once", Mock(side_effect=MemoryError))
    with pytest.raises(DataError, match="of 2 bytes, too large for the memory of this machine; write JSON Lines"):
        rows(write(tmp_path / "a.json", "[]"))
    folder = texts_at(tmp_path / "folder", "x/1.txt", "y/2.txt", "x/large.txt")
    os.truncate(folder / "x/large.txt", 50_000_001)
    for path in (folder, write(tmp_path / "a.zip", zipped({"x/1.txt": "", "x/large.txt": bytes(50_000_001)}))):
        with pytest.raises(DataError, match=r"large.txt has 50,000,001 bytes; is it a text\?"):
            rows(path)
    (folder / "x/large.txt").unlink()
    monkeypatch.setattr(streams, "SPOOLED", 9)  # the archive lies in a temporary file
    assert len(rows(write(tmp_path / "b.tar", tar(folder)))) == 2


@pytest.mark.parametrize("compress", [bytes, partial(gzip.compress, compresslevel=1)])
@pytest.mark.parametrize("format", CONTENTS)
def test_memory_does_not_grow_with_the_file(tmp_path, format, compress):
    """Of 40 MB a few pieces are in memory, and the 500 rows that tell how quotes are used."""
    row = {"csv": '"{0}",pos\r\n', "tsv": "{0}\tpos\n", "fasttext": "__label__pos {0}\n",
           "jsonl": '{{"text": "{0}", "label": "pos"}}\n'}[format].format("good film " * 1300).encode()  # fmt: skip
    header = {"csv": b"text,label\n", "tsv": b"text\tlabel\n"}.get(format, b"")
    with open(tmp_path / "a", "wb") as file:
        file.write(compress(header))
        file.writelines([compress(row * 100)] * 30)
    examples = read_examples(tmp_path / "a", Layout(format=format))
    tracemalloc.start()
    try:
        assert sum(1 for _ in examples) == 3_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes() + b"more,x\n"),
        lambda path: os.utime(path, ns=(0, 0)),
        lambda path: os.replace(shutil.copy2(path, path.with_suffix(".new")), path),  # of the same size and time
        lambda path: path.unlink(),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "folder/x/1.txt"])
def test_a_file_that_changes_while_it_is_read_is_said(tmp_path, monkeypatch, name, change):
    content = b"text,label\n" + (b"good film " * 20 + b",x\n") * 12_000
    path = write(tmp_path / name, content)
    monkeypatch.setattr(folders, "_check_size", lambda size, name: change(path))  # where a folder's file is open
    notes, given = Notes(), tmp_path / name.partition("/")[0]
    for i, _ in enumerate(read_examples(given, notes=notes)):
        if i == 0 and given == path:
            change(path)
    said = f"{given} changed while it was read; read it again when it is complete."
    assert notes.sentences() == [said]


def test_bytes_that_are_not_utf8_are_refused_or_replaced_and_noted(tmp_path, monkeypatch):
    monkeypatch.setattr("mlcore.text.table.likely_encoding", lambda content: None)
    with pytest.raises(DataError, match="line 1, column 1: byte 0xFE is not UTF-8; save the file as UTF-8"):
        rows(write(tmp_path / "a.csv", bytes(range(254, 31, -1))))
    table = write(tmp_path / "a.tsv", b"text\tlabel\ngood\tpos\nb\xe4d\xff\tneg\nbad\tneg\n\xe4\tneg\n")
    folder = texts_at(tmp_path / "folder", "x/1.txt", "x/2.txt")
    bad, notes = write(folder / "x/2.txt", b"fine\n\xff"), Notes()
    monkeypatch.setattr("mlcore.text.table.likely_encoding", lambda content: "cp1252")
    examples = list(read_examples([table, folder], Layout(lenient=True), notes))
    expected = ["good", "b\ufffdd\ufffd", "bad", "\ufffd", "x/1.txt", "fine\n\ufffd"]
    assert [example.text for example in examples] == expected
    assert notes.undecodable == [f"{table}, line 3", f"{table}, line 5", str(bad)]
    assert notes.sentences() == [f"{path}: the encoding is likely cp1252, not UTF-8." for path in (table, folder)]
    likely = "; the encoding is likely cp1252; try encoding='cp1252'."
    for path, layout, message in (
        (folder, {}, f"{bad}, line 2, column 1: byte 0xFF is not UTF-8{likely}"),
        (table, {}, f"{table}, line 3, column 2: byte 0xE4 is not UTF-8{likely}"),
        (table, {"encoding": "utf-8"}, f"{table}, line 3, column 2: a byte cannot be decoded as utf-8."),
        (table, {"encoding": "utf-16"}, f"{table} cannot be decoded as utf-16 (UTF-16 stream"),
    ):
        with pytest.raises(DataError) as caught:
            rows(path, **layout)
        assert str(caught.value).startswith(message)
    monkeypatch.setattr("mlcore.text.table.likely_encoding", lambda content: None)
    with pytest.raises(
        DataError, match=r"0xE4 is not UTF-8; save the file .* \(mlcore\[encodings\] can guess it\); try enc"
    ):
        rows(table)
    write(table, "\u0442\u0435\u043a\u0441\u0442;\u043a\u043b\u0430\u0441\u0441\n".encode("cp1251"))
    monkeypatch.setattr("mlcore.text.table.likely_encoding", lambda content: "cp1251")
    with pytest.raises(DataError, match="header is not UTF-8; the encoding is likely cp1251; try encoding='cp1251'"):
        rows(table, lenient=True)
