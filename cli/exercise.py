"""The commands of exercise 1, with its own numbers or the user's, and of its teachers."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlcore.errors import DataError, InputError

from .output import Json, answer, with_options, write_output

if TYPE_CHECKING:
    from mlcore.exercise.problem import Problem


def typed(metavar: str, help: str, default: str) -> Any:
    """A field of ``Numbers``; ``default`` is what its help says about leaving it out."""
    return field(default=None, metadata={"metavar": metavar, "help": help, "automatic": default})


@dataclass(frozen=True)
class Numbers:
    """The options that all commands on a network have: the numbers to work with."""

    net: Path = typed("FILE", "Network in TOML or JSON.", "the exercise's")
    x: str = typed("ROWS", "Inputs, a row for each sample.", "1,2,1")
    y: str = typed("ROWS", "Targets, a row for each sample.", "1")
    w: str = typed("ROWS", "Weights of the first layer.", "1,0,1;1,-1,0")
    v: str = typed("ROWS", "Weights of the last layer.", "0,1")
    digits: int = typed("N", "Digits of numbers that are rounded.", "6")

    def problem(self) -> "Problem":
        """The network of the file or of the exercise, with the numbers that were typed."""
        from mlcore.exercise.problem import change, default_problem, read_problem

        problem = read_problem(self.net) if self.net else default_problem()
        return change(problem, self.x, self.y, self.w, self.v, self.digits)


def option(name: str, metavar: str, help: str, default: str | bool = False, **more: Any) -> Any:
    """An option that may be left out; ``default`` is what its help says about that."""
    return typer.Option(name, metavar=metavar, help=help, show_default=default, **more)


def number_option(name: str, metavar: str, help: str, default: str | bool = False) -> Any:
    """An option for a number, which is taken exactly."""

    def parse(text: str) -> Any:
        from mlcore.exercise.problem import parse_number

        return parse_number(text, name.removeprefix("--"))

    return option(name, metavar, help, default, parser=parse)


RELU_AT_ZERO = "Value to take for φ'(0): 0, 1/2, 1 or any number between."
ReluAtZero = Annotated[Any, number_option("--relu-at-zero", "NUMBER", RELU_AT_ZERO, "0")]
LearningRate = Annotated[Any, number_option("--learning-rate", "NUMBER", "One step with this rate.")]
OptimizerName = Annotated[str, option("--optimizer", "sgd|momentum|adam", "How a step is taken.", True)]
Standalone = Annotated[bool, typer.Option("--standalone", help="With latex: a document that compiles as it is.")]


def format_option(choices: str) -> Any:
    """The option --format."""
    return option("--format", choices, "Format of the output.", True)


def refuse(options: Mapping[str, object], why: str) -> None:
    """Raises: InputError if one of these options is given, which cannot be used here."""
    if given := [name for name, value in options.items() if value is not None and value is not False]:
        raise InputError(f"--{given[0]} {why}")


@with_options
def forward(*, numbers: Numbers, as_json: Json = False) -> None:
    """Example: mlcore forward --x 1,2,1

    Compute forward values and loss of the network x -> φ(W x) -> φ(V h) with
    φ = ReLU and J = ½ (y − ŷ)², or of the network in --net FILE. Numbers are
    integers, decimals or fractions such as -1/2; commas separate numbers and
    semicolons separate rows.
    """
    from mlcore.exercise.work import work

    from . import exercise_view

    answer("forward", lambda: work(numbers.problem()), exercise_view.forward, as_json)


@with_options
def grad(
    *,
    numbers: Numbers,
    relu_at_zero: ReluAtZero = None,
    check: Annotated[bool, typer.Option("--check", help="Compare with numerical derivatives.")] = False,
    more: Annotated[bool, typer.Option("--more", help="Also show the Clarke subdifferential at a kink.")] = False,
    code: Annotated[str | None, option("--code", "numpy|pytorch|jax", "Print a program instead.")] = None,
    model: Annotated[Path | None, option("--model", "FILE", "Trained model to use instead of the network.")] = None,
    text: Annotated[str | None, option("--text", "TEXT", "Text to run through the model.")] = None,
    label: Annotated[str | None, option("--label", "LABEL", "The text's true label or rating.")] = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore grad --relu-at-zero 1 --check

    Compute the gradients of the loss by backpropagation. Where a z is exactly
    0, φ has no derivative: the output then shows what the usual conventions
    give, and whether the loss can still decrease. The exit code is 1 if --check
    finds a derivative that the gradient is not.

    --model, --text and --label show the same for a trained model, down to the
    gradients of each word.
    """
    from mlcore.exercise.programs import program
    from mlcore.exercise.work import work

    from . import exercise_view, render

    trained = {"--model": model, "--text": text, "--label": label}
    if given := [name for name, value in trained.items() if value is not None]:
        others = asdict(numbers) | {"check": check, "more": more, "code": code}
        refuse(others, f"cannot be combined with {given[0]}")
        if model is None or text is None or label is None:
            missing = " and ".join(name for name in trained if name not in given)
            raise InputError(f"{given[0]} also needs {missing}")
        from .gradients import gradients_of_model

        gradients_of_model(model, text, label, float(relu_at_zero or 0), as_json)
    elif code is not None:
        others = {"json": as_json, "check": check, "more": more}
        refuse(others, "cannot be combined with --code, which prints a program.")
        render.show(program(numbers.problem(), code, relu_at_zero).rstrip("\n"))
    else:
        problem = numbers.problem()
        found = answer(
            "grad",
            lambda: work(problem, problem.at_zero(relu_at_zero), check),
            lambda result: exercise_view.grad(result, more),
            as_json,
        )
        if not found.agrees:
            raise typer.Exit(1)


