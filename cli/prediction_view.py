"""How predictions and their figures are shown."""

import json
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING

from .render import Grid, number, out, printable, shortened, show, width

if TYPE_CHECKING:
    import numpy as np

    from mlcore.sentiment.evaluation import (
        Assessment,
        CalibrationBin,
        Evaluation,
        LabelFigures,
        Mistake,
        RatingAssessment,
        WordLogit,
    )
    from mlcore.sentiment.prediction import Predictions

COLUMNS = 80
LONGEST_LABEL = 20
LONGEST_WORD = 26
MOST_LABELS = 20  # rows of a table
MOST_CONFUSIONS = 12
WIDEST_BAR = 24


def evaluation(name: str, result: "Evaluation") -> None:
    """Accuracy, loss and confusion matrix, as after a training."""
    _headline(name, result)
    if result.labels:
        _confusion(result.labels, result.confusion)


def _headline(name: str, result: "Evaluation | Assessment | RatingAssessment") -> None:
    if getattr(result, "accuracy", None) is None:
        error = f"root mean square error {(2 * result.loss) ** 0.5:.4f} on {result.n:,} texts"
        show(f"{name}: {error}, loss {result.loss:.4f}", "bold")
    else:
        right = int(result.confusion.trace())
        show(f"{name}: accuracy {result.accuracy:.2%} ({right:,} of {result.n:,}), loss {result.loss:.4f}", "bold")


def assessment(name: str, result: "Assessment") -> None:
    """All figures of a classifier with labels."""
    _headline(name, result)
    low, high = result.accuracy_interval
    most_frequent = shortened(result.most_frequent, LONGEST_LABEL)
    show(f"95% interval {low:.2%} to {high:.2%}; always answering {most_frequent} gives {result.baseline:.2%}")
    curve = f"ROC AUC {_figure(result.auc)}, " if len(result.labels) == 2 else ""
    show(f"{curve}Brier score {result.brier:.4f}, calibration error {result.calibration_error:.4f}")
    _label_figures(result)
    show("")
    _confusion(result.labels, result.confusion)
    _calibration(result.calibration)


