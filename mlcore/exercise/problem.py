"""A problem: a network with its samples and targets, as people type it and as TOML and JSON files hold it.

All numbers are kept as fractions, so that nothing is rounded before the arithmetic begins.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mlcore.errors import DataError, InputError, MlcoreError
from mlcore.exercise.network import Layer, Network
from mlcore.files import installed

NUMBER = re.compile(r"[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?)", re.ASCII | re.IGNORECASE)
MAX_DIGITS = 400  # more than any float64 has; keeps hostile numbers small
SAMPLE_NUMBERS = "2, -0.5, 1e-3 or -1/2"
MINUS_SIGNS = str.maketrans("\N{MINUS SIGN}\N{EN DASH}", "--")  # as typeset sheets have them
KEYS = ("layers", "loss", "x", "y")
SHOW = "`mlcore net show` prints an example"

Rows = list[list[Fraction]]


@dataclass(frozen=True)
class Problem:
    """A network, its samples x (n, i) and their targets y (n, k)."""

    network: Network
    x: Rows
    y: Rows

    @property
    def several(self) -> bool:
        """Whether there is more than one sample."""
        return len(self.x) > 1

    @property
    def samples(self) -> list["Problem"]:
        """One problem for each sample."""
        return [Problem(self.network, [x], [y]) for x, y in zip(self.x, self.y, strict=True)]


def default_problem() -> Problem:
    """Exercise 1."""
    return read_problem(installed("exercise.toml"))


def read_problem(path: Path) -> Problem:
    """Read a TOML file, or a JSON file (named .json) with the same keys.

    Raises: DataError if the content is not a network; OSError if the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if path.suffix.lower() == ".json":
            content = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        else:
            content = tomllib.loads(text, parse_float=lambda number: number.replace("_", ""))
        return _build(content)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8; expected a network ({SHOW}).") from error
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        language = "JSON" if isinstance(error, json.JSONDecodeError) else "TOML"
        raise DataError(f"{path} is not {language}: {error}; {SHOW}.") from error
    except (MlcoreError, ValueError, RecursionError) as error:  # ValueError: also of both parsers
        raise DataError(f"{path}: {error}") from error


def change(
    problem: Problem, x: str | None = None, y: str | None = None, w: str | None = None, v: str | None = None
) -> Problem:
    """The problem with other numbers, as typed: x and y with samples as rows, w and v the first and last weights."""
    layers = list(problem.network.layers)
    for number, text, name in ((0, w, "w"), (-1, v, "v")):
        if text is not None:
            layers[number] = layers[number]._replace(W=parse_rows(text, name))
    return Problem(
        Network(layers, problem.network.loss_name),
        problem.x if x is None else parse_rows(x, "x"),
        problem.y if y is None else parse_rows(y, "y"),
    )


def parse_rows(text: str, parameter: str) -> Rows:
    """Rows of numbers, ``1,0,1;1,-1,0`` or ``[[1,0,1],[1,-1,0]]``.

    Raises: InputError about the parameter if something is not a number, or if the rows differ in length.
    """
    plain = re.sub(r"\]\s*,\s*\[", ";", text).translate(str.maketrans("[]", "  "))
    try:
        rows = [[_fraction(entry) for entry in row.split(",")] for row in plain.split(";")]
    except ValueError as error:
        message = f"expected numbers such as {SAMPLE_NUMBERS} with commas between them, but {error}"
        raise InputError(message, parameter=parameter, value=_cut(text)) from None
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        message = f"expected rows of one length, but their lengths are {', '.join(map(str, lengths[:9]))}"
        raise InputError(message, parameter=parameter, value=_cut(text))
    return rows


def parse_number(text: str, parameter: str) -> Fraction:
    """An integer, decimal or fraction, exactly.

    Raises: InputError about the parameter if it is none of these.
    """
    try:
        return _fraction(text)
    except ValueError:
        message = f"expected a number such as {SAMPLE_NUMBERS} in the range of float64 (1.8e308)"
        raise InputError(message, parameter=parameter, value=_cut(text)) from None


