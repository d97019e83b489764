"""``mlcore evaluate`` and ``predict``: using a trained model."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from mlcore.errors import DataError

from .dataset import read

if TYPE_CHECKING:
    from mlcore.sentiment.classifier import Classifier
    from mlcore.sentiment.evaluation import Evaluation

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A file that train-sentiment wrote.", show_default=False)]


def evaluate(
    model: Model,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled texts, as for train-sentiment.")],
    as_json: Json = False,
) -> None:
    """Example: mlcore evaluate sentiment.npz reviews.csv

    Accuracy, loss and confusion matrix of a model on labelled texts: on the
    test part where the data has one, else on the dev part, else on all.
    """
    from mlcore.sentiment import evaluation
    from mlcore.sentiment.modelfile import load
    from mlcore.sentiment.preparation import labelled_part
    from mlcore.sentiment.training import available_cores

    from . import render

    with render.compilation():
        classifier = load(model)
        corpus = read(data, quiet=as_json)
        corpus = corpus.select(corpus.held_out())
        result = evaluation.evaluate(classifier, labelled_part(classifier, corpus), available_cores())
    if as_json:
        print(json.dumps({"schema": "mlcore.evaluate/1"} | evaluation_document(result), allow_nan=False))
    else:
        render.evaluation(corpus.source, result)


def predict(
    model: Model,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts.", show_default="lines of standard input")
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Example: mlcore predict sentiment.npz "A wonderful film." "What a waste of time."

    Label, its probability and the number of known words of each text,
    tab-separated, or as JSON objects. Without texts, each line of standard
    input is one, and is answered as it comes.
    """
    from mlcore.sentiment.modelfile import load

    from . import render

    with render.compilation():
        classifier = load(model)
        for batch in [texts] if texts else _batches_of_lines():
            for label, probability, known_words in _predictions(classifier, batch):
                if as_json:
                    print(json.dumps({"label": label, "probability": probability, "known_words": known_words}))
                else:
                    print(render.prediction(label, probability, known_words))
            sys.stdout.flush()


def _predictions(classifier: "Classifier", texts: list[str]) -> Iterator[tuple[str, float, int]]:
    documents = classifier.features.documents(texts)
    logits = classifier.logits(documents)
    largest = classifier.probabilities(logits).max(axis=1).tolist()
    for label, probability, known in zip(classifier.decide(logits), largest, documents.lengths().tolist(), strict=True):
        yield classifier.labels[label], probability, known


def _batches_of_lines() -> Iterator[list[str]]:
    """Lines of standard input as they come, decoded, without their ends; at least one per batch."""
    from . import render

    if sys.stdin is None:
        raise OSError("standard input is closed; give texts as arguments, or lines on standard input")
    if sys.stdin.isatty():
        render.say("Type one text per line; Ctrl-D ends.")
    stream: BinaryIO = sys.stdin.buffer
    rest, number = b"", 0
    while block := stream.read1(1 << 20):
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield [_decode(line, number + i) for i, line in enumerate(lines, start=1)]
            number += len(lines)
    if rest:
        yield [_decode(rest, number + 1)]


def _decode(line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"standard input, line {number}: byte 0x{line[error.start]:02x} is not UTF-8; convert the text to UTF-8."
        ) from error


def evaluation_document(result: "Evaluation") -> dict:
    return asdict(result) | {"labels": list(result.labels), "confusion": result.confusion.tolist()}
