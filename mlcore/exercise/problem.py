"""A problem: a network with its samples and targets, as people type it and as TOML and JSON files hold it.

All numbers are kept as fractions, so that nothing is rounded before the arithmetic begins.
"""

import json
import re
import tomllib
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from difflib import get_close_matches
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.errors import DataError, InputError, MlcoreError
from mlcore.exercise.formats import Style
from mlcore.exercise.functions import Loss, Number, convention
from mlcore.exercise.network import Layer, Network
from mlcore.files import installed

NUMBER = re.compile(r"[+-]?(?!0\d)(\d+/\d+|(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?)", re.ASCII | re.IGNORECASE)
MAX_DIGITS = 400  # more than any float64 has; keeps hostile numbers small
SAMPLE_NUMBERS = "2, -0.5, 1e-3 or -1/2"
POWER = r"10\s*(?:\^|\*\*)\s*[{(]?([-+]?\d+)[})]?"
# What an entry may begin with: names, as in z = W^{(1)} x = 2, and how the number was found, as in 1 + 2 = 3
FIRST_LETTER = r"[^\x00-@\[\]^_`{-~]"  # also of other alphabets, and the backslash of LaTeX
NAMED = rf"(?:{FIRST_LETTER}(?:[^,;:=&\n ]| (?!\d)|,(?=\w+\}}|[₀-₉])){{,99}}(?:&?:?[:=]|<-)|=) ?"
COMPUTED = r"(?=[\d ().+*/^·×-]{,199}?\d[ )]*[-+*^·×])[\d ().+*/^·×-]{,199}=(?!\s*[-+]?\d*,\d)"
ARGUMENTS = "dtype|shape|size|order|names|ndmin|copy|device|weak_type|requires_grad|grad|grad_fn"
TURNED = r"(?:[ᵀ⊤]|\^[{\s]*(?:\\(?:mathsf|mathrm|text)[{\s]*)?(?:T|⊤|\\top|\\intercal)[}\s]*+)"
# What people type around and between numbers, and what it means, in this order: LaTeX, np.array([1, 2]), powers of ten
NOTATIONS = {
    r"\\\\(?:\[-?[\d.]+ ?[a-z]{2}\])?|\\cr\b": ";",
    r"(?<=\d)\{,\}(?=\d)": ".",
    r"\\[a-z]*frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}": r"\1/\2",
    r"\\[dt]?frac\s*(\d)\s*(\d)": r"\1/\2",
    r"\\(begin|end)\s*\{\w+\*?\}([{[][lcr|]+[]}])?": " ",
    r"\\(left|right|[Bb]igg?[lr]?|quad|approx|hline|boxed|[],;:! ()[])|[≈~…]|\.\.\.|#.*": " ",
    r"^<tf\.[^<]*\bnumpy=|>\s*$": "",
    rf",\s*(?:{ARGUMENTS})\s*=(?:\([^)]*\)|[^])])*": "",
    rf"(?:^|(?<=[,;&\n\[({{]))[^\S\n]*(?:{NAMED})*(?:{COMPUTED})*": "",
    "&": ",",
    r"\b(?:Fraction|Rational)\((-?\d+),\s*(\d+)\)": r"\1/\2",
    r"\b(?:np\.)?float\d+\(([^()]*)\)": r"\1",
    r"(?<![A-Za-z.])[A-Za-z.]*([Aa]rray|[Mm]atrix|[Tt]ensor|constant)\s*(?=\()": "",
    rf" ?(?:\\cdot|\\times|[·×*x])\s*{POWER}": r"e\1",
    rf"(?<![\d.]){POWER}": r"1e\1",
    r";\s*(?=[])}])": "",
}
TRANSPOSED = re.compile(
    rf"{FIRST_LETTER}[^=\s]*\s?{TURNED}\s*=(.*)"
    rf"|(.*[])}}])\s*(?:['ᵗ]|\.T|\.t(?:ranspose)?\(\)|\^[{{\s]*t[}}\s]*+|{TURNED})",
    re.DOTALL,
)
BLANKS = re.compile(r"[^\S\n]+")
ENTRY_NAME = re.compile(r"(?<![\w\\^_{])(\\?[^\W\d][^\s=:&$]{,30}) ?[&:]{,2}=")  # in w1 = 0.15, w2 = 0.20
SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
# minus signs as typeset sheets have them, the wide characters of Chinese and Japanese, and what cannot be seen
SPELLINGS = dict.fromkeys(map(ord, "‐‑‒–—−﹣"), "-") | {ord("⁄"): "/", ord("、"): ",", 0xA0: " "}
SPELLINGS |= {wide: chr(wide - 0xFEE0) for wide in range(ord("！"), ord("～"))} | {0x200B: "", 0xFEFF: ""}
SPELLINGS |= {8: r"\b", 12: r"\f"}  # what TOML and JSON make of \begin and \frac
ONE_HALF = re.compile("(?<![\\d.])[¼½¾⅐-⅞](?![\\d./])")  # and others that are one character
BRACKETS = str.maketrans("({⟨⎡⎢⎣⎛⎜⎝)}⟩⎤⎥⎦⎞⎟⎠", "[" * 9 + "]" * 9)  # of tuples, sets and columns that are drawn
DECIMAL_COMMA = re.compile(r"\d,0\d|[+-]0,\d|\d,\d+ +[+-]?\d|= *0,\d")  # as in 0,05 or 0,5 1,5
DECIMAL = re.compile(  # as in a row -0,5 or an entry x_1 = 0,5
    r"(?m)(?:(?:^|[;:=]) ?(?=[+-])|[a-z]_?\{?[\d₀-₉]{1,3}\}? ?= ?)([+-]?0,0*+[1-9]\d*+) ?(?=$|;|, ?[a-z])"
)
KEYS = ("layers", "layout", "loss", "reduction", "l2", "frozen", "x", "y", "upstream", "relu_at_zero")
NOTES = {
    *("student", "name", "id", "number", "email", "course", "class", "group", "school", "teacher", "date", "title"),
    *("sheet", "exercise", "seed", "note", "notes", "comment", "comments", "remark"),
}  # keys of files that are for people
LAYER_KEYS = ("name", "activation", "slope")
BIAS = re.compile("b(?![a-z])|bias")  # and not beta
SHOW = "`mlcore net` prints an example"
# A name in TOML with more than what needs no quotes
FOREIGN = re.compile(
    r"""^[ \t]*+(?![\w.-]+[ \t]*=)([^\s"'#=\[{](?:[^\n"=]*[^\s"=])?)[ \t]*+=""", re.MULTILINE | re.ASCII
)
UNQUOTED = re.compile(r"[\[,=]\s*(-?\d+\s*/\s*\d+|[−–][\d.]+|[+-]?\.\d+)\s*[\],\n]")  # what is no number in TOML
MOST_DIGITS = 17  # that a float64 has

