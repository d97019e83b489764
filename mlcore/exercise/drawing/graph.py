"""A network with its values and gradients as nodes and edges, for the formats of this package to draw.

Names come from files that anybody may have written: ``build`` makes them printable and short, each format escapes
them. What is drawn is the first sample; in fractions where the network is rational, rounded where they are long.
"""

import unicodedata
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import NamedTuple

from mlcore.errors import InputError
from mlcore.exercise.exact import ExactGradients, Pass
from mlcore.exercise.network import Network
from mlcore.exercise.problem import Problem
from mlcore.exercise.work import check_convention

MAX_NODES, MAX_EDGES = 60, 400
MAX_NAME = 20
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

    @property
    def lines(self) -> list[str]:
        """What is written along the edge."""
        return [f"{self.name} = {short(self.value)}", f"{self.symbol} = {short(self.gradient)}"]


class Column(NamedTuple):
    """What is written above the nodes of a column, and the names of the arrays that lead to it."""

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
        if node.z is not None and node.delta is not None:
            return [("z", short(node.z)), ("φ(z)", short(node.a)), ("δ", short(node.delta))]
        targets = [(edge.name, short(edge.value)) for edge in self.edges if edge.target == index]
        return [*targets, (node.label, short(node.a))]

    def lines(self, index: int) -> list[str]:
        """What is written in a node, line by line."""
        node, rows = self.nodes[index], [f"{symbol} = {value}" for symbol, value in self.rows(index)]
        return [node.label, *rows, *filter(None, [STATES[node.state]])] if node.kind == "unit" else rows


def build(problem: Problem, relu_at_zero: Fraction = Fraction(0)) -> Graph:
    """The graph of the first sample, with ``relu_at_zero`` as the convention for relu'(0).

    Raises: InputError if the network is too big to draw, or if relu_at_zero is not in [0, 1].
    """
    network = problem.network
    sizes = _checked_sizes(network)
    check_convention(relu_at_zero)
    work = Pass(network, problem.x[:1], problem.y[:1])
    gradients = work.backward(relu_at_zero)
    graph = Graph(f"Network {'-'.join(map(str, sizes))}, J = {short(work.trace.loss)}", [], [Column("input")], [], [])
    graph.nodes += [Node("input", 0, f"x{i}", x) for i, x in enumerate(work.trace.x[0], start=1)]
    for number in range(len(network.layers)):
        _add_layer(graph, network, number, work, gradients)
    outputs, loss = graph.members(len(network.layers)), len(graph.nodes)
    graph.columns.append(Column("loss", network.loss_name))
    graph.nodes.append(Node("loss", len(network.layers) + 1, "J", work.trace.loss))
    for source, y, gradient in zip(outputs, work.y[0], gradients.y_hat[0], strict=True):
        name = graph.nodes[source].label.replace("ŷ", "y")
        graph.edges.append(Edge(source, loss, name, y, "dJ/dŷ", gradient))
    graph.notes = _notes(graph, problem, relu_at_zero)
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
    sizes = [network.W[0].shape[1], *map(len, network.W)]
    biases = [len(b) for b in network.b if b is not None]
    nodes = sum(sizes) + len(biases) + 1
    edges = sum(W.size for W in network.W) + sum(biases) + sizes[-1]
    if nodes > MAX_NODES or edges > MAX_EDGES:
        raise InputError(
            f"The network {'-'.join(map(str, sizes))} has {nodes} nodes and {edges} edges and is too big to draw; "
            f"at most {MAX_NODES} nodes and {MAX_EDGES} edges are possible."
        )
    return sizes


def _add_layer(graph: Graph, network: Network, number: int, work: Pass, gradients: ExactGradients) -> None:
    layer, sources, b = network.layers[number], graph.members(number), work.b[number]
    weights, bias = _printable(layer.weights), None if layer.bias is None else _printable(layer.bias)
    if bias:
        sources.append(len(graph.nodes))
        graph.nodes.append(Node("bias", number, "bias", Fraction(1)))
    title = Column(_printable(layer.name), f"φ = {layer.activation}", f"{weights}, {bias}" if bias else weights)
    graph.columns.append(title)
    for unit, (z, a) in enumerate(zip(work.trace.z[number][0], work.trace.a[number][0], strict=True)):
        target, kink = len(graph.nodes), (0, number, unit) in work.trace.kinks
        state = "" if layer.activation != "relu" else "kink" if kink else "on" if z > 0 else "off"
        delta = gradients.deltas[number][0][unit]
        graph.nodes.append(Node("unit", number + 1, _label(network, number, unit), a, z, delta, state))
        entries = zip(sources, work.W[number][unit], gradients.arrays[layer.weights][unit], strict=False)
        for i, (source, value, gradient) in enumerate(entries, start=1):
            graph.edges.append(Edge(source, target, f"{weights}[{unit + 1},{i}]", value, "dJ/dw", gradient))
        if layer.bias is not None and b is not None:
            gradient = gradients.arrays[layer.bias][unit]
            graph.edges.append(Edge(sources[-1], target, f"{bias}[{unit + 1}]", b[unit], "dJ/db", gradient))


def _label(network: Network, number: int, unit: int) -> str:
    if number == len(network.layers) - 1:
        return f"ŷ{unit + 1}" if len(network.W[-1]) > 1 else "ŷ"
    return f"h{unit + 1}" if len(network.layers) == 2 else f"a{number + 1}.{unit + 1}"


def _notes(graph: Graph, problem: Problem, relu_at_zero: Fraction) -> list[str]:
    notes = ["δ = dJ/dz."]
    if any(node.state == "kink" for node in graph.nodes):
        notes.append(f"Dashed: on the kink (z = 0), where φ'(0) = {short(relu_at_zero)} is a convention.")
    if problem.several:
        notes.append(f"Only sample 1 of {len(problem.x)} and its gradients are drawn.")
    shown = [value for node in graph.nodes for value in (node.a, node.z, node.delta) if value is not None]
    shown += [value for edge in graph.edges for value in (edge.value, edge.gradient)]
    if any(Fraction(short(value).replace("−", "-")) != Fraction(value) for value in shown):
        notes.append("Long numbers are rounded to four significant digits.")
    return notes


def _printable(name: str) -> str:
    """The name without what would move the cursor or turn the direction of writing, and not too long."""
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name) or "?"
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def terminal_width(text: str) -> int:
    """Cells of a terminal that the text takes."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
