"""The commands of exercise 1: forward, grad, derive, descend and net, with its own numbers or the user's."""

import inspect
import math
from collections.abc import Callable, Sequence
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
    from mlcore.exercise.kinks import Subdifferential
    from mlcore.exercise.network import Kink
    from mlcore.exercise.problem import Problem
    from mlcore.exercise.work import Forward, GradientReport

MAX_VERTICES = 8  # shown in the terminal; --json has all
MAX_FRACTION = 10  # characters; a longer fraction is shown as a decimal
MAX_ROWS = 25  # of a descent


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


def on_network(
    show: Callable[[Any], None] | None = None, passed: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a command of a function: the options of ``Numbers`` take the place of its first parameter.

    The function returns a text, or a result for ``show`` or --json, or a function to call with the value of --json.
    The exit code is 1 if the attribute ``passed`` of the result is false. Without ``show`` there is no --json.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., None]:
        options = inspect.signature(Numbers).parameters

        @wraps(command)
        def run(as_json: Json = False, **given: Any) -> None:
            from . import render

            numbers = Numbers(**{name: given.pop(name) for name in options})
            with render.compilation():
                result = command(numbers, **given)
            if isinstance(result, str):
                render.show(result.rstrip("\n"))
            elif callable(result):
                result(as_json)
            elif as_json or show is None:
                print_json(command.__name__, result)
            else:
                show(result)
            if passed and not getattr(result, passed, True):
                raise typer.Exit(1)

        own = list(inspect.signature(command).parameters.values())[1:]
        last = [inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)]
        run.__signature__ = inspect.Signature([*options.values(), *own, *(last if show else [])])  # type: ignore[attr-defined]
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


# What the terminal shows ------------------------------------------------------------------------------------


def number_text(found: Any) -> str:
    """A number as people write it: a fraction if it is short, or else up to six digits."""
    from .render import number

    is_short = isinstance(found, Fraction) and len(str(found)) <= MAX_FRACTION
    return str(found).replace("-", "−") if is_short else number(float(found) + 0.0)


def vector_text(values: Sequence[Any]) -> str:
    """(1, 2, 1), or a single number."""
    return number_text(values[0]) if len(values) == 1 else f"({', '.join(map(number_text, values))})"


