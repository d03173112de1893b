"""Archives of ocean NetCDF files to one aligned, verified training set.

The three names below are the whole pipeline; each is imported on first use, so that a process which uses only the rooms
without dask does not load it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oceanrecon.pipeline.open import open_export
    from oceanrecon.service.run import export
    from oceanrecon.sources.archive import open_archive

__version__ = "0.1.0"
__all__ = ["__version__", "export", "open_archive", "open_export"]

_HOMES = {
    "export": "oceanrecon.service.run",
    "open_archive": "oceanrecon.sources.archive",
    "open_export": "oceanrecon.pipeline.open",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oceanrecon' has no attribute {name!r}: it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
