"""Settings of a training, apart from the rest so that the command line can show the defaults without NumPy."""

import math
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mlcore.errors import InputError

if TYPE_CHECKING:
    from mlcore.sentiment.model import Model

LEARNING_RATES = {"sgd": 1.0, "adagrad": 0.01, "adam": 0.0005}
CHOICES = {
    "optimizer": tuple(LEARNING_RATES),
    "loss": ("logistic", "squared"),
    "embedding": ("trainable", "fixed"),
    "start": ("random", "naive-bayes"),
    "schedule": ("constant", "linear"),
    "class_weight": ("none", "balanced"),
}
WHOLE = {  # the range of each whole number
    "dim": (1, 10_000), "hidden": (1, 10_000), "epochs": (1, 1_000_000), "patience": (1, 1_000_000),
    "batch_size": (1, 1_000_000), "min_count": (1, 2**31), "max_features": (1, 2**31 - 1), "ngrams": (1, 3),
    "seed": (0, 2**63 - 1),
}  # fmt: skip
LARGEST = 1e300  # a greater whole number is no float


@dataclass(frozen=True)
class Settings:
    """Everything that a training depends on besides the data. The defaults were chosen by measurement (README)."""

    dim: int = 50
    hidden: int = 32
    ngrams: int = 1
    min_count: int | None = None  # None: 1 for words alone, 2 with n-grams
    max_features: int | None = None
    binary: bool = True
    loss: str = "logistic"
    embedding: str = "trainable"
    start: str = "naive-bayes"
    epochs: int = 30
    patience: int = 3
    batch_size: int = 64
    optimizer: str = "adagrad"
    learning_rate: float | None = None  # None: the optimiser's default
    schedule: str = "constant"
    word_dropout: float = 0.0
    weight_decay: float = 0.0
    class_weight: str = "none"
    seed: int = 1
    half: bool = False  # the table is saved in float16

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}.")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", LEARNING_RATES[self.optimizer])  # frozen
        if self.min_count is None:
            object.__setattr__(self, "min_count", 1 if self.ngrams == 1 else 2)
        for name, (least, most) in WHOLE.items():
            value = getattr(self, name)
            if value is None and name == "max_features":
                continue
            if type(value) is not int or not least <= value <= most:
                raise InputError(f"{name} is {value}; expected a whole number from {least} to {most:,}.")
        for name, most in (("learning_rate", math.inf), ("weight_decay", math.inf), ("word_dropout", 1.0)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < min(most, LARGEST):
                limit = f"from 0 to less than {most:g}" if most < math.inf else "that is not negative"
                raise InputError(f"{name} is {value}; expected a number {limit}.")
        if self.learning_rate == 0:
            raise InputError("learning_rate is 0; expected a number above 0.")
        for name in ("binary", "half"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} is {getattr(self, name)!r}; expected True or False.")


def encoding(settings: Settings) -> dict:
    """Arguments of ``encode``."""
    names = ("ngrams", "min_count", "max_features", "binary", "seed")
    return {name: getattr(settings, name) for name in names} | {"ratings": settings.loss == "squared"}


def reproducing_command(classifier: "Model") -> str:
    """The command that trains the same classifier again: what it was trained on, then every setting, quoted for sh.

    Of one that was trained from Python, which alone notes what kind its labels were, the call of Python.
    """
    inputs, settings = classifier.provenance.inputs, asdict(classifier.settings)
    if "labels" in inputs:
        arguments = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        return f"SentimentClassifier({arguments}, dev={inputs.get('dev')}).fit(texts, labels)"
    options = inputs | settings
    words = [word for name, value in options.items() for word in _option(name, value)]
    return shlex.join(["mlcore", "train-sentiment", *words])


def _option(name: str, value: object) -> Iterator[str]:
    """Words of the command line that give an option this value; none for None, and for a flag that is not set."""
    option = "--" + name.replace("_", "-")
    if value is True:
        yield option
    elif value is False and getattr(Settings, name):
        yield option.replace("--", "--no-", 1)
    elif isinstance(value, list):
        for one in value:
            yield from _option(name, one)
    elif value is not None and value is not False:
        # what begins with a dash could be taken for an option
        yield from [f"{option}={value}"] if str(value).startswith("-") else [option, str(value)]
