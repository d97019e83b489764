"""``mlcore evaluate``, ``report`` and ``predict``: how good a trained model is, and what it predicts."""

import errno
import json
import sys
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlcore.errors import InputError
from mlcore.files import check_outputs
from mlcore.text.layout import Layout

from . import render
from .dataset import DataArgument, for_model, path_option, read
from .output import (
    PAGE,
    STANDARD_STREAM,
    Json,
    ModelFile,
    Output,
    Texts,
    answer,
    load,
    standard_input,
    with_options,
    write_output,
)

if TYPE_CHECKING:
    from mlcore.sentiment.evaluation import Assessment, Evaluation, RatingEvaluation, WordScore
    from mlcore.sentiment.prediction import Predictions

Mistakes = Annotated[int, typer.Option(metavar="N", min=0, help="Show the N worst mistakes.")]
MAX_AT_ONCE = 1 << 15  # texts that are predicted together
MAX_PROBABILITIES = 1 << 21  # of them
MAX_LABELS = 20  # rows of a table
MAX_CONFUSIONS = 12


@with_options
def evaluate(
    *,
    model: ModelFile,
    data: DataArgument,
    errors: Mistakes = 0,
    layout: Layout,
    as_json: Json = False,
) -> None:
    """Example: mlcore evaluate sentiment.safetensors reviews.csv

    Measure a model on labelled texts: accuracy with a confidence interval,
    precision and recall of each label, confusion matrix, log loss, calibration
    and the worst mistakes; for ratings, errors and correlation. Uses the test
    split of the data if there is one, else the dev split, else all texts.
    """
    from mlcore.sentiment.evaluation import assess
    from mlcore.text.pool import available_cores

    def compute() -> "Assessment":
        loaded = load(model)
        dataset = read(data, for_model(layout, loaded), as_json, keep_texts=errors > 0)
        return assess(loaded, dataset, errors, available_cores())

    answer("evaluate", compute, _show_assessment, as_json)


@with_options
def report(
    *,
    model: ModelFile,
    data: DataArgument,
    output: Output = Path("report.html"),
    errors: Mistakes = 10,
    layout: Layout,
) -> None:
    """Example: mlcore report sentiment.safetensors reviews.csv -o report.html

    Write one self-contained web page: how a model was trained, its figures,
    confusion matrix and calibration on labelled texts, its strongest words,
    and its worst mistakes with the words that caused them. It measures the
    same texts as mlcore evaluate.
    """
    from mlcore.sentiment.report import report_page
    from mlcore.text.pool import available_cores

    check_outputs({"output": output}, [model, *data], {"output": PAGE})
    with render.compilation():
        loaded = load(model)
        dataset = read(data, for_model(layout, loaded), keep_texts=True)
        with render.Activity("Evaluating"):
            page = report_page(loaded, str(model), dataset, errors, available_cores())
    # a terminal or a pipe may have any encoding
    content = page.encode("ascii", "xmlcharrefreplace") if output == STANDARD_STREAM else page.encode()
    write_output(output, lambda file: file.write(content))


