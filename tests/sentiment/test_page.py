"""``mlcore page``: JavaScript that reads, predicts and explains as Python does, in a page that keeps everything."""

import csv
import json
import random
import re

import numpy as np
import pytest
from conftest import axe_findings, run_in_node
from naive import FILES, KINDS, TWO, WORDS, random_model
from test_report import EVIL

from mlcore.sentiment import export as pages
from mlcore.sentiment.backpropagation import forward
from mlcore.sentiment.explanation import explain
from mlcore.sentiment.prediction import predict
from mlcore.sentiment.report import explanation_page, report_page
from mlcore.text.characters import ranges
from mlcore.text.dataset import dataset_of
from mlcore.text.ngrams import Features
from mlcore.text.tokenizer import tokens
from mlcore.text.vocabulary import WordTable

MARKUP = [
    "<br />", "</b>", "<É>", "<", ">", "a < b", "&amp;", "&AMP", "&notit;", "&eacute;", "&#65;", "&#x80;", "&#0065;",
    "&#1;", "&#xd800;", "&#xFFFE;", "&#99999999;", "&", "&lt;b&gt;", "\u200d", "\ufe0f", "\u20e3", "\u0301", "\u0307",
    "\u2019", "İ", "ß", "ﬁ", "😀", "👩‍👩‍👧", "👍🏽", "🇩🇪", "1️⃣", "#", "'",
    "α\u0345\u0301", "\x00", "\u00a0", "\r", "\n", " ", " ", ".",
]  # fmt: skip
PREDICT = """(texts) => texts.map((text) => {
  const tokens = classifier.tokenizer.tokens(text);
  const { logits } = classifier.forward(classifier.occurrences(tokens));
  return { tokens, logits, ...classifier.predict(tokens) };
})"""
EXPLAIN = """(texts) => texts.map((text) => {
  const tokens = classifier.tokenizer.tokens(text);
  const found = classifier.explain(tokens, Math.max(classifier.predict(tokens).chosen[0] ?? 0, 0));
  const changes = found.features.map(({ name }) => !name.includes(" ") && found.change(name));
  return { ...found, changes, counts: found.features.map(({ places }) => places.size) };
})"""


def texts(n):
    """Words, markup, and characters of every kind and script."""
    choose, kinds = random.Random(5), ranges()

    def part():
        one = choose.choice(kinds)
        letter = chr(choose.randint(one.first, one.last))
        return choose.choice([choose.choice(WORDS), choose.choice(MARKUP), letter, f"{letter} ", " "])

    return ["".join(part() for _ in range(choose.randrange(25))) for _ in range(n)]


def in_node(function, model, given):
    data = json.loads(re.search('id="data">(.*)</script>', pages.classifier_page(model, "m"))[1])
    made = f"([model, texts]) => {{ globalThis.classifier = new Classifier(model); return ({function})(texts); }}"
    return run_in_node(("text", "layers", "classifier"), made, [data, given])


def compare(model, given, found):
    expected = predict(model, given)
    exact = forward(model, model.features.documents(given)).logits
    np.testing.assert_allclose([one["logits"] for one in found], exact, rtol=1e-12, atol=1e-12)
    for i, one in enumerate(found):
        assert one["tokens"] == tokens(given[i]), ascii(given[i])
        assert (one["known"], one["all"]) == (expected.known[i], expected.words[i])
        if not model.labels:
            assert one["rating"] == pytest.approx(expected.outputs[i, 0], rel=1e-6)
            continue
        assert one["probabilities"] == pytest.approx(expected.probabilities[i], abs=1e-6)
        assert one["confidence"] == pytest.approx(expected.confidence[i], abs=1e-6)
        chosen = np.flatnonzero(expected.chosen[i]).tolist() if expected.chosen.ndim > 1 else [expected.chosen[i]]
        assert one["chosen"] == chosen


