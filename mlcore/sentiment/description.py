"""What a classifier is: its shapes, its vocabulary, where it comes from and how well it did."""

from dataclasses import asdict, dataclass

import numpy as np

from mlcore.kernels import losses
from mlcore.sentiment.model import Model
from mlcore.sentiment.settings import reproducing_command

LOSSES = {losses.LOGISTIC: "logistic", losses.SOFTMAX: "softmax", losses.SQUARED: "squared"}
MOST_FREQUENT = 12


@dataclass
class Vocabulary:
    """Features of one size: how many there are, and the most frequent ones in the training texts, in order."""

    words: int  # that each of them consists of
    features: int
    most_frequent: list[str]


@dataclass
class Description:
    """A classifier in figures. ``best`` is the entry of the kept epoch in the history, None without a history."""

    labels: list[str]
    loss: str
    shapes: dict[str, list[int]]  # of the parameters, without padding
    parameters: int
    vocabulary: list[Vocabulary]
    settings: dict
    inputs: dict
    fingerprint: str
    texts: dict[str, int]
    history: list[dict]
    best: dict | None
    command: str


def describe(classifier: Model) -> Description:
    """Put together what a classifier knows of itself."""
    settings, provenance = classifier.settings, classifier.provenance
    features, hidden, outputs = len(classifier.features), settings.hidden, len(classifier.parameters.b2)
    shapes = {"table": [features, settings.dim], "W1": [hidden, settings.dim], "b1": [hidden]}
    return Description(
        labels=list(classifier.labels),
        loss=LOSSES[classifier.loss],
        shapes=shapes | {"W2": [outputs, hidden], "b2": [outputs]},
        parameters=classifier.n_parameters,
        vocabulary=_vocabulary(classifier),
        settings=asdict(settings),
        inputs=provenance.inputs,
        fingerprint=provenance.fingerprint,
        texts=provenance.texts,
        history=provenance.history,
        best=next((epoch for epoch in reversed(provenance.history) if epoch["best"]), None),
        command=reproducing_command(classifier),
    )


def _vocabulary(classifier: Model) -> list[Vocabulary]:
    """Of each size of features; those of a size are numbered from the most frequent on."""
    features = classifier.features
    sizes = features.words_in()
    found = []
    for size in range(1, features.largest + 1):
        numbers = np.flatnonzero(sizes == size)
        found.append(Vocabulary(size, len(numbers), features.names_of(numbers[:MOST_FREQUENT].tolist())))
    return found
