"""The model file: what is saved is loaded, and nothing else is."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from mlcore.errors import ModelFileError
from mlcore.sentiment.classifier import Classifier, Parameters
from mlcore.sentiment.modelfile import check_writable, load, save
from mlcore.sentiment.settings import Settings
from mlcore.text.vocabulary import WordTable


@pytest.fixture
def classifier():
    vocabulary = WordTable()
    vocabulary.add(["good bad naïve !"])
    settings = Settings(dim=3, hidden=2)
    parameters = Parameters.initial(len(vocabulary), settings)
    return Classifier(settings, ("neg", "pos"), vocabulary, parameters)


@pytest.fixture
def saved(classifier, tmp_path):
    path = tmp_path / "model.npz"
    save(classifier, path)
    return path


def assert_same(found, expected):
    assert (found.settings, found.labels, found.vocabulary.words) == (
        expected.settings, expected.labels, expected.vocabulary.words,
    )  # fmt: skip
    for a, b in zip(found.parameters, expected.parameters, strict=True):
        np.testing.assert_array_equal(a, b)


def test_round_trip(classifier, saved):
    assert_same(load(saved), classifier)
    assert [path.name for path in saved.parent.iterdir()] == ["model.npz"]


def test_is_a_plain_npz_without_pickle_or_padding(saved):
    with np.load(saved, allow_pickle=False) as file:
        assert file["table"].shape == (4, 3)
        assert json.loads(file["header"].tobytes())["settings"]["dim"] == 3


def test_equal_classifiers_give_equal_bytes(classifier, saved, tmp_path):
    save(load(saved), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_a_failed_save_leaves_the_old_model(classifier, saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save(classifier, saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.npz"]


def rewrite(path, **changes):
    """Write the model again with some members changed (or removed, when None)."""
    with np.load(path) as file:
        arrays = dict(file) | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def header(**changes):
    content = {
        "format": "mlcore-sentiment",
        "version": 1,
        "labels": ["neg", "pos"],
        "settings": {"dim": 3, "hidden": 2},
    }
    return np.frombuffer(json.dumps(content | changes).encode(), np.uint8)


@pytest.mark.parametrize(
    "changes",
    [
        {"table": None},
        {"extra": np.zeros(1)},
        {"table": np.zeros((4, 3))},
        {"table": np.zeros((4, 4), np.float32)},
        {"table": np.asfortranarray(np.ones((4, 3), np.float32))},
        {"W1": np.full((2, 3), np.nan, np.float32)},
        {"vocabulary": np.frombuffer(b"good\nbad\ngood\n!\n", np.uint8)},
        {"vocabulary": np.frombuffer(b"good\nbad\n\xff\n!\n", np.uint8)},
        {"vocabulary": np.frombuffer(b"good\nbad\n\x1b[31m\n!\n", np.uint8)},
        {"vocabulary": np.frombuffer(b"good\n", np.uint8)},
        {"header": np.frombuffer(b"[]", np.uint8)},
        {"header": np.frombuffer(b"\xff", np.uint8)},
        {"header": header(format="other")},
        {"header": header(version=2)},
        {"header": header(labels=["pos", "pos"])},
        {"header": header(labels=[1, 2])},
        {"header": header(labels=["neg", "\x1b[31mpos"])},
        {"header": header(settings={"dim": 0})},
        {"header": header(settings={"dim": 3, "hidden": 2, "colour": "red"})},
        {"header": header(settings={"dim": 4000, "hidden": 9000})},
        {"header": np.array([{}])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_contents(saved, changes):
    rewrite(saved, **changes)
    with pytest.raises(ModelFileError, match="is damaged, or no model file"):
        load(saved)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"PK\x03\x04" + bytes(1000)])
def test_no_model_file_at_all(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ModelFileError, match="x.npz is"):
        load(tmp_path / "x.npz")


def test_a_header_that_claims_a_huge_array_allocates_nothing(saved):
    npy = io.BytesIO()
    np.lib.format.write_array_header_1_0(npy, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 3)})
    replace_member(saved, "table.npy", npy.getvalue() + bytes(48))
    with pytest.raises(ModelFileError):
        load(saved)


def test_compressed_members_are_refused(saved):
    replace_member(saved, "table.npy", bytes(10**6), zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match="impossible size"):
        load(saved)


def replace_member(path, name, content, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in (members | {name: content}).items():
            archive.writestr(member, data, method if member == name else zipfile.ZIP_STORED)


def test_mutated_files_are_named_or_load_the_same_content(classifier, saved):
    original = saved.read_bytes()
    random = np.random.default_rng(3)
    for trial in range(400):
        content = bytearray(original)
        if trial % 4 == 0:
            del content[random.integers(len(content)) :]
        else:
            for place in random.integers(len(content), size=random.integers(1, 4)):
                content[place] = random.integers(256)
        saved.write_bytes(content)
        try:
            found = load(saved)
        except ModelFileError:
            continue
        assert_same(found, classifier)


def test_unwritable_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_writable(tmp_path / "nowhere" / "model.npz")
    with pytest.raises(OSError, match="is a folder or device"):
        check_writable(tmp_path)
    with pytest.raises(OSError, match="too long"):
        check_writable(tmp_path / ("m" * 300 + ".npz"))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="is a folder or device"):
        check_writable(tmp_path / "fifo")
    check_writable(tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


def test_a_symbolic_link_stays_one(classifier, tmp_path):
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    save(classifier, tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert_same(load(tmp_path / "real.npz"), classifier)


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3", b"(", b"{'shape': (1L,)}", b"\xff"]
)
def test_hostile_array_headers(saved, header):
    replace_member(saved, "table.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(48))
    with pytest.raises(ModelFileError, match="no array as mlcore writes them"):
        load(saved)
