"""``mlcore train-sentiment``: what it prints and writes, what it refuses, and that nothing is lost."""

import hashlib
import json
import os
import resource
import signal
import time
from functools import partial

import numpy as np
import pytest
from conftest import needs_speed
from mlcore.cli import render
from mlcore.cli.training import Run

from mlcore import DivergedError, SentimentClassifier
from mlcore.sentiment import calibration
from mlcore.sentiment.comparison import Experiment
from mlcore.sentiment.model_file import load_model

SMALL = ("--ngrams", 1, "--char-ngrams", "none", "--dim", 3, "--hidden", 2, "--epochs", 2)
MODEL = "sentiment.safetensors"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Output -----------------------------------------------------------------------------------------------------


def test_a_temperature_of_1_is_not_told(run, reviews, monkeypatch):
    monkeypatch.setattr(calibration, "best_temperature", lambda logits, targets: 1.0)
    out = run("train-sentiment", "--data", reviews, *SMALL).out
    assert "Calibration error" in out
    assert [part for part in ("calibrated", "divided") if part in out] == []


def test_nothing_is_printed_into_the_line_of_the_progress(run, reviews, monkeypatch):
    prepare, show, progress = Run.prepare, render.show, []
    monkeypatch.setattr(Run, "prepare", lambda run, cluster: (run.bar.update("Compiling"), prepare(run, cluster))[1])
    monkeypatch.setattr(render, "show", lambda *cells: (progress.extend(render.Activity.running), show(*cells)))
    assert (run("train-sentiment", "--data", reviews, *SMALL).code, progress) == (0, [])


# Options ----------------------------------------------------------------------------------------------------


def test_outputs_and_threads_are_not_in_the_model(run, reviews, tmp_path):
    arguments = ["train-sentiment", "--data", reviews, *SMALL]
    outputs = ["--threads", 2, "--checkpoint", "c", "--log", "log.jsonl", "-m", "other"]
    for more in ([], outputs, [*outputs, "--resume"]):
        assert run(*arguments, *more).code == 0
        assert sha256(tmp_path / (more and "other" or MODEL)) == sha256(tmp_path / MODEL)


def test_weights_are_those_of_sample_weight(run, tmp_path):
    texts, labels = ["good film", "good plot", "bad film", "bad plot"] * 15, [1, 1, 0, 0] * 10 + [0, 0, 1, 1] * 5
    weights = [1.0] * 40 + [0.01] * 20
    rows = zip(texts, labels, weights, strict=True)
    lines = ["text;label;trust", *(f"{text};{label};{weight}".replace(".", ",") for text, label, weight in rows)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    options = "--dim", 5, "--epochs", 15, "--learning-rate", 0.1, "--weight-column", "trust"
    assert run("train-sentiment", "t.csv", *options).code == 0
    model = SentimentClassifier.load(tmp_path / MODEL)
    expected = SentimentClassifier(**model.get_params()).fit(texts, labels, sample_weight=weights)
    np.testing.assert_array_equal(model.predict_proba(texts), expected.predict_proba(texts))
    assert (model.predict(texts[:4]) == labels[:4]).all()


# Logs, checkpoints, and what goes wrong ---------------------------------------------------------------------


@needs_speed
@pytest.mark.parametrize("trial", range(3))
def test_ctrl_c_keeps_the_best_epoch(start, reviews, tmp_path, trial):
    """At several moments, once with a second Ctrl-C, which may end what follows, once while checkpoints take long."""
    options = ["--char-ngrams", "none", "--epochs", 100_000, "--patience", 100_000]
    options += ["--learning-rate", 0.2, "--threads", 2]
    options += ["--dim", 2000, "--checkpoint", "c"] if trial == 2 else []
    process = start("train-sentiment", "--data", reviews, *options)
    rows = [process.stdout.readline() for _ in range(12 + 7 * trial)]
    process.send_signal(signal.SIGINT)
    if trial == 1:
        time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"is in {MODEL}" in err
    assert "Traceback" not in err
    table = [line.split() for line in [*rows, *out.partition("Held-out")[0].splitlines(True)] if "%" in line]
    best = min(float(row[2]) for row in table)
    assert trial == 1 or f"loss {best:.4f}" in out  # the figures of what was saved, unless the second one was later


def test_ctrl_c_before_the_first_epoch_keeps_nothing(start, tmp_path):
    os.mkfifo(tmp_path / "slow.csv")  # a file that never comes to its end
    process = start("train-sentiment", "--data", "slow.csv")
    while "Reading" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert f"interrupted before the end of the first epoch; {MODEL} was not written" in err
    assert not (tmp_path / MODEL).exists()


@needs_speed
@pytest.mark.parametrize("output", ["--log", "--checkpoint"])
def test_a_full_disk_under_another_output_leaves_the_best_model(start, reviews, output):
    """A limit of the size of files stands for a disk: the model fits, the checkpoint and at last the log do not."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (60_000, 60_000))
    network = ("--ngrams", 1, "--char-ngrams", "none", "--dim", 50, "--hidden", 2)
    options = (output, "full", *network, "--epochs", 1000, "--patience", 1000)
    process = start("train-sentiment", reviews, *options, preexec_fn=limit)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 5, err
    assert f"Wrote {MODEL}.\n" in err
    assert err.endswith("full: File too large; free some space, or choose another disk.\n")
    assert load_model(reviews.parent / MODEL).provenance.history


def test_divergence_leaves_the_old_model(run, reviews, model):
    before = sha256(model)
    done = run("train-sentiment", "--data", reviews, *SMALL, "--optimizer", "sgd", "--learning-rate", 1e38, "--json")
    assert (done.code, done.out, sha256(model)) == (1, "", before)


@pytest.mark.parametrize(("arm", "number", "error", "code", "said", "runs"), [
    ("fixed, random", 0, DivergedError("It diverged"), 1, "fixed, random, seed 2: It diverged.", 9),
    ("trainable, random", signal.SIGINT, KeyboardInterrupt, 130, "interrupted after 6 of 10 runs.", 6),
])  # fmt: skip
def test_what_ends_a_training_leaves_the_others(run, reviews, monkeypatch, arm, number, error, code, said, runs):
    pytest.importorskip("sklearn.linear_model")  # here, so that the command does not have to wait for it
    whole = Experiment._train

    def train(self, this, seed, *rest):
        if (this.name, seed) != (arm, 2):
            return whole(self, this, seed, *rest)
        if number:
            signal.raise_signal(number)
        raise error

    monkeypatch.setattr(Experiment, "_train", train)
    done = run("compare-embeddings", "--data", "reviews.tsv", "--dim", 3, "--epochs", 2, "--seeds", 2, "--json")
    assert (done.code, done.err, len(json.loads(done.out)["runs"])) == (code, f"mlcore: {said}\n", runs)
