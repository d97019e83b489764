"""A network drawn with box-drawing characters."""

import textwrap
from collections.abc import Iterator, Mapping
from itertools import chain, pairwise
from typing import Any

from mlcore.exercise.drawing.graph import STATES, Graph, Node
from mlcore.exercise.formats import WIDTH, Box, beside, pad, terminal_width


def to_text(graph: Graph, symbols: Mapping[int, str] | None = None) -> str:
    """Boxes side by side, an arrow with the name of the weights before each layer, and below them the edges.

    ``symbols`` spells out those that cannot be written, for which boxes have room.
    """
    graph = _spelled(graph, symbols) if symbols else graph
    bands: list[list[tuple[Box, Box]]] = [[]]  # of columns that go side by side
    for number in range(len(graph.columns)):
        column = _column(graph, number)
        if bands[-1] and sum(terminal_width(body[0]) + 1 for _, body in [*bands[-1], column]) > WIDTH:
            bands.append([])
        bands[-1].append(column)
    drawn = []
    for band in bands:
        rows = [*beside([head for head, _ in band]), "", *beside([body for _, body in band])]
        drawn.append("\n".join(row.rstrip() for row in rows))
    notes = [line for note in graph.notes for line in textwrap.wrap(note, WIDTH)]
    return "\n\n".join([graph.title, *drawn, *_edge_tables(graph), "\n".join(notes)]) + "\n"


def _column(graph: Graph, number: int) -> tuple[Box, Box]:
    """The titles of a column, and its boxes below each other with the arrow that leads to them, of one width."""
    column, nodes = graph.columns[number], [node for node in graph.nodes if node.column == number]
    symbols, values = (max(terminal_width(row[i]) for node in nodes for row in node.rows) for i in (0, 1))
    inner = max([symbols + values + 3, *(terminal_width(STATES[node.state]) + 2 for node in nodes)])
    body = [line for node in nodes for line in ("", *_box(node, symbols, values, inner))][1:]
    arrow = f"── {column.arrays} ─►" if column.arrays else "───►"
    titles = [column.title, column.subtitle]
    width = max(map(terminal_width, [*titles, body[0]]))
    titles, body = ([pad(line, width) for line in lines] for lines in (titles, body))
    return (beside([[" " * terminal_width(arrow)], titles]), beside([[arrow], body])) if number else (titles, body)


def _box(node: Node, symbols: int, values: int, inner: int) -> Box:
    dash, side = "╌╎" if node.state == "kink" else "─│"
    borders = [f"{dash} {text} " if text else "" for text in (node.label * (node.kind == "unit"), STATES[node.state])]
    top, bottom = (border + dash * (inner + 2 - terminal_width(border)) for border in borders)
    lines = (f"{pad(symbol, symbols)} = {value:>{values}}" for symbol, value in node.rows)
    return [f"┌{top}┐", *(f"{side} {line:<{inner}} {side}" for line in lines), f"└{bottom}┘"]


def _edge_tables(graph: Graph) -> Iterator[str]:
    """The edges in aligned rows, a table for each layer."""
    rows: list[list[tuple[str, ...]]] = [[] for _ in graph.columns]
    for edge in graph.edges:
        source, target = graph.nodes[edge.source], graph.nodes[edge.target]
        cells = source.label, target.label, edge.name, edge.texts[0], edge.symbol, edge.texts[1]
        rows[target.column].append(cells)
    a, b, name, value, symbol, gradient = (max(map(terminal_width, texts)) for texts in zip(*chain(*rows), strict=True))
    for (below, above), own in zip(pairwise(graph.columns), rows[1:], strict=True):
        lines = [f"{below.title} → {above.title}"]
        for row in own:
            start, weight = f"  {row[0]:<{a}} → {row[1]:<{b}}   ", f"{pad(row[2], name)} = {row[3]:>{value}}"
            derivative = f"{row[4]:<{symbol}} = {row[5]:>{gradient}}"
            fits = terminal_width(f"{start}{weight}   {derivative}") < WIDTH  # the arrow has two letters in ASCII
            lines += [f"{start}{weight}   {derivative}"] if fits else [start + weight, " " * len(start) + derivative]
        yield "\n".join(lines)


def _spelled(value: Any, symbols: Mapping[int, str]) -> Any:
    """The value with the symbols in all of its texts spelled out."""
    if isinstance(value, str):
        return value.translate(symbols)
    if not isinstance(value, list | tuple):
        return value
    parts = [_spelled(part, symbols) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
