"""A box of a grid, the canvas around it, and the overlapping tiles that cover it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid

#: West, south, east, north, degrees; west > east crosses 180 degrees.
Bounds = tuple[float, float, float, float]
#: Some tiles, by number, and what was found on them: [tile, ..., size, size].
Parts = Iterable[tuple[Sequence[int], Tensor]]


@dataclass(frozen=True)
class Box:
    """Pixels of a grid; columns go on at its west edge."""

    row: int
    column: int
    height: int
    width: int

    @classmethod
    def of(cls, grid: RasterGrid, bounds: Bounds | None) -> Box:
        """The pixels that bounds touch; ``None``: all.

        Raises:
            ConfigError: they are no box, or reach beyond the grid.
        """
        if bounds is None:
            return cls(0, 0, grid.height, grid.width)
        west, south, east, north = bounds
        if not (np.isfinite(bounds).all() and -90 <= south < north <= 90 and west != east):
            raise ConfigError(
                f"{list(bounds)} is no box: give west, south, east and north in degrees, south < north, such as "
                "-30 20 10 50; west > east crosses 180 degrees"
            )
        top, bottom = (grid.north - north) / grid.dy, (grid.north - south) / grid.dy
        left = (west - grid.west) % 360.0 / grid.dx
        across = 360.0 if east - west >= 360.0 else (east - west) % 360.0
        row, column = int(np.floor(top + _ROUNDING)), int(np.floor(left + _ROUNDING))
        last_row, last = int(np.ceil(bottom - _ROUNDING)), int(np.ceil(left + across / grid.dx - _ROUNDING))
        if grid.periodic:
            column, width = column % grid.width, min(last - column, grid.width)
        else:
            width = last - column
        if row < 0 or last_row > grid.height or (not grid.periodic and column + width > grid.width):
            edges = [round(float(edge), 6) for edge in grid.bounds]
            raise ConfigError(
                f"the box {list(bounds)} reaches beyond the grid, whose west, south, east and north are {edges}: "
                "give a box inside"
            )
        return cls(row, column, last_row - row, width)


_ROUNDING = 1e-6


@dataclass(frozen=True)
class Canvas:
    """The pixels that are computed: a box with a margin, so that its edges know what lies beyond; at least one tile.

    A canvas that would go round the globe is the whole circle, and its tiles cross the edge where it begins.
    """

    grid: RasterGrid
    #: what is wanted of it
    box: Box
    tile: int
    stride: int
    #: of the canvas
    row: int
    column: int
    height: int
    width: int

    @classmethod
    def of(cls, grid: RasterGrid, box: Box, tile: int, stride: int | None = None) -> Canvas:
        """The canvas of a box, with tiles of ``tile`` pixels, at most ``stride`` apart (default: three quarters).

        Raises:
            ConfigError: the grid has no room for a tile, or tiles would not overlap.
        """
        stride = tile * 3 // 4 if stride is None else stride
        if not 1 <= stride < tile:
            raise ConfigError(f"tiles of {tile} pixels every {stride} pixels do not overlap: give 1 to {tile - 1}")
        if tile > min(grid.width, grid.height):
            raise ConfigError(
                f"a tile of {tile} pixels, which the model learnt with, does not fit into a grid of {grid.width} x "
                f"{grid.height} (columns x rows): take a larger export, or give a smaller tile"
            )
        row, height = _around(box.row, box.height, tile, grid.height)
        wanted = max(box.width + 2 * (tile // 4), tile)
        if not grid.periodic:
            column, width = _around(box.column, box.width, tile, grid.width)
        elif wanted < grid.width:
            column, width = (box.column - (wanted - box.width) // 2) % grid.width, wanted
        else:
            column, width = box.column, grid.width
        return cls(grid, box, tile, stride, row, column, height, width)

    @property
    def circle(self) -> bool:
        """Whether it goes round the globe."""
        return self.grid.periodic and self.width == self.grid.width

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the grid: [height]."""
        return self.row + np.arange(self.height)

    @property
    def columns(self) -> NDArray[np.int64]:
        """Columns of the grid: [width]."""
        return np.asarray((self.column + np.arange(self.width)) % self.grid.width, np.int64)

    @cached_property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """First row and column of every tile, in the canvas, row by row from the north-west."""
        down = _starts(self.height, self.tile, self.stride, circle=False)
        across = _starts(self.width, self.tile, self.stride, circle=self.circle)
        return tuple((row, column) for row in down for column in across)

    @property
    def patch_ids(self) -> NDArray[np.int64]:
        """``PatchGrid.ids`` of the tiles: [tile]."""
        row, column = np.array(self.corners, np.int64).T
        return np.asarray((self.row + row) * self.grid.width + (self.column + column) % self.grid.width, np.int64)

    def cut(self, field: Tensor, tiles: Sequence[int]) -> Tensor:
        """Some tiles of a field: [..., height, width] to [tile, ..., size, size]."""
        return torch.stack(
            [
                torch.cat([field[..., down, part] for part, _ in across], dim=-1)
                for down, across in map(self._place, tiles)
            ]
        )

    def paste(self, field: Tensor, tile: int, values: Tensor) -> None:
        """Put a tile into a field, in place: [..., size, size] into [..., height, width]."""
        down, across = self._place(tile)
        for columns, own in across:
            field[..., down, columns] = values[..., own]

    def add(self, field: Tensor, tile: int, values: Tensor) -> None:
        """Add a tile to a field, in place."""
        down, across = self._place(tile)
        for columns, own in across:
            field[..., down, columns] += values[..., own]

    def crop(self, field: Tensor) -> Tensor:
        """What is wanted of a field: [..., height, width] of the canvas to that of the box."""
        top, left = self.box.row - self.row, (self.box.column - self.column) % self.grid.width
        return field[..., top : top + self.box.height, left : left + self.box.width]

    def _place(self, tile: int) -> tuple[slice, list[tuple[slice, slice]]]:
        """Rows of a tile, and its one part or its two: columns in the canvas, and in the tile."""
        row, column = self.corners[tile]
        down, end = slice(row, row + self.tile), column + self.tile
        if end <= self.width:
            return down, [(slice(column, end), slice(0, self.tile))]
        first = self.width - column
        return down, [(slice(column, self.width), slice(0, first)), (slice(0, end - self.width), slice(first, None))]


