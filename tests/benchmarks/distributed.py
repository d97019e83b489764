"""Measure training on clusters of processes of this machine: python tests/benchmarks/distributed.py --data PATH

PATH holds labelled texts, such as IMDb's (aclImdb-train.tar.gz); without it, the built-in reviews are taken. It prints
the end of the section "Clusters" of README.md beside this file, which says how it computes what is not measured. Run it
while nothing else runs; it needs the extra mlcore[dask].
"""

import sys

sys.path.pop(0)  # this folder, where Dask's package would be found as this file

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np

from mlcore.distributed.cluster import connected
from mlcore.distributed.prediction import predict_shards
from mlcore.distributed.preparing import MAX_REPLICAS, REPLICA, encode_shards, read_shards
from mlcore.kernels.optimizers import with_moments
from mlcore.sentiment import replicas as training_by_replicas
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.replicas import Combination, arrays_of
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import EpochReport, State, Training
from mlcore.text.dataset import built_in_dataset, read_dataset
from mlcore.text.layout import Layout
from mlcore.text.pool import available_cores

SETTINGS = Settings(ngrams=1, char_ngrams="none", epochs=3, learning_rate=0.01, refit=False).resolved()
SHARDS = 8
WARM_UP = "warm-up"  # a folder of shards that are worked on first, so that all kernels are loaded
NETWORK = 10e9 / 8  # bytes per second of 10 Gbit/s
CORES = 8  # of a machine of the computed table
EPOCHS = 5
WORDS_GROW = 0.5  # the exponent with which the vocabulary grows with the texts (Heaps' law)

Figures = dict[str, float]


