"""What programs read: results as JSON, one document on one line."""

import json
from typing import Annotated, Any

import typer

from mlcore.results import Result

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def print_json(command: str, result: Result | dict[str, Any]) -> None:
    """Print the result of a command as strict JSON (RFC 8259), with the name of its schema."""
    fields = result.to_dict() if isinstance(result, Result) else result
    print(json.dumps({"schema": f"mlcore.{command}/1"} | fields, allow_nan=False))
