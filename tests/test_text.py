"""Tokens, vocabulary and counts: the kernels give exactly what the regular expression and a dictionary give."""


import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.text.tokenizer import tokenise, tokens
from mlcore.text.vocabulary import UNKNOWN, WordTable, choose_words, renumber

# Text that is rich in what the rule is about, and any text at all.
TRICKY = st.lists(
    st.sampled_from(["a", "B", "é", "ß", "ſ", "İ", "Σ", "中", "𝕏", "'", "\u2019", "_", "9", " ", ".", "!", "<", "</", "b", ">",
                     "&amp;", "&#000065;", "&#99999999;", "&#" + "1" * 5000 + ";", "&lt;", "&#65;", "&", ";", "\n", "\r", "\0", "\u0301", "\ud800", "<br />", "(", "?", "-"])
).map("".join)  # fmt: skip
TEXTS = st.lists(TRICKY | st.text(st.characters()), max_size=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good FILM", ["good", "film"]),
        ("it's rock 'n' roll, isn't it?", ["it's", "rock", "n", "roll", ",", "isn't", "it", "?"]),
        ("it\u2019s", ["it's"]),
        ("I <3 it<br />and <b class='x'>you</b>", ["i", "3", "it", "and", "you"]),
        ("&lt;b&gt; caf&eacute; &#65;B", ["b", "café", "ab"]),
        ("wait... (what)!?:;", ["wait", ".", ".", ".", "(", "what", ")", "!", "?", ":", ";"]),
        ("Ελληνικά 中文 naïve", ["ελληνικά", "中文", "naïve"]),
        ("don''t 'a' b'", ["don", "t", "a", "b"]),
        (" -–\t\n", []),
        ("", []),
    ],
)
def test_rule(text, expected):
    assert tokens(text) == expected


@given(TEXTS)
def test_kernel_finds_the_tokens_of_the_regular_expression(texts):
    spans = tokenise(texts)
    for i, text in enumerate(texts):
        found = [
            spans.data[start:end].tobytes().decode()
            for start, end in zip(
                spans.starts[spans.offsets[i] : spans.offsets[i + 1]],
                spans.ends[spans.offsets[i] : spans.offsets[i + 1]],
                strict=True,
            )
        ]
        assert found == tokens(text)


@given(TEXTS)
def test_word_table_numbers_words_as_a_dictionary_does(texts):
    table, numbers = WordTable(), {}
    found = table.add(texts)
    expected = [numbers.setdefault(word, len(numbers)) for text in texts for word in tokens(text)]
    assert found.ids.tolist() == expected
    assert np.diff(found.offsets).tolist() == [len(tokens(text)) for text in texts]
    assert table.words == list(numbers)
    assert table.look_up(texts).ids.tolist() == expected
    other = WordTable()
    other.add(["qqq", *texts[::-1]])
    assert table.numbers_of(other).tolist() == [*(numbers.get(word, UNKNOWN) for word in other.words), UNKNOWN]
    merged = WordTable.from_lines(other.to_lines())
    assert [merged.words[number] for number in merged.add_words(table)] == table.words
    assert merged.words == list(dict.fromkeys(other.words + table.words))
    copy = WordTable.from_lines(table.to_lines())
    assert copy.words == table.words
    assert copy.look_up(["qqq", *texts]).ids.tolist() == [numbers.get("qqq", UNKNOWN), *expected]


def test_word_table_grows():
    """Beyond its first room for words, for slots and for bytes, and by a word longer than all before."""
    words = [*(f"w{i}" for i in range(5000)), "x" * 50_000, *(f"v{i}" for i in range(5000))]
    table = WordTable()
    assert table.add([" ".join(words), "w3 v3"]).ids.tolist() == [*range(10_001), 3, 5004]
    assert table.words == words


def test_choose_and_renumber():
    table = WordTable()
    texts = table.add(["b a a", "c a b", "d", "a d d d"])
    numbers, counts = choose_words(table, texts, np.array([0, 1, 2]), min_count=2)
    vocabulary = table.select(numbers)
    assert vocabulary.words == ["a", "b"]
    assert counts.tolist() == [3, 2]
    known = renumber(texts, numbers, len(table))
    assert known.ids.tolist() == [1, 0, 0, -1, 0, 1, -1, 0, -1, -1, -1]
    assert vocabulary.look_up(["b a a", "c a b", "d", "a d d d"]).ids.tolist() == known.ids.tolist()
