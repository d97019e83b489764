"""HTML pages that need nothing else, and no script: a report on a model, and explained predictions.

The templates are files in ``data/templates``. Everything that comes from outside is escaped, and what could not be
seen, or would reverse the page, is replaced. The same findings give the same page.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from mlcore.files import installed
from mlcore.sentiment.charts import Chart, curves, scatter
from mlcore.sentiment.description import describe
from mlcore.sentiment.evaluation import (
    Evaluation,
    Mistake,
    RatingEvaluation,
    assess,
    strongest_words,
)  # fmt: skip
from mlcore.sentiment.explanation import Explanation, explain
from mlcore.sentiment.model import Model
from mlcore.text.dataset import Dataset, occurrences

# Control characters, and those that reverse the direction of what follows
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MAX_CELLS = 30  # labels of a confusion matrix
MAX_CONFUSIONS = 20
MAX_DOTS = 1_000
MAX_WORDS = 400  # of a mistake that are shown
MAX_STRONGEST = 20  # words for each label
MAX_EXPLAINED = 30_000  # characters: the work grows with the square of the number of words
KINDS = {1: "words", 2: "pairs of words", 3: "triples of words"}


class ColouredWord(NamedTuple):
    """A word of an explanation, whether a space precedes it, and how strong it is compared with the strongest."""

    word: str
    space: bool
    known: bool
    contribution: float
    share: float


def explanation_page(explanations: Sequence[Explanation], number: int) -> str:
    """A page of explanations, each with its ``number`` strongest features."""
    entries = []
    for found in explanations:
        changes = {effect.word: effect.change for effect in found.without}
        shown, rest = found.features[:number], found.features[number:]
        shares = relative_sizes(feature.contribution for feature in shown)
        features = [(one, share, changes.get(one.feature)) for one, share in zip(shown, shares, strict=True)]
        total = sum(feature.contribution for feature in rest)
        entries.append(
            {
                "explanation": found,
                "words": coloured_words(found),
                "features": features,
                "more": len(rest),
                "rest": total,
            }
        )
    return render("explanation.html", title="Explained predictions", explanations=entries)


def report_page(model: Model, name: str, dataset: Dataset, n_mistakes: int, threads: int = 1) -> str:
    """A page on the model of this name: how it was trained, and all figures on a dataset that has kept its texts.

    Raises: DataError if a label does not suit the model; ModelFileError if the outputs are not finite.
    """
    found = assess(model, dataset, n_mistakes, threads)
    figures, description = found.evaluation, describe(model)
    context: dict[str, Any] = _label_sections(figures) if isinstance(figures, Evaluation) else _rating_sections(figures)
    return render(
        "report.html",
        title=f"{name} on {found.title}",
        labels=model.labels,
        figures=figures,
        training=_training(description.history, description.best),
        strongest=_strongest(model, dataset).items(),
        mistakes=[_mistake(model, mistake) for mistake in found.mistakes],
        description=description,
        shapes={name: " × ".join(f"{size:,}" for size in shape) for name, shape in description.shapes.items()},
        facts=[
            ("Parameters", f"{description.parameters:,}"),
            ("Vocabulary", ", ".join(f"{part.features:,} {KINDS[part.words]}" for part in description.vocabulary)),
            ("Labels", ", ".join(model.labels) or "none: it predicts a number"),
            ("Loss", description.loss),
            ("Texts", ", ".join(f"{split} {n:,}" for split, n in description.texts.items()) or "not recorded"),
        ],
        codes=[("SHA-256 of the data", description.fingerprint), ("To train it again", description.command)],
        **context,
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
        "percent": lambda value: "–" if value is None else f"{value:.2%}",
        "figure": lambda value: "–" if value is None else f"{value:.4f}",
        "count": lambda value: f"{value:,}",
        "signed": lambda value: f"{value:+.4f}",
    }
    return environment.get_template(template).render(context)


def _visible(value: object) -> object:
    if type(value) is not str:  # markup, or a number
        return value
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", " ".join(value.split()))


def coloured_words(explanation: Explanation) -> list[ColouredWord]:
    """The words with their strengths, which the template shows as colours."""
    shares = relative_sizes(word.contribution for word in explanation.words)
    return [
        ColouredWord(word.word, space, word.known, word.contribution, share)
        for (word, space), share in zip(explanation.spaced_words(), shares, strict=True)
    ]


def relative_sizes(values: Iterable[float]) -> list[float]:
    """The size of each value in relation to the largest: from 0 to 1."""
    sizes = [abs(value) for value in values]
    largest = max(sizes, default=0.0) or 1.0
    return [size / largest for size in sizes]


def _training(history: list[dict[str, Any]], best: dict[str, Any] | None) -> list[tuple[str, Chart]]:
    charts = []
    for caption, columns in (
        ("Loss", {"training": "train_loss", "held out": "dev_loss"}),
        ("Accuracy", {"held out": "dev_accuracy"}),
    ):
        series = {name: [epoch[column] for epoch in history] for name, column in columns.items()}
        series = {name: values for name, values in series.items() if any(value is not None for value in values)}
        if series:
            epochs = [epoch["epoch"] for epoch in history]
            chart = curves(f"{caption} of each epoch", "epoch", epochs, series, best and best["epoch"])
            charts.append((caption, chart))
    return charts


def _rating_sections(figures: RatingEvaluation) -> dict[str, Any]:
    every = -(-figures.n // MAX_DOTS)
    points = list(zip(figures.truths[::every].tolist(), figures.predicted[::every].tolist(), strict=True))
    values = [value for point in points for value in point]
    limits = (min(values), max(values)) if max(values) > min(values) else (values[0] - 1, values[0] + 1)
    return {
        "figure_rows": [
            ("Root mean square error", figures.rmse, ""),
            ("Mean absolute error", figures.mae, ""),
            ("R²", figures.r2, "share of the variance that is explained"),
            ("Correlation", figures.pearson, "of truths and predictions"),
            ("Mean loss", figures.loss, "½ (y − ŷ)²"),
        ],
        "scatter": scatter("Predictions over truths", ("truth", "predicted"), [(x, y, 1) for x, y in points], limits),
    }


def _label_sections(figures: Evaluation) -> dict[str, Any]:
    labels, confusion = figures.labels, figures.confusion.tolist()
    rows = [
        ("Log loss", figures.loss, "mean of −log p of the true label"),
        ("Brier score", figures.brier, "mean squared error of the probabilities"),
        ("Calibration error", figures.calibration_error, "mean distance between accuracy and probability"),
    ]
    if len(labels) == 2:
        rows.append(("ROC AUC", figures.auc, "how often a positive text has a higher logit than a negative one"))
    averages = [("mean", figures.macro), ("weighted mean", figures.weighted)]
    points = [(bin.probability, bin.accuracy, bin.n) for bin in figures.calibration if bin.n]
    axes = ("probability of the predicted label", "accuracy")
    return {
        "right": int(figures.confusion.trace()),
        "figure_rows": rows,
        "label_rows": [*zip(labels, figures.per_label, strict=True), *averages],
        "matrix": [
            (label, [(n, n / max(sum(row), 1)) for n in row]) for label, row in zip(labels, confusion, strict=True)
        ],
        "confusions": None if len(labels) <= MAX_CELLS else list(islice(figures.confusions(), MAX_CONFUSIONS)),
        "scatter": scatter("Calibration", axes, points, (0, 1)),  # type: ignore[arg-type]
    }


def _strongest(model: Model, dataset: Dataset) -> dict[str, Any]:
    """Words that the texts have; rare ones only where there are few texts."""
    rows, _ = dataset.held_out()
    documents = model.features.documents_of(dataset.tokens, dataset.words)
    min_count = max(1, min(10, len(rows) // 100))
    return strongest_words(model, occurrences(documents, rows, len(model.features)), MAX_STRONGEST, min_count)


def _mistake(model: Model, mistake: Mistake) -> dict[str, Any]:
    truth, predicted = mistake.truth, mistake.predicted
    if mistake.probability is None:
        truth, predicted = f"{truth:g}", f"{predicted:.2f}"
    found = mistake._asdict() | {"truth": truth, "predicted": predicted}
    if len(mistake.text) > MAX_EXPLAINED:
        return found | {"text": mistake.text[:2000], "words": None}
    words = coloured_words(explain(model, mistake.text))
    return found | {"words": words[:MAX_WORDS], "more": max(len(words) - MAX_WORDS, 0)}
