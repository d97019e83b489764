"""The commands of exercise 1: forward, grad, derive, descend and net, with its own numbers or the user's."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcore.errors import InputError

from . import documents

if TYPE_CHECKING:
    from mlcore.exercise.problem import Problem

Net = Annotated[
    Path | None, typer.Option("--net", metavar="FILE", help="Network in TOML or JSON.", show_default="the exercise's")
]
X = Annotated[str | None, typer.Option("--x", metavar="ROWS", help="Input; rows are samples.", show_default="1,2,1")]
Y = Annotated[str | None, typer.Option("--y", metavar="ROWS", help="Target of each sample.", show_default="1")]
W = Annotated[
    str | None, typer.Option("--w", metavar="ROWS", help="Weights of the first layer.", show_default="1,0,1;1,-1,0")
]
V = Annotated[str | None, typer.Option("--v", metavar="ROWS", help="Weights of the last layer.", show_default="0,1")]
ReluAtZero = Annotated[
    str, typer.Option(metavar="NUMBER", help="Convention for phi'(0): 0, 1/2, 1 or any number between.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

net = typer.Typer(help="Example: mlcore net show\n\nThe network as a file.", rich_markup_mode=None)


def forward(net: Net = None, x: X = None, y: Y = None, w: W = None, v: V = None, as_json: Json = False) -> None:
    """Example: mlcore forward --x 1,2,1

    Forward values and loss of the network x -> phi(W x) -> phi(V h), with
    phi = ReLU and J = 1/2 (y - y_hat)^2, or of the network in --net FILE.
    Numbers are integers, decimals or fractions such as -1/2; rows of a matrix
    are separated by semicolons.
    """
    from . import exercise_view, render

    with render.compilation():
        sheet = read(net, x, y, w, v)
        document = documents.forward_document(sheet)
    if as_json:
        print_json(document)
    else:
        exercise_view.forward(sheet, document)


def grad(
    net: Net = None,
    x: X = None,
    y: Y = None,
    w: W = None,
    v: V = None,
    relu_at_zero: ReluAtZero = "0",
    check: Annotated[bool, typer.Option("--check", help="Add the numerical derivative of every entry.")] = False,
    code: Annotated[
        str | None,
        typer.Option(metavar="numpy|pytorch|jax", help="Print a program for this library instead.", show_default=False),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A trained classifier, in place of the numbers above.", show_default=False),
    ] = None,
    text: Annotated[str | None, typer.Option(help="What the classifier reads.", show_default=False)] = None,
    label: Annotated[str | None, typer.Option(help="Its true label, or rating.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore grad --relu-at-zero 1 --check

    Gradients of the loss by backpropagation. Where a pre-activation is
    exactly 0, phi has no derivative: the numbers rest on a convention. The
    output then shows what the usual ones give, the Clarke subdifferential,
    and whether the loss can fall all the same. Exit code 1 if --check finds
    an entry whose derivative exists and differs from the gradient.

    With --model FILE --text TEXT --label LABEL, the same of a classifier that
    train-sentiment wrote: its layers, and the gradients down to each word.
    """
    from . import exercise_view, render
    from .gradients import gradients_of_model, wants_model

    convention = parse_convention(relu_at_zero)
    others = {"--net": net, "--x": x, "--y": y, "--w": w, "--v": v, "--check": check or None, "--code": code}
    if wants_model(model, text, label, others):
        gradients_of_model(model, text, label, float(convention), as_json)
        return
    with render.compilation():
        sheet = read(net, x, y, w, v)
        if code is not None:
            from mlcore.exercise.programs import program

            print(program(sheet, code, convention), end="")
            return
        document = documents.gradient_document(sheet, convention, check)
    if as_json:
        print_json(document)
    else:
        exercise_view.gradients(sheet, document)
    if check and not document["check"]["agrees"]:
        raise typer.Exit(1)


def derive(
    net: Net = None,
    x: X = None,
    y: Y = None,
    w: W = None,
    v: V = None,
    relu_at_zero: ReluAtZero = "0",
    output_format: Annotated[
        str, typer.Option("--format", metavar="text|latex|markdown", help="How it is written.")
    ] = "text",
) -> None:
    """Example: mlcore derive --format latex

    The derivation of all gradients, step by step: the function in symbols,
    the chain rule with the shape of each step, then the numbers.
    """
    from mlcore import derivation
    from mlcore.exercise.formats import WRITERS

    from . import render

    write = choose_format(output_format, WRITERS)
    convention = parse_convention(relu_at_zero)
    with render.compilation():
        found = derivation.derive(read(net, x, y, w, v), convention)
    written = write(found).rstrip("\n")
    if output_format == "text":
        render.show(written)
    else:
        print(written)


def descend(
    net: Net = None,
    x: X = None,
    y: Y = None,
    w: W = None,
    v: V = None,
    relu_at_zero: ReluAtZero = "0",
    steps: Annotated[int, typer.Option(help="Steps to take.")] = 20,
    learning_rate: Annotated[float, typer.Option(help="Size of a step.")] = 0.1,
    as_json: Json = False,
) -> None:
    """Example: mlcore descend --relu-at-zero 1

    Gradient descent from the network's numbers: the loss J before each step,
    the weights at the end, and why nothing moves if nothing does.
    """
    from mlcore import descent

    from . import exercise_view, render

    convention = parse_convention(relu_at_zero)
    with render.compilation():
        sheet = read(net, x, y, w, v)
        found = descent.descend(sheet.network, sheet.x, sheet.y, steps, learning_rate, float(convention))
    document = {
        "schema": "mlcore.descend/1",
        "relu_at_zero": documents.plain(float(convention)),
        "learning_rate": learning_rate,
        "losses": documents.plain(found.losses),
        "arrays": {name: documents.plain(array) for name, array in found.network.arrays.items()},
        "standstill": found.standstill,
    }
    if as_json:
        print_json(document)
    else:
        exercise_view.descent(document)


@net.command("show", short_help="The network as TOML to start from.")
def show_net(net: Net = None, x: X = None, y: Y = None, w: W = None, v: V = None) -> None:
    """Example: mlcore net show > my-net.toml

    The network as a TOML file to start from. A layer has a name, an activation
    (relu, identity, sigmoid, tanh), a matrix and perhaps a list of biases,
    both under names of your choice; loss is half-squared or logistic.
    """
    from mlcore.exercise.problem import to_toml

    print(to_toml(read(net, x, y, w, v)), end="")


def read(net: Path | None, x: str | None, y: str | None, w: str | None, v: str | None) -> "Problem":
    """The network file or the exercise, with what was typed in its place."""
    from mlcore.exercise.problem import change, default_problem, read_problem

    return change(read_problem(net) if net else default_problem(), x, y, w, v)


def choose_format(name: str, formats: dict[str, Callable]) -> Callable:
    """What writes the format that --format names."""
    if name not in formats:
        raise InputError(f"--format is {name!r}; expected one of {', '.join(formats)}.")
    return formats[name]


def parse_convention(text: str) -> Fraction:
    """The value of --relu-at-zero."""
    from mlcore.exercise.problem import parse_number

    convention = parse_number(text, "--relu-at-zero")
    if not 0 <= convention <= 1:
        raise InputError(f"--relu-at-zero is {text}; expected a number from 0 to 1.")
    return convention


def print_json(document: dict) -> None:
    """One document on one line, strictly by RFC 8259."""
    print(json.dumps(document, allow_nan=False))
