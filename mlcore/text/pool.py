"""Work on one chunk after another by several threads, with the results in the order of the chunks."""

import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise, takewhile
from pathlib import Path
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
        finally:  # nothing more is begun after an error, or when nobody asks for more
            for future in running:
                future.cancel()


def available_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Number of cores that this process may use: those of the machine, of its container, and of NUMBA_NUM_THREADS.

    A container has a quota of time, here rounded up to cores, for the control group of its processes or for one above
    it. NUMBA_NUM_THREADS is what joblib sets to each of its processes' share.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [float(cores)]
    with suppress(OSError):
        for group in re.findall("^0::/(.*)$", own.read_text(), re.MULTILINE):
            folder = groups / group
            limits += map(_quota, takewhile(groups.parent.__ne__, (folder, *folder.parents)))
    with suppress(KeyError, ValueError):
        limits.append(int(os.environ["NUMBA_NUM_THREADS"]))
    return max(1, math.ceil(min(limits)))


def _quota(group: Path) -> float:
    """Cores that a control group may use."""
    with suppress(OSError, ValueError):  # "max" is no limit
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    return math.inf


def shares(size: int, threads: int) -> list[slice]:
    """The numbers below ``size`` in about equal parts, one for each thread: 5 for 2 threads are 0:2 and 2:5."""
    threads = min(threads, MAX_THREADS)
    return [slice(*ends) for ends in pairwise(size * thread // threads for thread in range(threads + 1))]


def _submitted(
    pool: ThreadPoolExecutor, function: Callable[[Chunk], Result], chunks: Iterable[Chunk | None]
) -> Iterator[Future[Result] | None]:
    """The result of each chunk to come; None for None, and at the end, where all results are asked for."""
    try:
        for chunk in chunks:
            yield None if chunk is None else pool.submit(function, chunk)
    except Exception as error:  # it is raised in its turn
        failed: Future[Result] = Future()
        failed.set_exception(error)
        yield failed
    yield None
