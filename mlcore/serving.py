"""A trained model behind HTTP: a Starlette application for any ASGI server, and uvicorn to run it.

It answers in the JSON of the command line. Limits keep a request's memory and time bounded, except for how many there
are at a time: a server that strangers reach belongs behind a proxy.
"""

import asyncio
import json
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mlcore import __version__
from mlcore.errors import InputError, ModelFileError
from mlcore.sentiment.answers import Answers
from mlcore.sentiment.arguments import described
from mlcore.sentiment.explanation import explain
from mlcore.sentiment.export import server_page
from mlcore.sentiment.model import Model
from mlcore.sentiment.model_file import load_model
from mlcore.sentiment.prediction import predict
from mlcore.templates import fill

MAX_BODY = 8_000_000  # bytes
MAX_TEXTS = 1_000
MAX_LENGTH = 100_000  # characters of a text
MAX_EXPLAINED = 20_000  # characters of all texts: the work grows with the square of the number of words
MAX_PROBABILITIES = 200_000  # of texts times labels
PATIENCE, GRACE = 30, 8  # seconds for a body to arrive, and for what is running to end; Docker kills after 10
EVERY = 1.0  # seconds between two looks at the file
SMALL, FEW = 4096, 100  # bytes of a body, and labels, whose prediction takes less time than to hand it to a thread
PREDICTIONS = "mlcore.predictions/1"
STOPS = "The server stops; send the request again."
EXAMPLE = '{"text": "A warm film."}'

# In OpenAPI 3.1, what the server understands
DESCRIPTION = json.loads(
    fill("openapi.json.j2", str, version=__version__, max_length=MAX_LENGTH, max_texts=MAX_TEXTS, example=EXAMPLE)
)
PAGE = "text", "output"  # fields of what the page asks
Answer = Callable[[Model, list[str], dict[str, Any]], dict[str, Any]]
log = logging.getLogger(__name__)


