"""The commands of teachers and students: exercise, check and graph."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import InputError

from .exercise import Numbers, ReluAtZero, choose_format, on_network, option, parse_convention

if TYPE_CHECKING:
    from mlcore.exercise.marking import Marking


def exercise(
    seed: Annotated[int, typer.Option(help="Another seed makes another exercise.")] = 1,
    features: Annotated[int, typer.Option(help="Number of features, 1 to 8.")] = 3,
    hidden: Annotated[int, typer.Option(help="Number of hidden units, 1 to 8.")] = 2,
    kink: Annotated[
        str, option("--kink", "none|hidden|output|both", "Units to place exactly on their kink.", True)
    ] = "none",
    output_format: Annotated[str, option("--format", "text|markdown|latex", "Format of the output.", True)] = "text",
    solution: Annotated[bool, typer.Option("--solution", help="Add the derivation, for the teacher.")] = False,
    net: Annotated[Path | None, option("--net", "FILE", "Also save the network here, for check.")] = None,
) -> None:
    """Example: mlcore exercise --seed 7 --kink output --solution

    Make a new sheet like exercise 1, with small integers and results that are
    worth computing. --net FILE saves the network, and `mlcore check --net
    FILE` then marks the answers.
    """
    from mlcore.exercise import derivation
    from mlcore.exercise.formats import WRITERS
    from mlcore.exercise.generator import make_problem
    from mlcore.exercise.problem import to_toml

    from . import render

    write = choose_format(output_format, WRITERS)
    with render.compilation():
        problem = make_problem(seed, features, hidden, kink)
        sheet = derivation.pose(problem)
        if solution:
            sheet += derivation.derive(problem)
    if net:
        net.write_text(to_toml(problem))
    render.show(write(sheet).rstrip("\n"))


@on_network(has_view=True, passed="all_right")
def check(
    numbers: Numbers,
    y_hat: Annotated[str | None, option("--y-hat", "NUMBERS", "Your ŷ.")] = None,
    loss: Annotated[str | None, option("--loss", "NUMBER", "Your J.")] = None,
    d_v: Annotated[str | None, option("--dV", "ROWS", "Your dJ/dV.")] = None,
    d_w: Annotated[str | None, option("--dW", "ROWS", "Your dJ/dW.")] = None,
    answer: Annotated[
        list[str] | None,
        option(
            "--answer",
            "NAME=ROWS",
            "Any other answer: z:LAYER, a:LAYER, delta:LAYER, dNAME of an array, dx; may be repeated.",
        ),
    ] = None,
    answers: Annotated[Path | None, option("--answers", "FILE", "Answers by name in TOML or JSON.")] = None,
) -> "Marking":
    """Example: mlcore check --y-hat 0 --dV "-2,0" --dW "0,0,0;0,0,0"

    Mark your answers. At a kink they may follow any convention for φ'(0), as
    long as one choice fits all of them together. A decimal is right if the
    exact value rounds to it. For a wrong answer, mlcore names the mistakes
    that produce exactly these numbers. The exit code is 1 if an answer is
    wrong.
    """
    from mlcore.exercise.marking import mark, parse_answer, read_answers

    typed = {"y_hat": y_hat, "loss": loss, "dV": d_v, "dW": d_w}
    given = [parse_answer(name, text) for name, text in typed.items() if text is not None]
    for entry in answer or []:
        name, equals, text = entry.partition("=")
        if not equals:
            raise InputError("expected NAME=ROWS, such as delta:hidden=0,1", parameter="answer", value=entry)
        given.append(parse_answer(name.strip(), text))
    given += read_answers(answers) if answers else []
    if not given:
        raise InputError("There are no answers to check; give at least one, such as --y-hat 0.")
    return mark(numbers.problem(), given)


@on_network()
def graph(
    numbers: Numbers,
    relu_at_zero: ReluAtZero = "0",
    output_format: Annotated[str, option("--format", "text|mermaid|dot|svg", "Format of the drawing.", True)] = "text",
) -> str:
    """Example: mlcore graph --format svg > network.svg

    Draw the network with values at the nodes, and weights and gradients along
    the edges; units on their kink are marked.
    """
    from mlcore.exercise.drawing import graph, markup, text

    from . import render

    formats = {
        "text": lambda drawn: text.to_text(drawn, ascii_only=not render.has_unicode()),
        "mermaid": markup.to_mermaid,
        "dot": markup.to_dot,
        "svg": markup.to_svg,
    }
    write = choose_format(output_format, formats)
    return write(graph.build(numbers.problem(), parse_convention(relu_at_zero)))
