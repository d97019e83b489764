"""``mlcore predict`` on whatever comes: as many answers as lines, in order, at once, and marked where they must be."""

import bz2
import gzip
import json
import lzma
import math
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import needs_speed
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import DataError, ModelFileError
from mlcore.sentiment import training
from mlcore.sentiment.initialization import new_classifier
from mlcore.sentiment.model_file import save
from mlcore.sentiment.prediction import predict
from mlcore.sentiment.preparation import prepare
from mlcore.sentiment.settings import Settings
from mlcore.text import lines as text_lines
from mlcore.text.corpus import Corpus
from mlcore.text.lines import decode_lines, in_portions, whole_lines
from mlcore.text.pool import in_order

ODD = [b"good\0film", b"good\rfilm\r", b"\xff good", b"", b"\xe4\xb8", b"bad \xf0\x9f\x8e\xac",
       b"good\xe2\x80\xa8bad\x0b", b"\r", b"&amp;#0;<br", b"no line end"]  # fmt: skip


def make(labels, path=None, **settings):
    """An untrained model that knows good, bad and film."""
    texts = ["good film", "bad film", *labels]
    corpus = Corpus("test", texts, [labels[0], labels[-1], *labels], [""] * len(texts))
    settings = Settings(dim=3, hidden=3, start="random", **settings)
    classifier = new_classifier(prepare(corpus, 0, settings), settings)
    random = np.random.default_rng(5)
    for array in classifier.parameters:
        array[..., :3] = random.normal(size=array[..., :3].shape)  # not the padding, which is not saved
    if path:
        save(classifier, path)
    return classifier


@pytest.fixture
def two(tmp_path):
    return make(["neg", "pos"], tmp_path / "two.npz")


def naive_lines(content):
    """The rule: the line feed alone ends a line, a carriage return before it belongs to the end."""
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [line.removesuffix(b"\r").decode(errors="replace") for line in lines]


def is_damaged(line):
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


alphabet = st.sampled_from(
    [b"\n", b"\r", b"a", b"\0", b"\xe4", b"\xb8", b"\xad", b"\xff", b"\xef\xbb\xbf", b"\xc2\x85"]
)


@given(st.lists(st.lists(alphabet).map(b"".join)))
def test_lines_do_not_depend_on_the_pieces_in_which_they_arrive(pieces):
    found = list(map(decode_lines, whole_lines(pieces, "pieces")))
    whole = b"".join(pieces)
    assert [text for part in found for text in part.texts] == naive_lines(whole)
    marks = [i in part.undecodable for part in found for i in range(len(part.texts))]
    assert marks == [is_damaged(line) for line in whole.split(b"\n")][: len(marks)]


def test_a_line_without_end_is_refused_in_time(monkeypatch):
    monkeypatch.setattr(text_lines, "LONGEST_LINE", 1000)
    assert len(list(whole_lines([b"a" * 500, b"a" * 400 + b"\n"], "x"))) == 1
    with pytest.raises(DataError, match="x has a line of more than 1,000 bytes"):
        list(whole_lines([b"a" * 400] * 9, "x"))


@given(st.lists(st.lists(alphabet).map(b"".join)), st.integers(1, 5))
def test_portions_are_the_same_lines(blocks, most):
    blocks = list(whole_lines(blocks, "blocks"))
    portions = list(in_portions(blocks, most))
    assert b"".join(portions) == b"".join(blocks)
    assert portions.count(b"") == blocks.count(b"")
    assert all(portion.count(b"\n") <= most and portion[-1:] in (b"\n", b"") for portion in portions)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_come_in_order_and_few_portions_are_under_way(threads):
    """The work on the first portion lasts longest; None asks for the results of those before it."""
    asked, done = 0, 0

    def portions():
        nonlocal asked
        for number in [5, 4, 3, 2, 1, 0, 1, 2, 3]:
            asked += 1
            yield [number]
            assert asked - done <= (1 if threads == 1 else threads + 1)
        yield None
        assert asked == done
        yield [7]

    results = []
    for result in in_order(lambda portion: time.sleep(portion[0] / 100) or portion, portions(), threads):
        done += 1
        results.append(result)
    assert results == [[5], [4], [3], [2], [1], [0], [1], [2], [3], [7]]


def test_an_error_in_a_thread_comes_in_its_turn():
    results = []
    with pytest.raises(ZeroDivisionError):
        for result in in_order(lambda portion: 1 / portion[0], ([number] for number in (1, 2, 0, 4)), 3):
            results.append(result)
    assert results == [1, 1 / 2]


