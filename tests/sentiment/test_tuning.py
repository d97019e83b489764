"""Cross-validation and the search for settings."""

import json
import re
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import pinned
from mlcore.cli import interrupts, render
from test_training import LABELS, TEXTS

from mlcore.errors import DataError, InputError
from mlcore.sentiment import tuning
from mlcore.sentiment.model_file import load_model
from mlcore.sentiment.settings import Facts, Settings
from mlcore.sentiment.tuning import Trial
from mlcore.text.dataset import dataset_of

SMALL = Settings(ngrams=1, char_ngrams="none", dim=3, hidden=2, epochs=2, learning_rate=0.1, refit=False)
OPTIONS = (
    "--data", "reviews.tsv", "--folds", 2, "--ngrams", 1, "--dim", 3, "--hidden", 2, "--epochs", 2, "--threads", 1,
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return dataset_of(TEXTS[:60], LABELS[:60])


@pytest.fixture(autouse=True)
def no_script(monkeypatch):
    """The processes of a search would import the script that runs here, which is pytest's."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


def test_each_text_is_tested_on_once_and_never_trained_on_then(data):
    tested = [tuning.fold_of(data, number, 5).rows("test") for number in range(5)]
    assert sorted(np.concatenate(tested).tolist()) == list(range(60))
    for number, rows in enumerate(tested):
        assert sorted([*rows, *tuning.fold_of(data, number, 5).rows("train")]) == list(range(60))
    with pytest.raises(DataError, match="too few texts for 5 folds"):
        tuning.fold_of(dataset_of(TEXTS[:3], LABELS[:3]), 0, 5)
    # a dev split is tested on instead, and a test split is not used
    splits = ["dev"] * 10 + ["test"] * 10 + ["train"] * 40
    fold = tuning.fold_of(dataset_of(TEXTS[:60], LABELS[:60], splits=splits), 1, 5)
    assert fold.rows("test").tolist() == list(range(10))
    assert fold.rows("", "train", "dev").tolist() == list(range(20, 60))


def test_cross_validation(data):
    found = tuning.cross_validate(data, pinned(dim=3, hidden=2, epochs=8, learning_rate=0.1), "accuracy", 3)
    assert (len(found.scores), found.mean) == (3, pytest.approx(np.mean(found.scores)))
    assert found.deviation == pytest.approx(np.std(found.scores, ddof=1))
    assert min(tuning.cross_validate(data, SMALL, "log-loss", 2).scores) > 0
    ratings = dataset_of(TEXTS[:60], [str(len(text)) for text in TEXTS[:60]])
    found = tuning.cross_validate(ratings, replace(SMALL, loss="squared"), None, 2)
    assert (found.metric, min(found.scores) > 0) == ("rmse", True)
    with pytest.raises(InputError, match="expected accuracy or macro-f1 or log-loss"):
        tuning.cross_validate(data, SMALL, "rmse", 3)


def test_what_is_drawn_ranked_and_important():
    given = Settings(dim=7)
    drawn = [tuning.drawn_settings(given, Facts(), number) for number in range(30)]
    assert drawn == [tuning.drawn_settings(given, Facts(), number) for number in range(30)]
    assert (drawn[0], {name for one in drawn for name in one}) == ({}, {*tuning.SPACE, *tuning.MULTIPLES} - {"dim"})
    assert {one.get("learning_rate") for one in drawn} == {None, 0.004, 0.007, 0.015, 0.025}, "multiples of 0.01"
    assert {one.get("ngrams") for one in drawn} == {None, 1, 3}, "not the usual 2"
    assert 1 < np.mean([len(one) for one in drawn[1:]]) < 3, "a third of the six settings"
    assert tuning.drawn_settings(Settings(**asdict(given.resolved())), Facts(), 1) == {}, "all are given"
    given = {name: getattr(given.resolved(), name) for name in (*tuning.SPACE, *tuning.MULTIPLES)}
    assert tuning.drawn_settings(Settings(**given), Facts(), 1) == {}, "all that are searched are given, others are not"
    trials = [Trial(0, {}, [0.9]), Trial(1, {"ngrams": 2}, [0.5, 0.5]), Trial(2, {"dim": 9}, [0.9])]
    assert [trial.number for trial in tuning.ranked(trials)] == [1, 0, 2], "more folds first"
    assert tuning.winner(tuning.ranked(trials)).number == 0, "one fold does not tell"
    losses = tuning.ranked([Trial(0, {}, [-0.9]), Trial(1, {}, [-0.5])])
    assert [(trial.number, trial.mean) for trial in losses] == [(1, 0.5), (0, 0.9)], "the smaller one is better"
    for second, number in (([0.6, 0.7], 1), ([0.6, 0.53], 0), ([0.5, 0.5], 0)):
        trials_of_two = [Trial(1, {}, second), Trial(0, {}, [0.5, 0.5]), Trial(2, {}, [0.4])]
        assert tuning.winner(trials_of_two).number == number, "by more than twice its error"
    assert tuning.importance(trials) == {"ngrams": pytest.approx(1), "dim": pytest.approx(0.25)}, "the explained share"


def test_the_search_is_the_same_for_any_number_of_processes(data):
    found = [tuning.tune(data, SMALL, "accuracy", 2, 1_000, 3, processes).to_dict() for processes in (1, 2)]
    assert found[0] == found[1]
    assert sorted(row["trial"] for row in found[0]["trials"]) == [0, 1, 2]
    assert [row["folds"] for row in found[0]["trials"]] == [2, 2, 1]
    with pytest.raises(DataError, match="1 label to train on"):
        tuning.tune(dataset_of(TEXTS[:60], ["same"] * 60), SMALL, "accuracy", 2, 1_000, 30, 1)


def test_the_commands_show_the_scores_and_train_with_the_best_settings(run, model, reviews, monkeypatch):
    assert len(json.loads(run("cross-validate", *OPTIONS, "--json").out)["scores"]) == 2
    shown, update = [], render.Activity.update
    monkeypatch.setattr(render.Activity, "update", lambda self, text: shown.append(str(text)) or update(self, text))
    done = run("tune", *OPTIONS, "--trials", 2, "--minutes", 5)
    assert any(re.search(r"\n +0 +[12]  [01]\.\d+ .* as given", text) for text in shown), "the table is live"
    assert (done.code, "trial  folds  accuracy" in done.out) == (0, True)
    assert "\nTrials: 2. Trial 0 has the settings as given; they stay unless " in done.out
    assert done.out.endswith(" standard error of such differences.\n"), "too few to tell what mattered"
    assert "Replaced sentiment.safetensors. The same again: mlcore train-sentiment" in done.err
    assert load_model(model).settings.epochs == 2


@pytest.mark.parametrize(("scored", "said"), [(True, "The same again: "), (False, "other was not written.")])
def test_a_signal_ends_the_search_and_keeps_the_best(run, reviews, monkeypatch, scored, said):
    def update(activity, text):
        if "Trials" in text and ("best" in text) == scored:
            interrupts.received = signal.SIGINT

    monkeypatch.setattr(render.Activity, "update", update)
    done = run("tune", *OPTIONS, "--minutes", 5, "--model", "other")
    assert (done.code, said in done.err, Path("other").exists()) == (130, True, scored)
    assert done.err.count("mlcore: interrupted ") == 1
