"""Every format in, the same texts out; and what is wrong is named with its file and line."""

import gzip
import io
import tarfile

import pytest

from mlcore.errors import DataError
from mlcore.text.corpus import built_in_corpus, read_corpus

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
        ("a.csv", "", "is empty; expected an aclImdb folder"),
        ("a.csv", "\n", "line 1: expected a header with one column named text; found nothing"),
        ("a.csv", "text,label,split,split\na,pos,dev,test\n", "one column named split"),
        ("a.csv", "text,label\ngood,\x1b[31m\n", "line 2: the label is '\\x1b[31m'"),
        ("a.jsonl", '{"text": "a", "label": ""}', "line 1: the label is empty"),
        ("a.jsonl", '{"text": "a", "label": NaN}', "line 1: not a JSON object (NaN is not JSON)"),
        ("a.jsonl", '{"text": "a", "label": "b", "split": 0}', "line 1: the split is 0"),
        ("a.csv", "text,label\n", "holds no labelled text"),
        ("a.csv", "text,stars\ngood,5\n", "line 1: expected a header with one column named label; found text, stars"),
        ("a.csv", "text,label\ngood,pos\nbad,neg,x\n", "line 3: has 3 fields; expected 2"),
        ("a.csv", 'text,label\n"a\nb",pos\n"open,neg\n', "line 4: a quote is opened in this row and never closed"),
        ("a.csv", 'text,label\n"a"b,pos\n', "line 2: not CSV by RFC 4180"),
        ("a.csv", "text,label\ngood,\n", "line 2: the label is empty"),
        (
            "a.tsv",
            "text\tlabel\tsplit\ngood\tpos\tvalid\n",
            "line 2: the split is 'valid'; expected train, dev or test",
        ),
        ("a.tsv", b"text\tlabel\ngood\tpos\nb\xe4d\tneg\n", "line 3: byte 0xe4 is not UTF-8"),
        ("a.jsonl", '{"text": "good"}\n', 'line 1: expected an object with the keys "text" and "label"'),
        ("a.jsonl", '{"text": "good", "label": "pos"}\n{', "line 2: not a JSON object"),
        ("a.jsonl", '{"text": 5, "label": "pos"}\n', "line 1: text must be a string"),
        ("a.jsonl", "[" * 100_000, "line 1: not a JSON object"),
        ("a.txt", "__label__pos good\nbad\n", "line 2: expected __label__NAME"),
        ("a.txt", "__label__pos __label__neg bad\n", "line 1: has two labels"),
        ("a.txt", "just text\n", "no format that mlcore knows"),
        ("a.bin", bytes(range(256)), "no format that mlcore knows"),
        ("a.csv", bytes(range(256)), "is not UTF-8"),
        ("a.tar.gz", bytes(range(256)), "not a complete .tar.gz"),
        ("a.tgz", b"", "not a complete .tar.gz"),
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
    with pytest.raises(DataError, match="3,221,225,472 bytes; expected a review"):
        read_corpus(path)


def test_fasttext_may_begin_with_a_mark_or_a_blank_line(tmp_path):
    for start in ("\ufeff", "\n", " "):
        assert len(read_corpus(write(tmp_path / "a", f"{start}__label__pos good\n")).texts) == 1


def test_places_are_lines_or_files(tmp_path):
    assert read_corpus(write(tmp_path / "a.csv", 'text,label\n"a\nb",pos\nc,neg\n')).places == ["line 2", "line 4"]
    assert read_corpus(imdb(tmp_path)).places[0].endswith("test/neg/0_2.txt")


def test_folder_of_another_layout(tmp_path):
    with pytest.raises(DataError, match="has no train/pos"):
        read_corpus(tmp_path)


def test_text_of_an_archive_that_is_not_utf8_is_named(tmp_path):
    folder = imdb(tmp_path)
    bad = write(folder / "aclImdb/train/pos/1_9.txt", b"fine\nbad \xff")
    with pytest.raises(DataError, match="line 2: byte 0xff is not UTF-8") as caught:
        read_corpus(folder)
    assert str(bad) in str(caught.value)
