"""The model file: what is saved is loaded, and nothing else is."""

import io
import json
import os
import zipfile

import numpy as np
import pytest

from mlcore.errors import InputError, ModelFileError
from mlcore.files import check_writable
from mlcore.sentiment.arrayfile import checksum, npy
from mlcore.sentiment.model import HISTORY, Model, Parameters, initial_parameters, Provenance
from mlcore.sentiment.model_file import MODEL, load, save
from mlcore.sentiment.settings import Settings
from mlcore.text.features import choose_features
from mlcore.text.vocabulary import WordTable


def make_classifier(labels=("neg", "pos"), **settings):
    settings = Settings(dim=3, hidden=2, ngrams=3, min_count=1, loss="logistic" if labels else "squared", **settings)
    table = WordTable()
    tokens = table.add(["good bad naïve good bad !"])
    features = choose_features(table, tokens, np.array([0]), 3, 1, None, settings.binary)
    outputs = len(labels) if len(labels) > 2 else 1
    history = [dict.fromkeys(HISTORY, 0.5) | {"epoch": 1, "dev_loss": None, "restarts": 0, "best": True}]
    provenance = Provenance({"data": ["a.csv", "b.csv"], "dev": "0.1"}, "ab12", {"train": 3, "dev": 0}, history)
    return Model(settings, labels, features, initial_parameters(len(features), outputs, settings), provenance)


@pytest.fixture
def classifier():
    return make_classifier()


@pytest.fixture
def saved(classifier, tmp_path):
    path = tmp_path / "model.npz"
    save(classifier, path)
    return path


def assert_same(found, expected):
    assert (found.settings, found.labels, found.features.names, found.provenance) == (
        expected.settings, expected.labels, expected.features.names, expected.provenance,
    )  # fmt: skip
    for a, b in zip(found.parameters, expected.parameters, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("labels", [("neg", "pos"), ("a", "b", "c"), ()])
def test_round_trip(labels, tmp_path):
    classifier = make_classifier(labels)
    save(classifier, tmp_path / "model.npz")
    found = load(tmp_path / "model.npz")
    assert_same(found, classifier)
    texts = ["good bad naïve good", "bad good", ""]
    for a, b in zip(found.features.documents(texts), classifier.features.documents(texts), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_half_the_size(tmp_path):
    classifier = make_classifier(half=True)
    save(classifier, tmp_path / "half.npz")
    found = load(tmp_path / "half.npz")
    np.testing.assert_allclose(found.parameters.table, classifier.parameters.table, rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(found.parameters.W1, classifier.parameters.W1)
    with np.load(tmp_path / "half.npz") as file:
        assert file["table"].dtype == np.float16
    classifier.parameters.table[0, 0] = 1e6
    with pytest.raises(InputError, match="too large for float16"):
        save(classifier, tmp_path / "half.npz")
    assert_same(load(tmp_path / "half.npz"), found)


def test_is_a_plain_npz_without_pickle_or_padding(saved):
    with np.load(saved, allow_pickle=False) as file:
        assert file["table"].shape == (12, 3)
        np.testing.assert_array_equal(file["ngrams"], NGRAMS)
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


def as_numpy_writes(array):
    memory = io.BytesIO()
    np.lib.format.write_array(memory, array, version=(1, 0))
    return memory.getvalue()


@pytest.mark.parametrize("shape", [(0,), (3,), (0, 4), (1, 1), (5, 3)])
def test_arrays_are_written_as_numpy_writes_them(shape):
    array = np.random.default_rng(1).random((*shape[:-1], 2 * shape[-1]), np.float32)[..., : shape[-1]]
    assert npy(array) == as_numpy_writes(array.copy())


def rewrite(path, **changes):
    """Write the model again with some members changed (or removed, when None), and a checksum that is right."""
    with np.load(path) as file:
        arrays = dict(file) | changes
    arrays = {name: array for name, array in arrays.items() if array is not None and name != "sha256"}
    if set(MODEL.members) <= set(arrays):
        digest = checksum(MODEL, {name: as_numpy_writes(array) for name, array in arrays.items()})
        arrays["sha256"] = np.frombuffer(digest, np.uint8)
    np.savez(path, **arrays)


def change_header(path, **changes):
    with np.load(path) as file:
        content = json.loads(file["header"].tobytes())
    for key, value in changes.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    rewrite(path, header=np.frombuffer(json.dumps(content).encode(), np.uint8))


NGRAMS = np.array([[0, 1], [1, 2], [2, 0], [1, 3], [4, 2], [5, 0], [6, 1], [4, 3]], np.int32)


def with_last(pair):
    """NGRAMS with another last row."""
    return np.concatenate([NGRAMS[:-1], np.array([pair], np.int32)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": None}, "its parts have other names"),
        ({"extra": np.zeros(1)}, "its parts have other names"),
        ({"table": np.zeros((12, 3))}, "table is no array"),
        ({"table": np.zeros((12, 4), np.float32)}, "table has shape"),
        ({"table": np.zeros((12, 3), np.int32)}, "table has values of type <i4"),
        ({"table": np.asfortranarray(np.ones((12, 3), np.float32))}, "table is no array"),
        ({"W1": np.full((2, 3), np.nan, np.float32)}, "W1 holds NaN"),
        ({"vocabulary": np.frombuffer(b"good\nbad\ngood\n!\n", np.uint8)}, "a word twice"),
        ({"vocabulary": np.frombuffer(b"good\nbad\n\xff\n!\n", np.uint8)}, "can't decode"),
        ({"vocabulary": np.frombuffer(b"good\nbad\n\x1b[31m\n!\n", np.uint8)}, "control characters"),
        ({"vocabulary": np.frombuffer(b"good\n", np.uint8)}, "n-grams are not made of its words"),
        ({"ngrams": NGRAMS[:5]}, "table has shape"),
        ({"ngrams": NGRAMS[:, :1]}, "two columns"),
        ({"ngrams": with_last([4, 2])}, "n-gram twice"),
        ({"ngrams": with_last([11, 2])}, "not made of its words"),
        ({"ngrams": with_last([4, 4])}, "not made of its words"),
        ({"ngrams": with_last([10, 2])}, "more than 3 words"),
        ({"ngrams": -NGRAMS}, "not made of its words"),
        ({"header": np.frombuffer(b"[]", np.uint8)}, "is damaged"),
        ({"header": np.frombuffer(b"\xff", np.uint8)}, "is damaged"),
        ({"header": np.frombuffer(b"[" * 100_000, np.uint8)}, "is damaged"),
    ],
)
def test_other_contents(saved, changes, message):
    rewrite(saved, **changes)
    with pytest.raises(ModelFileError, match=message) as caught:
        load(saved)
    assert "is damaged" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["pos", "pos"]}, "a label twice"),
        ({"labels": ["pos"]}, "as many as its loss has"),
        ({"labels": []}, "as many as its loss has"),
        ({"labels": [1, 2]}, "not printable strings"),
        ({"labels": "np"}, "not printable strings"),
        ({"labels": ["neg", "\x1b[31mpos"]}, "not printable strings"),
        ({"labels": ["a", "b", "c"]}, "W2 has shape"),
        ({"settings": {"dim": 0}}, "dim is 0"),
        ({"settings": {"colour": "red"}}, "colour"),
        ({"settings": {"dim": 4000, "hidden": 9000}}, "table has shape"),
        ({"settings": {"ngrams": 2}}, "more than 2 words"),
        ({"settings": {"binary": 1}}, "binary is 1"),
        ({"provenance": {"inputs": {"data": 3}}}, "provenance"),
        ({"provenance": {"texts": {"train": "3"}}}, "provenance"),
        ({"provenance": {"history": [{"epoch": 1}]}}, "history"),
        ({"provenance": []}, "damaged"),
        ({"version": "2"}, "damaged"),
    ],
)
def test_other_headers(saved, changes, message):
    change_header(saved, **changes)
    with pytest.raises(ModelFileError, match=message):
        load(saved)


