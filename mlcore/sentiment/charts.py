"""Charts as SVG for an HTML page, which styles their classes: curves, points, and the diagonal they should lie on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 44
MOST_TICKS = 6
SMALLEST_DOT, LARGEST_DOT = 2.5, 9.0


@dataclass(frozen=True)
class Series:
    """A named curve; None interrupts it."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class _Axes:
    """Rectangle of the chart in the units of the data."""

    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, x: float, y: float) -> tuple[float, float]:
        (left, right), (low, high) = self.x, self.y
        across = (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return LEFT + across, HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def curves(title: str, x_name: str, xs: Sequence[float], series: Sequence[Series], marked: int | None = None) -> str:
    """Curves over common xs, numbered by the classes s0, s1, ..., with a line at ``xs[marked]``."""
    values = [value for one in series for value in one.values if value is not None]
    axes = _Axes(_wide(min(xs), max(xs)), _wide(min(values), max(values)))
    parts = [_frame(axes, x_name, whole=True)]
    if marked is not None:
        (x, bottom), (_, top) = axes.place(xs[marked], axes.y[0]), axes.place(xs[marked], axes.y[1])
        parts.append(f'<path class="mark" d="M{x:.1f} {bottom:.1f}V{top:.1f}"/>')
    for number, one in enumerate(series):
        points = [axes.place(x, y) for x, y in zip(xs, one.values, strict=True) if y is not None]
        path = "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
        parts.append(f'<path class="curve s{number}" d="{path}"/>')
        parts += [f'<circle class="dot s{number}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points]
        parts.append(
            f'<text class="end s{number}" x="{WIDTH - RIGHT}" y="{TOP + 16 * number + 4}">{escape(one.name)}</text>'
        )
    return _svg(title, parts)


def dots(
    title: str, names: tuple[str, str], points: Sequence[tuple[float, float, float]], limits: tuple[float, float]
) -> str:
    """Points (x, y, weight) between the same limits in both directions, with the diagonal where x = y; the area of a
    point grows with its weight.
    """
    axes = _Axes(limits, limits)
    (x1, y1), (x2, y2) = axes.place(limits[0], limits[0]), axes.place(limits[1], limits[1])
    parts = [_frame(axes, names[0], whole=False), f'<path class="mark" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>']
    heaviest = max((weight for *_, weight in points), default=1)
    for x, y, weight in points:
        across, down = axes.place(x, y)
        radius = max(SMALLEST_DOT, LARGEST_DOT * math.sqrt(weight / heaviest)) if heaviest > 1 else SMALLEST_DOT
        parts.append(f'<circle class="dot s0" cx="{across:.1f}" cy="{down:.1f}" r="{radius:.1f}"/>')
    parts.append(f'<text x="{LEFT + 6}" y="{TOP + 12}">{escape(names[1])}</text>')
    return _svg(title, parts)


def _svg(title: str, parts: list[str]) -> str:
    name = escape(title)
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}"><title>{name}</title>'
    return head + "".join(parts) + "</svg>"


def _frame(axes: _Axes, x_name: str, whole: bool) -> str:
    """Grid lines with their numbers; ``whole``: along x, whole numbers only."""
    parts = []
    for y in _ticks(*axes.y):
        across, down = axes.place(axes.x[0], y)
        parts.append(f'<path class="grid" d="M{across:.1f} {down:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="end" x="{LEFT - 8}" y="{down + 4:.1f}">{y:g}</text>')
    for x in _ticks(*axes.x):
        if whole and x != round(x):
            continue
        across, down = axes.place(x, axes.y[0])
        parts.append(f'<text class="middle" x="{across:.1f}" y="{down + 18:.1f}">{x:g}</text>')
    parts.append(f'<text class="middle" x="{(WIDTH + LEFT - RIGHT) / 2}" y="{HEIGHT - 6}">{escape(x_name)}</text>')
    return "".join(parts)


def _wide(low: float, high: float) -> tuple[float, float]:
    """Limits that are apart, even where the data are not."""
    if high > low:
        return low, high
    room = abs(low) / 2 or 0.5
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, at most MOST_TICKS.

    Example:
        >>> _ticks(0.13, 0.52)
        [0.2, 0.3, 0.4, 0.5]
    """
    exact = (high - low) / (MOST_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(exact))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= exact * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
