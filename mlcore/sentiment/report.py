"""What is said about a model: its description, notes on its training, and HTML pages that need no script."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import DataWarning, counted
from mlcore.kernels import losses
from mlcore.results import Result
from mlcore.sentiment.evaluation import AnyEvaluation, Evaluation, MultiLabelEvaluation, assess
from mlcore.sentiment.explanation import Explanation, explain, strongest_words
from mlcore.sentiment.model import Compressed, Model, Provenance
from mlcore.sentiment.settings import reproducing_command
from mlcore.templates import fill
from mlcore.text.dataset import Dataset, EncodedDataset, occurrences
from mlcore.text.labels import listed
from mlcore.text.overlap import coverage_notes

LOSSES = {losses.LOGISTIC: "logistic", losses.SOFTMAX: "softmax", losses.SQUARED: "squared"}
MOST_FREQUENT = 12
KINDS = {1: "words", 2: "word pairs", 3: "word triples", -1: "beginnings of texts", 0: "n-grams of characters"}
FEW_TEXTS = 50  # below which an accuracy says little
UNEVEN = 10  # times as many texts of the most frequent label as of the rarest


class Vocabulary(NamedTuple):
    """Features of one kind: how many there are, and the most frequent ones in the training texts, in order."""

    name: str
    words: int  # in each of them; 0 for beginnings of texts, and n-grams of characters
    features: int
    most_frequent: list[str]


@dataclass(kw_only=True)
class Description(Provenance, Result):
    """A model in figures, and where it comes from.

    ``best`` is the entry of the kept epoch in the history, None without a history.
    """

    file: dict[str, Any] | None  # path, bytes and sha256
    labels: tuple[str, ...]
    loss: str
    shapes: dict[str, list[int]]  # of the parameters, without padding
    parameters: int
    vocabulary: list[Vocabulary]
    settings: dict[str, Any]
    best: dict[str, Any] | None
    compressed: Compressed | None
    command: str

    @property
    def formulas(self) -> str:
        """The network with the shapes of its parameters."""
        (features, dim), (hidden, _), (outputs, _) = (self.shapes[name] for name in ("table", "W1", "W2"))
        frozen, distinct = "frozen " * self.settings["freeze_embedding"], "distinct " * self.settings["binary"]
        return (
            f"E = 1/N Σ E_w       {frozen}embedding {features:,} × {dim}, mean over N {distinct}features\n"
            f"H = φ(W1 E + b1)    W1 {hidden} × {dim}, b1 {hidden}, φ(z) = max(0, z)\n"
            f"ŷ = W2 H + b2       W2 {outputs} × {hidden}, b2 {outputs}"
        )


def describe(model: Model, path: Path | None = None) -> Description:
    """What a model, loaded from this path, says about itself."""
    file: dict[str, Any] = {"path": str(path), "bytes": None, "sha256": None}
    if path and path.is_file():  # what came through a pipe is gone
        with open(path, "rb") as opened:
            file |= {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(opened, "sha256").hexdigest()}
    shapes = {name: list(array.shape) for name, array in model.parameters._asdict().items()}
    for name in ("table", "W1"):
        shapes[name][1] = model.settings.dim
    features, vocabulary = model.features, []
    kinds = np.where(features.begins(), -1, features.words_in())
    for kind, name in KINDS.items():
        if len(numbers := np.flatnonzero(kinds == kind)):  # from the most frequent on
            names = features.names_of(numbers[:MOST_FREQUENT].tolist())
            vocabulary.append(Vocabulary(name, max(kind, 0), len(numbers), names))
    return Description(
        file=file if path else None,
        labels=model.labels,
        loss=LOSSES[model.loss],
        shapes=shapes,
        parameters=model.n_parameters,
        vocabulary=vocabulary,
        settings=asdict(model.settings),
        best=next((epoch for epoch in reversed(model.provenance.history) if epoch["best"]), None),
        compressed=model.compressed,
        command=reproducing_command(model, path),
        **vars(model.provenance),
    )


# What a colleague would say after a look at a training: one sentence for each thing that may be wrong --------


def notes_on_training(model: Model, data: EncodedDataset, dev: AnyEvaluation | None) -> list[DataWarning]:
    """All that is worth saying about a model with its history; ``dev`` has the figures of the held-out texts."""
    found = [*data.warnings, *data.notes, *notes_on_history(model)]
    if model.labels and not model.settings.multi_label:
        counts = np.bincount(data.train.targets[data.train.rows, 0].astype(np.int64), minlength=len(model.labels))
        most, least = int(counts.argmax()), int(counts.argmin())
        if counts[most] >= UNEVEN * counts[least]:
            texts = f"{model.labels[most]!r} has {counts[most]:,} training texts"
            texts += f" and {model.labels[least]!r} {counts[least]:,}"
            balance = {"class_weight": "balanced"} if model.settings.class_weight == "none" else None
            found.append(DataWarning(texts, suggestion=balance))
    if dev:
        found += notes_on_evaluation(dev, "held-out texts")
    return found


def notes_on_history(model: Model) -> Iterator[DataWarning]:
    """Whether more epochs may have been better; not where the learning rate has fallen to 0."""
    last, epochs = model.provenance.history[-1:], model.settings.epochs
    compared = model.settings.schedule == "constant" and last and last[0]["dev_loss"] is not None
    if compared and last[0]["epoch"] == epochs and last[0]["best"]:
        still = "micro F1 was still rising" if model.settings.multi_label else "loss was still falling"
        yield DataWarning(f"the held-out {still} in the last epoch", suggestion={"epochs": 2 * epochs})


def notes_on_evaluation(found: AnyEvaluation, texts: str) -> Iterator[DataWarning]:
    """Labels that are never predicted, and whether there are enough texts; ``texts`` says which they are."""
    rows = found.per_label.items() if isinstance(found, Evaluation | MultiLabelEvaluation) else ()
    if names := [label for label, row in rows if row.support and row.precision is None]:
        yield DataWarning(f"never predicted for the {texts}: {listed(names)}")
    if found.n < FEW_TEXTS:
        problem = f"only {counted(found.n, texts.removesuffix('s'))}"
        if isinstance(found, Evaluation):
            low, high = found.accuracy_interval
            problem += f": the accuracy may be anything from {low:.0%} to {high:.0%} (95% interval)"
        yield DataWarning(problem)


# Pages, from the templates in ``data/templates`` --------------------------------------------------

MAX_STRONGEST = 20  # words for each label
MAX_EXPLAINED = 30_000  # characters of a mistake: the work grows with the square of the number of words
MAX_TICKS = 6
SMALL_DOT, LARGE_DOT = 2.5, 9.0
Point = tuple[float, float, float]  # x, y, and the radius of the dot


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
        note=found.note,
        notes=[*notes_on_history(model), *known, *notes_on_evaluation(figures, "texts")],
        charts=training_charts(description),
        calibration=_calibration(figures) if isinstance(figures, Evaluation) else None,
        strongest=[row for row in strongest_words(model, counts, MAX_STRONGEST, min_count).items() if row[1]],
        mistakes=[(m, explain(model, m.text) if len(m.text) <= MAX_EXPLAINED else None) for m in found.mistakes],
        description=description,
    )


class Axis:
    """Places in pixels from ``start`` to ``end`` for these values, and round numbers to write there."""

    def __init__(self, name: str, values: Sequence[float], start: int, end: int) -> None:
        self.name, self.start, self.end = name, start, end
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
    """Series of points: joined by lines, with a mark at x = ``marked``, or scattered around the diagonal x = y."""

    title: str
    x: Axis
    y: Axis
    series: dict[str, list[Point]]
    joined: bool = False
    marked: float | None = None


def training_charts(description: Description) -> list[Chart]:
    """Losses, and accuracies or micro F1, of the epochs."""
    charts, history, best = [], description.history, description.best
    for name, columns in (
        ("Loss", {"training": "train_loss", "held out": "dev_loss"}),
        ("Accuracy", {"held out": "dev_accuracy"}),
        ("Micro F1", {"held out": "dev_micro_f1"}),
    ):
        series = {
            line: [(epoch["epoch"], epoch[column], SMALL_DOT) for epoch in history if epoch[column] is not None]
            for line, column in columns.items()
        }
        if heights := [y for points in series.values() for _, y, _ in points]:
            axes = _axes("epoch", "", [epoch["epoch"] for epoch in history], heights)
            charts.append(Chart(f"{name} of each epoch", *axes, series, True, best["epoch"] if best else None))
    return charts


def _calibration(figures: Evaluation) -> Chart:
    """The area of a dot grows with the number of texts."""
    heaviest = max(bin.n for bin in figures.calibration)
    points = [
        (bin.probability, bin.accuracy, max(SMALL_DOT, round(LARGE_DOT * (bin.n / heaviest) ** 0.5, 1)))
        for bin in figures.calibration
        if bin.probability is not None and bin.accuracy is not None
    ]
    axes = _axes("probability of the predicted label", "accuracy", (0, 1), (0, 1))
    return Chart("Calibration", *axes, {"": points})


def _axes(x_name: str, y_name: str, x: Sequence[float], y: Sequence[float]) -> tuple[Axis, Axis]:
    return Axis(x_name, x, 56, 444), Axis(y_name, y, 256, 32)
