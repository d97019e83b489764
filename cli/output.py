"""What the commands share: options, the two views of a result, files that are written, and standard input."""

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import typer

from mlcore.errors import ModelFileError
from mlcore.files import STANDARD_STREAM as STANDARD_STREAM
from mlcore.files import check_once, write_beside
from mlcore.results import Result

from . import render

if TYPE_CHECKING:
    from mlcore.sentiment.model import Model

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A file written by train-sentiment.")]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write it; - is standard output.")
]
TEXTS: Any = typer.Argument(metavar="TEXT", help="Texts.", show_default="standard input")
Texts = Annotated[list[str] | None, TEXTS]
PAGE = rb'<meta name="generator" content="mlcore">'  # what files of these kinds have
VECTORS = rb"\A\d+ \d+\n"
MODEL = b'"mlcore"'
Found = TypeVar("Found", bound=Result)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator of a command: an option for each field of its parameters that are dataclasses, such as Settings."""
    given = inspect.signature(command).parameters
    groups: dict[str, Any] = {name: given[name].annotation for name in given if is_dataclass(given[name].annotation)}
    options: list[inspect.Parameter] = []
    for name, parameter in given.items():
        if name not in groups:
            options.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        for field in _options(groups[name]):
            flag, about = f"--{field.name.replace('_', '-')}", field.metadata
            names = [flag + f"/--no-{flag[2:]}" * (field.default is not False)] * (field.type is bool)
            shown = {
                "help": about["help"],
                "metavar": about.get("metavar"),
                "show_default": about.get("automatic", True),
            }
            kind: Any = field.type
            kind = kind | None if "automatic" in about else kind
            annotation: Any = Annotated[kind, typer.Option(*names, **shown)]
            options.append(parameter.replace(name=field.name, default=field.default, annotation=annotation))

    @wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in _options(group)})
        command(**values)

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


def _options(group: Any) -> list[Any]:
    """The fields that are options."""
    return [field for field in fields(group) if "help" in field.metadata]


def load(path: Path) -> "Model":
    """The model in a file."""
    from mlcore.sentiment.model_file import load_model

    try:
        return load_model(path)
    except MemoryError as error:
        raise ModelFileError(f"{path} is too large for the memory of this machine") from error


def print_json(command: str, result: Result | dict[str, Any]) -> None:
    """Print the result of a command as strict JSON (RFC 8259), with the name of its schema."""
    fields = result.to_dict() if isinstance(result, Result) else result
    print(json.dumps({"schema": f"mlcore.{command}/1"} | fields, allow_nan=False))


@contextmanager
def compilation(quiet: bool = False) -> Iterator[None]:
    """Show which kernels are being compiled, if any has to be."""
    from mlcore.kernels.compiling import watch_compilation

    activities: list[render.Activity] = []

    def started(name: str) -> None:
        if not activities:
            if not quiet:
                render.say("First run: compiling kernels. Later runs load them from the cache.")
            activities.append(stack.enter_context(render.Activity("", quiet)))  # which would load Rich
        activities[0].update(f"Compiling {name}")

    with ExitStack() as stack, watch_compilation(started):
        yield


def answer(command: str, compute: Callable[[], Found], view: Callable[[Found], None], as_json: bool) -> Found:
    """Show, and return, the result of one library call, and on stderr which kernels are compiled for it."""
    with compilation(as_json):
        result = compute()
    if as_json:
        print_json(command, result)
    else:
        view(result)
    return result


def write_output(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file, or to standard output for ``-``: this content, or what a function writes."""

    def write(file: BinaryIO) -> None:
        content(file) if callable(content) else file.write(content)

    if path == STANDARD_STREAM:
        sys.stdout.write("")  # finds out whether it is closed
        write(sys.stdout.buffer)
    else:
        done = "Replaced" if path.exists() else "Wrote"
        write_beside(path, write)
        render.say(f"{done} {path}.")


def check_standard_input(paths: Iterable[Path | None]) -> None:
    """Raises: InputError if standard input is given more than once."""
    check_once(path for path in paths if path and path == STANDARD_STREAM)


def standard_input(hint: str) -> BinaryIO:
    """The bytes of standard input; whoever sits at a terminal is told what to do."""
    if sys.stdin is None:
        raise OSError("standard input is closed; give texts as arguments, or lines on standard input")
    if sys.stdin.isatty():
        render.say(hint)
    return sys.stdin.buffer


def kind_of(argument: str) -> str:
    """Whether this is a file or a folder; else nothing, also for a text without letters, such as a full stop."""
    try:
        path = Path(argument)
        folder = path.is_dir() and any(map(str.isalnum, argument))
        return "folder" if folder else "file" if path.is_file() else ""
    except (OSError, ValueError):  # too long for a path, or with a null character
        return ""
