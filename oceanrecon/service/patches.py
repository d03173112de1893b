"""Patch tables from start to end, on a named scheduler or on a local cluster of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distributed import Client

from oceanrecon.config import load_settings
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.index import IndexResult, run_index
from oceanrecon.pipeline.patches.output import check_output, resolved
from oceanrecon.pipeline.patches.plan import plan_index
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.service.connect import connected
from oceanrecon.stores.files import Root


def index_patches(
    settings: PatchesSettings | str | Path,
    *,
    scheduler: str | None = None,
    tls: str | Path | None = None,
    client: Client | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_connect: Callable[[Client], None] | None = None,
) -> IndexResult:
    """Write the tables of patches, of patches at dates, and of profiles.

    Args:
        settings: of the patches, or the path of their YAML file.
        scheduler: address of a running Dask scheduler; default: a local cluster sized to the machine.
        tls: folder of certificates for a ``tls://`` scheduler; default: ``~/.config/oceanrecon/tls``.
        client: a connected client, instead of ``scheduler``.
        resume: complete an index that is there.
        overwrite: replace an index that is there.
        on_progress: called after each month.
        on_connect: called with the client, before anything runs.

    Raises:
        OceanreconError: see ``oceanrecon.pipeline.patches.plan.plan_index`` and
            ``oceanrecon.pipeline.patches.index.run_index``.

    Example:
        >>> if __name__ == "__main__":  # workers are new processes, which import this file  # doctest: +SKIP
        ...     oceanrecon.index_patches("configs/patches.yaml").rows
        {'train': 1199, 'val': 237, 'test': 208, 'guard': 503}
    """
    settings = settings if isinstance(settings, PatchesSettings) else load_settings(PatchesSettings, settings)
    # refuse before anything is scanned or a cluster is started
    check_output(resolved(settings), resume=resume, overwrite=overwrite)
    planned = plan_index(settings)
    with connected(client, scheduler, settings.cluster, Root(planned.settings.output), on_connect, tls) as connection:
        return run_index(planned, connection, resume=resume, overwrite=overwrite, on_progress=on_progress)
