"""Tokens: exact ones of many languages, and kernels that give exactly what a regular expression gives."""

import re
import sys
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import unicode_table
from conftest import compare_cases
from hypothesis import given
from hypothesis import strategies as st

from mlcore.kernels.simd import BLOCK
from mlcore.text.characters import KINDS, _readings, ranges, read_characters
from mlcore.text.tokenizer import decode_markup, spans, tokenise, tokens

GOLDEN = Path(__file__).parent / "golden"
# Text that is rich in what the rule is about, and any text at all.
TRICKY = st.lists(st.sampled_from([
    "a", "B", "i", "I", "é", "É", "ß", "ſ", "İ", "ı", "Σ", "Ж", "Ⱥ", "\u212a", "中", "ไ", "カ", "ﾊ", "한",
    "\u1112", "\u1161", "\u11ab", "न", "\u093c", "\u0947", "\u094d", "\u0958", "\u064e", "\u0651", "\u0345",
    "\u0f73", "𝕏", "𐐀", "😀", "👍", "❤", "🏽", "🇩", "\u20e3", "\ufe0f", "\u200d", "\u200c", "\u00ad", "·",
    "\U000e0067", "！", "Ａ", "＃", "。", "'", "\u2019", "_", "9", "#", "*", "@", " ", ".", "!", "<", "</", "b",
    ">", "&amp;", "&#000065;", "&#99999999;", "&#" + "1" * 5000 + ";", "&lt;", "&#65;", "&AMP", "&1",
    "&\u212aappa;", "&", ";", "\n", "\r", "\0", "\u0301", "\u0307", "\u0323", "\u0338", "\ud800", "<br />",
    "<\u212a>", "<É>", "(", "?", "-", "\u0378", "\U0001faff", "1\ufe0f\u20e3",
])).map("".join)  # fmt: skip
TEXTS = st.lists(TRICKY | st.text(st.characters()), max_size=8)
# A letter for the kind of each character, of which the rule can be a regular expression
CODES = dict(zip(KINDS, "oLXJSPRTi", strict=False)) | dict.fromkeys(unicode_table.MARKS, "M")
CODES |= {"'": "A", "\u200d": "Z"}
TOKEN = re.compile("[PT][XT]*(?:ZP[XT]*)*|RX*(?:RX*)?|SX*|L[LX]*(?:[JZA]L[LX]*)*|M")


@cache
def kinds():
    found = [""] * (sys.maxunicode + 1)
    for one in ranges():
        found[one.first : one.last + 1] = [KINDS[one.kind]] * (one.last + 1 - one.first)
    return found


def rule(text):
    """What tokens are: Python's Unicode, the kinds of the table, and a regular expression over these."""
    known = [c if kinds()[ord(c)] else " " for c in decode_markup(text) if kinds()[ord(c)] != "ignored"]
    read = unicode_table.fold("".join(known))
    codes = "".join(CODES.get(c) or CODES[kinds()[ord(c)] or "other"] for c in read)
    codes = re.sub("(?<![LXSPRT])X+", lambda lone: "o" * len(lone[0]), codes)
    return [read[found.start() : found.end()] for found in TOKEN.finditer(codes)]


def written(spans):
    """The tokens of each text, as strings."""
    for first, last in pairwise(spans.offsets):
        places = zip(spans.starts[first:last], spans.ends[first:last], strict=True)
        yield [spans.data[start:end].tobytes().decode("utf-8") for start, end in places]


def test_tokens_of_many_languages():
    def outcome(text):
        assert tokens(unicodedata.normalize("NFD", text)) == tokens(text)
        return [repr(" ".join(tokens(text)))]

    compare_cases(GOLDEN / "tokens.txt", outcome)


@given(TEXTS)
def test_kernels_find_the_tokens_of_the_rule(texts):
    assert list(written(tokenise(texts))) == [rule(text) for text in texts]


@given(TRICKY | st.text())
def test_spans_have_the_tokens_and_the_text_as_it_is_written(text):
    assert [token for _, token in spans(text) if token is not None] == tokens(text)
    plain = re.sub(r"[&;]|(?![ -~\n]|[ÉΣЖ中한]).", "", text)
    assert "".join(part for part, _ in spans(plain)) == plain


@given(TRICKY, st.sampled_from(["a", " ", ".", "a'", "é"]), st.integers(0, 2 * BLOCK))
def test_tokens_lie_across_blocks(text, before, size):
    """Bytes are looked at in blocks: whatever a token is, it may begin in one and end in another."""
    texts = [(before * size)[:size] + text + after for after in ("", "a" * BLOCK, " " * BLOCK)]
    assert list(written(tokenise(texts))) == [rule(text) for text in texts]


def test_all_of_unicode():
    """Every character that is assigned, alone and between letters."""
    for start in range(0, sys.maxunicode + 1, 1024):
        known = [chr(point) for point in range(start, start + 1024) if kinds()[point]]
        for text in filter(None, ("".join(f"{c} x{c}x " for c in known), " ".join(known[::2]))):
            assert list(written(tokenise([text]))) == [rule(text)]


def test_what_is_read_is_read_as_itself_and_takes_at_most_twice_the_bytes():
    for c in (chr(point) for one in ranges() for point in (one.first, one.last)):
        read = _readings[ord(c)]
        assert read_characters(read_characters(c)) == read_characters(c)
        assert len(read.encode("utf-8", "surrogatepass")) <= 2 * len(c.encode("utf-8", "surrogatepass"))


@pytest.mark.full
@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the table is written with Unicode 14")
def test_the_table_is_what_its_script_writes():
    assert unicode_table.table() == unicode_table.TABLE.read_text(encoding="utf-8")
