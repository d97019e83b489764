"""Tables as people have them: separators, quotes, headers, encodings, JSON, archives, Parquet; and what is said.

``golden/tables.txt`` has small files with what is read from each; WRITE_GOLDEN=1 in the environment writes it anew.
"""

import csv
import gzip
import os
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from conftest import REPOSITORY, compare_cases
from test_readers import tar, texts_at, write, zipped

from mlcore.errors import DataError
from mlcore.text import table
from mlcore.text.layout import Layout
from mlcore.text.readers import read_examples, read_tables
from mlcore.text.table import Notes

GOLDEN = Path(__file__).parent / "golden"
CASES = REPOSITORY.parent / "shared" / "cases" / "tables"
NUMBERED = {"no_header": True, "label_column": "1", "text_column": "2"}
TEXTS = [("pos", "a; b, c"), ("neg", 'say "no"\nnow')]


def read(path, **layout):
    """Labels with texts, and what was said."""
    notes = Notes()
    return [(e.label, e.text) for e in read_examples(path, Layout(**layout), notes=notes)], notes.sentences()


@pytest.mark.parametrize("name", ["a", "a.csv", "a.tsv", "a.txt"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "sep={}\n", '"sep={}"\r\n'])
def test_the_content_tells_the_separator_whatever_the_name(tmp_path, name, separator, first):
    """As pandas and Excel write them: with quotes where they are needed, and rows of nothing at the end."""
    rows = ["label,text,x", 'pos,"a; b, c",1|2', 'neg,"say ""no""\nnow",', ",,"]
    content = "\n".join(rows).replace(",", "\0").replace('b\0 c"', 'b, c"').replace("\0", separator) + "\n"
    if separator == "|":
        content = content.replace("1|2", '"1|2"')
    found, said = read(write(tmp_path / name, first.format(separator) + content))
    assert found == TEXTS
    assert [sentence.partition(": ")[2] for sentence in said] == ["rows without any value: 1 skipped."]


def outcome(name, content, layout=()):
    """What is read from a file and said, or why it is refused: a line for each, of many texts the first ones."""
    path, notes, layout = Path(name), Notes(), dict(layout)
    if isinstance(content, list):
        shutil.rmtree(path, ignore_errors=True)
        texts_at(path, *content)
    else:
        write(path, content)
    try:
        if layout.pop("labelled", True):
            examples = read_examples(path, Layout(**layout), notes=notes)
            found = [f"{e.label!r} {e.text!r}{f' {e.split}' * bool(e.split)}" for e in examples]
        else:
            (whole,) = read_tables(path, Layout(**layout), notes, labelled=False)
            found = [f"{[*values]} {text!r}" for (_, values), text in whole.texts()]
            found.insert(0, f"{whole.header}")
    except DataError as error:
        found = [f"! {error}"]
    else:
        more = [f"... {len(found):,} texts"] if len(found) > 4 else []
        found = [*found[:4], *more, *(f"> {sentence}" for sentence in notes.sentences())]
    if isinstance(content, list):  # an archive of the folder is read as it is
        archived = "\n".join(outcome("a.tar", tar(path)))
        assert archived.replace("a.tar, ", f"{name}/").replace("a.tar", name) == "\n".join(found)
    return found


def test_kinds_of_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compare_cases(GOLDEN / "tables.txt", outcome, gzip=gzip, zipped=zipped)


def test_several_signs_separate_also_within_quotes_and_are_found_in_time_that_grows_with_the_line(tmp_path):
    rows = "pos::a\nneg::b\n" * 50
    content = f'{rows}pos::"a quoted C::D one"\nneg::"c"\n'
    found, said = read(write(tmp_path / "a", content), skip_bad_rows=True, **NUMBERED)
    assert found[100:] == [("neg", '"c"')]
    assert "line 101" in said[-1]
    found, _ = read(write(tmp_path / "b", f"pos::a{'=' * 60_000}\n{rows}"), **NUMBERED)
    assert len(found) == 101


