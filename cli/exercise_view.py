"""What people see of exercise 1: units, gradients, what a kink means for them, descents and marks."""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.exercise.derivation import PHI, Symbols
from mlcore.exercise.descent import Descended
from mlcore.exercise.formats import matrix_box, to_unicode
from mlcore.exercise.kinks import MAX_KINKS, Subdifferential
from mlcore.exercise.marking import Marking
from mlcore.exercise.network import FLOAT_TOLERANCE
from mlcore.exercise.work import CHOSEN, CONVENTIONS, USED_BY, Worked

from .render import Grid, number, out, paragraph, say, show

MAX_VERTICES = 8  # shown in the terminal; --json has all
MAX_FRACTION = 10  # characters; a longer fraction is shown as a decimal
MAX_ROWS = 25  # of a descent


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], left: int, lines: bool = False, last: str = ""
) -> None:
    """A table with ``left`` columns of text, of numbers after them, and perhaps a ``last`` one of text."""
    grid = Grid(*columns, last, left=left)
    grid.columns[-1].justify = "left"
    grid.show_header = any(columns)
    for row in rows:
        grid.add(*row, end_section=lines)
    out.print(grid)


def number_text(found: Any) -> str:
    """A number as people write it: a fraction if it is short, or else up to six digits; ? for one left open."""
    if found is None:
        return "?"
    is_short = isinstance(found, Fraction) and len(str(found)) <= MAX_FRACTION
    return str(found).replace("-", "−") if is_short else number(float(found) + 0.0)


def vector_text(values: Sequence[Any]) -> str:
    """(1, 2, 1), or a single number."""
    return number_text(values[0]) if len(values) == 1 else f"({', '.join(map(number_text, values))})"


def matrix_text(array: np.ndarray) -> str:
    """Rows in brackets, one below the other, in aligned columns; a vector is one row."""
    return "\n".join(matrix_box([list(map(number_text, row)) for row in np.atleast_2d(array)]))


def entry_text(name: str, place: tuple[int, ...]) -> str:
    """The name of an entry, counted from 1: W[2, 1]."""
    return f"{name}[{', '.join(str(index + 1) for index in place)}]"


def forward(result: Worked) -> None:
    """The formulas, the values of every unit, the output and the loss; of each sample, if there are several."""
    symbols = Symbols(result.problem.network)
    formulas = [f"{output} = {symbols.layer(layer)}" for layer, output in enumerate(symbols.outputs)]
    formulas += [r"\varphi(z) = \max(0, z)"] * (PHI["relu"] in symbols.phi)
    formulas.append(f"J = {symbols.loss}{', mean over samples' if result.samples else ''}")
    wide = "    ".join(map(to_unicode, formulas))
    show(wide if len(wide) <= 80 else wide.replace("    ", "\n"))
    for sample, worked in enumerate(result.samples or [result], start=1):
        if result.samples:
            show(f"\nSample {sample}", "bold")
        _units(worked)
    if result.samples:
        show(f"\nJ = {number_text(result.best.loss)}, the mean over {len(result.samples)} samples", "bold")


def _units(result: Worked) -> None:
    values, layers, rows = result.best, result.problem.network.layers, []
    trace, deltas = values.trace, [values.chosen.deltas] if values.chosen else []
    show(f"x = {vector_text(trace.x[0])}    y = {vector_text(values.y[0])}\n")
    for index, layer in enumerate(layers):
        for unit, z in enumerate(trace.z[index][0]):
            kinked = (0, index, unit) in trace.kinks
            state = layer.activation if layer.activation != "relu" else "on" if z > 0 else "off"
            texts = [number_text(column[index][0, unit]) for column in (trace.z, trace.a, *deltas)]
            shown = ("on the kink", "bold yellow") if kinked else (state, "dim")
            rows.append((layer.name, str(unit + 1), *texts, shown))
    table(["layer", "unit", "z", "a", *["δ = dJ/dz"] * len(deltas)], rows, left=2)
    if not result.exact and any(layer.activation == "relu" for layer in layers):
        show(f"Numbers are rounded: |z| <= {FLOAT_TOLERANCE:g} counts as on the kink.", "dim")
    show(f"\nŷ = {vector_text(trace.y_hat[0])}    J = {number_text(values.loss)}", "bold")


