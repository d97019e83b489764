"""The classifier on many machines, by Dask: the same bytes for any number of its workers."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:  # on first use, as in mlcore itself: the command line imports the rest quickly
    if name != "DaskSentimentClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.estimator").DaskSentimentClassifier
