"""Tables as people have them: separators, quotes, headers, encodings, JSON, archives, Parquet; and what is said."""

import gzip
import json
import os
from importlib import import_module

import pytest
from conftest import REPOSITORY
from test_readers import tar, write, zipped

from mlcore.errors import DataError
from mlcore.text import table
from mlcore.text.layout import Layout
from mlcore.text.readers import read_examples, read_tables
from mlcore.text.table import SPLITS, Notes

CASES = REPOSITORY.parent / "shared" / "cases" / "tables"
NUMBERED = {"no_header": True, "label_column": "1", "text_column": "2"}
TEXTS = [("pos", "a; b, c"), ("neg", 'say "no"\nnow')]


def read(path, **layout):
    """Labels with texts, and what was said."""
    notes = Notes(layout.pop("lenient", False))
    return [(e.label, e.text) for e in read_examples(path, Layout(**layout), notes=notes)], notes.sentences()


def splits(path, **layout):
    return [example.split for example in read_examples(path, Layout(**layout))]


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


@pytest.mark.parametrize(
    ("content", "layout", "expected"),
    [
        ('\ufefflabel,x,text\npos,1,"a ""b"""\nneg,2,c\td', {}, [("pos", 'a "b"'), ("neg", "c\td")]),
        ('review;sentiment\n"a; b";pos\nc,d;neg\n', {}, [("pos", "a; b"), ("neg", "c,d")]),
        (f'text,label\n"a\nb",pos\n{"x" * 200_000},neg\n', {}, [("pos", "a\nb"), ("neg", "x" * 200_000)]),
        # quotes in a table with tabs: as pandas writes them, all of them, or as they are
        ('text\tlabel\n"a\n""b"" c"\tpos\nd\tneg\n', {}, [("pos", 'a\n"b" c'), ("neg", "d")]),
        ('text\tlabel\n"a"\t"pos"\n"b"\t"neg"\n', {}, [("pos", "a"), ("neg", "b")]),
        ('text\tlabel\n"a"\t"pos"\n"b"\t"neg"\n', {"format": "tsv"}, [('"pos"', '"a"'), ('"neg"', '"b"')]),
        ('text\tlabel\n"A" is\tpos\n"b\tneg\nc"\tneg\n', {}, [("pos", '"A" is'), ("neg", '"b'), ("neg", 'c"')]),
        ('text\tlabel\n' + "x\tpos\n" * 2 + '"a\tb"\tneg\n', {}, [("pos", "x")] * 2 + [("neg", "a\tb")]),
        # other signs between columns, and rows that end with more or fewer empty fields than the header
        ("text~label\na, b~pos\n", {}, [("pos", "a, b")]),
        ("内容，标签\na，pos\n", {}, [("pos", "a")]),
        ("label text\n" + "pos a b\nneg c\n" * 20, {}, [("pos", "a b"), ("neg", "c")] * 20),
        ("| text | label |\n|------|:-----:|\n| a | pos |\n", {}, [("pos", " a ")]),
        ("text,label\na,pos,,\nb,neg\n", {}, [("pos", "a"), ("neg", "b")]),
        ("label,text,\npos,a\ntext,label,\nb,neg\n", {}, [("pos", "a"), ("neg", "b")]),
        ('"a; b";pos\nc, d;neg\ne, f;neg\n', NUMBERED | {"label_column": "2", "text_column": "1"},
         [("pos", "a; b"), ("neg", "c, d"), ("neg", "e, f")]),
        # no header
        ("pos\ta, b\npos\tc\nneg\td\n", NUMBERED, [("pos", "a, b"), ("pos", "c"), ("neg", "d")]),
        ("1,2\npos,a\n", NUMBERED, [("1", "2"), ("pos", "a")]),
        ("pos~a,b\nneg~c\n", NUMBERED | {"separator": "~"}, [("pos", "a,b"), ("neg", "c")]),
        # the header once more
        ("text,label\na,pos\ntext,label\nb,neg\n", {}, [("pos", "a"), ("neg", "b")]),
        ("Text, label\na,pos\n\ufefftext,Label\nText,\n", {"skip_bad_rows": True}, [("pos", "a")]),
        ("text,id,label\na,1,pos\nLabel,Text,ID\nneg,b,2\n", {}, [("pos", "a"), ("neg", "b")]),
        # titles above the header, and other ways to quote
        ("Survey;;\n;;\nby;Anna;\nid;comment;Label\n1;a;pos\n2;b;neg\n", {}, [("pos", "a"), ("neg", "b")]),
        ("# made by x\ntext,label\na,pos\n", {}, [("pos", "a")]),
        ('text, label\n"a, b", "pos"\n"c", "neg"\n', {}, [("pos", "a, b"), ("neg", "c")]),
        ('text,label\n"a \\"b\\", c",pos\nd,neg\n', {}, [("pos", 'a "b", c'), ("neg", "d")]),
        ("text,label\n'a, it''s','pos'\n'b', 'neg'\n", {}, [("pos", "a, it's"), ("neg", "b")]),
        ("'label','text'\n'pos','a'\n", {}, [("pos", "a")]),
        ("text,label\n'tis a,pos\n'b','neg'\n", {}, [("pos", "'tis a"), ("'neg'", "'b'")]),
        # nothing before the header or in a row, and line ends of the old Macintosh
        ("\n \nsep=;\n\ntext;label\na;pos\n ; \n", {}, [("pos", "a")]),
        ('text,label\r"a, b",pos\rc,neg\r', {}, [("pos", "a, b"), ("neg", "c")]),
        ("id;title;body;label\n1;a;b;x\n2;;d;y\n", {"text_column": ["title", "body"]}, [("x", "a\nb"), ("y", "\nd")]),
        # columns by usual names and by those that are given, in any case; one column never takes both roles
        ("Tweet_Text,Class\na,pos\n", {}, [("pos", "a")]),
        ("sentence,label,stars\na,pos,x\n", {}, [("pos", "a")]),
        ('{"text": "a", "class": "pos", "review": "x"}', {}, [("pos", "a")]),
        ("body,Verdict,text,label\na,pos,x,y\n", {"text_column": "Body", "label_column": "verdict"}, [("pos", "a")]),
        ("a,label,A\na,pos,x\n", {"text_column": "a"}, [("pos", "a")]),
        ("split\tlabel\na\tpos\n", {"text_column": "split"}, [("pos", "a")]),
        ("label,sentiment\na,pos\n", {"text_column": "label"}, [("pos", "a")]),
        ("review,text\na,pos\n", {"label_column": "text"}, [("pos", "a")]),
        ("评论,标签\na,pos\n", {}, [("pos", "a")]),
        ("id,Comentário,CATEGORÍA\n1,a,pos\n", {}, [("pos", "a")]),
        # JSON
        ('[["label", "text"], ["pos", "a"], ["neg", 5]]', {}, [("pos", "a"), ("neg", "5")]),
        ('[["pos", "a"], ["neg", "b"]]', NUMBERED, [("pos", "a"), ("neg", "b")]),
        ('{"text": ["a", "b"], "label": [1, 2.0]}', {}, [("1", "a"), ("2", "b")]),
        ('{"text": {"7": "a", "9": "b"}, "label": {"7": true, "9": false}}', {}, [("True", "a"), ("False", "b")]),
        ('{"7": {"text": "a", "label": "x"}, "9": {"text": "b", "label": "y"}}', {}, [("x", "a"), ("y", "b")]),
        ('{"columns": ["text", "label"], "index": [0], "data": [["a", "x"]]}', {}, [("x", "a")]),
        ('{"schema": {"fields": []}, "data": [{"index": 0, "text": "a", "label": "x"}]}', {}, [("x", "a")]),
        ('{"train": [["text", "label"], ["a", "x"]], "Val": [{"text": "b", "label": "y"}]}', {},
         [("x", "a"), ("y", "b")]),
        ('\n[\n {"text": "a]", "label": "x"}\n,\n{"label": 1e2, "text": "[b"}]\n', {}, [("x", "a]"), ("100", "[b")]),
        ('{"label": ["x", "y"], "text": "a"}\n{"label": ["z"], "text": "b"}', {}, [(("x", "y"), "a"), ("z", "b")]),
        ('\n {"text": "a", "label": 2, "x": 1} \n\n{"text": "b", "label": true}', {}, [("2", "a"), ("True", "b")]),
        ('{"text": "a", "label": "x"},\n{"text": "b", "label": "y"}\n', {}, [("x", "a"), ("y", "b")]),
        ('[["text", "label"], ["a", "x"]]\n[["b", "y"]]', {}, [("x", "a"), ("y", "b")]),
        ('["text", "label"]\n["a", "x"]\n["b", "y"]\n', {}, [("x", "a"), ("y", "b")]),
        ('{"text": "a", "label": "x"}\n\ufeff{"text": "b", "label": "y"}\n', {}, [("x", "a"), ("y", "b")]),
        ('{"version": "1", "data": [{"text": "a", "intent": "x"}]}', {}, [("x", "a")]),
        ('{\n "text": "a",\n "label": "x"}\n{\n "text": "b",\n "label": "y"}', {}, [("x", "a"), ("y", "b")]),
        ('{"nlu": {"rows": [{"text": "a", "intent": "x"}], "other": [{"name": 1}]}}', {}, [("x", "a")]),
        ('{"text": "a", "cats": {"x": 1, "y": 0.2}}\n{"text": "b", "cats": {"x": 1.0, "y": 1}}\n', {},
         [("x", "a"), (("x", "y"), "b")]),
        ('{"text": "a", "accept": ["x"], "answer": "accept", "_input_hash": 1}\n'
         '{"text": "b", "accept": ["x"], "answer": "reject", "_input_hash": 2}\n', {}, [("x", "a")]),
        ('[{"id": 1, "data": {"text": "a"}, "annotations": [{"result": [{"value": {"choices": ["x"]}}]}]},'
         '{"id": 2, "data": {"text": "b"}, "annotations": [{"result": [{"value": {"choices": ["x", "y"]}}]}]}]', {},
         [("x", "a"), (("x", "y"), "b")]),
        ('{"rows": [{"row": {"text": "a", "label": 1}}, {"row": {"text": "b", "label": 2}}], "partial": false}', {},
         [("1", "a"), ("2", "b")]),
        ('{"a": {"note": "a", "of": "x"}}\n{"a": {"note": "b"}}\n',
         {"text_column": "a.note", "label_column": "a.of", "skip_bad_rows": True}, [("x", "a")]),
        # the label first
        ("NUM:dist How far ?\nNUM:dist How long ?\nHUM:ind Who ?\nHUM:ind And why?\n", {},
         [("NUM:dist", "How far ?"), ("NUM:dist", "How long ?"), ("HUM:ind", "Who ?"), ("HUM:ind", "And why?")]),
        ("4 a, b\n0 c d\n" * 2, {}, [("4", "a, b"), ("0", "c d")] * 2),
        ("good: a\nbad: b c\n" * 10, {}, [("good", "a"), ("bad", "b c")] * 10),
        # fastText with several labels, at the end too
        ("\ufeff\n __label__a  b \n__label__d\n__label__e\tf", {}, [("a", "b "), ("d", ""), ("e", "f")]),
        ("__label__a __label__b c d\n__label__a c\n", {}, [(("a", "b"), "c d"), ("a", "c")]),
        ("__label__a,__label__b c, d\n\ufeff__label__a c\n", {}, [(("a", "b"), "c, d"), ("a", "c")]),
        ("c d __label__a __label__b\n\nc __label__a \n", {}, [(("a", "b"), "c d"), ("a", "c")]),
        ("label,text\n__label__a,c\n", {}, [("__label__a", "c")]),
        ("no label\n__label__a c\n", {"skip_bad_rows": True}, [("a", "c")]),
    ],
)  # fmt: skip
def test_kinds_of_tables(tmp_path, content, layout, expected):
    assert read(write(tmp_path / "a", content), **layout)[0] == expected


