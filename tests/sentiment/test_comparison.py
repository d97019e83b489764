"""Given vectors at the start of a training, the baselines, and the comparison of fixed and trainable embeddings."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from conftest import DATASETS, needs_datasets, needs_speed
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import DataError, InputError, ShapeError
from mlcore.kernels.finite_differences import central_differences
from mlcore.sentiment import baselines, comparison
from mlcore.sentiment.baselines import Problem, fit_linear_model, majority_label, minimise
from mlcore.sentiment.comparison import ARMS, LINEAR, MAJORITY, Experiment, Run, answer, difference, summarise
from mlcore.sentiment.initialization import LENGTHS, feature_ratios, new_classifier
from mlcore.sentiment.preparation import prepare
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import fit
from mlcore.text.corpus import Corpus, read_corpus
from mlcore.text.vectors import Vectors

TEXTS = ["A good, warm film.", "A bad, dull film.", "good good fun", "bad plot, bad!"]


def corpus_of(copies=10, splits=None):
    n = 4 * copies
    return Corpus("toy", TEXTS * copies, ["pos", "neg"] * (2 * copies), splits or [""] * n, [""] * n)


def vectors_for(words, dim, found):
    table = np.random.default_rng(5).normal(size=(len(words), dim)).astype(np.float32) * 7
    found = np.arange(len(words)) < found
    table[~found] = 0
    return Vectors("toy.vec", table, found, np.zeros_like(found), int(found.sum()), 0)


# Where a training starts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("embedding", ["trainable", "fixed"])
@pytest.mark.parametrize("start", ["random", "naive-bayes"])
def test_given_vectors_are_kept_up_to_their_scale_and_the_others_get_the_seeded_start(embedding, start):
    settings = Settings(dim=3, hidden=2, ngrams=2, embedding=embedding, start=start)
    data = prepare(corpus_of(), 0, settings)
    vectors = vectors_for(data.features.words, 3, found=4)
    table = new_classifier(data, settings, vectors).parameters.table
    ratio = table[:4, :3] / vectors.table[:4]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)
    assert np.linalg.norm(table[:4], axis=1).mean() == pytest.approx(LENGTHS[embedding], rel=1e-6)
    seeded = new_classifier(data, replace(settings, embedding="trainable")).parameters.table
    np.testing.assert_array_equal(table[4:], seeded[4:])
    assert not table[:, 3:].any(), "the padding"


def test_fixed_embeddings_are_long_enough_and_do_not_move():
    settings = Settings(dim=3, hidden=2, epochs=3, embedding="fixed", start="random")
    data = prepare(corpus_of(), None, settings)
    classifier = new_classifier(data, settings)
    table = classifier.parameters.table.copy()
    W1 = classifier.parameters.W1.copy()
    assert np.linalg.norm(table, axis=1).mean() == pytest.approx(LENGTHS["fixed"], rel=1e-6)
    for _ in fit(classifier, data.train, data.dev, 1):
        pass
    np.testing.assert_array_equal(classifier.parameters.table, table)
    assert (classifier.parameters.W1 != W1).any()


def test_vectors_that_are_all_zero_or_of_other_words():
    settings = Settings(dim=3, hidden=2)
    data = prepare(corpus_of(), 0, settings)
    vectors = vectors_for(data.features.words, 3, found=2)
    vectors.table[:] = 0
    assert not new_classifier(data, settings, vectors).parameters.table[:2].any()
    with pytest.raises(ShapeError, match=r"vectors have shape \(2, 3\); expected \(11, 3\)"):
        new_classifier(data, settings, vectors.select(np.arange(2)))


# Baselines --------------------------------------------------------------------------------------------------


def random_problem(seed, strength=0.5):
    """A problem over 9 texts, one of them empty, of 6 features."""
    random = np.random.default_rng(seed)
    settings = Settings(dim=1, hidden=1)
    data = prepare(corpus_of(), 0, settings)
    documents = data.train.documents
    ids = np.sort(random.integers(0, 6, (8, 3)), axis=1)
    rows = [np.unique(row) for row in ids] + [np.zeros(0, int)]
    documents = documents._replace(
        ids=np.concatenate(rows).astype(np.int32), offsets=np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    )
    part = data.train._replace(documents=documents, rows=random.permutation(9))
    present = np.zeros((9, 6))
    for text, row in enumerate(rows):
        present[text, row] = 1
    return Problem(part, random.normal(size=6), random.integers(0, 2, 9) == 1, strength), present[part.rows]


@pytest.mark.parametrize("seed", range(3))
def test_scores_and_their_backward_pass_equal_their_twins(seed):
    problem, present = random_problem(seed)
    weights, values = np.random.default_rng(seed).normal(size=6), np.random.default_rng(seed).normal(size=9)
    np.testing.assert_allclose(baselines.present_sums(problem.part, weights), present @ weights, rtol=1e-12)
    totals = np.ones(6)
    baselines.add_to_present(*baselines._entries(problem.part), values, totals)
    np.testing.assert_allclose(totals, 1 + present.T @ values, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_and_curvature_equal_differences(seed):
    problem, _ = random_problem(seed)
    point = np.random.default_rng(seed + 9).normal(size=7)
    gradient, curvatures = problem.gradient(point)
    np.testing.assert_allclose(gradient, central_differences(lambda: problem.value(point), point), rtol=1e-6, atol=1e-9)
    direction = np.random.default_rng(seed + 5).normal(size=7)
    differences = central_differences(lambda: float(problem.gradient(point)[0] @ direction), point)
    np.testing.assert_allclose(problem.curvature(curvatures, direction), differences, rtol=1e-6, atol=1e-9)


def test_a_wrong_gradient_is_found():
    problem, _ = random_problem(0)
    point = np.ones(7)
    wrong = problem.gradient(point)[0]
    wrong[-1] += 1e-4  # as if the bias were penalised by so little
    with pytest.raises(AssertionError):
        test = central_differences(lambda: problem.value(point), point)
        np.testing.assert_allclose(wrong, test, rtol=1e-6, atol=1e-9)


def test_the_minimum_is_one(monkeypatch):
    monkeypatch.setattr(baselines, "TOLERANCE", 1e-9)
    problem, _ = random_problem(1, strength=3.0)
    point = minimise(problem, np.zeros(7))
    assert np.abs(problem.gradient(point)[0]).max() < 1e-7
    for _ in range(20):
        assert problem.value(point + np.random.default_rng(1).normal(size=7) * 1e-3) > problem.value(point)


@needs_datasets
@needs_speed
@pytest.mark.parametrize(("name", "tolerance"), [("sst2-train.tsv", 0.004), ("trec-train.fasttext.txt", 0.006)])
def test_accuracy_is_that_of_scikit_learn(name, tolerance):
    linear_model = pytest.importorskip("sklearn.linear_model")
    sparse = pytest.importorskip("scipy.sparse")
    data, _ = Experiment(read_corpus(DATASETS / name), Settings(), 1).data(1)
    model = fit_linear_model(data)
    documents, train, test = data.train.documents, data.train.rows, data.test.rows
    present = sparse.csr_matrix(
        (np.ones(len(documents.ids)), documents.ids, documents.offsets), (documents.n_texts, len(data.features))
    )
    ratios = feature_ratios(data.train, data.labels, len(data.features))
    truth = data.train.targets[:, 0]
    scores = []
    for column in range(ratios.shape[1]):
        number = 1 if len(data.labels) == 2 else column
        theirs = linear_model.LogisticRegression(C=model.strength, max_iter=1_000, tol=1e-6)
        scaled = present.multiply(ratios[:, column]).tocsr()
        scores.append(theirs.fit(scaled[train], truth[train] == number).decision_function(scaled[test]))
    decided = scores[0] > 0 if len(scores) == 1 else np.argmax(scores, axis=0)
    assert np.mean(decided == truth[test]) == pytest.approx(
        baselines.accuracy(model.decide(data.test), data.test), abs=tolerance
    )


def test_majority_label():
    corpus = corpus_of()
    corpus.labels[1] = "pos"
    data = prepare(corpus, 0, Settings(dim=1, hidden=1))
    assert data.labels[majority_label(data)] == "pos"
    assert baselines.accuracy(1, data.train) == 21 / 40


# The experiment ---------------------------------------------------------------------------------------------


def sign_flips_naively(differences):
    observed = abs(sum(differences))
    totals = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(total >= observed - 1e-12 for total in totals) / len(totals)


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=7))
def test_sign_flip_test_equals_its_twin(steps):
    differences = np.array(steps) / 780
    assert comparison.sign_flip_test(differences) == sign_flips_naively(differences.tolist())


def test_sign_flip_test_by_hand():
    assert comparison.sign_flip_test(np.array([0.1, 0.2, 0.3, 0.1, 0.2])) == 2 / 32
    assert comparison.sign_flip_test(np.array([0.1, 0.2, -0.3])) == 1
    assert comparison.sign_flip_test(np.zeros(5)) == 1
    assert comparison.sign_flip_test(np.array([0.5])) == 1


@pytest.mark.parametrize("own", [(), ("dev",), ("test",), ("dev", "test")])
def test_parts_are_disjoint_and_the_own_ones_are_kept(own):
    splits = [own[i % 4] if i % 4 < len(own) else "train" for i in range(80)]
    experiment = Experiment(corpus_of(20, splits), Settings(dim=1, hidden=1), 3)
    drawn = set()
    for seed in experiment.seeds:
        rows = experiment.rows(seed)
        assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(80))
        for part in own:
            assert rows[part].tolist() == [i for i in range(80) if splits[i] == part]
        for part in {"dev", "test"} - set(own):
            labels = experiment.targets[rows[part], 0]
            assert abs(labels.mean() - experiment.targets[experiment.train, 0].mean()) < 0.3
        drawn.add(tuple(map(tuple, rows.values())))
    assert len(drawn) == (1 if len(own) == 2 else 3)


def test_words_and_vectors_of_the_drawn_texts_belong_together():
    experiment = Experiment(corpus_of(), Settings(dim=3, hidden=2, ngrams=2), 2)
    words = experiment.table
    experiment.vectors = vectors_for(words, 3, found=6)
    rows = dict(zip(words.words, experiment.vectors.table.tolist(), strict=True))
    data, vectors = experiment.data(2)
    assert [rows[word] for word in data.features.words.words] == vectors.table.tolist()
    texts = [corpus_of().texts[row] for row in data.test.rows]
    expected = data.features.documents(texts)
    for row, first, last in zip(data.test.rows, expected.offsets[:-1], expected.offsets[1:], strict=True):
        found = data.test.documents.ids[slice(*data.test.documents.offsets[row : row + 2])]
        assert found.tolist() == expected.ids[first:last].tolist()


def test_runs():
    experiment = Experiment(corpus_of(), Settings(dim=3, hidden=2, epochs=2), 2)
    assert len(experiment.arms) == 3
    experiment.vectors = vectors_for(experiment.table, 3, found=6)
    seen = []
    runs = list(experiment.run(1, lambda *state: seen.append(state)))
    assert [(run.seed, run.arm) for run in runs] == [(s, name) for s in (1, 2) for name in experiment.names()]
    assert experiment.names() == [*(arm.name for arm in ARMS), MAJORITY, LINEAR]
    assert ("fixed, given", 2, 1) in seen and ("trainable, random", 1, 2) in seen
    layers, words = 3 * 2 + 2 + 2 + 1, 11
    assert [run.parameters for run in runs[:7]] == [layers] * 2 + [layers + 3 * words] * 3 + [0, words + 1]
    assert all(0 <= run.test_accuracy <= 1 and run.seconds >= 0 for run in runs)
    assert runs[6].test_accuracy == 1
    assert runs[5].test_accuracy == 0.5
    again = list(experiment.run(2))
    assert [(run.test_accuracy, run.best_epoch) for run in again] == [
        (run.test_accuracy, run.best_epoch) for run in runs
    ]


def test_labels_are_as_many_as_there_are():
    corpus = corpus_of()
    corpus.labels = ["a", "b", "c", "d"] * 10
    experiment = Experiment(corpus, Settings(dim=2, hidden=2, epochs=1), 1)
    runs = {run.arm: run for run in experiment.run(1)}
    assert runs[LINEAR].test_accuracy == 1
    assert runs[LINEAR].parameters == 4 * 12
    assert runs[MAJORITY].test_accuracy == 0.25


def run_of(arm, seed, test, dev=0.5):
    return Run(arm, seed, test, dev, 10, 1.0)


def test_summaries_and_the_answer():
    fixed, trainable, other = "fixed, random", "trainable, random", "trainable, naive Bayes"
    runs = [run_of(fixed, 1, 0.5), run_of(trainable, 1, 0.7, 0.9), run_of(other, 1, 0.99, 0.8),
            run_of(fixed, 2, 0.6), run_of(trainable, 2, 0.9, 0.9)]  # fmt: skip
    summaries = summarise(runs, [fixed, trainable, other])
    assert [(s.arm, s.runs, round(s.mean, 9)) for s in summaries] == [
        (fixed, 2, 0.55),
        (trainable, 2, 0.8),
        (other, 1, 0.99),
    ]
    assert summaries[0].against_fixed is None
    assert summaries[0].deviation == pytest.approx(0.1 / np.sqrt(2))
    assert summaries[2].deviation is None
    assert summaries[1].against_fixed.mean == pytest.approx(0.25)
    assert (summaries[1].against_fixed.p, summaries[1].against_fixed.least_p) == (0.5, 0.5)
    found = answer(runs, summaries)
    assert (found.arm, found.other, found.runs) == (trainable, fixed, 2), (
        "the best on the held-out texts, not on the test"
    )
    assert answer(runs[:1], summarise(runs[:1], [fixed])) is None
    assert difference(runs, other, trainable).runs == 1
    assert difference(runs[:2] + runs[3:], other, fixed) is None


def test_runs_that_ran_out_of_epochs_are_counted():
    runs = [run_of("fixed, random", 1, 0.5), replace(run_of("fixed, random", 2, 0.5), finished=False)]
    assert summarise(runs, ["fixed, random"])[0].unfinished == 1


def test_what_is_refused():
    settings = Settings(dim=1, hidden=1)
    with pytest.raises(InputError, match="loss is 'squared'"):
        Experiment(corpus_of(), replace(settings, loss="squared"), 1)
    for seeds in (0, 21):
        with pytest.raises(InputError, match=f"seeds is {seeds}; expected a whole number from 1 to 20"):
            Experiment(corpus_of(), settings, seeds)
    with pytest.raises(DataError, match="no text in its train part"):
        Experiment(corpus_of(1, ["test"] * 4), settings, 1)
    lonely = corpus_of()
    lonely.labels[0] = "so-so"
    with pytest.raises(DataError, match="too few texts of a label"):
        Experiment(lonely, settings, 1).rows(1)
    with pytest.raises(DataError, match="no word in the texts"):
        Experiment(corpus_of(), replace(settings, min_count=1_000), 1).data(1)
