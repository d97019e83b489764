"""Texts one per line, as they arrive: whatever the bytes are, as many texts as lines, in their order."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mlcore.errors import DataError
from mlcore.text.unpacking import unpack_pieces

BLOCK = 1 << 20  # bytes read at a time; less where less has arrived
LONGEST_LINE = 1 << 29  # bytes: what has no line ends is no file of texts


class Lines(NamedTuple):
    """Some texts, and the numbers of those that held bytes which are not UTF-8 (each is U+FFFD now)."""

    texts: list[str]
    undecodable: frozenset[int]


def read_lines(path: Path) -> Iterator[bytes]:
    """Whole lines of a file, or of a pipe that has a name, decompressed if it is gzip, bzip2 or xz.

    Nothing, ``b""``, comes where nothing more has arrived: who waits for more should hand on what there is.

    Raises: DataError if what is compressed is damaged, or if a line is absurdly long; OSError if it cannot be read.
    """
    with open(path, "rb", buffering=0) as file:  # no buffer: what has arrived is what is read
        yield from whole_lines(unpack_pieces(str(path), _arriving(file.read)), str(path))


def read_stream(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The same of a stream, as it is."""
    _widen(stream)
    yield from whole_lines(_arriving(stream.read1), name)


def _arriving(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """What has arrived, and nothing where that was all so far."""
    while piece := read(BLOCK):
        yield piece
        if len(piece) < BLOCK:
            yield b""


def whole_lines(pieces: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The complete lines that end in each piece, and at last what has no line feed, with one. Empty pieces pass.

    Raises: DataError if a line is absurdly long.

    Example:
        >>> list(whole_lines([b"a\\nb", b"", b"c\\r\\n\\nd"], "a pipe"))
        [b'a\\n', b'', b'bc\\r\\n\\n', b'd\\n']
    """
    begun: list[bytes] = []  # the line that has not ended yet, in pieces
    size = 0
    for piece in pieces:
        if not piece:
            yield piece
            continue
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, piece[:end]])
            begun, size = [], 0
        if end < len(piece):
            begun.append(piece[end:])
            size += len(piece) - end
        if size > LONGEST_LINE:
            raise DataError(f"{name} has a line of more than {LONGEST_LINE:,} bytes; expected a text on each line.")
    if begun:
        yield b"".join([*begun, b"\n"])


def in_portions(blocks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Whole lines in portions of at most so many."""
    for block in blocks:
        while block.count(b"\n") > most:
            *lines, block = block.split(b"\n", most)
            yield b"\n".join([*lines, b""])
        yield block


def decode_lines(content: bytes) -> Lines:
    """Texts of whole lines, of which each ends with a line feed; a carriage return before it belongs to the end."""
    try:
        return Lines(_split(content.decode()), frozenset())
    except UnicodeDecodeError:
        # A line feed is never part of a longer character, so that damage does not reach beyond its line
        wrong = (number for number, line in enumerate(content.split(b"\n")) if not is_utf8(line))
        return Lines(_split(content.decode(errors="replace")), frozenset(wrong))


def decode_arguments(texts: list[str]) -> Lines:
    """Texts of the command line; bytes that are not UTF-8 arrive there as surrogates."""
    encoded = [os.fsencode(text) for text in texts]
    wrong = (number for number, text in enumerate(encoded) if not is_utf8(text))
    return Lines([text.decode(errors="replace") for text in encoded], frozenset(wrong))


def _split(content: str) -> list[str]:
    if "\r" in content:  # a search for one character takes no time
        content = content.replace("\r\n", "\n")
    lines = content.split("\n")
    lines.pop()
    return lines


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _widen(stream: BinaryIO) -> None:
    """Let a pipe hold as much as is read at a time; where that is not possible, reading takes more calls."""
    try:
        import fcntl

        fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, BLOCK)
    except (ImportError, AttributeError, OSError):
        pass
