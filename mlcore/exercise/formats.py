"""Sections of formulas, in a subset of LaTeX, and numbers; as Unicode text, LaTeX and Markdown."""

import re
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mlcore.exercise.network import Number

WIDTH = 80
SYMBOLS = {
    r"\varphi": "φ", r"\sigma": "σ", r"\delta": "δ", r"\partial ": "∂", r"\hat{y}": "ŷ", r"\odot": "⊙", r"\cdot": "·",
    r"\sum": "Σ", r"^\top": "ᵀ", r"\tanh": "tanh", r"\max": "max", r"\log": "log", r"\;": "", r"\mapsto": "↦",
    r"\frac{1}{2}": "½",
}  # fmt: skip
SUBSCRIPTS = str.maketrans("0123456789ks", "₀₁₂₃₄₅₆₇₈₉ₖₛ")
SUPERSCRIPTS = str.maketrans("0123456789-z", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᶻ")
BRACED = r"\{((?:[^{}]|\{[^{}]*\})*)\}"  # braces within braces, one deep


Box = list[str]  # lines of one width
Part = str | np.ndarray  # a formula, or numbers of shape (rows, columns)


class Line(NamedTuple):
    """One formula, from left to right, and a remark on it, such as the shape of the result."""

    parts: Sequence[Part]
    remark: str = ""


@dataclass
class Section:
    """A step of the derivation with its title."""

    title: str
    lines: list[Line] = field(default_factory=list)
    text: list[str] = field(default_factory=list)  # paragraphs below the lines, with formulas between dollar signs

    def add(self, *parts: Part, remark: str = "") -> None:
        """Append a line."""
        self.lines.append(Line(parts, remark))


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

    def matrix(cells: list[list[str]]) -> str:
        return r"\begin{pmatrix} " + r" \\ ".join(map(" & ".join, cells)) + r" \end{pmatrix}"

    blocks = []
    for section in sections:
        blocks.append(heading % section.title.replace("φ", r"$\varphi$"))
        lines = []
        for line in section.lines:
            parts = _parts(line, str, _latex_number, matrix)
            parts[parts.index("=")] = "&="
            remark = line.remark.replace("\N{MULTIPLICATION SIGN}", r"$\times$").replace("\N{MINUS SIGN}", "$-$")
            lines.append("  " + " ".join(parts) + (rf" && \text{{{remark}}}" if remark else ""))
        blocks += [environment % " \\\\\n".join(lines)] * bool(lines) + ["\n\n".join(section.text)] * bool(section.text)
    return separator.join(blocks) + "\n"


def _latex_number(value: Number) -> str:
    if isinstance(value, Fraction) and value.denominator > 1:
        return f"{'-' * (value < 0)}\\tfrac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    text = plain_number(value).replace("\N{MINUS SIGN}", "-")
    return re.sub(r"e([+-])0*(\d+)", lambda m: rf" \cdot 10^{{{m[1].replace('+', '')}{m[2]}}}", text)


def plain_number(value: Number) -> str:
    """A fraction as it is, another number with six digits; with the minus sign of typography."""
    text = str(value) if isinstance(value, Fraction) else f"{value + 0.0:.6g}"
    return text.replace("-", "\N{MINUS SIGN}")


def to_unicode(formula: str) -> str:
    """A formula of the LaTeX subset that derivations use, as Unicode text on one line.

    Example:
        >>> to_unicode(r"\\frac{\\partial J}{\\partial W_{1}} = \\delta_{1} x^\\top")
        '∂J/∂W₁ = δ₁ xᵀ'
    """
    text = re.sub(r"\\text\{(.*?)\}", r"\1", formula)
    text = re.sub(r"\\mathrm\{(.*?)\}", lambda match: match[1].replace(r"\_", "\0"), text)
    for command, symbol in SYMBOLS.items():
        text = text.replace(command, symbol)
    text = re.sub(rf"\\frac{BRACED}{BRACED}", r"\1/\2", text)
    text = re.sub(r"_\{(\w+)\}|_(\w)", lambda match: (match[1] or match[2]).translate(SUBSCRIPTS), text)
    text = re.sub(r"\^\{([^{}]*ŷ[^{}]*)\}", r"^\1", text)
    text = re.sub(r"\^\{([^{}]*)\}|\^(\d)", lambda match: (match[1] or match[2]).translate(SUPERSCRIPTS), text)
    text = text.replace(" / ∂", "/∂").replace("\0", "_").replace("-", "\N{MINUS SIGN}")
    return re.sub(r" +", " ", text).strip()


def matrix_box(cells: Sequence[Sequence[str]]) -> Box:
    """Rows in brackets, one below the other, in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["[" + "  ".join(map(str.rjust, row, widths)) + "]" for row in cells]


def beside(boxes: Sequence[Box]) -> Box:
    """Boxes next to each other, centred on one line."""
    above = max((len(box) - 1) // 2 for box in boxes)
    tall = above + 1 + max(len(box) // 2 for box in boxes)
    columns = []
    for box in boxes:
        top, width = above - (len(box) - 1) // 2, max(map(terminal_width, box))
        lines = [*[""] * top, *box, *[""] * (tall - top - len(box))]
        columns.append([pad(line, width) for line in lines])
    return list(map(" ".join, zip(*columns, strict=True)))


def pad(text: str, width: int) -> str:
    """The text with blanks up to a width in a terminal."""
    return text + " " * (width - terminal_width(text))


def terminal_width(text: str) -> int:
    """Cells of a terminal that the text takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
