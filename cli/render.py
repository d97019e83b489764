"""Terminal output: tables on stdout, progress and messages on stderr. The only module that imports rich."""

import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mlcore.kernels.compiling import watch_compilation

if TYPE_CHECKING:
    from mlcore.sentiment.training import Progress as Progressed

HEARTBEAT = 1.5  # seconds between two lines of progress where stderr is not a terminal
COLUMNS = 80  # of wrapped paragraphs

ASCII = str.maketrans(
    {"φ": "phi", "σ": "sigma", "ŷ": "y_hat", "½": "1/2", "²": "^2", "δ": "delta", "∂": "d", "ᵀ": "^T", "Σ": "sum",
     "−": "-", "×": "x", "⊙": "*", "·": "*", "█": "#", "↦": "->", "→": "->", "│": "|", "±": "+-",
     "●": "o", "├": "|", "┤": "|", "─": "-", "ₛ": "_s", "ₖ": "_k"}
    | {chr(0x2080 + digit): str(digit) for digit in range(10)}
)  # fmt: skip


class _Console(Console):
    """Console that raises on a closed pipe: the caller may have a model to save first."""

    def on_broken_pipe(self) -> None:
        raise  # Rich calls this while it handles the BrokenPipeError


out = _Console(highlight=False, soft_wrap=True)
err = _Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Print a message on stderr."""
    err.print(Text(printable(message)))


def show(text: str, style: str = "") -> None:
    """Print lines of the result on stdout."""
    out.print(Text(_writable(text), style))


def paragraph(text: str, style: str = "") -> None:
    """Print sentences of the result, wrapped to 80 columns."""
    show(textwrap.fill(_writable(text), COLUMNS, break_long_words=False, break_on_hyphens=False), style)


def flow(pieces: Iterable[tuple[str, str]]) -> None:
    """Print pieces of text, each with its style, wrapped to 80 columns."""
    text = Text.assemble(*((_writable(piece), style) for piece, style in pieces))
    for line in text.wrap(out, min(COLUMNS, out.width)):
        line.rstrip()
        out.print(line)


def has_colour() -> bool:
    """Whether standard output shows colours: it is a terminal, and neither NO_COLOR nor TERM=dumb is set."""
    return out.color_system is not None and not out.no_color


class Shown:
    """Call views only while standard output accepts them: a closed pipe must not end a training."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._error: OSError | None = None

    def __call__(self, function: Callable[..., None], *arguments: object) -> None:
        if self._wanted and self._error is None:
            try:
                function(*arguments)
                out.file.flush()
            except OSError as error:
                self._error = error

    def complain(self) -> None:
        """Raise the error of standard output, once nothing can be lost by it."""
        if self._error is not None:
            raise self._error


class Grid(Table):
    """Table with ``left`` columns of text, and columns of numbers after them."""

    def __init__(self, *columns: str, title: str | None = None, left: int = 1) -> None:
        super().__init__(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", show_edge=False)
        for number, name in enumerate(columns):
            self.add_column(Text(_writable(name)), justify="left" if number < left else "right")

    def add(self, *cells: str | tuple[str, str], end_section: bool = False) -> None:
        """Add a row of texts, or of pairs (text, style); markup in them has no effect."""
        styled = ((cell, "") if isinstance(cell, str) else cell for cell in cells)
        self.add_row(*(Text(_writable(text), style) for text, style in styled), end_section=end_section)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | tuple[str, str]]],
    title: str | None = None,
    left: int = 1,
    also_left: Sequence[int] = (),
    line_after: int = 0,
) -> None:
    """Print a Grid of these rows, where other columns may be text too, with a line after so many rows."""
    grid = Grid(*columns, title=title, left=left)
    for column in also_left:
        grid.columns[column].justify = "left"
    for i, row in enumerate(rows, start=1):
        grid.add(*row, end_section=i == line_after)
    out.print(grid)


def has_unicode() -> bool:
    """Whether standard output can encode any character."""
    return out.encoding.startswith("utf")


