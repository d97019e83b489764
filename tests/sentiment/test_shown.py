"""What commands show of every kind of model, in 80 columns, and in ASCII where standard output can have no other.

``shown.txt`` has the commands with all that they print; WRITE_GOLDEN=1 in the environment writes it anew. The models
are random, so that nothing in the training changes it.
"""

import json
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
from mlcore.cli.render import width
from naive import KINDS, WORDS, random_model

from mlcore.sentiment.model import HISTORY, Provenance
from mlcore.sentiment.model_file import save_model

GOLDEN = Path(__file__).with_name("shown.txt")
LONG = [letter * 30 for letter in "abcdefgh"]
WIDE = {"wide": lambda: random_model(7, tuple(f"a label of some length {i}" for i in range(40)), 3, words=LONG)}
EPOCHS = [(1, 0.7, 0.6, 0.5, None, 0.01, 0, True), (2, 0.6, 0.7, 0.5, None, 0.01, 0, False)]


def test_what_is_shown(run, run_in_ascii, tmp_path):
    random, history = np.random.default_rng(7), [dict(zip(HISTORY, values, strict=True)) for values in EPOCHS]
    for name, make in (KINDS | WIDE).items():
        model, origin = make(), Provenance({"data": [f"{name}.jsonl"]}, "ab12", {"train": 30, "dev": 4}, history)
        model.parameters.b1[1] = 0.5  # so that it decides now so, now so
        save_model(replace(model, provenance=origin), tmp_path / name)
        truths = model.labels or ("1", "2", "5")
        sets = [truths[: i % 4] if name == "several" else truths[i % len(truths)] for i in range(40)]
        rows = [{"text": " ".join(random.choice(WORDS, 5)), "label": label} for label in sets]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = ""
    for command in re.findall(r"^\$ mlcore (.*)$", GOLDEN.read_text("utf-8"), re.MULTILINE):
        done = run(*shlex.split(command))
        found += "".join(f"{line.rstrip()}\n" for line in (f"$ mlcore {command}", *(done.err + done.out).splitlines()))
        plain = run_in_ascii(*shlex.split(command))
        assert (done.code, plain.isascii(), plain.count("?")) == (0, True, done.out.count("?")), command
        lines = (done.out + plain).replace("\x1b", "").splitlines()
        assert max(width(line) for line in lines if not line.startswith("mlcore train-sentiment ")) <= 80, command
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text(found, "utf-8")
    assert found.splitlines() == GOLDEN.read_text("utf-8").splitlines()
