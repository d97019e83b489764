"""``mlcore data``, and what every command that reads labelled texts has in common: options, and progress."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import InputError

if TYPE_CHECKING:
    from mlcore.text.corpus import Corpus


def data_path(text: str) -> Path:
    """The path that was typed; ``Path("")`` would be the current folder."""
    if not text:
        raise typer.BadParameter("is empty; expected a file or a folder, or - for standard input.")
    return Path(text)


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


def data(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Files or folders of labelled texts, or - for standard input.",
            parser=data_path,
            show_default=False,
        ),
    ],
    dev: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Held-out texts in a file of their own.", parser=data_path),
    ] = None,
    file_format: Format = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Example: mlcore data reviews.csv

    Look at labelled texts before training on them: how many there are of each
    label, how long they are, which are empty, repeated, labelled in two ways,
    in two parts or not UTF-8, and how much of the held-out texts the
    vocabulary of the others knows. Files may be compressed (.gz, .bz2, .xz).
    """
    from mlcore.text.inspection import inspect

    from . import dataset_view, render

    if dev in paths:
        raise InputError(f"dev is {dev}, which is among the texts to train on; expected other texts.")
    corpora = [
        read(part, file_format, text_column, label_column, quiet=as_json, lenient=True)
        for part in ([paths, [dev]] if dev else [paths])
    ]
    with render.compilation(as_json), render.Activity("Looking at the texts", as_json):
        inspection = inspect(*corpora)
    if as_json:
        print(json.dumps({"schema": "mlcore.data/1"} | asdict(inspection), allow_nan=False))
    else:
        dataset_view.inspection(inspection)


def read(
    paths: Sequence[Path] | Path,
    file_format: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    quiet: bool = False,
    lenient: bool = False,
) -> "Corpus":
    """Read labelled texts and say how far it is, on stderr."""
    from mlcore.text.corpus import read_corpus

    paths = [paths] if isinstance(paths, Path) else paths
    with reading(paths, quiet) as progress:
        return read_corpus(paths, file_format, text_column, label_column, progress, lenient)


@contextmanager
def reading(paths: Sequence[Path], quiet: bool) -> Iterator[Callable[[int], None]]:
    """Say on stderr what is read, and how far it is whenever the function is called with the number of texts."""
    from mlcore.text.corpus import name_of
    from mlcore.text.unpacking import STANDARD_INPUT

    from . import render

    name = ", ".join(map(name_of, paths))
    if STANDARD_INPUT in paths and sys.stdin is not None and sys.stdin.isatty() and not quiet:
        render.say("Reading standard input; Ctrl-D ends it.")
    with render.Activity(f"Reading {name}", quiet) as activity:
        yield lambda texts: activity.update(f"Reading {name}: {texts:,} texts")
