"""A scheduler that runs already: whether it answers, lets this client in, has workers, and runs the same versions."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from distributed import Client, Security
from distributed.comm.addressing import parse_host_port
from distributed.versions import VersionMismatchWarning

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.errors import ClusterError, InsecureWarning
from oceanrecon.service.clusters.base import Running
from oceanrecon.service.clusters.security import beyond_loopback

#: How long a scheduler may take to answer, seconds.
_PATIENCE = 10.0
#: What must be equal, or tasks fail on workers in ways that are hard to read.
_SAME = ("oceanrecon", "dask", "distributed", "cloudpickle", "msgpack")


@contextmanager
def remote_client(scheduler: str, security: Security | None) -> Iterator[Client]:
    """A client of the scheduler at ``tcp://host:port`` or, with ``security``, ``tls://host:port``.

    Raises:
        ClusterError: it does not answer, one side refuses the other's certificate, it has no workers, or it runs
            other versions.
    """
    host, port = split_address(scheduler)
    if security is None and beyond_loopback(host):
        warnings.warn(
            f"the connection to {scheduler} is neither encrypted nor authenticated: whoever is between can read it and "
            "run code on either side; `oceanrecon cluster certificates` and tls:// close this",
            InsecureWarning,
            stacklevel=3,
        )
    _probe(scheduler, host, port, security)
    with warnings.catch_warnings():
        # our own check names the remedy, and knows oceanrecon
        warnings.simplefilter("ignore", VersionMismatchWarning)
        try:
            client = Client(scheduler, security=security, timeout=f"{_PATIENCE}s")
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"the scheduler {scheduler} does not answer ({error}): is it a Dask scheduler, and of this version?"
            ) from error
    with client:
        check_client(client, scheduler)
        yield client


@contextmanager
def start_cluster(settings: ClusterStart, security: Security | None, allow_insecure: bool) -> Iterator[Running]:
    """The cluster that runs at ``settings.address.url``, which stays when this ends.

    Raises:
        ClusterError: see ``remote_client``.
    """
    assert settings.address is not None  # the settings see to it
    url = settings.address.url
    if security is None and url.startswith("tls://"):
        raise ClusterError(f"{url} needs certificates: set security.folder")
    if security is not None and not url.startswith("tls://"):
        raise ClusterError(f"{url} is an address without TLS, and security.folder is set: one of them is wrong")
    with remote_client(url, security) as client:
        found = versions(client)
        yield Running(
            "address",
            url,
            dashboard(client),
            security,
            tls=None if settings.security is None else settings.security.folder,
            facts={"versions": ", ".join(f"{name} {version}" for name, version in found.items())},
        )


def split_address(scheduler: str) -> tuple[str, int]:
    """Host and port of ``tcp://host:8786``.

    Raises:
        ClusterError: it is not an address of a scheduler.
    """
    scheme, separator, place = scheduler.partition("://")
    try:
        if not separator or scheme not in ("tcp", "tls"):
            raise ValueError("no tcp:// or tls://")
        host, port = parse_host_port(place)
    except ValueError:
        raise ClusterError(
            f"{scheduler!r} is not the address of a scheduler: write tls://host:8786, or tcp://127.0.0.1:8786 for one "
            "on this machine"
        ) from None
    return str(host), int(port)


def dashboard(client: Client) -> str | None:
    """Link to the pages of the scheduler at the address that they listen on, which may be loopback on its machine."""
    listens = client.run_on_scheduler(_pages)
    if listens is None:
        return None
    host, port = listens
    if host in ("0.0.0.0", "::"):
        host = str(client.scheduler_info(n_workers=0)["address"]).partition("://")[2].rpartition(":")[0]
    return f"http://{host}:{port}/status"


def _pages(dask_scheduler: Any) -> tuple[str, int] | None:
    server = dask_scheduler.http_server
    return None if server is None else (server.address, server.port)


def versions(client: Client) -> dict[str, str]:
    """Versions of the scheduler, of what must be the same everywhere."""
    return _kept(_everywhere(client)["scheduler"]["packages"])


def _everywhere(client: Client) -> Any:
    return client.get_versions(packages=["oceanrecon"])


def _kept(packages: dict[str, Any]) -> dict[str, str]:
    python = ".".join(str(packages["python"]).split(".")[:2])
    return {"python": python, **{name: packages.get(name) or "missing" for name in _SAME}}


def check_client(client: Client, scheduler: str) -> None:
    """See that it can do work here.

    Raises:
        ClusterError: there are no workers, or they or the scheduler run other versions than this process.
    """
    found = _everywhere(client)
    workers = [_kept(worker["packages"]) for worker in found["workers"].values()]
    if not workers:
        raise ClusterError(
            f"the scheduler {scheduler} has no workers: see that they run (`oceanrecon cluster start` starts both), or "
            "wait for them"
        )
    here, there = _kept(found["client"]["packages"]), _kept(found["scheduler"]["packages"])
    differ = []
    for name, wanted in here.items():
        if there[name] != wanted:
            differ.append(f"{name} is {wanted} here and {there[name]} on the scheduler")
        for other, count in Counter(worker[name] for worker in workers).items():
            if other != wanted:
                differ.append(f"{name} is {wanted} here and {other} on {count} of {len(workers)} workers")
    if differ:
        raise ClusterError(
            f"the cluster at {scheduler} runs other versions: {'; '.join(differ)}. Install the same on all, from the "
            "same constraints.txt, and restart the cluster"
        )


def _probe(scheduler: str, host: str, port: int, security: Security | None) -> None:
    """Connect as dask will, and say what is wrong: dask tries again and again, then says that time is out."""
    try:
        connection = socket.create_connection((host, port), timeout=_PATIENCE)
    except OSError as error:
        raise ClusterError(
            f"the scheduler {scheduler} does not answer ({error.strerror or error}): check the address, or start one "
            "with `oceanrecon cluster start CONFIG`"
        ) from None
    with closing(connection):
        if security is None:
            _greeting(connection, scheduler, host, port)
        else:
            _handshake(connection, scheduler, security)


def _greeting(connection: socket.socket, scheduler: str, host: str, port: int) -> None:
    """A Dask scheduler speaks first; one with TLS waits for the client to speak."""
    if _speaks(connection):
        return
    # asked late: one without TLS, which only stands still for a moment, writes of it into its log
    if _speaks_tls(host, port):
        raise ClusterError(
            f"the scheduler at {scheduler} has TLS: write tls://{scheduler.partition('://')[2]}, with --tls FOLDER "
            "where its certificates are not in the usual place"
        )
    if _speaks(connection):
        return
    raise ClusterError(
        f"what listens at {scheduler} does not answer as a Dask scheduler: check the port (the dashboard has another), "
        "and that the scheduler is not stopped"
    )


def _speaks(connection: socket.socket) -> bool:
    """Whether something comes within half of our patience."""
    connection.settimeout(_PATIENCE / 2)
    try:
        return bool(connection.recv(1))
    except OSError:  # also a timeout
        return False


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE / 5) as connection:
            context.wrap_socket(connection).close()
    except OSError:  # also what TLS itself raises
        return False
    return True


def _handshake(connection: socket.socket, scheduler: str, security: Security) -> None:
    context = security.get_connection_args("client")["ssl_context"]
    ours = security.get_tls_config_for_role("client")
    try:
        with context.wrap_socket(connection) as wrapped:
            # with TLS 1.3 the other side's verdict on our certificate comes only now
            wrapped.recv(1)
    except ssl.SSLCertVerificationError as error:
        raise ClusterError(
            f"the certificate of {scheduler} does not pass with the authority in {ours['ca_file']} "
            f"({error.verify_message}): use the folder of certificates that this cluster was started with"
        ) from None
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        if "wrong version" in reason or "record layer" in reason:
            raise ClusterError(
                f"what listens at {scheduler} has no TLS ({reason}): write tcp://{scheduler.partition('://')[2]} if "
                "that is meant, or start the cluster with security.folder"
            ) from None
        raise ClusterError(
            f"{scheduler} refused the certificate {ours['cert']} ({reason}): use the folder of certificates that this "
            "cluster was started with"
        ) from None
    except OSError as error:
        raise ClusterError(
            f"what listens at {scheduler} did not finish a TLS handshake ({error.strerror or error}): check the port, "
            "and that the cluster was started with security.folder"
        ) from None
