"""``mlcore vectors``, and reading the vectors that a training starts from."""

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import InputError

from .prediction import Model

if TYPE_CHECKING:
    from mlcore.text.vectors import Coverage, Vectors
    from mlcore.text.vocabulary import WordTable

STANDARD_OUTPUT = Path("-")


def vectors(
    model: Model,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write them, or - for standard output.")
    ],
) -> None:
    """Example: mlcore vectors sentiment.npz -o sentiment.vec

    Write the embedding of every word of a model in word2vec's text format:
    first how many there are and how wide, then a word and its numbers in a
    line, most frequent first, in digits that give the same float32 numbers
    when they are read. Other programs read it, and so does --vectors.
    """
    from mlcore.files import check_writable, write_beside
    from mlcore.sentiment.model_file import load_model as load
    from mlcore.text.vectors import write_vectors

    from . import render

    if output != STANDARD_OUTPUT:
        check_writable(output)
        if output.exists() and model.exists() and output.samefile(model):
            raise InputError(f"output is {output}, which is the model; expected another path.")
    with render.compilation():
        classifier = load(model)
    words, dim = classifier.features.words, classifier.settings.dim
    table = classifier.parameters.table[:, :dim]
    if output == STANDARD_OUTPUT:
        sys.stdout.write("")  # which finds a closed one
        write_vectors(words, table, sys.stdout.buffer)
    else:
        write_beside(output, lambda file: write_vectors(words, table, file))
        render.say(f"Wrote {output}: {len(words):,} words with {dim:,} numbers each.")
    if ngrams := len(classifier.features) - len(words):
        render.say(f"Left out: {ngrams:,} n-grams, for which the format has no place.")


def given_vectors(path: Path, words: "WordTable", dim: int, quiet: bool = False) -> "Vectors":
    """Read vectors for these words and say how far it is, on stderr."""
    from mlcore.text import vectors

    from . import render

    with render.compilation(quiet), render.Activity(f"Reading {path}", quiet) as activity:
        return vectors.read_vectors(
            path, words, dim, lambda lines: activity.update(f"Reading {path}: {lines:,} vectors")
        )


def check_readable(path: Path | None) -> None:
    """Find a mistyped path before any work.

    Raises: OSError if there is no such file.
    """
    if path is not None and path != STANDARD_OUTPUT and not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def coverage_sentence(source: str, coverage: "Coverage", duplicates: int) -> str:
    """How much of the words and of the texts has a vector."""
    sentence = (
        f"{source} has a vector for {coverage.words_found:,} of {coverage.words:,} words "
        f"({_share(coverage.words_found, coverage.words)}), which are {_share(coverage.tokens_found, coverage.tokens)} "
        "of the texts"
    )
    if coverage.words_lower_cased:
        sentence += f"; for {coverage.words_lower_cased:,} of them another spelling in lower case"
    if duplicates:
        sentence += f"; {duplicates:,} lines repeat an earlier word and were passed over"
    return sentence + "."


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0%"
