"""Lines of text as they arrive: whatever the bytes are, as many texts as lines, in their order."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mlcore.errors import DataError
from mlcore.text.unpacking import unpack_pieces

BLOCK = 1 << 20  # bytes read at a time; less where less has arrived
LONGEST_LINE = 1 << 29  # bytes: a file without line ends is not a file of texts


class Lines(NamedTuple):
    """Some texts, and the indices of those that held bytes which are not UTF-8 (each is U+FFFD now)."""

    texts: list[str]
    undecodable: frozenset[int]


def read_lines(path: Path) -> Iterator[bytes]:
    """Whole lines of a file or of a named pipe, decompressed if it is gzip, bzip2 or xz.

    An empty ``b""`` comes where nothing more has arrived yet: the caller can answer what there is.

    Raises: DataError if compressed content is damaged, or a line absurdly long; OSError if the file cannot be read.
    """
    with open(path, "rb", buffering=0) as file:  # unbuffered: read returns what has arrived
        yield from whole_lines(unpack_pieces(str(path), _arriving(file.read)), str(path))


def read_stream(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The same of a stream that is not compressed."""
    with suppress(ImportError, AttributeError, OSError):  # where a pipe cannot be widened, reading takes more calls
        import fcntl

        fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, BLOCK)
    yield from whole_lines(_arriving(stream.read1), name)  # type: ignore[attr-defined]


def _arriving(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """What has arrived, and an empty piece where that was all so far."""
    while piece := read(BLOCK):
        yield piece
        if len(piece) < BLOCK:
            yield b""


def whole_lines(pieces: Iterable[bytes], name: str, longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """The complete lines that end in each piece, and at last what has no line feed, with one. Empty pieces pass.

    Raises: DataError if a line has more than ``longest`` bytes.

    Example:
        >>> list(whole_lines([b"a\\nb", b"", b"c\\r\\n\\nd"], "a pipe"))
        [b'a\\n', b'', b'bc\\r\\n\\n', b'd\\n']
    """
    begun: list[bytes] = []  # the line that has not ended yet
    size = 0
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, piece[:end]])
            begun, size = [], 0
        elif not piece:
            yield piece
        if end < len(piece):
            begun.append(piece[end:])
            size += len(piece) - end
        if size > longest:
            raise DataError(f"{name} has a line of more than {longest:,} bytes; is it a text file?")
    if begun:
        yield b"".join([*begun, b"\n"])


def in_portions(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Whole lines in portions of at most ``size`` lines."""
    for block in blocks:
        while block.count(b"\n") > size:
            *lines, block = block.split(b"\n", size)
            yield b"\n".join([*lines, b""])
        yield block


def decode_lines(content: bytes) -> Lines:
    """Texts of whole lines, each of which ends with a line feed, or with a carriage return before it."""
    try:
        text, wrong = content.decode(), frozenset[int]()
    except UnicodeDecodeError:
        # a line feed is never part of a longer character, so that damage does not reach beyond its line
        wrong = frozenset(number for number, line in enumerate(content.split(b"\n")) if not is_utf8(line))
        text = content.decode(errors="replace")
    if "\r" in text:  # searching for one character takes no time
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    lines.pop()
    return Lines(lines, wrong)


def decode_arguments(texts: list[str]) -> Lines:
    """Texts from the command line; bytes that are not UTF-8 arrive there as surrogates."""
    encoded = [os.fsencode(text) for text in texts]
    wrong = frozenset(number for number, text in enumerate(encoded) if not is_utf8(text))
    return Lines([text.decode(errors="replace") for text in encoded], wrong)


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
