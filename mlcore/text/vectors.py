"""Word vectors: GloVe, word2vec's two formats, fastText's ``.vec`` and model2vec, read in little memory, and written.

In text, a line is a word and its numbers, separated by spaces or tabs; a first line ``count width`` may come before.
GloVe's largest files have words with spaces in them, so that the numbers are counted from the right.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, takewhile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlcore.errors import DataError, counted
from mlcore.files import STANDARD_STREAM, name_of
from mlcore.text.characters import read_characters
from mlcore.text.streams import BLOCK, ZIP, as_utf8, foreign_kind, marked_encoding, peek, read_pieces, whole_lines
from mlcore.text.tokenizer import TokenSpans
from mlcore.text.vocabulary import UNKNOWN, WordTable

HEAD = 1 << 12  # bytes from which the format is told
LONGEST_WORD = 1 << 16  # bytes, in the binary format
LONGEST_LINE = 1 << 24  # bytes: a file with longer ones is something else
WIDEST = 10_000  # numbers of a vector
LARGEST = float(np.finfo(np.float32).max)
ROWS = 4_096  # rows written at a time
EXPECTED = "vectors as text (GloVe, word2vec, fastText's .vec), word2vec's binary format, or a folder of model2vec"
HEADER = rb"\s*(\d{1,11})\s+(\d{1,11})\s*"  # number of vectors, and their width
BINARY_HEADER = rb"(\d{1,11}) +(\d{1,11}) *\r?\n"
LANGUAGE = re.compile(rb"^/c/[a-z]+/", re.MULTILINE)  # how the words of ConceptNet Numberbatch begin
FIRST_LINES = 10  # whose most usual width is that of all, as a word may end with a number
WHITE_SPACE = bytes.maketrans(b"\t\r\v\f", b"    ")
MISSING, LOWER_CASED, EXACT = 0, 1, 2  # how a word was found

Block = tuple[list[bytes], Callable[[np.ndarray], np.ndarray]]  # words, and the vectors of those with these indices
Opened = tuple[int, int, Iterator[Block]]  # how many vectors are promised, their width, and they themselves


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of those words of a vocabulary that a file has."""

    source: str
    table: np.ndarray  # (m, d) float32
    rows: np.ndarray  # (v,) int32 row of each word in the table, UNKNOWN if it has none
    lower_cased: np.ndarray  # (v,) bool: found, but only in another spelling, such as Paris for paris
    duplicates: int  # lines that were skipped because an earlier line has the same word of the vocabulary

    @property
    def found(self) -> np.ndarray:
        """Which words have a vector: (v,) bool."""
        return np.asarray(self.rows != UNKNOWN)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of words, and the width of the vectors."""
        return len(self.rows), self.table.shape[1]

    def of_found(self) -> np.ndarray:
        """The vectors of the words that have one, in the order of the words: (f, d) float32."""
        return np.asarray(self.table[self.rows[self.found]])

    def coverage(self, counts: np.ndarray) -> "Coverage":
        """How much of the vocabulary, and of texts in which its words occur this often, has a vector.

        Shapes: counts (v,) or longer: what follows the words is ignored.
        """
        found, counts = self.found, counts[: len(self.rows)]
        words, words_found, lower_cased = len(found), int(found.sum()), int(self.lower_cased.sum())
        return Coverage(words, words_found, lower_cased, int(counts.sum()), int(counts[found].sum()))

    def select(self, numbers: np.ndarray) -> "Vectors":
        """Vectors of the words with these numbers, in this order."""
        return replace(self, rows=self.rows[numbers], lower_cased=self.lower_cased[numbers])

    def fingerprint(self) -> str:
        """SHA-256 of which words have a vector, and of these vectors, as hexadecimal digits."""
        digest = hashlib.sha256(np.packbits(self.found).tobytes())
        digest.update(np.ascontiguousarray(self.of_found(), "<f4").tobytes())
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
    path: Path, words: WordTable, dim: int | None = None, progress: Callable[[int], None] = lambda lines: None
) -> Vectors:
    """Read the vectors of these words from a file, which may be compressed, or a folder; ``-`` is standard input.

    A vector is for the word that is written there, or, if the vocabulary has no such word, for the same in lower case;
    the very word counts more than that, and of equal ones the first counts. Of other lines of text only the numbers
    are counted. ``dim``: the width that is expected; None takes any. ``progress`` is called with the number of vectors
    so far.

    Raises: DataError if the vectors have another width, or a line is wrong; OSError if the file cannot be read.
    """
    name, n, filled, duplicates, languages = name_of(path), 0, 0, 0, set[bytes]()
    promised, width, blocks = _open(path, name, dim)
    if dim and width != dim:
        problem = f"{name} has vectors of {counted(width, 'number')}, but the embedding has {dim:,}"
        raise DataError(problem, suggestion={"dim": width})
    if not 1 <= width <= WIDEST:
        raise DataError(f"{name} has vectors of {counted(width, 'number')}; expected 1 to {WIDEST:,}.")
    table = np.empty((len(words), width), np.float32)  # only rows that are filled take memory
    rows, how = np.full(len(words), UNKNOWN, np.int32), np.full(len(words), MISSING, np.int8)
    for tokens, vectors_of in blocks:
        written = b"\n".join([*tokens, b""])
        if languages or (n == 0 and LANGUAGE.match(written)):  # the first word decides for all
            languages.update(LANGUAGE.findall(written))
            written = LANGUAGE.sub(b"", written)
        if len(languages) > 1:
            shown = " and ".join(sorted(map(bytes.decode, languages)))
            raise DataError(f"{name} has words of several languages ({shown}); keep the lines of one, as with grep.")
        folded = read_characters(written.decode("utf-8", "replace")).encode()
        for level, lines in ((EXACT, written), (LOWER_CASED, folded)):
            ids = words.look_up_spans(TokenSpans.of_lines(np.frombuffer(lines, np.uint8)))
            known = np.flatnonzero(ids != UNKNOWN)
            new = known[np.unique(ids[known], return_index=True)[1]]
            new = new[how[ids[new]] < level]  # unless found before, and as well
            duplicates += (len(known) - len(new)) * (level == EXACT)
            first = ids[new][how[ids[new]] == MISSING]
            rows[first] = np.arange(filled, filled + len(first))
            filled += len(first)
            table[rows[ids[new]]], how[ids[new]] = vectors_of(new), level
        n += len(tokens)
        progress(n)
    if n < promised:
        begun = f"{name} is incomplete: its first line promises {promised:,} vectors, and there are {n:,}"
        raise DataError(f"{begun}; fetch it again.")
    if n == 0:
        raise DataError(f"{name} contains no vectors.")
    return Vectors(name, table[:filled], rows, how == LOWER_CASED, duplicates)


def _open(path: Path, name: str, dim: int | None) -> Opened:
    """The vectors of a file or folder; those of the empty word are for none."""
    if path != STANDARD_STREAM and path.is_dir():
        return _open_model2vec(path)
    head, pieces = peek(read_pieces(path, size=BLOCK), HEAD)
    if head.startswith(ZIP) or head[257:262] == b"ustar":
        raise DataError(f"{name} contains several files; unpack it, and give one of them.")
    if kind := foreign_kind(head):
        raise DataError(f"{name} is {kind.partition(';')[0]}; expected {EXPECTED}.")
    if b"\0" in head and (header := re.match(BINARY_HEADER, head)):
        promised, width = map(int, header.groups())
        return promised, width, _read_binary(pieces, name, promised, width)
    blocks = filter(None, whole_lines(as_utf8(pieces, marked_encoding(head), name), name, LONGEST_LINE))
    block = next(blocks, b"\n")
    first = block.partition(b"\n")[0]
    if header := re.fullmatch(HEADER, first):
        promised, width = map(int, header.groups())
        return promised, width, _read_text(chain([block[len(first) :]], blocks), name, width)
    widths = Counter(filter(None, map(_width, block.split(b"\n", FIRST_LINES)[:FIRST_LINES])))
    if not widths:
        expected = "in each line a word and its numbers, separated by spaces, such as: good 0.1 -0.25"
        raise DataError(f"{name} contains no vectors: line 1 is {_shown(first)}; expected {expected}")
    width = max(widths, key=lambda width: (widths[width], width == dim, -width))
    return 0, width, _read_text(chain([block], blocks), name, width)


def _width(line: bytes) -> int:
    """How many numbers are at the end of this line, behind a first field, which is the word."""
    return sum(1 for _ in takewhile(_is_number, reversed(line.split()[1:])))


def _read_text(blocks: Iterator[bytes], name: str, width: int) -> Iterator[Block]:
    """Read lines of a word and its numbers, which are counted from the right."""
    line = 0
    for block in blocks:
        block = block.translate(WHITE_SPACE)
        while b"  " in block:
            block = block.replace(b"  ", b" ")
        tokens, numbers, lines = list[bytes](), list[bytes](), list[int]()
        for content in block.replace(b" \n", b"\n").split(b"\n")[:-1]:
            line += 1
            if not content:
                continue
            if (spaces := content.count(b" ")) < width:
                raise DataError(
                    f"{name}, line {line:,}: {spaces} numbers follow the word; expected {width}; "
                    "if this is the last line, the file is incomplete: fetch it again."
                )
            *word, own_numbers = content.split(b" ", spaces - width + 1)
            tokens.append(b" ".join(word))
            numbers.append(own_numbers)
            lines.append(line)
        yield tokens, partial(_parse, name, width, lines, numbers)


def _is_number(field: bytes) -> bool:
    """Whether the field is a number, or NaN or infinite."""
    with suppress(ValueError):
        float(field)
        return True
    return False


def _shown(field: bytes) -> str:
    return repr(field[:40].decode(errors="replace"))


def _parse(name: str, width: int, lines: list[int], numbers: list[bytes], chosen: np.ndarray) -> np.ndarray:
    """Numbers of the chosen ones of these texts, which are in these lines of the file: (n, d) float32."""
    fields = b" ".join(numbers[i] for i in chosen.tolist()).split()
    with np.errstate(over="ignore"), suppress(ValueError):  # what is too large for float32 becomes infinite
        rows = np.array(list(map(float, fields))).reshape(-1, width).astype(np.float32)
        if np.isfinite(rows).all():
            return rows
    at, wrong = next(
        (at, field) for at, field in enumerate(fields) if not (_is_number(field) and abs(float(field)) <= LARGEST)
    )
    line = lines[chosen[at // width]]
    raise DataError(f"{name}, line {line:,}: {_shown(wrong)} is not a finite number that float32 can hold.")


def _read_binary(pieces: Iterator[bytes], name: str, promised: int, width: int) -> Iterator[Block]:
    """Read word2vec's binary format: after the header each word, a space and its numbers as float32.

    A line feed may follow the numbers.
    """
    data = next(pieces).partition(b"\n")[2]
    size, left = 4 * width, promised
    for piece in chain([b""], pieces):
        data, at = data + piece, 0
        tokens, numbers = list[bytes](), list[bytes]()
        while left and (space := data.find(b" ", at, at + LONGEST_WORD)) >= 0 and space + 1 + size <= len(data):
            token = data[at:space].lstrip(b"\n")
            tokens.append(b"" if b"\n" in token else token)
            numbers.append(data[space + 1 : space + 1 + size])
            at, left = space + 1 + size, left - 1
        if left and len(data) - at > LONGEST_WORD + size:
            raise DataError(f"{name}: the word of vector {promised - left + 1:,} does not end.")
        data = data[at:]
        yield tokens, partial(_finite, name, np.frombuffer(b"".join(numbers), "<f4").reshape(len(tokens), width))


def _open_model2vec(folder: Path) -> Opened:
    """The vectors of a folder of model2vec: the tensor embeddings in ``model.safetensors``; ``tokenizer.json``."""
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
    return 0, table.shape[1], iter([(tokens, partial(_finite, str(folder), table[numbers]))])


def _finite(name: str, table: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    rows: np.ndarray = table[chosen].astype(np.float32)
    if not np.isfinite(rows).all():
        raise DataError(f"{name} contains a number that is not finite.")
    return rows


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
