"""An export from start to end, on a named scheduler or on a local cluster of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from distributed import Client

from oceanrecon.config import ExportSettings, load_settings
from oceanrecon.pipeline.export import ExportResult, run_plan
from oceanrecon.pipeline.output import check_output
from oceanrecon.pipeline.plan import plan
from oceanrecon.pipeline.profiles.grid import check_depth, plan_grid, run_grid
from oceanrecon.pipeline.profiles.grid import check_output as check_gridded
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.service.connect import connected
from oceanrecon.stores.files import Root


def export(
    settings: ExportSettings | str | Path,
    *,
    scheduler: str | None = None,
    client: Client | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_connect: Callable[[Client], None] | None = None,
) -> ExportResult:
    """Export an archive to GeoTIFF and zarr.

    Args:
        settings: of the export, or the path of their YAML file.
        scheduler: address of a running Dask scheduler; default: a local cluster sized to the machine.
        client: a connected client, instead of ``scheduler``.
        resume: complete or extend an export that is there.
        overwrite: replace an export that is there.
        on_progress: called after each block.
        on_connect: called with the client, before anything runs.

    Raises:
        OceanreconError: see ``oceanrecon.pipeline.export.run_plan`` and ``oceanrecon.service.connect.connect``.

    Example:
        >>> if __name__ == "__main__":  # workers are new processes, which import this file  # doctest: +SKIP
        ...     oceanrecon.export("configs/export-demo.yaml").complete
        True
    """
    if not isinstance(settings, ExportSettings):
        settings = load_settings(ExportSettings, settings)
    planned = plan(settings)
    profiles = settings.profiles
    if profiles is not None:
        check_depth(profiles.store, planned.depth, "this export")
        output = planned.recipe.output
        check_gridded(output, profiles.store, profiles.temperature, resume=True, overwrite=overwrite)
    # refuse before a cluster is started: an answer in a second, and nothing to clean up
    check_output(planned, resume=resume, overwrite=overwrite)
    with connected(client, scheduler, settings.cluster, Root(planned.recipe.output), on_connect) as connection:
        result = run_plan(planned, connection, resume=resume, overwrite=overwrite, on_progress=on_progress)
        if profiles is None:
            return result
        gridded = run_grid(
            plan_grid(result.output, profiles.store, profiles.temperature), connection, resume=True,
            on_progress=on_progress,
        )  # fmt: skip
        return replace(result, profiles=gridded)
