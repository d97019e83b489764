"""``mlcore serve``: a model behind HTTP."""

from typing import Annotated

import typer

from mlcore.text import streams

from . import render
from .options import ModelFile
from .output import compilation


def serve(
    model: ModelFile,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Listen on this address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
) -> None:
    """Example: mlcore serve sentiment.safetensors

    Answer requests over HTTP until Ctrl-C or SIGTERM: POST /predict and
    POST /explain take and give JSON, GET / is the page of mlcore page, and
    GET /openapi.json describes all of it. A new file in place of the model is
    taken up within seconds. Other machines reach it with --host 0.0.0.0.
    """
    for module in ("starlette", "uvicorn"):
        streams.optional(module, "serve", "mlcore serve")
    from mlcore import serving

    with serving.listen(host, port) as listener:
        with compilation():
            application = serving.application(model)
        address = f"[{host}]" if ":" in host else host
        render.say(f"Serving {model} on http://{address}:{listener.getsockname()[1]}; Ctrl-C stops it.")
        serving.run(model, application, listener, workers)
    render.say("mlcore: stopped.")
