"""What a model has learned of words: the features nearest to a word, and the words that move the prediction most."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.kernels import layers
from mlcore.kernels.embedding import gather_mean
from mlcore.kernels.simd import aligned_zeros
from mlcore.results import Result
from mlcore.sentiment.model import Model
from mlcore.text.documents import Documents
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


def strongest_words(
    model: Model, feature_counts: np.ndarray, number: int, min_count: int
) -> dict[str, dict[str, float]]:
    """The words and n-grams of words that speak most for each label, of those that occur ``min_count`` times, with the
    score of a text with only this word; where words have n-grams of characters, words with these. The strongest first.

    With two labels, the positive one first, its logit tells; with more, how far a label's logit is above that of the
    best other label, so that no word of another label is listed. Where texts may have several labels: how far the
    logit is above the mean of all these features. Without labels: the features with the highest and with the
    lowest rating, as "highest" and "lowest".
    """
    features = model.features
    last = len(features.words) if features.pieces.sizes else features.first_piece
    candidates = np.flatnonzero(feature_counts[:last] >= min_count).astype(np.int32)
    names = features.names_of(candidates.tolist())
    documents = Documents(candidates, np.ones_like(candidates), np.arange(len(candidates) + 1))
    if features.pieces.sizes:
        documents = features.documents(names)
    if len(model.labels) > 2 and not model.settings.multi_label:
        return _strongest_of_many(model, names, documents, number)
    logits = model.logits(documents)
    if many := logits.shape[1] > 1:
        columns = zip(model.labels, (logits - logits.mean(axis=0)).T, strict=True)
    else:
        columns = zip(model.labels[::-1] or ("highest", "lowest"), (logits[:, 0], -logits[:, 0]), strict=True)
    found = {}
    for name, strengths in columns:
        order = np.argsort(-strengths, kind="stable")[:number]
        order = order[strengths[order] > 0] if model.labels else order
        scores = (strengths if many else logits[:, 0])[order].tolist()
        found[name] = dict(zip([names[i] for i in order], scores, strict=True))
    return found


def _strongest_of_many(
    model: Model, names: list[str], documents: Documents, number: int
) -> dict[str, dict[str, float]]:
    """Of more than two labels: each name, as a text of its own, speaks for the label with its highest logit."""
    rows = np.arange(documents.n_texts)

    def strongest(block: slice) -> tuple[np.ndarray, np.ndarray]:
        logits = model.logits(documents, rows[block])
        second, first = np.partition(logits, -2, axis=1)[:, -2:].T
        return logits.argmax(axis=1), first - second

    none = np.zeros(0, np.int64), np.zeros(0, np.float32)
    best, strengths = map(np.concatenate, zip(none, *model.in_blocks(strongest, len(rows)), strict=True))
    order = np.lexsort((-strengths, best))
    order = order[strengths[order] > 0]
    bounds = pairwise(np.searchsorted(best[order], np.arange(len(model.labels) + 1)))
    some = [order[start : min(start + number, end)] for start, end in bounds]
    scores = [dict(zip([names[i] for i in one], strengths[one].tolist(), strict=True)) for one in some]
    return dict(zip(model.labels, scores, strict=True))
