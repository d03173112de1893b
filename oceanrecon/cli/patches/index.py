"""``oceanrecon patches index``: which patch has what at which date."""

from __future__ import annotations

import typer
from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import (
    ConfigPath,
    JsonOption,
    OverwriteOption,
    ResumeOption,
    SchedulerOption,
    SetOption,
    TlsOption,
    console,
    duration,
    refuse_both,
    say_mend,
    show_json,
    show_notes,
    table,
)
from oceanrecon.cli.progress import running


def index_command(
    config: ConfigPath,
    scheduler: SchedulerOption = None,
    tls: TlsOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the tables of patches at dates: their files, profiles and side of the split.

    A spatial table that `oceanrecon patches grid` wrote there with the same settings is completed.

    Example: `oceanrecon patches index configs/patches.yaml --set rows.days=1`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.patch_config import PatchesSettings
    from oceanrecon.service.patches import index_patches

    refuse_both(resume, overwrite)
    settings = load_settings(PatchesSettings, config, tuple(overrides or ()))
    with running("steps", silent=as_json) as show:
        result = index_patches(
            settings,
            scheduler=scheduler,
            tls=tls,
            resume=resume,
            overwrite=overwrite,
            on_progress=show.step,
            on_connect=show.connected,
        )
    if as_json:
        failed = [vars(failure) for failure in result.failures]
        show_json({**vars(result), "complete": result.complete, "failures": failed})
    else:
        show_notes(result.notes)
        console.print(
            f"{sum(result.rows.values()):,} rows of {result.patches:,} patches, {result.profiles:,} profiles, in "
            f"{result.output}: {result.steps_made} steps made, {result.steps_kept} kept, in "
            f"{duration(result.wall_seconds)} ({duration(result.cpu_seconds)} of CPU, at most "
            f"{file_size(result.peak_memory)} per worker)",
            soft_wrap=True,
        )
        if result.rows:
            table("rows", ["phase", "how many"], [(phase, f"{count:,}") for phase, count in result.rows.items()])
            console.print(f"see `oceanrecon patches stats {result.output}`", soft_wrap=True)
    if result.failures:
        if not as_json:
            rows = [(failure.name, escape(failure.message)) for failure in result.failures]
            table(f"{len(rows)} failed", ["what", "why"], rows)
            say_mend()
        raise typer.Exit(1)
