"""Every format in, the same texts out; and what is wrong is named with its file and line."""

import bz2
import gzip
import io
import lzma
import sys
import tarfile
import tracemalloc
from functools import partial
from pathlib import Path

import pytest
from conftest import DATASETS, needs_datasets

from mlcore.errors import DataError, InputError
from mlcore.text import corpus as corpora
from mlcore.text import readers, unpacking
from mlcore.text.corpus import built_in_corpus, read_corpus, read_examples

EXPECTED = [("pos", 'Good, "very" good'), ("neg", "Bad\tor worse")]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def imdb(folder):
    for name, text in (("train/pos/1_9.txt", "Good"), ("train/neg/2_1.txt", "Bad"), ("test/neg/0_2.txt", "Worse"),
                       ("train/unsup/0_0.txt", "?"), ("train/pos/notes.md", "no text")):  # fmt: skip
        path = folder / "aclImdb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def rows(corpus):
    return list(zip(corpus.labels, corpus.texts, corpus.splits, strict=True))


IMDB_ROWS = [("neg", "Worse", "test"), ("neg", "Bad", "train"), ("pos", "Good", "train")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\r\n"Good, ""very"" good",pos\r\nBad\tor worse,neg\r\n'),
        ("a.jsonl", '{"label": "pos", "text": "Good, \\"very\\" good"}\n\n{"label": "neg", "text": "Bad\\tor worse"}'),
        ("a.txt", '__label__pos Good, "very" good\n__label__neg Bad\tor worse\n'),
        ("b.CSV", '\ufefflabel,x,text\npos,1,"Good, ""very"" good"\nneg,2,Bad\tor worse'),
    ],
)
def test_formats(tmp_path, name, content):
    corpus = read_corpus(write(tmp_path / name, content))
    assert list(zip(corpus.labels, corpus.texts, strict=True)) == EXPECTED


def test_tsv_has_no_quoting(tmp_path):
    corpus = read_corpus(
        write(tmp_path / "a.tsv", 'split\tlabel\ttext\ntest\tpos\t"Good" and "so\ndev\tneg\tBad\u2028too\r\n')
    )
    assert rows(corpus) == [("pos", '"Good" and "so', "test"), ("neg", "Bad\u2028too", "dev")]


def test_csv_field_may_hold_lines_and_be_long(tmp_path):
    corpus = read_corpus(write(tmp_path / "a.csv", f'text,label\n"a\nb",pos\n{"x" * 200_000},neg\n'))
    assert corpus.texts == ["a\nb", "x" * 200_000]


def test_imdb_folder_and_archive_give_the_same_rows(tmp_path):
    folder = imdb(tmp_path)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(folder / "aclImdb", "aclImdb")
    for path in (folder, folder / "aclImdb", tmp_path / "a.tar.gz"):
        assert sorted(rows(read_corpus(path))) == sorted(IMDB_ROWS)
    assert rows(read_corpus(folder / "aclImdb")) == rows(read_corpus(tmp_path / "a.tar.gz"))


