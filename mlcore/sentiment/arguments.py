"""What Python programs give as texts, labels, weights and parameters: checked, and as files of models have it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError, ShapeError
from mlcore.sentiment.model import Model
from mlcore.text.dataset import Dataset, dataset_of
from mlcore.text.labels import LARGEST_RATING, is_label, listed, ordered

# Types of labels, and how to write them as the strings of a model file and read them back; in this order, because a
# bool is also a number. Whole floats, which pandas makes of integers beside a missing value, are the integers they mean
KINDS: dict[str, tuple[tuple[type, ...], Callable[[Any], str], Callable[[str], Any]]] = {
    "str": ((str,), str, str),
    "bool": ((bool, np.bool_), str, {"False": False, "True": True}.__getitem__),
    "int": ((Real,), lambda label: str(int(label)), lambda label: int(label.removesuffix(".0"))),
}


def kind_of(labels: tuple[str, ...]) -> str:
    """Kind of the labels of a model from the command line: integers if all are written so, as 1 or 1.0."""
    plain = {label.removesuffix(".0") for label in labels}
    whole = all(digits.removeprefix("-").isdecimal() and str(int(digits)) == digits for digits in plain)
    return "int" if whole and len(plain) == len(labels) else "str"


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
    def read(cls, y: Any, texts: int, known: tuple[str, ...] | None = None) -> "Indicators | None":
        """Labels that are given as a matrix, also a sparse one or a data frame, or as a list for each text.

        None if y has another shape. ``known``: all labels that there are; of lists, None takes those that occur.

        Raises: InputError if a matrix has other values than 0 and 1, or a list something that is not a label;
        ShapeError if the number of rows is wrong.
        """
        if not isinstance(y, str | bytes | Mapping | Set | Iterator) and _dimensions(y) == 1:
            rows = _listed(y, "y", "labels, such as ['pos', 'neg']")
            if not rows or not all(isinstance(row, list | tuple | Set | np.ndarray) for row in rows):
                return None
            if any(isinstance(label, str) for row in rows for label in row) or len({*map(len, rows)}) > 1:
                return cls.of_lists(rows, texts, known)
            y = np.array(list(map(list, rows)))
        if _dimensions(y) != 2:
            return None
        columns = getattr(y, "columns", range(y.shape[1]))
        names, kind = labels_of(columns, False, y.shape[1])
        values = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
        if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
            raise InputError(f"y is {described(y)}; expected only 0 and 1 in a matrix of labels.")
        if values.shape[1] < 2:
            raise ShapeError(
                "y is a matrix of one column; expected a column for each of two or more labels, or a list."
            )
        if len(values) != texts:
            raise ShapeError(f"X has {texts:,} texts, but y has {len(values):,} rows; give each text one row.")
        return cls(values.astype(np.int64), tuple(KINDS[kind][1](name) for name in names.tolist()), kind)

    @classmethod
    def of_lists(cls, rows: list[Any], texts: int, known: tuple[str, ...] | None) -> "Indicators":
        """Labels that are given as a list for each text."""
        if len(rows) != texts:
            raise ShapeError(f"X has {texts:,} texts, but y has {len(rows):,} lists of labels; give each text one.")
        owners = np.repeat(np.arange(len(rows)), list(map(len, rows)))
        found, kind = labels_of([label for row in rows for label in row], False, None, owners)
        names = [KINDS[kind][1](label) for label in found.tolist()]
        labels = known or ordered(set(names))
        numbers = {label: number for number, label in enumerate(labels)}
        for owner, name in zip(owners.tolist(), names, strict=True):
            if name not in numbers:
                raise InputError(f"y[{owner}] has the label {name!r}; expected {listed(labels)}.")
        if len(labels) < 2:
            raise InputError(f"y has the labels {listed(labels) or 'of no text'}; expected two or more.")
        values = np.zeros((texts, len(labels)), np.int64)
        values[owners, [numbers[name] for name in names]] = 1
        return cls(values, labels, kind)

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
    values, kind = labels_of(y, ratings, texts)
    written = {value: repr(value) if ratings else KINDS[kind][1](value) for value in set(values.tolist())}
    return [written[value] for value in values.tolist()], kind


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


def labels_of(
    y: Iterable[Any], ratings: bool, texts: int | None, rows: Sequence[int] | np.ndarray | None = None
) -> tuple[np.ndarray, str]:
    """All labels of one type, or ratings as float64, as many as there are texts, and their kind; ``rows`` of y."""
    such_as = "numbers, such as [4, 2.5]" if ratings else "labels, such as ['pos', 'neg']"
    labels = _listed(y, "y", such_as) if rows is None else list(y)
    kinds = [next((kind for kind, (types, *_) in KINDS.items() if isinstance(label, types)), "") for label in labels]
    expected = "labels of one type: text without control characters, int or bool (numbers take loss='squared')"
    expected = f"a number up to {LARGEST_RATING:g}" if ratings else expected
    for i, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        valid = kind == "int" if ratings else bool(kind) and kind == kinds[0]
        if valid and kind == "int":
            valid = abs(label) <= LARGEST_RATING if ratings else label % 1 == 0
        if not valid or (kind == "str" and not is_label(label)):
            raise InputError(f"y[{i if rows is None else rows[i]}] is {described(label)}; expected {expected}.")
    if texts not in (None, len(labels)):
        raise ShapeError(f"X has {texts:,} texts, but y has {len(labels):,} labels; give each text one label.")
    return np.array(labels, np.float64 if ratings else None), kinds[0] if kinds else "str"


def _listed(values: Iterable[Any], name: str, expected: str) -> list[Any]:
    """A list of the values, which must be one-dimensional and have an order; none may be missing."""
    if not isinstance(values, str | bytes | Mapping | Set) and _dimensions(values) == 1:
        to_list = next((getattr(values, way) for way in ("to_pylist", "to_list") if hasattr(values, way)), None)
        with suppress(TypeError):
            listed = to_list() if to_list else list(values)  # of pyarrow; of pandas and Polars; or of any other
            for i, value in enumerate(listed):
                if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
                    raise InputError(f"{name}[{i}] is missing ({value!r}); leave the row out, or fill it in.")
            return listed
    raise InputError(f"{name} is {described(values)}; expected a list of {expected}.")


def _dimensions(values: Any) -> int:
    """How many dimensions an array, a column or a data frame has; 1 for anything else."""
    return len(getattr(values, "shape", (0,)))


def described(value: object) -> str:
    """A wrong value for a message, short whatever it is."""
    if isinstance(value, str | bytes | int | float | type(None)) and len(repr(value)) <= 40:
        return repr(value)
    shape = getattr(value, "shape", None)
    return f"of type {type(value).__name__}{f' and shape {shape}' if shape else ''}"


def weights_of(weights: Iterable[float] | None, texts: int) -> np.ndarray | None:
    """Weights of so many texts: (n,) float64.

    Raises: InputError if one is wrong, or all are 0; ShapeError if their number is wrong.
    """
    if weights is None:
        return None
    values = np.array(_listed(weights, "sample_weight", "numbers, such as [1, 0.5]"))
    if values.shape != (texts,):
        raise ShapeError(f"X has {texts:,} texts, but sample_weight has {len(values):,} numbers; give each text one.")
    if values.dtype.kind not in "biuf" or not ((values >= 0) & (values <= LARGEST_RATING)).all():
        raise InputError(
            f"sample_weight has values that are no weights; expected numbers from 0 to {LARGEST_RATING:g}."
        )
    if not values.any():
        raise InputError("sample_weight is 0 for all texts; expected a number above 0 for some.")
    return values.astype(np.float64)


def setting_of(value: Any) -> Any:
    """A parameter as a setting has it: weights of labels are a JSON object."""
    if not isinstance(value, Mapping):
        return plain(value)
    writers = {kind: write for kinds, write, _ in KINDS.values() for kind in kinds}
    names = {label: next((w for kind, w in writers.items() if isinstance(label, kind)), str)(label) for label in value}
    return json.dumps({names[label]: plain(weight) for label, weight in value.items()})


def plain(value: Any) -> Any:
    """NumPy's numbers and strings, as a grid of parameters has them, as Python's."""
    return value.item() if isinstance(value, np.generic) else value
