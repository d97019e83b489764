"""A student's own answers against the truth: which are right, by which convention, and what went wrong in the others.

Mistakes are found by computing what each of them would give; see mlcore.exercise.mistakes.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.errors import DataError, InputError
from mlcore.exercise.exact import Pass, fractions
from mlcore.exercise.kinks import Surroundings, zero_combination
from mlcore.exercise.mistakes import Values, Work, answers_of, catalogue, layer_names
from mlcore.exercise.network import FLOAT_TOLERANCE
from mlcore.exercise.problem import Problem, parse_rows
from mlcore.results import Result, to_json

RELATIVE_TOLERANCE = 1e-4  # of answers to a network that has no exact values
CONVENTIONS = (Fraction(0), Fraction(1), Fraction(1, 2))  # for phi'(0); where several fit, the first is named
NOTES = ("student", "name", "id", "course", "group", "date", "title", "note", "notes", "comment")  # not answers


@dataclass(frozen=True, eq=False)
class Answer:
    """One answer of a student: y_hat, loss, z:LAYER, a:LAYER, delta:LAYER, or d and the name of an array, as in dV.

    Samples are rows of z, a, delta, dx and y_hat; biases and the loss have one row. All are matrices of fractions;
    ``margins`` are half a unit in the last place typed, or 0 for an exact number.
    """

    name: str
    values: np.ndarray
    margins: np.ndarray

    def transposed(self) -> "Answer":
        """The answer with rows and columns exchanged."""
        return Answer(self.name, self.values.T, self.margins.T)


@dataclass(frozen=True)
class Verdict(Result):
    """What an answer is worth: right, right-by-convention, in-subdifferential or wrong; entries count from 1."""

    name: str
    status: str
    mistakes: tuple[str, ...]
    remark: str
    truth: np.ndarray


@dataclass(frozen=True)
class Marking(Result):
    """The verdicts in the order of the answers, and the convention phi'(0) that the truth in them is under."""

    verdicts: list[Verdict]
    convention: Fraction

    @property
    def all_right(self) -> bool:
        """Whether no answer is wrong."""
        return all(verdict.status != "wrong" for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """The verdicts as "answers", and whether all are right."""
        return {"all_right": self.all_right, "answers": to_json(self.verdicts)}


def parse_answer(name: str, text: str) -> Answer:
    """An answer as it is typed. A number with a decimal point stands for all that round to it; others are exact.

    Raises: InputError if the text is not numbers, or its rows differ in length.

    Example:
        >>> parse_answer("dV", "-0.67, 1/2").margins.tolist()
        [[Fraction(1, 200), Fraction(0, 1)]]
    """
    values = fractions(np.array(parse_rows(text, name), object))
    typed = re.findall(r"[\d./e+-]+", re.sub("[−–]", "-", text.lower()))
    margins = [
        Fraction(10) ** int(Decimal(number).as_tuple().exponent) / 2 if re.search(r"\.\d", number) else Fraction(0)
        for number in typed
    ]
    return Answer(name, values, np.array(margins, object).reshape(values.shape))


def read_answers(path: Path) -> list[Answer]:
    """Answers by name from a TOML file, or from a JSON file (named .json); who wrote them, and notes, are left out.

    Raises: DataError if the content is not answers; OSError if the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        # numbers stay as they were typed, since their decimals say how exactly they are meant
        if path.suffix.lower() == ".json":
            content = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        else:
            content = tomllib.loads(text, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a TOML or JSON file: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} has no answers by name; expected lines such as dV = [[-2, 0]].")
    try:
        return [parse_answer(name, _as_typed(value)) for name, value in content.items() if name.lower() not in NOTES]
    except InputError as error:
        raise DataError(f"{path}: {error}") from error


def mark(problem: Problem, answers: Sequence[Answer]) -> Marking:
    """Mark the answers to a problem together.

    Raises: InputError if there are none, if one is given twice, or if the network has nothing of that name.
    """
    return Marker(problem).mark(answers)


class Marker:
    """The truth about a problem, and what each mistake would give, kept to mark many students.

    A choice is what a student may decide at a kink: one convention for all units, or one member of the
    subdifferential. The answers that fit one choice together are right; the choice that fits most of them is taken.
    """

    def __init__(self, problem: Problem) -> None:
        self.work = work = Pass(problem.network, problem.x, problem.y)
        self.conventions = CONVENTIONS if work.trace.kinks else CONVENTIONS[:1]
        self.truths = {c: answers_of(work, work.backward(c)) for c in self.conventions}
        self.names = self.truths[CONVENTIONS[0]]  # of all answers, with values of the right shape
        layers = layer_names(work.network)
        steps = [f"{letter}:{name}" for name in layers for letter in "za"]
        steps += ["y_hat", *(f"delta:{name}" for name in reversed(layers))]
        self.order = {name: steps.index(name) if name in steps else len(steps) for name in self.names}
        self._mistaken: dict[Fraction, list[tuple[str, Values]]] = {}
        self._certain = True  # whether all points are known to be gradients of pieces

    def mark(self, answers: Sequence[Answer]) -> Marking:
        """As the function ``mark``."""
        if not answers:
            raise InputError("There are no answers; give at least one.")
        names = [answer.name for answer in answers]
        for name in names:
            if name not in self.names:
                raise InputError(f"The answer {name!r} is unknown; use {', '.join(self.names)}.")
            if names.count(name) > 1:
                raise InputError(f"{name} is answered twice; give one answer.")
        answers = [self._oriented(answer) for answer in answers]
        at_choice = [answer for answer in answers if self._depends_on_choice(answer)]
        fitting: Sequence[Answer]
        c, fitting = self._best_convention(at_choice)
        status, remark = "right-by-convention", f"the value of the convention φ'(0) = {c}"
        if len(fitting) < len(at_choice) and (members := self._largest_in_subdifferential(at_choice, len(fitting))):
            fitting, status = members, "in-subdifferential"
            remark = "in the Clarke subdifferential, but not the value of φ'(0) = 0, 1/2 or 1 for all kinked units"
            if not self._certain:
                remark += " (with pieces of J that may hold near the point; this was not decided)"
        truth, verdicts, consequences = self.truths[c], [], self._consequences(answers, c)
        for answer in answers:
            if answer in fitting:
                verdicts.append(Verdict(answer.name, status, (), remark, truth[answer.name]))
            elif answer not in at_choice and _fits(truth[answer.name], answer):
                verdicts.append(Verdict(answer.name, "right", (), "", truth[answer.name]))
            else:
                verdicts.append(self._wrong_verdict(answer, fitting, c, consequences))
        return Marking(verdicts, c)

    def _oriented(self, answer: Answer) -> Answer:
        """The answer as a row where it is a vector, which a student may write as a column, or the other way round."""
        shape, typed = self.names[answer.name].shape, answer.values.shape
        is_weights = answer.name in [f"d{layer.weights}" for layer in self.work.layers]
        turn = 1 in shape and shape != typed == shape[::-1] and not is_weights
        return answer.transposed() if turn else answer

    # The choice at a kink -----------------------------------------------------------------------------------

    def _depends_on_choice(self, answer: Answer) -> bool:
        """Whether it takes a choice to make the answer right: the truth varies with it, or is another without one."""
        truths = [truth[answer.name] for truth in self.truths.values()]
        if len(truths) == 1 or not answer.name.startswith("d") or truths[0].shape != answer.values.shape:
            return False
        return not all(_same(truth, truths[0]) and _fits(truth, answer) for truth in truths)

    def _best_convention(self, answers: Sequence[Answer]) -> tuple[Fraction, list[Answer]]:
        """The convention that fits most answers, and these answers."""
        truths = self.truths.items()
        fitting = {c: [answer for answer in answers if _fits(truth[answer.name], answer)] for c, truth in truths}
        return max(fitting.items(), key=lambda item: len(item[1]))

    def _largest_in_subdifferential(self, answers: Sequence[Answer], more_than: int) -> Sequence[Answer]:
        """The most answers that are those of one member, if these are more than a convention fits."""
        alone = [answer for answer in answers if self._is_member([answer])]
        groups = (group for size in range(len(alone), more_than, -1) for group in combinations(alone, size))
        return next((group for group in groups if self._is_member(group)), ())

    def _is_member(self, answers: Sequence[Answer]) -> bool:
        """Whether one convex combination of the pieces rounds to all entries of the answers.

        With p the entries of a piece, weights w >= 0 have to give ``lower <= sum w p <= upper``; each inequality has
        a slack variable. All homogeneous: 0 is in the hull of the columns of this system.
        """
        margins = np.concatenate([answer.margins.ravel() for answer in answers])
        rounded = margins > 0
        columns = set()
        for point in self.points:
            above = np.concatenate([(point[answer.name] - answer.values).ravel() for answer in answers])
            columns.add((*above[~rounded], *(above + margins)[rounded], *(margins - above)[rounded]))
        if not columns:
            return False
        slacks = 2 * int(rounded.sum())
        rows = fractions(-np.eye(slacks, len(margins) + slacks // 2, len(margins) - slacks // 2))
        return zero_combination([*sorted(columns), *rows]) is not None

    @cached_property
    def points(self) -> list[Values]:
        """The gradients of all pieces, and of those that may hold: the student has the benefit of the doubt."""
        if not self.work.network.rational:
            return []
        around = Surroundings(self.work)
        patterns = list(around.patterns())
        self._certain = all(certain for _, certain in patterns)
        return [answers_of(self.work, around.gradients(pattern)) for pattern, _ in patterns]

    # What went wrong ----------------------------------------------------------------------------------------

    def _wrong_verdict(
        self, answer: Answer, fitting: Sequence[Answer], c: Fraction, consequences: Sequence[tuple[list[str], Values]]
    ) -> Verdict:
        name, truth, remark, mistakes = answer.name, self.truths[c][answer.name], "", []
        if answer.values.shape != truth.shape:
            mistakes.append(self._wrong_shape(answer))
        elif self._depends_on_choice(answer):
            apart = f"but it does not fit together with {', '.join(other.name for other in fitting) or 'the others'}"
            alone, fits = self._best_convention([answer])
            if fits:
                remark = f"by itself right with φ'(0) = {alone}, {apart}"
            elif self._is_member([answer]):
                remark = f"by itself in the subdifferential, {apart}"
            elif self.work.network.rational and not self.points:
                remark = "too many units are on their kink to examine the subdifferential"
        conventions, slips = dict.fromkeys((c, *self.conventions)), []
        for convention in conventions:
            made = self._mistakes(convention)
            mistakes += [mistake for mistake, values in made if _fits(values.get(name), answer)]
            slips += _slip_in_one_entry(self.truths[convention][name], answer)
        follows = (
            f"follows from your {' and '.join(causes)}"
            for causes, values in consequences
            if self.order[name] > self.order[causes[-1]] and _fits(values.get(name), answer)
        )
        mistakes += [*islice(follows, 1), *([slip for slip in slips if slip.startswith("wrong sign")] or slips)]
        return Verdict(name, "wrong", tuple(dict.fromkeys(mistakes)), remark, truth)

    def _wrong_shape(self, answer: Answer) -> str:
        turned, truth = answer.transposed(), self.names[answer.name]
        at_choice = self._depends_on_choice(turned)
        if _fits(truth, turned) or at_choice and (self._best_convention([turned])[1] or self._is_member([turned])):
            return "transposed"
        (rows, columns), typed = truth.shape, answer.values.ravel()
        if truth.size == 1 and len(typed) == 2 and all(value.denominator == 1 and value >= 0 for value in typed):
            return f"two numbers, but {answer.name} is one; for a decimal point write {typed[0]}.{typed[1]}"
        wrong_rows, wrong_columns = answer.values.shape
        return f"the shape is {wrong_rows} x {wrong_columns}; expected {rows} x {columns}"

    def _mistakes(self, c: Fraction) -> list[tuple[str, Values]]:
        """What each mistake gives, where this is not the truth."""
        if c not in self._mistaken:
            with np.errstate(all="ignore"):
                made = [(mistake.name, mistake.values(self.work, c)) for mistake in catalogue(self.work.network)]
            self._mistaken[c] = [(name, self._changed(values, c)) for name, values in made]
        return self._mistaken[c]

    def _changed(self, values: Values, c: Fraction) -> Values:
        return {name: rows for name, rows in values.items() if not _same(rows, self.truths[c][name])}

    def _consequences(self, answers: Sequence[Answer], c: Fraction) -> list[tuple[list[str], Values]]:
        """What follows, with no new mistake, from each wrong answer on the way to the gradients, and from several."""
        truth, found = self.truths[c], []
        ordered = sorted(answers, key=lambda answer: self.order[answer.name])
        on_the_way = [a for a in ordered if self.order[a.name] < self.order["loss"]]
        wrong = [a for a in on_the_way if a.values.shape == truth[a.name].shape and not _fits(truth[a.name], a)]
        for group in [*([answer] for answer in wrong), *(wrong[:size] for size in range(2, len(wrong) + 1))]:
            values = Work(self.work, c, given={answer.name: answer.values for answer in group}).values()
            found.append(([answer.name for answer in group], self._changed(values, c)))
        return found


def _as_typed(value: object) -> str:
    """Nested lists as rows with semicolons."""
    if isinstance(value, list):
        return (";" if any(isinstance(entry, list) for entry in value) else ",").join(map(_as_typed, value))
    return str(value)


def _slip_in_one_entry(truth: np.ndarray, answer: Answer) -> list[str]:
    if truth.shape != answer.values.shape or truth.size == 1:
        return []
    wrong = np.argwhere(~_close(truth, answer)).tolist()
    kinds = ["wrong sign" if _close(-truth, answer)[i, j] else "arithmetic slip" for i, j in wrong]
    return [f"{kinds[0]} in entry ({wrong[0][0] + 1}, {wrong[0][1] + 1})"] if len(wrong) == 1 else []


def _fits(rows: np.ndarray | None, answer: Answer) -> bool:
    """Whether there are values of the shape of the answer that round to it."""
    return rows is not None and rows.shape == answer.values.shape and bool(_close(rows, answer).all())


def _close(rows: np.ndarray, answer: Answer) -> np.ndarray:
    """Which entries are within half a unit in the last place typed, and what floats leave open."""
    margins = answer.margins
    if rows.dtype != object:
        floats = np.maximum(RELATIVE_TOLERANCE * abs(rows), FLOAT_TOLERANCE)
        margins = np.maximum(margins.astype(float) * (1 + 1e-9), floats)
    elif not margins.any():
        return np.asarray(rows == answer.values)
    return np.asarray(abs(rows - answer.values) <= margins)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    margins = 0 if a.dtype == object else 1e-9 * np.maximum(1, abs(a))
    return a.shape == b.shape and bool((abs(a - b) <= margins).all())
