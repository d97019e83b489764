"""Labels of any kind through the command line: rare and unknown ones, odd letters, and several for a text."""

import json

import numpy as np
import pytest

from mlcore import SentimentClassifier

TEXTS = {"a": "apple ant", "b": "bear book", "a b": "apple book", "": "the of"}
TRAIN = ("--dim", 5, "--epochs", 15, "--learning-rate", 0.1)


def table(folder, form):
    """80 texts with none, one or two labels, in this form."""
    rows = [(f"{text} {i % 7}", labels.split()) for i in range(20) for labels, text in TEXTS.items()]
    path = folder / f"t.{form}"
    if form == "jsonl":
        path.write_text("\n".join(json.dumps({"text": text, "label": labels}) for text, labels in rows))
    else:
        path.write_text("text,label\n" + "".join(f'{text},"{";".join(labels)}"\n' for text, labels in rows))
    return path


@pytest.mark.parametrize(("form", "options"), [("jsonl", []), ("csv", ["--label-separator", ";"])])
def test_texts_have_several_labels(run, tmp_path, form, options):
    path = table(tmp_path, form)
    if options:
        assert json.loads(run("data", path, "--json").out)["notes"][-1].endswith("try --label-separator ';'.")
    done = run("train-sentiment", "--data", path, *TRAIN, *options, "--tune-thresholds", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["labels"], found["settings"]["multi_label"]) == (["a", "b"], True)
    assert found["dev"]["micro"]["f1"] == 1
    predicted = run("predict", "sentiment.safetensors", "apple ant", "apple book", "the of").out.splitlines()
    assert [line.split("\t")[0] for line in predicted] == ["a", "a,b", ""]
    assert run("predict", "sentiment.safetensors", path, "-o", "out.csv").code == 0
    header, first, *_ = (tmp_path / "out.csv").read_text().splitlines()
    assert (header.split(",")[-3:], first.split(",")[-3]) == (["predicted", "probability", "known"], "a")
    assert run("predict", "sentiment.safetensors", path, "-o", "out.jsonl").code == 0
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["predicted"] for line in lines[:4]] == [["a"], ["b"], ["a", "b"], []]
    found = json.loads(run("predict", "sentiment.safetensors", "apple book", "--json").out)
    assert (found["labels"], found["probability"] > 0.5) == (["a", "b"], True)
    assert "top is" in run("predict", "sentiment.safetensors", "apple", "--top", 2).err.replace("--top", "top")
    done = run("evaluate", "sentiment.safetensors", path)  # which remembers what separates labels
    assert done.out.startswith("The model was trained on ")
    assert "micro F1 100.00%" in " ".join(done.out.split())
    assert json.loads(run("evaluate", "sentiment.safetensors", path, *options, "--json").out)["trained_on"] > 0.8
    assert run("explain", "sentiment.safetensors", "apple book", "--output", "b").code == 0
    assert run("report", "sentiment.safetensors", path, *options).code == 0
    assert "Micro F1" in (tmp_path / "report.html").read_text()
    counts = json.loads(run("data", path, *options, "--json").out)["labels"]
    assert counts == {"(none)": 20, "a": 40, "b": 40}
    assert run("data", path, *options).out.count("50.0%") == 2  # of the texts
    assert "dJ/dW2" in run("grad", "--model", "sentiment.safetensors", "--text", "apple", "--label", "a,b").out


def test_weights_are_those_of_sample_weight(run, tmp_path):
    texts, labels = ["good film", "good plot", "bad film", "bad plot"] * 15, [1, 1, 0, 0] * 10 + [0, 0, 1, 1] * 5
    weights = [1.0] * 40 + [0.01] * 20
    rows = zip(texts, labels, weights, strict=True)
    path = tmp_path / "t.csv"
    lines = ["text;label;trust", *(f"{text};{label};{weight}".replace(".", ",") for text, label, weight in rows)]
    path.write_text("\n".join(lines))
    assert run("train-sentiment", path, *TRAIN, "--weight-column", "trust", "-m", "m").code == 0
    model = SentimentClassifier.load(tmp_path / "m")
    expected = SentimentClassifier(**model.get_params()).fit(texts, labels, sample_weight=weights)
    np.testing.assert_array_equal(model.predict_proba(texts), expected.predict_proba(texts))
    assert (model.predict(texts[:4]) == labels[:4]).all()


def test_labels_with_commas_are_told_apart(run, tmp_path):
    rows = [{"text": "apple ant", "label": ["a, b", "c"]}, {"text": "bear book", "label": ["c"]}] * 20
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert run("train-sentiment", "t.jsonl", *TRAIN, "-m", "m").code == 0
    assert run("predict", "m", "apple ant").out.startswith("a, b;c\t")
