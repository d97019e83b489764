"""An exercise sheet: a network with its samples and targets, read from what people type and from TOML or JSON files.

All numbers are kept as fractions, so that nothing is rounded before the arithmetic begins.
"""

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from mlcore.errors import DataError, InputError, MlcoreError
from mlcore.exercise.network import Layer, Network, Number
from mlcore.files import installed

NUMBER = re.compile(r"[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?)", re.ASCII | re.IGNORECASE)
MOST_DIGITS = 400  # more than any float64 has; keeps hostile numbers small
WANTED = "expected a number such as 2, -0.5, 1e-3 or -1/2"

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


def default_problem() -> Problem:
    """Exercise 1."""
    return _sheet_from(installed("exercise.toml").read_text(), "exercise.toml")


def read_problem(path: Path) -> Problem:
    """Read a TOML file, or a JSON file (named .json) with the same keys.

    Raises: DataError if the content is no network; OSError if the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8; expected a network as `mlcore net show` prints it.") from error
    return _sheet_from(text, str(path))


def change(
    sheet: Problem, x: str | None = None, y: str | None = None, w: str | None = None, v: str | None = None
) -> Problem:
    """The sheet with other numbers, as typed: x and y with rows for samples, w and v for the first and last weights."""
    layers = list(sheet.network.layers)
    if w is not None:
        layers[0] = layers[0]._replace(W=parse_rows(w, "--w"))
    if v is not None:
        layers[-1] = layers[-1]._replace(W=parse_rows(v, "--v"))
    return replace(
        sheet,
        network=Network(layers, sheet.network.loss_name),
        x=sheet.x if x is None else parse_rows(x, "--x"),
        y=sheet.y if y is None else parse_rows(y, "--y"),
    )


def parse_rows(text: str, where: str) -> Rows:
    """Rows of numbers, ``1,0,1;1,-1,0``.

    Raises: InputError if something is not a number, or a row has another length than the first.
    """
    try:
        rows = [[parse_number(entry, where) for entry in row.split(",")] for row in text.split(";")]
    except InputError as error:
        raise InputError(f"{str(error).removesuffix('.')}, and commas between numbers.") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise InputError(f"{where}: row {number} has {len(row)} numbers; expected {len(rows[0])}, as in row 1.")
    return rows


def parse_number(text: str, where: str) -> Fraction:
    """An integer, decimal or fraction, exactly.

    Raises: InputError if it is none of these.
    """
    text = text.strip().replace("\u2212", "-")  # the minus sign of typeset sheets
    if not text:
        raise InputError(f"{where}: a number is missing; {WANTED}.")
    if not NUMBER.fullmatch(text):
        raise InputError(f"{where}: {text[:40]!r} is not a finite number; {WANTED}.")
    if len(text) > MOST_DIGITS:
        raise InputError(f"{where}: {text[:40]!r}... exceeds the range of float64 (1.8e308); use smaller numbers.")
    try:
        value = Fraction(text)
        float(value)
    except ZeroDivisionError:
        raise InputError(f"{where}: {text!r} divides by zero; {WANTED}.") from None
    except OverflowError:
        raise InputError(f"{where}: {text!r} exceeds the range of float64 (1.8e308); use smaller numbers.") from None
    return value


def to_toml(sheet: Problem) -> str:
    """The sheet as a TOML file, which ``read_problem`` reads back without loss."""
    network = sheet.network
    lines = [f'loss = "{network.loss_name}"', f"x = {_toml(sheet.x)}", f"y = {_toml(sheet.y)}"]
    for layer in network.layers:
        lines += ["", "[[layers]]", f"name = {json.dumps(layer.name)}", f'activation = "{layer.activation}"']
        lines.append(f"{_toml_key(layer.weights)} = {_toml(layer.W)}")
        if layer.bias is not None:
            lines.append(f"{_toml_key(layer.bias)} = {_toml(layer.b)}")
    return "\n".join(lines) + "\n"


def _toml(value: Number | Sequence) -> str:
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_toml, value))}]"
    fraction = Fraction(value)
    return str(fraction) if fraction.denominator == 1 else f'"{fraction}"'


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _sheet_from(text: str, where: str) -> Problem:
    try:
        if where.lower().endswith(".json"):
            content = json.loads(
                text, parse_float=_number_of_file, parse_int=_number_of_file, parse_constant=_number_of_file
            )
        else:
            content = tomllib.loads(text, parse_float=_number_of_file)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{where}: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {error}") from error
    try:
        return _build(content)
    except MlcoreError as error:
        raise DataError(f"{where}: {error}") from error


def _build(content: object) -> Problem:
    known = {"loss", "x", "y", "layers"}
    if not isinstance(content, dict) or not {"x", "y", "layers"} <= content.keys():
        raise InputError("Expected the keys x, y and layers; `mlcore net show` prints an example.")
    if unknown := content.keys() - known:
        raise InputError(f"{sorted(unknown)[0]!r} is no key of a network; expected {', '.join(sorted(known))}.")
    if not isinstance(content["layers"], list) or not all(isinstance(layer, dict) for layer in content["layers"]):
        raise InputError("layers is not a list of tables; `mlcore net show` prints an example.")
    layers = [_layer(number, layer) for number, layer in enumerate(content["layers"], start=1)]
    network = Network(layers, content.get("loss", "half-squared"))
    sheet = Problem(network, _rows(content["x"], "x"), _rows(content["y"], "y"))
    network.losses(network.forward(sheet.x), sheet.y)  # complains if x or y does not fit
    return sheet


def _layer(number: int, content: dict) -> Layer:
    """A layer's table: name and activation, one matrix, and perhaps one list, under names of the user's choice."""
    name = content.get("name", f"layer {number}")
    arrays = {key: value for key, value in content.items() if key not in ("name", "activation")}
    matrices = [key for key, value in arrays.items() if _depth(value) == 2]
    vectors = [key for key, value in arrays.items() if _depth(value) == 1]
    if (
        not isinstance(name, str)
        or len(matrices) != 1
        or len(vectors) > 1
        or len(arrays) != len(matrices) + len(vectors)
    ):
        raise InputError(
            f"Layer {number} has the keys {', '.join(content)}; expected name, activation, one matrix of weights under "
            "a name of your choice, and perhaps one list of biases."
        )
    bias = vectors[0] if vectors else None
    return Layer(
        name=name,
        weights=matrices[0],
        W=_rows(content[matrices[0]], matrices[0]),
        activation=content.get("activation", "relu"),
        bias=bias,
        b=None if bias is None else _rows(content[bias], bias)[0],
    )


def _depth(value: object) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _rows(values: object, where: str) -> Rows:
    rows = values if _depth(values) == 2 else [values]
    if not isinstance(values, list) or not values or not all(isinstance(row, list) and row for row in rows):
        raise InputError(f"{where} is not a list of numbers, or of rows of numbers.")
    return [[_exact(value, where) for value in row] for row in rows]


def _exact(value: object, where: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | str | Fraction):
        raise InputError(f"{where} holds {value!r}; {WANTED}, in quotes if it is a fraction.")
    return parse_number(str(value), where)


def _number_of_file(text: str) -> Fraction:
    return parse_number(text.replace("_", ""), "a number")
