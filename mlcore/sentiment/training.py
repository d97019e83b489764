"""Training: from arrays to a trained classifier, epoch by epoch."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from mlcore.errors import DivergedError
from mlcore.kernels import embedding, layers, optimizers, simd, training_step
from mlcore.kernels.compiling import watch_compilation
from mlcore.kernels.losses import loss_of
from mlcore.kernels.optimizers import with_moments
from mlcore.kernels.training_step import Recipe, Workspace, run_together
from mlcore.sentiment.evaluation import Evaluation, evaluate
from mlcore.sentiment.initialization import new_classifier
from mlcore.sentiment.model import HISTORY, Model, Parameters, Split, in_range
from mlcore.sentiment.preparation import TrainingData, prepare
from mlcore.sentiment.settings import LEARNING_RATES, Settings
from mlcore.text.corpus import Corpus
from mlcore.text.features import Features
from mlcore.text.pairs import PairTable
from mlcore.text.pool import shares
from mlcore.text.vocabulary import Documents, WordTable

LOST = 1000  # times the loss of no answer at all: far beyond what a training comes back from
MOST_RESTARTS = 20  # halvings of the learning rate in a training: a millionth is left
FEATURES_PER_CALL = 2_000_000  # between two looks at Ctrl-C and two updates of the progress; about 0.1 s


@dataclass
class EpochReport:
    """What an epoch did. Losses are means per text; dev figures are None when nothing is held out."""

    epoch: int
    train_loss: float
    dev_loss: float | None
    dev_accuracy: float | None  # for ratings None
    learning_rate: float  # at the start of the training, or after the last restart
    restarts: int  # how often the epoch diverged and was taken back
    best: bool  # the lowest held-out loss so far (the last epoch, when nothing is held out)
    seconds: float
    features: int  # in the texts, each as often as it counts


def history(reports: list[EpochReport]) -> list[dict]:
    """The figures of the epochs that a model's provenance holds: none that differ between equal trainings."""
    return [{name: getattr(report, name) for name in HISTORY} for report in reports]


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
    def initial(cls, classifier: Model, threads: int = 1) -> "State":
        """Start of a training from a copy of the classifier's parameters."""
        settings = classifier.settings
        return cls(*with_moments(classifier.parameters, settings.optimizer, threads), settings.learning_rate)

    def complete(self, report: EpochReport, classifier: Model) -> None:
        """End an epoch; if it is the best so far, the classifier takes the parameters."""
        if report.best:
            classifier.parameters.take(self.parameters)
        self.reports.append(report)
        self.epoch += 1

    def take_back(self, classifier: Model) -> None:
        """Go back to the best parameters so far, with fresh moments and half the learning rate."""
        self.parameters.take(classifier.parameters)
        for array in (*self.M, *self.S):
            if array is not None:
                array[:] = 0
        self.step = 0  # Adam's bias correction counts from fresh moments
        self.learning_rate /= 2


