"""``mlcore evaluate`` and ``report``: tables that fit, documents that hold everything, and a page that is safe."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from naive import TWO, WORDS, random_model

from mlcore.sentiment.charts import Chart, round_numbers, span
from mlcore.sentiment.model import HISTORY
from mlcore.sentiment.model_file import save_model
from mlcore.sentiment.report import render

VOID = {"meta", "br", "circle", "path"}
EVIL = "<script>alert(1)</script> & \"good\" 'bad' \x1b[31m \u202e <img src=x onerror=y>"
KINDS = [TWO, ("a", "b", "c"), (), tuple(f"a label of some length {i}" for i in range(40)), ("好" * 30, "壞" * 30)]
MODEL = "m.safetensors"


def make(folder, labels, history=True, n=40):
    """A model and texts d.jsonl that it does not all get right; every label is there."""
    model = random_model(7, labels)
    model.parameters.b1[1] = 0.5
    if history:
        values = [(1, 0.7, 0.6, 0.5), (2, 0.4, None, None), (3, 0.3, 0.5, 0.75)]
        model.provenance.history = [dict(zip(HISTORY, (*v, 0.01, 0, v[0] == 3), strict=True)) for v in values]
    save_model(model, folder / MODEL)
    random, truths = np.random.default_rng(7), labels or ("1", "2", "5")
    rows = [{"text": " ".join(random.choice(WORDS, 5)), "label": truths[i % len(truths)]} for i in range(n)]
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return model


def columns(text):
    from mlcore.cli.render import width

    return max(map(width, text.splitlines()))


@pytest.mark.parametrize("labels", KINDS)
def test_tables_fit_and_json_holds_everything(run, tmp_path, labels):
    make(tmp_path, labels)
    done = run("evaluate", MODEL, "d.jsonl", "--errors", 3)
    assert (done.code, done.err) == (0, "")
    assert columns(done.out) <= 80
    assert "Worst mistakes" in done.out
    assert "…" not in done.out, "nothing was cut by the terminal"
    found = json.loads(run("evaluate", MODEL, "d.jsonl", "--errors", 3, "--json").out, parse_constant=pytest.fail)
    assert (found["schema"], found["n"], found["part"]) == ("mlcore.evaluate/1", 40, "all")
    assert [set(m) for m in found["mistakes"]] == [{"row", "place", "text", "truth", "predicted", "probability"}] * 3
    assert ("Most frequent confusions" in done.out) == (len(labels) > 30)
    if not labels:
        assert set(found) >= {"rmse", "mae", "r2", "pearson", "baseline", "loss"}
        assert f"root mean square error {found['rmse']:.4f} on 40 texts" in done.out
    else:
        assert [entry["label"] for entry in found["per_label"]] == found["labels"]
        assert set(found["macro"]) == {"precision", "recall", "f1", "support"}
        assert len(found["calibration"]) == 10
        assert found["accuracy_interval"][0] < found["accuracy"] < found["accuracy_interval"][1]
        assert f"accuracy {found['accuracy']:.2%}" in done.out
        assert (found["auc"] is None) == (len(labels) > 2)


def test_evaluate_takes_several_paths_and_the_options_of_the_data(run, start, tmp_path):
    make(tmp_path, TWO)
    for name in "ab":
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\tsplit\ngood\tpos\ttrain\nbad\tneg\ttest\n")
    assert run("evaluate", MODEL, "a.tsv").out.startswith("a.tsv, test split: accuracy ")
    found = json.loads(run("evaluate", MODEL, "a.tsv", "b.tsv", "--json").out)
    assert (found["n"], found["part"]) == (2, "test")
    (tmp_path / "odd").write_text("words\tverdict\ngood\tpos\n")
    options = ["--format", "tsv", "--text-column", "words", "--label-column", "verdict", "--json"]
    expected = run("evaluate", MODEL, "odd", *options).out
    assert json.loads(expected)["n"] == 1
    assert start("evaluate", MODEL, "-", *options).communicate((tmp_path / "odd").read_text()) == (expected, "")


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_labels_that_the_model_does_not_know(run, tmp_path, command):
    make(tmp_path, TWO)
    (tmp_path / "a.tsv").write_text("text\tlabel\ngood\tpos\nbad\tsad\n")
    done = run(command, MODEL, "a.tsv")
    assert (done.code, done.out) == (3, "")
    assert "a.tsv, line 3: the label is 'sad'; expected 'neg' or 'pos'" in done.err
    assert not (tmp_path / "report.html").exists()


def test_mistakes_cannot_move_the_cursor(run, tmp_path):
    make(tmp_path, TWO)
    text = "\x1b[2J\u009b " + "good " * 30 + "\x1b[2J\r\n\ttail"
    (tmp_path / "e.jsonl").write_text("\n".join(json.dumps({"text": text, "label": label}) for label in TWO))
    out = run("evaluate", MODEL, "e.jsonl", "--errors", 5).out
    assert not re.search("[\x1b\u009b]", out)
    assert len(out.partition("Worst mistakes\n")[2].splitlines()) == 2
    assert columns(out) <= 80


class Page(HTMLParser):
    """Checks that tags are closed in order, and notes what could load or run something."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.content = path.read_text()
        self.feed(self.content)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("labels", KINDS)
