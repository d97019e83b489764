"""What a token is, and kernels that find the tokens of many texts at once.

The rule is written down once, in ``normalise`` and ``TOKEN``; ``tokens`` is the rule itself. The kernels behind
``tokenise`` find the same tokens (a property test compares the two) at the speed of the memory: ``fold`` normalises
the texts that need no more than it knows, and leaves the few others to ``normalise``.
"""

import html
import re
import threading
from functools import cache
from typing import NamedTuple

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.simd import BLOCK, count_trailing_zeros, in_range_mask, load_eight_bytes, mix_bits

TAG = re.compile(r"</?[a-z][^<>]*>")
# Entities of numbers that are no character, or that Python refuses to read because they have thousands of digits.
LEADING_ZEROS, IMPOSSIBLE_ENTITY = re.compile("&#0+(?=[0-9])"), re.compile("&#[0-9]{8,};?")
TOKEN = re.compile(r"\w+(?:'\w+)*|[.,!?;:()]")
MARKS = ".,!?;:()"

SPACE, APOSTROPHE, SLASH, LESS, GREATER, AMPERSAND, HASH, UNDERLINE = b" '/<>&#_"
SMALL_A, SMALL_Z, CAPITAL_A, CAPITAL_Z, ZERO, NINE = b"azAZ09"
LEFT = -1  # in place of a letter in lower case: only ``normalise`` knows what becomes of the character
# Of tables of characters, the sizes: ASCII, alphabets, the first plane, the next ones with emoji, and all. Large ones
# take up to 0.1 s to make, and few texts need them. The largest byte of a text in UTF-8 tells how far it goes.
TABLE_SIZES = (0x80, 0x3000, 0x10000, 0x40000, 0x110000)
LARGEST_BYTES = (0x7F, 0xE2, 0xEF, 0xF0)
UTF8_ENDS = (0x80, 0x800, 0x10000)  # where a code point takes a byte more
EXACT = 7  # bytes of the longest words that are their own keys
HASHED = 1 << 62  # the keys of longer words begin here
KEPT = tuple(f"{MARKS}'".encode())  # of the bytes that are no part of words
NONE, ONE, LAST, ALL = map(np.uint64, (0, 1, BLOCK - 1, 2**BLOCK - 1))


def normalise(text: str) -> str:
    """Lower-case; HTML tags become a space; then entities are decoded, so that ``&lt;b&gt;`` is no tag."""
    text = text.lower()
    if "<" in text:
        text = TAG.sub(" ", text)
    if "&" in text:
        text = IMPOSSIBLE_ENTITY.sub("\N{REPLACEMENT CHARACTER}", LEADING_ZEROS.sub("&#", text))
        text = html.unescape(text).lower()  # an entity may be a capital letter
    return text.replace("\u2019", "'")


def tokens(text: str) -> list[str]:
    """Tokens of a text: Unicode words, with the apostrophes inside them, and the marks ``. , ! ? ; : ( )``.

    Example:
        >>> tokens("It's <br />GREAT &amp; fun!")
        ["it's", 'great', 'fun', '!']
    """
    return TOKEN.findall(normalise(text))


