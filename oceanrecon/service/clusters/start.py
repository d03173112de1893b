"""Starts the cluster that a config describes, by the adapter of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import dask

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.errors import ClusterError
from oceanrecon.service.clusters.base import DASK, Running
from oceanrecon.service.clusters.listening import origins, settled
from oceanrecon.service.clusters.security import ROLES, tls_security


@contextmanager
def start(settings: ClusterStart, *, allow_insecure: bool = False) -> Iterator[Running]:
    """The cluster of ``settings``, which ends with the context (an existing one only loses this client).

    Each adapter is a module of this package named like its kind, with a context manager
    ``start_cluster(settings, security, allow_insecure)``; it is imported only here, with the library it needs.

    Args:
        settings: of the cluster.
        allow_insecure: let it listen beyond this machine without TLS.

    Raises:
        ClusterError: it did not start, or would listen where it is not safe.
        MissingExtraError: its library is not installed.
    """
    # who only looks at a cluster needs no key of its parts; and pods have theirs from elsewhere
    roles = ("client",) if settings.kind in ("address", "kubernetes") else ROLES
    security = None if settings.security is None else tls_security(settings.security.folder, roles)
    adapter = _adapter(settings)
    settings = settings.model_copy(update={"dashboard": settled(settings.dashboard)})
    config = {
        **DASK,
        **origins(settings.dashboard),
        **({} if security is None else {"distributed.comm.require-encryption": True}),
    }
    with dask.config.set(config), adapter.start_cluster(settings, security, allow_insecure) as running:
        yield running


def script(settings: ClusterStart) -> str:
    """What would be submitted to start the cluster of ``settings``: a batch script, or a manifest.

    Raises:
        ClusterError: this kind submits nothing, or its certificates are not in order.
        MissingExtraError: its library is not installed.
    """
    adapter = _adapter(settings)
    if not hasattr(adapter, "script"):
        raise ClusterError(f"kind `{settings.kind}` submits neither scripts nor manifests: there is nothing to show")
    return str(adapter.script(settings))


def _adapter(settings: ClusterStart) -> ModuleType:
    return import_module(f"oceanrecon.service.clusters.{settings.kind}")
