"""``mlcore tune``, ``cross-validate`` and ``compare-embeddings``: settings, and embeddings, by experiment."""

from dataclasses import asdict
from time import monotonic
from typing import Annotated, Any

import typer

from mlcore.errors import InputError, counted
from mlcore.files import STANDARD_STREAM, check_files
from mlcore.sentiment import comparison, tuning
from mlcore.sentiment.settings import NEW_MODEL, Settings, reproducing_command
from mlcore.text import table
from mlcore.text.layout import Layout, TrainingLayout
from mlcore.text.pool import available_cores

from . import interrupts, render
from .commands import setting_words
from .dataset import read
from .explanation import given_vectors, say_coverage
from .options import Data, Files, GivenVectors, Json, NewModel, option
from .output import MODEL, answer
from .printable import printable
from .training import Run

Folds = Annotated[int, typer.Option(min=2, max=20, help="Parts of the texts, each held out once.")]
Metric = Annotated[
    str | None, option("TEXT", "accuracy, macro-f1 or log-loss; of ratings rmse.", default="accuracy or rmse")
]
SHOWN, LIVE = 10, 5  # trials, at the end and during the search
MOST, ENOUGH = 100_000, 10  # trials, and those that can tell what mattered
DIM, HIDDEN = 50, 32  # width and units of the networks that are compared


