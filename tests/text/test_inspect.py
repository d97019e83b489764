"""What is found in texts before a training: every number by hand on small corpora, and by a naive twin on real ones."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from mlcore.errors import DataError
from mlcore.text.dataset import built_in_dataset, dataset_of
from mlcore.text.inspect import inspect
from mlcore.text.readers import read_examples
from mlcore.text.tokenizer import tokens

SMALL = dataset_of(
    ["Good film", "good  FILM", "", "good film", "a b c d e", "  ", "bad", "a b c d e", "Bad", "new film"],
    ["pos", "pos", "neg", "neg", "neg", "pos", "neg", "neg", "pos", "pos"],
    splits=["train", "train", "", "train", "", "train", "train", "dev", "test", "test"],
    source="small",
)


def test_everything_about_a_small_dataset():
    assert inspect(SMALL).to_dict() == {
        "source": "small", "dev_source": None, "texts": 10, "labels": {"neg": 5, "pos": 5},
        "parts": {"train": {"neg": 4, "pos": 3}, "dev": {"neg": 1}, "test": {"pos": 2}},
        "tokens": 20, "vocabulary": 9,
        "lengths": {
            "minimum": 0, "lower_quartile": 1, "median": 2, "upper_quartile": 2, "maximum": 5, "mean": 2.0,
            "histogram": [{"first": first, "last": last, "texts": texts}
                          for first, last, texts in ((0, 0, 2), (1, 1, 2), (2, 3, 4), (4, 7, 2))],
        },
        "empty": {"count": 2, "places": ["text 3", "text 6"]},
        "duplicates": {"count": 2, "examples": [{"place": "text 2", "earlier": "text 1"},
                                                {"place": "text 4", "earlier": "text 1"}]},
        "conflicts": {"count": 5, "different": 2, "examples": [{"neg": "text 4", "pos": "text 1"},
                                                               {"neg": "text 7", "pos": "text 9"}]},
        "shared": {"dev": {"count": 1, "examples": [{"place": "text 8", "earlier": "text 5"}]},
                   "test": {"count": 1, "examples": [{"place": "text 9", "earlier": "text 7"}]}},
        "bad_rows": {"count": 0, "places": []}, "undecodable": {"count": 0, "places": []}, "notes": [],
        "known": {"dev": 1.0, "test": 2 / 3},
    }  # fmt: skip


def test_another_dataset_is_held_out_in_place_of_the_dev_split():
    other = dataset_of(["x", "good film", "y"], ["pos", "new", "pos"], splits=["train", "dev", ""], source="other")
    other.notes.undecodable.append("line 9")
    found = inspect(SMALL, other)
    assert (found.dev_source, found.vocabulary) == ("other", 9)
    assert found.labels == {"neg": 5, "new": 1, "pos": 5}
    assert found.parts == {"train": {"neg": 5, "pos": 3}, "dev": {"new": 1}, "test": {"pos": 2}}
    assert found.shared["dev"]["examples"] == [{"place": "other, text 2", "earlier": "text 1"}]
    assert found.undecodable == {"count": 1, "places": ["other, line 9"]}
    assert found.known["dev"] == 1


def test_where_there_is_nothing_to_measure_on():
    assert inspect(dataset_of(["one"], ["a"], splits=["test"])).known == {"test": 0}
    assert inspect(dataset_of(["one", "!?", ""], ["a", "a", "a"], splits=["", "", "test"])).known == {"test": None}
    with pytest.raises(DataError, match="c contains no texts."):
        inspect(dataset_of([], [], source="c"))


def test_against_a_naive_count():
    """Part of the built-in dataset with its texts cut to their first tokens, so that there are repeats of all kinds."""
    examples = list(read_examples(built_in_dataset()))[::4]
    texts = [" ".join(tokens(example.text)[:3]) for example in examples]
    found = inspect(dataset_of(texts, [example.label for example in examples], splits=[e.split for e in examples]))
    labels_of, in_split = defaultdict(set), defaultdict(Counter)
    for text, example in zip(texts, examples, strict=True):
        labels_of[text].add(example.label)
        in_split[example.split][text] += 1
    assert found.duplicates["count"] == sum(counts.total() - len(counts) for counts in in_split.values()) > 0
    assert found.conflicts["count"] == sum(len(labels_of[text]) > 1 for text in texts) > 0
    for split, repeats in found.shared.items():
        assert repeats["count"] == sum(text in in_split["train"] for text in in_split[split].elements()) > 0
    trained = {word for text in in_split["train"] for word in tokens(text)}
    for split, share in found.known.items():
        assert share == np.mean([word in trained for text in in_split[split].elements() for word in tokens(text)])
