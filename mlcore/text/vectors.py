"""Word vectors: GloVe, word2vec's two formats, fastText's ``.vec`` and model2vec, read in little memory, and written.

In text, a line is a word and its numbers, separated by spaces or tabs; a first line ``count width`` may come before.
GloVe's largest files have words with spaces in them, so that the numbers are counted from the right.
"""

import codecs
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlcore.errors import DataError
from mlcore.files import STANDARD_STREAM, name_of
from mlcore.text.characters import read_characters
from mlcore.text.streams import ZIP, foreign_kind, read_pieces, whole_lines
from mlcore.text.tokenizer import TokenSpans
from mlcore.text.vocabulary import UNKNOWN, WordTable

BLOCK = 1 << 22  # bytes read at a time
HEAD = 1 << 12  # bytes from which the format is told
LONGEST_WORD = 1 << 16  # bytes, in the binary format
LONGEST_LINE = 1 << 24  # bytes: a file with longer ones is something else
ROWS = 4_096  # rows written at a time
EXPECTED = "vectors as text (GloVe, word2vec, fastText's .vec), word2vec's binary format, or a folder of model2vec"
MISSING, LOWER_CASED, EXACT = 0, 1, 2  # how a word was found


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of those words of a vocabulary that a file has; the rows of the others are 0."""

    source: str
    table: np.ndarray  # (v, d) float32
    found: np.ndarray  # (v,) bool
    lower_cased: np.ndarray  # (v,) bool: found, but only in another spelling, such as Paris for paris
    duplicates: int  # lines that were skipped because an earlier line has the same word of the vocabulary

    def coverage(self, counts: np.ndarray) -> "Coverage":
        """How much of the vocabulary, and of texts in which its words occur this often, has a vector.

        Shapes: counts (v,) or longer: what follows the words is ignored.
        """
        counts = counts[: len(self.found)]
        words, found, lower_cased = len(self.found), int(self.found.sum()), int(self.lower_cased.sum())
        return Coverage(words, found, lower_cased, int(counts.sum()), int(counts[self.found].sum()))

    def select(self, numbers: np.ndarray) -> "Vectors":
        """Vectors of the words with these numbers, in this order."""
        chosen = {name: getattr(self, name)[numbers] for name in ("table", "found", "lower_cased")}
        return replace(self, **chosen)

    def fingerprint(self) -> str:
        """SHA-256 of which words have a vector, and of these vectors, as hexadecimal digits."""
        digest = hashlib.sha256(np.packbits(self.found).tobytes())
        digest.update(np.ascontiguousarray(self.table[self.found], "<f4").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Coverage:
    """How many words of a vocabulary have vectors, and how many tokens of texts that consist of such words."""

    words: int
    words_found: int
    words_lower_cased: int
    tokens: int
    tokens_found: int


def read_vectors(
    path: Path, words: WordTable, dim: int, progress: Callable[[int], None] = lambda lines: None
) -> Vectors:
    """Read the vectors of these words from a file, which may be compressed, or a folder; ``-`` is standard input.

    A vector is for the word that is written there, or, if the vocabulary has no such word, for the same in lower case;
    the very word counts more than that, and of equal ones the first counts. Of other lines of text only the numbers
    are counted. ``progress`` is called with the number of vectors so far.

    Raises: DataError if the vectors have another width, or a line is wrong; OSError if the file cannot be read.
    """
    found = _Found(name_of(path), words, dim, progress)
    if path != STANDARD_STREAM and path.is_dir():
        _read_model2vec(path, found)
        return found.vectors()
    pieces = read_pieces(path, size=BLOCK)
    head = b""
    while len(head) < HEAD and (piece := next(pieces, None)):
        head += piece
    if head.startswith(ZIP) or head[257:262] == b"ustar":
        raise DataError(f"{found.name} contains several files; unpack it, and give one of them.")
    if kind := foreign_kind(head):
        raise DataError(f"{found.name} is {kind.partition(';')[0]}; expected {EXPECTED}.")
    if b"\0" in head and re.match(rb"\d+ +\d+ *\r?\n", head):
        _read_binary(chain([head], pieces), found)
    else:
        _read_text(chain([head], pieces), found)
    return found.vectors()


class _Found:
    """The vectors that have been found."""

    def __init__(self, name: str, words: WordTable, dim: int, progress: Callable[[int], None]) -> None:
        self.name, self.dim, self.n, self.duplicates = name, dim, 0, 0
        self.words, self._progress = words, progress
        self._table, self._how = np.zeros((len(words), dim), np.float32), np.full(len(words), MISSING, np.int8)

    def check_width(self, width: int, where: str = "") -> None:
        """Raises: DataError unless the vectors have as many numbers as the embedding."""
        if width != self.dim:
            problem = f"the vectors have {width:,} numbers, but the embedding has {self.dim:,}"
            raise DataError(f"{self.name}{where}: {problem}", suggestion={"dim": width})

    def take(self, tokens: list[bytes], ids: np.ndarray, rows: Callable[[np.ndarray], np.ndarray]) -> None:
        """Take vectors from the next ones, given which words they are for: ``rows`` gives those with these indices."""
        others = np.flatnonzero(ids == UNKNOWN)
        text = b"\n".join([*(tokens[i] for i in others.tolist()), b""])
        lower = np.full_like(ids, UNKNOWN)
        lower[others] = self.look_up(read_characters(text.decode("utf-8", "replace")).encode())
        for level, found in ((EXACT, ids), (LOWER_CASED, lower)):
            known = np.flatnonzero(found != UNKNOWN)
            new = np.zeros(len(known), bool)
            new[np.unique(found[known], return_index=True)[1]] = True
            new &= self._how[found[known]] < level  # unless found before, and as well
            self.duplicates += int(np.count_nonzero(~new)) if level == EXACT else 0
            known = known[new]
            self._table[found[known]] = rows(known)
            self._how[found[known]] = level

    def look_up(self, lines: bytes) -> np.ndarray:
        """The number of the word in each line."""
        return self.words.look_up_spans(TokenSpans.of_lines(np.frombuffer(lines, np.uint8)))

    def take_all(self, tokens: list[bytes], table: np.ndarray) -> None:
        """Take the vectors of these words. Shapes: table (n, d)."""
        ids = self.look_up(b"\n".join([*tokens, b""]))
        self.take(tokens, ids, lambda chosen: _finite(table[chosen].astype(np.float32), self.name))
        self.count(len(tokens))

    def count(self, vectors: int) -> None:
        """Note that so many more vectors have been read."""
        self.n += vectors
        self._progress(self.n)

    def vectors(self) -> Vectors:
        """All of them, or DataError if there are none."""
        if self.n == 0:
            raise DataError(f"{self.name} contains no vectors; expected a word and {self.dim} numbers in each line.")
        return Vectors(
            self.name, self._table, self._how != MISSING, self._how == LOWER_CASED, self.duplicates
        )  # fmt: skip


def _finite(rows: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(rows).all():
        raise DataError(f"{name} contains a number that is not finite.")
    return rows


def _incomplete(name: str, promised: int, found: int) -> DataError:
    begun = f"{name} is incomplete: its first line promises {promised:,} vectors, and there are {found:,}"
    return DataError(f"{begun}; fetch it again.")


def _read_text(pieces: Iterator[bytes], found: _Found) -> None:
    """Read lines of a word and its numbers."""
    name, dim, lines = found.name, found.dim, 0
    promised: int | None = None  # number of vectors, according to the first line
    for block in filter(None, whole_lines(pieces, name, LONGEST_LINE)):
        if lines == 0:
            block = block.removeprefix(codecs.BOM_UTF8)
            promised = _check_first_line(block, found)
            if promised is not None:
                block, lines = block.partition(b"\n")[2], 1
        data = np.frombuffer(block, np.uint8)
        starts, word_ends, numbers, ends = _split_lines(data, dim)
        for i in np.flatnonzero(word_ends < 0)[:1]:
            fields = max(len(block[starts[i] : ends[i]].split()) - 1, 0)
            raise DataError(
                f"{name}, line {lines + i + 1:,}: {fields} numbers follow the word; expected {dim}; "
                "if this is the last line, the file is incomplete: fetch it again."
            )
        ids = found.words.look_up_spans(TokenSpans.of_one_text(data, starts, word_ends))
        ids[word_ends == starts] = UNKNOWN  # blank lines, and vectors of the empty word
        tokens = [block[i:j] for i, j in zip(starts.tolist(), word_ends.tolist(), strict=True)]

        def rows(chosen: np.ndarray) -> np.ndarray:
            texts = [block[numbers[i] : ends[i]] for i in chosen.tolist()]  # noqa: B023, called at once
            return _parse(texts, dim, name, lines + 1 + chosen)  # noqa: B023

        found.take(tokens, ids, rows)
        lines += len(ends)
        found.count(int(np.count_nonzero(numbers < ends)))
    if promised is not None and 0 < found.n < promised:
        raise _incomplete(name, promised, found.n)


def _check_first_line(block: bytes, found: _Found) -> int | None:
    """Number of vectors if the first line is a header; refuse vectors of another width, going by this line."""
    first, _, _ = block.partition(b"\n")
    fields, promised, dim = first.split(), None, found.dim
    if len(fields) == 2 and all(map(_is_count, fields)) and (dim > 1 or fields[1] == b"1"):
        promised, width = int(fields[0]), int(fields[1])
    else:
        width = next((n for n in range(len(fields)) if not _is_number(fields[-1 - n])), len(fields) - 1)
    if width < 1:
        raise DataError(
            f"{found.name}, line 1: expected a word and {dim} numbers, separated by spaces (GloVe, word2vec or "
            "fastText's .vec)."
        )
    found.check_width(width, ", line 1")
    return promised


def _is_count(field: bytes) -> bool:
    return field.isdigit() and len(field) < 12


def _read_binary(pieces: Iterator[bytes], found: _Found) -> None:
    """Read word2vec's binary format: ``count width``, then each word, a space and its numbers as float32.

    A line feed may follow the numbers.
    """
    data = b""
    for piece in pieces:
        data += piece
        if b"\n" in data:
            break
    first, _, data = data.partition(b"\n")
    promised, width = map(int, first[:40].split())
    found.check_width(width)
    size, left = 4 * width, promised
    for piece in chain([b""], pieces):
        data, at = data + piece, 0
        tokens, numbers = list[bytes](), list[bytes]()
        while left and (space := data.find(b" ", at, at + LONGEST_WORD)) >= 0 and space + 1 + size <= len(data):
            tokens.append(data[at:space].lstrip(b"\n"))
            numbers.append(data[space + 1 : space + 1 + size])
            at, left = space + 1 + size, left - 1
        if left and len(data) - at > LONGEST_WORD + size:
            raise DataError(f"{found.name}: the word of vector {promised - left + 1:,} does not end.")
        data = data[at:]
        if tokens:
            clean = [b"" if b"\n" in token else token for token in tokens]
            found.take_all(clean, np.frombuffer(b"".join(numbers), "<f4").reshape(len(tokens), width))
    if left:
        raise _incomplete(found.name, promised, promised - left)


def _read_model2vec(folder: Path, found: _Found) -> None:
    """Read a folder of model2vec: ``model.safetensors`` with the tensor embeddings, and ``tokenizer.json``."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / "model.safetensors", "numpy") as file:
            table = np.asarray(file.get_tensor("embeddings"))
        vocabulary = json.loads((folder / "tokenizer.json").read_bytes())["model"]["vocab"]
        if isinstance(vocabulary, list):  # of pairs: a token and its score
            vocabulary = {token: number for number, (token, *_) in enumerate(vocabulary)}
        numbers = np.array([*dict(vocabulary).values()], np.int64)
        tokens = [token.encode("utf-8", "surrogatepass").replace(b"\n", b"") for token in vocabulary]
        if table.ndim != 2 or len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(table):
            raise ValueError("the vocabulary and the embeddings do not fit together")
    except (FileNotFoundError, SafetensorError, ValueError, TypeError, LookupError, RecursionError) as error:
        expected = "expected a model of model2vec: model.safetensors with embeddings, and tokenizer.json"
        raise DataError(
            f"{folder} is a folder without vectors that can be read ({str(error).rstrip('.')}); {expected}."
        ) from error
    found.check_width(table.shape[1])
    found.take_all(tokens, table[numbers])


