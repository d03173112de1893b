"""A Dask client: of a running scheduler, or of a local cluster sized to the machine."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask
from dask.utils import format_bytes, parse_bytes
from distributed import Client

from oceanrecon.config import ClusterSettings
from oceanrecon.errors import ClusterError, ConfigError
from oceanrecon.pipeline.tasks import memory_of
from oceanrecon.service.clusters.address import dashboard, remote_client, split_address, versions
from oceanrecon.service.clusters.base import DASK, worker_facts
from oceanrecon.service.clusters.listening import origins, settled
from oceanrecon.service.clusters.local import cores, local_cluster, shared_out
from oceanrecon.service.clusters.security import beyond_loopback, default_folder, refuse_open_pages, tls_security
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import current

_DASHBOARD = 8787


def worker_count(settings: ClusterSettings) -> int:
    """Workers of a local cluster: as set, else one per core that this process may use."""
    return settings.workers or cores()


def worker_memory(settings: ClusterSettings) -> int:
    """Memory limit of one local worker, bytes: as set, else an equal share of the machine's.

    Raises:
        ConfigError: the setting is not a size.
    """
    if settings.memory_limit is None:
        return shared_out(worker_count(settings))
    try:
        return int(parse_bytes(settings.memory_limit))
    except ValueError:
        raise ConfigError(f"cluster.memory_limit {settings.memory_limit!r} is not a size: write `2 GB`") from None


@contextmanager
def connect(scheduler: str | None, settings: ClusterSettings, tls: str | Path | None = None) -> Iterator[Client]:
    """A client of ``scheduler``, or of a new local cluster that ends with this context.

    Args:
        scheduler: ``tls://host:8786``, ``tcp://127.0.0.1:8786``, ``gateway://...``; none: a local cluster.
        settings: of the local cluster.
        tls: folder of certificates for ``tls://``; default: ``~/.config/oceanrecon/tls``.

    Raises:
        ClusterError: the scheduler does not answer, does not let this client in, or runs other versions.
    """
    # a lost connection is raised, once; its log would be a page of traceback
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with dask.config.set(DASK), _local(settings) if scheduler is None else _remote(scheduler, tls) as client:
        yield client


@contextmanager
def _remote(scheduler: str, tls: str | Path | None) -> Iterator[Client]:
    if scheduler.startswith("gateway://"):
        from oceanrecon.service.clusters.gateway import gateway_client

        with gateway_client(scheduler) as client:
            yield client
        return
    host, _ = split_address(scheduler)
    security = None
    if scheduler.startswith("tls://"):
        try:
            security = tls_security(default_folder() if tls is None else tls, roles=("client",))
        except ClusterError as error:
            plain = f"tcp://{scheduler.partition('://')[2]}"
            raise ClusterError(f"{error}. If the scheduler has no TLS, write {plain}") from None
    elif tls is not None and beyond_loopback(host):
        raise ClusterError(
            f"{scheduler} is an address without TLS, and certificates are given ({tls}): write "
            f"tls://{scheduler.partition('://')[2]}, or leave --tls and OCEANRECON_TLS out"
        )
    with remote_client(scheduler, security) as client:
        yield client


def describe_scheduler(scheduler: str, tls: str | Path | None = None) -> dict[str, Any]:
    """Facts about a running cluster, for people and scripts.

    Raises:
        ClusterError: see ``connect``.
    """
    with connect(scheduler, ClusterSettings(), tls) as client:
        return {
            "scheduler": scheduler,
            "dashboard": dashboard(client),
            **worker_facts(client),
            "versions": ", ".join(f"{name} {version}" for name, version in versions(client).items()),
        }


@contextmanager
def connected(
    client: Client | None,
    scheduler: str | None,
    settings: ClusterSettings,
    output: Root,
    on_connect: Callable[[Client], None] | None = None,
    tls: str | Path | None = None,
) -> Iterator[Client]:
    """The client that was given, or a new one (see ``connect``), told to ``on_connect``.

    What workers that were too slow for an interrupt leave in ``output`` is removed once they have ended.

    Raises:
        ClusterError: see ``connect``.
    """
    if client is not None:
        yield client
        return
    try:
        with connect(scheduler, settings, tls) as new:
            if on_connect is not None:
                on_connect(new)
            yield new
    except KeyboardInterrupt:
        if current(output) is None:
            output.clear_staging()
        raise


@contextmanager
def _local(settings: ClusterSettings) -> Iterator[Client]:
    pages = settled(settings.dashboard or f"127.0.0.1:{_free_port(_DASHBOARD)}")
    refuse_open_pages("the dashboard (cluster.dashboard)", pages, allow_insecure=None)
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(origins(pages)))
        try:
            cluster = stack.enter_context(
                local_cluster(workers=worker_count(settings), memory=worker_memory(settings), dashboard=pages)
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ClusterError(
                f"the local cluster did not start ({error}): in a script, put the call under `if __name__ == "
                '"__main__":`, since workers are new processes that import it; and see cluster.dashboard and '
                "cluster.memory_limit in the settings"
            ) from error
        yield stack.enter_context(Client(cluster))


def _free_port(preferred: int) -> int:
    """The usual port of the dashboard, or 0 for any: dask would find one too, but leak the socket that it tried."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return 0
    return preferred


def describe(client: Client) -> str:
    """One line about the cluster."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return f"{len(workers)} workers, {format_bytes(memory_of(client))} each, dashboard {dashboard(client)}"
