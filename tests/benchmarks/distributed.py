"""Measure training on clusters of processes of this machine: python tests/benchmarks/distributed.py --data PATH

PATH holds labelled texts, such as IMDb's (aclImdb-train.tar.gz); without it, the built-in reviews are taken. It prints
what was measured, and what it would come to on larger clusters: README.md beside this file says how. Run it while
nothing else runs; it needs the extra mlcore[dask].
"""

import sys

sys.path.pop(0)  # this folder, where Dask's package would be found as this file

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mlcore.distributed import training as replicas_on_workers
from mlcore.distributed.cluster import connected
from mlcore.distributed.prediction import predict_shards
from mlcore.distributed.preparing import MAX_REPLICAS, REPLICA, encode_shards, read_shards
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.initialization import new_model
from mlcore.sentiment.model import Model
from mlcore.sentiment.replicas import Combination, packed
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import train
from mlcore.text.dataset import built_in_dataset, encode, read_dataset
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
            data = encode(dataset, 0, **SETTINGS.encoding())
        with clocked(figures, "train"):
            train(new_model(data, SETTINGS), data, new_model, 1)
    return figures | {"tokens": len(dataset.tokens.ids), "texts": dataset.n_texts}


def on_workers(folder: Path, workers: int, replicas: int, output: Path) -> Figures:
    """The phases on so many new workers, and the most memory that one took, in MB."""
    figures, new_trainer = Figures(), replicas_on_workers.ReplicaTrainer
    with connected(f"local:{workers}") as cluster:
        for shards in (folder.parent / WARM_UP, folder):
            paths = [shards / "*.jsonl"]
            with clocked(figures, "prepare"):
                dataset = read_shards(cluster, paths, Layout(), replicas)
                data = encode_shards(dataset, 0, **SETTINGS.encoding())
            figures["start"] = max(cluster.client.run(peak).values())
            with counted_bytes(figures), clocked(figures, "train"):
                model: Model = train(new_model(data, SETTINGS), data, new_model, 1, new_trainer=new_trainer)
            figures["memory"] = max(cluster.client.run(peak).values())
            with clocked(figures, "predict"):
                predict_shards(cluster, model, paths, output / shards.name, Answers(), Layout())
    return figures | {"words": len(data.features)}


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


@contextmanager
def counted_bytes(figures: Figures) -> Iterator[None]:
    """Note the bytes that an epoch moves, of common parameters and of those of each replica, and the time of adding."""
    figures |= {"common": 0, "returned": 0, "adding": 0}

    def counted(state):
        content = packed(state)
        figures["common"] += len(content) / SETTINGS.epochs
        return content

    class Counted(Combination):
        def add(self, trained, *arguments):
            figures["returned"] += len(trained[2]) / SETTINGS.epochs
            started = time.perf_counter()
            super().add(trained, *arguments)
            figures["adding"] += (time.perf_counter() - started) / SETTINGS.epochs

    replicas_on_workers.packed, replicas_on_workers.Combination = counted, Counted
    yield
    replicas_on_workers.packed, replicas_on_workers.Combination = packed, Combination


def expected(tokens: float, machines: int, one: Figures, many: Figures) -> float:
    """Seconds of a whole training, from the rates of one worker, for so many machines."""
    cores = CORES * machines
    replicas = max(1, min(int(tokens / REPLICA), MAX_REPLICAS, cores))
    growth = (tokens / one["tokens"]) ** WORDS_GROW
    prepare = many["prepare"] / one["tokens"] * tokens / cores
    epoch = many["train"] / SETTINGS.epochs / one["tokens"] * tokens / replicas
    moved = growth * (many["common"] + replicas * many["returned"])  # all of it passes the client's network card
    return prepare + EPOCHS * (epoch + moved / NETWORK + growth * replicas * many["adding"])


def shown(seconds: float) -> str:
    """A time in the unit that fits it."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s"


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n")
    for row in (columns, ["---"] * len(columns), *rows):
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

        phases: dict[str, Callable[[str], Figures]] = {
            "one thread, no cluster": lambda name: on_one_thread(place / str(SHARDS)),
            "1 worker, 1 replica": lambda name: run(name, 1, 1),
            "1 worker, 2 replicas": lambda name: run(name, 1, 2),
            "2 workers, 2 replicas": lambda name: run(name, 2, 2),
        }
        found = {name: phase(name) for name, phase in phases.items()}
        by_size = {shards: run(f"{shards} shards", 2, 2, shards) for shards in sizes}
    one, worker = found["one thread, no cluster"], found["1 worker, 1 replica"]
    tokens, moved = int(one["tokens"]), found["2 workers, 2 replicas"]
    print(f"{data}: {int(one['texts']):,} texts, {tokens:,} tokens, {int(worker['words']):,} words, "
          f"{SHARDS} shards, {SETTINGS.epochs} epochs; {available_cores()} cores")  # fmt: skip
    seconds = [[name, *(f"{some[p]:.2f}" if p in some else "" for p in ("prepare", "train", "predict"))]
               for name, some in found.items()]  # fmt: skip
    table("Measured, in seconds", ["", "prepare", "train", "predict"], seconds)
    mb = {name: f"{moved[name] / 1e6:.1f} MB" for name in ("common", "returned")}
    print(f"\nAn epoch with two replicas moves {mb['common']} of common parameters to each worker, and "
          f"{mb['returned']} back to the client, which adds them in {moved['adding']:.3f} s.")  # fmt: skip
    rows = [[str(shards), f"{tokens // shards:,}", f"{some['start']:.0f} MB", f"{some['memory']:.0f} MB"]
            for shards, some in by_size.items()]  # fmt: skip
    table("Measured peak memory of a worker, of two", ["shards", "tokens in each", "prepare", "train"], rows)
    times = [[f"10^{power}", *(shown(expected(10**power, machines, one, worker)) for machines in (1, 4, 16, 64))]
             for power in (9, 10, 11)]  # fmt: skip
    columns = ["tokens", *(f"{machines} machine{'s' * (machines > 1)}" for machines in (1, 4, 16, 64))]
    table(f"Computed time of {EPOCHS} epochs, {CORES} cores per machine, 10 Gbit/s", columns, times)


if __name__ == "__main__":
    main()
