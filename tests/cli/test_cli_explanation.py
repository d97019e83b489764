"""``mlcore explain``, ``describe``, ``neighbors`` and ``grad --model``: what they print, write and refuse."""

import hashlib
import json
import os
import shlex
import subprocess
import sys

import pytest

from mlcore.sentiment.model import Model, Provenance
from mlcore.sentiment.model_file import load, save
from mlcore.sentiment.settings import Settings, reproducing_command

QUICK = ("--dim", 3, "--hidden", 4, "--epochs", 3, "--learning-rate", 0.2, "-q")


@pytest.fixture
def many(run, tmp_path):
    """A model of three labels, with pairs of words as features."""
    path = tmp_path / "many.tsv"
    texts = [("good", "a good film"), ("bad", "not a good film"), ("so-so", "a so so film, it is")]
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in texts * 8))
    assert run("train-sentiment", "--data", path, *QUICK, "--ngrams", 2, "--model", "many.npz") == (0, "", "")
    return "many.npz"


@pytest.fixture
def rating(run, tmp_path):
    """A model that predicts a number."""
    path = tmp_path / "ratings.csv"
    path.write_text("label,text\n" + "5,good film\n1,bad film\n3.5,a film\n" * 8)
    options = ("--loss", "squared", "--no-binary", "--model", "rating.npz")
    assert run("train-sentiment", "--data", path, *QUICK, *options) == (0, "", "")
    return "rating.npz"


def adds_up(explanation):
    total = explanation["constant"] + sum(feature["contribution"] for feature in explanation["features"])
    return total == pytest.approx(explanation["logit"], abs=1e-5 * (1 + abs(explanation["logit"])))


def test_explain_shows_the_marked_text_the_features_and_the_sum(run, model):
    done = run("explain", model, "A good, dull film. (zzz)", "--output", "pos")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(("pos (", "neg ("))
    assert (
        lines[2].startswith("a") and "good+" in lines[2] and "dull−" in lines[2] and lines[2].endswith("[(] [zzz] [)]")
    )
    assert "one to three by strength" in lines[3]
    assert "6 of 9 words known" in done.out
    for word in ("feature", "contribution", "without it", "constant", "= logit", " → "):
        assert word in done.out
    assert max(map(len, lines)) <= 80


def test_explain_json_adds_up_for_every_kind_of_model(run, model, many, rating):
    for path in (model, many, rating):
        done = run("explain", path, "A good film, not bad. Not a good good film!", "", "zzz", "--json")
        assert (done.code, done.err) == (0, "")
        found = json.loads(done.out)
        assert found["schema"] == "mlcore.explain/1"
        texts = found["explanations"]
        assert [one["text"] for one in texts][1:] == ["", "zzz"]
        assert all(map(adds_up, texts))
        assert len(texts[0]["words"]) == 13 and len(texts[0]["without"]) > 2
        assert texts[1]["logit"] == texts[1]["constant"] == texts[2]["logit"]


def test_explain_another_output(run, model, many, rating):
    positive, negative = (
        json.loads(run("explain", model, "good", "--output", label, "--json").out)["explanations"][0]
        for label in ("pos", "neg")
    )
    assert negative["logit"] == -positive["logit"] and negative["constant"] == -positive["constant"]
    assert positive["label"] == negative["label"] == "pos" and negative["output"] == "neg"
    assert negative["output_probability"] == pytest.approx(1 - positive["output_probability"])
    for one, other in zip(positive["features"], negative["features"], strict=True):
        assert one["contribution"] == -other["contribution"]
    assert "; explained: so-so (" in run("explain", many, "a good film", "--output", "so-so").out
    done = run("explain", many, "a good film", "--output", "x")
    assert (done.code, done.out) == (2, "")
    assert done.err == "mlcore: --output is 'x'; expected one of the model's labels: bad, good, so-so.\n"
    assert run("explain", rating, "a", "--output", "5").code == 2


def test_explain_ratings_and_texts_without_a_known_word(run, model, rating):
    assert "= the predicted number +" in run("explain", rating, "good film").out
    done = run("explain", model, "zzz")
    assert "No known word: this is the value at E = 0" in done.out and "contributions +0.0000" in done.out


def test_tables_stay_within_80_columns_and_ascii(start, run, tmp_path):
    words = [f"{letter * 30}" for letter in "abcdefghijklmnopqrst"]
    path = tmp_path / "long.tsv"
    path.write_text("label\ttext\n" + f"pos\t{' '.join(words)}\nneg\tzzz\n" * 8)
    assert run("train-sentiment", "--data", path, *QUICK, "--ngrams", 3, "--model", "long.npz").code == 0
    text = " ".join(words)
    for command in (
        ("explain", "long.npz", text), ("describe", "long.npz"), ("neighbors", "long.npz", words[0]),
        ("grad", "--model", "long.npz", "--text", text, "--label", "pos"),
    ):  # fmt: skip
        _, out, _ = piped(start, b"", *command, env=os.environ | {"PYTHONIOENCODING": "ascii"})
        command_line = out.find("mlcore train-sentiment")
        assert max(map(len, out[:command_line].splitlines())) <= 80
        assert "?" not in out


