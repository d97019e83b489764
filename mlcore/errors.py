"""What mlcore raises: one class for each kind of cause, so that a caller can tell them apart."""


class MlcoreError(Exception):
    """Base of all errors that mlcore raises on purpose. The message is one sentence for a person."""


class InputError(MlcoreError, ValueError):
    """An argument is wrong: not a number, out of range, or not one of the choices."""


class ShapeError(InputError):
    """Arrays do not fit together."""


class NotFittedError(MlcoreError, ValueError, AttributeError):
    """An estimator is asked before it was fitted. Its other bases are those of scikit-learn's error of this name."""


class DataError(MlcoreError):
    """A data file does not hold what it should; the message names the file and the line."""


class ModelFileError(MlcoreError):
    """A model file is damaged, or is not a model file."""


class DivergedError(MlcoreError):
    """Training left the finite numbers."""
