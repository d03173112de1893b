"""``oceanrecon patches write``: samples on disk."""

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
    from oceanrecon.patch_config import PatchesSettings
    from oceanrecon.service.samples import write_samples

    result = on_cluster(
        write_samples, PatchesSettings, config, overrides, "blocks",
        scheduler=scheduler, tls=tls, resume=resume, overwrite=overwrite, silent=as_json,
    )  # fmt: skip
    if as_json:
        show_result(result)
    else:
        skipped = f", {result.skipped:,} left out with fewer than 4 observed pixels" if result.skipped else ""
        console.print(
            f"{result.written:,} of {result.rows:,} samples as {result.form} in {result.output}{skipped}: "
            f"{result.bytes / 1e6:,.1f} MB in {duration(result.wall_seconds)} ({duration(result.cpu_seconds)} of CPU)",
            soft_wrap=True,
        )
        console.print(f"the index is {result.index}", soft_wrap=True)
        side = "train" if result.split == "all" else result.split
        console.print(
            f'read them: oceanrecon.training.data.WrittenPatches("{result.output}", split="{side}")', soft_wrap=True
        )
    end_with([(failure.name, failure.message) for failure in result.failures], "block", silent=as_json)
