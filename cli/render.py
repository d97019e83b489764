"""Terminal output: tables on stdout, progress and messages on stderr. The only module that imports rich."""

import re
import shutil
import textwrap
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import zip_longest
from typing import ClassVar

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from .printable import ASCII, printable

Cell = str | tuple[str, str]  # a text, or a text and its style
HEARTBEAT = 1.5  # seconds between two lines of progress where stderr is not a terminal
COLUMNS = 80  # of wrapped paragraphs
NAME_WIDTH = 20  # of labels and features in tables
NAME_END = 6  # characters of a longer one that are kept at its end, because many begin alike
BAR_WIDTH = 24


class _Console(Console):
    """Console that raises on a closed pipe: the caller may have a model to save first."""

    def on_broken_pipe(self) -> None:
        raise  # Rich calls this while it handles the BrokenPipeError


# never so narrow that tables would cut numbers: lines of 80 columns are wrapped by the terminal
out = _Console(highlight=False, soft_wrap=True, width=max(shutil.get_terminal_size().columns, COLUMNS))
err = _Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Print a message on stderr."""
    err.print(Text(printable(message)))


def show(text: str, style: str = "") -> None:
    """Print lines of the result on stdout."""
    out.print(Text(_writable(text), style))


def paragraph(text: str, style: str = "", indent: str = "") -> None:
    """Print sentences of the result, wrapped to 80 columns."""
    wrapper = textwrap.TextWrapper(COLUMNS, indent, 2 * indent, break_long_words=False, break_on_hyphens=False)
    show("\n".join(map(wrapper.fill, _writable(text).split("\n"))), style)


def flow(pieces: Iterable[tuple[str, str]]) -> None:
    """Print pieces of text, each with its style, wrapped to 80 columns."""
    text = Text.assemble(*((_writable(piece), style) for piece, style in pieces))
    for line in text.wrap(out, COLUMNS):
        line.rstrip()
        out.print(line)


def side_by_side(texts: Iterable[str], style: str = "") -> None:
    """Print short texts with gaps between them, as many on each line as 80 columns have room for."""
    lines = [""]
    for text in map(_writable, texts):
        longer = f"{lines[-1]}    {text}" if lines[-1] else text
        lines[-1:] = [longer] if cell_len(longer) <= COLUMNS else [lines[-1], text]
    paragraph("\n".join(filter(None, lines)), style)


# Tables ---------------------------------------------------------------------------------------------------


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    title: str | None = None,
    left: int | Collection[int] = 1,
    line_after: int = 0,
    most: int | None = None,
    lines: bool = False,
) -> None:
    """Print the first ``most`` rows, which may be shorter than the columns; markup in them has no effect.

    A column is of text if its number is in ``left`` or it has no name, and else of numbers. Without any name, there is
    no header. A line is after the row ``line_after``, or with ``lines`` after every row. Where that is too wide, each
    row is a table of its own.
    """
    rows, texts = list(rows), range(left) if isinstance(left, int) else left
    if most is not None and len(rows) > most:
        rows[most:] = [[f"({len(rows) - most:,} more)"]]
    if any(columns) and not fits(columns, rows):
        for i, row in enumerate(rows):
            if i:
                show("")
            table(["", ""], [pair for pair in zip(columns, row, strict=False) if pair[1]], None if i else title)
        return
    grid = Table(box=SIMPLE_HEAD, title_justify="left", title_style="", show_edge=False, show_header=any(columns))
    grid.title = Text(_writable(title), "bold") if title else None
    for i, name in enumerate(columns):
        grid.add_column(Text(_writable(name)), justify="left" if i in texts or not name else "right")
    for i, row in enumerate(rows, start=1):
        cells = ((cell, "") if isinstance(cell, str) else cell for cell in row)
        grid.add_row(*(Text(_writable(text), style) for text, style in cells), end_section=lines or i == line_after)
    with out.capture() as captured:
        out.print(grid)
    out.out(re.sub(" +\n", "\n", captured.get()), end="", highlight=False)  # without the blanks that fill a column


def fits(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bool:
    """Whether a table fits into 80 columns."""
    texts = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in rows]
    cells = zip_longest(columns, *texts, fillvalue="")
    widths = (max(cell_len(_writable(line)) for text in each for line in text.split("\n")) for each in cells)
    return 3 * len(columns) - 1 + sum(widths) <= COLUMNS


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """A bar for a share of 1 or less: at least a block for what is there."""
    return "█" * (max(round(width * share), 1) if share else 0)


def number(value: float | None, spec: str = ".6g") -> str:
    """A number in this format with a real minus sign, or - for None."""
    return "-" if value is None else f"{value:{spec}}".replace("-", "−")


def symbols() -> dict[int, str]:
    """How symbols are spelled on standard output, for ``str.translate``: as they are if it is Unicode."""
    return {} if out.encoding.startswith("utf") else ASCII


def _writable(text: str) -> str:
    """The text without control characters, and with symbols spelled out if standard output is not Unicode."""
    return printable(text.translate(symbols()))


def width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    return cell_len(_writable(text))


def shortened(text: str, columns: int | None = None) -> str:
    """The text on one line, cut to a number of columns; without one it is a name, which is cut within."""
    kept, columns = (NAME_END, NAME_WIDTH) if columns is None else (0, columns)
    line = _writable(" ".join(text[: 10 * columns].split()))
    if cell_len(line) <= columns and len(text) <= 10 * columns:
        return line
    end = _writable(" ".join(text[-columns:].split()))[-kept:] if kept else ""
    return set_cell_size(line, min(cell_len(line), columns - 3 - cell_len(end))).rstrip() + "..." + end


# Progress -------------------------------------------------------------------------------------------------


class Activity:
    """Show on stderr what is running: a spinner in a terminal, elsewhere the first line every HEARTBEAT seconds.

    Of several that run, the one updated last is shown: Rich before 14.1 allows one display at a time.
    """

    running: ClassVar[list["Activity"]] = []  # and have something to show
    spinner: ClassVar[Status] = err.status(Text())

    def __init__(self, text: str, quiet: bool = False) -> None:
        self.text, self.quiet = text, quiet
        self._ended = threading.Event()

    def __enter__(self) -> "Activity":
        self._started = time.monotonic()
        if not self.quiet and not err.is_terminal:
            threading.Thread(target=self._speak, daemon=True).start()
        if self.text:
            self.update(self.text)
        return self

    def update(self, text: str) -> None:
        """Show this text from now on."""
        self.text = text
        if not self.quiet:
            self._show([self])

    def counting(self, things: str) -> Callable[[int], None]:
        """What shows, when it is called, how many things there are so far."""
        text = self.text
        return lambda number: self.update(f"{text}: {number:,} {things}")

    def clear(self) -> None:
        """Show nothing until the next update, so that something else can be printed in its place."""
        self._show([])

    def _show(self, last: list["Activity"]) -> None:
        running = Activity.running = [activity for activity in Activity.running if activity is not self] + last
        if not running:
            self.spinner.stop()
        elif err.is_terminal:
            self.spinner.update(Text(running[-1].text, no_wrap=True, overflow="ellipsis"))
            self.spinner.start()

    def _speak(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            if Activity.running[-1:] == [self]:
                line, *_ = self.text.splitlines()
                say(f"{line} ({time.monotonic() - self._started:.0f} s)")

    def __exit__(self, *error: object) -> None:
        self.clear()
        self._ended.set()
