"""Work on a Dask cluster: connecting to it, and tasks under keys that no other client has.

A task depends on its arguments only, so that Dask can repeat it when a worker is lost. Parameters and models travel as
bytes in safetensors' format, and are never pickled as objects.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import count
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

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The future of a task."""
        from dask import config

        key = f"{function.__name__}-{self._run}-{next(self._numbers)}"
        with config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            return self.client.submit(work, __version__, function, *arguments, key=key)

    def results(self, what: str, futures: Sequence[Any], quiet: bool = False) -> Iterator[Any]:
        """Results in their order; ``quiet``: the caller tells of the progress.

        Raises: what a task raises; ConnectionError if the scheduler is lost, all workers, or too many with one task.
        """
        distributed = optional("distributed", "dask", "A cluster")
        for number, future in enumerate(futures):
            if not quiet:
                self.progress(f"{what}: {number:,} of {len(futures):,}")
            try:
                self._wait(what, future)
                result = future.result()
            except distributed.KilledWorker as error:
                lost = f"{what}: too many workers were lost with the same task; if they lack memory"
                raise ConnectionError(f"{lost}, write the texts into more shards, or give more memory") from error
            except CancelledError as error:
                raise ConnectionError(f"{what}: the scheduler was lost; start it and its workers again") from error
            yield result

    def _wait(self, what: str, future: Any) -> None:
        """Wait for a task; where no worker can take it, say so, and give up after PATIENCE seconds."""
        distributed = optional("distributed", "dask", "A cluster")
        missing = f"{what}: no worker with free memory; start some: dask worker {self.client.scheduler.address}"
        while not future.done():
            with suppress(TimeoutError), self.client.as_current():
                distributed.wait(future, LOOK)
            if not self.client.nthreads():
                self.progress(f"{missing} (waiting for {PATIENCE} s)")
            try:
                self.client.wait_for_workers(1, PATIENCE)
            except TimeoutError as error:
                raise ConnectionError(missing) from error

    def merged(self, what: str, function: Callable[[Sequence[Any]], Any], futures: Sequence[Any]) -> Any:
        """All results in one: neighbours are merged, and then what that gives, in an order that never changes."""
        while len(futures) > 1:
            groups = [list(futures[i : i + FAN_IN]) for i in range(0, len(futures), FAN_IN)]
            futures = [self.submit(function, group) for group in groups]
        return next(self.results(what, futures))


@contextmanager
def connected(scheduler: str, progress: Callable[[str], None] = lambda what: None) -> Iterator[Cluster]:
    """The cluster of a scheduler, such as tcp://HOST:8786, or of processes on this machine, such as local:2.

    Raises: InputError if no scheduler answers; DataError if Dask is not installed.
    """
    distributed = optional("distributed", "dask", "A scheduler")
    options: dict[str, Any] = {"address": scheduler}
    if match := re.fullmatch(r"local:([1-9]\d*)", scheduler):
        options = {"n_workers": int(match[1]), "threads_per_worker": 1, "dashboard_address": ":0"}
        options["scheduler_kwargs"] = {"allowed_failures": FAILURES}
    try:
        client = distributed.Client(**options, set_as_default=False)
    except (OSError, ValueError) as error:
        expected = f"no scheduler answers there ({error}); expected one such as tcp://HOST:8786, or local:2"
        raise InputError(expected, parameter="scheduler", value=scheduler) from error
    with client:
        yield Cluster(client, progress)
