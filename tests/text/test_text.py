"""Tokens, vocabulary and counts: the kernels give exactly what the regular expression and a dictionary give."""

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.kernels.simd import BLOCK
from mlcore.text import vocabulary
from mlcore.text.growing import Growing
from mlcore.text.tokenizer import (
    HASHED,
    LEFT,
    TABLE_SIZES,
    Scratch,
    TokenSpans,
    _fold,
    _table_size,
    characters,
    normalise,
    tokenise,
    tokens,
)
from mlcore.text.vocabulary import UNKNOWN, TokenIds, WordTable, choose_words, fill_slots, find_slot, places_of

# Text that is rich in what the rule is about, and any text at all.
TRICKY = st.lists(
    st.sampled_from(["a", "B", "é", "É", "ß", "ſ", "İ", "Σ", "Ж", "Ⱥ", "\u212a", "中", "𝕏", "𐐀", "😀", "'", "\u2019", "_", "9", " ", ".", "!",
                     "<", "</", "b", ">", "&amp;", "&#000065;", "&#99999999;", "&#" + "1" * 5000 + ";", "&lt;", "&#65;", "&AMP", "&1", "&\u212aappa;",
                     "&", ";", "\n", "\r", "\0", "\u0301", "\ud800", "<br />", "<\u212a>", "<İ>", "<É>", "(", "?", "-"])
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
    assert list(written(tokenise(texts))) == [tokens(text) for text in texts]


@given(TRICKY, st.sampled_from(["a", " ", ".", "a'"]), st.integers(0, 2 * BLOCK))
def test_tokens_lie_across_blocks(text, before, size):
    """Bytes are looked at in blocks: whatever a token is, it may begin in one and end in another."""
    texts = [(before * size)[:size] + text + after for after in ("", "a" * BLOCK, " " * BLOCK)]
    assert list(written(tokenise(texts))) == [tokens(text) for text in texts]


def test_blocks_of_ascii():
    texts = [f"{chr(byte)} a{chr(byte)}b <{chr(byte)}>" * BLOCK for byte in range(0x80)]
    assert list(written(tokenise(texts))) == [tokens(text) for text in texts]


def written(spans):
    """The tokens of each text, as strings."""
    for first, last in zip(spans.offsets[:-1], spans.offsets[1:], strict=True):
        places = zip(spans.starts[first:last], spans.ends[first:last], strict=True)
        yield [spans.data[start:end].tobytes().decode("utf-8") for start, end in places]


def test_scratch_memory_is_used_again_in_its_own_thread_only():
    scratch = Scratch()
    first = scratch.empty("a", 8, np.int64)
    assert len(first) == 8
    assert np.shares_memory(first, scratch.empty("a", 9, np.int64)), "a little more than was asked for is there"
    for other in (scratch.empty("b", 8, np.int64), scratch.empty("a", 8, np.int32)):
        assert not np.shares_memory(first, other)
    with ThreadPoolExecutor(1) as pool:
        assert not np.shares_memory(first, pool.submit(scratch.empty, "a", 8, np.int64).result())


def test_a_thread_that_tokenises_does_not_disturb_another():
    texts, scratch = ["A good film.", "Bad!"] * 500, Scratch()
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda number: list(written(tokenise(texts[number:], scratch))), range(50))
        assert list(found) == [[tokens(text) for text in texts[number:]] for number in range(50)]


def test_kernels_know_every_character():
    """Alone, between letters, and at the start of a tag and of an entity: all below U+0500, all that have a lower
    case, and both ends of each run of letters.
    """
    every = [chr(point) for point in range(sys.maxunicode + 1)]
    telling = every[:0x500] + [
        c for before, c in pairwise(every) if c.lower() != c or c.isalnum() != before.isalnum() or c in "\u2019\u2126"
    ]
    texts = [text for c in telling for text in (f"{c} a{c}b <{c}>", f"&{c}; {c}")]
    for text, found in zip(texts, written(tokenise(texts)), strict=True):
        assert found == tokens(text), text


@pytest.mark.parametrize("size", TABLE_SIZES)
def test_small_tables_are_the_first_part_of_large_ones(size):
    assert np.array_equal(characters(size), characters(TABLE_SIZES[-1])[:size])
    assert _table_size(max(chr(size - 1).encode())) == size
    if size <= sys.maxunicode:
        assert _table_size(max(chr(size).encode())) > size


def test_few_texts_are_left_to_python():
    texts = ["R & B", "<b>It\u2019s</b> 5 < 6 &", "ÉÀ Жук \u212a", "中文 😀", "Tom &amp; Co", "ΣΑΣ", "İ", "Ⱥ"]
    _, _, stops = _fold(texts, Scratch(), markup=True)
    assert np.flatnonzero(stops == LEFT).tolist() == [4, 5, 6, 7]
    _, _, stops = _fold(list(map(normalise, texts)), Scratch(), markup=False)
    assert (stops != LEFT).all()


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


