"""An array that grows at its end, in memory or, if it becomes too large for that, in a temporary file."""

import ctypes
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

MEMORY_SHARE = 0.25  # of the free memory that one array may take
ALWAYS_FITS = 1 << 24  # bytes
MAX_SPARE = 1 << 24  # numbers for which there is room before they come


def free_memory() -> float:
    """Bytes of memory that can be used without swapping; infinite where the system does not tell: only Linux does."""
    with suppress(OSError, IndexError):
        return 1024 * int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0])
    return float("inf")


def release_free_memory() -> None:
    """Return unused memory to the operating system; glibc keeps tens of megabytes of what threads have worked in."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


class GrowingArray:
    """Numbers that are appended piece by piece, and become one array.

    More than MEMORY_SHARE of the free memory goes into a file in TMPDIR, which has no name and vanishes with the array.
    The array is then mapped from it copy-on-write: read-only arrays would need kernels compiled for them.
    """

    def __init__(self, dtype: type) -> None:
        self._array: np.ndarray = np.empty(0, dtype)
        self._size = 0
        self._file: BinaryIO | None = None

    def append(self, array: np.ndarray) -> None:
        """Add a one-dimensional array at the end, or raise OSError if the file cannot be written."""
        end = self._size + len(array)
        if end > len(self._array) and not self._file:
            needed = end * self._array.itemsize
            if needed > ALWAYS_FITS and needed > MEMORY_SHARE * free_memory():
                self._file = tempfile.TemporaryFile(prefix="mlcore-")  # noqa: SIM115, it lives as long as the array
                self._file.write(self._array[: self._size].data)
                self._array = np.empty(0, self._array.dtype)
            else:  # in place or by moving pages, where the system can; nothing else refers to the array
                self._array.resize(end + min(self._size // 4, MAX_SPARE), refcheck=False)
        if self._file:
            self._file.write(np.ascontiguousarray(array, self._array.dtype).data)
        else:
            self._array[self._size : end] = array
        self._size = end

    def finish(self) -> np.ndarray:
        """The array; nothing can be appended any more."""
        if self._file:
            with self._file:  # the mapping keeps the file
                self._file.flush()
                return np.asarray(np.memmap(self._file, self._array.dtype, "c"))
        self._array.resize(self._size, refcheck=False)
        return self._array
