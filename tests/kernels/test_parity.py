"""The training step follows PyTorch's trajectory, step by step, to 1e-5 (golden.npz, by parity/make_golden.py)."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mlcore.kernels import embedding as _e
from mlcore.kernels import forward as _f
from mlcore.kernels import layers as _l
from mlcore.kernels import losses as _o
from mlcore.kernels import training_step as steps

kernels = SimpleNamespace(**{k: v for m in (_l, _o, _e, _f) for k, v in vars(m).items()})
from mlcore.sentiment.model import Parameters
from mlcore.sentiment.training import Recipe, Workspace, with_moments
from mlcore.text.features import count_features

BATCH = 6
RATES = {"sgd": 0.5, "adagrad": 0.1, "adam": 0.02}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "parity" / "golden.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", RATES)
def test_trajectory(golden, name):
    start = {key: golden[f"{name}.start.{key}"] for key in Parameters._fields}
    (words, dim), hidden = start["table"].shape, len(start["b1"])
    parameters = Parameters.zeros(words, dim, hidden, 1)
    for array, key in zip(parameters, start, strict=True):
        array[..., : start[key].shape[-1]] = start[key]
    documents = count_features(golden["tokens"][np.newaxis], golden["offsets"], words, binary=False)
    work = Workspace.allocate(parameters, BATCH, words * BATCH, threads=1)
    _, parameters, M, S = with_moments(parameters, name)
    recipe = Recipe(BATCH, kernels.LOGISTIC, word_dropout=0.0, weight_decay=0.0, trainable=True)
    weights, rates = np.ones(documents.n_texts, np.float32), np.array([RATES[name]])
    losses = np.zeros(documents.n_texts, np.float32)
    batches = documents.n_texts // BATCH
    assert batches >= 20
    for step in range(batches):
        order = np.arange(step * BATCH, (step + 1) * BATCH)
        steps.train_batches(
            0, order, step, 0, documents, golden["targets"], weights, recipe, rates, parameters, M, S, work, losses,
        )  # fmt: skip
        for key, array in parameters._asdict().items():
            expected = golden[f"{name}.steps.{key}"][step]
            np.testing.assert_allclose(
                array[..., : expected.shape[-1]], expected, rtol=1e-5, atol=1e-5, err_msg=f"{key} after step {step + 1}"
            )
            assert not array[..., expected.shape[-1] :].any(), "the padding stays 0"
    np.testing.assert_allclose(losses, golden[f"{name}.losses"], rtol=1e-5, atol=1e-5)
