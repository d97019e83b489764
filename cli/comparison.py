"""``mlcore compare-embeddings``: the question of exercise 5."""

from pathlib import Path
from typing import Annotated

import typer

from mlcore.files import check_files
from mlcore.sentiment import comparison
from mlcore.sentiment.settings import Settings
from mlcore.text.layout import Layout
from mlcore.text.pool import available_cores

from . import interrupts, render
from .dataset import read
from .explanation import coverage_sentence, given_vectors
from .options import Data, Json, path_option
from .output import print_json

EPOCHS = 100  # enough for fixed embeddings; trainable ones stop long before
HIDDEN = 32
SPLITS = {"train": "training", "dev": "held out", "test": "test"}


def compare_embeddings(
    *,
    data: Data = None,
    vectors: Annotated[Path | None, path_option("Given vectors: GloVe, word2vec text or fastText .vec.")] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each kind.")] = 5,
    dim: Annotated[int, typer.Option(help="Width of the embedding.")] = 50,
    epochs: Annotated[int, typer.Option(help="Largest number of passes over the texts.")] = EPOCHS,
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
    settings = Settings(dim=dim, hidden=HIDDEN, epochs=epochs, ngrams=1, char_ngrams="none")
    check_files([*(data or []), vectors])
    dataset = read(data, layout)
    given = given_vectors(vectors, dataset.words, dim) if vectors else None
    experiment = comparison.Experiment(dataset, settings, seeds, given)
    found = _run(experiment)
    if as_json:
        print_json("compare-embeddings", found)
    elif found.runs:
        coverage = experiment.coverage
        _show(found, coverage_sentence(given.source, coverage, given.duplicates) if given and coverage else "")
    if found.interrupted or found.diverged:
        raise typer.Exit(interrupts.exit_code() if found.interrupted else 1)


def _run(experiment: "comparison.Experiment") -> "comparison.Comparison":
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


def _show(found: "comparison.Comparison", coverage: str) -> None:
    """What was compared, the figures of each arm, and the answer."""
    render.show(found.data, "bold")
    sizes = [f"{SPLITS[s]} {n:,}{' (its own split)' * (s in found.own_parts)}" for s, n in found.texts.items()]
    render.paragraph(f"Texts: {', '.join(sizes)}. Labels: {len(found.labels):,}.")
    if drawn := [SPLITS[name] for name in ("dev", "test") if name not in found.own_parts]:
        render.paragraph(f"Drawn anew for each seed: {' and '.join(drawn)}.")
    render.paragraph(f"Embedding of {found.settings['dim']}, {found.settings['hidden']} hidden units.")
    if coverage:
        render.paragraph(coverage)
    _show_table(found)
    if "test" in found.own_parts:
        render.paragraph("All seeds share the test texts: ± does not show how much other texts would differ.")
    for summary in found.arms:
        if n := summary.unfinished:
            improving = f"still improving after the last epoch in {n} of {summary.runs} runs"
            render.paragraph(f"{summary.arm}: {improving}; try --epochs {4 * found.settings['epochs']}.")
    if difference := found.best_trainable_against_best_fixed:
        render.show("")
        render.paragraph(_answer(difference))


def _show_table(found: "comparison.Comparison") -> None:
    rows = []
    for arm in found.arms:
        against, deviation = arm.against_fixed, f" ± {100 * arm.deviation:.2f}" if arm.deviation is not None else ""
        rows.append((
            arm.arm,
            f"{100 * arm.mean:.2f}{deviation}",
            *((render.number(100 * against.mean, "+.2f"), _p(against.p)) if against else ("", "")),
            str(arm.runs),
            f"{arm.parameters:,.0f}",
        ))  # fmt: skip
    columns = ("embeddings", "accuracy %", "vs fixed", "p", "runs", "trained")
    baselines = comparison.MAJORITY, comparison.LINEAR
    render.table(columns, rows, line_after=sum(arm.arm not in baselines for arm in found.arms))
    least, seeds = min(((d.least_p, d.runs) for s in found.arms if (d := s.against_fixed)), default=(1, 1))
    render.paragraph(
        "accuracy: on the test texts, mean ± standard deviation over the seeds. vs fixed: difference from fixed random "
        f"embeddings in points. p: exact sign-flip test; with {seeds} seeds the smallest possible p is {_p(least)}. "
        "trained: number of parameters."
    )


def _answer(found: "comparison.Difference") -> str:
    verb = "better than" if found.mean > 0 else "worse than" if found.mean < 0 else "apart from"
    if found.runs == 1:
        chance = "one seed cannot tell that from chance; take more with --seeds"
    else:
        least = f", the smallest possible with {found.runs} seeds" if found.p == found.least_p else ""
        chance = f"p = {_p(found.p)}{least}"
    return (
        f"Trainable or fixed? The best trainable embeddings ({found.arm}) are {abs(100 * found.mean):.2f} points "
        f"{verb} the best fixed ones ({found.other}), each the best of its kind on the held-out texts: {chance}."
    )


def _p(p: float) -> str:
    return f"{p:.3g}" if p >= 0.001 else f"{p:.1e}"
