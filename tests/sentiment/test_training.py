"""Training as a whole: the same bits for any number of threads, the best epoch kept, divergence found."""

import dataclasses

import numba
import numpy as np
import pytest
from conftest import pinned

from mlcore.errors import DivergedError, InputError, ModelFileError
from mlcore.sentiment import training
from mlcore.sentiment.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from mlcore.sentiment.evaluation import quick_figures
from mlcore.sentiment.initialization import facts_of, feature_ratios, new_model
from mlcore.sentiment.model import Provenance
from mlcore.sentiment.model_file import load_tensors, save_model, save_tensors
from mlcore.sentiment.settings import FIELDS, LEARNING_RATES, Facts, Settings
from mlcore.sentiment.training import State, fit, text_weights
from mlcore.text.dataset import dataset_of, encode


def make_texts(texts=200, seed=0):
    """Texts whose label follows from one word among others, some of them empty, and their labels."""
    random, made, labels = np.random.default_rng(seed), [], []
    for _ in range(texts):
        label = str(random.choice(["neg", "pos"]))
        words = [f"w{i}" for i in random.zipf(1.5, random.integers(0, 12)) if i < 50]
        made.append(" ".join([*words, {"neg": "bad", "pos": "good"}[label]]) if random.random() > 0.02 else "")
        labels.append(label)
    return made, labels


TEXTS, LABELS = make_texts()


def encoded(settings, texts=TEXTS, labels=LABELS, dev=None, **more):
    return encode(dataset_of(texts, labels), dev, **settings.encoding(), **more)


def train(settings, texts=TEXTS, labels=LABELS, dev=None, threads=1):
    data = encoded(settings, texts, labels, dev)
    model = new_model(data, settings)
    return model, data, list(fit(model, data.train, data.dev, threads))


# Settings ---------------------------------------------------------------------------------------------------


def test_settings_keep_none_and_resolve_it():
    settings = Settings(optimizer="adam", dim=50)
    assert (settings.learning_rate, settings.ngrams, settings.dim) == (None, None, 50)
    few, many = settings.resolved(), settings.resolved(Facts(labels=150))
    assert (few.learning_rate, few.ngrams, few.min_count, few.dim, few.schedule) == (0.00025, 2, 2, 50, "constant")
    assert (many.dim, many.hidden > few.hidden, many.learning_rate > few.learning_rate) == (50, True, True)
    assert few.resolved(Facts(labels=150)) == few
    found = [settings.resolved(facts).char_ngrams for facts in (Facts(), Facts(150), Facts(2, 3_000, 300_000))]
    assert found == ["2-4", "2-4", "none"]
    names = ["1星", "0,5", "−1 star", "neg"], ["1", "a", "b", "2"], [*map(str, range(12))]
    assert [facts_of(dataset_of(["a"] * len(some), some), None).graded for some in names] == [True, False, False]
    assert not facts_of(dataset_of(["a", "b"], ["1", "2"]), None, labels=["1", "2", "a", "b"]).graded
    texts = ["a film, a joy", "很好吃的", "Ein guter Film!", ""]
    assert [facts_of(dataset_of([text], ["a"]), None).spaced for text in texts] == [False, False, True, True]
    short, long, grades = Facts(8), Facts(8, 1_000, 200_000), Facts(8, 1_000, 200_000, graded=True)
    found = [Settings().resolved(facts) for facts in (short, long, Facts(8, 10_000, 10**7), grades)]
    found += [
        Settings(multi_label=True).resolved(long),
        Settings().resolved(Facts(10, 20_000)),
        Settings(ngrams=2).resolved(long),
        Settings().resolved(long._replace(spaced=False)),
        Settings().resolved(Facts(10, 50_000, 10**7, graded=True)),
        Settings().resolved(Facts(10, 50_000, 10**7, ordered=False)),
    ]
    assert [(one.ngrams, one.binary, one.dim, one.epochs, one.word_dropout) for one in found] == [
        (2, True, 64, 100, 0), (1, False, 128, 40, 0.75), (1, False, 128, 20, 0.9), (3, True, 64, 100, 0),
        (1, False, 128, 40, 0.75), (2, False, 128, 10, 0.5), (2, False, 128, 40, 0.75),
        (2, False, 128, 40, 0.75), (3, True, 128, 10, 0.5), (1, False, 128, 10, 0),
    ]  # fmt: skip
    several = (Settings(optimizer=optimizer, multi_label=True) for optimizer in LEARNING_RATES)
    rates = [(one.resolved().learning_rate, one.resolved(Facts(ordered=False)).learning_rate) for one in several]
    assert rates == [(5, 5), (0.12, 0.05), (0.006, 0.0025)]
    assert set(settings.automatic()) == {name for name in FIELDS if getattr(settings, name) is None} - {"max_features"}


