"""Texts with several labels or none: training, figures, thresholds, explanations, files and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import pinned
from naive import random_data, random_model
from sklearn import metrics
from test_training import train

from mlcore import SentimentClassifier
from mlcore.errors import InputError
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.calibration import best_threshold, tune_thresholds
from mlcore.sentiment.evaluation import assess, evaluate, quick_figures
from mlcore.sentiment.explanation import strongest_words
from mlcore.sentiment.initialization import order_tells
from mlcore.sentiment.prediction import predict
from mlcore.sentiment.report import report_page
from mlcore.text.dataset import built_in_dataset, dataset_of, encode, read_dataset
from mlcore.text.labels import hold_out

WORDS = {"a": ("apple", "ant"), "b": ("bear", "book"), "c": ("cat", "cup")}
MULTI = pinned(
    dim=6,
    hidden=6,
    binary=True,
    epochs=12,
    patience=12,
    learning_rate=0.05,
    schedule="constant",
    word_dropout=0.0,
    multi_label=True,
)


def make_texts(n=300, seed=1):
    """Texts with a word for each of their labels, which are none to three, among others."""
    random, texts, labels = np.random.default_rng(seed), [], []
    for _ in range(n):
        chosen = tuple(label for label in WORDS if random.random() < 0.4)
        words = [random.choice(WORDS[label]) for label in chosen] + list(random.choice(["the", "of", "in"], 3))
        texts.append(" ".join(random.permutation(words)))
        labels.append(chosen)
    return texts, labels


TEXTS, LABELS = make_texts()
MATRIX = np.array([[label in chosen for label in WORDS] for chosen in LABELS]).astype(int)


def test_it_learns_with_the_same_bytes_for_any_number_of_threads():
    settings = replace(MULTI, dim=20)
    model, data, reports = train(settings, TEXTS, LABELS)
    for one, other in zip(model.parameters, train(settings, TEXTS, LABELS, threads=2)[0].parameters, strict=True):
        np.testing.assert_array_equal(one, other)
    found = evaluate(model, data.dev)
    assert found.micro.f1 > 0.95
    assert (model.labels, model.parameters.W2.shape) == (("a", "b", "c"), (3, 6))
    answered = predict(model, ["apple of cat", "the of"]).to_dicts(Answers())
    assert [answer["labels"] for answer in answered] == [["a", "c"], []]
    assert quick_figures(model, data.dev) == (found.loss, found.micro.f1)
    assert found.micro.f1 == max(report.dev_micro_f1 for report in reports)
    assert reports[0].dev_accuracy is None


def test_held_out_texts_are_never_the_only_ones_of_a_label():
    targets = np.zeros((40, 3), np.float32)
    targets[:30, 0], targets[5, 1], targets[35:, 2] = 1, 1, 1
    for seed in range(30):
        mask = hold_out(targets, 0.25, seed)
        assert (mask.sum(), mask[5]) == (10, False)
    labels = [("a", "rare"), *LABELS[1:]]
    (warning,) = encode(dataset_of(TEXTS, labels), None, **MULTI.encoding()).warnings
    assert str(warning).startswith("1 label has a single text, which stays in training and is not held out: 'rare'")


def make(seed=2, n=80):
    random = np.random.default_rng(seed)
    model = random_model(seed, ("a", "b", "c", "d"), multi_label=True, scale=0.7)
    model.parameters.b1[1] = 0.5
    truths = [tuple(np.array(["a", "b", "c"])[random.random(3) < 0.5]) for _ in range(n)]
    return model, *random_data(model, truths, seed)


@pytest.mark.parametrize("tuned", [False, True])
def test_figures_are_those_of_scikit_learn(tuned):
    model, dataset, split = make()
    if tuned:
        tune_thresholds(model, split)
    found, truths = evaluate(model, split), split.targets.astype(int)
    probabilities = 1 / (1 + np.exp(-model.logits(split.documents).astype(float)))
    predicted = (probabilities > found.thresholds).astype(int)
    assert (found.thresholds == [0.5] * 4) != tuned
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truths, predicted))
    assert found.hamming_loss == pytest.approx(metrics.hamming_loss(truths, predicted))
    options = {"zero_division": np.nan}
    for average in ("micro", "macro"):
        expected = metrics.f1_score(truths, predicted, average=average, **options)
        assert getattr(found, average).f1 == pytest.approx(expected)
    scores = metrics.f1_score(truths, predicted, average=None, **options)
    np.testing.assert_allclose(np.array([row.f1 for row in found.per_label.values()], float), scores)
    losses = [metrics.log_loss(truths[:, k], probabilities[:, k], labels=[0, 1]) for k in range(4)]
    assert found.loss == pytest.approx(sum(losses), rel=1e-5)
    decided, right = np.maximum(probabilities, 1 - probabilities), (probabilities > 0.5) == truths
    below = [decided <= threshold for threshold in decided.ravel()]
    gaps = [abs(right[mask].sum() - decided[mask].sum()) for mask in below]
    assert found.calibration_error == pytest.approx(max(gaps) / right.size)
    worst = assess(model, dataset, 100).mistakes
    assert {m.row for m in worst} == set(np.flatnonzero((predicted != truths).any(axis=1)).tolist())
    assert worst[0].truth == (", ".join(dataset.label_names[dataset.labels[worst[0].row]].split("\n")) or "(none)")
    assert "Micro F1" in report_page(model, "m", dataset, 3)


def test_the_best_threshold_is_that_of_all():
    def f1(probabilities, truths, threshold):
        predicted = probabilities > threshold
        return 2 * (predicted & truths).sum() / max(1, predicted.sum() + truths.sum())

    random = np.random.default_rng(1)
    for _ in range(30):
        probabilities, truths = random.integers(0, 8, 12) / 7, random.random(12) < 0.4
        best = max(f1(probabilities, truths, threshold) for threshold in np.linspace(0.001, 0.999, 100))
        assert f1(probabilities, truths, best_threshold(probabilities, truths)) == pytest.approx(best)
    assert best_threshold(np.array([0.2, 0.9]), np.zeros(2)) == 0.5


def test_no_word_is_strong_where_none_is_frequent():
    model = random_model(1, ("a", "b", "c"), multi_label=True)
    assert strongest_words(model, np.ones(len(model.features)), 3, 2) == {}


# scikit-learn -------------------------------------------------------------------------------------------------------


library, ZAM = pytest.importorskip, ["z", "a", "m"]
FORMS = {  # of labels, and what their columns are called
    "array": (lambda: MATRIX, [0, 1, 2]),
    "column that no text has": (lambda: np.insert(MATRIX, 3, 0, axis=1), [0, 1, 2, 3]),
    "truth": (lambda: MATRIX > 0, [0, 1, 2]),
    "lists": (MATRIX.tolist, [0, 1, 2]),
    "sparse": (lambda: library("scipy.sparse").csr_matrix(MATRIX), [0, 1, 2]),
    "pandas": (lambda: library("pandas").DataFrame(MATRIX, columns=ZAM), ZAM),
    "polars": (lambda: library("polars").DataFrame(MATRIX, schema=ZAM), ZAM),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_in_any_form_come_back_in_their_order(form, tmp_path):
    make, names = FORMS[form]
    y, truth = make(), np.pad(MATRIX, ((0, 0), (0, len(names) - 3)))
    settings = {"dim": 6, "epochs": 12, "learning_rate": 0.05, "tune_thresholds": form == "sparse"}
    fitted = SentimentClassifier(**settings).fit(TEXTS, y)
    fitted.save(tmp_path / "m")
    for model in (fitted, SentimentClassifier.load(tmp_path / "m")):
        predicted, scores = model.predict(TEXTS), model.decision_function(TEXTS)
        assert (model.classes_.tolist(), predicted.dtype.kind, scores.shape) == (names, "i", truth.shape)
        assert metrics.f1_score(truth, predicted, average="micro") > 0.95
        assert model.score(TEXTS, y) == metrics.accuracy_score(truth, predicted)
        thresholds = 0.5 if model._fitted[0].thresholds is None else model._fitted[0].thresholds
        np.testing.assert_array_equal(model.predict_proba(TEXTS)[:, : len(names)] > thresholds, predicted)
        if form == "array":  # whose columns have no names
            assert model.score(TEXTS, library("pandas").DataFrame(y, columns=ZAM)) == model.score(TEXTS, y)
        if form in ("pandas", "polars"):
            assert model.score(TEXTS, y[names[::-1]]) == model.score(TEXTS, y)
            assert model.evaluate(TEXTS, y[names[::-1]]).evaluation == model.evaluate(TEXTS, y).evaluation
            others = y.rename(columns={"z": "x"}) if form == "pandas" else y.rename({"z": "x"})
            with pytest.raises(
                InputError, match="y has the columns 'x', 'a', 'm'; expected those of fit, 'z', 'a', 'm'"
            ):
                model.score(TEXTS, others)


@pytest.mark.parametrize(("n_features", "shuffled"), [(20, False), (100, True)])
def test_words_in_any_order_are_as_good_as_with_one_logistic_regression_for_each_label(n_features, shuffled):
    from sklearn.datasets import make_multilabel_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    X, y = make_multilabel_classification(1500, n_features, random_state=2)  # with 1, it draws texts for 6 s
    words = [np.repeat([f"w{i}" for i in range(n_features)], row.astype(int)) for row in X]
    random = np.random.default_rng(1)
    texts = [" ".join(random.permutation(row) if shuffled else row) for row in words]
    peer = OneVsRestClassifier(LogisticRegression(max_iter=1000)).fit(X[:1000], y[:1000])
    model = SentimentClassifier(refit=False).fit(texts[:1000], y[:1000])
    predicted = model.predict(texts[1000:]), peer.predict(X[1000:])
    ours, theirs = (metrics.f1_score(y[1000:], found, average="micro") for found in predicted)
    assert ours >= theirs
    settings = model._fitted[0].settings
    assert (settings.ngrams, settings.char_ngrams, settings.binary) == (1, "none", False)


def test_language_has_an_order():
    rows = [row.split() for row in make_texts(2000)[0]]  # words at random, which have none
    for some, expected in ((rows, False), (map(sorted, rows), False), ([["a"]] * 9, True)):
        texts = list(map(" ".join, some))
        assert order_tells(dataset_of(texts, ["a"] * len(texts)).tokens) == expected
    assert order_tells(read_dataset(built_in_dataset()).tokens)
