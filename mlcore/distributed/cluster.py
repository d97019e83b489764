"""Work on a Dask cluster: connecting to it, and tasks under keys that no other client has.

A task depends on its arguments only, so that Dask can repeat it when a worker is lost. Parameters travel as arrays, and
models as the bytes of their files; they are never pickled as objects.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count, islice
from secrets import token_hex
from typing import Any

from mlcore import __version__
from mlcore.errors import InputError
from mlcore.text.streams import optional

FAN_IN = 8  # results that are merged together
LOOK, PATIENCE = 2, 300  # seconds between two looks for workers, and to wait for one at most
FAILURES = 10  # workers that may be lost with one task before it is given up; elsewhere Dask's configuration says it


def work(version: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What every task calls on its worker.

    Raises: InputError if the worker has another version of mlcore than the client.
    """
    if version != __version__:
        from distributed import get_worker

        here = f"The worker {get_worker().address} has mlcore {__version__}"
        raise InputError(f"{here}, and the client has {version}; install the same version on all machines.")
    return function(*arguments)


def held(content: Any) -> Any:
    """What a client gives to workers: as the result of a task, it cannot be lost with one of them."""
    return content


class Cluster:
    """A client and its work."""

    def __init__(self, client: Any, progress: Callable[[str], None] = lambda what: None) -> None:
        self.client, self.progress, self._run, self._numbers = client, progress, token_hex(8), count()
        self._dask = optional("distributed", "dask", "A cluster")

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The future of a task."""
        from dask import config

        key = f"{function.__name__}-{self._run}-{next(self._numbers)}"
        with config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            return self.client.submit(work, __version__, function, *arguments, key=key)

    def results(self, what: str, calls: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """Results of functions for arguments, in order. A call is submitted when a thread is free for it, and its
        result fetched as soon as it is there, so that workers hold little. Tells of the progress in a list of calls.

        Raises: what a task raises; ConnectionError if the scheduler is lost, all workers, or too many with one task.
        """
        total = len(calls) if isinstance(calls, Sequence) else 0
        waiting, running, done = enumerate(calls), dict[int, Any](), dict[int, Any]()
        try:
            for number in count():
                if total:
                    self.progress(f"{what}: {number:,} of {total:,}")
                while number not in done:
                    threads = 1
                    with suppress(OSError):  # if the scheduler is lost, the next result will tell
                        threads = max(1, sum(self.client.nthreads().values()))
                    free = min(threads, 2 * threads - len(done)) - len(running)
                    running |= {place: self.submit(*call) for place, call in islice(waiting, max(0, free))}
                    if not running:
                        return
                    self._wait(what, [*running.values()])
                    ready = [place for place in running if running[place].done()]
                    done |= {place: fetched(running.pop(place)) for place in ready}
                yield done.pop(number)()
        except self._dask.KilledWorker as error:
            lost = f"{what}: too many workers were lost with the same task; if they lack memory"
            raise ConnectionError(f"{lost}, write the texts into more shards, or give more memory") from error
        except (CancelledError, self._dask.comm.CommClosedError) as error:
            raise ConnectionError(f"{what}: the scheduler was lost; start it and its workers again") from error

    def _wait(self, what: str, futures: Sequence[Any]) -> None:
        """Wait for one of these; where no worker can take any, say so, and give up after PATIENCE seconds."""
        missing = f"{what}: no worker with free memory; start some: dask worker {self.client.scheduler.address}"
        while not any(future.done() for future in futures):
            with suppress(TimeoutError), self.client.as_current():
                self._dask.wait(futures, LOOK, "FIRST_COMPLETED")
            if not self.client.nthreads():
                self.progress(f"{missing} (waiting for {PATIENCE} s)")
            try:
                self.client.wait_for_workers(1, PATIENCE)
            except TimeoutError as error:
                raise ConnectionError(missing) from error

    def merged(self, what: str, function: Callable[[Sequence[Any]], Any], calls: Sequence[Sequence[Any]]) -> Any:
        """All results in one: neighbours are merged, and then what that gives, in an order that never changes."""
        starts = range(0, len(calls), FAN_IN)
        futures = [self.submit(function, [self.submit(*call) for call in calls[i : i + FAN_IN]]) for i in starts]
        while len(futures) > FAN_IN:
            futures = [self.submit(function, futures[i : i + FAN_IN]) for i in range(0, len(futures), FAN_IN)]
        return next(self.results(what, [(function, futures)]))


def fetched(future: Any) -> Callable[[], Any]:
    """What gives the result of a task that is done, or raises its error; the worker need not keep it any more."""
    if future.status != "finished":
        return partial(future.result)
    result = future.result()
    future.release()  # waiting for it may have left references
    return partial(held, result)


@contextmanager
def connected(scheduler: str, progress: Callable[[str], None] = lambda what: None) -> Iterator[Cluster]:
    """The cluster of a scheduler, such as tcp://HOST:8786, or of processes on this machine, such as local:2.

    Raises: InputError if no scheduler answers; DataError if Dask is not installed.
    """
    distributed = optional("distributed", "dask", "A scheduler")
    from dask import config

    options: dict[str, Any] = {"address": scheduler}
    if match := re.fullmatch(r"local:([1-9]\d*)", scheduler):
        options = {"n_workers": int(match[1]), "threads_per_worker": 1, "dashboard_address": ":0"}
        options["scheduler_kwargs"] = {"allowed_failures": FAILURES}
    # processes here end with the command, and would say that they have lost their scheduler
    quiet = {"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical"}
    try:
        with config.set(quiet):
            client = distributed.Client(**options, set_as_default=False)
    except (OSError, ValueError) as error:
        expected = f"no scheduler answers there ({error}); expected one such as tcp://HOST:8786, or local:2"
        raise InputError(expected, parameter="scheduler", value=scheduler) from error
    with client:
        yield Cluster(client, progress)
