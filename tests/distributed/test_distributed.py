"""Training, evaluation and prediction on clusters of processes of this machine."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import count

import numpy as np
import pandas
import pytest
from conftest import needs_speed
from mlcore.cli import render

from mlcore import InputError, NotFittedError, SentimentClassifier, ShapeError
from mlcore.kernels import compiling
from mlcore.sentiment import checkpoint, replicas
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.initialization import feature_ratios
from mlcore.sentiment.model_file import content_of, model_of
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import Training
from mlcore.text.dataset import built_in_dataset, encode, read_dataset
from mlcore.text.layout import Layout

distributed = pytest.importorskip("distributed", reason="the extra mlcore[dask] is not installed")
import dask.bag  # noqa: E402
import dask.dataframe  # noqa: E402

from mlcore.distributed import DaskSentimentClassifier, cluster, prediction, preparing  # noqa: E402
from mlcore.distributed.prediction import predict_shards  # noqa: E402

pytestmark = [needs_speed, pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")]
SETTINGS = "--dim", 8, "--hidden", 8, "--epochs", 3, "--ngrams", 2, "--learning-rate", 0.02
OPTIONS = {"processes": False, "threads_per_worker": 1, "dashboard_address": ":0", "protocol": "tcp://"}
SHARDS = 6


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A folder with 1,800 of the built-in reviews in six files of different sizes and formats."""
    folder = tmp_path_factory.mktemp("shards")
    header, *rows = built_in_dataset().read_text().splitlines()
    rows = rows[::4][:1_800]
    bounds = [0, 200, 500, 900, 1_200, 1_500, len(rows)]
    for number, (first, last) in enumerate(zip(bounds, bounds[1:], strict=False)):
        (folder / f"part-{number}.tsv").write_text("\n".join([header, *rows[first:last], ""]))
    return folder


class Processes:
    """A scheduler in this process, and workers in processes of their own, started as Dask's documentation says."""

    def __init__(self, workers):
        self.cluster = distributed.LocalCluster(n_workers=0, protocol="tcp://", dashboard_address=":0")
        self.address, self.workers = self.cluster.scheduler_address, []
        self.start(workers)

    def start(self, workers=1):
        command = [sys.executable, "-m", "dask", "worker", self.address, "--nthreads", "1", "--no-nanny"]
        quiet = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
        self.workers += [subprocess.Popen([*command, "--no-dashboard"], **quiet) for _ in range(workers)]
        self.cluster.wait_for_workers(len(self.workers), timeout=60)

    def kill(self, number):
        """As the system does it where memory is short."""
        worker = self.workers.pop(number)
        worker.send_signal(signal.SIGKILL)
        worker.wait(60)

    def close(self):
        while self.workers:
            self.kill(0)
        self.cluster.close(60)


@pytest.fixture(scope="module")
def processes():
    found = Processes(2)
    yield found
    found.close()


@pytest.fixture
def threads():
    """Makes clusters of so many workers in this process."""
    found = []

    def make(workers):
        found.append(distributed.LocalCluster(n_workers=workers, **OPTIONS))
        return found[-1]

    yield make
    for one in found:
        one.close(60)


def train_on(address, folder, on_phase=lambda client, what: None, parts=3):
    """The bytes of a model; ``on_phase`` is called again and again, with the name of the phase."""
    settings = Settings(dim=8, hidden=8, epochs=2, ngrams=2, word_dropout=0.1).resolved()
    with distributed.Client(address, set_as_default=False) as client:
        found = cluster.Cluster(client, partial(on_phase, client))
        dataset = preparing.read_shards(found, [folder / "*.tsv"], Layout(), parts)
        started = Training(dataset, settings, None, encode=preparing.encode_shards)
        started.begin()

        def progress(state):
            on_phase(client, f"epoch {state.epoch}")

        return content_of(started.run(progress))


def predict_on(address, content, shards, folder, on_phase=lambda client, what: None):
    """The content of the files of predictions; ``on_phase`` as for ``train_on``."""
    with distributed.Client(address, set_as_default=False) as client:
        found = cluster.Cluster(client, partial(on_phase, client))
        predict_shards(found, model_of(content), [shards / "*.tsv"], folder, Answers(), Layout())
    return [(folder / path.name).read_bytes() for path in sorted(shards.iterdir())]


