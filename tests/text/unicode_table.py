"""The table of characters that tokens are found by: ``python tests/text/unicode_table.py`` writes data/characters.tsv.

It is written with Unicode 14, that of Python 3.11, and shipped, so that tokens do not depend on the Python that finds
them: what Unicode has assigned keeps its composition and its case folding in all later versions.
"""

import re
import unicodedata
from itertools import groupby
from pathlib import Path

TABLE = Path(__file__).parents[2] / "data/characters.tsv"
HEADER = """\
# How mlcore reads characters; tests/text/unicode_table.py writes this file from Unicode 14. All others are spaces.
# kind: see mlcore/text/characters.py. folded: the first character of the range as it is read, "=" if unchanged;
# of kind "other", what all of the range are read as.
# class: canonical combining class. composes: "a" if it may compose with what comes after it, "b" before it.
# first\tlast\tkind\tread\tclass\tcomposes
"""
# Written without spaces between words. Their digits are words as all others are
SINGLE = (
    "CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA",
    "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TAI ", "NEW TAI LUE ", "AHOM ", "TANGUT ", "NUSHU ", "KHITAN ",
)  # fmt: skip
MORE_IDEOGRAPHS = range(0x20000, 0x2F800), range(0x30000, 0x3FFFE)  # as Unicode assigns more of them, they are these
# Symbols of these blocks are pictographs: a superset of Extended_Pictographic (UTS 51) with the symbols beside these
PICTOGRAPHS = (
    range(0x2190, 0x2200), range(0x2300, 0x2400), range(0x2460, 0x2500), range(0x25A0, 0x27C0), range(0x2900, 0x2980),
    range(0x2B00, 0x2C00), range(0x3200, 0x3300),
)  # fmt: skip
EMOJI = range(0x1F000, 0x1FB00), range(0x1FC00, 0x1FFFE)  # here all, with what Unicode keeps free for more of them
OTHER_EMOJI = "©®™‼⁉〰〽"
TONES, REGIONAL = range(0x1F3FB, 0x1F400), range(0x1F1E6, 0x1F200)
TAGS, SELECTORS = range(0xE0020, 0xE0080), (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0), range(0x180B, 0x180E))
JOINERS = "\u200c\u200d\u00b7\u2027\u05f3\u05f4"  # and of punctuation the middle dots, geresh and gershayim
# Read as if they were the same: the marks of other scripts, apostrophes, and the fullwidth forms of ASCII
ALIKE = {ord("\u2019"): "'"} | {0xFEE0 + point: chr(point) for point in range(0x21, 0x7F)}
ALIKE |= {ord(c): mark for mark, same in {".": "。｡।॥۔።។။", ",": "、､،፣၊", "?": "؟", ";": "؛"}.items() for c in same}
MARKS = ".,!?;:()#@"
ASSIGNED = list(map(chr, [*range(0x40000), *range(0xE0000, 0xE0200)]))  # the planes between and behind are empty


def fold(text: str) -> str:
    """NFC and full case folding; the dotted and the dotless i are one letter."""
    text = unicodedata.normalize("NFC", text.translate(ALIKE)).casefold()
    return unicodedata.normalize("NFC", re.sub("i\u0307+", "i", text.replace("ı", "i")))


def kind_of(c: str) -> str:
    """What a folded character is; empty if it is not assigned."""
    point, category = ord(c), unicodedata.category(c)
    if point in TONES:
        return "tone"
    if point in REGIONAL:
        return "regional"
    if any(point in block for block in EMOJI) or c in OTHER_EMOJI:
        return "pictograph"
    if any(point in block for block in PICTOGRAPHS) and category[0] == "S":
        return "pictograph"
    if category == "Cn":
        return "single" if any(point in block for block in MORE_IDEOGRAPHS) else ""
    if c in JOINERS:
        return "joiner"
    if category[0] == "M" and not any(point in block for block in SELECTORS) or point in TAGS:
        return "extend"
    if category[0] == "M" or category == "Cf" and c != "\u200b":
        return "ignored"
    if category[0] == "L" and unicodedata.name(c, "").startswith(SINGLE) or c == "〇":
        return "single"
    return "letter" if category[0] in "LN" or category == "Pc" else "other"


def compositions() -> tuple[set[str], set[str]]:
    """Characters that are the first of a composition, or are composed, and those that are the second of one."""
    firsts = set(map(chr, [*range(0xAC00, 0xD7A4), *range(0x1100, 0x1113)]))  # Hangul is composed by a formula
    seconds = set(map(chr, [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]))
    for c in ASSIGNED:
        parts = unicodedata.decomposition(c).split()
        if parts and not parts[0].startswith("<"):
            firsts.add(c)
            if len(parts) == 2 and unicodedata.normalize("NFC", c) == c:  # some are never composed
                firsts.add(chr(int(parts[0], 16)))
                seconds.add(chr(int(parts[1], 16)))
    return firsts, seconds


def row(c: str, firsts: set[str], seconds: set[str]) -> tuple[int, str, str, int, str] | None:
    """All but the first two columns, with the number of the character, for ranges in which the difference is equal."""
    if not kind_of(c):
        return None
    folded, composed = fold(c), unicodedata.normalize("NFC", c)
    kinds = list(map(kind_of, folded))
    kind = kinds[0]
    if len(folded) > 1 and kind != "other":
        kind = "expands" if kind == "letter" and {*kinds} <= {"letter", "extend"} else "left"
    elif kind == "other" and folded not in f"{MARKS}'":
        folded = " "
    composes = "a" * any(one in firsts for one in c + folded + composed)
    composes += "b" * any(one[0] in seconds for one in (c, folded, composed, unicodedata.normalize("NFD", c)))
    return ord(c), kind, folded, unicodedata.combining(composed[-1]), composes if kind != "other" else ""


def table() -> str:
    """The text of the file."""
    firsts, seconds = compositions()
    rows = [found for c in ASSIGNED if (found := row(c, firsts, seconds))]

    def range_of(numbered: tuple[int, tuple[int, str, str, int, str]]) -> tuple:
        number, (point, kind, folded, *others) = numbered
        same = folded if len(folded) > 1 or kind == "other" else ord(folded) - point
        return point - number, kind, same, *others

    lines = []
    for _, group in groupby(enumerate(rows), range_of):
        (_, (first, kind, folded, number, composes)), *_, (_, (last, *_)) = (every := list(group)) + every[-1:]
        written = "=" if folded == chr(first) and kind != "other" else " ".join(f"{ord(c):X}" for c in folded)
        lines.append(f"{first:X}\t{last:X}\t{kind}\t{written}\t{number}\t{composes}\n")
    return HEADER + "".join(lines)


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8", newline="\n")
