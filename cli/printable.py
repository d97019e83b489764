"""Text that anybody may have written, made safe for a terminal."""

import unicodedata


def printable(text: str) -> str:
    """The text with control characters replaced, except line feeds: nothing in it can move the cursor."""
    if text.isprintable():
        return text
    return "".join(letter if _is_harmless(letter) else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _is_harmless(letter: str) -> bool:
    """Whether a terminal shows it in its place: also line feeds, any space, joiners, and emoji newer than Python."""
    return letter.isprintable() or letter in "\n\u200c\u200d" or unicodedata.category(letter) in ("Zs", "Cn", "Co")
