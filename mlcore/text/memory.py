"""Memory that is given back to the system, so that the next step of a training has it."""

import ctypes
import mmap
import sys
from collections.abc import Iterator

import numpy as np

BLOCK = 1 << 24  # numbers looked at together


def release(array: np.ndarray) -> None:
    """Take an array that is mapped from a file out of memory, until it is used again; of others nothing is changed.

    Only for what nobody has written to: that would be lost.
    """
    owner = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of a one-dimensional array, one after another; what is mapped from a file does not stay in memory."""
    for start in range(0, len(array), BLOCK):
        yield array[start : start + BLOCK]
        release(array)


def return_what_is_free() -> None:
    """Return memory that has been freed; glibc keeps tens of megabytes of what threads have worked in."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
