"""SentimentClassifier in several threads and processes at once: each result is the one that it has alone."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_speed
from test_estimator import LABELS, TEXTS, TWO_LABELS, TWO_TEXTS, small

from mlcore.files import write_beside

VARIANTS = [
    {"seed": seed, "ngrams": 1 + seed % 3, "optimizer": ("sgd", "adagrad", "adam")[seed % 3], "threads": 1 + seed % 2}
    for seed in range(8)
]


def fitted_bytes(parameters):
    """All that fit and predict find, as bytes."""
    model = small(**parameters).fit(TEXTS, LABELS)
    return b"".join(map(np.ascontiguousarray, (*model._fitted.classifier.parameters, model.predict_proba(TEXTS))))


def test_threads_that_fit_and_predict_at_once():
    expected = [fitted_bytes(variant) for variant in VARIANTS]
    gate = threading.Barrier(len(VARIANTS))

    def work(variant):
        gate.wait()
        return fitted_bytes(variant)

    with ThreadPoolExecutor(len(VARIANTS)) as pool:
        for _ in range(3):
            assert list(pool.map(work, VARIANTS)) == expected
    assert len(set(expected)) == len(expected)


def test_one_estimator_is_refitted_while_others_use_it():
    """A prediction is that of the one model or of the other, never of half of each."""
    first, second = (TWO_TEXTS, TWO_LABELS), (TEXTS, [len(label) for label in LABELS])
    expected = {small().fit(*data).predict_proba(TEXTS).tobytes() for data in (first, second)}
    model, stop = small().fit(*first), threading.Event()

    def refit():
        for _ in range(10):
            for data in (second, first):
                model.fit(*data)
        stop.set()

    def use(_):
        found = set()
        while not stop.is_set():
            found.add(model.predict_proba(TEXTS).tobytes())
            assert len({type(label) for label in model.predict(TEXTS).tolist()}) == 1
        return found

    with ThreadPoolExecutor(4) as pool:
        refitted = pool.submit(refit)
        found = set().union(*pool.map(use, range(3)))
        refitted.result()
    assert found <= expected


def test_a_refit_in_the_middle_of_a_prediction():
    """The texts come from a generator that fits the same estimator to other labels: the worst moment, every time."""
    others = ["zz" if label == "pos" else "pos" for label in LABELS]  # which the network has the other way round

    def texts(model):
        model.fit(TEXTS, others)
        yield from TEXTS

    for name in ("predict", "predict_proba", "decision_function"):
        model = small().fit(TWO_TEXTS, TWO_LABELS)
        expected = getattr(model, name)(TEXTS)
        np.testing.assert_array_equal(getattr(model, name)(texts(model)), expected)
        assert model.classes_.tolist() == ["pos", "zz"]
    model = small().fit(TEXTS, LABELS)
    expected = model.score(TEXTS, LABELS)
    assert model.score(texts(model), LABELS) == expected > 0


COLD = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, sys.argv[1])
from test_estimator_at_once import VARIANTS, fitted_bytes
gate = threading.Barrier(len(VARIANTS))
def work(variant):
    gate.wait()
    return fitted_bytes(variant)
with ThreadPoolExecutor(len(VARIANTS)) as pool:
    at_once = list(pool.map(work, VARIANTS))
print(at_once == [fitted_bytes(variant) for variant in VARIANTS])
"""


@needs_speed
def test_threads_at_once_that_compile_everything_first(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", COLD, str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert any(tmp_path.rglob("*.nbi")), "nothing was compiled, so that nothing was tested"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_processes():
    expected = [fitted_bytes(variant) for variant in VARIANTS[:4]]
    with get_context("fork").Pool(2) as pool:
        assert pool.map(fitted_bytes, VARIANTS[:4]) == expected


def test_files_that_threads_write_at_once_have_the_usual_rights(tmp_path):
    """The umask belongs to the process: reading it by setting it would open the files of other threads to all."""
    before, interval = os.umask(0o027), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: write_beside(tmp_path / f"{i}", lambda file: file.write(b"x")), range(400)))
    finally:
        sys.setswitchinterval(interval)
        after = os.umask(before)
    assert after == 0o027
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
    assert len(list(tmp_path.iterdir())) == 400
