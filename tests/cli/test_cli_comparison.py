"""``mlcore compare-embeddings``: what it prints, what it refuses, and what an interruption leaves."""

import json
import signal

import pytest

from mlcore.errors import DivergedError
from mlcore.sentiment.comparison import Experiment

pytest.importorskip("sklearn.linear_model")  # here, so that no command has to wait for it
SMALL = ("--dim", 3, "--epochs", 2, "--seeds", 2)
NAMES = ["fixed, random", "fixed, given", "trainable, random", "trainable, given", "trainable, naive Bayes",
         "majority label", "NB logistic regression"]  # fmt: skip


@pytest.fixture
def given(reviews):
    """Vectors of three numbers for half of the words of the fixture ``reviews``."""
    path = reviews.with_name("given.vec")
    path.write_text("4 3\ngood 1 2 3\nbad -1 0 1\nFILM 1 1 1\nunknown 0 0 0\n")
    return path


def test_table_and_answer(run, reviews, given):
    done = run("compare-embeddings", "--data", "reviews.tsv", "--vectors", "given.vec", *SMALL)
    assert (done.code, done.err.startswith("given.vec has vectors for 3 of 11 words (27.3%), which")) == (0, True)
    assert "; 1 of them only in another case.\n" in done.err
    lines, joined = done.out.splitlines(), " ".join(done.out.split())
    assert lines[0] == "reviews.tsv"
    for part in (*NAMES, "Texts: training 32, held out 4, test 4. Labels: 2.",
                 "Drawn anew for each seed: held out and test.",
                 "majority label 50.00 ± 0.00", "NB logistic regression 100.00 ± 0.00",
                 "exact sign-flip test; with 2 seeds the smallest possible p is 0.5",
                 "Trainable or fixed? The best trainable embeddings"):  # fmt: skip
        assert part in joined, part
    assert max(map(len, lines)) <= 80
    out = run("compare-embeddings", "--data", "reviews.tsv", *SMALL, "--seeds", 1).out
    assert "given" not in out
    assert "±" not in out.split("accuracy:")[0]


def test_json_and_own_splits(run, reviews, given, tmp_path):
    command = ("compare-embeddings", "--data", "reviews.tsv", "--vectors", "given.vec", *SMALL, "--json")
    done = run(*command)
    assert done.code == 0
    found = json.loads(done.out)
    assert found["schema"] == "mlcore.compare-embeddings/1"
    assert (found["texts"], found["own_parts"]) == ({"train": 32, "dev": 4, "test": 4}, [])
    assert (found["labels"], found["missing"], found["interrupted"]) == (["neg", "pos"], [], False)
    assert [(arm["arm"], arm["runs"]) for arm in found["arms"]] == [(name, 2) for name in NAMES]
    assert (found["arms"][0]["against_fixed"], found["arms"][1]["against_fixed"]["least_p"]) == (None, 0.5)
    assert found["best_trainable_against_best_fixed"]["runs"] == 2
    rows = ["good\tpos\ttrain", "bad\tneg\ttrain"] * 4 + ["good\tpos\tdev", "bad\tneg\tdev", "good\tpos\ttest"]
    (tmp_path / "a.tsv").write_text("\n".join(["review\tverdict\tsplit", *rows * 2]))
    options = "--data", "a.tsv", "--text-column", "review", "--label-column", "verdict"
    joined = " ".join(run("compare-embeddings", *options, *SMALL).out.split())
    assert "training 16, held out 4 (its own split), test 2 (its own split)" in joined
    assert "All seeds share the test texts" in joined
    assert "Drawn anew" not in joined


@pytest.fixture
def failing(monkeypatch):
    """Let a training raise an error instead, perhaps after a signal."""

    def fail(name, seed, error, number=0):
        whole = Experiment._train

        def train(self, arm, this_seed, *rest):
            if (arm.name, this_seed) != (name, seed):
                return whole(self, arm, this_seed, *rest)
            if number:
                signal.raise_signal(number)
            raise error

        monkeypatch.setattr(Experiment, "_train", train)

    return fail


def test_a_training_that_diverges_leaves_the_others(run, reviews, failing):
    failing("fixed, random", 2, DivergedError("The training diverged"))
    done = run("compare-embeddings", "--data", "reviews.tsv", *SMALL)
    assert (done.code, done.err) == (1, "mlcore: fixed, random, seed 2: The training diverged.\n")
    assert "NB logistic regression" in done.out
    assert " runs " in done.out
    found = json.loads(run("compare-embeddings", "--data", "reviews.tsv", *SMALL, "--json").out)
    assert found["missing"] == [{"arm": "fixed, random", "seed": 2, "reason": "The training diverged."}]
    assert len(found["runs"]) == 9


def test_an_interruption_shows_the_runs_so_far(run, reviews, failing):
    failing("trainable, random", 2, KeyboardInterrupt, signal.SIGINT)
    done = run("compare-embeddings", "--data", "reviews.tsv", *SMALL)
    assert (done.code, done.err) == (130, "mlcore: interrupted after 6 of 10 runs.\n")
    assert " runs " in done.out
    found = json.loads(run("compare-embeddings", "--data", "reviews.tsv", *SMALL, "--json").out)
    assert (found["interrupted"], len(found["runs"])) == (True, 6)
    assert [arm["runs"] for arm in found["arms"]] == [2, 1, 1, 1, 1]
