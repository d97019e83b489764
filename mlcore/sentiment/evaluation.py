"""How good a classifier is on labelled texts, and which words move it most."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore import kernels
from mlcore.sentiment.classifier import Classifier, Part
from mlcore.text.vocabulary import Documents


@dataclass
class Evaluation:
    """Figures over n texts: accuracy in [0, 1], mean logistic loss, confusion[truth, predicted] in labels' order."""

    n: int
    accuracy: float | None
    loss: float
    labels: tuple[str, ...]
    confusion: np.ndarray


class WordLogit(NamedTuple):
    """A word with the logit of the text that consists of it alone."""

    word: str
    logit: float


def evaluate(classifier: Classifier, part: Part, threads: int = 1) -> Evaluation:
    """Compare the predictions for the texts of a part with their targets."""
    logits = classifier.logits(part.documents, part.rows, threads)
    targets = part.targets[part.rows]
    losses = np.empty(len(logits), np.float32)
    kernels.loss_of(classifier.loss, logits, targets, losses)
    predicted, truth = classifier.decide(logits), targets[:, 0].astype(np.int64)
    confusion = np.zeros((len(classifier.labels),) * 2, np.int64)
    if classifier.labels:
        np.add.at(confusion, (truth, predicted), 1)
    return Evaluation(
        n=len(logits),
        accuracy=float(np.mean(predicted == truth)) if classifier.labels else None,
        loss=float(np.mean(losses, dtype=np.float64)),
        labels=classifier.labels,
        confusion=confusion,
    )


def strongest_words(
    classifier: Classifier, feature_counts: np.ndarray, number: int, min_count: int
) -> tuple[list[WordLogit], list[WordLogit]]:
    """The most positive and the most negative words among those that occur ``min_count`` times, strongest first."""
    chosen = np.flatnonzero(feature_counts >= min_count).astype(np.int32)
    one_word_texts = Documents(chosen, np.ones_like(chosen), np.arange(len(chosen) + 1))
    logits = classifier.logits(one_word_texts)[:, 0]
    names = classifier.features.names
    ranked = np.argsort(-logits, kind="stable")

    def entries(order: np.ndarray) -> list[WordLogit]:
        return [WordLogit(names[chosen[i]], float(logits[i])) for i in order[:number]]

    return entries(ranked[logits[ranked] > 0]), entries(ranked[::-1][logits[ranked[::-1]] < 0])
