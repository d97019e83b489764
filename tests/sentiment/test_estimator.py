"""SentimentClassifier: its parameters, what kinds of texts and labels go in and come out, and the model it trains."""

import copy
import itertools
import os
import pickle
import re
import unicodedata
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from conftest import compare_with_golden

from mlcore import SentimentClassifier, errors
from mlcore.errors import DivergedError, InputError, ModelFileError, NotFittedError
from mlcore.sentiment import training
from mlcore.sentiment.arguments import Classes
from mlcore.sentiment.model_file import content_of, load_model
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import read_dataset
from mlcore.text.pool import available_cores

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


def content(model):
    """What ``save`` writes."""
    return content_of(model._fitted[0])


# What it says -----------------------------------------------------------------------------------------------


STATEMENT = re.compile(r"^>>> (.*)\n", re.MULTILINE)


def test_what_a_console_shows(tmp_path, monkeypatch):
    """WRITE_GOLDEN=1 in the environment writes what the statements show into the session."""
    monkeypatch.chdir(tmp_path)
    session = Path(__file__).parent / "sessions" / "estimator.pycon"
    text = session.read_text("utf-8")
    names = vars(errors) | {"SentimentClassifier": SentimentClassifier, "Settings": Settings, "np": np, "os": os}
    found = text[: text.index(">>> ")]
    for statement in STATEMENT.findall(text):
        with redirect_stdout(StringIO()) as shown:
            try:
                exec(compile(statement + "\n", session.name, "single"), names)
            except Exception as error:
                print(f"{type(error).__name__}: {error}")
        found += f">>> {statement}\n{shown.getvalue()}"
    compare_with_golden(session, found)


# Texts and labels -------------------------------------------------------------------------------------------


COLUMNS = ["pandas.Series", "pandas.Categorical", "polars.Series", "pyarrow.array", "numpy.array", "builtins.iter"]


@pytest.mark.parametrize("form", COLUMNS)
def test_columns_of_other_libraries_and_what_they_have_for_missing_values(form):
    module, _, name = form.partition(".")
    column = getattr(pytest.importorskip(module), name)
    expected = small(seed=2, binary=False, dev=0.25, optimizer="sgd").fit(TEXTS, LABELS)
    found = small(seed=np.int64(2), binary=np.False_, dev=np.float32(0.25), optimizer=np.str_("sgd"))
    found.fit(column(TEXTS), column(LABELS))
    assert content(found) == content(expected)
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


# Weights, and going on --------------------------------------------------------------------------------------


def test_texts_have_weights():
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
    assert content(equal) == content(small(dev=0).fit(TEXTS, LABELS))


def test_a_warm_start_goes_on(tmp_path):
    model = small(dev=0, warm_start=True).fit(TEXTS, LABELS)
    before = model.predict_proba(TEXTS)
    model.set_params(epochs=1, learning_rate=1e-30).fit(["A new good plot"] * 2, ["pos", "neg"])
    np.testing.assert_allclose(model.predict_proba(TEXTS), before, rtol=1e-5)
    assert "new" in model._fitted[0].features.names
    assert reloaded(model, tmp_path).predict(TEXTS).tolist() == model.predict(TEXTS).tolist()


def test_partial_fit_is_an_epoch_on_more_texts_with_new_words():
    model = small(learning_rate=0.1, min_count=1, char_ngrams="none")
    for texts, label in ((["good", "fine"], 1), (["bad", "dull"], 0)) * 15:
        model.partial_fit(texts, [label] * 2, classes=[0, 1])
    assert model.predict(["good", "fine", "bad", "dull"]).tolist() == [1, 1, 0, 0]
    assert (len(model._fitted[0].features), len(model.history_)) == (8, 1), "words, and these at the beginning"
    automatic = SentimentClassifier(warm_start=True, dev=0, epochs=1).fit(["good", "bad"] * 9, [0, 1] * 9)
    automatic.fit(["a text whose length alone would choose other settings, " * 15] * 9, [1] * 9)
    topics = [f"topic{i}" for i in range(8)]
    for lengths in ((110, 70), (70, 110)):  # words count once only where the first texts are short
        model = SentimentClassifier(epochs=1)
        for length in lengths:
            model.partial_fit([f"{topic} " * length for topic in topics], topics, classes=topics)
        assert model._fitted[0].settings.binary == (lengths[0] < 100)


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
    one, other = (content_of(replace(one, provenance=replace(one.provenance, inputs={}))) for one in found)
    assert one == other
    loaded = SentimentClassifier.load(model)
    assert loaded.classes_.tolist() == ["neg", "pos"]
    assert loaded.predict(["good", "bad"]).tolist() == ["pos", "neg"]


