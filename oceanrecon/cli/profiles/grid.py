"""``oceanrecon profiles grid``: profiles on the grid of an export."""

from __future__ import annotations

import typer
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
    table,
)
from oceanrecon.cli.progress import running


def grid_command(
    config: ConfigPath,
    scheduler: SchedulerOption = None,
    tls: TlsOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the enriched profiles on the grid, the targets and the code of an export.

    Example: `oceanrecon profiles grid configs/profiles.yaml`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.profile_config import ProfilesSettings
    from oceanrecon.service.profiles import grid_profiles

    refuse_both(resume, overwrite)
    settings = load_settings(ProfilesSettings, config, tuple(overrides or ()))
    with running("steps", silent=as_json) as show:
        result = grid_profiles(
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
        left = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in result.left_out.items())
        console.print(
            f"{result.profiles:,} profiles in {result.store} in {duration(result.wall_seconds)} "
            f"({duration(result.cpu_seconds)} of CPU); left out: {left}",
            soft_wrap=True,
        )
        console.print("see `oceanrecon.open_observations` in Python", soft_wrap=True)
    if result.failures:
        if not as_json:
            rows = [(failure.name, escape(failure.message)) for failure in result.failures]
            table(f"{len(rows)} failed", ["what", "why"], rows)
            say_mend()
        raise typer.Exit(1)
