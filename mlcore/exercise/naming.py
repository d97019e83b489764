"""What answers are called: on sheets, and as students spell it; and how they are oriented."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import product
from typing import Any

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.answers import Answer, each, parse_answer
from mlcore.exercise.derivation import Symbols
from mlcore.exercise.formats import to_unicode
from mlcore.exercise.mistakes import Matrices
from mlcore.exercise.problem import LONG_DECIMAL, Problem, with_points

ENTRY = re.compile(r"(.*\S)\s*\[\s*(\d{1,9})\s*(?:,\s*(\d{1,9})\s*)?\]")  # dV[1, 2], or c[1] of a vector
LAYER_INDEX = r"(\^\{?[(\[]\d+[)\]]\}?)?"
# W_{12}, w_{1,2}^{(1)}, z_1^{(2)} or z^{(2)}_1
INDICES = re.compile(rf"(.+?){LAYER_INDEX}_\{{?(\d)(?:[\s,_]*(\d))?\}}?{LAYER_INDEX}(\W*(?:new)?\W*)")
UNIT = re.compile(r"(.*\D)(\d{1,9})")  # h1, of h
WITH_BAR = re.compile("\\\\(?:bar|overline)\\s*\\{?(\\w+)\\}?|(\\w+)\u0304")  # a derivative, as in Toronto
IN_A_FONT = re.compile(r"\\(?:math(?!rm)[a-z]+|boldsymbol|bm|vec)\s*\{?(\w+)\}?")
DERIVATIVE = re.compile(r"^(?:[d∂](?:[JLECel]|ell|[Ll]oss|[Cc]ost|MSE)(?:total)?/?[d∂]|grad(?:ient)?(?:of)?|∇)")
OF_OUTPUT = re.compile(r"^[d∂](?:[foy]|yhat)/?[d∂]")  # where there is no loss: df/dx
GRADIENT = re.compile(
    r"^(?:(?:self|model|net)\.)*+(.+)[._]grad(?:ient)?$|^grads?[\['\"]+(\w+)['\"\]]+$|^∇_?([\w']+?)_?[JLEC]?$"
)
UPDATED = re.compile("更新(?:后的)?|(?<![a-z])(?:updated|neue?[rs]?|n(?:ouveau|uev[oa]|uov[oa]|ov[oa]))(?![a-z])")
NEW = re.compile(r"^(.+_|[A-Za-z]\d?)new_?(\d*)$|^(.+)\+$")
MARKED = re.compile("^(?:[*∗](\\w+)|(\\w+)[*∗'′])$")  # w5* or w5', which are new unless they are given
GREEK = {ord(letter): unicodedata.name(letter).split()[-1].lower() for letter in "αβγδεζηθικλμνξοπρςστυφχψω"}
GREEK |= {ord(chr(letter).upper()): name.title() for letter, name in GREEK.items()}
KINDS = ("d", "new ", "Δ")  # of answers about arrays
WORDS = {"net": "z", "in": "z", "sum": "z", "out": "a", "delta": "dz", "dnet": "dz", "dout": "da"}
OUTPUTS = ("yhat", "ypred", "pred", "prediction", "output", "out", "o", "f", "y")
ALIASES = dict.fromkeys(OUTPUTS, "y_hat")
ALIASES |= dict.fromkeys(("loss", "cost", "ell", *"JLEC", "Etotal", "Jtotal", "Ltotal", "totalerror"), "loss")


class Naming:
    """The names of all answers to a problem.

    ``answers``: all of them in the order of the pass, with values of the right shape. ``symbols``: each as sheets write
    it, such as ∂J/∂V; ``known``: each by what students may write, and ``in_lower_case`` by the same in lower case,
    unless several are written so. ``vectors``: answers of one row, whose entries may be written h1 and h2.
    """

    def __init__(self, problem: Problem, answers: Matrices) -> None:
        self.answers, symbols = answers, Symbols(problem)
        self.is_without_loss = problem.network.loss.name == "none"
        arrays = {name: to_unicode(symbol) for name, symbol in (symbols.names | {"x": "x"}).items()}
        self.symbols = {"y_hat": "ŷ", "loss": "J"} | {f"d{name}": f"∂J/∂{symbol}" for name, symbol in arrays.items()}
        self.symbols |= {f"{kind}{name}": f"{kind}{symbol}" for kind in KINDS[1:] for name, symbol in arrays.items()}
        self.known = dict[str, str]()  # names of answers as people spell them
        hidden = [("h", "hidden")] if symbols.depth == 2 else [()] * (symbols.depth - 1)
        units = defaultdict[str, list[Any]](list)  # of all layers by word, each an answer and the place in it
        ends = [*hidden, ("o", "out", "output", *[""] * (symbols.depth == 1))]  # of net_o1 and delta_hidden
        for number, layer in enumerate(problem.network.layer_names):
            a, z = (to_unicode(found[number]) for found in (symbols.outputs, symbols.z))
            self.symbols |= {f"z:{layer}": z, f"a:{layer}": a, f"da:{layer}": f"∂J/∂{a}"}
            self.symbols[f"delta:{layer}"] = to_unicode(symbols.delta[number])
            which = {"z": f"z:{layer}", "a": f"a:{layer}", "dz": f"delta:{layer}", "da": f"da:{layer}"}
            which |= {word: which[letter] for word, letter in WORDS.items()}
            self.known |= {f"{word}{number + 1}": name for word, name in which.items()}
            for word, name in [*which.items(), ("o", which["a"])] * (not problem.several):
                units[word] += [(name, (0, unit)) for unit in range(len(problem.network.W[number]))]
            own = (*ends[number], _plain(layer))
            self.known |= {f"{word}{end}": name for word, name in which.items() for end in own}
        self.first = {f"{word}1" for word in which if symbols.depth == 1}  # of one layer, or of its first unit
        counts = [(word, *unit) for word, places in units.items() for unit in enumerate(places, 1)]
        self.units = [{f"{word}{n + before}": unit for word, n, unit in counts} for before in (0, len(problem.x[0]))]
        self.known |= ALIASES | {f"d{output}": which["da"] for output in OUTPUTS}
        self.known |= dict.fromkeys(("logits", "scores"), which["z"])
        self.known |= dict.fromkeys(("dlogits", "dscores"), which["dz"])
        self.known |= {_plain(text): name for name in answers for text in (self.symbols[name], name)}
        places = defaultdict[str, set[str]](set)
        for kind, (name, place) in product(KINDS, problem.entries):
            places[_plain(kind + name)].add(kind + place)
        entries = {spelling: found.pop() for spelling, found in places.items() if len(found) == 1}
        self.known = entries | {spelling: name for spelling, name in self.known.items() if name in answers}
        cases = defaultdict[str, set[str]](set)
        for spelling, known in self.known.items():
            cases[spelling.lower()].add(known)
        self.in_lower_case = {spelling: next(iter(names)) for spelling, names in cases.items() if len(names) == 1}
        self.weights = [f"d{name}" for name, array in problem.network.arrays.items() if array.ndim == 2]
        small = [name[1:] for name in self.weights if name in answers and max(answers[name].shape) < 10]
        self.matrices = {kind + name for kind, name in product(KINDS, small)}  # that have entries such as W_{12}
        of_layers = {kind + name for kind in KINDS for name in problem.network.arrays if symbols.depth > 1}
        self.vectors = {name for name, rows in answers.items() if len(rows) == 1} - of_layers - {"loss"}

    def prepared(self, answers: Sequence[Answer]) -> tuple[list[Answer], list[str]]:
        """The answers under their names, as they are oriented here, with single entries in their places; and problems.

        Some sheets count indices from 0, or the units of all layers, from 1 or after the inputs: z3 is the output of a
        2-2-1 network then. A sheet is read so where no other way makes as much sense of it.
        """
        readings = [self._read(answers, *way) for way in (({}, 1), ({}, 0), *((units, 1) for units in self.units))]
        costs = [cost for cost, *_ in readings]
        _, found, problems = readings[costs.index(min(costs)) if costs.count(min(costs)) == 1 else 0]
        return found, problems

    def _read(self, answers: Sequence[Answer], units: Mapping[str, Any], first: int) -> tuple[Any, ...]:
        """The same, after the number of problems and of single numbers, other than 0, that stand for several units."""
        found, problems = dict[str, Answer](), list[str]()
        for answer in answers:
            try:
                name, place = units.get(_plain(answer.name).lower()) or self.find(answer.name, first)
                found[name] = self._merged(answer, name, place, found.get(name))
            except InputError as error:
                problems.append(str(error))
        alone = [one for one in found.values() if one.entries.size == 1 < self.answers[one.name].size]
        cost = len(problems) + sum(any(entry.value for entry in one.typed) for one in alone)
        return cost, list(found.values()), problems

    def _merged(self, answer: Answer, name: str, place: tuple[int, int] | None, before: Answer | None) -> Answer:
        """The answer, with the entries that have been given before."""
        entries = self._fitting(answer, name, (1, 1) if place else self.answers[name].shape)
        may_be_layer = place == (0, 0) and name != "y_hat" and "," not in answer.name
        is_layer = may_be_layer and entries.shape == self.answers[name].shape  # all of h1
        if place and not is_layer:
            if entries.size != 1:
                raise InputError(f"{answer.name} is one entry of {name}; give one number, such as 0.5.")
            number, entries = entries.item(), np.full(self.answers[name].shape, None, object)
            entries[place] = number
        if before:
            both = zip(entries.flat, before.entries.flat, strict=True)
            if entries.shape != before.entries.shape or any(a and b for a, b in both):
                raise InputError(f"{name} is answered twice; give one answer.")
            entries = each(lambda a, b: a or b, entries, before.entries)
        return Answer(name, entries)

    def _fitting(self, answer: Answer, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The entries, with commas as decimal points if only these give the shape, and a single number is long."""
        entries = self.oriented(name, answer.entries)
        if entries.shape != shape and (shape != (1, 1) or LONG_DECIMAL.search(answer.text)):
            tolerance = next((entry.tolerance for entry in answer.typed), None)
            with suppress(InputError):
                pointed = self.oriented(name, parse_answer(name, with_points(answer.text), tolerance).entries)
                return pointed if pointed.shape == shape else entries
        return entries

    def find(self, name: str, first: int = 1) -> tuple[str, tuple[int, int] | None]:
        """The name of an answer, and the place if it is one entry: dV[1, 2], or of a vector c[1], c_1^{(2)} or h1.

        ``first``: what indices in brackets count from.
        """
        known = self._known(name)
        if known in self.answers:
            return known, (0, 0) if _plain(name).lower() in self.first and known in self.vectors else None
        text = known or self._bracketed(name)
        plain = MARKED.sub(r"new\1\2", _plain(text))
        for match in filter(None, (ENTRY.fullmatch(text), ENTRY.fullmatch(plain), UNIT.fullmatch(plain))):
            found = self._known(match[1])
            if found in (self.answers if match.re is ENTRY else self.vectors):
                start = 1 if known or match.re is UNIT else first
                row, column = [0, *(int(index) - start for index in match.groups()[1:] if index)][-2:]
                rows, columns = self.answers[found].shape
                if not (0 <= row < rows and 0 <= column < columns):
                    raise InputError(f"There is no {name}: {found} has the shape {rows} x {columns}.")
                return found, (row, column)
        without_step = "dx" in self.answers and not any(known.startswith("new ") for known in self.answers)
        hint = "; for new weights give a learning rate" * (without_step and plain.startswith("new"))
        hint += f"; an entry has its row and column, as in {self.weights[0]}[1,1]" * bool(re.search(r"\d", plain))
        like = get_close_matches(plain.lower(), self.in_lower_case, 1, 0.7)
        near = "".join(f"did you mean {self.in_lower_case[key]}? Or " for key in like)
        raise InputError(f"Unknown answer {name!r}; {near}use {', '.join(self.answers)}{hint}.")

    def _bracketed(self, name: str) -> str:
        """The name with its indices in brackets: W_{12}, W(1, 2) and W[1][2] as W[1,2], z_1^{(2)} as z^{(2)}[1]."""
        text = unicodedata.normalize("NFKC", re.sub("(?<![₀-₉])(?=[₀-₉])", "_", name).replace("⁽", "^(")).strip()
        text = re.sub(r"\((\d+),\s*(\d+)\)|\[(\d+)\]\s*\[(\d+)\]", r"[\1\3,\2\4]", text)
        if match := INDICES.fullmatch(text):
            head, before, row, column, after, tail = match.groups("")
            whole = f"{head}{before}{after}{tail}"
            if column and self._known(whole) in self.matrices:
                return f"{whole}[{row},{column}]"
            if not column and (before + after or self._known(whole) in self.vectors):
                return f"{whole}[{row}]"
        return text

    def _known(self, name: str) -> str:
        plain = _plain(name)
        spellings = [plain, re.sub(r"^d.*\.", "d", plain), MARKED.sub(r"new\1\2", plain)]  # dfc1.weight, or dweight
        spellings += [OF_OUTPUT.sub("d", plain)] * self.is_without_loss
        known = (self.known.get(spelling) or self.in_lower_case.get(spelling.lower()) for spelling in spellings)
        return name if name in self.answers else next(filter(None, known), "")

    def oriented(self, name: str, entries: np.ndarray) -> np.ndarray:
        """A vector as a row, which a student may write as a column, or the other way round."""
        shape, is_vector = self.answers[name].shape, 1 in self.answers[name].shape and name not in self.weights
        return entries.T if is_vector and shape != entries.shape == shape[::-1] else entries


def _plain(name: str) -> str:
    """What spellings of a name have in common, such as δ₂ and delta_2, ∂L/∂V, dL_dV and dV, or V_new and new V."""
    text = WITH_BAR.sub(r"d\1\2", unicodedata.normalize("NFD", name))
    text = IN_A_FONT.sub(r"\1", text).replace(r"\dfrac", r"\frac").replace(r"\nabla", "∇")
    text = re.sub(r"\\hat(\{y\}|\s*y)", "ŷ", text)
    text = unicodedata.normalize("NFKC", to_unicode(text) if "\\" in text else text)
    text = re.sub(r"\^\{?[\[(]?(\d+)[])]?\}?|\((\d+)\)", r"\1\2", text)  # as in a^[1]
    text = text.translate(GREEK).replace("ŷ", "yhat")
    text = UPDATED.sub("new", re.sub(r"[\s_^{}()\\$]+", "_", text).strip("_"))
    text = NEW.sub(r"new\1\2\3", GRADIENT.sub(r"d\1\2\3", text))
    return DERIVATIVE.sub("d", text.replace("_", ""))
