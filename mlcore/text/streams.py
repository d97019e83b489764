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
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from mlcore.errors import DataError
from mlcore.files import STANDARD_STREAM, name_of

BLOCK = 1 << 20  # bytes that are read together, and at most handed on together
PACKED = 1 << 16  # bytes that are decompressed together: what follows a short stream is copied
LONGEST_LINE = 1 << 26  # bytes: a file without line ends is not a file of texts
SPOOLED = 1 << 24  # bytes of a copy in memory; a larger one is in a temporary file
ARCHIVE_ERRORS = (  # that zipfile and tarfile raise for a bad archive, or one that they cannot read
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError, IndexError,
    OSError, RuntimeError,
)  # fmt: skip
ZIP, ZSTD = b"PK\3\4", b"\x28\xb5\x2f\xfd"
OFFICE = {  # what a zip file is that has such a member
    "xl/workbook.xml": "an Excel workbook", "xl/workbook.bin": "an Excel workbook",
    "content.xml": "an OpenDocument file", "word/document.xml": "a Word document",
}  # fmt: skip
MARKS = {  # the longer ones first: UTF-32's begins as UTF-16's
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": partial(zlib.decompressobj, 16 + zlib.MAX_WBITS),  # gzip; its checksum is verified
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
}
DECOMPRESSORS |= {b"BZh%d" % level: bz2.BZ2Decompressor for level in range(1, 10)}  # a text may begin with "BZh"
DECOMPRESSORS |= {ZSTD: lambda: _zstd().ZstdDecompressor()}
FOREIGN = {  # patterns of the first bytes of what has no texts, or not as text
    rb"\xd0\xcf\x11\xe0": "an old Excel or Word file; open it and save it as CSV (UTF-8)",
    rb"%PDF": "a PDF; copy its text into a table",
    rb"FEA1": "Feather version 1; write it again as Parquet",
    rb"SQLite format 3": "a SQLite database; export the table as CSV",
    rb"\x89HDF": "an HDF5 file; write the table as Parquet or CSV",
    rb"\x80[\2-\5]": "a pickle, which could run any code when it is read; write the table as Parquet or CSV",
    rb"\x93NUMPY": "an array of NumPy; write the texts as CSV",
    rb"\$FL[23]|<stata_dta>|RDX\d\n|X\n\0\0": "a file of SPSS, Stata or R; write the table as CSV (UTF-8)",
    rb"(?i:(?:\s|%.*\n)*@relation\s)": "an ARFF file of Weka; open it in Weka's viewer and save it as CSV",
    rb"version https://git-lfs": "a pointer of Git LFS; get the file itself with git lfs pull",
    rb"(?i:\s*(?:<!doctype html|<html))": "a web page; download the file itself",
    rb"(?i:\s*<table\b)": "a table in HTML; open it in a spreadsheet and save it as CSV (UTF-8)",
    rb"<\?xml|<!DOCTYPE": "XML; write its texts as a table, such as CSV",
    rb"From \S+ .*\d:\d\d.*\n[\w-]+: |(?:Return-Path|Received|Delivered-To|MIME-Version): ": "e-mail; write its texts "
    "as a table, such as CSV",
    rb"WEBVTT|1\r?\n\d\d:\d\d:\d\d,\d{3} -->": "subtitles; write them as a table, such as CSV",
    rb"\{'\w+':|\[[({\[]'": "Python; write it with json.dumps, an object in each line",
    rb"structure\(list\(": "R; in it, write.csv writes the table",
    rb"\\(?:documentclass|begin|usepackage)\b": "LaTeX; write the table as CSV",
    rb"[+-]?\d+(?: \d+:[-+.\de]+)+\s*\n": "LIBSVM, which has numbers of words; get the texts themselves",
    rb"-- (?:MySQL|MariaDB)|--\s+-- PostgreSQL|(?i:(?:\s|--.*\n)*(?:create table|insert into|drop table)\s)": "SQL; "
    "load it into its database, and export the table as CSV",
    rb"\{\\rtf": "a Rich Text document; save it as plain text",
    rb"\xba\x16\x4f\x2f": "a binary model of fastText",
    rb'\{\s*"(?:nbformat|cells":\s*\[\s*\{\s*"(?:cell_type|execution_count|id|metadata|attachments))"': "a Jupyter "
    "notebook; in it, write the table to a file: df.to_csv('texts.csv', index=False)",
    rb'\{[\s\S]{0,999}?"intents":\s*\{[\s\S]{0,999}?"utterances":\s*\[': "the JSON of Snips NLU; make a table: jq -r "
    """'["label","text"],(.intents|to_entries[]|.key as $k|.value.utterances[]|[$k,([.data[].text]|add)])|@tsv' """
    "FILE > new.tsv",
    rb'\{[\s\S]{0,999}?"intents":\s*\[\s*\{[^{}]*"patterns":\s*\[': "a list of intents with their patterns; make a "
    """table: jq -r '["label","text"],(.intents[]|.tag as $t|.patterns[]|[$t,.])|@tsv' FILE > new.tsv""",
    rb"[+-]?[\d.]+ (?:[\d.]+ )?(?:'?\S+)?\|\w+[ :]": "for Vowpal Wabbit; make lines as of fastText of it: "
    r"sed -E 's/^(\S+)[^|]*\|\S* */__label__\1 /' FILE > new.txt",
    rb"(?:#.*\n)*1(?:-\d+)?(?:\t\S+){9}\r?\n|-DOCSTART-|(?:.*[\t ](?:O|[BIES]-\w+)\r?\n){2}": "CoNLL, which has "
    "words, and what is said of each; write a table of whole texts with a label each",
    rb"7z\xbc\xaf|Rar!|\x04\x22M\x18": "an archive that cannot be read here; unpack it first",
}
LINE_END = re.compile(rb"(?<!\r)\r+\n")  # Windows may add a carriage return where one is
SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")


