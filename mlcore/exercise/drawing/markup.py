"""A network in the languages of Mermaid, Graphviz and TikZ, and as an SVG picture that needs nothing else."""

from collections.abc import Mapping
from operator import methodcaller
from typing import Any, NamedTuple

from mlcore.exercise.drawing.graph import STATES, Edge, Graph, Node
from mlcore.exercise.formats import SYMBOLS, terminal_width
from mlcore.templates import fill

MAX_LABELLED = 8  # nodes in a column up to which its edges have room for labels
MAX_SLOTS = 4  # and labels side by side between two columns
LETTER, LINE = 7.4, 19  # width of a letter and height of a line, in pixels
LABEL_LETTER = 6.1  # width of a letter in the labels of edges
HEAD, MARGIN = 64, 28
FARTHEST = 0.58  # of the way: where the edges to one node are still a label and a gap apart
# Texts with other signs for those that mean something in each language
MERMAID = methodcaller("translate", {ord(sign): f"#{ord(sign)};" for sign in '!"#$%&*;<>?@\\^`{|}~'})
DOT = methodcaller("translate", str.maketrans({"&": "&amp;", "\\": r"\\", '"': r"\""}))
TEX = methodcaller("translate", str.maketrans(
    {symbol: f"${latex}$" for latex, symbol in SYMBOLS.items() if len(symbol) == 1}
    | {letter: f"${letter}$" for letter in "<>|"} | {letter: f"\\{letter}" for letter in "{}$&#_%"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "…": r"\dots{}"}
    | {"\N{MINUS SIGN}": "$-$", "\N{REPLACEMENT CHARACTER}": "?"}
))  # fmt: skip


def to_mermaid(graph: Graph) -> str:
    """A Mermaid flowchart, for Markdown."""
    return fill("network.mmd.j2", MERMAID, graph=graph)


def to_dot(graph: Graph) -> str:
    """A graph for ``dot`` of Graphviz."""
    return fill("network.dot.j2", DOT, graph=graph)


class _Place(NamedTuple):
    """The rectangle of a node."""

    x: float
    y: float
    width: float
    height: float


def to_tikz(graph: Graph) -> str:
    """A picture for LaTeX, as large as the SVG."""
    values = _placed(graph, "Edges have no labels where there is no room for all.")
    return fill("network.tikz.j2", TEX, **values)


def to_svg(graph: Graph, is_interactive: bool = False) -> str:
    """A picture that needs nothing else, for light and dark pages; or one whose texts a script can change."""
    # browsers show the title of an edge
    values = _placed(graph, "" if is_interactive else "Point at an edge for its weight and gradient.")
    places, notes = values["places"], values["notes"]
    right = [place.x + place.width for place in places] + [MARGIN + LABEL_LETTER * len(note) for note in notes]
    values |= {"width": round(max(right) + MARGIN), "height": round(values["bottom"] + LINE * len(notes))}
    return fill("network.svg.j2", is_interactive=is_interactive, states=STATES, **values)


def _placed(graph: Graph, note: str) -> dict[str, Any]:
    """What the templates of pictures get; ``note`` is for those in which some edges have no label."""
    places, labels = _layout(graph)
    notes = graph.notes + [note] * (note != "" and len(labels) < len(graph.edges))
    values: dict[str, Any] = {"graph": graph, "places": places, "labels": labels, "notes": notes}
    bottom = max(place.y + place.height for place in places) + 36  # where notes begin
    return values | {"bottom": bottom, "margin": MARGIN, "line": LINE}


def _layout(graph: Graph) -> tuple[list[_Place], dict[int, tuple[float, float, float]]]:
    """Where the nodes are, and the middles and widths of the labels of those edges that have room for one."""
    columns = [[node for node in graph.nodes if node.column == number] for number in range(len(graph.columns))]
    pitches = [max(max(map(_height, nodes)) + 20, 104 * (len(nodes) <= MAX_LABELLED)) for nodes in columns]
    tall = max(pitch * len(column) for pitch, column in zip(pitches, columns, strict=True))
    places: list[_Place] = []
    labels: dict[int, tuple[float, float, float]] = {}
    x: float = MARGIN
    for number, (column, pitch) in enumerate(zip(columns, pitches, strict=True)):
        edges = {i: edge for i, edge in enumerate(graph.edges) if graph.nodes[edge.target].column == number}
        gap, shares = _between(edges) if edges else (0, {})
        width = max(*map(_width, column), LETTER * terminal_width(graph.columns[number].title))
        top = HEAD + (tall - pitch * len(column)) / 2
        for row, node in enumerate(column):
            places.append(_Place(x + gap, top + pitch * row + (pitch - _height(node)) / 2, width, _height(node)))
        for i, share in shares.items():
            start, end = (places[index].y + places[index].height / 2 for index in (edges[i].source, edges[i].target))
            wide = LABEL_LETTER * max(map(terminal_width, edges[i].lines)) + 8
            labels[i] = (x + share * gap, start + share * (end - start), wide)
        x += gap + width
    return places, labels


def _between(edges: Mapping[int, Edge]) -> tuple[float, dict[int, float]]:
    """How far apart two columns are, and at which share of each edge between them its label is, if there is room.

    The labels stand side by side in slots, one slot for each node of the smaller column, near the larger one: there,
    the edges of a slot are far enough apart.
    """
    sources, targets = (sorted({edge[end] for edge in edges.values()}) for end in (0, 1))
    by_target = len(targets) <= len(sources)
    slots = targets if by_target else sources
    if len(slots) > MAX_SLOTS or max(len(sources), len(targets)) > MAX_LABELLED:
        return 220, {}
    slot = 22 + LABEL_LETTER * max(terminal_width(line) for edge in edges.values() for line in edge.lines)
    gap = max(slot + 48, (slot * (len(slots) - 0.5) + 10) / FARTHEST)
    shares = {}
    for i, edge in edges.items():
        share = ((slots.index(edge[by_target]) + 0.5) * slot + 10) / gap if len(slots) > 1 else 0.5
        shares[i] = share if by_target else 1 - share
    return gap, shares


def _height(node: Node) -> int:
    return 18 + LINE * (len(node.rows) + (node.kind == "unit"))


def _width(node: Node) -> float:
    rows = [terminal_width(f"{symbol}   {value}") for symbol, value in node.rows]
    return 28 + LETTER * max(*rows, terminal_width(node.label + STATES[node.state]) + 2 if node.kind == "unit" else 0)
