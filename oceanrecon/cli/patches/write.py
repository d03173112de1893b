"""``oceanrecon patches write``: samples on disk."""

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


def write_command(
    config: ConfigPath,
    scheduler: SchedulerOption = None,
    tls: TlsOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the samples of a patch index to disk: zarr, GeoTIFF triplets or npy, with their index.

    Example: `oceanrecon patches write configs/patches.yaml`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.patch_config import PatchesSettings
    from oceanrecon.service.samples import write_samples

    refuse_both(resume, overwrite)
    settings = load_settings(PatchesSettings, config, tuple(overrides or ()))
    with running("blocks", silent=as_json) as show:
        result = write_samples(
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
        skipped = f", {result.skipped:,} left out with fewer than 4 observed pixels" if result.skipped else ""
        console.print(
            f"{result.written:,} of {result.rows:,} samples as {result.form} in {result.output}{skipped}: "
            f"{result.bytes / 1e6:,.1f} MB in {duration(result.wall_seconds)} ({duration(result.cpu_seconds)} of CPU)",
            soft_wrap=True,
        )
        console.print(f"the index is {result.index}", soft_wrap=True)
        assert settings.write is not None  # or nothing was written
        side = "train" if settings.write.split == "all" else settings.write.split
        console.print(
            f'read them: oceanrecon.training.data.WrittenPatches("{result.output}", split="{side}")', soft_wrap=True
        )
    if result.failures:
        if not as_json:
            rows = [(failure.name, escape(failure.message)) for failure in result.failures]
            table(f"{len(rows)} failed", ["block", "why"], rows)
            say_mend()
        raise typer.Exit(1)
