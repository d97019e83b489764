"""What commands print and write with every kind of model: ``sessions/*.txt``, see ``conftest.play``.

The models are random, so that nothing in the training changes it.
"""

import shlex
from pathlib import Path

import numpy as np
import pytest
from conftest import COMMAND, play
from naive import KINDS, random_model, save_with_texts

SESSIONS = Path(__file__).parent / "sessions"
LONG = [letter * 30 for letter in "abcdefgh"]
MORE = {
    "wide": lambda: random_model(7, tuple(f"a label of some length {i}" for i in range(40)), 3, words=LONG),
    "tiny": lambda: random_model(8, ngrams=2, words=["good"]),
    "stars": lambda: random_model(1, ("1", "2", "3")),  # whose second probability and label 2 have the same name
}


@pytest.fixture
def models(tmp_path):
    """Models in files, and labelled texts for each."""
    random = np.random.default_rng(7)
    for name, make in (KINDS | MORE).items():
        save_with_texts(make(), tmp_path / name, tmp_path / f"{name}.jsonl", random)


@pytest.mark.parametrize("session", sorted(SESSIONS.glob("*.txt")), ids=lambda path: path.stem)
def test_sessions(models, run, tmp_path, session):
    if session.stem == "export":
        pytest.importorskip("onnx", reason="it is in mlcore[test]")
    play(run, tmp_path, session)


def test_it_fits_where_standard_output_can_only_be_ascii(models, run_in_ascii):
    for command, shown in COMMAND.findall((SESSIONS / "models.txt").read_text("utf-8")):
        if "--json" not in command:
            plain = run_in_ascii(*shlex.split(command)[1:])
            assert (plain.isascii(), plain.count("?")) == (True, shown.count("?")), command
            assert max(map(len, plain.splitlines())) <= 80, command
