"""Explanations: contributions that sum to the logit, and leaving words out, against a naive twin."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from naive import THREE, TWO, WORDS, features_of, logits_of, random_model

from mlcore.errors import InputError
from mlcore.sentiment.explanation import explain
from mlcore.text.tokenizer import tokens

TEXTS = st.lists(st.sampled_from([*WORDS, "zzz", "unheard"]), max_size=25).map(" ".join)
KINDS = [((), False), (TWO, False), (THREE, False), (tuple("abcde"), False), (TWO, True), (THREE, True)]  # several?
MODELS = st.builds(
    lambda kind, **more: random_model(labels=kind[0], multi_label=kind[1], **more),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 50),
    ngrams=st.integers(1, 3),
    binary=st.booleans(),
    scale=st.sampled_from([0.01, 1.0, 10.0]),
)


@given(MODELS, TEXTS, st.integers(0, 4))
@example(random_model(1, TWO, 2), "", 0)
@example(random_model(1, THREE, 2), "zzz unheard", 2)
@example(random_model(1, (), 3, False), "not good good not good not", 0)
def test_contributions_sum_to_the_logit_and_leaving_out_is_predicting_again(model, text, number):
    labels, words, several = model.labels, tokens(text), model.settings.multi_label
    output = labels[number % len(labels)] if labels else None
    found = explain(model, text, output)
    sign = -1 if len(labels) == 2 and output == labels[0] and not several else 1
    column = labels.index(output) if len(labels) > 2 or several else 0
    others = [i for i in range(len(labels)) if i != column]
    best = max(others, key=lambda i: logits_of(model, words)[i]) if len(labels) > 2 and not several else None
    assert found.against == (None if best is None else labels[best])

    def explained(words):
        return logits_of(model, words)[column] - (0 if best is None else logits_of(model, words)[best])

    logit, close = explained(words), 1e-5 * (1 + abs(found.logit))

    for parts in (found.features, found.words):
        assert found.constant + sum(part.contribution for part in parts) == pytest.approx(found.logit, abs=close)
    assert found.logit == pytest.approx(sign * logit, abs=close)

    counts = features_of(model.features, words)
    assert {feature.feature: feature.count for feature in found.features} == counts
    assert found.averaged == (len(counts) if model.features.binary else sum(counts.values()))
    assert [(word.word, word.known) for word in found.words] == [(word, word in WORDS) for word in words]
    assert all(word.contribution == 0 for word in found.words if not word.known)
    assert found.known_words == sum(word.known for word in found.words)

    assert sorted(effect.word for effect in found.without) == sorted(set(words) & set(WORDS))
    for effect in found.without:
        rest = [word for word in words if word != effect.word]
        assert effect.count == len(words) - len(rest)
        change, scale = sign * (explained(rest) - logit), 1 + np.abs(logits_of(model, words)).max()
        assert effect.change == pytest.approx(change, rel=1e-9, abs=1e-9 * scale)
        assert found.change_without(effect.word) == effect.change
    strengths = [abs(effect.change) for effect in found.without]
    assert strengths == sorted(strengths, reverse=True)

    outputs = model.logits(model.features.documents([text]))
    np.testing.assert_allclose(outputs[0], logits_of(model, words), rtol=1e-4, atol=1e-4 * (1 + abs(found.logit)))
    certain = model.probabilities(outputs)[0] if labels else None
    assert found.label == explain(model, text).output == (labels[certain.argmax()] if labels else None)
    assert found.probability == (certain.max() if labels else None)
    assert found.output_probability == (certain[labels.index(output)] if labels else None)


@pytest.mark.parametrize("binary", [False, True])
def test_a_word_has_the_shares_of_its_characters(binary):
    """Also where it is not known; what is left out takes its characters with it."""
    model, text = random_model(4, THREE, 2, binary, characters="2-4"), "good bad goodish ! goodish zzz"
    found, words = explain(model, text), tokens(text)
    assert found.averaged == sum(1 if binary else n for n in features_of(model.features, words).values())
    for parts in (found.features, found.words):
        assert found.constant + sum(part.contribution for part in parts) == pytest.approx(found.logit, abs=1e-5)
    shares = {share.feature: share for share in found.features}
    assert {"goodish", "good bad"} < shares.keys()
    assert shares.keys() <= {*words, *(f"{a} {b}" for a, b in pairwise(words))}
    assert (shares["goodish"].count, shares["good"].count) == (2, 1)
    unknown = [word for word in found.words if word.word == "goodish"]
    assert sum(word.contribution for word in unknown) == pytest.approx(shares["goodish"].contribution)
    column, other = (model.labels.index(label) for label in (found.output, found.against))
    for word in ("goodish", "good"):
        rest, all_words = ([one for one in words if one != without] for without in (word, ""))
        change = np.subtract(
            *((logits := logits_of(model, some))[column] - logits[other] for some in (rest, all_words))
        )
        assert found.change_without(word) == pytest.approx(change)


def test_a_contribution_is_the_share_in_the_mean_times_the_slope_of_the_units_that_are_on():
    model = random_model(3, TWO, 1, False)
    table, W1, b1, W2, b2 = (array.astype(np.float64) for array in model.parameters)
    found = explain(model, "good good bad zzz", "pos")
    good, bad = (model.features.names.index(word) for word in ("good", "bad"))
    on = W1 @ (2 * table[good] + table[bad]) / 3 + b1 > 0
    shares = {feature.feature: feature.contribution for feature in found.features}
    assert shares["good"] == pytest.approx(2 / 3 * (W2[0] * on) @ W1 @ table[good])
    assert found.constant == pytest.approx((W2[0] * on) @ b1 + b2[0])
    assert (found.units, found.units_on, on[0]) == (5, on.sum(), False)
    each = [shares["good"] / 2, shares["good"] / 2, shares["bad"], 0]
    assert [word.contribution for word in found.words] == pytest.approx(each)
    # that of an n-gram is shared by its words and occurrences
    model = random_model(1, TWO, 2)
    for array in model.parameters:
        array[:] = 0
    model.parameters.table[model.features.names.index("not good"), 0] = 1
    model.parameters.W1[0, 0], model.parameters.W2[:], model.parameters.b1[:] = 1, 1, 1
    found = explain(model, "not good not good")
    strongest, share = found.features[0], 1 / found.averaged
    assert (strongest.feature, strongest.count, strongest.contribution) == ("not good", 2, pytest.approx(share))
    assert [word.contribution for word in found.words] == pytest.approx([share / 4] * 4)


def test_leaving_words_out_in_blocks_gives_the_same(monkeypatch):
    model, text = random_model(5, THREE, 3), " ".join(WORDS * 4)
    whole = explain(model, text)
    monkeypatch.setattr("mlcore.sentiment.explanation.TOKENS_PER_BLOCK", 70)
    assert explain(model, text) == whole


@pytest.mark.parametrize(("labels", "message"), [
    (THREE, "output is 'x'; expected one of the model's labels: 'a', 'b', 'c'"), ((), "the model predicts ratings"),
])  # fmt: skip
def test_an_unknown_label_is_refused(labels, message):
    with pytest.raises(InputError, match=message):
        explain(random_model(1, labels), "good", "x")
