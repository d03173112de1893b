"""The eight boxes of 90 by 90 degrees that daily fields and points are cut into, and grids of cells in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid.regions import Box

_SIDE = 90.0
#: WGS84: semi-major axis in km, and first eccentricity squared.
_AXIS_KM, _ECCENTRICITY = 6378.137, 6.69437999014e-3
#: Coordinates of grids that are off an edge by less than this part of their spacing are on it.
_FUZZ = 1e-3


@dataclass(frozen=True)
class Octant:
    """A box of 90 by 90 degrees: its western and southern edges are part of it, and the north pole is.

    The names are those of the published dataset; in the Pacific, WEST is the half that is west of Greenwich.
    """

    name: str
    west: float
    south: float

    @property
    def east(self) -> float:
        """Eastern edge, degrees: not part of it."""
        return self.west + _SIDE

    @property
    def north(self) -> float:
        """Northern edge, degrees: not part of it, unless it is the pole."""
        return self.south + _SIDE

    @property
    def box(self) -> Box:
        """West, south, east, north, degrees."""
        return (self.west, self.south, self.east, self.north)


#: From the south-west, row by row: the number of an octant is its place here.
OCTANTS = (
    Octant("SOUTH_PACIFIC_WEST", -180.0, -90.0),
    Octant("SOUTH_ATLANTIC", -90.0, -90.0),
    Octant("SOUTH_INDIAN", 0.0, -90.0),
    Octant("SOUTH_PACIFIC_EAST", 90.0, -90.0),
    Octant("NORTH_PACIFIC_WEST", -180.0, 0.0),
    Octant("NORTH_ATLANTIC", -90.0, 0.0),
    Octant("NORTH_INDIAN", 0.0, 0.0),
    Octant("NORTH_PACIFIC_EAST", 90.0, 0.0),
)
_BY_NAME = {octant.name: octant for octant in OCTANTS}


def octant(name: str) -> Octant:
    """The octant of a name.

    Raises:
        ConfigError: there is none.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise ConfigError(f"there is no region {name!r}: the eight are {', '.join(_BY_NAME)}") from None


def wrapped(longitude: ArrayLike) -> NDArray[np.float64]:
    """Longitudes of any turn, degrees, in [-180, 180): 180 is -180."""
    turned = (np.asarray(longitude, np.float64) + 180.0) % 360.0 - 180.0
    # a hair below -180 becomes 180 where the remainder rounds up
    return np.where(turned >= 180.0, -180.0, turned)


def octant_of(latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.int8]:
    """Number of the octant that holds each point, in the order of ``OCTANTS``; -1: that is no place.

    Args:
        latitude: degrees, any shape.
        longitude: degrees of any turn, the same shape.
    """
    south = np.asarray(latitude, np.float64)
    east = wrapped(longitude)
    there = np.isfinite(east) & (south >= -90.0) & (south <= 90.0)
    column = np.floor((np.where(there, east, 0.0) + 180.0) / _SIDE)
    return np.where(there, np.where(south >= 0.0, 4, 0) + column, -1).astype(np.int8)


def cut(latitude: NDArray[np.floating], longitude: NDArray[np.floating]) -> list[tuple[int, slice, NDArray[np.intp]]]:
    """Which rows and columns of a regular grid are whose: every row and every column is of one octant alone.

    Coordinates that are off an edge by a thousandth of the spacing are on it: files have -4.5e-12 for the equator.

    Args:
        latitude: of rows, degrees, rising or falling: [row].
        longitude: of columns, degrees of any turn: [column].

    Returns:
        Number of the octant, its rows as a slice and its columns from west to east, for octants that have some.
    """
    rows = _snapped(np.asarray(latitude, np.float64)) >= 0.0
    east = wrapped(_snapped(np.asarray(longitude, np.float64)))
    quarter = np.floor((east + 180.0) / _SIDE).astype(int)
    found = []
    for north in (False, True):
        some = np.flatnonzero(rows == north)
        for column in range(4):
            columns = np.flatnonzero(quarter == column)
            if some.size and columns.size:
                order = columns[np.argsort(east[columns], kind="stable")]
                found.append((4 * north + column, slice(int(some[0]), int(some[-1]) + 1), order))
    return found


def _snapped(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """An axis whose coordinates are on the edges of octants where they are as good as there."""
    spacing = float(np.median(np.abs(np.diff(axis)))) if axis.size > 1 else 0.0
    edge = np.round(axis / _SIDE) * _SIDE
    return np.where(np.abs(axis - edge) <= _FUZZ * spacing, edge, axis)


def touched(box: Box) -> list[Octant]:
    """The octants that a box has a part of, more than an edge; ``west > east`` crosses the dateline.

    Args:
        box: west, south, east, north, degrees.

    Raises:
        ConfigError: the box is empty or off the globe.
    """
    west, south, east, north = box
    if not (-90 <= south < north <= 90 and -180 <= west <= 180 and -180 <= east <= 180 and west != east):
        raise ConfigError(
            f"the box {list(box)} is none: give west, south, east, north in degrees, south < north in -90..90, "
            "longitudes in -180..180; west > east crosses the dateline"
        )
    parts = [(west, east)] if west < east else [(west, 180.0), (-180.0, east)]
    return [
        one
        for one in OCTANTS
        if south < one.north and north > one.south and any(a < one.east and b > one.west for a, b in parts)
    ]


@dataclass(frozen=True)
class CellGrid:
    """Cells of an octant that points are counted in: aligned with its edges, so that each point has one cell.

    A cell is about ``size_km`` wide at 45 degrees, on the ellipsoid WGS84, and has the same degrees everywhere.
    """

    octant: Octant
    size_km: float

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns: 7 km has (1429, 1014), 2 km (5001, 3548)."""
        sine = math.sin(math.radians(45.0)) ** 2
        root = math.sqrt(1 - _ECCENTRICITY * sine)
        meridian = _AXIS_KM * (1 - _ECCENTRICITY) / root**3
        parallel = _AXIS_KM / root * math.cos(math.radians(45.0))
        down, across = (math.radians(_SIDE) * radius / self.size_km for radius in (meridian, parallel))
        return round(down), round(across)

    @property
    def spacing(self) -> tuple[float, float]:
        """Degrees of a cell: of latitude, of longitude."""
        rows, columns = self.shape
        return _SIDE / rows, _SIDE / columns

    @property
    def latitude(self) -> NDArray[np.float64]:
        """Of centres of cells, rising, degrees: [row]."""
        return np.asarray(self.octant.south + (np.arange(self.shape[0]) + 0.5) * self.spacing[0], np.float64)

    @property
    def longitude(self) -> NDArray[np.float64]:
        """Of centres of cells, rising, degrees: [column]."""
        return np.asarray(self.octant.west + (np.arange(self.shape[1]) + 0.5) * self.spacing[1], np.float64)

    def cell(self, latitude: NDArray[np.floating], longitude: NDArray[np.floating]) -> NDArray[np.int64]:
        """Cell of each point of this octant, row x columns + column: int64 [point].

        Args:
            latitude: of points for which ``octant_of`` says this octant, degrees: [point].
            longitude: likewise, of any turn.
        """
        rows, columns = self.shape
        # in doubles, as an octant has 18 million cells of 2 km
        row = ((np.asarray(latitude, np.float64) - self.octant.south) * (rows / _SIDE)).astype(np.int64)
        column = ((wrapped(longitude) - self.octant.west) * (columns / _SIDE)).astype(np.int64)
        # the pole is in the last row
        return np.minimum(row, rows - 1) * columns + np.minimum(column, columns - 1)
