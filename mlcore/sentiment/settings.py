"""Settings of a training, without NumPy so that the command line can show the defaults quickly.

Each setting is declared once: options, the estimator's parameters, validation, the model's metadata, the identity of a
checkpoint and the reproducing command are derived from the fields.
"""

import dataclasses
import json
import math
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from mlcore.errors import InputError
from mlcore.files import STANDARD_STREAM
from mlcore.text.layout import FIELDS as LAYOUT
from mlcore.text.layout import option as setting

if TYPE_CHECKING:
    from mlcore.sentiment.model import Model

NEW_MODEL = Path("sentiment.safetensors")  # where a model is written, if no other file is named
# What the rules of ``Settings.resolved`` go by
LEARNING_RATES = {"sgd": 1.0, "adagrad": 0.01, "adam": 0.0005}
# So many labels, or several of a text, want a wider network, larger steps that become smaller, so that it converges in
# some ten epochs, and word dropout
MANY_LABELS = 10
MANY_TOPICS = 6  # the same of long texts, whose labels are topics then rather than opinions, unless they are grades
FEW_WORDS = 1_000_000  # in all texts want smaller steps, unless the first ones are cautious
LONG_TEXTS = 100  # words, on average
MOST_DROPPED = 0.9  # of the words of long texts with many labels; dropout leaves as many as of those that are not long
LARGEST = 1e300  # larger whole numbers have no float
RANGES = {  # how a range is written, by the first of these bounds that it has
    "above": "above {above}", "below": "from {minimum} to less than {below}",
    "maximum": "from {minimum} to {maximum:,}", "minimum": "from {minimum} up",
}  # fmt: skip


class Facts(NamedTuple):
    """What automatic settings are chosen by: all that is known of texts before they are trained on."""

    labels: int = 2
    texts: int = 10_000
    words: int = 200_000  # in all texts
    held_out: bool = True  # whether there are texts by which to choose the epoch
    ordered: bool = True  # whether the order of the words says something
    repeated: bool = True  # whether a word occurs twice
    graded: bool = False  # whether the labels are grades, such as 1 to 10: at most eleven, most of them numbers
    spaced: bool = True  # whether tokens are words, not single characters as in scripts without spaces
    width: int | None = None  # of given vectors


