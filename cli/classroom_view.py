"""Table of check."""

from .exercise_view import matrix
from .render import Grid, out, paragraph, show

STATUS = {
    "right": ("right", "green"),
    "right-by-convention": ("right by convention", "green"),
    "in-subdifferential": ("in the subdifferential", "green"),
    "wrong": ("wrong", "bold red"),
}


def marking(document: dict) -> None:
    """Each answer with its verdict, the truth, and the mistake that it looks like."""
    grid = Grid("answer", "verdict", "truth", left=3)
    for entry in document["answers"]:
        truth = entry["truth"] if isinstance(entry["truth"], list) else [[entry["truth"]]]
        grid.add(entry["name"], STATUS[entry["status"]], matrix(truth))
    out.print(grid)
    for entry in document["answers"]:
        for line in filter(None, [entry["remark"], *entry["mistakes"]]):
            paragraph(f"{entry['name']}: {line}")
    right = sum(entry["status"] != "wrong" for entry in document["answers"])
    show(f"\n{right} of {len(document['answers'])} right.", "bold")
