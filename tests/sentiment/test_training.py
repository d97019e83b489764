"""Training as a whole: the same bits for any number of threads, the best epoch kept, divergence found."""

import dataclasses
import hashlib
from copy import deepcopy

import numpy as np
import pytest

from mlcore.errors import DataError, DivergedError, InputError, ModelFileError
from mlcore.sentiment import evaluation
from mlcore.sentiment.arrayfile import load_arrays, save_arrays
from mlcore.sentiment.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from mlcore.sentiment.initialization import continue_from, feature_ratios, new_classifier
from mlcore.sentiment.model import Parameters, initial_parameters
from mlcore.sentiment.model_file import load, save
from mlcore.sentiment.preparation import choose_labels, hold_out, occurrences, prepare, targets_of
from mlcore.sentiment.settings import LEARNING_RATES, Settings
from mlcore.sentiment.training import State, fit, text_weights, with_moments
from mlcore.text.corpus import Corpus


def make_corpus(texts=200, seed=0):
    """Texts whose label follows from one word among others, some of them empty."""
    random = np.random.default_rng(seed)
    corpus = Corpus("made")
    for _ in range(texts):
        label = str(random.choice(["neg", "pos"]))
        words = [f"w{i}" for i in random.zipf(1.5, random.integers(0, 12)) if i < 50]
        corpus.texts.append(" ".join([*words, {"neg": "bad", "pos": "good"}[label]]) if random.random() > 0.02 else "")
        corpus.labels.append(label)
        corpus.splits.append("")
    return corpus


def train(corpus, settings, threads=1, dev=None):
    data = prepare(corpus, dev, settings)
    classifier = new_classifier(data, settings)
    return classifier, data, list(fit(classifier, data.train, data.dev, threads))


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_same_bytes_for_any_number_of_threads(tmp_path, optimizer):
    settings = Settings(dim=5, hidden=23, epochs=2, batch_size=16, optimizer=optimizer, ngrams=2, word_dropout=0.2)
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
    classifier = new_classifier(data, settings)
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


def test_divergence_for_good_is_an_error():
    with pytest.raises(
        DivergedError, match="epoch 1, even after .* of 1e\\+38 was halved 20 times; try --learning-rate 1\\."
    ):
        train(make_corpus(), Settings(dim=3, optimizer="sgd", learning_rate=1e38))


def test_an_epoch_that_diverges_is_taken_back_with_half_the_learning_rate():
    classifier, data, reports = train(make_corpus(), Settings(dim=3, optimizer="sgd", learning_rate=300.0, epochs=3))
    restarts = sum(report.restarts for report in reports)
    assert restarts > 0
    assert reports[-1].learning_rate == 300 / 2**restarts
    assert len(reports) == 3
    assert all(np.isfinite(array).all() for array in classifier.parameters)


def test_a_diverged_epoch_starts_again_from_the_best_parameters(monkeypatch):
    """The second epoch is spoilt once; its repetition is a first epoch from there at half the rate."""
    from mlcore.sentiment import training

    settings = Settings(dim=3, hidden=4, epochs=2)
    data = prepare(make_corpus(), None, settings)
    spoilt, expected = new_classifier(data, settings), new_classifier(data, settings)
    right, calls = training._run_epoch, []

    def wrong(pool, task, settings, state):
        calls.append(state.epoch)
        loss = right(pool, task, settings, state)
        return None if len(calls) == 2 else loss

    monkeypatch.setattr(training, "_run_epoch", wrong)
    reports = list(fit(spoilt, data.train, data.dev, 1))
    assert [report.restarts for report in reports] == [0, 1]
    monkeypatch.setattr(training, "_run_epoch", right)
    epochs = fit(expected, data.train, data.dev, 1)
    next(epochs)
    state = State.initial(expected)
    state.epoch, state.learning_rate = 1, settings.learning_rate / 2
    list(fit(expected, data.train, data.dev, 1, state=state))
    np.testing.assert_array_equal(spoilt.parameters.table, expected.parameters.table)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e10])
