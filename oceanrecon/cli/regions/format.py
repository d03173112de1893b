"""``oceanrecon regions format``: raw files of many sources become regional tiles and an inventory."""

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


def format_command(
    config: ConfigPath,
    scheduler: SchedulerOption = None,
    tls: TlsOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cut days of many sources into eight regions: a NetCDF file for each, and `file_inventory.parquet`.

    Later days, and files that came anew, are added with `--resume`.

    Example: `oceanrecon regions format configs/regions.yaml --resume --set end=2023-05-31`
    """
    from oceanrecon.region_config import RegionSettings
    from oceanrecon.service.regions import format_regions

    result = on_cluster(
        format_regions, RegionSettings, config, overrides, "days of sources",
        scheduler=scheduler, tls=tls, resume=resume, overwrite=overwrite, silent=as_json,
    )  # fmt: skip
    if as_json:
        show_result(result)
    else:
        rows = [
            (source, f"{one.days:,}", f"{one.files:,}", file_size(one.bytes), f"{one.observations:,}", f"{one.valid:,}")
            for source, one in result.sources.items()
        ]
        table("regional tiles", ["source", "days", "files", "size", "cells or points", "values"], rows, whole=1)
        show_notes(result.notes)
        console.print(
            f"{result.made:,} days of sources made, {result.kept:,} kept; {result.files:,} files in {result.output}, "
            f"in {duration(result.wall_seconds)} ({duration(result.cpu_seconds)} of CPU, at most "
            f"{file_size(result.peak_memory)} per worker)",
            soft_wrap=True,
        )
    end_with(
        [(f"{failure.kind} of {failure.name}", failure.message) for failure in result.failures], "what", silent=as_json
    )
