"""Texts in files whose folders are named after their labels: in a folder, a tar archive or a zip archive."""

import os
import re
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self, cast

from mlcore.errors import DataError
from mlcore.text.streams import ZIP, archive_errors, as_utf8, marked_encoding, members, opened, spooled
from mlcore.text.table import FEW, SPLIT_OF, Row, Source, Table

UNLABELLED = "unsup"  # the folder of aclImdb that holds texts without labels
LAYOUT = "LABEL/*.txt, or train, dev and test with LABEL/*.txt in each (as in aclImdb)"
SUFFIXES = {"", ".txt", ".text", ".md", ".eml", ".html", ".htm", ".xml", ".rst", ".tex", ".log", ".msg", ".utf8"}
TABLES = {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".xls", ".xlsx"}
NUMBERED = re.compile(r"\.(\d+|[0-9a-f]{8,})")  # what names end with in 20 Newsgroups, and in SpamAssassin's corpus
MAX_DEPTH = 4  # of names in the path of a text below the folder: aclImdb/train/pos/0_9.txt
MAX_TEXT = 50_000_000  # bytes of a file
MAX_HEADER = 1 << 20  # bytes of a long name in a tar archive

Load = Callable[[PurePosixPath], bytes]


def read_folder(folder: Path, source: Source) -> Table:
    """Texts of a folder for each label, sorted by their paths."""
    paths: list[PurePosixPath] = []

    def refuse(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        here = PurePosixPath(Path(place).relative_to(folder).as_posix())
        if len(here.parts) == MAX_DEPTH - 1:
            folders.clear()
        folders[:] = [name for name in folders if name != UNLABELLED and not name.startswith(".")]
        paths += (here / name for name in names)

    def load(path: PurePosixPath) -> bytes:
        status = os.stat(folder / path)
        if not stat.S_ISREG(status.st_mode):  # nobody may write to a pipe
            raise DataError(f"{folder / path} is not a regular file; remove it from the folder.")
        with opened(Path(folder / path), source.name, source.notes.guesses.append) as file:
            _check_size(status.st_size, str(folder / path))
            return file.read()

    source.joint = "/"
    source.prefix = f"{folder.as_posix().rstrip('/')}/"
    return _table(paths, load, source, nullcontext())


class _CheckedHeader(tarfile.TarInfo):
    """Header of a member: tarfile takes a damaged one, if it is not the first, for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: Any) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.count(0) == tarfile.BLOCKSIZE:  # this is how an archive ends
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.type not in tarfile.REGULAR_TYPES and header.size > MAX_HEADER:  # it would be read at once
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


def read_archive(pieces: Iterator[bytes], source: Source) -> Table:
    """The same from a tar or zip archive, in the same order, without unpacking it to disk."""
    file = spooled(pieces)
    zipped = file.read(len(ZIP)) == ZIP
    file.seek(0)
    with archive_errors(source.name):
        found: dict[PurePosixPath, tuple[int, Callable[[], bytes]]] = {}
        if zipped:
            archive = zipfile.ZipFile(file)
            for member in members(archive):
                path = PurePosixPath(member.filename.replace("\\", "/"))
                found[path] = member.file_size, partial(archive.read, member)
        else:
            tar = tarfile.open(fileobj=file, mode="r:", tarinfo=_CheckedHeader)  # noqa: SIM115
            for entry in filter(tarfile.TarInfo.isfile, tar):
                found[PurePosixPath(entry.name)] = entry.size, partial(_read_tarred, tar, file, entry)

    def load(path: PurePosixPath) -> bytes:
        size, read = found[path]
        _check_size(size, f"{source.name}, {path}")
        with archive_errors(source.name):
            return read()

    return _table(found, load, source, file)


def _read_tarred(tar: tarfile.TarFile, file: IO[bytes], entry: tarfile.TarInfo) -> bytes:
    """The content of a member, read where it lies: tarfile makes three objects for each, which takes longer."""
    if entry.issparse():
        with cast(IO[bytes], tar.extractfile(entry)) as pieces:
            return pieces.read()
    file.seek(entry.offset_data)
    content = file.read(entry.size)
    if len(content) < entry.size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def _check_size(size: int, name: str) -> None:
    if size > MAX_TEXT:
        raise DataError(f"{name} has {size:,} bytes; is it a text?")


def _may_be_text(path: PurePosixPath) -> bool:
    """Whether this may be a labelled text: neither a hidden file, nor one of aclImdb's without labels."""
    name, suffix = f"/{path}", path.suffix.lower()
    suffix = "" if NUMBERED.fullmatch(suffix) else suffix
    return suffix in SUFFIXES and "/." not in name and f"/{UNLABELLED}/" not in name


def _table(paths: Iterable[PurePosixPath], load: Load, source: Source, file: AbstractContextManager[Any]) -> Table:
    """The texts with the labels, and the splits if there are any, that their folders are named after."""
    paths, source.unit = sorted(paths), ""
    if not paths:
        expected = LAYOUT if source.labelled else "files of texts"
        raise DataError(f"{source.name} has no files, or only more than {MAX_DEPTH} levels deep; expected {expected}.")
    tables = [path for path in paths if path.suffix.lower() in TABLES and not path.name.startswith(".")]
    paths = [path for path in paths if len(path.parts) > 1 or not source.labelled]
    texts = [path for path in paths if path.name.lower().endswith(".txt") and _may_be_text(path)]
    texts = texts or [path for path in paths if _may_be_text(path)]  # beside .txt, others are about them
    if not texts or (tables and source.labelled and len({path.parts[-2] for path in texts}) == 1):
        expected = f"texts in folders named after their labels; expected {LAYOUT}"
        problem = f"{source.name} has no {expected if source.labelled else 'files of texts, such as *.txt'}"
        such = "; files of texts and of their labels can be joined: paste LABELS TEXTS > new.tsv" * source.labelled
        if tables:
            tables.sort(key=lambda path: path.suffix == ".json")  # which may only describe the others
            such = f", such as {', '.join(map(str, tables[:FEW]))}, or alone in a zip archive"
        raise DataError(f"{problem}; a table has to be given as a file{such}.")
    splits = _splits({path.parts[-3] for path in texts if len(path.parts) > 2})
    with_split = [path for path in texts if len(path.parts) > 2 and path.parts[-3] in splits]
    if source.labelled and not with_split and all(SPLIT_OF.get(path.parts[-2].lower()) for path in texts):
        raise DataError(f"{source.name} has folders for splits, and none for labels in them; expected {LAYOUT}.")
    depth = 3 if with_split else 2
    above = next(iter(with_split), max(texts, key=lambda path: len(path.parts))).parts[:-depth]
    found = texts if not source.labelled else [path for path in with_split or texts if path.parts[:-depth] == above]
    for path in sorted({*texts}.difference(found)):
        folder = path.parts[:-1]
        # a README may lie on the way to the labels' folders, or beside them
        if folder != above[: len(folder)] and not (folder[:-1] == above and folder[-1] in splits):
            raise DataError(f"{source.name} has {path}, whose label cannot be told; expected {LAYOUT}.")
    folders, used, depth = {path.parts[:-1] for path in found}, {*texts}, len(found[0].parts)
    others = [p for p in paths if p not in used and not p.name.startswith(".")]
    beside = [p for p in others if p.parts[:-1] in folders or (len(p.parts) == depth and _may_be_text(p))]
    others = beside if source.labelled else others
    for kind, count in Counter(path.suffix for path in others).items():
        source.note_skipped(f"files {kind or 'without a suffix'} among the texts", count)

    def rows() -> Iterator[Row]:
        with file:
            for path in found:
                content = load(path)
                source.encoding = source.layout.encoding or marked_encoding(content)
                name = f"{source.name}{source.joint}{path}"
                text = source.decoded(b"".join(as_utf8(iter([content]), source.encoding, name)), str(path))
                parts = ("", "", *path.parts)
                yield str(path), (str(path), text, parts[-2], splits.get(parts[-3], ""))

    return Table(source, ["file", "text", "label", "split"], rows())


def _splits(folders: Collection[str]) -> dict[str, str]:
    """The splits that some of these folders are named after: train, or if all have such ends x-train and x-test."""
    named = {folder: SPLIT_OF.get(folder.lower()) for folder in folders}
    ends = {folder: SPLIT_OF.get(re.split("[-_. ]", folder.lower())[-1]) for folder in folders}
    if not any(named.values()) and all(ends.values()) and len({*ends.values()}) > 1:
        named = ends
    return {folder: split for folder, split in named.items() if split}