def test_explain_shows_as_many_features_as_are_wanted(run, model):
    done = run("explain", model, "a good, warm, dull film.", "--number", 2)
    assert "(5 more)" in done.out
    assert run("explain", model, "good", "--number", 0).code == 2


def piped(start, content, *arguments, **options):
    process = start(*arguments, text=False, **options)
    out, err = process.communicate(content, timeout=120)
    return process.returncode, out.decode(), err.decode()


def test_explain_reads_one_text_from_standard_input(start, model):
    code, out, err = piped(start, b"good film\nbad \xff plot\n", "explain", model, "--json")
    assert code == 0 and err == "mlcore: standard input has bytes that are not UTF-8; each is replaced.\n"
    (only,) = json.loads(out)["explanations"]
    assert [word["word"] for word in only["words"]] == ["good", "film", "bad", "plot"]


def test_explain_without_standard_input(model):
    command = f'"{sys.executable}" -m mlcore explain "{model}" <&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "mlcore: standard input is closed; give a text as an argument or on standard input.\n"


def test_explain_in_colour_and_in_ascii(start, model):
    code, out, _ = piped(start, b"", "explain", model, "good bad", env=os.environ | {"FORCE_COLOR": "1"})
    assert code == 0 and "\x1b[1;30;42mgood\x1b[0m" in out and "green: for" in out
    for variables in ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, {"TERM": "dumb"}):
        _, out, _ = piped(start, b"", "explain", model, "good bad", env=os.environ | variables)
        assert "good+++" in out and "[42m" not in out
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    _, out, _ = piped(start, b"", "explain", model, "good bad", env=environment)
    assert "bad--" in out and "|###" in out and "?" not in out


def test_explain_html(run, model, tmp_path):
    done = run("explain", model, "good <i>&lt;script&gt;</i> bad", "--html", "page.html")
    assert done == (0, "", "Wrote page.html.\n")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "<script" not in page and ">script</span>" in page
    before = model.read_bytes()
    done = run("explain", model, "good", "--html", model)
    assert done.code == 2 and "which is the model; expected another path" in done.err
    assert model.read_bytes() == before
    assert run("explain", model, "good", "--html", "nowhere/page.html").code == 5


def test_a_closed_pipe_is_quiet(model):
    for command in (f'explain "{model}" good', f'describe "{model}"', f'neighbors "{model}" good'):
        line = f'"{sys.executable}" -m mlcore {command} | head -n 1; echo ${{PIPESTATUS[0]}}'
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
        assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")


@pytest.mark.parametrize("command", [("explain", "good"), ("describe",), ("neighbors", "good")])
def test_what_is_no_model(run, reviews, command):
    name, *rest = command
    assert run(name, reviews, *rest).code == 4
    done = run(name, "nowhere.npz", *rest)
    assert (done.code, done.out, done.err) == (
        5,
        "",
        "mlcore: nowhere.npz: No such file or directory; check the path.\n",
    )


def test_describe(run, model, many, rating):
    done = run("describe", model)
    assert (done.code, done.err) == (0, "")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    for part in (digest, f"{model.stat().st_size:,} bytes", "trainable embedding 11 × 3", "W1 2 × 3, b1 2",
                 "W2 1 × 2, b2 1", "each counts once", "44 parameters", "2 labels: neg, pos", "the most frequent: '",
                 "texts: train 36, dev 4", "best epoch", "held-out loss", "mlcore train-sentiment --data"):  # fmt: skip
        assert part in done.out, part
    done = run("describe", many)
    assert "W2 3 × 4" in done.out and "2-grams" in done.out and "P = exp(ŷ) / Σ exp(ŷ)" in done.out
    done = run("describe", rating)
    assert "repeats count" in done.out and "no labels" in done.out and "J = ½ (y − ŷ)²" in done.out


