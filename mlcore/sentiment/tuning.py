"""Settings by experiment: cross-validation of one setting, and a search for better ones by successive halving.

A trial is evaluated on one fold after the other. Of each bracket of nine trials the best third goes on after the first
fold, and the best one after the third; so does the first trial, of the given settings, in any case. Of those with all
folds the one with the best mean wins, if it is better than the given settings by more than twice the standard error of
such differences, since the best of many noisy means is too good. Which trials there are depends on the data and the
seed alone, so that equal seeds and numbers of trials give equal results, whatever the number of processes.
Source: Jamieson and Talwalkar 2016.
"""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.pool import Pool
from time import monotonic
from typing import Any

import numpy as np

from mlcore.errors import DataError, DivergedError, InputError
from mlcore.results import Result
from mlcore.sentiment.evaluation import evaluate
from mlcore.sentiment.initialization import facts_of
from mlcore.sentiment.settings import Facts, Settings
from mlcore.sentiment.training import Training
from mlcore.text.dataset import Dataset
from mlcore.text.labels import SPLIT_NUMBERS

BRACKET = 9  # trials that are compared with each other
METRICS: dict[str, Callable[[Any], float]] = {  # of an evaluation; the larger, the better: losses are negative
    "accuracy": lambda found: found.accuracy,
    "macro-f1": lambda found: found.macro.f1 or 0.0,
    "log-loss": lambda found: -found.loss,
    "rmse": lambda found: -found.rmse,
}
UNUSED = -1  # split of the texts that are not to be seen
SPACE: dict[str, tuple[Any, ...]] = {  # values that are drawn
    "ngrams": (1, 2, 3),
    "char_ngrams": ("none", "2-4", "3-4", "3-5", "2-5"),
    "min_count": (1, 2, 3),
    "word_dropout": (0.0, 0.1, 0.2, 0.35, 0.5),
}
MULTIPLES: dict[str, tuple[float, ...]] = {"learning_rate": (0.4, 0.7, 1.5, 2.5), "dim": (0.5, 2), "hidden": (0.5, 2)}
CLEAR = 2  # standard errors; the best of a dozen trials that are as good as the given settings gains 1.6
CHANGED = 0.3  # share of the automatic settings that a trial changes, as most of them are chosen well for most texts


@dataclass
class Trial(Result):
    """Settings, and their score on each of the first folds."""

    number: int
    drawn: dict[str, Any]  # the settings that differ from the given ones
    scores: list[float] = field(default_factory=list)
    failed: bool = False  # a training diverged, or the settings leave no features

    @property
    def mean(self) -> float:
        """Of a loss too it is positive, although its scores are negative: there, the smaller, the better."""
        return abs(float(np.mean(self.scores)))

    @property
    def deviation(self) -> float | None:
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """The settings that were drawn beside the figures."""
        figures = {"folds": len(self.scores), "mean": self.mean, "deviation": self.deviation}
        return {"trial": self.number, **self.drawn, **figures}


@dataclass(frozen=True)
class Tuning(Result):
    """All trials, that of the chosen settings first, then the best.

    ``importance`` is each setting's share of the variance on the first fold.
    """

    metric: str
    trials: list[Trial]
    importance: dict[str, float]
    settings: Settings  # of the best one
    interrupted: bool
    notes: list[str]  # what was guessed and skipped in reading


@dataclass(frozen=True)
class CrossValidation(Result):
    """The score of one setting on each fold; of log-loss and rmse, the smaller, the better."""

    metric: str
    scores: list[float]
    mean: float
    deviation: float | None
    notes: list[str]  # what was guessed and skipped in reading


