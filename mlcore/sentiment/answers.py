"""What is said about each text that is predicted; without NumPy, so that the command line shows the options quickly."""

from dataclasses import dataclass, fields

from mlcore.errors import InputError
from mlcore.sentiment.settings import check
from mlcore.text.layout import option


@dataclass(frozen=True)
class Answers:
    """What is said besides the label.

    Raises: InputError if a value is of the wrong type or out of range.
    """

    # fmt: off
    top: int | None = option(None, "Give this many labels, the most probable ones first.", metavar="K", automatic="1",
                             minimum=1)
    probabilities: bool = option(False, "Give the probabilities of all labels.")
    threshold: float | None = option(None, "Leave texts open whose label is less probable.", metavar="P",
                                     automatic="none", above=0, maximum=1, expected="a probability above 0, up to 1")
    otherwise: str = option("", "What to say of those instead of a label.", metavar="LABEL", automatic="nothing",
                            matches="(?s).*", expected="a text")
    # fmt: on

    def __post_init__(self) -> None:
        for field in fields(self):
            check(field, getattr(self, field.name))
        if self.otherwise and self.threshold is None:
            raise InputError("it also needs a threshold", parameter="otherwise", value=self.otherwise)