Rows = list[list[Fraction]]


class DecimalNumber(Fraction):
    """A number that was typed as a decimal, and is shown as one; what is computed from it is a plain fraction."""

    __slots__ = ()

    def __str__(self) -> str:
        exact = Context(prec=3 * MAX_DIGITS)
        text = str(exact.divide(Decimal(self.numerator), Decimal(self.denominator)))
        return text if "." in text or "E" in text else f"{text}.0"


@dataclass(frozen=True)
class Problem:
    """A network, its samples x (n, i) and their targets y (n, k), for the loss "none" their upstream gradients.

    ``digits``: significant digits of the numbers that are shown rounded. ``relu_at_zero``: the value of relu'(0) that
    the problem asks for; None leaves it to whoever works it. ``entries``: the places of numbers with names of their
    own, such as (w6, V[1,2]).

    Raises: InputError if it is not in [0, 1], or if there are too few or too many digits.
    """

    network: Network
    x: Rows
    y: Rows
    digits: int = 6
    relu_at_zero: Number | None = None
    entries: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.digits <= MOST_DIGITS:
            raise InputError(f"expected a whole number from 1 to {MOST_DIGITS}", parameter="digits", value=self.digits)
        convention(self.at_zero)

    @property
    def several(self) -> bool:
        return len(self.x) > 1

    @property
    def at_zero(self) -> Fraction:
        """The value for relu'(0): the one that the problem asks for, or 0."""
        return convention(self.relu_at_zero or 0)

    @property
    def style(self) -> Style:
        """How its numbers are shown: as decimals if it has any."""
        arrays = [self.x, self.y, *self.network.given.values()]
        numbers = (value for array in arrays for value in np.array(array, object).flat)
        return Style(self.digits, any(isinstance(value, DecimalNumber | float) for value in numbers))


