"""What lies behind a kink: the smooth pieces of J around a point, the Clarke subdifferential, and where J falls.

On a piece, the units on their kink are each on or off, and J is a polynomial. The pieces that hold on open sets near
the point count: the convex hull of their gradients is the subdifferential. Which pieces hold is decided by the
gradients of the kinked z alone; where these do not decide, a pattern of units stays undecided.
Source: Clarke 1983, theorem 2.5.1; Kakade and Lee 2018 for why automatic differentiation is not enough.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import chain
from math import lcm
from typing import NamedTuple

import numpy as np

from mlcore.exercise.exact import Pass
from mlcore.exercise.network import Gradients, Kink, shaped

MAX_KINKS = 8  # units on the kink up to which all their patterns are examined
ZERO, ONE = Fraction(0), Fraction(1)

Units = frozenset[Kink]


class Piece(NamedTuple):
    """A smooth piece of J at the point: the kinked units that are on, and its gradient there."""

    on: Units
    gradients: Gradients


class Descent(NamedTuple):
    """A direction in weights and biases along which J falls, with its one-sided slope."""

    direction: dict[str, np.ndarray]
    slope: Fraction


@dataclass(frozen=True)
class Subdifferential:
    """The Clarke subdifferential of J in all weights and biases at a point, and what follows from it."""

    pieces: list[Piece]
    complete: bool  # whether all pieces are known to be here
    undecided: list[Piece]  # those that may hold near the point or not
    stationary: bool | None  # whether 0 is in it; None if not known
    descent: Descent | None  # None if no direction was found


def subdifferential(exact: Pass) -> Subdifferential:
    """All pieces of J at the point of a rational network, and the verdict."""
    around = Surroundings(exact)
    vertices: dict[tuple[Fraction, ...], Piece] = {}
    possible = []
    for on, certain in around.patterns():
        piece = Piece(on, around.gradients(on))
        point = tuple(piece.gradients.flat)
        if certain:
            vertices[point] = vertices.pop(point, piece)
        else:
            possible.append((point, piece))
    undecided = [piece for point, piece in possible if point not in vertices]
    pieces, complete = list(vertices.values()), around.examined and not undecided
    stationary: bool | None = any(not any(point) for point in vertices) or zero_combination(list(vertices)) is not None
    if not stationary and not complete:
        stationary = None  # a piece that is not here may bring 0 into the hull
    return Subdifferential(pieces, complete, undecided, stationary, around.descent(pieces))


class Surroundings:
    """The pieces around a point; ``kinks`` are its units on their kink from the first layer on."""

    def __init__(self, exact: Pass) -> None:
        self.exact, self.trace = exact, exact.trace
        self.kinks = sorted(exact.trace.kinks, key=lambda kink: kink.layer)
        self.examined = len(self.kinks) <= MAX_KINKS
        self.gradients = cache(lambda on: exact.backward(self.at_zero(on)))  # of J on the piece
        self._form = cache(self._form_above)
        self.arrays = self.gradients(Units()).arrays
        self.width = sum(array.size for array in self.arrays.values())

    def at_zero(self, on: Units) -> list[np.ndarray]:
        """phi'(0) for every unit on the piece."""
        numbers = [np.full(z.shape, ZERO) for z in self.trace.z]
        for sample, layer, unit in on:
            numbers[layer][sample, unit] = ONE
        return numbers

    def form(self, kink: Kink, on: Units) -> np.ndarray:
        """Gradient of a kinked unit's z in weights and biases, on the piece."""
        return self._form(kink, Units(one for one in on if one.sample == kink.sample and one.layer < kink.layer))

    def _form_above(self, kink: Kink, on: Units) -> np.ndarray:
        delta = np.full((1, len(self.exact.W[kink.layer])), ZERO)
        delta[0, kink.unit] = ONE
        samples = slice(kink.sample, kink.sample + 1)
        found = self.exact.pull_back(kink.layer, delta, self.at_zero(on), samples).arrays
        parts = [found.get(name, np.full(array.shape, ZERO)) for name, array in self.arrays.items()]
        return np.concatenate([part.ravel() for part in parts])

    def patterns(
        self, on: Units = frozenset(), decided: int = 0, holds: bool | None = True
    ) -> Iterator[tuple[Units, bool]]:
        """The units that are on, where such a piece is near the point or may be, and whether that is certain.

        Units are decided from the first layer on, since the form of a unit's z depends on what is below it; the
        parameters are what is decided so far. There are none if too many units are on their kink.
        """
        if decided == len(self.kinks):
            yield on, bool(holds)
        elif self.examined:
            kink = self.kinks[decided]
            forced = self._forced(kink, on)
            for is_on in (False, True) if forced is None else (forced,):
                longer = on | {kink} if is_on else on
                found = holds if forced is not None else self._holds(longer, decided + 1)
                if found is not False:
                    yield from self.patterns(longer, decided + 1, found)

    def _forced(self, kink: Kink, on: Units) -> bool | None:
        """Whether the unit is on, where the piece leaves no choice; None where both are open.

        Without a bias, z is 0 on the whole piece if all inputs are, and then on and off are the same. If the inputs
        that are not are ReLU units that the point has on their kink, they are positive on the piece, and so the signs
        of their weights decide where they agree.
        """
        sample, layer, unit = kink
        if layer == 0 and self.exact.layers[layer].arrays.keys() <= {*self.exact.network.loss.frozen}:
            return False  # a constant
        if self.exact.b[layer] is not None:
            return None
        alive = self._alive(sample, layer, on)
        if not any(alive):
            return False
        if layer == 0 or self.exact.layers[layer - 1].activation != "relu":
            return None
        weights = self.exact.W[layer][unit][alive]
        if any(self.exact.inputs(layer)[sample][alive]) or not (all(weights > 0) or all(weights < 0)):
            return None
        return bool(weights[0] > 0)

    def _alive(self, sample: int, layer: int, on: Units) -> list[bool]:
        """Which inputs of a layer are not 0 on the whole piece."""
        values = self.exact.inputs(layer)[sample]
        if layer and self.exact.layers[layer - 1].activation != "relu":  # whose units that are off do not stay 0
            moves = self.exact.b[layer - 1] is not None or any(self._alive(sample, layer - 1, on))
            below = len(self.exact.W[layer - 1])  # the others are inputs of its own
            return [moves if unit < below else bool(v) for unit, v in enumerate(values)]
        return [bool(v) or Kink(sample, layer - 1, unit) in on for unit, v in enumerate(values)]

    def _holds(self, on: Units, decided: int) -> bool | None:
        """Whether so many units are on or off on open sets arbitrarily near the point; None if forms do not decide."""
        forms = self.signed_forms(on, decided)
        if not forms or positive_direction(forms) is not None:
            return True
        return None if self.kinks[decided - 1].layer else False  # z of the first layer is its form

    def signed_forms(self, on: Units, decided: int | None = None) -> list[np.ndarray]:
        """Forms of the kinked units that are not forced, signed so that the piece has them > 0."""
        free = [kink for kink in self.kinks[:decided] if self._forced(kink, on) is None]
        return [self.form(kink, on) * (1 if kink in on else -1) for kink in free]

    def slope(self, direction: np.ndarray) -> Fraction:
        """One-sided derivative of J along a direction in weights and biases: that of the piece which it enters."""
        on, moving = Units(), np.flatnonzero(direction)
        for kink in self.kinks:
            if self.form(kink, on)[moving] @ direction[moving] > 0:
                on |= {kink}
        return Fraction(self.gradients(on).flat[moving] @ direction[moving])

    def descent(self, pieces: list[Piece]) -> Descent | None:
        """Direction of the steepest descent among the single entries; if none falls, one within a piece, if any."""
        entries = [sign * row for row in np.eye(self.width, dtype=int) for sign in (ONE, -ONE)]
        within = (positive_direction([*self.signed_forms(p), -gradients.flat]) for p, gradients in pieces)
        for direction in chain([min(entries, key=self.slope)], within):
            if direction is not None and (slope := self.slope(direction)) < 0:
                return Descent(shaped(direction, self.arrays), slope)
        return None


