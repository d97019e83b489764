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
    found = "given.vec has vectors of 3 numbers for 3 of 11 words (27.3%), which make up 40.0% of the texts"
    few = "mlcore: only 40.0% of the words in the texts have a vector in given.vec; check"
    assert (done.code, done.err.startswith(f"{found}; 1 of them only in another case.\n{few}")) == (0, True)
    lines, joined = done.out.splitlines(), " ".join(done.out.split())
    assert lines[0] == "reviews.tsv"
    for part in (*NAMES, "Texts: training 32, held out 4, test 4. Labels: 2.",
                 "Drawn anew for each seed: held out and test.",
                 "majority label 50.00 ± 0.00", "NB logistic regression 100.00 ± 0.00",
                 "exact sign-flip test; with 2 seeds the smallest possible p is 0.5",
                 "Trainable or fixed? The best trainable embeddings"):  # fmt: skip
        assert part in joined, part
    assert max(map(len, lines)) <= 80
    out = run("compare-embeddings", "reviews.tsv", *SMALL[:-1], 1).out
    assert "given" not in out
    assert "±" not in out.split("accuracy:")[0]


def test_a_training_takes_the_width_of_its_vectors(run, reviews, given):
    command = ("train-sentiment", "--data", "reviews.tsv", "--vectors", "given.vec", "--checkpoint", "c", "--epochs")
    done = run(*command, 1)
    assert (done.code, "--dim 3" in done.out) == (0, True)
    assert "Resuming after epoch 1" in run(*command, 2, "--resume").err
    assert "--dim" not in run("describe", "sentiment.safetensors").out.rpartition("mlcore train-sentiment")[2]
    given.write_text("good 1 2 3\nbad 1 2 3\n.\t1 1 1\nfilm 1 2 3\nthe 1 1 1\na 1 1 1\n")
    assert "mlcore:" not in run(*command, 1, "--quiet").err


def test_json_and_own_splits(run, reviews, given, tmp_path):
    command = ("compare-embeddings", "--data", "reviews.tsv", "--vectors", "given.vec", *SMALL, "--json")
    done = run(*command)
    assert done.code == 0
    found = json.loads(done.out)
    assert (found["schema"], found["labels"]) == ("mlcore.compare-embeddings/1", ["neg", "pos"])
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
