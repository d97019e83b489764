"""The model that SentimentClassifier trains: its bytes, its file, its copies, and what an interrupted fit leaves."""

import copy
import hashlib
import pickle
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from test_estimator import LABELS, TEXTS, TWO_LABELS, TWO_TEXTS, reloaded, sha256, small

import mlcore
from mlcore import SentimentClassifier
from mlcore.errors import DivergedError, InputError, MlcoreError, ModelFileError, NotFittedError
from mlcore.sentiment import estimator, model_file
from mlcore.sentiment.arguments import Classes
from mlcore.text.corpus import read_corpus
from mlcore.text.numbered import fingerprint


@pytest.mark.parametrize("parameters", [{}, {"ngrams": 2, "optimizer": "adam", "word_dropout": 0.3}, {"half": True}])
def test_the_number_of_threads_does_not_change_a_byte(parameters, tmp_path):
    hashes = {sha256(small(**parameters, threads=n).fit(TEXTS, LABELS), tmp_path / "m") for n in (1, 2, 3, None)}
    assert len(hashes) == 1


def test_the_model_is_that_of_the_command_line(model, reviews, tmp_path):
    """All is the same to the last bit, but for the options that were given."""
    corpus = read_corpus(reviews)
    ours = SentimentClassifier(dim=3, hidden=2, learning_rate=0.2).fit(corpus.texts, corpus.labels)
    ours.save(tmp_path / "ours.npz")
    inputs, hashes = [], []
    for path in (model, tmp_path / "ours.npz"):
        classifier = model_file.load(path)
        inputs.append(classifier.provenance.inputs)
        without = replace(classifier, provenance=replace(classifier.provenance, inputs={}))
        model_file.save(without, tmp_path / "without.npz")
        hashes.append(hashlib.sha256((tmp_path / "without.npz").read_bytes()).hexdigest())
    assert hashes[0] == hashes[1]
    assert inputs == [{"data": [str(reviews)]}, {"dev": "0.1", "labels": "str"}]
    assert classifier.provenance.fingerprint == fingerprint(corpus)
    assert classifier.provenance.texts == {"train": 36, "dev": 4, "test": 0}


def test_an_epoch_that_diverges_is_warned_of():
    model = small(optimizer="sgd", learning_rate=1e4, epochs=1)
    with pytest.warns(UserWarning, match="^Epoch 1 diverged and was taken back; the learning rate is now [0-9.e+]+.$"):
        model.fit(TEXTS, LABELS)
    assert model.history_[0]["restarts"] > 0


def test_a_training_that_only_diverges():
    with pytest.raises(DivergedError, match=r"halved 20 times; try learning_rate=1\.$"):
        small(optimizer="sgd", learning_rate=1e30).fit(TEXTS, LABELS)


def test_history():
    model = small(patience=9).fit(TEXTS, LABELS)
    assert [epoch["epoch"] for epoch in model.history_] == [1, 2, 3, 4]
    assert model.history_[0]["best"] and 0 < model.history_[0]["dev_loss"] < 2
    assert small(dev=0).fit(TEXTS, LABELS).history_[0]["dev_loss"] is None


def test_a_second_fit_is_a_fresh_one(tmp_path):
    model = small().fit(TEXTS, LABELS)
    model.fit(TWO_TEXTS, [label == "pos" for label in TWO_LABELS])
    fresh = small().fit(TWO_TEXTS, [label == "pos" for label in TWO_LABELS])
    assert model.classes_.tolist() == [False, True]
    assert sha256(model, tmp_path / "a") == sha256(fresh, tmp_path / "b")


