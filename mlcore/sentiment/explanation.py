"""Why the model predicts what it predicts: the exact share of each feature in a logit, and what each word changes.

For a fixed pattern of units that are on, the network is linear in the mean embedding: with s = 1 where z > 0, else 0,

    logit_k = W2_k (s * (W1 E + b1)) + b2_k = sum_f a_f (W2_k * s) W1 E_f  +  W2_k (s * b1) + b2_k,

a_f being the share of feature f in the mean. Each term of the sum is the contribution of a feature; the rest is the
constant. All of this is computed in float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mlcore.results import Result
from mlcore.sentiment.backpropagation import forward
from mlcore.sentiment.model import Model
from mlcore.sentiment.prediction import label_number
from mlcore.templates import fill
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

    def _repr_html_(self) -> str:
        """The words and the strongest features, for notebooks."""
        return fill("notebook.html", explanation=self)


def explain(model: Model, text: str, output: str | None = None) -> Explanation:
    """Take the logit of a label apart: the predicted one, unless ``output`` names another.

    Raises: InputError if the model has no such label.
    """
    features, texts, spoken = model.features, tokens(text), WordTable()
    occurring = spoken.add([text])  # tokens that are not known have n-grams of characters too
    spoken, ids = features.read_as(spoken, occurring.ids)
    occurring = occurring._replace(ids=ids)
    words, spelled = Tokens(features.words.numbers_of(spoken)[occurring.ids], occurring.offsets), features.spell(spoken)
    located = features.locate(words)
    documents = features.count(words, occurring.ids, spelled)
    logits = model.logits(documents)
    probabilities = model.probabilities(logits)[0].tolist() if model.labels else []
    several = model.settings.multi_label
    predicted = int(np.argmax(probabilities) if several else model.decide(logits)[0]) if model.labels else None
    chosen = predicted if output is None else label_number(model, output, "output")
    exact = forward(model, documents)
    table, W1, b1, W2, b2 = exact.parameters
    other, weights = _weights(logits[0], chosen, several)
    slope = weights @ W2 * (exact.Z[0] > 0)
    contributions = documents.counts / max(documents.counts.sum(), 1) * (table @ (slope @ W1))
    counts = np.unique(features.occurrences(words, occurring.ids, spelled).ids, return_counts=True)[1]

    # each word of an occurrence of a feature has an equal share of what the occurrence contributes
    of_each, of_words = contributions / np.maximum(counts, 1), np.zeros(len(texts))
    for size, ids in enumerate(located, start=1):
        ends = np.flatnonzero(ids != UNKNOWN)
        for back in range(size):
            of_words[ends - back] += of_each[np.searchsorted(exact.features, ids[ends])] / size
    known = words.ids != UNKNOWN
    of_words_only = exact.features[exact.features < features.first_piece].tolist()
    columns = zip(features.names_of(of_words_only), counts.tolist(), contributions.tolist(), strict=False)
    shares = {name: [count, contribution] for name, count, contribution in columns}
    for t, word in enumerate(occurring.ids):  # what its characters contribute counts for the word
        pieces = spelled.ids[spelled.offsets[word] : spelled.offsets[word + 1]]
        if len(pieces):
            contribution = of_each[np.searchsorted(exact.features, pieces)].sum()
            of_words[t] += contribution
            share = shares.setdefault(spoken.word(word), [0, 0.0])
            share[0] += not known[t]
            share[1] += contribution

    has_features = known | (np.diff(spelled.offsets)[occurring.ids] > 0)
    distinct = np.unique(occurring.ids[has_features])
    changes = (_logits_without(model, words.ids, occurring.ids, spelled, distinct) - exact.logits[0]) @ weights
    effects = dict(zip(map(spoken.word, distinct), changes.tolist(), strict=True))
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
        features=sorted(
            (
                FeatureShare(name, int(count), float(value), effects.get(name))
                for name, (count, value) in shares.items()
            ),
            key=lambda share: -abs(share.contribution),
        ),
        words=list(map(WordShare, texts, map(spoken.word, occurring.ids), known.tolist(), of_words.tolist())),
        known_words=int(known.sum()),
    )


def _weights(logits: np.ndarray, chosen: int | None, several: bool) -> tuple[int | None, np.ndarray]:
    """The label that the chosen one is compared with, if any, and the weights of the logits whose sum is explained."""
    other, weights = None, np.zeros(len(logits))
    if chosen is not None and several:
        weights[chosen] = 1
    elif chosen is not None and len(logits) > 1:
        other = max(set(range(len(logits))) - {chosen}, key=logits.__getitem__)  # probabilities may all be 0
        weights[chosen], weights[other] = 1, -1
    else:
        weights[0] = -1 if chosen == 0 else 1
    return other, weights


def _logits_without(
    model: Model, words: np.ndarray, ids: np.ndarray, spelled: Tokens, without: np.ndarray
) -> np.ndarray:
    """Logits of the text of these known words (t,), ids (t,) of a table that is spelled, without each of some ids (m,):
    (m, k) float64.

    The tokens around a word that is left out become neighbours, and may be an n-gram then.
    """
    per_block = max(1, TOKENS_PER_BLOCK // max(len(ids), 1))
    blocks = [np.zeros((0, len(model.parameters.b2)))]
    for start in range(0, len(without), per_block):
        kept = ids != without[start : start + per_block, np.newaxis]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept.sum(axis=1))])
        remaining, tokens_left = (np.broadcast_to(array, kept.shape)[kept] for array in (words, ids))
        blocks.append(forward(model, model.features.count(Tokens(remaining, offsets), tokens_left, spelled)).logits)
    return np.concatenate(blocks)
