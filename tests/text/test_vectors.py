"""Word vectors in text: what is read, what is refused and where, and that what is written comes back exactly."""

import bz2
import gzip
import io
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import DataError
from mlcore.text import vectors as module
from mlcore.text.vectors import mark_upper_case, read_vectors, shortest_digits, split_lines, write_vectors
from mlcore.text.vocabulary import WordTable


def table_of(*words):
    table = WordTable()
    table.add(words)
    return table


def read(tmp_path, content, *words, dim=2):
    path = tmp_path / "vectors.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_vectors(path, table_of(*words), dim)


@pytest.mark.parametrize(
    "content",
    [
        "good 1 2\nbad -1 0.5\n",
        "2 2\ngood 1 2\nbad -1 0.5\n",
        "good 1 2\r\nbad -1 0.5",
        "good\t1\t2\nbad\t-1\t5e-1\n",
        "2 2\ngood 1 2 \nbad -1 0.5 \n",  # as fastText writes it
        "\ufeffgood 1 2\n\n  \nbad  -1  .5\n\n",
        *(compress(b"good 1 2\nbad -1 .5") for compress in (gzip.compress, bz2.compress, lzma.compress)),
    ],
)
def test_formats(tmp_path, content):
    assert read(tmp_path, content).table.shape == (0, 2)
    found = read(tmp_path, content, "film", "good", "bad")
    assert found.table.tolist() == [[0, 0], [1, 2], [-1, 0.5]]
    assert found.table.dtype == np.float32
    assert found.found.tolist() == [False, True, True]
    assert (found.lines, found.duplicates) == (2, 0)


@pytest.mark.parametrize("content", ["2 1\ngood 3\nbad 4\n", "good 3\nbad 4\n"])
def test_one_number(tmp_path, content):
    assert read(tmp_path, content, "good", "bad", dim=1).table.tolist() == [[3], [4]]


def test_words_with_spaces_are_split_from_the_right_and_never_match(tmp_path):
    found = read(
        tmp_path, "the 0 0\n. . . 1 2\nat name@domain.com 3 4\ngood film 5 6\ngood 7 8\n 9 9\n", "good", "film"
    )
    assert found.table.tolist() == [[7, 8], [0, 0]]
    assert found.lines == 6


def test_bytes_that_are_not_utf8_do_not_matter_in_unknown_words(tmp_path):
    found = read(tmp_path, b"\xff\xfe 1 1\nGo\xe9d 2 2\n\xc3 3 3\n\xc3\x89T\xc3\x89 4 4\n\x80A 5 5\n", "été", "good")
    assert found.table.tolist() == [[4, 4], [0, 0]]


def test_the_first_of_equal_words_counts(tmp_path):
    found = read(tmp_path, "good 1 1\ngood 2 2\nunknown 0 0\nunknown 0 0\ngood x y\n", "good")
    assert found.table.tolist() == [[1, 1]]
    assert found.duplicates == 2


