"""SentimentClassifier: its parameters, and what kinds of texts and labels go in and come out."""

import hashlib
import inspect
from dataclasses import fields

import numpy as np
import pytest

from mlcore import SentimentClassifier
from mlcore.errors import InputError, ShapeError
from mlcore.sentiment import estimator
from mlcore.sentiment.settings import Settings

SMALL = {"dim": 4, "hidden": 3, "epochs": 4, "learning_rate": 0.1}
TEXTS = ["A good, warm film.", "A bad, dull film.", "Good good fun!", "Bad plot, bad!", "So so.", "It was so so"] * 6
LABELS = ["pos", "neg", "pos", "neg", "fair", "fair"] * 6
TWO_TEXTS, TWO_LABELS = (
    [value for value, label in zip(values, LABELS, strict=True) if label != "fair"] for values in (TEXTS, LABELS)
)


def small(**parameters):
    return SentimentClassifier(**SMALL | {"threads": 1} | parameters)


def sha256(model, path):
    model.save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Parameters -------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_settings():
    parameters = list(inspect.signature(SentimentClassifier.__init__).parameters.values())[1:]
    expected = {field.name: field.default for field in fields(Settings)} | {"dev": 0.1, "threads": None}
    assert {parameter.name: parameter.default for parameter in parameters} == expected
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert tuple(expected) == estimator.PARAMETERS


def test_parameters_go_in_and_out():
    model = SentimentClassifier(ngrams=2, dev=0)
    assert model.get_params()["ngrams"] == 2
    assert model.set_params(epochs=3, ngrams=1) is model
    assert SentimentClassifier(**model.get_params()).get_params() == model.get_params()
    with pytest.raises(
        InputError, match="^n_gram is no parameter of SentimentClassifier; expected dim, hidden, ngrams,"
    ):
        model.set_params(epochs=9, n_gram=2)
    assert model.epochs == 3
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_gram'"):
        SentimentClassifier(n_gram=2)


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(SentimentClassifier()) == "SentimentClassifier()"
    assert (
        repr(SentimentClassifier(epochs=5, ngrams=2, dev=None)) == "SentimentClassifier(ngrams=2, epochs=5, dev=None)"
    )
    assert repr(SentimentClassifier(epochs=np.arange(2))) == "SentimentClassifier(epochs=array([0, 1]))"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number from 1 to 1,000,000."),
        ({"optimizer": "adamw"}, "optimizer is 'adamw'; expected one of sgd, adagrad, adam."),
        ({"optimizer": ["sgd"]}, "optimizer is ['sgd']; expected one of sgd, adagrad, adam."),
        ({"dev": 1}, "dev is 1; expected a fraction from 0 to less than 1."),
        ({"dev": float("nan")}, "dev is nan; expected a fraction from 0 to less than 1."),
        ({"dev": None}, "dev is None; expected a fraction from 0 to less than 1."),
        ({"dev": False}, "dev is False; expected a fraction from 0 to less than 1."),
        ({"threads": 0}, "threads is 0; expected a whole number from 1 up, or None for all cores."),
        ({"threads": True}, "threads is True; expected a whole number from 1 up, or None for all cores."),
        ({"dev": 0.9}, "X has too few texts to hold some out; try dev=0 to train on all."),
        (
            {"min_count": 99},
            "X has no word that occurs 99 times (see min_count) in the texts to train on; expected some.",
        ),
    ],
)
def test_fit_checks_parameters_and_the_constructor_does_not(parameters, message):
    model = SentimentClassifier(**parameters)
    with pytest.raises(InputError) as error:
        model.fit(["good", "bad"] * 2, ["pos", "neg"] * 2)
    assert str(error.value) == message
    assert not hasattr(model, "classes_")


def test_numbers_of_numpy_are_numbers(tmp_path):
    plain = small(seed=2, binary=False, dev=0.25, optimizer="sgd").fit(TEXTS, LABELS)
    numpy = small(
        seed=np.int64(2), binary=np.False_, dev=np.float32(0.25), optimizer=np.str_("sgd"), threads=np.int8(1)
    )
    assert sha256(numpy.fit(TEXTS, LABELS), tmp_path / "a") == sha256(plain, tmp_path / "b")