def grad(result: Worked) -> None:
    """The forward values, then the gradients, what a kink means for them, and the numerical derivatives."""
    forward(result)
    show("")
    symbols, best, kinks = Symbols(result.problem.network), result.best, result.best.trace.kinks
    mean = f"1/{len(result.samples)} Σ " if result.samples else ""
    rows = []
    for layer in reversed(range(symbols.depth)):
        for name, formula in symbols.gradients(layer).items():
            rows.append((f"dJ/d{name}", mean + to_unicode(formula), matrix_text(best.gradients[CHOSEN][name])))
    of_x = to_unicode(rf"{symbols.weights[0]}^\top {symbols.delta[0]}")
    rows.append(("dJ/dx", of_x, matrix_text(best.gradients[CHOSEN]["x"])))
    with_value = f"with φ'(0) = {number_text(result.relu_at_zero)}" if kinks else ""
    table(["gradient", "formula"], rows, left=3, last=with_value)
    deltas = (f"{symbols.delta[layer]} = {symbols.delta_of(layer)}" for layer in reversed(range(symbols.depth)))
    show("    ".join(map(to_unicode, deltas)), "dim")
    if kinks:
        _conventions(result)
    if result.subdifferential:
        _subdifferential(result, result.subdifferential)
    if result.differences:
        _derivatives(result)


def _conventions(result: Worked) -> None:
    """What the usual conventions give."""
    show("")
    paragraph(
        f"On the kink: z = 0 at {result.unit_names(result.best.trace.kinks)}. φ has no derivative at 0, so these "
        "numbers depend on the value taken for φ'(0):",
        "bold yellow",
    )
    found = result.best.gradients
    rows = [
        (f"dJ/d{name}", *(matrix_text(found[value][name]) for value in CONVENTIONS))
        for name in [*reversed(result.problem.network.arrays), "x"]
    ]
    if all(len(set(texts)) == 1 for _, *texts in rows):
        show("φ'(0) = 0, 1/2 and 1 give the same gradients.")
        return
    *columns, last = (f"φ'(0) = {value}" for value in CONVENTIONS)
    table(["", *columns], rows, left=3, lines=True, last=last)
    for value, users in USED_BY.items():
        show(f"{value:>3}: {users}", "dim")


def _subdifferential(result: Worked, found: Subdifferential) -> None:
    """The Clarke subdifferential, and whether J can still decrease."""
    show("")
    whole, count = "The Clarke subdifferential of J in all weights and biases is", len(found.pieces)
    if not count:
        paragraph(f"The Clarke subdifferential is not computed: more than {MAX_KINKS} units are on their kink.")
    elif count == 1:
        paragraph(f"{whole} a single gradient: all smooth pieces of J near this point agree on it.")
    else:
        gradients_of = f"{count} gradients, those of the smooth pieces of J near this point:"
        paragraph(f"{whole} the convex hull of these {gradients_of}")
        names, rows = list(reversed(result.problem.network.arrays)), []
        for pattern, gradients in found.pieces[:MAX_VERTICES]:
            on = result.unit_names(kink for kink in sorted(pattern) if pattern[kink])
            rows.append((on or "none", *(matrix_text(gradients.arrays[name]) for name in names)))
        *columns, last = (f"dJ/d{name}" for name in names)
        table(["units on", *columns], rows, left=len(names), lines=True, last=last)
        if count > MAX_VERTICES:
            show(f"and {count - MAX_VERTICES} more; --json lists them all.")
    if n := len(found.undecided):
        paragraph(f"The set may be incomplete: {n} activation pattern{'s' * (n > 1)} could not be decided.")
    if found.stationary is not None:
        stationary = "0 is in it: the point is stationary in Clarke's sense."
        show(f"\n{stationary if found.stationary else '0 is not in it: the point is not stationary.'}", "bold")
    follows, style = ("is stuck here: its gradient is 0", "bold") if result.stuck else ("moves from here", "")
    show(f"Gradient descent with φ'(0) = {number_text(result.relu_at_zero)} {follows}.", style)
    if found.descent is None:
        show("J decreases in no direction to first order.", "bold")
        return
    direction = found.descent.direction
    moved = [(name, place) for name, array in direction.items() for place, entry in np.ndenumerate(array) if entry]
    arrays = (f"{name} = {matrix_text(array)}".replace("\n", " ") for name, array in direction.items())
    along = f"along {', '.join(arrays)}"
    if len(moved) == 1:
        name, place = moved[0]
        along = f"when {entry_text(name, place)} {'grows' if direction[name][place] > 0 else 'shrinks'}"
    yet = "Yet J" if found.stationary else "J"
    paragraph(f"{yet} decreases with slope {number_text(found.descent.slope)} {along}.", "bold")