def test_the_very_word_goes_before_its_lower_case_in_any_order_and_block(tmp_path, monkeypatch):
    lines = ["paris 1 1", "Paris 2 2", "PARIS 3 3", "Rome 4 4", "ROME 5 5"]
    for block in (1 << 22, 8):
        monkeypatch.setattr(module, "BLOCK", block)
        for order in (lines, lines[::-1]):
            found = read(tmp_path, "\n".join(order), "paris", "rome")
            assert found.table.tolist() == [[1, 1], [4, 4] if order is lines else [5, 5]]
            assert found.lower_cased.tolist() == [False, True]
            assert (found.lines, found.duplicates) == (5, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("good 1 2 3\nbad 1 2 3\n", "line 1: the vectors have 3 numbers, but the embedding has 2; try dim=3."
         ""),
        ("400000 300\nthe 0.1", "the vectors have 300 numbers, but the embedding has 2; try dim=300."),
        ("good 1\n", "line 1: the vectors have 1 numbers, but"),
        ("what is this\n", "line 1: expected a word and 2 numbers"),
        ("good\n", "line 1: expected a word and 2 numbers"),
        ("\n\n", "expected a word and 2 numbers"),
        ("", "contains no vectors"),
        ("2 2\n", "contains no vectors"),
        ("good 1 2\nbad 1\n", "line 2: 1 numbers follow the word; expected 2; if this is the last line, the "),
        ("good 1 2\n\nx 3 4\n1 2\n", "line 4: 1 numbers"),
        (b"2 2\ngood " + bytes(8) + b"\n", "is in word2vec's binary format; convert it to text"),
        (gzip.compress(b"good 1 2\n" * 99)[:-9], "is damaged or incomplete"),
        ("3 2\ngood 1 2\nbad 1 2\n", "is incomplete: its first line promises 3 vectors, and there are 2"),
        ("x 1 2\ngood 1 nan\n", "line 2: 'nan' is not a finite number"),
        ("1 2\ngood 1 -inf\n", "line 2: '-inf' is not a finite number"),
        ("x 1 2\nGood 1 1e39\n", "line 2: '1e39' is not a finite number that float32 can hold"),
        ("x 1 2\nx 1 2\ngood 1 two\n", "line 3: 'two' is not a finite number"),
        ("x 1 2\ngood 1 \xff\n".encode("latin-1"), "line 2: '\ufffd' is not a finite number"),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(tmp_path, content, message):
    with pytest.raises(DataError) as caught:
        read(tmp_path, content, "good", "bad")
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_line_numbers_go_on_from_block_to_block(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 8)
    with pytest.raises(DataError, match="line 1,235: 'nan'"):
        read(tmp_path, "9999 2\n" + "other 1 2\n" * 1233 + "good nan 1\n", "good")


def test_a_line_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 8)
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
    assert selected.table.tolist() == [[0, 0], [3, 4]]
    assert selected.found.tolist() == [False, True]
    assert found.fingerprint() == read(tmp_path, "x 9 9\ngood 1 2\nFilm 3 4\n", "good", "film", "new").fingerprint()
    assert found.fingerprint() != read(tmp_path, "x 9 9\ngood 1 2\nfilm 3 5\n", "good", "film", "new").fingerprint()


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=5))
def test_shortest_digits_lead_back(rows):
    rows = np.array(rows, np.float32)
    digits = shortest_digits(rows)
    back = np.array([[float(field) for field in row] for row in digits]).astype(np.float32)
    assert back.tobytes() == rows.tobytes()


def test_digits_that_would_not_lead_back_are_all_given(monkeypatch):
    rows = np.array([[1 / 3, 0.5]], np.float32)
    assert shortest_digits(rows) == [["0.33333334", "0.5"]]
    monkeypatch.setattr(module, "FEW_DIGITS", "U6")  # as if rounding twice had led astray
    assert shortest_digits(rows) == [["0.3333333432674408", "0.5"]]


def test_written_and_read_back(tmp_path):
    words = table_of("good", "film", "l'été", "!")
    table = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32) ** 9
    file = io.BytesIO()
    write_vectors(words, table, file)
    lines = file.getvalue().decode().splitlines()
    assert lines[0] == "4 3"
    assert [line.split(" ")[0] for line in lines[1:]] == ["good", "film", "l'été", "!"]
    path = tmp_path / "written.vec"
    path.write_bytes(file.getvalue())
    found = read_vectors(path, words, 3)
    assert found.table.tobytes() == table[:4].tobytes()
    assert found.found.all()


def split_naively(line, dim):
    """Word and numbers of a line as byte strings; None where there are too few numbers."""
    if not line.strip():
        return b"", b""
    fields = line.rstrip().rsplit(maxsplit=dim)
    if len(fields) == dim and line[:1].isspace():
        return b"", line.rstrip().lstrip()
    return (fields[0], line.rstrip()[len(fields[0]) :].strip()) if len(fields) == dim + 1 else None


@given(st.lists(st.text("ab1 \t\r.é", max_size=12), min_size=1, max_size=6), st.integers(1, 3))
def test_split_lines_equals_its_twin(lines, dim):
    data = np.frombuffer("".join(f"{line}\n" for line in lines).encode(), np.uint8)
    ends = np.flatnonzero(data == ord("\n")).astype(np.int32)
    starts, token_ends, numbers = (np.full_like(ends, 99) for _ in range(3))
    split_lines(data, ends, dim, starts, token_ends, numbers)
    for line, start, end, token_end, first in zip(lines, starts, ends, token_ends, numbers, strict=True):
        assert data[start:end].tobytes() == line.encode()
        expected = split_naively(line.encode(), dim)
        if expected is None:
            assert token_end == -1
        else:
            assert (data[start:token_end].tobytes(), data[first:end].tobytes().strip()) == expected


@given(st.lists(st.text("aZ1é", max_size=3), min_size=1, max_size=4))
def test_mark_upper_case_equals_its_twin(tokens):
    encoded = [token.encode() for token in tokens]
    bounds = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    marks = np.empty(len(tokens), bool)
    mark_upper_case(np.frombuffer(b"".join(encoded), np.uint8), bounds[:-1], bounds[1:], marks)
    assert marks.tolist() == [not token.isascii() or token.lower() != token for token in tokens]
