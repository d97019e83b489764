"""SentimentClassifier inside scikit-learn, and in several threads and processes at once."""

import unicodedata

import numpy as np
import pytest
from test_estimator import LABELS, TEXTS, TWO_LABELS, TWO_TEXTS, small

from mlcore.errors import NotFittedError
from mlcore.sentiment.estimator import SentimentClassifier
from mlcore.text.pool import available_cores


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
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(model.predict_proba)(TEXTS) for _ in range(2))
    for probabilities in found:
        np.testing.assert_array_equal(probabilities, model.predict_proba(TEXTS))
    assert small(threads=None)._checked_threads() == available_cores()
    with joblib.parallel_config("loky", inner_max_num_threads=1):  # which leaves each process one core
        shares = joblib.Parallel(n_jobs=2)(joblib.delayed(small(threads=None)._checked_threads)() for _ in range(2))
    assert shares == [1, 1]


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
