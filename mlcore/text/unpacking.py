"""Bytes of a file or of standard input, unpacked where their first bytes say that they are compressed."""

import bz2
import errno
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from mlcore.errors import DataError

STANDARD_INPUT = Path("-")
BLOCK = 1 << 14  # bytes unpacked at a time
GATHERED = 1 << 19  # bytes that are handed on together, so that whoever works on them does it seldom
DECOMPRESSORS: dict[bytes, Callable] = {
    b"\x1f\x8b": partial(zlib.decompressobj, 16 + zlib.MAX_WBITS),  # gzip; its sum is checked
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
}
DECOMPRESSORS |= {b"BZh%d" % level: bz2.BZ2Decompressor for level in range(1, 10)}  # a text may begin with "BZh"
SUFFIXES = (".gz", ".bz2", ".xz")


def read_pieces(path: Path) -> Iterator[bytes]:
    """The content in pieces that are not small, read once: it may be a pipe.

    Raises: OSError if it cannot be read.
    """
    if path == STANDARD_INPUT:
        yield from iter(partial(standard_input().read, GATHERED), b"")
    else:
        with open(path, "rb") as file:
            yield from iter(partial(file.read, GATHERED), b"")


def standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises: OSError if it is closed.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed; give a file, or texts on standard input")
    return sys.stdin.buffer


def unpack_pieces(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Content that comes in pieces, decompressed if it is gzip, bzip2 or xz, else as it comes; ``name`` is for messages.

    Raises: DataError if compressed content is damaged or cut short, anywhere: what came before it is no result.
    """
    head = b""
    for piece in pieces:
        head += piece
        if not any(magic.startswith(head) for magic in DECOMPRESSORS):
            break
    for magic, new_decompressor in DECOMPRESSORS.items():
        if head.startswith(magic):
            try:
                yield from _gather(_decompress(chain([head], pieces), new_decompressor))
            except (EOFError, zlib.error, lzma.LZMAError, _Damage) as error:
                raise DataError(f"{name} is damaged or incomplete ({error}); fetch it again.") from error
            return
    yield head
    yield from pieces


class _Damage(Exception):
    """What a decompressor calls an OSError, told apart from one of the stream that the pieces come from."""


def _decompress(pieces: Iterator[bytes], new_decompressor: Callable) -> Iterator[bytes]:
    """All streams of the content, one behind the other; Python's own readers drop what follows a damaged one."""
    decompressor = new_decompressor()
    for piece in pieces:
        for place in range(0, len(piece), BLOCK):
            packed = piece[place : place + BLOCK]
            while packed:
                if decompressor.eof:
                    packed = packed.lstrip(b"\0")  # padding
                    if not packed:
                        break
                    decompressor = new_decompressor()
                try:
                    yield from _drain(decompressor, packed)
                except OSError as error:
                    raise _Damage(error) from error
                packed = decompressor.unused_data
    if not decompressor.eof:
        raise EOFError("it ends too early")


def _drain(decompressor: object, packed: bytes) -> Iterator[bytes]:
    """All that packed bytes become, in pieces of at most GATHERED bytes: a kilobyte of bzip2 can be a gigabyte."""
    while True:
        piece = decompressor.decompress(packed, GATHERED)
        yield piece
        packed = getattr(decompressor, "unconsumed_tail", b"")  # zlib hands back what it had no room for
        if decompressor.eof or (not packed and len(piece) < GATHERED):
            return


def _gather(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are not small."""
    gathered, size = [], 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= GATHERED:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)


class PieceReader(io.RawIOBase):
    """Readable stream of pieces, so that an archive need not be in memory unpacked."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size