@with_options
def derive(
    *,
    numbers: Numbers,
    relu_at_zero: ReluAtZero = None,
    output_format: Annotated[str, format_option("text|latex|markdown")] = "text",
    standalone: Standalone = False,
    learning_rate: LearningRate = None,
    optimizer: OptimizerName = "sgd",
) -> None:
    """Example: mlcore derive --format latex

    Derive all gradients step by step: the function in symbols, the chain rule
    with the shape of each step, then the numbers. --learning-rate adds the new
    weights after one step.
    """
    from mlcore.exercise import derivation
    from mlcore.exercise.formats import WRITERS, choose_format, to_document

    from . import render

    problem = numbers.problem()
    sections = derivation.derive(problem, relu_at_zero, learning_rate, optimizer)
    text = choose_format(WRITERS, output_format, standalone)(sections, problem.style)
    render.show((to_document(text) if standalone else text).rstrip("\n"))


@with_options
def descend(
    *,
    numbers: Numbers,
    relu_at_zero: ReluAtZero = None,
    steps: Annotated[int, typer.Option(help="Steps to take.")] = 20,
    learning_rate: Annotated[float, typer.Option(help="Learning rate.")] = 0.1,
    optimizer: OptimizerName = "sgd",
    as_json: Json = False,
) -> None:
    """Example: mlcore descend --relu-at-zero 1

    Take steps of gradient descent from the network's numbers, and show the
    loss J before each step, the weights at the end, and why nothing moves if
    nothing does.
    """
    from mlcore.exercise import descent

    from . import exercise_view

    def compute() -> descent.Descended:
        return descent.descend(numbers.problem(), steps, learning_rate, relu_at_zero, optimizer)

    answer("descend", compute, exercise_view.descend, as_json)


