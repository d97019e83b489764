"""The question of exercise 5 as an experiment: are trainable embeddings better than fixed ones?

Every arm is trained on the same texts with the same seeds; the epoch is chosen on the same held-out texts and the
accuracy measured on the same test texts.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mlcore.errors import DataError, InputError
from mlcore.sentiment import training
from mlcore.sentiment.baselines import accuracy, fit_linear_model, majority_label
from mlcore.sentiment.evaluation import evaluate
from mlcore.sentiment.initialization import new_model
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import (
    Dataset,
    EncodedDataset,
    choose_labels,
    dataset_of,
    encode_rows,
    hold_out,
    targets_of,
)
from mlcore.text.vectors import Vectors

HELD_OUT = 0.1  # of each label's texts: for the test, and of the rest for the choice of the epoch
MOST_SEEDS = 20  # the exact test looks at 2^seeds cases


class Arm(NamedTuple):
    """A way to get embeddings."""

    name: str
    embedding: str  # of Settings
    start: str  # of Settings, for what has no given vector
    given: bool  # whether the words start from the given vectors


FIXED_RANDOM = Arm("fixed, random", "fixed", "random", False)
ARMS = (
    FIXED_RANDOM,
    Arm("fixed, given", "fixed", "random", True),
    Arm("trainable, random", "trainable", "random", False),
    Arm("trainable, given", "trainable", "random", True),
    Arm("trainable, naive Bayes", "trainable", "naive-bayes", False),
)
MAJORITY, LINEAR = "majority label", "NB logistic regression"


@dataclass
class Run:
    """One training: accuracies in [0, 1], the number of numbers that were trained, and what it took."""

    arm: str
    seed: int
    test_accuracy: float
    dev_accuracy: float
    parameters: int
    seconds: float
    best_epoch: int | None = None  # None for the baselines
    finished: bool = True  # whether the training has seen the held-out loss rise, not just run out of epochs


@dataclass
class Summary:
    """The runs of an arm: mean and standard deviation over the seeds, and the comparison with fixed random ones."""

    arm: str
    runs: int
    mean: float
    deviation: float | None  # None for a single run
    dev_mean: float
    parameters: float
    seconds: float
    unfinished: int  # runs that ran out of epochs
    against_fixed: "Difference | None"  # None for fixed random embeddings themselves


@dataclass
class Difference:
    """An arm against another, over the seeds that both have: mean difference in accuracy, and its p-value."""

    arm: str
    other: str
    runs: int
    mean: float
    p: float
    least_p: float  # that this number of runs can give


class Experiment:
    """A corpus, tokenised once, and what is to be trained on it.

    Where the corpus has no test part of its own, a tenth of its texts is drawn for each seed, and where it has no
    dev part, a tenth of the rest; both with the same share of each label.

    Raises: DataError if the corpus cannot be trained on; InputError if a setting or the number of seeds is wrong.
    """

    def __init__(self, corpus: Dataset, settings: Settings, seeds: int, threads: int = 1) -> None:
        if settings.loss == "squared":
            raise InputError("loss is 'squared'; expected 'logistic': accuracies are compared, which takes labels.")
        if not 1 <= seeds <= MOST_SEEDS:
            raise InputError(f"seeds is {seeds}; expected a whole number from 1 to {MOST_SEEDS}.")
        self.settings, self.seeds, self.source = settings, range(1, seeds + 1), corpus.source
        self.own = {part: corpus.rows(part) for part in ("dev", "test")}
        train = corpus.rows("", "train")
        if not len(train):
            raise DataError(f"{corpus.source} has no text in its train part; expected some.")
        self.train = train
        self.labels = choose_labels(corpus, train)
        self.targets = targets_of(corpus, self.labels)
        self.dataset, self.table, self.tokens = corpus, corpus.words, corpus.tokens
        self.word_counts = np.bincount(self.tokens.ids, minlength=len(self.table))
        self.vectors: Vectors | None = None  # of the words of ``table``

    @property
    def arms(self) -> list[Arm]:
        """The arms that can be run with the vectors that there are."""
        return [arm for arm in ARMS if self.vectors or not arm.given]

    def names(self) -> list[str]:
        """Names of the arms and of the baselines, in the order of the runs of a seed."""
        return [*(arm.name for arm in self.arms), MAJORITY, LINEAR]

    def rows(self, seed: int) -> dict[str, np.ndarray]:
        """Numbers of the texts that are trained on, held out and tested with this seed."""
        train, parts = self.train, dict(self.own)
        for name in ("test", "dev"):
            if not len(parts[name]):
                chosen = hold_out(self.targets[train, 0], HELD_OUT, seed)
                train, parts[name] = train[~chosen], train[chosen]
        if len(np.unique(self.targets[train])) < len(self.labels):
            raise DataError(f"{self.source} has too few texts of a label; expected 3 or more, and rather hundreds.")
        return {"train": train, **parts}

    def data(self, seed: int, threads: int = 1) -> tuple[EncodedDataset, Vectors | None]:
        """Arrays for the splits of this seed, and the vectors of their words."""
        rows, settings = self.rows(seed), self.settings
        data = encode_rows(
            self.dataset, rows, self.targets, self.labels, ngrams=settings.ngrams, min_count=settings.min_count,
            max_features=settings.max_features, binary=settings.binary, threads=threads,
        )  # fmt: skip
        return data, self.vectors and self.vectors.select(self.table.numbers_of(data.features.words)[:-1])

    def run(
        self, threads: int, progress: Callable[[str, int, int | None], None] = lambda name, seed, epoch: None
    ) -> Iterator[Run]:
        """All runs, seed by seed.

        ``progress`` is called with what is about to be trained, its seed and its epoch, None for a baseline.
        """
        for seed in self.seeds:
            data, vectors = self.data(seed, threads)
            for arm in self.arms:
                yield self._train(arm, seed, data, vectors, threads, progress)
            if seed == self.seeds[0] or not all(map(len, self.own.values())):
                baselines = [self._majority(data), self._linear(data, seed, progress)]
            yield from (replace(run, seed=seed) for run in baselines)  # without a draw, nothing depends on the seed

    def _majority(self, data: EncodedDataset) -> Run:
        label = majority_label(data)
        return Run(MAJORITY, 0, accuracy(label, data.test), accuracy(label, data.dev), 0, 0.0)

    def _linear(self, data: EncodedDataset, seed: int, progress: Callable) -> Run:
        progress(LINEAR, seed, None)
        started = time.perf_counter()
        model = fit_linear_model(data)
        seconds = time.perf_counter() - started
        found = [accuracy(model.decide(part), part) for part in (data.test, data.dev)]
        return Run(LINEAR, 0, *found, model.weights.size + model.biases.size, seconds)

    def _train(
        self, arm: Arm, seed: int, data: EncodedDataset, vectors: Vectors | None, threads: int, progress: Callable
    ) -> Run:
        settings = replace(self.settings, freeze_embedding=arm.embedding == "fixed", initialization=arm.start, seed=seed)
        progress(arm.name, seed, 1)
        started = time.perf_counter()
        classifier = new_model(data, settings, vectors if arm.given else None, threads)
        best = report = None
        for report in training.fit(classifier, data.train, data.dev, threads):
            best = report if report.best else best
            progress(arm.name, seed, report.epoch + 1)
        seconds = time.perf_counter() - started
        fixed = len(data.features) * settings.dim if arm.embedding == "fixed" else 0
        found = evaluate(classifier, data.test, threads).accuracy
        return Run(
            arm.name,
            seed,
            found,
            best.dev_accuracy,
            classifier.n_parameters - fixed,
            seconds,
            best.epoch,
            report.epoch - best.epoch >= settings.patience,
        )


def summarise(runs: Sequence[Run], names: Sequence[str]) -> list[Summary]:
    """Figures of each arm that has a run, in the order of the names."""
    return [
        Summary(
            arm=name,
            runs=len(mine),
            mean=float(np.mean([run.test_accuracy for run in mine])),
            deviation=float(np.std([run.test_accuracy for run in mine], ddof=1)) if len(mine) > 1 else None,
            dev_mean=float(np.mean([run.dev_accuracy for run in mine])),
            parameters=float(np.mean([run.parameters for run in mine])),
            seconds=float(np.mean([run.seconds for run in mine])),
            unfinished=sum(not run.finished for run in mine),
            against_fixed=None if name == FIXED_RANDOM.name else difference(runs, name, FIXED_RANDOM.name),
        )
        for name in names
        if (mine := [run for run in runs if run.arm == name])
    ]


def answer(runs: Sequence[Run], summaries: Sequence[Summary]) -> Difference | None:
    """The best trainable arm against the best fixed one; None if a kind has no run.

    The best ones are those with the highest mean accuracy on the held-out texts: chosen on the test texts, they
    would be flattered there.
    """
    best = {}
    for kind in ("trainable", "fixed"):
        names = {arm.name for arm in ARMS if arm.embedding == kind}
        best[kind] = max((s for s in summaries if s.arm in names), key=lambda s: s.dev_mean, default=None)
    if None in best.values():
        return None
    return difference(runs, best["trainable"].arm, best["fixed"].arm)


def difference(runs: Sequence[Run], arm: str, other: str) -> Difference | None:
    """An arm against another over the seeds that both have; None if there is none."""
    accuracies = {name: {run.seed: run.test_accuracy for run in runs if run.arm == name} for name in (arm, other)}
    seeds = sorted(accuracies[arm].keys() & accuracies[other].keys())
    if not seeds:
        return None
    differences = np.array([accuracies[arm][seed] - accuracies[other][seed] for seed in seeds])
    n = len(seeds)
    return Difference(arm, other, n, float(differences.mean()), sign_flip_test(differences), 2.0 ** (1 - n))


def sign_flip_test(differences: np.ndarray) -> float:
    """Exact two-sided p-value of paired differences, (n,): the share of the 2^n choices of their signs under which
    their sum is as far from 0 as it is.

    It supposes that without an effect each difference is as likely to be positive as negative, and nothing of its
    distribution, where a t-test on a handful of values would rest on the normal one. With n differences it cannot be
    lower than 2^(1 - n). Splits drawn from the same texts overlap, so that their differences are not quite
    independent and the p-value is somewhat too low.

    Source: Fisher 1935, section 21.

    Example:
        >>> sign_flip_test(np.array([0.02, 0.01, 0.03]))
        0.25
    """
    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums + value, sums - value])
    rounding = 1e-12 * np.abs(differences).sum()
    return float(np.mean(np.abs(sums) >= abs(differences.sum()) - rounding))


def warm_up() -> None:
    """Compile every kernel that an experiment uses, or load it from the cache, on a toy corpus."""
    training.warm_up(Settings.optimizer)
    texts, labels = ["good film", "bad film"] * 4, ["pos", "neg"] * 4
    experiment = Experiment(dataset_of(texts, labels), Settings(dim=1, hidden=1, epochs=1), 1)
    for _ in experiment.run(threads=1):
        pass
