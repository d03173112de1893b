"""Patches as torch data sets, and a loader that does not keep a GPU waiting.

Each name is imported on first use: a worker of the loader loads neither lightning nor what reads tables.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oceanrecon.errors import MissingExtraError, how_to_install

if TYPE_CHECKING:
    from oceanrecon.training.data.dataset import PatchDataset
    from oceanrecon.training.data.datasets import ArchivePatches, ExportPatches, WrittenPatches
    from oceanrecon.training.data.decode import Decode
    from oceanrecon.training.data.loader import PatchLoader, make_loader
    from oceanrecon.training.data.module import PatchDataModule
    from oceanrecon.training.data.regional import RegionalDataset, collate_regional
    from oceanrecon.training.data.sampler import ShardShuffle

__all__ = [
    "ArchivePatches",
    "Decode",
    "ExportPatches",
    "PatchDataModule",
    "PatchDataset",
    "PatchLoader",
    "RegionalDataset",
    "ShardShuffle",
    "WrittenPatches",
    "collate_regional",
    "make_loader",
]

_HOMES = {
    "ArchivePatches": "datasets",
    "Decode": "decode",
    "ExportPatches": "datasets",
    "PatchDataModule": "module",
    "PatchDataset": "dataset",
    "RegionalDataset": "regional",
    "collate_regional": "regional",
    "PatchLoader": "loader",
    "ShardShuffle": "sampler",
    "WrittenPatches": "datasets",
    "make_loader": "loader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has {', '.join(__all__)}")
    try:
        home = import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("lightning", "torch"):
            raise
        raise MissingExtraError(f"{name} needs {package}, which is not installed: {how_to_install('train')}") from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
