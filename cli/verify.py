"""``mlcore verify``: a check of the compiled kernels on this machine."""

import typer

from mlcore.kernels import verification

from . import render
from .options import Json
from .output import answer


def verify(as_json: Json = False) -> None:
    """Example: mlcore verify

    Compare the compiled layers, losses and embedding with naive twins in
    NumPy, and every gradient with finite differences, on this machine. The exit
    code is 1 if an error is out of tolerance.
    """
    with render.Activity("Verifying"):
        found = verification.verify()
    if not answer("verify", found, _show, as_json).ok:
        raise typer.Exit(1)


def _show(found: "verification.Verification") -> None:
    rows = []
    for check in found.results:
        state = ("ok", "green") if check.ok else ("WRONG", "bold red")
        error = f"{check.largest_error:.1e}", f"{check.tolerance:.0e}"
        rows.append((check.kernel, check.against, check.dtype, *error, state))
    render.table(("kernel", "against", "type", "error", "tolerance", ""), rows, left=3)
    wrong = ", ".join(check.kernel for check in found.results if not check.ok)
    render.show(f"\nOut of tolerance: {wrong}" if wrong else "\nAll kernels agree with their twins.", "bold")
