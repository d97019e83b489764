"""Word vectors in text: GloVe, word2vec's text format and fastText's ``.vec``, read in little memory, and written.

A line is a word and its numbers, separated by spaces or tabs; a first line ``count width`` may come before. GloVe's
largest files have words with spaces in them, so that the numbers are counted from the right.
"""

import codecs
import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlcore.errors import DataError
from mlcore.text.characters import read_characters
from mlcore.text.streams import name_of, read_pieces, whole_lines
from mlcore.text.tokenizer import TokenSpans
from mlcore.text.vocabulary import UNKNOWN, WordTable

BLOCK = 1 << 22  # bytes read at a time
LONGEST_LINE = 1 << 24  # bytes: a file with longer ones is something else
ROWS = 4_096  # rows written at a time
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
    line with the very word counts more than that, and of equal ones the first counts. Of other lines only the numbers
    are counted. ``progress`` is called with the number of vectors so far.

    Raises: DataError if the vectors have another width, or a line is wrong; OSError if the file cannot be read.
    """
    name, lines, vectors, duplicates = name_of(path), 0, 0, 0
    promised: int | None = None  # number of vectors, according to the first line
    table, how = np.zeros((len(words), dim), np.float32), np.full(len(words), MISSING, np.int8)
    for block in filter(None, whole_lines(read_pieces(path, BLOCK), name, LONGEST_LINE)):
        if lines == 0:
            block = block.removeprefix(codecs.BOM_UTF8)
            promised = _check_first_line(block, dim, name)
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
        ids = words.look_up_spans(TokenSpans.of_one_text(data, starts, word_ends))
        ids[word_ends == starts] = UNKNOWN  # blank lines, and vectors of the empty word
        others = np.flatnonzero((ids == UNKNOWN) & (word_ends > starts))
        lower = np.full_like(ids, UNKNOWN)
        tokens = [block[i:j] for i, j in zip(starts[others].tolist(), word_ends[others].tolist(), strict=True)]
        text = read_characters(b"\n".join([*tokens, b""]).decode("utf-8", "replace"))
        folded = np.frombuffer(text.encode(), np.uint8)
        lower[others] = words.look_up_spans(TokenSpans.of_lines(folded))
        for level, found in ((EXACT, ids), (LOWER_CASED, lower)):
            known = np.flatnonzero(found != UNKNOWN)
            new = np.zeros(len(known), bool)
            new[np.unique(found[known], return_index=True)[1]] = True
            new &= how[found[known]] < level  # unless found before, and as well
            duplicates += int(np.count_nonzero(~new)) if level == EXACT else 0
            known = known[new]
            texts = [block[numbers[i] : ends[i]] for i in known.tolist()]
            table[found[known]] = _parse(texts, dim, name, lines + 1 + known)
            how[found[known]] = level
        lines += len(ends)
        vectors += int(np.count_nonzero(numbers < ends))
        progress(vectors)
    if vectors == 0:
        raise DataError(f"{name} contains no vectors; expected a word and {dim} numbers in each line.")
    if promised is not None and vectors < promised:
        raise DataError(
            f"{name} is incomplete: its first line promises {promised:,} vectors, and there are {vectors:,}; "
            "fetch it again."
        )
    return Vectors(name, table, how != MISSING, how == LOWER_CASED, vectors, duplicates)


def _check_first_line(block: bytes, dim: int, name: str) -> int | None:
    """Number of vectors if the first line is a header; refuse vectors of another width, going by this line."""
    first, _, rest = block.partition(b"\n")
    fields, promised = first.split(), None
    if len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit() and (dim > 1 or fields[1] == b"1"):
        promised, width = int(fields[0]), int(fields[1])
        if b"\0" in rest:
            raise DataError(
                f"{name} is in word2vec's binary format; convert it to text, for example with gensim: "
                "load_word2vec_format(..., binary=True), then save_word2vec_format(...)."
            )
    else:
        width = next((n for n in range(len(fields)) if not _is_number(fields[-1 - n])), len(fields) - 1)
    if width < 1:
        raise DataError(
            f"{name}, line 1: expected a word and {dim} numbers, separated by spaces (GloVe, word2vec's text format or "
            "fastText's .vec)."
        )
    if width != dim:
        problem = f"the vectors have {width:,} numbers, but the embedding has {dim:,}"
        raise DataError(f"{name}, line 1: {problem}", suggestion={"dim": width})
    return promised


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
