"""``mlcore evaluate``, ``report`` and ``predict``: how good a trained model is, and what it predicts."""

import errno
import json
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlcore.errors import DataError, InputError
from mlcore.files import beside, check_outputs, name_of
from mlcore.sentiment.answers import Answers
from mlcore.text.layout import Layout
from mlcore.text.pool import available_cores

from . import render
from .dataset import DataArgument, Scheduler, connected, for_model, path_option, read
from .output import (
    PAGE,
    STANDARD_STREAM,
    Json,
    ModelFile,
    Output,
    answer,
    check_standard_input,
    compilation,
    kind_of,
    load,
    print_json,
    standard_input,
    with_options,
    write_output,
)
from .printable import printable

if TYPE_CHECKING:
    from mlcore.sentiment.evaluation import AnyEvaluation, Assessment, Evaluation, MultiLabelEvaluation, WordScore
    from mlcore.sentiment.figures import LabelFigures
    from mlcore.sentiment.model import Model
    from mlcore.sentiment.prediction import Predictions
    from mlcore.text.table import Notes, Table

Mistakes = Annotated[int, typer.Option(metavar="N", min=0, help="Show the N worst mistakes.")]
MAX_AT_ONCE = 1 << 15  # texts that are predicted together
MAX_LABELS = 20  # rows of a table
MAX_CONFUSIONS = 12
PATH = re.compile(r"\S+\.(csv|tsv|txt|jsonl?|parquet|xlsx?|zip|gz|zst)")  # what is more likely a path than a text
PREDICTIONS = rb"predicted"  # in the header, the first line or the footer of a table that predict has written


@with_options
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
    from mlcore.sentiment.evaluation import assess

    def compute() -> "Assessment":
        loaded = load(model)
        layout_of_model = for_model(layout, loaded)
        if scheduler:
            from mlcore.distributed.prediction import assess_shards

            with connected(scheduler, as_json) as cluster:
                return assess_shards(cluster, loaded, data, layout_of_model)
        dataset = read(data, layout_of_model, as_json, keep_texts=errors > 0)
        return assess(loaded, dataset, errors, available_cores())

    if scheduler and errors:
        raise InputError("With --scheduler, the texts stay on the workers: leave out --errors.")

    answer("evaluate", compute, _show_assessment, as_json)


@with_options
def report(
    *, model: ModelFile, data: DataArgument, output: Output = Path("report.html"), errors: Mistakes = 10, layout: Layout
) -> None:
    """Example: mlcore report sentiment.safetensors reviews.csv -o report.html

    Write one self-contained web page: how a model was trained, its figures,
    confusion matrix and calibration on labelled texts, its strongest words,
    and its worst mistakes with the words that caused them. It measures the
    same texts as mlcore evaluate.
    """
    from mlcore.sentiment.report import report_page

    check_outputs({"output": output}, [model, *data], {"output": PAGE})
    with compilation():
        loaded = load(model)
        dataset = read(data, for_model(layout, loaded), keep_texts=True)
        with render.Activity("Evaluating"):
            page = report_page(loaded, str(model), dataset, errors, available_cores())
    # a terminal or a pipe may have any encoding
    content = page.encode("ascii", "xmlcharrefreplace") if output == STANDARD_STREAM else page.encode()
    write_output(output, content)