def test_an_epoch_diverges_by_one_number_in_any_share_of_the_table(value):
    """A word of no text, whose row stands last, which neither a loss nor an update looks at."""
    settings = Settings(dim=17, hidden=4, epochs=1)  # enough for two threads
    data = prepare(make_corpus(), None, settings)
    classifier = new_classifier(data, settings)
    data.train.documents.ids[data.train.documents.ids == len(data.features) - 1] = 0
    state = State.initial(classifier)
    state.parameters.table[-1, -1] = value
    (report,) = fit(classifier, data.train, data.dev, threads=2, state=state)
    assert report.restarts == 1


@pytest.mark.parametrize("optimizer", LEARNING_RATES)
def test_moments_are_the_same_for_any_number_of_threads(optimizer):
    start = initial_parameters(5, 1, Settings(dim=3, hidden=2))
    expected, *_ = with_moments(start, optimizer)
    for threads in (2, 7, 100):
        rows, parameters, *_ = with_moments(start, optimizer, threads)
        np.testing.assert_array_equal(rows, expected)
        for found, array in zip(parameters, start, strict=True):
            np.testing.assert_array_equal(found, array)


def test_patience():
    corpus = make_corpus()
    _, _, reports = train(corpus, Settings(dim=2, hidden=2, epochs=30, learning_rate=1e-30, patience=2))
    assert [report.best for report in reports] == [True, False, False]


def test_linear_schedule_falls_to_nothing(monkeypatch):
    from mlcore.sentiment import training

    found = []
    right = training._learning_rates
    monkeypatch.setattr(training, "_learning_rates", lambda *arguments: found.append(right(*arguments)) or found[-1])
    train(make_corpus(), Settings(dim=2, epochs=4, patience=9, learning_rate=0.5, schedule="linear"))
    rates = np.concatenate(found)
    np.testing.assert_allclose(rates, 0.5 * (1 - np.arange(len(rates)) / len(rates)))


def test_fixed_embeddings_stay():
    settings = Settings(dim=3, hidden=4, epochs=2, embedding="fixed", weight_decay=0.1)
    data = prepare(make_corpus(), None, settings)
    classifier = new_classifier(data, settings)
    before = deepcopy(classifier.parameters)
    list(fit(classifier, data.train, data.dev, 1))
    np.testing.assert_array_equal(classifier.parameters.table, before.table)
    assert not np.array_equal(classifier.parameters.W1, before.W1)


def test_many_labels_and_ratings_are_learned():
    corpus = make_corpus()
    corpus.labels = [str(len(text.split()) % 3) for text in corpus.texts]
    for text, label in enumerate(corpus.labels):
        corpus.texts[text] += f" label{label}"
    classifier, data, _ = train(corpus, Settings(dim=5, learning_rate=0.1))
    assert (classifier.labels, classifier.parameters.W2.shape[0]) == (("0", "1", "2"), 3)
    assert evaluation.evaluate(classifier, data.dev).accuracy > 0.95
    logits = classifier.logits(data.dev.documents, data.dev.rows)
    np.testing.assert_allclose(classifier.probabilities(logits).sum(axis=1), 1, rtol=1e-12)
    classifier, data, reports = train(corpus, Settings(dim=5, learning_rate=0.1, loss="squared"))
    assert classifier.labels == ()
    errors = classifier.logits(data.dev.documents, data.dev.rows) - data.dev.targets[data.dev.rows]
    assert np.abs(errors).mean() < 0.3
    assert reports[-1].dev_accuracy is None


def test_balanced_weights_make_all_labels_weigh_the_same():
    corpus = make_corpus()
    corpus.labels = ["neg"] * 150 + ["pos"] * 50
    settings = Settings(class_weight="balanced")
    part = prepare(corpus, 0.2, settings).train
    weights, classes = text_weights(part, settings, 2)[part.rows], part.targets[part.rows, 0]
    assert weights.sum() == pytest.approx(len(part.rows))
    assert weights[classes == 0].sum() == pytest.approx(weights[classes == 1].sum())
    assert (text_weights(part, Settings(), 2) == 1).all()


