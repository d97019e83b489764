"""Temperature scaling, and the training on all texts that follows the choice of the epoch."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import pinned
from test_training import LABELS, TEXTS, train

from mlcore.sentiment.calibration import best_temperature, calibrate
from mlcore.sentiment.evaluation import evaluate
from mlcore.sentiment.initialization import new_model
from mlcore.sentiment.training import Training, best_epoch, fit
from mlcore.text.dataset import dataset_of, encode


@pytest.mark.parametrize("labels", [1, 5])
def test_finds_the_temperature_that_made_the_labels(labels):
    random = np.random.default_rng(0)
    logits = random.normal(scale=2, size=(50_000, labels))
    both = np.hstack([np.zeros_like(logits), logits]) if labels == 1 else logits
    targets = (both + random.gumbel(size=both.shape)).argmax(axis=1)  # with softmax's probabilities
    for temperature in (0.5, 1.0, 3.0):
        assert best_temperature(logits * temperature, targets) == pytest.approx(temperature, rel=0.05)
    assert best_temperature(np.array([[2.0], [-2.0]]), np.array([1, 0])) > 0.5, "few texts do not make it certain"


@pytest.mark.parametrize("kind", ["two", "many", "several"])
def test_calibration_brings_probabilities_near_the_accuracy_and_keeps_the_decisions(kind):
    def gap():
        found, targets = model.probabilities(model.logits(data.dev.documents, data.dev.rows)), data.dev.targets
        found = np.stack([1 - found, found], -1).reshape(-1, 2) if kind == "several" else found
        return abs(found.max(axis=1).mean() - (found.argmax(axis=1) == targets[data.dev.rows].ravel()).mean())

    odd = [str(i % 2) for i in range(len(LABELS))]
    labels = {"two": LABELS, "many": list(map("".join, zip(LABELS, odd, strict=True))),
              "several": list(zip(LABELS, odd, strict=True))}[kind]  # fmt: skip
    settings = pinned(dim=5, hidden=4, epochs=9, learning_rate=0.5, multi_label=kind == "several")
    model, data, _ = train(settings, TEXTS, labels)
    before, too_far = evaluate(model, data.dev), gap()
    found = calibrate(model, data.dev)
    after = evaluate(model, data.dev)
    errors = {"error_before": before.calibration_error, "error_after": after.calibration_error}
    assert (found | errors, found["temperature"] != 1) == (found, True)
    assert gap() < too_far
    for name in ("hamming_loss", "per_label") if kind == "several" else ("confusion",):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_logits_stay_where_the_temperature_would_have_the_larger_error():
    model, data, _ = train(pinned(dim=2, hidden=2, epochs=6, seed=4), TEXTS, LABELS)
    layer, error = model.parameters.W2.copy(), evaluate(model, data.dev).calibration_error
    assert calibrate(model, data.dev) == {"temperature": 1, "error_before": error, "error_after": error}
    np.testing.assert_array_equal(model.parameters.W2, layer)


def test_refit_is_a_training_on_all_texts_with_all_of_their_features():
    settings = pinned(dim=5, hidden=4, epochs=6, ngrams=2, refit=True)
    training, done = Training(dataset_of(TEXTS, LABELS), settings, None), []
    model = training.begin()
    found, reports = training.run(on_model=done.append), training.reports
    assert done == [model, found]
    assert model.provenance.history[-1]["epoch"] == len(reports)
    everything = encode(dataset_of(TEXTS, LABELS), 0, **settings.encoding())
    assert found.features.names == everything.features.names
    expected = new_model(everything, replace(settings, epochs=best_epoch(reports)))
    list(fit(expected, everything.train, None, 1))
    np.testing.assert_array_equal(found.parameters.table, expected.parameters.table)
    temperature = np.float32(model.provenance.calibration["temperature"])
    np.testing.assert_array_equal(found.parameters.W2, expected.parameters.W2 / temperature)
    assert (found.settings, found.provenance) == (settings, model.provenance)


def test_until_then_held_out_texts_have_only_the_features_of_the_others():
    """But test texts have those of the model that is refit."""

    def names_of(data):
        documents, names = data.train.documents, data.features.names
        rows = [*data.train.rows, *data.dev.rows]
        return [sorted(names[i] for i in documents.ids[slice(*documents.offsets[[row, row + 1]])]) for row in rows]

    dataset, settings = (
        dataset_of(TEXTS, LABELS, splits=["test"] * 20 + [""] * (len(TEXTS) - 20)),
        pinned(ngrams=2, min_count=1),
    )
    before, now = (encode(dataset, None, **replace(settings, refit=refit).encoding()) for refit in (False, True))
    assert names_of(before) == names_of(now)
    assert len(now.features) > len(before.features)
    assert now.test.documents is now.whole.documents
    assert len(now.train.documents.ids) < len(now.whole.documents.ids)
    assert encode(dataset, 0, **replace(settings, refit=True).encoding()).whole is None
