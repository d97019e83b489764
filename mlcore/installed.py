"""Files that are installed with mlcore."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path


def installed(name: str) -> Path:
    """Path of a file of ``data/``."""
    return Path(str(files("mlcore.data") / name))


def sources(*names: str) -> Iterator[bytes]:
    """Content of these files of the package, and of the files of these folders of it."""
    package = Path(__file__).parent
    for name in names:
        path = package / name
        yield from (file.read_bytes() for file in (sorted(path.glob("*.py")) if path.is_dir() else [path]))
