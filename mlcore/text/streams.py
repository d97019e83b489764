"""Bytes of files, pipes and standard input: decompressed, as UTF-8, cut into whole lines, and decoded to texts."""

import bz2
import codecs
import errno
import io
import lzma
import os
import re
import stat
import sys
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache, partial
from importlib import import_module
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, cast

from mlcore.errors import DataError
from mlcore.files import STANDARD_STREAM, installed, name_of

BLOCK = 1 << 20  # bytes that are read together, and at most handed on together
PACKED = 1 << 16  # bytes that are decompressed together: what follows a short stream is copied
LONGEST_LINE = 1 << 26  # bytes: a file without line ends is not a file of texts
SPOOLED = 1 << 24  # bytes of a copy in memory; a larger one is in a temporary file
ZIP = b"PK\3\4"
MARKS = {  # the longer ones first: UTF-32's begins as UTF-16's
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": partial(zlib.decompressobj, 16 + zlib.MAX_WBITS),  # gzip; its checksum is verified
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
    b"\x28\xb5\x2f\xfd": lambda: _zstd().ZstdDecompressor(),
    **{b"BZh%d" % level: bz2.BZ2Decompressor for level in range(1, 10)},  # a text may begin with "BZh"
}
LINE_END = re.compile(rb"(?<!\r)\r+\n")  # Windows may add a carriage return where one is
VERSION = attrgetter("st_size", "st_mtime_ns", "st_ino")  # of a file
SURROGATE = re.compile("[\ud800-\udfff]")
SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
Decoded = tuple[Any, frozenset[int]]  # texts, and the indices of those with bytes that are not UTF-8: U+FFFD now


def refuse(problem: str) -> None:
    raise DataError(problem)


