"""The question of exercise 5 as an experiment: are trainable embeddings better than fixed ones?

Every arm is trained on the same texts with the same seeds; the epoch is chosen on the same held-out texts and the
accuracy measured on the same test texts.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import DataError, DivergedError, InputError
from mlcore.results import Result
from mlcore.sentiment import training
from mlcore.sentiment.evaluation import quick_figures
from mlcore.sentiment.initialization import feature_ratios, new_model
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import (
    HELD_OUT,
    SPLIT_NUMBERS,
    Dataset,
    EncodedDataset,
    Split,
    choose_labels,
    encode,
    hold_out,
    targets_of,
)
from mlcore.text.vectors import Vectors

MAX_SEEDS = 20  # the exact test looks at 2^seeds cases
Progress = Callable[[str, int, int | None], None]  # takes what is trained next, its seed, its epoch (None: a baseline)
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # weights of the loss against the penalty that are tried


class Arm(NamedTuple):
    """A way to get embeddings."""

    name: str
    freeze_embedding: bool
    initialization: str  # of words without a given vector
    given: bool  # whether the words start from given vectors


FIXED_RANDOM = Arm("fixed, random", True, "random", False)
ARMS = (
    FIXED_RANDOM,
    Arm("fixed, given", True, "random", True),
    Arm("trainable, random", False, "random", False),
    Arm("trainable, given", False, "random", True),
    Arm("trainable, naive Bayes", False, "naive-bayes", False),
)
MAJORITY, LINEAR = "majority label", "NB logistic regression"


@dataclass(frozen=True)
class Run:
    """One training: accuracies in [0, 1], the number of trained parameters, and the time."""

    arm: str
    seed: int
    test_accuracy: float
    dev_accuracy: float
    parameters: int
    seconds: float
    best_epoch: int | None = None  # None for the baselines
    finished: bool = True  # whether the training stopped because the held-out loss rose, not at the last epoch


@dataclass(frozen=True)
class Missing:
    """A run without a result, and why."""

    arm: str
    seed: int
    reason: str


@dataclass(frozen=True)
class Difference:
    """An arm against another, over the seeds that both have: mean difference in accuracy, and its p-value."""

    arm: str
    other: str
    runs: int
    mean: float
    p: float
    least_p: float  # the smallest that this number of runs can give


@dataclass(frozen=True)
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
    against_fixed: Difference | None  # None for fixed random embeddings themselves


@dataclass(frozen=True)
class Comparison(Result):
    """The runs of an experiment, summarized."""

    data: str
    labels: tuple[str, ...]
    texts: dict[str, int]  # in each split, with the first seed
    own_parts: list[str]  # splits that the data has, so that they are not drawn
    settings: dict[str, int]
    seeds: int
    vectors: dict[str, Any] | None
    arms: list[Summary]
    best_trainable_against_best_fixed: Difference | None
    runs: list[Run]
    missing: list[Missing]
    interrupted: bool

    @property
    def diverged(self) -> bool:
        """Whether a training has no result."""
        return any(missing.arm != LINEAR for missing in self.missing)


class Experiment:
    """A dataset, and what is to be trained on it.

    Where the dataset has no test split of its own, a tenth of its texts is drawn for each seed, and where it has no
    dev split, a tenth of the rest; both with the same share of each label.

    ``vectors``: given vectors of the dataset's words; without them the arms that need them are left out.

    Raises: DataError if the dataset cannot be trained on; InputError if an argument is wrong.
    """

    def __init__(self, dataset: Dataset, settings: Settings, seeds: int, vectors: Vectors | None = None) -> None:
        if settings.loss == "squared":
            raise InputError("accuracies are compared; expected 'logistic'", parameter="loss", value=settings.loss)
        if not 1 <= seeds <= MAX_SEEDS:
            raise InputError(f"expected a whole number from 1 to {MAX_SEEDS}", parameter="seeds", value=seeds)
        self.dataset, self.settings, self.seeds, self.vectors = dataset, settings, range(1, seeds + 1), vectors
        counts = np.bincount(dataset.tokens.ids, minlength=len(dataset.words))
        self.coverage = vectors.coverage(counts) if vectors else None
        self.own_splits = [name for name in ("dev", "test") if len(dataset.rows(name))]
        self.arms = [arm for arm in ARMS if vectors or not arm.given]
        self.names = [*(arm.name for arm in self.arms), MAJORITY, LINEAR]  # in the order of the runs of a seed
        self.planned = seeds * len(self.names)  # runs
        self.sizes: dict[str, int] = {}  # texts in each split, once there is a run
        self.train = dataset.rows("", "train")
        if not len(self.train):
            raise DataError(f"{dataset.source} contains no texts to train on")
        self.labels = choose_labels(dataset, self.train)
        self.targets = targets_of(dataset, self.labels)[:, 0]
        needed, counts = 3 - len(self.own_splits), np.bincount(self.targets[self.train].astype(np.int64))
        if counts.min() < needed:
            rarest = f"{counts.min()} of the label {self.labels[counts.argmin()]!r}"
            raise DataError(f"{dataset.source} has too few texts to train, hold out and test on: {rarest}")

    def encode(self, seed: int, threads: int = 1) -> tuple[EncodedDataset, Vectors | None]:
        """The splits of this seed as arrays, and the vectors of their words."""
        dataset = self.dataset
        if "test" not in self.own_splits:
            splits = dataset.splits.copy()
            splits[self.train[hold_out(self.targets[self.train], HELD_OUT, seed)]] = SPLIT_NUMBERS["test"]
            dataset = replace(dataset, splits=splits)
        data = encode(dataset, None, **replace(self.settings, seed=seed).encoding(), threads=threads)
        return data, self.vectors and self.vectors.select(dataset.words.numbers_of(data.features.words)[:-1])

    def run(self, threads: int = 1, progress: Progress = lambda name, seed, epoch: None) -> Iterator[Run | Missing]:
        """All runs, seed by seed; one that diverges does not end the others."""
        for seed in self.seeds:
            data, vectors = self.encode(seed, threads)
            self.sizes = data.sizes
            for arm in self.arms:
                try:
                    yield self._train(arm, seed, data, vectors, threads, progress)
                except DivergedError as error:
                    yield Missing(arm.name, seed, str(error))
            if seed == self.seeds[0] or len(self.own_splits) < 2:  # else they do not depend on the seed
                progress(LINEAR, seed, None)
                baselines = list(_baselines(data))
            yield from (replace(run, seed=seed) for run in baselines)

    def _train(
        self, arm: Arm, seed: int, data: EncodedDataset, vectors: Vectors | None, threads: int, progress: Progress
    ) -> Run:
        settings = replace(
            self.settings, freeze_embedding=arm.freeze_embedding, initialization=arm.initialization, seed=seed
        )
        progress(arm.name, seed, 1)
        started = time.perf_counter()
        model = new_model(data, settings, vectors if arm.given else None, threads)
        reports = []
        for report in training.fit(model, data.train, data.dev, threads):
            reports.append(report)
            progress(arm.name, seed, report.epoch + 1)
        seconds = time.perf_counter() - started
        best = [report for report in reports if report.best][-1]
        assert data.test is not None  # it is drawn if need be
        _, accuracy = quick_figures(model, data.test, threads)
        assert accuracy is not None and best.dev_accuracy is not None  # noqa: PT018, there are labels
        parameters = model.n_parameters - (len(data.features) * settings.dim if arm.freeze_embedding else 0)
        finished = len(reports) - best.epoch >= settings.patience
        return Run(arm.name, seed, accuracy, best.dev_accuracy, parameters, seconds, best.epoch, finished)

    def compare(self, results: Sequence[Run | Missing], interrupted: bool = False) -> Comparison:
        """Summarize the results of ``run``, all of them or those until an interruption."""
        runs = [result for result in results if isinstance(result, Run)]
        summaries, given = summarize(runs, self.names), self.vectors
        vectors = given and vars(self.coverage) | {
            "source": given.source, "lines": given.lines, "duplicates": given.duplicates, "sha256": given.fingerprint()
        }  # fmt: skip
        return Comparison(
            data=self.dataset.source,
            labels=self.labels,
            texts=self.sizes or self.encode(1)[0].sizes,
            own_parts=self.own_splits,
            settings={name: getattr(self.settings, name) for name in ("dim", "hidden", "epochs", "ngrams")},
            seeds=len(self.seeds),
            vectors=vectors or None,
            arms=summaries,
            best_trainable_against_best_fixed=compare_best(runs, summaries),
            runs=runs,
            missing=[result for result in results if isinstance(result, Missing)],
            interrupted=interrupted,
        )


# Baselines ------------------------------------------------------------------------------------------------


def _baselines(data: EncodedDataset) -> Iterator[Run | Missing]:
    """Always answering the label of most training texts, and logistic regression, which takes scikit-learn."""
    label = int(np.bincount(data.train.targets[data.train.rows, 0].astype(np.int64)).argmax())
    yield Run(MAJORITY, 0, _accuracy(label, data.test), _accuracy(label, data.dev), 0, 0.0)
    if find_spec("sklearn") is None:
        yield Missing(LINEAR, 0, "needs scikit-learn: pip install 'mlcore[compare]'")
        return
    started = time.perf_counter()
    accuracies = linear_accuracies(data)
    parameters = (len(data.features) + 1) * (1 if len(data.labels) == 2 else len(data.labels))
    yield Run(LINEAR, 0, *accuracies, parameters, time.perf_counter() - started)


def _accuracy(decided: np.ndarray | int, split: Split | None) -> float:
    """Share of right labels; ``decided`` are those of all texts of the documents."""
    assert split is not None
    decided = decided[split.rows] if isinstance(decided, np.ndarray) else decided
    return float(np.mean(split.targets[split.rows, 0] == decided))


def linear_accuracies(data: EncodedDataset) -> tuple[float, float]:
    """Accuracies on the test and dev splits of logistic regression on presence times log-count ratio.

    With more than two labels, each against the others. The strength of the penalty is the one that suits the dev
    split best, on ties the strongest.

    Source: Wang and Manning 2012, who take a support vector machine; with logistic regression Mesnil et al. 2014.
    """
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

    ids, offsets = data.train.documents.ids, data.train.documents.offsets.astype(np.int32)  # all that liblinear takes
    shape = len(offsets) - 1, len(data.features)
    ratios = feature_ratios(data.train, data.labels, len(data.features))
    scaled = [csr_array((ratio[ids], ids, offsets), shape=shape) for ratio in ratios.T]
    labels = [1] if len(data.labels) == 2 else range(len(data.labels))
    truths = data.train.targets[data.train.rows, 0]
    best = (-1.0, 0.0, 0.0)
    for strength in STRENGTHS:
        scores = np.empty((shape[0], len(scaled)))
        for number, (label, X) in enumerate(zip(labels, scaled, strict=True)):
            model = LogisticRegression(C=strength, solver="liblinear").fit(X[data.train.rows], truths == label)
            scores[:, number] = model.decision_function(X)
        decided = scores[:, 0] > 0 if len(scaled) == 1 else scores.argmax(axis=1)
        test, dev = _accuracy(decided, data.test), _accuracy(decided, data.dev)
        best = max(best, (dev, -strength, test))
    return best[2], best[0]


# Statistics -----------------------------------------------------------------------------------------------


def summarize(runs: Sequence[Run], names: Sequence[str]) -> list[Summary]:
    """Figures of each arm that has a run, in the order of the names."""
    found = []
    for name in names:
        mine = [run for run in runs if run.arm == name]
        figures = np.array([(run.test_accuracy, run.dev_accuracy, run.parameters, run.seconds) for run in mine])
        if mine:
            mean, dev_mean, parameters, seconds = (float(column.mean()) for column in figures.T)
            deviation = float(figures[:, 0].std(ddof=1)) if len(mine) > 1 else None
            unfinished = sum(not run.finished for run in mine)
            against = None if name == FIXED_RANDOM.name else difference(runs, name, FIXED_RANDOM.name)
            found.append(
                Summary(name, len(mine), mean, deviation, dev_mean, parameters, seconds, unfinished, against)
            )  # fmt: skip
    return found


def compare_best(runs: Sequence[Run], summaries: Sequence[Summary]) -> Difference | None:
    """The best trainable arm against the best fixed one; None if a kind has no run.

    The best ones are those with the highest mean accuracy on the held-out texts: chosen on the test texts, they
    would be flattered there.
    """
    best = []
    for frozen in (False, True):
        names = {arm.name for arm in ARMS if arm.freeze_embedding == frozen}
        best.append(max((s for s in summaries if s.arm in names), key=lambda s: s.dev_mean, default=None))
    trainable, fixed = best
    return difference(runs, trainable.arm, fixed.arm) if trainable and fixed else None


def difference(runs: Sequence[Run], arm: str, other: str) -> Difference | None:
    """An arm against another over the seeds that both have; None if there is none."""
    mine, others = ({run.seed: run.test_accuracy for run in runs if run.arm == name} for name in (arm, other))
    seeds = sorted(mine.keys() & others.keys())
    if not seeds:
        return None
    differences = np.array([mine[seed] - others[seed] for seed in seeds])
    n = len(seeds)
    return Difference(arm, other, n, float(differences.mean()), sign_flip_test(differences), 2.0 ** (1 - n))


def sign_flip_test(differences: np.ndarray) -> float:
    """Exact two-sided p-value of paired differences, (n,).

    It is the share of the 2^n choices of their signs under which their sum is as far from 0 as it is. The test
    assumes that without an effect each difference is as likely to be positive as negative, and nothing about its
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
