"""SentimentClassifier: its parameters, what kinds of texts and labels go in and come out, and the model it trains."""

import copy
import hashlib
import inspect
import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest

from mlcore import SentimentClassifier
from mlcore.errors import DivergedError, InputError, MlcoreError, ModelFileError, NotFittedError
from mlcore.sentiment import training
from mlcore.sentiment.arguments import Classes
from mlcore.sentiment.model_file import load_model, save_model
from mlcore.sentiment.settings import FIELDS
from mlcore.text.dataset import read_dataset

SMALL = {"dim": 4, "hidden": 3, "epochs": 4, "learning_rate": 0.1}
TEXTS = ["A good, warm film.", "A bad, dull film.", "Good good fun!", "Bad plot, bad!", "So so.", "It was so so"] * 6
LABELS = ["pos", "neg", "pos", "neg", "fair", "fair"] * 6
TWO_TEXTS, TWO_LABELS = (
    [value for value, label in zip(values, LABELS, strict=True) if label != "fair"] for values in (TEXTS, LABELS)
)


def small(**parameters):
    return SentimentClassifier(**SMALL | {"threads": 1} | parameters)


def reloaded(model, folder):
    model.save(folder / "model")
    return SentimentClassifier.load(folder / "model")


def sha256(model, path):
    model.save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Parameters -------------------------------------------------------------------------------------------------


def test_parameters_are_the_settings_and_go_in_and_out():
    parameters = inspect.signature(SentimentClassifier).parameters
    expected = {name: field.default for name, field in FIELDS.items()} | {
        "dev": 0.1, "warm_start": False, "threads": None, "verbose": 0,
    }  # fmt: skip
    assert {name: parameter.default for name, parameter in parameters.items()} == expected
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    model = SentimentClassifier(ngrams=2, dev=0)
    assert model.get_params()["ngrams"] == 2
    assert model.set_params(epochs=3, ngrams=1) is model
    assert SentimentClassifier(**model.get_params()).get_params() == model.get_params()
    assert repr(model) == "SentimentClassifier(ngrams=1, epochs=3, dev=0)"
    assert repr(SentimentClassifier(epochs=np.arange(2))) == "SentimentClassifier(epochs=array([0, 1]))"
    with pytest.raises(InputError, match="^SentimentClassifier has no parameter 'n_gram'; it has ngrams, char_ngrams"):
        model.set_params(epochs=9, n_gram=2)
    assert model.epochs == 3
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_gram'"):
        SentimentClassifier(n_gram=2)


# What is refused --------------------------------------------------------------------------------------------


TWO, LABELLED = ["good", "bad"], ["pos", "neg"]
NO_LIST = "expected a list of texts, such as ['A good film.']."
ONE_TYPE = "expected labels of one type: text without control characters, int or bool (numbers take loss='squared')."
NO_LABELS = "expected a list of labels, such as ['pos', 'neg']."
LARGE = "expected a number up to 1e+18."


