"""Training by replicas: each trains on its texts for an epoch from common parameters, and then they are combined.

Arrays come and go as bytes in safetensors' format, so that a replica may be anywhere.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
from safetensors.numpy import load, save

from mlcore.kernels.forward import Parameters
from mlcore.sentiment.model import Model
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import Progress, State, Trainer
from mlcore.text.dataset import Split
from mlcore.text.documents import Documents

Trained = tuple[Progress, int, bytes]  # the end of an epoch, steps, and arrays: of the rows, those that have changed


def packed(state: State) -> bytes:
    """The arrays of a training."""
    return save({name: np.ascontiguousarray(array) for name, array in state.arrays().items()})


def seed_of(seed: int, replica: int) -> int:
    """The seed of a replica's order of texts."""
    return int(np.random.SeedSequence([seed, 4, replica]).generate_state(1)[0])


def train_replica(
    documents: Documents, targets: np.ndarray, weights: np.ndarray, content: bytes, settings: Settings,
    labels: tuple[str, ...], step: int, epoch: int, first_piece: int,
) -> Trained | None:  # fmt: skip
    """Train for an epoch on one thread, which gives the same bytes everywhere; None if it diverges.

    Shapes: targets as in ``Split`` and weights (n,) of the texts. Units: step and epoch are the numbers of those done.
    """
    common, nothing = load(content), cast(Any, None)
    parameters = Parameters.zeros(len(common["rows"]), settings.dim, settings.hidden, len(common["current_b2"]))
    model = Model(settings, labels, nothing, parameters)
    own = State.initial(model)
    for name, array in own.arrays().items():
        array[:] = common[name]
    own.step, own.reports = step, [nothing] * epoch
    with ThreadPoolExecutor(1) as pool:
        trainer = Trainer(pool, 1, model, Split(documents, targets, np.arange(len(targets))), own, first_piece)
        trainer.weights = weights
        end = trainer.train_epoch(lambda progress: None)
    if end is None:
        return None
    changed = np.flatnonzero((own.rows != common["rows"]).any(axis=1))
    return end, own.step, save(own.arrays() | {"rows": own.rows[changed], "changed": changed})


class Combination:
    """Sums over replicas, in the order in which they are added.

    A layer and its moments become the means of those of all replicas, a row of the table and its moments the means of
    those of the replicas that have changed it.
    """

    def __init__(self, state: State, progress: Callable[[Progress], None]) -> None:
        self.state, self.progress, self.replicas, self.texts = state, progress, 0, 0
        self.sums = {name: np.zeros_like(array) for name, array in state.arrays().items()}
        self.changes = np.zeros(len(state.rows), np.float32)
        self.done = Progress(len(state.reports) + 1, 0.0, 0.0, 0, 0.0)

    def add(self, trained: Trained, texts: int, share: float, seconds: float) -> None:
        """Add a replica that has trained on so many texts, a share of all, and report the progress."""
        (end, step, content), done = trained, self.done
        arrays, self.replicas, self.texts = load(content), self.replicas + 1, self.texts + texts
        changed = arrays.pop("changed")
        self.sums["rows"][changed] += arrays.pop("rows")
        self.changes[changed] += 1
        for name, array in arrays.items():
            self.sums[name] += array
        self.state.step = max(self.state.step, step)
        loss = done.loss + (end.loss - done.loss) * texts / self.texts
        self.done = Progress(done.epoch, done.share + share, loss, done.features + end.features, seconds)
        self.progress(self.done)

    def finish(self) -> Progress:
        """Give the state the means; the end of the epoch."""
        touched = self.changes > 0
        self.state.rows[touched] = self.sums.pop("rows")[touched] / self.changes[touched, np.newaxis]
        arrays = self.state.arrays()
        for name, total in self.sums.items():
            arrays[name][:] = total / np.float32(self.replicas)
        return self.done
