"""Workers as SLURM jobs, by dask-jobqueue; the scheduler runs in this process, on a login node."""

from __future__ import annotations

import logging
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from getpass import getuser
from importlib import import_module
from pathlib import Path
from typing import Any

from distributed import Security

from oceanrecon.cluster_config import ClusterStart, SlurmSettings, seconds
from oceanrecon.errors import ClusterError, MissingExtraError, how_to_install
from oceanrecon.service.clusters.base import Running
from oceanrecon.service.clusters.keeper import (
    DEATH_TIMEOUT,
    NANNY,
    Keeper,
    Kept,
    Members,
    opened,
    running_here,
    scheduler_options,
    worker_arguments,
    worker_environment,
    worker_memory,
)
from oceanrecon.service.clusters.security import refuse, tls_security

#: How often the queue is asked which jobs have ended, seconds; sites do not like to be asked more often.
_EVERY = 15.0
#: With `workers.maximum`: how often it is seen whether there is work for more, seconds, and how often in a row a worker
#: must have none before it leaves.
_ADAPT_EVERY, _ADAPT_WAIT = 5.0, 12
#: A worker leaves so long before its walltime, seconds.
_MARGIN = 600.0


@contextmanager
def start_cluster(settings: ClusterStart, security: Security | None, allow_insecure: bool) -> Iterator[Running]:
    """The scheduler of ``settings`` in this process, and its workers as jobs, which end with the context.

    A job that ends (at its walltime, by `scancel`, with its node) is replaced.

    Raises:
        ClusterError: there is no SLURM here, it refuses the jobs, or the scheduler would be open to others.
        MissingExtraError: dask-jobqueue is not installed.
    """
    library = _library()
    options = scheduler_options(settings, security, allow_insecure)
    if security is None:
        refuse(
            "workers on the nodes would run what anyone who reaches them, or who listens at the scheduler's address "
            "there, sends them, since there is no TLS",
            "make certificates with `oceanrecon cluster certificates` and set security.folder",
            allow_insecure,
        )
    missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    if missing:
        raise ClusterError(f"no {', '.join(missing)} on the path: start the cluster on a login node of a SLURM site")
    slurm = settings.slurm or SlurmSettings()
    logs = _logs(slurm)
    count, maximum = settings.workers.count or 1, settings.workers.maximum
    cluster_class = type("Cluster", (Kept, library.SLURMCluster), {})
    make = partial(
        cluster_class,
        name="oceanrecon",
        scheduler_options=options,
        security=security,
        silence_logs=logging.WARNING,
        **_job(settings, security),
    )
    with opened(make) as opened_cluster:
        cluster: Any = opened_cluster  # dask-jobqueue has no types
        keeper = Keeper(
            cluster,
            _Queue(cluster.job_cls, logs).ended,
            every=_EVERY,
            advice=f"see the output of the jobs in {logs}, and whether the nodes reach {cluster.scheduler_address}",
        )
        for _ in range(math.ceil(count / slurm.workers_per_job)):
            cluster.worker_spec.update(cluster.new_worker_spec())
        keeper.start_members("see slurm and workers in the settings; --dry-run shows what SLURM is asked for")
        with keeper.keeping():
            if maximum is not None:
                cluster.adapt(minimum=count, maximum=maximum, interval=f"{_ADAPT_EVERY}s", wait_count=_ADAPT_WAIT)
            yield running_here(settings, cluster, security, keeper, {"jobs": _ids(cluster.workers), "logs": str(logs)})


def script(settings: ClusterStart) -> str:
    """The batch script of one job; the address of the scheduler and the name of the worker differ in what is submitted.

    Raises:
        ClusterError: its certificates are not in order.
        MissingExtraError: dask-jobqueue is not installed.
    """
    library = _library()
    security = None if settings.security is None else tls_security(settings.security.folder)
    protocol, place = ("tcp" if security is None else "tls"), settings.scheduler
    job = library.slurm.SLURMJob(
        f"{protocol}://{place.host}:{place.port}",
        "oceanrecon-0",
        security=security,
        protocol=f"{protocol}://",
        **_job(settings, security),
    )
    return str(job.job_script())


