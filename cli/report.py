"""``mlcore report``: what there is to know of a model on labelled texts, as a web page."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlcore.errors import InputError

from .dataset import Format, LabelColumn, TextColumn, read
from .prediction import Data, Model

WORDS = 20  # of the strongest words, for each label


def report(
    model: Model,
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the page; - is standard output.")
    ] = Path("report.html"),
    errors: Annotated[int, typer.Option(metavar="N", min=0, help="Show the N worst mistakes.")] = 10,
    file_format: Format = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
) -> None:
    """Example: mlcore report sentiment.npz reviews.csv -o report.html

    One web page that needs nothing else: how a model was trained, its figures,
    confusion matrix and calibration on labelled texts, its strongest words,
    and its worst mistakes with the words that led to them. Measured on the
    texts that mlcore evaluate takes.
    """

    from mlcore.files import check_writable, write_beside
    from mlcore.sentiment.evaluation import assess, mistakes, strongest_words
    from mlcore.sentiment.model_file import load
    from mlcore.sentiment.report import Findings, page
    from mlcore.sentiment.training import available_cores
    from mlcore.text.dataset import encode_split, occurrences

    from . import render

    to_file = output != Path("-")
    if to_file:
        _refuse_to_replace([model, *data], output)
        check_writable(output)
    with render.compilation():
        classifier = load(model)
        corpus = read(data, file_format, text_column, label_column, keep_texts=True)
        rows, part_name = corpus.held_out()
        with render.Activity("Assessing"):
            threads = available_cores()
            part = encode_split(corpus, rows, classifier.features, classifier.labels, threads)
            figures = assess(classifier, part, threads)
            # the words that these texts have, and the rarest of them only where there are few texts
            counts = occurrences(part.documents, part.rows, len(classifier.features))
            often = max(1, min(10, len(part.rows) // 100))
            strongest = strongest_words(classifier, counts, WORDS, often)
            worst = mistakes(classifier, part, corpus, errors, threads)
            name = corpus.source if part_name == "all" else f"{corpus.source}, {part_name} part"
            html = page(classifier, Findings(str(model), name, figures, strongest, worst))
    if to_file:
        write_beside(output, lambda file: file.write(html.encode()))
        render.say(f"Wrote {output}.")
    else:
        sys.stdout.write(html.encode("ascii", "xmlcharrefreplace").decode())  # whatever the terminal can show


def _refuse_to_replace(inputs: list[Path], output: Path) -> None:
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise InputError(f"output is {output}, which is the model or the data; expected another path.")
