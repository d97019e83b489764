"""What a token is, and kernels that find the tokens of many texts at once.

A token is a word, with the apostrophes inside it, a character of a script without spaces, a pictograph, or one of the
marks ``. , ! ? ; : ( ) # @``; ``characters`` says which characters are what. ``fold`` writes the characters of texts
as they are read, with spaces between tokens. It leaves the few texts that it cannot read to Python: those with
entities, and those that have to be composed. ``scan_tokens`` then finds the tokens at the speed of the memory.
"""

import html
import re
import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlcore.kernels.compiling import inline_kernel, kernel
from mlcore.kernels.simd import BLOCK, count_trailing_zeros, in_range_mask, load_eight_bytes, mix_bits
from mlcore.text.characters import (
    AFTER,
    BEFORE,
    CLASS_BITS,
    EXPANDS,
    EXTEND,
    IGNORED,
    JOINER,
    KEYCAP,
    KIND,
    LEFT,
    LETTER,
    OTHER,
    PAGE,
    PICTOGRAPH,
    READ,
    REGIONAL,
    SINGLE,
    TONE,
    Characters,
    characters,
    read_characters,
)  # fmt: skip

TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# Entities of numbers that are no character, or that Python refuses to read because they have thousands of digits.
LEADING_ZEROS, IMPOSSIBLE_ENTITY = re.compile("&#0+(?=[0-9])"), re.compile("&#[0-9]{8,};?")
BETWEEN = re.compile(rf"({TAG.pattern}|[ \t\n\f\r]+)")  # what no token, entity or sequence of characters crosses
MARKS = ".,!?;:()#@"

LINE_FEED, SPACE, APOSTROPHE, SLASH, LESS, GREATER, AMPERSAND, HASH, UNDERLINE = b"\n '/<>&#_"
SMALL_A, SMALL_Z, CAPITAL_A, CAPITAL_Z, ZERO, NINE = b"azAZ09"
ZERO_WIDTH_JOINER = 0x200D
JOINED = EXTEND  # of what was written last, where the next pictograph belongs to it
LATER = -1  # in place of the end of a text that is left to Python
EXACT = 7  # bytes of the longest words that are their own keys
HASHED = 1 << 62  # the keys of longer words begin here
KEPT = tuple(f"{MARKS}'".encode())  # of the bytes that are no part of words
NONE, ONE, LAST, ALL = map(np.uint64, (0, 1, BLOCK - 1, 2**BLOCK - 1))
NO_CHARACTERS = Characters(np.zeros(0, np.int64), np.zeros((0, 1), np.int64), np.zeros((0, 1), np.int64))


def decode_markup(text: str) -> str:
    """HTML tags become a space; then entities are decoded, so that ``&lt;b&gt;`` is no tag."""
    if "<" in text:
        text = TAG.sub(" ", text)
    if "&" in text:
        text = IMPOSSIBLE_ENTITY.sub("\N{REPLACEMENT CHARACTER}", LEADING_ZEROS.sub("&#", text))
        text = html.unescape(text)
    return text


def tokens(text: str) -> list[str]:
    """Tokens of a text.

    Example:
        >>> tokens("It's <br />GREAT &amp; fun!")
        ["it's", 'great', 'fun', '!']
    """
    data, starts, ends, *_ = tokenise([text])
    return [data[start:end].tobytes().decode() for start, end in zip(starts, ends, strict=True)]


def spans(text: str) -> Iterator[tuple[str, str | None]]:
    """A text as it is written, in parts: with each token how it is written, and None with what is between tokens.

    Where a part is written in quite another way, such as with entities, its tokens stand for themselves.

    Example:
        >>> [(written, token) for written, token in spans("(GREAT, &eacute;)") if written]
        [('(', '('), ('GREAT', 'great'), (',', ','), (' ', None), ('é', 'é'), (' ', None), (')', ')'), (' ', None)]
    """
    for i, part in enumerate(BETWEEN.split(text)):
        yield from [(part, None)] if i % 2 else _spans_within(part)


def _spans_within(part: str) -> list[tuple[str, str | None]]:
    read, found, start, end = list(map(read_characters, part)), list[tuple[str, str | None]](), 0, 0
    folded, places = "".join(read), [i for i, some in enumerate(read) for _ in some] + [len(part)]
    for token in (known := tokens(part)):
        if (at := folded.find(token, start)) < 0:
            return [piece for other in known for piece in ((other, other), (" ", None))]
        start = at + len(token)
        found += [(part[end : places[at]], None), (part[places[at] : places[start]], token)]
        end = places[start]
    return [*found, (part[end:], None)]


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
        ends = np.flatnonzero(data == LINE_FEED)
        return cls.of_one_text(data, np.append(np.zeros(1, np.int64), ends + 1)[:-1], ends)


