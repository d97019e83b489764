"""Explanations: contributions that sum to the logit, and leaving words out, against a naive twin; and their page."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive import THREE, TWO, WORDS, features_of, logits_of, random_model

from mlcore.errors import InputError
from mlcore.sentiment.explanation import explain
from mlcore.sentiment.model import Model, Parameters
from mlcore.sentiment.report import explanation_page
from mlcore.text.ngrams import choose_features
from mlcore.text.tokenizer import tokens
from mlcore.text.vocabulary import WordTable

TEXTS = st.lists(st.sampled_from([*WORDS, "zzz", "unheard"]), max_size=25).map(" ".join)
MODELS = st.builds(
    random_model,
    seed=st.integers(0, 50),
    labels=st.sampled_from([(), TWO, THREE, tuple("abcde")]),
    ngrams=st.integers(1, 3),
    binary=st.booleans(),
    scale=st.sampled_from([0.01, 1.0, 10.0]),
)


@settings(max_examples=150)
@given(MODELS, TEXTS, st.integers(0, 4))
@example(random_model(1, TWO, 2), "", 0)
@example(random_model(1, THREE, 2), "zzz unheard", 2)
@example(random_model(1, (), 3, False), "not good good not good not", 0)
def test_contributions_sum_to_the_logit_and_leaving_out_is_predicting_again(model, text, number):
    labels, words = model.labels, tokens(text)
    output = labels[number % len(labels)] if labels else None
    found = explain(model, text, output)
    sign = -1 if len(labels) == 2 and output == labels[0] else 1
    column = labels.index(output) if len(labels) > 2 else 0
    logits, close = logits_of(model, words), 1e-5 * (1 + abs(found.logit))

    for parts in (found.features, found.words):
        assert found.constant + sum(part.contribution for part in parts) == pytest.approx(found.logit, abs=close)
    assert found.logit == pytest.approx(sign * logits[column], abs=close)

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
        change = sign * (logits_of(model, rest) - logits)[column]
        assert effect.change == pytest.approx(change, rel=1e-9, abs=1e-9 * (1 + np.abs(logits).max()))
        assert found.change_without(effect.word) == effect.change
    strengths = [abs(effect.change) for effect in found.without]
    assert strengths == sorted(strengths, reverse=True)


@settings(max_examples=100)
@given(MODELS, TEXTS)
def test_the_prediction_is_the_models_own(model, text):
    found, logits = explain(model, text), model.logits(model.features.documents([text]))
    if not model.labels:
        assert found.label is found.probability is found.output is found.output_probability is None
        return
    number = int(model.decide(logits)[0])
    assert found.label == found.output == model.labels[number]
    assert found.probability == found.output_probability == model.probabilities(logits)[0, number]
    if len(model.labels) == 2:
        assert found.output_probability == pytest.approx(1 / (1 + np.exp(-found.logit)), rel=1e-3)


def test_a_contribution_is_the_share_in_the_mean_times_the_slope_of_the_units_that_are_on():
    model = random_model(3, TWO, 1, False)
    table, W1, b1, W2, b2 = (array.astype(np.float64) for array in model.parameters)
    found = explain(model, "good good bad zzz", "pos")
    good, bad = (model.features.names.index(word) for word in ("good", "bad"))
    on = W1 @ (2 * table[good] + table[bad]) / 3 + b1 > 0
    shares = {feature.feature: feature.contribution for feature in found.features}
    assert shares["good"] == pytest.approx(2 / 3 * (W2[0] * on) @ W1 @ table[good])
    assert shares["bad"] == pytest.approx(1 / 3 * (W2[0] * on) @ W1 @ table[bad])
    assert found.constant == pytest.approx((W2[0] * on) @ b1 + b2[0])
    assert (found.units, found.units_on) == (5, on.sum())
    assert not on[0]
    each = [shares["good"] / 2, shares["good"] / 2, shares["bad"], 0]
    assert [word.contribution for word in found.words] == pytest.approx(each)


def model_of(text, ngrams):
    """A model that knows the words and n-grams of this text."""
    table = WordTable()
    features = choose_features(table, table.add([text]), np.array([0]), ngrams, 1, None, True)
    settings = replace(random_model(1).settings, ngrams=ngrams)
    return Model(settings, TWO, features, Parameters.zeros(len(features), 3, 5, 1))


def test_an_ngram_is_shared_by_its_words_and_its_occurrences():
    model = model_of("not good . good bad .", 2)
    model.parameters.table[model.features.names.index("not good"), 0] = 1
    model.parameters.W1[0, 0], model.parameters.W2[:], model.parameters.b1[:] = 1, 1, 1
    found = explain(model, "not good not good")
    strongest = found.features[0]
    assert (strongest.feature, strongest.count, strongest.contribution) == ("not good", 2, pytest.approx(1 / 3))
    assert [word.contribution for word in found.words] == pytest.approx([1 / 12] * 4)


def test_leaving_words_out_in_blocks_gives_the_same(monkeypatch):
    model, text = random_model(5, THREE, 3), " ".join(WORDS * 4)
    whole = explain(model, text)
    monkeypatch.setattr("mlcore.sentiment.explanation.TOKENS_PER_BLOCK", 70)
    assert explain(model, text) == whole


def test_an_unknown_label_is_refused():
    with pytest.raises(InputError, match="output is 'x'; expected one of the model's labels: a, b, c"):
        explain(random_model(1, THREE), "good", "x")
    with pytest.raises(InputError, match="the model predicts ratings"):
        explain(random_model(1, ()), "good", "x")


class Tags(HTMLParser):
    """Collects the tags and the text of HTML."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_the_page_is_escaped_and_needs_nothing_else():
    explanation = explain(random_model(1, THREE, 2), "Not (good), zzz; bad!")
    words = list(explanation.words)
    words[2] = replace(words[2], word='<script>"&\x1b\u202e')
    page = explanation_page([replace(explanation, words=words), explain(random_model(1), "")], 2)
    found = Tags(page)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert not any(key in ("src", "href") or key.startswith("on") for _, at in found.tags for key in at)
    policy = next(at["content"] for _, at in found.tags if at.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    for part in ('not (<script>"&\ufffd\ufffd), zzz; bad!', "words known", "more)", "constant"):
        assert part in found.text
    spans = [at for tag, at in found.tags if tag == "span" and at["class"] in ("for", "against", "unknown")]
    strengths = [abs(word.contribution) for word in words]
    shares = [float(at["style"].removeprefix("--share:")) if "style" in at else 0 for at in spans]
    assert shares == pytest.approx([strength / max(strengths) for strength in strengths], abs=1e-3)
    signs = {"for": 1, "against": -1, "unknown": 0}
    assert [signs[at["class"]] for at in spans] == [np.sign(w.contribution) if w.known else 0 for w in words]