def test_what_came_before_an_error_of_the_portions_is_answered():
    def portions():
        yield from ([1], [2], [3])
        raise DataError("damaged")

    results = []
    with pytest.raises(DataError, match="damaged"):
        for result in in_order(sum, portions(), 2):
            results.append(result)
    assert results == [1, 2, 3]


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_answers_do_not_depend_on_threads(run, two, tmp_path, monkeypatch, as_json):
    monkeypatch.setattr(text_lines, "BLOCK", 300)
    (tmp_path / "texts").write_bytes(b"\n".join(ODD * 100))
    found = set()
    for threads in (1, 2, 3):
        monkeypatch.setattr(training, "available_cores", lambda threads=threads: threads)
        found.add(run("predict", "two.npz", "--file", "texts", *as_json))
    (done,) = found
    assert (done.code, done.out.count("\n")) == (0, 100 * len(ODD))


@pytest.mark.parametrize(("labels", "settings"), [
    (["neg", "pos"], {}), (["a", "b", "c"], {"ngrams": 2, "min_count": 1}), (["1", "2", "5"], {"loss": "squared"}),
])  # fmt: skip
def test_predictions_are_those_of_the_classifier(labels, settings):
    classifier = make(labels, **settings)
    texts = ["good film", "", "zzz", "bad bad film", "good"] * 300
    found = predict(classifier, texts, threads=2)
    logits = classifier.logits(classifier.features.documents(texts))
    assert found.outputs.tolist() == logits.tolist()
    assert found.known.tolist() == [2, 0, 0, 3, 1] * 300
    if classifier.labels:
        assert found.chosen.tolist() == classifier.decide(logits).tolist()
        assert found.confidence.tolist() == found.probabilities.max(axis=1).tolist()
        assert np.abs(found.probabilities.sum(axis=1) - 1).max() < 1e-12
    else:
        assert found.probabilities.shape == (1500, 0)


def test_an_output_that_is_not_finite_is_an_error(run, tmp_path):
    classifier = make(["neg", "pos"])
    for array in classifier.parameters:
        array[:] = 3e38
    with pytest.raises(ModelFileError, match="output for a text is not finite"):
        predict(classifier, ["good"])
    save(classifier, tmp_path / "huge.npz")
    done = run("predict", "huge.npz", "good")
    assert (done.code, done.out) == (4, "")


def answers(out):
    return [line.split("\t") for line in out.splitlines()]


def test_text_and_json_agree(run, two, start):
    content = b"\n".join(ODD)
    text, err = start("predict", "two.npz", text=False).communicate(content)
    assert err == b""
    objects, err = start("predict", "two.npz", "--json", text=False).communicate(content)
    assert err == b""
    rows = answers(text.decode())
    assert len(rows) == len(ODD)
    for row, line, odd in zip(rows, objects.splitlines(), ODD, strict=True):
        found = json.loads(line)
        assert found["schema"] == "mlcore.predict/1"
        assert list(found["probabilities"]) == ["neg", "pos"]
        assert math.fsum(found["probabilities"].values()) == pytest.approx(1, abs=1e-9)
        assert found["probability"] == max(found["probabilities"].values()) == found["probabilities"][found["label"]]
        assert row[:2] == [found["label"], f"{found['probability']:.4f}"]
        known = found["known_words"]
        assert row[2] == (f"{known} known" if known else "no known word: the value at E = 0")
        assert found["undecodable"] == is_damaged(odd) == (row[3:] == ["not UTF-8"])
    assert [json.loads(line)["known_words"] for line in objects.splitlines()] == [2, 2, 1, 0, 0, 1, 2, 0, 0, 0]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_files_give_what_standard_input_gives(run, two, start, tmp_path, compress):
    content = b"\n".join(ODD * 100)
    expected = start("predict", "two.npz", text=False).communicate(content)[0].decode()
    (tmp_path / "texts").write_bytes(compress(content[:300]) + compress(content[300:]))
    done = run("predict", "two.npz", "--file", "texts")
    assert (done.code, done.out, done.err) == (0, expected, "")
    done = run("predict", "two.npz", "--file", "texts", "--file", "texts")
    assert done.out == 2 * expected


def test_standard_input_among_files(two, start, tmp_path):
    (tmp_path / "texts").write_text("good\n")
    process = start("predict", "two.npz", "--file", "texts", "--file", "-", "--file", "texts")
    out, err = process.communicate("zzz\nzzz")
    assert ([row[2][:7] for row in answers(out)], err) == (["1 known", "no know", "no know", "1 known"], "")


def test_a_text_that_begins_like_bzip2_is_one(run, two, tmp_path):
    (tmp_path / "texts").write_text("BZhang is good\n")
    assert answers(run("predict", "two.npz", "--file", "texts").out)[0][2] == "1 known"


def test_damaged_compressed_file(run, two, tmp_path):
    (tmp_path / "texts.gz").write_bytes(gzip.compress(b"good\n" * 9)[:-5])
    done = run("predict", "two.npz", "--file", "texts.gz")
    assert done.code == 3
    assert done.err.startswith("mlcore: texts.gz is damaged or incomplete (") and done.err.count("\n") == 1