def test_describe_json(run, model):
    found = json.loads(run("describe", model, "--json").out)
    classifier = load(model)
    assert found["schema"] == "mlcore.describe/1"
    assert found["file"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert found["shapes"] == {"table": [11, 3], "W1": [2, 3], "b1": [2], "W2": [1, 2], "b2": [1]}
    assert found["parameters"] == classifier.n_parameters == 33 + 6 + 2 + 2 + 1
    assert found["settings"]["dim"] == 3 and found["fingerprint"] == classifier.provenance.fingerprint
    assert found["best"]["best"] and found["history"][found["best"]["epoch"] - 1] == found["best"]
    assert found["vocabulary"] == [{"words": 1, "features": 11, "most_frequent": classifier.features.names}]


def test_describe_a_model_without_provenance(run, model):
    classifier = load(model)
    classifier.provenance = Provenance()
    save(classifier, model)
    done = run("describe", model)
    assert done.code == 0 and "epochs: not recorded" in done.out


@pytest.mark.parametrize("kind", ["model", "many", "rating"])
def test_the_command_that_describe_prints_trains_the_same_bytes(run, kind, request, tmp_path):
    path = request.getfixturevalue(kind)
    before = (tmp_path / path).read_bytes()
    name, *arguments = shlex.split(json.loads(run("describe", path, "--json").out)["command"])
    assert name == "mlcore" and run(*arguments, "--model", "again.npz", "-q") == (0, "", "")
    assert (tmp_path / "again.npz").read_bytes() == before


def test_the_reproducing_command_is_quoted_for_the_shell():
    inputs = {"data": ["a file.csv", "-"], "text_column": "$(x) 'y'"}
    settings = Settings(binary=False, half=True)
    command = reproducing_command(Model(settings, (), None, None, Provenance(inputs)))
    words = shlex.split(command)
    assert words[:7] == [
        "mlcore", "train-sentiment", "--data", "a file.csv", "--data=-", "--text-column", "$(x) 'y'"
    ]  # fmt: skip
    assert "--no-binary" in words and "--half" in words and "None" not in words and "--max-features" not in words
    python = Model(Settings(dim=3), (), None, None, Provenance({"dev": "0.2", "labels": "str"}))
    assert reproducing_command(python).startswith("SentimentClassifier(dim=3, hidden=32, ngrams=1, ")
    assert reproducing_command(python).endswith("half=False, dev=0.2).fit(texts, labels)")
    assert not any("half" in word for word in shlex.split(reproducing_command(Model(Settings(), (), None, None))))


def test_neighbors(run, model, many, rating):
    done = run("neighbors", model, "Good", "--number", 3)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("Nearest to good, +") and "logit of pos for it alone" in lines[1]
    assert len(lines) == 6
    found = json.loads(run("neighbors", many, "a good", "--json").out)
    assert found["schema"] == "mlcore.neighbors/1" and found["labels"] == ["bad", "good", "so-so"]
    assert (found["word"], found["mean_of"], len(found["neighbors"][0]["logits"])) == ("a good", 1, 3)
    assert "prediction for it alone" in run("neighbors", rating, "good").out
    assert "(the mean of its 2 features)" in run("neighbors", rating, "good bad").out


def test_neighbors_of_an_unknown_word(run, model):
    done = run("neighbors", model, "goood")
    assert (done.code, done.out) == (2, "")
    assert done.err == "mlcore: The model does not know the word 'goood'; did you mean good?\n"


def test_lesson(run, model, many, rating):
    done = run("grad", "--model", model, "--text", "A good good film, zzz", "--label", "pos")
    assert (done.code, done.err) == (0, "")
    for part in ("text: a good good film , [zzz]", "y = 1 (pos)    N = 4 known words, each once", "hidden", "output",
                 "dJ/dW2", "δ₁ Eᵀ", "2 × 3", "J = ", "1/4", "|dJ/dE_w|"):  # fmt: skip
        assert part in done.out, part
    assert max(map(len, done.out.splitlines())) <= 80
    done = run("grad", "--model", many, "--text", "not a good film", "--label", "bad")
    assert "softmax(ŷ) − y" in done.out and "so-so" in done.out and "the logit of bad" in done.out
    done = run("grad", "--model", rating, "--text", "good good film", "--label", "3.5")
    assert "y = 3.5" in done.out and "2/3" in done.out and "with repeats" in done.out
    assert "no embedding has a gradient" in run("grad", "--model", rating, "--text", "", "--label", "1").out


def test_lesson_json(run, model):
    options = ("--text", "good film", "--label", "neg", "--relu-at-zero", "1/2", "--json")
    found = json.loads(run("grad", "--model", model, *options).out)
    assert found["schema"] == "mlcore.grad-model/1" and found["relu_at_zero"] == 0.5
    assert (len(found["dW1"]), len(found["dW1"][0]), len(found["embeddings"])) == (2, 3, 2)
    assert found["label"] == "neg" and found["target"] == 0 and len(found["embeddings"][0]["gradient"]) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--x", "1", "--text", "a", "--label", "pos"), "--x does not go with --model; expected one of them."),
        (("--check", "--text", "a", "--label", "pos"), "--check does not go with --model; expected one of them."),
        (("--code", "numpy"), "--code does not go with --model; expected one of them."),
        (("--text", "a"), "--model is given without --label; expected all three."),
        (("--text", "a", "--label", "x"), "--label is 'x'; expected one of the model's labels: neg, pos."),
    ],
)
def test_options_of_the_lesson_that_do_not_go_together(run, model, options, message):
    assert run("grad", "--model", model, *options) == (2, "", f"mlcore: {message}\n")


def test_the_lessons_options_need_a_model(run):
    done = run("grad", "--text", "a")
    assert done == (2, "", "mlcore: --text is given without --model and --label; expected all three.\n")


@pytest.mark.parametrize("command", ["explain", "describe", "neighbors"])
def test_help_starts_with_an_example_and_imports_no_numba(command):
    code = (
        f"import sys; sys.argv = ['mlcore', '{command}', '--help']; from mlcore.cli.app import main\n"
        "try: main()\nfinally: print([m for m in ('numba', 'numpy') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]" and f"Example: mlcore {command}" in done.stdout