# Training ---------------------------------------------------------------------------------------------------


def test_learns_and_keeps_the_best_epoch():
    model, data, reports = train(pinned(dim=5, hidden=4, epochs=8, learning_rate=0.1))
    best = min(reports, key=lambda report: report.dev_loss)
    assert [report.epoch for report in reports if report.best][-1] == best.epoch
    loss, accuracy = quick_figures(model, data.dev)
    assert loss == pytest.approx(best.dev_loss, rel=1e-6)
    assert accuracy == best.dev_accuracy > 0.95


def test_words_start_longer_and_learn_faster_than_their_characters():
    """By the ratio of the two scales; the first step of Adagrad is as long as the rate, whatever the gradient."""
    settings = pinned(dim=16, char_ngrams="2-3", initialization="random", learning_rate=0.01, epochs=1, batch_size=999)
    model, data, _ = train(settings, dev=0)
    start = new_model(data, settings).parameters.table
    moved, first = np.abs(model.parameters.table - start).max(axis=1), data.features.first_piece
    assert moved[:first] == pytest.approx(0.05, rel=1e-3)
    assert moved[first:] == pytest.approx(0.004, rel=1e-3)
    assert start[:first].std() == pytest.approx(12.5 * start[first:].std(), rel=0.1)


def test_the_epoch_that_is_kept():
    """The last one with nothing held out or a falling rate; else the first of equal losses, where patience counts."""
    _, data, reports = train(pinned(dim=3, epochs=3), dev=0)
    assert (data.dev, len(data.train.rows)) == (None, len(TEXTS))
    assert [(report.best, report.dev_loss) for report in reports] == [(True, None)] * 3
    _, _, reports = train(pinned(dim=2, hidden=2, epochs=30, learning_rate=1e-30, patience=2))
    assert [report.best for report in reports] == [True, False, False]
    model, _, falling = train(pinned(dim=2, hidden=2, epochs=4, learning_rate=1e-30, patience=1, schedule="linear"))
    assert [report.best for report in falling] == [True] * 4
    assert not training.row(model, falling[0]).endswith("best")  # nothing is compared


def test_an_epoch_that_diverges_is_repeated_with_half_the_learning_rate():
    model, _, reports = train(pinned(dim=3, optimizer="sgd", learning_rate=300.0, epochs=3))
    restarts = sum(report.restarts for report in reports)
    assert (len(reports), reports[-1].learning_rate) == (3, 300 / 2**restarts)
    assert restarts > 0
    assert reports[0].warning.startswith("epoch 1 diverged and was repeated; the learning rate is now ")
    assert all(np.isfinite(array).all() for array in model.parameters)
    with pytest.raises(DivergedError, match="diverged in epoch 1, even after .* of 1e\\+38 was halved 20 times"):
        train(pinned(dim=3, optimizer="sgd", learning_rate=1e38))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e10])
def test_an_epoch_diverges_by_one_number_in_any_share_of_the_table(value):
    """A word of no text, whose row stands last, which neither a loss nor an update looks at."""
    settings = pinned(dim=17, hidden=4, epochs=1)  # enough for two threads
    data = encoded(settings)
    model = new_model(data, settings)
    data.train.documents.ids[data.train.documents.ids == len(data.features) - 1] = 0
    state = State.initial(model)
    state.parameters.table[-1, -1] = value
    (report,) = fit(model, data.train, data.dev, threads=2, state=state)
    assert report.restarts == 1


@pytest.mark.parametrize("optimizer", LEARNING_RATES)
def test_the_kernels_compiled_ahead_are_those_of_a_training(monkeypatch, optimizer):
    signatures, run = [], training.run_together

    def note(pool, arrived, function, *arguments):
        signatures.append([numba.typeof(argument) for argument in arguments])
        run(pool, arrived, function, *arguments)

    monkeypatch.setattr(training, "run_together", note)
    training.compile_kernels(optimizer)
    train(Settings(optimizer=optimizer, epochs=1).resolved())
    assert all(signature == signatures[0] for signature in signatures)


def test_linear_schedule_falls_to_nothing(monkeypatch):
    found, right = [], training.run_together
    monkeypatch.setattr(training, "run_together", lambda *given: found.append(given[10]) or right(*given))
    train(pinned(dim=2, epochs=4, patience=9, learning_rate=0.5, schedule="linear"))
    rates = np.concatenate(found)
    np.testing.assert_allclose(rates, 0.5 * (1 - np.arange(len(rates)) / len(rates)))