@pytest.mark.parametrize(("X", "y", "more", "message"), [
    (TWO, LABELLED, {"epochs": 0}, "epochs is 0; expected a whole number from 1 to 100,000."),
    *((TWO, LABELLED, {"dev": one}, f"dev is {one!r}; expected a fraction from 0 to less than 1.")
      for one in (1, np.nan, "0.1")),
    *((TWO, LABELLED, {"threads": one}, f"threads is {one}; expected a whole number from 1 up, or None for all cores.")
      for one in (0, True)),
    (TWO * 2, LABELLED * 2, {"min_count": 99}, "X: no word occurs 99 times in the texts to train on; try min_count=1."),
    (TWO, [0, 1], {"class_weight": {2: 1}, "dev": 0, "min_count": 1},
     "class_weight is '2'; expected weights of the labels '0', '1'."),
    # texts
    ("A good film.", LABELLED, {}, f"X is 'A good film.'; {NO_LIST}"),
    ("A good film. " * 9, LABELLED, {}, f"X is of type str; {NO_LIST}"),
    ({"good": 1}, LABELLED, {}, f"X is of type dict; {NO_LIST}"),
    (np.eye(2), LABELLED, {}, f"X is of type ndarray and shape (2, 2); {NO_LIST}"),
    (["a", "b", float("nan")], LABELLED, {}, "X[2] is missing (nan); leave the row out, or fill it in."),
    ([["a"]], LABELLED, {}, "X[0] is of type list; expected a text, a str."),
    (["a", "b", "c"], [1, 0], {}, "X has 3 texts, but y has 2 labels; give each text one label."),
    ([], [], {}, "X contains no texts to train on."),
    # labels
    (TWO, None, {}, f"y is None; {NO_LABELS}"), (TWO, {"pos", "neg"}, {}, f"y is of type set; {NO_LABELS}"),
    *((TWO, ["pos", one], {}, f"y[1] is missing ({one}); leave the row out, or fill it in.") for one in (None, np.nan)),
    *((TWO, [first, wrong], {}, f"y[1] is {wrong!r}; {ONE_TYPE}")
      for first, wrong in (("pos", 1), (True, 0), (1, 2.5), ("pos", ""), ("pos", "a\nb"))),
    (TWO, [b"pos", b"neg"], {}, f"y[0] is b'pos'; {ONE_TYPE}"),
    (TWO, ["pos", "pos"], {}, "X has 1 label to train on ('pos'); expected from 2 to 100,000."),
    *((TWO, [1.0, one], {"loss": "squared"}, f"y[1] is {one!r}; {LARGE}") for one in ("3", 1e30)),
    (TWO, [[1, 2], [0, 1]], {}, "y is of type ndarray and shape (2, 2); expected only 0 and 1 in a matrix of labels."),
    (TWO, [[1, 0]], {}, "X has 2 texts, but y has 1 rows; give each text one row."),
    (TWO, [[1], [0]], {},
     "y is a matrix of one column; expected a column for each of two or more labels, or a list."),
    (TWO, [["a"], []], {}, "y has the labels 'a'; expected two or more."),
    (TWO, [["a", "b"], [None]], {}, f"y[1] is None; {ONE_TYPE}"),
    (TWO, [["a", "b"]], {}, "X has 2 texts, but y has 1 lists of labels; give each text one."),
    # weights
    (TWO, LABELLED, {"sample_weight": [1.0]},
     "X has 2 texts, but sample_weight has 1 numbers; give each text one."),
    *((TWO, LABELLED, {"sample_weight": wrong},
       "sample_weight has values that are no weights; expected finite numbers from 0 up.")
      for wrong in ([1, -1], ["1", "2"])),
    (TWO, LABELLED, {"sample_weight": [0, 0]},
     "sample_weight is 0 for all texts; expected a number above 0 for some."),
    (TWO, LABELLED, {"sample_weight": 3}, "sample_weight is 3; expected a list of numbers, such as [1, 0.5]."),
])  # fmt: skip
def test_fit_refuses_what_is_wrong_and_the_constructor_does_not(X, y, more, message):
    weights = more.get("sample_weight")
    model = SentimentClassifier(**{name: value for name, value in more.items() if name != "sample_weight"})
    with pytest.raises(InputError) as error:
        model.fit(X, y, sample_weight=weights)
    assert str(error.value) == message
    assert not hasattr(model, "classes_")


def test_a_fitted_model_refuses_the_same():
    fitted = small().fit(TWO_TEXTS, TWO_LABELS)
    for call, message in (
        (lambda: fitted.predict("A good film."), "X is 'A good film.'"),
        (lambda: fitted.score(["a", "b", "c"], LABELLED), "X has 3 texts, but y has 2 labels"),
        (lambda: fitted.score([], []), "X has no texts; give at least 1."),
        (lambda: fitted.score(["good"], [1]), "y has labels of type int; the model was fitted with str"),
        (lambda: fitted.explain(["A good film."]), "text is of type list; expected one text, a str"),
    ):
        with pytest.raises(InputError, match=f"^{message}"):
            call()
    assert fitted.score(["good"], ["never seen"]) == 0
    assert (fitted.predict([]).shape, fitted.predict_proba([]).shape) == ((0,), (0, 2))