def test_empty_input_has_no_answers(run, two, start, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert run("predict", "two.npz", "--file", "empty") == (0, "", "")
    assert start("predict", "two.npz").communicate("") == ("", "")


def test_arguments_that_are_not_utf8_are_marked(run, two):
    rows = answers(run("predict", "two.npz", "good", os.fsdecode(b"\xff good"), "good\nfilm", "--", "-").out)
    assert [row[2:] for row in rows] == [
        ["1 known"],
        ["1 known", "not UTF-8"],
        ["2 known"],
        ["no known word: the value at E = 0"],
    ]


def test_ratings_are_numbers(run, tmp_path):
    classifier = make(["1", "5"], tmp_path / "ratings.npz", loss="squared")
    rating = float(classifier.logits(classifier.features.documents(["good film"]))[0, 0])
    assert run("predict", "ratings.npz", "good film").out == f"{rating:.4f}\t2 known\n"
    found = json.loads(run("predict", "ratings.npz", "good film", "--json").out)
    assert found == {"schema": "mlcore.predict/1", "rating": rating, "known_words": 2, "undecodable": False}


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["--file", "nowhere"], 5, "nowhere: No such file or directory; check the path."),
    (["--file", "two.npz", "--file", "nowhere"], 5, "nowhere: No such file or directory; check the path."),
    (["--file", "."], 5, ".: is a folder; expected a file of texts, one per line; check the path."),
    (["--file", "-", "--file", "-"], 2, "Standard input, -, is given twice; it can be read once."),
    (["good", "--file", "two.npz"], 2, "Texts and --file are both given; expected one of them."),
])  # fmt: skip
def test_wrong_files(run, two, arguments, code, message):
    assert run("predict", "two.npz", *arguments) == (code, "", f"mlcore: {message}\n")


@pytest.mark.parametrize("arguments", [[], ["--file", "/dev/stdin"]])  # which is as a pipe that has a name
def test_each_answer_comes_at_once(two, start, arguments):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = start("predict", "two.npz", *arguments, env=buffered)
    for text, known in (("good", "1 known"), ("zzz good film", "2 known"), ("g", "no known word: the value at E = 0")):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()
        assert process.stdout.readline().rstrip("\n").split("\t")[2] == known
    assert process.communicate("film", timeout=60)[0].endswith("\t1 known\n")


def test_a_fast_stream_is_not_answered_line_by_line(two, tmp_path):
    """100,000 lines, each write of the output counted by the reader of an unbuffered pipe."""
    read, write = os.pipe()
    (tmp_path / "lines").write_bytes(b"good\n" * 100_000)
    command = [sys.executable, "-m", "mlcore", "predict", "two.npz", "--file", "lines"]
    with subprocess.Popen(command, stdout=write, cwd=tmp_path):
        os.close(write)
        sizes = [len(piece) for piece in iter(lambda: os.read(read, 1 << 20), b"")]
    os.close(read)
    assert sum(sizes) == 100_000 * len("pos\t0.5000\t1 known\n")
    assert len(sizes) < 1000


@needs_speed
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_flat(two, tmp_path):
    """Five times the lines take the same memory."""
    # Not getrusage, which a child process inherits from its parent
    command = (
        "import re, sys; from pathlib import Path; from mlcore.cli.app import main\n"
        "try: main()\nfinally: print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1], "
        "file=sys.stderr)"
    )
    peaks = []
    for lines in (500_000, 2_500_000):
        (tmp_path / "lines").write_bytes(b"a good film, zzz\n" * lines)
        arguments = [sys.executable, "-c", command, "predict", "two.npz", "--file", "lines"]
        done = subprocess.run(arguments, capture_output=True, cwd=tmp_path)
        assert done.stdout.count(b"\n") == lines
        peaks.append(int(done.stderr))
    assert peaks[1] - peaks[0] < 18_000  # kilobytes; the text alone has 34,000 more, the answers have 42,000


def test_a_long_line(two, start):
    out, err = start("predict", "two.npz", text=False).communicate(b"good " * 2_000_000 + b"\nbad", timeout=120)
    assert ([row[2] for row in answers(out.decode())], err) == (["2000000 known", "1 known"], b"")


def test_many_labels_are_predicted_in_smaller_portions(run, tmp_path, monkeypatch):
    from mlcore.cli import prediction

    make(["a", "b", "c"], tmp_path / "three.npz")
    (tmp_path / "lines").write_bytes(b"good\n\xff\nfilm\n" * 50)
    whole = run("predict", "three.npz", "--file", "lines").out
    monkeypatch.setattr(prediction, "MOST_PROBABILITIES", 21)
    assert run("predict", "three.npz", "--file", "lines").out == whole
    assert [row[3:] for row in answers(whole)][:4] == [[], ["not UTF-8"], [], []]
