"""The commands of exercise 1, with its own numbers or the user's, and of its teachers."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mlcore.errors import DataError, InputError
from mlcore.exercise import answers as typed_answers
from mlcore.exercise import classroom, derivation, descent, formats, functions, marking, problem, programs, sheets
from mlcore.exercise import work as working
from mlcore.exercise.drawing import graph as graphs
from mlcore.exercise.drawing import markup
from mlcore.exercise.drawing import text as text_drawing
from mlcore.exercise.syllabus import DIFFICULTIES, KINDS, KINKS
from mlcore.files import STANDARD_STREAM, check_files, check_new_folder, write_folder
from mlcore.text.layout import option as declared

from . import exercise_view, gradients, render
from .options import Json, flag, number_option, option, parse_file, refuse
from .output import answer, write_output

RELU_AT_ZERO = "Value to take for φ'(0): 0, 1/2, 1 or any number between."
FORWARDED = "Share of the points for what follows from an error."
KIND = f"What to practise: {', '.join(KINDS)}."
DIFFICULTY, KINK = ("|".join(names) for names in (DIFFICULTIES, KINKS))
FORMAT = "Format of the output."
ANSWERS = "Answers in TOML or JSON, or a folder; may be repeated."
INTO = "Write sheets, keys and networks into a new folder."
FILE_SUFFIXES = (".xml", ".tex", ".txt", ".md", ".toml", ".json")


@dataclass(frozen=True)
class Typed:
    """The options that all commands on a network have: the numbers to work with."""

    net: Path | None = declared(None, "Network in TOML or JSON.", metavar="FILE", automatic="the exercise's")
    x: str | None = declared(None, "Inputs, a row for each sample.", metavar="ROWS", automatic="1,2,1")
    y: str | None = declared(None, "Targets, a row for each sample.", metavar="ROWS", automatic="1")
    w: str | None = declared(None, "Weights of the first layer.", metavar="ROWS", automatic="1,0,1;1,-1,0")
    v: str | None = declared(None, "Weights of the last layer.", metavar="ROWS", automatic="0,1")

    def problem(self) -> "problem.Problem":
        """The network of the file or of the exercise, with the numbers that were typed."""
        typed = asdict(self)
        net = typed.pop("net")
        return problem.change(problem.read_problem(net) if net else problem.default_problem(), **typed)


@dataclass(frozen=True)
class Numbers(Typed):
    """The same, and how they are shown."""

    digits: int | None = declared(None, "Digits of numbers that are rounded.", metavar="N", automatic="6")


@dataclass(frozen=True)
class Backward(Numbers):
    """The same, and the convention at a kink."""

    relu_at_zero: str | None = declared(None, RELU_AT_ZERO, metavar="NUMBER", automatic="0")


LearningRate = Annotated[Any, number_option("NUMBER", "One step with this rate.")]
OptimizerName = Annotated[str, option("sgd|momentum|adam", "How a step is taken.", default=True)]


def _update(learning_rate: Any, optimizer: str) -> "descent.Update | None":
    if learning_rate is None and optimizer != "sgd":
        raise InputError("it also needs a learning rate", parameter="optimizer", value=optimizer)
    return None if learning_rate is None else descent.Update(learning_rate, optimizer)


def forward(*, numbers: Numbers, as_json: Json = False) -> None:
    """Example: mlcore forward --x 1,2,1

    Compute forward values and loss of the network x -> φ(W x) -> φ(V h) with
    φ = ReLU and J = ½ (y − ŷ)², or of the network in --net FILE. Numbers are
    integers, decimals or fractions such as -1/2; commas separate numbers and
    semicolons separate rows.
    """
    answer("forward", working.work(numbers.problem(), backward=False), exercise_view.forward, as_json)


def grad(
    *,
    numbers: Backward,
    check: Annotated[bool, flag("Compare with numerical derivatives.", "--check")] = False,
    more: Annotated[bool, flag("Also show the Clarke subdifferential at a kink.", "--more")] = False,
    code: Annotated[str | None, option("numpy|pytorch|jax", "Print a program instead.")] = None,
    model: Annotated[Path | None, option("PATH", "Trained model to use instead of the network.")] = None,
    text: Annotated[str | None, option("TEXT", "Text to run through the model.")] = None,
    label: Annotated[str | None, option("LABEL", "The text's true label or rating.")] = None,
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
    trained = {"--model": model, "--text": text, "--label": label}
    if given := [name for name, value in trained.items() if value is not None]:
        others = asdict(numbers) | {"relu_at_zero": None, "check": check, "more": more, "code": code}
        refuse(others, f"cannot be combined with {given[0]}")
        if model is None or text is None or label is None:
            missing = " and ".join(name for name in trained if name not in given)
            raise InputError(f"{given[0]} also needs {missing}")
        typed = "0" if numbers.relu_at_zero is None else numbers.relu_at_zero
        at_zero = float(problem.parse_number(typed, "relu_at_zero"))
        return gradients.gradients_of_model(model, text, label, at_zero, as_json)
    if code is not None:
        others = {"json": as_json, "check": check, "more": more}
        refuse(others, "cannot be combined with --code, which prints a program.")
        return render.show(programs.program(numbers.problem(), code).rstrip("\n"))
    worked = working.work(numbers.problem(), check=check)
    if not answer("grad", worked, partial(exercise_view.grad, more=more), as_json).agrees:
        raise typer.Exit(1)


def derive(
    *,
    numbers: Backward,
    output_format: Annotated[str, option("text|latex|markdown", FORMAT, "--format", default=True)] = "text",
    standalone: Annotated[bool, flag("With latex: a document that compiles as it is.", "--standalone")] = False,
    learning_rate: LearningRate = None,
    optimizer: OptimizerName = "sgd",
) -> None:
    """Example: mlcore derive --format latex

    Derive all gradients step by step: the function in symbols, the chain rule
    with the shape of each step, then the numbers. --learning-rate adds the new
    weights after one step.
    """
    sections = derivation.derive(numbers.problem(), _update(learning_rate, optimizer))
    output_format = functions.choose("format", output_format, formats.WRITERS)
    if standalone and output_format != "latex":
        raise InputError("only latex can be standalone", parameter="format", value=output_format)
    text = formats.WRITERS[output_format](sections)
    render.show((formats.to_document(text) if standalone else text).rstrip("\n"))


def descend(
    *,
    numbers: Backward,
    steps: Annotated[int, typer.Option(help="Steps to take.")] = 20,
    learning_rate: Annotated[Any, number_option("NUMBER", "Learning rate.", True)] = 0.1,
    optimizer: OptimizerName = "sgd",
    as_json: Json = False,
) -> None:
    """Example: mlcore descend --relu-at-zero 1

    Take steps of gradient descent from the network's numbers, and show the
    loss J before each step, the weights at the end, and why nothing moves if
    nothing does.
    """
    network = numbers.problem()
    with render.Activity("Descending"):
        found = descent.descend(network, steps, descent.Update(learning_rate, optimizer))
    answer("descend", found, partial(exercise_view.descend, style=network.style), as_json)


def check(
    *,
    numbers: Numbers,
    y_hat: Annotated[list[str] | None, option("NUMBERS", "Your ŷ.")] = None,
    loss: Annotated[list[str] | None, option("NUMBER", "Your J.")] = None,
    d_v: Annotated[list[str] | None, option("ROWS", "Your dJ/dV.", "--dV")] = None,
    d_w: Annotated[list[str] | None, option("ROWS", "Your dJ/dW.", "--dW")] = None,
    others: Annotated[list[str] | None, option("NAME=ROWS", "Any other answer; may be repeated.", "--answer")] = None,
    answers: Annotated[list[Path] | None, option("PATH", ANSWERS)] = None,
    hint: Annotated[bool, flag("Leave the truth out, for another try.", "--hint")] = False,
    tolerance: Annotated[Any, number_option("NUMBER", "How far off an entry may be.", "1 in its last digit")] = None,
    learning_rate: LearningRate = None,
    optimizer: OptimizerName = "sgd",
    output: Annotated[
        Path | None, option("PATH", "Write a folder's marks here, as CSV.", "--output", "-o", parser=parse_file)
    ] = None,
    points: Annotated[str | None, option("NAME=NUMBER,...", "Points in a folder.", default="1 for each")] = None,
    carry_forward: Annotated[Any, number_option("SHARE", FORWARDED, "1")] = None,
    as_json: Json = False,
) -> None:
    """Example: mlcore check --y-hat 0 --dV "-2,0" --dW "0,0,0;0,0,0"

    Mark your answers. At a kink they may follow φ'(0) = 0, 1/2 or 1, or be
    another member of the Clarke subdifferential, if one choice fits all of them
    together. A rounded number is right if the truth rounds to it, also from
    values that you rounded on the way; ? or _ leaves an entry open. For a wrong
    answer, mlcore names the mistakes that produce exactly these numbers, or the
    wrong answer that it follows from. The exit code is 1 if an answer is not
    right, and 0 once a folder is marked. NAME of --answer is z:LAYER, a:LAYER,
    da:LAYER, delta:LAYER, dARRAY, one entry such as dV[1,2], dx, or with
    --learning-rate "new V", the weights after one step; or a symbol of the
    sheet, such as ∂J/∂h.

    With a folder for --answers, mark a class; --net may then be a folder too,
    with a network for each file of answers.
    """
    typed = {"y_hat": y_hat, "loss": loss, "dV": d_v, "dW": d_w}
    given, update = _typed(typed, others or [], tolerance), _update(learning_rate, optimizer)
    nets = numbers.net if numbers.net and numbers.net.is_dir() else None
    if answers and answers[0].is_dir():
        if given or answers[1:] or hint:
            raise InputError("A folder of answers is marked alone; leave out other answers, and --hint.")
        check_files((file for file in answers[0].iterdir() if file.exists()), output=(output, b"student,file,"))
        if nets:
            refuse(asdict(numbers) | {"net": None}, "is for one network; leave it out with a folder of them.")
        worth = classroom.parse_points(points) if points is not None else {}
        share = 1 if carry_forward is None else carry_forward
        with render.Activity("Marking"):
            marks = classroom.mark_class(nets or numbers.problem(), answers[0], worth, share, tolerance, update)
        if output:
            write_output(output, marks.to_csv().encode("utf-8-sig"))
        answer("check-class", marks, exercise_view.check_class, as_json)
        return
    for file in answers or []:
        found, _, problems = typed_answers.read_answers(file, tolerance)
        if problems:
            raise DataError(f"{file}: {problems[0]}")
        given += found
    of_class = {"net": nets, "output": output, "points": points, "carry-forward": carry_forward}
    refuse(of_class, "is for a class; it needs a folder as --answers.")
    if not given:
        raise InputError("There are no answers to check; give at least one, such as --y-hat 0.")
    marked = marking.Marker(numbers.problem(), update).mark(given)
    marked = marked.without_truth() if hint else marked
    if not answer("check", marked, exercise_view.check, as_json).all_right:
        raise typer.Exit(1)


def _typed(named: Mapping[str, list[str] | None], others: list[str], tolerance: Any) -> "list[typed_answers.Answer]":
    """The answers that are options; one that is given twice is refused where they are marked."""
    typed_answers.check_tolerance(tolerance)
    found = [typed_answers.parse_answer(name, text, tolerance) for name, texts in named.items() for text in texts or []]
    for entry in others:
        name, equals, text = entry.partition("=")
        if not equals:
            raise InputError("expected NAME=ROWS, such as delta:hidden=0,1", parameter="answer", value=entry)
        try:
            found.append(typed_answers.parse_answer(name.strip(), text, tolerance))
        except InputError as error:
            raise InputError(error.message, parameter="answer", value=f"{entry:.100}") from None
    return found


def graph(
    *,
    numbers: Backward,
    output_format: Annotated[str, option("text|mermaid|dot|svg|tikz", FORMAT, "--format", default=True)] = "text",
) -> None:
    """Example: mlcore graph --format svg > network.svg

    Draw the network with values at the nodes, and weights and gradients along
    the edges; units on their kink are marked.
    """
    writers: dict[str, Callable[[graphs.Graph], str]] = {
        "text": partial(text_drawing.to_text, symbols=render.symbols()),
        "mermaid": markup.to_mermaid,
        "dot": markup.to_dot,
        "svg": markup.to_svg,
        "tikz": markup.to_tikz,
    }
    draw = writers[functions.choose("format", output_format, writers)]
    render.show(draw(graphs.build(numbers.problem())).rstrip("\n"))


def exercise(
    seed: Annotated[int, typer.Option(help="Another seed makes another exercise.")] = 1,
    kind: Annotated[str, option("KIND", KIND, default=True)] = "relu",
    difficulty: Annotated[str, option(DIFFICULTY, "Sizes and numbers.", default=True)] = "medium",
    kink: Annotated[str, option(KINK, "Units to place on their kink.", default=True)] = "none",
    count: Annotated[int, typer.Option(help="Number of sheets, with the seeds from --seed on.")] = 1,
    output: Annotated[Path | None, option("FOLDER", INTO, "--output", "-o")] = None,
    output_format: Annotated[str, option("text|latex|markdown|moodle", FORMAT, "--format", default=True)] = "text",
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
    with render.Activity("Making sheets"):
        made = sheets.make_sheets(count, seed, kind, difficulty, kink)
    if not output:
        return render.show(sheets.document(made, output_format).rstrip("\n"))
    texts = sheets.files(made, output_format)
    write_folder(output, {name: text.encode() for name, text in texts.items()})
    render.say(f"Wrote {len(texts)} files into {output}.")


def net(*, numbers: Typed) -> None:
    """Example: mlcore net > my-net.toml

    Print the network as a TOML file to start from. A layer has a name, an
    activation (relu, leaky-relu, identity, sigmoid, tanh, softplus, softmax,
    step), a matrix of weights, perhaps another for inputs of its own, and
    perhaps a list of biases, under names of your choice. Losses: half-squared,
    squared, mean-squared, cross-entropy, binary-cross-entropy, or none with an
    upstream gradient. Also: reduction = "sum" over samples, l2 = 0.1, frozen =
    ["b"], layout = "rows" for x W instead of W x, and slope = 0.1 in a layer
    with leaky-relu.
    """
    found = numbers.problem()
    found.network.check(found.x, found.y)
    render.show(problem.to_toml(found).rstrip("\n"))
