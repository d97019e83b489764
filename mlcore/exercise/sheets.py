"""Exercise sheets: many at once, as text, Markdown, one LaTeX document or a question bank for Moodle, with keys."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.derivation import Symbols, derive, pose
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import WRITERS, to_document, to_html
from mlcore.exercise.functions import choose
from mlcore.exercise.generator import make_problem
from mlcore.exercise.problem import Problem, to_toml
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS
from mlcore.templates import fill

MAX_SHEETS = 1000
ENDINGS = {"text": "txt", "markdown": "md", "latex": "tex", "moodle": "xml"}  # of files, by format
TOLERANCE = 0.01  # relative, of numbers in Moodle that have decimals: whoever rounds on the way may be so far off


class Sheet(NamedTuple):
    """One exercise of a class; the title has all that makes it again."""

    title: str
    problem: Problem


def make_sheets(count: int, seed: int, kind: str, difficulty: str, kink: str) -> list[Sheet]:
    """Sheets 1, 2, ... with the seeds from ``seed`` on.

    Raises: InputError if there is no such exercise.
    """
    if not 1 <= count <= MAX_SHEETS:
        raise InputError(f"expected a whole number from 1 to {MAX_SHEETS}", parameter="count", value=count)
    kind, difficulty = choose("kind", kind, KINDS), choose("difficulty", difficulty, DIFFICULTIES)
    return [
        Sheet(f"Sheet {one - seed + 1} ({kind}, {difficulty}, seed {one})", make_problem(one, kind, difficulty, kink))
        for one in range(seed, seed + count)
    ]


def document(sheets: Sequence[Sheet], output_format: str, is_key: bool = False) -> str:
    """Sheets, or their keys, as one text; for Moodle, a question bank, which has both.

    Raises: InputError if the format is unknown.
    """
    output_format = choose("format", output_format, ENDINGS)
    if output_format == "moodle":
        return _question_bank(sheets)
    work, write = derive if is_key else pose, WRITERS[output_format]
    shown = [(title, write(work(problem))) for title, problem in sheets]
    if output_format == "latex":
        return to_document(fill("sheets.tex.j2", str, sheets=shown, is_key=is_key))
    return fill("sheets.txt.j2", str, sheets=shown, is_key=is_key, is_markdown=output_format == "markdown")


def files(sheets: Sequence[Sheet], output_format: str) -> dict[str, str]:
    """Files by name: the network of each sheet for ``check``, and sheets with keys in the format.

    LaTeX is one document of all sheets and one of all keys, Moodle one question bank.

    Raises: InputError if the format is unknown.
    """
    output_format = choose("format", output_format, ENDINGS)
    names = [f"sheet-{number:0{len(str(len(sheets)))}}" for number in range(1, len(sheets) + 1)]
    found = {f"{name}.toml": to_toml(sheet.problem) for name, sheet in zip(names, sheets, strict=True)}
    if output_format == "moodle":
        return found | {"questions.xml": document(sheets, output_format)}
    if output_format == "latex":
        groups = {("sheets", "keys"): sheets}
    else:
        groups = {(name, f"{name}-key"): [sheet] for name, sheet in zip(names, sheets, strict=True)}
    ending = ENDINGS[output_format]
    for (name, key), group in groups.items():
        found[f"{name}.{ending}"] = document(group, output_format)
        found[f"{key}.{ending}"] = document(group, output_format, is_key=True)
    return found


def _question_bank(sheets: Sequence[Sheet]) -> str:
    """Moodle XML with a question for each sheet, which has a field for each entry of an answer.

    Source: https://docs.moodle.org/en/Moodle_XML_format and .../Embedded_Answers_(Cloze)_question_type
    """
    questions = []
    for title, problem in sheets:
        body, solution = map(to_html, (pose(problem, in_symbols=False), derive(problem)))
        questions.append((title, fill("question.html", body=body, answers=_answers(problem)), solution))
    return fill("questions.xml", questions=questions)


def _answers(problem: Problem) -> list[tuple[str, list[list[tuple[str, str]]]]]:
    """The answers that are asked for: symbols, and rows of numbers with their tolerances."""
    symbols, work = Symbols(problem), Pass(problem.network, problem.x, problem.y)
    arrays = work.backward(problem.at_zero).arrays
    wanted = {r"\hat{y}": work.trace.y_hat, "J": np.array([[work.loss]])}
    wanted |= {symbols.partial(name): np.atleast_2d(arrays[name]) for name in symbols.arrays}

    def field(value: Any) -> tuple[str, str]:
        is_whole = work.is_exact and value == int(value) or not value
        tolerance = "0" if is_whole else f"{TOLERANCE * abs(float(value)):.1g}"
        return f"{float(value) + 0.0:.{problem.digits}g}", tolerance

    return [(symbol, [list(map(field, row)) for row in rows]) for symbol, rows in wanted.items()]
