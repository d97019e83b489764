"""The command verify: a check of the compiled kernels on this machine."""

from typing import TYPE_CHECKING

import typer

from .output import Json, print_json

if TYPE_CHECKING:
    from mlcore.kernels.verification import Verification


def verify(as_json: Json = False) -> None:
    """Example: mlcore verify

    Compares every compiled kernel with a naive twin in NumPy, every gradient
    with finite differences, and a training by two threads with one by a single
    thread, on this machine. Exits with code 1 if an error is out of tolerance.
    """
    from mlcore.kernels import verification

    from . import render

    with render.compilation(), render.Activity("Verifying") as activity:
        result = verification.verify(lambda kernel: activity.update(f"Verifying {kernel}"))
    if as_json:
        print_json("verify", result)
    else:
        _show(result)
    if not result.ok:
        raise typer.Exit(1)


def _show(verification: "Verification") -> None:
    """The largest error of every kernel."""
    from .render import Grid, out, show

    grid = Grid("kernel", "against", "type", "largest error", "tolerance", "", left=3)
    grid.columns[-1].justify = "left"
    for check in verification.results:
        state = ("ok", "green") if check.ok else ("WRONG", "bold red")
        error = f"{check.largest_error:.1e}", f"{check.tolerance:.0e}"
        grid.add(check.kernel, check.against, check.dtype, *error, state)
    out.print(grid)
    wrong = ", ".join(check.kernel for check in verification.results if not check.ok)
    show(f"\nOut of tolerance: {wrong}" if wrong else "\nAll kernels agree with their twins.", "bold")
