"""``mlcore evaluate`` and ``report``: tables that fit, documents that hold everything, and a page that is safe."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mlcore.sentiment.charts import Series, curves, dots
from mlcore.sentiment.initialization import new_classifier
from mlcore.sentiment.model import HISTORY
from mlcore.sentiment.model_file import load, save
from mlcore.sentiment.preparation import prepare
from mlcore.sentiment.settings import Settings
from mlcore.text.corpus import Corpus

WORDS = ["good", "bad", "dull", "warm", "film", "plot", "fun", "awful"]
VOID = {"meta", "br", "circle", "path", "rect"}
EVIL = "<script>alert(1)</script> & \"good\" 'bad' \x1b[31m \u202e <img src=x onerror=y>"


def make(folder, labels, loss="logistic", n=40, history=True):
    """Model m.npz and texts d.jsonl that it does not all get right; every label and text is there."""
    random = np.random.default_rng(7)
    texts = [" ".join(random.choice(WORDS, 5)) for _ in range(n)]
    truths = [labels[i % len(labels)] for i in range(n)]
    settings = Settings(dim=3, hidden=4, start="random", loss=loss)
    classifier = new_classifier(prepare(Corpus("t", texts, truths, [""] * n), 0, settings), settings)
    for array in classifier.parameters:
        array[..., : min(3, array.shape[-1])] = random.normal(size=array[..., :3].shape)
    if history:
        values = [(1, 0.7, 0.6, 0.5), (2, 0.4, None, None)], [(3, 0.3, 0.5, 0.75)]
        rows = [dict(zip(HISTORY, (*v, 0.01, 0, v[0] == 3), strict=True)) for part in values for v in part]
        classifier.provenance.history = rows
    save(classifier, folder / "m.npz")
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(texts, truths, strict=True)]
    (folder / "d.jsonl").write_text("\n".join(lines))


KINDS = [(["neg", "pos"], "logistic"), (["a", "b", "c"], "logistic"), (["1", "2", "5"], "squared"),
         ([f"a label of some length {i}" for i in range(40)], "logistic"), (["好" * 30, "壞" * 30],
         "logistic")]  # fmt: skip


def columns(text):
    from mlcore.cli.render import width

    return max(map(width, text.splitlines()))


@pytest.mark.parametrize(("labels", "loss"), KINDS)
def test_tables_fit_and_json_holds_everything(run, tmp_path, labels, loss):
    make(tmp_path, labels, loss)
    done = run("evaluate", "m.npz", "d.jsonl", "--errors", 3)
    assert (done.code, done.err) == (0, "")
    assert columns(done.out) <= 80
    assert "Worst mistakes" in done.out
    document = run("evaluate", "m.npz", "d.jsonl", "--errors", 3, "--json").out
    found = json.loads(document, parse_constant=pytest.fail)
    assert (found["schema"], found["n"], found["part"]) == ("mlcore.evaluate/1", 40, "all")
    assert len(found["mistakes"]) == 3
    assert set(found["mistakes"][0]) == {"row", "place", "text", "truth", "predicted", "probability"}
    assert "…" not in done.out  # nothing was cut by the terminal
    assert ("Most frequent confusions" in done.out) == (len(labels) > 30)
    if loss == "squared":
        assert {"rmse", "mae", "r2", "pearson", "baseline", "loss"} <= set(found)
        assert f"root mean square error {found['rmse']:.4f} on 40 texts" in done.out
    else:
        assert [entry["label"] for entry in found["per_label"]] == found["labels"]
        assert set(found["macro"]) == {"precision", "recall", "f1", "support"}
        assert len(found["calibration"]) == 10
        assert found["accuracy_interval"][0] < found["accuracy"] < found["accuracy_interval"][1]
        assert f"accuracy {found['accuracy']:.2%}" in done.out
        assert ("auc" in found) and (found["auc"] is None) == (len(labels) > 2)


def test_evaluate_says_which_part_it_takes_of_several_paths(run, tmp_path):
    make(tmp_path, ["neg", "pos"])
    (tmp_path / "a.tsv").write_text("text\tlabel\tsplit\ngood\tpos\ttrain\nbad\tneg\ttest\n")
    (tmp_path / "b.tsv").write_text("words\tlabel\tsplit\ngood\tpos\ttest\n")
    assert run("evaluate", "m.npz", "a.tsv").out.startswith("a.tsv, test part: accuracy ")
    (tmp_path / "b.tsv").write_text("text\tlabel\tsplit\ngood\tpos\ttest\n")
    found = json.loads(run("evaluate", "m.npz", "a.tsv", "b.tsv", "--json").out)
    assert (found["n"], found["part"]) == (2, "test")


def test_evaluate_options_of_the_data(run, start, tmp_path):
    make(tmp_path, ["neg", "pos"])
    (tmp_path / "odd").write_text("words\tverdict\ngood\tpos\n")
    options = ["--format", "tsv", "--text-column", "words", "--label-column", "verdict", "--json"]
    expected = run("evaluate", "m.npz", "odd", *options).out
    assert json.loads(expected)["n"] == 1
    assert start("evaluate", "m.npz", "-", *options).communicate((tmp_path / "odd").read_text()) == (expected, "")


def test_labels_that_the_model_does_not_know(run, tmp_path):
    make(tmp_path, ["neg", "pos"])
    (tmp_path / "a.tsv").write_text("text\tlabel\ngood\tpos\nbad\tsad\n")
    for command in ("evaluate", "report"):
        done = run(command, "m.npz", "a.tsv")
        expected = "mlcore: a.tsv, line 3: the label is 'sad'; expected 'neg' or 'pos', as in the training data.\n"
        assert (done.code, done.out, done.err) == (3, "", expected)
    assert not (tmp_path / "report.html").exists()


def test_mistakes_cannot_move_the_cursor(run, tmp_path):
    make(tmp_path, ["neg", "pos"])
    text = "good " * 30 + "\x1b[2J\r\n\ttail"
    rows = [{"text": f"\x1b[2J\u009b {text}", "label": label} for label in ("neg", "pos")]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, rows)))
    out = run("evaluate", "m.npz", "e.jsonl", "--errors", 5).out
    assert "\x1b" not in out and "\u009b" not in out and "..." in out
    assert len(out.partition("Worst mistakes\n")[2].splitlines()) == 2
    assert columns(out) <= 80


class Page(HTMLParser):
    """Checks that tags are closed in order, and notes what could load or run something."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag == "tr" and self.open[-1] == "tr":  # a row ends where the next one begins
            self.open.pop()
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        if tag == "table" and self.open[-1] == "tr":
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(path):
    page = Page()
    page.feed(path.read_text())
    page.close()
    assert page.open == []
    return page