class Progress(NamedTuple):
    """State within an epoch: the mean loss and the number of features of the texts done."""

    epoch: int
    share: float
    loss: float
    features: int
    seconds: float


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fit(
    classifier: Model,
    train: Split,
    dev: Split | None,
    threads: int,
    progress: Callable[[Progress], None] = lambda state: None,
    state: State | None = None,
) -> Iterator[EpochReport]:
    """Train from the classifier's parameters, or from a state between two epochs, yielding a report of each epoch.

    The work is done on a copy, and the classifier takes the parameters of each epoch that is the best so far: however
    the iteration ends, it holds those of the best complete epoch, or its own if there is none. The result has the
    same bits for any number of threads. Ends early when ``patience`` epochs in a row are not the best.

    An epoch that diverges is taken back: it starts again from the best parameters so far, with fresh moments and
    half the learning rate. It diverges when a parameter is out of range, or a mean loss not finite or more than LOST
    times that of a network whose output is 0.

    Raises: DivergedError when this has been done MOST_RESTARTS times.
    """
    settings = classifier.settings
    state = state or State.initial(classifier, threads)
    batch_size = min(settings.batch_size, len(train.rows))
    # more threads than cache lines in a row would have nothing to do; the bytes are the same for any number
    threads = min(threads, state.parameters.table.shape[1] // simd.LANES, batch_size)
    work = Workspace.allocate(state.parameters, batch_size, _most_entries(train, batch_size), threads)
    recipe = Recipe(
        batch_size, classifier.loss, settings.word_dropout, settings.weight_decay, settings.embedding == "trainable"
    )
    largest_loss = LOST * _loss_of_nothing(classifier, train)
    weights = text_weights(train, settings, len(classifier.labels))
    lengths = train.documents.lengths()
    task = _Task(train, lengths, weights, recipe, work, largest_loss, threads, progress)
    features = int(lengths[train.rows].sum())
    with ThreadPoolExecutor(threads) as pool:
        while state.epoch < settings.epochs and not out_of_patience(state.reports, settings.patience):
            restarts = 0
            while (done := _attempt(pool, task, classifier, dev, state)) is None:
                restarts += 1
                if restarts + sum(report.restarts for report in state.reports) > MOST_RESTARTS:
                    raise _diverged(state.epoch + 1, settings)
                state.take_back(classifier)
            loss, seconds, held_out = done
            improved = held_out is None or all(held_out.loss < report.dev_loss for report in state.reports)
            report = EpochReport(
                state.epoch + 1, loss, held_out and held_out.loss, held_out and held_out.accuracy,
                state.learning_rate, restarts, improved, seconds, features,
            )  # fmt: skip
            # all that Ctrl-C must find together: it does not reach the threads, and the pool lets them come to an end
            pool.submit(state.complete, report, classifier).result()
            yield report


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


def _attempt(
    pool: ThreadPoolExecutor, task: _Task, classifier: Model, dev: Split | None, state: State
) -> tuple[float, float, Evaluation | None] | None:
    """Train for an epoch: its mean loss, its seconds, and figures of the held-out part; or None if it diverges."""
    started = time.perf_counter()
    loss = _run_epoch(pool, task, classifier.settings, state)
    seconds = time.perf_counter() - started
    if loss is None:
        return None
    if dev is None:
        return loss, seconds, None
    # whole rows, moments and all: kernels know such an array, and score the columns that the layers have
    found = replace(classifier, parameters=state.parameters._replace(table=state.rows))
    held_out = evaluate(found, dev, task.threads)
    return (loss, seconds, held_out) if held_out.loss <= task.largest_loss else None


def _run_epoch(pool: ThreadPoolExecutor, task: _Task, settings: Settings, state: State) -> float | None:
    """Train for an epoch and return its mean loss, or None as soon as it diverges."""
    train, batch_size = task.train, task.recipe.batch_size
    random = np.random.default_rng([settings.seed, 2, state.epoch])  # of the epoch alone, so that it can be resumed
    order, key = random.permutation(train.rows), int(random.integers(2**32))
    lengths = task.lengths
    rates = _learning_rates(state, settings, -(-len(order) // batch_size))
    per_call = max(1, int(FEATURES_PER_CALL * len(order) / max(lengths[order].sum(), 1)) // batch_size)
    losses = np.zeros(len(train.targets), state.parameters.table.dtype)
    started = time.perf_counter()
    for batch in range(0, len(rates), per_call):
        texts = order[batch * batch_size : (batch + per_call) * batch_size]
        run_together(
            pool, task.work.arrived, training_step.train_batches, texts, state.step, key, train.documents, train.targets,
            task.weights, task.recipe, rates[batch : batch + per_call], state.parameters, state.M, state.S,
            task.work, losses,
        )  # fmt: skip
        train.documents.release()
        state.step += len(rates[batch : batch + per_call])
        done = order[: (batch + per_call) * batch_size]
        loss = float(np.mean(losses[done], dtype=np.float64))
        if not loss <= task.largest_loss:  # NaN is not
            return None
        seconds = time.perf_counter() - started
        task.progress(Progress(state.epoch + 1, len(done) / len(order), loss, int(lengths[done].sum()), seconds))
    parts = (array[rows] for array in state.parameters for rows in shares(len(array), task.threads))
    return loss if all(pool.map(in_range, parts)) else None


def _learning_rates(state: State, settings: Settings, batches: int) -> np.ndarray:
    """Learning rate of each batch of the next epoch: (batches,) float64."""
    if settings.schedule == "constant":
        return np.full(batches, state.learning_rate)
    done = state.epoch * batches + np.arange(batches)
    return state.learning_rate * (1 - done / (settings.epochs * batches))


def _loss_of_nothing(classifier: Model, train: Split) -> float:
    """Mean loss over the training texts of a network whose output is 0."""
    targets, losses = train.targets[train.rows], np.empty(len(train.rows), np.float32)
    loss_of(classifier.loss, np.zeros((len(targets), len(classifier.parameters.b2)), np.float32), targets, losses)
    # of ratings that are all 0 it is 0, while a network that has not been trained yet answers something
    return max(float(np.mean(losses, dtype=np.float64)), 1e-3)


def out_of_patience(reports: list[EpochReport], patience: int) -> bool:
    """Whether the last ``patience`` epochs were all not the best."""
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
    """Number of entries that the largest possible batch has."""
    return int(np.sort(np.diff(train.documents.offsets)[train.rows])[-batch_size:].sum())


def warm_up(optimizer: str) -> None:
    """Compile every kernel that training and scoring use, or load it from the cache, on toy corpora.

    If one has to be compiled, another process compiles some of them at the same time, into the same cache.
    """
    helper: list[subprocess.Popen] = []

    def compiling(_: str) -> None:
        if not helper:
            helper.append(_start("warm_up_half", optimizer))

    settings = Settings(dim=1, hidden=1, epochs=1, optimizer=optimizer)
    documents = Documents(np.zeros(2, np.int32), np.ones(1, np.int32), np.arange(3))
    train = Split(documents, np.array([[0], [1]], np.float32), np.arange(2))
    features = Features(WordTable(), PairTable(0, np.zeros(2, np.int64)), 1, True)  # of one row, columns are contiguous
    with watch_compilation(compiling):
        data = TrainingData(features, np.array([2, 0]), ("neg", "pos"), train, None, None)
        classifier = new_classifier(data, settings)
        for _ in fit(classifier, train, None, threads=1):
            evaluate(classifier, train)
    for process in helper:
        process.wait()
    warm_up_reading()


def warm_up_half(optimizer: str) -> None:
    """Compile about half of what ``warm_up`` does, in the order in which it needs it."""
    _, parameters, M, S = with_moments(Parameters.zeros(2, 1, 1, 1), optimizer)
    work, step = Workspace.allocate(parameters, 1, 1, 1), optimizers.Step(0.0, 1.0, 1.0, 1.0)
    index = embedding.RowList.allocate(1, 1, np.float32)
    layers.relu_backward(work.dH, work.Z, 0.0, work.dZ)
    layers.affine_backward_input(work.dlogits, parameters.W2, work.dH)
    optimizers.update_rows(work.dE, index, 0, parameters.table, M.table, S.table, 0, 0, step)
    optimizers.update_layer(
        work.dZ, work.E, parameters.W1, parameters.b1, M.W1, M.b1, S.W1, S.b1, work.dW1, work.db1[0], 0, 0, step
    )
    warm_up_reading()


def warm_up_reading() -> None:
    """Compile every kernel that makes arrays of texts, or load it from the cache."""
    corpus = Corpus("warm-up", ["good film", "bad film"], ["pos", "neg"], ["", ""], ["", ""])
    features = prepare(corpus, 0, Settings(ngrams=2)).features
    features.documents(corpus.texts)


def _start(function: str, argument: str) -> subprocess.Popen:
    """Call a function of this module in another process."""
    code = f"from {__name__} import {function}; {function}({argument!r})"
    nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    return subprocess.Popen([sys.executable, "-c", code], **nowhere)


def _diverged(epoch: int, settings: Settings) -> DivergedError:
    smaller = min(LEARNING_RATES[settings.optimizer], settings.learning_rate / 10)
    return DivergedError(
        f"The training diverged in epoch {epoch}, even after the learning rate of {settings.learning_rate:g} was "
        f"halved {MOST_RESTARTS} times; try --learning-rate {smaller:g}."
    )
