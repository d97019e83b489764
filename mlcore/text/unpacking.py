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
from typing import BinaryIO

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
    return standard_input().read() if path == STANDARD_INPUT else path.read_bytes()


def standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises: OSError if it is closed.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed; give a file, or texts on standard input")
    return sys.stdin.buffer


def unpack(name: str, content: bytes) -> Iterator[bytes]:
    """The content in pieces, decompressed if it is gzip, bzip2 or xz; ``name`` is for messages.

    Raises: DataError if compressed content is damaged or cut short, anywhere: what came before it is no result.
    """
    if content.startswith(tuple(DECOMPRESSORS)):
        yield from unpack_file(name, io.BytesIO(content))
    else:
        yield content


def unpack_file(name: str, file: BinaryIO) -> Iterator[bytes]:
    """What ``unpack`` gives, in pieces of bounded size that are read when they are asked for.

    Raises: DataError as ``unpack``; OSError if the file cannot be read.
    """
    head = file.read(BLOCK)
    for magic, new_decompressor in DECOMPRESSORS.items():
        if head.startswith(magic):
            try:
                yield from _decompress(head, file, new_decompressor)
            except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
                if isinstance(error, OSError) and error.errno:  # not of bzip2, but of the file
                    raise
                raise DataError(f"{name} is damaged or incomplete ({error}); fetch it again.") from error
            return
    while head:
        yield head
        head = file.read(BLOCK)


def _decompress(block: bytes, file: BinaryIO, new_decompressor: Callable) -> Iterator[bytes]:
    """All streams of the content, one behind the other; Python's own readers drop what follows a damaged one.

    ``block`` is the first block of the file, which has already been read.
    """
    while block:
        decompressor = new_decompressor()
        while not decompressor.eof:
            if not block:
                raise EOFError("it ends too early")
            yield decompressor.decompress(block)
            block = b"" if decompressor.eof else file.read(BLOCK)
        block = (decompressor.unused_data or file.read(BLOCK)).lstrip(b"\0")  # without padding
        while not block and (more := file.read(BLOCK)):
            block = more.lstrip(b"\0")


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
