"""Tokens and word numbers: the kernels give exactly what the regular expression and a dictionary give."""

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.kernels.simd import BLOCK
from mlcore.text import tokenizer, vocabulary
from mlcore.text.tokenizer import HASHED, LEFT, TABLE_SIZES, Scratch, TokenSpans, _fold, normalise, tokenise, tokens
from mlcore.text.vocabulary import UNKNOWN, Tokens, WordTable, slots_of

# Text that is rich in what the rule is about, and any text at all.
TRICKY = st.lists(st.sampled_from([
    "a", "B", "é", "É", "ß", "ſ", "İ", "Σ", "Ж", "Ⱥ", "\u212a", "中", "𝕏", "𐐀", "😀", "'", "\u2019", "_", "9", " ", ".",
    "!", "<", "</", "b", ">", "&amp;", "&#000065;", "&#99999999;", "&#" + "1" * 5000 + ";", "&lt;", "&#65;", "&AMP",
    "&1", "&\u212aappa;", "&", ";", "\n", "\r", "\0", "\u0301", "\ud800", "<br />", "<\u212a>", "<İ>", "<É>", "(", "?",
    "-",
])).map("".join)  # fmt: skip
TEXTS = st.lists(TRICKY | st.text(st.characters()), max_size=8)


def written(spans):
    """The tokens of each text, as strings."""
    for first, last in pairwise(spans.offsets):
        places = zip(spans.starts[first:last], spans.ends[first:last], strict=True)
        yield [spans.data[start:end].tobytes().decode("utf-8") for start, end in places]


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
    assert list(written(tokenise(texts))) == [tokens(text) for text in texts]


@given(TRICKY, st.sampled_from(["a", " ", ".", "a'"]), st.integers(0, 2 * BLOCK))
def test_tokens_lie_across_blocks(text, before, size):
    """Bytes are looked at in blocks: whatever a token is, it may begin in one and end in another."""
    texts = [(before * size)[:size] + text + after for after in ("", "a" * BLOCK, " " * BLOCK)]
    assert list(written(tokenise(texts))) == [tokens(text) for text in texts]


def test_kernels_know_every_character():
    """Alone, between letters, in whole blocks, and at the start of a tag and of an entity: all below U+0500, all that
    have a lower case, and both ends of each run of letters.
    """
    every = [chr(point) for point in range(sys.maxunicode + 1)]
    telling = every[:0x500] + [
        c for before, c in pairwise(every) if c.lower() != c or c.isalnum() != before.isalnum() or c in "\u2019\u2126"
    ]
    texts = [text for c in telling for text in (f"{c} a{c}b <{c}>", f"&{c}; {c}")]
    texts += [f"{c} a{c}b <{c}>" * BLOCK for c in every[:0x80]]
    for text, found in zip(texts, written(tokenise(texts)), strict=True):
        assert found == tokens(text), text


@pytest.mark.parametrize("size", TABLE_SIZES)
def test_the_smallest_table_that_has_all_characters_is_taken(size, monkeypatch):
    taken, characters = [], tokenizer.characters
    assert np.array_equal(characters(size), characters(TABLE_SIZES[-1])[:size])
    monkeypatch.setattr(tokenizer, "characters", lambda size: taken.append(size) or characters(size))
    for point in (size - 1, min(size, sys.maxunicode)):
        tokenise([chr(point)])
    assert taken[0] == size
    assert taken[1] > size or size > sys.maxunicode


def test_few_texts_are_left_to_python():
    texts = ["R & B", "<b>It\u2019s</b> 5 < 6 &", "ÉÀ Жук \u212a", "中文 😀", "Tom &amp; Co", "ΣΑΣ", "İ", "Ⱥ"]
    _, _, stops = _fold(texts, Scratch(), markup=True)
    assert np.flatnonzero(stops == LEFT).tolist() == [4, 5, 6, 7]
    _, _, stops = _fold(list(map(normalise, texts)), Scratch(), markup=False)
    assert (stops != LEFT).all()


