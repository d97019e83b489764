"""How characters are read: the table in ``data/characters.tsv``, for kernels and for Python.

Words are letters, digits and their marks, as Unicode's word boundaries have them (UAX #29), except that

- the marks ``. , : ;`` are tokens and join nothing, for people leave out the space behind them;
- scripts without spaces have no words: one letter with its marks is a token, in kana too;
- format characters and variation selectors vanish, so that an emoji is the same with and without one;
- joiners are part of a word only between letters;
- a pictograph with all that is joined to it is a token; other symbols are none.
"""

import re
import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np

from mlcore.files import installed

KINDS = (
    "other",  # read as a space, a mark or an apostrophe
    "letter",  # also a digit or an underline
    "extend",  # a combining mark, or a part of a flag: belongs to what comes before it
    "joiner",  # part of a word between two letters, and of a sequence between two pictographs
    "single",  # a letter that is a token of its own
    "pictograph",
    "regional",  # two of them are a flag
    "tone",  # of skin, after a pictograph
    "keycap",  # around the digit before it
    "ignored",
    "expands",  # a letter that is read as several characters
    "left",  # another character that is, for Python to read
)
OTHER, LETTER, EXTEND, JOINER, SINGLE, PICTOGRAPH, REGIONAL, TONE, KEYCAP, IGNORED, EXPANDS, LEFT = range(len(KINDS))
# The parts of a number in the table, from the lowest bits on
KIND, AFTER, BEFORE, CLASS, CLASS_BITS, READ = 0x1F, 1 << 5, 1 << 6, 8, 0xFF << 8, 16
LONGEST = 4  # characters that one is read as
PAGE = 8  # bits of a code point within its page


class Characters(NamedTuple):
    """The table for kernels. The number of a character has its kind, whether it may compose with one after and before
    it, its combining class, and how it is read: OTHER as this code point, EXPANDS and LEFT as this row of
    ``expansions``, all others as the code point so much further on.
    """

    pages: np.ndarray  # (code points >> PAGE,) int64
    numbers: np.ndarray  # (pages, 1 << PAGE) int64
    expansions: np.ndarray  # (m, LONGEST) int64 code points, 0 behind the last one


class Range(NamedTuple):
    """Characters of one kind that are read with the same difference."""

    first: int
    last: int
    kind: int
    read: list[int]  # as what the first is read
    combining: int
    composes: str


@cache
def ranges() -> list[Range]:
    """The table as it is written."""
    found = []
    for line in installed("characters.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            first, last, kind, read, combining, composes = line.split("\t")
            start = int(first, 16)
            points = [start] if read == "=" else [int(point, 16) for point in read.split(" ")]
            found.append(Range(start, int(last, 16), KINDS.index(kind), points, int(combining), composes))
    return found


@cache
def characters() -> Characters:
    """The table for kernels; what is not assigned is a space."""
    numbers, expansions = np.full(0x110000, ord(" ") << READ, np.int64), list[list[int]]()
    for first, last, kind, read, combining, composes in ranges():
        value = read[0] if kind == OTHER else read[0] - first
        if kind in (EXPANDS, LEFT):
            value = len(expansions)
            expansions.append(read + [0] * (LONGEST - len(read)))
        flags = ("a" in composes) * AFTER | ("b" in composes) * BEFORE
        numbers[first : last + 1] = value << READ | combining << CLASS | flags | kind
    places = dict[bytes, int]()
    pages = [places.setdefault(page.tobytes(), len(places)) for page in numbers.reshape(-1, 1 << PAGE)]
    distinct = np.frombuffer(bytearray().join(places), np.int64).reshape(-1, 1 << PAGE)
    return Characters(np.array(pages), distinct, np.array(expansions))


class _Readings(dict[int, str]):
    """How characters are read, for ``str.translate``."""

    def __missing__(self, point: int) -> str:
        pages, numbers, expansions = characters()
        number = int(numbers[pages[point >> PAGE], point & (1 << PAGE) - 1])
        kind, value = number & KIND, number >> READ
        if kind in (EXPANDS, LEFT):
            read = "".join(chr(one) for one in expansions[value].tolist() if one)
        else:
            read = "" if kind == IGNORED else chr(value if kind == OTHER else point + value)
        return self.setdefault(point, read)


_readings = _Readings({ord("\n"): "\n"})  # lines stay lines


@cache
def _unread() -> re.Pattern[str]:
    """What must not be there when a text is composed: characters that vanish, or that this table does not know."""
    known = "".join(rf"\U{one.first:08x}-\U{one.last:08x}" for one in ranges() if one.kind != IGNORED)
    return re.compile(f"[^{known}]")


def read_characters(text: str) -> str:
    """The text in Unicode's form C with full case folding, in which the dotted and the dotless i are one letter."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFC", _unread().sub(lambda found: _readings[ord(found[0])], text))
    return unicodedata.normalize("NFC", re.sub("i\u0307+", "i", text.translate(_readings)))