def predict(
    model: ModelFile,
    texts: Texts = None,
    files: Annotated[list[Path] | None, path_option("Texts, one per line; may be repeated.", "--file")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Example: mlcore predict sentiment.safetensors "A wonderful film."

    Predict the label of each text, or its rating. Prints exactly one line per
    text, in order: label, probability and number of known words, separated by
    tabs. Without texts it reads lines from standard input and answers each at
    once. Files may be compressed (.gz, .bz2, .xz). Lines that were not UTF-8
    are marked. Put -- before texts that begin with a dash.
    """
    from mlcore.sentiment.prediction import predict
    from mlcore.text.pool import available_cores, in_order
    from mlcore.text.streams import decode_arguments, decode_lines, in_portions

    if texts and files:
        raise InputError("Give either texts or --file, not both")
    paths = files or [STANDARD_STREAM]
    if paths.count(STANDARD_STREAM) > 1:
        raise InputError("Standard input, -, is given twice, but it can be read only once")
    for path in paths:  # report a wrong one before the first answer
        if path != STANDARD_STREAM and (path.stat() and path.is_dir()):
            raise IsADirectoryError(errno.EISDIR, "is a folder, not a file with one text per line", str(path))
    with render.compilation():
        loaded = load(model)
        write = _json_lines if as_json else _lines
        size = max(1, min(MAX_AT_ONCE, MAX_PROBABILITIES // max(len(loaded.labels), 1)))
        portions: Iterable[Any] = in_portions(chain.from_iterable(map(_read_lines, paths)), size)
        if texts:
            portions = (texts[start : start + size] for start in range(0, len(texts), size))

        def predict_lines(portion: Any) -> str:
            lines = decode_lines(portion) if isinstance(portion, bytes) else decode_arguments(portion)
            return write(predict(loaded, lines.texts), lines.undecodable)

        # an empty portion means that nothing more has arrived: answer everything so far
        arrived = (portion or None for portion in portions)
        for answers in in_order(predict_lines, arrived, available_cores()):
            sys.stdout.write(answers)
            sys.stdout.flush()


def _read_lines(path: Path) -> Iterator[bytes]:
    from mlcore.text.streams import read_lines, read_stream

    if path != STANDARD_STREAM:
        return read_lines(path)
    return read_stream(standard_input("Type one text per line; Ctrl-D ends."), "standard input")


def _lines(found: "Predictions", undecodable: Collection[int]) -> str:
    """A line for each text: label and probability, or rating, and the number of known words."""
    labels = [render.printable(label) for label in found.labels]
    if labels:
        chosen = zip(found.chosen.tolist(), found.confidence.tolist(), strict=True)
        answers = [f"{labels[label]}\t{probability:.4f}" for label, probability in chosen]
    else:
        answers = [f"{value:.4f}" for value in found.outputs[:, 0].tolist()]
    lines = []
    for i, (text, known) in enumerate(zip(answers, found.known.tolist(), strict=True)):
        remark = f"{known} known" if known else "no known words; default prediction"
        lines.append("\t".join([text, remark] + ["not UTF-8"] * (i in undecodable)) + "\n")
    return "".join(lines)


def _json_lines(found: "Predictions", undecodable: Collection[int]) -> str:
    """A JSON object for each text."""
    lines = ({"schema": "mlcore.predict/1", **entry} for entry in found.to_dicts())
    encode = json.JSONEncoder(allow_nan=False).encode
    return "".join(f"{encode(line | {'undecodable': i in undecodable})}\n" for i, line in enumerate(lines))


# Tables ---------------------------------------------------------------------------------------------------


def _show_assessment(found: "Assessment") -> None:
    from mlcore.text.labels import unknown_note

    show_evaluation(found.title, found.evaluation)
    if found.unknown_labels:
        render.paragraph(f"\n{unknown_note(found.unknown_labels)}.", "bold yellow")
    if found.mistakes:
        render.show("\nWorst mistakes", "bold")
    for mistake in found.mistakes:
        answers = mistake.truth, mistake.predicted
        truth, predicted = (render.number(a) if isinstance(a, float) else render.shortened(a) for a in answers)
        probability = "" if mistake.probability is None else f" ({mistake.probability:.2%})"
        render.paragraph(f"{mistake.place}: {truth}, predicted {predicted}{probability}")
        render.show(f"  {render.shortened(mistake.text, render.COLUMNS - 2)}")


def show_evaluation(title: str, found: "Evaluation | RatingEvaluation", brief: bool = False) -> None:
    """All figures, or the main ones as after a training."""
    from mlcore.sentiment.evaluation import RatingEvaluation

    number = render.number
    if isinstance(found, RatingEvaluation):
        error = f"root mean square error {found.rmse:.4f} on {found.n:,} texts"
        render.show(f"{title}: {error}, loss {found.loss:.4f}", "bold")
        if not brief:
            render.paragraph(
                f"mean absolute error {found.mae:.4f}; always answering the mean gives a root mean square error of "
                f"{found.baseline:.4f}; R² {number(found.r2, '.4f')}, correlation {number(found.pearson, '.4f')}"
            )
        return
    right, (low, high) = int(found.confusion.trace()), found.accuracy_interval
    render.show(f"{title}: accuracy {found.accuracy:.2%} ({right:,} of {found.n:,}), loss {found.loss:.4f}", "bold")
    if not brief:
        always = f"always answering {render.shortened(found.most_frequent)} gives {found.baseline:.2%}"
        render.show(f"95% interval {low:.2%} to {high:.2%}; {always}")
        curve = f"ROC AUC {number(found.auc, '.4f')}, " if len(found.labels) == 2 else ""
        render.show(f"{curve}Brier score {found.brier:.4f}, calibration error {found.calibration_error:.4f}")
        labels = sorted(zip(found.labels, found.per_label, strict=True), key=lambda row: -row[1].support)
        cells = [
            (render.shortened(name), *(number(value, ".2%") for value in figures[:3]), f"{figures.support:,}")
            for name, figures in [("mean", found.macro), ("weighted mean", found.weighted), *labels]
        ]
        columns = ("label", "precision", "recall", "F1", "texts")
        render.table(columns, cells, "\nEach label", line_after=2, most=MAX_LABELS + 2)
        render.show("")
    _show_confusion(found)
    if not brief:
        rows = [
            (f"{b.low:.0%} to {b.high:.0%}", f"{b.n:,}", *map("{:.1%}".format, b[3:]), render.bar(b.accuracy))
            for b in found.calibration
            if b.accuracy is not None
        ]
        title = "\nCalibration: is the predicted label right as often as its probability says?"
        render.table(("probability", "texts", "mean", "right", ""), rows, title)


def _show_confusion(found: "Evaluation") -> None:
    """The matrix where it fits into the terminal, else the most frequent confusions."""
    names = [render.shortened(label) for label in found.labels]
    counts = [[f"{count:,}" for count in row] for row in found.confusion.tolist()]
    for prefix in ("predicted ", ""):
        columns = ["truth", *(prefix + name for name in names)]
        rows = [[name, *row] for name, row in zip(names, counts, strict=True)]
        widths = [max(map(render.width, column)) for column in zip(columns, *rows, strict=True)]
        if sum(widths) + 3 * len(widths) <= render.COLUMNS:
            return render.table(columns, rows, None if prefix else "Truth (rows) and prediction (columns)")
    cells = [(render.shortened(truth), render.shortened(label), f"{n:,}") for truth, label, n in found.confusions()]
    render.table(("truth", "predicted", "texts"), cells, "Most frequent confusions", left=2, most=MAX_CONFUSIONS)


def show_strongest_words(strongest: "dict[str, list[WordScore]]", labels: tuple[str, ...]) -> None:
    """The features that speak most for each label: beside each other for two, else a line for each label."""
    names = [render.shortened(label) for label in strongest]
    if not any(strongest.values()):  # no word is frequent enough to be listed
        return
    if len(labels) <= 2:
        figure = "score" if labels else "rating"
        columns = [column for name in names for column in (f"for {name}" if labels else name, figure)]
        rows = [
            [
                cell
                for e in pair
                for cell in ((render.shortened(e.word), render.number(e.score, "+.1f")) if e else ("", ""))
            ]
            for pair in zip_longest(*strongest.values())
        ]
        render.table(columns, rows, f"\nStrongest words ({figure} of a text with only this word)", left=(0, 2))
        return
    room = render.COLUMNS - 6 - max(map(render.width, names))
    words = [render.shortened(", ".join(entry.word for entry in entries), room) for entries in strongest.values()]
    render.table(("for", "words"), zip(names, words, strict=True), "\nStrongest words", left=2, most=MAX_LABELS)