def _writable(text: str) -> str:
    """The text without control characters, and with symbols spelled out if standard output is not Unicode."""
    return printable(text if has_unicode() else text.translate(ASCII))


def printable(text: str) -> str:
    """The text with control characters replaced, except line feeds: nothing in it can move the cursor."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    return cell_len(_writable(text))


def shortened(text: str, columns: int) -> str:
    """The text on one line, cut to a number of columns."""
    line = _writable(" ".join(text[: 10 * columns].split()))
    if cell_len(line) <= columns and len(text) <= 10 * columns:
        return line
    return set_cell_size(line, min(cell_len(line), columns - 3)).rstrip() + "..."


# Progress -------------------------------------------------------------------------------------------------


class Activity:
    """Show on stderr what is running: a spinner in a terminal, elsewhere a line every HEARTBEAT seconds."""

    def __init__(self, text: str, quiet: bool = False) -> None:
        self.text, self.quiet = text, quiet

    def __enter__(self) -> "Activity":
        self._started = time.monotonic()
        self._done = threading.Event()
        self._status = err.status(Text(self.text)) if err.is_terminal and not self.quiet else None
        if self._status:
            self._status.start()
        elif not self.quiet:
            threading.Thread(target=self._speak, daemon=True).start()
        return self

    def update(self, text: str) -> None:
        """Change the text."""
        self.text = text
        if self._status:
            self._status.update(Text(text))

    def _speak(self) -> None:
        while not self._done.wait(HEARTBEAT):
            say(f"{self.text} ({time.monotonic() - self._started:.0f} s)")

    def __exit__(self, *error: object) -> None:
        self._done.set()
        if self._status:
            self._status.stop()


@contextmanager
def compilation(quiet: bool = False) -> Iterator[None]:
    """Show which kernels are being compiled, if any has to be."""
    activity: list[Activity] = []

    def started(name: str) -> None:
        if not activity:
            if not quiet:
                say("First run: compiling kernels. Later runs load them from the cache.")
            activity.append(Activity("", quiet).__enter__())
        activity[0].update(f"Compiling {name}")

    try:
        with watch_compilation(started):
            yield
    finally:
        for shown in activity:
            shown.__exit__()


class TrainingBar:
    """Progress of a training on stderr: a bar in a terminal, elsewhere a line every HEARTBEAT seconds."""

    def __init__(self, epochs: int, quiet: bool) -> None:
        self.epochs, self.quiet = epochs, quiet
        self._line_due = time.monotonic() + HEARTBEAT
        self._bar: Progress | None = None

    def update(self, state: "Progressed") -> None:
        """Show the progress within an epoch."""
        if self.quiet:
            return
        rate = state.features / state.seconds / 1e6
        figures = f"loss {state.loss:.4f}  {rate:.1f} M features/s"
        done = state.epoch - 1 + state.share
        if err.is_terminal:
            if self._bar is None:
                columns = (
                    TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"), BarColumn(), TaskProgressColumn(),
                    TextColumn("{task.fields[figures]}"), TimeRemainingColumn(),
                )  # fmt: skip
                self._bar = Progress(*columns, console=err, transient=True)
                self._task = self._bar.add_task("", total=self.epochs, epoch=state.epoch, figures="")
                self._bar.start()
            self._bar.update(self._task, completed=done, epoch=state.epoch, figures=figures)
        elif time.monotonic() >= self._line_due:
            left = (self.epochs - done) * state.seconds / state.share
            say(f"epoch {state.epoch}/{self.epochs}, {state.share:.0%}: {figures}, {left:.0f} s left")
            self._line_due = time.monotonic() + HEARTBEAT

    def __enter__(self) -> "TrainingBar":
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove the bar, so that a row can be printed in its place."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def number(value: float | None, spec: str = ".6g") -> str:
    """A number in this format with a real minus sign, or - for None."""
    return "-" if value is None else f"{value:{spec}}".replace("-", "−")