TYPICAL = Facts()


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that a training depends on besides the data.

    None is automatic: ``resolved`` chooses the value for the texts at hand, by rules found by cross-validation over the
    data sets of tests/benchmarks/accuracy.py together. A model has the settings that were chosen.

    Of a field, ``choices``: the strings it may be, or ``matches``: a pattern of them, with what is ``expected`` in
    words. ``minimum`` and ``maximum``: the inclusive range of a number; ``above`` and ``below``: exclusive bounds.
    ``automatic``: what None stands for, which the field's type, that of the value then chosen, leaves out.
    ``resumable``: a training may be resumed with another value.

    Raises: InputError if a value is of the wrong type or out of range.
    """

    # fmt: off
    ngrams: int = setting(None, "1: words; 2: also word pairs, and how texts begin (^ what, ^ what is); 3: also "
                          "word triples.", minimum=1, maximum=3,
                          automatic="2; for long texts 3, with many labels 1; 1 if the order of words says nothing")
    char_ngrams: str = setting(None, "Also n-grams of so many characters within each word, such as 3-5.",
                               automatic="2-4, for long texts none",
                               matches="none|" + "|".join(f"{size}-[{size}-9]" for size in range(2, 10)),
                               expected="none, or two sizes from 2 to 9 such as 3-5")
    min_count: int = setting(None, "Ignore words and n-grams that occur less often.",
                             minimum=1, maximum=2**31, automatic="1, with n-grams 2 if any word occurs twice")
    max_features: int | None = setting(None, "Keep only the most frequent words and n-grams.",
                                       minimum=1, maximum=2**31 - 1, automatic="all")
    binary: bool = setting(None, "Count each word once per text, or as often as it occurs.",
                           automatic="once; as often with many labels, or if the order of words says nothing")
    dim: int = setting(None, "Width of the embedding.", minimum=1, maximum=10_000,
                       automatic="64, with many labels 128, or that of given vectors")
    hidden: int = setting(None, "Units of the hidden layer.", minimum=1, maximum=10_000,
                          automatic="64, with many labels 128")
    loss: str = setting("logistic", "logistic for labels (softmax if more than two), squared for numeric ratings.",
                        choices=("logistic", "squared"))
    multi_label: bool = setting(False, "A text may have several labels, or none: one logistic output for each label.")
    tune_thresholds: bool = setting(False, "With several labels: predict a label above the probability that suits the "
                                    "held-out texts best, not above 0.5.", resumable=True)
    freeze_embedding: bool = setting(False, "Train only the dense layers.")
    initialization: str = setting("naive-bayes", "random, or naive-bayes (up to 1,000 labels): add each word's "
                                  "log-count ratio.",
                                  choices=("random", "naive-bayes"))
    epochs: int = setting(None, "Maximum number of epochs; the best one is kept, with a linear schedule the last "
                          "one.", minimum=1, maximum=100_000, resumable=True,
                          automatic="100, with nothing held out 30, with many labels 10 to 40")
    patience: int = setting(None, "Stop after this many epochs without a lower held-out loss, or with several labels "
                            "a higher micro F1; with a linear schedule, never.",
                            minimum=1, maximum=100_000, resumable=True,
                            automatic="3")
    refit: bool = setting(True, "Then train on all texts for as many epochs, unless the data has a dev split.")
    batch_size: int = setting(64, "Texts per batch.", minimum=1, maximum=1_000_000)
    optimizer: str = setting("adagrad", "sgd, adagrad or adam.", choices=tuple(LEARNING_RATES))
    learning_rate: float = setting(None, "Learning rate.", above=0, automatic=(
                                   ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())
                                   + "; with few texts half of that (adagrad for ratings), with many labels twelve "
                                   "times (sgd five)"))
    schedule: str = setting(None, "constant, or linear: the learning rate falls to 0 over all epochs.",
                            choices=("constant", "linear"), automatic="constant, with many labels linear")
    word_dropout: float = setting(None, "Share of each text's words to drop at random in each epoch.",
                                  minimum=0, below=1,
                                  automatic="0, with many labels 0.5 or more if the order of words says something")
    class_weight: str = setting("none", "balanced: give every label the same weight, however frequent it is; or "
                                'weights of labels, such as \'{"pos": 2}\'.',
                                choices=("none", "balanced"), weights=True)
    seed: int = setting(1, "Seed of everything random: parameters, held-out texts, order, dropout.",
                        minimum=0, maximum=2**63 - 1)
    float16: bool = setting(False, "Store the embedding in 16 bits: half the file.", resumable=True)
    # fmt: on

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))
        if self.multi_label and self.loss == "squared":
            raise InputError("numbers have no labels", parameter="multi_label", value=True)
        if self.multi_label and self.class_weight != "none":
            expected = "expected 'none' where a text may have several labels"
            raise InputError(expected, parameter="class_weight", value=self.class_weight)

    def outputs(self, labels: int) -> int:
        """Outputs of a network for this number of labels: one for numbers, and for the positive one of two labels."""
        return labels if labels > 2 or self.multi_label else 1

    def resolved(self, facts: Facts = TYPICAL) -> "Settings":
        """The settings, with a value chosen for such texts wherever one is None.

        Raises: InputError if thresholds are to be tuned, but nothing is held out.
        """
        if self.tune_thresholds and not facts.held_out:
            raise InputError("they are tuned on held-out texts; hold some out", parameter="tune_thresholds", value=True)
        words = facts.words / max(facts.texts, 1)
        long = words >= LONG_TEXTS
        enough = MANY_TOPICS if long and not facts.graded else MANY_LABELS
        many = self.loss == "logistic" and (facts.labels >= enough or self.multi_label)
        topics = long and many and not facts.graded
        alone = not facts.ordered or (topics and facts.spaced)  # words, without their neighbours
        ngrams = self.ngrams or (1 if alone else 3 if long and not topics else 2)
        char_ngrams = self.char_ngrams or ("none" if long or not facts.ordered else "2-4")
        bold = self.optimizer != "adagrad" or self.loss == "squared"
        step = 0.5 if facts.words < FEW_WORDS and bold else 1
        if many:
            step = 5 if self.optimizer == "sgd" or (self.multi_label and not facts.ordered) else 12
        more = 2 if topics and facts.ordered else 1  # where dropout leaves a smaller share of the texts
        fewer = min(max(more * 100_000 // max(facts.texts, 1), more * 10), 40)  # epochs: few texts want more of them
        dropped = min(round(1 - LONG_TEXTS / 2 / words, 2), MOST_DROPPED) if topics else 0.5
        chosen: dict[str, Any] = {
            "ngrams": ngrams,
            "binary": facts.ordered and (facts.graded or not many),
            "char_ngrams": char_ngrams,
            "min_count": 1 if (ngrams == 1 and char_ngrams == "none") or not facts.repeated else 2,
            "dim": facts.width or (128 if many else 64),
            "hidden": 128 if many else 64,
            "epochs": fewer if many else 100 if facts.held_out else 30,
            "patience": 3,
            "learning_rate": LEARNING_RATES[self.optimizer] * step,
            "schedule": "linear" if many else "constant",
            "word_dropout": dropped if many and facts.ordered else 0.0,
        }
        return dataclasses.replace(
            self, **{name: value for name, value in chosen.items() if getattr(self, name) is None}
        )

    def automatic(self) -> list[str]:
        """Names of the settings that ``resolved`` chooses."""
        return [name for name, value in dataclasses.asdict(self.resolved()).items() if value != getattr(self, name)]

    @property
    def characters(self) -> range:
        """Sizes of the n-grams of characters."""
        sizes = [int(size) for size in self.char_ngrams.split("-") if size != "none"]
        return range(sizes[0], sizes[1] + 1) if sizes else range(0)

    def encoding(self) -> dict[str, Any]:
        """The arguments of ``mlcore.text.dataset.encode``, of resolved settings."""
        from mlcore.text.ngrams import Choice

        choice = Choice(self.ngrams, self.min_count, self.max_features, self.binary, self.characters)
        chosen = {"multi_label": self.multi_label, "seed": self.seed, "refit": self.refit}
        return chosen | {"choice": choice, "ratings": self.loss == "squared"}

    def identity(self) -> dict[str, Any]:
        """The values that have to be equal for a training to be resumed."""
        free = {name for name, field in FIELDS.items() if field.metadata.get("resumable")}
        if self.schedule == "linear":
            free.remove("epochs")
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in free}


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def check(field: dataclasses.Field[Any], value: Any) -> None:
    """Raises: InputError if a field with such metadata as those of ``Settings`` cannot have this value."""
    kinds, bounds = get_args(field.type) or (field.type,), field.metadata
    if value is None and field.default is None:
        return
    if bool in kinds:
        valid, expected = isinstance(value, bool), "True or False"
    elif str in kinds:
        choices = bounds.get("choices", ())
        valid = isinstance(value, str) and (value in choices or bool(re.fullmatch(bounds.get("matches", "$"), value)))
        expected = "one of " + ", ".join(choices)
        if "weights" in bounds:
            valid = valid or (isinstance(value, str) and weights_in(value) is not None)
            expected += ', or weights of labels such as {"pos": 2}'
    else:
        whole = int in kinds
        valid = type(value) is int or (not whole and isinstance(value, float))
        valid = valid and bounds.get("minimum", -LARGEST) <= value <= bounds.get("maximum", LARGEST)
        valid = valid and bounds.get("above", -math.inf) < value < bounds.get("below", math.inf)
        span = next(span for bound, span in RANGES.items() if bound in bounds).format(**bounds)
        expected = f"a {'whole ' * whole}number {span}"
    if not valid:
        raise InputError(f"expected {bounds.get('expected', expected)}", parameter=field.name, value=value)


def weights_in(text: str) -> dict[str, float] | None:
    """Weights of labels that are written as a JSON object; None if they are not, or one is not a number from 0 up."""
    try:
        weights: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(weights, dict) or any(type(weight) not in (int, float) for weight in weights.values()):
        return None
    return weights if all(0 <= weight < LARGEST for weight in weights.values()) else None


def reproducing_command(model: "Model", path: Path | None = None) -> str:
    """The command that trains the same model again, or its original: its inputs, then every setting, quoted for sh.

    A model in a file of another name than the usual one is written there again, so that it replaces no other one.
    For a model that was trained from Python, whose inputs name the type of its labels, the call in Python.
    """
    inputs, values = model.provenance.inputs, given_settings(model)
    if model.compressed and values["dim"]:
        values["dim"] = model.compressed.dim
    if "labels" in inputs:
        arguments = ", ".join(f"{name}={value!r}" for name, value in values.items())
        name = f"DaskSentimentClassifier(replicas={n}, " if (n := inputs.get("replicas")) else "SentimentClassifier("
        return f"{name}{arguments}, dev={inputs.get('dev')}).fit(texts, labels)"
    words, flags = ["mlcore", "train-sentiment"], {field.name for field in LAYOUT.values() if field.type is bool}
    for name, value in {**inputs, **values}.items():
        option = "--" + name.replace("_", "-")
        for one in value if isinstance(value, list) else [value]:
            if name in flags:
                words += [option]
            elif isinstance(one, bool):
                words += [option] if one else [option.replace("--", "--no-", 1)] * (FIELDS[name].default is not False)
            elif one is not None:  # a value that begins with a dash could be taken for an option
                words += [f"{option}={one}"] if str(one).startswith("-") else [option, str(one)]
    if path not in (None, NEW_MODEL, STANDARD_STREAM) and not model.compressed:
        words += ["--model", str(path)]
    return shlex.join(words)


def given_settings(model: "Model") -> dict[str, Any]:
    """The settings of a model as they were given: None where one was chosen."""
    return dataclasses.asdict(model.settings) | dict.fromkeys(model.provenance.chosen)
