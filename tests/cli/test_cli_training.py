"""``mlcore train-sentiment``: what it prints and writes, what it refuses, and that nothing is lost."""

import hashlib
import json
import os
import resource
import signal
import time
from functools import partial

import pytest
from conftest import needs_speed
from mlcore.cli import render
from mlcore.cli.training import Run

from mlcore.sentiment import calibration
from mlcore.sentiment.model_file import load_model

SMALL = ("--ngrams", 1, "--char-ngrams", "none", "--dim", 3, "--hidden", 2, "--epochs", 2)
MODEL = "sentiment.safetensors"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def stars(tmp_path):
    """CSV file of texts with one to five stars, with columns of other names."""
    words = ["awful", "bad", "fair", "good", "superb"]
    rows = [f"{i % 5 + 1},a {words[i % 5]} film" for i in range(60)]
    path = tmp_path / "stars.csv"
    path.write_text("\n".join(["grade,opinion", *rows]))
    return path


COLUMNS = ("--text-column", "opinion", "--label-column", "grade")

# Output -----------------------------------------------------------------------------------------------------


def test_what_was_written_and_what_is_next(run, reviews, monkeypatch):
    done = run("train-sentiment", "--data", reviews, *SMALL, "--learning-rate", 0.2)
    assert (done.code, max(map(len, done.out.splitlines())) <= 80) == (0, True)
    assert "\n\nNote: " in done.out
    following = f"Next: mlcore predict {MODEL} TEXT\n  or: mlcore evaluate {MODEL} DATA\n"
    assert done.err == f"Wrote {MODEL}.\n{following}"
    monkeypatch.setattr(calibration, "best_temperature", lambda logits, targets: 1.0)
    again = run("train-sentiment", "--data", reviews, *SMALL)
    assert (f"Replaced {MODEL}." in again.err, "calibrated" in again.out, "divided" in again.out) == (
        True,
        False,
        False,
    )
    assert run("train-sentiment", "--data", reviews, *SMALL, "--quiet") == (0, "", "")
    (reviews.parent / "long.csv").write_text("label,text\n" + "".join(f"{i % 6:030},a text\n" for i in range(30)))
    assert max(map(len, run("train-sentiment", "long.csv", *SMALL).out.splitlines())) <= 80


def test_nothing_is_printed_into_the_line_of_the_progress(run, reviews, monkeypatch):
    prepare, show, progress = Run.prepare, render.show, []
    monkeypatch.setattr(Run, "prepare", lambda run, cluster: (run.bar.update("Compiling"), prepare(run, cluster))[1])
    monkeypatch.setattr(render, "show", lambda *cells: (progress.extend(render.Activity.running), show(*cells)))
    assert (run("train-sentiment", "--data", reviews, *SMALL).code, progress) == (0, [])


def test_json(run, reviews):
    found = json.loads(run("train-sentiment", "--data", reviews, *SMALL, "--json").out)
    assert list(found) == [
        "schema", "settings", "chosen", "inputs", "labels", "texts", "features", "parameters", "epochs", "best_epoch",
        "calibration", "dev", "test", "refit", "interrupted", "model", "notes",
    ]  # fmt: skip
    assert found["schema"] == "mlcore.train-sentiment/1"
    assert (found["settings"]["dim"], found["settings"]["learning_rate"]) == (3, 0.01)
    chosen = ["min_count", "binary", "patience", "learning_rate", "schedule", "word_dropout"]
    assert (found["chosen"], found["refit"]) == (chosen, True)
    assert list(found["calibration"]) == ["temperature", "error_before", "error_after"]
    assert [epoch["epoch"] for epoch in found["epochs"]] == [1, 2]
    assert (found["best_epoch"] in (1, 2), found["dev"]["n"], found["test"], found["model"]) == (True, 4, None, MODEL)


def test_many_labels_and_ratings(run, stars):
    options = ["--data", stars, *COLUMNS, "--learning-rate", 0.2, "--dim", 4]
    done = run("train-sentiment", *options)
    for part in (
        "W2 5 × 64, b2 5",
        "Labels: '1', '2', '3', '4', '5'.",
        "training 55, held out 5",
        ", calibrated: accuracy",
    ):
        assert part in done.out, part
    options += ["--loss", "squared"]
    done = run("train-sentiment", *options)
    assert ("RMSE" in done.out, "calibrated" in done.out) == (True, False)
    found = json.loads(run("train-sentiment", *options, "--json").out)
    assert (found["labels"], found["epochs"][0]["dev_accuracy"], found["dev"]["n"]) == ([], None, 6)


