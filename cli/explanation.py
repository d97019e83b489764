"""``mlcore explain``, ``describe``, ``neighbors`` and ``vectors``: what a model has learned; and given vectors."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .output import Json, print_json
from .prediction import ModelFile

if TYPE_CHECKING:
    from mlcore.sentiment.description import Description
    from mlcore.sentiment.explanation import Explanation
    from mlcore.sentiment.neighbors import Neighborhood
    from mlcore.text.vectors import Coverage, Vectors
    from mlcore.text.vocabulary import WordTable

STANDARD_OUTPUT = Path("-")
NAME_WIDTH = 20
FORMULAS = {
    "logistic": "P = 1 / (1 + exp(−ŷ))    J = log(1 + exp(−s ŷ))",
    "softmax": "P = exp(ŷ) / Σ exp(ŷ)    J = −log P of the label",
    "squared": "J = ½ (y − ŷ)²",
}
HALF_BAR = 8  # columns on either side of 0
LEVELS = 3  # of strength; below the first a word has no colour
STYLES = {1: "green", 2: "bold green", 3: "bold black on green", -1: "red", -2: "bold red", -3: "bold white on red"}


def explain(
    model: ModelFile,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts.", show_default="one on standard input")
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Label to explain.", show_default="the predicted label")
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Number of features to show.")] = 15,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a web page instead.")] = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore explain sentiment.safetensors "A warm, funny film."

    Explain predictions. The contributions of the words and n-grams and a
    constant add up exactly to the logit; the last column shows how the logit
    changes when a word is left out. --json prints all of them.
    """
    from mlcore.files import check_outputs, write_beside
    from mlcore.sentiment.explanation import explain as explain_text
    from mlcore.sentiment.model_file import load_model

    from . import render

    if html is not None:
        check_outputs({"html": html}, [model])
    with render.compilation():
        loaded = load_model(model)
        explanations = [explain_text(loaded, text, output) for text in texts or [_standard_input()]]
    if html is not None:
        from mlcore.sentiment.report import explanation_page

        page = explanation_page(explanations, number).encode()
        write_beside(html, lambda file: file.write(page))
        render.say(f"Wrote {html}.")
    if as_json:
        print_json("explain", {"explanations": [found.to_dict() for found in explanations]})
    elif html is None:
        for i, found in enumerate(explanations):
            if i:
                render.show("")
            _show_explanation(found, number)


def describe(model: ModelFile, as_json: Json = False) -> None:
    """Example: mlcore describe sentiment.safetensors

    Show what a model file contains: the formulas with their shapes, the
    parameters, vocabulary, labels and settings, what it was trained on and how
    well it did, and the command that trains it again.
    """
    from mlcore.sentiment import description
    from mlcore.sentiment.model_file import load_model

    from . import render

    with render.compilation():
        found = description.describe(load_model(model), model)
    if as_json:
        print_json("describe", found)
    else:
        _show_description(found)


def neighbors(
    model: ModelFile,
    word: Annotated[str, typer.Argument(metavar="WORD", help="A word, or several words.")],
    number: Annotated[int, typer.Option(min=1, help="Number of neighbors to show.")] = 10,
    as_json: Json = False,
) -> None:
    """Example: mlcore neighbors sentiment.safetensors wonderful

    Find the words and n-grams whose embeddings point in the most similar
    direction (cosine), each with the score of a text with only this word.
    """
    from mlcore.sentiment import neighbors
    from mlcore.sentiment.model_file import load_model

    from . import render

    with render.compilation():
        found = neighbors.neighbors(load_model(model), word, number)
    if as_json:
        print_json("neighbors", found)
    else:
        _show_neighborhood(found)


def vectors(
    model: ModelFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write them, or - for standard output.")
    ],
) -> None:
    """Example: mlcore vectors sentiment.safetensors -o sentiment.vec

    Write the embedding of every word of a model in word2vec's text format: the
    first line holds the number of words and the width, each other line a word
    and its numbers, most frequent word first. The digits are enough to read
    the same float32 numbers again. --vectors and other programs read it.
    """
    from mlcore.files import check_outputs, write_beside
    from mlcore.sentiment.model_file import load_model
    from mlcore.text.vectors import write_vectors

    from . import render

    if output != STANDARD_OUTPUT:
        check_outputs({"output": output}, [model])
    with render.compilation():
        loaded = load_model(model)
    words, dim = loaded.features.words, loaded.settings.dim
    table = loaded.parameters.table[:, :dim]
    if output == STANDARD_OUTPUT:
        sys.stdout.write("")  # finds out whether it is closed
        write_vectors(words, table, sys.stdout.buffer)
    else:
        write_beside(output, lambda file: write_vectors(words, table, file))
        render.say(f"Wrote {output}: {len(words):,} words with {dim:,} numbers each.")
    if ngrams := len(loaded.features) - len(words):
        render.say(f"Left out {ngrams:,} n-grams: the format has only words.")


