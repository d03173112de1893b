"""Drives a job: in a task on the cluster, or in the process of a foreground export. Idempotent: it may be run again."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from distributed import Client, Reschedule, get_client, get_worker, secede

from oceanrecon.errors import ClusterError, LeaseError, OceanreconError, OutputError
from oceanrecon.pipeline.export import ExportResult, run_plan
from oceanrecon.pipeline.output import GUARD, check_output
from oceanrecon.pipeline.plan import Plan
from oceanrecon.pipeline.profiles.grid import plan_grid, run_grid
from oceanrecon.pipeline.tasks import Progress, Retries, is_ending
from oceanrecon.service.jobs.recorder import CancelledJobError, Recorder
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import JobRecord, ended, job_path, now_utc, read_record, write_record
from oceanrecon.stores.lease import Keeper, Lease, current


@dataclass(frozen=True)
class Driven:
    """How a job ended."""

    record: JobRecord
    #: ``None`` where it did not come to its end
    result: ExportResult | None
    #: what stopped it
    error: BaseException | None = None
    #: not the job, only who drove it: it is to be driven again
    again: bool = False


def drive(planned: Plan, job: str, handed: int, resume: bool = True, retries: Retries | None = None) -> str:
    """The task of a job on the cluster, ``handed`` over for the so-many-th time; its state.

    It leaves its worker's only thread to the blocks at once, and speaks to the scheduler through its worker.

    Raises:
        Reschedule: its worker or its connection is going; the scheduler runs it again.
    """
    client, worker = get_client(), get_worker()
    secede()
    try:
        driven = run_job(planned, client, job, handed=handed, resume=resume, driver=worker.address, retries=retries)
    except LeaseError:  # another job has the output; the record says so
        return "failed"
    if driven.again:
        raise Reschedule
    return driven.record.state


def run_job(
    planned: Plan,
    client: Client,
    job: str,
    *,
    handed: int = 1,
    resume: bool = True,
    driver: str | None = None,
    retries: Retries | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Driven:
    """Carry out a job whose output is ready and whose record is written, from where it is to its end.

    Args:
        planned: what to make.
        client: of the cluster.
        job: its id.
        handed: which time of its being handed to a cluster this is; where the record knows of a later one, or the job
            is over, nothing is done.
        resume: what the manifest says of it.
        driver: address of the worker that this runs on; ``None`` in a foreground export.
        retries: how often and when a block is tried again.
        on_progress: called after each block.

    Raises:
        LeaseError: another job holds the output.
        KeyboardInterrupt: in a foreground export.
    """
    root = Root(planned.recipe.output)
    record = read_record(root, job)
    if _is_settled(record, handed):
        return Driven(record, None)
    try:
        # a lost driver is run again elsewhere, so that its lease outlives its worker's process; a foreground one is not
        lease = Lease.take(root, job, tied=driver is None)
    except LeaseError as error:  # while the job waited for a worker; its record is its own all the same
        write_record(root, ended(read_record(root, job), "failed", str(error)))
        raise
    with Keeper(lease) as keeper:
        record = read_record(root, job)
        after_loss, lost = record.state == "running", record.driver
        if _is_settled(record, handed):  # in that very moment
            return Driven(record, None)
        record = replace(
            record, state="running", message="", started_utc=now_utc(), ended_utc=None, updated_utc=now_utc(),
            starts=record.starts + 1, driver=driver,
        )  # fmt: skip
        recorder = Recorder(root, record, client, keeper, after_loss, on_progress)
        recorder.note(
            f"driver {record.starts} begins on {driver or 'the computer of ' + record.who}"
            + (f"; the one before was lost, on {lost}" if after_loss else "")
        )
        try:
            # others may have had the output while this waited
            check_output(planned, resume=True, overwrite=False)
            GUARD.refuse_emptied(root)
            recorder.check()
            recorder.expects(planned)
            with _report(client, root, recorder):
                result = _run(planned, client, recorder, resume=resume, retries=retries)
        except LeaseError as error:
            return _without_hold(root, recorder, driver, error)
        except CancelledJobError as error:
            return Driven(recorder.ends("cancelled"), None, error)
        except KeyboardInterrupt:
            recorder.ends("cancelled", "interrupted")
            raise
        except Exception as error:
            if driver is not None and (isinstance(error, ClusterError) or is_ending(client)):
                keeper.leave()  # the scheduler runs it again: the output stays the job's until then
                return Driven(recorder.record, None, error, again=True)
            if isinstance(error, OceanreconError):
                return Driven(recorder.ends("failed", str(error)), None, error)
            recorder.note(traceback.format_exc())
            return Driven(recorder.ends("failed", f"{type(error).__name__}: {error}"), None, error)
        except BaseException:  # the worker ends under us: its event loop is cancelled
            keeper.leave()
            raise
        unmasked = "" if result.masked else "no land mask could be made: see why blocks failed, then resume"
        return Driven(recorder.ends("complete" if result.complete else "incomplete", unmasked), result)


def _is_settled(record: JobRecord, handed: int) -> bool:
    """Whether a driver has nothing to do: the job is over, cancelled perhaps, or was handed to another driver since."""
    return record.ended or record.handed != handed


def _without_hold(root: Root, recorder: Recorder, driver: str | None, error: LeaseError) -> Driven:
    """What becomes of a driver whose lease was lost: by another job, a newer driver, or a store that was away."""
    record = recorder.record
    if driver is None:
        return Driven(recorder.ends("failed", str(error)), None, error)
    try:
        holder = current(root)
    except OutputError:  # the store is away still
        return Driven(record, None, error, again=True)
    if holder is None:
        return Driven(record, None, error, again=True)
    if holder.holder != record.id:
        return Driven(recorder.ends("failed", str(error)), None, error)
    if holder.token == recorder.hold.token:  # ours, too old to be safe, and nobody came
        return Driven(record, None, error, again=True)
    return Driven(record, None, error)  # a newer driver of the job: the record is its now


def _run(planned: Plan, client: Client, recorder: Recorder, *, resume: bool, retries: Retries | None) -> ExportResult:
    job, start, hold = recorder.record.id, recorder.record.starts, recorder.hold
    result = run_plan(planned, client, job=job, hold=hold, start=start, resume=resume, watch=recorder, retries=retries)
    profiles = planned.settings.profiles
    if profiles is None:
        return result
    recorder.note("the blocks are done; profiles are put on the grid")
    gridded = run_grid(
        plan_grid(result.output, profiles.store, profiles.temperature), client, resume=True, job=f"{job}-{start}",
        hold=hold, owns=recorder.owns, check=recorder.check, on_progress=recorder.tell,
    )  # fmt: skip
    return replace(result, profiles=gridded)


@contextmanager
def _report(client: Client, root: Root, recorder: Recorder) -> Iterator[None]:
    """Keep dask's performance report of what runs inside; a job does not fail for want of it."""
    started, last = time.time(), 0
    with suppress(OSError, ValueError, RuntimeError):
        last = client.run_on_scheduler(_samples)
        client.get_task_stream(start=0, stop=0)  # from now on the scheduler keeps it
    yield
    try:
        # dask's own `performance_report` writes to a path of its own, and not if the client is in a worker
        page = client.sync(
            client.scheduler.performance_report,  # type: ignore[union-attr]
            start=started, last_count=last, code=f"oceanrecon export, job {recorder.record.id}", mode="inline",
            callback_timeout=60,
        )  # fmt: skip
        root.write(job_path(recorder.record.id, "report.html"), page.encode())
    except Exception as error:
        recorder.note(f"no performance report: {type(error).__name__}: {error}")


def _samples(dask_scheduler: object) -> int:
    return dask_scheduler.monitor.count  # type: ignore[attr-defined,no-any-return]