def test_feature_ratios_follow_the_formula():
    corpus = Corpus("c", ["a b", "a a c", "b", "zzz"], ["x", "y", "y", "x"], ["", "", "", "test"])
    data = prepare(corpus, 0, Settings())
    names = data.features.names
    found = feature_ratios(data.train, data.labels, len(data.features))
    with_y, with_x = {"a": 2, "b": 2, "c": 2}, {"a": 2, "b": 2, "c": 1}  # texts of the label with the word, plus 1
    expected = [np.log(with_y[name] / 6) - np.log(with_x[name] / 5) for name in names]
    np.testing.assert_allclose(found[:, 0], expected)


def test_feature_ratios_of_many_labels_are_one_against_the_rest():
    corpus = Corpus("c", ["a b", "a a c", "b", "c c"], ["x", "y", "z", "z"], [""] * 4)
    data = prepare(corpus, 0, Settings())
    found = feature_ratios(data.train, data.labels, len(data.features))
    for number, label in enumerate(data.labels):
        rest = dataclasses.replace(corpus, labels=["1" if other == label else "0" for other in corpus.labels])
        alone = prepare(rest, 0, Settings())
        np.testing.assert_allclose(found[:, number], feature_ratios(alone.train, alone.labels, len(found))[:, 0])


def test_feature_ratios_of_ratings_are_mean_deviations():
    corpus = Corpus("c", ["a b", "a a", "b", "b"], ["1", "2", "3", "6"], [""] * 4)
    data = prepare(corpus, 0, Settings(loss="squared"))
    found = dict(zip(data.features.names, feature_ratios(data.train, (), 2)[:, 0], strict=True))
    deviation = (np.array([1, 2, 3, 6]) - 3) / np.std([1, 2, 3, 6])
    assert found == pytest.approx({"a": deviation[:2].sum() / 3, "b": deviation[[0, 2, 3]].sum() / 4})


def test_a_checkpoint_goes_with_its_own_split_only(tmp_path):
    """Another share held out makes other features of the same number, and trains on what was held out."""
    settings = Settings(dim=3, hidden=4, epochs=2, max_features=20)
    checkpointed(make_corpus(), settings, tmp_path / "c", 1)
    data = prepare(make_corpus(), 0.4, settings)
    classifier = new_classifier(data, settings)
    classifier.provenance.texts = {"train": len(data.train.rows), "dev": len(data.dev.rows)}
    with pytest.raises(InputError, match="is of another training \\(texts, features differ\\)"):
        load_checkpoint(tmp_path / "c", classifier)


@pytest.mark.parametrize("ratings", [["0"], ["0", "1e-9"], ["1e18", "-1e18"]])
def test_ratings_of_any_size_train(ratings):
    corpus = make_corpus()
    corpus.labels = [ratings[i % len(ratings)] for i in range(len(corpus.texts))]
    _, _, reports = train(corpus, Settings(dim=3, hidden=4, epochs=2, loss="squared"))
    assert len(reports) == 2
    assert all(np.isfinite(report.train_loss) for report in reports)


