"""Texts and labels as Python programs give them: any sequence or iterable, checked one by one."""

from collections.abc import Callable, Iterable, Mapping, Set
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.text.dataset import LARGEST_RATING


class Kind(NamedTuple):
    """A kind of labels, and the way to the strings that a model file knows and back."""

    types: tuple[type, ...]
    write: Callable[[Any], str]
    read: Callable[[str], Any]


# In this order, because a bool is an integer, too, and an integer a real number
KINDS = {
    "str": Kind((str,), str, str),
    "bool": Kind((bool, np.bool_), lambda label: str(bool(label)), {"False": False, "True": True}.__getitem__),
    "int": Kind((Integral,), lambda label: str(int(label)), int),
    "float": Kind((Real,), lambda label: repr(float(label)), float),
}


class Labels(NamedTuple):
    """The label, or the rating, of every text."""

    of_texts: np.ndarray  # (n,) of the type that was given; ratings are float64
    kind: str  # of KINDS

    def names(self) -> list[str]:
        """The labels as strings."""
        values, numbers = np.unique(self.of_texts, return_inverse=True)
        names = [KINDS[self.kind].write(value) for value in values]
        return [names[number] for number in numbers]


class Classes(NamedTuple):
    """The labels in scikit-learn's order, which is ascending, and where the network has them."""

    values: np.ndarray  # (labels,) of the type that fit was given
    kind: str  # of KINDS
    numbers: np.ndarray  # (labels,) the classifier's number of each

    @classmethod
    def of(cls, values: np.ndarray, kind: str, labels: tuple[str, ...]) -> "Classes":
        """Find these distinct values among the labels of a classifier.

        Raises: KeyError if one is not there; ValueError if there are more labels.
        """
        numbers = {label: number for number, label in enumerate(labels)}
        found = [numbers.pop(KINDS[kind].write(value)) for value in values]
        if numbers:
            raise ValueError("labels that are no values")
        return cls(values, kind, np.array(found))

    @classmethod
    def read(cls, labels: tuple[str, ...], kind: str) -> "Classes":
        """Read the labels of a classifier as values of this kind.

        Raises: KeyError, TypeError or ValueError if they are none.
        """
        return cls.of(np.unique([KINDS[kind].read(label) for label in labels]), kind, labels)


def texts_of(X: Iterable[str]) -> list[str]:
    """All texts in a list.

    Raises: InputError if they are something else, naming the place.
    """
    texts = _listed(X, "X", "a list of texts, such as ['A good film.']")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"X[{i}] is {described(text)}; expected a text, a str.")
    return texts


def labels_of(y: Iterable[Any]) -> Labels:
    """All labels, of one kind; whole numbers may be mixed with floats that are whole.

    Raises: InputError if they are something else, naming the place.
    """
    labels = _listed(y, "y", "a list of labels, such as ['pos', 'neg']")
    kinds = [_kind(label, f"y[{i}]") for i, label in enumerate(labels)]
    for i, kind in enumerate(kinds):
        if kind != kinds[0] and not {kind, kinds[0]} <= {"int", "float"}:
            raise InputError(f"y[{i}] is of type {kind}, but y[0] of type {kinds[0]}; expected labels of one type.")
    return Labels(np.asarray(labels), "float" if "float" in kinds else kinds[0] if kinds else "str")


def _kind(label: object, place: str) -> str:
    """Name in KINDS of the kind of a label that a model file can hold."""
    kind = next((name for name, kind in KINDS.items() if isinstance(label, kind.types)), None)
    if kind is None:
        raise InputError(f"{place} is {described(label)}; expected a label: a str, an int or a bool.")
    if kind == "float" and not float(label).is_integer():
        raise InputError(f"{place} is {label}; expected a label; numbers are predicted with loss='squared'.")
    if kind == "str" and not (label and label.isprintable()):
        raise InputError(f"{place} is {str(label)!r}; expected a label of printable characters.")
    return kind


def ratings_of(y: Iterable[Any]) -> Labels:
    """All numbers that are to be predicted.

    Raises: InputError if they are something else, naming the place.
    """
    ratings = _listed(y, "y", "a list of numbers, such as [4, 2.5]")
    for i, rating in enumerate(ratings):
        if not isinstance(rating, Real) or isinstance(rating, bool) or not abs(rating) <= LARGEST_RATING:
            raise InputError(f"y[{i}] is {described(rating)}; expected a number up to {LARGEST_RATING:g}.")
    whole = all(isinstance(rating, Integral) for rating in ratings)
    return Labels(np.array(ratings, np.float64), "int" if whole else "float")


def _listed(values: Iterable[Any], name: str, expected: str) -> list:
    """A list of the values, which must be in one dimension and an order of their own."""
    wrong = isinstance(values, str | bytes | Mapping | Set) or getattr(values, "ndim", 1) != 1
    try:
        listed = None if wrong else list(values)
    except TypeError:
        listed = None
    if listed is None:
        raise InputError(f"{name} is {described(values)}; expected {expected}.")
    return listed


def described(value: object) -> str:
    """A wrong value for a message, short whatever it is."""
    if isinstance(value, str | bytes | int | float | type(None)) and len(repr(value)) <= 40:
        return repr(value)
    shape = getattr(value, "shape", None)
    return f"of type {type(value).__name__}{f' and shape {shape}' if shape else ''}"
