"""Archives of ocean NetCDF files to one aligned, verified training set.

The names below are the whole pipeline; each is imported on first use, so that a process which uses only the rooms
without dask does not load it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oceanrecon.pipeline.open import open_export
    from oceanrecon.pipeline.profiles.observations import open_observations
    from oceanrecon.samples.index import read_index
    from oceanrecon.samples.written import open_written
    from oceanrecon.service.jobs.submit import submit
    from oceanrecon.service.patches import index_patches
    from oceanrecon.service.profiles import enrich_profiles, grid_profiles, package_profiles
    from oceanrecon.service.run import export
    from oceanrecon.service.samples import write_samples
    from oceanrecon.service.statistics import fit_statistics
    from oceanrecon.sources.archive import open_archive
    from oceanrecon.stores.statistics import read_statistics

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "enrich_profiles",
    "export",
    "fit_statistics",
    "grid_profiles",
    "index_patches",
    "open_archive",
    "open_export",
    "open_observations",
    "open_written",
    "package_profiles",
    "read_index",
    "read_statistics",
    "submit",
    "write_samples",
]

_HOMES = {
    "enrich_profiles": "oceanrecon.service.profiles",
    "fit_statistics": "oceanrecon.service.statistics",
    "grid_profiles": "oceanrecon.service.profiles",
    "index_patches": "oceanrecon.service.patches",
    "package_profiles": "oceanrecon.service.profiles",
    "read_index": "oceanrecon.samples.index",
    "read_statistics": "oceanrecon.stores.statistics",
    "open_written": "oceanrecon.samples.written",
    "write_samples": "oceanrecon.service.samples",
    "open_observations": "oceanrecon.pipeline.profiles.observations",
    "export": "oceanrecon.service.run",
    "submit": "oceanrecon.service.jobs.submit",
    "open_archive": "oceanrecon.sources.archive",
    "open_export": "oceanrecon.pipeline.open",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oceanrecon' has no attribute {name!r}: it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
