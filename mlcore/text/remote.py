"""Files that patterns and URLs name, such as 'shards/*.csv' and s3://bucket/shard.jsonl, by fsspec."""

import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from mlcore.errors import DataError, InputError
from mlcore.files import check_once, write_beside


def find_files(patterns: Iterable[str | Path]) -> list[str]:
    """Absolute paths, or URLs, of the files that these name, in order.

    Raises: InputError if one names none, or two the same; DataError if its kind of URL needs another package.
    """
    found = list[str]()
    for pattern in patterns:
        system, path = file_system(pattern)
        if not (matches := sorted(system.glob(path))):
            raise InputError(f"No file matches {pattern}.")
        found += matches if "file" in system.protocol else map(system.unstrip_protocol, matches)
    check_once(found)
    return found


def file_system(location: str | Path) -> tuple[Any, str]:
    """The file system of a path or URL, and the path in it; a Path has lost one of the slashes of a URL."""
    from fsspec.core import url_to_fs

    url = re.sub(r"^(?!file:)(\w\w+):/(?!/)", r"\1://", str(location))
    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DataError(f"{url} cannot be reached: {error}") from error
    return system, str(path)


def local_copy(location: str) -> Path:
    """The path of a file; one that a URL names is fetched into a temporary folder first."""
    from fsspec import open_local

    if "://" in location:
        location = open_local(f"simplecache::{location}", simplecache={"same_names": True})
    return Path(location)


def write_file(location: str, write: Callable[[Path, BinaryIO], object]) -> None:
    """Write a file, which appears at this path or URL when it is complete; ``write`` is told a path of its name."""
    system, path = file_system(location)
    if "file" in system.protocol:
        write_beside(Path(path), lambda file: write(Path(path), file))
        return
    with tempfile.TemporaryDirectory(prefix="mlcore-") as folder:
        local = Path(folder, Path(path).name)
        write_beside(local, lambda file: write(local, file))
        system.put_file(str(local), path)
