"""Wrong usage of any command: an exit code, a line that says what is wrong and what to do, and nothing is written.

``golden/refused.txt`` has the commands with their exit codes and messages; WRITE_GOLDEN=1 in the environment writes
them anew.
"""

import gzip
import os
import re
import shlex
from pathlib import Path

from mlcore import Network

GOLDEN = Path(__file__).parent / "golden" / "refused.txt"
FILES = {
    "new.csv": "id,text\n1,good\n", "wide.csv": "id,what was said\n1,good\n", "odd.tsv": "text\tlabel\nbad\tsad\n",
    "one.tsv": "text\tlabel\na\tpos\nb\tpos\n", "empty.tsv": "text\tlabel\n--\tpos\n**\tneg\n",
    "few.tsv": "text\tlabel\na\tpos\nb\tpos\nc\tpos\nd\tneg\n",
    "several.jsonl": '{"text": "a", "label": ["x", "y"]}\n' * 9, "given.vec": "1 3\ngood 1 2 3\n", "broken.json": "{",
}  # fmt: skip


def test_what_is_refused(run, reviews, model):
    folder = reviews.parent
    for name, content in FILES.items():
        (folder / name).write_text(content)
    (folder / "broken.csv.gz").write_bytes(gzip.compress(b"text,label\ngood,pos\n")[:-4])
    (folder / "truncated.safetensors").write_bytes(model.read_bytes()[:-100])
    (folder / "class").mkdir()
    (folder / "class" / "anna.toml").write_text("y_hat = 0\n")
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    found = ""
    for command in re.findall(r"^\$ mlcore (.*)$", GOLDEN.read_text(), re.MULTILINE):
        done = run(*shlex.split(command))
        assert (done.out, done.err.endswith("\n"), done.code > 1) == ("", True, True), command
        found += f"$ mlcore {command}\n{done.code} {done.err}"
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text(found)
    assert found.splitlines() == GOLDEN.read_text().splitlines()


def test_a_message_is_one_line_of_moderate_length_that_cannot_move_the_cursor(run):
    done = run("forward", "--net", "\x1b[31m" + "9" * 10_000 + "\n\u202e")
    assert (done.code, done.out, done.err.count("\n")) == (5, "", 1)
    assert len(done.err) < 2_100
    assert done.err[:-1].isprintable()


def test_too_little_memory_is_a_message(run, monkeypatch):
    def forward(*arguments):
        raise MemoryError

    monkeypatch.setattr(Network, "forward", forward)
    done = run("forward")
    assert (done.code, done.out) == (5, "")
    assert done.err == "mlcore: there is not enough memory for this; use less data, or a smaller model.\n"
