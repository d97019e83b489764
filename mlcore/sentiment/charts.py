"""Charts for an HTML page, whose template draws them as SVG: places in pixels, and ticks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_TICKS = 6
SMALL_DOT, LARGE_DOT = 2.5, 9.0
Point = tuple[float, float, float]  # x, y, and the radius of the dot


@dataclass(frozen=True)
class Chart:
    """Series of points, joined by lines if there is a value to mark on the x-axis, else with the diagonal x = y."""

    title: str
    x_name: str
    y_name: str
    series: Mapping[str, Sequence[Point]]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    joined: bool
    marked: float | None = None
    width, height, left, right, top, bottom = 460, 300, 56, 444, 16, 256

    def x(self, value: float) -> float:
        """Place on the x-axis."""
        low, high = self.x_range
        return round(self.left + (value - low) / (high - low) * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        """Place on the y-axis, which grows downwards."""
        low, high = self.y_range
        return round(self.bottom - (value - low) / (high - low) * (self.bottom - self.top), 1)

    def x_ticks(self) -> list[float]:
        """Round numbers along the x-axis, whole ones below lines."""
        return [x for x in round_numbers(*self.x_range) if not self.joined or x == round(x)]

    def y_ticks(self) -> list[float]:
        """Round numbers along the y-axis."""
        return round_numbers(*self.y_range)


def span(values: Sequence[float]) -> tuple[float, float]:
    """Limits of the values, which are apart even where the values are equal."""
    low, high = min(values), max(values)
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
