"""What every command prints as JSON: one document on one line."""

import json
from typing import Any

from mlcore.results import Result


def print_json(name: str, result: "Result | dict[str, Any]") -> None:
    """Print a result, with the name and version of its schema in front."""
    fields = result.to_dict() if isinstance(result, Result) else result
    print(json.dumps({"schema": f"mlcore.{name}/1", **fields}, allow_nan=False))
