"""``mlcore compare-embeddings`` and ``vectors``: what they print, what they refuse, and what an interruption leaves."""

import gzip
import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from mlcore.sentiment.initialization import new_classifier
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import load, save
from mlcore.sentiment.preparation import prepare
from mlcore.sentiment.settings import Settings
from mlcore.text.corpus import Corpus
from mlcore.text.vectors import read_vectors

SMALL = ("--dim", 3, "--hidden", 2, "--epochs", 2, "--seeds", 2)


@pytest.fixture
def given(tmp_path):
    """Vectors of three numbers for half of the words of the fixture ``reviews``."""
    path = tmp_path / "given.vec"
    path.write_text("4 3\ngood 1 2 3\nbad -1 0 1\nFILM 1 1 1\nunknown 0 0 0\n")
    return path


@pytest.fixture
def bigrams(tmp_path):
    """A small untrained model with n-grams."""
    settings = Settings(dim=3, hidden=2, ngrams=2, min_count=1)
    data = prepare(Corpus("toy", ["good film", "bad film"], ["pos", "neg"], ["", ""], ["", ""]), 0, settings)
    classifier: Model = new_classifier(data, settings)
    path = tmp_path / "bigrams.npz"
    save(classifier, path)
    return path


# compare-embeddings -----------------------------------------------------------------------------------------


def test_tables_plot_and_answer(run, reviews, given):
    done = run("compare-embeddings", "--data", reviews, "--vectors", given, *SMALL)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == str(reviews)
    assert "Texts: training 32, held out 4, test 4. Labels: 2." in lines
    assert "Drawn anew for each seed: held out and test." in lines
    joined = " ".join(done.out.split())
    assert f"{given} has a vector for 3 of 11 words (27.3%)," in joined
    assert "for 1 of them another spelling in lower case." in joined
    names = ["fixed, random", "fixed, given", "trainable, random", "trainable, given", "trainable, naive Bayes",
             "majority label", "NB logistic regression"]  # fmt: skip
    for name in names:
        assert len([line for line in lines if line.strip().startswith(name)]) >= 2, "in the table and in the plot"
    assert "majority label 50.00 ± 0.00" in joined
    assert "NB logistic regression 100.00 ± 0.00" in joined
    assert "Trainable or fixed? The best trainable embeddings" in joined
    assert "the least that 2 seeds can give" in joined or "p = 1" in joined
    assert max(map(len, lines)) <= 80 or len(str(given)) > 40


def test_plot_where_the_terminal_knows_ascii_only(start, reviews):
    env = {"PYTHONIOENCODING": "ascii", "PATH": "", "HOME": str(reviews.parent)}
    process = start("compare-embeddings", "--data", reviews, *SMALL, env=env)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert out.isascii()
    assert "+- 0.00" in out
    assert any(line.startswith("NB logistic regression") and line.endswith("o") for line in out.splitlines())


