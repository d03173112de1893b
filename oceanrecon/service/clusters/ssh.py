"""Workers on machines that are reached by SSH; the scheduler runs in this process."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from distributed import Scheduler, Security, SpecCluster
from distributed.deploy.spec import ProcessInterface

from oceanrecon.cluster_config import ClusterStart, SshSettings
from oceanrecon.errors import ClusterError, MissingExtraError, how_to_install
from oceanrecon.service.clusters.base import Running
from oceanrecon.service.clusters.keeper import (
    DEATH_TIMEOUT,
    Keeper,
    Kept,
    Members,
    belongs,
    opened,
    running_here,
    said,
    scheduler_options,
    worker_arguments,
    worker_environment,
    worker_memory,
    workers_there,
)
from oceanrecon.service.clusters.security import beyond_loopback, refuse

#: How often it is seen whether the workers of each machine still run, seconds.
_EVERY = 5.0
#: How long a machine may be silent before the connection counts as lost, seconds.
_SILENCE = 30
#: How long workers may take to start; most mistakes show before, seconds.
_START = 30
#: Lines of a machine's output that are told when its workers end.
_LINES = 3


class _Cluster(Kept, SpecCluster):
    """Leaves what was lost to the keeper."""


@contextmanager
def start_cluster(settings: ClusterStart, security: Security | None, allow_insecure: bool) -> Iterator[Running]:
    """The scheduler of ``settings`` in this process, and workers on each machine, which end with the context.

    Workers that end, or that are lost with their connection, are started again.

    Raises:
        ClusterError: a machine is not reached, is not the one that is known, or does not let this user in; or
            scheduler or workers would be open to others.
        MissingExtraError: asyncssh is not installed.
    """
    ssh = settings.ssh
    assert ssh is not None  # the settings see to it
    library = _library()
    options = scheduler_options(settings, security, allow_insecure)
    if security is None and (others := [host for host in ssh.hosts if beyond_loopback(host)]):
        refuse(
            f"workers on {', '.join(others)} would run what anyone who reaches them, or who listens at the scheduler's "
            "address there, sends them, since there is no TLS",
            "make certificates with `oceanrecon cluster certificates` and set security.folder",
            allow_insecure,
        )
    shared = {"library": library, "connection": _connection(ssh), "command": _command(settings, ssh, security)}
    make = partial(
        _Cluster,
        name="oceanrecon",
        scheduler={"cls": Scheduler, "options": options},
        security=security,
        silence_logs=logging.WARNING,
    )
    with opened(make) as cluster:
        cluster.worker_spec.update({host: {"cls": _Machine, "options": {"host": host, **shared}} for host in ssh.hosts})
        advice = f"see what is said above, and whether the machines reach {cluster.scheduler_address}"
        keeper = Keeper(cluster, partial(_ended, cluster), every=_EVERY, advice=advice)
        keeper.start_members("see ssh in the settings")
        with keeper.keeping():
            yield running_here(settings, cluster, security, keeper, {"machines": " ".join(ssh.hosts)})


def _library() -> Any:
    try:
        return import_module("asyncssh")
    except ImportError as error:
        raise MissingExtraError(f"kind `ssh` needs asyncssh ({error}): {how_to_install('cluster')}") from None


def _connection(ssh: SshSettings) -> dict[str, Any]:
    """Options of a connection. Left out, they come from the user's SSH config; keys of machines are always checked."""
    stated = {
        "username": ssh.user,
        "port": ssh.port,
        "client_keys": None if ssh.key is None else [str(Path(ssh.key).expanduser())],
        "known_hosts": None if ssh.known_hosts is None else str(Path(ssh.known_hosts).expanduser()),
    }
    # left out, not none: a known_hosts of none would mean that no key is checked
    return {"keepalive_interval": _SILENCE, **{name: value for name, value in stated.items() if value is not None}}


