"""``mlcore compress``: a file of the size that is wanted, whose model predicts almost the same in every command."""

import json

import numpy as np
import pytest
from conftest import needs_speed
from naive import KINDS, THREE, TWO, random_data, random_model
from test_model_file import assert_same

from mlcore.errors import InputError, ModelFileError
from mlcore.sentiment.compression import compress, compress_and_measure, expected_counts
from mlcore.sentiment.model_file import content_of, load_model, model_of
from mlcore.text.dataset import built_in_dataset
from mlcore.text.documents import Documents

MODELS = {name: make for name, make in KINDS.items() if name != "compressed"}


def smallest(model):
    """The smallest size that a model can be given, which its refusal names."""
    with pytest.raises(InputError, match="max_size is 10; expected at least") as found:
        compress_and_measure(model, 10)
    size = int(found.value.message.split()[3].replace(",", ""))
    assert compress_and_measure(model, size)[1].bytes[1] == size
    with pytest.raises(InputError, match=f"max_size is {size - 1}; expected at least {size:,} bytes"):
        compress_and_measure(model, size - 1)
    return size


def every_feature(model):
    """Each feature as a text, and an empty text."""
    n = len(model.features)
    return Documents(np.arange(n, dtype=np.int32), np.ones(n, np.int32), np.append(np.arange(n + 1), n))


@pytest.mark.parametrize("kind", MODELS)
def test_features_and_dimensions_are_left_out_until_it_fits(kind):
    model = MODELS[kind]()
    names, sizes, counts = model.features.names, range(smallest(model), len(content_of(model)), 97), []
    for size in sizes:
        small = compress(model, size)
        content = content_of(small)
        assert len(content) <= size
        assert_same(model_of(content), small)
        assert content_of(model_of(content)) == content
        kept = small.features.names
        assert [name for name in names if name in set(kept)] == kept
        counts.append(len(kept))
        # on average, texts have the embedding that they had, as far as it reaches the hidden layer
        expected = expected_counts(model)
        before, after = (
            (weights / weights.sum()) @ one.parameters.table.astype(float) @ one.parameters.W1.T
            for one, weights in ((model, expected), (small, expected[np.isin(names, kept)]))
        )
        if small.settings.dim == 3:
            largest = np.abs(model.parameters.table @ model.parameters.W1.T).max()
            np.testing.assert_allclose(after, before, atol=0.01 * largest)
        assert small.logits(every_feature(small), np.array([len(kept)])) == pytest.approx(
            model.logits(every_feature(model), np.array([len(names)])), rel=1e-6
        )
    assert (counts[0] < len(names), counts[-1], small.settings.dim) == (True, len(names), 3)
    exact, found = model.logits(every_feature(model)), small.logits(every_feature(small))
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()
    assert compress(model, len(content_of(model))) is model


def test_the_most_frequent_beginning_is_expected_as_often_as_there_are_of_its_length():
    model = random_model(5, ngrams=2)
    begins, words_in = model.features.begins(), model.features.words_in()
    assert expected_counts(model)[begins.argmax()] == np.count_nonzero(begins & (words_in == 2))


def test_what_occurs_in_the_texts_is_kept():
    model = random_model(5, TWO)
    texts = model.features.documents(["plot plot", "plot , not"] * 50)
    small = compress(model, smallest(model) + 4, texts)
    assert set(small.features.names) < {"plot", ",", "not"}


def test_the_comparison_tells_where_the_models_differ():
    differing = 0
    for kind in MODELS.values():
        model = kind()
        model.parameters.b1[1] = 0.5
        truths = {TWO: ["neg", "pos"], THREE: ["a", "b\nc" if model.settings.multi_label else "c"], (): ["1", "2"]}
        dataset, _ = random_data(model, truths[model.labels] * 100)
        small, found = compress_and_measure(model, smallest(model) + 8, dataset)
        measured, texts = found.measured, dataset.texts
        before, after = (one.logits(one.features.documents(texts)) for one in (model, small))
        assert found.to_dict()["bytes"] == [len(content_of(model)), len(content_of(small))]
        if not model.labels:
            ratings = np.abs(model.within_range(before) - small.within_range(after))[:, 0]
            assert (measured.agreement, measured.difference) == (None, pytest.approx(ratings.mean(), rel=1e-5))
            assert measured.changes[0].difference == pytest.approx(ratings.max())
            continue
        decided = [one.decide(logits).reshape(200, -1) for one, logits in ((model, before), (small, after))]
        differ = np.flatnonzero((decided[0] != decided[1]).any(axis=1))
        assert len(differ) == round((1 - measured.agreement) * 200)
        differing += len(differ)
        assert {change.place for change in measured.changes} <= {f"text {i + 1}" for i in differ}
        assert len(measured.changes) == min(len(differ), 100)
        assert all(change.before != change.after for change in measured.changes)
    assert differing


def test_numbers_that_are_too_large_are_refused():
    model = random_model(1)
    model.parameters.table[:] *= 1e8
    model.parameters.W1[:] *= 1e8
    with pytest.raises(ModelFileError, match="too large to be compressed; train it again"):
        compress(model, len(content_of(model)) - 1)


def test_a_compressed_model_says_what_it_was(run, model, tmp_path):
    size, original, small = smallest(load_model(model)) + 100, len(load_model(model).features), tmp_path / "small"
    done = run("compress", model, "-o", "small", "--max-size", f"{size / 1000} KB", "--json")
    assert (done.code, done.err, json.loads(done.out)["bytes"][1]) == (0, "Wrote small.\n", small.stat().st_size)
    assert small.stat().st_size <= size < model.stat().st_size
    described = run("describe", small).out
    assert f"compressed to 8 bits for each number, from {original} features × 3" in described
    assert "How to train its original again\nmlcore train-sentiment --data reviews.tsv --ngrams 1" in described
    assert "--dim 3" in described
    assert run("compress", small, "-o", "smaller", "--max-size", size - 20).code == 0
    assert load_model(tmp_path / "smaller").compressed[1:] == (original, 3)


@needs_speed
def test_100_kilobytes_suffice_for_the_built_in_corpus(run):
    assert run("train-sentiment", "--ngrams", 1, "--char-ngrams", "none", "--epochs", 4).code == 0
    options = "--max-size", "100KB", "--data", built_in_dataset(), "--json"
    found = json.loads(run("compress", "sentiment.safetensors", "-o", "small", *options).out)["measured"]
    assert found["after"]["accuracy"] > found["before"]["accuracy"] - 0.01
    assert found["agreement"] > 0.95
