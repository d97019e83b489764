"""A network with its values and gradients as nodes and edges, for the formats of this package to draw.

Names come from files that anybody may have written: ``build`` makes them printable and short, each format escapes
them. What is drawn is the first sample, with numbers as the problem shows them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlcore.errors import InputError
from mlcore.exercise.exact import Pass
from mlcore.exercise.formats import Style
from mlcore.exercise.network import Gradients, Kink, Network
from mlcore.exercise.problem import Problem

MAX_NODES, MAX_EDGES = 60, 400
MAX_NAME = 20
STATES = {"on": "on", "off": "off", "kink": "on the kink", "": ""}


class Node(NamedTuple):
    """An input, a bias (the constant 1), a unit, or the loss, and what is written in it."""

    kind: str  # input, bias, unit, loss
    column: int
    label: str
    rows: list[tuple[str, str]]  # symbols with their values
    state: str = ""  # of a ReLU: on, off, or kink, where z is 0
    keys: Sequence[str] = ("",)  # of the values, for scripts

    @property
    def lines(self) -> list[str]:
        rows = [f"{symbol} = {value}" for symbol, value in self.rows]
        return [self.label, *rows, *filter(None, [STATES[self.state]])] if self.kind == "unit" else rows


class Edge(NamedTuple):
    """A weight or bias with its gradient; on the way to the loss, the target y with the gradient in the output."""

    source: int
    target: int
    name: str  # W[1,2]
    symbol: str  # dJ/dw
    texts: tuple[str, str]  # the value and the gradient
    is_zero: bool  # the gradient
    keys: tuple[str, str]  # of both, for scripts

    @property
    def lines(self) -> list[str]:
        return [f"{name} = {text}" for name, text in zip((self.name, self.symbol), self.texts, strict=True)]


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
        from mlcore.exercise.drawing.markup import to_svg

        return to_svg(self)


def build(problem: Problem) -> Graph:
    """The graph of the first sample.

    Raises: InputError if the network is too big to draw, or if a value exceeds the range of float64.
    """
    network, style = problem.network, problem.style
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
    gradients = work.checked_backward(problem.at_zero)
    inputs = [(f"x{i}", style.text(x)) for i, x in enumerate(work.x[0], start=1)]
    nodes = [Node("input", 0, row[0], [row], keys=[f"x.0.{i}"]) for i, row in enumerate(inputs)]
    graph = Graph(f"{title}, J = {style.text(work.loss)}", [], [Column("input")], nodes, [])
    sources = list[int]()
    for layer in range(len(network.layers)):
        sources += range(len(inputs))[network.spans[layer]]
        sources = _add_layer(graph, work, gradients, style, layer, sources)
    _add_loss(graph, work, gradients, style, sources)
    graph.notes.extend(_notes(problem, work.trace.kinks))
    return graph


def _add_layer(
    graph: Graph, work: Pass, gradients: Gradients, style: Style, number: int, sources: list[int]
) -> list[int]:
    """Add the units of a layer with their edges from the nodes that it gets, and return the nodes of its units."""
    network, layer, nodes, places = work.network, work.layers[number], graph.nodes, work.network.places
    operands = [(name, sources[columns]) for name, columns in network.parts(number)]
    if layer.bias:
        operands.append((layer.bias, [len(nodes)]))
        nodes.append(Node("bias", number, "bias", [("bias", "1")]))
    arrays = ", ".join(map(printable, layer.arrays))
    graph.columns.append(Column(printable(layer.name), f"φ = {layer.activation}", arrays))
    targets = list(range(len(nodes), len(nodes) + len(work.W[number])))
    for unit, target in enumerate(targets):
        z, a, delta = (values[number][0][unit] for values in (work.trace.z, work.trace.a, gradients.deltas))
        rows = [("z", style.text(z)), ("φ(z)", style.text(a)), ("δ", style.text(delta))]
        keys = [f"{kind}.0.{number}.{unit}" for kind in ("z", "a", "delta")]
        label, state = unit_label(network, number, unit), network.activations[number].state(z)
        nodes.append(Node("unit", number + 1, label, rows, state, keys))
        for name, used in operands:
            array, symbol = work.arrays[name], "dJ/db" if name == layer.bias else "dJ/dw"
            slopes, is_trained = gradients.arrays.get(name, 0 * array), name in gradients.arrays
            for i, source in enumerate(used):
                index = (unit,) if name == layer.bias else (i, unit) if network.in_rows else (unit, i)
                key, entry = f"w.{places[name][index]}", entry_name(name, index)
                texts = style.text(array[index]), style.text(slopes[index])
                both = key, f"d.{key}" * is_trained
                graph.edges.append(Edge(source, target, entry, symbol, texts, not slopes[index], both))
    return targets


def _add_loss(graph: Graph, work: Pass, gradients: Gradients, style: Style, outputs: list[int]) -> None:
    goals = [graph.nodes[i].label.replace("ŷ", "u" if work.network.loss.name == "none" else "y") for i in outputs]
    of_a = "" if work.network.function.outputs else f"d.a.0.{work.depth - 1}."
    keys = [f"y.0.{k}" for k in range(len(goals))]
    for k, (output, goal, y, gradient) in enumerate(zip(outputs, goals, work.y[0], gradients.y_hat[0], strict=True)):
        texts, of_goal = (style.text(y), style.text(gradient)), (keys[k], of_a and f"{of_a}{k}")
        graph.edges.append(Edge(output, len(graph.nodes), goal, "dJ/dŷ", texts, not gradient, of_goal))
    rows = [(goal, style.text(y)) for goal, y in zip(goals, work.y[0], strict=True)]
    rows.append(("J", style.text(work.loss)))
    graph.nodes.append(Node("loss", len(graph.columns), "J", rows, keys=[*keys, "J"]))
    graph.columns.append(Column("loss", work.network.loss.name))


def _notes(problem: Problem, kinks: Sequence[Kink]) -> Iterator[str]:
    yield "δ = dJ/dz."
    if kinks:
        value = problem.style.text(problem.network.at_kinks(kinks, problem.at_zero))
        yield f"Dashed: on the kink (z = 0), where φ'(0) = {value} is a convention."
    if problem.several:
        yield f"Only sample 1 of {len(problem.x)} and its gradients are drawn."
    if frozen := problem.network.loss.frozen:
        yield f"Frozen, drawn with gradient 0: {', '.join(map(printable, frozen))}."


def unit_label(network: Network, layer: int, unit: int) -> str:
    """What the output of a unit is called."""
    if layer == len(network.layers) - 1:
        return f"ŷ{unit + 1}" if len(network.W[-1]) > 1 else "ŷ"
    return f"h{unit + 1}" if len(network.layers) == 2 else f"a{layer + 1}.{unit + 1}"


def entry_name(name: str, index: tuple[int, ...]) -> str:
    """W[1,2], counted from 1."""
    return f"{printable(name)}[{','.join(str(i + 1) for i in index)}]"


def printable(name: str) -> str:
    """The name without what would move the cursor or turn the direction of writing, and not too long."""
    name = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name) or "?"
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