def test_columns_are_named_in_many_languages(tmp_path):
    for names in (
        "Opinion,Valoracio\u0301n", "Avis,Catégorie", "Kommentar,Bewertung", "Recensione,Etichetta",
        "Tekst,Beoordeling",
        "Recenzja,Ocena", "Komentář,Štítek", "Yorum,Duygu", "Ulasan,Kelas", "Văn bản,Nhãn", "Κείμενο,Κατηγορία",
        "Отзыв,Оценка", "Відгук,Мітка", "النص,التصنيف", "متن,برچسب", "טקסט,תווית", "पाठ,लेबल", "รีวิว,ป้ายกำกับ",
        "內容,類別",
        "本文,ラベル", "리뷰,라벨", "Resenha,Avaliação", "Mensagem,Nota", "Recension,Etikett",
        "Tweet_Text,airline_sentiment",
    ):  # fmt: skip
        assert read(write(tmp_path / "a", f"id,{names}\n1,a,x\n"))[0] == [("x", "a")], names


@pytest.mark.parametrize("names", [("train", "Validation", "TEST"), ("Training", "val", "testing")])
def test_splits_by_their_usual_names(tmp_path, names):
    rows = [{"text": "a", "label": "x", "split": name} for name in names]
    files = {f"{name}/x/1": b"a" for name in names}
    for path, text in files.items():
        write(tmp_path / "folder" / path, text)
    for content, more in (
        ("text,label,split\na,x,\n" + "".join(f"a,x,{name}\n" for name in names), [""]),
        ("".join(json.dumps(row) + "\n" for row in [*rows, {"text": "a", "label": "x", "split": None}]), [""]),
        (zipped(files), []),
        (tar(tmp_path / "folder"), []),
    ):
        assert sorted(splits(write(tmp_path / "a", content))) == sorted(["train", "dev", "test", *more])
    assert splits(tmp_path / "folder") == [split for _, split in sorted(zip(names, SPLITS, strict=True))]