def _library() -> Any:
    try:
        return import_module("dask_jobqueue")
    except ImportError as error:
        raise MissingExtraError(f"kind `slurm` needs dask-jobqueue ({error}): {how_to_install('cluster')}") from None


def _job(settings: ClusterStart, security: Security | None) -> dict[str, Any]:
    """Arguments of dask-jobqueue for one job."""
    slurm = settings.slurm or SlurmSettings()
    memory = worker_memory(settings)
    assert memory is not None  # the settings see to it
    each = slurm.workers_per_job
    lifetime, stagger = _lifetime(settings, slurm)
    if security is not None:
        for path in security.get_tls_config_for_role("worker").values():
            if path is not None:
                _check_plain(path, "move the certificates to a folder with a plain name, and set security.folder")
    # worker processes start with an environment that has all of these, which libraries read as they are loaded
    exports = [
        f"export {name}={shlex.quote(value)}"
        for name, value in worker_environment(secured=security is not None).items()
    ]
    # lost jobs are replaced here: one that SLURM puts into its queue again as well would be one too many
    directives = ["--no-requeue", *(() if slurm.qos is None else (f"--qos={slurm.qos}",)), *slurm.directives]
    return {
        "job_name": "oceanrecon",
        "queue": slurm.partition,
        "account": slurm.account,
        "cores": each,  # one thread per process
        "processes": each,
        "memory": f"{each * memory} B",
        "job_mem": f"{math.ceil((each * memory + NANNY) / (1 << 20))}M",
        "walltime": _clock(seconds(slurm.walltime)),
        "interface": slurm.interface,
        "python": shlex.quote(slurm.python or sys.executable),
        # in quotes: a variable is filled in on the node, and nothing is split or run
        "local_directory": f'"{slurm.scratch}"',
        "log_directory": str(_logs(slurm)),
        "death_timeout": DEATH_TIMEOUT,
        "nanny": True,
        "job_extra_directives": directives,
        "job_script_prologue": [*(f"module load {shlex.quote(name)}" for name in slurm.modules), *exports],
        "worker_extra_args": [
            *worker_arguments(settings),
            "--lifetime",
            f"{lifetime:.0f}s",
            "--lifetime-stagger",
            f"{stagger:.0f}s",
        ],
    }


def _check_plain(path: str, remedy: str) -> None:
    """Paths of certificates and of logs go into the script as they are."""
    if re.fullmatch(r"[\w./+,@:-]+", path) is None:
        raise ClusterError(f"{path!r} goes into a batch script, where its spaces or signs mean something: {remedy}")


def _lifetime(settings: ClusterStart, slurm: SlurmSettings) -> tuple[float, float]:
    """Lifetime of a worker and how much it differs between workers, seconds: together below the walltime."""
    walltime, stagger = seconds(slurm.walltime), seconds(settings.workers.stagger)
    if settings.workers.lifetime is not None:
        return seconds(settings.workers.lifetime), stagger
    margin = min(_MARGIN, walltime / 2)
    return walltime - margin, min(stagger, margin / 2)


def _clock(duration: float) -> str:
    """As SLURM writes it: ``1-12:00:00``."""
    minutes, rest = divmod(round(duration), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}-{hours:02}:{minutes:02}:{rest:02}"


def _logs(slurm: SlurmSettings) -> Path:
    found = Path(os.path.expandvars(slurm.logs)).absolute()
    _check_plain(str(found), "set slurm.logs to a folder with a plain name; variables in it are those of this machine")
    return found


def _ids(members: Mapping[Any, Any]) -> str:
    return " ".join(sorted(str(job.job_id) for job in members.values()))


class _Queue:
    """What SLURM says about our jobs."""

    def __init__(self, job_class: Any, logs: Path) -> None:
        self._job_class, self._logs = job_class, logs

    async def ended(self, members: Members) -> dict[Any, str]:
        """Members whose jobs are no longer in the queue, each with the file that says why."""
        listed = await self._job_class._call(["squeue", "--noheader", "--format=%A", f"--user={getuser()}"])
        there = set(listed.split())
        jobs = {name: job.job_id for name, job in members.items() if isinstance(job, self._job_class)}
        return {name: f"job {job}, {self._logs}/oceanrecon-{job}.err" for name, job in jobs.items() if job not in there}