class Lines(NamedTuple):
    """Some texts, and the indices of those that held bytes which are not UTF-8 (each is U+FFFD now)."""

    texts: Any  # a list of str, or whole lines as bytes
    undecodable: frozenset[int]


def refuse(problem: str) -> None:
    raise DataError(problem)


@contextmanager
def opened(
    path: Path, name: str, changed: Callable[[str], None] = refuse, regular: bool = False
) -> Iterator[IO[bytes]]:
    """A file to read to its end, unbuffered; ``changed`` is called then if the file is not what it was before.

    ``regular``: only a file on a disk will do; a pipe is not waited for.
    """

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", buffering=0, opener=without_waiting if regular else None) as file:
        before = os.fstat(file.fileno())
        on_disk = stat.S_ISREG(before.st_mode)
        if regular and not on_disk:
            raise DataError(f"{path} is not a regular file; remove it from the folder.")
        yield file
        if on_disk and _version(before) != (_version(path.stat()) if path.exists() else None):
            changed(f"{name} changed while it was read; read it again when it is complete.")


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def read_pieces(path: Path, changed: Callable[[str], None] = refuse, size: int | None = None) -> Iterator[bytes]:
    """Content of a file or of standard input, decompressed, in pieces; it is read once, for it may be a pipe.

    Raises: OSError if it cannot be read; DataError if it is compressed and damaged.
    """
    if path == STANDARD_STREAM and sys.stdin is None:
        raise OSError(errno.EBADF, "Standard input is closed; give a file, or texts on standard input")
    name = name_of(path)
    with nullcontext(sys.stdin.buffer) if path == STANDARD_STREAM else opened(path, name, changed) as file:
        yield from unpack_pieces(name, iter(partial(file.read, size or BLOCK), b""))


def read_lines(path: Path, changed: Callable[[str], None]) -> Iterator[bytes]:
    """Whole lines of a file or of a named pipe, as ``read_stream`` reads them."""
    with opened(path, str(path), changed) as file:
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
            return _decompress(name, pieces, new_decompressor, (_zstd().ZstdError,) if magic == ZSTD else ())
    return pieces