@pytest.fixture(scope="module")
def expected(shards):
    """The bytes that one worker gives."""
    with distributed.LocalCluster(n_workers=1, **OPTIONS) as one:
        return train_on(one, shards)


@pytest.mark.parametrize("exchanges", ["one", "several"])
def test_four_workers_and_two_clients_at_once_give_the_bytes_of_one(shards, expected, threads, monkeypatch, exchanges):
    """The clients share a scheduler; one trains something else."""
    if exchanges == "several":  # in an epoch, for few bytes are few rows
        monkeypatch.setattr(replicas, "LARGEST", 7 << 18)
        whole, expected = expected, train_on(threads(1), shards)
        assert expected != whole
    four, others, phases = threads(4), [], []
    other = threading.Thread(target=lambda: others.append(train_on(four, shards, parts=2)))
    other.start()
    assert train_on(four, shards, lambda client, what: phases.append(what.partition(":")[0])) == expected
    other.join(60)
    assert others
    assert others[0] != expected
    reading = ["Reading shards", "Counting words", "Counting n-grams", "Encoding shards", "Fetching held-out texts"]
    assert [*dict.fromkeys(phases)] == [*reading, "Counting labels", "Finding features", "epoch 1", "epoch 2"]


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_twenty_kills_at_random_moments(shards, expected, tmp_path):
    """Five in each phase, of the worker that is there longest; another one takes its place."""
    found, chance, runs = Processes(2), random.Random(20), count()
    left = dict.fromkeys(("Counting", "Encoding", "epoch", "Predicting"), 5)

    def on_phase(client, what):
        phase, _, _ = what.partition(" ")
        if left.get(phase) and chance.random() < 0.5:
            left[phase] -= 1
            time.sleep(chance.uniform(0, 0.1))
            found.kill(0)
            found.start()

    predicted = predict_on(found.address, expected, shards, tmp_path / "alone")
    try:
        while any(left.values()):
            assert train_on(found.address, shards, on_phase) == expected, left
            assert predict_on(found.address, expected, shards, tmp_path / str(next(runs)), on_phase) == predicted, left
    finally:
        found.close()


def test_features_and_splits_are_those_of_one_machine(shards, threads, tmp_path):
    header = built_in_dataset().read_text().splitlines()[0]
    rows = [row for path in sorted(shards.iterdir()) for row in path.read_text().splitlines()[1:]]
    (tmp_path / "whole.tsv").write_text("\n".join([header, *rows, ""]))
    with distributed.Client(threads(1), set_as_default=False) as client:
        for settings in (
            {"ngrams": 3, "char_ngrams": "none", "min_count": 1, "binary": False},
            {"ngrams": 2, "char_ngrams": "3-4", "max_features": 5_000},
        ):
            encoding = Settings(**settings).resolved().encoding()
            one = encode(read_dataset(tmp_path / "whole.tsv"), None, **encoding)
            sharded = preparing.read_shards(cluster.Cluster(client), [shards / "*.tsv"], Layout(), 2)
            many = preparing.encode_shards(sharded, None, **encoding)
            assert one.features.names == many.features.names
            assert (one.labels, one.sizes) == (many.labels, many.sizes)
            ratios = [feature_ratios(data.train, data.labels, len(data.features)) for data in (one, many)]
            arrays = [
                (data.feature_counts, data.fingerprints, own.dense())
                for data, own in zip((one, many), ratios, strict=True)
            ]
            assert all(map(np.array_equal, *arrays))
            for split, other in ((one.dev, many.dev), (one.test, many.test)):
                mine, theirs = split.documents.select(split.rows), other.documents
                places = np.argsort(other.rows)  # the texts of the replicas, one after the other
                assert np.array_equal(split.targets[split.rows], other.targets[other.rows])
                for text, place in enumerate(other.rows):
                    ids = theirs.ids[theirs.offsets[place] : theirs.offsets[place + 1]]
                    assert np.array_equal(ids, mine.ids[mine.offsets[text] : mine.offsets[text + 1]])
                assert len(places) == mine.n_texts


