"""``mlcore predict`` on any input: as many answers as lines, in order, at once, and marked where they must be."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
import time

import pytest
from conftest import needs_speed
from hypothesis import given
from hypothesis import strategies as st
from naive import TWO, random_model

from mlcore.errors import DataError, ModelFileError
from mlcore.sentiment import prediction
from mlcore.sentiment.model_file import save_model
from mlcore.sentiment.prediction import predict
from mlcore.text import streams as text_lines
from mlcore.text.pool import in_order
from mlcore.text.streams import decode_lines, in_portions, whole_lines

ODD = [b"good\0film", b"good\rfilm\r", b"\xff good", b"", b"\xe4\xb8", b"bad \xf0\x9f\x8e\xac",
       b"good\xe2\x80\xa8bad\x0b", b"\r", b"&amp;#0;<br", b"no line end"]  # fmt: skip
MODEL = "m.safetensors"
UNKNOWN = "no known words; default prediction"


@pytest.fixture
def two(tmp_path):
    model = random_model(5)
    save_model(model, tmp_path / MODEL)
    return model


def is_damaged(line):
    return "\ufffd" in line.decode(errors="replace")


PIECES = [b"\n", b"\r", b"a", b"\0", b"\xe4", b"\xb8", b"\xad", b"\xff", b"\xef\xbb\xbf", b"\xc2\x85"]


@given(st.lists(st.lists(st.sampled_from(PIECES)).map(b"".join)), st.integers(1, 5))
def test_lines_do_not_depend_on_the_pieces_in_which_they_arrive(pieces, size):
    """The line feed alone ends a line; carriage returns before it belong to the end."""
    lines = b"".join(pieces).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    blocks = list(whole_lines(pieces, "pieces"))
    found = list(map(decode_lines, blocks))
    texts = [line.rstrip(b"\r").decode(errors="replace") for line in lines]
    assert [text for some, _ in found for text in some] == texts
    assert [i in undecodable for some, undecodable in found for i in range(len(some))] == list(map(is_damaged, lines))
    portions = list(in_portions(blocks, size))
    assert b"".join(portions) == b"".join(blocks)
    assert portions.count(b"") == blocks.count(b"")
    assert all(portion.count(b"\n") <= size and portion[-1:] in (b"\n", b"") for portion in portions)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_come_in_order_and_few_portions_are_under_way(threads):
    """The work on the first portion lasts longest; None asks for the results of those before it."""
    asked, results = 0, []

    def portions():
        nonlocal asked
        for number in [5, 4, 3, 2, 1, 0, 1, 2, 3]:
            asked += 1
            yield number
            assert asked - len(results) <= (1 if threads == 1 else threads + 1)
        yield None
        assert asked == len(results)
        yield 7

    for result in in_order(lambda number: time.sleep(number / 100) or number, portions(), threads):
        results.append(result)  # noqa: PERF402, portions looks at it
    assert results == [5, 4, 3, 2, 1, 0, 1, 2, 3, 7]


def damaged():
    yield from (1, 2)
    raise DataError("damaged")


def test_an_error_comes_in_its_turn():
    for portions, error in (([1, 2, 0, 4], ZeroDivisionError), ([1, 2, None, "x"], TypeError), (damaged(), DataError)):
        results = in_order(lambda number: 1 / number, iter(portions), 3)
        assert [next(results), next(results)] == [1, 1 / 2]
        with pytest.raises(error):
            next(results)


# Predictions ----------------------------------------------------------------------------------------------


def test_outputs_that_are_not_finite_are_refused():
    model = random_model(3)
    model.parameters.W2[:], model.parameters.b1[:] = 3e38, 3e38
    with pytest.raises(ModelFileError, match="output for a text is not finite"):
        predict(model, ["good"])


def test_a_key_with_the_name_of_a_prediction_that_comes_too_late(run, tmp_path, monkeypatch):
    monkeypatch.setattr("mlcore.sentiment.tables.AT_ONCE", 2)
    save_model(random_model(1), tmp_path / MODEL)
    (tmp_path / "in.jsonl").write_text('{"text": "good"}\n' * 2 + '{"text": "bad", "id": 1, "predicted": "mine"}\n')
    done = run("predict", MODEL, "in.jsonl", "-o", "out.jsonl")
    assert (done.code, (tmp_path / "out.jsonl").exists()) == (3, False)
    reason = "line 3: the key 'predicted' is not in the first 2 rows; a prediction has this name: rename it."
    assert reason in " ".join(done.err.split())


def answers(out):
    return [line.split("\t") for line in out.splitlines()]


def test_text_and_json_agree(two, run):
    content = b"\n".join(ODD)
    (code, text, err), objects = (run("predict", MODEL, *options, stdin=content) for options in ([], ["--json"]))
    assert (code, err) == (0, "")
    known = [2, 2, 1, 0, 0, 1, 2, 0, 0, 0]
    for row, line, odd, n in zip(answers(text), objects.out.splitlines(), ODD, known, strict=True):
        found = json.loads(line)
        assert list(found["probabilities"]) == list(TWO)
        assert found["probability"] == max(found["probabilities"].values()) == found["probabilities"][found["label"]]
        assert (found["schema"], found["known_words"], found["undecodable"]) == ("mlcore.predict/1", n, is_damaged(odd))
        expected = [found["label"], f"{found['probability']:.4f}", f"{n} known" if n else UNKNOWN]
        assert row == expected + ["not UTF-8"] * is_damaged(odd)


def test_answers_do_not_depend_on_threads_or_portions(run, two, tmp_path, monkeypatch):
    (tmp_path / "texts").write_bytes(b"\n".join(ODD * 100))
    found = {run("predict", MODEL, "--file", "texts", "--json")}
    monkeypatch.setattr(text_lines, "BLOCK", 300)
    monkeypatch.setattr(prediction, "MAX_PROBABILITIES", 21)
    for threads in (1, 3):
        monkeypatch.setattr("mlcore.cli.prediction.available_cores", lambda threads=threads: threads)
        found.add(run("predict", MODEL, "--file", "texts", "--json"))
    (done,) = found
    assert (done.code, done.out.count("\n")) == (0, 100 * len(ODD))


def test_files_compressed_or_odd(run, two, tmp_path):
    content = b"\n".join(ODD * 100)
    (tmp_path / "plain").write_bytes(content)
    expected = run("predict", MODEL, "--file", "plain").out
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        (tmp_path / "texts").write_bytes(compress(content[:300]) + compress(content[300:]))
        assert run("predict", MODEL, "--file", "texts") == (0, expected, "")
    (tmp_path / "texts").write_text("BZhang is good\ngood\n")  # begins like bzip2
    _, out, err = run("predict", MODEL, "--file", "texts", "--file", "-", "--file", "texts", stdin=b"zzz\nzzz")
    known = ["1 known", "1 known"]
    assert ([row[2] for row in answers(out)], err) == ([*known, UNKNOWN, UNKNOWN, *known], "")
    (tmp_path / "texts.gz").write_bytes(gzip.compress(b"good\n" * 9)[:-5])
    done = run("predict", MODEL, "--file", "texts.gz")
    assert (done.code, done.err.count("\n"), "texts.gz" in done.err) == (3, 1, True)
    (tmp_path / "empty").write_bytes(b"")
    assert run("predict", MODEL, "--file", "empty") == (0, "", "")


def test_arguments_that_are_not_utf8_are_marked(run, two):
    rows = answers(run("predict", MODEL, "good", os.fsdecode(b"\xff good"), "good\nfilm", "--", "-").out)
    assert [row[2:] for row in rows] == [["1 known"], ["1 known", "not UTF-8"], ["2 known"], [UNKNOWN]]


@pytest.mark.parametrize("arguments", [[], ["--file", "/dev/stdin"]])  # which is like a pipe with a name
def test_each_answer_comes_at_once(two, start, arguments):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = start("predict", MODEL, *arguments, env=buffered)
    for text, known in (("good", "1 known"), ("zzz good film", "2 known"), ("g", UNKNOWN)):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()
        assert process.stdout.readline().rstrip("\n").split("\t")[2] == known
    assert process.communicate("film", timeout=60)[0].endswith("\t1 known\n")


def test_a_fast_stream_is_not_answered_line_by_line(two, tmp_path):
    """100,000 lines, each write of the output counted by the reader of an unbuffered pipe."""
    read, write = os.pipe()
    (tmp_path / "lines").write_bytes(b"good\n" * 100_000)
    command = [sys.executable, "-m", "mlcore", "predict", MODEL, "--file", "lines"]
    with subprocess.Popen(command, stdout=write, cwd=tmp_path):
        os.close(write)
        sizes = [len(piece) for piece in iter(lambda: os.read(read, 1 << 20), b"")]
    os.close(read)
    assert sum(sizes) == 100_000 * len("pos\t0.5000\t1 known\n")
    assert len(sizes) < 1000


@pytest.mark.full
@needs_speed
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_flat(two, tmp_path):
    """Eight times the lines take the same memory; the order in which threads finish moves it by some megabytes."""
    # Not getrusage, which a child process inherits from its parent
    command = (
        "import re, sys; from pathlib import Path; from mlcore.cli.app import main\n"
        "try: main()\nfinally: print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1], "
        "file=sys.stderr)"
    )
    peaks = []
    for lines in (200_000, 1_600_000):
        (tmp_path / "lines").write_bytes(b"a good film, zzz\n" * lines)
        arguments = [sys.executable, "-c", command, "predict", MODEL, "--file", "lines"]
        done = subprocess.run(arguments, capture_output=True, cwd=tmp_path)
        assert done.stdout.count(b"\n") == lines
        peaks.append(int(done.stderr))
    assert peaks[1] - peaks[0] < 15_000  # kilobytes; the text alone has 23,000 more, the answers have 28,000


def test_a_long_line(two, run):
    _, out, err = run("predict", MODEL, stdin=b"good " * 2_000_000 + b"\nbad")
    assert ([row[2] for row in answers(out)], err) == (["2000000 known", "1 known"], "")
    with pytest.raises(DataError, match="x has a line of more than 1,000 bytes"):
        list(whole_lines([b"a" * 400] * 9, "x", 1000))
