"""``mlcore evaluate`` and ``predict``: what they print, and what they refuse."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mlcore.sentiment.model_file import load_model


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
    assert first["label"] == "pos"
    assert first["known_words"] == 1
    assert unknown[0] == unknown[1]
    *_, b1, W2, b2 = load_model(model).parameters
    logit = W2 @ np.maximum(b1, 0) + b2
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


@pytest.mark.parametrize("arguments", ["--help", "forward", "grad --json"])
def test_standard_output_that_takes_nothing(arguments):
    for sink in ("> /dev/full", ">&-"):
        done = subprocess.run(
            ["sh", "-c", f'"{sys.executable}" -m mlcore {arguments} {sink}'], capture_output=True, text=True
        )
        assert done.returncode == 5
        assert done.stderr.startswith("mlcore: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"text,label\n", None])
def test_model_files_that_are_none(run, reviews, model, content):
    model.write_bytes(model.read_bytes()[:-100] if content is None else content)
    for arguments in (["predict", model, "good"], ["evaluate", model, reviews]):
        done = run(*arguments)
        assert (done.code, done.out) == (4, "")
        assert done.err.count("\n") == 1
        assert "is not a model file of mlcore" in done.err or "truncated" in done.err


def test_missing_model(run):
    done = run("predict", "nowhere", "good")
    assert (done.code, done.err) == (5, "mlcore: nowhere: No such file or directory; check the path.\n")


def test_version(run):
    done = run("--version")
    assert done.code == 0
    assert all(part in done.out for part in ("mlcore 0.", "Python 3.", "NumPy ", "Numba 0.", " threads"))
