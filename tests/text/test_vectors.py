"""Word vectors in text: what is read, what is refused and where, and that what is written comes back exactly."""

import bz2
import gzip
import io
import json
import lzma
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from test_readers import write, zipped

from mlcore.errors import DataError
from mlcore.text import vectors as module
from mlcore.text.vectors import read_vectors, write_vectors
from mlcore.text.vocabulary import WordTable

packed = partial(gzip.compress, mtime=0)  # the names of tests are made of it


def table_of(*words):
    table = WordTable()
    table.add(words)
    return table


def binary(*rows, end=b"\n"):
    """Word2vec's binary format."""
    lines = [word.encode() + b" " + np.array(numbers, "<f4").tobytes() + end for word, *numbers in rows]
    return f"{len(rows)} {len(rows[0]) - 1}\n".encode() + b"".join(lines)


def read(tmp_path, content, *words, dim=None):
    return read_vectors(write(tmp_path / "vectors.txt", content), table_of(*words), dim)


def rows(vectors):
    """The vector of each word, None for those that have none."""
    return [vectors.table[row].tolist() if row >= 0 else None for row in vectors.rows]


@pytest.mark.parametrize(
    "content",
    [
        "good 1 2\nbad -1 0.5\n",
        "2 2\ngood 1 2\nbad -1 0.5\n",
        "good 1 2\r\nbad -1 0.5",
        "good\t1\t2\nbad\t-1\t5e-1\n",
        "2 2\ngood 1 2 \nbad -1 0.5 \n",  # as fastText writes it
        "\ufeffgood 1 2\n\n  \nbad  -1  .5\n\n",
        " good 9 9\nnew good 8 8\ngood\t\t1 2 \n7 1 1\nbad\t-1 .5",  # words with spaces, and the empty word
        *(compress(b"good 1 2\nbad -1 .5") for compress in (packed, bz2.compress, lzma.compress)),
        zipped({"glove.txt": b"good 1 2\nbad -1 .5"}),
        *(binary(["good", 1, 2], ["bad", -1, 0.5], end=end) for end in (b"", b"\n")),
        packed(binary(["good", 1, 2], ["bad", -1, 0.5])),
        binary(["good", 1, 2], ["bad", -1, 0.5]).replace(b"2 2\n", b"2  2 \r\n"),
        *("\ufeffgood 1 2\r\nbad -1 .5\r\n".encode(encoding) for encoding in ("utf-16-le", "utf-16-be", "utf-32-le")),
        "2 2\n/c/en/good 1 2\n/c/en/very_bad 3 4\n/c/en/bad -1 .5\n",  # ConceptNet Numberbatch
        "good 1 2\n/c/dd/bad 7 7\nbad -1 .5\n/c/en/x 1 1\n/c/de/y 1 1\n",  # not of Numberbatch
        "in 2008 3 4\ngood 1 2\nbad -1 .5",
        b"\xe9\xfe 1 1\nGo\xe9d 2 2\ngood 1 2\n\x80A 5 5\nbad -1 .5",  # what is not UTF-8 is an unknown word
    ],
)
def test_formats(tmp_path, content):
    assert read(tmp_path, content).table.shape == (0, 2)
    found = read(tmp_path, content, "film", "good", "bad")
    assert rows(found) == [None, [1, 2], [-1, 0.5]]
    assert found.table.shape == found.of_found().shape == (2, 2), "memory is taken by words that have a vector"
    assert found.table.dtype == np.float32
    assert found.found.tolist() == [False, True, True]
    assert found.duplicates == 0


