"""N-grams are counted, chosen, numbered and found exactly; each kernel against a dictionary."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.text import features as module
from mlcore.text.features import PairTable, choose_features, count_features, extend, pair_up
from mlcore.text.vocabulary import UNKNOWN, TokenIds, WordTable

texts_of_words = st.lists(st.lists(st.sampled_from("abcdé"), max_size=9).map(" ".join), min_size=1, max_size=6)


def ngrams(text, largest, known=None):
    """All n-grams of a text, by slicing; of n-grams whose words and beginnings are known, if such are given."""
    words = text.split()
    found = []
    for size in range(1, largest + 1):
        found += [" ".join(words[t : t + size]) for t in range(len(words) - size + 1)]
    return [ngram for ngram in found if known is None or ngram in known]


def choose(texts, rows, largest=3, min_count=1, max_features=None, binary=False):
    table = WordTable()
    tokens = table.add(texts)
    return choose_features(table, tokens, np.array(rows), largest, min_count, max_features, binary)


def count(ids, offsets, size, binary=False):
    return count_features(np.array(ids, np.int32), np.array(offsets, np.int64), size, binary)


def as_counters(documents, names):
    for first, last in zip(documents.offsets[:-1], documents.offsets[1:], strict=True):
        entries = slice(first, last)
        yield {names[i]: c for i, c in zip(documents.ids[entries], documents.counts[entries].tolist(), strict=True)}


@given(texts_of_words, st.integers(1, 3), st.integers(1, 3), st.one_of(st.none(), st.integers(1, 12)))
def test_exactly_the_frequent_features_are_chosen_and_found(texts, largest, min_count, max_features):
    rows = range(0, len(texts), 2)
    features = choose(texts, rows, largest, min_count, max_features)
    expected = Counter(ngram for row in rows for ngram in ngrams(texts[row], largest))
    frequent = {ngram: times for ngram, times in expected.items() if times >= min_count}
    chosen = {name: expected[name] for name in features.names}
    assert len(chosen) == len(features)
    if max_features is None or len(frequent) <= max_features:
        assert chosen == frequent
    else:  # the most frequent ones, and with each n-gram all that it is made of
        assert len(chosen) == max_features
        assert chosen.items() <= frequent.items()
        assert min(chosen.values()) >= max(times for ngram, times in frequent.items() if ngram not in chosen)
        assert all(part in chosen for ngram in chosen for part in ngrams(ngram, largest))
    names = features.names
    found = list(as_counters(features.documents(texts), names))
    assert found == [Counter(ngrams(text, largest, chosen)) for text in texts]
    assert features.words_in().tolist() == [len(name.split()) for name in names]


@given(texts_of_words, texts_of_words, st.integers(1, 3))
def test_extended_features_are_those_of_both(old_texts, new_texts, largest):
    known = choose(old_texts, range(len(old_texts)), largest)
    new = choose(new_texts, range(len(new_texts)), largest)
    both = extend(known, new)
    names = both.names
    assert sorted(names) == sorted({*known.names, *new.names})
    words = len(both.words)
    assert names[: len(known.words)] + names[words : words + len(known.ngrams)] == known.names
    assert both.words_in().tolist() == [len(name.split()) for name in names]
    texts = [*old_texts, *new_texts]
    found = list(as_counters(both.documents(texts), names))
    assert found == [Counter(ngrams(text, largest, names)) for text in texts]


def test_features_are_numbered_by_size_and_frequency():
    features = choose(["b a b a", "a c"], [0, 1], largest=2)
    assert features.names == ["a", "b", "c", "b a", "a b", "a c"]


def test_binary_counts_each_feature_once():
    features = choose(["a a a b a a"], [0], largest=2, binary=True)
    assert features.documents(["a a a b"]).counts.tolist() == [1, 1, 1, 1]


def test_an_unknown_word_is_no_bridge():
    features = choose(["a b"], [0], largest=2)
    assert list(as_counters(features.documents(["a x b", "a", "", "x"]), features.names)) == [
        {"a": 1, "b": 1}, {"a": 1}, {}, {},
    ]  # fmt: skip


def test_pairs_do_not_cross_texts():
    words = TokenIds(np.array([4, 5, 6, UNKNOWN, 7], np.int32), np.array([0, 2, 2, 5]))
    assert pair_up(words.ids, words).tolist() == [UNKNOWN, 4 << 32 | 5, UNKNOWN, UNKNOWN, UNKNOWN]


@given(st.lists(st.integers(-1, 2**40), max_size=60))
def test_pair_table_is_a_dictionary(keys):
    table, numbers = PairTable(7), {}
    expected = [UNKNOWN if key == -1 else numbers.setdefault(key, 7 + len(numbers)) for key in keys]
    keys = np.array(keys, np.int64)
    assert table.add(keys).tolist() == expected
    assert table.look_up(keys).tolist() == expected
    assert table.keys.tolist() == list(numbers)
    again = PairTable.from_keys(7, table.keys)
    assert again.look_up(keys).tolist() == expected
    assert again.look_up(np.array([2**50, UNKNOWN])).tolist() == [UNKNOWN, UNKNOWN]


def test_pair_table_grows():
    keys = np.arange(10_000, dtype=np.int64)[::-1] << 20
    table = PairTable(0)
    assert table.add(keys).tolist() == list(range(10_000))
    assert table.look_up(keys[::-1]).tolist() == list(range(10_000))[::-1]


def test_pairs_that_share_a_slot_are_told_apart(monkeypatch):
    """The hash of all pairs is the same here; only the comparison of keys is left."""
    if hasattr(module.hash_pair, "py_func"):
        keys, slots, ids = np.array([5, 9, 5, 11], np.int64), np.full(8, UNKNOWN, np.int32), np.empty(4, np.int32)
        known, size = np.zeros(8, np.int64), np.zeros(1, np.int64)
        same = {key: module.hash_pair(key) & 7 for key in range(1, 200)}
        first = [key for key in same if same[key] == same[1]][:3]
        keys[:] = [first[0], first[1], first[0], first[2]]
        assert module.add_pairs(keys, 0, 0, size, known, slots, ids) == 4
        assert ids.tolist() == [0, 1, 0, 2]


def test_count_features_of_two_levels():
    documents = count([[0, 1, 0, -1], [-1, 2, 3, -1]], [0, 3, 3, 4], 4)
    assert documents.offsets.tolist() == [0, 4, 4, 4]
    assert documents.ids.tolist() == [0, 1, 2, 3]
    assert documents.counts.tolist() == [2, 1, 1, 1]
    assert documents.lengths().tolist() == [5, 0, 0]


@given(st.lists(st.lists(st.integers(UNKNOWN, 6), max_size=12), max_size=6))
def test_count_features_counts_as_a_counter_does(texts):
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    documents = count([[word for text in texts for word in text]], offsets, 7)
    for i, text in enumerate(texts):
        place = slice(documents.offsets[i], documents.offsets[i + 1])
        expected = sorted(Counter(word for word in text if word != UNKNOWN).items())
        assert list(zip(documents.ids[place].tolist(), documents.counts[place].tolist(), strict=True)) == expected


@pytest.mark.parametrize("largest", [1, 2, 3])
def test_no_texts(largest):
    features = choose(["", "-"], [0, 1], largest)
    assert (len(features), features.names) == (0, [])
    assert features.documents([]).n_texts == 0