@with_options
def predict(
    *,
    model: ModelFile,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT|DATA", help="Texts, or files of texts.", show_default="standard input"),
    ] = None,
    text: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="A text, also if a file is so called.")] = None,
    files: Annotated[list[Path] | None, path_option("Plain texts, one per line.", "--file", "--lines")] = None,
    output: Annotated[
        Path | None, path_option("Write a table: .csv, .tsv, .jsonl or .parquet.", "--output", "-o")
    ] = None,
    answers: Answers,
    layout: Layout,
    scheduler: Scheduler = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Example: mlcore predict sentiment.safetensors reviews.csv -o answers.csv

    Predict the label of each text, or its rating. An argument that is a file
    is read as a table, like the data of a training. With -o, its rows are
    written in order with all their columns, the label, its probability and
    the share of the words that are known. Without -o, one line per text is
    printed: label, probability and number of known words, separated by tabs.
    Without arguments it reads lines from standard input and answers each at
    once. Lines that were not UTF-8 are marked. Put -- before texts that begin
    with a dash.
    """
    if scheduler:
        if not (output and texts) or text or files:
            raise InputError("--scheduler needs files, or patterns such as 'shards/*.csv', and --output, a folder.")
        return _predict_shards(scheduler, model, texts, output, answers, layout, as_json)
    if output:
        if len(texts or []) != 1 or text or files:
            raise InputError("--output needs one file of texts; give its path as the argument after the model.")
        return _predict_table(model, Path((texts or [])[0]), output, answers, layout, as_json)
    if (texts or text) and files:
        raise InputError("Give either texts or --file, not both")
    _predict_lines(model, texts or [], text or [], files or [STANDARD_STREAM], answers, layout, as_json)


def _predict_table(model: Path, data: Path, output: Path, answers: Answers, layout: Layout, as_json: bool) -> None:
    """Write a table with predictions, and say what was done to it."""
    from mlcore.sentiment.prediction import predict
    from mlcore.sentiment.tables import check_suffix, predict_table
    from mlcore.text.table import Notes

    check_suffix(output)
    check_outputs({"output": output}, [model, data], {"output": PREDICTIONS})
    done, name = "Replaced" if output.exists() else "Wrote", name_of(data)
    with compilation(as_json), render.Activity(f"Predicting {name}", as_json) as activity:
        loaded = load(model)
        table = _table(data, layout, loaded, Notes())

        def progress(rows: int) -> None:
            activity.update(f"Predicting {name}: {rows:,} rows")

        try:
            with beside(output) as new, open(new, "r+b") as file:
                common = loaded.labels, partial(predict, loaded), table, output, file, answers
                found = predict_table(*common, available_cores(), progress)
        except MemoryError as error:
            raise DataError(f"{name} has rows that are too large for the memory of this machine") from error
    counted = {
        "Rows without a text: {:,}; their predictions are empty.": found.without_text,
        "Rows below the threshold: {:,}; they are left to you.": found.doubtful,
        "Cells that begin with = + - or @: {:,}; an apostrophe before them keeps spreadsheets from running them as "
        "formulas. JSON Lines and Parquet keep them as they are.": found.made_safe,
    }
    for sentence in [*found.notes, *(sentence.format(n) for sentence, n in counted.items() if n)]:
        render.say(f"mlcore: {sentence}")
    if as_json:
        print_json("predict-table", found)
    else:
        rows = f"{found.rows:,} row{'s' * (found.rows != 1)}"
        render.say(f"{done} {output}: {rows}, with the new columns {', '.join(found.columns)}.")


def _predict_shards(
    scheduler: str, path: Path, shards: list[str], folder: Path, answers: Answers, layout: Layout, as_json: bool
) -> None:
    """Let the workers of a cluster predict files, one after the other, and say what they did."""
    from mlcore.distributed.prediction import predict_shards

    model = load(path)
    with connected(scheduler, as_json) as cluster:
        n_shards, written = predict_shards(cluster, model, shards, folder, answers, for_model(layout, model))
    figures = {"output": str(folder), "shards": n_shards, "written": len(written)}
    figures |= {name: sum(getattr(found, name) for found in written) for name in ("rows", "without_text", "doubtful")}
    if as_json:
        return print_json("predict-shards", figures)
    there = n_shards - len(written)
    also = f"; {there:,} {'was' if there == 1 else 'were'} complete already" if there else ""
    render.say(
        f"Wrote {len(written):,} file{'s' * (len(written) != 1)} with {figures['rows']:,} rows to {folder}{also}."
    )


def _table(path: Path, layout: Layout, model: "Model", notes: "Notes") -> "Table":
    """The table in a file."""
    from mlcore.text.readers import read_tables

    (table,) = read_tables(path, for_model(layout, model), notes, labelled=False)
    return table


def _predict_lines(
    model: Path, arguments: list[str], texts: list[str], files: list[Path], answers: Answers, layout: Layout,
    as_json: bool,
) -> None:  # fmt: skip
    """Print a line for each text."""
    from mlcore.sentiment.prediction import MAX_PROBABILITIES, predict
    from mlcore.text.pool import in_order
    from mlcore.text.streams import decode_arguments, decode_lines, in_portions
    from mlcore.text.table import Notes

    check_standard_input(files)
    for path in files:  # report a wrong one before the first answer
        if path != STANDARD_STREAM and (path.stat() and path.is_dir()):
            raise IsADirectoryError(errno.EISDIR, "is a folder, not a file with one text per line", str(path))
    notes = Notes()
    with compilation():
        loaded = load(model)
        answers.columns(loaded.labels)  # whether it has probabilities
        write = _json_lines if as_json else _lines
        size = max(1, min(MAX_AT_ONCE, MAX_PROBABILITIES // max(len(loaded.labels), 1)))

        def texts_given() -> Iterator[str]:
            for argument in arguments:
                # among texts, a dash is one of them
                if arguments == ["-"] or (kind := kind_of(argument)):
                    if argument != "-":
                        render.say(f"{argument} is a {kind}: predicting the texts in it (--text takes it as a text).")
                    table = _table(Path(argument), layout, loaded, notes)
                    rows = table.texts(table.columns())
                    if (first := next(rows, None)) is None:
                        render.say(f"{argument} contains no texts.")
                    yield from (text or "" for _, text in chain([first] if first else [], rows))
                else:
                    if PATH.fullmatch(argument):
                        render.say(f"There is no file {argument}: it is taken as a text.")
                    yield argument
            yield from texts

        portions: Iterable[Any] = in_portions(chain.from_iterable(_read_lines(path, notes) for path in files), size)
        if arguments or texts:
            given = texts_given()
            portions = iter(lambda: list(islice(given, size)), [])

        def predict_lines(portion: Any) -> str:
            lines = decode_lines(portion) if isinstance(portion, bytes) else decode_arguments(portion)
            return write(predict(loaded, lines.texts), answers, lines.undecodable)

        # an empty portion means that nothing more has arrived: answer everything so far
        arrived = (portion or None for portion in portions)
        for printed in in_order(predict_lines, arrived, available_cores()):
            sys.stdout.write(printed)
            sys.stdout.flush()
    for sentence in notes.sentences():
        render.say(f"mlcore: {sentence}")


def _read_lines(path: Path, notes: "Notes") -> Iterator[bytes]:
    from mlcore.text.streams import read_lines, read_stream

    if path != STANDARD_STREAM:
        return read_lines(path, notes.guesses.append)
    return read_stream(standard_input("Type one text per line; Ctrl-D ends."), "standard input")


def _lines(found: "Predictions", answers: Answers, undecodable: Collection[int]) -> str:
    """A line for each text: label and probability, or rating, and the number of known words."""
    from mlcore.sentiment.prediction import answer_columns

    *columns, _ = answer_columns(answers, found)
    safe = lru_cache(printable)  # labels repeat
    shown = [
        [f"{value:.4f}" for value in column] if column and isinstance(column[0], float) else map(safe, column)
        for column in columns
    ]
    remarks = [f"{known} known" if known else "no known words; default prediction" for known in found.known.tolist()]
    for i in undecodable:
        remarks[i] += "\tnot UTF-8"
    return "\n".join([*map("\t".join, zip(*shown, remarks, strict=True)), ""])


def _json_lines(found: "Predictions", answers: Answers, undecodable: Collection[int]) -> str:
    """A JSON object for each text."""
    encode = json.JSONEncoder(allow_nan=False).encode
    return "".join(
        encode({"schema": "mlcore.predict/1", **entry, "undecodable": i in undecodable}) + "\n"
        for i, entry in enumerate(found.to_dicts(answers))
    )


# Tables ---------------------------------------------------------------------------------------------------


def _show_assessment(found: "Assessment") -> None:
    from mlcore.text.labels import unknown_note

    if found.warning:
        render.paragraph(f"{found.warning}\n", "bold yellow")
    show_evaluation(found.title, found.evaluation)
    if found.unknown_labels:
        render.paragraph(f"\n{unknown_note(found.unknown_labels)}.", "bold yellow")
    if found.mistakes:
        render.show("\nWorst mistakes", "bold")
    for mistake in found.mistakes:
        answers = mistake.truth, mistake.predicted
        truth, predicted = (render.number(a) if isinstance(a, float) else render.shortened(a) for a in answers)
        probability = "" if mistake.probability is None else f" ({mistake.probability:.2%})"
        render.paragraph(f"{mistake.place}: {truth}, predicted {predicted}{probability}")
        render.show(f"  {render.shortened(mistake.text, render.COLUMNS - 2)}")


def show_evaluation(title: str, found: "AnyEvaluation", brief: bool = False) -> None:
    """All figures, or the main ones as after a training."""
    from mlcore.sentiment.evaluation import MultiLabelEvaluation, RatingEvaluation

    number = render.number
    if isinstance(found, MultiLabelEvaluation):
        scores = f"micro F1 {number(found.micro.f1, '.2%')}, macro F1 {number(found.macro.f1, '.2%')}"
        render.paragraph(f"{title}: {scores} on {found.n:,} texts, loss {found.loss:.4f}", "bold")
        complete = f"all labels right in {found.accuracy:.2%} of the texts"
        render.paragraph(f"{complete}, {found.hamming_loss:.2%} of all decisions wrong (Hamming loss)")
        if not brief:
            render.show(f"calibration error {found.calibration_error:.4f}")
            _show_labels(found, {"all (micro)": found.micro, "mean (macro)": found.macro}, found.thresholds)
        return
    if isinstance(found, RatingEvaluation):
        error = f"root mean square error {found.rmse:.4f} on {found.n:,} texts"
        render.paragraph(f"{title}: {error}, loss {found.loss:.4f}", "bold")
        if not brief:
            render.paragraph(
                f"mean absolute error {found.mae:.4f}; always answering the mean gives a root mean square error of "
                f"{found.baseline:.4f}; R² {number(found.r2, '.4f')}, correlation {number(found.pearson, '.4f')}"
            )
        return
    right, (low, high) = found.right, found.accuracy_interval
    accuracy = f"accuracy {found.accuracy:.2%} ({right:,} of {found.n:,})"
    render.paragraph(f"{title}: {accuracy}, loss {found.loss:.4f}", "bold")
    if not brief:
        always = f"always answering {render.shortened(found.most_frequent)} gives {found.baseline:.2%}"
        render.paragraph(f"95% interval {low:.2%} to {high:.2%}; {always}")
        curve = f"ROC AUC {number(found.auc, '.4f')}, " if len(found.labels) == 2 else ""
        render.show(f"{curve}Brier score {found.brier:.4f}, calibration error {found.calibration_error:.4f}")
        _show_labels(found, {"mean": found.macro, "weighted mean": found.weighted})
        render.show("")
    _show_confusion(found)
    if not brief:
        rows = [
            (f"{b.low:.0%} to {b.high:.0%}", f"{b.n:,}", *map("{:.1%}".format, b[3:]), render.bar(b.accuracy))
            for b in found.calibration
            if b.accuracy is not None
        ]
        title = "\nCalibration: is the predicted label right as often as its probability says?"
        render.table(("probability", "texts", "mean", "right", ""), rows, title)


def _show_labels(
    found: "Evaluation | MultiLabelEvaluation", averages: "dict[str, LabelFigures]", thresholds: Iterable[float] = ()
) -> None:
    """Averages and labels with their figures, and perhaps the thresholds of the labels."""
    of_label = {label: [f"{threshold:.2f}"] for label, threshold in zip(found.labels, thresholds, strict=False)}
    labels = sorted(found.per_label.items(), key=lambda row: -row[1].support)
    rows = [*((*row, []) for row in averages.items()), *((*row, of_label.get(row[0], [])) for row in labels)]
    cells = [
        [render.shortened(name), *(render.number(value, ".2%") for value in figures[:3]), f"{figures.support:,}", *more]
        for name, figures, more in rows
    ]
    columns = ("label", "precision", "recall", "F1", "texts", *["threshold"] * bool(thresholds))
    render.table(columns, cells, "\nEach label", line_after=2, most=MAX_LABELS + 2)


def _show_confusion(found: "Evaluation") -> None:
    """The matrix where it fits into the terminal, else the most frequent confusions."""
    matrix = found.confusion if len(found.labels) <= render.COLUMNS else None
    names = [render.shortened(label) for label in found.labels]
    counts = [] if matrix is None else [[f"{count:,}" for count in row] for row in matrix.tolist()]
    for prefix in ("predicted ", "") if counts else ():
        columns = ["truth", *(prefix + name for name in names)]
        rows = [[name, *row] for name, row in zip(names, counts, strict=True)]
        widths = [max(map(render.width, column)) for column in zip(columns, *rows, strict=True)]
        if sum(widths) + 3 * len(widths) <= render.COLUMNS:
            return render.table(columns, rows, None if prefix else "Truth (rows) and prediction (columns)")
    cells = [(render.shortened(truth), render.shortened(label), f"{n:,}") for truth, label, n in found.confusions()]
    render.table(("truth", "predicted", "texts"), cells, "Most frequent confusions", left=2, most=MAX_CONFUSIONS)


def show_strongest_words(strongest: "dict[str, list[WordScore]]", labels: tuple[str, ...]) -> None:
    """The features that speak most for each label: beside each other for two, else a line for each label."""
    names = [render.shortened(label) for label in strongest]
    if not any(strongest.values()):  # no word is frequent enough to be listed
        return
    if len(strongest) == 2:
        figure = "score" if labels else "rating"
        columns = [column for name in names for column in (f"for {name}" if labels else name, figure)]
        cells = [
            [(render.shortened(entry.word), render.number(entry.score, "+.1f")) for entry in entries]
            for entries in strongest.values()
        ]
        rows = [(*first, *second) for first, second in zip_longest(*cells, fillvalue=("", ""))]
        render.table(columns, rows, f"\nStrongest words ({figure} of a text with only this word)", left=(0, 2))
        return
    room = render.COLUMNS - 6 - max(map(render.width, names))
    words = [render.shortened(", ".join(entry.word for entry in entries), room) for entries in strongest.values()]
    render.table(("for", "words"), zip(names, words, strict=True), "\nStrongest words", left=2, most=MAX_LABELS)