# Texts and labels -------------------------------------------------------------------------------------------


COLUMNS = ["pandas.Series", "pandas.Categorical", "polars.Series", "pyarrow.array", "numpy.array", "builtins.iter"]


@pytest.mark.parametrize("form", COLUMNS)
def test_columns_of_other_libraries_and_what_they_have_for_missing_values(form, tmp_path):
    module, _, name = form.partition(".")
    column = getattr(pytest.importorskip(module), name)
    expected = small(seed=2, binary=False, dev=0.25, optimizer="sgd").fit(TEXTS, LABELS)
    found = small(seed=np.int64(2), binary=np.False_, dev=np.float32(0.25), optimizer=np.str_("sgd"))
    found.fit(column(TEXTS), column(LABELS))
    assert sha256(found, tmp_path / "a") == sha256(expected, tmp_path / "b")
    assert found.predict(column(TEXTS)).tolist() == expected.predict(TEXTS).tolist()
    assert found.score(column(TEXTS), column(LABELS)) == expected.score(TEXTS, LABELS)
    for X, y in (([*TEXTS[:3], None], LABELS[:4]), (TEXTS[:4], [*LABELS[:3], None])):
        with pytest.raises(InputError, match=r"^[Xy]\[3\] is missing \((None|nan|<NA>)\); leave the row out"):
            small().fit(column(X), column(y))


# mlcore itself has "pos" last, and sorts whole numbers as numbers; whole floats are integers
NAMES = [
    ("pos", "zz"), ("pos", "a", "zz"), (10, 9), (2**70, 1), (10.0, 9.0, 1e18), (np.int8(1), np.int8(-1)), (True, False),
]  # fmt: skip


@pytest.mark.parametrize("names", NAMES, ids=str)
def test_labels_come_back_as_they_were_given(names, tmp_path):
    labels = [names[i % len(names)] for i in range(30)]
    texts = [f"{['good', 'bad', 'fair'][i % len(names)]} film" for i in range(30)]
    fitted = small(dev=0, epochs=30).fit(texts, labels)
    for model in (fitted, reloaded(fitted, tmp_path)):
        assert model.classes_.tolist() == sorted(names)
        np.testing.assert_array_equal(model.classes_, np.unique(labels))
        assert model.classes_.dtype.kind == np.asarray(labels).dtype.kind.replace("f", "i")
        assert model.predict(texts).tolist() == labels
        assert model.predict(texts).dtype == model.classes_.dtype
        probabilities = model.predict_proba(texts)
        assert model.classes_[probabilities.argmax(axis=1)].tolist() == labels
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)
        scores = model.decision_function(texts)
        numbers = (scores > 0).astype(int) if len(names) == 2 else scores.argmax(axis=1)
        assert model.classes_[numbers].tolist() == labels
        assert model.score(texts, labels) == 1
        assert model.score(texts, labels[1:] + labels[:1]) == 0


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
        model._fitted[0].parameters.b2[:] += 9
        assert model.predict(["good", "bad"]).tolist() == [5, 5], "no rating is above all that training has seen"
        assert not hasattr(model, "classes_")
        for name in ("predict_proba", "decision_function"):
            with pytest.raises(InputError, match=f"^{name} needs labels; a model for numbers"):
                getattr(model, name)(TEXTS)


# Weights, and going on --------------------------------------------------------------------------------------


