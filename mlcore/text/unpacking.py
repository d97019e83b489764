"""Bytes of a file or of standard input, decompressed where their first bytes say that they are compressed."""

import bz2
import errno
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from mlcore.errors import DataError

STANDARD_INPUT = Path("-")
PIECE = 1 << 19  # bytes that are read together, and at most handed on together
BLOCK = 1 << 16  # bytes that are decompressed together: what follows a short stream is copied
DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": partial(zlib.decompressobj, 16 + zlib.MAX_WBITS),  # gzip; its checksum is verified
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
}
DECOMPRESSORS |= {b"BZh%d" % level: bz2.BZ2Decompressor for level in range(1, 10)}  # a text may begin with "BZh"
SUFFIXES = (".gz", ".bz2", ".xz")


def read_pieces(path: Path, size: int = PIECE) -> Iterator[bytes]:
    """Content of a file or of standard input, decompressed, in pieces; it is read once, for it may be a pipe.

    Raises: OSError if it cannot be read; DataError if it is compressed and damaged.
    """
    if path == STANDARD_INPUT:
        yield from unpack_pieces(name_of(path), iter(partial(standard_input().read, size), b""))
    else:
        with open(path, "rb") as file:
            yield from unpack_pieces(name_of(path), iter(partial(file.read, size), b""))


def name_of(path: Path) -> str:
    """The path as messages name it."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises: OSError if it is closed.
    """
    if sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed; give a file, or texts on standard input")
    return sys.stdin.buffer


def unpack_pieces(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Content that comes in pieces, decompressed if it is gzip, bzip2 or xz; ``name`` is for messages.

    Raises: DataError if compressed content is damaged or cut short anywhere, whatever came before it.
    """
    head = b""
    for piece in pieces:
        head += piece
        if not any(magic.startswith(head) for magic in DECOMPRESSORS):
            break
    pieces = chain([head], pieces)
    new_decompressor = next((new for magic, new in DECOMPRESSORS.items() if head.startswith(magic)), None)
    return _decompress(name, pieces, new_decompressor) if new_decompressor else pieces


def _decompress(name: str, pieces: Iterator[bytes], new_decompressor: Callable[[], Any]) -> Iterator[bytes]:
    """All streams of the content, one behind the other; Python's own readers drop what follows a damaged one."""
    decompressor = new_decompressor()
    for piece in pieces:
        for start in range(0, len(piece), BLOCK):
            packed = piece[start : start + BLOCK]
            while packed:
                if decompressor.eof:
                    packed = packed.lstrip(b"\0")  # padding
                    if not packed:
                        break
                    decompressor = new_decompressor()
                yield from _drain(name, decompressor, packed)
                packed = decompressor.unused_data
    if not decompressor.eof:
        raise _damaged(name, "it ends too early")


def _drain(name: str, decompressor: Any, packed: bytes) -> Iterator[bytes]:
    """All that packed bytes become, in pieces of at most PIECE bytes: a kilobyte of bzip2 can be a gigabyte."""
    while True:
        try:
            piece = decompressor.decompress(packed, PIECE)
        except (OSError, zlib.error, lzma.LZMAError) as error:
            raise _damaged(name, error) from error
        if piece:
            yield piece
        packed = getattr(decompressor, "unconsumed_tail", b"")  # zlib hands back what it had no room for
        if decompressor.eof or (not packed and len(piece) < PIECE):
            return


def _damaged(name: str, cause: object) -> DataError:
    return DataError(f"{name} is damaged or incomplete ({cause}); fetch it again.")


class PieceReader:
    """Readable stream of pieces, as tarfile needs it, so that an archive need not be in memory decompressed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, bytearray()

    def read(self, size: int) -> bytes:
        """The next bytes, fewer than ``size`` only at the end."""
        while len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken
