"""Training: from arrays to a trained model, epoch by epoch."""

import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import DivergedError
from mlcore.kernels import simd, training_step
from mlcore.kernels.forward import Parameters
from mlcore.kernels.losses import loss_of
from mlcore.kernels.optimizers import with_moments
from mlcore.kernels.training_step import Recipe, Workspace, run_together
from mlcore.results import Result
from mlcore.sentiment.evaluation import Evaluation, RatingEvaluation, evaluate, quick_figures
from mlcore.sentiment.model import HISTORY, Model, in_range
from mlcore.sentiment.settings import LEARNING_RATES, Settings
from mlcore.text.dataset import EncodedDataset, Split
from mlcore.text.pool import shares

LOST = 1000  # times the loss of a network whose output is 0: training does not recover from there
MAX_RESTARTS = 20  # halvings of the learning rate in a training: a millionth is left
FEATURES_PER_CALL = 2_000_000  # between two looks at Ctrl-C and two updates of the progress; about 0.1 s


@dataclass
class EpochReport:
    """What an epoch did. Losses are means per text; dev figures are None when nothing is held out."""

    epoch: int
    train_loss: float
    dev_loss: float | None
    dev_accuracy: float | None  # for ratings None
    learning_rate: float  # at the start of the training, or after the last restart
    restarts: int  # how often the epoch diverged and was repeated
    best: bool  # the lowest held-out loss so far (the last epoch, when nothing is held out)
    seconds: float
    features: int  # in the texts, each as often as it counts

    @property
    def warning(self) -> str:
        """What to tell the user about restarts; empty if there were none."""
        if not self.restarts:
            return ""
        return f"epoch {self.epoch} diverged and was repeated; the learning rate is now {self.learning_rate:g}"


def history(reports: list[EpochReport]) -> list[dict[str, Any]]:
    """The figures of the epochs for a model's provenance: those that equal trainings have in common."""
    return [{name: getattr(report, name) for name in HISTORY} for report in reports]


class Progress(NamedTuple):
    """State within an epoch: the mean loss and the number of features of the texts done."""

    epoch: int
    share: float
    loss: float
    features: int
    seconds: float


@dataclass
class State:
    """A training between two epochs: with the best parameters so far, all that the next epoch depends on.

    The arrays are those of ``with_moments``.
    """

    rows: np.ndarray  # (v, d), (v, 2 d) or (v, 3 d)
    parameters: Parameters
    M: Parameters
    S: Parameters
    learning_rate: float
    epoch: int = 0
    step: int = 0
    reports: list[EpochReport] = field(default_factory=list)

    @classmethod
    def initial(cls, model: Model, threads: int = 1) -> "State":
        """Start of a training from a copy of the model's parameters."""
        settings = model.settings.resolved()
        assert settings.learning_rate is not None
        return cls(*with_moments(model.parameters, settings.optimizer, threads), settings.learning_rate)

    def complete(self, report: EpochReport, model: Model) -> None:
        """End an epoch; if it is the best so far, the model takes the parameters."""
        if report.best:
            model.parameters.take(self.parameters)
        self.reports.append(report)
        self.epoch += 1

    def restart(self, model: Model) -> None:
        """Go back to the best parameters so far, with fresh moments and half the learning rate."""
        self.parameters.take(model.parameters)
        for array in (*self.M, *self.S):
            if array is not None:
                array[:] = 0
        self.step = 0  # Adam's bias correction counts from fresh moments
        self.learning_rate /= 2


class _Task(NamedTuple):
    """What stays the same from epoch to epoch."""

    train: Split
    lengths: np.ndarray  # (n,) features of each text
    weights: np.ndarray
    recipe: Recipe
    work: Workspace
    largest_loss: float
    threads: int
    progress: Callable[[Progress], None]