def test_texts_have_weights(tmp_path):
    wrong = ["neg" if label == "pos" else "pos" for label in TWO_LABELS]
    texts, labels = TWO_TEXTS * 2, TWO_LABELS + wrong
    weights = np.repeat([1.0, 0.01], len(TWO_TEXTS))
    model = small(dev=0.25, epochs=20).fit(texts, labels, sample_weight=weights)
    assert model.predict(TWO_TEXTS).tolist() == TWO_LABELS
    again = small(dev=0.25, epochs=20).fit(texts, labels, sample_weight=(7 * weights).tolist())
    np.testing.assert_allclose(again.predict_proba(texts), model.predict_proba(texts), rtol=1e-3)
    assert model.score(texts, labels, sample_weight=weights) == pytest.approx(1 / 1.01)
    assert model.score(texts, labels) == 0.5
    ratings = small(loss="squared", dev=0).fit(texts, [1.0] * 48, sample_weight=weights)
    assert ratings.score(["good", "bad"], [0, 1], sample_weight=[1, 0]) == 0
    equal = small(dev=0).fit(TEXTS, LABELS, sample_weight=np.full(36, 3))
    assert sha256(equal, tmp_path / "a") == sha256(small(dev=0).fit(TEXTS, LABELS), tmp_path / "b")


def test_labels_have_weights():
    numbers = [int(label == "pos") for label in TWO_LABELS]
    sure = small(dev=0, class_weight={1: 50}).fit(TWO_TEXTS, numbers)
    plain = small(dev=0, class_weight=None).fit(TWO_TEXTS, numbers)
    assert sure.get_params()["class_weight"] == {1: 50}
    assert (sure.predict_proba(["film"])[:, 1] > plain.predict_proba(["film"])[:, 1]).all()


def test_a_warm_start_goes_on(tmp_path):
    model = small(dev=0, warm_start=True).fit(TEXTS, LABELS)
    before = model.predict_proba(TEXTS)
    model.set_params(epochs=1, learning_rate=1e-30).fit(["A new good plot"] * 2, ["pos", "neg"])
    np.testing.assert_allclose(model.predict_proba(TEXTS), before, rtol=1e-5)
    assert "new" in model._fitted[0].features.names
    with pytest.raises(InputError, match="X, text 1: the label is 'odd'; expected 'fair', 'neg', 'pos'"):
        model.fit(["good", "bad"], ["odd", "neg"])
    assert reloaded(model, tmp_path).predict(TEXTS).tolist() == model.predict(TEXTS).tolist()


def test_partial_fit_is_an_epoch_on_more_texts_with_new_words():
    model = small(learning_rate=0.1, min_count=1, char_ngrams="none")
    for texts, label in ((["good", "fine"], 1), (["bad", "dull"], 0)) * 15:
        model.partial_fit(texts, [label] * 2, classes=[0, 1])
    assert model.predict(["good", "fine", "bad", "dull"]).tolist() == [1, 1, 0, 0]
    assert (len(model._fitted[0].features), len(model.history_)) == (4, 1)
    automatic = SentimentClassifier(warm_start=True, dev=0, epochs=1).fit(["good", "bad"] * 9, [0, 1] * 9)
    automatic.fit(
        ["a good long text of more than fifteen words, which alone would choose other settings " * 9] * 9, [1] * 9
    )
    for classes, message in (
        ([1, 2], "classes are '1', '2'; expected the labels of the model, '0', '1'"),
        ([2], "two or"),
    ):
        with pytest.raises(InputError, match=message):
            (model if len(classes) > 1 else small()).partial_fit(["good"], [1], classes)


# The model --------------------------------------------------------------------------------------------------


def test_the_model_is_that_of_the_command_line(model, reviews, tmp_path):
    """All is the same to the last bit, but for the options that were given."""
    dataset = read_dataset(reviews, keep_texts=True)
    labels = [dataset.label_names[number] for number in dataset.labels]
    ours = SentimentClassifier(ngrams=1, char_ngrams="none", dim=3, hidden=2, learning_rate=0.2, epochs=30, refit=False)
    ours.fit(dataset.texts, labels).save(tmp_path / "ours")
    found = [load_model(path) for path in (model, tmp_path / "ours")]
    assert [one.provenance.inputs for one in found] == [{"data": [reviews.name]}, {"dev": "0.1", "labels": "str"}]
    assert (found[1].provenance.fingerprint, found[1].provenance.texts["dev"]) == (dataset.fingerprint, 4)
    for one in found:
        save_model(replace(one, provenance=replace(one.provenance, inputs={})), tmp_path / "without")
        one.content = (tmp_path / "without").read_bytes()
    assert found[0].content == found[1].content
    loaded = SentimentClassifier.load(model)
    assert loaded.classes_.tolist() == ["neg", "pos"]
    assert loaded.predict(["good", "bad"]).tolist() == ["pos", "neg"]


