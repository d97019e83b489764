"""The commands of teachers and students: exercise, check and graph."""

import json
import tomllib
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import DataError, InputError

from . import documents
from .exercise import Json, Net, ReluAtZero, V, W, X, Y, choose_format, parse_convention, print_json, read

if TYPE_CHECKING:
    from mlcore.exercise.marking import Answer, Marking

Numbers = Annotated[str | None, typer.Option(metavar="NUMBERS", show_default=False)]


def exercise(
    seed: Annotated[int, typer.Option(help="Another seed makes another exercise.")] = 1,
    features: Annotated[int, typer.Option(help="Features, 1 to 8.")] = 3,
    hidden: Annotated[int, typer.Option(help="Hidden units, 1 to 8.")] = 2,
    kink: Annotated[
        str, typer.Option(metavar="none|hidden|output|both", help="Which units are exactly on their kink.")
    ] = "none",
    output_format: Annotated[
        str, typer.Option("--format", metavar="text|markdown|latex", help="How it is written.")
    ] = "text",
    solution: Annotated[bool, typer.Option("--solution", help="Add the derivation, for the teacher.")] = False,
    net: Annotated[
        Path | None, typer.Option("--net", metavar="FILE", help="Save the network here, for check.", show_default=False)
    ] = None,
) -> None:
    """Example: mlcore exercise --seed 7 --kink output --solution

    A new sheet like exercise 1, with small integers and results that are worth
    computing. With --net FILE, `mlcore check --net FILE` marks the answers.
    """
    from mlcore import derivation
    from mlcore.exercise.formats import WRITERS
    from mlcore.exercise.generator import make_problem
    from mlcore.exercise.problem import to_toml

    from . import render

    write = choose_format(output_format, WRITERS)
    with render.compilation():
        sheet = make_problem(seed, features, hidden, kink)
        posed = derivation.pose(sheet)
        if solution:
            solved = derivation.derive(sheet)
            posed.sections += solved.sections
    if net:
        net.write_text(to_toml(sheet))
    written = write(posed).rstrip("\n")
    if output_format == "text":
        render.show(written)
    else:
        print(written)


def check(
    net: Net = None,
    x: X = None,
    y: Y = None,
    w: W = None,
    v: V = None,
    y_hat: Annotated[
        str | None, typer.Option("--y-hat", metavar="NUMBERS", help="Your output.", show_default=False)
    ] = None,
    loss: Annotated[str | None, typer.Option("--loss", metavar="NUMBER", help="Your J.", show_default=False)] = None,
    d_v: Annotated[str | None, typer.Option("--dV", metavar="ROWS", help="Your dJ/dV.", show_default=False)] = None,
    d_w: Annotated[str | None, typer.Option("--dW", metavar="ROWS", help="Your dJ/dW.", show_default=False)] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=ROWS",
            help="Any other answer: z:LAYER, a:LAYER, delta:LAYER, dNAME of an array, dx; may be repeated.",
            show_default=False,
        ),
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answers by name in TOML or JSON.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore check --y-hat 0 --dV "-2,0" --dW "0,0,0;0,0,0"

    Your answers against the truth. At a kink, an answer may rest on any
    convention, if one choice fits all answers together; a decimal is right if
    the truth rounds to it; a wrong answer is told its most likely mistake.
    Exit code 1 if something is wrong.
    """
    from mlcore.exercise.marking import mark

    from . import classroom_view, render

    typed = {"y_hat": y_hat, "loss": loss, "dV": d_v, "dW": d_w}
    given = [_answer(name, text, f"--{name.replace('_', '-')}") for name, text in typed.items() if text is not None]
    for entry in answer or []:
        name, equals, text = entry.partition("=")
        if not equals:
            raise InputError(f"--answer is {entry!r}; expected NAME=ROWS, such as delta:hidden=0,1.")
        given.append(_answer(name.strip(), text, f"--answer {name.strip()}"))
    given += _answers_in(answers) if answers else []
    if not given:
        raise InputError("No answer is given; expected one at least, such as --y-hat 0 (see mlcore check --help).")
    with render.compilation():
        marking = mark(read(net, x, y, w, v), given)
    document = _marking_document(marking)
    if as_json:
        print_json(document)
    else:
        classroom_view.marking(document)
    if not marking.all_right:
        raise typer.Exit(1)


def draw(
    net: Net = None,
    x: X = None,
    y: Y = None,
    w: W = None,
    v: V = None,
    relu_at_zero: ReluAtZero = "0",
    output_format: Annotated[
        str, typer.Option("--format", metavar="text|mermaid|dot|svg", help="How it is drawn.")
    ] = "text",
) -> None:
    """Example: mlcore graph --format svg > network.svg

    The network with its values on the nodes, and weights and gradients on the
    edges; units on their kink are marked.
    """
    from mlcore.exercise.drawing import graph, markup, svg, text

    from . import render

    formats = {
        "text": lambda drawn: text.to_text(drawn, ascii_only=not render.has_unicode()),
        "mermaid": markup.to_mermaid,
        "dot": markup.to_dot,
        "svg": svg.to_svg,
    }
    write = choose_format(output_format, formats)
    convention = parse_convention(relu_at_zero)
    with render.compilation():
        drawn = graph.build(read(net, x, y, w, v), convention)
    print(write(drawn).rstrip("\n"))


def _answer(name: str, text: str, where: str) -> "Answer":
    from mlcore.exercise.marking import Answer
    from mlcore.exercise.problem import parse_rows

    rows = parse_rows(text, where)
    typed = [[entry.strip() for entry in row.split(",")] for row in text.split(";")]
    return Answer(name, rows, [[_decimals(entry) for entry in row] for row in typed])


def _decimals(text: str) -> int | None:
    """Number of decimals of a number as typed; None if it is meant exactly."""
    whole, point, decimals = text.partition(".")
    return len(decimals) if point and decimals.isdigit() else None


def _answers_in(path: Path) -> "list[Answer]":
    try:
        text = path.read_bytes().decode("utf-8-sig")
        # numbers stay as they were typed, since their decimals say how exactly they are meant
        content = (
            json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
            if path.suffix == ".json"
            else tomllib.loads(text, parse_float=str)
        )
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is no TOML or JSON file: {error}.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no answers by name; expected lines such as dV = [[-2, 0]].")
    try:
        return [_answer(name, _as_typed(value), name) for name, value in content.items()]
    except InputError as error:
        raise DataError(f"{path}: {error}") from error


def _as_typed(value: object) -> str:
    """Nested lists as rows with semicolons."""
    if isinstance(value, list):
        return (";" if any(isinstance(entry, list) for entry in value) else ",").join(map(_as_typed, value))
    return str(value)


def _marking_document(marking: "Marking") -> dict:
    return {
        "schema": "mlcore.check/1",
        "all_right": marking.all_right,
        "answers": [
            {
                "name": verdict.name,
                "status": verdict.status,
                "mistakes": list(verdict.mistakes),
                "remark": verdict.remark,
                "truth": _truth(verdict.truth),
            }
            for verdict in marking.verdicts
        ],
    }


def _truth(values: list | Fraction | float) -> list | str | float:
    if isinstance(values, list):
        return [_truth(value) for value in values]
    return str(values) if isinstance(values, Fraction) else values
