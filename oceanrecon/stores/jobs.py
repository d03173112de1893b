"""Records of jobs: what was asked for, how far it is, how it ended; small JSON files inside the job's output.

``jobs/<id>/record.json`` is written by whoever drives the job, alone; ``log.jsonl`` has its events, ``report.html`` is
dask's own report, and a file ``cancel`` asks the driver to stop. Whoever can read the output can read its jobs.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from oceanrecon.errors import OutputError
from oceanrecon.stores.files import Root

SCHEMA_VERSION = 1
#: Folder of the records, in an output.
JOBS = "jobs"
JobState = Literal["queued", "running", "complete", "incomplete", "cancelled", "failed"]
#: States in which nothing happens any more.
ENDED: tuple[JobState, ...] = ("complete", "incomplete", "cancelled", "failed")
#: Failures that a record holds; all of them are in the output's own ``failures/``.
MOST_FAILURES = 100


@dataclass(frozen=True)
class JobPlan:
    """What a job is to make."""

    #: ``{"thetao": {"product": "glorys", "blocks": 761}}``
    variables: Mapping[str, Mapping[str, Any]]
    #: YYYYMMDD
    first_date: str
    last_date: str
    dates: int
    blocks: int
    #: projected peak of one worker
    task_memory_bytes: int
    #: estimated size of what is written
    output_bytes: int


@dataclass(frozen=True)
class JobRecord:
    """A job, as its driver last wrote it down. Times are UTC, ISO 8601, with ``Z``."""

    id: str
    #: URL of what it makes
    output: str
    state: JobState
    submitted_utc: str
    updated_utc: str
    #: ``user@host`` that submitted it
    who: str
    settings: Mapping[str, Any]
    plan: JobPlan
    kind: str = "export"
    #: why it failed
    message: str = ""
    started_utc: str | None = None
    ended_utc: str | None = None
    #: address of the scheduler; empty where the job runs on a cluster of its own
    scheduler: str = ""
    #: address of the worker that drives it
    driver: str | None = None
    #: how often it was handed to a cluster: a driver of an earlier time leaves the job alone
    handed: int = 1
    #: how often a driver began: once, and again after each loss of its worker and each resume
    starts: int = 0
    #: drivers that were lost, one after the other, before they had made a block
    fruitless_starts: int = 0
    #: after a fruitless start blocks are made one by one: how often each was on when the driver was lost
    strikes: Mapping[str, int] = field(default_factory=dict)
    #: per variable: ``blocks``, ``kept`` (were there already), ``done``, ``failed``
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    bytes_written: int = 0
    #: of the workers
    cpu_seconds: float = 0.0
    #: of the driver that is running, or of the last one
    wall_seconds: float = 0.0
    #: largest memory of any worker
    peak_memory_bytes: int = 0
    #: tasks that were tried again
    retries: int = 0
    #: ``product``, ``variable``, ``date``, ``error``, ``message``; the first of them
    failures: tuple[Mapping[str, str], ...] = ()
    failure_count: int = 0
    #: blocks that killed their workers again and again, ``thetao 20120307``
    set_aside: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more."""
        return self.state in ENDED

    def total(self, what: str) -> int:
        """The sum over all variables of ``blocks``, ``kept``, ``done`` or ``failed``."""
        return sum(counts.get(what, 0) for counts in self.counts.values())


def now_utc() -> str:
    """The time, as records have it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def job_path(job: str, name: str = "record.json") -> str:
    """Where a file of a job is, relative to its output: ``record.json``, ``log.jsonl``, ``report.html``, ``cancel``."""
    return f"{JOBS}/{job}/{name}"


def write_record(root: Root, record: JobRecord) -> None:
    """Write a record anew.

    Raises:
        OutputError: it cannot be written.
    """
    content = {"schema_version": SCHEMA_VERSION, **asdict(record)}
    root.write(job_path(record.id), (json.dumps(content, indent=1, default=str) + "\n").encode())


def read_record(root: Root, job: str) -> JobRecord:
    """The record of a job.

    Raises:
        OutputError: there is none, or it is damaged.
    """
    path = job_path(job)
    if not root.exists(path):
        raise OutputError(f"there is no job {job} in {root.url}: `oceanrecon jobs {root.url}` lists those that are")
    record = parse_record(root.read(path))
    if record is None:
        raise OutputError(
            f"{root.url_of(path)} cannot be used: it is damaged, or of another version of oceanrecon; submit the "
            "export again with --resume: its receipts are what counts"
        )
    return record


def read_records(root: Root) -> list[JobRecord]:
    """All records of an output, the newest first; damaged ones are left out."""
    paths = [path for path in root.list(JOBS) if PurePosixPath(path).name == "record.json"]
    return newest_first(parse_record(data) for data in root.read_many(paths).values())


def newest_first(records: Iterable[JobRecord | None]) -> list[JobRecord]:
    """Records by the time when they were submitted."""
    found = [record for record in records if record is not None]
    return sorted(found, key=lambda record: (record.submitted_utc, record.id), reverse=True)


def parse_record(data: bytes) -> JobRecord | None:
    """A record from the content of its file; ``None`` where it is damaged."""
    try:
        values = json.loads(data)
        if values.pop("schema_version") != SCHEMA_VERSION:
            return None
        values["plan"] = JobPlan(**values["plan"])
        values["failures"], values["set_aside"] = tuple(values["failures"]), tuple(values["set_aside"])
        return JobRecord(**values)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def ask_to_cancel(root: Root, job: str) -> None:
    """Ask the driver of a job to stop; it looks every second or two."""
    root.write(job_path(job, "cancel"), b"")


def asked_to_cancel(root: Root, job: str) -> bool:
    """Whether a job was asked to stop."""
    return root.exists(job_path(job, "cancel"))


def forget_cancel(root: Root, job: str) -> None:
    """Before a job goes on: what was asked of it before does not count."""
    root.remove(job_path(job, "cancel"))


def ended(record: JobRecord, state: JobState, message: str = "") -> JobRecord:
    """The record of a job that ends now."""
    now = now_utc()
    return replace(record, state=state, message=message, ended_utc=now, updated_utc=now)
