"""The figures of an assessment, each against the plainest computation that there is, and against scikit-learn."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mlcore.errors import DataError, ModelFileError
from mlcore.sentiment.evaluation import area_under_curve, assess, evaluate, mistakes, strongest_words, wilson
from mlcore.sentiment.initialization import new_classifier
from mlcore.sentiment.model import Split
from mlcore.sentiment.preparation import labelled_part, prepare
from mlcore.sentiment.settings import Settings
from mlcore.text.corpus import Corpus

WORDS = ["good", "bad", "dull", "warm", "film", "plot", "fun", "awful", "not", "very", "a", "the"]


def make(labels, n=60, seed=1, **settings):
    """A classifier that gets some texts right and some wrong, and such texts; the last label is never true."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(0, 6))) for _ in range(n)]
    used = labels[: max(2, len(labels) - 1)]
    truths = [used[i] for i in random.integers(len(used), size=n)]
    corpus = Corpus("test", texts, truths, [""] * n, [f"line {i + 2}" for i in range(n)])
    all_labels = Corpus("train", [*texts, *labels], [*truths, *labels], [""] * (n + len(labels)))
    options = {"dim": 3, "hidden": 4, "start": "random"} | settings
    data = prepare(all_labels, 0, Settings(**options))
    classifier = new_classifier(data, Settings(**options))
    for array in classifier.parameters:
        array[:] = random.normal(size=array.shape)
    return classifier, corpus, labelled_part(classifier, corpus)


def softmax_of(classifier, part):
    """Probabilities of the labels, text by text, from the formula."""
    for logits in classifier.logits(part.documents).tolist():
        powers = [1, math.exp(logits[0])] if len(logits) == 1 else [math.exp(logit) for logit in logits]
        yield [power / sum(powers) for power in powers]


def naive(classifier, corpus, part):
    """All figures with loops over texts, labels and pairs of texts."""
    labels, truths = list(classifier.labels), [classifier.labels.index(label) for label in corpus.labels]
    rows = list(softmax_of(classifier, part))
    n, predicted = len(rows), [max(range(len(labels)), key=row.__getitem__) for row in rows]
    found = {
        "n": n,
        "accuracy": sum(p == t for p, t in zip(predicted, truths, strict=True)) / n,
        "loss": sum(-math.log(row[t]) for row, t in zip(rows, truths, strict=True)) / n,
        "baseline": max(truths.count(t) for t in truths) / n,
    }
    if len(labels) == 2:
        found["brier"] = sum((row[1] - t) ** 2 for row, t in zip(rows, truths, strict=True)) / n
        pairs = [(a[1] > b[1]) + (a[1] == b[1]) / 2 for a, t in zip(rows, truths, strict=True) if t
                 for b, u in zip(rows, truths, strict=True) if not u]  # fmt: skip
        found["auc"] = sum(pairs) / len(pairs)
    else:
        squares = [(p - (i == t)) ** 2 for row, t in zip(rows, truths, strict=True) for i, p in enumerate(row)]
        found["brier"], found["auc"] = sum(squares) / n, None
    error = 0
    for i in range(10):
        inside = [k for k in range(n) if i / 10 <= max(rows[k]) < (i + 1) / 10 or i == 9 and max(rows[k]) == 1]
        error += abs(sum(predicted[k] == truths[k] for k in inside) - sum(max(rows[k]) for k in inside)) / n
    found["calibration_error"] = error
    figures = []
    for i in range(len(labels)):
        right = sum(p == t == i for p, t in zip(predicted, truths, strict=True))
        named, support = predicted.count(i), truths.count(i)
        figures += [right / named if named else None, right / support if support else None]
        figures += [2 * right / (named + support) if named + support else None, support]
    found["per_label"] = figures
    found["confusion"] = [
        [sum(t == i and p == j for p, t in zip(predicted, truths, strict=True)) for j in range(len(labels))]
        for i in range(len(labels))
    ]
    return found


def flat(found):
    return {
        name: [figure for figures in value for figure in figures] if name == "per_label" else
        value.tolist() if name == "confusion" else value
        for name, value in vars(found).items()
    }  # fmt: skip


@pytest.mark.parametrize("labels", [["neg", "pos"], ["a", "b", "c"], ["a", "b", "c", "d", "e", "f"]])
@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_a_naive_computation(labels, seed):
    classifier, corpus, part = make(labels, seed=seed)
    found, expected = flat(assess(classifier, part)), naive(classifier, corpus, part)
    for name, value in expected.items():
        if value is None:
            assert found[name] is None
            continue
        if isinstance(value, list):
            assert [v is None for v in np.ravel(found[name])] == [v is None for v in np.ravel(value)]
            found[name] = [v for v in np.ravel(found[name]) if v is not None]
            value = [v for v in np.ravel(value) if v is not None]
        assert found[name] == pytest.approx(value, rel=1e-5, abs=1e-9), name
    quick = evaluate(classifier, part)
    assert (quick.n, quick.accuracy, quick.loss) == (found["n"], found["accuracy"], found["loss"])
    assert sum(bin.n for bin in found["calibration"]) == found["n"]
    assert found["most_frequent"] == max(classifier.labels, key=corpus.labels.count)


