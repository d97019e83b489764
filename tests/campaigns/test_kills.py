"""SIGKILL at random moments: a file that is being saved stays whole, and a training goes on to the same bytes."""

import json
import random
import subprocess
import sys
import time

import pytest
from conftest import needs_speed

from mlcore.files import PART

SAVE = """
import sys
from pathlib import Path
from mlcore.files import write_beside
contents = b"0" * (8 << 20), b"1" * (8 << 20)
for i in range(10**6):
    write_beside(Path("saved"), lambda file: file.write(contents[i % 2]))
    i or print(flush=True)
"""
OPTIONS = (
    "--data", "reviews.tsv", "--epochs", "60", "--patience", "60", "--word-dropout", "0.2", "--optimizer", "adam",
)  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")


def killed(command, folder, lines, seconds):
    """Start a process, kill it that long after that many lines, and say whether it was still at work then."""
    process = subprocess.Popen([sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if all(process.stdout.readline() for _ in range(lines)):  # else it is at its end
        time.sleep(seconds)
        process.kill()
    process.communicate()
    return process.returncode != 0


@pytest.mark.parametrize("trials", [2, pytest.param(300, marks=pytest.mark.full)])
def test_kills_during_saves(tmp_path, trials):
    """The file is the one before or the one after; one more save removes what the killed process had begun."""
    chance, begun = random.Random(trials), 0
    for trial in range(trials):
        assert killed(["-c", SAVE], tmp_path, 1, chance.uniform(0.01, 0.1))
        content = (tmp_path / "saved").read_bytes()
        assert (len(content), len(set(content))) == (8 << 20, 1), trial
        parts = [*tmp_path.glob(PART)]
        begun += len(parts)
        assert len(parts) < 2, trial  # the process before left its own, and this one's first save removed it
    print(f"{trials} kills, {begun} in the middle of a save")


@needs_speed
@pytest.mark.parametrize("trials", [1, pytest.param(100, marks=pytest.mark.full)])
def test_kills_during_trainings(run, reviews, trials):
    """A training that is killed and resumed until it is done writes the model of one that was left alone."""
    folder, chance, kills = reviews.parent, random.Random(trials), 0
    assert run("train-sentiment", *OPTIONS, "--model", "whole").code == 0
    for trial in range(trials):
        model, at_work = folder / "model", True
        command = ["-m", "mlcore", "train-sentiment", *OPTIONS, "--checkpoint", "c", "--log", "l", "--model", "model"]
        while at_work:  # it prints about 100 lines; the model of the best epoch comes before that of all texts
            resume = ["--resume"] if (folder / "c").exists() else []
            at_work = killed([*command, *resume], folder, chance.randrange(150), chance.uniform(0, 0.3))
            kills += at_work
        assert model.read_bytes() == (folder / "whole").read_bytes(), trial
        epochs = [json.loads(line).get("epoch") for line in (folder / "l").read_text().splitlines()]
        assert (epochs[0], set(epochs[1:])) == (None, set(range(1, 61))), trial
        assert run("train-sentiment", *OPTIONS, "--model", "model").code == 0  # saves once more
        assert sorted(path.name for path in folder.iterdir()) in (
            ["l", "model", "reviews.tsv", "whole"],
            ["c", "l", "model", "reviews.tsv", "whole"],
        ), trial
        for name in ("c", "l", "model"):
            (folder / name).unlink(missing_ok=True)
    print(f"{trials} trainings, {kills} kills")
