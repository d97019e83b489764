"""The Typer application: every command with its short help."""

import platform
from typing import Annotated

import typer

from mlcore import __version__

from . import classroom, comparison, dataset, exercise, explanation, prediction, report, training, vectors

app = typer.Typer(pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})


def _print_version(wanted: bool) -> None:
    if wanted:
        import numba
        import numpy

        from mlcore.sentiment.training import available_cores

        print(
            f"mlcore {__version__}, Python {platform.python_version()}, NumPy {numpy.__version__}, "
            f"Numba {numba.__version__}, {available_cores()} threads"
        )
        raise typer.Exit


@app.callback()
def mlcore(
    version: Annotated[
        bool, typer.Option("--version", help="Show the versions and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Example: mlcore grad --x 1,2,1

    Backpropagation by hand, and a sentiment classifier at scale, on one set of
    Numba kernels.
    """


app.command(short_help="Forward values and loss of the 3-2-1 network, or any other.")(exercise.forward)
app.command(short_help="Gradients by backpropagation, and the truth at the ReLU's kink.")(exercise.grad)
app.command(short_help="The derivation step by step, as text, LaTeX or Markdown.")(exercise.derive)
app.command(short_help="Gradient descent from the exercise's start.")(exercise.descend)
app.command("graph", short_help="The network drawn, in the terminal or as Mermaid, DOT or SVG.")(classroom.draw)
app.command(short_help="Mark your own answers, and name the mistakes.")(classroom.check)
app.command("exercise", short_help="Make a new exercise sheet, with or without its solution.")(classroom.exercise)
app.command(short_help="Check every compiled kernel on this machine.")(classroom.verify)
app.add_typer(exercise.net, name="net")
app.command(short_help="Look at labelled texts before training on them.")(dataset.data)
app.command(short_help="Train a sentiment classifier with a trainable embedding.")(training.train_sentiment)
app.command(short_help="How good a model is on labelled texts, and where it is wrong.")(prediction.evaluate)
app.command(short_help="The same and more as a web page.")(report.report)
app.command(short_help="Label and probability of texts.")(prediction.predict)
app.command(short_help="Why a text is predicted as it is: the exact share of every word.")(explanation.explain)
app.command(short_help="What a model is, where it comes from, and how to train it again.")(explanation.describe)
app.command(short_help="Nearest words in a model's embedding.")(explanation.neighbors)
app.command(short_help="Fixed or trainable embeddings? The experiment itself.")(comparison.compare_embeddings)
app.command(short_help="Write a model's embeddings in word2vec's text format.")(vectors.vectors)
