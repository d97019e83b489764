"""Exercise sheets: many at once, as text, Markdown, one LaTeX document or a question bank for Moodle, with keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.derivation import Symbols, derive, pose
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import choose_format, to_document, to_html, to_latex, to_markdown, to_text
from mlcore.exercise.generator import make_problem
from mlcore.exercise.mistakes import Work
from mlcore.exercise.problem import Problem, to_toml
from mlcore.exercise.syllabus import kind_of
from mlcore.templates import fill

MAX_SHEETS = 1000
MOODLE = "moodle"
FORMATS = {
    "text": ("txt", to_text), "markdown": ("md", to_markdown), "latex": ("tex", to_latex), MOODLE: ("xml", to_html),
}  # fmt: skip
TOLERANCE = 0.01  # relative, of numbers in Moodle that have decimals: whoever rounds on the way may be so far off


@dataclass(frozen=True)
class Sheet:
    """One exercise, with its number in the class and all that makes it again."""

    number: int
    seed: int
    kind: str
    difficulty: str
    problem: Problem

    @property
    def title(self) -> str:
        """What is printed at the top."""
        return f"Sheet {self.number} ({self.kind}, {self.difficulty}, seed {self.seed})"


def make_sheets(count: int, seed: int, kind: str = "relu", difficulty: str = "medium", **sizes: Any) -> list[Sheet]:
    """Sheets 1, 2, ... with the seeds from ``seed`` on.

    ``sizes``: features, hidden and kink of ``make_problem``.

    Raises: InputError if there is no such exercise.
    """
    if not 1 <= count <= MAX_SHEETS:
        raise InputError(f"expected a whole number from 1 to {MAX_SHEETS}", parameter="count", value=count)
    return [
        Sheet(n, one, kind_of(kind, one), difficulty, make_problem(one, kind=kind, difficulty=difficulty, **sizes))
        for n, one in enumerate(range(seed, seed + count), start=1)
    ]


def document(
    sheets: Sequence[Sheet],
    output_format: str,
    questions: bool = True,
    solution: bool = False,
    standalone: bool = False,
) -> str:
    """Sheets, their keys, or both, as one text; LaTeX compiles as it is if it is ``standalone``.

    Raises: InputError if the format is unknown, or if it is not LaTeX but standalone.
    """
    ending, write = choose_format(FORMATS, output_format, standalone)
    if output_format == MOODLE:
        return _question_bank(sheets)
    shown = []
    for sheet in sheets:
        sections = [*(pose(sheet.problem) if questions else []), *(derive(sheet.problem) if solution else [])]
        shown.append((sheet, write(sections, sheet.problem.style)))
    text = fill(f"sheets.{ending}.j2", str, sheets=shown, has_name=questions)
    return to_document(text) if standalone else text


def files(sheets: Sequence[Sheet], output_format: str) -> dict[str, str]:
    """Files by name: the network of each sheet for ``check``, and sheets with keys in the format.

    LaTeX is one document of all sheets and one of all keys, Moodle one question bank.

    Raises: InputError if the format is unknown.
    """
    names = [f"sheet-{sheet.number:0{len(str(len(sheets)))}}" for sheet in sheets]
    found = {f"{name}.toml": to_toml(sheet.problem) for name, sheet in zip(names, sheets, strict=True)}
    if output_format == MOODLE:
        return found | {"questions.xml": document(sheets, MOODLE)}
    if output_format == "latex":
        found["sheets.tex"] = document(sheets, "latex", standalone=True)
        found["keys.tex"] = document(sheets, "latex", questions=False, solution=True, standalone=True)
        return found
    for name, sheet in zip(names, sheets, strict=True):
        sheet_text, key = document([sheet], output_format), document([sheet], output_format, False, True)
        ending = FORMATS[output_format][0]
        found |= {f"{name}.{ending}": sheet_text, f"{name}-key.{ending}": key}
    return found


def _question_bank(sheets: Sequence[Sheet]) -> str:
    """Moodle XML with a question for each sheet, which has a field for each entry of an answer.

    Source: https://docs.moodle.org/en/Moodle_XML_format and .../Embedded_Answers_(Cloze)_question_type
    """
    questions = []
    for sheet in sheets:
        problem = sheet.problem
        body, solution = (to_html(part, problem.style) for part in (pose(problem, in_symbols=False), derive(problem)))
        questions.append((sheet, fill("question.html", body=body, answers=_answers(problem)), solution))
    return fill("questions.xml", questions=questions)


def _answers(problem: Problem) -> list[tuple[str, list[list[tuple[str, str]]]]]:
    """The answers that are asked for: symbols, and rows of numbers with their tolerances."""
    symbols, exact = Symbols(problem), problem.network.rational
    values = Work(Pass(problem.network, problem.x, problem.y), problem.relu_at_zero or 0).values()
    wanted = {r"\hat{y}": "y_hat", "J": "loss"} | {symbols.partial(name): f"d{name}" for name in symbols.arrays}
    return [
        (symbol, [[_field(value, problem.digits, exact) for value in row] for row in np.atleast_2d(values[name])])
        for symbol, name in wanted.items()
    ]


def _field(value: Any, digits: int, exact: bool) -> tuple[str, str]:
    """A number and how far off an answer may be, as Moodle reads them."""
    text = f"{float(value) + 0.0:.{digits}g}"
    is_whole = exact and value == int(value) or not value
    return text, "0" if is_whole else f"{TOLERANCE * abs(float(value)):.1g}"
