"""Bytes of a file or of standard input, unpacked where their first bytes say that they are compressed."""

import bz2
import errno
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mlcore.errors import DataError

STANDARD_INPUT = Path("-")
BLOCK = 1 << 14  # bytes unpacked at a time: what a file made to explode can become at once stays bounded
DECOMPRESSORS: dict[bytes, Callable] = {
    b"\x1f\x8b": partial(zlib.decompressobj, 16 + zlib.MAX_WBITS),  # gzip; its sum is checked
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
}
SUFFIXES = (".gz", ".bz2", ".xz")


def read_bytes(path: Path) -> bytes:
    """The whole content, read once: it may be a pipe.

    Raises: OSError if it cannot be read.
    """
    if path != STANDARD_INPUT:
        return path.read_bytes()
    if sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed; give a file, or texts on standard input")
    return sys.stdin.buffer.read()


def unpack(name: str, content: bytes) -> Iterator[bytes]:
    """The content in pieces, decompressed if it is gzip, bzip2 or xz; ``name`` is for messages.

    Raises: DataError if compressed content is damaged or cut short, anywhere: what came before it is no result.
    """
    for magic, new_decompressor in DECOMPRESSORS.items():
        if content.startswith(magic):
            try:
                yield from _decompress(content, new_decompressor)
            except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
                raise DataError(f"{name} is damaged or incomplete ({error}); fetch it again.") from error
            return
    yield content


def _decompress(content: bytes, new_decompressor: Callable) -> Iterator[bytes]:
    """All streams of the content, one behind the other; Python's own readers drop what follows a damaged one."""
    place = 0
    while place < len(content):
        decompressor = new_decompressor()
        while not decompressor.eof:
            if place >= len(content):
                raise EOFError("it ends too early")
            yield decompressor.decompress(content[place : place + BLOCK])
            place = min(place + BLOCK, len(content))
        place -= len(decompressor.unused_data)
        while content[place : place + 1] == b"\0":  # padding
            place += 1


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
