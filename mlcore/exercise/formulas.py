"""Formulas in a subset of LaTeX, and numbers, as Unicode text."""

import re
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
