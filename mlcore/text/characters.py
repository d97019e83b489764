"""How characters are read: the table in ``data/characters.tsv``, and its use in Python and in kernels.

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
from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.simd import BLOCK, count_trailing_zeros, in_range_mask

KINDS = (
    "other",  # read as a space, a mark or an apostrophe
    "letter",  # also a digit or an underline
    "extend",  # a combining mark, or a part of a flag: belongs to what comes before it
    "joiner",  # part of a word between two letters, and of a sequence between two pictographs
    "single",  # a letter that is a token of its own
    "pictograph",
    "regional",  # two of them are a flag
    "tone",  # of skin, after a pictograph
    "ignored",
    "expands",  # a letter that is read as several characters
    "left",  # another character that is, for Python to read
)
OTHER, LETTER, EXTEND, JOINER, SINGLE, PICTOGRAPH, REGIONAL, TONE, IGNORED, EXPANDS, LEFT = range(len(KINDS))
# The parts of a number in the table, from the lowest bits on
KIND, AFTER, BEFORE, UNKNOWN, CLASS, CLASS_BITS, READ = 0x1F, 1 << 5, 1 << 6, 1 << 7, 8, 0xFF << 8, 16
LONGEST = 4  # characters that one is read as
PAGE = 8  # bits of a code point within its page
SPACE, SLASH, LESS, GREATER, AMPERSAND, HASH, UNDERLINE = b" /<>&#_"
SMALL_A, SMALL_Z, CAPITAL_A, CAPITAL_Z, ZERO, NINE = b"azAZ09"
KEPT = tuple(b".,!?;:()#@'")  # of the bytes that are no part of words
ZERO_WIDTH_JOINER = 0x200D
JOINED = EXTEND  # of what was written last, where the next pictograph belongs to it
LATER = -1  # in place of the end of a text that is left to Python


class Characters(NamedTuple):
    """The table for kernels. The number of a character has its kind, whether it may compose with one after and before
    it, its combining class, and how it is read: OTHER as this code point, EXPANDS and LEFT as this row of
    ``expansions``, all others as the code point so much further on.
    """

    pages: np.ndarray  # (code points >> PAGE,) int64
    numbers: np.ndarray  # (pages, 1 << PAGE) int64
    expansions: np.ndarray  # (m, LONGEST) int64 code points, 0 behind the last one


NO_CHARACTERS = Characters(np.zeros(0, np.int64), np.zeros((0, 1), np.int64), np.zeros((0, 1), np.int64))


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
    numbers, expansions = np.full(0x110000, ord(" ") << READ | UNKNOWN, np.int64), list[list[int]]()
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
        kind, value = _number_of(point) & KIND, _number_of(point) >> READ
        if kind in (EXPANDS, LEFT):
            read = "".join(chr(one) for one in characters().expansions[value].tolist() if one)
        else:
            read = "" if kind == IGNORED else chr(value if kind == OTHER else point + value)
        return self.setdefault(point, read)


class _Composed(dict[int, str]):
    """What is composed, for ``str.translate``: characters that vanish, or that the table does not have, are read."""

    def __missing__(self, point: int) -> str:
        number = _number_of(point)
        is_read = number & KIND == IGNORED or number & UNKNOWN
        return self.setdefault(point, _readings[point] if is_read else chr(point))


def _number_of(point: int) -> int:
    pages, numbers, _ = characters()
    return int(numbers[pages[point >> PAGE], point & (1 << PAGE) - 1])


_readings, _composed = _Readings({ord("\n"): "\n"}), _Composed()  # lines stay lines


def read_characters(text: str) -> str:
    """The text in Unicode's form C with full case folding, in which the dotted and the dotless i are one letter."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFC", text.translate(_composed))
    return unicodedata.normalize("NFC", re.sub("i\u0307+", "i", text.translate(_readings)))


@inline_kernel
def code_point_at(data, position):
    """Code point and length in bytes of the UTF-8 character beyond ASCII at ``position``."""
    place = np.uint64(position)
    first, second = np.int64(data[place]), np.int64(data[place + np.uint64(1)]) & 0x3F
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, 2
    third = np.int64(data[place + np.uint64(2)]) & 0x3F
    if first < 0xF0:
        return (first & 0xF) << 12 | second << 6 | third, 3
    return (first & 0x7) << 18 | second << 12 | third << 6 | np.int64(data[place + np.uint64(3)]) & 0x3F, 4