def test_save_and_load(tmp_path):
    model = small(ngrams=2, dev=0.2).fit(TEXTS, LABELS)
    again = reloaded(model, tmp_path)
    assert again.get_params() == model.get_params() | {"threads": None}
    assert again.history_ == model.history_
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    expected = content(model)
    for twin in (again, copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert content(twin) == expected
        assert content(twin.fit(TEXTS, LABELS)) == expected
        twin.set_params(seed=5).fit(TWO_TEXTS, TWO_LABELS)
        assert content(model) == expected
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


@pytest.mark.parametrize("error", [KeyboardInterrupt, DivergedError])
def test_what_an_interrupted_fit_leaves(error, monkeypatch):
    """The best complete epoch, or what was there before."""
    model, real = small(patience=9).fit(TWO_TEXTS, TWO_LABELS), training.fit
    before = content(model)
    for epochs in (0, 2):

        def fit(*arguments, epochs=epochs):
            yield from itertools.islice(real(*arguments), epochs)
            raise error("stop")

        with monkeypatch.context() as patch:
            patch.setattr(training, "fit", fit)
            with pytest.raises(error, match="^stop"):
                model.fit(TEXTS, LABELS)
        assert (content(model) == before) == (epochs == 0)
    assert [epoch["epoch"] for epoch in model.history_] == [1, 2]
    assert model.classes_.tolist() == ["fair", "neg", "pos"]
    assert content(model.fit(TEXTS, LABELS)) == content(small(patience=9).fit(TEXTS, LABELS))


# In use ------------------------------------------------------------------------------------------------------


def test_a_refit_in_the_middle_of_a_prediction():
    """The texts come from a generator that fits the same estimator to other labels: the worst moment, every time."""
    others = ["zz" if label == "pos" else "pos" for label in LABELS]  # which the network has the other way round

    def texts(model):
        model.fit(TEXTS, others)
        yield from TEXTS

    for name in ("predict", "predict_proba", "decision_function"):
        model = small().fit(TWO_TEXTS, TWO_LABELS)
        expected = getattr(model, name)(TEXTS)
        np.testing.assert_array_equal(getattr(model, name)(texts(model)), expected)
        assert model.classes_.tolist() == ["pos", "zz"]
    model = small().fit(TEXTS, LABELS)
    expected = model.score(TEXTS, LABELS)
    assert model.score(texts(model), LABELS) == expected > 0


# scikit-learn -----------------------------------------------------------------------------------------------


def shorter(texts):
    """For a pipeline, and of this module, so that other processes find it."""
    return [text[:12] for text in texts]


@pytest.fixture
def sklearn():
    return pytest.importorskip("sklearn")


def test_clone_and_tags(sklearn):
    from sklearn.exceptions import NotFittedError as TheirNotFittedError
    from sklearn.utils.validation import check_is_fitted

    for loss in ("logistic", "squared"):
        assert sklearn.base.is_classifier(small(loss=loss)) == (loss == "logistic")
        assert sklearn.base.is_regressor(small(loss=loss)) == (loss == "squared")
    model = small(ngrams=2, dev=np.float64(0.2)).fit(TEXTS, LABELS)
    clone = sklearn.base.clone(model)
    assert (clone.get_params(), hasattr(clone, "classes_")) == (model.get_params(), False)
    check_is_fitted(model)
    with pytest.raises(TheirNotFittedError):
        check_is_fitted(small())
    assert TheirNotFittedError.__bases__ == NotFittedError.__bases__[1:]


def test_weights_are_passed_on(sklearn):
    from sklearn.model_selection import cross_validate

    class Seen(type(small())):
        weights = []

        def fit(self, X, y, sample_weight=None):
            self.weights.append(sample_weight)
            return super().fit(X, y, sample_weight)

    with sklearn.config_context(enable_metadata_routing=True):
        model = Seen(dim=2, epochs=1, dev=0).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        weights = np.arange(len(TEXTS)) + 1.0
        cross_validate(sklearn.base.clone(model), TEXTS, LABELS, cv=2, params={"sample_weight": weights})
    assert sorted(np.concatenate(Seen.weights)) == weights.tolist()


def test_a_fitted_model_in_other_processes(sklearn):
    """Arrays of a megabyte or more are shared with them in memory that cannot be written to."""
    joblib = pytest.importorskip("joblib")

    model = small(dim=2000, ngrams=1).fit([*TEXTS, " ".join(f"w{i}" for i in range(200))], [*LABELS, "fair"])
    assert model._fitted[0].parameters.table.nbytes > 2**20
    with joblib.parallel_config("loky", inner_max_num_threads=1), joblib.Parallel(n_jobs=2) as pool:
        for probabilities in pool(joblib.delayed(model.predict_proba)(TEXTS) for _ in range(2)):
            np.testing.assert_array_equal(probabilities, model.predict_proba(TEXTS))
        shares = pool(joblib.delayed(small(threads=None)._checked_threads)() for _ in range(2))
    assert (small(threads=None)._checked_threads(), shares) == (available_cores(), [1, 1]), "one core for each process"


def test_grid_search_over_a_pipeline(sklearn):
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    pipeline = Pipeline([("clean", FunctionTransformer(shorter)), ("model", small())])
    grid = {"model__epochs": np.arange(1, 3), "model__optimizer": np.array(["adam", "adagrad"])}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert len(search.cv_results_["mean_test_score"]) == 4
    best = small(**{name.removeprefix("model__"): value for name, value in search.best_params_.items()})
    best.fit(shorter(TEXTS), LABELS)
    for name in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(search, name)(TEXTS), getattr(best, name)(shorter(TEXTS)))
    assert search.classes_.tolist() == ["fair", "neg", "pos"]
    assert "SentimentClassifier" in pipeline._repr_html_()


