"""``mlcore compare-embeddings``: the question of exercise 5."""

import json
import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import InputError
from mlcore.sentiment.settings import Settings

from .dataset import Format, LabelColumn, TextColumn, data_path, read
from .prediction import Json
from .vectors import check_readable, given_vectors

if TYPE_CHECKING:
    from mlcore.sentiment.comparison import Experiment, Run

EPOCHS = 100  # enough for fixed embeddings, too; trainable ones have lost their patience long before


def compare_embeddings(
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Labelled texts, as for train-sentiment; may be repeated.",
            parser=data_path,
            show_default="built in",
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Given vectors: GloVe, word2vec text or fastText .vec.", parser=data_path),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each kind.")] = 5,
    dim: Annotated[int, typer.Option(help="Width of the embedding.")] = Settings.dim,
    hidden: Annotated[int, typer.Option(help="Units of the hidden layer.")] = Settings.hidden,
    epochs: Annotated[int, typer.Option(help="Passes over the texts at most.")] = EPOCHS,
    ngrams: Annotated[int, typer.Option(help="Features of 1 to this many words.")] = Settings.ngrams,
    file_format: Format = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore compare-embeddings --data reviews.csv --seeds 5

    Fixed or trainable embeddings? Train both kinds, and with --vectors both
    from given vectors, too, with the same seeds on the same texts; choose
    each epoch on the same held-out texts, and compare the accuracies on the
    same test texts: the data's own test part, or a tenth drawn for each seed.
    Vectors have to come from other texts: those of a model that was trained
    on these ones know the labels of the test texts.
    """
    from mlcore.sentiment.comparison import Experiment, warm_up
    from mlcore.sentiment.training import available_cores
    from mlcore.text.dataset import built_in_dataset
    from mlcore.text.readers import STANDARD_INPUT

    from . import comparison_view, render

    settings = Settings(dim=dim, hidden=hidden, epochs=epochs, ngrams=ngrams)
    check_readable(vectors)
    if vectors == STANDARD_INPUT and STANDARD_INPUT in (data or []):
        raise InputError("vectors is -, as is the data; standard input can be read once.")
    with render.compilation(as_json):
        warm_up()
    corpus = read(data or [built_in_dataset()], file_format, text_column, label_column, quiet=as_json)
    with render.Activity("Counting words", as_json):
        experiment = Experiment(corpus, settings, seeds, available_cores())
    if vectors is not None:
        experiment.vectors = given_vectors(vectors, experiment.table, dim, as_json)
    runs, interrupted = _run(experiment, as_json)
    planned = len(experiment.seeds) * len(experiment.names())
    if interrupted:
        render.say(f"mlcore: interrupted after {len(runs)} of {planned} runs{': they are below' if runs else ''}.")
    if as_json:
        print(json.dumps(_document(experiment, runs, interrupted), allow_nan=False))
    elif runs:
        comparison_view.comparison(experiment, runs)
    if interrupted:
        raise typer.Exit(130)


def _run(experiment: "Experiment", quiet: bool) -> "tuple[list[Run], bool]":
    """The runs, and whether Ctrl-C has cut them short."""
    from mlcore.sentiment.training import available_cores

    from . import render

    runs: list[Run] = []
    names = experiment.names()
    planned = len(experiment.seeds) * len(names)
    try:
        with render.Activity("Training", quiet) as activity:

            def progress(name: str, seed: int, epoch: int | None) -> None:
                step = f", epoch {epoch}" if epoch else ""
                activity.update(f"Run {len(runs) + 1} of {planned}: seed {seed}, {name}{step}")

            for run in experiment.run(available_cores(), progress):
                runs.append(run)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # one is enough: what follows shows what there is, and ends
        return runs, True
    return runs, False


def _document(experiment: "Experiment", runs: "list[Run]", interrupted: bool) -> dict:
    from mlcore.sentiment.comparison import answer, summarise

    summaries = summarise(runs, experiment.names())
    found = answer(runs, summaries)
    settings, vectors = experiment.settings, experiment.vectors
    return {
        "schema": "mlcore.compare-embeddings/1",
        "data": experiment.source,
        "labels": list(experiment.labels),
        "texts": {name: len(rows) for name, rows in experiment.rows(1).items()},
        "own_parts": [name for name, rows in experiment.own.items() if len(rows)],
        "settings": {name: getattr(settings, name) for name in ("dim", "hidden", "epochs", "ngrams")},
        "seeds": len(experiment.seeds),
        "vectors": vectors
        and asdict(vectors.coverage(experiment.word_counts))
        | {"source": vectors.source, "lines": vectors.lines, "duplicates": vectors.duplicates}
        | {"sha256": vectors.fingerprint()},
        "arms": [asdict(summary) for summary in summaries],
        "best_trainable_against_best_fixed": found and asdict(found),
        "runs": [asdict(run) for run in runs],
        "interrupted": interrupted,
    }