def test_commands(run, shards, processes, tmp_path, monkeypatch):
    """Train, predict and evaluate by the scheduler's address, as on one machine."""
    at, files = ("--scheduler", processes.address), str(shards / "*.tsv")
    monkeypatch.setattr(compiling, "compiling_ahead", None)  # this process does not train, and needs no kernels for it
    trained = run("train-sentiment", "--data", files, *at, "--replicas", 2, *SETTINGS, "--json")
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["inputs"]["replicas"] == "2"
    assert "Dask's dashboard" in run("evaluate", "sentiment.safetensors", files, *at).err

    model, whole = "sentiment.safetensors", sorted(shards.iterdir())
    figures = [json.loads(run("evaluate", model, *data, "--json").out) for data in ([files, *at], whole)]
    assert figures[0] == figures[1]
    assert figures[0]["accuracy"] > 0.6

    said = json.loads(run("predict", model, files, "-o", "out", *at, "--json").out)
    assert (said["shards"], said["written"], said["rows"]) == (SHARDS, SHARDS, 1_800)
    assert run("predict", model, whole[0], "-o", "alone.tsv").code == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written["part-0.tsv"] == (tmp_path / "alone.tsv").read_bytes()
    (tmp_path / "out" / "part-3.tsv").unlink()
    again = run("predict", model, files, "-o", "out", *at)
    assert "Wrote 1 file with 300 rows to out; 5 were complete already." in again.err
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert run("predict", model, files, "-o", "out", *at, "--top", 2).code == 2  # other columns: another folder
    monkeypatch.setattr(prediction, "LARGEST", 0)  # the table stays with the client
    assert run("predict", model, files, "-o", "here", *at).code == 0
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}


def test_the_scheduler_is_lost(run, shards, threads, tmp_path, monkeypatch):
    """The training ends with a message, and goes on from its checkpoint to the bytes of one that was left alone."""
    options = ["train-sentiment", "--data", shards / "*.tsv", *SETTINGS, "--replicas", 3, "--checkpoint", "c", "--json"]
    assert run(*options, "--scheduler", threads(1).scheduler_address, "--model", "whole").code == 0
    (tmp_path / "c").unlink()
    lost, save = threads(1), checkpoint.save_checkpoint

    def save_and_lose(*arguments):
        save(*arguments)
        lost.close()

    with monkeypatch.context() as patch, dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        patch.setattr(checkpoint, "save_checkpoint", save_and_lose)
        stopped = run(*options, "--scheduler", lost.scheduler_address, "--model", "model")
    assert stopped.code == 5
    assert "the scheduler was lost" in stopped.err
    assert run(*options, "--scheduler", threads(1).scheduler_address, "--model", "model", "--resume").code == 0
    assert (tmp_path / "model").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_cluster_without_workers(run, threads, tmp_path, monkeypatch):
    """It is said that some are missing; a training begins as soon as there is one, and ends if none comes."""
    (tmp_path / "a.tsv").write_text("label\ttext\n" + "pos\tgood\nneg\tbad\n" * 20)
    monkeypatch.setattr(cluster, "LOOK", 0.1)
    empty, later = threads(0), threads(0)

    def say(_, what):
        render.say(what)
        if f"dask worker {later.scheduler_address}" in what:
            later.scale(1)

    monkeypatch.setattr("mlcore.cli.render.Activity.update", say)
    for found, patience, code, message in (
        (empty, 0.2, 5, "Reading shards: no worker with free memory"),
        (later, 60, 0, f"start some: dask worker {later.scheduler_address}"),
    ):
        monkeypatch.setattr(cluster, "PATIENCE", patience)
        done = run("train-sentiment", "--data", "a.tsv", "--scheduler", found.scheduler_address, *SETTINGS)
        assert (done.code, message in done.err) == (code, True), done.err


def test_replicas_are_at_most_as_many_as_files_with_texts_to_train_on(run, threads, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "REPLICA", 1)  # token
    for split in ("train", "train 2", "test"):
        rows = f"pos\tgood\t{split[:5]}\nneg\tbad\t{split[:5]}\n" * 20
        (tmp_path / f"{split}.tsv").write_text("label\ttext\tsplit\n" + rows)
    at = "--scheduler", threads(1).scheduler_address
    trained = run("train-sentiment", "--data", "t*.tsv", *at, *SETTINGS, "--json")
    assert json.loads(trained.out)["inputs"]["replicas"] == "2", trained.err


