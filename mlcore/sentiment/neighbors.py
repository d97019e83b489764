"""Which features lie nearest to a word in the embedding."""

import difflib
from dataclasses import dataclass

import numpy as np

from mlcore.errors import InputError
from mlcore.kernels import embedding, layers
from mlcore.results import Result
from mlcore.sentiment.model import Model
from mlcore.text.ngrams import count_features
from mlcore.text.tokenizer import tokens
from mlcore.text.vocabulary import UNKNOWN

COMPARED = 50_000  # most frequent words that are searched for similar spellings; takes about a second
SUGGESTIONS = 3


@dataclass(frozen=True)
class Neighbor:
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
    features, table = model.features, model.parameters.table
    found, words = tokens(word), features.words.look_up([word])
    if not found:
        raise InputError(f"{word!r} contains no word; give a word such as 'good'")
    for one, number_of in zip(found, words.ids.tolist(), strict=True):
        if number_of == UNKNOWN:
            similar = difflib.get_close_matches(one, features.words.words[:COMPARED], SUGGESTIONS)
            advice = f"similar words: {', '.join(similar)}" if similar else "try one from the training texts"
            raise InputError(f"The model does not know the word {one!r}; {advice}")
    located = features.locate(words)
    feature = int(located[len(found) - 1, -1]) if len(found) <= features.largest else UNKNOWN
    ids, counts, offsets = documents = count_features(located, words.offsets, len(features), features.binary)
    e = table[feature : feature + 1]
    if feature == UNKNOWN:
        e = np.zeros((1, table.shape[1]), np.float32)
        embedding.gather_mean(table, ids, counts, offsets[:-1], offsets[1:], 0, e.shape[1], e)
    if not e.any():
        raise InputError(f"The embedding of {' '.join(found)!r} is 0, which has no direction; try another word")
    cosines = _cosines(table, e)
    if feature != UNKNOWN:
        cosines[feature] = -np.inf  # it is not its own neighbor
    nearest = np.argsort(-cosines, kind="stable")[:number]
    nearest = nearest[cosines[nearest] > -np.inf]
    names = features.names_of(nearest.tolist())
    logits = model.logits(features.documents(names)).tolist()
    return Neighborhood(
        labels=model.labels,
        word=" ".join(found),
        mean_of=len(ids) if feature == UNKNOWN else 1,
        logits=model.logits(documents)[0].tolist(),
        neighbors=list(map(Neighbor, names, cosines[nearest].tolist(), logits)),
    )


def _cosines(table: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Cosine of every row with e, or minus infinity for a row that is 0: (v, d) and (1, d) float32 -> (v,) float64."""
    products = np.empty((1, len(table)), np.float32)
    layers.affine(e, table, None, products)  # equal rows have equal products, unlike with BLAS
    lengths = np.sqrt(np.einsum("vd,vd->v", table, table, dtype=np.float64)) * np.linalg.norm(e.astype(np.float64))
    cosines = np.full(len(table), -np.inf)
    np.divide(products[0], lengths, out=cosines, where=lengths > 0)
    np.minimum(cosines, 1, out=cosines)
    return cosines
