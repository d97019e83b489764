"""Formulas in a subset of LaTeX, and numbers, as Unicode text; and boxes of such text."""

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction

from mlcore.exercise.network import Number

SYMBOLS = {
    r"\varphi": "φ", r"\sigma": "σ", r"\delta": "δ", r"\partial ": "∂", r"\hat{y}": "ŷ", r"\odot": "⊙", r"\cdot": "·",
    r"\sum": "Σ", r"^\top": "ᵀ", r"\tanh": "tanh", r"\max": "max", r"\log": "log", r"\;": "", r"\mapsto": "↦",
    r"\frac{1}{2}": "½",
}  # fmt: skip
SUBSCRIPTS = str.maketrans("0123456789ks", "₀₁₂₃₄₅₆₇₈₉ₖₛ")
SUPERSCRIPTS = str.maketrans("0123456789-z", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᶻ")
BRACED = r"\{((?:[^{}]|\{[^{}]*\})*)\}"  # braces within braces, one deep


Box = list[str]  # lines of one width


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
