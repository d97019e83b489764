"""N-grams are counted, chosen, numbered and found exactly; each kernel against a dictionary."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.kernels.simd import mix_bits
from mlcore.text import features as features_module
from mlcore.text import pairs, vocabulary
from mlcore.text.features import choose_features, count_features, extend
from mlcore.text.growing import Growing
from mlcore.text.pairs import PairTable, frequent_pairs, pair_up
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


def test_texts_that_are_not_chosen_have_no_pairs():
    words = TokenIds(np.array([4, 5, 6, 7], np.int32), np.array([0, 2, 4]))
    assert pair_up(words.ids, words, np.array([False, True])).tolist() == [UNKNOWN, UNKNOWN, UNKNOWN, 6 << 32 | 7]


@given(st.lists(st.integers(0, 2**40), max_size=60, unique=True), st.lists(st.integers(-1, 2**40), max_size=20))
def test_pair_table_is_a_dictionary(keys, others):
    table = PairTable(7, np.array(keys, np.int64))
    numbers = {key: 7 + number for number, key in enumerate(keys)}
    asked = keys[::-1] + others
    assert table.look_up(np.array(asked, np.int64)).tolist() == [numbers.get(key, UNKNOWN) for key in asked]


def keys_of_one_slot(slots, number):
    """Keys whose search begins at the same slot, so that only the comparison of keys tells them apart."""
    hashed = getattr(mix_bits, "py_func", mix_bits)  # Python cannot call what becomes a part of kernels
    return [key for key in range(1, 500 * slots) if hashed(key) & (slots - 1) == 3][:number]


def test_pairs_that_share_a_slot_are_told_apart():
    keys = keys_of_one_slot(16, 5)
    table = PairTable(0, np.array(keys[:4]))
    assert len(table.slots) == 16
    assert table.look_up(np.array(keys[::-1])).tolist() == [UNKNOWN, 3, 2, 1, 0]
    slots, counted = np.full(16, UNKNOWN, np.int32), np.zeros((3, 6), np.int64)
    order = np.array([keys[i] for i in (2, 0, 2, 1, 0, 2)])
    assert pairs.count_pairs(order, np.arange(10, 16), slots, *counted) == 3
    assert counted[:, :3].tolist() == [[keys[2], keys[0], keys[1]], [3, 2, 1], [10, 11, 13]]


@given(
    st.lists(st.lists(st.sampled_from([UNKNOWN, *range(2**31, 2**31 + 9), *range(5)]), max_size=20), max_size=5),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_frequent_pairs_are_those_of_a_counter(parts, min_count, threads):
    """In whatever turns, buckets and threads they are counted; as often as each other, the first to occur is first."""
    counter = Counter(key for part in parts for key in part if key != UNKNOWN)
    expected = [(key, count) for key, count in counter.most_common() if count >= min_count]
    for at_a_time, in_bucket in ((10_000, 10_000), (10_000, 4), (7, 3), (1, 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pairs, "KEYS_AT_A_TIME", at_a_time)
            patch.setattr(pairs, "KEYS_IN_BUCKET", in_bucket)
            keys, counts = frequent_pairs(
                lambda: iter(parts), lambda part: np.array(part, np.int64), sum(map(len, parts)), min_count, threads
            )
        assert list(zip(keys.tolist(), counts.tolist(), strict=True)) == expected


def test_every_key_has_its_turn_and_no_turn_has_most():
    """The keys of one turn are a share of all, and each of its buckets has a share of these."""
    keys = np.array([a << 32 | b for a in range(100) for b in range(100)])
    sizes = [np.diff(pairs._deal(np.array, turn, 4, 8, keys).bounds) for turn in range(4)]
    assert np.sum(sizes) == 10_000
    assert np.min(sizes) > 200 and np.max(sizes) < 420


@given(texts_of_words, st.integers(1, 3), st.integers(2, 3))
def test_features_and_documents_do_not_depend_on_parts_threads_or_storage(tmp_path_factory, texts, largest, threads):
    rows = range(0, len(texts), 2)
    expected = choose(texts, rows, largest)
    documents = expected.documents(texts)
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (vocabulary, "TOKENS", 3), (vocabulary, "CHARACTERS", 5), (features_module, "TOKENS", 4),
            (pairs, "KEYS_AT_A_TIME", 5), (pairs, "KEYS_IN_BUCKET", 1),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        table = WordTable()
        tokens = table.add(texts, threads)
        features = choose_features(table, tokens, np.array(rows), largest, 1, None, False, threads)
        assert features.names == expected.names
        folder = tmp_path_factory.mktemp("documents")
        storage = [Growing(array.dtype, folder / str(number)) for number, array in enumerate(documents)]
        for found in (features.documents(texts, threads), features.documents_of(tokens, table, threads, storage)):
            for array, same in zip(found, documents, strict=True):
                assert array.tolist() == same.tolist()
        known = [number for _, part in features.read(texts, threads) for number in part.tolist()]
    assert known == [len(ngrams(text, 1, expected.names)) for text in texts]


def test_count_features_of_two_levels():
    documents = count([[0, 1, 0, -1], [-1, 2, 3, -1]], [0, 3, 3, 4], 4)
    assert documents.offsets.tolist() == [0, 4, 4, 4]
    assert documents.ids.tolist() == [0, 1, 2, 3]
    assert documents.counts.tolist() == [2, 1, 1, 1]
    assert documents.lengths().tolist() == [5, 0, 0]


@given(
    st.lists(st.lists(st.sampled_from([UNKNOWN, 0, 1, 2, 2047, 2048, 5000]), max_size=12), max_size=6),
    st.sampled_from([1, 7, 1 << 14]),
    st.booleans(),
)
def test_count_features_counts_as_a_counter_does(texts, entries, binary):
    """Also in small blocks of texts, and with numbers of one and of two digits."""
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features_module, "ENTRIES", entries)
        documents = count([[word for text in texts for word in text]], offsets, 5001, binary)
    for i, text in enumerate(texts):
        place = slice(documents.offsets[i], documents.offsets[i + 1])
        expected = sorted(Counter(word for word in text if word != UNKNOWN).items())
        expected = [(word, 1 if binary else times) for word, times in expected]
        assert list(zip(documents.ids[place].tolist(), documents.counts[place].tolist(), strict=True)) == expected


def test_more_texts_are_counted_than_are_sorted_together():
    texts = 5000
    documents = count([np.arange(texts) % 2], np.arange(texts + 1), 2)
    assert documents.ids.tolist() == [0, 1] * (texts // 2)
    assert documents.offsets.tolist() == list(range(texts + 1))


@pytest.mark.parametrize("largest", [1, 2, 3])
def test_no_texts(largest):
    features = choose(["", "-"], [0, 1], largest)
    assert (len(features), features.names) == (0, [])
    assert features.documents([]).n_texts == 0