@inline_kernel
def put(point, data, place):
    """Write a code point in UTF-8 from ``place`` on; returns the place behind it."""
    if point < 0x80:
        data[np.uint64(place)] = point
        return place + 1
    more = 1 + (point >= 0x800) + (point >= 0x10000)
    data[np.uint64(place)] = 0xFF00 >> more + 1 & 0xFF | point >> 6 * more
    while more > 0:
        more -= 1
        place += 1
        data[np.uint64(place)] = 0x80 | point >> 6 * more & 0x3F
    return place + 1


@inline_kernel
def number_of(point, pages, numbers):
    """Number of a character in the table."""
    return numbers[np.uint64(pages[np.uint64(point >> PAGE)]), np.uint64(point & (1 << PAGE) - 1)]


@inline_kernel
def may_be_letter(byte):
    """Whether a byte is a letter of ASCII."""
    return SMALL_A <= byte | 0x20 <= SMALL_Z


@kernel
def tag_end(data, position, stop):
    """Position behind the tag that begins with the ``<`` at ``position``, or 0 if it begins none."""
    position += 1
    if position < stop and data[position] == SLASH:
        position += 1
    if position == stop or not may_be_letter(data[position]):
        return 0
    while position < stop and data[position] != LESS and data[position] != GREATER:
        position += 1
    return position + 1 if position < stop and data[position] == GREATER else 0


@inline_kernel
def read_ascii(byte):
    """How an ASCII character is read: in lower case, or as a space if it is no part of a token and no apostrophe."""
    lower = byte | np.uint8(32 * ((byte >= CAPITAL_A) & (byte <= CAPITAL_Z)))
    kept = (lower >= SMALL_A) & (lower <= SMALL_Z) | (byte >= ZERO) & (byte <= NINE) | (byte == UNDERLINE)
    for mark in KEPT:
        kept |= byte == mark
    return lower if kept else np.uint8(SPACE)


@inline_kernel
def fold_ascii(data, position, stop, folded, place):
    """Fold the ASCII characters before the first ``<`` or ``&`` into folded from ``place`` on; returns their number."""
    done = np.int64(0)
    while position + done + BLOCK <= stop:
        at = position + done
        others = in_range_mask(data, at, 0x80, 0xFF)
        others |= in_range_mask(data, at, LESS, LESS) | in_range_mask(data, at, AMPERSAND, AMPERSAND)
        for i in range(np.uint64(BLOCK)):  # beyond the first other one for nothing
            folded[np.uint64(place + done) + i] = read_ascii(data[np.uint64(at) + i])
        if others:
            return done + count_trailing_zeros(others)
        done += BLOCK
    for i in range(np.uint64(position + done), np.uint64(stop)):
        byte = data[i]
        if byte >= 0x80 or byte == LESS or byte == AMPERSAND:  # noqa: SIM109, tuples are slow in kernels
            break
        folded[np.uint64(place + done)] = read_ascii(byte)
        done += 1
    return done


@inline_kernel
def part_of_word(byte):
    """Whether a byte of a folded text is part of a word, or of another token beyond ASCII."""
    return byte >= 0x80 or SMALL_A <= byte <= SMALL_Z or ZERO <= byte <= NINE or byte == UNDERLINE


@inline_kernel
def parts_of_words_mask(data, position):
    """The same for a block of bytes, as bits."""
    bits = in_range_mask(data, position, SMALL_A, SMALL_Z) | in_range_mask(data, position, ZERO, NINE)
    return bits | in_range_mask(data, position, UNDERLINE, UNDERLINE) | in_range_mask(data, position, 0x80, 0xFF)


@kernel
def kind_at(data, position, stop, pages, numbers):
    """Kind of the character at ``position``; OTHER at the end."""
    if position == stop:
        return OTHER
    if data[position] < 0x80:
        return LETTER if part_of_word(read_ascii(data[position])) else OTHER
    return number_of(code_point_at(data, position)[0], pages, numbers) & KIND