def fold_of(dataset: Dataset, number: int, folds: int) -> Dataset:
    """The dataset with one of its folds, a random share of the texts, as the test split.

    A dev split is tested on instead: then the folds are trainings with other seeds. Texts of the test split are never
    used.
    """
    used = np.flatnonzero(dataset.splits != SPLIT_NUMBERS["test"])
    tested = dataset.rows("dev")
    if not len(tested) and len(used) >= folds:
        tested = used[np.random.default_rng([1, 4]).permutation(len(used)) % folds == number]
    kept = np.setdiff1d(used, tested)
    if not len(kept) or not len(tested):
        raise DataError(f"{dataset.source} has too few texts for {folds} folds")
    splits = np.full_like(dataset.splits, UNUSED)
    splits[kept], splits[tested] = SPLIT_NUMBERS["train"], SPLIT_NUMBERS["test"]
    return replace(dataset, splits=splits)


def measured(dataset: Dataset, given: Settings, threads: int = 1) -> Any:
    """Train as ``train-sentiment`` does, and evaluate on the test split.

    Raises: DataError, DivergedError.
    """
    training = Training(dataset, given, None, threads)
    training.begin()
    assert training.data.test is not None  # the fold
    return evaluate(training.run(), training.data.test, threads)


def cross_validate(
    dataset: Dataset,
    settings: Settings,
    metric: str | None,
    folds: int,
    threads: int = 1,
    progress: Callable[[int], None] = lambda fold: None,
) -> CrossValidation:
    """Score of a setting on each fold.

    Raises: InputError if the metric does not suit the loss; DataError.
    """
    metric, trial = metric_of(metric, settings), Trial(0, {})
    for number in range(folds):
        progress(number)
        seeded = replace(settings, seed=settings.seed + number)
        trial.scores.append(METRICS[metric](measured(fold_of(dataset, number, folds), seeded, threads)))
    return CrossValidation(metric, [*map(abs, trial.scores)], trial.mean, trial.deviation, dataset.notes.sentences())


def metric_of(name: str | None, settings: Settings) -> str:
    """The metric of this name, or the usual one; raises InputError if there is none, or it does not suit the loss."""
    names = ["rmse"] if settings.loss == "squared" else [name for name in METRICS if name != "rmse"]
    if name not in (None, *names):
        raise InputError("expected " + " or ".join(names), parameter="metric", value=name)
    return name or names[0]


def drawn_settings(given: Settings, facts: Facts, number: int) -> dict[str, Any]:
    """What a trial tries: another value for some of the automatic settings; the first one tries the given settings."""
    if number == 0:
        return {}
    random, usual, names = np.random.default_rng([given.seed, 5, number]), given.resolved(facts), [*SPACE, *MULTIPLES]
    automatic, drawn = {*given.automatic()}.intersection(names), dict[str, Any]()
    while not drawn and automatic:
        for name in names:
            value = getattr(usual, name)
            multiples = [type(value)(float(f"{value * factor:.3g}")) for factor in MULTIPLES.get(name, ())]
            others = sorted({*multiples, *SPACE.get(name, ())} - {value})
            choice = others[int(random.integers(len(others)))]
            if random.random() < CHANGED and name in automatic:
                drawn[name] = choice
    return drawn


# The search -------------------------------------------------------------------------------------------------

_dataset: Dataset  # of a worker process


def _started(processes: int, dataset: Dataset) -> Pool:
    """Processes that do not get Ctrl-C, not even while they start: it is for the one that waits for them."""
    start = partial(multiprocessing.get_context("spawn").Pool, processes, _receive, (dataset,))
    if sys.platform == "win32":  # there are neither masks nor a tracker
        return start()
    resource_tracker.ensure_running()  # when it starts, it lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(dataset: Dataset) -> None:
    global _dataset
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows, which has no masks
    _dataset = dataset


def _score(given: Settings, metric: str, number: int, folds: int) -> float | None:
    try:
        seeded = replace(given, seed=given.seed + number)
        return METRICS[metric](measured(fold_of(_dataset, number, folds), seeded))
    except (DataError, DivergedError):  # settings that do not suit these texts
        return None


