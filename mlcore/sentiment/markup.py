"""An explanation as HTML: coloured words, and a page that needs nothing else."""

from collections.abc import Sequence
from html import escape

from mlcore.sentiment.explanation import Explanation

FOR, AGAINST = "26,160,80", "220,60,50"  # red, green, blue
STRONGEST = 0.6  # opacity of the strongest word: text of either colour stays legible on it
BAR = 240  # pixels
STYLE = """
:root { color-scheme: light dark }
body { max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .1rem .8rem .1rem 0; text-align: left }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.bar { display: inline-block; height: .7em }
article { border-top: 1px solid #8888; padding-top: .5rem }
""".strip()


def coloured_words(explanation: Explanation) -> str:
    """The words of a text in HTML, as spans with a background: green for the explained output, red against it.

    The stronger the contribution, in relation to the largest one, the stronger the colour; it lets the page's own
    background through. A word that the model does not know is faint. Everything that came from the text is escaped.
    """
    largest = max((abs(word.contribution) for word in explanation.words), default=0.0)
    pieces: list[str] = []
    for word in explanation.words:
        if pieces and needs_space(before=explanation.words[len(pieces) - 1].word, word=word.word):
            pieces[-1] += " "
        opacity = STRONGEST * abs(word.contribution) / largest if largest else 0.0
        style = f"background:rgba({FOR if word.contribution > 0 else AGAINST},{opacity:.3f})"
        title = f"{word.contribution:+.4g}"
        if not word.known:
            style, title = "opacity:.5", "unknown"
        pieces.append(f'<span style="{style}" title="{title}">{escape(word.word)}</span>')
    return "".join(pieces)


def needs_space(before: str, word: str) -> bool:
    """Whether people write a space between these tokens."""
    return word not in (".", ",", "!", "?", ";", ":", ")") and before != "("


def page(explanations: Sequence[Explanation], number: int) -> str:
    """A self-contained HTML page of explanations, each with its ``number`` strongest features."""
    articles = "\n".join(_article(explanation, number) for explanation in explanations)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Explained predictions</title>\n<style>\n{STYLE}\n</style>\n<h1>Explained predictions</h1>\n"
        f"<p>Green speaks for the explained output, red against it; the stronger, the more. Faint words are unknown "
        f"to the model.</p>\n{articles}\n</html>\n"
    )


def _article(explanation: Explanation, number: int) -> str:
    changes = {effect.word: effect.change for effect in explanation.without}
    shown, rest = explanation.features[:number], explanation.features[number:]
    largest = max((abs(share.contribution) for share in shown), default=0.0)
    rows = [
        _row(share.feature, str(share.count), share.contribution, largest, changes.get(share.feature))
        for share in shown
    ]
    if rest:
        rows.append(_row(f"({len(rest):,} more)", "", sum(share.contribution for share in rest)))
    rows += [_row("constant", "", explanation.constant), _row("sum", "", explanation.logit)]
    head = "<tr><th>feature<th class=number>times<th class=number>contribution<th><th class=number>change without it"
    known = f"{explanation.known_words:,} of {len(explanation.words):,} words known"
    return (
        f"<article>\n<h2>{escape(heading(explanation))}</h2>\n<p>{coloured_words(explanation)}</p>\n"
        f"<p>{known}</p>\n<table>\n{head}\n" + "\n".join(rows) + "\n</table>\n</article>"
    )


def heading(explanation: Explanation) -> str:
    """What was predicted, and what is explained where that is something else."""
    if explanation.label is None:
        return f"{explanation.logit:.4g}"
    predicted = f"{explanation.label} ({explanation.probability:.2%})"
    if explanation.output == explanation.label:
        return predicted
    return f"{predicted}; explained: {explanation.output} ({explanation.output_probability:.2%})"


def _row(name: str, times: str, contribution: float, largest: float = 0.0, change: float | None = None) -> str:
    bar = ""
    if largest:
        colour = f"rgb({FOR if contribution > 0 else AGAINST})"
        bar = f'<span class=bar style="width:{BAR * abs(contribution) / largest:.0f}px;background:{colour}"></span>'
    without = "" if change is None else f"{change:+.4f}"
    return (
        f"<tr><td>{escape(name)}<td class=number>{times}<td class=number>{contribution:+.4f}"
        f"<td>{bar}<td class=number>{without}"
    )