@inline_kernel
def put_apart(point, data, place):
    """Write a code point with a space behind it; returns the place behind both."""
    place = put(point, data, place)
    data[place] = SPACE
    return place + 1


@inline_kernel
def write(point, number, following, last, expansions, folded, begin, place):
    """Write a character with this number in the table; returns the place behind it, and ``last`` for the next one.

    ``following``: the kind of the character behind a joiner. ``last``: what was written last: a SINGLE letter, a
    PICTOGRAPH or a REGIONAL letter, with a space behind it; JOINED; a LETTER; or OTHER, or ASCII.
    """
    kind, value = number & KIND, number >> READ
    if kind == OTHER:
        return put(value, folded, place), OTHER
    if kind == EXPANDS:
        for expanded in expansions[value]:
            if expanded:
                place = put(expanded, folded, place)
        return place, LETTER
    point += value
    if kind == LETTER:
        return put(point, folded, place), LETTER
    apart, word = last >= SINGLE, place > begin and part_of_word(folded[place - 1])
    if kind == EXTEND or kind == TONE and last == PICTOGRAPH or kind == REGIONAL and last == REGIONAL:
        if apart:
            return put_apart(point, folded, place - 1), SINGLE if kind == REGIONAL else last
        return put(point if word else SPACE, folded, place), LETTER if word else OTHER
    if kind == JOINER:
        if point == ZERO_WIDTH_JOINER and last == PICTOGRAPH and following == PICTOGRAPH:
            return put(point, folded, place - 1), JOINED
        if following != LETTER and following != EXPANDS:
            word = False
        return put(point if word else SPACE, folded, place), LETTER if word else OTHER
    if last != JOINED and place > begin and folded[place - 1] != SPACE:
        folded[place] = SPACE
        place += 1
    return put_apart(point, folded, place), PICTOGRAPH if kind == TONE else kind


@inline_kernel
def has_to_be_composed(before, number):
    """Whether two characters that follow each other, of these numbers in the table, may not be in Unicode's form C."""
    combining = number & CLASS_BITS
    may_compose = number & BEFORE and before & (AFTER | CLASS_BITS)
    return may_compose or combining and combining < before & CLASS_BITS


@kernel
def fold(data, bounds, table, raw, folded, begins, stops):
    """Write texts as their characters are read, what is no token as spaces: overwrite folded, begins and stops.

    In ``raw`` texts, tags become a space. Text i becomes folded[begins[i]:stops[i]]; stops[i] is LATER where it has
    what may be an entity, or has to be composed. Returns the end of all texts.

    Shapes: data (bytes,) valid UTF-8, bounds (n + 1,) of the texts in it -> folded (2 bytes + BLOCK,), for what is
    read and the spaces around it never take more; begins and stops (n,).
    """
    pages, numbers, expansions = table  # here, for in a loop Numba would count references in every turn
    place = np.int64(0)  # a plain 0 would be another type
    for text in range(bounds.shape[0] - 1):
        position, stop = bounds[text], bounds[text + 1]
        begins[text] = place
        last, before, later = OTHER, np.int64(0), False
        while position < stop and not later:
            byte = data[position]
            if byte >= 0x80:
                point, length = code_point_at(data, position)
                number, following = number_of(point, pages, numbers), OTHER
                position += length
                if number & KIND == IGNORED:
                    continue
                if number & KIND == JOINER:
                    following = kind_at(data, position, stop, pages, numbers)
                later = number & KIND == LEFT or following >= IGNORED and following != EXPANDS
                later |= raw and has_to_be_composed(before, number)
                if not later:
                    place, last = write(point, number, following, last, expansions, folded, begins[text], place)
                before = number
                continue
            if byte != LESS and byte != AMPERSAND:
                done = fold_ascii(data, position, stop, folded, place)
                position += done
                place += done
            else:
                end = tag_end(data, position, stop) if byte == LESS and raw else 0
                after = data[position + 1] if byte == AMPERSAND and raw and position + 1 < stop else SPACE
                later = after == HASH or may_be_letter(after)  # it may begin an entity
                folded[place] = SPACE
                place += 1
                position = max(position + 1, end)
            last, before = OTHER, np.int64(AFTER if may_be_letter(data[position - 1]) else 0)
        stops[text] = LATER if later else place
    return place
