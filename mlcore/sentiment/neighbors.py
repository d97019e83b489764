"""Which features lie nearest to a word in the embedding."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.kernels import layers
from mlcore.kernels.embedding import gather_mean
from mlcore.kernels.simd import aligned_zeros
from mlcore.results import Result
from mlcore.sentiment.model import Model
from mlcore.text.tokenizer import tokens
from mlcore.text.vocabulary import UNKNOWN, WordTable


class Neighbor(NamedTuple):
    """A feature, the cosine between its embedding and that of the word, and the logits of a text with only this."""

    feature: str
    cosine: float
    logits: list[float]


@dataclass(frozen=True)
class Neighborhood(Result):
    """The features nearest to a word, the nearest first.

    ``mean_of`` is 1 where the word is a feature. Several known words that are not a feature have the mean embedding
    of their features, as a text has, and ``mean_of`` is the number of these.
    """

    labels: tuple[str, ...]
    word: str  # as the model reads it
    mean_of: int
    logits: list[float]
    neighbors: list[Neighbor]


def neighbors(model: Model, word: str, number: int) -> Neighborhood:
    """The ``number`` features whose embeddings have the largest cosine with that of a word, or of several.

    On ties the lower number, which is the more frequent word, comes first. An embedding that is 0 has no direction:
    such a feature has no neighbors and is none.

    Raises: InputError if a word is not known, or the embedding is 0.
    """
    features, table = model.features, _embeddings(model)
    found, words = tokens(word), features.words.look_up([word])
    if not found:
        raise InputError(f"{word!r} contains no word; give a word such as 'good'")
    documents = features.documents([word])
    for one, number_of in zip(found, words.ids.tolist(), strict=True):
        if number_of == UNKNOWN and not len(features.documents([one]).ids):
            unknown = WordTable()
            unknown.add([one])
            alike = int(features.alike(unknown)[0])
            advice = repr(features.words.word(alike)) if alike < len(features.words) else "one from the training texts"
            raise InputError(f"The model does not know the word {one!r}; try {advice}")
    feature = int(features.locate(words)[len(found) - 1, -1]) if len(found) <= features.largest else UNKNOWN
    if feature == UNKNOWN:
        e = np.average(model.parameters.table[documents.ids], axis=0, weights=documents.counts, keepdims=True)
    else:
        e = table[[feature]]
    e = e.astype(np.float32)
    if not e.any():
        raise InputError(f"The embedding of {' '.join(found)!r} is 0, which has no direction; try another word")
    products, cosines = np.empty((1, len(table)), np.float32), np.full(len(table), -np.inf)
    layers.affine(e, table, None, products)  # equal rows have equal products, unlike with BLAS
    lengths = np.sqrt(np.einsum("vd,vd->v", table, table, dtype=np.float64)) * np.linalg.norm(e.astype(np.float64))
    np.divide(products[0], lengths, out=cosines, where=lengths > 0)
    if feature != UNKNOWN:
        cosines[feature] = -np.inf  # it is not its own neighbor
    cosines = np.minimum(cosines, 1)
    nearest = np.argsort(-cosines, kind="stable")[:number]
    nearest = nearest[cosines[nearest] > -np.inf]
    names = features.names_of(nearest.tolist())
    logits = model.logits(features.documents(names)).tolist()
    return Neighborhood(
        labels=model.labels,
        word=" ".join(found),
        mean_of=1 if feature != UNKNOWN else len(documents.ids),
        logits=model.logits(documents)[0].tolist(),
        neighbors=list(map(Neighbor, names, cosines[nearest].tolist(), logits)),
    )


def _embeddings(model: Model) -> np.ndarray:
    """Embedding of each word and n-gram of words, (v, padded d): the mean with its n-grams of characters."""
    features, table = model.features, model.parameters.table
    if not features.pieces.sizes:
        return table
    ids, counts, offsets = features.documents(features.names[: features.first_piece])
    means = aligned_zeros((features.first_piece, table.shape[1]), np.float32)
    gather_mean(table, ids, counts, offsets[:-1], offsets[1:], 0, table.shape[1], means)
    return means
