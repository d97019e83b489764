"""What the commands share: the two views of a result, files that are written, and standard input."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from mlcore.files import STANDARD_STREAM, write_beside
from mlcore.results import Result

from . import render

Found = TypeVar("Found", bound=Result)
MODEL, PAGE = b'"mlcore"', rb'<meta name="generator" content="mlcore">'  # what files of these kinds have

# Results --------------------------------------------------------------------------------------------------


def answer(command: str, result: Found, view: Callable[[Found], None], as_json: bool) -> Found:
    """Show the result of a library call, as a view or as JSON, and return it."""
    if as_json:
        print_json(command, result)
    else:
        view(result)
    return result


def print_json(command: str, result: Result | dict[str, Any]) -> None:
    """Print the result of a command as strict JSON (RFC 8259), with the name of its schema."""
    fields = result.to_dict() if isinstance(result, Result) else result
    print(json.dumps({"schema": f"mlcore.{command}/1"} | fields, allow_nan=False))


# Files ----------------------------------------------------------------------------------------------------


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


def standard_input(hint: str) -> None:
    """Tell whoever sits at a terminal what to do, before standard input is read."""
    if sys.stdin is None:
        raise OSError("standard input is closed; give texts as arguments, or lines on standard input")
    if sys.stdin.isatty():
        render.say(hint)


def kind_of(argument: str) -> str:
    """Whether this is a file or a folder; else nothing, also for a text without letters, such as a full stop."""
    try:
        path = Path(argument)
        folder = path.is_dir() and any(map(str.isalnum, argument))
        return "folder" if folder else "file" if path.is_file() else ""
    except (OSError, ValueError):  # too long for a path, or with a null character
        return ""
