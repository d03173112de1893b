"""``oceanrecon statistics``: what models are scaled by, of the training side of an export."""

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
    table,
)
from oceanrecon.cli.progress import running


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
    from oceanrecon.config import load_settings
    from oceanrecon.service.statistics import fit_statistics
    from oceanrecon.statistics_config import StatisticsSettings

    refuse_both(resume, overwrite)
    settings = load_settings(StatisticsSettings, config, tuple(overrides or ()))
    with running("steps", silent=as_json) as show:
        result = fit_statistics(
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
        floats = ", ".join(f"{count:,} {side}" for side, count in result.platforms.items())
        console.print(
            f"{', '.join((*result.fields, *result.surface))} of {result.dates:,} dates, {result.profiles:,} profiles "
            f"of training floats (floats: {floats}), in {result.output}: {result.steps_made} steps made, "
            f"{result.steps_kept} kept, in {duration(result.wall_seconds)} ({duration(result.cpu_seconds)} of CPU, at "
            f"most {file_size(result.peak_memory)} per worker)",
            soft_wrap=True,
        )
    if result.failures:
        if not as_json:
            rows = [(f"{failure.kind} of {failure.name}", escape(failure.message)) for failure in result.failures]
            table(f"{len(rows)} failed", ["what", "why"], rows)
            say_mend()
        raise typer.Exit(1)
