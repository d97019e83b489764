"""What people see: tables on stdout, progress and messages on stderr. The only module that imports rich."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mlcore.kernels import watch_compilation

if TYPE_CHECKING:
    from mlcore.sentiment.evaluation import Evaluation, WordLogit
    from mlcore.sentiment.settings import Settings
    from mlcore.sentiment.training import EpochReport, TrainingData
    from mlcore.sentiment.training import Progress as Progressed

HEARTBEAT = 1.5  # seconds between two lines of progress where nothing can be animated

ASCII = str.maketrans(
    {"φ": "phi", "ŷ": "y_hat", "½": "1/2", "²": "^2", "δ": "delta", "₁": "1", "₂": "2", "ᵀ": "^T", "Σ": "sum",
     "−": "-", "×": "x"}
)  # fmt: skip

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """A message for the person, on stderr."""
    err.print(Text(message))


def show(text: str, style: str = "") -> None:
    """Lines of the result, on stdout."""
    out.print(Text(_writable(text), style))


class Sheet(Table):
    """Table whose first ``left`` columns are text and whose others are numbers."""

    def __init__(self, *columns: str, title: str | None = None, left: int = 1) -> None:
        super().__init__(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", show_edge=False)
        for number, name in enumerate(columns):
            self.add_column(Text(_writable(name)), justify="left" if number < left else "right")

    def add(self, *cells: str | Text, end_section: bool = False) -> None:
        """Add a row; nothing in it is taken for markup."""
        texts = (cell if isinstance(cell, Text) else Text(_writable(cell)) for cell in cells)
        self.add_row(*texts, end_section=end_section)


def _writable(text: str) -> str:
    """The text with its symbols, or spelled out in ASCII where the terminal cannot do Unicode."""
    return text if out.encoding.startswith("utf") else text.translate(ASCII)


# Progress -------------------------------------------------------------------------------------------------


class Activity:
    """What is going on, on stderr: a spinner in a terminal; elsewhere a line when it takes longer than a moment."""

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
        """Say something else from now on."""
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
    """Say that kernels are being compiled, if one has to be, and which."""
    activity: list[Activity] = []

    def started(name: str) -> None:
        if not activity:
            if not quiet:
                say("First run: compiling the kernels, once for this machine.")
            activity.append(Activity("", quiet).__enter__())
        activity[0].update(f"Compiling {name}")

    try:
        with watch_compilation(started):
            yield
    finally:
        for shown in activity:
            shown.__exit__()


class TrainingBar:
    """Progress of the epochs, on stderr: a bar in a terminal, elsewhere a line now and then."""

    def __init__(self, epochs: int, quiet: bool) -> None:
        self.epochs, self.quiet = epochs, quiet
        self._line_due = time.monotonic() + HEARTBEAT
        self._bar: Progress | None = None

    def update(self, state: "Progressed") -> None:
        """Show the state within an epoch."""
        if self.quiet:
            return
        rate = state.tokens / state.seconds / 1e6
        figures = f"loss {state.loss:.4f}  {rate:.1f} M tokens/s"
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
        """Take the bar away, so that a row can be printed where it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


# Exercise 1 -----------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """A number as people write it: up to six digits, and a minus sign that is one."""
    return f"{value:.6g}".replace("-", "−")


def vector(values: list[float]) -> str:
    """(1, 2, 1)"""
    return f"({', '.join(map(number, values))})"


def matrix(rows: list) -> str:
    """Rows in brackets, one below the other, in aligned columns; a vector is one row."""
    cells = [[number(value) for value in row] for row in (rows if isinstance(rows[0], list) else [rows])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"[{line}]" for line in lines)


def forward(document: dict) -> None:
    """Values of every unit, the output and the loss."""
    multiple = len(document["y"]) > 1
    show("h = φ(W x)    ŷ = φ(V h)    φ(z) = max(0, z)    J = ½ " + ("Σ " if multiple else "") + "(y − ŷ)²")
    show(f"x = {vector(document['x'])}    y = {vector(document['y'])}\n")
    with_delta = "delta" in document["layers"][0]
    made = Sheet("layer", "unit", "z", "φ(z)", *(["δ = dJ/dz"] if with_delta else []), "", left=2)
    made.columns[-1].justify = "left"
    for layer in document["layers"]:
        for unit, (z, a) in enumerate(zip(layer["z"], layer["a"], strict=True), start=1):
            delta = [number(layer["delta"][unit - 1])] if with_delta else []
            state = Text("on the kink", style="bold yellow") if z == 0 else Text("off" if z < 0 else "on", style="dim")
            made.add(layer["name"], str(unit), number(z), number(a), *delta, state)
    out.print(made)
    y_hat = document["y_hat"]
    show(f"\nŷ = {vector(y_hat) if multiple else number(y_hat[0])}    J = {number(document['loss'])}", "bold")


def gradients(document: dict) -> None:
    """The forward values, then the gradients, what the kink means for them, and the numerical derivatives."""
    forward(document)
    multiple = len(document["y"]) > 1
    d_y_hat = vector(document["d_y_hat"]) if multiple else number(document["d_y_hat"][0])
    show(f"dJ/dŷ = ŷ − y = {d_y_hat}\n")
    formulas = {"V": "δ₂ hᵀ", "W": "δ₁ xᵀ", "x": "Wᵀ δ₁"}
    made = Sheet("gradient", "formula", f"with φ'(0) = {number(document['relu_at_zero'])}", left=3)
    for name, formula in formulas.items():
        made.add(f"dJ/d{name}", formula, matrix(document["gradients"][name]))
    out.print(made)
    show("δ₂ = (ŷ − y) φ'(V h)    δ₁ = (Vᵀ δ₂) φ'(W x), unit by unit", "dim")
    if document["kinks"]:
        _kinks(document)
    if "check" in document:
        _differences(document)


