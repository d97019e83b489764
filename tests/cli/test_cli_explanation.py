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


def test_explain_shows_the_marked_text_the_features_and_the_sum(run, model, many, rating):
    done = run("explain", model, "A good, dull film. (zzz)", "--output", "pos")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(("pos (", "neg ("))
    assert lines[2].startswith("a")
    for part in ("good+", "dull−", "[(] [zzz] [)]", "one to three by strength", "6 of 9 words known", "feature",
                 "contribution", "without it", "constant", "= logit", " → "):  # fmt: skip
        assert part in done.out, part
    assert max(map(len, lines)) <= 80
    assert "(5 more)" in run("explain", model, "a good, warm, dull film.", "--number", 2).out
    assert "is a file, but its name is explained as a text" in run("explain", model, model.name).err
    assert "; explained: so-so (" in run("explain", many, "a good film", "--output", "so-so").out
    assert "= predicted number +" in run("explain", rating, "good film").out
    done = run("explain", model, "zzz")
    assert "No known words: the prediction is the default" in done.out
    assert "contributions +0.0000" in done.out


@pytest.mark.parametrize("kind", ["model", "many", "rating"])
def test_explain_json_adds_up_for_every_kind_of_model(run, kind, request):
    texts = "A good film, not bad. Not a good good film!", "", "zzz"
    done = run("explain", request.getfixturevalue(kind), *texts, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["schema"] == "mlcore.explain/1"
    explanations = found["explanations"]
    assert [one["text"] for one in explanations] == list(texts)
    for one in explanations:
        total = one["constant"] + sum(feature["contribution"] for feature in one["features"])
        assert total == pytest.approx(one["logit"], abs=1e-5 * (1 + abs(one["logit"])))
    assert len(explanations[0]["words"]) == 13
    assert explanations[1]["logit"] == explanations[1]["constant"] == explanations[2]["logit"]


def test_explain_reads_one_text_from_standard_input(run, model):
    done = run("explain", model, "--json", stdin=b"good film\nbad \xff plot\n")
    assert (done.code, done.err) == (0, "mlcore: standard input contains bytes that are not UTF-8; each is replaced.\n")
    (only,) = json.loads(done.out)["explanations"]
    assert [word["word"] for word in only["words"]] == ["good", "film", "bad", "plot"]


def test_explain_in_colour_and_as_a_page(run, start, model, tmp_path):
    out, _ = start("explain", model, "good bad", env=os.environ | {"FORCE_COLOR": "1"}).communicate()
    assert "\x1b[32mgood+++\x1b[0m" in out
    done = run("explain", model, "good <i>&lt;script&gt;</i> bad", "--html", "page.html")
    assert done == (0, "", "Wrote page.html.\n")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    assert ">script</span>" in page


def test_tables_stay_within_80_columns_and_ascii(run, run_in_ascii, tmp_path):
    words = [letter * 30 for letter in "abcdefghijklmnopqrst"]
    (tmp_path / "long.tsv").write_text("label\ttext\n" + f"pos\t{' '.join(words)}\nneg\tzzz\n" * 8)
    assert run("train-sentiment", "--data", "long.tsv", *QUICK, "-q", "--ngrams", 3, "--model", "long").code == 0
    text = " ".join(words)
    for command in (
        ("explain", "long", text), ("describe", "long"), ("neighbors", "long", words[0]),
        ("grad", "--model", "long", "--text", text, "--label", "pos"), ("data", "long.tsv"),
    ):  # fmt: skip
        out = run_in_ascii(*command)
        command_line = out.find("mlcore train-sentiment")
        assert max(map(len, out[:command_line].splitlines())) <= 80
        assert out.isascii()
        assert "?" not in out


def test_describe(run, model, many, rating):
    done = run("describe", model)
    assert (done.code, done.err) == (0, "")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    for part in (digest, f"{model.stat().st_size:,} bytes", "embedding 11 × 3, mean over N distinct", "W1 2 × 3, b1 2",
                 "W2 1 × 2, b2 1", "44 parameters", "2 labels: neg, pos", "the most frequent: '",
                 "texts: train 36, dev 4", "best epoch", "held-out loss", "mlcore train-sentiment --data"):  # fmt: skip
        assert part in " ".join(done.out.split()), part
    done = run("describe", many)
    assert "W2 3 × 4" in done.out
    assert "P = exp(ŷ) / Σ exp(ŷ)" in done.out
    done = run("describe", rating)
    assert "mean over N features" in done.out
    assert "no labels" in done.out
    found, loaded = json.loads(run("describe", model, "--json").out), load_model(model)
    assert list(found)[:2] == ["schema", "file"]
    assert (found["file"]["sha256"], found["parameters"]) == (digest, loaded.n_parameters)
    assert found["shapes"] == {"table": [11, 3], "W1": [2, 3], "b1": [2], "W2": [1, 2], "b2": [1]}
    assert found["history"][found["best"]["epoch"] - 1] == found["best"]
    assert found["vocabulary"] == [{"words": 1, "features": 11, "most_frequent": loaded.features.names}]
    loaded.provenance = Provenance()
    save_model(loaded, model)
    assert "epochs: not recorded" in run("describe", model).out


@pytest.mark.parametrize("kind", ["model", "many", "rating"])
def test_the_command_that_describe_prints_trains_the_same_model(run, kind, request, tmp_path):
    path = request.getfixturevalue(kind)
    name, *arguments = shlex.split(json.loads(run("describe", path, "--json").out)["command"])
    assert name == "mlcore"
    assert run(*arguments, "--model", "again", "-q") == (0, "", "")
    for one, other in zip(load_model(tmp_path / "again").parameters, load_model(path).parameters, strict=True):
        assert one.tobytes() == other.tobytes()


def test_neighbors(run, model, many, rating):
    done = run("neighbors", model, "Good", "--number", 3)
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 6)
    assert done.out.startswith("Nearest to good, +")
    assert "score for pos" in done.out
    found = json.loads(run("neighbors", many, "a good", "--json").out)
    assert (found["schema"], found["labels"]) == ("mlcore.neighbors/1", ["bad", "good", "so-so"])
    assert (found["word"], found["mean_of"], len(found["neighbors"][0]["logits"])) == ("a good", 1, 3)
    assert "(the mean of its 2 features)" in run("neighbors", rating, "good bad").out


