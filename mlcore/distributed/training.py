"""Training of replicas on the workers."""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

from mlcore.distributed.cluster import held
from mlcore.distributed.preparing import ShardedDocuments
from mlcore.sentiment.model import Model
from mlcore.sentiment.replicas import Combination, packed, seed_of, train_replica
from mlcore.sentiment.training import Progress, State, Trainer, largest_loss, text_weights
from mlcore.text.dataset import Split


class ReplicaTrainer(Trainer):
    """Trains the replicas of ``ShardedDocuments``, and combines them after every epoch.

    Their learning rate is sqrt(replicas) times as large as that of one, since each makes as many fewer steps.
    """

    def __init__(self, pool: ThreadPoolExecutor, threads: int, model: Model, train: Split, state: State) -> None:
        self.pool, self.threads, self.model, self.train, self.state = pool, threads, model, train, state
        self.largest_loss, self.documents = largest_loss(model, train), cast(ShardedDocuments, train.documents)
        submit, weights = self.documents.cluster.submit, text_weights(train, model.settings, model.labels)
        self.given = [[submit(held, array[rows]) for array in (train.targets, weights)] for rows in self.documents.rows]

    def train_epoch(self, progress: Callable[[Progress], None]) -> Progress | None:
        """Train all replicas for an epoch and combine them; None if one diverges."""
        cluster, state, settings, started = self.documents.cluster, self.state, self.model.settings, time.perf_counter()
        common, n, futures = cluster.submit(held, packed(state)), len(self.given), list[Any]()
        for replica, (documents, given) in enumerate(zip(self.documents.replicas, self.given, strict=True)):
            seed, rate = seed_of(settings.seed, replica), state.learning_rate * math.sqrt(n)
            own, labels = replace(settings, seed=seed, learning_rate=rate), self.model.labels
            done = state.step, len(state.reports), self.model.features.first_piece
            futures.append(cluster.submit(train_replica, documents, *given, common, own, labels, *done))
        combination = Combination(state, progress)
        for rows, trained in zip(self.documents.rows, cluster.results("Training", futures, quiet=True), strict=True):
            if trained is None:
                return None
            combination.add(trained, len(rows), 1 / n, time.perf_counter() - started)
        return combination.finish()