def tune(
    dataset: Dataset,
    given: Settings,
    metric: str | None,
    folds: int,
    seconds: float,
    max_trials: int,
    processes: int,
    progress: Callable[[list[Trial]], None] = lambda trials: None,
) -> Tuning:
    """Search better values of the automatic settings until the time or the number of trials is used up.

    ``progress`` is called with all trials, some times a second; a KeyboardInterrupt that it raises ends the search, as
    the time does: the best trial so far is the result, if there is one.

    Raises: InputError if the metric does not suit the loss; DataError if not even the first trial could be scored.
    """
    metric = metric_of(metric, given)
    fold_of(dataset, 0, folds)  # there are enough texts
    facts, trials = facts_of(dataset, None), list[Trial]()
    interrupted, end = False, monotonic() + seconds
    with _started(processes, dataset) as pool:

        def score(tasks: list[tuple[Trial, int]]) -> None:
            """Score trials on folds, and drop those that cannot be scored."""
            running = [
                (trial, pool.apply_async(_score, (replace(given, **trial.drawn), metric, fold, folds)))
                for trial, fold in tasks
            ]
            for trial, answer in running:  # in order, so that scores are in the order of the folds
                while not answer.ready():
                    progress(trials)
                    if monotonic() > end:
                        raise TimeoutError
                    answer.wait(0.2)
                found = answer.get()
                trial.failed |= found is None
                trial.scores += [] if found is None else [found]

        try:
            for first in range(0, max_trials, BRACKET):
                numbers = range(first, min(first + BRACKET, max_trials))
                bracket, done = [Trial(number, drawn_settings(given, facts, number)) for number in numbers], 0
                trials += bracket
                for rung in sorted({1, min(3, folds), folds}):
                    score([(trial, fold) for trial in bracket for fold in range(done, rung)])
                    if not ranked(trials):  # not even one of the first bracket suits: say why
                        measured(fold_of(dataset, 0, folds), given, processes)
                    most, done = max(1, len(bracket) // 3), rung
                    bracket = [trial for i, trial in enumerate(ranked(bracket)) if i < most or trial.number == 0]
        except TimeoutError:
            pass
        except KeyboardInterrupt:
            interrupted = True
            if not ranked(trials):
                raise
    scored = ranked(trials)
    if not scored:
        raise DataError(f"no trial could be scored on {dataset.source} in this time; give the search more")
    best = winner(scored)
    scored.sort(key=lambda trial: trial is not best)
    settings, notes = replace(given, **best.drawn), dataset.notes.sentences()
    return Tuning(metric, scored, importance(scored), settings, interrupted, notes)


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """The trials that could be scored: those with the most folds first, of these those with the highest mean; on ties,
    the earlier.
    """
    scored = (trial for trial in trials if trial.scores and not trial.failed)
    return sorted(scored, key=lambda trial: (-len(trial.scores), -np.mean(trial.scores), trial.number))


def winner(scored: Sequence[Trial]) -> Trial:
    """The best of some ranked trials, or that of the given settings if no other is clearly better on the same folds."""
    given = next((trial for trial in scored if trial.number == 0), scored[0])
    folds = len(given.scores)
    others = [trial for trial in scored if trial is not given and len(trial.scores) >= folds]
    gains = np.array([trial.scores[:folds] for trial in others]).reshape(-1, folds) - given.scores
    if not others or folds < 2:
        return given
    error = np.sqrt(gains.var(axis=1, ddof=1).mean() / folds)  # one for all: that of few folds is itself uncertain
    best = int(gains.mean(axis=1).argmax())
    return others[best] if gains[best].mean() > CLEAR * error else given


def importance(trials: Sequence[Trial]) -> dict[str, float]:
    """Share of the variance of the scores on the first fold that the value of each setting explains (eta squared)."""
    scores = np.array([trial.scores[0] for trial in trials])
    total, found = float(((scores - scores.mean()) ** 2).sum()), {}
    for name in [*SPACE, *MULTIPLES] if total > 0 else ():
        values = np.array([repr(trial.drawn.get(name)) for trial in trials])
        if len(set(values)) > 1:
            groups = [scores[values == value] for value in sorted(set(values))]
            between = sum(len(group) * (group.mean() - scores.mean()) ** 2 for group in groups)
            found[name] = float(between) / total
    return found
