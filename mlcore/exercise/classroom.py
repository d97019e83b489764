"""Marks for a class: a row for each student, points for each question, and the commonest mistakes."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

from mlcore.errors import DataError, InputError, MlcoreError
from mlcore.exercise.answers import check_tolerance, read_answers
from mlcore.exercise.descent import Update
from mlcore.exercise.marking import RIGHT, Marker, Marking, Verdict
from mlcore.exercise.problem import Problem, parse_number, read_problem
from mlcore.results import Result

SHEET_NOTES = ("sheet", "exercise")  # notes in a file of answers that say which sheet it is about
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # beginnings of a cell that a spreadsheet would take for a formula


@dataclass(frozen=True)
class Marks(Result):
    """What one student gets: the marking, what is wrong with the file, and points by question of the own sheet.

    ``of``: what all answers to it are worth.
    """

    student: str
    file: str
    marking: Marking | None
    problems: list[str]
    points: Mapping[str, Fraction] = field(default_factory=dict)
    total: Fraction = Fraction(0)
    of: Fraction = Fraction(0)

    @property
    def verdicts(self) -> list[Verdict]:
        """Of all answers in the file, if it could be read."""
        return self.marking.verdicts if self.marking else []

    @property
    def remarks(self) -> list[str]:
        """What went wrong, by question; only the first mistake of each."""
        wrong = [verdict for verdict in self.verdicts if verdict.status not in RIGHT]
        unknown = {"open": "left open", "wrong": "no known mistake"}
        found = [f"{v.symbol}: {(*v.mistakes, v.remark or unknown.get(v.status))[0]}" for v in wrong]
        return [*found, *self.problems]


@dataclass(frozen=True)
class ClassMarks(Result):
    """The marks of all students, what each question is worth, and how many students made each mistake, most first."""

    worth: dict[str, Fraction]
    students: list[Marks]
    mistakes: dict[str, int]

    def to_csv(self) -> str:
        """A table for a spreadsheet, with nothing in it that would be taken for a formula."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(map(_safe, ["student", "file", *self.worth, "total", "of", "remarks"]))
        for marks in self.students:
            points = [marks.points.get(name) for name in self.worth]
            numbers = map(number_text, [*points, marks.total, marks.of])
            writer.writerow(map(_safe, [marks.student, marks.file, *numbers, "; ".join(marks.remarks)]))
        return table.getvalue()


def number_text(points: Fraction | None) -> str:
    """Points as people write them: 1.5; nothing for a question that is not on the sheet."""
    return "" if points is None else f"{float(points):.6g}"


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def parse_points(text: str) -> dict[str, Fraction]:
    """Points by question, as typed: ``dV=2, dW=3``.

    Raises: InputError if they are not.
    """
    found = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        if not equals or not name.strip() or name.strip() in found:
            raise InputError("expected points by answer, each once, such as dV=2,dW=3", parameter="points", value=text)
        found[name.strip()] = parse_number(number, "points")
        if found[name.strip()] < 0:
            raise InputError("expected numbers of at least 0", parameter="points", value=text)
    return found


def mark_class(
    problem: Problem | Path,
    folder: Path,
    points: Mapping[str, Fraction] | None = None,
    carry_forward: Fraction | int = 1,
    tolerance: Fraction | None = None,
    update: Update | None = None,
) -> ClassMarks:
    """Mark all files of answers in a folder against one problem, or each against its own in a folder of networks.

    The own one is the network with the number in the note ``sheet`` or ``exercise`` of the file of answers, or with its
    name. ``points``: what each question is worth, 1 for every answer if not given.
    ``carry_forward``: share of the points for an answer that follows from a wrong one.

    Raises: DataError if there are no answers or no networks in a folder; InputError for an unknown question, a wrong
        tolerance, or a problem that Marker refuses.
    """
    if not 0 <= carry_forward <= 1:
        raise InputError("expected a number from 0 to 1", parameter="carry_forward", value=str(carry_forward))
    nets = {path.stem: path for path in _documents(problem, "networks")} if isinstance(problem, Path) else {}

    @cache
    def marker(net: str) -> Marker:
        return Marker(problem if isinstance(problem, Problem) else read_problem(nets[net]), update)

    check_tolerance(tolerance)  # what is wrong for all is no student's mistake
    if isinstance(problem, Problem):
        marker("")
    papers = [_marked(file, nets, marker, tolerance) for file in _documents(folder, "answers")]
    known = {name: None for paper in papers if paper.marking for name in paper.marking.names}
    if strange := [name for name in points or {} if known and name not in known]:
        raise InputError(f"expected names of answers: {', '.join(known)}", parameter="points", value=strange[0])
    answered = {verdict.name for paper in papers for verdict in paper.verdicts}
    worth = dict(points or {name: Fraction(1) for name in known if name in answered})
    shares = dict.fromkeys(RIGHT, Fraction(1)) | {"carried-forward": Fraction(carry_forward)}
    students, mistakes = list[Marks](), Counter[str]()
    for paper in papers:
        earned = {verdict.name: shares.get(verdict.status, Fraction(0)) for verdict in paper.verdicts}
        asked = [name for name in worth if not paper.marking or name in paper.marking.names]
        given = {name: worth[name] * earned.get(name, 0) for name in asked}
        total, of = sum(given.values(), Fraction(0)), sum((worth[name] for name in asked), Fraction(0))
        students.append(replace(paper, points=given, total=total, of=of))
        mistakes.update({one.mistakes[0] for one in paper.verdicts if one.status == "wrong" and one.mistakes})
    return ClassMarks(worth, students, dict(sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))))


def _marked(file: Path, nets: Mapping[str, Path], marker: Callable[[str], Marker], tolerance: Fraction | None) -> Marks:
    """A file of answers, marked as far as it can be, without points."""
    student, problems, marking = file.stem, list[str](), None
    try:
        answers, notes, problems = read_answers(file, tolerance)
        student = notes.get("student") or notes.get("name") or student
        own = marker(_net_of(file, notes, nets) if nets else "")
        answers, unknown = own.usable(answers)
        problems += unknown
        marking = own.mark(answers)
    except (MlcoreError, OSError) as error:  # one bad file does not keep the others from being marked
        problems.append(f"{file}: {error.strerror}" if isinstance(error, OSError) else str(error))
    return Marks(student, file.name, marking, problems)


def _documents(folder: Path, what: str) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if re.fullmatch(r"[^.].*\.(toml|json)", path.name.lower()))
    if not files:
        raise DataError(f"{folder} contains no {what}; expected files named .toml or .json.")
    return files


def _net_of(file: Path, notes: Mapping[str, str], nets: Mapping[str, Path]) -> str:
    asked = [*(notes[key] for key in SHEET_NOTES if key in notes), file.stem]
    numbers = {match[0].lstrip("0"): name for name in nets if (match := re.search(r"\d+$", name))}
    for name in asked:
        if name in nets:
            return name
        if name.lstrip("0") in numbers:
            return numbers[name.lstrip("0")]
    some = ", ".join(list(nets)[:5])
    raise DataError(f"{file} has no network {asked[0]!r}: name it as one of {some}, or add sheet = NUMBER.")
