"""Answers as students type them: numbers, how exactly each of them is meant, and entries that are left open."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.network import FLOAT_TOLERANCE
from mlcore.exercise.problem import NOTES, exact_number, parse_rows, read_document, typed

PRECISION = 1e-6  # relative, of float32: whoever copies more digits from a program is right
HALF = Fraction(1, 2)
MAX_DIGITS = 8  # to which somebody rounds on the way
HALF_UP = 1 + 1e-12  # takes a number that is half of a unit over it
MAX_PLACES = 300  # of a number in float64


class Rounding(NamedTuple):
    """What a student rounds numbers to: so many significant digits, or decimals."""

    digits: int
    is_significant: bool

    def __call__(self, values: np.ndarray, up: bool | np.ndarray = True) -> np.ndarray:
        """The values rounded, and halves ``up`` or down."""
        nudged = values.astype(np.float64) * np.where(up, HALF_UP, 1 / HALF_UP)
        scale = 10.0**self.digits
        if self.is_significant:
            size = np.floor(np.log10(np.where(nudged, abs(nudged), 1)))
            scale = 10.0 ** np.minimum(self.digits - 1 - size, MAX_PLACES)
        return np.asarray(np.round(nudged * scale) / scale)


@dataclass(frozen=True)
class Entry:
    """A number that was typed, and how exactly it is meant.

    ``unit`` is that of the last digit, such as 1/100 in 0.50, and 0 for a fraction, which is exact. Zeros at the end of
    a whole number may stand for digits that are rounded away, but two digits count. ``tolerance`` takes the place of
    one unit, which an entry of two digits may be off.
    """

    value: Fraction
    unit: Fraction
    digits: int  # significant ones: 2 in 0.50, 0 in 0.0
    tolerance: Fraction | None = None

    def scaled(self, factor: Fraction) -> "Entry":
        """The number multiplied; a whole one of one digit stays exact."""
        size = abs(factor)
        unit = self.unit * (size == 1 or self.unit != 1 or self.digits > 1) * size
        return Entry(self.value * factor, unit, self.digits, self.tolerance and self.tolerance * size)

    def slack(self, truth: Any, units: Fraction | int = 1) -> float | Fraction:
        """How far the truth may be away if the entry may be off by so many units of its last digit."""
        if self.unit >= 1 and float(truth).is_integer():
            allowed = self.unit / 2 if self.unit > 1 else Fraction(0)
        elif self.digits < 2:
            allowed = self.unit / 2 if self.digits and self.unit != 1 else Fraction(0)
        else:
            allowed = self.unit * units
        if isinstance(truth, float) or allowed:
            return max(float(allowed) * (1 + 1e-9), PRECISION * abs(float(truth)), FLOAT_TOLERANCE)
        return allowed

    def is_near(self, low: Any, high: Any) -> bool:
        """Whether it stands for a number from ``low`` to ``high``."""
        nearest = low if low is high else min(max(self.value, low), high)
        slack = self.slack(nearest) if self.tolerance is None else max(self.tolerance, self.slack(nearest, HALF))
        return bool(abs(nearest - self.value) <= slack < math.inf)

    def is_rounded(self, truth: Any) -> bool:
        """Whether it is the truth, rounded to its digits."""
        return bool(abs(truth - self.value) <= self.slack(truth, HALF))

    def shows(self, truth: Any) -> bool:
        """Whether it is more than 0.0 for a number that is not 0."""
        return bool(self.value) or not 0 < self.unit < 1 or self.is_near(truth, truth)

    def is_short(self, truth: Any) -> bool:
        """Whether it is the truth rounded to no significant digit, or to a whole number of one digit."""
        return self.digits < 2 and self.unit > 0 and bool(abs(truth - self.value) <= self.unit / 2)


@dataclass(frozen=True, eq=False)
class Answer:
    """One answer of a student: y_hat, loss, z:LAYER, a:LAYER, da:LAYER, delta:LAYER, or d and the name of an array.

    Samples are rows of z, a, da, delta, dx and y_hat; biases and the loss have one row. None is an entry left open.
    """

    name: str
    entries: Any  # array of Entry or None, (rows, columns)
    is_delta: bool = False  # called δ, which is −∂J/∂z in many textbooks

    def scaled(self, factor: Fraction) -> "Answer":
        """All numbers multiplied."""
        return replace(self, entries=each(lambda entry: entry and entry.scaled(factor), self.entries))

    @property
    def typed(self) -> list[Entry]:
        return [entry for entry in self.entries.flat if entry]

    def roundings(self, whole_is_exact: bool) -> list[Rounding]:
        """To the significant digits and to the decimals that the student uses, at least 2; none if all is exact.

        A 1.000 may be 0.9996, rounded to three significant digits.
        """
        rounded = [e for e in self.typed if e.unit not in (0, 1) or e.unit and e.digits > 1 and not whole_is_exact]
        may_be_less = (bool(entry.value) and math.log10(abs(entry.value)).is_integer() for entry in rounded)
        significant = max((2, *(entry.digits - less for entry, less in zip(rounded, may_be_less, strict=True))))
        decimals = max((2, *(round(-math.log10(entry.unit)) for entry in rounded)))
        is_short = rounded and significant <= MAX_DIGITS
        return [Rounding(significant, True), Rounding(decimals, False)] if is_short else []

    def filled(self, rows: np.ndarray) -> np.ndarray:
        """The values, with those of ``rows`` in place of entries left open."""
        return each(lambda entry, right: right if entry is None else entry.value, self.entries, rows)

    def fits(self, low: np.ndarray, high: np.ndarray | None = None) -> bool:
        """Whether all entries stand for the values, or for values up to others.

        In floating point, 0 also stands for what a difference leaves: next to nothing beside the largest value.
        """
        high = low if high is None else high
        if low.dtype != object:
            is_left = np.maximum(abs(low), abs(high)) <= PRECISION * abs(high).max()
            low, high = np.where(is_left, np.minimum(low, 0), low), np.where(is_left, np.maximum(high, 0), high)
        return self.all_entries(Entry.is_near, low, high)

    def all_entries(self, holds: Callable[..., bool], *rows: np.ndarray) -> bool:
        """Whether rows have the shape of the answer and a condition holds for all entries with the values in them."""
        if any(array.shape != self.entries.shape for array in rows):
            return False
        places = zip(self.entries.flat, *(array.flat for array in rows), strict=True)
        return all(holds(entry, *values) for entry, *values in places if entry)


def each(function: Callable[..., object], *arrays: np.ndarray) -> np.ndarray:
    """The function applied to each entry of arrays of one shape."""
    return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays))


def check_tolerance(tolerance: Fraction | None) -> None:
    """Raises: InputError if it is below 0."""
    if tolerance is not None and tolerance < 0:
        raise InputError("expected a number of at least 0", parameter="tolerance", value=str(tolerance))


def parse_answer(name: str, text: str, tolerance: Fraction | None = None) -> Answer:
    """An answer as it is typed: rows of numbers, with ? or _ for an entry that is left open.

    Raises: InputError if the text is not numbers, or its rows differ in length.

    Example:
        >>> parse_answer("dV", "-0.67, ?").entries.tolist()
        [[Entry(value=Fraction(-67, 100), unit=Fraction(1, 100), digits=2, tolerance=None), None]]
    """

    def entry(number: str) -> Entry | None:
        is_open = number.strip() in ("?", "_")
        return None if is_open else Entry(Fraction(exact_number(number)), *_unit_and_digits(number.strip()), tolerance)

    return Answer(name, np.array(parse_rows(text, name, entry), object))


def _unit_and_digits(text: str) -> tuple[Fraction, int]:
    if "/" in text:
        return Fraction(0), 0
    number = Decimal(text)
    exponent, digits = int(number.as_tuple().exponent), len(number.as_tuple().digits) if number else 0
    while exponent >= 0 and digits > 2 and int(number.scaleb(-exponent)) % 10 == 0:  # may be rounded away
        exponent, digits = exponent + 1, digits - 1
    return Fraction(10) ** exponent, digits


def read_answers(path: Path, tolerance: Fraction | None = None) -> tuple[list[Answer], dict[str, str], list[str]]:
    """Answers from a TOML file, or from a JSON file (named .json), its notes, such as who wrote it, and what is wrong.

    Raises: DataError if the file has no keys and values; OSError if it cannot be read.
    """
    example = '{"dV": [[-2, 0]]}' if path.suffix.lower() == ".json" else "dV = [[-2, 0]]"
    content = read_document(path, f"expected {example}")
    notes = {key.lower(): str(value) for key, value in content.items() if key.lower() in NOTES}
    answers, problems = list[Answer](), list[str]()
    for name, value in content.items():
        try:
            answers += [] if name.lower() in NOTES else [parse_answer(name, typed(value), tolerance)]
        except (InputError, RecursionError) as error:
            problems.append(str(error))
    return answers, notes, problems
