"""Settings of a training, apart from the rest so that the command line can show the defaults without NumPy."""

import math
from dataclasses import dataclass

from mlcore.errors import InputError

LEARNING_RATES = {"sgd": 1.0, "adagrad": 0.01, "adam": 0.0005}
LARGEST = {"dim": 10_000, "hidden": 10_000, "epochs": 1_000_000, "batch_size": 1_000_000, "min_count": 2**31}


@dataclass(frozen=True)
class Settings:
    """Everything that a training depends on besides the data. The defaults were chosen by measurement (README)."""

    dim: int = 50
    hidden: int = 32
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float | None = None  # None: the optimiser's default
    optimizer: str = "adagrad"
    seed: int = 1
    min_count: int = 1

    def __post_init__(self) -> None:
        if self.optimizer not in LEARNING_RATES:
            raise InputError(f"optimizer is {self.optimizer!r}; expected one of {', '.join(LEARNING_RATES)}.")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", LEARNING_RATES[self.optimizer])  # frozen
        for name, largest in LARGEST.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= largest:
                raise InputError(f"{name} is {value}; expected a whole number from 1 to {largest:,}.")
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise InputError(f"seed is {self.seed}; expected a whole number from 0 to 2^63 - 1.")
        if not isinstance(self.learning_rate, int | float) or not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate is {self.learning_rate}; expected a number above 0.")
