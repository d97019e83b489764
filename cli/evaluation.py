"""``mlcore evaluate`` and ``report``: how good a trained model is."""

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

import typer

from mlcore.distributed import prediction as sharded
from mlcore.errors import InputError, counted
from mlcore.files import check_files
from mlcore.sentiment import evaluation, model_file
from mlcore.sentiment import report as reports
from mlcore.text.layout import Layout
from mlcore.text.pool import available_cores

from . import render
from .dataset import connected, for_model, read
from .options import DataArgument, Json, ModelFile, Output, Scheduler
from .output import PAGE, answer, write_output

Mistakes = Annotated[int, typer.Option(metavar="N", min=0, help="Show the N worst mistakes.")]
MAX_LABELS = 20  # rows of a table
MAX_CONFUSIONS = 12


def evaluate(
    *,
    model: ModelFile,
    data: DataArgument,
    errors: Mistakes = 0,
    layout: Layout,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore evaluate sentiment.safetensors reviews.csv

    Measure a model on labelled texts: accuracy with a confidence interval,
    precision and recall of each label, confusion matrix, log loss, calibration
    and the worst mistakes; for ratings, errors and correlation. Uses the test
    split of the data if there is one, else the dev split, else all texts.
    """
    if scheduler and errors:
        raise InputError("With --scheduler, the texts stay on the workers: leave out --errors.")
    loaded = model_file.load_model(model)
    layout = for_model(layout, loaded)
    if scheduler:
        with connected(scheduler) as cluster:
            found: evaluation.Assessment = sharded.assess_shards(cluster, loaded, data, layout)
    else:
        dataset = read(data, layout, keep_texts=errors > 0)
        found = evaluation.assess(loaded, dataset, errors, available_cores())
    answer("evaluate", found, _show_assessment, as_json)


def report(
    *, model: ModelFile, data: DataArgument, output: Output = Path("report.html"), errors: Mistakes = 10, layout: Layout
) -> None:
    """Example: mlcore report sentiment.safetensors reviews.csv -o report.html

    Write one self-contained web page: how a model was trained, its figures,
    confusion matrix and calibration on labelled texts, its strongest words,
    and its worst mistakes with the words that caused them. It measures the
    same texts as mlcore evaluate.
    """
    check_files([model, *data], output=(output, PAGE))
    loaded = model_file.load_model(model)
    dataset = read(data, for_model(layout, loaded), keep_texts=True)
    with render.Activity("Evaluating"):
        page = reports.report_page(loaded, str(model), dataset, errors, available_cores())
    write_output(output, page.encode())


# Tables ---------------------------------------------------------------------------------------------------


def _show_assessment(found: "evaluation.Assessment") -> None:
    if found.warning:
        render.paragraph(f"{found.warning}\n", "bold yellow")
    show_evaluation(found.title, found.evaluation)
    if found.note:
        render.paragraph(f"\n{found.note}.", "bold yellow")
    if found.mistakes:
        render.show("\nWorst mistakes", "bold")
    for mistake in found.mistakes:
        answers = mistake.truth, mistake.predicted
        truth, predicted = (render.number(a) if isinstance(a, float) else render.shortened(a) for a in answers)
        probability = "" if mistake.probability is None else f" ({mistake.probability:.2%})"
        render.paragraph(f"{mistake.place}: {truth}, predicted {predicted}{probability}")
        render.show(f"  {render.shortened(mistake.text, render.COLUMNS - 2)}")


def show_evaluation(title: str, found: "evaluation.AnyEvaluation", brief: bool = False) -> None:
    """All figures, or the main ones as after a training."""
    if isinstance(found, evaluation.RatingEvaluation):
        _show_ratings(title, found, brief)
    elif isinstance(found, evaluation.MultiLabelEvaluation):
        _show_several(title, found, brief)
    else:
        _show_decisions(title, found, brief)


def _show_ratings(title: str, found: "evaluation.RatingEvaluation", brief: bool) -> None:
    error = f"root mean square error {found.rmse:.4f} on {counted(found.n, 'text')}"
    render.paragraph(f"{title}: {error}, loss {found.loss:.4f}", "bold")
    if not brief:
        baseline = f"always answering the mean gives a root mean square error of {found.baseline:.4f}"
        fit = f"R² {render.number(found.r2, '.4f')}, correlation {render.number(found.pearson, '.4f')}"
        render.paragraph(f"mean absolute error {found.mae:.4f}; {baseline}; {fit}")


def _show_several(title: str, found: "evaluation.MultiLabelEvaluation", brief: bool) -> None:
    micro, macro = (render.number(average.f1, ".2%") for average in (found.micro, found.macro))
    render.paragraph(
        f"{title}: micro F1 {micro}, macro F1 {macro} on {counted(found.n, 'text')}, loss {found.loss:.4f}", "bold"
    )
    complete = f"all labels right in {found.accuracy:.2%} of the texts"
    render.paragraph(f"{complete}, {found.hamming_loss:.2%} of all decisions wrong (Hamming loss)")
    if not brief:
        render.show(f"calibration error {found.calibration_error:.4f}")
        _show_labels(found, {"all (micro)": found.micro, "mean (macro)": found.macro}, found.thresholds)


def _show_decisions(title: str, found: "evaluation.Evaluation", brief: bool) -> None:
    accuracy = f"accuracy {found.accuracy:.2%} ({found.right:,} of {found.n:,})"
    render.paragraph(f"{title}: {accuracy}, loss {found.loss:.4f}", "bold")
    if brief:
        return _show_confusion(found)
    low, high = found.accuracy_interval
    always = f"always answering {render.shortened(found.most_frequent)} gives {found.baseline:.2%}"
    render.paragraph(f"95% interval {low:.2%} to {high:.2%}; {always}")
    curve = f"ROC AUC {render.number(found.auc, '.4f')}, " if len(found.labels) == 2 else ""
    render.show(f"{curve}Brier score {found.brier:.4f}, calibration error {found.calibration_error:.4f}")
    _show_labels(found, {"mean": found.macro})
    render.show("")
    _show_confusion(found)


def _show_labels(
    found: "evaluation.Evaluation | evaluation.MultiLabelEvaluation",
    averages: "dict[str, evaluation.LabelFigures]",
    thresholds: Iterable[float] = (),
) -> None:
    """Averages and labels with their figures, and perhaps the thresholds of the labels."""
    of_label = {label: [f"{threshold:.2f}"] for label, threshold in zip(found.labels, thresholds, strict=False)}
    labels = sorted(found.per_label.items(), key=lambda row: -row[1].support)
    rows = [*((*row, []) for row in averages.items()), *((*row, of_label.get(row[0], [])) for row in labels)]
    cells = [
        [render.shortened(name), *(render.number(value, ".2%") for value in one[:3]), f"{one.support:,}", *more]
        for name, one, more in rows
    ]
    columns = ("label", "precision", "recall", "F1", "texts", *["threshold"] * bool(thresholds))
    render.table(columns, cells, "\nEach label", line_after=len(averages), most=MAX_LABELS + len(averages))


def _show_confusion(found: "evaluation.Evaluation") -> None:
    """The matrix where it fits into the terminal, else the most frequent confusions."""
    names = [render.shortened(label) for label in found.labels]
    matrix = found.confusion if len(names) <= render.COLUMNS else None
    counts = [] if matrix is None else [[f"{count:,}" for count in row] for row in matrix.tolist()]
    rows = [[name, *row] for name, row in zip(names, counts, strict=False)]
    for prefix in ("predicted ", "") if rows else ():
        columns = ["truth", *(prefix + name for name in names)]
        if render.fits(columns, rows):
            return render.table(columns, rows, None if prefix else "Truth (rows) and prediction (columns)")
    cells = [(render.shortened(truth), render.shortened(label), f"{n:,}") for truth, label, n in found.confusions()]
    render.table(("truth", "predicted", "texts"), cells, "Most frequent confusions", left=2, most=MAX_CONFUSIONS)


def show_strongest_words(strongest: dict[str, dict[str, float]], labels: tuple[str, ...]) -> None:
    """The features that speak most for each label: beside each other for two, else a line for each label."""
    if not any(strongest.values()):  # no word is frequent enough to be listed
        return
    if len(strongest) == 2:
        names = [render.shortened(label) for label in strongest]
        figure = "score" if labels else "rating"
        columns = [column for name in names for column in (f"for {name}" if labels else name, figure)]
        cells = [
            [(render.shortened(word), render.number(score, "+.1f")) for word, score in entries.items()]
            for entries in strongest.values()
        ]
        rows = [(*first, *second) for first, second in zip_longest(*cells, fillvalue=("", ""))]
        render.table(columns, rows, f"\nStrongest words ({figure} of a text with only this word)", left=(0, 2))
        return
    names = [render.shortened(label) for label, entries in strongest.items() if entries]
    room = render.COLUMNS - 6 - max(map(render.width, names))
    words = [render.shortened(", ".join(entries), room) for entries in strongest.values() if entries]
    render.table(("for", "words"), zip(names, words, strict=True), "\nStrongest words", left=2, most=MAX_LABELS)