class Scratch(threading.local):
    """Memory that each thread uses again, by name: to get new memory takes longer than to fill it with tokens."""

    def __init__(self) -> None:
        self._arrays = dict[tuple[str, type], np.ndarray]()

    def empty(self, name: str, size: int, dtype: type) -> np.ndarray:
        if size > len(self._arrays.get((name, dtype), ())):
            self._arrays[name, dtype] = np.empty(size + size // 4, dtype)
        return self._arrays[name, dtype][:size]


class TokenSpans(NamedTuple):
    """Tokens as places in a buffer: token t is data[starts[t]:ends[t]]; text i has offsets[i]..offsets[i + 1]."""

    data: np.ndarray  # (bytes,) uint8, UTF-8
    starts: np.ndarray  # (t,) int64
    ends: np.ndarray  # (t,) int64
    keys: np.ndarray  # (t,) int64, see ``find_keys``
    offsets: np.ndarray  # (n + 1,) int64

    @classmethod
    def of_one_text(cls, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> "TokenSpans":
        data, keys = np.concatenate([data, np.zeros(EXACT, np.uint8)]), np.empty(len(starts), np.int64)
        find_keys(data, starts, ends, keys)
        return cls(data, starts, ends, keys, np.array([0, len(starts)]))

    @classmethod
    def of_lines(cls, data: np.ndarray) -> "TokenSpans":
        """Each line as a token, without its line feed."""
        ends = np.flatnonzero(data == ord("\n"))
        return cls.of_one_text(data, np.append(np.zeros(1, np.int64), ends + 1)[:-1], ends)


def tokenise(texts: list[str], scratch: Scratch | None = None) -> TokenSpans:
    """Find exactly the ``tokens`` of all texts; in ``scratch`` they last until the thread calls this with it again."""
    scratch = scratch or Scratch()
    data, begins, stops = _fold(texts, scratch, markup=True)
    left = np.flatnonzero(stops == LEFT)
    if len(left):
        more, *places = _fold([normalise(texts[text]) for text in left.tolist()], Scratch(), markup=False)
        begins[left], stops[left] = len(data) + places[0], len(data) + places[1]
        data = np.concatenate([data, more])
    # a token has at least a byte
    starts, ends, keys = (scratch.empty(name, len(data), np.int64) for name in ("starts", "ends", "keys"))
    offsets = np.zeros(len(texts) + 1, np.int64)
    scan_tokens(data, begins, stops, starts, ends, offsets)
    t = offsets[-1]
    find_keys(data, starts[:t], ends[:t], keys[:t])
    return TokenSpans(data, starts[:t], ends[:t], keys[:t], offsets)


def _fold(texts: list[str], scratch: Scratch, markup: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The folded texts, with BLOCK bytes more behind them, and where each begins and stops, as ``fold`` gives them."""
    # "surrogatepass": JSON may hold half of a surrogate pair, which is no word and must not stop us
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    bounds = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=bounds[1:])
    data = np.frombuffer(bytearray().join(encoded), np.uint8)
    folded, begins, stops = scratch.empty("folded", len(data) + BLOCK, np.uint8), bounds[:-1].copy(), bounds[1:].copy()
    size = TABLE_SIZES[np.searchsorted(LARGEST_BYTES, data.max(initial=0))]
    fold(data, bounds, characters(size), markup, folded, begins, stops)
    return folded, begins, stops


@cache
def characters(size: int) -> np.ndarray:
    """What ``fold`` makes of the first code points, as ``normalise`` and the regular expression see them: the lower
    case of those in words, the marks and the apostrophe themselves, a space of all others; or LEFT: (size,) int32.
    """
    numbers = np.arange(size, dtype=np.int32)
    text = numbers.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    # the lower case of the one is two code points, that of the other depends on the letters around it
    special = "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}\N{GREEK CAPITAL LETTER SIGMA}"
    lower = re.sub(f"[{special}]", " ", text).lower()
    letters = np.frombuffer(lower.encode("utf-32-le", "surrogatepass"), "<u4")
    table = np.full(size, SPACE, np.int32)
    for run in re.finditer(r"\w+", lower):
        table[run.start() : run.end()] = letters[run.start() : run.end()]
    for kept in f"{MARKS}'":
        table[ord(kept)] = ord(kept)
    table[numbers == ord("\u2019")] = APOSTROPHE
    longer = np.searchsorted(UTF8_ENDS, table, side="right") > np.searchsorted(UTF8_ENDS, numbers, side="right")
    table[longer] = LEFT  # so that a folded text takes no more room than the text
    table[np.isin(numbers, [ord(letter) for letter in special])] = LEFT
    return table


@kernel
def code_point_at(data, position):
    """Code point and length in bytes of the UTF-8 character at ``position``."""
    point = np.int64(data[position])
    if point < 0x80:
        return point, 1
    length = 2 + (point >= 0xE0) + (point >= 0xF0)
    point &= 0xFF >> length + 1
    for i in range(1, length):
        point = point << 6 | np.int64(data[position + i]) & 0x3F
    return point, length


@kernel
def put(point, data, place):
    """Write a code point in UTF-8 from ``place`` on; returns the place behind it."""
    if point < 0x80:
        data[place] = point
        return place + 1
    more = 1 + (point >= 0x800) + (point >= 0x10000)
    data[place] = 0xFF00 >> more + 1 & 0xFF | point >> 6 * more
    for i in range(1, more + 1):
        data[place + i] = 0x80 | point >> 6 * (more - i) & 0x3F
    return place + more + 1


@kernel
def tag_end(data, position, stop, table):
    """Position behind the tag that begins with the ``<`` at ``position``, or 0 if it begins none."""
    position += 1
    if position < stop and data[position] == SLASH:
        position += 1
    # by its code point, for one beyond ASCII may be one of a to z in lower case: U+212A, the sign of Kelvin
    if position == stop or not SMALL_A <= table[code_point_at(data, position)[0]] <= SMALL_Z:
        return 0
    while position < stop and data[position] != LESS and data[position] != GREATER:
        position += 1
    return position + 1 if position < stop and data[position] == GREATER else 0


@inline_kernel
def fold_ascii(data, place, folded, to):
    """Fold a block of ASCII characters as ``characters`` does, all at once: overwrite as many of folded."""
    for i in range(np.uint64(BLOCK)):
        byte = data[place + i]
        lower = byte | np.uint8(32 * ((byte >= CAPITAL_A) & (byte <= CAPITAL_Z)))
        kept = (lower >= SMALL_A) & (lower <= SMALL_Z) | (byte >= ZERO) & (byte <= NINE) | (byte == UNDERLINE)
        for mark in KEPT:
            kept |= byte == mark
        folded[to + i] = lower if kept else SPACE


@inline_kernel
def fold_simple(data, position, stop, table, folded, place):
    """Fold the ASCII characters before the first ``<`` or ``&`` into folded from ``place`` on; returns their number."""
    done = np.int64(0)
    while position + done + BLOCK <= stop:
        at = position + done
        others = in_range_mask(data, at, 0x80, 0xFF)
        others |= in_range_mask(data, at, LESS, LESS) | in_range_mask(data, at, AMPERSAND, AMPERSAND)
        fold_ascii(data, np.uint64(at), folded, np.uint64(place + done))  # beyond the first other one for nothing
        if others:
            return done + count_trailing_zeros(others)
        done += BLOCK
    for i in range(np.uint64(position + done), np.uint64(stop)):
        byte = data[i]
        if byte >= 0x80 or byte == LESS or byte == AMPERSAND:  # noqa: SIM109, tuples are slow in kernels
            break
        folded[np.uint64(place + done)] = table[byte]
        done += 1
    return done


@kernel
def fold(data, bounds, table, markup, folded, begins, stops):
    """Reduce texts to words in lower case, marks, spaces and apostrophes: overwrite folded, begins and stops.

    With ``markup``, tags become a space. Text i becomes folded[begins[i]:stops[i]]; stops[i] is LEFT where the text has
    what may be an entity, or a letter that the table leaves.

    Shapes: data (bytes,) valid UTF-8, bounds (n + 1,) of the texts in it, table (size,) for all its code points
    -> folded (bytes,), with BLOCK more behind, begins and stops (n,).
    """
    place = np.int64(0)  # a plain 0 would be a type of its own, and put compiled once more for that
    for text in range(bounds.shape[0] - 1):
        position, stop = bounds[text], bounds[text + 1]
        begins[text] = place
        while position < stop:
            done = fold_simple(data, position, stop, table, folded, place)
            position += done
            place += done
            if position == stop:
                break
            byte = data[position]
            if byte == LESS and markup:
                end = tag_end(data, position, stop, table)
                if end:
                    folded[place] = SPACE
                    place += 1
                    position = end
                    continue
            if byte == AMPERSAND and markup and position + 1 < stop:
                after = data[position + 1]
                # it may begin an entity; a character beyond ASCII may become a letter
                if after >= 0x80 or after == HASH or CAPITAL_A <= after & 0xDF <= CAPITAL_Z:
                    break
            point, length = code_point_at(data, position)
            if table[point] == LEFT:
                break
            place = put(np.int64(table[point]), folded, place)
            position += length
        stops[text] = place if position == stop else LEFT


@inline_kernel
def below(bits):
    """Bits of the numbers below this one, which is at most BLOCK."""
    return ALL if bits >= BLOCK else (ONE << np.uint64(bits)) - ONE


@inline_kernel
def letters_from(data, position, stop):
    """Which bytes of a block of a folded text are parts of words; none is from ``stop`` on."""
    if position >= stop:
        return NONE
    bits = in_range_mask(data, position, SMALL_A, SMALL_Z) | in_range_mask(data, position, ZERO, NINE)
    bits |= in_range_mask(data, position, UNDERLINE, UNDERLINE) | in_range_mask(data, position, 0x80, 0xFF)
    return bits & below(stop - position)


@kernel
def scan_tokens(data, begins, stops, starts, ends, offsets):
    """Find the tokens of folded texts: overwrite the last three.

    An apostrophe is part of a word if it stands alone between two letters. The bytes of a block are bits here, and
    tokens lie where bits change: byte after byte would take several times as long, for branches could not be predicted.

    Shapes: data (bytes,), with BLOCK more behind the last text, begins and stops (n,) of the texts in it
    -> starts and ends (t,) with room for a token per byte, offsets (n + 1,) with offsets[0] = 0.
    """
    started = np.int64(0)
    for text in range(begins.shape[0]):
        ended = started
        letter_before, inside_before, mark_before = NONE, NONE, NONE  # the last byte of the block before, as a bit
        next_letters = letters_from(data, begins[text], stops[text])
        for position in range(begins[text], stops[text], BLOCK):
            letters, next_letters = next_letters, letters_from(data, position + BLOCK, stops[text])
            within = below(stops[text] - position)
            spaces = in_range_mask(data, position, SPACE, SPACE)
            joints = in_range_mask(data, position, APOSTROPHE, APOSTROPHE)
            marks = within & ~(letters | spaces | joints)
            joints &= (letters << ONE | letter_before) & (letters >> ONE | next_letters << LAST)
            inside = letters | joints & within
            changes = inside ^ (inside << ONE | inside_before)
            found, left = changes & inside | marks, changes & ~inside | marks << ONE | mark_before
            while found:
                starts[started] = position + count_trailing_zeros(found)
                started += 1
                found &= found - ONE
            while left:
                ends[ended] = position + count_trailing_zeros(left)
                ended += 1
                left &= left - ONE
            letter_before, inside_before, mark_before = letters >> LAST, inside >> LAST, marks >> LAST
        if ended < started:
            ends[ended] = stops[text]
        offsets[text + 1] = started


@kernel
def find_keys(data, starts, ends, keys):
    """Key of each token: the word itself if it has up to seven bytes, else a hash of all of them: overwrite keys.

    Shapes: data (bytes,), with seven more behind the last token, starts and ends (t,) -> keys (t,).
    """
    for t in range(starts.shape[0]):
        place, end = starts[t], ends[t]
        length = end - place
        if length <= EXACT:
            keys[t] = length << 56 | load_eight_bytes(data, place) & ((np.int64(1) << 8 * length) - 1)
            continue
        value = mix_bits(load_eight_bytes(data, end - 8))
        while place < end - 8:  # a range with a step took several times as long
            value = mix_bits(value ^ load_eight_bytes(data, place))
            place += 8
        keys[t] = HASHED | value & (HASHED - 1)
