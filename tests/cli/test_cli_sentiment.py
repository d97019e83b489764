"""Streams that are closed or full, model files that are none, and the version."""

import subprocess
import sys

import pytest


def test_predict_without_standard_input(model):
    command = f'"{sys.executable}" -m mlcore predict "{model}" <&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "mlcore: standard input is closed; give texts as arguments, or lines on standard input.\n"


def test_closed_pipe_is_quiet(model):
    command = f'yes good | "{sys.executable}" -m mlcore predict "{model}" | head -n 1; echo ${{PIPESTATUS[1]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout.splitlines()[1:], done.stderr) == (["0"], "")


@pytest.mark.parametrize("arguments", ["--help", "grad --json"])
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


def test_version(run):
    done = run("--version")
    assert done.code == 0
    assert all(part in done.out for part in ("mlcore 0.", "Python 3.", "NumPy ", "Numba 0.", " threads"))