def rating_assessment(name: str, result: "RatingAssessment") -> None:
    """All figures of a classifier that predicts ratings."""
    _headline(name, result)
    show(f"mean absolute error {result.mae:.4f}; always answering the mean gives a root mean square")
    show(f"error of {result.baseline:.4f}; R² {_figure(result.r2)}, correlation {_figure(result.pearson)}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _label_figures(result: "Assessment") -> None:
    grid = Grid("label", "precision", "recall", "F1", "texts", title="\nEach label")

    def add(name: str, figures: "LabelFigures", **options: bool) -> None:
        cells = ("-" if value is None else f"{value:.2%}" for value in figures[:3])
        grid.add(name, *cells, f"{figures.support:,}", **options)

    rows = sorted(range(len(result.labels)), key=lambda i: -result.per_label[i].support)[:MOST_LABELS]
    rows = range(len(result.labels)) if len(rows) == len(result.labels) else rows
    for i in rows:
        add(shortened(result.labels[i], LONGEST_LABEL), result.per_label[i], end_section=i == rows[-1])
    if more := len(result.labels) - len(rows):
        grid.add(f"({more:,} more)", "", "", "", "")
    add("mean", result.macro)
    add("weighted mean", result.weighted)
    out.print(grid)


def _confusion(labels: tuple[str, ...], confusion: "np.ndarray") -> None:
    """The matrix where it fits into the terminal, else the most frequent confusions."""
    names = [shortened(label, LONGEST_LABEL) for label in labels]
    for prefix in ("predicted ", ""):
        heads = [prefix + name for name in names]
        digits = len(f"{confusion.max():,}")
        widths = [max(len("truth"), *map(width, names)), *(max(width(head), digits) for head in heads)]
        if sum(widths) + 3 * len(widths) <= COLUMNS:
            title = None if prefix else "Truth (rows) and prediction (columns)"
            grid = Grid("truth" if prefix else "", *heads, title=title)
            for name, row in zip(names, confusion.tolist(), strict=True):
                grid.add(name, *(f"{count:,}" for count in row))
            out.print(grid)
            return
    _frequent_confusions(names, confusion)


def _frequent_confusions(names: list[str], confusion: "np.ndarray") -> None:
    wrong = confusion.copy()
    wrong[range(len(names)), range(len(names))] = 0
    grid = Grid("truth", "predicted", "texts", left=2, title="Most frequent confusions")
    for place in (-wrong).ravel().argsort(kind="stable")[:MOST_CONFUSIONS].tolist():
        truth, predicted = divmod(place, len(names))
        if wrong[truth, predicted]:
            grid.add(names[truth], names[predicted], f"{wrong[truth, predicted]:,}")
    out.print(grid)


def _calibration(bins: "list[CalibrationBin]") -> None:
    title = "\nCalibration: is the predicted label right as often as its probability says?"
    grid = Grid("probability", "texts", "mean", "right", "", title=title)
    grid.columns[-1].justify = "left"
    for bin in bins:
        if bin.n:
            span = f"{bin.low:.0%} to {bin.high:.0%}"
            bar = "█" * round(WIDEST_BAR * bin.accuracy)
            grid.add(span, f"{bin.n:,}", f"{bin.probability:.1%}", f"{bin.accuracy:.1%}", bar)
    out.print(grid)


def mistakes(found: "list[Mistake]") -> None:
    """Two lines for each: where and what, and the beginning of the text."""
    show("\nWorst mistakes" if found else "\nNo mistakes.", "bold")
    for mistake in found:
        if mistake.probability is None:
            what = f"{number(mistake.truth)}, predicted {number(mistake.predicted)}"
        else:
            truth, predicted = (shortened(label, LONGEST_LABEL) for label in (mistake.truth, mistake.predicted))
            what = f"{truth}, predicted {predicted} ({mistake.probability:.2%})"
        show(f"{_end_of(mistake.place, COLUMNS - 2 - width(what))}: {what}")
        show(f"  {shortened(mistake.text, COLUMNS - 2)}")


def _end_of(place: str, columns: int) -> str:
    """The end of a place, which tells more than its beginning."""
    while width(place) > columns:
        place = "..." + place[4 if place.startswith("...") else 3 :]
    return place


def strongest_words(strongest: "dict[str, list[WordLogit]]", labels: tuple[str, ...]) -> None:
    """The features that speak most for each label: beside each other for two, else a line for each label."""
    if len(labels) <= 2:
        _opposite_words(*strongest.items(), "logit" if labels else "rating")
        return
    grid = Grid("for", "words", left=2, title="\nStrongest words")
    names = {label: shortened(label, LONGEST_LABEL) for label in list(strongest)[:MOST_LABELS]}
    room = COLUMNS - 6 - max(map(width, names.values()))
    for label, name in names.items():
        grid.add(name, shortened(", ".join(entry.word for entry in strongest[label]), room))
    if more := len(strongest) - len(names):
        grid.add(f"({more:,} more)", "")
    out.print(grid)


def _opposite_words(high: "tuple[str, list[WordLogit]]", low: "tuple[str, list[WordLogit]]", figure: str) -> None:
    heads = [f"for {shortened(name, LONGEST_LABEL)}" if figure == "logit" else name for name, _ in (high, low)]
    title = f"\nStrongest words ({figure} of the text that is this word alone)"
    grid = Grid(heads[0], figure, heads[1], figure, title=title)
    grid.columns[2].justify = "left"
    for pair in zip_longest(high[1], low[1]):
        grid.add(*(cell for entry in pair for cell in _word_cells(entry)))
    out.print(grid)


def _word_cells(entry: "WordLogit | None") -> tuple[str, str]:
    return ("", "") if entry is None else (shortened(entry.word, LONGEST_WORD), f"{entry.logit:+.1f}")


# Predictions ----------------------------------------------------------------------------------------------


def prediction_lines(labels: tuple[str, ...]) -> "Callable[[Predictions, Iterable[int]], str]":
    """How to write predictions: a line for each, of label, probability and known words (or rating and known words),
    marked where the text was undecodable.
    """
    shown = [printable(label) for label in labels]

    def write(found: "Predictions", undecodable: Iterable[int]) -> str:
        known = found.known.tolist()
        if labels:
            chosen = zip(found.chosen.tolist(), found.confidence.tolist(), known, strict=True)
            lines = [f"{shown[label]}\t{probability:.4f}\t{n} known" for label, probability, n in chosen]
        else:
            lines = [f"{value:.4f}\t{n} known" for value, n in zip(found.outputs[:, 0].tolist(), known, strict=True)]
        for i in (i for i, n in enumerate(known) if not n):
            lines[i] = lines[i].removesuffix("0 known") + "no known word: the value at E = 0"
        for i in undecodable:
            lines[i] += "\tnot UTF-8"
        return "\n".join(lines) + "\n"

    return write


def prediction_objects(labels: tuple[str, ...]) -> "Callable[[Predictions, Iterable[int]], str]":
    """The same as JSON, an object on each line."""
    encode = json.JSONEncoder(allow_nan=False).encode

    def write(found: "Predictions", undecodable: Iterable[int]) -> str:
        known, undecodable = found.known.tolist(), set(undecodable)
        if labels:
            chosen = zip(found.chosen.tolist(), found.confidence.tolist(), found.probabilities.tolist(), strict=True)
            answers = [
                {"label": labels[i], "probability": probability, "probabilities": dict(zip(labels, row, strict=True))}
                for i, probability, row in chosen
            ]
        else:
            answers = [{"rating": value} for value in found.outputs[:, 0].tolist()]
        return "".join(
            encode({"schema": "mlcore.predict/1", **answer, "known_words": n, "undecodable": i in undecodable}) + "\n"
            for i, (answer, n) in enumerate(zip(answers, known, strict=True))
        )

    return write
