"""The question of exercise 5 as an experiment: are trainable embeddings better than fixed ones?

Every arm is trained on the same texts with the same seeds; the epoch is chosen on the same held-out texts and the
accuracy measured on the same test texts.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mlcore.errors import DataError, DivergedError, InputError
from mlcore.results import Result
from mlcore.sentiment.evaluation import quick_figures
from mlcore.sentiment.initialization import facts_of, feature_ratios
from mlcore.sentiment.settings import Settings
from mlcore.sentiment.training import Training, best_epoch
from mlcore.templates import fill
from mlcore.text.dataset import Dataset, EncodedDataset, with_test_split
from mlcore.text.labels import HELD_OUT, choose_labels
from mlcore.text.vectors import Coverage, Vectors

MAX_SEEDS = 20  # the exact test looks at 2^seeds cases
Progress = Callable[[str, int, int | None], None]  # takes what is trained next, its seed, its epoch (None: a baseline)
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # weights of the loss against the penalty that are tried


class Arm(NamedTuple):
    """A way to get embeddings."""

    name: str
    freeze_embedding: bool
    given: bool  # whether the words start from given vectors
    initialization: str  # of the other words


ARMS = (
    Arm("fixed, random", True, False, "random"),
    Arm("fixed, given", True, True, "random"),
    Arm("trainable, random", False, False, "random"),
    Arm("trainable, given", False, True, "naive-bayes"),
    Arm("trainable, naive Bayes", False, False, "naive-bayes"),
)
REFERENCE, MAJORITY, LINEAR = ARMS[0].name, "majority label", "NB logistic regression"


class Run(NamedTuple):
    """One training: accuracies in [0, 1], the number of trained parameters, and the time."""

    arm: str
    seed: int
    test_accuracy: float
    dev_accuracy: float
    parameters: int
    seconds: float
    best_epoch: int | None = None  # None for the baselines
    finished: bool = True  # whether the held-out loss rose before the last epoch, or the learning rate fell to 0


class Missing(NamedTuple):  # a run without a result
    arm: str
    seed: int
    reason: str


class Difference(NamedTuple):
    """An arm against another, over the seeds that both have: mean difference in accuracy, and its p-value."""

    arm: str
    other: str
    runs: int
    mean: float
    p: float
    least_p: float  # the smallest that this number of runs can give


class Summary(NamedTuple):
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
    vectors: Coverage | None
    arms: list[Summary]
    best_trainable_against_best_fixed: Difference | None
    runs: list[Run]
    missing: list[Missing]
    interrupted: bool
    notes: list[str]  # what was guessed and skipped in reading

    @property
    def diverged(self) -> bool:
        return any(missing.arm != LINEAR for missing in self.missing)

    def _repr_html_(self) -> str:
        """A table of the arms, for notebooks."""
        return fill("notebook.html", comparison=self)


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
        if settings.multi_label or dataset.several_labels:
            raise DataError(f"{dataset.source} has texts with several labels, or none; expected one for each")
        if not 1 <= seeds <= MAX_SEEDS:
            raise InputError(f"expected a whole number from 1 to {MAX_SEEDS}", parameter="seeds", value=seeds)
        self.settings = replace(settings, refit=False).resolved(facts_of(dataset, None, vectors))
        self.dataset, self.seeds, self.vectors = dataset, range(1, seeds + 1), vectors
        counts = np.bincount(dataset.tokens.ids, minlength=len(dataset.words))
        self.coverage = vectors.coverage(counts) if vectors else None
        self.own_splits = [name for name in ("dev", "test") if len(dataset.rows(name))]
        self.arms = [arm for arm in ARMS if vectors or not arm.given]
        self.names = [*(arm.name for arm in self.arms), MAJORITY, LINEAR]  # in the order of the runs of a seed
        self.planned = seeds * len(self.names)  # runs
        self.sizes: dict[str, int] = {}  # texts in each split, once there is a run
        train = dataset.rows("", "train")
        if not len(train):
            raise DataError(f"{dataset.source} contains no texts to train on")
        self.labels = choose_labels(dataset, train)
        numbers, counts = np.unique(dataset.labels[train], return_counts=True)
        if counts.min() < 3 - len(self.own_splits):
            rarest = f"{counts.min()} of the label {dataset.label_names[numbers[counts.argmin()]]!r}"
            raise DataError(f"{dataset.source} has too few texts to train, hold out and test on: {rarest}")

    def training(self, seed: int, threads: int = 1) -> Training:
        """A training on the splits of this seed."""
        own = "test" in self.own_splits
        dataset = self.dataset if own else with_test_split(self.dataset, HELD_OUT, seed)
        read_vectors = (lambda words, dim: vectors) if (vectors := self.vectors) else None
        return Training(dataset, replace(self.settings, seed=seed), None, threads, read_vectors=read_vectors)

    def run(self, threads: int = 1, progress: Progress = lambda name, seed, epoch: None) -> Iterator[Run | Missing]:
        """All runs, seed by seed; one that diverges does not end the others."""
        for seed in self.seeds:
            training = self.training(seed, threads)
            data, self.sizes, vectors = training.data, training.data.sizes, training.vectors
            for arm in self.arms:
                training.vectors = vectors if arm.given else None
                try:
                    yield self._train(arm, seed, training, progress)
                except DivergedError as error:
                    yield Missing(arm.name, seed, str(error))
            if seed == 1 or len(self.own_splits) < 2:  # else they do not depend on the seed
                progress(LINEAR, seed, None)
                most_frequent = np.bincount(data.train.targets[data.train.rows, 0].astype(np.int64)).argmax()
                decided = np.full(data.train.documents.n_texts, most_frequent)
                baselines = Run(MAJORITY, seed, *_accuracies(decided, data), 0, 0.0), linear(data)
            yield from (run._replace(seed=seed) for run in baselines)

    def _train(self, arm: Arm, seed: int, training: Training, progress: Progress) -> Run:
        frozen, data = arm.freeze_embedding, training.data
        training.settings = replace(training.settings, freeze_embedding=frozen, initialization=arm.initialization)
        progress(arm.name, seed, 1)
        started = time.perf_counter()
        training.begin()
        model = training.run(on_epoch=lambda report, state: progress(arm.name, seed, report.epoch + 1))
        seconds = time.perf_counter() - started
        best = training.reports[best_epoch(training.reports) - 1]
        assert data.test is not None  # it is drawn if need be
        _, accuracy = quick_figures(model, data.test, training.threads)
        assert accuracy is not None and best.dev_accuracy is not None  # noqa: PT018, there are labels
        parameters = model.n_parameters - (len(data.features) * model.settings.dim if frozen else 0)
        more = len(training.reports) - best.epoch
        finished = more >= model.settings.patience or model.settings.schedule == "linear"
        return Run(arm.name, seed, accuracy, best.dev_accuracy, parameters, seconds, best.epoch, finished)

    def compare(self, results: Sequence[Run | Missing], interrupted: bool = False) -> Comparison:
        """Summarize the results of ``run``, all of them or those until an interruption."""
        runs = [result for result in results if isinstance(result, Run)]
        missing = [result for result in results if isinstance(result, Missing)]
        summaries = summarize(runs, self.names)
        settings = {name: getattr(self.settings, name) for name in ("dim", "hidden", "epochs", "ngrams")}
        return Comparison(
            self.dataset.source, self.labels, self.sizes or self.training(1).data.sizes, self.own_splits, settings,
            len(self.seeds), self.coverage, summaries, compare_best(runs, summaries), runs, missing, interrupted,
            self.dataset.notes.sentences(),
        )  # fmt: skip


def linear(data: EncodedDataset) -> Run | Missing:
    """Logistic regression on presence times log-count ratio, which takes scikit-learn.

    With more than two labels, each against the others. The strength of the penalty is the one that suits the dev
    split best, on ties the strongest.

    Source: Wang and Manning 2012, who take a support vector machine; with logistic regression Mesnil et al. 2014.
    """
    try:
        from scipy.sparse import csr_array
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        return Missing(LINEAR, 1, "needs scikit-learn: pip install 'mlcore[compare]'")
    started = time.perf_counter()
    ids, offsets = data.train.documents.ids, data.train.documents.offsets.astype(np.int32)  # all that liblinear takes
    shape = len(offsets) - 1, len(data.features)
    ratios = feature_ratios(data.train, data.labels, len(data.features)).dense()
    columns = zip([1] if len(data.labels) == 2 else range(len(data.labels)), ratios.T, strict=True)
    scaled = [(label, csr_array((ratio[ids], ids, offsets), shape=shape)) for label, ratio in columns]
    truths, best = data.train.targets[data.train.rows, 0], (-1.0, 0.0, 0.0)
    for strength in STRENGTHS:
        scores = np.empty((shape[0], len(scaled)))
        for column, (label, X) in enumerate(scaled):
            model = LogisticRegression(C=strength, solver="liblinear").fit(X[data.train.rows], truths == label)
            scores[:, column] = model.decision_function(X)
        test, dev = _accuracies(scores[:, 0] > 0 if len(scaled) == 1 else scores.argmax(axis=1), data)
        best = max(best, (dev, -strength, test))
    parameters = (shape[1] + 1) * len(scaled)
    return Run(LINEAR, 1, best[2], best[0], parameters, time.perf_counter() - started)


def _accuracies(decided: np.ndarray, data: EncodedDataset) -> tuple[float, float]:
    """Share of right labels in the test and dev splits; ``decided`` are those of all texts of the dataset."""
    assert data.test and data.dev  # noqa: PT018, they are drawn if need be
    test, dev = (float(np.mean(s.targets[s.rows, 0] == decided[s.rows])) for s in (data.test, data.dev))
    return test, dev


def summarize(runs: Sequence[Run], names: Sequence[str]) -> list[Summary]:
    """Figures of each arm that has a run, in the order of the names."""
    found = []
    for name in names:
        mine = [run for run in runs if run.arm == name]
        if mine:
            figures = np.array([(run.test_accuracy, run.dev_accuracy, run.parameters, run.seconds) for run in mine])
            mean, dev_mean, parameters, seconds = figures.mean(axis=0).tolist()
            deviation = float(figures[:, 0].std(ddof=1)) if len(mine) > 1 else None
            unfinished = sum(not run.finished for run in mine)
            against = None if name == REFERENCE else difference(runs, name, REFERENCE)
            found.append(Summary(name, len(mine), mean, deviation, dev_mean, parameters, seconds, unfinished, against))
    return found


def compare_best(runs: Sequence[Run], summaries: list[Summary]) -> Difference | None:
    """The best trainable arm against the best fixed one; None if a kind has no run.

    The best ones are those with the highest mean accuracy on the held-out texts: chosen on the test texts, they
    would be flattered there.
    """
    means = {summary.arm: summary.dev_mean for summary in summaries}
    arms = [arm for arm in ARMS if arm.name in means]
    kinds = ([arm.name for arm in arms if arm.freeze_embedding == frozen] for frozen in (False, True))
    best = [max(names, key=means.__getitem__) for names in kinds if names]
    return difference(runs, *best) if len(best) == 2 else None


def difference(runs: Sequence[Run], arm: str, other: str) -> Difference | None:
    """An arm against another over the seeds that both have; None if there is none."""
    mine, others = ({run.seed: run.test_accuracy for run in runs if run.arm == name} for name in (arm, other))
    differences = np.array([mine[seed] - others[seed] for seed in mine if seed in others])
    if not (n := len(differences)):
        return None
    return Difference(arm, other, n, float(differences.mean()), sign_flip_test(differences), 2.0 ** (1 - n))


def sign_flip_test(differences: np.ndarray) -> float:
    """Exact two-sided p-value of paired differences, (n,): the share of the 2^n choices of their signs under which
    their sum is as far from 0 as it is.

    It is at least 2^(1 - n), and does not assume a normal distribution. Splits drawn from the same texts overlap, so
    that their differences are not quite independent and the p-value is somewhat too low.

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
