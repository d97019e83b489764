"""Standard streams that are closed, full, or that nobody reads any more."""

import os
import re
import subprocess
import sys
import time

import pytest
from mlcore.cli import render


@pytest.mark.parametrize(("command", "codes", "lines", "said"), [
    ("M predict sentiment.safetensors <&-", "5", 0,
     "mlcore: standard input is closed; give texts as arguments, or lines on standard input.\n"),
    ("M --help > /dev/full", "5", 0, "mlcore: No space left on device; free some space, or choose another disk."),
    ("M grad --json > /dev/full", "5", 0, "mlcore: No space left on device; free some space, or choose another disk."),
    ("ulimit -f 20; PYTHONUNBUFFERED=1 M predict sentiment.safetensors --file lines > out", "5", 0,
     "mlcore: File too large; free some space, or choose another disk."),
    ("M grad --json >&-", "5", 0, "mlcore: Standard output is closed"),
    ("M vectors sentiment.safetensors -o - >&-", "5", 0, "mlcore: Standard output is closed"),
    ("mkfifo p; true < p & M forward --x one > p 2>&1", "2", 0, ""),
    ("M vectors sentiment.safetensors -o - | head -n 1", "0 0", 1, ""),
    ("yes good | M predict sentiment.safetensors | head -n 1", "141 0 0", 1, ""),
    ("M train-sentiment --data reviews.tsv --epochs 3 -m m | head -n 1", "0 0", 1, "Wrote m."),
    ("M train-sentiment --data reviews.tsv --epochs 3 -m m > /dev/full", "5", 0, "Wrote m."),
    ("M compress sentiment.safetensors -o m --max-size 1MB > /dev/full", "5", 0, "Wrote m."),
])  # fmt: skip
def test_streams(model, command, codes, lines, said):
    """A closed pipe is no error; one line says any other; and a model is saved all the same.

    A limit of the size of files stands for a disk that takes the last write only in part.
    """
    (model.parent / "lines").write_bytes(b"good\n" * 3_000)
    command = command.replace("M ", f'"{sys.executable}" -m mlcore ') + "; echo codes ${PIPESTATUS[*]} >&2"
    unset = os.environ | {"PYTHONUNBUFFERED": ""}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=model.parent, env=unset)
    *messages, found = done.stderr.splitlines(keepends=True)
    assert (found, done.stdout.count("\n")) == (f"codes {codes}\n", lines)
    assert "Traceback" not in done.stderr
    if said.startswith("mlcore") or not said:
        assert len(messages) == bool(said)
    assert said in "".join(messages)


def test_progress_is_said_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(render, "HEARTBEAT", 0.001)
    with render.Activity("Working\non two lines"):
        heard = (time.sleep(0.01) or capsys.readouterr().err for _ in range(6_000))  # a minute, if the machine is busy
        assert re.match(r"Working \(\d+ s\)\n", next(filter(None, heard)))
