"""``mlcore explain``, ``describe``, ``neighbors``, ``vectors``, ``grad --model``: what they print, write and refuse."""

import gzip
import hashlib
import json
import os
import shlex

import numpy as np
import pytest

from mlcore.sentiment.model import Provenance
from mlcore.sentiment.model_file import load_model, save_model
from mlcore.text.vectors import read_vectors

QUICK = ("--char-ngrams", "none", "--dim", 3, "--hidden", 4, "--epochs", 3, "--learning-rate", 0.2)


@pytest.fixture
def many(train_once, tmp_path):
    """A model of three labels, with pairs of words as features."""
    path = tmp_path / "many.tsv"
    texts = [("good", "a good film"), ("bad", "not a good film"), ("so-so", "a so so film, it is")]
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in texts * 8))
    return train_once("many", "--data", path.name, *QUICK, "--ngrams", 2)


@pytest.fixture
def rating(train_once, tmp_path):
    """A model that predicts a number."""
    path = tmp_path / "ratings.csv"
    path.write_text("label,text\n" + "5,good film\n1,bad film\n3.5,a film\n" * 8)
    return train_once("rating", "--data", path.name, *QUICK, "--loss", "squared", "--ngrams", 1, "--no-binary")


def test_neighbors_where_no_word_occurs_twice(run, tmp_path):
    """All words are kept then; where a setting dropped them, only n-grams of characters are left, as "s>"."""
    (tmp_path / "a.csv").write_text("text,label\ngoods,pos\nbads,neg\n")
    for options, shown in (([], " bads "), (["--min-count", 2], "No other word is in the model's vocabulary.")):
        train = "train-sentiment", "--data", "a.csv", "--dev", 0, "--epochs", 1
        assert run(*train, *options).code == 0
        assert shown in run("neighbors", "sentiment.safetensors", "goods").out


def test_a_rating_is_explained_that_is_predicted(run, rating):
    """It is within the range of the training, also where the sum that is explained is not."""
    model = load_model(rating)
    model.parameters.b2[:] += 9
    save_model(model, rating)
    (found,) = json.loads(run("explain", rating, "good film", "--json").out)["explanations"]
    predicted = json.loads(run("predict", rating, "good film", "--json").out)["rating"]
    assert found["logit"] > found["rating"] == predicted == 5
    assert "→ rating 5\n" in run("explain", rating, "good film").out


def test_explain_in_colour_and_as_a_page(run, start, model, tmp_path):
    out, _ = start("explain", model, "good bad", env=os.environ | {"FORCE_COLOR": "1"}).communicate()
    assert "\x1b[32mgood+++\x1b[0m" in out
    done = run("explain", model, "good <i>&lt;script&gt;</i> bad", "--html", "page.html")
    assert done == (0, "", "Wrote page.html.\n")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert ">script</span>" in page


def test_describe(run, model, many, rating):
    found, loaded = json.loads(run("describe", model, "--json").out), load_model(model)
    assert found["shapes"] == {"table": [11, 3], "W1": [2, 3], "b1": [2], "W2": [1, 2], "b2": [1]}
    assert found["history"][found["best"]["epoch"] - 1] == found["best"]
    names = loaded.features.names
    assert found["vocabulary"] == [{"name": "words", "words": 1, "features": 11, "most_frequent": names}]
    digest = f"sha256 {hashlib.sha256(model.read_bytes()).hexdigest()}"
    parts = {model: [digest, "y = 1 for pos"], many: ["P = exp(ŷ)"], rating: ["mean over N features", "no labels"]}
    for path, expected in parts.items():
        shown = " ".join(run("describe", path).out.split())
        assert [part for part in expected if part not in shown] == []
    loaded.provenance = Provenance()
    save_model(loaded, model)
    assert "epochs: not recorded" in run("describe", model).out


@pytest.mark.parametrize("kind", ["model", "many", "rating"])
def test_the_command_that_describe_prints_trains_the_same_model(run, kind, request, tmp_path):
    path = request.getfixturevalue(kind)
    name, *arguments, _ = shlex.split(json.loads(run("describe", path, "--json").out)["command"])
    assert (name, arguments[-1]) == ("mlcore", "--model")
    assert run(*arguments, "again").code == 0
    for one, other in zip(load_model(tmp_path / "again").parameters, load_model(path).parameters, strict=True):
        assert one.tobytes() == other.tobytes()


def test_vectors_are_those_of_the_model(run, model, many):
    done = run("vectors", model, "-o", "out.vec")
    assert (done.code, done.out, done.err) == (0, "", "Wrote out.vec.\n")
    content, loaded = model.with_name("out.vec").read_bytes(), load_model(model)
    found = read_vectors(model.with_name("out.vec"), loaded.features.words, 3)
    assert found.table.tobytes() == np.ascontiguousarray(loaded.parameters.table[:, :3]).tobytes()
    assert run("vectors", model, "-o", "-") == (0, content.decode(), "")
    assert run("vectors", many, "-o", "many.vec").err.endswith("n-grams: the format has only words.\n")
    model.with_name("out.vec.gz").write_bytes(gzip.compress(content))
    options = "--vectors", "out.vec.gz", "--epochs", 1, "--seeds", 1, "--json"
    found = json.loads(run("compare-embeddings", "--data", model.with_name("reviews.tsv"), *options).out)
    assert (found["vectors"]["words_found"], found["settings"]["dim"]) == (11, 3)