def test_four_kinds_of_wrong_files_have_four_messages(saved, tmp_path):
    whole = saved.read_bytes()
    saved.write_bytes(whole[:-10])
    with pytest.raises(ModelFileError, match="is truncated: its end is missing"):
        load(saved)
    place = len(whole) // 2
    saved.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ModelFileError, match="is damaged"):
        load(saved)
    saved.write_bytes(whole)
    change_header(saved, version=3)
    with pytest.raises(ModelFileError, match="by a newer mlcore \\(format 3; this one reads 2\\); update mlcore"):
        load(saved)
    change_header(saved, version=1)
    with pytest.raises(ModelFileError, match="by an older mlcore .* train it again"):
        load(saved)
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    for content in ((tmp_path / "foreign.npz").read_bytes(), b"hello", b""):
        saved.write_bytes(content)
        with pytest.raises(ModelFileError, match="is not a model file of mlcore"):
            load(saved)
    saved.write_bytes(whole)
    change_header(saved, format="other")
    with pytest.raises(ModelFileError, match="is not a model file of mlcore"):
        load(saved)


def test_the_checksum_is_over_every_member(saved):
    for name in MODEL.members:
        original = saved.read_bytes()
        with np.load(saved) as file:
            arrays = dict(file)
        changed = arrays[name].copy()
        changed.view(np.uint8).flat[-1] ^= 1
        np.savez(saved, **(arrays | {name: changed}))
        with pytest.raises(ModelFileError, match="is damaged"):
            load(saved)
        saved.write_bytes(original)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"PK\x03\x04" + bytes(1000)])
def test_no_model_file_at_all(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ModelFileError, match="x.npz is"):
        load(tmp_path / "x.npz")


def test_a_header_that_claims_a_huge_array_allocates_nothing(saved):
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f4", "fortran_order": False, "shape": (10**11, 3)})
    replace_member(saved, "table.npy", huge.getvalue() + bytes(48))
    with pytest.raises(ModelFileError, match="cannot reshape"):
        load(saved)


def test_compressed_members_are_refused(saved):
    replace_member(saved, "table.npy", bytes(10**6), zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match="impossible size"):
        load(saved)


def replace_member(path, name, content, method=zipfile.ZIP_STORED):
    """Write other bytes in place of a member, with the checksum that they have."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()} | {name: content}
    digest = checksum(MODEL, {member: members[f"{member}.npy"] for member in MODEL.members})
    members["sha256.npy"] = npy(np.frombuffer(digest, np.uint8))
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
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
