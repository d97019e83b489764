"""``mlcore report`` and ``explain --html``: pages that are whole and safe; and tables of ``evaluate`` that fit."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from jinja2 import UndefinedError
from mlcore.cli.evaluation import show_strongest_words
from mlcore.cli.render import width
from naive import TWO, random_model, save_with_texts

from mlcore.sentiment.explanation import explain
from mlcore.sentiment.model import HISTORY
from mlcore.sentiment.report import explanation_page, report_page
from mlcore.templates import fill
from mlcore.text.dataset import dataset_of

VOID = {"meta", "br", "circle", "path"}
EVIL = "<script>alert(1)</script> & \"good\" 'bad' \x1b[31m \u202e <img src=x onerror=y>"
KINDS = [TWO, ("a", "b", "c"), (), tuple(f"a label of some length {i}" for i in range(40)), ("好" * 30, "壞" * 30)]
MODEL = "m.safetensors"


def make(folder, labels):
    """A model with a history, and texts d.jsonl."""
    model, values = random_model(7, labels), [(1, 0.7, 0.6, 0.5), (2, 0.4, None, None), (3, 0.3, 0.5, 0.75)]
    model.provenance.history = [dict(zip(HISTORY, (*v, None, 0.01, 0, v[0] == 3), strict=True)) for v in values]
    save_with_texts(model, folder / MODEL, folder / "d.jsonl", np.random.default_rng(7))


class Page(HTMLParser):
    """A page whose tags are closed in order, and that can neither load nor run anything."""

    def __init__(self, content):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(content)
        assert self.open == []
        names = {tag for tag, _ in self.tags}
        assert names.isdisjoint({"script", "link", "img", "iframe", "object", "base", "form", "i"})
        assert not any(key in ("src", "href") or key.startswith("on") for _, found in self.tags for key in found)
        assert not re.search(r"url\(|@import|https?:|[\x00-\x09\x0b-\x1f\u202e\ud800-\udfff]", content)
        assert not re.search(r"\bnan\b|\binf\b|None|Undefined", self.text)
        policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        assert ("meta", {"http-equiv": "Content-Security-Policy", "content": policy}) in self.tags

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("labels", KINDS)
def test_a_report_is_one_page_that_loads_nothing(run, tmp_path, labels):
    make(tmp_path, labels)
    assert run("report", MODEL, "d.jsonl", "-o", "r.html", "--errors", 4) == (0, "", "Wrote r.html.\n")
    content = (tmp_path / "r.html").read_text()
    page = Page(content)
    for part in ("Training", "Strongest words", "Worst mistakes", "E = 1/N", "prefers-color-scheme", "kept, 3."):
        assert part in page.text, part
    charts = 3 if labels else 2
    assert [sum(tag == name for tag, _ in page.tags) for name in ("article", "svg")] == [4, charts]
    if labels:
        assert "Accuracy of each epoch (the axis begins at 0.5, not at 0)" in page.text
    places = [float(found[key]) for _, found in page.tags for key in ("x", "y", "cx", "cy") if key in found]
    assert all(-1 <= place <= 460 for place in places)
    assert run("report", MODEL, "d.jsonl", "-o", "-", "--errors", 4).out == content
    out = run("evaluate", MODEL, "d.jsonl", "--errors", 3).out
    assert (max(map(width, out.splitlines())) <= 80, "…" in out) == (True, False), "nothing was cut by the terminal"


def test_what_comes_from_files_is_escaped(run, tmp_path):
    labels = "neg", "<b>pos</b>"
    make(tmp_path, labels)
    rows = [{"text": EVIL + text, "label": label} for label in (*labels, "sad") for text in ("", "a" * 40_000)]
    (tmp_path / "<i>e&.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("report", MODEL, "<i>e&.jsonl").code == 0
    content = (tmp_path / "report.html").read_text()
    assert "<b>pos" not in content
    text = Page(content).text
    assert "<i>e&.jsonl" in text
    assert "2 texts have labels that the training texts lack ('sad'); each counts as wrong." in text
    assert "the beginning of a long text" in content
    out = run("evaluate", MODEL, "<i>e&.jsonl", "--errors", 5).out
    assert not re.search("[\x1b\u009b\u202e]", out), "mistakes cannot move the cursor"
    assert max(map(width, out.splitlines())) <= 80
    assert len(out.partition("Worst mistakes\n")[2].splitlines()) == 2 * 4


def test_a_report_without_history_or_mistakes():
    model = random_model(7)
    model.parameters.W2[:], model.parameters.b2[:] = 0, 1
    text = report_page(model, "m", dataset_of(["good"], ["pos"]), 1)
    assert ("<h2>Training" in text, "None." in text) == (False, True)


def test_labels_without_strong_words_are_not_listed(capsys):
    model = random_model(7, ("one", "two", "three"))
    model.parameters.W2[:], model.parameters.b2[:] = 0, (0, 1, 0)
    for text, listed in (("good", ["two"]), ("?", [])):
        page = Page(report_page(model, "m", dataset_of([text] * 2, ["one", "two"]), 1)).text
        rows = page.partition("best other label.")[2].partition("Worst mistakes")[0]
        assert [label for label in model.labels if label in rows] == listed
        assert ("No word occurs often enough." in rows) == (not listed)
    show_strongest_words({"one": {}, "two": {"good": 1.0}, "three": {}}, model.labels)
    assert re.findall("one|two|three", capsys.readouterr().out) == ["two"]


def test_explained_words_are_coloured_by_their_contribution():
    text = "NOT (Good),\u2003zzz goods <i onclick=x> \x1b[1m \u202e; Bad! &lt;"
    explanation = explain(random_model(1, tuple("abc"), 2, characters="2-4"), text)
    words = explanation.words
    page = Page(explanation_page([explanation, explain(random_model(1), "")], 2))
    default = "0 of 0 words known: the prediction is the default"
    for part in (text.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd"), default, "more)", "constant"):
        assert part in page.text, "as it was written"
    spans = [found for tag, found in page.tags if tag == "span" and "title" in found]
    strengths = [abs(word.contribution) for word in words]
    shares = [float(found["style"].removeprefix("--share:")) if "style" in found else 0 for found in spans]
    assert shares == pytest.approx([strength / max(strengths) for strength in strengths], abs=1e-3)
    signs = [(word.contribution > 0) * "for" + (word.contribution < 0) * "against" for word in words]
    unknown = ["" if word.known else " unknown" for word in words]
    assert [found["class"] for found in spans] == [a + b for a, b in zip(signs, unknown, strict=True)]
    assert {"for", "against", " unknown"} <= {found["class"] for found in spans}
    signs = ["^ is the beginning of the text" in Page(explanation_page([explanation], n)).text for n in (1, 99)]
    assert signs == [False, True], "what is shown is explained"
    assert {"for unknown", "against unknown"} & {found["class"] for found in spans}
    with pytest.raises(UndefinedError):
        fill("explanation.html", title="a")
