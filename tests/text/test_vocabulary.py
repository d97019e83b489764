"""Word numbers: the hash table gives exactly what a dictionary gives."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tokenizer import TEXTS

from mlcore.text import vocabulary
from mlcore.text.tokenizer import HASHED, TokenSpans, tokens
from mlcore.text.vocabulary import UNKNOWN, Tokens, WordTable, slots_of


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
    assert [merged.words[number] for number in merged.add_spans(table.spans())] == table.words
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
            for found in (table.add(iter(texts), number), table.look_up(texts)):
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
        assert table.add_spans(spans).tolist() == table.look_up_spans(spans).tolist() == list(range(len(words)))
        table._table = table._table._replace(slots=slots_of(table._table.keys[: len(words)]))
    assert table.words == words
