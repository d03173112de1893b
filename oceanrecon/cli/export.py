"""``oceanrecon export``: runs an export and shows how it goes."""

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
    say_mend,
    show_json,
    show_notes,
    table,
)
from oceanrecon.cli.on_cluster import on_cluster


def export_command(
    config: ConfigPath,
    scheduler: SchedulerOption = None,
    tls: TlsOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export an archive to GeoTIFF and zarr on one grid.

    Stopping it at any time does no harm: run it again with `--resume`.

    Example: `oceanrecon export configs/export-demo.yaml --set output=demo/other`
    """
    from oceanrecon.config import ExportSettings
    from oceanrecon.service.run import export

    result = on_cluster(
        export, ExportSettings, config, overrides, "blocks",
        scheduler=scheduler, tls=tls, resume=resume, overwrite=overwrite, silent=as_json,
    )  # fmt: skip
    if as_json:
        show_json(
            {
                "output": result.output,
                "complete": result.complete,
                "written": result.written,
                "kept": result.kept,
                "failures": [vars(failure) for failure in result.failures],
                "warnings": list(result.warnings),
                "bytes_written": result.bytes_written,
                "wall_seconds": round(result.wall_seconds, 3),
                "cpu_seconds": round(result.cpu_seconds, 3),
                "peak_memory": result.peak_memory,
                "profiles": None if result.profiles is None else result.profiles.profiles,
            }
        )
    else:
        show_notes(result.warnings)
        console.print(
            f"{result.written} blocks written, {result.kept} kept, {len(result.failures)} failed: "
            f"{file_size(result.bytes_written)} in {duration(result.wall_seconds)} "
            f"({duration(result.cpu_seconds)} of CPU, at most {file_size(result.peak_memory)} per worker)"
        )
        if result.profiles is not None:
            console.print(f"{result.profiles.profiles:,} profiles in {result.profiles.store}", soft_wrap=True)
        console.print(f"see [bold]{result.output}[/], or `oceanrecon inspect {result.output}`", soft_wrap=True)
    profile_failures = () if result.profiles is None else result.profiles.failures
    if not result.complete:
        if not as_json:
            for what, rows in (
                ("blocks", [(failure.variable, failure.date, failure.message) for failure in result.failures]),
                (
                    "groups of profiles",
                    [("profiles", failure.name, failure.message) for failure in profile_failures],
                ),
            ):
                if rows:
                    shown = [(name, date, escape(message)) for name, date, message in rows]
                    table(f"{len(rows)} {what} failed", ["variable", "date", "why"], shown)
            say_mend()
        raise typer.Exit(1)