def test_save_and_load(tmp_path):
    model = small(ngrams=2, dev=0.2).fit(TEXTS, LABELS)
    again = reloaded(model, tmp_path)
    assert again.get_params() == model.get_params() | {"threads": None}
    assert again.history_ == model.history_
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    expected = sha256(model, tmp_path / "a")
    for twin in (again, copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert sha256(twin, tmp_path / "b") == expected
        assert sha256(twin.fit(TEXTS, LABELS), tmp_path / "c") == expected
        twin.set_params(seed=5).fit(TWO_TEXTS, TWO_LABELS)
        assert sha256(model, tmp_path / "b") == expected
    # a loaded estimator still chooses what was left to it
    assert reloaded(small(learning_rate=None).fit(TEXTS, LABELS), tmp_path).learning_rate is None
    diverging = small(optimizer="sgd", learning_rate=1e4, epochs=1)
    with pytest.warns(UserWarning, match="^epoch 1 diverged and was repeated; the learning rate is now [0-9.e+]+$"):
        diverging.fit(TEXTS, LABELS)


def test_labels_that_are_not_what_a_file_says(tmp_path):
    model = small().fit(TWO_TEXTS, TWO_LABELS)
    for kind in ("int", "float", "bool", "complex", "", ["int"]):
        model._fitted[0].provenance.inputs["labels"] = kind
        with pytest.raises(ModelFileError, match="model has labels that are not of the type that it names; train it"):
            reloaded(model, tmp_path)
    for labels, kind in ((("1", "01"), "int"), (("1", "1.0"), "float"), (("nan", "1"), "int"), (("9" * 5000,), "int")):
        with pytest.raises((KeyError, ValueError)):
            Classes.read(replace(model._fitted[0], labels=labels), kind)
    model._fitted[0].provenance.inputs["labels"] = "str"
    for dev, expected in (("dev.csv", 0.1), (["a", "b"], 0.1), ("0", 0)):  # texts to hold out are not a fraction
        model._fitted[0].provenance.inputs["dev"] = dev
        assert reloaded(model, tmp_path).dev == expected


def test_before_fit(tmp_path):
    model = SentimentClassifier()
    calls = [
        lambda: model.predict(["a"]), lambda: model.predict_proba(["a"]), lambda: model.decision_function(["a"]),
        lambda: model.score(["a"], ["b"]), lambda: model.explain("a"), lambda: model.save(tmp_path / "m"),
        lambda: model.classes_, lambda: model.history_,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(NotFittedError, match="^This SentimentClassifier has not been fitted; call fit or load"):
            call()
    assert all(issubclass(NotFittedError, base) for base in (MlcoreError, ValueError, AttributeError))
    assert not hasattr(model, "classes_")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, DivergedError])
def test_what_an_interrupted_fit_leaves(error, monkeypatch, tmp_path):
    """The best complete epoch, or what was there before."""
    model, real = small(patience=9).fit(TWO_TEXTS, TWO_LABELS), training.fit
    before = sha256(model, tmp_path / "a")
    for epochs in (0, 2):

        def fit(*arguments, epochs=epochs):
            yield from itertools.islice(real(*arguments), epochs)
            raise error("stop")

        with monkeypatch.context() as patch:
            patch.setattr(training, "fit", fit)
            with pytest.raises(error, match="^stop"):
                model.fit(TEXTS, LABELS)
        assert (sha256(model, tmp_path / "a") == before) == (epochs == 0)
    assert [epoch["epoch"] for epoch in model.history_] == [1, 2]
    assert model.classes_.tolist() == ["fair", "neg", "pos"]
    assert sha256(model.fit(TEXTS, LABELS), tmp_path / "a") == sha256(
        small(patience=9).fit(TEXTS, LABELS), tmp_path / "b"
    )
