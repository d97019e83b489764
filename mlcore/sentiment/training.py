"""Training: from arrays to a trained model, epoch by epoch."""

import math
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from mlcore.errors import DataWarning, DivergedError, InputError
from mlcore.kernels import training_step
from mlcore.kernels.forward import Parameters, fill_rows
from mlcore.kernels.losses import loss_of
from mlcore.kernels.optimizers import with_moments
from mlcore.kernels.training_step import Recipe, Workspace, run_together
from mlcore.results import Result
from mlcore.sentiment.calibration import calibrate, cool, tune_thresholds
from mlcore.sentiment.evaluation import AnyEvaluation, evaluate, quick_figures
from mlcore.sentiment.initialization import continued, facts_of, new_model, scales
from mlcore.sentiment.model import HISTORY, MAX_PARAMETER, Model, Provenance, in_range
from mlcore.sentiment.pace import Pace
from mlcore.sentiment.report import notes_on_training
from mlcore.sentiment.settings import LEARNING_RATES, Settings, weights_in
from mlcore.text.dataset import Dataset, EncodedDataset, Split, encode
from mlcore.text.documents import Documents
from mlcore.text.growing import release_free_memory
from mlcore.text.labels import listed
from mlcore.text.ngrams import Features
from mlcore.text.pool import shares
from mlcore.text.vectors import Vectors
from mlcore.text.vocabulary import WordTable

LOST = 1000  # times the loss of a network whose output is 0: training does not recover from there
MAX_RESTARTS = 20  # halvings of the learning rate in a training: a millionth is left
FEATURES_PER_CHECK = 2_000_000  # between two looks at the loss


@dataclass
class EpochReport:
    """What an epoch did. Losses are means per text; dev figures are None where they are not defined."""

    epoch: int
    train_loss: float
    dev_loss: float | None
    dev_accuracy: float | None  # where each text has one label
    dev_micro_f1: float | None  # where texts may have several
    learning_rate: float  # at the start of the training, or after the last restart
    restarts: int  # how often the epoch diverged and was repeated
    best: bool  # so far, by micro F1 or held-out loss; with nothing held out, or a falling rate, the last one
    seconds: float
    features: int  # in the texts, each as often as it counts

    @property
    def warning(self) -> str:
        """What to tell the user about restarts; empty if there were none."""
        message = f"epoch {self.epoch} diverged and was repeated; the learning rate is now {self.learning_rate:g}"
        return message if self.restarts else ""


def heading(model: Model) -> str:
    """The first line of the table of epochs."""
    quality = "micro F1" if model.settings.multi_label else "accuracy" if model.labels else "    RMSE"
    return f"epoch  training loss  held-out loss  {quality}  seconds  M features/s"


def row(model: Model, report: EpochReport) -> str:
    """A line of the table of epochs, which ``heading`` begins."""
    loss, quality, share = "-", "-", report.dev_micro_f1 if report.dev_accuracy is None else report.dev_accuracy
    if report.dev_loss is not None:  # which is half the square for ratings
        loss, rmse = f"{report.dev_loss:.4f}", math.sqrt(2 * report.dev_loss)
        quality = f"{rmse:.3f}" if share is None else f"{share:.2%}"
    figures = f"{report.epoch:5}  {report.train_loss:13.4f}  {loss:>13}  {quality:>8}  {report.seconds:7.2f}"
    best = "  best" * (report.best and report.dev_loss is not None and model.settings.schedule == "constant")
    return f"{figures}  {report.features / report.seconds / 1e6:12.1f}{best}"


class Progress(NamedTuple):
    """State within an epoch: the mean loss and the number of features of the texts done."""

    epoch: int
    share: float
    loss: float
    features: int
    seconds: float