def test_before_fit(tmp_path):
    model = SentimentClassifier()
    calls = [
        lambda: model.predict(["a"]), lambda: model.predict_proba(["a"]), lambda: model.decision_function(["a"]),
        lambda: model.score(["a"], ["b"]), lambda: model.explain("a"), lambda: model.save(tmp_path / "m"),
        lambda: model.classes_, lambda: model.history_,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(
            NotFittedError, match="^This SentimentClassifier has not been fitted; call fit or load first.$"
        ):
            call()
    assert all(issubclass(NotFittedError, base) for base in (MlcoreError, ValueError, AttributeError))
    assert not hasattr(model, "classes_")
    assert list(tmp_path.iterdir()) == []


def test_save_and_load(tmp_path):
    model = small(ngrams=2, dev=0.2).fit(TEXTS, LABELS)
    model.save(str(tmp_path / "model.npz"))
    again = SentimentClassifier.load(str(tmp_path / "model.npz"))
    # what None stood for is written out
    assert again.get_params() == model.get_params() | {"min_count": 2, "threads": None}
    assert again.history_ == model.history_
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert sha256(again, tmp_path / "a") == sha256(model, tmp_path / "b")
    assert sha256(again.fit(TEXTS, LABELS), tmp_path / "c") == sha256(model, tmp_path / "b")


def test_a_model_of_the_command_line_is_loaded(model):
    loaded = SentimentClassifier.load(model)
    assert loaded.classes_.tolist() == ["neg", "pos"]
    assert loaded.predict(["good", "bad"]).tolist() == ["pos", "neg"]


@pytest.mark.parametrize("kind", ["int", "float", "bool", "complex", "", ["int"]])
def test_labels_that_are_not_what_a_file_says(kind, tmp_path):
    model = small().fit(TWO_TEXTS, TWO_LABELS)
    model._fitted.classifier.provenance.inputs["labels"] = kind
    model.save(tmp_path / "model.npz")
    with pytest.raises(ModelFileError, match="model.npz has labels that are not of the type that it names; train it"):
        SentimentClassifier.load(tmp_path / "model.npz")


@pytest.mark.parametrize(
    ("labels", "kind"),
    [(("1", "01"), "int"), (("1", "1.0"), "float"), (("nan", "1"), "int"), (("9" * 5000, "1"), "int")],
)
def test_labels_that_are_no_values_of_their_type(labels, kind):
    with pytest.raises((KeyError, ValueError)):
        Classes.read(labels, kind)


def test_a_file_of_texts_to_hold_out_is_no_fraction(tmp_path):
    model = small().fit(TWO_TEXTS, TWO_LABELS)
    for dev, expected in (("dev.csv", 0.1), (["a", "b"], 0.1), ("0", 0)):
        model._fitted.classifier.provenance.inputs["dev"] = dev
        assert reloaded(model, tmp_path).dev == expected


def interrupted_after(epochs, error, monkeypatch):
    real = estimator.train

    def train(*arguments):
        for number, report in enumerate(real(*arguments), 1):
            if number > epochs:
                break
            yield report
        raise error

    monkeypatch.setattr(estimator, "train", train)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DivergedError("try --learning-rate 0.01.")])
def test_what_an_interrupted_fit_leaves(error, monkeypatch, tmp_path):
    model = small().fit(TWO_TEXTS, TWO_LABELS)
    before = sha256(model, tmp_path / "a")
    expected = sha256(small(patience=9).fit(TEXTS, LABELS), tmp_path / "b")
    with monkeypatch.context() as patch:
        interrupted_after(0, error, patch)
        with pytest.raises(type(error)):
            model.fit(TEXTS, LABELS)
        with pytest.raises(type(error)):
            small().fit(TEXTS, LABELS).predict(TEXTS)
    assert sha256(model, tmp_path / "a") == before
    with monkeypatch.context() as patch:
        interrupted_after(2, error, patch)
        with pytest.raises(type(error), match="learning_rate=0.01" if isinstance(error, DivergedError) else "^$"):
            model.set_params(patience=9).fit(TEXTS, LABELS)
    assert [epoch["epoch"] for epoch in model.history_] == [1, 2]
    assert model.classes_.tolist() == ["fair", "neg", "pos"]
    assert len({sha256(model, tmp_path / "a"), before, expected}) == 3
    model.fit(TEXTS, LABELS)
    assert sha256(model, tmp_path / "a") == expected


def test_explain_hands_over_to_the_explanation(monkeypatch):
    model = small().fit(TWO_TEXTS, TWO_LABELS)
    stub = types.ModuleType("mlcore.sentiment.explanation")
    stub.explain = lambda classifier, text: (classifier, text)
    monkeypatch.setitem(sys.modules, "mlcore.sentiment.explanation", stub)
    assert model.explain("A good film.") == (model._fitted.classifier, "A good film.")
    with pytest.raises(InputError, match="^text is of type list; expected one text, a str.$"):
        model.explain(["A good film."])


def test_explain():
    pytest.importorskip("mlcore.sentiment.explanation", exc_type=ModuleNotFoundError)
    assert small().fit(TWO_TEXTS, TWO_LABELS).explain("A good film.") is not None


def test_copies_and_pickles(tmp_path):
    model = small(ngrams=2).fit(TEXTS, LABELS)
    expected = sha256(model, tmp_path / "a")
    for twin in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict_proba(TEXTS), model.predict_proba(TEXTS))
        assert sha256(twin, tmp_path / "b") == expected
        twin.set_params(seed=5).fit(TWO_TEXTS, TWO_LABELS)
        assert sha256(model, tmp_path / "b") == expected
    assert pickle.loads(pickle.dumps(small())).get_params() == small().get_params()


def test_the_public_name():
    assert mlcore.SentimentClassifier is SentimentClassifier
    code = "import sys, mlcore; print(any(m in sys.modules for m in ('numpy', 'numba', 'sklearn'))); "
    code += "mlcore.SentimentClassifier; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