@pytest.mark.parametrize("labels", [["neg", "pos"], ["a", "b", "c", "d"]])
@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(labels, seed):
    metrics = pytest.importorskip("sklearn.metrics")
    classifier, corpus, part = make(labels, n=200, seed=seed)
    found = assess(classifier, part)
    truths, predicted = part.targets[:, 0].astype(int), classifier.decide(classifier.logits(part.documents))
    numbers = list(range(len(labels)))
    assert found.confusion.tolist() == metrics.confusion_matrix(truths, predicted, labels=numbers).tolist()
    for average, figures in (("macro", found.macro), ("weighted", found.weighted)):
        expected = metrics.precision_recall_fscore_support(
            truths, predicted, labels=numbers, average=average, zero_division=np.nan
        )
        assert figures[:3] == pytest.approx(expected[:3])
    probabilities = classifier.probabilities(classifier.logits(part.documents))
    assert found.loss == pytest.approx(metrics.log_loss(truths, probabilities, labels=numbers), rel=1e-5)
    if len(labels) == 2:
        assert found.auc == pytest.approx(metrics.roc_auc_score(truths, classifier.logits(part.documents)[:, 0]))
        assert found.brier == pytest.approx(metrics.brier_score_loss(truths, probabilities[:, 1]))


def make_ratings(values, seed=1):
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, 4)) for _ in values]
    corpus = Corpus("test", texts, [str(value) for value in values], [""] * len(texts))
    settings = Settings(dim=3, hidden=4, start="random", loss="squared")
    classifier = new_classifier(prepare(corpus, 0, settings), settings)
    for array in classifier.parameters:
        array[:] = random.normal(size=array.shape)
    return classifier, corpus, labelled_part(classifier, corpus)


def test_a_probability_of_1_is_in_the_last_bin():
    classifier, _, part = make(["neg", "pos"])
    classifier.parameters.W2[:] = 0
    classifier.parameters.b2[:] = 1e3
    found = assess(classifier, part)
    assert [bin.n for bin in found.calibration] == [0] * 9 + [60]
    assert found.calibration[9].probability == 1


def test_figures_of_ratings():
    metrics = pytest.importorskip("sklearn.metrics")
    values = np.random.default_rng(3).integers(1, 6, 80)
    classifier, _, part = make_ratings(values)
    found = assess(classifier, part)
    predicted = classifier.logits(part.documents)[:, 0].tolist()
    errors = [p - t for p, t in zip(predicted, values.tolist(), strict=True)]
    assert found.rmse == pytest.approx(math.sqrt(sum(e * e for e in errors) / 80))
    assert found.mae == pytest.approx(sum(map(abs, errors)) / 80)
    assert found.loss == pytest.approx(sum(e * e / 2 for e in errors) / 80)
    assert found.loss == pytest.approx(evaluate(classifier, part).loss)
    assert found.baseline == pytest.approx(np.std(values))
    assert found.r2 == pytest.approx(metrics.r2_score(values, predicted))
    assert found.pearson == pytest.approx(np.corrcoef(values, predicted)[0, 1])


@pytest.mark.parametrize("values", [[0.1] * 7, [0.7] * 1001, [3]])
def test_what_is_not_defined_for_equal_ratings_is_none(values):
    found = assess(*make_ratings(values)[::2])
    assert (found.r2, found.pearson, found.baseline) == (None, None, 0)


def test_what_is_not_defined_for_labels_is_none():
    classifier, corpus, part = make(["neg", "pos"])
    rows = np.array([i for i, label in enumerate(corpus.labels) if label == "neg"])
    classifier.parameters.W2[:] = 0
    classifier.parameters.b2[:] = -1  # names nothing pos
    found = assess(classifier, Split(part.documents, part.targets, rows))
    assert found.auc is None
    assert found.per_label[1] == (None, None, None, 0)
    assert found.per_label[0] == (1, 1, 1, len(rows))
    assert found.macro == (1, 1, 1, len(rows))
    assert found.accuracy_interval[1] == 1


