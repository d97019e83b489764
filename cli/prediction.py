"""``mlcore evaluate``, ``report`` and ``predict``: how good a trained model is, and what it predicts."""

import errno
import json
import sys
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import InputError

from .dataset import DataArgument, Format, LabelColumn, TextColumn, data_path, read
from .output import Json, print_json

if TYPE_CHECKING:
    from mlcore.sentiment.evaluation import (
        CalibrationBin,
        Evaluation,
        Mistake,
        RatingEvaluation,
        WordScore,
    )  # fmt: skip
    from mlcore.sentiment.prediction import Predictions

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A file written by train-sentiment.")]
Mistakes = Annotated[int, typer.Option(metavar="N", min=0, help="Show the N worst mistakes.")]
MAX_AT_ONCE = 1 << 15  # texts that are predicted together
MAX_PROBABILITIES = 1 << 21  # of them

COLUMNS = 80
LABEL_WIDTH, WORD_WIDTH, BAR_WIDTH = 20, 26, 24
MAX_LABELS = 20  # rows of a table
MAX_CONFUSIONS = 12


def evaluate(
    model: ModelFile,
    data: DataArgument,
    errors: Mistakes = 0,
    file_format: Format = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore evaluate sentiment.safetensors reviews.csv

    Measure a model on labelled texts: accuracy with a confidence interval,
    precision and recall of each label, confusion matrix, log loss, calibration
    and the worst mistakes; for ratings, errors and correlation. Uses the test
    split of the data if there is one, else the dev split, else all texts.
    """
    from mlcore.sentiment.evaluation import assess
    from mlcore.sentiment.model_file import load_model
    from mlcore.text.pool import available_cores

    from . import render

    with render.compilation(as_json):
        loaded = load_model(model)
        dataset = read(data, file_format, text_column, label_column, as_json, keep_texts=errors > 0)
        found = assess(loaded, dataset, errors, available_cores())
    if as_json:
        print_json("evaluate", found)
        return
    show_evaluation(found.title, found.evaluation)
    if errors:
        _show_mistakes(found.mistakes)


def report(
    model: ModelFile,
    data: DataArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the page; - is standard output.")
    ] = Path("report.html"),
    errors: Mistakes = 10,
    file_format: Format = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
) -> None:
    """Example: mlcore report sentiment.safetensors reviews.csv -o report.html

    Write one self-contained web page: how a model was trained, its figures,
    confusion matrix and calibration on labelled texts, its strongest words,
    and its worst mistakes with the words that caused them. It measures the
    same texts as mlcore evaluate.
    """
    from mlcore.files import check_outputs, write_beside
    from mlcore.sentiment.model_file import load_model
    from mlcore.sentiment.report import report_page
    from mlcore.text.pool import available_cores

    from . import render

    if output != Path("-"):
        check_outputs({"output": output}, [model, *data])
    with render.compilation():
        loaded = load_model(model)
        dataset = read(data, file_format, text_column, label_column, keep_texts=True)
        with render.Activity("Evaluating"):
            page = report_page(loaded, str(model), dataset, errors, available_cores())
    if output != Path("-"):
        write_beside(output, lambda file: file.write(page.encode()))
        render.say(f"Wrote {output}.")
    else:
        sys.stdout.write(page.encode("ascii", "xmlcharrefreplace").decode())  # whatever the terminal can show


def predict(
    model: ModelFile,
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
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Example: mlcore predict sentiment.safetensors "A wonderful film."

    Predict the label of each text, or its rating. Prints exactly one line per
    text, in order: label, probability and number of known words, separated by
    tabs. Without texts it reads lines from standard input and answers each at
    once. Files may be compressed (.gz, .bz2, .xz). Lines that were not UTF-8
    are marked. Put -- before texts that begin with a dash.
    """
    from mlcore.sentiment.model_file import load_model
    from mlcore.sentiment.prediction import predict
    from mlcore.text.pool import available_cores, in_order
    from mlcore.text.streams import decode_arguments, decode_lines, in_portions

    from . import render

    if texts and files:
        raise InputError("Give either texts or --file, not both")
    paths = _checked_files(files or [Path("-")])
    with render.compilation():
        loaded = load_model(model)
        write = _write_objects if as_json else _write_lines
        size = max(1, min(MAX_AT_ONCE, MAX_PROBABILITIES // max(len(loaded.labels), 1)))
        portions: Iterable[list[str] | bytes] = in_portions(chain.from_iterable(map(_lines, paths)), size)
        if texts:
            portions = (texts[start : start + size] for start in range(0, len(texts), size))

        def answer(portion: list[str] | bytes) -> str:
            lines = decode_lines(portion) if isinstance(portion, bytes) else decode_arguments(portion)
            return write(predict(loaded, lines.texts), lines.undecodable)

        # an empty portion means that nothing more has arrived: answer everything so far
        arrived: Iterator[list[str] | bytes | None] = (portion or None for portion in portions)
        for answers in in_order(answer, arrived, available_cores()):
            sys.stdout.write(answers)
            sys.stdout.flush()


def _checked_files(paths: list[Path]) -> list[Path]:
    """Report a wrong path before the first answer."""
    if paths.count(Path("-")) > 1:
        raise InputError("Standard input, -, is given twice, but it can be read only once")
    for path in paths:
        if path != Path("-") and (path.stat() and path.is_dir()):
            raise IsADirectoryError(errno.EISDIR, "is a folder, not a file with one text per line", str(path))
    return paths


def _lines(path: Path) -> Iterator[bytes]:
    from mlcore.text.streams import read_lines, read_stream

    from . import render

    if path != Path("-"):
        return read_lines(path)
    if sys.stdin is None:
        raise OSError("standard input is closed; give texts as arguments, or lines on standard input")
    if sys.stdin.isatty():
        render.say("Type one text per line; Ctrl-D ends.")
    return read_stream(sys.stdin.buffer, "standard input")


def _write_lines(found: "Predictions", undecodable: Collection[int]) -> str:
    """A line for each text: label and probability, or rating, and the number of known words."""
    from .render import printable

    labels = [printable(label) for label in found.labels]
    if labels:
        chosen = zip(found.chosen.tolist(), found.confidence.tolist(), strict=True)
        answers = [f"{labels[label]}\t{probability:.4f}" for label, probability in chosen]
    else:
        answers = [f"{value:.4f}" for value in found.outputs[:, 0].tolist()]
    known = found.known.tolist()
    lines = [
        f"{answer}\t{n} known" if n else f"{answer}\tno known words; default prediction"
        for answer, n in zip(answers, known, strict=True)
    ]
    for i in undecodable:
        lines[i] += "\tnot UTF-8"
    return "\n".join(lines) + "\n"


def _write_objects(found: "Predictions", undecodable: Collection[int]) -> str:
    encode = json.JSONEncoder(allow_nan=False).encode
    return "".join(
        encode({"schema": "mlcore.predict/1", **answer, "undecodable": i in undecodable}) + "\n"
        for i, answer in enumerate(found.to_dicts())
    )


# Tables ---------------------------------------------------------------------------------------------------


def show_evaluation(title: str, found: "Evaluation | RatingEvaluation", brief: bool = False) -> None:
    """All figures, or the main ones as after a training."""
    from mlcore.sentiment.evaluation import RatingEvaluation

    from .render import number, shortened, show

    if isinstance(found, RatingEvaluation):
        error = f"root mean square error {found.rmse:.4f} on {found.n:,} texts"
        show(f"{title}: {error}, loss {found.loss:.4f}", "bold")
        if not brief:
            show(f"mean absolute error {found.mae:.4f}; always answering the mean gives a root mean square")
            correlation = number(found.pearson, ".4f")
            show(f"error of {found.baseline:.4f}; R² {number(found.r2, '.4f')}, correlation {correlation}")
        return
    right, (low, high) = int(found.confusion.trace()), found.accuracy_interval
    show(f"{title}: accuracy {found.accuracy:.2%} ({right:,} of {found.n:,}), loss {found.loss:.4f}", "bold")
    if not brief:
        most_frequent = shortened(found.most_frequent, LABEL_WIDTH)
        show(f"95% interval {low:.2%} to {high:.2%}; always answering {most_frequent} gives {found.baseline:.2%}")
        curve = f"ROC AUC {number(found.auc, '.4f')}, " if len(found.labels) == 2 else ""
        show(f"{curve}Brier score {found.brier:.4f}, calibration error {found.calibration_error:.4f}")
        _show_labels(found)
        show("")
    _show_confusion(found)
    if not brief:
        _show_calibration(found.calibration)


def _show_labels(found: "Evaluation") -> None:
    from .render import number, shortened, table

    rows = list(zip(found.labels, found.per_label, strict=True))
    if len(rows) > MAX_LABELS:
        rows = sorted(rows, key=lambda row: -row[1].support)[:MAX_LABELS]
    more = [(f"({len(found.labels) - len(rows):,} more)", "", "", "", "")] if len(rows) < len(found.labels) else []
    averages = [("mean", found.macro), ("weighted mean", found.weighted)]
    cells = [
        (shortened(name, LABEL_WIDTH), *(number(value, ".2%") for value in figures[:3]), f"{figures.support:,}")
        for name, figures in rows + averages
    ]
    columns, n = ("label", "precision", "recall", "F1", "texts"), len(rows)
    table(columns, [*cells[:n], *more, *cells[n:]], "\nEach label", line_after=n)


def _show_confusion(found: "Evaluation") -> None:
    """The matrix where it fits into the terminal, else the most frequent confusions."""
    from .render import shortened, table, width

    names = [shortened(label, LABEL_WIDTH) for label in found.labels]
    digits = len(f"{found.confusion.max():,}")
    for prefix in ("predicted ", ""):
        heads = [prefix + name for name in names]
        widths = [max(len("truth"), *map(width, names)), *(max(width(head), digits) for head in heads)]
        if sum(widths) + 3 * len(widths) <= COLUMNS:
            title = None if prefix else "Truth (rows) and prediction (columns)"
            counts = ([f"{count:,}" for count in row] for row in found.confusion.tolist())
            rows = ((name, *cells) for name, cells in zip(names, counts, strict=True))
            table(["truth" if prefix else "", *heads], rows, title)
            return
    rows = (
        (shortened(truth, LABEL_WIDTH), shortened(predicted, LABEL_WIDTH), f"{count:,}")
        for truth, predicted, count in found.confusions()[:MAX_CONFUSIONS]
    )
    table(("truth", "predicted", "texts"), rows, "Most frequent confusions", left=2)


def _show_calibration(bins: "list[CalibrationBin]") -> None:
    from .render import table

    rows = (
        (f"{b.low:.0%} to {b.high:.0%}", f"{b.n:,}", f"{b.probability:.1%}", f"{b.accuracy:.1%}", _bar(b.accuracy))
        for b in bins
        if b.accuracy is not None
    )
    title = "\nCalibration: is the predicted label right as often as its probability says?"
    table(("probability", "texts", "mean", "right", ""), rows, title, also_left=[-1])


def _bar(share: float) -> str:
    return "█" * round(BAR_WIDTH * share)


def _show_mistakes(mistakes: "list[Mistake]") -> None:
    """Two lines for each: where and what, and the beginning of the text."""
    from .render import number, shortened, show, width

    show("\nWorst mistakes" if mistakes else "\nNo mistakes.", "bold")
    for mistake in mistakes:
        answers = (mistake.truth, mistake.predicted)
        truth, predicted = (number(a) if isinstance(a, float) else shortened(a, LABEL_WIDTH) for a in answers)
        probability = "" if mistake.probability is None else f" ({mistake.probability:.2%})"
        what = f"{truth}, predicted {predicted}{probability}"
        place, room = mistake.place, COLUMNS - 2 - width(what)
        while width(place) > room:  # its end says more than its beginning
            place = "..." + place[4 if place.startswith("...") else 3 :]
        show(f"{place}: {what}")
        show(f"  {shortened(mistake.text, COLUMNS - 2)}")


def show_strongest_words(strongest: "dict[str, list[WordScore]]", labels: tuple[str, ...]) -> None:
    """The features that speak most for each label: beside each other for two, else a line for each label."""
    from .render import number, shortened, table, width

    def cells(entry: "WordScore | None") -> tuple[str, str]:
        return (shortened(entry.word, WORD_WIDTH), number(entry.score, "+.1f")) if entry else ("", "")

    if len(labels) <= 2:
        figure = "score" if labels else "rating"
        heads = (f"for {shortened(name, LABEL_WIDTH)}" if labels else name for name in strongest)
        columns = [column for head in heads for column in (head, figure)]
        rows = ([*cells(one), *cells(other)] for one, other in zip_longest(*strongest.values()))
        table(columns, rows, f"\nStrongest words ({figure} of a text with only this word)", also_left=[2])
        return
    names = {label: shortened(label, LABEL_WIDTH) for label in list(strongest)[:MAX_LABELS]}
    room = COLUMNS - 6 - max(map(width, names.values()))
    lines = [(names[label], shortened(", ".join(e.word for e in strongest[label]), room)) for label in names]
    more = [(f"({len(strongest) - len(names):,} more)", "")] if len(strongest) > len(names) else []
    table(("for", "words"), lines + more, "\nStrongest words", left=2)
