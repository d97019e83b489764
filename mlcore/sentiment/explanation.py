"""What words mean to a model: why it predicts what it predicts, the strongest words, and the nearest ones.

An explanation has the exact share of each feature in a logit, and what each word changes.

For a fixed pattern of units that are on, the network is linear in the mean embedding: with s = 1 where z > 0, else 0,

    logit_k = W2_k (s * (W1 E + b1)) + b2_k = sum_f a_f (W2_k * s) W1 E_f  +  W2_k (s * b1) + b2_k,

a_f being the share of feature f in the mean. Each term of the sum is the contribution of a feature; the rest is the
constant. All of this is computed in float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.kernels import layers
from mlcore.kernels.embedding import gather_mean
from mlcore.kernels.simd import aligned_zeros
from mlcore.results import Result
from mlcore.sentiment.backpropagation import forward
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import label_number
from mlcore.templates import fill
from mlcore.text.documents import Documents
from mlcore.text.ngrams import Features, legend
from mlcore.text.tokenizer import spans, tokens
from mlcore.text.vocabulary import UNKNOWN, Tokens, WordTable

TOKENS_PER_BLOCK = 500_000  # of texts without a word that are scored at a time; about 50 MB


@dataclass(frozen=True)
class FeatureShare:
    """A feature of the text, how often it occurs there, its exact share in the logit, and for a word how the logit
    changes when it is left out everywhere.

    The share of a word has those of its n-grams of characters in it, also if it is not known itself.
    """

    feature: str
    count: int
    contribution: float
    without: float | None  # None for n-grams of words


@dataclass(frozen=True)
class WordShare:
    """A token of the text, and its share in the contributions of the features it is part of."""

    word: str
    read_as: str  # itself, or the known word that it is taken for (``Features.read_as``)
    known: bool
    contribution: float


@dataclass(frozen=True)
class Explanation(Result):
    """The parts of a logit: ``constant`` + the contributions of all ``features`` = ``logit``.

    ``label`` with its ``probability`` is the prediction, or ``rating``, which is ``logit`` unless no training text has
    such a low or high one. ``output`` is the label that is explained, None for ratings.

    With two labels the network has one logit, which is for the positive label and against the other; for the negative
    one, all numbers have the opposite sign. With more, ``logit`` is that of ``output`` minus that of ``against``, the
    best other label for this text. Where texts may have several labels, it is that of ``output`` alone, and ``label``
    is the most probable one. So more is always more for ``output``, and the sum holds as above.
    """

    text: str
    label: str | None
    probability: float | None
    rating: float | None  # only without labels
    output: str | None
    output_probability: float | None
    against: str | None  # only with more than two labels
    logit: float
    constant: float
    features: list[FeatureShare]  # the strongest first
    words: list[WordShare]  # one for each token, in the order of the text; these contributions have the same sum
    known_words: int  # tokens that the model knows, repeats included

    @property
    def heading(self) -> str:
        """The prediction, and the explained label if it is another one."""
        if self.label is None:
            return f"{self.rating:.4g}"
        other = "" if self.output == self.label else f"; explained: {self.output} ({self.output_probability:.2%})"
        return f"{self.label} ({self.probability:.2%}){other}"

    def written(self, limit: int) -> Iterator[tuple[str, WordShare | None]]:
        """The text as it is written up to so many words: each with its share, and None with what is between them."""
        words = iter(self.words[:limit])
        for part, token in spans(self.text):
            share = next(words, None) if token else None
            if token and not share:
                return
            yield part, share

    @property
    def misspelt(self) -> str:
        """Which words are read as others; empty if none are."""
        pairs = {word.word: word.read_as for word in self.words if word.read_as != word.word}
        return f"Read as known words: {', '.join(f'{word} as {other}' for word, other in pairs.items())}" * bool(pairs)

    def legend(self, number: int) -> str:
        """What the signs in the names of so many features mean."""
        return legend(feature.feature for feature in self.features[:number])

    def _repr_html_(self) -> str:
        """The words and the strongest features, for notebooks."""
        return fill("notebook.html", explanation=self)


def explain(model: Model, text: str, output: str | None = None) -> Explanation:
    """Take the logit of a label apart: the predicted one, unless ``output`` names another.

    Raises: InputError if the model has no such label.
    """
    features, several, read = model.features, model.settings.multi_label, _read(model.features, text)
    documents = features.count(read.words, read.ids, read.spelled)
    logits = model.logits(documents)
    probabilities = model.probabilities(logits)[0].tolist() if model.labels else []
    predicted = int(np.argmax(probabilities) if several else model.decide(logits)[0]) if model.labels else None
    chosen = predicted if output is None else label_number(model, output, "output")
    exact = forward(model, documents)
    table, W1, b1, W2, b2 = exact.parameters
    other, weights = _weights(logits[0], chosen, several)
    slope = weights @ W2 * (exact.Z[0] > 0)
    contributions = documents.counts / max(documents.counts.sum(), 1) * (table @ (slope @ W1))
    shares, of_words = _shares(features, read, exact.features, contributions)
    distinct = np.unique(read.ids).tolist()
    without = {name: number for number in distinct if (name := read.table.word(number)) in shares}
    changes = (_logits_without(model, read, np.array([*without.values()], np.int32)) - exact.logits[0]) @ weights
    effects = dict(zip(without, changes.tolist(), strict=True))
    known, read_as = read.words.ids != UNKNOWN, map(read.table.word, read.ids)
    found = [FeatureShare(name, int(n), float(value), effects.get(name)) for name, (n, value) in shares.items()]
    return Explanation(
        text=text,
        label=None if predicted is None else model.labels[predicted],
        probability=None if predicted is None else probabilities[predicted],
        rating=None if model.labels else float(model.within_range(logits)[0, 0]),
        output=None if chosen is None else model.labels[chosen],
        output_probability=None if chosen is None else probabilities[chosen],
        against=None if other is None else model.labels[other],
        logit=float(slope @ (W1 @ exact.E[0] + b1) + weights @ b2),
        constant=float(slope @ b1 + weights @ b2),
        features=sorted(found, key=lambda share: -abs(share.contribution)),
        words=list(map(WordShare, tokens(text), read_as, known.tolist(), of_words.tolist())),
        known_words=int(known.sum()),
    )


class _Reading(NamedTuple):
    """The t tokens of a text as a model reads them."""

    table: WordTable  # the different ones: each as it is, or as the known word that it is taken for
    ids: np.ndarray  # (t,) of the table
    words: Tokens  # those that are known words
    spelled: Tokens  # the n-grams of characters of each word of the table


def _read(features: Features, text: str) -> _Reading:
    table = WordTable()
    written = table.add([text])  # tokens that are not known have n-grams of characters too
    table, ids = features.read_as(table, written.ids)
    return _Reading(table, ids, written._replace(ids=features.words.numbers_of(table)[ids]), features.spell(table))


def _shares(
    features: Features, read: _Reading, numbers: np.ndarray, contributions: np.ndarray
) -> tuple[dict[str, tuple[int, float]], np.ndarray]:
    """How often each word and n-gram of words occurs, with its contribution; and the contribution of each token, (t,).

    Shapes: numbers (f,) of the features of the text, ascending, contributions (f,).
    """
    counts = features.count(read.words, read.ids, read.spelled, binary=False).counts
    # each word of an occurrence of a feature has an equal share of what the occurrence contributes
    of_each, of_words = contributions / counts, np.zeros(len(read.ids))
    for size, ids in enumerate(features.locate(read.words), start=1):
        ends = np.flatnonzero(ids != UNKNOWN)
        lengths = np.minimum(size, ends + 1)  # the beginning of the text is no token
        of_each_word = of_each[np.searchsorted(numbers, ids[ends])] / lengths
        for back in range(size):
            within = lengths > back
            of_words[ends[within] - back] += of_each_word[within]
    names = features.names_of(numbers[numbers < features.first_piece].tolist())
    columns = zip(names, counts.tolist(), contributions.tolist(), strict=False)
    shares = {name: (count, contribution) for name, count, contribution in columns}
    for t, word in enumerate(read.ids.tolist()):  # what its characters contribute counts for the word
        pieces = read.spelled.ids[slice(*read.spelled.offsets[word : word + 2])]
        if len(pieces):
            contribution = of_each[np.searchsorted(numbers, pieces)].sum()
            of_words[t] += contribution
            count, before = shares.get(read.table.word(word), (0, 0.0))
            is_unknown = read.words.ids[t] == UNKNOWN
            shares[read.table.word(word)] = count + is_unknown, before + contribution
    return shares, of_words


def _weights(logits: np.ndarray, chosen: int | None, several: bool) -> tuple[int | None, np.ndarray]:
    """The label that the chosen one is compared with, if any, and the weights of the logits whose sum is explained."""
    other, weights = None, np.zeros(len(logits))
    if len(logits) == 1 and not several:
        weights[0] = -1 if chosen == 0 else 1
    elif chosen is not None:
        weights[chosen] = 1
        if not several:
            other = max(set(range(len(logits))) - {chosen}, key=logits.__getitem__)  # probabilities may all be 0
            weights[other] = -1
    return other, weights


def _logits_without(model: Model, read: _Reading, without: np.ndarray) -> np.ndarray:
    """Logits of a text without each of some words, (m,) of its table: (m, k) float64.

    The tokens around a word that is left out become neighbours, and may be an n-gram then.
    """
    per_block = max(1, TOKENS_PER_BLOCK // max(len(read.ids), 1))
    blocks = [np.zeros((0, len(model.parameters.b2)))]
    for start in range(0, len(without), per_block):
        kept = read.ids != without[start : start + per_block, np.newaxis]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept.sum(axis=1))])
        words, ids = (np.broadcast_to(array, kept.shape)[kept] for array in (read.words.ids, read.ids))
        blocks.append(forward(model, model.features.count(Tokens(words, offsets), ids, read.spelled)).logits)
    return np.concatenate(blocks)


# Words ------------------------------------------------------------------------------------------


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
    """The ``number`` words and n-grams whose embeddings have the largest cosine with that of a word, or of several.

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
    cosines[features.begins()[: len(table)]] = -np.inf  # as texts, these are the same as the words without ^
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
    score of a text with only this; where words have n-grams of characters, words alone. The strongest first.

    With two labels, the positive one first, its logit tells; with more, how far a label's logit is above that of the
    best other label, so that no word of another label is listed. Where texts may have several labels: how far the
    logit is above the mean of all these features. Without labels: the features with the highest and with the
    lowest rating, as "highest" and "lowest". Nothing if none occurs so often.
    """
    features = model.features
    last = len(features.words) if features.pieces.sizes else features.first_piece
    candidates = np.flatnonzero((feature_counts[:last] >= min_count) & ~features.begins()[:last])
    if not len(candidates):
        return {}
    names = features.names_of(candidates.tolist())
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

    best, strengths = map(np.concatenate, zip(*model.in_blocks(strongest, len(rows)), strict=True))
    order = np.lexsort((-strengths, best))
    order = order[strengths[order] > 0]
    bounds = pairwise(np.searchsorted(best[order], np.arange(len(model.labels) + 1)))
    some = [order[start : min(start + number, end)] for start, end in bounds]
    scores = [dict(zip([names[i] for i in one], strengths[one].tolist(), strict=True)) for one in some]
    return dict(zip(model.labels, scores, strict=True))