def _fraction(text: str) -> Fraction:
    """The number; or a ValueError that says what is wrong with it."""
    text = text.strip().translate(MINUS_SIGNS)
    if not text:
        raise ValueError("a number is missing")
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{_cut(text)!r} is not a number")
    try:
        value = Fraction(text if len(text) <= MAX_DIGITS else "1e999")
        float(value)
    except ZeroDivisionError:
        raise ValueError(f"{text!r} divides by zero") from None
    except OverflowError:
        raise ValueError(f"{_cut(text)!r} exceeds the range of float64 (1.8e308)") from None
    return value


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def to_toml(problem: Problem) -> str:
    """The problem as a TOML file, which ``read_problem`` reads back without loss."""

    def written(value: Any) -> str:
        if isinstance(value, Sequence):
            return f"[{', '.join(map(written, value))}]"
        fraction = Fraction(value)
        return str(fraction) if fraction.denominator == 1 else f'"{fraction}"'

    lines = [f'loss = "{problem.network.loss_name}"', f"x = {written(problem.x)}", f"y = {written(problem.y)}"]
    for layer in problem.network.layers:
        lines += ["", "[[layers]]", f"name = {json.dumps(layer.name)}", f'activation = "{layer.activation}"']
        for name, values in ((layer.weights, layer.W), (layer.bias, layer.b)):
            if name is not None:
                key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
                lines.append(f"{key} = {written(values)}")
    return "\n".join(lines) + "\n"


def _build(content: object) -> Problem:
    if not isinstance(content, dict) or not {"x", "y", "layers"} <= content.keys():
        raise InputError(f"The keys x, y and layers are needed; {SHOW}.")
    if unknown := sorted(content.keys() - KEYS):
        raise InputError(f"The key {unknown[0]!r} is unknown; expected {', '.join(KEYS)}.")
    if not isinstance(content["layers"], list) or not all(isinstance(layer, dict) for layer in content["layers"]):
        raise InputError(f"layers is not a list of tables; {SHOW}.")
    layers = [_layer(number, layer) for number, layer in enumerate(content["layers"], start=1)]
    network = Network(layers, content.get("loss", "half-squared"))
    problem = Problem(network, _rows(content["x"], "x"), _rows(content["y"], "y"))
    network.check(problem.x, problem.y)
    return problem


def _layer(number: int, content: dict[str, Any]) -> Layer:
    """A layer's table: name and activation, one matrix, and perhaps one list, under names of the user's choice."""
    name = content.get("name", f"layer {number}")
    depths = {key: _depth(value) for key, value in content.items() if key not in ("name", "activation")}
    weights, bias = (next((key for key in depths if depths[key] == depth), None) for depth in (2, 1))
    if not isinstance(name, str) or weights is None or sorted(depths.values()) not in ([2], [1, 2]):
        raise InputError(
            f"Layer {number} has the keys {', '.join(content)}; expected name, activation, one matrix of weights "
            "such as W = [[1, 0]] and at most one list of biases such as b = [1]."
        )
    b = None if bias is None else _rows(content[bias], bias)[0]
    return Layer(name, weights, _rows(content[weights], weights), content.get("activation", "relu"), bias, b)


def _depth(value: object) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _rows(values: object, name: str) -> Rows:
    rows = values if _depth(values) == 2 else [values]
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and row for row in rows):
        raise InputError(f"{name} is not a list of numbers or of rows of numbers.")
    for value in (value for row in rows for value in row):
        if isinstance(value, bool) or not isinstance(value, int | str):
            message = 'expected a number, or a fraction in quotes such as "1/2"'
            raise InputError(message, parameter=name, value=value)
    return [[parse_number(str(value), name) for value in row] for row in rows]