@pytest.mark.parametrize("kind", KINDS)
def test_node_predicts_and_explains_as_python_does(kind):
    model, given = KINDS[kind](), texts(200)
    compare(model, given, in_node(PREDICT, model, given))
    given = [text for text in given if tokens(text)][:60]
    for text, found in zip(given, in_node(EXPLAIN, model, given), strict=True):
        label = found["output"]
        expected = explain(model, text, label)
        assert (label, found["against"]) == (expected.output, expected.against)
        words = [word.contribution for word in expected.words]
        numbers = [found["logit"], found["constant"], *found["words"]]
        assert numbers == pytest.approx([expected.logit, expected.constant, *words], rel=1e-9, abs=1e-9)
        columns = zip(found["features"], found["counts"], found["changes"], strict=True)
        shares = {one["name"]: [n, one["contribution"], change or 0] for one, n, change in columns}
        assert shares.keys() == {share.feature for share in expected.features}
        for share in expected.features:
            numbers = [share.count, share.contribution, share.without or 0]
            assert shares[share.feature] == pytest.approx(numbers, rel=1e-9, abs=1e-9)


def test_chromium_predicts_as_python_does_and_keeps_16_bits(visit, tmp_path):
    model, given = FILES["halved"](), texts(3000)
    (tmp_path / "demo.html").write_text(pages.classifier_page(model, "m"), "utf-8")
    page = visit(tmp_path / "demo.html")
    found = page.evaluate(f"(texts) => {{ const {{ classifier }} = page; return ({PREDICT})(texts); }}", given)
    compare(model, given, found)


def test_a_page_is_built_opened_typed_into_and_read_by_keyboard(run, visit, model, tmp_path):
    assert run("page", model, "-o", "demo.html") == (0, "", "Wrote demo.html.\n")
    page, text = visit(tmp_path / "demo.html", 390), "A GOOD, dull film&#33; goood"
    page.keyboard.press("Tab")
    page.keyboard.type(text)
    label, probability, _ = run("predict", model, text).out.split("\t")
    assert page.inner_text("#prediction") == f"{label} {float(probability):.2%}"
    assert page.inner_text("#words") == "A GOOD, dull film ! goood", "as it was written"
    assert page.inner_text("#unknown") == "goood; nearest known: good"
    expected = json.loads(run("explain", model, text, "--json").out)["explanations"][0]
    *shares, constant, total = (row.locator("td").all_inner_texts() for row in page.locator("#features tr").all())
    numbers = [float(row[2].replace("\u2212", "-")) for row in (*shares, constant, total)]
    assert numbers[-2:] == pytest.approx([expected["constant"], expected["logit"]], abs=1e-4)
    assert sum(numbers[:-1]) == pytest.approx(numbers[-1], abs=1e-3)
    assert [row[0] for row in shares] == [one["feature"] for one in expected["features"]]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.keyboard.press("Enter")
    page.keyboard.type("bad plot\n\n=SUM(1)")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.inner_text("#prediction") == "3 rows predicted"
    with page.expect_download() as saved:
        page.focus("#download")
        page.keyboard.press("Enter")
    assert saved.value.path().read_text("utf-8-sig").splitlines()[-1].startswith("'=SUM(1),")


def test_a_page_says_by_what_unknown_words_are_read(visit, tmp_path):
    (tmp_path / "demo.html").write_text(pages.classifier_page(KINDS["three"](), "m"), "utf-8")
    page = visit(tmp_path / "demo.html")
    said = {"good XYZ": "1 of 2 words known.", "goodish": "0 of 1 words known; read by their characters.",
            "XYZ": "0 of 1 words known: the prediction is the default, the same for all such texts."}  # fmt: skip
    for text, known in said.items():
        page.fill("#text", text)
        assert page.inner_text("#known") == known
        assert page.is_visible("#legend") == (text == "good XYZ"), "only where ^ is shown"


def test_a_table_is_predicted_as_on_the_command_line(run, visit, model, tmp_path):
    table = 'id;Review\n1;"good; ""warm"" film\nin two lines"\n2;bad plot\n3;\n4;schön\n'
    (tmp_path / "in.csv").write_bytes(table.encode("cp1252"))
    run("page", model, "-o", "demo.html")
    page = visit(tmp_path / "demo.html")
    page.set_input_files("#file", tmp_path / "in.csv")
    page.wait_for_selector("#file-note:has-text('rows')")  # a page reads files while it does other things
    assert page.inner_text("#file-choices p") == "in.csv: 5 rows. It is not UTF-8 and was read as Windows-1252."
    with page.expect_download() as saved:
        page.click("#download")
    assert run("predict", model, "in.csv", "-o", "out.csv", "--encoding", "cp1252").code == 0
    with open(saved.value.path(), encoding="utf-8-sig", newline="") as file:
        header, *found = csv.reader(file)
    with open(tmp_path / "out.csv", encoding="utf-8-sig", newline="") as file:
        names, *expected = csv.reader(file, delimiter=";")  # as in the table that was read
    assert header == names
    for row, other in zip(found, expected, strict=True):
        assert row[:3] == other[:3]
        assert list(map(float, row[3:])) == pytest.approx(list(map(float, other[3:])), abs=1e-4)
    page.select_option("#column", "0")
    assert page.locator("#rows tr").count() == 4


