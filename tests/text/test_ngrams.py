"""N-grams are counted, chosen, numbered and found exactly; each kernel against a dictionary."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from conftest import pieces_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlcore.kernels.simd import mix_bits
from mlcore.text import growing, ngrams, vocabulary
from mlcore.text.ngrams import choose_features, count_features, extend, find_pairs, frequent_pairs
from mlcore.text.vocabulary import UNKNOWN, Tokens, WordTable, slots_of

texts_of_words = st.lists(st.lists(st.sampled_from("abcdé"), max_size=9).map(" ".join), min_size=1, max_size=6)


def ngrams_in(text, largest, known=None):
    """All n-grams of a text, by slicing; of n-grams whose words and beginnings are known, if such are given."""
    words = text.split()
    found = [" ".join(words[t : t + n]) for n in range(1, largest + 1) for t in range(len(words) - n + 1)]
    return [ngram for ngram in found if known is None or ngram in known]


def choose(texts, rows, largest=3, min_count=1, max_features=None, binary=False):
    table = WordTable()
    return choose_features(table, table.add(texts), np.array(rows), largest, min_count, max_features, binary)


def counters(documents, names):
    return [
        {names[i]: c for i, c in zip(documents.ids[a:b], documents.counts[a:b].tolist(), strict=True)}
        for a, b in pairwise(documents.offsets)
    ]


@given(texts_of_words, st.integers(1, 3), st.integers(1, 3), st.one_of(st.none(), st.integers(1, 12)))
def test_exactly_the_frequent_features_are_chosen_and_found(texts, largest, min_count, max_features):
    rows = range(0, len(texts), 2)
    features = choose(texts, rows, largest, min_count, max_features)
    expected = Counter(ngram for row in rows for ngram in ngrams_in(texts[row], largest))
    frequent = {ngram: times for ngram, times in expected.items() if times >= min_count}
    names = features.names
    chosen = {name: expected[name] for name in names}
    assert len(chosen) == len(features)
    if max_features is None or len(frequent) <= max_features:
        assert chosen == frequent
        order = [(len(name.split()), -chosen[name]) for name in names]
        assert order == sorted(order), "features are numbered by size and frequency"
    else:  # the most frequent ones, and with each n-gram all that it is made of
        assert len(chosen) == max_features
        assert chosen.items() <= frequent.items()
        assert min(chosen.values()) >= max(times for ngram, times in frequent.items() if ngram not in chosen)
        assert all(part in chosen for ngram in chosen for part in ngrams_in(ngram, largest))
    documents = features.documents(texts)
    assert counters(documents, names) == [Counter(ngrams_in(text, largest, chosen)) for text in texts]
    assert documents.lengths().tolist() == [len(ngrams_in(text, largest, chosen)) for text in texts]
    assert features.words_in().tolist() == [len(name.split()) for name in names]
    assert features.names_of(range(len(names))) == names


@given(texts_of_words, texts_of_words, st.integers(1, 3))
def test_extended_features_are_those_of_both(old_texts, new_texts, largest):
    known, new = (choose(texts, range(len(texts)), largest) for texts in (old_texts, new_texts))
    both = extend(known, new)
    names, words = both.names, len(both.words)
    assert sorted(names) == sorted({*known.names, *new.names})
    assert names[: len(known.words)] + names[words : words + len(known.ngrams)] == known.names
    assert both.words_in().tolist() == [len(name.split()) for name in names]
    texts = [*old_texts, *new_texts]
    assert counters(both.documents(texts), names) == [Counter(ngrams_in(text, largest, names)) for text in texts]


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.text("abé中", min_size=1, max_size=4) | st.just("!"), max_size=5).map(" ".join), min_size=1),
    st.integers(1, 3), st.integers(2, 4), st.integers(0, 3), st.one_of(st.none(), st.integers(1, 12)), st.booleans(),
)  # fmt: skip
def test_characters_of_words_are_counted_chosen_and_found_exactly(texts, min_count, smallest, more, limit, binary):
    """Those of unknown words too, in whatever parts and threads; each n-gram of a word between < and >."""
    table, sizes = WordTable(), range(smallest, smallest + more + 1)
    tokens, rows = table.add(texts), np.arange(0, len(texts), 2)
    features = choose_features(table, tokens, rows, 2, min_count, limit, binary, 1, sizes)

    def pieces_in(text):
        return [piece for word in split(text) for piece in pieces_of(word, sizes)]

    counts = Counter(piece for row in rows for piece in pieces_in(texts[row]))
    frequent = {piece: count for piece, count in counts.items() if count >= min_count}
    pieces, others = features.pieces.table.words, features.names[: features.first_piece]
    assert features.names == [*others, *(f"[{piece}]" for piece in pieces)]
    assert features.names_of(range(len(features))) == features.names
    assert features.words_in().tolist() == [len(name.split()) for name in others] + [0] * len(pieces)
    if limit is None:
        order = dict.fromkeys(piece for word in table.words for piece in pieces_of(word, sizes) if piece in frequent)
        assert pieces == sorted(order, key=lambda piece: -counts[piece])
    else:
        assert len(features) <= limit
        assert {*pieces} <= {*frequent}
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((vocabulary, "CHARACTERS"), (ngrams, "TOKENS"), (ngrams, "WORDS")):
            patch.setattr(module, name, 8)
        for found in (features.documents(texts, 2), features.documents_of(tokens, table, 2)):
            for (a, b), text in zip(pairwise(found.offsets), texts, strict=True):
                expected = Counter(name for name in others for _ in range(occurrences(name, split(text))))
                expected += Counter(f"[{piece}]" for piece in pieces_in(text) if piece in pieces)
                names = features.names_of(found.ids[a:b].tolist())
                times = [1] * (b - a) if binary else found.counts[a:b].tolist()
                assert dict(zip(names, times, strict=True)) == {n: 1 if binary else c for n, c in expected.items()}
    both = extend(features, choose_features(table, tokens, np.arange(len(texts)), 2, 1, None, binary, 1, sizes))
    assert both.pieces.table.words[: len(pieces)] == pieces
    assert {*both.pieces.table.words} == {piece for text in texts for piece in pieces_in(text)}


def split(text):
    """The words of a text, each 中 and ! of its own."""
    return re.findall("中|!|[abé]+", text)


def occurrences(name, words):
    size = len(name.split())
    return sum(name.split() == words[t : t + size] for t in range(len(words) - size + 1))


def test_unknown_words_separate_pairs():
    features = choose(["a b"], [0], largest=2)
    assert counters(features.documents(["a x b", "a", "", "x"]), features.names) == [{"a": 1, "b": 1}, {"a": 1}, {}, {}]


def keys_of_one_slot(slots, number):
    """Keys whose search begins at the same slot, so that only the comparison of keys tells them apart."""
    hashed = getattr(mix_bits, "py_func", mix_bits)  # Python cannot call what becomes a part of kernels
    return [key for key in range(1, 500 * slots) if hashed(key) & (slots - 1) == 3][:number]


@given(
    st.lists(st.integers(0, 2**40) | st.sampled_from(keys_of_one_slot(16, 9)), max_size=60, unique=True),
    st.lists(st.integers(-1, 2**40), max_size=20),
)
def test_pairs_are_found_as_in_a_dictionary(keys, others):
    known = np.array(keys, np.int64)
    numbers = {key: number for number, key in enumerate(keys, start=7)}
    asked = keys[::-1] + others
    found = find_pairs(np.array(asked, np.int64), 7, known, slots_of(known))
    assert found.tolist() == [numbers.get(key, UNKNOWN) for key in asked]


KEYS = st.sampled_from([UNKNOWN, *range(2**31, 2**31 + 9), *range(5), *keys_of_one_slot(16, 4)])


@settings(max_examples=100)
@given(st.lists(st.lists(KEYS, max_size=20), max_size=5), st.integers(1, 3), st.integers(1, 3))
def test_frequent_pairs_are_those_of_a_counter(texts, min_count, threads):
    """In whatever turns, buckets and threads they are counted; as often as each other, the first to occur is first."""
    counter = Counter(key for keys in texts for key in keys if key != UNKNOWN)
    expected = [(key, count) for key, count in counter.most_common() if count >= min_count]
    every = np.array([key for keys in texts for key in keys], np.int64)
    tokens = Tokens(np.zeros(len(every), np.int32), np.cumsum([0, *map(len, texts)]))

    def keys_of(part):
        first = tokens.offsets[part[0]]
        return every[first : first + len(part[1].ids)]

    for at_a_time, in_bucket in ((10_000, 10_000), (10_000, 4), (7, 3), (1, 1)):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (("KEYS_AT_A_TIME", at_a_time), ("KEYS_IN_BUCKET", in_bucket), ("TOKENS", 9)):
                patch.setattr(ngrams, name, value)
            keys, counts = frequent_pairs(tokens, keys_of, min_count, threads)
        assert list(zip(keys.tolist(), counts.tolist(), strict=True)) == expected


def test_every_key_has_its_turn_and_no_turn_or_bucket_has_most():
    keys = np.array([a << 32 | b for a in range(100) for b in range(100)])
    sizes = [np.diff(ngrams.deal_keys(keys, turn, 4, 8)[2]) for turn in range(4)]
    assert np.sum(sizes) == 10_000
    assert 200 < np.min(sizes) < np.max(sizes) < 420


@settings(max_examples=60)
@given(texts_of_words, st.integers(1, 3), st.integers(2, 3), st.booleans())
def test_features_and_documents_do_not_depend_on_parts_threads_or_storage(texts, largest, threads, binary):
    rows = range(0, len(texts), 2)
    expected = choose(texts, rows, largest, binary=binary)
    documents = expected.documents(texts)
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (vocabulary, "CHARACTERS", 5), (ngrams, "TOKENS", 4), (ngrams, "KEYS_AT_A_TIME", 5),
            (ngrams, "KEYS_IN_BUCKET", 1), (growing, "ALWAYS_FITS", 0), (growing, "MEMORY_SHARE", 0),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        table = WordTable()
        tokens = table.add(texts, threads)
        assert isinstance(tokens.offsets.base, np.memmap)
        features = choose_features(table, tokens, np.array(rows), largest, 1, None, binary, threads)
        assert features.names == expected.names
        for found in (features.documents(texts, threads), features.documents_of(tokens, table, threads)):
            assert (found.ids.tolist(), found.offsets.tolist()) == (documents.ids.tolist(), documents.offsets.tolist())
            assert np.array_equal(np.broadcast_to(found.counts, len(found.ids)), documents.counts)
        known = [number for _, part, _ in features.read(texts, threads) for number in part.tolist()]
    assert known == [len(ngrams_in(text, 1, expected.names)) for text in texts]


@given(
    st.lists(st.lists(st.sampled_from([UNKNOWN, 0, 1, 2, 2047, 2048, 5000]), max_size=12), max_size=6),
    st.sampled_from([1, 7, 1 << 14]),
    st.integers(1, 2),
    st.booleans(),
)
@example([[0], [1]] * 2500, 1 << 14, 1, False)  # more texts than are sorted together
def test_count_features_counts_as_a_counter_does(texts, entries, levels, binary):
    """Also in small blocks of texts, with numbers of one and of two digits, and of more than one level."""
    offsets = np.cumsum([0, *map(len, texts)])
    ids = np.array([[word for text in texts for word in text]] * levels, np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "ENTRIES", entries)
        documents = count_features(ids, offsets, 5001, binary)
    for (a, b), text in zip(pairwise(documents.offsets), texts, strict=True):
        expected = sorted(Counter(word for word in text * levels if word != UNKNOWN).items())
        assert documents.ids[a:b].tolist() == [word for word, _ in expected]
        assert documents.counts[a:b].tolist() == [1 if binary else times for _, times in expected]


@pytest.mark.parametrize("largest", [1, 2, 3])
def test_no_texts(largest):
    features = choose(["", "-"], [0, 1], largest)
    assert (len(features), features.names, features.documents([]).n_texts) == (0, [], 0)
