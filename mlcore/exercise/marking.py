"""A student's own answers against the truth: which are right, by which convention, and what went wrong in the others.

Mistakes are found by computing what each of them would give; see mlcore.exercise.mistakes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import ExactGradients, ExactNetwork
from mlcore.exercise.mistakes import (
    GENERAL,
    Rows,
    Values,
    Work,
    catalogue,
    forward_values,
    gradient_values,
    layer_names,
    shape,
    transposed,
)
from mlcore.exercise.network import FLOAT_TOLERANCE, Gradients, Number
from mlcore.exercise.problem import Problem
from mlcore.exercise.rational import contains_zero

RELATIVE_TOLERANCE = 1e-4  # of answers to a network that has no exact values
LOOSE = Fraction(1, 10**9)  # how well an irrational convention has to fit
MOST_DENOMINATOR = 10**12  # a convention with a larger one is an irrational number, rounded
# Conventions for relu'(0) that are tried first, so that the simplest one that fits is named.
SIMPLE = tuple(map(Fraction, ("0", "1/2", "1", "1/3", "2/3", "1/4", "3/4")))
USUAL = SIMPLE[:3]


@dataclass(frozen=True)
class Answer:
    """One answer of a student: y_hat, loss, z:LAYER, a:LAYER, delta:LAYER, or d and the name of an array, as in dV.

    Samples are rows of z, a, delta, dx and y_hat; biases and the loss have one row. ``decimals`` are the places typed
    after the point; None is an exact number.
    """

    name: str
    values: list[list[Fraction]]
    decimals: list[list[int | None]]

    def transposed(self) -> "Answer":
        """The answer with rows and columns exchanged."""
        return Answer(self.name, transposed(self.values), transposed(self.decimals))


@dataclass(frozen=True)
class Verdict:
    """What an answer is worth: right, right-by-convention, in-subdifferential or wrong; entries count from 1."""

    name: str
    status: str
    mistakes: tuple[str, ...]
    truth: Rows
    remark: str = ""


@dataclass(frozen=True)
class Marking:
    """The verdicts in the order of the answers, and the convention relu'(0) that the truth in them is under."""

    verdicts: list[Verdict]
    convention: Fraction

    @property
    def all_right(self) -> bool:
        """Whether no answer is wrong."""
        return all(verdict.status != "wrong" for verdict in self.verdicts)


def mark(sheet: Problem, answers: Sequence[Answer]) -> Marking:
    """Mark the answers to a sheet together.

    Raises: InputError if there are none, if one is given twice, or if one is no quantity of this network.
    """
    return Marker(sheet).mark(answers)


