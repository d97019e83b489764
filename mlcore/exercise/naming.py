"""What answers are called: on sheets, and as students spell it; and how they are oriented."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import product

import numpy as np

from mlcore.errors import InputError
from mlcore.exercise.answers import Answer, each
from mlcore.exercise.derivation import Symbols
from mlcore.exercise.formats import to_unicode
from mlcore.exercise.mistakes import Matrices
from mlcore.exercise.problem import Problem

ENTRY = re.compile(r"(.*\S)\s*\[\s*(\d{1,9})\s*(?:,\s*(\d{1,9})\s*)?\]")  # dV[1, 2], or c[1] of a vector
LAYER_INDEX = r"(\^\{?[(\[]\d+[)\]]\}?)"
# z_1^{(2)}, or z^{(2)}_1
ENTRY_OF_LAYER = re.compile(rf"^(.+)(?:_\{{?(\d)\}}?{LAYER_INDEX}|{LAYER_INDEX}_\{{?(\d)\}}?)(\}}?)$")
UNIT = re.compile(r"(.*\D)(\d{1,9})")  # h1, of h
IN_A_FONT = re.compile(r"\\(?:math(?!rm)[a-z]+|boldsymbol|bm|vec)\s*\{?(\w+)\}?")
DERIVATIVE = re.compile(r"^(?:[d∂](?:[JLECel]|[Ll]oss|[Cc]ost|MSE)(?:total)?/?[d∂]|grad(?:ient)?|∇)")
GRADIENT = re.compile(
    r"^(?:(?:self|model|net)\.)*+(.+)[._]grad(?:ient)?$|^grads?[\['\"]+(\w+)['\"\]]+$|^∇_?([\w']+?)_?[JLEC]?$"
)
NEW = re.compile(r"^(.+_|[A-Za-z]\d?)(?:new|updated)_?(\d*)$|^updated(_.+|[A-Z]\d?$)|^(.+)\+$")
KINDS = ("d", "new ")  # of answers about arrays
WORDS = {"net": "z", "out": "a", "delta": "dz", "dnet": "dz", "dout": "da"}
OUTPUTS = ("yhat", "ypred", "pred", "prediction", "output", "out", "o", "f")
ALIASES = dict.fromkeys(OUTPUTS, "y_hat")
ALIASES |= dict.fromkeys(("loss", "J", "L", "E", "C", "cost", "Etotal"), "loss")


class Naming:
    """The names of all answers to a problem.

    ``answers``: all of them in the order of the pass, with values of the right shape. ``symbols``: each as sheets write
    it, such as ∂J/∂V; ``known``: each by what students may write, and ``in_lower_case`` by the same in lower case,
    unless several are written so. ``vectors``: answers of one row, whose entries may be written h1 and h2; ``first``:
    what is both a first entry and all of the only layer, by how many numbers there are.
    """

    def __init__(self, problem: Problem, answers: Matrices) -> None:
        self.answers, symbols = answers, Symbols(problem)
        arrays = {name: to_unicode(symbol) for name, symbol in (symbols.names | {"x": "x"}).items()}
        self.symbols = {"y_hat": "ŷ", "loss": "J"} | {f"d{name}": f"∂J/∂{symbol}" for name, symbol in arrays.items()}
        self.symbols |= {f"new {name}": f"new {symbol}" for name, symbol in arrays.items()}
        self.known = dict[str, str]()  # names of answers as people spell them
        hidden = [("h", "hidden")] if symbols.depth == 2 else [()] * (symbols.depth - 1)
        ends = [*hidden, ("o", "out", "output", *[""] * (symbols.depth == 1))]  # of net_o1 and delta_hidden
        for number, layer in enumerate(problem.network.layer_names):
            a, z = (to_unicode(found[number]) for found in (symbols.outputs, symbols.z))
            self.symbols |= {f"z:{layer}": z, f"a:{layer}": a, f"da:{layer}": f"∂J/∂{a}"}
            self.symbols[f"delta:{layer}"] = to_unicode(symbols.delta[number])
            which = {"z": f"z:{layer}", "a": f"a:{layer}", "dz": f"delta:{layer}", "da": f"da:{layer}"}
            which |= {word: which[letter] for word, letter in WORDS.items()}
            self.known |= {f"{word}{number + 1}": name for word, name in which.items()}
            self.known |= {f"{word}{end}": name for word, name in which.items() for end in ends[number]}
        self.first = {f"{word}1" for word in which if symbols.depth == 1}
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
        of_layers = {kind + name for kind in KINDS for name in problem.network.arrays if symbols.depth > 1}
        self.vectors = {name for name, rows in answers.items() if len(rows) == 1} - of_layers - {"loss"}

    def prepared(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers under their names, as they are oriented here, and with single entries in their places."""
        if not answers:
            raise InputError("There are no answers; give at least one.")
        found: dict[str, Answer] = {}
        for answer in answers:
            name, place = self.find(answer.name)
            is_delta = name.startswith("delta:") and _plain(answer.name).lower().startswith("delta")
            entries = self.oriented(name, answer.entries)
            may_be_layer = place == (0, 0) and name != "y_hat" and "," not in answer.name
            is_layer = may_be_layer and entries.shape == self.answers[name].shape  # all of h1
            if place and not is_layer:
                if entries.size != 1:
                    raise InputError(f"{answer.name} is one entry of {name}; give one number.")
                number, entries = entries.item(), np.full(self.answers[name].shape, None, object)
                entries[place] = number
            if name in found:
                before = found[name].entries
                both = zip(entries.flat, before.flat, strict=True)
                if entries.shape != before.shape or any(a and b for a, b in both):
                    raise InputError(f"{name} is answered twice; give one answer.")
                entries = each(lambda a, b: a or b, entries, before)
                is_delta = is_delta and found[name].is_delta
            found[name] = Answer(name, entries, is_delta)
        return list(found.values())

    def find(self, name: str) -> tuple[str, tuple[int, int] | None]:
        """The name of an answer, and the place if it is one entry: dV[1, 2], or of a vector c[1], c_1^{(2)} or h1."""
        text = self._known(name) or ENTRY_OF_LAYER.sub(r"\1\3\4\6[\2\5]", name)
        if text in self.answers:
            return text, (0, 0) if _plain(name).lower() in self.first and text in self.vectors else None
        plain = _plain(text)
        entry = ENTRY.fullmatch(unicodedata.normalize("NFKC", text).strip())
        for match in filter(None, (entry, ENTRY.fullmatch(plain), UNIT.fullmatch(plain))):
            found = self._known(match[1])
            if found in (self.answers if match.re is ENTRY else self.vectors):
                row, column = (1, int(match[2])) if match.lastindex == 2 else (int(match[2]), int(match[3]))
                rows, columns = self.answers[found].shape
                if not (1 <= row <= rows and 1 <= column <= columns):
                    raise InputError(f"There is no {name}: {found} has the shape {rows} x {columns}.")
                return found, (row - 1, column - 1)
        without_step = "dx" in self.answers and not any(known.startswith("new ") for known in self.answers)
        hint = "; for new weights give a learning rate" * (without_step and plain.startswith("new"))
        hint += f"; an entry has its row and column, as in {self.weights[0]}[1,1]" * bool(re.search(r"\d", plain))
        like = get_close_matches(plain.lower(), self.in_lower_case, 1, 0.7)
        near = "".join(f"did you mean {self.in_lower_case[key]}? Or " for key in like)
        raise InputError(f"Unknown answer {name!r}; {near}use {', '.join(self.answers)}{hint}.")

    def _known(self, name: str) -> str:
        plain = _plain(name)
        spellings = (plain, re.sub(r"^d.*\.", "d", plain))  # dfc1.weight, or dweight
        known = (self.known.get(spelling) or self.in_lower_case.get(spelling.lower()) for spelling in spellings)
        return name if name in self.answers else next(filter(None, known), "")

    def oriented(self, name: str, entries: np.ndarray) -> np.ndarray:
        """A vector as a row, which a student may write as a column, or the other way round."""
        shape, is_vector = self.answers[name].shape, 1 in self.answers[name].shape and name not in self.weights
        return entries.T if is_vector and shape != entries.shape == shape[::-1] else entries


def _plain(name: str) -> str:
    """What spellings of a name have in common, such as δ₂ and delta_2, ∂L/∂V, dL_dV and dV, or V_new and new V."""
    text = IN_A_FONT.sub(r"\1", name).replace(r"\dfrac", r"\frac").replace(r"\nabla", "∇")
    text = re.sub(r"\\hat(\{y\}|\s*y)", "ŷ", text)
    text = unicodedata.normalize("NFKC", to_unicode(text) if "\\" in text else text)
    text = re.sub(r"\^\{?[\[(]?(\d+)[])]?\}?|\((\d+)\)", r"\1\2", text)  # as in a^[1]
    text = re.sub(r"[\s_^{}()\\$]+", "_", text).strip("_").replace("δ", "delta").replace("ŷ", "yhat")
    text = NEW.sub(r"new\1\2\3\4", GRADIENT.sub(r"d\1\2\3", text))
    return DERIVATIVE.sub("d", text.replace("_", ""))
