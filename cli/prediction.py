"""``mlcore evaluate`` and ``predict``: using a trained model."""

import errno
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import InputError

from .dataset import Format, LabelColumn, TextColumn, data_path, read

if TYPE_CHECKING:
    from mlcore.sentiment.evaluation import Assessment, Evaluation, Mistake, RatingAssessment

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A file that train-sentiment wrote.", show_default=False)]
Data = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATA...",
        help="Labelled texts, as for train-sentiment, or - for standard input.",
        parser=data_path,
        show_default=False,
    ),
]
MOST_AT_ONCE = 1 << 15  # texts that are predicted together
MOST_PROBABILITIES = 1 << 21  # of them


def evaluate(
    model: Model,
    data: Data,
    errors: Annotated[int, typer.Option(metavar="N", min=0, help="Show the N worst mistakes.")] = 0,
    file_format: Format = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore evaluate sentiment.npz reviews.csv

    How good a model is on labelled texts: accuracy with its interval,
    precision and recall of each label, confusion matrix, log loss, calibration
    and worst mistakes; for ratings, errors and correlation. Measured on the
    test part where the data has one, else on the dev part, else on all.
    """
    from mlcore.sentiment import evaluation
    from mlcore.sentiment.model_file import load
    from mlcore.sentiment.training import available_cores
    from mlcore.text.dataset import encode_split

    from . import prediction_view, render

    with render.compilation(as_json):
        classifier = load(model)
        corpus = read(data, file_format, text_column, label_column, quiet=as_json, keep_texts=True)
        rows, part_name = corpus.held_out()
        threads = available_cores()
        part = encode_split(corpus, rows, classifier.features, classifier.labels, threads)
        result = evaluation.assess(classifier, part, threads)
        worst = evaluation.mistakes(classifier, part, corpus, errors, threads) if errors else []
    if as_json:
        print(json.dumps(_assessment_document(result, part_name, worst), allow_nan=False))
        return
    name = corpus.source if part_name == "all" else f"{corpus.source}, {part_name} part"
    show = prediction_view.assessment if classifier.labels else prediction_view.rating_assessment
    show(name, result)
    if errors:
        prediction_view.mistakes(worst)


def evaluation_document(result: "Evaluation") -> dict:
    return asdict(result) | {"labels": list(result.labels), "confusion": result.confusion.tolist()}


def _assessment_document(
    result: "Assessment | RatingAssessment", part_name: str, worst: "list[Mistake]"
) -> dict[str, object]:
    figures = {"schema": "mlcore.evaluate/1", "part": part_name} | asdict(result)
    if "labels" in figures:
        figures["confusion"] = result.confusion.tolist()
        figures["per_label"] = [
            {"label": label} | found._asdict() for label, found in zip(result.labels, result.per_label, strict=True)
        ]
        figures |= {name: getattr(result, name)._asdict() for name in ("macro", "weighted")}
        figures["calibration"] = [bin._asdict() for bin in result.calibration]
    else:
        del figures["truths"], figures["predicted"]  # as long as the data
    return figures | {"mistakes": [mistake._asdict() for mistake in worst]}


def predict(
    model: Model,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts.", show_default="lines of standard input")
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--file",
            metavar="PATH",
            help="Texts, one per line; may be repeated, and - is standard input.",
            parser=data_path,
            show_default=False,
        ),
    ] = None,
    as_json: JsonLines = False,
) -> None:
    """Example: mlcore predict sentiment.npz "A wonderful film." "What a waste of time."

    Label, its probability and the number of known words of each text (or its
    rating and the known words), tab-separated, or as JSON objects. Without
    texts, each line of standard input is one, and is answered as it comes.
    Files may be compressed (.gz, .bz2, .xz). Where bytes were not UTF-8, the
    answer says so.
    """
    from mlcore.sentiment import prediction
    from mlcore.sentiment.model_file import load
    from mlcore.sentiment.training import available_cores
    from mlcore.text.lines import decode_arguments, decode_lines, in_portions
    from mlcore.text.pool import in_order

    from . import prediction_view, render

    if texts and files:
        raise InputError("Texts and --file are both given; expected one of them.")
    paths = _checked_files(files or [Path("-")])
    with render.compilation():
        classifier = load(model)
        write = (prediction_view.prediction_objects if as_json else prediction_view.prediction_lines)(classifier.labels)
        most = max(1, min(MOST_AT_ONCE, MOST_PROBABILITIES // max(len(classifier.labels), 1)))
        if texts:
            decode, portions = decode_arguments, (texts[start : start + most] for start in range(0, len(texts), most))
        else:
            decode, portions = decode_lines, in_portions(chain.from_iterable(map(_lines, paths)), most)

        def answer(portion: "list[str] | bytes") -> str:
            lines = decode(portion)
            return write(prediction.predict(classifier, lines.texts), lines.undecodable)

        # where nothing more has come, all that has come is answered
        for answers in in_order(answer, (portion or None for portion in portions), available_cores()):
            sys.stdout.write(answers)
            sys.stdout.flush()


def _checked_files(paths: list[Path]) -> list[Path]:
    """The paths, if each can be there: better to hear of a wrong one before the first answer."""
    if paths.count(Path("-")) > 1:
        raise InputError("Standard input, -, is given twice; it can be read once.")
    for path in paths:
        if path != Path("-") and (path.stat() and path.is_dir()):
            raise IsADirectoryError(errno.EISDIR, "is a folder; expected a file of texts, one per line", str(path))
    return paths


def _lines(path: Path) -> Iterator[bytes]:
    from mlcore.text.lines import read_lines, read_stream

    from . import render

    if path != Path("-"):
        return read_lines(path)
    if sys.stdin is None:
        raise OSError("standard input is closed; give texts as arguments, or lines on standard input")
    if sys.stdin.isatty():
        render.say("Type one text per line; Ctrl-D ends.")
    return read_stream(sys.stdin.buffer, "standard input")
