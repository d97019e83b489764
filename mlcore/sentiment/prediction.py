"""What a classifier says of texts."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from mlcore.errors import ModelFileError
from mlcore.sentiment.classifier import MOST_THREADS, Classifier
from mlcore.text.features import count_features
from mlcore.text.vocabulary import UNKNOWN, Documents

Portion, Result = TypeVar("Portion"), TypeVar("Result")


class Predictions(NamedTuple):
    """Of each text the outputs of the network, what they mean, and how much of the text it knows."""

    outputs: np.ndarray  # (n, k) float32 logits; without labels, k is 1 and the output is the predicted number
    probabilities: np.ndarray  # (n, labels) float64 in the labels' order, of sum 1; without labels (n, 0)
    chosen: np.ndarray  # (n,) int64 number of the most probable label
    known: np.ndarray  # (n,) int64 number of known words, repeats included

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the chosen label: (n,) float64."""
        return self.probabilities[np.arange(len(self.chosen)), self.chosen]


def predict(classifier: Classifier, texts: list[str], threads: int = 1) -> Predictions:
    """Predict all texts at once; one without known words gets the network's value at E = 0.

    Raises: ModelFileError if the outputs are not finite.
    """
    features = classifier.features
    words = features.words.look_up(texts)
    documents = count_features(features.locate(words), words.offsets, len(features), features.binary)
    known = np.concatenate([[0], np.cumsum(words.ids != UNKNOWN)])
    outputs, probabilities, chosen = score(classifier, documents, None, threads)
    return Predictions(outputs, probabilities, chosen, known[words.offsets[1:]] - known[words.offsets[:-1]])


def in_order(work: Callable[[Portion], Result], portions: Iterable[Portion], threads: int) -> Iterator[Result]:
    """What threads make of each portion, in the order of the portions, of which one more than threads is under way.

    Nothing, an empty portion, asks for all results so far before the next portion is waited for. An error of the work,
    or of the portions, is raised in its turn.
    """
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(min(threads, MOST_THREADS)) as pool:
        for future in _submitted(pool, work, portions):
            if future:
                under_way.append(future)
            while under_way and (not future or len(under_way) > threads):
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _submitted(
    pool: ThreadPoolExecutor, work: Callable[[Portion], Result], portions: Iterable[Portion]
) -> Iterator[Future[Result] | None]:
    try:
        for portion in portions:
            yield pool.submit(work, portion) if portion else None
    except Exception as error:  # noqa: BLE001, it is raised in its turn
        failed: Future[Result] = Future()
        failed.set_exception(error)
        yield failed


def score(
    classifier: Classifier, documents: Documents, rows: np.ndarray | None = None, threads: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs, probabilities and chosen labels of the given rows of documents (default: all), as in Predictions.

    Raises: ModelFileError if the outputs are not finite.
    """
    outputs = classifier.logits(documents, rows, threads)
    if not np.isfinite(outputs).all():
        raise ModelFileError("The model's output for a text is not finite: its numbers are too large; train it again.")
    if not classifier.labels:
        return outputs, np.empty((len(outputs), 0)), np.zeros(len(outputs), np.int64)
    return outputs, classifier.probabilities(outputs), classifier.decide(outputs)
