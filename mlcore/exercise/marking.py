"""A student's own answers against the truth: which are right, by which convention, and what went wrong in the others.

Mistakes are found by computing what each of them would give; see mlcore.exercise.mistakes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, cached_property
from itertools import chain, combinations, product
from typing import Any

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.answers import Answer, Entry, Rounding, each
from mlcore.exercise.descent import Update
from mlcore.exercise.exact import Pass, fractions
from mlcore.exercise.formats import Style, matrix_text
from mlcore.exercise.kinks import Surroundings, zero_combination
from mlcore.exercise.mistakes import ROUNDED, SUMMED, WRITTEN, Matrices, Students, Work, catalogue
from mlcore.exercise.naming import KINDS, Naming
from mlcore.exercise.network import check_range
from mlcore.exercise.problem import Problem
from mlcore.results import Result, to_json
from mlcore.templates import fill

CONVENTIONS = (Fraction(0), Fraction(1), Fraction(1, 2))  # for phi'(0); where several fit, the first is named
# The steps after which students round, and which halves they round up: 0 all of them; 1 or 2 every other
SOME = list(chain.from_iterable(combinations(WRITTEN, size) for size in range(len(WRITTEN) + 1)))
HABITS = [((*steps, *others), 0) for steps in SOME for others in ((), SUMMED)]
HABITS += [(steps, halves) for steps in (WRITTEN[:1], WRITTEN, ROUNDED) for halves in (1, 2)]
RIGHT = ("right", "right-by-convention", "in-subdifferential")
UNKNOWN = ("too-few-digits", "open")  # what the student has is not known
WORDS = {
    "right": "right",
    "right-by-convention": "right (with φ'(0) = {})",
    "in-subdifferential": "right (a subgradient)",
    "too-few-digits": "too few digits",
    "carried-forward": "wrong, as it follows",
    "open": "left open",
    "wrong": "wrong",
}
ROUNDING_GROWS = 50  # times the relative error of a rounding is the largest that many of them lead to
MEMBER = "in-subdifferential", "a member of the Clarke subdifferential, but not the value of φ'(0) = 0, 1/2 or 1"
TOO_FEW_DIGITS = "too-few-digits", "rounded so far that it cannot be marked; give at least two digits"


@dataclass(frozen=True)
class Verdict(Result):
    """What an answer is worth, and why; entries count from 1.

    ``status``: right, right-by-convention, in-subdifferential, too-few-digits, carried-forward (it follows from a
    wrong answer), open (all of it is) or wrong; ``words`` are for students. ``truth`` has None for entries left open.
    """

    name: str
    symbol: str  # as sheets have it, such as ∂J/∂V
    status: str
    words: str
    mistakes: tuple[str, ...]
    remark: str
    truth: np.ndarray | None

    def shown(self, style: Style) -> str:
        """The truth, if it is to be shown."""
        return "" if self.truth is None else matrix_text(self.truth, style)

    @property
    def remarks(self) -> list[str]:
        """The remark, if there is one, and the mistakes."""
        return [*filter(None, [self.remark]), *self.mistakes]


@dataclass(frozen=True)
class Marking(Result):
    """The verdicts in the order of the answers, the convention phi'(0) of the truth in them, and how to show it.

    ``names``: all answers that could be given, in the order of the pass.
    """

    verdicts: list[Verdict]
    convention: Fraction
    style: Style
    names: tuple[str, ...]

    @property
    def right(self) -> int:
        return sum(verdict.status in RIGHT for verdict in self.verdicts)

    @property
    def all_right(self) -> bool:
        return self.right == len(self.verdicts)

    def without_truth(self) -> "Marking":
        """The same for students who want to try again."""
        return replace(self, verdicts=[replace(verdict, truth=None) for verdict in self.verdicts])

    def _repr_html_(self) -> str:
        rows = [(v.symbol, v.words, v.shown(self.style), v.remarks) for v in self.verdicts]
        return fill("marking.html", rows=rows, right=self.right)

    def to_dict(self) -> dict[str, Any]:
        """The verdicts as "answers", and whether all are right."""
        return {"all_right": self.all_right, "answers": to_json(self.verdicts)}


class Marker:
    """The truth about a problem, and what each mistake would give, kept to mark many students.

    At a kink a student may choose the convention for phi'(0), one for all units, or a member of the subdifferential:
    the answers that fit one choice together are right, and the one that fits most of them is taken. With several
    samples, delta and dx belong to the loss of each sample, or to the mean J: also one choice for all. What is called δ
    may be −∂J/∂z. ``names``: all answers in the order of the pass, in which each may follow from those before it, with
    values of the right shape.

    Raises: InputError if a value exceeds the range of float64.
    """

    @np.errstate(all="ignore")
    def __init__(self, problem: Problem, update: Update | None = None) -> None:
        network, self.style = problem.network, problem.style
        # in floats for what students make of it, which takes long
        self.work, self.floats = (
            Work(Pass(network, problem.x, problem.y, is_exact), 0, update=update) for is_exact in (True, False)
        )
        kinks, is_free = self.work.trace.kinks, problem.relu_at_zero is None
        usual = list(dict.fromkeys(network.at_kinks(kinks, value) for value in CONVENTIONS))
        self.conventions = usual if is_free and kinks else [network.at_kinks(kinks, problem.at_zero)]
        self.truths = {c: Work(self.work, c).values() for c in self.conventions}
        self.names = self.truths[self.conventions[0]]
        check_range(*(rows for name, rows in self.names.items() if not name.startswith("da:")))  # 1 / 0 by rounding
        others = () if is_free else dict.fromkeys([*self.conventions, *sorted(usual)])
        self.catalogue = catalogue(network, update, others)
        self.steps = {mistake.name for mistake in self.catalogue if mistake.is_step}
        self.naming = Naming(problem, self.names)
        self.per_sample = {name for name in self.names if name.startswith(("delta:", "da:")) or name == "dx"}
        self.mistaken, self.rounded = cache(self._mistaken), cache(self._rounded)

    @np.errstate(all="ignore")
    def mark(self, answers: Sequence[Answer]) -> Marking:
        """Mark the answers together.

        Raises: InputError if there are none, if one is given twice, or if the network has nothing of that name.
        """
        answers = self.naming.prepared(answers)
        samples, scales = len(self.work.x), {1: ""}
        if self.work.network.share(samples) != 1 and any(answer.name in self.per_sample for answer in answers):
            scales = {1: "of each sample's J", samples: "of the mean J"}
        best = max((_Sheet(self, answers, *scale) for scale in scales.items()), key=_Sheet.worth)
        if best.shows_other_sign():
            best = max((best, *(_Sheet(self, answers, *scale, -1) for scale in scales.items())), key=_Sheet.worth)
        return best.marking

    def usable(self, answers: Iterable[Answer]) -> tuple[list[Answer], list[str]]:
        """The answers that can be marked, and what is wrong with the others."""
        found, problems = list[Answer](), list[str]()
        for answer in answers:
            try:
                self.naming.prepared([*found, answer])
                found.append(answer)
            except InputError as error:
                problems.append(str(error))
        return found, problems

    def _mistaken(self, number: int, c: Fraction, rounding: Rounding | None = None) -> Matrices:
        """What a mistake of the catalogue gives, exactly or if every step is rounded.

        The truth where it gives nothing: a gradient of another shape takes no step.
        """
        found = self.truths[c] | self.catalogue[number].values(self.floats, c, rounding)
        return {name: self.naming.oriented(name, rows) for name, rows in found.items()}

    def _rounded(self, c: Fraction, rounding: Rounding) -> tuple[Matrices, Matrices]:
        """The least and the largest answers of students who round after some of the steps."""
        found = Students(self.floats, c, HABITS, rounding).values()
        return {name: rows.min(0) for name, rows in found.items()}, {name: rows.max(0) for name, rows in found.items()}

    @cached_property
    def pieces(self) -> list[Matrices]:
        """All answers on each smooth piece of J at the point, and on those that may hold near it."""
        if not (self.work.network.rational and self.work.trace.kinks):
            return []
        around = Surroundings(self.work)
        return [self.work.answers(around.gradients(pattern)) for pattern, _ in around.patterns()]


class _Sheet:
    """The answers of one student, marked under one scale of what belongs to single samples, and one sign of δ."""

    def __init__(self, marker: Marker, answers: Sequence[Answer], scale: int, scale_name: str, sign: int = 1) -> None:
        self.marker, self.work, self.scale_name = marker, marker.work, scale_name
        own = (answer for answer in answers if answer.name in marker.per_sample)
        self.factors = factors = {answer.name: scale * (sign if answer.is_delta else 1) for answer in own}
        self.answers = [one.scaled(Fraction(factors[one.name])) if one.name in factors else one for one in answers]
        fitting = {c: sum(a.fits(truth[a.name]) for a in self.answers) for c, truth in marker.truths.items()}
        self.plain, self.c = max(fitting.values()), max(fitting, key=lambda c: fitting[c])
        self.truth = marker.truths[self.c]
        self.members = self._members()
        self.right: Matrices = {}  # answers on the way to the gradients that are right, as the student rounded them
        self.wrong: Matrices = {}  # and those that are not

    def worth(self) -> tuple[int, int, int]:
        """How many answers are right, how many of them round to the truth, and how many have a named mistake."""
        return self.marking.right, self.plain, sum(bool(verdict.mistakes) for verdict in self.marking.verdicts)

    def shows_other_sign(self) -> bool:
        """Whether δ stands for −∂J/∂z, as in many textbooks.

        One has the other sign in all entries beside a right gradient or step of its layer, which would be wrong with
        that sign; no other has the sign of ∂J/∂z in all of its own, and no gradient or step follows from that sign.
        """
        given = {answer.name: answer for answer in self.answers if answer.typed}
        right = {verdict.name for verdict in self.marking.verdicts if verdict.status in RIGHT}
        signs = {name: self._signs(answer) for name, answer in given.items() if answer.is_delta}
        is_l2 = bool(self.work.network.loss.l2)  # the penalty has a gradient of its own
        if is_l2 or {1} in signs.values() or {-1} not in signs.values():
            return False
        layers = zip(self.work.names, self.work.layers, strict=True)
        owners = [(array, f"delta:{name}") for name, layer in layers for array in layer.arrays]
        uses, shown = Counter(array for array, _ in owners), False
        for kind, (array, delta) in product(KINDS, owners):
            if (name := kind + array) in given:
                truth, old = self.truth[name], np.array(self.work.network.given[array], object)
                other = -truth if kind == "d" else 2 * old.astype(truth.dtype).reshape(truth.shape) - truth
                follows = given[name].fits(other)
                if follows and name not in right:
                    return False
                shown |= name in right and not follows and uses[array] == 1 and signs.get(delta) == {-1}
        return shown

    def _signs(self, answer: Answer) -> set[int]:
        """Of the products of its entries and the true ones, without those that are 0."""
        truth = self.truth[answer.name]
        pairs = zip(answer.entries.flat, truth.flat, strict=True) if truth.shape == answer.entries.shape else ()
        return {1 if entry.value * value > 0 else -1 for entry, value in pairs if entry and entry.value * value}

    @cached_property
    def marking(self) -> Marking:
        """The verdicts; what comes first in the pass is judged first, as the rest may follow from it."""
        found = {}
        for answer in sorted(self.answers, key=lambda answer: [*self.marker.names].index(answer.name)):
            truth, found[answer] = self.truth[answer.name], self._verdict(answer)
            if answer.entries.shape == truth.shape and found[answer].status not in UNKNOWN:
                known = self.right if found[answer].status in RIGHT else self.wrong
                known[answer.name] = answer.filled(truth)
        verdicts = [found[answer] for answer in self.answers]
        return Marking(verdicts, self.c, self.marker.style, tuple(self.marker.names))

    def _verdict(self, answer: Answer) -> Verdict:
        """The verdict, with the mistakes behind a wrong answer."""
        name, truth = answer.name, self.truth[answer.name]
        status, remark, *mistakes = self._judged(answer)
        if status == "right" and self._depends_on_choice(answer):
            status, remark = "right-by-convention", ""
        elif status == "wrong" or status == "too-few-digits" and any(entry.unit == 1 for entry in answer.typed):
            mistakes = self._mistakes(answer)  # 1 for 1/2 may be the 1/2 that is left out
            status, remark = ("wrong", "") if mistakes and status != "wrong" else (status, remark)
        if factor := self.factors.get(name):
            truth = truth / factor
            taken = "−∂J/∂z" if factor < 0 else "the derivative" * bool(self.scale_name)
            if taken and status in RIGHT:
                remark = "; ".join(filter(None, (remark, f"taken as {taken} {self.scale_name}".rstrip())))
        if not answer.typed:
            truth = answer.entries
        elif answer.entries.shape == truth.shape:
            truth = each(lambda entry, value: entry and value, answer.entries, truth)
        words = WORDS[status].format(self.c)
        return Verdict(name, self.marker.naming.symbols[name], status, words, tuple(mistakes), remark, truth)

    def _judged(self, answer: Answer) -> tuple[str, ...]:
        """Status and remark, and for what is carried forward where it comes from."""
        truth = self.truth[answer.name]
        if not answer.typed:
            return "open", ""
        if answer in self.members:
            return MEMBER
        if self.members and self._depends_on_choice(answer):
            return "wrong", self._apart(answer)
        if answer.fits(truth):
            is_rounded = answer.all_entries(Entry.is_rounded, truth)
            is_free = answer.typed[0].tolerance is None
            off = "truncated, or off by one in the last digit" if is_free else "within the tolerance"
            return "right", "" if is_rounded else off
        if answer.entries.shape != truth.shape:
            return "wrong", ""
        ways = self._ways(answer)
        spread = self._spread(answer, ways)
        if answer.fits(*spread):
            # significant digits take a difference to 0, but never a small number
            if not (answer.all_entries(Entry.shows, truth) or answer.fits(*self._spread(answer, ways[:1]))):
                return TOO_FEW_DIGITS
            return "right", "as far as rounding on the way allows"
        if causes := self._causes(answer):
            return "carried-forward", "", f"follows from your {' and '.join(causes)}"
        if answer.all_entries(lambda e, low, high, t: e.is_near(low, high) or e.is_short(t), *spread, truth):
            return TOO_FEW_DIGITS
        return "wrong", self._apart(answer)

    def _spread(self, answer: Answer, ways: Sequence[Rounding]) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest values that come from rounding on the way, or from what the student has rounded."""
        name, truth = answer.name, self.truth[answer.name]
        found = [truth]
        if ways:
            found += [values[name] for one in ways for values in self.marker.rounded(self.c, one)]
            found += [values[name] for values in self._works(self.right, ways)]
        low, high = _range(found)
        radius = np.maximum(truth - low, high - truth)  # what is rounded up may as well have been rounded down
        return truth - radius, truth + radius

    def _ways(self, answer: Answer) -> list[Rounding]:
        """How an answer is rounded, or the whole sheet where it has only zeros and fractions."""
        rational = self.work.network.rational
        used = [other.roundings(whole_is_exact=rational) for other in (answer, *self.answers)]
        return used[0] or max(used)

    def _works(self, given: Matrices, ways: Sequence[Rounding]) -> list[Matrices]:
        """All answers that follow from given ones, with and without rounding on the way."""
        return [Work(self.marker.floats, self.c, given=given, rounding=way).values() for way in (None, *ways)]

    def _causes(self, answer: Answer) -> list[str]:
        """Symbols of the wrong answers, as few as possible, that this one follows from without a new mistake."""
        names, ways = [*self.wrong], self._ways(answer)
        for group in [[name] for name in names] + [names[:size] for size in range(2, len(names) + 1)]:
            given = {name: self.wrong[name] for name in group}
            works = self._works(given, ways) + self._works(self.right | given, ways)
            if answer.fits(*_range([values[answer.name] for values in works])):
                return [self.marker.naming.symbols[name] for name in group]
        return []

    def _depends_on_choice(self, answer: Answer) -> bool:
        """Whether it takes a convention to make the answer right: the truth varies with it."""
        truths = [truth[answer.name] for truth in self.marker.truths.values()]
        if len(truths) == 1 or truths[0].shape != answer.entries.shape or not answer.typed:
            return False
        return not all(_same(truth, truths[0]) and answer.fits(truth) for truth in truths)

    def _members(self) -> Sequence[Answer]:
        """The gradients of one member of the subdifferential, where these are more than a convention fits."""
        chosen = [a for a in self.answers if a.name.startswith("d") and self._depends_on_choice(a)]
        fitting = sum(answer.fits(self.truth[answer.name]) for answer in chosen)
        alone = [answer for answer in chosen if fitting < len(chosen) and self._is_member([answer])]
        groups = (group for size in range(len(alone), fitting, -1) for group in combinations(alone, size))
        return next((group for group in groups if self._is_member(group)), ())

    def _is_member(self, answers: Sequence[Answer]) -> bool:
        """Whether one convex combination of the pieces gives all entries, up to the last digit, as in ``Entry``.

        Each entry bounds the sum of ``weight * (piece - entry)`` from above and from below. Slack variables turn the
        inequalities into equations, so that 0 is to be in the hull of the columns.
        """
        entries = [entry for answer in answers for entry in answer.typed]
        margins = np.array([e.tolerance or e.unit * (e.unit < 1) / (1 + (e.digits < 2)) for e in entries])
        columns = set()
        for piece in self.marker.pieces:
            pairs = (pair for a in answers for pair in zip(piece[a.name].flat, a.entries.flat, strict=True))
            apart = np.array([value - entry.value for value, entry in pairs if entry])
            columns.add((*(apart - margins), *(-apart - margins)))
        slacks = fractions(np.eye(2 * len(entries)))
        return bool(columns) and zero_combination([*sorted(columns), *slacks]) is not None

    def _apart(self, answer: Answer) -> str:
        """What to say about an answer that another choice would make right."""
        truths = self.marker.truths.items()
        alone = [f"right with φ'(0) = {c}" for c, truth in truths if answer.fits(truth[answer.name])]
        if not alone and self._depends_on_choice(answer) and answer.name.startswith("d"):
            alone = ["in the subdifferential"] * self._is_member([answer])
            if self.work.network.rational and not self.marker.pieces:
                return "too many units are on their kink to examine the subdifferential"
        return f"by itself {alone[0]}, but that does not fit the other answers" if alone else ""

    def _mistakes(self, answer: Answer) -> list[str]:
        """The mistakes that give the answer, of these the ones that explain most, and most precisely; or a slip."""
        ways = self._ways(answer)[:1]
        explained: dict[str, tuple[int, bool]] = {}
        slips = []
        for convention in dict.fromkeys((self.c, *self.marker.conventions)):
            truth = self.marker.truths[convention]
            for number, mistake in enumerate(self.marker.catalogue):
                exact = self.marker.mistaken(number, convention)
                if not _is_near(answer, exact[answer.name], ways) or _same(exact[answer.name], truth[answer.name]):
                    continue
                works = [exact, *(self.marker.mistaken(number, convention, rounding) for rounding in ways)]
                if _gives(works, answer):
                    fits = sum(_gives(works, other) for other in self.answers)
                    worth = fits, answer.all_entries(Entry.is_rounded, exact[answer.name])
                    explained[mistake.name] = max(worth, explained.get(mistake.name, worth))
            slips += self._slips(answer, truth[answer.name])
        most = max(explained.values(), default=None)
        found = [name for name, worth in explained.items() if worth == most] or slips[:1]
        is_known = self.work.update is not None  # the learning rate: then a step is likely, or else only a guess
        found = [n for n in found if (n in self.marker.steps) == is_known] or found * (not self._apart(answer))
        return found or [self._wrong_shape(answer)] * (answer.entries.shape != self.truth[answer.name].shape)

    def _slips(self, answer: Answer, truth: np.ndarray) -> list[str]:
        """A slip in the only entry that is wrong, if others are right."""
        if answer.entries.shape != truth.shape or len(answer.typed) < 2:
            return []
        entries = zip(np.ndindex(truth.shape), answer.entries.flat, truth.flat, strict=True)
        places = [place for place, entry, right in entries if entry and not entry.is_near(right, right)]
        if len(places) != 1:
            return []
        (i, j), other = places[0], -truth[places[0]]
        kind = "wrong sign" if answer.entries[i, j].is_near(other, other) else "arithmetic slip"
        return [f"{kind} in entry ({i + 1}, {j + 1})"]

    def _wrong_shape(self, answer: Answer) -> str:
        turned, truth = Answer(answer.name, answer.entries.T), self.truth[answer.name]
        if any(turned.fits(truths[answer.name]) for truths in self.marker.truths.values()):
            return "transposed (rows and columns exchanged)"
        if (answer.entries.shape, truth.shape) == ((1, 2), (1, 1)):
            return "two numbers; for a decimal point write 0.5"
        wrong, right = (" x ".join(map(str, rows.shape)) for rows in (answer.entries, truth))
        return f"the shape is {wrong}; expected {right}"


def _range(found: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest values of arrays that have the shape of the first."""
    first, *others = found
    same = [first, *(rows for rows in others if rows.shape == first.shape)]
    return np.minimum.reduce(same), np.maximum.reduce(same)


def _is_near(answer: Answer, rows: np.ndarray, ways: Sequence[Rounding]) -> bool:
    """Whether rounding on the way may have led from the values to the answer; it is worth to find out."""
    largest = max(map(abs, rows.flat)) * ROUNDING_GROWS
    return answer.all_entries(
        lambda entry, value: not ways or abs(entry.value - value) <= largest * 10.0 ** (1 - ways[0].digits), rows
    )


def _gives(works: Sequence[Matrices], answer: Answer) -> bool:
    return answer.fits(*_range([values[answer.name] for values in works]))


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    margins = 0 if a.dtype == object else 1e-9 * abs(a).max() + 1e-15
    return a.shape == b.shape and bool((abs(a - b) <= margins).all())
