"""HTML pages that need nothing else, and no script: a report on a model, and explained predictions.

The templates are in ``data/templates``. The same findings give the same page.
"""

import re
from collections.abc import Sequence
from typing import Any

from mlcore.files import installed
from mlcore.sentiment.charts import LARGE_DOT, SMALL_DOT, Chart, span
from mlcore.sentiment.description import describe
from mlcore.sentiment.evaluation import Evaluation, assess, strongest_words
from mlcore.sentiment.explanation import Explanation, explain
from mlcore.sentiment.model import Model
from mlcore.text.dataset import Dataset, Split, occurrences

# Control characters, and those that reverse the direction of what follows
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MAX_CELLS = 30  # labels of a confusion matrix
MAX_CONFUSIONS = 20
MAX_DOTS = 1_000
MAX_STRONGEST = 20  # words for each label
MAX_EXPLAINED = 30_000  # characters of a mistake: the work grows with the square of the number of words


def explanation_page(explanations: Sequence[Explanation], number: int) -> str:
    """A page of explanations, each with its ``number`` strongest features."""
    return render("explanation.html", title="Explained predictions", explanations=explanations, number=number)


def report_page(model: Model, name: str, dataset: Dataset, n_mistakes: int, threads: int = 1) -> str:
    """A page on the model of this name: how it was trained, and all figures on a dataset that has kept its texts.

    Raises: DataError if a label does not suit the model; ModelFileError if the outputs are not finite.
    """
    found, description = assess(model, dataset, n_mistakes, threads), describe(model)
    figures, split = found.evaluation, found.split
    counts = occurrences(split.documents, split.rows, len(model.features))
    min_count = max(1, min(10, len(split.rows) // 100))  # rare words only where there are few texts
    return render(
        "report.html",
        title=f"{name} on {found.title}",
        labels=model.labels,
        figures=figures,
        show_matrix=len(model.labels) <= MAX_CELLS,
        max_confusions=MAX_CONFUSIONS,
        charts=_training(description.history, description.best),
        scatter=_calibration(figures) if isinstance(figures, Evaluation) else _ratings(model, split),
        strongest=strongest_words(model, counts, MAX_STRONGEST, min_count),
        mistakes=[(m, explain(model, m.text) if len(m.text) <= MAX_EXPLAINED else None) for m in found.mistakes],
        description=description,
    )


def render(template: str, **context: object) -> str:
    """Fill in a template: whatever it prints is escaped, and its text can be seen."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(installed("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters |= {
        "format": lambda value, spec: "–" if value is None else f"{value:{spec}}",
        "largest": lambda values: max(map(abs, values), default=0) or 1,
    }
    return environment.get_template(template).render(context)


def _visible(value: object) -> object:
    """What a template prints; text that could not be seen, or would reverse the page, is replaced."""
    if type(value) is not str:  # markup, or a number
        return value
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(value.split()))


def _training(history: list[dict[str, Any]], best: dict[str, Any] | None) -> list[Chart]:
    charts = []
    for name, columns in (
        ("Loss", {"training": "train_loss", "held out": "dev_loss"}),
        ("Accuracy", {"held out": "dev_accuracy"}),
    ):
        series = {
            line: [(epoch["epoch"], epoch[column], SMALL_DOT) for epoch in history if epoch[column] is not None]
            for line, column in columns.items()
        }
        if points := [point for line in series.values() for point in line]:
            ranges = span([epoch["epoch"] for epoch in history]), span([y for _, y, _ in points])
            charts.append(
                Chart(f"{name} of each epoch", "epoch", "", series, *ranges, True, best["epoch"] if best else None)
            )
    return charts


def _ratings(model: Model, split: Split) -> Chart:
    rows = split.rows[:: -(-len(split.rows) // MAX_DOTS)]
    predicted, truths = model.logits(split.documents, rows)[:, 0].tolist(), split.targets[rows, 0].tolist()
    points = [(x, y, SMALL_DOT) for x, y in zip(truths, predicted, strict=True)]
    limits = span(truths + predicted)
    return Chart("Predictions over truths", "truth", "predicted", {"": points}, limits, limits, False)


def _calibration(figures: Evaluation) -> Chart:
    """The area of a dot grows with the number of texts."""
    heaviest = max(bin.n for bin in figures.calibration)
    points = [
        (bin.probability, bin.accuracy, max(SMALL_DOT, round(LARGE_DOT * (bin.n / heaviest) ** 0.5, 1)))
        for bin in figures.calibration
        if bin.probability is not None and bin.accuracy is not None
    ]
    axes = "probability of the predicted label", "accuracy"
    return Chart("Calibration", *axes, {"": points}, (0, 1), (0, 1), False)
