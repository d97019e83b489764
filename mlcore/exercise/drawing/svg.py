"""A network as an SVG picture that needs nothing else, for light and dark pages."""

from typing import NamedTuple
from xml.sax.saxutils import escape

from mlcore.exercise.drawing.graph import STATES, Edge, Graph, edge_lines, node_lines, terminal_width

MOST_LABELLED = 8  # nodes in a column up to which its edges have room for labels
MOST_SLOTS = 4  # and labels side by side between two columns
LETTER, LINE = 7.4, 19  # width of a letter and height of a line, in pixels
LABEL_LETTER, LABEL_LINE = 6.1, 13  # of the labels of edges
HEAD, MARGIN = 64, 28
FARTHEST = 0.66  # of the way: where the edges to one node are still a label apart

LIGHT = {
    "page": "#fbfbfd", "card": "#ffffff", "ink": "#1d2330", "muted": "#657083", "line": "#b9c1ce", "edge": "#77849a",
    "faint": "#ccd3dd", "on": "#2c6bd6", "kink": "#c26a00", "gradient": "#b3264f",
}  # fmt: skip
DARK = {
    "page": "#14171d", "card": "#1e232c", "ink": "#e8ebf1", "muted": "#98a3b5", "line": "#465064", "edge": "#8b97ab",
    "faint": "#3c4555", "on": "#74acff", "kink": "#f5b445", "gradient": "#ff8ca8",
}  # fmt: skip
STYLE = """
.mlcore text {{ font: 14px ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: {ink}; }}
.mlcore .page {{ fill: {page}; }}
.mlcore rect.card {{ fill: {card}; stroke: {line}; stroke-width: 1.5; }}
.mlcore .on rect.card {{ stroke: {on}; stroke-width: 2; }}
.mlcore .off rect.card {{ stroke-opacity: 0.6; }}
.mlcore rect.ring {{ fill: none; stroke: {kink}; stroke-width: 2; stroke-dasharray: 6 4; }}
.mlcore .edge {{ fill: none; stroke: {edge}; stroke-width: 1.8; }}
.mlcore .edge.zero {{ stroke: {faint}; stroke-width: 1.3; }}
.mlcore .back {{ fill: {page}; }}
.mlcore text.small {{ font-size: 11.5px; }}
.mlcore text.gradient {{ fill: {gradient}; }}
.mlcore text.muted, .mlcore .off text, .mlcore .zero text {{ fill: {muted}; }}
.mlcore text.bold {{ font-weight: 600; }}
.mlcore .on text.state {{ fill: {on}; }}
.mlcore .kink text.state {{ fill: {kink}; font-weight: 600; }}
.mlcore text.end {{ text-anchor: end; }}
.mlcore text.middle {{ text-anchor: middle; }}
"""


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
    hint = "Point at an edge for its weight and gradient."  # browsers show its title
    notes = graph.notes if len(labels) == len(graph.edges) else [*graph.notes, hint]
    bottom = max(place.y + place.height for place in places) + 36
    right = [place.x + place.width for place in places] + [MARGIN + LABEL_LETTER * len(note) for note in notes]
    width = round(max(right) + MARGIN)
    height = round(bottom + LINE * len(notes))
    nodes = (", ".join(node_lines(graph, index)) for index in range(len(graph.nodes)))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mlcore" role="img" viewBox="0 0 {width} {height}">',
        f"<title>{escape(graph.title)}</title>",
        f"<desc>{escape('; '.join(nodes))}. {escape(' '.join(graph.notes))}</desc>",
        f"<style>{STYLE.format(**LIGHT)}@media (prefers-color-scheme: dark) {{{STYLE.format(**DARK)}}}\n</style>",
        f'<rect class="page" width="{width}" height="{height}" rx="12"/>',
    ]
    for number, column in enumerate(graph.columns):
        first = places[graph.members(number)[0]]
        x = first.x + first.width / 2
        parts.append(_text(x, MARGIN + 4, "bold middle", column.title))
        parts.append(_text(x, MARGIN + 22, "small muted middle", column.subtitle))
    parts += [_svg_edge(edge, places[edge.source], places[edge.target]) for edge in graph.edges]
    parts += [_svg_label(graph.edges[number], x, y) for number, (x, y) in labels.items()]
    parts += [_svg_node(graph, index, place) for index, place in enumerate(places)]
    parts += [_text(MARGIN, bottom + LINE * row, "small muted", note) for row, note in enumerate(notes)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _layout(graph: Graph) -> tuple[list[_Place], dict[int, tuple[float, float]]]:
    """Where the nodes are, and the middles of the labels of those edges that have room for one.

    Between two columns the labels stand side by side in slots, one slot for each node of the smaller column, near
    the larger one: there, the edges of a slot are far enough apart.
    """
    columns = [graph.members(number) for number in range(len(graph.columns))]
    pitches = [_pitch(graph, column) for column in columns]
    tall = max(pitch * len(column) for pitch, column in zip(pitches, columns, strict=True))
    places, labels, x = [], {}, MARGIN
    for number, column in enumerate(columns):
        edges = {i: edge for i, edge in enumerate(graph.edges) if graph.nodes[edge.target].column == number}
        sources, targets = (sorted({edge[end] for edge in edges.values()}) for end in (0, 1))
        by_target = len(targets) <= len(sources)
        slots = targets if by_target else sources
        roomy = len(slots) <= MOST_SLOTS and max(len(sources), len(targets)) <= MOST_LABELLED
        letters = max((terminal_width(line) for edge in edges.values() for line in edge_lines(edge)), default=0)
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
            labels[i] = (x + along * gap, start + along * (end - start))
        x += gap + width
    return places, labels


def _pitch(graph: Graph, column: list[int]) -> int:
    """Distance of the nodes of a column."""
    high = 18 + LINE * max(len(graph.rows(index)) + 1 for index in column) + 20
    return high if len(column) > MOST_LABELLED else max(high, 104)


def _node_width(graph: Graph, index: int) -> float:
    node = graph.nodes[index]
    rows = [terminal_width(f"{symbol}   {value}") for symbol, value in graph.rows(index)]
    return 28 + LETTER * max(*rows, terminal_width(node.label + STATES[node.state]) + 2 if node.kind == "unit" else 0)


def _svg_node(graph: Graph, index: int, place: _Place) -> str:
    node, (x, y, width, height) = graph.nodes[index], place
    around = "" if node.state != "kink" else _rect("ring", x - 6, y - 6, width + 12, height + 12, 16)
    parts = [_rect("card", x, y, width, height, 11 if node.kind == "unit" else 18), around]
    line = y + 23
    if node.kind == "unit":
        parts.append(_text(x + 14, line, "bold", node.label))
        parts.append(_text(x + width - 14, line, "small state end", STATES[node.state]))
        line += LINE
    for row, (symbol, value) in enumerate(graph.rows(index)):
        kind = "gradient" if symbol == "δ" else ""
        parts.append(_text(x + 14, line + row * LINE, kind or "muted", symbol))
        parts.append(_text(x + width - 14, line + row * LINE, f"{kind} end".strip(), value))
    title = escape(", ".join(node_lines(graph, index)))
    return f'<g class="node {node.kind} {node.state}"><title>{title}</title>{"".join(parts)}</g>'


def _svg_edge(edge: Edge, start: _Place, end: _Place) -> str:
    title = escape(", ".join(edge_lines(edge)))
    path = f"M{start.x + start.width:.1f} {start.middle:.1f}L{end.x:.1f} {end.middle:.1f}"
    return f'<path class="edge{"" if edge.gradient else " zero"}" d="{path}"><title>{title}</title></path>'


def _svg_label(edge: Edge, x: float, y: float) -> str:
    weight, gradient = edge_lines(edge)
    width = LABEL_LETTER * max(terminal_width(weight), terminal_width(gradient)) + 8
    back = _rect("back", x - width / 2, y - LABEL_LINE - 2, width, 2 * LABEL_LINE + 5, 6)
    lines = _text(x, y - 3, "small middle", weight) + _text(x, y + LABEL_LINE - 3, "small middle gradient", gradient)
    return f'<g class="label{"" if edge.gradient else " zero"}">{back}{lines}</g>'


def _rect(kind: str, x: float, y: float, width: float, height: float, radius: int) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}"/>'


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>' if text else ""