def default_problem() -> Problem:
    """Exercise 1."""
    return read_problem(installed("exercise.toml"))


def read_problem(path: Path) -> Problem:
    """Read a network with its samples.

    Raises: DataError if the content is not a network; OSError if the file cannot be read.
    """
    content = read_document(path, SHOW)
    try:
        return _build(content)
    except (MlcoreError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from error


def read_document(path: Path, hint: str) -> dict[str, Any]:
    """The content of a TOML file, or of a JSON file (named .json), with decimals as they were typed.

    Raises: DataError, which ends with the hint, if it is neither; OSError if the file cannot be read.
    """
    content, text, language = path.read_bytes(), "", "JSON" if path.suffix.lower() == ".json" else "TOML"
    try:
        text = content.decode("utf-8-sig")
        if language == "JSON":
            found = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        else:
            found = tomllib.loads(text, parse_float=lambda number: number.replace("_", ""))
        if isinstance(found, dict):
            return found
        raise ValueError("it is a list or a single value")
    except (ValueError, RecursionError) as error:
        if number := UNQUOTED.search(text):
            hint = f'numbers such as {number[1]} need quotes: "{number[1]}"'
        elif "escape" in str(error):
            hint = r'a backslash, as in LaTeX, is written twice between double quotes: "\\frac"'
        elif name := FOREIGN.search(text):
            hint = f'names with signs other than a to z, 0 to 9, - and _ need quotes: "{name[1]}"'
        reason = "it is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise DataError(f"{path} is not {language} with keys and values: {reason}; {hint}.") from error


def change(
    problem: Problem,
    x: str | None = None,
    y: str | None = None,
    w: str | None = None,
    v: str | None = None,
    digits: int | None = None,
    relu_at_zero: str | None = None,
) -> Problem:
    """The problem with other numbers, as typed: x and y with samples as rows, w and v the first and last weights."""
    network, layers = problem.network, list(problem.network.layers)
    for number, text, name in ((0, w, "w"), (-1, v, "v")):
        if text is not None:
            layers[number] = layers[number]._replace(W=parse_rows(text, name))
    X = problem.x if x is None else _inputs(x, network)
    Y = problem.y if y is None else _upright(parse_rows(y, "y"), len(X), len(network.W[-1]))
    digits = problem.digits if digits is None else digits
    at_zero = problem.relu_at_zero if relu_at_zero is None else parse_number(relu_at_zero, "relu_at_zero")
    network = Network(layers, network.loss, network.layout)
    new = {layer.weights: text for layer, text in ((layers[0], w), (layers[-1], v)) if text is not None}
    entries = [(name, place) for name, place in problem.entries if place.partition("[")[0] not in new]
    return Problem(network, X, Y, digits, at_zero, [*entries, *_entries([new], network)])


def exact_number(text: str) -> Fraction:
    """The number; or a ValueError that says what is wrong with it."""
    text = re.sub(r"\s*/\s*", "/", _spelled(text).strip())
    if not text:
        raise ValueError("a number is missing")
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{_cut(text)!r} is not a number")
    try:
        kind = Fraction if re.fullmatch(r"[+-]?[\d/]+", text) else DecimalNumber
        value = kind(text if len(text) <= MAX_DIGITS else "1e999")
        float(value)
    except ZeroDivisionError:
        raise ValueError(f"{text!r} divides by zero") from None
    except OverflowError:
        raise ValueError(f"{_cut(text)!r} exceeds the range of float64 (1.8e308)") from None
    return value


def parse_rows(text: str, parameter: str, number: Callable[[str], Any] = exact_number) -> list[list[Any]]:
    """Rows of numbers as people type them.

    ``1,0,1;1,-1,0``, ``1 0 1; 1 -1 0``, ``[[1, 0, 1], [1, -1, 0]]``, ``np.array([[1, 0, 1], [1, -1, 0]])``, a row on
    each line, or the same in LaTeX; ``[1; 2]'`` and ``[1; 2]^T`` are transposed. ``number`` makes a number of its text.

    Raises: InputError about the parameter if something is not a number, or if the rows differ in length.
    """
    try:
        spelled = _spelled(text)
        if len(re.findall(r"[([{]", spelled)) != len(re.findall(r"[])}]", spelled)):
            raise ValueError("a bracket is missing")
        if decimal := DECIMAL.search(BLANKS.sub(" ", spelled)):
            raise ValueError(f"{decimal[1]!r} is not a number")
        rows = [list(map(number, row)) for row in split_rows(text)]
    except ValueError as error:
        hint = "; for a decimal point write a dot" if DECIMAL_COMMA.search(spelled) else ""
        message = f"expected numbers such as {SAMPLE_NUMBERS} with commas or blanks between them, but {error}{hint}"
        raise InputError(message, parameter=parameter, value=_cut(text)) from None
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        message = f"expected rows of one length, but their lengths are {', '.join(map(str, lengths[:9]))}"
        raise InputError(message, parameter=parameter, value=_cut(text))
    return rows


def typed(value: object) -> str:
    """A number, or nested lists of them, of a file as people type it: ``[[1, 2], [3, 4]]`` as ``1, 2;3, 4``.

    An entry of a list is one number: "0,5" is 0.5 there.
    """
    if isinstance(value, list):
        decimal = partial(re.sub, r"^([^,]*\d),(\d[^,]*)$", r"\1.\2")
        entries = (decimal(entry) if isinstance(entry, str) else typed(entry) for entry in value)
        return (";" if any(isinstance(entry, list) for entry in value) else ", ").join(entries)
    return "?" if value is None else str(value)


def _spelled(text: str) -> str:
    """The text with the signs, digits and fractions of ASCII."""
    halves = ONE_HALF.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    return halves.translate(SPELLINGS)


def _without_math_signs(text: str) -> str:
    """The text in ASCII, as far as there is one, without what begins and ends math in LaTeX."""
    plain = SUPERSCRIPT.sub(lambda match: f"^{_spelled(unicodedata.normalize('NFKC', match[0]))}", _spelled(text))
    return BLANKS.sub(" ", re.sub(r"\$|(?<!\\)\\[][()]", " ", plain)).strip()


def split_rows(text: str) -> list[list[str]]:
    """The entries of rows, each as it is typed."""
    plain = _without_math_signs(text)
    if turned := TRANSPOSED.fullmatch(plain):
        plain = turned[1] or turned[2]
    is_call = re.search(r"\w\(\[", plain)  # such as array([1, 2]), of which NumPy prints as much as fits on each line
    for notation, meaning in NOTATIONS.items():
        plain = re.sub(notation, meaning, plain, flags=re.ASCII)
    plain = plain.translate(BRACKETS).strip().rstrip(";").strip()
    if plain.startswith("[["):
        plain = " ".join(plain.split())  # lines mean nothing within nested brackets
    elif is_call:
        plain = re.sub(r",\s+", ", ", plain)
    plain = re.sub(r"\][\s,;]*\[", ";", plain)
    plain = re.sub(" ?/ ?", "/", BLANKS.sub(" ", plain.translate(str.maketrans("[]", "  "))))
    plain = re.sub(r"(^|[,;\n]) ?([+-]) (?=[\d.])", r"\1\2", plain).strip()  # a sign apart from its number
    lines = re.split(r"\s*;\s*|\s*\n\s*", plain)
    rows = [line.strip().removesuffix(",").split(",") if "," in line else line.split() or [""] for line in lines]
    is_even = len(set(map(len, rows))) == 1
    return list(map(list, zip(*rows, strict=True))) if turned and is_even else rows


def parse_number(text: str, parameter: str) -> Fraction:
    """An integer, decimal or fraction, exactly.

    Raises: InputError about the parameter if it is none of these.
    """
    try:
        return exact_number(text)
    except ValueError:
        hint = f"; for a decimal point write {text.replace(',', '.')}" if re.fullmatch(r"[+-]?\d+,\d+", text) else ""
        message = f"expected a number such as {SAMPLE_NUMBERS} in the range of float64 (1.8e308){hint}"
        raise InputError(message, parameter=parameter, value=_cut(text)) from None


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def to_toml(problem: Problem) -> str:
    """The problem as a TOML file, which ``read_problem`` reads back without loss."""
    names = {place.translate(str.maketrans("[", ",", "]")): f"{name} = " for name, place in problem.entries}

    def written(value: Any, place: str = "") -> str:
        if isinstance(value, Sequence | np.ndarray):
            return f"[{', '.join(written(entry, f'{place},{i}') for i, entry in enumerate(value, start=1))}]"
        text = names.get(place, "") + str(value if isinstance(value, float | DecimalNumber) else Fraction(value))
        return json.dumps(text, ensure_ascii=False) if {"=", "/"} & {*text} else text

    loss = problem.network.loss
    settings = {"reduction": f'"{loss.reduction}"', "l2": written(loss.l2), "frozen": json.dumps(loss.frozen)}
    lines = [f'loss = "{loss.name}"'] + ['layout = "rows"'] * problem.network.in_rows
    lines += [f"{key} = {settings[key]}" for key in settings if getattr(loss, key) != getattr(Loss(loss.name), key)]
    lines += [f"x = {written(problem.x)}", f"{_target(loss.name)} = {written(problem.y)}"]
    lines += [] if problem.relu_at_zero is None else [f"relu_at_zero = {written(problem.relu_at_zero)}"]
    for layer in problem.network.layers:
        lines += ["", "[[layers]]", f"name = {json.dumps(layer.name)}", f'activation = "{layer.activation}"']
        lines += [] if layer.slope is None else [f"slope = {written(layer.slope)}"]
        for name, values in layer.arrays.items():
            key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
            lines.append(f"{key} = {written(values, name)}")
    return "\n".join(lines) + "\n"


def _inputs(text: str, network: Network) -> Rows:
    """The inputs, a row for each sample; as on sheets, a single column in brackets or LaTeX is one sample."""
    rows = parse_rows(text, "x")
    return _upright(rows, 1, network.features) if re.search(r"[\[({\\=]", text) else rows


def _upright(rows: Rows, samples: int, width: int) -> Rows:
    """A row for each sample; a vector that fits only when it is turned is turned: one sample, or one value of each."""
    is_turned = 1 in (samples, width) and (len(rows), len(rows[0])) == (width, samples) != (samples, width)
    return [list(row) for row in zip(*rows, strict=True)] if is_turned else rows


def _target(loss: str) -> str:
    """Key of what stands beside x: the targets, or the gradients that come from above."""
    return "upstream" if loss == "none" else "y"


def _build(content: dict[str, Any]) -> Problem:
    if unknown := sorted(key for key in content if key not in KEYS and key.lower() not in NOTES):
        raise InputError(f"The key {unknown[0]!r} is unknown; expected {', '.join(KEYS)}; {SHOW}.")
    if not {"x", "layers"} <= content.keys():
        raise InputError(f"The keys x, y and layers are needed; {SHOW}.")
    if not isinstance(content["layers"], list) or not all(isinstance(layer, dict) for layer in content["layers"]):
        raise InputError(f"layers is not a list of tables; {SHOW}.")
    layers = list[Layer]()
    for layer in content["layers"]:
        layers.append(_layer(len(layers) + 1, layer, {name for below in layers for name in (below.weights, below.own)}))
    frozen = content.get("frozen", [])
    if not isinstance(frozen, list) or not all(isinstance(name, str) for name in frozen):
        raise InputError('frozen is not a list of names such as ["b"].')
    l2 = parse_number(str(content.get("l2", 0)), "l2")
    loss = Loss(content.get("loss", "half-squared"), content.get("reduction", "mean"), l2, tuple(frozen))
    network = Network(layers, loss, content.get("layout", "columns"))
    x = _inputs(typed(content["x"]), network)
    target, outputs = _target(network.loss.name), len(network.W[-1])
    if other := {"y", "upstream"} & content.keys() - {target}:
        raise InputError(f"The loss {network.loss.name} takes {target}; leave out {other.pop()}.")
    if target not in content and target == "y":
        raise InputError(f"The keys x, y and layers are needed; {SHOW}.")
    y = _upright(parse_rows(typed(content.get(target, [[1] * outputs] * len(x))), target), len(x), outputs)
    network.check(x, y)
    at_zero = parse_number(str(content["relu_at_zero"]), "relu_at_zero") if "relu_at_zero" in content else None
    return Problem(network, x, y, relu_at_zero=at_zero, entries=_entries(content["layers"], network))


def _entries(layers: list[dict[str, Any]], network: Network) -> list[tuple[str, str]]:
    """The names of numbers that are typed with them, as in ``w1 = 0.15, w2 = 0.20``, and their places."""
    found = list[tuple[str, str]]()
    for layer, key in ((layer, key) for layer in layers for key in network.arrays if key in layer):
        text, array = _without_math_signs(typed(layer[key])), network.arrays[key]
        names = [] if TRANSPOSED.fullmatch(text) else ENTRY_NAME.findall(text)
        for name, place in zip(names, np.ndindex(array.shape), strict=True) if len(names) == array.size else ():
            found.append((name, f"{key}[{','.join(str(number + 1) for number in place)}]"))
    return found


def _layer(number: int, content: dict[str, Any], matrices: Collection[str | None]) -> Layer:
    """A layer's table: name and activation, and the arrays under names of the user's choice.

    These are one matrix, perhaps another for inputs of its own, and perhaps one list, the biases, which may also be a
    row or column if their name begins with b. In text such as "1,0" one row does not say which of these it is: the
    last of several arrays is the list, unless another is, or it is one of the matrices of the layers below.
    """
    name, arrays = content.get("name", f"layer {number}"), [key for key in content if key not in LAYER_KEYS]
    for key in arrays:
        if isinstance(content[key], str) and (meant := get_close_matches(key, LAYER_KEYS, 1)):
            raise InputError(f"The key {key!r} of layer {number} is unknown; did you mean {meant[0]}?")
    rows = {key: parse_rows(typed(content[key]), key) for key in arrays}

    def is_list(key: str) -> bool:
        """Whether these are the biases, by their name or as a list of numbers."""
        is_nested = isinstance(content[key], list) and any(isinstance(entry, list) for entry in content[key])
        if key.startswith("b") and (key != arrays[0] or BIAS.match(key) and arrays[1:] and not is_nested):
            return True
        return isinstance(content[key], list) and not is_nested

    last = [key for key in arrays[1:][-1:] if key not in matrices and len(rows[key]) == 1]
    biases = list(filter(is_list, arrays)) or [key for key in last if not isinstance(content[key], list)]
    weights, own, *others = [*(key for key in arrays if key not in biases), None, None]
    if not isinstance(name, str):
        raise InputError(f"The name of layer {number} is {name!r}; write a text in quotes.")
    if weights is None or len(biases) > 1 or any(others):
        row = min(biases, key=lambda key: key.startswith("b")) if biases and not weights else ""
        hint = f": {row} is one row: write {row} = [[{typed(content[row])}]]" if row else ""
        hint = hint or ': single weights go into one text, a row for each unit: W = "w1 = 1, w2 = 2"' * any(others)
        raise InputError(
            f"Layer {number} has the keys {', '.join(content)}; expected name, activation, one matrix of weights "
            "such as W = [[1, 0]], perhaps one for inputs of its own, and at most one list of biases such as "
            f"b = [1]{hint}."
        )
    bias = biases[0] if biases else None
    b = [value for row in rows[bias] for value in row] if bias else None
    slope = parse_number(str(content["slope"]), "slope") if "slope" in content else None
    U = rows[own] if own else None
    return Layer(name, weights, rows[weights], content.get("activation", "relu"), bias, b, slope, own, U)
