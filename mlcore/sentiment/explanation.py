"""Why the classifier says what it says: the exact share of each feature in a logit, and what each word changes.

For a fixed pattern of units that are on, the network is linear in the mean embedding: with s = 1 where z > 0, else 0,

    logit_k = W2_k (s * (W1 E + b1)) + b2_k = sum_f a_f (W2_k * s) W1 E_f  +  W2_k (s * b1) + b2_k,

a_f being the share of feature f in the mean. Each term of the sum is the contribution of a feature; the rest is the
constant. All of this is computed in float64, with the pattern that the model finds in float32.
"""

from dataclasses import dataclass

import numpy as np

from mlcore.errors import InputError
from mlcore.kernels.forward import forward_texts
from mlcore.sentiment.model import Model
from mlcore.sentiment.precise import forward
from mlcore.text.ngrams import Documents, count_features
from mlcore.text.tokenizer import tokens
from mlcore.text.vocabulary import UNKNOWN, Tokens

TOKENS_PER_BLOCK = 500_000  # of shortened texts that are scored at a time; about 50 MB


@dataclass
class FeatureShare:
    """A feature of the text, how often it occurs there, and its exact share in the logit."""

    feature: str
    count: int
    contribution: float


@dataclass
class WordShare:
    """A token of the text, and the share in the logit of the features it is part of, divided among their words."""

    word: str
    known: bool
    contribution: float


@dataclass
class WordEffect:
    """A known word of the text, how often it occurs, and how the logit changes when it is left out everywhere."""

    word: str
    count: int
    change: float


@dataclass
class Explanation:
    """What a logit is made of: ``constant`` + the contributions of all ``features`` = ``logit``.

    Of the prediction: ``label`` with its ``probability``, both None for ratings. ``output`` is the label whose logit
    is explained, None for ratings, where ``logit`` is the predicted number. ``output_probability`` is its
    probability: the logistic function of ``logit`` with two labels, its share in the softmax with more.

    With two labels the network has one logit, that of the positive label. Where ``output`` is the negative one,
    ``logit``, ``constant``, every contribution and every change have the opposite sign of the network's, so that
    more is always more for ``output``, and the sum holds as above.
    """

    label: str | None
    probability: float | None
    output: str | None
    output_probability: float | None
    logit: float
    constant: float
    features: list[FeatureShare]  # the strongest first
    words: list[WordShare]  # one for each token, in the order of the text; these contributions have the same sum
    without: list[WordEffect]  # one for each distinct known word, the strongest first
    known_words: int  # tokens that the model knows, repeats included
    averaged: int  # N, the number of features in the mean: each counts once in a binary model, else with its repeats
    units_on: int
    units: int


def explain(classifier: Model, text: str, output: str | None = None) -> Explanation:
    """Take the logit of a label apart: the predicted one, unless ``output`` names another.

    Raises: InputError if the classifier has no such label.
    """
    features = classifier.features
    words = features.words.look_up([text])
    located = features.locate(words)
    documents = count_features(located, words.offsets, len(features), features.binary)
    logits, on = _predict(classifier, documents)
    probabilities = classifier.probabilities(logits)[0] if classifier.labels else None
    predicted = int(classifier.decide(logits)[0]) if classifier.labels else None
    chosen = predicted if output is None else number_of(classifier, output, "output")
    unit, sign = (0, 1 if chosen != 0 else -1) if len(classifier.labels) <= 2 else (chosen, 1)

    exact = forward(classifier, documents)
    _, W1, b1, W2, b2 = exact.parameters
    slope = sign * (W2[unit] * on)
    averaged = int(documents.counts.sum())
    contributions = documents.counts / max(averaged, 1) * (exact.parameters.table @ (slope @ W1))
    occurrences = (
        np.bincount(located[located != UNKNOWN], minlength=0)[exact.features] if averaged else documents.counts
    )
    texts = tokens(text)
    changes = sign * (_logits_without(classifier, words.ids)[:, unit] - exact.logits[0, unit])
    return Explanation(
        label=None if predicted is None else classifier.labels[predicted],
        probability=None if predicted is None else float(probabilities[predicted]),
        output=None if chosen is None else classifier.labels[chosen],
        output_probability=None if chosen is None else float(probabilities[chosen]),
        logit=float(slope @ (W1 @ exact.E[0] + b1) + sign * b2[unit]),
        constant=float(slope @ b1 + sign * b2[unit]),
        features=_feature_shares(features.names_of(exact.features.tolist()), occurrences, contributions),
        words=_word_shares(texts, located, exact.features, contributions / np.maximum(occurrences, 1)),
        without=_word_effects(texts, words.ids, changes),
        known_words=int(np.count_nonzero(words.ids != UNKNOWN)),
        averaged=averaged,
        units_on=int(on.sum()),
        units=len(on),
    )


