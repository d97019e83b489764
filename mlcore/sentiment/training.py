"""Training: from a corpus to arrays, and from arrays to a trained classifier, epoch by epoch."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mlcore import kernels
from mlcore.errors import DataError, DivergedError, InputError
from mlcore.sentiment.classifier import MOST_THREADS, Classifier, Parameters, Part, aligned_zeros
from mlcore.sentiment.evaluation import evaluate
from mlcore.sentiment.settings import LEARNING_RATES, Settings
from mlcore.text.corpus import Corpus
from mlcore.text.vocabulary import WordTable, choose_words, count_words, renumber

OPTIMIZERS = {"sgd": kernels.SGD, "adagrad": kernels.ADAGRAD, "adam": kernels.ADAM}
TOKENS_PER_CALL = 2_000_000  # between two looks at Ctrl-C and two updates of the progress; about 0.1 s


@dataclass
class TrainingData:
    """All that a training needs, as arrays."""

    vocabulary: WordTable
    word_counts: np.ndarray  # (v,) occurrences in the texts that are trained on
    labels: tuple[str, str]
    train: Part
    dev: Part | None
    test: Part | None


@dataclass
class EpochReport:
    """What an epoch did. Losses are means per text; dev figures are None when nothing is held out."""

    epoch: int
    train_loss: float
    dev_loss: float | None
    dev_accuracy: float | None
    seconds: float
    tokens: int
    best: bool  # the lowest held-out loss so far (the last epoch, when nothing is held out)


class Progress(NamedTuple):
    """State within an epoch: the mean loss and the number of tokens of the texts done."""

    epoch: int
    share: float
    loss: float
    tokens: int
    seconds: float


class Workspace(NamedTuple):
    """Memory that the threads of ``kernels.train_batches`` share, and a slab of row gradients for each."""

    arrived: np.ndarray
    E: np.ndarray
    Z: np.ndarray
    H: np.ndarray
    logits: np.ndarray
    Y: np.ndarray
    losses: np.ndarray
    dlogits: np.ndarray
    dH: np.ndarray
    dZ: np.ndarray
    dE: np.ndarray
    dW1: np.ndarray
    db1: np.ndarray
    dW2: np.ndarray
    db2: np.ndarray
    units: np.ndarray
    slot_of: np.ndarray
    rows: np.ndarray
    dRows: np.ndarray

    @classmethod
    def allocate(cls, parameters: Parameters, batch: int, entries: int, threads: int) -> "Workspace":
        """Memory for batches of at most ``batch`` texts, with at most ``entries`` distinct words in all of them."""
        (words, dim), (outputs, hidden) = parameters.table.shape, parameters.W2.shape
        owned = -(-words // threads)

        def zeros(*shape: int) -> np.ndarray:
            return aligned_zeros(shape, parameters.table.dtype)

        return cls(
            arrived=np.zeros(threads * kernels.CACHE_LINE, np.int64),
            E=zeros(batch, dim), Z=zeros(batch, hidden), H=zeros(batch, hidden), logits=zeros(batch, outputs),
            Y=zeros(batch, outputs), losses=zeros(batch), dlogits=zeros(batch, outputs),
            dH=zeros(batch, hidden), dZ=zeros(batch, hidden), dE=zeros(batch, dim),
            dW1=zeros(hidden, dim), db1=zeros(hidden), dW2=zeros(outputs, hidden), db2=zeros(outputs),
            units=np.arange(max(hidden, outputs)),
            slot_of=np.full((threads, owned), -1, np.int32),
            rows=np.zeros((threads, min(owned, entries)), np.int32),
            dRows=zeros(threads, min(owned, entries), dim),
        )  # fmt: skip


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_labels(corpus: Corpus, rows: list[int]) -> tuple[str, str]:
    """The two labels of these rows, the positive one last: ``pos``, or else the alphabetically last.

    Raises: DataError unless there are exactly two.
    """
    labels = sorted({corpus.labels[i] for i in rows})
    if len(labels) != 2:
        shown = ", ".join(repr(label) for label in labels[:10])
        raise DataError(
            f"{corpus.source} has {len(labels)} label{'s' * (len(labels) != 1)} to train on ({shown}); expected two."
        )
    if labels[0] == "pos":
        labels.reverse()
    return labels[0], labels[1]


def hold_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Mask of a random part of the texts, of the given fraction of each label, at least one text each.

    Shapes: labels (n,) -> (n,) bool.
    """
    random = np.random.default_rng([seed, 1])
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        held_out[rows[: max(1, round(fraction * len(rows)))]] = True
    return held_out


