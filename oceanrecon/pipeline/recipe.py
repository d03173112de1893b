"""What is common to all blocks of an export, small enough to travel with every task."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from oceanrecon.config import ExportSettings
from oceanrecon.grid import RasterGrid
from oceanrecon.sources.block import Block
from oceanrecon.sources.product import Product, Variable
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.geotiff import GeoTiffOptions
from oceanrecon.stores.zarr_store import DenseLayout, DenseVariable
from oceanrecon.transform.encode import EncodingName, Stretch, stretch

#: Raised whenever the same inputs and settings would give other bytes: receipts of older ones are then stale.
FORMAT_VERSION = 2
DENSE = "dense.zarr"
MASK = "masks/land_mask.tif"
SETTINGS = "export.yaml"


@dataclass(frozen=True)
class ZarrOptions:
    """Layout of ``dense.zarr``."""

    chunk: int
    level: int


@dataclass(frozen=True)
class Recipe:
    """How any block of an export is made and where it goes."""

    output: str
    grid: RasterGrid
    encoding: EncodingName
    window_days: int
    minimum_valid_fraction: float
    geotiff: GeoTiffOptions | None
    zarr: ZarrOptions | None

    @classmethod
    def from_settings(cls, settings: ExportSettings, grid: RasterGrid, output: str) -> Recipe:
        """From the settings of an export, on the grid that they resolve to."""
        tiff, zarr = settings.formats.geotiff, settings.formats.zarr
        return cls(
            output=output,
            grid=grid,
            encoding=settings.encoding,
            window_days=settings.window_days,
            minimum_valid_fraction=settings.minimum_valid_fraction,
            geotiff=GeoTiffOptions(interleave=tiff.interleave, cog=tiff.cog, level=tiff.level) if tiff else None,
            zarr=ZarrOptions(chunk=zarr.chunk, level=zarr.level) if zarr else None,
        )

    def stretch(self, variable: Variable) -> Stretch:
        """The code of a variable."""
        return stretch(variable.quantity, self.encoding)

    def dense_variable(self, product: Product, variable: Variable) -> DenseVariable:
        """How a variable is kept in ``dense.zarr``."""
        return DenseVariable(
            name=variable.name,
            stretch=self.stretch(variable),
            levels=variable.levels,
            attrs={
                "standard_name": variable.standard_name,
                "long_name": variable.long_name,
                "source_product": product.name,
                "source_dataset": product.dataset,
                "cell_methods": f"time: mean (over {self.window_days} days, centred)"
                if product.windowed
                else "time: point",
            },
            days=product.windowed,
        )

    def layout(
        self, depth: tuple[float, ...], times: tuple[dt.date, ...], variables: tuple[DenseVariable, ...]
    ) -> DenseLayout:
        """The layout of ``dense.zarr``; the shard of one time needs no times."""
        assert self.zarr is not None
        return DenseLayout(self.grid, depth, times, variables, inner=self.zarr.chunk, level=self.zarr.level)

    def key(self, block: Block) -> str:
        """sha256 of everything that decides the bytes of a block: its sources, the grid, the code, the layout."""
        variable = find_product(block.product).variable(block.variable)
        decides: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "product": block.product,
            "variable": block.variable,
            "date": f"{block.date:%Y%m%d}",
            "sources": [(source.path, source.time_index, source.bytes, source.mtime_ns) for source in block.sources],
            "axes": (block.latitude.to_dict(), block.longitude.to_dict(), block.depth),
            "grid": self.grid.to_dict(),
            "stretch": asdict(self.stretch(variable)),
            "window_days": self.window_days,
            "minimum_valid_fraction": self.minimum_valid_fraction,
            "geotiff": self.geotiff and asdict(self.geotiff),
            "zarr": self.zarr and asdict(self.zarr),
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def raster_path(product: str, variable: str, date: str) -> str:
    """Where a block's GeoTIFF is, relative to the export; ``date`` is YYYYMMDD."""
    return f"rasters/{product}/{variable}/{variable}_{date}.tif"
