"""The figures of an evaluation against scikit-learn and the formulas; mistakes, and the strongest words."""

from dataclasses import replace

import numpy as np
import pytest
from naive import THREE, TWO, random_data, random_model
from sklearn import metrics

from mlcore.sentiment.evaluation import area_under_curve, assess, evaluate, quick_figures, wilson
from mlcore.sentiment.explanation import strongest_words
from mlcore.text.labels import SPLIT_NUMBERS

SIX = tuple("abcdef")


def make(labels, seed=1, n=60):
    """A model that gets some texts right and some wrong, and such texts; the last label is never true."""
    model = random_model(seed, labels)
    model.parameters.b1[1] = 0.5
    random = np.random.default_rng(seed)
    used = labels[: max(2, len(labels) - 1)]
    truths = [used[i] for i in random.integers(len(used), size=n)] if labels else random.integers(1, 6, n).astype(str)
    return model, *random_data(model, list(truths), seed)


@pytest.mark.parametrize("labels", [TWO, THREE, SIX])
@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_scikit_learn_and_of_the_formulas(labels, seed):
    model, _, split = make(labels, seed, n=100)
    evaluation, numbers = evaluate(model, split), list(range(len(labels)))
    found, logits, truths = evaluation.to_dict(), model.logits(split.documents), split.targets[:, 0].astype(int)
    powers = np.exp(np.hstack([np.zeros_like(logits), logits]) if len(labels) == 2 else logits.astype(float))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    predicted, largest = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right, one_hot = predicted == truths, np.eye(len(labels))[truths]

    assert found["accuracy"] == pytest.approx(right.mean())
    assert found["baseline"] == pytest.approx(one_hot.mean(axis=0).max())
    assert found["most_frequent"] == labels[one_hot.sum(axis=0).argmax()]
    assert found["confusion"] == metrics.confusion_matrix(truths, predicted, labels=numbers).tolist()
    assert found["loss"] == pytest.approx(metrics.log_loss(truths, probabilities, labels=numbers), rel=1e-5)
    brier = ((probabilities - one_hot) ** 2).sum(axis=1).mean() / (2 if len(labels) == 2 else 1)
    assert found["brier"] == pytest.approx(brier, rel=1e-5)
    expected = metrics.roc_auc_score(truths, logits[:, 0]) if len(labels) == 2 else None
    assert found["auc"] == (expected if expected is None else pytest.approx(expected))
    bins = [(largest >= i / 10) & ((largest < (i + 1) / 10) | (i == 9)) for i in range(10)]
    assert [one["n"] for one in found["calibration"]] == [mask.sum() for mask in bins]
    below = [largest <= threshold for threshold in largest]
    error = max(abs(right[mask].sum() - largest[mask].sum()) for mask in below) / 100
    assert found["calibration_error"] == pytest.approx(error, abs=1e-6)

    def figures_of(average):
        options = {"labels": numbers, "average": average, "zero_division": np.nan}
        return metrics.precision_recall_fscore_support(truths, predicted, **options)[:3]

    rows = [[entry[name] for entry in found["per_label"].values()] for name in ("precision", "recall", "f1")]
    np.testing.assert_allclose(np.array(rows, float), figures_of(None))
    assert list(found["per_label"]) == list(labels)
    assert list(found["macro"].values()) == [*map(pytest.approx, figures_of("macro")), 100]

    assert quick_figures(model, split) == (evaluation.loss, evaluation.accuracy)
    counts = [n for *_, n in evaluation.confusions()]
    assert (sum(counts), counts) == (100 - right.sum(), sorted(counts, reverse=True))


def test_with_very_many_labels_parts_of_the_texts_give_the_same_figures(monkeypatch):
    model, dataset, split = make(SIX)
    counts = np.full(len(model.features), 9)

    def figures():
        found = evaluate(model, split)
        words = strongest_words(model, counts, 3, 1)
        return found, [found.to_dict(), quick_figures(model, split), assess(model, dataset, 9).mistakes, words]

    found, expected = figures()
    monkeypatch.setattr("mlcore.sentiment.model.MAX_OUTPUTS", 50)
    assert figures()[1] == expected
    monkeypatch.setattr("mlcore.sentiment.evaluation.MAX_MATRIX", 5)
    changed = evaluate(model, split).to_dict()
    confusions = [tuple(cell.values()) for cell in changed.pop("confusions")]
    assert (changed.pop("confusion"), confusions) == (None, found.confusions())
    assert found.confusion is None
    assert changed == {name: value for name, value in expected[0].items() if name in changed}


@pytest.mark.parametrize("labels", [TWO, THREE])
def test_texts_with_unknown_labels_count_as_wrong(labels):
    model, dataset, split = make(labels)
    whole, odd = evaluate(model, split), np.arange(0, 60, 3)
    split.targets[odd] = np.nan
    rest = evaluate(model, split._replace(rows=np.delete(np.arange(60), odd)))
    found = evaluate(model, split)
    assert (found.n, found.unknown, found.confusion.tolist()) == (60, 20, rest.confusion.tolist())
    assert found.accuracy == rest.accuracy * 40 / 60
    assert (found.loss, found.brier, found.auc) == (rest.loss, rest.brier, rest.auc)
    pairs = [(figures, rest.per_label[label]) for label, figures in found.per_label.items()]
    assert all(f.recall == r.recall for f, r in pairs)
    assert all(f.precision <= r.precision for f, r in pairs if r.precision)
    assert [bin.n for bin in found.calibration] == [bin.n for bin in whole.calibration]
    assert quick_figures(model, split) == (found.loss, found.accuracy)
    dataset.label_names.append("other")
    dataset.labels[odd] = len(dataset.label_names) - 1
    assert {m.row for m in assess(model, dataset, 60).mistakes} >= set(odd.tolist())


