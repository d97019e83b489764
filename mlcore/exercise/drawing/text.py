"""A network drawn with box-drawing characters, or in ASCII."""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from mlcore.exercise.drawing.graph import STATES, Graph, short, terminal_width

WIDTH = 100  # of a drawing: what is wider goes on below
SYMBOLS = str.maketrans({"φ": "phi", "ŷ": "y_hat", "δ": "delta", "−": "-", "→": "->", "…": "..."})
WIRES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"  # by the sum of the directions in which a wire leaves its cell
LINES = str.maketrans(f"{WIRES}╌╎►", " |||-+++-+++-+++-:>")  # in ASCII
UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8


class _Block(NamedTuple):
    """A column of boxes: its lines, all of one width, and the lines at which wires leave and arrive."""

    heading: list[str]
    lines: list[str]
    leave: list[int]
    arrive: list[int]
    name: str  # of the wires that arrive

    @property
    def middle(self) -> int:
        """Line between the first and the last wire."""
        return (self.leave[0] + self.leave[-1]) // 2

    @property
    def width(self) -> int:
        """Cells of a terminal that the column takes, with the wires before it."""
        return max(map(terminal_width, (*self.heading, self.lines[0]))) + terminal_width(self.name) + 6


def to_text(graph: Graph, ascii_only: bool = False) -> str:
    """Boxes side by side, joined by wires that stand for all weights of a layer, and below them the edges."""
    spell = _in_ascii if ascii_only else str
    bands: list[list[_Block]] = [[]]  # of columns that go side by side
    for column in range(len(graph.columns)):
        block = _block(graph, column, spell)
        if bands[-1] and sum(other.width for other in [*bands[-1], block]) > WIDTH:
            bands.append([])
        bands[-1].append(block)
    drawn = "\n\n".join(map(_band, bands))
    drawn = drawn.translate(LINES) if ascii_only else drawn
    notes = "\n".join(map(spell, graph.notes))
    return "\n\n".join([spell(graph.title), drawn, *_edge_tables(graph, spell), notes]) + "\n"


def _band(blocks: list[_Block]) -> str:
    """Columns side by side, with the middle of each at one height."""
    middle = max(block.middle for block in blocks)
    tall = max(middle - block.middle + len(block.lines) for block in blocks)
    parts, leave = [], [middle]
    for block in blocks:
        down = middle - block.middle
        if block.arrive:
            wires = _wires(leave, [row + down for row in block.arrive], middle, tall, block.name)
            parts.append([""] * 3 + wires)
        parts.append([*block.heading, *[""] * (down + 1), *block.lines, *[""] * (tall - down - len(block.lines))])
        leave = [row + down for row in block.leave]
    widths = [max(map(terminal_width, part)) for part in parts]
    rows = ("".join(map(_pad, row, widths)).rstrip() for row in zip(*parts, strict=True))
    return "\n".join(rows)


def _block(graph: Graph, column: int, spell: Callable[[str], str]) -> _Block:
    members = graph.members(column)
    rows = {index: [(spell(symbol), spell(value)) for symbol, value in graph.rows(index)] for index in members}
    symbols, values = (max(len(row[i]) for found in rows.values() for row in found) for i in (0, 1))
    inner = max([symbols + values + 3, *(len(STATES[graph.nodes[index].state]) + 2 for index in members)])
    title, subtitle, arrays = map(spell, graph.columns[column])
    block = _Block([title, subtitle], [], [], [], arrays)
    for index in members:
        node, found = graph.nodes[index], rows[index]
        row = len(block.lines) + 1 + len(found) // 2
        block.leave.append(row)
        block.arrive.extend([row] if node.kind in ("unit", "loss") else [])
        lines = [f"{symbol:<{symbols}} = {value:>{values}}".ljust(inner) for symbol, value in found]
        title = spell(node.label) if node.kind == "unit" else ""
        block.lines.extend(_box(title, lines, STATES[node.state], inner, dashed=node.state == "kink"))
    return block


def _box(title: str, lines: list[str], state: str, inner: int, dashed: bool) -> list[str]:
    dash, side = "╌╎" if dashed else "─│"

    def border(text: str, left: str, right: str) -> str:
        text = f"{dash} {text} " if text else ""
        return left + text + dash * (inner + 2 - len(text)) + right

    return [border(title, "┌", "┐"), *(f"{side} {line} {side}" for line in lines), border(state, "└", "┘")]


def _wires(leave: list[int], arrive: list[int], middle: int, tall: int, name: str) -> list[str]:
    """Wires from every box on the left, through the name of the weights, to every box on the right."""
    name = f" {name} " if name else ""
    cells = [[0, 0] for _ in range(tall)]  # the bus left of the name, and the one right of it
    for ports, bus, side in ((leave, 0, LEFT), (arrive, 1, RIGHT)):
        cells[middle][bus] |= LEFT + RIGHT - side
        for row in ports:
            cells[row][bus] |= side
        for row in range(min([*ports, middle]), max([*ports, middle])):
            cells[row][bus] |= DOWN
            cells[row + 1][bus] |= UP
    lines = []
    for row, (left, right) in enumerate(cells):
        text = name if row == middle else " " * terminal_width(name)
        start, end = "─" if row in leave else " ", "►" if row in arrive else " "
        lines.append(f"{start}{WIRES[left]}{text}{WIRES[right]}{end}")
    return lines


def _edge_tables(graph: Graph, spell: Callable[[str], str]) -> Iterator[str]:
    """The edges in aligned rows, a table for each layer."""
    made = []
    for edge in graph.edges:
        ends = graph.nodes[edge.source].label, graph.nodes[edge.target].label
        made.append([*ends, edge.name, short(edge.value), edge.symbol, short(edge.gradient)])
    made = [[spell(cell) for cell in cells] for cells in made]
    a, b, name, value, symbol, gradient = (max(map(terminal_width, column)) for column in zip(*made, strict=True))
    arrow = spell("→")
    for column, group in groupby(zip(graph.edges, made, strict=True), lambda pair: graph.nodes[pair[0].target].column):
        lines = [spell(f"{graph.columns[column - 1].title} → {graph.columns[column].title}")]
        for _, row in group:
            weight, slope = f"{_pad(row[2], name)} = {row[3]:>{value}}", f"{row[4]:<{symbol}} = {row[5]:>{gradient}}"
            lines.append(f"  {row[0]:<{a}} {arrow} {row[1]:<{b}}   {weight}   {slope}")
        yield "\n".join(lines)


def _in_ascii(text: str) -> str:
    return text.translate(SYMBOLS).encode("ascii", "replace").decode()


def _pad(text: str, width: int) -> str:
    return text + " " * (width - terminal_width(text))
