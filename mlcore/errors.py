"""What mlcore raises: one class for each kind of cause, so that a caller can tell them apart."""

from collections.abc import Callable, Mapping


def written(value: object, form: Callable[[object], str] = repr) -> str:
    """A wrong value as text, also a whole number that Python refuses to write."""
    try:
        return form(value)
    except ValueError:
        return "a number of too many digits"


def counted(number: int, noun: str) -> str:
    """A number of things, in a message: 1 row, 2,000 rows."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


class MlcoreError(Exception):
    """Base of all errors that mlcore raises on purpose. The message is for a person.

    An error knows the parameter that it is about, so that every caller can name it in its own way: the command line
    says ``--min-count 2`` where Python says ``min_count=2``.

    ``parameter`` and ``value``: the parameter that is wrong, and what it was. The message then says what is expected.
    ``suggestion``: parameters, with values, that would mend it.

    Example:
        >>> str(InputError("expected a whole number from 1 to 3", parameter="ngrams", value=5))
        'ngrams is 5; expected a whole number from 1 to 3.'
        >>> str(DataError("a.csv has too few texts to hold some out", suggestion={"dev": 0}))
        'a.csv has too few texts to hold some out; try dev=0.'
    """

    def __init__(
        self,
        message: str,
        *,
        parameter: str | None = None,
        value: object = None,
        suggestion: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.parameter, self.value = message, parameter, value
        self.suggestion = dict(suggestion or {})

    def describe(
        self,
        given: Callable[[str, object], str] = lambda parameter, value: f"{parameter} is {written(value)}",
        setting: Callable[[str, object], str] = lambda parameter, value: f"{parameter}={value!r}",
    ) -> str:
        """The whole message: ``given`` says what the wrong parameter was, ``setting`` what to try."""
        start = f"{given(self.parameter, self.value)}; " if self.parameter else ""
        end = "; try " + " ".join(setting(*item) for item in self.suggestion.items()) if self.suggestion else ""
        message = f"{start}{self.message.removesuffix('.')}{end}"
        return message if message.endswith("?") else f"{message}."

    def __str__(self) -> str:
        return self.describe()


class InputError(MlcoreError, ValueError):
    """An argument is wrong: not a number, out of range, or not one of the choices."""


class ShapeError(InputError):
    """Arrays do not fit together."""


class NotFittedError(MlcoreError, ValueError, AttributeError):
    """An estimator is used before it was fitted. Its other bases are those of scikit-learn's error of this name."""


class DataError(MlcoreError):
    """A data file does not hold what it should; the message names the file and the line."""


class DataWarning(MlcoreError, UserWarning):
    """Data can be used, but may not be what was meant. It is not raised, but collected and shown."""


class ModelFileError(MlcoreError):
    """A model file is damaged, or is not a model file."""


class DivergedError(MlcoreError):
    """Training left the finite numbers."""