def test_mistakes(run, threads, processes, tmp_path, monkeypatch):
    """Each is found before the training, and its message says what to do."""
    at = "--scheduler", threads(1).scheduler_address
    (tmp_path / "a.tsv").write_text("label\ttext\npos\tgood\nneg\tbad\n")
    (tmp_path / "b.tsv").write_text("label\ttext\npos\tgood\nneg\n")
    for arguments, code, message in (
        (["--data", "[ab].tsv", *at], 3, f"{tmp_path / 'b.tsv'}, line 3"),
        (["--data", "nowhere/*.tsv", *at], 2, "No file matches nowhere/*.tsv."),
        (["--data", "a.tsv", *at, "--replicas", 2, "--dev", 0], 2, "--replicas is 2; expected from 1 to 1"),
        (["--data", "a.tsv", "--replicas", 2], 2, "--replicas also needs --scheduler"),
        (["--data", "a.tsv", *at, "--dev", "b.tsv"], 2, "--scheduler takes a fraction as --dev"),
        (at, 2, "--scheduler also needs --data"),
        (["--data", "a.tsv", "--scheduler", "tcp://127.0.0.1:9"], 2, "no scheduler answers there"),
        (["--data", "a.tsv", "--scheduler", "local"], 2, "no scheduler answers there"),
    ):
        with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
            done = run("train-sentiment", *arguments, *SETTINGS)
        assert (done.code, message in done.err) == (code, True), done.err
        assert not (tmp_path / "sentiment.safetensors").exists()
    monkeypatch.setattr(cluster, "__version__", "9.9")
    done = run("train-sentiment", "--data", "a.tsv", "--scheduler", processes.address)
    assert done.code == 2
    assert "The worker tcp://127.0.0.1:" in done.err
    assert "and the client has 9.9; install the same version on all machines." in done.err


def test_bags_and_frames(threads):
    """The same texts in a bag and in a data frame, also with numbers as labels, and the model on one machine."""
    texts = ["a warm, good film", "a dull, bad film", "warm and good", "dull and bad"] * 15
    labels = [True, False] * 30
    frame = pandas.DataFrame({"text": texts, "label": labels})
    with distributed.Client(threads(2)) as client:
        bags = [dask.bag.from_sequence(values, npartitions=3) for values in (texts, labels)]
        columns = dask.dataframe.from_pandas(frame, npartitions=3)
        options = {"replicas": 2, "dim": 4, "hidden": 4, "learning_rate": 0.1, "dev": 0, "epochs": 5}
        models = [
            DaskSentimentClassifier(client, **options).fit(*bags),
            DaskSentimentClassifier(**options).fit(columns.text, columns.label),
        ]
        assert models[0]._content() == models[1]._content()
        assert models[0].predict(bags[0]).compute() == labels
        predicted = models[1].predict(columns.text)
        assert predicted.dtype == bool
        pandas.testing.assert_series_equal(predicted.compute(), frame.label.rename("predicted"))
        local = models[0].to_local()
        assert isinstance(local, SentimentClassifier)
        assert local.predict(texts).tolist() == labels
        ratings = DaskSentimentClassifier(loss="squared", **options | {"epochs": 2}).fit(bags[0], bags[1].map(float))
        assert ratings.to_local().predict(["warm"]).dtype == float
        with pytest.raises(InputError, match="expected Dask's"):
            models[0].predict(texts)
        mixed = dask.bag.concat([dask.bag.from_sequence(values, npartitions=1) for values in ([True], [1])])
        for X, y, error, message in (
            *((X, bags[1], InputError, "Dask's: a bag, or a column of a data frame") for X in (texts, "a", columns)),
            (bags[0], dask.bag.from_sequence(labels, npartitions=1), ShapeError, "X has 3 partitions, but y has 1"),
            (bags[0], bags[1].map(lambda label: [label]), InputError, r"y\[0\] is "),
            (dask.bag.from_sequence(["a", "b"], npartitions=2), mixed, InputError, "types bool and int"),
        ):
            with pytest.raises(error, match=message):
                models[0].fit(X, y)
    with pytest.raises(NotFittedError):
        DaskSentimentClassifier().to_local()
