"""``mlcore data``, and what every command that reads labelled texts shares: options, reading and its progress."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlcore.errors import InputError

if TYPE_CHECKING:
    from mlcore.text.dataset import Dataset
    from mlcore.text.inspect import Inspection

MAX_EXAMPLES = 5  # of a finding; --json has all lines that are not UTF-8
MAX_LABELS = 20
LABEL_WIDTH, BAR_WIDTH = 20, 24


def data_path(text: str) -> Path:
    """The path that was typed; ``Path("")`` would be the current folder."""
    if not text:
        raise typer.BadParameter("is empty; give a file or a folder, or - for standard input.")
    return Path(text)


DataArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATA...",
        help="Files or folders of labelled texts, or - for standard input.",
        parser=data_path,
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", help="folder, csv, tsv, jsonl or fasttext.", show_default="by name or content"),
]
TextColumn = Annotated[
    str | None, typer.Option("--text-column", metavar="NAME", help="Column or key of the texts.", show_default="text")
]
LabelColumn = Annotated[
    str | None,
    typer.Option("--label-column", metavar="NAME", help="Column or key of the labels.", show_default="label"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def data(
    paths: DataArgument,
    dev: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Held-out texts in a file of their own.", parser=data_path)
    ] = None,
    file_format: Format = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore data reviews.csv

    Look at labelled texts before you train on them: how many each label has
    and how long they are; which are empty, duplicates, labelled differently,
    in more than one split, or not UTF-8; and how many words of the held-out
    texts occur in the training texts. Files may be compressed (.gz, .bz2, .xz).
    """
    from mlcore.text.inspect import inspect

    from . import render
    from .output import print_json

    if dev in paths:
        raise InputError("these texts are trained on; give other texts", parameter="dev", value=str(dev))
    options = file_format, text_column, label_column
    with render.compilation(as_json):
        datasets = [read(part, *options, as_json, True, True) for part in ([paths, [dev]] if dev else [paths])]
        with render.Activity("Inspecting the texts", as_json):
            inspection = inspect(*datasets)
    if as_json:
        print_json("data", inspection)
    else:
        show_inspection(inspection)


# Reading --------------------------------------------------------------------------------------------------


def read(
    paths: Sequence[Path] | Path,
    file_format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    quiet: bool = False,
    lenient: bool = False,
    keep_texts: bool = False,
    threads: int | None = None,
) -> "Dataset":
    """Read labelled texts, and report progress on stderr."""
    from mlcore.text.dataset import read_dataset
    from mlcore.text.pool import available_cores

    paths = [paths] if isinstance(paths, Path) else paths
    columns = file_format, text_column, label_column
    with reading(paths, quiet) as progress:
        return read_dataset(paths, *columns, threads or available_cores(), progress, keep_texts, lenient)


@contextmanager
def reading(paths: Sequence[Path], quiet: bool) -> Iterator[Callable[[int], None]]:
    """Report on stderr what is read, and how many texts so far whenever the function is called with their number."""
    from mlcore.text.streams import STANDARD_INPUT, name_of

    from . import render

    name = ", ".join(map(name_of, paths))
    if STANDARD_INPUT in paths and sys.stdin is not None and sys.stdin.isatty() and not quiet:
        render.say("Reading standard input; Ctrl-D ends it.")
    with render.Activity(f"Reading {name}", quiet) as activity:
        yield lambda texts: activity.update(f"Reading {name}: {texts:,} texts")


# Tables ---------------------------------------------------------------------------------------------------


