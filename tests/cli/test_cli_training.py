"""``mlcore train-sentiment``: labels of all kinds, checkpoints, logs, models to begin with, and what is refused."""

import hashlib
import json
import os
import signal

import numpy as np
import pytest
from conftest import needs_speed

SMALL = ("--dim", 3, "--hidden", 2, "--epochs", 2)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def stars(tmp_path):
    """CSV file of texts with one to five stars, with columns of other names."""
    words = ["awful", "bad", "fair", "good", "superb"]
    rows = [f"{i % 5 + 1},a {words[i % 5]} film" for i in range(60)]
    path = tmp_path / "stars.csv"
    path.write_text("\n".join(["grade,opinion", *rows]))
    return path


COLUMNS = ("--text-column", "opinion", "--label-column", "grade")


def test_many_labels(run, stars):
    done = run("train-sentiment", "--data", stars, *COLUMNS, "--learning-rate", 0.2, "--dim", 4)
    assert done.code == 0
    for part in ("W2 5 × 32, b2 5", "Labels: 1, 2, 3, 4, 5.", "training 55, held out 5", "accuracy"):
        assert part in done.out, part
    lines = run("predict", "sentiment.npz", "a superb film", "awful").out.splitlines()
    assert [line[0] for line in lines] == ["5", "1"]


def test_ratings(run, stars):
    done = run("train-sentiment", "--data", stars, *COLUMNS, "--learning-rate", 0.2, "--dim", 4, "--loss", "squared")
    assert done.code == 0
    assert "RMSE" in done.out
    done = run("train-sentiment", "--data", stars, *COLUMNS, "--loss", "squared", "--json", "-q")
    found = json.loads(done.out)
    assert (found["labels"], found["dev"]["accuracy"]) == ([], None)
    stars.write_text(stars.read_text() + "\nfine,a film\n")
    done = run("train-sentiment", "--data", stars, *COLUMNS, "--loss", "squared")
    assert (done.code, done.out) == (3, "")
    assert "line 62: the label is 'fine'; expected a number up to 1e+18." in done.err


def test_several_files_and_a_file_to_hold_out(run, reviews):
    more = reviews.parent / "more.jsonl"
    more.write_text('{"text": "good", "label": "pos"}\n{"text": "bad", "label": "neg"}\n')
    done = run("train-sentiment", "--data", reviews, "--data", more, "--dev", more, *SMALL, "--json", "-q")
    found = json.loads(done.out)
    assert found["texts"] == {"train": 42, "dev": 2, "test": 0}
    assert found["inputs"] == {"data": [str(reviews), str(more)], "dev": str(more)}


def test_the_settings_are_in_the_model(run, reviews):
    options = ["--ngrams", 2, "--no-binary", "--schedule", "linear", "--word-dropout", 0.25, "--half", "--patience", 2]
    assert run("train-sentiment", "--data", reviews, *SMALL, *options, "-q").code == 0
    with np.load(reviews.parent / "sentiment.npz") as file:
        header = json.loads(file["header"].tobytes())
        assert file["table"].dtype == np.float16
    expected = {"ngrams": 2, "binary": False, "schedule": "linear", "word_dropout": 0.25, "half": True, "min_count": 2}
    assert header["settings"].items() >= expected.items()
    assert header["provenance"]["inputs"] == {"data": [str(reviews)]}
    assert [epoch["epoch"] for epoch in header["provenance"]["history"]] == [1, 2]
    assert "seconds" not in header["provenance"]["history"][0]


def test_what_cannot_change_the_result_is_not_in_the_model(run, reviews, tmp_path):
    outputs = ["--threads", 2, "--checkpoint", "c", "--log", "l", "--model", "other.npz", "--json"]
    assert run("train-sentiment", "--data", reviews, *SMALL, "-q").code == 0
    assert run("train-sentiment", "--data", reviews, *SMALL, *outputs).code == 0
    assert sha256(tmp_path / "sentiment.npz") == sha256(tmp_path / "other.npz")


def test_log(run, reviews, tmp_path):
    run("train-sentiment", "--data", reviews, *SMALL, "--log", "log.jsonl", "-q")
    head, *epochs = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert head["schema"] == "mlcore.log/1"
    assert head["settings"]["dim"] == 3
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert epochs[0]["dev_loss"] > 0
    run("train-sentiment", "--data", reviews, *SMALL, "--log", "log.jsonl", "-q")
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3


@needs_speed
@pytest.mark.parametrize("rows", [8, 20])
def test_kill_and_resume_end_with_the_same_bytes(start, run, reviews, tmp_path, rows):
    """A process that is killed in the middle of its epochs leaves a checkpoint, from which the rest follows."""
    options = ["--data", reviews, "--epochs", 400, "--patience", 400, "--word-dropout", 0.2, "--optimizer", "adam"]
    assert run("train-sentiment", *options, "-q", "--model", "whole.npz").code == 0
    process = start("train-sentiment", *options, "--checkpoint", "c", "--log", "l")
    for _ in range(rows):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "sentiment.npz").exists()
    done = run("train-sentiment", *options, "--checkpoint", "c", "--resume", "--log", "l")
    assert "Going on after epoch" in done.err
    assert sha256(tmp_path / "sentiment.npz") == sha256(tmp_path / "whole.npz")
    epochs = [json.loads(line).get("epoch") for line in (tmp_path / "l").read_text().splitlines()]
    assert epochs[0] is None and set(epochs[1:]) == set(range(1, 401))


