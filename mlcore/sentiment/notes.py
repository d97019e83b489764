"""What a colleague would say after a look at a training: one sentence for each thing that may be wrong."""

from collections.abc import Iterator

import numpy as np

from mlcore.errors import DataWarning
from mlcore.sentiment.evaluation import AnyEvaluation, Evaluation, MultiLabelEvaluation
from mlcore.sentiment.model import Model
from mlcore.text.dataset import EncodedDataset
from mlcore.text.labels import listed

FEW_TEXTS = 50  # below which an accuracy says little
UNEVEN = 10  # times as many texts of the most frequent label as of the rarest


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
    """Whether more epochs may have been better."""
    last, epochs = model.provenance.history[-1:], model.settings.epochs
    if last and last[0]["epoch"] == epochs and last[0]["best"] and last[0]["dev_loss"] is not None:
        still = "micro F1 was still rising" if model.settings.multi_label else "loss was still falling"
        yield DataWarning(f"the held-out {still} in the last epoch", suggestion={"epochs": 2 * epochs})


def notes_on_evaluation(found: AnyEvaluation, texts: str) -> Iterator[DataWarning]:
    """Labels that are never predicted, and whether there are enough texts; ``texts`` says which they are."""
    rows = found.per_label.items() if isinstance(found, Evaluation | MultiLabelEvaluation) else ()
    if names := [label for label, row in rows if row.support and row.precision is None]:
        yield DataWarning(f"never predicted for the {texts}: {listed(names)}")
    if found.n < FEW_TEXTS:
        problem = f"only {found.n} {texts}"
        if isinstance(found, Evaluation):
            low, high = found.accuracy_interval
            problem += f": the accuracy may be anything from {low:.0%} to {high:.0%} (95% interval)"
        yield DataWarning(problem)
