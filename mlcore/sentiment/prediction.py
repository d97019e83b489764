"""What a model predicts for texts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import numpy as np

from mlcore.errors import InputError, ModelFileError
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.model import Model
from mlcore.text.documents import Documents
from mlcore.text.labels import listed
from mlcore.text.ngrams import Features

Read = tuple[Documents, np.ndarray, np.ndarray]
MAX_PROBABILITIES = 1 << 21  # of texts that are predicted together


@dataclass(frozen=True)
class Predictions:
    """The outputs of the network for n texts, what they mean, and how much of each text the model knows."""

    labels: tuple[str, ...]
    # (n, k) float32 logits; without labels, k is 1 and the output is the predicted rating, in the range of those seen
    outputs: np.ndarray
    # (n, labels) float64 in the labels' order; a row sums to 1 unless texts may have several. Without labels (n, 0)
    probabilities: np.ndarray
    chosen: np.ndarray  # (n,) int64 number of the most probable label; (n, labels) bool where texts may have several
    known: np.ndarray  # (n,) int64 number of known words, repeats included
    words: np.ndarray  # (n,) int64 number of all words
    features: np.ndarray  # (n,) int64 number of distinct known features, n-grams of characters among them

    def batches(self) -> Callable[[list[str]], "Predictions"]:
        """What gives these predictions for one batch of the texts after the other, as if it predicted them."""
        rows = iter(range(len(self.words)))

        def predicted(texts: list[str]) -> Predictions:
            own = [*islice(rows, len(texts))]
            return Predictions(self.labels, *(array[own] for array in list(vars(self).values())[1:]))

        return predicted

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the chosen label; of several labels, that of the least certain decision: (n,) float64."""
        if self.chosen.ndim > 1:
            return np.asarray(np.where(self.chosen, self.probabilities, 1 - self.probabilities).min(axis=1))
        return np.take_along_axis(self.probabilities, self.chosen[:, np.newaxis], axis=1)[:, 0]

    def most_probable(self, number: int) -> np.ndarray:
        """Numbers of the most probable labels of each text, the chosen one first on ties too: (n, number) int64."""
        order = self.probabilities.copy()
        np.put_along_axis(order, self.chosen[:, np.newaxis], 2, axis=1)
        return np.argsort(-order, axis=1, kind="stable")[:, :number]

    def to_dicts(self, answers: Answers) -> list[dict[str, Any]]:
        """The answer for each text in types that JSON has; ``answers.top``: with so many of the probabilities.

        Raises: InputError as ``answer_columns``.
        """
        _, (said, *_, known) = answer_columns(answers, self, lists=True)
        columns: dict[str, Iterable[Any]] = {"rating": said}
        if self.labels:
            several = self.chosen.ndim > 1
            columns = {"labels" if several else "label": said, "probability": self.confidence.tolist()}
            names, values = np.array(self.labels, object), self.probabilities
            if answers.top and not several:
                names = names[best := self.most_probable(answers.top)]
                values = np.take_along_axis(values, best, axis=1)
            names = np.broadcast_to(names, values.shape)
            rows = zip(names.tolist(), values.tolist(), strict=True)
            columns["probabilities"] = [dict(zip(*row, strict=True)) for row in rows]
        columns |= {"known_words": self.known.tolist(), "known": known}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def predict(model: Model, texts: list[str] | bytes, threads: int = 1) -> Predictions:
    """Predict all texts, perhaps whole lines in UTF-8, at once.

    A text without known features gets the network's output for E = 0.

    Raises: ModelFileError if the outputs are not finite.
    """
    return predictions(model, read_texts(model.features, texts, threads), threads)


def read_texts(features: Features, texts: Iterable[str] | bytes, threads: int = 1) -> Read:
    """The texts as documents, and of each the number of known and of all words: (n,) int64."""
    parts = list(features.read(texts, threads))
    none = np.zeros(0, np.int64)
    known, words = (np.concatenate([none, *(part[i] for part in parts)]) for i in (1, 2))
    return Documents.joined(documents for documents, *_ in parts), known, words


def predictions(model: Model, read: Read, threads: int = 1) -> Predictions:
    """Predict texts as ``read_texts`` gives them."""
    documents, known, words = read
    features = np.diff(documents.offsets)
    return Predictions(model.labels, *judged(model, model.logits(documents, None, threads)), known, words, features)


def answer_columns(
    answers: Answers, found: Predictions, digits: int | None = None, lists: bool = False
) -> tuple[list[str], list[list[Any]]]:
    """The names and the values of the columns that ``answers`` wants, each with one for every text, perhaps rounded.

    ``lists``: where texts may have several labels, give a list of them instead of one text.

    Raises: InputError if more labels are wanted where texts may have several, or probabilities of ratings.
    """

    def as_list(values: np.ndarray) -> list[Any]:
        values = values.astype(np.float64)
        return list((values if digits is None else np.round(values, digits)).tolist())

    known = as_list(found.known / np.maximum(found.words, 1))
    if not found.labels:
        for field in fields(answers):
            if (value := getattr(answers, field.name)) != field.default:
                raise InputError("ratings have no probabilities", parameter=field.name, value=value)
        return ["predicted", "known"], [as_list(found.outputs[:, 0]), known]
    top, columns = answers.top or 1, list[list[Any]]()
    if found.chosen.ndim > 1:
        if top > 1:
            raise InputError("expected 1 where texts may have several labels", parameter="top", value=top)
        between = next((sign for sign in ",;|" if not any(sign in label for label in found.labels)), ",")
        names = [[found.labels[number] for number in np.flatnonzero(row)] for row in found.chosen]
        columns = [names if lists else list(map(between.join, names)), as_list(found.confidence)]
    else:
        chosen = found.most_probable(top) if top > 1 else found.chosen[:, np.newaxis]
        probabilities = np.take_along_axis(found.probabilities, chosen, axis=1)
        for numbers, values in zip(chosen.T.tolist(), probabilities.T, strict=True):
            columns += [[found.labels[number] for number in numbers], as_list(values)]
    if answers.threshold is not None:
        for i in np.flatnonzero(found.confidence < answers.threshold).tolist():
            columns[0][i] = answers.otherwise
    numbers = ["", *(f"_{number}" for number in range(2, len(columns) // 2 + 1))]
    titles = [f"{name}{number}" for number in numbers for name in ("predicted", "probability")]
    if answers.probabilities:
        titles += [f"probability_{label}" for label in found.labels]
        columns += map(as_list, found.probabilities.T)
    return [*titles, "known"], [*columns, known]


def judged(model: Model, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs, probabilities and chosen labels, as in Predictions, by the outputs of the network: (n, k) float32.

    Raises: ModelFileError if one is not finite.
    """
    outputs = model.within_range(logits)
    if not np.isfinite(outputs).all():
        raise ModelFileError("The model's output for a text is not finite; train it again")
    if not model.labels:
        return outputs, np.empty((len(outputs), 0)), np.zeros(len(outputs), np.int64)
    return outputs, model.probabilities(outputs), model.decide(outputs)


def label_number(model: Model, label: str, parameter: str) -> int:
    """Number of a label, which the caller was given as this parameter.

    Raises: InputError if the model has no such label.
    """
    if not model.labels:
        raise InputError("the model predicts ratings and has no labels", parameter=parameter, value=label)
    if label not in model.labels:
        raise InputError(
            f"expected one of the model's labels: {listed(model.labels)}", parameter=parameter, value=label
        )
    return model.labels.index(label)
