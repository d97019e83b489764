"""The table and the plot of ``mlcore compare-embeddings``."""

import math
from typing import TYPE_CHECKING

from .render import Grid, out, paragraph, show
from .vectors import coverage_sentence

if TYPE_CHECKING:
    from mlcore.sentiment.comparison import Difference, Experiment, Run, Summary

PLOT = 46  # columns
STEP = 0.05  # the ends of the plot's scale are multiples of it
PART = {"train": "training", "dev": "held out", "test": "test"}


def comparison(experiment: "Experiment", runs: "list[Run]") -> None:
    """What was compared, the figures of each arm, a plot of the accuracies, and the answer."""
    from mlcore.sentiment.comparison import answer, summarise

    summaries = summarise(runs, experiment.names())
    _head(experiment)
    _table(summaries)
    _notes(experiment, summaries)
    _plot(summaries)
    _answer(answer(runs, summaries))


def _head(experiment: "Experiment") -> None:
    sizes = ", ".join(
        f"{PART[name]} {len(rows):,}{' (its own part)' if len(experiment.own.get(name, ())) else ''}"
        for name, rows in experiment.rows(1).items()
    )
    settings = experiment.settings
    show(experiment.source, "bold")
    paragraph(f"Texts: {sizes}. Labels: {len(experiment.labels):,}.")
    drawn = [PART[name] for name, rows in experiment.own.items() if not len(rows)]
    if drawn:
        paragraph(f"Drawn anew for each seed: {' and '.join(drawn)}.")
    paragraph(f"Embedding of {settings.dim}, {settings.hidden} hidden units, features of 1 to {settings.ngrams} words.")
    if vectors := experiment.vectors:
        paragraph(coverage_sentence(vectors.source, vectors.coverage(experiment.word_counts), vectors.duplicates))


def _table(summaries: "list[Summary]") -> None:
    cut_short = len({summary.runs for summary in summaries}) > 1
    grid = Grid(
        "embeddings", "accuracy %", "vs fixed", "p", "runs" if cut_short else "seconds", "trained"
    )  # fmt: skip
    for summary in summaries:
        found, deviation = summary.against_fixed, summary.deviation
        grid.add(
            summary.arm,
            f"{100 * summary.mean:.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}"),
            _points(found.mean) if found else "",
            _p(found.p) if found else "",
            str(summary.runs) if cut_short else _seconds(summary.seconds),
            _millions(summary.parameters),
            end_section=summary is _last_arm(summaries),
        )
    out.print(grid)
    least = min((summary.against_fixed.least_p for summary in summaries if summary.against_fixed), default=1)
    paragraph(
        "accuracy: on the test texts, mean ± standard deviation over the seeds. vs fixed: points more than fixed "
        "random embeddings. p: exact sign-flip test over the seeds, so many of which cannot give less than "
        f"{_p(least)}. trained: parameters."
    )


def _notes(experiment: "Experiment", summaries: "list[Summary]") -> None:
    """What to keep in mind with these figures."""
    if len(experiment.own["test"]):
        paragraph("The test texts are the same for all seeds: ± does not say how much other texts would differ.")
    for summary in summaries:
        if summary.unfinished:
            paragraph(
                f"{summary.arm}: still improving when the epochs ran out, in {summary.unfinished} of {summary.runs} "
                f"runs; try --epochs {4 * experiment.settings.epochs}."
            )


def _last_arm(summaries: "list[Summary]") -> "Summary | None":
    from mlcore.sentiment.comparison import ARMS

    names = {arm.name for arm in ARMS}
    return next((summary for summary in reversed(summaries) if summary.arm in names), None)


def _plot(summaries: "list[Summary]") -> None:
    """A dot for each mean, and a whisker of one standard deviation to either side."""
    spans = [(s.mean - (s.deviation or 0), s.mean, s.mean + (s.deviation or 0)) for s in summaries]
    low = math.floor(min(span[0] for span in spans) / STEP) * STEP
    high = math.ceil(max(span[2] for span in spans) / STEP) * STEP
    high = max(high, low + STEP)
    width = max(len(s.arm) for s in summaries)

    def column(value: float) -> int:
        return round((value - low) / (high - low) * (PLOT - 1))

    left, right = f"{100 * low:.0f} %", f"{100 * high:.0f} %"
    show(f"\n{'':{width}}  {left}{right:>{PLOT - len(left)}}")
    for summary, span in zip(summaries, spans, strict=True):
        first, middle, last = map(column, span)
        line = [" "] * PLOT
        line[first : last + 1] = "─" * (last + 1 - first)
        if first < middle < last:
            line[first], line[last] = "├", "┤"
        line[middle] = "●"
        show(f"{summary.arm:{width}}  {''.join(line).rstrip()}")


def _answer(found: "Difference | None") -> None:
    if found is None:
        return
    verb = "better than" if found.mean > 0 else "worse than" if found.mean < 0 else "apart from"
    if found.runs == 1:
        chance = "one seed cannot tell that from chance; take more with --seeds"
    else:
        least = f", the least that {found.runs} seeds can give" if found.p == found.least_p else ""
        chance = f"p = {_p(found.p)}{least}"
    show("")
    paragraph(
        f"Trainable or fixed? The best trainable embeddings ({found.arm}) are {abs(100 * found.mean):.2f} points "
        f"{verb} the best fixed ones ({found.other}), each the best of its kind on the held-out texts: {chance}."
    )


def _points(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "−")


def _p(p: float) -> str:
    return f"{p:.3g}" if p >= 0.001 else f"{p:.1e}"


def _seconds(number: float) -> str:
    return f"{number:.2f}" if number < 100 else f"{number:.0f}"


def _millions(number: float) -> str:
    return f"{number:,.0f}" if number < 1e7 else f"{number / 1e6:.1f} M"