@dataclass
class State:
    """A training between two epochs: with the best parameters so far, all that the next epoch depends on."""

    rows: np.ndarray  # as those below, from ``with_moments``
    parameters: Parameters
    M: Parameters
    S: Parameters
    learning_rate: float
    step: int = 0
    reports: list[EpochReport] = field(default_factory=list)

    @classmethod
    def initial(cls, model: Model, threads: int = 1) -> "State":
        """Start of a training from a copy of the model's parameters."""
        settings = model.settings
        release_free_memory()  # training needs more than all that comes before it
        state = cls(*with_moments(model.parameters, settings.optimizer, threads), settings.learning_rate)
        state._begin_squares(model, threads)
        return state

    def _begin_squares(self, model: Model, threads: int) -> None:
        if model.settings.optimizer == "adagrad" and model.first_squares is not None:
            fill_rows(self.S.table, model.first_squares[:, np.newaxis], threads)

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by their names in files; the rows have the table with its moments."""
        groups = {"current": self.parameters, "M": self.M, "S": self.S}
        layers = {f"{group}_{name}": array for group, some in groups.items() for name, array in some._asdict().items()}
        kept = {name: array for name, array in layers.items() if array is not None and not name.endswith("_table")}
        return kept | {"rows": self.rows}

    def complete(self, report: EpochReport, model: Model, threads: int) -> None:
        """End an epoch; if it is the best so far, the model takes the parameters."""
        if report.best:
            model.parameters.take(self.parameters, threads)
        self.reports.append(report)

    def restart(self, model: Model, threads: int) -> None:
        """Go back to the best parameters so far, with fresh moments and half the learning rate."""
        self.parameters.take(model.parameters, threads)
        for array in (*self.M, *self.S):
            if array is not None:
                array[:] = 0
        self._begin_squares(model, threads)
        self.step = 0  # Adam's bias correction counts from fresh moments
        self.learning_rate /= 2


def fit(
    model: Model,
    train: Split,
    dev: Split | None,
    threads: int,
    progress: Callable[[Progress], None] = lambda state: None,
    state: State | None = None,
) -> Generator[EpochReport, None, None]:
    """Train from the model's parameters, or from a state between two epochs, yielding a report of each epoch.

    The model takes the parameters of each epoch that is the best so far: however the iteration ends, it holds those of
    the best complete epoch, or its own if there is none. They have the same bits for any number of threads. Ends early
    after ``patience`` epochs without improvement.

    An epoch that diverges is repeated from the best parameters so far, with fresh moments and half the learning rate.
    It diverges when a parameter is out of range, or a mean loss not finite or more than LOST times that of a network
    whose output is 0.

    Raises: DivergedError after MAX_RESTARTS repetitions.
    """
    settings, state = model.settings, state or State.initial(model, threads)
    threads = min(threads, settings.batch_size, len(train.rows), training_step.MAX_THREADS)
    with ThreadPoolExecutor(threads) as pool:  # documents that are elsewhere say what trains on them there
        trainer = getattr(train.documents, "trainer", Trainer)(pool, threads, model, train, state)
        while len(state.reports) < settings.epochs and not out_of_patience(state.reports, settings.patience):
            restarts = 0
            while (report := trainer.run_epoch(dev, restarts, progress)) is None:
                restarts += 1
                if restarts + sum(report.restarts for report in state.reports) > MAX_RESTARTS:
                    rate = settings.learning_rate
                    raise DivergedError(
                        f"training diverged in epoch {len(state.reports) + 1}, even after the learning rate of "
                        f"{rate:g} was halved {MAX_RESTARTS} times",
                        suggestion={"learning_rate": min(LEARNING_RATES[settings.optimizer], rate / 10)},
                    )
                state.restart(model, threads)
            # Ctrl-C must find all of this done or nothing: it does not reach the pool's threads, which always finish
            pool.submit(state.complete, report, model, threads).result()
            yield report


def compile_kernels(optimizer: str) -> None:
    """Compile the kernels of training steps. They are others for each optimizer, and the same whatever else is set."""
    settings = Settings(dim=1, hidden=1, epochs=1, optimizer=optimizer).resolved()
    document = Documents(np.zeros(1, np.int32), np.ones(1, np.int32), np.arange(2))
    texts = Split(document, np.zeros((1, 1), np.float32), np.arange(1))
    features = Features(WordTable(), np.zeros(0, np.int64), 1, True)
    parameters = Parameters.zeros(2, 1, 1, 1)  # one row would be contiguous with its moments: arrays of another type
    model = Model(settings, ("no", "yes"), features, parameters)
    for _ in fit(model, texts, None, threads=1):
        pass


class Trainer:
    """What stays the same from epoch to epoch, and a step of all."""

    def __init__(self, pool: ThreadPoolExecutor, threads: int, model: Model, train: Split, state: State) -> None:
        self.pool, self.threads, self.model, self.train, self.state = pool, threads, model, train, state
        settings, batch_size = model.settings, min(model.settings.batch_size, len(train.rows))
        self.pace, trainable = Pace(threads), not settings.freeze_embedding
        dropout, first_piece = settings.word_dropout, model.features.first_piece
        self.recipe = Recipe(batch_size, model.loss, dropout, trainable, first_piece, scales(settings))
        self.lengths, self.weights = train.documents.lengths(), text_weights(train, settings, model.labels)
        entries = np.sort(np.diff(train.documents.offsets)[train.rows])[-batch_size:].sum()  # of the largest batch
        width = train.targets.shape[1]
        self.work = Workspace.allocate(state.parameters, batch_size, int(entries), threads, width)
        self.largest_loss = largest_loss(model, train)
        self.largest = float(np.finfo(np.float16).max) if settings.float16 else MAX_PARAMETER

    def run_epoch(self, dev: Split | None, restarts: int, progress: Callable[[Progress], None]) -> EpochReport | None:
        """Train for an epoch and evaluate it; None as soon as it diverges."""
        state, trained = self.state, self.train_epoch(progress)
        if trained is None:
            return None
        dev_loss = accuracy = micro_f1 = None
        best = True
        if dev:
            # whole rows, with their moments: kernels know such an array, and use only the columns that the layers have
            model = replace(self.model, parameters=state.parameters._replace(table=state.rows))
            dev_loss, quality = quick_figures(model, dev, self.threads, partial(progress, trained))
            accuracy, micro_f1 = (None, quality) if model.settings.multi_label else (quality, None)
            if not dev_loss <= self.largest_loss:
                return None
            if model.settings.schedule == "constant":  # a falling rate ends where decisions are best, the loss or not
                # Where labels are rare or hard to tell, the lowest loss is that of a cautious model, which predicts few
                merit = micro_f1 or 0.0, -dev_loss
                best = all(merit > (one.dev_micro_f1 or 0.0, -(one.dev_loss or 0.0)) for one in state.reports)
        return EpochReport(
            trained.epoch, trained.loss, dev_loss, accuracy, micro_f1, state.learning_rate, restarts, best,
            trained.seconds, trained.features,
        )  # fmt: skip

    def train_epoch(self, progress: Callable[[Progress], None]) -> Progress | None:
        """Train for an epoch; its end, or None as soon as it diverges."""
        state, settings, train, batch_size = self.state, self.model.settings, self.train, self.recipe.batch_size
        epoch, lengths = len(state.reports), self.lengths
        random = np.random.default_rng([settings.seed, 2, epoch])  # of the epoch alone, so that it can be resumed
        order, key = random.permutation(train.rows), int(random.integers(2**32))
        batches, features = -(-len(order) // batch_size), int(lengths[order].sum())
        rates = np.full(batches, state.learning_rate)
        if settings.schedule == "linear":
            rates *= 1 - (epoch * batches + np.arange(batches)) / (settings.epochs * batches)
        per_check = max(1, int(FEATURES_PER_CHECK * len(order) / max(features, 1)) // batch_size)
        losses = np.zeros(len(train.targets), state.parameters.table.dtype)

        def train_on(first: int, last: int, threads: int) -> None:
            work = self.work._replace(arrived=self.work.arrived[: (threads + 1) * training_step.CACHE_LINE])
            run_together(
                self.pool, work.arrived, training_step.train_batches, order[first * batch_size : last * batch_size],
                state.step, key, train.documents, train.targets, self.weights, self.recipe, rates[first:last],
                state.parameters, state.M, state.S, work, losses,
            )  # fmt: skip
            state.step += last - first

        train_on(0, 0, self.threads)  # compiles what is not compiled yet, so that the seconds are those of training
        started, first = time.perf_counter(), 0
        while first < batches:
            threads, many = self.pace.next_part()
            last = min(first + many, batches, (first // per_check + 1) * per_check)
            before = time.perf_counter()
            train_on(first, last, threads)
            self.pace.took(threads, last - first, time.perf_counter() - before)
            done, first = order[: last * batch_size], last
            loss, seconds = float(np.mean(losses[done], dtype=np.float64)), time.perf_counter() - started
            if (last % per_check == 0 or last == batches) and not loss <= self.largest_loss:  # NaN is not
                return None
            progress(Progress(epoch + 1, len(done) / len(order), loss, int(lengths[done].sum()), seconds))
        parts = [array[rows] for array in state.parameters for rows in shares(len(array), self.threads)]
        if not all(self.pool.map(in_range, parts, [self.largest] * len(parts))):
            return None
        return Progress(epoch + 1, 1.0, loss, features, time.perf_counter() - started)


def largest_loss(model: Model, train: Split) -> float:
    """The mean loss from which training does not recover."""
    targets = train.targets[train.rows[:1] if model.labels else train.rows]  # with labels, all texts have the same
    losses = np.empty(len(targets), np.float32)
    loss_of(model.loss, np.zeros((len(targets), len(model.parameters.b2)), np.float32), targets, losses)
    # of ratings that are all 0 the loss is 0, although an untrained network does not answer 0
    return LOST * max(float(np.mean(losses, dtype=np.float64)), 1e-3)


def out_of_patience(reports: list[EpochReport], patience: int) -> bool:
    """Whether none of the last ``patience`` epochs was the best so far."""
    return len(reports) > patience and not any(report.best for report in reports[-patience:])


def text_weights(train: Split, settings: Settings, labels: tuple[str, ...]) -> np.ndarray:
    """Weight of each text in the loss: (n,) float32.

    It is 1, times that of its label, which is (texts / labels) / (texts of the label) where classes are balanced, times
    its own, as a multiple of the mean of the training texts.

    Raises: InputError if a weight is for a label that there is not.
    """
    weights = np.ones(len(train.targets), np.float32)
    if settings.class_weight != "none" and labels:
        classes = train.targets[:, 0].astype(np.int64)
        if given := weights_in(settings.class_weight):
            if unknown := given.keys() - set(labels):
                raise InputError(
                    f"expected weights of the labels {listed(labels)}", parameter="class_weight", value=min(unknown)
                )
            of_labels = np.array([given.get(label, 1.0) for label in labels])
        else:
            counts = np.bincount(classes[train.rows], minlength=len(labels))
            of_labels = len(train.rows) / len(labels) / np.maximum(counts, 1)
        weights[:] = of_labels[classes]
    if train.weights is not None:
        weights *= train.weights / train.weights[train.rows].mean()
    return weights


def best_epoch(reports: list[EpochReport]) -> int:
    """Number of the epoch that is kept."""
    return max(report.epoch for report in reports if report.best)


class Training:
    """All of a training: ``begin`` makes an untrained model for labelled texts, and ``run`` trains it.

    ``data`` has the texts as arrays, ``model`` is the one of ``begin`` and then the trained one, and ``reports`` are
    those of its epochs.
    """

    model: Model
    reports: list[EpochReport]
    vectors: Vectors | None = None  # of the words of ``data.features``, to start from
    refitted = False  # whether the model was trained on the held-out texts too

    def __init__(
        self, dataset: Dataset, given: Settings, dev: float | None, threads: int = 1, *,
        labels: tuple[str, ...] | None = None, earlier: Model | None = None,
        read_vectors: Callable[[WordTable, int | None], Vectors] | None = None,
        encode: Callable[..., EncodedDataset] = encode,
    ) -> None:  # fmt: skip
        """Choose the settings that are automatic, and encode the texts.

        ``dev`` and ``labels``: as for ``encode``, which may be another function that does the same. ``earlier``: the
        model to continue from. ``read_vectors``: gives vectors of this width, None for any, for words to start from; a
        word that has one is a feature however rare it is.

        Raises: DataError if the texts cannot be trained on; InputError.
        """
        given = continued(given, earlier.settings) if earlier else given
        vectors = read_vectors(dataset.words, given.dim) if read_vectors else None
        settings = given.resolved(facts_of(dataset, dev, vectors, labels))
        known = earlier.features if earlier else None
        if vectors:
            encode = partial(encode, keep=vectors.found)
        self.data = encode(dataset, dev, **settings.encoding(), labels=labels, known=known, threads=threads)
        if vectors:
            self.vectors = vectors.select(dataset.words.numbers_of(self.data.features.words)[:-1])
        self.settings, self.threads, self._earlier = settings, threads, earlier
        self._chosen, self._digests = given.automatic(), [dataset.fingerprint]
        self._digests += [sha256(array.tobytes()).hexdigest() for array in (earlier.parameters if earlier else ())]

    def begin(self, inputs: dict[str, str | list[str]] | None = None) -> Model:
        """The untrained model, for whose provenance ``inputs`` are the options besides the settings."""
        vectors = self.vectors
        self._new_model = partial(new_model, vectors=vectors, threads=self.threads, earlier=self._earlier)
        self.model = self._new_model(self.data, self.settings)
        digests = [*self._digests, *([vectors.fingerprint()] if vectors else [])]
        fingerprint = digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()
        self.model.provenance = Provenance(inputs or {}, fingerprint, self.data.sizes, chosen=self._chosen)
        return self.model

    def run(
        self,
        progress: Callable[[Progress], None] = lambda state: None,
        state: State | None = None,
        on_epoch: Callable[[EpochReport, State], None] = lambda report, state: None,
        on_model: Callable[[Model], None] = lambda model: None,
    ) -> Model:
        """Train by ``fit`` and calibrate, and then train on the held-out texts too, where these were drawn.

        ``state``: resume from there. ``on_epoch`` is called after each epoch of ``fit``; ``on_model`` with the model of
        the best epoch, however its training ends, and with that of all texts.

        Raises: DivergedError. What a callback raises, as KeyboardInterrupt, ends the training in the same way.
        """
        model, data, state = self.model, self.data, state or State.initial(self.model, self.threads)
        self.reports = state.reports
        try:
            with closing(fit(model, data.train, data.dev, self.threads, progress, state)) as epochs:
                for report in epochs:
                    on_epoch(report, state)
        finally:
            del state, epochs  # the moments are as large as the model, which is now evaluated and saved
            if self.reports:
                _round(model)
                figures = [{name: getattr(report, name) for name in HISTORY} for report in self.reports]
                model.provenance.history = figures
                if data.dev and model.labels:
                    model.provenance.calibration = calibrate(model, data.dev, self.threads)
                if data.dev and model.settings.tune_thresholds:
                    tune_thresholds(model, data.dev, self.threads)
                on_model(model)
        if data.whole is not None:
            on_model(new := self._refit(data.whole, progress))
            self.model, self.refitted = new, True  # unless it could not be saved
        return self.model

    def _refit(self, whole: Split, progress: Callable[[Progress], None]) -> Model:
        """The model that trains on all texts, for as many epochs as the best one so far and as calibrated as that."""
        model, epochs = self.model, best_epoch(self.reports)
        settings = replace(model.settings, epochs=epochs, learning_rate=self.reports[epochs - 1].learning_rate)
        new = self._new_model(replace(self.data, train=whole, dev=None), settings)
        for _ in fit(new, whole, None, self.threads, progress):
            pass
        _round(new)
        cool(new, model.provenance.calibration.get("temperature", 1.0))
        return replace(new, settings=model.settings, provenance=model.provenance, thresholds=model.thresholds)

    def result(self, dev: AnyEvaluation | None, path: str, interrupted: bool) -> "TrainingResult":
        """Evaluate the model, which is in this file, on the test texts; ``dev``: its evaluation on held-out ones."""
        model, data, provenance = self.model, self.data, self.model.provenance
        test = data.test and evaluate(model, data.test, self.threads)
        return TrainingResult(
            model.settings, provenance.chosen, provenance.inputs, model.labels, data.sizes, len(model.features),
            model.n_parameters, self.reports, best_epoch(self.reports), provenance.calibration, dev, test,
            self.refitted, interrupted, path, notes_on_training(model, data, dev),
        )  # fmt: skip


def _round(model: Model) -> None:
    """With float16, all figures shall be those of the model in the file."""
    if model.settings.float16:
        model.parameters.table[:] = model.parameters.table.astype(np.float16)


@dataclass(frozen=True)
class TrainingResult(Result):
    """What a training has made: its figures, and the evaluation of its best epoch.

    With ``refit``, the model has then been trained on all texts, which only the figures of ``test`` know.
    """

    settings: Settings  # resolved
    chosen: list[str]  # those of the settings that were automatic
    inputs: dict[str, str | list[str]]
    labels: tuple[str, ...]
    texts: dict[str, int]
    features: int
    parameters: int
    epochs: list[EpochReport]
    best_epoch: int
    calibration: dict[str, float]  # of ``calibrate``; empty for ratings, or with nothing held out
    dev: AnyEvaluation | None
    test: AnyEvaluation | None
    refit: bool
    interrupted: bool
    model: str  # path
    notes: list[DataWarning]