def positive_direction(rows: Sequence[np.ndarray]) -> np.ndarray | None:
    """Solve ``<row, v> > 0`` for all rows; None if that cannot be.

    A solution can be sought among the combinations of the rows, so that only their products matter.
    """
    matrix = np.array(rows, object)
    coefficients = _simplex(matrix @ matrix.T)[1]
    return None if coefficients is None else coefficients @ matrix


def zero_combination(points: Sequence[Sequence[Fraction]]) -> np.ndarray | None:
    """Weights >= 0, not all 0, that combine the points to 0; None if 0 is not in their convex hull."""
    return _simplex(np.array(points, object).T)[0] if points else None


def _simplex(columns: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Weights >= 0, not all 0, with ``columns @ weights = 0``; or v with ``v @ columns > 0``. One always exists.

    Phase 1 of the simplex method with Bland's rule: each equation has an artificial variable, and their sum is
    minimised; the multipliers at the optimum are v. All in integers, with the last pivot as common denominator.
    Source: Gordan 1873; Edmonds 1967 for the pivoting.
    """
    scales = np.array([lcm(*(value.denominator for value in column)) for column in columns.T], object)
    m, n = columns.shape[0] + 1, columns.shape[1]
    # Rows: the coordinates, then the sum of the weights, which is to be 1, then the costs.
    table: np.ndarray = np.zeros((m + 1, n + m + 1), object)
    table[: m - 1, :n] = np.vectorize(int, otypes=[object])(columns * scales)
    table[m - 1, [*range(n), -1]] = 1
    table[m] = -table[:m].sum(0)
    table[range(m), range(n, n + m)] = 1
    basis: np.ndarray = np.arange(n, n + m)
    denominator = 1
    while len(falling := np.flatnonzero(table[m, :n] < 0)):
        entering = falling[0]
        (rows,) = np.nonzero(table[:m, entering] > 0)
        leaving = min(rows, key=lambda i: (Fraction(table[i, -1], table[i, entering]), basis[i]))
        pivot_row, pivot = table[leaving].copy(), table[leaving, entering]
        table = (pivot * table - np.outer(table[:, entering], pivot_row)) // denominator
        table[leaving], basis[leaving], denominator = pivot_row, entering, pivot
    if table[m, -1] != 0:  # the reduced cost of artificial variable i is 1 - (multiplier i)
        return None, table[m, n : n + m - 1] - denominator
    weights = np.zeros(n, object)
    weights[basis[basis < n]] = table[:m, -1][basis < n]
    return weights * scales, None
