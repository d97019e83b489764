"""What notebooks show of classifiers, cell by cell: as much as the command line, and as text whatever names hold."""

import json
import sys
from contextlib import contextmanager
from xml.etree import ElementTree

import numpy as np
import pytest

from mlcore import InputError, SentimentClassifier
from mlcore.sentiment import estimator
from mlcore.sentiment.comparison import Experiment
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import dataset_of

EVIL = "<script>alert(1)</script>&\"'"
CELLS = """
model = SentimentClassifier(dim=8, epochs=3, dev=0.2, verbose=1)
model

model.fit(texts, labels)

model.explain(texts[0], "neg")

found = model.evaluate(texts + ["Good."], labels + ["odd"], errors=2)
found

found.evaluation

SentimentClassifier(dim=4, epochs=2, ngrams=1, dev=0).fit(texts, sets).evaluate(texts, sets)

SentimentClassifier(dim=4, epochs=2, ngrams=1, dev=0, loss="squared").fit(texts, ratings).evaluate(texts, ratings)

experiment = Experiment(dataset_of(texts, labels), Settings(ngrams=1, dim=4, hidden=2, epochs=2), 1)
experiment.compare(list(experiment.run()))
""".strip()
SHOWN = [  # of each result
    [("pre", "SentimentClassifier(dim=8, epochs=3, dev=0.2, verbose=1)")],
    [("figcaption", "Loss of each epoch"), ("td", f"{EVIL}, neg"), ("td", " n-grams of characters")],
    [("b", "; explained: neg ("), ("span", "A"), ("span", "FINE"), ("td", "constant")],
    [
        ("b", "The model was trained on"),
        ("p", "1 text has a label that the training texts lack ('odd')"),
        ("th", "neg"),
    ],
    [("th", EVIL), ("td", "mean")],
    [("p", "Micro F1"), ("td", "all (micro)")],
    [("p", "Root mean square error"), ("td", "Correlation")],
    [("td", "trainable, naive Bayes")],
]
TAGS = {"div", "style", "pre", "p", "b", "span", "table", "tr", "th", "td", "figure", "figcaption", "code",
        "svg", "title", "path", "text", "circle"}  # fmt: skip


@pytest.fixture
def texts():
    return [f"A FINE, warm film {EVIL}", "A bad film", "good fun", "bad plot"] * 15


def test_a_notebook_shows_results_as_text_whatever_they_hold(texts, monkeypatch, capsys):
    names = {"SentimentClassifier": SentimentClassifier, "Experiment": Experiment, "Settings": Settings}
    labels, ratings = [EVIL, "neg"] * 30, [4.0, 1.0, 3.5, 2.0] * 15
    names |= {"dataset_of": dataset_of, "texts": texts, "labels": labels, "ratings": ratings}
    names["sets"] = [[1, 0], [1, 1], [0, 1], [0, 0]] * 15
    results = []
    monkeypatch.setattr(sys, "displayhook", lambda result: results.append(result._repr_html_()))
    for cell in CELLS.split("\n\n"):
        for line in cell.splitlines():  # as notebooks, show the value of an expression
            exec(compile(line, "cell", "single"), names)
    assert len(results) == len(SHOWN)
    for content, expected in zip(results, SHOWN, strict=True):
        root = ElementTree.fromstring(content)
        assert {element.tag for element in root.iter()} <= TAGS
        for tag, part in expected:
            assert any(part in "".join(element.itertext()) for element in root.iter(tag)), (tag, part, content)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["epoch", "1", "2", "3"], "only where verbose asks for it"
    assert len({*map(len, (line.removesuffix("  best") for line in printed))}) == 1


def test_python_says_what_the_command_line_says(run, tmp_path):
    texts, labels = ["Good film", "bad film", "Fine plot", "bad plot"] * 10, [2, 1, 2, 1] * 10
    model = SentimentClassifier(dim=4, epochs=3, ngrams=1).fit(texts, labels)
    model.save(tmp_path / "m.safetensors")
    asked, options = ["good x film", "bad", "new"], {"top": 1, "threshold": 0.6, "otherwise": "?"}
    words = [part for name, value in options.items() for part in (f"--{name}", value)]
    printed = [json.loads(line) for line in run("predict", "m.safetensors", *asked, "--json", *words).out.splitlines()]
    found = model.answer(asked, **options)
    assert [{"schema": "mlcore.predict/1", **one, "undecodable": False} for one in found] == printed
    assert [one["known"] for one in found] == [2 / 3, 1, 0]
    with pytest.raises(InputError, match="otherwise is None; expected a text"):
        model.answer(asked, threshold=0.6, otherwise=None)
    (tmp_path / "d.jsonl").write_text(
        "".join(json.dumps({"text": t, "label": n}) + "\n" for t, n in zip(texts, labels, strict=True))
    )
    printed = json.loads(run("evaluate", "m.safetensors", "d.jsonl", "--errors", 2, "--json").out)
    found = model.evaluate(texts, np.array(labels), errors=2).to_dict()
    for one in (printed, found):
        del one["notes"]
        one["mistakes"] = [mistake | {"place": ""} for mistake in one["mistakes"]]
    assert found | {"schema": "mlcore.evaluate/1"} == printed
    assert found["accuracy"] == model.score(texts, labels)
    expected = json.loads(run("explain", "m.safetensors", "good film", "--output", "1", "--json").out)
    assert [model.explain("good film", 1).to_dict()] == expected["explanations"]


def test_compiling_is_said_once(monkeypatch, capsys):
    @contextmanager
    def watch(started):
        started("fold")
        started("affine")
        yield

    monkeypatch.setattr(estimator, "watch_compilation", watch)
    SentimentClassifier(dim=2, epochs=1, dev=0, verbose=True).fit(["good", "bad"] * 5, [[1, 0], [1, 1]] * 5)
    printed = capsys.readouterr().out
    assert "held-out loss  micro F1  seconds" in printed
    assert printed.count("Compiling kernels, once: later runs load them from the cache.\n") == 1