def test_json(run, reviews, given):
    done = run("compare-embeddings", "--data", reviews, "--vectors", given, *SMALL, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["schema"] == "mlcore.compare-embeddings/1"
    assert found["texts"] == {"train": 32, "dev": 4, "test": 4}
    assert found["own_parts"] == []
    assert found["labels"] == ["neg", "pos"]
    assert found["settings"] == {"dim": 3, "hidden": 2, "epochs": 2, "ngrams": 1}
    vectors = found["vectors"]
    assert (vectors["words"], vectors["words_found"], vectors["words_lower_cased"], vectors["lines"]) == (11, 3, 1, 4)
    assert len(found["runs"]) == 14
    assert [arm["runs"] for arm in found["arms"]] == [2] * 7
    for arm in found["arms"]:
        accuracies = [one["test_accuracy"] for one in found["runs"] if one["arm"] == arm["arm"]]
        assert arm["mean"] == pytest.approx(np.mean(accuracies))
        assert arm["deviation"] == pytest.approx(np.std(accuracies, ddof=1))
    assert found["arms"][0]["against_fixed"] is None
    assert found["arms"][1]["against_fixed"]["least_p"] == 0.5
    assert found["best_trainable_against_best_fixed"]["runs"] == 2
    assert found["interrupted"] is False
    again = json.loads(run("compare-embeddings", "--data", reviews, "--vectors", given, *SMALL, "--json").out)
    assert [one | {"seconds": 0} for one in again["runs"]] == [one | {"seconds": 0} for one in found["runs"]]


def test_one_seed_without_vectors(run, reviews):
    done = run("compare-embeddings", "--data", reviews, *SMALL, "--seeds", 1)
    assert done.code == 0
    assert "given" not in done.out
    assert "±" not in done.out.split("accuracy:")[0]
    assert (
        json.loads(run("compare-embeddings", "--data", reviews, *SMALL, "--seeds", 1, "--json").out)["vectors"] is None
    )


def test_several_files_columns_and_own_parts(run, reviews):
    rows = ["good\tpos\ttrain", "bad\tneg\ttrain"] * 4 + ["good\tpos\tdev", "bad\tneg\tdev", "good\tpos\ttest"]
    for name in ("a.tsv", "b.tsv"):
        (reviews.parent / name).write_text("review\tverdict\tsplit\n" + "".join(f"{row}\n" for row in rows))
    done = run("compare-embeddings", "--data", "a.tsv", "--data", "b.tsv", "--text-column", "review",
               "--label-column", "verdict", "--format", "tsv", *SMALL)  # fmt: skip
    assert done.code == 0
    joined = " ".join(done.out.split())
    assert "training 16, held out 4 (its own part), test 2 (its own part)" in joined
    assert "The test texts are the same for all seeds" in joined
    assert "Drawn anew" not in joined


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--vectors", "nowhere.txt"), 5, "nowhere.txt: No such file or directory; check the path."),
        (("--seeds", 0), 2, "--seeds is 0; expected a whole number from 1 to 20."),
        (("--dim", 0), 2, "--dim is 0; expected a whole number from 1 to 10,000."),
        (("--vectors", "", "--data", "-"), 2, "empty"),
        (("--vectors", "-", "--data", "-"), 2, "--vectors is -, as is the data; standard input can be read once."),
        (("--dim", 4, "--vectors", "given.vec"), 3, "given.vec, line 1: the vectors have 3 numbers; expected 4, the "
         "width of the embedding; choose it with --dim 3, or take other vectors."),
        (("--vectors", "."), 5, ".: Is a directory; check the path."),
    ],
)  # fmt: skip
def test_what_is_refused(run, reviews, given, arguments, code, message):
    data = () if "--data" in arguments else ("--data", reviews)
    done = run("compare-embeddings", *data, *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_an_interruption_shows_the_runs_so_far(run, reviews, monkeypatch):
    from mlcore.sentiment.comparison import Experiment

    before = signal.getsignal(signal.SIGINT)
    whole = Experiment._train

    def train(self, arm, seed, *arguments):
        if (arm.name, seed) == ("trainable, random", 2):
            raise KeyboardInterrupt
        return whole(self, arm, seed, *arguments)

    monkeypatch.setattr(Experiment, "_train", train)
    try:
        done = run("compare-embeddings", "--data", reviews, *SMALL)
        assert done.code == 130
        assert done.err == "mlcore: interrupted after 6 of 10 runs: they are below.\n"
        assert " runs " in done.out
        assert "trainable, naive Bayes" in done.out
        found = json.loads(run("compare-embeddings", "--data", reviews, *SMALL, "--json").out)
        assert (found["interrupted"], len(found["runs"])) == (True, 6)
        assert [arm["runs"] for arm in found["arms"]] == [2, 1, 1, 1, 1]

        def press(self, *arguments):
            if self.source != "warm-up":
                signal.raise_signal(signal.SIGINT)
            return whole(self, *arguments)

        monkeypatch.setattr(Experiment, "_train", press)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        done = run("compare-embeddings", "--data", reviews, *SMALL)
        assert (done.code, done.out) == (130, "")
        assert done.err == "mlcore: interrupted after 0 of 10 runs.\n"
    finally:
        signal.signal(signal.SIGINT, before)


# vectors ----------------------------------------------------------------------------------------------------


def test_vectors_are_those_of_the_model(run, model):
    done = run("vectors", model, "-o", "out.vec")
    assert (done.code, done.out, done.err) == (0, "", "Wrote out.vec: 11 words with 3 numbers each.\n")
    classifier = load(model)
    found = read_vectors(model.parent / "out.vec", classifier.features.words, 3)
    assert found.table.tobytes() == np.ascontiguousarray(classifier.parameters.table[:, :3]).tobytes()
    assert (model.parent / "out.vec").read_text().startswith("11 3\n")


def test_n_grams_are_left_out_and_the_output_says_so(run, bigrams):
    done = run("vectors", bigrams, "-o", "out.vec")
    assert done.code == 0
    assert done.err == (
        "Wrote out.vec: 3 words with 3 numbers each.\nLeft out: 2 n-grams, for which the format has no place.\n"
    )
    assert [line.split()[0] for line in (bigrams.parent / "out.vec").read_text().splitlines()] == [
        "3", "film", "good", "bad",
    ]  # fmt: skip


def test_vectors_on_standard_output_and_back(start, model, reviews):
    command = f'"{sys.executable}" -m mlcore vectors "{model}" -o - | gzip > out.vec.gz'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=model.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert gzip.decompress((model.parent / "out.vec.gz").read_bytes()).startswith(b"11 3\n")
    process = start("compare-embeddings", "--data", reviews, "--vectors", "out.vec.gz", *SMALL, "--json")
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["vectors"]["words_found"] == 11


def test_a_closed_pipe_is_quiet_and_a_closed_standard_output_is_not(model):
    for redirection, expected in (("| head -c 1; exit ${PIPESTATUS[0]}", (0, "1", "")), (">&-", (5, "", "mlcore: "))):
        command = f'"{sys.executable}" -m mlcore vectors "{model}" -o - {redirection}'
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr[:8]) == expected


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("sentiment.npz",), 2, "Missing option '--output' / '-o'. See mlcore vectors --help."),
        (("nowhere.npz", "-o", "out.vec"), 5, "nowhere.npz: No such file or directory; check the path."),
        (("reviews.tsv", "-o", "out.vec"), 4, "reviews.tsv is not a model file of mlcore"),
        (
            ("sentiment.npz", "-o", "sentiment.npz"),
            2,
            "--output is sentiment.npz, which is the model; expected another",
        ),
        (("sentiment.npz", "-o", "nowhere/out.vec"), 5, "the folder nowhere does not exist"),
        (("sentiment.npz", "-o", "."), 5, "is a folder or device, not a file"),
    ],
)
def test_what_vectors_refuses(run, model, arguments, code, message):
    before = model.read_bytes()
    done = run("vectors", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert model.read_bytes() == before
    assert not (model.parent / "out.vec").exists()


@pytest.mark.parametrize("command", ["vectors", "compare-embeddings"])
def test_help_begins_with_an_example_and_imports_nothing_heavy(command):
    code = (
        f"import sys; sys.argv = ['mlcore', '{command}', '--help']; from mlcore.cli.app import main\n"
        "try: main()\nfinally: print([m for m in ('numba', 'numpy') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"
    assert f"Example: mlcore {command}" in done.stdout