@contextmanager
def opened(path: Path, name: str, changed: Callable[[str], None] = refuse) -> Iterator[IO[bytes]]:
    """A file to read to its end, unbuffered; ``changed`` is called then if the file is not what it was before."""
    with open(path, "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        yield file
        if stat.S_ISREG(before.st_mode) and VERSION(before) != (VERSION(path.stat()) if path.exists() else None):
            changed(f"{name} changed while it was read; read it again when it is complete.")


def read_pieces(path: Path, changed: Callable[[str], None] = refuse, size: int = BLOCK) -> Iterator[bytes]:
    """Content of a file, a pipe or standard input, decompressed, in pieces, and ``b""`` where more has yet to arrive.

    Raises: OSError if it cannot be read; DataError if it is compressed and damaged.
    """
    if path == STANDARD_STREAM and sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed; give a file, or texts on standard input")
    name = name_of(path)
    with nullcontext(sys.stdin.buffer) if path == STANDARD_STREAM else opened(path, name, changed) as file:
        with suppress(ImportError, AttributeError, OSError):  # where a pipe cannot be widened, reading takes more calls
            import fcntl

            fcntl.fcntl(file.fileno(), fcntl.F_SETPIPE_SZ, BLOCK)
        pieces = iter(partial(getattr(file, "read1", file.read), size), b"")
        arriving = (part for piece in pieces for part in ([piece, b""] if len(piece) < size else [piece]))
        yield from unpack_pieces(name, arriving)


def unpack_pieces(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Content that comes in pieces, decompressed if it is gzip, bzip2, xz, Zstandard, or a zip archive of one file.

    ``name`` is for messages. An archive of several files is passed on as it is.

    Raises: DataError if compressed content is damaged or cut short anywhere, whatever came before it; or if it is an
    office document, or Zstandard without its extra.
    """
    head, magics = b"", (*DECOMPRESSORS, ZIP)
    while any(magic.startswith(head) for magic in magics) and (piece := next(pieces, None)) is not None:
        head += piece
    pieces = chain([head], pieces)
    if head.startswith(ZIP):
        return _unzip(name, pieces)
    for magic, new_decompressor in DECOMPRESSORS.items():
        if head.startswith(magic):
            return _decompress(name, pieces, new_decompressor)
    return pieces


def peek(pieces: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """At least so many bytes of the beginning, or all if there are fewer; and the pieces, beginning with these."""
    head = b""
    while len(head) < size and (piece := next(pieces, None)) is not None:
        head += piece
    return head, chain([head], pieces)


def _decompress(name: str, pieces: Iterator[bytes], new_decompressor: Callable[[], Any]) -> Iterator[bytes]:
    """All streams of the content, one behind the other, in pieces of at most BLOCK bytes.

    A kilobyte of bzip2 can be a gigabyte; and Python's own readers drop what follows a damaged stream.
    """
    decompressor = new_decompressor()
    for packed in (piece[i : i + PACKED] for piece in pieces for i in range(0, len(piece), PACKED)):
        unpacked = b""
        while packed or len(unpacked) == BLOCK:  # the decompressor may hold back what would have been more
            if decompressor.eof:
                packed = packed.lstrip(b"\0")  # padding
                if not packed:
                    break
                decompressor = new_decompressor()
            with damage(name):
                unpacked = decompressor.decompress(packed, BLOCK)
            if unpacked:
                yield unpacked
            # zlib hands back what it had no room for
            packed = decompressor.unused_data if decompressor.eof else getattr(decompressor, "unconsumed_tail", b"")
    if not decompressor.eof:
        raise DataError(f"{name} is damaged or incomplete (it ends too early); fetch it again.")


def optional(module: str, extra: str, what: str) -> Any:
    """A module of an extra.

    Raises: DataError that names the extra if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DataError(f"{what} needs an extra: pip install 'mlcore[{extra}]'.") from error


def _zstd() -> Any:
    standard = "compression.zstd"  # of Python 3.14
    return optional(standard if sys.version_info >= (3, 14) else "backports.zstd", "zstd", "Reading Zstandard (.zst)")


def spooled(pieces: Iterable[bytes]) -> IO[bytes]:
    """A copy of the content in which one can seek; a large one lies in a temporary file without a name."""
    file: IO[bytes] = io.BytesIO()  # the library's SpooledTemporaryFile warns unless it is closed, whatever happens
    for piece in pieces:
        if isinstance(file, io.BytesIO) and file.tell() + len(piece) > SPOOLED:
            begun, file = file, cast(IO[bytes], tempfile.TemporaryFile(prefix="mlcore-"))  # noqa: SIM115
            file.write(begun.getbuffer())
        file.write(piece)
    file.seek(0)
    return file


@cache
def known_of_files() -> dict[str, Any]:
    """What ``data/files.toml`` says."""
    return tomllib.loads(installed("files.toml").read_text(encoding="utf-8"))


def foreign_kind(head: bytes, kinds: str = "foreign") -> str | None:
    """What a file that begins so is, and what to do with a table in it; None if it may be text."""
    return next((kind for begin, kind in known_of_files()[kinds] if re.match(begin.encode(), head)), None)


@contextmanager
def damage(name: str, kind: str = "incomplete", remedy: str = "fetch it again") -> Iterator[None]:
    """Turn what a library raises for bad content, each errors of its own, into DataError."""
    try:
        yield
    except (DataError, AttributeError, NameError, TypeError):  # known already, or faults of a program
        raise
    except Exception as error:
        if type(error) is MemoryError:  # pyarrow's own is for what files promise
            raise
        problem = str(error).partition("\n")[0]
        raise DataError(f"{name} is damaged or {kind} ({problem}); {remedy}.") from error


archive_errors = partial(damage, kind="cannot be unpacked here", remedy="fetch it again, or unpack it")


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in a zip archive, without hidden ones and what macOS adds."""
    return [m for m in archive.infolist() if not re.search(r"/$|^__MACOSX/|(?:^|/)\.[^/]*$", m.filename)]


def _unzip(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    with spooled(pieces) as file, archive_errors(name):
        archive = zipfile.ZipFile(file)
        for member, kind in known_of_files()["office"].items():
            if member in archive.NameToInfo:
                raise DataError(f"{name} is {kind}; open it and save it as CSV (UTF-8).")
        found = members(archive)
        if len(found) == 1:
            with archive.open(found[0]) as content:
                yield from unpack_pieces(f"{name}, {found[0].filename}", iter(partial(content.read, BLOCK), b""))
        else:
            file.seek(0)
            yield from iter(partial(file.read, BLOCK), b"")


# Encodings ------------------------------------------------------------------------------------------------


def _marked(error: UnicodeError) -> tuple[str | bytes, int]:
    """A byte that is wrong in any encoding is one that is wrong in UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return "\udcff", error.end
    assert isinstance(error, UnicodeEncodeError)
    return b"\xff" * (error.end - error.start), error.end


codecs.register_error("mlcore.marked", _marked)


def marked_encoding(head: bytes) -> str | None:
    """The encoding that the first bytes of a text mark, if it is not UTF-8."""
    return next((name for mark, name in MARKS.items() if head.startswith(mark)), None)


def as_utf8(pieces: Iterator[bytes], encoding: str | None, name: str) -> Iterator[bytes]:
    """Text in this encoding, None for UTF-8, as UTF-8; its mark is left out. What cannot be decoded becomes 0xFF.

    Raises: DataError, while reading, for UTF-16 and UTF-32 without a mark.
    """
    if encoding is None or codecs.lookup(encoding).name == "utf-8":
        yield next(pieces, b"").removeprefix(codecs.BOM_UTF8)
        yield from pieces
        return
    try:
        for text in codecs.iterdecode(pieces, encoding, "mlcore.marked"):
            yield text.encode("utf-8", "mlcore.marked")
    except UnicodeError as error:  # what a codec cannot go on from
        raise DataError(f"{name} cannot be decoded as {encoding} ({error}).") from error


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


def in_utf8(lines: bytes) -> Decoded:
    """Whole lines as they are, but for bytes that are not UTF-8."""
    try:
        lines.decode()
        return lines, frozenset()
    except UnicodeDecodeError:
        texts, wrong = decode_lines(lines)
        return "".join(f"{text}\n" for text in texts).encode(), wrong


def decode_lines(content: bytes) -> Decoded:
    """Texts of whole lines, each of which ends with a line feed, or with carriage returns before it."""
    if b"\r" in content:  # one byte is found ten times as fast as two
        content = content.replace(b"\r\n", b"\n")
        content = LINE_END.sub(b"\n", content) if b"\r\n" in content else content
    lines = content.split(b"\n")
    lines.pop()  # what follows the last line feed
    # line by line: most are ASCII, and one character of a larger text makes all of it slow
    texts = [line.decode(errors="replace") for line in lines]
    replaced = (i for i, text in enumerate(texts) if "\ufffd" in text)
    return texts, frozenset(i for i in replaced if texts[i].encode() != lines[i])


def decode_arguments(texts: list[str]) -> Decoded:
    """Texts from the command line, where bytes that are not UTF-8 are surrogates, or from JSON, which may have some."""
    decoded = [SURROGATE.sub("\ufffd", text) for text in texts]
    return decoded, frozenset(i for i, text in enumerate(decoded) if text != texts[i])
