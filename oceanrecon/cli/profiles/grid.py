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
    console,
    duration,
    errors,
    show_json,
    table,
)
from oceanrecon.cli.progress import RunProgress


def grid_command(
    config: ConfigPath,
    scheduler: SchedulerOption = None,
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

    if resume and overwrite:
        raise typer.BadParameter("--resume keeps what is there and --overwrite removes it: give one of them")
    settings = load_settings(ProfilesSettings, config, tuple(overrides or ()))
    show = RunProgress("steps", silent=as_json)
    try:
        with show:
            result = grid_profiles(
                settings,
                scheduler=scheduler,
                resume=resume,
                overwrite=overwrite,
                on_progress=show.step,
                on_connect=show.connected,
            )
    except KeyboardInterrupt:
        errors.print(
            "interrupted: what is finished is kept; run the same command with --resume (not --overwrite)",
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
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
            errors.print(
                "mend what is named above, then run the same command with --resume: it does only these", soft_wrap=True
            )
        raise typer.Exit(1)
