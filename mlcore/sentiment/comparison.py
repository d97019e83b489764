"""The question of exercise 5 as an experiment: are trainable embeddings better than fixed ones?

Every arm is trained on the same texts with the same seeds; the epoch is chosen on the same held-out texts and the
accuracy measured on the same test texts.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from mlcore.errors import DataError, DivergedError, InputError
from mlcore.results import Result
from mlcore.sentiment import training
from mlcore.sentiment.evaluation import quick_figures
from mlcore.sentiment.initialization import feature_ratios, new_model
from mlcore.sentiment.settings import Settings
from mlcore.text.dataset import (
    HELD_OUT,
    Dataset,
    EncodedDataset,
    Split,
    choose_labels,
    encode_rows,
    hold_out,
    targets_of,
)  # fmt: skip
from mlcore.text.vectors import Coverage, Vectors

MAX_SEEDS = 20  # the exact test looks at 2^seeds cases
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


class Missing(NamedTuple):
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


@dataclass
class GivenVectors(Coverage):
    """Vectors that were given, and how much of the dataset they cover."""

    source: str
    lines: int
    duplicates: int
    sha256: str


@dataclass(frozen=True)
class Comparison(Result):
    """The runs of an experiment, summarized."""

    data: str
    labels: tuple[str, ...]
    texts: dict[str, int]  # in each split, with the first seed
    own_parts: list[str]  # splits that the data has, so that they are not drawn
    settings: dict[str, int]
    seeds: int
    vectors: GivenVectors | None
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

    Raises: DataError if the dataset cannot be trained on; InputError if a setting or the number of seeds is wrong.
    """

    def __init__(self, dataset: Dataset, settings: Settings, seeds: int, vectors: Vectors | None = None) -> None:
        if settings.loss == "squared":
            raise InputError("accuracies are compared; expected 'logistic'", parameter="loss", value=settings.loss)
        if not 1 <= seeds <= MAX_SEEDS:
            raise InputError(f"expected a whole number from 1 to {MAX_SEEDS}", parameter="seeds", value=seeds)
        self.dataset, self.settings, self.seeds, self.vectors = dataset, settings, range(1, seeds + 1), vectors
        self.own = {name: dataset.rows(name) for name in ("dev", "test")}
        self.train = dataset.rows("", "train")
        if not len(self.train):
            raise DataError(f"{dataset.source} contains no texts to train on")
        self.labels = choose_labels(dataset, self.train)
        self.targets = targets_of(dataset, self.labels)
        self.arms = [arm for arm in ARMS if vectors or not arm.given]
        self.names = [*(arm.name for arm in self.arms), MAJORITY, LINEAR]  # in the order of the runs of a seed

    @property
    def planned(self) -> int:
        """Number of runs."""
        return len(self.seeds) * len(self.names)

    def rows(self, seed: int) -> dict[str, np.ndarray]:
        """Numbers of the texts that are trained on, held out and tested with this seed."""
        train, own = self.train, dict(self.own)
        for name in ("test", "dev"):
            if not len(own[name]):
                chosen = hold_out(self.targets[train, 0], HELD_OUT, seed)
                train, own[name] = train[~chosen], train[chosen]
        if len(np.unique(self.targets[train])) < len(self.labels):
            raise DataError(
                f"{self.dataset.source} has too few texts of a label to train, hold out and test; at least 3 of each "
                "label are needed, better hundreds"
            )
        return {"train": train, **own}

    def encode(self, seed: int, threads: int = 1) -> tuple[EncodedDataset, Vectors | None]:
        """The splits of this seed as arrays, and the vectors of their words."""
        settings = self.settings.resolved()
        data = encode_rows(
            self.dataset, self.rows(seed), self.targets, self.labels, ngrams=settings.ngrams,
            min_count=settings.min_count, max_features=settings.max_features, binary=settings.binary, threads=threads,
        )  # fmt: skip
        return data, self.vectors and self.vectors.select(self.dataset.words.numbers_of(data.features.words)[:-1])

    def run(
        self, threads: int = 1, progress: Callable[[str, int, int | None], None] = lambda name, seed, epoch: None
    ) -> Iterator[Run | Missing]:
        """All runs, seed by seed; one that diverges does not end the others.

        ``progress`` is called with what is about to be trained, its seed and its epoch, None for a baseline.
        """
        for seed in self.seeds:
            data, vectors = self.encode(seed, threads)
            for arm in self.arms:
                try:
                    yield self._train(arm, seed, data, vectors, threads, progress)
                except DivergedError as error:
                    yield Missing(arm.name, seed, str(error))
            if seed == self.seeds[0] or not all(map(len, self.own.values())):
                baselines = [_majority(data), _linear(data, lambda: progress(LINEAR, seed, None))]
            # without a draw, nothing depends on the seed
            yield from (
                replace(run, seed=seed) if isinstance(run, Run) else run._replace(seed=seed) for run in baselines
            )

    def _train(
        self, arm: Arm, seed: int, data: EncodedDataset, vectors: Vectors | None, threads: int, progress: Callable
    ) -> Run:
        settings = replace(
            self.settings, freeze_embedding=arm.freeze_embedding, initialization=arm.initialization, seed=seed
        )
        progress(arm.name, seed, 1)
        started = time.perf_counter()
        model = new_model(data, settings, vectors if arm.given else None, threads)
        best = report = None
        for report in training.fit(model, data.train, data.dev, threads):
            best = report if report.best else best
            progress(arm.name, seed, report.epoch + 1)
        seconds = time.perf_counter() - started
        return Run(
            arm=arm.name,
            seed=seed,
            test_accuracy=quick_figures(model, data.test, threads)[1],
            dev_accuracy=best.dev_accuracy,
            parameters=model.n_parameters - (len(data.features) * settings.dim if arm.freeze_embedding else 0),
            seconds=seconds,
            best_epoch=best.epoch,
            finished=report.epoch - best.epoch >= settings.patience,
        )

    def compare(self, results: Sequence[Run | Missing], interrupted: bool = False) -> Comparison:
        """Summarize the results of ``run``, all of them or those until an interruption."""
        runs = [result for result in results if isinstance(result, Run)]
        summaries = summarize(runs, self.names)
        return Comparison(
            data=self.dataset.source,
            labels=self.labels,
            texts={name: len(rows) for name, rows in self.rows(1).items()},
            own_parts=[name for name, rows in self.own.items() if len(rows)],
            settings={name: getattr(self.settings, name) for name in ("dim", "hidden", "epochs", "ngrams")},
            seeds=len(self.seeds),
            vectors=self._given_vectors(),
            arms=summaries,
            best_trainable_against_best_fixed=compare_best(runs, summaries),
            runs=runs,
            missing=[result for result in results if isinstance(result, Missing)],
            interrupted=interrupted,
        )

    def _given_vectors(self) -> GivenVectors | None:
        if not (vectors := self.vectors):
            return None
        coverage = vectors.coverage(np.bincount(self.dataset.tokens.ids, minlength=len(self.dataset.words)))
        return GivenVectors(
            **vars(coverage), source=vectors.source, lines=vectors.lines, duplicates=vectors.duplicates,
            sha256=vectors.fingerprint(),
        )  # fmt: skip


