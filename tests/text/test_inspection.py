"""What is found in texts before a training: every number by hand on small corpora, and by a naive twin on real ones."""

from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from mlcore.errors import DataError
from mlcore.text.corpus import Corpus, built_in_corpus, read_corpus
from mlcore.text.inspection import Bin, Coverage, Found, Inspection, Known, Lengths, Repeat, inspect
from mlcore.text.tokenizer import tokens

SMALL = Corpus(
    "small",
    ["Good film", "good  FILM", "", "good film", "a b c d e", "  ", "bad", "a b c d e", "Bad", "new film"],
    ["pos", "pos", "neg", "neg", "neg", "pos", "neg", "neg", "pos", "pos"],
    ["train", "train", "", "train", "", "train", "train", "dev", "test", "test"],
    [f"line {number}" for number in range(2, 12)],
)


def test_everything_about_a_small_corpus():
    found = inspect(SMALL)
    assert isinstance(found, Inspection)
    assert (found.source, found.dev_source, found.texts) == ("small", None, 10)
    assert found.labels == {"neg": 5, "pos": 5}
    assert found.parts == {"train": {"neg": 4, "pos": 3}, "dev": {"neg": 1}, "test": {"pos": 2}}
    assert (found.tokens, found.vocabulary) == (20, 9)
    assert found.lengths == Lengths(0, 1, 2, 2, 5, 2.0, [Bin(0, 0, 2), Bin(1, 1, 2), Bin(2, 3, 4), Bin(4, 7, 2)])
    assert found.empty == Found(2, ["line 4", "line 7"])
    assert asdict(found.duplicates) == {
        "count": 2,
        "examples": [{"place": "line 3", "earlier": "line 2"}, {"place": "line 5", "earlier": "line 2"}],
    }
    assert asdict(found.conflicts) == {
        "count": 5,
        "different": 2,
        "examples": [{"neg": "line 5", "pos": "line 2"}, {"neg": "line 8", "pos": "line 10"}],
    }
    assert {part: asdict(repeats) for part, repeats in found.shared.items()} == {
        "dev": {"count": 1, "examples": [{"place": "line 9", "earlier": "line 6"}]},
        "test": {"count": 1, "examples": [{"place": "line 10", "earlier": "line 8"}]},
    }
    assert found.undecodable == Found(0, [])
    # the training part holds good and film three times, and a, b, c, d, e and bad once
    assert found.coverage == [
        Coverage("dev", 5, [Known(1, 8, 1.0), Known(2, 2, 0.0), Known(5, 0, 0.0)]),
        Coverage("test", 3, [Known(1, 8, 2 / 3), Known(2, 2, 1 / 3), Known(5, 0, 0.0)]),
    ]


def test_another_corpus_is_held_out_in_place_of_the_dev_part():
    other = Corpus("other", ["x", "good film", "y"], ["pos", "neg", "pos"], ["train", "dev", ""], [], ["line 9"])
    found = inspect(SMALL, other)
    assert found.dev_source == "other"
    assert found.parts == {"train": {"neg": 5, "pos": 3}, "dev": {"neg": 1}, "test": {"pos": 2}}
    assert found.shared["dev"].examples == [Repeat("other, text 1", "line 2")]
    assert found.undecodable == Found(1, ["other, line 9"])
    assert found.coverage[0] == Coverage("dev", 2, [Known(1, 8, 1.0), Known(2, 7, 1.0), Known(5, 0, 0.0)])


def test_without_other_parts_a_tenth_is_held_out_the_same_in_every_run():
    corpus = Corpus("c", [f"word w{i}" for i in range(50)], ["a", "b"] * 25, [""] * 50)
    (coverage,) = inspect(corpus).coverage
    # of each of the 5 texts, one of two words occurs in the 45 others
    assert coverage == Coverage("tenth", 10, [Known(1, 46, 0.5), Known(2, 1, 0.5), Known(5, 1, 0.5)])
    assert inspect(corpus) == inspect(corpus)


def test_where_there_is_nothing_to_measure_on():
    assert inspect(Corpus("c", ["one"], ["a"], [""])).coverage == []
    assert inspect(Corpus("c", ["one"], ["a"], ["test"])).coverage == []
    (coverage,) = inspect(Corpus("c", ["one", "!?", ""], ["a", "a", "a"], ["", "", "test"])).coverage
    assert coverage == Coverage("test", 0, [Known(1, 3, None), Known(2, 0, None), Known(5, 0, None)])
    only_empty = inspect(Corpus("c", ["", " "], ["a", "b"], ["", ""]))
    assert (only_empty.tokens, only_empty.empty.count, only_empty.duplicates.count) == (0, 2, 0)
    assert (only_empty.conflicts.count, only_empty.lengths.histogram) == (0, [Bin(0, 0, 2)])
    with pytest.raises(DataError, match="c has no text to look at; expected some."):
        inspect(Corpus("c"))


def test_only_the_first_few_places_are_kept():
    found = inspect(Corpus("c", ["", "x"] * 50, ["a", "a", "a", "b"] * 25, [""] * 100))
    assert (found.empty.count, len(found.empty.places)) == (50, 5)
    assert (found.duplicates.count, found.duplicates.examples[0]) == (49, Repeat("text 4", "text 2"))
    assert (found.conflicts.count, found.conflicts.different) == (50, 1)


@pytest.mark.parametrize("cut", [3, 2, 1])
def test_against_a_naive_count(cut):
    """The built-in corpus with its texts cut to their first tokens, so that there are repeats of all kinds."""
    corpus = read_corpus(built_in_corpus())
    corpus = corpus.select(range(0, len(corpus.texts), 4))
    corpus.texts = [" ".join(tokens(text)[:cut]) for text in corpus.texts]
    found = inspect(corpus)
    labels_of: dict[str, set] = {}
    for text, label in zip(corpus.texts, corpus.labels, strict=True):
        labels_of.setdefault(text, set()).add(label)
    in_part = {split: Counter(corpus.texts[i] for i in corpus.part(split)) for split in ("train", "dev", "test")}
    assert found.duplicates.count == sum(count - 1 for counts in in_part.values() for count in counts.values()) > 0
    assert found.conflicts.count == sum(len(labels_of[text]) > 1 for text in corpus.texts) > 0
    for part, repeats in found.shared.items():
        assert repeats.count == sum(text in in_part["train"] for text in in_part[part].elements()) > 0
    counts = Counter(word for i in corpus.part("train") for word in tokens(corpus.texts[i]))
    for coverage in found.coverage:
        seen = [counts[word] for i in corpus.part(coverage.part) for word in tokens(corpus.texts[i])]
        for known in coverage.known:
            assert known.words == sum(count >= known.min_count for count in counts.values())
            assert known.share == np.mean([count >= known.min_count for count in seen])
