"""What ``mlcore train-sentiment`` shows: the network, a row for each epoch, and the results."""

import math
from typing import TYPE_CHECKING

from . import prediction_view, render

if TYPE_CHECKING:
    from mlcore.sentiment.evaluation import Evaluation
    from mlcore.sentiment.model import Model
    from mlcore.sentiment.training import EpochReport
    from mlcore.text.dataset import EncodedDataset

KINDS = {1: "words", 2: "words and pairs", 3: "words, pairs and triples"}


def network(data: "EncodedDataset", classifier: "Model") -> None:
    """The three formulas with shapes, what is trained on, and the head of the table of epochs."""
    settings, features = classifier.settings, classifier.features
    dim, hidden, outputs = settings.dim, settings.hidden, len(classifier.parameters.b2)
    distinct = "distinct " if settings.binary else ""
    fixed = ", fixed" if settings.embedding == "fixed" else ""
    unit = "words" if settings.ngrams == 1 else "features"
    render.show(f"E = 1/N Σ E_w       embedding {len(features):,} × {dim}{fixed}, mean over N {distinct}{unit}")
    render.show(f"H = φ(W1 E + b1)    W1 {hidden} × {dim}, b1 {hidden}")
    render.show(f"ŷ = W2 H + b2       W2 {outputs} × {hidden}, b2 {outputs}")
    often = f" that occur {settings.min_count} times or more" if settings.min_count > 1 else ""
    most = f", the {settings.max_features:,} most frequent" if settings.max_features else ""
    sizes = {"training": data.train, "held out": data.dev, "test": data.test}
    render.show(f"{classifier.n_parameters:,} parameters. Features: {KINDS[settings.ngrams]}{often}{most}.")
    if len(classifier.labels) > 2:
        render.show(f"Labels: {', '.join(classifier.labels[:8])}{', ...' * (len(classifier.labels) > 8)}.")
    render.show("Texts: " + ", ".join(f"{name} {len(part.rows):,}" for name, part in sizes.items() if part) + ".\n")
    render.show("  ".join(_columns(classifier)), "bold")


def _columns(classifier: "Model") -> tuple[str, ...]:
    quality = "accuracy" if classifier.labels else "RMSE"
    return "epoch", "training loss", "held-out loss", quality, "seconds", "M features/s"


def epoch_row(report: "EpochReport", classifier: "Model") -> None:
    """One row of the table of epochs."""
    cells = (
        str(report.epoch),
        f"{report.train_loss:.4f}",
        "-" if report.dev_loss is None else f"{report.dev_loss:.4f}",
        _quality(report),
        f"{report.seconds:.2f}",
        f"{report.features / report.seconds / 1e6:.1f}",
    )
    row = "  ".join(cell.rjust(len(name)) for cell, name in zip(cells, _columns(classifier), strict=True))
    render.show(f"{row}  {'best' if report.best and report.dev_loss is not None else ''}".rstrip())


def _quality(report: "EpochReport") -> str:
    if report.dev_accuracy is not None:
        return f"{report.dev_accuracy:.2%}"
    return "-" if report.dev_loss is None else f"{math.sqrt(2 * report.dev_loss):.3f}"  # the loss is half the square


def results(
    best: "EpochReport", found: "dict[str, Evaluation | None]", classifier: "Model", data: "EncodedDataset"
) -> None:
    """Figures of the held-out and the test part, and the strongest words."""
    from mlcore.sentiment.evaluation import strongest_words

    for name, result in found.items():
        if result:
            title = f"Held-out texts, best epoch {best.epoch}" if name == "dev" else "Test texts"
            prediction_view.evaluation(f"\n{title}", result)
    prediction_view.strongest_words(strongest_words(classifier, data.feature_counts, 10, 10), classifier.labels)