@with_options
def check(
    *,
    numbers: Numbers,
    y_hat: Annotated[str | None, option("--y-hat", "NUMBERS", "Your ŷ.")] = None,
    loss: Annotated[str | None, option("--loss", "NUMBER", "Your J.")] = None,
    d_v: Annotated[str | None, option("--dV", "ROWS", "Your dJ/dV.")] = None,
    d_w: Annotated[str | None, option("--dW", "ROWS", "Your dJ/dW.")] = None,
    others: Annotated[list[str] | None, option("--answer", "NAME=ROWS", "Any other answer; may be repeated.")] = None,
    answers: Annotated[
        list[Path] | None, option("--answers", "PATH", "Answers in TOML or JSON, or a folder of them.")
    ] = None,
    hint: Annotated[bool, typer.Option("--hint", help="Leave the truth out, for another try.")] = False,
    tolerance: Annotated[
        Any, number_option("--tolerance", "NUMBER", "How far off an entry may be.", "one unit of its last digit")
    ] = None,
    learning_rate: LearningRate = None,
    optimizer: OptimizerName = "sgd",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write the marks of a folder, as CSV."),
    ] = None,
    points: Annotated[
        str | None, option("--points", "NAME=NUMBER,...", "Points in a folder.", "1 for each answer")
    ] = None,
    carry_forward: Annotated[
        Any, number_option("--carry-forward", "SHARE", "Share of the points for what follows from an error.", "1")
    ] = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore check --y-hat 0 --dV "-2,0" --dW "0,0,0;0,0,0"

    Mark your answers. At a kink they may follow φ'(0) = 0, 1/2 or 1, or be
    another member of the Clarke subdifferential, if one choice fits all of them
    together. A rounded number is right if
    the truth rounds to it, also from values that you rounded on the way; ? or
    _ leaves an entry open. For a wrong answer, mlcore names the mistakes that
    produce exactly these numbers, or the wrong answer that it follows from.
    The exit code is 1 if an answer is not right. NAME of --answer is z:LAYER,
    a:LAYER, da:LAYER, delta:LAYER, dARRAY, one entry such as dV[1,2], dx, or
    with --learning-rate "new V", the weights after one step; or a symbol of the
    sheet, such as ∂J/∂h.

    With a folder for --answers, mark a class; --net may then be a folder too,
    with a network for each file of answers.
    """
    from mlcore.exercise.answers import parse_answer, read_answers
    from mlcore.exercise.classroom import parse_points
    from mlcore.exercise.marking import Marker

    from . import exercise_view

    typed = [("y_hat", y_hat), ("loss", loss), ("dV", d_v), ("dW", d_w)]
    for entry in others or []:
        name, equals, text = entry.partition("=")
        if not equals:
            raise InputError("expected NAME=ROWS, such as delta:hidden=0,1", parameter="answer", value=entry)
        typed.append((name.strip(), text))
    given = [parse_answer(name, text, tolerance) for name, text in typed if text is not None]
    if answers and answers[0].is_dir():
        if given or answers[1:] or hint:
            raise InputError("A folder of answers is marked alone; leave out other answers, and --hint.")
        settings: dict[str, Any] = {"tolerance": tolerance, "learning_rate": learning_rate, "optimizer": optimizer}
        settings |= {"points": None if points is None else parse_points(points)}
        settings |= {} if carry_forward is None else {"carry_forward": carry_forward}
        _check_class(numbers, answers[0], output, settings, as_json)
        return
    for file in answers or []:
        found, _, problems = read_answers(file, tolerance)
        if problems:
            raise DataError(f"{file}: {problems[0]}")
        given += found
    nets = numbers.net if numbers.net and numbers.net.is_dir() else None
    of_class = {"net": nets, "output": output, "points": points, "carry-forward": carry_forward}
    refuse(of_class, "is for a class; it needs a folder as --answers.")
    if not given:
        raise InputError("There are no answers to check; give at least one, such as --y-hat 0.")
    marking = Marker(numbers.problem(), learning_rate, optimizer).mark(given)
    shown = marking.without_truth() if hint else marking
    answer("check", lambda: shown, exercise_view.check, as_json)
    if not marking.all_right:
        raise typer.Exit(1)


def _check_class(numbers: Numbers, folder: Path, output: Path | None, settings: dict[str, Any], as_json: bool) -> None:
    """Mark a folder of answers, write the marks, and show them."""
    from mlcore.exercise.classroom import mark_class
    from mlcore.files import check_outputs

    from . import exercise_view

    check_outputs({"output": output}, folder.iterdir(), {"output": b"student,file,"})
    nets = numbers.net if numbers.net and numbers.net.is_dir() else None
    if nets:
        refuse(asdict(numbers) | {"net": None}, "is for one network; leave it out with a folder of them.")
    problem = nets or numbers.problem()
    marks = mark_class(problem, folder, **settings)
    if output:
        write_output(output, lambda file: file.write(marks.to_csv().encode("utf-8-sig")))
    answer("check-class", lambda: marks, exercise_view.check_class, as_json)


@with_options
def graph(
    *,
    numbers: Numbers,
    relu_at_zero: ReluAtZero = None,
    output_format: Annotated[str, format_option("text|mermaid|dot|svg|tikz")] = "text",
) -> None:
    """Example: mlcore graph --format svg > network.svg

    Draw the network with values at the nodes, and weights and gradients along
    the edges; units on their kink are marked.
    """
    from mlcore.exercise.drawing import graph, markup, text
    from mlcore.exercise.formats import choose_format

    from . import render

    formats: dict[str, Callable[[graph.Graph], str]] = {
        "text": lambda drawn: text.to_text(drawn, ascii_only=not render.has_unicode()),
        "mermaid": markup.to_mermaid,
        "dot": markup.to_dot,
        "svg": markup.to_svg,
        "tikz": markup.to_tikz,
    }
    draw = choose_format(formats, output_format)
    render.show(draw(graph.build(numbers.problem(), relu_at_zero)).rstrip("\n"))


net = typer.Typer(help="Example: mlcore net show\n\nPrint the network as a file.", rich_markup_mode=None)


@net.command("show", short_help="Print the network as TOML, to start from.")
@with_options
def show_net(*, numbers: Numbers) -> None:
    """Example: mlcore net show > my-net.toml

    Print the network as a TOML file to start from. A layer has a name, an
    activation (relu, leaky-relu, identity, sigmoid, tanh, softplus, softmax,
    step), a matrix of weights, perhaps another for inputs of its own, and
    perhaps a list of biases, under names of your choice. The loss is
    half-squared, squared, mean-squared, cross-entropy, binary-cross-entropy, or
    none with an upstream gradient. Also: reduction = "sum" over samples, l2 =
    0.1, frozen = ["b"], digits = 4, layout = "rows" for x W instead of W x, and
    slope = 0.1 in a layer with leaky-relu.
    """
    from mlcore.exercise.problem import to_toml

    from . import render

    render.show(to_toml(numbers.problem()).rstrip("\n"))
