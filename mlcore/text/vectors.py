"""Word vectors in text: GloVe, word2vec's text format and fastText's ``.vec``, read in little memory, and written.

A line is a word and its numbers, separated by spaces or tabs; a first line ``count width`` may come before. GloVe's
largest files have words with spaces in them, so that the numbers are counted from the right.
"""

import codecs
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlcore.errors import DataError
from mlcore.kernels.compiling import kernel
from mlcore.text.streams import name_of, read_pieces, whole_lines
from mlcore.text.tokenizer import TokenSpans
from mlcore.text.vocabulary import UNKNOWN, WordTable

BLOCK = 1 << 22  # bytes read at a time
LONGEST_LINE = 1 << 24  # bytes: a file with longer ones is something else
ROWS = 4_096  # rows written at a time
FEW_DIGITS = "U16"  # NumPy's shortest text of a float32 number, such as -1.2345678e-10, has less
MISSING, LOWER_CASED, EXACT = 0, 1, 2  # how a word was found


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of those words of a vocabulary that a file has; the rows of the others are 0."""

    source: str
    table: np.ndarray  # (v, d) float32
    found: np.ndarray  # (v,) bool
    lower_cased: np.ndarray  # (v,) bool: found, but only in another spelling, such as Paris for paris
    lines: int  # vectors in the file
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
    """Read the vectors of these words from a file, which may be compressed; ``-`` is standard input.

    A line is for the word that is written there, or, if the vocabulary has no such word, for the same in lower case; a
    line with the very word counts more than that, and of equal ones the first counts. Only the lines of known words
    are parsed: what other lines contain, such as bytes that are not UTF-8, does not matter if they have enough numbers.
    ``progress`` is called with the number of vectors so far.

    Raises: DataError if the vectors have another width, or a line is wrong; OSError if the file cannot be read.
    """
    reader = _Reader(name_of(path), words, dim)
    for block in filter(None, whole_lines(read_pieces(path, BLOCK), reader.name, LONGEST_LINE)):
        reader.take(block)
        progress(reader.vectors)
    return reader.result()


class _Reader:
    """Takes blocks of lines, and keeps what they say about the words."""

    def __init__(self, name: str, words: WordTable, dim: int) -> None:
        self.name, self.words, self.dim = name, words, dim
        self.table = np.zeros((len(words), dim), np.float32)
        self.how = np.full(len(words), MISSING, np.int8)
        self.lines = self.vectors = self.duplicates = 0
        self.promised: int | None = None  # number of vectors, according to the first line

    def take(self, block: bytes) -> None:
        """Keep the vectors of known words in a block of whole lines."""
        if self.lines == 0:
            block = block.removeprefix(codecs.BOM_UTF8)
            block = block[self._take_header(block) :]
        data = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(data == ord("\n"))
        starts, token_ends, numbers = (np.empty_like(ends) for _ in range(3))
        split_lines(data, ends, self.dim, starts, token_ends, numbers)
        if (short := np.flatnonzero(token_ends < 0)).size:
            fields = max(len(block[starts[short[0]] : ends[short[0]]].split()) - 1, 0)
            raise DataError(
                f"{self._place(short[0])}: {fields} numbers follow the word; expected {self.dim}; "
                "if this is the last line, the file is incomplete: fetch it again."
            )
        ids = self.words.look_up_spans(TokenSpans.of_one_text(data, starts, token_ends))
        ids[token_ends == starts] = UNKNOWN  # blank lines, and vectors of the empty word
        self._keep(block, ids, EXACT, numbers, ends)
        others = np.flatnonzero(ids == UNKNOWN)
        marks = np.empty(len(others), bool)
        mark_upper_case(data, starts[others], token_ends[others], marks)
        others = others[marks]
        ids = np.full_like(ids, UNKNOWN)
        ids[others] = self.words.look_up_spans(_lower_cased(block, starts[others], token_ends[others]))
        self._keep(block, ids, LOWER_CASED, numbers, ends)
        self.lines += len(ends)
        self.vectors += int(np.count_nonzero(numbers < ends))

    def _take_header(self, block: bytes) -> int:
        """Length of the header; refuse vectors of another width, going by the first one."""
        first, _, rest = block.partition(b"\n")
        fields, length = first.split(), 0
        if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit() and (self.dim > 1 or fields[1] == b"1"):
            width, self.promised = int(fields[1]), int(fields[0])
            self.lines, length = 1, len(first) + 1
            if b"\0" in rest[:BLOCK]:
                raise DataError(
                    f"{self.name} is in word2vec's binary format; convert it to text, for example with gensim: "
                    "load_word2vec_format(..., binary=True), then save_word2vec_format(...)."
                )
        else:
            width = next((n for n in range(len(fields)) if not _is_number(fields[-1 - n])), len(fields) - 1)
        if width < 1:
            raise DataError(
                f"{self.name}, line 1: expected a word and {self.dim} numbers, separated by spaces (GloVe, word2vec's "
                "text format or fastText's .vec)."
            )
        if width != self.dim:
            problem = f"the vectors have {width:,} numbers, but the embedding has {self.dim:,}"
            raise DataError(f"{self.name}, line 1: {problem}", suggestion={"dim": width})
        return length

    def _keep(self, block: bytes, ids: np.ndarray, how: int, numbers: np.ndarray, ends: np.ndarray) -> None:
        """Parse the lines of these words, unless they have been found already, and as well."""
        lines = np.flatnonzero(ids != UNKNOWN)
        new = np.zeros(len(lines), bool)
        new[np.unique(ids[lines], return_index=True)[1]] = True
        new &= self.how[ids[lines]] < how
        if how == EXACT:
            self.duplicates += int(np.count_nonzero(~new))
        lines = lines[new]
        if len(lines):
            self.table[ids[lines]] = self._parse(block, lines, numbers, ends)
            self.how[ids[lines]] = how

    def _parse(self, block: bytes, lines: np.ndarray, numbers: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Numbers of these lines: (lines, d) float32."""
        texts = [block[start:end] for start, end in zip(numbers[lines].tolist(), ends[lines].tolist(), strict=True)]
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused below
            try:
                rows = np.array(list(map(float, b" ".join(texts).split()))).astype(np.float32)
            except ValueError:
                rows = np.array([np.nan])  # find out below which one it is
        if not np.isfinite(rows).all():
            line, field = next((i, field) for i, text in zip(lines, texts, strict=True)
                               for field in text.split() if not _is_number(field))  # fmt: skip
            shown = field[:40].decode(errors="replace")
            raise DataError(f"{self._place(line)}: {shown!r} is not a finite number that float32 can hold.")
        return rows.reshape(len(lines), self.dim)

    def _place(self, line: int) -> str:
        return f"{self.name}, line {self.lines + int(line) + 1:,}"

    def result(self) -> Vectors:
        """What was found."""
        if self.vectors == 0:
            raise DataError(f"{self.name} contains no vectors; expected a word and {self.dim} numbers in each line.")
        if self.promised is not None and self.vectors < self.promised:
            raise DataError(
                f"{self.name} is incomplete: its first line promises {self.promised:,} vectors, and there are "
                f"{self.vectors:,}; fetch it again."
            )
        found = self.how != MISSING
        return Vectors(self.name, self.table, found, self.how == LOWER_CASED, self.vectors, self.duplicates)


