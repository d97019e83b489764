"""Every backward kernel against central differences in float64: relative error at most 1e-6."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest

from mlcore.kernels import embedding as _e
from mlcore.kernels import forward as _f
from mlcore.kernels import layers as _l
from mlcore.kernels import losses as _o
from mlcore.kernels import training_step as steps

kernels = SimpleNamespace(**{k: v for m in (_l, _o, _e, _f) for k, v in vars(m).items()})
from mlcore.kernels.finite_differences import central_differences, one_sided_differences
from mlcore.sentiment.twins import DOCUMENTS, TEXTS
from mlcore.sentiment.verification import SLOPES, weighted


@pytest.fixture
def random():
    return np.random.default_rng(7)


def assert_gradients(pairs):
    for found, expected in pairs:
        assert found.shape == expected.shape
        error, size = np.abs(found - expected).max(), np.abs(expected).max()
        assert error <= 1e-6 * size, f"relative error {error / size:.1e}"


@pytest.mark.parametrize("name", SLOPES)
def test_backward_equals_differences(name, random):
    pairs = list(SLOPES[name](random))
    assert pairs
    assert_gradients(pairs)


def test_every_backward_has_differences():
    source = inspect.getsource(kernels) + inspect.getsource(steps)
    found = {line.split("(")[0].removeprefix("def ") for line in source.split("@kernel\n")[1:]}
    assert set(SLOPES) == {name for name in found if "_backward" in name}


def test_relu_on_the_kink_has_two_slopes_and_the_convention_lies_between():
    Z, dH = np.zeros((1, 1)), np.ones((1, 1))
    loss = weighted(lambda H: kernels.relu(Z, H), dH)
    assert one_sided_differences(loss, Z, side=-1) == 0
    np.testing.assert_allclose(one_sided_differences(loss, Z, side=1), 1, rtol=1e-9)
    for convention in (0.0, 0.5, 1.0):
        dZ = np.empty_like(Z)
        kernels.relu_backward(dH, Z, convention, dZ)
        assert dZ == convention


def test_documents_have_one_word_no_word_repeats_and_shared_words():
    words = [
        DOCUMENTS.ids[first:last].tolist()
        for first, last in zip(DOCUMENTS.offsets, DOCUMENTS.offsets[1:], strict=False)
    ]
    assert sorted(TEXTS) == [0, 1, 2, 3]
    assert [len(text) for text in words] == [1, 0, 3, 3]
    assert set(words[2]) & set(words[3])
    assert DOCUMENTS.counts.max() > 1


def test_the_check_finds_a_gradient_that_counts_repeats_once(random, monkeypatch):
    """The classic bug must not pass: a check counts only once it has been seen to fail."""
    right = kernels.list_rows
    monkeypatch.setattr(kernels, "list_rows", lambda ids, counts, *rest: right(ids, np.ones_like(counts), *rest))
    with pytest.raises(AssertionError, match="relative error"):
        assert_gradients(SLOPES["gather_mean_backward"](random))


def test_central_differences_restore_the_array(random):
    array = random.normal(size=(2, 3))
    before = array.copy()
    central_differences(lambda: float((array**2).sum()), array)
    np.testing.assert_array_equal(array, before)