def test_hostile_names_are_text_and_nothing_else_may_run_or_leave(visit, tmp_path):
    """Words and labels are markup, quotes and marks that reverse what follows."""
    words = WordTable.from_lines(np.frombuffer(b"</script><script>alert(1)</script>\n<!--\n'\"\n", np.uint8))
    model, path = random_model(7, (EVIL, "</script><script>alert(2)</script>", "b\u202e")), tmp_path / "demo.html"
    model.features = Features(words, np.zeros(0, np.int64), 1, True)
    model.parameters = model.parameters._replace(table=model.parameters.table[:3])
    path.write_text(pages.classifier_page(model, "</title><script>alert(3)</script>"), "utf-8")
    page = visit(path)
    page.fill("#text", EVIL)
    assert EVIL.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd") in page.inner_text("#one")
    assert page.locator("script").count() == 2
    page.evaluate("""() => {
      const script = document.createElement('script');
      script.textContent = 'window.ran = 1';
      document.body.append(script);
      document.body.insertAdjacentHTML('beforeend', '<button onclick="window.ran = 2">');
      document.body.lastChild.click();
    }""")
    assert page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'stopped')") == "stopped"
    assert page.evaluate("window.ran") is None


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Pages in files: a classifier, its explanation, and a report with a large matrix."""
    folder, explained = tmp_path_factory.mktemp("pages"), explain(KINDS["three"](), "good bad film " * 9 + "unknown")
    labels = tuple(f"label {i}" for i in range(10))
    dataset = dataset_of(["good", "bad film"] * 10, labels * 2)
    pages_of = {
        "demo": pages.classifier_page(KINDS["three"](), "m"), "explained": explanation_page([explained], 15),
        "report": report_page(random_model(1, labels), "m", dataset, 2),
    }  # fmt: skip
    for name, content in pages_of.items():
        (folder / name).with_suffix(".html").write_text(content, "utf-8")
    return sorted(folder.iterdir())


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1400, "dark")])
def test_pages_fit_and_have_no_serious_findings(visit, shown, width, scheme):
    for path in shown:
        page = visit(path, width, scheme)
        if path.stem == "demo":
            page.fill("#text", "good bad film " * 9 + "unknown")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert axe_findings(page) == []
        cut = "(tables) => tables.filter((table) => table.clientWidth < table.scrollWidth).length"
        assert page.locator(".wide").evaluate_all(cut) == (path.stem == "report" and width < 500), "a matrix scrolls"


def test_pages_that_would_be_too_large_are_refused(run, model, tmp_path, monkeypatch):
    done = run("page", model, "-o", "new.html", "--max-size", "1KB")
    found = re.match("mlcore: --max-size is 1000; expected at least ([0-9,]+) bytes, which the page takes", done.err)
    least = int(found[1].replace(",", ""))
    assert (done.code, run("page", model, "-o", "new.html", "--max-size", least - 1).code) == (2, 2)
    assert not (tmp_path / "new.html").exists()
    assert run("page", model, "-o", "new.html", "--max-size", least).code == 0
    assert (tmp_path / "new.html").stat().st_size == least
    (tmp_path / "new.html").unlink()
    monkeypatch.setattr(pages, "MAX_PAGE", 10)
    done = run("page", model, "-o", "new.html")
    assert (done.code, "try --max-size 10" in done.err, (tmp_path / "new.html").exists()) == (3, True, False)


def test_a_model_that_is_too_large_is_compressed_until_the_page_fits():
    model = random_model(1, TWO, ngrams=2)
    whole = len(pages.classifier_page(model, "m").encode())
    for size in (whole, whole - 1, whole - 700):
        assert len(pages.classifier_page(model, "m", size).encode()) <= size