def test_a_column_named_split_that_holds_something_else(tmp_path):
    path = write(tmp_path / "a.csv", "text,label,split,part\na,x,1,test\nb,y,2,\n")
    found, said = read(path)
    assert (len(found), splits(path)) == (2, ["", ""])
    assert said == [f"{path}: the column split has values such as '1', which are not splits: all texts are trained on."]
    assert (read(path, no_split=True)[1], splits(path, split_column="part")) == ([], ["test", ""])
    with pytest.raises(DataError, match=r"line 2, column split: the split is '1'; expected train, dev or test"):
        read(path, split_column="Split")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("v1,v2,,\nx,aaa,,\nx,bbb,,\ny,cc,,\n", "found the columns v1, v2.*; try text_column='v2' label_column='v1'"),
        ("id,text,Score,n\n1,a b,5,0\n2,c d,1,0\n3,e f,5,0\n", "expected one .*'label'; try label_column='Score'"),
        ("Title,Review,label\na,a b c,x\n", "could be the texts: Title, Review; choose one; try text_column='Review'"),
        ("ID,Response,Response\n1,a,x\n2,b,y\n", "give the columns named 'Response' names of their own"),
        ('"__label__x a b"\n"__label__y c d"\n', "Cannot tell the format .* or lines of __label__NAME TEXT"),
        ("# 1\na~b\n", "Cannot tell the format"),
        ("内容,标签\n好,坏\n".encode("utf-16-le"), "looks like UTF-16 without a mark; try encoding='utf-16-le'"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "is an archive that cannot be read here; unpack it first"),
        ("text,label\na,x\n".encode("utf-16-be"), "looks like UTF-16 without a mark; try encoding='utf-16-be'"),
        (zipped({"data/README.txt": "", "data/a.csv": "text,label\na,x\n"}), "a table has to be given as a file"),
        ('{"a": {"b": "long one"}, "c": "x"}\n', "found the keys a.b, c; .* try text_column='a.b' label_column='c'"),
        ('[{"text": "a", "label": {"a": "b"}}]', "row 1, column label: expected a label, found an object"),
        ("1 3:0.5 7:1\n0 2:1\n" * 9, "Cannot tell the format"),
        ("1 a\n2 b\n3 c\n", "Cannot tell the format"),
    ],
)
def test_what_is_suggested_where_the_columns_cannot_be_told(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "a", content))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "cp1252", "gb18030"])
def test_encodings(tmp_path, encoding):
    text = "caf\u00e9" if encoding == "cp1252" else "caf\u00e9 \u4e2d\u6587 \U0001f600"
    content = f"text;label\n{text};x\n".encode(encoding)
    given = {} if encoding in ("utf-8-sig", "utf-16", "utf-32") else {"encoding": encoding}
    for name, packed in (
        ("a.csv", content),
        ("a.csv.gz", gzip.compress(content)),
        ("a.zip", zipped({"a.csv": content, "__MACOSX/._a.csv": b"", ".DS_Store": b""})),
    ):
        assert read(write(tmp_path / name, packed), **given)[0] == [("x", text)]
    write(tmp_path / "folder/x/1.txt", text.encode(encoding))
    assert read(tmp_path / "folder", **given)[0] == [("x", text)]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "le café était bon"),
        *((encoding, text) for encoding in ("cp1252", "mac_roman", "cp850") for text in (
            "Un très bon film, vu à Paris l'été dernier.", "Schöner Film, wirklich überwältigend großartig.",
        )),
        *((encoding, "It’s a naïve résumé") for encoding in ("cp1252", "mac_roman")),
        ("koi8_r", "отель был прекрасен, спасибо\nеда была ужасная и холодная"),
        ("cp866", "еда была ужасная и холодная"),
        ("cp1255", "המלון היה נהדר ונקי מאוד,טוב\nהאוכל היה נורא ואיום,רע"),
        ("cp874", "โรงแรมดีมากและสะอาด"),
        ("cp932", "部屋はとても綺麗で、良かった"),
    ],
)  # fmt: skip
def test_the_likely_encoding(encoding, text):
    pytest.importorskip("charset_normalizer")
    assert table.likely_encoding(f"plain\n{text}\n".encode(encoding)) == encoding


