"""``mlcore explain``, ``describe`` and ``neighbors``: what a trained model knows, and why it says what it says."""

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mlcore.errors import InputError

from .prediction import Json, Model


def explain(
    model: Model,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts.", show_default="one on standard input")
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Whose logit is explained.", show_default="the predicted label")
    ] = None,
    number: Annotated[int, typer.Option(min=1, help="Features shown, the strongest.")] = 15,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a web page instead.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore explain sentiment.npz "A warm, funny film."

    Why a text is predicted as it is. The contributions of its words and
    n-grams, and a constant, add up to the logit exactly; the last column is
    the change of the logit when a word is left out. --json has all of them.
    """
    from mlcore.files import check_writable, write_beside
    from mlcore.sentiment import explanation
    from mlcore.sentiment.model_file import load_model as load

    from . import explanation_view, render

    if html is not None:
        if html.exists() and model.exists() and html.samefile(model):
            raise InputError(f"html is {html}, which is the model; expected another path.")
        check_writable(html)
    with render.compilation():
        classifier = load(model)
        texts = texts or [_standard_input()]
        explanations = [explanation.explain(classifier, text, output) for text in texts]
    if html is not None:
        from mlcore.sentiment.markup import page

        write_beside(html, lambda file: file.write(page(explanations, number).encode()))
        render.say(f"Wrote {html}.")
    if as_json:
        found = [{"text": text} | asdict(one) for text, one in zip(texts, explanations, strict=True)]
        print(json.dumps({"schema": "mlcore.explain/1", "explanations": found}, allow_nan=False))
    elif html is None:
        for place, one in enumerate(explanations):
            explanation_view.explanation(one, number, first=place == 0)


def describe(model: Model, as_json: Json = False) -> None:
    """Example: mlcore describe sentiment.npz

    What a model file holds: the formulas with its shapes, parameters,
    vocabulary, labels, settings, what it was trained on and how well it did,
    and the command that trains it again.
    """
    from mlcore.sentiment import description
    from mlcore.sentiment.model_file import load_model as load

    from . import explanation_view, render

    with render.compilation():
        found = description.describe(load(model))
    regular = model.is_file()  # what came through a pipe is gone
    file = {
        "path": str(model),
        "bytes": model.stat().st_size if regular else None,
        "sha256": _sha256(model) if regular else None,
    }
    if as_json:
        print(json.dumps({"schema": "mlcore.describe/1", "file": file} | asdict(found), allow_nan=False))
    else:
        explanation_view.description(found, file)


def neighbors(
    model: Model,
    word: Annotated[str, typer.Argument(metavar="WORD", help="A word, or several of an n-gram.", show_default=False)],
    number: Annotated[int, typer.Option(min=1, help="Neighbours shown, the nearest.")] = 10,
    as_json: Json = False,
) -> None:
    """Example: mlcore neighbors sentiment.npz wonderful

    The words and n-grams whose embeddings point in the most similar
    direction (cosine), each with the logit of the text that is it alone.
    """
    from mlcore.sentiment import neighborhood
    from mlcore.sentiment.model_file import load_model as load

    from . import explanation_view, render

    with render.compilation():
        classifier = load(model)
        found = neighborhood.neighbors(classifier, word, number)
    if as_json:
        document = {"schema": "mlcore.neighbors/1", "labels": list(classifier.labels)} | asdict(found)
        print(json.dumps(document, allow_nan=False))
    else:
        explanation_view.neighborhood(found, classifier.labels)


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
        render.say("mlcore: standard input has bytes that are not UTF-8; each is replaced.")
    return text


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