# Texts and labels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("A good film.", "X is 'A good film.'; expected a list of texts, such as ['A good film.']."),
        ("A good film. " * 9, "X is of type str; expected a list of texts, such as ['A good film.']."),
        (b"good", "X is b'good'; expected a list of texts, such as ['A good film.']."),
        (None, "X is None; expected a list of texts, such as ['A good film.']."),
        ({"good": 1}, "X is of type dict; expected a list of texts, such as ['A good film.']."),
        (np.eye(2), "X is of type ndarray and shape (2, 2); expected a list of texts, such as ['A good film.']."),
        (np.array("a"), "X is of type ndarray; expected a list of texts, such as ['A good film.']."),
        (["a", None], "X[1] is None; expected a text, a str."),
        (["a", "b", float("nan")], "X[2] is nan; expected a text, a str."),
        ([b"a"], "X[0] is b'a'; expected a text, a str."),
        ([["a"]], "X[0] is of type list; expected a text, a str."),
        (np.array(["a", 3.5], object), "X[1] is 3.5; expected a text, a str."),
    ],
)  # fmt: skip
def test_what_is_no_list_of_texts(X, message):
    fitted = small().fit(TWO_TEXTS, TWO_LABELS)
    for call in (lambda: small().fit(X, ["pos", "neg"]), lambda: fitted.predict(X), lambda: fitted.score(X, ["pos"])):
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ("ab", "y is 'ab'; expected a list of labels, such as ['pos', 'neg']."),
        (None, "y is None; expected a list of labels, such as ['pos', 'neg']."),
        ({"pos", "neg"}, "y is of type set; expected a list of labels, such as ['pos', 'neg']."),
        (["pos", None], "y[1] is None; expected a label: a str, an int or a bool."),
        (["pos", 1], "y[1] is of type int, but y[0] of type str; expected labels of one type."),
        ([True, 0], "y[1] is of type int, but y[0] of type bool; expected labels of one type."),
        (["pos", float("nan")], "y[1] is nan; expected a label; numbers are predicted with loss='squared'."),
        ([1, 2.5], "y[1] is 2.5; expected a label; numbers are predicted with loss='squared'."),
        ([("pos",), ("neg",)], "y[0] is of type tuple; expected a label: a str, an int or a bool."),
        (np.eye(2), "y is of type ndarray and shape (2, 2); expected a list of labels, such as ['pos', 'neg']."),
        (["pos", ""], "y[1] is ''; expected a label of printable characters."),
        (["pos", "a\nb"], "y[1] is 'a\\nb'; expected a label of printable characters."),
        (["pos", "pos"], "X has 1 label to train on ('pos'); expected from 2 to 1,000."),
    ],
)  # fmt: skip
def test_what_are_no_labels(y, message):
    with pytest.raises(InputError) as error:
        small().fit(["good", "bad"], y)
    assert str(error.value) == message


@pytest.mark.parametrize("wrong", [None, "3", True, np.True_, float("nan"), float("inf"), 1e30, -(10**400)])
def test_what_are_no_numbers(wrong):
    with pytest.raises(InputError, match=r"^y\[1\] is .*; expected a number up to 1e\+18.$"):
        small(loss="squared").fit(["good", "bad"], [1.0, wrong])


def test_lengths():
    fitted = small().fit(TWO_TEXTS, TWO_LABELS)
    for call in (lambda: small().fit(["a", "b", "c"], [1, 0]), lambda: fitted.score(["a", "b", "c"], ["pos", "neg"])):
        with pytest.raises(ShapeError, match="^X has 3 texts, but y has 2 labels; expected as many.$"):
            call()
    with pytest.raises(InputError, match="^X has no text in its train part"):
        small().fit([], [])
    assert fitted.predict([]).shape == (0,)
    assert fitted.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize("form", [list, tuple, iter, np.array, lambda values: np.array(values, object)])
def test_any_sequence_or_iterable(form, tmp_path):
    expected = small().fit(TEXTS, LABELS)
    found = small().fit(form(TEXTS), form(LABELS))
    assert sha256(found, tmp_path / "a") == sha256(expected, tmp_path / "b")
    assert found.predict(form(TEXTS)).tolist() == expected.predict(TEXTS).tolist()
    assert found.score(form(TEXTS), form(LABELS)) == expected.score(TEXTS, LABELS)


