"""The table of compare.py: its rows, their targets, and how they are written as Markdown and as JSON."""

import json
import statistics
from typing import NamedTuple

SCHEMA = "mlcore.benchmark/1"


class Target(NamedTuple):
    """What the ratio to a peer should be, or the figure itself where there is no peer."""

    limit: float
    at_least: bool = False

    def missed_by(self, value: float) -> float:
        """How far beyond the limit a value is, as a share of the limit; 0 if it is met."""
        beyond = self.limit - value if self.at_least else value - self.limit
        return max(beyond / self.limit, 0)


class Row(NamedTuple):
    """One line: mlcore's figure of each round, and perhaps that of a peer in the same round."""

    what: str
    unit: str
    ours: list[float]
    peer: str = ""
    theirs: list[float] | None = None
    target: Target | None = None

    @property
    def ratios(self) -> list[float]:
        """mlcore's figure as a multiple of the peer's, in each round; none without a peer."""
        return [our / their for our, their in zip(self.ours, self.theirs or [], strict=bool(self.peer))]

    @property
    def missed_by(self) -> float:
        """How far the median is beyond the target; 0 if it is met."""
        return self.target.missed_by(statistics.median(self.ratios or self.ours)) if self.target else 0


class Report(NamedTuple):
    """All that is written."""

    machine: dict[str, str | int | float]
    versions: dict[str, str]
    settings: dict[str, int | float]  # of the run: texts, rounds and so on
    rows: list[Row]
    notes: list[str]


def markdown(report: Report) -> str:
    """The medians, with the range of the ratios, and what has to be said of them."""
    lines = [
        f"{name.capitalize()}: {', '.join(f'{key} {shown(value)}' for key, value in about.items())}.  "
        for name, about in zip(Report._fields, report[:3], strict=False)
    ]
    lines += ["", "| what | mlcore | against | ratio (range) | target | |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in report.rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in report.notes), ""])


def document(report: Report) -> str:
    """The same with all rounds, as strict JSON."""
    whole = {"schema": SCHEMA} | report._asdict() | {"rows": [_object(row) for row in report.rows]}
    return json.dumps(whole, allow_nan=False, indent=1) + "\n"


def shown(value: object) -> str:
    """A number to three digits or to the whole; anything else as it is."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if value >= 100 or isinstance(value, int) else f"{value:.3g}"


def _cells(row: Row) -> list[str]:
    def figure(figures: list[float]) -> str:
        return f"{shown(statistics.median(figures))} {row.unit}".rstrip()

    against = f"{row.peer} {figure(row.theirs)}" if row.theirs else ""
    spread = row.ratios or row.ours
    ratio = shown(statistics.median(row.ratios)) if row.ratios else ""
    verdict = f"missed by {shown(100 * row.missed_by)} %" if row.missed_by else "met"
    return [
        row.what,
        figure(row.ours),
        against,
        f"{ratio} ({shown(min(spread))} to {shown(max(spread))})".strip(),
        f"at {'least' if row.target.at_least else 'most'} {shown(row.target.limit)}" if row.target else "",
        verdict if row.target else "",
    ]


def _object(row: Row) -> dict[str, object]:
    def figures(rounds: list[float]) -> dict[str, object]:
        return {"median": statistics.median(rounds), "rounds": rounds}

    found: dict[str, object] = {"what": row.what, "unit": row.unit, "mlcore": figures(row.ours)}
    if row.theirs:
        found |= {"peer": {"name": row.peer} | figures(row.theirs), "ratio": figures(row.ratios)}
    if row.target:
        limit = {"at_least" if row.target.at_least else "at_most": row.target.limit}
        found |= {"target": limit, "met": not row.missed_by, "missed_by": row.missed_by}
    return found