def matrix_text(array: Any) -> str:
    """Rows in brackets, one below the other, in aligned columns; a vector is one row."""
    cells = [list(map(number_text, row)) for row in (array if array.ndim == 2 else [array])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(f"[{'  '.join(map(str.rjust, row, widths))}]" for row in cells)


def _show_forward(result: "Forward") -> None:
    """The formulas, the values of every unit, the output and the loss; of each sample, if there are several."""
    from mlcore.exercise.derivation import Symbols
    from mlcore.exercise.formulas import to_unicode

    from .render import show

    network, symbols = result.problem.network, Symbols(result.problem.network)
    formulas = [symbols.layer(layer) for layer in range(symbols.depth)]
    if any(layer.activation == "relu" for layer in network.layers):
        formulas.append(r"\varphi(z) = \max(0, z)")
    formulas.append(f"J = {symbols.loss}{', mean over samples' if result.samples else ''}")
    wide = "    ".join(map(to_unicode, formulas))
    show(wide if len(wide) <= 80 else wide.replace("    ", "\n"))
    for number, sample in enumerate(result.samples, start=1):
        show(f"\nSample {number}", "bold")
        _show_units(sample)
    if result.samples:
        show(f"\nJ = {number_text(result.best.loss)}, the mean over {len(result.samples)} samples", "bold")
    else:
        _show_units(result)


def _show_units(result: "Forward") -> None:
    from mlcore.exercise.network import FLOAT_TOLERANCE
    from mlcore.exercise.work import CHOSEN

    from .render import Grid, out, show

    values, layers = result.best, result.problem.network.layers
    trace, deltas = values.trace, [values.gradients[CHOSEN].deltas] if values.gradients else []
    show(f"x = {vector_text(trace.x[0])}    y = {vector_text(values.y[0])}\n")
    grid = Grid("layer", "unit", "z", "a", *["δ = dJ/dz"] * len(deltas), "", left=2)
    grid.columns[-1].justify = "left"
    columns = [trace.z, trace.a, *deltas]
    for number, layer in enumerate(layers):
        for unit, z in enumerate(trace.z[number][0]):
            kinked = (0, number, unit) in trace.kinks
            state = "on the kink" if kinked else "on" if z > 0 else "off"
            state = state if layer.activation == "relu" else layer.activation
            texts = [number_text(column[number][0, unit]) for column in columns]
            grid.add(layer.name, str(unit + 1), *texts, (state, "bold yellow" if kinked else "dim"))
    out.print(grid)
    if not result.exact and any(layer.activation == "relu" for layer in layers):
        show(f"Numbers are rounded: |z| <= {FLOAT_TOLERANCE:g} counts as on the kink.", "dim")
    show(f"\nŷ = {vector_text(trace.y_hat[0])}    J = {number_text(values.loss)}", "bold")


def _show_gradients(result: "GradientReport") -> None:
    """The forward values, then the gradients, what a kink means for them, and the numerical derivatives."""
    from mlcore.exercise.derivation import Symbols
    from mlcore.exercise.formulas import to_unicode

    from .render import Grid, out, show

    _show_forward(result)
    show("")
    symbols, mean = Symbols(result.problem.network), f"1/{len(result.samples)} Σ " if result.samples else ""
    kinks = result.best.trace.kinks
    grid = Grid("gradient", "formula", f"with φ'(0) = {number_text(result.relu_at_zero)}" if kinks else "", left=3)
    for name, formula in symbols.gradients().items():
        of_mean = mean if name != "x" else ""
        grid.add(f"dJ/d{name}", of_mean + to_unicode(formula), matrix_text(result.best.gradient(name)))
    out.print(grid)
    deltas = (f"{symbols.delta[layer]} = {symbols.delta_of(layer)}" for layer in reversed(range(symbols.depth)))
    show("    ".join(map(to_unicode, deltas)), "dim")
    if kinks:
        _show_kinks(result, kinks)
    if result.differences:
        _show_derivatives(result)


def _show_kinks(result: "GradientReport", kinks: "list[Kink]") -> None:
    """What the usual conventions give, the subdifferential, and whether J can still decrease."""
    from mlcore.exercise.work import CONVENTIONS, USED_BY

    from .render import Grid, out, paragraph, show

    show("")
    paragraph(
        f"On the kink: z = 0 at {result.unit_names(kinks)}. φ has no derivative at 0, so these numbers depend on the "
        "value taken for φ'(0):",
        "bold yellow",
    )
    grid = Grid("", *(f"φ'(0) = {name}" for name in CONVENTIONS), left=1 + len(CONVENTIONS))
    agree = True
    for name in [*reversed(result.problem.network.arrays), "x"]:
        first, *others = texts = [matrix_text(result.best.gradient(name, convention)) for convention in CONVENTIONS]
        agree &= all(other == first for other in others)
        grid.add(f"dJ/d{name}", *texts, end_section=True)
    if agree:
        show("φ'(0) = 0, 1/2 and 1 give the same gradients.")
    else:
        out.print(grid)
        for name, users in USED_BY.items():
            show(f"{name:>3}: {users}", "dim")
    if result.subdifferential:
        _show_subdifferential(result, result.subdifferential)


def _show_subdifferential(result: "GradientReport", found: "Subdifferential") -> None:
    from mlcore.exercise.kinks import MAX_KINKS

    from .render import Grid, out, paragraph, show

    show("")
    if not found.pieces:
        paragraph(f"The Clarke subdifferential is not computed: more than {MAX_KINKS} units are on their kink.")
    elif len(found.pieces) == 1:
        paragraph(
            "The Clarke subdifferential of J in all weights and biases is a single gradient: all smooth pieces of J "
            "near this point agree on it."
        )
    else:
        paragraph(
            "The Clarke subdifferential of J in all weights and biases is the convex hull of these "
            f"{len(found.pieces)} gradients, those of the smooth pieces of J near this point:"
        )
        names = list(reversed(result.problem.network.arrays))
        grid = Grid("units on", *(f"dJ/d{name}" for name in names), left=1 + len(names))
        for pattern, gradients in found.pieces[:MAX_VERTICES]:
            on = result.unit_names(kink for kink in sorted(pattern) if pattern[kink])
            grid.add(on or "none", *(matrix_text(gradients.arrays[name]) for name in names), end_section=True)
        out.print(grid)
        if len(found.pieces) > MAX_VERTICES:
            show(f"and {len(found.pieces) - MAX_VERTICES} more; --json lists them all.")
    if n := len(found.undecided):
        paragraph(f"The set may be incomplete: {n} activation pattern{'s' * (n > 1)} could not be decided.")
    if found.stationary is not None:
        stationary = "0 is in it: the point is stationary in Clarke's sense."
        show(f"\n{stationary if found.stationary else '0 is not in it: the point is not stationary.'}", "bold")
    descent = f"Gradient descent with φ'(0) = {number_text(result.relu_at_zero)}"
    if result.stuck:
        show(f"{descent} is stuck here: its gradient is 0.", "bold")
    else:
        show(f"{descent} moves from here.")
    if found.descent is None:
        show("J decreases in no direction to first order.", "bold")
    else:
        slope, along = number_text(found.descent.slope), _direction_text(found.descent.direction)
        paragraph(f"{'Yet J' if found.stationary else 'J'} decreases with slope {slope} {along}.", "bold")


def _direction_text(direction: dict[str, Any]) -> str:
    import numpy as np

    moved = [(name, place) for name, array in direction.items() for place, entry in np.ndenumerate(array) if entry]
    if len(moved) == 1:
        name, place = moved[0]
        return f"when {_entry_text(name, place)} {'grows' if direction[name][place] > 0 else 'shrinks'}"
    arrays = (f"{name} = {matrix_text(array)}".replace("\n", " ") for name, array in direction.items())
    return f"along {', '.join(arrays)}"


def _show_derivatives(result: "GradientReport") -> None:
    import numpy as np

    from .render import Grid, number, out, say

    def rounded(derivative: Any) -> str:  # without the digits below the error of a numerical derivative
        return number(round(derivative, 7) + 0.0)

    grid = Grid("entry", "gradient", "central", "left", "right", "", title="\nNumerical derivatives")
    grid.columns[-1].justify = "left"
    for name, found in result.differences.items():
        gradients = result.values.gradient(name)
        differ, contradicts = found.one_sided_differ, found.contradict(gradients)
        for place, entry in np.ndenumerate(gradients):
            columns = [rounded(found.central[place]), "", ""]
            if differ[place]:
                columns = ["", rounded(found.left[place]), rounded(found.right[place])]
            verdict = "no derivative" if differ[place] else "WRONG" if contradicts[place] else "agrees"
            shown = place[1:] if name == "x" and not result.samples else place
            grid.add(_entry_text(name, shown), number(entry), *columns, verdict)
    out.print(grid)
    if not result.agrees:
        say("J has a derivative in the entries marked WRONG, and this value for φ'(0) gives another number.")


def _entry_text(name: str, place: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(str(index + 1) for index in place)}]"


