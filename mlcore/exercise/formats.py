"""Sections of formulas, in a subset of LaTeX, and numbers; as Unicode text, LaTeX and Markdown.

Formulas that are too wide are broken before an equals sign, or before another sign where that is not enough.
"""

import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from mlcore.exercise.functions import Number
from mlcore.templates import fill

WIDTH = 80  # of text
MATRIX_WIDTHS = (58, 40, 20, 0)  # that are shown: the largest one where there is room beside it
PAGE, LETTER, GAP = 345, 6.5, 10  # points: a line of LaTeX's article class, a letter, and between columns of a matrix
MAX_ROWS = 24  # of a matrix on a page
MAX_FRACTION = 10  # characters; a longer fraction is shown as a decimal
SYMBOLS = {
    r"\varphi": "φ", r"\psi": "ψ", r"\zeta": "ζ", r"\sigma": "σ", r"\lambda": "λ", r"\eta": "η", r"\delta": "δ",
    r"\varepsilon": "ε", r"\partial ": "∂", r"\hat{y}": "ŷ", r"\odot": "⊙", r"\cdot": "·", r"\sum": "Σ", r"\ge ": "≥ ",
    r"\le ": "≤ ",
    r"^\top": "ᵀ", r"\tanh": "tanh", r"\max": "max", r"\log": "log", r"\;": "", r"\mapsto": "↦", r"\frac{1}{2}": "½",
    r"\lVert ": "‖", r" \rVert": "‖", "^{*}": "*",
}  # fmt: skip
SUBSCRIPTS = str.maketrans("0123456789jks", "₀₁₂₃₄₅₆₇₈₉ⱼₖₛ")
SUPERSCRIPTS = str.maketrans("0123456789-z", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᶻ")
BRACED = r"\{((?:[^{}]|\{[^{}]*\})*)\}"  # braces within braces, one deep

Box = list[str]  # lines of one width
Part = str | np.ndarray  # a formula, or numbers of shape (rows, columns)


class Line(NamedTuple):
    """One formula, from left to right, and a remark on it, such as the shape of the result."""

    parts: Sequence[Part]
    remark: str = ""  # with formulas between dollar signs

    @property
    def signs(self) -> list[str]:
        """The parts that are formulas, and blanks for numbers."""
        return [part if isinstance(part, str) else "" for part in self.parts]


@dataclass
class Section:
    """A step of the derivation with its title."""

    title: str
    lines: list[Line] = field(default_factory=list)
    text: list[str] = field(default_factory=list)  # paragraphs below the lines, with formulas between dollar signs

    def add(self, *parts: Part, remark: str = "") -> None:
        self.lines.append(Line(parts, remark))


class Style(NamedTuple):
    """How numbers are shown: fractions as they are where they are short, or ``decimals`` with so many ``digits``."""

    digits: int = 6
    decimals: bool = False

    def text(self, value: Number | None) -> str:
        """The number, with the minus sign of typography; ? for one that is left open."""
        return "?" if value is None else self.ascii(value).replace("-", "\N{MINUS SIGN}")

    def ascii(self, value: Number) -> str:
        """The number as programs read it."""
        if isinstance(value, int | Fraction) and (not self.decimals or value.denominator == 1):
            text = str(Fraction(value))
            if len(text) <= MAX_FRACTION:
                return text
        try:
            return f"{float(value) + 0.0:.{self.digits}g}"
        except OverflowError:
            return f"{Decimal(Fraction(value).numerator) / Decimal(Fraction(value).denominator):.{self.digits}g}"


STYLE = Style()


class Shown:
    """A base of what notebooks show as formulas, for MathJax or for LaTeX."""

    def formulas(self) -> "Formulas | None":
        """The sections; None if there are none."""
        raise NotImplementedError

    def _repr_html_(self) -> str | None:
        return to_html(found) if (found := self.formulas()) else None

    def _repr_latex_(self) -> str | None:
        return to_latex(found) if (found := self.formulas()) else None


class Formulas(list[Section], Shown):
    """Sections, and how numbers in them are shown."""

    def __init__(self, sections: Iterable[Section], style: Style = STYLE) -> None:
        super().__init__(sections)
        self.style = style

    def formulas(self) -> "Formulas":
        return self


def to_text(sections: Formulas) -> str:
    """Aligned Unicode for a terminal of 80 columns; a matrix too wide for it is shown by its shape."""
    lines = []
    for section in sections:
        lines += [_spoken(section.title), ""]
        for line in section.lines:
            lines += [f"  {row}".rstrip() for row in _text_line(line, sections.style)]
        for paragraph in section.text:
            lines += textwrap.wrap(_spoken(paragraph), WIDTH, initial_indent="  ", subsequent_indent="      ")
        lines.append("")
    if any(re.search(r"\[\d+ \N{MULTIPLICATION SIGN} \d+\]", line) for line in lines):
        lines.append("Matrices that are too wide are shown by their shapes, such as [3 \N{MULTIPLICATION SIGN} 40].")
    return "\n".join(lines).rstrip() + "\n"


def to_latex(sections: Formulas) -> str:
    """A fragment that compiles with amsmath."""
    return _blocks(sections, r"\paragraph{%s}", "\\begin{align*}\n%s\n\\end{align*}", "\n")


def to_document(fragment: str) -> str:
    """A LaTeX document that compiles as it is."""
    return fill("document.tex.j2", str, body=fragment)


def to_html(sections: Formulas) -> str:
    """HTML with formulas for MathJax, as in notebooks and in Moodle."""
    delimited = partial(re.sub, r"\$(.*?)\$", r"\\(\1\\)")  # by those of MathJax
    rows = partial(_latex_rows, style=sections.style)
    return fill("sections.html", sections=sections, rows=rows, delimited=delimited)


def to_markdown(sections: Formulas) -> str:
    """Markdown with formulas for KaTeX or MathJax."""
    return _blocks(sections, "### %s", "$$\n\\begin{aligned}\n%s\n\\end{aligned}\n$$", "\n\n")


WRITERS = {"text": to_text, "latex": to_latex, "markdown": to_markdown}


def of_values(title: str, values: Mapping[str, np.ndarray]) -> Formulas:
    """Matrices and columns by their symbols."""
    section = Section(title)
    for symbol, array in values.items():
        section.add(symbol, "=", np.array(array, object).reshape(len(array), -1))
    return Formulas([section])


def _parts(
    line: Line, formula: Callable[[str], Any], number: Callable[[Number], str], matrix: Callable[[list[list[str]]], Any]
) -> list[Any]:
    """The parts of a line; a negative number that does not follow an equals sign is put in brackets."""
    parts: list[Any] = []
    opening, follows_number = True, False
    for part in line.parts:
        if isinstance(part, str):
            parts.append(formula(part))
        elif part.size > 1:
            parts.append(matrix([[number(value) for value in row] for row in part]))
        else:
            text = number(part.item())
            text = f"({text})" if part.item() < 0 and not opening else text
            parts.append(formula(rf"\cdot {text}" if follows_number else text))
        opening = isinstance(part, str) and part == "="
        follows_number = not isinstance(part, str) and part.size == 1
    return parts


def _rows(line: Line, widths: Sequence[float], limit: float) -> list[slice]:
    """The parts that go on each row: breaks are before "=", and before other signs where a side alone is too wide."""
    signs, first = line.signs, line.signs.index("=")
    indent, places = sum(widths[:first]), [i for i in range(first + 1, len(signs)) if signs[i] == "="]
    sides = zip([first, *places], [*places, len(widths)], strict=True)
    wide = [side for side in sides if indent + sum(widths[slice(*side)]) > limit]
    places += [i for start, end in wide for i in range(start + 1, end) if signs[i] in ("+", "-", r"\odot")]
    rows, start = [], 0
    for place, end in pairwise([*sorted(places), len(widths)]):
        if sum(widths[start:end]) + (indent if start else 0) > limit and place > start:
            rows.append(slice(start, place))
            start = place
    return [*rows, slice(start, len(widths))]


def _text_line(line: Line, style: Style) -> Box:
    for widest in MATRIX_WIDTHS:
        boxes = _parts(line, lambda formula: [to_unicode(formula)], style.text, partial(fitting, widest=widest))
        widths = [1 + terminal_width(box[0]) for box in boxes]
        rows = _rows(line, widths, WIDTH - 2)
        indent = [" " * (sum(widths[: line.signs.index("=")]) - 1)]
        if all(sum(widths[row]) + len(indent[0]) * bool(row.start) < WIDTH for row in rows):
            break
    lines: Box = []
    for row in rows:
        lines += lines and beside([indent, *boxes[row]]) or beside(boxes[row])
    if not line.remark:
        return lines
    remark = _spoken(line.remark)
    if len(lines[-1]) + len(remark) > WIDTH - 4:
        return [*lines, f"{indent[0]}  {remark}"]
    last = len(beside(boxes[row]))
    return [*lines[:-last], *beside([lines[-last:], [f"  {remark}"]])]


def _blocks(sections: Formulas, heading: str, environment: str, separator: str) -> str:
    """Headings, formulas in environments and paragraphs."""
    blocks = []
    for section in sections:
        blocks.append(heading % section.title)
        rows = [f"  {row}" for row in _latex_rows(section, sections.style)]
        blocks += [environment % " \\\\\n".join(rows)] * bool(rows)
        blocks += ["\n\n".join(section.text)] * bool(section.text)
    return separator.join(blocks) + "\n"


def _latex_rows(section: Section, style: Style) -> list[str]:
    """The lines of a section, aligned at "=", each broken into rows that fit a page."""
    lines = [_latex_parts(line, style) for line in section.lines]
    left = [sum(widths[: line.signs.index("=")]) for line, (_, widths) in zip(section.lines, lines, strict=True)]
    rows: list[str] = []
    for line, (parts, widths), own in zip(section.lines, lines, left, strict=True):
        room = PAGE - max(left) + own
        places = _rows(line, widths, room)
        parts[line.signs.index("=")] = "&="
        found = [" ".join(parts[row]) for row in places]
        found[1:] = [f"&{row}" if row.startswith("=") else rf"&\quad {row}" for row in found[1:]]
        if line.remark:
            remark = line.remark.replace("\N{MULTIPLICATION SIGN}", r"$\times$")
            used = sum(widths[places[-1]]) + own * (len(places) > 1) + LETTER * (3 + len(line.remark))
            found += [r"&"] * (used > room)
            found[-1] += rf" \quad \text{{{remark}}}"
        rows += found
    return rows


def _latex_parts(line: Line, style: Style) -> tuple[list[str], list[float]]:
    """The parts in LaTeX, with about the width of each in points; a matrix too large for a page becomes its shape."""

    def number(value: Number) -> str:
        text = style.ascii(value)
        if "/" in text:
            numerator, denominator = text.removeprefix("-").split("/")
            return f"{'-' * text.startswith('-')}\\tfrac{{{numerator}}}{{{denominator}}}"
        return re.sub(r"e([+-])0*(\d+)", lambda m: rf" \cdot 10^{{{m[1].replace('+', '')}{m[2]}}}", text)

    def matrix(cells: list[list[str]]) -> tuple[str, float]:
        width = 2 * GAP + sum(GAP + LETTER * max(map(_letters, column)) for column in zip(*cells, strict=True))
        if width > PAGE * 3 / 4 or len(cells) > MAX_ROWS:
            return rf"[{len(cells)} \times {len(cells[0])}]", 12 * LETTER
        return r"\begin{pmatrix} " + r" \\ ".join(map(" & ".join, cells)) + r" \end{pmatrix}", width

    rendered = _parts(line, lambda formula: (formula, LETTER * (1 + _letters(formula))), number, matrix)
    return [part for part, _ in rendered], [width for _, width in rendered]


def _letters(formula: str) -> int:
    """About how wide a formula is printed."""
    return len(to_unicode(re.sub(r"\\t?frac", r"\\frac", formula)))


def _spoken(paragraph: str) -> str:
    """The paragraph with the formulas between its dollar signs as Unicode."""
    return re.sub(r"\$(.*?)\$", lambda match: to_unicode(match[1]), paragraph)


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
    text = re.sub(r"_\{([\djks]+)\}|_([\djks])", lambda match: (match[1] or match[2]).translate(SUBSCRIPTS), text)
    text = re.sub(r"_\{(\w+)\}", r"_\1", text)
    text = re.sub(r"\^\{([^{}]*ŷ[^{}]*|[^{}]*[^-\dz{}][^{}]*)\}", r"^\1", text)
    text = re.sub(r"\^\{([^{}]*)\}|\^(\d)", lambda match: (match[1] or match[2]).translate(SUPERSCRIPTS), text)
    text = text.replace(" / ∂", "/∂").replace("\0", "_").replace("-", "\N{MINUS SIGN}")
    return re.sub(r" +", " ", re.sub(r"[{}]", "", text)).strip()


def fitting(cells: Sequence[Sequence[str]], widest: int) -> Box:
    """Rows in brackets, one below the other, in aligned columns, or their shape if they are too wide."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    box = ["[" + "  ".join(map(str.rjust, row, widths)) + "]" for row in cells]
    return box if len(box[0]) <= widest else [f"[{len(cells)} \N{MULTIPLICATION SIGN} {len(cells[0])}]"]


def matrix_text(array: np.ndarray, style: Style = STYLE) -> str:
    """Rows in brackets, one below the other, in aligned columns, as many at a time as fit; a vector is one row."""
    cells = [list(map(style.text, row)) for row in np.atleast_2d(array)]
    widths, starts = [2 + max(map(len, column)) for column in zip(*cells, strict=True)], [0]
    for column in range(1, len(widths)):
        starts += [column] * (sum(widths[starts[-1] : column + 1]) > MATRIX_WIDTHS[0])
    lines: Box = []
    for start, end in pairwise([*starts, len(widths)]):
        lines += [f"columns {start + 1} to {end}:"] * (len(starts) > 1)
        lines += fitting([row[start:end] for row in cells], WIDTH)
    return "\n".join(lines)


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
