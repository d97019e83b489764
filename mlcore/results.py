"""What library calls return: dataclasses that ``--json``, the terminal and notebooks show alike."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


class Result:
    """Base of the dataclasses that answer something."""

    def to_dict(self) -> dict[str, Any]:
        """The fields, in values that JSON has: fractions are strings such as "1/2", NaN and infinity are None."""
        return {field.name: to_json(getattr(self, field.name)) for field in dataclasses.fields(self)}  # type: ignore[arg-type]


def to_json(value: Any) -> Any:
    """The value in types that JSON has; arrays become lists, and -0.0 becomes 0.0."""
    if isinstance(value, Result):
        return value.to_dict()
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers, without importing it
        return to_json(value.tolist())
    if hasattr(value, "_asdict"):
        return to_json(value._asdict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None
    if isinstance(value, bool | int | str) or value is None:
        return value
    return str(value)  # Fraction, Path