def _command(settings: ClusterStart, ssh: SshSettings, security: Security | None) -> list[str]:
    """What runs on a machine; the scheduler's address and the name of the worker are still to be added."""
    memory = worker_memory(settings)
    options = {
        "--nworkers": str(settings.workers.count or 1),
        "--nthreads": "1",
        # auto: the machine's memory shared out among its cores
        "--memory-limit": "auto" if memory is None else str(memory),
        "--death-timeout": str(DEATH_TIMEOUT),
        "--local-directory": ssh.scratch,
    }
    if security is not None:
        files = security.get_tls_config_for_role("worker")
        options["--protocol"] = "tls://"
        for option, name in (("--tls-ca-file", "ca_file"), ("--tls-cert", "cert"), ("--tls-key", "key")):
            here = Path(str(files[name])).absolute()
            options[option] = str(here) if ssh.certificates is None else f"{ssh.certificates}/{here.name}"
    python = [ssh.python or sys.executable, "-m", "distributed.cli.dask_worker"]
    variables = [f"{name}={value}" for name, value in worker_environment(secured=security is not None).items()]
    flat = [part for option in options.items() for part in option]
    return ["env", *variables, *python, *flat, *worker_arguments(settings)]


class _Machine(ProcessInterface):
    """The worker processes of one machine."""

    def __init__(
        self,
        scheduler: str,
        *,
        name: str,
        host: str,
        library: Any,
        connection: dict[str, Any],
        command: list[str],
    ) -> None:
        super().__init__(scheduler=scheduler, name=name)  # type: ignore[no-untyped-call]  # dask is typed in parts
        self._host, self._library, self._options = host, library, connection
        # nothing of it is read by the shell on the other side
        self._command = shlex.join([*command, scheduler, "--name", name])
        self._connection: Any = None
        self._process: Any = None
        self._output: deque[str] = deque(maxlen=_LINES)

    async def start(self) -> None:
        ssh = self._library
        try:
            self._connection = await ssh.connect(self._host, **self._options)
        except ssh.HostKeyNotVerifiable as error:
            raise ClusterError(
                f"{self._host} is not the machine that is known by this name, or is not known ({error}): connect once "
                f"with `ssh {self._host}` and compare the fingerprint that it shows with what its administrator says"
            ) from None
        except ssh.PermissionDenied as error:
            raise ClusterError(
                f"{self._host} does not let you in ({error}): see ssh.user and ssh.key, or give your key to the "
                "agent with `ssh-add`; a password is not asked for"
            ) from None
        except (OSError, ssh.Error) as error:
            raise ClusterError(f"{self._host} is not reached by SSH ({said(error)}): try `ssh {self._host}`") from None
        try:
            self._process = await self._connection.create_process(
                self._command, stdin=ssh.DEVNULL, stderr=ssh.STDOUT, errors="replace"
            )
        except (OSError, ssh.Error) as error:
            self._connection.abort()
            raise ClusterError(f"{self._host} runs nothing ({said(error)}): try `ssh {self._host} true`") from None
        started = asyncio.Event()
        self._reader = asyncio.create_task(self._read(started))
        with suppress(TimeoutError, asyncio.TimeoutError):  # slow, not wrong
            await asyncio.wait_for(started.wait(), _START)
        if self._process.exit_status is not None:
            await self._hang_up()
            raise ClusterError(f"workers on {self._host} ended as they started: {self.ended()}")
        await super().start()  # type: ignore[no-untyped-call]

    async def _read(self, started: asyncio.Event) -> None:
        """Keep what it said last; if nobody read, it would stop once the connection's buffer is full."""
        with suppress(self._library.Error):
            async for line in self._process.stdout:
                if line.strip():
                    self._output.append(line.strip())
                if "worker at" in line:  # dask's own SSHCluster goes by it
                    started.set()
            await self._process.wait_closed()
        started.set()

    def ended(self) -> str | None:
        """How it ended, if it did."""
        if self._process.exit_status is not None:
            said_last = " | ".join(self._output) or "nothing"
            return f"exit status {self._process.exit_status}; it said: {said_last}"
        return "the connection was lost" if self._connection.is_closed() else None

    async def close(self) -> None:
        if self._process is not None and self.ended() is None:
            # some servers pass no signals to root's processes; those end when their scheduler does, in a moment
            self._process.terminate()
        await self._hang_up()
        await super().close()  # type: ignore[no-untyped-call]

    async def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            await self._connection.wait_closed()


async def _ended(cluster: SpecCluster, members: Members) -> dict[Any, str]:
    there = workers_there(cluster)
    found = {}
    for name, machine in members.items():
        how = machine.ended() if isinstance(machine, _Machine) else None
        # workers may outlive the connection that started them: they have one of their own to the scheduler
        if how is not None and not any(belongs(worker, name) for worker in there):
            found[name] = how
    return found