class Fusion:
    """Puts tiles together: means whose weights fall off towards the edges of a tile, and whose sum is 1 everywhere."""

    def __init__(self, canvas: Canvas, tiles: Sequence[int], device: torch.device) -> None:
        """Of some tiles of a canvas; where none of them is, there will be 0."""
        self.canvas, self.tiles = canvas, tuple(tiles)
        place = (torch.arange(canvas.tile, dtype=torch.float64) + 0.5) / canvas.tile
        window = (torch.pi * place).sin().square()
        self._window = torch.outer(window, window).float().to(device)
        total = torch.zeros(canvas.height, canvas.width, device=device)
        for tile in self.tiles:
            canvas.add(total, tile, self._window)
        self._share = torch.where(total > 0, 1.0 / total, 0.0)

    def fused(self, parts: Parts) -> Tensor:
        """The field of all tiles: [..., height, width]."""
        total: Tensor | None = None
        for tiles, values in parts:
            if total is None:
                total = values.new_zeros((*values.shape[1:-2], self.canvas.height, self.canvas.width))
            for tile, value in zip(tiles, values, strict=True):
                self.canvas.add(total, tile, value * self._window)
        assert total is not None  # there is at least one tile
        return total.mul_(self._share)

    def batches(self, size: int) -> Iterator[Sequence[int]]:
        """The tiles, so many at a time."""
        for first in range(0, len(self.tiles), size):
            yield self.tiles[first : first + size]


def _around(first: int, size: int, tile: int, room: int) -> tuple[int, int]:
    """First pixel and size of what has a margin around a range, and is a tile at least, inside ``room`` pixels."""
    low, high = max(first - tile // 4, 0), min(first + size + tile // 4, room)
    if high - low < tile:
        low = max(min((low + high - tile) // 2, room - tile), 0)
        high = low + tile
    return low, high - low


def _starts(size: int, tile: int, stride: int, *, circle: bool) -> list[int]:
    """First pixels of tiles, evenly spread."""
    if circle:
        count = -(-size // stride)
        return [number * size // count for number in range(count)]
    room = size - tile
    count = -(-room // stride) + 1
    return [number * room // max(count - 1, 1) for number in range(count)]
