"""The benchmark of tests/benchmarks/compare.py runs: no timing, no peers, no network."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY, needs_speed

from mlcore.text.readers import read_tables

BENCHMARKS = REPOSITORY / "tests" / "benchmarks"
PRINTED = {"epoch": 1.0, "rate": 1.0, "Chinese": 1.0, "Hindi": 1.0, "accuracy": 1.0, "epochs": [{"seconds": 1.0}],
           "sha256": "same", "texts": 10, "tables": ["t.csv", "t.jsonl", "t.jsonl.zst", "t.parquet"]}  # fmt: skip


@pytest.fixture
def program(monkeypatch):
    """Import a file of the benchmarks as it sees itself, and forget it afterwards."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    others = {*sys.modules}  # Dask's distributed is called as a file of the benchmarks
    yield importlib.import_module
    for name in {path.stem for path in BENCHMARKS.glob("*.py")} - others:
        sys.modules.pop(name, None)


def test_every_contest_gives_rows_with_their_targets_as_table_and_json(program, tmp_path, monkeypatch):
    """No process runs: each takes 1 s and 1 MB, and prints all that is asked for."""
    compare, started = program("compare"), []
    fake = lambda command, environment=None: started.append(command) or PRINTED | {"seconds": 1.0, "memory": 1.0}  # noqa: E731
    monkeypatch.setattr(compare, "measure", fake)
    bench = compare.Bench(tmp_path, tmp_path / "data", tmp_path, rounds=2)
    for name in (
        bench.model.name,
        "train.txt",
        "texts.txt",
        *(f"test-{n}.txt" for n in range(3)),
        "banking77-train.csv",
    ):
        (bench.folder / name).write_text("")
    rows = [row for contest in compare.CONTESTS.values() for row in contest(bench)]
    limits = [round(row.target, 4) for row in rows if row.target]
    assert limits == [0.8, 0.35, 0.25, 1.5, 0.5, 1, 0.25, 1, 1, 0.125, 0.25, 0.4, *[0.7] * 4, *[2] * 4, 1,
                      0.5, 0.25, 1, 15, 6, 150, 0.5, 0.5, 8.5, 8.5, 0.625, *(1.05, 1.3, 1.3) * 2, 5]  # fmt: skip
    assert all(len(row.ours) == 2 and (not row.peer or len(row.theirs) == 2) for row in rows)
    trainings = [command for command in started if "--data" in command and "--label-column" not in command]
    assert all(command[command.index("--dev") + 1] == 0 for command in trainings)
    same = [note for note in bench.notes if "make the same bytes" in note]
    others = [note for note in bench.notes if note not in same and not note.startswith("coverage")]
    assert (len(same), len(others)) == (1 + 2 * 3, 4), "CLINC150, twice, and two other sets are missing"
    row = compare.Row("epoch", "s", [1.0, 3.0], "peer", [4.0, 10.0], 0.25)
    (found,) = json.loads(compare.document("Here.", [row], []))["rows"]
    assert (found["median"], found["met"]) == (pytest.approx(0.275), False)
    shown = "| epoch | 2 s | peer 7 s | 0.275 (0.25 to 0.3) | at most 0.25 | missed |\n\n- A note."
    assert shown in compare.markdown("Here.", [row], ["A note."])


def test_a_process_is_measured(program):
    measure = program("compare").measure
    # in a small process, as the benchmark is: the system counts the peak of whoever starts a process into that of it
    command = [sys.executable, "-c", "print('{\"found\": 1}'); b = b'1' * 200_000_000"]
    code = f"import json, compare; print(json.dumps(compare.measure({command!r})))"
    output = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, check=True).stdout
    found = json.loads(output)
    assert (found["found"], found["seconds"] > 0, 200 < found["memory"] < 400) == (1, True, True)
    with pytest.raises(program("compare").ProcessFailed, match="exit code 3:\nwhy"):
        measure([sys.executable, "-c", "import sys; sys.stderr.write('why'); sys.exit(3)"])


@needs_speed
def test_what_the_contestants_are_given_is_the_same_for_all(program, tmp_path, monkeypatch):
    """The texts as files, their tokens as arrays, and epochs that end in the same bytes for any number of threads."""
    parts, lines = program("parts"), [f"__label__{'pos good' if i % 2 else 'neg bad bad'} film {i}" for i in range(40)]
    (tmp_path / "data.txt").write_text("\n".join(lines))
    assert parts.write_texts(tmp_path / "data.txt", tmp_path) == {"texts": 40}
    assert sorted((tmp_path / "train.txt").read_text().splitlines()) == sorted(lines)
    folds = [(tmp_path / f"{name}-0.txt").read_text().splitlines() for name in ("train", "test")]
    assert (sorted(sum(folds, [])), len(folds[1])) == (sorted(lines), 8)
    for name in parts.write_tables(tmp_path / "texts.txt", tmp_path)["tables"]:
        (table,) = read_tables(tmp_path / name, labelled=False)
        assert [text for _, text in table.texts()] == (tmp_path / "texts.txt").read_text().splitlines()
    assert parts.write_arrays(tmp_path / "train.txt", tmp_path / "t.npz")["tokens"] == 20 * (3 + 4)
    with np.load(tmp_path / "t.npz") as file:
        assert {*np.diff(file["offsets"])} == {3}
        assert {*np.diff(file["bounds"])} == {3, 4}
    monkeypatch.setattr(parts, "TEXTS", 0)
    found = [parts.epochs(tmp_path / "train.txt", "1", threads) for threads in ("any", "1", "2")]
    assert len({figures["sha256"] for figures in found}) == 1
    assert all(rate > 0 for rate in parts.tokenise(tmp_path / "train.txt", "2").values())