def test_built_in_corpus():
    corpus = read_corpus(built_in_corpus())
    assert [len(corpus.part(split)) for split in ("train", "dev", "test")] == [6237, 780, 780]
    assert set(corpus.labels) == {"pos", "neg"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty; expected a folder for each label"),
        ("a.csv", "\n", "line 1: expected a header with one column named text; found nothing"),
        ("a.csv", "text,label,split,split\na,pos,dev,test\n", "one column named split"),
        ("a.csv", "text,label\ngood,\x1b[31m\n", "line 2, column label: the label is '\\x1b[31m'"),
        ("a.jsonl", '{"text": "a", "label": ""}', "line 1, column label: the label is empty"),
        ("a.jsonl", '{"text": "a", "label": NaN}', "line 1: not a JSON object (NaN is not JSON)"),
        ("a.jsonl", '{"text": "a", "label": "b", "split": 0}', "line 1, column split: the split is 0"),
        ("a.csv", "text,label\n", "holds no labelled text"),
        ("a.csv", "text,score\ngood,5\n", "line 1: expected a header with one column named label; found text, score"),
        ("a.csv", "text,label\ngood,pos\nbad,neg,x\n", "line 3: has 3 fields; expected 2"),
        ("a.csv", 'text,label\n"a\nb",pos\n"open,neg\n', "line 4: a quote is opened in this row and never closed"),
        ("a.csv", 'text,label\n"a"b,pos\n', "line 2: not CSV by RFC 4180"),
        ("a.csv", "text,label\ngood,\n", "line 2, column label: the label is empty"),
        (
            "a.tsv",
            "text\tlabel\tsplit\ngood\tpos\tvalid\n",
            "line 2, column split: the split is 'valid'; expected train, dev or test",
        ),
        ("a.tsv", b"text\tlabel\ngood\tpos\nb\xe4d\tneg\n", "line 3: byte 0xe4 is not UTF-8"),
        ("a.jsonl", '{"text": "good"}\n', 'line 1: expected an object with the keys "text" and "label"'),
        ("a.jsonl", '{"text": "good", "label": "pos"}\n{', "line 2, column 2: not a JSON object"),
        ("a.jsonl", '{"text": 5, "label": "pos"}\n', "line 1: text must be a string"),
        ("a.jsonl", "[" * 100_000, "line 1: not a JSON object"),
        ("a.txt", "__label__pos good\nbad\n", "line 2: expected __label__NAME"),
        ("a.txt", "__label__pos __label__neg bad\n", "line 1: has two labels"),
        ("a.txt", "just text\n", "no format that mlcore knows"),
        ("a.bin", bytes(range(256)), "no format that mlcore knows"),
        ("a.csv", bytes(range(255, -1, -1)), "line 1: byte 0xff is not UTF-8"),
        (
            "a.jsonl",
            ' {"text": "a", "label": "b"} \n{"text": "a", "label": "b"} x',
            "line 2, column 29: not a JSON object (Extra data",
        ),
        ("a.tar.gz", bytes(range(256)), "is not a complete tar archive"),
        ("a.tgz", b"", "is empty"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_damaged_archives_are_never_read_in_part(tmp_path):
    """Every cut is found, and every changed bit that changes the content: gzip's sum is checked to the end."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(imdb(tmp_path) / "aclImdb", "aclImdb")
    whole = buffer.getvalue()
    path = write(tmp_path / "bad.tar.gz", whole)
    expected = rows(read_corpus(path))
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match="bad.tar.gz"):
            read_corpus(path)
    found = 0
    for place in range(10, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            assert rows(read_corpus(path)) == expected  # a bit that pads the compressed data
        except DataError:
            found += 1
    assert found > len(range(10, len(whole), 3)) * 0.9


def test_member_that_claims_gigabytes(tmp_path):
    path = tmp_path / "a.tar.gz"
    member = tarfile.TarInfo("aclImdb/train/pos/1_9.txt")
    member.size = 3 << 30
    with gzip.open(path, "wb") as stream:
        stream.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(DataError, match="3,221,225,472 bytes; expected a text"):
        read_corpus(path)


def test_fasttext_may_begin_with_a_mark_or_a_blank_line(tmp_path):
    for start in ("\ufeff", "\n", " "):
        assert len(read_corpus(write(tmp_path / "a", f"{start}__label__pos good\n")).texts) == 1


def test_places_are_lines_or_files(tmp_path):
    assert read_corpus(write(tmp_path / "a.csv", 'text,label\n"a\nb",pos\nc,neg\n')).places == ["line 2", "line 4"]
    assert read_corpus(imdb(tmp_path)).places[0].endswith("test/neg/0_2.txt")


def test_folder_of_another_layout(tmp_path):
    with pytest.raises(DataError, match="has no text in a folder named after its label; expected LABEL/"):
        read_corpus(tmp_path)


def test_text_of_an_archive_that_is_not_utf8_is_named(tmp_path):
    folder = imdb(tmp_path)
    bad = write(folder / "aclImdb/train/pos/1_9.txt", b"fine\nbad \xff")
    with pytest.raises(DataError, match="line 2: byte 0xff is not UTF-8") as caught:
        read_corpus(folder)
    assert str(bad) in str(caught.value)


# Compression ----------------------------------------------------------------------------------------------

CONTENTS = {
    "csv": 'text,label\r\n"Good, ""very"" good",pos\r\nBad\tor worse,neg\r\n',
    "jsonl": '{"label": "pos", "text": "Good, \\"very\\" good"}\n{"label": "neg", "text": "Bad\\tor worse"}\n',
    "fasttext": '__label__pos Good, "very" good\n__label__neg Bad\tor worse\n',
    "tsv": 'text\tlabel\nGood, "very" good\tpos\nBad or worse\tneg\n',
}
COMPRESSORS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def tar(folder, *names):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.add(folder / name, name)
    return buffer.getvalue()


def give_standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("suffix", COMPRESSORS)
@pytest.mark.parametrize("format", CONTENTS)
def test_every_format_with_every_compression(tmp_path, monkeypatch, format, suffix):
    """By its name, by its content alone whatever the name says, when told, and from standard input."""
    packed = COMPRESSORS[suffix](CONTENTS[format].encode())
    plain_name = "a.txt" if format == "fasttext" else f"a.{format}"
    give_standard_input(monkeypatch, packed)
    for path, told in (
        (write(tmp_path / (plain_name + suffix), packed), None),
        (write(tmp_path / plain_name, packed), None),
        (write(tmp_path / "anything", packed), None),
        (write(tmp_path / "misleading.tgz", packed), format),
        (Path("-"), None),
    ):
        corpus = read_corpus(path, told)
        assert [(label, text.replace("\t", " ")) for label, text in zip(corpus.labels, corpus.texts, strict=True)] == [
            (label, text.replace("\t", " ")) for label, text in EXPECTED
        ]
    assert (corpus.source, corpus.undecodable) == ("standard input", [])


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "a", "-"])
@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_archives_with_every_compression(tmp_path, monkeypatch, name, suffix):
    packed = COMPRESSORS[suffix](tar(imdb(tmp_path), "aclImdb"))
    give_standard_input(monkeypatch, packed)
    assert rows(read_corpus(Path("-") if name == "-" else write(tmp_path / name, packed))) == IMDB_ROWS


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_compressed_texts_are_never_read_in_part(tmp_path, suffix):
    """Two streams, one behind the other, as parallel compressors write them, cut and changed everywhere."""
    first, second = "text,label\na,pos\n", "b,neg\n"
    whole = b"".join(COMPRESSORS[suffix](part.encode()) for part in (first, second))
    path = write(tmp_path / f"a.csv{suffix}", whole)
    assert read_corpus(path).texts == ["a", "b"]
    start_of_second = len(COMPRESSORS[suffix](first.encode()))
    for end in set(range(8, len(whole))) - {start_of_second}:
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"a\.csv\.\w+ is damaged or incomplete \(.+\); fetch it again"):
            read_corpus(path)
    for place in range(start_of_second, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            assert read_corpus(path).texts == ["a", "b"]  # a bit that does not matter, such as the time
        except DataError as error:
            assert str(path) in str(error)
    path.write_bytes(whole + b"more")
    with pytest.raises(DataError, match="is damaged"):
        read_corpus(path)


def test_padding_after_compressed_data_is_no_damage(tmp_path):
    path = write(tmp_path / "a.csv.gz", gzip.compress(b"text,label\na,pos\n") + bytes(1000))
    assert read_corpus(path).texts == ["a"]


def test_a_plain_archive_is_never_read_in_part(tmp_path):
    """It has no sum over its content, but its headers have, and it ends with zeros."""
    whole = tar(imdb(tmp_path), "aclImdb")
    path = tmp_path / "a.tar"
    end_of_content = len(whole.rstrip(b"\0"))
    for end in range(512, end_of_content, 512):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match="a.tar is not a complete tar archive"):
            read_corpus(path)
    header = whole.index(b"aclImdb/train/neg")
    path.write_bytes(whole[:header] + b"x" + whole[header + 1 :])
    with pytest.raises(DataError, match="a.tar is not a complete tar archive"):
        read_corpus(path)


# Folders --------------------------------------------------------------------------------------------------


def texts_at(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a b/1.txt", "ä/2.TXT", "2/x.txt", "2/x.md"], [("2", ""), ("a b", ""), ("ä", "")]),
        (["train/x/1.txt", "dev/x/1.txt", "test/y/1.txt"], [("x", "dev"), ("y", "test"), ("x", "train")]),
        (["aclImdb/a/1.txt", "aclImdb/b/1.txt"], [("a", ""), ("b", "")]),
        (["README.txt", "set/README.txt", "set/train/a/1.txt", "set/train/urls.txt"], [("a", "train")]),
        (["a/1.txt", "unsup/1.txt", ".git/1.txt", "a/._1.txt"], [("a", "")]),
        (["train/1.txt", "plane/1.txt"], [("plane", ""), ("train", "")]),
    ],
)
def test_folder_for_each_label(tmp_path, names, expected):
    folder = texts_at(tmp_path / "folder", *names)
    archive = write(tmp_path / "a.tar", tar(folder, "."))
    for path in (folder, archive):
        corpus = read_corpus(path)
        assert list(zip(corpus.labels, corpus.splits, strict=True)) == expected
        assert [place.endswith(text) for place, text in zip(corpus.places, corpus.texts, strict=True)] == [True] * len(
            expected
        )
    assert read_corpus(folder, "folder").texts == corpus.texts


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.txt", "2.txt"], "has no text in a folder named after its label"),
        (["a/1.csv"], "has no text in a folder named after its label"),
        (["train/a/1.txt", "valid/a/1.txt"], "has valid/a/1.txt where it cannot be told what is a label"),
        (["train/a/1.txt", "train/a/old/1.txt"], "has train/a/old/1.txt where it cannot be told"),
        (["train/a/1.txt", "b/1.txt"], "has b/1.txt where it cannot be told"),
        (["a/1.txt", "b/1.txt", "b/old/2.txt"], "has a/1.txt where it cannot be told"),
        (["a\x1b[31m/1.txt"], "the label is 'a\\x1b[31m'; expected a printable word"),
        ([" /1.txt"], "the label is empty"),
    ],
)
def test_folders_of_which_a_part_would_be_left_out(tmp_path, names, message):
    folder = texts_at(tmp_path / "folder", *names)
    for path in (folder, write(tmp_path / "a.tar", tar(folder, "."))):
        with pytest.raises(DataError) as caught:
            read_corpus(path)
        assert message in str(caught.value)
        assert str(path) in str(caught.value)


# Columns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (("review", "sentiment"), {}),
        (("Content", "STARS"), {}),
        (("sentence", "label", "stars"), {}),
        (("text", "class", "review"), {}),
        (("body", "verdict"), {"text_column": "body", "label_column": "verdict"}),
        (("body", "verdict", "text", "label"), {"text_column": "Body", "label_column": "verdict"}),
        (("a", "label", "A"), {"text_column": "a"}),
        (("split", "label"), {"text_column": "split"}),
    ],
)
def test_columns_by_usual_and_given_names(tmp_path, format, columns, names):
    values = ("good", "pos", "third", "fourth")[: len(columns)]
    separator = {"csv": ",", "tsv": "\t"}.get(format)
    content = (
        f"{separator.join(columns)}\n{separator.join(values)}\n"
        if separator
        else str(dict(zip(columns, values, strict=True))).replace("'", '"')
    )
    for name in ("a", f"a.{format}"):
        corpus = read_corpus(write(tmp_path / name, content), **names)
        assert rows(corpus) == [("pos", "good", "")]


@pytest.mark.parametrize(
    ("name", "content", "names", "message"),
    [
        ("a.csv", "review,content,label\n", {},
         "line 1: expected a header with one column named text; found review, content, label; "
         "name the column with --text-column."),
        ("a.tsv", "text\tstars\trating\n", {},
         "line 1: expected a header with one column named label; found text, stars, rating; "
         "name the column with --label-column."),
        ("a.csv", "text,label\n", {"text_column": "body"},
         "line 1: expected a header with one column named body; found text, label; correct --text-column."),
        ("a.csv", "text,stars\n", {"label_column": "label"},
         "line 1: expected a header with one column named label; found text, stars; correct --label-column."),
        ("a.csv", "text,TEXT,x,x,label\n", {"text_column": "x"},
         "line 1: expected a header with one column named x; found text, TEXT, x, x, label; correct --text-column."),
        ("a.jsonl", '{"text": "a", "stars": 5}', {"label_column": "x"},
         'line 1: expected an object with the keys "text" and "x"; found text, stars; correct --label-column.'),
        ("a.jsonl", '{"review": "a", "stars": 5}\n\n{"text": "a", "stars": 5}', {},
         'line 3: expected an object with the keys "review" and "stars"; found text, stars.'),
        ("a.jsonl", "{}", {},
         'line 1: expected an object with the keys "text" and "label"; found nothing; '
         "name the column with --text-column."),
        ("a.jsonl", "[1]", {}, "line 1: not a JSON object, but a list."),
        ("a.jsonl", '{"review": "a", "stars": []}', {}, "line 1: review must be a string, and stars a string"),
        ("a.csv", "review,stars\na,\n", {}, "line 2, column stars: the label is empty"),
        ("a.zip", "PK\3\4", {}, "is a zip archive, which mlcore does not read; unpack it first."),
        ("a.txt", "text,score\na,1\n", {}, "name the format with --format."),
    ],
)  # fmt: skip
def test_wrong_columns(tmp_path, name, content, names, message):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError) as caught:
        read_corpus(path, **names)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


# Pieces ---------------------------------------------------------------------------------------------------

ODD_CONTENTS = CONTENTS | {
    "csv": '\ufefftext,split,label\r\n"a\r\n\nb",dev,x\r\n\r\n\ufeff\U0001f600 \u2028,,y\n',
    "jsonl": '\ufeff\n{"text": "\u00e4\\ud83d", "label": 2}\r\n \n {"label": true, "text": ""} \n{"label": 1.5, "text": "z"}',
    "fasttext": "\ufeff\n __label__a  b \r\n\r\n__label__c\n__label__\u00e4\u2028d\r",
    "tsv": 'label\ttext\r\na\t"\r"\r\n\nb\t\u00e9\r',
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("format", ODD_CONTENTS)
def test_examples_do_not_depend_on_the_pieces_in_which_they_are_read(tmp_path, monkeypatch, format, size):
    """Whole, undecodable, and with an error in the last line: places, labels and messages are the same."""
    content = ODD_CONTENTS[format].encode()
    wrong = {"csv": b"\na,b", "tsv": b"\na\tb\tc", "jsonl": b"\n{]", "fasttext": b"\nx"}[format]
    for whole in (content, content.replace(b"\xc3", b"\xff"), content + wrong):
        path = write(tmp_path / "a", whole)
        found = []
        for pieces in (1 << 30, size):
            monkeypatch.setattr(unpacking, "GATHERED", pieces)
            monkeypatch.setattr(corpora, "HEAD", pieces)
            for lenient in (False, True):
                try:
                    found.append(read_corpus(path, format, lenient=lenient))
                except DataError as error:
                    found.append(str(error))
        assert found[:2] == found[2:]


def test_examples_are_those_of_the_corpus(tmp_path):
    folder = texts_at(tmp_path / "folder", "x/1.txt")
    table = write(tmp_path / "a.tsv", b"text\tlabel\n" + b"good\tpos\n\xff\tneg\n" * 600)
    undecodable, counted = [], []
    examples = list(read_examples([table, folder], progress=counted.append, undecodable=undecodable))
    corpus = read_corpus([table, folder], lenient=True)
    assert examples == list(zip(corpus.texts, corpus.labels, corpus.splits, corpus.places, strict=True))
    assert (undecodable, counted) == (corpus.undecodable, [500, 1000])
    assert (examples[0].text, examples[-1].label) == ("good", "x")


def test_arguments_are_checked_before_the_first_example_is_asked_for(tmp_path):
    for arguments in ((),), (tmp_path, "csv"), (tmp_path, "imdb"), (tmp_path, None, ""), ([tmp_path, tmp_path],):
        with pytest.raises(InputError):
            read_examples(*arguments)
    with pytest.raises(DataError, match="a.csv holds no labelled text"):
        next(read_examples(write(tmp_path / "a.csv", "text,label\n")))


@pytest.mark.parametrize("compress", [bytes, partial(gzip.compress, compresslevel=1)])
@pytest.mark.parametrize("format", CONTENTS)
def test_memory_does_not_grow_with_the_file(tmp_path, format, compress):
    """Of 130 MB, as many as they may be unpacked, a few pieces are in memory."""
    row = {"csv": '"{0}",pos\r\n', "tsv": "{0}\tpos\n", "fasttext": "__label__pos {0}\n",
           "jsonl": '{{"text": "{0}", "label": "pos"}}\n'}[format].format("good film " * 1300).encode()  # fmt: skip
    header = {"csv": b"text,label\n", "tsv": b"text\tlabel\n"}.get(format, b"")
    with open(tmp_path / "a", "wb") as file:
        file.write(compress(header))
        file.writelines([compress(row * 100)] * 100)
    examples = read_examples(tmp_path / "a", format)
    tracemalloc.start()
    try:
        assert sum(1 for _ in examples) == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000


def test_a_quote_that_is_never_closed_is_refused_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LONGEST_TEXT", 1000)
    path = write(tmp_path / "a.csv", 'text,label\na,b\n"' + "c\n" * 1000)
    with pytest.raises(DataError, match="line 3: has a field of more than 1,000 characters; perhaps a quote is never"):
        read_corpus(path)


# Several paths, and arguments -----------------------------------------------------------------------------


def test_several_paths_are_one_corpus_whose_places_name_the_file(tmp_path, monkeypatch):
    folder = texts_at(tmp_path / "folder", "x/1.txt")
    archive = write(tmp_path / "a.tar", tar(folder, "x"))
    table = write(tmp_path / "a.csv.gz", gzip.compress(b"text,label\na,pos\n"))
    give_standard_input(monkeypatch, b"__label__neg b\n")
    counted = []
    corpus = read_corpus([table, Path("-"), folder, archive], progress=counted.append)
    assert corpus.source == f"{table}, standard input, {folder}, {archive}"
    assert rows(corpus) == [("pos", "a", ""), ("neg", "b", ""), ("x", "x/1.txt", ""), ("x", "x/1.txt", "")]
    assert corpus.places == [
        f"{table}, line 2", "standard input, line 1", f"{folder / 'x/1.txt'}", f"{archive}, x/1.txt"
    ]  # fmt: skip


def test_progress_is_the_number_of_texts_so_far(tmp_path):
    paths = [write(tmp_path / name, "text,label\n" + "a,pos\n" * 600) for name in ("a.csv", "b.csv")]
    counted = []
    read_corpus(paths, progress=counted.append)
    assert counted == [500, 1000]
    with pytest.raises(InputError, match="a.csv is given twice"):
        read_corpus([*paths, paths[0]])


def test_every_path_must_hold_texts(tmp_path):
    good, none = write(tmp_path / "a.csv", "text,label\na,pos\n"), write(tmp_path / "b.csv", "text,label\n")
    with pytest.raises(DataError, match="b.csv holds no labelled text"):
        read_corpus([good, none])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "No data is given; expected a path or more."),
        (("",), "A path to data is empty; expected a file or a folder, or - for standard input."),
        (([Path("-"), Path("-")],), "Standard input, -, is given twice; it can be read once."),
        ((Path("."), "imdb"), "format is 'imdb'; expected folder, csv, tsv, jsonl or fasttext."),
        ((Path("."), "csv"), "format is 'csv', but . is a folder; leave the format out."),
        ((Path("."), None, " "), "text_column is ' '; expected the name of a column."),
        ((Path("."), None, "a", "a"), "label_column is 'a', as is the column of the text; expected another one."),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(InputError) as caught:
        read_corpus(*arguments)
    assert str(caught.value) == message


def test_missing_files_and_a_closed_standard_input(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        read_corpus([tmp_path / "a.csv"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="Standard input is closed"):
        read_corpus(Path("-"))


# Bytes that are not UTF-8 ---------------------------------------------------------------------------------


def test_lenient_reading_replaces_and_notes_what_is_not_utf8(tmp_path):
    table = write(tmp_path / "a.tsv", b"text\tlabel\ngood\tpos\nb\xe4d\xff\tneg\nbad\tneg\n\xe4\tneg\n")
    folder = texts_at(tmp_path / "folder", "x/1.txt", "x/2.txt")
    bad = write(folder / "x/2.txt", b"fine\n\xff")
    corpus = read_corpus(table, lenient=True)
    assert corpus.texts == ["good", "b\ufffdd\ufffd", "bad", "\ufffd"]
    assert corpus.undecodable == ["line 3", "line 5"]
    assert corpus.places == ["line 2", "line 3", "line 4", "line 5"]
    both = read_corpus([table, folder], lenient=True)
    assert both.undecodable == [f"{table}, line 3", f"{table}, line 5", str(bad)]
    assert both.texts[-1] == "fine\n\ufffd"
    with pytest.raises(DataError, match="a.tsv, line 3: byte 0xe4 is not UTF-8; save the file as UTF-8."):
        read_corpus([table, folder])


def test_lenient_reading_changes_nothing_else(tmp_path):
    corpus = read_corpus(built_in_corpus(), lenient=True)
    assert corpus == read_corpus(built_in_corpus())
    with pytest.raises(DataError, match="the label is empty"):
        read_corpus(write(tmp_path / "a.csv", "text,label\na,\n"), lenient=True)


def test_parts_of_a_corpus(tmp_path):
    path = write(tmp_path / "a.csv", b"text,label,split\na,x,train\nb,y,dev\n\xff,x,test\n")
    corpus = read_corpus(path, lenient=True)
    held_out = corpus.select(corpus.held_out())
    assert (held_out.texts, held_out.labels, held_out.places) == (["\ufffd"], ["x"], ["line 4"])
    assert held_out.undecodable == ["line 4"]
    assert corpus.select([0, 1]).held_out() == [1]
    assert corpus.select([0]).held_out() == [0]


@needs_datasets
@pytest.mark.parametrize(
    ("name", "texts", "labels"),
    [
        ("mr.csv", 10_662, 2),
        ("sst2-train.tsv", 6_920, 2),
        ("sst5-train.jsonl", 8_544, 5),
        ("trec-train.fasttext.txt", 5_452, 6),
        ("aclImdb-train.tar.gz", 25_000, 2),
    ],
)
def test_real_files(name, texts, labels):
    corpus = read_corpus(DATASETS / name)
    assert (len(corpus.texts), len(set(corpus.labels)), len(set(corpus.places))) == (texts, labels, texts)


@pytest.mark.parametrize("module", ["bz2", "gzip", "lzma"])
def test_what_unpacks_to_much_comes_in_small_pieces(module):
    from importlib import import_module

    size = 30 * unpacking.GATHERED
    packed = import_module(module).compress(bytes(size)) + import_module(module).compress(b"end")
    pieces = list(unpacking.unpack_pieces("x", iter([packed])))
    assert sum(map(len, pieces)) == size + 3
    assert max(map(len, pieces)) <= 2 * unpacking.GATHERED
    assert b"".join(pieces).endswith(b"end")
