"""A network with its values and gradients as nodes and edges, for the formats of this package to draw.

Names come from files that anybody may have written: ``build`` makes them printable and short, each format escapes
them. What is drawn is the first sample, with numbers as the problem shows them.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import Style
from mlcore.exercise.functions import ACTIVATIONS
from mlcore.exercise.network import Gradients, Network
from mlcore.exercise.problem import Problem

MAX_NODES, MAX_EDGES = 60, 400
MAX_NAME = 20
STATES = {"on": "on", "off": "off", "kink": "on the kink", "": ""}

Value = Fraction | float


class Node(NamedTuple):
    """An input, a bias (the constant 1), a unit, or the loss, and what is written in it."""

    kind: str  # input, bias, unit, loss
    column: int
    label: str
    rows: list[tuple[str, str]]  # symbols with their values
    state: str = ""  # of a ReLU: on, off, or kink, where z is 0

    @property
    def lines(self) -> list[str]:
        """What is written in it, line by line."""
        rows = [f"{symbol} = {value}" for symbol, value in self.rows]
        return [self.label, *rows, *filter(None, [STATES[self.state]])] if self.kind == "unit" else rows


class Edge(NamedTuple):
    """A weight or bias with its gradient; on the way to the loss, the target y with the gradient in the output."""

    source: int
    target: int
    name: str  # W[1,2]
    value: Value
    symbol: str  # dJ/dw
    gradient: Value
    style: Style

    @property
    def texts(self) -> tuple[str, str]:
        """The value and the gradient as they are shown."""
        return self.style.text(self.value), self.style.text(self.gradient)

    @property
    def lines(self) -> list[str]:
        """What is written along the edge."""
        value, gradient = self.texts
        return [f"{self.name} = {value}", f"{self.symbol} = {gradient}"]


class Column(NamedTuple):
    """What is written above the nodes of a column, and the names of the arrays that lead to it."""

    title: str
    subtitle: str = ""
    arrays: str = ""


class Graph(NamedTuple):
    """What there is to draw: nodes in the order of their columns, and edges, which refer to nodes by index."""

    title: str
    notes: list[str]
    columns: list[Column]
    nodes: list[Node]
    edges: list[Edge]

    def members(self, column: int) -> list[int]:
        """Indices of the nodes of a column."""
        return [index for index, node in enumerate(self.nodes) if node.column == column]

    def _repr_svg_(self) -> str:
        """The picture, for notebooks."""
        from mlcore.exercise.drawing.markup import to_svg

        return to_svg(self)


def build(problem: Problem, relu_at_zero: Fraction | None = None) -> Graph:
    """The graph of the first sample, with ``relu_at_zero`` as the convention for relu'(0) if it is given.

    Raises: InputError if the network is too big to draw, if relu_at_zero is not in [0, 1], or if a value exceeds the
        range of float64.
    """
    network, at_zero, style = problem.network, problem.at_zero(relu_at_zero), problem.style
    sizes = [network.features, *map(len, network.W)]
    n_nodes = sum(sizes) + sum(b is not None for b in network.b) + 1
    n_edges = sum(array.size for array in network.arrays.values()) + sizes[-1]
    title = f"Network {'-'.join(map(str, sizes))}"
    if n_nodes > MAX_NODES or n_edges > MAX_EDGES:
        raise InputError(
            f"The {title.lower()} has {n_nodes} nodes and {n_edges} edges and is too big to draw; at most "
            f"{MAX_NODES} nodes and {MAX_EDGES} edges fit."
        )
    work = Pass(network, problem.x[:1], problem.y[:1])
    gradients = work.checked_backward(at_zero)
    nodes = [Node("input", 0, f"x{i}", [(f"x{i}", style.text(x))]) for i, x in enumerate(work.x[0], start=1)]
    graph = Graph(f"{title}, J = {style.text(work.loss)}", [], [Column("input")], nodes, [])
    inputs, sources = list(range(len(nodes))), list[int]()
    for layer in range(len(network.layers)):
        sources = _add_layer(graph, work, gradients, style, layer, sources + inputs[network.spans[layer]])
    _add_loss(graph, work, gradients, style, sources)
    graph.notes.extend(_notes(problem, work, gradients, at_zero))
    return graph


def _add_layer(
    graph: Graph, work: Pass, gradients: Gradients, style: Style, number: int, sources: list[int]
) -> list[int]:
    """Add the units of a layer with their edges from the nodes that it gets, and return the nodes of its units."""
    network, layer, nodes = work.network, work.layers[number], graph.nodes
    if layer.bias:
        sources = [*sources, len(nodes)]
        nodes.append(Node("bias", number, "bias", [("bias", "1")]))
    biased = [(layer.bias, slice(-1, None))] if layer.bias else []
    arrays = ", ".join(map(printable, layer.arrays))
    graph.columns.append(Column(printable(layer.name), f"φ = {layer.activation}", arrays))
    targets = list(range(len(nodes), len(nodes) + len(work.W[number])))
    for unit, target in enumerate(targets):
        z, a, delta = (values[number][0][unit] for values in (work.trace.z, work.trace.a, gradients.deltas))
        state = "" if not ACTIVATIONS[layer.activation].has_kink else "on" if z > 0 else "off" if z < 0 else "kink"
        rows = [("z", style.text(z)), ("φ(z)", style.text(a)), ("δ", style.text(delta))]
        nodes.append(Node("unit", number + 1, unit_label(network, number, unit), rows, state))
        for name, used in [*network.parts(number), *biased]:
            array = work.arrays[name]
            values, slopes = (
                np.atleast_1d(network.turned(rows)[unit]) for rows in (array, gradients.arrays.get(name, 0 * array))
            )
            for i, (source, value, slope) in enumerate(zip(sources[used], values, slopes, strict=False), start=1):
                place = (
                    str(unit + 1) if array.ndim == 1 else f"{i},{unit + 1}" if network.in_rows else f"{unit + 1},{i}"
                )
                symbol = "dJ/db" if array.ndim == 1 else "dJ/dw"
                graph.edges.append(Edge(source, target, f"{printable(name)}[{place}]", value, symbol, slope, style))
    return targets


def _add_loss(graph: Graph, work: Pass, gradients: Gradients, style: Style, outputs: list[int]) -> None:
    """Add the loss with its targets, and the edges that lead to it."""
    goals = [graph.nodes[output].label.replace("ŷ", "y") for output in outputs]
    for output, goal, y, gradient in zip(outputs, goals, work.y[0], gradients.y_hat[0], strict=True):
        graph.edges.append(Edge(output, len(graph.nodes), goal, y, "dJ/dŷ", gradient, style))
    rows = [(goal, style.text(y)) for goal, y in zip(goals, work.y[0], strict=True)]
    graph.nodes.append(Node("loss", len(graph.columns), "J", [*rows, ("J", style.text(work.loss))]))
    graph.columns.append(Column("loss", work.network.loss.name))


def _notes(problem: Problem, work: Pass, gradients: Gradients, at_zero: Fraction) -> Iterator[str]:
    """What is said below the drawing."""
    style, frozen, trace = problem.style, problem.network.loss.frozen, work.trace
    yield "δ = dJ/dz."
    if trace.kinks:
        value = problem.network.at_kinks(work.trace.kinks, at_zero)
        yield f"Dashed: on the kink (z = 0), where φ'(0) = {style.text(value)} is a convention."
    if problem.several:
        yield f"Only sample 1 of {len(problem.x)} and its gradients are drawn."
    if frozen:
        yield f"Frozen, drawn with gradient 0: {', '.join(map(printable, frozen))}."
    arrays = [*trace.z, *trace.a, *gradients.deltas, *work.arrays.values(), *gradients.arrays.values()]
    shown = [work.loss, *(value for rows in (*arrays, work.x, work.y, gradients.y_hat) for value in rows.flat)]
    if any(Fraction(style.ascii(value)) != Fraction(value) for value in shown if np.isfinite(float(value))):
        yield f"Long numbers are rounded to {style.digits} significant digits."


def unit_label(network: Network, layer: int, unit: int) -> str:
    """What the output of a unit is called."""
    if layer == len(network.layers) - 1:
        return f"ŷ{unit + 1}" if len(network.W[-1]) > 1 else "ŷ"
    return f"h{unit + 1}" if len(network.layers) == 2 else f"a{layer + 1}.{unit + 1}"


def printable(name: str) -> str:
    """The name without what would move the cursor or turn the direction of writing, and not too long."""
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name) or "?"
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
