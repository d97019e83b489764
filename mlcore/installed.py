"""Files that are installed with mlcore."""

from importlib.resources import files
from pathlib import Path


def installed(name: str) -> Path:
    """Path of a file of ``data/``."""
    return Path(str(files("mlcore.data") / name))
