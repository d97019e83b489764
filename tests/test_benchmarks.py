"""The parts of the benchmark of tests/benchmarks/compare.py: no timing, no peers, no network."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY, needs_speed

BENCHMARKS = REPOSITORY / "tests" / "benchmarks"


@pytest.fixture
def program(monkeypatch):
    """Import a file of the benchmarks as it sees itself, and forget it afterwards."""
    names = [path.stem for path in BENCHMARKS.glob("*.py")]
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


PRINTED = {
    "epoch": 1.0, "rate": 1.0, "Chinese": 1.0, "Hindi": 1.0, "accuracy": 1.0, "epochs": [{"seconds": 1.0}],
    "sha256": "same", "texts": 10,
}  # fmt: skip


@pytest.fixture
def started():
    """Commands that the bench has started."""
    return []


@pytest.fixture
def bench(program, tmp_path, monkeypatch, started):
    """A bench of two rounds, of which no process runs: each takes 1 s and 1 MB, and prints all that is asked for."""
    compare = program("compare")

    def measure(command, environment=None):
        started.append(command)
        return PRINTED | {"seconds": 1.0, "memory": 1.0}

    monkeypatch.setattr(compare, "measure", measure)
    bench = compare.Bench(tmp_path, tmp_path, tmp_path, rounds=2)
    bench.model.write_bytes(b"")
    return bench


def test_markdown_and_json_say_the_same(program):
    compare = program("compare")
    rows = [
        compare.Row("epoch", "s", [1.0, 3.0], "peer", [4.0, 10.0], 0.25),
        compare.Row("rate", "MB/s", [1234.5], target=150, at_least=True),
        compare.Row("memory", "MB", [10.0], "peer", [20.0]),
    ]
    assert compare.markdown("Here.", rows, ["A note."]) == (
        "Here.\n\n"
        "| what | mlcore | against | ratio (range) | target | |\n|---|---|---|---|---|---|\n"
        "| epoch | 2 s | peer 7 s | 0.275 (0.25 to 0.3) | at most 0.25 | missed |\n"
        "| rate | 1,234 MB/s |  | (1,234 to 1,234) | at least 150 | met |\n"
        "| memory | 10 MB | peer 20 MB | 0.5 (0.5 to 0.5) |  |  |\n"
        "\n- A note.\n"
    )
    found = json.loads(compare.document("Here.", rows, []))["rows"]
    assert [row["median"] for row in found] == [pytest.approx(0.275), 1234.5, 0.5]
    assert [row["met"] for row in found] == [False, True, None]


def test_a_process_is_measured(program):
    measure = program("compare").measure
    # in a small process, as the benchmark is: the system counts the peak of whoever starts a process into that of it
    command = [sys.executable, "-c", "print('{\"found\": 1}'); b = b'1' * 200_000_000"]
    code = f"import json, compare; print(json.dumps(compare.measure({command!r})))"
    output = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, check=True).stdout
    found = json.loads(output)
    assert found["found"] == 1
    assert found["seconds"] > 0
    assert 200 < found["memory"] < 400
    assert set(measure([sys.executable, "-c", "print('no object')"])) == {"seconds", "memory"}
    with pytest.raises(program("compare").ProcessFailed, match="exit code 3:\nwhy"):
        measure([sys.executable, "-c", "import sys; sys.stderr.write('why'); sys.exit(3)"])


def test_contestants_take_turns_after_a_warm_up(bench):
    turns = []
    found = bench.in_turn("t", **{name: lambda n=name: turns.append(n) or {"turn": len(turns)} for name in "AB"})
    assert turns == list("ABABAB")
    assert found == [[{"turn": 3}, {"turn": 5}], [{"turn": 4}, {"turn": 6}]]


def test_every_contest_gives_rows_with_their_targets(bench, program, started):
    for name in ("train.txt", "test-0.txt", "test-1.txt", "test-2.txt"):
        (bench.folder / name).write_text("")
    bench.sets = bench.folder  # with no others
    rows = [row for contest in program("compare").CONTESTS.values() for row in contest(bench)]
    limits = [round(row.target, 4) for row in rows if row.target]
    assert limits == [0.8, 0.35, 0.25, 1.5, 0.5, 1, 1, 1, 0.125, 0.6, 0.6, 0.5, 0.25, 1, 15, 6, 150, 0.5, 0.5,
                      8.5, 8.5, 0.625, *(1.05, 1.3, 1.3) * 2]  # fmt: skip
    assert all(len(row.ours) == 2 and (not row.peer or len(row.theirs) == 2) for row in rows)
    trainings = [command for command in started if "--data" in command]
    assert all(command[command.index("--dev") + 1] == 0 for command in trainings)
    files = [file for file, _ in program("compare").SETS.values() if file]
    missing = [note for note in bench.notes if "is missing" in note]
    assert all(file in note for file, note in zip(files, missing, strict=True))
    same = [note for note in bench.notes if "make the same bytes" in note]
    assert len(same) == 1 + 2 * 3
    assert len(same) + len(missing) == len(bench.notes)


def test_busy_processes_run_meanwhile_and_no_longer(program, monkeypatch):
    compare, started, popen = program("compare"), [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments: started.append(popen(*arguments)) or started[-1])
    with compare.busy(2):
        assert [process.poll() for process in started] == [None, None]
    assert all(process.returncode for process in started)


@needs_speed
def test_epochs_are_the_same_for_any_number_of_threads(program, tmp_path):
    (tmp_path / "t.txt").write_text("__label__pos good good film\n__label__neg bad film\n" * 20)
    parts = program("parts")
    found = [parts.epochs(tmp_path / "t.txt", "1", threads) for threads in ("any", "1", "2")]
    assert len({figures["sha256"] for figures in found}) == 1
    assert all(figures["epoch"] > 0 for figures in found)


def archive(folder):
    """A small aclImdb."""
    for label, text in (("pos", "A good\nfilm"), ("neg", "Bad, bad")):
        for number in range(10):
            path = folder / "aclImdb" / "train" / label / f"{number}_7.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text} {number}")
    path = folder / "aclImdb" / "test" / "pos" / "0_7.txt"
    path.parent.mkdir(parents=True)
    path.write_text("not to be used")
    return folder / "aclImdb"


def test_texts_are_written_as_all_can_read_them(program, tmp_path):
    parts = program("parts")
    assert parts.write_texts(archive(tmp_path), tmp_path) == {"texts": 20}
    lines = (tmp_path / "train.txt").read_text().splitlines()
    assert sorted(lines) == sorted(
        [f"__label__pos A good film {n}" for n in range(10)] + [f"__label__neg Bad, bad {n}" for n in range(10)]
    )
    texts = [line.split(" ", 1)[1] for line in lines]
    assert (tmp_path / "texts.txt").read_text().splitlines() == texts * 4
    tests = [(tmp_path / f"test-{block}.txt").read_text().splitlines() for block in range(5)]
    assert sorted(sum(tests, [])) == sorted(lines)
    assert sorted(tests[0]) == ["__label__neg Bad, bad 0", "__label__neg Bad, bad 1",
                                "__label__pos A good film 0", "__label__pos A good film 1"]  # fmt: skip
    assert sorted((tmp_path / "train-0.txt").read_text().splitlines() + tests[0]) == sorted(lines)


def test_arrays_hold_the_distinct_words_and_all_tokens(program, tmp_path):
    parts = program("parts")
    (tmp_path / "t.txt").write_text("__label__pos good good film\n__label__neg bad film\n")
    sizes = parts.write_arrays(tmp_path / "t.txt", tmp_path / "t.npz")
    assert list(sizes.values()) == [3, 4, 5]
    with np.load(tmp_path / "t.npz") as file:
        assert file["offsets"].tolist() == [0, 2, 4]
        assert file["bounds"].tolist() == [0, 3, 5]
        stream, ids = file["stream"], file["ids"]
        assert file["targets"].tolist() == [[1], [0]]
    assert stream[0] == stream[1] != stream[2] == stream[4]
    assert sorted(ids[:2]) == sorted(set(stream[:3].tolist()))


def test_scripts_are_tokenised_beside_the_data(program, tmp_path):
    parts = program("parts")
    (tmp_path / "t.txt").write_text("__label__pos It's GREAT &amp; fun!\n__label__neg bad, bad film\n")
    assert all(rate > 0 for rate in parts.tokenise(tmp_path / "t.txt", "2").values())
    assert set(parts.tokenise(tmp_path / "t.txt", "2")) == {"rate", "Chinese", "Hindi"}


@needs_speed
def test_gather_scatter_is_its_naive_twin(program):
    random = np.random.default_rng(1)
    offsets = np.cumsum([0, 0, 1, 7, 20])
    ids = random.integers(0, 5, offsets[-1]).astype(np.int32)
    table = random.integers(0, 9, (5, 8)).astype(np.float32)
    change, total, expected = random.integers(0, 9, 8).astype(np.float32), np.zeros(8, np.float32), table.copy()
    for text in range(4):
        words = ids[offsets[text] : offsets[text + 1]]
        total_expected = expected[words, 2:6].sum(axis=0)
        np.add.at(expected[:, 2:6], words, change[2:6])
    program("parts").gather_scatter(ids, offsets, 2, 6, table, change, total)
    assert (table == expected).all()
    assert total.tolist() == [0, 0, *total_expected, 0, 0]
