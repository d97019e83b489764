"""``mlcore page``: a model, or a network by hand, in one HTML file that works without a network or a server."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mlcore.files import check_outputs

from .compression import size_in_bytes
from .exercise import Numbers, ReluAtZero, refuse
from .output import PAGE, Output, compilation, load, with_options, write_output

Model = Annotated[
    Path | None, typer.Argument(metavar="MODEL", help="A file written by train-sentiment.", show_default="a network")
]
MaxSize = Annotated[
    int | None,
    typer.Option(metavar="SIZE", help="Size of the page, such as 3MB.", parser=size_in_bytes, show_default="any"),
]


@with_options
def page(
    *, model: Model = None, output: Output, max_size: MaxSize = None, numbers: Numbers, relu_at_zero: ReluAtZero = None
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
    if model:
        of_network = asdict(numbers) | {"relu-at-zero": relu_at_zero}
        refuse(of_network, f"is for the page of a network; leave it out, or leave out {model}")
    else:
        refuse({"max-size": max_size}, "is for the page of a model; leave it out, or give a model")
    check_outputs({"output": output}, [path for path in (model, numbers.net) if path], {"output": PAGE})
    with compilation():
        if model:
            from mlcore.sentiment.page import classifier_page

            content = classifier_page(load(model), model.name, max_size)
        else:
            from mlcore.exercise.page import network_page

            title = f"Network {numbers.net.name}" if numbers.net else "Backpropagation by hand"
            content = network_page(numbers.problem(), title, relu_at_zero)
    write_output(output, content.encode())
