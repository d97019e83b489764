"""Settings of a training, without NumPy so that the command line can show the defaults quickly.

Each setting is declared once: options, the estimator's parameters, validation, the model's metadata, the identity of a
checkpoint and the reproducing command are derived from the fields.
"""

import dataclasses
import math
import shlex
from typing import TYPE_CHECKING, Any, get_args

from mlcore.errors import InputError
from mlcore.text.layout import FIELDS as LAYOUT

if TYPE_CHECKING:
    from mlcore.sentiment.model import Model

LEARNING_RATES = {"sgd": 1.0, "adagrad": 0.01, "adam": 0.0005}
LARGEST = 1e300  # larger whole numbers have no float
RANGES = {  # how a range is written, by the first of these bounds that it has
    "above": "above {above}", "below": "from {minimum} to less than {below}",
    "maximum": "from {minimum} to {maximum:,}", "minimum": "from {minimum} up",
}  # fmt: skip


def setting(default: Any, help: str, **metadata: Any) -> Any:
    """Declare a setting.

    ``choices``: the strings it may be. ``minimum`` and ``maximum``: the inclusive range of a number; ``above`` and
    ``below``: exclusive bounds. ``automatic``: what None stands for. ``resumable``: a training may be resumed with
    another value.
    """
    return dataclasses.field(default=default, metadata={"help": help, **metadata})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that a training depends on besides the data. The defaults were chosen by measurement (README).

    Values stay as they are given; ``resolved`` tells what None stands for.

    Raises: InputError if a value is of the wrong type or out of range.
    """

    # fmt: off
    ngrams: int = setting(1, "1: words; 2: also word pairs; 3: also word triples.", minimum=1, maximum=3)
    min_count: int | None = setting(None, "Ignore words and n-grams that occur less often.",
                                    minimum=1, maximum=2**31, automatic="1, with n-grams 2")
    max_features: int | None = setting(None, "Keep only the most frequent words and n-grams.",
                                       minimum=1, maximum=2**31 - 1, automatic="all")
    binary: bool = setting(True, "Count each word once per text, or as often as it occurs.")
    dim: int = setting(50, "Width of the embedding.", minimum=1, maximum=10_000)
    hidden: int = setting(32, "Units of the hidden layer.", minimum=1, maximum=10_000)
    loss: str = setting("logistic", "logistic for labels (softmax if more than two), squared for numeric ratings.",
                        choices=("logistic", "squared"))
    freeze_embedding: bool = setting(False, "Train only the dense layers.")
    initialization: str = setting("naive-bayes", "random, or naive-bayes: add each word's log-count ratio.",
                                  choices=("random", "naive-bayes"))
    epochs: int = setting(30, "Maximum number of epochs; the best one is kept.",
                          minimum=1, maximum=100_000, resumable=True)
    patience: int = setting(3, "Stop after this many epochs without a lower held-out loss.",
                            minimum=1, maximum=100_000, resumable=True)
    batch_size: int = setting(64, "Texts per batch.", minimum=1, maximum=1_000_000)
    optimizer: str = setting("adagrad", "sgd, adagrad or adam.", choices=tuple(LEARNING_RATES))
    learning_rate: float | None = setting(None, "Learning rate.", above=0, automatic=", ".join(
                                          f"{name} {rate:g}" for name, rate in LEARNING_RATES.items()))
    schedule: str = setting("constant", "constant, or linear: the learning rate falls to 0 over all epochs.",
                            choices=("constant", "linear"))
    word_dropout: float = setting(0.0, "Share of each text's words to drop at random in each epoch.",
                                  minimum=0, below=1)
    weight_decay: float = setting(0.0, "Decoupled weight decay, for the layers and the embeddings of each batch.",
                                  minimum=0)
    class_weight: str = setting("none", "balanced: give every label the same weight, however frequent it is.",
                                choices=("none", "balanced"))
    seed: int = setting(1, "Seed of everything random: parameters, held-out texts, order, dropout.",
                        minimum=0, maximum=2**63 - 1)
    float16: bool = setting(False, "Store the embedding in 16 bits: half the file.", resumable=True)
    # fmt: on

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))

    @property
    def resolved_learning_rate(self) -> float:
        """The learning rate, or that of the optimizer."""
        return LEARNING_RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    def resolved(self) -> "Settings":
        """The settings with concrete values where None means automatic."""
        count = (1 if self.ngrams == 1 else 2) if self.min_count is None else self.min_count
        return dataclasses.replace(self, learning_rate=self.resolved_learning_rate, min_count=count)

    def encoding(self) -> dict[str, Any]:
        """The arguments of ``mlcore.text.dataset.encode``."""
        values = dataclasses.asdict(self.resolved())
        names = ("ngrams", "min_count", "max_features", "binary", "seed")
        return {name: values[name] for name in names} | {"ratings": self.loss == "squared"}

    def identity(self) -> dict[str, Any]:
        """The values that have to be equal for a training to be resumed."""
        free = {name for name, field in FIELDS.items() if field.metadata.get("resumable")}
        if self.schedule == "linear":
            free.remove("epochs")
        return {name: value for name, value in dataclasses.asdict(self.resolved()).items() if name not in free}


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    """Raises: InputError if a setting cannot have this value."""
    kinds, bounds = get_args(field.type) or (field.type,), field.metadata
    if value is None and type(None) in kinds:
        return
    if bool in kinds:
        valid, expected = isinstance(value, bool), "True or False"
    elif str in kinds:
        valid = isinstance(value, str) and value in bounds["choices"]
        expected = "one of " + ", ".join(bounds["choices"])
    else:
        whole = int in kinds
        valid = type(value) is int or (not whole and isinstance(value, float))
        valid = valid and bounds.get("minimum", -LARGEST) <= value <= bounds.get("maximum", LARGEST)
        valid = valid and bounds.get("above", -math.inf) < value < bounds.get("below", math.inf)
        span = next(span for bound, span in RANGES.items() if bound in bounds).format(**bounds)
        expected = f"a {'whole ' * whole}number {span}"
    if not valid:
        raise InputError(f"expected {expected}", parameter=field.name, value=value)


def reproducing_command(model: "Model") -> str:
    """The command that trains the same model again: its inputs, then every setting, quoted for sh.

    For a model that was trained from Python, whose inputs name the type of its labels, the call in Python.
    """
    inputs, values = model.provenance.inputs, dataclasses.asdict(model.settings)
    if "labels" in inputs:
        arguments = ", ".join(f"{name}={value!r}" for name, value in values.items())
        return f"SentimentClassifier({arguments}, dev={inputs.get('dev')}).fit(texts, labels)"
    words, flags = ["mlcore", "train-sentiment"], {field.name for field in LAYOUT.values() if field.type is bool}
    for name, value in {**inputs, **values}.items():
        option = "--" + name.replace("_", "-")
        for one in value if isinstance(value, list) else [value]:
            if name in flags:
                words += [option]
            elif isinstance(one, bool):
                words += [option] if one else [option.replace("--", "--no-", 1)] * (FIELDS[name].default is True)
            elif one is not None:  # a value that begins with a dash could be taken for an option
                words += [f"{option}={one}"] if str(one).startswith("-") else [option, str(one)]
    return shlex.join(words)
