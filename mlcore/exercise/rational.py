"""Exact linear algebra over the rational numbers, for the small systems of exercise 1.

Vectors are lists of ``Fraction``, matrices are lists of rows.
"""

from collections.abc import Sequence
from fractions import Fraction

Vector = list[Fraction]


def dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    """Sum of products."""
    return sum((x * y for x, y in zip(a, b, strict=True) if x and y), Fraction(0))


def combine(coefficients: Sequence[Fraction], rows: Sequence[Sequence[Fraction]]) -> Vector:
    """Linear combination of the rows."""
    return [dot(coefficients, column) for column in zip(*rows, strict=True)]


class Independent:
    """Linearly independent rows in reduced form, to which rows can be added one by one."""

    def __init__(self, rows: Sequence[tuple[int, Vector]] = ()) -> None:
        self._rows = list(rows)  # (place of the first entry that is not 0, which is 1; the row)

    def with_row(self, row: Sequence[Fraction]) -> "Independent | None":
        """These rows and another one; None if it depends on them."""
        for pivot, known in self._rows:
            if row[pivot]:
                row = [x - row[pivot] * y if y else x for x, y in zip(row, known, strict=True)]
        pivot = next((i for i, x in enumerate(row) if x), None)
        return None if pivot is None else Independent([*self._rows, (pivot, [x / row[pivot] for x in row])])


def null_space(rows: Sequence[Sequence[Fraction]], width: int) -> list[Vector]:
    """Basis of all v of this width with ``rows @ v = 0``, by Gauss-Jordan elimination."""
    reduced: list[Vector] = []
    pivots: list[int] = []
    for row in rows:
        row = list(row)
        for pivot, known in zip(pivots, reduced, strict=True):
            if row[pivot]:
                row = [x - row[pivot] * y for x, y in zip(row, known, strict=True)]
        pivot = next((i for i, x in enumerate(row) if x), None)
        if pivot is None:
            continue
        row = [x / row[pivot] for x in row]
        reduced = [[x - known[pivot] * y for x, y in zip(known, row, strict=True)] for known in reduced]
        reduced.append(row)
        pivots.append(pivot)
    basis = []
    for free in (i for i in range(width) if i not in pivots):
        vector = [Fraction(int(i == free)) for i in range(width)]
        for pivot, row in zip(pivots, reduced, strict=True):
            vector[pivot] = -row[free]
        basis.append(vector)
    return basis


def positive_direction(rows: Sequence[Sequence[Fraction]]) -> tuple[Vector | None, Vector | None]:
    """Solve ``<row, v> > 0`` for all rows: ``(v, None)``, or ``(None, weights)`` that prove that there is no v.

    The weights are >= 0, add up to 1, and combine the rows to 0. One of the two always exists.
    Source: Gordan 1873; found by the simplex method in exact arithmetic, with Bland's rule against cycling.
    """
    # A solution can be sought among the combinations of the rows, so that only their products matter.
    products = [[dot(a, b) for b in rows] for a in rows]
    coefficients, weights = _simplex(products)
    return (None if coefficients is None else combine(coefficients, rows)), weights


def contains_zero(points: Sequence[Sequence[Fraction]]) -> bool:
    """Whether 0 is in the convex hull of the points."""
    return _simplex([list(point) for point in points])[0] is None


def _simplex(columns: list[Vector]) -> tuple[Vector | None, Vector | None]:
    """Weights >= 0 with sum 1 that combine the columns to 0, or v with ``<column, v> > 0`` for every column.

    Phase 1 of the simplex method: each equation has an artificial variable, and their sum is minimised. The
    multipliers at the optimum are v.
    """
    m, n = len(columns[0]) + 1, len(columns)
    # Rows: the coordinates of the columns, then the sum of the weights; right-hand sides 0, ..., 0, 1.
    table = [
        [column[i] if i < m - 1 else Fraction(1) for column in columns]
        + [Fraction(int(i == j)) for j in range(m)]
        + [Fraction(int(i == m - 1))]
        for i in range(m)
    ]
    basis = list(range(n, n + m))
    costs = [-sum((row[j] for row in table), Fraction(0)) for j in range(n)] + [Fraction(0)] * m + [Fraction(-1)]
    while (entering := next((j for j in range(n) if costs[j] < 0), None)) is not None:
        ratios = [(row[-1] / row[entering], basis[i], i) for i, row in enumerate(table) if row[entering] > 0]
        leaving = min(ratios)[2]
        pivot = table[leaving][entering]
        table[leaving] = [x / pivot for x in table[leaving]]
        for row in (*(row for i, row in enumerate(table) if i != leaving), costs):
            if factor := row[entering]:
                row[:] = [x - factor * y if y else x for x, y in zip(row, table[leaving], strict=True)]
        basis[leaving] = entering
    if costs[-1] == 0:
        weights = [Fraction(0)] * n
        for i, variable in enumerate(basis):
            if variable < n:
                weights[variable] = table[i][-1]
        return None, weights
    # Multipliers y_i = 1 - (reduced cost of artificial variable i); y combines no column to more than 0.
    return [costs[n + i] - 1 for i in range(m - 1)], None
