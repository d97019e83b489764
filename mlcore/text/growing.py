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


def free_memory() -> float:
    """Bytes of memory that can be used without swapping; infinite where the system does not tell: only Linux does."""
    with suppress(OSError, IndexError):
        return 1024 * int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0])
    return float("inf")


def release_free_memory() -> None:
    """Return unused memory to the operating system; glibc keeps tens of megabytes of what threads have worked in."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)


def use_one_heap() -> None:
    """Let all threads take their memory from one heap: glibc cannot return the end of each thread's own."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(-8, 1)  # M_ARENA_MAX


class GrowingArray:
    """Numbers that are appended piece by piece, and become one array.

    More than MEMORY_SHARE of the free memory goes into a file in TMPDIR, which has no name and vanishes with the array.
    The array is then mapped from it copy-on-write: read-only arrays would need kernels compiled for them.
    """

    def __init__(self, dtype: type) -> None:
        self._pieces: list[np.ndarray] = []  # copied once, at the end: growing in place costs more page faults
        self._dtype, self._size = np.dtype(dtype), 0
        self._file: BinaryIO | None = None

    def append(self, array: np.ndarray) -> None:
        """Add a one-dimensional array at the end, or raise OSError if the file cannot be written."""
        self._size += len(array)
        self._pieces.append(np.array(array, self._dtype))
        needed = self._size * self._dtype.itemsize
        if not self._file and needed > ALWAYS_FITS and needed > MEMORY_SHARE * free_memory():
            self._file = tempfile.TemporaryFile(prefix="mlcore-")  # noqa: SIM115, it lives as long as the array
        if self._file:
            for piece in self._pieces:
                self._file.write(piece.data)
            self._pieces.clear()

    def finish(self) -> np.ndarray:
        """The array; nothing can be appended any more."""
        if self._file:
            with self._file:  # the mapping keeps the file
                self._file.flush()
                return np.asarray(np.memmap(self._file, self._dtype, "c"))
        array, end = np.empty(self._size, self._dtype), self._size
        while self._pieces:  # from the last on, so that each is freed as soon as it is copied
            piece = self._pieces.pop()
            array[end - len(piece) : end] = piece
            end -= len(piece)
        return array
