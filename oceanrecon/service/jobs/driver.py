"""Drives a job: in a task on the cluster, or in the process of a foreground export. Idempotent: it may be run again."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from distributed import Client, get_client, get_worker, secede

from oceanrecon.errors import ClusterError, LeaseError, OceanreconError, OutputError
from oceanrecon.pipeline.export import ExportResult, run_plan
from oceanrecon.pipeline.plan import Plan
from oceanrecon.pipeline.profiles.grid import plan_grid, run_grid
from oceanrecon.pipeline.tasks import Progress, Retries
from oceanrecon.service.jobs.recorder import CancelledJobError, Recorder
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import JobRecord, ended, job_path, now_utc, read_record, write_record
from oceanrecon.stores.lease import Keeper, Lease


@dataclass(frozen=True)
class Driven:
    """How a job ended."""

    record: JobRecord
    #: ``None`` where it did not come to its end
    result: ExportResult | None
    #: what stopped it
    error: BaseException | None = None


def drive(planned: Plan, job: str, retries: Retries | None = None) -> str:
    """The task of a job on the cluster; its state.

    It leaves its worker's only thread to the blocks at once, and speaks to the scheduler through its worker.
    """
    client, worker = get_client(), get_worker()
    secede()
    return run_job(planned, client, job, driver=worker.address, retries=retries).record.state


def run_job(
    planned: Plan,
    client: Client,
    job: str,
    *,
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
        resume: what the manifest says of it.
        driver: address of the worker that this runs on; ``None`` in a foreground export.
        retries: how often and when a block is tried again.
        on_progress: called after each block.

    Raises:
        LeaseError: another job holds the output.
        KeyboardInterrupt: in a foreground export.
    """
    root = Root(planned.recipe.output)
    try:
        # a lost driver is run again elsewhere, so that its lease outlives its worker's process; a foreground one is not
        lease = Lease.take(root, job, tied=driver is None)
    except LeaseError as error:  # while the job waited for a worker; its record is its own all the same
        write_record(root, ended(read_record(root, job), "failed", str(error)))
        raise
    with Keeper(lease) as keeper:
        record = read_record(root, job)
        after_loss = record.state == "running"
        if record.state == "cancelled":  # before a worker had a thread for it
            return Driven(record, None)
        record = replace(
            record, state="running", message="", started_utc=now_utc(), ended_utc=None, updated_utc=now_utc(),
            starts=record.starts + 1, driver=driver,
        )  # fmt: skip
        recorder = Recorder(root, record, client, keeper, after_loss, on_progress)
        recorder.note(f"driver {record.starts} begins on {driver or 'the computer of ' + record.who}")
        try:
            recorder.check()
            with _report(client, root, recorder):
                result = _run(planned, client, recorder, resume=resume, retries=retries)
        except LeaseError as error:  # another driver goes on: nothing of the job is ours to write any more
            return Driven(recorder.record, None, error)
        except CancelledJobError as error:
            return Driven(recorder.ends("cancelled"), None, error)
        except KeyboardInterrupt:
            recorder.ends("cancelled", "interrupted")
            raise
        except ClusterError as error:
            if driver is not None and keeper.lost is None and client.status != "running":
                # the scheduler runs the driver again elsewhere, unless it is gone itself: the output stays the job's
                recorder.note(f"the driver on {driver} lost its cluster")
                recorder.flush()
                keeper.leave()
                return Driven(recorder.record, None, error)
            return Driven(recorder.ends("failed", str(error)), None, error)
        except OceanreconError as error:
            return Driven(recorder.ends("failed", str(error)), None, error)
        except Exception as error:
            recorder.note(traceback.format_exc())
            return Driven(recorder.ends("failed", f"{type(error).__name__}: {error}"), None, error)
        except BaseException:  # the worker ends under us: its event loop is cancelled
            keeper.leave()
            raise
        return Driven(recorder.ends("complete" if result.complete else "incomplete"), result)


def _run(planned: Plan, client: Client, recorder: Recorder, *, resume: bool, retries: Retries | None) -> ExportResult:
    job, start = recorder.record.id, recorder.record.starts
    result = run_plan(planned, client, job=job, start=start, resume=resume, watch=recorder, retries=retries)
    profiles = planned.settings.profiles
    if profiles is None:
        return result
    recorder.note("the blocks are done; profiles are put on the grid")
    gridded = run_grid(
        plan_grid(result.output, profiles.store, profiles.temperature), client, resume=True,
        on_progress=recorder.profiles,
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
        )  # fmt: skip
        root.write(job_path(recorder.record.id, "report.html"), page.encode())
    except (OSError, ValueError, RuntimeError, ImportError, OutputError) as error:
        recorder.note(f"no performance report: {type(error).__name__}: {error}")


def _samples(dask_scheduler: object) -> int:
    return dask_scheduler.monitor.count  # type: ignore[attr-defined,no-any-return]
