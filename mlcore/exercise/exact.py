"""Exercise 1 in exact rational arithmetic, and what lies behind a kink: pieces, subdifferential, verdict.

The loss J as a function of all weights and biases is a polynomial on each piece, that is for each choice of which
of the units on their kink are on. A piece counts if it holds on open sets arbitrarily near the point. The gradients
of these pieces at the point are the vertices whose convex hull is the Clarke subdifferential.
Source: Clarke 1983, theorem 2.5.1; Kakade and Lee 2018 for why automatic differentiation is not enough.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from mlcore.errors import InputError, ShapeError
from mlcore.exercise.network import Kink, Matrix, Network, Number
from mlcore.exercise.rational import Independent, Vector, combine, contains_zero, dot, null_space, positive_direction

MOST_KINKS = 12  # units on the kink up to which all their patterns are examined
SECOND_ORDER_TRIALS = 40
IDENTITY_TRIALS = 12

Pattern = dict[Kink, bool]


class Series(NamedTuple):
    """Value along a line through the point: ``c0 + c1 t + c2 t^2``, and higher powers that are left out."""

    c0: Fraction
    c1: Fraction
    c2: Fraction


@dataclass
class ExactTrace:
    """Values of one forward pass, as ``mlcore.exercise.network.Trace`` in fractions: lists over layers, samples, units."""

    x: list[Vector]
    z: list[list[Vector]]
    a: list[list[Vector]]
    kinks: list[Kink]
    losses: list[Fraction]

    @property
    def loss(self) -> Fraction:
        """The mean loss J."""
        return sum(self.losses) / len(self.losses)


@dataclass
class ExactGradients:
    """Derivatives of J in the named arrays, in the z of every layer, in y_hat and x, as in ``mlcore.exercise.network``."""

    arrays: dict[str, list]
    deltas: list[list[Vector]]
    y_hat: list[Vector]
    x: list[Vector]

    @property
    def flat(self) -> Vector:
        """All derivatives in weights and biases, in the order of ``ExactNetwork.names``."""
        return [value for array in self.arrays.values() for value in _flatten(array)]


class Piece(NamedTuple):
    """One smooth piece of J at the point: which kinked units are on, and its gradient there."""

    pattern: Pattern
    gradients: ExactGradients


class Descent(NamedTuple):
    """A direction in weights and biases along which J falls, with its one-sided slope."""

    direction: dict[str, list]
    slope: Fraction


@dataclass
class Subdifferential:
    """The Clarke subdifferential of J in all weights and biases at a point, and what follows from it.

    ``complete``: whether all pieces are known to be here. ``doubtful``: patterns that hold near the point only by
    terms of higher than second order, if at all. ``stationary``: whether 0 is in it; None if not known.
    """

    pieces: list[Piece]
    complete: bool
    doubtful: list[Pattern]
    stationary: bool | None
    descent: Descent | None


def as_fraction(value: Number) -> Fraction:
    """The number as it is written: a float stands for its shortest decimal."""
    return Fraction(repr(float(value))) if isinstance(value, float) else Fraction(value)


class ExactNetwork:
    """A rational network with its samples, in fractions.

    Raises: InputError if the network has activations or a loss that leave the rational numbers.
    """

    def __init__(self, network: Network, x: Matrix, y: Matrix) -> None:
        if not network.rational:
            raise InputError("Exact values need the activations relu and identity and the loss half-squared.")
        self.layers = network.layers
        self.W = [[list(map(as_fraction, row)) for row in layer.W] for layer in self.layers]
        self.b = [None if layer.b is None else list(map(as_fraction, layer.b)) for layer in self.layers]
        self.x, self.y = _samples(x), _samples(y)
        if len(self.x) != len(self.y) or len(self.x[0]) != len(self.W[0][0]) or len(self.y[0]) != len(self.W[-1]):
            raise ShapeError("x and y do not fit the network; see Network.forward.")
        self.trace = self._forward()
        self.slots = [
            (layer.weights, layer.bias, len(W), len(W[0])) for layer, W in zip(self.layers, self.W, strict=True)
        ]
        self.size = sum(rows * columns + (rows if bias else 0) for _, bias, rows, columns in self.slots)

    def backward(self, relu_at_zero: Number = 0) -> ExactGradients:
        """Gradients of J with a convention for relu'(0)."""
        convention = as_fraction(relu_at_zero)
        return self._backward(lambda kink: convention)

    def subdifferential(self) -> Subdifferential:
        """All pieces of J at the point, and the verdict."""
        kinks = self.trace.kinks
        pieces, doubtful = [], []
        complete = len(kinks) <= MOST_KINKS
        if complete:
            in_order = sorted(kinks, key=lambda kink: kink.layer)
            for pattern, certain in self._patterns({}, in_order, Independent()):
                if certain:
                    pieces.append(Piece(pattern, self._backward(lambda kink, p=pattern: Fraction(p.get(kink, 0)))))
                else:
                    doubtful.append(pattern)
        unique = {tuple(piece.gradients.flat): piece for piece in reversed(pieces)}
        pieces = list(reversed(unique.values()))
        points = [piece.gradients.flat for piece in pieces]
        stationary = any(not any(point) for point in points) or bool(points) and contains_zero(points)
        if not stationary and not (complete and not doubtful):
            stationary = None  # a piece that is not here may bring 0 into the hull
        return Subdifferential(pieces, complete and not doubtful, doubtful, stationary, self._descent(pieces))

    def slope(self, direction: Sequence[Fraction]) -> Fraction:
        """One-sided derivative of J along a direction in weights and biases: exact at kinks, too."""
        named = self.named(direction)
        total = Fraction(0)
        for x, y in zip(self.x, self.y, strict=True):
            values = [(value, Fraction(0)) for value in x]
            for layer, W, b in zip(self.layers, self.W, self.b, strict=True):
                dW, db = named[layer.weights], named[layer.bias] if layer.bias else None
                outputs = []
                for unit, row in enumerate(W):
                    z = sum((w * a for w, (a, _) in zip(row, values, strict=True)), b[unit] if b else Fraction(0))
                    dz = sum(
                        (w * da + dw * a for w, dw, (a, da) in zip(row, dW[unit], values, strict=True)),
                        db[unit] if db else Fraction(0),
                    )
                    if layer.activation == "relu":
                        z, dz = (z, dz) if z > 0 else (Fraction(0), max(dz, Fraction(0)) if z == 0 else Fraction(0))
                    outputs.append((z, dz))
                values = outputs
            total += sum((y_hat - target) * d for (y_hat, d), target in zip(values, y, strict=True))
        return total / len(self.x)

    def named(self, flat: Sequence[Fraction]) -> dict[str, list]:
        """A vector over all weights and biases, as arrays by name."""
        values = iter(flat)
        named: dict[str, list] = {}
        for weights, bias, rows, columns in self.slots:
            named[weights] = [[next(values) for _ in range(columns)] for _ in range(rows)]
            if bias:
                named[bias] = [next(values) for _ in range(rows)]
        return named

    def _forward(self) -> ExactTrace:
        trace = ExactTrace(self.x, [], [], [], [])
        inputs = self.x
        for number, (layer, W, b) in enumerate(zip(self.layers, self.W, self.b, strict=True)):
            z = [[dot(row, a) + (b[unit] if b else 0) for unit, row in enumerate(W)] for a in inputs]
            if layer.activation == "relu":
                trace.kinks += [
                    Kink(s, number, u) for s, row in enumerate(z) for u, value in enumerate(row) if value == 0
                ]
                inputs = [[max(value, Fraction(0)) for value in row] for row in z]
            else:
                inputs = z
            trace.z.append(z)
            trace.a.append(inputs)
        trace.kinks.sort()
        trace.losses = [
            sum((t - p) ** 2 for t, p in zip(target, output, strict=True)) / 2
            for target, output in zip(self.y, inputs, strict=True)
        ]
        return trace

    def _backward(self, at_kink: Callable[[Kink], Fraction]) -> ExactGradients:
        """Gradients of J, with the given derivative for each unit on its kink."""
        n = len(self.x)
        d_y_hat = [
            [(p - t) / n for t, p in zip(target, output, strict=True)]
            for target, output in zip(self.y, self.trace.a[-1], strict=True)
        ]
        total, deltas, dx = [Fraction(0)] * self.size, [[] for _ in self.layers], []
        for sample in range(n):
            last = len(self.layers) - 1
            delta = [d * s for d, s in zip(d_y_hat[sample], self._slopes(sample, last, at_kink), strict=True)]
            flat, sample_deltas, d_input = self._pull_back(sample, last, delta, at_kink)
            total = [a + b for a, b in zip(total, flat, strict=True)]
            dx.append(d_input)
            for layer_deltas, values in zip(deltas, sample_deltas, strict=True):
                layer_deltas.append(values)
        return ExactGradients(self.named(total), deltas, d_y_hat, dx)

    def _slopes(self, sample: int, layer: int, at_kink: Callable[[Kink], Fraction]) -> Vector:
        """Derivative of each activation of a layer in its z."""
        if self.layers[layer].activation == "identity":
            return [Fraction(1)] * len(self.W[layer])
        return [
            Fraction(int(z > 0)) if z else at_kink(Kink(sample, layer, unit))
            for unit, z in enumerate(self.trace.z[layer][sample])
        ]

    def _pull_back(
        self, sample: int, layer: int, delta: Vector, at_kink: Callable[[Kink], Fraction]
    ) -> tuple[Vector, list[Vector], Vector]:
        """Gradient in all weights and biases of ``<delta, z of this layer>``, with the deltas below and dx."""
        blocks: list[Vector] = []
        deltas = [[Fraction(0)] * len(W) for W in self.W]
        d_input: Vector = []
        for number in reversed(range(len(self.layers))):
            if number > layer:
                blocks.append([Fraction(0)] * (len(self.W[number]) * (len(self.W[number][0]) + bool(self.b[number]))))
                continue
            inputs = self.trace.a[number - 1][sample] if number else self.x[sample]
            deltas[number] = delta
            blocks.append([d * a for d in delta for a in inputs] + (list(delta) if self.b[number] else []))
            d_input = combine(delta, self.W[number])
            if number:
                delta = [d * s for d, s in zip(d_input, self._slopes(sample, number - 1, at_kink), strict=True)]
        return [value for block in reversed(blocks) for value in block], deltas, d_input

    # The pieces ---------------------------------------------------------------------------------------------

    def _patterns(
        self, pattern: Pattern, rest: list[Kink], independent: Independent | None
    ) -> Iterator[tuple[Pattern, bool]]:
        """Patterns of the kinked units that hold on open sets near the point, and whether that is certain.

        Units are decided from the first layer on, since the form of a unit's z depends on what is below it. As long
        as the forms are independent, every pattern holds.
        """
        if not rest:
            yield pattern, independent is not None or self._holds(pattern) is True
            return
        kink, *rest = rest
        forced = self._forced(kink, pattern)
        if forced is not None:
            yield from self._patterns(pattern | {kink: forced}, rest, independent)
            return
        longer = independent and independent.with_row(self._form(kink, pattern))
        for on in (False, True):
            if longer or self._holds(pattern | {kink: on}) is not False:
                yield from self._patterns(pattern | {kink: on}, rest, longer)

    def _forced(self, kink: Kink, pattern: Pattern) -> bool | None:
        """Whether the unit is on, where the piece leaves no choice; None where both are open.

        Near the point its z is a sum over the units below that are on, all of them on their kink, with weights of
        one sign; or there are none, and z is 0 on the whole piece, where on and off are the same.
        """
        row = self.W[kink.layer][kink.unit]
        if self.b[kink.layer] is not None:
            return None
        if kink.layer == 0:
            return None if any(self.x[kink.sample]) else False
        below, values = kink.layer - 1, self.trace.a[kink.layer - 1][kink.sample]
        if self.layers[below].activation == "identity":
            return False if self._vanishes([kink], [Fraction(1)], pattern) else None
        alive = [unit for unit in range(len(values)) if self._is_on(Kink(kink.sample, below, unit), pattern)]
        if any(values[unit] for unit in alive):
            return None
        if all(row[unit] > 0 for unit in alive):
            return bool(alive)
        return False if all(row[unit] < 0 for unit in alive) else None

    def _holds(self, pattern: Pattern) -> bool | None:
        """Whether the pattern holds on open sets arbitrarily near the point; None if that could not be decided."""
        live, rows = self._signed_forms(pattern)
        if not live:
            return True
        tied, direction = _ties(rows)
        if not tied:
            return True
        if self._contradiction([live[i] for i in tied], [rows[i] for i in tied], pattern):
            return False
        return True if self._holds_to_second_order(live, rows, tied, direction, pattern) else None

    def _form(self, kink: Kink, pattern: Pattern) -> Vector:
        """First-order form of a kinked unit's z on the piece: its gradient in weights and biases."""
        unit = [Fraction(int(u == kink.unit)) for u in range(len(self.W[kink.layer]))]
        return self._pull_back(kink.sample, kink.layer, unit, lambda k: Fraction(pattern[k]))[0]

    def _signed_forms(self, pattern: Pattern) -> tuple[list[Kink], list[Vector]]:
        """Kinked units that are not forced, with their forms, signed so that the piece has them > 0."""
        live = [kink for kink in pattern if self._forced(kink, pattern) is None]
        return live, [[value if pattern[kink] else -value for value in self._form(kink, pattern)] for kink in live]

    def _contradiction(self, kinks: list[Kink], rows: list[Vector], pattern: Pattern) -> bool:
        """Whether weights >= 0 combine the signed z to 0 on the whole piece, so that they cannot all be > 0."""
        weights = positive_direction(rows)[1]
        if weights is None:
            return False
        signed = [weight if pattern[kink] else -weight for weight, kink in zip(weights, kinks, strict=True)]
        return self._vanishes(kinks, signed, pattern)

    def _vanishes(self, kinks: list[Kink], weights: list[Fraction], pattern: Pattern) -> bool:
        """Whether the weighted sum of the units' z is 0 on the whole piece.

        It is a polynomial, tested at random points: a wrong "yes" would need a root at each of them.
        """
        generator = random.Random(0)
        for _ in range(IDENTITY_TRIALS):
            point = [Fraction(generator.randint(-(10**6), 10**6)) for _ in range(self.size)]
            if dot(weights, [self._z_on_piece(kink, point, pattern) for kink in kinks]):
                return False
        return True

    def _z_on_piece(self, kink: Kink, offset: Vector, pattern: Pattern) -> Fraction:
        """Polynomial z of a kinked unit, at the point moved by ``offset``."""
        values = [Series(value, Fraction(0), Fraction(0)) for value in self.x[kink.sample]]
        return self._series(kink, values, offset, pattern, at_one=True).c0

    def _series(self, kink: Kink, values: list[Series], direction: Vector, pattern: Pattern, at_one: bool) -> Series:
        """z of a kinked unit on the piece along a direction: its series, or with ``at_one`` its value at t = 1."""
        named = self.named(direction)
        for number, (layer, W, b) in enumerate(zip(self.layers, self.W, self.b, strict=True)):
            dW, db = named[layer.weights], named[layer.bias] if layer.bias else [Fraction(0)] * len(W)
            outputs = []
            for unit, row in enumerate(W):
                z = Series(b[unit] if b else Fraction(0), db[unit], Fraction(0))
                if at_one:
                    z = Series(z.c0 + z.c1, Fraction(0), Fraction(0))
                for w, dw, a in zip(row, dW[unit], values, strict=True):
                    if at_one:
                        w, dw = w + dw, Fraction(0)
                    z = Series(z.c0 + w * a.c0, z.c1 + w * a.c1 + dw * a.c0, z.c2 + w * a.c2 + dw * a.c1)
                if number == kink.layer and unit == kink.unit:
                    return z
                outputs.append(
                    z if self._is_on(Kink(kink.sample, number, unit), pattern) else Series(*[Fraction(0)] * 3)
                )
            values = outputs
        raise AssertionError("the unit is in none of the layers")

    def _is_on(self, unit: Kink, pattern: Pattern) -> bool:
        z = self.trace.z[unit.layer][unit.sample][unit.unit]
        return self.layers[unit.layer].activation == "identity" or z > 0 or (z == 0 and pattern.get(unit, False))

    def _holds_to_second_order(
        self, live: list[Kink], rows: list[Vector], tied: list[int], direction: Vector, pattern: Pattern
    ) -> bool:
        """Look for a curve ``t u + t^2 w`` into the piece: <row, u> is > 0 for the free units and 0 for the tied
        ones, whose second-order terms ``<row, w> + q(u)`` must then be > 0. What is found is proven; not finding
        one proves nothing.
        """
        neutral = null_space(rows, self.size)
        generator = random.Random(0)
        for _ in range(SECOND_ORDER_TRIALS):
            shift = combine([Fraction(generator.randint(-9, 9)) for _ in neutral], neutral) if neutral else None
            u = direction if shift is None else [a + b for a, b in zip(direction, shift, strict=True)]
            system = []
            for i in tied:
                start = [Series(value, Fraction(0), Fraction(0)) for value in self.x[live[i].sample]]
                q = self._series(live[i], start, u, pattern, at_one=False).c2
                system.append([*rows[i], q if pattern[live[i]] else -q])
            scale = [Fraction(0)] * self.size + [Fraction(1)]  # the system is homogeneous in (w, 1)
            if positive_direction([*system, scale])[0] is not None:
                return True
        return False

    # The verdict --------------------------------------------------------------------------------------------

    def _descent(self, pieces: list[Piece]) -> Descent | None:
        """Direction of the steepest descent among the single entries; if none falls, one within a piece, if any."""
        steepest = None
        for entry in range(self.size):
            for sign in (1, -1):
                direction = [Fraction(sign * (i == entry)) for i in range(self.size)]
                slope = self.slope(direction)
                if slope < 0 and (steepest is None or slope < steepest.slope):
                    steepest = Descent(self.named(direction), slope)
        if steepest:
            return steepest
        for pattern, gradients in pieces:
            _, rows = self._signed_forms(pattern)
            direction = positive_direction([*rows, [-value for value in gradients.flat]])[0]
            if direction is not None:
                return Descent(self.named(direction), self.slope(direction))
        return None


def _ties(rows: list[Vector]) -> tuple[list[int], Vector]:
    """Rows that no direction makes > 0 while none is < 0, and a direction that makes all others > 0 and these 0.

    Source: Motzkin 1936: each round finds weights that combine some rows to 0, which ties those with a weight > 0.
    """
    tied: list[int] = []
    width = len(rows[0])
    while True:
        free = [i for i in range(len(rows)) if i not in tied]
        basis = null_space([rows[i] for i in tied], width)
        if not free:
            return sorted(tied), [Fraction(0)] * width
        restricted = [[dot(rows[i], vector) for vector in basis] for i in free]
        direction, weights = positive_direction(restricted) if basis else (None, [Fraction(1)] * len(free))
        if direction is not None:
            return sorted(tied), combine(direction, basis)
        tied += [i for i, weight in zip(free, weights, strict=True) if weight]


def _samples(values: Matrix) -> list[Vector]:
    rows = values if isinstance(values[0], Sequence) else [values]
    return [list(map(as_fraction, row)) for row in rows]


def _flatten(array: list) -> Iterator[Fraction]:
    for value in array:
        if isinstance(value, list):
            yield from _flatten(value)
        else:
            yield value
