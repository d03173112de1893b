"""One tile of a raster: its pixels, which may cross the dateline; and a band of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import RasterGrid


@dataclass(frozen=True)
class Tile:
    """``size`` x ``size`` pixels from a row and a column; columns go on at the west edge of the grid."""

    row: int
    column: int
    size: int
    #: of the grid
    width: int

    @classmethod
    def of(cls, grid: RasterGrid, patch_id: int, size: int) -> Tile:
        """The tile of a patch: see ``PatchGrid.ids``."""
        return cls(patch_id // grid.width, patch_id % grid.width, size, grid.width)

    @property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """First and last (excluded) column of its one part, or of its two on both sides of the edge."""
        end = self.column + self.size
        if end <= self.width:
            return ((self.column, end),)
        return (self.column, self.width), (0, end - self.width)


@dataclass(frozen=True)
class Band:
    """``size`` rows of the whole width of the grid."""

    row: int
    size: int
    #: of the grid
    width: int

    @property
    def columns(self) -> tuple[tuple[int, int], ...]:
        """First and last (excluded) column."""
        return ((0, self.width),)


def cut(field: NDArray[Any], tile: Tile) -> NDArray[Any]:
    """The pixels of a tile: [..., height, width] to [..., size, size]."""
    parts = [field[..., tile.row : tile.row + tile.size, low:high] for low, high in tile.columns]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def centre(grid: RasterGrid, tile: Tile) -> NDArray[np.float32]:
    """Latitude and longitude (-180..180) of the centre of a tile, degrees: [2]."""
    latitude = grid.north - (tile.row + tile.size / 2) * grid.dy
    longitude = grid.west + (tile.column + tile.size / 2) * grid.dx
    return np.array([latitude, (longitude + 180.0) % 360.0 - 180.0], np.float32)