@pytest.mark.parametrize(("labels", "loss"), KINDS)
def test_report_is_one_page_that_loads_nothing(run, tmp_path, labels, loss):
    make(tmp_path, labels, loss)
    done = run("report", "m.npz", "d.jsonl", "-o", "r.html", "--errors", 4)
    assert (done.code, done.out, done.err) == (0, "", "Wrote r.html.\n")
    page = read(tmp_path / "r.html")
    assert {"script", "link", "img", "iframe", "object", "base", "form"}.isdisjoint(page.tags)
    assert {"src", "href", "onload", "onclick"}.isdisjoint(name for name, _ in page.attributes)
    assert not re.search(r"url\(|@import|https?:", (tmp_path / "r.html").read_text())
    policy = next(value for name, value in page.attributes if name == "content")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    text = " ".join(page.words)
    for part in ("Training", "Strongest words", "Worst mistakes", "E = 1/N", "prefers-color-scheme"):
        assert part in text, part
    assert page.tags.count("article") == 4
    assert page.tags.count("svg") == 3
    assert not re.search(r"\bnan\b|\binf\b|None", text)
    once = (tmp_path / "r.html").read_bytes()
    run("report", "m.npz", "d.jsonl", "-o", "r.html", "--errors", 4)
    assert (tmp_path / "r.html").read_bytes() == once
    assert run("report", "m.npz", "d.jsonl", "-o", "-").out.isascii()


def test_report_escapes_what_comes_from_files(run, tmp_path):
    make(tmp_path, ["neg", "<b>pos</b>"])
    rows = [{"text": EVIL + text, "label": label} for label in ("neg", "<b>pos</b>") for text in ("", "a" * 40_000)]
    (tmp_path / "<i>e&.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("report", "m.npz", "<i>e&.jsonl").code == 0
    content = (tmp_path / "report.html").read_text()
    page = read(tmp_path / "report.html")
    assert {"script", "img", "i", "b"} & set(page.tags) == {"i", "b"}  # of its own: means in italics, labels in bold
    assert "<i>e" not in content and "<b>pos" not in content and "&lt;i&gt;e&amp;.jsonl" in content
    assert "the beginning of a long text" in content
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", content)


def test_report_without_history_or_mistakes(run, tmp_path):
    make(tmp_path, ["neg", "pos"], history=False)
    classifier = load(tmp_path / "m.npz")
    classifier.parameters.W2[:] = 0
    classifier.parameters.b2[:] = 1
    save(classifier, tmp_path / "m.npz")
    (tmp_path / "a.tsv").write_text("text\tlabel\ngood\tpos\n")
    assert run("report", "m.npz", "a.tsv").code == 0
    text = " ".join(read(tmp_path / "report.html").words)
    assert "Training" not in text and "None." in text


def test_report_replaces_neither_model_nor_data(run, tmp_path):
    make(tmp_path, ["neg", "pos"])
    for name in ("m.npz", "d.jsonl"):
        before = (tmp_path / name).read_bytes()
        done = run("report", "m.npz", "d.jsonl", "-o", name)
        expected = f"mlcore: --output is {name}, which is the model or the data; expected another path.\n"
        assert (done.code, done.out, done.err) == (2, "", expected)
        assert (tmp_path / name).read_bytes() == before
    done = run("report", "m.npz", "d.jsonl", "-o", "no/r.html")
    assert (done.code, done.err) == (5, "mlcore: no/r.html: the folder no does not exist; check the path.\n")


def numbers_in(svg):
    return [float(value) for value in re.findall(r'(?:[xyr]|c[xy])="(-?[\d.]+)"', svg)]


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [None, 3.0, None], [0.0, 1e-9, 5e8], [-3.0, -2.0]])
def test_charts_stay_within_their_frame(values):
    svg = curves("<t>", "x", list(range(1, len(values) + 1)), [Series("&", values)], 0)
    assert "<t>" not in svg and "&amp;" in svg
    assert all(-1 <= number <= 460 for number in numbers_in(svg))
    points = [(value, 2 * value, 1) for value in values if value is not None]
    svg = dots("t", ("x", "y"), points, (-1e9, 1e9))
    assert svg.count("<circle") == len(points)
    assert all(-1 <= number <= 460 for number in numbers_in(svg))
