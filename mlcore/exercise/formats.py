"""Derivations as LaTeX, Markdown and text."""

import re
import textwrap
from collections.abc import Callable
from fractions import Fraction

from mlcore.exercise.derivation import Array, Derivation, Line
from mlcore.exercise.formulas import Value, plain_number, to_unicode

WIDTH = 80


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
            parts = _formatted(line, str, _latex_array)
            parts[parts.index("=")] = "&="
            remark = line.remark.replace("\N{MULTIPLICATION SIGN}", r"$\times$").replace("\N{MINUS SIGN}", "$-$")
            lines.append("  " + " ".join(parts) + (rf" && \text{{{remark}}}" if remark else ""))
        blocks += [environment % " \\\\\n".join(lines)] * bool(lines) + ["\n\n".join(section.text)] * bool(section.text)
    return blocks + derivation.footnotes


def _formatted(line: Line, formula: Callable, array: Callable) -> list:
    """The parts of a line in a format; a negative number inside a formula is put in brackets."""
    parts = []
    for number, part in enumerate(line.parts):
        if isinstance(part, str):
            parts.append(formula(part))
        else:
            single = len(part.rows) == 1 and len(part.rows[0]) == 1
            bracketed = single and part.rows[0][0] < 0 and line.parts[number - 1] != "="
            parts.append(array(part, bracketed))
    return parts


def _latex_array(array: Array, bracketed: bool = False) -> str:
    if len(array.rows) == 1 and len(array.rows[0]) == 1:
        number = _latex_number(array.rows[0][0])
        return f"({number})" if bracketed else number
    return (
        r"\begin{pmatrix} "
        + r" \\ ".join(" & ".join(map(_latex_number, row)) for row in array.rows)
        + r" \end{pmatrix}"
    )


def _latex_number(value: Value) -> str:
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


def _text_line(line: Line) -> list[str]:
    """Rows of a formula; it is broken before an equals sign where it would be too wide."""
    segments: list[list[list[str]]] = [[]]
    for part, box in zip(line.parts, _formatted(line, lambda formula: [to_unicode(formula)], _box), strict=True):
        if part == "=":
            segments.append([])
        segments[-1].append(box)
    rows: list[str] = []
    current = _beside(segments[0])
    indent = len(current[0])
    for segment in segments[1:]:
        box = _beside(segment)
        if len(current[0]) + 1 + len(box[0]) > WIDTH - 2 and len(current[0]) > indent:
            rows += current
            current = [" " * indent] * len(box)
        current = _beside([current, box])
    if line.remark:
        remark = [f"  {line.remark}"]
        if len(current[0]) + len(remark[0]) <= WIDTH - 2:
            current = _beside([current, remark])
        else:
            current = [*current, " " * indent + remark[0]]
    return [*rows, *current]


def _box(array: Array, bracketed: bool = False) -> list[str]:
    cells = [[plain_number(value) for value in row] for row in array.rows]
    if len(cells) == 1 and len(cells[0]) == 1:
        return [f"({cells[0][0]})" if bracketed else cells[0][0]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["[" + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + "]" for row in cells]


def _beside(boxes: list[list[str]]) -> list[str]:
    """Boxes of lines next to each other, centred on one line."""
    above = max((len(box) - 1) // 2 for box in boxes)
    below = max(len(box) - 1 - (len(box) - 1) // 2 for box in boxes)
    rows = [""] * (above + 1 + below)
    for number, box in enumerate(boxes):
        width, top = max(map(len, box)), above - (len(box) - 1) // 2
        for i in range(len(rows)):
            content = box[i - top] if top <= i < top + len(box) else ""
            rows[i] += " " * bool(number) + content.ljust(width)
    return rows


WRITERS = {"text": to_text, "latex": to_latex, "markdown": to_markdown}
