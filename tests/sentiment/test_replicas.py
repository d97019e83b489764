"""What replicas have trained, combined: against a naive twin."""

import numpy as np
import pytest
from naive import random_model

from mlcore.sentiment.replicas import Combination, arrays_of
from mlcore.sentiment.training import Progress, State


def naive_means(before, trained):
    """Means of the layers of all replicas, and of each row of those that have changed it; else it stays."""
    found = {name: np.mean([arrays[name] for _, arrays in trained], axis=0) for name in before if name != "rows"}
    found["rows"] = before["rows"].copy()
    for row, old in enumerate(before["rows"]):
        own = [arrays["rows"][[*features].index(row)] for features, arrays in trained if row in features]
        if changed := [new for new in own if (new != old).any()]:
            found["rows"][row] = np.mean(changed, axis=0)
    return found


def test_replicas_are_combined_after_every_part_of_an_epoch():
    state, random, reports = State.initial(random_model(1)), np.random.default_rng(1), []
    combination, losses, texts = Combination(state, reports.append), random.random(6), random.integers(1, 9, 6)
    for part in range(2):
        before, trained = {name: array.copy() for name, array in state.arrays().items()}, []
        for replica in range(3 * part, 3 * part + 3):
            features = np.sort(random.choice(len(state.rows), 4, replace=False))
            arrays = arrays_of(state, features)
            for array in arrays.values():
                array += random.normal(size=array.shape)
            arrays["rows"][0] = state.rows[features[0]]  # which this replica leaves as it was
            trained.append((features, arrays.copy()))
            end = Progress(1, 1.0, losses[replica], 10, 9.0)
            combination.add((end, 50 + replica, arrays), features, texts[replica], 1 / 6, replica / 4)
        combination.finish()
        for name, expected in naive_means(before, trained).items():
            np.testing.assert_allclose(state.arrays()[name], expected, rtol=1e-5, err_msg=name)
    assert (state.step, [one.features for one in reports]) == (55, [10, 20, 30, 40, 50, 60])
    assert reports[-1] == (1, pytest.approx(1), pytest.approx(np.average(losses, weights=texts)), 60, 1.25)
