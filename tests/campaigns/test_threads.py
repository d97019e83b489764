"""One model in many threads and forked processes at once: each answer is that of one thread alone."""

import os
import random
import sys
import threading
import time

import pytest

from mlcore import SentimentClassifier

THREADS = 24
TEXTS = [f"good {'bad ' * (i % 7)}film zzz{i} naïve {'好' * (i % 5)}" for i in range(500)]


@pytest.fixture(scope="module")
def classifier():
    settings = {"ngrams": 2, "char_ngrams": "3-4", "dim": 5, "hidden": 3, "epochs": 3, "min_count": 1, "dev": 0}
    return SentimentClassifier(**settings).fit(["good film", "bad film", "good", "bad"] * 5, ["pos", "neg"] * 10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # a fork beside threads is what is tried here
@pytest.mark.parametrize("seconds", [1, pytest.param(300, marks=pytest.mark.full)])
def test_threads_and_forks(classifier, seconds):
    expected, end = classifier.predict_proba(TEXTS).tolist(), time.monotonic() + seconds
    wrong, calls = [], [0] * THREADS

    def work(number):
        chance = random.Random(number)
        while time.monotonic() < end:
            a, b = sorted((chance.randrange(len(TEXTS)), chance.randrange(len(TEXTS) + 1)))
            if classifier.predict_proba(TEXTS[a:b]).tolist() != expected[a:b]:
                wrong.append(number)
            calls[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    forks = 0
    while time.monotonic() < end:
        child = os.fork()
        if not child:
            os._exit(classifier.predict_proba(TEXTS).tolist() != expected)
        forks, status = forks + 1, os.waitpid(child, 0)[1]
        assert os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    assert min(calls)
    print(f"{sum(calls)} calls in {THREADS} threads, {forks} forks", file=sys.stderr)