def prepare(corpus: Corpus, dev: Corpus | float | None, settings: Settings) -> TrainingData:
    """Split a corpus and turn it into arrays.

    ``dev``: what is held out. None takes the corpus's own dev part, or 0.1 of its texts where it has none; a
    corpus or a fraction of the texts is used instead of the corpus's own dev part, which is then trained on;
    0 holds nothing out. Texts of the test part are never trained on.

    Raises: DataError if the texts cannot be trained on; InputError if dev is not in [0, 1).
    """
    test_rows = corpus.part("test")
    dev_rows = corpus.part("dev") if dev is None else []
    train_rows = corpus.part("", "train") + (corpus.part("dev") if dev is not None else [])
    if not train_rows:
        raise DataError(f"{corpus.source} has no text in its train part; expected some.")
    labels = choose_labels(corpus, train_rows)
    targets = _targets(corpus, labels)
    train = np.sort(np.array(train_rows, np.int64))
    fraction = 0.1 if dev is None and not dev_rows else dev
    if isinstance(fraction, int | float):
        if not 0 <= fraction < 1:
            raise InputError(f"dev is {fraction}; expected a fraction from 0 to less than 1, or a path.")
        if fraction > 0:
            held_out = hold_out(targets[train, 0], fraction, settings.seed)
            train, dev_rows = train[~held_out], train[held_out]
            if len(np.unique(targets[train])) < 2:
                raise DataError(f"{corpus.source} has too few texts to hold some out; try --dev 0 to train on all.")

    table = WordTable()
    tokens = table.add(corpus.texts)
    dev_tokens = table.add(dev.texts) if isinstance(dev, Corpus) else None
    numbers, word_counts = choose_words(table, tokens, train, settings.min_count)
    if not len(numbers):
        often = f" that occurs {settings.min_count} times (see --min-count)" if settings.min_count > 1 else ""
        raise DataError(f"{corpus.source} has no word{often} in the texts to train on; expected some.")
    documents = count_words(renumber(tokens, numbers, len(table)), len(numbers))

    def part(rows: list[int] | np.ndarray) -> Part | None:
        return Part(documents, targets, np.asarray(rows, np.int64)) if len(rows) else None

    if dev_tokens is not None:
        dev_documents = count_words(renumber(dev_tokens, numbers, len(table)), len(numbers))
        dev_part = Part(dev_documents, _targets(dev, labels), np.arange(dev_documents.n_texts))
    else:
        dev_part = part(dev_rows)
    return TrainingData(table.select(numbers), word_counts, labels, part(train), dev_part, part(test_rows))


def labelled_part(classifier: Classifier, corpus: Corpus) -> Part:
    """All texts of a corpus as a trained classifier sees them."""
    documents = classifier.documents(corpus.texts)
    return Part(documents, _targets(corpus, classifier.labels), np.arange(documents.n_texts))


def _targets(corpus: Corpus, labels: tuple[str, str]) -> np.ndarray:
    for text, label in enumerate(corpus.labels):
        if label not in labels:
            place = corpus.places[text] if corpus.places else f"text {text + 1}"
            raise DataError(
                f"{corpus.source}, {place}: the label is {label!r}; "
                f"expected {labels[0]!r} or {labels[1]!r}, as in the training data."
            )
    return np.array([[label == labels[1]] for label in corpus.labels], np.float32).reshape(-1, 1)


