"""Asks a job's scheduler whether it is driven: a record only tells that it was, some seconds or a minute ago."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from distributed.comm.core import connect
from distributed.core import send_recv

from oceanrecon.errors import ClusterError
from oceanrecon.service.clusters.address import split_address
from oceanrecon.service.clusters.security import default_folder, tls_security
from oceanrecon.service.jobs.mine import remembered
from oceanrecon.stores.jobs import JobRecord

#: How long a scheduler may take to answer, seconds: one that lives takes milliseconds.
_PATIENCE = 3.0


def driver_key(job: str, handed: int) -> str:
    """Key of the task that drives a job that was handed over for the ``handed``-th time."""
    return f"export-{job}-{handed}"


def is_driven(record: JobRecord, tls: str | None = None) -> bool:
    """Whether the scheduler that a job was handed to has the job's driver on a worker; not if it is gone.

    Args:
        record: of the job, as it was written last.
        tls: folder of certificates; default: those that it was submitted with, or the usual ones.

    Raises:
        ClusterError: it cannot be asked: it stands still, does not let us in, or cannot be reached from here.
    """
    try:
        processing = _processing(record, tls)
    except ConnectionRefusedError:
        return False
    except Exception as error:
        raise ClusterError(
            f"{record.scheduler} cannot be asked whether it drives job {record.id} "
            f"({str(error) or type(error).__name__})"
        ) from error
    return any(driver_key(record.id, record.handed) in keys for keys in processing.values())


def _processing(record: JobRecord, tls: str | None) -> Mapping[str, Any]:
    """Keys of the tasks on each worker of a job's scheduler."""
    if record.scheduler.startswith("gateway://"):
        from oceanrecon.service.clusters.gateway import gateway_client

        with gateway_client(record.scheduler) as client:
            return dict(client.processing())
    options: dict[str, Any] = {}
    # dask would try a port that nobody listens at until its patience is over
    with closing(socket.create_connection(split_address(record.scheduler), timeout=_PATIENCE)):
        pass
    if record.scheduler.startswith("tls://"):
        ours = next((submitted.tls for submitted in remembered() if submitted.job == record.id), None)
        options = tls_security(tls or ours or default_folder(), roles=("client",)).get_connection_args("client")

    async def ask() -> Mapping[str, Any]:
        # no client: one waits for minutes where a scheduler stands still
        comm = await connect(record.scheduler, timeout=_PATIENCE, **options)
        try:
            return dict(await send_recv(comm, op="processing", workers=None, reply=True))
        finally:
            comm.abort()

    with ThreadPoolExecutor(1) as pool:  # whoever calls may have an event loop of its own
        return pool.submit(lambda: asyncio.run(asyncio.wait_for(ask(), _PATIENCE))).result()
