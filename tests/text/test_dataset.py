"""The dataset: what is numbered, split and encoded, in memory or in a temporary file."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import compare_cases
from test_readers import write

from mlcore.errors import DataError, InputError
from mlcore.text import growing
from mlcore.text.dataset import built_in_dataset, dataset_of, encode, read_dataset, with_held_out, with_test_split
from mlcore.text.layout import Layout
from mlcore.text.ngrams import Choice
from mlcore.text.parts import read_part

CHOICE = {"choice": Choice(2, 1, None, False), "ratings": False, "seed": 1}


def rows(split):
    return split.rows.tolist() if split else None


def test_reading_keeps_what_the_examples_say(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label,split\na b,x,train\nb,y,dev\n\xff,x,test\n" + b"c,z,\n" * 600)
    data = read_dataset([path], Layout(lenient=True), keep_texts=True, threads=2)
    assert (data.n_texts, data.source, data.notes.undecodable) == (603, str(path), ["line 4"])
    assert (data.label_names, data.label_places) == (["x", "y", "z"], ["line 2", "line 3", "line 5"])
    assert (data.texts[:3], data.places[:2]) == (["a b", "b", "\ufffd"], ["line 2", "line 3"])
    assert (data.words.words, data.tokens.ids[:4].tolist()) == (["a", "b", "c"], [0, 1, 1, 2])
    assert [data.rows(name).tolist() for name in ("train", "dev", "test")] == [[0], [1], [2]]
    assert (data.held_out()[0].tolist(), data.held_out()[1]) == ([2], "test")
    with pytest.raises(DataError, match="a.csv, line 4, column 1: byte 0xFF is not UTF-8"):
        read_dataset(path)
    path.write_text("text,label,split\na,x,dev\nb,y,dev\n")
    assert (read_dataset(path).held_out()[1], read_dataset(path).texts) == ("all", None)


def test_urls_with_the_same_last_part_are_different_files_and_are_read_as_they_are_now(tmp_path):
    def texts(name, content):
        return read_part(write(tmp_path / name, content).as_uri(), Layout()).label_names

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert texts("a/x.csv", "text,label\na,pos\nb,neg\n") == ["pos", "neg"]
    assert texts("b/x.csv", "text,label\na,cat\nb,dog\n") == ["cat", "dog"]
    assert texts("b/x.csv", "text,label\na,red\nb,green\n") == ["red", "green"]


def test_what_is_said_of_a_file_names_its_url(tmp_path):
    pytest.importorskip("fsspec", reason="the extra mlcore[dask] is not installed")
    url = write(tmp_path / "a.csv", "Tweet,label\nText,Label\nTweet,label\na,\na,x\n").as_uri()
    said = read_part(url, Layout(skip_bad_rows=True)).notes.sentences()
    assert [sentence.count(url) for sentence in said] == [1, 1, 1]
    assert not any("a.csv" in sentence.replace(url, "") for sentence in said)
    with pytest.raises(DataError, match=f"^{url}, line 4, column label: the label is empty"):
        read_part(url, Layout())


def test_a_share_of_the_training_texts_becomes_the_test_split():
    data = with_test_split(dataset_of(["a"] * 40, ["x", "y"] * 20, splits=["dev"] * 10 + [""] * 30), 0.2, 1)
    rows = data.rows("test")
    assert (len(rows), int(data.labels[rows].sum()), rows.min() >= 10) == (6, 3, True)
    for wrong, message in ((0.0, "above 0 and less than 1"), (0.5, "X has a test split; leave this out")):
        with pytest.raises(InputError, match=message):
            with_test_split(data, wrong, 1)


def test_fingerprint_depends_on_texts_labels_and_splits():
    data = [dataset_of(["a", "b"], ["x", "y"], threads) for threads in (1, 2)]
    data += [dataset_of(["ab", ""], ["x", "y"]), dataset_of(["a", "b"], ["y", "x"]),
             dataset_of(["a", "b"], ["x", "y"], splits=["", "dev"])]  # fmt: skip
    assert data[0].fingerprint == data[1].fingerprint
    assert len({one.fingerprint for one in data}) == 4


def test_a_dataset_larger_than_memory_is_the_same(monkeypatch, tmp_path):
    """With no memory to spare, what is numbered and encoded lies in files of TMPDIR, of which none is left."""
    expected = read_dataset(built_in_dataset())
    monkeypatch.setattr(growing, "ALWAYS_FITS", 0)
    monkeypatch.setattr(growing, "free_memory", lambda: 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = read_dataset(built_in_dataset(), threads=2)
    assert isinstance(data.tokens.ids.base, np.memmap)
    for name in ("ids", "offsets"):
        assert np.array_equal(getattr(data.tokens, name), getattr(expected.tokens, name))
    assert (data.fingerprint, data.labels.tolist()) == (expected.fingerprint, expected.labels.tolist())
    encoded = [encode(one, None, **CHOICE) for one in (data, expected)]
    assert isinstance(encoded[0].train.documents.ids.base, np.memmap)
    for array, same in zip(encoded[0].train.documents, encoded[1].train.documents, strict=True):
        assert np.array_equal(array, same)
    assert encoded[0].features.names == encoded[1].features.names
    data.tokens.ids[:] = 0  # copied, not written to the file
    assert list(tmp_path.iterdir()) == []


# Splits and targets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dev", "sizes"),
    [(None, (28, 4, 8)), (0, (32, 0, 8)), (0.25, (24, 8, 8)), ("new film", (32, 3, 8))],
)
def test_what_is_held_out(dev, sizes):
    data = dataset_of(
        ["good film", "bad film", "good cast", "bad plot"] * 10, ["pos", "neg"] * 20,
        splits=["", "train", "train", ""] * 7 + ["dev"] * 4 + ["test"] * 8,
    )  # fmt: skip
    known = encode(dataset_of(["zebra", "bad"], ["x", "y"]), 0, **CHOICE).features
    other = dataset_of([dev] * 3, ["pos"] * 3) if isinstance(dev, str) else None
    data, dev = (with_held_out(data, other), None) if other else (data, dev)
    encoded = encode(data, dev, **CHOICE)
    assert tuple(encoded.sizes.values()) == sizes
    assert encode(data, dev, **CHOICE, known=known).features.names[:2] == known.words.words
    assert rows(encoded.test) == list(range(32, 40))
    assert encoded.labels == ("neg", "pos")
    train, names = encoded.train, encoded.features.names
    counts = dict.fromkeys(names, 0)
    for row in train.rows.tolist():
        first, second = data.texts[row].split()
        for name in (first, second, f"{first} {second}", f"^ {first}", f"^ {first} {second}"):
            counts[name] += 1
    assert encoded.feature_counts.tolist() == list(counts.values())
    if other:
        assert [data.place(row) for row in rows(encoded.dev)] == [f"X, text {n}" for n in (1, 2, 3)]
    elif dev is None:
        assert rows(encoded.dev) == list(range(28, 32))
    elif isinstance(dev, float):
        assert not {*rows(train)} & {*rows(encoded.dev)}
        assert encoded.dev.targets[encoded.dev.rows].sum() == 4, "of each label the same share"


def outcome(labels, splits="", options=()):
    """What is said of texts with these labels and splits before a training, or why it does not begin."""
    options = {"text": "word", "dev": None, **CHOICE} | dict(options)
    labels = list(labels)
    texts = [options.pop("text")] * len(labels)
    splits = splits if isinstance(splits, list) else [splits] * len(labels)
    try:
        data = encode(dataset_of(texts, labels, splits=splits), **options)
    except (DataError, InputError) as error:
        return [f"! {error}"]
    return [f"> {warning}" for warning in data.warnings]


def test_what_is_warned_about_and_what_cannot_be_trained_on():
    compare_cases(Path(__file__).parent / "golden/training.txt", outcome, Choice=Choice)
