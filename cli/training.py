"""``mlcore train-sentiment``: exercise 5 at scale."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import InputError
from mlcore.sentiment.settings import LEARNING_RATES, Settings

from .dataset import read
from .prediction import Json, evaluation_document

if TYPE_CHECKING:
    from mlcore.sentiment.classifier import Classifier
    from mlcore.sentiment.evaluation import Evaluation
    from mlcore.sentiment.preparation import TrainingData
    from mlcore.sentiment.training import EpochReport, Progress


def train_sentiment(
    data: Annotated[
        Path | None,
        typer.Option(help="aclImdb folder or .tar.gz, .csv, .tsv, .jsonl or fastText text.", show_default="built in"),
    ] = None,
    dim: Annotated[int, typer.Option(help="Width of the embedding.")] = Settings.dim,
    hidden: Annotated[int, typer.Option(help="Units of the hidden layer.")] = Settings.hidden,
    epochs: Annotated[int, typer.Option(help="Passes over the texts; the best one is kept.")] = Settings.epochs,
    batch_size: Annotated[int, typer.Option(help="Texts per update.")] = Settings.batch_size,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Step size.", show_default=", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())
        ),
    ] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, adagrad or adam.")] = Settings.optimizer,
    seed: Annotated[int, typer.Option(help="For the start, the held-out part and the order of texts.")] = Settings.seed,
    threads: Annotated[
        int | None, typer.Option(help="Any number gives the same model.", show_default="the cores")
    ] = None,
    min_count: Annotated[int | None, typer.Option(help="Words that occur less often are not learned.")] = Settings.min_count,
    dev: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|FRACTION",
            help="What is held out to choose the best epoch; 0 for nothing.",
            show_default="the data's own dev part, or 0.1",
        ),
    ] = None,
    model: Annotated[Path, typer.Option(help="Where to write the model.")] = Path("sentiment.npz"),
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Example: mlcore train-sentiment --dim 50 --data reviews.csv

    Train the network embedding -> mean -> dense ReLU -> dense on texts with
    two labels, and save the best epoch. Columns and JSON keys are text and
    label; split (train, dev, test) is used where there is one. Ctrl-C keeps
    the best epoch so far.
    """
    from mlcore.sentiment.modelfile import check_writable, save
    from mlcore.sentiment.start import new_classifier
    from mlcore.sentiment.training import available_cores, fit

    from . import render

    settings = Settings(
        dim=dim, hidden=hidden, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
        optimizer=optimizer, seed=seed, min_count=min_count,
    )
    threads = available_cores() if threads is None else threads
    if threads < 1:
        raise InputError(f"threads is {threads}; expected a whole number from 1 up.")
    _fraction(dev)
    for other in (data, dev and Path(dev)):
        if other and model.exists() and other.exists() and model.samefile(other):
            raise InputError(f"model is {model}, which is the data; expected another path.")
    check_writable(model)
    verb = "Replaced" if model.exists() else "Wrote"
    shown = render.Shown(not (quiet or as_json))
    reports: list[EpochReport] = []
    interrupted = False
    remembered = _RememberedInterrupt()
    try:
        arrays = _training_data(data, dev, settings, quiet)
        classifier = new_classifier(arrays, settings)
        shown(render.network, arrays, settings, classifier.n_parameters)
        bar = render.TrainingBar(epochs, quiet)

        def progress(state: "Progress") -> None:
            remembered.check()
            bar.update(state)

        with bar, closing(fit(classifier, arrays.train, arrays.dev, threads, progress)) as epochs_done:
            for report in epochs_done:
                reports.append(report)
                bar.clear()
                shown(render.epoch_row, report)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one is enough: what follows saves what there is, and ends
        interrupted = True
    if not reports:
        render.say(
            f"mlcore: interrupted before the end of the first epoch: there is nothing to keep, {model} is as it was."
        )
        raise typer.Exit(130)
    best = [report for report in reports if report.best][-1]
    with _uninterrupted():
        save(classifier, model)
        if interrupted:
            epoch = min(len(reports) + 1, epochs)
            render.say(f"mlcore: interrupted in epoch {epoch}: the best epoch so far, {best.epoch}, is in {model}.")
        elif not quiet:
            render.say(f"{verb} {model}.")
    results = _results(classifier, arrays, threads)
    shown(_show_results, best, results, classifier, arrays)
    if as_json:
        chosen = asdict(settings) | {"data": str(data) if data else None, "dev": dev}
        print(json.dumps(_training_document(chosen, reports, best, results, model, interrupted), allow_nan=False))
    if interrupted:
        raise typer.Exit(130)
    if not quiet:
        render.say(f'Next: mlcore predict {model} "A wonderful film."')
        render.say(f"  or: mlcore evaluate {model} DATA")
    shown.complain()


class _RememberedInterrupt:
    """Ctrl-C that cannot get lost: Python drops a KeyboardInterrupt that is raised in a callback of the compiler or
    of the garbage collector, so that it is raised again at the next ``check``.
    """

    def __init__(self) -> None:
        self._pressed = False
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, *_: object) -> None:
        self._pressed = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed at any time."""
        if self._pressed:
            raise KeyboardInterrupt


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Leave Ctrl-C for later, while something is written."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _training_data(data: Path | None, dev: str | None, settings: Settings, quiet: bool) -> "TrainingData":
    """Read what is to be read, compile what is to be compiled, and count the words."""
    from mlcore.sentiment.preparation import prepare
    from mlcore.sentiment.training import warm_up
    from mlcore.text.corpus import built_in_corpus

    from . import render

    held_out = _fraction(dev)
    corpus = read(data or built_in_corpus(), quiet=quiet)
    if dev is not None and held_out is None:
        held_out = read(Path(dev), quiet=quiet)
        held_out = held_out.select(held_out.held_out())
    with render.compilation(quiet):
        warm_up()
    with render.Activity("Counting words", quiet):
        return prepare(corpus, held_out, settings)


def _fraction(dev: str | None) -> float | None:
    """The fraction that ``--dev`` gives, None if it is a path."""
    try:
        fraction = None if dev is None else float(Fraction(dev))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    if fraction is not None and not 0 <= fraction < 1:
        raise InputError(f"dev is {dev}; expected a fraction from 0 to less than 1, or a path.")
    return fraction


def _results(classifier: "Classifier", arrays: "TrainingData", threads: int) -> dict[str, "Evaluation | None"]:
    from mlcore.sentiment.evaluation import evaluate

    parts = {"dev": arrays.dev, "test": arrays.test}
    return {name: evaluate(classifier, part, threads) if part else None for name, part in parts.items()}


def _show_results(
    best: "EpochReport", results: dict[str, "Evaluation | None"], classifier: "Classifier", arrays: "TrainingData"
) -> None:
    from mlcore.sentiment.evaluation import strongest_words

    from . import prediction_view

    for name, result in results.items():
        if result:
            title = f"Held-out texts, best epoch {best.epoch}" if name == "dev" else "Test texts"
            prediction_view.evaluation(f"\n{title}", result)
    prediction_view.strongest_words(strongest_words(classifier, arrays.feature_counts, 10, 10), classifier.labels)


def _training_document(
    settings: dict,
    reports: "list[EpochReport]",
    best: "EpochReport",
    results: dict[str, "Evaluation | None"],
    model: Path,
    interrupted: bool,
) -> dict:
    return {
        "schema": "mlcore.train-sentiment/1",
        "settings": settings,
        "epochs": [asdict(report) for report in reports],
        "best_epoch": best.epoch,
        **{name: evaluation_document(result) if result else None for name, result in results.items()},
        "interrupted": interrupted,
        "model": str(model),
    }
