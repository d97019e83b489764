"""What is said about each text that is predicted; without NumPy, so that the command line shows the options quickly."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from mlcore.errors import InputError
from mlcore.text.layout import option


@dataclass(frozen=True)
class Answers:
    """What is said besides the label.

    Raises: InputError if one is no number, or out of range.
    """

    # fmt: off
    top: int | None = option(None, "Give this many labels, the most probable ones first.", metavar="K", automatic="1")
    probabilities: bool = option(False, "Give the probabilities of all labels.")
    threshold: float | None = option(None, "Leave texts open whose label is less probable.", metavar="P",
                                     automatic="none")
    otherwise: str = option("", "What to say of those instead of a label.", metavar="LABEL", automatic="nothing")
    # fmt: on

    def __post_init__(self) -> None:
        is_whole = isinstance(self.top, Integral) and not isinstance(self.top, bool)
        if self.top is not None and not (is_whole and self.top >= 1):
            raise InputError("expected a whole number from 1 up", parameter="top", value=self.top)
        is_number = isinstance(self.threshold, Real) and not isinstance(self.threshold, bool)
        if self.threshold is not None and not (is_number and 0 < self.threshold <= 1):
            raise InputError("expected a probability above 0, up to 1", parameter="threshold", value=self.threshold)
        if not isinstance(self.otherwise, str):
            raise InputError("expected a text", parameter="otherwise", value=self.otherwise)
        if self.otherwise and self.threshold is None:
            raise InputError("it also needs a threshold", parameter="otherwise", value=self.otherwise)

    def columns(self, labels: Sequence[str]) -> list[str]:
        """The names of the columns of a model with these labels.

        Raises: InputError if there are none: ratings have no probabilities.
        """
        if not labels:
            for field in dataclasses.fields(self):
                if (value := getattr(self, field.name)) != field.default:
                    raise InputError("ratings have no probabilities", parameter=field.name, value=value)
            return ["predicted", "known"]
        numbers = ["", *(f"_{number}" for number in range(2, min(self.top or 1, len(labels)) + 1))]
        names = [f"{name}{number}" for number in numbers for name in ("predicted", "probability")]
        return [*names, *(f"probability_{label}" for label in labels if self.probabilities), "known"]