@pytest.mark.parametrize("make_any", [lambda: make(["neg", "pos"]), lambda: make_ratings([1, 2])])
@pytest.mark.parametrize("measure", [evaluate, assess])
def test_no_text_is_an_error_and_not_a_number(make_any, measure):
    classifier, _, part = make_any()
    with pytest.raises(DataError, match="There is no text to measure the model on; expected one or more."):
        measure(classifier, with_rows(part, []))


def with_rows(part, rows):
    return part._replace(rows=np.array(rows, np.int64))


def test_numbers_too_large_are_an_error_and_not_a_number():
    classifier, _, part = make(["neg", "pos"])
    classifier.parameters.W2[:] = 3e38
    classifier.parameters.b1[:] = 1e3
    with pytest.raises(ModelFileError, match="is not finite"):
        assess(classifier, part)


@pytest.mark.parametrize(("right", "n", "interval"), [
    (0, 10, (0, 0.2775)), (10, 10, (0.7225, 1)), (81, 263, (0.2553, 0.3662)), (1, 1, (0.2065, 1)),
])  # fmt: skip
def test_wilson(right, n, interval):
    """81 of 263 is the example of Newcombe 1998, table I."""
    assert wilson(right, n) == pytest.approx(interval, abs=5e-5)


def test_area_under_the_curve_with_ties():
    random = np.random.default_rng(0)
    for _ in range(50):
        scores, positive = random.integers(0, 4, 12), random.random(12) < 0.5
        pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
        expected = sum(pairs) / len(pairs) if pairs else None
        assert area_under_curve(scores, positive) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("labels", [["neg", "pos"], ["a", "b", "c"]])
def test_mistakes_are_wrong_and_sorted(labels):
    classifier, corpus, part = make(labels)
    everything = mistakes(classifier, part, corpus, 1000)
    rows = list(softmax_of(classifier, part))
    assert {m.row for m in everything} == {
        i for i, row in enumerate(rows) if classifier.labels[row.index(max(row))] != corpus.labels[i]
    }
    for m in everything:
        assert m.truth == corpus.labels[m.row] != m.predicted
        assert (m.text, m.place) == (corpus.texts[m.row], corpus.places[m.row])
        assert m.probability == pytest.approx(max(rows[m.row]))
    assert [m.probability for m in everything] == sorted((m.probability for m in everything), reverse=True)
    assert mistakes(classifier, part, corpus, 2) == everything[:2]
    assert mistakes(classifier, part, replace(corpus, places=[]), 1)[0].place == f"text {everything[0].row + 1}"
    some = [m.row for m in everything[3:5]]
    assert [m.row for m in mistakes(classifier, with_rows(part, sorted(some)), corpus, 9)] == some
    assert mistakes(classifier, with_rows(part, []), corpus, 9) == []


def test_mistakes_in_ratings_are_the_largest_errors():
    classifier, corpus, part = make_ratings([1, 5, 2, 4, 3])
    found = mistakes(classifier, part, corpus, 3)
    errors = [abs(m.truth - m.predicted) for m in found]
    outputs = classifier.logits(part.documents)[:, 0].astype(float)
    assert errors == sorted(np.abs(outputs - part.targets[:, 0]).tolist(), reverse=True)[:3]
    assert {m.probability for m in found} == {None}


def alone(classifier, word):
    return classifier.logits(classifier.features.documents([word]))[0]


@pytest.mark.parametrize("labels", [["neg", "pos"], ["a", "b", "c"]])
def test_strongest_words(labels):
    classifier, _, part = make(labels)
    counts = np.bincount(part.documents.ids, minlength=len(classifier.features))
    found = strongest_words(classifier, counts, 4, 5)
    assert set(found) == set(labels)
    names = [name for name, count in zip(classifier.features.names, counts, strict=True) if count >= 5]
    for label, words in found.items():
        if len(labels) == 2:
            strengths = {name: float(alone(classifier, name)[0]) for name in names}
            sign = 1 if label == "pos" else -1
        else:
            strengths = {name: float((z := alone(classifier, name))[labels.index(label)] - z.mean()) for name in names}
            sign = 1
        expected = sorted(
            (name for name in names if sign * strengths[name] > 0), key=lambda name: -sign * strengths[name]
        )
        assert [entry.word for entry in words] == expected[:4]
        assert [entry.logit for entry in words] == pytest.approx([strengths[entry.word] for entry in words], rel=1e-4)


def test_strongest_words_of_ratings():
    classifier, _, part = make_ratings([1, 5, 2, 4, 3])
    found = strongest_words(classifier, np.ones(len(classifier.features)), 3, 1)
    ratings = sorted(float(alone(classifier, name)[0]) for name in classifier.features.names)
    assert [entry.logit for entry in found["lowest"]] == pytest.approx(ratings[:3])
    assert [entry.logit for entry in found["highest"]] == pytest.approx(ratings[:-4:-1])