def _show_descent(result: "Descended") -> None:
    """The loss of every step with a bar, the weights at the end, and why nothing moves."""
    from .render import Grid, number, out, paragraph, show

    losses = result.losses
    shown = sorted({*range(0, len(losses), math.ceil(len(losses) / MAX_ROWS)), len(losses) - 1})
    smallest = min((loss for loss in losses if loss > 0), default=1.0)
    largest = max(max(losses), smallest)
    decades = math.log10(largest / smallest)
    grid = Grid("step", "J", "J on a logarithmic scale" if decades > 2 else "J", left=0)
    grid.columns[2].justify = "left"
    for step in shown:
        share = losses[step] / largest
        if decades > 2 and share:
            share = (1 + math.log10(losses[step] / smallest)) / (1 + decades)
        grid.add(str(step), number(losses[step]), "█" * round(40 * share))
    out.print(grid)
    show("\nAt the end:")
    grid = Grid("", "", left=2)
    grid.show_header = False
    for name, array in result.arrays.items():
        grid.add(name, matrix_text(array))
    out.print(grid)
    if result.standstill:
        show("")
        paragraph(result.standstill, "bold yellow")


# What the commands do ---------------------------------------------------------------------------------------


@on_network(_show_forward)
def forward(numbers: Numbers) -> "Forward":
    """Example: mlcore forward --x 1,2,1

    Compute forward values and loss of the network x -> φ(W x) -> φ(V h) with
    φ = ReLU and J = ½ (y − ŷ)², or of the network in --net FILE. Numbers are
    integers, decimals or fractions such as -1/2; commas separate numbers and
    semicolons separate rows.
    """
    from mlcore.exercise import work

    return work.forward(numbers.problem())


@on_network(_show_gradients, passed="agrees")
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
) -> "GradientReport | str | Callable[[bool], None]":
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


@on_network(_show_descent)
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