def tokenise(texts: list[str] | bytes, scratch: Scratch | None = None) -> TokenSpans:
    """Find the tokens of all texts, which may be whole lines in UTF-8.

    In ``scratch`` the tokens last until the thread calls this with it again.
    """
    scratch = scratch or Scratch()
    encoded, bounds = _encoded(texts)
    data, begins, stops = _fold(encoded, bounds, scratch, raw=True)
    if len(later := np.flatnonzero(stops == LATER)):
        written = [encoded[bounds[i] : bounds[i + 1]].tobytes().decode("utf-8", "surrogatepass") for i in later]
        read = _encoded([read_characters(decode_markup(text)) for text in written])
        more, *places = _fold(*read, Scratch(), raw=False)
        begins[later], stops[later] = len(data) + places[0], len(data) + places[1]
        data = np.concatenate([data, more])
    # a token has at least a byte
    starts, ends, keys = (scratch.empty(name, len(data), np.int64) for name in ("starts", "ends", "keys"))
    offsets = np.zeros(len(bounds), np.int64)
    scan_tokens(data, begins, stops, starts, ends, offsets)
    t = int(offsets[-1])
    find_keys(data, starts[:t], ends[:t], keys[:t])
    return TokenSpans(data, starts[:t], ends[:t], keys[:t], offsets)


def _encoded(texts: list[str] | bytes) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of the texts, and the bounds of each in them."""
    if isinstance(texts, bytes):
        data = np.frombuffer(bytearray(texts), np.uint8)  # kernels would be compiled once more for what is read-only
        return data, np.append(0, np.flatnonzero(data == LINE_FEED) + 1)
    # "surrogatepass": JSON may hold half of a surrogate pair, which is no word and must not stop us
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return np.frombuffer(bytearray().join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)])


def _fold(data: np.ndarray, bounds: np.ndarray, scratch: Scratch, raw: bool) -> tuple[np.ndarray, ...]:
    """The folded texts, with BLOCK bytes more behind them, and where each begins and stops, as ``fold`` gives them."""
    folded = scratch.empty("folded", 2 * len(data) + BLOCK, np.uint8)
    begins, stops = bounds[:-1].copy(), bounds[1:].copy()
    table = characters() if data.max(initial=0) >= 0x80 else NO_CHARACTERS  # it takes some hundredths of a second
    end = fold(data, bounds, table, raw, folded, begins, stops)
    return folded[: end + BLOCK], begins, stops


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


@kernel
def tag_end(data, position, stop):
    """Position behind the tag that begins with the ``<`` at ``position``, or 0 if it begins none."""
    position += 1
    if position < stop and data[position] == SLASH:
        position += 1
    if position == stop or not SMALL_A <= data[position] | 0x20 <= SMALL_Z:
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
def may_be_letter(byte):
    """Whether a byte is a letter of ASCII."""
    return SMALL_A <= byte | 0x20 <= SMALL_Z


@inline_kernel
def part_of_word(byte):
    """Whether a byte of a folded text is part of a word, or of another token beyond ASCII."""
    return byte >= 0x80 or SMALL_A <= byte <= SMALL_Z or ZERO <= byte <= NINE or byte == UNDERLINE


@kernel
def kind_at(data, position, stop, pages, numbers):
    """Kind of the character at ``position``; that of a digit within a keycap is the keycap's."""
    kind, first = OTHER, position
    while position < stop:
        if data[position] < 0x80:
            if position > first:
                break
            kind = LETTER if part_of_word(read_ascii(data[position])) else OTHER
            if not ZERO <= data[position] <= NINE:
                break
            position += 1
        else:
            point, length = code_point_at(data, position)
            found = number_of(point, pages, numbers) & KIND
            if position == first or found == KEYCAP:
                return found
            if found != IGNORED:
                break
            position += length
    return kind


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
    if kind == KEYCAP and word and folded[place - 1] <= NINE:
        folded[place] = folded[place - 1]
        folded[place - 1] = SPACE
        place += 1
    elif kind == KEYCAP and place > begin and folded[place - 1] == HASH:
        folded[place - 1] = SPACE
    elif last != JOINED and place > begin and folded[place - 1] != SPACE:
        folded[place] = SPACE
        place += 1
    return put_apart(point, folded, place), PICTOGRAPH if kind == TONE else SINGLE if kind == KEYCAP else kind


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
