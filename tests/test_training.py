"""Training as a whole: the same bits for any number of threads, the best epoch kept, divergence found."""

import dataclasses
import hashlib

import numpy as np
import pytest

from mlcore.errors import DataError, DivergedError, InputError
from mlcore.sentiment import evaluation
from mlcore.sentiment.classifier import Classifier, Parameters
from mlcore.sentiment.modelfile import save
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import fit, hold_out, prepare
from mlcore.text.corpus import Corpus


def make_corpus(texts=200, seed=0):
    """Texts whose label follows from one word among others, some of them empty."""
    random = np.random.default_rng(seed)
    corpus = Corpus("made")
    for _ in range(texts):
        label = random.choice(["neg", "pos"])
        words = [f"w{i}" for i in random.zipf(1.5, random.integers(0, 12)) if i < 50]
        corpus.texts.append(" ".join([*words, {"neg": "bad", "pos": "good"}[label]]) if random.random() > 0.02 else "")
        corpus.labels.append(label)
        corpus.splits.append("")
    return corpus


def train(corpus, settings, threads=1, dev=None):
    data = prepare(corpus, dev, settings)
    classifier = Classifier(settings, data.labels, data.vocabulary, Parameters.initial(len(data.vocabulary), settings))
    return classifier, data, list(fit(classifier, data.train, data.dev, threads))


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_same_bytes_for_any_number_of_threads(tmp_path, optimizer):
    settings = Settings(dim=5, hidden=6, epochs=2, batch_size=16, optimizer=optimizer, min_count=1)
    hashes = set()
    for threads in (1, 2, 3, 7, 100_000):
        classifier, *_ = train(make_corpus(), settings, threads)
        save(classifier, tmp_path / "model.npz")
        hashes.add(hashlib.sha256((tmp_path / "model.npz").read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_seed_matters_and_is_all_that_matters():
    def table(seed):
        return train(make_corpus(), Settings(dim=3, epochs=1, seed=seed))[0].parameters.table

    np.testing.assert_array_equal(table(1), table(1))
    assert not np.array_equal(table(1), table(2))


def test_learns_and_keeps_the_best_epoch():
    classifier, data, reports = train(make_corpus(), Settings(dim=5, hidden=4, epochs=8, learning_rate=0.1))
    best = min(reports, key=lambda report: report.dev_loss)
    assert [report.epoch for report in reports if report.best][-1] == best.epoch
    result = evaluation.evaluate(classifier, data.dev)
    assert result.loss == pytest.approx(best.dev_loss, rel=1e-6)
    assert result.accuracy > 0.95
    assert result.confusion.sum() == result.n == len(data.dev.rows)


def test_best_is_the_first_of_equal_losses():
    corpus = make_corpus()
    settings = Settings(dim=2, hidden=2, epochs=3, learning_rate=1e-30)
    _, _, reports = train(corpus, settings)
    assert [report.best for report in reports] == [True, False, False]


def test_interrupted_training_holds_the_best_complete_epoch():
    settings = Settings(dim=5, hidden=4, epochs=5)
    data = prepare(make_corpus(), None, settings)
    classifier = Classifier(settings, data.labels, data.vocabulary, Parameters.initial(len(data.vocabulary), settings))
    seen = []

    def interrupt(state):
        if state.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for report in fit(classifier, data.train, data.dev, 2, interrupt):
            seen.append(report)
    assert len(seen) == 2
    assert evaluation.evaluate(classifier, data.dev).loss == pytest.approx(min(r.dev_loss for r in seen), rel=1e-6)


def test_nothing_held_out_keeps_the_last_epoch():
    corpus = make_corpus()
    classifier, data, reports = train(corpus, Settings(dim=3, epochs=3), dev=0)
    assert data.dev is None
    assert len(data.train.rows) == len(corpus.texts)
    assert [report.best for report in reports] == [True] * 3
    assert reports[0].dev_loss is None


def test_divergence_is_found():
    with pytest.raises(DivergedError, match="epoch 1: with a learning rate of 1e\\+38 .* try --learning-rate 1\\."):
        train(make_corpus(), Settings(dim=3, optimizer="sgd", learning_rate=1e38))


def test_hold_out_is_a_share_of_each_label():
    labels = np.array([0] * 90 + [1] * 10)
    held_out = hold_out(labels, 0.1, seed=1)
    assert held_out[:90].sum() == 9
    assert held_out[90:].sum() == 1


def test_parts_of_a_corpus():
    corpus = make_corpus(100)
    corpus.splits = ["train"] * 60 + ["dev"] * 20 + ["test"] * 15 + [""] * 5
    settings = Settings(dim=2, min_count=1)
    own = prepare(corpus, None, settings)
    assert [len(part.rows) for part in (own.train, own.dev, own.test)] == [65, 20, 15]
    everything = prepare(corpus, 0, settings)
    assert (len(everything.train.rows), everything.dev) == (85, None)
    other = prepare(corpus, make_corpus(30, seed=1), settings)
    assert [len(part.rows) for part in (other.train, other.dev, other.test)] == [85, 30, 15]
    quarter = prepare(corpus, 0.25, settings)
    assert abs(len(quarter.dev.rows) - 21) <= 1
    assert not set(quarter.dev.rows) & set(quarter.train.rows)


def test_vocabulary_comes_from_the_texts_that_are_trained_on():
    corpus = Corpus("c", ["good film", "bad film", "unseen film"], ["pos", "neg", "pos"], ["", "", "test"])
    data = prepare(corpus, 0, Settings(min_count=1))
    assert data.vocabulary.words == ["film", "good", "bad"]
    assert data.word_counts.tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["neg", "pos"], ("neg", "pos")), (["pos", "zzz"], ("zzz", "pos")), (["b", "a"], ("a", "b"))],
)
def test_positive_label(labels, expected):
    corpus = Corpus("c", ["x", "y"], labels, ["", ""])
    assert prepare(corpus, 0, Settings(min_count=1)).labels == expected