def test_frozen_embeddings_stay():
    settings = pinned(dim=3, hidden=4, epochs=2, freeze_embedding=True)
    model, data, _ = train(settings)
    before = new_model(data, settings).parameters
    np.testing.assert_array_equal(model.parameters.table, before.table)
    assert not np.array_equal(model.parameters.W1, before.W1)


def test_balanced_weights_make_all_labels_weigh_the_same():
    settings = pinned(class_weight="balanced")
    split = encoded(settings, TEXTS, ["neg"] * 150 + ["pos"] * 50, 0.2).train
    weights, classes = text_weights(split, settings, ("neg", "pos"))[split.rows], split.targets[split.rows, 0]
    assert weights.sum() == pytest.approx(len(split.rows))
    assert weights[classes == 0].sum() == pytest.approx(weights[classes == 1].sum())
    assert (text_weights(split, pinned(), ("neg", "pos")) == 1).all()
    given = text_weights(split, pinned(class_weight='{"pos": 2.5}'), ("neg", "pos"))[split.rows]
    assert (given[classes == 0], given[classes == 1]) == (pytest.approx(1), pytest.approx(2.5))
    with pytest.raises(InputError, match="class_weight is 'so'; expected weights of the labels 'neg', 'pos'"):
        text_weights(split, pinned(class_weight='{"so": 1}'), ("neg", "pos"))
    own = split._replace(weights=np.arange(200, dtype=np.float32))
    found = text_weights(own, pinned(), ("neg", "pos"))[split.rows]
    np.testing.assert_allclose(found, split.rows / split.rows.mean(), rtol=1e-6)


# Initialization ---------------------------------------------------------------------------------------------


def test_feature_ratios_follow_the_formulas():
    def ratios_of(data):
        ratios, random = feature_ratios(data.train, data.labels, 3), np.random.default_rng(1)
        table, directions = random.normal(size=(3, 20)), random.normal(size=(len(ratios.of_labels), 20))
        expected = table + ratios.dense() @ directions
        ratios.add_to(table, directions)
        np.testing.assert_allclose(table, expected)
        squares = np.maximum((ratios.dense() ** 2).mean(axis=1), 0.0025)
        entries = 8 * len(data.train.documents.ids) / data.train.documents.n_texts
        np.testing.assert_allclose(ratios.first_squares(8), (3 / (entries * squares)) ** 2, rtol=1e-5)
        return ratios.dense()

    texts, labels = ["a b", "a a c", "b", "b c"], ["x", "y", "y", "x"]
    data = encoded(pinned(), texts, labels, 0)
    found = dict(zip(data.features.names, ratios_of(data)[:, 0], strict=True))
    expected = {"a": (1, 1), "b": (1, 2), "c": (1, 1)}  # texts with label y, and with label x
    assert found == pytest.approx({w: np.log((y + 1) / 6) - np.log((x + 1) / 7) for w, (y, x) in expected.items()})
    data = encoded(pinned(), texts, ["x", "y", "z", "z"], 0)  # of more labels: each against the rest
    ratios = ratios_of(data)
    rest = encoded(pinned(), texts, ["1", "0", "0", "0"], 0)
    np.testing.assert_allclose(ratios[:, 0], ratios_of(rest)[:, 0])
    data = encoded(pinned(loss="squared"), texts, ["1", "2", "3", "6"], 0)  # of ratings: mean deviations
    found = dict(zip(data.features.names, ratios_of(data)[:, 0], strict=True))
    deviation = (np.array([1, 2, 3, 6]) - 3) / np.std([1, 2, 3, 6])
    rows = {"a": [0, 1], "b": [0, 2, 3], "c": [1, 3]}
    assert found == pytest.approx({word: deviation[texts].sum() / (len(texts) + 1) for word, texts in rows.items()})


def test_features_that_say_little_learn_cautiously():
    model = new_model(encoded(pinned(dim=3)), pinned(dim=3))
    for optimizer in LEARNING_RATES:
        own = dataclasses.replace(model, settings=pinned(dim=3, optimizer=optimizer))
        state = State.initial(own)
        state.restart(own, 1)
        assert [array[0, 0] for array in (state.M.table, state.S.table) if array is not None] == {
            "sgd": [], "adagrad": [model.first_squares[0]], "adam": [0, 0],
        }[optimizer]  # fmt: skip
    for more in ({"initialization": "random"}, {"multi_label": True}):
        data = encoded(settings := pinned(**more))
        assert new_model(data, settings).first_squares is None


