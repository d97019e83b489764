"""Text that anybody may have written, made safe for a terminal."""

import unicodedata

# How symbols are spelled where a stream cannot have them
ASCII = str.maketrans(
    {"φ": "phi", "σ": "sigma", "ŷ": "y_hat", "½": "1/2", "²": "^2", "δ": "delta", "∂": "d", "ᵀ": "^T", "Σ": "sum",
     "−": "-", "×": "x", "⊙": "*", "·": "*", "█": "#", "↦": "->", "→": "->", "│": "|", "±": "+-", "ψ": "psi",
     "●": "o", "├": "|", "┤": "|", "─": "-", "ₛ": "_s", "ₖ": "_k", "ⱼ": "_j", "ζ": "zeta", "λ": "lambda", "η": "eta",
     "ε": "eps", "‖": "|", "≥": ">=", "…": "..."}
    | dict(zip("╌╎►┌┐└┘", "-:>++++", strict=True))
    | {chr(0x2080 + digit): str(digit) for digit in range(10)}
)  # fmt: skip


def printable(text: str) -> str:
    """The text with control characters replaced, except line feeds: nothing in it can move the cursor."""
    if text.isprintable():
        return text
    return "".join(letter if _is_harmless(letter) else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _is_harmless(letter: str) -> bool:
    """Whether a terminal shows it in its place: also line feeds, any space, joiners, and emoji newer than Python."""
    return letter.isprintable() or letter in "\n\u200c\u200d" or unicodedata.category(letter) in ("Zs", "Cn", "Co")
