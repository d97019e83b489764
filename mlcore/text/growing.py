"""An array that grows at its end, in memory or in a file, until it is finished."""

from pathlib import Path

import numpy as np


class Growing:
    """Numbers that are appended piece by piece, and become one array.

    Without a path they are kept in memory, of which up to half is spare, and never touched; with one they are written
    to a new file there, which the array then maps, so that it may be larger than memory. What is written to the array
    does not reach the file: it could be mapped for reading only, but kernels would be compiled once more for that.

    Example:
        >>> growing = Growing(np.int32)
        >>> growing.append(np.array([3, 1]))
        >>> growing.append(np.array([4]))
        >>> growing.finish()
        array([3, 1, 4], dtype=int32)
    """

    def __init__(self, dtype: type, path: Path | None = None) -> None:
        self._path, self._dtype = path, np.dtype(dtype)
        if path:
            path.write_bytes(b"")
        self._memory = np.empty(0, dtype)
        self._size = 0

    def append(self, array: np.ndarray) -> None:
        """Add a one-dimensional array at the end.

        Raises: OSError if the file cannot be written.
        """
        end = self._size + len(array)
        if self._path:
            with open(self._path, "ab") as file:  # never open for longer: what comes between may fail
                file.write(np.ascontiguousarray(array, self._dtype).data)
        else:
            if end > len(self._memory):
                larger = np.empty(max(end, 2 * len(self._memory)), self._dtype)
                larger[: self._size] = self._memory[: self._size]
                self._memory = larger
            self._memory[self._size : end] = array
        self._size = end

    def finish(self) -> np.ndarray:
        """The array; nothing can be appended any more.

        Raises: OSError if the file cannot be written or mapped.
        """
        if self._path and self._size:
            return np.asarray(np.memmap(self._path, self._dtype, "c"))
        return self._memory[: self._size]