def fit(
    model: Model,
    train: Split,
    dev: Split | None,
    threads: int,
    progress: Callable[[Progress], None] = lambda state: None,
    state: State | None = None,
) -> Generator[EpochReport, None, None]:
    """Train from the model's parameters, or from a state between two epochs, yielding a report of each epoch.

    Training works on a copy, and the model takes the parameters of each epoch that is the best so far: however the
    iteration ends, it holds those of the best complete epoch, or its own if there is none. The result has the same bits
    for any number of threads. Ends early after ``patience`` epochs without improvement.

    An epoch that diverges is repeated from the best parameters so far, with fresh moments and half the learning rate.
    It diverges when a parameter is out of range, or a mean loss not finite or more than LOST times that of a network
    whose output is 0.

    Raises: DivergedError after MAX_RESTARTS repetitions.
    """
    settings = model.settings
    state = state or State.initial(model, threads)
    batch_size = min(settings.batch_size, len(train.rows))
    # more threads than cache lines in a row would have nothing to do; the bytes are the same for any number
    threads = min(threads, state.parameters.table.shape[1] // simd.LANES, batch_size)
    recipe = Recipe(batch_size, model.loss, settings.word_dropout, settings.weight_decay, not settings.freeze_embedding)
    lengths = train.documents.lengths()
    task = _Task(
        train, lengths, text_weights(train, settings, len(model.labels)), recipe,
        Workspace.allocate(state.parameters, batch_size, _most_entries(train, batch_size), threads),
        LOST * _loss_of_zeros(model, train), threads, progress,
    )  # fmt: skip
    features = int(lengths[train.rows].sum())
    with ThreadPoolExecutor(threads) as pool:
        while state.epoch < settings.epochs and not out_of_patience(state.reports, settings.patience):
            restarts = 0
            while (done := _run_epoch(pool, task, model, dev, state)) is None:
                restarts += 1
                if restarts + sum(report.restarts for report in state.reports) > MAX_RESTARTS:
                    raise _diverged(state.epoch + 1, settings)
                state.restart(model)
            loss, seconds, dev_loss, dev_accuracy = done
            best = dev_loss is None or all(dev_loss < (report.dev_loss or 0) for report in state.reports)
            report = EpochReport(
                state.epoch + 1, loss, dev_loss, dev_accuracy, state.learning_rate, restarts, best, seconds, features
            )
            # Ctrl-C must find all of this done or nothing: it does not reach the pool's threads, which always finish
            pool.submit(state.complete, report, model).result()
            yield report


def _run_epoch(
    pool: ThreadPoolExecutor, task: _Task, model: Model, dev: Split | None, state: State
) -> tuple[float, float, float | None, float | None] | None:
    """Train for an epoch: its mean loss, its seconds, the held-out loss and accuracy; None as soon as it diverges."""
    train, batch_size, lengths = task.train, task.recipe.batch_size, task.lengths
    random = np.random.default_rng(
        [model.settings.seed, 2, state.epoch]
    )  # of the epoch alone, so that it can be resumed
    order, key = random.permutation(train.rows), int(random.integers(2**32))
    rates = _learning_rates(state, model.settings, -(-len(order) // batch_size))
    per_call = max(1, int(FEATURES_PER_CALL * len(order) / max(lengths[order].sum(), 1)) // batch_size)
    losses = np.zeros(len(train.targets), state.parameters.table.dtype)

    def train_on(texts: np.ndarray, rates: np.ndarray) -> None:
        run_together(
            pool, task.work.arrived, training_step.train_batches, texts, state.step, key, train.documents,
            train.targets, task.weights, task.recipe, rates, state.parameters, state.M, state.S, task.work, losses,
        )  # fmt: skip

    train_on(order[:0], rates[:0])  # compiles what is not compiled yet, so that the seconds are those of training
    started = time.perf_counter()
    for batch in range(0, len(rates), per_call):
        train_on(order[batch * batch_size : (batch + per_call) * batch_size], rates[batch : batch + per_call])
        state.step += len(rates[batch : batch + per_call])
        done = order[: (batch + per_call) * batch_size]
        loss = float(np.mean(losses[done], dtype=np.float64))
        if not loss <= task.largest_loss:  # NaN is not
            return None
        seconds = time.perf_counter() - started
        task.progress(Progress(state.epoch + 1, len(done) / len(order), loss, int(lengths[done].sum()), seconds))
    parts = (array[rows] for array in state.parameters for rows in shares(len(array), task.threads))
    if not all(pool.map(in_range, parts)):
        return None
    seconds = time.perf_counter() - started
    if dev is None:
        return loss, seconds, None, None
    # whole rows, with their moments: kernels know such an array, and use only the columns that the layers have
    trained = replace(model, parameters=state.parameters._replace(table=state.rows))
    dev_loss, dev_accuracy = quick_figures(trained, dev, task.threads)
    return (loss, seconds, dev_loss, dev_accuracy) if dev_loss <= task.largest_loss else None


def _learning_rates(state: State, settings: Settings, batches: int) -> np.ndarray:
    """Learning rate of each batch of the next epoch: (batches,) float64."""
    if settings.schedule == "constant":
        return np.full(batches, state.learning_rate)
    done = state.epoch * batches + np.arange(batches)
    return state.learning_rate * (1 - done / (settings.epochs * batches))


def _loss_of_zeros(model: Model, train: Split) -> float:
    """Mean loss over the training texts of a network whose output is 0."""
    targets, losses = train.targets[train.rows], np.empty(len(train.rows), np.float32)
    loss_of(model.loss, np.zeros((len(targets), len(model.parameters.b2)), np.float32), targets, losses)
    # 0 for ratings that are all 0, although an untrained network does not answer 0
    return max(float(np.mean(losses, dtype=np.float64)), 1e-3)


def out_of_patience(reports: list[EpochReport], patience: int) -> bool:
    """Whether none of the last ``patience`` epochs was the best so far."""
    return len(reports) > patience and not any(report.best for report in reports[-patience:])


def text_weights(train: Split, settings: Settings, labels: int) -> np.ndarray:
    """Weight of each text in the loss: 1, or for balanced classes (texts / labels) / (texts of its label).

    Shapes: -> (n,) float32.
    """
    weights = np.ones(len(train.targets), np.float32)
    if settings.class_weight == "balanced" and labels:
        classes = train.targets[:, 0].astype(np.int64)
        counts = np.bincount(classes[train.rows], minlength=labels)
        weights[:] = (len(train.rows) / labels / np.maximum(counts, 1))[classes]
    return weights


def _most_entries(train: Split, batch_size: int) -> int:
    """Number of entries of the largest possible batch."""
    return int(np.sort(np.diff(train.documents.offsets)[train.rows])[-batch_size:].sum())


def _diverged(epoch: int, settings: Settings) -> DivergedError:
    rate = settings.resolved().learning_rate
    assert rate is not None
    return DivergedError(
        f"training diverged in epoch {epoch}, even after the learning rate of {rate:g} was halved {MAX_RESTARTS} times",
        suggestion={"learning_rate": min(LEARNING_RATES[settings.optimizer], rate / 10)},
    )


@dataclass(frozen=True)
class TrainingResult(Result):
    """What a training has made: its figures, and the evaluation of its best epoch."""

    settings: Settings  # resolved
    inputs: dict[str, str | list[str]]
    labels: tuple[str, ...]
    texts: dict[str, int]
    features: int
    parameters: int
    epochs: list[EpochReport]
    best_epoch: int
    dev: Evaluation | RatingEvaluation | None
    test: Evaluation | RatingEvaluation | None
    interrupted: bool
    model: str  # path


def result_of(
    model: Model, data: EncodedDataset, reports: list[EpochReport], path: str, interrupted: bool, threads: int
) -> TrainingResult:
    """Evaluate a trained model on the held-out and the test texts."""
    dev, test = (split and evaluate(model, split, threads) for split in (data.dev, data.test))
    best = max(report.epoch for report in reports if report.best)
    return TrainingResult(
        model.settings.resolved(), model.provenance.inputs, model.labels, data.sizes, len(model.features),
        model.n_parameters, reports, best, dev, test, interrupted, path,
    )  # fmt: skip
