"""A cluster that a dask-gateway server starts: it owns the machines, and gives each user a scheduler and workers.

Clients name such a cluster as ``gateway://NAME``. Where the gateway is, and who they are, is dask-gateway's own
configuration: ``DASK_GATEWAY__ADDRESS`` and so on, which many sites set for their users.
"""

from __future__ import annotations

import os
import shlex
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import dask
from distributed import Client, Security

from oceanrecon.cluster_config import ClusterStart, GatewaySettings
from oceanrecon.errors import ClusterError, InsecureWarning, MissingExtraError, how_to_install
from oceanrecon.service.clusters.address import check_client
from oceanrecon.service.clusters.base import Running
from oceanrecon.service.clusters.keeper import said
from oceanrecon.service.clusters.security import beyond_loopback, refuse

_SCHEME = "gateway://"
#: Where dask-gateway looks too. Read here as they are: dask would take a password of digits for a number.
_USER, _PASSWORD = "DASK_GATEWAY__AUTH__KWARGS__USERNAME", "DASK_GATEWAY__AUTH__KWARGS__PASSWORD"


@dataclass(frozen=True)
class _Running(Running):
    """Its scheduler has an address that only the gateway knows, and certificates that only the gateway has."""

    scheduler: str = ""
    #: what a client must know to ask the gateway
    environment: str = ""

    def client(self) -> Client:
        """A new client, which is nobody's default."""
        return Client(self.scheduler, security=self.security, timeout="20s", set_as_default=False)

    def submit_line(self) -> str:
        """The command that gives this cluster a job."""
        return f"{self.environment} {super().submit_line()}"


@contextmanager
def start_cluster(settings: ClusterStart, security: Security | None, allow_insecure: bool) -> Iterator[Running]:
    """A new cluster of the gateway, which ends with the context.

    Raises:
        ClusterError: the gateway does not answer, does not let this user in, has no such option, or cannot start it;
            or its address would send a password unprotected.
        MissingExtraError: dask-gateway is not installed.
    """
    stated = settings.gateway
    assert stated is not None  # the settings see to it
    library = _library()
    if _in_the_clear(stated.url):
        refuse(
            f"the gateway {stated.url} would be told in the clear who you are",
            "write https://, and ask its administrator for it",
            allow_insecure,
        )
    count, maximum = settings.workers.count or 1, settings.workers.maximum
    with ExitStack() as stack:
        with _told(stated.url):
            gateway = stack.enter_context(
                _gateway(library, stated.auth, address=stated.url, proxy_address=stated.proxy)
            )
            name = gateway.submit(_options(gateway, stated))
            stack.callback(gateway.stop_cluster, name)
            report = _started(gateway, name)
            if maximum is None:
                gateway.scale_cluster(name, count)
            else:
                gateway.adapt_cluster(name, minimum=count, maximum=maximum)
        yield _Running(
            "gateway",
            f"{_SCHEME}{name}",
            report.dashboard_link,
            report.security,
            scheduler=report.scheduler_address,
            environment=_environment(stated),
        )


@contextmanager
def gateway_client(scheduler: str) -> Iterator[Client]:
    """A client of the cluster ``gateway://NAME``.

    Raises:
        ClusterError: no gateway is configured, it does not answer, does not let this user in, or has no such cluster.
        MissingExtraError: dask-gateway is not installed.
    """
    library = _library()
    name, url = scheduler.removeprefix(_SCHEME), dask.config.get("gateway.address", None)
    if url is None:
        raise ClusterError("no gateway is configured: set DASK_GATEWAY__ADDRESS, such as https://gateway.example")
    if _in_the_clear(url):
        warnings.warn(
            f"the gateway {url} is told in the clear who you are: write https://", InsecureWarning, stacklevel=4
        )
    with ExitStack() as stack:
        with _told(url):
            gateway = stack.enter_context(_gateway(library, None))
            running = {report.name: report for report in gateway.list_clusters(status="running")}
            if name not in running:
                others = ", ".join(f"{_SCHEME}{each}" for each in running) or "none"
                raise ClusterError(f"the gateway {url} has no running cluster {scheduler}; yours: {others}")
            report = gateway.get_cluster(name)
            client = Client(report.scheduler_address, security=report.security, timeout="20s")
        stack.enter_context(client)
        check_client(client, scheduler)
        yield client


def _library() -> Any:
    try:
        return import_module("dask_gateway")
    except ImportError as error:
        raise MissingExtraError(f"a gateway needs dask-gateway ({error}): {how_to_install('cluster')}") from None


@contextmanager
def _gateway(library: Any, auth: str | None, **where: str | None) -> Iterator[Any]:
    gateway = library.Gateway(auth=_who(library, auth), **where)
    try:
        yield gateway
    finally:
        gateway.close()
        # its `__del__` would ask for a loop that has ended, and say so on the terminal
        del gateway._loop_runner


def _who(library: Any, auth: str | None) -> Any:
    kind = auth or dask.config.get("gateway.auth.type")
    if kind == "basic" and _PASSWORD in os.environ:
        return library.BasicAuth(os.environ.get(_USER), os.environ[_PASSWORD])
    if auth in ("kerberos", "jupyterhub"):
        return library.KerberosAuth() if auth == "kerberos" else library.JupyterHubAuth()
    return library.auth.get_auth(kind)


def _started(gateway: Any, name: str) -> Any:
    """The gateway's report on the cluster, once it runs."""
    while (report := gateway.get_cluster(name, wait=True)).status.name == "PENDING":
        time.sleep(0.5)
    if report.status.name != "RUNNING":
        raise ClusterError(
            f"the gateway {gateway.address} could not start the cluster {name}: its administrator finds why in its log"
        )
    return report


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Errors of the gateway as ours."""
    client, http = import_module("dask_gateway.client"), import_module("aiohttp")
    try:
        yield
    except http.ClientResponseError as error:
        raise ClusterError(
            f"the gateway {url} answers {error.status} {error.message}: it does not know you; see gateway.auth, and "
            f"{_USER} and {_PASSWORD}, or JUPYTERHUB_API_TOKEN, in the environment"
        ) from None
    except http.ClientError as error:
        raise ClusterError(f"the gateway {url} does not answer ({said(error)}): see gateway.url") from None
    except (client.GatewayClusterError, client.GatewayServerError, ValueError) as error:
        raise ClusterError(f"the gateway {url} has no cluster for you: {said(error)}") from None


def _options(gateway: Any, stated: GatewaySettings) -> Any:
    options = gateway.cluster_options()
    for name, value in stated.options.items():
        if name not in options:
            known = ", ".join(sorted(options)) or "none"
            raise ClusterError(f"gateway.options: {name!r} is not an option of {stated.url}, which has {known}")
        try:
            options[name] = value
        except (TypeError, ValueError) as error:
            raise ClusterError(f"gateway.options: {name} cannot be {value!r} ({error})") from None
    return options


def _in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme != "https" and beyond_loopback(parts.hostname or "")


def _environment(stated: GatewaySettings) -> str:
    """What the environment of a client has, besides who it is."""
    variables = {"ADDRESS": stated.url, "PROXY_ADDRESS": stated.proxy, "AUTH__TYPE": stated.auth}
    return " ".join(f"DASK_GATEWAY__{name}={shlex.quote(text)}" for name, text in variables.items() if text is not None)