def _predict(classifier: Model, documents: Documents) -> tuple[np.ndarray, np.ndarray]:
    """The model's own logits of a text, (1, k) float32, and which units are on, (h,) bool; z = 0 counts as off."""
    table, W1, _, W2, _ = classifier.parameters
    E, Z, H, logits = (np.zeros((1, width), np.float32) for width in (W1.shape[1], len(W1), len(W1), len(W2)))
    ids, counts, offsets = documents
    forward_texts(ids, counts, offsets[:-1], offsets[1:], classifier.parameters, E, Z, H, logits)
    return logits, Z[0] > 0


def number_of(classifier: Model, label: str, what: str) -> int:
    """Number of a label; ``what`` says in an error whose label it is.

    Raises: InputError if the classifier has no such label.
    """
    if not classifier.labels:
        raise InputError(f"{what} is {label!r}, but the model predicts a number; expected no label.")
    if label not in classifier.labels:
        shown = ", ".join(classifier.labels[:20]) + (", ..." if len(classifier.labels) > 20 else "")
        raise InputError(f"{what} is {label!r}; expected one of the model's labels: {shown}.")
    return classifier.labels.index(label)


def _logits_without(classifier: Model, ids: np.ndarray) -> np.ndarray:
    """Logits of the text without each of its distinct known words, in the order of their numbers: (m, k) float64.

    The tokens around a word that is left out become neighbours, and may be an n-gram then.

    Shapes: ids (t,) of the text's tokens.
    """
    features = classifier.features
    distinct = np.unique(ids[ids != UNKNOWN])
    per_block = max(1, TOKENS_PER_BLOCK // max(len(ids), 1))
    blocks = [np.zeros((0, len(classifier.parameters.b2)))]
    for start in range(0, len(distinct), per_block):
        kept = ids != distinct[start : start + per_block, np.newaxis]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept.sum(axis=1))])
        shortened = Tokens(np.broadcast_to(ids, kept.shape)[kept], offsets)
        documents = count_features(features.locate(shortened), offsets, len(features), features.binary)
        blocks.append(forward(classifier, documents).logits)
    return np.concatenate(blocks)


def _feature_shares(names: list[str], occurrences: np.ndarray, contributions: np.ndarray) -> list[FeatureShare]:
    order = np.argsort(-np.abs(contributions), kind="stable").tolist()
    return [FeatureShare(names[i], int(occurrences[i]), float(contributions[i])) for i in order]


def _word_shares(texts: list[str], located: np.ndarray, features: np.ndarray, of_each: np.ndarray) -> list[WordShare]:
    """What each token adds: of every feature that it is part of, an equal share of that occurrence.

    Shapes: located (g, t), features (r,) ascending, of_each (r,) contribution of one occurrence.
    """
    shares = np.zeros(len(texts))
    for size, ids in enumerate(located, start=1):
        ends = np.flatnonzero(ids != UNKNOWN)
        share = of_each[np.searchsorted(features, ids[ends])] / size
        for back in range(size):
            shares[ends - back] += share  # no place occurs twice
    known = (located[0] != UNKNOWN).tolist()
    return [WordShare(*entry) for entry in zip(texts, known, shares.tolist(), strict=True)]


def _word_effects(texts: list[str], ids: np.ndarray, changes: np.ndarray) -> list[WordEffect]:
    """Shapes: ids (t,) of the tokens; changes (m,) of the distinct known words, in the order of their numbers."""
    known = np.flatnonzero(ids != UNKNOWN)
    _, first, counts = np.unique(ids[known], return_index=True, return_counts=True)
    order = np.argsort(-np.abs(changes), kind="stable").tolist()
    return [WordEffect(texts[known[first[i]]], int(counts[i]), float(changes[i])) for i in order]
