"""``mlcore exercise``: sheets to print, or a folder of them, with keys, for a class."""

from pathlib import Path
from typing import Annotated

import typer

from mlcore.errors import InputError
from mlcore.exercise import sheets
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS, KINKS
from mlcore.files import STANDARD_STREAM, check_new_folder, write_folder

from . import render
from .exercise import format_option
from .options import option, path_option

KIND = f"What to practise: {', '.join(KINDS)}."
DIFFICULTY, KINK = ("|".join(names) for names in (DIFFICULTIES, KINKS))
INTO = "Write sheets, keys and networks into a new folder."
FILE_SUFFIXES = (".xml", ".tex", ".txt", ".md", ".toml", ".json")


def exercise(
    seed: Annotated[int, typer.Option(help="Another seed makes another exercise.")] = 1,
    kind: Annotated[str, option("KIND", KIND, default=True)] = "relu",
    difficulty: Annotated[str, option(DIFFICULTY, "Sizes and numbers.", default=True)] = "medium",
    kink: Annotated[str, option(KINK, "Units to place on their kink.", default=True)] = "none",
    count: Annotated[int, typer.Option(help="Number of sheets, with the seeds from --seed on.")] = 1,
    output: Annotated[Path | None, path_option(INTO, "--output", "-o", metavar="FOLDER")] = None,
    output_format: Annotated[str, format_option("text|latex|markdown|moodle")] = "text",
) -> None:
    """Example: mlcore exercise --kind biases --count 30 -o sheets --format latex

    Make sheets like exercise 1, with small numbers and results that are worth
    computing. -o writes each with its key and its network into a folder, and
    `mlcore check --net FOLDER --answers ANSWERS` then marks a class. LaTeX is
    one document of all sheets and one of all keys, moodle a question bank in
    Moodle XML.
    """
    if output:
        if output == STANDARD_STREAM or output.suffix.lower() in FILE_SUFFIXES:
            message = "it becomes a folder of sheets, keys and networks; without -o, one document is printed"
            raise InputError(message, parameter="output", value=str(output))
        check_new_folder("output", output)
    made = sheets.make_sheets(count, seed, kind, difficulty, kink)
    if not output:
        return render.show(sheets.document(made, output_format).rstrip("\n"))
    texts = sheets.files(made, output_format)
    write_folder(output, {name: text.encode() for name, text in texts.items()})
    render.say(f"Wrote {len(texts)} files into {output}.")