def test_series_of_pandas():
    pandas = pytest.importorskip("pandas")
    for dtype, values in (
        (None, LABELS),
        ("category", LABELS),
        ("object", LABELS),
        ("Int64", [len(a) for a in LABELS]),
    ):
        y = pandas.Series(values, index=range(7, 7 + len(values)), dtype=dtype)
        model = small().fit(pandas.Series(TEXTS, index=y.index), y)
        assert model.classes_.tolist() == sorted(set(values))
        assert model.score(pandas.Series(TEXTS), y) == model.score(TEXTS, values)
    with pytest.raises(InputError, match=r"^X is of type DataFrame and shape \(36, 1\)"):
        small().fit(pandas.DataFrame({"text": TEXTS}), LABELS)


@pytest.mark.parametrize(
    "names",
    [
        ("pos", "neg"),
        ("pos", "zz"),  # mlcore itself has "pos" last
        (10, 9),  # mlcore itself sorts these as numbers, and what follows as strings
        (-1, -2),
        (True, False),
        (1.0, 0.0),
        (2**70, 1),
        (np.int8(1), np.int8(-1)),
        (10, 9, 100),
        ("pos", "a", "zz"),
        (-1, 1, 0),
        (10.0, 9.0, 1e20),
    ],
    ids=str,
)
def test_labels_come_back_as_they_were_given(names, tmp_path):
    labels = [names[i % len(names)] for i in range(30)]
    texts = [f"{['good', 'bad', 'fair'][i % len(names)]} film" for i in range(30)]
    fitted = small(dev=0, epochs=30).fit(texts, labels)
    for model in (fitted, reloaded(fitted, tmp_path)):
        assert model.classes_.tolist() == sorted(names)
        np.testing.assert_array_equal(model.classes_, np.unique(labels))
        assert model.classes_.dtype.kind == np.asarray(labels).dtype.kind
        assert model.predict(texts).tolist() == labels
        assert model.predict(texts).dtype == model.classes_.dtype
        probabilities = model.predict_proba(texts)
        assert model.classes_[probabilities.argmax(axis=1)].tolist() == labels
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)
        scores = model.decision_function(texts)
        if len(names) == 2:
            assert model.classes_[(scores > 0).astype(int)].tolist() == labels
        else:
            assert model.classes_[scores.argmax(axis=1)].tolist() == labels
        assert model.score(texts, labels) == 1
        assert model.score(texts, labels[1:] + labels[:1]) == 0


def reloaded(model, folder):
    model.save(folder / "model.npz")
    return SentimentClassifier.load(folder / "model.npz")


def test_labels_of_another_type_cannot_be_compared():
    model = small().fit(TWO_TEXTS, TWO_LABELS)
    with pytest.raises(InputError, match="^y has labels of type int; the model was fitted with str.$"):
        model.score(["good"], [1])
    assert model.score(["good"], ["never seen"]) == 0


def test_numbers_are_predicted(tmp_path):
    ratings = [5, 1.5, 5, 1.5, 3, 3] * 6
    fitted = small(loss="squared", epochs=100, dev=0).fit(TEXTS, ratings)
    for model in (fitted, reloaded(fitted, tmp_path)):
        predicted = model.predict(TEXTS)
        assert predicted.dtype == np.float64
        np.testing.assert_allclose(predicted, ratings, atol=0.3)
        errors, spread = np.subtract(ratings, predicted), np.subtract(ratings, np.mean(ratings))
        assert model.score(TEXTS, ratings) == pytest.approx(1 - (errors**2).sum() / (spread**2).sum(), rel=1e-12)
        assert model.score(TEXTS[:2], [3, 3]) == 0
        assert not hasattr(model, "classes_")
        for name in ("predict_proba", "decision_function"):
            with pytest.raises(InputError, match=f"^{name} needs labels; a model for numbers"):
                getattr(model, name)(TEXTS)
    pytest.importorskip("sklearn")
    from sklearn.metrics import r2_score

    assert model.score(TEXTS, ratings) == pytest.approx(r2_score(ratings, predicted), rel=1e-12)
