"""Statistics from start to end, on a named scheduler or on a local cluster of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distributed import Client

from oceanrecon.config import load_settings
from oceanrecon.pipeline.statistics.plan import check_output, plan_statistics, resolved
from oceanrecon.pipeline.statistics.run import StatisticsResult, run_statistics
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.service.connect import connected
from oceanrecon.statistics_config import StatisticsSettings


def fit_statistics(
    settings: StatisticsSettings | str | Path,
    *,
    scheduler: str | None = None,
    tls: str | Path | None = None,
    client: Client | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_connect: Callable[[Client], None] | None = None,
) -> StatisticsResult:
    """Fit climatology, deviations, vertical modes and covariances to the training side of an export.

    Args:
        settings: of the statistics, or the path of their YAML file.
        scheduler: address of a running Dask scheduler; default: a local cluster sized to the machine.
        tls: folder of certificates for a ``tls://`` scheduler; default: ``~/.config/oceanrecon/tls``.
        client: a connected client, instead of ``scheduler``.
        resume: complete statistics that are there.
        overwrite: replace statistics that are there.
        on_progress: called after each step.
        on_connect: called with the client, before anything runs.

    Raises:
        OceanreconError: see ``oceanrecon.pipeline.statistics.plan.plan_statistics`` and
            ``oceanrecon.pipeline.statistics.run.run_statistics``.
    """
    settings = settings if isinstance(settings, StatisticsSettings) else load_settings(StatisticsSettings, settings)
    # refuse before a cluster is started
    check_output(resolved(settings), resume=resume, overwrite=overwrite)
    planned = plan_statistics(settings)
    with connected(client, scheduler, settings.cluster, planned.recipe.root, on_connect, tls) as connection:
        return run_statistics(planned, connection, resume=resume, overwrite=overwrite, on_progress=on_progress)