def _is_number(field: bytes) -> bool:
    """Whether the field is a number that float32 can hold."""
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float32(float(field))))
    except ValueError:
        return False


def _lower_cased(block: bytes, starts: np.ndarray, ends: np.ndarray) -> TokenSpans:
    """The tokens in lower case; bytes that are not UTF-8 stay what they are."""
    tokens = [block[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    lower = b"\n".join([*tokens, b""]).decode("utf-8", "surrogateescape").lower().encode("utf-8", "surrogateescape")
    return TokenSpans.of_lines(np.frombuffer(lower, np.uint8))


def write_vectors(words: WordTable, table: np.ndarray, file: BinaryIO) -> None:
    """Write words with their rows in word2vec's text format, in digits from which float32 gets the same numbers back.

    Shapes: table (v, d) float32, of which the first len(words) rows are written.

    Raises: OSError if the file cannot be written.
    """
    names = words.words
    file.write(f"{len(names)} {table.shape[1]}\n".encode())
    for start in range(0, len(names), ROWS):
        rows = np.asarray(table[start : min(start + ROWS, len(names))], np.float32)
        digits = zip(names[start : start + ROWS], shortest_digits(rows), strict=True)
        file.write("".join(f"{name} {' '.join(row)}\n" for name, row in digits).encode())


def shortest_digits(rows: np.ndarray) -> list[list[str]]:
    """Decimal digits from which each float32 number is read back exactly: as few as NumPy finds: (n, d) -> n lists.

    Readers parse float64 and round once more; where that does not lead back, all digits of float64 are given.
    """
    digits = rows.astype(FEW_DIGITS)
    wrong = digits.astype(np.float64).astype(np.float32) != rows
    if wrong.any():
        digits = digits.astype("U32")
        digits[wrong] = [repr(number) for number in rows[wrong].tolist()]
    return digits.tolist()  # type: ignore[no-any-return]


@kernel
def split_lines(data, ends, dim, starts, token_ends, numbers):
    """Find the word and the ``dim`` numbers of each line, counted from the right: overwrite the last three.

    Line i goes from starts[i] to ends[i], its word from starts[i] to token_ends[i], its numbers from numbers[i] to
    ends[i]. token_ends is -1 where there are fewer numbers. A line without anything in it, or with numbers behind a
    space and no word, has an empty word; without anything, its numbers begin at its end.

    Shapes: data (bytes,), ends (n,) of the lines -> starts, token_ends and numbers (n,).
    """
    start = 0
    for line in range(ends.shape[0]):
        place = ends[line]
        while place > start and is_space(data[place - 1]):
            place -= 1
        starts[line] = start
        token_ends[line] = start
        numbers[line] = ends[line]
        if place > start:
            fields = 0
            while fields < dim and place > start:
                while place > start and not is_space(data[place - 1]):
                    place -= 1
                fields += 1
                first = place
                while place > start and is_space(data[place - 1]):
                    place -= 1
            numbers[line] = first
            token_ends[line] = place if fields == dim and first > start else -1
        start = ends[line] + 1


@kernel
def is_space(byte):
    """Whether the byte separates fields, as ``bytes.split`` sees it."""
    return byte == 32 or 9 <= byte <= 13


@kernel
def mark_upper_case(data, starts, ends, marks):
    """Whether a token may have another form in lower case, for it has A to Z or more than ASCII: overwrite marks.

    Shapes: data (bytes,), starts and ends (t,) -> marks (t,) bool.
    """
    for t in range(starts.shape[0]):
        marks[t] = False
        for i in range(starts[t], ends[t]):
            if data[i] >= 128 or 65 <= data[i] <= 90:
                marks[t] = True
                break
