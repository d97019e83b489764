"""What people see of explanations, descriptions and neighbours."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlcore.sentiment.markup import heading, needs_space

from .render import Grid, flow, has_colour, out, paragraph, show

if TYPE_CHECKING:
    from mlcore.sentiment.description import Description
    from mlcore.sentiment.explanation import Explanation
    from mlcore.sentiment.neighbors import Neighborhood

HALF_BAR = 8  # columns on either side of 0
LONGEST_NAME = 20
LEVELS = 3  # of strength; below the first a word has no colour
STYLES = {1: "green", 2: "bold green", 3: "bold black on green", -1: "red", -2: "bold red", -3: "bold white on red"}


def explanation(found: "Explanation", number: int, first: bool) -> None:
    """The prediction, the text with its words coloured or marked, the strongest features, and the sum."""
    if not first:
        show("")
    show(heading(found), "bold")
    if found.words:
        show("")
        flow(_words(found))
        show(_legend(found), "dim")
    show("")
    if not found.known_words:
        show("No known word: this is the value at E = 0, which is the same for all such texts.", "bold yellow")
    else:
        known = f"{found.known_words:,} of {len(found.words):,} words known"
        show(f"{known}, {found.units_on:,} of {found.units:,} hidden units on", "dim")
        _features(found, number)
    _sum(found)


def _words(found: "Explanation") -> Iterator[tuple[str, str]]:
    """The words with their styles; where there is no colour, with one to three signs behind them."""
    largest = max(abs(word.contribution) for word in found.words)
    before, colour = None, has_colour()
    for word in found.words:
        strength = round(LEVELS * word.contribution / largest) if largest else 0
        if before is not None and (not colour or needs_space(before, word.word)):
            yield " ", ""
        if not word.known:
            yield (word.word, "dim") if colour else (f"[{word.word}]", "")
        elif colour:
            yield word.word, STYLES.get(strength, "")
        else:
            yield word.word + ("+" if strength > 0 else "−") * abs(strength), ""
        before = word.word


def _legend(found: "Explanation") -> str:
    name = shortened(found.output or "a higher number")
    if has_colour():
        return f"green: for {name}, red: against it, dim: unknown"
    return f"+ for {name}, − against it, one to three by strength; [unknown]"


def _features(found: "Explanation", number: int) -> None:
    changes = {effect.word: effect.change for effect in found.without}
    shown, rest = found.features[:number], found.features[number:]
    largest = max(abs(share.contribution) for share in shown)
    grid = Grid("feature", "times", "contribution", "", "without it")
    for share in shown:
        change = changes.get(share.feature)
        grid.add(
            shortened(share.feature),
            f"{share.count:,}",
            signed(share.contribution),
            (diverging_bar(share.contribution / largest if largest else 0), _colour(share.contribution)),
            "" if change is None else signed(change),
        )
    if rest:
        grid.add(f"({len(rest):,} more)", "", signed(sum(share.contribution for share in rest)), "", "")
    out.print(grid)


def _sum(found: "Explanation") -> None:
    total = sum(share.contribution for share in found.features)
    name = "the predicted number" if found.output is None else "logit"
    line = f"constant {signed(found.constant)} + contributions {signed(total)} = {name} {signed(found.logit)}"
    if found.output is not None:
        line += f" → {found.output} {found.output_probability:.2%}"
    paragraph(line, "bold")


def diverging_bar(share: float) -> str:
    """A bar to the right for a share of 1 or less, to the left for a negative one."""
    length = max(round(HALF_BAR * abs(share)), 1) if share else 0
    blocks = "█" * length
    return f"{blocks if share < 0 else '':>{HALF_BAR}}│{blocks if share > 0 else '':<{HALF_BAR}}"


def description(found: "Description", file: dict) -> None:
    """The file, the formulas with their shapes, the vocabulary, and where the model comes from."""
    size = "" if file["bytes"] is None else f": {file['bytes']:,} bytes, sha256 {file['sha256']}"
    paragraph(f"{file['path']}{size}", "bold")
    _formulas(found)
    _vocabulary(found)
    _origin(found)
    show("\nSettings", "bold")
    paragraph(", ".join(f"{name} {value}" for name, value in found.settings.items() if value is not None))
    show("\nThe command that trains it again", "bold")
    show(found.command)


def _formulas(found: "Description") -> None:
    (features, dim), (hidden, _), (outputs, _) = (found.shapes[name] for name in ("table", "W1", "W2"))
    once = "each counts once" if found.settings["binary"] else "repeats count"
    fixed = "fixed embedding" if found.settings["embedding"] == "fixed" else "trainable embedding"
    thing = "words" if found.settings["ngrams"] == 1 else "words and n-grams"
    show(f"\nE = 1/N Σ E_w       {fixed} {features:,} × {dim}, mean over the N known")
    show(f"                    {thing} of a text; {once}")
    show(f"H = φ(W1 E + b1)    W1 {hidden} × {dim}, b1 {hidden}, φ(z) = max(0, z)")
    show(f"ŷ = W2 H + b2       W2 {outputs} × {hidden}, b2 {outputs}")
    loss = {
        "logistic": "P = 1 / (1 + exp(−ŷ))    J = log(1 + exp(−s ŷ)), s = 1 for {last}, −1 for {first}",
        "softmax": "P = exp(ŷ) / Σ exp(ŷ)    J = −log P of the label",
        "squared": "J = ½ (y − ŷ)²",
    }[found.loss]
    paragraph(loss.format(first=(found.labels or [""])[0], last=(found.labels or [""])[-1]))
    show(f"{found.parameters:,} parameters")


def _vocabulary(found: "Description") -> None:
    show("\nLabels and vocabulary", "bold")
    labels = ", ".join(found.labels[:20]) + (", ..." if len(found.labels) > 20 else "")
    paragraph(f"{len(found.labels):,} labels: {labels}" if found.labels else "no labels: it predicts a number")
    for part in found.vocabulary:
        name = "words" if part.words == 1 else f"{part.words}-grams"
        examples = ", ".join(f"'{feature}'" for feature in part.most_frequent)
        paragraph(f"{part.features:,} {name}" + (f"; the most frequent: {examples}" if examples else ""))


def _origin(found: "Description") -> None:
    show("\nTraining", "bold")
    texts = ", ".join(f"{part} {count:,}" for part, count in found.texts.items())
    show(f"texts: {texts or 'not recorded'}")
    for name, value in found.inputs.items():
        paragraph(f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
    paragraph(f"fingerprint: {found.fingerprint or 'not recorded'}")
    if found.best is None:
        show("epochs: not recorded")
        return
    best = found.best
    figures = [f"best epoch {best['epoch']} of {len(found.history)}", f"training loss {best['train_loss']:.4f}"]
    if best["dev_loss"] is not None:
        figures.append(f"held-out loss {best['dev_loss']:.4f}")
    if best["dev_accuracy"] is not None:
        figures.append(f"held-out accuracy {best['dev_accuracy']:.2%}")
    paragraph(", ".join(figures), "bold")


def neighborhood(found: "Neighborhood", labels: tuple[str, ...]) -> None:
    """A table of the neighbours, with what the network says of each alone."""
    mean = f" (the mean of its {found.mean_of} features)" if found.mean_of > 1 else ""
    show(f"Nearest to {found.word}{mean}, {_verdict(found.logits, labels)}", "bold")
    grid = Grid("feature", "cosine", _verdict_name(labels))
    grid.columns[-1].justify = "left"
    for neighbor in found.neighbors:
        grid.add(shortened(neighbor.feature), f"{neighbor.cosine:.4f}", _verdict(neighbor.logits, labels))
    out.print(grid)


def _verdict_name(labels: tuple[str, ...]) -> str:
    if not labels:
        return "prediction for it alone"
    return "logit of it alone" if len(labels) > 2 else f"logit of {labels[1]} for it alone"


def _verdict(logits: list[float], labels: tuple[str, ...]) -> str:
    """The logit with two labels, the number for a rating, and the largest of many logits with its label."""
    if not labels:
        return f"{logits[0]:.4g}".replace("-", "−")
    if len(labels) == 2:
        return f"{logits[0]:+.2f}".replace("-", "−")
    largest = max(range(len(logits)), key=logits.__getitem__)
    return f"{labels[largest]} {logits[largest]:+.2f}".replace("-", "−")


def signed(value: float) -> str:
    """A number with its sign and four decimals."""
    return f"{value:+.4f}".replace("-", "−")


def _colour(value: float) -> str:
    return "green" if value > 0 else "red"


def shortened(name: str) -> str:
    """The name, cut where it would widen a table."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."