def _kinks(document: dict) -> None:
    units = ", ".join(f"{kink['layer']} unit {kink['unit']}" for kink in document["kinks"])
    show(f"\nOn the kink: z = 0 at {units}. φ has no derivative at 0,", "bold yellow")
    show("so these numbers rest on a convention for φ'(0):")
    by_convention = document["by_convention"]
    if len({str(found) for found in by_convention.values()}) == 1:
        show("the gradients under φ'(0) = 0, 1/2 and 1 agree.")
        return
    made = Sheet("φ'(0)", *(f"dJ/d{name}" for name in ("V", "W", "x")), left=4)
    for name, found in by_convention.items():
        made.add(name, *(matrix(found[key]) for key in ("V", "W", "x")), end_section=True)
    out.print(made)


def _differences(document: dict) -> None:
    made = Sheet("entry", "gradient", "central", "left", "right", "", title="\nNumerical derivatives")
    made.columns[-1].justify = "left"
    for name in ("V", "W", "x"):
        found = document["check"][name]
        for place, gradient in _entries(document["gradients"][name]):
            left, right = _at(found["left"], place), _at(found["right"], place)
            differ = _at(found["one_sided_differ"], place)
            verdict = "no derivative" if differ else "WRONG" if _at(found["contradicts"], place) else "agrees"
            made.add(
                f"{name}[{', '.join(str(index + 1) for index in place)}]",
                number(gradient),
                "" if differ else number(_rounded(_at(found["central"], place))),
                *((number(_rounded(left)), number(_rounded(right))) if differ else ("", "")),
                verdict,
            )
    out.print(made)
    if not document["check"]["agrees"]:
        say("J has a derivative in the entries marked WRONG, and this convention for φ'(0) gives another number.")


def _rounded(value: float) -> float:
    """Without the digits below the error of a numerical derivative."""
    return round(value, 7) + 0.0


def _entries(values: list, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], float]]:
    for index, value in enumerate(values):
        if isinstance(value, list):
            yield from _entries(value, (*place, index))
        else:
            yield (*place, index), value


def _at(values: list, place: tuple[int, ...]) -> float:
    for index in place:
        values = values[index]
    return values


# Exercise 5 -----------------------------------------------------------------------------------------------


EPOCH_COLUMNS = ("epoch", "training loss", "held-out loss", "held-out accuracy", "seconds", "M tokens/s")


def network(data: "TrainingData", settings: "Settings", parameters: int) -> None:
    """The three formulas with shapes, what is trained on, and the head of the table of epochs."""
    dim, hidden, min_count = settings.dim, settings.hidden, settings.min_count
    show(f"E = 1/N Σ E_w       embedding {len(data.vocabulary):,} × {dim}, mean over the N words of a text")
    show(f"H = φ(W1 E + b1)    W1 {hidden} × {dim}, b1 {hidden}")
    show(f"ŷ = W2 H + b2       W2 1 × {hidden}, b2 1")
    parts = {"training": data.train, "held out": data.dev, "test": data.test}
    sizes = ", ".join(f"{name} {len(part.rows):,}" for name, part in parts.items() if part)
    words = f"words that occur {min_count} times or more" if min_count > 1 else "all words of the training texts"
    show(f"{parameters:,} parameters. Vocabulary: {words}.\nTexts: {sizes}.\n")
    show("  ".join(EPOCH_COLUMNS), "bold")


def epoch_row(report: "EpochReport") -> None:
    """One row of the table of epochs."""
    cells = (
        str(report.epoch),
        f"{report.train_loss:.4f}",
        "-" if report.dev_loss is None else f"{report.dev_loss:.4f}",
        "-" if report.dev_accuracy is None else f"{report.dev_accuracy:.2%}",
        f"{report.seconds:.2f}",
        f"{report.tokens / report.seconds / 1e6:.1f}",
    )
    row = "  ".join(cell.rjust(len(name)) for cell, name in zip(cells, EPOCH_COLUMNS, strict=True))
    show(f"{row}  {'best so far' if report.best and report.dev_loss is not None else ''}".rstrip())


def evaluation(name: str, result: "Evaluation") -> None:
    """Accuracy, loss and confusion matrix."""
    right = int(result.confusion.trace())
    show(f"{name}: accuracy {result.accuracy:.2%} ({right:,} of {result.n:,}), loss {result.loss:.4f}", "bold")
    made = Sheet("truth", *(f"predicted {label}" for label in result.labels))
    for label, row in zip(result.labels, result.confusion.tolist(), strict=True):
        made.add(label, *(f"{count:,}" for count in row))
    out.print(made)


def strongest_words(positive: "list[WordLogit]", negative: "list[WordLogit]", labels: tuple[str, str]) -> None:
    """The words that move the logit most, either way."""
    title = "\nStrongest words (logit of the text that is this word alone)"
    made = Sheet(f"for {labels[1]}", "logit", f"for {labels[0]}", "logit", title=title)
    made.columns[2].justify = "left"
    for pair in zip_longest(positive, negative, fillvalue=("", 0.0)):
        made.add(*(cell for word, logit in pair for cell in (word, f"{logit:+.1f}" if word else "")))
    out.print(made)


def prediction(label: str, probability: float, known_words: int) -> str:
    """One line for one text."""
    mark = "no known word: the value at E = 0" if known_words == 0 else f"{known_words} known"
    return f"{label}\t{probability:.4f}\t{mark}"


def stdin_is_terminal() -> bool:
    """Whether a person has to type the lines."""
    return sys.stdin.isatty()
