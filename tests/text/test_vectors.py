"""Word vectors: what is read, what is refused and where, and that what is written comes back exactly."""

import bz2
import gzip
import io
import json
import lzma
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import compare_cases
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from test_readers import write, zipped

from mlcore.errors import DataError
from mlcore.text import vectors as module
from mlcore.text.vectors import read_vectors, write_vectors
from mlcore.text.vocabulary import WordTable

GOLDEN = Path(__file__).parent / "golden/vectors.txt"
packed = partial(gzip.compress, mtime=0)


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


def outcome(content, dim=None):
    """The vectors of three words, and the number of those that are repeated, or why they are refused."""
    path = write(Path("vectors.txt"), content)
    try:
        found = read_vectors(path, table_of("good", "bad", "film"), dim)
    except DataError as error:
        return [f"! {error}"]
    assert found.table.shape == found.of_found().shape, "memory is taken by words that have a vector"
    assert (found.table.dtype, read_vectors(path, table_of()).shape) == (np.float32, (0, found.shape[1]))
    return [f"{rows(found)}{f', repeated: {found.duplicates}' * bool(found.duplicates)}"]


def test_formats_and_what_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = {"binary": binary, "packed": packed, "zipped": zipped, "bz2": bz2, "lzma": lzma, "np": np}
    compare_cases(GOLDEN, outcome, **named)


def test_the_very_word_goes_before_its_lower_case_in_any_order_and_block(tmp_path, monkeypatch):
    lines = ["paris 1 1", "Paris 2 2", "PARIS 3 3", "Rome 4 4", "ROME 5 5"]
    for block in (1 << 22, 8):
        monkeypatch.setattr(module, "BLOCK", block)
        for order in (lines, lines[::-1]):
            found = read(tmp_path, "\n".join(order), "paris", "rome")
            assert rows(found) == [[1, 1], [4, 4] if order is lines else [5, 5]]
            assert found.lower_cased.tolist() == [False, True]
            assert found.duplicates == 0


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