@given(TEXTS, st.integers(2, 4))
def test_numbers_do_not_depend_on_chunks_or_threads(texts, threads):
    with pytest.MonkeyPatch.context() as patch:
        whole = WordTable()
        expected = whole.add(texts)
        patch.setattr(vocabulary, "CHARACTERS", 4)
        patch.setattr(vocabulary, "TOKENS", 3)
        for number in (1, threads):
            table = WordTable()
            found = table.add(iter(texts), number)
            assert table.words == whole.words
            for ids in (found, table.look_up(iter(texts), number)):
                assert ids.ids.tolist() == expected.ids.tolist()
                assert ids.offsets.tolist() == expected.offsets.tolist()
            chosen = np.arange(len(texts)) % 3 < 2
            words = Counter(word for text in np.flatnonzero(chosen) for word in tokens(texts[text]))
            chosen_words, counts = choose_words(table, found, chosen, 1, number)
            frequent = {table.word(word): count for word, count in zip(chosen_words, counts.tolist(), strict=True)}
            order = {word: place for place, word in enumerate(table.words)}
            assert list(frequent.items()) == sorted(words.items(), key=lambda item: (-item[1], order[item[0]]))
        joined = TokenIds.joined(part for _, part in expected.parts(3))
        assert joined.ids.tolist() == expected.ids.tolist() and joined.offsets.tolist() == expected.offsets.tolist()
        assert all(len(part.ids) <= 3 or part.n_texts == 1 for _, part in expected.parts(3))


def test_texts_are_taken_as_they_are_needed(monkeypatch):
    """Of a stream of texts only a few chunks are held, and none is taken after an error."""
    monkeypatch.setattr(vocabulary, "CHARACTERS", 5)
    taken, threads = [], 2
    texts = (taken.append(i) or "a word" for i in range(50))
    parts = WordTable().add_parts(texts, threads)
    next(parts)
    parts.close()
    assert len(taken) <= 2 * threads + 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_array_that_grows_takes_hardly_more_memory_than_itself():
    """300 MB in pieces of 1 MB, just beyond what a doubling would have had room for."""
    code = (
        "import re, numpy as np; from pathlib import Path; from mlcore.text.growing import Growing\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "piece, growing, before = np.ones(1 << 18, np.int32), Growing(np.int32), peak()\n"
        "for _ in range(300): growing.append(piece)\n"
        "assert growing.finish().sum() == 300 << 18\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 450_000  # kilobytes; two copies would be 600,000


def test_tokens_may_be_in_files(tmp_path):
    """Appended chunk by chunk, and mapped; what is written to the arrays stays out of the files."""
    texts = ["good film", "", "a good cast"] * 3
    paths = tmp_path / "ids", tmp_path / "offsets"
    storage = Growing(np.int32, paths[0]), Growing(np.int64, paths[1])
    table = WordTable()
    found = TokenIds.joined(chain(table.add_parts(texts[:4]), table.add_parts(texts[4:], threads=2)), storage)
    expected = WordTable().add(texts)
    for array, same, path in zip(found, expected, paths, strict=True):
        assert isinstance(array.base, np.memmap)
        assert array.tolist() == same.tolist()
        array[:] = 0
        assert np.fromfile(path, array.dtype).tolist() == same.tolist()


@pytest.mark.parametrize("pieces", [[], [0], [3, 0, 1], [1] * 40])
@pytest.mark.parametrize("in_file", [False, True])
def test_growing_is_concatenation(pieces, in_file, tmp_path):
    arrays = [np.arange(size, dtype=np.int16)[::-1] for size in pieces]
    growing = Growing(np.int32, tmp_path / "numbers" if in_file else None)
    for array in arrays:
        growing.append(array)
    found = growing.finish()
    assert found.dtype == np.int32 and found.flags.writeable
    assert found.tolist() == [number for array in arrays for number in array.tolist()]


def test_word_table_grows():
    """Beyond its first room for words, for slots and for bytes, and by a word longer than all before."""
    words = [*(f"w{i}" for i in range(5000)), "x" * 50_000, *(f"v{i}" for i in range(5000))]
    table = WordTable()
    assert table.add([" ".join(words), "w3 v3"]).ids.tolist() == [*range(10_001), 3, 5004]
    assert table.words == words


def test_long_words_of_one_hash_are_told_apart():
    """Words of up to seven bytes are their own keys; of longer ones, here all with one key, the bytes are compared."""
    words = ["abcdefgh", "abcdefgi", "abcdefghi", "abcdefg", "bcdefgh", "é" * 4, "é" * 3]
    data = np.frombuffer(bytearray("".join(words).encode()), np.uint8)
    ends = np.cumsum([len(word.encode()) for word in words])
    spans = TokenSpans.of_one_text(data, np.append(0, ends[:-1]), ends)
    table = WordTable()
    table._add(spans)
    assert table.words == words
    table._keys[table._keys >= HASHED] = table._keys[0]
    table._slots[:] = UNKNOWN
    fill_slots(table._keys[: len(words)], table._slots)
    for number, (start, end) in enumerate(zip(spans.starts, spans.ends, strict=True)):
        key = table._keys[number]
        slot = find_slot(data, start, end, key, table._bounds, table._bytes, table._keys, table._slots)
        assert table._slots[slot] == number


def test_choose_and_renumber():
    table = WordTable()
    texts = table.add(["b a a", "c a b", "d", "a d d d"])
    numbers, counts = choose_words(table, texts, np.array([True, True, True, False]), min_count=2)
    vocabulary = table.select(numbers)
    assert vocabulary.words == ["a", "b"]
    assert counts.tolist() == [3, 2]
    known = places_of(numbers, len(table))[texts.ids]
    assert known.tolist() == [1, 0, 0, -1, 0, 1, -1, 0, -1, -1, -1]
    assert vocabulary.look_up(["b a a", "c a b", "d", "a d d d"]).ids.tolist() == known.tolist()
