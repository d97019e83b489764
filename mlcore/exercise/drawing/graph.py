"""A network with its values and gradients as nodes and edges, for the formats of this package to draw.

Names come from files that anybody may have written: ``build`` makes them printable and short, each format escapes
them. What is drawn is the first sample, with numbers as the problem shows them.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import Style
from mlcore.exercise.functions import ACTIVATIONS
from mlcore.exercise.network import Network
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
    network, depth = problem.network, len(problem.network.layers)
    at_zero = problem.at_zero(relu_at_zero)
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
    trace, gradients = work.trace, work.checked_backward(at_zero)
    style = problem.style
    short = style.text

    def gradient_of(name: str) -> np.ndarray:
        return network.turned(gradients.arrays.get(name, 0 * work.array(network.arrays[name])))

    columns, edges = [Column("input")], []
    nodes = [Node("input", 0, f"x{i}", [(f"x{i}", short(x))]) for i, x in enumerate(trace.x[0], start=1)]
    inputs, sources = list(range(len(nodes))), list[int]()
    for index, (layer, b) in enumerate(zip(network.layers, work.b, strict=True)):
        bias = printable(layer.bias or "")
        sources = sources + inputs[network.spans[index]]
        if layer.bias:
            sources.append(len(nodes))
            nodes.append(Node("bias", index, "bias", [("bias", "1")]))
        arrays = ", ".join(map(printable, layer.arrays))
        columns.append(Column(printable(layer.name), f"φ = {layer.activation}", arrays))
        targets = range(len(nodes), len(nodes) + sizes[index + 1])
        for unit, target in enumerate(targets):
            z, a, delta = (values[index][0][unit] for values in (trace.z, trace.a, gradients.deltas))
            state = "" if not ACTIVATIONS[layer.activation].has_kink else "on" if z > 0 else "off" if z < 0 else "kink"
            rows = [("z", short(z)), ("φ(z)", short(a)), ("δ", short(delta))]
            nodes.append(Node("unit", index + 1, unit_label(network, index, unit), rows, state))
            for name, used in network.parts(index):
                values = network.turned(work.arrays[name])[unit], gradient_of(name)[unit]
                for i, (source, value, gradient) in enumerate(zip(sources[used], *values, strict=False), start=1):
                    place = f"{i},{unit + 1}" if network.in_rows else f"{unit + 1},{i}"
                    entry = f"{printable(name)}[{place}]"
                    edges.append(Edge(source, target, entry, value, "dJ/dw", gradient, style))
            if layer.bias and b is not None:
                gradient = gradient_of(layer.bias)[unit]
                edges.append(Edge(sources[-1], target, f"{bias}[{unit + 1}]", b[unit], "dJ/db", gradient, style))
        sources = list(targets)
    goals = [nodes[source].label.replace("ŷ", "y") for source in sources]
    for source, goal, y, gradient in zip(sources, goals, work.y[0], gradients.y_hat[0], strict=True):
        edges.append(Edge(source, len(nodes), goal, y, "dJ/dŷ", gradient, style))
    columns.append(Column("loss", network.loss.name))
    rows = [(goal, short(y)) for goal, y in zip(goals, work.y[0], strict=True)]
    nodes.append(Node("loss", depth + 1, "J", [*rows, ("J", short(trace.loss))]))
    notes = ["δ = dJ/dz."]
    if trace.kinks:
        notes.append(f"Dashed: on the kink (z = 0), where φ'(0) = {short(at_zero)} is a convention.")
    if problem.several:
        notes.append(f"Only sample 1 of {len(problem.x)} and its gradients are drawn.")
    if network.loss.frozen:
        notes.append(f"Frozen, drawn with gradient 0: {', '.join(map(printable, network.loss.frozen))}.")
    shown = [trace.loss, *trace.x[0], *(value for edge in edges for value in (edge.value, edge.gradient))]
    shown += [value for rows in (*trace.z, *trace.a, *gradients.deltas) for value in rows[0]]
    if any(Fraction(style.ascii(value)) != Fraction(value) for value in shown):
        notes.append(f"Long numbers are rounded to {style.digits} significant digits.")
    return Graph(f"{title}, J = {short(trace.loss)}", notes, columns, nodes, edges)


def unit_label(network: Network, layer: int, unit: int) -> str:
    """What the output of a unit is called."""
    if layer == len(network.layers) - 1:
        return f"ŷ{unit + 1}" if len(network.W[-1]) > 1 else "ŷ"
    return f"h{unit + 1}" if len(network.layers) == 2 else f"a{layer + 1}.{unit + 1}"


def printable(name: str) -> str:
    """The name without what would move the cursor or turn the direction of writing, and not too long."""
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name) or "?"
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
