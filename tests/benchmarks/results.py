"""Results of benchmarks: rows of figures, shown as a table of Markdown or written as JSON."""

import json
import statistics
from typing import NamedTuple


class Row(NamedTuple):
    """One line: mlcore's figure of each round, and perhaps that of a peer in the same round."""

    what: str
    unit: str
    ours: list[float]
    peer: str = ""
    theirs: list[float] | None = None
    target: float | None = None  # of the ratio to the peer, or of the figure itself where there is none
    at_least: bool = False  # rather than at most

    @property
    def compared(self) -> list[float]:
        """mlcore's figure as a multiple of the peer's, in each round, or the figure itself."""
        return [our / their for our, their in zip(self.ours, self.theirs, strict=True)] if self.theirs else self.ours

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target."""
        beyond = statistics.median(self.compared) - (self.target or 0)
        return None if self.target is None else beyond >= 0 if self.at_least else beyond <= 0


def markdown(about: str, rows: list[Row], notes: list[str]) -> str:
    """The medians, with the range of the ratios, and what has to be said of them."""
    lines = [about, "", "| what | mlcore | against | ratio (range) | target | |", "|---|---|---|---|---|---|"]
    for row in rows:
        ours, theirs = (f"{shown(statistics.median(found or [0]))} {row.unit}".rstrip() for found in row[2:5:2])
        ratio = shown(statistics.median(row.compared)) if row.theirs else ""
        spread = f"({shown(min(row.compared))} to {shown(max(row.compared))})"
        target = f"at {'least' if row.at_least else 'most'} {shown(row.target)}" if row.target else ""
        against, verdict = (
            f"{row.peer} {theirs}" if row.theirs else "",
            {None: "", True: "met", False: "missed"}[row.met],
        )
        lines.append(f"| {' | '.join([row.what, ours, against, f'{ratio} {spread}'.strip(), target, verdict])} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def shown(value: float) -> str:
    """A number to three digits or to the whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def document(about: str, rows: list[Row], notes: list[str]) -> str:
    """The same with all rounds, as strict JSON."""
    found = [row._asdict() | {"median": statistics.median(row.compared), "met": row.met} for row in rows]
    whole = {"schema": "mlcore.benchmark/2", "about": about, "rows": found, "notes": notes}
    return json.dumps(whole, allow_nan=False, indent=1) + "\n"