# Baselines ------------------------------------------------------------------------------------------------


def _majority(data: EncodedDataset) -> Run:
    """Always answer the label that most of the training texts have, the first on ties."""
    label = int(np.bincount(data.train.targets[data.train.rows, 0].astype(np.int64)).argmax())
    return Run(MAJORITY, 0, _accuracy(label, data.test), _accuracy(label, data.dev), 0, 0.0)


def _accuracy(decided: np.ndarray | int, split: Split) -> float:
    return float(np.mean(split.targets[split.rows, 0] == decided))


def _linear(data: EncodedDataset, starting: Callable[[], None]) -> Run | Missing:
    if find_spec("sklearn") is None:
        return Missing(LINEAR, 0, "needs scikit-learn: pip install 'mlcore[compare]'")
    starting()
    started = time.perf_counter()
    test, dev = linear_accuracies(data)
    parameters = (len(data.features) + 1) * (1 if len(data.labels) == 2 else len(data.labels))
    return Run(LINEAR, 0, test, dev, parameters, time.perf_counter() - started)


def linear_accuracies(data: EncodedDataset) -> tuple[float, float]:
    """Accuracies on the test and dev splits of logistic regression on presence times log-count ratio.

    With more than two labels, each against the others. The strength of the penalty is the one that suits the dev
    split best, on ties the strongest.

    Source: Wang and Manning 2012, who take a support vector machine; with logistic regression Mesnil et al. 2014.
    """
    from scipy.sparse import csr_array, diags_array
    from sklearn.linear_model import LogisticRegression

    ids, _, offsets = data.train.documents
    present = csr_array((np.ones(len(ids)), ids, offsets), shape=(len(offsets) - 1, len(data.features)))
    scaled = [present @ diags_array(ratio) for ratio in feature_ratios(data.train, data.labels, len(data.features)).T]
    labels = [1] if len(data.labels) == 2 else range(len(data.labels))
    truths = data.train.targets[data.train.rows, 0]
    best, best_dev = 0.0, -1.0
    for strength in STRENGTHS:
        scores = np.empty((present.shape[0], len(scaled)))
        for number, (label, X) in enumerate(zip(labels, scaled, strict=True)):
            model = LogisticRegression(C=strength, solver="liblinear").fit(X[data.train.rows], truths == label)
            scores[:, number] = model.decision_function(X)
        decided = scores[:, 0] > 0 if len(scaled) == 1 else scores.argmax(axis=1)
        test, dev = (_accuracy(decided[split.rows], split) for split in (data.test, data.dev))
        if dev > best_dev:
            best, best_dev = test, dev
    return best, best_dev


# Statistics -----------------------------------------------------------------------------------------------


def summarize(runs: Sequence[Run], names: Sequence[str]) -> list[Summary]:
    """Figures of each arm that has a run, in the order of the names."""
    summaries = []
    for name in names:
        if not (mine := [run for run in runs if run.arm == name]):
            continue
        columns = ("test_accuracy", "dev_accuracy", "parameters", "seconds")
        tests, devs, parameters, seconds = np.array([[getattr(run, c) for c in columns] for run in mine], float).T
        summaries.append(
            Summary(
                arm=name,
                runs=len(mine),
                mean=float(tests.mean()),
                deviation=float(tests.std(ddof=1)) if len(mine) > 1 else None,
                dev_mean=float(devs.mean()),
                parameters=float(parameters.mean()),
                seconds=float(seconds.mean()),
                unfinished=sum(not run.finished for run in mine),
                against_fixed=None if name == FIXED_RANDOM.name else difference(runs, name, FIXED_RANDOM.name),
            )
        )
    return summaries


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
