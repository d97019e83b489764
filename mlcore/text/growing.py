"""An array that grows at its end, in memory or in a file, until it is finished."""

from pathlib import Path

import numpy as np

MOST_SPARE = 1 << 24  # numbers


class Growing:
    """Numbers that are appended piece by piece, and become one array.

    Without a path they are kept in memory: in blocks, each as large as all before it up to MOST_SPARE, which are given
    back one by one as the array takes their content. With one they are written to a new file there, which the array
    then maps, so that it may be larger than memory. What is written to the array does not reach the file: it could be
    mapped for reading only, but kernels would be compiled once more for that.

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
        self._pieces: list[np.ndarray] = []
        self._spare = np.empty(0, dtype)  # the rest of the last block
        self._size = 0

    def append(self, array: np.ndarray) -> None:
        """Add a one-dimensional array at the end.

        Raises: OSError if the file cannot be written.
        """
        if self._path:
            with open(self._path, "ab") as file:  # never open for longer: what comes between may fail
                file.write(np.ascontiguousarray(array, self._dtype).data)
        else:
            if len(array) > len(self._spare):
                self._spare = np.empty(max(len(array), min(self._size, MOST_SPARE)), self._dtype)
            piece, self._spare = self._spare[: len(array)], self._spare[len(array) :]
            piece[:] = array
            self._pieces.append(piece)
        self._size += len(array)

    def finish(self) -> np.ndarray:
        """The array; nothing can be appended any more.

        Raises: OSError if the file cannot be written or mapped.
        """
        if self._path and self._size:
            return np.asarray(np.memmap(self._path, self._dtype, "c"))
        found, end = np.empty(self._size, self._dtype), self._size
        del self._spare
        while self._pieces:  # from the last on
            piece = self._pieces.pop()
            found[end - len(piece) : end] = piece
            end -= len(piece)
        return found