def tune(
    *,
    files: Files = None,
    data: Data = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time for the search.")] = 5.0,
    trials: Annotated[int | None, typer.Option(min=1, help="Most trials.", show_default="as time allows")] = None,
    metric: Metric = None,
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
    data = [*(files or []), *(data or [])]
    if STANDARD_STREAM in data:
        raise InputError("tune reads the data twice, which standard input does not allow; save it, and give the file.")
    check_files(data, model=(model, MODEL))
    started, processes = monotonic(), threads or available_cores()
    dataset = read(data, layout)

    def progress(trials: "list[tuning.Trial]") -> None:
        scored, left = tuning.ranked(trials), max(0.0, 60 * minutes - (monotonic() - started))
        best = f", best {scored[0].mean:.4f}" if scored else ""
        rows = [f"{_figures(trial)}  {_drawn(trial)}" for trial in scored[:LIVE]]
        activity.update("\n".join([f"Trials: {len(trials):,}{best}, at most {left:.0f} s left", *rows]))
        if interrupts.received:
            raise KeyboardInterrupt

    interrupts.defer()  # the processes of the search are to be ended before this one
    try:
        with render.Activity("Searching") as activity:
            found = tuning.tune(dataset, settings, metric, folds, 60 * minutes, trials or MOST, processes, progress)
    except KeyboardInterrupt:
        render.say(f"mlcore: {interrupts.word()} before the end of the first trial; {model} was not written.")
        raise typer.Exit(interrupts.exit_code()) from None
    if code := interrupts.exit_code():
        render.say(f"mlcore: {interrupts.word()} in the search; a model is trained with the best settings so far.")
    interrupts.listen()
    interrupts.end_at_once(f"; {printable(str(model))} was not written")
    answer("tune", found, _show_trials, as_json)
    inputs = dict.fromkeys(("dev", "test", "vectors", "warm_start", "replicas")) | {"data": data} | asdict(layout)
    render.say(f"Training with the settings of trial {found.trials[0].number}.")
    run = Run(inputs, layout, found.settings, processes, model, quiet=True)
    run.train()
    render.say(f"{run.done} The same again: {reproducing_command(run.training.model, model)}")
    if code:
        raise typer.Exit(code)


def cross_validate(
    *,
    files: Files = None,
    data: Data = None,
    metric: Metric = None,
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
    data = [*(files or []), *(data or [])]
    check_files(data)
    dataset = read(data, layout)
    with render.Activity("Training") as activity:

        def progress(fold: int) -> None:
            activity.update(f"Fold {fold + 1} of {folds}")

        found = tuning.cross_validate(dataset, settings, metric, folds, threads or available_cores(), progress)
    answer("cross-validate", found, _show_validation, as_json)


def compare_embeddings(
    *,
    files: Files = None,
    data: Data = None,
    vectors: GivenVectors = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each kind.")] = 5,
    dim: Annotated[int | None, option("N", "Width of the embedding.", default=f"{DIM}, or that of --vectors")] = None,
    epochs: Annotated[int, typer.Option(help="Largest number of passes over the texts.")] = 100,
    layout: Layout,
    as_json: Json = False,
) -> None:
    """Example: mlcore compare-embeddings --data reviews.csv --seeds 5

    Fixed or trainable embeddings? Trains both kinds, and with --vectors both
    from given vectors too, with the same seeds on the same texts; chooses each
    epoch on the same held-out texts, and compares the accuracies on the same
    test texts: the data's own test split, or a tenth drawn for each seed.
    The vectors must come from other texts: vectors of a model trained on these
    texts already contain the labels of the test texts.
    """
    width: Any = DIM if dim is None and not vectors else dim
    settings = Settings(dim=width, hidden=HIDDEN, epochs=epochs, ngrams=1, char_ngrams="none")
    data = [*(files or []), *(data or [])]
    check_files([*data, vectors])
    dataset = read(data, layout)
    given = given_vectors(vectors, dataset.words, dim) if vectors else None
    experiment = comparison.Experiment(dataset, settings, seeds, given)
    if given and experiment.coverage:
        say_coverage(given, experiment.coverage)
    found = _experiment(experiment)
    if found.runs or as_json:
        answer("compare-embeddings", found, _show_comparison, as_json)
    if found.interrupted or found.diverged:
        raise typer.Exit(interrupts.exit_code() if found.interrupted else 1)


def _experiment(experiment: "comparison.Experiment") -> "comparison.Comparison":
    """All runs, or those until a signal, and on stderr which one is under way, and which are missing."""
    results: list[comparison.Run | comparison.Missing] = []
    interrupted = False
    with render.Activity("") as activity:

        def progress(name: str, seed: int, epoch: int | None) -> None:
            step = f", epoch {epoch}" if epoch else ""
            activity.update(f"Run {len(results) + 1} of {experiment.planned}: seed {seed}, {name}{step}")
            if interrupts.received:
                raise KeyboardInterrupt

        try:
            for result in experiment.run(available_cores(), progress):
                results.append(result)
                interrupts.defer()
        except KeyboardInterrupt:
            interrupted = True
    found = experiment.compare(results, interrupted)
    for missing in found.missing:
        render.say(f"mlcore: {missing.arm}, seed {missing.seed}: {missing.reason}")
    if interrupted:
        render.say(f"mlcore: {interrupts.word()} after {len(results)} of {experiment.planned} runs.")
    return found


# Tables ---------------------------------------------------------------------------------------------------


def _show_validation(found: "tuning.CrossValidation") -> None:
    render.show(f"{found.metric}: {_score(found.mean, found.deviation)}")
    render.paragraph(f"folds: {', '.join(f'{score:.4f}' for score in found.scores)}")


def _score(mean: float, deviation: float | None) -> str:
    return f"{mean:.4f}" + (f" ± {deviation:.4f}" if deviation is not None else "")


def _figures(trial: "tuning.Trial") -> str:
    return f"{trial.number:5}  {len(trial.scores):5}  {_score(trial.mean, trial.deviation)}"


def _drawn(trial: "tuning.Trial") -> str:
    return " ".join(setting_words(name, value) for name, value in trial.drawn.items()) or "as given"


def _show_trials(found: "tuning.Tuning") -> None:
    """The best trials, the given settings among them, and what mattered."""
    render.show(f"trial  folds  {found.metric}", "bold")
    for trial in [*found.trials[:SHOWN], *(trial for trial in found.trials[SHOWN:] if not trial.number)]:
        render.show(_figures(trial))
        render.paragraph(_drawn(trial), indent=" " * 7)
    stay = "they stay unless another trial is better by more than twice the standard error of such differences"
    render.paragraph(f"Trials: {len(found.trials):,}. Trial 0 has the settings as given; {stay}.")
    ordered = sorted(found.importance.items(), key=lambda item: -item[1])
    mattered = ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in ordered)
    if mattered and len(found.trials) >= ENOUGH:
        render.paragraph(f"What mattered (variance between trials that each setting alone explains): {mattered}.")


def _show_comparison(found: "comparison.Comparison") -> None:
    """What was compared, the figures of each arm, and the answer."""
    render.show(found.data, "bold")
    sizes = [f"{table.SPLITS[s]} {n:,}{' (its own split)' * (s in found.own_parts)}" for s, n in found.texts.items()]
    render.paragraph(f"Texts: {', '.join(sizes)}. Labels: {len(found.labels):,}.")
    if drawn := [table.SPLITS[name] for name in ("dev", "test") if name not in found.own_parts]:
        render.paragraph(f"Drawn anew for each seed: {' and '.join(drawn)}.")
    render.paragraph(f"Embedding of {found.settings['dim']}, {found.settings['hidden']} hidden units.")
    _show_table(found)
    if "test" in found.own_parts:
        render.paragraph("All seeds share the test texts: ± does not show how much other texts would differ.")
    for summary in found.arms:
        if n := summary.unfinished:
            improving = f"still improving after the last epoch in {n} of {summary.runs} runs"
            render.paragraph(f"{summary.arm}: {improving}; try --epochs {4 * found.settings['epochs']}.")
    if difference := found.best_trainable_against_best_fixed:
        render.paragraph(f"\n{_conclusion(difference)}")


def _show_table(found: "comparison.Comparison") -> None:
    rows = []
    for arm in found.arms:
        against, deviation = arm.against_fixed, f" ± {100 * arm.deviation:.2f}" if arm.deviation is not None else ""
        rows.append((
            arm.arm,
            f"{100 * arm.mean:.2f}{deviation}",
            *((render.number(100 * against.mean, "+.2f"), _p(against.p)) if against else ("", "")),
            f"{arm.seconds:.1f}",
            f"{arm.parameters:,.0f}",
        ))  # fmt: skip
    columns = ("embeddings", "accuracy %", "vs fixed", "p", "seconds", "trained")
    baselines = comparison.MAJORITY, comparison.LINEAR
    render.table(columns, rows, line_after=sum(arm.arm not in baselines for arm in found.arms))
    least, runs = min(((d.least_p, d.runs) for s in found.arms if (d := s.against_fixed)), default=(1, 1))
    render.paragraph(
        "accuracy: on the test texts, mean ± standard deviation over the seeds. vs fixed: difference from fixed random "
        f"embeddings in points. p: exact sign-flip test; with {counted(runs, 'seed')} the smallest possible p is "
        f"{_p(least)}. seconds: of a run. trained: number of parameters."
    )
    bars = [(arm.arm, render.bar(arm.mean, 40), f"{arm.mean:.1%}") for arm in found.arms]
    render.table(("embeddings", "accuracy", ""), bars, "", left=2)


def _conclusion(found: "comparison.Difference") -> str:
    verb = "better than" if found.mean > 0 else "worse than" if found.mean < 0 else "apart from"
    if found.runs == 1:
        chance = "one seed cannot tell that from chance; take more with --seeds"
    else:
        least = f", the smallest possible with {counted(found.runs, 'seed')}" if found.p == found.least_p else ""
        chance = f"p = {_p(found.p)}{least}"
    return (
        f"Trainable or fixed? The best trainable embeddings ({found.arm}) are {abs(100 * found.mean):.2f} points "
        f"{verb} the best fixed ones ({found.other}), each the best of its kind on the held-out texts: {chance}."
    )


def _p(p: float) -> str:
    return f"{p:.3g}" if p >= 0.001 else f"{p:.1e}"
