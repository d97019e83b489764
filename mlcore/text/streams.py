"""Bytes of files, pipes and standard input: decompressed, cut into whole lines, and decoded to as many texts."""

import bz2
import errno
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from mlcore.errors import DataError

STANDARD_INPUT = Path("-")
BLOCK = 1 << 20  # bytes that are read together, and at most handed on together
PACKED = 1 << 16  # bytes that are decompressed together: what follows a short stream is copied
LONGEST_LINE = 1 << 29  # bytes: a file without line ends is not a file of texts
DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": partial(zlib.decompressobj, 16 + zlib.MAX_WBITS),  # gzip; its checksum is verified
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
}
DECOMPRESSORS |= {b"BZh%d" % level: bz2.BZ2Decompressor for level in range(1, 10)}  # a text may begin with "BZh"
SUFFIXES = (".gz", ".bz2", ".xz")


class Lines(NamedTuple):
    """Some texts, and the indices of those that held bytes which are not UTF-8 (each is U+FFFD now)."""

    texts: list[str]
    undecodable: frozenset[int]


def name_of(path: Path) -> str:
    """The path as messages name it."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def read_pieces(path: Path, size: int | None = None) -> Iterator[bytes]:
    """Content of a file or of standard input, decompressed, in pieces; it is read once, for it may be a pipe.

    Raises: OSError if it cannot be read; DataError if it is compressed and damaged.
    """
    if path == STANDARD_INPUT and sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed; give a file, or texts on standard input")
    with nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else open(path, "rb") as file:
        yield from unpack_pieces(name_of(path), iter(partial(file.read, size or BLOCK), b""))


def read_lines(path: Path) -> Iterator[bytes]:
    """Whole lines of a file or of a named pipe, as ``read_stream`` reads them."""
    with open(path, "rb", buffering=0) as file:  # unbuffered: read returns what has arrived
        yield from read_stream(file, str(path))


def read_stream(stream: Any, name: str) -> Iterator[bytes]:
    """Whole lines, decompressed if they are compressed, and ``b""`` where nothing more has arrived yet.

    Raises: DataError if compressed content is damaged, or a line absurdly long; OSError if it cannot be read.
    """
    with suppress(ImportError, AttributeError, OSError):  # where a pipe cannot be widened, reading takes more calls
        import fcntl

        fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, BLOCK)
    read = getattr(stream, "read1", stream.read)
    pieces = iter(partial(read, BLOCK), b"")
    arriving = (part for piece in pieces for part in ([piece, b""] if len(piece) < BLOCK else [piece]))
    yield from whole_lines(unpack_pieces(name, arriving), name)


def unpack_pieces(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Content that comes in pieces, decompressed if it is gzip, bzip2 or xz; ``name`` is for messages.

    Raises: DataError if compressed content is damaged or cut short anywhere, whatever came before it.
    """
    head = b""
    while any(magic.startswith(head) for magic in DECOMPRESSORS) and (piece := next(pieces, None)) is not None:
        head += piece
    pieces = chain([head], pieces)
    for magic, new_decompressor in DECOMPRESSORS.items():
        if head.startswith(magic):
            return _decompress(name, pieces, new_decompressor)
    return pieces


def _decompress(name: str, pieces: Iterator[bytes], new_decompressor: Callable[[], Any]) -> Iterator[bytes]:
    """All streams of the content, one behind the other, in pieces of at most BLOCK bytes.

    A kilobyte of bzip2 can be a gigabyte; and Python's own readers drop what follows a damaged stream.
    """
    damaged = f"{name} is damaged or incomplete ({{}}); fetch it again."
    decompressor = new_decompressor()
    for packed in (piece[i : i + PACKED] for piece in pieces for i in range(0, len(piece), PACKED)):
        unpacked = b""
        while packed or len(unpacked) == BLOCK:  # the decompressor may hold back what would have been more
            if decompressor.eof:
                packed = packed.lstrip(b"\0")  # padding
                if not packed:
                    break
                decompressor = new_decompressor()
            try:
                unpacked = decompressor.decompress(packed, BLOCK)
            except (OSError, zlib.error, lzma.LZMAError) as error:
                raise DataError(damaged.format(error)) from error
            if unpacked:
                yield unpacked
            # zlib hands back what it had no room for
            packed = decompressor.unused_data if decompressor.eof else getattr(decompressor, "unconsumed_tail", b"")
    if not decompressor.eof:
        raise DataError(damaged.format("it ends too early"))


class PieceReader:
    """Readable stream of pieces, as tarfile needs it, so that an archive need not be in memory decompressed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, bytearray()

    def read(self, size: int) -> bytes:
        """The next bytes, fewer than ``size`` only at the end."""
        while len(self._rest) < size and (piece := next(self._pieces, None)) is not None:
            self._rest += piece
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken


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
        text, lines = content.decode(errors="replace"), content.split(b"\n")
        wrong = frozenset(i for i, line in enumerate(lines) if line.decode(errors="replace").encode() != line)
    if "\r" in text:  # searching for one character takes no time
        text = text.replace("\r\n", "\n")
    texts = text.split("\n")
    texts.pop()  # what follows the last line feed; a slice would be a copy
    return Lines(texts, wrong)


def decode_arguments(texts: list[str]) -> Lines:
    """Texts from the command line; bytes that are not UTF-8 arrive there as surrogates."""
    decoded = [os.fsencode(text).decode(errors="replace") for text in texts]
    return Lines(decoded, frozenset(i for i, text in enumerate(decoded) if text != texts[i]))
