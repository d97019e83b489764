"""``mlcore compare-embeddings``: what a divergence or an interruption leaves; the rest is in ``sessions``."""

import json
import signal

import pytest

from mlcore.errors import DivergedError
from mlcore.sentiment.comparison import Experiment

pytest.importorskip("sklearn.linear_model")  # here, so that no command has to wait for it
SMALL = ("--dim", 3, "--epochs", 2, "--seeds", 2)


@pytest.mark.parametrize(("arm", "number", "error", "code", "said", "runs"), [
    ("fixed, random", 0, DivergedError("It diverged"), 1, "fixed, random, seed 2: It diverged.", 9),
    ("trainable, random", signal.SIGINT, KeyboardInterrupt, 130, "interrupted after 6 of 10 runs.", 6),
])  # fmt: skip
def test_what_ends_a_training_leaves_the_others(run, reviews, monkeypatch, arm, number, error, code, said, runs):
    whole = Experiment._train

    def train(self, this, seed, *rest):
        if (this.name, seed) != (arm, 2):
            return whole(self, this, seed, *rest)
        if number:
            signal.raise_signal(number)
        raise error

    monkeypatch.setattr(Experiment, "_train", train)
    done = run("compare-embeddings", "--data", "reviews.tsv", *SMALL, "--json")
    assert (done.code, done.err, len(json.loads(done.out)["runs"])) == (code, f"mlcore: {said}\n", runs)
