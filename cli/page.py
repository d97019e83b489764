"""``mlcore page``: a model, or a network by hand, in one HTML file that works without a network or a server."""

from pathlib import Path
from typing import Annotated

import typer

from mlcore.errors import InputError
from mlcore.exercise import page as network_pages
from mlcore.files import check_outputs
from mlcore.sentiment import page as classifier_pages

from .compression import size_in_bytes
from .exercise import Numbers
from .options import Output, option, path_option
from .output import PAGE, compilation, load, write_output

MODEL = "A file written by train-sentiment."


def page(
    output: Output,
    model: Annotated[Path | None, typer.Argument(metavar="MODEL", help=MODEL, show_default="a network")] = None,
    net: Annotated[Path | None, path_option("Network in TOML or JSON.", default="the exercise's")] = None,
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
    check_outputs([path for path in (model, net) if path], output=(output, PAGE))
    with compilation():
        if model:
            content = classifier_pages.classifier_page(load(model), model.name, max_size)
        else:
            title = f"Network {net.name}" if net else "Backpropagation by hand"
            content = network_pages.network_page(Numbers(net).problem(), title)
    write_output(output, content.encode())
