"""The model file: what is saved is loaded, and nothing else is."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from naive import FILES

from mlcore.errors import InputError, ModelFileError
from mlcore.files import beside, check_files, check_writable, write_beside
from mlcore.sentiment import model_file
from mlcore.sentiment.initialization import random_parameters
from mlcore.sentiment.model import HISTORY, Model, Provenance
from mlcore.sentiment.model_file import KEY, content_of, load_model, save_model
from mlcore.sentiment.settings import Settings
from mlcore.text.ngrams import choose_features
from mlcore.text.vocabulary import WordTable

EPOCH = dict.fromkeys(HISTORY, 0.5) | {"epoch": 1, "dev_loss": None, "restarts": 0, "best": True}
NGRAMS = np.array(
    [[0, 1], [1, 2], [2, 0], [1, 3], [4, 2], [5, 0], [6, 1], [4, 3], [-1, 0], [12, 1], [13, 2]], np.int32
)  # -1 is the beginning


def make_model(**settings):
    given = {"char_ngrams": "none"} | settings
    settings = Settings(learning_rate=0.01, dim=3, hidden=2, ngrams=3, min_count=1, **given).resolved()
    table = WordTable()
    tokens = table.add(["good bad naïve good bad !"])
    features = choose_features(table, tokens, np.array([0]), settings.encoding()["choice"])
    provenance = Provenance({"data": ["a.csv", "b.csv"], "dev": "0.1"}, "ab12", {"train": 3, "dev": 0}, [EPOCH])
    parameters, trained_on = random_parameters(len(features), 1, settings), np.array([3, 2**32 - 1], np.uint32)
    return Model(settings, ("neg", "pos"), features, parameters, provenance, trained_on=trained_on)


def assert_same(found, expected):
    for name in ("settings", "labels", "provenance", "seen", "compressed"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.features.names == expected.features.names
    for name in ("trained_on", "thresholds"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for a, b in zip(found.parameters, expected.parameters, strict=True):
        np.testing.assert_array_equal(a, b)


def parts(content):
    """JSON and tensors of a model file."""
    outer = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(outer["__metadata__"][KEY]), safetensors.numpy.load(content)


def sealed(header, tensors, checksum=None):
    """Content of a file with these JSON values and tensors, and by default the checksum that fits them."""
    header = {name: value for name, value in header.items() if name != "sha256"}
    digest = checksum or model_file._digest(header, tensors)
    return safetensors.numpy.save(tensors, {KEY: json.dumps({"sha256": digest} | header)})


def with_header(content, changes):
    """Content of a file in whose JSON values are other ones, or have other ones in them."""
    header, tensors = parts(content)
    merged = {name: header[name] | value if isinstance(value, dict) else value for name, value in changes.items()}
    return sealed(header | merged, tensors)


@pytest.fixture
def saved(tmp_path):
    save_model(make_model(), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("kind", MODELS := FILES | {"trained": make_model})
def test_round_trip(kind, tmp_path):
    model, texts = MODELS[kind](), ["good bad naïve good", "bad goodish", ""]
    if kind == "several":
        model.thresholds = np.array([0.25, 0.5, 0.75])
    save_model(model, tmp_path / "model")
    found = load_model(tmp_path / "model")
    assert_same(found, model)
    for a, b in zip(found.features.documents(texts), model.features.documents(texts), strict=True):
        np.testing.assert_array_equal(a, b)
    save_model(found, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "again"}


@pytest.mark.parametrize("wrong", [[0.5], [0.5, 0.5, 2.0]])
def test_thresholds_that_are_not_one_for_each_label(wrong, tmp_path):
    save_model(replace(FILES["several"](), thresholds=np.array(wrong)), tmp_path / "model")
    with pytest.raises(ModelFileError, match="its thresholds are not one per label"):
        load_model(tmp_path / "model")


def test_any_program_reads_the_tensors_without_padding(saved):
    header, tensors = parts(saved.read_bytes())
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "vocabulary": (18,), "pieces": (0,), "ngrams": (11, 2), "table": (15, 3), "W1": (2, 3), "b1": (2,),
        "W2": (1, 2), "b2": (1,), "trained_on": (2,),
    }  # fmt: skip
    np.testing.assert_array_equal(tensors["ngrams"], NGRAMS)
    assert (header["settings"]["dim"], header["settings"]["learning_rate"]) == (3, 0.01)


def test_a_model_of_before_beginnings_predicts_as_it_did(saved):
    header, tensors = parts(saved.read_bytes())
    assert header["version"] == 7
    cut = {"ngrams": NGRAMS[:8].copy(), "table": tensors["table"][:12].copy()}
    saved.write_bytes(sealed(header | {"version": 6}, tensors | cut))
    found, texts = load_model(saved), ["good bad naïve good", "bad good", ""]
    documents, whole = (features.documents(texts) for features in (found.features, make_model().features))
    np.testing.assert_array_equal(documents.ids, whole.ids[whole.ids < 12])


def test_half_the_size(tmp_path):
    model = make_model(float16=True)
    table = parts(content_of(model))[1]["table"]
    assert table.dtype == np.float16
    np.testing.assert_allclose(table, model.parameters.table[:, :3], rtol=1e-3, atol=1e-7)
    model.parameters.table[0, 0] = 1e6
    with pytest.raises(InputError, match="numbers too large for float16; try float16=False"):
        save_model(model, tmp_path / "model")


def with_last(pair):
    """NGRAMS with another last row."""
    return np.concatenate([NGRAMS[:-1], np.array([pair], np.int32)])


def lines(text):
    return np.frombuffer(text, np.uint8)


@pytest.mark.parametrize(("changes", "message"), [
        ({"table": None}, "its tensors have other names"),
        ({"table": np.zeros((15, 3), np.float16)}, "table is float16 of .*; expected float32 of shape .15, 3."),
        ({"b1": np.zeros((2, 1), np.float32)}, "b1 is float32 of shape"),
        ({"b2": np.full(1, 1e10, np.float32)}, "b2 has NaN, infinity, or a number beyond 1e\\+09"),
        ({"vocabulary": lines(b"good\nbad\ngood\n!\n")}, "a word twice"),
        ({"vocabulary": lines(b"good\nbad\n\xff\n!\n")}, "can't decode"),
        ({"vocabulary": lines(b"good\nbad\n\x1b[31m\n!\n")}, "control characters"),
        ({"vocabulary": lines(b"good\nbad\n!\n").reshape(-1, 1)}, "vocabulary is uint8 of shape"),
        ({"ngrams": NGRAMS[:, :1].copy()}, "ngrams is int32 of shape .11, 1."),
        ({"ngrams": with_last([4, 2])}, "n-gram twice"),
        ({"ngrams": with_last([14, 2])}, "not made of its words"),
        ({"ngrams": with_last([-2, 2])}, "not made of its words"),
        ({"ngrams": with_last([10, 2])}, "more than 3 words"),
        ({"ngrams": np.concatenate([NGRAMS, [[14, 2]]], dtype=np.int32), "table": np.zeros((16, 3), np.float32)},
         "more than 3 words"),
        ({"pieces": lines(b"<go\n"), "table": np.zeros((16, 3), np.float32)}, "n-grams of characters, and its"),
        ({"trained_on": np.array([2, 1], np.uint32)}, "fingerprints of texts are not in order"),
])  # fmt: skip
def test_other_tensors(saved, changes, message):
    header, tensors = parts(saved.read_bytes())
    tensors = {name: array for name, array in (tensors | changes).items() if array is not None}
    saved.write_bytes(sealed(header, tensors))
    with pytest.raises(ModelFileError, match=f"model is damaged .*{message}.*; copy it again, or train it again"):
        load_model(saved)


@pytest.mark.parametrize(("changes", "message"), [
        ({"labels": ["pos", "pos"]}, "not different strings"),
        ({"labels": [1, 2]}, "not different strings"),
        ({"labels": ["neg", "\x1b[31mpos"]}, "not different strings"),
        ({"labels": ["a", "b", "c"]}, "W2 is float32 of shape"),
        ({"settings": {"dim": 0}}, "dim is 0"),
        ({"settings": {"ngrams": 2}}, "more than 2 words"),
        ({"settings": {"binary": 1}}, "binary is 1"),
        ({"provenance": {"inputs": {"data": 3}}}, "provenance"),
        ({"provenance": {"texts": {"train": "3"}}}, "provenance"),
        ({"provenance": {"history": [{"epoch": 1}]}}, "train_loss"),
        ({"provenance": {"history": [EPOCH | {"seconds": 1.5}]}}, "its history"),
        ({"provenance": {"history": [EPOCH | {"train_loss": 10**400}]}}, "its history"),
        ({"provenance": []}, "damaged"),
        ({"seen": [1.0, 5.0]}, "its range of ratings is not two numbers"),
])  # fmt: skip
def test_other_headers(saved, changes, message):
    saved.write_bytes(with_header(saved.read_bytes(), changes))
    with pytest.raises(ModelFileError, match=message):
        load_model(saved)


def test_four_kinds_of_wrong_files_have_four_messages(saved):
    whole = saved.read_bytes()
    header, tensors = parts(whole)
    contents = {
        "is truncated: its end is missing; copy it again": [whole[:-1], whole[:100], whole[:9]],
        "is damaged": [whole + b"x", *(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in (60, -2))],
        "by a newer mlcore .format 8; this one reads 6 and 7.; update": [with_header(whole, {"version": 8})],
        "by an older mlcore .* train it again": [with_header(whole, {"version": 1})],
        "is not a model file of mlcore": [
            b"", b"hello", b"PK\x03\x04" + bytes(99), whole[:8], bytes(8) + b"{", b"\xff" * 8 + b"{",
            safetensors.numpy.save(tensors), safetensors.numpy.save(tensors, {"format": "pt"}),
            *(with_header(whole, {"format": other}) for other in ("other", "mlcore-checkpoint")),
        ],
    }  # fmt: skip
    changed = [(header | {"labels": ["neg", "pot"]}, tensors), (header | {"sha256": "0" * 64}, tensors)]
    for name in tensors.keys() - {"pieces"}:  # of which there are none
        array = tensors[name].copy()
        array.view(np.uint8).flat[-1] ^= 1
        changed.append((header, tensors | {name: array}))
    contents["is damaged .its checksum does not match"] = [sealed(*one, one[0]["sha256"]) for one in changed]
    for message, wrong in contents.items():
        for content in wrong:
            saved.write_bytes(content)
            with pytest.raises(ModelFileError, match=f"model (was written )?{message}"):
                load_model(saved)


def test_outputs_are_checked(tmp_path):
    """What the command line does not say in golden/refused.txt: devices, long names, links, and folders of inputs."""
    os.mkfifo(tmp_path / "fifo")
    thesis, new = tmp_path / "thesis.txt", tmp_path / "new"
    thesis.write_text("Once upon a time")
    (tmp_path / "link").symlink_to(thesis)
    for path in (tmp_path / "fifo", tmp_path / ("m" * 300)):
        with pytest.raises(OSError, match="is a folder or device|too long"):
            check_writable(path)
    os.link(thesis, tmp_path / "hard link")
    for output, given in ((thesis, tmp_path / "link"), (thesis, tmp_path / "hard link"), (new, tmp_path)):
        with pytest.raises(InputError, match=r"it would (overwrite|lie in the folder .*, which is) an input"):
            check_files([given], model=(output, b""))
    save_model(make_model(), new)
    check_files([thesis], model=(new, b'"mlcore"'), log=(None, b""), output=(Path("-"), b""))


def test_what_a_killed_process_has_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    (tmp_path / ".mlcore-0.part").mkdir()
    (tmp_path / ".mlcore-0.part" / "model").write_text("half")
    with beside(tmp_path / "slow") as slow:
        write_beside(tmp_path / "quick", lambda file: file.write(b"all"))
        assert {path.name for path in tmp_path.iterdir()} == {slow.parent.name, "quick"}
    assert {path.name for path in tmp_path.iterdir()} == {"slow", "quick"}


def test_a_symbolic_link_stays_one_and_the_umask_counts(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    before = os.umask(0o027)
    try:
        save_model(make_model(), tmp_path / "link")
    finally:
        os.umask(before)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert_same(load_model(tmp_path / "real"), make_model())