def _standard_input() -> str:
    """All of standard input as one text."""
    from . import render

    if sys.stdin is None:
        raise OSError("standard input is closed; give a text as an argument or on standard input")
    if sys.stdin.isatty():
        render.say("Type a text; Ctrl-D ends it.")
    content = sys.stdin.buffer.read()
    text = content.decode(errors="replace")
    if text.encode() != content:
        render.say("mlcore: standard input contains bytes that are not UTF-8; each is replaced.")
    return text


# Given vectors --------------------------------------------------------------------------------------------


def given_vectors(path: Path, words: "WordTable", dim: int, quiet: bool = False) -> "Vectors":
    """Read vectors for these words, and report progress on stderr."""
    from mlcore.text.vectors import read_vectors

    from . import render

    with render.Activity(f"Reading {path}", quiet) as activity:
        return read_vectors(path, words, dim, lambda lines: activity.update(f"Reading {path}: {lines:,} vectors"))


def coverage_sentence(source: str, coverage: "Coverage", duplicates: int) -> str:
    """How many of the words, and how much of the texts, have a vector."""
    words, tokens = coverage.words_found / max(coverage.words, 1), coverage.tokens_found / max(coverage.tokens, 1)
    sentence = (
        f"{source} has vectors for {coverage.words_found:,} of {coverage.words:,} words ({words:.1%}), which make up "
        f"{tokens:.1%} of the texts"
    )
    if coverage.words_lower_cased:
        sentence += f"; {coverage.words_lower_cased:,} of them only in another case"
    if duplicates:
        sentence += f"; skipped {duplicates:,} lines that repeat a word"
    return sentence + "."


# Tables ---------------------------------------------------------------------------------------------------


def _show_explanation(found: "Explanation", n: int) -> None:
    """The prediction, the text with its words coloured or marked, the strongest features, and the sum."""
    from .render import flow, has_colour, number, paragraph, shortened, show

    show(found.heading, "bold")
    if found.words:
        show("")
        flow(_styled_words(found))
        name = shortened(found.output or "a higher number", NAME_WIDTH)
        marks = f"+ for {name}, − against it, one to three by strength; [unknown]"
        show(f"green: for {name}, red: against it, dim: unknown" if has_colour() else marks, "dim")
    show("")
    if not found.known_words:
        show("No known words: the prediction is the default, the same for all such texts.", "bold yellow")
    else:
        known = f"{found.known_words:,} of {len(found.words):,} words known"
        show(f"{known}, {found.units_on:,} of {found.units:,} hidden units on", "dim")
        _show_features(found, n)
    total = sum(feature.contribution for feature in found.features)
    name = "predicted number" if found.output is None else "logit"
    constant, contributions, logit = (number(value, "+.4f") for value in (found.constant, total, found.logit))
    answer = "" if found.output is None else f" → {found.output} {found.output_probability:.2%}"
    paragraph(f"constant {constant} + contributions {contributions} = {name} {logit}{answer}", "bold")


def _styled_words(found: "Explanation") -> Iterator[tuple[str, str]]:
    """The words with their styles; where there is no colour, with one to three signs behind them."""
    from .render import has_colour

    largest = max(abs(word.contribution) for word in found.words)
    colour = has_colour()
    for i, (word, space) in enumerate(found.spaced_words()):
        strength = round(LEVELS * word.contribution / largest) if largest else 0
        if i and (space or not colour):
            yield " ", ""
        if not word.known:
            yield (word.word, "dim") if colour else (f"[{word.word}]", "")
        elif colour:
            yield word.word, STYLES.get(strength, "")
        else:
            yield word.word + ("+" if strength > 0 else "−") * abs(strength), ""


def _show_features(found: "Explanation", n: int) -> None:
    from .render import number, shortened, table

    shown, rest = found.features[:n], found.features[n:]
    largest = max(abs(feature.contribution) for feature in shown) or 1.0
    rows: list[tuple[str | tuple[str, str], ...]] = []
    for feature in shown:
        share, change = feature.contribution / largest, found.change_without(feature.feature)
        bar = _diverging_bar(share), "green" if share > 0 else "red"
        cells = f"{feature.count:,}", number(feature.contribution, "+.4f"), bar
        rows.append((shortened(feature.feature, NAME_WIDTH), *cells, "" if change is None else number(change, "+.4f")))
    if rest:
        total = sum(feature.contribution for feature in rest)
        rows.append((f"({len(rest):,} more)", "", number(total, "+.4f"), "", ""))
    table(("feature", "times", "contribution", "", "without it"), rows)


