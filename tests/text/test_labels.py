"""Labels: what may be one, which are chosen, what is held out of each, and what is warned about."""

import numpy as np
import pytest

from mlcore.errors import DataError
from mlcore.text.dataset import dataset_of
from mlcore.text.labels import choose_labels, clean_label, hold_out, targets_of, unknown_labels
from mlcore.text.overlap import fingerprints, kept, share_known


@pytest.mark.parametrize("label", ["بی\u200cطرف", "क्\u200dष", "très\u00a0bon", "\U0001fae9", "e\u0301", " so so "])
def test_labels_are_any_text_but_control_characters(label):
    assert clean_label(label) == label.strip().replace("e\u0301", "\u00e9")
    for wrong in ("", " \t", "a\x1b[31m", "a\nb", "\x85a\x85b", "a\u2028b", "\ud800"):
        with pytest.raises(ValueError, match="the label is .*; expected text without control characters"):
            clean_label(wrong)


def test_targets_and_labels():
    data = dataset_of(["a"] * 4, ["10", "9", "2.5", "nan"], splits=["train", "train", "dev", "test"])
    assert choose_labels(data, np.array([0, 1])) == ("9", "10")
    assert choose_labels(data, np.array([0, 2])) == ("10", "2.5")
    assert choose_labels(dataset_of(["a"] * 2, ["9", "1" * 5_000]), np.arange(2)) == ("1" * 5_000, "9")
    assert choose_labels(dataset_of(["a"] * 2, ["pos", "z"]), np.arange(2)) == ("z", "pos")
    assert targets_of(data, ("9", "10"))[:, 0].tolist() == pytest.approx([1, 0, np.nan, np.nan], nan_ok=True)
    with pytest.raises(DataError, match=r"X, text 3: the label is '2.5'; expected one of '9', '10' as in the training"):
        targets_of(data, ("9", "10"), np.array([2, 3]))
    assert targets_of(data, (), np.arange(3))[:3].tolist() == [[10], [9], [2.5]]
    with pytest.raises(DataError, match="text 4: the label is 'nan'; expected a number up to"):
        targets_of(data, ())


def test_whole_numbers_are_the_same_with_and_without_a_fraction():
    data = dataset_of(["a"] * 4, ["1.0", "-2.0", "3", "x.0"])
    assert targets_of(data, ("-2", "1", "3.0"))[:3, 0].tolist() == [1, 0, 2]
    assert unknown_labels(data, np.arange(4), ("-2", "1", "3.0")) == {"x.0": 1}


def test_what_is_held_out_of_each_label():
    labels = np.array([0] * 100 + [1] * 10 + [2])
    mask = hold_out(labels, 0.25, seed=3)
    assert [mask[labels == label].sum() for label in range(3)] == [25, 2, 0]
    assert np.array_equal(mask, hold_out(labels, 0.25, seed=3))
    assert hold_out(np.array([0, 0, 1, 1]), 0.01, seed=1).sum() == 2, "at least one text of each label"
    assert hold_out(np.array([0, 0, 1, 1]), 0.99, seed=1).sum() == 2, "and never all"


def test_texts_are_known_by_their_words():
    texts = ["A good film!", "a  GOOD film !", "film good a!", "bad", ""]
    one, other = dataset_of(texts, "aabba"), dataset_of(["new words", *texts[::-1]], "bbabaa")
    hashes = fingerprints(one, np.arange(5))
    assert hashes[0] == hashes[1] != hashes[2]
    assert fingerprints(other, np.arange(1, 6)).tolist() == hashes[::-1].tolist()
    known = kept(hashes[:4])
    assert (len(known), share_known(fingerprints(other, np.arange(6)), known)) == (3, 4 / 6)
    assert share_known(hashes, known[:0]) is None


def test_of_very_many_texts_a_sample_is_known(monkeypatch):
    monkeypatch.setattr("mlcore.text.overlap.MAX_FINGERPRINTS", 1000)
    random = np.random.default_rng(1).integers(0, 2**32, 30_000, np.uint32)
    known = kept(random[:20_000])
    assert len(known) == 1000
    assert share_known(random[10_000:], known) == pytest.approx(0.5, abs=0.05)
