"""mlcore: backpropagation by hand and a sentiment classifier at scale, on one set of Numba kernels.

``Layer`` and ``Network`` work small networks, ``SentimentClassifier`` classifies texts; the rest are the errors that
they raise. The first three are imported on first use, so that ``import mlcore`` alone stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mlcore.errors import DataError, DivergedError, InputError, MlcoreError, ModelFileError, NotFittedError, ShapeError

if TYPE_CHECKING:
    from mlcore.exercise.network import Layer, Network
    from mlcore.sentiment.estimator import SentimentClassifier

__all__ = [
    "DataError", "DivergedError", "InputError", "Layer", "MlcoreError", "ModelFileError", "Network", "NotFittedError",
    "SentimentClassifier", "ShapeError", "__version__",
]  # fmt: skip
__version__ = "0.1.0"

_MODULES = {
    "Layer": "mlcore.exercise.network",
    "Network": "mlcore.exercise.network",
    "SentimentClassifier": "mlcore.sentiment.estimator",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'mlcore' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
