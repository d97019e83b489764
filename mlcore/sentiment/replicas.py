"""Training by replicas: each trains on some of its texts from common parameters, and then they are combined.

A replica is given only those rows of the table that its texts use, which are a small part of a large one.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from mlcore.kernels.forward import Parameters
from mlcore.sentiment.model import Model
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import Progress, State, Trainer, largest_loss, text_weights
from mlcore.text.dataset import Split
from mlcore.text.documents import Documents, Totals

Trained = tuple[Progress, int, dict[str, np.ndarray]]  # the end of an epoch, steps, and arrays as of ``arrays_of``
LARGEST = 1 << 27  # bytes of rows of the table, with their moments, that a worker is given at a time
ROWS = 1 << 14  # of a table that are added at a time


def selected(documents: Documents, at: np.ndarray, only: np.ndarray | None) -> Documents:
    """The documents of a chunk: of the texts at these places, which ascend, with these features only.

    Shapes: at (n,), only (v,) bool, or None for all features.
    """
    chosen = documents.select(at)
    return chosen if only is None else chosen.only(only)


def features_in(*chunk: Any) -> np.ndarray:
    """The features of a chunk, ascending: (m,) int32."""
    return np.unique(selected(*chunk).ids)


def totals(chunk: tuple[Any, ...], *arguments: Any) -> Totals:
    """As ``Documents.totals``."""
    return selected(*chunk).totals(*arguments)


def arrays_of(state: State, features: np.ndarray) -> dict[str, np.ndarray]:
    """Copies of the arrays of a training, of the table with its moments only the rows of these features."""
    return {name: array[features] if name == "rows" else array.copy() for name, array in state.arrays().items()}


def train_replica(
    chunk: tuple[Any, ...], targets: np.ndarray, weights: np.ndarray, arrays: dict[str, np.ndarray],
    settings: Settings, labels: tuple[str, ...], step: int, epoch: int, first_piece: int,
) -> Trained | None:  # fmt: skip
    """Train for an epoch on a chunk, on one thread, which gives the same bytes everywhere; None if it diverges.

    Shapes: targets as in ``Split`` and weights (n,) of the texts. Units: step and epoch are the numbers of those done.
    """
    documents = selected(*chunk)
    features = np.unique(documents.ids)
    numbers = np.zeros(features.max(initial=-1) + 1, np.int32)  # of features, as rows of the table here
    numbers[features] = np.arange(len(features))
    documents = documents._replace(ids=numbers[documents.ids])
    table = arrays["rows"][:, : arrays["current_W1"].shape[1]]
    layers = (arrays[f"current_{name}"] for name in Parameters._fields[1:])
    own_features: Any = SimpleNamespace(first_piece=int(np.searchsorted(features, first_piece)))  # all that is asked
    model = Model(settings, labels, own_features, Parameters(table, *layers))
    own = State.initial(model)
    for name, array in own.arrays().items():
        array[:] = arrays[name]
    own.step, own.reports = step, [cast(Any, None)] * epoch
    with ThreadPoolExecutor(1) as pool:
        trainer = Trainer(pool, 1, model, Split(documents, np.array(targets), np.arange(len(targets))), own)
        trainer.weights = np.array(weights)  # aligned, unlike what has come in a message
        end = trainer.train_epoch(lambda progress: None)
    return None if end is None else (end, own.step, own.arrays())


class Combination:
    """Sums over replicas, in the order in which they are added.

    A layer and its moments become the means of those of all replicas, a row of the table and its moments the means of
    those of the replicas that have changed it.
    """

    def __init__(self, state: State, progress: Callable[[Progress], None]) -> None:
        self.state, self.progress, self.replicas, self.texts, self.step = state, progress, 0, 0, 0
        self.sums = {name: np.zeros_like(array) for name, array in state.arrays().items()}
        self.changes = np.zeros(len(state.rows), np.float32)
        self.done = Progress(len(state.reports) + 1, 0.0, 0.0, 0, 0.0)

    def add(self, trained: Trained, features: np.ndarray, texts: int, share: float, seconds: float) -> None:
        """Add a replica that has trained the rows of these features on so many texts, a share of all, and report the
        progress.
        """
        (end, step, arrays), done = trained, self.done
        self.replicas, self.texts = self.replicas + 1, self.texts + texts
        rows = arrays.pop("rows")
        for first in range(0, len(rows), ROWS):
            own, at = rows[first : first + ROWS], features[first : first + ROWS]
            changed = (own != self.state.rows[at]).any(axis=1)
            self.sums["rows"][at[changed]] += own[changed]
            self.changes[at[changed]] += 1
        for name, array in arrays.items():
            self.sums[name] += array
        self.step = max(self.step, step)
        loss = done.loss + (end.loss - done.loss) * texts / self.texts
        self.done = Progress(done.epoch, done.share + share, loss, done.features + end.features, seconds)
        self.progress(self.done)

    def finish(self) -> None:
        """Give the state the means, and begin again."""
        touched, arrays = np.flatnonzero(self.changes), self.state.arrays()
        for first in range(0, len(touched), ROWS):
            at = touched[first : first + ROWS]
            arrays["rows"][at] = self.sums["rows"][at] / self.changes[at, np.newaxis]
            self.sums["rows"][at] = 0
        for name in arrays.keys() - {"rows"}:
            arrays[name][:] = self.sums[name] / np.float32(self.replicas)
            self.sums[name][:] = 0
        self.changes[touched], self.replicas, self.state.step = 0, 0, self.step


class ReplicaTrainer(Trainer):
    """Trains the replicas of ``mlcore.distributed.preparing.ShardedDocuments``, and combines them after every epoch, or
    after so small parts of it that the rows for the features in each replica's texts take at most LARGEST.

    Their learning rate is sqrt(replicas) times as large as that of one, since each makes as many fewer steps.
    """

    def __init__(self, pool: ThreadPoolExecutor, threads: int, model: Model, train: Split, state: State) -> None:
        self.pool, self.threads, self.model, self.train, self.state = pool, threads, model, train, state
        self.largest_loss, self.weights = largest_loss(model, train), text_weights(train, model.settings, model.labels)
        documents: Any = train.documents
        self.cluster, self.n, parts = documents.cluster, len(documents.chunks), 1
        fewest, rows = min(len(rows) for _, rows in documents.chunks), LARGEST // state.rows[:1].nbytes
        while True:
            self.chunks, self.parts = documents.split(parts, model.settings.seed), parts
            calls = [(features_in, *chunk) for chunk, _ in self.chunks]
            self.features = list(self.cluster.results("Finding features", calls))
            most = max(map(len, self.features))
            if most <= rows or parts == fewest:
                break
            parts = min(fewest, max(parts + 1, math.ceil(parts * most / rows)))

    def train_epoch(self, progress: Callable[[Progress], None]) -> Progress | None:
        """Train all replicas for an epoch and combine them; None if one diverges."""
        combination, started = Combination(self.state, progress), time.perf_counter()
        for part in range(self.parts):
            places = range(part * self.n, (part + 1) * self.n)
            results = self.cluster.results("Training", map(self._call, places))
            for place, trained in zip(places, results, strict=True):
                if trained is None:
                    return None
                texts, share = len(self.chunks[place][1]), 1 / len(self.chunks)
                combination.add(trained, self.features[place], texts, share, time.perf_counter() - started)
            combination.finish()
        return combination.done

    def _call(self, place: int) -> tuple[Any, ...]:
        """The training of a chunk of a replica, with all that it needs of the common parameters."""
        (chunk, rows), state, settings = self.chunks[place], self.state, self.model.settings
        part, replica = divmod(place, self.n)
        seed = int(np.random.SeedSequence([settings.seed, 4, replica]).generate_state(1)[0])  # of its order of texts
        own = replace(
            settings, seed=seed, epochs=min(settings.epochs * self.parts, 100_000),
            learning_rate=state.learning_rate * math.sqrt(self.n),
        )  # fmt: skip
        done = state.step, len(state.reports) * self.parts + part, self.model.features.first_piece
        arrays = arrays_of(state, self.features[place])
        return train_replica, chunk, self.train.targets[rows], self.weights[rows], arrays, own, self.model.labels, *done
