"""Charts for an HTML page: the numbers that its template draws as SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 56, WIDTH - 16, 16, HEIGHT - 44
MAX_TICKS = 6
SMALLEST_DOT, LARGEST_DOT = 2.5, 9.0


class Curve(NamedTuple):
    """A named curve as an SVG path."""

    name: str
    path: str


class Dot(NamedTuple):
    """A point of a curve, or of a cloud, with its radius."""

    series: int
    x: float
    y: float
    r: float


@dataclass
class Chart:
    """A chart in SVG coordinates, whose y grows downwards, and the ticks with their labels."""

    title: str
    x_name: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    y_name: str = ""
    curves: list[Curve] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    mark: str = ""  # path of a dashed line
    width, height, left, right, top, bottom = WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of a point in the units of the data."""
        (left, right), (low, high) = self.x_range, self.y_range
        across, up = (x - left) / (right - left), (y - low) / (high - low)
        return round(LEFT + across * (RIGHT - LEFT), 1), round(BOTTOM - up * (BOTTOM - TOP), 1)

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        """Place and label of each tick; along curves, whole numbers only."""
        ticks = (x for x in round_numbers(*self.x_range) if not self.curves or x == round(x))
        return [(self.at(x, self.y_range[0])[0], f"{x:g}") for x in ticks]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        """Place and label of each tick."""
        return [(self.at(self.x_range[0], y)[1], f"{y:g}") for y in round_numbers(*self.y_range)]


def curves(
    title: str,
    x_name: str,
    xs: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    marked: float | None = None,
) -> Chart:
    """Named curves over common xs, which None interrupts, with a dashed line at ``marked``."""
    values = [value for one in series.values() for value in one if value is not None]
    chart = Chart(title, x_name, _wide(min(xs), max(xs)), _wide(min(values), max(values)))
    if marked is not None:
        chart.mark = f"M{chart.at(marked, chart.y_range[0])[0]} {BOTTOM}V{TOP}"
    for number, (name, one) in enumerate(series.items()):
        points = [chart.at(x, y) for x, y in zip(xs, one, strict=True) if y is not None]
        chart.curves.append(Curve(name, "M" + "L".join(f"{x} {y}" for x, y in points)))
        chart.dots += [Dot(number, x, y, SMALLEST_DOT) for x, y in points]
    return chart


def scatter(
    title: str, names: tuple[str, str], points: Sequence[tuple[float, float, float]], limits: tuple[float, float]
) -> Chart:
    """Points (x, y, weight) between the same limits in both directions, with the diagonal where x = y.

    The area of a point grows with its weight.
    """
    chart = Chart(title, names[0], limits, limits, names[1], mark=f"M{LEFT} {BOTTOM}L{RIGHT} {TOP}")
    heaviest = max((weight for *_, weight in points), default=1)
    for x, y, weight in points:
        radius = max(SMALLEST_DOT, LARGEST_DOT * math.sqrt(weight / heaviest)) if heaviest > 1 else SMALLEST_DOT
        chart.dots.append(Dot(0, *chart.at(x, y), round(radius, 1)))
    return chart


def _wide(low: float, high: float) -> tuple[float, float]:
    """Limits that are apart, even where the data are not."""
    room = 0.0 if high > low else abs(low) / 2 or 0.5
    return low - room, high + room


def round_numbers(low: float, high: float) -> list[float]:
    """Round numbers from low to high, at most MAX_TICKS.

    Example:
        >>> round_numbers(0.13, 0.52)
        [0.2, 0.3, 0.4, 0.5]
    """
    exact = (high - low) / (MAX_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(exact))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= exact * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
