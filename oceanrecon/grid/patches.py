"""Tiles of the target grid: where they start, how much of a field is in each, and their outlines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid.raster import RasterGrid

Edges = Literal["even", "regular", "last"]


@dataclass(frozen=True)
class PatchGrid:
    """Square tiles of ``tile`` pixels on a raster grid, about ``stride`` pixels apart.

    ``edges`` says what becomes of the pixels that are left at the end of an axis: ``even`` spreads the starts, so that
    the first and the last tile touch the edges (of one tile, the first edge) and no two distances differ by more than
    one pixel; ``regular`` starts at multiples of the stride and leaves the rest out; ``last`` is ``regular`` with one
    more tile that ends at the edge, as older tables have it. ``periodic`` lets tiles cross the dateline.

    Raises:
        ConfigError: a tile does not fit into the grid, or the grid does not go round the globe and is periodic.
    """

    grid: RasterGrid
    tile: int
    stride: int
    edges: Edges = "even"
    periodic: bool = False

    def __post_init__(self) -> None:
        if self.tile < 1 or self.stride < 1:
            raise ConfigError(f"tiles of {self.tile} pixels every {self.stride} pixels: give 1 or more of both")
        if self.tile > min(self.grid.width, self.grid.height):
            raise ConfigError(
                f"a tile of {self.tile} pixels does not fit into a grid of {self.grid.width} x {self.grid.height} "
                "(columns x rows): take a smaller tile"
            )
        if self.periodic and not self.grid.periodic:
            raise ConfigError(
                f"tiles cannot cross the dateline of a grid that spans {self.grid.width * self.grid.dx:g} of 360 "
                "degrees: leave `periodic` out"
            )

    @cached_property
    def row_starts(self) -> NDArray[np.int64]:
        """First row of each row of tiles, from the north: [row of tiles]."""
        return self._starts(self.grid.height, wrap=False)

    @cached_property
    def column_starts(self) -> NDArray[np.int64]:
        """First column of each column of tiles, from the west: [column of tiles]."""
        return self._starts(self.grid.width, wrap=self.periodic)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return self.row_starts.size, self.column_starts.size

    def _starts(self, size: int, *, wrap: bool) -> NDArray[np.int64]:
        overlapping = self.stride < self.tile
        if wrap:
            if self.edges == "even":
                count = -(-size // self.stride) if overlapping else max(size // self.stride, 1)
                return np.arange(count) * size // count
            # tiles that do not overlap must not meet round the back either
            return np.arange(0, size if overlapping else size - self.tile + 1, self.stride)
        room = size - self.tile
        if self.edges == "even":
            count = (-(-room // self.stride) if overlapping else room // self.stride) + 1
            return np.arange(count) * room // max(count - 1, 1)
        starts = np.arange(0, room + 1, self.stride)
        return np.append(starts, room) if self.edges == "last" and starts[-1] != room else starts

    @property
    def overlapping(self) -> bool:
        """Whether a pixel is in more than one tile."""
        # round the back they are never nearer to each other than elsewhere
        return any((np.diff(starts) < self.tile).any() for starts in (self.row_starts, self.column_starts))

    @cached_property
    def corners(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First row and first column of every tile, row by row from the north-west: [tile] each."""
        rows, columns = np.meshgrid(self.row_starts, self.column_starts, indexing="ij")
        return rows.ravel(), columns.ravel()

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """``patch_id`` of every tile: the number of its north-west pixel, counted row by row: [tile].

        It depends on the raster grid and the tile's place alone: other thresholds, masks and strides leave it as it is.
        """
        rows, columns = self.corners
        return rows * self.grid.width + columns

    def corner_of(self, patch_id: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First row and first column of some patches, the inverse of ``ids``."""
        return patch_id // self.grid.width, patch_id % self.grid.width

    def means(self, field: NDArray[Any]) -> NDArray[np.float64]:
        """Mean of a field over each tile: [tile].

        Args:
            field: numbers without gaps: [height, width].
        """
        if field.shape != (self.grid.height, self.grid.width):
            raise ValueError(f"a field of {field.shape} does not fit a grid of {self.grid.height, self.grid.width}")
        # a table of sums over everything north-west of a pixel; what a tile has is a difference of four of them
        wide = np.concatenate([field, field[:, : self.tile]], axis=1) if self.periodic else field
        sums = np.zeros((wide.shape[0] + 1, wide.shape[1] + 1))
        np.cumsum(np.cumsum(wide, axis=0, dtype=np.float64), axis=1, out=sums[1:, 1:])
        top, left = self.row_starts[:, None], self.column_starts[None]
        low, right = top + self.tile, left + self.tile
        total = sums[low, right] - sums[top, right] - sums[low, left] + sums[top, left]
        return (total / self.tile**2).ravel()

    def bounds(self) -> tuple[NDArray[np.float64], ...]:
        """South, north, west and east edges of every tile, degrees, longitudes in -180..180: [tile] each.

        A tile that crosses 180 degrees has west > east.
        """
        rows, columns = self.corners
        grid = self.grid
        north, south = _latitude(grid, rows), _latitude(grid, rows + self.tile)
        west, east = _longitude(grid, columns), _longitude(grid, columns + self.tile)
        return south, north, west, np.where(east == -180.0, 180.0, east)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude, and longitude in -180..180, of the centre of every tile, degrees: [tile] each."""
        rows, columns = self.corners
        half = self.tile / 2
        return _latitude(self.grid, rows + half), _longitude(self.grid, columns + half)

    def outline(self, number: int) -> str:
        """WKT of a tile; one that crosses 180 degrees is split there into two polygons (RFC 7946)."""
        south, north, west, east = (float(edge[number]) for edge in self.bounds())
        return outline(south, north, west, east)


def outline(south: float, north: float, west: float, east: float) -> str:
    """WKT of a box in degrees; where west > east it crosses 180 degrees and is split there."""
    if west <= east:
        return f"POLYGON ({_ring(south, north, west, east)})"
    parts = [_ring(south, north, west, 180.0), _ring(south, north, -180.0, east)]
    return f"MULTIPOLYGON ({', '.join(f'({part})' for part in parts)})"


def _ring(south: float, north: float, west: float, east: float) -> str:
    # counter-clockwise, as simple features have their shells
    points = ((west, south), (east, south), (east, north), (west, north), (west, south))
    return "(" + ", ".join(f"{x:.10g} {y:.10g}" for x, y in points) + ")"


def _latitude(grid: RasterGrid, row: NDArray[Any]) -> NDArray[np.float64]:
    """Of places in rows, degrees; rounded, so that 0.1 degrees are exactly that."""
    return np.asarray(np.round(grid.north - row * grid.dy, 10), np.float64)


def _longitude(grid: RasterGrid, column: NDArray[Any]) -> NDArray[np.float64]:
    """Of places in columns, degrees in -180..180 (excluded)."""
    turned = np.round(np.mod(grid.west + column * grid.dx + 180.0, 360.0), 10) % 360.0
    return np.asarray(np.round(turned - 180.0, 10), np.float64)
