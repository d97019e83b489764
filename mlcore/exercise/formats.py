"""Derivations as text, LaTeX and Markdown."""

import re
import textwrap
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mlcore.exercise.derivation import Line, Section
from mlcore.exercise.formulas import Box, beside, matrix_box, plain_number, to_unicode
from mlcore.exercise.network import Number

WIDTH = 80


def to_text(sections: list[Section]) -> str:
    """Aligned Unicode for a terminal, at most 80 columns where the matrices allow it."""
    lines = []
    for section in sections:
        lines += [section.title, ""]
        for line in section.lines:
            lines += [f"  {row}".rstrip() for row in _text_line(line)]
        for paragraph in section.text:
            spoken = re.sub(r"\$(.*?)\$", lambda match: to_unicode(match[1]), paragraph)
            lines += textwrap.wrap(spoken, WIDTH, initial_indent="  ", subsequent_indent="      ")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def to_latex(sections: list[Section]) -> str:
    """A fragment that compiles with amsmath."""
    return _blocks(sections, r"\paragraph{%s}", "\\begin{align*}\n%s\n\\end{align*}", "\n")


def to_markdown(sections: list[Section]) -> str:
    """Markdown with formulas for KaTeX or MathJax."""
    return _blocks(sections, "### %s", "$$\n\\begin{aligned}\n%s\n\\end{aligned}\n$$", "\n\n")


WRITERS = {"text": to_text, "latex": to_latex, "markdown": to_markdown}


def _parts(
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


def _text_line(line: Line) -> Box:
    """Rows of a formula; it is broken before an equals sign where it would be too wide."""
    sides: list[list[Box]] = [[]]
    for box in _parts(line, lambda formula: [to_unicode(formula)], plain_number, matrix_box):
        if box == ["="]:
            sides.append([])
        sides[-1].append(box)
    rows: Box = []
    current = beside(sides[0])
    indent = len(current[0])
    for side in map(beside, sides[1:]):
        if len(current[0]) + 1 + len(side[0]) > WIDTH - 2 and len(current[0]) > indent:
            rows += current
            current = [" " * indent]
        current = beside([current, side])
    if line.remark and len(current[0]) + len(line.remark) > WIDTH - 4:
        return [*rows, *current, f"{' ' * indent}  {line.remark}"]
    return [*rows, *(beside([current, [f"  {line.remark}"]]) if line.remark else current)]


def _blocks(sections: list[Section], heading: str, environment: str, separator: str) -> str:
    """Headings, formulas in environments and paragraphs."""
    blocks = []
    for section in sections:
        blocks.append(heading % section.title.replace("φ", r"$\varphi$"))
        lines = []
        for line in section.lines:
            parts = _parts(line, str, _latex_number, _latex_matrix)
            parts[parts.index("=")] = "&="
            remark = line.remark.replace("\N{MULTIPLICATION SIGN}", r"$\times$").replace("\N{MINUS SIGN}", "$-$")
            lines.append("  " + " ".join(parts) + (rf" && \text{{{remark}}}" if remark else ""))
        blocks += [environment % " \\\\\n".join(lines)] * bool(lines) + ["\n\n".join(section.text)] * bool(section.text)
    return separator.join(blocks) + "\n"


def _latex_matrix(cells: list[list[str]]) -> str:
    return r"\begin{pmatrix} " + r" \\ ".join(map(" & ".join, cells)) + r" \end{pmatrix}"


def _latex_number(value: Number) -> str:
    if isinstance(value, Fraction) and value.denominator > 1:
        return f"{'-' * (value < 0)}\\tfrac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    text = plain_number(value).replace("\N{MINUS SIGN}", "-")
    return re.sub(r"e([+-])0*(\d+)", lambda m: rf" \cdot 10^{{{m[1].replace('+', '')}{m[2]}}}", text)
