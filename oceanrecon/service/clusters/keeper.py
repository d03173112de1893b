"""What SLURM and SSH share: a scheduler in this process, and workers elsewhere that are replaced when they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from dask.utils import parse_bytes
from distributed import Scheduler, Security, SpecCluster
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface
from distributed.diagnostics.plugin import SchedulerPlugin

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.errors import ClusterError
from oceanrecon.service.clusters.base import WORKER_PAGES, Running, environment
from oceanrecon.service.clusters.local import check_free
from oceanrecon.service.clusters.security import beyond_loopback, refuse_exposed, refuse_open_pages

#: A member of a cluster, such as a job, and all its workers.
Members = Mapping[Any, ProcessInterface]

logger = logging.getLogger(__name__)

#: Members that may end one after the other before a worker of theirs is there. Then, if there is none at all, no more
#: are tried.
_GIVE_UP = 5
#: Between two attempts to start what could not be started, seconds.
_LONGEST = 300.0
#: How long a worker looks for its scheduler, seconds: a job that starts after its cluster has ended costs no more.
DEATH_TIMEOUT = 60
#: What workers need besides their own limits: the process that looks after them, bytes.
NANNY = 300 << 20


def scheduler_options(settings: ClusterStart, security: Security | None, allow_insecure: bool) -> dict[str, Any]:
    """Options of a ``distributed.Scheduler`` in this process.

    Raises:
        ClusterError: it would be open to other machines without TLS, or its ports are taken.
    """
    host = settings.scheduler.host
    refuse_exposed("the scheduler", host, security=security, allow_insecure=allow_insecure)
    refuse_open_pages("the dashboard", settings.dashboard, allow_insecure=allow_insecure)
    check_free("scheduler.port", host, settings.scheduler.port)
    page_host, _, page_port = settings.dashboard.rpartition(":")
    check_free("dashboard", page_host.strip("[]"), int(page_port))
    return {
        "host": _bracketed(host),
        "port": settings.scheduler.port,
        "protocol": "tcp://" if security is None else "tls://",
        "security": security,
        "dashboard": True,
        "dashboard_address": settings.dashboard,
    }


def _bracketed(host: str) -> str:
    """As dask takes an address of IPv6."""
    return f"[{host}]" if ":" in host else host


@contextmanager
def opened(make: Callable[[], SpecCluster]) -> Iterator[SpecCluster]:
    """The cluster that ``make`` makes, whose scheduler starts here, until the context ends.

    Raises:
        ClusterError: the scheduler does not start.
    """
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(make())
        except (RuntimeError, ValueError, OSError) as error:
            raise ClusterError(f"the scheduler did not start ({said(error)}): see scheduler and dashboard") from error
        yield cluster


def worker_environment(*, secured: bool) -> dict[str, str]:
    """Environment of workers that start on another machine, with nothing of this process."""
    return environment() | ({"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"} if secured else {})


def worker_arguments(settings: ClusterStart) -> list[str]:
    """Arguments of ``dask worker`` that are the same wherever it runs."""
    loopback = not beyond_loopback(settings.scheduler.host)
    return [
        "--no-dashboard",
        "--dashboard-address",
        WORKER_PAGES,
        # a scheduler that only this machine reaches has its workers here too: they need not be open to others
        *(("--host", _bracketed(settings.scheduler.host)) if loopback else ()),
    ]


def worker_memory(settings: ClusterStart) -> int | None:
    """Limit of one worker, bytes, if one is set."""
    return None if settings.workers.memory is None else int(parse_bytes(settings.workers.memory))


class Kept:
    """For a ``SpecCluster``: what was lost is left to the keeper.

    Dask would close the member of a lost worker some seconds later, by its name, which may be its successor's by then.
    """

    def _update_worker_status(self, op: str, msg: Any) -> None:
        super(SpecCluster, self)._update_worker_status(op, msg)  # type: ignore[misc]  # mixed into one


class Keeper(SchedulerPlugin):
    """Starts again what has ended: a job at its walltime, one that was cancelled, a process on a machine that went.

    Dask itself would do so for a worker that it has seen, and wait for ever for one that never came.
    """

    name = "oceanrecon-keeper"

    def __init__(
        self,
        cluster: SpecCluster,
        ended: Callable[[Members], Awaitable[Mapping[Any, str]]],
        *,
        every: float,
        advice: str,
    ) -> None:
        """A keeper of the members of ``cluster``.

        Args:
            cluster: whose specification says what should be there.
            ended: which of the given members have ended, and how.
            every: seconds between two looks.
            advice: what to do when members end before they are of any use.
        """
        self._cluster, self._ended, self._every, self._advice = cluster, ended, every, advice
        self._names: set[str] = set()
        self._fruitless = 0
        #: why no more are started; empty: all is well
        self.problem = ""
        _scheduler(cluster).add_plugin(self)

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Called by the scheduler."""
        self._names.add(str(scheduler.workers[worker].name))
        self._fruitless = 0

    def start_members(self, remedy: str) -> None:
        """Start all members that the cluster's specification has; ``remedy`` is what to do where one is refused.

        Raises:
            ClusterError: one cannot be started.
        """
        try:
            self._cluster.sync(self._cluster._correct_state)
        except Exception as error:
            self._forget_refused()
            if isinstance(error, ClusterError):
                raise
            raise ClusterError(f"workers cannot be started ({said(error)}): {remedy}") from None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Look after the cluster, in its own event loop."""
        assert self._cluster.loop is not None
        task = asyncio.run_coroutine_threadsafe(self._run(), self._cluster.loop.asyncio_loop)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            task.cancel()

    async def _run(self) -> None:
        delay = self._every
        while not self.problem:
            await asyncio.sleep(delay)
            if self._cluster.status != Status.running:
                return
            try:
                await self._look()
                # what does not answer, takes no more jobs now, or ends at once may be mended later
                delay = min(2 * delay, _LONGEST) if self._fruitless else self._every
            except Exception as error:
                delay = min(2 * delay, _LONGEST)
                logger.warning("workers that ended cannot be replaced (%s): trying again in %.0f s", said(error), delay)

    async def _look(self) -> None:
        self._forget_refused()
        members = dict(self._cluster.workers)
        for name, how in (await self._ended(members)).items():
            gone = self._cluster.workers.pop(name, None)
            if gone is None:
                continue
            await gone.close()
            gone.status = Status.closed
            came = {each for each in self._names if belongs(each, name)}
            self._names -= came  # its successor has the same name
            self._fruitless += not came
            logger.warning("%s ended%s: %s", name, "" if came else " before its worker was there", how)
        if self._fruitless >= _GIVE_UP and not workers_there(self._cluster):
            self.problem = f"{self._fruitless} in a row ended before their workers were there: {self._advice}"
            if (adaptive := getattr(self._cluster, "_adaptive", None)) is not None:
                adaptive.stop()
            return
        await self._cluster._correct_state()

    def _forget_refused(self) -> None:
        """Members that never started: dask lists them all the same."""
        for name, member in list(self._cluster.workers.items()):
            if member.status == Status.created:
                member.status = Status.failed
                del self._cluster.workers[name]


def belongs(worker: str, member: Any) -> bool:
    """Whether a worker of this name is one of a member's; where a member has several, they are numbered."""
    return worker == str(member) or worker.startswith(f"{member}-")


def workers_there(cluster: SpecCluster) -> set[str]:
    """Names of the workers that the scheduler has now."""
    return {str(worker.name) for worker in _scheduler(cluster).workers.values()}


def _scheduler(cluster: SpecCluster) -> Scheduler:
    assert isinstance(cluster.scheduler, Scheduler)
    return cluster.scheduler


def said(error: Exception) -> str:
    """What went wrong, in a line; of a command that failed, what it wrote."""
    text = str(error)
    return " ".join((text.partition("stderr:")[2] or text).split()) or type(error).__name__


def running_here(
    settings: ClusterStart, cluster: SpecCluster, security: Security | None, keeper: Keeper, facts: Mapping[str, str]
) -> Running:
    """What the adapter of a cluster whose scheduler is in this process hands out."""
    host = settings.dashboard.rpartition(":")[0]
    port = _scheduler(cluster).http_server.port  # type: ignore[attr-defined]  # that it took; set as it listens
    return Running(
        settings.kind,
        cluster.scheduler_address,
        f"http://{host}:{port}/status",
        security,
        tls=None if settings.security is None else settings.security.folder,
        facts=facts,
        problem=lambda: keeper.problem,
    )
