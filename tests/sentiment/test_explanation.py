"""Explanations: what each feature and word contributes, and leaving words out, against a naive twin."""

from functools import partial

import numpy as np
import pytest
from conftest import pieces_of
from hypothesis import example, given
from hypothesis import strategies as st
from naive import THREE, TWO, WORDS, features_of, logits_of, numbers_of, random_model

from mlcore.errors import InputError
from mlcore.sentiment.explanation import explain
from mlcore.text.tokenizer import tokens

TEXTS = st.lists(st.sampled_from([*WORDS, "zzz", "unheard", "goodish"]), max_size=25).map(" ".join)
KINDS = [((), False), (TWO, False), (THREE, False), (tuple("abcde"), False), (TWO, True), (THREE, True)]  # several?
MODELS = st.builds(
    lambda kind, **more: partial(random_model, labels=kind[0], multi_label=kind[1], **more),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 50),
    ngrams=st.integers(1, 3),
    binary=st.booleans(),
    scale=st.sampled_from([0.01, 1.0, 10.0]),
    characters=st.sampled_from(["none", "2-4"]),
)


def naive_shares(model, words, weights):
    """What each feature and each word adds to a weighted sum of the logits, one occurrence after the other; n-grams of
    characters add to their word.
    """
    table, W1, b1, W2, _ = (array.astype(np.float64) for array in model.parameters)
    counts, numbers = features_of(model.features, words), numbers_of(model.features)
    total = len(counts) if model.features.binary else sum(counts.values())
    rows = {name: (1 if model.features.binary else n) / total * table[numbers[name]] for name, n in counts.items()}
    on = W1 @ sum(rows.values(), np.zeros(table.shape[1])) + b1 > 0
    each = {name: (weights @ W2 * on) @ W1 @ row / counts[name] for name, row in rows.items()}
    features, of_words = {}, np.zeros(len(words))
    for start, word in enumerate(words):
        found = [(" ".join(words[start : start + size]), size) for size in range(1, model.features.largest + 1)]
        own = [(name, name, size) for name, size in found[: len(words) - start]]
        own += [(f"^ {name}", f"^ {name}", size) for name, size in found[: len(words)] if start == 0]
        own += [(f"[{piece}]", word, 1) for piece in pieces_of(word, model.features.pieces.sizes)]
        for name, owner, size in own:
            if name in each:
                features[owner] = features.get(owner, 0) + each[name]
                of_words[start : start + size] += each[name] / size
    return features, of_words


@given(MODELS, TEXTS, st.integers(0, 4))
@example(partial(random_model, 1, TWO, 2), "", 0)
@example(partial(random_model, 1, THREE, 2), "zzz unheard", 2)
@example(partial(random_model, 4, THREE, 2, characters="2-4"), "good bad goodish ! goodish zzz", 1)
@example(partial(random_model, 1, (), 3, False), "not good good not good not", 0)
def test_contributions_are_exact_and_leaving_out_is_predicting_again(make, text, number):
    model = make()
    labels, words, several = model.labels, tokens(text), model.settings.multi_label
    output = labels[number % len(labels)] if labels else None
    found, logits = explain(model, text, output), logits_of(model, words)
    weights, against = np.zeros(len(logits)), None
    column = labels.index(output) if len(logits) > 1 else 0
    weights[column] = -1 if len(logits) == 1 and labels[:1] == (output,) else 1
    if len(logits) > 1 and not several:
        best = max((i for i in range(len(labels)) if i != column), key=lambda i: logits[i])
        weights[best], against = -1, labels[best]
    features, of_words = naive_shares(model, words, weights)
    size = 1 + np.abs(logits).max()

    assert found.against == against
    assert found.logit == pytest.approx(weights @ logits, abs=1e-5 * size)
    for parts in (found.features, found.words):
        total = found.constant + sum(part.contribution for part in parts)
        assert total == pytest.approx(found.logit, abs=1e-5 * size)
    close = {"rel": 1e-6, "abs": 1e-6 * (size + max(map(abs, features.values()), default=0))}
    assert {share.feature: share.contribution for share in found.features} == pytest.approx(features, **close)
    assert [word.contribution for word in found.words] == pytest.approx(of_words, **close)
    counts = features_of(model.features, words)
    for share in found.features:
        assert share.count == (counts.get(share.feature) or words.count(share.feature))
    assert [(word.word, word.known) for word in found.words] == [(word, word in WORDS) for word in words]
    assert found.known_words == sum(word.known for word in found.words)

    for share in found.features:
        if share.feature not in words:
            assert share.without is None
            continue
        rest = logits_of(model, [word for word in words if word != share.feature])
        assert share.without == pytest.approx(weights @ (rest - logits), rel=1e-9, abs=1e-9 * size)

    outputs = model.logits(model.features.documents([text]))
    np.testing.assert_allclose(outputs[0], logits, rtol=1e-4, atol=1e-4 * size)
    certain = model.probabilities(outputs)[0] if labels else None
    assert found.label == explain(model, text).output == (labels[certain.argmax()] if labels else None)
    assert found.probability == (certain.max() if labels else None)
    assert found.output_probability == (certain[labels.index(output)] if labels else None)


def test_leaving_words_out_in_blocks_gives_the_same(monkeypatch):
    model, text = random_model(5, THREE, 3), " ".join(WORDS * 4)
    whole = explain(model, text)
    monkeypatch.setattr("mlcore.sentiment.explanation.TOKENS_PER_BLOCK", 70)
    assert explain(model, text) == whole


def test_ratings_have_no_labels():
    with pytest.raises(InputError, match="the model predicts ratings"):
        explain(random_model(1, ()), "good", "x")
