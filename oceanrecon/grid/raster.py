"""The target grid: a north-up raster of equal cells in longitude and latitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError


@dataclass(frozen=True)
class RasterGrid:
    """North-up raster: row 0 is north, column 0 is west; ``dx`` and ``dy`` are positive, in degrees."""

    west: float
    north: float
    dx: float
    dy: float
    width: int
    height: int
    crs: str = "EPSG:4326"

    @classmethod
    def from_bounds(cls, resolution: float, bounds: tuple[float, float, float, float]) -> RasterGrid:
        """Grid of square cells of ``resolution`` degrees over ``bounds`` (west, south, east, north), degrees.

        Raises:
            ConfigError: the bounds are empty, off the globe, or not a whole number of cells.
        """
        west, south, east, north = bounds
        if not (resolution > 0 and west < east and south < north and -90 <= south and north <= 90):
            raise ConfigError(
                f"grid bounds {list(bounds)} with resolution {resolution} are not a grid: give west < east, "
                "south < north, latitudes in -90..90 and a positive resolution, in degrees"
            )
        if east - west > 360 + 1e-9:
            raise ConfigError(f"grid bounds {list(bounds)} go round the globe more than once: east - west <= 360")
        shape = []
        for low, high, name in ((west, east, "longitude"), (south, north, "latitude")):
            cells = (high - low) / resolution
            if abs(cells - round(cells)) > 1e-6 * max(1.0, cells):
                raise ConfigError(
                    f"grid bounds {low}..{high} in {name} are {cells:.6g} cells of {resolution} degrees: "
                    "make it a whole number"
                )
            shape.append(round(cells))
        width, height = shape
        # 1 / 0.1 is what people mean by 0.1: keep centres such as -179.95 exact to the last digit but one.
        return cls(west, north, (east - west) / width, (north - south) / height, width, height)

    @property
    def latitude(self) -> NDArray[np.float64]:
        """Centres from north to south, degrees_north: [height]."""
        return np.round(self.north - self.dy * (np.arange(self.height) + 0.5), 10)

    @property
    def longitude(self) -> NDArray[np.float64]:
        """Centres from west to east, degrees_east: [width]."""
        return np.round(self.west + self.dx * (np.arange(self.width) + 0.5), 10)

    @property
    def periodic(self) -> bool:
        """Whether the columns go once round the globe."""
        return abs(self.width * self.dx - 360.0) < 1e-6

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north edges, degrees."""
        return (self.west, self.north - self.dy * self.height, self.west + self.dx * self.width, self.north)

    @property
    def transform_gdal(self) -> tuple[float, float, float, float, float, float]:
        """GDAL's six numbers: west, dx, 0, north, 0, -dy."""
        return (self.west, self.dx, 0.0, self.north, 0.0, -self.dy)

    def pixel(self, longitude: float, latitude: float) -> tuple[int, int]:
        """Row and column of the cell that holds a point (floor; longitude moved by whole turns).

        Raises:
            ConfigError: the point is outside the grid.
        """
        if not (np.isfinite(longitude) and np.isfinite(latitude)):
            raise ConfigError(f"longitude {longitude}, latitude {latitude} is no place: give degrees")
        rows, columns = self.pixels(np.array([longitude]), np.array([latitude]))
        if rows[0] < 0:
            raise ConfigError(
                f"longitude {longitude}, latitude {latitude} is outside the grid: its bounds (west, south, east, "
                f"north) are {[round(edge, 6) for edge in self.bounds]}"
            )
        return int(rows[0]), int(columns[0])

    def pixels(
        self, longitude: NDArray[np.float64], latitude: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of the cells that hold some points (floor; longitudes moved by whole turns): [n] each.

        -1 outside the grid.
        """
        column = np.floor(np.mod(longitude - self.west, 360.0) / self.dx + 1e-9)
        row = np.floor((self.north - latitude) / self.dy + 1e-9)
        row = np.where((row == self.height) & (np.abs(latitude - self.bounds[1]) < 1e-9), row - 1, row)
        inside = (row >= 0) & (row < self.height) & (column >= 0) & (column < self.width)
        # a point a rounding west of a grid that goes round the globe
        wrapped = self.periodic & (column == self.width) & (row >= 0) & (row < self.height)
        column = np.where(wrapped, 0, column)
        inside |= wrapped
        return np.where(inside, row, -1).astype(np.int64), np.where(inside, column, -1).astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """For JSON and YAML."""
        return {
            "west": self.west,
            "north": self.north,
            "dx": self.dx,
            "dy": self.dy,
            "width": self.width,
            "height": self.height,
            "crs": self.crs,
        }
