"""A network with its values and gradients as nodes and edges, for the formats of this package to draw.

Names come from files that anybody may have written: ``build`` makes them printable and short, each format escapes
them. What is drawn is the first sample; in fractions where the network is rational, rounded where they are long.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import NamedTuple

from mlcore.errors import InputError
from mlcore.exercise.exact import ExactGradients, ExactNetwork, ExactTrace
from mlcore.exercise.network import Gradients, Network, Trace
from mlcore.exercise.problem import Problem

MOST_NODES, MOST_EDGES = 60, 400
LONGEST_NAME = 20
STATES = {"on": "on", "off": "off", "kink": "on the kink", "": ""}

Value = Fraction | float


class Node(NamedTuple):
    """An input, a bias (the constant 1), a unit, or the loss. Only units have z, delta = dJ/dz and a state."""

    kind: str  # input, bias, unit, loss
    column: int
    label: str
    a: Value
    z: Value | None = None
    delta: Value | None = None
    state: str = ""  # of a ReLU: on, off, or kink, where z is 0


class Edge(NamedTuple):
    """A weight or bias with its gradient; on the way to the loss, the target y with the gradient in the output."""

    source: int
    target: int
    name: str  # W[1,2]
    value: Value
    symbol: str  # dJ/dw
    gradient: Value


class Column(NamedTuple):
    """What stands over the nodes of a column, and the names of the arrays that lead to it."""

    title: str
    subtitle: str = ""
    arrays: str = ""


@dataclass
class Graph:
    """What there is to draw: nodes in the order of their columns, and edges, which refer to nodes by index."""

    title: str
    notes: list[str]
    columns: list[Column]
    nodes: list[Node]
    edges: list[Edge]

    def members(self, column: int) -> list[int]:
        """Indices of the nodes of a column."""
        return [index for index, node in enumerate(self.nodes) if node.column == column]

    def rows(self, index: int) -> list[tuple[str, str]]:
        """What is written in a node: symbols with their values."""
        node = self.nodes[index]
        if node.kind == "unit":
            return [("z", short(node.z)), ("φ(z)", short(node.a)), ("δ", short(node.delta))]
        targets = [(edge.name, short(edge.value)) for edge in self.edges if edge.target == index]
        return [*targets, (node.label, short(node.a))]


class _Worked(NamedTuple):
    """What the arithmetic says of one sample, exact or in floats: both are indexed alike."""

    trace: Trace | ExactTrace
    gradients: Gradients | ExactGradients
    W: list
    b: list
    y: Sequence[Value]
    loss: Value


def build(sheet: Problem, relu_at_zero: Fraction = Fraction(0)) -> Graph:
    """The graph of the first sample, with ``relu_at_zero`` as the convention for relu'(0).

    Raises: InputError if the network is too big to draw, or relu_at_zero is not in [0, 1].
    """
    sizes = _checked_sizes(sheet.network)
    if not 0 <= relu_at_zero <= 1:
        raise InputError(f"relu_at_zero is {float(relu_at_zero):g}; expected a number from 0 to 1.")
    worked = _work(sheet, relu_at_zero)
    graph = Graph(f"Network {'-'.join(map(str, sizes))}, J = {short(worked.loss)}", [], [Column("input")], [], [])
    graph.nodes += [Node("input", 0, f"x{i}", a) for i, a in enumerate(worked.trace.x[0], start=1)]
    for number in range(len(sheet.network.layers)):
        _add_layer(graph, sheet.network, number, worked)
    _add_loss(graph, sheet.network, worked)
    graph.notes = _notes(graph, sheet, relu_at_zero)
    return graph


def short(value: Value) -> str:
    """A number as people write it: a fraction if it is short, or else four significant digits."""
    if isinstance(value, Fraction) and abs(value.numerator) < 10**5 and value.denominator < 1000:
        text = str(value)
    else:
        four = Context(prec=4)
        ratio = value if isinstance(value, Fraction) else Fraction(Decimal(value))
        digits = four.divide(Decimal(ratio.numerator), Decimal(ratio.denominator)).normalize(four)
        text = f"{digits:f}" if -4 <= digits.adjusted() < 6 else f"{digits:e}"
    return text.replace("-", "−")


def _checked_sizes(network: Network) -> list[int]:
    """Number of inputs, and of units in each layer."""
    sizes = [network.W[0].shape[1], *(len(W) for W in network.W)]
    biases = [b for b in network.b if b is not None]
    nodes = sum(sizes) + len(biases) + 1
    edges = sum(W.size for W in network.W) + sum(map(len, biases)) + sizes[-1]
    if nodes > MOST_NODES or edges > MOST_EDGES:
        raise InputError(
            f"The network {'-'.join(map(str, sizes))} has {nodes} nodes and {edges} edges, which is too big to draw; "
            f"expected at most {MOST_NODES} and {MOST_EDGES}."
        )
    return sizes


def _work(sheet: Problem, relu_at_zero: Fraction) -> _Worked:
    network, x, y = sheet.network, sheet.x[:1], sheet.y[:1]
    if network.rational:
        exact = ExactNetwork(network, x, y)
        return _Worked(exact.trace, exact.backward(relu_at_zero), exact.W, exact.b, exact.y[0], exact.trace.loss)
    trace = network.forward(x)
    gradients, loss = network.backward(trace, y, float(relu_at_zero)), float(network.losses(trace, y)[0])
    return _Worked(trace, gradients, network.W, network.b, list(map(float, y[0])), loss)


def _add_layer(graph: Graph, network: Network, number: int, worked: _Worked) -> None:
    layer, sources, (trace, gradients, W, b, *_) = network.layers[number], graph.members(number), worked
    weights, bias = _printable(layer.weights), _printable(layer.bias or "")
    if layer.bias is not None:
        sources.append(len(graph.nodes))
        graph.nodes.append(Node("bias", number, "bias", Fraction(1)))
    arrays = weights if layer.bias is None else f"{weights}, {bias}"
    graph.columns.append(Column(_printable(layer.name), f"φ = {layer.activation}", arrays))
    for unit, (z, a) in enumerate(zip(trace.z[number][0], trace.a[number][0], strict=True)):
        target, kink = len(graph.nodes), (0, number, unit) in trace.kinks
        state = "" if layer.activation != "relu" else "kink" if kink else "on" if z > 0 else "off"
        delta = gradients.deltas[number][0][unit]
        graph.nodes.append(Node("unit", number + 1, _label(network, number, unit), a, z, delta, state))
        entries = zip(sources, W[number][unit], gradients.arrays[layer.weights][unit], strict=False)
        for i, (source, value, gradient) in enumerate(entries, start=1):
            graph.edges.append(Edge(source, target, f"{weights}[{unit + 1},{i}]", value, "dJ/dw", gradient))
        if layer.bias is not None:
            gradient = gradients.arrays[layer.bias][unit]
            graph.edges.append(Edge(sources[-1], target, f"{bias}[{unit + 1}]", b[number][unit], "dJ/db", gradient))


def _add_loss(graph: Graph, network: Network, worked: _Worked) -> None:
    outputs, loss = graph.members(len(network.layers)), len(graph.nodes)
    graph.columns.append(Column("loss", network.loss_name))
    graph.nodes.append(Node("loss", len(network.layers) + 1, "J", worked.loss))
    for source, target, gradient in zip(outputs, worked.y, worked.gradients.y_hat[0], strict=True):
        name = graph.nodes[source].label.replace("ŷ", "y")
        graph.edges.append(Edge(source, loss, name, target, "dJ/dŷ", gradient))


def _label(network: Network, number: int, unit: int) -> str:
    if number == len(network.layers) - 1:
        return f"ŷ{unit + 1}" if len(network.W[-1]) > 1 else "ŷ"
    return f"h{unit + 1}" if len(network.layers) == 2 else f"a{number + 1}.{unit + 1}"


def _notes(graph: Graph, sheet: Problem, relu_at_zero: Fraction) -> list[str]:
    notes = ["δ = dJ/dz."]
    if any(node.state == "kink" for node in graph.nodes):
        notes.append(f"Dashed: on the kink (z = 0), where φ has no derivative; here φ'(0) = {short(relu_at_zero)}.")
    if sheet.several:
        notes.append(f"Sample 1 of {len(sheet.x)}; the gradients are those of this sample alone.")
    shown = [value for node in graph.nodes for value in (node.a, node.z, node.delta) if value is not None]
    shown += [value for edge in graph.edges for value in (edge.value, edge.gradient)]
    if any(Fraction(short(value).replace("−", "-")) != Fraction(value) for value in shown):
        notes.append("Long numbers are rounded to four significant digits.")
    return notes


def _printable(name: str) -> str:
    """The name without what would move the cursor or turn the writing round, and not too long."""
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name) or "?"
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def node_lines(graph: Graph, index: int) -> list[str]:
    """What is written in a node, line by line."""
    node, rows = graph.nodes[index], [f"{symbol} = {value}" for symbol, value in graph.rows(index)]
    return [node.label, *rows, *filter(None, [STATES[node.state]])] if node.kind == "unit" else rows


def edge_lines(edge: Edge) -> list[str]:
    """What is written along an edge, line by line."""
    return [f"{edge.name} = {short(edge.value)}", f"{edge.symbol} = {short(edge.gradient)}"]


def terminal_width(text: str) -> int:
    """Cells of a terminal that the text takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