@pytest.mark.parametrize(("encoding", "mark"), [
    *((name, "\ufeff") for name in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")),
    *((name, "") for name in ("utf-16-le", "cp1252", "gb18030")),
])  # fmt: skip
def test_encodings(tmp_path, encoding, mark):
    text = "caf\u00e9" if encoding == "cp1252" else "caf\u00e9 \u4e2d\u6587 \U0001f600"
    content, given = f"{mark}text;label\n{text};x\n".encode(encoding), {} if mark else {"encoding": encoding}
    for name, packed in (
        ("a.csv", content),
        ("a.csv.gz", gzip.compress(content)),
        ("a.zip", zipped({"a.csv": content, "__MACOSX/._a.csv": b"", ".DS_Store": b""})),
    ):
        assert read(write(tmp_path / name, packed), **given)[0] == [("x", text)]
    content = f"{mark}{text}".encode(encoding)
    write(tmp_path / "folder/x/1.txt", content)
    windows = write(tmp_path / "b.zip", zipped({"folder\\x\\1.txt": content, "folder\\x\\1.jpg": b""}))
    assert read(tmp_path / "folder", **given)[0] == read(windows, **given)[0] == [("x", text)]


def test_the_likely_encoding():
    pytest.importorskip("charset_normalizer")

    def outcome(encodings, text):
        contents = {encoding: f"plain\n{text}\n".encode(encoding) for encoding in encodings.split()}
        return [f"{encoding}: {table.likely_encoding(content)}" for encoding, content in contents.items()]

    compare_cases(GOLDEN / "encodings.txt", outcome)


def test_objects_of_any_depth_are_an_error_at_most(tmp_path):
    for depth in range(850, 1_000):
        path = write(tmp_path / "deep.jsonl", 2 * ('{"a":' * depth + "1" + "}" * depth + "\n"))
        with pytest.raises(DataError):
            list(read_examples(path))


def test_long_fields_do_not_change_how_the_first_table_of_a_process_is_read(tmp_path):
    path, text, usual = tmp_path / "long.tsv", "long " * 30_000, csv.field_size_limit(131_072)
    path.write_text(f'text\tlabel\n"{text}said ""so"""\tpos\n"short"\tneg\n')
    try:
        assert [example.text for example in read_examples(path)] == [f'{text}said "so"', "short"]
    finally:
        csv.field_size_limit(usual)


def test_only_regular_files(tmp_path):
    write(tmp_path / "folder/x/1.txt", "a")
    pipe = tmp_path / "folder/x/2.txt"
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        make(pipe)
        with pytest.raises(DataError, match=r"2.txt is not a regular file; remove it"):
            read(tmp_path / "folder")
        pipe.unlink()


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrow stream"])
def test_parquet_and_arrow_read_only_the_columns_that_are_needed(tmp_path, kind):
    arrow = pytest.importorskip("pyarrow")
    columns = {
        "id": range(9_000),
        "text": [f"text {i}" for i in range(8_999)] + [None],
        "label": [1.0, None, 2.0] * 3_000,
    }
    found, path = arrow.table({name: list(values) for name, values in columns.items()}), tmp_path / "a"
    if kind == "parquet":
        import_module("pyarrow.parquet").write_table(found, path)
    elif kind == "feather":
        import_module("pyarrow.feather").write_feather(found, path)
    else:
        with arrow.ipc.new_stream(str(path), found.schema) as writer:
            writer.write_table(found)
    with pytest.raises(DataError, match="row 2, column label: the label is missing"):
        read(path)
    rows, said = read(path, skip_bad_rows=True)
    assert (len(rows), rows[:2]) == (5_999, [("1", "text 0"), ("2", "text 2")])
    assert said[0].startswith(
        f"Skipped 3,001 bad rows: {path}, row 2, column label: the label is missing; {path}, row 5,"
    )
    (whole,) = read_tables(path, labelled=False)
    assert whole.schema == found.schema
    kept = [(values, text) for (_, values), text in whole.texts()]
    assert (len(kept), kept[1], kept[-1][1]) == (9_000, ((1, "text 1", None), "text 1"), None)
    (whole,) = read_tables(path)
    whole.needed = {1}
    assert next(whole.rows) == (1, (None, "text 0", None))


def test_what_an_extra_is_needed_for_names_it(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("mlcore.text.streams.import_module", missing)
    for content, extra in ((b"PAR1", "parquet"), (b"\x28\xb5\x2f\xfdxyz", "zstd")):
        with pytest.raises(DataError, match=rf"pip install 'mlcore\[{extra}\]'"):
            read(write(tmp_path / "a", content))


def test_zstandard(tmp_path):
    zstd = pytest.importorskip("backports.zstd")
    content = zstd.compress(b"text,label\na,x\n") + zstd.compress(b"b,y\n")
    assert read(write(tmp_path / "a.csv.zst", content))[0] == [("x", "a"), ("y", "b")]
    with pytest.raises(DataError, match="is damaged or incomplete"):
        read(write(tmp_path / "a.csv.zst", content[:-3]))


def test_a_frame_of_pandas_leads_back(tmp_path):
    """With quotes, line feeds, emoji, missing values and 12 columns, in each layout that pandas writes."""
    pandas = pytest.importorskip("pandas")
    odd = ['a "b"', "c\nd", "e;f,g\th|i", "\U0001f600 \u00e9", "[j]", "{k}", "'", "l", "m"]
    frame = pandas.DataFrame({"text": odd, "label": ["x", "y", "z"] * 3} | {f"c{i}": odd[::-1] for i in range(9)})
    frame["missing"] = [1.5, None, 2] * 3
    expected = list(zip(frame["label"], frame["text"], strict=True))
    write_to = {
        "csv": frame.to_csv, "excel": lambda path: frame.to_csv(path, sep=";", decimal=",", encoding="utf-8-sig"),
        "tsv": lambda path: frame.to_csv(path, sep="\t", index=False), "parquet": frame.to_parquet,
        "lines": lambda path: frame.to_json(path, orient="records", lines=True),
    } | {orient: lambda path, orient=orient: frame.to_json(path, orient=orient)
         for orient in ("records", "columns", "split", "index", "table")}  # fmt: skip
    for name, write_frame in write_to.items():
        write_frame(tmp_path / name)
        assert read(tmp_path / name)[0] == expected, name
        (whole,) = read_tables(tmp_path / name, labelled=False)
        rows = [dict(zip(whole.header, values, strict=True)) for (_, values), _ in whole.texts()]
        assert [row["c8"] for row in rows] == [*frame["c8"]], name


# The cases that were collected ------------------------------------------------------------------------------


def number_of_texts(name, layout=()):
    """How many texts a file has, with which labels, and what is said; or why it is refused."""
    try:
        found, said = read(name, **dict(layout))
    except DataError as error:
        return [f"! {error}"]
    labels = sorted({str(label) for label, _ in found})
    return [f"{len(found)} texts: {', '.join(labels)}", *(f"> {sentence}" for sentence in said)]


@pytest.mark.skipif(not CASES.is_dir(), reason="the collected cases are not beside the repository")
def test_collected_cases(monkeypatch):
    monkeypatch.setattr(table, "likely_encoding", lambda content: "cp1252")
    monkeypatch.chdir(CASES)
    compare_cases(GOLDEN / "collected.txt", number_of_texts)