def test_report_is_one_page_that_loads_nothing(run, tmp_path, labels):
    make(tmp_path, labels)
    assert run("report", MODEL, "d.jsonl", "-o", "r.html", "--errors", 4) == (0, "", "Wrote r.html.\n")
    page = Page(tmp_path / "r.html")
    assert {"script", "link", "img", "iframe", "object", "base", "form"}.isdisjoint(page.tags)
    assert not any(name in ("src", "href") or name.startswith("on") for name, _ in page.attributes)
    assert not re.search(r"url\(|@import|https?:", page.content)
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    assert ("content", policy) in page.attributes
    for part in ("Training", "Strongest words", "Worst mistakes", "E = 1/N", "prefers-color-scheme", "kept, 3."):
        assert part in page.text, part
    assert (page.tags.count("article"), page.tags.count("svg")) == (4, 3)
    assert not re.search(r"\bnan\b|\binf\b|None|Undefined", page.text)
    places = [float(value) for name, value in page.attributes if name in ("x", "y", "cx", "cy")]
    assert all(-1 <= place <= 460 for place in places)
    run("report", MODEL, "d.jsonl", "-o", "again.html", "--errors", 4)
    assert (tmp_path / "again.html").read_text() == page.content
    assert run("report", MODEL, "d.jsonl", "-o", "-").out.isascii()


def test_report_escapes_what_comes_from_files(run, tmp_path):
    labels = "neg", "<b>pos</b>"
    make(tmp_path, labels)
    rows = [{"text": EVIL + text, "label": label} for label in labels for text in ("", "a" * 40_000)]
    (tmp_path / "<i>e&.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("report", MODEL, "<i>e&.jsonl").code == 0
    page = Page(tmp_path / "report.html")
    assert {"script", "img", "i"}.isdisjoint(page.tags)
    assert "<b>pos" not in page.content
    assert "&lt;i&gt;e&amp;.jsonl" in page.content
    assert "the beginning of a long text" in page.content
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", page.content)


def test_report_without_history_or_mistakes(run, tmp_path):
    model = make(tmp_path, TWO, history=False)
    model.parameters.W2[:], model.parameters.b2[:] = 0, 1
    save_model(model, tmp_path / MODEL)
    (tmp_path / "a.tsv").write_text("text\tlabel\ngood\tpos\n")
    assert run("report", MODEL, "a.tsv").code == 0
    text = Page(tmp_path / "report.html").text
    assert "Training" not in text
    assert "None." in text


def test_report_replaces_neither_model_nor_data(run, tmp_path):
    make(tmp_path, TWO)
    for name in (MODEL, "d.jsonl"):
        before = (tmp_path / name).read_bytes()
        done = run("report", MODEL, "d.jsonl", "-o", name)
        assert (done.code, done.out) == (2, "")
        assert "would overwrite an input" in done.err
        assert (tmp_path / name).read_bytes() == before
    assert run("report", MODEL, "d.jsonl", "-o", "no/r.html").code == 5


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [0.0, 1e-9, 5e8], [-3.0, -2.0]])
def test_charts_stay_within_their_frame(values):
    points = [(x, y, 2.5) for x, y in enumerate(values)]
    chart = Chart("<t>", "x", "", {"&": points}, span(range(len(values))), span(values), True)
    assert all(56 <= chart.x(x) <= 444 and 16 <= chart.y(y) <= 256 for x, y, _ in points)
    assert all(56 <= chart.x(x) <= 444 for x in chart.x_ticks())
    assert all(16 <= chart.y(y) <= 256 for y in chart.y_ticks())
    assert 1 <= len(round_numbers(*span(values))) <= 6


def test_templates_make_text_visible_and_complain_about_what_is_missing():
    from jinja2 import UndefinedError

    assert "a &lt;b&gt;\ufffd" in render("explanation.html", title="a\n <b>\u202e", explanations=[], number=1)
    with pytest.raises(UndefinedError):
        render("explanation.html", title="a")
