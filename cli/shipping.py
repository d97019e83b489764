"""``mlcore compress``, ``export``, ``page`` and ``serve``: a model, or a network by hand, for other places."""

import re
from pathlib import Path
from typing import Annotated

import typer

from mlcore.errors import InputError, counted
from mlcore.exercise import page as network_pages
from mlcore.exercise import problem
from mlcore.files import check_files
from mlcore.sentiment import compression, evaluation, model_file
from mlcore.sentiment import export as exporting
from mlcore.text import streams
from mlcore.text.layout import Layout
from mlcore.text.pool import available_cores

from . import render
from .dataset import for_model, read
from .options import A_MODEL, Json, ModelFile, Output, option, parse_file
from .output import MODEL, PAGE, answer, write_output

ONNX, VOCABULARY = rb"\x12\x06mlcore", rb'"schema": "mlcore\.vocabulary/'  # what files of these kinds have
MAX_CHANGES = 5


def size_in_bytes(text: str) -> int:
    """The bytes of a size such as 2MB; raises InputError."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d+)?) *([kmg]?)b?", text.strip().lower())
    if not found:
        raise InputError("expected a number with KB, MB or GB, such as 2MB", value=text)
    return int(float(found[1]) * 1000 ** ("", "k", "m", "g").index(found[2]))


def compress(
    *,
    model: ModelFile,
    output: Annotated[Path, option("PATH", "Where to write it.", "--output", "-o", parser=parse_file)],
    max_size: Annotated[int, option("SIZE", "Size of the file, such as 100KB.", parser=size_in_bytes)],
    data: Annotated[list[Path] | None, option("PATH", "Labelled texts; may be repeated.")] = None,
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
    check_files([model, *(data or [])], output=(output, MODEL))
    loaded = model_file.load_model(model)
    dataset = read(data, for_model(layout, loaded), keep_texts=True) if data else None
    with render.Activity(f"Compressing {model}"):
        small, found = compression.compress_and_measure(loaded, max_size, dataset, available_cores())
        content = model_file.content_of(small)
    write_output(output, content)  # first, for whoever reads the results may leave early
    answer("compress", found, _show_compression, as_json)


def export(
    model: ModelFile,
    output: Annotated[Path, option("PATH", "Where to write it: a name that ends with .onnx.", "--output", "-o")],
) -> None:
    """Example: mlcore export sentiment.safetensors -o sentiment.onnx

    Write the network as ONNX, for ONNX Runtime and others, and beside it, as
    .json, the vocabulary with the rule for tokens, for readers in any language.
    Inputs are the ids of the features of all texts and the offsets of the
    texts in them, outputs logits and probabilities. It needs mlcore[onnx].
    """
    if output.suffix.lower() != ".onnx":
        raise InputError("expected a name that ends with .onnx", parameter="output", value=str(output))
    beside = output.with_suffix(".json")
    check_files([model], output=(output, ONNX))
    check_files([model], output=(beside, VOCABULARY))
    loaded = model_file.load_model(model)
    contents = {output: exporting.onnx_model(loaded), beside: exporting.vocabulary_json(loaded)}
    for file, content in contents.items():
        write_output(file, content)


def page(
    output: Output,
    model: Annotated[Path | None, typer.Argument(metavar="MODEL", help=A_MODEL, show_default="a network")] = None,
    net: Annotated[Path | None, option("PATH", "Network in TOML or JSON.", default="the exercise's")] = None,
    max_size: Annotated[int | None, option("SIZE", "Most for a model, such as 3MB.", parser=size_in_bytes)] = None,
) -> None:
    """Example: mlcore page sentiment.safetensors -o demo.html

    Write a web page that holds the model: it predicts what is typed, pasted or
    dropped as a CSV file, and shows the exact contribution of every word.
    Without MODEL it holds the network of the exercise, or that in --net FILE:
    its numbers can be changed, and forward values, gradients, the chain rule
    and what happens at kinks follow at once; it also marks your own answers.
    With --max-size, a model that is too large is compressed.

    The page is one file, which needs neither a network nor a server, and opens
    on phones.
    """
    if model and net:
        raise InputError(f"A page holds a model or a network; leave out {model} or --net.")
    if max_size and not model:
        raise InputError("--max-size is for the page of a model; leave it out, or give a model.")
    check_files([model, net], output=(output, PAGE))
    if model:
        content = exporting.classifier_page(model_file.load_model(model), model.name, max_size)
    elif net:
        content = network_pages.network_page(problem.read_problem(net), f"Network {net.name}")
    else:
        content = network_pages.network_page(problem.default_problem(), "Backpropagation by hand")
    write_output(output, content.encode())


def serve(
    model: ModelFile,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Listen on this address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
) -> None:
    """Example: mlcore serve sentiment.safetensors

    Answer requests over HTTP until Ctrl-C or SIGTERM: POST /predict and
    POST /explain take and give JSON, GET / is a page that shows answers to
    what is typed, and GET /openapi.json describes all of it. A new file in
    place of the model is taken up within seconds. Other machines reach it with
    --host 0.0.0.0.
    """
    for module in ("starlette", "uvicorn"):
        streams.optional(module, "serve", "mlcore serve")
    from mlcore import serving

    with serving.listen(host, port) as listener:
        application = serving.application(model)
        address = f"[{host}]" if ":" in host else host
        render.say(f"Serving {model} on http://{address}:{listener.getsockname()[1]}; Ctrl-C stops it.")
        serving.run(model, application, listener, workers)
    render.say("mlcore: stopped.")


# Tables ---------------------------------------------------------------------------------------------------


def _show_compression(found: "compression.Compression") -> None:
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
    if isinstance(found, evaluation.RatingEvaluation):
        return {"root mean square error": f"{found.rmse:.4f}", "loss": f"{found.loss:.4f}"}
    if isinstance(found, evaluation.MultiLabelEvaluation):
        return {"micro F1": render.number(found.micro.f1, ".2%"), "loss": f"{found.loss:.4f}"}
    return {"accuracy": f"{found.accuracy:.2%}", "loss": f"{found.loss:.4f}"}


def _show_changes(found: "compression.Measured") -> None:
    texts = f"{counted(found.before.n, 'text')} of {found.data}{f', {found.part} split' * (found.part != 'all')}"
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
        render.show(f"  {more:,} more are in the output of --json")
