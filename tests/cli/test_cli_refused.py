"""Wrong usage of any command: an exit code, a line that says what is wrong and what to do, and nothing is written.

``golden/refused.txt`` has the commands with their exit codes and messages; WRITE_GOLDEN=1 in the environment writes
them anew.
"""

import errno
import gzip
import tempfile
from pathlib import Path

import pytest
from conftest import play

from mlcore import Network
from mlcore.exercise.classroom import mark_class


def test_what_is_refused(run, reviews, model):
    (reviews.parent / "broken.csv.gz").write_bytes(gzip.compress(b"text,label\ngood,pos\n")[:-4])
    (reviews.parent / "truncated.safetensors").write_bytes(model.read_bytes()[:-100])
    play(run, reviews.parent, Path(__file__).parent / "golden" / "refused.txt")


def test_a_message_is_one_line_of_moderate_length_that_cannot_move_the_cursor(run):
    done = run("forward", "--net", "\x1b[31m" + "9" * 10_000 + "\n\u202e")
    assert (done.code, done.out, done.err.count("\n")) == (5, "", 1)
    assert len(done.err) < 2_100
    assert done.err[:-1].isprintable()


def test_what_has_no_permission_is_named(run, tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    done = run("exercise", "-o", str(tmp_path))
    assert (done.code, done.out) == (5, "")
    assert done.err == f"mlcore: {tmp_path}: the folder cannot be written to; check its permissions.\n"

    def refuse_folder(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse_folder)
    with pytest.raises(PermissionError, match="nets"):
        mark_class(tmp_path / "nets", tmp_path)


def test_too_little_memory_is_a_message(run, monkeypatch):
    def forward(*arguments):
        raise MemoryError

    monkeypatch.setattr(Network, "forward", forward)
    done = run("forward")
    assert (done.code, done.out) == (5, "")
    assert done.err == "mlcore: there is not enough memory for this; use less data, or a smaller model.\n"