def test_bad_rows_are_refused_or_skipped_and_counted(tmp_path):
    bad = ['"x"y,p', "a", "a,", "a,\x07", "a,b,c"]
    path = write(tmp_path / "a.csv", "text,label\ngood,x\n" + "\n".join([*bad, "a,", "fine,y"]))
    with pytest.raises(DataError, match=r"a.csv, line 3: not CSV by RFC 4180 .*; try skip_bad_rows=True"):
        read(path)
    found, said = read(path, skip_bad_rows=True)
    assert found == [("x", "good"), ("y", "fine")]
    assert said[0].startswith("Skipped 6 bad rows: line 3: not CSV by RFC 4180")
    assert "line 4: has 1 field; expected 2 as in the header; line 5, column label: the label is empty" in said[0]
    assert said[0].endswith("; and 1 more.")
    write(path, 'text,label\ngood,x\n"never closed,y\n' + "a,x\n" * 9)
    with pytest.raises(DataError, match="line 3: a quote is opened in this row and never closed"):
        read(path, skip_bad_rows=True)  # the rows that it swallows are not one bad row


def test_what_is_guessed_is_said(tmp_path):
    path = tmp_path / "a"
    for content, expected in (
        ("__label__x,a b\n__label__y,c d\n", "labels end at a space; the first one is 'x,a'."),
        ("id\n\nid,text,label\n1,a,x\n", "the header is in line 3; what is above it is left out."),
        ("text,label\na,x\nlabel,text\ny,b\n", "from line 3 on, the columns are in another order."),
        ('text,label\n"a \\"b\\"",x\n', '\\" within quotes is read as a quote.'),
        ('{"data": [{"text": "a", "label": "x"}]}', "the rows are those of the key 'data'."),
        ('[{"a": {"text": "b"}, "label": "x"}]', "nested keys are columns, such as 'a.text'."),
        ("4 a\n4 b\n0 c\n0 d\n", "the first word of each line is its label, as '4'."),
        ("text,label\na,x,,\n", "from line 2 on, rows end with more or fewer empty fields than the header."),
        ("|text|label|\n|---|---|\n|a|x|\n", "rules below the header: 1 skipped."),
        ("label text\n" + "a b\n" * 20 + "c d\n" * 20, "headers: 1 skipped."),
        ("text,label\n'a','x'\n", "the quotes around fields are single ones, ', and left out."),
    ):
        assert f"{path}: {expected}" in read(write(path, content))[1]


