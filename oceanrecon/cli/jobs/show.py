"""``oceanrecon jobs``, ``watch`` and ``logs``: how jobs go."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import JsonOption, console, duration, errors, show_json, table
from oceanrecon.cli.jobs.common import JobName, PlaceOption, coloured, counted, facts_of, remedy
from oceanrecon.cli.progress import ProgressBar

if TYPE_CHECKING:
    from oceanrecon.service.jobs.find import JobSeen

Places = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PLACE]...", help="Outputs, or folders of outputs; default: those you submitted to."),
]


def jobs_command(
    places: Places = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first: those that you submitted, or all below some folders or URLs.

    Needs no scheduler: a job's record is in its output.

    Example: `oceanrecon jobs s3://bucket/exports`
    """
    from oceanrecon.service.jobs.find import list_jobs

    found = list_jobs(places or ())
    if as_json:
        show_json([facts_of(seen.record, seen.state) for seen in found])
        return
    if not found:
        where = f"below {', '.join(places)}" if places else "that you submitted from this computer"
        console.print(
            f"no jobs {where}: `oceanrecon submit CONFIG --scheduler URL` makes one, and `oceanrecon jobs PLACE` lists "
            "those in a folder of outputs",
            soft_wrap=True,
        )
        return
    rows = [
        (
            seen.record.id,
            coloured(seen.state) + (f", nothing heard for {duration(seen.silent)}" if seen.silent else ""),
            f"{_finished(seen)}/{seen.record.total('blocks')}",
            str(seen.record.failure_count),
            seen.record.submitted_utc,
            escape(seen.record.who),
            escape(seen.record.output),
        )
        for seen in found
    ]
    table(counted(len(found), "job"), ["job", "state", "blocks", "failed", "submitted", "by", "output"], rows)


def watch_command(job: JobName, place: PlaceOption = None, as_json: JsonOption = False) -> None:
    """Follow a job to its end; Ctrl-C stops the watching, not the job.

    The exit code is 0 only where the job ends complete.

    Example: `oceanrecon watch 3f9a0c12`
    """
    from oceanrecon.service.jobs.control import follow
    from oceanrecon.service.jobs.find import find_job

    found = seen = find_job(job, place)
    try:
        with ProgressBar("blocks", silent=as_json) as bar:
            for seen in follow(found.record.output, found.record.id):
                bar.show(_finished(seen), seen.record.total("blocks"), f"{seen.state}, {_rate(seen)}")
    except KeyboardInterrupt:
        errors.print(f"job {seen.record.id} goes on; `oceanrecon cancel {seen.record.id}` stops it", soft_wrap=True)
        raise typer.Exit(130) from None
    if as_json:
        show_json(facts_of(seen.record, seen.state))
    else:
        _show_end(seen)
    if seen.state != "complete":
        raise typer.Exit(1)


def logs_command(job: JobName, place: PlaceOption = None, as_json: JsonOption = False) -> None:
    """Print what happened in a job: its drivers, retries, failures, and how it ended.

    Example: `oceanrecon logs 3f9a0c12`
    """
    from oceanrecon.service.jobs.control import read_log
    from oceanrecon.service.jobs.find import find_job

    record = find_job(job, place).record
    lines = read_log(record.output, record.id)
    if as_json:
        show_json([vars(line) for line in lines])
        return
    for line in lines:
        console.print(f"[dim]{line.time}[/] {escape(line.message)}", soft_wrap=True)
    if not lines:
        console.print(f"job {record.id} is {record.state}: nothing has happened yet", soft_wrap=True)


def _finished(seen: JobSeen) -> int:
    return seen.record.total("kept") + seen.record.total("done") + seen.record.total("failed")


def _rate(seen: JobSeen) -> str:
    record = seen.record
    done, seconds = record.total("done"), record.wall_seconds
    failed = f"{record.failure_count} failed"
    if seen.silent:
        return f"{failed}, nothing heard for {duration(seen.silent)}"
    if seen.state != "running" or not done or not seconds:
        return failed
    left = (record.total("blocks") - _finished(seen)) * seconds / done
    return f"{failed}, {record.bytes_written / seconds / 1e6:.1f} MB/s, {duration(left)} left"


def _show_end(seen: JobSeen) -> None:
    record = seen.record
    memory = f"{file_size(record.peak_memory_bytes)} per worker (planned {file_size(record.plan.task_memory_bytes)})"
    console.print(
        f"job {record.id} is {coloured(seen.state)}: {counted(record.total('done'), 'block')} written, "
        f"{record.total('kept')} kept, {record.failure_count} failed; {file_size(record.bytes_written)} in "
        f"{duration(record.wall_seconds)}, at most {memory}",
        soft_wrap=True,
    )
    if record.message:
        console.print(escape(record.message), soft_wrap=True)
    if record.failures:
        rows = [(item["variable"], item["date"], escape(item["message"])) for item in record.failures]
        table(f"{counted(record.failure_count, 'block')} failed", ["variable", "date", "why"], rows)
    if seen.state in ("complete", "incomplete"):
        verify = f"oceanrecon verify {shlex.quote(record.output)}"
        console.print(f"see [bold]{escape(record.output)}[/], or `{escape(verify)}`", soft_wrap=True)
    if todo := remedy(record, seen.state):
        errors.print(todo, soft_wrap=True)
