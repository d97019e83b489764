"""What Python programs give as texts, labels, weights and parameters: checked, and as files of models have it."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError, ShapeError, counted, written
from mlcore.sentiment.model import Model
from mlcore.text.dataset import Dataset, dataset_of
from mlcore.text.labels import LARGEST_RATING, MAX_DIGITS, is_label, listed, ordered

# Types of labels, and how to write them as the strings of a model file and read them back; in this order, because a
# bool is also a number. Whole floats, which pandas makes of integers beside a missing value, are the integers they mean
KINDS: dict[str, tuple[tuple[type, ...], Callable[[Any], str], Callable[[str], Any]]] = {
    "str": ((str,), str, str),
    "bool": ((bool, np.bool_), str, {"False": False, "True": True}.__getitem__),
    "int": ((Real,), lambda label: str(int(label)), lambda label: int(label.removesuffix(".0"))),
}
WHOLE = re.compile(f"0|-?[1-9][0-9]{{0,{MAX_DIGITS - 1}}}")


def kind_of(labels: tuple[str, ...]) -> str:
    """Kind of the labels of a model from the command line: integers if all are written so, as 1 or 1.0."""
    numbers = {label.removesuffix(".0") for label in labels}
    whole = all(map(WHOLE.fullmatch, numbers))
    return "int" if whole and len(numbers) == len(labels) else "str"


class Classes(NamedTuple):
    """The labels in scikit-learn's order, which is ascending, or that of a matrix's columns; and their numbers."""

    values: np.ndarray  # (labels,)
    kind: str  # of KINDS
    numbers: np.ndarray  # (labels,) of the model's labels

    @classmethod
    def read(cls, model: Model, kind: Any) -> "Classes | None":
        """The labels of a model, read as values of this kind; None if it has none.

        Raises: KeyError, TypeError or ValueError if they are not.
        """
        if not model.labels:
            return None
        given = np.array([KINDS[kind][2](label) for label in model.labels])
        values, numbers = np.unique(given, return_index=True)
        if len(values) < len(given):
            raise ValueError("two labels have the same value")
        return cls(given, kind, np.arange(len(given))) if model.settings.multi_label else cls(values, kind, numbers)


class Indicators(NamedTuple):
    """Which labels each text has."""

    values: np.ndarray  # (n, labels) of 0 and 1
    labels: tuple[str, ...]  # of the columns
    kind: str  # of KINDS

    @classmethod
    def read(cls, y: Any, texts: int) -> "Indicators | None":
        """Labels that are given as a matrix, also a sparse one or a data frame, whose columns name them, or as lists.

        None if y has another shape.

        Raises: InputError if it has other values than 0 and 1; ShapeError if the number of rows is wrong.
        """
        if isinstance(y, list | tuple) and y and isinstance(y[0], list | tuple | np.ndarray):
            with suppress(ValueError):  # rows of several lengths
                y = np.array(y)
        if _dimensions(y) != 2:
            return None
        names, kind = labels_of(getattr(y, "columns", range(y.shape[1])), y.shape[1])
        values = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
        if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            raise InputError(f"y is {described(y)}; expected only 0 and 1 in a matrix of labels.")
        if values.shape[1] < 2:
            raise ShapeError("y is a matrix of one column; expected a column for each of two or more labels.")
        _check_length(values, "y", texts)
        return cls(values.astype(np.int64), tuple(KINDS[kind][1](name) for name in names.tolist()), kind)

    def names(self) -> list[tuple[str, ...]]:
        """The labels of each text."""
        return [tuple(self.labels[column] for column in np.flatnonzero(row)) for row in self.values]


def texts_of(X: Iterable[str], least: int = 0) -> list[str]:
    """A list of texts.

    Raises: InputError if something in it is not a text, or there are fewer than ``least``.
    """
    texts = _listed(X, "X", "texts, such as ['A good film.']")
    if len(texts) < least:
        raise InputError(f"X has no texts; give at least {least}.")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"X[{i}] is {described(text)}; expected a text, a str.")
    return texts


def written_labels(y: Iterable[Any], ratings: bool, texts: int | None) -> tuple[list[str], str]:
    """Labels, or ratings, of so many texts as strings, and their kind; ``texts`` None: of any number.

    Raises: InputError if they are wrong; ShapeError if their number is.
    """
    if ratings:
        return list(map(repr, numbers_of(y, "y", texts).tolist())), "int"
    values, kind = labels_of(y, texts)
    names = {value: KINDS[kind][1](value) for value in set(values.tolist())}
    return [names[value] for value in values.tolist()], kind


def all_labels(classes: Iterable[Any] | None, known: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The labels that ``classes`` names, or else those of a model.

    Raises: InputError if they are others than the model has, or fewer than two.
    """
    if classes is None:
        return known
    named = ordered(set(written_labels(classes, False, None)[0]))
    if len(named) < 2 or (known or named) != named:
        expected = f"the labels of the model, {listed(known)}" if known else "two or more labels"
        raise InputError(f"classes are {listed(named)}; expected {expected}.")
    return named


