"""The command that makes exercise sheets: one to print, or a folder of them for a class."""

from pathlib import Path
from typing import Annotated

import typer

from mlcore.errors import InputError
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS, KINKS, MIXED

from .exercise import Standalone, format_option, option
from .output import STANDARD_STREAM, compilation

CHOICES = ["|".join(names) for names in ((*KINDS, MIXED), DIFFICULTIES, KINKS)]
FILE_SUFFIXES = (".xml", ".tex", ".txt", ".md", ".toml", ".json")


def exercise(
    seed: Annotated[int, typer.Option(help="Another seed makes another exercise.")] = 1,
    kind: Annotated[str, option("--kind", CHOICES[0], "What to practise; mixed is all in turn.", True)] = "relu",
    difficulty: Annotated[str, option("--difficulty", CHOICES[1], "Sizes and numbers.", True)] = "medium",
    features: Annotated[int | None, option("--features", "N", "Number of features, 1 to 8.", "by difficulty")] = None,
    hidden: Annotated[int | None, option("--hidden", "N", "Number of hidden units, 1 to 8.", "by difficulty")] = None,
    kink: Annotated[str, option("--kink", CHOICES[2], "Units to place on their kink.", True)] = "none",
    count: Annotated[int, typer.Option(help="Number of sheets, with the seeds from --seed on.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write sheets, keys and networks into a new folder."),
    ] = None,
    output_format: Annotated[str, format_option("text|latex|markdown|moodle")] = "text",
    standalone: Standalone = False,
    solution: Annotated[bool, typer.Option("--solution", help="Print the derivation too, for the teacher.")] = False,
    net: Annotated[Path | None, option("--net", "FILE", "Save the network of one sheet here, for check.")] = None,
) -> None:
    """Example: mlcore exercise --kind biases --count 30 -o sheets --format latex

    Make sheets like exercise 1, with small numbers and results that are worth
    computing. -o writes each with its key and its network into a folder, and
    `mlcore check --net FOLDER --answers ANSWERS` then marks a class. LaTeX is
    one document of all sheets and one of all keys, moodle a question bank in
    Moodle XML.
    """
    from mlcore.exercise.problem import to_toml
    from mlcore.exercise.sheets import document, files, make_sheets
    from mlcore.files import check_new_folder, check_outputs, write_beside, write_folder

    from . import render

    check_outputs({"net": net}, [], {"net": b"loss ="})
    if output:
        if output == STANDARD_STREAM or output.suffix.lower() in FILE_SUFFIXES:
            message = "it becomes a folder of sheets, keys and networks; without -o, one document is printed"
            raise InputError(message, parameter="output", value=str(output))
        check_new_folder("output", output)
        if solution or standalone or net:
            raise InputError("-o writes documents, keys and networks; leave out --solution, --standalone and --net.")
    if net and net.suffix.lower() == ".json":
        raise InputError("it is written as TOML; choose a name such as net.toml", parameter="net", value=str(net))
    if net and count > 1:
        raise InputError("it has room for the network of one sheet; use -o FOLDER", parameter="net", value=str(net))
    with compilation():
        sheets = make_sheets(count, seed, kind, difficulty, features=features, hidden=hidden, kink=kink)
        if output:
            texts = files(sheets, output_format)
            write_folder(output, {name: text.encode() for name, text in texts.items()})
            render.say(f"Wrote {len(texts)} files into {output}.")
            return
        text = document(sheets, output_format, solution=solution, standalone=standalone)
    if net:
        write_beside(net, lambda file: file.write(to_toml(sheets[0].problem).encode()))
    render.show(text.rstrip("\n"))
