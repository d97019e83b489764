"""Work on one chunk after another by several threads, with the results in the order of the chunks."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MOST_THREADS = 64  # at work at a time, whatever number is asked for

Chunk, Result = TypeVar("Chunk"), TypeVar("Result")


def in_order(function: Callable[[Chunk], Result], chunks: Iterable[Chunk], threads: int) -> Iterator[Result]:
    """Results of the function for each chunk, in order; only a few chunks more than threads are taken at a time.

    Example:
        >>> list(in_order(lambda chunk: sum(chunk), [[1, 2], [3], [4, 5]], threads=2))
        [3, 3, 9]
    """
    if threads == 1:
        yield from map(function, chunks)
        return
    threads = min(threads, MOST_THREADS)
    running: deque[Future] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for chunk in chunks:
                running.append(pool.submit(function, chunk))
                if len(running) > 2 * threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:  # nothing more is begun after an error, or when nobody asks for more
            for future in running:
                future.cancel()