class Marker:
    """The truth about a sheet, and what each mistake would give, kept to mark many students.

    A choice is what a student may decide at a kink: one convention for all units, or one member of the
    subdifferential. The answers that fit one choice together are right; the choice that fits most of them is taken.
    """

    def __init__(self, sheet: Problem) -> None:
        network = sheet.network
        self.sheet = sheet
        self.exact = ExactNetwork(network, sheet.x, sheet.y) if network.rational else None
        self.trace = self.exact.trace if self.exact else network.forward(sheet.x)
        self._truths: dict[Fraction, Values] = {}
        self._wrong: dict[Fraction, list[tuple[str, Values]]] = {}
        self._coefficients: dict[str, list[list[list[Number]]]] = {}
        self._points: list[Values] | None = None
        self._known = self._certain = True  # whether all vertices of the subdifferential are found, and are vertices
        layers = len({kink.layer for kink in self.trace.kinks})
        self._nodes = [Fraction(i, max(layers, 1)) for i in range(layers + 1)]  # a gradient has this degree in c

    def mark(self, answers: Sequence[Answer]) -> Marking:
        """As the function ``mark``."""
        self._check_names(answers)
        answers = [self._oriented(answer) for answer in answers]
        at_choice = [answer for answer in answers if self._depends_on_choice(answer)]
        c, fitting = self._best_convention(at_choice)
        status = "right-by-convention"
        if len(fitting) < len(at_choice) and (members := self._largest_in_subdifferential(at_choice, len(fitting))):
            fitting, status = members, "in-subdifferential"
        verdicts, consequences = [], self._consequences(answers, c)
        for answer in answers:
            if answer in fitting:
                verdicts.append(Verdict(answer.name, status, (), self._shown(answer.name, c), self._praise(status, c)))
            elif answer not in at_choice and _fits(self.truth(c)[answer.name], answer):
                verdicts.append(Verdict(answer.name, "right", (), self.truth(c)[answer.name]))
            else:
                follows = [cause for cause, values in consequences(answer.name) if _fits(values[answer.name], answer)]
                verdicts.append(self._wrong_verdict(answer, fitting, c, follows[:1]))
        return Marking(verdicts, c)

    def truth(self, relu_at_zero: Fraction) -> Values:
        """All right answers under a convention."""
        if relu_at_zero not in self._truths:
            network, c = self.sheet.network, relu_at_zero
            if self.exact:
                values = forward_values(network, self.trace.z, self.trace.a, self.trace.loss)
                gradients: ExactGradients | Gradients = self.exact.backward(c)
            else:
                loss = float(network.losses(self.trace, self.sheet.y).mean())
                z, a = ([rows.tolist() for rows in part] for part in (self.trace.z, self.trace.a))
                values = forward_values(network, z, a, loss)
                gradients = network.backward(self.trace, self.sheet.y, float(c))
            self._truths[c] = values | gradient_values(network, gradients)
        return self._truths[relu_at_zero]

    def _shown(self, name: str, c: Fraction) -> Rows:
        """The truth, in readable fractions also where the convention is an irrational number, rounded."""
        rows = self.truth(c)[name]
        if not self.exact or c.denominator <= MOST_DENOMINATOR:
            return rows
        return [[value.limit_denominator(10**6) for value in row] for row in rows]

    def _praise(self, status: str, c: Fraction) -> str:
        if status == "right-by-convention":
            return f"the value of the convention relu'(0) = {_convention(c)}"
        member = "a member of the Clarke subdifferential, but the value of no one convention for all kinked units"
        return member if self._certain else f"{member} (with pieces that may hold near the point; this was not decided)"

    def _check_names(self, answers: Sequence[Answer]) -> None:
        if not answers:
            raise InputError("There are no answers; expected one at least.")
        names = [answer.name for answer in answers]
        known = self.truth(SIMPLE[0])
        for name in names:
            if name not in known:
                raise InputError(f"{name!r} is no quantity of this network; expected one of {', '.join(known)}.")
            if names.count(name) > 1:
                raise InputError(f"{name} is answered twice; expected one answer.")

    def _oriented(self, answer: Answer) -> Answer:
        """The answer as a row where it is a vector, which a student may write as a column, or the other way round."""
        truth = self.truth(SIMPLE[0])[answer.name]
        is_weights = answer.name in {f"d{layer.weights}" for layer in self.sheet.network.layers}
        if is_weights or 1 not in shape(truth) or shape(truth) == shape(answer.values):
            return answer
        turned = answer.transposed()
        return turned if shape(turned.values) == shape(truth) else answer

    # The choice at a kink -----------------------------------------------------------------------------------

    def _depends_on_choice(self, answer: Answer) -> bool:
        """Whether it takes a choice to make the answer right: the truth varies with it, or is another without one."""
        if not self.trace.kinks or not answer.name.startswith("d"):
            return False
        if shape(answer.values) != shape(self.truth(SIMPLE[0])[answer.name]):
            return False
        return not all(_fits(self.truth(c)[answer.name], answer) for c in self._nodes) or any(
            len(polynomial) > 1 for row in self._polynomials(answer.name) for polynomial in row
        )

    def _best_convention(self, answers: Sequence[Answer]) -> tuple[Fraction, list[Answer]]:
        """The convention that fits most answers, and these answers.

        The conventions that fit an entry are bounded by those that give exactly an end of its rounding interval, so
        that these, 0 and 1 are all that need to be tried.
        """
        fitting = {c: self._fitting(answers, c) for c in SIMPLE}
        if all(len(found) < len(answers) for found in fitting.values()):
            for answer in answers:
                for c, loose in self._conventions_of(answer):
                    if 0 <= c <= 1 and c not in fitting:
                        fitting[c] = self._fitting(answers, c, loose)
        return max(fitting.items(), key=lambda item: (len(item[1]), item[0] in SIMPLE, -item[0].denominator))

    def _fitting(self, answers: Sequence[Answer], c: Fraction, loose: Fraction = Fraction(0)) -> list[Answer]:
        return [answer for answer in answers if _fits(self.truth(c)[answer.name], answer, loose)]

    def _conventions_of(self, answer: Answer) -> Iterator[tuple[Fraction, Fraction]]:
        """Conventions that give an end of the rounding interval of an entry, and how loosely they are to be taken."""
        for truths, *typed in zip(self._polynomials(answer.name), answer.values, answer.decimals, strict=True):
            for polynomial, value, decimals in zip(truths, *typed, strict=True):
                if len(polynomial) == 1:
                    if not _entry_fits(polynomial[0], value, decimals):
                        return  # no convention helps
                    continue
                margin = Fraction(_margin(polynomial[0], decimals))
                for bound in {value, value - margin, value + margin}:
                    yield from _roots(polynomial, bound)
                if not margin:
                    return  # it takes one of these

    def _polynomials(self, name: str) -> list[list[list[Number]]]:
        """The truth in each entry as a polynomial in the convention: its coefficients."""
        if name not in self._coefficients:
            truths = [self.truth(c)[name] for c in self._nodes]
            self._coefficients[name] = [
                [_interpolate(self._nodes, values) for values in zip(*rows, strict=True)]
                for rows in zip(*truths, strict=True)
            ]
        return self._coefficients[name]

    def _largest_in_subdifferential(self, answers: Sequence[Answer], more_than: int) -> list[Answer]:
        """The most answers that are those of one member, if these are more than a convention fits."""
        alone = [answer for answer in answers if self._is_member([answer])]
        for size in range(len(alone), more_than, -1):
            for group in combinations(alone, size):
                if self._is_member(group):
                    return list(group)
        return []

    def _is_member(self, answers: Sequence[Answer]) -> bool:
        """Whether one convex combination of the pieces rounds to all entries of the answers.

        With p_k the entries of piece k, weights w_k >= 0 have to give ``lower <= sum w_k p_k <= upper``; each
        inequality has a slack variable. All homogeneous: 0 is in the hull of the columns of this system.
        """
        entries = [
            (answer.name, i, j, value, Fraction(_margin(value, answer.decimals[i][j])))
            for answer in answers for i, row in enumerate(answer.values) for j, value in enumerate(row)
        ]  # fmt: skip
        columns = set()
        for point in self._vertices():
            column = []
            for name, i, j, value, margin in entries:
                above = point[name][i][j] - value
                column += [above + margin, margin - above] if margin else [above]
            columns.add(tuple(column))
        if not columns:
            return False
        rounded = [margin for *_, margin in entries for _ in range(2 if margin else 1)]
        slacks = [[-Fraction(i == k) for i in range(len(rounded))] for k, margin in enumerate(rounded) if margin]
        return contains_zero([*map(list, sorted(columns)), *slacks])

    def _vertices(self) -> list[Values]:
        """The gradients of all pieces, and of those that may hold: the student has the benefit of the doubt."""
        if self._points is None:
            self._points = []
            if self.exact:
                found, network = self.exact.subdifferential(), self.sheet.network
                self._points = [gradient_values(network, piece.gradients) for piece in found.pieces]
                self._points += [Work(self.sheet, lambda k, p=p: Fraction(p[k])).values for p in found.doubtful]
                self._known, self._certain = found.complete or bool(found.doubtful), not found.doubtful
        return self._points

    # What went wrong ----------------------------------------------------------------------------------------

    def _wrong_verdict(self, answer: Answer, fitting: Sequence[Answer], c: Fraction, follows: Sequence[str]) -> Verdict:
        truth, remarks, mistakes = self.truth(c)[answer.name], [], {}
        if shape(answer.values) != shape(truth):
            mistakes[self._wrong_shape(answer)] = None
        elif self._depends_on_choice(answer):
            others = ", ".join(other.name for other in fitting) or "the others"
            apart = f"but it does not fit together with {others}"
            alone, fits = self._best_convention([answer])
            if fits:
                remarks.append(f"by itself right with relu'(0) = {_convention(alone)}, {apart}")
            elif self._is_member([answer]):
                remarks.append(f"by itself in the subdifferential, {apart}")
            elif not self._known:
                remarks.append("the subdifferential has more pieces than could be examined")
        conventions = dict.fromkeys((c, *USUAL)) if self.trace.kinks else (c,)
        for convention in conventions:
            computed = self._mistaken(convention)
            mistakes |= dict.fromkeys(name for name, values in computed if _fits(values.get(answer.name), answer))
        mistakes |= dict.fromkeys(follows)
        slips = [slip for c in conventions for slip in _slip_in_one_entry(self.truth(c)[answer.name], answer)]
        mistakes |= dict.fromkeys([slip for slip in slips if slip.startswith("sign")] or slips)
        return Verdict(answer.name, "wrong", tuple(mistakes), self._shown(answer.name, c), "; ".join(remarks))

    def _wrong_shape(self, answer: Answer) -> str:
        turned, truth = answer.transposed(), self.truth(SIMPLE[0])[answer.name]
        if _fits(truth, turned) or self._depends_on_choice(turned) and self._best_convention([turned])[1]:
            return GENERAL["transposed"]
        (rows, columns), (wrong_rows, wrong_columns) = shape(truth), shape(answer.values)
        return f"the shape is {wrong_rows} x {wrong_columns}; expected {rows} x {columns}"

    def _mistaken(self, c: Fraction) -> list[tuple[str, Values]]:
        """What each mistake gives, where this is not the truth."""
        if c not in self._wrong:
            truth, self._wrong[c] = self.truth(c), []
            for mistake in catalogue(self.sheet.network):
                values = mistake.values(self.sheet, c if self.exact else float(c))
                changed = {name: rows for name, rows in values.items() if not _same(rows, truth[name])}
                self._wrong[c].append((mistake.name, changed))
        return self._wrong[c]

    def _consequences(self, answers: Sequence[Answer], c: Fraction) -> Callable[[str], Iterator[tuple[str, Values]]]:
        """For an answer: what follows, with no new mistake, from each wrong one before it and from all of them."""
        truth, typed, order = self.truth(c), {a.name: a for a in answers}, self._order()
        shaped = [name for name in order if name in typed and shape(typed[name].values) == shape(truth[name])]
        wrong = [name for name in shaped if not _fits(truth[name], typed[name])]

        @cache
        def work(names: tuple[str, ...]) -> Values:
            given = {name: typed[name].values for name in names}
            return Work(self.sheet, lambda kink: c if self.exact else float(c), given=given).values

        def before(answer: str) -> Iterator[tuple[str, Values]]:
            earlier = [name for name in wrong if answer not in order[: order.index(name) + 1]]
            for names in dict.fromkeys([*((name,) for name in earlier), tuple(earlier)]):
                if names and not _same(work(names)[answer], truth[answer]):
                    yield f"follows from your {' and '.join(names)}", work(names)

        return before

    def _order(self) -> list[str]:
        """What is computed on the way to the gradients, in this order."""
        names = layer_names(self.sheet.network)
        forward = [f"{letter}:{name}" for name in names for letter in "za"]
        return [*forward, "y_hat", *(f"delta:{name}" for name in reversed(names))]


