"""Runs tasks on a Dask cluster, a bounded number at a time, and ends well when it is stopped."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from distributed import Client, Future, as_completed, wait
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError

from oceanrecon.errors import ClusterError, OutputError
from oceanrecon.stores.files import Root

#: Tasks in flight per worker thread: one running, one waiting.
_DEPTH = 2
#: How long an interrupted run waits for its tasks in flight, seconds.
_PATIENCE = 10


@dataclass(frozen=True)
class Progress:
    """One step of a run, for whoever shows it."""

    done: int
    total: int
    #: what was there already
    kept: int
    failed: int
    message: str


@dataclass(frozen=True)
class Task:
    """One call on a worker; ``group`` and ``label`` name it in the dashboard: ``thetao-1f3a-20120307``."""

    group: str
    label: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a task: what it returned, or what dask raised (a worker died of it again and again)."""

    task: Task
    value: Any
    error: BaseException | None


def memory_of(client: Client) -> int:
    """Memory of a task, bytes: the smallest limit of a worker, shared by its threads."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [int(worker["memory_limit"] / worker["nthreads"]) for worker in workers if worker["memory_limit"]]
    return min(limits, default=2**63)


class TaskRun:
    """Tasks of one run, as a context: whatever ends it, tasks in flight are waited for and no staged file is left.

    Raises:
        ClusterError: the cluster went away.
    """

    def __init__(self, client: Client, root: Root) -> None:
        """On the workers of ``client``, which write below ``root``."""
        self._client, self._root = client, root
        self._in_flight: dict[str, tuple[Task, Future[Any]]] = {}

    def __enter__(self) -> TaskRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if isinstance(error, KeyboardInterrupt):
                with suppress(TimeoutError):  # so that no worker has to be killed in the middle of a task
                    wait([future for _, future in self._in_flight.values()], timeout=_PATIENCE)
            elif isinstance(error, CancelledError | ClosedClientError | CommClosedError):
                reason = str(error).partition("\n")[0] or type(error).__name__
                raise ClusterError(
                    f"the connection to the Dask cluster was lost ({reason}): see that its scheduler runs, then run "
                    "the same command again with --resume"
                ) from error
        finally:
            self._root.clear_staging()

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Submit tasks, a bounded number at a time, and yield what becomes of each, as they end.

        Raises:
            OutputError: a task returned it: nothing can be written any more. Raised after the others in flight have
                ended, so that nothing half-done is left behind.
        """
        waiting = iter(tasks)
        run = uuid.uuid4().hex[:8]  # a client may still hold the results of an earlier run, under its keys

        def submit() -> Future[Any] | None:
            task = next(waiting, None)
            if task is None:
                return None
            key = f"{task.group}-{run}-{task.label}"
            future = self._client.submit(task.function, *task.arguments, key=key, pure=False)
            self._in_flight[key] = task, future
            return future

        threads = sum(worker["nthreads"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values())
        running = as_completed([future for _ in range(max(threads, 1) * _DEPTH) if (future := submit())])
        stopped: OutputError | None = None
        for future in running:
            task, _ = self._in_flight.pop(future.key)
            error = future.exception()
            value = None if error is not None else future.result()
            if isinstance(value, OutputError):
                stopped = stopped or value
                continue
            if stopped is None and (following := submit()) is not None:
                running.add(following)
            yield Outcome(task, value, error)
        if stopped is not None:
            raise stopped
