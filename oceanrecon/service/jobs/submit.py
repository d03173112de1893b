"""Submits exports to a scheduler and leaves; the cluster does the rest."""

from __future__ import annotations

import getpass
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dask.base import annotate
from distributed import Client, fire_and_forget
from distributed.client import ClosedClientError

from oceanrecon.config import ExportSettings, load_settings, parse_settings
from oceanrecon.errors import ClusterError, LeaseError, OutputError
from oceanrecon.pipeline.export import prepare_output
from oceanrecon.pipeline.output import check_output, is_whole, resolved
from oceanrecon.pipeline.plan import Plan, check_memory, plan
from oceanrecon.pipeline.profiles.grid import check_depth
from oceanrecon.pipeline.profiles.grid import check_output as check_gridded
from oceanrecon.pipeline.tasks import memory_of, more_memory
from oceanrecon.service.connect import connect
from oceanrecon.service.dashboard.plugin import TOPIC, install
from oceanrecon.service.jobs.alive import driver_key, is_driven
from oceanrecon.service.jobs.driver import drive
from oceanrecon.service.jobs.find import look
from oceanrecon.service.jobs.mine import Submitted, remember
from oceanrecon.stores.files import Root, writing_while
from oceanrecon.stores.jobs import (
    JobPlan,
    JobRecord,
    JobState,
    ended,
    forget_cancel,
    now_utc,
    read_record,
    write_record,
)
from oceanrecon.stores.lease import HELD, Keeper, Lease
from oceanrecon.stores.receipts import Receipt, read_receipts

_LIBRARIES = ("oceanrecon", "dask", "distributed", "numpy", "rasterio", "zarr", "h5py")
#: How often a driver is run again that could not even read or write its record.
_TRIES = 5
#: How long a scheduler may take to say that it has the job, seconds.
_PATIENCE = 30.0


def plan_export(settings: ExportSettings, *, resume: bool, overwrite: bool) -> Plan:
    """Plan an export, and refuse an output that is not ours to write; changes nothing, and needs no cluster.

    Raises:
        OceanreconError: see ``oceanrecon.pipeline.plan.plan`` and ``Guard.check``.
    """
    planned = plan(settings)
    profiles = settings.profiles
    if profiles is not None:
        check_depth(profiles.store, planned.depth, "this export")
        output = planned.recipe.output
        check_gridded(output, profiles.store, profiles.temperature, resume=True, overwrite=overwrite)
    check_output(planned, resume=resume, overwrite=overwrite)
    return planned


