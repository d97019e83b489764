"""Files that patterns and URLs name, such as 'shards/*.csv' and s3://bucket/shard.jsonl, by fsspec."""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from mlcore.errors import DataError, InputError, MlcoreError
from mlcore.files import URLS, check_once, write_beside


def find_files(patterns: Iterable[str | Path]) -> list[str]:
    """Absolute paths, or URLs, of the files that these name, in order.

    Raises: InputError if one names none, or two the same; DataError if its kind of URL needs another package.
    """
    found = list[str]()
    for pattern in patterns:
        system, path = file_system(pattern)
        with reaching(pattern):
            matches = sorted(system.glob(path))
        if not matches:
            raise InputError(f"No file matches {url_of(pattern)}.")
        found += matches if "file" in system.protocol else map(system.unstrip_protocol, matches)
    check_once(found)
    return found


def url_of(location: str | Path) -> str:
    """A path or URL; a Path has lost slashes of a URL."""
    return re.sub(r"^(\w\w+:)/(?!/)", lambda found: found[1] + "/" * (3 if found[1] == "file:" else 2), str(location))


@contextmanager
def reaching(location: str | Path) -> Iterator[None]:
    """Turn what fsspec's file systems raise, each errors of its own, into DataError; those of the system stay."""
    try:
        yield
    except (MlcoreError, OSError):
        raise
    except Exception as error:
        raise DataError(f"{url_of(location)} cannot be reached: {error}") from error


def file_system(location: str | Path) -> tuple[Any, str]:
    """The file system of a path or URL, and the path in it."""
    from fsspec.core import url_to_fs

    with reaching(location):
        system, path = url_to_fs(url_of(location))
    return system, str(path)


def local_copy(location: str) -> Path:
    """The path of a file; one that a URL names is fetched into a temporary folder first, and messages name the URL."""
    from fsspec import open_local

    if "://" not in location:
        return Path(location)
    with reaching(location):
        path = open_local(f"filecache::{location}", filecache={"cache_mapper": _name_of_copy, "check_files": True})
    URLS[path] = location
    return Path(path)


def _name_of_copy(path: str) -> str:
    """A name of its own for the copy of each file, with the suffix."""
    return f"{sha256(path.encode()).hexdigest()[:16]}-{Path(path).name[-100:]}"


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
