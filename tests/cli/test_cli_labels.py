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


@pytest.mark.parametrize(("form", "options", "predicted"), [
    ("jsonl", [], '"predicted": ["a", "b"],'), ("csv", ["--label-separator", ";"], 'apple book 0,a;b,"a,b",'),
])  # fmt: skip
def test_texts_have_several_labels(run, tmp_path, form, options, predicted):
    path = table(tmp_path, form)
    if options:
        assert json.loads(run("data", path, "--json").out)["notes"][-1].endswith("try --label-separator ';'.")
    done = run("train-sentiment", "--data", path, *TRAIN, *options, "--tune-thresholds", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["labels"], found["settings"]["multi_label"]) == (["a", "b"], True)
    assert found["dev"]["micro"]["f1"] == 1
    out = run("predict", "sentiment.safetensors", "apple ant", "apple book", "the of").out.splitlines()
    assert [line.split("\t")[0] for line in out] == ["a", "a,b", ""]
    assert run("predict", "sentiment.safetensors", path, "-o", f"out.{form}").code == 0
    assert predicted in (tmp_path / f"out.{form}").read_text()
    assert "--top is" in run("predict", "sentiment.safetensors", "apple", "--top", 2).err
    done = run("evaluate", "sentiment.safetensors", path)  # which remembers what separates labels
    assert done.out.startswith("The model was trained on ")
    assert "micro F1 100.00%" in " ".join(done.out.split())
    assert json.loads(run("evaluate", "sentiment.safetensors", path, *options, "--json").out)["trained_on"] > 0.8
    counts = json.loads(run("data", path, *options, "--json").out)["labels"]
    assert counts == {"(none)": 20, "a": 40, "b": 40}
    assert run("data", path, *options).out.count("50.0%") == 2  # of the texts


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
