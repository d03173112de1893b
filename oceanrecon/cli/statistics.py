"""``oceanrecon statistics``: what models are scaled by, of the training side of an export."""

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
)
from oceanrecon.cli.on_cluster import end_with, on_cluster, show_result


def statistics_command(
    config: ConfigPath,
    scheduler: SchedulerOption = None,
    tls: TlsOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit climatology, deviations, vertical modes and covariances to the training side of an export.

    Example: `oceanrecon statistics configs/statistics.yaml --set every=2`
    """
    from oceanrecon.service.statistics import fit_statistics
    from oceanrecon.statistics_config import StatisticsSettings

    result = on_cluster(
        fit_statistics, StatisticsSettings, config, overrides, "steps",
        scheduler=scheduler, tls=tls, resume=resume, overwrite=overwrite, silent=as_json,
    )  # fmt: skip
    if as_json:
        show_result(result)
    else:
        floats = ", ".join(f"{count:,} {side}" for side, count in result.platforms.items())
        console.print(
            f"{', '.join((*result.fields, *result.surface))} of {result.dates:,} dates, {result.profiles:,} profiles "
            f"of training floats (floats: {floats}), in {result.output}: {result.steps_made} steps made, "
            f"{result.steps_kept} kept, in {duration(result.wall_seconds)} ({duration(result.cpu_seconds)} of CPU, at "
            f"most {file_size(result.peak_memory)} per worker)",
            soft_wrap=True,
        )
    end_with(
        [(f"{failure.kind} of {failure.name}", failure.message) for failure in result.failures], "what", silent=as_json
    )
