"""``mlcore compress``: a model in a smaller file, and what that changes."""

import re
from pathlib import Path
from typing import Annotated

from mlcore.errors import InputError
from mlcore.files import STANDARD_STREAM, check_outputs
from mlcore.sentiment import compression, evaluation, model_file
from mlcore.text.layout import Layout
from mlcore.text.pool import available_cores

from . import render
from .dataset import for_model, read
from .options import DATA, Json, ModelFile, option, path_option, with_options
from .output import MODEL, compilation, load, present, write_output

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
MAX_CHANGES = 5


def size_in_bytes(text: str) -> int:
    """The bytes of a size such as 2MB; raises InputError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if not found or found[2] not in UNITS or len(found[1]) > 15:
        raise InputError("expected a number with B, KB, MB, GB or KiB, such as 2MB", value=text)
    return int(float(found[1]) * UNITS[found[2]])


@with_options
def compress(
    *,
    model: ModelFile,
    output: Annotated[Path, path_option("Where to write it.", "--output", "-o")],
    max_size: Annotated[int, option("SIZE", "Size of the file, such as 100KB.", parser=size_in_bytes)],
    data: Annotated[list[Path] | None, path_option(DATA)] = None,
    layout: Layout,
    as_json: Json = False,
) -> None:
    """Example: mlcore compress big.safetensors -o small.safetensors --max-size 1MB

    Write a model that takes no more than so many bytes and predicts almost the
    same, for every command: with the features that matter most, in fewer
    dimensions of 8 bits. --data compares both models on labelled texts, of
    which it measures those that mlcore evaluate does; what else is there helps
    to choose the features. A model that is small enough is copied.
    """
    if output == STANDARD_STREAM:
        raise InputError("--output is standard output, where the results are printed; give a file.")
    check_outputs([model, *(data or [])], output=(output, MODEL))
    with compilation(as_json):
        loaded = load(model)
        dataset = read(data, for_model(layout, loaded), as_json, keep_texts=True) if data else None
        with render.Activity(f"Compressing {model}", as_json):
            small, found = compression.compress_and_measure(loaded, max_size, dataset, available_cores())
            content = model_file.content_of(small)
    write_output(output, content)  # first, for whoever reads the results may leave early
    present("compress", found, _show, as_json)


def _show(found: "compression.Compression") -> None:
    """Sizes and figures before and after, and some of the texts that are decided differently."""
    sizes = {"bytes": found.bytes, "features": found.features, "dimensions": found.dim}
    rows = [(name, f"{before:,}", f"{after:,}") for name, (before, after) in sizes.items()]
    if found.measured:
        after = _figures(found.measured.after)
        rows += [(name, figure, after[name]) for name, figure in _figures(found.measured.before).items()]
    render.table(("", "original", "compressed"), rows)
    if found.bytes[0] == found.bytes[1]:
        render.paragraph("The original is small enough: it is copied.")
    if found.measured:
        _show_changes(found.measured)
    else:
        render.paragraph("--data compares what both predict for labelled texts.")


def _figures(found: "evaluation.AnyEvaluation") -> dict[str, str]:
    """The main figures of an evaluation."""
    if isinstance(found, evaluation.RatingEvaluation):
        return {"root mean square error": f"{found.rmse:.4f}", "loss": f"{found.loss:.4f}"}
    if isinstance(found, evaluation.MultiLabelEvaluation):
        return {"micro F1": render.number(found.micro.f1, ".2%"), "loss": f"{found.loss:.4f}"}
    return {"accuracy": f"{found.accuracy:.2%}", "loss": f"{found.loss:.4f}"}


def _show_changes(found: "compression.Measured") -> None:
    texts = f"{found.before.n:,} texts of {found.data}" + (f", {found.part} split" if found.part != "all" else "")
    if found.agreement is None:
        render.paragraph(f"On average, the ratings of the {texts} differ by {found.difference:.4g}; the most for:")
    else:
        alike = f"Both decide alike for {found.agreement:.2%} of the {texts}"
        render.paragraph(f"{alike}; on average, probabilities differ by {found.difference:.4f}.")
    for change in found.changes[:MAX_CHANGES]:
        before, after, truth = map(render.shortened, (change.before, change.after, change.truth))
        render.paragraph(f"{change.place}: {after}, not {before} (truth: {truth})")
        render.show(f"  {render.shortened(change.text, render.COLUMNS - 2)}")
    if (more := len(found.changes) - MAX_CHANGES) > 0:
        render.show(f"  and {more:,} more, which --json has")
