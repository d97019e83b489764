"""Given vectors at the start of a training, the baselines, and the comparison of fixed and trainable embeddings."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import pinned
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import ShapeError
from mlcore.sentiment import comparison
from mlcore.sentiment.comparison import ARMS, LINEAR, MAJORITY, Experiment, Missing, Run
from mlcore.sentiment.initialization import new_model
from mlcore.sentiment.training import Training
from mlcore.text.dataset import built_in_dataset, dataset_of, encode, read_dataset
from mlcore.text.vectors import Vectors

TEXTS = ["A good, warm film.", "A bad, dull film.", "good good fun", "bad plot, bad!"]
SMALL = pinned(dim=3, hidden=2, epochs=2)


def dataset(copies=10, splits=None, labels=("pos", "neg", "pos", "neg")):
    return dataset_of(TEXTS * copies, list(labels) * copies, source="toy", splits=splits or [""] * 4 * copies)


def vectors_for(words, dim, found):
    table = np.random.default_rng(5).normal(size=(found, dim)).astype(np.float32) * 7
    rows = np.arange(len(words))
    return Vectors("toy.vec", table, np.where(rows < found, rows, -1), np.zeros(len(words), bool), 0)


# Where a training starts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("initialization", ["random", "naive-bayes"])
def test_given_vectors_are_added_unless_all_embeddings_are_frozen(frozen, initialization):
    settings = replace(SMALL, ngrams=2, freeze_embedding=frozen, initialization=initialization)
    data = encode(dataset(), 0, **settings.encoding())
    vectors = vectors_for(data.features.words, 3, found=4)
    model = new_model(data, settings, vectors)
    table = model.parameters.table
    seeded = new_model(data, replace(settings, freeze_embedding=False))
    added = table[:4, :3] - (0 if frozen else seeded.parameters.table[:4, :3])
    ratio = added / vectors.table[:4]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)
    assert np.linalg.norm(added, axis=1).mean() == pytest.approx(3 if frozen else 1)
    np.testing.assert_array_equal(table[4:], seeded.parameters.table[4:])
    assert not table[:, 3:].any(), "the padding"
    if initialization == "naive-bayes":  # words with a vector learn less cautiously
        share = model.first_squares / seeded.first_squares
        assert share == pytest.approx([0.1] * 4 + [1] * (len(share) - 4))
    vectors.table[:] = 0
    table = new_model(data, settings, vectors).parameters.table
    np.testing.assert_array_equal(table[:4], 0 if frozen else seeded.parameters.table[:4])
    with pytest.raises(ShapeError, match=r"vectors have shape \(2, 3\); expected \(11, 3\)"):
        new_model(data, settings, vectors.select(np.arange(2)))


# The experiment ---------------------------------------------------------------------------------------------


def test_the_linear_baseline_is_as_good_as_it_was(monkeypatch):
    monkeypatch.setattr(comparison, "STRENGTHS", (0.1, 1.0))  # the best of all, and a worse one
    data = Experiment(read_dataset(built_in_dataset()), pinned(), 1).training(1).data
    run = comparison.linear(data)
    assert (run.test_accuracy, run.dev_accuracy) == (pytest.approx(0.846, abs=0.003), pytest.approx(0.858, abs=0.003))


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=7))
def test_sign_flip_test_equals_its_twin(steps):
    signs = np.array([*itertools.product((1, -1), repeat=len(steps))])
    assert comparison.sign_flip_test(np.array(steps) / 780) == np.mean(abs(signs @ steps) >= abs(sum(steps)))


@pytest.mark.parametrize("own", [(), ("dev",), ("test",), ("dev", "test")])
def test_splits_are_disjoint_and_the_own_ones_are_kept(own):
    splits = [own[i // 4 % 4] if i // 4 % 4 < len(own) else "train" for i in range(80)]
    experiment, drawn = Experiment(dataset(20, splits), SMALL, 3), set()
    assert experiment.own_splits == list(own)
    for seed in experiment.seeds:
        data = experiment.training(seed).data
        rows = {name: getattr(data, name).rows.tolist() for name in ("train", "dev", "test")}
        assert sorted(itertools.chain(*rows.values())) == list(range(80))
        for name, numbers in rows.items():
            if name in own:
                assert numbers == [i for i in range(80) if splits[i] == name]
            else:
                assert np.mean(data.train.targets[numbers]) == 0.5, "the same share of each label"
        drawn.add(str(rows))
    assert len(drawn) == (1 if len(own) == 2 else 3)


def test_a_word_that_has_a_vector_is_a_feature_however_rare_it_is():
    data, rare = dataset(2), replace(SMALL, ngrams=1, min_count=3, refit=True)
    every, frequent = (encode(data, 0.4, **replace(rare, min_count=count).encoding()) for count in (1, 3))
    for found in (2, len(data.words)):
        given = vectors_for(data.words, 3, found)
        training = Training(data, replace(rare, dim=None), 0.4, read_vectors=lambda words, dim, given=given: given)
        assert training.settings == rare, "the width is that of the vectors"
        words, with_vector = training.data.features.words.words, data.words.words[:found]
        assert words == [w for w in every.features.words.words if w in [*with_vector, *frequent.features.words.words]]
        assert training.vectors.found.tolist() == [word in with_vector for word in words]
    for all_of, kept in ((every.whole, training.data.whole), (every.train, training.data.train)):
        assert kept.documents.ids.tolist() == all_of.documents.ids.tolist()


def test_runs_get_their_vectors_are_counted_and_do_not_depend_on_threads():
    words, seen = dataset().words, []
    assert len(Experiment(dataset(), SMALL, 2).arms) == 3
    experiment = Experiment(dataset(), SMALL, 2, vectors_for(words, 3, found=6))
    runs = list(experiment.run(1, lambda *state: seen.append(state)))
    assert experiment.names == [*(arm.name for arm in ARMS), MAJORITY, LINEAR]
    assert [(run.seed, run.arm) for run in runs] == [(s, name) for s in (1, 2) for name in experiment.names]
    assert len(runs) == experiment.planned
    assert {("fixed, given", 2, 1), ("trainable, random", 1, 2), (LINEAR, 1, None)} <= set(seen)
    layers, words = 3 * 2 + 2 + 2 + 1, 11
    assert [run.parameters for run in runs[:7]] == [layers] * 2 + [layers + 3 * words] * 3 + [0, words + 1]
    assert (runs[5].test_accuracy, runs[6].test_accuracy) == (0.5, 1)
    again = list(experiment.run(2))
    assert [run._replace(seconds=0) for run in again] == [run._replace(seconds=0) for run in runs]
    # with more labels
    runs = {run.arm: run[2:5] for run in Experiment(dataset(labels="abcd"), SMALL, 1).run()}
    assert (runs[LINEAR], runs[MAJORITY]) == ((1, 1, 4 * 12), (0.25, 0.25, 0))


def test_without_scikit_learn_the_others_are_compared(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    experiment = Experiment(dataset(), SMALL, 1)
    found = experiment.compare(list(experiment.run()))
    assert found.missing == [Missing(LINEAR, 1, "needs scikit-learn: pip install 'mlcore[compare]'")]
    assert (found.diverged, len(found.runs)) == (False, 4)


def test_summaries_and_the_answer():
    fixed, trainable, other = "fixed, random", "trainable, random", "trainable, naive Bayes"
    rows = [(fixed, 1, 0.5, 0.5), (trainable, 1, 0.7, 0.9), (other, 1, 0.99, 0.8), (fixed, 2, 0.6, 0.5)]
    rows += [(trainable, 2, 0.9, 0.9)]
    runs = [Run(*row, 10, 1.0) for row in rows]
    runs[3] = runs[3]._replace(finished=False)
    summaries = comparison.summarize(runs, [fixed, trainable, other])
    assert [(s.arm, s.runs, s.unfinished) for s in summaries] == [(fixed, 2, 1), (trainable, 2, 0), (other, 1, 0)]
    assert [s.mean for s in summaries] == pytest.approx([0.55, 0.8, 0.99])
    assert [s.deviation for s in summaries] == [pytest.approx(0.1 / 2**0.5), pytest.approx(0.2 / 2**0.5), None]
    assert [s.against_fixed and s.against_fixed[3:] for s in summaries] == [
        None, (pytest.approx(0.25), 0.5, 0.5), (pytest.approx(0.49), 1, 1),
    ]  # fmt: skip
    best = comparison.compare_best(runs, summaries)
    assert best[:3] == (trainable, fixed, 2), "the best on the held-out texts, not on the test"
    assert comparison.compare_best(runs[:1], comparison.summarize(runs[:1], [fixed])) is None
    assert comparison.difference(runs[:2] + runs[3:], other, fixed) is None