def predictions(model: Model, texts: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """For each text what ``mlcore predict`` prints as JSON."""
    most = max(1, MAX_PROBABILITIES // max(len(model.labels), 1))
    if len(texts) > most:
        raise InputError(f"expected at most {most:,} texts for {len(model.labels):,} labels; got {len(texts):,}")
    return {"schema": PREDICTIONS, "predictions": predict(model, texts).to_dicts(Answers(**options))}


def explanations(model: Model, texts: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """What ``mlcore explain`` prints as JSON."""
    if (size := sum(map(len, texts))) > MAX_EXPLAINED:
        raise InputError(f"expected at most {MAX_EXPLAINED:,} characters to explain; got {size:,}")
    return {"schema": "mlcore.explain/1", "explanations": [explain(model, text, **options).to_dict() for text in texts]}


def shown(model: Model, texts: list[str], options: dict[str, Any]) -> str:
    """A prediction, and unless the text is too long its explanation, as HTML; nothing of an empty text."""
    if not texts[0].strip():
        return ""
    (prediction,) = predict(model, texts).to_dicts(Answers())
    explanation = explain(model, *texts, **options) if len(texts[0]) <= MAX_EXPLAINED else None
    facts: dict[str, Any] = {"labels": model.labels, "limit": MAX_EXPLAINED}
    return fill("answer.html", prediction=prediction, explanation=explanation, **facts)


OPERATIONS: dict[str, Answer] = {"/predict": predictions, "/explain": explanations}


def fields_of(operation: str) -> list[str]:
    """The fields that a request may have, as they are described."""
    content = DESCRIPTION["paths"][operation]["post"]["requestBody"]["content"]["application/json"]
    return list(content["schema"]["properties"])


def asked(body: bytes, fields: Collection[str]) -> tuple[list[str], dict[str, Any]]:
    """The texts in the body of a request, and the other fields.

    Raises: InputError if it is anything else.
    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not JSON: {error}; expected an object such as {EXAMPLE}") from None
    if not isinstance(given, dict):
        raise InputError(f"the body is {described(given)}; expected an object such as {EXAMPLE}")
    given = {name: value for name, value in given.items() if value is not None}
    if unknown := given.keys() - fields:
        raise InputError(f"{described(min(unknown))} is not a field; expected {', '.join(fields)}")
    if ("text" in given) == ("texts" in given):
        raise InputError(f"expected either text or texts, such as {EXAMPLE}")
    texts = [given.pop("text")] if "text" in given else given.pop("texts")
    if not isinstance(texts, list):
        raise InputError(f"texts is {described(texts)}; expected a list of texts")
    if len(texts) > MAX_TEXTS:
        raise InputError(f"expected at most {MAX_TEXTS:,} texts; got {len(texts):,}")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts[{i}] is {described(text)}; expected a text")
        if len(text) > MAX_LENGTH:
            raise InputError(f"texts[{i}] has {len(text):,} characters; expected at most {MAX_LENGTH:,}")
    return texts, given


def ready_model(path: Path) -> tuple[Model, Callable[[], str]]:
    """A model that is ready to answer, and what gives the page that asks it, which is made once.

    Raises: ModelFileError, OSError, as load_model.
    """
    if path.is_fifo():  # whose reader may wait for ever
        raise ModelFileError(f"{path} is a pipe, which cannot be read once more; give a file.")
    model = load_model(path)
    for answer in OPERATIONS.values():  # compiles, or loads what is compiled
        answer(model, ["a film"], {})
    return model, cache(partial(server_page, model, path.name))


def stamp_of(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Service:
    """Answers requests with the newest model in a file; until a replaced file is loaded, with the one before."""

    def __init__(self, path: Path) -> None:
        self.path, self.stamp, self.problem = path, stamp_of(path), ""
        self.loaded = *ready_model(path), self.stamp
        self.waiting: dict[Answers, tuple[list[str], asyncio.Future[list[dict[str, Any]]]]] = {}  # texts of requests

    @property
    def model(self) -> Model:
        """The model that answers."""
        return self.loaded[0]

    def watch(self) -> None:
        """Look for a new file now and then."""
        while True:
            time.sleep(EVERY)
            self.refresh()

    def refresh(self) -> None:
        """Load the file if it was replaced; where it cannot be used, the model stays."""
        if (stamp := stamp_of(self.path)) == self.stamp:
            return
        self.stamp = stamp  # whatever happens to the file from now on changes it again
        try:
            self.loaded, self.problem = (*ready_model(self.path), stamp), ""
            log.warning("%s was replaced: the new model answers now.", self.path)
        except Exception as error:  # whatever it is: the server goes on, and looks for later files
            self.problem = f"{type(error).__name__}: {error}".replace(str(self.path), self.path.name)  # no folders
            log.warning("%s was replaced, and cannot be used: the earlier model answers on. %s", self.path, error)

    async def answer(self, operation: str, request: Request) -> Response:
        """The answer to a request with texts."""
        body, model, fields = await body_of(request), self.model, fields_of(operation)
        if operation == "/predict" and len(body) <= SMALL and len(model.labels) <= FEW:
            texts, options = asked(body, fields)
            return as_json({"schema": PREDICTIONS, "predictions": await self.together(texts, Answers(**options))})
        return await in_thread(lambda: as_json(OPERATIONS[operation](model, *asked(body, fields))))

    async def together(self, texts: list[str], answers: Answers) -> list[dict[str, Any]]:
        """Predict texts with those of all requests that have just arrived, since many cost little more than one."""
        loop = asyncio.get_running_loop()
        if answers not in self.waiting:
            self.waiting[answers] = [], loop.create_future()
            loop.call_soon(self.predict_waiting, answers)
        waiting, future = self.waiting[answers]
        first = len(waiting)
        waiting += texts
        found = await asyncio.shield(future)  # the others still want it where this request is cancelled
        return found[first : first + len(texts)]

    def predict_waiting(self, answers: Answers) -> None:
        """Predict the texts of all requests that wait for such answers."""
        texts, future = self.waiting.pop(answers)
        try:
            future.set_result(predict(self.model, texts).to_dicts(answers))
        except Exception as error:
            future.set_exception(error)

    async def page(self, request: Request) -> Response:
        """The page of the model."""
        _, page, _ = self.loaded
        return await in_thread(lambda: HTMLResponse(page()))

    async def answer_on_page(self, request: Request) -> Response:
        """What the page shows for a text."""
        body, model = await body_of(request), self.model
        policy = {"Content-Security-Policy": "default-src 'none'"}  # as a document of its own, it may load nothing
        return await in_thread(lambda: HTMLResponse(shown(model, *asked(body, PAGE)), headers=policy))

    async def health(self, request: Request) -> Response:
        """Which model answers, and what is wrong with the file if it cannot be used."""
        model, _, stamp = self.loaded
        modified = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((stamp or (0,))[0] // 10**9))
        facts = {"status": "ok", "model": self.path.name, "modified": modified, "labels": len(model.labels)}
        return as_json(facts | {"problem": self.problem or None, "process": os.getpid(), "version": __version__})


async def in_thread(work: Callable[[], Response]) -> Response:
    """The response that takes some time to make, unless the server stops."""
    try:
        return await asyncio.to_thread(work)
    except asyncio.CancelledError:
        raise HTTPException(503, STOPS) from None


async def body_of(request: Request) -> bytes:
    """The body of a request, as long as it is neither too large nor too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise HTTPException(413, f"The body has more than {MAX_BODY:,} bytes; send fewer texts at a time.")
    except asyncio.CancelledError:
        raise HTTPException(503, STOPS) from None
    except TimeoutError:
        raise HTTPException(408, f"The body did not arrive within {PATIENCE} seconds.") from None
    return bytes(body)


def as_json(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response in ASCII: texts may have what UTF-8 cannot express."""
    return Response(json.dumps(content, allow_nan=False), status, headers, "application/json")


async def refused(request: Request, error: Exception) -> Response:
    """What is wrong with a request, or with the server, as JSON."""
    if isinstance(error, HTTPException):
        more = " GET /openapi.json describes all requests." * (error.status_code in (404, 405))
        return as_json({"error": error.detail.rstrip(".") + "." + more}, error.status_code, error.headers)
    if isinstance(error, InputError):
        return as_json({"error": str(error)}, 422)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # which nobody reads
    return as_json({"error": "The server failed on this request; its log says why."}, 500)


def application(path: Path) -> Starlette:
    """An application that answers with the model in a file.

    Raises: ModelFileError, OSError, as load_model.
    """
    service = Service(path)
    threading.Thread(target=service.watch, daemon=True).start()
    posts = {"/": service.answer_on_page} | {place: partial(service.answer, place) for place in OPERATIONS}
    gets = {"/": service.page, "/health": service.health, "/openapi.json": lambda request: as_json(DESCRIPTION)}
    kinds: tuple[Any, ...] = (HTTPException, InputError, ClientDisconnect, Exception)
    return Starlette(
        routes=[Route(place, endpoint, methods=["POST"]) for place, endpoint in posts.items()]
        + [Route(place, endpoint) for place, endpoint in gets.items()],
        exception_handlers=dict.fromkeys(kinds, refused),
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket at which clients wait from now on; port 0 takes one that is free.

    Raises: OSError if it cannot.
    """
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else answers wait 40 ms for acknowledgements
        return listener
    except OSError as error:
        why = (error.strerror or "").partition(" (")[0]
        reason = f"cannot listen on {host}, port {port} ({why}); choose another host or port"
        raise OSError(error.errno, reason) from None


def run(path: Path, started: Starlette, listener: socket.socket, workers: int) -> None:
    """Serve a model until SIGINT or SIGTERM, and finish the requests that are running then.

    ``started``: its application. Each further worker is a process of its own, which is replaced if it dies.
    """
    spawn, ended = multiprocessing.get_context("spawn"), threading.Event()

    def start() -> Any:
        process = spawn.Process(target=serve_in_worker, args=(path, listener))
        process.start()
        return process

    def supervise() -> None:
        processes = [start() for _ in range(workers - 1)]
        while not ended.wait(EVERY):
            processes = [process if process.is_alive() else start() for process in processes]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(GRACE + 1)
            process.kill()  # a signal is lost on one that was just starting

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    try:
        answer_at(listener, started)
    finally:
        ended.set()
        supervisor.join()


def serve_in_worker(path: Path, listener: socket.socket) -> None:
    """Serve a model in a further process, as long as the first one lives."""

    def watch() -> None:
        if parent:
            parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    parent = multiprocessing.parent_process()
    threading.Thread(target=watch, daemon=True).start()
    try:
        answer_at(listener, application(path))
    except (ModelFileError, OSError, MemoryError) as error:  # until there is a file that can be used, others answer
        log.warning("A worker cannot start. %s", error)
        time.sleep(PATIENCE)


def answer_at(listener: socket.socket, application: Starlette) -> None:
    """Answer the clients of a socket until a signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # uvicorn handles them, and raises them once more at the end
    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "lifespan": "off"}
    uvicorn.Server(uvicorn.Config(application, **quiet, timeout_graceful_shutdown=GRACE)).run([listener])