def test_scratch_memory_is_used_again_in_its_own_thread_only():
    scratch = Scratch()
    first = scratch.empty("a", 8, np.int64)
    assert np.shares_memory(first, scratch.empty("a", 9, np.int64)), "a little more than was asked for is there"
    assert not np.shares_memory(first, scratch.empty("a", 8, np.int32))
    texts = ["A good film.", "Bad!"] * 500
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda number: list(written(tokenise(texts[number:], scratch))), range(50))
        assert list(found) == [[tokens(text) for text in texts[number:]] for number in range(50)]


@given(TEXTS)
def test_word_table_numbers_words_as_a_dictionary_does(texts):
    table, numbers = WordTable(), {}
    found = table.add(texts)
    expected = [numbers.setdefault(word, len(numbers)) for text in texts for word in tokens(text)]
    assert found.ids.tolist() == expected
    assert np.diff(found.offsets).tolist() == [len(tokens(text)) for text in texts]
    assert table.words == list(numbers) == [table.word(number) for number in range(len(table))]
    other = WordTable()
    other.add(["qqq", *texts[::-1]])
    assert table.numbers_of(other).tolist() == [*(numbers.get(word, UNKNOWN) for word in other.words), UNKNOWN]
    merged = WordTable.from_lines(other.to_lines())
    assert [merged.words[number] for number in merged.add_words(table)] == table.words
    assert merged.words == list(dict.fromkeys(other.words + table.words))
    every_other = np.arange(0, len(table), 2)[::-1]
    chosen = table.select(every_other)
    assert chosen.words == list(numbers)[::2][::-1]
    order = {word: number for number, word in enumerate(chosen.words)}
    assert chosen.look_up(["qqq", *texts]).ids.tolist() == [
        order.get(word, UNKNOWN) for word in ["qqq", *(word for text in texts for word in tokens(text))]
    ]
    assert len(chosen.add(["new words", *texts]).ids) == len(expected) + 2


@given(TEXTS, st.integers(2, 4))
def test_numbers_do_not_depend_on_chunks_or_threads(texts, threads):
    with pytest.MonkeyPatch.context() as patch:
        whole = WordTable()
        expected = whole.add(texts)
        patch.setattr(vocabulary, "CHARACTERS", 4)
        for number in (1, threads):
            table = WordTable()
            for found in (table.add(iter(texts), number), table.look_up(iter(texts), number)):
                assert found.ids.tolist() == expected.ids.tolist()
                assert found.offsets.tolist() == expected.offsets.tolist()
            assert table.words == whole.words
    parts = list(expected.parts(3))
    assert all(len(part.ids) <= 3 or part.n_texts == 1 for _, part in parts)
    assert Tokens.joined(part for _, part in parts).ids.tolist() == expected.ids.tolist()
    lists = [expected.ids[slice(*bounds)].tolist() for bounds in pairwise(expected.offsets)]
    chosen = expected.select(np.arange(0, len(texts), 2))
    assert [chosen.ids[slice(*bounds)].tolist() for bounds in pairwise(chosen.offsets)] == lists[::2]


def test_word_table_grows():
    """Beyond its first room for words, for slots and for bytes, and by a word longer than all before."""
    words = [*(f"w{i}" for i in range(9000)), "x" * 90_000, *(f"v{i}" for i in range(9000))]
    table = WordTable()
    assert table.add([" ".join(words), "w3 v3"]).ids.tolist() == [*range(18_001), 3, 9004]
    assert table.words == words


def test_long_words_of_one_hash_are_told_apart():
    """Words of up to seven bytes are their own keys; of longer ones, here all with one key, the bytes are compared."""
    words = ["abcdefgh", "abcdefgi", "abcdefghi", "abcdefg", "bcdefgh", "é" * 4, "é" * 3]
    spans = TokenSpans.of_lines(np.frombuffer("".join(f"{word}\n" for word in words).encode(), np.uint8))
    spans.keys[spans.keys >= HASHED] = spans.keys.max()
    table = WordTable()
    for _ in range(2):
        assert table._add(spans).tolist() == table.look_up_spans(spans).tolist() == list(range(len(words)))
        table._table = table._table._replace(slots=slots_of(table._table.keys[: len(words)]))
    assert table.words == words