def _convention(c: Fraction) -> str:
    return str(c) if c.denominator <= MOST_DENOMINATOR else f"{float(c):.6g}"


def _slip_in_one_entry(truth: Rows, answer: Answer) -> list[str]:
    if shape(truth) != shape(answer.values) or shape(truth) == (1, 1):
        return []
    wrong = [
        (i, j) for i, row in enumerate(truth) for j, value in enumerate(row)
        if not _entry_fits(value, answer.values[i][j], answer.decimals[i][j])
    ]  # fmt: skip
    if len(wrong) != 1:
        return []
    i, j = wrong[0]
    sign = _entry_fits(-truth[i][j], answer.values[i][j], answer.decimals[i][j])
    return [f"{'sign of' if sign else 'arithmetic slip in'} entry ({i + 1}, {j + 1})"]


def _fits(rows: Rows | None, answer: Answer, loose: Fraction = Fraction(0)) -> bool:
    """Whether there are values of the shape of the answer that round to it."""
    return (
        rows is not None
        and shape(rows) == shape(answer.values)
        and all(
            _entry_fits(value, typed, places, loose)
            for entries in zip(rows, answer.values, answer.decimals, strict=True)
            for value, typed, places in zip(*entries, strict=True)
        )
    )


def _entry_fits(value: Number, typed: Fraction, decimals: int | None, loose: Fraction = Fraction(0)) -> bool:
    if value == typed or decimals is None and not loose and not isinstance(value, float):
        return value == typed
    return abs(value - typed) <= _margin(value, decimals) + loose


