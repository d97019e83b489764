"""Verification on the user's machine: it passes, it covers every kernel, and it fails when a kernel is wrong."""

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
from mlcore.sentiment import verification
from mlcore.sentiment.verification import Verification, verify

WHOLE = {("train_batches", "twin", "float32"), ("barrier", "one thread", "float32")}  # in the types of a training


def results(monkeypatch, *names):
    """Results for some kernels only, by (kernel, against, dtype)."""
    monkeypatch.setattr(verification, "CASES", {name: verification.CASES[name] for name in names})
    return {result[:3]: result for result in verify() if not names or result.kernel in names}


def test_all_kernels_pass_and_none_is_left_out():
    found = list(verify())
    assert [result for result in found if not result.ok] == []
    source = inspect.getsource(kernels) + inspect.getsource(steps)
    names = {line.split("(")[0].removeprefix("def ") for line in source.split("@kernel\n")[1:]}
    names -= {name for name, *_ in WHOLE}
    twins = {(name, "twin", dtype) for name in names for dtype in ("float32", "float64")}
    differences = {(name, "differences", "float64") for name in names if "_backward" in name}
    assert {result[:3] for result in found} == twins | differences | WHOLE
    assert len(found) == len(twins | differences | WHOLE)


def test_a_step_that_does_nothing_fails(monkeypatch):
    monkeypatch.setattr(steps, "train_batches", lambda *arguments: None)
    assert not results(monkeypatch)["train_batches", "twin", "float32"].ok


def test_a_step_of_another_size_fails(monkeypatch):
    right = steps.train_batches
    monkeypatch.setattr(steps, "train_batches", lambda *a: right(*a[:8], 2 * a[8], *a[9:]))  # a[8]: rates
    assert not results(monkeypatch)["train_batches", "twin", "float32"].ok


def test_a_step_that_depends_on_the_threads_fails(monkeypatch):
    right = steps.train_batches

    def wrong(thread, *arguments):
        right(thread, *arguments)
        if thread == 1:
            arguments[8].b2[0] += 1  # arguments[8]: parameters

    monkeypatch.setattr(steps, "train_batches", wrong)
    found = results(monkeypatch)
    assert found["train_batches", "twin", "float32"].ok
    assert not found["barrier", "one thread", "float32"].ok


def test_results_come_one_by_one(monkeypatch):
    def unexpected(*arguments):
        raise AssertionError("a later case has run")

    monkeypatch.setattr(verification, "CASES", {"relu": verification.CASES["relu"], "tanh": unexpected})
    assert next(verify()).kernel == "relu"


def test_dropped_repeats_fail_against_twin_and_differences(monkeypatch):
    right = kernels.list_rows
    monkeypatch.setattr(kernels, "list_rows", lambda ids, counts, *rest: right(ids, np.ones_like(counts), *rest))
    found = results(monkeypatch, "gather_mean", "gather_mean_backward")
    assert {key for key, result in found.items() if not result.ok} == {
        ("gather_mean_backward", "twin", "float32"),
        ("gather_mean_backward", "twin", "float64"),
        ("gather_mean_backward", "differences", "float64"),
    }


def test_a_wrong_forward_fails_against_its_twin_and_makes_the_differences_disagree(monkeypatch):
    def leaky(Z, H):
        H[:] = np.where(Z > 0, Z, Z.dtype.type(0.01) * Z)

    monkeypatch.setattr(kernels, "relu", leaky)
    found = results(monkeypatch, "relu", "relu_backward")
    assert not found["relu", "twin", "float32"].ok
    assert found["relu_backward", "twin", "float64"].ok
    assert not found["relu_backward", "differences", "float64"].ok


def test_a_wrong_convention_fails_at_the_kink_only(monkeypatch):
    right = kernels.relu_backward
    monkeypatch.setattr(kernels, "relu_backward", lambda dH, Z, at_zero, dZ: right(dH, Z, 0.0, dZ))
    assert not results(monkeypatch, "relu_backward")["relu_backward", "differences", "float64"].ok


def test_a_kernel_that_writes_nothing_is_not_ok(monkeypatch):
    monkeypatch.setattr(kernels, "tanh", lambda Z, H: None)
    found = results(monkeypatch, "tanh")
    assert all(np.isnan(result.largest_error) and not result.ok for result in found.values())


@pytest.mark.parametrize(("error", "ok"), [(0.0, True), (1e-6, True), (2e-6, False), (np.inf, False), (np.nan, False)])
def test_ok(error, ok):
    assert Verification("relu", "twin", "float64", error, 1e-6).ok is ok


def test_largest_error():
    one = np.ones((1, 2))
    assert verification.largest_error(4 * one, 5 * one) == 0.2
    assert verification.largest_error(0.1 * one, 0 * one) == 0.1
    assert verification.largest_error(one[:, :0], one[:, :0]) == 0
    assert verification.largest_error(one, one[0]) == np.inf
    assert np.isnan(verification.largest_error(np.inf * one, np.inf * one))
