"""An export from start to end, on a named scheduler or on a local cluster of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from distributed import Client

from oceanrecon.config import ExportSettings, load_settings
from oceanrecon.pipeline.export import ExportResult
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.service.connect import connected
from oceanrecon.service.dashboard.plugin import install
from oceanrecon.service.jobs.driver import run_job
from oceanrecon.service.jobs.submit import begin, plan_export
from oceanrecon.stores.files import Root


def export(
    settings: ExportSettings | str | Path,
    *,
    scheduler: str | None = None,
    tls: str | None = None,
    client: Client | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_connect: Callable[[Client], None] | None = None,
) -> ExportResult:
    """Export an archive to GeoTIFF and zarr, and wait for it; ``submit`` does not wait.

    Args:
        settings: of the export, or the path of their YAML file.
        scheduler: address of a running Dask scheduler; default: a local cluster sized to the machine.
        tls: folder of certificates for a ``tls://`` scheduler.
        client: a connected client, instead of ``scheduler``.
        resume: complete or extend an export that is there.
        overwrite: replace an export that is there.
        on_progress: called after each block.
        on_connect: called with the client, before anything runs.

    Raises:
        OceanreconError: see ``oceanrecon.service.jobs.submit.begin`` and ``oceanrecon.service.connect.connect``.
        LeaseError: a job is at work on the output.

    Example:
        >>> if __name__ == "__main__":  # workers are new processes, which import this file  # doctest: +SKIP
        ...     oceanrecon.export("configs/export-demo.yaml").complete
        True
    """
    loaded = settings if isinstance(settings, ExportSettings) else load_settings(ExportSettings, settings)
    # refuse before a cluster is started: an answer in a second, and nothing to clean up
    planned = plan_export(loaded, resume=resume, overwrite=overwrite)
    output = Root(planned.recipe.output)
    with connected(client, scheduler, loaded.cluster, output, on_connect, tls=tls) as connection:
        install(connection)
        record, planned = begin(planned, connection, uuid.uuid4().hex[:8], resume=resume, overwrite=overwrite)
        driven = run_job(planned, connection, record.id, resume=resume, on_progress=on_progress)
        if driven.error is not None:
            raise driven.error
        assert driven.result is not None
        return driven.result