def test_the_very_word_goes_before_its_lower_case_in_any_order_and_block(tmp_path, monkeypatch):
    lines = ["paris 1 1", "Paris 2 2", "PARIS 3 3", "Rome 4 4", "ROME 5 5"]
    for block in (1 << 22, 8):
        monkeypatch.setattr(module, "BLOCK", block)
        for order in (lines, lines[::-1]):
            found = read(tmp_path, "\n".join(order), "paris", "rome")
            assert rows(found) == [[1, 1], [4, 4] if order is lines else [5, 5]]
            assert found.lower_cased.tolist() == [False, True]
            assert found.duplicates == 0
    assert read(tmp_path, "good 1 1\ngood 2 2\nunknown 0 0\nunknown 0 0\ngood x y\n", "good").duplicates == 2
    assert read(tmp_path, "2 1\ngood 3\nbad 4\n", "good").table.tolist() == [[3]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("what is this\n", "contains no vectors: line 1 is 'what is this'; expected in each line a word and its numb"),
        ("good 0,1 0,2\n", "line 1 is 'good 0,1 0,2'"),
        ("", "contains no vectors: line 1 is ''"),
        ("0 2\n", "contains no vectors."),
        ("1 99999999999\ngood 1\n", "has vectors of 99,999,999,999 numbers; expected 1 to 10,000."),
        ("good nan 2\nbad 1 2\n", "line 1: 'nan' is not a finite number"),
        ("/c/de/gut 1 2\n/c/en/good 1 2\n", "words of several languages (/c/de/ and /c/en/); keep the lines of one"),
        ("good 1 2\nx 3 4\nbad 1\n", "line 3: 1 numbers follow the word; expected 2; if this is the last line, the "),
        ("good 1 2\n\nx 3 4\n1 2\n", "line 4: 1 numbers"),
        (b"2 2\ngood " + bytes(8) + b"\n", "is incomplete: its first line promises 2 vectors, and there are 1"),
        (b"1 2\n" + bytes(70_000), "the word of vector 1 does not end"),
        (b"1" + b" " * 60 + b"2\n" + bytes(70_000), "the word of vector 1 does not end"),
        (b"1" * 50 + b" 2\ngood " + bytes(8), "line 2: '\\x00\\x00"),
        (b"1 2\ngood " + np.array([1, np.inf], "<f4").tobytes(), "contains a number that is not finite"),
        (zipped({"a.txt": b"good 1 2", "b.txt": b"bad 3 4"}), "contains several files; unpack it, and give one"),
        (packed(b"good 1 2\n" * 99)[:-9], "is damaged or incomplete"),
        (b"\xba\x16\x4f\x2f\x0c\0\0\0", "is a binary model of fastText; expected vectors as text (GloVe, wor"),
        (bytes(257) + b"ustar", "contains several files; unpack it, and give one"),
        ("3 2\ngood 1 2\nbad 1 2\n", "is incomplete: its first line promises 3 vectors, and there are 2"),
        ("x 1 2\ngood 1 nan\n", "line 2: 'nan' is not a finite number"),
        ("x 1 2\nGood 1 1e39\n", "line 2: '1e39' is not a finite number that float32 can hold"),
        ("x 1 2\ngood 1 \xff\n".encode("latin-1"), "line 2: '\ufffd' is not a finite number"),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(tmp_path, content, message):
    with pytest.raises(DataError) as caught:
        read(tmp_path, content, "good", "bad")
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_the_width_is_that_of_the_file_and_another_one_is_refused(tmp_path):
    for content in ("good 1 2 3\n", "1 3\ngood 1 2 3\n", binary(["good", 1, 2, 3]), "7 1 2 3\ngood 1 2 3\n"):
        assert read(tmp_path, content, "good").table.tolist() == [[1, 2, 3]]
        with pytest.raises(DataError, match=r"vectors\.txt has vectors of 3 numbers, .* has 2; try dim=3\.$"):
            read(tmp_path, content, "good", dim=2)
    assert read(tmp_path, "in 2008 1 2\ngood 3 4\n", "good").table.tolist() == [[3, 4]]
    with pytest.raises(DataError, match="line 2: 1 numbers follow the word; expected 2"):
        read(tmp_path, "good 1 2\nbad 1\n", "good", dim=2)


def test_the_binary_format_in_small_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 3)
    monkeypatch.setattr(module, "HEAD", 12)
    found = read(tmp_path, binary(["GOOD", 1, 2], ["other", 9, 9], ["good", 3, 4], ["Bad", 5, 6]), "good", "bad")
    assert (rows(found), found.lower_cased.tolist()) == ([[3, 4], [5, 6]], [False, True])


