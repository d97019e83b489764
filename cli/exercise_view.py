"""Tables of the exercise's commands, from the documents that ``--json`` prints."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from mlcore.exercise.derivation import Symbols
from mlcore.exercise.formulas import to_unicode

from .documents import CONVENTIONS
from .render import Grid, number, out, paragraph, say, show

if TYPE_CHECKING:
    from mlcore.exercise.network import Network
    from mlcore.exercise.problem import Problem

MOST_VERTICES = 8  # shown in the terminal; --json has all
LONGEST_FRACTION = 10  # characters; a longer fraction is shown as a decimal
MOST_ROWS = 25  # of a descent

Value = str | float


def value(found: Value) -> str:
    """A number, or a fraction given as a string."""
    if not isinstance(found, str):
        return number(found)
    return found.replace("-", "−") if len(found) <= LONGEST_FRACTION else number(float(Fraction(found)))


def vector(values: list[Value]) -> str:
    """(1, 2, 1)"""
    return f"({', '.join(map(value, values))})"


def matrix(rows: list) -> str:
    """Rows in brackets, one below the other, in aligned columns; a vector is one row."""
    cells = [[value(entry) for entry in row] for row in (rows if isinstance(rows[0], list) else [rows])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"[{line}]" for line in lines)


def forward(sheet: "Problem", document: dict) -> None:
    """The formulas, the values of every unit, the output and the loss; of each sample, if there are several."""
    _formulas(sheet.network, several=sheet.several, outputs=len(sheet.y[0]))
    if sheet.several:
        for sample, one in enumerate(document["samples"], start=1):
            show(f"\nSample {sample}", "bold")
            _units(one)
        show(
            f"\nJ = {value(document.get('exact', document)['loss'])}, the mean over {len(document['samples'])} samples",
            "bold",
        )
    else:
        _units(document)


def gradients(sheet: "Problem", document: dict) -> None:
    """The forward values, then the gradients, what a kink means for them, and the numerical derivatives."""
    forward(sheet, document)
    symbols, exact = Symbols(sheet.network), document.get("exact", document)
    show("")
    at_zero = f"with φ'(0) = {value(document['relu_at_zero'])}" if document["kinks"] else ""
    grid = Grid("gradient", "formula", at_zero, left=3)
    mean = f"1/{len(sheet.x)} Σ " if sheet.several else ""
    for name, formula in _gradient_formulas(sheet.network, symbols).items():
        grid.add(f"dJ/d{name}", mean * (name != "x") + formula, matrix(exact["gradients"][name]))
    out.print(grid)
    show("    ".join(_delta_formulas(sheet.network, symbols)), "dim")
    if document["kinks"]:
        _kinks(sheet, document)
    if "check" in document:
        _differences(document)


def descent(document: dict) -> None:
    """The loss of every step with a bar, the weights at the end, and why it stands still."""
    losses = document["losses"]
    every = math.ceil(len(losses) / MOST_ROWS)
    shown = sorted({*range(0, len(losses), every), len(losses) - 1})
    smallest = min((loss for loss in losses if loss > 0), default=1.0)
    largest = max(max(losses), smallest)
    decades = math.log10(largest / smallest)
    grid = Grid("step", "J", "J on a logarithmic scale" if decades > 2 else "J", left=0)
    grid.columns[2].justify = "left"
    for step in shown:
        share = (
            losses[step] / largest
            if decades <= 2
            else (1 + math.log10(max(losses[step], smallest) / smallest)) / (1 + decades)
        )
        grid.add(str(step), number(losses[step]), "█" * round(40 * share * (losses[step] > 0)))
    out.print(grid)
    show("\nAt the end:")
    grid = Grid("", "", left=2)
    grid.show_header = False
    for name, array in document["arrays"].items():
        grid.add(name, matrix(array))
    out.print(grid)
    if document["standstill"]:
        show("")
        paragraph(document["standstill"], "bold yellow")


def _formulas(network: "Network", several: bool, outputs: int) -> None:
    symbols = Symbols(network)
    lines = [
        f"{symbols.outputs[layer]} = {symbols.activated(layer, symbols.affine(layer, symbols.inputs[layer]))}"
        for layer in range(symbols.depth)
    ]
    if any(layer.activation == "relu" for layer in network.layers):
        lines.append(r"\varphi(z) = \max(0, z)")
    if network.loss_name == "half-squared":
        loss = r"\frac{1}{2} " + (r"\sum " if outputs > 1 else "") + r"(y - \hat{y})^2"
    else:
        loss = (r"\sum " if outputs > 1 else "") + r"\log(1 + exp \hat{y}) - y \hat{y}"
    lines.append(f"J = {loss}" + (", mean over samples" if several else ""))
    formulas = [to_unicode(line) for line in lines]
    wide = "    ".join(formulas)
    show(wide if len(wide) <= 80 else "\n".join(formulas))


def _units(document: dict) -> None:
    exact = document.get("exact", document)
    show(f"x = {vector(exact['x'] if 'x' in exact else document['x'])}    y = {vector(exact['y'])}\n")
    with_delta = "delta" in document["layers"][0]
    grid = Grid("layer", "unit", "z", "a", *(["δ = dJ/dz"] if with_delta else []), "", left=2)
    grid.columns[-1].justify = "left"
    for layer, rounded in zip(exact["layers"], document["layers"], strict=True):
        for unit, (z, a) in enumerate(zip(layer["z"], layer["a"], strict=True)):
            delta = [value(layer["delta"][unit])] if with_delta else []
            at = rounded["z"][unit]
            smooth = "activation" in layer
            state = layer["activation"] if smooth else "on the kink" if at == 0 else "off" if at < 0 else "on"
            style = "bold yellow" if state == "on the kink" else "dim"
            grid.add(layer["name"], str(unit + 1), value(z), value(a), *delta, (state, style))
    out.print(grid)
    if "kink_tolerance" in document and any("activation" not in layer for layer in document["layers"]):
        show(f"Rounded numbers: |z| <= {document['kink_tolerance']:g} counts as on the kink.", "dim")
    y_hat = exact["y_hat"]
    show(f"\nŷ = {vector(y_hat) if len(y_hat) > 1 else value(y_hat[0])}    J = {value(exact['loss'])}", "bold")


def _gradient_formulas(network: "Network", symbols: Symbols) -> dict[str, str]:
    """Formula of every gradient by name, from the output back to x."""
    formulas = {}
    for number_of, layer in reversed(list(enumerate(network.layers))):
        formulas[layer.weights] = rf"{symbols.delta[number_of]} {symbols.inputs[number_of]}^\top"
        if layer.bias:
            formulas[layer.bias] = symbols.delta[number_of]
    formulas["x"] = rf"{symbols.weights[0]}^\top {symbols.delta[0]}"
    return {name: to_unicode(formula) for name, formula in formulas.items()}


def _delta_formulas(network: "Network", symbols: Symbols) -> Iterator[str]:
    predicted = r"\hat{y}" if network.loss_name == "half-squared" else r"\sigma(\hat{y})"
    for layer in reversed(range(symbols.depth)):
        above = layer + 1
        pulled = (
            rf"{symbols.weights[above]}^\top {symbols.delta[above]}" if above < symbols.depth else f"{predicted} - y"
        )
        slope = symbols.slope(layer, symbols.z[layer])
        yield to_unicode(rf"{symbols.delta[layer]} = " + (rf"({pulled}) \odot {slope}" if slope else pulled))


def _kinks(sheet: "Problem", document: dict) -> None:
    show("")
    paragraph(
        f"On the kink: z = 0 at {_unit_list(document['kinks'])}. φ has no derivative at 0, so these numbers rest on a "
        "convention for φ'(0):",
        "bold yellow",
    )
    exact = document.get("exact", document)
    found = exact["by_convention"]
    if len({str(gradients) for gradients in found.values()}) == 1:
        show("the gradients under φ'(0) = 0, 1/2 and 1 agree.")
    else:
        grid = Grid("", *(f"φ'(0) = {name}" for name in CONVENTIONS), left=4)
        for name in (*reversed(sheet.network.arrays), "x"):
            grid.add(f"dJ/d{name}", *(matrix(found[convention][name]) for convention in CONVENTIONS), end_section=True)
        out.print(grid)
        for name, users in document["used_by"].items():
            show(f"{name:>3}: {users}", "dim")
    if "subdifferential" in exact:
        _subdifferential(sheet, document)


def _subdifferential(sheet: "Problem", document: dict) -> None:
    found, verdict = document["exact"]["subdifferential"], document["exact"]["verdict"]
    vertices = found["vertices"]
    names = list(reversed(sheet.network.arrays))
    show("")
    if not vertices:
        paragraph(
            f"Clarke subdifferential: not enumerated, since {len(document['kinks'])} units are on their kink; up to 12 are."
        )
    elif len(vertices) == 1:
        paragraph(
            "Clarke subdifferential of J in all weights and biases: one gradient alone, on which all smooth pieces of J "
            "near this point agree."
        )
    else:
        paragraph(
            f"Clarke subdifferential of J in all weights and biases: the convex hull of these {len(vertices)} gradients of "
            "the smooth pieces of J near this point (equal ones are shown once):"
        )
        grid = Grid("units on", *(f"dJ/d{name}" for name in names), left=1 + len(names))
        for vertex in vertices[:MOST_VERTICES]:
            on = _unit_list(vertex["on"]) or "none"
            grid.add(on, *(matrix(vertex["gradients"][name]) for name in names), end_section=True)
        out.print(grid)
        if len(vertices) > MOST_VERTICES:
            show(f"and {len(vertices) - MOST_VERTICES} more; --json has them all.")
    if found["undecided_patterns"]:
        paragraph(
            f"The set shown may be too small: for {found['undecided_patterns']} patterns of units, terms beyond the second "
            "order decide."
        )
    _verdict(document, verdict)


def _verdict(document: dict, verdict: dict) -> None:
    if verdict["stationary"] is not None:
        inside = (
            "0 is in it: the point is stationary in Clarke's sense."
            if verdict["stationary"]
            else "0 is not in it: the point is not stationary."
        )
        show(f"\n{inside}", "bold")
    convention = value(document["relu_at_zero"])
    if verdict["stuck"]:
        show(f"Gradient descent with φ'(0) = {convention} is stuck here: its gradient is 0.", "bold")
    else:
        show(f"Gradient descent with φ'(0) = {convention} moves from here.")
    if verdict["descent"]:
        slope, direction = verdict["descent"]["slope"], verdict["descent"]["direction"]
        entries = [
            (name, place, entry)
            for name, array in direction.items()
            for place, entry in _entries(array)
            if entry != "0"
        ]
        if len(entries) == 1:
            name, place, entry = entries[0]
            along = f"when {_entry(name, place)} {'grows' if entry == '1' else 'shrinks'}"
        else:
            along = "along " + ", ".join(
                f"{name} = {matrix(array)}".replace("\n", " ") for name, array in direction.items()
            )
        yet = "Yet J falls" if verdict["stationary"] else "J falls"
        paragraph(f"{yet} with slope {value(slope)} {along}.", "bold")
    else:
        show("J falls in no direction to first order.", "bold")


def _unit_list(units: list[dict]) -> str:
    return ", ".join(
        (f"sample {unit['sample']} " if "sample" in unit else "") + f"{unit['layer']} unit {unit['unit']}"
        for unit in units
    )


def _differences(document: dict) -> None:
    grid = Grid("entry", "gradient", "central", "left", "right", "", title="\nNumerical derivatives")
    grid.columns[-1].justify = "left"
    for name, gradient_array in document["gradients"].items():
        found = document["check"][name]
        for place, gradient in _entries(gradient_array):
            left, right = _at(found["left"], place), _at(found["right"], place)
            differ = _at(found["one_sided_differ"], place)
            verdict = "no derivative" if differ else "WRONG" if _at(found["contradicts"], place) else "agrees"
            grid.add(
                _entry(name, place),
                number(gradient),
                "" if differ else number(_rounded(_at(found["central"], place))),
                *((number(_rounded(left)), number(_rounded(right))) if differ else ("", "")),
                verdict,
            )
    out.print(grid)
    if not document["check"]["agrees"]:
        say("J has a derivative in the entries marked WRONG, and this convention for φ'(0) gives another number.")


def _entry(name: str, place: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(str(index + 1) for index in place)}]"


def _rounded(found: float) -> float:
    """Without the digits below the error of a numerical derivative."""
    return round(found, 7) + 0.0


def _entries(values: list, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Value]]:
    for index, entry in enumerate(values):
        if isinstance(entry, list):
            yield from _entries(entry, (*place, index))
        else:
            yield (*place, index), entry


def _at(values: list, place: tuple[int, ...]) -> float | bool:
    for index in place:
        values = values[index]
    return values