def fit(
    classifier: Classifier,
    train: Part,
    dev: Part | None,
    threads: int,
    progress: Callable[[Progress], None] = lambda state: None,
) -> Iterator[EpochReport]:
    """Train from the classifier's parameters, yielding a report after each epoch.

    The work is done on a copy, and the classifier is given the parameters of each epoch that is the best so far:
    however the iteration ends, it holds those of the best complete epoch, or its own if there is none. The result
    has the same bits for any number of threads.

    Raises: DivergedError when the loss or a parameter is no longer finite.
    """
    settings, parameters = classifier.settings, classifier.parameters.copy()
    current = replace(classifier, parameters=parameters)
    lengths = train.documents.lengths()
    distinct = np.sort(np.diff(train.documents.offsets)[train.rows])
    batch_size = min(settings.batch_size, len(train.rows))
    threads = min(threads, MOST_THREADS, batch_size)  # the bytes are the same for any number
    work = Workspace.allocate(parameters, batch_size, int(distinct[-batch_size:].sum()), threads)
    optimizer = OPTIMIZERS[settings.optimizer]
    M, S = (moments(parameters, needed) for needed in (optimizer == kernels.ADAM, optimizer != kernels.SGD))
    losses = np.zeros(len(train.targets), parameters.table.dtype)
    random = np.random.default_rng([settings.seed, 2])
    tokens = int(lengths[train.rows].sum())
    batches_per_call = max(1, int(TOKENS_PER_CALL * len(train.rows) / max(tokens, 1)) // batch_size)
    step, best_loss = 0, np.inf

    with ThreadPoolExecutor(threads) as pool:
        for epoch in range(1, settings.epochs + 1):
            order = random.permutation(train.rows)
            started = time.perf_counter()
            for first in range(0, len(order), batches_per_call * batch_size):
                last = min(first + batches_per_call * batch_size, len(order))
                run_together(
                    pool, work.arrived, kernels.train_batches, order[first:last], step, train.documents,
                    train.targets, batch_size, optimizer, settings.learning_rate, parameters, M, S, work, losses,
                )  # fmt: skip
                step += -(-(last - first) // batch_size)
                done = order[:last]
                loss = float(np.mean(losses[done], dtype=np.float64))
                if not np.isfinite(loss):
                    raise _diverged(epoch, settings)
                seconds = time.perf_counter() - started
                progress(Progress(epoch, last / len(order), loss, int(lengths[done].sum()), seconds))
            if not all(np.isfinite(array).all() for array in parameters):
                raise _diverged(epoch, settings)
            seconds = time.perf_counter() - started
            held_out = evaluate(current, dev, threads) if dev else None
            if held_out and not np.isfinite(held_out.loss):
                raise _diverged(epoch, settings)
            improved = held_out is None or held_out.loss < best_loss
            if improved:
                best_loss = held_out.loss if held_out else best_loss
                classifier.parameters = parameters.copy()
            yield EpochReport(
                epoch, loss, held_out and held_out.loss, held_out and held_out.accuracy, seconds, tokens, improved
            )


def warm_up() -> None:
    """Compile every kernel that training and scoring use, or load it from the cache, on a toy corpus."""
    corpus = Corpus("warm-up", ["good film", "bad film"], ["pos", "neg"], ["", ""], ["", ""])
    for optimizer in OPTIMIZERS:
        settings = Settings(dim=1, hidden=1, epochs=1, min_count=1, optimizer=optimizer)
        data = prepare(corpus, 0, settings)
        classifier = Classifier(settings, data.labels, data.vocabulary, Parameters.initial(3, settings))
        for _ in fit(classifier, data.train, None, threads=1):
            evaluate(classifier, labelled_part(classifier, corpus))


def moments(parameters: Parameters, needed: bool) -> Parameters:
    """Zeros in the shape of the parameters, or without elements where the optimiser keeps no such moment."""
    if needed:
        return Parameters(*(aligned_zeros(array.shape, array.dtype) for array in parameters))
    return Parameters(*(np.zeros((0,) * array.ndim, array.dtype) for array in parameters))


def run_together(pool: ThreadPoolExecutor, arrived: np.ndarray, function: Callable, *arguments: object) -> None:
    """Call ``function(thread, *arguments)`` once per thread of the pool, all at the same time."""

    def run(thread: int) -> None:
        try:
            function(thread, *arguments)
        except BaseException:
            arrived[:] = kernels.RELEASED  # nobody waits for a thread that failed
            raise

    threads = len(arrived) // kernels.CACHE_LINE
    futures: list[Future] = []
    try:
        for thread in range(threads):
            futures.append(pool.submit(run, thread))
        for future in futures:
            future.result()
    except BaseException:  # such as Ctrl-C: what has started comes to its end
        if len(futures) < threads:
            arrived[:] = kernels.RELEASED  # nobody waits for a thread that never started
        wait(futures)
        raise


def _diverged(epoch: int, settings: Settings) -> DivergedError:
    smaller = min(LEARNING_RATES[settings.optimizer], settings.learning_rate / 10)
    return DivergedError(
        f"The training diverged in epoch {epoch}: with a learning rate of {settings.learning_rate:g} "
        f"the loss or a parameter is not finite; try --learning-rate {smaller:g}."
    )
