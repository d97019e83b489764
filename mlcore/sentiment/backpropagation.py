"""Exercise 1's view of a trained network: one text forward and back, every number of it."""

from dataclasses import dataclass

import numpy as np

from mlcore.errors import InputError
from mlcore.kernels import embedding, layers
from mlcore.kernels.losses import loss_of, loss_of_backward
from mlcore.sentiment.explanation import number_of
from mlcore.sentiment.model import Model
from mlcore.sentiment.precise import Pass, forward
from mlcore.text.dataset import rating_of
from mlcore.text.tokenizer import tokens
from mlcore.text.vocabulary import UNKNOWN


@dataclass
class EmbeddingGradient:
    """A feature of the text, its share ``count / N`` in the mean, and the gradient of the loss in its embedding.

    ``change`` is by how much the label's logit (the prediction, for ratings) changes after a step of gradient
    descent of rate 1 on this embedding alone; a unit may be switched by it.
    """

    feature: str
    count: int
    share: float
    gradient: np.ndarray  # (d,)
    change: float


@dataclass
class Lesson:
    """A text, the forward values of the network and the gradients of its loss J for a label, all in float64.

    Shapes: embedding width d, h hidden units, k outputs, without padding. ``deltas`` are dJ/dlogits, (k,), and
    dJ/dz, (h,). ``output`` is the number of the logit that ``change`` is about: with two labels the only one, that
    of the positive label.
    """

    tokens: list[str]
    known: list[bool]
    averaged: int  # N, the number of features in the mean
    label: str
    target: float  # 1 or 0 with two labels, the label's number with more, the rating
    output: int
    E: np.ndarray  # (d,)
    z: np.ndarray  # (h,)
    h: np.ndarray  # (h,)
    logits: np.ndarray  # (k,)
    loss: float
    dlogits: np.ndarray  # (k,)
    dz: np.ndarray  # (h,)
    dE: np.ndarray  # (d,)
    dW2: np.ndarray  # (k, h)
    db2: np.ndarray  # (k,)
    dW1: np.ndarray  # (h, d)
    db1: np.ndarray  # (h,)
    embeddings: list[EmbeddingGradient]  # one for each distinct feature of the text, the largest gradient first


def lesson(classifier: Model, text: str, label: str, relu_at_zero: float = 0.0) -> Lesson:
    """Take a text through the network and its loss back, by the kernels of the training.

    Raises: InputError if the classifier has no such label, or the label of a text to be rated is not a number.
    Source: exercise 5.
    """
    exact = forward(classifier, classifier.features.documents([text]))
    _, W1, b1, W2, b2 = exact.parameters
    target = _target(classifier, label)
    Y, losses, dlogits = np.array([[target]]), np.zeros(1), np.zeros_like(exact.logits)
    dH, dZ, dE = np.zeros_like(exact.H), np.zeros_like(exact.Z), np.zeros_like(exact.E)
    dW1, db1, dW2, db2 = np.zeros_like(W1), np.zeros_like(b1), np.zeros_like(W2), np.zeros_like(b2)
    loss_of(classifier.loss, exact.logits, Y, losses)
    loss_of_backward(classifier.loss, exact.logits, Y, 1.0, dlogits)
    layers.affine_backward_weights(dlogits, exact.H, 0, exact.H.shape[1], dW2, db2)
    layers.affine_backward_input(dlogits, W2, dH)
    layers.relu_backward(dH, exact.Z, relu_at_zero, dZ)
    layers.affine_backward_weights(dZ, exact.E, 0, exact.E.shape[1], dW1, db1)
    layers.affine_backward_input(dZ, W1, dE)
    dim = classifier.settings.dim
    output = int(target) if len(classifier.labels) > 2 else 0
    known = classifier.features.words.look_up([text]).ids != UNKNOWN
    return Lesson(
        tokens=tokens(text), known=known.tolist(), averaged=int(exact.documents.counts.sum()), label=label,
        target=target, output=output, E=exact.E[0, :dim], z=exact.Z[0], h=exact.H[0], logits=exact.logits[0],
        loss=float(losses[0]), dlogits=dlogits[0], dz=dZ[0], dE=dE[0, :dim], dW2=dW2, db2=db2, dW1=dW1[:, :dim],
        db1=db1, embeddings=_embedding_gradients(classifier, exact, dE, output),
    )  # fmt: skip


def _target(classifier: Model, label: str) -> float:
    if classifier.labels:
        return float(number_of(classifier, label, "label"))
    rating = rating_of(label)
    if rating is None:
        raise InputError(f"label is {label!r}, but the model predicts a number; expected one, such as 3.5.")
    return rating


def _embedding_gradients(classifier: Model, exact: Pass, dE: np.ndarray, output: int) -> list[EmbeddingGradient]:
    """Gradient of each feature's embedding, the largest first, and what a step on it alone does to a logit."""
    ids, counts, offsets = exact.documents
    index, dRows = embedding.RowList.allocate(len(ids), len(ids), np.float64), np.zeros((len(ids), dE.shape[1]))
    used = embedding.list_rows(ids, counts, offsets[:-1], offsets[1:], index)  # each id once, in order
    embedding.gather_mean_backward(dE, index, used, 0, dE.shape[1], dRows)
    shares = counts / max(counts.sum(), 1)
    _, W1, b1, W2, b2 = exact.parameters
    E = exact.E - shares[:, np.newaxis] * dRows  # the mean after a step on each of them alone
    Z, logits = np.zeros((len(E), len(b1))), np.zeros((len(E), len(b2)))
    layers.affine(E, W1, b1, Z)
    layers.relu(Z, Z)
    layers.affine(Z, W2, b2, logits)
    changes = logits[:, output] - exact.logits[0, output]
    names = classifier.features.names_of(exact.features.tolist())
    dim = classifier.settings.dim
    order = np.argsort(-np.linalg.norm(dRows, axis=1), kind="stable").tolist()
    return [
        EmbeddingGradient(names[i], int(counts[i]), float(shares[i]), dRows[i, :dim], float(changes[i])) for i in order
    ]
