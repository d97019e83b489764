"""Explanations: contributions that sum to the logit, and leaving words out, against a naive twin."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import needs_speed
from hypothesis import example, given
from hypothesis import strategies as st

from mlcore.errors import InputError
from mlcore.sentiment.explanation import explain
from mlcore.sentiment.markup import coloured_words, page
from mlcore.sentiment.model import Model, Parameters, initial_parameters
from mlcore.sentiment.settings import Settings
from mlcore.text.features import Features, choose_features
from mlcore.text.tokenizer import tokens
from mlcore.text.vocabulary import WordTable

WORDS = ["good", "bad", "film", "not", "it's", "!", ",", "plot"]
TEXTS = st.lists(st.sampled_from([*WORDS, "zzz", "unheard"]), max_size=25).map(" ".join)


def random_classifier(seed: int, labels: int, ngrams: int, binary: bool, scale: float = 1.0) -> Model:
    """Random parameters, and n-grams of random texts as features; one unit is 0 for every text, one always on."""
    random = np.random.default_rng(seed)
    table = WordTable()
    texts = [" ".join(random.choice(WORDS, 6)) for _ in range(12)]
    token_ids = table.add([" ".join(WORDS), *texts])
    features = choose_features(table, token_ids, np.arange(13), ngrams, 1, None, binary)
    names = () if labels == 0 else tuple(f"l{number}" for number in range(labels))
    settings = Settings(
        dim=3, hidden=5, ngrams=ngrams, binary=binary, loss="logistic" if labels else "squared", min_count=1
    )
    outputs = labels if labels > 2 else 1
    parameters = Parameters.zeros(len(features), 3, 5, outputs)
    for array in (parameters.table[:, :3], parameters.W1[:, :3], parameters.b1, parameters.W2, parameters.b2):
        array[:] = scale * random.normal(size=array.shape)
    parameters.W1[0], parameters.b1[0] = 0, 0
    parameters.b1[1] = 100 * scale**2
    return Model(settings, names, features, parameters)


MODELS = st.builds(
    random_classifier,
    seed=st.integers(0, 50),
    labels=st.sampled_from([0, 2, 3, 5]),
    ngrams=st.integers(1, 3),
    binary=st.booleans(),
    scale=st.sampled_from([0.01, 1.0, 10.0]),
)


def naive_features(features: Features, words: list[str]) -> dict[str, int]:
    """Occurrences of each known feature among the words, by their names."""
    known, found = set(features.names), {}
    for size in range(1, features.largest + 1):
        for start in range(len(words) - size + 1):
            name = " ".join(words[start : start + size])
            if name in known:
                found[name] = found.get(name, 0) + 1
    return found


def naive_logits(classifier: Model, words: list[str]) -> np.ndarray:
    """The formulas of exercise 5 in float64, one feature at a time."""
    table, W1, b1, W2, b2 = (array.astype(np.float64) for array in classifier.parameters)
    counts = naive_features(classifier.features, words)
    weights = {name: 1 if classifier.features.binary else count for name, count in counts.items()}
    E, names = np.zeros(table.shape[1]), classifier.features.names
    for name, weight in weights.items():
        E += weight / sum(weights.values()) * table[names.index(name)]
    return W2 @ np.maximum(W1 @ E + b1, 0) + b2


@given(MODELS, TEXTS, st.integers(0, 4))
@example(random_classifier(1, 2, 2, True), "", 0)
@example(random_classifier(1, 3, 2, True), "zzz unheard", 2)
@example(random_classifier(1, 0, 3, False), "not good not good not", 0)
def test_contributions_sum_to_the_logit_and_leaving_out_is_predicting_again(classifier, text, number):
    labels = classifier.labels
    output = labels[number % len(labels)] if labels else None
    found = explain(classifier, text, output)
    names = [feature.feature for feature in found.features]
    sign = -1 if len(labels) == 2 and output == labels[0] else 1
    column = labels.index(output) if len(labels) > 2 else 0
    logits = naive_logits(classifier, tokens(text))
    close = 1e-5 * (1 + abs(found.logit))

    by_features = found.constant + sum(feature.contribution for feature in found.features)
    by_words = found.constant + sum(word.contribution for word in found.words)
    assert by_features == pytest.approx(found.logit, abs=close)
    assert by_words == pytest.approx(found.logit, abs=close)
    assert found.logit == pytest.approx(sign * logits[column], abs=close)
    assert found.logit == pytest.approx(
        sign * classifier.logits(classifier.features.documents([text]))[0, column], rel=1e-4, abs=1e-4 * (1 + close)
    )

    counts = naive_features(classifier.features, tokens(text))
    assert dict(zip(names, (feature.count for feature in found.features), strict=True)) == counts
    assert found.averaged == (len(counts) if classifier.features.binary else sum(counts.values()))
    assert [word.word for word in found.words] == tokens(text)
    assert [word.known for word in found.words] == [word in WORDS for word in tokens(text)]
    assert all(word.contribution == 0 for word in found.words if not word.known)
    assert found.known_words == sum(word.known for word in found.words)

    assert sorted(effect.word for effect in found.without) == sorted(set(tokens(text)) & set(WORDS))
    for effect in found.without:
        rest = [word for word in tokens(text) if word != effect.word]
        assert effect.count == len(tokens(text)) - len(rest)
        change = sign * (naive_logits(classifier, rest) - logits)[column]
        assert effect.change == pytest.approx(change, rel=1e-9, abs=1e-9 * (1 + np.abs(logits).max()))
    strengths = [abs(effect.change) for effect in found.without]
    assert strengths == sorted(strengths, reverse=True)


@given(MODELS, TEXTS)
def test_the_prediction_is_the_models_own(classifier, text):
    found = explain(classifier, text)
    logits = classifier.logits(classifier.features.documents([text]))
    if not classifier.labels:
        assert found.label is found.probability is found.output is found.output_probability is None
        return
    number = int(classifier.decide(logits)[0])
    assert found.label == found.output == classifier.labels[number]
    assert found.probability == found.output_probability == classifier.probabilities(logits)[0, number]
    if len(classifier.labels) == 2:
        assert found.output_probability == pytest.approx(1 / (1 + np.exp(-found.logit)), rel=1e-3)


def test_a_contribution_is_the_share_in_the_mean_times_the_slope_of_the_units_that_are_on():
    classifier = random_classifier(3, 2, 1, False)
    table, W1, b1, W2, b2 = (array.astype(np.float64) for array in classifier.parameters)
    found = explain(classifier, "good good bad zzz", "l1")
    good, bad = (classifier.features.names.index(word) for word in ("good", "bad"))
    on = W1 @ (2 * table[good] + table[bad]) / 3 + b1 > 0
    shares = {feature.feature: (feature.count, feature.contribution) for feature in found.features}
    assert shares["good"] == (2, pytest.approx(2 / 3 * (W2[0] * on) @ W1 @ table[good]))
    assert shares["bad"] == (1, pytest.approx(1 / 3 * (W2[0] * on) @ W1 @ table[bad]))
    assert found.constant == pytest.approx((W2[0] * on) @ b1 + b2[0])
    assert (found.units, found.units_on) == (5, on.sum()) and not on[0]
    assert [word.contribution for word in found.words] == pytest.approx(
        [shares["good"][1] / 2, shares["good"][1] / 2, shares["bad"][1], 0]
    )


def test_an_ngram_is_shared_by_its_words_and_its_occurrences():
    classifier = random_classifier(3, 2, 1, True)
    table = WordTable()
    features = choose_features(table, table.add(["not good . good bad ."]), np.array([0]), 2, 1, None, True)
    parameters = Parameters.zeros(len(features), 3, 5, 1)
    parameters.table[features.names.index("not good"), 0] = 1
    parameters.W1[0, 0], parameters.W2[:], parameters.b1[:] = 1, 1, 1
    found = explain(Model(classifier.settings, ("neg", "pos"), features, parameters), "not good not good")
    (strongest, *_) = found.features
    assert (strongest.feature, strongest.count, strongest.contribution) == ("not good", 2, pytest.approx(1 / 3))
    assert [word.contribution for word in found.words] == pytest.approx([1 / 12] * 4)


def test_leaving_words_out_in_blocks_gives_the_same(monkeypatch):
    classifier, text = random_classifier(5, 3, 3, True), " ".join(WORDS * 4)
    whole = explain(classifier, text)
    monkeypatch.setattr("mlcore.sentiment.explanation.TOKENS_PER_BLOCK", 70)
    assert explain(classifier, text) == whole


@needs_speed
def test_a_long_text_of_many_words():
    table = WordTable()
    text = " ".join(f"w{number % 1_500} w{number % 7}" for number in range(5_000))
    features = choose_features(table, table.add([text]), np.array([0]), 2, 1, None, True)
    settings = Settings(dim=3, hidden=5, ngrams=2)
    parameters = initial_parameters(len(features), 1, settings)
    found = explain(Model(settings, ("neg", "pos"), features, parameters), text)
    assert (len(found.words), len(found.without)) == (10_000, 1_500)


def test_an_unknown_label_is_refused():
    with pytest.raises(InputError, match="output is 'x'; expected one of the model's labels: l0, l1, l2"):
        explain(random_classifier(1, 3, 1, True), "good", "x")
    with pytest.raises(InputError, match="predicts a number"):
        explain(random_classifier(1, 0, 1, True), "good", "x")


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


def test_coloured_words_are_escaped_and_the_strongest_has_the_strongest_colour():
    explanation = explain(random_classifier(1, 2, 1, True), "Not (good), zzz; bad!")
    explanation.words[2] = replace(explanation.words[2], word='<script>"&')
    html = coloured_words(explanation)
    found = Tags(html)
    assert {tag for tag, _ in found.tags} == {"span"}
    assert found.text == 'not (<script>"&), zzz; bad!'
    opacity = [float(re.search(r",([0-9.]+)\)", at["style"])[1]) if "rgba" in at["style"] else 0.0
               for _, at in found.tags]  # fmt: skip
    strengths = [abs(word.contribution) for word in explanation.words]
    assert opacity == pytest.approx([0.6 * strength / max(strengths) for strength in strengths], abs=1e-3)
    assert coloured_words(explain(random_classifier(1, 2, 1, True), "")) == ""
    assert coloured_words(explain(random_classifier(1, 2, 1, True), "zzz")).startswith('<span style="opacity')


def test_the_page_needs_nothing_else():
    explanations = [explain(random_classifier(1, 3, 2, True), text) for text in ("not good <b> film", "")]
    found = Tags(page(explanations, 2))
    names = {tag for tag, _ in found.tags}
    assert names.isdisjoint({"script", "link", "img", "iframe"}) and {"h1", "table", "style"} <= names
    assert not any(key in ("src", "href") or key.startswith("on") for _, at in found.tags for key in at)
    assert "3 of 3 words known" in found.text and "more)" in found.text and "constant" in found.text
