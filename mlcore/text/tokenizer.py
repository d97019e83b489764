"""What a token is, and a kernel that finds the tokens of many texts at once.

The rule is written down once, in ``normalise`` and ``TOKEN``; ``tokens`` is the rule itself. The kernel behind
``tokenise`` finds the same tokens (a property test compares the two) at the speed of the memory.
"""

import html
import re
from functools import cache
from typing import NamedTuple

import numpy as np

from mlcore.kernels import kernel

TAG = re.compile(r"</?[a-z][^<>]*>")
# Entities of numbers that are no character, or that Python refuses to read because they have thousands of digits.
LEADING_ZEROS, IMPOSSIBLE_ENTITY = re.compile("&#0+(?=[0-9])"), re.compile("&#[0-9]{8,};?")
TOKEN = re.compile(r"\w+(?:'\w+)*|[.,!?;:()]")
MARKS = ".,!?;:()"

OTHER, WORD, MARK, APOSTROPHE = 0, 1, 2, 3


def normalise(text: str) -> str:
    """Lower-case; HTML tags become a space; then entities are decoded, so that ``&lt;b&gt;`` is no tag.

    A decoded entity may be a capital letter, hence the second lower(). The typographic apostrophe becomes the
    plain one.
    """
    text = text.lower()
    if "<" in text:
        text = TAG.sub(" ", text)
    if "&" in text:
        text = IMPOSSIBLE_ENTITY.sub("\N{REPLACEMENT CHARACTER}", LEADING_ZEROS.sub("&#", text))
        text = html.unescape(text).lower()
    return text.replace("\u2019", "'")


def tokens(text: str) -> list[str]:
    """Tokens of a text: Unicode words, with the apostrophes inside them, and the marks ``. , ! ? ; : ( )``.

    Example:
        >>> tokens("It's <br />GREAT &amp; fun!")
        ["it's", 'great', 'fun', '!']
    """
    return TOKEN.findall(normalise(text))


class TokenSpans(NamedTuple):
    """Tokens as places in a buffer: token t is data[starts[t]:ends[t]]; text i has offsets[i]..offsets[i + 1]."""

    data: np.ndarray  # (bytes,) uint8, the normalised texts in UTF-8
    starts: np.ndarray  # (t,) int32
    ends: np.ndarray  # (t,) int32
    offsets: np.ndarray  # (n + 1,) int64


def tokenise(texts: list[str]) -> TokenSpans:
    """Find the tokens of all texts, exactly those of ``tokens``."""
    # "surrogatepass": JSON may hold half of a surrogate pair, which is no word and must not stop us
    encoded = [normalise(text).encode("utf-8", "surrogatepass") for text in texts]
    bounds = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=bounds[1:])
    data = np.frombuffer(b"".join(encoded), np.uint8)
    starts, ends = np.empty(len(data), np.int32), np.empty(len(data), np.int32)  # a token has at least a byte
    offsets = np.zeros(len(encoded) + 1, np.int64)
    scan_tokens(data, bounds, character_classes(), starts, ends, offsets)
    return TokenSpans(data, starts[: offsets[-1]], ends[: offsets[-1]], offsets)


@cache
def character_classes() -> np.ndarray:
    """Class of every Unicode code point, as the regular expression sees it: (0x110000,) uint8."""
    characters = np.arange(0x110000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    classes = np.full(0x110000, OTHER, np.uint8)
    for run in re.finditer(r"\w+", characters):
        classes[run.start() : run.end()] = WORD
    classes[[ord(mark) for mark in MARKS]] = MARK
    classes[ord("'")] = APOSTROPHE
    return classes


@kernel
def class_at(data, position, classes):
    """Class and length in bytes of the UTF-8 character at ``position``."""
    first = np.int64(data[position])
    if first < 0x80:
        return classes[first], 1
    last = np.int64(data[position + 1]) & 0x3F
    if first < 0xE0:
        return classes[(first & 0x1F) << 6 | last], 2
    last = last << 6 | np.int64(data[position + 2]) & 0x3F
    if first < 0xF0:
        return classes[(first & 0x0F) << 12 | last], 3
    last = last << 6 | np.int64(data[position + 3]) & 0x3F
    return classes[(first & 0x07) << 18 | last], 4


@kernel
def word_end(data, position, stop, classes):
    """Position behind the word that goes on at ``position``, as ``\\w*(?:'\\w+)*`` has it."""
    while True:
        # most characters are ASCII: a short loop for them, then the general case for one character
        while position < stop and data[position] < 0x80 and classes[data[position]] == WORD:
            position += 1
        if position == stop:
            return position
        kind, length = class_at(data, position, classes)
        if kind == APOSTROPHE and position + 1 < stop:
            kind, length = class_at(data, position + 1, classes)
            length += 1
        if kind != WORD:
            return position
        position += length


@kernel
def scan_tokens(data, bounds, classes, starts, ends, offsets):
    """Find the tokens of ``TOKEN`` in normalised texts: overwrite starts, ends and offsets[1:].

    Shapes: data (bytes,) valid UTF-8, bounds (n + 1,) of the texts in it, classes (0x110000,)
    -> starts and ends (t,) with room for a token per byte, offsets (n + 1,) with offsets[0] = 0.
    """
    found = 0
    for text in range(bounds.shape[0] - 1):
        position, stop = bounds[text], bounds[text + 1]
        while position < stop:
            start = position
            kind, length = class_at(data, position, classes)
            position += length
            if kind == WORD:
                position = word_end(data, position, stop, classes)
            if kind == WORD or kind == MARK:
                starts[found] = start
                ends[found] = position
                found += 1
        offsets[text + 1] = found
