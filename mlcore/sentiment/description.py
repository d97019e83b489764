"""The facts about a model: its shapes, its vocabulary, how it was trained and how well it did."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.kernels import losses
from mlcore.results import Result
from mlcore.sentiment.model import Model
from mlcore.sentiment.settings import reproducing_command

LOSSES = {losses.LOGISTIC: "logistic", losses.SOFTMAX: "softmax", losses.SQUARED: "squared"}
MOST_FREQUENT = 12


@dataclass(frozen=True)
class Vocabulary:
    """Features of one size: how many there are, and the most frequent ones in the training texts, in order."""

    words: int  # in each of them
    features: int
    most_frequent: list[str]


@dataclass(frozen=True)
class Description(Result):
    """A model in figures. ``best`` is the entry of the kept epoch in the history, None without a history."""

    file: dict[str, Any] | None  # path, bytes and sha256
    labels: tuple[str, ...]
    loss: str
    shapes: dict[str, list[int]]  # of the parameters, without padding
    parameters: int
    vocabulary: list[Vocabulary]
    settings: dict[str, Any]
    inputs: dict[str, Any]
    fingerprint: str
    texts: dict[str, int]
    history: list[dict[str, Any]]
    best: dict[str, Any] | None
    command: str


def describe(model: Model, path: Path | None = None) -> Description:
    """What a model, loaded from this path, says about itself."""
    settings, provenance = model.settings, model.provenance
    features, hidden, outputs = len(model.features), settings.hidden, len(model.parameters.b2)
    shapes = {"table": [features, settings.dim], "W1": [hidden, settings.dim], "b1": [hidden]}
    return Description(
        file=_file(path) if path else None,
        labels=model.labels,
        loss=LOSSES[model.loss],
        shapes=shapes | {"W2": [outputs, hidden], "b2": [outputs]},
        parameters=model.n_parameters,
        vocabulary=_vocabulary(model),
        settings=asdict(settings.resolved()),
        inputs=provenance.inputs,
        fingerprint=provenance.fingerprint,
        texts=provenance.texts,
        history=provenance.history,
        best=next((epoch for epoch in reversed(provenance.history) if epoch["best"]), None),
        command=reproducing_command(model),
    )


def _file(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"path": str(path), "bytes": None, "sha256": None}
    if path.is_file():  # what came through a pipe is gone
        with open(path, "rb") as file:
            found |= {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    return found


def _vocabulary(model: Model) -> list[Vocabulary]:
    """Those of one size are numbered from the most frequent on."""
    sizes, found = model.features.words_in(), []
    for size in range(1, model.features.largest + 1):
        numbers = np.flatnonzero(sizes == size)
        names = model.features.names_of(numbers[:MOST_FREQUENT].tolist())
        found.append(Vocabulary(size, len(numbers), names))
    return found