def test_folders_of_files_with_any_suffix(tmp_path):
    for name in ("x/1000", "x/1001.5", "y/a.MD", "y/b.jpg", "y/.hidden", "README"):
        write(tmp_path / "folder" / name, f"text of {name}")
    found, said = read(tmp_path / "folder")
    assert [label for label, _ in found] == ["x", "x", "y"]
    assert said == [f"{tmp_path / 'folder'}: files .jpg among the texts: 1 skipped."]
    write(tmp_path / "folder/x/2.txt", "only this one")
    assert read(tmp_path / "folder")[0] == [("x", "only this one")]


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
    assert said[0].startswith("Skipped 3,001 bad rows: row 2, column label: the label is missing; row 5,")
    (whole,) = read_tables(path, labelled=False)
    assert whole.schema == found.schema
    kept = [(values, text) for (_, values), text in whole.texts(whole.columns())]
    assert (len(kept), kept[1], kept[-1][1]) == (9_000, ((1, "text 1", None), "text 1"), None)
    needed = next(iter(read_tables(path))).read({1})
    assert next(iter(needed)) == (1, (None, "text 0", None))


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


@pytest.mark.parametrize(
    ("content", "header", "texts"),
    [
        ("id,text\n1,\"a\nb\"\n2,c\n", ["id", "text"], ["a\nb", "c"]),
        ('{"id": 1, "text": "a"}\n{"text": null, "new": 2}\n', ["id", "text", "new"], ["a", None]),
        ("just a line\n\nText, and more\n", ["text"], ["just a line", "", "Text, and more"]),
        ("4 a\n0 b\n" * 2, ["label", "text"], ["a", "b"] * 2),
        ("no a\nso b\n" * 20, ["text"], ["no a", "so b"] * 20),
        ("Text, please\nand more\n\nlines, of, it\n", ["text"], ["Text, please", "and more", "", "lines, of, it"]),
        ("__label__x a\nb\n", ["label", "text"], ["a", "b"]),
    ],
)  # fmt: skip
def test_tables_without_labels_keep_every_row_and_column(tmp_path, content, header, texts):
    (found,) = read_tables(write(tmp_path / "a", content), labelled=False)
    rows = list(found.texts(found.columns()))
    assert ([text for _, text in rows], found.header) == (texts, header)
    assert all(len(values) <= len(header) for (_, values), _ in rows)


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
        rows = [dict(zip(whole.header, values, strict=True)) for (_, values), _ in whole.texts(whole.columns())]
        assert [row["c8"] for row in rows] == [*frame["c8"]], name


