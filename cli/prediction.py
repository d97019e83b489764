"""``mlcore predict``: what a trained model says of texts."""

import json
import sys
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from mlcore.distributed import prediction as sharded
from mlcore.errors import DataError, InputError, counted
from mlcore.files import STANDARD_STREAM, beside, check_files, name_of
from mlcore.sentiment import model as models
from mlcore.sentiment import model_file, prediction, tables
from mlcore.sentiment.answers import Answers
from mlcore.text import folders, pool, readers, remote, streams
from mlcore.text import table as tabular
from mlcore.text.layout import Layout
from mlcore.text.pool import available_cores

from . import render
from .dataset import connected, for_model
from .options import ModelFile, Scheduler, flag, option
from .output import kind_of, print_json, standard_input
from .printable import printable

TEXTS, LINES = "Texts, or files of texts.", "standard input"
MAX_AT_ONCE = 1 << 15  # texts that are predicted together
SUFFIXES = {*folders.TABLES, *readers.TABLE_SUFFIXES, *readers.TAR_SUFFIXES, *streams.SUFFIXES, ".txt"}  # of data
PREDICTIONS = rb"predicted"  # in the header, the first line or the footer of a table that predict has written


def predict(
    *,
    model: ModelFile,
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT|DATA", help=TEXTS, show_default=LINES)] = None,
    text: Annotated[list[str] | None, option("TEXT", "A text, also if a file is so called; may be repeated.")] = None,
    files: Annotated[
        list[Path] | None, option("PATH", "Plain texts, one per line; may be repeated.", "--file", "--lines")
    ] = None,
    output: Annotated[Path | None, option("PATH", "A table: .csv, .tsv, .jsonl or .parquet.", "--output", "-o")] = None,
    answers: Answers,
    layout: Layout,
    scheduler: Scheduler = None,
    as_json: Annotated[bool, flag("Print one JSON object per line.", "--json")] = False,
) -> None:
    """Example: mlcore predict sentiment.safetensors reviews.csv -o answers.csv

    Predict the label of each text, or its rating. An argument that is a file
    is read as a table, like the data of a training. With -o, its rows are
    written in order with all their columns, the label, its probability and
    the share of the words that are known. A .csv file gets the separator of
    the one that was read (, ; or |), and its byte order mark, so that Excel
    opens both alike. Without -o, one line per text is
    printed: label, probability and number of known words, separated by tabs.
    Without arguments it reads lines from standard input and answers each at
    once. Lines that were not UTF-8 are marked. Put -- before texts that begin
    with a dash.
    """
    arguments, given = texts or [], text or []
    if scheduler:
        if not (output and arguments) or given or files:
            raise InputError("--scheduler needs files, or patterns such as 'shards/*.csv', and --output, a folder.")
        return _predict_shards(scheduler, model, arguments, output, answers, layout, as_json)
    if output:
        if len(arguments) != 1 or given or files:
            raise InputError("--output needs one file of texts; give its path as the argument after the model.")
        return _predict_table(model, Path(arguments[0]), output, answers, layout, as_json)
    if (arguments or given) and files:
        raise InputError("Give either texts or --file, not both")
    _predict_lines(model, arguments, given, files or [STANDARD_STREAM], answers, layout, as_json)


def _predict_table(model: Path, data: Path, output: Path, answers: Answers, layout: Layout, as_json: bool) -> None:
    """Write a table with predictions, and say what was done to it."""
    tables.check_suffix(output)
    check_files([model, data], output=(output, PREDICTIONS))
    done, name = "Replaced" if output.exists() else "Wrote", name_of(data)
    with render.Activity(f"Predicting {name}") as activity:
        loaded = model_file.load_model(model)
        table = _table(data, layout, loaded, tabular.Notes())
        score, progress = partial(prediction.predict, loaded), activity.counting("rows")
        try:
            with beside(output) as new, open(new, "r+b") as file:
                found = tables.predict_table(score, table, output, file, answers, available_cores(), progress)
        except MemoryError as error:
            raise DataError(f"{name} has rows that are too large for the memory of this machine") from error
    found_in_rows = {
        "Rows without a text: {:,}; their predictions are empty.": found.without_text,
        "Rows below the threshold: {:,}; decide on them yourself.": found.doubtful,
        "Cells that begin with = + - or @: {:,}; an apostrophe before them keeps spreadsheets from running them as "
        "formulas. JSON Lines and Parquet keep them as they are.": found.made_safe,
    }
    for sentence in [*found.notes, *(sentence.format(n) for sentence, n in found_in_rows.items() if n)]:
        render.say(f"mlcore: {sentence}")
    if as_json:
        print_json("predict-table", found)
    else:
        render.say(f"{done} {output}: {counted(found.rows, 'row')}, with the new columns {', '.join(found.columns)}.")