def _derivatives(result: Worked) -> None:
    def rounded(derivative: Any) -> str:  # without the digits below the error of a numerical derivative
        return number(round(derivative, 7) + 0.0)

    rows = []
    for name, found in result.differences.items():
        differ, contradicts = found.one_sided_differ, result.contradictions(name)
        for place, entry in np.ndenumerate(result.values.gradients[CHOSEN][name]):
            columns = [rounded(found.central[place]), "", ""]
            if differ[place]:
                columns = ["", rounded(found.left[place]), rounded(found.right[place])]
            verdict = "no derivative" if differ[place] else "WRONG" if contradicts[place] else "agrees"
            rows.append((entry_text(name, place), number(entry), *columns, verdict))
    show("\nNumerical derivatives", "bold")
    table(["entry", "gradient", "central", "left", "right"], rows, left=1)
    if not result.agrees:
        say("J has a derivative in the entries marked WRONG, and this value for φ'(0) gives another number.")


def descend(result: Descended) -> None:
    """The loss of every step with a bar, the weights at the end, and why nothing moves."""
    losses, rows = result.losses, []
    smallest = min((loss for loss in losses if loss > 0), default=1.0)
    largest = max(*losses, smallest)
    decades = math.log10(largest / smallest)
    for step in sorted({*range(0, len(losses), math.ceil(len(losses) / MAX_ROWS)), len(losses) - 1}):
        share = losses[step] / largest
        if decades > 2 and share:
            share = (1 + math.log10(losses[step] / smallest)) / (1 + decades)
        rows.append((str(step), number(losses[step]), "█" * round(40 * share)))
    table(["step", "J"], rows, left=0, last="J on a logarithmic scale" if decades > 2 else "J")
    show("\nAt the end:")
    table([""], [(name, matrix_text(array)) for name, array in result.arrays.items()], left=2)
    if result.standstill:
        show("")
        paragraph(result.standstill, "bold yellow")


VERDICTS = {
    "right": ("right", "green"),
    "right-by-convention": ("right (with φ'(0) = {})", "green"),
    "in-subdifferential": ("in the subdifferential", "green"),
    "too-few-digits": ("too few digits", "yellow"),
    "carried-forward": ("wrong, as it follows", "yellow"),
    "wrong": ("wrong", "bold red"),
}


def check(marking: Marking) -> None:
    """Each answer with its verdict, the truth if it is shown, and the mistakes that give the same numbers."""
    rows = []
    for verdict in marking.verdicts:
        text, style = VERDICTS[verdict.status]
        truth = [] if verdict.truth is None else [matrix_text(verdict.truth)]
        rows.append((verdict.symbol, (text.format(marking.convention), style), *truth))
    table(["answer", "verdict"], rows, left=3, last="truth" if len(rows[0]) == 3 else "")
    for verdict in marking.verdicts:
        remarks = [verdict.remark] if verdict.remark and not verdict.remark.startswith("the value of") else []
        for line in [*remarks, *verdict.mistakes]:
            paragraph(f"{verdict.symbol}: {line}")
    show(f"\n{marking.right} of {len(marking.verdicts)} right.", "bold")
