"""``mlcore explain``, ``describe``, ``neighbors``, ``vectors``, ``grad --model``: what they print, write and refuse."""

import gzip
import hashlib
import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

from mlcore.sentiment.model import Provenance
from mlcore.sentiment.model_file import load_model, save_model
from mlcore.text.vectors import read_vectors

QUICK = ("--dim", 3, "--hidden", 4, "--epochs", 3, "--learning-rate", 0.2, "-q")


@pytest.fixture
def many(run, tmp_path):
    """A model of three labels, with pairs of words as features."""
    path = tmp_path / "many.tsv"
    texts = [("good", "a good film"), ("bad", "not a good film"), ("so-so", "a so so film, it is")]
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in texts * 8))
    assert run("train-sentiment", "--data", path, *QUICK, "--ngrams", 2, "--model", "many") == (0, "", "")
    return path.with_name("many")


@pytest.fixture
def rating(run, tmp_path):
    """A model that predicts a number."""
    path = tmp_path / "ratings.csv"
    path.write_text("label,text\n" + "5,good film\n1,bad film\n3.5,a film\n" * 8)
    options = ("--loss", "squared", "--ngrams", 1, "--no-binary", "--model", "rating")
    assert run("train-sentiment", "--data", path, *QUICK, *options) == (0, "", "")
    return path.with_name("rating")


def shell(command):
    done = subprocess.run(["bash", "-c", f'"{sys.executable}" -m mlcore {command}'], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def piped(start, content, *arguments, **variables):
    process = start(*arguments, text=False, env=os.environ | variables)
    out, err = process.communicate(content, timeout=120)
    return process.returncode, out.decode(), err.decode()


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


def test_explain_reads_one_text_from_standard_input(start, model):
    code, out, err = piped(start, b"good film\nbad \xff plot\n", "explain", model, "--json")
    assert (code, err) == (0, "mlcore: standard input contains bytes that are not UTF-8; each is replaced.\n")
    (only,) = json.loads(out)["explanations"]
    assert [word["word"] for word in only["words"]] == ["good", "film", "bad", "plot"]
    code, out, err = shell(f'explain "{model}" <&-')
    assert (code, out) == (5, "")
    assert err == "mlcore: standard input is closed; give texts as arguments, or lines on standard input.\n"


def test_explain_in_colour_and_as_a_page(run, start, model, tmp_path):
    _, out, _ = piped(start, b"", "explain", model, "good bad", FORCE_COLOR="1")
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
    assert run("train-sentiment", "--data", "long.tsv", *QUICK, "--ngrams", 3, "--model", "long").code == 0
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


def test_describe_json_and_a_model_without_provenance(run, model):
    found, loaded = json.loads(run("describe", model, "--json").out), load_model(model)
    assert list(found)[:2] == ["schema", "file"]
    assert found["file"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert found["shapes"] == {"table": [11, 3], "W1": [2, 3], "b1": [2], "W2": [1, 2], "b2": [1]}
    assert found["parameters"] == loaded.n_parameters == 33 + 6 + 2 + 2 + 1
    assert (found["settings"]["dim"], found["fingerprint"]) == (3, loaded.provenance.fingerprint)
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


def test_vectors_are_those_of_the_model(run, start, model, many):
    done = run("vectors", model, "-o", "out.vec")
    assert (done.code, done.out, done.err) == (0, "", "Wrote out.vec.\n")
    content, loaded = model.with_name("out.vec").read_bytes(), load_model(model)
    found = read_vectors(model.with_name("out.vec"), loaded.features.words, 3)
    assert found.table.tobytes() == np.ascontiguousarray(loaded.parameters.table[:, :3]).tobytes()
    assert piped(start, b"", "vectors", model, "-o", "-") == (0, content.decode(), "")
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


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (("explain", "MODEL", "good", "--output", "x"), 2, "--output is 'x'; expected one of the model's labels: "),
    (("explain", "MODEL", "good", "--number", 0), 2, "--number"),
    (("explain", "MODEL", "good", "--html", "MODEL"), 2, "--html is "),
    (("explain", "MODEL", "good", "--html", "nowhere/page.html"), 5, "the folder nowhere does not exist"),
    (("explain", "reviews.tsv", "good"), 4, "reviews.tsv"),
    (("describe", "nowhere"), 5, "nowhere: No such file or directory; check the path."),
    (("neighbors", "MODEL", "goood"), 2, "does not know the word 'goood'; similar words: good."),
    (("vectors", "MODEL"), 2, "'--output' / '-o'"),
    (("vectors", "MODEL", "-o", "MODEL"), 2, "would overwrite an input"),
    (("vectors", "MODEL", "-o", "."), 5, "is a folder or device, not a file"),
    (("grad", "--model", "MODEL", "--text", "a"), 2, "--model also needs --label."),
    (("grad", "--text", "a"), 2, "--text also needs --model and --label."),
    (("grad", "--model", "MODEL", "--text", "a", "--label", "x"), 2, "--label is 'x'; expected one of"),
    (("grad", "--model", "MODEL", "--x", "1", "--text", "a", "--label", "pos"), 2, "--x cannot be combined"),
    (("grad", "--model", "MODEL", "--check"), 2, "--check cannot be combined with --model."),
])  # fmt: skip
def test_what_is_refused(run, model, arguments, code, message):
    before = model.read_bytes()
    done = run(*(model.name if argument == "MODEL" else argument for argument in arguments))
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert message in done.err
    assert model.read_bytes() == before


def test_closed_pipes(model):
    for command in (f'explain "{model}" good', f'vectors "{model}" -o -'):
        code, out, err = shell(f"{command} | head -c 1; exit ${{PIPESTATUS[0]}}")
        assert (code, len(out), err) == (0, 1, "")
    code, out, err = shell(f'vectors "{model}" -o - >&-')
    assert (code, out, err[:8]) == (5, "", "mlcore: ")
