"""The network in float64, on the few rows of the table that some texts need."""

from typing import NamedTuple

import numpy as np

from mlcore.kernels.forward import forward_texts
from mlcore.sentiment.model import Model, Parameters
from mlcore.text.dataset import Documents


class Pass(NamedTuple):
    """A forward pass in float64: its parameters and documents, whose ids are rows of the small table, and values.

    Shapes: n texts, h hidden units, k outputs, r features that occur; columns of the table are padded with zeros.
    """

    features: np.ndarray  # (r,) number of each row's feature in the vocabulary, ascending
    parameters: Parameters  # float64, with a table of r rows
    documents: Documents
    E: np.ndarray  # (n, padded d)
    Z: np.ndarray  # (n, h)
    H: np.ndarray  # (n, h)
    logits: np.ndarray  # (n, k)


def forward(classifier: Model, documents: Documents) -> Pass:
    """Outputs for texts by the classifier's own kernels, but in float64, from its float32 parameters."""
    occurs = np.zeros(len(classifier.features), bool)
    occurs[documents.ids] = True
    features = np.flatnonzero(occurs)
    place = np.cumsum(occurs, dtype=np.int32) - np.int32(1)
    table, *layers = classifier.parameters
    parameters = Parameters(*(array.astype(np.float64) for array in (table[features], *layers)))
    local = Documents(place[documents.ids], documents.counts, documents.offsets)
    n, (outputs, hidden) = documents.n_texts, parameters.W2.shape
    E, Z, H, logits = (np.zeros((n, width)) for width in (table.shape[1], hidden, hidden, outputs))
    forward_texts(local.ids, local.counts, local.offsets[:-1], local.offsets[1:], parameters, E, Z, H, logits)
    return Pass(features, parameters, local, E, Z, H, logits)
