"""Derivations as LaTeX, Markdown and text."""

import re
import textwrap
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mlcore.exercise.derivation import Derivation, Line
from mlcore.exercise.formulas import plain_number, to_unicode
from mlcore.exercise.network import Number

WIDTH = 80

Box = list[str]  # lines of one width


def to_latex(derivation: Derivation) -> str:
    """A fragment that compiles with amsmath."""
    return "\n".join(_latex_blocks(derivation, r"\paragraph{%s}", "\\begin{align*}\n%s\n\\end{align*}")) + "\n"


def to_markdown(derivation: Derivation) -> str:
    """Markdown with formulas for KaTeX or MathJax."""
    return "\n\n".join(_latex_blocks(derivation, "### %s", "$$\n\\begin{aligned}\n%s\n\\end{aligned}\n$$")) + "\n"


def _latex_blocks(derivation: Derivation, heading: str, environment: str) -> list[str]:
    blocks = []
    for section in derivation.sections:
        blocks.append(heading % section.title.replace("φ", r"$\varphi$"))
        lines = []
        for line in section.lines:
            parts = _formatted(line, str, _latex_number, _latex_matrix)
            parts[parts.index("=")] = "&="
            remark = line.remark.replace("\N{MULTIPLICATION SIGN}", r"$\times$").replace("\N{MINUS SIGN}", "$-$")
            lines.append("  " + " ".join(parts) + (rf" && \text{{{remark}}}" if remark else ""))
        blocks += [environment % " \\\\\n".join(lines)] * bool(lines) + ["\n\n".join(section.text)] * bool(section.text)
    return blocks + derivation.footnotes


def _formatted(
    line: Line, formula: Callable[[str], Any], number: Callable[[Number], str], matrix: Callable[[list[list[str]]], Any]
) -> list[Any]:
    """The parts of a line; a negative number that does not follow an equals sign is put in brackets."""
    parts: list[Any] = []
    opening = True
    for part in line.parts:
        if isinstance(part, str):
            parts.append(formula(part))
        elif part.size > 1:
            parts.append(matrix([[number(value) for value in row] for row in part]))
        else:
            text = number(part.item())
            parts.append(formula(f"({text})" if part.item() < 0 and not opening else text))
        opening = isinstance(part, str) and part == "="
    return parts


def _latex_matrix(cells: list[list[str]]) -> str:
    return r"\begin{pmatrix} " + r" \\ ".join(map(" & ".join, cells)) + r" \end{pmatrix}"


def _latex_number(value: Number) -> str:
    if isinstance(value, Fraction) and value.denominator > 1:
        return f"{'-' * (value < 0)}\\tfrac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    text = plain_number(value).replace("\N{MINUS SIGN}", "-")
    return re.sub(r"e([+-])0*(\d+)", lambda m: rf" \cdot 10^{{{m[1].replace('+', '')}{m[2]}}}", text)


def to_text(derivation: Derivation) -> str:
    """Aligned Unicode for a terminal, at most 80 columns where the matrices allow it."""
    lines = []
    for section in derivation.sections:
        lines += [section.title, ""]
        for line in section.lines:
            lines += [f"  {row}".rstrip() for row in _text_line(line)]
        for paragraph in section.text:
            lines += textwrap.wrap(_spoken(paragraph), WIDTH, initial_indent="  ", subsequent_indent="      ")
        lines.append("")
    for number, note in enumerate(derivation.footnotes, start=1):
        lines += textwrap.wrap(f"{number}. {_spoken(note)}", WIDTH, subsequent_indent="   ")
    return "\n".join(lines).rstrip() + "\n"


def _spoken(text: str) -> str:
    """A sentence with its formulas in Unicode."""
    return re.sub(r"\$(.*?)\$", lambda match: to_unicode(match[1]), text)


def _text_line(line: Line) -> Box:
    """Rows of a formula; it is broken before an equals sign where it would be too wide."""
    sides: list[list[Box]] = [[]]
    for box in _formatted(line, lambda formula: [to_unicode(formula)], plain_number, _matrix_box):
        if box == ["="]:
            sides.append([])
        sides[-1].append(box)
    rows: Box = []
    current = _beside(sides[0])
    indent = len(current[0])
    for side in map(_beside, sides[1:]):
        if len(current[0]) + 1 + len(side[0]) > WIDTH - 2 and len(current[0]) > indent:
            rows += current
            current = [" " * indent] * len(side)
        current = _beside([current, side])
    if line.remark and len(current[0]) + len(line.remark) > WIDTH - 4:
        return [*rows, *current, f"{' ' * indent}  {line.remark}"]
    return [*rows, *(_beside([current, [f"  {line.remark}"]]) if line.remark else current)]


def _matrix_box(cells: list[list[str]]) -> Box:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["[" + "  ".join(map(str.rjust, row, widths)) + "]" for row in cells]


def _beside(boxes: list[Box]) -> Box:
    """Boxes next to each other, centred on one line."""
    above = max((len(box) - 1) // 2 for box in boxes)
    below = max(len(box) // 2 for box in boxes)
    rows = [""] * (above + 1 + below)
    for number, box in enumerate(boxes):
        width, top = max(map(len, box)), above - (len(box) - 1) // 2
        for i in range(len(rows)):
            content = box[i - top] if top <= i < top + len(box) else ""
            rows[i] += " " * bool(number) + content.ljust(width)
    return rows


WRITERS = {"text": to_text, "latex": to_latex, "markdown": to_markdown}
