"""``oceanrecon profiles grid``: profiles on the grid of an export."""

from __future__ import annotations

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
)
from oceanrecon.cli.on_cluster import end_with, on_cluster, show_result


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
    from oceanrecon.profile_config import ProfilesSettings
    from oceanrecon.service.profiles import grid_profiles

    result = on_cluster(
        grid_profiles, ProfilesSettings, config, overrides, "steps",
        scheduler=scheduler, tls=tls, resume=resume, overwrite=overwrite, silent=as_json,
    )  # fmt: skip
    if as_json:
        show_result(result)
    else:
        left = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in result.left_out.items())
        console.print(
            f"{result.profiles:,} profiles in {result.store} in {duration(result.wall_seconds)} "
            f"({duration(result.cpu_seconds)} of CPU); left out: {left}",
            soft_wrap=True,
        )
        console.print("see `oceanrecon.open_observations` in Python", soft_wrap=True)
    end_with([(failure.name, failure.message) for failure in result.failures], "what", silent=as_json)
