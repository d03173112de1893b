"""Regional tiles from start to end, on a named scheduler or on a local cluster of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distributed import Client

from oceanrecon.config import load_settings
from oceanrecon.pipeline.regions.plan import check_output, plan_regions, resolved
from oceanrecon.pipeline.regions.run import RegionResult, run_regions
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.region_config import RegionSettings
from oceanrecon.service.connect import connected
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import Keeper, Lease
from oceanrecon.stores.lease_record import run_holder


def format_regions(
    settings: RegionSettings | str | Path,
    *,
    scheduler: str | None = None,
    tls: str | Path | None = None,
    client: Client | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_connect: Callable[[Client], None] | None = None,
) -> RegionResult:
    """Cut daily files of many sources into eight regions, and write their inventory.

    Args:
        settings: of the tiles, or the path of their YAML file.
        scheduler: address of a running Dask scheduler; default: a local cluster sized to the machine.
        tls: folder of certificates for a ``tls://`` scheduler; default: ``~/.config/oceanrecon/tls``.
        client: a connected client, instead of ``scheduler``.
        resume: complete or extend tiles that are there.
        overwrite: replace tiles that are there.
        on_progress: called after each day of a source.
        on_connect: called with the client, before anything runs.

    Raises:
        LeaseError: another run writes there.
        OceanreconError: see ``oceanrecon.pipeline.regions.plan.plan_regions`` and
            ``oceanrecon.pipeline.regions.run.run_regions``.
    """
    settings = settings if isinstance(settings, RegionSettings) else load_settings(RegionSettings, settings)
    # refuse before a cluster is started
    check_output(resolved(settings), resume=resume, overwrite=overwrite)
    planned = plan_regions(settings)
    root = Root(planned.settings.output)
    with connected(client, scheduler, settings.cluster, root, on_connect, tls) as connection:
        # two runs would clear away each other's files; an interrupt lets go of it
        with Keeper(Lease.take(root, run_holder("regions format"), tied=True)) as keeper:
            return run_regions(
                planned, connection, resume=resume, overwrite=overwrite, hold=keeper.hold, owns=keeper.owns,
                check=keeper.check, on_progress=on_progress,
            )  # fmt: skip
