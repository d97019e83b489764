"""``mlcore tune`` and ``mlcore cross-validate``: settings by experiment."""

from dataclasses import asdict
from time import monotonic
from typing import Annotated

import typer

from mlcore.files import check_files
from mlcore.sentiment import model_file, tuning
from mlcore.sentiment.settings import NEW_MODEL, Settings, reproducing_command
from mlcore.text.layout import TrainingLayout
from mlcore.text.pool import available_cores

from . import interrupts, render
from .commands import setting_words
from .dataset import read
from .options import Data, Json, NewModel
from .output import MODEL, answer
from .printable import printable
from .training import Outputs, Source, train

Folds = Annotated[int, typer.Option(min=2, max=20, help="Parts of the texts, each held out once.")]
Metric = Annotated[str, typer.Option(help="accuracy, macro-f1 or log-loss; for ratings rmse.")]
SHOWN, LIVE = 10, 5  # trials, at the end and during the search
MOST, ENOUGH = 100_000, 10  # trials, and those that can tell what mattered


def tune(
    *,
    data: Data = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time for the search.")] = 5.0,
    trials: Annotated[int | None, typer.Option(min=1, help="Most trials.", show_default="as time allows")] = None,
    metric: Metric = "accuracy",
    folds: Folds = 5,
    layout: TrainingLayout,
    settings: Settings,
    threads: Annotated[int | None, typer.Option(min=1, help="Trials at a time.", show_default="all cores")] = None,
    model: NewModel = NEW_MODEL,
    as_json: Json = False,
) -> None:
    """Example: mlcore tune --data reviews.csv --minutes 5

    Search better settings than the automatic ones, and train a model with
    the best. Each trial is cross-validated; of nine, the best third goes on
    after one fold, and the best one after three. Settings that you give stay
    as they are, and the automatic ones stay if no trial is clearly better. A
    split named dev is tested on instead of folds, and one named test is not
    used. Ctrl-C keeps the best settings so far. The same seed and number of
    trials (--trials) give the same result.
    """
    check_files(data or [], model=(model, MODEL))
    started, processes = monotonic(), threads or available_cores()
    dataset, done = read(data, layout), "Replaced" if model.exists() else "Wrote"

    def progress(trials: "list[tuning.Trial]") -> None:
        scored, left = tuning.ranked(trials), max(0.0, 60 * minutes - (monotonic() - started))
        best = f", best {scored[0].mean:.4f}" if scored else ""
        rows = [f"{_figures(trial)}  {_drawn(trial)}" for trial in scored[:LIVE]]
        activity.update("\n".join([f"{len(trials):,} trials{best}, at most {left:.0f} s left", *rows]))
        if interrupts.received:
            raise KeyboardInterrupt

    interrupts.defer()  # the processes of the search are to be ended before this one
    try:
        with render.Activity("Searching") as activity:
            found = tuning.tune(dataset, settings, metric, folds, 60 * minutes, trials or MOST, processes, progress)
    except KeyboardInterrupt:
        render.say(f"mlcore: {interrupts.word()} before the end of the first trial; {model} was not written.")
        raise typer.Exit(interrupts.exit_code()) from None
    interrupted = interrupts.take()
    interrupts.end_at_once(f"; {printable(str(model))} was not written")
    answer("tune", found, _show, as_json)
    inputs = dict.fromkeys(("dev", "test", "vectors", "warm_start", "replicas")) | {"data": data or []} | asdict(layout)
    render.say(f"Training with the settings of trial {found.trials[0].number}.")
    train(Source(inputs, layout, found.settings, processes), Outputs(model, quiet=True))
    render.say(f"{done} {model}. The same again: {reproducing_command(model_file.load_model(model), model)}")
    if interrupted:
        raise typer.Exit(interrupted)


def cross_validate(
    *,
    data: Data = None,
    metric: Metric = "accuracy",
    folds: Folds = 5,
    layout: TrainingLayout,
    settings: Settings,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads to use.", show_default="all cores")] = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore cross-validate --data reviews.csv --ngrams 3

    Train on all folds but one and test on that one, for each fold in turn.
    A split named dev is tested on instead, with another seed each time, and
    one named test is not used.
    """
    check_files(data or [])
    dataset = read(data, layout)
    with render.Activity("Training") as activity:

        def progress(fold: int) -> None:
            activity.update(f"Fold {fold + 1} of {folds}")

        found = tuning.cross_validate(dataset, settings, metric, folds, threads or available_cores(), progress)
    answer("cross-validate", found, _show_validation, as_json)


def _show_validation(found: "tuning.CrossValidation") -> None:
    scores = ", ".join(f"{score:.4f}" for score in found.scores)
    render.show(f"{found.metric}: {_score(found.mean, found.deviation)}")
    render.paragraph(f"folds: {scores}")


def _score(mean: float, deviation: float | None) -> str:
    return f"{mean:.4f}" + (f" ± {deviation:.4f}" if deviation is not None else "")


def _figures(trial: "tuning.Trial") -> str:
    return f"{trial.number:5}  {len(trial.scores):5}  {_score(trial.mean, trial.deviation)}"


def _drawn(trial: "tuning.Trial") -> str:
    return " ".join(setting_words(name, value) for name, value in trial.drawn.items()) or "as given"


def _show(found: "tuning.Tuning") -> None:
    """The best trials, the given settings among them, and what mattered."""
    render.show(f"trial  folds  {found.metric}", "bold")
    for trial in [*found.trials[:SHOWN], *(trial for trial in found.trials[SHOWN:] if not trial.number)]:
        render.show(_figures(trial))
        render.paragraph(_drawn(trial), indent=" " * 7)
    number, trials = len(found.trials), f"trial{'s' * (len(found.trials) > 1)}"
    negative = f" The {found.metric} is negative: the larger, the better." * (found.trials[0].mean < 0)
    render.paragraph(f"{number:,} {trials}. Trial 0 has the settings as given.{negative}")
    ordered = sorted(found.importance.items(), key=lambda item: -item[1])
    mattered = ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in ordered)
    if mattered and number >= ENOUGH:
        render.paragraph(f"What mattered (variance between trials that each setting alone explains): {mattered}.")