@pytest.mark.parametrize(("good", "bad", "others", "between"), [
    ("😀 👍🏽 ❤️", "😡 👎🏽 💔", "the film was on at nine", " "),
    ("好看 精彩 喜欢", "糟糕 难看 讨厌", "这部 电影 演员 音乐 故事", ""),
    ("préféré été génial", "médiocre raté ennuyé", "le film à la télé", " "),
])  # fmt: skip
def test_what_carries_the_label_is_a_token(good, bad, others, between):
    """Trained on composed letters, and tested on decomposed ones."""
    random, texts = np.random.default_rng(1), []
    labels = ["pos", "neg"] * 150
    for label in labels:
        words = [*random.choice(others.split(), 5), random.choice((good if label == "pos" else bad).split())]
        texts.append(between.join(random.permutation(words)))
    model = SentimentClassifier(dev=0, epochs=20).fit(texts[:200], labels[:200])
    assert model.score([unicodedata.normalize("NFD", text) for text in texts[200:]], labels[200:]) >= 0.95


def test_eight_texts_of_each_of_many_labels_suffice():
    random, labels = np.random.default_rng(1), [f"label{i % 150}" for i in range(1350)]
    others = random.choice([f"w{i}" for i in range(300)], (1350, 6))
    tell = [(f"a{i % 15}", f"b{i % 150 // 15}") for i in range(1350)]  # both words together
    texts = [" ".join(random.permutation([*words, *pair])) for words, pair in zip(others, tell, strict=True)]
    assert SentimentClassifier().fit(texts[:1200], labels[:1200]).score(texts[1200:], labels[1200:]) >= 0.95
