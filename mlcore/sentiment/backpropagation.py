"""One text through a trained network and back, every number of it in float64: exercise 1 for exercise 5's network."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.kernels import embedding, layers
from mlcore.kernels.forward import Parameters, forward_texts
from mlcore.kernels.losses import loss_of, loss_of_backward
from mlcore.results import Result
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import label_number
from mlcore.text.dataset import Documents, rating_of
from mlcore.text.tokenizer import tokens
from mlcore.text.vocabulary import UNKNOWN


class Pass(NamedTuple):
    """A forward pass in float64 with those rows of the table that occur; columns are padded with zeros.

    Shapes: n texts, h hidden units, k outputs, r features that occur.
    """

    features: np.ndarray  # (r,) numbers in the vocabulary, ascending
    parameters: Parameters  # float64, with a table of r rows
    documents: Documents  # whose ids are rows of that table
    E: np.ndarray  # (n, padded d)
    Z: np.ndarray  # (n, h)
    H: np.ndarray  # (n, h)
    logits: np.ndarray  # (n, k)


def forward(model: Model, documents: Documents) -> Pass:
    """The model's own kernels on texts in float64, from its float32 parameters."""
    occurs = np.zeros(len(model.features), bool)
    occurs[documents.ids] = True
    features = np.flatnonzero(occurs)
    place = np.cumsum(occurs, dtype=np.int32) - np.int32(1)
    table, *others = model.parameters
    parameters = Parameters(*(array.astype(np.float64) for array in (table[features], *others)))
    local = documents._replace(ids=place[documents.ids])
    hidden = len(parameters.b1)
    widths = table.shape[1], hidden, hidden, len(parameters.b2)
    values = [np.zeros((documents.n_texts, width)) for width in widths]
    forward_texts(local.ids, local.counts, local.offsets[:-1], local.offsets[1:], parameters, *values)
    return Pass(features, parameters, local, *values)


@dataclass(frozen=True)
class EmbeddingGradient:
    """A feature of the text, its share ``count / N`` in the mean, and the gradient of the loss in its embedding.

    ``change`` is the change of the label's logit (of the prediction, for ratings) after a step of gradient descent
    with learning rate 1 on this embedding alone; the step may switch a unit on or off.
    """

    feature: str
    count: int
    share: float
    gradient: np.ndarray  # (d,)
    change: float


@dataclass(frozen=True)
class Backpropagation(Result):
    """A text, the forward values of the network and the gradients of its loss J for a label, all in float64.

    Shapes: embedding width d, h hidden units, k outputs, without padding.
    """

    relu_at_zero: float  # phi'(0)
    labels: tuple[str, ...]  # of the model
    tokens: list[str]
    known: list[bool]
    averaged: int  # N, the number of features in the mean
    label: str
    target: float  # 1 or 0 with two labels, the label's number with more, the rating
    output: int  # number of the logit that ``change`` is about; with two labels the only one, the positive label's
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


def backpropagate(model: Model, text: str, label: str, relu_at_zero: float = 0.0) -> Backpropagation:
    """Take a text through the network and its loss back, by the kernels of the training.

    Raises: InputError if the model has no such label, or predicts ratings and the label is not a number.
    Source: exercise 5.
    """
    exact = forward(model, model.features.documents([text]))
    _, W1, b1, W2, b2 = exact.parameters
    target = _target(model, label)
    Y, losses = np.array([[target]]), np.zeros(1)
    dlogits, dH, dZ, dE, dW1, db1, dW2, db2 = map(
        np.zeros_like, (exact.logits, exact.H, exact.Z, exact.E, W1, b1, W2, b2)
    )
    loss_of(model.loss, exact.logits, Y, losses)
    loss_of_backward(model.loss, exact.logits, Y, 1.0, dlogits)
    layers.affine_backward_weights(dlogits, exact.H, 0, exact.H.shape[1], dW2, db2)
    layers.affine_backward_input(dlogits, W2, dH)
    layers.relu_backward(dH, exact.Z, relu_at_zero, dZ)
    layers.affine_backward_weights(dZ, exact.E, 0, exact.E.shape[1], dW1, db1)
    layers.affine_backward_input(dZ, W1, dE)
    dim = model.settings.dim
    output = int(target) if len(model.labels) > 2 else 0
    known = model.features.words.look_up([text]).ids != UNKNOWN
    return Backpropagation(
        relu_at_zero=relu_at_zero, labels=model.labels, tokens=tokens(text), known=known.tolist(),
        averaged=int(exact.documents.counts.sum()), label=label, target=target, output=output,
        E=exact.E[0, :dim], z=exact.Z[0], h=exact.H[0], logits=exact.logits[0], loss=float(losses[0]),
        dlogits=dlogits[0], dz=dZ[0], dE=dE[0, :dim], dW2=dW2, db2=db2, dW1=dW1[:, :dim], db1=db1,
        embeddings=_embedding_gradients(model, exact, dE, output),
    )  # fmt: skip


def _target(model: Model, label: str) -> float:
    if model.labels:
        return float(label_number(model, label, "label"))
    rating = rating_of(label)
    if rating is None:
        raise InputError("the model predicts ratings; expected a number such as 3.5", parameter="label", value=label)
    return rating


def _embedding_gradients(model: Model, exact: Pass, dE: np.ndarray, output: int) -> list[EmbeddingGradient]:
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
    gradients, names = dRows[:, : model.settings.dim], model.features.names_of(exact.features.tolist())
    found = map(EmbeddingGradient, names, counts.tolist(), shares.tolist(), gradients, changes.tolist())
    return sorted(found, key=lambda entry: -float(np.linalg.norm(entry.gradient)))
