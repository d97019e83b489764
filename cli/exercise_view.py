"""What people see of exercise 1: units, gradients, what a kink means for them, descents and marks."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mlcore.errors import counted
from mlcore.exercise.classroom import ClassMarks
from mlcore.exercise.classroom import number_text as points_text
from mlcore.exercise.derivation import Symbols, joined
from mlcore.exercise.descent import Descended
from mlcore.exercise.drawing.graph import entry_name
from mlcore.exercise.formats import Style, matrix_text, to_unicode
from mlcore.exercise.kinks import MAX_KINKS, Subdifferential
from mlcore.exercise.marking import Marking
from mlcore.exercise.network import FLOAT_TOLERANCE
from mlcore.exercise.work import USED_BY, Worked

from .render import bar, fits, number, paragraph, say, shortened, show, side_by_side, table

MAX_VERTICES = 8  # shown in the terminal; --json has all
MAX_ROWS = 25  # of a descent
MAX_MISTAKES = 10  # of a class
STYLES = {"open": "yellow", "too-few-digits": "yellow", "carried-forward": "yellow", "wrong": "bold red"}  # of verdicts


def vector_text(values: Sequence[Any], style: Style) -> str:
    """(1, 2, 1), or a single number."""
    return style.text(values[0]) if len(values) == 1 else f"({', '.join(map(style.text, values))})"


def forward(result: Worked) -> None:
    """The formulas, the values of every unit, the output and the loss; of each sample, if there are several."""
    problem = result.problem
    symbols, style = Symbols(problem), problem.style
    formulas = [f"{output} = {symbols.layer(layer)}" for layer, output in enumerate(symbols.outputs)]
    formulas += [f"{symbol} = {formula}" for symbol, formula in symbols.definitions() if "'" not in symbol]
    formulas += [f"J_s = {symbols.loss}"] * problem.several + [f"J = {symbols.objective}"]
    formulas += [rf"\lambda = {style.ascii(problem.network.loss.l2)}"] * bool(problem.network.penalized)
    side_by_side(map(to_unicode, formulas))
    several, n = problem.several, len(problem.x)
    for sample in range(n):
        if several:
            show(f"\nSample {sample + 1}", "bold")
        _units(result, symbols, sample)
    if several:
        over = f"the {problem.network.loss.reduction} over {n} samples"
        show(f"\nJ = {style.text(result.best.loss)}, {over}", "bold")


def _units(result: Worked, symbols: Symbols, sample: int) -> None:
    values, network, style = result.best, result.problem.network, result.problem.style
    rows: list[tuple[Any, ...]] = []
    trace, chosen = values.trace, values.gradients.get(result.at_zero)
    target = f"{symbols.target} = {vector_text(values.y[sample], style)}"
    side_by_side([f"x = {vector_text(trace.x[sample], style)}", target])
    show("")
    columns = [trace.z, trace.a, chosen.deltas] if chosen else [trace.z, trace.a]
    for index, layer in enumerate(network.layers):
        for unit, z in enumerate(trace.z[index][sample]):
            texts = [style.text(column[index][sample, unit]) for column in columns]
            state = network.activations[index].state(z)
            shown = ("on the kink", "bold yellow") if state == "kink" else (state or layer.activation, "dim")
            rows.append((layer.name, str(unit + 1), *texts, shown))
    of = to_unicode(symbols.of_sample)
    table(["layer", "unit", "z", "a", *[f"δ = d{of}/dz"] * bool(chosen), ""], rows, left=2)
    if not result.exact and any(activation.has_kink for activation in network.activations):
        show(f"Numbers are rounded: |z| <= {FLOAT_TOLERANCE:g} counts as on the kink.", "dim")
    show("")
    loss = f"J{to_unicode(f'_{{{sample + 1}}}')} = {style.text(values.losses[sample])}"
    loss = loss if result.problem.several else f"J = {style.text(values.loss)}"
    side_by_side([f"ŷ = {vector_text(trace.y_hat[sample], style)}", loss], "bold")


def grad(result: Worked, more: bool = False) -> None:
    """The forward values, then the gradients, what a kink means for them, and the numerical derivatives.

    ``more``: also the Clarke subdifferential.
    """
    forward(result)
    show("")
    symbols, best, kinks, style = Symbols(result.problem), result.best, result.best.trace.kinks, result.problem.style
    found = best.gradients[result.at_zero].named
    rows = [
        (f"dJ/d{name}", to_unicode(joined(symbols.gradient(name))), matrix_text(found[name], style))
        for name in symbols.arrays
    ]
    of_x = ", ".join(joined(symbols.pulled(layer, name)) for layer, name, _ in symbols.network.takers())
    rows.append((f"d{to_unicode(symbols.of_sample)}/dx", to_unicode(of_x), matrix_text(found["x"], style)))
    with_value = f"with φ'(0) = {result.at_zero}" if kinks else ""
    table(["gradient", "formula", with_value], rows, left=3)
    deltas = [f"{symbols.delta[layer]} = {joined(symbols.delta_of(layer))}" for layer in reversed(range(symbols.depth))]
    deltas += [f"g = {joined(symbols.of_output)}"] * symbols.network.has_jacobian
    side_by_side(map(to_unicode, deltas), "dim")
    if kinks:
        _conventions(result)
    if result.subdifferential:
        show("")
        if more:
            _subdifferential(result, result.subdifferential)
        _descent(result, result.subdifferential)
        if not more:
            show("--more shows the Clarke subdifferential here.", "dim")
    if result.differences:
        _derivatives(result)


def _conventions(result: Worked) -> None:
    found, of_sample = result.best.gradients, "dJₛ" if result.problem.several else "dJ"
    rows = [
        (f"{of}/d{name}", *(matrix_text(found[value].named[name], result.problem.style) for value in result.usual))
        for name, of in [*((name, "dJ") for name in reversed(result.problem.network.trained)), ("x", of_sample)]
    ]
    same = all(len(set(texts)) == 1 for _, *texts in rows)
    depend = "so these numbers depend on the value taken for φ'(0):"
    if same:
        *some, last = result.usual
        depend = f"but these numbers are the same for φ'(0) = {', '.join(map(str, some))} and {last}."
    units = result.unit_names(result.best.trace.kinks)
    show("")
    paragraph(f"On the kink: z = 0 at {units}. φ has no derivative at 0, {depend}", "bold yellow")
    if same:
        return
    table(["", *(f"φ'(0) = {value}" for value in result.usual)], rows, left=4, lines=True)
    kinked = {result.problem.network.layers[kink.layer].activation for kink in result.best.trace.kinks}
    for value, users in USED_BY.items() if kinked == {"relu"} else ():
        show(f"{value:>3}: {users}", "dim")


def _subdifferential(result: Worked, found: Subdifferential) -> None:
    """The Clarke subdifferential, and whether 0 is in it."""
    whole, count = "The Clarke subdifferential of J in all weights and biases is", len(found.pieces)
    if not count:
        paragraph(f"The Clarke subdifferential is not computed: more than {MAX_KINKS} units are on their kink.")
    elif count == 1:
        paragraph(f"{whole} a single gradient: all smooth pieces of J near this point agree on it.")
    else:
        gradients_of = f"{count} gradients, those of the smooth pieces of J near this point:"
        paragraph(f"{whole} the convex hull of these {gradients_of}")
        names, rows, style = list(reversed(result.problem.network.trained)), [], result.problem.style
        for on, gradients in found.pieces[:MAX_VERTICES]:
            matrices = (matrix_text(gradients.arrays[name], style) for name in names)
            rows.append((result.unit_names(sorted(on)) or "none", *matrices))
        table(["units on", *(f"dJ/d{name}" for name in names)], rows, left=len(names) + 1, lines=True)
        if count > MAX_VERTICES:
            show(f"and {count - MAX_VERTICES} more; --json lists them all.")
    if n := len(found.undecided):
        paragraph(f"The set may be incomplete: {counted(n, 'activation pattern')} could not be decided.")
    if found.stationary is not None:
        stationary = "0 is in it: the point is stationary in Clarke's sense."
        show(f"\n{stationary if found.stationary else '0 is not in it: the point is not stationary.'}", "bold")


def _descent(result: Worked, found: Subdifferential) -> None:
    """Whether gradient descent moves, and whether J can still decrease."""
    text = result.problem.style.text
    follows, weight = ("is stuck here: its gradient is 0", "bold") if result.stuck else ("moves from here", "")
    show(f"Gradient descent with φ'(0) = {result.at_zero} {follows}.", weight)
    if found.descent is None:
        show("J decreases in no direction to first order.", "bold")
        return
    direction = found.descent.direction
    moved = [(name, place) for name, array in direction.items() for place, entry in np.ndenumerate(array) if entry]
    arrays = (f"{name} = {matrix_text(array)}".replace("\n", " ") for name, array in direction.items())
    along = f"along {', '.join(arrays)}"
    if len(moved) == 1:
        name, place = moved[0]
        along = f"when {entry_name(name, place)} {'grows' if direction[name][place] > 0 else 'shrinks'}"
    yet = "Yet J" if found.stationary else "J"
    paragraph(f"{yet} decreases with slope {text(found.descent.slope)} {along}.", "bold")


def _derivatives(result: Worked) -> None:
    def rounded(derivative: Any) -> str:  # without the digits below the error of a numerical derivative
        return number(round(derivative, 7) + 0.0)

    rows, style = [], result.problem.style
    for name, found in result.differences.items():
        differ, contradicts = found.one_sided_differ, result.contradictions(name)
        for place, entry in np.ndenumerate(result.values.gradients[result.at_zero].named[name]):
            columns = [rounded(found.central[place]), "", ""]
            if differ[place]:
                columns = ["", rounded(found.left[place]), rounded(found.right[place])]
            verdict = "no derivative" if differ[place] else "WRONG" if contradicts[place] else "agrees"
            rows.append((entry_name(name, place), style.text(float(entry)), *columns, verdict))
    show("\nNumerical derivatives", "bold")
    table(["entry", "gradient", "central", "left", "right", ""], rows)
    if not result.agrees:
        say("J has a derivative in the entries marked WRONG, and this value for φ'(0) gives another number.")


def descend(result: Descended, style: Style) -> None:
    """The loss of every step with a bar, the weights at the end, and why nothing moves."""
    losses = result.losses
    steps = sorted({*range(0, len(losses), math.ceil(len(losses) / MAX_ROWS)), len(losses) - 1})
    largest = max(0.0, *(losses[step] for step in steps)) or 1.0
    rows = [(str(step), style.text(losses[step]), bar(max(losses[step], 0.0) / largest)) for step in steps]
    table(["step", "J", ""], rows, left=())
    show("\nAt the end:")
    table(["", ""], [(name, matrix_text(array, style)) for name, array in result.arrays.items()])
    if result.standstill:
        show("")
        paragraph(result.standstill, "bold yellow")


def check(marking: Marking) -> None:
    """Each answer with its verdict, the truth if it is shown, and the mistakes that give the same numbers."""
    rows: list[tuple[Any, ...]] = []
    for verdict in marking.verdicts:
        words = verdict.words, STYLES.get(verdict.status, "green")
        rows.append((verdict.symbol, words, *filter(None, [verdict.shown(marking.style)])))
    table(["answer", "verdict", "truth" if len(rows[0]) == 3 else ""], rows, left=3)
    for verdict in marking.verdicts:
        for line in verdict.remarks:
            paragraph(f"{verdict.symbol}: {line}")
    show(f"\n{marking.right} of {len(marking.verdicts)} right.", "bold")


def check_class(marks: ClassMarks) -> None:
    """A row for each student with the points, what went wrong, and the commonest mistakes with a bar."""
    total = sum(marks.worth.values(), Fraction(0))
    rows = []
    for one in marks.students:
        points = (one.points.get(name) for name in marks.worth)
        rows.append((shortened(one.student), *map(points_text, [*points, one.total])))
    rows.append(("out of", *map(points_text, marks.worth.values()), points_text(total)))
    columns = ["student", *marks.worth, "total"]
    if fits(columns, rows):
        table(columns, rows)
    else:
        each = [(shortened(one.student), points_text(one.total), points_text(one.of)) for one in marks.students]
        table(["student", "total", "out of"], each)
        show("-o FILE writes the points of each answer, too many columns for this page.", "dim")
    for one in marks.students:
        for remark in one.remarks:
            paragraph(f"{shortened(one.student)}: {remark}", indent="  ")
    if marks.mistakes:
        show("\nCommonest mistakes", "bold")
        found = [(name, str(count), bar(count / len(marks.students))) for name, count in marks.mistakes.items()]
        table(["mistake", "students", ""], found[:MAX_MISTAKES])