# The cases that were collected ------------------------------------------------------------------------------


AS_THEY_ARE = (
    "02-semicolon-csv/r.csv", "09-tabs-in-dot-csv/r.csv", "12b-tsv-pandas-quoted/r.tsv", "19-json-array/r.json",
    "19-json-array/r2.json", "23-folder-no-suffix/20news", "23-folder-no-suffix/n.tar.gz", "24-split-validation/r.csv",
    "28-ft-multilabel/r.txt", "33-label-persian-zwnj/r.csv",
)  # fmt: skip
SKIPPED = {"skip_bad_rows": True}


@pytest.mark.skipif(not CASES.is_dir(), reason="the collected cases are not beside the repository")
@pytest.mark.parametrize(("case", "layout", "texts", "said"), [
    *((case, {}, 80, "") for case in AS_THEY_ARE),
    ("04-latin1-csv/r.csv", {}, "byte 0xE9 is not UTF-8", ""),
    ("04-latin1-csv/r.csv", {"encoding": "cp1252"}, 80, ""),
    ("07-headerless-tsv/SMSSpamCollection", {}, "try no_header=True label_column=1 text_column=2", ""),
    ("07-headerless-tsv/SMSSpamCollection", NUMBERED, 80, ""),
    ("15-cat-two-csv/r.csv", {}, 80, "repeated headers: 1 skipped."),
    ("16-empty-labels/r.csv", {}, "the label is empty", ""),
    ("16-empty-labels/r.csv", SKIPPED, 80, "Skipped 2 bad rows: line 82, column label"),
    ("18b-trailing-commas-excel/r.csv", {}, 80, "rows without any value: 2 skipped."),
    ("20-jsonl-null-numeric/a.jsonl", {}, "line 81, column text: the text is missing", ""),
    ("20-jsonl-null-numeric/b.jsonl", {}, 81, ""),
    *((f"20-jsonl-null-numeric/{name}.jsonl", SKIPPED, 80, "Skipped 1 bad row") for name in "cd"),
    ("25-split-other-meaning/r.csv", {}, 80, "which are not splits"),
    ("25-split-other-meaning/r.csv", {"no_split": True}, 80, ""),
    ("85x-label-quoted-tsv/r.tsv", {}, 80, "with format tsv they are kept"),
])  # fmt: skip
def test_collected_cases(case, layout, texts, said):
    if isinstance(texts, str):
        with pytest.raises(DataError, match=texts):
            read(CASES / case, **layout)
        return
    found, sentences = read(CASES / case, **layout)
    labels = {label for label, _ in found}
    assert (len(found), len(labels)) == (texts, 2)
    assert not any('"' in label for label in labels)
    assert said in " ".join(sentences)
    assert bool(said) == bool(sentences)
