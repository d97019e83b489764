"""What a token is, and kernels that find the tokens of many texts at once.

A token is a word, with the apostrophes inside it, a character of a script without spaces, a pictograph, or one of the
marks ``. , ! ? ; : ( ) # @``; ``characters`` says which characters are what. Its ``fold`` writes those of texts as
they are read, with spaces between tokens. It leaves the few texts that it cannot read to Python: those with
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
from mlcore.text.characters import LATER, NO_CHARACTERS, characters, fold, parts_of_words_mask, read_characters

TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# Entities of numbers that are no character, or that Python refuses to read because they have thousands of digits.
LEADING_ZEROS, IMPOSSIBLE_ENTITY = re.compile("&#0+(?=[0-9])"), re.compile("&#[0-9]{8,};?")
BETWEEN = re.compile(rf"({TAG.pattern}|[ \t\n\f\r]+)")  # what no token, entity or sequence of characters crosses
LINE_FEED, SPACE, APOSTROPHE = b"\n '"
EXACT = 7  # bytes of the longest words that are their own keys
HASHED = 1 << 62  # the keys of longer words begin here
NONE, ONE, LAST, ALL = map(np.uint64, (0, 1, BLOCK - 1, 2**BLOCK - 1))


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
    def of_lines(cls, data: np.ndarray) -> "TokenSpans":
        """Each line as a token, without its line feed."""
        ends = np.flatnonzero(data == LINE_FEED)
        starts, data = np.append(0, ends + 1)[:-1], np.append(data, np.zeros(EXACT, np.uint8))
        return cls.with_keys(data, starts, ends, np.empty(len(ends), np.int64), np.array([0, len(ends)]))

    @classmethod
    def with_keys(
        cls, data: np.ndarray, starts: np.ndarray, ends: np.ndarray, keys: np.ndarray, offsets: np.ndarray
    ) -> "TokenSpans":
        """The tokens up to the last of ``offsets``, of arrays that may be longer; overwrites keys."""
        starts, ends, keys = (array[: offsets[-1]] for array in (starts, ends, keys))
        find_keys(data, starts, ends, keys)
        return cls(data, starts, ends, keys, offsets)


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
    return TokenSpans.with_keys(data, starts, ends, keys, offsets)


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
def below(bits):
    """Bits of the numbers below this one, which is at most BLOCK."""
    return ALL if bits >= BLOCK else (ONE << np.uint64(bits)) - ONE


@inline_kernel
def letters_from(data, position, stop):
    """Which bytes of a block of a folded text are parts of words; none is from ``stop`` on."""
    return NONE if position >= stop else parts_of_words_mask(data, position) & below(stop - position)


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