# Options ----------------------------------------------------------------------------------------------------


def test_inputs_are_in_the_model_and_outputs_are_not(run, reviews, tmp_path):
    more = tmp_path / "more.jsonl"
    more.write_text('{"text": "good", "label": "pos"}\n{"text": "bad", "label": "neg"}\n')
    arguments = ["train-sentiment", "--data", reviews, "--data", more, "--dev", more, *SMALL]
    found = json.loads(run(*arguments, "--json").out)
    assert found["texts"] == {"train": 42, "dev": 2, "test": 0}
    again = json.loads(run("train-sentiment", reviews, "--data", more, "--dev", more, *SMALL, "--json").out)
    assert again["texts"] == found["texts"], "the first as an argument"
    assert found["inputs"] == {"data": [str(reviews), str(more)], "dev": str(more)}
    outputs = ["--threads", 2, "--checkpoint", "c", "--log", "log.jsonl", "-m", "other"]
    assert "c does not exist yet: starting from the beginning." in run(*arguments, *outputs, "--resume").err
    assert sha256(tmp_path / MODEL) == sha256(tmp_path / "other")
    assert "Resuming after epoch 2 from c." in run(*arguments, *outputs, "--resume").err
    assert sha256(tmp_path / MODEL) == sha256(tmp_path / "other")
    assert "c exists and will be replaced; to resume from it, add --resume." in run(*arguments, *outputs).err
    head, *epochs = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert (head["schema"], head["settings"]["dim"]) == ("mlcore.log/1", 3)
    assert [(epoch["epoch"], epoch["dev_loss"] > 0) for epoch in epochs] == [(1, True), (2, True)]
    done = run(*arguments, *outputs, "--seed", 2, "--resume")
    assert (done.code, done.out) == (2, "")
    assert "The checkpoint c belongs to another training (seed differ" in done.err


def test_warm_start(run, reviews, model, tmp_path):
    new = tmp_path / "new.tsv"
    new.write_text("text\tlabel\n" + "a splendid film\tpos\na shabby film\tneg\n" * 20)
    options = ["train-sentiment", "--data", new, "--warm-start", model, "--model", "next"]
    assert run(*options, "--learning-rate", 0.2).code == 0  # with its shapes and n-grams, unless others are given
    lines = run("predict", "next", "good", "bad", "splendid", "shabby").out.splitlines()
    assert [line[:3] for line in lines] == ["pos", "neg", "pos", "neg"]


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
    options = ["train-sentiment", "--data", reviews, *SMALL, "--optimizer", "sgd", "--learning-rate"]
    done = run(*options, 1e38, "--json")
    assert (done.code, done.out, sha256(model)) == (1, "", before)
    assert "of 1e+38 was halved 20 times; try --learning-rate 1.0." in done.err
    done = run(*options, 1e7)
    assert done.code == 0
    assert "mlcore: epoch 1 diverged and was repeated; the learning rate is now" in done.err


# Results ----------------------------------------------------------------------------------------------------


def test_the_columns_of_a_table_are_remembered(run, tmp_path):
    """In the command that trains the model again, and in evaluation, which takes the same ones."""
    rows = ["Title;Body;Sentiment", "good;film;pos", "bad;film;neg"] * 6
    (tmp_path / "a.csv").write_text("\n".join([*rows, ";;", "no label;;", "so;film;Pos"]))
    options = ["--text-column", "Title", "--text-column", "Body", "--skip-bad-rows", "--test", 0.3, "--epochs", 1]
    done = run("train-sentiment", "a.csv", *options, "--json")
    assert (done.code, done.err.splitlines()) == (0, [
        "mlcore: a.csv: the labels are in the column 'Sentiment'.",
        "mlcore: a.csv: repeated headers: 5 skipped.",
        "mlcore: a.csv: rows without any value: 1 skipped.",
        "mlcore: Skipped 1 bad row: a.csv, line 20, column Sentiment: the label is empty; expected text "
        "without control characters.",
        "mlcore: the labels 'Pos' and 'pos' differ only in case or form; they are learned as different labels.",
        "mlcore: 1 label has a single text, which stays in training and is not held out: 'Pos'.",
    ])  # fmt: skip
    command = run("describe", "sentiment.safetensors").out.partition("How to train it again\n")[2]
    columns = "--text-column Title --text-column Body --label-column Sentiment"
    assert f"--data a.csv --test 0.3 {columns} --skip-bad-rows --" in command
    assert run("evaluate", "sentiment.safetensors", "a.csv", "--skip-bad-rows").code == 0