def test_a_warm_start_keeps_what_the_model_knows():
    settings = pinned(dim=3, hidden=4, epochs=2, ngrams=2)
    earlier, _, _ = train(settings)
    new = ["a new film good film", "a new film bad film"] * 6, ["pos", "neg"] * 6

    def continued(settings=settings, labels=new[1]):
        data = encoded(settings, new[0], labels, 0, known=earlier.features)
        return new_model(data, settings, earlier=earlier), new_model(data, settings).parameters

    model, random = continued()
    documents = [some.features.documents(["w1 w2 good", "bad w3"]) for some in (model, earlier)]
    np.testing.assert_array_equal(model.logits(documents[0]), earlier.logits(documents[1]))
    fresh = [number for number, name in enumerate(model.features.names) if name not in earlier.features.names]
    assert {"film", "new film", "good film"} <= {model.features.names[number] for number in fresh}
    np.testing.assert_array_equal(model.parameters.table[fresh], random.table[fresh])
    with pytest.raises(InputError, match="^dim is 4; the model to start from has 3; try dim=3.$"):
        continued(dataclasses.replace(settings, dim=4))
    with pytest.raises(InputError, match="'j', and 2 more, but the model to start from has 'neg', 'pos'"):
        continued(labels=[*"abcdefghijkl"])


# Checkpoints ------------------------------------------------------------------------------------------------


def checkpointed(settings, path, epochs=99, threads=1, resume=False, dev=None):
    """Train for some epochs, with a checkpoint after each, or go on from the last one to the end."""
    data = encoded(settings, dev=dev)
    model = new_model(data, settings)
    model.provenance.texts = data.sizes
    state = load_checkpoint(path, model) if resume else State.initial(model)
    for report in fit(model, data.train, data.dev, threads, state=state):
        save_checkpoint(path, model, state)
        if report.epoch == epochs:
            break
    return model


@pytest.mark.parametrize("optimizer", LEARNING_RATES)
def test_a_resumed_training_ends_with_the_same_bytes_for_any_number_of_threads(tmp_path, optimizer):
    more = {"word_dropout": 0.3, "schedule": "linear", "ngrams": 2}
    settings = pinned(dim=3, hidden=23, epochs=6, batch_size=16, optimizer=optimizer, **more)
    save_model(checkpointed(settings, tmp_path / "whole"), tmp_path / "a")
    for epochs, threads in ((1, 2), (5, 100_000)):
        checkpointed(settings, tmp_path / "broken", epochs)
        save_model(checkpointed(settings, tmp_path / "broken", threads=threads, resume=True), tmp_path / "b")
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_checkpoint_goes_with_its_own_training_only(tmp_path):
    settings = pinned(dim=3, hidden=4, epochs=3, max_features=20, learning_rate=1e-30)
    checkpointed(settings, tmp_path / "c", 3)

    def resume(message=None, dev=None, **changes):
        with pytest.raises(InputError, match=message):
            checkpointed(dataclasses.replace(settings, **changes), tmp_path / "c", resume=True, dev=dev)

    resume("belongs to another training \\(dim, seed, features differ\\)", seed=2, dim=4)
    resume("\\(epochs, schedule differ\\)", schedule="linear", epochs=9)
    resume("\\(texts, features differ\\)", dev=0.4)  # which would train on held-out texts
    resume("already has 3 epochs, more than 2 epochs", epochs=2)
    resume("already has 3 epochs, more than 3 epochs with a patience of 1", patience=1)
    more = dataclasses.replace(settings, epochs=9, patience=2, float16=True)
    assert checkpointed(more, tmp_path / "c", resume=True).settings == more
    model = new_model(encoded(settings), settings)
    model.provenance = Provenance(fingerprint="other texts", texts=encoded(settings).sizes)
    with pytest.raises(InputError, match="\\(data differ\\)"):
        load_checkpoint(tmp_path / "c", model)


@pytest.mark.parametrize(("changes", "message"), [
    ({"step": "7"}, "step is not a whole number"), ({"reports": [{}]}, "damaged"),
    ({"rows": np.zeros((3, 3), np.float32)}, "rows is float32 of shape"),
    ({"S_b1": np.full(4, np.nan, np.float32)}, "S_b1 has NaN"),
])  # fmt: skip
def test_damaged_checkpoints(tmp_path, changes, message):
    settings = pinned(dim=3, hidden=4, epochs=1)
    checkpointed(settings, tmp_path / "c", 1)
    with load_tensors(tmp_path / "c", CHECKPOINT) as (header, tensors):
        for name, value in changes.items():
            (tensors if name in tensors else header)[name] = value
        save_tensors(tmp_path / "c", CHECKPOINT, header, tensors)
    with pytest.raises(ModelFileError, match=message):
        checkpointed(settings, tmp_path / "c", resume=True)