@pytest.mark.parametrize(
    "vocabulary", [{"[PAD]": 0, "good": 2, "Bad": 1}, [["[PAD]", 0.0], ["Bad", -1.5], ["good", -2]]]
)
def test_a_folder_of_model2vec(tmp_path, vocabulary):
    embeddings = np.array([[9, 9], [1, 2], [3, 4]], np.float16)
    save_file({"embeddings": embeddings}, tmp_path / "model.safetensors")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    found = read_vectors(tmp_path, table_of("good", "bad"))
    assert rows(found) == [[3, 4], [1, 2]]
    with pytest.raises(DataError, match="has vectors of 2 numbers, but the embedding has 3; try dim=2"):
        read_vectors(tmp_path, table_of("good"), 3)
    for content in ("[]", "{", '{"model": {"vocab": {"good": 3}}}', '{"model": {"vocab": [5]}}'):
        (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(DataError, match="is a folder without vectors .* expected a model of model2vec"):
            read_vectors(tmp_path, table_of("good"), 2)


def test_line_numbers_go_on_from_block_to_block_and_lines_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 8)
    with pytest.raises(DataError, match="line 1,235: 'nan'"):
        read(tmp_path, "9999 2\n" + "other 1 2\n" * 1233 + "good nan 1\n", "good")
    monkeypatch.setattr(module, "LONGEST_LINE", 1_000)
    with pytest.raises(DataError, match="has a line of more than 1,000 bytes"):
        read(tmp_path, b"\0" * 40_000, "good")


def test_coverage_selection_and_fingerprint(tmp_path):
    found = read(tmp_path, "good 1 2\nFilm 3 4\n", "good", "film", "new")
    coverage = found.coverage(np.array([5, 3, 2, 100]))  # the last one is an n-gram
    assert vars(coverage) == {
        "words": 3, "words_found": 2, "words_lower_cased": 1, "tokens": 10, "tokens_found": 8,
    }  # fmt: skip
    selected = found.select(np.array([2, 1]))
    assert rows(selected) == [None, [3, 4]]
    assert selected.found.tolist() == [False, True]
    assert found.fingerprint() == read(tmp_path, "x 9 9\ngood 1 2\nFilm 3 4\n", "good", "film", "new").fingerprint()
    assert found.fingerprint() != read(tmp_path, "x 9 9\ngood 1 2\nfilm 3 5\n", "good", "film", "new").fingerprint()


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=5))
def test_what_is_written_leads_back(rows):
    table, file, numbers = np.array(rows, np.float32), io.BytesIO(), range(len(rows))
    write_vectors(table_of(*(f"l'été{i}" for i in numbers)), np.append(table, [[0, 0]], 0), file)
    first, *lines = file.getvalue().decode().splitlines()
    assert first == f"{len(rows)} 2"
    assert [line.split(" ")[0] for line in lines] == [f"l'été{i}" for i in numbers]
    back = np.array([line.split(" ")[1:] for line in lines]).astype(np.float64).astype(np.float32)
    assert back.tobytes() == table.tobytes()


def read_naively(content, words, dim):
    """Vectors by word, exact ones before lower-cased ones; None where a line has too few numbers."""
    exact, lower = {}, {}
    for line in content.decode().split("\n"):
        if not line.strip(" \t\r"):
            continue
        fields = line.encode().rsplit(maxsplit=dim)
        if len(fields) < dim or (len(fields) == dim and line[0] not in " \t\r"):
            return None
        word = fields[0].decode() if len(fields) > dim and line[0] not in " \t\r" else ""
        exact.setdefault(word, fields[-dim:])
        lower.setdefault(word.lower(), fields[-dim:])
    vectors = (exact.get(word, lower.get(word)) for word in words)
    return [vector and [float(field) for field in vector] for vector in vectors]


LINES = st.tuples(st.sampled_from(["", "a", "A", "É", "é", "a 1", " a", "b"]), st.lists(st.integers(1, 9), max_size=4))


@given(st.lists(LINES, max_size=6), st.sampled_from([" ", "\t", "  "]), st.sampled_from(["", " ", "\r"]),
       st.integers(1, 3))  # fmt: skip
def test_reading_equals_its_twin(tmp_path_factory, lines, separator, behind, dim):
    path, words = tmp_path_factory.getbasetemp() / "vectors.txt", ["a", "é", "b"]
    first = 9 * ("first" + dim * " 0" + "\n")  # most of the first lines
    path.write_bytes("".join(f"{separator.join([word, *map(str, numbers)])}{behind}\n" for word, numbers in lines).join(
        [first, ""]).encode())  # fmt: skip
    expected = read_naively(path.read_bytes(), words, dim)
    if expected is None:
        with pytest.raises(DataError, match="numbers follow the word"):
            read_vectors(path, table_of(*words), dim)
    else:
        assert rows(read_vectors(path, table_of(*words), dim)) == expected