def show_inspection(found: "Inspection") -> None:
    """Sizes, labels of each split, lengths, what would mislead a training, and the vocabulary's coverage."""
    from mlcore.text.readers import SPLITS

    from .render import Grid, out, shortened, show

    def number(count: int, thing: str) -> str:
        return f"{count:,} {thing}{'s' * (count != 1)}"

    def bar(count: float, largest: float) -> str:
        return "█" * max(round(BAR_WIDTH * count / largest), 1) if count else ""  # at least a block for what is there

    def grid_with_bars(*columns: str, left: int) -> Grid:
        grid = Grid(*columns, "", left=left)
        grid.columns[-1].justify = "left"
        return grid

    show(found.source + (f"; held out: {found.dev_source}" if found.dev_source else ""), "bold")
    sizes = number(found.texts, "text"), number(len(found.labels), "label"), number(found.tokens, "token")
    show(f"{', '.join(sizes)} ({found.vocabulary:,} distinct)")

    grid = grid_with_bars("split", "label", "texts", "share", left=2)
    largest = max(count for counts in found.parts.values() for count in counts.values())
    for split, counts in found.parts.items():
        most_frequent = sorted(counts, key=lambda label: -counts[label])[:MAX_LABELS]
        total, name = sum(counts.values()), SPLITS[split] if len(found.parts) > 1 else "all"
        for label in counts if len(counts) <= MAX_LABELS else most_frequent:
            count = counts[label]
            grid.add(name, shortened(label, LABEL_WIDTH), f"{count:,}", f"{count / total:.1%}", bar(count, largest))
            name = ""
        if others := total - sum(counts[label] for label in most_frequent):
            grid.add("", f"({len(counts) - MAX_LABELS:,} more)", f"{others:,}", f"{others / total:.1%}", "")
    out.print(grid)

    lengths = found.lengths
    show("\nTokens per text", "bold")
    show(
        "min {minimum:,}, quartiles {lower_quartile:,}, {median:,} and {upper_quartile:,}, max {maximum:,}, "
        "mean {mean:,.1f}".format_map(lengths)
    )
    grid = grid_with_bars("tokens", "texts", left=0)
    largest = max(bin["texts"] for bin in lengths["histogram"])
    for bin in lengths["histogram"]:
        span = f"{bin['first']:,}" if bin["first"] == bin["last"] else f"{bin['first']:,} to {bin['last']:,}"
        grid.add(span, f"{bin['texts']:,}", bar(bin["texts"], largest))
    out.print(grid)

    findings = {"empty (no words or punctuation)": found.empty, "duplicates within the same split": found.duplicates,
                "same text with different labels": found.conflicts}  # fmt: skip
    for split, shared in found.shared.items():
        findings[f"{'held-out' if split == 'dev' else split} texts that are also in training"] = shared
    findings["lines or files that are not UTF-8"] = found.undecodable
    show("\nWorth a look", "bold")
    grid = Grid("finding", "number")
    for name, finding in findings.items():
        grid.add(name, (f"{finding['count']:,}", "bold" if finding["count"] else ""))
    out.print(grid)

    def line(example: Any) -> str:
        if finding is found.conflicts:
            return ", ".join(f"{place} ({shortened(label, LABEL_WIDTH)})" for label, place in example.items())
        return example if isinstance(example, str) else f"{example['place']} = {example['earlier']}"

    wrap = textwrap.TextWrapper(80, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
    for name, finding in findings.items():
        if finding["count"]:
            show(f"{name[0].upper()}{name[1:]}:")
            for example in (finding.get("places") or finding["examples"])[:MAX_EXAMPLES]:
                show(wrap.fill(line(example)))
            if (more := finding["different" if finding is found.conflicts else "count"] - MAX_EXAMPLES) > 0:
                show(f"  and {more:,} more")

    if found.coverage:
        show("\nVocabulary coverage by split", "bold")
        grid = grid_with_bars("split", "--min-count", "words", "known", left=1)
        for covered in found.coverage:
            name = (SPLITS | {"tenth": "random tenth"})[covered["part"]]
            for known in covered["known"]:
                share = "-" if known["share"] is None else f"{known['share']:.2%}"
                grid.add(name, str(known["min_count"]), f"{known['words']:,}", share, bar(known["share"] or 0, 1))
                name = ""
        out.print(grid)
