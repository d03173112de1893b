"""A scheduler and worker processes on this machine: for one run, or until it is told to end."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import dask
import psutil
from dask.utils import parse_bytes
from distributed import Client, Nanny, Scheduler, Security, SpecCluster, Worker, WorkerPlugin
from tornado.ioloop import PeriodicCallback

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.errors import ClusterError
from oceanrecon.service.clusters.base import WORKER_ENVIRONMENT, WORKER_PAGES, Running, hush
from oceanrecon.service.clusters.security import refuse_exposed, refuse_open_pages

#: How often workers that are gone for good are replaced, seconds.
_REPLACE = 5


class QuietWorkers(WorkerPlugin):
    """Workers that leave the terminal to the process that started them.

    Ctrl-C reaches the whole process group, and only that process decides what it means.
    """

    name = "oceanrecon-quiet-workers"

    def setup(self, worker: Worker) -> None:
        """In each worker process, also in those that replace a lost one."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        hush()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def shared_out(workers: int) -> int:
    """Memory of one of so many workers of this machine, bytes; a tenth is left to everything else."""
    return int(psutil.virtual_memory().total * 0.9 / workers)


@contextmanager
def local_cluster(
    *,
    workers: int,
    memory: int,
    dashboard: str,
    host: str = "127.0.0.1",
    port: int = 0,
    security: Security | None = None,
) -> Iterator[SpecCluster]:
    """A scheduler in this process, and workers that are processes with one thread each: HDF5 holds a process-wide lock.

    A worker that dies is replaced, as long as this lasts.

    Args:
        workers: how many.
        memory: limit of each, bytes.
        dashboard: ``HOST:PORT`` of the scheduler's pages.
        host: address that scheduler and workers listen on.
        port: of the scheduler; 0 for any.
        security: TLS, if any.
    """
    shared: dict[str, Any] = {"host": host, "protocol": "tcp://" if security is None else "tls://"}
    worker = {
        "cls": Nanny,
        "options": {
            **shared,
            "security": security,
            "nthreads": 1,
            "memory_limit": memory,
            "dashboard": False,
            "dashboard_address": WORKER_PAGES,
            "silence_logs": logging.WARNING,
        },
    }
    scheduler = {**shared, "security": security, "port": port, "dashboard": True, "dashboard_address": dashboard}
    with ExitStack() as stack:
        stack.enter_context(_own_environment())
        stack.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT}))
        with _own_environment(), _uninterrupted(), warnings.catch_warnings():
            # taken since we looked: dask takes another port and warns, and the link is printed in any case
            warnings.filterwarnings("ignore", message=r"Port \d+ is already in use")
            cluster = stack.enter_context(
                SpecCluster(
                    scheduler={"cls": Scheduler, "options": scheduler},
                    workers=dict.fromkeys(range(workers), worker),
                    security=security,
                    silence_logs=logging.WARNING,
                )
            )
        with Client(cluster, set_as_default=False) as client:
            client.register_plugin(QuietWorkers())
        # dask gives up a worker that does not come back in time; this starts another in its place
        replace = PeriodicCallback(lambda: cluster.scale(workers), _REPLACE * 1000)
        cluster.loop.add_callback(replace.start)
        stack.callback(cluster.loop.add_callback, replace.stop)
        yield cluster


@contextmanager
def _own_environment() -> Iterator[None]:
    """This process has its own environment again afterwards: dask sets that of workers in it, and leaves it there.

    What the process starts later, a loader's workers for instance, would have it, too, and libraries that are loaded
    later. A worker that is started in place of another leaves it once more, until the cluster ends.
    """
    before = {name: os.environ.get(name) for name in (*WORKER_ENVIRONMENT, "PYTHONHASHSEED")}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until this is over, since a cluster that has half started cannot be closed; the second does not."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    waiting: list[int] = []

    def later(number: int, frame: FrameType | None) -> None:
        if waiting:
            signal.default_int_handler(number, frame)
        waiting.append(number)

    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, later)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if waiting:
            signal.raise_signal(waiting[0])


@contextmanager
def start_cluster(settings: ClusterStart, security: Security | None, allow_insecure: bool) -> Iterator[Running]:
    """The local cluster of ``settings``.

    Raises:
        ClusterError: a port is taken, an address is not one of this machine, or it would be open to others.
    """
    host, port = settings.scheduler.host, settings.scheduler.port
    refuse_exposed("the scheduler", host, security=security, allow_insecure=allow_insecure)
    refuse_open_pages("the dashboard", settings.dashboard, allow_insecure=allow_insecure)
    check_free("scheduler.port", host, port)
    page_host, _, page_port = settings.dashboard.rpartition(":")
    check_free("dashboard", page_host, int(page_port))
    workers = settings.workers.count or cores()
    memory = shared_out(workers) if settings.workers.memory is None else parse_bytes(settings.workers.memory)
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(
                local_cluster(
                    workers=workers,
                    memory=memory,
                    dashboard=settings.dashboard,
                    host=f"[{host}]" if ":" in host else host,
                    port=port,
                    security=security,
                )
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ClusterError(f"the local cluster did not start ({error}): see scheduler and dashboard") from error
        assert cluster.scheduler is not None  # it runs in this process
        yield Running(
            "local",
            cluster.scheduler_address,
            # the port that it took
            f"http://{page_host}:{cluster.scheduler.http_server.port}/status",
            security,
            tls=None if settings.security is None else settings.security.folder,
        )


def check_free(setting: str, host: str, port: int) -> None:
    """Before anything is started: dask would take another port in silence, or fail in a page of traceback.

    Raises:
        ClusterError: the port is taken, or the address is not one of this machine; names the setting.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # as the servers do: a port that an ended server has just left is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise ClusterError(
                f"port {port} is in use on {host}: another cluster may run; set {setting} to another, or to 0 for any"
                if setting.endswith("port")
                else f"{where} is in use, perhaps by another cluster: set {setting} to another, or to {host}:0 for any"
            ) from None
        if error.errno == errno.EACCES:
            raise ClusterError(f"{setting}: {where} needs rights of root: take a port above 1023") from None
        raise ClusterError(
            f"{setting}: cannot listen on {where} ({error.strerror or error}): give an address or a name of this "
            "machine"
        ) from None
