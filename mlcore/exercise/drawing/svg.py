"""A network as an SVG picture that needs nothing else, for light and dark pages."""

from typing import NamedTuple

from mlcore.exercise.drawing.graph import STATES, Graph, terminal_width
from mlcore.exercise.templates import fill

MAX_LABELLED = 8  # nodes in a column up to which its edges have room for labels
MAX_SLOTS = 4  # and labels side by side between two columns
LETTER, LINE = 7.4, 19  # width of a letter and height of a line, in pixels
LABEL_LETTER = 6.1  # width of a letter in the labels of edges
HEAD, MARGIN = 64, 28
FARTHEST = 0.66  # of the way: where the edges to one node are still a label apart


class _Place(NamedTuple):
    """The rectangle of a node."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Height at which its edges end."""
        return self.y + self.height / 2


def to_svg(graph: Graph) -> str:
    """A picture that needs nothing else, for light and dark pages."""
    places, labels = _layout(graph)
    notes = list(graph.notes)
    if len(labels) < len(graph.edges):
        notes.append("Point at an edge for its weight and gradient.")  # browsers show its title
    bottom = max(place.y + place.height for place in places) + 36
    right = [place.x + place.width for place in places] + [MARGIN + LABEL_LETTER * len(note) for note in notes]
    return fill(
        "network.svg.j2",
        graph=graph,
        places=places,
        labels=labels,
        notes=notes,
        bottom=bottom,
        width=round(max(right) + MARGIN),
        height=round(bottom + LINE * len(notes)),
        margin=MARGIN,
        line=LINE,
        states=STATES,
    )


def _layout(graph: Graph) -> tuple[list[_Place], dict[int, tuple[float, float, float]]]:
    """Where the nodes are, and the middles and widths of the labels of those edges that have room for one.

    Between two columns the labels stand side by side in slots, one slot for each node of the smaller column, near
    the larger one: there, the edges of a slot are far enough apart.
    """
    columns = [graph.members(number) for number in range(len(graph.columns))]
    pitches = [_pitch(graph, column) for column in columns]
    tall = max(pitch * len(column) for pitch, column in zip(pitches, columns, strict=True))
    places: list[_Place] = []
    labels: dict[int, tuple[float, float, float]] = {}
    x: float = MARGIN
    for number, column in enumerate(columns):
        edges = {i: edge for i, edge in enumerate(graph.edges) if graph.nodes[edge.target].column == number}
        sources, targets = (sorted({edge[end] for edge in edges.values()}) for end in (0, 1))
        by_target = len(targets) <= len(sources)
        slots = targets if by_target else sources
        roomy = len(slots) <= MAX_SLOTS and max(len(sources), len(targets)) <= MAX_LABELLED
        letters = max((terminal_width(line) for edge in edges.values() for line in edge.lines), default=0)
        slot = 16 + LABEL_LETTER * letters
        gap = max(slot + 48, (slot * (len(slots) - 0.5) + 10) / FARTHEST) if roomy and edges else 220 if edges else 0
        width = max(_node_width(graph, index) for index in column)
        width = max(width, LETTER * terminal_width(graph.columns[number].title))
        top = HEAD + (tall - pitches[number] * len(column)) / 2
        for row, index in enumerate(column):
            height = 18 + LINE * (len(graph.rows(index)) + (graph.nodes[index].kind == "unit"))
            y = top + pitches[number] * row + (pitches[number] - height) / 2
            places.append(_Place(x + gap, y, width, height))
        for i, edge in edges.items() if roomy else ():
            along = ((slots.index(edge[by_target]) + 0.5) * slot + 10) / gap if len(slots) > 1 else 0.5
            along = along if by_target else 1 - along
            start, end = places[edge.source].middle, places[edge.target].middle
            wide = LABEL_LETTER * max(map(terminal_width, edge.lines)) + 8
            labels[i] = (x + along * gap, start + along * (end - start), wide)
        x += gap + width
    return places, labels


def _pitch(graph: Graph, column: list[int]) -> int:
    """Distance of the nodes of a column."""
    high = 18 + LINE * max(len(graph.rows(index)) + 1 for index in column) + 20
    return high if len(column) > MAX_LABELLED else max(high, 104)


def _node_width(graph: Graph, index: int) -> float:
    node = graph.nodes[index]
    rows = [terminal_width(f"{symbol}   {value}") for symbol, value in graph.rows(index)]
    return 28 + LETTER * max(*rows, terminal_width(node.label + STATES[node.state]) + 2 if node.kind == "unit" else 0)