@pytest.mark.parametrize(
    ("texts", "labels", "dev", "message"),
    [
        (["a"] * 9, ["pos"] * 9, 0, "has 1 label to train on"),
        (["a"] * 9, list("abcabcabc"), 0, "has 3 labels to train on"),
        (["...", "-"], ["pos", "neg"], 0, "occurs 9 times"),
        (["a", "b"], ["pos", "neg"], None, "too few texts to hold some out"),
    ],
)
def test_untrainable_texts(texts, labels, dev, message):
    with pytest.raises(DataError, match=message):
        prepare(Corpus("c", texts, labels, [""] * len(texts)), dev, Settings(min_count=9))


def test_label_that_the_training_data_does_not_have():
    corpus = Corpus("c", ["a", "b"], ["pos", "neg"], ["", ""])
    with pytest.raises(DataError, match="d, text 1: the label is 'good'"):
        prepare(corpus, Corpus("d", ["a"], ["good"], [""]), Settings(min_count=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [("dim", 0), ("hidden", 0), ("epochs", 0), ("batch_size", 0), ("min_count", 0), ("dim", 10**9), ("dim", 2.5),
     ("seed", -1), ("learning_rate", 0.0), ("learning_rate", float("nan")), ("learning_rate", float("inf")),
     ("optimizer", "adamw")],
)  # fmt: skip
def test_settings_are_checked(name, value):
    with pytest.raises(InputError, match=f"^{name} is"):
        Settings(**{name: value})


def test_text_without_known_words_gets_the_value_at_E_0():
    classifier, *_ = train(make_corpus(), Settings(dim=3, hidden=4, epochs=1))
    parameters = classifier.parameters
    expected = parameters.W2 @ np.maximum(parameters.b1, 0) + parameters.b2
    np.testing.assert_allclose(classifier.logits(classifier.documents(["", "qqq"])), [expected[0]] * 2, rtol=1e-6)


def test_logits_follow_the_formula():
    classifier, *_ = train(make_corpus(), Settings(dim=3, hidden=4, epochs=1, min_count=1))
    table, W1, b1, W2, b2 = classifier.parameters
    words = classifier.vocabulary.words
    E = (2 * table[words.index("good")] + table[words.index("bad")]) / 3
    expected = W2 @ np.maximum(W1 @ E + b1, 0) + b2
    np.testing.assert_allclose(classifier.logits(classifier.documents(["good bad unknown good"])), expected, rtol=1e-5)


def test_strongest_words():
    classifier, data, _ = train(make_corpus(), Settings(dim=5, hidden=4, epochs=5, learning_rate=0.1))
    positive, negative = evaluation.strongest_words(classifier, data.word_counts, 3, 10)
    assert positive[0].word == "good"
    assert negative[0].word == "bad"
    logit = classifier.logits(classifier.documents(["good"]))[0]
    assert positive[0].logit == pytest.approx(logit)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().dim = 3