def labelled(X: Iterable[str], y: Iterable[Any], ratings: bool, source: str) -> Dataset:
    """Texts with their labels, or ratings, whose kind is among the notes."""
    texts = texts_of(X)
    labels, kind = written_labels(y, ratings, len(texts))
    data = dataset_of(texts, labels, source=source)
    data.notes.columns["labels"] = kind
    return replace(data, texts=None)


def labels_of(y: Iterable[Any], texts: int | None) -> tuple[np.ndarray, str]:
    """All labels of one type, as many as there are texts, and their kind."""
    labels = _listed(y, "y", "labels, such as ['pos', 'neg']", texts)
    kinds = list(map(_kind, labels))
    for i, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        whole = kind == "int" and label % 1 == 0 and WHOLE.fullmatch(written(int(label)))
        valid = is_label(label) if kind == "str" else whole if kind == "int" else kind
        if not valid or kind != kinds[0]:
            expected = f"labels of one type: text without control characters, int of up to {MAX_DIGITS} digits or bool "
            expected += "(numbers take loss='squared', and several labels of a text a matrix of 0 and 1)"
            raise InputError(f"y[{i}] is {described(label)}; expected {expected}.")
    return np.array(labels), kinds[0] if kinds else "str"


def _kind(label: Any) -> str:
    """Of KINDS; empty if it is none of them."""
    return next((kind for kind, (types, *_) in KINDS.items() if isinstance(label, types)), "")


def numbers_of(values: Iterable[Any], name: str, texts: int | None, least: float = -LARGEST_RATING) -> np.ndarray:
    """Ratings, or weights, of so many texts: (n,) float64.

    Raises: InputError if one is not a number, or out of range; ShapeError if there are more or fewer.
    """
    numbers = _listed(values, name, "numbers, such as [4, 2.5]", texts)
    for i, number in enumerate(numbers):
        valid = isinstance(number, Real) and not isinstance(number, bool | np.bool_)
        if not (valid and least <= number <= LARGEST_RATING):
            expected = f"a number from {least:g} to {LARGEST_RATING:g}"
            raise InputError(f"{name}[{i}] is {described(number)}; expected {expected}.")
    return np.array(numbers, np.float64)


def weights_of(weights: Iterable[float] | None, texts: int) -> np.ndarray | None:
    """Weights of so many texts, (n,) float64, not all of them 0; raises as ``numbers_of``."""
    if weights is None:
        return None
    values = numbers_of(weights, "sample_weight", texts, 0)
    if not values.any():
        raise InputError("sample_weight is 0 for all texts; expected a number above 0 for some.")
    return values


def _listed(values: Iterable[Any], name: str, expected: str, length: int | None = None) -> list[Any]:
    """A list of the values, which must be one-dimensional and have an order and this length; none may be missing."""
    if not isinstance(values, str | bytes | Mapping | Set) and _dimensions(values) == 1:
        to_list = next((getattr(values, way) for way in ("to_pylist", "to_list") if hasattr(values, way)), None)
        with suppress(TypeError):
            found = to_list() if to_list else list(values)  # of pyarrow; of pandas and Polars; or of any other
            _check_length(found, name, length)
            for i, value in enumerate(found):
                if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
                    raise InputError(f"{name}[{i}] is missing ({value!r}); leave the row out, or fill it in.")
            return found
    raise InputError(f"{name} is {described(values)}; expected a list of {expected}.")


def _check_length(values: Sequence[Any] | np.ndarray, name: str, length: int | None) -> None:
    if length is not None and length != (n := len(values)):
        raise ShapeError(f"X has {counted(length, 'text')}, but {name} has {counted(n, 'value')}; give each text one.")


def _dimensions(values: Any) -> int:
    """How many dimensions an array, a column or a data frame has; 1 for anything else."""
    return len(getattr(values, "shape", (0,)))


def described(value: object) -> str:
    """A wrong value for a message, short whatever it is."""
    if isinstance(value, str | bytes | int | float | type(None)) and len(text := written(value)) <= 40:
        return text
    shape = getattr(value, "shape", None)
    return f"of type {type(value).__name__}{f' and shape {shape}' if shape else ''}"


def setting_of(value: Any) -> Any:
    """A parameter as a setting has it: weights of labels are a JSON object."""
    if isinstance(value, Mapping):
        with suppress(TypeError, ValueError, OverflowError):  # Settings refuses what cannot be written so
            weights = {KINDS[_kind(label) or "str"][1](label): plain(weight) for label, weight in value.items()}
            return json.dumps(weights)
    return plain(value)


def plain(value: Any) -> Any:
    """NumPy's numbers and strings, as a grid of parameters has them, as Python's."""
    return value.item() if isinstance(value, np.generic) else value