def submit(
    settings: ExportSettings | str | Path,
    *,
    scheduler: str,
    tls: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> JobRecord:
    """Plan an export, hand it to a scheduler as a job, and return; the job needs this process no more.

    Args:
        settings: of the export, or the path of their YAML file.
        scheduler: address of a running Dask scheduler, such as ``tls://host:8786``.
        tls: folder of certificates, see ``oceanrecon cluster certificates``.
        resume: complete or extend an export that is there.
        overwrite: replace an export that is there.

    Returns:
        The record of the job, in state ``queued``.

    Raises:
        LeaseError: another job is at work on the output.
        OceanreconError: the settings, the archive, the output or the scheduler cannot be used.

    Example:
        >>> job = oceanrecon.submit("export.yaml", scheduler="tls://host:8786")  # doctest: +SKIP
        >>> job.id  # doctest: +SKIP
        '3f9a0c12'
    """
    loaded = settings if isinstance(settings, ExportSettings) else load_settings(ExportSettings, settings)
    planned = plan_export(loaded, resume=resume, overwrite=overwrite)
    with connect(scheduler, loaded.cluster, tls=tls) as client:
        install(client)  # before anything is removed: a scheduler that cannot take it takes no job
        job = uuid.uuid4().hex[:8]
        record, planned = begin(planned, client, job, resume=resume, overwrite=overwrite, scheduler=scheduler)
        hand_over(planned, client, record, resume=resume)
    _remember(record, scheduler, tls)
    return record


def resume_job(output: str, job: str, *, scheduler: str, tls: str | None = None) -> JobRecord:
    """Go on with a job that was cancelled, failed, lost or left incomplete, on any scheduler; returns at once.

    What is finished is kept, and what the archive has got since is made too.

    Args:
        output: of the job.
        job: its id.
        scheduler: address of a running Dask scheduler.
        tls: folder of certificates.

    Returns:
        The record of the job, in state ``queued``; in state ``complete`` where there is nothing to be made, and nothing
        was submitted.

    Raises:
        LeaseError: the job, or another one on its output, is at work.
        OceanreconError: see ``submit``.
    """
    root = Root(output)
    before = read_record(root, job)
    _refuse_driven(before, tls)
    settings = parse_settings(ExportSettings, dict(before.settings), f"the record of job {job}")
    planned = plan_export(settings, resume=True, overwrite=False)
    # whether profiles are whole is seen by who puts them on the grid
    if before.state == "complete" and settings.profiles is None and is_whole(root, planned):
        return before
    with connect(scheduler, settings.cluster, tls=tls) as client:
        install(client)
        record, planned = begin(planned, client, job, resume=True, overwrite=False, scheduler=scheduler, before=before)
        hand_over(planned, client, record, resume=True)
    _remember(record, scheduler, tls)
    return record


def _refuse_driven(record: JobRecord, tls: str | None) -> None:
    """Refuse to take a job over from a driver that lives; one that died a moment ago has the output still."""
    seen = look(record)
    if seen.state != "running":
        return
    follow = f"`oceanrecon watch {record.id}` follows it, `oceanrecon cancel {record.id}` stops it"
    if record.driver is None:  # a foreground export: only its lease tells of it
        raise LeaseError(
            f"job {record.id} is running: `oceanrecon export` of {record.who} makes it. {follow}; if it was killed, "
            "try again in a minute"
        )
    try:
        driven = is_driven(record, tls)
    except ClusterError as error:
        raise LeaseError(
            f"job {record.id} may be running: its driver {record.driver} has the output, and {error}. If it is dead, "
            f"try again in {HELD:.0f} s, when its lease has ended; or `oceanrecon cancel {record.id}` first"
        ) from error
    if driven:
        raise LeaseError(f"job {record.id} is running on {record.scheduler} (driver {record.driver}): {follow}")


def begin(
    planned: Plan,
    client: Client,
    job: str,
    *,
    resume: bool,
    overwrite: bool,
    scheduler: str | None = None,
    before: JobRecord | None = None,
) -> tuple[JobRecord, Plan]:
    """Take the output for a job, make it ready, and write the job's record.

    The lease is not released: it is the job's, until whoever drives it takes it over, or it runs out.

    Args:
        planned: what to make.
        client: of the cluster that is to make it.
        job: its id.
        resume: go on with an export that is there.
        overwrite: replace an export that is there.
        scheduler: its address as the user gave it; default: as the client has it.
        before: the record of the job, if it was begun before.

    Raises:
        LeaseError: another job is at work on the output.
        OutputError: it cannot be made ready.
        PlanError: a worker's memory is too small.
    """
    check_memory(planned, memory_of(client), more_memory(client))  # before anything of the output is made
    root = Root(planned.recipe.output)
    with Keeper(Lease.take(root, job)) as keeper:  # emptying an output can take longer than a lease
        with writing_while(keeper.check):
            planned = prepare_output(planned, client, resume=resume, overwrite=overwrite)
        if scheduler is None:
            scheduler = str(client.scheduler.address) if client.scheduler is not None else ""
        record = _record(planned, job, scheduler, read_receipts(root).receipts if resume else ())
        if before is not None:
            record = replace(record, submitted_utc=before.submitted_utc, starts=before.starts, handed=before.handed + 1)
        keeper.check()
        forget_cancel(root, job)
        write_record(root, record)
        keeper.leave()
    return record, planned


def hand_over(planned: Plan, client: Client, record: JobRecord, *, resume: bool) -> None:
    """Give the driver of a job to the scheduler, for good: this client may leave.

    Raises:
        ClusterError: the scheduler did not take it.
    """
    key = driver_key(record.id, record.handed)
    client.log_event(TOPIC, {"type": "job", "record": asdict(record)})
    root = Root(record.output)
    try:
        with annotate(oceanrecon_driver=record.id):
            # before all blocks: it only wants to say what they are, and then leaves its thread to them
            future = client.submit(
                drive, light(planned), record.id, record.handed, resume,
                key=key, pure=False, priority=1000, retries=_TRIES,
            )  # fmt: skip
        fire_and_forget(future)
        ends = time.monotonic() + _PATIENCE
        # a short job may be over and forgotten before we ask
        while not client.run_on_scheduler(_knows, key=key) and _state(root, record) == "queued":
            if time.monotonic() > ends:
                raise TimeoutError(f"not within {_PATIENCE:g} s")
            time.sleep(0.05)
    except (OSError, CancelledError, ClosedClientError) as error:
        message = f"the scheduler did not take job {record.id} ({error}): see its log"
        write_record(root, ended(record, "failed", message))
        raise ClusterError(f"{message}, then `oceanrecon resume {record.id}`") from error


def _state(root: Root, record: JobRecord) -> JobState:
    """Of a job that was handed over; one look that fails is no reason to say that it was not."""
    with suppress(OutputError):
        return read_record(root, record.id).state
    return record.state


def _remember(record: JobRecord, scheduler: str, tls: str | None) -> None:
    remember(Submitted(record.id, record.output, scheduler, tls and str(Path(tls).absolute())))


def light(planned: Plan) -> Plan:
    """A plan as it travels to a driver: without the inventory, which is what it was made from."""
    return replace(planned, inventory=planned.inventory.iloc[:0])


def _knows(key: str, dask_scheduler: Any = None) -> bool:
    return key in dask_scheduler.tasks


def _record(planned: Plan, job: str, scheduler: str, done: Iterable[Receipt]) -> JobRecord:
    variables: dict[str, dict[str, Any]] = {}
    # its driver looks at their files too
    keys = {(receipt.variable, receipt.date): receipt.key for receipt in done}
    kept: Counter[str] = Counter()
    for block in planned.blocks:
        entry = variables.setdefault(block.variable, {"product": block.product, "blocks": 0})
        entry["blocks"] += 1
        key = keys.get((block.variable, f"{block.date:%Y%m%d}"))
        kept[block.variable] += key is not None and key == planned.recipe.key(block)
    now = now_utc()
    return JobRecord(
        id=job,
        output=planned.recipe.output,
        state="queued",
        submitted_utc=now,
        updated_utc=now,
        who=_who(),
        settings=resolved(planned).model_dump(mode="json"),
        plan=JobPlan(
            variables=variables,
            first_date=f"{planned.targets[0]:%Y%m%d}",
            last_date=f"{planned.targets[-1]:%Y%m%d}",
            dates=len(planned.targets),
            blocks=planned.tasks,
            task_memory_bytes=planned.peak_memory,
            output_bytes=planned.bytes_to_write,
        ),
        scheduler=scheduler,
        counts={
            name: {"blocks": variable["blocks"], "kept": kept[name], "done": 0, "failed": 0}
            for name, variable in variables.items()
        },
        versions={name: version(name) for name in _LIBRARIES},
    )


def _who() -> str:
    name = "unknown"
    with suppress(KeyError, OSError):  # a container whose user has no name
        name = getpass.getuser()
    return f"{name}@{socket.gethostname()}"
