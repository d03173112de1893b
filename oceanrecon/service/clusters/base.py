"""What every adapter of a cluster shares: what runs, and the settings of its schedulers and workers, in one place."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Security

#: Dask's settings for schedulers, workers and clients. Local ones inherit them from the process that starts them; for
#: others see ``environment``.
DASK: dict[str, Any] = {
    # streaming tasks hold one block and nothing between tasks: spilling to disk or pausing would only slow them
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # a worker near its limit is ended by its nanny, which starts another; the kernel would end anything
    "distributed.worker.memory.terminate": 0.95,
    # a task whose worker died under it more often than this is set aside, not tried for ever
    "distributed.scheduler.allowed-failures": 3,
    "distributed.comm.timeouts.connect": "10s",
    # a worker that does not answer for so long is given up, and its tasks are run elsewhere; dask waits five minutes
    "distributed.scheduler.worker-ttl": "2 minutes",
}

#: Environment of worker processes. It has to be there before they start: libraries read it as they are loaded.
WORKER_ENVIRONMENT: dict[str, str] = {
    # glibc keeps freed memory for later; below this many bytes it gives it back, or a worker grows to its limit
    "MALLOC_TRIM_THRESHOLD_": "65536",
    # a worker is one thread on one core: each library's own threads would fight over it with the other workers
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "GDAL_NUM_THREADS": "1",
}

#: Address of a worker's own pages (``dask worker --no-dashboard --dashboard-address ...``). Left out, dask lets them
#: listen where the worker listens, and they have neither TLS nor a password. (``dask worker`` without ``--host`` or
#: ``--interface`` listens on every interface, also where its scheduler is on loopback: safe with TLS alone.)
WORKER_PAGES = "127.0.0.1:0"


def hush() -> None:
    """In a scheduler or a worker: reports hold profiles of deeply nested calls (numba's compiler).

    Dask fails to measure their size, and says so.
    """
    logging.getLogger("distributed.sizeof").setLevel(logging.ERROR)


def environment() -> dict[str, str]:
    """Environment for schedulers and workers that something else starts (a batch script, pods): all of the above.

    ``DASK_A__B_C=value`` is how dask reads the setting ``a.b-c`` from the environment.
    """
    dask = {f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": str(value) for key, value in DASK.items()}
    return {**WORKER_ENVIRONMENT, **dask}


@dataclass(frozen=True)
class Running:
    """A cluster that runs, until the context that gave it ends."""

    kind: str
    #: of the scheduler, as a client takes it
    address: str
    #: link to the dashboard
    dashboard: str | None
    #: what a client needs to be let in; none without TLS
    security: Security | None
    #: folder of the certificates
    tls: str | None = None
    #: what else the adapter has to say, such as the ids of its jobs
    facts: Mapping[str, str] = field(default_factory=dict)
    #: why it will never again have the workers that were asked for; empty: all is well
    problem: Callable[[], str] = str

    def client(self) -> Client:
        """A new client, which is nobody's default."""
        return Client(self.address, security=self.security, timeout="20s", set_as_default=False)

    def submit_line(self) -> str:
        """The command that gives this cluster a job."""
        tls = "" if self.tls is None else f" --tls {shlex.quote(str(Path(self.tls).expanduser().absolute()))}"
        return f"oceanrecon submit EXPORT.yaml --scheduler {self.address}{tls}"

    def describe(self) -> dict[str, Any]:
        """Facts for people and scripts: addresses, and the workers that are there now."""
        with self.client() as client:
            workers = worker_facts(client)
        return {
            "kind": self.kind,
            "scheduler": self.address,
            "dashboard": self.dashboard,
            "tls": self.tls,
            **workers,
            **self.facts,
            "submit": self.submit_line(),
        }


def worker_facts(client: Client) -> dict[str, int]:
    """How many workers and threads there are now, and the smallest memory limit of a worker, bytes."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {
        "workers": len(workers),
        "threads": sum(worker["nthreads"] for worker in workers),
        "memory_per_worker": min((worker["memory_limit"] for worker in workers), default=0),
    }
