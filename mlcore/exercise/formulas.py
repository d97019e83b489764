"""Formulas in a subset of LaTeX, and numbers, as Unicode text."""

import re
from fractions import Fraction

UNICODE = {
    r"\varphi": "φ", r"\sigma": "σ", r"\delta": "δ", r"\partial": "∂", r"\hat{y}": "ŷ", r"\odot": "⊙", r"\cdot": "·",
    r"\sum": "Σ", r"\top": "ᵀ", r"\tanh": "tanh", r"\max": "max", r"\log": "log", r"\;": "", r"\mapsto": "↦",
}  # fmt: skip
SUBSCRIPTS = str.maketrans("0123456789ks", "₀₁₂₃₄₅₆₇₈₉ₖₛ")
SUPERSCRIPTS = str.maketrans("0123456789-z", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᶻ")

Value = Fraction | float


def plain_number(value: Value) -> str:
    """A fraction as it is, another number with six digits; with the minus sign of typography."""
    text = str(value) if isinstance(value, Fraction) else f"{value + 0.0:.6g}"
    return text.replace("-", "\N{MINUS SIGN}")


def to_unicode(formula: str) -> str:
    """A formula of the LaTeX subset that derivations use, as Unicode text on one line."""
    text = re.sub(r"\\text\{(.*?)\}", r"\1", formula)
    text = re.sub(r"\\mathrm\{(.*?)\}", lambda match: match[1].replace(r"\_", "\0"), text)
    for command, symbol in UNICODE.items():
        text = text.replace(command, symbol)
    text = text.replace(r"\frac{1}{2}", "½")
    text = re.sub(
        r"\\frac\{(.*?)\}\{((?:[^{}]|\{[^{}]*\})*)\}",
        lambda m: f"{m[1].replace(' ', '')}/{m[2].replace(' ', '')}",
        text,
    )
    text = re.sub(r"_\{?(\w+?)\}?(?![\w}])|_\{(\w+)\}", lambda m: (m[1] or m[2]).translate(SUBSCRIPTS), text)
    text = re.sub(
        r"\^\{([^{}]*)\}|\^(\w)",
        lambda m: "^" + m[1] if m[1] and "ŷ" in m[1] else (m[1] or m[2]).translate(SUPERSCRIPTS),
        text,
    )
    return re.sub(
        r" +",
        " ",
        text.replace("^ᵀ", "ᵀ")
        .replace("∂ ", "∂")
        .replace(" / ∂", "/∂")
        .replace("\0", "_")
        .replace("-", "\N{MINUS SIGN}"),
    ).strip()