def checkpointed(corpus, settings, path, epochs, threads=1, resume=False):
    """Train for a number of epochs, with a checkpoint after each, or go on from the last one to the end."""
    data = prepare(corpus, None, settings)
    classifier = new_classifier(data, settings)
    state = load_checkpoint(path, classifier) if resume else State.initial(classifier)
    for report in fit(classifier, data.train, data.dev, threads, state=state):
        save_checkpoint(path, classifier, state)
        if report.epoch == epochs:
            break
    return classifier


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_a_resumed_training_ends_with_the_same_bytes(tmp_path, optimizer):
    settings = Settings(
        dim=3, hidden=4, epochs=6, patience=3, batch_size=16, optimizer=optimizer, word_dropout=0.3, schedule="linear",
        weight_decay=0.01,
    )  # fmt: skip
    whole = checkpointed(make_corpus(), settings, tmp_path / "whole", 99)
    for epochs in (1, 3, 5):
        checkpointed(make_corpus(), settings, tmp_path / "broken", epochs)
        resumed = checkpointed(make_corpus(), settings, tmp_path / "broken", 99, threads=2, resume=True)
        for name, model in (("a", whole), ("b", resumed)):
            save(model, tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_checkpoint_goes_with_its_own_training_only(tmp_path):
    settings = Settings(dim=3, hidden=4, epochs=3)
    checkpointed(make_corpus(), settings, tmp_path / "c", 1)
    more = dataclasses.replace(settings, epochs=9, patience=1, half=True)
    assert load_checkpoint(tmp_path / "c", new_classifier(prepare(make_corpus(), None, more), more)).epoch == 1
    other = dataclasses.replace(settings, seed=2, dim=4)
    with pytest.raises(InputError, match="is of another training \\(dim, seed, features differ\\)"):
        checkpointed(make_corpus(), other, tmp_path / "c", 1, resume=True)
    checkpointed(make_corpus(), dataclasses.replace(settings, learning_rate=1e-30), tmp_path / "d", 3)
    for change in ({"epochs": 2}, {"patience": 1}):
        smaller = dataclasses.replace(settings, learning_rate=1e-30, **change)
        with pytest.raises(InputError, match="has 3 epochs, more than --epochs . and --patience . would have made"):
            checkpointed(make_corpus(), smaller, tmp_path / "d", 3, resume=True)
    linear = dataclasses.replace(settings, schedule="linear", epochs=9)
    with pytest.raises(InputError, match="\\(epochs, schedule differ\\)"):
        checkpointed(make_corpus(), linear, tmp_path / "c", 1, resume=True)
    classifier = new_classifier(prepare(make_corpus(), None, settings), settings)
    classifier.provenance.fingerprint = "other texts"
    with pytest.raises(InputError, match="\\(data differ\\)"):
        load_checkpoint(tmp_path / "c", classifier)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 2}, "counts of epochs"),
        ({"step": "7"}, "counts of epochs"),
        ({"learning_rate": -1.0}, "learning rate"),
        ({"reports": [{}]}, "damaged"),
        ({"identity": 3}, "damaged"),
    ],
)
def test_damaged_checkpoints(tmp_path, changes, message):
    settings = Settings(dim=3, hidden=4, epochs=1)
    checkpointed(make_corpus(), settings, tmp_path / "c", 1)
    with load_arrays(tmp_path / "c", CHECKPOINT) as (header, arrays):
        save_arrays(tmp_path / "c", CHECKPOINT, header | changes, arrays)
    with pytest.raises(ModelFileError, match=message):
        checkpointed(make_corpus(), settings, tmp_path / "c", 1, resume=True)
    save(new_classifier(prepare(make_corpus(), None, settings), settings), tmp_path / "c")
    with pytest.raises(ModelFileError, match="is not a checkpoint of mlcore"):
        checkpointed(make_corpus(), settings, tmp_path / "c", 1, resume=True)
    checkpointed(make_corpus(), settings, tmp_path / "c", 1)
    with pytest.raises(ModelFileError, match="is not a model file of mlcore"):
        load(tmp_path / "c")


def test_a_training_that_goes_on_from_a_model_keeps_what_it_knows():
    settings = Settings(dim=3, hidden=4, epochs=2, ngrams=2)
    earlier, _, _ = train(make_corpus(), settings)
    corpus = Corpus("new", ["a new film good film", "a new film bad film"] * 5, ["pos", "neg"] * 5, [""] * 10)
    data = prepare(corpus, 0, settings, earlier.features)
    classifier = new_classifier(data, settings)
    random = deepcopy(classifier.parameters)
    continue_from(classifier, earlier)
    text = ["w1 w2 good", "bad w3"]
    np.testing.assert_array_equal(
        classifier.logits(classifier.features.documents(text)), earlier.logits(earlier.features.documents(text))
    )
    new = [number for number, name in enumerate(classifier.features.names) if name not in earlier.features.names]
    assert {"film", "new film", "good film"} <= {classifier.features.names[number] for number in new}
    np.testing.assert_array_equal(classifier.parameters.table[new], random.table[new])
    with pytest.raises(InputError, match="dim is 4, but the model to begin with has 3"):
        wider = dataclasses.replace(settings, dim=4)
        continue_from(new_classifier(prepare(corpus, 0, wider, earlier.features), wider), earlier)
    corpus.labels = ["a", "b"] * 5
    with pytest.raises(InputError, match="labels are 'a', 'b', but the model to begin with has 'neg', 'pos'"):
        continue_from(new_classifier(prepare(corpus, 0, settings, earlier.features), settings), earlier)


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
    assert data.features.names == ["film", "good", "bad"]
    assert data.feature_counts.tolist() == [2, 1, 1]