def write_shards(data: Path, folder: Path, shards: int) -> None:
    """Deal the training texts of a data set to so many files of JSON Lines."""
    dataset = read_dataset(data, keep_texts=True)
    rows = np.random.default_rng(1).permutation(dataset.rows("", "train"))
    folder.mkdir()
    for number, some in enumerate(np.array_split(rows, shards)):
        lines = [{"text": dataset.texts[i], "label": dataset.label_names[dataset.labels[i]]} for i in some]
        (folder / f"{number:03}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@contextmanager
def clocked(figures: Figures, phase: str) -> Iterator[None]:
    """Note the seconds that a phase takes."""
    started = time.perf_counter()
    yield
    figures[phase] = time.perf_counter() - started


def on_one_thread(folder: Path) -> Figures:
    """The phases of one machine without a cluster."""
    figures = Figures()
    for shards in (folder.parent / WARM_UP, folder):
        with clocked(figures, "prepare"):
            dataset = read_dataset(sorted(shards.iterdir()))
            training = Training(dataset, SETTINGS, 0)
        with clocked(figures, "train"):
            training.begin()
            training.run()
    return figures | {"tokens": len(dataset.tokens.ids), "texts": dataset.n_texts}


def on_workers(folder: Path, workers: int, replicas: int, output: Path) -> Figures:
    """The phases on so many new workers, and the most memory that one took, in MB."""
    figures = Figures()

    def note(report: EpochReport, state: State) -> None:
        figures["epochs"] += report.seconds

    with connected(f"local:{workers}") as cluster:
        for shards in (folder.parent / WARM_UP, folder):
            paths = [shards / "*.jsonl"]
            with clocked(figures, "prepare"):
                dataset = read_shards(cluster, paths, Layout(), replicas)
                training = Training(dataset, SETTINGS, 0, encode=encode_shards)
            figures["start"] = max(cluster.client.run(peak).values())
            with counted(figures), clocked(figures, "train"):
                figures["epochs"] = 0.0
                training.begin()
                model = training.run(on_epoch=note)
            figures["memory"] = max(cluster.client.run(peak).values())
            with clocked(figures, "predict"):
                predict_shards(cluster, model, paths, output / shards.name, Answers(), Layout())
    rows, _, _, _ = with_moments(model.parameters, SETTINGS.optimizer)
    return figures | {"words": len(rows), "row": rows[0].nbytes}


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


@contextmanager
def counted(figures: Figures) -> Iterator[None]:
    """Note, for an epoch, the bytes of parameters that go to the workers and come back, the seconds in which the client
    gathers and adds them, and those in which the workers train.
    """
    figures |= dict.fromkeys(("sent", "returned", "client", "training"), 0.0)

    def note(name: str, amount: float) -> None:
        figures[name] += amount / SETTINGS.epochs

    def gather(state, features):
        started = time.perf_counter()
        arrays = arrays_of(state, features)
        note("client", time.perf_counter() - started)
        note("sent", sum(array.nbytes for array in arrays.values()))
        return arrays

    class Counted(Combination):
        def add(self, trained, *arguments):
            note("returned", sum(array.nbytes for array in trained[2].values()))
            note("training", trained[0].seconds)
            started = time.perf_counter()
            super().add(trained, *arguments)
            note("client", time.perf_counter() - started)

    training_by_replicas.arrays_of, training_by_replicas.Combination = gather, Counted
    yield
    training_by_replicas.arrays_of, training_by_replicas.Combination = arrays_of, Combination


def expected(tokens: float, machines: int, found: Figures) -> float:
    """Seconds of a whole training on so many machines, from the figures of one worker with one replica.

    More machines never take longer: the texts decide how many replicas there are, and so what the client moves.
    """
    cores, times = CORES * machines, tokens / found["tokens"]
    chunks = replicas = max(1, min(int(tokens / REPLICA), MAX_REPLICAS))
    while (rows := found["words"] * (times / chunks) ** WORDS_GROW) * found["row"] > training_by_replicas.LARGEST:
        chunks *= 2
    moved = chunks * rows / found["words"]  # as a multiple of what was measured
    waiting = max(0.0, found["epochs"] / SETTINGS.epochs - found["training"])  # for the client and for Dask
    waiting += (found["sent"] + found["returned"]) / NETWORK
    epoch = found["training"] * times / min(cores, replicas) + moved * waiting
    prepare = found["prepare"] + found["train"] - found["epochs"]
    return prepare * times / cores + EPOCHS * epoch


def shown(seconds: float) -> str:
    """A time in the unit that fits it."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s"


def table(columns: list[str], rows: list[list[str]]) -> None:
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="PATH", type=Path, default=built_in_dataset(), help="Labelled texts.")
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory(prefix="mlcore-benchmark-") as name:
        place = Path(name)
        sizes = (SHARDS // 4, SHARDS, SHARDS * 4)
        write_shards(built_in_dataset(), place / WARM_UP, SHARDS)
        for shards in sizes:
            write_shards(data, place / str(shards), shards)

        def run(name: str, workers: int, replicas: int, shards: int = SHARDS) -> Figures:
            return on_workers(place / str(shards), workers, replicas, place / f"out of {name}")

        found = {"one thread, no cluster": on_one_thread(place / str(SHARDS))}
        for workers, replicas in ((1, 1), (1, 2), (2, 2)):
            name = f"{workers} worker{'s' * (workers > 1)}, {replicas} replica{'s' * (replicas > 1)}"
            found[name] = run(name, workers, replicas)
        by_size = {shards: run(f"{shards} shards", 2, 2, shards) for shards in sizes}
    one, two = found["one thread, no cluster"], found["2 workers, 2 replicas"]
    worker, tokens = found["1 worker, 1 replica"] | {"tokens": one["tokens"]}, int(one["tokens"])
    print(f"Measured on {date.today():%-d %B %Y} on {available_cores()} cores with {int(one['texts']):,} texts "
          f"({tokens:,} tokens, {int(worker['words']):,} words; {SHARDS} shards, {SETTINGS.epochs} epochs), "
          "in seconds:\n")  # fmt: skip
    seconds = [[name, *(f"{some[p]:.2f}" if p in some else "" for p in ("prepare", "train", "predict"))]
               for name, some in found.items()]  # fmt: skip
    table(["", "prepare", "train", "predict"], seconds)
    print(f"\nAn epoch with two replicas moves {two['sent'] / 1e6:.1f} MB of parameters to the workers and "
          f"{two['returned'] / 1e6:.1f} MB back to the client, which takes {two['client']:.3f} s to gather and "
          "add them. The peak memory of a worker, of two:\n")  # fmt: skip
    rows = [[str(shards), f"{tokens // shards:,}", f"{some['start']:.0f} MB", f"{some['memory']:.0f} MB"]
            for shards, some in by_size.items()]  # fmt: skip
    table(["shards", "tokens in each", "prepared", "trained"], rows)
    print(f"\nComputed from this, for {EPOCHS} epochs, machines of {CORES} cores, and 10 Gbit/s:\n")
    sizes = (1, 4, 16, 64)
    times = [[f"10^{power}", *(shown(expected(10**power, machines, worker)) for machines in sizes)]
             for power in (9, 10, 11)]  # fmt: skip
    table(["tokens", *(f"{machines} machine{'s' * (machines > 1)}" for machines in sizes)], times)


if __name__ == "__main__":
    main()