def _split_lines(data: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where each line begins, its word ends, its ``dim`` numbers begin (counted from the right), and it ends: (n,).

    The word is empty, and ends where the line begins, in a blank line, whose numbers begin at its end, and where a
    space comes before ``dim`` numbers. With fewer numbers it "ends" before the line.
    """
    ends = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([[0], ends + 1])[:-1]
    space = (data == ord(" ")) | ((data >= 9) & (data <= 13))
    edges = np.flatnonzero(np.diff(space, prepend=True))
    begins, stops = edges[::2], edges[1::2]  # of fields
    after = np.searchsorted(begins, ends)  # the field that follows the line
    fields = np.diff(after, prepend=0)
    word_ends, numbers = np.where(fields == 0, starts, -1), ends.copy()
    full = np.flatnonzero(fields >= dim)
    numbers[full] = begins[after[full] - dim]
    word_ends[full] = np.where(numbers[full] > starts[full], starts[full], -1)
    longer = np.flatnonzero(fields > dim)
    word_ends[longer] = stops[after[longer] - dim - 1]
    return starts, word_ends, numbers, ends


def _parse(texts: list[bytes], dim: int, name: str, lines: np.ndarray) -> np.ndarray:
    """Numbers of these texts, which are in these lines of the file: (n, d) float32."""
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused below
        try:
            rows = np.array(list(map(float, b" ".join(texts).split()))).astype(np.float32)
        except ValueError:
            rows = np.array([np.nan])  # find out below which one it is
    if not np.isfinite(rows).all():
        fields = ((line, field) for line, text in zip(lines, texts, strict=True) for field in text.split())
        line, wrong = next((line, field) for line, field in fields if not _is_number(field))
        shown = wrong[:40].decode(errors="replace")
        raise DataError(f"{name}, line {line:,}: {shown!r} is not a finite number that float32 can hold.")
    return rows.reshape(len(texts), dim)


def _is_number(field: bytes) -> bool:
    """Whether the field is a number that float32 can hold."""
    with suppress(ValueError), np.errstate(over="ignore"):
        return bool(np.isfinite(np.float32(float(field))))
    return False


def write_vectors(words: WordTable, table: np.ndarray, file: BinaryIO) -> None:
    """Write words with their rows in word2vec's text format, in digits from which float32 gets the same numbers back.

    Shapes: table (v, d) float32, of which the first len(words) rows are written.

    Raises: OSError if the file cannot be written.
    """
    names = words.words
    form = "%s" + " %.9g" * table.shape[1] + "\n"  # nine digits also suffice for readers that round to float64 first
    file.write(f"{len(names)} {table.shape[1]}\n".encode())
    for start in range(0, len(names), ROWS):
        rows = zip(names[start : start + ROWS], table[start : start + ROWS].tolist(), strict=False)
        file.write("".join(form % (name, *row) for name, row in rows).encode())
