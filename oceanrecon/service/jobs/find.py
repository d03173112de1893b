"""Finds jobs: by id, by output, under a folder; and says what became of those whose driver is silent."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fsspec

from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.service.jobs.mine import remembered
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import JOBS, JobRecord, JobState, newest_first, read_record, read_records
from oceanrecon.stores.lease import current

#: What a job looks like from outside: its own state, or that nobody drives it any more.
Seen = JobState | Literal["lost"]
#: A driver writes its record every few seconds, on object stores every ten; when nothing was written for so long,
#: something is wrong.
_SILENT = 15.0
#: Folders below a place that are searched for outputs.
_DEPTH = 3
#: Bytes without which no record can be written.
_ROOM = 1 << 16
_READERS = 16


@dataclass(frozen=True)
class JobSeen:
    """A job, and whether anybody drives it."""

    record: JobRecord
    #: ``lost``: it says that it runs, or will, and nobody holds its output; ``resume`` goes on with it
    state: Seen

    @property
    def over(self) -> bool:
        """Whether nothing will happen by itself."""
        return self.record.ended or self.state == "lost"

    @property
    def silent(self) -> float | None:
        """Seconds since a running job was heard of, by this machine's clock; ``None`` while all is well."""
        if self.state != "running":
            return None
        quiet = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(self.record.updated_utc)).total_seconds()
        return quiet if quiet > _SILENT else None


def look(record: JobRecord) -> JobSeen:
    """A record, and whether somebody drives it: a driver holds its output as long as it lives.

    Who submits holds it before that, for a minute. A job that no driver has begun by then may never have reached its
    scheduler.

    Raises:
        OutputError: the output cannot be read.
    """
    if record.ended:
        return JobSeen(record, record.state)
    root = Root(record.output)
    holder = current(root)
    if holder is not None and holder.holder == record.id:
        return JobSeen(record, record.state)
    later = read_record(root, record.id)  # it may have ended since it was read
    return JobSeen(later, later.state if later.ended else "lost")


def full_disk(record: JobRecord) -> str:
    """What to say of the disk of a job's output if there is no room on it; a driver that ends for it cannot say so."""
    folder = Root(record.output).local_path
    if folder is None or not folder.is_dir():
        return ""
    free = shutil.disk_usage(folder).free
    return f"the disk of {folder} is full ({free:,} bytes are free)" if free < _ROOM else ""


def list_jobs(places: Iterable[str] = ()) -> list[JobSeen]:
    """All jobs of the outputs at or below some folders or URLs; of this user's outputs where none are named.

    Raises:
        OutputError: a place that was named cannot be read.
    """
    named = list(places)
    outputs = [output for place in named for output in outputs_below(place)] if named else _own_outputs()
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda output: _records(output, strict=bool(named)), outputs)
        records = newest_first(record for part in found for record in part)
        return list(pool.map(look, records))


def find_job(name: str, place: str | None = None) -> JobSeen:
    """The job that a user means.

    Args:
        name: an id, the beginning of one, or an output (its newest job).
        place: an output, or a folder of outputs, to look in; default: the outputs that this user submitted to.

    Raises:
        OutputError: there is none, or more than one.
    """
    if place is None and ("/" in name or Path(name).is_dir()):
        records = read_records(Root(name))
        if not records:
            raise OutputError(f"{Root(name).url} has no jobs: `oceanrecon jobs PLACE` lists those below a folder")
        return look(records[0])
    outputs = list(outputs_below(place)) if place is not None else _own_outputs(name)
    records = [record for output in outputs for record in _records(output, strict=place is not None)]
    matching = [record for record in records if record.id.startswith(name)]
    if not matching:
        where = f"below {place}" if place is not None else "among the jobs that you submitted from here"
        raise OutputError(
            f"there is no job {name!r} {where}: `oceanrecon jobs` lists them; name the folder of its output, or where "
            "to look with --in PLACE"
        )
    if len({record.id for record in matching}) > 1:
        raise OutputError(f"{name!r} may be {', '.join(sorted(record.id for record in matching))}: give more of its id")
    return look(matching[0])


def outputs_below(place: str) -> Iterator[str]:
    """The outputs at or below a place that have jobs: it, and folders up to three levels down.

    Raises:
        OutputError: there is no such place.
    """
    root = Root(place)
    if root.local_path is None:
        file_system = fsspec.core.url_to_fs(root.url)[0]
        levels = [root.url + "/*" * depth for depth in range(_DEPTH + 1)]
        for level in levels:
            try:
                yield from sorted(
                    file_system.unstrip_protocol(str(found).rstrip("/").rpartition("/")[0])
                    for found in file_system.glob(f"{level}/{JOBS}")
                )
            except OSError as error:
                raise OutputError(f"cannot look for jobs below {root.url}: {error}") from error
        return
    if not root.local_path.is_dir():
        raise OutputError(f"there is no folder {root.url}: name an output, or a folder of outputs")
    for folder, names, _ in os.walk(root.url):
        if JOBS in names:
            yield folder
            names.clear()  # an output holds no other
        elif len(Path(folder).relative_to(root.url).parts) >= _DEPTH:
            names.clear()


def _own_outputs(job: str = "") -> list[str]:
    return list(dict.fromkeys(submitted.output for submitted in remembered() if submitted.job.startswith(job)))


def _records(output: str, *, strict: bool) -> list[JobRecord]:
    try:
        return read_records(Root(output))
    except OceanreconError:
        if strict:
            raise
        return []  # an output of long ago, on a disk that is not here today
