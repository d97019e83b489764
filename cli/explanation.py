"""``mlcore explain``, ``describe``, ``neighbors`` and ``vectors``: what a model has learned; and given vectors."""

from pathlib import Path
from typing import Annotated, Any

import typer

from mlcore.errors import counted
from mlcore.files import check_files
from mlcore.sentiment import explanation, model_file
from mlcore.sentiment import report as reports
from mlcore.text import labels as label_names
from mlcore.text import vectors as word_vectors
from mlcore.text import vocabulary

from . import render
from .options import Json, ModelFile, Output, option
from .output import PAGE, answer, kind_of, print_json, write_output

FEW_WITH_VECTORS = 0.5  # share of words: GloVe and fastText have 95% and more, and word2vec without punctuation 80%
VECTORS = rb"\A\d+ \d+\n"  # how such a file begins
FORMULAS = {  # of the probability, of the loss, and of its gradient in the outputs
    "logistic": ("P = 1 / (1 + exp(−ŷ))    ", "J = log(1 + exp ŷ) − y ŷ", "σ(ŷ) − y"),
    "softmax": ("P = exp(ŷ) / Σ exp(ŷ)    ", "J = log Σ exp ŷ − ŷ of the label", "softmax(ŷ) − y"),
    "squared": ("", "J = ½ (y − ŷ)²", "ŷ − y"),
}
MAX_LABELS = 20
HALF_BAR = 8  # columns on either side of 0
LEVELS = 3  # of strength: signs behind a word