def test_occurrences_count_repeats_in_the_chosen_rows():
    corpus = Corpus("c", ["a a b", "b c", "c c c"], ["pos", "neg", "pos"], ["", "", "test"])
    data = prepare(corpus, 0, Settings(binary=False))
    assert data.features.names == ["a", "b", "c"]
    assert data.feature_counts.tolist() == [2, 2, 1]
    assert occurrences(data.train.documents, np.array([2, 1]), 3).tolist() == [0, 1, 4]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["neg", "pos"], ("neg", "pos")),
        (["pos", "zzz"], ("zzz", "pos")),
        (["b", "a"], ("a", "b")),
        (["10", "9", "2"], ("2", "9", "10")),
        (["neu", "pos", "neg"], ("neg", "neu", "pos")),
    ],
)
def test_order_of_labels(labels, expected):
    assert choose_labels("c", labels) == expected


@pytest.mark.parametrize(
    ("texts", "labels", "dev", "message"),
    [
        (["a"] * 9, ["pos"] * 9, 0, "has 1 label to train on"),
        (
            ["a"] * 1001,
            list(map(str, range(1001))),
            0,
            "has 1,001 labels to train on .'0', '1', .* expected from 2 to 1,000",
        ),
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


def test_targets_of_ratings():
    assert targets_of("d", ["3.5", " -1e3"], [], ()).tolist() == [[3.5], [-1000]]
    for label in ("good", "nan", "inf", "1e19"):
        with pytest.raises(DataError, match=f"d, text 2: the label is '{label}'; expected a number up to 1e\\+18"):
            targets_of("d", ["3.5", label], [], ())


@pytest.mark.parametrize(
    ("name", "value"),
    [("dim", 0), ("hidden", 0), ("epochs", 0), ("batch_size", 0), ("min_count", 0), ("dim", 10**9), ("dim", 2.5),
     ("seed", -1), ("learning_rate", 0.0), ("learning_rate", float("nan")), ("learning_rate", float("inf")),
     ("optimizer", "adamw"), ("loss", "hinge"), ("ngrams", 4), ("patience", None), ("word_dropout", 1.0),
     ("word_dropout", -0.1), ("weight_decay", float("nan")), ("binary", 1), ("half", None), ("max_features", 0)],
)  # fmt: skip
def test_settings_are_checked(name, value):
    with pytest.raises(InputError, match=f"^{name} is"):
        Settings(**{name: value})


def test_text_without_known_words_gets_the_value_at_E_0():
    classifier, *_ = train(make_corpus(), Settings(dim=3, hidden=4, epochs=1))
    parameters = classifier.parameters
    expected = parameters.W2 @ np.maximum(parameters.b1, 0) + parameters.b2
    np.testing.assert_allclose(
        classifier.logits(classifier.features.documents(["", "qqq"])), [[expected[0]]] * 2, rtol=1e-6
    )


def test_logits_follow_the_formula():
    classifier, *_ = train(make_corpus(), Settings(dim=3, hidden=4, epochs=1, binary=False))
    table, W1, b1, W2, b2 = classifier.parameters
    words = classifier.features.names
    E = (2 * table[words.index("good")] + table[words.index("bad")]) / 3
    expected = W2 @ np.maximum(W1 @ E + b1, 0) + b2
    np.testing.assert_allclose(
        classifier.logits(classifier.features.documents(["good bad unknown good"]))[0], expected, rtol=1e-5
    )


def test_strongest_words():
    classifier, data, _ = train(make_corpus(), Settings(dim=5, hidden=4, epochs=5, learning_rate=0.1))
    strongest = evaluation.strongest_words(classifier, data.feature_counts, 3, 10)
    assert (strongest["pos"][0].word, strongest["neg"][0].word) == ("good", "bad")
    logit = classifier.logits(classifier.features.documents(["good"]))[0, 0]
    assert strongest["pos"][0].logit == pytest.approx(logit)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().dim = 3