def test_vectors_are_those_of_the_model(run, model, many):
    done = run("vectors", model, "-o", "out.vec")
    assert (done.code, done.out, done.err) == (0, "", "Wrote out.vec.\n")
    content, loaded = model.with_name("out.vec").read_bytes(), load_model(model)
    found = read_vectors(model.with_name("out.vec"), loaded.features.words, 3)
    assert found.table.tobytes() == np.ascontiguousarray(loaded.parameters.table[:, :3]).tobytes()
    assert run("vectors", model, "-o", "-") == (0, content.decode(), "")
    assert run("vectors", many, "-o", "many.vec").err.endswith("n-grams: the format has only words.\n")
    model.with_name("out.vec.gz").write_bytes(gzip.compress(content))
    options = "--vectors", "out.vec.gz", "--dim", 3, "--hidden", 2, "--epochs", 1, "--seeds", 1, "--json"
    found = json.loads(run("compare-embeddings", "--data", model.with_name("reviews.tsv"), *options).out)
    assert found["vectors"]["words_found"] == 11


def test_gradients_of_a_model(run, model, many, rating):
    done = run("grad", "--model", model, "--text", "A good good film, zzz", "--label", "pos")
    assert (done.code, done.err) == (0, "")
    for part in ("text: a good good film , [zzz]", "y = 1 (pos)    N = 4 known words, each once", "hidden", "output",
                 "dJ/dW2", "δ₁ Eᵀ", "2 × 3", "J = ", "1/4", "|dJ/dE_w|"):  # fmt: skip
        assert part in done.out, part
    assert max(map(len, done.out.splitlines())) <= 80
    out = run("grad", "--model", many, "--text", "not a good film", "--label", "bad").out
    for part in ("softmax(ŷ) − y", "so-so", "the logit of bad"):
        assert part in out, part
    out = run("grad", "--model", rating, "--text", "good good film", "--label", "3.5").out
    for part in ("y = 3.5", "2/3", "with repeats"):
        assert part in out, part
    assert "no embedding has a gradient" in run("grad", "--model", rating, "--text", "", "--label", "1").out
    options = ("--text", "good film", "--label", "neg", "--relu-at-zero", "1/2", "--json")
    found = json.loads(run("grad", "--model", model, *options).out)
    assert (found["schema"], found["relu_at_zero"], found["target"]) == ("mlcore.grad-model/1", 0.5, 0)
    assert (len(found["dW1"]), len(found["dW1"][0]), len(found["embeddings"])) == (2, 3, 2)