def _predict_shards(
    scheduler: str, path: Path, shards: list[str], folder: Path, answers: Answers, layout: Layout, as_json: bool
) -> None:
    """Let the workers of a cluster predict files, one after the other, and say what they did."""
    model = model_file.load_model(path)
    with connected(scheduler) as cluster:
        n_shards, written = sharded.predict_shards(cluster, model, shards, folder, answers, for_model(layout, model))
    output = remote.url_of(folder)
    counts = {name: sum(getattr(found, name) for found in written) for name in ("rows", "without_text", "doubtful")}
    if as_json:
        return print_json("predict-shards", {"output": output, "shards": n_shards, "written": len(written), **counts})
    there = n_shards - len(written)
    also = f"; {there:,} {'was' if there == 1 else 'were'} complete already" if there else ""
    render.say(f"Wrote {counted(len(written), 'file')} with {counted(counts['rows'], 'row')} to {output}{also}.")


def _table(path: Path, layout: Layout, model: "models.Model", notes: "tabular.Notes") -> "tabular.Table":
    (table,) = readers.read_tables(path, for_model(layout, model), notes, labelled=False)
    return table


def _predict_lines(
    model: Path, arguments: list[str], texts: list[str], files: list[Path], answers: Answers, layout: Layout,
    as_json: bool,
) -> None:  # fmt: skip
    check_files(files)
    notes, write = tabular.Notes(), _json_lines if as_json else _lines
    loaded = model_file.load_model(model)
    columns, _ = prediction.answer_columns(answers, prediction.predict(loaded, []))
    if answers.probabilities and not as_json:
        render.say(f"Columns: {', '.join(columns)} words.")
    size = max(1, min(MAX_AT_ONCE, prediction.MAX_PROBABILITIES // max(len(loaded.labels), 1)))
    lines = chain.from_iterable(_read_lines(path, notes) for path in files)
    portions: Iterable[Any] = streams.in_portions(lines, size)
    if arguments or texts:
        given = chain(_read_arguments(arguments, loaded, layout, notes), texts)
        portions = iter(lambda: list(islice(given, size)), [])

    def predict_lines(portion: Any) -> str:
        decode = streams.in_utf8 if isinstance(portion, bytes) else streams.decode_arguments
        texts, undecodable = decode(portion)
        return write(prediction.predict(loaded, texts), answers, undecodable)

    # an empty portion means that nothing more has arrived: answer everything so far
    arrived = (portion or None for portion in portions)
    for printed in pool.in_order(predict_lines, arrived, available_cores()):
        sys.stdout.write(printed)
        sys.stdout.flush()
    for sentence in notes.sentences():
        render.say(f"mlcore: {sentence}")


def _read_arguments(
    arguments: list[str], model: "models.Model", layout: Layout, notes: "tabular.Notes"
) -> Iterator[str]:
    """The texts that arguments are, or those in the files that they name."""
    for argument in arguments:
        kind = kind_of(argument)
        if not kind and arguments != ["-"]:  # among texts, a dash is one of them
            is_one_word = argument.split() == [argument]
            if is_one_word and Path(argument).suffix.lower() in SUFFIXES:  # it is more likely a path than a text
                render.say(f"There is no file {argument}: it is taken as a text.")
            yield argument
            continue
        if argument != "-":
            render.say(f"{argument} is a {kind}: predicting the texts in it (--text takes it as a text).")
        rows = _table(Path(argument), layout, model, notes).texts()
        if (first := next(rows, None)) is None:
            render.say(f"{argument} contains no texts.")
        yield from (text or "" for _, text in chain([first] if first else [], rows))


def _read_lines(path: Path, notes: "tabular.Notes") -> Iterator[bytes]:
    if path == STANDARD_STREAM:
        standard_input("Type one text per line; Ctrl-D ends.")
    return streams.whole_lines(streams.read_pieces(path, notes.guesses.append), name_of(path))


def _lines(found: "prediction.Predictions", answers: Answers, undecodable: Collection[int]) -> str:
    """A line for each text: label and probability, or rating, and the number of known words."""
    _, (*columns, _) = prediction.answer_columns(answers, found)
    safe = lru_cache(printable)  # labels repeat
    shown = [
        [f"{value:.4f}" for value in column] if column and isinstance(column[0], float) else map(safe, column)
        for column in columns
    ]
    bases = [f"no known words; {basis}" for basis in ("default prediction", "read by their characters")]
    counts = zip(found.known.tolist(), found.features.tolist(), strict=True)
    remarks = [f"{known} known" if known else bases[features > 0] for known, features in counts]
    for i in undecodable:
        remarks[i] += "\tnot UTF-8"
    return "\n".join([*map("\t".join, zip(*shown, remarks, strict=True)), ""])


def _json_lines(found: "prediction.Predictions", answers: Answers, undecodable: Collection[int]) -> str:
    encode = json.JSONEncoder(allow_nan=False).encode
    return "".join(
        encode({"schema": "mlcore.predict/1", **entry, "undecodable": i in undecodable}) + "\n"
        for i, entry in enumerate(found.to_dicts(answers))
    )
