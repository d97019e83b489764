"""The commands of exercise 1: forward, grad, derive, descend and net, with its own numbers or the user's."""

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlcore.errors import InputError

from .output import Json, print_json

if TYPE_CHECKING:
    from mlcore.exercise.descent import Descended
    from mlcore.exercise.problem import Problem
    from mlcore.exercise.work import Worked


def option(name: str, metavar: str, help: str, default: str | bool = False) -> Any:
    """An option that may be left out; ``default`` is what its help says about that."""
    return typer.Option(name, metavar=metavar, help=help, show_default=default)


@dataclass(frozen=True)
class Numbers:
    """The options that all commands on a network have: the numbers to work with."""

    net: Annotated[Path | None, option("--net", "FILE", "Network in TOML or JSON.", "the exercise's")] = None
    x: Annotated[str | None, option("--x", "ROWS", "Inputs, a row for each sample.", "1,2,1")] = None
    y: Annotated[str | None, option("--y", "ROWS", "Targets, a row for each sample.", "1")] = None
    w: Annotated[str | None, option("--w", "ROWS", "Weights of the first layer.", "1,0,1;1,-1,0")] = None
    v: Annotated[str | None, option("--v", "ROWS", "Weights of the last layer.", "0,1")] = None

    def problem(self) -> "Problem":
        """The network of the file or of the exercise, with the numbers that were typed."""
        from mlcore.exercise.problem import change, default_problem, read_problem

        return change(read_problem(self.net) if self.net else default_problem(), self.x, self.y, self.w, self.v)


def on_network(has_view: bool = False, passed: str = "") -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a command of a function: the options of ``Numbers`` take the place of its first parameter.

    The function returns a text to print, a result for --json and for the view of the command's name in
    ``exercise_view``, or a function to call with the value of --json. The exit code is 1 if the attribute ``passed``
    of the result is false.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., None]:
        options = inspect.signature(Numbers).parameters

        @wraps(command)
        def run(as_json: Json = False, **given: Any) -> None:
            from . import exercise_view, render

            numbers = Numbers(**{name: given.pop(name) for name in options})
            with render.compilation():
                result = command(numbers, **given)
            if isinstance(result, str):
                render.show(result.rstrip("\n"))
            elif callable(result):
                result(as_json)
            elif as_json:
                print_json(command.__name__, result)
            else:
                getattr(exercise_view, command.__name__)(result)
            if not getattr(result, passed, True):
                raise typer.Exit(1)

        own = list(inspect.signature(command).parameters.values())[1:]
        last = [inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)]
        parameters = [*options.values(), *own, *(last if has_view else [])]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {}
        return run

    return decorate


ReluAtZero = Annotated[
    str, typer.Option(metavar="NUMBER", help="Value to take for φ'(0): 0, 1/2, 1 or any number between.")
]


def parse_convention(text: str) -> Fraction:
    """The value of --relu-at-zero."""
    from mlcore.exercise.problem import parse_number
    from mlcore.exercise.work import check_convention

    convention = parse_number(text, "relu_at_zero")
    check_convention(convention)
    return convention


def choose_format(name: str, formats: dict[str, Callable[..., str]]) -> Callable[..., str]:
    """The function that writes the format of --format."""
    if name not in formats:
        raise InputError(f"expected one of {', '.join(formats)}", parameter="format", value=name)
    return formats[name]


@on_network(has_view=True)
def forward(numbers: Numbers) -> "Worked":
    """Example: mlcore forward --x 1,2,1

    Compute forward values and loss of the network x -> φ(W x) -> φ(V h) with
    φ = ReLU and J = ½ (y − ŷ)², or of the network in --net FILE. Numbers are
    integers, decimals or fractions such as -1/2; commas separate numbers and
    semicolons separate rows.
    """
    from mlcore.exercise import work

    return work.forward(numbers.problem())


@on_network(has_view=True, passed="agrees")
def grad(
    numbers: Numbers,
    relu_at_zero: ReluAtZero = "0",
    check: Annotated[bool, typer.Option("--check", help="Compare every entry with numerical derivatives.")] = False,
    code: Annotated[
        str | None, option("--code", "numpy|pytorch|jax", "Print a program for this library instead.")
    ] = None,
    model: Annotated[Path | None, option("--model", "FILE", "Trained model to use instead of the network.")] = None,
    text: Annotated[str | None, option("--text", "TEXT", "Text to run through the model.")] = None,
    label: Annotated[str | None, option("--label", "LABEL", "The text's true label or rating.")] = None,
) -> "Worked | str | Callable[[bool], None]":
    """Example: mlcore grad --relu-at-zero 1 --check

    Compute the gradients of the loss by backpropagation. Where a
    pre-activation is exactly 0, φ has no derivative and the numbers depend on
    a convention: the output then shows what the usual ones give, the Clarke
    subdifferential, and whether the loss can still decrease. The exit code is
    1 if --check finds an entry that has a derivative other than the gradient.

    --model FILE --text TEXT --label LABEL shows the same for a model that
    train-sentiment wrote: its layers, and the gradients down to each word.
    """
    from mlcore.exercise import programs, work

    convention = parse_convention(relu_at_zero)
    if (model, text, label) != (None, None, None):
        from .gradients import gradients_of_model, wants_model

        others = asdict(numbers) | {"check": check or None, "code": code}
        if wants_model(model, text, label, {f"--{name}": value for name, value in others.items()}):
            return partial(gradients_of_model, model, text, label, float(convention))
    problem = numbers.problem()
    return work.gradients(problem, convention, check) if code is None else programs.program(problem, code, convention)


@on_network()
def derive(
    numbers: Numbers,
    relu_at_zero: ReluAtZero = "0",
    output_format: Annotated[str, option("--format", "text|latex|markdown", "Format of the output.", True)] = "text",
) -> str:
    """Example: mlcore derive --format latex

    Derive all gradients step by step: the function in symbols, the chain rule
    with the shape of each step, then the numbers.
    """
    from mlcore.exercise import derivation
    from mlcore.exercise.formats import WRITERS

    write = choose_format(output_format, WRITERS)
    return write(derivation.derive(numbers.problem(), parse_convention(relu_at_zero)))


@on_network(has_view=True)
def descend(
    numbers: Numbers,
    relu_at_zero: ReluAtZero = "0",
    steps: Annotated[int, typer.Option(help="Steps to take.")] = 20,
    learning_rate: Annotated[float, typer.Option(help="Learning rate.")] = 0.1,
) -> "Descended":
    """Example: mlcore descend --relu-at-zero 1

    Take steps of gradient descent from the network's numbers, and show the
    loss J before each step, the weights at the end, and why nothing moves if
    nothing does.
    """
    from mlcore.exercise import descent

    problem, convention = numbers.problem(), parse_convention(relu_at_zero)
    return descent.descend(problem.network, problem.x, problem.y, steps, learning_rate, float(convention))


net = typer.Typer(help="Example: mlcore net show\n\nPrint the network as a file.", rich_markup_mode=None)


@net.command("show", short_help="Print the network as TOML, to start from.")
@on_network()
def show_net(numbers: Numbers) -> str:
    """Example: mlcore net show > my-net.toml

    Print the network as a TOML file to start from. A layer has a name, an
    activation (relu, identity, sigmoid, tanh), a matrix of weights and, if you
    like, a list of biases, both under names of your choice. The loss is
    half-squared or logistic.
    """
    from mlcore.exercise.problem import to_toml

    return to_toml(numbers.problem())