def test_figures_of_ratings():
    model, _, split = make((), 3, n=80)
    found, (truths, predicted) = evaluate(model, split), (split.targets[:, 0], model.logits(split.documents)[:, 0])
    errors = [p - t for p, t in zip(predicted.tolist(), truths.tolist(), strict=True)]
    assert found.rmse == pytest.approx((2 * found.loss) ** 0.5)
    assert found.mae == pytest.approx(sum(map(abs, errors)) / 80)
    assert found.loss == pytest.approx(sum(e * e / 2 for e in errors) / 80)
    assert quick_figures(model, split) == (pytest.approx(found.loss), None)
    assert found.baseline == pytest.approx(np.std(truths.astype(float)))
    assert found.r2 == pytest.approx(metrics.r2_score(truths, predicted))
    assert found.pearson == pytest.approx(np.corrcoef(truths, predicted)[0, 1])
    for values in (["0.1"] * 7, ["0.7"] * 1001, ["3"]):  # of equal ratings some are not defined
        found = evaluate(model, random_data(model, values)[1])
        assert (found.r2, found.pearson, found.baseline) == (None, None, 0)


def test_the_interval_and_the_area_under_the_curve_with_ties():
    """81 of 263 is the example of Newcombe 1998, table I."""
    for right, n, interval in ((0, 10, (0, 0.2775)), (10, 10, (0.7225, 1)), (81, 263, (0.2553, 0.3662))):
        assert wilson(right, n) == pytest.approx(interval, abs=5e-5)
    random = np.random.default_rng(0)
    for _ in range(50):
        scores, positive = random.integers(0, 4, 12), random.random(12) < 0.5
        pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
        expected = pytest.approx(sum(pairs) / len(pairs)) if pairs else None
        assert area_under_curve(scores, positive) == expected


@pytest.mark.parametrize("labels", [TWO, THREE])
def test_mistakes_are_wrong_and_sorted(labels):
    model, dataset, split = make(labels)
    everything = assess(model, dataset, 1000).mistakes
    truths, logits = [dataset.label_names[number] for number in dataset.labels], model.logits(split.documents)
    predicted, largest = [labels[number] for number in model.decide(logits)], model.probabilities(logits).max(axis=1)
    assert {m.row for m in everything} == {i for i in range(60) if predicted[i] != truths[i]}
    for m in everything:
        assert m[1:5] == (f"text {m.row + 1}", dataset.texts[m.row], truths[m.row], predicted[m.row])
        assert m.probability == pytest.approx(largest[m.row])
    assert everything == sorted(everything, key=lambda m: -m.probability)
    assert assess(model, dataset, 2).mistakes == everything[:2]
    some = sorted(m.row for m in everything[3:5])
    splits = np.where(np.isin(np.arange(60), some), SPLIT_NUMBERS["test"], 0)
    expected = [m._replace(row=some.index(m.row)) for m in everything[3:5]]
    assert assess(model, replace(dataset, splits=splits), 9).mistakes == expected
    model, dataset, split = make((), n=5)  # in ratings, the largest errors
    found = assess(model, dataset, 3).mistakes
    errors = np.abs(model.logits(split.documents)[:, 0].astype(float) - split.targets[:, 0])
    assert [abs(m.truth - m.predicted) for m in found] == sorted(errors.tolist(), reverse=True)[:3]
    assert {m.probability for m in found} == {None}


@pytest.mark.parametrize("characters", ["none", "2-4"])
@pytest.mark.parametrize("labels", [TWO, THREE, ()])
def test_strongest_words(labels, characters):
    model = random_model(1, labels, ngrams=2, characters=characters)
    _, split = random_data(model, [*labels] * 20 if labels else ["1", "5"] * 20)
    counts = np.bincount(split.documents.ids, minlength=len(model.features))
    names = model.features.names[: len(model.features.words) if characters != "none" else None]
    frequent = [name for name, count in zip(names, counts, strict=False) if count >= 5 and name[0] != "^"]
    alone = {name: model.logits(model.features.documents([name]))[0] for name in frequent}
    found = strongest_words(model, counts, 4, 5)
    assert tuple(found) == (labels[::-1] if labels == TWO else labels or ("highest", "lowest"))
    for number, (label, words) in enumerate(found.items()):
        others = [i for i in range(len(labels)) if i != number]
        scores = {name: z[number] - z[others].max() if len(labels) == 3 else z[0] for name, z in alone.items()}
        sign = -1 if label in ("neg", "lowest") else 1
        of_label = [name for name in scores if sign * scores[name] > 0 or not labels]
        assert list(words) == sorted(of_label, key=lambda name: -sign * scores[name])[:4]
        assert words == pytest.approx({name: scores[name] for name in words}, rel=1e-4)
