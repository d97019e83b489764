"""Worked exercises that others have published, in ``published.toml``: every printed digit is right."""

import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from mlcore.exercise.descent import Update, descend
from mlcore.exercise.problem import read_problem
from mlcore.exercise.work import work

SHEETS = tomllib.loads(Path(__file__).with_name("published.toml").read_text())["sheets"]


def agrees(value, printed):
    """Whether a printed number is the value rounded, or truncated if it ends in t, to the digits it has."""
    if printed == "?":
        return True
    exact, digits = Fraction(value), Decimal(printed.rstrip("t"))
    unit = Fraction(10) ** int(digits.as_tuple().exponent)
    apart = abs(exact) - abs(Fraction(digits))
    return 0 <= apart < unit if printed.endswith("t") else abs(exact - Fraction(digits)) <= unit * Fraction("0.5001")


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet["name"])
def test_published_numbers(sheet, tmp_path):
    (tmp_path / "net.toml").write_text(sheet["net"])
    problem = read_problem(tmp_path / "net.toml")
    found, after = work(problem), descend(problem, 1, Update(sheet["rate"]))
    trace, gradients = found.best.trace, found.best.gradients[0]
    values = {"J": [found.best.loss], "new J": after.losses[1:], "y_hat": trace.y_hat[0]}
    for number, (z, a, delta) in enumerate(zip(trace.z, trace.a, gradients.deltas, strict=True), start=1):
        values |= {f"z {number}": z[0], f"a {number}": a[0], f"delta {number}": delta[0]}
    values |= {f"d{key}": gradient.ravel() for key, gradient in gradients.named.items()}
    values |= {f"new {key}": array.ravel() for key, array in after.arrays.items()}
    for key, printed in sheet["published"].items():
        assert all(agrees(*pair) for pair in zip(values[key], printed.split(), strict=True)), (key, values[key])