def explain(
    model: ModelFile,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT", help="Texts.")],
    output: Annotated[str | None, option("LABEL", "Label to explain.", default="predicted")] = None,
    number: Annotated[int, typer.Option(min=1, help="Number of features to show.")] = 15,
    html: Annotated[Path | None, option("PATH", "Write a web page instead.")] = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore explain sentiment.safetensors "A warm, funny film."

    Explain predictions. The contributions of the words and n-grams and a
    constant add up exactly to the logit; the last column shows how the logit
    changes when a word is left out. --json prints all of them.
    """
    check_files([model], html=(html, PAGE))
    for text in filter(kind_of, texts):
        render.say(f"{text} is a {kind_of(text)}, but its name is explained as a text; mlcore predict reads files.")
    loaded = model_file.load_model(model)
    explanations = [explanation.explain(loaded, text, output) for text in texts]
    if html:
        write_output(html, reports.explanation_page(explanations, number).encode())
    if as_json:
        print_json("explain", {"explanations": [found.to_dict() for found in explanations]})
    elif not html:
        for i, found in enumerate(explanations):
            render.show("\n" * (i > 0) + found.heading, "bold")
            _show_explanation(found, number)


def describe(model: ModelFile, as_json: Json = False) -> None:
    """Example: mlcore describe sentiment.safetensors

    Show what a model file contains: the formulas with their shapes, the
    parameters, vocabulary, labels and settings, what it was trained on and how
    well it did, and the command that trains it again.
    """
    answer("describe", reports.describe(model_file.load_model(model), model), _show_description, as_json)


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
    answer("neighbors", explanation.neighbors(model_file.load_model(model), word, number), _show_neighborhood, as_json)


def vectors(model: ModelFile, output: Output) -> None:
    """Example: mlcore vectors sentiment.safetensors -o sentiment.vec

    Write the embedding of every word of a model in word2vec's text format: the
    first line holds the number of words and the width, each other line a word
    and its numbers, most frequent word first. The digits are enough to read
    the same float32 numbers again. --vectors and other programs read it.
    """
    check_files([model], output=(output, VECTORS))
    loaded = model_file.load_model(model)
    words, table = loaded.features.words, loaded.parameters.table[:, : loaded.settings.dim]
    write_output(output, lambda file: word_vectors.write_vectors(words, table, file))
    if ngrams := len(loaded.features) - len(words):
        render.say(f"Left out {counted(ngrams, 'n-gram')}: the format has only words.")


# Given vectors --------------------------------------------------------------------------------------------


def given_vectors(
    file: Path, words: "vocabulary.WordTable", dim: int | None, quiet: bool = False
) -> "word_vectors.Vectors":
    """Read vectors for these words, and report progress on stderr."""
    with render.Activity(f"Reading {file}", quiet) as activity:
        return word_vectors.read_vectors(file, words, dim, activity.counting("vectors"))


def say_coverage(vectors: "word_vectors.Vectors", coverage: "word_vectors.Coverage", quiet: bool = False) -> None:
    """Say how many of the words, and how much of the texts, have a vector, if not ``quiet``; warn where few have."""
    words, tokens = coverage.words_found / max(coverage.words, 1), coverage.tokens_found / max(coverage.tokens, 1)
    sentence = (
        f"{vectors.source} has vectors of {vectors.shape[1]:,} numbers for {coverage.words_found:,} of "
        f"{coverage.words:,} words ({words:.1%}), which make up {tokens:.1%} of the texts"
    )
    if coverage.words_lower_cased:
        sentence += f"; {coverage.words_lower_cased:,} of them only in another case"
    if vectors.duplicates:
        sentence += f"; skipped {vectors.duplicates:,} lines that repeat a word"
    if not quiet:
        render.say(f"{sentence}.")
    if tokens < FEW_WITH_VECTORS:
        problem = f"only {tokens:.1%} of the words in the texts have a vector in {vectors.source}"
        render.say(f"mlcore: {problem}; check that it is for their language and spells words as they do.")


# Tables ---------------------------------------------------------------------------------------------------


def _show_explanation(found: "explanation.Explanation", n: int) -> None:
    """The text with its words coloured or marked, the strongest features, and the sum."""
    render.show("")
    if found.words:
        largest, pieces = max(abs(word.contribution) for word in found.words) or 1, []
        for word in found.words:
            strength = round(LEVELS * word.contribution / largest)
            signs, style = "+" * strength or "−" * -strength, "green" if strength > 0 else "red" if strength else ""
            pieces += [(word.word + signs, style) if word.known else (f"[{word.word}]", "dim"), (" ", "")]
        render.flow(pieces)
        name = render.shortened(found.output or "a higher number")
        render.show(f"+ for {name}, − against it, one to three by strength; [unknown]\n", "dim")
    if found.features:
        unknown = "" if found.known_words else "; read by their characters"
        render.show(f"{found.known_words:,} of {len(found.words):,} words known{unknown}", "dim")
        if found.misspelt:
            render.paragraph(found.misspelt, "dim")
        largest, rows = max(abs(feature.contribution) for feature in found.features) or 1, []
        for feature in found.features:
            share = feature.contribution / largest
            blocks = render.bar(abs(share), HALF_BAR)
            bar = f"{'' if share > 0 else blocks:>{HALF_BAR}}│{blocks if share > 0 else ''}"
            cells = render.shortened(feature.feature), f"{feature.count:,}", render.number(feature.contribution, "+.4f")
            without = "" if feature.without is None else render.number(feature.without, "+.4f")
            rows.append((*cells, (bar, "green" if share > 0 else "red"), without))
        render.table(("feature", "times", "contribution", "", "without it"), rows, most=n)
        if signs := found.legend(n):
            render.show(signs, "dim")
    else:
        render.show("No known words: the prediction is the default, the same for all such texts.", "bold yellow")
    total = sum(feature.contribution for feature in found.features)
    constant, contributions, logit = (render.number(value, "+.4f") for value in (found.constant, total, found.logit))
    result = f"{logit} → rating {render.number(found.rating, '.4g')}"
    if found.output is not None:
        logit = f"logit {logit}" if found.against is None else f"{logit} above the logit of {found.against}"
        result = f"{logit} → {found.output} {found.output_probability:.2%}"
    render.paragraph(f"constant {constant} + contributions {contributions} = {result}", "bold")


def _show_description(found: "reports.Description") -> None:
    """The file, the formulas with their shapes, the vocabulary, and how the model was trained."""
    show, paragraph, settings, labels = render.show, render.paragraph, found.settings, found.labels
    file = found.file or {}
    size = f": {file['bytes']:,} bytes, sha256 {file['sha256']}" if file.get("bytes") is not None else ""
    paragraph(f"{file.get('path')}{size}", "bold")
    show(f"\n{found.formulas}")
    of_two = f", y = 1 for {labels[1]}, 0 for {labels[0]}" if len(labels) == 2 and not settings["multi_label"] else ""
    paragraph("".join(FORMULAS[found.loss][:2]) + of_two)
    show(f"{found.parameters:,} parameters")
    if original := found.compressed:
        paragraph(f"compressed to 8 bits for each number, from {original.features:,} features × {original.dim}")

    show("\nLabels and vocabulary", "bold")
    names = label_names.listed(labels, MAX_LABELS)
    paragraph(f"{len(labels):,} labels: {names}" if labels else "no labels: it predicts a number")
    for part in found.vocabulary:
        examples = ", ".join(f"'{feature}'" for feature in part.most_frequent)
        paragraph(f"{part.features:,} {part.name}" + (f"; the most frequent: {examples}" if examples else ""))

    show("\nTraining", "bold")
    texts = ", ".join(f"{split} {count:,}" for split, count in found.texts.items())
    facts: dict[str, Any] = {"texts": texts, **found.inputs}
    facts |= {"fingerprint": found.fingerprint, "epochs": f"{len(found.history)}" if found.history else ""}
    if best := found.best:
        facts["best epoch"] = f"{best['epoch']}, training loss {best['train_loss']:.4f}"
        held_out = {"dev_loss": "loss {:.4f}", "dev_accuracy": "accuracy {:.2%}", "dev_micro_f1": "micro F1 {:.2%}"}
        for column, text in held_out.items():
            facts["best epoch"] += ", held-out " + text.format(best[column]) if best[column] is not None else ""
    if found.calibration:
        facts["calibration"] = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in found.calibration.items()]
    facts["settings"] = [f"{name} {value}" for name, value in settings.items() if value is not None]
    facts |= {"of these, chosen for the texts": found.chosen} if found.chosen else {}
    for name, value in facts.items():
        value = ", ".join(value) if isinstance(value, list) else value
        paragraph(f"{name.replace('_', ' ')}: {value or 'not recorded'}")
    show(f"\nHow to train {'its original' if found.compressed else 'it'} again", "bold")
    show(found.command)


def _show_neighborhood(found: "explanation.Neighborhood") -> None:
    def score(logits: list[float]) -> str:
        """The one logit or rating, or the largest of several logits with its label."""
        if not found.labels:
            return render.number(logits[0], ".4g")
        name = f"{found.labels[logits.index(max(logits))]} " if len(logits) > 1 else ""
        return name + render.number(max(logits), "+.2f")

    mean = f" (the mean of its {found.mean_of} features)" if found.mean_of > 1 else ""
    render.show(f"Nearest to {found.word}{mean}, {score(found.logits)}", "bold")
    rows = [(render.shortened(n.feature), render.number(n.cosine, ".4f"), score(n.logits)) for n in found.neighbors]
    if not rows:
        render.paragraph("No other word is in the model's vocabulary.")
        return
    columns = ("feature", "cosine", f"score for {found.labels[1]}" if len(found.labels) == 2 else "score")
    render.table(columns, rows, left=(0, 2))
