"""Stops jobs, and follows them, from any process that can read and write their output."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from oceanrecon.errors import ClusterError, LeaseError, OutputError
from oceanrecon.service.jobs.alive import is_driven
from oceanrecon.service.jobs.find import JobSeen, look
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import ask_to_cancel, ended, job_path, read_record, write_record
from oceanrecon.stores.lease import HELD, Lease

#: Seconds after which a driver that says nothing is asked for at its scheduler: one that lives looks every few.
_SILENCE = 5.0
#: Seconds between two looks at a record.
_EVERY, _EVERY_REMOTE = 1.0, 5.0


@dataclass(frozen=True)
class LogLine:
    """One event of a job."""

    #: UTC, ISO 8601
    time: str
    message: str


def cancel_job(output: str, job: str, *, patience: float = HELD + 20) -> JobSeen:
    """Stop a job within seconds; what is finished stays, and ``resume`` goes on from there.

    Blocks that run are left to themselves: they write nothing once the job has let go of its output. A job whose
    scheduler does not answer, or knows it no more, is ended without its driver.

    Args:
        output: of the job.
        job: its id.
        patience: how long its driver may take to say that it has stopped, seconds.

    Raises:
        OutputError: there is no such job, it is over already, or its driver does not answer.
    """
    root = Root(output)
    seen = look(read_record(root, job))
    if seen.record.ended:
        raise OutputError(f"job {job} is {seen.state} already: there is nothing to cancel")
    ask_to_cancel(root, job)
    started = time.monotonic()
    asked = gone = False
    while True:
        seen = look(read_record(root, job))
        if seen.record.ended:
            return seen
        if seen.state in ("queued", "lost") or gone:
            # nobody drives it: we do for a moment, and a driver that begins just now finds that it is cancelled
            try:
                lease = Lease.take(root, job)
            except LeaseError:
                return seen  # another job has the output by now
            try:
                record = read_record(root, job)
                if not record.ended:  # by itself, in that very moment
                    write_record(root, ended(record, "cancelled"))
                    root.clear_staging()
            finally:
                lease.release()
            return look(read_record(root, job))
        waited = time.monotonic() - started
        if waited > _SILENCE and not asked and seen.record.driver is not None:  # a foreground export has no task
            asked = True
            with suppress(ClusterError):  # it cannot be asked: a dead driver's lease ends, a living one answers
                gone = not is_driven(seen.record)
            continue
        if waited > patience:
            raise OutputError(
                f"job {job} was asked to stop, and its driver on {seen.record.driver or seen.record.who} has not "
                f"answered for {patience:g} s: see the log of its scheduler, or end its worker"
            )
        time.sleep(0.3)


def follow(output: str, job: str) -> Iterator[JobSeen]:
    """A job as it goes on, about once a second, until it is over.

    Raises:
        OutputError: there is no such job.
    """
    root = Root(output)
    while True:
        seen = look(read_record(root, job))
        if seen.state == "lost":  # or its driver moves to another worker just now
            time.sleep(3)
            seen = look(read_record(root, job))
        yield seen
        if seen.over:
            return
        time.sleep(_EVERY if root.local_path is not None else _EVERY_REMOTE)


def read_log(output: str, job: str) -> list[LogLine]:
    """The events of a job so far, the oldest first.

    Raises:
        OutputError: there is no such job.
    """
    root = Root(output)
    read_record(root, job)
    path = job_path(job, "log.jsonl")
    if not root.exists(path):
        return []
    return [LogLine(**json.loads(line)) for line in root.read(path).decode().splitlines()]
