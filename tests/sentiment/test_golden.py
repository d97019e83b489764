"""Trainings whose parameters must never change, to the last bit: golden.json has their hashes, from mlcore 0.1.0."""

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_speed, pinned

from mlcore.files import installed
from mlcore.sentiment.initialization import new_model
from mlcore.sentiment.training import fit
from mlcore.text.dataset import dataset_of, encode
from mlcore.text.ngrams import pair_up

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())


@cache
def dataset(kind):
    """Every fifth text of the built-in dataset, with two labels, with four, or with ratings."""
    rows = [line.split("\t") for line in installed("reviews.tsv").read_text(encoding="utf-8").splitlines()[1::5]]
    labels = {
        "binary": [row[1] for row in rows],
        "many": [f"{row[1]}-{'odd' if i % 2 else 'even'}" for i, row in enumerate(rows)],
        "ratings": ["5" if row[1] == "pos" else "1" for row in rows],
    }
    return dataset_of([row[4] for row in rows], labels[kind])


@cache
def encoded(kind, ngrams, binary):
    """Without the n-grams that begin a text, which came later."""
    settings = pinned(ngrams=ngrams, binary=binary, loss="squared" if kind == "ratings" else "logistic")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlcore.text.ngrams.pair_up", lambda *given: pair_up(*given[:-1], False))
        return encode(dataset(kind), None, **settings.encoding())


@needs_speed
@pytest.mark.parametrize("name", GOLDEN)
def test_the_parameters_are_the_same_as_ever(name):
    kind, optimizer = name.split()
    for features, expected in GOLDEN[name].items():
        ngrams, binary = int(features[0]), features.endswith("binary")
        settings = pinned(
            dim=20, hidden=8, epochs=3, optimizer=optimizer, ngrams=ngrams, binary=binary,
            loss="squared" if kind == "ratings" else "logistic",
        )  # fmt: skip
        data = encoded(kind, ngrams, binary)
        model = dataclasses.replace(new_model(data, settings), first_squares=None)  # Adagrad's first sums came later
        list(fit(model, data.train, data.dev, threads=2))
        table, W1, *others = model.parameters
        arrays = [np.ascontiguousarray(array) for array in (table[:, :20], W1[:, :20], *others)]
        found = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
        assert found[:16] == expected, features