def _diverging_bar(share: float) -> str:
    """A bar to the right for a share of 1 or less, to the left for a negative one."""
    blocks = "█" * (max(round(HALF_BAR * abs(share)), 1) if share else 0)
    return f"{blocks if share < 0 else '':>{HALF_BAR}}│{blocks if share > 0 else '':<{HALF_BAR}}"


def _show_description(found: "Description") -> None:
    """The file, the formulas with their shapes, the vocabulary, and how the model was trained."""
    from .render import paragraph, show

    file, settings = found.file or {}, found.settings
    size = f": {file['bytes']:,} bytes, sha256 {file['sha256']}" if file.get("bytes") is not None else ""
    paragraph(f"{file.get('path')}{size}", "bold")
    (features, dim), (hidden, _), (outputs, _) = (found.shapes[name] for name in ("table", "W1", "W2"))
    kind = "fixed" if settings["freeze_embedding"] else "trainable"
    unit = "words" if settings["ngrams"] == 1 else "words and n-grams"
    show(f"\nE = 1/N Σ E_w       {kind} embedding {features:,} × {dim}, mean over the N known")
    show(f"                    {unit} of a text; {'each counts once' if settings['binary'] else 'repeats count'}")
    show(f"H = φ(W1 E + b1)    W1 {hidden} × {dim}, b1 {hidden}, φ(z) = max(0, z)")
    show(f"ŷ = W2 H + b2       W2 {outputs} × {hidden}, b2 {outputs}")
    signs = f", s = 1 for {found.labels[1]}, −1 for {found.labels[0]}" if len(found.labels) == 2 else ""
    paragraph(FORMULAS[found.loss] + signs)
    show(f"{found.parameters:,} parameters")

    show("\nLabels and vocabulary", "bold")
    labels = ", ".join(found.labels[:20]) + (", ..." if len(found.labels) > 20 else "")
    paragraph(f"{len(found.labels):,} labels: {labels}" if found.labels else "no labels: it predicts a number")
    for part in found.vocabulary:
        name = "words" if part.words == 1 else f"{part.words}-grams"
        examples = ", ".join(f"'{feature}'" for feature in part.most_frequent)
        paragraph(f"{part.features:,} {name}" + (f"; the most frequent: {examples}" if examples else ""))

    show("\nTraining", "bold")
    texts = ", ".join(f"{split} {count:,}" for split, count in found.texts.items())
    show(f"texts: {texts or 'not recorded'}")
    for name, value in found.inputs.items():
        paragraph(f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")
    paragraph(f"fingerprint: {found.fingerprint or 'not recorded'}")
    if best := found.best:
        figures = [f"best epoch {best['epoch']} of {len(found.history)}", f"training loss {best['train_loss']:.4f}"]
        for column, text in (("dev_loss", "held-out loss {:.4f}"), ("dev_accuracy", "held-out accuracy {:.2%}")):
            figures += [text.format(best[column])] if best[column] is not None else []
        paragraph(", ".join(figures), "bold")
    else:
        show("epochs: not recorded")
    show("\nSettings", "bold")
    paragraph(", ".join(f"{name} {value}" for name, value in settings.items() if value is not None))
    show("\nThe command that trains it again", "bold")
    show(found.command)


def _show_neighborhood(found: "Neighborhood") -> None:
    from .render import number, shortened, show, table

    def score(logits: list[float]) -> str:
        """The logit with two labels, the number for a rating, and the largest of many logits with its label."""
        if len(found.labels) <= 2:
            return number(logits[0], "+.2f" if found.labels else ".4g")
        largest = max(range(len(logits)), key=logits.__getitem__)
        return f"{found.labels[largest]} {number(logits[largest], '+.2f')}"

    mean = f" (the mean of its {found.mean_of} features)" if found.mean_of > 1 else ""
    show(f"Nearest to {found.word}{mean}, {score(found.logits)}", "bold")
    columns = ("feature", "cosine", f"score for {found.labels[1]}" if len(found.labels) == 2 else "score")
    rows = ((shortened(n.feature, NAME_WIDTH), f"{n.cosine:.4f}", score(n.logits)) for n in found.neighbors)
    table(columns, rows, also_left=[-1])
