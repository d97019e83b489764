"""One text through a trained network and back, every number of it in float64: exercise 1 for exercise 5's network."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.kernels import layers
from mlcore.kernels.forward import Parameters, forward_texts
from mlcore.kernels.losses import loss_of, loss_of_backward
from mlcore.results import Result
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import label_number
from mlcore.text.documents import Documents
from mlcore.text.labels import rating_of
from mlcore.text.tokenizer import tokens
from mlcore.text.vocabulary import UNKNOWN


class Pass(NamedTuple):
    """A forward pass in float64 with those rows of the table that occur; columns are padded with zeros.

    Shapes: n texts, h hidden units, k outputs, r features that occur.
    """

    features: np.ndarray  # (r,) numbers in the vocabulary, ascending
    parameters: Parameters  # float64, with a table of r rows
    E: np.ndarray  # (n, padded d)
    Z: np.ndarray  # (n, h)
    H: np.ndarray  # (n, h)
    logits: np.ndarray  # (n, k)


def forward(model: Model, documents: Documents) -> Pass:
    """The model's own kernels on texts in float64, from its float32 parameters."""
    occurs = np.zeros(len(model.features), bool)
    occurs[documents.ids] = True
    features, place = np.flatnonzero(occurs), np.cumsum(occurs, dtype=np.int32) - np.int32(1)
    arrays = model.parameters._replace(table=model.parameters.table[features])
    parameters = Parameters(*(array.astype(np.float64) for array in arrays))
    widths = (parameters.W1.shape[1], len(parameters.b1), len(parameters.b1), len(parameters.b2))
    values = [np.zeros((documents.n_texts, width)) for width in widths]
    starts, ends = documents.offsets[:-1], documents.offsets[1:]
    forward_texts(place[documents.ids], documents.counts, starts, ends, parameters, *values)
    return Pass(features, parameters, *values)


@dataclass(frozen=True)
class EmbeddingGradient:
    """A feature of the text, its share ``count / N`` in the mean, and the gradient of the loss in its embedding."""

    feature: str
    count: int
    share: float
    gradient: np.ndarray  # (d,)


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
    target: float  # 1 or 0 with two labels, the label's number with more, 1 where there may be several, the rating
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

    ``label``: the true label, or rating; where texts may have several, these with commas between them.

    Raises: InputError if the model has no such label, or predicts ratings and the label is not a number.
    Source: exercise 5.
    """
    several = label.split(",") if model.settings.multi_label and label not in model.labels else [label]
    numbers = [label_number(model, one.strip(), "label") for one in several if model.labels]
    target = numbers[0] if numbers else rating_of(label)
    if target is None:
        raise InputError("the model predicts ratings; expected a number such as 3.5", parameter="label", value=label)
    documents, dim = model.features.documents([text]), model.settings.dim
    features, parameters, E, Z, H, logits = forward(model, documents)
    _, W1, b1, W2, b2 = parameters
    Y, losses = np.array([[float(target)]]), np.zeros(1)
    if model.settings.multi_label:
        target, Y = 1, np.zeros((1, len(model.labels)))
        Y[0, numbers] = 1
    dlogits, dH, dZ, dE, dW1, db1, dW2, db2 = map(np.zeros_like, (logits, H, Z, E, W1, b1, W2, b2))
    loss_of(model.loss, logits, Y, losses)
    loss_of_backward(model.loss, logits, Y, 1.0, dlogits)
    layers.affine_backward_weights(dlogits, H, 0, H.shape[1], dW2, db2)
    layers.affine_backward_input(dlogits, W2, dH)
    layers.relu_backward(dH, Z, relu_at_zero, dZ)
    layers.affine_backward_weights(dZ, E, 0, E.shape[1], dW1, db1)
    layers.affine_backward_input(dZ, W1, dE)

    counts = documents.counts
    shares = counts / max(counts.sum(), 1)
    columns = counts.tolist(), shares.tolist(), shares[:, np.newaxis] * dE[:, :dim]  # the mean gives each its share
    embeddings = map(EmbeddingGradient, model.features.names_of(features.tolist()), *columns)
    return Backpropagation(
        relu_at_zero=relu_at_zero, labels=model.labels, tokens=tokens(text),
        known=(model.features.words.look_up([text]).ids != UNKNOWN).tolist(), averaged=int(counts.sum()),
        label=label, target=float(target),
        E=E[0, :dim], z=Z[0], h=H[0], logits=logits[0], loss=float(losses[0]), dlogits=dlogits[0], dz=dZ[0],
        dE=dE[0, :dim], dW2=dW2, db2=db2, dW1=dW1[:, :dim], db1=db1,
        embeddings=sorted(embeddings, key=lambda entry: -entry.count),
    )  # fmt: skip
