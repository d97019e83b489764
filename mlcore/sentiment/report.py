"""HTML pages that need nothing else, and no script: a report on a model, and explained predictions.

The templates are in ``data/templates``. The same findings give the same page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlcore.sentiment.description import Description, describe
from mlcore.sentiment.evaluation import assess
from mlcore.sentiment.explanation import Explanation, explain
from mlcore.sentiment.lexicon import strongest_words
from mlcore.sentiment.model import Model
from mlcore.sentiment.notes import notes_on_evaluation, notes_on_history
from mlcore.templates import fill
from mlcore.text.dataset import Dataset, occurrences
from mlcore.text.labels import unknown_note
from mlcore.text.overlap import coverage_notes

MAX_STRONGEST = 20  # words for each label
MAX_EXPLAINED = 30_000  # characters of a mistake: the work grows with the square of the number of words
MAX_TICKS = 6


def explanation_page(explanations: Sequence[Explanation], number: int) -> str:
    """A page of explanations, each with its ``number`` strongest features."""
    return fill("explanation.html", title="Explained predictions", explanations=explanations, number=number)


def report_page(model: Model, name: str, dataset: Dataset, n_mistakes: int, threads: int = 1) -> str:
    """A page on the model of this name: how it was trained, and all figures on a dataset that has kept its texts.

    Raises: DataError if a label does not suit the model; ModelFileError if the outputs are not finite.
    """
    found, description = assess(model, dataset, n_mistakes, threads), describe(model)
    figures, split = found.evaluation, found.split
    counts = occurrences(split.documents, split.rows, len(model.features))
    known = coverage_notes(dataset, split.rows, model.features, "texts")
    min_count = max(1, min(10, len(split.rows) // 100))  # rare words only where there are few texts
    return fill(
        "report.html",
        title=f"{name} on {found.title}",
        labels=model.labels,
        figures=figures,
        warning=found.warning,
        note=unknown_note(found.unknown_labels) if found.unknown_labels else "",
        notes=[*notes_on_history(model), *known, *notes_on_evaluation(figures, "texts")],
        charts=training_charts(description),
        strongest=strongest_words(model, counts, MAX_STRONGEST, min_count),
        mistakes=[(m, explain(model, m.text) if len(m.text) <= MAX_EXPLAINED else None) for m in found.mistakes],
        description=description,
    )


class Axis:
    """Places in pixels from ``start`` to ``end`` for these values, and round numbers to write there."""

    def __init__(self, values: Sequence[float], start: int, end: int) -> None:
        self.start, self.end = start, end
        low, high = min(values), max(values)
        room = 0.0 if high > low else abs(low) / 2 or 0.5  # equal values need room
        self.low, self.high = low - room, high + room

    def place(self, value: float) -> float:
        """Where a value is."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def ticks(self, whole: bool = False) -> list[float]:
        """At most MAX_TICKS round numbers, or only the whole ones among them."""
        exact = (self.high - self.low) / (MAX_TICKS - 1)
        power = 10.0 ** math.floor(math.log10(exact))
        step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= exact * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        ticks = [round(i * step, 12) for i in range(first, last + 1)]
        return [tick for tick in ticks if not whole or tick == round(tick)]


@dataclass(frozen=True)
class Chart:
    """Lines through points (epoch, value), with a mark at the epoch that was kept."""

    title: str
    x: Axis
    y: Axis
    series: dict[str, list[tuple[int, float]]]
    marked: int | None


def training_charts(description: Description) -> list[Chart]:
    """Losses, and accuracies or micro F1, of the epochs."""
    charts, history, best = [], description.history, description.best
    for name, columns in (
        ("Loss", {"training": "train_loss", "held out": "dev_loss"}),
        ("Accuracy", {"held out": "dev_accuracy"}),
        ("Micro F1", {"held out": "dev_micro_f1"}),
    ):
        series = {
            line: [(epoch["epoch"], epoch[column]) for epoch in history if epoch[column] is not None]
            for line, column in columns.items()
        }
        if heights := [y for points in series.values() for _, y in points]:
            axes = Axis([epoch["epoch"] for epoch in history], 56, 444), Axis(heights, 256, 32)
            charts.append(Chart(f"{name} of each epoch", *axes, series, best["epoch"] if best else None))
    return charts
