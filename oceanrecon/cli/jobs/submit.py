"""``oceanrecon submit`` and ``resume``: hand an export to a scheduler, and return."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from oceanrecon.cli.common import (
    ConfigPath,
    JsonOption,
    OverwriteOption,
    ResumeOption,
    SetOption,
    TlsOption,
    console,
    refuse_both,
    scheduler_option,
    show_json,
)
from oceanrecon.cli.jobs.common import JobName, PlaceOption, counted, facts_of

ClusterOption = Annotated[str | None, scheduler_option("has to be given")]
AnyClusterOption = Annotated[str | None, scheduler_option("default: the one that the job was on")]


def submit_command(
    config: ConfigPath,
    scheduler: ClusterOption = None,
    tls: TlsOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit an export to a Dask cluster, and return: the cluster does it without this computer.

    It is planned and checked here first, which takes some seconds. Prints the job's id.

    Example: `oceanrecon submit configs/export-demo.yaml --scheduler tcp://127.0.0.1:8786`
    """
    from oceanrecon.config import ExportSettings, load_settings
    from oceanrecon.service.jobs.submit import submit

    refuse_both(resume, overwrite)
    settings = load_settings(ExportSettings, config, tuple(overrides or ()))
    record = submit(settings, scheduler=_named(scheduler), tls=tls, resume=resume, overwrite=overwrite)
    _say(record, as_json)


def resume_command(
    job: JobName,
    scheduler: AnyClusterOption = None,
    tls: TlsOption = None,
    place: PlaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a job that was cancelled, failed, lost or left incomplete, and return.

    What is finished is kept. Any scheduler will do, also another one than before. A job that is running is left alone.

    Example: `oceanrecon resume 3f9a0c12`
    """
    from oceanrecon.service.jobs.find import find_job
    from oceanrecon.service.jobs.submit import resume_job

    record = find_job(job, place).record
    resumed = resume_job(record.output, record.id, scheduler=_named(scheduler or record.scheduler), tls=tls)
    if resumed.state == "complete" and not as_json:
        console.print(
            f"job {resumed.id} is complete: all {resumed.plan.blocks} blocks are there, and nothing was submitted",
            soft_wrap=True,
        )
        return
    _say(resumed, as_json)


def _named(scheduler: str | None) -> str:
    if not scheduler:
        raise typer.BadParameter(
            "which scheduler? `oceanrecon cluster start configs/cluster-local.yaml` starts one and prints its address; "
            "give it with --scheduler, or set OCEANRECON_SCHEDULER. (`oceanrecon export` needs none.)"
        )
    return scheduler


def _say(record: object, as_json: bool) -> None:
    from oceanrecon.stores.jobs import JobRecord

    assert isinstance(record, JobRecord)
    kept = record.total("kept") + record.total("done")  # those of a job that is complete were made by itself
    left = record.total("blocks") - kept
    if as_json:
        show_json(facts_of(record, record.state) | {"kept": kept, "left": left})
        return
    typer.echo(record.id)
    there = f", {kept} are there already" if kept else ""
    console.print(
        f"{counted(left, 'block')} to {escape(record.output)}{there}; this computer may leave. See "
        f"[bold]oceanrecon watch {record.id}[/]",
        soft_wrap=True,
    )
