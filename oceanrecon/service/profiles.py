"""Profiles from start to end, on a named scheduler or on a local cluster of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distributed import Client

from oceanrecon.config import load_settings
from oceanrecon.errors import ConfigError
from oceanrecon.pipeline.profiles.enrich import EnrichResult, check_output, run_enrich
from oceanrecon.pipeline.profiles.grid import GridResult, plan_grid, run_grid
from oceanrecon.pipeline.profiles.grid import check_output as check_gridded
from oceanrecon.pipeline.profiles.package import PackageResult, make_package
from oceanrecon.pipeline.profiles.plan import plan_profiles
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.service.connect import connected
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import Keeper, Lease
from oceanrecon.stores.lease_record import run_holder


def enrich_profiles(
    settings: ProfilesSettings | str | Path,
    *,
    scheduler: str | None = None,
    tls: str | Path | None = None,
    client: Client | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_connect: Callable[[Client], None] | None = None,
) -> EnrichResult:
    """Align EN4 and Argo profiles to the model's depths, and sample the gridded products beside them.

    Args:
        settings: of the profile store, or the path of their YAML file.
        scheduler: address of a running Dask scheduler; default: a local cluster sized to the machine.
        tls: folder of certificates for a ``tls://`` scheduler; default: ``~/.config/oceanrecon/tls``.
        client: a connected client, instead of ``scheduler``.
        resume: complete or extend a store that is there.
        overwrite: replace a store that is there.
        on_progress: called after each month.
        on_connect: called with the client, before anything runs.

    Raises:
        OceanreconError: see ``oceanrecon.pipeline.profiles.enrich.run_enrich``.

    Example:
        >>> if __name__ == "__main__":  # workers are new processes, which import this file  # doctest: +SKIP
        ...     oceanrecon.enrich_profiles("configs/profiles.yaml").complete
        True
    """
    settings = _loaded(settings)
    planned = plan_profiles(settings)
    # refuse before a cluster is started: an answer in a second, and nothing to clean up
    check_output(planned, resume=resume, overwrite=overwrite)
    with connected(client, scheduler, settings.cluster, Root(planned.recipe.output), on_connect, tls) as connection:
        return run_enrich(planned, connection, resume=resume, overwrite=overwrite, on_progress=on_progress)


def _loaded(settings: ProfilesSettings | str | Path) -> ProfilesSettings:
    return settings if isinstance(settings, ProfilesSettings) else load_settings(ProfilesSettings, settings)


def grid_profiles(
    settings: ProfilesSettings | str | Path,
    *,
    scheduler: str | None = None,
    tls: str | Path | None = None,
    client: Client | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_connect: Callable[[Client], None] | None = None,
) -> GridResult:
    """Put the enriched profiles on the grid, the targets and the code of an export.

    Args:
        settings: of the profile store, with ``grid``, or the path of their YAML file.
        scheduler: address of a running Dask scheduler; default: a local cluster sized to the machine.
        tls: folder of certificates for a ``tls://`` scheduler; default: ``~/.config/oceanrecon/tls``.
        client: a connected client, instead of ``scheduler``.
        resume: complete or extend gridded profiles that are there.
        overwrite: replace gridded profiles that are there.
        on_progress: called after each group of targets.
        on_connect: called with the client, before anything runs.

    Raises:
        ConfigError: the settings have no ``grid``.
        OceanreconError: see ``oceanrecon.pipeline.profiles.grid.run_grid``.
    """
    settings = _loaded(settings)
    if settings.grid is None:
        raise ConfigError("the settings have no `grid`: add `grid: {export: FOLDER}`, which export to write into")
    grid = settings.grid
    check_gridded(grid.export, settings.output, grid.temperature, resume=resume, overwrite=overwrite)
    planned = plan_grid(grid.export, settings.output, grid.temperature)
    with connected(client, scheduler, settings.cluster, Root(planned.recipe.output), on_connect, tls) as connection:
        # an export that is being written cannot be written into; an interrupt lets go of it
        lease = Lease.take(Root(planned.export), run_holder("profiles grid"), tied=True)
        with Keeper(lease) as keeper:
            result = run_grid(
                planned, connection, resume=resume, overwrite=overwrite, hold=keeper.hold, owns=keeper.owns,
                check=keeper.check, on_progress=on_progress,
            )  # fmt: skip
            Root(planned.export).clear_staging()
            return result


def package_profiles(
    settings: ProfilesSettings | str | Path, *, on_file: Callable[[int, int], None] | None = None
) -> PackageResult:
    """Make a folder of the profile store that is ready for a dataset hub; needs no cluster.

    Args:
        settings: of the profile store, with ``package``, or the path of their YAML file.
        on_file: called with how many files are in place, and how many there will be.

    Raises:
        OceanreconError: see ``oceanrecon.pipeline.profiles.package.make_package``.
    """
    return make_package(_loaded(settings), on_file=on_file)
