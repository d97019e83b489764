"""The commands of teachers and students: exercise, check, graph and verify."""

from pathlib import Path
from typing import Annotated

import typer

from mlcore.errors import InputError

from . import documents
from .exercise import Json, Net, ReluAtZero, V, W, X, Y, choose_format, parse_convention, print_json, read

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
    from mlcore.exercise import derivation
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
    from mlcore.exercise.marking import mark, parse_answer, read_answers

    from . import classroom_view, render

    typed = {"y_hat": y_hat, "loss": loss, "dV": d_v, "dW": d_w}
    given = [parse_answer(name, text) for name, text in typed.items() if text is not None]
    for entry in answer or []:
        name, equals, text = entry.partition("=")
        if not equals:
            raise InputError(f"--answer is {entry!r}; expected NAME=ROWS, such as delta:hidden=0,1.")
        given.append(parse_answer(name.strip(), text))
    given += read_answers(answers) if answers else []
    if not given:
        raise InputError("No answer is given; expected one at least, such as --y-hat 0 (see mlcore check --help).")
    with render.compilation():
        marking = mark(read(net, x, y, w, v), given)
    document = {"schema": "mlcore.check/1"} | marking.to_dict()
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


def verify(as_json: Json = False) -> None:
    """Example: mlcore verify

    Every compiled kernel against its naive twin, and every gradient against
    finite differences, on this machine. Exit code 1 if one is out of tolerance.
    """
    from mlcore import verification

    from . import classroom_view, render

    results = []
    with render.compilation(), render.Activity("Verifying") as activity:
        for result in verification.verify():
            activity.update(f"Verifying {result.kernel}")
            results.append(result)
    document = {
        "schema": "mlcore.verify/1",
        "ok": all(result.ok for result in results),
        "results": [result._asdict() | {"ok": result.ok} for result in results],
    }
    if as_json:
        print_json(documents.finite(document))
    else:
        classroom_view.verification(document)
    if not document["ok"]:
        raise typer.Exit(1)
