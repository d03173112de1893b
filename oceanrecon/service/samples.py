"""Written samples from start to end, on a named scheduler or on a local cluster of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distributed import Client

from oceanrecon.config import load_settings
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.write import WriteResult, check_output, run_write
from oceanrecon.pipeline.patches.write_plan import plan_write
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.service.connect import connected
from oceanrecon.stores.files import Root


def write_samples(
    settings: PatchesSettings | str | Path,
    *,
    scheduler: str | None = None,
    tls: str | Path | None = None,
    client: Client | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_connect: Callable[[Client], None] | None = None,
) -> WriteResult:
    """Write the samples of a patch index to disk.

    Args:
        settings: of the patches, with ``write``, or the path of their YAML file.
        scheduler: address of a running Dask scheduler; default: a local cluster sized to the machine.
        tls: folder of certificates for a ``tls://`` scheduler; default: ``~/.config/oceanrecon/tls``.
        client: a connected client, instead of ``scheduler``.
        resume: complete or extend samples that are there.
        overwrite: replace samples that are there.
        on_progress: called after each block of rows.
        on_connect: called with the client, before anything runs.

    Raises:
        OceanreconError: see ``oceanrecon.pipeline.patches.write_plan.plan_write`` and
            ``oceanrecon.pipeline.patches.write.run_write``.
    """
    loaded = settings if isinstance(settings, PatchesSettings) else load_settings(PatchesSettings, settings)
    planned = plan_write(loaded)
    # refuse before a cluster is started: an answer in a second, and nothing to clean up
    check_output(planned, resume=resume, overwrite=overwrite)
    with connected(client, scheduler, loaded.cluster, Root(planned.recipe.output), on_connect, tls) as connection:
        return run_write(planned, connection, resume=resume, overwrite=overwrite, on_progress=on_progress)
