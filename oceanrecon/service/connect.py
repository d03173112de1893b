"""A Dask client: of a running scheduler, or of a local cluster sized to the machine."""

from __future__ import annotations

import logging
import os
import signal
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dask
import psutil
from dask.utils import format_bytes, parse_bytes
from distributed import Client, LocalCluster, Worker, WorkerPlugin

from oceanrecon.config import ClusterSettings
from oceanrecon.errors import ClusterError, ConfigError
from oceanrecon.pipeline.tasks import memory_of
from oceanrecon.stores.files import Root

#: Streaming tasks hold one block and nothing between tasks: spilling to disk or pausing would only slow them.
_DASK = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.scheduler.allowed-failures": 3,
    "distributed.comm.timeouts.connect": "10s",
}
_DASHBOARD = 8787


class _IgnoreInterrupts(WorkerPlugin):
    """Ctrl-C reaches the whole process group, and only the client decides what it means."""

    def setup(self, worker: Worker) -> None:
        """In each worker process, also in those that replace a lost one."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def worker_count(settings: ClusterSettings) -> int:
    """Workers of a local cluster: as set, else one per core that this process may use."""
    return settings.workers or len(os.sched_getaffinity(0))


def worker_memory(settings: ClusterSettings) -> int:
    """Memory limit of one local worker, bytes: as set, else an equal share of the machine's.

    Raises:
        ConfigError: the setting is not a size.
    """
    if settings.memory_limit is None:
        return int(psutil.virtual_memory().total * 0.9 / worker_count(settings))
    try:
        return int(parse_bytes(settings.memory_limit))
    except ValueError:
        raise ConfigError(f"cluster.memory_limit {settings.memory_limit!r} is not a size: write `2 GB`") from None


@contextmanager
def connect(scheduler: str | None, settings: ClusterSettings) -> Iterator[Client]:
    """A client of ``scheduler`` (an address such as ``tcp://host:8786``), or of a new local cluster.

    Local workers are processes with one thread each: HDF5 holds a process-wide lock.

    Raises:
        ClusterError: the scheduler does not answer.
    """
    # a lost connection is raised, once; its log would be a page of traceback
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with dask.config.set(_DASK):
        if scheduler is not None:
            with _remote(scheduler) as client:
                yield client
            return
        with _local(settings) as cluster, Client(cluster) as client:
            client.register_plugin(_IgnoreInterrupts())
            yield client


@contextmanager
def connected(
    client: Client | None,
    scheduler: str | None,
    settings: ClusterSettings,
    output: Root,
    on_connect: Callable[[Client], None] | None = None,
) -> Iterator[Client]:
    """The client that was given, or a new one (see ``connect``), told to ``on_connect``.

    What workers that were too slow for an interrupt leave in ``output`` is removed once they have ended.

    Raises:
        ClusterError: the scheduler does not answer.
    """
    if client is not None:
        yield client
        return
    try:
        with connect(scheduler, settings) as new:
            if on_connect is not None:
                on_connect(new)
            yield new
    except KeyboardInterrupt:
        output.clear_staging()
        raise


def _local(settings: ClusterSettings) -> LocalCluster:
    with warnings.catch_warnings():
        # taken since we looked: dask takes another port and warns, and we print the link in any case
        warnings.filterwarnings("ignore", message=r"Port \d+ is already in use")
        try:
            return LocalCluster(
                n_workers=worker_count(settings),
                threads_per_worker=1,
                processes=True,
                memory_limit=worker_memory(settings),
                host="127.0.0.1",
                dashboard_address=settings.dashboard or f"127.0.0.1:{_free_port(_DASHBOARD)}",
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ClusterError(
                f"the local cluster did not start ({error}): in a script, put the call under `if __name__ == "
                '"__main__":`, since workers are new processes that import it; and see cluster.dashboard and '
                "cluster.memory_limit in the settings"
            ) from error


def _free_port(preferred: int) -> int:
    """The usual port of the dashboard, or 0 for any: dask would find one too, but leak the socket that it tried."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return 0
    return preferred


@contextmanager
def _remote(scheduler: str) -> Iterator[Client]:
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"the scheduler {scheduler} does not answer ({error}): check the address, start one with `dask scheduler`, "
            "or leave --scheduler out to use this machine"
        ) from error
    with client:
        workers = client.scheduler_info()["workers"]
        if not workers:
            raise ClusterError(
                f"the scheduler {scheduler} has no workers: start some with `dask worker {scheduler} --nthreads 1`"
            )
        yield client


def describe(client: Client) -> str:
    """One line about the cluster."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return f"{len(workers)} workers, {format_bytes(memory_of(client))} each, dashboard {client.dashboard_link}"