def _margin(value: Number, decimals: int | None) -> Number:
    """How far an answer may be from a value: half a unit in the last place typed."""
    margin = Fraction(0) if decimals is None else Fraction(1, 2 * 10**decimals)
    if not isinstance(value, float):
        return margin
    return max(float(margin) * (1 + 1e-9), RELATIVE_TOLERANCE * abs(value), FLOAT_TOLERANCE)


def _same(a: Rows, b: Rows) -> bool:
    return shape(a) == shape(b) and all(
        abs(x - y) <= (1e-9 * max(1, abs(x)) if isinstance(x, float) or isinstance(y, float) else 0)
        for rows in zip(a, b, strict=True)
        for x, y in zip(*rows, strict=True)
    )


def _interpolate(nodes: Sequence[Fraction], values: Sequence[Number]) -> list[Number]:
    """Coefficients, from the constant on, of the polynomial with these values; the last one is not 0."""
    total: list[Number] = [Fraction(0)] * len(nodes)
    for node, value in zip(nodes, values, strict=True):
        basis = [Fraction(1)]
        for other in nodes:
            if other != node:
                basis = [(a - other * b) / (node - other) for a, b in zip([0, *basis], [*basis, 0], strict=True)]
        total = [t + value * b for t, b in zip(total, basis, strict=True)]
    noise = FLOAT_TOLERANCE * max(map(abs, values)) if any(isinstance(value, float) for value in values) else 0
    while len(total) > 1 and abs(total[-1]) <= noise:
        total.pop()
    return total


def _roots(polynomial: Sequence[Number], bound: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Where a polynomial has a value, and how loosely that is to be taken: not at all, or by LOOSE if rounded."""
    constant, *rest = polynomial
    if len(rest) < 2:
        return [(Fraction((bound - constant) / slope), Fraction(0)) for slope in rest]
    scale = max(map(abs, rest))
    found = np.roots([float(c / scale) for c in [*rest[::-1], constant - bound]])
    roots = [Fraction(root.real) for root in found if abs(root.imag) < 1e-6]
    return [(root.limit_denominator(1000), Fraction(0)) for root in roots] + [(root, LOOSE) for root in roots]