def peek(pieces: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """At least so many bytes of the beginning, or all if there are fewer; and the pieces, beginning with these."""
    head = b""
    while len(head) < size and (piece := next(pieces, None)) is not None:
        head += piece
    return head, chain([head], pieces)


def _decompress(
    name: str, pieces: Iterator[bytes], new_decompressor: Callable[[], Any], more_errors: tuple[type[Exception], ...]
) -> Iterator[bytes]:
    """All streams of the content, one behind the other, in pieces of at most BLOCK bytes.

    A kilobyte of bzip2 can be a gigabyte; and Python's own readers drop what follows a damaged stream.
    """
    damaged = f"{name} is damaged or incomplete ({{}}); fetch it again."
    errors: tuple[type[Exception], ...] = (OSError, zlib.error, lzma.LZMAError, *more_errors)
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
            except errors as error:
                raise DataError(damaged.format(error)) from error
            if unpacked:
                yield unpacked
            # zlib hands back what it had no room for
            packed = decompressor.unused_data if decompressor.eof else getattr(decompressor, "unconsumed_tail", b"")
    if not decompressor.eof:
        raise DataError(damaged.format("it ends too early"))


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
    file: IO[bytes] = io.BytesIO()
    for piece in pieces:
        if isinstance(file, io.BytesIO) and file.tell() + len(piece) > SPOOLED:
            begun, file = file, cast(IO[bytes], tempfile.TemporaryFile(prefix="mlcore-"))  # noqa: SIM115
            file.write(begun.getbuffer())
        file.write(piece)
    file.seek(0)
    return file


def foreign_kind(head: bytes) -> str | None:
    """What a file that begins so is, and what to do with a table in it; None if it may be text."""
    return next((kind for begin, kind in FOREIGN.items() if re.match(begin, head)), None)


@contextmanager
def archive_errors(name: str) -> Iterator[None]:
    """Turn all that zipfile and tarfile raise for an archive that they cannot read into DataError."""
    try:
        yield
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f"{name} is damaged or cannot be unpacked here ({error}); fetch it again, or unpack it."
        ) from error


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files in a zip archive, without hidden ones and what macOS adds."""
    return [m for m in archive.infolist() if not re.search(r"/$|^__MACOSX/|(?:^|/)\.[^/]*$", m.filename)]


def _unzip(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    with spooled(pieces) as file, archive_errors(name):
        archive = zipfile.ZipFile(file)
        for member, kind in OFFICE.items():
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
        return chain((piece.removeprefix(codecs.BOM_UTF8) for piece in islice(pieces, 1)), pieces)
    decoder = codecs.getincrementaldecoder(encoding)("mlcore.marked")
    return _encoded(chain(map(decoder.decode, pieces), (decoder.decode(b"", True) for _ in "1")), encoding, name)


def _encoded(texts: Iterator[str], encoding: str, name: str) -> Iterator[bytes]:
    try:
        for text in texts:
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


def in_utf8(lines: bytes) -> Lines:
    """Whole lines as they are, but for bytes that are not UTF-8."""
    try:
        lines.decode()
        return Lines(lines, frozenset())
    except UnicodeDecodeError:
        texts, wrong = decode_lines(lines)
        return Lines("".join(f"{text}\n" for text in texts).encode(), wrong)


def decode_lines(content: bytes) -> Lines:
    """Texts of whole lines, each of which ends with a line feed, or with carriage returns before it."""
    content = content.replace(b"\r\n", b"\n")
    lines = (LINE_END.sub(b"\n", content) if b"\r\n" in content else content).split(b"\n")
    lines.pop()  # what follows the last line feed
    # line by line: most are ASCII, and one character of a larger text makes all of it slow
    texts = [line.decode(errors="replace") for line in lines]
    replaced = (i for i, text in enumerate(texts) if "\ufffd" in text)
    return Lines(texts, frozenset(i for i in replaced if texts[i].encode() != lines[i]))


def decode_arguments(texts: list[str]) -> Lines:
    """Texts from the command line; bytes that are not UTF-8 arrive there as surrogates."""
    decoded = [os.fsencode(text).decode(errors="replace") for text in texts]
    return Lines(decoded, frozenset(i for i, text in enumerate(decoded) if text != texts[i]))