@needs_speed
def test_same_bytes_from_a_cold_and_a_warm_cache(start, reviews, tmp_path):
    """What is compiled in this process computes the same as what another has compiled and saved."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for optimizer in ("adam", "adagrad", "sgd"):
        hashes = set()
        for hash_seed in ("1", "2"):
            options = ["--data", reviews, "--optimizer", optimizer, "--word-dropout", 0.2, "--threads", 2, "-q"]
            process = start("train-sentiment", *options, env=environment | {"PYTHONHASHSEED": hash_seed})
            process.communicate(timeout=300)
            assert process.returncode == 0
            hashes.add(sha256(tmp_path / "sentiment.npz"))
        assert len(hashes) == 1, optimizer


def test_resume_says_what_it_does(run, reviews):
    arguments = ["train-sentiment", "--data", reviews, *SMALL, "--checkpoint", "c"]
    assert "There is no c yet: starting from the beginning." in run(*arguments, "--resume").err
    assert "Going on after epoch 2, from c." in run(*arguments, "--resume").err
    assert "c is there already and will be replaced; --resume would go on from it." in run(*arguments).err
    done = run(*arguments, "--seed", 2, "--resume")
    assert (done.code, done.out) == (2, "")
    assert "The checkpoint c is of another training (seed, features differ)" in done.err
    done = run("train-sentiment", "--data", reviews, *SMALL, "--resume")
    assert (done.code, done.err) == (2, "mlcore: --resume needs the --checkpoint that it goes on from.\n")


def test_init(run, reviews, model, tmp_path):
    new = tmp_path / "new.tsv"
    new.write_text("text\tlabel\n" + "a splendid film\tpos\na shabby film\tneg\n" * 20)
    done = run(
        "train-sentiment", "--data", new, "--init", model, "--model", "next.npz", "--dim", 3, "--hidden", 2,
        "--learning-rate", 0.2,
    )  # fmt: skip
    assert done.code == 0
    lines = run("predict", "next.npz", "good", "bad", "splendid", "shabby").out.splitlines()
    assert [line[:3] for line in lines] == ["pos", "neg", "pos", "neg"]
    done = run("train-sentiment", "--data", new, "--init", model, "--model", "next.npz")
    assert (done.code, done.err) == (2, "mlcore: --dim is 50, but the model to begin with has 3; add --dim 3.\n")


@needs_speed
@pytest.mark.parametrize("trial", range(3))
def test_ctrl_c_is_not_lost_while_a_checkpoint_is_written(start, reviews, tmp_path, trial):
    """Most of the time of this training goes into its checkpoints."""
    options = ["--epochs", 1_000_000, "--patience", 1_000_000, "--dim", 2000]
    process = start("train-sentiment", "--data", reviews, *options, "--checkpoint", "c")
    for _ in range(12 + trial):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "is in sentiment.npz" in err


def test_a_log_replaces_nothing_but_a_log(run, reviews, model):
    before = sha256(model)
    done = run("train-sentiment", "--data", reviews, *SMALL, "--model", "m.npz", "--log", model)
    assert (done.code, done.out) == (2, "")
    assert "which is there and no log; expected another path." in done.err
    assert sha256(model) == before


def test_a_training_that_came_back_says_so(run, reviews):
    done = run("train-sentiment", "--data", reviews, *SMALL, "--optimizer", "sgd", "--learning-rate", 1e7)
    assert done.code == 0
    assert "mlcore: epoch 1 diverged and was taken back; the learning rate is now" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--log", "reviews.tsv"], 2, "--log is reviews.tsv, which is read; expected another path."),
        (["--checkpoint", "a", "--log", "a"], 2, "--log is a, which is the checkpoint; expected another path."),
        (["--model", "a", "--checkpoint", "./a"], 2, "--checkpoint is a, which is the model; expected another path."),
        (["--checkpoint", "no/where"], 5, "no/where: the folder no does not exist; check the path."),
        (["--init", "reviews.tsv"], 4, "reviews.tsv is not a model file of mlcore"),
        (["--init", "nowhere.npz"], 5, "nowhere.npz: No such file or directory"),
        (["--data", ""], 2, "is empty; expected a file or a folder"),
        (["--loss", "hinge"], 2, "--loss is 'hinge'; expected one of logistic, squared."),
        (["--word-dropout", 1], 2, "--word-dropout is 1.0; expected a number from 0 to less than 1."),
        (["--ngrams", 4], 2, "--ngrams is 4; expected a whole number from 1 to 3."),
        (["--format", "xml"], 2, "format is 'xml'"),
        (["--text-column", "body"], 3, "body"),
    ],
)
def test_wrong_options(run, reviews, arguments, code, message):
    done = run("train-sentiment", "--data", "reviews.tsv", *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.count("\n") == 1
    assert message in done.err
