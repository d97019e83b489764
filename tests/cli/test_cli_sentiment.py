"""``mlcore train-sentiment``, ``evaluate`` and ``predict``: what they print, what they refuse, and that nothing is lost."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import DATASETS, needs_datasets, needs_speed

SMALL = ("--dim", 3, "--hidden", 2, "--epochs", 2)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_training_shows_formulas_epochs_confusion_words_and_what_is_next(run, reviews):
    done = run("train-sentiment", "--data", reviews, *SMALL, "--learning-rate", 0.2)
    assert done.code == 0
    for part in ("E = 1/N Σ E_w", "W1 2 × 3", "44 parameters", "training 36, held out 4", "accuracy",
                 "best", "Held-out texts, best epoch 2", "predicted pos", "Strongest words", "good", "bad"):  # fmt: skip
        assert part in done.out, part
    assert "Wrote sentiment.npz" in done.err
    assert 'Next: mlcore predict sentiment.npz "A wonderful film."' in done.err
    assert max(map(len, done.out.splitlines())) <= 80


def test_an_existing_model_is_replaced_and_the_output_says_so(run, reviews, model):
    before = sha256(model)
    done = run("train-sentiment", "--data", reviews, *SMALL)
    assert "Replaced sentiment.npz" in done.err
    assert sha256(model) != before


def test_quiet_says_nothing(run, reviews):
    assert run("train-sentiment", "--data", reviews, *SMALL, "--quiet") == (0, "", "")


def test_training_json(run, reviews):
    done = run("train-sentiment", "--data", reviews, *SMALL, "--json", "--quiet")
    found = json.loads(done.out)
    assert found["schema"] == "mlcore.train-sentiment/1"
    assert found["settings"]["dim"] == 3
    assert found["settings"]["learning_rate"] == 0.01
    assert [epoch["epoch"] for epoch in found["epochs"]] == [1, 2]
    assert found["best_epoch"] in (1, 2)
    assert found["dev"]["n"] == 4
    assert found["test"] is None
    assert found["model"] == "sentiment.npz"


def test_evaluate(run, reviews, model):
    found = json.loads(run("evaluate", model, reviews, "--json").out)
    assert found["loss"] < 0.7
    assert (
        found.items()
        >= {
            "schema": "mlcore.evaluate/1",
            "n": 40,
            "accuracy": 1,
            "labels": ["neg", "pos"],
            "confusion": [[20, 0], [0, 20]],
        }.items()
    )
    assert "accuracy 100.00% (40 of 40)" in run("evaluate", model, reviews).out


def test_evaluate_takes_the_test_part(run, reviews, model):
    reviews.write_text("text\tlabel\tsplit\ngood\tpos\ttrain\nbad\tneg\ttest\ngood\tneg\ttest\n")
    assert json.loads(run("evaluate", model, reviews, "--json").out)["n"] == 2


def test_predict_texts(run, model):
    done = run("predict", model, "good good zzz", "bad!")
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [line[0] for line in lines] == ["pos", "neg"]
    assert [line[2] for line in lines] == ["2 known", "2 known"]
    assert all(0.5 <= float(line[1]) <= 1 for line in lines)


def test_predict_json_and_texts_without_known_words(run, model):
    done = run("predict", model, "good", "zzz", "", "--json")
    first, *unknown = map(json.loads, done.out.splitlines())
    assert first["label"] == "pos" and first["known_words"] == 1
    assert unknown[0] == unknown[1]
    with np.load(model) as file:
        logit = file["W2"] @ np.maximum(file["b1"], 0) + file["b2"]
    assert unknown[0]["probability"] == pytest.approx(1 / (1 + np.exp(-abs(logit[0]))), rel=1e-6)
    assert unknown[0]["known_words"] == 0
    assert "no known word" in run("predict", model, "zzz").out


def test_predict_answers_each_line_as_it_comes(start, model):
    process = start("predict", model, "--json")
    for text, label in (("good film", "pos"), ("bad film", "neg")):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["label"] == label
    out, err = process.communicate("\n\r\nno line end", timeout=60)
    assert (len(out.splitlines()), err, process.returncode) == (3, "", 0)


def test_predict_without_standard_input(model):
    command = f'"{sys.executable}" -m mlcore predict "{model}" <&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "mlcore: standard input is closed; give texts as arguments, or lines on standard input.\n"


def test_closed_pipe_is_quiet(model):
    command = f'yes good | "{sys.executable}" -m mlcore predict "{model}" | head -n 1; echo ${{PIPESTATUS[1]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout.splitlines()[1:], done.stderr) == (["0"], "")
    done = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -m mlcore grad | head -n 1; echo ${{PIPESTATUS[0]}}'],
        capture_output=True,
        text=True,
    )
    assert (done.stdout.splitlines()[1:], done.stderr) == (["0"], "")


@pytest.mark.parametrize(("sink", "code"), [("| head -n 1", 0), ("> /dev/full", 5), (">&-", 5)])
def test_a_training_whose_output_nobody_takes_is_saved_all_the_same(reviews, sink, code):
    command = (
        f'"{sys.executable}" -m mlcore train-sentiment --data reviews.tsv {sink}; echo "code ${{PIPESTATUS[0]}}" >&2'
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=reviews.parent)
    assert (reviews.parent / "sentiment.npz").exists()
    assert "Wrote sentiment.npz." in done.stderr
    assert done.stderr.endswith(f"code {code}\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", ["--help", "forward", "grad --json"])
def test_standard_output_that_takes_nothing(arguments):
    for sink in ("> /dev/full", ">&-"):
        done = subprocess.run(
            ["sh", "-c", f'"{sys.executable}" -m mlcore {arguments} {sink}'], capture_output=True, text=True
        )
        assert done.returncode == 5
        assert done.stderr.startswith("mlcore: ") and done.stderr.count("\n") == 1


def test_the_model_may_not_be_the_data(run, reviews):
    before = reviews.read_bytes()
    for arguments in (["--data", reviews], ["--dev", reviews]):
        done = run("train-sentiment", *arguments, "--model", "reviews.tsv")
        assert (done.code, done.err) == (
            2,
            "mlcore: --model is reviews.tsv, which is read; expected another path.\n",
        )
    assert reviews.read_bytes() == before


def wrong_data(name, content):
    def write(folder):
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    write.__name__ = name
    return write


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (lambda folder: folder / "nowhere.csv", 5, "nowhere.csv: No such file or directory; check the path."),
        (wrong_data("empty.csv", ""), 3, "empty.csv is empty; expected"),
        (
            wrong_data("one.tsv", "text\tlabel\na\tpos\nb\tpos\n"),
            3,
            "has 1 label to train on ('pos'); expected from 2 to 1,000.",
        ),
        (wrong_data("column.csv", "text,score\na,1\n"), 3, "one column named label; found text, score;"),
        (
            wrong_data("latin.csv", b"text,label\ngut,pos\nsch\xf6n,neg\n"),
            3,
            "latin.csv, line 3: byte 0xf6 is not UTF-8",
        ),
        (wrong_data("random", bytes(range(256)) * 9), 3, "no format that mlcore knows"),
        (wrong_data("random.tar.gz", bytes(range(256)) * 9), 3, "is not a complete tar archive"),
        (lambda folder: folder, 3, "has no text in a folder named after its label"),
        (
            wrong_data("words.tsv", "text\tlabel\n--\tpos\n**\tneg\n"),
            3,
            "has no word in the texts to train on; expected some.",
        ),
    ],
)
def test_wrong_data(run, tmp_path, make, code, message):
    done = run("train-sentiment", "--data", make(tmp_path), "--dev", 0)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("mlcore: ") and done.err.count("\n") == 1
    assert message in done.err
    assert not (tmp_path / "sentiment.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dim", 0], 2, "--dim is 0; expected a whole number from 1 to 10,000."),
        (["--dim", "many"], 2, "Invalid value for '--dim'"),
        (["--threads", 0], 2, "--threads is 0; expected a whole number from 1 up."),
        (["--optimizer", "adm"], 2, "--optimizer is 'adm'; expected one of sgd, adagrad, adam."),
        (["--dev", 1.5], 2, "--dev is 1.5; expected a fraction from 0 to less than 1, or a path."),
        (["--dev", "nowhere.tsv"], 5, "nowhere.tsv: No such file or directory"),
        (["--lerning-rate", 1], 2, "No such option: --lerning-rate (Possible options: --learning-rate)."),
        (["--model", "no/where.npz"], 5, "no/where.npz: the folder no does not exist; check the path."),
        (["--model", "."], 5, "is a folder or device, not a file"),
    ],
)
def test_wrong_options(run, reviews, arguments, code, message):
    done = run("train-sentiment", "--data", reviews, *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_a_model_path_that_cannot_be_written_is_found_before_any_data_is_read(run):
    done = run("train-sentiment", "--data", "also-nowhere.csv", "--model", "no/where.npz")
    assert "no/where.npz" in done.err


def test_divergence_leaves_the_old_model(run, reviews, model):
    before = sha256(model)
    done = run("train-sentiment", "--data", reviews, *SMALL, "--optimizer", "sgd", "--learning-rate", 1e38, "--json")
    assert (done.code, done.out) == (1, "")
    assert (
        "diverged in epoch 1, even after the learning rate of 1e+38 was halved 20 times; try --learning-rate 1."
        in done.err
    )
    assert sha256(model) == before


@pytest.mark.parametrize("content", [b"", b"text,label\n", None])
def test_model_files_that_are_none(run, reviews, model, content):
    model.write_bytes(model.read_bytes()[:-100] if content is None else content)
    for arguments in (["predict", model, "good"], ["evaluate", model, reviews]):
        done = run(*arguments)
        assert (done.code, done.out) == (4, "")
        assert done.err.count("\n") == 1 and ("is not a model file of mlcore" in done.err or "truncated" in done.err)


def test_missing_model(run):
    done = run("predict", "nowhere.npz", "good")
    assert (done.code, done.err) == (5, "mlcore: nowhere.npz: No such file or directory; check the path.\n")


@needs_speed
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_same_bytes_for_any_number_of_threads(run, threads, tmp_path):
    """By the command line, on the built-in corpus; the first of these tests is the measure of the others."""
    measure = tmp_path.parent / "measure.npz"
    run("train-sentiment", "--epochs", 2, "--threads", threads, "--quiet")
    if threads == 1:
        (tmp_path / "sentiment.npz").rename(measure)
    else:
        assert sha256(tmp_path / "sentiment.npz") == sha256(measure)


def interrupt(process, when):
    """Send Ctrl-C as soon as a line of stderr holds ``when``; return what else it says."""
    for line in process.stderr:
        if when in line:
            process.send_signal(signal.SIGINT)
            break
    return process.communicate(timeout=60)


@needs_speed
@pytest.mark.parametrize("trial", range(4))
def test_ctrl_c_keeps_the_best_epoch(start, run, reviews, tmp_path, trial):
    """At several moments, once with a second Ctrl-C: what is saved has the lowest loss that the table shows."""
    process = start("train-sentiment", "--data", reviews, "--epochs", 1_000_000, "--learning-rate", 0.2, "--threads", 2)
    rows = [process.stdout.readline() for _ in range(30 + 7 * trial)]
    process.send_signal(signal.SIGINT)
    if trial == 3:
        time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (tmp_path / "sentiment.npz").exists() and "is in sentiment.npz" in err and "Traceback" not in err
    table = [line.split() for line in [*rows, *out.partition("Held-out")[0].splitlines(True)] if "%" in line]
    best = min(float(row[2]) for row in table)
    assert f"loss {best:.4f}" in out  # the figures of what was saved


def test_ctrl_c_before_the_first_epoch_keeps_nothing(start, tmp_path):
    fifo = tmp_path / "slow.csv"
    os.mkfifo(fifo)  # a file that never comes to its end
    process = start("train-sentiment", "--data", fifo)
    time.sleep(0.1)
    out, err = interrupt(process, "Reading")
    assert (process.returncode, out) == (130, "")
    assert "there is nothing to keep" in err
    assert not (tmp_path / "sentiment.npz").exists()


@needs_speed
def test_built_in_corpus_reports_its_test_part(run):
    done = run("train-sentiment", "--dim", 50, "--json", "-q")
    found = json.loads(done.out)
    assert found["test"]["n"] == 780
    assert found["test"]["accuracy"] >= 0.82


@needs_speed
@needs_datasets
def test_sst2(run, tmp_path):
    assert run("train-sentiment", "--data", DATASETS / "sst2-train.tsv", "-q").code == 0
    found = json.loads(run("evaluate", tmp_path / "sentiment.npz", DATASETS / "sst2-dev.tsv", "--json").out)
    assert found["accuracy"] >= 0.79


@needs_speed
@needs_datasets
def test_imdb(run):
    found = json.loads(run("train-sentiment", "--data", DATASETS / "aclImdb-train.tar.gz", "-q", "--json").out)
    assert found["dev"]["n"] == 2500
    assert found["dev"]["accuracy"] >= 0.88


def test_version(run):
    done = run("--version")
    assert done.code == 0
    assert all(part in done.out for part in ("mlcore 0.", "Python 3.", "NumPy ", "Numba 0.", " threads"))
