"""Work on one chunk after another by several threads, with the results in the order of the chunks."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

MAX_THREADS = 64  # at work at a time, whatever number is asked for

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


def in_order(function: Callable[[Chunk], Result], chunks: Iterable[Chunk | None], threads: int) -> Iterator[Result]:
    """Results of the function for each chunk, in order; of chunks, one more than threads is under way.

    None in place of a chunk asks for all results so far before the next one is waited for. An error of the function, or
    of the chunks, is raised in its turn.

    Example:
        >>> list(in_order(lambda chunk: sum(chunk), [[1, 2], [3], None, [4, 5]], threads=2))
        [3, 3, 9]
    """
    if threads == 1:
        yield from (function(chunk) for chunk in chunks if chunk is not None)
        return
    threads = min(threads, MAX_THREADS)
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for future in _submitted(pool, function, chunks):
                if future:
                    running.append(future)
                while running and (not future or len(running) > threads):
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:  # nothing more is begun after an error, or when nobody asks for more
            for future in running:
                future.cancel()


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shares(size: int, threads: int) -> list[slice]:
    """The numbers below ``size`` in about equal parts, one for each thread: 5 for 2 threads are 0:2 and 2:5."""
    threads = min(threads, MAX_THREADS)
    return [slice(*ends) for ends in pairwise(size * thread // threads for thread in range(threads + 1))]


def _submitted(
    pool: ThreadPoolExecutor, function: Callable[[Chunk], Result], chunks: Iterable[Chunk | None]
) -> Iterator[Future[Result] | None]:
    try:
        for chunk in chunks:
            yield None if chunk is None else pool.submit(function, chunk)
    except Exception as error:  # it is raised in its turn
        failed: Future[Result] = Future()
        failed.set_exception(error)
        yield failed
