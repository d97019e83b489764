"""N-grams are counted, chosen, numbered and found exactly; each kernel against a dictionary."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from conftest import pieces_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlcore.text import growing, ngrams, vocabulary
from mlcore.text.documents import Documents, sort_and_count
from mlcore.text.ngrams import NO_PIECES, Choice, choose_features, extend
from mlcore.text.vocabulary import UNKNOWN, WordTable

texts_of_words = st.lists(st.lists(st.sampled_from("abé中"), max_size=9).map(" ".join), min_size=1, max_size=6)


def choose(texts, rows, *choice):
    table = WordTable()
    return choose_features(table, table.add(texts), np.array(rows), Choice(*choice))


def counters(documents, names):
    counts = np.broadcast_to(documents.counts, len(documents.ids)).tolist()
    return [
        {names[i]: c for i, c in zip(documents.ids[a:b], counts[a:b], strict=True)}
        for a, b in pairwise(documents.offsets)
    ]


@given(texts_of_words, texts_of_words, st.integers(1, 3), st.sampled_from([range(0), range(2, 4)]))
def test_extended_features_are_those_of_both(old_texts, new_texts, largest, sizes):
    known, new = (choose(texts, range(len(texts)), largest, 1, None, False, sizes) for texts in (old_texts, new_texts))
    both = extend(known, new)
    names, words = both.names, len(both.words)
    assert sorted(names) == sorted({*known.names, *new.names})
    pieces = names[both.first_piece :][: len(known.pieces.table)]
    assert names[:words][: len(known.words)] + names[words:][: len(known.ngrams)] + pieces == known.names
    texts = [*old_texts, *new_texts]
    expected = [Counter(name for name in occurring(text, largest, sizes) if name in names) for text in texts]
    assert counters(both.documents(texts), names) == expected


def occurring(text, largest, sizes=()):
    """All features of a text: words and n-grams, also at its beginning, and the n-grams of characters of each word."""
    words = re.findall("中|!|[abé]+", text)
    found = [" ".join(words[t : t + n]) for n in range(1, largest + 1) for t in range(len(words) - n + 1)]
    found += [" ".join(["^", *words[:n]]) for n in range(1, min(largest, len(words)) + 1) if largest > 1]
    return found + [f"[{piece}]" for word in words for piece in pieces_of(word, sizes)]


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.text("abé中", min_size=1, max_size=3) | st.just("!"), max_size=5).map(" ".join), min_size=1),
    st.integers(1, 3), st.integers(1, 3), st.sampled_from([range(0), range(2, 4), range(3, 6)]),
    st.none() | st.integers(1, 12), st.booleans(), st.integers(2, 3),
)  # fmt: skip
def test_exactly_the_frequent_features_are_chosen_and_found(texts, largest, min_count, sizes, limit, binary, threads):
    """In whatever parts, threads and storage; those of characters of unknown words too."""
    rows, small = range(0, len(texts), 2), (
        (vocabulary, "CHARACTERS", 5), (ngrams, "TOKENS", 8), (ngrams, "WORDS", 8), (ngrams, "KEYS_AT_A_TIME", 5),
        (ngrams, "KEYS_IN_BUCKET", 1), (growing, "ALWAYS_FITS", 0), (growing, "MEMORY_SHARE", 0),
    )  # fmt: skip
    counts = Counter(name for row in rows for name in occurring(texts[row], largest, sizes))
    frequent = {name: count for name, count in counts.items() if count >= min_count}
    choice = Choice(largest, min_count, limit, binary, sizes)
    features = choose(texts, rows, *choice)
    names = features.names
    chosen = {name: counts[name] for name in names}
    assert len(chosen) == len(names) == len(features)
    if limit is None or len(frequent) <= limit:
        assert chosen == frequent
    else:  # the most frequent ones, and with each n-gram of words all that it is made of
        assert chosen.items() <= frequent.items()
        assert len(chosen) == limit
        assert min(chosen.values()) >= max(count for name, count in frequent.items() if name not in chosen)
        assert {name.rpartition(" ")[0] for name in names if " " in name} <= {*names, "^"}
    first = [*dict.fromkeys(name for text in texts for name in occurring(text, 1)), *counts].index
    order = [("^" in name, len(name.split()), -chosen[name], first(name)) for name in names[: features.first_piece]]
    order += [(True, 9, -chosen[name], 0) for name in names[features.first_piece :]]
    assert order == sorted(order), "features are numbered by size and frequency, and where they occur first"
    assert features.words_in().tolist() == [0 if name[0] == "[" else len(name.split()) for name in names]
    expected = [Counter(name for name in occurring(text, largest, sizes) if name in chosen) for text in texts]
    expected = [Counter({*counter}) for counter in expected] if binary else expected
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in small:
            patch.setattr(module, name, value)
        table = WordTable()
        tokens = table.add(texts, threads)
        assert isinstance(tokens.offsets.base, np.memmap)
        again = choose_features(table, tokens, np.array(rows), choice, threads)
        assert again.names == names
        for found in (again.documents(texts, threads), again.documents_of(tokens, table, threads)):
            assert counters(found, names) == expected
            assert found.lengths().tolist() == [counter.total() for counter in expected]
        known = [number for _, part, _ in again.read(texts, threads) for number in part.tolist()]
    assert known == [sum(name in chosen for name in occurring(text, 1)) for text in texts]


words_alike = st.lists(st.text("abé", min_size=1, max_size=6).map("k".__add__), min_size=3)


@given(words_alike, words_alike, st.integers(1, 9))
@example(["kaaa", "kaba"], ["kaéa", "kbaa", "kaaaaaa", "ka"], 9)
def test_an_unknown_word_is_read_as_the_most_frequent_known_one_that_differs_in_a_character(known, words, compared):
    def spellings(word):
        return {word} | {word[:i] + word[i + 1 :] for i in range(len(word))}

    def read(word):
        first = [one for one in features.words.words[:compared] if len(one) < 7]
        alike = [one for one in first if 4 <= len(word) < 7 and spellings(one) & spellings(word)]
        return word if word in known or not alike else alike[0]

    features = choose([" ".join(known)], [0], 2, 1, None, False, range(2, 4))
    expected, texts, table = [read(word) for word in words], [" ".join(words)], WordTable()
    tokens = table.add(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "COMPARED", compared)
        patch.setattr(ngrams, "MISSPELT", range(4, 7))
        found, ids = features.read_as(table, tokens.ids)
        assert [found.word(one) for one in ids] == expected
        for documents in (features.documents(texts), features.documents_of(tokens, table)):
            np.testing.assert_array_equal(documents.ids, features.documents([" ".join(expected)]).ids)
    plain = choose([" ".join(known)], [0], 1, 1, None, False)
    assert len(plain.documents(texts).ids) == len({*words} & {*known})


@given(
    st.lists(st.lists(st.sampled_from([UNKNOWN, 0, 1, 2, 2047, 2048, 5000]), max_size=12), max_size=6),
    st.sampled_from([1, 7, 1 << 14]),
    st.integers(1, 2),
    st.booleans(),
)
@example([[0], [1]] * 2500, 1 << 14, 1, False)  # more texts than are sorted together
def test_features_are_counted_as_a_counter_does(texts, entries, levels, binary):
    """Also in small blocks of texts, with numbers of one and of two digits, and of more than one level."""
    offsets = np.cumsum([0, *map(len, texts)])
    ids = np.array([[word for text in texts for word in text]] * levels, np.int32)
    no_pieces = NO_PIECES.of_words(WordTable())
    found = Documents(*sort_and_count(ids, offsets, ids[0], no_pieces, (5000).bit_length(), binary, entries))
    for (a, b), text in zip(pairwise(found.offsets), texts, strict=True):
        expected = sorted(Counter(word for word in text * levels if word != UNKNOWN).items())
        assert found.ids[a:b].tolist() == [word for word, _ in expected]
        assert found.counts[a:b].tolist() == [1 if binary else times for _, times in expected]
