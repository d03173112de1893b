"""``oceanrecon patches index``: which patch has what at which date."""

from __future__ import annotations

from rich.filesize import decimal as file_size

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
    show_notes,
    table,
)
from oceanrecon.cli.on_cluster import end_with, on_cluster, show_result


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
    from oceanrecon.patch_config import PatchesSettings
    from oceanrecon.service.patches import index_patches

    result = on_cluster(
        index_patches, PatchesSettings, config, overrides, "steps",
        scheduler=scheduler, tls=tls, resume=resume, overwrite=overwrite, silent=as_json,
    )  # fmt: skip
    if as_json:
        show_result(result)
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
    end_with([(failure.name, failure.message) for failure in result.failures], "what", silent=as_json)
