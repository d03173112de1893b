"""What happens on a cluster while it runs: which workers come and go."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from distributed import Client
from distributed.comm.core import CommClosedError

from oceanrecon.errors import ClusterError
from oceanrecon.service.clusters.base import Running


@dataclass(frozen=True)
class WorkerChange:
    """Workers that came and went since the last one."""

    joined: tuple[str, ...]
    left: tuple[str, ...]
    #: how many there are now
    workers: int


def worker_changes(running: Running, every: float = 2.0, idle: float | None = None) -> Iterator[WorkerChange]:
    """Each change of the workers; the first tells which are there.

    Args:
        running: the cluster.
        every: seconds between two looks.
        idle: seconds without a task after which this ends; none: never.

    Raises:
        ClusterError: the scheduler is gone, or no workers can be started for it.
    """
    # a lost connection is raised, once; its log would be a page of traceback
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    known: set[str] = set()
    with running.client() as client:
        while True:
            try:
                now = set(client.scheduler_info(n_workers=-1)["workers"])
            except (CommClosedError, OSError, TimeoutError) as error:
                raise _gone(running) from error
            if client.status != "running":
                raise _gone(running)
            if problem := running.problem():
                raise ClusterError(problem)
            if now != known:
                yield WorkerChange(tuple(sorted(now - known)), tuple(sorted(known - now)), len(now))
                known = now
            if idle is not None and _idle_for(client) > idle:
                return
            time.sleep(every)


def _idle_for(client: Client) -> float:
    """Seconds since a task ran, in steps of the looks: a scheduler begins to count when it is asked."""
    assert client.scheduler is not None
    since = client.sync(client.scheduler.check_idle)
    return 0.0 if since is None else time.time() - since


def _gone(running: Running) -> ClusterError:
    return ClusterError(
        f"the scheduler {running.address} is gone: start the cluster again, then `oceanrecon jobs` shows what to resume"
    )
